//! Attachments: one row for the files of each link. What is seen of files goes into it, the core says
//! what comes next, and the host carries the bytes.

use std::collections::BTreeSet;

use firn_core::attachment::{self, Input, takes};
use firn_core::settings::Rules;
use firn_core::wire::attachment as wire;
use firn_model::{
    Answer, Attachment, AttachmentSeen, AttachmentWork, Attachments, CommitError, Fate,
    Integration, IntegrationId, Key, Link, LinkId, Side, TenantId,
};

use crate::session::{Session, ticket};
use crate::{Doors, rows};

/// Whether files travel at all.
fn travel(rules: &Rules) -> bool {
    Side::BOTH.into_iter().any(|side| rules.integration().attachments_from(side))
}

/// Something is known of the files of a link.
pub(crate) fn tell<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
    link: &LinkId,
    input: Input,
) -> Result<(), CommitError> {
    if !travel(rules) {
        return Ok(());
    }
    let key = rows::attachments(tenant, rules.id(), link);
    let known = session.get::<Attachments>(&key)?;
    // Files of a ticket are told again and again while it is polled: only news are written down.
    if let (Some(known), Input::Seen(side, files)) = (&known, &input)
        && files.iter().all(|file| is_known(known, *side, file))
    {
        return Ok(());
    }
    let set = known.unwrap_or_else(|| Attachments::new(rules.id().clone(), link.clone()));
    go_on(session, rules, &key, set, &[input])
}

fn is_known(known: &Attachments, side: Side, file: &AttachmentSeen) -> bool {
    let same = |f: &Attachment| {
        let tells_more = f.file.hash.is_none() && file.hash.is_some();
        f.side == side
            && f.file.id == file.id
            && !(tells_more || attachment::is_other(&f.file, file))
    };
    let copy = |f: &Attachment| {
        f.side != side && matches!(&f.fate, Fate::There(Some(id)) if *id == file.id)
    };
    known.files.iter().any(|f| same(f) || copy(f))
}

/// A ticket has a file: each of its links is told, but for what another of them put there. Says whether all of
/// them knew; nothing if there are none.
pub(crate) fn seen_on_ticket<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
    sys_id: &str,
    file: &AttachmentSeen,
) -> Result<Option<bool>, CommitError> {
    let mut all_knew = None;
    for link in session.linked(tenant, rules.id(), sys_id)? {
        let known = session.get::<Attachments>(&rows::attachments(tenant, rules.id(), &link.id))?;
        let knew = known.is_some_and(|known| was_told(&known, file));
        all_knew = Some(all_knew.unwrap_or(true) && knew);
        let files = vec![file.clone()];
        if of_others(session, tenant, &link, &files)?.is_empty() {
            tell(session, tenant, rules, &link.id, Input::Seen(Side::External, files))?;
        }
    }
    Ok(all_knew)
}

/// Whether a link knows a file of its ticket, or that there are some to be listed: a webhook told so.
fn was_told(known: &Attachments, file: &AttachmentSeen) -> bool {
    let lists = known.exchange.as_ref().is_some_and(|e| e.work == AttachmentWork::List);
    let there = known.file(Side::External, &file.id).is_some();
    known.look || lists || there || is_known(known, Side::External, file)
}

/// Of the files of a ticket those that other links have put there: they are no news to this one.
fn of_others<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    link: &Link,
    files: &[AttachmentSeen],
) -> Result<BTreeSet<String>, CommitError> {
    let mut theirs = BTreeSet::new();
    let Some(external) = &link.external else { return Ok(theirs) };
    // Those that have left it too: what they put there is as little this one's.
    let sys_id = external.sys_id.clone();
    let mut others = session.on_ticket(tenant, &link.integration, sys_id.as_str())?;
    others.extend(session.formerly(tenant, &link.integration, &sys_id)?);
    for other in others.iter().filter(|other| **other != link.id) {
        let key = rows::attachments(tenant, &link.integration, other);
        let Some(known) = session.get::<Attachments>(&key)? else { continue };
        let put_there = files.iter().filter(|file| known.has_put(file));
        theirs.extend(put_there.map(|file| file.id.clone()));
    }
    Ok(theirs)
}

/// A link is paired with another ticket: what was known of the files of the one before says nothing of it.
pub(crate) fn relink<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
    link: &Link,
) -> Result<(), CommitError> {
    let key = rows::attachments(tenant, &link.integration, &link.id);
    let Some(mut set) = session.get::<Attachments>(&key)? else { return Ok(()) };
    let now = session.now;
    set.pair_anew(now, rules.settings().correlation.transaction_limit);
    session.put(&key, &set, Some(now))
}

/// A link has come to a ticket that was there before it: which files it has, is asked.
pub(crate) fn look<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    link: &Link,
) -> Result<(), CommitError> {
    let integration = rows::integration(tenant, &link.integration);
    let travels = session
        .get::<Integration>(&integration)?
        .is_some_and(|integration| integration.attachments_from(Side::External));
    if !travels {
        return Ok(());
    }
    let key = rows::attachments(tenant, &link.integration, &link.id);
    let mut set = session
        .get::<Attachments>(&key)?
        .unwrap_or_else(|| Attachments::new(link.integration.clone(), link.id.clone()));
    set.look = true;
    let now = session.now;
    session.put(&key, &set, Some(now))
}

/// A record of a link is there now that was not: what waited for it goes on.
pub(crate) fn wake<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
    link: &Link,
    before: [bool; 2],
) -> Result<(), CommitError> {
    let after = taking(link);
    let news = before.into_iter().zip(after).any(|(before, after)| after && !before);
    if !news || !travel(rules) {
        return Ok(());
    }
    let key = rows::attachments(tenant, rules.id(), &link.id);
    match session.get::<Attachments>(&key)? {
        Some(set) => {
            let now = session.now;
            session.put(&key, &set, Some(now))
        }
        None => Ok(()),
    }
}

/// Which of a link's records are there to take files.
pub(crate) fn taking(link: &Link) -> [bool; 2] {
    Side::BOTH.map(|side| takes(link, side))
}

/// It is time to look again.
pub(crate) fn due<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
) -> Result<(), CommitError> {
    let Some(set) = session.get::<Attachments>(key)? else { return Ok(()) };
    go_on(session, rules, key, set, &[])
}

/// A request is over.
pub(crate) fn answered<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    number: u64,
    answer: &Answer,
) -> Result<(), CommitError> {
    let Some(set) = session.get::<Attachments>(key)? else { return Ok(()) };
    let Some(exchange) = set.exchange.clone().filter(|e| e.number == number) else {
        return Ok(());
    };
    let (tenant, id) = (&key.tenant, rules.id());
    let Some(link) = session.link(tenant, id, &set.link)? else { return Ok(()) };
    let landed = match wire::reading(rules, &link, &set, &exchange, answer, session.now) {
        attachment::Landed::Listed(files, forgotten) => {
            let mut theirs = of_others(session, tenant, &link, &files)?;
            theirs.extend(forgotten);
            attachment::Landed::Listed(files, theirs)
        }
        other => other,
    };
    go_on(session, rules, key, set, &[Input::Answered(number, landed)])
}

fn go_on<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    set: Attachments,
    inputs: &[Input],
) -> Result<(), CommitError> {
    let tenant = &key.tenant;
    let Some(link) = session.link(tenant, rules.id(), &set.link)? else {
        session.delete(key);
        return Ok(());
    };
    let turn = attachment::advance(rules, &link, set, inputs, session.now);
    if turn.ask {
        let name = ticket(key, Side::External, turn.files.sequence);
        if let Some(request) = wire::request(rules, tenant, &link, &turn.files, name) {
            session.submit(request);
        }
    }
    for finding in &turn.findings {
        session.find(tenant, finding)?;
    }
    for line in &turn.audit {
        session.audit(tenant, line)?;
    }
    for about in &turn.over {
        let name = format!("attachment-left.{}.{about}", link.id);
        let told = rows::finding(tenant, rules.id(), &name);
        if session.exists(&told)? {
            session.delete(&told);
        }
    }
    if turn.files.files.is_empty() && !turn.files.look && !session.exists(key)? {
        return Ok(());
    }
    session.put(key, &turn.files, turn.wake)
}

/// The files of a link, for people.
pub(crate) fn show<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
    integration: &IntegrationId,
    link: &LinkId,
) -> Result<Vec<serde_json::Value>, CommitError> {
    let key = rows::attachments(tenant, integration, link);
    let Some(set) = session.get::<Attachments>(&key)? else { return Ok(Vec::new()) };
    let shown = set.files.iter().map(|known| {
        let file = &known.file;
        serde_json::json!({
            "side": known.side, "id": file.id, "name": rules.masks().shown(&file.name),
            "content_type": rules.masks().shown(&file.media_type), "size": file.size, "sha256": file.hash,
            "fate": known.fate,
        })
    });
    Ok(shown.collect())
}
