//! Hostile and malformed requests: each ends as the contracts say, none brings anything down. Slow,
//! oversized and crowding clients hold nothing up for the others.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::common::{Api, Firn, TOKEN, answered};
use serde_json::json;

const SECRET: &str = "whsec_c2FtcGxlX2tleQ==";

fn integration(api: &Api) -> String {
    let body = json!({ "organization_id": "acme", "name": "hostile", "base_url": "http://127.0.0.1:9",
        "webhook_secret": SECRET, "settings": { "polling": { "mode": "off" } },
        "credentials": { "username": "u", "password": "p" } });
    let (status, made) = api.call("POST", "/api/v1/integrations", &body);
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

/// Sends bytes as they are; gives what comes back until the connection closes or says nothing more.
fn raw(firn: &Firn, bytes: &[u8], patience: Duration) -> String {
    let mut stream = TcpStream::connect(firn.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    // It may be refused in the middle.
    let _ = stream.write_all(bytes);
    let mut said = Vec::new();
    let mut part = [0; 4096];
    while let Ok(n) = stream.read(&mut part) {
        if n == 0 {
            break;
        }
        said.extend_from_slice(&part[..n]);
        if said.windows(4).any(|w| w == b"\r\n\r\n") && said.len() < part.len() {
            stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

fn status_of(said: &str) -> u16 {
    said.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// Bodies that are no JSON that is taken, each with what it is.
fn malformed() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = [
        "",
        " ",
        "{",
        "}",
        "[",
        "[]",
        "[{}]",
        "null",
        "true",
        "1",
        "\"text\"",
        "{]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":1.}",
        "{\"a\":1e}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":0x10}",
        "{\"a\":tru}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\\ud800\"}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":1}{\"b\":2}",
        "{\"a\":1} x",
        "{} {}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"x\":{\"a\":1,\"a\":2}}",
        "// comment\n{}",
        "{/**/}",
        "{\"a\":1]",
        "[1,2",
        "{\"a\":[1,}",
        "<xml/>",
        "a=1&b=2",
        "---\na: 1",
        "\u{feff}{}",
        "{\"a\":\"",
        "{\"",
        "\"",
        "\\",
        "\0",
        "{\"a\":1e99999}",
        "{\"a\":--1}",
    ]
    .iter()
    .map(|text| (text.escape_debug().to_string(), text.as_bytes().to_vec()))
    .collect();
    for (name, bytes) in [
        ("no UTF-8", b"{\"a\":\"\xff\xfe\"}".to_vec()),
        ("half a character", b"{\"a\":\"\xe2\x82\"}".to_vec()),
        ("an overlong slash", b"{\"a\":\"\xc0\xaf\"}".to_vec()),
        ("a surrogate in UTF-8", b"{\"a\":\"\xed\xa0\x80\"}".to_vec()),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec()),
        ("deep arrays", format!("{{\"a\":{}1{}}}", "[".repeat(70), "]".repeat(70)).into_bytes()),
        ("deep objects", format!("{}1{}", "{\"a\":".repeat(70), "}".repeat(70)).into_bytes()),
        ("a hundred thousand levels", "[".repeat(100_000).into_bytes()),
        ("a hundred thousand objects", "{\"a\":".repeat(100_000).into_bytes()),
        ("random bytes", (0..999_u32).map(|n| (n * 7_919 % 251) as u8).collect()),
    ] {
        all.push((name.to_owned(), bytes));
    }
    all
}

#[test]
fn three_hundred_hostile_requests_end_as_they_should() {
    let data = tempfile::tempdir().unwrap();
    let firn = Firn::start(data.path(), &[], None);
    let api = Api::new(&firn, Some(TOKEN));
    let id = integration(&api);
    let mut tried: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong: Vec<String> = Vec::new();
    let mut judge = |kind: &'static str, what: &str, status: u16, may: &[u16]| {
        *tried.entry(kind).or_default() += 1;
        if !may.contains(&status) {
            wrong.push(format!("{kind}: {what}: {status}, not one of {may:?}"));
        }
    };
    let base = format!("/api/v1/integrations/{id}");

    // What is no JSON, where a person or a platform says it: refused with a clear error. An empty body is an
    // empty object where nothing needs to be said.
    for (what, bytes) in malformed() {
        for path in
            [format!("{base}/events"), format!("{base}/escalations"), "/api/v1/integrations".into()]
        {
            let (status, _) = answered(api.request("POST", &path).body(bytes.clone()));
            judge("malformed body", &format!("{path} {what}"), status, &[400, 422]);
        }
        // Genuine and not to be understood: ServiceNow never sends it again, so it is kept.
        let Ok(text) = String::from_utf8(bytes.clone()) else {
            let (status, _) =
                answered(api.request("POST", &format!("/api/v1/webhooks/{id}")).body(bytes));
            judge("webhook without UTF-8", &what, status, &[400, 401]);
            continue;
        };
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let name = format!("m-{}", fastrand::u64(..));
        let signature =
            firn_remote::sign(&firn_remote::Secret::new(SECRET), &format!("{name}.{now}.{text}"))
                .unwrap();
        let request = api
            .request("POST", &format!("/api/v1/webhooks/{id}"))
            .header("webhook-id", &name)
            .header("webhook-timestamp", now)
            .header("webhook-signature", format!("v1,{signature}"))
            .body(text);
        judge("genuine and malformed webhook", &what, answered(request).0, &[202]);
    }

    // Who may not come in: the same answer, word for word, whatever there is.
    let mut words = std::collections::BTreeSet::new();
    for path in [
        format!("/api/v1/webhooks/{id}"),
        "/api/v1/webhooks/nobody".into(),
        "/api/v1/webhooks/hostile".into(),
    ] {
        for headers in [
            vec![],
            vec![("webhook-id", "a")],
            vec![("webhook-id", "a"), ("webhook-timestamp", "1")],
            vec![
                ("webhook-id", "a"),
                ("webhook-timestamp", "99999999999999999999"),
                ("webhook-signature", "v1,AAAA"),
            ],
            vec![
                ("webhook-id", "a"),
                ("webhook-timestamp", "-9223372036854775808"),
                ("webhook-signature", "v1,AAAA"),
            ],
            vec![
                ("webhook-id", "a.b"),
                ("webhook-timestamp", "0"),
                ("webhook-signature", "v1,AAAA"),
            ],
            vec![("webhook-id", "a"), ("webhook-timestamp", "0x10"), ("webhook-signature", "v1,")],
            vec![
                ("webhook-id", "a"),
                ("webhook-id", "b"),
                ("webhook-timestamp", "0"),
                ("webhook-signature", "v1,AAAA"),
            ],
            vec![("webhook-id", "a"), ("webhook-timestamp", "0"), ("webhook-signature", "v2,AAAA")],
            vec![("x-servicenow-signature", "AAAA")],
            vec![("authorization", "Bearer outside-token")],
        ] {
            let mut request =
                Api::new(&firn, None).request("POST", &path).json(&json!({ "sys_id": "a" }));
            for (name, value) in &headers {
                request = request.header(*name, *value);
            }
            let (status, said) = answered(request);
            words.insert(said.to_string());
            judge("unsigned webhook", &format!("{path} {headers:?} {said}"), status, &[401]);
        }
    }
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "bearer  outside-token",
        "Basic b3V0c2lkZS10b2tlbg==",
        "outside-token",
        "Bearer outside-token, Bearer x",
        "Bearer \u{e9}",
        "Bearer firn_at_a.9.b",
        "Digest x",
    ] {
        let request = Api::new(&firn, None)
            .request("GET", "/api/v1/integrations")
            .header("authorization", value);
        judge("wrong token", value, answered(request).0, &[401]);
    }

    // Addresses.
    for name in [
        "..",
        "%2e%2e",
        ".",
        "%00",
        "a%00b",
        "%ff",
        "%",
        "a/../b",
        "%2f",
        "a%2fb",
        "a b",
        "%0d%0aX: y",
        "\u{1f600}",
        "^OR",
        "javascript:1",
        "${x}",
        "{{7*7}}",
        "' OR 1=1 --",
        "<script>",
        "_firn",
        "-",
        "*",
        "?",
        "#",
        ";",
        "con",
        &"x".repeat(300),
        &"x".repeat(8_000),
    ] {
        let name = name.replace(['?', '#', ' '], "%20");
        for path in [
            format!("/api/v1/integrations/{name}"),
            format!("{base}/links/{name}"),
            format!("{base}/dlq/{name}/retry"),
        ] {
            let method = if path.ends_with("/retry") { "POST" } else { "GET" };
            let text = format!(
                "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            );
            let status = status_of(&raw(&firn, text.as_bytes(), Duration::from_secs(5)));
            judge("address", &path, status, &[400, 404, 405, 414, 431]);
        }
    }

    // Requests that are no HTTP, or more of it than is good. 0 is a connection that was closed.
    let auth = format!("host: x\r\nauthorization: Bearer {TOKEN}\r\n");
    let get = |rest: &str| format!("GET /api/v1/integrations HTTP/1.1\r\n{auth}{rest}\r\n");
    for (what, text, may) in [
        ("nothing of HTTP", "hello\r\n\r\n".to_owned(), &[0, 400][..]),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}".to_owned(), &[0, 400]),
        ("HTTP/0.9", "GET /\r\n\r\n".to_owned(), &[0, 400]),
        ("HTTP/3.0", "GET / HTTP/3.0\r\n\r\n".to_owned(), &[0, 400, 505]),
        ("HTTP/2 at once", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[0, 400, 404, 505]),
        ("a strange method", format!("FROB /api/v1/integrations HTTP/1.1\r\n{auth}\r\n"), &[405]),
        ("CONNECT", format!("CONNECT example.com:443 HTTP/1.1\r\n{auth}\r\n"), &[400, 404, 405]),
        ("TRACE", format!("TRACE /api/v1/integrations HTTP/1.1\r\n{auth}\r\n"), &[405]),
        (
            "another host's address",
            format!("GET http://evil.example/api/v1/nothing HTTP/1.1\r\n{auth}\r\n"),
            &[400, 404],
        ),
        ("a space in a header's name", get("a b: c\r\n"), &[0, 400]),
        ("a header without a colon", get("abc\r\n"), &[0, 400]),
        ("a folded header", get("a: b\r\n c\r\n"), &[0, 400]),
        ("a null in a header", get("a: \0\r\n"), &[0, 400]),
        ("a hundred and fifty headers", get(&"a: b\r\n".repeat(150)), &[431]),
        ("a header of 64 KiB", get(&format!("a: {}\r\n", "x".repeat(65_536))), &[431]),
        (
            "an address of 64 KiB",
            format!("GET /{} HTTP/1.1\r\n{auth}\r\n", "x".repeat(65_536)),
            &[414, 431],
        ),
        (
            "two lengths",
            format!(
                "POST {base}/events HTTP/1.1\r\n{auth}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}"
            ),
            &[0, 400],
        ),
        (
            "a length that is none",
            format!("POST {base}/events HTTP/1.1\r\n{auth}content-length: -1\r\n\r\n{{}}"),
            &[0, 400],
        ),
        (
            "a length beyond all",
            format!(
                "POST {base}/events HTTP/1.1\r\n{auth}content-length: 99999999999999999999\r\n\r\n{{}}"
            ),
            &[0, 400, 413],
        ),
        (
            "a length and chunks",
            format!(
                "POST {base}/events HTTP/1.1\r\n{auth}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            &[0, 400],
        ),
        (
            "chunks that are none",
            format!(
                "POST {base}/events HTTP/1.1\r\n{auth}transfer-encoding: chunked\r\n\r\nzz\r\n"
            ),
            &[0, 400],
        ),
        (
            "a chunk beyond all",
            format!(
                "POST {base}/events HTTP/1.1\r\n{auth}transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n"
            ),
            &[0, 400, 413],
        ),
        (
            "an unknown encoding",
            format!("POST {base}/events HTTP/1.1\r\n{auth}transfer-encoding: gzip\r\n\r\n"),
            &[0, 400, 501],
        ),
    ] {
        let said = raw(&firn, text.as_bytes(), Duration::from_secs(3));
        judge("raw HTTP", what, status_of(&said), may);
    }

    // Too long, announced or not.
    let long = vec![b' '; (1 << 20) + 1];
    for path in [
        format!("{base}/events"),
        format!("{base}/escalations"),
        "/api/v1/apply".into(),
        format!("/api/v1/webhooks/{id}"),
        "/oauth/token".into(),
    ] {
        let (status, _) = answered(api.request("POST", &path).body(long.clone()));
        judge("too long", &path, status, &[413]);
        let unknown = reqwest::blocking::Body::new(std::io::Cursor::new(long.clone()));
        let (status, _) = answered(api.request("POST", &path).body(unknown));
        judge("too long, by chunks", &path, status, &[413]);
    }

    // What is JSON and makes no sense.
    for body in [
        json!({}),
        json!({ "callId": "" }),
        json!({ "callId": null }),
        json!({ "callId": "${call.id}" }),
        json!({ "callId": ["a"] }),
        json!({ "callId": { "a": 1 } }),
        json!({ "callId": "x".repeat(10_000) }),
        json!({ "callId": "a^ORb", "startTime": "yesterday" }),
        json!({ "unknown": true }),
    ] {
        let (status, _) = answered(api.request("POST", &format!("{base}/escalations")).json(&body));
        judge(
            "senseless escalation",
            &body.to_string().chars().take(80).collect::<String>(),
            status,
            &[200, 202, 422],
        );
    }
    for body in [
        json!({ "organization_id": "_firn", "name": "x", "base_url": "http://127.0.0.1:9", "credentials": { "username": "u", "password": "p" } }),
        json!({ "organization_id": "a", "name": "\u{0}", "base_url": "http://127.0.0.1:9", "credentials": { "username": "u", "password": "p" } }),
        json!({ "organization_id": "a", "name": "x", "base_url": "file:///etc/passwd", "credentials": { "username": "u", "password": "p" } }),
        json!({ "organization_id": "a", "name": "x", "base_url": "http://169.254.169.254/", "credentials": { "username": "u", "password": "p" } }),
        json!({ "organization_id": "a", "name": "x", "base_url": "https://[::ffff:10.0.0.1]/", "credentials": { "username": "u", "password": "p" } }),
        json!({ "organization_id": "a", "name": "x", "base_url": "https://u:p@example.com/", "credentials": { "username": "u", "password": "p" } }),
        json!({ "organization_id": "a", "name": "x", "base_url": "http://127.0.0.1:9", "credentials": { "username": "u", "password": "exec:touch /tmp/x" } }),
        json!({ "organization_id": "a", "name": "x", "base_url": "http://127.0.0.1:9", "credentials": {} }),
        json!({ "organization_id": "a", "name": "x", "base_url": "http://127.0.0.1:9", "credentials": { "username": "u", "password": "p" }, "surprise": 1 }),
        json!({ "organization_id": "a", "name": "x", "base_url": "http://127.0.0.1:9", "credentials": { "username": "u", "password": "p" }, "settings": [] }),
    ] {
        let (status, said) = answered(api.request("POST", "/api/v1/integrations").json(&body));
        judge("senseless integration", &said.to_string(), status, &[400, 422]);
    }

    let all: usize = tried.values().sum();
    println!("{all} requests: {tried:?}");
    assert!(all >= 300);
    assert_eq!(words.len(), 1, "{words:?}");
    assert!(wrong.is_empty(), "{} of {all}:\n{}", wrong.len(), wrong.join("\n"));
    // It is there still, and does its work.
    assert_eq!(api.get(&base)["id"], json!(id));
    let event = json!({ "id": "good", "type": "record.updated", "occurred_at": "2026-11-27T10:00:00Z",
        "record": { "kind": "incident", "id": "r1", "version": 1, "partial": false, "fields": {} } });
    assert_eq!(api.call("POST", &format!("{base}/events"), &event).0, 202);
}

/// Whoever sends slowly is cut off, and holds nobody up meanwhile.
#[test]
fn slow_clients_are_cut_off_and_crowds_leave_room() {
    let data = tempfile::tempdir().unwrap();
    let firn = Firn::start(data.path(), &[], None);
    let api = Api::new(&firn, Some(TOKEN));
    let id = integration(&api);
    let address = firn.url.trim_start_matches("http://").to_owned();
    let began = Instant::now();
    // Heads that never end, a byte at a time; bodies that never come; connections that say nothing.
    let head = "GET /healthz HTTP/1.1\r\nhost: x\r\na: ";
    let body = format!(
        "POST /api/v1/integrations/{id}/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 1000\r\n\r\n{{"
    );
    let mut slow: Vec<(&str, TcpStream)> = Vec::new();
    for _ in 0..100 {
        for (what, text) in [("head", head), ("body", body.as_str()), ("nothing", "")] {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            stream.set_nonblocking(true).unwrap();
            slow.push((what, stream));
        }
    }
    let mut ended: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let mut longest = Duration::ZERO;
    while !slow.is_empty() && began.elapsed() < Duration::from_secs(40) {
        slow.retain_mut(|(what, stream)| {
            if *what == "head" {
                let _ = stream.write(b"x");
            }
            let mut part = [0; 512];
            match stream.read(&mut part) {
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => true,
                Ok(n) if n > 0 => true, // An answer, before it is closed.
                _ => {
                    ended.entry(what).or_default().push(began.elapsed().as_secs());
                    false
                }
            }
        });
        let asked = Instant::now();
        assert_eq!(answered(api.request("GET", &format!("/api/v1/integrations/{id}"))).0, 200);
        longest = longest.max(asked.elapsed());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(slow.is_empty(), "{} are there still: {ended:?}", slow.len());
    assert!(longest < Duration::from_secs(2), "others waited {longest:?}");
    for (what, most) in [("head", 15), ("nothing", 15), ("body", 30)] {
        assert!(ended[what].iter().all(|s| *s <= most), "{what}: {:?}", ended[what]);
    }
}

/// Unsigned webhooks by the thousand cost no more than being refused, and others go on.
#[test]
fn a_flood_of_unsigned_webhooks_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let firn = Firn::start(data.path(), &[], None);
    let api = Api::new(&firn, Some(TOKEN));
    let id = integration(&api);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let refused = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let nobody = Api::new(&firn, None);
                    let (path, mut n) = (format!("/api/v1/webhooks/{id}"), 0_u64);
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let body = "x".repeat(20_000);
                        let (status, _) = answered(nobody.request("POST", &path).body(body));
                        assert_eq!(status, 401);
                        n += 1;
                    }
                    n
                })
            })
            .collect();
        let mut done = 0;
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            let event = json!({ "id": format!("e{done}"), "type": "record.updated", "occurred_at": "2026-11-27T10:00:00Z",
                "record": { "kind": "incident", "id": "r1", "version": done, "partial": false, "fields": {} } });
            assert_eq!(
                api.call("POST", &format!("/api/v1/integrations/{id}/events"), &event).0,
                202
            );
            done += 1;
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(done > 20, "others got {done} through in 5 s");
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u64>()
    });
    assert!(refused > 100, "{refused}");
    let kept = api.get(&format!("/api/v1/integrations/{id}/quarantine"));
    assert_eq!(kept["quarantine"], json!([]), "nothing of it is kept");
}
