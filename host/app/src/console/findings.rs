//! Findings: what a person should see; and payloads that could not be used.

use axum::response::Response;
use firn_model::{FindingFilter, KeptFinding, Operation, Quarantined};
use minijinja::{Value, context};

use super::door::{Visit, see};
use super::{rows, view};
use crate::api::{At, problem};
use crate::host::pulse::kind_of;

/// `GET /console/{integration}/findings`.
pub(super) async fn list(visit: Visit, at: At) -> Response {
    let age = |kept: &KeptFinding| kept.finding.at.0;
    let found = rows::latest(&at, "finding", |_: &KeptFinding| true, age, 100);
    let (findings, all) = match found.await {
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
        .map(|KeptFinding { id, finding }| {
            context! {
                id, kind => kind_of(finding.kind), link => finding.link, field => finding.field,
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

/// `POST /console/{integration}/findings`: those that were ticked have been seen.
pub(super) async fn dismiss(visit: Visit, at: At) -> Response {
    let ticked: Vec<String> = visit.form.fields("finding").into_iter().map(str::to_owned).collect();
    if ticked.is_empty() {
        let detail = "tick the findings that are meant; go back and try again";
        return problem(422, "nothing-meant", "Nothing is meant", detail);
    }
    for id in ticked {
        let filter = FindingFilter { id: Some(id), ..FindingFilter::default() };
        let asked = at.asked(|integration| Operation::Dismiss { integration, filter }).await;
        // Somebody else may have been first.
        if asked.status != 404
            && let Err(response) = view::answered(asked)
        {
            return response;
        }
    }
    see(&format!("/console/{}/findings?done=dismiss", at.known.integration.slug))
}
