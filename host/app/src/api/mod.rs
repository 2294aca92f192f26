//! The HTTP API under `/api/v1`. Errors are problem documents (RFC 9457). This file: the router,
//! who may come in, and what every handler shares.
#![allow(clippy::result_large_err)] // A refusal is a response; it is made once and sent.

mod apply;
mod dead;
mod inbound;
mod instance;
mod integrations;
mod records;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use firn_model::Problem;
use subtle::ConstantTimeEq;

pub(crate) use integrations::Given;

use crate::Host;
use crate::host::Asked;
use crate::vault::Known;

/// The largest body that is taken: 1 MiB.
const BODY: usize = 1 << 20;
/// How long a body that is too long may take to pass by.
const DISCARD_TIME: Duration = Duration::from_secs(2);
/// How long a client may take for its body.
const BODY_TIME: Duration = Duration::from_secs(20);

/// What handlers share.
#[derive(Clone)]
pub struct Shared {
    /// The host.
    pub host: Arc<Host>,
    /// The bearer token; `None` leaves the API open (the sandbox on loopback).
    pub token: Option<Arc<str>>,
    /// Whether `exec:` secrets may be given: whoever has the token then runs commands here.
    pub exec_secrets: bool,
}

/// All routes.
pub fn router(shared: Shared) -> Router {
    let open = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(|| async { "ok\n" }))
        .route("/readyz/{integration}", get(instance::ready))
        // Its `state` is its ticket.
        .route("/oauth/callback", get(integrations::consented))
        // Webhooks are signed: the signature is their sign-in.
        .route("/api/v1/webhooks/{integration}", post(inbound::webhook));
    let guarded = Router::new()
        .route("/api/v1/integrations", get(integrations::list).post(integrations::create))
        .route("/api/v1/apply", post(apply::apply))
        .route("/api/v1/integrations/{integration}/versions", get(apply::versions))
        .route(
            "/api/v1/integrations/{integration}/versions/{version}/restore",
            post(apply::rollback),
        )
        .route(
            "/api/v1/integrations/{integration}",
            get(integrations::get).patch(integrations::change).delete(integrations::delete),
        )
        .route("/api/v1/integrations/{integration}/escalations", post(inbound::escalation))
        .route("/api/v1/integrations/{integration}/events", post(inbound::event))
        .route("/api/v1/integrations/{integration}/connect", post(integrations::connect))
        .route(
            "/api/v1/integrations/{integration}/provision",
            get(instance::plan).post(instance::provision),
        )
        .route("/api/v1/integrations/{integration}/provision/export", get(instance::export))
        .route("/api/v1/integrations/{integration}/test", post(instance::test))
        .route("/api/v1/integrations/{integration}/unprovision", post(instance::unprovision))
        .route("/api/v1/integrations/{integration}/sync-status", get(records::status))
        .route("/api/v1/integrations/{integration}/poll", post(records::poll))
        .route(
            "/api/v1/integrations/{integration}/links",
            get(records::links).post(records::attach),
        )
        .route("/api/v1/integrations/{integration}/links/{link}/unlink", post(records::unlink))
        .route("/api/v1/integrations/{integration}/links/{link}/explain", get(records::explain))
        .route("/api/v1/integrations/{integration}/links/{link}", get(records::link))
        .route("/api/v1/integrations/{integration}/links/{link}/resync", post(records::resync))
        .route("/api/v1/integrations/{integration}/conflicts", get(records::conflicts))
        .route("/api/v1/integrations/{integration}/conflicts/{conflict}", get(records::conflict))
        .route(
            "/api/v1/integrations/{integration}/conflicts/{conflict}/resolve",
            post(records::resolve),
        )
        .route("/api/v1/integrations/{integration}/dlq", get(dead::list))
        .route("/api/v1/integrations/{integration}/dlq/retry", post(dead::retry_all))
        .route("/api/v1/integrations/{integration}/dlq/discard", post(dead::discard_all))
        .route("/api/v1/integrations/{integration}/dlq/{entry}", get(dead::show))
        .route("/api/v1/integrations/{integration}/dlq/{entry}/retry", post(dead::retry))
        .route("/api/v1/integrations/{integration}/dlq/{entry}/discard", post(dead::discard))
        .route("/api/v1/integrations/{integration}/findings", get(records::findings))
        .route("/api/v1/integrations/{integration}/quarantine", get(records::quarantine))
        .route("/api/v1/integrations/{integration}/audit", get(records::audit))
        .route(
            "/api/v1/integrations/{integration}/reconcile",
            get(records::runs).post(records::reconcile),
        )
        .route(
            "/api/v1/integrations/{integration}/reconcile/schedule",
            get(records::scheduled).post(records::schedule),
        )
        .route("/api/v1/integrations/{integration}/reconcile/{run}", get(records::run))
        .route("/api/v1/integrations/{integration}/reconcile/{run}/stop", post(records::stop_run))
        .route(
            "/api/v1/integrations/{integration}/reconcile/{run}/confirm",
            post(records::confirm_run),
        )
        .layer(axum::middleware::from_fn_with_state(shared.clone(), signed_in));
    open.merge(guarded).fallback(nothing_here).with_state(shared)
}

async fn nothing_here() -> Response {
    problem(404, "not-found", "Not found", "there is nothing at this address")
}

async fn signed_in(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    if let Some(token) = &shared.token {
        let mut given = request.headers().get_all("authorization").iter();
        let value = match (given.next(), given.next()) {
            (Some(value), None) => value
                .as_bytes()
                .split_at_checked(7)
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
                .map(|(_, token)| token),
            _ => None,
        };
        let right = value.is_some_and(|given| bool::from(given.ct_eq(token.as_bytes())));
        if !right {
            let mut response = problem(
                401,
                "not-signed-in",
                "Not signed in",
                "send the token as: Authorization: Bearer ...",
            );
            response.headers_mut().insert("www-authenticate", HeaderValue::from_static("Bearer"));
            return response;
        }
    }
    next.run(request).await
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
    tracing::error!("a request failed: {why:#}");
    problem(500, "failed", "Something failed on our side", format!("{why:#}"))
}

impl Shared {
    /// The integration of a path: by id, slug or exact name.
    pub(crate) fn known(&self, reference: &str) -> Result<Arc<Known>, Response> {
        self.host.vault().find(reference).ok_or_else(|| {
            let text: String = reference.chars().take(64).collect();
            problem(
                404,
                "unknown-integration",
                "Unknown integration",
                format!("there is no integration {text}; check the address"),
            )
        })
    }
}

/// The integration that a path names.
pub(crate) struct One(pub(crate) Arc<Known>);

impl FromRequestParts<Shared> for One {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<One, Response> {
        let path = Path::<BTreeMap<String, String>>::from_request_parts(parts, shared).await;
        let path = path.map_err(IntoResponse::into_response)?;
        let reference = path.get("integration").map(String::as_str).unwrap_or_default();
        shared.known(reference).map(One)
    }
}

/// Reads a body: not longer than 1 MiB (by its announced length, before anything is read), in time,
/// and valid UTF-8.
pub(crate) async fn body(headers: &HeaderMap, body: axum::body::Body) -> Result<String, Response> {
    let announced =
        headers.get("content-length").and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let too_long =
        || problem(413, "body-too-long", "The body is too long", "a body may have 1 MiB at most");
    if announced.is_some_and(|length| length > BODY) {
        discard(body).await;
        return Err(too_long());
    }
    let bytes = match tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, BODY)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Err(too_long()),
        Err(_) => {
            return Err(problem(
                408,
                "too-slow",
                "The body did not arrive in time",
                "send it within 20 s",
            ));
        }
    };
    String::from_utf8(bytes.to_vec()).map_err(|_| {
        problem(400, "malformed-json", "The body is not UTF-8", "JSON is sent as UTF-8")
    })
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
