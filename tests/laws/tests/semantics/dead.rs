//! Dead letters, and findings that are told where somebody is called.

use firn_model::{DeadFilter, DeadWork, FieldName, Operation, Side};

use super::*;

fn letters(world: &Scenario) -> Vec<Json> {
    world.rows("dead")
}

fn waiting(world: &Scenario) -> usize {
    letters(world).iter().filter(|letter| letter["state"] == "waiting").count()
}

fn id_of(letter: &Json) -> String {
    letter["id"].as_str().unwrap().to_owned()
}

fn happened(letter: &Json) -> Vec<String> {
    let history = letter["history"].as_array().unwrap();
    history.iter().flat_map(|e| e["what"].as_object().unwrap().keys().cloned()).collect()
}

/// A pair whose ticket takes no description.
fn refused() -> Scenario {
    let mut world = plain();
    world.platform_edits("A", &[("title", "t")]);
    world.instance_refuses("description");
    world.platform_edits("A", &[("description", "call 415-555-0132")]);
    world
}

#[test]
fn a_letter_is_shown_with_what_it_would_write_masked() {
    let mut world = refused();
    let id = id_of(&letters(&world)[0]);
    let (status, shown) = world.operate(Operation::ShowDead { integration: integration(), id });
    assert_eq!(status, 200);
    let text = shown.to_string();
    assert!(text.contains("***-***-0132") && !text.contains("415"), "{text}");
    assert_eq!((&shown["work"], &shown["side"]), (&json!("update"), &json!("external")));
    assert!(shown["number"].is_string() && shown["platform_id"] == "A", "{text}");
    assert_eq!(happened(&shown), ["refused"]);
}

#[test]
fn a_letter_that_is_retried_keeps_its_history_and_one_row() {
    let mut world = refused();
    let id = id_of(&letters(&world)[0]);
    let retry = || Operation::RetryDead { integration: integration(), id: id.clone() };
    assert_eq!(world.operate(retry()).0, 202);
    // Refused again: the same letter.
    assert_eq!(letters(&world).len(), 1);
    assert_eq!(happened(&letters(&world)[0]), ["refused", "retried", "refused"]);
    world.instance_behaves();
    assert_eq!(world.operate(retry()).0, 202);
    assert_eq!(world.column("A", "description"), "call ***-***-0132");
    assert_eq!(letters(&world)[0]["state"], "retried");
    // It is over.
    assert_eq!(world.operate(retry()).0, 409);
    let discard = Operation::DiscardDead { integration: integration(), id: id.clone() };
    assert_eq!(world.operate(discard).0, 409);
    // And in the end it is gone.
    for _ in 0..31 * 24 * 60 {
        world.pass(60_000);
    }
    assert!(letters(&world).is_empty());
}

/// A platform that refused although it had done it is not told twice.
#[test]
fn a_comment_that_is_retried_goes_under_its_key() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "t")]);
    world.platform_refuses(Some(422));
    world.agent_says("A", "comments", "hello");
    assert_eq!(waiting(&world), 1);
    let key = letters(&world)[0]["write"]["key"].clone();
    world.platform_refuses(None);
    let filter = DeadFilter { work: Some(DeadWork::Comment), ..DeadFilter::default() };
    let (status, done) =
        world.operate(Operation::RetryAllDead { integration: integration(), filter });
    assert_eq!((status, done["ids"].as_array().unwrap().len()), (200, 1), "{done}");
    assert_eq!(world.posted().last().unwrap()["key"], key);
    assert_eq!(world.mirrored_to_platform("A").len(), 1);
}

/// What was changed meanwhile is another write, with a key of its own: it must not be taken for the old.
#[test]
fn a_change_that_is_retried_after_another_goes_under_a_new_key() {
    let mut world = incidents(json!({ "fields": { "title": { "owner": "external" } } }));
    world.platform_edits("A", &[("title", "t")]);
    world.platform_refuses(Some(422));
    world.agent_edits("A", "short_description", "first");
    assert_eq!(waiting(&world), 1);
    let key = letters(&world)[0]["write"]["key"].clone();
    world.agent_edits("A", "short_description", "second");
    world.platform_refuses(None);
    let id = id_of(&letters(&world)[0]);
    world.operate(Operation::RetryDead { integration: integration(), id });
    assert_eq!(world.field("A", "title"), "second");
    assert_ne!(world.posted().last().unwrap()["key"], key);
}

#[test]
fn letters_are_meant_by_what_they_are() {
    let mut world = plain();
    for n in 0..120 {
        world.platform_edits(&format!("R{n}"), &[("title", "t")]);
    }
    world.instance_refuses("description");
    for n in 0..120 {
        world.platform_edits(&format!("R{n}"), &[("description", "other words")]);
    }
    assert_eq!(waiting(&world), 120);
    let field = |name: &str| Some(FieldName::new(name).unwrap());
    for filter in [
        DeadFilter { field: field("title"), ..DeadFilter::default() },
        DeadFilter { side: Some(Side::Platform), ..DeadFilter::default() },
        DeadFilter { reason: Some("no such reason".to_owned()), ..DeadFilter::default() },
        DeadFilter { work: Some(DeadWork::Create), ..DeadFilter::default() },
    ] {
        let discard = Operation::DiscardAllDead { integration: integration(), filter };
        assert_eq!(world.operate(discard).1["ids"], json!([]));
    }
    // A number at a time, until none is left.
    let filter = DeadFilter {
        field: field("description"),
        side: Some(Side::External),
        ..DeadFilter::default()
    };
    let discard = Operation::DiscardAllDead { integration: integration(), filter };
    assert_eq!(world.operate(discard.clone()).1["left"], 20);
    assert_eq!(world.operate(discard).1["left"], 0);
    assert_eq!(waiting(&world), 0);
    assert!(letters(&world).iter().all(|letter| letter["state"] == "discarded"));
}

// ---- findings ----------------------------------------------------------------------------------

fn told_of(findings: &str) -> Scenario {
    incidents(json!({ "platform": { "callback_url": "https://platform.example/callback",
        "read_url": "https://platform.example/records/{id}", "findings_url": findings } }))
}

#[test]
fn a_finding_is_told_once() {
    let mut world = told_of("https://oncall.example/firn");
    world.platform_edits("A", &[("title", "t")]);
    world.instance_refuses("description");
    world.platform_edits("A", &[("description", "other words")]);
    assert_eq!(world.told().len(), 1);
    let told = &world.told()[0];
    assert_eq!(
        (&told["type"], &told["data"]["kind"]),
        (&json!("finding.raised"), &json!("refused"))
    );
    assert!(told["data"]["text"].as_str().unwrap().contains("refused a write"), "{told}");
    // The same finding again is no news.
    let id = id_of(&letters(&world)[0]);
    world.operate(Operation::RetryDead { integration: integration(), id });
    world.pass(120_000);
    assert_eq!(world.told().len(), 1);
    assert!(world.rows("alert").is_empty());
    // After an hour it is.
    for _ in 0..60 {
        world.pass(60_000);
    }
    let id = id_of(&letters(&world)[0]);
    world.operate(Operation::RetryDead { integration: integration(), id });
    assert_eq!(world.told().len(), 2);
}

#[test]
fn a_finding_that_is_not_taken_is_told_again_for_a_day() {
    let mut world = told_of("https://oncall.example/firn");
    world.findings_are_taken(false);
    world.platform_edits("A", &[("title", "t")]);
    world.instance_refuses("description");
    world.platform_edits("A", &[("description", "other words")]);
    for _ in 0..60 {
        world.pass(60_000);
    }
    let tries = world.told().len();
    assert!((10..40).contains(&tries), "{tries} in an hour");
    world.findings_are_taken(true);
    for _ in 0..10 {
        world.pass(60_000);
    }
    assert!(world.rows("alert").is_empty(), "it was taken");
    // Nobody ever takes the next one.
    world.findings_are_taken(false);
    world.instance_refuses("short_description");
    world.platform_edits("A", &[("title", "other")]);
    for _ in 0..25 * 60 {
        world.pass(60_000);
    }
    assert!(world.rows("alert").is_empty(), "given up after a day");
}
