//! The Table API.

use std::rc::Rc;

use serde_json::{Value as Json, json};

use super::{Request, Response, columns, failure, no_record, refused, seen, unwritable};
use crate::access::Permit;
use crate::query::Query;
use crate::schema;
use crate::session::Session;
use crate::signin::has_role;
use crate::tables::{Record, Refused, Tables};
use crate::view::View;

pub(super) fn serve(
    session: &Rc<Session>,
    request: &Request,
    view: &View,
    rest: &[&str],
    version: &str,
) -> Response {
    let Some((table, rest)) = rest.split_first() else {
        return super::nowhere(session);
    };
    if !session.lock().tables.exists(table) {
        return refused(&Refused::NoTable((*table).to_owned()));
    }
    match (request.method.as_str(), rest) {
        ("GET" | "HEAD", []) => list(session, request, view, table, version),
        ("GET" | "HEAD", [sys_id]) => one(session, view, table, sys_id),
        ("POST", []) => write(session, request, view, table, None),
        ("PUT" | "PATCH", [sys_id]) => write(session, request, view, table, Some(sys_id)),
        ("DELETE", [sys_id]) => delete(session, table, sys_id),
        (_, [] | [_]) => failure(405, "Method not supported", None),
        _ => super::nowhere(session),
    }
}

fn one(session: &Session, view: &View, table: &str, sys_id: &str) -> Response {
    let instance = session.lock();
    match instance.access.read(&instance.tables, &session.user, table) {
        Permit::Refused => {
            return failure(403, "Insufficient rights to query records", None);
        }
        Permit::Empty => return no_record(),
        Permit::Roles => {}
    }
    let found = instance.tables.find(table, sys_id).filter(|record| {
        visible(&instance.access.rows, &instance.tables, &session.user, table, record)
    });
    match found {
        Some(record) => {
            let record = instance.access.seen(&instance.tables, &session.user, record);
            Response::json(200, json!({ "result": view.show(&instance.tables, &record) }))
        }
        None => no_record(),
    }
}

/// Whether an access rule for rows lets a user see one.
fn visible(
    rules: &std::collections::BTreeMap<String, String>,
    tables: &Tables,
    user: &str,
    table: &str,
    record: &Record,
) -> bool {
    let Some(rule) = rules.get(table) else { return true };
    has_role(tables, user, "admin") || !Query::parse(rule, tables, table).matches(tables, record)
}

/// The query of a request: an encoded one, or `column=value` pairs that may use display values.
pub(super) fn query(session: &Session, request: &Request, table: &str) -> Query {
    let instance = session.lock();
    let tables = &instance.tables;
    let zone = crate::view::Zone::of(tables, &session.user);
    if let Some(text) = request.parameter("sysparm_query") {
        return Query::parse_for(text, tables, table, &session.user, &zone);
    }
    let plain = request.query.iter().filter(|(n, _)| !n.starts_with("sysparm_"));
    let pairs: Vec<String> = plain
        .filter(|(_, value)| !value.contains('^'))
        .map(|(name, value)| format!("{name}={}", tables.value_of(table, name, value)))
        .collect();
    Query::parse_for(&pairs.join("^"), tables, table, &session.user, &zone)
}

fn list(session: &Session, request: &Request, view: &View, table: &str, version: &str) -> Response {
    let query = query(session, request, table);
    let Some(mut matching) = seen(session, table, &query) else {
        return failure(403, "Insufficient rights to query records", None);
    };
    let instance = session.lock();
    let tables = &instance.tables;
    // The journal has an access rule of its own: who lacks it sees an empty list, and status 200.
    let hidden = table == "sys_journal_field"
        && instance.journal_hidden
        && !has_role(tables, &session.user, "admin");
    if hidden {
        matching.clear();
    }
    let count = |name: &str, otherwise: usize| {
        request.parameter(name).and_then(|v| v.parse().ok()).unwrap_or(otherwise)
    };
    let negative = request.parameter("sysparm_offset").is_some_and(|v| v.starts_with('-'));
    if negative && !tables.quirks.negative_offset_ignored {
        return failure(400, "Negative offset is not supported", None);
    }
    let limit = count("sysparm_limit", 10_000);
    let offset = count("sysparm_offset", 0);
    let shows = |row: &Record| visible(&instance.access.rows, tables, &session.user, table, row);
    let all = matching.len();
    let total = if tables.quirks.count_leaves_out_hidden {
        matching.iter().filter(|row| shows(row)).count()
    } else {
        all
    };
    // The limit is applied before access rules hide rows: a page may be short and not the last.
    let page: Vec<Json> = matching
        .iter()
        .skip(offset)
        .take(limit)
        .filter(|row| shows(row))
        .map(|row| view.show(tables, &instance.access.seen(tables, &session.user, row)))
        .collect();
    if page.is_empty() && version == "v1" {
        return no_record();
    }
    let mut response = Response::json(200, json!({ "result": page }));
    let uncounted = request.is_on("sysparm_no_count");
    if !uncounted {
        response = response.header("x-total-count", total.to_string());
    }
    let silent =
        request.is_on("sysparm_suppress_pagination_header") || tables.quirks.no_link_header;
    if all > limit && limit > 0 && !silent {
        response = response.header("link", links(request, offset, limit, all, uncounted));
    }
    response
}

fn links(request: &Request, offset: usize, limit: usize, total: usize, uncounted: bool) -> String {
    let at = |offset: usize, rel: &str| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in request.query.iter().filter(|(n, _)| n != "sysparm_offset") {
            query.append_pair(name, value);
        }
        query.append_pair("sysparm_offset", &offset.to_string());
        format!("<{}{}?{}>;rel=\"{rel}\"", request.base, request.path, query.finish())
    };
    let mut links = vec![at(0, "first")];
    if offset > 0 {
        links.push(at(offset.saturating_sub(limit), "prev"));
    }
    if offset + limit < total {
        links.push(at(offset + limit, "next"));
    }
    if !uncounted {
        links.push(at((total - 1) / limit * limit, "last"));
    }
    links.join(",")
}

fn write(
    session: &Rc<Session>,
    request: &Request,
    view: &View,
    table: &str,
    sys_id: Option<&str>,
) -> Response {
    let what = if sys_id.is_some() { "Update" } else { "Insert" };
    let mut set = match columns(session, request) {
        Ok(set) => set,
        Err(response) => return response,
    };
    {
        let instance = session.lock();
        if !instance.access.write(&instance.tables, &session.user, table) {
            return unwritable(what);
        }
        let strange = set.keys().find(|name| !instance.tables.has_column(table, name));
        if let Some(name) = strange.filter(|_| instance.tables.quirks.unknown_column_refused) {
            return failure(400, "Invalid field", Some(&format!("{table} has no field {name}")));
        }
        if request.is_on("sysparm_input_display_value") {
            set = shown_values(&instance.tables, &session.user, table, set);
        }
        set = instance.access.written(&instance.tables, &session.user, table, set);
        // Nobody chooses the identity of a new row by REST.
        set.remove("sys_id");
    }
    let written = match sys_id {
        None => session.insert(table, &set, true),
        Some(id) => session.update(table, id, &set, true),
    };
    match written {
        Err(why) => refused(&why),
        Ok(record) => {
            let mut instance = session.lock();
            let mut record = record;
            let admin = has_role(&instance.tables, &session.user, "admin");
            if admin && request.is_on("sysparm_suppress_auto_sys_field") {
                let of = |name: &str| record.get(name).cloned().unwrap_or_default();
                let (class, id) = (of("sys_class_name"), of("sys_id"));
                instance.tables.set_system(&class, &id, &set);
                record = instance.tables.find(&class, &id).cloned().unwrap_or(record);
            }
            let record = instance.access.seen(&instance.tables, &session.user, &record);
            let shown = view.show(&instance.tables, &record);
            let status = if sys_id.is_some() { 200 } else { 201 };
            let mut response = Response::json(status, json!({ "result": shown }));
            if sys_id.is_none() {
                let id = record.get("sys_id").cloned().unwrap_or_default();
                response = response
                    .header("location", format!("{}/api/now/table/{table}/{id}", request.base));
            }
            response
        }
    }
}

/// Values as people write them: names of references, labels of choices, dates in their own zone.
fn shown_values(tables: &Tables, user: &str, table: &str, set: Record) -> Record {
    let zone = crate::view::Zone::of(tables, user);
    set.into_iter()
        .map(|(name, value)| {
            let meant = if let Some(target) = schema::reference(&name) {
                tables
                    .first(target, "name", &value)
                    .or_else(|| tables.first(target, "number", &value))
                    .and_then(|row| row.get("sys_id").cloned())
                    .unwrap_or(value)
            } else if schema::is_date(&name) {
                zone.utc(&value).unwrap_or(value)
            } else {
                tables.value_of(table, &name, &value)
            };
            (name, meant)
        })
        .collect()
}

fn delete(session: &Rc<Session>, table: &str, sys_id: &str) -> Response {
    let may = {
        let instance = session.lock();
        instance.access.write(&instance.tables, &session.user, table)
    };
    if !may {
        return unwritable("Delete");
    }
    match session.delete(table, sys_id, true) {
        Ok(()) => Response::empty(204),
        Err(why) => refused(&why),
    }
}
