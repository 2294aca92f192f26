//! Reconcile runs: begun, scheduled, looked at, stopped.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use firn_model::{Operation, Run, RunMode, Schedule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::at::{Asks, At, Named, Page, answer, answer_one};
use super::{json, problem, span};

/// `{"mode": "dry-run"}` (the default) or `{"mode": "auto-heal"}`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reconcile {
    mode: Option<RunMode>,
}

pub(crate) async fn reconcile(at: At, headers: HeaderMap, raw: Body) -> Response {
    let Reconcile { mode } = match json(&headers, raw).await {
        Ok(given) => given,
        Err(response) => return response,
    };
    let mode = mode.unwrap_or(RunMode::DryRun);
    at.operate(|integration| Operation::Reconcile { integration, mode }).await
}

/// The body of `POST …/reconcile/schedule` (seed 004).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Timing {
    /// `1h`, `30m`, `1d 12h`.
    interval: String,
    /// Whether what drifted is mended.
    #[serde(default)]
    auto_heal: bool,
    /// Whether it runs at all.
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

/// Lets runs begin by themselves.
pub(crate) async fn schedule(at: At, headers: HeaderMap, raw: Body) -> Response {
    let Timing { interval, auto_heal, enabled } = match json(&headers, raw).await {
        Ok(given) => given,
        Err(response) => return response,
    };
    let Some(interval) = span(&interval).map(i64::unsigned_abs) else {
        let detail = format!("{interval:?} is no time: write 30m, 1h or 1d");
        return problem(422, "bad-interval", "Not an interval", detail);
    };
    let mode = if auto_heal { RunMode::AutoHeal } else { RunMode::DryRun };
    at.operate(|integration| Operation::Schedule { integration, interval, mode, enabled }).await
}

/// When runs begin by themselves.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Scheduled {
    /// Null if nobody set one.
    schedule: Option<Schedule>,
}

pub(crate) async fn scheduled(at: At) -> Response {
    let host = &at.shared.host;
    let found = host.row(at.tenant(), &["schedule", at.id().as_str()]);
    answer(found.map(|schedule| Scheduled { schedule }))
}

/// Ends a run.
pub(crate) async fn stop(at: At, Named(run): Named) -> Response {
    at.operate(|integration| Operation::StopRun { integration, run }).await
}

/// Lets a run mend that found more drift than it mends unasked.
pub(crate) async fn confirm(at: At, Named(run): Named) -> Response {
    at.operate(|integration| Operation::ConfirmRun { integration, run }).await
}

/// A page of runs.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Runs {
    runs: Vec<Run>,
    next: Option<String>,
}

pub(crate) async fn runs(at: At, Asks(page): Asks<Page>) -> Response {
    answer(at.page("run", "", &page).map(|(runs, next)| Runs { runs, next }))
}

pub(crate) async fn run(at: At, Named(id): Named) -> Response {
    answer_one(at.row::<Run>("run", &id), "run", &id)
}
