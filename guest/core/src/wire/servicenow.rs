//! ServiceNow's side of the wire: the Table API.

use std::collections::{BTreeMap, BTreeSet};

use firn_model::{
    Attribute, Body, Comment, CorrelationKey, EntryOrigin, EntrySeen, Exchange, ExchangeKind,
    HttpResponse, JournalSource, JournalText, Link, Method, Millis, ObservedRecord, Outcome, Past,
    PastChange, Presence, RESOURCE, Remote, Revision, SysId, TableName, Twin, Value, Verb,
    WorkNote, parse_servicenow,
};
use serde_json::{Map, Value as Json, json};

use super::{Parts, malformed};
use crate::land::{Found, Reading};
use crate::settings::Rules;

pub(super) fn pair(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

/// What tells a ticket that is looked for from others. All of it is on `task`.
const FOUND: &str = "sys_id,sys_class_name,number,active,sys_created_by,sys_updated_by,sys_mod_count,sys_created_on";

/// What is read of a ticket's history.
const PAST: &str = "documentkey,fieldname,newvalue,user,record_checkpoint";

/// The most rows that are read of it.
const MOST_PAST: usize = 500;

/// What is mapped of a ticket.
pub(super) fn shape(rules: &Rules, table: &TableName) -> Vec<(String, String)> {
    raw(rules.columns(table).join(","))
}

/// The same after a create, with what was set: a column that there is not is ignored without a word.
fn shape_of_created(
    rules: &Rules,
    table: &TableName,
    set: &BTreeMap<Attribute, Value>,
) -> Vec<(String, String)> {
    let mut columns: BTreeSet<String> = rules.columns(table).into_iter().collect();
    columns.extend(set.keys().map(ToString::to_string).filter(|c| is_shown(c)));
    raw(columns.into_iter().collect::<Vec<_>>().join(","))
}

/// Whether a row shows what a column was set to. Journals show nothing.
pub(crate) fn is_shown(column: &str) -> bool {
    !matches!(column, "comments" | "work_notes" | "comments_and_work_notes" | "approval_history")
}

/// Raw values, no links, and only the columns that are wanted.
pub(super) fn raw(columns: impl Into<String>) -> Vec<(String, String)> {
    vec![
        pair("sysparm_fields", columns),
        pair("sysparm_display_value", "false"),
        pair("sysparm_exclude_reference_link", "true"),
    ]
}

pub(super) fn request(rules: &Rules, link: &Link, exchange: &Exchange) -> Option<Parts> {
    let table = &link.table;
    let list = |table: &str, query: String, limit: &str| Parts {
        remote: Remote::Servicenow,
        method: Method::Get,
        path: format!("/api/now/table/{table}"),
        query: vec![pair("sysparm_query", query), pair("sysparm_limit", limit)],
        body: None,
    };
    let record =
        || link.external.as_ref().map(|e| format!("/api/now/table/{}/{}", e.table, e.sys_id));
    Some(match &exchange.kind {
        ExchangeKind::Find => {
            let column = &rules.settings().correlation.column;
            // A record that is a ticket of the desk's own on the platform has its sys_id, and the pair may be forgotten.
            let own = forgotten(rules, link).map_or(String::new(), |id| format!("^ORsys_id={id}"));
            let query = format!("{column}={}{own}^ORDERBYsys_created_on^ORDERBYsys_id", link.key);
            // Among all of its family: it may have become another kind of ticket since. A column of one's
            // own may be one of its table only.
            let among =
                if column.as_str() == "correlation_id" { table.base() } else { table.as_str() };
            let mut parts = list(among, query, "10");
            parts.query.push(pair("sysparm_fields", format!("{FOUND},{column}")));
            parts
        }
        ExchangeKind::Locate(number) => {
            let number: String = number.chars().filter(char::is_ascii_alphanumeric).collect();
            let mut parts = list(table.base(), format!("number={number}"), "2");
            parts.query.push(pair("sysparm_fields", FOUND));
            parts
        }
        ExchangeKind::Class => {
            let id = &link.external.as_ref()?.sys_id;
            Parts {
                remote: Remote::Servicenow,
                method: Method::Get,
                path: format!("/api/now/table/{}/{id}", table.base()),
                query: vec![pair("sysparm_fields", "sys_id,sys_class_name,number")],
                body: None,
            }
        }
        ExchangeKind::Deletion => {
            let id = &link.external.as_ref()?.sys_id;
            let mut parts = list("sys_audit_delete", format!("documentkey={id}"), "1");
            parts.query.push(pair("sysparm_fields", "sys_id,documentkey,tablename"));
            parts
        }
        ExchangeKind::History => {
            let id = &link.external.as_ref()?.sys_id;
            let columns: BTreeSet<&str> =
                link.unseen.iter().flat_map(|u| &u.columns).map(Attribute::as_str).collect();
            let meant = link.unseen.iter().map(|u| u.meant).min()?;
            let until = link.unseen.iter().map(|u| u.until).max()?;
            // The newest, which are ours, are not to be cut off.
            let query = format!(
                "documentkey={id}^fieldnameIN{}^record_checkpoint>{meant}^record_checkpoint<={until}^ORDERBYDESCrecord_checkpoint^ORDERBYDESCsys_created_on",
                columns.into_iter().collect::<Vec<_>>().join(","),
            );
            let mut parts = list("sys_audit", query, &MOST_PAST.to_string());
            parts.query.extend(raw(PAST));
            parts
        }
        ExchangeKind::Read => Parts {
            remote: Remote::Servicenow,
            method: Method::Get,
            path: record()?,
            query: shape(rules, table),
            body: None,
        },
        ExchangeKind::Journal if has_activities(rules, &link.table) => {
            let id = &link.external.as_ref()?.sys_id;
            Parts {
                remote: Remote::Servicenow,
                method: Method::Get,
                path: format!("/api/sn_customerservice/case/{id}/activities"),
                query: vec![pair("sysparm_limit", "1000")],
                body: None,
            }
        }
        ExchangeKind::Journal => {
            let id = &link.external.as_ref()?.sys_id;
            // The newest first: of very many they are those that are not known yet.
            let query = format!(
                "element_id={id}^elementINcomments,work_notes^ORDERBYDESCsys_created_on^ORDERBYDESCsys_id"
            );
            let mut parts = list("sys_journal_field", query, "1000");
            parts.query.push(pair(
                "sysparm_fields",
                "sys_id,element_id,element,value,sys_created_on,sys_created_by",
            ));
            parts
        }
        ExchangeKind::LookUp { table, key, value } => {
            // A caret would change the meaning of the query; no key that we accept has one.
            let value: String = value.chars().filter(|c| *c != '^' && !c.is_control()).collect();
            let active = if table.as_str() == "sys_user" { "^active=true" } else { "" };
            let mut parts = list(table.as_str(), format!("{key}={value}{active}"), "2");
            parts.query.push(pair("sysparm_fields", format!("sys_id,{key}")));
            parts
        }
        ExchangeKind::Send => send(rules, link, record())?,
    })
}

fn send(rules: &Rules, link: &Link, record: Option<String>) -> Option<Parts> {
    let flight = link.external_side.flight.as_ref()?;
    let (method, path, columns) = match &flight.write.verb {
        Verb::Create { set, .. } => {
            (Method::Post, format!("/api/now/table/{}", link.table), set.clone())
        }
        Verb::Update { set, with } => {
            let mut columns = with.clone();
            for translated in set.values() {
                columns.extend(translated.shape.0.clone());
            }
            (Method::Patch, record?, columns)
        }
        Verb::Retire { twin, set } => {
            (Method::Patch, format!("/api/now/table/{}/{}", twin.table, twin.sys_id), set.clone())
        }
        Verb::Append { text, .. } => {
            let column = crate::mapping::attribute(text.column());
            let columns = BTreeMap::from([(column, Value::text(text.text()))]);
            (Method::Patch, record?, columns)
        }
    };
    let query = match &flight.write.verb {
        Verb::Create { .. } => shape_of_created(rules, &link.table, &columns),
        _ => shape(rules, &link.table),
    };
    let body: Map<String, Json> =
        columns.into_iter().map(|(a, v)| (a.into(), Json::String(v.to_text()))).collect();
    let body = Json::Object(body);
    let through = through_resource(rules, link, &flight.write.verb, &body);
    let (path, body) = through.unwrap_or((path, body));
    Some(Parts {
        remote: Remote::Servicenow,
        method,
        path,
        query,
        body: Some(Body::Json(body.to_string())),
    })
}

/// Path and body of the same write through the instance's own Scripted REST resource, if it goes
/// there: a new ticket with a sys_id that follows from its key; a change with the version that it
/// expects to find.
fn through_resource(rules: &Rules, link: &Link, verb: &Verb, set: &Json) -> Option<(String, Json)> {
    if !rules.settings().provision.resource {
        return None;
    }
    match (verb, &link.external, link.external_side.revision) {
        (Verb::Create { keyed: true, .. }, ..) => {
            let body = json!({ "sys_id": crate::identity::ticket(link), "set": set });
            Some((format!("{RESOURCE}/{}", link.table), body))
        }
        (
            Verb::Update { .. },
            Some(external),
            Some(Revision::External { mod_count: Some(expect), .. }),
        ) => {
            let path = format!("{RESOURCE}/{}/{}", external.table, external.sys_id);
            Some((path, json!({ "expect": expect.to_string(), "set": set })))
        }
        _ => None,
    }
}

/// The resource says "not as expected" with the ticket as it is.
pub(super) fn moved(rules: &Rules, response: &HttpResponse) -> Option<Outcome> {
    if response.status != 409 || !rules.settings().provision.resource {
        return None;
    }
    let json: Json = serde_json::from_str(&response.body).ok()?;
    Some(Outcome::Moved(record(rules, json.get("result")?.as_object()?)?))
}

/// The ticket that a record may stand for on the platform, where that was forgotten: its store is a backup's.
fn forgotten(rules: &Rules, link: &Link) -> Option<SysId> {
    rules.integration().restored?;
    SysId::new(link.platform_id.as_str()).ok()
}

pub(super) fn reading(
    rules: &Rules,
    link: &Link,
    exchange: &Exchange,
    response: &HttpResponse,
) -> Reading {
    let Ok(json) = serde_json::from_str::<Json>(&response.body) else {
        return malformed("not JSON (a login or maintenance page, or cut off)");
    };
    let Some(result) = json.get("result") else {
        return malformed("without a result");
    };
    match &exchange.kind {
        ExchangeKind::Find | ExchangeKind::Locate(_) => {
            let Some(rows) = result.as_array() else { return malformed("not a list") };
            let column = &rules.settings().correlation.column;
            // An instance that does not know a column of a query may answer with all its rows.
            let wanted = |row: &&Json| match &exchange.kind {
                ExchangeKind::Locate(number) => row["number"] == number.as_str(),
                _ => {
                    let own = forgotten(rules, link).is_some_and(|id| row["sys_id"] == id.as_str());
                    own || row[column.as_str()] == link.key.as_str()
                }
            };
            Reading::Found(
                rows.iter().filter(wanted).filter_map(|r| found(rules, link, r)).collect(),
            )
        }
        ExchangeKind::Deletion => {
            let (Some(rows), Some(external)) = (result.as_array(), &link.external) else {
                return malformed("not a list");
            };
            let proved = rows.iter().any(|row| row["documentkey"] == external.sys_id.as_str());
            Reading::Deletion(proved)
        }
        ExchangeKind::History => {
            let (Some(rows), Some(external)) = (result.as_array(), &link.external) else {
                return malformed("not a list");
            };
            let mut changes: Vec<PastChange> =
                rows.iter().rev().filter_map(|row| past(row, &external.sys_id)).collect();
            changes.sort_by_key(|change| change.count);
            Reading::History(Past { changes, is_cut: rows.len() >= MOST_PAST })
        }
        ExchangeKind::Journal if has_activities(rules, &link.table) => {
            let Some(rows) = result["entries"].as_array() else {
                return malformed("without activities");
            };
            // They come newest first.
            let mut entries: Vec<EntrySeen> = rows.iter().rev().filter_map(activity).collect();
            entries.sort_by_key(|entry| entry.at);
            Reading::Entries(entries)
        }
        ExchangeKind::Journal => {
            let (Some(rows), Some(external)) = (result.as_array(), &link.external) else {
                return malformed("not a list");
            };
            let mut entries: Vec<EntrySeen> =
                rows.iter().filter_map(|row| entry(row, &external.sys_id)).collect();
            let order = |entry: &EntrySeen| (entry.at, entry.origin.id().to_owned());
            entries.sort_by_cached_key(order);
            Reading::Entries(entries)
        }
        ExchangeKind::LookUp { key, value, .. } => {
            let Some(rows) = result.as_array() else { return malformed("not a list") };
            let ids = rows
                .iter()
                .filter(|row| {
                    row[key.as_str()].as_str().is_some_and(|v| v.to_lowercase() == *value)
                })
                .filter_map(|row| SysId::new(row["sys_id"].as_str()?).ok())
                .collect();
            Reading::Rows(ids)
        }
        ExchangeKind::Read | ExchangeKind::Class | ExchangeKind::Send => {
            let seen = result.as_object().and_then(|row| record(rules, row));
            let Some(seen) = seen else { return malformed("not a record") };
            let asked = match link.external_side.flight.as_ref().map(|f| &f.write.verb) {
                Some(Verb::Retire { twin, .. }) if exchange.kind == ExchangeKind::Send => {
                    Some(&twin.sys_id)
                }
                _ => link.external.as_ref().map(|e| &e.sys_id),
            };
            let ours = asked.is_none_or(|sys_id| sys_id.as_str() == seen.id);
            match (ours, exchange.kind != ExchangeKind::Send) {
                (false, _) => malformed("another record than was asked for"),
                (true, true) => Reading::Record(seen, Vec::new()),
                (true, false) => Reading::Outcome(Outcome::Applied(Some(seen))),
            }
        }
    }
}

fn past(row: &Json, of: &SysId) -> Option<PastChange> {
    let text = |name: &str| row[name].as_str();
    if text("documentkey") != Some(of.as_str()) {
        return None;
    }
    Some(PastChange {
        column: Attribute::new(text("fieldname")?).ok()?,
        new: text("newvalue").unwrap_or_default().to_owned(),
        user: text("user").unwrap_or_default().to_owned(),
        count: text("record_checkpoint").and_then(count)?,
    })
}

fn found(rules: &Rules, link: &Link, row: &Json) -> Option<Found> {
    let text = |name: &str| row[name].as_str().filter(|t| !t.is_empty());
    let class = text("sys_class_name").and_then(|c| TableName::new(c).ok());
    Some(Found {
        ticket: Twin {
            table: class.unwrap_or_else(|| link.table.clone()),
            sys_id: SysId::new(text("sys_id")?).ok()?,
            number: text("number").map(str::to_owned),
            changes: text("sys_mod_count").and_then(|n| n.parse().ok()),
            closing: None,
        },
        // Not shown: it may be open.
        active: text("active") != Some("false"),
        ours: [text("sys_created_by"), text("sys_updated_by")]
            .into_iter()
            .all(|by| by == Some(rules.settings().external_user.as_str())),
        made: text("sys_created_on").and_then(|made| parse_servicenow(made).ok()),
    })
}

/// Reads a row: every scalar is text; a reference may come as an object.
pub fn record(rules: &Rules, row: &Map<String, Json>) -> Option<ObservedRecord> {
    let text = |name: &str| row.get(name).map(scalar).filter(|t| !t.is_empty());
    let id = SysId::new(text("sys_id")?).ok()?;
    let updated = text("sys_updated_on").and_then(|t| parse_servicenow(&t).ok());
    let mod_count = text("sys_mod_count").and_then(|t| count(&t));
    let column = &rules.settings().correlation.column;
    Some(ObservedRecord {
        id: id.into(),
        class: text("sys_class_name"),
        number: text("number"),
        correlation: text(column.as_str()).and_then(|t| CorrelationKey::new(t).ok()),
        revision: updated.map(|updated| Revision::External { updated, mod_count }),
        attributes: row
            .iter()
            .filter_map(|(name, value)| {
                Some((Attribute::new(name.clone()).ok()?, Value::text(scalar(value))))
            })
            .collect(),
        presence: Presence::There,
    })
}

/// `sys_mod_count`: a decimal integer, 0 to 2147483647.
pub(crate) fn count(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse::<u32>().ok()).flatten().filter(|n| *n <= 2_147_483_647)
}

fn scalar(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Object(reference) => {
            reference.get("value").and_then(Json::as_str).unwrap_or_default().to_owned()
        }
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

/// Whether the entries of a table's tickets are read by the Case API.
#[must_use]
pub fn has_activities(rules: &Rules, table: &TableName) -> bool {
    rules.settings().journal.source == JournalSource::Activities && table.as_str() == CASES
}

/// The table of customer service cases.
const CASES: &str = "sn_customerservice_case";

/// An activity of a case that is an entry of its journal.
fn activity(row: &Json) -> Option<EntrySeen> {
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let (id, element, at) = (text("sys_id"), text("element"), text("sys_created_on"));
    seen_entry(&id, &element, text("value"), text("login_name"), &at)
}

fn entry(row: &Json, of: &SysId) -> Option<EntrySeen> {
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    if text("element_id") != of.as_str() {
        return None;
    }
    seen_entry(
        &text("sys_id"),
        &text("element"),
        text("value"),
        text("sys_created_by"),
        &text("sys_created_on"),
    )
}

/// A row of `sys_journal_field`, from a read or a webhook.
pub(crate) fn seen_entry(
    id: &str,
    element: &str,
    value: String,
    author: String,
    at: &str,
) -> Option<EntrySeen> {
    let text = match element {
        "comments" => JournalText::Comment(Comment(value)),
        "work_notes" => JournalText::WorkNote(WorkNote(value)),
        _ => return None,
    };
    let id = SysId::new(id).ok()?;
    let at = parse_servicenow(at).unwrap_or(Millis(0));
    Some(EntrySeen { origin: EntryOrigin::External(id.into()), text, author, at })
}
