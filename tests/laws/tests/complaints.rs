//! What users of other tools complain about, each complaint a test named for its thread. Lost
//! polls, cursors and attachments are not here: nothing polls yet, and no attachment travels.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may.

use firn_laws::sim::Scenario;
use firn_model::{FindingKind, RunMode};
use serde_json::{Value as Json, json};

fn incidents(fields: Json) -> Scenario {
    Scenario::new(json!({ "preset": "incidents", "fields": fields }))
}

fn call(id: &str) -> Json {
    json!({ "callId": id, "escalationReason": "IVR_TIMEOUT" })
}

// ---- duplicates and wrong matching -------------------------------------------------------------

#[test]
fn kibana_83221_one_ticket_however_often_the_alert_runs() {
    let mut world = Scenario::new(json!({ "preset": "genesys" }));
    for _ in 0..5 {
        world.escalate(call("c1"));
    }
    assert_eq!(world.tickets(), 1);
}

#[test]
fn kibana_147353_nothing_is_written_silently_into_a_closed_ticket() {
    let mut world =
        Scenario::new(json!({ "preset": "genesys", "correlation": { "closed": "new" } }));
    world.escalate(call("c1"));
    let first = world.ticket_of("c1");
    world.agent_edits(&first, "state", "7");
    let mut again = call("c1");
    again["escalationReason"] = json!("CALLED_AGAIN");
    world.escalate(again);
    assert_eq!(world.tickets(), 2);
    assert_eq!(
        world.mirrored_to_servicenow(&first).len(),
        1,
        "the evidence of the first call alone"
    );
}

#[test]
fn kibana_217004_an_empty_key_never_matches() {
    let mut world = Scenario::new(json!({ "preset": "genesys" }));
    let other = world.agent_opens("incident", &[("short_description", "unrelated, without a key")]);
    for empty in [json!(""), json!("  "), Json::Null, json!("${call.id}")] {
        let mut body = call("x");
        body["callId"] = empty;
        assert_eq!(world.escalate(body).0, 422);
    }
    assert_eq!((world.tickets(), world.column(&other, "state").as_str()), (1, "1"));
    assert_eq!(world.rows("quarantine").len(), 4);
    assert!(world.rows("link").is_empty());
}

#[test]
fn kibana_107871_an_update_makes_no_new_ticket() {
    let mut world = incidents(json!({}));
    world.platform_edits("A", &[]);
    for i in 0..3 {
        world.platform_edits("A", &[("title", &format!("update {i}"))]);
    }
    assert_eq!(world.tickets(), 1);
}

#[test]
fn alertmanager_931_the_same_description_is_not_the_same_ticket() {
    let mut world = incidents(json!({}));
    world.platform_edits("A", &[("title", "Disk full")]);
    world.platform_edits("B", &[("title", "Disk full")]);
    assert_eq!(world.tickets(), 2);
}

#[test]
fn demisto_22697_the_same_state_told_again_is_no_second_update() {
    let mut world = incidents(json!({ "title": { "owner": "external" } }));
    world.platform_edits("A", &[]);
    world.agent_edits("A", "short_description", "new");
    let (_, platform) = world.writes();
    for _ in 0..3 {
        let ticket = world.ticket_of("A");
        world.webhook(json!({ "sys_id": ticket, "number": "INC1", "table": "incident", "action": "update",
            "sys_mod_count": "1", "current": { "short_description": "new", "sys_updated_on": "2026-04-29 14:30:00" } }));
    }
    assert_eq!((world.field("A", "title").as_str(), world.writes().1), ("new", platform));
}

#[test]
fn unifi_two_events_at_once_leave_one_bond() {
    let mut world = incidents(json!({}));
    let event = |id: &str, title: &str| {
        json!({ "id": id, "type": "created", "record": { "kind": "incident", "id": "A", "version": 1, "partial": false,
            "fields": { "title": title, "description": "", "severity": "low", "status": "open", "assigned_to": "" } } })
    };
    world.platform_edits_silently("A", &[("title", "t"), ("description", "")]);
    world.events(&[event("e1", "t"), event("e2", "t")]);
    assert_eq!((world.tickets(), world.rows("link").len()), (1, 1));
}

// ---- echo loops and unwanted writes ------------------------------------------------------------

#[test]
fn demisto_41300_close_notes_are_sent_when_something_closes_and_not_before() {
    let mut world = incidents(json!({}));
    world.platform_edits("A", &[]);
    world.platform_edits("A", &[("title", "x"), ("severity", "high")]);
    assert_eq!(
        (world.column("A", "close_notes").as_str(), world.column("A", "close_code").as_str()),
        ("", "")
    );
    world.platform_edits("A", &[("status", "resolved")]);
    assert_ne!(world.column("A", "close_notes"), "");
}

#[test]
fn sentinel_a_ticket_never_swings_between_resolved_and_closed() {
    // A platform that knows fewer states: resolved means both.
    let pairs = json!([{ "platform": "open", "external": ["1", "2", "3"] }, { "platform": "resolved", "external": ["6", "7"] }]);
    let mut world = Scenario::new(json!({ "preset": "incidents",
        "fields": { "status": { "owner": "shared", "pairs": pairs } },
        "lifecycle": { "resolved": [], "closed": ["resolved"] } }));
    world.platform_edits("A", &[]);
    world.platform_edits("A", &[("status", "resolved")]);
    assert_eq!(world.column("A", "state"), "6");
    // The instance closes it by itself after some days.
    world.agent_edits("A", "state", "7");
    let writes = world.writes();
    for _ in 0..3 {
        world.reconcile(RunMode::AutoHeal);
        world.pass(3_600_000);
    }
    assert_eq!((world.column("A", "state").as_str(), world.writes()), ("7", writes));
}

#[test]
fn neo_a_rule_that_fires_too_often_makes_no_writes() {
    let mut world = incidents(json!({}));
    world.platform_edits("A", &[]);
    let writes = world.writes();
    for i in 0..10 {
        world.agent_edits("A", "u_unmapped", &i.to_string());
    }
    assert_eq!(world.writes(), writes);
}

// ---- comments ----------------------------------------------------------------------------------

#[test]
fn rapid7_4061_an_empty_journal_with_status_200_is_not_taken_for_silence() {
    let mut world = incidents(json!({}));
    world.platform_edits("A", &[]);
    world.journal_hidden(true);
    world.platform_says("A", "hello", "public");
    assert!(
        world.findings(FindingKind::RecordMissing)[0]
            .text
            .contains("comments from ServiceNow may be missed")
    );
}

#[test]
fn servicenow_ansible_65_comments_are_read_from_the_journal() {
    let mut world = incidents(json!({}));
    world.platform_edits("A", &[]);
    world.deaf = true; // No webhook tells of it.
    world.agent_says("A", "comments", "unheard");
    world.deaf = false;
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.mirrored_to_platform("A"), [("unheard".to_owned(), "public".to_owned())]);
}

#[test]
fn demisto_33065_what_was_written_before_the_link_is_not_lost() {
    let mut world = incidents(json!({}));
    let number = world.agent_opens("incident", &[("short_description", "old")]);
    world.agent_says(&number, "comments", "early");
    world.platform_edits_silently("A", &[("title", "old"), ("description", "")]);
    world.attach("A", &number);
    assert_eq!(world.mirrored_to_platform("A").len(), 1);
}

#[test]
fn exalate_an_internal_note_never_becomes_a_public_comment() {
    for to_platform in [true, false] {
        let mut world = Scenario::new(
            json!({ "preset": "incidents", "journal": { "work_notes_to_platform": to_platform } }),
        );
        world.platform_edits("A", &[]);
        world.agent_says("A", "work_notes", "the customer is difficult");
        world.platform_says("A", "among us", "internal");
        let seen = world.mirrored_to_platform("A");
        assert_eq!(seen.len(), usize::from(to_platform));
        assert!(seen.iter().all(|(_, visibility)| visibility == "internal"));
        assert_eq!(
            world.mirrored_to_servicenow("A"),
            [("work_notes".to_owned(), "among us".to_owned())]
        );
    }
}

#[test]
fn exalate_a_comment_of_unknown_audience_is_not_guessed_at() {
    let mut world = incidents(json!({}));
    world.platform_edits("A", &[]);
    world.event(json!({ "id": "e-x", "type": "comment.added", "record": { "id": "A" },
        "comment": { "id": "c-x", "text": "for whom?", "visibility": "team" } }));
    assert!(world.mirrored_to_servicenow("A").is_empty());
    assert_eq!(world.rows("quarantine").len(), 1);
}

// ---- time --------------------------------------------------------------------------------------

#[test]
fn azure_sentinel_13584_resolved_and_active_again_is_picked_up() {
    let mut world = incidents(json!({ "status": { "owner": "external" } }));
    world.platform_edits("A", &[]);
    world.agent_edits("A", "state", "6");
    assert_eq!(world.field("A", "status"), "resolved");
    world.deaf = true;
    world.agent_edits("A", "state", "2");
    world.deaf = false;
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.field("A", "status"), "open");
}

#[test]
fn pysnow_136_a_time_of_the_instance_is_utc() {
    let mut world = incidents(
        json!({ "due": { "kind": "date", "column": "due_date", "owner": "external", "zone": "America/New_York" } }),
    );
    world.platform_edits("A", &[("due", "")]);
    world.agent_edits("A", "due_date", "2026-07-01 16:00:00");
    assert_eq!(world.field("A", "due"), "2026-07-01T12:00:00-04:00");
}

// ---- states, choices, mandatory fields -----------------------------------------------------------

#[test]
fn itsm_85_a_custom_state_or_impact_stops_one_field_and_no_more() {
    let mut world =
        incidents(json!({ "status": { "owner": "external" }, "title": { "owner": "external" } }));
    world.platform_edits("A", &[]);
    world.agent_edits("A", "state", "-2");
    world.agent_edits("A", "short_description", "goes on");
    assert_eq!(
        (world.field("A", "status").as_str(), world.field("A", "title").as_str()),
        ("open", "goes on")
    );
    assert_eq!(world.findings(FindingKind::UnmappedValue).len(), 1);
}

#[test]
fn itsm_296_close_codes_are_the_instances_own() {
    let pairs = json!([{ "platform": "open", "external": ["1"] },
        { "platform": "resolved", "external": ["6"], "with": { "close_code": "Solved (Permanently)", "close_notes": "done" } },
        { "platform": "closed", "external": ["7"] }]);
    let mut world = incidents(json!({ "status": { "pairs": pairs } }));
    world.platform_edits("A", &[]);
    world.platform_edits("A", &[("status", "resolved")]);
    assert_eq!(world.column("A", "close_code"), "Solved (Permanently)");
}

#[test]
fn itsm_448_resolving_a_problem_sends_fix_notes() {
    let mut world = Scenario::new(json!({ "preset": "neo" }));
    world.agent_opens("problem", &[("short_description", "Root"), ("state", "101")]);
    let record = world.rows("link")[0]["platform_id"].as_str().unwrap().to_owned();
    world.platform_edits(&record, &[("state", "resolved")]);
    assert_eq!(
        (world.column(&record, "state").as_str(), world.column(&record, "fix_notes").as_str()),
        ("106", "Resolved on the platform.")
    );
}

#[test]
fn demisto_27479_states_are_mapped_by_value_not_by_label() {
    let mut world = incidents(json!({ "status": { "owner": "external" } }));
    world.platform_edits("A", &[]);
    world.agent_edits("A", "state", "Resolved");
    assert_eq!(world.field("A", "status"), "open");
    assert_eq!(world.findings(FindingKind::UnmappedValue).len(), 1);
}

// ---- references and users ------------------------------------------------------------------------

#[test]
fn demisto_18395_an_assignee_is_resolved_both_ways() {
    let mut world = incidents(json!({ "assigned_to": { "owner": "shared" } }));
    world.platform_edits("A", &[("assigned_to", "ann@example.com")]);
    assert_eq!(world.column("A", "assigned_to"), "0000000000000000000000000000a001");
    world.agent_edits("A", "assigned_to", "0000000000000000000000000000a002");
    assert_eq!(world.field("A", "assigned_to"), "Bob@Example.com");
}

#[test]
fn sdk_go_246_a_display_name_is_a_hint_and_never_a_reference() {
    let mut world = incidents(json!({ "assigned_to": { "owner": "external" } }));
    world.platform_edits("A", &[]);
    let ticket = world.ticket_of("A");
    world.webhook(json!({ "sys_id": ticket, "number": "INC1", "short_description": "t", "state": "1", "priority": "5",
        "impact": "3", "assigned_to": "Ann Lee", "updated_on": "2026-04-29 15:00:00" }));
    assert_eq!(world.field("A", "assigned_to"), "");
}
