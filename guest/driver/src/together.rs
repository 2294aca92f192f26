//! Reads of a reconcile run, merged: the tickets of several links in one request, and in another which entries
//! they have. What they show goes to the check of each link, which then only has to read the platform's
//! record; what they do not show, the check reads by itself, which tells why.

use std::collections::{BTreeMap, BTreeSet};

use firn_core::settings::Rules;
use firn_core::wire;
use firn_core::wire::poll::{self, Together};
use firn_model::{
    Answer, CheckState, CommitError, EntryOrigin, Group, GroupState, Key, Link, Mirror,
    Observation, ObservationSource, Outcome, Run, Side, SysId, TenantId,
};

use crate::session::{Session, ticket};
use crate::{Doors, reconcile, rows, unreadable};

/// How often a read is tried before each check reads by itself.
const ATTEMPTS: u32 = 3;

/// Puts the links of a run into groups. Gives those that are in none: they are read by themselves.
pub(crate) fn gather<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
    run: &Run,
    links: &[Link],
) -> Result<BTreeSet<firn_model::LinkId>, CommitError> {
    let mut alone = BTreeSet::new();
    let mut tables: BTreeMap<_, Vec<&Link>> = BTreeMap::new();
    for link in links {
        if let Some(external) = &link.external {
            tables.entry(external.table.clone()).or_default().push(link);
        }
    }
    // No more groups than links: whatever is counted next has numbers of its own.
    let mut n = u32::try_from(run.links).unwrap_or(u32::MAX);
    for (table, links) in tables {
        for some in links.chunks(poll::merged(rules, &table)) {
            if let [one] = some {
                alone.insert(one.id.clone());
                continue;
            }
            let group = Group {
                run: run.id.clone(),
                table: table.clone(),
                links: some.iter().map(|link| link.id.clone()).collect(),
                state: GroupState::ReadingTickets,
                tickets: Vec::new(),
                attempts: 0,
                number: 0,
                asked: session.now,
                clock: None,
            };
            let now = session.now;
            session.put(&rows::group(tenant, rules.id(), &run.id, n), &group, Some(now))?;
            n += 1;
        }
    }
    Ok(alone)
}

/// A group's read is to be made, or was lost.
pub(crate) fn due<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
) -> Result<(), CommitError> {
    let Some(mut group) = session.get::<Group>(key)? else { return Ok(()) };
    let run = session.get::<Run>(&rows::run(&key.tenant, rules.id(), &group.run))?;
    if run.is_none_or(|run| run.state.is_over()) {
        session.delete(key); // It was stopped.
        return Ok(());
    }
    if group.attempts >= ATTEMPTS {
        return each_by_itself(session, rules, key, &group);
    }
    ask(session, rules, key, &mut group)
}

fn ask<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    group: &mut Group,
) -> Result<(), CommitError> {
    let mut ids = Vec::new();
    for id in &group.links {
        let link = session.link(&key.tenant, rules.id(), id);
        let link = unreadable::pass_over(session, link)?.flatten();
        ids.extend(link.and_then(|link| link.external).map(|external| external.sys_id));
    }
    if ids.is_empty() {
        return each_by_itself(session, rules, key, group);
    }
    group.attempts += 1;
    group.number += 1;
    group.asked = session.now;
    let together = match group.state {
        GroupState::ReadingTickets => Together::Tickets(&group.table),
        GroupState::ReadingJournal => Together::Entries,
    };
    let name = ticket(key, Side::External, group.number);
    let request = poll::together(rules, &key.tenant, together, &ids, name);
    let due = session.now.plus(request.queue + request.timeout + 1_000);
    session.submit(request);
    session.put(key, group, Some(due))
}

/// A group's read is over.
pub(crate) fn answered<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    number: u64,
    answer: &Answer,
) -> Result<(), CommitError> {
    let Some(mut group) = session.get::<Group>(key)? else { return Ok(()) };
    if group.number != number {
        return Ok(());
    }
    let failed = match group.state {
        GroupState::ReadingTickets => match poll::tickets(rules, answer, session.now) {
            Ok(tickets) => {
                group.clock = wire::clock(group.asked, answer, session.now);
                group.tickets = tickets;
                if !rules.integration().reads_journal() {
                    return hand_over(session, rules, key, group, Some(&[]));
                }
                if wire::has_activities(rules, &group.table) {
                    return hand_over(session, rules, key, group, None);
                }
                group.state = GroupState::ReadingJournal;
                group.attempts = 0;
                return ask(session, rules, key, &mut group);
            }
            Err(outcome) => outcome,
        },
        GroupState::ReadingJournal => match poll::entries(answer, session.now) {
            Ok(entries) => return hand_over(session, rules, key, group, entries.as_deref()),
            Err(outcome) => outcome,
        },
    };
    match *failed {
        Outcome::Busy(_) | Outcome::Silent(_) => {
            // Nobody was asked: that was no try.
            group.attempts = group.attempts.saturating_sub(1);
            session.put(key, &group, failed.not_before(session.now))
        }
        Outcome::Refused(_) | Outcome::Gone | Outcome::Deleted => {
            each_by_itself(session, rules, key, &group)
        }
        _ => {
            let later = session.now.plus(500 * u64::from(group.attempts));
            let due = failed.not_before(session.now).unwrap_or(later);
            session.put(key, &group, Some(due))
        }
    }
}

/// Nothing came of it.
fn each_by_itself<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    group: &Group,
) -> Result<(), CommitError> {
    for link in &group.links {
        let check = rows::check(&key.tenant, rules.id(), &group.run, link);
        reconcile::read(session, &check, CheckState::ReadingExternal, None, None)?;
    }
    session.delete(key);
    Ok(())
}

/// Gives each check what was read of its ticket. `entries`: each row with its ticket; none if there are more
/// than an answer holds.
fn hand_over<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    group: Group,
    entries: Option<&[(SysId, SysId)]>,
) -> Result<(), CommitError> {
    let (tenant, id) = (&key.tenant, rules.id());
    let tickets: BTreeMap<&str, _> =
        group.tickets.iter().map(|ticket| (ticket.id.as_str(), ticket)).collect();
    for link in &group.links {
        let key = rows::check(tenant, id, &group.run, link);
        let link = session.link(tenant, id, link);
        let Some(link) = unreadable::pass_over(session, link)?.flatten() else {
            reconcile::give_up(session, rules, &key)?;
            continue;
        };
        // Several links may share it.
        let record = link.external.as_ref().and_then(|e| tickets.get(e.sys_id.as_str()));
        let Some(record) = record.map(|record| (*record).clone()) else {
            reconcile::read(session, &key, CheckState::ReadingExternal, None, None)?;
            continue;
        };
        let knows_all = entries.is_some_and(|rows| rows.iter().all(|row| is_known(&link, row)));
        let next = match knows_all {
            true => CheckState::ReadingPlatform,
            false => CheckState::ReadingJournal,
        };
        let (source, entries) = (ObservationSource::Read, Vec::new());
        let seen = Observation { side: Side::External, source, record, entries };
        reconcile::read(session, &key, next, Some(seen), group.clock)?;
    }
    session.delete(key);
    Ok(())
}

/// Whether a row of the journal is none of this link's ticket, or known there: an entry of ServiceNow's, or
/// one of ours.
fn is_known(link: &Link, (row, of): &(SysId, SysId)) -> bool {
    if link.external.as_ref().is_none_or(|external| external.sys_id != *of) {
        return true;
    }
    link.entries.iter().any(|entry| {
        matches!(&entry.origin, EntryOrigin::External(id) if id == row.as_str())
            || matches!(&entry.mirror, Mirror::Mirrored(Some(id)) if id == row.as_str())
    })
}
