//! The REST API, as a function from request to response; the server around it is `serve`.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::query::Query;
use crate::schema;
use crate::serve::Instance;
use crate::signin::has_role;
use crate::tables::{Changed, Record, Refused, Tables};
use crate::view::{Display, View};

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) authorization: Option<String>,
    pub(crate) body: String,
    pub(crate) base: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Json>,
}

impl Response {
    fn json(status: u16, body: Json) -> Response {
        Response { status, headers: Vec::new(), body: Some(body) }
    }

    fn header(mut self, name: &str, value: String) -> Response {
        self.headers.push((name.to_owned(), value));
        self
    }
}

pub(crate) fn failure(status: u16, message: &str, detail: Option<&str>) -> Response {
    Response::json(
        status,
        json!({ "error": { "message": message, "detail": detail }, "status": "failure" }),
    )
}

fn refused(refused: &Refused) -> Response {
    match refused {
        Refused::NoTable(table) => failure(400, &format!("Invalid table {table}"), None),
        Refused::NoRecord => failure(
            404,
            "No Record found",
            Some("Record doesn't exist or ACL restricts the record retrieval"),
        ),
        Refused::DataPolicy(fields) => {
            let detail = format!(
                "Data Policy Exception: The following fields are mandatory: {}",
                fields.join(", ")
            );
            failure(403, "Operation Failed", Some(&detail))
        }
        Refused::Aborted(rule) => {
            let detail = format!("Operation on file was aborted by Business Rule '{rule}'");
            failure(403, "Operation Failed", Some(&detail))
        }
        Refused::NotUnique => failure(
            403,
            "Operation Failed",
            Some("Unique key violation: the record exists already"),
        ),
    }
}

/// Serves a request; gives the changes that after-rules are to hear of.
pub(crate) fn serve(instance: &mut Instance, request: &Request) -> (Response, Vec<Changed>) {
    let none = |response| (response, Vec::new());
    if request.path == "/oauth_token.do" && request.method == "POST" {
        let form: BTreeMap<String, String> =
            url::form_urlencoded::parse(request.body.as_bytes()).into_owned().collect();
        let (status, body) = instance.tokens.grant(&mut instance.tables, &form);
        return none(Response::json(status, body));
    }
    let Some(user) = instance.tokens.user(&instance.tables, request.authorization.as_deref())
    else {
        return none(failure(
            401,
            "User Not Authenticated",
            Some("Required to provide Auth information"),
        ));
    };
    let segments: Vec<&str> = request.path.split('/').filter(|s| !s.is_empty()).collect();
    let (version, rest) = match segments.as_slice() {
        ["api", "now", version @ ("v1" | "v2"), rest @ ..] => (*version, rest),
        ["api", "now", rest @ ..] => ("v2", rest),
        _ => return none(failure(400, "Requested URI does not represent any resource", None)),
    };
    let view = match view(request) {
        Ok(view) => view,
        Err(response) => return none(response),
    };
    match (request.method.as_str(), rest) {
        (_, ["table", table, ..]) if !Tables::exists(table) => {
            none(refused(&Refused::NoTable((*table).to_owned())))
        }
        ("GET", ["table", table]) => none(list(instance, request, &view, &user, table, version)),
        ("GET", ["table", table, sys_id]) => none(match readable(instance, &user, table) {
            true => match instance.tables.find(table, sys_id) {
                Some(record) => {
                    Response::json(200, json!({ "result": view.show(&instance.tables, record) }))
                }
                None => refused(&Refused::NoRecord),
            },
            false => failure(403, "User Not Authorized", Some("Failed API level ACL Validation")),
        }),
        ("POST", ["table", table]) => write(instance, request, &view, &user, table, None),
        ("PUT" | "PATCH", ["table", table, sys_id]) => {
            write(instance, request, &view, &user, table, Some(sys_id))
        }
        ("DELETE", ["table", table, sys_id]) => none(match writable(instance, &user, table) {
            true => match instance.tables.delete(table, sys_id, &user) {
                Ok(()) => Response { status: 204, headers: Vec::new(), body: None },
                Err(why) => refused(&why),
            },
            false => failure(
                403,
                "Operation Failed",
                Some("ACL Exception Delete Failed due to security constraints"),
            ),
        }),
        (_, ["table", ..]) => none(failure(405, "Method not supported", None)),
        _ => none(failure(400, "Requested URI does not represent any resource", None)),
    }
}

fn parameter<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

fn view(request: &Request) -> Result<View, Response> {
    let display = match parameter(request, "sysparm_display_value") {
        None | Some("false" | "") => Display::Raw,
        Some("true") => Display::Shown,
        Some("all") => Display::Both,
        Some(_) => return Err(failure(400, "Invalid sysparm_display_value", None)),
    };
    Ok(View {
        display,
        without_links: parameter(request, "sysparm_exclude_reference_link") == Some("true"),
        fields: parameter(request, "sysparm_fields")
            .filter(|f| !f.is_empty())
            .map(|f| f.split(',').map(|c| c.trim().to_owned()).collect()),
        base: request.base.clone(),
    })
}

/// Tables that only an administrator reads or writes.
const ADMIN_ONLY: &[&str] = &["sys_script", "syslog", "sys_outbound_http_log", "sys_dictionary"];

fn readable(instance: &Instance, user: &str, table: &str) -> bool {
    !ADMIN_ONLY.contains(&table) || has_role(&instance.tables, user, "admin")
}

fn writable(instance: &Instance, user: &str, table: &str) -> bool {
    let role =
        if schema::is_task(table) || table == "sys_journal_field" { "itil" } else { "admin" };
    has_role(&instance.tables, user, role)
}

fn list(
    instance: &mut Instance,
    request: &Request,
    view: &View,
    user: &str,
    table: &str,
    version: &str,
) -> Response {
    // The journal has an access rule of its own: who lacks it sees an empty list, and status 200.
    let hidden = table == "sys_journal_field"
        && instance.journal_hidden
        && !has_role(&instance.tables, user, "admin");
    if !readable(instance, user, table) {
        return failure(403, "Insufficient rights to query records", None);
    }
    let tables = &instance.tables;
    let text = parameter(request, "sysparm_query").map_or_else(
        || {
            let plain = request.query.iter().filter(|(n, _)| !n.starts_with("sysparm_"));
            plain.map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("^")
        },
        str::to_owned,
    );
    let query = Query::parse(&text, tables, table);
    let mut rows: Vec<&Record> =
        tables.of(table).filter(|r| !hidden && query.matches(tables, r)).collect();
    rows.sort_by(|a, b| query.compare(tables, a, b));
    let total = rows.len();
    if total == 0 && version == "v1" {
        return failure(404, "No Record found", Some("Records matching query not found"));
    }
    let number = |name: &str, default: usize| match parameter(request, name) {
        None => Some(default),
        Some(text) => text.parse().ok(),
    };
    let (Some(limit), Some(offset)) =
        (number("sysparm_limit", 10_000), number("sysparm_offset", 0))
    else {
        return failure(400, "Invalid sysparm_limit or sysparm_offset", None);
    };
    let page: Vec<Json> =
        rows.iter().skip(offset).take(limit).map(|r| view.show(tables, r)).collect();
    let mut response = Response::json(200, json!({ "result": page }));
    if parameter(request, "sysparm_no_count") != Some("true") {
        response = response.header("x-total-count", total.to_string());
    }
    if total > limit && parameter(request, "sysparm_suppress_pagination_header") != Some("true") {
        response = response.header("link", links(request, limit.max(1), offset, total));
    }
    response
}

fn links(request: &Request, limit: usize, offset: usize, total: usize) -> String {
    let at = |offset: usize, rel: &str| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in request.query.iter().filter(|(n, _)| n != "sysparm_offset") {
            query.append_pair(name, value);
        }
        query.append_pair("sysparm_offset", &offset.to_string());
        format!("<{}{}?{}>;rel=\"{rel}\"", request.base, request.path, query.finish())
    };
    let last = (total - 1) / limit * limit;
    let mut links = vec![at(0, "first")];
    if offset > 0 {
        links.push(at(offset.saturating_sub(limit), "prev"));
    }
    if offset + limit < total {
        links.push(at(offset + limit, "next"));
    }
    links.push(at(last, "last"));
    links.join(",")
}

fn write(
    instance: &mut Instance,
    request: &Request,
    view: &View,
    user: &str,
    table: &str,
    sys_id: Option<&str>,
) -> (Response, Vec<Changed>) {
    if !writable(instance, user, table) {
        let what = if sys_id.is_some() { "Update" } else { "Insert" };
        let detail = format!("ACL Exception {what} Failed due to security constraints");
        return (failure(403, "Operation Failed", Some(&detail)), Vec::new());
    }
    let Ok(Json::Object(body)) = serde_json::from_str::<Json>(&request.body) else {
        return (
            failure(400, "Exception while reading request", Some("The payload is not valid JSON")),
            Vec::new(),
        );
    };
    // Everything is kept as text; a reference may come as an object.
    let set: Record = body
        .into_iter()
        .map(|(name, value)| {
            let text = match value {
                Json::String(text) => text,
                Json::Null => String::new(),
                Json::Object(o) => {
                    o.get("value").and_then(Json::as_str).unwrap_or_default().to_owned()
                }
                other => other.to_string(),
            };
            (name, text)
        })
        .collect();
    let rules = instance.rules(table, "before", sys_id.is_none());
    let properties = instance.properties();
    let by = user.to_owned();
    let mut log = Vec::new();
    let mut before = |changed: &mut Changed| {
        for rule in &rules {
            let ran = rule.run(changed, &changed.current.clone(), &properties, &by);
            log.extend(ran.log);
            if ran.aborted {
                return Err(rule.name.clone());
            }
            changed.current = ran.current;
        }
        Ok(())
    };
    let result = match sys_id {
        None => instance.tables.insert(table, &set, user, &mut before),
        Some(id) => instance.tables.update(table, id, &set, user, &mut before),
    };
    for (level, message) in log {
        instance.log(&level, &message);
    }
    match result {
        Err(why) => (refused(&why), Vec::new()),
        Ok(changed) => {
            let id = match (sys_id, changed.first()) {
                (Some(id), _) => id.to_owned(),
                (None, first) => {
                    first.and_then(|c| c.current.get("sys_id").cloned()).unwrap_or_default()
                }
            };
            let shown = instance
                .tables
                .find(table, &id)
                .map(|r| view.show(&instance.tables, r))
                .unwrap_or_default();
            let status = if sys_id.is_some() { 200 } else { 201 };
            let mut response = Response::json(status, json!({ "result": shown }));
            if sys_id.is_none() {
                response = response
                    .header("location", format!("{}/api/now/table/{table}/{id}", request.base));
            }
            (response, changed)
        }
    }
}
