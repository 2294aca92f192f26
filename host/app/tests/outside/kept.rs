//! What is kept on disk: backups, keys, the audit's chain, and what is forgotten on somebody's wish.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::common::{Api, Firn, TOKEN, settle};
use firn::{SamplePlatform, listen};
use firn_model::{Change, Expect, Key, Put, TenantId};
use firn_simulator::{Faults, Simulator};
use firn_storage::{MasterKey, Sqlite, Store};
use serde_json::{Value as Json, json};

/// Firn at work between a simulator and calls that are escalated.
struct Stage {
    _runtime: tokio::runtime::Runtime,
    simulator: Simulator,
    place: tempfile::TempDir,
    data: PathBuf,
    firn: Firn,
    api: Api,
    /// The integration.
    id: String,
}

impl Stage {
    fn new() -> Stage {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let start = Simulator::start(([127, 0, 0, 1], 0).into(), 1, Faults::default());
        let simulator = runtime.block_on(start).unwrap();
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        let firn = Firn::start(&data, &[], None);
        let api = Api::new(&firn, Some(TOKEN));
        let id = integration(&api, &simulator, "calls", "genesys");
        Stage { _runtime: runtime, simulator, place, data, firn, api, id }
    }
}

fn integration(api: &Api, simulator: &Simulator, name: &str, preset: &str) -> String {
    let body = json!({ "organization_id": "acme", "name": name, "preset": preset,
        "base_url": simulator.url(), "provision": true,
        // So long nothing is begun after a restore.
        "settings": { "correlation": { "transaction_limit": 2000 } },
        "credentials": { "username": "integration", "password": "integration",
            "admin_username": "admin", "admin_password": "admin" } });
    let (status, made) = api.call("POST", "/api/v1/integrations", &body);
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

fn escalate(api: &Api, integration: &str, call: &str) -> Json {
    let body = json!({ "callId": call, "startTime": "2026-11-27T14:30:00.000Z", "direction": "inbound",
        "queueName": "IT_Support_Hotline", "agentUserId": "admin_user_01",
        "escalationReason": "IVR_TIMEOUT_EXCEEDED", "customerPhone": "+15550199888" });
    let path = format!("/api/v1/integrations/{integration}/escalations");
    let request = api.request("POST", &path).header("prefer", "wait=20").json(&body);
    let response = request.send().unwrap();
    assert!(matches!(response.status().as_u16(), 200 | 201), "{response:?}");
    response.json().unwrap()
}

fn call_id(n: u32) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

fn tickets(simulator: &Simulator) -> usize {
    simulator.rows("incident").len()
}

fn at_rest(api: &Api, integration: &str) {
    let path = format!("/api/v1/integrations/{integration}/sync-status");
    settle("it does not come to rest", || api.get(&path)["backlog"] == 0);
}

/// Runs `firn ...` without a server.
fn offline(arguments: &[&str]) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_firn"));
    let output = command.args(arguments).env_remove("FIRN_KEY").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Fault 38: what happened since a backup is found out again, and nothing is doubled.
#[test]
fn fault_38_a_backup_of_an_hour_ago_doubles_nothing() {
    let Stage { _runtime, simulator, place, data, firn, api, id } = Stage::new();
    let first = escalate(&api, &id, &call_id(1));
    at_rest(&api, &id);
    // While it works on it.
    let backup = place.path().join("backup.db");
    let (ok, said) = firn.cli(&["backup", "--data", path(&data), path(&backup)]);
    assert!(ok && said.contains("KiB"), "{said}");
    let (ok, said) = firn.cli(&["backup", "--data", path(&data), path(&backup)]);
    assert!(!ok && said.contains("is there already"), "{said}");
    let second = escalate(&api, &id, &call_id(2));
    at_rest(&api, &id);
    let restore = ["restore", "--data", path(&data), path(&backup), "--replace", "--yes"];
    let (ok, said) = firn.cli(&restore);
    assert!(!ok && said.contains("in use"), "{said}");
    drop(firn);
    // Stopped, and an hour younger.
    let (ok, said) = offline(&restore);
    assert!(ok && said.contains("rows"), "{said}");
    let firn = Firn::start(&data, &[], None);
    let api = Api::new(&firn, Some(TOKEN));
    assert_eq!(escalate(&api, &id, &call_id(1))["sys_id"], first["sys_id"]);
    assert_eq!(
        escalate(&api, &id, &call_id(2))["sys_id"],
        second["sys_id"],
        "its ticket is adopted"
    );
    at_rest(&api, &id);
    assert_eq!(tickets(&simulator), 2);
}

/// Comments and edits that were carried between a backup and its restore are not carried again, and none is lost.
#[test]
fn fault_38_what_was_carried_since_a_backup_is_not_carried_again() {
    let Stage { _runtime: runtime, simulator, place, data, firn, api, id: _ } = Stage::new();
    let platform = SamplePlatform::default();
    let any = ([127, 0, 0, 1], 0).into();
    let listening = runtime.block_on(listen(any, platform.router())).unwrap();
    let say = || {
        runtime.block_on(async {
            platform.say("incident", "i1", "carol", "said on the platform", "public");
        });
    };
    let base = format!("http://{}", listening.address);
    let body = json!({ "organization_id": "acme", "name": "pairs", "slug": "pairs", "preset": "incidents",
        "base_url": simulator.url(), "provision": true,
        "platform": { "callback_url": format!("{base}/callback"), "read_url": format!("{base}/records/{{id}}") },
        // Firn is somewhere else afterwards: webhooks do not find it.
        "settings": { "fields": { "description": { "owner": "shared" } },
            "correlation": { "transaction_limit": 2000 },
            "polling": { "interval": 5000, "interval_alone": 5000 } },
        "credentials": { "username": "integration", "password": "integration",
            "admin_username": "admin", "admin_password": "admin" } });
    let (status, made) = api.call("POST", "/api/v1/integrations", &body);
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap().to_owned();
    let connect = |firn: &Firn| {
        let events = format!("{}/api/v1/integrations/{id}/events", firn.url);
        platform.connect_with(events, Some(TOKEN.to_owned()));
    };
    let agent = |ticket: &str, body: Json| {
        let url = format!("{}/api/now/table/incident/{ticket}", simulator.url());
        let request = reqwest::blocking::Client::new().patch(url);
        let sent = request.basic_auth("ann.lee", Some("ann.lee")).json(&body).send().unwrap();
        assert!(sent.status().is_success(), "{sent:?}");
    };
    let there = |ticket: &str| -> Vec<String> {
        let rows = simulator.rows("sys_journal_field").into_iter();
        let ours = rows
            .filter(|row| row["element_id"] == ticket && row["sys_created_by"] == "integration");
        ours.map(|row| row["value"].clone()).collect()
    };
    let here = || -> Vec<String> {
        let comments = platform.record("i1").unwrap().comments.into_iter();
        comments.filter(|c| c.author != "carol").map(|c| c.text).collect()
    };
    let field = |name: &str| platform.record("i1").unwrap().fields[name].clone();

    connect(&firn);
    let fields = json!({ "title": "Checkout is slow", "description": "p99 is 9 s", "severity": "high", "status": "open" });
    runtime.block_on(async { platform.edit("incident", "i1", fields) });
    settle("no ticket", || tickets(&simulator) == 1);
    at_rest(&api, &id);
    let ticket = simulator.rows("incident")[0]["sys_id"].clone();
    let backup = place.path().join("backup.db");
    let (ok, said) = firn.cli(&["backup", "--data", path(&data), path(&backup)]);
    assert!(ok, "{said}");

    say();
    settle("not carried there", || there(&ticket).len() == 1);
    agent(&ticket, json!({ "comments": "said at the desk" }));
    agent(&ticket, json!({ "description": "changed at the desk" }));
    settle("not carried here", || {
        here().len() == 1 && field("description") == "changed at the desk"
    });
    at_rest(&api, &id);
    drop(firn);

    let restore = ["restore", "--data", path(&data), path(&backup), "--replace", "--yes"];
    let (ok, said) = offline(&restore);
    assert!(
        ok && said.contains("2 integrations ask both sides for what happened since 20"),
        "{said}"
    );
    assert!(!data.join("restoring.lock").exists() && !data.join("restoring.db-wal").exists());
    assert!(said.contains("nothing is written to them before 20"), "{said}");
    let firn = Firn::start(&data, &[], None);
    let api = Api::new(&firn, Some(TOKEN));
    connect(&firn);
    let runs = format!("/api/v1/integrations/{id}/reconcile");
    settle("no run", || {
        let all = api.get(&runs);
        let mut all = all["runs"].as_array().unwrap().iter();
        all.any(|run| run["by"] == "the restore" && run["state"] == "finished")
    });
    at_rest(&api, &id);
    // What happens now goes its way, in the same words too.
    say();
    agent(&ticket, json!({ "comments": "said at the desk" }));
    agent(&ticket, json!({ "description": "changed once more" }));
    settle("not carried after the restore", || {
        there(&ticket).len() == 2
            && here().len() == 2
            && field("description") == "changed once more"
    });
    at_rest(&api, &id);
    assert_eq!((there(&ticket).len(), here().len(), tickets(&simulator)), (2, 2, 1));
}

/// A store that was put back by other means is told so.
#[test]
fn a_store_that_was_put_back_by_other_means_is_told() {
    let Stage { _runtime, simulator: _simulator, place: _place, data, firn, api, id } =
        Stage::new();
    escalate(&api, &id, &call_id(1));
    at_rest(&api, &id);
    let restored = |more: &[&str]| offline(&[&["restored", "--data", path(&data)], more].concat());
    let (ok, said) = restored(&[]);
    assert!(!ok && said.contains("in use"), "{said}");
    drop(firn);
    let (ok, said) = restored(&["--since", "yesterday"]);
    assert!(!ok && said.contains("--since is a time like"), "{said}");
    let (ok, said) = restored(&["--since", "2999-01-01T00:00:00Z"]);
    assert!(!ok && said.contains("in the future"), "{said}");
    let (ok, said) = offline(&["restored", "--data", "/nowhere/at/all"]);
    assert!(!ok && said.contains("there is no store"), "{said}");
    let (ok, said) = restored(&[]);
    assert!(ok && said.contains("1 integration asks both sides"), "{said}");
    let (ok, said) = restored(&["--since", "2026-11-27T08:30:00Z"]);
    assert!(ok && said.contains("since 2026-11-27T08:30:00"), "{said}");
    let firn = Firn::start(&data, &[], None);
    let api = Api::new(&firn, Some(TOKEN));
    let runs = format!("/api/v1/integrations/{id}/reconcile");
    settle("no run", || !api.get(&runs)["runs"].as_array().unwrap().is_empty());
}

/// A restore that was killed may have left anything: the next one begins anew.
#[test]
fn what_a_broken_restore_has_left_is_not_taken_for_anything() {
    let Stage { _runtime, simulator: _simulator, place, data, firn, api, id } = Stage::new();
    let first = escalate(&api, &id, &call_id(1));
    at_rest(&api, &id);
    let backup = place.path().join("backup.db");
    let (ok, said) = firn.cli(&["backup", "--data", path(&data), path(&backup)]);
    assert!(ok, "{said}");
    drop(firn);
    // A log of a copy that was being written, and the copy itself.
    let left = data.join("restoring.db");
    let connection = rusqlite::Connection::open(&left).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.execute_batch("CREATE TABLE strange (x); INSERT INTO strange VALUES (1)").unwrap();
    let log = std::fs::read(data.join("restoring.db-wal")).unwrap();
    assert!(log.len() > 4_096);
    drop(connection);
    std::fs::write(data.join("restoring.db-wal"), log).unwrap();
    let restore = ["restore", "--data", path(&data), path(&backup), "--replace", "--yes"];
    let (ok, said) = offline(&restore);
    assert!(ok, "{said}");
    let strange = std::fs::read_dir(&data).unwrap().map(|file| file.unwrap().file_name());
    assert!(!strange.into_iter().any(|name| name.to_string_lossy().starts_with("restoring")));
    let firn = Firn::start(&data, &[], None);
    let api = Api::new(&firn, Some(TOKEN));
    assert_eq!(escalate(&api, &id, &call_id(1))["sys_id"], first["sys_id"]);
}

/// Settings that a newer version wrote: their integration does not run, and all others do.
#[test]
fn an_integration_that_cannot_be_read_stops_nobody_else() {
    let Stage { _runtime, simulator, place: _place, data, firn, api, id } = Stage::new();
    let other = integration(&api, &simulator, "other", "genesys");
    let first = escalate(&api, &id, &call_id(1));
    at_rest(&api, &id);
    drop(firn);
    {
        let key: [u8; 32] = std::fs::read(data.join("master.key"))
            .map(|bytes| match <[u8; 32]>::try_from(bytes.as_slice()) {
                Ok(key) => key,
                Err(_) => {
                    let text = String::from_utf8(bytes).unwrap();
                    STANDARD.decode(text.trim()).unwrap().try_into().unwrap()
                }
            })
            .unwrap();
        let store = Sqlite::open(&data.join("firn.db"), &MasterKey::new(key)).unwrap();
        let row = Key::new(&TenantId::new("acme").unwrap(), &["integration", &other]);
        let stored = store.get(std::slice::from_ref(&row)).unwrap().pop().flatten().unwrap();
        let mut newer: Json = serde_json::from_str(&stored.value).unwrap();
        newer["settings"]["strategy"] = "of-the-year-2030".into();
        let put = Some(Put { value: newer.to_string(), due: stored.due });
        store.commit(&[Change { key: row, expect: Expect::Any, put }]).unwrap();
    }
    let (ok, said) = offline(&["restored", "--data", path(&data)]);
    let told = [
        "1 integration asks both sides",
        &format!("integration/{other} cannot be read by this version"),
        "1 of its integrations could not be told",
    ];
    assert!(!ok && told.iter().all(|told| said.contains(told)), "{said}");
    let firn = Firn::start(&data, &[], None);
    let api = Api::new(&firn, Some(TOKEN));
    assert_eq!(escalate(&api, &id, &call_id(1))["sys_id"], first["sys_id"]);
    let call = json!({ "callId": call_id(2), "escalationReason": "IVR_TIMEOUT_EXCEEDED" });
    let path = format!("/api/v1/integrations/{other}/escalations");
    let (status, answer) = api.call("POST", &path, &call);
    assert!(status == 404 || status == 503, "{status} {answer}");
    assert!(!answer.to_string().contains("2030"), "{answer}");
    at_rest(&api, &id);
}

#[test]
fn a_backup_elsewhere_needs_its_key_and_is_looked_at_first() {
    let Stage { _runtime, simulator: _simulator, place, data, firn, api, id } = Stage::new();
    let elsewhere = place.path().join("elsewhere");
    let first = escalate(&api, &id, &call_id(1));
    at_rest(&api, &id);
    let (backup, key) = (place.path().join("b.db"), place.path().join("b.key"));
    let (ok, said) =
        firn.cli(&["backup", "--data", path(&data), path(&backup), "--key-to", path(&key)]);
    assert!(ok, "{said}");
    drop(firn);
    let bytes = std::fs::read(&backup).unwrap();
    for secret in ["integration", "+15550199888", "IVR_TIMEOUT"] {
        let there = bytes.windows(secret.len()).filter(|w| *w == secret.as_bytes()).count();
        // The names of kinds of rows are no secret.
        assert!(there == 0 || secret == "integration", "{secret} lies open in the backup");
    }
    let (ok, said) = offline(&["restore", "--data", path(&elsewhere), path(&backup)]);
    assert!(!ok && said.contains("--key-from"), "{said}");
    let wrong = place.path().join("wrong.key");
    std::fs::write(&wrong, [1; 32]).unwrap();
    let restore = |backup: &Path, key: &Path| {
        offline(&["restore", "--data", path(&elsewhere), path(backup), "--key-from", path(key)])
    };
    let (ok, said) = restore(&backup, &wrong);
    assert!(!ok && said.contains("sealed under another key"), "{said}");
    // One bit of one row.
    let sql = "SELECT value FROM rows WHERE path LIKE 'link/%'";
    let sealed: Vec<u8> =
        rusqlite::Connection::open(&backup).unwrap().query_row(sql, [], |row| row.get(0)).unwrap();
    let at = bytes.windows(64).position(|w| w == &sealed[..64]).unwrap();
    let mut broken = bytes.clone();
    broken[at + 40] ^= 1;
    let file = place.path().join("broken.db");
    std::fs::write(&file, broken).unwrap();
    let (ok, said) = restore(&file, &key);
    assert!(!ok && said.contains("is not sound") && said.contains("link/"), "{said}");
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let (ok, said) = restore(&file, &key);
    assert!(!ok, "half of it is no backup: {said}");
    assert!(!elsewhere.join("firn.db").exists());
    let (ok, said) = restore(&backup, &key);
    assert!(ok, "{said}");
    let firn = Firn::start(&elsewhere, &[], None);
    let api = Api::new(&firn, Some(TOKEN));
    assert_eq!(escalate(&api, &id, &call_id(1))["sys_id"], first["sys_id"]);
}

#[test]
fn keys_are_changed_and_may_lie_elsewhere() {
    let Stage { _runtime, simulator: _simulator, place, data, firn, api, id } = Stage::new();
    let first = escalate(&api, &id, &call_id(1));
    let rotate = ["key", "rotate", "--data", path(&data)];
    let (ok, said) = offline(&rotate);
    assert!(!ok && said.contains("in use"), "{said}");
    drop(firn);
    let before = std::fs::read(data.join("master.key")).unwrap();
    let (ok, said) = offline(&rotate);
    assert!(ok && said.contains("sealed under new keys"), "{said}");
    assert_ne!(std::fs::read(data.join("master.key")).unwrap(), before);
    // To a place of its own.
    let key = place.path().join("key");
    std::fs::write(&key, "ab".repeat(32)).unwrap();
    let elsewhere = format!("file:{}", path(&key));
    let (ok, said) = offline(&[&rotate[..], &["--new-key", &elsewhere]].concat());
    assert!(ok, "{said}");
    assert!(!data.join("master.key").exists());
    let (ok, said) = offline(&["serve", "--data", path(&data), "--listen", "127.0.0.1:0"]);
    assert!(!ok && said.contains("--key"), "{said}");
    for (key, said) in [
        ("abcd", "not the key: env:NAME"),
        ("env:FIRN_NO_SUCH", "cannot be had"),
        ("file:/dev/null", "holds no key"),
    ] {
        let serve = ["serve", "--data", path(&data), "--listen", "127.0.0.1:0", "--key", key];
        let (ok, told) = offline(&serve);
        assert!(!ok && told.contains(said), "{told}");
    }
    let firn = Firn::start(&data, &["--key", &elsewhere], None);
    let api = Api::new(&firn, Some(TOKEN));
    assert_eq!(escalate(&api, &id, &call_id(1))["sys_id"], first["sys_id"]);
}

#[test]
fn the_audit_tells_who_and_shows_that_nobody_changed_it() {
    let Stage { _runtime, simulator: _simulator, place: _place, data, firn, api, id } =
        Stage::new();
    escalate(&api, &id, &call_id(1));
    at_rest(&api, &id);
    let (_, made) =
        api.call("POST", "/api/v1/tokens", &json!({ "name": "night shift", "role": "operator" }));
    let night = Api::new(&firn, made["secret"].as_str());
    let link = api.get(&format!("/api/v1/integrations/{id}/links"))["links"][0]["id"].clone();
    let base = format!("/api/v1/integrations/{id}");
    // Every call that changes something has its line, with whoever it was.
    for (what, body, event) in [
        (format!("{base}/links/{}/resync", link.as_str().unwrap()), json!({}), "resync"),
        (format!("{base}/reconcile"), json!({}), "reconcile"),
        (format!("{base}/reconcile/schedule"), json!({ "interval": "1h" }), "schedule"),
        (format!("{base}/links/{}/unlink", link.as_str().unwrap()), json!({}), "unlink"),
    ] {
        let before = api.get(&format!("{base}/audit"))["audit"].as_array().unwrap().len();
        let (status, said) = night.call("POST", &what, &body);
        assert!(status < 300, "{what}: {said}");
        let lines = api.get(&format!("{base}/audit"))["audit"].as_array().unwrap().clone();
        let new: Vec<&Json> =
            lines.iter().filter(|line| line["note"].to_string().contains("night shift")).collect();
        assert!(
            lines.len() > before && new.iter().any(|l| l["event"].to_string().contains(event)),
            "{event}: {lines:?}"
        );
    }
    for (method, body, event) in
        [("PATCH", json!({ "enabled": false }), "configured"), ("DELETE", json!({}), "deleted")]
    {
        let (status, said) = api.call(method, &base, &body);
        assert!(status < 300, "{said}");
        let (ok, said) = firn.cli(&["audit", "list", "--format", "json"]);
        let whole = said + &api.get(&format!("{base}/audit")).to_string();
        assert!(ok && whole.contains(event), "{event}: {whole}");
        assert!(method == "DELETE" || whole.contains("enabled; by admin"), "{whole}");
    }
    // What was changed is named.
    let lines = api.get("/api/v1/audit").to_string();
    assert!(lines.contains("deleted"), "{lines}");
    let verify = ["audit", "verify", "--data", path(&data)];
    let (ok, said) = firn.cli(&verify);
    assert!(ok && said.contains("nothing was changed"), "{said}");
    let head = said.lines().find_map(|line| line.strip_prefix("head ")).unwrap().to_owned();
    drop(firn);
    let sql = "DELETE FROM rows WHERE path IN (SELECT path FROM chain WHERE seq = 3);
        DELETE FROM rows WHERE path IN (SELECT path FROM chain ORDER BY seq DESC LIMIT 1);
        DELETE FROM chain WHERE seq = (SELECT max(seq) FROM chain)";
    rusqlite::Connection::open(data.join("firn.db")).unwrap().execute_batch(sql).unwrap();
    let (ok, said) = offline(&[&verify[..], &["--noted", &head]].concat());
    assert!(!ok && said.contains("line 3 was removed") && said.contains("cut off"), "{said}");
}

#[test]
fn what_is_forgotten_is_in_no_row_and_opens_nothing_again() {
    let Stage { _runtime, simulator, place: _place, data, firn, api, id } = Stage::new();
    // Another integration hears of every ticket there too.
    integration(&api, &simulator, "beside", "incidents");
    let (call, other) = (call_id(7), call_id(8));
    let ticket = escalate(&api, &id, &call);
    escalate(&api, &id, &other);
    at_rest(&api, &id);
    let number = ticket["number"].as_str().unwrap();
    // Words that stand in everybody's payloads mean nobody.
    for word in ["call-that-never-was", "inbound", "2026", "IT_Support_Hotline", "+15550199888"] {
        let (ok, said) = firn.cli(&["tenant", "forget", "acme", "--key", word, "--yes"]);
        assert!(!ok && said.contains("no record of"), "{word}: {said}");
    }
    let (ok, said) = firn.cli(&["tenant", "forget", "nobody", "--key", &call, "--yes"]);
    assert!(!ok && said.contains("no tenant nobody"), "{said}");
    // As it lies on the disk.
    let sql = "SELECT value FROM rows WHERE path LIKE 'delivery/%' OR path LIKE 'link/%' OR path LIKE 'audit/%/l-%'";
    let sealed = || -> std::collections::BTreeSet<Vec<u8>> {
        let file = rusqlite::Connection::open(data.join("firn.db")).unwrap();
        let mut rows = file.prepare(sql).unwrap();
        let values = rows.query_map([], |row| row.get(0)).unwrap();
        values.map(Result::unwrap).collect()
    };
    let before = sealed();
    let visitor = crate::console::Visitor::signed_in(&firn.url, crate::common::TOKEN);
    let feed = || visitor.get(&format!("/console/{id}")).text;
    assert!(feed().contains(number), "{}", feed());
    let (ok, said) = firn.cli(&["tenant", "forget", "acme", "--key", &call, "--yes"]);
    assert!(!feed().contains(number), "what was told of it is shown no more");
    assert!(ok && said.contains("links") && said.contains("deliveries"), "{said}");
    assert!(
        said.contains(number) && said.contains("backups"),
        "what is out of reach is told: {said}"
    );
    let gone: Vec<Vec<u8>> = before.difference(&sealed()).cloned().collect();
    assert!(gone.len() > 3 && before.len() > gone.len(), "{} of {}", gone.len(), before.len());
    // Nothing of it lies in a free page or in the log, where the store's own keys would open it.
    for file in ["firn.db", "firn.db-wal"] {
        let bytes = std::fs::read(data.join(file)).unwrap_or_default();
        for value in &gone {
            let part = &value[..48];
            assert!(!bytes.windows(part.len()).any(|w| w == part), "in {file}");
        }
    }
    let (ok, said) = firn.cli(&["audit", "verify", "--data", path(&data)]);
    assert!(ok && said.contains("erased on request"), "{said}");
    // A late escalation of the same call opens no second ticket.
    let before = tickets(&simulator);
    let body = json!({ "callId": call, "startTime": "2026-11-27T14:30:00.000Z", "direction": "inbound",
        "queueName": "q", "agentUserId": "a", "escalationReason": "r", "customerPhone": "+15550199888" });
    let (status, said) = api.call("POST", &format!("/api/v1/integrations/{id}/escalations"), &body);
    assert!(status < 500, "{status} {said}");
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(tickets(&simulator), before, "{said}");
    drop(firn);
    // No row of any kind says it any more; the other's are there.
    let master = std::fs::read_to_string(data.join("master.key")).unwrap();
    let master = STANDARD.decode(master.trim()).unwrap();
    let master = firn_storage::MasterKey::new(master.try_into().unwrap());
    let store = firn_storage::Sqlite::open(&data.join("firn.db"), &master).unwrap();
    let tenant = firn_model::TenantId::new("acme").unwrap();
    let rows = firn_storage::Store::scan(&store, &tenant, "", None, 10_000).unwrap();
    let of = |what: &str| -> Vec<String> {
        rows.iter().filter(|row| row.value.contains(what)).map(|row| row.key.path.clone()).collect()
    };
    assert_eq!(of(&call), Vec::<String>::new());
    assert_eq!(of(number), Vec::<String>::new());
    let sys_id = ticket["sys_id"].as_str().unwrap();
    let told: Vec<String> = of(sys_id).into_iter().filter(|p| p.starts_with("delivery/")).collect();
    assert_eq!(told, Vec::<String>::new(), "webhooks of its journal, to whomever");
    // What is the other's is all there.
    for kind in ["link/", "delivery/", "key/"] {
        let kept = rows.iter().any(|row| row.key.path.starts_with(kind));
        assert!(kept, "{kind}");
    }
    let link = of(&other).into_iter().find(|p| p.starts_with("link/")).unwrap();
    let audit = link.replacen("link/", "audit/", 1);
    assert!(rows.iter().any(|row| row.key.path.starts_with(&audit)), "{audit}");
    assert!(of(&other).iter().any(|path| path.starts_with("link/")));
}
