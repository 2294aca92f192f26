//! Presets: the seeds' ways of working as settings. Each table of the seeds is here once.

use std::collections::BTreeMap;

use firn_model::{
    AttachmentPolicy, ChoicePair, CorrelationPolicy, Direction, Environment, FieldName,
    FieldSettings, Filters, JournalPolicy, JournalSource, Kind, LearningPolicy, Lifecycle, Limits,
    MaskingPolicy, OnRuleFailure, Owner, PollingPolicy, Precision, Preset, ProvisionPolicy,
    ReconcilePolicy, Settings, Strategy, TableName, TextFormat, TicketType, Value, WebhookPolicy,
};
use serde_json::json;

use crate::mapping::attribute;

/// The settings of a preset.
#[must_use]
pub fn settings(preset: Preset) -> Settings {
    match preset {
        Preset::Incidents => incidents(),
        Preset::Genesys => genesys(),
        Preset::Bot => bot(),
        Preset::Neo => neo(),
        Preset::Helpdesk => helpdesk(),
        Preset::Crm => crm(),
        Preset::Content => content(),
    }
}

fn table(name: &str) -> TableName {
    TableName::new(name).unwrap_or_else(|_| unreachable!("{name} is a valid table"))
}

fn name(text: &str) -> FieldName {
    FieldName::new(text).unwrap_or_else(|_| unreachable!("{text} is a valid field name"))
}

fn field(kind: Kind, column: &str, owner: Owner) -> FieldSettings {
    FieldSettings {
        kind: Some(kind),
        column: (!column.is_empty()).then(|| attribute(column)),
        owner: Some(owner),
        ..FieldSettings::default()
    }
}

fn text(column: &str, max: usize, owner: Owner) -> FieldSettings {
    FieldSettings { max: Some(max), ..field(Kind::Text, column, owner) }
}

fn reference(column: &str, table_name: &str, key: &str, owner: Owner) -> FieldSettings {
    FieldSettings {
        table: Some(table(table_name)),
        key: Some(attribute(key)),
        ..field(Kind::Reference, column, owner)
    }
}

fn pair(platform: &str, external: &[&str], with: &[(&str, &str)]) -> ChoicePair {
    ChoicePair {
        platform: platform.to_owned(),
        external: external.iter().map(|s| (*s).to_owned()).collect(),
        reads: BTreeMap::new(),
        writes: BTreeMap::new(),
        with: with.iter().map(|(c, v)| (attribute(c), Value::text(*v))).collect(),
    }
}

fn choice(column: &str, pairs: Vec<ChoicePair>, owner: Owner) -> FieldSettings {
    FieldSettings { pairs: Some(pairs), ..field(Kind::Choice, column, owner) }
}

/// What resolving and closing an incident demand.
const RESOLUTION: &[(&str, &str)] =
    &[("close_code", "Solution provided"), ("close_notes", "Resolved on the platform.")];

/// Seed 004's status table.
fn status(owner: Owner) -> FieldSettings {
    let pairs = vec![
        pair("open", &["1", "2"], &[]),
        // 4 is "Pending" on instances from before the present state model. It is understood, and
        // never written by default. On Hold needs a reason; 4 is "Awaiting Vendor", the one that
        // demands nothing else.
        pair("mitigated", &["3", "4"], &[("hold_reason", "4")]),
        pair("resolved", &["6"], RESOLUTION),
        pair("closed", &["7"], RESOLUTION),
    ];
    choice("state", pairs, owner)
}

/// The same for a platform that asks for tickets: one that was canceled (8) is not open.
fn escalated(preset: Preset) -> Settings {
    let mut field = status(Owner::External);
    field.pairs.get_or_insert_default().push(pair("canceled", &["8"], &[]));
    let mut settings = base(preset, vec![("status", field)]);
    settings.lifecycle.canceled = vec!["canceled".to_owned()];
    settings
}

/// Records that are ServiceNow's, told to the platform and never written; nobody says anything in them, and none is
/// over for good: who is inactive now may be active again. `open` is the status of one that is new.
fn mirrored(
    preset: Preset,
    tables: &[&str],
    open: &str,
    fields: Vec<(&str, FieldSettings)>,
) -> Settings {
    let mut settings = base(preset, fields);
    settings.lifecycle = Lifecycle {
        open: open.to_owned(),
        resolved: Vec::new(),
        closed: Vec::new(),
        ..Lifecycle::default()
    };
    settings.tickets =
        tables.iter().map(|name| TicketType { table: table(name), when: None }).collect();
    settings.direction = Direction::ToPlatform;
    settings.journal.comments = false;
    settings.journal.work_notes_to_servicenow = false;
    settings.filters.mirror = Some("true".to_owned());
    settings.polling.backfill = true;
    settings
}

fn base(preset: Preset, fields: Vec<(&str, FieldSettings)>) -> Settings {
    Settings {
        preset,
        tickets: vec![TicketType { table: table("incident"), when: None }],
        direction: Direction::Bidirectional,
        strategy: Strategy::LastWriteWins,
        conflict_window: 5_000,
        external_user: "integration".to_owned(),
        request_timeout: 10_000,
        journal: JournalPolicy::default(),
        correlation: CorrelationPolicy::default(),
        webhook: WebhookPolicy::default(),
        polling: PollingPolicy::default(),
        limits: Limits::default(),
        attachments: AttachmentPolicy::default(),
        reconcile: ReconcilePolicy::default(),
        on_rule_failure: OnRuleFailure::default(),
        environment: Environment::default(),
        provision: ProvisionPolicy::default(),
        filters: Filters::default(),
        masking: MaskingPolicy::default(),
        lifecycle: Lifecycle::default(),
        learning: LearningPolicy::default(),
        categories: BTreeMap::new(),
        fields: fields.into_iter().map(|(n, f)| (name(n), f)).collect(),
    }
}

/// Seed 004: incidents both ways, with its table of default owners.
#[must_use]
pub fn incidents() -> Settings {
    let fields = vec![
        ("title", text("short_description", 160, Owner::Platform)),
        ("description", text("description", 4000, Owner::Platform)),
        ("severity", field(Kind::Severity, "", Owner::Platform)),
        ("status", status(Owner::Platform)),
        ("assigned_to", reference("assigned_to", "sys_user", "email", Owner::External)),
    ];
    let mut settings = base(Preset::Incidents, fields);
    // Seed 004 gives work notes to ServiceNow: they reach the platform's internal channel.
    settings.journal.work_notes_to_platform = true;
    settings
}

/// Seed 002: calls that need a ticket. The state of the ticket is ServiceNow's.
#[must_use]
pub fn genesys() -> Settings {
    escalated(Preset::Genesys)
}

/// Seed 000: conversations handed to a person.
#[must_use]
pub fn bot() -> Settings {
    let mut settings = escalated(Preset::Bot);
    settings.learning.enabled = true;
    let categories = [
        ("vpn", "network", "vpn"),
        ("wifi", "network", "wireless"),
        ("network", "network", ""),
        ("email", "software", "email"),
        ("software", "software", ""),
        ("printer", "hardware", ""),
        ("laptop", "hardware", ""),
        ("hardware", "hardware", ""),
        ("password", "inquiry", "password reset"),
        ("database", "database", ""),
    ];
    settings.categories = categories
        .into_iter()
        .map(|(tag, c, s)| (tag.to_owned(), (c.to_owned(), s.to_owned())))
        .collect();
    settings
}

/// Seed 003: every class of the task family. The tickets are ServiceNow's; the platform is told of
/// them and may change state and assignment. States differ from class to class.
#[must_use]
pub fn neo() -> Settings {
    let task = vec![pair("open", &["1", "2", "-5"], &[]), pair("closed", &["3", "4", "7"], &[])];
    let mut state = choice("state", task, Owner::Shared);
    let of = |pairs: Vec<ChoicePair>| json!({ "pairs": pairs });
    state.types = BTreeMap::from([
        (
            table("incident"),
            of(vec![
                pair("open", &["1", "2"], &[]),
                pair("on-hold", &["3"], &[("hold_reason", "4")]),
                pair("resolved", &["6"], RESOLUTION),
                pair("closed", &["7"], RESOLUTION),
                pair("canceled", &["8"], &[]),
            ]),
        ),
        (
            table("change_request"),
            of(vec![
                pair("open", &["-5", "-4", "-3", "-2", "-1", "0"], &[]),
                pair(
                    "closed",
                    &["3"],
                    &[("close_code", "successful"), ("close_notes", "Closed on the platform.")],
                ),
                pair("canceled", &["4"], &[]),
            ]),
        ),
        (
            table("problem"),
            of(vec![
                pair("open", &["101", "102", "103", "104"], &[]),
                pair(
                    "resolved",
                    &["106"],
                    &[
                        ("resolution_code", "fix_applied"),
                        ("fix_notes", "Resolved on the platform."),
                    ],
                ),
                pair("closed", &["107"], &[]),
            ]),
        ),
    ]);
    let of_incidents = |mut field: FieldSettings| {
        field.only = Some(vec![table("incident")]);
        field
    };
    let urgency = |column: &str| {
        of_incidents(choice(
            column,
            vec![pair("high", &["1"], &[]), pair("medium", &["2"], &[]), pair("low", &["3"], &[])],
            Owner::External,
        ))
    };
    let fields = vec![
        ("title", text("short_description", 160, Owner::External)),
        ("description", text("description", 4000, Owner::External)),
        ("state", state),
        ("impact", urgency("impact")),
        ("urgency", urgency("urgency")),
        ("category", of_incidents(text("category", 40, Owner::External))),
        ("assigned_to", reference("assigned_to", "sys_user", "email", Owner::Shared)),
        (
            "assignment_group",
            reference("assignment_group", "sys_user_group", "name", Owner::Shared),
        ),
        ("caller", of_incidents(reference("caller_id", "sys_user", "email", Owner::External))),
        ("company", reference("company", "core_company", "name", Owner::External)),
    ];
    let mut settings = base(Preset::Neo, fields);
    settings.tickets =
        ["incident", "sc_request", "sc_req_item", "sc_task", "change_request", "problem"]
            .into_iter()
            .map(|name| TicketType { table: table(name), when: None })
            .collect();
    settings.filters.mirror = Some("true".to_owned());
    settings.lifecycle = Lifecycle {
        field: name("state"),
        open: "open".to_owned(),
        resolved: Vec::new(),
        closed: vec!["closed".to_owned()],
        canceled: vec!["canceled".to_owned()],
        ..Lifecycle::default()
    };
    settings
}

/// Seed 001: customer service cases. The case is ServiceNow's; its comments go both ways.
#[must_use]
pub fn helpdesk() -> Settings {
    let states = vec![
        pair("open", &["1", "10"], &[]),
        pair("awaiting-info", &["18"], &[]),
        pair(
            "resolved",
            &["6"],
            &[("resolution_code", "15"), ("close_notes", "Resolved on the platform.")],
        ),
        pair("closed", &["3"], &[]),
        pair("canceled", &["7"], &[]),
    ];
    let levels =
        vec![pair("high", &["1"], &[]), pair("medium", &["2"], &[]), pair("low", &["3"], &[])];
    let fields = vec![
        ("title", text("short_description", 160, Owner::External)),
        ("description", text("description", 4000, Owner::External)),
        ("status", choice("state", states, Owner::External)),
        ("urgency", choice("urgency", levels, Owner::Shared)),
        ("assigned_to", reference("assigned_to", "sys_user", "email", Owner::External)),
        ("account", reference("account", "customer_account", "name", Owner::External)),
        ("contact", reference("contact", "customer_contact", "email", Owner::External)),
        (
            "escalation",
            reference(
                "active_escalation",
                "sn_customerservice_escalation",
                "number",
                Owner::External,
            ),
        ),
    ];
    let mut settings = base(Preset::Helpdesk, fields);
    settings.lifecycle.canceled = vec!["canceled".to_owned()];
    settings.journal.source = JournalSource::Activities;
    settings.tickets = vec![TicketType { table: table("sn_customerservice_case"), when: None }];
    settings.filters.mirror = Some("true".to_owned());
    settings
}

/// Seed 001, *CRM*: accounts, contacts and users. Who somebody is and how to reach them is what a directory is for:
/// it is told as it is. What is written about them is masked.
#[must_use]
pub fn crm() -> Settings {
    const ALL: [&str; 3] = ["customer_account", "customer_contact", "sys_user"];
    const PEOPLE: [&str; 2] = ["customer_contact", "sys_user"];
    let of = |tables: &[&str], mut field: FieldSettings| {
        field.only = Some(tables.iter().map(|name| table(name)).collect());
        field
    };
    let told = |column: &str, max: usize| FieldSettings {
        mask: Some(false),
        ..text(column, max, Owner::External)
    };
    let states = vec![pair("active", &["true"], &[]), pair("inactive", &["false"], &[])];
    let fields = vec![
        ("name", told("name", 100)),
        ("email", of(&PEOPLE, told("email", 100))),
        ("phone", told("phone", 40)),
        ("mobile_phone", of(&PEOPLE, told("mobile_phone", 40))),
        ("title", of(&PEOPLE, text("title", 60, Owner::External))),
        ("account_code", of(&ALL[..1], told("account_code", 40))),
        ("website", of(&ALL[..1], text("website", 1024, Owner::External))),
        ("city", of(&ALL[..1], text("city", 50, Owner::External))),
        ("country", of(&ALL[..1], text("country", 40, Owner::External))),
        (
            "account",
            of(&ALL[1..2], reference("account", "customer_account", "name", Owner::External)),
        ),
        ("company", of(&ALL[2..], reference("company", "core_company", "name", Owner::External))),
        ("status", choice("active", states, Owner::External)),
    ];
    mirrored(Preset::Crm, &ALL, "active", fields)
}

/// Seed 001, *Content Management*: knowledge articles, as Markdown.
#[must_use]
pub fn content() -> Settings {
    let states =
        ["draft", "review", "scheduled", "published", "pending_retirement", "retired", "outdated"];
    let pairs = states.into_iter().map(|state| pair(state, &[state], &[])).collect();
    let body = FieldSettings {
        external_format: Some(TextFormat::Html),
        platform_format: Some(TextFormat::Markdown),
        ..text("text", 65_000, Owner::External)
    };
    let fields = vec![
        ("title", text("short_description", 160, Owner::External)),
        ("body", body),
        ("status", choice("workflow_state", pairs, Owner::External)),
        (
            "knowledge_base",
            reference("kb_knowledge_base", "kb_knowledge_base", "title", Owner::External),
        ),
        ("category", reference("kb_category", "kb_category", "label", Owner::External)),
        ("author", reference("author", "sys_user", "email", Owner::External)),
        // Each version is a row of its own; all of them have the same article_id, and one is the latest.
        ("version", text("display_number", 40, Owner::External)),
        ("article", text("article_id", 32, Owner::External)),
        ("latest", text("latest", 40, Owner::External)),
        (
            "valid_to",
            FieldSettings {
                precision: Some(Precision::Day),
                ..field(Kind::Date, "valid_to", Owner::External)
            },
        ),
    ];
    mirrored(Preset::Content, &["kb_knowledge"], "draft", fields)
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
