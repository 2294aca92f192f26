//! Every command and call that seed 004 prints, in its order, with `firn` for `im`: against the real
//! binary, a simulator and a platform, each with what it is to bring about.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{Api, Firn, TOKEN, settle};
use firn::{SamplePlatform, listen};
use firn_simulator::{Faults, OutboundFaults, RequestFault, Simulator, Trouble};
use serde_json::{Value as Json, json};

/// Splits a line as a shell would, as far as the seed needs it.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.replace("\\\n", " ").chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.into_iter().filter(|word| !word.is_empty()).collect()
}

struct Stage {
    runtime: tokio::runtime::Runtime,
    simulator: Arc<Simulator>,
    platform: SamplePlatform,
    firn: Firn,
    api: Api,
}

impl Stage {
    /// A line as the seed prints it; gives what was printed.
    fn im(&self, line: &str) -> String {
        let words = words(line);
        assert_eq!(words[0], "im");
        let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        let (ok, said) = self.firn.cli(&arguments);
        assert!(ok, "{line}: {said}");
        said
    }

    fn shown(&self) -> Json {
        self.api.get("/api/v1/integrations/prod-snow")
    }

    fn at_rest(&self) {
        let path = "/api/v1/integrations/prod-snow/sync-status";
        settle("it does not come to rest", || self.api.get(path)["backlog"] == 0);
    }

    fn record(&self, id: &str, fields: Json) {
        let _in = self.runtime.enter();
        self.platform.edit("incident", id, fields);
    }

    fn tickets(&self, id: &str) -> Vec<firn_simulator::Record> {
        let rows = self.simulator.rows("incident").into_iter();
        rows.filter(|row| row.get("correlation_id").is_some_and(|key| key == id)).collect()
    }

    fn ticket(&self, id: &str, column: &str) -> String {
        self.tickets(id).first().and_then(|row| row.get(column).cloned()).unwrap_or_default()
    }

    /// An agent changes a ticket, with every rule and webhook.
    fn agent(&self, id: &str, body: &Json) {
        let url = format!(
            "{}/api/now/table/incident/{}",
            self.simulator.url(),
            self.ticket(id, "sys_id")
        );
        let http = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
        let sent =
            http.patch(url).basic_auth("ann.lee", Some("ann.lee")).json(body).send().unwrap();
        assert!(sent.status().is_success(), "{}", sent.text().unwrap());
    }
}

#[test]
fn everything_that_seed_004_prints_works_in_its_order() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let any = ([127, 0, 0, 1], 0).into();
    let simulator = runtime.block_on(Simulator::start(any, 1, Faults::default())).unwrap();
    let platform = SamplePlatform::default();
    let listening = runtime.block_on(listen(any, platform.router())).unwrap();
    let base = format!("http://{}", listening.address);
    let data = tempfile::tempdir().unwrap();
    let firn = Firn::start(data.path(), &[], None);
    let api = Api::new(&firn, Some(TOKEN));
    let stage = Stage { runtime, simulator: Arc::new(simulator), platform, firn, api };
    let instance = stage.simulator.url();

    // Step 1: Create Integration. The address and who signs in are the simulator's.
    let said = stage.im(&format!(
        r#"im integration configure \
--name "Production ServiceNow" \
--type servicenow \
--org acme-corp \
--base-url "{instance}" \
--direction bidirectional \
--username "integration" \
--password "integration" --admin-username admin --admin-password admin"#
    ));
    assert!(
        said.contains("is configured") && said.contains("better: --password env:NAME"),
        "{said}"
    );
    assert!(said.contains("webhook: "), "{said}");
    // Or the API: the body as it is printed.
    let body = json!({
        "organization_id": "acme-corp",
        "integration_type": "servicenow",
        "name": "By the API",
        "base_url": instance,
        "credentials": { "username": "api_user", "password": "your_password" },
        "sync_direction": "bidirectional",
        "enabled": true
    });
    let (status, made) = stage.api.call("POST", "/api/v1/integrations", &body);
    assert_eq!(
        (status, &made["tenant"], &made["enabled"]),
        (201, &json!("acme-corp"), &json!(true))
    );
    assert!(!made.to_string().contains("your_password"));
    stage.im("im integration delete \"By the API\" --no-unprovision --yes");

    // The seed calls it prod-snow from here on; and a platform belongs to it.
    stage.im("im integration configure \"Production ServiceNow\" --name prod-snow");
    stage.im(&format!(
        "im integration configure prod-snow --callback-url {base}/callback --read-url {base}/records/{{id}}"
    ));
    stage.platform.connect_with(
        format!("{}/api/v1/integrations/prod-snow/events", stage.firn.url),
        Some(TOKEN.to_owned()),
    );
    // Step 2, the webhook: its rules were installed; the seed's own script has a test of its own.
    assert_eq!(
        stage.simulator.rows("sys_script").iter().filter(|r| r["name"].contains("Webhook")).count(),
        2
    );

    // Step 3: Configure Field Ownership.
    for (field, owner, priority) in [
        ("severity", "platform", 10),
        ("title", "platform", 10),
        ("assigned_to", "external", 5),
        ("work_notes", "external", 5),
    ] {
        stage.im(&format!(
            "im integration field-ownership set prod-snow {field} --owner {owner} --priority {priority}"
        ));
    }
    let fields = stage.shown()["settings"]["fields"].clone();
    assert_eq!(fields["severity"]["owner"], "platform");
    assert_eq!(fields["title"]["platform_priority"], 10);
    assert_eq!(fields["assigned_to"]["owner"], "external");
    assert_eq!(fields["assigned_to"]["external_priority"], 5);

    // The mapping's tables: both sides, in their values.
    let one = |title: &str, more: Json| {
        let mut fields = json!({ "title": title, "description": "p99 is 9 s", "severity": "high",
            "status": "open", "assigned_to": null });
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields
    };
    stage.record("inc-1", one("Checkout is slow", json!({})));
    settle("a ticket is made", || stage.tickets("inc-1").len() == 1);
    stage.at_rest();
    assert_eq!(stage.ticket("inc-1", "short_description"), "Checkout is slow");
    for (status, state) in [("mitigated", "3"), ("resolved", "6"), ("closed", "7"), ("open", "2")] {
        if status == "open" {
            continue; // Opening it again is another story.
        }
        stage.record("inc-1", one("Checkout is slow", json!({ "status": status })));
        settle(status, || stage.ticket("inc-1", "state") == state);
        stage.at_rest();
    }

    // Conflict Resolution.
    for strategy in ["last-write-wins", "ownership-priority", "manual-review"] {
        stage.im(&format!("im integration configure prod-snow --conflict-strategy {strategy}"));
        assert_eq!(stage.shown()["settings"]["strategy"], strategy);
    }
    stage.record("inc-2", one("Login fails", json!({})));
    settle("a second ticket", || stage.tickets("inc-2").len() == 1);
    stage.at_rest();
    // Within five seconds, and before either is heard of.
    let outbound = OutboundFaults { lost: 100, ..OutboundFaults::default() };
    stage.simulator.set_faults(Faults { outbound, ..Faults::default() });
    stage.agent("inc-2", &json!({ "short_description": "Login fails for all" }));
    stage.record("inc-2", one("Login fails for some", json!({})));
    let conflicts = || {
        stage.api.get("/api/v1/integrations/prod-snow/conflicts?state=open")["conflicts"].clone()
    };
    settle("a conflict waits for a person", || !conflicts().as_array().unwrap().is_empty());
    let said = stage.im("im conflict list --integration prod-snow");
    let conflict = conflicts()[0]["id"].as_str().unwrap().to_owned();
    assert!(said.contains(&conflict) && said.contains("title"), "{said}");
    assert_eq!(stage.ticket("inc-2", "short_description"), "Login fails for all");
    stage.simulator.set_faults(Faults::default());
    stage.im(&format!("im conflict resolve {conflict} --use-platform"));
    settle("the platform's value wins", || {
        stage.ticket("inc-2", "short_description") == "Login fails for some"
    });
    stage.at_rest();
    assert_eq!(conflicts(), json!([]));

    // Drift Detection: something changed with no event to say so.
    let sys_id = stage.ticket("inc-2", "sys_id");
    stage.simulator.set("incident", &sys_id, "description", "changed behind everybody's back");
    let said = stage.im("im integration reconcile prod-snow --dry-run");
    assert!(said.contains("description") && said.contains("1 drifted"), "{said}");
    assert_eq!(stage.ticket("inc-2", "description"), "changed behind everybody's back");
    let said = stage.im("im integration reconcile prod-snow --auto-heal");
    assert!(said.contains("auto-heal"), "{said}");
    settle("it is mended", || stage.ticket("inc-2", "description") == "p99 is 9 s");
    stage.at_rest();
    let said = stage.im("im integration reconcile history prod-snow");
    assert!(said.contains("dry-run") && said.contains("auto-heal"), "{said}");
    // Scheduled Reconciliation: the call as it is printed.
    let timing = json!({ "interval": "1h", "auto_heal": true, "enabled": true });
    let path = "/api/v1/integrations/prod-snow/reconcile/schedule";
    let (status, said) = stage.api.call("POST", path, &timing);
    assert_eq!(
        (status, &said["interval"], &said["mode"]),
        (200, &json!(3_600_000), &json!("auto-heal"))
    );
    assert_eq!(stage.api.get(path)["schedule"]["enabled"], true);

    // Monitoring.
    let said = stage.im("im integration sync-status prod-snow");
    assert!(said.contains("backlog") && said.contains("good"), "{said}");
    let said = stage.im("im integration links prod-snow --format table");
    assert!(said.contains("inc-1") && said.contains("inc-2") && said.contains("INC"), "{said}");

    // Dead Letter Queue: what the instance refuses for good.
    let refuse = |times| {
        let fault = RequestFault {
            method: Some("POST".to_owned()),
            path: Some("incident".to_owned()),
            percent: 100,
            times: Some(times),
            after: 0,
            trouble: Trouble::Status { code: 400, retry_after: None },
        };
        stage.simulator.set_faults(Faults { requests: vec![fault], ..Faults::default() });
    };
    let letters = || stage.api.get("/api/v1/integrations/prod-snow/dlq")["entries"].clone();
    for (id, what) in [("inc-3", "retried"), ("inc-4", "discarded")] {
        refuse(1);
        stage.record(id, one(what, json!({})));
        settle("it is refused", || letters().as_array().unwrap().len() == 1);
        let entry = letters()[0]["id"].as_str().unwrap().to_owned();
        let said = stage.im("im integration dlq prod-snow");
        assert!(said.contains(&entry) && said.contains("400"), "{said}");
        match what {
            "retried" => {
                stage.im(&format!("im integration dlq-retry prod-snow {entry}"));
                settle("it is made", || stage.tickets(id).len() == 1);
            }
            _ => {
                stage.im(&format!("im integration dlq-discard prod-snow {entry}"));
            }
        }
        stage.at_rest();
        assert_eq!(letters(), json!([]));
    }
    assert!(stage.tickets("inc-4").is_empty());

    // Testing.
    let said = stage.im("im integration test prod-snow");
    assert!(said.contains("ok") && !said.contains("FAIL"), "{said}");

    // Debug Logging: as it is printed, for the server.
    let Stage { firn, simulator, .. } = stage;
    drop(firn);
    let log = data.path().join("log");
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_firn"))
        .args(["serve", "--allow-loopback", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .env("INCIDENTS_LOG_LEVEL", "debug")
        .env("INCIDENTS_SYNC_TRACE", "true")
        .env("FIRN_TOKEN", TOKEN)
        .env_remove("FIRN_LOG")
        .stdout(std::process::Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn();
    let mut child = child.unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    let traced = || std::fs::read_to_string(&log).unwrap().contains("firn::sync");
    while !traced() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(traced(), "{}", std::fs::read_to_string(&log).unwrap());
    drop(simulator);
}
