//! Golden transcripts: the core answers as written down, natively and as a component. Other hosts: `gateways.rs`.

use firn_tests::golden;

#[test]
fn the_component_answers_as_written_down() {
    let outcome = golden::in_wasmtime().unwrap();
    assert!(outcome.run > 60, "{}", outcome.run);
    assert!(outcome.differences.is_empty(), "{:#?}", outcome.differences);
}

#[test]
fn natively_it_answers_the_same() {
    let outcome = golden::natively().unwrap();
    assert!(outcome.differences.is_empty(), "{:#?}", outcome.differences);
    assert_eq!(outcome.run, golden::read().unwrap().len());
}

#[test]
fn every_part_has_transcripts() {
    let calls = golden::read().unwrap();
    for part in [
        "settings",
        "mapping",
        "ownership",
        "conflict",
        "masking",
        "identity",
        "intake",
        "gateway",
        "planner",
    ] {
        assert!(calls.iter().any(|c| c.interface == part), "{part}");
    }
}
