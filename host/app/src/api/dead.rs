//! Dead letters over HTTP: listed by what they are, shown one by one, retried and discarded.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use firn_model::{
    DeadFilter, DeadLetter, DeadState, DeadWork, FieldName, IntegrationId, LinkId, Millis,
    Operation, Side, Verb,
};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::records::{operate, rows, with};
use super::{Shared, json, ok, problem};

/// Which are listed: those that wait, or all that are still there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    #[serde(default)]
    all: bool,
    side: Option<Side>,
    work: Option<DeadWork>,
    field: Option<FieldName>,
    reason: Option<String>,
    link: Option<LinkId>,
    before: Option<Millis>,
}

pub(crate) async fn list(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
    listed: Result<Query<Listed>, QueryRejection>,
) -> Response {
    let Query(listed) = match listed {
        Ok(listed) => listed,
        Err(why) => {
            return problem(400, "malformed-query", "The query cannot be read", why.body_text());
        }
    };
    let Listed { all, side, work, field, reason, link, before } = listed;
    let filter = DeadFilter { side, work, field, reason, link, before };
    with(&shared, &reference, |known| {
        let mut letters: Vec<DeadLetter> = rows(&shared, known, "dead")?;
        letters.retain(|l| (all || l.state == DeadState::Waiting) && l.fits(&filter));
        letters.sort_by_key(|letter| (letter.at, letter.id.clone()));
        let entries: Vec<Json> = letters.iter().map(listed_as).collect();
        Ok(ok(json!({ "entries": entries })))
    })
}

/// What it would write is told by field; the values are shown one letter at a time, masked.
fn listed_as(letter: &DeadLetter) -> Json {
    let fields: Vec<&FieldName> = match &letter.write.verb {
        Verb::Update { set, .. } => set.keys().collect(),
        _ => Vec::new(),
    };
    json!({ "id": letter.id, "link": letter.link, "side": letter.write.side,
        "work": letter.work(), "fields": fields, "reason": letter.reason, "at": letter.at,
        "state": letter.state, "times": letter.history.len(), "key": letter.write.key })
}

pub(crate) async fn show(
    State(shared): State<Shared>,
    Path((reference, id)): Path<(String, String)>,
) -> Response {
    operate(&shared, &reference, |integration| Operation::ShowDead { integration, id }).await
}

pub(crate) async fn retry(
    State(shared): State<Shared>,
    Path((reference, id)): Path<(String, String)>,
) -> Response {
    operate(&shared, &reference, |integration| Operation::RetryDead { integration, id }).await
}

pub(crate) async fn discard(
    State(shared): State<Shared>,
    Path((reference, id)): Path<(String, String)>,
) -> Response {
    operate(&shared, &reference, |integration| Operation::DiscardDead { integration, id }).await
}

pub(crate) async fn retry_all(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Response {
    let all = |integration, filter| Operation::RetryAllDead { integration, filter };
    decide_all(&shared, &reference, &headers, body, all).await
}

pub(crate) async fn discard_all(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Response {
    let all = |integration, filter| Operation::DiscardAllDead { integration, filter };
    decide_all(&shared, &reference, &headers, body, all).await
}

async fn decide_all(
    shared: &Shared,
    reference: &str,
    headers: &HeaderMap,
    body: axum::body::Body,
    all: impl FnOnce(IntegrationId, DeadFilter) -> Operation,
) -> Response {
    match meant(headers, body).await {
        Ok(filter) => operate(shared, reference, |integration| all(integration, filter)).await,
        Err(response) => response,
    }
}

/// Which are meant. Nobody means all of them by leaving everything out.
async fn meant(headers: &HeaderMap, body: axum::body::Body) -> Result<DeadFilter, Response> {
    let mut given: serde_json::Map<String, Json> = json(headers, body).await?;
    let all = given.remove("all") == Some(Json::Bool(true));
    let filter: DeadFilter = serde_json::from_value(given.into()).map_err(|why| {
        problem(422, "unknown-filter", "The filter cannot be used", why.to_string())
    })?;
    if filter == DeadFilter::default() && !all {
        return Err(problem(
            422,
            "nothing-meant",
            "Nothing is meant",
            "say which: side, work, field, reason, link, before, or \"all\": true",
        ));
    }
    Ok(filter)
}
