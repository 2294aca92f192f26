//! The Batch API: requests in a request, one after another.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::{Body, Request, Response, failure};
use crate::rates::Counted;
use crate::session::Session;

/// What did not begin within this time is not served.
const QUOTA: Duration = Duration::from_secs(30);

pub(super) fn serve(session: &Rc<Session>, request: &Request) -> Response {
    let Ok(asked) = serde_json::from_slice::<Json>(&request.body) else {
        return failure(
            400,
            "Exception while reading request",
            Some("The payload is not valid JSON"),
        );
    };
    let began = Instant::now();
    let (mut served, mut unserved) = (Vec::new(), Vec::new());
    for one in asked["rest_requests"].as_array().into_iter().flatten() {
        let id = one["id"].as_str().unwrap_or_default();
        if began.elapsed() > QUOTA {
            unserved.push(id.to_owned());
            continue;
        }
        served.push(inner(session, request, one, id));
    }
    let answer = json!({
        "batch_request_id": asked["batch_request_id"],
        "serviced_requests": served,
        "unserviced_requests": unserved,
    });
    Response::json(200, answer)
}

fn inner(session: &Rc<Session>, outer: &Request, one: &Json, id: &str) -> Json {
    let address = one["url"].as_str().unwrap_or_default();
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let mut headers: BTreeMap<String, String> = outer
        .headers
        .iter()
        .filter(|(name, _)| name.as_str() == "authorization")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for header in one["headers"].as_array().into_iter().flatten() {
        let of = |name: &str| header[name].as_str().unwrap_or_default();
        headers.insert(of("name").to_ascii_lowercase(), of("value").to_owned());
    }
    let body = one["body"].as_str().and_then(|body| STANDARD.decode(body).ok()).unwrap_or_default();
    let request = Request {
        method: one["method"].as_str().unwrap_or("GET").to_uppercase(),
        path: path.to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers,
        body,
        base: outer.base.clone(),
    };
    let began = Instant::now();
    let counts = !session.lock().tables.quirks.batch_counts_once;
    let over = counts && {
        let mut instance = session.lock();
        let crate::serve::Instance { rates, tables, .. } = &mut *instance;
        matches!(rates.count(tables, &session.user, &request.path), Counted::Over { .. })
    };
    let response = if over {
        failure(429, "Rate limit exceeded", None)
    } else if request.path.ends_with("/batch") {
        failure(400, "Requested URI does not represent any resource", None)
    } else {
        super::answer(session, &request)
    };
    let bytes = match response.body {
        Body::None => Vec::new(),
        Body::Json(body) => body.to_string().into_bytes(),
        Body::Bytes(bytes) => bytes,
    };
    let headers: Vec<Json> = if one["exclude_response_headers"] == true {
        Vec::new()
    } else {
        let named = response.headers.iter();
        named.map(|(name, value)| json!({ "name": name, "value": value })).collect()
    };
    json!({
        "id": id,
        "body": STANDARD.encode(bytes),
        "status_code": response.status,
        "status_text": if response.status < 300 { "OK" } else { "Error" },
        "headers": headers,
        "execution_time": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "error_message": "",
        "redirect_url": "",
    })
}
