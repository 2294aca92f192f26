//! What the process tells of itself: metrics, a log for programs, and one change as one trace.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value as Json, json};

use crate::common::desk::Desk;
use crate::common::{TOKEN, settle};

/// A collector: keeps the spans that it is sent.
pub(crate) fn collector(spans: Arc<Mutex<Vec<Span>>>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let spans = Arc::clone(&spans);
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                let mut buffer = [0; 8192];
                loop {
                    let n = stream.read(&mut buffer).unwrap_or(0);
                    if n == 0 {
                        return;
                    }
                    seen.extend_from_slice(&buffer[..n]);
                    let Some(at) = seen.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
                    let head = String::from_utf8_lossy(&seen[..at]).to_lowercase();
                    let length: usize = head
                        .lines()
                        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
                        .unwrap();
                    if seen.len() < at + 4 + length {
                        continue;
                    }
                    assert!(head.starts_with("post /v1/traces"), "{head}");
                    let body = &seen[at + 4..at + 4 + length];
                    let sent = ExportTraceServiceRequest::decode(body).unwrap();
                    let sent = sent.resource_spans.into_iter().flat_map(|r| r.scope_spans);
                    spans.lock().unwrap().extend(sent.flat_map(|scope| scope.spans));
                    seen.drain(..at + 4 + length);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                }
            });
        }
    });
    url
}

/// A value of a metric, by its name and some of its labels.
pub(crate) fn metric(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    text.lines().find_map(|line| {
        let (of, value) = line.rsplit_once(' ')?;
        let (found, given) = of.split_once('{').unwrap_or((of, ""));
        (found == name && labels.iter().all(|label| given.contains(label)))
            .then(|| value.parse().unwrap())
    })
}

#[test]
fn a_change_is_counted_logged_and_traced_from_its_webhook_to_its_write_and_back() {
    let spans = Arc::new(Mutex::new(Vec::new()));
    let endpoint = collector(Arc::clone(&spans));
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "200".to_owned()),
        ("FIRN_LOG_FORMAT", "json".to_owned()),
    ];
    let desk = Desk::new(&json!({}), &environment);
    desk.incident("inc-1", "Checkout is slow");
    // Or the edit is in the ticket from the beginning, and there is nothing to be written.
    desk.at_rest();
    desk.edit("inc-1", json!({ "title": "Checkout is down" }));
    settle("not written", || desk.ticket("inc-1", "short_description") == "Checkout is down");
    desk.at_rest();

    // Of the traces one has it all: it came in, it was looked at, the ticket was read and written, and
    // the write came back.
    let whole = || {
        let spans = spans.lock().unwrap();
        let mut traces: BTreeMap<Vec<u8>, Vec<Span>> = BTreeMap::new();
        for span in spans.iter() {
            traces.entry(span.trace_id.clone()).or_default().push(span.clone());
        }
        traces.into_values().find(|spans| {
            let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
            ["change", "take in", "PATCH servicenow", "heard back"]
                .iter()
                .all(|n| names.contains(n))
        })
    };
    settle("no whole trace", || whole().is_some());
    let trace = whole().unwrap();
    let root = trace.iter().find(|span| span.name == "change").unwrap();
    assert!(root.parent_span_id.is_empty());
    for span in trace.iter().filter(|span| span.name != "change") {
        assert_eq!(span.parent_span_id, root.span_id, "{}", span.name);
        assert!(span.start_time_unix_nano >= root.start_time_unix_nano, "{}", span.name);
    }
    let back = trace.iter().find(|span| span.name == "heard back").unwrap();
    assert!(back.end_time_unix_nano >= root.end_time_unix_nano);
    let said = format!("{trace:?}");
    assert!(said.contains("desk") || said.contains("int-"), "{said}");
    assert!(!said.contains("Checkout"), "{said}");

    let told = desk.api.request("GET", "/metrics").send().unwrap();
    let kind = told.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = told.text().unwrap();
    let of = |name: &str, labels: &[&str]| {
        let mut all = vec![r#"integration="desk""#, r#"tenant="acme""#];
        all.extend(labels);
        metric(&text, name, &all).unwrap_or_default()
    };
    assert!(
        of("firn_deliveries_total", &[r#"kind="event""#, r#"outcome="taken""#]) >= 2.0,
        "{text}"
    );
    assert!(of("firn_deliveries_total", &[r#"kind="webhook""#]) >= 2.0, "{text}");
    assert_eq!(of("firn_writes_total", &[r#"side="servicenow""#]), 2.0, "{text}");
    assert!(of("firn_requests_total", &[r#"outcome="200""#]) >= 2.0, "{text}");
    assert_eq!(
        (of("firn_links", &[]), of("firn_backlog", &[]), of("firn_enabled", &[])),
        (1.0, 0.0, 1.0)
    );
    assert!(of("firn_settle_seconds_count", &[]) >= 2.0, "{text}");
    assert!(metric(&text, "firn_store_bytes", &[]).unwrap() > 10_000.0);
    assert!(
        metric(&text, "firn_http_requests_total", &[r#"route="/api/v1/webhooks/{integration}""#])
            .is_some()
    );
    assert!(text.trim_end().ends_with("# EOF"));
    for said in ["Checkout", "inc-1", TOKEN] {
        assert!(!text.contains(said), "{said}: {text}");
    }
    // What its alerts and its dashboard name is there.
    let documented: Vec<&str> = include_str!("../../../../docs/operations.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `firn_")?.split('`').next())
        .collect();
    for line in text.lines() {
        let Some(of) = line.strip_prefix("# TYPE firn_") else { continue };
        let name = of.split_whitespace().next().unwrap();
        assert!(documented.contains(&name), "docs/operations.md does not tell of {name}");
    }
    assert!(documented.len() > 18, "{documented:?}");
    for (file, rules) in [
        ("alerts.yaml", include_str!("../../../../deploy/prometheus/alerts.yaml")),
        ("dashboard.json", include_str!("../../../../deploy/grafana/dashboard.json")),
    ] {
        for word in rules.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            let Some(word) = word.strip_prefix("firn_") else { continue };
            let bare = ["_total", "_bucket", "_count", "_sum", "_info"]
                .iter()
                .find_map(|end| word.strip_suffix(end))
                .unwrap_or(word);
            assert!(documented.contains(&bare) || documented.contains(&word), "{file}: {word}");
        }
    }
    let dashboard: Json =
        serde_json::from_str(include_str!("../../../../deploy/grafana/dashboard.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 8);

    // Every line of the log is one for programs; nothing of the record is in it.
    let log = std::fs::read_to_string(desk.place.path().join("log")).unwrap();
    let mut levels = 0;
    for line in log.lines().filter(|line| line.starts_with('{')) {
        let line: Json = serde_json::from_str(line).unwrap();
        assert!(
            line["time"].is_string() && line["level"].is_string() && line["message"].is_string()
        );
        levels += 1;
    }
    assert!(levels > 20 && !log.contains("Checkout"), "{levels}");
    assert!(log.lines().filter(|line| !line.starts_with('{')).count() < 5, "{log}");
}
