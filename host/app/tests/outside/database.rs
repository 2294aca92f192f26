//! Firn on a PostgreSQL database: the real binary, a real server. Where there is none it is skipped with a line
//! that says so; `FIRN_POSTGRES=required` makes that a fault.

use std::process::Command;

use firn_test_postgres::Server;
use serde_json::{Value as Json, json};

use super::common::breaking::Breaking;
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

    // It can be read and not written (a standby took over too soon): that is told too.
    let writable = |on: &str| {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'firn'";
        let set = format!("ALTER DATABASE firn SET default_transaction_read_only = {on}; {end}");
        server.sql_in("postgres", &set).unwrap();
    };
    writable("on");
    desk.edit("inc-1", json!({ "title": "Read, not written" }));
    settle("it says that it is ready", || ready() == 503);
    writable("off");
    settle("it is not ready again", || ready() == 200);
    settle("it does not go on", || {
        desk.ticket("inc-1", "short_description") == "Read, not written"
    });
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

/// Fault 22: commits of which nobody hears whether they took effect, connections that break and are refused, sessions
/// that are ended, a table that somebody holds. All the while both sides are at work.
#[test]
fn a_database_that_breaks_off_loses_nothing_and_doubles_nothing() {
    let Some(server) = Server::there() else { return };
    let between = Breaking::before(server.port());
    let url = server.url("firn");
    let url =
        url.replace(&format!(":{}/", server.port()), &format!(":{}/", between.address.port()));
    assert!(url.contains(&between.address.port().to_string()), "{url}");
    let soon = json!({ "request_timeout": 5000, "correlation": { "transaction_limit": 6000 } });
    let desk = Desk::new(&soon, &[("FIRN_STORE", url)]);
    let end_sessions =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'firn'";
    let as_administrator = |sql: &str| server.sql_in("firn", sql).unwrap();

    let mut said = Vec::new();
    for n in 0..24 {
        let id = format!("inc-{}", n % 6);
        match n % 6 {
            0 | 3 => between.lose_a_commits_answer(),
            1 => between.break_all(),
            2 => drop(as_administrator(end_sessions)),
            4 => drop(as_administrator(
                "ALTER ROLE firn CONNECTION LIMIT 0; SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'firn'",
            )),
            _ => drop(as_administrator(
                "BEGIN; LOCK TABLE rows IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1); COMMIT",
            )),
        }
        let fields = json!({ "title": format!("Search is slow ({n})"), "description": "p99 is 9 s",
            "severity": "high", "status": "open", "assigned_to": null });
        desk.edit(&id, fields);
        let words = format!("look {n:02}");
        {
            let _in = desk.runtime.enter();
            desk.platform.say("incident", &id, "ann", &words, "public");
        }
        said.push((id.clone(), words));
        std::thread::sleep(std::time::Duration::from_millis(200));
        as_administrator("ALTER ROLE firn CONNECTION LIMIT -1");
        if desk.tickets(&id).len() == 1 {
            desk.agent(&id, &json!({ "comments": format!("seen {n:02}") }));
            said.push((id, format!("seen {n:02}")));
        }
    }
    assert!(between.lost() > 3, "answers of {} commits were lost", between.lost());
    settle("it is not ready again", || {
        desk.api.request("GET", "/readyz").send().unwrap().status() == 200
    });
    // Whatever an agent said while no webhook could be taken, the next look at the journal shows.
    let known = |id: &str, words: &str| {
        let ticket = desk.ticket(id, "sys_id");
        let rows = desk.simulator.rows("sys_journal_field").into_iter();
        let there = rows.filter(|row| row["element_id"] == ticket && row["value"].contains(words));
        let record = desk.platform.record(id).unwrap();
        let here = record.comments.iter().filter(|comment| comment.text.contains(words));
        (there.count(), here.count())
    };
    settle("not everything arrives", || said.iter().all(|(id, words)| known(id, words) == (1, 1)));
    desk.at_rest();
    for n in 0..6 {
        let id = format!("inc-{n}");
        assert_eq!(desk.tickets(&id).len(), 1, "tickets of {id}");
        assert_eq!(desk.ticket(&id, "short_description"), format!("Search is slow ({})", 18 + n));
    }
    for (id, words) in &said {
        assert_eq!(known(id, words), (1, 1), "{words} of {id}: on the ticket, on the record");
    }
}
