//! Encoded queries of the fake ServiceNow, as far as sweeps ask: conditions that all must hold, an
//! order, a limit and an offset.

use std::cmp::Ordering;

use firn_model::HttpRequest;
use serde_json::{Value as Json, json};

fn parameter<'r>(request: &'r HttpRequest, name: &str) -> &'r str {
    let found = request.query.iter().find(|(n, _)| n == name);
    found.map(|(_, value)| value.as_str()).unwrap_or_default()
}

/// Whether a request is one of a sweep: nothing else asks for rows of a table in an order of time.
pub(crate) fn is_poll(request: &HttpRequest) -> bool {
    let query = parameter(request, "sysparm_query");
    query.starts_with("sys_idIN")
        || query.starts_with("element_idIN")
        || query.split('^').any(|part| {
            ["sys_updated_on", "sys_created_on"].iter().any(|time| {
                part.strip_prefix(time).is_some_and(|rest| rest.starts_with(['>', '=']))
                    || part == format!("ORDERBYDESC{time}")
            })
        })
}

/// The rows that a request asks for, and how many there are without its limit. `shown`: which of
/// them the user may see; those that may not be seen count all the same, if it is the `whole` that is counted.
pub(crate) fn answer(
    request: &HttpRequest,
    mut rows: Vec<Json>,
    shown: impl Fn(&Json) -> bool,
    whole: bool,
) -> (Json, usize) {
    let text = |row: &Json, column: &str| row[column].as_str().unwrap_or_default().to_owned();
    let parts: Vec<&str> = parameter(request, "sysparm_query").split('^').collect();
    let holds = |row: &Json, part: &str| {
        let of = |sign: &str| part.split_once(sign).map(|(c, v)| (text(row, c), v.to_owned()));
        if part.starts_with("ORDERBY") {
            true
        } else if let Some((is, wanted)) = of("<=") {
            is <= wanted
        } else if let Some((is, wanted)) = of(">=") {
            is >= wanted
        } else if let Some((is, wanted)) = of(">") {
            is > wanted
        } else if let Some((is, wanted)) = of("=") {
            is == wanted
        } else if let Some((is, wanted)) = of("IN") {
            wanted.split(',').any(|one| one == is)
        } else {
            true // An instance drops what it does not understand.
        }
    };
    rows.retain(|row| parts.iter().all(|part| holds(row, part)));
    rows.sort_by(|a, b| {
        parts
            .iter()
            .filter_map(|part| {
                let down = part.strip_prefix("ORDERBYDESC");
                let column = down.or(part.strip_prefix("ORDERBY"))?;
                let order = text(a, column).cmp(&text(b, column));
                Some(if down.is_some() { order.reverse() } else { order })
            })
            .find(|order| *order != Ordering::Equal)
            .unwrap_or(Ordering::Equal)
    });
    let total = if whole { rows.len() } else { rows.iter().filter(|row| shown(row)).count() };
    let number = |name: &str| parameter(request, name).parse::<usize>().ok();
    let page = rows
        .into_iter()
        .skip(number("sysparm_offset").unwrap_or(0))
        .take(number("sysparm_limit").unwrap_or(10_000))
        .filter(shown);
    (json!({ "result": page.collect::<Vec<_>>() }), total)
}
