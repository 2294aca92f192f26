//! What holds of escalations, on a world at rest: each request that was taken has its ticket, with its evidence
//! in it, once; a conversation has no more tickets than the policy for closed ones lets it have; and nothing leaves
//! that is to be masked.

use std::collections::BTreeSet;

use firn_core::identity;
use firn_core::settings::Rules;
use firn_model::{ClosedPolicy, CorrelationKey, Link, PlatformId};

use super::check::nobody_knows_when;
use super::servicenow::{JournalRow, US};
use super::world::{Site, Violation, Wish, World};

/// The keys that tickets of a conversation have, and some that none may have.
fn keys(site: &Site, record: &str) -> Vec<CorrelationKey> {
    let Ok(record) = PlatformId::new(record) else { return Vec::new() };
    let wishes = site.wishes.iter().filter(|wish| wish.record == record.as_str()).count();
    let generations = 1..=wishes as u32 + 3;
    generations.map(|generation| identity::correlation_key(&record, generation)).collect()
}

/// Whether a key is one of a ticket that was asked for, of a conversation that no operator has paired or taken apart.
pub(super) fn is_asked_for(site: &Site, key: &str) -> bool {
    site.wishes.iter().any(|wish| {
        !site.torn.contains(&wish.record)
            && keys(site, &wish.record).iter().any(|known| known.as_str() == key)
    })
}

/// What was asked for and taken has come to be.
pub(super) fn come_true(world: &mut World, rules: &Rules) -> Result<(), Violation> {
    let links: Vec<Link> = world.rows("link");
    let conversations: BTreeSet<&str> =
        world.site().wishes.iter().map(|wish| wish.record.as_str()).collect();
    let mut others = 0;
    for record in conversations {
        let of: Vec<&Link> =
            links.iter().filter(|link| link.platform_id.as_str() == record).collect();
        others += of.iter().filter(|link| link.generation > 1).count();
        generations(world, rules, record, &of)?;
        for wish in world.site().wishes.iter().filter(|wish| wish.record == record && wish.taken) {
            evidence(world, wish, &of)?;
        }
    }
    masked(world, rules, &links)?;
    for _ in 0..others {
        world.met("escalation: in another ticket");
    }
    Ok(())
}

/// Another ticket takes another wish, and a policy that lets it be.
fn generations(world: &World, rules: &Rules, record: &str, of: &[&Link]) -> Result<(), Violation> {
    let site = world.site();
    let wishes = site.wishes.iter().filter(|wish| wish.record == record).count();
    let may = match rules.settings().correlation.closed {
        ClosedPolicy::Append => 1,
        ClosedPolicy::New | ClosedPolicy::Reopen => wishes,
    };
    let last = of.iter().map(|link| link.generation as usize).max().unwrap_or_default();
    if last > may || of.len() > may {
        return Err(
            world.violation(format!("wishes: {last} tickets of {record} for {wishes} wishes"))
        );
    }
    let keys = keys(site, record);
    let tickets = site.servicenow.tickets.values().map(|t| &t.columns["correlation_id"]);
    let deleted = site.servicenow.deleted.iter().map(|d| &d.key);
    let used: BTreeSet<&String> =
        tickets.chain(deleted).filter(|key| keys.iter().any(|k| k.as_str() == *key)).collect();
    if used.len() > may {
        return Err(world.violation(format!("wishes: tickets {used:?} for {wishes} wishes")));
    }
    Ok(())
}

/// A wish that was taken has a ticket, in which its evidence stands once, and nowhere else.
fn evidence(world: &World, wish: &Wish, of: &[&Link]) -> Result<(), Violation> {
    let site = world.site();
    let is_it = |value: &str| value.starts_with("Escalated") && value.contains(&wish.mark);
    let rows: Vec<&JournalRow> =
        site.servicenow.journal.iter().filter(|r| r.author == US && is_it(&r.value)).collect();
    let said = |link: &Link| {
        let ticket = link.external.as_ref().map(|external| external.sys_id.as_str());
        rows.iter().filter(|row| Some(row.ticket.as_str()) == ticket).count()
    };
    let has_it = |link: &&&Link| link.entries.iter().any(|entry| is_it(entry.text.text()));
    let known = of.iter().find(has_it);
    let wrong = |what: &str| {
        let entries = of.iter().flat_map(|link| &link.entries);
        let entries = entries.filter(|entry| is_it(entry.text.text()));
        let entries: Vec<_> = entries.map(|entry| (&entry.origin, &entry.mirror)).collect();
        let there: Vec<&str> = rows.iter().map(|row| row.ticket.as_str()).collect();
        Err(world.violation(format!("wishes: {} {what}: {entries:?}, in {there:?}", wish.body)))
    };
    // Who may not read the journal cannot look whether an entry whose answer was lost is there.
    let unseen = site.servicenow.quirks.journal_hidden || nobody_knows_when(world);
    let tickets: BTreeSet<&str> = rows.iter().map(|row| row.ticket.as_str()).collect();
    // The store that took it is not there any more: asked once more, it may be a wish for another ticket.
    let most = if site.restored.is_some() { tickets.len() } else { 1 };
    if rows.len() > most && !unseen {
        return wrong("has its evidence more than once");
    }
    if site.restored.is_some() {
        return Ok(());
    }
    let Some(first) = of.first() else { return wrong("was taken and is lost") };
    let Some(link) = known else {
        // In a conversation whose ticket is deleted or was taken from it there is nothing to be said.
        let is_over = of.iter().any(|link| link.tombstone.is_some() && link.successor.is_none())
            || site.torn.contains(first.platform_id.as_str());
        return if is_over { Ok(()) } else { wrong("was taken and left no evidence") };
    };
    let is_gone = link.tombstone.is_some()
        || site.torn.contains(link.platform_id.as_str())
        || link.external.as_ref().is_some_and(|external| {
            site.servicenow.deleted.iter().any(|d| d.ticket == external.sys_id.as_str())
        });
    if link.external.is_none() && !link.external_side.halted && !is_gone {
        return wrong("never got its ticket");
    }
    if said(link) == 0 && !is_gone && !link.external_side.halted {
        return wrong("has no evidence in its ticket");
    }
    Ok(())
}

/// Titles are the questions that were asked, and nobody's number is anywhere.
fn masked(world: &World, rules: &Rules, links: &[Link]) -> Result<(), Violation> {
    let site = world.site();
    if site.wishes.is_empty() {
        return Ok(());
    }
    for link in links {
        let Some(id) = link.external.as_ref().map(|e| e.sys_id.as_str()) else { continue };
        let Some(ticket) = site.servicenow.tickets.get(id).filter(|t| !t.touched) else { continue };
        let title = &ticket.columns["short_description"];
        // An operator may have paired it with a ticket of another conversation's, or it began as a ticket.
        let record = link.platform_id.as_str();
        let was_asked_for = site.wishes.iter().any(|wish| wish.record == record);
        if site.torn.contains(record) || !was_asked_for {
            continue;
        }
        let asked = site.wishes.iter().any(|wish| {
            wish.record == record
                && rules.masks().draft("short_description", &wish.question) == *title
        });
        if !asked {
            return Err(world.violation(format!("wishes: {id} is named {title:?}")));
        }
    }
    let bodies = site.servicenow.bodies.iter().map(|(_, body)| body.to_string());
    if let Some(body) = bodies.into_iter().find(|body| body.contains("+1555019")) {
        return Err(world.violation(format!("wishes: it was not masked: {body}")));
    }
    Ok(())
}
