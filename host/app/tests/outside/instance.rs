//! Meeting an instance: what is installed there and removed again, interrupted at every step; two
//! tenants on one instance; what an earlier version left; what the doctor finds, and says to do.

use crate::common::{Firn, TOKEN};
use firn_simulator::{Access, Faults, Permit, Record, RequestFault, Simulator, Trouble};
use serde_json::{Value as Json, json};

struct Place {
    directory: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    simulator: Simulator,
    firn: Firn,
}

impl Place {
    fn new() -> Place {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let simulator = start(&runtime);
        let directory = tempfile::tempdir().unwrap();
        let firn = Firn::start(&directory.path().join("data"), &[], None);
        Place { directory, runtime, simulator, firn }
    }

    /// Applies a settings file for an instance; gives the integration's id.
    fn apply(&self, slug: &str, simulator: &Simulator, more: &str) -> String {
        let path = self.directory.path().join(format!("{slug}.toml"));
        let text = format!(
            "slug = \"{slug}\"\norganization_id = \"{slug}-corp\"\nbase_url = \"{}\"\n{more}\n\n\
             [credentials]\nusername = \"integration\"\npassword = \"integration\"\n\
             admin_username = \"admin\"\nadmin_password = \"admin\"\n",
            simulator.url()
        );
        std::fs::write(&path, text).unwrap();
        let (ok, said) = self.firn.cli(&["integration", "apply", path.to_str().unwrap()]);
        assert!(ok, "{said}");
        let shown = self.firn.cli(&["integration", "get", slug]).1;
        serde_json::from_str::<Json>(&shown).unwrap()["id"].as_str().unwrap().to_owned()
    }

    fn integration(&self, arguments: &[&str]) -> (bool, String) {
        self.firn.cli(&[&["integration"], arguments].concat())
    }

    fn create(&self, table: &str, columns: &[(&str, &str)]) -> String {
        self.runtime.block_on(self.simulator.create(table, columns)).unwrap()
    }

    /// The doctor's report: whether all is well, and a check's verdict with what it says.
    fn examined(&self, slug: &str) -> (bool, Json) {
        let (ok, said) = self.integration(&["test", slug, "--format", "json"]);
        let report: Json = serde_json::from_str(said.split("\nfirn:").next().unwrap())
            .unwrap_or_else(|why| panic!("{why}: {said}"));
        assert_eq!(report["ok"], ok);
        (ok, report)
    }
}

fn start(runtime: &tokio::runtime::Runtime) -> Simulator {
    runtime.block_on(Simulator::start(([127, 0, 0, 1], 0).into(), 1, Faults::default())).unwrap()
}

/// Firn's artifacts on an instance, by name.
fn artifacts(simulator: &Simulator) -> Vec<String> {
    let firn =
        |row: &Record| row["name"].starts_with("Firn - ") || row["name"].starts_with("x_firn.");
    let mut names: Vec<String> =
        ["sys_properties", "sys_script", "sys_ws_definition", "sys_ws_operation"]
            .into_iter()
            .flat_map(|table| simulator.rows(table))
            .filter(firn)
            .map(|row| row["name"].clone())
            .collect();
    names.sort();
    names
}

fn check<'r>(report: &'r Json, name: &str) -> (&'r str, &'r str) {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|c| c["name"] == name);
    let check = check.unwrap_or_else(|| panic!("no check {name} in {report:#}"));
    // Whatever is not good says what to do.
    let good = check["verdict"] == "good";
    assert_eq!(good, check["remedy"].is_null(), "{check}");
    (check["verdict"].as_str().unwrap(), check["detail"].as_str().unwrap())
}

/// After every interruption the same command goes on, or the other one undoes; nothing is doubled and
/// nothing is left.
#[test]
fn provisioning_interrupted_at_every_step_ends_clean() {
    let place = Place::new();
    place.apply("snow", &place.simulator, "[provision]\nredact_on_save = true\nattachments = true\nresource = true\nmid_server = \"mid one\"");
    assert!(place.integration(&["provision", "snow"]).0);
    let all = artifacts(&place.simulator);
    assert_eq!(all.len(), 12, "{all:?}");
    // Four reads, then a write for each; then reads again.
    let ways = |step| [(step, Trouble::Drop), (step, Trouble::DropAfterCommit)];
    for (step, trouble) in (0..20).flat_map(ways) {
        let cut = |times| Faults {
            requests: vec![RequestFault {
                method: None,
                path: Some("/api/now/table/sys_".to_owned()),
                percent: 100,
                times,
                after: step,
                trouble: trouble.clone(),
            }],
            ..Faults::default()
        };
        assert!(place.integration(&["unprovision", "snow"]).0);
        assert_eq!(artifacts(&place.simulator), [""; 0]);
        // Odd steps break off in the one way, even steps in the other.
        if (step % 2 == 0) == (trouble == Trouble::Drop) {
            place.simulator.set_faults(cut(Some(1)));
            let (ok, said) = place.integration(&["provision", "snow"]);
            assert!(ok, "a hiccup at {step}, {trouble:?}: {said}");
            assert_eq!(artifacts(&place.simulator), all, "{trouble:?} at {step}");
            place.simulator.set_faults(Faults::default());
            continue;
        }
        // Broken off for good: it says where, and the same again goes on.
        place.simulator.set_faults(cut(None));
        let (ok, said) = place.integration(&["provision", "snow"]);
        assert!(!ok, "step {step}: {said}");
        place.simulator.set_faults(Faults::default());
        assert!(place.integration(&["provision", "snow"]).0);
        assert_eq!(artifacts(&place.simulator), all, "{trouble:?} at {step}");
        // Broken off while removing: four reads, and a removal for each.
        if step >= 4 + all.len() as u32 {
            continue;
        }
        place.simulator.set_faults(cut(None));
        assert!(!place.integration(&["unprovision", "snow"]).0, "{trouble:?} at {step}");
        place.simulator.set_faults(Faults::default());
        assert!(place.integration(&["provision", "snow", "--check"]).1.contains("x_firn"));
        assert!(place.integration(&["unprovision", "snow"]).0);
        assert_eq!(artifacts(&place.simulator), [""; 0], "{trouble:?} at {step}");
    }
}

#[test]
fn what_was_changed_by_hand_or_left_behind_is_put_right() {
    let place = Place::new();
    let id = place.apply("snow", &place.simulator, "");
    assert!(!place.integration(&["provision", "snow", "--check"]).0);
    assert!(artifacts(&place.simulator).is_empty(), "looking changes nothing");
    assert!(place.integration(&["provision", "snow"]).0);
    let all = artifacts(&place.simulator);
    assert!(place.integration(&["provision", "snow", "--check"]).0);

    // A rule of an earlier version on the incident table (seed 003), one that is there twice, one that
    // was edited and one that was switched off.
    let mark = format!(
        "Auto-managed by Firn; do not edit. integration={id} tenant=snow-corp version=1 digest=-"
    );
    let legacy = format!("Firn - Incident Webhook ({id})");
    let old = [("name", legacy.as_str()), ("collection", "incident"), ("description", &mark)];
    place.create("sys_script", &old);
    let again = format!("Firn - Journal Webhook ({id})");
    place.create("sys_script", &[("name", &again), ("collection", "sys_journal_field")]);
    let rules = place.simulator.rows("sys_script");
    let rule =
        |name: &str| rules.iter().find(|r| r["name"].starts_with(name)).unwrap()["sys_id"].clone();
    place.simulator.set("sys_script", &rule("Firn - Task Webhook"), "script", "// mine now");
    place.simulator.set("sys_script", &rule("Firn - Ping"), "active", "false");
    // Somebody else's, which only looks a little like ours, stays.
    place.create("sys_script", &[("name", "Firn - Task Webhook (theirs)"), ("collection", "task")]);

    let (ok, said) = place.integration(&["provision", "snow", "--check"]);
    assert!(!ok);
    for told in ["too much", "script", "active", "Incident Webhook"] {
        assert!(said.contains(told), "{told} is not in {said}");
    }
    let (_, report) = place.examined("snow");
    assert_eq!(check(&report, "business rules").0, "bad");
    let (ok, said) = place.integration(&["provision", "snow"]);
    assert!(ok && said.contains("removed") && said.contains("updated"), "{said}");
    assert!(place.integration(&["provision", "snow", "--check"]).0);
    let mut expected = all;
    expected.push("Firn - Task Webhook (theirs)".to_owned());
    expected.sort();
    assert_eq!(artifacts(&place.simulator), expected);

    // Two tenants on one instance: each has its own, and takes only its own away.
    place.apply("other", &place.simulator, "");
    assert!(place.integration(&["provision", "other"]).0);
    let both = artifacts(&place.simulator).len();
    assert!(place.integration(&["provision", "snow"]).1.contains("unchanged"));
    assert!(place.integration(&["unprovision", "snow"]).0);
    assert_eq!(artifacts(&place.simulator).len(), both - 6);
    assert!(place.integration(&["provision", "other", "--check"]).0);

    // One that was deleted while its rules stayed: told to others, removed when asked for.
    assert!(place.integration(&["provision", "snow"]).0);
    assert!(place.integration(&["delete", "snow", "--no-unprovision", "--yes"]).0);
    let (ok, said) = place.integration(&["provision", "other", "--check"]);
    assert!(ok && said.contains(&id) && said.contains("--orphan"), "{said}");
    let (_, report) = place.examined("other");
    assert_eq!(check(&report, "rules of others").0, "note");
    let (ok, said) = place.integration(&["unprovision", "other", "--orphan", &id, "--yes"]);
    assert!(ok && said.contains("removed"), "{said}");
    assert_eq!(artifacts(&place.simulator).len(), 7);
    let other = &artifacts(&place.simulator)[1];
    let own = other.split('(').nth(1).unwrap().trim_end_matches(')');
    assert!(!place.integration(&["unprovision", "other", "--orphan", own, "--yes"]).0);
}

#[test]
fn artifacts_can_be_installed_by_hand() {
    let place = Place::new();
    let id = place.apply("snow", &place.simulator, "");
    let (ok, text) = place.integration(&["provision", "snow", "--export", "instructions"]);
    assert!(ok && text.contains("executeRule") && text.contains("System Definition"), "{text}");
    let file = place.directory.path().join("firn.xml");
    let export =
        ["provision", "snow", "--export", "update-set", "--output", file.to_str().unwrap()];
    assert!(place.integration(&export).0);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "the key is in it");
    assert!(!place.integration(&export).0, "a file that is there is not written over");

    // As an instance imports it: each update's payload is a row. Afterwards nothing is left to do.
    let xml = std::fs::read_to_string(&file).unwrap();
    let mut rows = 0;
    for payload in elements(&xml, "payload") {
        let table =
            payload.split("record_update table=\"").nth(1).unwrap().split('"').next().unwrap();
        let columns: Vec<(String, String)> = [
            "name",
            "value",
            "type",
            "read_roles",
            "write_roles",
            "description",
            "collection",
            "when",
            "order",
            "active",
            "advanced",
            "action_insert",
            "action_update",
            "action_delete",
            "condition",
            "filter_condition",
            "is_private",
            "ignore_cache",
            "script",
        ]
        .iter()
        .filter_map(|column| Some(((*column).to_owned(), elements(&payload, column).pop()?)))
        .collect();
        let columns: Vec<(&str, &str)> =
            columns.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        place.create(table, &columns);
        rows += 1;
    }
    assert_eq!(rows, 6);
    let (ok, said) = place.integration(&["provision", "snow", "--check"]);
    assert!(ok, "{said}");
    let (_, report) = place.examined("snow");
    assert_eq!(check(&report, "webhook round trip").0, "good");
    // The same file again is the same update set.
    let again = place.integration(&["provision", "snow", "--export", "update-set"]).1;
    assert_eq!(again.trim(), xml.trim());
    assert!(xml.contains(&id));
}

/// The texts of all elements of a name.
fn elements(xml: &str, name: &str) -> Vec<String> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(xml);
    let (mut found, mut text) = (Vec::new(), None::<String>);
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) if start.name().as_ref() == name.as_bytes() => {
                text = Some(String::new())
            }
            Event::Text(piece) => {
                if let Some(text) = &mut text {
                    text.push_str(&piece.decode().unwrap());
                }
            }
            Event::GeneralRef(reference) => {
                if let Some(text) = &mut text {
                    let name = reference.decode().unwrap();
                    let meant =
                        quick_xml::escape::unescape(&format!("&{name};")).unwrap().into_owned();
                    text.push_str(&meant);
                }
            }
            Event::End(end) if end.name().as_ref() == name.as_bytes() => found.extend(text.take()),
            Event::Eof => return found,
            _ => {}
        }
    }
}

#[test]
fn a_rule_redacts_before_a_ticket_is_saved() {
    let place = Place::new();
    place.apply("snow", &place.simulator, "[provision]\nredact_on_save = true");
    assert!(place.integration(&["provision", "snow"]).0);
    let ticket = place.create(
        "incident",
        &[
            ("short_description", "card 4111 1111 1111 1111 declined"),
            ("description", "SSN 219-09-9999, order 4111111111111112, phone 415-555-0142"),
            ("comments", "paid with 5500-0000-0000-0004."),
            ("close_notes", "4111 1111 1111 1111 12/27, CVV 123 4111-1111-1111-1111, 4111.1111.1111.1111; 5 4111 1111 1111 1111"),
        ],
    );
    let rows = place.simulator.rows("incident");
    let row = rows.iter().find(|row| row["sys_id"] == ticket).unwrap();
    assert_eq!(row["short_description"], "card [CARD 1111] declined");
    assert_eq!(row["description"], "SSN [SSN], order 4111111111111112, phone 415-555-0142");
    assert_eq!(
        row["close_notes"],
        "[CARD 1111] 12/27, CVV 123 [CARD 1111], [CARD 1111]; 5 [CARD 1111]"
    );
    let said = place.simulator.rows("sys_journal_field");
    assert_eq!(said[0]["value"], "paid with [CARD 0004].");
    // Switched off, it is taken away by the next provisioning.
    place.apply("snow", &place.simulator, "");
    let (ok, said) = place.integration(&["provision", "snow"]);
    assert!(ok && said.contains("Redact Tickets") && said.contains("removed"), "{said}");
}

/// Only the tickets of the settings are told of: not every task of the company.
#[test]
fn rules_tell_of_the_integrations_own_tickets_only() {
    let place = Place::new();
    place.apply("snow", &place.simulator, "");
    assert!(place.integration(&["provision", "snow"]).0);
    let calls = || place.simulator.rows("sys_outbound_http_log").len();
    place.create("problem", &[("short_description", "x"), ("work_notes", "not for others")]);
    place.create("incident", &[("short_description", "x"), ("work_notes", "for us")]);
    crate::common::settle("the incident is not told of", || calls() == 2);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(calls(), 2);
}

/// A complaint of other tools' users: times that nobody can tell, since the user's zone is not known.
#[test]
fn itsm_517_a_users_zone_is_told_and_bad_where_times_follow_it() {
    let place = Place::new();
    place.apply("snow", &place.simulator, "");
    place.create("incident", &[("short_description", "x")]);
    let zone = || check(&place.examined("snow").1, "time zone of the user").0.to_owned();
    assert_eq!(zone(), "good");
    let users = place.simulator.rows("sys_user");
    let user = users.iter().find(|row| row["user_name"] == "integration").unwrap();
    place.simulator.set("sys_user", &user["sys_id"], "time_zone", "America/New_York");
    assert_eq!(zone(), "note");
    let quirks = firn_simulator::Quirks { dates_in_user_zone: true, ..Default::default() };
    place.simulator.set_quirks(quirks);
    assert_eq!(zone(), "bad");
    place.simulator.set_quirks(firn_simulator::Quirks::default());
    place.simulator.set("sys_user", &user["sys_id"], "time_zone", "GMT");
    assert_eq!(zone(), "good");
}

#[test]
fn the_doctor_finds_what_will_hurt() {
    let place = Place::new();
    place.apply(
        "snow",
        &place.simulator,
        "[correlation]\nmode = \"unique\"\n[fields.caller_phone]\nkind = \"text\"\ncolumn = \"u_phone\"\nmask = false",
    );
    let column = [("name", "incident"), ("element", "u_phone"), ("max_length", "4000")];
    place.create("sys_dictionary", &column);
    place
        .create("incident", &[("short_description", "x"), ("comments", "hello"), ("u_phone", "1")]);
    let (ok, report) = place.examined("snow");
    assert!(!ok);
    assert_eq!(check(&report, "sign-in").0, "good");
    assert_eq!(check(&report, "webhooks").0, "note");
    assert_eq!(check(&report, "key is unique").0, "bad");
    assert_eq!(check(&report, "u_phone is restricted").0, "bad");
    assert_eq!(check(&report, "integration account").0, "note");

    // Put right, one after the other.
    place.simulator.unique_index("task", "correlation_id");
    let acl =
        place.create("sys_security_acl", &[("name", "incident.u_phone"), ("operation", "read")]);
    let roles = place.simulator.rows("sys_user_role");
    let role = |name: &str| roles.iter().find(|r| r["name"] == name).unwrap()["sys_id"].clone();
    let open = place.create(
        "sys_security_acl_role",
        &[("sys_security_acl", &acl), ("sys_user_role", &role("itil"))],
    );
    assert_eq!(check(&place.examined("snow").1, "u_phone is restricted").0, "bad");
    place.simulator.set("sys_security_acl_role", &open, "sys_user_role", &role("firn_vault"));
    let users = place.simulator.rows("sys_user");
    let user =
        users.iter().find(|row| row["user_name"] == "integration").unwrap()["sys_id"].clone();
    place.simulator.set("sys_user", &user, "web_service_access_only", "true");
    assert!(place.integration(&["provision", "snow"]).0);
    let (ok, report) = place.examined("snow");
    assert!(ok, "{report:#}");
    for name in [
        "reachable",
        "sign-in",
        "clock",
        "rate rules",
        "read incident",
        "write incident",
        "journal can be seen",
        "read sys_user",
        "read sys_choice",
        "read sys_audit_delete",
        "read sys_audit",
        "attachments",
        "time zone of the user",
        "integration account",
        "key is unique",
        "u_phone is restricted",
        "business rules",
        "webhook round trip",
    ] {
        assert_eq!(check(&report, name).0, "good", "{name}");
    }
    let ready = || {
        let url = format!("{}/readyz/snow", place.firn.url);
        reqwest::blocking::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .get(url)
            .send()
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(ready(), 200);

    // And broken, one at a time.
    let with = |access: Access, name: &str| {
        place.simulator.set_access(access);
        let (ok, report) = place.examined("snow");
        let (verdict, detail) = check(&report, name);
        (ok, verdict.to_owned(), detail.to_owned())
    };
    let tables = |read: bool, name: &str, permit| {
        let one = [(name.to_owned(), permit)].into();
        match read {
            true => Access { read: one, ..Access::default() },
            false => Access { write: one, ..Access::default() },
        }
    };
    let (ok, verdict, detail) =
        with(tables(true, "sys_journal_field", Permit::Empty), "journal can be seen");
    assert!(!ok && verdict == "bad" && detail.contains("without an error"), "{detail}");
    let (_, verdict, _) = with(tables(false, "incident", Permit::Refused), "write incident");
    assert_eq!(verdict, "bad");
    assert_eq!(ready(), 503);
    let (_, verdict, _) = with(tables(true, "sys_choice", Permit::Refused), "read sys_choice");
    assert_eq!(verdict, "note");
    let api = |name: &str| Access { api: vec![name.to_owned()], ..Access::default() };
    assert_eq!(with(api("table"), "REST API access").1, "bad");
    assert_eq!(with(api("attachment"), "attachments").1, "note");
    let (ok, verdict, _) = with(Access::default(), "write incident");
    assert!(ok && verdict == "good");

    place.create("sys_rate_limit_rules", &[("type", "all"), ("request_limit", "5000")]);
    let (verdict, detail) = {
        let (_, report) = place.examined("snow");
        let (verdict, detail) = check(&report, "rate rules");
        (verdict.to_owned(), detail.to_owned())
    };
    assert!(verdict == "note" && detail.contains("5000"), "{detail}");

    // Webhooks that do not arrive, with what the instance logged of it.
    let properties = place.simulator.rows("sys_properties");
    let callback =
        properties.iter().find(|r| r["name"].starts_with("x_firn.callback_url")).unwrap();
    let wrong = callback["value"].replace("/webhooks/", "/nowhere/");
    place.simulator.set("sys_properties", &callback["sys_id"], "value", &wrong);
    let (_, report) = place.examined("snow");
    let (verdict, detail) = check(&report, "webhook round trip");
    assert!(
        verdict == "bad" && detail.contains("sys_outbound_http_log") && detail.contains("404"),
        "{detail}"
    );

    // Nobody there; and somebody who is not let in.
    place.simulator.set("sys_user", &user, "user_password", "changed");
    let (ok, report) = place.examined("snow");
    assert!(!ok && check(&report, "sign-in").0 == "bad", "{report}");
}

/// One thing is changed at a time, and what it means is told.
#[test]
fn changes_keep_what_is_not_named() {
    let place = Place::new();
    place.apply("snow", &place.simulator, "");
    assert!(place.integration(&["provision", "snow"]).0);
    // A password alone; an administrator alone.
    let (ok, said) = place.integration(&["configure", "snow", "--password", "wrong"]);
    assert!(ok, "{said}");
    assert!(!place.examined("snow").0);
    assert!(place.integration(&["configure", "snow", "--password", "integration"]).0);
    let admin = ["configure", "snow", "--admin-username", "admin", "--admin-password", "admin"];
    assert!(place.integration(&admin).0);
    assert!(place.examined("snow").0);
    // Another instance: the rules stay where they are, and that is said.
    let other = start(&place.runtime);
    let (ok, said) = place.integration(&["configure", "snow", "--base-url", &other.url()]);
    assert!(ok && said.contains("is there still"), "{said}");
    // A path that is none.
    let (ok, said) = place.integration(&["configure", "snow", "--resource-path", "/api/a b"]);
    assert!(!ok && said.contains("Base API path"), "{said}");
    assert!(place.integration(&["configure", "snow", "--resource-path", "/api/acme/firn_x"]).0);
}

/// A clone over a test instance brings the production rules along: they tell production of what
/// happens in the test instance.
#[test]
fn a_cloned_instance_is_noticed() {
    let place = Place::new();
    let (production, test) = (&place.simulator, start(&place.runtime));
    let id = place.apply("production", production, "");
    assert!(place.integration(&["provision", "production"]).0);
    place.apply("test", &test, "");
    assert!(place.integration(&["provision", "test"]).0);
    assert!(place.examined("test").0);
    test.clone_over(production);
    let (ok, report) = place.examined("test");
    let (verdict, detail) = check(&report, "rules of others");
    assert!(!ok && verdict == "bad" && detail.contains("cloned"), "{report:#}");
    assert_eq!(check(&report, "business rules").0, "bad");
    assert!(place.integration(&["provision", "test"]).0);
    assert!(place.integration(&["unprovision", "test", "--orphan", &id, "--yes"]).0);
    assert!(place.examined("test").0);
    assert_eq!(artifacts(production).len(), 6, "production keeps its own");
    assert!(place.examined("production").0);
}

/// The API says of a missing right what the command line says.
#[test]
fn provisioning_without_the_right_says_what_to_do() {
    let place = Place::new();
    place.apply("snow", &place.simulator, "");
    let body = json!({ "credentials": { "username": "integration", "password": "integration",
        "admin_username": "ann.lee", "admin_password": "ann.lee" } });
    let url = format!("{}/api/v1/integrations/snow", place.firn.url);
    let client = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    assert!(
        client.patch(&url).bearer_auth(TOKEN).json(&body).send().unwrap().status().is_success()
    );
    let (ok, said) = place.integration(&["provision", "snow"]);
    assert!(!ok && said.contains("--export update-set") && said.contains("403"), "{said}");
    assert!(artifacts(&place.simulator).is_empty());
    // Where nobody may look, the rest of the report stands.
    let (_, report) = place.examined("snow");
    assert_eq!(check(&report, "read incident").0, "note");
    // An administrator who is not let in is tried once.
    let body = json!({ "credentials": { "username": "integration", "password": "integration",
        "admin_username": "admin", "admin_password": "wrong" } });
    assert!(
        client.patch(&url).bearer_auth(TOKEN).json(&body).send().unwrap().status().is_success()
    );
    let lock = firn_simulator::Quirks { lock_out_after: 2, ..Default::default() };
    place.simulator.set_quirks(lock);
    let (ok, report) = place.examined("snow");
    assert!(!ok && check(&report, "administrator").0 == "bad", "{report:#}");
    let admin =
        place.simulator.rows("sys_user").into_iter().find(|u| u["user_name"] == "admin").unwrap();
    assert_ne!(admin["locked_out"], "true");
    // A question that is refused for the moment says nothing either way.
    place.simulator.set_quirks(firn_simulator::Quirks::default());
    place.create("incident", &[("comments", "hello")]);
    place.simulator.set_faults(Faults {
        requests: vec![RequestFault {
            method: None,
            path: Some("sys_journal_field".to_owned()),
            percent: 100,
            times: None,
            after: 0,
            trouble: Trouble::Status { code: 429, retry_after: None },
        }],
        ..Faults::default()
    });
    assert_eq!(check(&place.examined("snow").1, "journal can be seen").0, "skipped");
}

/// Seed 001's list: APIs and tables of customer service, and what keeps a token out of them.
#[test]
fn a_help_desk_is_asked_for_every_right_of_seed_001() {
    let place = Place::new();
    place.apply("desk", &place.simulator, "preset = \"helpdesk\"");
    place.create("sn_customerservice_case", &[("short_description", "x"), ("comments", "hello")]);
    let names = [
        "read sn_customerservice_case",
        "write sn_customerservice_case",
        "Case API",
        "Account API",
        "attachments",
        "journal can be seen",
        "read sys_user",
        "read sys_audit_delete",
        "read sys_audit",
        "read customer_contact",
        "read customer_account",
        "read kb_knowledge",
        "read sn_customerservice_escalation",
    ];
    let (_, report) = place.examined("desk");
    for name in names {
        assert_eq!(check(&report, name).0, "good", "{name}");
    }
    // Cases have a rule on a table of their own: nothing is told of other tasks.
    assert!(place.integration(&["provision", "desk"]).0);
    let rules = place.simulator.rows("sys_script");
    assert!(rules.iter().any(|rule| rule["collection"] == "sn_customerservice_case"));
    assert!(rules.iter().all(|rule| rule["collection"] != "task"));
    place.create("sn_customerservice_case", &[("short_description", "y")]);
    crate::common::settle("no webhook of a case", || {
        place.simulator.rows("sys_outbound_http_log").len() == 1
    });
    let api = |name: &str| Access { api: vec![name.to_owned()], ..Access::default() };
    place.simulator.set_access(api("case"));
    assert_eq!(check(&place.examined("desk").1, "Case API").0, "note");
    let refused = Access {
        read: [("customer_contact".to_owned(), Permit::Refused)].into(),
        ..Access::default()
    };
    place.simulator.set_access(refused);
    let (_, report) = place.examined("desk");
    let found =
        report["checks"].as_array().unwrap().iter().find(|c| c["name"] == "read customer_contact");
    assert!(found.unwrap()["remedy"].as_str().unwrap().contains("csm_ws_integration"));

    // A client that is securely scoped, whose token has no scope.
    let client = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/api/v1/integrations/desk", place.firn.url);
    let body = json!({ "credentials": { "client_id": "firn", "client_secret": "firn" } });
    assert!(
        client.patch(&url).bearer_auth(TOKEN).json(&body).send().unwrap().status().is_success()
    );
    place.simulator.set_access(Access { scoped: true, ..Access::default() });
    let (ok, report) = place.examined("desk");
    let (verdict, detail) = check(&report, "sign-in");
    assert!(!ok && verdict == "bad" && detail.contains("scope"), "{report:#}");
    place.simulator.set_access(Access::default());
    assert_eq!(check(&place.examined("desk").1, "sign-in").0, "good");
}
