//! Observations: everything that comes in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Attribute, CorrelationKey, EntryOrigin, JournalText, Millis, Revision, Side, Value};

/// How an observation reached us. A read is the record's own word; a message may be old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObservationSource {
    /// A webhook or an event: late, doubled, out of order, or partial.
    Message,
    /// A read that we asked for.
    Read,
    /// The answer to a write of ours.
    WriteAnswer,
}

/// One side's record, or some attributes of it, as seen at a revision.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct ObservedRecord {
    /// The side's id of the record: a `sys_id`, or the platform's id.
    pub id: String,
    /// The class (`sys_class_name`) or the platform's kind.
    pub class: Option<String>,
    /// The number people use: `INC0010001`.
    pub number: Option<String>,
    /// Our key, if it was part of what was seen.
    pub correlation: Option<CorrelationKey>,
    /// When it was so. `None` cannot be ordered.
    pub revision: Option<Revision>,
    /// What was seen. A missing attribute says nothing about it.
    pub attributes: BTreeMap<Attribute, Value>,
    /// Whether it is there at all.
    #[serde(default)]
    pub presence: Presence,
}

/// Whether a record is there. That it cannot be found says nothing; a proof that it was deleted
/// does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// It is.
    #[default]
    There,
    /// It was deleted.
    Deleted,
}

/// A journal entry as seen on one side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EntrySeen {
    /// Its identity.
    pub origin: EntryOrigin,
    /// Its text and audience.
    pub text: JournalText,
    /// Who wrote it.
    pub author: String,
    /// When, by that side's clock.
    pub at: Millis,
}

/// One thing seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Observation {
    /// Which side was seen.
    pub side: Side,
    /// How we know.
    pub source: ObservationSource,
    /// The record.
    pub record: ObservedRecord,
    /// Journal entries that came with it.
    pub entries: Vec<EntrySeen>,
}
