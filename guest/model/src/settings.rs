//! Settings: what an integration is told to do. Validated and compiled by `firn-core`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Attribute, FieldName, IntegrationId, TableName, TenantId, Value};

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
    /// What to do.
    pub settings: Settings,
}

/// How the platform is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlatformContract {
    /// Where changes are posted. Without it nothing is sent to the platform.
    pub callback_url: Option<String>,
    /// Where a record can be read, with `{id}` for its id. Without it the platform is push-only.
    pub read_url: Option<String>,
}

/// Which of the seeds' ways of working an integration starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Seed 004: incidents both ways.
    #[default]
    Incidents,
    /// Seed 002: calls that need a ticket.
    Genesys,
    /// Seed 000: conversations handed to a person.
    Bot,
}

/// Who may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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

/// One line of a value map: a platform value, and the ServiceNow values that mean it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoicePair {
    /// The platform's value.
    pub platform: String,
    /// ServiceNow's values; the first is the one written when none of them stands there yet.
    pub external: Vec<String>,
    /// Columns that must accompany that value (`close_code`, `hold_reason`).
    #[serde(default)]
    pub with: BTreeMap<Attribute, Value>,
}

/// How a field's values translate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Mapping {
    /// Free text, trimmed, cut to the column's length with a visible ellipsis, and masked on its
    /// way to ServiceNow.
    Text {
        /// The column.
        column: Attribute,
        /// Its length in characters.
        max: usize,
        /// Whether personal data is masked on the way out.
        mask: bool,
    },
    /// A value map.
    Choice {
        /// The column.
        column: Attribute,
        /// The map.
        pairs: Vec<ChoicePair>,
    },
    /// `critical | high | medium | low`: reads `priority` and `impact`, writes `impact` and
    /// `urgency`, because ServiceNow computes `priority` from them.
    Severity,
    /// A person, by e-mail address on the platform and by `sys_id` in ServiceNow.
    User {
        /// The column, a reference to `sys_user`.
        column: Attribute,
    },
}

/// One mapped field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldMapping {
    /// Its name, which is also the platform's attribute.
    pub name: FieldName,
    /// How its values translate.
    #[serde(flatten)]
    pub mapping: Mapping,
    /// Whose it is.
    #[serde(default)]
    pub owner: Owner,
    /// The platform's priority for it, 0 if missing.
    #[serde(default)]
    pub platform_priority: i32,
    /// ServiceNow's priority for it, 0 if missing.
    #[serde(default)]
    pub external_priority: i32,
    /// What happens to a non-owner's change.
    #[serde(default)]
    pub off_owner: OffOwner,
    /// The strategy, if it differs from the integration's.
    #[serde(default)]
    pub strategy: Option<Strategy>,
}

/// How a ticket is found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CorrelationMode {
    /// Nothing in ServiceNow keeps the key unique: after an ambiguous create, wait out the
    /// transaction limit before trying again. At most one *open* ticket per key.
    #[default]
    Plain,
    /// A unique index keeps it unique: try again at once. At most one ticket per key.
    Unique,
}

/// How a ticket is found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorrelationPolicy {
    /// The column that holds the key.
    pub column: Attribute,
    /// Who keeps it unique.
    pub mode: CorrelationMode,
    /// Milliseconds after which the instance cancels a transaction (300,000 by default there).
    pub transaction_limit: u64,
}

impl Default for CorrelationPolicy {
    fn default() -> Self {
        CorrelationPolicy {
            column: Attribute::new("correlation_id").unwrap_or_else(|_| unreachable!()),
            mode: CorrelationMode::Plain,
            transaction_limit: 300_000,
        }
    }
}

/// Which journal entries travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalPolicy {
    /// Customer-visible comments, both ways.
    pub comments: bool,
    /// The platform's internal comments to ServiceNow's work notes.
    pub work_notes_to_servicenow: bool,
    /// ServiceNow's work notes to an internal channel of the platform. Never to a customer.
    pub work_notes_to_platform: bool,
}

impl Default for JournalPolicy {
    fn default() -> Self {
        JournalPolicy {
            comments: true,
            work_notes_to_servicenow: true,
            work_notes_to_platform: false,
        }
    }
}

/// What a webhook must carry. One of the ways must be on for webhooks to be taken at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// What an integration is told to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where it started from.
    pub preset: Preset,
    /// The ticket table.
    pub table: TableName,
    /// Who may write.
    pub direction: Direction,
    /// The mapped fields.
    pub fields: Vec<FieldMapping>,
    /// What happens when both sides change one field at nearly the same time.
    pub strategy: Strategy,
    /// Milliseconds that count as "nearly the same time"; 5,000 in seed 004.
    pub conflict_window: u64,
    /// Which journal entries travel.
    pub journal: JournalPolicy,
    /// How a ticket is found again.
    pub correlation: CorrelationPolicy,
    /// What a webhook must carry.
    pub webhook: WebhookPolicy,
    /// The `user_name` as which Firn signs in to ServiceNow.
    pub external_user: String,
    /// Milliseconds after which a request counts as lost.
    pub request_timeout: u64,
    /// Category and subcategory by tag (seed 000).
    pub categories: BTreeMap<String, (String, String)>,
    /// Escalation reasons that make a ticket; empty means all. Others are answered `filtered`.
    pub escalate_on: Vec<String>,
}

/// One fault in settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Where: `fields.status.pairs`.
    pub at: String,
    /// What is wrong and what to do.
    pub text: String,
}
