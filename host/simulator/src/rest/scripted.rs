//! Scripted REST resources: rows of `sys_ws_definition` and `sys_ws_operation`, executed.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Body, Request, Response, failure};
use crate::script::{self, RestRequest};
use crate::session::Session;
use crate::tables::Record;

/// Serves a request by the resource that fits; `None` if there is none.
pub(super) fn serve(
    session: &Rc<Session>,
    request: &Request,
    namespace: &str,
    service: &str,
    rest: &[&str],
) -> Option<Response> {
    let of = |row: &Record, name: &str| row.get(name).cloned().unwrap_or_default();
    let (script, path) = {
        let instance = session.lock();
        let definition = instance.tables.of("sys_ws_definition").find(|row| {
            of(row, "service_id") == service
                && of(row, "namespace") == namespace
                && of(row, "active") == "true"
        })?;
        let id = of(definition, "sys_id");
        instance
            .tables
            .of("sys_ws_operation")
            .filter(|row| {
                of(row, "web_service_definition") == id
                    && of(row, "active") == "true"
                    && of(row, "http_method") == request.method
            })
            .find_map(|row| {
                Some((of(row, "operation_script"), fits(&of(row, "relative_path"), rest)?))
            })?
    };
    let mut query: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &request.query {
        query.entry(name.clone()).or_default().push(value.clone());
    }
    let asked = RestRequest {
        body: request.text(),
        query,
        path,
        headers: request.headers.clone(),
        uri: request.path.clone(),
    };
    let answer = script::rest(session, &script, &asked);
    if let Some(why) = answer.failed {
        return Some(failure(500, "Script failed", Some(&why)));
    }
    let body = if answer.body.is_null() { Body::None } else { Body::Json(answer.body) };
    Some(Response { status: answer.status, headers: answer.headers, body })
}

/// The parameters of a path that fits `/tickets/{id}`.
fn fits(pattern: &str, path: &[&str]) -> Option<BTreeMap<String, String>> {
    let pattern: Vec<&str> = pattern.split('/').filter(|s| !s.is_empty()).collect();
    if pattern.len() != path.len() {
        return None;
    }
    let mut parameters = BTreeMap::new();
    for (expected, found) in pattern.into_iter().zip(path) {
        match expected.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => {
                parameters.insert(name.to_owned(), (*found).to_owned());
            }
            None if expected == *found => {}
            None => return None,
        }
    }
    Some(parameters)
}
