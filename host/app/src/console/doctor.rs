//! The doctor: what was found out by asking the instance, and what to do about it.

use axum::response::Response;
use minijinja::{Value, context};

use super::door::{Visit, see};
use super::view;
use crate::api::{At, failed};

/// `GET /console/{integration}/doctor`.
pub(super) async fn show(visit: Visit, at: At) -> Response {
    let report = at.host().examined(at.id());
    let report = report.map(|report| Value::from_serialize(&*report));
    view::page_at(&visit, &at, ("doctor.html", "doctor", "Doctor"), context! { report }).await
}

/// `POST /console/{integration}/doctor`: asks the instance, now.
pub(super) async fn examine(at: At) -> Response {
    match at.host().examine(&at.known).await {
        Ok(_) => see(&format!("/console/{}/doctor", at.known.integration.slug)),
        Err(why) => failed(&why),
    }
}
