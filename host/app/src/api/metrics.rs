//! Metrics: told to whoever may see all tenants, and what is served is counted.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use firn_model::Millis;
use firn_remote::SignInState;

use super::{Shared, problem};
use crate::access::Caller;
use crate::telemetry::{CONTENT, Standing};

/// `GET /metrics`: everything, in the text that Prometheus reads.
pub(crate) async fn metrics(State(shared): State<Shared>, caller: Caller) -> Response {
    if caller.tenant.is_some() {
        let detail = "metrics are of all tenants; this needs a token of all of them";
        return problem(403, "not-allowed", "Not allowed", detail);
    }
    let host = &shared.host;
    let (mut all, mut unknown) = (Vec::new(), 0);
    for known in host.vault().all() {
        // What is counted is told all the same.
        let Ok((status, _)) = shared.standing(&known).await else {
            unknown += 1;
            continue;
        };
        let granted = known.target().granted.filter(|granted| granted.refresh.is_some());
        let standing = Standing {
            status,
            signed_in: matches!(host.sign_in(&known), SignInState::Good),
            ends: granted.map(|granted| Millis(granted.refresh_ends)),
            now: crate::host::now(),
        };
        all.push((known.integration.clone(), standing));
    }
    let text = host.metrics().text(&all, unknown, host.process());
    ([("content-type", CONTENT)], text).into_response()
}

/// Counts a request, by its route and how it was answered.
pub(super) async fn counted(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let (route, status) = (route.as_ref().map(MatchedPath::as_str), response.status().as_u16());
    let took = began.elapsed();
    shared.host.metrics().served(method.as_str(), route, status, took);
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let route = route.unwrap_or("none");
    tracing::debug!(target: "firn::http", method = method.as_str(), route, status, took_ms, "served");
    response
}
