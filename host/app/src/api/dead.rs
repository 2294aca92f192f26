//! Dead letters over HTTP: listed by what they are, shown one by one, retried and discarded.

use axum::http::HeaderMap;
use axum::response::Response;
use firn_model::{
    DeadFilter, DeadLetter, DeadState, DeadWork, FieldName, IntegrationId, LinkId, Millis,
    Operation, Side, Verb,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::at::{Asks, At, Named, Page, answer};
use super::meant;

/// Which are listed: those that wait, or all that are still there.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    /// Also those that were retried or discarded.
    #[serde(default)]
    all: bool,
    side: Option<Side>,
    work: Option<DeadWork>,
    field: Option<FieldName>,
    /// Whose last reason contains this text.
    reason: Option<String>,
    link: Option<LinkId>,
    /// Refused last before this instant. Milliseconds since 1970.
    before: Option<Millis>,
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
    after: Option<String>,
}

/// A dead letter in a list. What it would write is told by field; the values are shown one letter at a
/// time, masked.
#[derive(Serialize, JsonSchema)]
struct ShownLetter {
    id: String,
    link: LinkId,
    side: Side,
    work: DeadWork,
    fields: Vec<FieldName>,
    /// What the other side said last.
    reason: String,
    at: Millis,
    state: DeadState,
    /// How much happened to it.
    times: usize,
    key: String,
}

/// A page of dead letters.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Letters {
    entries: Vec<ShownLetter>,
    next: Option<String>,
}

pub(crate) async fn list(at: At, Asks(listed): Asks<Listed>) -> Response {
    let Listed { all, side, work, field, reason, link, before, limit, after } = listed;
    let filter = DeadFilter { side, work, field, reason, link, before };
    let page = Page::new(limit, after);
    let found = at.page::<DeadLetter>("dead", "", &page).map(|(mut letters, next)| {
        letters.retain(|l| (all || l.state == DeadState::Waiting) && l.fits(&filter));
        letters.sort_by_key(|letter| (letter.at, letter.id.clone()));
        Letters { entries: letters.into_iter().map(shown).collect(), next }
    });
    answer(found)
}

fn shown(letter: DeadLetter) -> ShownLetter {
    let fields = match &letter.write.verb {
        Verb::Update { set, .. } => set.keys().cloned().collect(),
        _ => Vec::new(),
    };
    ShownLetter {
        work: letter.work(),
        id: letter.id,
        link: letter.link,
        side: letter.write.side,
        fields,
        reason: letter.reason,
        at: letter.at,
        state: letter.state,
        times: letter.history.len(),
        key: letter.write.key,
    }
}

pub(crate) async fn show(at: At, Named(id): Named) -> Response {
    at.operate(|integration| Operation::ShowDead { integration, id }).await
}

pub(crate) async fn retry(at: At, Named(id): Named) -> Response {
    at.operate(|integration| Operation::RetryDead { integration, id }).await
}

pub(crate) async fn discard(at: At, Named(id): Named) -> Response {
    at.operate(|integration| Operation::DiscardDead { integration, id }).await
}

pub(crate) async fn retry_all(at: At, headers: HeaderMap, body: axum::body::Body) -> Response {
    let all = |integration, filter| Operation::RetryAllDead { integration, filter };
    decide_all(&at, &headers, body, all).await
}

pub(crate) async fn discard_all(at: At, headers: HeaderMap, body: axum::body::Body) -> Response {
    let all = |integration, filter| Operation::DiscardAllDead { integration, filter };
    decide_all(&at, &headers, body, all).await
}

async fn decide_all(
    at: &At,
    headers: &HeaderMap,
    body: axum::body::Body,
    all: impl FnOnce(IntegrationId, DeadFilter) -> Operation,
) -> Response {
    match meant(headers, body, "side, work, field, reason, link, before").await {
        Ok(filter) => at.operate(|integration| all(integration, filter)).await,
        Err(response) => response,
    }
}

/// Which dead letters are meant by a request that is about several; all of them only by `"all": true`.
#[derive(JsonSchema)]
#[allow(dead_code)] // It stands for what `meant` reads.
pub(crate) struct Several {
    #[serde(flatten)]
    filter: DeadFilter,
    all: Option<bool>,
}
