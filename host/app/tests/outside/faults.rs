//! The faults of the failure model that an instance and the network between can have, each a test named
//! for its number: the real rules, host and store, and an instance that fails on demand. (Others: 14 and 18
//! in `stream.rs`, 23 to 25 in `signin.rs`, 26 and 27 in `quirks.rs`, 39 in
//! `attachments.rs`.)

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::common::pair::{Pair, Place};
use firn_simulator::{Access, Faults, OutboundFaults, Pace, Permit, RequestFault, Trouble};
use serde_json::{Value as Json, json};

const SECRET: &str = "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cyBvZiBmYXVsdHM=";

fn hit(method: &str, path: &str, times: u32, trouble: Trouble) -> RequestFault {
    RequestFault {
        method: Some(method.to_owned()),
        path: Some(path.to_owned()),
        percent: 100,
        times: Some(times),
        after: 0,
        trouble,
    }
}

fn text(row: &firn_simulator::Record, name: &str) -> String {
    row.get(name).cloned().unwrap_or_default()
}

impl Pair {
    fn fails(&self, requests: Vec<RequestFault>) {
        self.simulator.set_faults(Faults { requests, ..Faults::default() });
    }

    /// Exactly one ticket in the end.
    async fn once(&self, id: &str, what: &str) {
        self.until(what, || !self.tickets(id).is_empty()).await;
        self.settled().await;
        assert_eq!(self.tickets(id).len(), 1, "{what}: {id}");
    }

    fn entries(&self, ticket: &str, element: &str) -> Vec<String> {
        let rows = self.simulator.rows("sys_journal_field").into_iter();
        let mine =
            rows.filter(|r| text(r, "element_id") == ticket && text(r, "element") == element);
        mine.map(|row| text(&row, "value")).collect()
    }

    fn said(&self, id: &str) -> Vec<String> {
        let record = self.platform.record(id);
        record.into_iter().flat_map(|r| r.comments).map(|c| c.text).collect()
    }

    async fn change(&self, patch: Json) {
        let url = format!("{}/integrations/{}", self.place.url, self.slug);
        let answer = self.place.http.patch(url).json(&patch).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// A webhook as a rule of the instance would send it.
    async fn webhook(&self, id: &str, at: u64, body: &str) -> u16 {
        let key = firn_remote::Secret::new(SECRET.to_owned());
        let signature = firn_remote::sign(&key, &format!("{id}.{at}.{body}")).unwrap();
        let url = format!("{}/webhooks/{}", self.place.url, self.slug);
        let request = self.place.http.post(url).header("content-type", "application/json");
        let request = request.header("webhook-id", id).header("webhook-timestamp", at.to_string());
        let request = request.header("webhook-signature", format!("v1,{signature}"));
        request.body(body.to_owned()).send().await.unwrap().status().as_u16()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

async fn pair(slug: &str, settings: Json) -> (Arc<Place>, Pair) {
    let place = Place::new().await;
    let pair = Pair::new(&place, slug, settings).await;
    (place, pair)
}

/// 429 with every kind of `Retry-After`: waited for as long as it says, and never for long if it says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn fault_7_throttled_with_every_kind_of_retry_after() {
    let (_place, pair) = pair("throttled", json!({})).await;
    let date = |seconds: u64| {
        let at = i64::try_from((now() + seconds) * 1_000).unwrap();
        firn_model::http_date_text(firn_model::Millis(at))
    };
    for (n, kind) in ["2", "in 4 s", "-5", "soon", "", "now"].into_iter().enumerate() {
        let retry_after = match kind {
            "in 4 s" => date(4),
            "now" => date(0),
            other => other.to_owned(),
        };
        let throttled = Trouble::Throttled { retry_after: retry_after.clone() };
        pair.fails(vec![hit("POST", "incident", 1, throttled)]);
        let (id, began) = (format!("t{n}"), Instant::now());
        pair.opens(&id);
        pair.once(&id, &format!("after Retry-After: {retry_after:?}")).await;
        let took = began.elapsed();
        if n < 2 {
            assert!(
                took >= Duration::from_millis(1_000),
                "{retry_after}: asked again after {took:?}"
            );
        }
        assert!(took < Duration::from_secs(15), "{retry_after}: {took:?}");
    }
    // An hour at most, whatever is asked; a person sees the backlog meanwhile.
    let ever = Trouble::Throttled { retry_after: "99999999".to_owned() };
    pair.fails(vec![hit("POST", "incident", 1, ever)]);
    pair.opens("ever");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(pair.tickets("ever").is_empty());
    assert_eq!(pair.status().await["backlog"], 1);
}

/// Answers that are none: after the ticket was made or without, there is one ticket in the end.
#[tokio::test(flavor = "multi_thread")]
async fn fault_8_answers_that_are_none_are_not_taken_for_success() {
    let (_place, pair) =
        pair("answers", json!({ "correlation": { "transaction_limit": 1000 } })).await;
    let troubles = [
        Trouble::Status { code: 500, retry_after: None },
        Trouble::Status { code: 502, retry_after: None },
        Trouble::Status { code: 503, retry_after: None },
        Trouble::StatusAfterCommit { code: 500 },
        Trouble::StatusAfterCommit { code: 504 },
        Trouble::LoginPage,
        Trouble::Hibernating,
        Trouble::Quota,
        Trouble::Empty,
        Trouble::CutJson,
        Trouble::Huge { mb: 50 },
    ];
    for (n, trouble) in troubles.into_iter().enumerate() {
        let what = format!("{trouble:?}");
        pair.fails(vec![hit("POST", "incident", 1, trouble)]);
        let id = format!("a{n}");
        pair.opens(&id);
        pair.once(&id, &what).await;
        let known = pair.place.get(&format!("/integrations/{}/links", pair.slug)).await;
        let link = known["links"].as_array().unwrap().iter().find(|l| l["platform_id"] == *id);
        let sys_id = text(&pair.tickets(&id)[0], "sys_id");
        assert!(link.unwrap().to_string().contains(&sys_id), "{what}: {known}");
    }
    // Writes and reads too: nothing that is not there is taken for empty, and no other row for this one.
    let ticket = text(&pair.tickets("a0")[0], "sys_id");
    for trouble in [Trouble::LoginPage, Trouble::Empty, Trouble::CutJson, Trouble::OtherRecord] {
        let what = format!("{trouble:?}");
        pair.fails(vec![
            hit("GET", "incident/", 2, trouble.clone()),
            hit("PATCH", "incident/", 1, trouble),
        ]);
        pair.platform.edit("incident", "a0", json!({ "title": what }));
        let carried = || text(&pair.tickets("a0")[0], "short_description") == what;
        pair.until(&format!("the edit goes through after {what}"), carried).await;
        assert_eq!(pair.field("a0", "title"), what.as_str());
    }
    assert_eq!(text(&pair.tickets("a0")[0], "sys_id"), ticket);
}

/// The instance cannot be reached in five ways; afterwards everything is there once.
#[tokio::test(flavor = "multi_thread")]
async fn fault_9_connections_that_fail_before_in_and_after_a_request() {
    let (_place, pair) = pair("reach", json!({ "request_timeout": 2000 })).await;
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    // One that reads the beginning of a request and hangs up.
    let rude = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let hangs_up = rude.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = rude.accept().await {
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 64]).await;
        }
    });
    let real = pair.simulator.url();
    let bad = [
        format!("http://{closed}"),
        format!("http://{hangs_up}"),
        // No TLS there, and no such host.
        real.replace("http://", "https://"),
        "https://no-such-instance.invalid".to_owned(),
    ];
    for (n, address) in bad.iter().enumerate() {
        pair.change(json!({ "base_url": address })).await;
        pair.opens(&format!("r{n}"));
        tokio::time::sleep(Duration::from_millis(600)).await;
        let status = pair.status().await;
        assert!(status["backlog"].as_u64() > Some(0), "{address}: {status}");
    }
    assert!(pair.simulator.rows("incident").is_empty());
    pair.change(json!({ "base_url": real })).await;
    for n in 0..bad.len() {
        pair.once(&format!("r{n}"), "once it can be reached").await;
    }
    // Broken off in the middle of everything.
    for (n, trouble) in [Trouble::Drop, Trouble::DropAfterCommit].into_iter().enumerate() {
        pair.fails(vec![hit("POST", "incident", 1, trouble)]);
        pair.opens(&format!("d{n}"));
        pair.once(&format!("d{n}"), "broken off").await;
    }
}

/// An answer that never ends is given up in time, and nobody else waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn fault_10_an_answer_that_never_ends_holds_nobody_up() {
    let (_place, pair) = pair("endless", json!({ "request_timeout": 1000 })).await;
    pair.fails(vec![hit("POST", "incident", 1, Trouble::Endless)]);
    pair.opens("e1");
    pair.until("it was made", || pair.tickets("e1").len() == 1).await;
    let began = Instant::now();
    pair.opens("e2");
    pair.until("others go on", || pair.tickets("e2").len() == 1).await;
    assert!(began.elapsed() < Duration::from_secs(10));
    pair.once("e1", "given up, and looked for").await;
}

/// The answer to a create, an update and a comment is lost after the commit.
#[tokio::test(flavor = "multi_thread")]
async fn fault_11_an_answer_lost_after_the_commit_doubles_nothing() {
    let (_place, pair) = pair("lost", json!({})).await;
    pair.fails(vec![hit("POST", "incident", 1, Trouble::DropAfterCommit)]);
    pair.opens("l1");
    pair.once("l1", "the create").await;
    let ticket = text(&pair.tickets("l1")[0], "sys_id");
    pair.fails(vec![hit("PATCH", "incident", 1, Trouble::DropAfterCommit)]);
    pair.platform.edit("incident", "l1", json!({ "title": "Checkout is down" }));
    let carried = || text(&pair.tickets("l1")[0], "short_description") == "Checkout is down";
    pair.until("the update", carried).await;
    pair.settled().await;
    pair.fails(vec![hit("PATCH", "incident", 1, Trouble::DropAfterCommit)]);
    pair.platform.say("incident", "l1", "ann", "We are on it.", "public");
    pair.until("the comment", || !pair.entries(&ticket, "comments").is_empty()).await;
    pair.settled().await;
    let before = pair.patches();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(pair.entries(&ticket, "comments"), ["We are on it."]);
    assert_eq!(pair.said("l1"), ["We are on it."], "and it did not come back");
    assert_eq!(pair.patches(), before, "nothing more is written");
}

/// A create that is carried out after its client gave up: plain and unique.
#[tokio::test(flavor = "multi_thread")]
async fn fault_12_a_late_commit_makes_no_second_ticket() {
    let place = Place::new().await;
    for mode in ["plain", "unique"] {
        let settings = json!({ "correlation": { "mode": mode, "transaction_limit": 4000 } });
        let pair = Pair::new(&place, mode, settings).await;
        if mode == "unique" {
            pair.simulator.unique_index("incident", "correlation_id");
        }
        pair.fails(vec![hit("POST", "incident", 1, Trouble::LateCommit { ms: 2_500 })]);
        pair.opens("c1");
        pair.until(mode, || !pair.tickets("c1").is_empty()).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        pair.once("c1", mode).await;
    }
}

/// The look-up after a lost answer does not see the ticket yet.
#[tokio::test(flavor = "multi_thread")]
async fn fault_13_a_replica_that_lags_makes_no_second_ticket() {
    let (_place, pair) =
        pair("lags", json!({ "correlation": { "transaction_limit": 4000 } })).await;
    pair.fails(vec![
        hit("POST", "incident", 1, Trouble::DropAfterCommit),
        hit("GET", "table/task", 3, Trouble::Unseen),
        hit("GET", "table/incident", 3, Trouble::Unseen),
    ]);
    pair.opens("v1");
    pair.once("v1", "looked for until it is seen").await;
}

/// Somebody writes between our look and our write, which goes over it: what they wrote is found in the history.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_wrote_between_a_look_and_a_write_is_recovered() {
    for readable in [true, false] {
        let slug = if readable { "between" } else { "between-hidden" };
        let settings = json!({ "fields": { "title": { "owner": "platform" } } });
        let (_place, pair) = pair(slug, settings).await;
        let ticket = pair.opened("b1").await;
        pair.fails(vec![hit("PATCH", "table/incident", 1, Trouble::Delay { ms: 1_500 })]);
        if !readable {
            let read = BTreeMap::from([("sys_audit".to_owned(), Permit::Refused)]);
            pair.simulator.set_access(Access { read, ..Access::default() });
        }
        let before = pair.patches();
        pair.platform.edit("incident", "b1", json!({ "title": "ours" }));
        pair.until("it is on its way", || pair.patches() > before).await;
        let theirs = json!({ "short_description": "mine, says ann.lee@example.com" });
        pair.agent(&ticket, theirs).await;
        pair.until("it is written", || text(&pair.tickets("b1")[0], "short_description") == "ours")
            .await;
        pair.settled().await;
        let told = async || pair.place.get(&format!("/integrations/{slug}/findings")).await;
        let wanted = if readable { "had written mine, says" } else { "look at its history" };
        let end = Instant::now() + Duration::from_secs(60);
        while !told().await.to_string().contains(wanted) {
            assert!(Instant::now() < end, "{wanted}: {}", told().await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let told = told().await.to_string();
        assert!(told.contains("overwritten-unseen") && !told.contains("ann.lee@"), "{told}");
        let link = &pair.place.get(&format!("/integrations/{slug}/links")).await["links"][0];
        let id = link["id"].as_str().unwrap();
        let why = pair.place.get(&format!("/integrations/{slug}/links/{id}/explain")).await;
        assert_eq!(
            why.to_string().contains("went over it without anybody having seen it"),
            readable,
            "{why}"
        );
    }
}

fn told(ticket: &firn_simulator::Record, count: u32, at: &str, title: &str) -> String {
    json!({ "sys_id": text(ticket, "sys_id"), "number": text(ticket, "number"), "table": "incident",
        "action": "update", "sys_mod_count": count.to_string(),
        "current": { "short_description": title, "sys_updated_on": at } })
    .to_string()
}

/// One webhook a thousand times, again with another signature, and again a day later.
#[tokio::test(flavor = "multi_thread")]
async fn fault_15_a_webhook_a_thousand_times_is_heard_once() {
    let settings =
        json!({ "polling": { "mode": "off" }, "fields": { "title": { "owner": "external" } } });
    let place = Place::new().await;
    let pair = Pair::with_secret(&place, "thousand", settings, SECRET).await;
    let ticket = pair.opened("w1").await;
    pair.agent(&ticket, json!({ "short_description": "from the desk" })).await;
    pair.until("it is heard", || pair.field("w1", "title") == "from the desk").await;
    pair.settled().await;
    let row = pair.tickets("w1")[0].clone();
    let (count, at) = (text(&row, "sys_mod_count").parse().unwrap(), text(&row, "sys_updated_on"));
    let body = told(&row, count, &at, "from the desk");
    let (writes, patches) = (pair.platform.writes(), pair.patches());
    let mut sent = Vec::new();
    for n in 0..1_000 {
        let id = if n % 2 == 0 { "same".to_owned() } else { format!("signed-again-{n}") };
        sent.push(pair.webhook(&id, now() - n % 200, &body).await);
    }
    assert!(sent.iter().all(|status| (200..300).contains(status)), "{sent:?}");
    assert_eq!(
        pair.webhook("day-old", now() - 86_400, &body).await,
        401,
        "not with a day-old signature"
    );
    pair.settled().await;
    assert_eq!((pair.platform.writes(), pair.patches()), (writes, patches));
    assert_eq!(pair.field("w1", "title"), "from the desk");
}

/// Webhooks come in any order: half of them up to two seconds late.
#[tokio::test(flavor = "multi_thread")]
async fn fault_16_webhooks_in_any_order_end_the_same() {
    let settings =
        json!({ "polling": { "mode": "off" }, "fields": { "title": { "owner": "external" } } });
    let (_place, pair) = pair("order", settings).await;
    let ticket = pair.opened("o1").await;
    let outbound =
        OutboundFaults { late: 50, late_ms: 2_000, doubled: 30, ..OutboundFaults::default() };
    pair.simulator.set_faults(Faults { outbound, ..Faults::default() });
    for n in 1..=12 {
        pair.agent(&ticket, json!({ "short_description": format!("version {n}") })).await;
        pair.agent(&ticket, json!({ "comments": format!("comment {n}") })).await;
    }
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    pair.until("the last version", || pair.field("o1", "title") == "version 12").await;
    pair.until("every comment", || pair.said("o1").len() >= 12).await;
    pair.settled().await;
    let mut said = pair.said("o1");
    said.sort();
    said.dedup();
    assert_eq!((said.len(), pair.said("o1").len()), (12, 12));
    assert_eq!(pair.field("o1", "title"), "version 12");
}

/// Two changes in one second: the counter tells which is later; without it the ticket is read.
#[tokio::test(flavor = "multi_thread")]
async fn fault_17_two_changes_in_one_second_are_told_apart() {
    let settings =
        json!({ "polling": { "mode": "off" }, "fields": { "title": { "owner": "external" } } });
    let place = Place::new().await;
    let pair = Pair::with_secret(&place, "second", settings, SECRET).await;
    pair.opened("s1").await;
    let row = pair.tickets("s1")[0].clone();
    let (count, at) =
        (text(&row, "sys_mod_count").parse::<u32>().unwrap(), text(&row, "sys_updated_on"));
    // What is told is so by then: no rule runs, so that only these webhooks tell.
    let id = text(&row, "sys_id");
    pair.simulator.set("incident", &id, "short_description", "the later");
    pair.simulator.set("incident", &id, "sys_mod_count", &(count + 2).to_string());
    assert_eq!(pair.webhook("two", now(), &told(&row, count + 2, &at, "the later")).await, 202);
    assert_eq!(pair.webhook("one", now(), &told(&row, count + 1, &at, "the earlier")).await, 202);
    pair.until("the later counts", || pair.field("s1", "title") == "the later").await;
    pair.settled().await;
    assert_eq!(pair.field("s1", "title"), "the later");
    // Without a counter nothing can be told by arrival: the ticket is read.
    pair.simulator.set("incident", &id, "short_description", "as it is");
    let reads = || pair.simulator.requests().get("GET incident").copied().unwrap_or(0);
    let before = reads();
    let mut uncounted: Json = serde_json::from_str(&told(&row, 0, &at, "as it was")).unwrap();
    uncounted.as_object_mut().unwrap().remove("sys_mod_count");
    assert_eq!(pair.webhook("three", now(), &uncounted.to_string()).await, 202);
    pair.until("it is read", || reads() > before).await;
    pair.until("as it is", || pair.field("s1", "title") == "as it is").await;
    pair.settled().await;
    assert_eq!(text(&pair.tickets("s1")[0], "short_description"), "as it is");
}

/// What cannot be worked off ends where people see it, and holds nothing else up.
#[tokio::test(flavor = "multi_thread")]
async fn fault_31_a_poison_event_ends_as_a_dead_letter_and_is_retried_once() {
    let (place, pair) = pair("poison", json!({})).await;
    // No retry would help: the instance refuses this one for good.
    pair.fails(vec![hit("POST", "incident", 1, Trouble::Status { code: 400, retry_after: None })]);
    pair.opens("p1");
    pair.told("refused").await;
    pair.opens("p2");
    pair.once("p2", "others go on").await;
    let letters = place.get("/integrations/poison/dlq").await;
    let letter = &letters["entries"][0];
    assert!(letter["reason"].to_string().contains("400"), "{letters}");
    assert!(pair.tickets("p1").is_empty());
    let path = format!("/integrations/poison/dlq/{}/retry", letter["id"].as_str().unwrap());
    for _ in 0..3 {
        place.post(&path, json!({})).await;
    }
    pair.once("p1", "retried").await;
    // A payload that no parser reads is answered so, and kept nowhere as work.
    for body in ["{", "[]", r#"{"id":"e","record":{"id":""}}"#, "\u{0}"] {
        let url = format!("{}/integrations/poison/events", place.url);
        let answer = place.http.post(url).body(body).send().await.unwrap();
        assert!(answer.status().is_client_error(), "{body:?}: {}", answer.status());
    }
    assert_eq!(pair.status().await["backlog"], 0);
}

/// A backlog while the instance is away: then the newest value once, and every comment in order.
#[tokio::test(flavor = "multi_thread")]
async fn fault_32_a_backlog_is_merged_but_for_comments_and_drains_at_the_limit() {
    let limits = json!({ "limits": { "requests_per_second": 20, "at_once": 2 } });
    let (_place, pair) = pair("backlog", limits).await;
    let ticket = pair.opened("b1").await;
    let down = RequestFault {
        times: None,
        ..hit("", "", 0, Trouble::Status { code: 503, retry_after: None })
    };
    pair.fails(vec![RequestFault { method: None, path: Some("/api/".to_owned()), ..down }]);
    for n in 1..=25 {
        pair.platform.edit("incident", "b1", json!({ "title": format!("version {n}") }));
        pair.platform.say("incident", "b1", "ann", &format!("comment {n:02}"), "public");
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = pair.patches();
    pair.fails(Vec::new());
    let last = || text(&pair.tickets("b1")[0], "short_description") == "version 25";
    pair.until("the last version", last).await;
    pair.until("every comment", || pair.entries(&ticket, "comments").len() >= 25).await;
    pair.settled().await;
    let mut there = pair.entries(&ticket, "comments");
    there.sort();
    let wanted: Vec<String> = (1..=25).map(|n| format!("comment {n:02}")).collect();
    assert_eq!(there, wanted);
    let patches = pair.patches() - before;
    assert!(patches < 25 + 10, "edits are merged: {patches} writes for 25 comments and 25 edits");
    assert!(pair.simulator.meter().most_in_a_second <= 20, "{:?}", pair.simulator.meter());
}

/// A mass outage in small (`cargo outage` is the whole of it): 200 calls within a second, at an instance that
/// takes 50 requests a second and 4 at once, refuses one in ten and loses one answer in twenty.
#[tokio::test(flavor = "multi_thread")]
async fn fault_33_a_mass_outage_makes_one_ticket_each_within_the_limits() {
    const CALLS: usize = 200;
    let place = Place::new().await;
    let settings = json!({ "provision": { "resource": true } });
    let pair = Pair::of_calls(&place, "outage", settings).await;
    let some = |percent, trouble| RequestFault {
        method: None,
        path: Some("/api/".to_owned()),
        percent,
        times: None,
        after: 0,
        trouble,
    };
    let requests = vec![
        some(5, Trouble::Status { code: 429, retry_after: None }),
        some(5, Trouble::Status { code: 503, retry_after: None }),
        some(5, Trouble::DropAfterCommit),
    ];
    let pace = Some(Pace { per_second: 50, at_once: 4 });
    pair.simulator.set_faults(Faults { requests, pace, ..Faults::default() });
    let calls: Vec<_> = (0..CALLS)
        .map(|n| {
            let (url, http) =
                (format!("{}/integrations/outage/escalations", place.url), place.http.clone());
            let body = json!({ "callId": format!("call-{n}"), "escalationReason": "outage",
                "queueName": "Support", "transcript": "the line is down since nine" });
            tokio::spawn(async move {
                let call = http.post(url).header("prefer", "wait=0").json(&body);
                call.send().await.unwrap().status().as_u16()
            })
        })
        .collect();
    for call in calls {
        let status = call.await.unwrap();
        assert!((200..=202).contains(&status), "{status}");
    }
    pair.until("every call has its ticket", || pair.simulator.count("incident") >= CALLS).await;
    pair.settled().await;
    for n in 0..CALLS {
        let ticket = pair.tickets(&format!("call-{n}"));
        assert_eq!(ticket.len(), 1, "call-{n}");
        let notes = pair.entries(&text(&ticket[0], "sys_id"), "work_notes");
        assert_eq!(notes.len(), 1, "its evidence, once: {notes:?}");
    }
    assert_eq!(pair.simulator.count("incident"), CALLS);
    let meter = pair.simulator.meter();
    assert_eq!(meter.too_fast, 0, "{meter:?}");
}

/// A reconcile run while people work, a dry run, and a stop.
#[tokio::test(flavor = "multi_thread")]
async fn fault_35_reconcile_races_live_edits_and_loses_none() {
    let settings = json!({ "polling": { "mode": "off" }, "reconcile": { "ask_above": 100 },
        "fields": { "title": { "owner": "external" }, "description": { "owner": "platform" } } });
    let (place, pair) = pair("races", settings).await;
    let ids: Vec<String> = (0..12).map(|n| format!("d{n}")).collect();
    for id in &ids {
        pair.opens(id);
    }
    for id in &ids {
        pair.once(id, "opened").await;
    }
    let drift = |title: &str| {
        for id in &ids {
            let ticket = text(&pair.tickets(id)[0], "sys_id");
            pair.simulator.set("incident", &ticket, "short_description", title);
            pair.simulator.set("incident", &ticket, "sys_mod_count", "40");
        }
    };
    drift("drifted");
    let run = |mode: &'static str| {
        let place = Arc::clone(&place);
        async move {
            let path = "/integrations/races/reconcile";
            let (status, run) = place.post(path, json!({ "mode": mode })).await;
            assert!(status < 300, "{run}");
            let at = format!("{path}/{}", run["id"].as_str().unwrap());
            loop {
                let run = place.get(&at).await;
                if run["state"] == "finished" {
                    return run;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    let (writes, patches) = (pair.platform.writes(), pair.patches());
    let reads = || -> u64 {
        let requests = pair.simulator.requests();
        requests.iter().filter(|(what, _)| what.starts_with("GET ")).map(|(_, n)| n).sum()
    };
    let before = reads();
    let shown = run("dry-run").await;
    assert_eq!(shown["drifted"], 12, "{shown}");
    assert!(reads() - before <= 3, "read together: {} requests for 12 tickets", reads() - before);
    assert_eq!(
        (pair.platform.writes(), pair.patches()),
        (writes, patches),
        "a dry run writes nothing"
    );
    let heals = tokio::spawn(run("auto-heal"));
    for id in &ids {
        pair.platform.edit("incident", id, json!({ "description": format!("live edit of {id}") }));
    }
    let healed = heals.await.unwrap();
    // A live edit reads the ticket before it writes: what had drifted is found by that, too.
    assert_eq!((&healed["checked"], &healed["failed"]), (&json!(12), &json!(0)), "{healed}");
    for id in &ids {
        pair.until("the owner's title", || pair.field(id, "title") == "drifted").await;
        let edit = format!("live edit of {id}");
        pair.until("the live edit", || text(&pair.tickets(id)[0], "description") == edit).await;
    }
}

/// Two integrations on one table: A's ticket is mirrored by B, and nothing goes round.
#[tokio::test(flavor = "multi_thread")]
async fn fault_40_two_integrations_on_one_table_do_not_go_round() {
    let place = Place::new().await;
    let desk = json!({ "fields": { "title": { "owner": "external" } } });
    let a = Pair::new(&place, "first", desk).await;
    let b = Pair::beside(
        &a,
        "second",
        json!({ "filters": { "mirror": "ticket.short_description != ''" } }),
    )
    .await;
    let ticket = a.opened("x1").await;
    b.until("the other mirrors it", || b.platform.record(&ticket).is_some()).await;
    a.platform.say("incident", "x1", "ann", "said at the first", "public");
    b.until("and hears it", || b.said(&ticket).contains(&"said at the first".to_owned())).await;
    b.platform.say("incident", &ticket, "bob", "said at the second", "public");
    a.until("both ways", || a.said("x1").contains(&"said at the second".to_owned())).await;
    b.platform.edit("incident", &ticket, json!({ "title": "renamed at the second" }));
    a.until("fields too", || a.field("x1", "title") == "renamed at the second").await;
    a.settled().await;
    b.settled().await;
    let writes = || (a.patches(), a.platform.writes(), b.platform.writes());
    let before = writes();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(writes(), before, "nothing goes round");
    let mut said = a.entries(&ticket, "comments");
    said.sort();
    assert_eq!(said, ["said at the first", "said at the second"]);
    assert_eq!(a.simulator.rows("incident").len(), 1);
}

/// A ticket that an agent merges into another (it becomes its child, and is closed), unheard: a run finds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_was_merged_unheard_is_healed() {
    let settings =
        json!({ "polling": { "mode": "off" }, "fields": { "status": { "owner": "external" } } });
    let (place, pair) = pair("merged", settings).await;
    let (child, parent) = (pair.opened("m1").await, pair.opened("m2").await);
    let outbound = OutboundFaults { lost: 100, ..OutboundFaults::default() };
    pair.simulator.set_faults(Faults { outbound, ..Faults::default() });
    let merge = json!({ "parent_incident": parent, "state": "7", "close_code": "Duplicate",
        "close_notes": "the same as the other", "work_notes": "merged" });
    pair.agent(&child, merge).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(pair.field("m1", "status"), "open", "nobody has heard of it");
    let path = "/integrations/merged/reconcile";
    let (status, run) = place.post(path, json!({ "mode": "auto-heal" })).await;
    assert!(status < 300, "{run}");
    pair.until("the record is closed", || pair.field("m1", "status") == "closed").await;
    pair.settled().await;
    assert_eq!(pair.field("m2", "status"), "open");
    assert_eq!(
        text(&pair.tickets("m1")[0], "parent_incident"),
        parent,
        "and the ticket is left alone"
    );
}
