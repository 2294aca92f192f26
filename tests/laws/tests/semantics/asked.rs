//! Escalations that meet something else than an open ticket, or no ticket at all: none is swallowed, and whoever asks is
//! told what became of it.

use firn_model::Hook;
use firn_model::rule::{Admission, Answer, Said};

use super::*;

fn genesys(closed: &str) -> Scenario {
    Scenario::new(json!({ "preset": "genesys", "correlation": { "closed": closed } }))
}

fn notes(world: &Scenario, ticket: &str) -> Vec<String> {
    world.mirrored_to_servicenow(ticket).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn a_ticket_that_was_refused_and_discarded_is_made_for_whoever_asks_anew() {
    let mut world = genesys("append");
    world.instance_refuses_creates();
    world.escalate(call("c1", "A"));
    assert_eq!(world.tickets(), 0);
    world.instance_behaves();
    // As long as somebody is to decide about the first one, it is that one's.
    let (status, answer) = world.escalate(call("c1", "B"));
    assert_eq!((status, &answer["status"]), (202, &json!("pending")));
    assert_eq!(world.tickets(), 0);
    let letter = world.rows("dead")[0]["id"].as_str().unwrap().to_owned();
    let integration = world.id();
    assert_eq!(world.operate(Operation::DiscardDead { integration, id: letter }).0, 200);
    let (status, answer) = world.escalate(call("c1", "C"));
    assert_eq!((status, &answer["status"]), (202, &json!("accepted")), "{answer}");
    assert_eq!(world.tickets(), 1);
    let said = notes(&world, "c1").join("|");
    assert!(
        ["A", "B", "C"].iter().all(|reason| said.contains(&format!("Cloud: {reason}"))),
        "{said}"
    );
}

#[test]
fn a_conversation_that_was_paired_with_no_ticket_gets_one_when_it_asks() {
    let mut world = genesys("append");
    world.attach("c1", "INC9999999");
    let (status, answer) = world.escalate(call("c1", "A"));
    assert_eq!((status, &answer["status"]), (202, &json!("accepted")), "{answer}");
    assert_eq!(world.tickets(), 1);
}

#[test]
fn what_nothing_comes_of_is_answered_as_such() {
    for closed in ["append", "reopen"] {
        let mut world = genesys(closed);
        world.escalate(call("c1", "A"));
        world.unlink("c1");
        for _ in 0..2 {
            let (status, answer) = world.escalate(call("c1", "B"));
            assert_eq!(status, 410, "{answer}");
            assert!(answer["type"].as_str().unwrap().ends_with("ticket-gone"), "{answer}");
            assert!(answer["number"].as_str().unwrap().starts_with("INC"), "{answer}");
        }
        assert_eq!(world.findings(FindingKind::RecordGone).len(), 1);
        // Before it ever had a ticket.
        world.no_room(1_000_000);
        world.escalate(call("c2", "A"));
        world.unlink("c2");
        world.no_room(0);
        assert_eq!(world.escalate(call("c2", "A")).0, 410);
        assert_eq!(world.tickets(), 1);
    }
}

#[test]
fn a_canceled_ticket_is_not_open() {
    for (closed, tickets) in [("append", 1), ("new", 2), ("reopen", 2)] {
        let mut world = genesys(closed);
        world.escalate(call("c1", "A"));
        world.agent_edits("c1", "state", "8");
        world.escalate(call("c1", "B"));
        assert_eq!(world.tickets(), tickets, "{closed}");
    }
}

#[test]
fn a_closed_ticket_that_is_found_by_its_key_takes_no_wish_unless_the_policy_says_so() {
    for (closed, tickets) in [("append", 1), ("new", 2), ("reopen", 2)] {
        let mut world = genesys(closed);
        let before = world.agent_opens("incident", &[("correlation_id", "c1"), ("state", "7")]);
        world.escalate(call("c1", "A"));
        assert_eq!(world.tickets(), tickets, "{closed}");
        assert_eq!(notes(&world, &before).len(), 2 - tickets, "{closed}");
        let key = world.column(&world.ticket_of("c1"), "correlation_id");
        assert_eq!(key, if tickets == 2 { "c1~2" } else { "c1" });
        // The next one follows it.
        world.agent_edits(&world.ticket_of("c1"), "state", "7");
        world.escalate(call("c1", "B"));
        assert_eq!(world.tickets(), tickets * 2 - 1, "{closed}");
    }
}

#[test]
fn what_is_said_when_asking_once_more_is_in_the_ticket_and_kept() {
    let mut world = Scenario::new(json!({ "preset": "bot" }));
    let ask = |question: &str| json!({ "session_id": "s1", "question": question, "escalation_reason": "low confidence" });
    world.escalate(ask("Why is it slow?"));
    let (status, _) = world.escalate(ask("And now my mail is broken, call +1 415 555 0132"));
    assert_eq!(status, 200);
    let said = notes(&world, "s1");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[1].contains("my mail is broken") && !said[1].contains("555 0132"), "{said:?}");
    assert_eq!(world.rows("delivery").iter().filter(|d| d["kind"] == "escalation").count(), 2);
    // Said once more in other words of the sender's own: the same.
    let mut again = ask("Why is it slow?");
    again["sent_at"] = json!("later");
    world.escalate(again);
    assert_eq!(notes(&world, "s1").len(), 2);
}

#[test]
fn what_is_said_before_the_escalation_arrives_waits_for_it() {
    let mut world = Scenario::new(json!({ "preset": "bot" }));
    let said = |id: &str, text: &str| {
        json!({ "id": id, "type": "comment", "record": { "id": "s1" },
            "comment": { "id": format!("m-{id}"), "author": "ann", "text": text, "visibility": "public" } })
    };
    world.event_unsettled(said("e1", "it is urgent"));
    world.escalate(json!({ "session_id": "s1", "question": "q", "escalation_reason": "r" }));
    world.pass(2_000);
    assert!(notes(&world, "s1").iter().any(|text| text.contains("it is urgent")));
    // Of a conversation that nobody escalates it is forgotten.
    let mut alone = said("e2", "hello");
    alone["record"]["id"] = json!("s2");
    world.event(alone);
    world.pass(60_000);
    assert!(!world.is_linked("s2"));
}

#[test]
fn one_that_is_declined_later_takes_over_from_nobody() {
    let mut world = genesys("new");
    world.escalate(call("c-1", "NO_ANSWER"));
    let ticket = world.newest_ticket();
    world.agent_edits(&ticket, "state", "7");
    let asked = std::rc::Rc::new(std::cell::Cell::new(0));
    let count = std::rc::Rc::clone(&asked);
    world.rules(1, &[Hook::Admit], move |_| {
        count.set(count.get() + 1);
        match count.get() {
            1 => Answer::Later(firn_model::Millis(1_777_472_005_000)),
            _ => Answer::Said(Said::Admit(Admission::No("a test".to_owned()))),
        }
    });
    world.escalate(call("c-1", "IVR_TIMEOUT_EXCEEDED"));
    world.pass(120_000);
    assert!(asked.get() > 1);
    let links: Vec<firn_model::Link> =
        world.rows("link").into_iter().map(|row| serde_json::from_value(row).unwrap()).collect();
    assert!(links.iter().all(|link| link.successor.is_none()), "{links:?}");
    assert_eq!(world.tickets(), 1);
}

#[test]
fn a_ticket_that_two_conversations_share_is_opened_again_by_the_one_that_speaks_for_it() {
    let mut world = genesys("reopen");
    world.escalate(call("c1", "A"));
    let number = world.column("c1", "number");
    world.attach("c2", &number);
    world.agent_edits(&number, "state", "6");
    let (_, answer) = world.escalate(call("c2", "again"));
    assert_eq!(answer["status"], "reopened");
    assert!(["1", "2"].contains(&world.column(&number, "state").as_str()));
}

#[test]
fn what_nobody_could_read_is_kept_as_long_as_what_could_be_read() {
    let mut world = genesys("append");
    let (status, answer) = world.escalate(json!({ "callId": "", "escalationReason": "x" }));
    assert_eq!(status, 422, "{answer}");
    assert_eq!(world.rows("quarantine").len(), 1);
    world.pass(8 * 24 * 3_600_000);
    assert!(world.rows("quarantine").is_empty());
}

#[test]
fn an_event_about_a_comment_deletes_no_record() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    for (n, kind) in ["comment.deleted", "attachment.deleted", "note.deleted"].iter().enumerate() {
        world.event(json!({ "id": format!("d{n}"), "type": kind, "record": { "kind": "incident", "id": "A" } }));
        assert!(world.link("A").tombstone.is_none(), "{kind}");
    }
    world.event(json!({ "id": "d9", "type": "incident.deleted", "record": { "kind": "incident", "id": "A" } }));
    assert!(world.link("A").tombstone.is_some());
}
