//! The REST APIs: what every request has in common, and which handler it goes to.

mod attachment;
mod batch;
mod cases;
mod import;
mod scripted;
mod stats;
mod table;

use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use crate::access::Permit;
use crate::rates::Counted;
use crate::session::Session;
use crate::tables::{Record, Refused};
use crate::view::{Display, View, Zone};

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    /// By lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    pub(crate) base: String,
}

impl Request {
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    fn is_on(&self, name: &str) -> bool {
        self.parameter(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Body {
    #[default]
    None,
    Json(Json),
    Bytes(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

impl Response {
    fn json(status: u16, body: Json) -> Response {
        Response { status, headers: Vec::new(), body: Body::Json(body) }
    }

    fn empty(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Body::None }
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

fn no_record() -> Response {
    failure(
        404,
        "No Record found",
        Some("Record doesn't exist or ACL restricts the record retrieval"),
    )
}

fn no_api() -> Response {
    failure(403, "User Not Authorized", Some("Failed API level ACL Validation"))
}

fn unwritable(what: &str) -> Response {
    let detail = format!("ACL Exception {what} Failed due to security constraints");
    failure(403, "Operation Failed", Some(&detail))
}

fn refused(refused: &Refused) -> Response {
    match refused {
        Refused::NoTable(_) => failure(400, &refused.to_string(), None),
        Refused::NoRecord => no_record(),
        Refused::DataPolicy(_) | Refused::Aborted(_) | Refused::NotUnique => {
            failure(403, "Operation Failed", Some(&refused.to_string()))
        }
    }
}

fn nowhere(session: &Session) -> Response {
    let status = if session.lock().tables.quirks.unknown_path_404 { 404 } else { 400 };
    failure(status, "Requested URI does not represent any resource", None)
}

/// Serves `POST /oauth_token.do`, which nobody has to be signed in for.
pub(crate) fn token(instance: &mut crate::serve::Instance, request: &Request) -> Response {
    // A body in JSON is not read.
    let mut form: BTreeMap<String, String> =
        url::form_urlencoded::parse(&request.body).into_owned().collect();
    // A client may say who it is in a header too (RFC 6749, 2.3.1).
    let basic = request.header("authorization").and_then(|header| header.strip_prefix("Basic "));
    let decoded = basic.and_then(|text| STANDARD.decode(text).ok());
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    if let Some((id, secret)) = decoded.split_once(':') {
        form.entry("client_id".to_owned()).or_insert_with(|| id.to_owned());
        form.entry("client_secret".to_owned()).or_insert_with(|| secret.to_owned());
    }
    let crate::serve::Instance { tokens, tables, .. } = instance;
    let (status, body) = tokens.grant(tables, &form);
    Response::json(status, body)
}

pub(crate) fn not_signed_in() -> Response {
    failure(401, "User Not Authenticated", Some("Required to provide Auth information"))
}

/// Keeps a long address under a short name: `GET path?sysparm_tiny=name` is as good.
fn tiny(session: &Session, request: &Request) -> Response {
    let body: Json = serde_json::from_slice(&request.body).unwrap_or_default();
    let Some(url) = body["url"].as_str() else {
        return failure(400, "Exception while reading request", Some("url is missing"));
    };
    let mut instance = session.lock();
    let name = instance.tables.guid();
    let path = url.split('?').next().unwrap_or_default();
    let short = format!("{path}?sysparm_tiny={name}");
    instance.tiny.insert(name, url.to_owned());
    Response::json(201, json!({ "result": short }))
}

/// A request whose query was kept under a short name.
fn expanded(session: &Session, request: &Request) -> Option<Request> {
    let name = request.parameter("sysparm_tiny")?;
    let url = session.lock().tiny.get(name).cloned()?;
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    Some(Request { query, ..request.clone() })
}

/// Serves a request of a user who is signed in.
pub(crate) fn serve(session: &Rc<Session>, request: &Request) -> Response {
    let long = expanded(session, request);
    let request = long.as_ref().unwrap_or(request);
    if let Some(refusal) = scope(session, request).or_else(|| media(request)) {
        return refusal;
    }
    let counted = {
        let mut instance = session.lock();
        let crate::serve::Instance { rates, tables, .. } = &mut *instance;
        rates.count(tables, &session.user, &request.path)
    };
    let mut response = match &counted {
        Counted::Over { retry_after, limit, .. } => failure(
            429,
            "Rate limit exceeded",
            Some(&format!(
                "Limit of {limit} requests per hour for REST API {} reached",
                api_of(&request.path)
            )),
        )
        .header("retry-after", retry_after.to_string()),
        _ => answer(session, request),
    };
    if let Counted::Over { limit, reset, rule, .. } | Counted::Within { limit, reset, rule } =
        counted
    {
        response = response
            .header("x-ratelimit-limit", limit.to_string())
            .header("x-ratelimit-reset", reset.to_string())
            .header("x-ratelimit-rule", rule);
    }
    if request.header("x-no-response-body") == Some("true")
        && matches!(request.method.as_str(), "POST" | "PUT" | "PATCH")
        && response.status < 300
    {
        response.body = Body::None;
    }
    response
}

/// An answer as XML: an element for each key.
pub(crate) fn xml(body: &Json) -> String {
    fn element(out: &mut String, name: &str, value: &Json) {
        match value {
            Json::Array(items) => items.iter().for_each(|item| element(out, name, item)),
            Json::Object(columns) => {
                let _ = std::fmt::Write::write_fmt(out, format_args!("<{name}>"));
                columns.iter().for_each(|(name, value)| element(out, name, value));
                let _ = std::fmt::Write::write_fmt(out, format_args!("</{name}>"));
            }
            Json::Null => {
                let _ = std::fmt::Write::write_fmt(out, format_args!("<{name}/>"));
            }
            other => {
                let text = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
                let text = quick_xml::escape::escape(text.as_str());
                let _ = std::fmt::Write::write_fmt(out, format_args!("<{name}>{text}</{name}>"));
            }
        }
    }
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    element(&mut out, "response", body);
    out
}

fn api_of(path: &str) -> &str {
    match path.trim_start_matches("/api/").split('/').nth(1) {
        Some("v1" | "v2") => path.split('/').nth(4).unwrap_or("table"),
        Some(api) => api,
        None => "table",
    }
}

/// A securely scoped client needs a scope for what it asks; tokens here have none but `useraccount`
/// when the instance is told to be strict.
fn scope(session: &Session, request: &Request) -> Option<Response> {
    let instance = session.lock();
    let bearer = request.header("authorization").is_some_and(|h| h.starts_with("Bearer "));
    (instance.access.scoped && bearer).then(|| {
        failure(
            403,
            "User Not Authorized",
            Some("The client is securely scoped: unscoped API access is not allowed"),
        )
    })
}

/// Media types: JSON and XML are spoken.
fn media(request: &Request) -> Option<Response> {
    // Files have types of their own; batch and uploads too.
    if request.path.contains("/attachment") || !request.path.starts_with("/api/now/") {
        return None;
    }
    let spoken = |types: &str| {
        types.split(',').any(|one| {
            let one = one.split(';').next().unwrap_or_default().trim();
            matches!(
                one,
                "" | "*/*"
                    | "application/*"
                    | "application/json"
                    | "application/xml"
                    | "text/xml"
                    | "text/json"
            )
        })
    };
    if request.header("accept").is_some_and(|accept| !spoken(accept)) {
        return Some(failure(
            406,
            "Not Acceptable",
            Some("Supported media types are application/json and application/xml"),
        ));
    }
    let writes = matches!(request.method.as_str(), "POST" | "PUT" | "PATCH");
    let kind = request.header("content-type").unwrap_or_default();
    if writes && !spoken(kind) {
        return Some(failure(
            415,
            "Unsupported Media Type",
            Some("Supported media types are application/json and application/xml"),
        ));
    }
    None
}

fn answer(session: &Rc<Session>, request: &Request) -> Response {
    let segments: Vec<&str> = request.path.split('/').filter(|s| !s.is_empty()).collect();
    let (version, rest) = match segments.as_slice() {
        ["api", "now", version @ ("v1" | "v2"), rest @ ..] => (*version, rest),
        ["api", "now", rest @ ..] => ("v2", rest),
        ["api", "sn_customerservice", rest @ ..] => {
            let rest = match rest {
                ["v1", rest @ ..] => rest,
                rest => rest,
            };
            return allowed(session, "case", || cases::serve(session, request, rest));
        }
        ["api", namespace, service, rest @ ..] => {
            return scripted::serve(session, request, namespace, service, rest)
                .unwrap_or_else(|| nowhere(session));
        }
        _ => return nowhere(session),
    };
    let view = view(session, request);
    match rest {
        ["table", rest @ ..] => {
            allowed(session, "table", || table::serve(session, request, &view, rest, version))
        }
        ["stats", table] => {
            allowed(session, "stats", || stats::serve(session, request, &view, table))
        }
        ["import", table, rest @ ..] => {
            allowed(session, "import", || import::serve(session, request, table, rest))
        }
        ["attachment", rest @ ..] => {
            allowed(session, "attachment", || attachment::serve(session, request, &view, rest))
        }
        ["tinyurl"] if request.method == "POST" => tiny(session, request),
        ["batch"] if request.method == "POST" => {
            allowed(session, "batch", || batch::serve(session, request))
        }
        ["account", rest @ ..] => allowed(session, "account", || {
            cases::related(session, request, &view, "customer_account", rest)
        }),
        ["contact", rest @ ..] => allowed(session, "account", || {
            cases::related(session, request, &view, "customer_contact", rest)
        }),
        _ => nowhere(session),
    }
}

fn allowed(session: &Session, api: &str, serve: impl FnOnce() -> Response) -> Response {
    let allowed = {
        let instance = session.lock();
        instance.access.api(&instance.tables, &session.user, api)
    };
    if allowed { serve() } else { no_api() }
}

fn view(session: &Session, request: &Request) -> View {
    // Whatever is not understood is "false".
    let asked = request.parameter("sysparm_display_value").unwrap_or_default();
    let display = match asked.to_ascii_lowercase().as_str() {
        "true" => Display::Shown,
        "all" => Display::Both,
        _ => Display::Raw,
    };
    let instance = session.lock();
    View {
        display,
        without_links: request.is_on("sysparm_exclude_reference_link"),
        fields: request
            .parameter("sysparm_fields")
            .filter(|f| !f.is_empty())
            .map(|f| f.split(',').map(|c| c.trim().to_owned()).collect()),
        base: request.base.clone(),
        zone: Zone::of(&instance.tables, &session.user),
    }
}

/// The rows of a table that a user sees and that fit; `None` if the user may not even ask.
fn seen(session: &Session, table: &str, query: &crate::query::Query) -> Option<Vec<Record>> {
    let mut instance = session.lock();
    let permit = instance.access.read(&instance.tables, &session.user, table);
    if permit == Permit::Refused {
        return None;
    }
    let mut rows: Vec<Record> = instance
        .tables
        .of(table)
        .filter(|row| query.matches(&instance.tables, row))
        .cloned()
        .collect();
    if permit == Permit::Empty {
        rows.clear();
    }
    if instance.tables.quirks.random_order {
        instance.tables.shuffle(&mut rows);
    }
    rows.sort_by(|a, b| query.compare(&instance.tables, a, b));
    Some(rows)
}

/// The columns of a write: everything is kept as text; a reference may come as an object.
fn columns(session: &Session, request: &Request) -> Result<Record, Response> {
    let unreadable =
        || failure(400, "Exception while reading request", Some("The payload is not valid JSON"));
    if request.header("content-type").is_some_and(|kind| kind.contains("xml")) {
        return from_xml(&request.text()).ok_or_else(|| {
            failure(400, "Exception while reading request", Some("The payload is not valid XML"))
        });
    }
    let body: Json = serde_json::from_slice(&request.body).map_err(|_| unreadable())?;
    // One record a write: of several only the first is taken.
    let body = match body {
        Json::Array(mut several) if !several.is_empty() => several.swap_remove(0),
        one => one,
    };
    let Json::Object(body) = body else { return Err(unreadable()) };
    let texts_only = session.lock().tables.quirks.texts_only;
    body.into_iter()
        .map(|(name, value)| {
            let text = match value {
                Json::String(text) => text,
                Json::Null => String::new(),
                Json::Object(o) => {
                    o.get("value").and_then(Json::as_str).unwrap_or_default().to_owned()
                }
                _ if texts_only => {
                    let detail = format!("{name} must be a string");
                    return Err(failure(400, "Exception while reading request", Some(&detail)));
                }
                other => other.to_string(),
            };
            Ok((name, text))
        })
        .collect()
}

/// The columns of `<request><entry><column>value</column>…`: the innermost elements.
fn from_xml(text: &str) -> Option<Record> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut columns, mut open, mut value) = (Record::new(), None::<String>, String::new());
    let mut depth = 0_u32;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                depth += 1;
                open = Some(String::from_utf8_lossy(start.name().as_ref()).into_owned());
                value.clear();
            }
            Event::Empty(empty) => {
                let name = String::from_utf8_lossy(empty.name().as_ref()).into_owned();
                columns.insert(name, String::new());
            }
            Event::Text(piece) => value.push_str(&piece.decode().ok()?),
            Event::CData(piece) => value.push_str(&String::from_utf8_lossy(&piece)),
            Event::GeneralRef(reference) => {
                let escaped = format!("&{};", reference.decode().ok()?);
                value.push_str(&quick_xml::escape::unescape(&escaped).ok()?);
            }
            Event::End(_) => {
                depth = depth.checked_sub(1)?;
                // Only an element without others in it is a column.
                if let Some(name) = open.take() {
                    columns.insert(name, std::mem::take(&mut value));
                }
            }
            Event::Eof => return (depth == 0 && !columns.is_empty()).then_some(columns),
            _ => {}
        }
    }
}
