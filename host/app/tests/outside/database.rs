//! Firn on a PostgreSQL database: the real binary, a real server. Where there is none it is skipped with a line
//! that says so; `FIRN_POSTGRES=required` makes that a fault.

use std::process::Command;

use firn_test_postgres::Server;
use serde_json::{Value as Json, json};

use super::common::desk::Desk;
use super::common::{Api, Firn, TOKEN, free, settle};

/// What the platform has told already: it changes nothing, whether it is taken or not.
fn known() -> Json {
    json!({ "id": "by-hand", "type": "changed", "occurred_at": "2026-01-01T10:00:00Z",
        "record": { "kind": "incident", "id": "inc-1", "version": 1, "partial": true,
            "fields": { "title": "Search is slow" } } })
}

#[test]
fn a_database_outlives_the_process_and_its_machine() {
    let Some(mut server) = Server::there() else { return };
    let store = [("FIRN_STORE", server.url("firn"))];
    // What is under way when the server or the process ends is taken for lost, and only then looked for.
    let soon = json!({ "request_timeout": 5000, "correlation": { "transaction_limit": 6000 } });
    let desk = Desk::new(&soon, &store);
    desk.incident("inc-1", "Search is slow");
    desk.agent(
        "inc-1",
        &json!({ "impact": "1", "urgency": "1", "short_description": "Search is down" }),
    );
    desk.at_rest();
    let data = desk.place.path().join("data");
    assert!(!data.join("firn.db").exists(), "nothing of it is in a file");

    // Another process that cannot work on it is refused, in words.
    let key = format!("file:{}", data.join("master.key").display());
    let second = |environment: &[(&str, String)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firn"));
        command.args(["serve", "--allow-loopback", "--listen", &free().to_string(), "--data"]);
        command.arg(desk.place.path().join("elsewhere")).env("FIRN_TOKEN", TOKEN);
        command.envs(environment.iter().map(|(name, value)| (*name, value)));
        let output = command.output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let url = server.url("firn");
    let said = second(&[("FIRN_STORE", url.clone())]);
    assert!(said.contains("sealed under another key") && !said.contains("of-a-test"), "{said}");
    let said = second(&[("FIRN_STORE", "firn.db".to_owned())]);
    assert!(said.contains("postgres://user:password@host/database"), "{said}");
    let said = second(&[("FIRN_STORE", "postgres://firn@127.0.0.1:1/firn".to_owned())]);
    assert!(said.contains("refused"), "{said}");

    // The server is gone for a while: it is told, nothing is lost, and it goes on by itself. What changes in
    // the meantime the platform tells again until it is taken.
    server.crash().unwrap();
    let ready = || desk.api.request("GET", "/readyz").send().unwrap().status().as_u16();
    settle("it says that it is ready", || ready() == 503);
    let (status, answer) = desk.api.call("POST", "/api/v1/integrations/desk/events", &known());
    assert!(status >= 500, "{status} {answer}");
    desk.edit("inc-1", json!({ "title": "Found" }));
    server.run().unwrap();
    settle("it is not ready again", || ready() == 200);
    settle("it does not go on", || desk.ticket("inc-1", "short_description") == "Found");
    desk.at_rest();

    // Killed, and begun again on another machine: the database and the key are all that it takes.
    let Desk { runtime, simulator, platform, firn, place, .. } = desk;
    drop(firn);
    let elsewhere = place.path().join("another-machine");
    let environment = [("FIRN_STORE", url.clone()), ("FIRN_KEY", key.clone())];
    let firn = Firn::start_in(&elsewhere, &[], None, Some(TOKEN), &environment);
    let api = Api::new(&firn, Some(TOKEN));
    let links = api.get("/api/v1/integrations/desk/links");
    assert_eq!(links["links"].as_array().unwrap().len(), 1, "{links}");
    let events = format!("{}/api/v1/integrations/desk/events", firn.url);
    platform.connect_with(events, Some(TOKEN.to_owned()));
    {
        let _in = runtime.enter();
        platform.edit("incident", "inc-1", json!({ "title": "Moved" }));
    }
    settle("nothing is written", || {
        simulator.rows("incident").iter().any(|row| row["short_description"] == "Moved")
    });
    assert_eq!(
        simulator.rows("incident").iter().filter(|row| row["correlation_id"] == "inc-1").count(),
        1
    );

    // The audit is whole, and is looked at from outside while it is worked on.
    let mut verify = firn.command(&["audit", "verify"]);
    let verified = verify.envs(environment.iter().map(|(n, v)| (*n, v))).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success() && said.contains("nothing was changed"), "{said}");
    let stored = server.sql_in("firn", "SELECT encode(value, 'escape') FROM rows").unwrap();
    assert!(stored.len() > 1_000 && !stored.contains("Search"), "values are sealed");

    // How it would run is shown without the password.
    let mut show = firn.command(&["config", "show"]);
    let shown = show.env("FIRN_STORE", &url).output().unwrap();
    let all = String::from_utf8_lossy(&[shown.stdout, shown.stderr].concat()).into_owned();
    assert!(all.contains("is not shown") && !all.contains("of-a-test"), "{all}");

    // Its own backup was put in its place: that is told before anything works on it.
    let mut restored = firn.command(&["restored", "--data", elsewhere.to_str().unwrap()]);
    drop(firn);
    let told = restored.envs(environment.iter().map(|(n, v)| (*n, v))).output().unwrap();
    let said = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success() && said.contains("1 integration asks both sides"), "{told:?}");
    let firn = Firn::start_in(&elsewhere, &[], None, Some(TOKEN), &environment);
    let api = Api::new(&firn, Some(TOKEN));
    settle("no run", || {
        let runs = api.get("/api/v1/integrations/desk/reconcile");
        runs["runs"].as_array().unwrap().iter().any(|run| run["by"] == "the restore")
    });
}
