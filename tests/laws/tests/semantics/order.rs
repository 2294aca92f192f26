//! Order where clocks cannot give it, settings that change, and what cannot be looked at.

use super::*;

#[test]
fn changed_settings_write_nothing_by_themselves() {
    let mut world = title(json!({ "owner": "platform", "when": "false" }));
    world.platform_edits("A", &[("title", "t")]);
    world.platform_edits("A", &[("title", "ours")]);
    assert_ne!(world.column("A", "short_description"), "ours", "it does not travel");
    let writes = world.writes();
    configure(&mut world, json!({ "fields": { "title": { "when": null } } }));
    world.pass(600_000);
    assert_eq!(world.writes(), writes, "nothing was told of since");
    // It can be seen before it is done.
    let run = world.reconcile(RunMode::DryRun);
    assert_eq!((&run["drifted"], world.writes()), (&json!(1), writes), "{run}");
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.column("A", "short_description"), "ours");
}

#[test]
fn within_one_second_the_counter_orders() {
    let mut world = title(json!({ "owner": "external" }));
    world.platform_edits("A", &[("title", "t")]);
    world.deaf = true;
    let words = ["first", "second", "third", "fourth"];
    for word in words {
        world.agent_edits("A", "short_description", word);
    }
    world.deaf = false;
    let at = world.updated("A");
    for count in [3, 1, 4, 2_usize] {
        let current = json!({ "short_description": words[count - 1], "correlation_id": "A" });
        let body = webhook(&world, u32::try_from(count).ok(), &at, &current);
        world.webhook(body);
    }
    assert_eq!(world.field("A", "title"), "fourth");
    let posted: Vec<String> = world
        .posted()
        .iter()
        .filter_map(|body| Some(body["set"]["title"].as_str()?.to_owned()))
        .collect();
    assert_eq!(posted, ["third", "fourth"], "what is older is not told any more");
}

#[test]
fn what_has_neither_counter_nor_time_is_read_and_never_believed() {
    let mut world = title(json!({ "owner": "external" }));
    world.platform_edits("A", &[("title", "t")]);
    world.deaf = true;
    world.agent_edits("A", "short_description", "true words");
    world.deaf = false;
    let ticket = world.ticket_of("A");
    world.webhook(
        json!({ "sys_id": ticket, "number": "INC1", "table": "incident", "action": "update",
        "current": { "short_description": "whose words?" } }),
    );
    assert_eq!(world.field("A", "title"), "true words");
    // A platform's event without a version or a time.
    let mut world = title(json!({ "owner": "platform" }));
    world.platform_edits("A", &[("title", "t")]);
    world.platform_edits_silently("A", &[("title", "now")]);
    world.event(json!({ "id": "e-bare", "type": "changed",
        "record": { "id": "A", "kind": "incident", "fields": { "title": "whenever" }, "partial": true } }));
    world.settle();
    assert_eq!(world.column("A", "short_description"), "now");
}

#[test]
fn the_journal_is_in_the_order_of_time_and_then_of_ids() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    world.deaf = true;
    // All within one second of the instance, whose ids grow.
    for text in ["one", "two", "three", "four"] {
        world.agent_says("A", "comments", text);
    }
    world.deaf = false;
    world.reconcile(RunMode::AutoHeal);
    let said: Vec<String> =
        world.mirrored_to_platform("A").into_iter().map(|(text, _)| text).collect();
    assert_eq!(said, ["one", "two", "three", "four"]);
}

#[test]
fn a_push_only_platform_is_said_to_be_not_verifiable() {
    let push_only = json!({ "callback_url": "https://platform.example/callback" });
    for (platform, links) in [(push_only, 1), (Json::Null, 0)] {
        let mut document = json!({ "preset": "incidents" });
        if !platform.is_null() {
            document["platform"] = platform;
        }
        let mut world = Scenario::new(document);
        world.platform_edits("A", &[]);
        let run = world.reconcile(RunMode::DryRun);
        assert_eq!(run["not_verifiable"], links, "{run}");
    }
}
