//! Intake: which record a payload is about, at which revision, and which fields it shows.
//!
//! | shape | from |
//! |---|---|
//! | `{sys_id, number, table, action, current, previous, sys_mod_count?}` | seed 003 and our own rule on `task` |
//! | `{sys_id, number, short_description, state, ..., updated_on}` | seed 004 |
//! | `{table: "sys_journal_field", journal: {...}}` | our own rule on `sys_journal_field` |
//! | `{table: "sys_attachment", attachment: {...}}` | our own rule on `sys_attachment` |
//! | `{table: "x_firn_ping", action: "ping", nonce}` | our own rule that answers `firn integration test` |
//! | `{id, type, occurred_at, record, comment?}` | the platform's events |

use std::collections::BTreeMap;

use firn_model::{
    AttachmentSeen, Attribute, ContentHash, EntrySeen, Millis, Observation, ObservationSource,
    ObservedRecord, PlatformId, Presence, Revision, Side, SysId, TableName, Value, parse_rfc3339,
    parse_servicenow,
};
use serde_json::{Map, Value as Json};

use crate::settings::Rules;
use crate::{json, mapping, wire};

/// A platform's event, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformEvent {
    /// Its own id: the same id again is the same event.
    pub id: String,
    /// The record that it is about.
    pub record: PlatformId,
    /// Whether every mapped field is there.
    pub whole: bool,
    /// The kind of ticket that it would be.
    pub table: TableName,
    /// What it shows.
    pub observation: Observation,
    /// Files of the record that it tells of.
    pub attachments: Vec<AttachmentSeen>,
}

/// Columns that other classes than incident do not have, and that a rule on `task` sends empty.
const ONLY_INCIDENTS: &[&str] = &["urgency", "impact", "caller_id", "category"];

/// Reads ServiceNow's webhook.
///
/// # Errors
/// What is missing or wrong, in a sentence.
pub fn servicenow(rules: &Rules, body: &str) -> Result<Observation, String> {
    let payload = json::object(body)?;
    if let Some(journal) = payload.get("journal") {
        return journal_row(&payload, journal);
    }
    if payload.get("attachment").is_some() {
        // It says that a file was added; which files there are, is asked.
        let record =
            ObservedRecord { id: sys_id(&payload, "sys_id")?.into(), ..ObservedRecord::default() };
        let (side, source) = (Side::External, ObservationSource::Message);
        return Ok(Observation { side, source, record, entries: Vec::new() });
    }
    let id = sys_id(&payload, "sys_id")?;
    let nested = payload.get("current").and_then(Json::as_object);
    let mut attributes = attributes(nested.unwrap_or(&payload));
    // Neither is part of the record's mapped content.
    for meta in ["sys_id", "number", "table", "action", "updated_on", "sys_mod_count"] {
        attributes.retain(|name, _| name.as_str() != meta);
    }
    let class = payload.get("table").and_then(Json::as_str);
    if class.is_some_and(|c| c != "incident") {
        // Columns that only incidents have come back empty from other classes (seed 003): that
        // says nothing about them.
        attributes
            .retain(|name, value| !(value.is_empty() && ONLY_INCIDENTS.contains(&name.as_str())));
    }
    let mod_count = match payload.get("sys_mod_count") {
        None | Some(Json::Null) => None, // Rules from before v2 do not send it.
        Some(value) => Some(mod_count(value)?),
    };
    let updated = match nested {
        Some(current) => current.get("sys_updated_on"),
        None => payload.get("updated_on"),
    };
    let revision = match updated.and_then(Json::as_str) {
        None | Some("") => None,
        Some(text) => {
            let updated = parse_servicenow(text).map_err(|e| e.to_string())?;
            Some(Revision::External { updated, mod_count })
        }
    };
    if nested.is_none() {
        // Seed 004 sends `assigned_to` by its display name: a name is no key, so it is unseen.
        attributes.retain(|name, value| {
            name.as_str() != "assigned_to" || SysId::new(value.to_text()).is_ok()
        });
    }
    let text = |name: &str| payload.get(name).and_then(Json::as_str).map(str::to_owned);
    let deleted = payload.get("action").and_then(Json::as_str) == Some("delete");
    let column = &rules.settings().correlation.column;
    let correlation =
        attributes.get(column).and_then(|v| firn_model::CorrelationKey::new(v.to_text()).ok());
    Ok(Observation {
        side: Side::External,
        source: ObservationSource::Message,
        record: ObservedRecord {
            id: id.into(),
            class: text("table"),
            number: text("number"),
            correlation,
            revision,
            attributes,
            presence: if deleted { Presence::Deleted } else { Presence::There },
        },
        entries: Vec::new(),
    })
}

/// Whether ServiceNow's webhook tells of a file of a ticket.
#[must_use]
pub fn tells_of_attachment(body: &str) -> bool {
    body.contains("\"attachment\"")
        && json::object(body).is_ok_and(|payload| payload.contains_key("attachment"))
}

/// The nonce of a ping: our own rule sends one when somebody asks whether webhooks arrive. It is
/// about no record.
#[must_use]
pub fn ping(body: &str) -> Option<String> {
    const LONGEST: usize = 512;
    if body.len() > LONGEST || !body.contains("x_firn_ping") {
        return None;
    }
    let payload = json::object(body).ok()?;
    let text = |name: &str| payload.get(name).and_then(Json::as_str);
    let is_ping = text("table") == Some("x_firn_ping") && text("action") == Some("ping");
    text("nonce").filter(|nonce| is_ping && !nonce.is_empty()).map(str::to_owned)
}

/// Our rule on `sys_journal_field` sends the row and the record that it belongs to.
fn journal_row(payload: &Map<String, Json>, journal: &Json) -> Result<Observation, String> {
    let id = sys_id(payload, "sys_id")?;
    let text = |name: &str| journal.get(name).and_then(Json::as_str).unwrap_or_default();
    let entry: EntrySeen = wire_entry(text("sys_id"), text("element"), text("value"), text("sys_created_by"), text("sys_created_on"))
        .ok_or("journal needs sys_id, element (comments or work_notes), value, sys_created_by and sys_created_on")?;
    Ok(Observation {
        side: Side::External,
        source: ObservationSource::Message,
        record: ObservedRecord {
            id: id.into(),
            class: payload.get("table").and_then(Json::as_str).map(str::to_owned),
            ..ObservedRecord::default()
        },
        entries: vec![entry],
    })
}

fn wire_entry(id: &str, element: &str, value: &str, author: &str, at: &str) -> Option<EntrySeen> {
    wire::servicenow_entry(id, element, value.to_owned(), author.to_owned(), at)
}

/// Reads a platform's event.
///
/// # Errors
/// What is missing or wrong, in a sentence.
pub fn platform(rules: &Rules, body: &str) -> Result<PlatformEvent, String> {
    let payload = json::object(body)?;
    let id = payload.get("id").and_then(Json::as_str).filter(|t| !t.is_empty() && t.len() <= 256);
    let id = id.ok_or("id is missing: give each event an id of its own")?.to_owned();
    let at = match payload.get("occurred_at").and_then(Json::as_str) {
        None => None,
        Some(text) => Some(parse_rfc3339(text).map_err(|e| format!("occurred_at: {e}"))?),
    };
    let record = payload.get("record").and_then(Json::as_object).ok_or("record is missing")?;
    well_formed(record)?;
    let mut seen = wire::platform_record(record, at).ok_or("record.id is missing")?;
    let kind = payload.get("type").and_then(Json::as_str).unwrap_or_default();
    if is_deletion(kind) && payload.get("comment").is_none_or(Json::is_null) {
        seen.presence = Presence::Deleted;
    }
    let about = PlatformId::new(seen.id.clone()).map_err(|e| e.to_string())?;
    let partial = record.get("partial").and_then(Json::as_bool).unwrap_or(true);
    let context = serde_json::json!({ "record": with_kind(record) });
    let table = rules.table_for(&context);
    if !partial {
        // A record that is shown whole has nothing where it shows nothing: a template's "or" counts
        // on that.
        for field in rules.fields(&table) {
            if let crate::settings::Mapping::ToServicenow { inputs, .. } = &field.mapping {
                for input in inputs {
                    seen.attributes.entry(input.clone()).or_default();
                }
            }
        }
    }
    let whole = !partial
        && rules.fields(&table).iter().all(|f| {
            mapping::attributes(f, Side::Platform).iter().all(|a| seen.attributes.contains_key(a))
        });
    let entries = match payload.get("comment") {
        None | Some(Json::Null) => Vec::new(),
        Some(comment) => vec![wire::platform_comment(comment, at)?],
    };
    Ok(PlatformEvent {
        id,
        record: about,
        whole,
        table,
        observation: Observation {
            side: Side::Platform,
            source: ObservationSource::Message,
            record: seen,
            entries,
        },
        attachments: attachments(payload.get("attachments"))?,
    })
}

/// What a record has: an event may tell that it was deleted, and says nothing of the record then.
const PARTS: [&str; 10] = [
    "comment",
    "note",
    "work_note",
    "message",
    "reply",
    "attachment",
    "file",
    "tag",
    "label",
    "link",
];

/// Whether an event's `type` says that its record was deleted: `deleted`, or `incident.deleted`.
fn is_deletion(kind: &str) -> bool {
    match kind.rsplit_once('.') {
        None => kind == "deleted",
        Some((what, "deleted")) => {
            let what = what.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
            !PARTS.contains(&what.as_str())
        }
        Some(_) => false,
    }
}

/// The files of an event: `[{id, name, content_type, size?, sha256?}]`.
fn attachments(list: Option<&Json>) -> Result<Vec<AttachmentSeen>, String> {
    const MOST: usize = 100;
    let list = match list {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::Array(list)) if list.len() <= MOST => list,
        Some(_) => return Err(format!("attachments must be a list of at most {MOST} files")),
    };
    let read = |(n, file): (usize, &Json)| -> Result<AttachmentSeen, String> {
        let text = |name: &str, most: usize| {
            let given = file.get(name).and_then(Json::as_str);
            let fits = |t: &&str| (1..=most).contains(&t.chars().count());
            given.filter(fits).map(str::to_owned).ok_or_else(|| {
                format!("attachments[{n}].{name} must be a text of 1 to {most} characters")
            })
        };
        let size = match file.get("size") {
            None | Some(Json::Null) => None,
            Some(size) => Some(
                size.as_u64()
                    .ok_or(format!("attachments[{n}].size must be a whole number of bytes"))?,
            ),
        };
        let hash = match file.get("sha256") {
            None | Some(Json::Null) => None,
            Some(hash) => Some(
                hash.as_str()
                    .and_then(|hash| ContentHash::new(hash.to_ascii_lowercase()).ok())
                    .ok_or(format!("attachments[{n}].sha256 must be 64 hexadecimal digits"))?,
            ),
        };
        let media_type = text("content_type", 255)?;
        Ok(AttachmentSeen {
            id: text("id", 256)?,
            name: text("name", 1_024)?,
            media_type,
            size,
            hash,
        })
    };
    list.iter().enumerate().map(read).collect()
}

/// A record as a condition sees it: its attributes, and its `kind`.
fn with_kind(record: &Map<String, Json>) -> Json {
    let mut seen = record.get("fields").and_then(Json::as_object).cloned().unwrap_or_default();
    if let Some(kind) = record.get("kind") {
        seen.entry("kind").or_insert(kind.clone());
    }
    Json::Object(seen)
}

/// What the published schema says of a record: a value that we could not carry is not taken.
fn well_formed(record: &Map<String, Json>) -> Result<(), String> {
    match record.get("version") {
        None | Some(Json::Null) => {}
        Some(version) if version.as_u64().is_some() => {}
        Some(_) => return Err("record.version must be a whole number from 0 on".to_owned()),
    }
    if !matches!(record.get("partial"), None | Some(Json::Bool(_))) {
        return Err("record.partial must be true or false".to_owned());
    }
    match record.get("fields") {
        None | Some(Json::Null) => Ok(()),
        Some(Json::Object(fields)) => match fields.iter().find(|(name, value)| {
            Value::from_json(value).is_none() || Attribute::new((*name).clone()).is_err()
        }) {
            Some((name, _)) => Err(format!(
                "record.fields.{name} must be a text, a whole number, a boolean or null"
            )),
            None => Ok(()),
        },
        Some(_) => Err("record.fields must be an object".to_owned()),
    }
}

fn sys_id(payload: &Map<String, Json>, name: &str) -> Result<SysId, String> {
    let text = payload.get(name).and_then(Json::as_str).ok_or(format!("{name} is missing"))?;
    SysId::new(text).map_err(|e| e.to_string())
}

fn mod_count(value: &Json) -> Result<u32, String> {
    let text = match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    wire::servicenow_count(&text)
        .ok_or_else(|| "sys_mod_count must be a decimal integer from 0 to 2147483647".to_owned())
}

fn attributes(object: &Map<String, Json>) -> BTreeMap<Attribute, Value> {
    object
        .iter()
        .filter_map(|(name, value)| {
            Some((Attribute::new(name.clone()).ok()?, Value::from_json(value)?))
        })
        .collect()
}

/// The identity of a webhook that carries no id of its own: the record at its revision, or a
/// digest of the body where that is not known.
#[must_use]
pub fn webhook_identity(observation: Option<&Observation>, body: &str) -> String {
    let revision = observation.and_then(|o| match o.record.revision {
        Some(Revision::External { mod_count: Some(n), .. }) if o.entries.is_empty() => {
            Some(format!("{}-{n}", o.record.id))
        }
        _ => None,
    });
    let entry =
        observation.and_then(|o| o.entries.first()).map(|e| format!("journal-{}", e.origin.id()));
    revision.or(entry).unwrap_or_else(|| format!("body-{}", crate::identity::digest(&[body])))
}

/// The instant of a text that may be an RFC 3339 time.
pub(crate) fn instant(text: Option<&str>) -> Option<Millis> {
    text.and_then(|t| parse_rfc3339(t).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use firn_model::Preset;

    fn rules() -> Rules {
        sample::rules(Preset::Incidents)
    }

    const SEED_003: &str = r#"{
      "sys_id": "a1b2c3d4e5f60718293a4b5c6d7e8f90", "number": "INC0010001", "sys_mod_count": "7",
      "table": "incident", "action": "insert",
      "current": { "short_description": "Printer is offline",
        "description": "User reports the 3rd-floor MFP is unresponsive.",
        "state": "1", "priority": "3", "urgency": "2", "impact": "3",
        "assignment_group": "", "assigned_to": "", "caller_id": "", "company": "",
        "category": "hardware", "sys_updated_on": "2026-04-29 14:30:00", "sys_created_on": "2026-04-29 14:30:00" },
      "previous": { "state": "1", "priority": "2", "assignment_group": "", "assigned_to": "" } }"#;

    #[test]
    fn seed_003_with_and_without_the_counter() {
        let observation = servicenow(&rules(), SEED_003).unwrap();
        let updated = parse_servicenow("2026-04-29 14:30:00").unwrap();
        assert_eq!(
            observation.record.revision,
            Some(Revision::External { updated, mod_count: Some(7) })
        );
        assert_eq!(observation.record.number.as_deref(), Some("INC0010001"));
        let old = SEED_003.replace(r#""sys_mod_count": "7","#, "");
        let observation = servicenow(&rules(), &old).unwrap();
        assert_eq!(
            observation.record.revision,
            Some(Revision::External { updated, mod_count: None })
        );
    }

    #[test]
    fn seed_004_where_a_name_is_not_a_reference() {
        let body = r#"{"sys_id":"a1b2c3d4e5f60718293a4b5c6d7e8f90","number":"INC0010001",
            "short_description":"Printer is offline","state":"2","priority":"3","impact":"3",
            "assigned_to":"Ann Lee","updated_on":"2026-04-29 14:30:00"}"#;
        let observation = servicenow(&rules(), body).unwrap();
        let names: Vec<&str> =
            observation.record.attributes.keys().map(Attribute::as_str).collect();
        assert_eq!(names, ["impact", "priority", "short_description", "state"]);
    }

    #[test]
    fn what_cannot_be_understood_says_why() {
        for (body, why) in [
            ("{", "EOF"),
            (r#"{"number":"INC1"}"#, "sys_id is missing"),
            (r#"{"sys_id":"../../sys_user"}"#, "32 hexadecimal"),
            (
                r#"{"sys_id":"a1b2c3d4e5f60718293a4b5c6d7e8f90","sys_mod_count":"-1"}"#,
                "sys_mod_count",
            ),
            (
                r#"{"sys_id":"a1b2c3d4e5f60718293a4b5c6d7e8f90","updated_on":"yesterday"}"#,
                "yesterday",
            ),
        ] {
            let error = servicenow(&rules(), body).unwrap_err();
            assert!(error.contains(why), "{body}: {error}");
        }
    }

    #[test]
    fn an_event_that_breaks_the_schema_is_not_taken() {
        for (record, why) in [
            (r#"{"id":"1","version":-1}"#, "version"),
            (r#"{"id":"1","version":"7"}"#, "version"),
            (r#"{"id":"1","partial":"no"}"#, "partial"),
            (r#"{"id":"1","fields":[]}"#, "fields"),
            (r#"{"id":"1","fields":{"title":{"a":1}}}"#, "fields.title"),
            (r#"{"id":"1","fields":{"title":1.5}}"#, "fields.title"),
            (r#"{"version":1}"#, "id"),
        ] {
            let error =
                platform(&rules(), &format!(r#"{{"id":"e1","record":{record}}}"#)).unwrap_err();
            assert!(error.contains(why), "{record}: {error}");
        }
    }

    #[test]
    fn a_ping_is_about_no_record() {
        let body = r#"{"table":"x_firn_ping","action":"ping","nonce":"n1"}"#;
        assert_eq!(ping(body).as_deref(), Some("n1"));
        assert_eq!(ping(&body.replace("n1", "")), None);
        assert_eq!(ping(&body.replace("\"ping\"", "\"update\"")), None);
        assert_eq!(ping(SEED_003), None);
    }

    #[test]
    fn files_of_an_event_are_named_by_id_name_and_type() {
        let event = |file: &str| {
            platform(
                &rules(),
                &format!(r#"{{"id":"e1","record":{{"id":"42"}},"attachments":[{file}]}}"#),
            )
        };
        let whole = format!(
            r#"{{"id":"f1","name":"a.png","content_type":"image/png","size":3,"sha256":"{}"}}"#,
            "AB".repeat(32)
        );
        let seen = event(&whole).unwrap().attachments;
        assert_eq!(seen[0].hash.as_ref().map(ContentHash::as_str), Some("ab".repeat(32).as_str()));
        assert!(
            event(r#"{"id":"f1","name":"a","content_type":"x"}"#).unwrap().attachments[0]
                .hash
                .is_none()
        );
        for (file, why) in [
            (r#"{"name":"a","content_type":"x"}"#, "attachments[0].id"),
            (r#"{"id":"f1","name":"","content_type":"x"}"#, "attachments[0].name"),
            (r#"{"id":"f1","name":"a"}"#, "attachments[0].content_type"),
            (r#"{"id":"f1","name":"a","content_type":"x","size":-1}"#, "attachments[0].size"),
            (r#"{"id":"f1","name":"a","content_type":"x","sha256":"12"}"#, "attachments[0].sha256"),
        ] {
            let error = event(file).unwrap_err();
            assert!(error.contains(why), "{file}: {error}");
        }
    }

    #[test]
    fn an_attachment_tells_of_its_record_alone() {
        let body = r#"{"table":"sys_attachment","action":"insert","sys_id":"a1b2c3d4e5f60718293a4b5c6d7e8f90",
            "attachment":{"sys_id":"b1b2c3d4e5f60718293a4b5c6d7e8f90","file_name":"card 4111111111111111.png"}}"#;
        let observation = servicenow(&rules(), body).unwrap();
        assert_eq!(observation.record.id, "a1b2c3d4e5f60718293a4b5c6d7e8f90");
        assert!(observation.record.attributes.is_empty());
    }

    #[test]
    fn a_comment_needs_an_audience() {
        let event = |visibility: &str| {
            format!(
                r#"{{"id":"e1","type":"comment.added","record":{{"id":"42"}},"comment":{{"id":"c1","text":"hi","visibility":"{visibility}"}}}}"#
            )
        };
        assert_eq!(platform(&rules(), &event("public")).unwrap().observation.entries.len(), 1);
        assert!(platform(&rules(), &event("everyone")).unwrap_err().contains("visibility"));
    }
}
