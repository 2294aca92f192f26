//! The journal: an append-only union of both sides' entries. An echo is known by identity, never
//! by a marker in the text, and never by "it was our user": others may share that user.

use std::collections::BTreeMap;

use firn_model::{
    Backfill, Entry, EntryOrigin, EntrySeen, Flight, JournalText, Link, Millis, Mirror, Side, Verb,
    servicenow_text,
};
use serde::{Deserialize, Serialize};

use crate::settings::Rules;
use crate::{format, masking};

/// What is known of other links on the same ticket: their rows are no foreign entries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Neighbours {
    /// Rows of ServiceNow's journal that mirror an entry of another link.
    pub claimed: Vec<String>,
    /// Whether another link has a write to the ticket under way.
    pub busy: bool,
}

/// Puts entries that were seen into the link. What is known already changes nothing.
pub fn observe(rules: &Rules, link: &mut Link, neighbours: &Neighbours, seen: &[EntrySeen]) {
    let mut seen: Vec<&EntrySeen> = seen.iter().collect();
    seen.sort_by(|a, b| (a.at, a.origin.id()).cmp(&(b.at, b.origin.id())));
    for entry in seen {
        let of_neighbour = entry.origin.side() == Side::External
            && neighbours.claimed.iter().any(|id| id == entry.origin.id());
        if of_neighbour || known(link, &entry.origin) || claimed_late(rules, link, entry) {
            continue;
        }
        let mirror = match withheld(rules, link, entry) {
            Some(reason) => Mirror::Withheld(reason),
            None => Mirror::Pending,
        };
        link.entries.push(Entry {
            origin: entry.origin.clone(),
            text: entry.text.clone(),
            author: entry.author.clone(),
            at: entry.at,
            mirror,
        });
    }
}

/// Forgets entries that turned out to be another link's.
pub fn forget_neighbours(link: &mut Link, neighbours: &Neighbours) {
    link.entries.retain(|entry| {
        !(entry.origin.side() == Side::External
            && entry.mirror == Mirror::Pending
            && neighbours.claimed.iter().any(|id| id == entry.origin.id()))
    });
}

/// Whether an entry is in the link already: by its own id, or as the mirror of another one.
fn known(link: &Link, origin: &EntryOrigin) -> bool {
    link.entries.iter().any(|entry| {
        entry.origin == *origin
            // The platform keeps the id that we gave: a `sys_id` coming back is an echo.
            || (origin.side() != entry.origin.side() && entry.origin.id() == origin.id())
            || (origin.side() != entry.origin.side()
                && entry.mirror == Mirror::Mirrored(Some(origin.id().to_owned())))
    })
}

/// An entry of ours whose row could not be seen when it was written, turning up after all.
fn claimed_late(rules: &Rules, link: &mut Link, seen: &EntrySeen) -> bool {
    if !by_us(rules, seen) {
        return false;
    }
    let ours = link.entries.iter().position(|entry| {
        entry.origin.side() == Side::Platform
            && entry.mirror == Mirror::Mirrored(None)
            && outgoing(rules, link, entry).says_the_same(&seen.text)
    });
    match ours.and_then(|i| link.entries.get_mut(i)) {
        Some(entry) => {
            entry.mirror = Mirror::Mirrored(Some(seen.origin.id().to_owned()));
            true
        }
        None => false,
    }
}

fn by_us(rules: &Rules, seen: &EntrySeen) -> bool {
    seen.origin.side() == Side::External && seen.author == rules.settings().external_user
}

/// Why an entry does not travel, if it does not.
fn withheld(rules: &Rules, link: &Link, entry: &EntrySeen) -> Option<String> {
    let policy = &rules.settings().journal;
    let from = entry.origin.side();
    let allowed = match (from, &entry.text) {
        (_, JournalText::Comment(_)) => policy.comments,
        (Side::Platform, JournalText::WorkNote(_)) => policy.work_notes_to_servicenow,
        (Side::External, JournalText::WorkNote(_)) => policy.work_notes_to_platform,
    };
    if !allowed {
        Some(match entry.text {
            JournalText::Comment(_) => {
                "comments do not travel (journal.comments is off)".to_owned()
            }
            JournalText::WorkNote(_) => "work notes stay internal on this path".to_owned(),
        })
    } else if policy.backfill == Backfill::None && before_the_link(link, entry.at) {
        Some("it was written before the link (journal.backfill is none)".to_owned())
    } else if rules.may_write(from.other()) {
        None
    } else {
        Some(format!("the {} side is not written to", from.other()))
    }
}

/// Whether an entry was written before the pair was made. Clocks differ: a minute does not count.
fn before_the_link(link: &Link, at: Millis) -> bool {
    at > Millis(0) && link.created.since(at) > 60_000
}

/// An entry's text as it leaves: plain for ServiceNow, masked, audience unchanged. All entries that
/// Firn writes to ServiceNow come from one user, so that one from before the link says in its first
/// line who wrote it and when.
#[must_use]
pub fn outgoing(rules: &Rules, link: &Link, entry: &Entry) -> JournalText {
    let policy = &rules.settings().journal;
    if entry.origin.side() == Side::External {
        let text = format::write(policy.platform_format, entry.text.text());
        return entry.text.with_text(masking::mask(&text).text);
    }
    let plain = match entry.origin {
        EntryOrigin::Platform(_) => format::read(policy.platform_format, entry.text.text()),
        _ => entry.text.text().to_owned(),
    };
    let at = servicenow_text(entry.at);
    let template = rules.journal_template().filter(|_| entry.origin.is_of_a_person());
    let text = match template {
        Some(template) => {
            let context = BTreeMap::from([
                ("text", plain.as_str()),
                ("author", &entry.author),
                ("at", at.as_str()),
            ]);
            template.render(&context).unwrap_or_else(|_| plain.clone())
        }
        None if entry.origin.is_of_a_person() && before_the_link(link, entry.at) => {
            format!("{} UTC, {}:\n{plain}", at, entry.author)
        }
        None => plain,
    };
    entry.text.with_text(masking::mask(&format::journal_safe(&text)).text)
}

/// The next entry to write to a side: the oldest that is pending and not held back because it may
/// be our own write coming home.
#[must_use]
pub fn next<'a>(
    rules: &Rules,
    link: &'a Link,
    neighbours: &Neighbours,
    to: Side,
) -> Option<&'a Entry> {
    link.entries
        .iter()
        .filter(|entry| entry.origin.side() == to.other() && entry.mirror == Mirror::Pending)
        .find(|entry| !held(rules, link, neighbours, entry))
}

/// An entry by our own user that says what a write in flight says: it waits until that write has
/// claimed its row, and is foreign only if it is left over.
fn held(rules: &Rules, link: &Link, neighbours: &Neighbours, entry: &Entry) -> bool {
    let ours =
        entry.origin.side() == Side::External && entry.author == rules.settings().external_user;
    if ours && neighbours.busy {
        return true; // It may be the row of another link's write.
    }
    let flight = link.external_side.flight.as_ref();
    let Some(Flight { write, .. }) = flight else { return false };
    let Verb::Append { text, before, .. } = &write.verb else { return false };
    ours && text.says_the_same(&entry.text) && !before.iter().any(|id| id == entry.origin.id())
}

/// The rows by our own user that say what is about to be written, before it is.
#[must_use]
pub fn rows_before(rules: &Rules, text: &JournalText, rows: &[EntrySeen]) -> Vec<String> {
    rows.iter()
        .filter(|row| by_us(rules, row) && row.text.says_the_same(text))
        .map(|row| row.origin.id().to_owned())
        .collect()
}

/// The row that a write of ours made: by our user, the same text, not there before, and not
/// claimed by another entry. Of several the oldest.
#[must_use]
pub fn claim(
    rules: &Rules,
    link: &Link,
    text: &JournalText,
    before: &[String],
    rows: &[EntrySeen],
) -> Option<String> {
    let claimed =
        |id: &str| link.entries.iter().any(|e| e.mirror == Mirror::Mirrored(Some(id.to_owned())));
    rows.iter()
        .filter(|row| by_us(rules, row) && row.text.says_the_same(text))
        .filter(|row| !before.iter().any(|id| id == row.origin.id()) && !claimed(row.origin.id()))
        .min_by(|a, b| (a.at, a.origin.id()).cmp(&(b.at, b.origin.id())))
        .map(|row| row.origin.id().to_owned())
}

/// Records what became of an entry. A row that turns out to be our own mirror and had been taken
/// for a foreign entry meanwhile is forgotten.
pub fn settle(link: &mut Link, origin: &EntryOrigin, mirror: Mirror) {
    if let Mirror::Mirrored(Some(id)) = &mirror {
        link.entries.retain(|entry| {
            !(entry.origin.side() == origin.side().other()
                && entry.origin.id() == id
                && entry.mirror == Mirror::Pending)
        });
    }
    if let Some(entry) = link.entries.iter_mut().find(|entry| entry.origin == *origin) {
        entry.mirror = mirror;
    }
}
