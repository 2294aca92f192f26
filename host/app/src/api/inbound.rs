//! What comes in from ServiceNow and the platform: read, find the integration, hand to the engine.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use firn_model::InboundKind;

use super::{Shared, body, respond};

/// How long an escalation waits for its ticket unless `Prefer: wait` says otherwise.
const WAIT: u64 = 2;
/// At most so many seconds.
const LONGEST_WAIT: u64 = 30;

pub(crate) async fn webhook(
    state: State<Shared>,
    path: Path<String>,
    headers: HeaderMap,
    raw: Body,
) -> Response {
    take(state, path, headers, raw, InboundKind::Webhook).await
}

pub(crate) async fn event(
    state: State<Shared>,
    path: Path<String>,
    headers: HeaderMap,
    raw: Body,
) -> Response {
    take(state, path, headers, raw, InboundKind::PlatformEvent).await
}

pub(crate) async fn escalation(
    state: State<Shared>,
    path: Path<String>,
    headers: HeaderMap,
    raw: Body,
) -> Response {
    take(state, path, headers, raw, InboundKind::Escalation).await
}

async fn take(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
    headers: HeaderMap,
    raw: Body,
    kind: InboundKind,
) -> Response {
    let known = match shared.known(&reference) {
        Ok(known) => known,
        Err(response) => return response,
    };
    let text = match body(&headers, raw).await {
        Ok(text) => text,
        Err(response) => return response,
    };
    let wait = wait(&headers);
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
    respond(shared.host.inbound(&known, kind, wanted, text, wait).await)
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
