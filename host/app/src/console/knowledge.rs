//! What was learnt from resolved tickets: found by a question, or the latest.

use std::collections::BTreeSet;

use axum::response::Response;
use firn_model::{CaseSummary, Learning};
use minijinja::{Value, context};
use serde::Deserialize;

use super::door::Visit;
use super::{rows, view};
use crate::api::knowledge::found;
use crate::api::{Asks, At, failed};

/// How many cases a page lists.
const LISTED: usize = 20;
/// The most characters of a question.
const LONGEST: usize = 2_000;

#[derive(Deserialize)]
pub(super) struct Asked {
    q: Option<String>,
}

/// `GET /console/{integration}/knowledge`.
pub(super) async fn list(visit: Visit, at: At, Asks(Asked { q }): Asks<Asked>) -> Response {
    let q: String = q.unwrap_or_default().trim().chars().take(LONGEST).collect();
    let learnt = |learning: &Learning| learning.summary.is_some();
    let age = |learning: &Learning| learning.summary.as_ref().map_or(0, |case| case.made.0);
    let (latest, all) = match rows::latest(&at, "learnt", learnt, age, LISTED).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let cases: Vec<CaseSummary> = if q.is_empty() {
        latest.into_iter().filter_map(|learning| learning.summary).collect()
    } else {
        let (tenants, of) =
            (BTreeSet::from([at.tenant().clone()]), BTreeSet::from([at.id().clone()]));
        match found(&at.shared, tenants, of, q.clone(), LISTED).await {
            Ok((hits, _)) => hits.into_iter().map(|hit| hit.case).collect(),
            Err(why) => return failed(&why),
        }
    };
    let cases: Vec<Value> = cases.iter().map(Value::from_serialize).collect();
    let enabled = at.known.integration.settings.learning.enabled;
    let with = context! { cases, all, q, enabled };
    view::page_at(&visit, &at, ("knowledge.html", "knowledge", "Knowledge"), with).await
}
