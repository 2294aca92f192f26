//! `cargo bench -p firn-tests --bench plan`: one plan on a record of 20 fields, natively and in the
//! core component. Where an event arrives that changes one field, and where one arrives that
//! changes nothing (an echo).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use firn_core::plan::{Input, advance};
use firn_core::{identity, mapping, settings};
use firn_model::{
    Attribute, ExternalRecord, IntegrationId, Link, Millis, Observation, ObservationSource,
    ObservedRecord, PlatformId, Revision, Side, SysId, TenantId, Value,
};
use firn_tests::golden::{Call, Host};
use serde_json::json;

const NOW: Millis = Millis(1_777_472_000_000);

/// 20 fields: 16 texts, two value maps, a severity, a reference; all of the platform.
fn document() -> serde_json::Value {
    let mut fields = serde_json::Map::new();
    for i in 0..16 {
        let field = json!({ "kind": "text", "column": format!("u_text_{i}"), "owner": "platform", "max": 400 });
        fields.insert(format!("text{i}"), field);
    }
    fields.insert("extra".to_owned(), json!({ "kind": "choice", "column": "u_choice", "owner": "platform",
        "pairs": [{ "platform": "a", "external": ["1", "2"] }, { "platform": "b", "external": ["3"] }] }));
    for name in ["title", "description"] {
        fields.insert(name.to_owned(), json!(null));
    }
    json!({ "preset": "incidents", "platform": { "callback_url": "https://p.example/c" }, "fields": fields })
}

fn record(version: u64, first: &str) -> Observation {
    let text = |i: usize| {
        format!("The {i}th text of a record, as long as such texts are, with INC0010001 in it")
    };
    let mut attributes: Vec<(String, Value)> =
        (1..16).map(|i| (format!("text{i}"), Value::text(text(i)))).collect();
    attributes.push(("text0".to_owned(), Value::text(first)));
    for (name, value) in
        [("extra", "a"), ("severity", "high"), ("status", "open"), ("assigned_to", "")]
    {
        attributes.push((name.to_owned(), Value::text(value)));
    }
    observation(
        Side::Platform,
        "PAY-1",
        Revision::Platform { version: Some(version), at: NOW },
        attributes,
    )
}

fn ticket() -> Observation {
    let record = record(1, "first");
    let mut attributes: Vec<(String, Value)> = Vec::new();
    for (name, value) in record.record.attributes {
        if let Some(i) = name.as_str().strip_prefix("text") {
            attributes.push((format!("u_text_{i}"), value));
        }
    }
    for (name, value) in [
        ("u_choice", "1"),
        ("impact", "2"),
        ("priority", "2"),
        ("state", "1"),
        ("assigned_to", ""),
        ("assigned_to.email", ""),
    ] {
        attributes.push((name.to_owned(), Value::text(value)));
    }
    let revision = Revision::External { updated: NOW, mod_count: Some(1) };
    observation(Side::External, "a1b2c3d4e5f60718293a4b5c6d7e8f90", revision, attributes)
}

fn observation(
    side: Side,
    id: &str,
    revision: Revision,
    attributes: Vec<(String, Value)>,
) -> Observation {
    Observation {
        side,
        source: ObservationSource::Message,
        record: ObservedRecord {
            id: id.to_owned(),
            revision: Some(revision),
            attributes: attributes
                .into_iter()
                .map(|(n, v)| (Attribute::new(n).unwrap(), v))
                .collect(),
            ..ObservedRecord::default()
        },
        entries: Vec::new(),
    }
}

fn plan(criterion: &mut Criterion) {
    let (id, tenant) = (IntegrationId::new("int-1").unwrap(), TenantId::new("acme").unwrap());
    let integration = settings::apply(None, &id, &tenant, &document()).integration.unwrap();
    let rules = settings::compile(integration.clone()).unwrap();
    assert_eq!(rules.fields(&mapping::incident()).len(), 20);
    let platform = PlatformId::new("PAY-1").unwrap();
    let mut link = Link::new(
        identity::link_id(&id, &platform, 1),
        id,
        platform.clone(),
        identity::correlation_key(&platform, 1),
        mapping::incident(),
        NOW,
    );
    link.external = Some(ExternalRecord {
        table: mapping::incident(),
        sys_id: SysId::new("a1b2c3d4e5f60718293a4b5c6d7e8f90").unwrap(),
        number: Some("INC0010001".to_owned()),
        adopted: false,
    });
    let both = [Input::Seen(record(1, "first")), Input::Seen(ticket())];
    let settled = advance(&rules, link, &both, NOW).link;
    assert!(settled.fields.values().all(|f| f.base.is_some()), "in step");

    let mut host = Host::new().unwrap();
    for (name, input) in [("an edit", record(2, "second")), ("an echo", ticket())] {
        let inputs = [Input::Seen(input)];
        let mut group = criterion.benchmark_group(format!("plan of 20 fields, {name}"));
        group.bench_function("native", |b| {
            b.iter(|| advance(&rules, settled.clone(), &inputs, NOW))
        });
        // What a host without Rust pays: the same with everything as JSON.
        let texts =
            [serde_json::to_string(&settled).unwrap(), serde_json::to_string(&inputs).unwrap()];
        group.bench_function("native, from and to JSON", |b| {
            b.iter(|| {
                let link: Link = serde_json::from_str(&texts[0]).unwrap();
                let inputs: Vec<Input> = serde_json::from_str(&texts[1]).unwrap();
                serde_json::to_string(&advance(&rules, link, &inputs, NOW)).unwrap()
            });
        });
        let call = Call {
            interface: "planner".to_owned(),
            function: "advance".to_owned(),
            arguments: vec![
                json!(serde_json::to_string(&integration).unwrap()),
                json!(texts[0]),
                json!(texts[1]),
                json!(NOW.0),
            ],
            answer: serde_json::Value::Null,
        };
        group.bench_function("component, from and to JSON", |b| {
            b.iter(|| host.call(&call).unwrap())
        });
        group.finish();
    }
}

criterion_group!(benches, plan);
criterion_main!(benches);
