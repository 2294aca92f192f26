//! Policies of an integration: how tickets are found again, what of the journal travels, how the instance is
//! polled and how much is asked of it, what is masked.

use serde::{Deserialize, Serialize};

use crate::{Attribute, FieldName, Side, SysId, TextFormat};

/// How a ticket is found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CorrelationMode {
    /// Nothing in ServiceNow keeps the key unique: after an ambiguous create, wait out the
    /// transaction limit before trying again. At most one *open* ticket per key.
    #[default]
    Plain,
    /// A unique index keeps it unique: try again at once. At most one ticket per key.
    Unique,
}

/// What an escalation whose ticket is closed already leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ClosedPolicy {
    /// The new evidence is added; the ticket stays closed.
    #[default]
    Append,
    /// The ticket is opened again where ServiceNow lets it (a resolved one; a closed one never).
    Reopen,
    /// Another ticket is made, under the key `id~2`, `id~3`, ...
    New,
}

/// How a ticket is found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CorrelationPolicy {
    /// The column that holds the key.
    pub column: Attribute,
    /// Who keeps it unique.
    pub mode: CorrelationMode,
    /// Milliseconds after which the instance cancels a transaction (300,000 by default there).
    pub transaction_limit: u64,
    /// What an escalation whose ticket is closed already leads to.
    pub closed: ClosedPolicy,
    /// What becomes of a further open ticket that was made for the same key.
    pub duplicates: DuplicatePolicy,
}

impl Default for CorrelationPolicy {
    fn default() -> Self {
        CorrelationPolicy {
            column: Attribute::new("correlation_id").unwrap_or_else(|_| unreachable!()),
            mode: CorrelationMode::Plain,
            transaction_limit: 300_000,
            closed: ClosedPolicy::Append,
            duplicates: DuplicatePolicy::Close,
        }
    }
}

/// What becomes of a further open ticket with a link's key. Where nothing in ServiceNow keeps the key
/// unique, an instance that commits after its transaction limit can make one; it is found when the
/// link is next reconciled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DuplicatePolicy {
    /// It is closed with a work note that names the other, if our user made it, nobody has changed it
    /// since, no record is or was paired with it, and no person has resolved the other; told in any case.
    #[default]
    Close,
    /// It is told, and left to people.
    Report,
}

/// Which of the entries that were written before a link was made travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Backfill {
    /// All of them, each with its author and time.
    #[default]
    All,
    /// None: they stay where they are.
    None,
}

/// Where the entries of a ticket are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum JournalSource {
    /// The table `sys_journal_field`, of every kind of ticket. Who may not read it sees no entries, without an error.
    #[default]
    Table,
    /// Of customer service cases the Case API's activities, which refuse whom they do not let in; of other tickets
    /// the table.
    Activities,
}

/// Which journal entries travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct JournalPolicy {
    /// Customer-visible comments, both ways.
    pub comments: bool,
    /// The platform's internal comments to ServiceNow's work notes.
    pub work_notes_to_servicenow: bool,
    /// ServiceNow's work notes to an internal channel of the platform. Never to a customer.
    pub work_notes_to_platform: bool,
    /// Which of the entries that were written before the link travel.
    pub backfill: Backfill,
    /// Where they are read.
    pub source: JournalSource,
    /// How the platform writes its comments. ServiceNow's journal takes plain text.
    pub platform_format: TextFormat,
    /// A template for the text that ServiceNow is given, where all entries come from one user. It
    /// sees `text`, `author` and `at`. Without it: the text alone, and before an entry from before
    /// the link a line with its author and time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

impl JournalPolicy {
    /// Whether any entry travels.
    #[must_use]
    pub fn travels(&self) -> bool {
        self.comments || self.work_notes_to_servicenow || self.work_notes_to_platform
    }
}

impl Default for JournalPolicy {
    fn default() -> Self {
        JournalPolicy {
            comments: true,
            work_notes_to_servicenow: true,
            work_notes_to_platform: false,
            backfill: Backfill::All,
            source: JournalSource::Table,
            platform_format: TextFormat::Plain,
            template: None,
        }
    }
}

/// What a webhook must carry. One of the ways must be on for webhooks to be taken at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct WebhookPolicy {
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    pub standard: bool,
    /// Seed 004's `X-ServiceNow-Signature` over the body alone.
    pub servicenow_signature: bool,
}

impl Default for WebhookPolicy {
    fn default() -> Self {
        WebhookPolicy { standard: true, servicenow_signature: false }
    }
}

/// Whether the instance is asked for what is new, besides what its webhooks tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Polling {
    /// Now and then, to make sure; more often while webhooks do not arrive.
    #[default]
    Behind,
    /// It is the only way: there are no webhooks.
    Alone,
    /// Never. What no webhook tells of is found by the next reconcile only.
    Off,
}

/// By which time tickets are pulled (seed 001's "Pull Record By").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PullBy {
    /// When they last changed: new ones and changes.
    #[default]
    Updated,
    /// When they were made: new ones only.
    Created,
}

/// How the instance is polled. It never sends a webhook twice, and for imports none at all: what is
/// lost on the way is found by polling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PollingPolicy {
    /// Whether, and how.
    pub mode: Polling,
    /// Milliseconds between two sweeps while webhooks arrive.
    pub interval: u64,
    /// Milliseconds between two sweeps while they do not, or if there are none.
    pub interval_alone: u64,
    /// By which time tickets are pulled.
    pub pull_by: PullBy,
    /// Whether what is there already when polling begins is told to the platform, where `filters.mirror` lets it in.
    pub backfill: bool,
}

impl Default for PollingPolicy {
    fn default() -> Self {
        PollingPolicy {
            mode: Polling::default(),
            interval: 60_000,
            interval_alone: 10_000,
            pull_by: PullBy::default(),
            backfill: false,
        }
    }
}

/// How much is asked of the instance. Several integrations on one instance share it: the lowest holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests a second (seed 002 names 50).
    pub requests_per_second: u32,
    /// Requests under way at once.
    pub at_once: u32,
    /// Requests an hour, if there is such a limit. Those that the instance names in its answers are kept
    /// besides.
    pub requests_per_hour: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { requests_per_second: 50, at_once: 4, requests_per_hour: None }
    }
}

/// Which files travel. Whether they do at all says the platform's contract: where its files are read, and
/// where it takes files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AttachmentPolicy {
    /// The most bytes of a file.
    pub max_size: u64,
    /// Media types that travel: `image/png`, `image/*`. Empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}

impl Default for AttachmentPolicy {
    fn default() -> Self {
        AttachmentPolicy { max_size: 25 << 20, types: Vec::new() }
    }
}

/// What is learnt from tickets that are resolved (seed 000, "Post-resolution learning").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LearningPolicy {
    /// Whether a summary is made of a resolved ticket, kept, and found again.
    pub enabled: bool,
    /// Milliseconds from when a ticket is seen resolved to when it is read: whoever resolves one often writes a
    /// last comment after it.
    pub delay: u64,
    /// Whether the summary is written back to the ticket as a last work note, once for each time it is resolved.
    pub write_back: bool,
    /// Whether an escalation shows the cases like it that were solved before, in its work note.
    pub show_like_cases: bool,
    /// A language model at `platform.model_url` that makes the summaries; without one they are made of the ticket's
    /// own sentences. The tenant's rules, if they have `summary`, come before it.
    pub summary_model: Option<String>,
    /// So many summaries it makes on one day (UTC) at most; the rest are made without it.
    pub summaries_per_day: u32,
    /// A model at `platform.model_url` that makes vectors of texts: what is learnt is then found by what it means as
    /// well as by its words.
    pub embedding_model: Option<String>,
    /// Drafts of articles are made of what is learnt.
    pub articles: Option<ArticlePolicy>,
}

/// Where drafts of articles are made. They are drafts: nobody but a person publishes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ArticlePolicy {
    /// The knowledge base, by its `sys_id` in `kb_knowledge_base`.
    pub knowledge_base: SysId,
    /// The category, by its `sys_id` in `kb_category`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<SysId>,
}

impl Default for LearningPolicy {
    fn default() -> Self {
        LearningPolicy {
            enabled: false,
            delay: 30_000,
            write_back: false,
            show_like_cases: true,
            summary_model: None,
            summaries_per_day: 500,
            embedding_model: None,
            articles: None,
        }
    }
}

/// How far a reconcile run goes by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ReconcilePolicy {
    /// A run that is to mend asks a person first if more than this percentage of the links drifted (and
    /// ten at least): something is wrong then that mending would not mend.
    pub ask_above: u32,
    /// The most links that one run mends; the rest is left for the next.
    pub most: u64,
}

impl Default for ReconcilePolicy {
    fn default() -> Self {
        ReconcilePolicy { ask_above: 20, most: 1_000 }
    }
}

/// What is installed on the instance besides the rules that send webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ProvisionPolicy {
    /// A rule that redacts card numbers and social security numbers before a ticket or a journal
    /// entry is saved (seed 002). It is the instance's own net; Firn masks whatever it sends anyway.
    pub redact_on_save: bool,
    /// A rule that tells of new attachments.
    pub attachments: bool,
    /// A Scripted REST resource that makes tickets with a `sys_id` which follows from their key, so
    /// that the instance's own primary key refuses a second one, and that changes a ticket only if it
    /// is as it was last seen. Firn writes through it then: at most one ticket per key.
    pub resource: bool,
    /// The MID server through which the instance's webhooks leave, if they cannot reach Firn by
    /// themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mid_server: Option<String>,
}

/// What an instance is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    /// Real tickets.
    #[default]
    Production,
    /// For trying things out.
    Sandbox,
}

/// What is let in at all. Expressions over `payload`, the raw body; what they exclude is answered
/// `filtered` and noted in the audit, never dropped silently.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Filters {
    /// Escalations: `payload.escalationReason in ["IVR_TIMEOUT_EXCEEDED"]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalations: Option<String>,
    /// The platform's events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<String>,
    /// ServiceNow's webhooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhooks: Option<String>,
    /// Tickets that we did not make (over `ticket` and `table`): which of them get a record on the
    /// platform. Without it: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
}

/// What is done with personal data and secrets: everything of the policy is masked by default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct MaskingPolicy {
    /// What is done where no rule says otherwise.
    pub strategy: MaskStrategy,
    /// Exceptions; the first that fits decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<MaskRule>,
    /// Patterns of one's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<MaskPattern>,
    /// Words of one's own, in any case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<MaskWords>,
}

/// What stands for a value that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MaskStrategy {
    /// As much as its type may keep: `***-***-1234`, `a***@example.com`; secrets keep nothing.
    #[default]
    Partial,
    /// Its type alone: `[PHONE]`.
    Redact,
    /// Its type and a token that is the same wherever the value is, within the tenant:
    /// `[PHONE:...]`. Without a key at hand, as `redact`.
    Token,
    /// Nothing.
    Drop,
    /// The value itself.
    Keep,
}

impl MaskStrategy {
    /// The name used in findings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            MaskStrategy::Partial => "partial",
            MaskStrategy::Redact => "redact",
            MaskStrategy::Token => "token",
            MaskStrategy::Drop => "drop",
            MaskStrategy::Keep => "keep",
        }
    }
}

/// What a masked text becomes part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Sink {
    /// A field of the other side's record.
    Field,
    /// A comment or a work note.
    Comment,
    /// What Firn keeps and shows: audit, conflicts, explanations, reports.
    Audit,
    /// What is learnt from resolved tickets.
    Knowledge,
}

/// An exception. What it does not name, it is about all of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MaskRule {
    /// Types: `PHONE`, `EMAIL`, ..., or one's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// Mapped fields; `caller.*` is every one that begins so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// The side that the text leaves for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Side>,
    /// What it becomes part of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<Sink>,
    /// What is done.
    pub strategy: MaskStrategy,
}

/// A regular expression of one's own: no look-around, no back-references, limited in size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MaskPattern {
    /// The type that it finds: `EMPLOYEE_NUMBER`.
    pub name: String,
    /// The expression.
    pub pattern: String,
}

/// Words of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MaskWords {
    /// The type that they are of: `PROJECT_NAME`.
    pub name: String,
    /// The words.
    pub words: Vec<String>,
}

/// What becomes of the other side when one is gone for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum GonePolicy {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is closed: the status field gets the value named in `closed`.
    Close,
}

/// Which field says whether a record is open, and by which values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Lifecycle {
    /// The field.
    pub field: FieldName,
    /// The platform's value of a record that is open.
    pub open: String,
    /// The values of one that is resolved: it can be opened again.
    pub resolved: Vec<String>,
    /// The values of one that is closed: ServiceNow does not let it be opened again.
    pub closed: Vec<String>,
    /// The values of one that was canceled: closed as well, and nothing was solved by it.
    pub canceled: Vec<String>,
    /// What becomes of the other side when one is gone for good.
    pub gone: GonePolicy,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Lifecycle {
            field: FieldName::new("status").unwrap_or_else(|_| unreachable!()),
            open: "open".to_owned(),
            resolved: vec!["resolved".to_owned()],
            closed: vec!["closed".to_owned()],
            canceled: Vec::new(),
            gone: GonePolicy::Keep,
        }
    }
}
