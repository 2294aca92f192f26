//! Journal entries. Customer-visible comments and internal work notes are two types: what
//! renders one for a customer cannot be given the other by a slip.

use serde::{Deserialize, Serialize};

use crate::{Millis, Side};

/// Customer-visible text (`comments` in ServiceNow, `visibility: public` on the platform).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Comment(pub String);

/// Internal text (`work_notes` in ServiceNow, `visibility: internal` on the platform).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkNote(pub String);

/// The text of an entry, with its audience.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JournalText {
    /// A customer may read it.
    Comment(Comment),
    /// Only agents may read it.
    WorkNote(WorkNote),
}

impl JournalText {
    /// The text alone, for comparing and masking; its audience stays with the variant.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            JournalText::Comment(Comment(text)) | JournalText::WorkNote(WorkNote(text)) => text,
        }
    }

    /// The same audience with another text.
    #[must_use]
    pub fn with_text(&self, text: String) -> JournalText {
        match self {
            JournalText::Comment(_) => JournalText::Comment(Comment(text)),
            JournalText::WorkNote(_) => JournalText::WorkNote(WorkNote(text)),
        }
    }

    /// ServiceNow's column (and `sys_journal_field.element`) for this audience.
    #[must_use]
    pub fn column(&self) -> &'static str {
        match self {
            JournalText::Comment(_) => "comments",
            JournalText::WorkNote(_) => "work_notes",
        }
    }

    /// Whether two entries say the same to the same audience. Line ends and outer blanks do not
    /// count: ServiceNow keeps neither faithfully.
    #[must_use]
    pub fn says_the_same(&self, other: &JournalText) -> bool {
        fn canonical(text: &str) -> String {
            text.replace("\r\n", "\n").trim().to_owned()
        }
        self.column() == other.column() && canonical(self.text()) == canonical(other.text())
    }
}

/// Where an entry was first written. Together with the id it is the entry's identity.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryOrigin {
    /// The platform's id of the comment.
    Platform(String),
    /// The `sys_id` of the `sys_journal_field` row.
    External(String),
    /// Written by Firn itself on escalation: the evidence pack.
    Firn(String),
}

impl EntryOrigin {
    /// The side on which the entry was written; Firn's own notes come from the platform's side.
    #[must_use]
    pub fn side(&self) -> Side {
        match self {
            EntryOrigin::Platform(_) | EntryOrigin::Firn(_) => Side::Platform,
            EntryOrigin::External(_) => Side::External,
        }
    }

    /// Whether a person wrote it; Firn's own notes are nobody's.
    #[must_use]
    pub fn is_of_a_person(&self) -> bool {
        !matches!(self, EntryOrigin::Firn(_))
    }

    /// The id without its origin.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            EntryOrigin::Platform(id) | EntryOrigin::External(id) | EntryOrigin::Firn(id) => id,
        }
    }
}

/// What became of an entry on the other side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mirror {
    /// Still to be written.
    Pending,
    /// Written; the other side's id, where that side gives one.
    Mirrored(Option<String>),
    /// Not to be written, and why.
    Withheld(String),
    /// Failed for good; a dead letter has the rest.
    Parked,
}

/// One entry of a link's journal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// Its identity.
    pub origin: EntryOrigin,
    /// Its text and audience.
    pub text: JournalText,
    /// Who wrote it, as that side names people.
    pub author: String,
    /// When it was written, by that side's clock.
    pub at: Millis,
    /// What became of it on the other side.
    pub mirror: Mirror,
}
