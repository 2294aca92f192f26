//! What is found without webhooks. Reconcile runs: what they mend by themselves, when they ask, how they end,
//! when they begin.

use firn_model::Operation;

use super::*;

/// So many pairs, of which some drifted while nobody heard of it.
fn drifted(settings: Json, pairs: usize, drifted: usize) -> Scenario {
    let mut world = incidents(settings);
    for n in 0..pairs {
        world.platform_edits(&format!("R{n}"), &[("title", "t")]);
    }
    world.deaf = true;
    for n in 0..drifted {
        world.agent_edits(&format!("R{n}"), "short_description", "changed unheard");
    }
    world.deaf = false;
    world
}

/// How many tickets still have what nobody heard of.
fn left(world: &Scenario, pairs: usize) -> usize {
    let title = |n: &usize| world.column(&format!("R{n}"), "short_description");
    (0..pairs).filter(|n| title(n) == "changed unheard").count()
}

fn run_of(world: &Scenario) -> Json {
    world.rows("run").pop().unwrap()
}

fn id_of(run: &Json) -> String {
    run["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_run_mends_what_drifted() {
    let mut world = drifted(json!({}), 6, 2);
    let run = world.reconcile(RunMode::AutoHeal);
    assert_eq!(
        (&run["drifted"], &run["healed"], &run["state"]),
        (&json!(2), &json!(2), &json!("finished"))
    );
    assert_eq!(left(&world, 6), 0);
}

#[test]
fn a_dry_run_writes_nothing() {
    let mut world = drifted(json!({}), 6, 2);
    let writes = world.writes();
    let run = world.reconcile(RunMode::DryRun);
    assert_eq!((&run["drifted"], &run["healed"]), (&json!(2), &json!(0)));
    assert_eq!(world.writes(), writes);
    assert_eq!(left(&world, 6), 2);
}

/// More than 20 % drift: something is wrong that mending would not mend.
#[test]
fn a_run_that_finds_much_drift_asks_first() {
    let mut world = drifted(json!({}), 20, 12);
    let writes = world.writes();
    let run = world.reconcile(RunMode::AutoHeal);
    assert_eq!(run["state"], "asks");
    assert_eq!(world.writes(), writes, "nothing is mended unasked");
    let told = world.findings(FindingKind::MuchDrift);
    assert_eq!(told.len(), 1);
    assert!(told[0].text.starts_with("12 of 20 links drifted"), "{}", told[0].text);
    let (integration, id) = (world.id(), id_of(&run));
    let (status, _) =
        world.operate(Operation::ConfirmRun { integration: integration.clone(), run: id.clone() });
    assert_eq!(status, 200);
    assert_eq!(left(&world, 20), 0);
    assert_eq!(
        (&run_of(&world)["state"], &run_of(&world)["healed"]),
        (&json!("finished"), &json!(12))
    );
    assert!(world.findings(FindingKind::MuchDrift).is_empty(), "it is answered");
    // Once is enough.
    let (status, problem) = world.operate(Operation::ConfirmRun { integration, run: id });
    assert_eq!(status, 409, "{problem}");
}

#[test]
fn a_run_that_asks_can_be_stopped() {
    let mut world = drifted(json!({}), 20, 12);
    let run = world.reconcile(RunMode::AutoHeal);
    let writes = world.writes();
    let stop = Operation::StopRun { integration: world.id(), run: id_of(&run) };
    assert_eq!(world.operate(stop.clone()).0, 200);
    world.pass(3_600_000);
    assert_eq!((world.writes(), left(&world, 20)), (writes, 12));
    assert_eq!(run_of(&world)["state"], "stopped");
    assert!(world.rows("check").is_empty(), "nothing of it is left");
    assert_eq!(world.operate(stop).0, 409);
}

/// Whoever did not answer is asked again, about what is there now.
#[test]
fn a_run_that_nobody_let_go_on_gives_way_to_the_next_one() {
    let mut world = drifted(json!({}), 20, 12);
    world.operate(Operation::Schedule {
        integration: world.id(),
        interval: 3_600_000,
        mode: RunMode::AutoHeal,
        enabled: true,
    });
    an_hour(&mut world);
    an_hour(&mut world);
    an_hour(&mut world);
    let runs = world.rows("run");
    let states: Vec<_> = runs.iter().map(|run| run["state"].as_str().unwrap_or_default()).collect();
    assert!(states.len() >= 3 && left(&world, 20) == 12, "{states:?}");
    assert_eq!(states.iter().filter(|state| **state == "asks").count(), 1, "{states:?}");
    assert_eq!(world.findings(FindingKind::MuchDrift).len(), 1);
}

/// What nothing would be done about is no drift: an operator who is told of it each night reads no more.
#[test]
fn what_nothing_would_be_written_for_is_no_drift() {
    let none = |world: &mut Scenario, what: &str| {
        for mode in [RunMode::DryRun, RunMode::AutoHeal] {
            let run = world.reconcile(mode);
            assert_eq!((&run["drifted"], &run["failed"]), (&json!(0), &json!(0)), "{what}: {run}");
        }
    };
    // A field that is not kept in step at the moment.
    let mut world = incidents(json!({ "fields": { "title": {
        "owner": "shared", "when": "record.severity == 'critical'" } } }));
    world.platform_edits("A", &[("title", "t"), ("severity", "low")]);
    world.agent_edits("A", "short_description", "of the desk");
    assert_ne!(world.field("A", "title"), "of the desk");
    none(&mut world, "its condition is not true");
    // A direction in which nothing is written.
    let mut world = incidents(json!({ "direction": "to-servicenow", "fields": {
        "title": { "owner": "shared" } } }));
    world.platform_edits("A", &[("title", "t")]);
    world.agent_edits("A", "short_description", "of the desk");
    none(&mut world, "nothing goes to the platform");
    // What is kept as it is, and changes to what means the same.
    let mut world = incidents(json!({ "fields": { "status": {
        "owner": "external", "off_owner": "kept" } } }));
    world.platform_edits("A", &[("title", "t"), ("status", "open")]);
    world.platform_edits("A", &[("status", "resolved")]);
    assert_eq!(world.column("A", "state"), "1");
    none(&mut world, "kept");
    world.agent_edits("A", "state", "2");
    none(&mut world, "kept, and of the same meaning");
    // What another record on the ticket said.
    let mut world = plain();
    world.platform_edits("A", &[("title", "t")]);
    let number = world.column("A", "number");
    world.platform_edits_silently("B", &[("title", "t"), ("description", "")]);
    world.attach("B", &number);
    world.platform_says("A", "of the first", "public");
    world.platform_says("B", "of the second", "public");
    none(&mut world, "of each other");
}

/// Also when a check could not see everything: what it saw counts, and is not mended unasked.
#[test]
fn a_run_that_asks_has_mended_nothing_of_what_it_saw() {
    let mut world = drifted(json!({}), 20, 12);
    world.journal_refused();
    let writes = world.writes();
    let run = world.reconcile(RunMode::AutoHeal);
    assert_eq!((&run["state"], &run["drifted"]), (&json!("asks"), &json!(12)), "{run}");
    assert_eq!(run["failed"], 20, "no journal was read");
    assert_eq!((world.writes(), left(&world, 20)), (writes, 12));
}

#[test]
fn a_run_mends_no_more_than_it_may() {
    let mut world = drifted(json!({ "reconcile": { "most": 2 } }), 9, 5);
    let run = world.reconcile(RunMode::AutoHeal);
    assert_eq!((&run["healed"], &run["left"]), (&json!(2), &json!(3)));
    assert_eq!(left(&world, 9), 3);
    world.reconcile(RunMode::AutoHeal);
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(left(&world, 9), 0);
}

/// What the run saw may be old when it is mended: an edit since is not overwritten.
#[test]
fn an_edit_after_the_check_is_no_drift_to_be_mended_away() {
    let mut world = drifted(json!({ "fields": { "title": { "owner": "external" } } }), 20, 12);
    let run = world.reconcile(RunMode::AutoHeal);
    assert_eq!(run["state"], "asks");
    world.agent_edits("R0", "short_description", "newer");
    assert_eq!(world.field("R0", "title"), "newer");
    let confirm = Operation::ConfirmRun { integration: world.id(), run: id_of(&run) };
    world.operate(confirm);
    assert_eq!(world.field("R0", "title"), "newer");
    assert_eq!(world.field("R1", "title"), "changed unheard");
}

fn an_hour(world: &mut Scenario) {
    for _ in 0..61 {
        world.pass(60_000);
    }
}

#[test]
fn runs_begin_by_themselves_when_they_are_scheduled() {
    let mut world = drifted(json!({}), 6, 1);
    let schedule = |enabled| Operation::Schedule {
        integration: IntegrationId::new("int-1").unwrap(),
        interval: 3_600_000,
        mode: RunMode::AutoHeal,
        enabled,
    };
    assert_eq!(world.operate(schedule(true)).0, 200);
    assert!(world.rows("run").is_empty(), "an hour from now");
    an_hour(&mut world);
    assert_eq!((world.rows("run").len(), left(&world, 6)), (1, 0));
    assert_eq!(run_of(&world)["by"], "the schedule");
    an_hour(&mut world);
    assert_eq!(world.rows("run").len(), 2);
    assert_eq!(world.operate(schedule(false)).0, 200);
    an_hour(&mut world);
    an_hour(&mut world);
    assert_eq!(world.rows("run").len(), 2);
    let often = Operation::Schedule {
        integration: world.id(),
        interval: 1_000,
        mode: RunMode::DryRun,
        enabled: true,
    };
    assert_eq!(world.operate(often).0, 422);
}

/// The check does not find the ticket where it was. It is read where it is now, with everything that was said.
#[test]
fn a_run_brings_what_was_said_on_a_ticket_that_changed_its_class_unheard() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "t")]);
    let ticket = world.ticket_of("A");
    world.deaf = true;
    world.agent_says(&ticket, "comments", "said unheard");
    world.admin_reclasses(&ticket, "change_request");
    world.deaf = false;
    world.reconcile(RunMode::AutoHeal);
    let said = world.mirrored_to_platform("A");
    assert_eq!(said.len(), 1, "{said:?}");
}

/// No room in the budget is no failure of a check: it comes when it has its turn.
#[test]
fn a_check_that_finds_no_room_waits_for_its_turn() {
    let mut world = drifted(json!({}), 3, 1);
    world.no_room(40);
    let run = world.reconcile(RunMode::AutoHeal);
    assert_eq!((&run["failed"], &run["healed"]), (&json!(0), &json!(1)), "{run}");
    assert_eq!(left(&world, 3), 0);
}

// ---- polling -----------------------------------------------------------------------------------

fn polled() -> Scenario {
    let mut world = incidents(json!({ "polling": { "mode": "behind" },
        "fields": { "title": { "owner": "external" } } }));
    world.platform_edits("A", &[("title", "t")]);
    world
}

/// An agent edits, and no webhook tells of it.
fn unheard(world: &mut Scenario, text: &str) {
    world.deaf = true;
    world.agent_edits("A", "short_description", text);
    world.deaf = false;
}

#[test]
fn webhooks_that_do_not_arrive_are_told_until_they_do() {
    let mut world = polled();
    let missing = |world: &Scenario| world.findings(FindingKind::WebhooksMissing).len();
    for n in 0..12 {
        unheard(&mut world, &format!("unheard {n}"));
        world.pass(15_000);
    }
    assert_eq!(world.field("A", "title"), "unheard 11");
    assert_eq!(missing(&world), 1, "told once");
    // The first trial: what we write ourselves, heard or not, is no sign of webhooks.
    for n in 0..50 {
        world.deaf = true;
        world.platform_edits("A", &[("description", &format!("ours {n}"))]);
        world.deaf = false;
        world.pass(15_000);
    }
    assert_eq!(missing(&world), 1, "nothing was heard");
    // They arrive again, and the next trial shows it.
    for n in 0..200 {
        world.agent_edits("A", "short_description", &format!("heard {n}"));
        world.pass(15_000);
    }
    assert_eq!(missing(&world), 0, "they are heard again");
}

#[test]
fn what_is_polled_alone_is_no_finding() {
    let mut world = incidents(json!({ "polling": { "mode": "alone" },
        "fields": { "title": { "owner": "external" } } }));
    world.platform_edits("A", &[("title", "t")]);
    for n in 0..20 {
        unheard(&mut world, &format!("unheard {n}"));
        world.pass(15_000);
    }
    assert_eq!(world.field("A", "title"), "unheard 19");
    assert!(world.findings(FindingKind::WebhooksMissing).is_empty());
}

/// Polling that was off goes on from where it was.
#[test]
fn what_happened_while_polling_was_off_is_found_when_it_is_on_again() {
    let mut world = polled();
    world.pass(120_000);
    configure(&mut world, json!({ "polling": { "mode": "off" } }));
    unheard(&mut world, "while it was off");
    for _ in 0..20 {
        world.pass(60_000);
    }
    assert_eq!(world.field("A", "title"), "t");
    configure(&mut world, json!({ "polling": { "mode": "behind" } }));
    assert_eq!(world.field("A", "title"), "while it was off");
}

/// All links of an integration were read at once: with very many that was more than there was room for.
#[test]
fn a_run_counts_its_links_some_hundred_at_a_time() {
    let pairs = 510;
    let mut world = drifted(json!({ "reconcile": { "most": 3 } }), pairs, 5);
    let run = world.reconcile(RunMode::DryRun);
    let (links, checked, drifted) = (&run["links"], &run["checked"], &run["drifted"]);
    assert_eq!((links, checked, drifted), (&json!(pairs), &json!(pairs), &json!(5)), "{run}");
    let run = world.reconcile(RunMode::AutoHeal);
    let (healed, state) = (&run["healed"], &run["state"]);
    assert_eq!((healed, &run["left"], state), (&json!(3), &json!(2), &json!("finished")));
    assert_eq!(run["checked"], pairs);
    assert_eq!(left(&world, pairs), 2);
    assert!(world.rows("check").is_empty() && world.rows("group").is_empty());
}

/// A check of a link that is not there any more was dropped and never counted: its run went on for ever, and no other
/// began by itself.
#[test]
fn a_run_ends_whatever_became_of_its_links() {
    let mut world = drifted(json!({}), 2, 0);
    let mut run = world.reconcile(RunMode::DryRun);
    (run["id"], run["state"], run["finished"]) = (json!("run-x"), json!("running"), Json::Null);
    (run["links"], run["checked"], run["drifts"]) = (json!(2), json!(1), json!([]));
    world.left(&["run", "int-1", "run-x"], &run);
    let check = json!({ "run": "run-x", "link": "l-gone", "number": null, "state": "reading-external",
        "platform_not_verifiable": false, "fields": [], "entries": 0, "seen": [], "attempts": 0,
        "asked": 0, "clocks": [] });
    world.left(&["check", "int-1", "run-x", "l-gone"], &check);
    world.settle();
    let run = world.stored(&["run", "int-1", "run-x"]);
    assert_eq!((&run["state"], &run["failed"]), (&json!("finished"), &json!(1)), "{run}");
    // Somebody was forgotten, and with them the last check.
    let mut left = run.clone();
    (left["state"], left["finished"]) = (json!("running"), Json::Null);
    (left["links"], left["checked"]) = (json!(1), json!(1));
    world.left(&["run", "int-1", "run-x"], &left);
    world.settle();
    assert_eq!(world.stored(&["run", "int-1", "run-x"])["state"], "finished");
}
