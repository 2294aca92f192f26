//! What the simulation and the model checker found, each told as a story that a person can follow.
//! The seeds are kept too (`simulation.rs`); these say what was wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may.

use firn_laws::sim::Scenario;
use firn_model::{FindingKind, RunMode};
use serde_json::json;

fn incidents() -> Scenario {
    Scenario::new(json!({ "preset": "incidents",
        "tickets": [{ "table": "incident" }, { "table": "problem", "when": "false" }] }))
}

/// The look-up by key was made in `incident` alone, so that a ticket that had become a problem
/// before its create was answered was made a second time.
#[test]
fn a_ticket_that_was_reclassed_before_it_was_known_is_found_by_its_key() {
    let mut world = incidents();
    world.lose_next_answer();
    world.platform_edits_unsettled("A", &[("title", "t")]);
    world.pass(600); // The ticket is made; its answer never comes.
    let ticket = world.newest_ticket();
    world.admin_reclasses(&ticket, "problem");
    assert_eq!(world.tickets(), 1);
    assert_eq!(world.ticket_of("A"), ticket);
    assert_eq!(world.link("A").table.as_str(), "problem");
}

/// A webhook from before a re-classing took the ticket back to its old class.
#[test]
fn a_late_webhook_of_the_old_class_changes_no_class() {
    let mut world = incidents();
    world.platform_edits("A", &[("title", "t")]);
    let ticket = world.ticket_of("A");
    let old = json!({ "sys_id": ticket, "number": "INC0000001", "table": "incident", "action": "update",
        "sys_mod_count": "0", "current": { "short_description": "t", "description": "d", "state": "1",
            "impact": "3", "urgency": "3", "priority": "5", "assigned_to": "", "correlation_id": "A",
            "sys_updated_on": "2026-04-29 14:13:20" } });
    world.admin_reclasses("A", "problem");
    assert_eq!(world.link("A").table.as_str(), "problem");
    world.webhook(old);
    assert_eq!(world.link("A").table.as_str(), "problem");
    world.agent_edits("A", "short_description", "edited there");
    // And the pair goes on in the new class: the platform owns the title and restores it there.
    assert_eq!(world.column("A", "short_description"), "t");
    world.platform_edits("A", &[("title", "ours")]);
    assert_eq!(world.column("A", "short_description"), "ours");
}

/// An update whose answer was lost was forgotten when the ticket had moved to another class
/// meanwhile: an edit that it had overwritten was told to nobody.
#[test]
fn a_write_whose_answer_was_lost_is_looked_up_in_the_new_class_too() {
    let mut world = incidents();
    world.platform_edits("A", &[("title", "t")]);
    world.lose_next_answer();
    world.platform_edits_unsettled("A", &[("title", "ours")]);
    world.pass(700); // Written; the answer never comes.
    world.admin_reclasses("A", "problem");
    assert_eq!(world.column("A", "short_description"), "ours");
    let link = world.link("A");
    assert!(link.external_side.flight.is_none(), "it was looked up");
    assert_eq!(link.fields.values().filter(|f| f.parked.is_some()).count(), 0);
}

/// Two tickets with A's key: the first one shows too late, and the second one is the link's.
fn made_twice() -> (Scenario, String, String) {
    let mut world = incidents();
    world.lose_next_answer();
    world.platform_edits_unsettled("A", &[("title", "t")]);
    world.pass(600);
    let first = world.newest_ticket();
    world.hide(&first);
    world.pass(20_000);
    let second = world.newest_ticket();
    assert_ne!(first, second);
    world.admin_shows_all();
    (world, first, second)
}

/// Two tickets with one key (an instance that commits after its limit makes one): the next reconcile
/// closes the one that is not the link's, says so in it, and tells.
#[test]
fn a_duplicate_that_we_made_is_closed_with_a_note() {
    let (mut world, first, second) = made_twice();
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(
        (world.column(&first, "state"), world.column(&second, "state")),
        ("7".into(), "1".into())
    );
    assert_eq!(world.ticket_of("A"), second);
    assert!(world.mirrored_to_servicenow(&first)[0].1.starts_with("Duplicate of INC"));
    assert_eq!(world.findings(FindingKind::DuplicateTicket).len(), 1);
    // Once is enough.
    let writes = world.writes();
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.writes(), writes);
}

/// A conversation in which another ticket has taken the place of the first one, which agents have brought to these
/// states before and after that; and then a run. Gives the states of the duplicate, the first one and the one that goes
/// on, and what was told.
fn superseded(before: &str, after: Option<&str>) -> ([String; 3], String) {
    let mut world = Scenario::new(
        json!({ "preset": "genesys", "correlation": { "closed": "new", "duplicates": "close" } }),
    );
    let call = |reason: &str| json!({ "callId": "c1", "escalationReason": reason });
    world.lose_next_answer();
    world.escalate_unsettled(call("one"));
    world.pass(600);
    let first = world.newest_ticket();
    world.hide(&first);
    world.pass(20_000);
    let second = world.newest_ticket();
    assert_ne!(first, second);
    world.admin_shows_all();
    world.agent_edits(&second, "state", before);
    world.escalate(call("two"));
    let third = world.newest_ticket();
    assert_eq!(world.column(&third, "correlation_id"), "c1~2");
    if let Some(state) = after {
        world.agent_edits(&second, "state", state);
    }
    world.reconcile(RunMode::AutoHeal);
    let told = world.findings(FindingKind::DuplicateTicket);
    assert_eq!(told.len(), 1, "{told:?}");
    let states = [&first, &second, &third].map(|ticket| world.column(ticket, "state"));
    (states, told[0].text.clone())
}

#[test]
fn a_duplicate_is_closed_though_another_ticket_speaks_for_the_conversation() {
    let (states, told) = superseded("7", Some("2"));
    assert_eq!(states, ["7", "2", "1"]);
    assert!(told.contains("closed as a duplicate of INC"), "{told}");
}

/// Somebody may have resolved the first one in favour of it.
#[test]
fn a_duplicate_of_a_ticket_that_an_agent_has_resolved_is_told_and_left_alone() {
    for state in ["6", "7"] {
        let (states, told) = superseded(state, None);
        assert_eq!(states, ["1", state, "1"]);
        assert!(told.contains("left to people") && !told.contains("work note"), "{told}");
    }
}

/// The same, and somebody has worked in it: it is left to people.
#[test]
fn a_duplicate_that_somebody_works_in_is_told_and_left_alone() {
    let (mut world, first, _) = made_twice();
    world.agent_edits(&first, "state", "2");
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.column(&first, "state"), "2");
    assert_eq!(world.findings(FindingKind::DuplicateTicket).len(), 1);
}

/// A duplicate was closed although an operator had paired another record with it meanwhile.
#[test]
fn a_duplicate_that_another_record_is_on_is_told_and_left_alone() {
    let (mut world, first, _) = made_twice();
    world.platform_edits_silently("B", &[("title", "t")]);
    let number = world.column(&first, "number");
    world.attach("B", &number);
    assert_eq!(world.ticket_of("B"), first);
    world.reconcile(RunMode::AutoHeal);
    assert_ne!(world.column(&first, "state"), "7");
    let told = world.findings(FindingKind::DuplicateTicket);
    assert!(told.len() == 1 && told[0].text.contains("is or was paired with it"), "{told:?}");
}

/// The same, and that pair was taken apart again. Its last write had made the ticket look as if nobody had touched it.
#[test]
fn a_duplicate_that_another_record_was_on_is_told_and_left_alone() {
    let (mut world, first, _) = made_twice();
    world.platform_edits_silently("B", &[("title", "t")]);
    let number = world.column(&first, "number");
    world.attach("B", &number);
    world.agent_edits(&first, "state", "2");
    world.platform_edits("B", &[("title", "u")]);
    assert_eq!(world.column(&first, "short_description"), "u", "the last write is ours");
    world.unlink("B");
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.column(&first, "state"), "2");
    assert_eq!(world.findings(FindingKind::DuplicateTicket).len(), 1);
}

/// The same, in a time of which a store knows nothing that is a backup's.
#[test]
fn a_duplicate_that_was_paired_in_a_time_that_is_lost_is_told_and_left_alone() {
    let (mut world, first, _) = made_twice();
    let backup = world.back_up();
    world.platform_edits_silently("B", &[("title", "t")]);
    let number = world.column(&first, "number");
    world.attach("B", &number);
    world.agent_edits(&first, "state", "2");
    world.platform_edits("B", &[("title", "u")]);
    world.restore(&backup);
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.column(&first, "state"), "2");
    assert_eq!(world.findings(FindingKind::DuplicateTicket).len(), 1);
}

/// The same of another integration, which works on the same instance as the same user.
#[test]
fn a_duplicate_that_another_integration_is_on_is_told_and_left_alone() {
    let (mut world, first, _) = made_twice();
    let mut other = world.stored(&["integration", "int-1"]);
    (other["id"], other["slug"]) = (json!("int-2"), json!("another"));
    world.left(&["integration", "int-2"], &other);
    world.left(&["external", "int-2", &first], &json!(["l-of-another"]));
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.column(&first, "state"), "1");
    let told = world.findings(FindingKind::DuplicateTicket);
    assert!(told.len() == 1 && told[0].text.contains("is or was paired with it"), "{told:?}");
}

/// A ticket was deleted while nobody knew whether a write had reached it: what the write may have
/// overwritten was told to nobody.
#[test]
fn a_write_of_unknown_fate_to_a_ticket_that_is_deleted_is_told() {
    let mut world = incidents();
    world.platform_edits("A", &[("title", "t")]);
    let ticket = world.ticket_of("A");
    world.lose_next_answer();
    world.platform_edits_unsettled("A", &[("title", "ours")]);
    world.pass(700); // Written; the answer never comes.
    world.admin_deletes(&ticket);
    world.settle();
    let told = world.findings(FindingKind::OverwrittenUnseen);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].text.contains("title"), "{told:?}");
    assert_eq!(world.findings(FindingKind::RecordGone).len(), 1);
}

/// A webhook about a ticket that was being made waited for ever when the pair was taken apart first.
#[test]
fn a_webhook_does_not_wait_for_a_link_that_was_taken_apart() {
    let mut world = incidents();
    world.instance_refuses_creates();
    world.platform_edits("A", &[("title", "t")]);
    world.unlink("A");
    world.webhook(json!({ "sys_id": "000000000000000000000000000000ff", "number": "INC0000099",
        "table": "incident", "action": "update", "sys_mod_count": "1",
        "current": { "short_description": "t", "correlation_id": "A", "sys_updated_on": "2026-04-29 14:13:20" } }));
    world.pass(60_000);
    let waits = world.rows("delivery").iter().filter(|d| d["state"] == "waiting").count();
    assert_eq!(waits, 0);
}

/// A record that joins a ticket after another has left it took that one's comments for the agents'.
#[test]
fn who_joins_later_is_not_told_what_an_earlier_record_said() {
    let mut world = incidents();
    world.platform_edits("A", &[("title", "t")]);
    world.platform_says("A", "from A's customer", "public");
    let (ticket, number) = (world.ticket_of("A"), world.column("A", "number"));
    world.agent_says(&ticket, "comments", "from the desk");
    world.unlink("A");
    world.platform_edits_silently("B", &[("title", "t")]);
    world.attach("B", &number);
    let said: Vec<String> =
        world.mirrored_to_platform("B").into_iter().map(|(text, _)| text).collect();
    assert_eq!(said, ["from the desk"]);
}

/// Settings that were changed in one batch with work that was due were taken for an integration that is gone:
/// the work rested for ever, although its webhook had been answered 202.
#[test]
fn work_that_is_due_beside_a_change_of_the_settings_is_done() {
    let mut world = incidents();
    world.platform_edits("A", &[("title", "t")]);
    let ticket = world.ticket_of("A");
    world.deaf = true;
    world.agent_edits("A", "assigned_to", "0000000000000000000000000000a001");
    let told = json!({ "sys_id": ticket, "number": "INC0000001", "table": "incident", "action": "update",
        "sys_mod_count": "1", "current": { "short_description": "t", "description": "d", "state": "1",
            "impact": "3", "urgency": "3", "priority": "5", "correlation_id": "A",
            "assigned_to": "0000000000000000000000000000a001", "sys_updated_on": "2026-04-29 14:40:00" } });
    let change = firn_model::Configure {
        id: world.id(),
        create: false,
        slug: None,
        name: Some("another name".to_owned()),
        base_url: None,
        platform: None,
        enabled: None,
        preset: None,
        settings: serde_json::Value::Null,
    };
    let operation = firn_model::Operation::Configure { integration: Box::new(change) };
    let (status, reply) = world.webhook_beside(told, operation);
    assert_eq!(status, 200, "{reply}");
    assert_eq!(world.field("A", "assigned_to"), "ann@example.com");
}
