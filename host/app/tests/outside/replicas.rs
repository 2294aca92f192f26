//! Several processes on one database: real ones, and a real PostgreSQL. What one is told the others know; what one
//! leaves undone the others do; nothing is lost or doubled by it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use firn_simulator::{Faults, Pace, RequestFault, Simulator, Trouble};
use firn_test_postgres::Server;
use serde_json::{Value as Json, json};

use crate::common::{Api, Firn, TOKEN, settle};
use crate::telemetry::metric;

/// Processes on one database, as they stand behind a load balancer: the first is where the world reaches them.
struct Place {
    server: Server,
    simulator: Simulator,
    runtime: tokio::runtime::Runtime,
    place: tempfile::TempDir,
    public: Option<String>,
    key: String,
}

impl Place {
    fn new() -> Option<Place> {
        let server = Server::there()?;
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let any = ([127, 0, 0, 1], 0).into();
        let simulator = runtime.block_on(Simulator::start(any, 1, Faults::default())).unwrap();
        let place = tempfile::tempdir().unwrap();
        let key = place.path().join("master.key");
        std::fs::write(&key, format!("{}\n", "5a".repeat(32))).unwrap();
        let key = format!("file:{}", key.display());
        Some(Place { server, simulator, runtime, place, public: None, key })
    }

    fn replica(&mut self, name: &str) -> (Firn, Api) {
        let environment = [("FIRN_STORE", self.server.url("firn")), ("FIRN_KEY", self.key.clone())];
        let data: PathBuf = self.place.path().join(name);
        let public = self.public.clone().map(|url| ["--public-url".to_owned(), url]);
        let more: Vec<&str> = public.iter().flatten().map(String::as_str).collect();
        let firn = Firn::start_in(&data, &more, None, Some(TOKEN), &environment);
        self.public.get_or_insert_with(|| firn.url.clone());
        let api = Api::new(&firn, Some(TOKEN));
        (firn, api)
    }

    fn integration(&self, preset: &str, slug: &str) -> Json {
        json!({
            "organization_id": "acme", "name": slug, "slug": slug, "preset": preset,
            "base_url": self.simulator.url(), "provision": true,
            "credentials": { "username": "integration", "password": "integration",
                "admin_username": "admin", "admin_password": "admin" },
            "settings": { "request_timeout": 5000, "correlation": { "transaction_limit": 2000 },
                "provision": { "resource": preset == "genesys" } },
        })
    }

    fn tickets(&self, key: &str) -> usize {
        let rows = self.simulator.rows("incident");
        rows.iter().filter(|row| row.get("correlation_id").is_some_and(|of| of == key)).count()
    }
}

/// How many processes this one knows of.
fn count(api: &Api) -> Option<f64> {
    let text = api.request("GET", "/metrics").send().unwrap().text().unwrap();
    metric(&text, "firn_replicas", &[])
}

/// A page of the console, as whoever signs in with the token sees it.
fn page(firn: &Firn, path: &str) -> String {
    let client = reqwest::blocking::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let sign_in = client.post(format!("{}/sign-in", firn.url)).header("origin", &firn.url);
    let signed_in = sign_in.form(&[("token", TOKEN)]).send().unwrap();
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    let page = client.get(format!("{}{path}", firn.url)).header("cookie", cookie).send().unwrap();
    assert_eq!(page.status(), 200);
    page.text().unwrap()
}

#[test]
fn what_one_replica_is_told_the_others_know() {
    let Some(mut place) = Place::new() else { return };
    let (one, at_one) = place.replica("one");
    let (two, at_two) = place.replica("two");
    settle("they do not know of each other", || {
        count(&at_one) == Some(2.0) && count(&at_two) == Some(2.0)
    });

    // An integration: made here, there a moment later, and its name is taken everywhere at once.
    let desk = place.integration("incidents", "desk");
    let (status, made) = at_one.call("POST", "/api/v1/integrations", &desk);
    assert_eq!(status, 201, "{made}");
    let (status, said) = at_two.call("POST", "/api/v1/integrations", &desk);
    assert_eq!(status, 409, "{said}");
    settle("the other does not know the integration", || {
        at_two.call("GET", "/api/v1/integrations/desk", &json!(null)).0 == 200
    });
    // The ping arrives where the world reaches them, which is not where it is waited for.
    let (status, examined) = at_two.call("POST", "/api/v1/integrations/desk/test", &json!({}));
    assert_eq!(status, 200, "{examined}");
    let checks = examined["checks"].as_array().unwrap();
    let trip = checks.iter().find(|check| check["name"] == "webhook round trip").unwrap();
    assert_eq!(trip["verdict"], "good", "{examined:#}");

    // What the platform tells one of, an agent's answer comes to another: it is one link.
    let event = json!({ "id": "e1", "type": "changed", "occurred_at": "2026-01-01T10:00:00Z",
        "record": { "kind": "incident", "id": "inc-1", "version": 1, "partial": false,
            "fields": { "title": "Search is slow", "description": "p99", "severity": "high", "status": "open", "assigned_to": null } } });
    let (status, said) = at_two.call("POST", "/api/v1/integrations/desk/events", &event);
    assert!(status < 300, "{said}");
    // The same again, at the other: it is known.
    let (status, said) = at_one.call("POST", "/api/v1/integrations/desk/events", &event);
    assert!(status < 300, "{said}");
    settle("there is no ticket", || place.tickets("inc-1") == 1);
    settle("they do not come to rest", || {
        at_one.get("/api/v1/integrations/desk/sync-status")["backlog"] == 0
    });
    let links = |api: &Api| api.get("/api/v1/integrations/desk/links");
    // Either may be asked in the middle of a change.
    settle("they do not show the same", || {
        let [one, two] = [links(&at_one), links(&at_two)];
        one["links"] == two["links"] && one["links"].as_array().is_some_and(|all| all.len() == 1)
    });
    assert_eq!(place.tickets("inc-1"), 1);

    // Settings changed at one hold at the other.
    let change = json!({ "settings": { "limits": { "requests_per_second": 7 } } });
    let (status, said) = at_two.call("PATCH", "/api/v1/integrations/desk", &change);
    assert_eq!(status, 200, "{said}");
    settle("the other goes by the settings of before", || {
        let shown = at_one.get("/api/v1/integrations/desk");
        shown["settings"]["limits"]["requests_per_second"] == 7
    });

    // Who is forgotten at one is shown by the other no more.
    let shown = || [&one, &two].map(|firn| page(firn, "/console/desk").contains("Search is slow"));
    settle("neither shows what was written", || shown().contains(&true));
    // At one that has to tell another of it.
    let eraser = if shown()[1] { &at_one } else { &at_two };
    settle("it cannot be forgotten", || {
        eraser.call("POST", "/api/v1/tenants/acme/forget", &json!({ "key": "inc-1" })).0 == 200
    });
    settle("one of them shows it still", || shown() == [false, false]);

    // A token opens every door, and none once it was revoked at any.
    let asked = json!({ "name": "reader", "role": "viewer" });
    let (status, token) = at_one.call("POST", "/api/v1/tokens", &asked);
    assert_eq!(status, 201, "{token}");
    assert_eq!(at_two.call("POST", "/api/v1/tokens", &asked).0, 409, "one of the name is enough");
    let secret = token["secret"].as_str().unwrap();
    let reader = |firn: &Firn| Api::new(firn, Some(secret));
    let (reads_one, reads_two) = (reader(&one), reader(&two));
    let open = |api: &Api| api.request("GET", "/api/v1/integrations").send().unwrap().status();
    settle("the other does not let it in", || open(&reads_two) == 200 && open(&reads_one) == 200);
    let id = token["id"].as_str().unwrap();
    assert_eq!(at_two.call("DELETE", &format!("/api/v1/tokens/{id}"), &json!(null)).0, 200);
    settle("the first lets it in still", || open(&reads_one) == 401 && open(&reads_two) == 401);

    // One that stops leaves at once.
    let began = Instant::now();
    two.terminate();
    settle("the one that ended is counted still", || count(&at_one) == Some(1.0));
    assert!(began.elapsed() < Duration::from_secs(20));
    let verified = one
        .command(&["audit", "verify"])
        .env("FIRN_STORE", place.server.url("firn"))
        .env("FIRN_KEY", &place.key)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success() && said.contains("nothing was changed"), "{said}");
    let _ = &place.runtime;
}

/// Faults 20 and 21: one is killed and one stopped for a while, in the middle of a flood with lost answers. What they
/// had begun the third ends; the one that goes on then does nothing a second time.
#[test]
fn fault_21_replicas_that_are_killed_or_stopped_lose_and_double_nothing() {
    const CALLS: usize = 150;
    let Some(mut place) = Place::new() else { return };
    let (killed, at_killed) = place.replica("killed");
    let (stopped, at_stopped) = place.replica("stopped");
    let (_third, at_third) = place.replica("third");
    let made =
        at_third.call("POST", "/api/v1/integrations", &place.integration("genesys", "calls"));
    assert_eq!(made.0, 201, "{}", made.1);
    let apis = [&at_killed, &at_stopped, &at_third];
    settle("they do not know of each other", || {
        apis.iter().all(|api| {
            count(api) == Some(3.0)
                && api.call("GET", "/api/v1/integrations/calls", &json!(null)).0 == 200
        })
    });
    let some = |percent, trouble| RequestFault {
        method: None,
        path: Some("/api/".to_owned()),
        percent,
        times: None,
        after: 0,
        trouble,
    };
    let requests = vec![
        some(5, Trouble::Status { code: 503, retry_after: None }),
        some(5, Trouble::DropAfterCommit),
    ];
    let pace = Some(Pace { per_second: 50, at_once: 4 });
    place.simulator.set_faults(Faults { requests, pace, ..Faults::default() });
    let mut killed = Some(killed);
    for n in 0..CALLS {
        if n == CALLS / 3 {
            stopped.signal("-STOP");
        }
        if n == CALLS / 2 {
            drop(killed.take());
        }
        let body = json!({ "callId": format!("call-{n}"), "escalationReason": "outage",
            "queueName": "Support", "transcript": "the line is down since nine" });
        // As a load balancer does: whoever does not answer is passed over.
        let taken = (0..apis.len()).any(|try_| {
            let at = (n + try_) % apis.len();
            let dead = (at == 0 && killed.is_none()) || (at == 1 && n >= CALLS / 3);
            !dead && {
                let call = apis[at].request("POST", "/api/v1/integrations/calls/escalations");
                let sent = call.header("prefer", "wait=0").json(&body).send();
                sent.is_ok_and(|answer| answer.status().is_success())
            }
        });
        assert!(taken, "call-{n}");
    }
    let all = || (0..CALLS).filter(|n| place.tickets(&format!("call-{n}")) >= 1).count();
    settle("not every call has its ticket", || all() == CALLS);
    // The one that was stopped goes on in the middle of what it did.
    stopped.signal("-CONT");
    let status = |api: &Api| api.get("/api/v1/integrations/calls/sync-status")["backlog"].clone();
    settle("it does not come to rest", || status(&at_third) == 0 && status(&at_stopped) == 0);
    settle("two are left", || count(&at_third) == Some(2.0) && count(&at_stopped) == Some(2.0));
    for n in 0..CALLS {
        assert_eq!(place.tickets(&format!("call-{n}")), 1, "call-{n}");
    }
    assert_eq!(place.simulator.count("incident"), CALLS);
    let rows = place.simulator.rows("sys_journal_field");
    let notes = rows.iter().filter(|row| row["element"] == "work_notes").count();
    assert_eq!(notes, CALLS, "the evidence of each, once");
}

/// An instance that takes a refresh token once: of several processes one asks at a time, with what the one before it
/// was given.
#[test]
fn replicas_renew_a_sign_in_one_after_the_other() {
    let Some(mut place) = Place::new() else { return };
    let (one, at_one) = place.replica("one");
    let (two, at_two) = place.replica("two");
    let mut body = place.integration("incidents", "desk");
    body["provision"] = false.into();
    body["credentials"] =
        json!({ "grant": "authorization-code", "client_id": "firn", "client_secret": "firn" });
    body["settings"]["external_user"] = "integration".into();
    let (status, made) = at_one.call("POST", "/api/v1/integrations", &body);
    assert_eq!(status, 201, "{made}");
    settle("the other does not know the integration", || {
        at_two.call("GET", "/api/v1/integrations/desk", &json!(null)).0 == 200
    });
    place.simulator.tokens_live(Duration::from_secs(4), true);
    // Asked for at the second; the browser comes back to the first.
    assert_eq!(crate::signin::connect_as(&two, "desk", "allow").0, 200);
    let event = |api: &Api, id: &str, title: &str| {
        let event = json!({ "id": id, "type": "changed", "occurred_at": "2026-01-01T10:00:00Z",
            "record": { "kind": "incident", "id": id, "version": 1, "partial": false,
                "fields": { "title": title, "description": "d", "severity": "high", "status": "open", "assigned_to": null } } });
        let (status, said) = api.call("POST", "/api/v1/integrations/desk/events", &event);
        assert!(status < 300, "{said}");
    };
    for round in 0..4 {
        place.simulator.revoke_tokens();
        for (n, api) in [&at_one, &at_two, &at_one, &at_two].into_iter().enumerate() {
            event(api, &format!("r{round}-{n}"), "signed in");
        }
        settle("not every ticket is there", || {
            (0..4).all(|n| place.tickets(&format!("r{round}-{n}")) == 1)
        });
    }
    for api in [&at_one, &at_two] {
        assert_eq!(api.get("/api/v1/integrations/desk")["sign_in"]["state"], "good");
    }
    drop(one);
}
