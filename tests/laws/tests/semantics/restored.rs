//! A backup is put in the place of the store. What was done since is known to both sides: nothing of it is done twice,
//! nothing of it is lost.

use super::*;

/// A pair that has agreed on everything, and its ticket.
fn pair() -> (Scenario, String) {
    let shared = json!({ "owner": "shared" });
    let mut world = incidents(json!({ "fields": { "title": shared, "description": shared } }));
    world.platform_edits("A", &[("title", "t"), ("description", "d")]);
    world.pass(3_600_000);
    let ticket = world.ticket_of("A");
    (world, ticket)
}

fn said_there(world: &Scenario, ticket: &str) -> Vec<String> {
    world.mirrored_to_servicenow(ticket).into_iter().map(|(_, text)| text).collect()
}

fn said_here(world: &Scenario) -> Vec<String> {
    world.mirrored_to_platform("A").into_iter().map(|(text, _)| text).collect()
}

/// An agent edits again and again, and each edit is carried.
fn agent_edits(world: &mut Scenario, ticket: &str, when: &str) {
    for n in 0..4 {
        let title = format!("{when} {n}");
        world.agent_edits(ticket, "short_description", &title);
        assert_eq!(world.field("A", "title"), title);
    }
}

#[test]
fn what_was_said_since_is_not_said_again() {
    let (mut world, ticket) = pair();
    let backup = world.back_up();
    world.platform_says("A", "from the platform", "public");
    world.agent_says(&ticket, "comments", "from the desk");
    world.pass(60_000);
    world.restore(&backup);
    world.pass(3_600_000);
    assert_eq!(said_there(&world, &ticket), ["from the platform"]);
    assert_eq!(said_here(&world), ["from the desk"]);
    // What is said from now on goes its way, also in the same words.
    world.platform_says("A", "from the platform", "public");
    world.agent_says(&ticket, "comments", "from the desk");
    assert_eq!(said_there(&world, &ticket).len(), 2);
    assert_eq!(said_here(&world).len(), 2);
}

/// The platform does nothing twice under one key: what is written after a restore has keys that it never saw.
#[test]
fn a_write_after_a_restore_is_another_write() {
    let (mut world, ticket) = pair();
    let backup = world.back_up();
    agent_edits(&mut world, &ticket, "before");
    world.restore(&backup);
    agent_edits(&mut world, &ticket, "after");
    let keys: Vec<Json> = world.posted().iter().map(|body| body["key"].clone()).collect();
    let different: std::collections::BTreeSet<String> = keys.iter().map(Json::to_string).collect();
    assert_eq!(keys.len(), different.len(), "{keys:?}");
}

#[test]
fn what_nobody_tells_of_again_is_asked_for() {
    let (mut world, ticket) = pair();
    let backup = world.back_up();
    // Told, taken, acknowledged, and then the store is gone: neither side tells it again.
    world.platform_edits("A", &[("title", "changed here")]);
    world.agent_edits(&ticket, "description", "changed there");
    world.deaf = true;
    world.platform_edits_silently("A", &[("severity", "critical")]);
    world.agent_edits(&ticket, "state", "2");
    world.restore(&backup);
    world.deaf = false;
    world.pass(600_000);
    let here = ["title", "description", "severity", "status"].map(|field| world.field("A", field));
    assert_eq!(here, ["changed here", "changed there", "critical", "open"]);
    let there = ["short_description", "description", "priority"].map(|c| world.column(&ticket, c));
    assert_eq!(there, ["changed here", "changed there", "1"]);
    let run = world.rows("run").pop().unwrap();
    assert_eq!((&run["by"], &run["state"]), (&json!("the restore"), &json!("finished")));
}

/// Nobody tells of it again: the ticket itself shows whose it is.
#[test]
fn a_ticket_that_was_made_since_is_taken_up() {
    for mut settings in [json!({}), json!({ "filters": { "mirror": "true" } })] {
        settings["polling"] = json!({ "mode": "behind" });
        let mut world = incidents(settings);
        world.pass(60_000); // What changes is swept.
        let backup = world.back_up();
        world.platform_edits("B", &[("title", "new")]);
        world.platform_says("B", "said", "public");
        let ticket = world.ticket_of("B");
        world.restore(&backup);
        world.pass(600_000);
        assert_eq!((world.ticket_of("B"), world.tickets()), (ticket.clone(), 1));
        assert_eq!(said_there(&world, &ticket), ["said"]);
        assert!(!world.has_record(&ticket), "it is no ticket of the desk's own");
        world.platform_edits("B", &[("title", "newer")]);
        assert_eq!(world.column("B", "short_description"), "newer");
    }
}

/// Of a key that is a digest nobody can read the record: a person pairs them.
#[test]
fn a_ticket_whose_key_does_not_tell_is_told() {
    let mut world = incidents(json!({ "filters": { "mirror": "true" },
        "polling": { "mode": "behind" } }));
    world.pass(60_000); // What changes is swept.
    let backup = world.back_up();
    let record = "x".repeat(120);
    world.platform_edits(&record, &[("title", "new")]);
    let ticket = world.ticket_of(&record);
    let number = world.column(&ticket, "number");
    world.restore(&backup);
    world.pass(600_000);
    assert!(!world.is_linked(&record) && !world.has_record(&ticket));
    let told = world.findings(FindingKind::RecordMissing);
    let wanted = format!("firn links attach {} RECORD {number}", "int-1");
    assert!(told.iter().any(|finding| finding.text.ends_with(&wanted)), "{told:?}");
    assert_eq!(world.attach(&record, &number).0, 202);
    assert_eq!((world.ticket_of(&record), world.tickets()), (ticket, 1));
}

/// Keys of other tools are none of ours.
#[test]
fn a_ticket_of_somebody_else_with_a_key_is_mirrored_as_before() {
    let mut world = incidents(json!({ "filters": { "mirror": "true" },
        "polling": { "mode": "behind" } }));
    world.pass(60_000); // What changes is swept.
    let backup = world.back_up();
    world.agent_opens("incident", &[("short_description", "a"), ("correlation_id", "PAGER-7")]);
    world.restore(&backup);
    world.pass(600_000);
    let links = world.rows("link");
    assert_eq!((links.len(), &links[0]["origin"]), (1, &json!("external")));
}

/// A ticket of the desk's own is a record on the platform under its own id.
#[test]
fn a_record_that_was_made_of_a_ticket_since_makes_no_ticket() {
    let mut world = incidents(json!({ "filters": { "mirror": "true" },
        "polling": { "mode": "behind" } }));
    world.pass(60_000); // What changes is swept.
    let backup = world.back_up();
    world.agent_opens("incident", &[("short_description", "theirs")]);
    let ticket = world.rows("link")[0]["platform_id"].as_str().unwrap().to_owned();
    assert!(world.has_record(&ticket));
    world.deaf = true;
    world.restore(&backup);
    // The platform tells first.
    world.platform_edits(&ticket, &[("title", "ours")]);
    assert_eq!((world.tickets(), world.column(&ticket, "short_description")), (1, "ours".into()));
    assert_eq!(world.link(&ticket).external.unwrap().sys_id.as_str(), ticket);
}

/// Others may share the integration's user: only what may be of the lost time is taken for Firn's own.
#[test]
fn what_others_write_as_our_user_at_another_time_travels() {
    let (mut world, ticket) = pair();
    let backup = world.back_up();
    world.restore(&backup);
    world.pass(3_600_000);
    world.our_user_says(&ticket, "a script of somebody's");
    assert_eq!(said_here(&world), ["a script of somebody's"]);
}

/// The same backup twice: the second time counts anew too.
#[test]
fn a_backup_can_be_put_back_twice() {
    let (mut world, ticket) = pair();
    let backup = world.back_up();
    for n in 0..2 {
        world.agent_edits(&ticket, "short_description", &format!("round {n}"));
        world.platform_says("A", &format!("said in round {n}"), "public");
        world.pass(60_000);
        world.restore(&backup);
        world.pass(3_600_000);
    }
    world.agent_edits(&ticket, "short_description", "at last");
    assert_eq!(world.field("A", "title"), "at last");
    assert_eq!(said_there(&world, &ticket).len(), 2);
}

/// What was said since the restore is not what was written before it, in whichever words.
#[test]
fn new_words_are_not_taken_for_old_ones() {
    // Nothing tells of the first again: the platform cannot be read.
    let push_only = json!({ "callback_url": "https://platform.example/callback" });
    let mut world = incidents(json!({ "platform": push_only }));
    world.platform_edits("A", &[("title", "t")]);
    let (backup, ticket) = (world.back_up(), world.ticket_of("A"));
    world.platform_says("A", "done", "public");
    world.pass(60_000);
    world.restore(&backup);
    world.pass(3_600_000);
    world.platform_says("A", "done", "public");
    let done = |text: &String| text.ends_with("done");
    assert_eq!(said_there(&world, &ticket).iter().filter(|text| done(text)).count(), 2);
}

/// Going back to earlier settings does not go back to a time before the restore.
#[test]
fn a_rollback_of_settings_does_not_forget_the_restore() {
    let (mut world, ticket) = pair();
    let backup = world.back_up();
    agent_edits(&mut world, &ticket, "before");
    world.restore(&backup);
    configure(&mut world, json!({ "strategy": "manual-review" }));
    let (status, said) =
        world.operate(Operation::Rollback { integration: integration(), version: 1 });
    assert_eq!(status, 200, "{said}");
    agent_edits(&mut world, &ticket, "after");
    // A version is what somebody has set.
    assert!(!world.rows("version").iter().any(|version| version.to_string().contains("restored")));
}

/// Nothing is polled: what webhooks tell of the desk's own tickets is told on, as before.
#[test]
fn without_polling_the_desks_own_tickets_are_told_as_before() {
    let mut world = incidents(json!({ "filters": { "mirror": "true" } }));
    let backup = world.back_up();
    world.restore(&backup);
    world.pass(3_600_000);
    world.agent_opens("incident", &[("short_description", "a"), ("correlation_id", "PAGER-7")]);
    assert_eq!(world.rows("link").len(), 1);
}

/// A platform that cannot be read does not show whose ticket it is: others may use the same user.
#[test]
fn a_push_only_platform_is_told_nothing_of_tickets_that_may_be_others() {
    let push_only = json!({ "callback_url": "https://platform.example/callback" });
    let mut world = incidents(json!({ "platform": push_only, "polling": { "mode": "behind" } }));
    world.pass(60_000);
    let backup = world.back_up();
    world.platform_edits("B", &[("title", "new")]);
    let number = {
        let ticket = world.ticket_of("B");
        world.column(&ticket, "number")
    };
    world.restore(&backup);
    let posted = world.posted().len();
    world.pass(600_000);
    assert_eq!((world.posted().len(), world.is_linked("B")), (posted, false));
    let told = world.findings(FindingKind::RecordMissing);
    assert!(told.iter().any(|finding| finding.text.contains(&number)), "{told:?}");
}

#[test]
fn the_audit_tells_what_is_not_known() {
    let (mut world, _) = pair();
    let backup = world.back_up();
    world.pass(60_000);
    world.restore(&backup);
    let line = world.audit().into_iter().find(|line| line.event == "restored").unwrap();
    let note = line.note.unwrap();
    assert!(note.contains("nothing is known of 20") && note.ends_with("by the restore"), "{note}");
}
