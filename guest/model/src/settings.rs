//! Settings: what an integration is told to do, as it is written (in a TOML file, or as JSON
//! through the API). `firn-core` checks them and compiles them to `Rules`; nothing else reads them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Attribute, FieldName, IntegrationId, Side, TableName, TenantId, Value};

/// One tenant's pairing of a platform with a ServiceNow instance. Credentials live in the host's
/// vault and never enter the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    /// Its id.
    pub id: IntegrationId,
    /// Its owner (`organization_id` in seed 004).
    pub tenant: TenantId,
    /// A short name for the command line: `prod-snow`.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// The instance, `https://your-instance.service-now.com`.
    pub base_url: String,
    /// The user's own system.
    pub platform: PlatformContract,
    /// Off: deliveries are kept, nothing is sent.
    pub enabled: bool,
    /// Counts the versions of name, addresses and settings; 1 when new.
    #[serde(default)]
    pub version: u64,
    /// What to do.
    pub settings: Settings,
}

/// How the platform is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PlatformContract {
    /// Where changes are posted. Without it nothing is sent to the platform.
    pub callback_url: Option<String>,
    /// Where a record can be read, with `{id}` for its id. Without it the platform is push-only.
    pub read_url: Option<String>,
    /// Where findings are posted as they are raised (`finding.raised`), for tools that call somebody.
    pub findings_url: Option<String>,
}

/// Which of the seeds' ways of working an integration starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Seed 004: incidents both ways.
    #[default]
    Incidents,
    /// Seed 002: calls that need a ticket.
    Genesys,
    /// Seed 000: conversations handed to a person.
    Bot,
    /// Seed 003: every class of the task family, told to the platform.
    Neo,
    /// Seed 001: customer service cases.
    Helpdesk,
}

impl Preset {
    /// All of them.
    pub const ALL: [Preset; 5] =
        [Preset::Incidents, Preset::Genesys, Preset::Bot, Preset::Neo, Preset::Helpdesk];
}

/// Who may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Both sides.
    #[default]
    Bidirectional,
    /// Only ServiceNow is written.
    ToServicenow,
    /// Only the platform is written.
    ToPlatform,
}

/// Which side a field belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// The user's own system.
    Platform,
    /// ServiceNow.
    External,
    /// Neither: both may change it.
    #[default]
    Shared,
}

/// What happens when a side changes a field that it does not own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OffOwner {
    /// The owner's value is written back; a second time within an hour it is kept instead.
    #[default]
    Restored,
    /// It is left there and not carried.
    Kept,
    /// It is carried as if the field were shared.
    Adopted,
}

/// What happens when both sides change one field at nearly the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The later edit.
    #[default]
    LastWriteWins,
    /// The side with the higher priority; at a tie the later edit.
    OwnershipPriority,
    /// A person decides.
    ManualReview,
}

/// How a field's values translate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Free text: trimmed, masked, and cut to the column's length with a visible ellipsis.
    Text,
    /// A value map between one attribute and one column.
    Choice,
    /// A value map between one attribute and several columns.
    Columns,
    /// `critical | high | medium | low`: reads `priority` and `impact`, writes `impact` and
    /// `urgency`, because ServiceNow computes `priority` from them.
    Severity,
    /// A person, a group or another row, by a key on the platform and by `sys_id` in ServiceNow.
    Reference,
    /// An instant or a day.
    Date,
    /// One text made of several attributes or columns, one way only.
    Template,
    /// A column that every new ticket gets.
    Constant,
}

/// How a text is written on a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TextFormat {
    /// As it is.
    #[default]
    Plain,
    /// HTML.
    Html,
    /// Markdown (CommonMark).
    Markdown,
}

/// How exact a date is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// `2026-04-29 14:30:00` in ServiceNow (UTC), RFC 3339 on the platform.
    #[default]
    Second,
    /// `2026-04-29` on both sides.
    Day,
}

/// One line of a value map: a platform value, and the ServiceNow values that mean it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChoicePair {
    /// The platform's value.
    pub platform: String,
    /// For `choice`: ServiceNow's values; the first is the one written when none of them stands
    /// there yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<String>,
    /// For `columns`: what must stand there to mean it; each column, and its values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reads: BTreeMap<Attribute, Vec<String>>,
    /// For `columns`: what is written to say it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub writes: BTreeMap<Attribute, String>,
    /// Columns that must accompany that value (`close_code`, `hold_reason`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<Attribute, Value>,
}

/// Who may make a change of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Permit {
    /// Only the platform.
    Platform,
    /// Only ServiceNow.
    External,
    /// Neither side; and Firn does not write it either.
    Nobody,
}

/// A guard on a transition: "only the platform may say resolved", "the desk may close but not
/// reopen". Values are the platform's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// The values that it leads from; none means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    /// The values that it leads to; none means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// Who alone may do it.
    pub only: Permit,
}

/// One mapped field as it is written. Which keys are needed and allowed depends on `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct FieldSettings {
    /// How its values translate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// ServiceNow's column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<Attribute>,
    /// The platform's attribute; the field's name if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<Attribute>,
    /// Whose it is; `shared` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The platform's priority for it, 0 if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_priority: Option<i32>,
    /// ServiceNow's priority for it, 0 if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_priority: Option<i32>,
    /// What happens to a non-owner's change; `restored` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_owner: Option<OffOwner>,
    /// The strategy, if it differs from the integration's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// The conflict window in milliseconds, if it differs from the integration's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict_window: Option<u64>,
    /// Guards on transitions, for value maps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<Guard>,
    /// An expression: the field is synchronised only while it is true. It sees `record` (the
    /// platform's mapped attributes), `ticket` (ServiceNow's mapped columns) and `table`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The ticket types that have it; all if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<TableName>>,
    /// For `text` and `template`: the column's length in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<usize>,
    /// For `text` and `template`: whether personal data is masked on its way to ServiceNow; true
    /// if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<bool>,
    /// For `text`: how the platform writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_format: Option<TextFormat>,
    /// For `text`: how ServiceNow writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_format: Option<TextFormat>,
    /// For `choice` and `columns`: the value map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<Vec<ChoicePair>>,
    /// For `reference`: the table that it points to; `sys_user` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<TableName>,
    /// For `reference`: the column by which the platform names it; `email` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Attribute>,
    /// For `date`: how exact it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// For `date`: the platform's time zone (IANA name) where its texts carry no offset; UTC if
    /// not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// For `template`: the template. With `column` it sees `record` and makes ServiceNow's column;
    /// without, it sees `ticket` and makes the platform's attribute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// For `constant`: the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What differs for single ticket types: any of the keys above.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<TableName, serde_json::Value>,
}

/// One kind of ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TicketType {
    /// Its table.
    pub table: TableName,
    /// An expression over `record` (the platform's attributes) or `payload` (an escalation): new
    /// tickets are of the first type for which it is true. Without it: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

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
    /// It is closed with a work note that names the other, if our user made it and nobody has changed
    /// it since; told in any case.
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
    /// How the platform writes its comments. ServiceNow's journal takes plain text.
    pub platform_format: TextFormat,
    /// A template for the text that ServiceNow is given, where all entries come from one user. It
    /// sees `text`, `author` and `at`. Without it: the text alone, and before an entry from before
    /// the link a line with its author and time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

impl Default for JournalPolicy {
    fn default() -> Self {
        JournalPolicy {
            comments: true,
            work_notes_to_servicenow: true,
            work_notes_to_platform: false,
            backfill: Backfill::All,
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
}

impl Default for PollingPolicy {
    fn default() -> Self {
        PollingPolicy {
            mode: Polling::default(),
            interval: 60_000,
            interval_alone: 10_000,
            pull_by: PullBy::default(),
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

/// The path under which the engine knows the instance's Scripted REST resource. Where it really is,
/// only the instance says, once it is installed: the host puts that in its place.
pub const RESOURCE: &str = "/api/x_firn_resource";

/// An instance's address. Its core domain alone will do (seed 001): `acme` is
/// `https://acme.service-now.com`.
#[must_use]
pub fn instance_address(text: &str) -> String {
    let text = text.trim().trim_end_matches('/');
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    match text.strip_suffix(".service-now.com") {
        Some(domain) if plain(domain) => format!("https://{text}"),
        None if plain(text) => format!("https://{text}.service-now.com"),
        // A name of the company's own, without what stands before it in an address.
        None if !text.contains(':') && text.split(['.', '/']).all(plain) => {
            format!("https://{text}")
        }
        _ => text.to_owned(),
    }
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
            gone: GonePolicy::Keep,
        }
    }
}

/// What an integration is told to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where it started from.
    pub preset: Preset,
    /// The kinds of tickets.
    pub tickets: Vec<TicketType>,
    /// Who may write.
    pub direction: Direction,
    /// What happens when both sides change one field at nearly the same time.
    pub strategy: Strategy,
    /// Milliseconds that count as "nearly the same time"; 5,000 in seed 004.
    pub conflict_window: u64,
    /// The `user_name` as which Firn signs in to ServiceNow.
    pub external_user: String,
    /// Milliseconds after which a request counts as lost.
    pub request_timeout: u64,
    /// Which journal entries travel.
    pub journal: JournalPolicy,
    /// How a ticket is found again.
    pub correlation: CorrelationPolicy,
    /// What a webhook must carry.
    pub webhook: WebhookPolicy,
    /// How the instance is polled.
    #[serde(default)]
    pub polling: PollingPolicy,
    /// How much is asked of the instance.
    #[serde(default)]
    pub limits: Limits,
    /// How far a reconcile run goes by itself.
    #[serde(default)]
    pub reconcile: ReconcilePolicy,
    /// What the instance is for.
    #[serde(default)]
    pub environment: Environment,
    /// What is installed on the instance.
    #[serde(default)]
    pub provision: ProvisionPolicy,
    /// What is let in at all.
    pub filters: Filters,
    /// What is done with personal data and secrets.
    #[serde(default)]
    pub masking: MaskingPolicy,
    /// When a record is open.
    pub lifecycle: Lifecycle,
    /// Category and subcategory by tag (seed 000).
    pub categories: BTreeMap<String, (String, String)>,
    /// The mapped fields, by name.
    pub fields: BTreeMap<FieldName, FieldSettings>,
}

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The settings cannot be used.
    Error,
    /// They can, but they hardly mean what they say.
    Warning,
}

/// One fault in settings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fault {
    /// Whether it stops the settings from being used.
    pub level: Level,
    /// Where: `fields.status.pairs[2].external[0]`; the root is empty.
    pub at: String,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub remedy: String,
}

#[cfg(test)]
mod tests {
    use super::instance_address;

    #[test]
    fn an_address_may_be_given_as_people_say_it() {
        for (given, address) in [
            ("acme", "https://acme.service-now.com"),
            ("acme.service-now.com/", "https://acme.service-now.com"),
            ("desk.acme.example", "https://desk.acme.example"),
            ("desk.acme.example/instance", "https://desk.acme.example/instance"),
            ("https://acme.service-now.com/", "https://acme.service-now.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("two words", "two words"),
            ("", ""),
        ] {
            assert_eq!(instance_address(given), address, "{given}");
        }
    }
}
