//! The wire of drafts of articles: looked for by a key word, made, written anew. Never another state than `draft`.

use std::collections::BTreeMap;

use firn_model::{
    Answer, Article, Body, CaseSummary, HttpRequest, Method, Millis, Outcome, Remote, SysId,
    TenantId, Urgency,
};
use serde_json::{Map, Value as Json};

use super::servicenow::{count, raw};
use super::{Parts, answered, failure};
use crate::learning::article::{beginning, content, key};
use crate::settings::Rules;

const TABLE: &str = "/api/now/table/kb_knowledge";
const FIELDS: &str = "sys_id,number,workflow_state,sys_mod_count,meta";

/// An article as it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its id, number, and how often it was changed.
    pub article: Article,
    /// Whether it is still a draft.
    pub is_draft: bool,
    /// Whether it has the key word that it is found again by.
    pub has_key: bool,
}

fn request(
    rules: &Rules,
    tenant: &TenantId,
    ticket: String,
    (method, path): (Method, String),
    query: Vec<(String, String)>,
    columns: Option<&BTreeMap<&'static str, String>>,
) -> HttpRequest {
    let body = columns.map(|columns| {
        let columns: Map<String, Json> =
            columns.iter().map(|(c, v)| ((*c).to_owned(), v.clone().into())).collect();
        Body::Json(Json::Object(columns).to_string())
    });
    let parts = Parts { remote: Remote::Servicenow, method, path, query, body };
    parts.into_request(rules, tenant, ticket, Urgency::Usual)
}

/// Looks for the article: by its id if it is known, else by its key word.
#[must_use]
pub fn look(
    rules: &Rules,
    tenant: &TenantId,
    ticket: String,
    known: Option<&Article>,
    of: &SysId,
) -> HttpRequest {
    let mut query = raw(FIELDS);
    let path = match known {
        Some(article) => format!("{TABLE}/{}", article.sys_id),
        None => {
            let wanted = format!("metaLIKE{}^ORDERBYsys_created_on", key(of));
            query.push(("sysparm_query".to_owned(), wanted));
            query.push(("sysparm_limit".to_owned(), "5".to_owned()));
            TABLE.to_owned()
        }
    };
    request(rules, tenant, ticket, (Method::Get, path), query, None)
}

/// Makes it; none if the settings say no more where.
#[must_use]
pub fn make(
    rules: &Rules,
    tenant: &TenantId,
    ticket: String,
    summary: &CaseSummary,
) -> Option<HttpRequest> {
    let columns = beginning(rules.settings().learning.articles.as_ref()?, summary);
    let target = (Method::Post, TABLE.to_owned());
    Some(request(rules, tenant, ticket, target, raw(FIELDS), Some(&columns)))
}

/// Writes it anew.
#[must_use]
pub fn write(
    rules: &Rules,
    tenant: &TenantId,
    ticket: String,
    article: &Article,
    summary: &CaseSummary,
) -> HttpRequest {
    let target = (Method::Patch, format!("{TABLE}/{}", article.sys_id));
    request(rules, tenant, ticket, target, raw(FIELDS), Some(&content(summary)))
}

/// What an answer shows: the articles of a ticket, the oldest first. An instance leaves out what it does not understand
/// of a query, so that a row counts only if it has the key word itself.
///
/// # Errors
/// What became of the request instead.
pub fn seen(answer: &Answer, of: &SysId, now: Millis) -> Result<Vec<Seen>, Box<Outcome>> {
    let all = rows(answer, &key(of), now)?;
    Ok(all.into_iter().filter(|seen| seen.has_key).collect())
}

/// What an answer to a write shows: the article that was written, whatever became of its key word.
///
/// # Errors
/// What became of the request instead.
pub fn written(answer: &Answer, of: &SysId, now: Millis) -> Result<Option<Seen>, Box<Outcome>> {
    Ok(rows(answer, &key(of), now)?.into_iter().next())
}

fn rows(answer: &Answer, key: &str, now: Millis) -> Result<Vec<Seen>, Box<Outcome>> {
    let response = answered(answer)?;
    if let Some(outcome) = failure(response, now) {
        return Err(Box::new(outcome));
    }
    let unusable = || {
        let why = "an answer that is no article".to_owned();
        Box::new(Outcome::Unknown(firn_model::Uncertainty::Open, why))
    };
    let json: Json = serde_json::from_str(&response.body).map_err(|_| unusable())?;
    let rows: Vec<&Json> = match json.get("result") {
        Some(Json::Array(rows)) => rows.iter().collect(),
        Some(row @ Json::Object(_)) => vec![row],
        _ => return Err(unusable()),
    };
    let shown = |row: &Json| {
        let text = |name: &str| row[name].as_str().filter(|text| !text.is_empty());
        let sys_id = text("sys_id").and_then(|id| SysId::new(id.to_owned()).ok());
        Ok(Seen {
            article: Article {
                sys_id: sys_id.ok_or_else(unusable)?,
                number: text("number").map(str::to_owned),
                mod_count: text("sys_mod_count").and_then(count),
            },
            is_draft: text("workflow_state") == Some("draft"),
            has_key: text("meta").is_some_and(|meta| meta.contains(key)),
        })
    };
    rows.into_iter().map(shown).collect()
}
