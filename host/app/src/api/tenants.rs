//! What is a tenant's as a whole: erased on somebody's wish.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use firn_model::TenantId;
use schemars::JsonSchema;
use serde::Deserialize;

use super::at::{Named, not_found};
use super::{Shared, failed, json, ok, problem};
use crate::access::Caller;
use crate::host::NotForgotten;

/// The body of `POST /api/v1/tenants/{tenant}/forget`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Forget {
    /// The conversation's or call's id, the platform's record, or the ticket's number.
    key: String,
}

pub(crate) async fn forget(
    State(shared): State<Shared>,
    caller: Caller,
    Named(tenant): Named,
    headers: HeaderMap,
    raw: Body,
) -> Response {
    let Some(tenant) = TenantId::new(&tenant).ok().filter(|tenant| caller.sees(tenant)) else {
        return not_found("tenant", &tenant);
    };
    let Forget { key } = match json(&headers, raw).await {
        Ok(given) => given,
        Err(response) => return response,
    };
    match shared.host.vault().tenants() {
        Ok(known) if known.contains(&tenant) => {}
        Ok(_) => return not_found("tenant", tenant.as_str()),
        Err(why) => return failed(&why),
    }
    if key.trim().is_empty() || key.len() > 256 {
        let detail =
            "a key has 1 to 256 bytes: a conversation's, call's or record's id, or a number";
        return problem(422, "invalid-key", "Not a key", detail);
    }
    match shared.host.forget_key(&tenant, &key, &caller.name).await {
        Ok(forgotten) => ok(forgotten),
        Err(NotForgotten::Unknown) => not_found("record of", &key),
        Err(NotForgotten::Busy(why)) => {
            problem(409, "write-under-way", "Not now", format!("{why}; ask again in a moment"))
        }
        Err(NotForgotten::Failed(why)) => failed(&why),
    }
}
