use proptest::prelude::*;
use serde_json::{Value as Json, json};

use firn_model::Level;

use super::*;

const NOW: Millis = Millis(1_777_473_000_000);
const SECRET: &str = "whsec_c2FtcGxlX2tleQ==";
const CARD: &str = "4111 1111 1111 1111";

fn gateway(document: &Json) -> Gateway {
    let environment = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
    Gateway::open(&document.to_string(), &environment).unwrap()
}

fn places(document: &Json) -> Vec<String> {
    let faults = Gateway::open(&document.to_string(), &|_| None).unwrap_err();
    faults.into_iter().map(|f| f.at).collect()
}

fn signed(body: &str, secret: &str, at: i64) -> Vec<(String, String)> {
    let signature = Key::of(secret).unwrap().sign(&format!("m1.{at}.{body}"));
    [
        ("webhook-id", "m1".to_owned()),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", format!("v1,{signature}")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn sent(gateway: &Gateway, path: &str, headers: &[(String, String)], body: &str) -> Verdict {
    match gateway.way("POST", path) {
        Way::Read(route) => {
            gateway.request(route, path, Message { headers, body: Some(body) }, NOW)
        }
        Way::Answered(reply) => Verdict::Answered(reply),
        Way::Through => panic!("{path} is not read"),
    }
}

fn onward(verdict: Verdict) -> Onward {
    match verdict {
        Verdict::Onward(onward) => onward,
        Verdict::Answered(reply) => panic!("answered {reply:?}"),
    }
}

fn answered(verdict: Verdict) -> Reply {
    match verdict {
        Verdict::Answered(reply) => reply,
        Verdict::Onward(onward) => panic!("went on as {onward:?}"),
    }
}

fn webhook(text: &str) -> String {
    json!({ "sys_id": "0123456789abcdef0123456789abcdef", "number": "INC0010001", "table": "incident",
        "action": "update", "sys_mod_count": 3, "current": { "sys_updated_on": "2026-04-29 14:30:00",
        "short_description": text, "state": "6", "correlation_id": "PAY-1" } })
    .to_string()
}

fn hooks(sends: &str) -> Gateway {
    gateway(&json!({ "settings": { "preset": "incidents" }, "routes": [
        { "path": "/hooks", "takes": "webhook", "secrets": ["env:SECRET"], "sends": sends }] }))
}

#[test]
fn what_is_not_signed_as_agreed_goes_no_further_and_is_not_told_why() {
    let (gateway, body) = (hooks("unchanged"), webhook("hello"));
    let at = NOW.0 / 1000;
    assert_eq!(
        onward(sent(&gateway, "/hooks", &signed(&body, SECRET, at), &body)),
        Onward::default()
    );
    let twice = [signed(&body, SECRET, at), signed(&body, SECRET, at)].concat();
    let wrong = [
        (Vec::new(), "missing"),
        (twice, "more than once"),
        (signed(&body, "whsec_AAAA", at), "does not match"),
        (signed(&body, SECRET, at - 301), "300 s"),
        (signed(&body, SECRET, at + 301), "300 s"),
        (signed("other", SECRET, at), "does not match"),
    ];
    let mut told = Vec::new();
    for (headers, why) in wrong {
        let reply = answered(sent(&gateway, "/hooks", &headers, &body));
        assert_eq!(reply.status, 401);
        assert!(reply.why.as_deref().unwrap().contains(why), "{:?} does not say {why}", reply.why);
        told.push(reply.body);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "the answers differ");
}

#[test]
fn a_body_that_was_changed_is_signed_anew() {
    let (gateway, body) = (hooks("masked"), webhook(&format!("pay with {CARD}")));
    let passed = onward(sent(&gateway, "/hooks", &signed(&body, SECRET, NOW.0 / 1000), &body));
    let masked = passed.body.unwrap();
    assert!(!masked.contains(CARD) && masked.contains("INC0010001"));
    // What is behind verifies it as if ServiceNow had sent it so.
    let mut headers = signed(&body, SECRET, NOW.0 / 1000);
    headers.retain(|(name, _)| passed.headers.iter().all(|(set, _)| set != name));
    headers.extend(passed.headers);
    assert_eq!(onward(sent(&hooks("unchanged"), "/hooks", &headers, &masked)), Onward::default());
}

#[test]
fn a_webhook_is_mapped_to_the_platforms_words() {
    let body = webhook(&format!("pay with {CARD}"));
    let at = NOW.0 / 1000;
    let passed = onward(sent(&hooks("mapped"), "/hooks", &signed(&body, SECRET, at), &body));
    let mapped: Json = serde_json::from_str(&passed.body.unwrap()).unwrap();
    assert_eq!(mapped["id"], "wh-m1");
    assert_eq!(mapped["record"]["id"], "PAY-1");
    assert_eq!(mapped["record"]["ticket"]["number"], "INC0010001");
    assert_eq!(mapped["set"]["status"], "resolved");
    assert_eq!(mapped["set"]["title"], "pay with ****-****-****-1111");
    assert_eq!(mapped["expect"], json!({}));

    let odd = body.replace("\"state\":\"6\"", "\"state\":\"77\"");
    let passed = onward(sent(&hooks("mapped"), "/hooks", &signed(&odd, SECRET, at), &odd));
    let mapped: Json = serde_json::from_str(&passed.body.unwrap()).unwrap();
    assert_eq!(mapped["unmapped"], json!(["status"]));
    assert!(mapped["set"].get("status").is_none());
}

#[test]
fn work_notes_do_not_leave_by_a_gateway() {
    let note = |element: &str| {
        json!({ "sys_id": "0123456789abcdef0123456789abcdef", "table": "sys_journal_field", "journal": {
            "sys_id": "1123456789abcdef0123456789abcdef", "element": element, "value": format!("see {CARD}"),
            "sys_created_by": "ann", "sys_created_on": "2026-04-29 14:30:00" } })
        .to_string()
    };
    let mapped = |body: &str| {
        let headers = signed(body, SECRET, NOW.0 / 1000);
        let gateway = gateway(&json!({ "settings": { "preset": "incidents" }, "routes": [
            { "path": "/hooks", "takes": "webhook", "secrets": [SECRET], "sends": "mapped" }] }));
        sent(&gateway, "/hooks", &headers, body)
    };
    let body = note("comments").replace("sys_journal_field", "incident");
    let comment: Json = serde_json::from_str(&onward(mapped(&body)).body.unwrap()).unwrap();
    assert_eq!(comment["comment"]["visibility"], "public");
    assert_eq!(comment["comment"]["text"], "see ****-****-****-1111");
    let reply = answered(mapped(&note("work_notes").replace("sys_journal_field", "incident")));
    assert_eq!((reply.status, reply.body.contains("filtered")), (200, true));
}

#[test]
fn a_ping_that_nobody_behind_would_understand_is_answered() {
    let ping = r#"{"table":"x_firn_ping","action":"ping","nonce":"n1"}"#;
    let headers = signed(ping, SECRET, NOW.0 / 1000);
    let reply = answered(sent(&hooks("mapped"), "/hooks", &headers, ping));
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"nonce":"n1","status":"pong"}"#));
    assert_eq!(onward(sent(&hooks("unchanged"), "/hooks", &headers, ping)), Onward::default());
}

#[test]
fn an_escalation_becomes_a_tickets_columns() {
    let gateway = gateway(&json!({ "settings": { "preset": "genesys" }, "routes": [
        { "path": "/calls", "takes": "escalation", "sends": "mapped" }] }));
    let body = json!({ "callId": "00000000-0000-0000-0000-000000000000", "startTime": "2023-10-27T14:30:00.000Z",
        "endTime": "2023-10-27T14:35:00.000Z", "direction": "inbound", "queueName": "IT_Support_Hotline",
        "agentUserId": "admin_user_01", "escalationReason": "IVR_TIMEOUT_EXCEEDED", "customerPhone": "+15550199888" });
    let body = &body.to_string();
    let passed = onward(sent(&gateway, "/calls", &[], body));
    assert_eq!(passed.path.as_deref(), Some("/api/now/table/incident"));
    let columns: Json = serde_json::from_str(&passed.body.unwrap()).unwrap();
    assert_eq!(columns["correlation_id"], "00000000-0000-0000-0000-000000000000");
    assert!(columns["description"].as_str().unwrap().contains("Caller phone: ***-***-9888"));
    assert!(columns["work_notes"].as_str().unwrap().contains("IVR_TIMEOUT_EXCEEDED"));
    let reply = answered(sent(&gateway, "/calls", &[], "{\"a\":1,\"a\":2}"));
    assert_eq!(reply.status, 400);
    let reply = answered(sent(&gateway, "/calls", &[], "{}"));
    assert_eq!(reply.status, 422);
}

#[test]
fn another_spelling_of_a_path_is_the_same_path() {
    let gateway = gateway(&json!({ "routes": [
        { "path": "/Assist/v1/*", "takes": "any", "sends": "masked" },
        { "path": "/one", "takes": "any", "sends": "masked" }] }));
    for path in [
        "/assist/v1",
        "/assist/v1/chat?x=1",
        "//assist//v1/chat",
        "/assist/./v1/chat",
        "/x/../assist/v1/",
        "/%61ssist/v1/chat",
        "/%2561ssist/v1/chat",
        "/assist%2fv1/chat",
        "/ASSIST/V1/chat",
        "/assist;a=b/v1/c",
        "/assist\\v1\\chat",
        "/one",
        "/one/",
        "/one?a",
        // Where a host is named, servers take what follows it for the path.
        "http://gw.example/assist/v1/chat",
        "HTTPS://gw.example:8443/one?a",
        "http://gw.example//one",
        "http:///one",
        "q:///one",
        "a+b:/one",
        "//gw/assist/v1/chat",
        "/\\gw/assist/v1/chat",
        "\\\\gw\\one",
        "///gw/one",
    ] {
        assert!(matches!(gateway.way("POST", path), Way::Read(_)), "{path} is not read");
    }
    // Some would take these for addresses of the route, some for others: they are read.
    for path in [
        "/assist/v1/../../x",
        "/assist/v1/%2e%2e/%2e%2e/x",
        "/assist/v1/..;/../x",
        "/assist/v1/a%5c..%5c..%5c..%5cx",
        "/assist/v1/%252e%252e/../x",
        "/assist/v1/..%20/../x",
        "/x/..%2fassist%2fv1",
    ] {
        assert!(matches!(gateway.way("POST", path), Way::Read(_)), "{path} is not read");
    }
    assert!(matches!(gateway.way("POST", "/one/../assist/v1/x"), Way::Read(_)));
    // Between two routes nobody guesses.
    for path in ["/assist/v1/../../one", "/assist/v1/..%2f..%2fone", "/assist/v1/%2e%2e/..;a/one"] {
        let way = gateway.way("POST", path);
        assert!(matches!(way, Way::Answered(Reply { status: 400, .. })), "{path} is {way:?}");
    }
    for path in ["/assist/v10", "/assist", "/one/two", "/", "", "/%"] {
        assert!(matches!(gateway.way("POST", path), Way::Through), "{path} is read");
    }
}

#[test]
fn others_are_refused_if_the_document_says_so_and_only_post_is_taken() {
    let gateway = gateway(&json!({ "others": "refuse", "routes": [
        { "path": "/calls", "takes": "escalation" }, { "path": "/*", "takes": "any", "signed": "none" }] }));
    assert!(matches!(gateway.way("GET", "/calls"), Way::Answered(Reply { status: 405, .. })));
    assert!(matches!(gateway.way("GET", "/anything"), Way::Read(_)));
    let gateway = self::gateway(&json!({ "others": "refuse", "routes": [
        { "path": "/calls", "takes": "escalation" }] }));
    assert!(matches!(gateway.way("GET", "/"), Way::Answered(Reply { status: 404, .. })));
}

#[test]
fn what_cannot_be_read_is_not_passed_on() {
    let gateway = gateway(&json!({ "routes": [
        { "path": "/*", "takes": "any", "sends": "masked", "answers": "masked" }] }));
    let Way::Read(route) = gateway.way("POST", "/x") else { panic!("not read") };
    let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    for headers in [
        header("content-encoding", "gzip"),
        header("content-type", "application/octet-stream"),
        header("content-type", "multipart/form-data; boundary=x"),
        header("content-type", "text/plain; charset=utf-16"),
        header("content-type", "text/plain; charset = 'utf-16'"),
        header("content-type", "text/plain, application/octet-stream"),
        [header("content-type", "text/plain"), header("content-type", "image/png")].concat(),
    ] {
        let message = Message { headers: &headers, body: Some("x") };
        assert_eq!(answered(gateway.request(route, "/x", message, NOW)).status, 415);
        assert_eq!(answered(gateway.response(route, message)).status, 502);
    }
    // UTF-16 of ASCII is valid UTF-8, and some readers take it for what it is.
    let wide: String = format!("card {CARD}").chars().flat_map(|c| [c, '\0']).collect();
    let message = Message { headers: &[], body: Some(&wide) };
    assert_eq!(answered(gateway.request(route, "/x", message, NOW)).status, 415);
    assert_eq!(answered(gateway.response(route, message)).status, 502);
    let part = header("content-range", "bytes 0-11/100");
    let message = Message { headers: &part, body: Some("card 4111 1111") };
    assert_eq!(answered(gateway.response(route, message)).status, 502);
    let unread = Message { headers: &[], body: None };
    assert_eq!(answered(gateway.request(route, "/x", unread, NOW)).status, 415);
    assert_eq!(answered(gateway.response(route, unread)).status, 502);
    let form = header("content-type", "application/x-www-form-urlencoded");
    let message = Message {
        headers: &form,
        body: Some("text=card+4111+1111+1111+1111&to=ann.lee%40example.com"),
    };
    let passed = onward(gateway.request(route, "/x", message, NOW));
    assert_eq!(passed.body.as_deref(), Some("text=card+****-****-****-1111&to=a***%40example.com"));
    for name in ["accept-encoding", "range", "if-range"] {
        assert!(passed.without.iter().any(|h| h == name), "{name}");
    }
    assert!(passed.without.iter().any(|h| h == "content-length"));
}

#[test]
fn every_fault_of_a_document_is_told_with_its_place() {
    assert_eq!(places(&json!({})), ["routes"]);
    let document = json!({ "upstream": "here", "settings": { "preset": "incidents", "stratgy": 1 }, "routes": [
        { "path": "hooks", "takes": "webhook" },
        { "path": "/a*", "takes": "event", "sends": "mapped", "secrets": ["whsec_"] },
        { "path": "/b", "takes": "webhook", "secrets": ["env:NOT_THERE"], "signed": "none" },
        { "path": "/c", "takes": "webhook", "secrets": ["env:NOT_THERE"] },
        { "path": "/d", "takes": "any", "sends": "mapped" },
    ] });
    assert_eq!(
        places(&document),
        [
            "routes[0].path",
            "routes[0].secrets",
            "routes[1].path",
            "routes[1].secrets[0]",
            "routes[1].sends",
            "routes[2].signed",
            "routes[3].secrets[0]",
            "routes[4].sends",
            "settings.stratgy",
            "upstream"
        ]
    );
    let faults = Gateway::faults(r#"{"rotes": []}"#);
    assert_eq!(faults[0].remedy, "did you mean routes?");
    assert!(Gateway::faults("no").iter().all(|f| f.level == Level::Error));
    let no_settings = json!({ "routes": [{ "path": "/h", "takes": "webhook", "sends": "mapped", "secrets": ["long enough"] }] });
    assert_eq!(places(&no_settings), ["routes[0].sends"]);
}

#[test]
fn a_document_may_begin_with_a_byte_order_mark() {
    let document = "\u{feff}{\"routes\": [{\"path\": \"/a\", \"takes\": \"any\"}]}";
    assert_eq!(Gateway::faults(document), []);
}

#[test]
fn where_there_is_no_environment_a_secret_of_it_is_a_fault() {
    let document =
        json!({ "routes": [{ "path": "/h", "takes": "webhook", "secrets": ["env:SECRET"] }] })
            .to_string();
    assert_eq!(Gateway::faults(&document), []);
    let faults = Gateway::faults_embedded(&document);
    assert_eq!(faults[0].at, "routes[0].secrets[0]");
    assert!(faults[0].remedy.contains("put the secret itself here"), "{faults:?}");
}

/// What a route that masks sends on, of a body that calls itself so.
fn masked(kind: &str, body: &str) -> Option<String> {
    let document = json!({ "routes": [{ "path": "/a", "takes": "any", "sends": "masked" }] });
    let gateway = Gateway::open(&document.to_string(), &|_| None).unwrap();
    let Way::Read(route) = gateway.way("POST", "/a") else { panic!("it is read") };
    let headers = [("content-type".to_owned(), kind.to_owned())];
    let message = Message { headers: &headers, body: Some(body) };
    match gateway.request(route, "/a", message, Millis(0)) {
        Verdict::Onward(onward) => onward.body,
        Verdict::Answered(reply) => panic!("{reply:?}"),
    }
}

#[test]
fn what_is_json_stays_json() {
    let bare = masked("application/json", &CARD.replace(' ', "")).unwrap();
    assert_eq!(bare, "\"****-****-****-1111\"");
    // As `curl -d` sends it.
    let called = masked("application/x-www-form-urlencoded", &json!({ "text": CARD }).to_string());
    assert_eq!(called.unwrap(), "{\"text\":\"****-****-****-1111\"}");
    let form = masked("application/x-www-form-urlencoded", "%7Btext=4111+1111+1111+1111");
    assert_eq!(form.unwrap(), "%7Btext=****-****-****-1111");
}

#[test]
fn what_is_turned_away_is_told_in_the_log() {
    let document = json!({ "routes": [
        { "path": "/a", "takes": "any", "sends": "masked", "answers": "masked" },
        { "path": "/e", "takes": "event" } ] });
    let gateway = Gateway::open(&document.to_string(), &|_| None).unwrap();
    let why = |path: &str, kind: &str, body: &str| {
        let Way::Read(route) = gateway.way("POST", path) else { panic!("it is read") };
        let headers = [("content-type".to_owned(), kind.to_owned())];
        let message = Message { headers: &headers, body: Some(body) };
        match gateway.request(route, path, message, Millis(0)) {
            Verdict::Answered(reply) => reply.why.unwrap(),
            Verdict::Onward(onward) => panic!("{onward:?}"),
        }
    };
    assert_eq!(why("/a", "image/png", "x"), "/a: answered 415: image/png is no text");
    // A value, or a name that is one, is for the sender alone.
    assert_eq!(
        why("/e", "application/json", "{\"Ann Lee\": 1, \"Ann Lee\": 2}"),
        "/e: answered 400: The body is not a JSON object that we take"
    );
    let Way::Read(route) = gateway.way("POST", "/a") else { panic!("it is read") };
    assert_eq!(
        Reply::too_long(route).why.unwrap(),
        "/a: answered 413: a body may have 1 MiB at most"
    );
    let headers = [("content-type".to_owned(), "image/png".to_owned())];
    let reply = gateway.early_answer(route, &headers).unwrap();
    assert!(reply.why.unwrap().starts_with("/a: answered 502: the answer cannot be masked"));
}

proptest! {
    #[test]
    fn no_card_gets_through_a_masked_route(before in "[ -~äß\n]{0,40}", after in "[ -~äß\n]{0,40}", json in any::<bool>()) {
        // What touches its digits makes it another number.
        prop_assume!(!before.ends_with(|c: char| c.is_ascii_alphanumeric() || ".-+_".contains(c)));
        prop_assume!(!after.starts_with(|c: char| c.is_ascii_alphanumeric() || ".-+_".contains(c)));
        let before = before.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ');
        let after = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        let text = format!("{before} card {CARD} {after}");
        let body = if json { json!({ "text": text }).to_string() } else { text };
        let gateway = gateway(&json!({ "routes": [
            { "path": "/*", "takes": "any", "sends": "masked", "answers": "masked" }] }));
        let passed = onward(sent(&gateway, "/x", &[], &body));
        let body = passed.body.unwrap();
        prop_assert!(!body.contains(CARD), "{body}");
        // Once is enough.
        prop_assert_eq!(onward(sent(&gateway, "/x", &[], &body)).body, None);
    }

    #[test]
    fn nothing_that_comes_brings_it_down(path in ".{0,30}", name in ".{0,20}", value in ".{0,20}", body in ".{0,60}") {
        let gateway = gateway(&json!({ "settings": { "preset": "genesys" }, "routes": [
            { "path": "/h", "takes": "webhook", "signed": "either", "secrets": ["long enough"], "sends": "mapped" },
            { "path": "/e", "takes": "escalation", "sends": "mapped" },
            { "path": "/*", "takes": "any", "sends": "masked", "answers": "masked" }] }));
        let headers = [(name, value)];
        for path in [path.as_str(), "/h", "/e", "/x"] {
            if let Way::Read(route) = gateway.way("POST", path) {
                let message = Message { headers: &headers, body: Some(&body) };
                let _ = gateway.request(route, path, message, NOW);
                let _ = gateway.response(route, message);
            }
        }
    }
}

#[test]
fn json_is_masked_as_json_whatever_its_sender_calls_it() {
    let gateway = hooks("masked");
    let body = json!({ "sys_id": "0123456789abcdef0123456789abcdef", "birth_date": "1990-01-01", "note": format!("pay {CARD}") });
    let body = body.to_string();
    for kind in ["application/x-www-form-urlencoded", "text/plain", "image/png", "application/json"]
    {
        let mut headers = signed(&body, SECRET, NOW.0 / 1000);
        headers.push(("content-type".to_owned(), kind.to_owned()));
        let masked = onward(sent(&gateway, "/hooks", &headers, &body)).body.unwrap();
        let read: Json = serde_json::from_str(&masked).unwrap();
        assert_eq!(read["note"], "pay ****-****-****-1111", "{kind}");
        assert_ne!(read["birth_date"], "1990-01-01", "{kind}");
    }
    let mut packed = signed(&body, SECRET, NOW.0 / 1000);
    packed.push(("content-encoding".to_owned(), "gzip".to_owned()));
    for sends in ["masked", "mapped"] {
        assert_eq!(answered(sent(&hooks(sends), "/hooks", &packed, &body)).status, 415, "{sends}");
    }
}

#[test]
fn no_fault_tells_a_secret() {
    for document in [
        json!({ "routes": [{ "path": "/h", "takes": "webhook", "secrets": "whsec_c2VjcmV0c2VjcmV0" }] }),
        json!({ "routes": [{ "path": "/h", "takes": "webhook", "secrets": [{ "a": "whsec_c2VjcmV0c2VjcmV0" }] }] }),
        json!({ "routes": [{ "path": "/h", "takes": "webhook", "signed": "whsec_c2VjcmV0c2VjcmV0" }] }),
        json!({ "routes": [{ "path": "/h", "takes": "whsec_c2VjcmV0c2VjcmV0", "secret": "whsec_c2VjcmV0c2VjcmV0" }] }),
        json!({ "upstream": "http://user:c2VjcmV0c2VjcmV0@host", "routes": [{ "path": "/h", "takes": "any" }] }),
    ] {
        let faults = Gateway::open(&document.to_string(), &|_| None).unwrap_err();
        assert!(!faults.is_empty());
        for fault in faults {
            assert!(!format!("{fault:?}").contains("c2VjcmV0"), "{fault:?}");
        }
    }
}

#[test]
fn a_route_goes_to_a_path() {
    let to = |path: &str, to: &str| {
        places(&json!({ "routes": [{ "path": path, "takes": "any", "to": to }] }))
    };
    assert_eq!(to("/a", "elsewhere"), ["routes[0].to"]);
    assert_eq!(to("/a", "/with blank"), ["routes[0].to"]);
    assert_eq!(to("/a/*", "/b"), ["routes[0].to"]);
    let gateway = gateway(
        &json!({ "routes": [{ "path": "/a", "takes": "any", "sends": "masked", "to": "/b" }] }),
    );
    assert_eq!(onward(sent(&gateway, "/a?x=1", &[], "hello")).path.as_deref(), Some("/b?x=1"));
}

#[test]
fn what_is_meant_for_another_place_is_no_secret() {
    for secret in
        ["file:/run/hook", "exec:cat /x", "FILE:x", "$SECRET", "ENV:SECRET", "env:", "short"]
    {
        let document =
            json!({ "routes": [{ "path": "/h", "takes": "webhook", "secrets": [secret] }] });
        assert_eq!(places(&document), ["routes[0].secrets[0]"], "{secret}");
    }
}

#[test]
fn a_route_that_nothing_comes_to_is_a_fault() {
    let routes = |first: &str, second: &str| {
        let document = json!({ "routes": [{ "path": first, "takes": "any" }, { "path": second, "takes": "any" }] });
        Gateway::faults(&document.to_string()).len()
    };
    for (first, second) in
        [("/*", "/h"), ("/a/*", "/a"), ("/a/*", "/A/b/*"), ("/a", "/a"), ("/a", "/a/")]
    {
        assert_eq!(routes(first, second), 1, "{first} {second}");
    }
    for (first, second) in [("/h", "/*"), ("/a", "/a/*"), ("/a/*", "/ab"), ("/a/b/*", "/a/*")] {
        assert_eq!(routes(first, second), 0, "{first} {second}");
    }
}

#[test]
fn settings_without_escalations_map_none() {
    let document = json!({ "settings": { "preset": "incidents" }, "routes": [
        { "path": "/calls", "takes": "escalation", "sends": "mapped" }] });
    assert_eq!(places(&document), ["routes[0].settings"]);
}

#[test]
fn what_never_ends_is_refused_before_it_is_read() {
    let gateway =
        gateway(&json!({ "routes": [{ "path": "/x", "takes": "any", "answers": "masked" }] }));
    let Way::Read(route) = gateway.way("GET", "/x") else { panic!("not read") };
    let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    assert_eq!(gateway.early(route, &header("upgrade", "websocket")).unwrap().status, 400);
    assert_eq!(gateway.early(route, &header("accept", "*/*")), None);
    let stream = header("content-type", "text/event-stream; charset=utf-8");
    assert_eq!(gateway.early_answer(route, &stream).unwrap().status, 502);
    assert_eq!(gateway.early_answer(route, &header("content-type", "text/plain")), None);
}

#[test]
fn a_filter_of_webhooks_is_as_in_firn() {
    let sent_by = |filter: &str| {
        let gateway = gateway(
            &json!({ "settings": { "preset": "incidents", "filters": { "webhooks": filter } }, "routes": [
            { "path": "/hooks", "takes": "webhook", "secrets": [SECRET], "sends": "mapped" }] }),
        );
        let body = webhook("hello");
        sent(&gateway, "/hooks", &signed(&body, SECRET, NOW.0 / 1000), &body)
    };
    assert!(answered(sent_by("payload.action == 'insert'")).body.contains("filtered"));
    assert!(onward(sent_by("payload.action == 'update'")).body.is_some());
    // One that cannot be evaluated on it keeps nothing out.
    assert!(onward(sent_by("payload.number - 1 > 2")).body.is_some());
}
