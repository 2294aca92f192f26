//! The audit of an integration: what was sent, decided and changed, latest first.

use axum::response::Response;
use firn_model::Audit;
use minijinja::{Value, context};
use serde::Deserialize;

use super::door::Visit;
use super::{rows, view, words};
use crate::api::{Asks, At};

/// How many lines a page lists.
const LISTED: usize = 200;

#[derive(Deserialize)]
pub(super) struct Asked {
    q: Option<String>,
}

/// `GET /console/{integration}/audit`.
pub(super) async fn list(visit: Visit, at: At, Asks(Asked { q }): Asks<Asked>) -> Response {
    let q = q.unwrap_or_default().trim().to_owned();
    let sought = q.to_lowercase();
    let wanted = move |line: &Audit| {
        sought.is_empty()
            || line.event.contains(&sought)
            || words::of_line(line).to_lowercase().contains(&sought)
    };
    let found = rows::latest(&at, "audit", wanted, |line: &Audit| line.at.0, LISTED).await;
    let (lines, all) = match found {
        Ok(found) => found,
        Err(response) => return response,
    };
    let line = |line: &Audit| {
        context! { at => line.at.0, event => line.event, link => line.link, text => words::of_line(line) }
    };
    let lines: Vec<Value> = lines.iter().map(line).collect();
    let with = context! { lines, all, q };
    view::page_at(&visit, &at, ("audit.html", "audit", "Audit"), with).await
}
