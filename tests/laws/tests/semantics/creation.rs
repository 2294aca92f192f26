//! Tickets begin: made, mirrored, attached, taken apart, shared.

use super::*;

// ---- creation ----------------------------------------------------------------------------------

#[test]
fn creation_carries_every_field_the_platform_has_shown() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "Down"), ("severity", "high"), ("status", "open")]);
    assert_eq!(world.column("A", "short_description"), "Down");
    assert_eq!(
        (world.column("A", "impact"), world.column("A", "urgency")),
        ("2".into(), "1".into())
    );
    assert_eq!(world.column("A", "correlation_id"), "A");
    assert_eq!(world.tickets(), 1);
}

#[test]
fn creation_reads_the_rest_when_an_event_shows_only_a_part() {
    let mut world = plain();
    world.platform_edits_silently("A", &[("title", "Down"), ("description", "all")]);
    world.event(json!({ "id": "e-part", "type": "changed", "record": { "kind": "incident", "id": "A", "version": 1, "partial": true, "fields": { "title": "Down" } } }));
    assert_eq!(world.column("A", "description"), "all");
}

#[test]
fn creation_gives_constants_and_the_first_ticket_type_that_fits() {
    let mut world = incidents(json!({
        "tickets": [{ "table": "problem", "when": "record.title == 'Root'" }, { "table": "incident" }],
        "fields": { "contact": { "kind": "constant", "column": "contact_type", "value": "integration" } } }));
    world.platform_edits("A", &[("title", "Root")]);
    world.platform_edits("B", &[("title", "Leaf")]);
    assert!(world.column("A", "number").starts_with("PRB"));
    assert!(world.column("B", "number").starts_with("INC"));
    assert_eq!(world.column("A", "contact_type"), "integration");
}

#[test]
fn a_lost_answer_to_a_create_is_looked_up_and_never_sent_blindly() {
    let mut world = plain();
    world.lose_next_answer();
    world.platform_edits("A", &[]);
    assert_eq!(world.tickets(), 1);
    assert_eq!(world.link("A").external.unwrap().sys_id.as_str(), world.ticket_of("A"));
}

/// The ticket was found again, and what it was made of forgotten: an edit of the one side alone was a conflict.
#[test]
fn what_changed_on_one_side_while_a_create_was_looked_up_is_carried() {
    let mut world = incidents(json!({ "fields": { "title": { "owner": "shared" } } }));
    world.lose_next_answer();
    world.platform_edits_unsettled("A", &[("title", "Down"), ("description", "since noon")]);
    world.pass(400);
    assert_eq!(world.tickets(), 1, "it is there, and nobody knows");
    assert!(world.link("A").external.is_none());
    world.platform_edits("A", &[("title", "Down again")]);
    assert_eq!(world.column("A", "short_description"), "Down again");
    assert!(world.rows("conflict").is_empty() && world.link("A").made_of.is_empty());
    assert_eq!(world.tickets(), 1);
}

// ---- records that we did not make --------------------------------------------------------------

#[test]
fn tickets_of_others_are_not_mirrored_unless_a_filter_says_so() {
    let mut world = plain();
    world.agent_opens("incident", &[("short_description", "theirs")]);
    assert!(world.rows("link").is_empty());
    let mut world = incidents(
        json!({ "filters": { "mirror": "ticket.short_description.startswith('[ops]')" } }),
    );
    world.agent_opens("incident", &[("short_description", "theirs")]);
    assert!(world.rows("link").is_empty());
    world.agent_opens("incident", &[("short_description", "[ops] disk full"), ("state", "2")]);
    let record = world.rows("link")[0]["platform_id"].as_str().unwrap().to_owned();
    assert_eq!(world.field(&record, "title"), "[ops] disk full");
    assert_eq!(world.field(&record, "status"), "open");
    assert_eq!(world.posted()[0]["record"]["new"], true);
    assert_eq!(world.posted()[0]["record"]["ticket"]["table"], "incident");
    // From then on it is a pair like any other.
    world.platform_edits(&record, &[("title", "[ops] disk full on db1")]);
    assert_eq!(world.column(&record, "short_description"), "[ops] disk full on db1");
    assert_eq!(world.tickets(), 2);
}

#[test]
fn our_own_insert_heard_before_its_answer_is_joined() {
    let mut world = incidents(json!({ "filters": { "mirror": "true" } }));
    world.lose_next_answer();
    world.platform_edits("A", &[]);
    world.pass(60_000);
    world.settle();
    assert_eq!((world.tickets(), world.rows("link").len()), (1, 1));
}

/// A webhook that does not show the key says nothing of whose ticket it is: its row does. It was mirrored as a new record
/// when our insert came to be long after its answer was lost.
#[test]
fn our_own_insert_that_comes_late_and_hides_its_key_is_no_record_of_others() {
    for polling in [json!({}), json!({ "mode": "off" }), json!({ "pull_by": "created" })] {
        late_and_hidden(&polling);
    }
}

fn late_and_hidden(polling: &Json) {
    let mut world = incidents(json!({ "filters": { "mirror": "true" }, "polling": polling,
        "correlation": { "transaction_limit": 300_000 } }));
    world.deaf = true;
    world.lose_next_answer();
    world.platform_edits_unsettled("A", &[("title", "Down")]);
    world.pass(400);
    let ticket = world.newest_ticket();
    world.hide(&ticket);
    let number = world.column(&ticket, "number");
    let update = json!({ "number": number, "sys_id": ticket, "short_description": "Down",
        "state": "1", "updated_on": "2026-04-29 14:15:00" });
    world.webhook(update);
    world.pass(20_000);
    world.admin_shows_all();
    for _ in 0..10 {
        world.pass(60_000);
    }
    assert!(!world.has_record(&ticket), "{polling}: {:?}", world.rows("link"));
    assert_eq!(world.ticket_of("A"), ticket);
}

// ---- attach ------------------------------------------------------------------------------------

#[test]
fn attach_agreeing_fields_become_base_and_differing_ones_take_the_owners_value() {
    let mut world = incidents(json!({ "fields": { "description": { "owner": "external" } } }));
    let number = world.agent_opens(
        "incident",
        &[("short_description", "desk title"), ("description", "desk text")],
    );
    world.platform_edits_silently("A", &[("title", "our title"), ("description", "our text")]);
    assert_eq!(world.attach("A", &number).0, 202);
    assert_eq!(
        (world.column("A", "short_description").as_str(), world.field("A", "title").as_str()),
        ("our title", "our title")
    );
    assert_eq!(
        (world.column("A", "description").as_str(), world.field("A", "description").as_str()),
        ("desk text", "desk text")
    );
    assert!(whys(&world).contains(&Why::Attached));
    assert_eq!(world.tickets(), 1);
    // It has a ticket now.
    assert_eq!(world.attach("A", &number).0, 409);
}

#[test]
fn attach_shared_fields_take_the_one_that_is_not_empty_else_ask() {
    let mut world = incidents(
        json!({ "fields": { "title": { "owner": "shared" }, "description": { "owner": "shared" } } }),
    );
    let number = world
        .agent_opens("incident", &[("short_description", "desk"), ("description", "only here")]);
    world.platform_edits_silently("A", &[("title", "ours"), ("description", "")]);
    world.attach("A", &number);
    assert_eq!(world.field("A", "description"), "only here");
    assert_eq!(world.findings(FindingKind::Conflict).len(), 1);
    assert_eq!(
        (world.column("A", "short_description").as_str(), world.field("A", "title").as_str()),
        ("desk", "ours")
    );
}

#[test]
fn attach_to_a_number_that_is_not_there_says_so() {
    let mut world = plain();
    world.platform_edits_silently("A", &[("title", "t"), ("description", "")]);
    world.attach("A", "INC9999999");
    assert!(world.findings(FindingKind::RecordMissing)[0].text.contains("INC9999999"));
    assert_eq!(world.tickets(), 0);
}

// ---- unlink and re-link ------------------------------------------------------------------------

/// A write that closes a further ticket may still come: it would close the new pair's, and nobody would look for it.
#[test]
fn attach_waits_for_what_may_still_take_effect() {
    let mut world = incidents(json!({ "correlation": { "transaction_limit": 60_000 } }));
    world.platform_edits("A", &[]);
    let number = world.agent_opens("incident", &[]);
    let other = world.newest_ticket();
    world.unlink("A");
    let path = ["link", "int-1", world.link("A").id.as_str()].map(str::to_owned);
    let path = [path[0].as_str(), &path[1], &path[2]];
    let mut link = world.stored(&path);
    link["twins"] = json!([{ "table": "incident", "sys_id": other, "number": number,
        "changes": 0, "closing": world.now() }]);
    world.left(&path, &link);
    let (status, said) = world.attach("A", &number);
    assert_eq!(status, 409, "{said}");
    assert!(said["type"].to_string().contains("write-under-way"), "{said}");
    world.pass(60_000);
    let (status, said) = world.attach("A", &number);
    assert_eq!(status, 202, "{said}");
    assert_eq!(world.ticket_of("A"), other);
}

/// What the first ticket was made of says nothing of the second.
#[test]
fn attach_forgets_what_another_ticket_was_made_of() {
    let mut world = incidents(json!({ "fields": { "title": { "owner": "shared" } },
        "platform": { "callback_url": "https://platform.example/callback" },
        "correlation": { "transaction_limit": 300_000 } }));
    world.lose_next_answer();
    world.platform_edits_unsettled("A", &[("title", "Down")]);
    world.pass(400);
    let first = world.newest_ticket();
    world.hide(&first);
    world.unlink("A");
    world.admin_shows_all();
    world.pass(400_000);
    assert_eq!(world.link("A").external.unwrap().sys_id.as_str(), first);
    assert!(!world.link("A").made_of.is_empty(), "nobody has read it");
    world.platform_edits("A", &[("title", "Up again")]);
    world.agent_opens("incident", &[("short_description", "Down")]);
    let second = world.newest_ticket();
    world.operate(Operation::Attach {
        integration: integration(),
        record: firn_model::PlatformId::new("A").unwrap(),
        ticket: firn_model::TicketName::SysId(firn_model::SysId::new(second.clone()).unwrap()),
        table: None,
    });
    assert_eq!(world.ticket_of("A"), second);
    // Both say something else, and never agreed: a person decides.
    assert_eq!(world.column(&second, "short_description"), "Down");
    assert_eq!(world.rows("conflict").len(), 1);
}

#[test]
fn unlinked_records_stay_and_are_not_kept_in_step() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "one")]);
    let ticket = world.ticket_of("A");
    assert_eq!(world.unlink("A").0, 200);
    world.platform_edits("A", &[("title", "two")]);
    world.agent_edits(&ticket, "short_description", "three");
    world.agent_says(&ticket, "comments", "hello?");
    assert_eq!(
        (world.column(&ticket, "short_description").as_str(), world.field("A", "title").as_str()),
        ("three", "two")
    );
    assert!(world.mirrored_to_platform("A").is_empty());
    assert!(matches!(world.link("A").tombstone.unwrap().why, Ended::Unlinked { .. }));
}

#[test]
fn relinked_records_meet_anew_and_no_entry_is_doubled() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "one")]);
    world.platform_says("A", "said before", "public");
    let ticket = world.ticket_of("A");
    let number = world.column(&ticket, "number");
    world.unlink("A");
    world.agent_edits(&ticket, "short_description", "desk words");
    assert_eq!(world.attach("A", &number).0, 202);
    assert_eq!(world.column(&ticket, "short_description"), "one");
    assert_eq!(world.mirrored_to_servicenow(&ticket).len(), 1);
    assert!(world.mirrored_to_platform("A").is_empty());
    world.platform_edits("A", &[("title", "in step again")]);
    assert_eq!(world.column(&ticket, "short_description"), "in step again");
}

// ---- several on one ----------------------------------------------------------------------------

#[test]
fn several_on_one_the_first_carries_fields_the_others_journal_and_status() {
    let mut world = incidents(json!({ "fields": { "status": { "owner": "external" } } }));
    world.platform_edits("A", &[("title", "first")]);
    let number = world.column("A", "number");
    world.platform_edits_silently(
        "B",
        &[("title", "second"), ("description", ""), ("severity", "critical")],
    );
    world.attach("B", &number);
    assert_eq!((world.link("A").role, world.link("B").role), (Role::Primary, Role::Secondary));
    assert_eq!(world.findings(FindingKind::SharedTicket).len(), 1);
    // Fields: the first one's.
    world.platform_edits("B", &[("title", "second's words")]);
    assert_eq!(world.column(&number, "short_description"), "first");
    world.platform_edits("A", &[("title", "first's words")]);
    assert_eq!(world.column(&number, "short_description"), "first's words");
    assert_eq!(world.field("B", "title"), "second's words");
    // Status: to both.
    world.agent_edits(&number, "state", "6");
    assert_eq!(
        (world.field("A", "status").as_str(), world.field("B", "status").as_str()),
        ("resolved", "resolved")
    );
    // The desk's entries reach both; each one's entries reach the ticket once and not the other.
    world.agent_says(&number, "comments", "from the desk");
    world.platform_says("A", "from A", "public");
    world.platform_says("B", "from B", "public");
    assert_eq!(world.mirrored_to_servicenow(&number).len(), 2);
    for record in ["A", "B"] {
        assert_eq!(
            world.mirrored_to_platform(record),
            [("from the desk".to_owned(), "public".to_owned())],
            "{record}"
        );
    }
    // When the first leaves, the next speaks for the ticket.
    world.unlink("A");
    assert_eq!(world.link("B").role, Role::Primary);
    world.platform_edits("B", &[("title", "B speaks")]);
    assert_eq!(world.column(&number, "short_description"), "B speaks");
}
