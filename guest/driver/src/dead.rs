//! Dead letters: kept, shown, tried again and thrown away. A letter that was retried or discarded stays
//! for a while, so that what became of it can be told.

use firn_core::plan::mask_shape;
use firn_core::settings::Rules;
use firn_model::{
    CommitError, DeadFilter, DeadHappening, DeadLetter, DeadState, Ended, IntegrationId, Key, Link,
    Mirror, ParkedWhy, Problem, Shape, TenantId, Verb,
};
use serde_json::{Value as Json, json};

use crate::operate::{not_found, note};
use crate::session::Session;
use crate::{Doors, operate, rows};

/// How long a letter stays that nobody waits for: 30 days. In milliseconds.
const KEPT: u64 = 30 * 24 * 3_600_000;
/// The most letters that one request retries or discards.
const AT_ONCE: usize = 100;

/// What is to become of letters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Retried,
    Discarded,
}

/// A write was refused for good.
pub(crate) fn bury<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    mut letter: DeadLetter,
) -> Result<(), CommitError> {
    let key = rows::dead(tenant, &letter.integration, &letter.id);
    if let Some(before) = session.get::<DeadLetter>(&key)? {
        letter.history = before.history;
    }
    let refused = DeadHappening::Refused(letter.reason.clone());
    letter.happened(letter.at, refused);
    session.put(&key, &letter, None)
}

/// A letter that nobody waits for has been kept for long enough.
pub(crate) fn due<D: Doors>(session: &mut Session<'_, D>, key: &Key) -> Result<(), CommitError> {
    match session.get::<DeadLetter>(key)? {
        Some(letter) if letter.state != DeadState::Waiting => session.delete(key),
        _ => session.rest(key)?,
    }
    Ok(())
}

/// One letter as it may be shown: what it would write is masked.
pub(crate) fn show<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    integration: &IntegrationId,
    id: &str,
) -> Result<(), CommitError> {
    let letter = session.get::<DeadLetter>(&rows::dead(tenant, integration, id))?;
    let (Some(letter), Some(rules)) = (letter, session.rules(tenant, integration)?) else {
        return not_found(session, request, "dead letter", id);
    };
    let link = session.link(tenant, integration, &letter.link)?;
    let ticket = link.as_ref().and_then(|link| link.external.as_ref());
    let shown = json!({
        "id": letter.id, "link": letter.link, "side": letter.write.side, "work": letter.work(),
        "platform_id": link.as_ref().map(|link| &link.platform_id),
        "sys_id": ticket.map(|t| &t.sys_id), "number": ticket.and_then(|t| t.number.as_ref()),
        "key": letter.write.key, "reason": letter.reason, "at": letter.at, "state": letter.state,
        "history": letter.history, "writes": writes(&rules, &letter),
    });
    session.reply(request, 200, &shown);
    Ok(())
}

/// What a letter would write, masked.
fn writes(rules: &Rules, letter: &DeadLetter) -> Json {
    let masked = |shape: &Shape| json!(mask_shape(rules, shape).0);
    match &letter.write.verb {
        Verb::Create { set, .. } => masked(&Shape(set.clone())),
        Verb::Update { set, .. } => {
            set.iter().map(|(field, to)| (field.to_string(), masked(&to.shape))).collect()
        }
        Verb::Append { text, .. } => json!({ "text": rules.masks().shown(text.text()) }),
        Verb::Retire { twin, set } => {
            let mut shown = masked(&Shape(set.clone()));
            shown["sys_id"] = json!(twin.sys_id);
            shown
        }
    }
}

/// Decides about one letter.
pub(crate) fn decide<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    integration: &IntegrationId,
    id: &str,
    fate: Fate,
    by: &str,
) -> Result<(), CommitError> {
    let key = rows::dead(tenant, integration, id);
    let Some(letter) = session.get::<DeadLetter>(&key)? else {
        return not_found(session, request, "dead letter", id);
    };
    let Some(rules) = session.rules(tenant, integration)? else {
        return not_found(session, request, "integration", integration.as_str());
    };
    if letter.state != DeadState::Waiting {
        let detail = format!("it was {} already", letter.state.name());
        let problem = Problem::new(409, "dead-letter-is-over", "The dead letter is over", detail);
        session.problem(request, &problem);
        return Ok(());
    }
    if fate == Fate::Retried && has_ended(session, tenant, &letter)? {
        session.problem(request, &operate::ended());
        return Ok(());
    }
    end(session, tenant, &rules, letter, fate, by)?;
    let (status, said) = match fate {
        Fate::Retried => (202, "retrying"),
        Fate::Discarded => (200, "discarded"),
    };
    session.reply(request, status, &json!({ "status": said, "id": id }));
    Ok(())
}

/// Decides about all letters that are meant, a number of them at once.
pub(crate) fn decide_all<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    integration: &IntegrationId,
    filter: &DeadFilter,
    fate: Fate,
    by: &str,
) -> Result<(), CommitError> {
    let Some(rules) = session.rules(tenant, integration)? else {
        return not_found(session, request, "integration", integration.as_str());
    };
    let (mut ids, mut left) = (Vec::new(), 0);
    for row in session.all(tenant, &format!("dead/{integration}/"))? {
        let meant = |letter: &DeadLetter| letter.state == DeadState::Waiting && letter.fits(filter);
        if ids.len() == AT_ONCE {
            let letter = serde_json::from_str::<DeadLetter>(&row.value);
            left += u32::from(letter.as_ref().is_ok_and(meant));
            continue;
        }
        let letter = session.get::<DeadLetter>(&row.key)?;
        let Some(letter) = letter.filter(meant) else { continue };
        if fate == Fate::Retried && has_ended(session, tenant, &letter)? {
            continue;
        }
        ids.push(letter.id.clone());
        end(session, tenant, &rules, letter, fate, by)?;
    }
    let status = match fate {
        Fate::Retried => "retrying",
        Fate::Discarded => "discarded",
    };
    session.reply(request, 200, &json!({ "status": status, "ids": ids, "left": left }));
    Ok(())
}

/// Whether its pair is at rest for good, so that nothing would be written. What is left of one whose record is gone may
/// be closed all the same.
fn has_ended<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    letter: &DeadLetter,
) -> Result<bool, CommitError> {
    let link = session.link(tenant, &letter.integration, &letter.link)?;
    let tombstone = link.and_then(|link| link.tombstone);
    let closes = matches!(letter.write.verb, Verb::Update { .. } | Verb::Retire { .. });
    Ok(tombstone.is_some_and(|tombstone| !(closes && matches!(tombstone.why, Ended::Gone(_)))))
}

fn end<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
    mut letter: DeadLetter,
    fate: Fate,
    by: &str,
) -> Result<(), CommitError> {
    let key = rows::dead(tenant, rules.id(), &letter.id);
    let link = letter.link.clone();
    let (happened, event) = match fate {
        Fate::Retried => (DeadHappening::Retried(by.to_owned()), "dead-letter-retried"),
        Fate::Discarded => (DeadHappening::Discarded(by.to_owned()), "dead-letter-discarded"),
    };
    letter.happened(session.now, happened);
    session.put(&key, &letter, Some(session.now.plus(KEPT)))?;
    note(session, tenant, rules.id(), Some(&link), event, by)?;
    // A link is never deleted.
    let Some(mut link) = session.link(tenant, rules.id(), &link)? else { return Ok(()) };
    match (fate, &letter.write.verb) {
        (Fate::Retried, _) => revive(&mut link, &letter),
        // There will be no such ticket, unless somebody asks for it anew.
        (Fate::Discarded, Verb::Create { .. }) if link.external.is_none() => link.draft = None,
        (Fate::Discarded, _) => return Ok(()),
    }
    session.advance(tenant, rules, link, &[])
}

/// What a letter was about is no longer left alone: the plan writes it once more if that is still
/// needed, and under the same key if it is the same.
fn revive(link: &mut Link, letter: &DeadLetter) {
    match &letter.write.verb {
        Verb::Create { .. } => link.external_side.halted = false,
        Verb::Retire { .. } => link.external_side.look_twins = true,
        Verb::Append { entry, .. } => {
            for known in link.entries.iter_mut().filter(|e| e.origin == *entry) {
                if known.mirror == Mirror::Parked {
                    known.mirror = Mirror::Pending;
                }
            }
        }
        Verb::Update { set, .. } => {
            for name in set.keys() {
                // Meanwhile it may be left alone for another reason.
                if let Some(state) = link.fields.get_mut(name)
                    && state.parked.as_ref().is_some_and(|p| p.why == ParkedWhy::Refused)
                {
                    state.parked = None;
                }
            }
        }
    }
    let retried = &mut link.side_mut(letter.write.side).retried;
    retried.retain(|write| !write.verb.is_again(&letter.write.verb));
    retried.push(letter.write.clone());
}
