//! A stored row that this version of Firn does not understand. It waits; everything else goes on.

use super::*;

fn path<'a>(kind: &'a str, id: &'a str) -> [&'a str; 3] {
    [kind, "int-1", id]
}

/// Two pairs, and what stands in the row of the first one's link.
fn two_pairs() -> (Scenario, String, Json) {
    let mut world = incidents(json!({}));
    for record in ["A", "B"] {
        world.platform_edits(record, &[("title", "t")]);
    }
    let link = world.link("A");
    let row = serde_json::to_value(&link).unwrap();
    (world, link.id.as_str().to_owned(), row)
}

#[test]
fn a_row_of_a_newer_version_waits_and_nothing_waits_with_it() {
    let (mut world, id, row) = two_pairs();
    let mut newer = row.clone();
    newer["table"] = json!({ "card": "4111 1111 1111 1111" });
    world.left(&path("link", &id), &newer);
    // In one batch with it, and after it.
    let (status, _) = world.webhook_beside(
        json!({ "sys_id": "00000000000000000000000000000000", "table_name": "incident" }),
        Operation::Poll { integration: integration() },
    );
    assert_eq!(status, 202);
    world.platform_edits("B", &[("title", "goes on")]);
    assert_eq!(world.column("B", "short_description"), "goes on");

    let told = world.findings(FindingKind::RowUnreadable);
    assert_eq!(told.len(), 1, "{told:?}");
    let text = &told[0].text;
    assert!(text.starts_with(&format!("link/int-1/{id} cannot be read")), "{text}");
    assert!(text.contains("Run the version of firn that wrote it"), "{text}");
    assert!(!text.contains("4111"), "{text}");

    // The version that wrote it is back.
    world.platform_edits("A", &[("title", "waits")]);
    world.left(&path("link", &id), &row);
    world.pass(600_000);
    world.platform_edits("A", &[("title", "is back")]);
    assert_eq!(world.column("A", "short_description"), "is back");
}

/// What is due and cannot be read is not looked at again and again.
#[test]
fn a_row_that_cannot_be_read_is_looked_at_every_ten_minutes() {
    let (mut world, id, row) = two_pairs();
    let mut newer = row;
    newer["entries"] = json!("none");
    world.left(&path("link", &id), &newer);
    world.settle();
    let first = world.findings(FindingKind::RowUnreadable)[0].at;
    world.pass(3_600_000);
    let last = world.findings(FindingKind::RowUnreadable)[0].at;
    assert!(last.since(first) >= 3_000_000, "{}", last.since(first));
}

/// Sweeps and runs look at many rows at once.
#[test]
fn what_is_swept_beside_it_is_not_held_up() {
    let mut world = incidents(json!({ "polling": { "mode": "alone" } }));
    for record in ["A", "B"] {
        world.platform_edits(record, &[("title", "t")]);
    }
    world.pass(120_000);
    let mut newer = serde_json::to_value(world.link("A")).unwrap();
    newer["generation"] = json!("first");
    let (a, b) = (world.ticket_of("A"), world.ticket_of("B"));
    let id = world.link("A").id;
    world.left(&path("link", id.as_str()), &newer);
    world.deaf = true;
    world.agent_says(&a, "comments", "waits");
    world.agent_edits(&a, "state", "2");
    world.agent_says(&b, "comments", "goes on");
    world.agent_edits(&b, "assigned_to", "0000000000000000000000000000a001");
    world.pass(180_000);
    assert_eq!(world.field("B", "assigned_to"), "ann@example.com");
    assert_eq!(world.mirrored_to_platform("B").len(), 1);
    assert_eq!(world.reconcile(RunMode::AutoHeal)["state"], "finished");
    assert_eq!(world.findings(FindingKind::RowUnreadable).len(), 1);
}

/// Whoever asks for it is told, with what can be done.
#[test]
fn who_asks_for_a_row_that_cannot_be_read_is_told() {
    let (mut world, id, row) = two_pairs();
    let link = world.link("A").id;
    let mut newer = row;
    newer["fields"] = json!(["nothing", "that", "is", "known"]);
    world.left(&path("link", &id), &newer);
    let (status, problem) = world.operate(Operation::Resync { integration: integration(), link });
    assert_eq!((status, &problem["title"]), (503, &json!("A stored row cannot be read")));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(&id) && detail.contains("restore a backup"), "{detail}");
}

/// Settings that an earlier version let in: nothing of the integration moves, until they are mended.
#[test]
fn settings_that_are_not_sound_any_more_can_be_mended() {
    let (mut world, ..) = two_pairs();
    let stored = world.stored(&["integration", "int-1"]);
    let mut unsound = stored.clone();
    unsound["settings"]["filters"]["mirror"] = json!("this is no (condition");
    // The memory of the process does not hide it.
    unsound["version"] = json!(7);
    world.left(&["integration", "int-1"], &unsound);
    let (status, problem) = world.webhook(json!({ "sys_id": "0".repeat(32) }));
    assert_eq!(
        (status, &problem["title"]),
        (503, &json!("A stored row cannot be read")),
        "{problem}"
    );
    let told = world.findings(FindingKind::RowUnreadable);
    assert!(told[0].text.contains("not sound for this version"), "{told:?}");

    world.left(&["integration", "int-1"], &stored);
    world.pass(600_000);
    world.platform_edits("A", &[("title", "is mended")]);
    assert_eq!(world.column("A", "short_description"), "is mended");
}
