//! The journal: an append-only union of both sides' entries. An echo is known by identity, never
//! by a marker in the text, and never by "it was our user": others may share that user.

use std::collections::BTreeMap;

use firn_model::{
    Backfill, Entry, EntryOrigin, EntrySeen, Flight, JournalText, Link, Millis, Mirror, Side,
    SysId, Verb, servicenow_text,
};
use serde::{Deserialize, Serialize};

use crate::settings::Rules;
use crate::{escalation, format};

/// What is known of other links on the same ticket: their rows are no foreign entries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Neighbours {
    /// Rows of ServiceNow's journal that mirror an entry of another link.
    pub claimed: Vec<String>,
    /// Whether another link has a write to the ticket under way.
    pub busy: bool,
    /// Tickets with this link's key that links are on, or once were: no duplicates, whoever made them.
    #[serde(default)]
    pub held: Vec<SysId>,
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
            && outgoing(rules, link, entry).0.says_the_same(&seen.text)
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

/// Whether an entry is one that our user wrote while a store was at work that is not there any more.
fn may_be_of_lost_time(rules: &Rules, seen: &EntrySeen) -> bool {
    let restored = rules.integration().restored;
    by_us(rules, seen) && restored.is_some_and(|restored| restored.may_cover(seen.at))
}

/// How an entry that is about to be written has travelled before.
pub enum Travelled {
    /// It came from the other side: the platform keeps the id that we gave.
    Back,
    /// It was written: this is its row.
    There(String),
}

/// Whether an entry that is about to be written has travelled already, one way or the other: where a store was at work
/// that is not there any more, or with a ticket that was there before its link.
#[must_use]
pub fn travelled(
    rules: &Rules,
    link: &Link,
    neighbours: &Neighbours,
    entry: &EntryOrigin,
    text: &JournalText,
    rows: &[EntrySeen],
) -> Option<Travelled> {
    if let Some(row) = said_before(rules, link, neighbours, entry, text, rows) {
        return Some(Travelled::There(row));
    }
    let restored = rules.integration().restored?;
    if rows.iter().any(|row| row.origin.id() == entry.id()) {
        return Some(Travelled::Back);
    }
    // What was said since is not what was written then.
    let said = link.entries.iter().find(|known| known.origin == *entry).map(|known| known.at);
    if said.is_some_and(|at| at > Millis(0) && restored.is_over_by(at)) {
        return None;
    }
    // What was told by an event and what a record shows may differ in the time that the first line has.
    let bare_text = bare(text);
    let same = |row: &JournalText| bare(row).says_the_same(&bare_text);
    let ours = rows.iter().filter(|row| may_be_of_lost_time(rules, row) && same(&row.text));
    let ours = ours.map(|row| (row.at, row.origin.id()));
    oldest(link, &neighbours.claimed, ours).map(Travelled::There)
}

/// What Firn itself says may stand there already: the evidence that a link was made with, where its ticket was there
/// before (whoever made that may have written it, or not have come to it: a create of ours, perhaps, that took effect
/// when we had given it up); and whatever was written in a time that is lost. Gives its row.
fn said_before(
    rules: &Rules,
    link: &Link,
    neighbours: &Neighbours,
    entry: &EntryOrigin,
    text: &JournalText,
    rows: &[EntrySeen],
) -> Option<String> {
    let (EntryOrigin::Firn(_), Some(known)) =
        (entry, link.entries.iter().find(|known| known.origin == *entry))
    else {
        return None;
    };
    // What was asked for later nobody else can have written.
    let was_there =
        link.external.as_ref().is_some_and(|external| external.adopted) && known.at <= link.created;
    // Which cases are like it was another matter then, and perhaps whether there was a ticket.
    let same = rows.iter().filter(|row| {
        (was_there && by_us(rules, row) || may_be_of_lost_time(rules, row))
            && escalation::is_same_evidence(text, &row.text)
    });
    oldest(link, &neighbours.claimed, same.map(|row| (row.at, row.origin.id())))
}

/// An entry without the line that says who wrote it and when (see [`outgoing`]).
fn bare(text: &JournalText) -> JournalText {
    let headed = text.text().split_once(" UTC, ").filter(|(at, _)| at.len() == 19);
    let said = headed.and_then(|(_, rest)| rest.split_once(":\n"));
    said.map_or_else(|| text.clone(), |(_, said)| text.with_text(said.to_owned()))
}

/// An entry of the platform's turns out to be a copy of the ticket's own.
pub fn is_a_copy(link: &mut Link, origin: &EntryOrigin) {
    let id = origin.id().to_owned();
    link.entries.retain(|entry| entry.origin != EntryOrigin::External(id.clone()));
    if let Some(entry) = link.entries.iter_mut().find(|entry| entry.origin == *origin) {
        entry.origin = EntryOrigin::External(id.clone());
        entry.mirror = Mirror::Mirrored(Some(id));
    }
}

/// Why an entry does not travel, if it does not.
fn withheld(rules: &Rules, link: &Link, entry: &EntrySeen) -> Option<String> {
    if may_be_of_lost_time(rules, entry) {
        return Some(
            "Firn wrote it itself, before a backup was put in the place of its store".to_owned(),
        );
    }
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

/// Why an entry does not travel that was said while its pair was apart, or had not travelled by then.
pub const APART: &str = "the pair is no longer kept in step";

/// Whether an entry was written before the pair was made. Clocks differ: a minute does not count.
fn before_the_link(link: &Link, at: Millis) -> bool {
    at > Millis(0) && link.created.since(at) > 60_000
}

/// An entry's text as it leaves: plain for ServiceNow, masked, audience unchanged. All entries that
/// Firn writes to ServiceNow come from one user, so that one from before the link says in its first
/// line who wrote it and when. With it why the settings' template could not be rendered, if so: the
/// entry then leaves without what the template adds.
#[must_use]
pub fn outgoing(rules: &Rules, link: &Link, entry: &Entry) -> (JournalText, Option<String>) {
    let policy = &rules.settings().journal;
    if entry.origin.side() == Side::External {
        // Masked first: what is escaped for Markdown hides from the masker.
        let text = rules.masks().comment(Side::Platform, entry.text.text());
        return (entry.text.with_text(format::write(policy.platform_format, &text)), None);
    }
    let plain = match entry.origin {
        EntryOrigin::Platform(_) => format::read(policy.platform_format, entry.text.text()),
        _ => entry.text.text().to_owned(),
    };
    let at = servicenow_text(entry.at);
    let template = rules.journal_template().filter(|_| entry.origin.is_of_a_person());
    let mut unrendered = None;
    let text = match template {
        Some(template) => {
            let context = BTreeMap::from([
                ("text", plain.as_str()),
                ("author", &entry.author),
                ("at", at.as_str()),
            ]);
            template.render(&context).unwrap_or_else(|why| {
                unrendered = Some(why);
                plain.clone()
            })
        }
        None if entry.origin.is_of_a_person() && before_the_link(link, entry.at) => {
            format!("{} UTC, {}:\n{plain}", at, entry.author)
        }
        None => plain,
    };
    // Made safe last: what is dropped could leave brackets that belong together.
    let text = rules.masks().comment(Side::External, &text);
    (entry.text.with_text(format::journal_safe(&text)), unrendered)
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
    let rows = rows.iter().filter(|row| by_us(rules, row) && row.text.says_the_same(text));
    oldest(link, before, rows.map(|row| (row.at, row.origin.id())))
}

/// The same of rows that webhooks have told of: they may not be there to be read yet, or never.
#[must_use]
pub fn claim_told(
    rules: &Rules,
    link: &Link,
    text: &JournalText,
    before: &[String],
) -> Option<String> {
    let user = &rules.settings().external_user;
    let told = link.entries.iter().filter(|entry| {
        entry.origin.side() == Side::External
            && has_not_travelled(&entry.mirror)
            && entry.author == *user
            && entry.text.says_the_same(text)
    });
    oldest(link, before, told.map(|entry| (entry.at, entry.origin.id())))
}

/// The oldest that was not there before and that no entry has claimed.
fn oldest<'a>(
    link: &Link,
    before: &[String],
    rows: impl Iterator<Item = (Millis, &'a str)>,
) -> Option<String> {
    let claimed =
        |id: &str| link.entries.iter().any(|e| e.mirror == Mirror::Mirrored(Some(id.to_owned())));
    let new = rows.filter(|(_, id)| !before.iter().any(|known| known == id) && !claimed(id));
    new.min().map(|(_, id)| id.to_owned())
}

/// Whether an entry is on its own side alone.
fn has_not_travelled(mirror: &Mirror) -> bool {
    matches!(mirror, Mirror::Pending | Mirror::Withheld(_))
}

/// Records what became of an entry. A row that turns out to be our own mirror and had been taken
/// for a foreign entry meanwhile is forgotten.
pub fn settle(link: &mut Link, origin: &EntryOrigin, mirror: Mirror) {
    if let Mirror::Mirrored(Some(id)) = &mirror {
        link.entries.retain(|entry| {
            !(entry.origin.side() == origin.side().other()
                && entry.origin.id() == id
                && has_not_travelled(&entry.mirror))
        });
    }
    if let Some(entry) = link.entries.iter_mut().find(|entry| entry.origin == *origin) {
        entry.mirror = mirror;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use firn_model::{Comment, Expectation, Phase, Preset, WorkNote, Write};

    fn comment(text: &str) -> JournalText {
        JournalText::Comment(Comment(text.to_owned()))
    }

    fn row(n: u32, text: JournalText, author: &str, at: i64) -> EntrySeen {
        let origin = EntryOrigin::External(format!("{n:032x}"));
        EntrySeen { origin, text, author: author.to_owned(), at: Millis(at) }
    }

    fn said(id: &str, text: JournalText) -> EntrySeen {
        let origin = EntryOrigin::Platform(id.to_owned());
        EntrySeen { origin, text, author: "carol".to_owned(), at: Millis(1_777_472_001_000) }
    }

    fn rules() -> Rules {
        sample::rules_of(&serde_json::json!({ "preset": "incidents",
            "platform": { "callback_url": "https://p.example/c" } }))
    }

    fn link_with(seen: &[EntrySeen]) -> Link {
        let mut link = sample::link();
        observe(&rules(), &mut link, &Neighbours::default(), seen);
        link
    }

    fn mirrors(link: &Link) -> Vec<&Mirror> {
        link.entries.iter().map(|e| &e.mirror).collect()
    }

    #[test]
    fn what_is_known_already_changes_nothing() {
        let seen = [said("c1", comment("a")), row(1, comment("b"), "ann", 5)];
        let mut link = link_with(&seen);
        assert_eq!(link.entries.len(), 2);
        assert_eq!(link.entries[0].origin.id(), seen[1].origin.id(), "in the order of time");
        let once = link.clone();
        observe(&rules(), &mut link, &Neighbours::default(), &seen);
        assert_eq!(link, once);
        // An entry that comes back from the side that it was written to is known by either id.
        settle(&mut link, &seen[0].origin, Mirror::Mirrored(Some(format!("{:032x}", 9))));
        observe(
            &rules(),
            &mut link,
            &Neighbours::default(),
            &[row(9, comment("a"), "integration", 9)],
        );
        observe(
            &rules(),
            &mut link,
            &Neighbours::default(),
            &[said(seen[1].origin.id(), comment("b"))],
        );
        assert_eq!(link.entries.len(), 2);
    }

    #[test]
    fn a_claim_takes_the_oldest_row_of_ours_that_is_new_and_free() {
        let (rules, mut link) =
            (rules(), link_with(&[said("c1", comment("ok")), said("c2", comment("ok"))]));
        let rows = [
            row(4, comment("ok"), "integration", 30),
            row(3, comment("ok"), "integration", 20),
            row(2, comment("ok"), "ann", 10),
            row(1, comment("ok"), "integration", 10),
            row(5, comment("other"), "integration", 10),
            row(6, JournalText::WorkNote(WorkNote("ok".to_owned())), "integration", 10),
        ];
        assert_eq!(rows_before(&rules, &comment("ok"), &rows).len(), 3);
        let before = [format!("{:032x}", 1)];
        let first = claim(&rules, &link, &comment("ok"), &before, &rows).unwrap();
        assert_eq!(first, format!("{:032x}", 3));
        let origin = EntryOrigin::Platform("c1".to_owned());
        settle(&mut link, &origin, Mirror::Mirrored(Some(first)));
        let second = claim(&rules, &link, &comment("ok"), &before, &rows);
        assert_eq!(second, Some(format!("{:032x}", 4)));
        assert_eq!(claim(&rules, &link, &comment("never"), &before, &rows), None);
    }

    #[test]
    fn a_row_that_a_webhook_told_of_is_claimed_before_it_can_be_read() {
        let ours = row(1, comment("ok"), "integration", 20);
        let rules = rules();
        let mut link = link_with(&[said("c1", comment("ok")), ours.clone()]);
        let told = claim_told(&rules, &link, &comment("ok"), &[]);
        assert_eq!(told.as_deref(), Some(ours.origin.id()));
        assert_eq!(claim(&rules, &link, &comment("ok"), &[], &[]), None, "nothing was read");
        // Not one that was there before, that says something else, or that is somebody's.
        let before = [ours.origin.id().to_owned()];
        assert_eq!(claim_told(&rules, &link, &comment("ok"), &before), None);
        assert_eq!(claim_told(&rules, &link, &comment("other"), &[]), None);
        let theirs = link_with(&[row(1, comment("ok"), "ann", 20)]);
        assert_eq!(claim_told(&rules, &theirs, &comment("ok"), &[]), None);
        // One that does not travel is no entry of its own either.
        link.entries[1].mirror = Mirror::Withheld("work notes stay".to_owned());
        let told = claim_told(&rules, &link, &comment("ok"), &[]);
        settle(&mut link, &EntryOrigin::Platform("c1".to_owned()), Mirror::Mirrored(told));
        assert_eq!(link.entries.len(), 1);
    }

    #[test]
    fn a_row_that_was_taken_for_foreign_is_forgotten_when_it_is_claimed() {
        let ours = row(1, comment("ok"), "integration", 20);
        let mut link = link_with(&[said("c1", comment("ok")), ours.clone()]);
        assert_eq!(link.entries.len(), 2);
        let origin = EntryOrigin::Platform("c1".to_owned());
        settle(&mut link, &origin, Mirror::Mirrored(Some(ours.origin.id().to_owned())));
        assert_eq!(link.entries.len(), 1);
        assert_eq!(mirrors(&link), [&Mirror::Mirrored(Some(ours.origin.id().to_owned()))]);
    }

    #[test]
    fn a_row_that_could_not_be_seen_at_first_is_claimed_late() {
        let mut link = link_with(&[said("c1", comment("ok"))]);
        link.entries[0].mirror = Mirror::Mirrored(None);
        observe(&rules(), &mut link, &Neighbours::default(), &[row(1, comment("ok"), "ann", 20)]);
        assert_eq!(link.entries.len(), 2, "ann's is ann's");
        observe(
            &rules(),
            &mut link,
            &Neighbours::default(),
            &[row(2, comment("ok"), "integration", 20)],
        );
        assert_eq!(link.entries.len(), 2);
        assert!(mirrors(&link).contains(&&Mirror::Mirrored(Some(format!("{:032x}", 2)))));
    }

    #[test]
    fn rows_by_our_user_wait_while_they_may_be_a_write_of_ours() {
        let rules = rules();
        let ours = row(1, comment("ok"), "integration", 20);
        let mut link = link_with(std::slice::from_ref(&ours));
        let alone = Neighbours::default();
        assert!(next(&rules, &link, &alone, Side::Platform).is_some(), "nobody writes");
        let busy = Neighbours { busy: true, ..Neighbours::default() };
        assert!(next(&rules, &link, &busy, Side::Platform).is_none(), "another link may");
        let flight = |text: &str, before: Vec<String>| Flight {
            write: Write {
                key: "k".to_owned(),
                side: Side::External,
                verb: Verb::Append {
                    entry: EntryOrigin::Platform("c1".to_owned()),
                    text: comment(text),
                    before,
                },
                expect: Expectation::default(),
                reasons: Vec::new(),
            },
            phase: Phase::Sending,
            attempts: 1,
            given_up: false,
        };
        for (text, before, waits) in [
            ("ok", Vec::new(), true),
            ("other", Vec::new(), false),
            // It was there before the write.
            ("ok", vec![ours.origin.id().to_owned()], false),
        ] {
            link.external_side.flight = Some(flight(text, before));
            assert_eq!(next(&rules, &link, &alone, Side::Platform).is_none(), waits, "{text}");
        }
        // Another's row never waits.
        let mut theirs = link_with(&[row(2, comment("ok"), "ann", 20)]);
        theirs.external_side.flight = Some(flight("ok", Vec::new()));
        assert!(next(&rules, &theirs, &busy, Side::Platform).is_some());
    }

    #[test]
    fn rows_of_another_link_are_no_foreign_entries() {
        let ours = row(1, comment("ok"), "integration", 20);
        let claimed =
            Neighbours { claimed: vec![ours.origin.id().to_owned()], ..Neighbours::default() };
        let mut link = sample::link();
        observe(&rules(), &mut link, &claimed, std::slice::from_ref(&ours));
        assert!(link.entries.is_empty());
        let mut link = link_with(&[ours]);
        forget_neighbours(&mut link, &Neighbours::default());
        assert_eq!(link.entries.len(), 1);
        forget_neighbours(&mut link, &claimed);
        assert!(link.entries.is_empty());
    }

    #[test]
    fn what_does_not_travel_says_why() {
        let withheld = |settings: serde_json::Value, entry: &EntrySeen| {
            let mut document = serde_json::json!({ "preset": "incidents", "platform": { "callback_url": "https://p.example/c" } });
            for (key, value) in settings.as_object().unwrap() {
                document[key] = value.clone();
            }
            withheld(&sample::rules_of(&document), &sample::link(), entry)
        };
        let note = |seen: EntrySeen| EntrySeen {
            text: JournalText::WorkNote(WorkNote("n".to_owned())),
            ..seen
        };
        let (here, there) =
            (said("c1", comment("a")), row(1, comment("a"), "ann", 1_777_472_001_000));
        let none = serde_json::json!({});
        assert_eq!(withheld(none.clone(), &here), None);
        assert_eq!(withheld(none.clone(), &there), None);
        assert_eq!(withheld(none, &note(there.clone())), None, "incidents carry work notes");
        let off = serde_json::json!({ "journal": { "comments": false, "work_notes_to_servicenow": false, "work_notes_to_platform": false } });
        for entry in [&here, &there, &note(here.clone()), &note(there.clone())] {
            assert!(withheld(off.clone(), entry).is_some());
        }
        let one_way = serde_json::json!({ "direction": "to-servicenow" });
        assert_eq!(withheld(one_way.clone(), &here), None);
        assert!(withheld(one_way, &there).unwrap().contains("platform side is not written to"));
        let young = serde_json::json!({ "journal": { "backfill": "none" } });
        let minute = |ms: i64| EntrySeen { at: Millis(1_777_472_000_000 - ms), ..here.clone() };
        assert_eq!(withheld(young.clone(), &minute(60_000)), None, "clocks differ");
        assert!(withheld(young.clone(), &minute(60_001)).is_some());
        assert_eq!(
            withheld(young, &EntrySeen { at: Millis(0), ..here.clone() }),
            None,
            "no time, no verdict"
        );
    }

    #[test]
    fn entries_leave_masked_and_as_text() {
        let rules = rules();
        let link = link_with(&[said("c1", comment("call +15550199888 [code]x[/code]"))]);
        let text = outgoing(&rules, &link, &link.entries[0]).0;
        assert_eq!(text.text(), "call ***-***-9888 (code)x(/code)");
        assert_eq!(sample::rules(Preset::Incidents).settings().journal.template, None);
        // From ServiceNow nothing is rewritten but masked.
        let link = link_with(&[row(1, comment("[code]x[/code] a@b.example"), "ann", 1)]);
        assert_eq!(
            outgoing(&rules, &link, &link.entries[0]).0.text(),
            "[code]x[/code] ***@b.example"
        );
    }
}
