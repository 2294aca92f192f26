//! Attachments between a real instance's rules, a platform and the host: streamed, by hash, once.

use std::sync::Arc;

use crate::common::pair::{Pair, Place};
use axum::body::Bytes;
use firn_simulator::{Faults, OutboundFaults, RequestFault, Trouble};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

/// Polled every second, so that nobody has to wait.
fn quick(more: Json) -> Json {
    let mut settings = json!({ "polling": { "interval": 1000, "interval_alone": 1000 } });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

/// A pair whose files travel both ways, with one incident.
async fn pair(place: &Arc<Place>, slug: &str, settings: Json) -> Pair {
    let pair = Pair::with_files(place, slug, quick(settings)).await;
    let fields = json!({ "title": "Checkout is slow", "description": "p99 is 9 s",
        "severity": "high", "status": "open", "assigned_to": null });
    pair.platform.edit("incident", "i1", fields);
    pair.until("a ticket is made", || pair.ticket().is_some()).await;
    pair.settled().await;
    pair
}

impl Pair {
    /// The ticket's files: name and hash.
    fn on_ticket(&self) -> Vec<(String, String)> {
        let text = |r: &firn_simulator::Record, n: &str| r.get(n).cloned().unwrap_or_default();
        let rows = self.simulator.rows("sys_attachment");
        rows.iter().map(|r| (text(r, "file_name"), text(r, "hash"))).collect()
    }

    /// The record's files: name and hash.
    fn on_record(&self) -> Vec<(String, String)> {
        let record = self.platform.record("i1").unwrap();
        record.files.into_iter().map(|f| (f.name, hash(&f.content))).collect()
    }

    fn user_attaches(&self, name: &str, media: &str, content: &Bytes) -> String {
        self.platform.attach("incident", "i1", name, media, content.clone())
    }

    async fn agent_attaches(&self, name: &str, content: &Bytes) {
        let url = format!(
            "{}/api/now/attachment/file?table_name=incident&table_sys_id={}&file_name={name}",
            self.simulator.url(),
            self.column("sys_id")
        );
        let request = self.place.http.post(url).basic_auth("ann.lee", Some("ann.lee"));
        let request = request.header("content-type", "text/plain").body(content.clone());
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    }

    async fn explained(&self) -> Json {
        let links = self.place.get(&format!("/integrations/{}/links", self.slug)).await;
        let link = links["links"][0]["id"].as_str().unwrap().to_owned();
        self.place.get(&format!("/integrations/{}/links/{link}/explain", self.slug)).await
    }

    async fn told_text(&self) -> String {
        self.told("attachment-left").await;
        self.place.get(&format!("/integrations/{}/findings", self.slug)).await.to_string()
    }

    async fn resync(&self) {
        let links = self.place.get(&format!("/integrations/{}/links", self.slug)).await;
        let link = links["links"][0]["id"].as_str().unwrap().to_owned();
        let path = format!("/integrations/{}/links/{link}/resync", self.slug);
        let (status, answer) = self.place.post(&path, json!({})).await;
        assert_eq!(status, 202, "{answer}");
    }

    fn trouble(&self, method: &str, path: &str, trouble: Trouble) {
        let fault = RequestFault {
            method: Some(method.to_owned()),
            path: Some(path.to_owned()),
            percent: 100,
            times: Some(1),
            after: 0,
            trouble,
        };
        self.simulator.set_faults(Faults { requests: vec![fault], ..Faults::default() });
    }
}

fn hash(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect()
}

fn noise(bytes: usize, seed: u32) -> Bytes {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect::<Vec<u8>>().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_files_are_streamed_both_ways_byte_for_byte() {
    let place = Place::new().await;
    let pair = pair(&place, "large", json!({})).await;
    let (ours, theirs) = (noise(20 << 20, 1), noise(12 << 20, 2));
    pair.user_attaches("core.dump", "application/octet-stream", &ours);
    pair.agent_attaches("heap.bin", &theirs).await;
    let both = |mut files: Vec<(String, String)>| {
        files.sort();
        files == [("core.dump".to_owned(), hash(&ours)), ("heap.bin".to_owned(), hash(&theirs))]
    };
    pair.until("both are on the ticket", || both(pair.on_ticket())).await;
    pair.until("both are on the record", || both(pair.on_record())).await;
    pair.settled().await;
    // Each side has told of the copies by now, and the sweep has seen them.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    pair.settled().await;
    assert!(both(pair.on_ticket()) && both(pair.on_record()), "no copy came back");
    let explained = pair.explained().await;
    let shown = explained["attachments"].as_array().unwrap();
    assert_eq!(shown.len(), 2, "{explained}");
    assert!(shown.iter().all(|file| file["fate"]["there"].is_string()), "{explained}");
}

/// Fault 39: over a limit, and doubled by a retry.
#[tokio::test(flavor = "multi_thread")]
async fn fault_39_a_file_over_a_limit_is_told_and_one_that_is_retried_is_there_once() {
    let place = Place::new().await;
    let pair = pair(&place, "limits", json!({ "attachments": { "max_size": 4096 } })).await;
    pair.user_attaches("large 4111111111111111.txt", "text/plain", &noise(5_000, 3));
    let told = pair.told_text().await;
    assert!(told.contains("attachments.max_size") && !told.contains("4111111111111111"), "{told}");
    // The answer is lost after the file was taken; then one that fails before.
    pair.trouble("POST", "attachment/file", Trouble::DropAfterCommit);
    let first = noise(4_000, 4);
    pair.user_attaches("first.txt", "text/plain", &first);
    pair.until("it is there", || pair.on_ticket().len() == 1).await;
    pair.settled().await;
    pair.trouble("POST", "attachment/file", Trouble::StatusAfterCommit { code: 500 });
    let second = noise(4_000, 5);
    pair.user_attaches("second.txt", "text/plain", &second);
    pair.until("the second too", || pair.on_ticket().len() >= 2).await;
    pair.settled().await;
    pair.trouble("POST", "attachment/file", Trouble::LateCommit { ms: 1_500 });
    let third = noise(4_000, 6);
    pair.user_attaches("third.txt", "text/plain", &third);
    pair.until("the third too", || pair.on_ticket().len() >= 3).await;
    pair.settled().await;
    let mut there = pair.on_ticket();
    there.sort();
    let wanted = [("first.txt", &first), ("second.txt", &second), ("third.txt", &third)];
    assert_eq!(there, wanted.map(|(name, content)| (name.to_owned(), hash(content))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_instance_refuses_is_told_and_goes_on_when_that_is_mended() {
    let place = Place::new().await;
    let pair = pair(&place, "refused", json!({})).await;
    let property = ("name", "glide.attachment.extensions");
    pair.simulator.import("sys_properties", &[property, ("value", "txt")]).unwrap();
    let shot = noise(1_000, 7);
    pair.user_attaches("shot.png", "image/png", &shot);
    let told = pair.told_text().await;
    assert!(told.contains("403") && told.contains("extension"), "{told}");
    // The next one is not held up.
    pair.user_attaches("note.txt", "text/plain", &noise(10, 8));
    pair.until("another is carried", || pair.on_ticket().len() == 1).await;
    let rows = pair.simulator.rows("sys_properties");
    let row = rows.iter().find(|r| r["name"] == property.1).unwrap()["sys_id"].clone();
    pair.simulator.set("sys_properties", &row, "value", "txt,png");
    pair.resync().await;
    let there = || pair.on_ticket().contains(&("shot.png".to_owned(), hash(&shot)));
    pair.until("and it goes on", there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_or_goes_on_its_way_is_never_half_there() {
    let place = Place::new().await;
    let pair = pair(&place, "changes", json!({})).await;
    // Measured, and another by the time it is sent: the request for the list is answered late.
    pair.trouble("GET", "/api/now/attachment", Trouble::Delay { ms: 1_500 });
    let file = pair.user_attaches("draft.txt", "text/plain", &noise(50_000, 9));
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    let last = noise(60_000, 10);
    pair.platform.replace(&file, &last);
    pair.until("the last version is there", || {
        pair.on_ticket() == [("draft.txt".to_owned(), hash(&last))]
    })
    .await;
    pair.settled().await;
    assert_eq!(pair.on_ticket().len(), 1);
    // An event about a file that is nowhere.
    let body = json!({ "id": "gone-1", "record": { "id": "i1" },
        "attachments": [{ "id": "no-such", "name": "gone.txt", "content_type": "text/plain" }] });
    let (status, answer) = place.post("/integrations/changes/events", body).await;
    assert_eq!(status, 202, "{answer}");
    let told = pair.told_text().await;
    assert!(told.contains("deleted before it was carried"), "{told}");
    let body = json!({ "id": "bad-1", "record": { "id": "i1" }, "attachments": [{ "id": "x" }] });
    let (status, answer) = place.post("/integrations/changes/events", body).await;
    assert!((400..500).contains(&status), "{status} {answer}");
    assert!(answer.to_string().contains("attachments[0].content_type"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_which_no_webhook_tells_are_found_and_those_that_were_there_before() {
    let place = Place::new().await;
    let settings = json!({ "filters": { "mirror": "ticket.short_description != ''" } });
    let pair = Pair::with_files(&place, "found", quick(settings)).await;
    let outbound = OutboundFaults { lost: 100, ..OutboundFaults::default() };
    pair.simulator.set_faults(Faults { outbound, ..Faults::default() });
    let columns = [("short_description", "Opened at the desk"), ("state", "1")];
    let id = pair.simulator.create("incident", &columns).await.unwrap();
    let before = noise(100, 11);
    pair.agent_attaches("before.txt", &before).await;
    let files = || -> Vec<String> {
        let record = pair.platform.record(&id);
        record.map(|r| r.files.into_iter().map(|f| f.name).collect()).unwrap_or_default()
    };
    pair.until("the ticket is mirrored with its file", || files() == ["before.txt"]).await;
    pair.agent_attaches("after.txt", &noise(100, 12)).await;
    pair.until("and what comes later", || files() == ["before.txt", "after.txt"]).await;
    pair.settled().await;
    assert_eq!(pair.on_ticket().len(), 2);
}

/// Two records on one ticket: what the one's user put there is no business of the other's, also once it has left.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_one_record_never_reaches_another_on_its_ticket() {
    let place = Place::new().await;
    let pair = pair(&place, "shared", json!({})).await;
    let fields = json!({ "title": "Checkout is slow", "description": "p99 is 9 s",
        "severity": "high", "status": "open", "assigned_to": null });
    pair.platform.edit("incident", "i2", fields);
    pair.until("another ticket is made", || pair.simulator.rows("incident").len() == 2).await;
    pair.settled().await;
    let links = place.get("/integrations/shared/links").await;
    let link = |record: &str| {
        let of = links["links"].as_array().unwrap().iter().find(|l| l["platform_id"] == record);
        of.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let at = |path: &str| format!("/integrations/shared/{path}");
    let (first, second) = (link("i1"), link("i2"));
    let (status, answer) = place.post(&at(&format!("links/{second}/unlink")), json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let ticket = json!({ "platform_id": "i2", "ticket": pair.column("number") });
    let (status, answer) = place.post(&at("links"), ticket).await;
    assert_eq!(status, 202, "{answer}");
    pair.settled().await;
    let secret = noise(1_000, 31);
    pair.user_attaches("passport.png", "image/png", &secret);
    pair.until("it is on the ticket", || pair.on_ticket().len() == 1).await;
    pair.settled().await;
    place.post(&at(&format!("links/{first}/unlink")), json!({})).await;
    // The ticket's files are listed anew for the one that is left, and the sweep has seen them.
    let (status, answer) = place.post(&at(&format!("links/{second}/resync")), json!({})).await;
    assert_eq!(status, 202, "{answer}");
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    pair.settled().await;
    pair.agent_attaches("of-the-desk.txt", &noise(10, 32)).await;
    let names = || -> Vec<String> {
        let record = pair.platform.record("i2").unwrap();
        record.files.into_iter().map(|f| f.name).collect()
    };
    pair.until("what the desk attaches gets there", || !names().is_empty()).await;
    pair.settled().await;
    assert_eq!(names(), ["of-the-desk.txt"]);
}

/// One that is answered slowly, and one that never ends: neither is waited for longer than its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_platform_whose_files_never_come_holds_nothing_up() {
    let place = Place::new().await;
    let pair = pair(
        &place,
        "slow",
        json!({ "request_timeout": 1000, "attachments": { "max_size": 1000 } }),
    )
    .await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let contract = json!({ "platform": { "callback_url": pair.callback(), "read_url": pair.read_url(),
        "attachment_read_url": format!("http://{address}/{{id}}") } });
    let url = format!("{}/integrations/slow", place.url);
    let answer = place.http.patch(url).json(&contract).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    for n in 0..4 {
        pair.user_attaches(&format!("{n}.txt"), "text/plain", &noise(10, 20 + n));
    }
    pair.agent(&pair.column("sys_id"), json!({ "comments": "still here" })).await;
    pair.until("comments go on meanwhile", || {
        pair.platform.record("i1").unwrap().comments.iter().any(|c| c.text == "still here")
    })
    .await;
}
