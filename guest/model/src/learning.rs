//! What is learnt from a ticket when it is resolved (seed 000's `CASE_SUMMARY`), and where that work stands. One row
//! for each link.

use serde::{Deserialize, Serialize};

use crate::{Attribute, EntryOrigin, IntegrationId, LinkId, Millis, SysId, TableName};

/// Where a passage was written.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A column of the ticket: `close_notes`.
    Column(Attribute),
    /// An entry of its journal.
    Entry(EntryOrigin),
}

/// Some sentences of a ticket, in its own words, masked.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// The words.
    pub text: String,
    /// Where they stand.
    pub source: Source,
}

/// The ticket that something was learnt from.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearntFrom {
    /// Its table.
    pub table: TableName,
    /// Its id.
    pub sys_id: SysId,
    /// Its number, if it is known.
    pub number: Option<String>,
}

/// Who made a summary.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Maker {
    /// Firn itself, of the ticket's own sentences.
    Extract,
}

/// Whether a summary still holds.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The ticket is as resolved as it was.
    Current,
    /// The ticket was opened again: what solved it did not.
    Superseded,
}

/// What was learnt from a resolved ticket. Everything in it is masked.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "CASE_SUMMARY")]
pub struct CaseSummary {
    /// Its id: the link's, and how often that link's ticket was resolved.
    pub id: String,
    /// The integration.
    pub integration: IntegrationId,
    /// The link.
    pub link: LinkId,
    /// The ticket.
    pub ticket: LearntFrom,
    /// What was asked: the subject, and what the description says first.
    pub asked: String,
    /// What was found on the way, in the order of time.
    pub found: Vec<Passage>,
    /// What solved it.
    pub solved: Vec<Passage>,
    /// Category, subcategory, and the words that matter most.
    pub tags: Vec<String>,
    /// Articles of the knowledge base that are named: `KB0010001`.
    pub articles: Vec<String>,
    /// Other tickets that are named.
    pub tickets: Vec<String>,
    /// When it was made.
    pub made: Millis,
    /// Who made it.
    pub maker: Maker,
    /// Whether it still holds.
    pub standing: Standing,
}

/// A case that was solved before, as it is shown to whoever has a like one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LikeCase {
    /// Its ticket: number, or id.
    pub ticket: String,
    /// What was asked.
    pub asked: String,
    /// What solved it.
    pub solved: String,
}

/// Where the work on a summary stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LearningState {
    /// The ticket is resolved, and is to be read when the row is due.
    Wanted,
    /// It is being read.
    Asked {
        /// Tells the answer from that to an earlier request.
        number: u64,
        /// When it counts as lost.
        until: Millis,
    },
    /// The summary is there.
    Learnt,
    /// The ticket is open again.
    Reopened,
}

/// What is learnt from a link's ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learning {
    /// The integration.
    pub integration: IntegrationId,
    /// The link.
    pub link: LinkId,
    /// How often the ticket was resolved.
    pub times: u32,
    /// Where the work stands.
    pub state: LearningState,
    /// The last summary.
    pub summary: Option<CaseSummary>,
    /// Counts requests.
    pub sequence: u64,
    /// Requests in a row that came to nothing.
    pub failures: u32,
    /// That it was made, or holds no more, is still to be told to the knowledge store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telling: Option<Telling>,
}

/// What a knowledge store of the platform's is still to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telling {
    /// Names the message: the same however often it is sent.
    pub number: u64,
    /// Since when it is told.
    pub since: Millis,
    /// How often that failed.
    pub tries: u32,
    /// Whether it is on its way.
    pub sent: bool,
}

impl Learning {
    /// The first time that a ticket is resolved.
    #[must_use]
    pub fn new(integration: IntegrationId, link: LinkId) -> Learning {
        Learning {
            integration,
            link,
            times: 1,
            state: LearningState::Wanted,
            summary: None,
            sequence: 0,
            failures: 0,
            telling: None,
        }
    }
}
