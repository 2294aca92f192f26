//! Every script that Firn installs, under Rhino: the JavaScript engine of an instance, which knows
//! ES5. The objects around them are the simulator's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::Firn;
use firn_simulator::{Faults, Simulator};
use serde_json::{Value as Json, json};

const PRELUDE: &str = include_str!("../../../simulator/src/prelude.js");

/// Rhino's jar: the system's, or Debian's package, unpacked without being installed.
fn rhino() -> Option<PathBuf> {
    let java = Command::new("java").arg("-version").output().is_ok_and(|o| o.status.success());
    if !java {
        eprintln!("skipped: there is no Java; apt install default-jre-headless");
        return None;
    }
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rhino");
    let jar = place.join("usr/share/java/js.jar");
    let known = [PathBuf::from("/usr/share/java/js.jar"), jar.clone()];
    if let Some(jar) = known.into_iter().find(|jar| jar.exists()) {
        return Some(jar);
    }
    std::fs::create_dir_all(&place).unwrap();
    let fetch =
        "apt-get download librhino-java && dpkg -x librhino-java_*.deb . && rm librhino-java_*.deb";
    let fetched = Command::new("sh").args(["-c", fetch]).current_dir(&place).output().unwrap();
    if !jar.exists() {
        let why = String::from_utf8_lossy(&fetched.stderr).into_owned();
        eprintln!("skipped: there is no Rhino; apt install librhino-java ({})", why.trim());
        return None;
    }
    Some(jar)
}

/// Runs a script with what an instance gives it; gives what it sent, logged and left behind.
fn run(
    jar: &Path,
    script: &str,
    given: &Json,
    request: &Json,
) -> (Vec<Json>, Vec<String>, Option<Json>) {
    let tail = if request.is_null() {
        format!("{script}\n__done();")
    } else {
        format!(
            "var __returned = (function () {{ return (\n{}\n); }})();\n__answer(__returned);",
            script.trim().trim_end_matches(';')
        )
    };
    let source = format!(
        "var __given = {given};\nvar __request = {request};\n\
         function __say(what, text) {{ print(what + ' ' + text); }}\n\
         function __log(level, text) {{ __say('log', level + ': ' + text); }}\n\
         function __send(call) {{ __say('sent', call); }}\n\
         function __leave(row, aborted) {{ __say('left', row); }}\n\
         function __mac(key, data) {{ return 'bWFj'; }}\n\
         var __rows = {{}};\n\
         function __db(asked) {{\n\
           asked = JSON.parse(asked);\n\
           var answer = null;\n\
           if (asked.op == 'property') {{ answer = asked.name.indexOf('callback_url') > 0 ? 'https://firn.example.com/in' : 'a2V5'; }}\n\
           if (asked.op == 'guid') {{ answer = '0123456789abcdef0123456789abcdef'; }}\n\
           if (asked.op == 'query') {{ var id = asked.query.split('=')[1]; answer = __rows[id] ? [{{ row: __rows[id], shown: {{}} }}] : []; }}\n\
           if (asked.op == 'insert') {{ asked.set.sys_mod_count = '0'; __rows[asked.set.sys_id] = asked.set; answer = {{ row: asked.set }}; }}\n\
           if (asked.op == 'update') {{ for (var n in asked.set) {{ __rows[asked.sys_id][n] = asked.set[n]; }} answer = {{ row: __rows[asked.sys_id] }}; }}\n\
           return JSON.stringify(answer);\n\
         }}\n{PRELUDE}\n{tail}\n",
        given = json!(given.to_string()),
        request = json!(request.to_string()),
    );
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("script.js");
    std::fs::write(&file, source).unwrap();
    let output = Command::new("java")
        .arg("-cp")
        .arg(jar)
        .args(["org.mozilla.javascript.tools.shell.Main", "-opt", "-1", "-encoding", "UTF-8"])
        .arg(&file)
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{err}\n{script}");
    let of = |what: &str| -> Vec<String> {
        let lines = out.lines().filter_map(|line| line.strip_prefix(what));
        lines.map(|rest| rest.trim_start().to_owned()).collect()
    };
    let sent = of("sent ").iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let left = of("left ").last().map(|text| serde_json::from_str(text).unwrap());
    (sent, of("log "), left)
}

#[test]
fn every_script_runs_in_the_engine_of_an_instance() {
    let Some(jar) = rhino() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let simulator = runtime
        .block_on(Simulator::start(([127, 0, 0, 1], 0).into(), 1, Faults::default()))
        .unwrap();
    let place = tempfile::tempdir().unwrap();
    let firn = Firn::start(&place.path().join("data"), &[], None);
    let file = place.path().join("snow.toml");
    let text = format!(
        "slug = \"snow\"\norganization_id = \"acme\"\nbase_url = \"{}\"\n[credentials]\nusername = \"u\"\npassword = \"p\"\n\
         [provision]\nredact_on_save = true\nattachments = true\nresource = true\nmid_server = \"mid one\"\n",
        simulator.url()
    );
    std::fs::write(&file, &text).unwrap();
    let (ok, said) = firn.cli(&["integration", "apply", file.to_str().unwrap()]);
    assert!(ok, "{said}");
    let directory = text.replace("slug = \"snow\"", "slug = \"crm\"\npreset = \"crm\"");
    std::fs::write(&file, directory).unwrap();
    let (ok, said) = firn.cli(&["integration", "apply", file.to_str().unwrap()]);
    assert!(ok, "{said}");
    // Each artifact has a heading; some have a script.
    let scripts_of = |slug: &str| -> Vec<(String, String)> {
        let (ok, written) =
            firn.cli(&["integration", "provision", slug, "--export", "instructions"]);
        assert!(ok, "{written}");
        let sections = written.split("\n## ").filter_map(|section| {
            let name = section.lines().next()?.to_owned();
            let script = section.split("```js\n").nth(1)?.split("```").next()?.to_owned();
            Some((name, script))
        });
        sections.collect()
    };
    let mut scripts = scripts_of("snow");
    let names = |scripts: &[(String, String)]| -> Vec<String> {
        scripts.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(scripts.len(), 8, "{:?}", names(&scripts));
    let of_records = scripts_of("crm");
    scripts.extend(of_records.into_iter().filter(|(name, _)| name.contains("Record Webhook")));
    assert_eq!(scripts.len(), 10, "{:?}", names(&scripts));
    let script = |name: &str| {
        let found = scripts.iter().find(|(n, _)| n.contains(name));
        &found.unwrap_or_else(|| panic!("no script {name} in {:?}", names(&scripts))).1
    };

    let given = |current: Json, previous: Json| {
        json!({ "table": "incident", "current": current, "previous": previous, "shown": {}, "user": "u",
            "user_id": "1", "now": "2026-04-29 14:30:00" })
    };
    let id = "a1b2c3d4e5f60718293a4b5c6d7e8f90";
    let ticket = json!({ "sys_id": id, "number": "INC0010001", "sys_class_name": "incident", "sys_mod_count": "7",
        "short_description": "Müller: ${x} \u{1F600}", "state": "2", "sys_updated_on": "2026-04-29 14:30:00" });
    let body_of = |sent: &[Json]| -> Json {
        assert_eq!(sent.len(), 1);
        let body = sent[0]["body"].as_str().unwrap();
        // What is signed is ASCII, and nothing in it is substituted.
        assert!(body.is_ascii(), "{body}");
        let names: Vec<&str> =
            sent[0]["headers"].as_array().unwrap().iter().map(|h| h[0].as_str().unwrap()).collect();
        assert_eq!(names, ["Content-Type", "webhook-id", "webhook-timestamp", "webhook-signature"]);
        serde_json::from_str(body).unwrap()
    };

    let (sent, logged, _) = run(
        &jar,
        script("Task Webhook"),
        &given(ticket.clone(), json!({ "state": "1" })),
        &Json::Null,
    );
    assert_eq!(logged, [""; 0]);
    let body = body_of(&sent);
    assert_eq!((&body["action"], &body["sys_mod_count"]), (&json!("update"), &json!("7")));
    assert_eq!(body["current"]["short_description"], ticket["short_description"]);
    assert_eq!(body["previous"]["state"], "1");

    let row = json!({ "sys_id": "1", "element_id": id, "element": "comments", "value": "hello", "sys_created_by": "ann",
        "sys_created_on": "2026-04-29 14:30:00" });
    let (sent, _, _) = run(&jar, script("Journal Webhook"), &given(row, Json::Null), &Json::Null);
    assert_eq!(body_of(&sent)["journal"]["value"], "hello");

    let row = json!({ "sys_id": id, "sys_class_name": "customer_contact", "sys_mod_count": "3", "email": "a@example.com",
        "sys_updated_on": "2026-04-29 14:30:00" });
    let (sent, logged, _) =
        run(&jar, script("Record Webhook, sys_user"), &given(row, Json::Null), &Json::Null);
    assert_eq!(logged, [""; 0]);
    let body = body_of(&sent);
    assert_eq!((&body["table"], &body["sys_id"]), (&json!("customer_contact"), &json!(id)));
    assert!(!body.to_string().contains("example.com"), "nothing of what is in it");

    let row = json!({ "sys_id": "2", "table_sys_id": id, "file_name": "a.png", "table_name": "incident" });
    let (sent, _, _) =
        run(&jar, script("Attachment Webhook"), &given(row, Json::Null), &Json::Null);
    assert_eq!(body_of(&sent)["attachment"]["file_name"], "a.png");

    let (sent, _, _) = run(
        &jar,
        script("Ping"),
        &given(json!({ "value": "n1" }), json!({ "value": "" })),
        &Json::Null,
    );
    assert_eq!(body_of(&sent), json!({ "table": "x_firn_ping", "action": "ping", "nonce": "n1" }));

    let spoken = json!({ "short_description": "card 4111 1111 1111 1111", "description": "219-09-9999, 4111111111111112", "close_notes": "" });
    let (_, logged, left) =
        run(&jar, script("Redact Tickets"), &given(spoken, Json::Null), &Json::Null);
    assert_eq!(logged, [""; 0]);
    assert_eq!(
        left.unwrap(),
        json!({ "short_description": "card [CARD 1111]", "description": "[SSN], 4111111111111112", "close_notes": "" })
    );
    let (_, _, left) = run(
        &jar,
        script("Redact Journal"),
        &given(json!({ "value": "5500 0000 0000 0004" }), Json::Null),
        &Json::Null,
    );
    assert_eq!(left.unwrap()["value"], "[CARD 0004]");

    let request = |body: Json, path: Json| {
        json!({ "body": body.to_string(), "path": path, "query": { "sysparm_fields": ["sys_id,sys_mod_count,short_description"] },
            "headers": {}, "uri": "/" })
    };
    let nothing = given(json!({}), Json::Null);
    let create = request(
        json!({ "sys_id": id, "set": { "short_description": "x" } }),
        json!({ "table": "incident" }),
    );
    let (_, logged, left) = run(&jar, script("Create Ticket"), &nothing, &create);
    assert_eq!(logged, [""; 0]);
    let left = left.unwrap();
    assert_eq!((&left["status"], &left["body"]["result"]["sys_id"]), (&json!(201), &json!(id)));
    let strange = request(json!({ "sys_id": id, "set": {} }), json!({ "table": "sys_user" }));
    let (_, _, left) = run(&jar, script("Create Ticket"), &nothing, &strange);
    assert_eq!(left.unwrap()["status"], 403, "only the settings' own tables");
    let change =
        request(json!({ "expect": "1", "set": {} }), json!({ "table": "incident", "id": id }));
    let (_, _, left) = run(&jar, script("Change Ticket"), &nothing, &change);
    assert_eq!(left.unwrap()["status"], 404);
}
