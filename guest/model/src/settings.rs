//! Settings: what an integration is told to do, as it is written (in a TOML file, or as JSON
//! through the API). `firn-core` checks them and compiles them to `Rules`; nothing else reads them. `field` is one
//! mapped field, `policy` what holds for a whole integration.

mod field;
mod policy;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ActiveRules, FieldName, IntegrationId, OnRuleFailure, Restored, TableName, TenantId};

pub use field::{
    ChoicePair, FieldSettings, Guard, Kind, OffOwner, Owner, Permit, Precision, Strategy,
    TextFormat,
};
pub use policy::{
    ArticlePolicy, AttachmentPolicy, Backfill, ClosedPolicy, CorrelationMode, CorrelationPolicy,
    DuplicatePolicy, Environment, Filters, GonePolicy, JournalPolicy, JournalSource,
    LearningPolicy, Lifecycle, Limits, MaskPattern, MaskRule, MaskStrategy, MaskWords,
    MaskingPolicy, Polling, PollingPolicy, ProvisionPolicy, PullBy, ReconcilePolicy, Sink,
    WebhookPolicy,
};

/// One tenant's pairing of a platform with a ServiceNow instance. Credentials live in the host's
/// vault and never enter the guest.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// The rules of the tenant's own that are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<ActiveRules>,
    /// What it knows nothing of, because a backup was put in the place of its store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Restored>,
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
    /// Where what is learnt from resolved tickets is posted (`case_summary.made`, `case_summary.superseded`), for a
    /// knowledge store of one's own.
    pub knowledge_url: Option<String>,
    /// An OpenAI-compatible endpoint, as far as its version (`https://models.example/v1`): what `[learning]` asks of
    /// language models is asked there.
    pub model_url: Option<String>,
    /// Where a file of the platform's can be read, with `{id}` for the file's id. Without it no file travels
    /// to ServiceNow.
    pub attachment_read_url: Option<String>,
    /// Where the platform takes a file, with `{id}` for the record's id. Without it no file travels to the
    /// platform.
    pub attachment_write_url: Option<String>,
}

impl PlatformContract {
    /// Every address of it that is set, by its name in settings.
    pub fn addresses(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("callback_url", &self.callback_url),
            ("read_url", &self.read_url),
            ("findings_url", &self.findings_url),
            ("knowledge_url", &self.knowledge_url),
            ("model_url", &self.model_url),
            ("attachment_read_url", &self.attachment_read_url),
            ("attachment_write_url", &self.attachment_write_url),
        ]
        .into_iter()
        .filter_map(|(name, url)| Some((name, url.as_deref()?)))
    }

    /// The addresses that need an `{id}` in them.
    pub const WITH_ID: [&'static str; 3] =
        ["read_url", "attachment_read_url", "attachment_write_url"];
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
    /// Seed 001, *Helpdesk*: customer service cases.
    Helpdesk,
    /// Seed 001, *CRM*: accounts, contacts and users, told to the platform.
    Crm,
    /// Seed 001, *Content Management*: knowledge articles, told to the platform.
    Content,
}

impl Preset {
    /// All of them.
    pub const ALL: [Preset; 7] = [
        Preset::Incidents,
        Preset::Genesys,
        Preset::Bot,
        Preset::Neo,
        Preset::Helpdesk,
        Preset::Crm,
        Preset::Content,
    ];
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
    /// Which files travel.
    #[serde(default)]
    pub attachments: AttachmentPolicy,
    /// How far a reconcile run goes by itself.
    #[serde(default)]
    pub reconcile: ReconcilePolicy,
    /// What becomes of a thing when rules of one's own fail on it.
    #[serde(default)]
    pub on_rule_failure: OnRuleFailure,
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
    /// What is learnt from tickets that are resolved.
    #[serde(default)]
    pub learning: LearningPolicy,
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
