//! Several workers, and several processes on one store: what is told twice is done once, and what somebody else has
//! done in between is not undone.

use firn_core::identity;
use firn_model::{Comment, EntryOrigin, JournalText};

use super::*;

fn deliveries(world: &Scenario) -> Vec<Json> {
    world.rows("delivery")
}

fn event(id: &str, title: &str) -> Json {
    json!({ "id": id, "type": "changed", "occurred_at": "2026-04-29T14:13:20Z",
        "record": { "kind": "incident", "id": "A", "version": 9, "partial": true, "fields": { "title": title } } })
}

/// What is left of a link when its record was forgotten.
fn forgotten(world: &mut Scenario, record: &str) -> firn_model::Link {
    let link = world.link(record);
    world.unlink(record);
    let mut blank = world.stored(&["link", "int-1", link.id.as_str()]);
    let name = firn_model::Link::forgotten_name(&link.id);
    (blank["platform_id"], blank["key"]) = (json!(name), json!(name));
    (blank["fields"], blank["entries"]) = (json!({}), json!([]));
    world.left(&["link", "int-1", link.id.as_str()], &blank);
    world.settle();
    link
}

/// Whoever was second took what was done by then for what had lain there for a week, and forgot that it had come.
#[test]
fn what_is_due_twice_at_once_is_done_once() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "t")]);
    world.event(event("e-9", "once"));
    let known = deliveries(&world);
    assert!(!known.is_empty());
    for delivery in &known {
        let name = identity::short(&["delivery", delivery["identity"].as_str().unwrap()]);
        assert_eq!(&world.stored(&["delivery", "int-1", &name]), delivery, "it is that row");
        world.due(&["delivery", "int-1", &name]);
    }
    assert_eq!(deliveries(&world), known, "it is known still");
    let writes = world.writes();
    world.event(event("e-9", "once"));
    assert_eq!((deliveries(&world), world.writes()), (known, writes), "it is no news");
}

/// The index had been read before the ticket's own answer entered it there.
#[test]
fn a_webhook_that_comes_while_its_ticket_is_entered_is_heard() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "t")]);
    let ticket = world.ticket_of("A");
    world.lose(&["external", "int-1", &ticket]);
    world.agent_edits(&ticket, "assigned_to", "0000000000000000000000000000a001");
    assert_eq!(world.field("A", "assigned_to"), "ann@example.com");
}

/// What came in about somebody who was forgotten was filled into what was left of their link.
#[test]
fn what_comes_in_about_a_record_that_was_forgotten_is_not_kept() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "t")]);
    let link = forgotten(&mut world, "A");
    let before = deliveries(&world).len();
    let mut late = event("late", "said by somebody");
    late["comment"] = json!({ "id": "c-late", "author": "carol", "text": "said by somebody", "visibility": "public" });
    world.event(late);
    let link = world.stored(&["link", "int-1", link.id.as_str()]);
    assert!(!link.to_string().contains("said by somebody"), "{link}");
    assert_eq!(deliveries(&world).len(), before, "nor as it came");
}

/// Each saw the other at rest, both wrote, and one of two comments that say the same was taken for an agent's.
#[test]
fn of_two_links_on_one_ticket_that_begin_to_write_at_once_one_waits() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "t")]);
    let ticket = world.ticket_of("A");
    world.platform_edits_silently("B", &[]);
    world.attach("B", &world.column("A", "number"));
    for record in ["A", "B"] {
        world.platform_says(record, &format!("hello from {record}"), "public");
    }
    let mut rows = Vec::new();
    for record in ["A", "B"] {
        let mut link = world.link(record);
        let mut entry = link.entries.last().unwrap().clone();
        entry.origin = EntryOrigin::Platform(format!("c-{record}"));
        entry.text = JournalText::Comment(Comment("ok".to_owned()));
        entry.mirror = Mirror::Pending;
        link.entries.push(entry);
        let id = link.id.to_string();
        world.left(&["link", "int-1", &id], &serde_json::to_value(&link).unwrap());
        rows.push(id);
    }
    world.due_in_two(&["link", "int-1", &rows[0]], &["link", "int-1", &rows[1]]);
    let writes = |record| world.link(record).external_side.flight.is_some();
    assert_eq!((writes("A"), writes("B")), (false, true), "the other was first");
    world.settle();
    let said = world.mirrored_to_servicenow(&ticket);
    assert_eq!(said.iter().filter(|(_, text)| text == "ok").count(), 2, "{said:?}");
    assert_eq!(world.mirrored_to_platform("A"), [], "nothing of ours comes back");
    assert_eq!(world.mirrored_to_platform("B"), []);
    assert_eq!(world.findings(FindingKind::OverwrittenUnseen).len(), 0);
}

/// It kept the name of one who was forgotten, so that nothing that came in was ever put into it.
#[test]
fn a_record_that_was_forgotten_can_be_paired_anew() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "t")]);
    forgotten(&mut world, "A");
    let ticket = world.agent_opens("incident", &[("short_description", "called again")]);
    assert_eq!(world.attach("A", &world.column(&ticket, "number")).0, 202);
    world.platform_edits("A", &[("title", "now")]);
    assert_eq!(world.link("A").external.unwrap().number, Some(world.column(&ticket, "number")));
    assert_eq!(world.column(&ticket, "short_description"), "now");
    assert!(world.findings(FindingKind::Unreachable).is_empty());
}

/// Two that one filter leaves out at the same moment had one line in the audit between them.
#[test]
fn each_that_is_filtered_has_its_line() {
    let mut world = Scenario::new(json!({ "preset": "genesys",
        "filters": { "escalations": "payload.escalationReason != 'WRAP_UP'" } }));
    for call in ["c-1", "c-2"] {
        world.escalate_unsettled(json!({ "callId": call, "escalationReason": "WRAP_UP" }));
    }
    let audit = world.audit();
    let lines: Vec<_> = audit.iter().filter(|line| line.event == "filtered").collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0].at, lines[1].at, "at the same moment");
}
