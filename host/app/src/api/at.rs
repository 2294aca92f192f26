//! Where a request stands: at an integration that its caller sees, and at which page of a listing.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use firn_model::{IntegrationId, Operation, TenantId};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Shared, failed, ok, problem, respond};
use crate::access::Caller;
use crate::host::Asked;
use crate::vault::Known;

impl FromRequestParts<Shared> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Caller, Response> {
        // A route that asks for nothing has nobody.
        parts.extensions.get::<Caller>().cloned().ok_or_else(|| {
            failed(&anyhow::anyhow!("the route lets anybody in, and asks who it is"))
        })
    }
}

/// The integration that a path names, and who asks.
pub(crate) struct At {
    pub(crate) shared: Shared,
    pub(crate) known: Arc<Known>,
    pub(crate) caller: Caller,
}

impl FromRequestParts<Shared> for At {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<At, Response> {
        let caller = Caller::from_request_parts(parts, shared).await?;
        let path = Path::<BTreeMap<String, String>>::from_request_parts(parts, shared).await;
        let path = path.map_err(|e| {
            problem(400, "malformed-path", "The path cannot be read", e.body_text())
        })?;
        let reference = path.get("integration").map(String::as_str).unwrap_or_default();
        let known = shared
            .host
            .vault()
            .find(reference, |known| caller.sees_integration(&known.integration));
        let known = known.ok_or_else(|| unknown(reference))?;
        Ok(At { shared: shared.clone(), known, caller })
    }
}

/// There is no such integration, or it is another tenant's.
pub(crate) fn unknown(reference: &str) -> Response {
    let text: String = reference.chars().take(64).collect();
    let detail = format!("there is no integration {text}; check the address");
    problem(404, "unknown-integration", "Unknown integration", detail)
}

pub(crate) fn not_found(what: &str, id: &str) -> Response {
    let id: String = id.chars().take(80).collect();
    problem(404, "not-found", "Not found", format!("there is no {what} {id}"))
}

impl At {
    pub(crate) fn host(&self) -> &Arc<crate::Host> {
        &self.shared.host
    }

    pub(crate) fn id(&self) -> &IntegrationId {
        &self.known.integration.id
    }

    pub(crate) fn tenant(&self) -> &TenantId {
        &self.known.integration.tenant
    }

    pub(crate) fn row<T: DeserializeOwned>(
        &self,
        kind: &str,
        id: &str,
    ) -> anyhow::Result<Option<T>> {
        self.shared.host.row(self.tenant(), &[kind, self.id().as_str(), id])
    }

    /// A page of what lies under a kind, and perhaps something narrower.
    pub(crate) fn page<T: DeserializeOwned>(
        &self,
        kind: &str,
        within: &str,
        page: &Page,
    ) -> anyhow::Result<(Vec<T>, Option<String>)> {
        let prefix = format!("{kind}/{}/{within}", self.id());
        let (rows, more) =
            self.shared.host.page(self.tenant(), &prefix, page.after.as_deref(), page.size())?;
        Ok((rows, more))
    }

    /// Has the engine do something. Gives what it answers.
    pub(crate) async fn asked(&self, operation: impl FnOnce(IntegrationId) -> Operation) -> Asked {
        let operation = operation(self.id().clone());
        self.shared.host.operate(self.tenant(), operation, &self.caller.name).await
    }

    pub(crate) async fn operate(
        &self,
        operation: impl FnOnce(IntegrationId) -> Operation,
    ) -> Response {
        respond(self.asked(operation).await)
    }

    /// Notes in the audit what was done outside of the engine.
    pub(crate) fn note(&self, event: &str, what: &str) {
        self.shared.host.note(self.tenant(), Some(self.id()), event, what, &self.caller.name);
    }
}

/// Answers with what was found, or says what failed.
pub(crate) fn answer<T: Serialize>(found: anyhow::Result<T>) -> Response {
    match found {
        Ok(found) => ok(found),
        Err(why) => failed(&why),
    }
}

/// The same of one thing that may not be there.
pub(crate) fn answer_one<T: Serialize>(
    found: anyhow::Result<Option<T>>,
    what: &str,
    id: &str,
) -> Response {
    match found {
        Ok(Some(found)) => ok(found),
        Ok(None) => not_found(what, id),
        Err(why) => failed(&why),
    }
}

/// Which page of a listing.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// How many at most: 1 to 1,000, by default 1,000. Where something is filtered a page may hold fewer and
    /// still have a next one.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
    /// What the page before gave as `next`.
    pub(crate) after: Option<String>,
}

/// The most that a page holds.
const MOST: u32 = 1_000;

impl Page {
    pub(crate) fn new(limit: Option<u32>, after: Option<String>) -> Page {
        Page { limit, after }
    }

    pub(crate) fn size(&self) -> u32 {
        self.limit.unwrap_or(MOST).clamp(1, MOST)
    }
}

/// What stands behind the question mark.
pub(crate) struct Asks<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for Asks<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Asks<T>, Response> {
        Query::<T>::from_request_parts(parts, shared).await.map(|Query(asks)| Asks(asks)).map_err(
            |why: QueryRejection| {
                problem(400, "malformed-query", "The query cannot be read", why.body_text())
            },
        )
    }
}

/// A part of the path that is not the integration.
pub(crate) struct Named(pub(crate) String);

impl FromRequestParts<Shared> for Named {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Named, Response> {
        let path = Path::<Vec<(String, String)>>::from_request_parts(parts, shared).await;
        let path = path.map_err(IntoResponse::into_response)?;
        let last = path.0.into_iter().next_back().map(|(_, value)| value);
        Ok(Named(last.unwrap_or_default()))
    }
}
