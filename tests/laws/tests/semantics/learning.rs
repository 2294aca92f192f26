//! What is learnt from resolved tickets (seed 000), and told to a knowledge store.

use super::*;

fn learning(knowledge: Json) -> Scenario {
    learning_after(5_000, knowledge)
}

fn learning_after(delay: u64, knowledge: Json) -> Scenario {
    incidents(json!({
        "platform": { "callback_url": "https://platform.example/callback",
            "read_url": "https://platform.example/records/{id}", "knowledge_url": knowledge },
        "learning": { "enabled": true, "delay": delay, "write_back": true } }))
}

/// Later than what a scenario waits for by itself.
const LATE: u64 = 400_000;

fn learnt(world: &Scenario) -> Json {
    let rows = world.rows("learnt");
    assert!(rows.len() < 2, "one for each link: {rows:?}");
    rows.into_iter().next().unwrap_or_default()
}

fn last_notes(world: &Scenario, ticket: &str) -> usize {
    let said = world.mirrored_to_servicenow(ticket);
    said.iter().filter(|(_, text)| text.starts_with("Case summary")).count()
}

fn events(world: &Scenario) -> Vec<(String, String)> {
    let text = |v: &Json| v.as_str().unwrap().to_owned();
    world.told().iter().map(|told| (text(&told["type"]), text(&told["data"]["id"]))).collect()
}

#[test]
fn a_resolved_ticket_is_learnt_from_after_a_while_and_written_back_once() {
    let mut world = learning(Json::Null);
    world.platform_edits("A", &[("title", "Checkout is slow")]);
    let ticket = world.ticket_of("A");
    world.agent_says(&ticket, "work_notes", "Root cause: a full cache. Restarted the gateway.");
    assert_eq!(learnt(&world), Json::Null, "it is open");
    world.platform_edits("A", &[("status", "resolved")]);
    world.pass(30_000);
    let row = learnt(&world);
    assert_eq!(row["state"], "learnt", "{row}");
    let summary = &row["summary"];
    assert_eq!(summary["solved"][1]["text"], "Restarted the gateway.", "{summary}");
    assert_eq!(summary["ticket"]["sys_id"], ticket.as_str());
    assert_eq!(last_notes(&world, &ticket), 1);
    // Closed after it was resolved, nothing is learnt again.
    world.platform_edits("A", &[("status", "closed")]);
    world.pass(60_000);
    assert_eq!((learnt(&world)["times"].as_u64(), last_notes(&world, &ticket)), (Some(1), 1));
    assert!(world.told().is_empty(), "there is no knowledge store");
}

/// What was learnt of a ticket holds as long as that one is over, whatever its record is paired with meanwhile.
#[test]
fn what_was_learnt_holds_until_its_ticket_is_seen_open_again() {
    let mut world = incidents(json!({
        "fields": { "status": { "owner": "external" } },
        "learning": { "enabled": true, "delay": 5_000, "write_back": true } }));
    world.platform_edits("A", &[("title", "Checkout is slow")]);
    let first = world.ticket_of("A");
    let number = world.column(&first, "number");
    world.agent_edits(&first, "state", "6");
    world.pass(30_000);
    assert_eq!(learnt(&world)["summary"]["ticket"]["sys_id"], first.as_str());
    let other = world.agent_opens("incident", &[("short_description", "Another one")]);
    world.unlink("A");
    world.attach("A", &other);
    assert_ne!(world.ticket_of("A"), first);
    let second = world.ticket_of("A");
    for state in ["6", "2"] {
        world.agent_edits(&second, "state", state);
        world.pass(30_000);
        assert_eq!(
            learnt(&world)["summary"]["standing"],
            "current",
            "it says nothing of the first"
        );
    }
    // Opened again while nobody was paired with it: that is seen when it is paired with it once more.
    world.unlink("A");
    world.agent_edits(&first, "state", "2");
    assert_eq!(learnt(&world)["summary"]["standing"], "current");
    world.attach("A", &number);
    assert_eq!(learnt(&world)["summary"]["standing"], "superseded");
}

#[test]
fn opened_again_a_summary_holds_no_more_and_the_next_takes_its_place() {
    let mut world = learning_after(LATE, "https://kb.example/firn".into());
    world.platform_edits("A", &[("title", "t")]);
    let ticket = world.ticket_of("A");
    // Opened again before it was read: nothing was learnt, and nothing is told.
    world.platform_edits("A", &[("status", "resolved")]);
    world.platform_edits("A", &[("status", "open")]);
    world.pass(LATE + 60_000);
    assert_eq!(
        (learnt(&world)["summary"].is_null(), events(&world).len()),
        (true, 0),
        "{}",
        learnt(&world)
    );
    world.platform_edits("A", &[("status", "resolved")]);
    world.pass(LATE + 60_000);
    world.platform_edits("A", &[("status", "open")]);
    world.pass(LATE + 60_000);
    assert_eq!(learnt(&world)["summary"]["standing"], "superseded");
    world.platform_edits("A", &[("status", "resolved")]);
    world.pass(LATE + 60_000);
    assert_eq!(learnt(&world)["summary"]["standing"], "current");
    let id = |n: u32| format!("{}.{n}", world.link("A").id);
    assert_eq!(
        events(&world),
        [
            ("case_summary.made".to_owned(), id(2)),
            ("case_summary.superseded".to_owned(), id(2)),
            ("case_summary.made".to_owned(), id(3)),
        ]
    );
    assert_eq!(last_notes(&world, &ticket), 2);
}

#[test]
fn a_knowledge_store_that_is_down_is_told_later_and_not_for_ever() {
    let mut world = learning("https://kb.example/firn".into());
    world.findings_are_taken(false);
    world.platform_edits("A", &[("title", "t")]);
    world.platform_edits("A", &[("status", "resolved")]);
    world.pass(60_000);
    let tries = world.told().len();
    assert!(tries > 2, "{tries}");
    assert!(!learnt(&world)["telling"].is_null());
    world.findings_are_taken(true);
    for _ in 0..10 {
        world.pass(60_000);
    }
    let told = world.told().len();
    assert!(told > tries && learnt(&world)["telling"].is_null(), "{}", learnt(&world));
    for _ in 0..60 {
        world.pass(60_000);
    }
    assert_eq!(world.told().len(), told, "told once it was taken");
}

#[test]
fn a_knowledge_store_that_is_never_there_is_given_up_after_a_week() {
    let mut world = learning("https://kb.example/firn".into());
    world.findings_are_taken(false);
    world.platform_edits("A", &[("title", "t")]);
    world.platform_edits("A", &[("status", "resolved")]);
    for _ in 0..7 * 24 * 12 + 12 {
        world.pass(300_000);
    }
    assert!(learnt(&world)["telling"].is_null(), "{}", learnt(&world));
    let told = world.told().len();
    for _ in 0..12 {
        world.pass(300_000);
    }
    assert_eq!(world.told().len(), told);
}

#[test]
fn whoever_speaks_for_a_ticket_next_takes_its_place_without_another_note() {
    let mut world = learning("https://kb.example/firn".into());
    world.platform_edits("A", &[("title", "t")]);
    let ticket = world.ticket_of("A");
    world.agent_says(&ticket, "work_notes", "Fixed: a typo.");
    world.platform_edits("A", &[("status", "resolved")]);
    world.pass(30_000);
    assert_eq!(last_notes(&world, &ticket), 1);
    world.unlink("A");
    world.platform_edits("B", &[("title", "t")]);
    let number = world.column(&ticket, "number");
    world.unlink("B");
    world.attach("B", &number);
    world.settle();
    world.pass(60_000);
    let standing = |world: &Scenario| -> Vec<String> {
        let rows = world.rows("learnt");
        rows.iter()
            .map(|row| row["summary"]["standing"].as_str().unwrap_or("none").to_owned())
            .collect()
    };
    let mut stands = standing(&world);
    stands.sort();
    assert!(stands.iter().filter(|s| *s == "current").count() <= 1, "{stands:?}");
    assert_eq!(last_notes(&world, &ticket), 1, "{:?}", world.mirrored_to_servicenow(&ticket));
}

#[test]
fn whoever_is_left_on_a_resolved_ticket_learns_from_it_in_the_place_of_the_one_that_goes() {
    let mut world = learning("https://kb.example/firn".into());
    world.platform_edits("A", &[("title", "t")]);
    let ticket = world.ticket_of("A");
    let number = world.column(&ticket, "number");
    world.platform_edits("B", &[("title", "t")]);
    world.unlink("B");
    world.attach("B", &number);
    world.settle();
    world.agent_says(&ticket, "work_notes", "Fixed: a typo.");
    world.platform_edits("A", &[("status", "resolved")]);
    world.platform_edits("B", &[("status", "resolved")]);
    world.pass(30_000);
    assert_eq!(world.rows("learnt").len(), 1, "only the one that speaks for the ticket learns");
    world.unlink("A");
    world.settle();
    world.pass(60_000);
    let learnt = world.rows("learnt");
    let standing: Vec<&str> =
        learnt.iter().map(|row| row["summary"]["standing"].as_str().unwrap_or("none")).collect();
    assert_eq!(standing.iter().filter(|s| **s == "current").count(), 1, "{learnt:?}");
    assert_eq!(standing.iter().filter(|s| **s == "superseded").count(), 1, "{learnt:?}");
    assert_eq!(last_notes(&world, &ticket), 1, "{:?}", world.mirrored_to_servicenow(&ticket));
}

#[test]
fn what_was_resolved_while_nothing_was_learnt_stays_as_it_is() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "t")]);
    world.platform_edits("A", &[("status", "resolved")]);
    configure(&mut world, json!({ "learning": { "enabled": true, "delay": 1_000 } }));
    world.reconcile(firn_model::RunMode::AutoHeal);
    world.pass(60_000);
    assert!(world.rows("learnt").is_empty(), "{:?}", world.rows("learnt"));
    // From now on it is.
    world.platform_edits("A", &[("status", "open")]);
    world.platform_edits("A", &[("status", "resolved")]);
    world.pass(60_000);
    assert_eq!(learnt(&world)["state"], "learnt");
}

#[test]
fn what_is_gone_after_it_was_resolved_stays_learnt() {
    let mut world = learning(Json::Null);
    world.platform_edits("A", &[("title", "t")]);
    let ticket = world.ticket_of("A");
    world.agent_says(&ticket, "comments", "Fixed: a typo.");
    world.platform_edits("A", &[("status", "resolved")]);
    world.pass(30_000);
    assert_eq!(learnt(&world)["state"], "learnt");
    world.unlink("A");
    world.pass(30_000);
    assert_eq!(learnt(&world)["summary"]["standing"], "current");
}

#[test]
fn a_ticket_that_is_gone_before_it_was_read_teaches_nothing() {
    let mut world = learning_after(LATE, Json::Null);
    world.platform_edits("A", &[("title", "t")]);
    world.platform_edits("A", &[("status", "resolved")]);
    world.unlink("A");
    world.pass(LATE + 60_000);
    assert_eq!(learnt(&world), Json::Null);
}

#[test]
fn nothing_is_learnt_unless_it_is_wanted() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "t")]);
    world.platform_edits("A", &[("status", "resolved")]);
    world.pass(120_000);
    assert!(world.rows("learnt").is_empty());
}

/// That a summary holds no more was broken off when its ticket was resolved once more, and never begun again when that
/// came to nothing.
#[test]
fn whoever_was_told_of_a_summary_hears_that_it_holds_no_more() {
    let mut world = learning_after(2 * LATE, json!("https://knowledge.example/told"));
    world.platform_edits("A", &[("title", "Checkout is slow")]);
    let ticket = world.ticket_of("A");
    world.agent_says(&ticket, "work_notes", "Root cause: a full cache. Restarted the gateway.");
    world.platform_edits("A", &[("status", "resolved")]);
    world.pass(3 * LATE);
    let told = |world: &Scenario| -> Vec<String> {
        events(world).into_iter().map(|(kind, _)| kind).collect()
    };
    assert_eq!(told(&world), ["case_summary.made"]);
    // It cannot be reached while the ticket is opened, resolved, and opened again.
    world.findings_are_taken(false);
    for status in ["open", "resolved", "open"] {
        world.platform_edits("A", &[("status", status)]);
        world.pass(1_000);
    }
    let in_vain = told(&world).len();
    world.findings_are_taken(true);
    world.pass(LATE);
    let taken = told(&world).split_off(in_vain);
    assert_eq!(taken, ["case_summary.superseded"]);
    assert_eq!(learnt(&world)["telling"], Json::Null, "and it was taken");
}
