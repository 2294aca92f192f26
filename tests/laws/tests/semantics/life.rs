//! Tickets end, hide and change class; escalations of tickets that are closed; platforms that cannot be read.

use super::*;

// ---- gone, re-classed, hidden ------------------------------------------------------------------

#[test]
fn gone_needs_a_proof_and_nothing_is_created_again() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    world.admin_deletes("A");
    world.platform_edits("A", &[("title", "after")]);
    assert_eq!(world.link("A").tombstone.unwrap().why, Ended::Gone(firn_model::Side::External));
    assert_eq!(world.findings(FindingKind::RecordGone).len(), 1);
    assert_eq!(world.findings(FindingKind::UnseenEdit).len(), 1, "the edit had nowhere to go");
    world.platform_says("A", "anybody there?", "public");
    assert_eq!(world.tickets(), 0, "nothing is created again");
    assert!(world.link("A").entries.iter().all(|e| matches!(e.mirror, Mirror::Withheld(_))));
    assert_eq!(world.field("A", "status"), "open", "the other side is kept");
    world.platform_edits("A", &[("status", "resolved")]);
    let unseen = world.findings(FindingKind::UnseenEdit);
    let of_status =
        unseen.iter().filter(|f| f.field.as_ref().is_some_and(|n| n.as_str() == "status"));
    assert_eq!(of_status.count(), 1, "of the status too");
    assert_eq!(world.field("A", "status"), "resolved");
}

#[test]
fn gone_may_close_the_other_side() {
    let mut world = incidents(json!({ "lifecycle": { "gone": "close" } }));
    world.platform_edits("A", &[]);
    world.admin_deletes("A");
    world.platform_edits("A", &[("title", "after")]);
    assert_eq!(world.field("A", "status"), "closed");
    assert!(whys(&world).contains(&Why::OtherGone));
}

/// The ticket was found when its record was gone already: how it stands was never seen, and it stayed open.
#[test]
fn gone_may_close_a_ticket_that_is_found_after() {
    let mut world = incidents(json!({ "lifecycle": { "gone": "close" },
        "correlation": { "transaction_limit": 300_000 } }));
    world.lose_next_answer();
    world.platform_edits_unsettled("A", &[("title", "Down")]);
    world.pass(400);
    let ticket = world.newest_ticket();
    world.hide(&ticket);
    world.platform_deletes("A", 410, true);
    world.admin_shows_all();
    world.pass(400_000);
    assert!(world.link("A").tombstone.is_some());
    assert_eq!(world.column(&ticket, "state"), "7");
}

#[test]
fn a_lone_404_proves_nothing() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    let ticket = world.ticket_of("A");
    world.deletions_hidden();
    world.admin_deletes(&ticket);
    world.platform_edits("A", &[("title", "after")]);
    assert!(world.link("A").tombstone.is_none());
    assert!(world.findings(FindingKind::RecordMissing)[0].text.contains("nothing proves"));
}

#[test]
fn a_ticket_hidden_by_rights_is_told_apart_and_comes_back() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "one")]);
    let ticket = world.ticket_of("A");
    world.admin_hides(&ticket);
    world.platform_edits("A", &[("title", "two")]);
    assert!(world.findings(FindingKind::RecordMissing)[0].text.contains("may not read it"));
    world.admin_shows_all();
    world.agent_edits(&ticket, "description", "seen again");
    assert_eq!(world.column(&ticket, "short_description"), "two");
}

#[test]
fn a_platforms_record_is_gone_by_its_event_or_410_but_not_by_404() {
    let mut world = plain();
    for (record, status, told, gone) in
        [("A", 404, true, true), ("B", 410, false, true), ("C", 404, false, false)]
    {
        world.platform_edits(record, &[]);
        let ticket = world.ticket_of(record);
        world.platform_deletes(record, status, told);
        world.agent_says(&ticket, "comments", "still there?");
        assert_eq!(world.link(record).tombstone.is_some(), gone, "{record}");
    }
    assert_eq!(world.tickets(), 3, "tickets are never deleted");
}

#[test]
fn a_reclassed_ticket_is_followed() {
    for told in [true, false] {
        let mut world = incidents(
            json!({ "tickets": [{ "table": "incident" }, { "table": "problem" }],
            "fields": { "status": { "types": { "problem": { "pairs": [
                { "platform": "open", "external": ["1", "101"] }, { "platform": "mitigated", "external": ["103"] },
                { "platform": "resolved", "external": ["106"] }, { "platform": "closed", "external": ["107"] } ] } } } } }),
        );
        world.platform_edits("A", &[]);
        let ticket = world.ticket_of("A");
        world.deaf = !told;
        world.admin_reclasses(&ticket, "problem");
        world.deaf = false;
        world.platform_edits("A", &[("title", "as a problem")]);
        assert_eq!(world.column(&ticket, "short_description"), "as a problem", "{told}");
        assert_eq!(world.link("A").table.as_str(), "problem");
        assert_eq!(world.findings(FindingKind::Reclassed).len(), 1);
        world.platform_edits("A", &[("status", "resolved")]);
        assert_eq!(world.column(&ticket, "state"), "106", "mapped as a problem's");
    }
}

#[test]
fn a_ticket_reclassed_to_an_unnamed_type_keeps_its_journal() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    let ticket = world.ticket_of("A");
    world.admin_reclasses(&ticket, "change_request");
    world.platform_edits("A", &[("title", "not carried")]);
    assert_eq!(world.column(&ticket, "short_description"), "t");
    assert!(world.findings(FindingKind::Reclassed)[0].text.contains("[[tickets]]"));
    world.platform_says("A", "still said", "public");
    assert_eq!(world.mirrored_to_servicenow(&ticket).len(), 1);
}

// ---- push-only ---------------------------------------------------------------------------------

#[test]
fn a_push_only_platform_acknowledges_exactly_what_was_sent() {
    let mut world = Scenario::new(
        json!({ "preset": "incidents", "platform": { "callback_url": "https://platform.example/callback" } }),
    );
    world.platform_edits("A", &[]);
    world.agent_edits("A", "assigned_to", "0000000000000000000000000000a001");
    assert_eq!(world.field("A", "assigned_to"), "ann@example.com");
    let run = world.reconcile(RunMode::DryRun);
    assert_eq!((&run["drifted"], &run["state"]), (&json!(0), &json!("finished")));
    world.platform_edits_silently("A", &[("title", "nobody can see this")]);
    let run = world.reconcile(RunMode::AutoHeal);
    assert_eq!(run["drifted"], 0);
    assert_ne!(world.column("A", "short_description"), "nobody can see this");
}

// ---- escalation --------------------------------------------------------------------------------

#[test]
fn an_escalation_of_an_open_ticket_answers_it_and_keeps_new_evidence() {
    let mut world = Scenario::new(json!({ "preset": "genesys" }));
    assert_eq!(world.escalate(call("c1", "IVR_TIMEOUT")).0, 202);
    let (status, answer) = world.escalate(call("c1", "IVR_TIMEOUT"));
    assert_eq!((status, &answer["status"]), (200, &json!("existing")));
    assert_eq!(world.mirrored_to_servicenow("c1").len(), 1, "the same again is no news");
    world.escalate(call("c1", "CALLER_ASKED"));
    assert_eq!(world.mirrored_to_servicenow("c1").len(), 2);
    assert_eq!(world.tickets(), 1);
}

/// A ticket that was there got no evidence, whether any stood there or not: one of our own making, too, that took
/// effect when we had given it up.
#[test]
fn a_ticket_that_was_there_gets_the_evidence_that_it_does_not_have() {
    let mut world = Scenario::new(json!({ "preset": "genesys" }));
    world.agent_opens("incident", &[("correlation_id", "c1")]);
    world.escalate(call("c1", "IVR_TIMEOUT"));
    assert_eq!(world.tickets(), 1);
    let evidence = world.mirrored_to_servicenow("c1");
    assert_eq!(evidence.len(), 1, "{evidence:?}");
    // Whoever made this one has written it.
    let number = world.agent_opens("incident", &[("correlation_id", "c2")]);
    world.our_user_notes(&number, &evidence[0].1);
    world.escalate(call("c2", "IVR_TIMEOUT"));
    assert_eq!(world.ticket_of("c2"), world.newest_ticket());
    assert_eq!(world.mirrored_to_servicenow("c2"), evidence);
    world.escalate(call("c2", "CALLER_ASKED"));
    assert_eq!(world.mirrored_to_servicenow("c2").len(), 2);
}

/// A person opened a ticket while ServiceNow could not be reached, and paired the conversation with it.
#[test]
fn evidence_that_no_ticket_got_reaches_the_one_that_a_person_pairs() {
    let mut world = Scenario::new(json!({ "preset": "genesys" }));
    world.no_room(1_000_000);
    world.escalate(call("c1", "IVR_TIMEOUT"));
    let number = world.agent_opens("incident", &[("short_description", "by hand")]);
    assert_eq!(world.unlink("c1").0, 200);
    world.no_room(0);
    assert!(world.attach("c1", &number).0 < 300);
    assert_eq!(
        world.tickets(),
        1,
        "a create that had not left is not sent for a pair that is apart"
    );
    assert_eq!(world.column("c1", "number"), number);
    assert_eq!(world.mirrored_to_servicenow(&number).len(), 1);
}

/// The store has lost that it was asked for; the ticket's journal has not.
#[test]
fn evidence_of_a_time_that_is_lost_is_not_written_once_more() {
    let mut world = Scenario::new(json!({ "preset": "genesys" }));
    world.escalate(call("c1", "one"));
    let backup = world.back_up();
    world.escalate(call("c1", "two"));
    assert_eq!(world.mirrored_to_servicenow("c1").len(), 2);
    world.restore(&backup);
    world.pass(1_800_000);
    world.escalate(call("c1", "two"));
    assert_eq!(world.mirrored_to_servicenow("c1").len(), 2);
    world.escalate(call("c1", "three"));
    assert_eq!(world.mirrored_to_servicenow("c1").len(), 3);
}

#[test]
fn a_closed_ticket_follows_the_policy_append() {
    let mut world =
        Scenario::new(json!({ "preset": "genesys", "correlation": { "closed": "append" } }));
    world.escalate(call("c1", "one"));
    world.agent_edits("c1", "state", "7");
    let (status, answer) = world.escalate(call("c1", "two"));
    assert_eq!((status, &answer["status"]), (200, &json!("existing")));
    assert_eq!((world.tickets(), world.column("c1", "state").as_str()), (1, "7"));
    assert_eq!(world.mirrored_to_servicenow("c1").len(), 2);
}

#[test]
fn a_closed_ticket_follows_the_policy_reopen() {
    let mut world =
        Scenario::new(json!({ "preset": "genesys", "correlation": { "closed": "reopen" } }));
    world.escalate(call("c1", "one"));
    world.agent_edits("c1", "state", "6");
    let (status, answer) = world.escalate(call("c1", "two"));
    assert_eq!((status, &answer["status"]), (200, &json!("reopened")));
    assert_eq!((world.tickets(), world.column("c1", "state").as_str()), (1, "1"));
    assert!(whys(&world).contains(&Why::Reopened));
    // A closed one cannot be opened again: another takes its place.
    world.agent_edits("c1", "state", "7");
    assert_eq!(world.escalate(call("c1", "three")).0, 202);
    assert_eq!(world.tickets(), 2);
    assert_eq!(world.column("c1", "correlation_id"), "c1~2");
}

#[test]
fn a_closed_ticket_follows_the_policy_new() {
    let mut world =
        Scenario::new(json!({ "preset": "genesys", "correlation": { "closed": "new" } }));
    world.escalate(call("c1", "one"));
    let first = world.ticket_of("c1");
    world.agent_edits("c1", "state", "7");
    assert_eq!(world.escalate(call("c1", "two")).0, 202);
    assert_ne!(world.ticket_of("c1"), first);
    assert_eq!(world.column("c1", "correlation_id"), "c1~2");
    // The requests of both generations are known: a retry of either makes nothing new.
    for reason in ["one", "two"] {
        assert_eq!(world.escalate(call("c1", reason)).0, 200);
    }
    world.agent_edits("c1", "state", "6");
    assert_eq!(world.escalate(call("c1", "one")).0, 200, "an old request again, closed or not");
    assert_eq!(world.tickets(), 2);
    world.escalate(call("c1", "three"));
    assert_eq!(world.column("c1", "correlation_id"), "c1~3");
    // The older tickets no longer speak for the record.
    world.agent_edits(&first, "short_description", "old ticket");
    assert_eq!(world.tickets(), 3);
}

#[test]
fn a_filter_is_answered_and_noted() {
    let mut world = Scenario::new(json!({ "preset": "genesys",
        "filters": { "escalations": "payload.escalationReason in ['IVR_TIMEOUT_EXCEEDED'] and payload.disposition != 'TEST'" } }));
    let (status, answer) = world.escalate(call("c1", "WRAP_UP"));
    assert_eq!((status, &answer["status"]), (200, &json!("filtered")));
    assert!(world.audit().iter().any(|line| line.event == "filtered"));
    let mut test = call("c1", "IVR_TIMEOUT_EXCEEDED");
    test["disposition"] = json!("TEST");
    assert_eq!(world.escalate(test).1["status"], "filtered");
    assert_eq!(world.escalate(call("c1", "IVR_TIMEOUT_EXCEEDED")).0, 202);
    let mut events = incidents(
        json!({ "filters": { "events": "payload.type != 'noise'", "webhooks": "payload.action != 'noise'" } }),
    );
    events.event(
        json!({ "id": "e1", "type": "noise", "record": { "id": "A", "fields": { "title": "x" } } }),
    );
    assert!(!events.is_linked("A"));
    let (status, answer) =
        events.webhook(json!({ "sys_id": "a1b2c3d4e5f60718293a4b5c6d7e8f90", "action": "noise" }));
    assert_eq!((status, &answer["status"]), (200, &json!("filtered")));
}
