//! Learning: when a ticket is resolved it is read once more, some time later, and what is learnt from it is kept in
//! a row for each link. Opened again, its summary holds no more. Who says what is worth keeping: `compose`; what
//! becomes of it beyond the row: the last work note, `article`, and whoever is told.

mod compose;

use std::collections::BTreeMap;

use firn_core::settings::Rules;
use firn_core::wire::learning as wire;
use firn_core::{land, learning};
use firn_model::{
    Answer, AnswerBody, CaseSummary, CommitError, Key, Learning, LearningState, Link, Millis,
    Outcome, Remote, Side, Standing, Telling, TenantId, rfc3339_text,
};
use serde_json::json;

use crate::session::{Session, ticket};
use crate::{Doors, article, rows};

/// A ticket that could not be read is tried again at least so often. In milliseconds.
const SELDOM: u64 = 3_600_000;
/// How often a paused integration is looked at. In milliseconds.
const PAUSE: u64 = 60_000;
/// A ticket that is not where it was may be of another class by now: so often it is read before it counts as hidden.
const TRIES: u32 = 4;
/// So long a knowledge store is told of a summary: a week. In milliseconds.
const PATIENCE: u64 = 7 * 24 * 3_600_000;

/// How a link's ticket stood before something was put into the link.
#[derive(Clone, Copy)]
pub(crate) struct Before {
    is_over: bool,
    is_seen: bool,
}

impl Before {
    pub(crate) fn of(rules: &Rules, link: &Link) -> Before {
        Before { is_over: learning::is_over(rules, link), is_seen: learning::is_seen(rules, link) }
    }
}

/// A link was looked at. Only a ticket that is over, or was, has to do with it; or one that the link is on anew.
pub(crate) fn tell<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
    link: &Link,
    before: Before,
) -> Result<(), CommitError> {
    let (is_over, was_over) = (learning::is_over(rules, link), before.is_over);
    let wanted = rules.settings().learning.enabled;
    let is_new_here = wanted && !before.is_seen && learning::is_seen(rules, link);
    if !is_over && !was_over && !is_new_here {
        return Ok(());
    }
    let key = rows::learnt(tenant, rules.id(), &link.id);
    let known = session.get::<Learning>(&key)?;
    let due = session.now.plus(rules.settings().learning.delay);
    let held = |known: &Learning| {
        known.summary.as_ref().is_some_and(|summary| summary.standing == Standing::Current)
    };
    let was_told = known.as_ref().is_some_and(held);
    // One that comes to speak for a ticket in another link's place has not seen how it was resolved.
    let in_place = |session: &mut Session<'_, D>| match &link.external {
        Some(external) => {
            session.formerly(tenant, rules.id(), &external.sys_id).map(|former| !former.is_empty())
        }
        None => Ok(false),
    };
    let (mut learning, due) = match known {
        // Only what is seen to become resolved: not the whole past, when learning is turned on.
        None if is_over && wanted && (!was_over || in_place(session)?) => {
            (Learning::new(rules.id().clone(), link.id.clone()), Some(due))
        }
        Some(mut known) if is_over && wanted && known.state == LearningState::Reopened => {
            (known.times, known.state, known.failures) =
                (known.times + 1, LearningState::Wanted, 0);
            known.telling = None;
            (known, Some(due))
        }
        Some(mut known)
            if learning::is_open(rules, link)
                && known.state != LearningState::Reopened
                && !is_of_another(&known, link) =>
        {
            known.state = LearningState::Reopened;
            if let Some(summary) = &mut known.summary {
                summary.standing = Standing::Superseded;
            }
            (known, None)
        }
        _ => return Ok(()),
    };
    let due = match learning.state {
        LearningState::Reopened => holds_no_more(session, rules, &mut learning, was_told),
        _ => due,
    };
    session.put(&key, &learning, due)
}

/// A summary holds no more: whoever may have been told that it does is told, also if that was begun and broken off
/// when the ticket was resolved once more. (To be told twice does no harm.)
fn holds_no_more<D: Doors>(
    session: &Session<'_, D>,
    rules: &Rules,
    learning: &mut Learning,
    was_current: bool,
) -> Option<Millis> {
    let is_being_told = learning.telling.is_some() && !was_current;
    if learning.summary.is_none() || is_being_told {
        return learning.telling.as_ref().map(|_| session.now);
    }
    to_be_told(session, rules, learning)
}

/// Whether what was learnt is of a ticket that the link was on before: that one is as it was.
fn is_of_another(learning: &Learning, link: &Link) -> bool {
    let now = link.external.as_ref().map(|external| &external.sys_id);
    learning.summary.as_ref().is_some_and(|then| Some(&then.ticket.sys_id) != now)
}

/// A knowledge store of the platform's is to be told of the summary as it is. Gives when.
fn to_be_told<D: Doors>(
    session: &Session<'_, D>,
    rules: &Rules,
    learning: &mut Learning,
) -> Option<Millis> {
    rules.platform().knowledge_url.as_ref()?;
    learning.sequence += 1;
    learning.telling =
        Some(Telling { number: learning.sequence, since: session.now, tries: 0, sent: false });
    Some(session.now)
}

/// A ticket is to be read, or was asked for and did not come.
pub(crate) fn due<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
) -> Result<(), CommitError> {
    let Some(mut learning) = session.get::<Learning>(key)? else { return Ok(()) };
    let waits = !matches!(learning.state, LearningState::Learnt | LearningState::Reopened);
    let link = session.link(&key.tenant, rules.id(), &learning.link)?;
    let wanted = rules.settings().learning.enabled;
    let Some(link) = link.filter(|link| wanted && learning::is_over(rules, link)) else {
        // Taken apart, deleted, or nothing is learnt any more.
        if waits && learning.summary.is_none() {
            session.delete(key);
            return Ok(());
        }
        if waits {
            // Resolved once more later, it is learnt from again.
            learning.state = LearningState::Reopened;
            let is_superseded =
                learning.summary.as_ref().is_some_and(|s| s.standing == Standing::Superseded);
            let due = if is_superseded {
                holds_no_more(session, rules, &mut learning, false)
            } else {
                None
            };
            session.put(key, &learning, due)?;
        }
        return told(session, rules, key, learning);
    };
    if !waits {
        return told(session, rules, key, learning);
    }
    if let LearningState::Asked { .. } = learning.state {
        return again(session, key, learning, None);
    }
    if !rules.integration().enabled {
        let later = session.now.plus(PAUSE);
        return session.put(key, &learning, Some(later));
    }
    if let LearningState::Composing(composing) = learning.state.clone() {
        return compose::go_on(session, rules, key, (learning, *composing), link);
    }
    learning.sequence += 1;
    let name = ticket(key, Side::External, learning.sequence);
    let Some(request) = wire::request(rules, &key.tenant, &link, name) else {
        return session.rest(key);
    };
    let until = session.now.plus(request.queue + request.timeout + 1_000);
    learning.state = LearningState::Asked { number: learning.sequence, until };
    session.put(key, &learning, Some(until))?;
    session.submit(request);
    Ok(())
}

/// A ticket was read, or could not be.
pub(crate) fn answered<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    number: u64,
    answer: &Answer,
) -> Result<(), CommitError> {
    let Some(mut learning) = session.get::<Learning>(key)? else { return Ok(()) };
    if learning.telling.as_ref().is_some_and(|telling| telling.sent && telling.number == number) {
        return heard(session, key, learning, answer);
    }
    if let LearningState::Composing(composing) = learning.state.clone() {
        return compose::answered(session, rules, key, (learning, *composing), number, answer);
    }
    if !matches!(learning.state, LearningState::Asked { number: asked, .. } if asked == number) {
        return Ok(());
    }
    let Some(link) = session.link(&key.tenant, rules.id(), &learning.link)? else {
        session.delete(key);
        return Ok(());
    };
    let columns = match wire::reading(rules, &link, answer, session.now) {
        Ok(columns) => columns,
        // It may not be read: what the link knows of it is all there is. Whether it is gone finds out who keeps it
        // in step.
        Err(outcome)
            if matches!(*outcome, Outcome::Refused(_))
                || matches!(*outcome, Outcome::Gone | Outcome::Deleted)
                    && learning.failures + 1 >= TRIES =>
        {
            BTreeMap::new()
        }
        Err(outcome) => return again(session, key, learning, outcome.not_before(session.now)),
    };
    learning.failures = 0;
    match learning::summarise(rules, &link, &columns, learning.times, session.now) {
        Some((extract, sources)) => {
            compose::begin(session, rules, key, learning, (extract, sources), link)
        }
        None => keep(session, rules, key, learning, None, link),
    }
}

/// A ticket's summary is there, or nothing of it is worth keeping.
fn keep<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    mut learning: Learning,
    summary: Option<CaseSummary>,
    mut link: Link,
) -> Result<(), CommitError> {
    let times = learning.times;
    learning.state = LearningState::Learnt;
    let note = summary.as_ref().map(|summary| learning::last_note(summary, times, session.now));
    let kept = summary.is_some();
    match (summary, &mut learning.summary) {
        (Some(summary), known) => {
            let id = summary.id.clone();
            let before = known.replace(summary).map(|before| before.id);
            learning.supersedes = before.filter(|before| *before != id);
        }
        // Nothing of it is kept this time; what was learnt before holds no more.
        (None, Some(known)) => known.standing = Standing::Superseded,
        (None, None) => {}
    }
    let told = learning.summary.is_some();
    let due = if told { to_be_told(session, rules, &mut learning) } else { None };
    session.put(key, &learning, due)?;
    if kept && let Some(summary) = &learning.summary {
        article::wanted(session, &key.tenant, rules, summary)?;
    }
    let before = supersede_others(session, rules, key, &link)?;
    let note = note.filter(|note| {
        let known = link.entries.iter().any(|e| e.origin == note.origin);
        rules.settings().learning.write_back && !known && !(before && times == 1)
    });
    let Some(note) = note else { return Ok(()) };
    link.entries.push(note);
    session.advance(&key.tenant, rules, link, &[])
}

/// Other links that spoke for this ticket before have learnt from it: now this one speaks for it. Says whether any had.
fn supersede_others<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    link: &Link,
) -> Result<bool, CommitError> {
    let Some(ticket) = link.external.as_ref().map(|external| external.sys_id.clone()) else {
        return Ok(false);
    };
    let (tenant, id) = (&key.tenant, rules.id());
    let mut others = session.formerly(tenant, id, &ticket)?;
    others.extend(session.on_ticket(tenant, id, ticket.as_str())?);
    let mut before = false;
    for other in others.into_iter().filter(|other| *other != link.id) {
        let key = rows::learnt(tenant, id, &other);
        let Some(mut known) = session.get::<Learning>(&key)? else { continue };
        let Some(summary) = &mut known.summary else { continue };
        if summary.ticket.sys_id != ticket || summary.standing != Standing::Current {
            continue;
        }
        summary.standing = Standing::Superseded;
        known.state = LearningState::Reopened;
        before = true;
        let due = to_be_told(session, rules, &mut known);
        session.put(&key, &known, due)?;
    }
    Ok(before)
}

/// The knowledge store is told, or was and has not answered.
fn told<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    mut learning: Learning,
) -> Result<(), CommitError> {
    let (Some(telling), Some(summary)) = (&mut learning.telling, &learning.summary) else {
        return session.rest(key);
    };
    if telling.sent {
        telling.sent = false;
        return later(session, key, learning);
    }
    if rules.platform().knowledge_url.is_none() {
        learning.telling = None;
        return session.put(key, &learning, None);
    }
    if !rules.integration().enabled {
        let later = session.now.plus(PAUSE);
        return session.put(key, &learning, Some(later));
    }
    if let Some(until) = rules.rests_until(session.now) {
        return session.put(key, &learning, Some(until));
    }
    let event = match summary.standing {
        Standing::Current => "case_summary.made",
        Standing::Superseded => "case_summary.superseded",
    };
    let mut body =
        json!({ "type": event, "timestamp": rfc3339_text(telling.since), "data": summary });
    // An earlier version did not write down which one it was.
    let counted = || {
        let counts = learning.times > 1 && rules.integration().restored.is_none();
        counts.then(|| format!("{}.{}", learning.link, learning.times - 1))
    };
    if summary.standing == Standing::Current
        && let Some(before) = learning.supersedes.clone().or_else(counted)
    {
        // That the one before holds no more may never have been taken.
        body["supersedes"] = json!(before);
    }
    let name = ticket(key, Side::Platform, telling.number);
    let request =
        firn_core::wire::message(rules, &key.tenant, name, Remote::PlatformKnowledge, &body);
    let until = session.now.plus(request.queue + request.timeout + 1_000);
    telling.sent = true;
    session.put(key, &learning, Some(until))?;
    session.submit(request);
    Ok(())
}

/// The knowledge store has answered.
fn heard<D: Doors>(
    session: &mut Session<'_, D>,
    key: &Key,
    mut learning: Learning,
    answer: &Answer,
) -> Result<(), CommitError> {
    let Some(telling) = &mut learning.telling else { return Ok(()) };
    telling.sent = false;
    // Taken, or nothing that will ever be taken there.
    if let AnswerBody::Response(response) = &answer.body
        && matches!(response.status, 200..=299 | 400 | 404 | 410 | 422)
    {
        if response.status >= 400 {
            session.doors.line(&format!(
                "{}: the knowledge store refused it with {}",
                key.path, response.status
            ));
        }
        learning.telling = None;
        return session.put(key, &learning, None);
    }
    later(session, key, learning)
}

/// It was not taken: again later, for a week.
fn later<D: Doors>(
    session: &mut Session<'_, D>,
    key: &Key,
    mut learning: Learning,
) -> Result<(), CommitError> {
    let Some(telling) = &mut learning.telling else { return session.rest(key) };
    telling.tries = telling.tries.saturating_add(1);
    if session.now >= telling.since.plus(PATIENCE) {
        session.doors.line(&format!("{}: the knowledge store took it not in a week", key.path));
        learning.telling = None;
        return session.put(key, &learning, None);
    }
    let pause = if telling.tries < 10 { land::backoff(&key.path, telling.tries) } else { 300_000 };
    let due = session.now.plus(pause);
    session.put(key, &learning, Some(due))
}

fn again<D: Doors>(
    session: &mut Session<'_, D>,
    key: &Key,
    mut learning: Learning,
    not_before: Option<firn_model::Millis>,
) -> Result<(), CommitError> {
    learning.state = LearningState::Wanted;
    learning.failures = learning.failures.saturating_add(1);
    // Soon at first; nobody waits for it.
    let pause =
        if learning.failures < 10 { land::backoff(&key.path, learning.failures) } else { SELDOM };
    let later = session.now.plus(pause);
    session.put(key, &learning, Some(not_before.map_or(later, |at| at.max(later))))
}
