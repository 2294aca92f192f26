//! Presets: the seeds' ways of working as settings. Each table of the seeds is here once.

use std::collections::BTreeMap;

use firn_model::{
    ChoicePair, CorrelationPolicy, Direction, FieldMapping, FieldName, JournalPolicy, Mapping,
    OffOwner, Owner, Preset, Settings, Strategy, TableName, Value, WebhookPolicy,
};

use crate::mapping::attribute;

/// The settings of a preset.
#[must_use]
pub fn settings(preset: Preset) -> Settings {
    match preset {
        Preset::Incidents => incidents(),
        Preset::Genesys => genesys(),
        Preset::Bot => bot(),
    }
}

fn name(text: &str) -> FieldName {
    FieldName::new(text).unwrap_or_else(|_| unreachable!("{text} is a valid field name"))
}

fn field(text: &str, mapping: Mapping, owner: Owner) -> FieldMapping {
    FieldMapping {
        name: name(text),
        mapping,
        owner,
        platform_priority: 0,
        external_priority: 0,
        off_owner: OffOwner::Restored,
        strategy: None,
    }
}

fn status(owner: Owner) -> FieldMapping {
    let resolution = || {
        BTreeMap::from([
            (attribute("close_code"), Value::text("Solution provided")),
            (attribute("close_notes"), Value::text("Resolved on the platform.")),
        ])
    };
    let pair = |platform: &str, external: &[&str], with| ChoicePair {
        platform: platform.to_owned(),
        external: external.iter().map(|s| (*s).to_owned()).collect(),
        with,
    };
    let pairs = vec![
        pair("open", &["1", "2"], BTreeMap::new()),
        // 4 is "Pending" on instances from before the present state model. It is understood, and
        // never written by default. On Hold needs a reason; 4 is "Awaiting Vendor", the one that
        // demands nothing else.
        pair(
            "mitigated",
            &["3", "4"],
            BTreeMap::from([(attribute("hold_reason"), Value::text("4"))]),
        ),
        pair("resolved", &["6"], resolution()),
        pair("closed", &["7"], resolution()),
    ];
    field("status", Mapping::Choice { column: attribute("state"), pairs }, owner)
}

fn base(preset: Preset, fields: Vec<FieldMapping>) -> Settings {
    Settings {
        preset,
        table: TableName::new("incident").unwrap_or_else(|_| unreachable!()),
        direction: Direction::Bidirectional,
        fields,
        strategy: Strategy::LastWriteWins,
        conflict_window: 5_000,
        journal: JournalPolicy::default(),
        correlation: CorrelationPolicy::default(),
        webhook: WebhookPolicy::default(),
        external_user: "integration".to_owned(),
        request_timeout: 10_000,
        categories: BTreeMap::new(),
        escalate_on: Vec::new(),
    }
}

/// Seed 004: incidents both ways, with its table of default owners.
#[must_use]
pub fn incidents() -> Settings {
    let text = |column: &str, max| Mapping::Text { column: attribute(column), max, mask: true };
    let fields = vec![
        field("title", text("short_description", 160), Owner::Platform),
        field("description", text("description", 4000), Owner::Platform),
        field("severity", Mapping::Severity, Owner::Platform),
        status(Owner::Platform),
        field("assigned_to", Mapping::User { column: attribute("assigned_to") }, Owner::External),
    ];
    let mut settings = base(Preset::Incidents, fields);
    // Seed 004 gives work notes to ServiceNow: they reach the platform's internal channel.
    settings.journal.work_notes_to_platform = true;
    settings
}

/// Seed 002: calls that need a ticket. The state of the ticket is ServiceNow's.
#[must_use]
pub fn genesys() -> Settings {
    base(Preset::Genesys, vec![status(Owner::External)])
}

/// Seed 000: conversations handed to a person.
#[must_use]
pub fn bot() -> Settings {
    let mut settings = base(Preset::Bot, vec![status(Owner::External)]);
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
