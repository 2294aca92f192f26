//! Pairs: attached and taken apart by hand, read again, explained.

use std::collections::BTreeMap;
use std::rc::Rc;

use firn_core::explain as core;
use firn_core::settings::Rules;
use firn_core::{attachment, escalation, identity, journal};
use firn_model::{
    Apart, Audit, CommitError, Conflict, ConflictState, Ended, EntryOrigin, ExternalRecord,
    FieldState, IntegrationId, Key, Link, LinkId, Millis, Mirror, ParkedWhy, PlatformId, Problem,
    Row, Side, SideState, SysId, TableName, TenantId, TicketName, Tombstone,
};
use serde_json::json;

use super::{not_found, note};
use crate::session::Session;
use crate::{Doors, admit, attach, rows};

/// Two records that are to be kept in step.
pub(super) struct Pair<'a> {
    /// The platform's.
    pub(super) record: &'a PlatformId,
    /// ServiceNow's.
    pub(super) ticket: &'a TicketName,
    /// Its table, if given.
    pub(super) table: Option<&'a TableName>,
}

/// Pairs two records that are there. They meet without a base: what agrees is agreed on, what
/// differs takes the owner's value.
pub(super) fn attach<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    integration: &IntegrationId,
    pair: &Pair<'_>,
    by: &str,
) -> Result<(), CommitError> {
    let Some(rules) = session.rules(tenant, integration)? else {
        return not_found(session, request, "integration", integration.as_str());
    };
    let table = pair.table.cloned().or_else(|| rules.tables().next().cloned());
    let Some(table) = table.filter(|t| rules.takes(t)) else {
        let detail = "the settings name no such ticket type; add it to [[tickets]]";
        session
            .problem(request, &Problem::new(422, "unknown-table", "Unknown ticket type", detail));
        return Ok(());
    };
    let known = session.current(tenant, integration, pair.record)?;
    let paired = known.as_ref().is_some_and(|link| {
        let making = link.external_side.flight.is_some() || link.draft.is_some();
        link.tombstone.is_none() && (link.external.is_some() || making || link.attach.is_some())
    });
    if paired {
        let detail = format!("{} has a ticket already; unlink it first", pair.record);
        session.problem(request, &Problem::new(409, "already-linked", "Already linked", detail));
        return Ok(());
    }
    let limit = rules.settings().correlation.transaction_limit;
    let busy = known.as_ref().is_some_and(|link| under_way(link, limit, session.now));
    if busy {
        session.problem(request, &not_now());
        return Ok(());
    }
    let apart = known.clone();
    let before = known.as_ref().and_then(|link| {
        let tombstone = link.tombstone.clone()?;
        Some(Apart { tombstone, external: link.external.clone() })
    });
    let mut link = match known {
        Some(link) if link.is_forgotten() => {
            // Of the one that was forgotten nothing is left but its id; this is a pair anew.
            let mut link = relinked(link, table.clone(), &rules, pair.ticket, session.now);
            link.platform_id = pair.record.clone();
            link.key = identity::correlation_key(pair.record, link.generation);
            link
        }
        Some(link) => relinked(link, table.clone(), &rules, pair.ticket, session.now),
        None => admit::new_link(session, tenant, &rules, pair.record, 1, table.clone())?,
    };
    match pair.ticket {
        TicketName::SysId(sys_id) => {
            link.external = Some(external(table, sys_id));
            link.external_side.look = true;
            link.external_side.look_journal = true;
            session.join(tenant, &mut link)?;
        }
        TicketName::Number(number) => {
            link.attach = Some(number.clone());
            link.before = before;
        }
    }
    link.platform_side.look = rules.may_read(Side::Platform);
    attach::relink(session, tenant, &rules, &link)?;
    if let Some(before) = &apart {
        close_conflicts(session, tenant, before)?;
    }
    let id = link.id.clone();
    note(session, tenant, integration, Some(&id), "attached", by)?;
    session.advance(tenant, &rules, link, &[])?;
    session.reply(request, 202, &json!({ "status": "attaching", "link": id }));
    Ok(())
}

/// Whether a write is under way whose fate nobody would learn otherwise, or one that closes a further ticket may come yet.
fn under_way(link: &Link, limit: u64, now: Millis) -> bool {
    let mut closings = link.twins.iter().filter_map(|twin| twin.closing);
    Side::BOTH.into_iter().any(|side| link.side(side).flight.is_some())
        || closings.any(|sent| sent.plus(limit) > now)
}

fn not_now() -> Problem {
    let detail = "a write of this pair is under way; try again when it has come to its end";
    Problem::new(409, "write-under-way", "Not now", detail)
}

fn external(table: TableName, sys_id: &SysId) -> ExternalRecord {
    ExternalRecord { table, sys_id: sys_id.clone(), number: None, adopted: true }
}

/// A pair that was taken apart, to be paired again: what was once agreed on may concern another
/// ticket. Entries stay known, so that none is written twice; what an escalation brought and no ticket got is to be
/// written yet, as is what was said while the pair was apart (of a ticket's, if it is the same one again).
fn relinked(
    mut link: Link,
    table: TableName,
    rules: &Rules,
    ticket: &TicketName,
    now: Millis,
) -> Link {
    let same = link.external.as_ref().is_some_and(|before| match ticket {
        TicketName::SysId(sys_id) => before.sys_id == *sys_id,
        TicketName::Number(number) => before.number.as_ref() == Some(number),
    });
    for entry in &mut link.entries {
        let is_evidence =
            matches!(&entry.origin, EntryOrigin::Firn(id) if escalation::is_evidence(id));
        // What was learnt from the ticket before is no other's.
        if matches!(entry.origin, EntryOrigin::Firn(_)) && !is_evidence && !same {
            if entry.mirror == Mirror::Pending {
                entry.mirror = Mirror::Withheld(journal::APART.to_owned());
            }
            continue;
        }
        let Mirror::Withheld(why) = &entry.mirror else { continue };
        let was_apart = *why == journal::APART && (same || entry.origin.side() == Side::Platform);
        if is_evidence || was_apart {
            entry.mirror = Mirror::Pending;
        }
    }
    // What a platform told that cannot be asked is all that is known of it.
    if rules.may_read(Side::Platform) {
        link.fields = BTreeMap::new();
        link.platform_side = SideState::default();
    } else {
        for state in link.fields.values_mut() {
            let platform = state.platform.take();
            *state = FieldState { platform, ..FieldState::default() };
        }
        let SideState { revision, clock, .. } = link.platform_side;
        link.platform_side = SideState { revision, clock, ..SideState::default() };
    }
    link.external_side = SideState::default();
    link.tombstone = None;
    link.before = None;
    link.external = None;
    link.draft = None;
    link.table = table;
    link.unseen = Vec::new();
    // They were the other ticket's.
    link.twins = Vec::new();
    link.made_of = BTreeMap::new();
    // What was said there before is from before the pair.
    link.created = now;
    link
}

/// Nobody has to decide any more what a pair that was taken apart is to say.
fn close_conflicts<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    link: &Link,
) -> Result<(), CommitError> {
    for parked in link.fields.values().filter_map(|state| state.parked.as_ref()) {
        let ParkedWhy::Conflict(id) = &parked.why else { continue };
        let key = rows::conflict(tenant, &link.integration, id);
        if let Some(conflict) = session.get::<Conflict>(&key)? {
            close_conflict(session, &key, conflict)?;
        }
    }
    Ok(())
}

/// A conflict that there is no more.
pub(super) fn close_conflict<D: Doors>(
    session: &mut Session<'_, D>,
    key: &Key,
    mut conflict: Conflict,
) -> Result<(), CommitError> {
    if conflict.state != ConflictState::Open {
        return Ok(());
    }
    (conflict.state, conflict.updated) = (ConflictState::Closed { at: session.now }, session.now);
    session.put(key, &conflict, None)
}

/// A link and its rules; if there are none that is answered.
fn find<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    integration: &IntegrationId,
    id: &LinkId,
) -> Result<Option<(Rc<Rules>, Link)>, CommitError> {
    let (rules, link) =
        (session.rules(tenant, integration)?, session.link(tenant, integration, id)?);
    let found = rules.zip(link);
    if found.is_none() {
        not_found(session, request, "link", id.as_str())?;
    }
    Ok(found)
}

/// Takes a pair apart. What is under way comes to its end; nothing new is begun.
pub(super) fn unlink<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    integration: &IntegrationId,
    id: &LinkId,
    by: &str,
) -> Result<(), CommitError> {
    let Some((rules, mut link)) = find(session, request, tenant, integration, id)? else {
        return Ok(());
    };
    if link.tombstone.is_none() {
        let why = Ended::Unlinked { by: by.to_owned() };
        link.tombstone = Some(Tombstone { why, at: session.now });
        // The number that was looked for is wanted no more; it is apart from the ticket that it had.
        link.attach = None;
        if let Some(before) = link.before.take() {
            link.external = before.external;
        }
        // The others on the ticket must know which rows are this one's: it leaves when its last
        // write has come to its end.
        if link.external_side.flight.is_none() {
            session.leave(tenant, &link)?;
        }
        note(session, tenant, integration, Some(id), "unlinked", by)?;
        close_conflicts(session, tenant, &link)?;
        session.advance(tenant, &rules, link, &[])?;
    }
    session.reply(request, 200, &json!({ "status": "unlinked", "link": id }));
    Ok(())
}

/// Reads both sides of a link again.
pub(super) fn resync<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    integration: &IntegrationId,
    id: &LinkId,
    by: &str,
) -> Result<(), CommitError> {
    let Some((rules, mut link)) = find(session, request, tenant, integration, id)? else {
        return Ok(());
    };
    if link.tombstone.is_some() {
        session.problem(request, &super::ended());
        return Ok(());
    }
    for side in Side::BOTH {
        let state = link.side_mut(side);
        state.missing = false;
        state.look = true;
        state.look_journal = side == Side::External;
    }
    note(session, tenant, integration, Some(id), "resync", by)?;
    session.advance(tenant, &rules, link, &[])?;
    attach::tell(session, tenant, &rules, id, attachment::Input::Again)?;
    session.reply(request, 202, &json!({ "status": "resyncing", "link": id }));
    Ok(())
}

/// The most links that are woken at once; the others go on within a minute by themselves.
const WOKEN: usize = 1_000;

/// Whether a link leaves ServiceNow alone for a while.
fn waits(link: &Link, now: Millis) -> bool {
    link.external_side.not_before.is_some_and(|at| at > now)
}

/// Lets what waits because nobody was signed in go on at once. What told of it is over.
pub(super) fn signed_in<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    integration: &IntegrationId,
) -> Result<(), CommitError> {
    let Some(rules) = session.rules(tenant, integration)? else {
        return not_found(session, request, "integration", integration.as_str());
    };
    for told in ["sign-in-failed", "sign-in-ends"] {
        for row in session.all(tenant, &format!("finding/{integration}/{told}."))? {
            session.delete(&row.key);
        }
    }
    let mut waiting: Vec<Link> = Vec::new();
    let now = session.now;
    session.each_page(tenant, &format!("link/{integration}/"), |_, page| {
        // Reading each link whole would take longer than all else.
        let may_wait = |row: &&Row| {
            row.value.split(r#""not_before":"#).skip(1).any(|rest| !rest.starts_with("null"))
        };
        let links = page.iter().filter(may_wait);
        let links = links.filter_map(|row| serde_json::from_str::<Link>(&row.value).ok());
        waiting.extend(links.filter(|link| waits(link, now)));
        waiting.truncate(WOKEN);
        Ok(waiting.len() < WOKEN)
    })?;
    let mut woken = 0;
    for link in waiting {
        let link = session.link(tenant, integration, &link.id)?;
        let Some(mut link) = link.filter(|link| waits(link, now)) else { continue };
        let state = &mut link.external_side;
        (state.not_before, state.failures) = (None, 0);
        session.advance(tenant, &rules, link, &[])?;
        woken += 1;
    }
    session.reply(request, 200, &json!({ "status": "signed-in", "woken": woken }));
    Ok(())
}

/// Tells why each value of a link is what it is.
pub(super) fn explain<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    integration: &IntegrationId,
    id: &LinkId,
) -> Result<(), CommitError> {
    let Some((rules, link)) = find(session, request, tenant, integration, id)? else {
        return Ok(());
    };
    let lines = session.all(tenant, &format!("audit/{integration}/{id}/"))?;
    let audit: Vec<Audit> =
        lines.iter().filter_map(|row| serde_json::from_str(&row.value).ok()).collect();
    let fields = core::explain(&rules, &link, &audit, session.now);
    let entries = link.entries.iter().map(core::explain_entry).collect::<Vec<_>>();
    let attachments = attach::show(session, tenant, &rules, integration, id)?;
    let body = json!({
        "attachments": attachments,
        "link": link.id, "platform_id": link.platform_id, "key": link.key,
        "table": link.table, "sys_id": link.external.as_ref().map(|e| &e.sys_id),
        "number": link.external.as_ref().and_then(|e| e.number.clone()),
        "role": link.role, "tombstone": link.tombstone, "settings_version": rules.integration().version,
        "fields": fields, "entries": entries, "rules": core::rules_said(&audit),
        "generation": link.generation, "successor": link.successor,
    });
    session.reply(request, 200, &body);
    Ok(())
}
