//! Webhook and poll as one stream: whatever share of the webhooks is lost, both sides end the same.
//! The numbers are those of the failure model.

use std::sync::Arc;

use crate::common::pair::{Pair, Place};
use firn_simulator::{Faults, OutboundFaults};
use serde_json::{Value as Json, json};

/// Polled every second, so that nobody has to wait.
fn polled(more: Json) -> Json {
    let mut settings = json!({ "polling": { "interval": 1000, "interval_alone": 1000 } });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

async fn losing(place: &Arc<Place>, slug: &str, lost: u32, more: Json) -> Pair {
    let pair = Pair::new(place, slug, polled(more)).await;
    lose(&pair, lost);
    pair
}

fn lose(pair: &Pair, lost: u32) {
    let outbound = OutboundFaults { lost, ..OutboundFaults::default() };
    pair.simulator.set_faults(Faults { outbound, ..Faults::default() });
}

impl Pair {
    fn says(&self, id: &str) -> Vec<String> {
        let record = self.platform.record(id);
        record.into_iter().flat_map(|r| r.comments).map(|c| c.text).collect()
    }
}

/// Fault 14: webhooks are lost, any share of them.
#[tokio::test(flavor = "multi_thread")]
async fn fault_14_webhooks_lost_in_any_share_change_nothing_but_the_time() {
    let place = Place::new().await;
    let shares = [0, 30, 100].map(|lost| {
        let place = Arc::clone(&place);
        tokio::spawn(async move {
            let settings = json!({ "fields": { "description": { "owner": "external" } } });
            let pair = losing(&place, &format!("lost-{lost}"), lost, settings).await;
            let id = pair.opened("i1").await;
            for n in 1..=5 {
                let words = format!("edit {n}");
                pair.agent(&id, json!({ "description": words })).await;
                pair.agent(&id, json!({ "comments": format!("comment {n}") })).await;
            }
            pair.agent(&id, json!({ "work_notes": "not for the caller" })).await;
            pair.until("the last edit arrives", || pair.field("i1", "description") == "edit 5")
                .await;
            pair.until("every comment arrives once", || {
                let mut said = pair.says("i1");
                said.retain(|text| text.starts_with("comment"));
                said.sort(); // Within one second their order is that of their ids.
                said == ["comment 1", "comment 2", "comment 3", "comment 4", "comment 5"]
            })
            .await;
            // A ticket that is deleted, of which no webhook ever tells.
            let url = format!("{}/api/now/table/incident/{id}", pair.simulator.url());
            let sent = place.http.delete(url).basic_auth("admin", Some("admin")).send().await;
            assert!(sent.unwrap().status().is_success());
            pair.told("record-gone").await;
            pair.settled().await;
        })
    });
    for share in shares {
        share.await.unwrap();
    }
}

/// Fault 18: more rows in one second than a page. The sweep walks over all of them, and finds the one
/// that concerns it.
#[tokio::test(flavor = "multi_thread")]
async fn fault_18_more_rows_in_one_second_than_a_page_are_walked_over() {
    let place = Place::new().await;
    let settings = json!({ "fields": { "description": { "owner": "external" } },
        "polling": { "interval": 3_600_000, "interval_alone": 3_600_000 } });
    let pair = losing(&place, "crowd", 100, settings).await;
    let id = pair.opened("i1").await;
    // An import touches everything in one transaction: one second, and no rule runs.
    pair.agent(&id, json!({ "description": "imported" })).await;
    let at = pair.column("sys_updated_on");
    for n in 0..950 {
        let id = format!("{n:031x}a");
        pair.simulator.import("incident", &[("sys_id", &id), ("sys_updated_on", &at)]).unwrap();
    }
    let (status, answer) = place.post("/integrations/crowd/poll", json!({})).await;
    assert_eq!(status, 202, "{answer}");
    pair.until("the one is found", || pair.field("i1", "description") == "imported").await;
    let pages = pair.simulator.requests()["GET incident"];
    assert!(pages >= 6, "950 rows are more than a page: {pages}");
    assert!(!pair.status().await["caught_up_at"].is_null());
}

/// A ticket that the platform is to be told of, although its webhook was lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_is_opened_unheard_is_mirrored() {
    let place = Place::new().await;
    let settings = json!({ "filters": { "mirror": "ticket.short_description != ''" } });
    let pair = losing(&place, "unheard", 100, settings).await;
    let columns = [("short_description", "Opened at the desk"), ("state", "1")];
    let id = pair.simulator.create("incident", &columns).await.unwrap();
    pair.until("it is mirrored", || pair.field(&id, "title") == "Opened at the desk").await;
}

/// Seed 004's schedule, as its curl line sends it.
#[tokio::test(flavor = "multi_thread")]
async fn runs_are_scheduled_as_the_seed_sends_it() {
    let place = Place::new().await;
    let pair = losing(&place, "hourly", 0, json!({})).await;
    let path = format!("/integrations/{}/reconcile/schedule", pair.slug);
    let body = json!({ "interval": "1h", "auto_heal": true, "enabled": true });
    let (status, schedule) = place.post(&path, body).await;
    assert_eq!((status, &schedule["interval"]), (200, &json!(3_600_000)), "{schedule}");
    assert_eq!(place.get(&path).await["schedule"], schedule);
    for (interval, status) in
        [("1d", 200), ("1d 12h", 200), ("30m", 200), ("10s", 422), ("soon", 422)]
    {
        let (answered, told) = place.post(&path, json!({ "interval": interval })).await;
        assert_eq!(answered, status, "{interval}: {told}");
    }
    let (status, _) = place.post(&path, json!({ "interval": "1h", "enabled": false })).await;
    assert_eq!(status, 200);
    assert!(place.get(&path).await["schedule"]["next"].is_null());
}
