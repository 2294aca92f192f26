//! What comes in from ServiceNow and the platform: read, find the integration, hand to the engine.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use firn_model::{InboundKind, LikeCase};

use super::at::At;
use super::{Shared, body, problem, respond};
use crate::vault::Known;

/// How long an escalation waits for its ticket unless `Prefer: wait` says otherwise.
const WAIT: u64 = 2;
/// How long like cases are looked for.
const LOOKING: Duration = Duration::from_millis(500);
/// At most so many seconds.
const LONGEST_WAIT: u64 = 30;

pub(crate) async fn webhook(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
    headers: HeaderMap,
    raw: Body,
) -> Response {
    let known = shared.host.vault().find(&reference, |_| true);
    let response = match &known {
        Some(known) => take(&shared, known, &headers, raw, InboundKind::Webhook).await,
        // It costs what a body costs.
        None => match body(&headers, raw).await {
            Ok(_) => not_signed(),
            Err(response) => response,
        },
    };
    if response.status() != StatusCode::UNAUTHORIZED {
        return response;
    }
    // Whoever has no right signature is told the same, whatever there is; why, is for the log.
    if let Some(known) = known {
        let said = axum::body::to_bytes(response.into_body(), 4_096).await.unwrap_or_default();
        let said: serde_json::Value = serde_json::from_slice(&said).unwrap_or_default();
        let why = said["detail"].as_str().unwrap_or_default();
        tracing::warn!(integration = %known.integration.id, %why, "a webhook was refused");
    }
    not_signed()
}

fn not_signed() -> Response {
    let detail = "check address, secret and both clocks; what exactly is wrong is in the log";
    problem(401, "bad-signature", "The webhook is not signed as agreed", detail)
}

pub(crate) async fn event(at: At, headers: HeaderMap, raw: Body) -> Response {
    take(&at.shared, &at.known, &headers, raw, InboundKind::PlatformEvent).await
}

pub(crate) async fn escalation(at: At, headers: HeaderMap, raw: Body) -> Response {
    take(&at.shared, &at.known, &headers, raw, InboundKind::Escalation).await
}

async fn take(
    shared: &Shared,
    known: &Arc<Known>,
    headers: &HeaderMap,
    raw: Body,
    kind: InboundKind,
) -> Response {
    let text = match body(headers, raw).await {
        Ok(text) => text,
        Err(response) => return response,
    };
    // Whoever sends slowly has none.
    let places = shared.host.places(&known.integration.id);
    let Ok(_place) = places.all.try_acquire_owned() else {
        let detail = "too many requests for this integration at once; send it again in a moment";
        let mut response = problem(503, "too-busy", "Too busy", detail);
        response.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
        return response;
    };
    let wait = wait(headers);
    // Only what the engine looks at crosses the border.
    let wanted = headers
        .iter()
        .filter(|(name, _)| {
            name.as_str().starts_with("webhook-") || name.as_str() == "x-servicenow-signature"
        })
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let like =
        if kind == InboundKind::Escalation { like(shared, known, &text).await } else { Vec::new() };
    respond(shared.host.inbound(known, kind, wanted, text, wait, like).await)
}

/// Cases like what is escalated that were solved before.
async fn like(shared: &Shared, known: &Arc<Known>, text: &str) -> Vec<LikeCase> {
    if !known.integration.settings.learning.enabled {
        return Vec::new();
    }
    let (host, known, text) = (Arc::clone(&shared.host), Arc::clone(known), text.to_owned());
    let found = tokio::task::spawn_blocking(move || host.like_cases(&known, &text));
    // Nobody waits long for a ticket because of what is only shown with it.
    match tokio::time::timeout(LOOKING, found).await {
        Ok(found) => found.unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

/// `Prefer: wait=10` (RFC 7240).
fn wait(headers: &HeaderMap) -> Duration {
    let preferred = headers
        .get_all("prefer")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split([',', ';']))
        .find_map(|v| v.trim().strip_prefix("wait=")?.parse::<u64>().ok());
    Duration::from_secs(preferred.unwrap_or(WAIT).min(LONGEST_WAIT))
}
