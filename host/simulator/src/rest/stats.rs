//! The Aggregate API: counts and sums over what a query finds. Numbers are texts.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::{Request, Response, failure, refused, seen};
use crate::session::Session;
use crate::tables::{Record, Refused};
use crate::view::View;

pub(super) fn serve(session: &Session, request: &Request, view: &View, table: &str) -> Response {
    if request.method != "GET" {
        return failure(405, "Method not supported", None);
    }
    if !session.lock().tables.exists(table) {
        return refused(&Refused::NoTable(table.to_owned()));
    }
    let query = super::table::query(session, request, table);
    let Some(rows) = seen(session, table, &query) else {
        return failure(403, "Insufficient rights to query records", None);
    };
    let list = |name: &str| -> Vec<String> {
        let text = request.parameter(name).unwrap_or_default();
        text.split(',').filter(|f| !f.is_empty()).map(str::to_owned).collect()
    };
    let by = list("sysparm_group_by");
    let of = |rows: &[&Record]| {
        let mut stats = Map::new();
        if request.is_on("sysparm_count") {
            stats.insert("count".to_owned(), json!(rows.len().to_string()));
        }
        for kind in ["min", "max", "sum", "avg"] {
            let fields = list(&format!("sysparm_{kind}_fields"));
            if fields.is_empty() {
                continue;
            }
            let values = fields.into_iter().map(|field| {
                let value = aggregate(kind, rows.iter().filter_map(|row| row.get(&field)));
                (field, json!(value))
            });
            stats.insert(kind.to_owned(), Json::Object(values.collect()));
        }
        Json::Object(stats)
    };
    if by.is_empty() {
        let all: Vec<&Record> = rows.iter().collect();
        return Response::json(200, json!({ "result": { "stats": of(&all) } }));
    }
    let instance = session.lock();
    let mut groups: BTreeMap<Vec<String>, Vec<&Record>> = BTreeMap::new();
    for row in &rows {
        let key = by.iter().map(|field| instance.tables.walk(row, field)).collect();
        groups.entry(key).or_default().push(row);
    }
    let having = request.parameter("sysparm_having").unwrap_or_default();
    let shown = view.display != crate::view::Display::Raw;
    let result: Vec<Json> = groups
        .into_iter()
        .filter(|(_, rows)| has(having, rows.len()))
        .map(|(key, rows)| {
            let fields: Vec<Json> = by
                .iter()
                .zip(&key)
                .map(|(field, value)| {
                    let value = match rows.first().filter(|_| shown) {
                        Some(row) => instance.tables.display_of(row, field),
                        None => value.clone(),
                    };
                    json!({ "field": field, "value": value })
                })
                .collect();
            json!({ "stats": of(&rows), "groupby_fields": fields })
        })
        .collect();
    Response::json(200, json!({ "result": result }))
}

/// `count^state^>^3`, of which only counts are kept.
fn has(having: &str, count: usize) -> bool {
    let parts: Vec<&str> = having.split('^').collect();
    let ["count", _, operator, limit] = parts.as_slice() else { return true };
    let Ok(limit) = limit.parse::<usize>() else { return true };
    match *operator {
        ">" => count > limit,
        ">=" => count >= limit,
        "<" => count < limit,
        "<=" => count <= limit,
        "=" => count == limit,
        "!=" => count != limit,
        _ => true,
    }
}

fn aggregate<'a>(kind: &str, values: impl Iterator<Item = &'a String>) -> String {
    let values: Vec<&String> = values.filter(|value| !value.is_empty()).collect();
    let numbers: Vec<f64> = values.iter().filter_map(|value| value.parse().ok()).collect();
    let text = |of: Option<&&String>| of.map_or(String::new(), |text| (*text).clone());
    match kind {
        // Dates are texts, and sort as such.
        "min" if numbers.len() < values.len() => text(values.iter().min()),
        "max" if numbers.len() < values.len() => text(values.iter().max()),
        _ if numbers.is_empty() => String::new(),
        "min" => numbers.iter().copied().fold(f64::INFINITY, f64::min).to_string(),
        "max" => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max).to_string(),
        "sum" => numbers.iter().sum::<f64>().to_string(),
        _ => {
            let count = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            format!("{:.4}", numbers.iter().sum::<f64>() / f64::from(count))
        }
    }
}
