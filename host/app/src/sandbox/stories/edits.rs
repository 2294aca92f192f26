//! Both sides edit one incident; conflicts; what was missed is found.

use std::time::Duration;

use firn_simulator::{Faults, OutboundFaults};
use serde_json::{Value as Json, json};

use super::super::Teller;
use super::super::stage::Stage;
use super::{field, incident, reconcile};

/// (c) An edit on each side.
pub(super) async fn both_ways(stage: &Stage, teller: &mut Teller) {
    teller.chapter("c. Both sides edit one incident (seed 004)");
    let id = "inc-100";
    let made = incident(stage, id).await;
    let ticket = (stage.column(id, "short_description"), stage.column(id, "priority"));
    teller.expect(
        "an incident of the platform gets a ticket",
        made && ticket == ("Checkout is slow (inc-100)".to_owned(), "2".to_owned()),
        format!("{ticket:?}"),
    );
    stage.settled(&stage.incidents).await;
    let before = (stage.patches(), stage.incidents.platform.writes());
    stage.incidents.platform.edit(
        "incident",
        id,
        json!({ "title": "Checkout is down", "severity": "critical" }),
    );
    let carried = stage
        .until(|| {
            stage.column(id, "short_description") == "Checkout is down"
                && stage.column(id, "priority") == "1"
        })
        .await;
    teller.expect(
        "the platform's edit reaches ServiceNow",
        carried,
        format!("priority {}", stage.column(id, "priority")),
    );
    stage.agent(id, json!({ "assigned_to": stage.user("ann.lee") })).await;
    let carried = stage.until(|| field(stage, id, "assigned_to") == "ann.lee@example.com").await;
    teller.expect(
        "the agent's assignment reaches the platform by e-mail",
        carried,
        field(stage, id, "assigned_to").to_string(),
    );
    stage.settled(&stage.incidents).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    stage.settled(&stage.incidents).await;
    let after = (stage.patches(), stage.incidents.platform.writes());
    // One PATCH of ours and one of the agent; one callback. Anything more would be an echo.
    let writes = (after.0 - before.0, after.1 - before.1);
    teller.expect(
        "and nothing echoes",
        writes == (2, 1),
        format!(
            "{} writes to ServiceNow (one the agent's), {} to the platform",
            writes.0, writes.1
        ),
    );

    stage.agent(id, json!({ "work_notes": "Rolling back." })).await;
    let internal = || {
        stage.incidents.platform.record(id).is_some_and(|r| {
            r.comments.iter().any(|c| c.text == "Rolling back." && c.visibility == "internal")
        })
    };
    teller.expect(
        "a work note reaches the internal channel",
        stage.until(internal).await,
        "visibility internal",
    );
}

/// Both sides change the title; the platform first, and its event is late.
pub(super) async fn collide(stage: &Stage, id: &str, ours: &str, theirs: &str) {
    let back = stage.incidents.platform.hold();
    stage.incidents.platform.edit("incident", id, json!({ "title": ours }));
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    stage.agent(id, json!({ "short_description": theirs })).await;
    stage.incidents.platform.release(back);
}

fn agree(stage: &Stage, id: &str, title: &str) -> bool {
    stage.column(id, "short_description") == title && field(stage, id, "title") == title
}

/// (d) One conflict under each strategy.
pub(super) async fn conflicts(stage: &Stage, teller: &mut Teller) {
    teller.chapter("d. Both sides change the same title (seed 004)");
    let side = &stage.incidents;
    let set = |strategy: &str| json!({ "settings": { "strategy": strategy, "fields": { "title": { "owner": "shared", "platform_priority": 10 } } } });

    stage.patch(side, set("last-write-wins")).await;
    incident(stage, "inc-201").await;
    collide(stage, "inc-201", "from the platform", "from the agent").await;
    let won = stage.until(|| agree(stage, "inc-201", "from the agent")).await;
    teller.expect(
        "last-write-wins: the later edit stands on both sides",
        won,
        stage.column("inc-201", "short_description"),
    );
    let audit = stage.of(side, "audit").await.to_string();
    teller.expect(
        "the loser is kept in the audit",
        audit.contains("from the platform") && audit.contains("last-write-wins"),
        "from: \"from the platform\"",
    );

    stage.patch(side, set("ownership-priority")).await;
    incident(stage, "inc-202").await;
    collide(stage, "inc-202", "from the platform", "from the agent").await;
    let won = stage.until(|| agree(stage, "inc-202", "from the platform")).await;
    teller.expect(
        "ownership-priority: the higher priority stands",
        won,
        stage.column("inc-202", "short_description"),
    );

    stage.patch(side, set("manual-review")).await;
    incident(stage, "inc-203").await;
    collide(stage, "inc-203", "from the platform", "from the agent").await;
    let mut open = Json::Null;
    for _ in 0..200 {
        let all = stage.of(side, "conflicts").await;
        open = all["conflicts"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|c| c["state"] == "open")
            .cloned()
            .unwrap_or_default();
        if open.is_object() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let parted = stage.column("inc-203", "short_description") == "from the agent"
        && field(stage, "inc-203", "title") == "from the platform";
    teller.expect(
        "manual-review: nothing is overwritten, a person is asked",
        open.is_object() && parted,
        open["id"].as_str().unwrap_or("no conflict"),
    );
    let path = format!(
        "/integrations/{}/conflicts/{}/resolve",
        side.id,
        open["id"].as_str().unwrap_or_default()
    );
    let (status, _) = stage.post(&path, json!({ "use": "platform" }).to_string()).await;
    let won = stage.until(|| agree(stage, "inc-203", "from the platform")).await;
    teller.expect(
        "the person's choice reaches both sides",
        status == 200 && won,
        stage.column("inc-203", "short_description"),
    );
    let (status, _) = stage.post(&path, json!({ "use": "external" }).to_string()).await;
    teller.expect(
        "a conflict is resolved once",
        status == 409,
        format!("{status} the second time"),
    );
    stage.patch(side, json!({ "settings": { "strategy": "last-write-wins", "fields": { "title": { "owner": "platform" } } } })).await;
}

/// (e) All webhooks are lost. The instance is polled once a minute anyway; here nobody waits for that.
pub(super) async fn unheard(stage: &Stage, teller: &mut Teller) {
    teller.chapter("e. Webhooks are lost, and polling finds what they would have told (seed 000)");
    let id = "inc-300";
    incident(stage, id).await;
    lose_webhooks(stage);
    stage.agent(id, json!({ "assigned_to": stage.user("ann.lee") })).await;
    stage.agent(id, json!({ "comments": "We see it too." })).await;
    let path = format!("/integrations/{}/poll", stage.incidents.id);
    let (status, asked) = stage.post(&path, "{}".to_owned()).await;
    let tables = asked["tables"].as_array().map_or(0, Vec::len);
    teller.expect(
        "the instance is asked for what is new",
        status == 202 && tables == 3,
        asked["tables"].to_string(),
    );
    let carried = stage.until(|| field(stage, id, "assigned_to") == "ann.lee@example.com").await;
    teller.expect("the edit is found", carried, field(stage, id, "assigned_to").to_string());
    let says = || -> Vec<String> {
        let record = stage.incidents.platform.record(id);
        record.map(|r| r.comments.into_iter().map(|c| c.text).collect()).unwrap_or_default()
    };
    let said = stage.until(|| says().iter().any(|text| text == "We see it too.")).await;
    teller.expect("and the comment", said, format!("{:?}", says()));
    stage.settled(&stage.incidents).await;
    let status = stage.of(&stage.incidents, "sync-status").await;
    teller.expect(
        "and it is told up to when everything was seen",
        status["caught_up_at"].is_string(),
        status["caught_up_at"].to_string(),
    );
    stage.simulator.set_faults(Faults::default());
}

/// (f) A webhook that never came.
pub(super) async fn missed(stage: &Stage, teller: &mut Teller) {
    teller.chapter("f. Nobody polls either, and reconcile finds what was missed (seed 004)");
    let id = "inc-301";
    incident(stage, id).await;
    polling(stage, "off").await;
    lose_webhooks(stage);
    stage.agent(id, json!({ "assigned_to": stage.user("bob.ray") })).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    let unseen = field(stage, id, "assigned_to") == Json::Null;
    teller.expect(
        "with webhooks lost and polling off the edit is missed",
        unseen,
        field(stage, id, "assigned_to").to_string(),
    );
    let before = (stage.patches(), stage.incidents.platform.writes());
    let run = reconcile(stage, &stage.incidents, "dry-run").await;
    let shown = run["drifts"].to_string().contains("assigned_to");
    teller.expect(
        "a dry run shows it",
        run["drifted"] == 1 && shown,
        run["drifts"][0]["fields"][0]["verdict"].as_str().unwrap_or_default(),
    );
    let after = (stage.patches(), stage.incidents.platform.writes());
    teller.expect(
        "and writes nothing",
        before == after && field(stage, id, "assigned_to") == Json::Null,
        format!("{before:?} before, {after:?} after"),
    );
    reconcile(stage, &stage.incidents, "auto-heal").await;
    let healed = stage.until(|| field(stage, id, "assigned_to") == "bob.ray@example.com").await;
    teller.expect("auto-heal mends it", healed, field(stage, id, "assigned_to").to_string());
    stage.simulator.set_faults(Faults::default());
    polling(stage, "behind").await;
}

fn lose_webhooks(stage: &Stage) {
    let outbound = OutboundFaults { lost: 100, ..OutboundFaults::default() };
    stage.simulator.set_faults(Faults { outbound, ..Faults::default() });
}

async fn polling(stage: &Stage, mode: &str) {
    stage.patch(&stage.incidents, json!({ "settings": { "polling": { "mode": mode } } })).await;
}
