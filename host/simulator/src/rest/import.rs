//! The Import Set API: a staging row, and the record that its transform map makes or finds. The map's
//! coalescing columns are the instance's own idempotent upsert.

use std::rc::Rc;

use serde_json::json;

use super::{Request, Response, columns, failure, refused, unwritable};
use crate::session::Session;
use crate::tables::{Record, Refused};

pub(super) fn serve(
    session: &Rc<Session>,
    request: &Request,
    staging: &str,
    rest: &[&str],
) -> Response {
    if request.method != "POST" || !rest.is_empty() {
        return failure(405, "Method not supported", None);
    }
    {
        let instance = session.lock();
        if !instance.tables.exists(staging) {
            return refused(&Refused::NoTable(staging.to_owned()));
        }
        if !instance.access.write(&instance.tables, &session.user, staging) {
            return unwritable("Insert");
        }
    }
    let row = match columns(session, request) {
        Ok(row) => row,
        Err(response) => return response,
    };
    let set = {
        let mut instance = session.lock();
        instance.imports += 1;
        format!("ISET{:07}", 10_000 + instance.imports)
    };
    let (mut failed, mut results) = (false, Vec::new());
    for (map, target, entries) in maps(session, staging) {
        let values: Record = match entries.as_slice() {
            // Without entries the columns of the same name are taken.
            [] => row.clone(),
            entries => entries
                .iter()
                .filter_map(|e| Some((e.target.clone(), row.get(&e.source)?.clone())))
                .collect(),
        };
        let keys: Vec<&str> =
            entries.iter().filter(|e| e.coalesce).map(|e| e.target.as_str()).collect();
        let done = upsert(session, &target, &keys, &values);
        failed |= done.is_err();
        results.push(match done {
            Ok((status, record)) => {
                let of = |name: &str| record.get(name).cloned().unwrap_or_default();
                let id = of("sys_id");
                json!({ "transform_map": map, "table": target, "display_name": "number",
                    "display_value": of("number"), "status": status, "sys_id": id,
                    "record_link": format!("{}/api/now/table/{target}/{id}", request.base) })
            }
            Err(why) => json!({ "transform_map": map, "table": target, "status": "error",
                "error_message": why.to_string() }),
        });
    }
    if let Err(why) = session.insert(staging, &row, false) {
        return refused(&why);
    }
    let status = if failed && session.lock().tables.quirks.import_error_400 { 400 } else { 201 };
    let body = json!({ "import_set": set, "staging_table": staging, "result": results });
    Response::json(status, body)
}

struct Entry {
    source: String,
    target: String,
    coalesce: bool,
}

fn maps(session: &Session, staging: &str) -> Vec<(String, String, Vec<Entry>)> {
    let instance = session.lock();
    let of = |row: &Record, name: &str| row.get(name).cloned().unwrap_or_default();
    instance
        .tables
        .of("sys_transform_map")
        .filter(|map| of(map, "source_table") == staging && of(map, "active") == "true")
        .map(|map| {
            let id = of(map, "sys_id");
            let entries = instance
                .tables
                .of("sys_transform_entry")
                .filter(|entry| of(entry, "map") == id)
                .map(|entry| Entry {
                    source: of(entry, "source_field"),
                    target: of(entry, "target_field"),
                    coalesce: of(entry, "coalesce") == "true",
                })
                .collect();
            (of(map, "name"), of(map, "target_table"), entries)
        })
        .collect()
}

/// Finds the record with the same keys, or makes one. Two that come at once make one: an instance
/// runs the rows of a staging table one after another.
fn upsert(
    session: &Rc<Session>,
    target: &str,
    keys: &[&str],
    values: &Record,
) -> Result<(&'static str, Record), Refused> {
    let gate = Rc::clone(session).lock().import_gate.clone();
    let _one_at_a_time = gate.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let value = |key: &str| values.get(key).cloned().unwrap_or_default();
    let found = {
        let instance = session.lock();
        let fits = |row: &&Record| {
            !keys.is_empty()
                && keys.iter().all(|key| {
                    let wanted = value(key);
                    !wanted.is_empty() && row.get(*key) == Some(&wanted)
                })
        };
        instance.tables.of(target).find(fits).cloned()
    };
    let Some(found) = found else {
        return session.insert(target, values, true).map(|record| ("inserted", record));
    };
    let id = found.get("sys_id").cloned().unwrap_or_default();
    let after = session.update(target, &id, values, true)?;
    let same = after.get("sys_mod_count") == found.get("sys_mod_count");
    Ok((if same { "ignored" } else { "updated" }, after))
}
