//! Rules of a tenant's own, from an empty folder to being asked: with the tools that people use, against the real
//! binary; and what broken ones do to it.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::common::desk::Desk;
use crate::common::{Api, Firn, answered, settle};

fn run(firn: &Firn, arguments: &[&str]) -> String {
    let (ok, said) = firn.cli(arguments);
    assert!(ok, "firn {arguments:?}: {said}");
    said
}

/// Whether the tools of a language are here. Where they are not that is said, and nothing else is.
fn has(program: &str) -> bool {
    let there = std::process::Command::new(program).arg("--version").output().is_ok();
    if !there {
        eprintln!("skipped: there is no {program} here");
    }
    there
}

const CALLER: &str = "caller";

/// Incidents of a desk that maps the caller too.
fn desk() -> Desk {
    let caller = json!({ "kind": "reference", "column": "caller_id", "table": "sys_user",
        "key": "email", "owner": "platform" });
    Desk::new(&json!({ "fields": { CALLER: caller } }), &[])
}

fn incident(desk: &Desk, id: &str, caller: &str) {
    let fields = json!({ "title": format!("Checkout is slow ({id})"), "description": "p99 is 9 s",
        "severity": "low", "status": "open", "assigned_to": null, CALLER: caller });
    desk.edit(id, fields);
}

fn made(desk: &Desk, id: &str, caller: &str) {
    incident(desk, id, caller);
    settle("no ticket", || desk.tickets(id).len() == 1);
    desk.at_rest();
}

fn severity(desk: &Desk, id: &str) -> (String, String) {
    (desk.ticket(id, "impact"), desk.ticket(id, "urgency"))
}

/// What low and high severity are on the instance.
const LOW: (&str, &str) = ("3", "2");
const HIGH: (&str, &str) = ("2", "1");

fn is(seen: (String, String), expected: (&str, &str)) {
    assert_eq!((seen.0.as_str(), seen.1.as_str()), expected);
}

#[test]
fn rules_in_rust_from_an_empty_folder_to_being_asked() {
    let desk = desk();
    let firn = &desk.firn;
    let folder = desk.place.path().join("vip");
    let project = folder.to_str().unwrap();
    run(firn, &["rules", "new", project, "--lang", "rust"]);
    let (ok, said) = firn.cli(&["rules", "new", project, "--lang", "rust"]);
    assert!(!ok && said.contains("not empty"), "{said}");
    let (ok, said) = firn.cli(&["rules", "test", project]);
    assert!(!ok && said.contains("build it first"), "{said}");
    run(firn, &["rules", "build", project]);
    let said = run(firn, &["rules", "test", project, "-v"]);
    assert!(said.contains("4 of 4 as expected") && said.contains("must not wait"), "{said}");

    // One of them wants something else: it is told what was said instead.
    let fixture = folder.join("tests/more.json");
    let other = json!({ "name": "wrong", "ask": { "hook": "value", "field": "severity",
        "from": "platform", "value": "low" }, "expect": { "instead": "critical" } });
    std::fs::write(&fixture, other.to_string()).unwrap();
    let (ok, said) = firn.cli(&["rules", "test", project]);
    assert!(!ok && said.contains("expected {\"instead\":\"critical\"}, got \"keep\""), "{said}");
    std::fs::write(&fixture, r#"{ "name": "what", "ask": { "hook": "vlaue" }, "expect": 1 }"#)
        .unwrap();
    let (ok, said) = firn.cli(&["rules", "test", project]);
    assert!(!ok && said.contains("more.json: what") && said.contains("no question"), "{said}");
    std::fs::remove_file(&fixture).unwrap();

    // Nothing is asked before somebody says so; what came in is tried on it.
    made(&desk, "inc-1", "cara.caller@example.com");
    is(severity(&desk, "inc-1"), LOW);
    let source = folder.join("src/lib.rs");
    let text = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, text.replace("ceo@example.com", "cara.caller@example.com")).unwrap();
    run(firn, &["rules", "build", project]);
    let said = run(firn, &["rules", "upload", "desk", project, "--note", "first"]);
    assert!(said.contains("version 1 is there, with the hooks value"), "{said}");
    let said = run(firn, &["rules", "dry-run", "desk"]);
    assert!(said.contains("value of severity\n    - low\n    + high"), "{said}");
    assert!(said.contains("\ninc-1 (platform-event at 20"), "{said}");
    assert!(said.contains("must not wait"), "what it logs: {said}");
    is(severity(&desk, "inc-1"), LOW);

    // From now on.
    let said = run(firn, &["rules", "activate", "desk", "1"]);
    assert!(said.contains("desk asks version 1 now, at value"), "{said}");
    assert!(said.contains("back to asking none: firn rules rollback desk"), "{said}");
    made(&desk, "inc-2", "cara.caller@example.com");
    is(severity(&desk, "inc-2"), HIGH);
    made(&desk, "inc-3", "bob.ray@example.com");
    is(severity(&desk, "inc-3"), LOW);
    assert_eq!(
        desk.platform.record("inc-2").unwrap().fields["severity"],
        "low",
        "nothing comes back"
    );
    let listed = run(firn, &["rules", "list", "desk"]);
    assert!(listed.contains("first") && listed.contains("0 failed"), "{listed}");
    let audit = desk.of("audit").to_string();
    assert!(audit.contains("rules-activated") && audit.contains("rules-uploaded"), "{audit}");
    assert!(audit.contains("rules (version 1 is asked)"), "{audit}");

    // A restart changes nothing; and back.
    let said = run(firn, &["rules", "rollback", "desk"]);
    assert!(said.contains("asks no rules now\nback to version 1:"), "{said}");
    made(&desk, "inc-4", "cara.caller@example.com");
    is(severity(&desk, "inc-4"), LOW);
    run(firn, &["rules", "rollback", "desk"]);
    made(&desk, "inc-5", "cara.caller@example.com");
    is(severity(&desk, "inc-5"), HIGH);
    let said = run(firn, &["rules", "deactivate", "desk"]);
    assert!(said.contains("asks no rules now"), "{said}");
    let metrics = desk.api.request("GET", "/metrics").send().unwrap().text().unwrap();
    let counted = metrics.lines().find(|line| {
        line.starts_with("firn_rules_asked_total")
            && line.contains("answered")
            && line.contains("desk")
    });
    assert!(counted.is_some(), "{metrics}");
}

#[test]
fn rules_in_javascript_give_a_category_and_a_group() {
    if !has("npm") {
        return;
    }
    let desk = desk();
    let body = json!({ "organization_id": "acme", "name": "Bot", "slug": "bot", "preset": "bot",
        "base_url": desk.simulator.url(), "provision": true,
        "credentials": { "username": "integration", "password": "integration",
            "admin_username": "admin", "admin_password": "admin" } });
    let (status, made) = desk.api.call("POST", "/api/v1/integrations", &body);
    assert_eq!(status, 201, "{made}");
    let firn = &desk.firn;
    let folder = desk.place.path().join("routes");
    let project = folder.to_str().unwrap();
    run(firn, &["rules", "new", project, "--lang", "js"]);
    let (ok, said) = firn.cli(&["rules", "build", project]);
    if !ok && said.contains("npm install failed") {
        eprintln!("skipped: npm fetches nothing here");
        return;
    }
    assert!(ok, "{said}");
    let said = run(firn, &["rules", "test", project]);
    assert!(said.contains("3 of 3 as expected"), "{said}");
    // What is wrong is told where it is, while it is built.
    let (code, world) = (folder.join("rules.js"), folder.join("wit/world.wit"));
    let read = |file: &Path| std::fs::read_to_string(file).unwrap();
    let (good_code, good_world) = (read(&code), read(&world));
    for (js, wit, told) in [
        (
            good_code.replace("export const classify", "export const clasify"),
            good_world.clone(),
            "it exports no classify",
        ),
        (
            format!("{good_code}\nexport const value = {{}};"),
            good_world.clone(),
            "it exports value, which is not in wit/world.wit",
        ),
        (format!("{good_code}\nconst = 1;"), good_world.clone(), "rules.js:"),
        (
            good_code.replace("  decide(about", "  decided(about"),
            good_world.clone(),
            "classify.decide is no function",
        ),
        (good_code.clone(), good_world.replace("export", "// export"), "names no hook"),
        (good_code.clone(), good_world.replace("classify", "clasify"), "there is no hook clasify"),
        (
            format!("import 'lodash';\n{good_code}"),
            good_world.clone(),
            "rules.js imports lodash; there are",
        ),
        (
            format!("import './no.js';\n{good_code}"),
            good_world.clone(),
            "no.js, which cannot be read",
        ),
        (
            good_code.replace(
                "export const classify",
                "/*\nexport const classify = {};\n*/ const other",
            ),
            good_world.clone(),
            "it exports no classify",
        ),
    ] {
        std::fs::write(&code, js).unwrap();
        std::fs::write(&world, wit).unwrap();
        let (ok, said) = firn.cli(&["rules", "build", project]);
        assert!(!ok && said.contains(told), "{told}: {said}");
    }
    // What was built before is there still, and is of this code.
    std::fs::write(&world, &good_world).unwrap();
    std::fs::write(&code, &good_code).unwrap();
    run(firn, &["rules", "test", project]);
    // Of another code, be it a file that it imports, it is not.
    let words = folder.join("words.js");
    let named = good_code.replace("export const classify", "const named");
    std::fs::write(&words, "export const word = 'x';").unwrap();
    std::fs::write(&code, format!("import {{ word }} from './words.js';\n{named}\nexport {{\n  named as classify,\n  word,\n}};"))
        .unwrap();
    run(firn, &["rules", "build", project]);
    run(firn, &["rules", "test", project]);
    std::fs::write(&words, "export const word = 'y';").unwrap();
    for command in [&["rules", "test", project][..], &["rules", "upload", "bot", project]] {
        let (ok, said) = firn.cli(command);
        assert!(!ok && said.contains("words.js is another than rules.wasm was built of"), "{said}");
    }
    let (ok, said) = firn.cli(&["rules", "upload", project, "bot"]);
    assert!(!ok && said.contains("first the integration, then the project"), "{said}");
    // What is wrong with an answer is said in words.
    let answer = "return { category, subcategory, assignmentGroup: GROUPS[code] };";
    for (instead, told) in [
        ("return { 'assignment-group': GROUPS[code] };", "in JavaScript it is assignmentGroup"),
        ("return { categroy: category };", "classify answered categroy; there are table, category"),
        ("return { category: 7 };", "classify answered category: number 7; it is a text"),
        ("return 'network';", "classify answered \"network\"; it is an object"),
        ("return;", "classify answered nothing (is there a return?)"),
        ("return Promise.resolve({ category });", "nothing can be waited for"),
        ("return about.number === undefined ? {} : { category: 'null' };", "expected {"),
        ("return null.length;", "(rules.js:"),
        ("return { category: String(Date.now()) };", "there is no clock here"),
        ("return { category: new Date().toISOString() };", "there is no clock here"),
        ("return { category: String(Math.random()) };", "there is no chance here"),
        ("return { category: '\u{d7}\\ud83d' };", "half of a character"),
        ("return { table: 'sys_user' };", "\"sys_user\" is no kind of ticket of the settings"),
        ("return { assignmentGroup: 'Network' };", "\"Network\" is no sys_id"),
    ] {
        assert!(good_code.contains(answer));
        std::fs::write(&code, good_code.replace(answer, instead)).unwrap();
        run(firn, &["rules", "build", project]);
        let (ok, said) = firn.cli(&["rules", "test", project]);
        assert!(!ok && said.contains(told), "{told}: {said}");
        assert!(
            !said.contains("got {\"category\":\"null\"}"),
            "null where undefined should be: {said}"
        );
    }
    std::fs::write(&code, &good_code).unwrap();
    run(firn, &["rules", "build", project]);
    let escalate = |id: &str, question: &str| {
        let body = json!({ "session_id": id, "question": question, "escalation_reason": "low confidence",
            "tags": ["wifi"] });
        let path = "/api/v1/integrations/bot/escalations";
        let sent = desk.api.request("POST", path).header("prefer", "wait=20").json(&body);
        let (status, answer) = answered(sent);
        assert_eq!(status, 201, "{answer}");
        desk.simulator
            .rows("incident")
            .into_iter()
            .find(|row| row["sys_id"] == answer["sys_id"].as_str().unwrap())
            .unwrap()
    };
    let before = escalate("s-1", "Mein WLAN geht seit heute nicht");
    assert_eq!(before["assignment_group"], "");
    run(firn, &["rules", "upload", "bot", project]);
    let again = run(firn, &["rules", "upload", "bot", project, "--note", "the first"]);
    assert!(again.contains("version 1 was there already"), "{again}");
    assert!(run(firn, &["rules", "list", "bot"]).contains("the first"));
    let tried = run(firn, &["rules", "dry-run", "bot", "--last", "1"]);
    assert!(tried.contains("asked about 1 of"), "{tried}");
    let tried = run(firn, &["rules", "dry-run", "bot", "--format", "json"]);
    let tried: Json = serde_json::from_str(&tried).unwrap();
    assert_eq!((&tried["differ"], &tried["fail"]), (&json!(1), &json!(0)), "{tried:#}");
    let deliveries = tried["deliveries"].as_array().unwrap();
    let escalation = deliveries.iter().find(|on| on["kind"] == "escalation").unwrap();
    let said = escalation["questions"][0]["after"].as_str().unwrap();
    assert!(said.contains("wireless") && said.contains("0a1b2c3d"), "{said}");
    run(firn, &["rules", "activate", "bot", "1"]);
    let after = escalate("s-2", "Mein WLAN geht seit heute nicht");
    assert_eq!(
        (after["category"].as_str(), after["subcategory"].as_str()),
        ("network", "wireless")
    );
    assert_eq!(after["assignment_group"], "0a1b2c3d4e5f60718293a4b5c6d7e8f9");
    let told = run(firn, &["explain", "s-2", "--integration", "bot"]);
    assert!(told.contains("(version 1, classify) chose assignment_group, category"), "{told}");
    let after = escalate("s-3", "My WiFi is down");
    assert_eq!(after["assignment_group"], "");

    // A rule that throws: the ticket waits, and comes once the rule is mended.
    let broken =
        good_code.replace("const code = language(payload);", "throw new Error('no such word')");
    std::fs::write(&code, broken).unwrap();
    run(firn, &["rules", "build", project]);
    let (ok, said) = firn.cli(&["rules", "test", project]);
    assert!(!ok && said.contains("no such word"), "{said}");
    run(firn, &["rules", "upload", "bot", project]);
    run(firn, &["rules", "activate", "bot", "2"]);
    let body = json!({ "session_id": "s-4", "question": "Mein WLAN", "escalation_reason": "x" });
    let (status, answer) = desk.api.call("POST", "/api/v1/integrations/bot/escalations", &body);
    assert_eq!(status, 202, "{answer}");
    settle("it is told", || {
        let findings = desk.api.get("/api/v1/integrations/bot/findings").to_string();
        findings.contains("rules-failed") && findings.contains("no such word")
    });
    let listed = run(firn, &["rules", "list", "bot"]);
    assert!(
        listed.contains("the last failure") && listed.contains("back to version 1"),
        "{listed}"
    );
    let (ok, said) = firn.cli(&["integration", "findings-dismiss", "bot"]);
    assert!(!ok && said.contains("name a finding, or say which"), "{said}");
    let said = run(firn, &["integration", "findings-dismiss", "bot", "--kind", "rules-failed"]);
    assert!(said.contains("dismissed"), "{said}");
    run(firn, &["rules", "rollback", "bot"]);
    let told = run(firn, &["integration", "findings", "bot"]);
    assert!(!told.contains("rules-failed"), "others are asked now: {told}");
    settle("no ticket after all", || {
        desk.simulator.rows("incident").iter().any(|row| row["correlation_id"] == "s-4")
    });
}

#[test]
fn rules_in_javascript_say_what_is_learnt() {
    if !has("npm") {
        return;
    }
    let learning = json!({ "enabled": true, "delay": 100 });
    let desk = Desk::new(&json!({ "learning": learning }), &[]);
    let firn = &desk.firn;
    let folder = desk.place.path().join("learns");
    let project = folder.to_str().unwrap();
    run(firn, &["rules", "new", project, "--lang", "js"]);
    let world = folder.join("wit/world.wit");
    let hooks = std::fs::read_to_string(&world).unwrap();
    let hooks = hooks.replace("  export firn:rules/classify", "  // export firn:rules/classify");
    std::fs::write(
        &world,
        hooks.replace("// export firn:rules/summary", "export firn:rules/summary"),
    )
    .unwrap();
    std::fs::remove_file(folder.join("tests/classify.json")).unwrap();
    let fixture = json!([{ "name": "the last source is what solved it",
        "about": {},
        "ask": { "hook": "summary", "sources": [{ "place": "short_description", "text": "Slow" },
            { "place": "journal", "text": "Restarted it" }] },
        "expect": { "kept": { "asked": "Slow", "found": [],
            "solved": [{ "text": "Restarted it", "from": 2 }], "tags": ["own"] } } }]);
    std::fs::write(folder.join("tests/summary.json"), fixture.to_string()).unwrap();
    let code = |answer: &str| {
        let code = format!(
            "export const summary = {{\n  decide(about, sources) {{\n    const last = sources.length;\n    return {answer};\n  }},\n}};\n"
        );
        std::fs::write(folder.join("rules.js"), code).unwrap();
        let (ok, said) = firn.cli(&["rules", "build", project]);
        if !ok && said.contains("npm install failed") {
            eprintln!("skipped: npm fetches nothing here");
            return false;
        }
        assert!(ok, "{said}");
        true
    };
    let kept = "{ tag: 'kept', val: { asked: sources[0].text, solved: [{ text: sources[last - 1].text, from: last }], tags: ['own'] } }";
    if !code(kept) {
        return;
    }
    assert!(run(firn, &["rules", "test", project]).contains("1 of 1 as expected"));
    run(firn, &["rules", "upload", "desk", project]);
    run(firn, &["rules", "activate", "desk", "1"]);
    desk.incident("inc-1", "Checkout is slow");
    desk.agent(
        "inc-1",
        &json!({ "work_notes": "Restarted the gateway, tell ann.lee@example.com." }),
    );
    desk.edit("inc-1", json!({ "status": "resolved" }));
    settle("nothing is learnt", || desk.of("knowledge")["cases"][0]["maker"] == "rules");
    let case = desk.of("knowledge")["cases"][0].clone();
    assert_eq!((&case["asked"], &case["tags"]), (&json!("Checkout is slow"), &json!(["own"])));
    assert!(!case.to_string().contains("ann.lee@"), "masked: {case}");
    for (answer, told) in [
        ("'nothing'", "it is { tag: ... } with one of settings, nothing, kept"),
        ("{ tag: 'kept' }", "it is an object with asked, found, solved and tags"),
        ("{ tag: 'kept', val: { asked: 7 } }", "asked: number 7; it is a text"),
        ("{ tag: 'kept', val: { asked: 'x', solved: ['y'] } }", "each is { text, from }"),
        ("{ tag: 'kept', val: { asked: 'x', solves: [] } }", "solves; there are asked"),
        ("{ tag: 'kept', val: { asked: 'x', tags: [1] } }", "tags with number 1 in it"),
    ] {
        code(answer);
        let (ok, said) = firn.cli(&["rules", "test", project]);
        assert!(!ok && said.contains(told), "{told}: {said}");
    }
}

// ---- broken ones -----------------------------------------------------------------------------

const WIT: &str = include_str!("../../../../wit/rules/rules.wit");

/// A component with the hook `value`, which does what is told.
fn component(value: &str, more: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
          (memory (export "memory") 2) (global $next (mut i32) (i32.const 8192))
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3))) (local.get $at))
          (func (export "firn:rules/value@0.1.0#decide") (param i32) (result i32) {value}) {more})"#
    );
    let mut module = wat::parse_str(&text).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    resolve.push_str("rules.wit", WIT).unwrap();
    let world = "package my:rules; world rules { export firn:rules/value@0.1.0; }";
    let package = resolve.push_str("world.wit", world).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let utf8 = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, utf8).unwrap();
    let mut encoder = wit_component::ComponentEncoder::default();
    encoder.module(&module).unwrap().encode().unwrap()
}

fn upload(api: &Api, wasm: Vec<u8>) -> (u16, Json) {
    let path = "/api/v1/integrations/desk/rules";
    answered(api.request("POST", path).header("content-type", "application/wasm").body(wasm))
}

#[test]
fn broken_rules_harm_nobody() {
    let desk = desk();
    let api = &desk.api;
    let keep = component("i32.const 1024", "");
    let (status, version) = upload(api, keep.clone());
    assert_eq!((status, &version["version"]), (201, &json!(1)), "{version}");
    let rules = "/api/v1/integrations/desk/rules";
    let (status, now) = api.call("POST", &format!("{rules}/1/activate"), &json!({}));
    assert_eq!((status, &now["active"]), (200, &json!(1)), "{now}");

    // What is no good is refused with its reason, and the version that is asked is asked on.
    for (what, wasm, why) in [
        ("nothing", Vec::new(), "no WebAssembly"),
        ("a text", b"export const value = {}".to_vec(), "no WebAssembly"),
        ("a part", keep[..keep.len() / 2].to_vec(), ""),
        ("a module", wat::parse_str("(module)").unwrap(), "not a component"),
        ("too large", vec![0; (24 << 20) + 1], "24 MiB"),
        (
            "an endless start",
            component("i32.const 1024", "(func $s (loop $l (br $l))) (start $s)"),
            "before it is asked",
        ),
        ("all memory", component("i32.const 1024", "(memory 60000)"), "memory"),
    ] {
        let (status, told) = upload(api, wasm);
        assert!(matches!(status, 413 | 422), "{what}: {status} {told}");
        let detail = told["detail"].as_str().unwrap();
        assert!(detail.contains(why), "{what}: {detail}");
        assert!(!detail.contains('\n') && detail.len() < 400, "{what}: {detail}");
    }
    assert_eq!(api.get(rules)["active"], 1);
    assert_eq!(api.get(rules)["versions"].as_array().unwrap().len(), 1);
    for path in ["/2/activate", "/x/activate", "/2/dry-run"] {
        let (status, _) = api.call("POST", &format!("{rules}{path}"), &json!({}));
        assert_eq!(status, 404, "{path}");
    }

    // Each of these fails; what it was asked about waits, everything else goes on, and it is told.
    for (n, (value, more, why)) in [
        ("unreachable", "", "came to a fault"),
        ("(loop $l (br $l)) i32.const 1024", "", "it took"),
        ("(call $deep (local.get 0))", "(func $deep (param i32) (result i32) (call $deep (local.get 0)))", "too deep"),
        ("(i32.store8 (i32.const 2048) (i32.const 77)) i32.const 2048", "", "cannot be read"),
        ("(i32.store8 (i32.const 2052) (i32.const 1)) (i32.store (i32.const 2060) (i32.const -1)) i32.const 2048", "", "handed over"),
    ]
    .into_iter()
    .enumerate()
    {
        let (status, version) = upload(api, component(value, more));
        assert_eq!(status, 201, "{version}");
        let number = &version["version"];
        let (status, now) = api.call("POST", &format!("{rules}/{number}/activate"), &json!({}));
        assert_eq!(status, 200, "{now}");
        let id = format!("inc-{n}");
        incident(&desk, &id, "cara.caller@example.com");
        settle("its ticket waits for one value", || desk.tickets(&id).len() == 1);
        settle("it is not told", || desk.of("rules")["doing"]["last_failure"][0].as_str().is_some_and(|w| w.contains(why)));
        settle("no finding", || desk.of("findings").to_string().contains(why));
        // The settings' own work goes on meanwhile: nothing here waits for rules.
        desk.agent(&id, &json!({ "work_notes": "seen" }));
    }
    // Good rules again: what waited is done, without anybody's help.
    let (status, _) = api.call("POST", &format!("{rules}/1/activate"), &json!({}));
    assert_eq!(status, 200);
    std::thread::sleep(Duration::from_millis(200));
    desk.at_rest();
    for n in 0..5 {
        assert_eq!(
            desk.ticket(&format!("inc-{n}"), "short_description"),
            format!("Checkout is slow (inc-{n})")
        );
    }
    let log = std::fs::read_to_string(desk.place.path().join("log")).unwrap();
    assert!(!log.contains("the engine trapped"), "only the rules did");
}

/// Compiling is somebody else's program at work too: it has a process of its own, with limits.
#[test]
fn what_compiles_too_long_is_stopped() {
    let place = tempfile::tempdir().unwrap();
    let child = |wasm: &[u8]| {
        let file = place.path().join("rules.wasm");
        std::fs::write(&file, wasm).unwrap();
        let input: std::process::Stdio = std::fs::File::open(&file).unwrap().into();
        std::process::Command::new(env!("CARGO_BIN_EXE_firn"))
            .arg("compile-rules")
            .stdin(input)
            .output()
            .unwrap()
    };
    let good = child(&component("i32.const 1024", ""));
    assert!(good.status.success() && good.stdout.len() > 1_000);
    let bad = child(b"\0asm\x01\0\0\0");
    let said = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert!(!bad.status.success() && said.contains("not a component"), "{said}");
    assert!(Path::new(env!("CARGO_BIN_EXE_firn")).exists());
}
