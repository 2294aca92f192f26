//! Gateways: the components under `wasmtime serve`, the filter in Envoy, the packages in Node and Python. What
//! hosts cannot be had here is skipped with a line that says so; `FIRN_HOSTS=required` makes that a fault.
#![allow(clippy::print_stderr)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firn_tests::golden::{self, Outcome, envoy, gateway, programs, serve};
use firn_tests::process::Running;
use firn_tests::upstream::Upstream;
use firn_tests::{process, tools};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CARD: &str = "4111 1111 1111 1111";

/// Whether something is there; if not, it says so.
fn there<T>(had: Result<T, String>) -> Option<T> {
    match had {
        Ok(had) => Some(had),
        Err(why) => {
            assert!(std::env::var_os("FIRN_HOSTS").is_none(), "{why}");
            eprintln!("skipped: {why}");
            None
        }
    }
}

fn whole(outcome: Outcome, calls: usize) {
    if there(outcome.skipped.map_or(Ok(()), Err)).is_some() {
        assert!(outcome.differences.is_empty(), "{:#?}", outcome.differences);
        assert_eq!((outcome.run, outcome.passed), (calls, calls));
    }
}

fn messages() -> usize {
    gateway::read().unwrap().cases.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_does_as_written_down() {
    whole(serve::proxy().await.unwrap(), messages());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_middleware_does_as_written_down() {
    whole(serve::middleware().await.unwrap(), messages());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_does_as_written_down() {
    whole(envoy::filter().await.unwrap(), messages());
}

#[tokio::test(flavor = "multi_thread")]
async fn firn_refuses_in_the_same_words_as_its_gateways() {
    let outcome = golden::firn::replayed().await.unwrap();
    assert!(outcome.differences.is_empty(), "{:#?}", outcome.differences);
    assert!(outcome.run > 30, "{}", outcome.run);
}

#[test]
fn python_answers_the_same_and_the_package_passes_its_tests() {
    whole(programs::python().unwrap(), golden::read().unwrap().len());
    there(programs::python_tests().unwrap());
}

#[test]
fn node_answers_the_same_and_the_package_passes_its_tests() {
    whole(programs::node().unwrap(), golden::read().unwrap().len());
    there(programs::node_tests().unwrap());
}

// ---- what comes in that is no message ----------------------------------------------------------

fn document() -> Json {
    json!({ "routes": [
        { "path": "/hooks", "takes": "webhook", "secrets": ["whsec_c2FtcGxlX2tleQ=="] },
        { "path": "/events", "takes": "event", "sends": "masked" },
        { "path": "/assist/*", "takes": "any", "sends": "masked", "answers": "masked" }] })
}

fn environment(upstream: SocketAddr) -> Vec<(String, String)> {
    let mut document = document();
    document["upstream"] = json!(format!("http://{upstream}"));
    vec![("FIRN_GATEWAY".to_owned(), document.to_string())]
}

fn setup<'a>(
    envoy: &'a Path,
    filter: &'a Path,
    document: &'a Json,
    behind: SocketAddr,
) -> envoy::Setup<'a> {
    envoy::Setup { envoy, filter, document, behind, speaks: envoy::Behind::Http1 }
}

/// Both kinds of gateway with the same document, each before an upstream of its own; fewer where one cannot be
/// had.
async fn gateways() -> Vec<(&'static str, Running, SocketAddr, Upstream, tempfile::TempDir)> {
    let mut gateways = Vec::new();
    if let Some(wasmtime) = there(tools::WASMTIME.fetched()) {
        let component = tools::embed("gateways").unwrap().join("gateway-proxy.wasm");
        let behind = Upstream::start().await.unwrap();
        let (running, listen) =
            serve::listens(&wasmtime, &component, &environment(behind.address)).await.unwrap();
        gateways.push((serve::PROXY, running, listen, behind, tempfile::tempdir().unwrap()));
    }
    if let Some(program) = there(tools::ENVOY.fetched()) {
        let filter = tools::embed("envoy").unwrap().join("envoy-filter.wasm");
        let (behind, scratch) = (Upstream::start().await.unwrap(), tempfile::tempdir().unwrap());
        let listening =
            setup(&program, &filter, &document(), behind.address).listens(scratch.path()).await;
        let (running, listen) = listening.unwrap();
        gateways.push((envoy::ENVOY, running, listen, behind, scratch));
    }
    gateways
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}

/// What is answered to bytes, as far as anything is, by whoever then closes the connection.
async fn answered(to: SocketAddr, bytes: &[u8]) -> String {
    let stream = TcpStream::connect(to).await.unwrap();
    rest(stream, bytes, Duration::from_secs(10)).await
}

/// The same of somebody who hangs up in the middle.
async fn broken_off(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // Whoever does not want the rest has closed it.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    rest(stream, &[], Duration::from_secs(5)).await
}

async fn rest(mut stream: TcpStream, bytes: &[u8], patience: Duration) -> String {
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(patience, stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_traffic_brings_no_gateway_down_and_gets_nothing_past_it() {
    let post = |headers: &str, body: &str| {
        format!(
            "POST /assist/x HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\n{headers}\r\n{body}"
        )
        .into_bytes()
    };
    let body = format!("card {CARD}");
    let long = "a".repeat(200_000);
    let malformed: Vec<Vec<u8>> = vec![
        b"\0\0\0\0".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"POST /assist/x HTTP/9.9\r\n\r\n".to_vec(),
        format!("POST /assist/x HTTP/1.0\r\n\r\n{body}").into_bytes(),
        post("content-length: 5\r\ncontent-length: 24\r\n", &body),
        post(
            "content-length: 24\r\ntransfer-encoding: chunked\r\n",
            &format!("18\r\n{body}\r\n0\r\n\r\n"),
        ),
        post("content-length: -1\r\n", &body),
        post("content-length: 99999999999999999999\r\n", &body),
        post("transfer-encoding: chunked\r\n", &format!("zz\r\n{body}\r\n0\r\n\r\n")),
        post("transfer-encoding: chunked\r\n", &format!("ffffffffffffffff\r\n{body}\r\n0\r\n\r\n")),
        post("transfer-encoding: gzip, chunked\r\n", &format!("18\r\n{body}\r\n0\r\n\r\n")),
        post(&format!("x-long: {long}\r\n"), &body),
        post("x-nul: a\0b\r\n", &body),
        post("no colon\r\n", &body),
        format!(
            "POST /assist/%ZZ%00{} HTTP/1.1\r\nhost: x\r\ncontent-length: 24\r\n\r\n{body}",
            "%2e".repeat(500)
        )
        .into_bytes(),
        format!("POST /events HTTP/1.1\r\nhost: x\r\ncontent-length: 60\r\n\r\n{}", "[".repeat(60))
            .into_bytes(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
    ];
    // These begin well and break off: nobody behind is to take them for whole.
    let broken = [
        post("content-length: 900\r\n", &body),
        post("transfer-encoding: chunked\r\n", &format!("18\r\n{body}")),
        post("transfer-encoding: chunked\r\n", &format!("18\r\n{body}\r\n5\r\nab")),
    ];
    for (name, mut running, listen, behind, _scratch) in gateways().await {
        for bytes in &broken {
            let answer = broken_off(listen, bytes).await;
            assert!(!answer.contains(" 200 "), "{name}: {answer}");
            assert_eq!(behind.seen(), Vec::<String>::new(), "{name}");
        }
        for bytes in &malformed {
            let answer = broken_off(listen, bytes).await;
            assert!(!answer.contains(CARD), "{name} let it through: {answer}");
        }
        assert!(!running.ended(), "{name} is down:\n{}", running.told());
        let response = client()
            .post(format!("http://{listen}/assist/x"))
            .body(body.clone())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{name}");
        let seen = behind.seen();
        assert!(seen.last().unwrap().contains("card ****-****-****-1111"), "{name}: {seen:?}");
        for line in seen {
            assert!(!line.contains(CARD), "{name}: {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_long_goes_nowhere_and_one_that_is_not_read_streams_through() {
    let long = vec![b'a'; (1 << 20) + 1];
    let most = vec![b'a'; 1 << 20];
    for (name, _running, listen, behind, _scratch) in gateways().await {
        let send = |path: &str, body: &Vec<u8>| {
            client()
                .post(format!("http://{listen}{path}"))
                .header("content-type", "text/plain")
                .body(body.clone())
                .send()
        };
        assert_eq!(send("/assist/x", &long).await.unwrap().status(), 413, "{name}");
        assert_eq!(behind.seen().len(), 0, "{name}");
        assert_eq!(send("/assist/x", &most).await.unwrap().status(), 200, "{name}");
        let much = vec![b'b'; 5 << 20];
        assert_eq!(send("/other", &much).await.unwrap().status(), 200, "{name}");
        assert_eq!(
            behind.seen().last().map(|line| line.ends_with(&"b".repeat(5 << 20))),
            Some(true),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_at_the_same_time_are_not_mixed_up() {
    for (name, _running, listen, behind, _scratch) in gateways().await {
        let client = client();
        let mut sent = tokio::task::JoinSet::new();
        for i in 0..200 {
            let text =
                format!("message {i:03} from caller{i:03}@example.com {}", "x".repeat(i * 40));
            let request = client
                .post(format!("http://{listen}/assist/{i:03}"))
                .header("content-type", "text/plain");
            sent.spawn(async move { request.body(text).send().await.unwrap().status().as_u16() });
        }
        while let Some(status) = sent.join_next().await {
            assert_eq!(status.unwrap(), 200, "{name}");
        }
        let mut seen = behind.seen();
        seen.sort();
        assert_eq!(seen.len(), 200, "{name}");
        for (i, line) in seen.iter().enumerate() {
            let own = format!("message {i:03} from c***@example.com");
            assert!(
                line.contains(&format!("/assist/{i:03}")) && line.contains(&own),
                "{name}: {line}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_are_no_utf_8_and_requests_without_a_body_pass() {
    for (name, mut running, listen, behind, _scratch) in gateways().await {
        let latin = b"POST /assist/x HTTP/1.1\r\nhost: x\r\nx-case: caf\xe9\r\ncontent-type: text/plain\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
        for _ in 0..3 {
            let answer = answered(listen, latin).await;
            assert!(answer.contains(" 200 "), "{name}: {answer}");
        }
        for method in ["GET", "HEAD", "OPTIONS"] {
            let request =
                format!("{method} /assist/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            let answer = answered(listen, request.as_bytes()).await;
            assert!(answer.contains(" 200 "), "{name} {method}: {answer}");
            assert!(behind.seen().last().unwrap().starts_with(method), "{name}");
        }
        assert!(!running.ended(), "{name} is down:\n{}", running.told());
    }
}

/// Behind trailers no body says that it has ended: a filter that waits for that would let it go as it came.
#[tokio::test(flavor = "multi_thread")]
async fn trailers_take_nothing_past_the_filter() {
    let Some(program) = there(tools::ENVOY.fetched()) else { return };
    let filter = tools::embed("envoy").unwrap().join("envoy-filter.wasm");
    let scratch = tempfile::tempdir().unwrap();
    let (behind, reached) = speaks_http2().await;
    let document = document();
    let setup = envoy::Setup {
        speaks: envoy::Behind::Http2,
        ..setup(&program, &filter, &document, behind)
    };
    let (_running, listen) = setup.listens(scratch.path()).await.unwrap();
    let send = |path: &'static str, trailers: bool| http2(listen, path, trailers);
    // There: masked without them, refused with them; and a webhook that nobody signed.
    let (status, body) = send("/assist/x", false).await;
    assert_eq!((status, body.contains(CARD)), (200, false), "{body}");
    assert_eq!(send("/assist/x", true).await.0, 400);
    assert_eq!(send("/hooks", true).await.0, 400);
    // Back: the answer has trailers.
    let (status, body) = send("/assist/trailers", false).await;
    assert_eq!((status, body.contains(CARD)), (502, false), "{body}");
    let reached = reached.lock().unwrap().clone();
    assert_eq!(reached.len(), 2, "{reached:?}");
    assert!(reached.iter().all(|line| !line.contains(CARD)), "{reached:?}");
}

/// Somebody who answers with a card, behind trailers if the path says so; and what reached them.
async fn speaks_http2() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let reached = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let seen = Arc::clone(&seen);
                    tokio::spawn(async move {
                        let path = request.uri().path().to_owned();
                        let mut stream = request.into_body();
                        let mut body = Vec::new();
                        while let Some(Ok(data)) = stream.data().await {
                            let _ = stream.flow_control().release_capacity(data.len());
                            body.extend_from_slice(&data);
                        }
                        seen.lock()
                            .unwrap()
                            .push(format!("{path} {}", String::from_utf8_lossy(&body)));
                        let response =
                            axum::http::Response::builder().header("content-type", "text/plain");
                        let mut send =
                            respond.send_response(response.body(()).unwrap(), false).unwrap();
                        let trailers = path.ends_with("trailers");
                        send.send_data(format!("card {CARD}").into(), !trailers).unwrap();
                        if trailers {
                            let mut map = axum::http::HeaderMap::new();
                            map.insert("x-end", "yes".parse().unwrap());
                            let _ = send.send_trailers(map);
                        }
                    });
                }
            });
        }
    });
    (address, reached)
}

/// Sends a card in HTTP/2; gives the status and the body of the answer.
async fn http2(to: SocketAddr, path: &str, trailers: bool) -> (u16, String) {
    let stream = TcpStream::connect(to).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = axum::http::Request::post(format!("http://{to}{path}"))
        .header("content-type", "text/plain");
    let (response, mut send) = client.send_request(request.body(()).unwrap(), false).unwrap();
    send.send_data(format!("card {CARD}").into(), !trailers).unwrap();
    if trailers {
        let mut map = axum::http::HeaderMap::new();
        map.insert("x-end", "yes".parse().unwrap());
        send.send_trailers(map).unwrap();
    }
    let response = tokio::time::timeout(Duration::from_secs(10), response).await.unwrap().unwrap();
    let status = response.status().as_u16();
    let mut stream = response.into_body();
    let mut body = Vec::new();
    while let Some(Ok(data)) = stream.data().await {
        let _ = stream.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
    }
    (status, String::from_utf8_lossy(&body).into_owned())
}

// ---- what goes wrong around it ---------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_document_with_faults_stops_everything_and_is_told_in_the_log() {
    let document = json!({ "routes": [{ "path": "/hooks", "takes": "webhook", "secrets": ["env:NOT_THERE"] }] });
    if let Some(wasmtime) = there(tools::WASMTIME.fetched()) {
        let component = tools::embed("gateways").unwrap().join("gateway-proxy.wasm");
        for (environment, told) in [
            (Vec::new(), "the environment variable FIRN_GATEWAY is not set"),
            (
                vec![("FIRN_GATEWAY".to_owned(), document.to_string())],
                "there is no environment variable NOT_THERE",
            ),
            (
                vec![(
                    "FIRN_GATEWAY".to_owned(),
                    json!({ "routes": [{ "path": "/x", "takes": "any" }] }).to_string(),
                )],
                "there is no upstream",
            ),
        ] {
            let (running, listen) =
                serve::listens(&wasmtime, &component, &environment).await.unwrap();
            let response = client().get(format!("http://{listen}/other")).send().await.unwrap();
            assert_eq!(response.status(), 500);
            assert!(response.text().await.unwrap().contains("gateway-document"));
            running.tells(told).await.unwrap();
        }
    }
    if let Some(program) = there(tools::ENVOY.fetched()) {
        let filter = tools::embed("envoy").unwrap().join("envoy-filter.wasm");
        let scratch = tempfile::tempdir().unwrap();
        let nobody = process::free_port().unwrap();
        let mut document = document;
        document["routes"][0]["secrets"] = json!(["whsec_"]);
        let listening = setup(&program, &filter, &document, nobody).listens(scratch.path()).await;
        // Envoy does not start with a configuration that the filter refuses.
        let why = format!("{:#}", listening.err().unwrap());
        assert!(why.contains("routes[0].secrets[0]"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_behind_is_told_as_such() {
    let Some(wasmtime) = there(tools::WASMTIME.fetched()) else { return };
    let component = tools::embed("gateways").unwrap().join("gateway-proxy.wasm");
    let nobody = process::free_port().unwrap();
    let (running, listen) =
        serve::listens(&wasmtime, &component, &environment(nobody)).await.unwrap();
    for path in ["/other", "/assist/x"] {
        let response =
            client().post(format!("http://{listen}{path}")).body("hello").send().await.unwrap();
        assert_eq!(response.status(), 502, "{path}");
        let problem: Json = response.json().await.unwrap();
        assert_eq!(problem["title"], "Nobody answered behind the gateway");
    }
    running.tells("ConnectionRefused").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_traps_is_started_anew() {
    let Some(program) = there(tools::ENVOY.fetched()) else { return };
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let place = firn_builder::Place { root, target: tools::target().join("guest") };
    let built =
        firn_builder::modules(&place, firn_builder::Target::Wasip1, &["firn-trap"]).unwrap();
    let (behind, scratch) = (Upstream::start().await.unwrap(), tempfile::tempdir().unwrap());
    let filter = built[0].canonicalize().unwrap();
    let listening =
        setup(&program, &filter, &document(), behind.address).listens(scratch.path()).await;
    let (_running, listen) = listening.unwrap();
    let send = |trap: bool| {
        let mut request =
            client().post(format!("http://{listen}/assist/x")).body(format!("card {CARD}"));
        if trap {
            request = request.header("x-trap", "now");
        }
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(send(false).await, 200);
    for _ in 0..3 {
        assert_eq!(send(true).await, 503);
        let end = std::time::Instant::now() + Duration::from_secs(20);
        // Envoy waits a little before it starts it anew, and lets nothing through meanwhile.
        while send(false).await != 200 {
            assert!(std::time::Instant::now() < end, "it does not come back");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    for line in behind.seen() {
        assert!(line.contains("card ****-****-****-1111"), "{line}");
    }
}

// ---- what they ask of their hosts ------------------------------------------------------------------

fn imports(file: &str) -> BTreeSet<String> {
    let bytes = std::fs::read(tools::embed("gateways").unwrap().join(file)).unwrap();
    let decoded = wit_component::decode(&bytes).unwrap();
    let resolve = decoded.resolve();
    let worlds = resolve.worlds.iter().map(|(_, world)| world);
    worlds.flat_map(|world| world.imports.keys().map(|key| resolve.name_world_key(key))).collect()
}

#[test]
fn gateways_ask_for_http_the_environment_the_time_and_a_log() {
    let proxy = imports("gateway-proxy.wasm");
    let wanted = [
        "wasi:cli/environment",
        "wasi:cli/stderr",
        "wasi:clocks/monotonic-clock",
        "wasi:clocks/wall-clock",
        "wasi:http/outgoing-handler",
        "wasi:http/types",
        "wasi:io/error",
        "wasi:io/poll",
        "wasi:io/streams",
    ];
    for import in &proxy {
        let (name, version) = import.split_once('@').unwrap();
        assert!(wanted.contains(&name) && version.starts_with("0.2."), "{import}");
    }
    let wanted = [
        "wasi:cli/environment",
        "wasi:cli/stderr",
        "wasi:cli/types",
        "wasi:clocks/system-clock",
        "wasi:clocks/types",
        "wasi:http/handler",
        "wasi:http/types",
    ];
    for import in &imports("gateway-middleware.wasm") {
        let (name, version) = import.split_once('@').unwrap();
        assert!(wanted.contains(&name) && version.starts_with("0.3."), "{import}");
    }
}
