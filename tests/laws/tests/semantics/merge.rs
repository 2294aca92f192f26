//! Who wins: ownership, strategies, value maps, order, empty values, writes that are ignored or rewritten.

use super::*;

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

// ---- ignored and rewritten writes --------------------------------------------------------------

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

// ---- references --------------------------------------------------------------------------------

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

#[test]
fn a_side_that_contradicts_and_shows_nothing_is_not_written_to_for_ever() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    world.platform_contradicts();
    world.agent_edits("A", "assigned_to", "0000000000000000000000000000a001");
    world.pass(600_000);
    assert!(world.posted().len() <= 4, "{} writes", world.posted().len());
    let findings = world.findings(FindingKind::WriteIgnored);
    assert!(findings.iter().any(|f| f.text.contains("not as we saw it")), "{findings:?}");
}

#[test]
fn a_conflict_cannot_be_resolved_by_what_would_be_written_where_nothing_is() {
    let mut world = incidents(json!({ "direction": "to-platform", "filters": { "mirror": "true" },
        "fields": { "title": { "owner": "shared", "strategy": "manual-review" } } }));
    let number = world.agent_opens("incident", &[("short_description", "t")]);
    let record = world.rows("link")[0]["platform_id"].as_str().unwrap().to_owned();
    world.pass(60_000);
    world.deaf = true;
    world.agent_edits(&number, "short_description", "Theirs");
    world.deaf = false;
    world.platform_edits(&record, &[("title", "Ours")]);
    world.agent_edits(&number, "description", "heard of again");
    let conflict = world.rows("conflict").pop().unwrap();
    assert_eq!(conflict["state"], "open", "{conflict}");
    let id = ConflictId::new(conflict["id"].as_str().unwrap()).unwrap();
    let mut resolve = |resolution| {
        let (integration, conflict) = (world.id(), id.clone());
        world.operate(Operation::Resolve { integration, conflict, resolution })
    };
    let (status, problem) = resolve(Resolution::UsePlatform);
    assert_eq!(
        (status, &problem["type"]),
        (422, &json!("https://firn.dev/problems/one-way")),
        "{problem}"
    );
    assert_eq!(resolve(Resolution::UseExternal).0, 200);
    assert_eq!(world.field(&record, "title"), "Theirs");
}
