//! Findings over HTTP: listed, and dismissed by who has seen them.

use axum::http::HeaderMap;
use axum::response::Response;
use firn_model::{FindingFilter, FindingKind, KeptFinding, LinkId, Operation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::at::{Asks, At, Page, answer};
use super::meant;

/// Which findings are listed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// Of a kind.
    kind: Option<FindingKind>,
    /// Of a link.
    link: Option<LinkId>,
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
    after: Option<String>,
}

/// A page of findings.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Findings {
    findings: Vec<KeptFinding>,
    next: Option<String>,
}

pub(crate) async fn list(at: At, Asks(which): Asks<Which>) -> Response {
    let Which { kind, link, limit, after } = which;
    let filter = FindingFilter { kind, link, ..FindingFilter::default() };
    let page = Page::new(limit, after);
    let found = at.page::<KeptFinding>("finding", "", &page).map(|(mut findings, next)| {
        findings.retain(|kept| filter.takes(&kept.id, &kept.finding));
        Findings { findings, next }
    });
    answer(found)
}

/// Which findings are meant by a request that is about several; all of them only by `"all": true`.
#[derive(JsonSchema)]
#[allow(dead_code)] // It stands for what `meant` reads.
pub(crate) struct Several {
    #[serde(flatten)]
    filter: FindingFilter,
    all: Option<bool>,
}

/// How many were dismissed.
#[derive(JsonSchema)]
#[allow(dead_code)] // The engine answers it.
pub(crate) struct Dismissed {
    dismissed: usize,
    /// So many of those that are meant are still there: ask again.
    left: usize,
}

pub(crate) async fn dismiss(at: At, headers: HeaderMap, body: axum::body::Body) -> Response {
    match meant(&headers, body, "id, kind, link, before").await {
        Ok(filter) => at.operate(|integration| Operation::Dismiss { integration, filter }).await,
        Err(response) => response,
    }
}
