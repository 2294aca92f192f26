//! What our writes went over without anybody having seen it. The Table API has no conditional write: that somebody wrote
//! between our look and our write shows in the counter of changes, and what they wrote in the ticket's history
//! (`sys_audit`), where that may be read.

use std::collections::{BTreeMap, BTreeSet};

use firn_model::{
    Attribute, Audit, FieldName, FindingKind, Link, Outcome, Past, PastChange, Revision, Shape,
    Side, Unseen, Value, Why, Write, Written,
};

use super::Landing;
use crate::plan::mask_shape;

/// How often a ticket had changed (`sys_mod_count`) at a revision.
fn count(revision: Option<Revision>) -> Option<u32> {
    match revision {
        Some(Revision::External { mod_count, .. }) => mod_count,
        _ => None,
    }
}

/// How often the ticket changed between the read before a write and a later sight of it. One change more than ours
/// means that somebody wrote in between, and that we may have overwritten it without seeing it.
pub(crate) fn changes_between(write: &Write, later: Option<Revision>) -> u32 {
    match (count(write.expect.revision), count(later)) {
        (Some(before), Some(after)) => after.saturating_sub(before),
        _ => 0,
    }
}

/// The columns of what was written, or stood there.
pub(crate) fn columns<'a>(shapes: impl IntoIterator<Item = &'a Shape>) -> BTreeSet<Attribute> {
    shapes.into_iter().flat_map(|shape| shape.0.keys().cloned()).collect()
}

/// How the write came that may have gone over another's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// As it was meant to: over what had been seen before.
    InTime,
    /// Long after it was given up, over whatever stood there.
    Late,
}

/// Notes that the history of the ticket is to be asked for what a write of this field went over.
pub(crate) fn overwritten(
    link: &mut Link,
    field: &FieldName,
    columns: BTreeSet<Attribute>,
    (came, after, until): (Came, Option<Revision>, Option<Revision>),
) {
    let (Some(after), Some(until)) = (count(after), count(until)) else { return };
    let meant = if came == Came::InTime { after } else { 0 };
    match link.unseen.iter_mut().find(|unseen| unseen.field == *field) {
        // Told twice of one write, or of the next one before the history was read.
        Some(unseen) => {
            unseen.meant = unseen.meant.min(meant);
            unseen.after = unseen.after.min(after);
            unseen.until = unseen.until.max(until);
            unseen.columns.extend(columns);
            unseen.is_asked = false;
        }
        None => {
            let field = field.clone();
            let (is_asked, tries, again) = (false, 0, None);
            link.unseen.push(Unseen {
                field,
                columns,
                meant,
                after,
                until,
                is_asked,
                tries,
                again,
            });
        }
    }
}

/// What a person is told at once; what the history says replaces it.
pub(crate) fn overwritten_text(name: &FieldName) -> String {
    format!(
        "the ticket changed more than once around our write of {name}; a change in between may have been overwritten unseen: look at its history"
    )
}

/// So often a history that cannot be read is asked for: within some five minutes.
const TRIES: u32 = 6;
/// The pause after it could not be read, doubled each time. In milliseconds.
const PAUSE: u64 = 5_000;

/// The most characters of a value that a finding shows. The audit has it whole.
const SHOWN: usize = 200;

/// What one write of ours went over.
#[derive(Default)]
struct Overwrite {
    who: BTreeSet<String>,
    lost: Shape,
    put: Shape,
}

impl Landing<'_> {
    /// The history was read. A change of ours that follows another's went over it.
    pub(super) fn history(&mut self, past: &Past) {
        self.healthy();
        let user = self.rules.settings().external_user.clone();
        let ours = |change: &PastChange| change.user.eq_ignore_ascii_case(&user);
        let asked: Vec<Unseen> =
            self.link.unseen.extract_if(.., |unseen| unseen.is_asked).collect();
        for unseen in asked {
            let mut all: BTreeMap<u32, Overwrite> = BTreeMap::new();
            // Our own write in it proves that it tells of this; rows may be hidden, late, or not there at all.
            let mut is_told = false;
            for column in &unseen.columns {
                let changes: Vec<&PastChange> = past
                    .changes
                    .iter()
                    .filter(|c| c.column == *column)
                    .filter(|c| c.count > unseen.meant && c.count <= unseen.until)
                    .collect();
                is_told |= changes.iter().any(|c| ours(c) && c.count > unseen.after);
                for pair in changes.windows(2) {
                    if let [theirs, own] = pair
                        && !ours(theirs)
                        && ours(own)
                        && own.count > unseen.after
                    {
                        let over = all.entry(own.count).or_default();
                        over.who.insert(theirs.user.clone());
                        over.lost.0.insert(column.clone(), Value::text(theirs.new.clone()));
                        over.put.0.insert(column.clone(), Value::text(own.new.clone()));
                    }
                }
            }
            if !all.is_empty() {
                self.recovered(&unseen.field, all.into_values());
            } else if is_told && !past.is_cut {
                let name = &unseen.field;
                let text = format!(
                    "our write of {name} may have gone over another's; the ticket's history shows that it did not"
                );
                self.finding(FindingKind::OverwrittenUnseen, Some(name), text);
            }
        }
    }

    fn recovered(&mut self, name: &FieldName, all: impl Iterator<Item = Overwrite>) {
        let mut told: Vec<String> = Vec::new();
        for Overwrite { who, lost, put } in all {
            // A user's name may be an address.
            let who = who.into_iter().collect::<Vec<_>>().join(", ");
            let who = self.rules.masks().shown(&who);
            let (from, to) = (mask_shape(self.rules, &lost), mask_shape(self.rules, &put));
            told.push(match lost.is_empty() {
                true => format!("{who} had cleared it"),
                false => format!("{who} had written {}", shortened(&from.to_string())),
            });
            self.effects.audit.push(Audit {
                integration: self.link.integration.clone(),
                link: Some(self.link.id.clone()),
                at: self.now,
                event: "recovered".to_owned(),
                key: None,
                side: Some(Side::External),
                fields: vec![Written {
                    field: Some(name.clone()),
                    from: Some(from),
                    to: Some(to),
                    why: Why::Unseen,
                    rules: None,
                }],
                note: Some(format!("written by {who}; read from the ticket's history")),
            });
        }
        let text = format!(
            "our write of {name} went over another's that was not seen: {}. It is kept in the audit; write it again if it is to hold",
            told.join("; ")
        );
        self.finding(FindingKind::OverwrittenUnseen, Some(name), text);
    }

    /// It could not be read. That the write may have gone over another's is told already; nothing else waits for this,
    /// and it says nothing of the instance as a whole.
    pub(super) fn history_failed(&mut self, outcome: &Outcome) {
        let lasts = matches!(outcome, Outcome::Refused(_) | Outcome::Gone | Outcome::Deleted);
        // What never left was not tried.
        let left = !matches!(
            outcome,
            Outcome::NotSent(_) | Outcome::Busy(_) | Outcome::Silent(_) | Outcome::Throttled { .. }
        );
        let now = self.now;
        for unseen in self.link.unseen.iter_mut().filter(|unseen| unseen.is_asked) {
            unseen.is_asked = false;
            unseen.tries += u32::from(left);
            let pause = PAUSE << unseen.tries.min(TRIES);
            unseen.again = Some(outcome.not_before(now).unwrap_or(now.plus(pause)));
        }
        self.link.unseen.retain(|unseen| !lasts && unseen.tries < TRIES);
    }
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('\u{2026}');
    }
    shown
}
