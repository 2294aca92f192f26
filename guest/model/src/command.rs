//! Commands: everything that goes out, and what became of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Attribute, CorrelationKey, EntryOrigin, FieldName, JournalText, Millis, ObservedRecord,
    Revision, Shape, Side, Twin, Value, Written,
};

/// What a write expects to find.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Expectation {
    /// The record's revision when the write was planned.
    pub revision: Option<Revision>,
    /// The fields about to be overwritten, as they were.
    pub fields: BTreeMap<FieldName, Option<Shape>>,
}

/// A field's new shape on the side that is written to, and what of the other side it stands for.
/// Once the write is seen to have landed, the two are the new base.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Translated {
    /// What is written.
    pub shape: Shape,
    /// The other side's shape that it translates.
    pub of: Shape,
    /// What the tenant's rules have made of that, as the platform would write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruled: Option<Shape>,
}

/// What a write does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Makes the record under a key that finds it again.
    Create {
        /// The key.
        key: CorrelationKey,
        /// All columns of the new record.
        set: BTreeMap<Attribute, Value>,
        /// Whether the instance's Scripted REST resource makes it, under a `sys_id` that follows from
        /// the key: the same again is no second ticket.
        #[serde(default)]
        keyed: bool,
        /// What the platform showed of each field that was carried over as it is: what it shows by the time that the
        /// ticket is there may be newer.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        of: BTreeMap<FieldName, Shape>,
    },
    /// Changes fields of an existing record.
    Update {
        /// The new shape of each field, and what it translates.
        set: BTreeMap<FieldName, Translated>,
        /// Columns that must accompany them (`close_code` with a resolution).
        with: BTreeMap<Attribute, Value>,
    },
    /// Adds one journal entry.
    Append {
        /// The entry of the link that is being mirrored.
        entry: EntryOrigin,
        /// The text as it leaves, masked.
        text: JournalText,
        /// Rows by our own user that said the same before the write: they are not ours.
        before: Vec<String>,
    },
    /// Closes a further ticket with our key.
    Retire {
        /// The ticket.
        twin: Twin,
        /// The columns that close it, with a work note that says why.
        set: BTreeMap<Attribute, Value>,
    },
}

impl Verb {
    /// Whether it does what another did. Of a comment: the same words of the same entry, whatever stood
    /// there before. Of a new record: the same columns, whatever they were made of.
    #[must_use]
    pub fn is_again(&self, other: &Verb) -> bool {
        match (self, other) {
            (Verb::Append { entry, text, .. }, Verb::Append { entry: other, text: words, .. }) => {
                entry == other && text == words
            }
            (
                Verb::Create { key, set, keyed, .. },
                Verb::Create { key: same, set: columns, keyed: also, .. },
            ) => (key, set, keyed) == (same, columns, also),
            _ => self == other,
        }
    }
}

/// One write to one side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Write {
    /// The idempotency key: stays the same over retries.
    pub key: String,
    /// Where it goes.
    pub side: Side,
    /// What it does.
    pub verb: Verb,
    /// What it expects to find.
    pub expect: Expectation,
    /// For each field, what changes and why; becomes the audit line.
    pub reasons: Vec<Written>,
}

/// Whether the other side may still be at work on a write whose fate we do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Uncertainty {
    /// It answered with a failure: it may have committed, but it will not commit later.
    Ended,
    /// No answer, or one from something in between: it may still commit.
    Open,
}

/// A definite no.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// What the other side said, shortened.
    pub message: String,
}

/// What became of an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Done; with the record as it is now, where the side tells.
    Applied(Option<ObservedRecord>),
    /// Not done: the record was not as expected.
    Moved(ObservedRecord),
    /// The side says that there is no such record (or that we may not see it). No proof of anything.
    Gone,
    /// The side says that the record was deleted (410).
    Deleted,
    /// Not done: too much at once. Come back after so many milliseconds, if it says.
    Throttled {
        /// Milliseconds to wait.
        after: Option<u64>,
    },
    /// Not done: our sign-in was not accepted.
    SignInFailed,
    /// Not done, and a repeat would not help.
    Refused(Refusal),
    /// Perhaps done.
    Unknown(Uncertainty, String),
    /// Never left: certainly not done.
    NotSent(String),
    /// Never left: the side's budget has no room for it before so many milliseconds.
    Busy(u64),
    /// Never left: the side has not answered lately, and is left alone for so many milliseconds.
    Silent(u64),
}

impl Outcome {
    /// The instant before which the side should be left alone, if it named one.
    #[must_use]
    pub fn not_before(&self, now: Millis) -> Option<Millis> {
        match self {
            // An hour is the longest that a rate rule can ask for (it counts per hour).
            Outcome::Throttled { after: Some(ms) } | Outcome::Busy(ms) | Outcome::Silent(ms) => {
                Some(now.plus((*ms).min(3_600_000)))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Outcome::Applied(_) => f.write_str("done"),
            Outcome::Moved(_) => f.write_str("the record was not as expected"),
            Outcome::Gone => f.write_str("the record cannot be found, or may not be seen"),
            Outcome::Deleted => f.write_str("the record was deleted"),
            Outcome::Throttled { .. } => f.write_str("the side asks for less at once"),
            Outcome::SignInFailed => f.write_str("the sign-in is not accepted"),
            Outcome::Refused(refusal) => {
                write!(f, "refused: {} {}", refusal.status, refusal.message)
            }
            Outcome::Unknown(_, why) => f.write_str(why),
            Outcome::NotSent(why) => f.write_str(why),
            Outcome::Busy(_) => f.write_str("it waits for its turn in the side's budget"),
            Outcome::Silent(_) => {
                f.write_str("the side does not answer, and is left alone for a while")
            }
        }
    }
}
