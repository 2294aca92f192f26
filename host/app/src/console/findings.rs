//! Findings: what a person should see; and payloads that could not be used.

use axum::response::Response;
use firn_model::{Finding, Quarantined};
use minijinja::{Value, context};

use super::door::Visit;
use super::{rows, view};
use crate::api::At;
use crate::host::pulse::kind_of;

/// `GET /console/{integration}/findings`.
pub(super) async fn list(visit: Visit, at: At) -> Response {
    let found = rows::latest(&at, "finding", |_: &Finding| true, |f: &Finding| f.at.0, 100).await;
    let (findings, all) = match found {
        Ok(found) => found,
        Err(response) => return response,
    };
    let kept =
        rows::latest(&at, "quarantine", |_: &Quarantined| true, |q: &Quarantined| q.at.0, 50);
    let (kept, all_kept) = match kept.await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let findings: Vec<Value> = findings
        .iter()
        .map(|finding| {
            context! {
                kind => kind_of(finding.kind), link => finding.link, field => finding.field,
                text => finding.text, at => finding.at.0,
            }
        })
        .collect();
    let kept: Vec<Value> = kept
        .iter()
        .map(|kept| {
            let kind = kept.kind.name();
            // Its body was never masked: it stays sealed.
            context! { id => kept.id, kind, reason => kept.reason, at => kept.at.0, bytes => kept.body.len() }
        })
        .collect();
    let with = context! { findings, all, kept, all_kept };
    view::page_at(&visit, &at, ("findings.html", "findings", "Findings"), with).await
}
