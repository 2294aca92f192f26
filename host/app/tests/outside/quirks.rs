//! What nobody is sure of about ServiceNow, both ways: one story, played under every quirk of the
//! simulator at once beside each other, ends the same. And faults 26 and 27: what an instance does to
//! columns and tickets behind our back is told, never taken for an edit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::pair::{PATIENCE, Pair, Place};
use firn_simulator::{Access, Faults, Permit, Quirks, RequestFault, Trouble};
use serde_json::{Value as Json, json};

impl Pair {
    /// A business rule of the instance's own, before a ticket is saved.
    async fn rule(&self, action: &str, script: &str) -> String {
        let columns = [
            ("name", "Their own"),
            ("collection", "incident"),
            ("when", "before"),
            (action, "true"),
            ("script", script),
        ];
        self.simulator.create("sys_script", &columns).await.unwrap()
    }

    /// A rule of the instance aborts our write: it is told, and the ticket stays as it is.
    async fn an_edit_is_refused(&self) {
        let before = self.column("short_description");
        let script =
            "if (current.short_description == 'forbidden') { current.setAbortAction(true); }";
        self.rule("action_update", script).await;
        self.platform.edit("incident", "i1", json!({ "title": "forbidden" }));
        self.told("refused").await;
        assert_eq!(self.column("short_description"), before);
    }
}

fn record() -> Json {
    json!({ "title": "Checkout is slow", "description": "p99 is 9 s", "severity": "high",
        "status": "open", "assigned_to": null })
}

/// An incident is made, edited on both sides, commented on from both, and resolved.
async fn story(pair: &Pair) {
    let (platform, simulator) = (&pair.platform, &pair.simulator);
    platform.edit("incident", "i1", record());
    pair.until("no ticket", || pair.column("short_description") == "Checkout is slow").await;
    pair.settled().await;
    let id = pair.column("sys_id");
    let users = simulator.rows("sys_user");
    let ann = users.iter().find(|u| u["user_name"] == "ann.lee").unwrap()["sys_id"].clone();

    pair.agent(&id, json!({ "assigned_to": ann, "state": "2" })).await;
    pair.until("the assignment is not carried", || {
        pair.field("i1", "assigned_to") == "ann.lee@example.com"
    })
    .await;
    platform.edit(
        "incident",
        "i1",
        json!({ "title": "Checkout is very slow", "severity": "critical" }),
    );
    pair.until("the edit is not carried", || {
        pair.column("short_description") == "Checkout is very slow"
            && pair.column("priority") == "1"
    })
    .await;
    pair.settled().await;
    pair.agent(&id, json!({ "comments": "looking into it" })).await;
    pair.settled().await;
    platform.say("incident", "i1", "pat", "any news?", "public");
    let heard = || {
        let record = platform.record("i1").unwrap_or_default();
        record.comments.iter().filter(|c| c.text == "looking into it").count()
    };
    let said = || {
        simulator
            .rows("sys_journal_field")
            .iter()
            .filter(|r| r["value"].contains("any news?"))
            .count()
    };
    pair.until("the comments are not carried", || heard() == 1 && said() == 1).await;
    pair.settled().await;
    platform.edit("incident", "i1", json!({ "status": "resolved" }));
    pair.until("the resolution is not carried", || {
        pair.column("state") == "6" && !pair.column("close_code").is_empty()
    })
    .await;
    pair.settled().await;
    // Read both sides of everything again: nothing is left to do, nothing is doubled.
    let path = format!("/integrations/{}/reconcile", pair.slug);
    let (_, mut run) = pair.place.post(&path, json!({ "mode": "dry-run" })).await;
    while run["state"] == "running" {
        tokio::time::sleep(Duration::from_millis(50)).await;
        run = pair.place.get(&format!("{path}/{}", run["id"].as_str().unwrap())).await;
    }
    assert_eq!((&run["drifted"], &run["failed"]), (&json!(0), &json!(0)), "{}: {run:#}", pair.slug);
    pair.settled().await;
    assert_eq!((heard(), said(), simulator.rows("incident").len()), (1, 1, 1), "{}", pair.slug);
    assert_eq!(pair.column("short_description"), "Checkout is very slow", "{}", pair.slug);
    assert_eq!(pair.findings().await, [""; 0], "{}", pair.slug);
    let dead = pair.place.get(&format!("/integrations/{}/dlq", pair.slug)).await;
    assert_eq!(dead["entries"], json!([]), "{}", pair.slug);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_story_ends_the_same_under_every_quirk() {
    let place = Place::new().await;
    let mut stories = tokio::task::JoinSet::new();
    let mut all = Quirks::each();
    all.push(("none".to_owned(), Quirks::default()));
    assert!(all.len() > 20);
    for (name, quirks) in all {
        let place = Arc::clone(&place);
        stories.spawn(async move {
            let pair = Pair::new(&place, &name, json!({})).await;
            if name == "dates-in-user-zone" {
                let users = pair.simulator.rows("sys_user");
                let user = users.iter().find(|u| u["user_name"] == "integration").unwrap();
                pair.simulator.set("sys_user", &user["sys_id"], "time_zone", "America/New_York");
            }
            pair.simulator.set_quirks(quirks);
            story(&pair).await;
        });
    }
    while let Some(done) = stories.join_next().await {
        done.unwrap();
    }
}

/// With the Scripted REST resource installed the whole story goes through it; a create whose answer
/// is lost is simply sent again, and an edit that comes in between is not written over.
#[tokio::test(flavor = "multi_thread")]
async fn the_resource_keeps_keys_unique_and_sees_what_came_in_between() {
    let place = Place::new().await;
    let settings = json!({ "provision": { "resource": true },
        "correlation": { "transaction_limit": 300_000 }, "request_timeout": 5000 });
    let pair = Pair::new(&place, "resource", settings).await;
    let lost = |method: &str, path: &str, trouble| Faults {
        requests: vec![RequestFault {
            method: Some(method.to_owned()),
            path: Some(path.to_owned()),
            percent: 100,
            times: Some(1),
            after: 0,
            trouble,
        }],
        ..Faults::default()
    };
    // Without it, this would have to wait five minutes for the transaction to end.
    pair.simulator.set_faults(lost("POST", "/firn_int_", Trouble::DropAfterCommit));
    story(&pair).await;
    let requests = pair.simulator.requests();
    assert_eq!(requests.get("POST incident"), None, "every create goes through the resource");
    let id = pair.column("sys_id");

    pair.simulator.set_faults(lost("PATCH", "/firn_int_", Trouble::Delay { ms: 1_500 }));
    pair.platform.edit("incident", "i1", json!({ "title": "from the platform" }));
    tokio::time::sleep(Duration::from_millis(700)).await;
    pair.agent(&id, json!({ "description": "from the agent" })).await;
    pair.until("the edit is not carried", || {
        pair.column("short_description") == "from the platform"
    })
    .await;
    pair.settled().await;
    assert_eq!(pair.findings().await, [""; 0], "nothing was written over unseen");
    assert_eq!(pair.simulator.rows("incident").len(), 1);

    // A rule that refuses is told as ever.
    pair.an_edit_is_refused().await;

    // A rule rewrites the key: the ticket is known by its sys_id all the same, once, and it is told.
    let rule =
        pair.rule("action_insert", "current.correlation_id = 'x-' + current.correlation_id;").await;
    pair.platform.edit("incident", "i3", record());
    pair.told("write-ignored").await;
    pair.settled().await;
    assert_eq!(pair.simulator.rows("incident").len(), 2);
    pair.simulator.set("sys_script", &rule, "active", "false");

    // Taken away, nothing is written elsewhere: work waits until it is back.
    let (status, _) = pair.place.post("/integrations/resource/unprovision", json!({})).await;
    assert_eq!(status, 200);
    pair.platform.edit("incident", "i2", record());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(pair.simulator.rows("incident").len(), 2);
    let (status, _) = pair.place.post("/integrations/resource/provision", json!({})).await;
    assert_eq!(status, 200);
    pair.until("the second is not made", || pair.simulator.rows("incident").len() == 3).await;
}

/// By the Table API, where a rule of the instance rewrites the key: it says that the ticket was made, and
/// nobody finds it. Once more would be another one; it is told instead.
#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_was_confirmed_and_is_not_found_is_not_made_again() {
    let place = Place::new().await;
    let pair = Pair::new(&place, "rewritten", json!({})).await;
    pair.rule("action_insert", "current.correlation_id = 'theirs';").await;
    pair.platform.edit("incident", "i1", record());
    pair.told("refused").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(pair.simulator.rows("incident").len(), 1);
    let dead = pair.place.get("/integrations/rewritten/dlq").await;
    assert_eq!(dead["entries"].as_array().unwrap().len(), 1, "{dead:#}");
    assert!(dead["entries"][0]["reason"].as_str().unwrap().contains("none has its key"));
}

/// Two provisionings and a change at once: nothing is doubled, nothing is lost, both are content.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_at_once_does_not_collide() {
    let place = Place::new().await;
    let pair = Pair::new(&place, "once", json!({})).await;
    pair.place.post("/integrations/once/unprovision", json!({})).await;
    let slow = RequestFault {
        method: None,
        path: Some("/table/sys_".to_owned()),
        percent: 100,
        times: None,
        after: 0,
        trouble: Trouble::Delay { ms: 40 },
    };
    pair.simulator.set_faults(Faults { requests: vec![slow], ..Faults::default() });
    let path = "/integrations/once/provision";
    let patch = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let url = format!("{}/integrations/once", pair.place.url);
        let body = json!({ "settings": { "conflict_window": 7_777 },
            "credentials": { "client_id": "firn", "client_secret": "firn" } });
        pair.place.http.patch(url).json(&body).send().await.unwrap().status().as_u16()
    };
    let (one, two, status) =
        tokio::join!(pair.place.post(path, json!({})), pair.place.post(path, json!({})), patch);
    assert_eq!((one.0, two.0, status), (200, 200, 200), "{one:?} {two:?}");
    pair.simulator.set_faults(Faults::default());
    let rules: Vec<String> =
        pair.simulator.rows("sys_script").into_iter().map(|r| r["name"].clone()).collect();
    assert_eq!(rules.len(), 3, "{rules:?}");
    let shown = pair.place.get("/integrations/once").await;
    assert_eq!(
        (&shown["settings"]["conflict_window"], &shown["sign_in"]["grant"]),
        (&json!(7_777), &json!("client-credentials"))
    );
    let (_, report) = pair.place.post("/integrations/once/test", json!({})).await;
    assert_eq!(report["ok"], true, "{report:#}");
}

/// Fault 26: a column that is hidden is not empty, and one that is not writable is told once; nothing
/// of it is carried as an edit, and everything else goes on.
#[tokio::test(flavor = "multi_thread")]
async fn fault_26_hidden_and_read_only_columns_are_told_and_never_taken_for_empty() {
    let place = Place::new().await;
    for (slug, settings) in
        [("columns", json!({})), ("columns-resource", json!({ "provision": { "resource": true } }))]
    {
        columns(&Pair::new(&place, slug, settings).await).await;
    }
}

async fn columns(pair: &Pair) {
    pair.platform.edit("incident", "i1", record());
    pair.until("no ticket", || pair.column("description") == "p99 is 9 s").await;
    pair.settled().await;
    let id = pair.column("sys_id");

    // An access rule hides a column; an agent changes another.
    let hidden = Access { hidden: vec!["task.description".to_owned()], ..Access::default() };
    pair.simulator.set_access(hidden);
    pair.agent(&id, json!({ "urgency": "3", "impact": "3" })).await;
    let (_, _) = pair
        .place
        .post(&format!("/integrations/{}/reconcile", pair.slug), json!({ "mode": "auto-heal" }))
        .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    pair.settled().await;
    assert_eq!(pair.field("i1", "description"), "p99 is 9 s", "hidden is not empty");
    assert_eq!(pair.column("description"), "p99 is 9 s");

    // A column whose writes are ignored: told, and not tried for ever.
    let ignored =
        Access { read_only: vec!["task.short_description".to_owned()], ..Access::default() };
    pair.simulator.set_access(ignored);
    pair.platform.edit("incident", "i1", json!({ "title": "new title", "severity": "critical" }));
    pair.until("the rest is not written", || pair.column("priority") == "1").await;
    pair.settled().await;
    assert_eq!(pair.column("short_description"), "Checkout is slow");
    assert_eq!(pair.field("i1", "title"), "new title", "what was ignored is no edit of the agent");
    assert!(
        pair.findings().await.iter().any(|kind| kind == "write-ignored"),
        "{:?}",
        pair.findings().await
    );
    let writes = pair.patches();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(writes, pair.patches(), "no fight");

    // A rule of the instance aborts our write: it is told, and the ticket stays as it is.
    pair.simulator.set_access(Access::default());
    pair.an_edit_is_refused().await;
    assert_eq!(pair.column("short_description"), "Checkout is slow");

    // A rule that rewrites what we write: taken over once, no fight.
    pair.rule("action_update", "if (String(current.description).indexOf('[desk] ') != 0) { current.description = '[desk] ' + current.description; }").await;
    pair.platform.edit("incident", "i1", json!({ "description": "p99 is 12 s" }));
    pair.until("not rewritten", || pair.column("description").starts_with("[desk] ")).await;
    pair.settled().await;
    let before = pair.patches();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(before, pair.patches(), "no fight over a rewritten value");
}

/// Fault 27: a ticket that is deleted is gone for good, one that is hidden or re-classed is not; no
/// other one is made in its place.
#[tokio::test(flavor = "multi_thread")]
async fn fault_27_deleted_hidden_and_closed_tickets_are_told_apart() {
    let place = Place::new().await;
    let pair = Pair::new(&place, "gone", json!({})).await;
    pair.platform.edit("incident", "i1", record());
    pair.until("no ticket", || pair.ticket().is_some()).await;
    pair.settled().await;
    let id = pair.column("sys_id");
    let reconcile = || async {
        pair.place.post("/integrations/gone/reconcile", json!({ "mode": "auto-heal" })).await;
        tokio::time::sleep(Duration::from_millis(800)).await;
    };
    let state = || async {
        let links = pair.place.get("/integrations/gone/links").await;
        links["links"][0]["state"].as_str().unwrap_or_default().to_owned()
    };
    // Hidden from us: nothing is concluded.
    let open = state().await;
    let hidden =
        Access { read: [("incident".to_owned(), Permit::Empty)].into(), ..Access::default() };
    pair.simulator.set_access(hidden);
    reconcile().await;
    assert_eq!(state().await, open, "hidden is not gone");
    pair.simulator.set_access(Access::default());
    pair.platform.edit("incident", "i1", json!({ "title": "still there" }));
    pair.until("it does not go on", || pair.column("short_description") == "still there").await;
    pair.settled().await;

    // Deleted: a tombstone, and no ticket in its place however often the platform speaks.
    let url = format!("{}/api/now/table/incident/{id}", pair.simulator.url());
    let sent = pair.place.http.delete(url).basic_auth("admin", Some("admin")).send().await.unwrap();
    assert_eq!(sent.status(), 204);
    reconcile().await;
    for n in 0..3 {
        pair.platform.edit("incident", "i1", json!({ "title": format!("edit {n}") }));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    pair.settled().await;
    assert_ne!(state().await, open, "a deleted ticket is told");
    assert_eq!(pair.simulator.rows("incident").len(), 0, "no re-create loop");
    assert_eq!(pair.field("i1", "title"), "edit 2", "the other side is kept");

    // Closed and locked: the platform's edit is refused by the instance, told, and not fought for.
    pair.platform.edit("incident", "i2", record());
    pair.until("no second ticket", || pair.ticket().is_some()).await;
    pair.settled().await;
    pair.platform.edit("incident", "i2", json!({ "status": "closed" }));
    pair.until("the close is not carried", || pair.column("state") == "7").await;
    pair.settled().await;
    pair.platform.edit("incident", "i2", json!({ "status": "open" }));
    tokio::time::sleep(Duration::from_secs(2)).await;
    pair.settled().await;
    assert_eq!(pair.column("state"), "7");
    let before = pair.simulator.requests().get("PATCH incident").copied().unwrap_or_default();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = pair.simulator.requests().get("PATCH incident").copied().unwrap_or_default();
    assert_eq!(before, after, "no fight over a closed ticket");
    assert_eq!(pair.simulator.rows("incident").len(), 1);

    // There is nothing at the address of a create: kept as a dead letter, and made when it is retried.
    let nothing = RequestFault {
        method: Some("POST".to_owned()),
        path: Some("/table/incident".to_owned()),
        percent: 100,
        times: None,
        after: 0,
        trouble: Trouble::Status { code: 404, retry_after: None },
    };
    pair.simulator.set_faults(Faults { requests: vec![nothing], ..Faults::default() });
    pair.platform.edit("incident", "i9", record());
    let dead = || async {
        let dead = pair.place.get("/integrations/gone/dlq").await;
        let entries = dead["entries"].as_array().unwrap();
        entries.iter().find(|entry| entry["work"] == "create").map(|entry| entry["id"].clone())
    };
    let end = Instant::now() + PATIENCE;
    let entry = loop {
        if let Some(entry) = dead().await {
            break entry;
        }
        assert!(Instant::now() < end, "a create that is nowhere taken is not told");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    pair.simulator.set_faults(Faults::default());
    let retry = format!("/integrations/gone/dlq/{}/retry", entry.as_str().unwrap());
    pair.place.post(&retry, json!({})).await;
    pair.until("it is not made", || pair.simulator.rows("incident").len() == 2).await;
}
