//! Golden transcripts: the core component answers as written down, in wasmtime and in Python.

use firn_tests::golden;

#[test]
fn the_component_answers_as_written_down() {
    let outcome = golden::in_wasmtime().unwrap();
    assert!(outcome.run > 60, "{}", outcome.run);
    assert!(outcome.differences.is_empty(), "{:#?}", outcome.differences);
}

#[test]
fn every_part_has_transcripts() {
    let calls = golden::read().unwrap();
    for part in
        ["settings", "mapping", "ownership", "conflict", "masking", "identity", "intake", "planner"]
    {
        assert!(calls.iter().any(|c| c.interface == part), "{part}");
    }
}

#[test]
fn python_answers_the_same() {
    let outcome = golden::in_python().unwrap();
    assert_eq!(outcome.skipped, None, "install python3 and python3-pip to run this test");
    assert!(outcome.differences.is_empty(), "{:#?}", outcome.differences);
    assert_eq!(outcome.run, golden::read().unwrap().len());
}
