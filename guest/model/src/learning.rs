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

/// Who made a summary. Whoever it was: what is cited stands in the ticket.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Maker {
    /// Firn itself, of the ticket's own sentences.
    Extract,
    /// The tenant's own rules.
    Rules,
    /// A language model of the tenant's choice.
    Model,
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

/// What rules or a language model make of a ticket. Nothing of it is believed before the core has checked it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Composed {
    /// What was asked.
    pub asked: String,
    /// What was found on the way.
    pub found: Vec<Cited>,
    /// What solved it.
    pub solved: Vec<Cited>,
    /// Words to find it by.
    pub tags: Vec<String>,
}

/// A sentence that goes back to what somebody wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cited {
    /// The sentence.
    pub text: String,
    /// The number of its source; the first is 1.
    pub from: u32,
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
    /// The language model that made it, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
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
    /// It was read, and somebody else than Firn is to say what is worth keeping.
    Composing(Box<Composing>),
    /// The summary is there.
    Learnt,
    /// The ticket is open again.
    Reopened,
}

/// A ticket that was read, of which rules or a language model are to make a summary. All of it is masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Composing {
    /// What Firn makes of it by itself: what is kept if nobody else makes anything.
    pub extract: CaseSummary,
    /// What was written in it.
    pub sources: Vec<Passage>,
    /// Who is asked.
    pub asked: Asked,
    /// How often in vain.
    pub tries: u32,
}

/// Who is asked for a summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// The tenant's rules, when the row is due.
    Rules,
    /// A language model, when the row is due.
    Model,
    /// A language model has the question; its answer has this number.
    Waiting(u64),
}

/// What language models were asked on one day.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// Days since 1970, in UTC.
    pub day: i64,
    /// Questions of that day.
    pub questions: u32,
}

/// An article of the knowledge base that is made of a summary, for a person to review. One row for each ticket, whichever
/// link speaks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArticleDraft {
    /// The integration.
    pub integration: IntegrationId,
    /// The ticket.
    pub ticket: LearntFrom,
    /// The link that learnt from it last.
    pub link: LinkId,
    /// Where the work stands.
    pub state: ArticleState,
    /// The article, once it is there.
    pub article: Option<Article>,
    /// It was not found under its id: it is looked for by its key word.
    pub missing: bool,
    /// The summary that it says, or will say if a request that makes it takes effect, by its id.
    pub says: Option<String>,
    /// The summary that is being written, by its id.
    pub writes: Option<String>,
    /// When a request that makes it was last sent: until the instance's transaction limit is over it may still take
    /// effect.
    pub sent: Option<Millis>,
    /// How many requests may have made one. More than one if the instance's transaction limit went by without it.
    pub made: u32,
    /// Counts requests.
    pub sequence: u64,
    /// Requests in a row that came to nothing.
    pub failures: u32,
}

/// Where the work on an article stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArticleState {
    /// It is to be looked at when the row is due: whether it is there, and whether it is still as it was left.
    Wanted,
    /// It is looked at; the answer has this number.
    Looking(u64),
    /// It is made, or written anew; the answer has this number.
    Writing(u64),
    /// It says what the last summary says.
    Written,
    /// It is looked whether there is more than one; the answer has this number.
    Counting(u64),
    /// The same of one that is a person's.
    CountingLeft(u64),
    /// It is a person's now: read, changed, published or deleted. Firn leaves it alone.
    Left,
    /// The instance refused it.
    Refused,
}

/// An article as Firn left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Article {
    /// Its id.
    pub sys_id: SysId,
    /// Its number, if it is known.
    pub number: Option<String>,
    /// How often it had been changed then.
    pub mod_count: Option<u32>,
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
    /// The one in whose place it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<String>,
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
            supersedes: None,
            sequence: 0,
            failures: 0,
            telling: None,
        }
    }
}
