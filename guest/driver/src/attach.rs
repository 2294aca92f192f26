//! Attachments: one row for the files of each link. What is seen of files goes into it, the core says
//! what comes next, and the host carries the bytes.

use firn_core::attachment::{self, Input, takes};
use firn_core::settings::Rules;
use firn_core::wire::attachment as wire;
use firn_model::{
    Answer, Attachment, AttachmentSeen, Attachments, CommitError, Fate, Integration, IntegrationId,
    Key, Link, LinkId, Side, TenantId,
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
        f.side == side
            && f.file.id == file.id
            && (f.fate != Fate::Pending || f.file.hash.is_some() || file.hash.is_none())
    };
    let copy = |f: &Attachment| {
        f.side != side && matches!(&f.fate, Fate::There(Some(id)) if *id == file.id)
    };
    known.files.iter().any(|f| same(f) || copy(f))
}

/// Whether a link knows a file of its ticket.
pub(crate) fn knows<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
    link: &LinkId,
    file: &AttachmentSeen,
) -> Result<bool, CommitError> {
    let known = session.get::<Attachments>(&rows::attachments(tenant, rules.id(), link))?;
    Ok(known.is_some_and(|known| is_known(&known, Side::External, file)))
}

/// A ticket has a file: each of its links is told, but for what another of them put there.
pub(crate) fn seen_on_ticket<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
    sys_id: &str,
    file: &AttachmentSeen,
) -> Result<(), CommitError> {
    for id in session.on_ticket(tenant, rules.id(), sys_id)? {
        let Some(link) = session.link(tenant, rules.id(), &id)? else { continue };
        let files = not_of_others(session, tenant, &link, vec![file.clone()])?;
        if !files.is_empty() {
            tell(session, tenant, rules, &id, Input::Seen(Side::External, files))?;
        }
    }
    Ok(())
}

/// What other links on the ticket have put there is no news to this one.
fn not_of_others<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    link: &Link,
    mut files: Vec<AttachmentSeen>,
) -> Result<Vec<AttachmentSeen>, CommitError> {
    let Some(external) = &link.external else { return Ok(files) };
    for other in session.on_ticket(tenant, &link.integration, external.sys_id.as_str())? {
        if other == link.id {
            continue;
        }
        let key = rows::attachments(tenant, &link.integration, &other);
        let Some(theirs) = session.get::<Attachments>(&key)? else { continue };
        let put_there = |file: &AttachmentSeen| {
            theirs.files.iter().filter(|f| f.side == Side::Platform).any(|f| {
                matches!(&f.fate, Fate::There(Some(id)) if *id == file.id)
                    || (file.hash.is_some() && f.file.hash == file.hash)
            })
        };
        files.retain(|file| !put_there(file));
    }
    Ok(files)
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
    let landed = match wire::reading(rules, &link, &exchange, answer, session.now) {
        attachment::Landed::Listed(files) => {
            attachment::Landed::Listed(not_of_others(session, tenant, &link, files)?)
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
