//! The Case, Account and Contact APIs of customer service.

use std::rc::Rc;

use serde_json::{Value as Json, json};

use super::{Request, Response, columns, failure, no_record, refused, seen, unwritable};
use crate::query::Query;
use crate::session::Session;
use crate::tables::Record;
use crate::view::{View, Zone};

const TABLE: &str = "sn_customerservice_case";

/// A case by its sys_id or its number.
fn find(session: &Session, reference: &str) -> Option<Record> {
    let instance = session.lock();
    let tables = &instance.tables;
    tables.find(TABLE, reference).or_else(|| tables.first(TABLE, "number", reference)).cloned()
}

pub(super) fn serve(session: &Rc<Session>, request: &Request, rest: &[&str]) -> Response {
    let view = super::view(session, request);
    let writable = || {
        let instance = session.lock();
        instance.access.write(&instance.tables, &session.user, TABLE)
    };
    match (request.method.as_str(), rest) {
        ("GET", ["case"]) => super::table::serve(session, request, &view, &[TABLE], "v2"),
        ("GET", ["case", id]) => match find(session, id) {
            Some(case) => {
                let instance = session.lock();
                let case = instance.access.seen(&instance.tables, &session.user, &case);
                Response::json(200, json!({ "result": view.show(&instance.tables, &case) }))
            }
            None => no_record(),
        },
        ("GET", ["case", id, "activities"]) => match find(session, id) {
            Some(case) => activities(session, request, &case),
            None => no_record(),
        },
        ("POST", ["case"]) if !writable() => unwritable("Insert"),
        ("PUT", ["case", _]) if !writable() => unwritable("Update"),
        ("POST", ["case"]) => {
            let set = match columns(session, request) {
                Ok(set) => set,
                Err(response) => return response,
            };
            match session.insert(TABLE, &set, true) {
                Ok(case) => Response::json(
                    201,
                    json!({ "result": { "sys_id": case.get("sys_id"), "number": case.get("number") } }),
                ),
                Err(why) => refused(&why),
            }
        }
        ("PUT", ["case", id]) => {
            let set = match columns(session, request) {
                Ok(set) => set,
                Err(response) => return response,
            };
            let Some(case) = find(session, id) else { return no_record() };
            let id = case.get("sys_id").cloned().unwrap_or_default();
            match session.update(TABLE, &id, &set, true) {
                Ok(case) => {
                    let instance = session.lock();
                    Response::json(200, json!({ "result": view.show(&instance.tables, &case) }))
                }
                Err(why) => refused(&why),
            }
        }
        (_, ["case", ..]) => failure(405, "Method not supported", None),
        _ => super::nowhere(session),
    }
}

/// The journal of a case, which no access rule of the journal table hides here.
fn activities(session: &Session, request: &Request, case: &Record) -> Response {
    let instance = session.lock();
    let zone = Zone::of(&instance.tables, &session.user);
    let of = |row: &Record, name: &str| row.get(name).cloned().unwrap_or_default();
    let only = request.parameter("sysparm_activity_type");
    let mut rows: Vec<&Record> = instance
        .tables
        .of("sys_journal_field")
        .filter(|row| row.get("element_id") == case.get("sys_id"))
        .filter(|row| only.is_none_or(|only| of(row, "element") == only))
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(of(row, "sys_created_on")));
    let entries: Vec<Json> = rows
        .into_iter()
        .map(|row| {
            let by = of(row, "sys_created_by");
            let user = instance.tables.first("sys_user", "user_name", &by);
            let name = user.map_or(by.clone(), |user| of(user, "name"));
            let comments = of(row, "element") == "comments";
            let at = of(row, "sys_created_on");
            json!({
                "sys_id": of(row, "sys_id"),
                "element": of(row, "element"),
                "field_label": if comments { "Additional comments" } else { "Work notes" },
                "value": of(row, "value"),
                "sys_created_on": at,
                "sys_created_on_adjusted": zone.shown(&at),
                "login_name": by,
                "name": name,
                "user_sys_id": user.map(|user| of(user, "sys_id")),
                "initials": name.split(' ').filter_map(|w| w.chars().next()).collect::<String>(),
                "contains_code": "false",
                "attachment": Json::Null,
            })
        })
        .collect();
    Response::json(200, json!({ "result": { "entries": entries } }))
}

/// Accounts and contacts: read only, but that a contact can be made.
pub(super) fn related(
    session: &Rc<Session>,
    request: &Request,
    view: &View,
    table: &str,
    rest: &[&str],
) -> Response {
    match (request.method.as_str(), rest) {
        ("GET", []) => {
            let query = super::table::query(session, request, table);
            let Some(rows) = seen(session, table, &query) else {
                return failure(403, "Insufficient rights to query records", None);
            };
            let instance = session.lock();
            let shown: Vec<Json> =
                rows.iter().map(|row| view.show(&instance.tables, row)).collect();
            Response::json(200, json!({ "result": shown }))
        }
        ("GET", [id]) => {
            let rows = seen(session, table, &Query::default()).unwrap_or_default();
            let instance = session.lock();
            match rows.iter().find(|row| row.get("sys_id").is_some_and(|own| own == id)) {
                Some(row) => {
                    Response::json(200, json!({ "result": view.show(&instance.tables, row) }))
                }
                None => no_record(),
            }
        }
        ("POST", []) if table == "customer_contact" => {
            super::table::serve(session, request, view, &[table], "v2")
        }
        _ => failure(405, "Method not supported", None),
    }
}
