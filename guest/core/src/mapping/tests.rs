//! Laws of mapping: round trips, the stay rule, the tables of the seeds.

use super::*;
use crate::sample::{self, field};
use firn_model::{FieldName, Preset};
use proptest::prelude::*;
use serde_json::json;

fn platform(field: &FieldMapping, value: &str) -> Shape {
    Shape::one(platform_attribute(field).unwrap(), Value::text(value))
}

/// A field of incidents, from its settings.
fn mapped(settings: &Json) -> FieldMapping {
    let rules = sample::rules_of(&json!({ "fields": { "extra": settings } }));
    sample::field_of(&rules, "extra")
}

fn put(field: &FieldMapping, value: &str) -> Result<Shape, Untranslatable> {
    to_external(field, &platform(field, value), None, &BTreeMap::new()).map(|c| c.shape)
}

fn column(name: &str, value: &str) -> Shape {
    Shape::one(attribute(name), Value::text(value))
}

#[test]
fn every_row_of_seed_004s_field_table() {
    use firn_model::Owner::{External, Platform};
    for (name, columns, owner) in [
        ("title", vec!["short_description"], Platform),
        ("description", vec!["description"], Platform),
        ("severity", vec!["impact", "priority"], Platform),
        ("status", vec!["state"], Platform),
        ("assigned_to", vec!["assigned_to", "assigned_to.email"], External),
    ] {
        let field = field(name);
        let names: Vec<String> =
            attributes(&field, Side::External).into_iter().map(String::from).collect();
        assert_eq!(names, columns, "{name}");
        assert_eq!(field.owner, owner, "{name}");
        assert_eq!(attributes(&field, Side::Platform), [attribute(name)]);
    }
    // Work notes are the journal's: ServiceNow owns them, so they reach the platform.
    let rules = sample::rules(Preset::Incidents);
    assert!(rules.settings().journal.work_notes_to_platform);
}

#[test]
fn what_accompanies_a_state() {
    let status = field("status");
    let with = |value: &str| {
        let put = to_external(&status, &platform(&status, value), None, &BTreeMap::new());
        put.unwrap().with.into_keys().map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(with("open"), Vec::<String>::new());
    assert_eq!(with("mitigated"), ["hold_reason"]);
    assert_eq!(with("resolved"), ["close_code", "close_notes"]);
    assert_eq!(with("closed"), ["close_code", "close_notes"]);
}

#[test]
fn every_class_of_seed_003_has_its_states() {
    let rules = sample::rules(Preset::Neo);
    let state_of = |table: &str, value: &str| {
        let table = TableName::new(table).unwrap();
        let field = rules.field(&table, &firn_model::FieldName::new("state").unwrap()).unwrap();
        word(field, Side::External, &column("state", value))
    };
    for (table, value, word) in [
        ("incident", "1", Some("open")),
        ("incident", "6", Some("resolved")),
        ("sc_request", "1", Some("open")),
        ("sc_req_item", "3", Some("closed")),
        ("sc_task", "-5", Some("open")),
        ("change_request", "-5", Some("open")),
        ("change_request", "3", Some("closed")),
        ("problem", "101", Some("open")),
        ("problem", "107", Some("closed")),
        ("problem", "1", None),
    ] {
        assert_eq!(state_of(table, value).as_deref(), word, "{table} {value}");
    }
    let names = |table: &str| {
        let table = TableName::new(table).unwrap();
        rules.fields(&table).iter().map(|f| f.name.to_string()).collect::<Vec<_>>()
    };
    // Subclass-specific fields are mapped on incidents only.
    for name in ["urgency", "impact", "caller", "category"] {
        assert!(names("incident").contains(&name.to_owned()));
        assert!(!names("problem").contains(&name.to_owned()));
    }
}

#[test]
fn html_on_one_side_and_markdown_on_the_other() {
    let text = mapped(&json!({ "kind": "text", "column": "u_text", "owner": "shared", "max": 4000,
        "platform_format": "markdown", "external_format": "html" }));
    let html = put(&text, "Hello **you**\n\n- a & b").unwrap();
    assert_eq!(html, column("u_text", "Hello you<br><br>- a &amp; b"));
    assert!(agree(&text, &platform(&text, "Hello **you**\n\n- a & b"), &html));
    // Bold would be lost on the way back; what has no markup goes back.
    assert!(loses_on_the_way(&text, Side::Platform, &platform(&text, "Hello **you**")));
    assert!(!loses_on_the_way(&text, Side::Platform, &platform(&text, "Hello you")));
    let back = to_platform(&text, &column("u_text", "<p>1 * 2</p>")).unwrap();
    assert_eq!(back, platform(&text, "1 \\* 2"));
    assert!(!loses_on_the_way(&text, Side::Platform, &back));
    assert!(agree(&text, &back, &column("u_text", "<p>1 * 2</p>")));
}

#[test]
fn several_attributes_make_one_column_and_never_come_back() {
    let sum = mapped(&json!({ "kind": "template", "column": "u_sum", "max": 40,
        "template": "{{ record.product }}: {{ record.plan or 'no plan' }}" }));
    let from = |product: &str, plan: &str| {
        Shape(BTreeMap::from([
            (attribute("plan"), Value::text(plan)),
            (attribute("product"), Value::text(product)),
        ]))
    };
    let here = from("Phones", "Gold");
    let there = to_external(&sum, &here, None, &BTreeMap::new()).unwrap().shape;
    assert_eq!(there, column("u_sum", "Phones: Gold"));
    assert!(agree(&sum, &here, &there) && !agree(&sum, &from("Phones", ""), &there));
    assert_eq!(
        to_external(&sum, &from("Phones", ""), None, &BTreeMap::new()).unwrap().shape,
        column("u_sum", "Phones: no plan")
    );
    assert_eq!(to_platform(&sum, &there), Err(Untranslatable::OneWay));
    assert_eq!((sum.owner, platform_attribute(&sum)), (firn_model::Owner::Platform, None));
    let masked = to_external(&sum, &from("call +15550199888", ""), None, &BTreeMap::new());
    assert!(!masked.unwrap().shape.to_string().contains("5550199"), "templates are masked too");
}

#[test]
fn several_columns_make_one_attribute() {
    let place = mapped(&json!({ "kind": "template", "attribute": "place",
        "template": "{{ ticket.u_building }} {{ ticket.u_room }}" }));
    let there = Shape(BTreeMap::from([
        (attribute("u_building"), Value::text("North")),
        (attribute("u_room"), Value::text("7")),
    ]));
    let here = to_platform(&place, &there).unwrap();
    assert_eq!(here, Shape::one(attribute("place"), Value::text("North 7")));
    assert!(agree(&place, &here, &there));
    let back = to_external(&place, &here, None, &BTreeMap::new());
    assert_eq!(back, Err(Untranslatable::OneWay));
    assert!(written(&place).is_empty());
}

#[test]
fn dates_meet_as_instants() {
    let due = mapped(
        &json!({ "kind": "date", "column": "due_date", "owner": "shared", "zone": "Europe/Berlin" }),
    );
    for (platform_text, utc) in [
        ("2026-04-29T14:30:00Z", "2026-04-29 14:30:00"),
        ("2026-04-29T16:30:00+02:00", "2026-04-29 14:30:00"),
        ("2026-04-29T16:30:00", "2026-04-29 14:30:00"),
        ("2026-01-29 15:30:00", "2026-01-29 14:30:00"),
        ("2026-04-29T14:30:00.750Z", "2026-04-29 14:30:00"),
    ] {
        assert_eq!(put(&due, platform_text).unwrap(), column("due_date", utc), "{platform_text}");
        assert!(agree(&due, &platform(&due, platform_text), &column("due_date", utc)));
    }
    let back = to_platform(&due, &column("due_date", "2026-04-29 14:30:00")).unwrap();
    assert_eq!(back, platform(&due, "2026-04-29T16:30:00+02:00"));
    let same_time = platform(&due, "2026-04-29T14:30:00Z");
    assert!(same(&due, Side::Platform, &back, &same_time));
    assert_eq!(put(&due, "").unwrap(), Shape::one(attribute("due_date"), Value::Empty));
    assert_eq!(put(&due, "soon"), Err(Untranslatable::Unmapped));
    assert!(to_platform(&due, &column("due_date", "29.04.2026")).is_err());
    let day = mapped(
        &json!({ "kind": "date", "column": "u_day", "owner": "shared", "precision": "day" }),
    );
    assert_eq!(put(&day, "2026-04-29").unwrap(), column("u_day", "2026-04-29"));
    assert_eq!(put(&day, "2026-02-30"), Err(Untranslatable::Unmapped));
}

#[test]
fn a_group_is_found_by_its_name() {
    let group =
        mapped(&json!({ "kind": "reference", "column": "assignment_group", "owner": "shared",
        "table": "sys_user_group", "key": "name" }));
    let Err(Untranslatable::LookUp(wanted)) = put(&group, " Network ") else { panic!() };
    assert_eq!(wanted.name(), "sys_user_group.name=network");
    let id = SysId::new("a1b2c3d4e5f60718293a4b5c6d7e8f90").unwrap();
    let known = |reference| BTreeMap::from([(wanted.name(), reference)]);
    let written =
        |reference| to_external(&group, &platform(&group, "Network"), None, &known(reference));
    assert_eq!(
        written(Reference::Found(id.clone())).unwrap().shape,
        column("assignment_group", id.as_str())
    );
    // Ambiguity is never resolved by chance.
    for reference in [Reference::Missing, Reference::Ambiguous] {
        assert_eq!(written(reference), Err(Untranslatable::UnknownReference));
    }
}

#[test]
fn several_columns_tell_one_value() {
    let kind = mapped(&json!({ "kind": "columns", "owner": "shared", "pairs": [
        { "platform": "outage", "reads": { "category": ["network"], "u_scope": ["all", "site"] }, "writes": { "category": "network", "u_scope": "all" } },
        { "platform": "request", "reads": { "category": ["inquiry"] }, "writes": { "category": "inquiry" } } ] }));
    let there = |category: &str, scope: &str| {
        Shape(BTreeMap::from([
            (attribute("category"), Value::text(category)),
            (attribute("u_scope"), Value::text(scope)),
        ]))
    };
    assert_eq!(to_platform(&kind, &there("network", "site")).unwrap().to_string(), "outage");
    assert_eq!(to_platform(&kind, &there("inquiry", "")).unwrap().to_string(), "request");
    assert!(to_platform(&kind, &there("network", "one")).is_err());
    assert_eq!(put(&kind, "outage").unwrap(), there("network", "all"));
}

fn state(value: &str) -> Shape {
    Shape::one(attribute("state"), Value::text(value))
}

#[test]
fn every_row_of_seed_004s_status_table() {
    let status = field("status");
    for (platform_value, states) in [
        ("open", vec!["1", "2"]),
        ("mitigated", vec!["3", "4"]),
        ("resolved", vec!["6"]),
        ("closed", vec!["7"]),
    ] {
        for s in &states {
            let there = to_platform(&status, &state(s)).unwrap();
            assert_eq!(there, platform(&status, platform_value), "state {s}");
            // The stay rule: what already means it is not rewritten.
            let back = to_external(&status, &there, Some(&state(s)), &BTreeMap::new()).unwrap();
            assert_eq!(back.shape, state(s));
        }
        let default =
            to_external(&status, &platform(&status, platform_value), None, &BTreeMap::new());
        assert_eq!(default.unwrap().shape, state(states[0]));
    }
    assert_eq!(to_platform(&status, &state("8")), Err(Untranslatable::Unmapped));
    assert_eq!(to_platform(&status, &state("-2")), Err(Untranslatable::Unmapped));
}

#[test]
fn severity_reads_priority_and_writes_impact_and_urgency() {
    let severity = field("severity");
    // ServiceNow's priority matrix, impact then urgency.
    let matrix = |i: &str, u: &str| match (i, u) {
        ("1", "1") => "1",
        ("1", "2") | ("2", "1") => "2",
        ("1", "3") | ("2", "2") | ("3", "1") => "3",
        ("2", "3") | ("3", "2") => "4",
        _ => "5",
    };
    for name in ["critical", "high", "medium", "low"] {
        let written =
            to_external(&severity, &platform(&severity, name), None, &BTreeMap::new()).unwrap();
        let impact = written.shape.get(&attribute("impact")).unwrap().to_text();
        let urgency = written.shape.get(&attribute("urgency")).unwrap().to_text();
        assert!(written.shape.get(&attribute("priority")).is_none(), "priority is computed");
        let there = Shape(BTreeMap::from([
            (attribute("impact"), Value::text(impact.clone())),
            (attribute("priority"), Value::text(matrix(&impact, &urgency))),
        ]));
        assert!(agree(&severity, &platform(&severity, name), &there), "{name}");
    }
}

#[test]
fn a_display_name_is_not_a_reference() {
    let assigned = field("assigned_to");
    let seen = BTreeMap::from([(attribute("assigned_to"), Value::text("Ann Lee"))]);
    assert!(matches!(read(&assigned, Side::External, &seen), Reading::Partial(_)));
}

#[test]
fn a_long_text_is_cut_visibly_and_still_agrees() {
    let title = field("title");
    let long = platform(&title, &"x".repeat(400));
    let written = to_external(&title, &long, None, &BTreeMap::new()).unwrap().shape;
    assert_eq!(only(&written).to_text().chars().count(), 160);
    assert!(only(&written).to_text().ends_with('\u{2026}'));
    assert!(agree(&title, &long, &written));
    assert!(loses_on_the_way(&title, Side::Platform, &long));
}

proptest! {
    #[test]
    fn what_was_written_reads_back_as_what_was_meant(text in r"[a-z0-9 +\-\n]{0,200}", i in 0usize..4) {
        let users = BTreeMap::new();
        for (name, value) in [
            ("title", text.clone()),
            ("description", text),
            ("severity", ["critical", "high", "medium", "low"][i].to_owned()),
            ("status", ["open", "mitigated", "resolved", "closed"][i].to_owned()),
        ] {
            let f = field(name);
            let v = platform(&f, &value);
            let put = to_external(&f, &v, None, &users).unwrap().shape;
            // A severity is written as impact and urgency, and read as the priority that the instance makes of them.
            if name == "severity" {
                let written = [("critical", "1", "1"), ("high", "2", "1"), ("medium", "2", "2"), ("low", "3", "2")][i];
                let of = |column: &str| put.get(&attribute(column)).map(Value::to_text);
                prop_assert_eq!((of("impact"), of("urgency")), (Some(written.1.to_owned()), Some(written.2.to_owned())));
                continue;
            }
            prop_assert!(agree(&f, &v, &put));
            // Writing what stands there changes nothing.
            let again = to_external(&f, &to_platform(&f, &put).unwrap(), Some(&put), &users);
            prop_assert_eq!(again.unwrap().shape, put);
        }
    }
}

/// The text of articles.
fn body() -> FieldMapping {
    let rules = sample::rules(Preset::Content);
    let articles = TableName::new("kb_knowledge").unwrap();
    rules.field(&articles, &FieldName::new("body").unwrap()).unwrap().clone()
}

#[test]
fn an_articles_markup_reaches_the_platform_masked_and_never_comes_back() {
    let field = body();
    let shown = |html: &str| {
        let shape = to_platform(&field, &column("text", html)).unwrap();
        shape.0.values().next().unwrap().to_text()
    };
    for (html, markdown) in [
        ("<h2>VPN</h2><p>Ask <b>the desk</b>.</p>", "## VPN\n\nAsk **the desk**."),
        ("<p>Card 4111 1111 1111 1111</p>", "Card \\*\\*\\*\\*-\\*\\*\\*\\*-\\*\\*\\*\\*-1111"),
        (
            "<a href=\"https://x.example/kb_view.do?sys_kb_id=a1b2c3d4e5f60718293a4b5c6d7e8f90\">here</a>",
            "[here](https://x.example/kb_view.do?sys_kb_id=a1b2c3d4e5f60718293a4b5c6d7e8f90)",
        ),
    ] {
        assert_eq!(shown(html), markdown, "{html}");
    }
    // What tags would hide from the masker is found in the words as they are read.
    for html in [
        "<p>Card 4111 <b>1111</b> 1111 1111</p>",
        "<p>ann.lee<i>@</i>example.com</p>",
        "<p>4111&nbsp;1111&nbsp;1111&nbsp;1111</p>",
        "<table><tr><th>Card</th></tr><tr><td>4111<span> 1111 1111</span> 1111</td></tr></table>",
    ] {
        let shown = shown(html).replace('\\', "");
        assert!(
            !shown.contains("1111 1111") && !shown.contains("1111**") && !shown.contains("ann.lee"),
            "{html}: {shown}"
        );
    }
    assert_eq!(put(&field, "anything"), Err(Untranslatable::OneWay));
    assert!(written(&field).is_empty());
}

#[test]
fn how_an_article_is_set_counts_as_well_as_its_words() {
    let field = body();
    let (plain, bold) =
        (column("text", "<p>Ask the desk</p>"), column("text", "<p>Ask <b>the desk</b></p>"));
    assert!(!same(&field, Side::External, &plain, &bold));
    assert!(same(&field, Side::External, &plain, &column("text", "<div>Ask the\n desk</div>")));
    assert!(agree(&field, &platform(&field, "Ask **the desk**\r\n"), &bold));
    assert!(!agree(&field, &platform(&field, "Ask **the desk**"), &plain));
    for other in ["<a href=\"https://a.example\">x</a>", "<a href=\"https://b.example\">x</a>"] {
        let told = to_platform(&field, &column("text", other)).unwrap();
        assert!(agree(&field, &told, &column("text", other)), "{told:?}");
    }
}

proptest! {
    #[test]
    fn whatever_an_article_says_what_is_told_of_it_is_masked_and_agrees(
        html in proptest::collection::vec(
            prop_oneof![
                Just("<b>".to_owned()), Just("</b>".to_owned()), Just("<p>".to_owned()),
                Just("<li>".to_owned()), Just("<br>".to_owned()), Just("<h2>".to_owned()),
                Just("4111 1111 1111 1111".to_owned()), Just("4111".to_owned()), Just(" 1111".to_owned()),
                Just("ann.lee@example.com".to_owned()), Just("&nbsp;".to_owned()),
                Just("<a href=\"mailto:ann.lee@example.com\">".to_owned()), Just("</a>".to_owned()),
                "[a-z ]{0,8}",
            ],
            0..14,
        )
    ) {
        let field = body();
        let external = column("text", &html.concat());
        let told = to_platform(&field, &external).unwrap();
        prop_assert!(agree(&field, &told, &external), "{told:?}");
        let text = spoken(&field, Side::Platform, told.0.values().next().unwrap());
        let Mapping::Markup { mask, .. } = &field.mapping else { panic!("{field:?}") };
        prop_assert_eq!(&masked(mask.as_ref(), Side::Platform, text.clone()), &text);
    }
}

/// A text with blanks or empty lines that HTML and Markdown do not keep.
#[test]
fn what_a_format_does_not_keep_still_agrees_with_what_was_written() {
    let field = &mapped(&json!({ "kind": "text", "column": "u_text", "owner": "platform",
        "external_format": "html", "max": 200 }));
    for text in ["a  b", "a\n  b", "a\n\n\nb", "a\tb"] {
        let ours = platform(field, text);
        let there = put(field, text).unwrap();
        assert!(agree(field, &ours, &there), "{text:?} {there:?}");
    }
    // What is written fits into the column, however it is written.
    let long = platform(field, &"<&>\n".repeat(100));
    let there = put(field, &"<&>\n".repeat(100)).unwrap();
    let written = there.get(&attribute("u_text")).unwrap().to_text();
    assert!(written.chars().count() <= 200, "{}", written.chars().count());
    assert!(written.contains('\u{2026}'));
    assert!(agree(field, &long, &there));
}
