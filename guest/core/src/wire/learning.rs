//! The wire of learning: a resolved ticket is read once, with the columns that no field maps.

use std::collections::BTreeMap;

use firn_model::{
    Answer, Attribute, HttpRequest, Link, Method, Millis, Outcome, Remote, TenantId, Urgency, Value,
};

use super::servicenow::{self, raw};
use super::{Parts, answered, failure};
use crate::learning::COLUMNS;
use crate::settings::Rules;

/// The request for a ticket; none if there is no ticket.
#[must_use]
pub fn request(
    rules: &Rules,
    tenant: &TenantId,
    link: &Link,
    ticket: String,
) -> Option<HttpRequest> {
    let external = link.external.as_ref()?;
    let parts = Parts {
        remote: Remote::Servicenow,
        method: Method::Get,
        path: format!("/api/now/table/{}/{}", external.table, external.sys_id),
        query: raw(format!("sys_id,{}", COLUMNS.join(","))),
        body: None,
    };
    Some(parts.into_request(rules, tenant, ticket, Urgency::Usual))
}

/// The ticket's columns. Those that the user may not read are missing or empty.
///
/// # Errors
/// What became of the request instead.
pub fn reading(
    rules: &Rules,
    link: &Link,
    answer: &Answer,
    now: Millis,
) -> Result<BTreeMap<Attribute, Value>, Box<Outcome>> {
    let response = answered(answer)?;
    if let Some(outcome) = failure(response, now) {
        return Err(Box::new(outcome));
    }
    let unusable = || Box::new(Outcome::NotSent("an answer that is not the ticket".to_owned()));
    let json: serde_json::Value = serde_json::from_str(&response.body).map_err(|_| unusable())?;
    let record = json
        .get("result")
        .and_then(|row| servicenow::record(rules, row.as_object()?))
        .ok_or_else(unusable)?;
    let asked = link.external.as_ref().map(|external| external.sys_id.as_str());
    if asked == Some(record.id.as_str()) { Ok(record.attributes) } else { Err(unusable()) }
}
