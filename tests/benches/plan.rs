//! `cargo bench -p firn-tests --bench plan`: one plan on a record of 20 fields, natively and in the
//! core component. Where an event arrives that changes one field, and where one arrives that
//! changes nothing (an echo).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use firn_core::plan::{Input, advance};
use firn_model::Link;
use firn_tests::golden::Call;
use firn_tests::golden::component::Host;
use firn_tests::sample::{NOW, in_step, record, ticket};
use serde_json::json;

fn plan(criterion: &mut Criterion) {
    let (integration, rules, settled) = in_step().unwrap();
    assert!(
        settled.fields.len() == 20 && settled.fields.values().all(|f| f.base.is_some()),
        "in step"
    );

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
