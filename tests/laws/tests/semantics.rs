//! What the design says in section 4, rule by rule: the real driver and core between two fakes in
//! which nothing happens by chance. Complaints of other tools' users are in `complaints.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may.

use firn_laws::sim::Scenario;
use firn_model::{Ended, FindingKind, Mirror, Role, RunMode, Why};
use serde_json::{Value as Json, json};

fn incidents(more: Json) -> Scenario {
    let mut document = json!({ "preset": "incidents" });
    for (key, value) in more.as_object().unwrap() {
        document[key] = value.clone();
    }
    Scenario::new(document)
}

fn plain() -> Scenario {
    incidents(json!({}))
}

fn whys(world: &Scenario) -> Vec<Why> {
    world.audit().into_iter().flat_map(|line| line.fields).map(|w| w.why).collect()
}

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

// ---- merge -------------------------------------------------------------------------------------

#[test]
fn one_moved_the_owner_is_carried() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    world.platform_edits("A", &[("title", "New words")]);
    assert_eq!(world.column("A", "short_description"), "New words");
}

#[test]
fn one_moved_a_non_owner_is_restored_once_and_then_kept() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "Ours")]);
    world.agent_edits("A", "short_description", "Theirs");
    assert_eq!(world.column("A", "short_description"), "Ours");
    world.agent_edits("A", "short_description", "Again");
    assert_eq!(world.column("A", "short_description"), "Again");
    assert_eq!(world.findings(FindingKind::Kept).len(), 1);
    // Auto-heal leaves it; the owner's next change overwrites it.
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.column("A", "short_description"), "Again");
    world.platform_edits("A", &[("title", "Ours again")]);
    assert_eq!(world.column("A", "short_description"), "Ours again");
    // An hour later it is restored again.
    world.pass(3_600_000);
    world.agent_edits("A", "short_description", "Theirs");
    assert_eq!(world.column("A", "short_description"), "Ours again");
}

#[test]
fn one_moved_a_non_owner_kept_is_not_drift() {
    let mut world = incidents(json!({ "fields": { "title": { "off_owner": "kept" } } }));
    world.platform_edits("A", &[("title", "Ours")]);
    world.agent_edits("A", "short_description", "Theirs");
    assert_eq!(
        (world.column("A", "short_description"), world.field("A", "title")),
        ("Theirs".into(), "Ours".into())
    );
    assert_eq!(world.reconcile(RunMode::DryRun)["drifted"], 0);
}

#[test]
fn one_moved_a_non_owner_adopted_is_carried() {
    let mut world = incidents(json!({ "fields": { "title": { "off_owner": "adopted" } } }));
    world.platform_edits("A", &[("title", "Ours")]);
    world.agent_edits("A", "short_description", "Theirs");
    assert_eq!(world.field("A", "title"), "Theirs");
}

#[test]
fn both_made_the_same_change_that_is_agreement() {
    let mut world = incidents(
        json!({ "strategy": "manual-review", "fields": { "title": { "owner": "shared" } } }),
    );
    world.platform_edits("A", &[]);
    let writes = world.writes();
    world.deaf = true;
    world.agent_edits("A", "short_description", "Same");
    world.platform_edits("A", &[("title", "Same")]);
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.writes(), writes);
    assert!(world.findings(FindingKind::Conflict).is_empty());
}

#[test]
fn guards_the_desk_may_close_but_not_reopen() {
    let mut world = incidents(json!({ "fields": { "status": { "owner": "external",
        "guards": [{ "from": ["resolved", "closed"], "to": ["open", "mitigated"], "only": "platform" }] } } }));
    world.platform_edits("A", &[]);
    world.agent_edits("A", "state", "6");
    assert_eq!(world.field("A", "status"), "resolved");
    world.agent_edits("A", "state", "2");
    assert_eq!(
        (world.column("A", "state"), world.field("A", "status")),
        ("6".into(), "resolved".into())
    );
    world.agent_edits("A", "state", "2");
    assert_eq!(world.findings(FindingKind::Guarded).len(), 1);
    assert_eq!(world.field("A", "status"), "resolved");
}

#[test]
fn a_condition_keeps_a_field_out_while_it_is_false() {
    let mut world = incidents(
        json!({ "fields": { "description": { "when": "record.severity in ['high', 'critical']" } } }),
    );
    world.platform_edits("A", &[("description", "secret"), ("severity", "low")]);
    assert_eq!(world.column("A", "description"), "");
    world.platform_edits("A", &[("severity", "high")]);
    assert_eq!(world.column("A", "description"), "secret");
}

// ---- strategies --------------------------------------------------------------------------------

/// Both sides change the title within the window, Firn hearing of both at once.
fn both_change(world: &mut Scenario, platform_first: bool) {
    world.platform_edits("A", &[("title", "t")]);
    world.pass(60_000);
    world.deaf = true;
    if platform_first {
        world.platform_edits_silently("A", &[("title", "Ours")]);
        world.pass(3_000);
        world.agent_edits("A", "short_description", "Theirs");
    } else {
        let ticket = world.ticket_of("A");
        world.agent_edits(&ticket, "short_description", "Theirs");
        world.pass(3_000);
        world.platform_edits_silently("A", &[("title", "Ours")]);
    }
    world.deaf = false;
    world.reconcile(RunMode::AutoHeal);
}

fn title(more: Json) -> Scenario {
    let mut field = json!({ "owner": "shared" });
    for (key, value) in more.as_object().unwrap() {
        field[key] = value.clone();
    }
    incidents(json!({ "fields": { "title": field } }))
}

#[test]
fn last_write_wins_keeps_the_loser_in_the_audit() {
    for (platform_first, winner, loser) in [(true, "Theirs", "Ours"), (false, "Ours", "Theirs")] {
        let mut world = title(json!({}));
        both_change(&mut world, platform_first);
        assert_eq!(
            (world.column("A", "short_description").as_str(), world.field("A", "title").as_str()),
            (winner, winner)
        );
        let audit = world.audit();
        let line =
            audit.iter().flat_map(|l| &l.fields).find(|w| w.why == Why::LastWriteWins).unwrap();
        assert_eq!(line.from.as_ref().unwrap().to_string(), loser);
    }
}

#[test]
fn last_write_wins_on_one_clock_however_far_the_others_are_off() {
    for (servicenow, platform) in [(600_000, 0), (-600_000, 0), (0, 600_000), (-300_000, 300_000)] {
        let mut world = title(json!({}));
        world.clocks(servicenow, platform);
        both_change(&mut world, true);
        assert_eq!(world.field("A", "title"), "Theirs", "{servicenow} {platform}");
    }
}

/// Both edits come by message, at one moment; the platform's clock is off, and was never read. Taken at
/// its word, it would be ten minutes later or earlier; at one moment ServiceNow's stands.
#[test]
fn edits_heard_of_by_message_alone_wait_until_both_clocks_are_known() {
    for off in [600_000, -600_000] {
        let mut world = title(json!({}));
        world.clocks(0, off);
        world.platform_edits("A", &[("title", "t")]);
        world.pass(60_000);
        world.platform_edits_unsettled("A", &[("title", "Ours")]);
        world.agent_edits("A", "short_description", "Theirs");
        assert_eq!(world.field("A", "title"), "Theirs", "{off}");
    }
}

#[test]
fn ownership_priority_the_higher_wins_whoever_was_later() {
    let mut world = title(
        json!({ "strategy": "ownership-priority", "platform_priority": 10, "external_priority": 5 }),
    );
    both_change(&mut world, true);
    assert_eq!(world.column("A", "short_description"), "Ours");
}

#[test]
fn manual_review_parks_the_field_and_the_rest_goes_on() {
    let mut world = title(json!({ "strategy": "manual-review" }));
    both_change(&mut world, true);
    assert_eq!(
        (world.column("A", "short_description").as_str(), world.field("A", "title").as_str()),
        ("Theirs", "Ours")
    );
    world.platform_edits("A", &[("description", "goes on")]);
    assert_eq!(world.column("A", "description"), "goes on");
    // New edits update the same conflict.
    world.agent_edits("A", "short_description", "Theirs, later");
    let conflicts = world.rows("conflict");
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0]["external"]["shape"]["short_description"], "Theirs, later");
    // Agreement closes it; resolving it then is too late.
    world.platform_edits("A", &[("title", "Theirs, later")]);
    let conflict = &world.rows("conflict")[0];
    assert_eq!(conflict["state"], "closed");
    let id = firn_model::ConflictId::new(conflict["id"].as_str().unwrap()).unwrap();
    let late = world.operate(firn_model::Operation::Resolve {
        integration: world.id(),
        conflict: id,
        resolution: firn_model::Resolution::UsePlatform,
    });
    assert_eq!(late.0, 409);
}

#[test]
fn manual_review_resolves_with_a_third_value() {
    let mut world = title(json!({ "strategy": "manual-review" }));
    both_change(&mut world, true);
    let id = world.rows("conflict")[0]["id"].as_str().unwrap().to_owned();
    world.operate(firn_model::Operation::Resolve {
        integration: world.id(),
        conflict: firn_model::ConflictId::new(id).unwrap(),
        resolution: firn_model::Resolution::Value(firn_model::Value::text("Both")),
    });
    assert_eq!(
        (world.column("A", "short_description").as_str(), world.field("A", "title").as_str()),
        ("Both", "Both")
    );
}

#[test]
fn beyond_the_window_the_owner_stands_and_the_other_is_overruled() {
    let mut world =
        title(json!({ "owner": "platform", "conflict_window": 1000, "strategy": "manual-review" }));
    both_change(&mut world, true);
    assert_eq!(world.column("A", "short_description"), "Ours");
    assert!(whys(&world).contains(&Why::Overruled));
}

// ---- value maps --------------------------------------------------------------------------------

#[test]
fn the_stay_rule_keeps_in_progress_while_the_platform_says_open() {
    let mut world = plain();
    world.platform_edits("A", &[("status", "open")]);
    world.agent_edits("A", "state", "2");
    let writes = world.writes();
    world.platform_edits("A", &[("description", "another field")]);
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.column("A", "state"), "2");
    assert_eq!(world.writes().1, writes.1, "and nothing was told to the platform");
}

#[test]
fn an_unmapped_value_is_a_finding_never_a_default() {
    let mut world = incidents(json!({ "fields": { "status": { "owner": "external" } } }));
    world.platform_edits("A", &[]);
    world.agent_edits("A", "state", "8");
    assert_eq!(world.field("A", "status"), "open");
    assert_eq!(world.findings(FindingKind::UnmappedValue).len(), 1);
    world.agent_edits("A", "state", "6");
    assert_eq!(world.field("A", "status"), "resolved");
}

// ---- order -------------------------------------------------------------------------------------

fn webhook(world: &Scenario, mod_count: Option<u32>, at: &str, current: &Json) -> Json {
    let mut current = current.clone();
    current["sys_updated_on"] = json!(at);
    let mut body = json!({ "sys_id": world.ticket_of("A"), "number": "INC1", "table": "incident", "action": "update", "current": current });
    if let Some(n) = mod_count {
        body["sys_mod_count"] = json!(n.to_string());
    }
    body
}

#[test]
fn a_late_update_still_counts_for_the_fields_it_alone_carries() {
    let mut world = incidents(
        json!({ "fields": { "title": { "owner": "external" }, "description": { "owner": "external" } } }),
    );
    world.platform_edits("A", &[]);
    world.deaf = true;
    world.agent_edits("A", "description", "first");
    world.agent_edits("A", "short_description", "second");
    world.deaf = false;
    // The second is heard first, and it shows only its own field.
    let second =
        webhook(&world, Some(2), "2026-04-29 14:40:00", &json!({ "short_description": "second" }));
    world.webhook(second);
    assert_eq!(
        (world.field("A", "title").as_str(), world.field("A", "description").as_str()),
        ("second", "first")
    );
}

#[test]
fn an_old_webhook_changes_nothing() {
    let mut world = incidents(json!({ "fields": { "title": { "owner": "external" } } }));
    world.platform_edits("A", &[]);
    world.agent_edits("A", "short_description", "new");
    let stale =
        webhook(&world, Some(0), "2026-04-29 14:00:00", &json!({ "short_description": "ancient" }));
    world.webhook(stale);
    assert_eq!(world.field("A", "title"), "new");
}

#[test]
fn a_payload_without_a_counter_is_a_hint_to_read() {
    let mut world = incidents(json!({ "fields": { "title": { "owner": "external" } } }));
    world.platform_edits("A", &[]);
    world.deaf = true;
    world.agent_edits("A", "short_description", "true words");
    world.deaf = false;
    let vague = webhook(
        &world,
        None,
        "2026-04-29 14:40:00",
        &json!({ "short_description": "other words" }),
    );
    world.webhook(vague);
    assert_eq!(world.field("A", "title"), "true words");
}

// ---- empty -------------------------------------------------------------------------------------

#[test]
fn clearing_a_column_is_carried() {
    let mut world = incidents(json!({ "fields": { "description": { "owner": "external" } } }));
    world.platform_edits("A", &[("description", "words")]);
    world.agent_edits("A", "description", "more words");
    assert_eq!(world.field("A", "description"), "more words");
    world.agent_edits("A", "description", "");
    assert_eq!(world.field("A", "description"), "");
}

#[test]
fn a_field_missing_from_a_payload_says_nothing_about_it() {
    let mut world = incidents(
        json!({ "fields": { "title": { "owner": "external" }, "description": { "owner": "external" } } }),
    );
    world.platform_edits("A", &[("description", "words")]);
    let part =
        webhook(&world, Some(0), "2026-04-29 14:40:00", &json!({ "short_description": "t" }));
    world.webhook(part);
    assert_eq!(world.field("A", "description"), "words");
}

#[test]
fn empty_columns_of_another_class_are_unseen() {
    let mut world = Scenario::new(json!({ "preset": "neo",
        "fields": { "impact": { "only": ["incident", "problem"] } } }));
    let number = world.agent_opens("problem", &[("short_description", "Root"), ("state", "101")]);
    let ticket = world.rows("link")[0]["platform_id"].as_str().unwrap().to_owned();
    assert!(number.starts_with("PRB"));
    // The rule on task sends "" for impact; the read tells the truth.
    assert_eq!(world.field(&ticket, "impact"), "low");
}

// ---- ignored and rewritten writes ----------------------------------------------------------------

#[test]
fn an_ignored_write_is_parked_and_not_repeated() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    world.instance_ignores("short_description");
    world.platform_edits("A", &[("title", "Never")]);
    let writes = world.writes();
    assert_eq!(world.findings(FindingKind::WriteIgnored).len(), 1);
    world.reconcile(RunMode::AutoHeal);
    world.pass(60_000);
    world.settle();
    assert_eq!(world.writes(), writes);
    world.instance_behaves();
    world.platform_edits("A", &[("title", "Now")]);
    assert_eq!(world.column("A", "short_description"), "Now");
}

#[test]
fn a_rewritten_write_is_their_edit() {
    let mut world = incidents(json!({ "fields": { "title": { "owner": "shared" } } }));
    world.platform_edits("A", &[]);
    world.instance_rewrites("short_description", "RULE");
    world.platform_edits("A", &[("title", "mine")]);
    assert_eq!(
        (world.column("A", "short_description").as_str(), world.field("A", "title").as_str()),
        ("RULE", "RULE")
    );
}

#[test]
fn more_than_three_flips_an_hour_are_a_conflict() {
    let mut world = incidents(json!({ "fields": { "title": { "owner": "shared" } } }));
    world.platform_edits("A", &[]);
    for i in 1..=4 {
        world.instance_behaves();
        world.instance_rewrites("short_description", &format!("RULE {i}"));
        world.platform_edits("A", &[("title", &format!("mine {i}"))]);
        assert_eq!(world.findings(FindingKind::Conflict).len(), usize::from(i > 3), "{i}");
    }
}

#[test]
fn a_refusal_that_concerns_one_field_parks_it_and_the_rest_is_sent_again() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    world.instance_refuses("description");
    world.platform_edits(
        "A",
        &[("title", "goes"), ("description", "does not"), ("severity", "high")],
    );
    assert_eq!(world.column("A", "short_description"), "goes");
    assert_eq!(world.column("A", "impact"), "2");
    assert_eq!(world.rows("dead").len(), 1);
    assert!(
        world.findings(FindingKind::Refused)[0].field.as_ref().unwrap().as_str() == "description"
    );
}

#[test]
fn a_resolution_sends_what_it_demands() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    world.platform_edits("A", &[("status", "mitigated")]);
    assert_eq!(
        (world.column("A", "state").as_str(), world.column("A", "hold_reason").as_str()),
        ("3", "4")
    );
    assert_eq!(world.column("A", "close_code"), "");
    world.platform_edits("A", &[("status", "resolved")]);
    assert_eq!(world.column("A", "close_code"), "Solution provided");
}

// ---- references ----------------------------------------------------------------------------------

#[test]
fn a_reference_is_resolved_by_its_key_and_ambiguity_is_a_finding() {
    let mut world = incidents(json!({ "fields": {
        "assigned_to": { "owner": "platform" },
        "group": { "kind": "reference", "column": "assignment_group", "owner": "platform", "table": "sys_user_group", "key": "name" } } }));
    world.platform_edits("A", &[("assigned_to", "Ann@Example.com"), ("group", "Network")]);
    assert_eq!(world.column("A", "assigned_to"), "0000000000000000000000000000a001");
    assert_eq!(world.column("A", "assignment_group"), "0000000000000000000000000000b001");
    // Two groups are called Desk.
    world.platform_edits("A", &[("group", "Desk")]);
    assert_eq!(world.column("A", "assignment_group"), "0000000000000000000000000000b001");
    world.platform_edits("A", &[("assigned_to", "nobody@example.com")]);
    assert_eq!(world.findings(FindingKind::UnknownReference).len(), 2);
}

// ---- journal -------------------------------------------------------------------------------------

#[test]
fn the_journal_is_a_union_and_types_never_mix() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    world.platform_says("A", "to the customer", "public");
    world.platform_says("A", "among us", "internal");
    world.agent_says("A", "comments", "from the desk");
    world.agent_says("A", "work_notes", "at the desk");
    assert_eq!(
        world.mirrored_to_servicenow("A"),
        [("comments".into(), "to the customer".into()), ("work_notes".into(), "among us".into())]
    );
    assert_eq!(
        world.mirrored_to_platform("A"),
        [("from the desk".into(), "public".into()), ("at the desk".into(), "internal".into())]
    );
    let comment =
        world.posted().into_iter().find(|p| p["comment"]["text"] == "from the desk").unwrap();
    assert_eq!(comment["comment"]["author"], "agent");
    assert!(comment["comment"]["at"].as_str().unwrap().starts_with("20"));
}

#[test]
fn the_same_words_twice_are_two_entries() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    for _ in 0..3 {
        world.platform_says("A", "ok", "public");
        world.agent_says("A", "comments", "ok");
    }
    assert_eq!(world.mirrored_to_servicenow("A").len(), 3);
    assert_eq!(world.mirrored_to_platform("A").len(), 3);
}

#[test]
fn our_own_entry_heard_before_its_answer_is_no_foreign_one() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    world.lose_next_answer();
    world.platform_says("A", "said once", "public");
    assert_eq!(world.mirrored_to_servicenow("A").len(), 1);
    assert_eq!(world.mirrored_to_platform("A").len(), 0);
}

#[test]
fn a_user_who_may_not_read_the_journal_is_told_loudly() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    world.journal_hidden(true);
    world.platform_says("A", "hello", "public");
    assert!(world.findings(FindingKind::RecordMissing)[0].text.contains("sys_journal_field"));
    assert_eq!(world.mirrored_to_servicenow("A").len(), 1, "and it is not written again");
}

#[test]
fn markdown_reaches_the_journal_as_text_and_code_tags_are_disarmed() {
    let mut world = incidents(json!({ "journal": { "platform_format": "markdown" } }));
    world.platform_edits("A", &[]);
    world.platform_says("A", "**Now** see [it](https://x.example) [code]<b>x</b>[/code]", "public");
    assert_eq!(
        world.mirrored_to_servicenow("A")[0].1,
        "Now see it (https://x.example) (code)<b>x</b>(/code)"
    );
}

#[test]
fn a_journal_template_says_who_wrote() {
    let mut world = incidents(json!({ "journal": { "template": "{{ author }}: {{ text }}" } }));
    world.platform_edits("A", &[]);
    world.platform_says("A", "hello", "public");
    assert_eq!(world.mirrored_to_servicenow("A")[0].1, "carol: hello");
    assert_eq!(world.mirrored_to_platform("A").len(), 0, "and is known as ours all the same");
}

#[test]
fn back_fill_brings_earlier_entries_with_author_and_time_or_not_at_all() {
    for (backfill, expected) in [("all", 1), ("none", 0)] {
        let mut world = incidents(json!({ "journal": { "backfill": backfill } }));
        let number = world.agent_opens("incident", &[("short_description", "old")]);
        world.agent_says(&number, "comments", "written long ago");
        world.platform_edits_silently("A", &[("title", "old"), ("description", "")]);
        world.platform_says_silently("A", "said long ago", "public");
        world.pass(3_600_000);
        world.attach("A", &number);
        assert_eq!(world.mirrored_to_platform("A").len(), expected, "{backfill}");
        let there = world.mirrored_to_servicenow(&number);
        assert_eq!(there.len(), expected);
        if expected == 1 {
            assert!(there[0].1.ends_with("UTC, carol:\nsaid long ago"), "{there:?}");
        }
        // What comes after the link travels in any case.
        world.agent_says(&number, "comments", "written now");
        assert_eq!(world.mirrored_to_platform("A").len(), expected + 1);
    }
}

// ---- records that we did not make ----------------------------------------------------------------

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

// ---- attach --------------------------------------------------------------------------------------

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

// ---- unlink and re-link --------------------------------------------------------------------------

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

// ---- several on one ------------------------------------------------------------------------------

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

// ---- gone, re-classed, hidden ----------------------------------------------------------------------

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

// ---- push-only -----------------------------------------------------------------------------------

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

// ---- escalation ----------------------------------------------------------------------------------

fn call(id: &str, reason: &str) -> Json {
    json!({ "callId": id, "escalationReason": reason, "queueName": "IT" })
}

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

// ---- explain -------------------------------------------------------------------------------------

#[test]
fn explain_says_why_each_value_is_what_it_is() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "call +15550199888")]);
    world.agent_edits("A", "short_description", "theirs");
    let told = world.explain("A");
    let title = told["fields"].as_array().unwrap().iter().find(|f| f["field"] == "title").unwrap();
    assert_eq!(title["masked"], true);
    assert_eq!(title["next"], "nothing: both sides are as agreed");
    let history = title["history"].as_array().unwrap();
    assert!(
        history[0].as_str().unwrap().contains("because the side that had changed it may not"),
        "{history:?}"
    );
    assert!(history[1].as_str().unwrap().contains("because the record was new"));
    assert!(!told.to_string().contains("5550199888"), "no raw value");
}

// ---- what a reviewer found ---------------------------------------------------------------------------

#[test]
fn a_column_that_may_be_written_and_not_read_is_written_once() {
    let mut world = plain();
    world.instance_hides("description");
    world.deaf = true;
    world.platform_edits("A", &[("description", "x")]);
    let writes = world.writes();
    assert_eq!(world.column("A", "description"), "x");
    assert_eq!(world.findings(FindingKind::WriteIgnored).len(), 1);
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.writes(), writes);
}

#[test]
fn a_mirrored_ticket_that_was_taken_apart_stays_apart() {
    let mut world = incidents(json!({ "filters": { "mirror": "true" } }));
    let number = world.agent_opens("incident", &[("short_description", "theirs")]);
    let record = world.rows("link")[0]["platform_id"].as_str().unwrap().to_owned();
    world.agent_says(&number, "comments", "hello");
    world.unlink(&record);
    world.agent_edits(&number, "short_description", "changed");
    world.agent_says(&number, "comments", "anybody?");
    assert_eq!(world.field(&record, "title"), "theirs");
    assert_eq!(world.mirrored_to_platform(&record).len(), 1);
    assert!(world.link(&record).tombstone.is_some());
}

#[test]
fn markdown_does_not_hide_a_number_from_the_masker() {
    let mut world = incidents(json!({ "journal": { "platform_format": "markdown" },
        "fields": { "description": { "owner": "external", "platform_format": "markdown" } } }));
    world.platform_edits("A", &[]);
    world.agent_says("A", "comments", "call 415-555-0132 or ann.lee@example.com");
    let (text, _) = world.mirrored_to_platform("A").remove(0);
    assert!(!text.contains("555") && !text.contains("ann"), "{text}");
    world.agent_edits("A", "description", "call 415-555-0132");
    let audit = serde_json::to_string(&world.audit()).unwrap();
    assert!(!audit.contains("555"), "{audit}");
    assert!(!world.explain("A").to_string().contains("555"));
}

#[test]
fn who_is_at_rest_speaks_for_no_ticket() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    let number = world.column("A", "number");
    world.platform_edits_silently("B", &[("title", "b"), ("description", "")]);
    world.attach("B", &number);
    world.platform_says("B", "from B", "public");
    world.platform_deletes("A", 410, true);
    assert_eq!(world.link("B").role, Role::Primary);
    world.platform_edits("B", &[("title", "B speaks")]);
    assert_eq!(world.column(&number, "short_description"), "B speaks");
}

#[test]
fn entries_of_a_link_that_left_never_reach_the_others_customer() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    let number = world.column("A", "number");
    world.platform_edits_silently("B", &[("title", "b"), ("description", "")]);
    world.attach("B", &number);
    world.platform_says("B", "private to B", "public");
    world.unlink("B");
    world.reconcile(RunMode::AutoHeal);
    assert!(world.mirrored_to_platform("A").is_empty());
}

#[test]
fn a_guard_holds_for_the_owner_too() {
    let mut world = incidents(
        json!({ "fields": { "status": { "guards": [{ "from": ["closed"], "only": "nobody" }] } } }),
    );
    world.platform_edits("A", &[]);
    world.agent_edits("A", "state", "7");
    assert_eq!(world.column("A", "state"), "7");
    world.platform_edits("A", &[("status", "mitigated")]);
    assert_eq!(world.column("A", "state"), "7", "nobody gets it out of closed");
    // Nor by attaching an open record to a closed ticket.
    let closed = world.agent_opens("incident", &[("state", "7")]);
    world.platform_edits_silently("B", &[("title", "b"), ("description", "")]);
    world.attach("B", &closed);
    assert_eq!(world.column(&closed, "state"), "7");
}

#[test]
fn a_platform_may_say_true_where_the_map_says_so() {
    let pairs = json!([{ "platform": "true", "external": ["1"] }, { "platform": "false", "external": ["0"] }]);
    let mut world = incidents(
        json!({ "fields": { "vip": { "kind": "choice", "column": "due_date", "owner": "platform", "pairs": pairs } } }),
    );
    let event = |id: &str, version: u64, vip: bool| json!({ "id": id, "type": "changed", "record": { "kind": "incident", "id": "A", "version": version, "partial": true, "fields": { "vip": vip } } });
    world.platform_edits("A", &[]);
    world.event(event("x1", 2, true));
    assert_eq!(world.column("A", "due_date"), "1");
    world.event(event("x2", 3, false));
    assert_eq!(world.column("A", "due_date"), "0");
    assert!(world.link("A").fields.values().all(|f| f.flips.is_empty()));
}

#[test]
fn what_servicenow_gave_can_be_given_anew_whatever_its_form() {
    let mut world = incidents(
        json!({ "fields": { "description": { "owner": "external", "platform_format": "html" } } }),
    );
    world.platform_edits("A", &[]);
    for text in ["Step 1.  Restart", "Step 1.  Restart\n    Step 2."] {
        world.agent_edits("A", "description", text);
        assert!(world.field("A", "description").contains("Restart"));
    }
    assert!(world.field("A", "description").contains("Step 2"));
    assert!(world.findings(FindingKind::MaskedEdit).is_empty());
}

/// A policy of the tenant's own decides by field, direction and use; what it does not name is
/// masked all the same.
#[test]
fn a_tenant_decides_what_is_masked_where() {
    let mut world = Scenario::new(json!({ "preset": "incidents",
        "journal": { "work_notes_to_platform": true },
        "masking": {
            "strategy": "redact",
            "rules": [
                { "types": ["EMAIL"], "fields": ["title"], "to": "external", "strategy": "keep" },
                { "types": ["BADGE"], "sinks": ["comment"], "strategy": "drop" },
            ],
            "patterns": [{ "name": "BADGE", "pattern": "B-[0-9]{5}" }],
            "words": [{ "name": "PROJECT", "words": ["Blue Falcon"] }],
        } }));
    let text = "ann@example.com of blue falcon, B-12345, call (415) 555-0132";
    world.platform_edits("A", &[("title", text), ("description", text)]);
    assert_eq!(
        world.column("A", "short_description"),
        "ann@example.com of [PROJECT], [BADGE], call [PHONE]"
    );
    assert_eq!(world.column("A", "description"), "[EMAIL] of [PROJECT], [BADGE], call [PHONE]");
    world.platform_says("A", text, "public");
    let ticket = world.ticket_of("A");
    let said = world.mirrored_to_servicenow(&ticket);
    assert_eq!(said[0].1, "[EMAIL] of [PROJECT], , call [PHONE]");
    world.agent_says("A", "comments", text);
    let heard = world.mirrored_to_platform("A");
    assert_eq!(heard[0].0, "[EMAIL] of [PROJECT], , call [PHONE]");
    // What is kept in the audit is masked, also where the field itself keeps it.
    for line in world.audit() {
        let line = serde_json::to_string(&line).unwrap();
        assert!(!line.contains("ann@example") && !line.contains("12345"), "{line}");
    }
    // The masked texts are in step with their sources: nothing more is written.
    let writes = world.writes();
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.writes(), writes);
    assert_eq!(world.field("A", "title"), text);
}

/// What an agent writes is masked before users of the platform see it, and neither side's original is
/// overwritten with what the other has made of it.
#[test]
fn a_ticket_is_masked_on_its_way_to_the_platform_too() {
    let mut world = incidents(json!({ "fields": { "title": { "owner": "shared" } } }));
    world.platform_edits("r1", &[("title", "Printer broken")]);
    let ticket = world.ticket_of("r1");
    world.agent_edits(&ticket, "short_description", "Printer broken, call 415-555-0132");
    assert_eq!(world.field("r1", "title"), "Printer broken, call ***-***-0132");
    let writes = world.writes();
    world.pass(3_600_000);
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.writes(), writes, "the masked copy is in step with its original");
    let told = world.explain("r1");
    let title = told["fields"].as_array().unwrap().iter().find(|f| f["field"] == "title").unwrap();
    assert_eq!(title["masked"], true);

    // A user edits the masked copy: the agent's number is not lost to it, and somebody is told.
    world.platform_edits("r1", &[("title", "Printer on fire, call ***-***-0132")]);
    assert_eq!(world.column(&ticket, "short_description"), "Printer broken, call 415-555-0132");
    assert_eq!(world.findings(FindingKind::MaskedEdit).len(), 1);

    // The agent changes the original: its copy follows.
    world.agent_edits(&ticket, "short_description", "Printer replaced");
    assert_eq!(world.field("r1", "title"), "Printer replaced");
    world.platform_edits("r1", &[("title", "Printer works")]);
    assert_eq!(world.column(&ticket, "short_description"), "Printer works");
}

/// What a user added and the other side has never seen is no original of what stands there: an
/// owner's value goes back over it.
#[test]
fn a_number_in_a_foreign_field_does_not_keep_its_owner_out() {
    let mut world = incidents(json!({ "fields": { "title": { "owner": "platform" } } }));
    world.platform_edits("r1", &[("title", "Printer broken")]);
    let ticket = world.ticket_of("r1");
    world.agent_edits(&ticket, "short_description", "call 415-555-0132");
    assert_eq!(world.column(&ticket, "short_description"), "Printer broken");
    assert_eq!(world.field("r1", "title"), "Printer broken");
}

/// A tenant's tokens: the same value has the same token in every field and comment, however it is
/// written, and another one for another tenant.
#[test]
fn the_same_value_has_the_same_token() {
    let token_of = |text: &str| {
        let from = text.find("[PHONE:").unwrap_or_else(|| panic!("no token in {text:?}"));
        text[from..=from + text[from..].find(']').unwrap()].to_owned()
    };
    let mut world = incidents(json!({ "masking": { "strategy": "token" } }));
    world.platform_edits(
        "r1",
        &[("title", "call (415) 555-0132"), ("description", "or +1 415 555 0132")],
    );
    let ticket = world.ticket_of("r1");
    let title = token_of(&world.column(&ticket, "short_description"));
    assert_eq!(token_of(&world.column(&ticket, "description")), title);
    world.platform_says("r1", "I said 415.555.0132", "public");
    let said = world.mirrored_to_servicenow(&ticket);
    assert_eq!(token_of(&said[0].1), title);
    world.platform_edits("r1", &[("description", "call 415-555-0133")]);
    assert_ne!(token_of(&world.column(&ticket, "description")), title);
    // In step: nothing more is written.
    let writes = world.writes();
    world.pass(3_600_000);
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.writes(), writes);
    // What is kept tells tokens, not values.
    let audit = serde_json::to_string(&world.audit()).unwrap();
    assert!(audit.contains(&title) && !audit.contains("555"), "{audit}");
}

/// A template that fails on one entry loses no entry, and somebody is told.
#[test]
fn a_template_that_cannot_be_rendered_is_told_and_the_entry_goes_without_it() {
    let mut world =
        incidents(json!({ "journal": { "template": "{{ author | int }}: {{ text }}" } }));
    world.platform_edits("A", &[]);
    world.platform_says("A", "hello", "public");
    assert_eq!(world.mirrored_to_servicenow(&world.ticket_of("A"))[0].1, "hello");
    let told = world.findings(FindingKind::TemplateFailed);
    assert!(told[0].text.contains("journal.template"), "{}", told[0].text);
}

/// A person who decides for one side is obeyed, also where that side's text was masked on its way.
#[test]
fn a_persons_decision_goes_over_an_original_too() {
    let mut world = incidents(
        json!({ "strategy": "manual-review", "fields": { "title": { "owner": "shared" } } }),
    );
    world.platform_edits("A", &[("title", "t")]);
    let ticket = world.ticket_of("A");
    world.agent_edits(&ticket, "short_description", "call 415-555-0132");
    assert_eq!(world.field("A", "title"), "call ***-***-0132");
    world.platform_edits_silently("A", &[("title", "ours")]);
    world.agent_edits(&ticket, "short_description", "call 415-555-0132 soon");
    let id = world.rows("conflict")[0]["id"].as_str().unwrap().to_owned();
    let integration = world.id();
    world.operate(firn_model::Operation::Resolve {
        integration,
        conflict: firn_model::ConflictId::new(id).unwrap(),
        resolution: firn_model::Resolution::UsePlatform,
    });
    assert_eq!(world.column(&ticket, "short_description"), "ours");
}

/// Masking that is switched on later protects what leaves from then on; it does not freeze what both
/// sides have in the clear already.
#[test]
fn masking_that_is_switched_on_later_freezes_nothing() {
    let document = |mask: bool| {
        json!({ "slug": "a", "preset": "incidents",
            "platform": { "callback_url": "https://platform.example/callback", "read_url": "https://platform.example/records/{id}" },
            "base_url": "https://example.service-now.com", "request_timeout": 1_000,
            "correlation": { "transaction_limit": 4_000 },
            "fields": { "title": { "owner": "shared", "mask": mask } } })
    };
    let mut world = Scenario::new(document(false));
    world.platform_edits("A", &[("title", "call 415-555-0132")]);
    let ticket = world.ticket_of("A");
    assert_eq!(world.column(&ticket, "short_description"), "call 415-555-0132");
    let id = world.id();
    let intent = firn_model::Intent::Act;
    let (status, said) =
        world.operate(firn_model::Operation::Apply { id, document: document(true), intent });
    assert!(status < 300, "{said}");
    world.platform_edits("A", &[("title", "call 415-555-0132 now")]);
    assert_eq!(world.column(&ticket, "short_description"), "call ***-***-0132 now");
    assert!(world.findings(FindingKind::MaskedEdit).is_empty());
}
