//! Pairs that are taken apart and put together again: nothing is made for one that is apart, nothing that was said is
//! lost, and nothing gets to whom it does not concern.

use super::*;

#[test]
fn nothing_that_has_not_left_is_sent_for_a_pair_that_is_apart_or_whose_record_is_gone() {
    let mut world = plain();
    world.no_room(1_000_000);
    world.platform_edits("A", &[("title", "t")]);
    world.unlink("A");
    world.platform_edits("B", &[("title", "t")]);
    world.platform_deletes("B", 410, true);
    world.no_room(0);
    world.pass(600_000);
    assert_eq!(world.tickets(), 0);
    // A comment that waits is not written either.
    world.platform_edits("C", &[("title", "t")]);
    world.no_room(1_000_000);
    world.platform_says("C", "late words", "public");
    world.unlink("C");
    world.no_room(0);
    world.pass(600_000);
    assert!(world.mirrored_to_servicenow(&world.newest_ticket()).is_empty());
}

#[test]
fn what_was_said_while_a_pair_was_apart_travels_when_it_is_paired_again() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "t")]);
    let number = world.column("A", "number");
    world.unlink("A");
    world.platform_says("A", "while apart", "public");
    world.agent_says(&number, "comments", "of the desk");
    assert!(world.mirrored_to_servicenow(&number).is_empty());
    world.attach("A", &number);
    assert_eq!(world.mirrored_to_servicenow(&number).len(), 1);
    assert_eq!(world.mirrored_to_platform("A").len(), 1);
    // To another ticket goes what the platform said, and not what was said in the one before.
    world.unlink("A");
    world.platform_says("A", "once more", "public");
    world.agent_says(&number, "comments", "in the old one");
    let other = world.agent_opens("incident", &[("short_description", "another")]);
    world.attach("A", &other);
    let there = world.mirrored_to_servicenow(&other);
    assert!(there.iter().any(|(_, text)| text.contains("once more")), "{there:?}");
    assert_eq!(world.mirrored_to_platform("A").len(), 1);
}

#[test]
fn a_platform_that_cannot_be_read_keeps_its_words_when_it_is_paired_anew() {
    let mut world = Scenario::new(json!({ "preset": "incidents",
        "fields": { "description": { "owner": "shared" } },
        "platform": { "callback_url": "https://platform.example/callback" } }));
    world.platform_edits("A", &[("title", "ours"), ("description", "same"), ("status", "open")]);
    world.unlink("A");
    let other = world.agent_opens(
        "incident",
        &[("short_description", "desk"), ("description", "of the desk"), ("state", "2")],
    );
    world.attach("A", &other);
    assert_eq!(world.column(&other, "short_description"), "ours", "the owner's value");
    assert_eq!(world.column(&other, "description"), "of the desk");
    assert_eq!(world.field("A", "description"), "same", "a person decides");
    assert_eq!(world.findings(FindingKind::Conflict).len(), 1);
}

#[test]
fn entries_from_before_it_was_paired_anew_stay_where_they_are_without_back_fill() {
    let mut world = incidents(json!({ "journal": { "backfill": "none" } }));
    world.platform_edits("A", &[("title", "t")]);
    world.pass(3_600_000);
    let other = world.agent_opens("incident", &[("short_description", "somebody else's")]);
    world.agent_says(&other, "comments", "nothing for A");
    world.pass(3_600_000);
    world.unlink("A");
    world.attach("A", &other);
    assert!(world.mirrored_to_platform("A").is_empty());
}

#[test]
fn a_number_that_is_no_ticket_leaves_a_pair_apart_as_it_was() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "t")]);
    let number = world.column("A", "number");
    world.unlink("A");
    world.agent_says(&number, "comments", "while apart");
    world.attach("A", "INC9999999");
    assert_eq!(world.findings(FindingKind::RecordMissing).len(), 1);
    // Its old ticket has its key, and is not what was asked for.
    world.platform_edits("A", &[("title", "changed")]);
    assert_eq!(world.column(&number, "short_description"), "t");
    assert_eq!((world.tickets(), world.rows("link").len()), (1, 1));
    assert!(world.link("A").tombstone.is_some());
    let link = world.link("A").id;
    let resync = Operation::Resync { integration: world.id(), link };
    assert_eq!(world.operate(resync).0, 409, "nothing is read for it");
    // What it knows of the ticket is not lost: this is the same one again.
    world.attach("A", &number);
    assert_eq!(world.column(&number, "short_description"), "changed");
    assert_eq!(world.mirrored_to_platform("A").len(), 1);
}

#[test]
fn what_a_pair_that_is_apart_waited_for_is_over() {
    let mut world = incidents(json!({ "fields": { "title": {
        "owner": "shared", "strategy": "manual-review" } } }));
    let conflict = |world: &mut Scenario| {
        world.platform_edits_unsettled("A", &[("title", "ours")]);
        world.agent_edits("A", "short_description", "theirs");
        let open = world.rows("conflict").into_iter().find(|row| row["state"] == "open").unwrap();
        ConflictId::new(open["id"].as_str().unwrap()).unwrap()
    };
    world.platform_edits("A", &[("title", "t")]);
    let number = world.column("A", "number");
    let id = conflict(&mut world);
    world.unlink("A");
    assert!(world.rows("conflict").iter().all(|row| row["state"] != "open"));
    let (integration, resolution) = (world.id(), Resolution::UsePlatform);
    let resolve = Operation::Resolve { integration, conflict: id, resolution };
    assert_eq!(world.operate(resolve).0, 409);
    world.attach("A", &number);
    assert_eq!(world.rows("conflict").iter().filter(|row| row["state"] == "open").count(), 1);
    // What was refused for it is not written, and does not count as retried.
    let mut world = plain();
    world.platform_edits("A", &[("title", "t")]);
    world.instance_refuses("description");
    world.platform_edits("A", &[("description", "refused there")]);
    let letter = world.rows("dead")[0]["id"].as_str().unwrap().to_owned();
    world.unlink("A");
    let retry = Operation::RetryDead { integration: world.id(), id: letter };
    assert_eq!(world.operate(retry).0, 409);
    let (integration, filter) = (world.id(), firn_model::DeadFilter::default());
    let all = world.operate(Operation::RetryAllDead { integration, filter });
    assert_eq!((&all.1["ids"], &all.1["left"]), (&json!([]), &json!(0)));
    assert_eq!(world.rows("dead")[0]["state"], "waiting");
}

#[test]
fn a_record_that_was_paired_with_no_ticket_makes_one_when_it_changes() {
    let mut world = plain();
    world.platform_edits_silently("A", &[("title", "t"), ("description", "")]);
    world.attach("A", "INC9999999");
    assert_eq!(world.tickets(), 0);
    world.platform_edits("A", &[("title", "changed")]);
    assert_eq!(world.tickets(), 1);
    assert_eq!(world.column("A", "short_description"), "changed");
}

#[test]
fn a_ticket_of_a_class_that_nobody_named_is_told_of_when_it_is_paired() {
    let mut world = plain();
    let number = world.agent_opens("change_request", &[("short_description", "a change")]);
    world.platform_edits_silently("A", &[("title", "t"), ("description", "")]);
    world.attach("A", &number);
    let told = world.findings(FindingKind::Reclassed);
    assert!(told.len() == 1 && told[0].text.contains("[[tickets]]"), "{told:?}");
}

#[test]
fn a_copy_of_a_ticket_is_told_of() {
    let mut world = incidents(json!({ "filters": { "mirror": "true" } }));
    world.platform_edits("A", &[("title", "t")]);
    world.agent_opens("incident", &[("correlation_id", "A"), ("short_description", "a copy")]);
    assert_eq!(world.findings(FindingKind::DuplicateTicket).len(), 1);
    assert_eq!(world.rows("link").len(), 1);
}

#[test]
fn a_field_that_is_mapped_to_another_column_meets_it_as_if_for_the_first_time() {
    let settings = |column: &str| json!({ "preset": "incidents", "fields": { "description": { "owner": "shared", "column": column } } });
    let mut world = Scenario::new(settings("description"));
    world.platform_edits("A", &[("description", "the only words")]);
    configure(&mut world, json!({ "fields": { "description": { "column": "u_words" } } }));
    world.pass(600_000);
    world.agent_edits("A", "short_description", "looked at");
    assert_eq!(world.field("A", "description"), "the only words");
    assert_eq!(world.column("A", "u_words"), "the only words");
    assert_eq!(world.column("A", "description"), "the only words", "what was there stays");
}

#[test]
fn what_goes_with_a_state_leaves_alone_what_somebody_said() {
    let mut world = incidents(json!({ "fields": { "resolution": {
        "kind": "text", "column": "close_notes", "max": 4000, "owner": "shared" } } }));
    world.platform_edits("A", &[("title", "t")]);
    world.platform_edits("A", &[("resolution", "Replaced the router")]);
    world.platform_edits("A", &[("status", "resolved")]);
    assert_eq!(world.column("A", "state"), "6");
    assert_eq!(world.column("A", "close_notes"), "Replaced the router");
    assert_eq!(world.field("A", "resolution"), "Replaced the router");
    assert_eq!(world.column("A", "close_code"), "Solution provided");
}
