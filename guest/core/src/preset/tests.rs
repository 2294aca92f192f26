//! Every row of the seeds' tables, as the presets have them: what is told of each value, what is written for it,
//! and whose each field is.

use std::collections::BTreeMap;

use firn_model::{Attribute, FieldName, Owner, Preset, Shape, Side, TableName, Value};
use serde_json::json;

use crate::mapping::{self, attribute};
use crate::sample;
use crate::settings::{FieldMapping, Rules};

use Owner::{External, Platform, Shared};

fn table(name: &str) -> TableName {
    TableName::new(name).unwrap()
}

fn field(rules: &Rules, class: &str, name: &str) -> FieldMapping {
    let found = rules.field(&table(class), &FieldName::new(name).unwrap());
    found.unwrap_or_else(|| panic!("{class} has no {name}")).clone()
}

/// What the platform is told of a value of ServiceNow's.
fn told(field: &FieldMapping, column: &str, value: &str) -> Option<String> {
    let there = Shape::one(attribute(column), Value::text(value));
    mapping::to_platform(field, &there).ok().map(|shape| shape.to_string())
}

/// What is written for a value of the platform's, and what goes with it.
fn written(
    field: &FieldMapping,
    value: &str,
    present: Option<&Shape>,
) -> BTreeMap<Attribute, String> {
    let here = Shape::one(mapping::platform_attribute(field).unwrap(), Value::text(value));
    let put = mapping::to_external(field, &here, present, &BTreeMap::new()).unwrap();
    let all = put.shape.0.into_iter().chain(put.with);
    all.map(|(column, value)| (column, value.to_text())).collect()
}

fn columns(all: &[(&str, &str)]) -> BTreeMap<Attribute, String> {
    all.iter().map(|(column, value)| (attribute(column), (*value).to_owned())).collect()
}

/// A word of the platform's, the values that mean it, the first of which is written, and what is written with it.
type Row<'r> = (&'r str, &'r [&'r str], &'r [(&'r str, &'r str)]);

/// Every value is told as its word, its word is written as the first of them, and a value that means the word
/// already stays.
fn holds(rules: &Rules, class: &str, name: &str, column: &str, rows: &[Row<'_>]) {
    let field = field(rules, class, name);
    for (word, values, with) in rows {
        for value in *values {
            let about = format!("{class}.{name}: {value} is {word}");
            assert_eq!(told(&field, column, value).as_deref(), Some(*word), "{about}");
            let present = Shape::one(attribute(column), Value::text(*value));
            let kept = written(&field, word, Some(&present));
            assert_eq!(kept.get(&attribute(column)).map(String::as_str), Some(*value), "{about}");
        }
        let expected: Vec<_> =
            [(column, values[0])].into_iter().chain(with.iter().copied()).collect();
        assert_eq!(written(&field, word, None), columns(&expected), "{class}.{name}: {word}");
    }
    assert_eq!(told(&field, column, "no such value"), None, "{class}.{name}");
}

/// Which fields a class has, where they stand, and whose they are.
fn has(rules: &Rules, class: &str, rows: &[(&str, &[&str], Owner)]) {
    let found: BTreeMap<String, (Vec<String>, Owner)> = rules
        .fields(&table(class))
        .iter()
        .map(|field| {
            let columns = mapping::attributes(field, Side::External);
            let columns = columns.into_iter().map(|column| column.as_str().to_owned()).collect();
            (field.name.to_string(), (columns, field.owner))
        })
        .collect();
    let expected = rows.iter().map(|(name, columns, owner)| {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        ((*name).to_owned(), (columns, *owner))
    });
    assert_eq!(found, expected.collect(), "{class}");
}

/// What resolving and closing an incident demand.
const RESOLUTION: &[(&str, &str)] =
    &[("close_code", "Solution provided"), ("close_notes", "Resolved on the platform.")];

/// Seed 004's status table.
const STATUS: [Row<'_>; 4] = [
    ("open", &["1", "2"], &[]),
    ("mitigated", &["3", "4"], &[("hold_reason", "4")]),
    ("resolved", &["6"], RESOLUTION),
    ("closed", &["7"], RESOLUTION),
];

const LEVELS: [Row<'_>; 3] = [("high", &["1"], &[]), ("medium", &["2"], &[]), ("low", &["3"], &[])];

const ASSIGNED: &[&str] = &["assigned_to", "assigned_to.email"];

#[test]
fn seed_004_fields_states_and_owners() {
    let rules = sample::rules(Preset::Incidents);
    has(
        &rules,
        "incident",
        &[
            ("title", &["short_description"], Platform),
            ("description", &["description"], Platform),
            ("severity", &["impact", "priority"], Platform),
            ("status", &["state"], Platform),
            ("assigned_to", ASSIGNED, External),
        ],
    );
    holds(&rules, "incident", "status", "state", &STATUS);
    // `work_notes`, which is ServiceNow's, is no field: what is written there reaches the platform.
    let journal = &rules.settings().journal;
    assert!(journal.work_notes_to_platform && journal.comments);
}

#[test]
fn seed_004_severity_stays_where_priority_says_it_already() {
    let severity = field(&sample::rules(Preset::Incidents), "incident", "severity");
    let there = |impact: &str, priority: &str| {
        Shape(BTreeMap::from([
            (attribute("impact"), Value::text(impact)),
            (attribute("priority"), Value::text(priority)),
        ]))
    };
    for (word, impact, urgency, priority) in [
        ("critical", "1", "1", "1"),
        ("high", "2", "1", "2"),
        ("medium", "2", "2", "3"),
        ("low", "3", "2", "4"),
    ] {
        let expected = columns(&[("impact", impact), ("urgency", urgency)]);
        assert_eq!(written(&severity, word, None), expected, "{word}");
        let now = there(impact, priority);
        assert_eq!(mapping::to_platform(&severity, &now).unwrap().to_string(), word);
        // Another impact with the same priority means the same, and is not written over.
        let here = Shape::one(attribute("severity"), Value::text(word));
        for impact in ["1", "2", "3"] {
            assert!(mapping::agree(&severity, &here, &there(impact, priority)), "{word} {impact}");
        }
    }
    // The fifth priority, planning, is low too.
    assert_eq!(mapping::to_platform(&severity, &there("3", "5")).unwrap().to_string(), "low");
}

#[test]
fn seed_004_ownership_as_its_commands_set_it() {
    let rules = sample::rules_of(&json!({ "preset": "incidents", "fields": {
        "severity": { "owner": "platform", "platform_priority": 10 },
        "title": { "owner": "platform", "platform_priority": 10 },
        "assigned_to": { "owner": "external", "external_priority": 5 } } }));
    for (name, owner, priority) in
        [("severity", Platform, 10), ("title", Platform, 10), ("assigned_to", External, 5)]
    {
        let field = field(&rules, "incident", name);
        let set = if owner == Platform { field.platform_priority } else { field.external_priority };
        assert_eq!((field.owner, set), (owner, priority), "{name}");
    }
}

#[test]
fn seed_003_payload_columns_by_class_and_whose_they_are() {
    let rules = sample::rules(Preset::Neo);
    let task: [(&str, &[&str], Owner); 6] = [
        ("title", &["short_description"], External),
        ("description", &["description"], External),
        ("state", &["state"], Shared),
        ("assigned_to", ASSIGNED, Shared),
        ("assignment_group", &["assignment_group", "assignment_group.name"], Shared),
        ("company", &["company", "company.name"], External),
    ];
    for class in ["sc_request", "sc_req_item", "sc_task", "change_request", "problem"] {
        has(&rules, class, &task);
    }
    // What only incidents have.
    let incidents: [(&str, &[&str], Owner); 4] = [
        ("urgency", &["urgency"], External),
        ("impact", &["impact"], External),
        ("category", &["category"], External),
        ("caller", &["caller_id", "caller_id.email"], External),
    ];
    has(&rules, "incident", &[&task[..], &incidents[..]].concat());
}

#[test]
fn seed_003_states_of_each_class() {
    let rules = sample::rules(Preset::Neo);
    let incident: [Row<'_>; 5] = [
        ("open", &["1", "2"], &[]),
        ("on-hold", &["3"], &[("hold_reason", "4")]),
        ("resolved", &["6"], RESOLUTION),
        ("closed", &["7"], RESOLUTION),
        ("canceled", &["8"], &[]),
    ];
    holds(&rules, "incident", "state", "state", &incident);
    let task: [Row<'_>; 2] = [("open", &["1", "2", "-5"], &[]), ("closed", &["3", "4", "7"], &[])];
    for class in ["sc_request", "sc_req_item", "sc_task"] {
        holds(&rules, class, "state", "state", &task);
    }
    let change: [Row<'_>; 3] = [
        ("open", &["-5", "-4", "-3", "-2", "-1", "0"], &[]),
        (
            "closed",
            &["3"],
            &[("close_code", "successful"), ("close_notes", "Closed on the platform.")],
        ),
        ("canceled", &["4"], &[]),
    ];
    holds(&rules, "change_request", "state", "state", &change);
    let problem: [Row<'_>; 3] = [
        ("open", &["101", "102", "103", "104"], &[]),
        (
            "resolved",
            &["106"],
            &[("resolution_code", "fix_applied"), ("fix_notes", "Resolved on the platform.")],
        ),
        ("closed", &["107"], &[]),
    ];
    holds(&rules, "problem", "state", "state", &problem);
    for name in ["impact", "urgency"] {
        holds(&rules, "incident", name, name, &LEVELS);
    }
}

#[test]
fn seed_001_cases() {
    let rules = sample::rules(Preset::Helpdesk);
    let class = "sn_customerservice_case";
    has(
        &rules,
        class,
        &[
            ("title", &["short_description"], External),
            ("description", &["description"], External),
            ("status", &["state"], External),
            ("urgency", &["urgency"], Shared),
            ("assigned_to", ASSIGNED, External),
            ("account", &["account", "account.name"], External),
            ("contact", &["contact", "contact.email"], External),
            ("escalation", &["active_escalation", "active_escalation.number"], External),
        ],
    );
    let states: [Row<'_>; 5] = [
        ("open", &["1", "10"], &[]),
        ("awaiting-info", &["18"], &[]),
        (
            "resolved",
            &["6"],
            &[("resolution_code", "15"), ("close_notes", "Resolved on the platform.")],
        ),
        ("closed", &["3"], &[]),
        ("canceled", &["7"], &[]),
    ];
    holds(&rules, class, "status", "state", &states);
    holds(&rules, class, "urgency", "urgency", &LEVELS);
}

#[test]
fn seed_001_directory_and_articles_are_servicenows() {
    let crm = sample::rules(Preset::Crm);
    let person: [(&str, &[&str], Owner); 6] = [
        ("name", &["name"], External),
        ("email", &["email"], External),
        ("phone", &["phone"], External),
        ("mobile_phone", &["mobile_phone"], External),
        ("title", &["title"], External),
        ("status", &["active"], External),
    ];
    let with = |more: (&'static str, &'static [&'static str])| {
        [&person[..], &[(more.0, more.1, External)]].concat()
    };
    has(&crm, "customer_contact", &with(("account", &["account", "account.name"])));
    has(&crm, "sys_user", &with(("company", &["company", "company.name"])));
    has(
        &crm,
        "customer_account",
        &[
            ("name", &["name"], External),
            ("phone", &["phone"], External),
            ("account_code", &["account_code"], External),
            ("website", &["website"], External),
            ("city", &["city"], External),
            ("country", &["country"], External),
            ("status", &["active"], External),
        ],
    );
    let states = [("true", "active"), ("false", "inactive")];
    for class in ["customer_account", "customer_contact", "sys_user"] {
        for (value, word) in states {
            assert_eq!(told(&field(&crm, class, "status"), "active", value).as_deref(), Some(word));
        }
    }
    let content = sample::rules(Preset::Content);
    let status = field(&content, "kb_knowledge", "status");
    for state in
        ["draft", "review", "scheduled", "published", "pending_retirement", "retired", "outdated"]
    {
        assert_eq!(told(&status, "workflow_state", state).as_deref(), Some(state));
    }
    assert!(content.fields(&table("kb_knowledge")).iter().all(|field| field.owner == External));
}

#[test]
fn seeds_000_and_002_leave_the_state_to_servicenow() {
    for preset in [Preset::Bot, Preset::Genesys] {
        let rules = sample::rules(preset);
        has(&rules, "incident", &[("status", &["state"], External)]);
        for (word, values, _) in STATUS {
            for value in values {
                let status = field(&rules, "incident", "status");
                assert_eq!(told(&status, "state", value).as_deref(), Some(word));
            }
        }
    }
}
