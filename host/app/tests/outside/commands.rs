//! Firn from outside: the real binary, its command line and its API, against a simulator.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::{Api, Firn, TOKEN};
use firn_simulator::{Faults, Simulator};
use serde_json::{Value as Json, json};

fn simulator(runtime: &tokio::runtime::Runtime) -> Simulator {
    runtime.block_on(Simulator::start(([127, 0, 0, 1], 0).into(), 1, Faults::default())).unwrap()
}

fn configure(firn: &Firn, simulator: &Simulator, name: &str) -> (bool, String) {
    firn.cli(&[
        "integration",
        "configure",
        "--name",
        name,
        "--type",
        "servicenow",
        "--org",
        "acme-corp",
        "--base-url",
        &simulator.url(),
        "--direction",
        "bidirectional",
        "--username",
        "integration",
        "--password",
        "integration",
        "--admin-username",
        "admin",
        "--admin-password",
        "admin",
    ])
}

/// Seed 001's form: what an integration is for, and by which time its records are pulled.
#[test]
fn a_capability_is_chosen_when_an_integration_is_made_and_stays() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let simulator = simulator(&runtime);
    let place = tempfile::tempdir().unwrap();
    let firn = Firn::start(&place.path().join("data"), &[], None);
    let url = simulator.url();
    let made = |name: &str, more: &[&str]| {
        let who =
            ["--org", "acme", "--domain", &url, "--username", "integration", "--password", "env:X"];
        let first = ["integration", "configure", "--name", name, "--no-provision"];
        firn.cli(&[&first[..], &who, more].concat())
    };
    for (capability, tables) in [
        ("helpdesk", "sn_customerservice_case"),
        ("crm", "customer_account customer_contact sys_user"),
        ("content", "kb_knowledge"),
    ] {
        let (ok, said) = made(capability, &["--capability", capability, "--pull-by", "created"]);
        assert!(ok, "{said}");
        let shown = Api::new(&firn, Some(TOKEN)).get(&format!("/api/v1/integrations/{capability}"));
        let settings = &shown["settings"];
        assert_eq!(
            (&settings["preset"], &settings["polling"]["pull_by"]),
            (&capability.into(), &"created".into())
        );
        let of: Vec<&str> = settings["tickets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t["table"].as_str().unwrap())
            .collect();
        assert_eq!(of.join(" "), tables);
    }
    for (wrong, why) in [
        (made("x", &["--capability", "sales"]), "possible values: helpdesk, crm, content"),
        (made("x", &["--capability", "crm", "--preset", "neo"]), "cannot be used with"),
        (made("x", &["--pull-by", "colour"]), "possible values: updated, created"),
        (firn.cli(&["integration", "configure", "crm", "--capability", "content"]), "and stay"),
    ] {
        assert!(!wrong.0 && wrong.1.contains(why), "{}", wrong.1);
    }
}

/// What was forgotten is named by its flag; another server is not taken for Firn.
#[test]
fn a_slip_on_the_command_line_is_told_in_its_own_words() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let simulator = simulator(&runtime);
    let place = tempfile::tempdir().unwrap();
    let firn = Firn::start(&place.path().join("data"), &[], None);
    let (done, said) = firn.cli(&["integration", "configure", "--org", "acme", "--name", "a"]);
    assert!(!done && said.contains("needs --base-url, --username and --password"), "{said}");
    let elsewhere = ["--url", &simulator.url(), "integration", "list"];
    let (done, said) = firn.cli(&elsewhere);
    assert!(!done && said.contains("not as Firn does"), "{said}");
}

/// Settings from a file: every fault with its place; applied with a difference; versions; rolled
/// back. Then: explained, recorded and replayed.
#[test]
fn settings_are_judged_against_the_instance() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let simulator = simulator(&runtime);
    let place = tempfile::tempdir().unwrap();
    let firn = Firn::start(&place.path().join("data"), &[], None);
    let check = |credentials: &str, more: &str| {
        let path = place.path().join("settings.toml");
        let text = format!(
            "slug = \"snow\"\nbase_url = \"{}\"\n\n[credentials]\n{credentials}\n\n{more}",
            simulator.url()
        );
        std::fs::write(&path, text).unwrap();
        firn.cli(&["check", "--instance", path.to_str().unwrap()])
    };
    let user = "username = \"integration\"\npassword = \"integration\"";
    let admin = format!("{user}\nadmin_username = \"admin\"\nadmin_password = \"admin\"");

    // A stock instance has what the preset needs. There is no comment yet: that is told.
    let (fine, text) = check(&admin, "");
    assert!(fine && text.contains("has what it needs"), "{text}");
    assert!(text.contains("sys_journal_field shows no row"), "{text}");
    // Without an administrator the dictionary stays closed, and that is told.
    let (fine, text) = check(user, "");
    assert!(fine && text.contains("the dictionary of incident cannot be read"), "{text}");

    // What is not there: columns, choices, tables; each where it stands in the file.
    let (fine, text) = check(
        &admin,
        r#"[fields.site]
kind = "text"
column = "u_site"
owner = "platform"

[fields.status]
pairs = [
    { platform = "open", external = ["42", "1"] },
    { platform = "resolved", external = ["6"], with = { close_code = "Solution provided", close_notes = "Done." } },
    { platform = "closed", external = ["7"], with = { close_code = "Solution provided", close_notes = "Done." } },
]
"#,
    );
    assert!(!fine);
    for expected in ["incident has no column u_site", "settings.toml:12:10", "\"42\" is no choice"]
    {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    let (fine, text) = check(&admin, "[[tickets]]\ntable = \"u_call\"\n");
    assert!(!fine && text.contains("the instance has no table u_call"), "{text}");

    // Wrong password: asked once. Nobody there: said.
    let (fine, text) = check("username = \"integration\"\npassword = \"wrong\"", "");
    assert!(!fine && text.contains("does not accept the sign-in"), "{text}");
    let nobody = place.path().join("nobody.toml");
    let text =
        format!("slug = \"s\"\nbase_url = \"http://127.0.0.1:1\"\n\n[credentials]\n{user}\n");
    std::fs::write(&nobody, text).unwrap();
    let (fine, text) = firn.cli(&["check", "--instance", nobody.to_str().unwrap()]);
    assert!(!fine && text.contains("does not answer"), "{text}");
    // A page where rows should be (an instance that hibernates, a sign-in page).
    let page = page("<html>Your instance is hibernating</html>");
    let text = format!("slug = \"s\"\nbase_url = \"{page}\"\n\n[credentials]\n{user}\n");
    std::fs::write(&nobody, text).unwrap();
    let (fine, text) = firn.cli(&["check", "--instance", nobody.to_str().unwrap()]);
    assert!(!fine && text.contains("does not answer as the Table API does"), "{text}");
}

/// A server that answers everything with one page.
fn page(html: &'static str) -> String {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = std::io::Read::read(&mut stream, &mut request);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close";
            let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{html}", html.len());
            let _ = std::io::Write::write_all(&mut stream, answer.as_bytes());
        }
    });
    url
}

#[test]
fn settings_files_explain_and_replay() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let simulator = simulator(&runtime);
    let place = tempfile::tempdir().unwrap();
    let recording = place.path().join("calls.jsonl");
    let recording = recording.to_str().unwrap();
    let firn = Firn::start(&place.path().join("data"), &["--record", recording], None);
    let file = |name: &str, text: &str| {
        let path = place.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };

    // Wrong: every fault at once, where it stands, and what to do.
    let bad = file(
        "bad.toml",
        "slug = \"snow\"\nstratgy = \"manual-review\"\n\n[fields.title]\nmax = 3\n\n[filters]\nevents = \"payload.\"\n",
    );
    let (fine, text) = firn.cli(&["check", &bad]);
    assert!(!fine);
    for expected in [
        "bad.toml:2:1",
        "did you mean strategy?",
        "bad.toml:5:7",
        "bad.toml:8:10",
        "^^^^^^^",
        "3 errors",
    ] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    assert!(!firn.cli(&["integration", "apply", &bad]).0);
    assert!(!firn.cli(&["check", &file("no.toml", "a = [")]).0);
    assert!(!firn.cli(&["check", "/nowhere.toml"]).0);

    // A gateway's document.
    let route = r#"{"path": "/h", "takes": "webhook", "secrets": ["env:NOWHERE_SET"]}"#;
    let (fine, text) =
        firn.cli(&["check", &file("g.json", &format!("\u{feff}{{\"routes\": [{route}]}}"))]);
    assert!(fine && text.contains("is sound, as a gateway's document"), "{text}");
    let twice = r#"{"path": "/i", "takes": "any", "takes": "any"}"#;
    for (document, told) in [
        (format!("{{\"rotes\": [{route}]}}"), "rotes: there is no setting rotes"),
        (format!("{{\"routes\": [{route}, {twice}]}}"), "the document is not JSON: "),
        ("no".to_owned(), "the document is not JSON: "),
    ] {
        let (fine, text) = firn.cli(&["check", &file("b.json", &document)]);
        assert!(!fine && text.contains(told), "{told} in {text}");
    }

    // Right: shown, applied, the same again, changed, rolled back.
    let good = format!(
        "slug = \"snow\"\nname = \"Snow\"\norganization_id = \"acme-corp\"\nbase_url = \"{}\"\nstrategy = \"manual-review\"\n\n[credentials]\nusername = \"integration\"\npassword = \"integration\"\n\n[fields.due]\nkind = \"date\"\ncolumn = \"due_date\"\nowner = \"platform\"\n",
        simulator.url()
    );
    let path = file("good.toml", &good);
    assert!(firn.cli(&["check", &path]).0);
    let (fine, text) = firn.cli(&["integration", "apply", &path, "--dry-run"]);
    assert!(
        fine && text.contains("+ strategy = \"manual-review\"")
            && text.contains("nothing was changed"),
        "{text}"
    );
    assert!(firn.cli(&["integration", "get", "snow"]).1.contains("Unknown integration"));
    let (fine, text) = firn.cli(&["integration", "apply", &path]);
    assert!(fine && text.contains("created (version 1)"), "{text}");
    assert!(firn.cli(&["integration", "apply", &path]).1.contains("as the file says already"));
    let path = file("good.toml", &good.replace("manual-review", "last-write-wins"));
    let (_, text) = firn.cli(&["integration", "apply", &path]);
    assert!(
        text.contains("- strategy = \"manual-review\"")
            && text.contains("+ strategy = \"last-write-wins\""),
        "{text}"
    );
    assert!(text.contains("version 2"), "{text}");
    let (fine, text) = firn.cli(&["integration", "rollback", "snow", "1"]);
    assert!(
        fine && text.contains("+ strategy = \"manual-review\"") && text.contains("version 3"),
        "{text}"
    );
    let versions: Json =
        serde_json::from_str(&firn.cli(&["integration", "versions", "snow", "--format", "json"]).1)
            .unwrap();
    assert_eq!(versions.as_array().unwrap().len(), 3);
    assert!(!firn.cli(&["integration", "rollback", "snow", "9"]).0);

    // A ticket, explained: by its number, field by field, and nothing in the clear.
    let event = json!({ "id": "e1", "type": "created", "occurred_at": "2026-04-29T14:30:00Z", "record": { "kind": "incident", "id": "PAY-1",
        "version": 1, "partial": false, "fields": { "title": "Down, call +15550199888", "description": "d", "severity": "high",
        "status": "open", "assigned_to": "", "due": "2026-05-01T10:00:00+02:00" } } });
    let client = reqwest::blocking::Client::new();
    let answer = client
        .post(format!("{}/api/v1/integrations/snow/events", firn.url))
        .bearer_auth(TOKEN)
        .body(event.to_string())
        .send()
        .unwrap();
    assert_eq!(answer.status().as_u16(), 202);
    let end = Instant::now() + Duration::from_secs(20);
    while simulator.rows("incident").is_empty()
        || !firn.cli(&["integration", "links", "snow"]).1.contains("INC")
    {
        assert!(Instant::now() < end, "no ticket");
        std::thread::sleep(Duration::from_millis(50));
    }
    let ticket = simulator.rows("incident").remove(0);
    assert_eq!(ticket["due_date"], "2026-05-01 08:00:00");
    let (fine, text) = firn.cli(&["explain", &ticket["number"]]);
    assert!(
        fine && text.contains("because the record was new") && text.contains("masked or cut"),
        "{text}"
    );
    assert!(!text.contains("5550199888"));
    let (fine, text) = firn.cli(&["explain", "PAY-1", "due"]);
    assert!(fine && text.contains("2026-05-01 08:00:00") && !text.contains("severity"), "{text}");
    assert!(firn.cli(&["explain", "PAY-1", "nothing"]).1.contains("mapped are"));
    assert!(!firn.cli(&["explain", "INC9999999"]).0);
    let links = firn.cli(&["integration", "links", "snow", "--format", "json"]).1;
    let links: Json = serde_json::from_str(&links).unwrap();
    let link = links[0]["id"].as_str().unwrap();
    let (fine, text) = firn.cli(&["explain", link, "due"]);
    assert!(fine && text.contains("2026-05-01 08:00:00"), "{text}");
    let answer = firn.cli(&["links", "unlink", "snow", "no-such-link"]);
    assert!(!answer.0 && answer.1.contains("Not found"), "{}", answer.1);

    // Replayed: the same component does the same byte for byte; other settings do not.
    let cli = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_firn")).args(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    drop(firn);
    let (fine, text) = cli(&["replay", recording]);
    assert!(fine && text.contains(" 0 differ") && !text.contains("\n0 calls"), "{text}");
    let other =
        file("other.toml", &good.replace("column = \"due_date\"", "column = \"follow_up\""));
    let (fine, text) = cli(&["replay", recording, "--settings", &other]);
    assert!(!fine && text.contains("/set/follow_up") && text.contains("/set/due_date"), "{text}");
    assert!(!text.contains("5550199888"));
    // By another component: Firn's own from a file does the same; one that asks for something else does not.
    let component = |name: &str, wasm: &[u8]| {
        let path = place.path().join(name);
        std::fs::write(&path, wasm).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let own = component("own.wasm", firn_components::ENGINE);
    let (fine, text) = cli(&["replay", recording, "--component", &own]);
    assert!(fine && text.contains(" 0 differ") && !text.contains("\n0 calls"), "{text}");
    let (before, after) = (b"sysparm_exclude_reference_link", b"sysparm_exclude_reference_lino");
    let mut wasm = firn_components::ENGINE.to_vec();
    let places: Vec<usize> = wasm
        .windows(before.len())
        .enumerate()
        .filter_map(|(i, part)| (part == before).then_some(i))
        .collect();
    assert!(!places.is_empty());
    for i in places {
        wasm[i..i + after.len()].copy_from_slice(after);
    }
    let changed = component("changed.wasm", &wasm);
    let (fine, text) = cli(&["replay", recording, "--component", &changed]);
    assert!(!fine && text.contains("differs at /query"), "{text}");
    assert!(!text.contains("5550199888"));
    let (fine, text) = cli(&["replay", recording, "--component", recording]);
    assert!(
        !fine && text.contains("calls.jsonl"),
        "it names the file that is no component: {text}"
    );
    let calls = std::fs::read_to_string(recording).unwrap();
    for line in calls.lines() {
        let call: firn_runtime::Recorded = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&call).unwrap(), line);
    }
}

fn ours(simulator: &Simulator, table: &str) -> usize {
    let rows = simulator.rows(table);
    rows.iter()
        .filter(|r| r.get("description").is_some_and(|d| d.starts_with("Auto-managed by Firn")))
        .count()
}

#[test]
fn seed_004s_command_lines_work() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let simulator = simulator(&runtime);
    let data = tempfile::tempdir().unwrap();
    let firn = Firn::start(data.path(), &[], None);
    let (ok, said) = configure(&firn, &simulator, "Prod Snow");
    assert!(ok && said.contains("is configured"), "{said}");
    assert_eq!((ours(&simulator, "sys_properties"), ours(&simulator, "sys_script")), (3, 3));
    let must = |arguments: &[&str], part: &str| {
        let (ok, said) = firn.cli(arguments);
        assert!(ok && said.contains(part), "{arguments:?}: {said}");
    };
    must(
        &[
            "integration",
            "field-ownership",
            "set",
            "prod-snow",
            "severity",
            "--owner",
            "platform",
            "--priority",
            "10",
        ],
        "severity belongs to platform",
    );
    must(
        &[
            "integration",
            "field-ownership",
            "set",
            "prod-snow",
            "title",
            "--owner",
            "platform",
            "--priority",
            "10",
        ],
        "title",
    );
    must(
        &[
            "integration",
            "field-ownership",
            "set",
            "prod-snow",
            "assigned_to",
            "--owner",
            "external",
            "--priority",
            "5",
        ],
        "assigned_to",
    );
    must(
        &[
            "integration",
            "field-ownership",
            "set",
            "prod-snow",
            "work_notes",
            "--owner",
            "external",
            "--priority",
            "5",
        ],
        "work_notes",
    );
    must(&["integration", "field-ownership", "list", "prod-snow"], "severity");
    for strategy in ["last-write-wins", "ownership-priority", "manual-review"] {
        must(
            &["integration", "configure", "prod-snow", "--conflict-strategy", strategy],
            "is configured",
        );
        must(&["integration", "get", "Prod Snow"], strategy);
    }
    must(&["conflict", "list", "--integration", "prod-snow"], "none");
    must(&["integration", "reconcile", "prod-snow", "--dry-run"], "0 links checked");
    must(&["integration", "reconcile", "prod-snow", "--auto-heal"], "auto-heal");
    must(&["integration", "reconcile", "history", "prod-snow"], "dry-run");
    must(&["integration", "sync-status", "prod-snow"], "backlog");
    for listing in [
        &["integration", "sync-status", "prod-snow", "--format", "json"][..],
        &["integration", "reconcile", "prod-snow", "--dry-run", "--format", "json"],
        &["integration", "field-ownership", "list", "prod-snow", "--format", "json"],
        &["integration", "deliveries", "prod-snow", "--format", "json"],
        &["audit", "list", "--integration", "prod-snow", "--format", "json"],
        &["audit", "verify", "--data", data.path().to_str().unwrap(), "--format", "json"],
        &["token", "list", "--format", "json"],
    ] {
        let output = firn.command(listing).output().unwrap();
        let read = serde_json::from_slice::<Json>(&output.stdout);
        assert!(output.status.success() && read.is_ok(), "{listing:?}: {output:?}");
    }
    must(&["integration", "links", "prod-snow", "--format", "table"], "none");
    must(&["integration", "links", "prod-snow", "--format", "json"], "[]");
    must(&["integration", "dlq", "prod-snow"], "none");
    must(&["integration", "dlq", "prod-snow", "--all", "--work", "update"], "none");
    must(&["integration", "dlq-retry", "prod-snow", "--reason", "403"], "0 are tried again");
    must(&["integration", "dlq-discard", "prod-snow", "--all", "--yes"], "0 are discarded");
    must(&["integration", "pause", "prod-snow"], "paused");
    must(&["integration", "resume", "prod-snow"], "running");
    must(&["integration", "list"], "prod-snow");

    // One address is changed, the other stays.
    must(
        &["integration", "configure", "prod-snow", "--callback-url", "http://127.0.0.1:9/cb"],
        "is configured",
    );
    must(
        &["integration", "configure", "prod-snow", "--read-url", "http://127.0.0.1:9/r/{id}"],
        "is configured",
    );
    must(&["integration", "get", "prod-snow"], "http://127.0.0.1:9/cb");

    // Provisioning twice is provisioning once; what was changed by hand is put right.
    must(&["integration", "provision", "prod-snow"], "unchanged");
    assert_eq!((ours(&simulator, "sys_properties"), ours(&simulator, "sys_script")), (3, 3));
    must(&["integration", "unprovision", "prod-snow"], "removed");
    assert_eq!((ours(&simulator, "sys_properties"), ours(&simulator, "sys_script")), (0, 0));
    must(&["integration", "provision", "prod-snow"], "created");
    must(&["integration", "delete", "prod-snow", "--yes"], "deleted");
    assert_eq!((ours(&simulator, "sys_properties"), ours(&simulator, "sys_script")), (0, 0));
    must(&["integration", "list"], "none");

    // Wrong on purpose: each says what is wrong, and fails.
    for (arguments, part) in [
        (vec!["integration", "get", "nobody"], "there is no integration nobody"),
        (vec!["integration", "dlq-retry", "nobody", "entry-1"], "there is no integration"),
        (vec!["integration", "dlq-retry", "nobody"], "name a dead letter, or say which"),
        (vec!["integration", "dlq-show", "nobody", "entry-1"], "there is no integration"),
        (vec!["integration", "dlq", "nobody", "--older-than", "soon"], "is no time"),
        (
            vec!["conflict", "resolve", "conflict-123", "--use-platform"],
            "there is no conflict conflict-123",
        ),
        (vec!["--token", "wrong", "integration", "list"], "Not signed in"),
        (vec!["--token", "wrong", "conflict", "get", "c", "--integration", "x"], "Not signed in"),
        (vec!["--url", "http://127.0.0.1:9", "integration", "list"], "cannot reach Firn"),
    ] {
        let (ok, said) = firn.cli(&arguments);
        assert!(!ok && said.contains(part), "{arguments:?}: {said}");
    }
}

#[test]
fn an_integration_survives_a_restart_and_its_secrets_are_not_shown() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let simulator = simulator(&runtime);
    let data = tempfile::tempdir().unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let firn = Firn::start(data.path(), &[], None);
    let body = json!({
        "organization_id": "acme-corp", "integration_type": "servicenow", "name": "Production ServiceNow", "preset": "genesys",
        "base_url": simulator.url(), "credentials": { "username": "integration", "password": "integration" },
        "sync_direction": "bidirectional", "enabled": true,
    });
    let call = |url: String, method: reqwest::Method, body: Option<Json>| {
        runtime.block_on(async {
            let mut request = client.request(method, url).bearer_auth(TOKEN);
            if let Some(body) = body {
                request = request.json(&body);
            }
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        })
    };
    let (status, created) = call(
        format!("{}/api/v1/integrations", firn.url),
        reqwest::Method::POST,
        Some(body.clone()),
    );
    assert_eq!(status, 201, "{created}");
    let id = serde_json::from_str::<Json>(&created).unwrap()["id"].as_str().unwrap().to_owned();
    let (status, _) =
        call(format!("{}/api/v1/integrations", firn.url), reqwest::Method::POST, Some(body));
    assert_eq!(status, 409, "the name is taken");
    drop(firn);

    let firn = Firn::start(data.path(), &[], None);
    let (_, listed) = call(format!("{}/api/v1/integrations", firn.url), reqwest::Method::GET, None);
    assert!(listed.contains(&id) && !listed.contains("password"), "{listed}");
    let escalation =
        json!({ "callId": "call-1", "escalationReason": "X", "customerPhone": "+15550199888" });
    let (status, made) = call(
        format!("{}/api/v1/integrations/{id}/escalations", firn.url),
        reqwest::Method::POST,
        Some(escalation),
    );
    assert_eq!(status, 201, "{made}");
    let (_, links) =
        call(format!("{}/api/v1/integrations/{id}/links", firn.url), reqwest::Method::GET, None);
    assert!(links.contains("INC0010001"), "{links}");
    // A second process on the same data is refused, clearly.
    let second = Command::new(env!("CARGO_BIN_EXE_firn"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("in use by another process"), "{said}");
    // Settings that are not sound are refused with the place.
    let change = json!({ "settings": { "strategy": "coin-toss" } });
    let patch = |change: Json| {
        call(format!("{}/api/v1/integrations/{id}", firn.url), reqwest::Method::PATCH, Some(change))
    };
    let (status, said) = patch(change);
    assert!(status == 422 && said.contains("coin-toss"), "{status} {said}");
    for (change, part) in [
        (json!({ "settings": 1, "sync_direction": "bidirectional" }), "must be an object"),
        (json!({ "settings": { "stratgy": "manual-review" } }), "stratgy"),
        (json!({ "name": " " }), "a name has"),
        (
            json!({ "credentials": { "username": "u", "password": "exec:id" } }),
            "allow-exec-secrets",
        ),
        (json!({ "credentials": { "username": "u", "pasword": "p" } }), "pasword"),
        (json!({ "platform": { "callback_url": "http://10.0.0.1/" } }), "not allowed"),
    ] {
        let (status, said) = patch(change);
        assert!((400..500).contains(&status) && said.contains(part), "{status} {said}");
    }
    // Personal data in a payload that cannot be used is not shown again.
    let escalation =
        json!({ "callId": "call-2", "escalationReason": "card 4111111111111111 ${x}" });
    let (status, said) = call(
        format!("{}/api/v1/integrations/{id}/escalations", firn.url),
        reqwest::Method::POST,
        Some(escalation),
    );
    let kept = format!("{}/api/v1/integrations/{id}/quarantine", firn.url);
    let (_, kept) = call(kept, reqwest::Method::GET, None);
    assert!(
        status == 422 && !said.contains("41111111") && !kept.contains("41111111"),
        "{said} {kept}"
    );
    // An instance that is gone: reconcile says so, and fails.
    drop(simulator);
    let (ok, said) = firn.cli(&["integration", "reconcile", "production-servicenow", "--dry-run"]);
    assert!(!ok && said.contains("1 could not be looked at"), "{said}");
}

/// Seed 004's hand-made rule signs the body alone; its replays are told by record and counter.
#[test]
fn seed_004s_own_signature_and_the_standard_one() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let simulator = simulator(&runtime);
    let data = tempfile::tempdir().unwrap();
    let firn = Firn::start(data.path(), &[], None);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let secret = "whsec_c2FtcGxlX2tleQ==";
    let make = |name: &str, own: bool| {
        let body = json!({
            "organization_id": "acme-corp", "name": name, "base_url": simulator.url(), "webhook_secret": secret,
            "credentials": { "username": "integration", "password": "integration" },
            "settings": { "webhook": { "standard": !own, "servicenow_signature": own } },
        });
        runtime.block_on(async {
            let request = client
                .post(format!("{}/api/v1/integrations", firn.url))
                .bearer_auth(TOKEN)
                .json(&body);
            let answer: Json = request.send().await.unwrap().json().await.unwrap();
            format!("{}/api/v1/webhooks/{}", firn.url, answer["id"].as_str().unwrap())
        })
    };
    let send = |url: &str, headers: &[(&str, &str)], body: &str| {
        runtime.block_on(async {
            let mut request = client.post(url).body(body.to_owned());
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            (status, response.json::<Json>().await.unwrap())
        })
    };
    let key = firn_remote::Secret::new(secret);
    let body = r#"{"sys_id":"a1b2c3d4e5f60718293a4b5c6d7e8f90","number":"INC0010001","short_description":"Printer is offline","state":"2","priority":"3","impact":"3","assigned_to":"Ann Lee","updated_on":"2026-04-29 14:30:00"}"#;

    let own = make("Own signature", true);
    let right = firn_remote::sign(&key, body).unwrap();
    let (status, said) = send(&own, &[("x-servicenow-signature", &right)], body);
    assert_eq!((status, &said["status"]), (202, &json!("accepted")), "{said}");
    let (status, said) = send(&own, &[("x-servicenow-signature", &right)], body);
    assert_eq!((status, &said["status"]), (202, &json!("duplicate")), "{said}");
    for wrong in [
        vec![],
        vec![("x-servicenow-signature", "AAAA")],
        vec![
            ("x-servicenow-signature", right.as_str()),
            ("x-servicenow-signature", right.as_str()),
        ],
    ] {
        assert_eq!(send(&own, &wrong, body).0, 401, "{wrong:?}");
    }
    assert_eq!(send(&own, &[("x-servicenow-signature", &right)], &body.replace('2', "3")).0, 401);

    // The rule as the seed prints it, run by the simulator; `generateSignature` is what it leaves out.
    let script = r#"(function executeRule(current, previous) {
      function generateSignature(text) {
        return new GlideCertificateEncryption().generateMac('c2FtcGxlX2tleQ==', 'HmacSHA256', text);
      }
      var payload = {
        sys_id: current.sys_id.toString(),
        number: current.number.toString(),
        short_description: current.short_description.toString(),
        state: current.state.toString(),
        priority: current.priority.toString(),
        impact: current.impact.toString(),
        assigned_to: current.assigned_to.getDisplayValue(),
        updated_on: current.sys_updated_on.toString()
      };
      var request = new sn_ws.RESTMessageV2();
      request.setEndpoint("@URL@");
      request.setHttpMethod("POST");
      request.setRequestHeader("Content-Type", "application/json");
      request.setRequestHeader("X-ServiceNow-Signature", generateSignature(JSON.stringify(payload)));
      request.setRequestBody(JSON.stringify(payload));
      request.execute();
    })(current, previous);"#;
    let rule = json!({ "name": "by hand", "collection": "incident", "when": "after", "action_insert": "true", "script": script.replace("@URL@", &own) });
    let written = |table: &str, body: &Json| {
        let url = format!("{}/api/now/table/{table}", simulator.url());
        let request = client.post(url).basic_auth("admin", Some("admin")).json(body);
        runtime.block_on(async { request.send().await.unwrap().status().as_u16() })
    };
    assert_eq!(written("sys_script", &rule), 201);
    assert_eq!(written("incident", &json!({ "short_description": "by hand" })), 201);
    let end = Instant::now() + Duration::from_secs(10);
    while simulator.rows("sys_outbound_http_log").is_empty() {
        assert!(Instant::now() < end, "the rule sent nothing: {:?}", simulator.rows("syslog"));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(simulator.rows("sys_outbound_http_log")[0]["response_status"], "202");

    let standard = make("Standard", false);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let signed = |id: &str, at: u64, body: &str| {
        let signature = firn_remote::sign(&key, &format!("{id}.{at}.{body}")).unwrap();
        (id.to_owned(), at.to_string(), format!("v1,{signature}"))
    };
    let post = |(id, at, signature): &(String, String, String), body: &str| {
        send(
            &standard,
            &[("webhook-id", id), ("webhook-timestamp", at), ("webhook-signature", signature)],
            body,
        )
    };
    assert_eq!(post(&signed("a", now, body), body).0, 202);
    assert_eq!(post(&signed("a", now, body), body).1["status"], "duplicate");
    assert_eq!(post(&signed("b", now - 299, body), body).0, 202);
    for bad in [
        signed("c", now - 302, body),
        signed("c", now + 302, body),
        signed("c.d", now, body),
        signed("c", now, "other"),
    ] {
        assert_eq!(post(&bad, body).0, 401, "{bad:?}");
    }
    let mut odd = signed("c", now, body);
    odd.1 = i64::MIN.to_string();
    assert_eq!(post(&odd, body).0, 401);
    // Genuine and not to be understood: accepted, and kept.
    let junk = "[1, 2";
    let (status, said) = post(&signed("d", now, junk), junk);
    assert_eq!((status, &said["status"]), (202, &json!("quarantined")), "{said}");
}

/// Told to stop, it answers what it was asked, ends with success, and begins again where it was.
#[test]
fn sigterm_finishes_what_is_under_way() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let simulator = simulator(&runtime);
    let data = tempfile::tempdir().unwrap();
    let mut firn = Firn::start(data.path(), &[], None);
    let (ok, said) = configure(&firn, &simulator, "Prod Snow");
    assert!(ok, "{said}");
    let api = Api::new(&firn, Some(TOKEN));
    let events: Vec<u16> = std::thread::scope(|scope| {
        let send = |n: u32| {
            let event = json!({ "id": format!("e{n}"), "type": "record.created", "occurred_at": "2026-11-27T10:00:00Z",
                "record": { "kind": "incident", "id": format!("r{n}"), "version": 1, "partial": false,
                    "fields": { "title": "t", "description": "d", "severity": "high", "status": "open", "assigned_to": null } } });
            let request = api.request("POST", "/api/v1/integrations/prod-snow/events").json(&event);
            request.send().map_or(0, |answer| answer.status().as_u16())
        };
        // One at least was told that it is accepted; the others come while it stops.
        let first = send(100);
        let threads: Vec<_> = (0..20).map(|n| scope.spawn(move || send(n))).collect();
        firn.terminate();
        let others = threads.into_iter().map(|thread| thread.join().unwrap());
        others.chain([first]).collect()
    });
    assert!(firn.ended().success());
    let accepted = events.iter().filter(|status| **status == 202).count();
    assert!(accepted > 0 && events.iter().all(|s| matches!(s, 0 | 202)), "{events:?}");
    // Whoever was told that it was accepted finds its ticket, and nobody finds two.
    let firn = Firn::start(data.path(), &[], None);
    let api = Api::new(&firn, Some(TOKEN));
    crate::common::settle("it does not come to rest", || {
        api.get("/api/v1/integrations/prod-snow/sync-status")["backlog"] == 0
    });
    let keys: Vec<String> = simulator
        .rows("incident")
        .iter()
        .filter_map(|row| row.get("correlation_id").cloned())
        .collect();
    let once: std::collections::BTreeSet<&String> = keys.iter().collect();
    assert_eq!(once.len(), keys.len(), "{keys:?}");
    assert!(keys.len() >= accepted, "{accepted} were accepted, {} are there", keys.len());
}
