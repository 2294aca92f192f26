//! What is done at an integration's instance: provisioned, looked at, tested.

use std::sync::Arc;

use anyhow::Context;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use firn_model::IntegrationId;
use firn_remote::{ExportFormat, Step};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::at::{Asks, At};
use super::{Shared, failed, json, ok, problem};

/// `GET …/provision`: what provisioning would do. Nothing is written on the instance.
pub(crate) async fn plan(at: At) -> Response {
    match at.shared.host.provision_plan(&at.known).await {
        Ok((artifacts, strangers)) => {
            let in_step = artifacts.iter().all(|artifact| artifact.step == Step::Leave);
            ok(json!({ "in_step": in_step, "artifacts": artifacts, "strangers": strangers }))
        }
        Err(why) => {
            let title = "The instance could not be looked at";
            problem(502, "not-looked-at", title, format!("{why:#}"))
        }
    }
}

/// Does work that must not break off when whoever asked for it goes away.
pub(super) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::spawn(work).await.context("the work broke off")?
}

/// How work at an instance ended, for the audit.
pub(super) fn outcome<T>(done: &anyhow::Result<Vec<T>>) -> String {
    match done {
        Ok(artifacts) => format!("{} artifacts", artifacts.len()),
        Err(why) => format!("failed: {why:#}"),
    }
}

/// `POST …/provision`: installs what is missing, corrects what differs.
pub(crate) async fn provision(at: At) -> Response {
    let (host, known) = (Arc::clone(&at.shared.host), Arc::clone(&at.known));
    let done = to_the_end(async move { host.provision(&known).await }).await;
    at.note("provisioned", &outcome(&done));
    match done {
        Ok(artifacts) => ok(json!({ "artifacts": artifacts })),
        Err(why) => {
            let title = "The instance could not be provisioned";
            problem(502, "not-provisioned", title, format!("{why:#}"))
        }
    }
}

/// `POST …/test`: the doctor's report.
pub(crate) async fn test(at: At) -> Response {
    match at.shared.host.examine(&at.known).await {
        Ok(examined) => ok(&*examined),
        Err(why) => failed(&why),
    }
}

/// `GET /readyz`: whether the store can be read and written; without it nothing is taken.
pub(crate) async fn able(State(shared): State<Shared>) -> Response {
    if shared.host.takes_nothing() {
        return problem(503, "not-ready", "Not ready", "the store cannot be written; see the log");
    }
    let store = Arc::clone(shared.host.store());
    match tokio::task::spawn_blocking(move || store.next_due()).await {
        Ok(Ok(_)) => "ok\n".into_response(),
        // Whoever asks needs no token: the log has the reason.
        _ => problem(503, "not-ready", "Not ready", "the store cannot be read; see the log"),
    }
}

/// `GET /readyz/{integration}`: whether it can work, as far as is known. Says no more than that:
/// whoever asks needs no token.
pub(crate) async fn ready(State(shared): State<Shared>, Path(reference): Path<String>) -> Response {
    match shared.host.ready(&reference) {
        Some(Ok(())) => ok(json!({ "ready": true })),
        Some(Err(what)) => {
            let title = "The integration is not ready";
            let detail = format!("{what}; see: firn integration test");
            problem(503, "not-ready", title, detail)
        }
        None => problem(404, "unknown-integration", "Unknown integration", "check the address"),
    }
}

/// Query of `GET …/provision/export`.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Export {
    /// `update-set` or `instructions`.
    format: String,
}

/// `GET …/provision/export?format=update-set|instructions`: the artifacts written down. The webhook
/// key is in it.
pub(crate) async fn export(at: At, Asks(Export { format }): Asks<Export>) -> Response {
    let (format, kind) = match format.as_str() {
        "update-set" => (ExportFormat::UpdateSet, "application/xml; charset=utf-8"),
        "instructions" => (ExportFormat::Instructions, "text/markdown; charset=utf-8"),
        _ => {
            let detail = "format is update-set or instructions";
            return problem(422, "unknown-format", "Unknown format", detail);
        }
    };
    at.note("exported", "what would be installed, with the webhook key");
    match at.shared.host.provision_export(&at.known, format) {
        Ok(text) => ([("content-type", kind), ("cache-control", "no-store")], text).into_response(),
        Err(why) => problem(422, "not-exported", "It could not be written", format!("{why:#}")),
    }
}

/// The body of `POST …/unprovision`; it may be empty.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unprovision {
    /// The id of an integration that nobody here knows any more: what it left is removed instead.
    orphan: Option<IntegrationId>,
}

/// `POST …/unprovision`: removes all artifacts of the integration, and no others.
pub(crate) async fn unprovision(at: At, headers: HeaderMap, raw: Body) -> Response {
    let Unprovision { orphan } = match json(&headers, raw).await {
        Ok(given) => given,
        Err(response) => return response,
    };
    let (host, known) = (Arc::clone(&at.shared.host), Arc::clone(&at.known));
    let done = to_the_end(async move {
        host.unprovision(&known, orphan.as_ref().map(IntegrationId::as_str)).await
    })
    .await;
    at.note("unprovisioned", &outcome(&done));
    match done {
        Ok(artifacts) => ok(json!({ "artifacts": artifacts })),
        Err(why) => {
            let title = "The instance could not be cleaned up";
            problem(502, "not-unprovisioned", title, format!("{why:#}"))
        }
    }
}
