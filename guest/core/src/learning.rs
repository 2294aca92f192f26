//! Learning: whether a resolved ticket has something to be learnt from, and what (seed 000, "Post-resolution
//! learning"). The summary is made of the ticket's own sentences (`extract`): nothing is made up, each says where
//! it stands, and all of it is masked. Rules of the tenant's or a language model may say it in other words (`compose`);
//! a draft of an article may be made of it (`article`). How it is asked for is in `wire::learning`, how it is kept and
//! found again is the host's.

pub mod article;
pub mod compose;
mod extract;

use firn_model::{
    Attribute, CaseSummary, Entry, EntryOrigin, JournalText, LearntFrom, LikeCase, Link, Maker,
    Millis, Mirror, Passage, Role, Side, Standing, Value, WorkNote,
};
use std::collections::BTreeMap;

use crate::escalation;
use crate::format;
use crate::mapping;
use crate::settings::Rules;

/// The columns that a summary is made of, besides the journal.
pub const COLUMNS: [&str; 6] =
    ["short_description", "description", "category", "subcategory", "close_code", "close_notes"];

/// Whether there is something to be learnt from a link's ticket as it is: it is resolved or closed, and this is
/// the link that speaks for it.
#[must_use]
pub fn is_over(rules: &Rules, link: &Link) -> bool {
    use escalation::Standing::{Closed, Resolved};
    link.external.is_some()
        && link.role != Role::Secondary
        && matches!(escalation::standing(rules, link), Resolved | Closed)
}

/// Whether it is known how a link's ticket stands.
#[must_use]
pub fn is_seen(rules: &Rules, link: &Link) -> bool {
    let state = link.fields.get(&rules.lifecycle().field);
    state.is_some_and(|state| state.shape(Side::External).is_some())
}

/// Whether a ticket was opened again: what was learnt from it holds no more. One that is gone, or that another link
/// speaks for now, was not.
#[must_use]
pub fn is_open(rules: &Rules, link: &Link) -> bool {
    link.role != Role::Secondary && escalation::standing(rules, link) == escalation::Standing::Open
}

/// A ticket as it was read: its own words, masked.
struct Case {
    subject: String,
    description: String,
    notes: Option<String>,
    tags: Vec<String>,
    entries: Vec<Entry>,
}

/// Reads a ticket. `columns` is the ticket as it was read; what may not be read is missing.
fn read(rules: &Rules, link: &Link, columns: &BTreeMap<Attribute, Value>) -> Case {
    let column = |name: &str| {
        let value = columns.get(&mapping::attribute(name)).map(Value::to_text);
        value.filter(|text| !text.trim().is_empty())
    };
    // What may not be read is what was last seen of it, where it is mapped.
    let seen = |name: &str| {
        let shapes = link.fields.values().filter_map(|field| field.shape(Side::External));
        shapes.filter_map(|shape| shape.0.get(&mapping::attribute(name))).map(Value::to_text).next()
    };
    // Masked as a whole, before anything is cut out of it: half a number tells no masker what it is, and what a
    // sentence means may stand in the one before.
    let masks = rules.masks();
    let text = |name: &str| masks.learnt(&column(name).or_else(|| seen(name)).unwrap_or_default());
    let (subject, description) = (text("short_description"), text("description"));
    // Closing notes that the settings themselves write say nothing about this ticket.
    let notes = column("close_notes").filter(|notes| !is_written_by_settings(rules, notes));
    let notes = notes.map(|notes| masks.learnt(&notes));
    let masked = |entry: &Entry| {
        // What is escaped for Markdown, or set in tags, hides from the masker.
        let plain = match entry.origin {
            EntryOrigin::Platform(_) => {
                format::read(rules.settings().journal.platform_format, entry.text.text())
            }
            _ => entry.text.text().to_owned(),
        };
        Entry { text: entry.text.with_text(masks.learnt(&plain)), ..entry.clone() }
    };
    let entries: Vec<Entry> = link.entries.iter().map(masked).collect();
    let given = [column("category"), column("subcategory")].into_iter().flatten();
    let tags = given.map(|tag| masks.learnt(&tag).to_lowercase()).collect();
    Case { subject, description, notes, tags, entries }
}

/// What was learnt from a ticket, by Firn itself, and what was written in it. `columns` is the ticket as it was read;
/// what may not be read is missing.
#[must_use]
pub fn summarise(
    rules: &Rules,
    link: &Link,
    columns: &BTreeMap<Attribute, Value>,
    times: u32,
    now: Millis,
) -> Option<(CaseSummary, Vec<Passage>)> {
    let external = link.external.as_ref()?;
    let case = read(rules, link, columns);
    let notes = case.notes.as_deref();
    let sources = compose::sources(
        [
            ("short_description", &case.subject),
            ("description", &case.description),
            ("close_notes", notes.unwrap_or_default()),
        ],
        &case.entries,
        extract::is_source,
    );
    let learnt = extract::extract(&extract::Ticket {
        subject: &case.subject,
        description: &case.description,
        notes,
        entries: &case.entries,
    });
    let mut tags: Vec<String> = Vec::new();
    for tag in case.tags.into_iter().chain(learnt.words) {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    let summary = CaseSummary {
        id: match rules.integration().restored {
            None => format!("{}.{times}", link.id),
            // Its store counts from where it was: what it made before has other words.
            Some(restored) => format!("{}.{:x}.{times}", link.id, restored.until.0),
        },
        integration: rules.id().clone(),
        link: link.id.clone(),
        ticket: LearntFrom {
            table: external.table.clone(),
            sys_id: external.sys_id.clone(),
            number: external.number.clone(),
        },
        asked: learnt.asked,
        found: learnt.found,
        solved: learnt.solved,
        tags,
        articles: learnt.articles,
        tickets: learnt
            .tickets
            .into_iter()
            .filter(|number| external.number.as_ref() != Some(number))
            .collect(),
        made: now,
        maker: Maker::Extract,
        model: None,
        standing: Standing::Current,
    };
    Some((summary, sources))
}

fn is_written_by_settings(rules: &Rules, notes: &str) -> bool {
    let field = rules.settings().fields.get(&rules.lifecycle().field);
    let pairs = field.and_then(|field| field.pairs.as_ref());
    let mut written = pairs.into_iter().flatten().flat_map(|pair| pair.with.values());
    written.any(|value| value.to_text().trim() == notes.trim())
}

/// How a last work note begins, whoever made it.
const HEAD: &str = "Case summary (made by ";

/// The summary as the ticket's last work note. Written once for each time that the ticket is resolved.
#[must_use]
pub fn last_note(summary: &CaseSummary, times: u32, now: Millis) -> Entry {
    let maker = match summary.maker {
        Maker::Extract => "Firn of this ticket's own words",
        Maker::Rules => "rules of this ticket's words",
        Maker::Model => "a language model of this ticket's words",
    };
    let mut lines = vec![format!("{HEAD}{maker})")];
    lines.push(format!("Asked: {}", summary.asked));
    let mut list = |label: &str, passages: &[Passage]| {
        lines.extend(passages.iter().map(|passage| format!("{label}: {}", passage.text)));
    };
    list("Found", &summary.found);
    list("Solved", &summary.solved);
    for (label, all) in
        [("Tags", &summary.tags), ("Articles", &summary.articles), ("Tickets", &summary.tickets)]
    {
        if !all.is_empty() {
            lines.push(format!("{label}: {}", all.join(", ")));
        }
    }
    Entry {
        origin: EntryOrigin::Firn(format!("summary-{times}")),
        text: JournalText::WorkNote(WorkNote(lines.join("\n"))),
        author: "firn".to_owned(),
        at: now,
        mirror: Mirror::Pending,
    }
}

/// Whether an entry is a last note that another link of the ticket wrote.
#[must_use]
pub fn is_last_note(entry: &Entry) -> bool {
    entry.text.text().starts_with(HEAD)
}

/// The most like cases that an escalation shows.
const SHOWN: usize = 3;

/// How that begins.
const LIKE: &str = "Solved before, and like it:";

/// A work note without what it says of cases like it.
pub(crate) fn without_cases(note: &str) -> &str {
    note.split_once(LIKE).map_or(note, |(own, _)| own)
}

/// What an escalation's work note says of cases like it that were solved before.
#[must_use]
pub fn show(rules: &Rules, like: &[LikeCase]) -> Option<String> {
    if !rules.settings().learning.show_like_cases || like.is_empty() {
        return None;
    }
    let mut lines = vec![LIKE.to_owned()];
    lines.extend(like.iter().take(SHOWN).map(|case| {
        let solved = if case.solved.is_empty() { "how is not said" } else { &case.solved };
        format!(
            "{}: {} -> {}",
            case.ticket,
            extract::cut(&case.asked, 160),
            extract::cut(solved, 400)
        )
    }));
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests;
