//! What an operator asks for, and reconcile runs.

use serde::{Deserialize, Serialize};

use crate::rule::Answer;
use crate::{
    ActiveRules, Clock, ConflictId, DeadFilter, FieldName, FindingFilter, Integration,
    IntegrationId, LinkId, Millis, Observation, ObservedRecord, PlatformContract, PlatformId,
    Preset, Shape, Side, SysId, TableName, Value,
};

/// How a conflict is resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// The platform's value.
    UsePlatform,
    /// ServiceNow's value.
    UseExternal,
    /// A third one, as the platform would write it.
    Value(Value),
}

/// Whether a run only looks or also mends.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunMode {
    /// Writes nothing but its report.
    DryRun,
    /// Lets `plan` act on what was found.
    AutoHeal,
}

/// An integration to be, or a change of one. What is not given stays, or is the preset's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configure {
    /// Its id.
    pub id: IntegrationId,
    /// Whether it must be new, or must be there.
    pub create: bool,
    /// A short name for the command line.
    pub slug: Option<String>,
    /// Its name for people.
    pub name: Option<String>,
    /// The instance.
    pub base_url: Option<String>,
    /// The user's own system.
    pub platform: Option<PlatformContract>,
    /// On or off.
    pub enabled: Option<bool>,
    /// Where the settings start from, if it is new.
    pub preset: Option<Preset>,
    /// A JSON merge patch (RFC 7396) on the settings; `fields` is an object by field name.
    #[serde(default)]
    pub settings: serde_json::Value,
}

/// Whether something is only looked at or also done.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// Only says what it would do.
    Look,
    /// Does it.
    Act,
}

/// A ticket as a person names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TicketName {
    /// By its id.
    SysId(SysId),
    /// By its number.
    Number(String),
}

/// One version of an integration's settings, kept for ever.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its number: 1, 2, ...
    pub version: u64,
    /// When it was made.
    pub at: Millis,
    /// By whom.
    pub by: String,
    /// The integration as it was.
    pub integration: Integration,
}

/// One request of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "operation")]
pub enum Operation {
    /// Creates or changes an integration.
    Configure {
        /// What is given.
        integration: Box<Configure>,
    },
    /// Makes an integration what a settings document says.
    Apply {
        /// Its id.
        id: IntegrationId,
        /// The document, as JSON.
        document: serde_json::Value,
        /// Only look, or do it.
        intent: Intent,
    },
    /// Makes an earlier version of an integration's settings the present one.
    Rollback {
        /// The integration.
        integration: IntegrationId,
        /// The version.
        version: u64,
    },
    /// Reads deliveries that are there under other settings, and changes nothing.
    Preview {
        /// The integration.
        integration: IntegrationId,
        /// The settings document, as JSON.
        document: serde_json::Value,
        /// Which deliveries, by the names of their rows.
        deliveries: Vec<String>,
    },
    /// Lets an integration ask other rules of its tenant's own, or none.
    Activate {
        /// The integration.
        integration: IntegrationId,
        /// The rules; none: it asks nobody.
        rules: Option<ActiveRules>,
    },
    /// Looks at what waits for rules now: others are asked.
    WakeWaiting {
        /// The integration.
        integration: IntegrationId,
    },
    /// Tells what the tenant's rules would be asked about deliveries, and changes nothing.
    Inquire {
        /// The integration.
        integration: IntegrationId,
        /// Which deliveries, by the names of their rows.
        deliveries: Vec<String>,
    },
    /// Tells what would come of what rules say to what [`Inquire`](Operation::Inquire) told.
    Judge {
        /// The integration.
        integration: IntegrationId,
        /// Which deliveries, and the answers to the questions about each.
        deliveries: Vec<(String, Vec<Answer>)>,
    },
    /// Pairs a platform's record with a ticket that is there.
    Attach {
        /// The integration.
        integration: IntegrationId,
        /// The platform's record.
        record: PlatformId,
        /// The ticket.
        ticket: TicketName,
        /// Its table; the settings' first if not given.
        #[serde(default)]
        table: Option<TableName>,
    },
    /// Takes a pair apart: both records stay, nothing is kept in step any more.
    Unlink {
        /// The integration.
        integration: IntegrationId,
        /// The link.
        link: LinkId,
    },
    /// Tells why each value of a link is what it is.
    Explain {
        /// The integration.
        integration: IntegrationId,
        /// The link.
        link: LinkId,
    },
    /// Resolves a conflict.
    Resolve {
        /// The integration.
        integration: IntegrationId,
        /// The conflict.
        conflict: ConflictId,
        /// The choice.
        resolution: Resolution,
    },
    /// Shows a dead letter with everything that is known of it; what it would write is masked.
    ShowDead {
        /// The integration.
        integration: IntegrationId,
        /// The dead letter.
        id: String,
    },
    /// Tries a dead letter again.
    RetryDead {
        /// The integration.
        integration: IntegrationId,
        /// The dead letter.
        id: String,
    },
    /// Throws a dead letter away.
    DiscardDead {
        /// The integration.
        integration: IntegrationId,
        /// The dead letter.
        id: String,
    },
    /// Tries dead letters again, a number of them at once; says how many are left.
    RetryAllDead {
        /// The integration.
        integration: IntegrationId,
        /// Which.
        filter: DeadFilter,
    },
    /// Throws dead letters away, a number of them at once; says how many are left.
    DiscardAllDead {
        /// The integration.
        integration: IntegrationId,
        /// Which.
        filter: DeadFilter,
    },
    /// Forgets findings that a person has seen, a number of them at once; says how many are left.
    Dismiss {
        /// The integration.
        integration: IntegrationId,
        /// Which.
        filter: FindingFilter,
    },
    /// Compares all links with both sides.
    Reconcile {
        /// The integration.
        integration: IntegrationId,
        /// Only look, or mend.
        mode: RunMode,
    },
    /// Compares all links again and again.
    Schedule {
        /// The integration.
        integration: IntegrationId,
        /// Milliseconds from one run to the next.
        interval: u64,
        /// Only look, or mend.
        mode: RunMode,
        /// Whether it runs at all.
        enabled: bool,
    },
    /// Ends a run: what it has begun comes to its end, nothing more is begun.
    StopRun {
        /// The integration.
        integration: IntegrationId,
        /// The run.
        run: String,
    },
    /// Lets a run that found more drift than it mends unasked go on.
    ConfirmRun {
        /// The integration.
        integration: IntegrationId,
        /// The run.
        run: String,
    },
    /// Asks the instance for what is new, now: after a start, or because somebody cannot wait.
    Poll {
        /// The integration.
        integration: IntegrationId,
    },
    /// Somebody gave other credentials or consented anew: what waits for a sign-in goes on at once.
    SignedIn {
        /// The integration.
        integration: IntegrationId,
    },
    /// Reads both sides of one link again.
    Resync {
        /// The integration.
        integration: IntegrationId,
        /// The link.
        link: LinkId,
    },
}

/// Where a run stands.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Links are still being looked at.
    Running,
    /// More links drifted than are mended unasked: a person confirms or stops it.
    Asks,
    /// What drifted is being mended.
    Healing,
    /// A person stopped it.
    Stopped,
    /// Every link was looked at, and what drifted is in the hands of `plan`.
    Finished,
}

impl RunState {
    /// Whether nothing more will come of the run.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, RunState::Stopped | RunState::Finished)
    }
}

/// When an integration's links are compared by themselves.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The integration.
    pub integration: IntegrationId,
    /// Milliseconds from one run to the next.
    pub interval: u64,
    /// Only look, or mend.
    pub mode: RunMode,
    /// Whether it runs at all.
    pub enabled: bool,
    /// Who set it.
    pub by: String,
    /// When the next run begins.
    pub next: Option<Millis>,
    /// The last run.
    pub last: Option<String>,
}

/// A reconcile run.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// The integration.
    pub integration: IntegrationId,
    /// Only look, or mend.
    pub mode: RunMode,
    /// Who asked.
    pub by: String,
    /// When it began.
    pub started: Millis,
    /// When it ended.
    pub finished: Option<Millis>,
    /// Where it stands.
    pub state: RunState,
    /// Links to look at in all, as far as they are counted.
    pub links: u64,
    /// While links are still being counted, some hundred at a time: the last one so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_to: Option<String>,
    /// Links looked at.
    pub checked: u64,
    /// Links that drifted.
    pub drifted: u64,
    /// Links that could not be looked at.
    #[serde(default)]
    pub failed: u64,
    /// Links whose platform cannot be read (`push-only`): of these only ServiceNow was looked at.
    #[serde(default)]
    pub not_verifiable: u64,
    /// Links that drifted and were handed to `plan`.
    #[serde(default)]
    pub healed: u64,
    /// Links that drifted and are left for a later run: there is a limit to one.
    #[serde(default)]
    pub left: u64,
    /// What was found, link by link; only links with something to say, and the first 200 of them.
    pub drifts: Vec<Check>,
}

/// Where a check stands.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    /// ServiceNow's record is being read, together with others.
    Together,
    /// ServiceNow's record is being read.
    ReadingExternal,
    /// ServiceNow's journal is being read.
    ReadingJournal,
    /// The platform's record is being read.
    ReadingPlatform,
    /// Done.
    Done,
    /// Done, and what drifted waits to be mended.
    Drifted,
    /// A side could not be read; why.
    Failed(String),
}

/// What is read of several tickets at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupState {
    /// The tickets.
    ReadingTickets,
    /// Which entries they have.
    ReadingJournal,
}

/// Links of a run whose tickets are read together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The run.
    pub run: String,
    /// The tickets' table.
    pub table: TableName,
    /// The links.
    pub links: Vec<LinkId>,
    /// What is being read.
    pub state: GroupState,
    /// What was read.
    pub tickets: Vec<ObservedRecord>,
    /// How often the read was tried.
    pub attempts: u32,
    /// Counts requests.
    pub number: u64,
    /// When the last one was made.
    pub asked: Millis,
    /// What the tickets' answer told of the instance's clock.
    pub clock: Option<Option<Clock>>,
}

/// One field that differs from what was last agreed on, with no event to say so.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldDrift {
    /// The field.
    pub field: FieldName,
    /// The platform's value, masked.
    pub platform: Option<Shape>,
    /// ServiceNow's value, masked.
    pub external: Option<Shape>,
    /// What both last agreed on, in the platform's shape, masked.
    pub base: Option<Shape>,
    /// Who would win, in words.
    pub verdict: String,
}

/// One link of a reconcile run.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The run.
    pub run: String,
    /// The link.
    pub link: LinkId,
    /// The ticket's number, for people.
    pub number: Option<String>,
    /// Where it stands.
    pub state: CheckState,
    /// Whether the platform cannot be read, so that only ServiceNow was compared.
    pub platform_not_verifiable: bool,
    /// Fields that drifted.
    pub fields: Vec<FieldDrift>,
    /// Entries that had not been seen.
    pub entries: u64,
    /// What was read so far; emptied when the check is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub seen: Vec<Observation>,
    /// How often a read was tried.
    #[serde(default)]
    pub attempts: u32,
    /// When the last read was asked for.
    #[serde(default)]
    pub asked: Millis,
    /// What the answers told of the sides' clocks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub clocks: Vec<(Side, Option<Clock>)>,
}
