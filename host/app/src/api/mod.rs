//! The HTTP API under `/api/v1`. Errors are problem documents (RFC 9457). This file: what every handler
//! shares. Which routes there are and who may come: `routes.rs`.
#![allow(clippy::result_large_err)] // A refusal is a response; it is made once and sent.

pub(crate) mod apply;
mod at;
mod consent;
mod credentials;
mod dead;
mod fields;
pub(crate) mod findings;
mod host_audit;
mod inbound;
mod instance;
mod integrations;
pub(crate) mod knowledge;
mod metrics;
mod once;
mod openapi;
pub(crate) mod records;
mod route;
mod routes;
pub(crate) mod rules;
mod runs;
mod shapes;
pub(crate) mod status;
mod tenants;
mod tokens;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use firn_model::Problem;
use tokio::sync::Semaphore;

pub(crate) use at::{Asks, At, Named, not_found};
pub(crate) use credentials::Given;
pub use route::{Method, Who};

use crate::Host;
use crate::access::Gate;
use crate::host::Asked;

/// The largest body that is taken: 1 MiB.
const BODY: usize = 1 << 20;
/// How long a body that is too long may take to pass by.
const DISCARD_TIME: Duration = Duration::from_secs(2);
/// How long a client may take for its body.
const BODY_TIME: Duration = Duration::from_secs(20);

/// How many look through all rows of a kind at once, for pages that show them.
const SCANS: usize = 2;

/// What handlers share.
#[derive(Clone)]
pub struct Shared {
    pub(crate) host: Arc<Host>,
    pub(crate) gate: Gate,
    /// Whether `exec:` secrets may be given: whoever may set up integrations then runs commands here.
    exec_secrets: bool,
    underway: Arc<once::Underway>,
    stood: Arc<status::Stood>,
    /// Pages of the console that are told what happens.
    pub(crate) watchers: Arc<crate::console::Watchers>,
    /// Held by whoever looks through all rows of a kind.
    pub(crate) scans: Arc<Semaphore>,
}

impl Shared {
    /// What the handlers of a host share.
    #[must_use]
    pub fn new(host: Arc<Host>, gate: Gate, exec_secrets: bool) -> Shared {
        Shared {
            host,
            gate,
            exec_secrets,
            underway: Arc::default(),
            stood: Arc::default(),
            watchers: Arc::default(),
            scans: Arc::new(Semaphore::new(SCANS)),
        }
    }
}

/// All routes.
pub fn router(shared: Shared) -> Router {
    route::router(routes::table(), &shared)
        .merge(crate::console::router(&shared))
        .method_not_allowed_fallback(not_this_way)
        .fallback(nothing_here)
        .layer(axum::middleware::from_fn_with_state(shared.clone(), crate::open::guarded))
        .layer(axum::middleware::from_fn_with_state(shared.clone(), metrics::counted))
        .with_state(shared)
}

/// Every route there is: what is done, its path, and who may.
#[must_use]
pub fn all_routes() -> Vec<(Method, &'static str, Who)> {
    routes::table().iter().map(|route| (route.method, route.path, route.who)).collect()
}

/// The OpenAPI document.
#[must_use]
pub fn openapi() -> serde_json::Value {
    openapi::document(&routes::table())
}

async fn nothing_here(headers: HeaderMap) -> Response {
    let refused = problem(404, "not-found", "Not found", "there is nothing at this address");
    for_whom(&headers, refused).await
}

async fn not_this_way(headers: HeaderMap) -> Response {
    let detail = "the address is right, what is to be done there is not; see the header Allow";
    for_whom(&headers, problem(405, "not-this-way", "Not this way", detail)).await
}

/// A problem as a page, if it is a browser that asks.
async fn for_whom(headers: &HeaderMap, problem: Response) -> Response {
    let accepts = headers.get("accept").and_then(|accepts| accepts.to_str().ok());
    if accepts.is_some_and(|accepts| accepts.contains("text/html")) {
        return crate::console::nothing_here(problem).await;
    }
    problem
}

/// A problem document as an answer.
pub(crate) fn problem(status: u16, kind: &str, title: &str, detail: impl Into<String>) -> Response {
    let body = serde_json::to_value(Problem::new(status, kind, title, detail)).unwrap_or_default();
    respond(Asked { status, body, location: None })
}

/// An answer of the host as an HTTP answer.
pub(crate) fn respond(asked: Asked) -> Response {
    let status = StatusCode::from_u16(asked.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if asked.status >= 400 { "application/problem+json" } else { "application/json" };
    let mut response = (status, asked.body.to_string()).into_response();
    response.headers_mut().insert("content-type", HeaderValue::from_static(kind));
    if let Some(location) = asked.location.and_then(|l| HeaderValue::from_str(&l).ok()) {
        response.headers_mut().insert("location", location);
    }
    response
}

pub(crate) fn ok(body: impl serde::Serialize) -> Response {
    respond(Asked {
        status: 200,
        body: serde_json::to_value(body).unwrap_or_default(),
        location: None,
    })
}

/// A failure of our own: the store, most likely.
pub(crate) fn failed(why: &anyhow::Error) -> Response {
    tracing::error!(why = %format!("{why:#}"), "a request failed");
    problem(500, "failed", "Something failed on our side", format!("{why:#}"))
}

/// Reads a body: not longer than 1 MiB (by its announced length, before anything is read), in time,
/// and valid UTF-8.
pub(crate) async fn body(headers: &HeaderMap, body: axum::body::Body) -> Result<String, Response> {
    let announced =
        headers.get("content-length").and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > BODY) {
        discard(body).await;
        return Err(too_long());
    }
    let bytes = read(body).await?;
    String::from_utf8(bytes).map_err(|_| {
        problem(400, "malformed-json", "The body is not UTF-8", "JSON is sent as UTF-8")
    })
}

fn too_long() -> Response {
    problem(413, "body-too-long", "The body is too long", "a body may have 1 MiB at most")
}

/// Reads a body to its end, but not beyond 1 MiB, and not for longer than it may take.
async fn read(mut body: axum::body::Body) -> Result<Vec<u8>, Response> {
    let mut bytes = Vec::new();
    let whole = async {
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let Ok(frame) = frame else {
                let detail = "it broke off, or its chunks are none";
                return Err(problem(400, "broken-body", "The body cannot be read", detail));
            };
            let data = frame.data_ref().map(AsRef::as_ref).unwrap_or_default();
            if bytes.len() + data.len() > BODY {
                return Err(too_long());
            }
            bytes.extend_from_slice(data);
        }
        Ok(())
    };
    match tokio::time::timeout(BODY_TIME, whole).await {
        Ok(read) => read.map(|()| bytes),
        Err(_) => {
            Err(problem(408, "too-slow", "The body did not arrive in time", "send it within 20 s"))
        }
    }
}

/// How long something lasts that is written so: `30m`, `12h`, `90d`. In milliseconds.
fn span(text: &str) -> Option<i64> {
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let span = text.parse::<jiff::Span>().ok()?.to_duration(days).ok()?;
    i64::try_from(span.as_millis()).ok().filter(|millis| *millis > 0)
}

/// Whether people can use a name: not empty, not too long, nothing that does not show.
fn plain(name: &str, most: usize) -> bool {
    !name.trim().is_empty() && name.len() <= most && !name.chars().any(char::is_control)
}

/// Lets a body that is too long pass by for a while: whoever is cut off in the middle of sending
/// would see a broken connection instead of the answer.
async fn discard(mut body: axum::body::Body) {
    let mut passed = 0;
    let pass = async {
        while passed < 4 * BODY {
            let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            let Some(Ok(frame)) = frame else { break };
            passed += frame.data_ref().map_or(0, |data| data.len());
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIME, pass).await;
}

/// Reads a JSON body of the API itself.
pub(crate) async fn json<T: serde::de::DeserializeOwned>(
    headers: &HeaderMap,
    raw: axum::body::Body,
) -> Result<T, Response> {
    let text = body(headers, raw).await?;
    let text = if text.trim().is_empty() { "{}" } else { &text };
    serde_json::from_str(text)
        .map_err(|e| problem(400, "malformed-json", "The body cannot be read", e.to_string()))
}

/// Which rows are meant by a request that is about several. Nobody means all of them by leaving everything out.
pub(crate) async fn meant<T: serde::de::DeserializeOwned + Default + PartialEq>(
    headers: &HeaderMap,
    body: axum::body::Body,
    words: &str,
) -> Result<T, Response> {
    let mut given: serde_json::Map<String, serde_json::Value> = json(headers, body).await?;
    let all = given.remove("all") == Some(serde_json::Value::Bool(true));
    let filter: T = serde_json::from_value(given.into()).map_err(|why| {
        problem(422, "unknown-filter", "The filter cannot be used", why.to_string())
    })?;
    if filter == T::default() && !all {
        let detail = format!("say which: {words}, or \"all\": true");
        return Err(problem(422, "nothing-meant", "Nothing is meant", detail));
    }
    Ok(filter)
}
