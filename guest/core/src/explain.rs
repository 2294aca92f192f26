//! Explain: why each value of a link is what it is. It reads the same state and asks the same
//! functions as `plan`, and changes nothing.

use firn_model::rule::{Arbitration, Failing, Ruling, Turn};
use firn_model::{
    Audit, Entry, EntryOrigin, FieldName, FieldState, Hook, JournalText, Link, Millis, Mirror,
    Owner, ParkedWhy, Seen, Side, Why, rfc3339_text,
};
use serde::{Deserialize, Serialize};

use crate::mapping;
use crate::merge::{self, Verdict};
use crate::plan::{circumstances, context, mask_shape};
use crate::settings::{FieldMapping, Rules};

/// One side's value of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// The value, masked.
    pub value: String,
    /// When it was first seen to be so, by that side's clock.
    pub since: String,
}

/// Why one field is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The field.
    pub field: FieldName,
    /// Whose it is.
    pub owner: Owner,
    /// As last seen on the platform.
    pub platform: Option<Value>,
    /// As last seen in ServiceNow.
    pub external: Option<Value>,
    /// What both last agreed on, in the platform's words, masked.
    pub base: Option<String>,
    /// Whether the text changes on its way to the other side (masked or cut).
    pub masked: bool,
    /// Whether the two sides mean the same.
    pub agree: bool,
    /// Why it is left alone, if it is.
    pub parked: Option<String>,
    /// What would happen next, in a sentence.
    pub next: String,
    /// The last writes of the field, newest first, each in a sentence.
    pub history: Vec<String>,
}

/// What the tenant's rules said of the pair as a whole, oldest first, each in a sentence.
#[must_use]
pub fn rules_said(audit: &[Audit]) -> Vec<String> {
    let of_rules = |line: &&Audit| matches!(line.event.as_str(), "ruled" | "filtered");
    let said = audit.iter().filter(of_rules);
    said.filter_map(|line| Some(format!("{}: {}", rfc3339_text(line.at), line.note.as_ref()?)))
        .collect()
}

/// Explains the fields of a link. `audit` are its audit lines, oldest first.
#[must_use]
pub fn explain(rules: &Rules, link: &Link, audit: &[Audit], now: Millis) -> Vec<Explanation> {
    rules
        .fields(&link.table)
        .iter()
        .map(|field| {
            let state = link.fields.get(&field.name).cloned().unwrap_or_default();
            explain_field(rules, field, link, &state, audit, now)
        })
        .collect()
}

fn explain_field(
    rules: &Rules,
    field: &FieldMapping,
    link: &Link,
    state: &FieldState,
    audit: &[Audit],
    now: Millis,
) -> Explanation {
    let value = |seen: &Seen| Value {
        value: mask_shape(rules, &seen.shape).to_string(),
        since: rfc3339_text(seen.edited),
    };
    let agree = match (&state.platform, &state.external) {
        (Some(p), Some(e)) => mapping::agree(field, &p.shape, &e.shape),
        _ => false,
    };
    Explanation {
        field: field.name.clone(),
        owner: field.owner,
        platform: state.platform.as_ref().map(value),
        external: state.external.as_ref().map(value),
        base: state.base.as_ref().map(|b| mask_shape(rules, &b.platform).to_string()),
        masked: [Side::Platform, Side::External].into_iter().any(|side| {
            state.shape(side).is_some_and(|shape| mapping::loses_on_the_way(field, side, shape))
        }),
        agree,
        parked: state.parked.as_ref().map(|p| parked(&p.why)),
        next: next(rules, field, link, state, now),
        history: audit.iter().rev().filter_map(|line| sentence(field, line)).take(10).collect(),
    }
}

/// Why a field is left alone, for people.
#[must_use]
pub fn parked(why: &ParkedWhy) -> String {
    match why {
        ParkedWhy::Conflict(id) => format!("conflict {id} waits for a person"),
        ParkedWhy::Kept => "the side that does not own it changed it, and that is kept".to_owned(),
        ParkedWhy::Unmapped => "its value is not in the value map".to_owned(),
        ParkedWhy::Masked => {
            "it was edited where it is masked or cut; the original stays".to_owned()
        }
        ParkedWhy::Reference => "whom it names cannot be found, or not exactly once".to_owned(),
        ParkedWhy::Guarded => "a guard forbids the transition".to_owned(),
        ParkedWhy::Template => "its template cannot be rendered".to_owned(),
        ParkedWhy::WriteIgnored => "the side took our write and kept its old value".to_owned(),
        ParkedWhy::Withheld => "the rules withhold it".to_owned(),
        ParkedWhy::Refused => "the side refused our write; see the dead letters".to_owned(),
    }
}

fn next(
    rules: &Rules,
    field: &FieldMapping,
    link: &Link,
    state: &FieldState,
    now: Millis,
) -> String {
    if link.tombstone.is_some() {
        return "nothing: the pair is no longer kept in step".to_owned();
    }
    for side in Side::BOTH {
        let writing = link.side(side).flight.as_ref().is_some_and(|flight| {
            matches!(&flight.write.verb, firn_model::Verb::Update { set, .. } if set.contains_key(&field.name))
        });
        if writing {
            return format!("a write to the {side} side is under way");
        }
    }
    match field.when.as_ref().map(|when| when.holds(&context(link, state))) {
        Some(Ok(false)) => return "nothing, while its condition (when) is not true".to_owned(),
        Some(Err(why)) => return format!("nothing: its condition cannot be evaluated: {why}"),
        Some(Ok(true)) | None => {}
    }
    if state.parked.is_some() {
        return "nothing, until one side changes it".to_owned();
    }
    if state.decision.is_some() {
        return "a decision is being carried out".to_owned();
    }
    if let Some(failing) = failing(rules, link, state) {
        let again = rfc3339_text(failing.again);
        return match &failing.why {
            Some(why) => format!(
                "it waits for the rules, which failed ({why}); they are asked again at {again}"
            ),
            None => format!("it waits for the rules; they are asked at {again}"),
        };
    }
    match merge::verdict(field, state, circumstances(link, now)) {
        Verdict::Settled if state.base.is_none() => {
            "nothing: neither side has shown a value that may travel".to_owned()
        }
        Verdict::Settled | Verdict::Agreed => "nothing: both sides are as agreed".to_owned(),
        Verdict::Carry { to, .. } if !rules.may_write(to) => {
            format!(
                "nothing: it would be written to the {to} side, and nothing may be written there (direction, callback_url)"
            )
        }
        Verdict::Carry { to, why } => {
            format!("it is written to the {to} side, because {}", because(&why))
        }
        Verdict::Park(why) => format!("it is left alone: {}", parked(&why)),
        Verdict::Conflict => "both sides changed it: a person will have to decide".to_owned(),
    }
}

/// What the rules have failed at that the field waits for.
fn failing<'a>(rules: &Rules, link: &'a Link, state: &'a FieldState) -> Option<&'a Failing> {
    let begin = &link.beginning;
    let turns = [
        (Hook::Admit, &begin.admit),
        (Hook::Classify, &begin.classify),
        (Hook::Draft, &begin.draft),
    ];
    let begins = turns.into_iter().find_map(|(hook, turn)| match turn {
        Turn::Failing(failing) if rules.asks(hook) => Some(failing),
        _ => None,
    });
    let value = || {
        state.ruled.iter().find_map(|(from, ruled)| match &ruled.ruling {
            Ruling::Failing(failing) if state.shape(*from) == Some(&ruled.of) => Some(failing),
            _ => None,
        })
    };
    let winner = || match state.arbitrated.as_ref().map(|a| &a.ruling) {
        Some(Arbitration::Failing(failing)) => Some(failing),
        _ => None,
    };
    begins
        .or_else(|| rules.asks(Hook::Value).then(value).flatten())
        .or_else(|| rules.asks(Hook::Conflict).then(winner).flatten())
}

/// A reason, as the end of a sentence.
#[must_use]
pub fn because(why: &Why) -> String {
    match why {
        Why::Created => "the record was new".to_owned(),
        Why::Carried => "the other side changed it".to_owned(),
        Why::Restored => "the side that had changed it may not (owner or guard)".to_owned(),
        Why::LastWriteWins => {
            "both changed it at nearly the same time, and that edit was the later".to_owned()
        }
        Why::HigherPriority => {
            "both changed it at nearly the same time, and that side has the higher priority"
                .to_owned()
        }
        Why::Overruled => "both changed it, and the owner's value stands".to_owned(),
        Why::Guarded => "both changed it, and a guard forbids the other change".to_owned(),
        Why::Reopened => "the ticket was needed again".to_owned(),
        Why::Duplicate => "a further ticket was made for the same record".to_owned(),
        Why::OtherGone => "the other record was deleted".to_owned(),
        Why::Resolved { by } => format!("{by} decided so"),
        Why::Attached => "the sides met without a common base".to_owned(),
        Why::Mirrored => "the entry was written on the other side".to_owned(),
        Why::Evidence => "the escalation brought it".to_owned(),
        Why::Unseen => "that write went over it without anybody having seen it".to_owned(),
    }
}

/// One audit line as it concerns a field.
fn sentence(field: &FieldMapping, line: &Audit) -> Option<String> {
    let written = line.fields.iter().find(|w| w.field.as_ref() == Some(&field.name))?;
    let shape = |shape: &Option<firn_model::Shape>| {
        shape.as_ref().map_or_else(|| "nothing".to_owned(), |s| format!("{:?}", s.to_string()))
    };
    let side = line.side.map_or_else(String::new, |side| format!(" on the {side} side"));
    let key = line.key.as_ref().map_or_else(String::new, |key| format!(" (write {key})"));
    let rules = written
        .rules
        .map_or_else(String::new, |version| format!(", as the rules (version {version}) made it"));
    Some(format!(
        "{}: {} replaced {}{side}, because {}{rules}{key}",
        rfc3339_text(line.at),
        shape(&written.to),
        shape(&written.from),
        because(&written.why),
    ))
}

/// What became of one journal entry, in a sentence. Its text is not shown.
#[must_use]
pub fn explain_entry(entry: &Entry) -> String {
    let audience = match entry.text {
        JournalText::Comment(_) => "a comment",
        JournalText::WorkNote(_) => "a work note",
    };
    let from = match &entry.origin {
        EntryOrigin::Platform(id) => format!("the platform's {id}"),
        EntryOrigin::External(id) => format!("ServiceNow's {id}"),
        EntryOrigin::Firn(id) => format!("Firn's {id}"),
    };
    let fate = match &entry.mirror {
        Mirror::Pending => "waits to be written on the other side".to_owned(),
        Mirror::Mirrored(Some(id)) => format!("is on the other side as {id}"),
        Mirror::Mirrored(None) => "is on the other side".to_owned(),
        Mirror::Withheld(why) => format!("does not travel: {why}"),
        Mirror::Parked => "was refused; see the dead letters".to_owned(),
    };
    format!("{from}, {audience} of {}: {fate}", rfc3339_text(entry.at))
}

#[cfg(test)]
mod tests;
