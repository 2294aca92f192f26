//! Values that nobody but their owner may see are planted at every entrance; then every place that
//! Firn writes to or shows is searched for them: the other side, comments, callbacks, logs, API,
//! command line, and every file.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Firn, TOKEN, settle};
use crate::console::Visitor;
use crate::telemetry::collector;
use firn_simulator::{Faults, Simulator};
use serde_json::{Value as Json, json};

/// What is planted, in one text.
const TEXT: &str = "pay with 4111 1111 1111 1111, call +1 415 555 0142, write to zz.sentinel@example.com, \
    SSN 219-09-9999, password: Sentinel-Pw-7731, token ghp_Zz0123456789abcdefghijklmnopqrstuvwxyz12";
/// What is not mapped: it may be stored, sealed, and goes nowhere.
const UNMAPPED: &str = "zz-unmapped-sentinel";
/// No part of it may be found.
const PARTS: [&str; 9] = [
    "4111 1111",
    "41111111",
    "415 555",
    "4155550142",
    "zz.sentinel",
    "219-09-9999",
    "Sentinel-Pw",
    "ghp_Zz",
    UNMAPPED,
];

fn assert_clean(place: &str, text: &str) {
    for part in PARTS {
        let at = text.find(part);
        assert!(
            at.is_none(),
            "{part:?} in {place}: {}",
            at.map(|at| text[at.saturating_sub(120)..].chars().take(240).collect::<String>())
                .unwrap_or_default()
        );
    }
}

/// A platform that keeps what it is told, and says no to some of it, with the sentinels in its words.
fn platform(told: Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/callback", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            let body = loop {
                let n = stream.read(&mut buffer).unwrap_or(0);
                request.extend_from_slice(&buffer[..n]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head
                    .lines()
                    .find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.parse().ok())
                    .unwrap_or(0);
                if n == 0 || body.len() >= length {
                    break body.to_owned();
                }
            };
            let refuse = body.contains("refuse me");
            told.lock().unwrap().push(body);
            let (status, answer) = match refuse {
                true => ("422 Unprocessable Entity", json!({ "title": "no", "detail": TEXT })),
                false => ("200 OK", json!({})),
            };
            let answer = answer.to_string();
            let head =
                format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close");
            let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

/// The tokens of phone numbers in a text.
fn tokens(text: &str) -> std::collections::BTreeSet<String> {
    let after = text.split("[PHONE:").skip(1);
    after.filter_map(|rest| rest.split(']').next().map(str::to_owned)).collect()
}

/// Reads what open pages are told.
fn watch(url: &str, cookie: &str) -> Arc<Mutex<String>> {
    let told = Arc::new(Mutex::new(String::new()));
    let http = reqwest::blocking::Client::builder().no_proxy().timeout(None).build().unwrap();
    let request = http.get(format!("{url}/console/live")).header("cookie", cookie);
    let (mut stream, kept) = (request.send().unwrap(), Arc::clone(&told));
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n) = stream.read(&mut buffer)
            && n > 0
        {
            kept.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    });
    told
}

fn every_file(place: &Path, seen: &mut impl FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(place).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            every_file(&path, seen);
        } else {
            seen(&path, &std::fs::read(&path).unwrap());
        }
    }
}

#[test]
fn what_is_planted_at_every_entrance_is_found_nowhere() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let simulator: Simulator = runtime
        .block_on(Simulator::start(([127, 0, 0, 1], 0).into(), 1, Faults::default()))
        .unwrap();
    let place = tempfile::tempdir().unwrap();
    let (data, log) = (place.path().join("data"), place.path().join("log"));
    let told = Arc::new(Mutex::new(Vec::new()));
    let callback = platform(Arc::clone(&told));
    let spans = Arc::new(Mutex::new(Vec::new()));
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector(Arc::clone(&spans)))];
    let firn = Firn::start_in(&data, &[], Some(&log), Some(TOKEN), &environment);
    let visitor = Visitor::signed_in(&firn.url, TOKEN);
    let live = watch(&firn.url, visitor.cookie.as_deref().unwrap());

    let apply = |slug: &str, more: &str| {
        let file = place.path().join(format!("{slug}.toml"));
        let text = format!(
            "slug = \"{slug}\"\norganization_id = \"acme-corp\"\nbase_url = \"{}\"\n{more}\n\n\
             [platform]\ncallback_url = \"{callback}\"\n\n[credentials]\nusername = \"integration\"\npassword = \"integration\"\n\
             admin_username = \"admin\"\nadmin_password = \"admin\"\n",
            simulator.url()
        );
        std::fs::write(&file, text).unwrap();
        let said = firn.cli(&["integration", "apply", file.to_str().unwrap()]).1;
        std::fs::remove_file(&file).unwrap();
        assert!(said.contains("created"), "{said}");
        firn.cli(&["integration", "provision", slug]);
    };
    apply(
        "desk",
        "strategy = \"manual-review\"\n[fields.resolution]\nkind = \"text\"\ncolumn = \"close_notes\"\nowner = \"external\"",
    );
    apply("calls", "preset = \"genesys\"\n[masking]\nstrategy = \"token\"");

    let client = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    let post = |path: &str, token: &str, body: String| {
        let url = format!("{}/api/v1/{path}", firn.url);
        let answer = client.post(url).bearer_auth(token).body(body).send().unwrap();
        let (status, said) = (answer.status().as_u16(), answer.text().unwrap());
        assert_clean(&format!("the answer to {path}"), &said);
        status
    };
    let event = |id: &str, version: u64, fields: Json, comment: Option<Json>| {
        json!({ "id": id, "type": "changed", "occurred_at": "2026-04-29T14:30:00Z",
            "record": { "kind": "incident", "id": "PAY-1", "version": version, "partial": version > 1, "fields": fields },
            "comment": comment })
        .to_string()
    };
    // The platform: fields, what is not mapped, comments; what cannot be read; a stranger.
    let fields = json!({ "title": TEXT, "description": TEXT, "severity": "high", "status": "open",
        "assigned_to": "", "secret_of_ours": UNMAPPED });
    assert_eq!(post("integrations/desk/events", TOKEN, event("e1", 1, fields, None)), 202);
    settle("no ticket", || !simulator.rows("incident").is_empty());
    let comment = json!({ "id": "c1", "author": TEXT, "text": TEXT, "visibility": "public" });
    post("integrations/desk/events", TOKEN, event("e2", 2, json!({}), Some(comment)));
    post(
        "integrations/desk/events",
        TOKEN,
        json!({ "id": TEXT, "record": TEXT, "x": UNMAPPED }).to_string(),
    );
    post("integrations/desk/events", TOKEN, format!("{{\"broken\": \"{TEXT}\""));
    let unknown = json!({ "severity": TEXT, "status": TEXT, "assigned_to": TEXT });
    post("integrations/desk/events", TOKEN, event("e3", 3, unknown, None));
    assert_eq!(
        post("integrations/desk/events", "wrong", event("e4", 4, json!({ "title": TEXT }), None)),
        401
    );
    post(&format!("integrations/{}/events", "zz.sentinel@example.com"), "wrong", TEXT.to_owned());

    // The contact centre: a call; one that is not substituted; one that is not known.
    let call = |id: &str, more: Json| {
        let mut body = json!({ "callId": id, "escalationReason": "IVR_TIMEOUT_EXCEEDED",
            "customerPhone": "+14155550142", "conversationText": TEXT, "queueName": "Support",
            "ticketPriority": "High", "timestamp": "2026-04-29T14:30:00Z", "unmapped": UNMAPPED });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.to_string()
    };
    let first = call("a1b2c3d4-0001", json!({}));
    let answer = post("integrations/calls/escalations", TOKEN, first);
    assert!(answer < 300, "the first call is not taken: {answer}");
    settle("no ticket of the first call", || simulator.rows("incident").len() == 2);
    post(
        "integrations/calls/escalations",
        TOKEN,
        call("${call.id}", json!({ "customerName": TEXT })),
    );
    post("integrations/calls/escalations", TOKEN, json!({ "what": TEXT }).to_string());

    // ServiceNow: an agent's comments, one of which the platform refuses; a forged webhook.
    let tickets = simulator.rows("incident");
    let ticket = tickets.iter().find(|row| row["correlation_id"] == "PAY-1").unwrap();
    let ticket = ticket["sys_id"].clone();
    let agent = |body: Json| {
        let url = format!("{}/api/now/table/incident/{ticket}", simulator.url());
        client.patch(url).basic_auth("admin", Some("admin")).json(&body).send().unwrap();
    };
    agent(json!({ "comments": TEXT }));
    agent(json!({ "comments": format!("refuse me, {TEXT}") }));
    agent(json!({ "close_notes": format!("agent's {TEXT}") }));
    agent(json!({ "urgency": "3", "state": "99" }));
    let forged = json!({ "sys_id": ticket, "number": TEXT, "short_description": TEXT }).to_string();
    post("webhooks/no-such-integration", "", forged.clone());
    let desk: Json = client
        .get(format!("{}/api/v1/integrations/desk", firn.url))
        .bearer_auth(TOKEN)
        .send()
        .unwrap()
        .json()
        .unwrap();
    let id = desk["id"].as_str().unwrap();
    assert_eq!(post(&format!("webhooks/{id}"), "", forged), 401);
    settle("the agent's comments are not told", || {
        told.lock().unwrap().iter().filter(|body| body.contains("\"comment\"")).count() >= 2
    });
    settle("the agent's field is not told", || {
        told.lock().unwrap().iter().any(|body| body.contains("agent's pay with"))
    });
    // Both change one field: a conflict, which a person is shown.
    agent(json!({ "short_description": format!("theirs {TEXT}") }));
    let edit = json!({ "title": format!("ours {TEXT}") });
    post("integrations/desk/events", TOKEN, event("e5", 5, edit, None));
    firn.cli(&["integration", "reconcile", "desk"]);
    std::thread::sleep(Duration::from_secs(2));

    // What Firn wrote on the instance; what an agent wrote there is the agent's.
    let own = |row: &firn_simulator::Record| {
        row.get("sys_created_by").is_some_and(|by| by == "integration")
    };
    let rows: Vec<_> = simulator.rows("sys_journal_field").into_iter().filter(own).collect();
    assert!(rows.iter().any(|row| row["value"].contains("***-***-0142")), "{rows:?}");
    assert_clean("our journal rows", &format!("{rows:?}"));
    let tickets = simulator.rows("incident");
    let ours: Vec<_> = tickets
        .iter()
        .map(|row| {
            let mut row = row.clone();
            if row["short_description"].starts_with("theirs") {
                row.remove("short_description");
            }
            if row.get("close_notes").is_some_and(|notes| notes.starts_with("agent's")) {
                row.remove("close_notes");
            }
            row
        })
        .collect();
    assert_clean("tickets", &format!("{ours:?}"));
    assert!(ours.iter().any(|row| row["description"].contains("z***@example.com")), "{ours:?}");
    let phones = tokens(&format!("{ours:?}{rows:?}"));
    assert_eq!(phones.len(), 1, "one number, one token: {phones:?}");
    for body in told.lock().unwrap().iter() {
        let mut body: Json = serde_json::from_str(body).unwrap();
        // What is expected to stand there is the platform's own, and has to be exact.
        body.as_object_mut().unwrap().remove("expect");
        assert_clean("callbacks", &body.to_string());
    }

    // What Firn shows.
    let mut shown = 0;
    for slug in ["desk", "calls"] {
        for listing in [
            "links",
            "findings",
            "audit",
            "conflicts",
            "dlq",
            "quarantine",
            "sync-status",
            "versions",
        ] {
            let url = format!("{}/api/v1/integrations/{slug}/{listing}", firn.url);
            let answer = client.get(&url).bearer_auth(TOKEN).send().unwrap();
            assert!(answer.status().is_success(), "{url}");
            let text = answer.text().unwrap();
            shown += text.len();
            assert_clean(&url, &text);
        }
        for command in ["links", "findings", "dlq", "sync-status"] {
            assert_clean(command, &firn.cli(&["integration", command, slug]).1);
        }
    }
    assert!(shown > 2_000, "there was something to show");
    // The console, page by page; what it told open pages; metrics and traces.
    let form_key = visitor.form_key();
    for slug in ["desk", "calls"] {
        let mut pages = [
            "",
            "/links",
            "/conflicts",
            "/dead-letters",
            "/findings",
            "/runs",
            "/settings",
            "/doctor",
        ]
        .map(|page| format!("/console/{slug}{page}"))
        .to_vec();
        for (kind, list, id, place) in [
            ("links", "links", "id", "links"),
            ("conflicts", "conflicts", "id", "conflicts"),
            ("dlq", "entries", "id", "dead-letters"),
            ("reconcile", "runs", "id", "runs"),
        ] {
            let url = format!("{}/api/v1/integrations/{slug}/{kind}", firn.url);
            let all: Json = client.get(&url).bearer_auth(TOKEN).send().unwrap().json().unwrap();
            for one in all[list].as_array().unwrap() {
                pages.push(format!("/console/{slug}/{place}/{}", one[id].as_str().unwrap()));
            }
        }
        assert!(pages.len() > 8, "{pages:?}");
        for page in pages {
            let seen = visitor.get(&page);
            assert_eq!(seen.status, 200, "{page}");
            assert_clean(&page, &seen.text);
        }
        // Settings that are tried unmask nothing.
        for document in ["[fields.title]\nmax = 9\n", "[masking]\nstrategy = \"keep\"\n"] {
            let form = [("form_key", form_key.as_str()), ("document", document), ("do", "try")];
            let seen = visitor.post(&format!("/console/{slug}/settings"), &form, &[]);
            assert_eq!(seen.status, 200);
            assert_clean("a try of settings", &seen.text);
        }
    }
    let told = live.lock().unwrap().clone();
    assert!(told.matches("data: ").count() > 3 && told.contains("title is ours"), "{told}");
    assert_clean("the live feed", &told);
    let url = format!("{}/metrics", firn.url);
    let text = client.get(url).bearer_auth(TOKEN).send().unwrap().text().unwrap();
    assert!(text.contains("firn_writes_total"));
    assert_clean("metrics", &text);
    settle("no traces", || spans.lock().unwrap().len() > 20);
    assert_clean("traces", &format!("{:?}", spans.lock().unwrap()));

    assert_clean("explain", &firn.cli(&["explain", "PAY-1"]).1);
    assert_clean("conflicts", &firn.cli(&["conflict", "list", "desk"]).1);

    // After a restart the number's token is the same.
    drop(firn);
    let firn = Firn::start(&data, &[], Some(&log));
    let calls = simulator.rows("incident").len();
    let url = format!("{}/api/v1/integrations/calls/escalations", firn.url);
    let body = call("a1b2c3d4-0002", json!({}));
    assert!(client.post(url).bearer_auth(TOKEN).body(body).send().unwrap().status().is_success());
    settle("no ticket of the second call", || simulator.rows("incident").len() > calls);
    assert_eq!(tokens(&format!("{:?}", simulator.rows("incident"))), phones);

    // What Firn wrote on the disk.
    drop(firn);
    let mut files = 0;
    every_file(place.path(), &mut |path, bytes| {
        files += 1;
        assert_clean(&path.display().to_string(), &String::from_utf8_lossy(bytes));
    });
    assert!(files >= 3, "data, key, log");
    assert!(std::fs::metadata(&log).unwrap().len() > 1_000, "it did log");
}
