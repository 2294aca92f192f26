//! Several workers, and several processes on one store: what is told twice is done once, and what somebody else has
//! done in between is not undone.

use firn_core::identity;

use super::*;

fn deliveries(world: &Scenario) -> Vec<Json> {
    world.rows("delivery")
}

fn event(id: &str, title: &str) -> Json {
    json!({ "id": id, "type": "changed", "occurred_at": "2026-04-29T14:13:20Z",
        "record": { "kind": "incident", "id": "A", "version": 9, "partial": true, "fields": { "title": title } } })
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
    let link = world.link("A");
    world.unlink("A");
    let mut blank = world.stored(&["link", "int-1", link.id.as_str()]);
    let name = firn_model::Link::forgotten_name(&link.id);
    (blank["platform_id"], blank["key"]) = (json!(name), json!(name));
    (blank["fields"], blank["entries"]) = (json!({}), json!([]));
    world.left(&["link", "int-1", link.id.as_str()], &blank);
    world.settle();
    let before = deliveries(&world).len();
    let mut late = event("late", "said by somebody");
    late["comment"] = json!({ "id": "c-late", "author": "carol", "text": "said by somebody", "visibility": "public" });
    world.event(late);
    let link = world.stored(&["link", "int-1", link.id.as_str()]);
    assert!(!link.to_string().contains("said by somebody"), "{link}");
    assert_eq!(deliveries(&world).len(), before, "nor as it came");
}
