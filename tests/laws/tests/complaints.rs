//! What users of other tools complain about, each complaint a test named for its thread. Some are elsewhere: files that
//! are mirrored back and forth (`demisto_27117_...` in the core's tests of attachments), a mark that runs ahead
//! (`itsm_2_12_1_...` in its tests of sweeps), a user's time zone (`itsm_517_...` in the doctor's).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may.

use firn_laws::sim::Scenario;
use firn_model::{FindingKind, RunMode};
use serde_json::{Value as Json, json};

fn incidents(fields: Json) -> Scenario {
    Scenario::new(json!({ "preset": "incidents", "fields": fields }))
}

/// Nothing is told by webhooks: everything is found by polling.
fn polled(fields: Json) -> Scenario {
    let mut world = Scenario::new(
        json!({ "preset": "incidents", "polling": { "mode": "alone" }, "fields": fields }),
    );
    world.deaf = true;
    world
}

/// What is said on a record by the other side.
fn said(world: &Scenario, record: &str) -> Vec<String> {
    world.mirrored_to_platform(record).into_iter().map(|(text, _)| text).collect()
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
fn kibana_77772_each_call_has_a_key_and_one_ticket() {
    let mut world = Scenario::new(json!({ "preset": "genesys" }));
    for id in ["c1", "c2", "c1", "c2"] {
        world.escalate(call(id));
    }
    assert_eq!(world.tickets(), 2);
    let keys = ["c1", "c2"].map(|id| world.column(&world.ticket_of(id), "correlation_id"));
    assert!(!keys[0].is_empty() && !keys[1].is_empty() && keys[0] != keys[1], "{keys:?}");
}

#[test]
fn kibana_162557_a_resolved_ticket_is_opened_again_where_the_policy_says_so() {
    let mut world =
        Scenario::new(json!({ "preset": "genesys", "correlation": { "closed": "reopen" } }));
    world.escalate(call("c1"));
    let ticket = world.ticket_of("c1");
    world.agent_edits(&ticket, "state", "6");
    let mut again = call("c1");
    again["escalationReason"] = json!("CALLED_AGAIN");
    world.escalate(again);
    assert_eq!((world.tickets(), world.column(&ticket, "state").as_str()), (1, "1"));
}

#[test]
fn kibana_170522_what_has_recovered_resolves_its_ticket() {
    let mut world = incidents(json!({}));
    world.platform_edits("A", &[]);
    world.platform_edits("A", &[("status", "resolved")]);
    assert_eq!(world.column("A", "state"), "6");
}

#[test]
fn kibana_216023_what_either_side_changes_or_says_reaches_the_other() {
    let mut world = incidents(json!({ "title": { "owner": "shared" } }));
    world.platform_edits("A", &[("title", "ours")]);
    assert_eq!(world.column("A", "short_description"), "ours");
    world.pass(60_000);
    world.agent_edits("A", "short_description", "theirs");
    assert_eq!(world.field("A", "title"), "theirs");
    world.agent_says("A", "comments", "from the desk");
    world.platform_says("A", "from the platform", "public");
    assert_eq!(said(&world, "A"), ["from the desk"]);
    assert_eq!(
        world.mirrored_to_servicenow("A"),
        [("comments".to_owned(), "from the platform".to_owned())]
    );
}

#[test]
fn zigiops_a_lost_answer_makes_no_second_ticket() {
    let mut world = incidents(json!({}));
    world.lose_next_answer();
    world.platform_edits("A", &[]);
    world.pass(60_000);
    world.platform_edits("A", &[("title", "again")]);
    assert_eq!((world.tickets(), world.column("A", "short_description").as_str()), (1, "again"));
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
fn demisto_22697_what_changed_within_one_second_is_found_once() {
    let mut world = polled(json!({ "title": { "owner": "external" } }));
    for record in ["A", "B"] {
        world.platform_edits(record, &[]);
    }
    // The clock of the instance has whole seconds; the place up to which was read has none.
    for n in 0..5 {
        world.agent_edits("A", "short_description", &format!("a{n}"));
        world.agent_edits("B", "short_description", &format!("b{n}"));
        world.pass(60_000);
        assert_eq!(
            [world.field("A", "title"), world.field("B", "title")],
            [format!("a{n}"), format!("b{n}")]
        );
    }
    let writes = world.writes();
    world.pass(600_000);
    assert_eq!((world.writes(), world.tickets()), (writes, 2));
}

#[test]
fn demisto_31071_a_clock_that_is_hours_off_brings_nothing_twice() {
    for hours in [-5, 9] {
        let mut world = polled(json!({ "title": { "owner": "external" } }));
        world.clocks(hours * 3_600_000, 0);
        world.platform_edits("A", &[]);
        world.agent_edits("A", "short_description", "new");
        world.pass(120_000);
        assert_eq!(world.field("A", "title"), "new", "{hours}");
        let writes = world.writes();
        world.pass(600_000);
        assert_eq!((world.writes(), world.tickets()), (writes, 1), "{hours}");
    }
}

#[test]
fn the_same_state_told_again_is_no_second_update() {
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
fn rapid7_4064_what_a_hidden_journal_kept_back_is_mirrored_once_it_may_be_read() {
    let mut world = incidents(json!({}));
    world.platform_edits("A", &[]);
    world.journal_hidden(true);
    world.deaf = true;
    world.agent_says("A", "comments", "kept back");
    world.deaf = false;
    world.reconcile(RunMode::AutoHeal);
    assert!(said(&world, "A").is_empty());
    world.journal_hidden(false);
    for _ in 0..2 {
        world.reconcile(RunMode::AutoHeal);
    }
    assert_eq!(said(&world, "A"), ["kept back"]);
}

#[test]
fn pysnow_112_each_comment_is_read_as_an_entry_of_its_own() {
    let mut world = incidents(json!({}));
    world.platform_edits("A", &[]);
    for text in ["first", "second", "second"] {
        world.agent_says("A", "comments", text);
    }
    assert_eq!(said(&world, "A"), ["first", "second", "second"]);
}

#[test]
fn python_servicenow_41_a_comment_is_added_and_replaces_none() {
    let mut world = incidents(json!({}));
    world.platform_edits("A", &[]);
    world.platform_says("A", "first", "public");
    world.platform_says("A", "second", "public");
    let texts: Vec<String> =
        world.mirrored_to_servicenow("A").into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["first", "second"]);
}

#[test]
fn example_restclient_9_a_comment_is_not_read_from_the_tickets_own_column() {
    let mut world = incidents(json!({}));
    world.platform_edits("A", &[]);
    let ticket = world.ticket_of("A");
    // It is blank, or shows everything that was said; neither is an entry.
    for column in ["", "2026-04-29 14:00:00 - Ann (Additional comments)\nhello\n\n"] {
        world.webhook(
            json!({ "sys_id": ticket, "number": "INC1", "table": "incident", "action": "update",
            "current": { "comments": column, "sys_updated_on": "2026-04-29 15:00:00" } }),
        );
    }
    assert!(said(&world, "A").is_empty());
    world.agent_says("A", "comments", "an entry");
    assert_eq!(said(&world, "A"), ["an entry"]);
}

#[test]
fn demisto_33761_notes_from_before_are_there_too() {
    let mut world = Scenario::new(
        json!({ "preset": "incidents", "journal": { "work_notes_to_platform": true } }),
    );
    let number = world.agent_opens("incident", &[("short_description", "old")]);
    for text in ["looked at it", "called back"] {
        world.agent_says(&number, "work_notes", text);
    }
    world.platform_edits_silently("A", &[("title", "old"), ("description", "")]);
    world.attach("A", &number);
    let internal = |text: &str| (text.to_owned(), "internal".to_owned());
    assert_eq!(
        world.mirrored_to_platform("A"),
        [internal("looked at it"), internal("called back")]
    );
}

#[test]
fn kb2972442_a_comment_that_no_webhook_tells_of_is_found() {
    let mut world = polled(json!({}));
    world.platform_edits("A", &[]);
    world.agent_says("A", "comments", "unheard");
    world.pass(120_000);
    assert_eq!(said(&world, "A"), ["unheard"]);
    let writes = world.writes();
    world.pass(600_000);
    assert_eq!(world.writes(), writes);
}

#[test]
fn perspectium_an_entry_that_is_told_twice_is_one_comment() {
    let mut world = incidents(json!({}));
    world.platform_edits("A", &[]);
    let ticket = world.ticket_of("A");
    let row = json!({ "sys_id": ticket, "table": "sys_journal_field", "action": "insert", "journal": {
        "sys_id": "0123456789abcdef0123456789abcdef", "element": "comments", "value": "once",
        "sys_created_by": "agent", "sys_created_on": "2026-04-29 14:30:00" } });
    for _ in 0..3 {
        world.webhook(row.clone());
    }
    assert_eq!(said(&world, "A"), ["once"]);
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
fn azure_sentinel_14996_the_link_back_leads_where_the_settings_say() {
    for portal in ["https://one.example/i/", "https://portal.example/soc?id="] {
        let link = json!({ "kind": "template", "column": "u_link", "template": format!("{portal}{{{{ record.ref }}}}") });
        let mut world = incidents(json!({ "portal": link }));
        world.platform_edits("A", &[("ref", "7")]);
        assert_eq!(world.column("A", "u_link"), format!("{portal}7"));
    }
}

#[test]
fn azure_sentinel_13584_resolved_and_active_again_is_picked_up() {
    let mut world = polled(json!({ "status": { "owner": "external" } }));
    for record in ["A", "B"] {
        world.platform_edits(record, &[]);
    }
    world.agent_edits("A", "state", "6");
    world.pass(120_000);
    assert_eq!(world.field("A", "status"), "resolved");
    // The place up to which was read moves on with another ticket.
    for n in 0..5 {
        world.agent_edits("B", "u_unmapped", &n.to_string());
        world.pass(120_000);
    }
    world.agent_edits("A", "state", "2");
    world.pass(120_000);
    assert_eq!(world.field("A", "status"), "open");
}

#[test]
fn demisto_33058_and_20197_a_clock_ahead_or_behind_loses_no_change() {
    for minutes in [-90, 90] {
        let mut world = polled(json!({ "title": { "owner": "external" } }));
        world.platform_edits("A", &[]);
        for n in 0..4 {
            // It is set while work goes on.
            world.clocks(n % 2 * minutes * 60_000, 0);
            world.agent_edits("A", "short_description", &format!("edit {n}"));
            world.pass(120_000);
        }
        world.clocks(0, 0);
        world.agent_edits("A", "short_description", "last");
        // What is behind the mark is found by the run that looks at everything.
        world.pass(120_000);
        world.reconcile(RunMode::AutoHeal);
        assert_eq!(world.field("A", "title"), "last", "{minutes}");
    }
}

#[test]
fn itsm_511_what_was_told_once_is_not_told_again() {
    let mut world = polled(json!({ "title": { "owner": "external" } }));
    world.platform_edits("A", &[]);
    world.agent_edits("A", "short_description", "new");
    world.pass(120_000);
    let (posted, writes) = (world.posted().len(), world.writes());
    for _ in 0..30 {
        world.pass(60_000);
    }
    assert_eq!((world.posted().len(), world.writes()), (posted, writes));
}

#[test]
fn itsm_516_a_time_is_written_in_utc_whatever_zone_a_field_has() {
    let mut world = incidents(
        json!({ "due": { "kind": "date", "column": "due_date", "owner": "platform", "zone": "Europe/Berlin" } }),
    );
    world.platform_edits("A", &[("due", "2026-01-15T09:00:00")]);
    assert_eq!(world.column("A", "due_date"), "2026-01-15 08:00:00");
}

#[test]
fn pysnow_140_a_time_goes_there_and_back_as_it_was() {
    let mut world = incidents(
        json!({ "due": { "kind": "date", "column": "due_date", "owner": "shared", "zone": "America/New_York" } }),
    );
    world.platform_edits("A", &[("due", "2026-11-01T05:30:00Z")]);
    let writes = world.writes();
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(
        (world.column("A", "due_date").as_str(), world.field("A", "due").as_str(), world.writes()),
        ("2026-11-01 05:30:00", "2026-11-01T05:30:00Z", writes)
    );
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
    world.agent_edits("A", "impact", "5");
    world.agent_edits("A", "short_description", "goes on");
    assert_eq!(
        (world.field("A", "status").as_str(), world.field("A", "title").as_str()),
        ("open", "goes on")
    );
    let unmapped = world.findings(FindingKind::UnmappedValue);
    assert!(unmapped.iter().any(|f| f.field.as_ref().is_some_and(|f| f.as_str() == "status")));
}

#[test]
fn itsm_156_and_220_a_problems_states_are_those_that_the_settings_name() {
    let states = json!([{ "platform": "open", "external": ["1"] }, { "platform": "known_error", "external": ["2"] },
        { "platform": "closed", "external": ["5", "4"] }]);
    let mut world = Scenario::new(
        json!({ "preset": "neo", "fields": { "state": { "types": { "problem": { "pairs": states } } } } }),
    );
    world.agent_opens("problem", &[("short_description", "Root"), ("state", "1")]);
    let record = world.rows("link")[0]["platform_id"].as_str().unwrap().to_owned();
    world.platform_edits(&record, &[("state", "known_error")]);
    assert_eq!(world.column(&record, "state"), "2");
    world.agent_edits(&record, "state", "4");
    assert_eq!(world.field(&record, "state"), "closed");
}

#[test]
fn itsm_27_a_state_that_the_instance_does_not_take_is_told_and_not_tried_for_ever() {
    let mut world = Scenario::new(json!({ "preset": "neo" }));
    world.agent_opens("problem", &[("short_description", "Root"), ("state", "101")]);
    let record = world.rows("link")[0]["platform_id"].as_str().unwrap().to_owned();
    world.instance_ignores("state");
    world.platform_edits(&record, &[("state", "closed")]);
    assert_eq!(world.column(&record, "state"), "101");
    assert_eq!(world.findings(FindingKind::WriteIgnored).len(), 1);
    let writes = world.writes();
    world.reconcile(RunMode::AutoHeal);
    world.pass(3_600_000);
    assert_eq!(world.writes(), writes);
}

#[test]
fn itsm_412_resolving_sends_a_resolution_code() {
    let mut world = incidents(json!({}));
    world.platform_edits("A", &[]);
    world.platform_edits("A", &[("status", "resolved")]);
    assert_eq!(
        (world.column("A", "state").as_str(), world.column("A", "close_code").as_str()),
        ("6", "Solution provided")
    );
}

#[test]
fn getint_what_a_mandatory_column_stops_is_a_dead_letter_that_names_it() {
    let mut world = incidents(json!({}));
    world.platform_edits("A", &[]);
    world.instance_refuses("close_notes");
    world.platform_edits("A", &[("title", "goes"), ("status", "resolved")]);
    assert_eq!(
        (world.column("A", "short_description").as_str(), world.column("A", "state").as_str()),
        ("goes", "1")
    );
    assert_eq!(world.rows("dead").len(), 1);
    let refused = world.findings(FindingKind::Refused);
    assert_eq!(refused[0].field.as_ref().unwrap().as_str(), "status", "{refused:?}");
}

#[test]
fn exalate_scales_of_unlike_length_stay_where_they_are() {
    let pairs = json!([{ "platform": "high", "external": ["1", "2"] }, { "platform": "low", "external": ["3", "4", "5"] }]);
    let mut world = incidents(
        json!({ "scale": { "kind": "choice", "column": "u_scale", "owner": "shared", "pairs": pairs } }),
    );
    world.platform_edits("A", &[("scale", "low")]);
    assert_eq!(world.column("A", "u_scale"), "3");
    world.pass(60_000);
    world.agent_edits("A", "u_scale", "5");
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(
        (world.field("A", "scale").as_str(), world.column("A", "u_scale").as_str()),
        ("low", "5")
    );
    world.pass(60_000);
    world.agent_edits("A", "u_scale", "2");
    assert_eq!(
        (world.field("A", "scale").as_str(), world.column("A", "u_scale").as_str()),
        ("high", "2")
    );
}

#[test]
fn demisto_24170_a_close_state_of_the_instances_own_closes() {
    let pairs = json!([{ "platform": "open", "external": ["1", "2", "3"] },
        { "platform": "resolved", "external": ["6"] }, { "platform": "closed", "external": ["7", "9"] }]);
    let mut world = incidents(json!({ "status": { "owner": "external", "pairs": pairs } }));
    world.platform_edits("A", &[]);
    world.agent_edits("A", "state", "9");
    assert_eq!(
        (world.field("A", "status").as_str(), world.column("A", "state").as_str()),
        ("closed", "9")
    );
}

#[test]
fn demisto_30599_a_resolution_code_tells_why_something_was_closed() {
    let reasons = json!([{ "platform": "duplicate", "external": ["Duplicate"] },
        { "platform": "solved", "external": ["Solution provided", "Workaround provided"] }, { "platform": "", "external": [""] }]);
    let mut world = incidents(json!({
        "status": { "owner": "external" },
        "reason": { "kind": "choice", "column": "close_code", "owner": "external", "pairs": reasons } }));
    world.platform_edits("A", &[("reason", "")]);
    world.agent_edits("A", "close_code", "Duplicate");
    world.agent_edits("A", "state", "7");
    assert_eq!(
        (world.field("A", "status").as_str(), world.field("A", "reason").as_str()),
        ("closed", "duplicate")
    );
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
    // Whatever shape a reference has, it brings nothing down and is never taken for somebody's name.
    for shape in [
        json!({ "display_value": "Ann Lee", "link": "https://example.service-now.com/api/now/table/sys_user/x" }),
        json!({ "display_value": "Ann Lee", "value": "no sys_id" }),
        json!({ "link": "https://example.service-now.com", "value": "" }),
        json!(["Ann Lee"]),
        json!(7),
    ] {
        world.webhook(
            json!({ "sys_id": ticket, "number": "INC1", "table": "incident", "action": "update",
            "current": { "assigned_to": shape, "sys_updated_on": "2026-04-29 15:00:01" } }),
        );
        assert_eq!(world.field("A", "assigned_to"), "", "{shape}");
    }
    // What the instance itself says stands.
    world.agent_edits("A", "assigned_to", "0000000000000000000000000000a001");
    assert_eq!(world.field("A", "assigned_to"), "ann@example.com");
}

#[test]
fn unito_an_assignment_is_a_reference_and_no_text() {
    let group = json!({ "kind": "reference", "column": "assignment_group", "owner": "platform", "table": "sys_user_group", "key": "name" });
    let mut world = incidents(json!({ "group": group }));
    world.platform_edits("A", &[("group", "Network")]);
    assert_eq!(world.column("A", "assignment_group"), "0000000000000000000000000000b001");
    // Two groups are called so: neither is taken by chance, and no name is written.
    world.platform_edits("A", &[("group", "Desk")]);
    assert_eq!(world.column("A", "assignment_group"), "0000000000000000000000000000b001");
    assert_eq!(world.findings(FindingKind::UnknownReference).len(), 1);
}
