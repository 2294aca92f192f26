//! A tenant's own rules: what they are asked, and what they say. The tenant's side of it is
//! `wit/rules/rules.wit`, hook by hook.

pub mod sound;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Composed, FieldName, Millis, Shape, Side, TableName};

/// The points at which rules are asked.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// Whether a record is kept in step at all.
    Admit,
    /// What a new ticket is.
    Classify,
    /// What a new ticket contains.
    Draft,
    /// What a value becomes on its way to the other side.
    Value,
    /// Who wins when both sides changed a field.
    Conflict,
    /// What is kept of a resolved ticket.
    Summary,
}

impl Hook {
    /// All of them, in the order in which a pair meets them.
    pub const ALL: [Hook; 6] =
        [Hook::Admit, Hook::Classify, Hook::Draft, Hook::Value, Hook::Conflict, Hook::Summary];

    /// Its name, which is also that of its interface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Hook::Admit => "admit",
            Hook::Classify => "classify",
            Hook::Draft => "draft",
            Hook::Value => "value",
            Hook::Conflict => "conflict",
            Hook::Summary => "summary",
        }
    }
}

/// The rules that an integration is to be asked.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveRules {
    /// Their version: 1, 2, ...
    pub version: u64,
    /// The SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// The hooks that it has.
    pub hooks: BTreeSet<Hook>,
}

/// The pair that questions are about. Texts are masked as the other side would be given them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The integration's short name.
    pub integration: String,
    /// The platform's record.
    pub record: String,
    /// The kind of ticket.
    pub table: TableName,
    /// The ticket's number.
    pub number: Option<String>,
    /// The side on which the pair began.
    pub began: Side,
    /// The platform's record as last seen.
    pub platform: BTreeMap<String, String>,
    /// The ticket as last seen.
    pub ticket: BTreeMap<String, String>,
    /// The escalation, as JSON.
    pub payload: Option<String>,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "hook")]
pub enum Question {
    /// Is it to be kept in step?
    Admit,
    /// What is the ticket?
    Classify {
        /// The kinds that the settings allow.
        tables: Vec<TableName>,
    },
    /// What does it contain?
    Draft {
        /// Its columns so far.
        columns: BTreeMap<String, String>,
    },
    /// What does this value become?
    Value {
        /// The field.
        field: FieldName,
        /// The side that it comes from.
        from: Side,
        /// The value, in the platform's words.
        value: String,
        /// What stands on the other side now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        present: Option<String>,
    },
    /// Who wins?
    Conflict {
        /// The field.
        field: FieldName,
        /// The platform's value.
        platform: String,
        /// ServiceNow's value, in the platform's words.
        servicenow: String,
        /// What both last agreed on.
        base: String,
        /// Milliseconds by which the platform's edit was the later.
        lead: i64,
    },
    /// What is worth keeping?
    Summary {
        /// What was written in the ticket, masked.
        sources: Vec<SourceText>,
    },
}

/// Something that was written in a ticket, as rules see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceText {
    /// Where: a column, or the journal.
    pub place: String,
    /// The text.
    pub text: String,
}

impl Question {
    /// The hook that is asked.
    #[must_use]
    pub fn hook(&self) -> Hook {
        match self {
            Question::Admit => Hook::Admit,
            Question::Classify { .. } => Hook::Classify,
            Question::Draft { .. } => Hook::Draft,
            Question::Value { .. } => Hook::Value,
            Question::Conflict { .. } => Hook::Conflict,
            Question::Summary { .. } => Hook::Summary,
        }
    }
}

/// Questions about one pair, to be asked together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inquiry {
    /// What they are about.
    pub about: Subject,
    /// The questions.
    pub questions: Vec<Question>,
}

/// Whether a record is kept in step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Admission {
    /// It is.
    Yes,
    /// It is not, and why.
    No(String),
}

/// What a new ticket is. What is not said stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Class {
    /// The kind of ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// `category`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// `subcategory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subcategory: Option<String>,
    /// `assignment_group`, by `sys_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignment_group: Option<String>,
}

/// What becomes of a value on its way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It goes as it is.
    Keep,
    /// This goes instead, in the platform's words.
    Instead(String),
    /// It does not go, and why.
    Withhold(String),
}

/// Who wins.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Winner {
    /// Whoever the settings say.
    Settings,
    /// The platform.
    Platform,
    /// ServiceNow.
    Servicenow,
    /// A third value, in the platform's words.
    Value(String),
    /// A person decides.
    Person,
}

/// What is kept of a resolved ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lesson {
    /// What the settings say.
    Settings,
    /// Nothing.
    Nothing,
    /// This.
    Kept(Composed),
}

/// What rules said. Nothing of it is believed before the core has checked it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// To [`Question::Admit`].
    Admit(Admission),
    /// To [`Question::Classify`].
    Classify(Class),
    /// To [`Question::Draft`]: columns that are to be other.
    Draft(BTreeMap<String, String>),
    /// To [`Question::Value`].
    Value(Verdict),
    /// To [`Question::Conflict`].
    Conflict(Winner),
    /// To [`Question::Summary`].
    Summary(Lesson),
}

impl Said {
    /// The hook that says such things.
    #[must_use]
    pub fn hook(&self) -> Hook {
        match self {
            Said::Admit(_) => Hook::Admit,
            Said::Classify(_) => Hook::Classify,
            Said::Draft(_) => Hook::Draft,
            Said::Value(_) => Hook::Value,
            Said::Conflict(_) => Hook::Conflict,
            Said::Summary(_) => Hook::Summary,
        }
    }
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The rules said something.
    Said(Said),
    /// They trapped, ran too long, grew too large, or gave an error; in a sentence.
    Failed(String),
    /// They have failed lately and are not asked before this time.
    Resting(Millis),
    /// They are not loaded yet; ask again then.
    Later(Millis),
}

/// What becomes of a thing when rules fail on it.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnRuleFailure {
    /// It waits, and the rules are asked again: soon, then less often, once a minute at least.
    #[default]
    Park,
    /// It goes on as if there were no rules.
    Skip,
}

/// Rules that could not be asked, or failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failing {
    /// Why, if they failed.
    pub why: Option<String>,
    /// How often in a row.
    pub tries: u32,
    /// When they are asked again.
    pub again: Millis,
    /// Which version it was: another is asked at once.
    #[serde(default)]
    pub version: u64,
}

/// One of the questions that are asked once, at a pair's beginning.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// It is over, or there was none.
    #[default]
    Over,
    /// It is to be asked.
    Open,
    /// It was asked in vain.
    Failing(Failing),
}

impl Turn {
    /// Whether the question still has to be answered.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self != Turn::Over
    }
}

/// What rules have still to say before a pair begins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Beginning {
    /// Whether it begins.
    pub admit: Turn,
    /// What its ticket is.
    pub classify: Turn,
    /// What its ticket contains.
    pub draft: Turn,
}

impl Beginning {
    /// Whether nothing has to be asked any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        *self == Beginning::default()
    }
}

/// What rules said of a value, for as long as the value stays.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ruled {
    /// The rules' version.
    pub version: u64,
    /// The value's shape on the side that it comes from.
    pub of: Shape,
    /// What they said.
    pub ruling: Ruling,
    /// The ticket was made without the value: it goes there before what stands there by itself counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left_out: bool,
}

/// What came of asking about a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ruling {
    /// It goes as it is.
    Keep,
    /// This goes in its place, as the platform would write it.
    Instead(Shape),
    /// It does not go.
    Withheld,
    /// Nothing was said.
    Failing(Failing),
}

/// What rules said of two edits, for as long as both stay.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Arbitrated {
    /// The rules' version.
    pub version: u64,
    /// The shapes that they saw, the platform's then ServiceNow's.
    pub of: (Shape, Shape),
    /// What came of it.
    pub ruling: Arbitration,
}

/// What came of asking about two edits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arbitration {
    /// The settings decide.
    Settings,
    /// A person decides.
    Person,
    /// This value is decided on; the decision itself is the field's.
    Decided,
    /// Nothing was said.
    Failing(Failing),
}
