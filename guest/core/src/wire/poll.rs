//! The wire of polling: pages of a stream, and several tickets in one request.

use std::collections::BTreeMap;

use firn_model::{
    Answer, AnswerBody, HttpRequest, Method, Millis, ObservedRecord, Outcome, PullBy, Remote,
    Sweep, SysId, TableName, TenantId, Uncertainty, parse_http_date, parse_servicenow,
    servicenow_text,
};
use firn_model::{Place, Stream, Walk};
use serde_json::Value as Json;

use super::servicenow::{self, pair};
use super::{QUEUE, failure};
use crate::settings::{Gate, Rules};
use crate::sweep::{At, MERGED, PAGE};

/// What a row of a stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A ticket as it is, with at least its revision and its key.
    Ticket(Box<ObservedRecord>),
    /// A journal entry of a ticket.
    Entry {
        /// The entry.
        id: SysId,
        /// The ticket.
        of: SysId,
    },
    /// A ticket was deleted.
    Deleted(SysId),
}

/// An answer, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// A page of the stream.
    Page {
        /// Each row's place in the order, and what it says.
        rows: Vec<(At, News)>,
        /// How many rows the answer has: those that do not show when they changed, too.
        count: usize,
        /// How many rows there are from the walk's place on, if they tell.
        total: Option<u64>,
        /// Their clock, if they tell.
        theirs: Option<Millis>,
    },
    /// Tickets that were asked for; those that are not among them could not be read.
    Tickets(Vec<ObservedRecord>),
    /// It came to nothing.
    Failed(Outcome),
}

/// Whether pages show whole tickets: some may be none of ours yet, and a filter must see them.
#[must_use]
pub fn shows_all(rules: &Rules) -> bool {
    rules.has_filter(Gate::Mirror)
}

/// The column by which a stream is in order.
fn time(rules: &Rules, stream: &Stream) -> &'static str {
    match (stream, rules.settings().polling.pull_by) {
        (Stream::Records(_), PullBy::Updated) => "sys_updated_on",
        _ => "sys_created_on",
    }
}

/// The next request of a walk.
#[must_use]
pub fn request(
    rules: &Rules,
    tenant: &TenantId,
    sweep: &Sweep,
    walk: &Walk,
    ticket: String,
) -> HttpRequest {
    let (table, query) = match &sweep.stream {
        Stream::Records(table) if !walk.wanted.is_empty() => {
            let ids: Vec<&str> = walk.wanted.iter().take(MERGED).map(SysId::as_str).collect();
            let mut query = vec![pair("sysparm_query", format!("sys_idIN{}", ids.join(",")))];
            query.push(pair("sysparm_limit", MERGED.to_string()));
            query.extend(servicenow::shape(rules, table));
            (table.as_str(), query)
        }
        stream => page(rules, stream, walk),
    };
    HttpRequest {
        ticket,
        tenant: tenant.clone(),
        integration: sweep.integration.clone(),
        remote: Remote::Servicenow,
        method: Method::Get,
        path: format!("/api/now/table/{table}"),
        query,
        headers: vec![("accept".to_owned(), "application/json".to_owned())],
        body: None,
        queue: QUEUE,
        timeout: rules.settings().request_timeout,
    }
}

fn page<'s>(rules: &Rules, stream: &'s Stream, walk: &Walk) -> (&'s str, Vec<(String, String)>) {
    let time = time(rules, stream);
    let (table, only, columns) = match stream {
        Stream::Records(table) => {
            let columns = if shows_all(rules) {
                let mut all = rules.columns(table);
                all.push("sys_created_on".to_owned());
                all.join(",")
            } else {
                let key = &rules.settings().correlation.column;
                format!(
                    "sys_id,sys_class_name,number,{key},sys_mod_count,sys_updated_on,sys_created_on"
                )
            };
            (table.as_str(), None, columns)
        }
        Stream::Journal => (
            "sys_journal_field",
            Some("elementINcomments,work_notes".to_owned()),
            "sys_id,element_id,sys_created_on".to_owned(),
        ),
        Stream::Deletions => {
            let tables: Vec<&str> = rules.tables().map(TableName::as_str).collect();
            let only = format!("tablenameIN{}", tables.join(","));
            ("sys_audit_delete", Some(only), "sys_id,documentkey,sys_created_on".to_owned())
        }
    };
    let text = |at: &Millis| servicenow_text(*at);
    let (place, order, limit) = match &walk.place {
        Place::Ours(_) => (None, format!("ORDERBYDESC{time}"), 1),
        Place::From(at) => {
            (Some(format!("{time}>={}", text(at))), format!("ORDERBY{time}^ORDERBYsys_id"), PAGE)
        }
        Place::Within(at, id) => {
            (Some(format!("{time}={}^sys_id>{id}", text(at))), "ORDERBYsys_id".to_owned(), PAGE)
        }
        Place::After(at) => {
            (Some(format!("{time}>{}", text(at))), format!("ORDERBY{time}^ORDERBYsys_id"), PAGE)
        }
    };
    let query: Vec<String> = only.into_iter().chain(place).chain([order]).collect();
    let mut parts = vec![
        pair("sysparm_query", query.join("^")),
        pair("sysparm_limit", limit.to_string()),
        pair("sysparm_fields", columns),
        pair("sysparm_display_value", "false"),
        pair("sysparm_exclude_reference_link", "true"),
    ];
    if walk.skip > 0 {
        parts.push(pair("sysparm_offset", walk.skip.to_string()));
    }
    (table, parts)
}

/// Decodes the answer to a walk's last request.
#[must_use]
pub fn reading(rules: &Rules, sweep: &Sweep, walk: &Walk, answer: &Answer, now: Millis) -> Polled {
    let unknown = |why: &str| Polled::Failed(Outcome::Unknown(Uncertainty::Open, why.to_owned()));
    let response = match &answer.body {
        AnswerBody::Response(response) => response,
        AnswerBody::NotSent(why) => return Polled::Failed(Outcome::NotSent(why.clone())),
        AnswerBody::Lost(why) => return unknown(why),
    };
    if let Some(outcome) = failure(response, now) {
        return Polled::Failed(outcome);
    }
    let json: Option<Json> = serde_json::from_str(&response.body).ok();
    let Some(rows) = json.as_ref().and_then(|json| json["result"].as_array()) else {
        return unknown("an answer with status 200 that is no list of rows");
    };
    if matches!(sweep.stream, Stream::Records(_)) && !walk.wanted.is_empty() {
        let read = |row: &Json| servicenow::record(rules, row.as_object()?);
        return Polled::Tickets(rows.iter().filter_map(read).collect());
    }
    Polled::Page {
        count: rows.len(),
        rows: rows.iter().filter_map(|row| news(rules, &sweep.stream, row)).collect(),
        total: response.header("x-total-count").and_then(|n| n.trim().parse().ok()),
        theirs: response.header("date").and_then(|text| parse_http_date(text).ok()),
    }
}

fn news(rules: &Rules, stream: &Stream, row: &Json) -> Option<(At, News)> {
    let id = |name: &str| SysId::new(row[name].as_str()?).ok();
    let at = parse_servicenow(row[time(rules, stream)].as_str()?).ok()?;
    let news = match stream {
        Stream::Records(_) => News::Ticket(Box::new(servicenow::record(rules, row.as_object()?)?)),
        Stream::Journal => News::Entry { id: id("sys_id")?, of: id("element_id")? },
        Stream::Deletions => News::Deleted(id("documentkey")?),
    };
    Some(((at, id("sys_id")?), news))
}

/// Tickets by id, of an answer.
#[must_use]
pub fn by_id(tickets: Vec<ObservedRecord>) -> BTreeMap<String, ObservedRecord> {
    tickets.into_iter().map(|ticket| (ticket.id.clone(), ticket)).collect()
}
