//! The four properties, on a world at rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use firn_core::settings::{Rules, compile_with};
use firn_core::{learning, mapping, plan};
use firn_model::{
    ArticleDraft, ArticleState, Attribute, Audit, DeadLetter, DeadState, Ended, Entry, EntryOrigin,
    ExternalRecord, Finding, FindingKind, Hook, JournalText, Learning, LearningState, Link, LinkId,
    Mirror, Owner, Polling, Revision, Role, Shape, Side, Standing, TableName, Tombstone, Value,
    Why,
};

use super::servicenow::{JournalRow, US};
use super::world::{SimTokens, Violation, World};

pub(crate) fn check(world: &mut World) -> Result<(), Violation> {
    world.tenants_apart()?;
    for at in 0..world.sites.len() {
        world.at = at;
        check_site(world)?;
    }
    // Each edit may need a write on each side, be restored once, and be repeated for each fault.
    let writes = world.writes();
    let bound = 4 * world.edits + 2 * world.fired + 8 + world.learnt;
    if writes > bound {
        return Err(world.violation(format!("quiet: {writes} writes for {} edits", world.edits)));
    }
    Ok(())
}

/// Sweeps have seen everything, whatever became of the webhooks: each link knows its ticket as it is,
/// every entry of its journal, and that it is gone.
pub(crate) fn caught_up(world: &World) -> Result<(), Violation> {
    let settings = &world.site().integration.settings;
    // What changed while the clock was behind, or the ticket could not be read, is found by the run that looks at
    // everything.
    if settings.polling.mode == Polling::Off || world.site().jumped || world.site().hid {
        return Ok(());
    }
    let servicenow = &world.site().servicenow;
    for link in world.rows::<Link>("link") {
        let (Some(external), None, None) = (&link.external, &link.tombstone, &link.successor)
        else {
            continue;
        };
        let missed = |what: &str| {
            Err(world.violation(format!("swept: {} was missed of {}", what, link.platform_id)))
        };
        let Some(ticket) = servicenow.tickets.get(external.sys_id.as_str()) else {
            let class = servicenow.deleted.iter().find(|d| d.ticket == external.sys_id.as_str());
            let polled = class.is_some_and(|d| is_polled(world, &d.class));
            if polled && !servicenow.quirks.deletions_hidden {
                return missed("the deletion");
            }
            continue;
        };
        let known = match link.external_side.revision {
            Some(Revision::External { mod_count, .. }) => mod_count,
            _ => None,
        };
        if is_polled(world, &ticket.class) && known != Some(ticket.mod_count) {
            return missed(&format!("change {} (known: {known:?})", ticket.mod_count));
        }
        let foreign =
            |row: &&JournalRow| row.ticket == external.sys_id.as_str() && row.author != US;
        for row in servicenow.journal.iter().filter(foreign) {
            // After a restore its copy may have been seen first.
            let known = |e: &Entry| {
                e.origin.id() == row.sys_id && !matches!(e.origin, EntryOrigin::Firn(_))
            };
            if !servicenow.quirks.journal_hidden && !link.entries.iter().any(known) {
                return missed(&format!("the entry {}", row.sys_id));
            }
        }
    }
    Ok(())
}

fn is_polled(world: &World, class: &str) -> bool {
    world.site().integration.settings.tickets.iter().any(|t| t.table.as_str() == class)
}

fn check_site(world: &mut World) -> Result<(), Violation> {
    let integration = world.site().integration.clone();
    let tokens = Arc::new(SimTokens(integration.tenant.clone()));
    let rules = compile_with(integration, tokens)
        .map_err(|faults| world.violation(format!("settings: {faults:?}")))?;
    let audit: Vec<Audit> = world.rows("audit");
    let findings: Vec<Finding> = world.rows("finding");
    count(world, &audit, &findings);
    for record in world.site().platform.records.keys().cloned().collect::<Vec<_>>() {
        pair(world, &rules, &findings, &record)?;
    }
    one_open_ticket_per_key(world, &rules, &findings)?;
    tickets(world, &rules)?;
    learns(world, &rules)?;
    super::wishes::come_true(world, &rules)?;
    keeps(world, &rules, &audit, &findings)?;
    explains(world, &rules, &audit)
}

/// Without a unique key: at most one *open* ticket once all is quiet. One that a person has worked
/// in is not closed; somebody is told.
fn one_open_ticket_per_key(
    world: &World,
    rules: &Rules,
    findings: &[Finding],
) -> Result<(), Violation> {
    let told = |key: &str| {
        findings.iter().any(|f| f.kind == FindingKind::DuplicateTicket && f.text.contains(key))
    };
    let mut keys: BTreeMap<&String, Vec<&super::servicenow::Ticket>> = BTreeMap::new();
    let links: Vec<Link> = world.rows("link");
    for (id, ticket) in &world.site().servicenow.tickets {
        // A person attached it to another record.
        let held = links.iter().any(|link| {
            link.external.as_ref().is_some_and(|e| e.sys_id.as_str() == id)
                && link.key.as_str() != ticket.columns["correlation_id"]
        });
        if held && told(&ticket.columns["correlation_id"]) {
            continue;
        }
        keys.entry(&ticket.columns["correlation_id"]).or_default().push(ticket);
    }
    // A ticket that somebody made one of a class that the settings do not name cannot be closed by us.
    let is_beyond =
        |class: &str| TableName::new(class).is_ok_and(|class| rules.closing(&class).is_none());
    for (key, tickets) in keys {
        // A pair at rest is looked at no more.
        // Its ticket was forgotten, and could not be read: another one was made.
        let unseen = world.site().hid && world.site().restored.is_some();
        let rests = unseen
            || !(world.site().platform.records.contains_key(key)
                || super::wishes::is_asked_for(world.site(), key))
            || world.site().torn.contains(key);
        if rests {
            continue;
        }
        let open = tickets.iter().filter(|t| !matches!(t.columns["state"].as_str(), "7" | "8"));
        // After a restore none is closed that was made before: what was paired meanwhile shows nowhere.
        let touched = tickets.iter().any(|t| t.touched || is_beyond(&t.class))
            || world.site().restored.is_some();
        if open.count() > 1 && !(touched && told(key)) {
            return Err(world.violation(format!("two open tickets for {key}")));
        }
    }
    Ok(())
}

/// Its link went with the store, nobody has told of it since, and it has no ticket that a sweep would show.
fn is_forgotten(world: &World, record: &str) -> bool {
    let site = world.site();
    let polled =
        site.integration.settings.polling.mode != Polling::Off && !site.hid && !site.jumped;
    let links: Vec<Link> = world.rows("link");
    let shown = site.servicenow.tickets.iter().any(|(id, ticket)| {
        ticket.columns["correlation_id"] == record
            && ticket.created_by == US
            && is_polled(world, &ticket.class)
            && !links.iter().any(|l| l.external.as_ref().is_some_and(|e| e.sys_id.as_str() == id))
    });
    site.unheard.contains(record) && !(polled && shown)
}

/// A record and its ticket are in step; or they are not to be, and a person knows why.
fn pair(world: &World, rules: &Rules, findings: &[Finding], record: &str) -> Result<(), Violation> {
    let torn = world.site().torn.contains(record);
    let Some(link) = world.link_of(record) else {
        // An operator's request may have failed, and nobody asked again.
        let asked_by_hand = matches!(record, "rec-2" | "rec-3");
        return match asked_by_hand || is_forgotten(world, record) {
            true => Ok(()),
            false => Err(world.violation(format!("{record} was told of and has no link"))),
        };
    };
    let told = |kind: FindingKind| {
        findings.iter().any(|f| f.kind == kind && f.link.as_ref() == Some(&link.id))
    };
    match &link.tombstone {
        Some(Tombstone { why: Ended::Unlinked { .. }, .. }) if torn => return Ok(()),
        Some(Tombstone { why: Ended::Gone(Side::External), .. }) => {
            let ticket = link.external.as_ref().map(|e| e.sys_id.to_string()).unwrap_or_default();
            return match (
                world.site().servicenow.deleted.iter().any(|deleted| deleted.ticket == ticket),
                told(FindingKind::RecordGone),
            ) {
                (true, true) => Ok(()),
                (false, _) => {
                    Err(world.violation(format!("gone: {record}'s ticket was not deleted")))
                }
                (_, false) => Err(world.violation(format!("gone: nobody was told of {record}"))),
            };
        }
        Some(other) => {
            return Err(world.violation(format!("{record} ended without a reason: {other:?}")));
        }
        None => {}
    }
    let Some(external) = &link.external else {
        let attached_to_nothing = told(FindingKind::RecordMissing) && link.attach.is_none();
        // It was made, and deleted before anybody could look: a dead letter, and a person decides.
        let deleted_unseen = link.external_side.halted
            && told(FindingKind::Refused)
            && world.site().servicenow.deleted.iter().any(|deleted| deleted.key == record);
        // Its ticket could not be read, and no second one was taken: a dead letter, and a person decides.
        let hidden_then =
            world.site().hid && link.external_side.halted && told(FindingKind::Refused);
        let given_up = link.external_side.halted
            && world
                .rows::<DeadLetter>("dead")
                .iter()
                .any(|letter| letter.link == link.id && letter.state == DeadState::Discarded);
        return match attached_to_nothing || deleted_unseen || hidden_then || given_up {
            true => Ok(()),
            false => Err(world.violation(format!("{record} never got its ticket"))),
        };
    };
    let Some(ticket) = world.site().servicenow.tickets.get(external.sys_id.as_str()) else {
        let known = world.site().servicenow.quirks.deletions_hidden
            && link.external_side.missing
            && told(FindingKind::RecordMissing);
        return match known {
            true => Ok(()),
            false => {
                Err(world.violation(format!("gone: {record}'s ticket was deleted, unnoticed")))
            }
        };
    };
    if link.table.as_str() != ticket.class {
        return Err(world.violation(format!(
            "converges: {record}'s ticket is a {}, we believe a {}",
            ticket.class, link.table
        )));
    }
    if link.role != Role::Secondary {
        converges(world, rules, record, external.sys_id.as_str(), &link)?;
    }
    said_here(world, rules, record, external.sys_id.as_str(), &link)
}

/// Both sides mean the same, or the field is parked and a person was told.
fn converges(
    world: &World,
    rules: &Rules,
    record: &str,
    ticket: &str,
    link: &Link,
) -> Result<(), Violation> {
    for field in rules.fields(&link.table) {
        let platform = Shape(BTreeMap::from([(
            mapping::platform_attribute(field)
                .ok_or_else(|| world.violation(format!("{} has no attribute", field.name)))?,
            Value::text(
                world.site().platform.records[record]
                    .fields
                    .get(field.name.as_str())
                    .cloned()
                    .unwrap_or_default(),
            ),
        )]));
        let columns = &world.site().servicenow.tickets[ticket].columns;
        let external = Shape(
            mapping::attributes(field, Side::External)
                .into_iter()
                .map(|a| {
                    let value = match a.as_str() {
                        "assigned_to.email" => {
                            let user = super::servicenow::USERS
                                .iter()
                                .find(|(id, _)| *id == columns["assigned_to"]);
                            user.map_or(String::new(), |(_, email)| (*email).to_owned())
                        }
                        name => columns.get(name).cloned().unwrap_or_default(),
                    };
                    (a, Value::text(value))
                })
                .collect(),
        );
        let state = &link.fields[&field.name];
        // A record that an agent's ticket opened does not have what was empty there. Found again after a restore it is the
        // platform's: what its owner never showed is not taken from the other side.
        let unsaid = world.site().restored.is_some()
            && !record.starts_with("rec-")
            && link.origin == Side::Platform
            && field.owner == Owner::Platform
            && state.base.is_none()
            && state.shape(Side::Platform).is_none();
        for (side, there) in [(Side::Platform, &platform), (Side::External, &external)] {
            // Of what began in ServiceNow, nobody told the platform of what is empty.
            let nothing = (link.origin == Side::External || world.site().restored.is_some())
                && state.shape(side).is_none()
                && there.to_string().is_empty();
            if state.shape(side) != Some(there) && !nothing {
                return Err(world.violation(format!(
                    "converges: {record}.{} is {there} on the {side} side, and we believe {:?}",
                    field.name,
                    state.shape(side)
                )));
            }
        }
        // What a customer's own rules make of it (see `doors`).
        let made = mapping::platform_attribute(field)
            .map(|attribute| Shape::one(attribute, Value::text("high")));
        let ruled = rules.asks(Hook::Value)
            && field.name.as_str() == "severity"
            && platform.to_string() == "medium"
            && made.is_some_and(|made| mapping::agree(field, &made, &external));
        let excused = ruled || unsaid || state.parked.is_some();
        if !(excused || mapping::agree(field, &platform, &external)) {
            return Err(world.violation(format!(
                "converges: {record}.{} is {platform} here and {external} there; base {:?}, owner {:?}",
                field.name, state.base, field.owner
            )));
        }
    }
    Ok(())
}

/// How often something was said on one side, by its users and by us: by audience and text.
type Said = BTreeMap<(bool, String), [i64; 2]>;

/// What Firn itself writes into a duplicate that it closes.
fn is_a_note_of_ours(text: &str) -> bool {
    text.starts_with("Duplicate of ") || is_last_note(text)
}

/// What was learnt from a ticket, written back to it.
fn is_last_note(text: &str) -> bool {
    text.starts_with("Case summary ")
}

/// Of each ticket from which something was learnt there is one draft, which says what was learnt last.
fn drafts(world: &World, rules: &Rules) -> Result<(), Violation> {
    if rules.settings().learning.articles.is_none() {
        return Ok(());
    }
    let rows = &world.site().servicenow.articles.rows;
    let mut of: BTreeMap<&str, usize> = BTreeMap::new();
    for article in rows.values() {
        *of.entry(article.columns["source"].as_str()).or_default() += 1;
        if article.columns["workflow_state"] != "draft" {
            return Err(world.violation(format!("drafts: {article:?} is none")));
        }
    }
    // One that came to be after the transaction limit is told.
    let told = world.rows::<Finding>("finding");
    let told = |id: &str| {
        told.iter().any(|finding| {
            finding.kind == FindingKind::LearningFailed
                && finding.text.contains("drafts of an article")
                && world
                    .site()
                    .servicenow
                    .tickets
                    .get(id)
                    .is_none_or(|ticket| finding.text.contains(&ticket.columns["number"]))
        })
    };
    let drafts: Vec<ArticleDraft> = world.rows("article");
    // What a restored store has never heard of is looked for, and told, when something is learnt from the ticket again.
    let forgotten = |id: &str| {
        world.site().restored.is_some() && !drafts.iter().any(|d| d.ticket.sys_id.as_str() == id)
    };
    let untold = |id: &str| !told(id) && !forgotten(id);
    if let Some((ticket, n)) = of.iter().find(|(ticket, n)| **n > 1 && untold(ticket)) {
        return Err(world.violation(format!("drafts: {n} articles of {ticket}")));
    }
    for learnt in world.rows::<Learning>("learnt") {
        let Some(summary) = learnt.summary.filter(|s| s.standing == Standing::Current) else {
            continue;
        };
        let known = drafts.iter().find(|draft| draft.ticket.sys_id == summary.ticket.sys_id);
        // An answer that was lost may have been a person's edit: then it is left alone.
        let is_right = match known.map(|draft| &draft.state) {
            Some(ArticleState::Written) => {
                let article =
                    known.and_then(|draft| rows.get(draft.article.as_ref()?.sys_id.as_str()));
                let text = article.map(|article| article.columns["text"].as_str());
                // What was written in a time that is forgotten may say more than is known.
                text == Some(&learning::article::content(&summary)["text"])
                    || text.is_some() && world.site().restored.is_some()
            }
            Some(ArticleState::Left) => of.contains_key(summary.ticket.sys_id.as_str()),
            _ => false,
        };
        if !is_right {
            return Err(world.violation(format!(
                "drafts: {} has learnt {summary:?}, and its draft is {known:?} of {rows:?}",
                learnt.link
            )));
        }
    }
    Ok(())
}

/// From each ticket that is over something was learnt, which holds as long as it is; and each time it was written back
/// exactly once.
fn learns(world: &mut World, rules: &Rules) -> Result<(), Violation> {
    if !rules.settings().learning.enabled {
        return Ok(());
    }
    drafts(world, rules)?;
    let learnt: Vec<Learning> = world.rows("learnt");
    let links: Vec<Link> = world.rows("link");
    for link in &links {
        let known = learnt.iter().find(|learning| learning.link == link.id);
        let over = learning::is_over(rules, link);
        let holds = known.is_some_and(|known| {
            let current = known.summary.as_ref().is_some_and(|s| s.standing == Standing::Current);
            known.state == LearningState::Learnt && current
        });
        // Of a kind that is not kept in step nobody knows how it stands.
        // What was learnt of a ticket that it was paired with before holds as long as that one is over.
        let of_another = known.and_then(|known| known.summary.as_ref()).is_some_and(|s| {
            link.external.as_ref().is_some_and(|external| external.sys_id != s.ticket.sys_id)
        });
        let is_asked = link.tombstone.is_none()
            && link.role != Role::Secondary
            && !of_another
            && (over || learning::is_seen(rules, link));
        if is_asked && over != holds {
            return Err(world.violation(format!(
                "learns: {} is over: {over}, and {known:?}",
                link.platform_id
            )));
        }
        let Some(external) = &link.external else { continue };
        let is_note = |entry: &&Entry| {
            matches!(&entry.origin, EntryOrigin::Firn(id) if id.starts_with("summary-"))
                && matches!(entry.mirror, Mirror::Mirrored(_))
        };
        let notes = link.entries.iter().filter(is_note).count();
        world.learnt += notes as u64;
        let is_it = |other: &ExternalRecord| other.sys_id == external.sys_id;
        let servicenow = &world.site().servicenow;
        // Who may not see the journal cannot tell whether a note whose answer was lost is there.
        let alone = !servicenow.quirks.journal_hidden
            && link.role == Role::Sole
            // What was taken apart, or is paired anew, was learnt from by somebody else before.
            && world.site().torn.is_empty()
            && world.rows::<Vec<LinkId>>("formerly").is_empty()
            // Nor by a link whose record is gone and that this one has followed.
            && links.iter().filter(|l| l.external.as_ref().is_some_and(is_it)).count() == 1
            && !world.site().left.contains(external.sys_id.as_str())
            && servicenow.tickets.contains_key(external.sys_id.as_str());
        let there = servicenow
            .journal
            .iter()
            .filter(|r| r.ticket == external.sys_id.as_str() && is_last_note(&r.value));
        let there = there.count();
        // After a restore it is made anew, perhaps in other words.
        let again = world.site().restored.is_some() && there > notes;
        if alone && there != notes && !again {
            return Err(world.violation(format!(
                "learns: {there} last notes on {}, and {notes} known",
                external.sys_id
            )));
        }
        if notes > 0 {
            world.met("learnt: written back");
        }
    }
    Ok(())
}

fn said_on_record(world: &World, rules: &Rules, record: &str) -> Said {
    let mut said = Said::new();
    let Some(record) = world.site().platform.records.get(record) else { return said };
    for comment in record.comments.iter().filter(|c| !is_a_note_of_ours(&c.text)) {
        let public = comment.visibility == "public";
        let text = match comment.by_user {
            true => rules.masks().comment(Side::External, &comment.text),
            false => comment.text.clone(),
        };
        said.entry((public, text)).or_default()[usize::from(!comment.by_user)] += 1;
    }
    said
}

fn said_on_ticket(world: &World, rules: &Rules, ticket: &str) -> Said {
    let mut said = Said::new();
    let rows = &world.site().servicenow.journal;
    for row in rows.iter().filter(|r| r.ticket == ticket && !is_a_note_of_ours(&r.value)) {
        let ours = row.author == US;
        // What was said before the pair was made says by whom and when.
        let bare = row.value.split_once(" UTC, ").and_then(|(_, rest)| rest.split_once(":\n"));
        let text = match (ours, bare) {
            (true, Some((_, text))) => text.to_owned(),
            (true, None) => row.value.clone(),
            (false, _) => rules.masks().comment(Side::Platform, &row.value),
        };
        said.entry((row.element == "comments", text)).or_default()[usize::from(ours)] += 1;
    }
    said
}

/// By a clock that was set, what was written in the time that is lost may be of another.
pub(super) fn nobody_knows_when(world: &World) -> bool {
    world.site().restored.is_some() && world.site().jumped
}

/// Every entry of the ticket's users is on the record exactly once, if its audience lets it, and
/// none of ours came back.
fn said_here(
    world: &World,
    rules: &Rules,
    record: &str,
    ticket: &str,
    link: &Link,
) -> Result<(), Violation> {
    let notes_travel = rules.settings().journal.work_notes_to_platform;
    for entry in &link.entries {
        let leaked = matches!(&entry.text, JournalText::WorkNote(_))
            && !notes_travel
            && entry.origin.side() == Side::External
            && !matches!(entry.mirror, Mirror::Withheld(_));
        if leaked {
            return Err(
                world.violation(format!("comments: the work note {:?} would leave", entry.origin))
            );
        }
    }
    if world.site().servicenow.quirks.journal_hidden
        || world.site().torn.contains(record)
        || nobody_knows_when(world)
    {
        return Ok(());
    }
    let (here, there) =
        (said_on_record(world, rules, record), said_on_ticket(world, rules, ticket));
    let keys: BTreeSet<_> = here.keys().chain(there.keys()).cloned().collect();
    for key in keys {
        let [_, mirrored] = here.get(&key).copied().unwrap_or_default();
        let [written, _] = there.get(&key).copied().unwrap_or_default();
        let travels = key.0 || notes_travel;
        if mirrored != (if travels { written } else { 0 }) {
            return Err(world.violation(format!(
                "comments: {ticket} {key:?} was written {written} times, and is {mirrored} times on {record}"
            )));
        }
    }
    Ok(())
}

/// Every entry of the records' users is on their ticket exactly once, whichever record it comes from.
fn tickets(world: &World, rules: &Rules) -> Result<(), Violation> {
    if world.site().servicenow.quirks.journal_hidden || nobody_knows_when(world) {
        return Ok(());
    }
    let links: Vec<Link> = world.rows("link");
    for ticket in world.site().servicenow.tickets.keys() {
        let on_it: Vec<&Link> = links
            .iter()
            .filter(|l| l.external.as_ref().is_some_and(|e| e.sys_id.as_str() == ticket))
            .collect();
        // A pair that was taken apart, or whose record is gone, may have said a part of it.
        let whole = |link: &&&Link| {
            let record = link.platform_id.as_str();
            !world.site().torn.contains(record)
                && world.site().platform.records.contains_key(record)
                && link.tombstone.is_none()
        };
        if world.site().left.contains(ticket)
            || on_it.is_empty()
            || on_it.iter().filter(whole).count() != on_it.len()
        {
            continue;
        }
        let mut written: BTreeMap<(bool, String), i64> = BTreeMap::new();
        for link in on_it {
            for (key, [by_users, _]) in said_on_record(world, rules, link.platform_id.as_str()) {
                *written.entry(key).or_default() += by_users;
            }
        }
        let there = said_on_ticket(world, rules, ticket);
        let keys: BTreeSet<_> = written.keys().chain(there.keys()).cloned().collect();
        for key in keys {
            let written = written.get(&key).copied().unwrap_or_default();
            let [_, mirrored] = there.get(&key).copied().unwrap_or_default();
            if written != mirrored {
                return Err(world.violation(format!(
                    "comments: {key:?} was written {written} times on the platform, and is {mirrored} times on {ticket}"
                )));
            }
        }
    }
    Ok(())
}

/// A value of a user that a write of ours replaced is in an audit line as what stood there, or a
/// finding tells of it.
fn keeps(
    world: &World,
    rules: &Rules,
    audit: &[Audit],
    findings: &[Finding],
) -> Result<(), Violation> {
    let masked = |value: &str| rules.masks().shown(value);
    let number = |ticket: &str| {
        world.site().servicenow.tickets.get(ticket).map(|ticket| &ticket.columns["number"])
    };
    let told = |ticket: &str, field: &str| {
        findings.iter().any(|f| {
            let is_it = match &f.field {
                Some(name) => name.as_str() == field,
                // It is about a ticket that was closed as a duplicate.
                None => number(ticket).is_none_or(|number| f.text.contains(number)),
            };
            f.kind == FindingKind::OverwrittenUnseen && is_it
        })
    };
    let recorded = |side: Side, field: &str, attribute: &str, value: &str| {
        audit.iter().filter(|line| line.side == Some(side)).flat_map(|line| &line.fields).any(
            |written| {
                written.field.as_ref().is_some_and(|f| f.as_str() == field)
                    && written.from.as_ref().is_some_and(|shape| {
                        // Impact and urgency are kept as the priority that they make.
                        field == "severity"
                            || Attribute::new(attribute).is_ok_and(|a| {
                                shape.get(&a).map(Value::to_text) == Some(masked(value))
                            })
                    })
            },
        )
    };
    let links: Vec<Link> = world.rows("link");
    for lost in &world.site().servicenow.overwritten {
        let (field, attribute) = match lost.column.as_str() {
            "short_description" => ("title", "short_description"),
            "description" => ("description", "description"),
            "state" => ("status", "state"),
            "assigned_to" => ("assigned_to", "assigned_to"),
            _ => ("severity", "priority"),
        };
        if matches!(lost.column.as_str(), "close_code" | "close_notes" | "hold_reason") {
            continue;
        }
        if !told(&lost.ticket, field) && !recorded(Side::External, field, attribute, &lost.value) {
            return Err(world.violation(format!(
                "keeps: {}.{} was {:?}, overwritten without a trace",
                lost.ticket, lost.column, lost.value
            )));
        }
        // Where the history may be read, what was overwritten is in the audit too. (Of a write that took effect late
        // it may not be known between which changes.)
        let servicenow = &world.site().servicenow;
        let readable = servicenow.tickets.contains_key(&lost.ticket)
            && !servicenow.hidden.contains(&lost.ticket)
            && !servicenow.quirks.history_hidden;
        let on_it = |id: &LinkId| {
            links.iter().any(|link| {
                let external = link.external.as_ref();
                link.id == *id && external.is_some_and(|e| e.sys_id.as_str() == lost.ticket)
            })
        };
        let asked = findings.iter().any(|f| {
            f.kind == FindingKind::OverwrittenUnseen
                && f.link.as_ref().is_some_and(on_it)
                && f.field.as_ref().is_some_and(|n| n.as_str() == field)
                && (f.text.contains("more than once") || f.text.contains("that it did not"))
        });
        if readable && asked && !recorded(Side::External, field, attribute, &lost.value) {
            return Err(world.violation(format!(
                "keeps: {}.{} was {:?}, overwritten, and its history was not asked",
                lost.ticket, lost.column, lost.value
            )));
        }
    }
    for lost in &world.site().platform.overwritten {
        if !recorded(Side::Platform, &lost.field, &lost.field, &lost.value) {
            return Err(world.violation(format!(
                "keeps: {}.{} was {:?}, overwritten without a trace",
                lost.record, lost.field, lost.value
            )));
        }
    }
    Ok(())
}

/// Each write that a side has seen has its audit line.
fn explains(world: &World, rules: &Rules, audit: &[Audit]) -> Result<(), Violation> {
    for key in &world.site().platform.keys {
        let explained = audit.iter().any(|line| line.key.as_ref() == Some(key));
        if !explained && !world.site().unexplained.contains(key) {
            return Err(world.violation(format!("explains: no audit line for the write {key}")));
        }
    }
    for (ticket, body) in &world.site().servicenow.bodies {
        let Some(body) = body.as_object() else { continue };
        let said = body.contains_key("comments") || body.contains_key("work_notes");
        let line = audit.iter().filter(|line| line.side == Some(Side::External)).any(|line| {
            match line.event.as_str() {
                "append" => said,
                "create" => body.contains_key("correlation_id"),
                "retire" => said && body.contains_key("state"),
                _ => line.fields.iter().filter_map(|w| w.to.as_ref()).all(|shape| {
                    shape.0.iter().all(|(a, v)| {
                        body.get(a.as_str()).and_then(|b| b.as_str()).map(|b| {
                            plan::mask_shape(rules, &Shape::one(a.clone(), Value::text(b)))
                        }) == Some(Shape::one(a.clone(), v.clone()))
                    })
                }),
            }
        });
        if !line {
            return Err(world
                .violation(format!("explains: no audit line for a write to {ticket}: {body:?}")));
        }
    }
    Ok(())
}

fn count(world: &mut World, audit: &[Audit], findings: &[Finding]) {
    for written in audit.iter().flat_map(|line| &line.fields) {
        let what = match written.why {
            Why::Created => "why: created",
            Why::Carried => "why: carried",
            Why::Restored => "why: restored",
            Why::LastWriteWins => "why: last-write-wins",
            Why::HigherPriority => "why: higher-priority",
            Why::Overruled => "why: overruled",
            Why::Mirrored => "why: mirrored",
            Why::Guarded => "why: guarded",
            Why::OtherGone => "why: other-gone",
            Why::Duplicate => "why: duplicate",
            Why::Unseen => "why: unseen",
            Why::Resolved { .. } | Why::Attached | Why::Evidence | Why::Reopened => continue,
        };
        *world.coverage.entry(what).or_default() += 1;
    }
    for finding in findings {
        let what = match finding.kind {
            FindingKind::RulesFailed => "finding: rules-failed",
            FindingKind::Conflict => "finding: conflict",
            FindingKind::Kept => "finding: kept",
            FindingKind::MaskedEdit => "finding: masked-edit",
            FindingKind::UnmappedValue => "finding: unmapped-value",
            FindingKind::OverwrittenUnseen => "finding: overwritten-unseen",
            FindingKind::RecordGone => "finding: record-gone",
            FindingKind::RecordMissing => "finding: record-missing",
            FindingKind::Reclassed => "finding: reclassed",
            FindingKind::DuplicateTicket => "finding: duplicate-ticket",
            FindingKind::SharedTicket => "finding: shared-ticket",
            FindingKind::WebhooksMissing => "finding: webhooks-missing",
            _ => continue,
        };
        *world.coverage.entry(what).or_default() += 1;
    }
}
