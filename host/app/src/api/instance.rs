//! What is done at an integration's instance: provisioned, looked at, tested.

use anyhow::Context;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use firn_remote::{ExportFormat, Step};
use serde::Deserialize;
use serde_json::json;

use super::{One, Shared, failed, json, ok, problem};

/// `GET …/provision`: what provisioning would do. Nothing is written on the instance.
pub(crate) async fn plan(State(shared): State<Shared>, One(known): One) -> Response {
    match shared.host.provision_plan(&known).await {
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
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::spawn(work).await.context("the work broke off")?
}

/// `POST …/provision`: installs what is missing, corrects what differs.
pub(crate) async fn provision(State(shared): State<Shared>, One(known): One) -> Response {
    let work = async move { shared.host.provision(&known).await };
    match to_the_end(work).await {
        Ok(artifacts) => ok(json!({ "artifacts": artifacts })),
        Err(why) => {
            let title = "The instance could not be provisioned";
            problem(502, "not-provisioned", title, format!("{why:#}"))
        }
    }
}

/// `POST …/test`: the doctor's report.
pub(crate) async fn test(State(shared): State<Shared>, One(known): One) -> Response {
    match shared.host.examine(&known).await {
        Ok(examined) => ok(&*examined),
        Err(why) => failed(&why),
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
#[derive(Deserialize)]
pub(crate) struct Export {
    format: String,
}

/// `GET …/provision/export?format=update-set|instructions`: the artifacts written down. The webhook
/// key is in it.
pub(crate) async fn export(
    State(shared): State<Shared>,
    One(known): One,
    Query(Export { format }): Query<Export>,
) -> Response {
    let (format, kind) = match format.as_str() {
        "update-set" => (ExportFormat::UpdateSet, "application/xml; charset=utf-8"),
        "instructions" => (ExportFormat::Instructions, "text/markdown; charset=utf-8"),
        _ => {
            let detail = "format is update-set or instructions";
            return problem(422, "unknown-format", "Unknown format", detail);
        }
    };
    match shared.host.provision_export(&known, format) {
        Ok(text) => ([("content-type", kind), ("cache-control", "no-store")], text).into_response(),
        Err(why) => problem(422, "not-exported", "It could not be written", format!("{why:#}")),
    }
}

/// The body of `POST …/unprovision`; it may be empty.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unprovision {
    /// The id of an integration that nobody here knows any more: what it left is removed instead.
    orphan: Option<String>,
}

/// `POST …/unprovision`: removes all artifacts of the integration, and no others.
pub(crate) async fn unprovision(
    State(shared): State<Shared>,
    One(known): One,
    headers: HeaderMap,
    raw: Body,
) -> Response {
    let Unprovision { orphan } = match json(&headers, raw).await {
        Ok(given) => given,
        Err(response) => return response,
    };
    let work = async move { shared.host.unprovision(&known, orphan.as_deref()).await };
    match to_the_end(work).await {
        Ok(artifacts) => ok(json!({ "artifacts": artifacts })),
        Err(why) => {
            let title = "The instance could not be cleaned up";
            problem(502, "not-unprovisioned", title, format!("{why:#}"))
        }
    }
}
