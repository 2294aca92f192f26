//! The platform's side of the wire: one POST per change to its callback, one GET to read.
//!
//! Out: `{id, key, record: {kind, id}, expect, set, comment?}`. The platform compares `expect`,
//! answers 2xx with `{record}` (applied; the same `key` again is not applied twice), or 409/412
//! with `{record}` (it was not as expected).

use std::collections::BTreeMap;

use firn_model::{
    Attribute, Body, Comment, EntryOrigin, EntrySeen, Exchange, ExchangeKind, HttpResponse,
    JournalText, Link, Method, Millis, ObservedRecord, Outcome, Presence, Preset, Remote, Revision,
    Side, TableName, Value, Verb, WorkNote, parse_rfc3339, rfc3339_text,
};
use serde_json::{Map, Value as Json, json};

use super::{Parts, malformed};
use crate::land::Reading;
use crate::settings::Rules;

pub(super) fn request(rules: &Rules, link: &Link, exchange: &Exchange) -> Option<Parts> {
    if exchange.kind == ExchangeKind::Read {
        return Some(Parts {
            remote: Remote::PlatformRead,
            method: Method::Get,
            path: link.platform_id.as_str().to_owned(),
            query: Vec::new(),
            body: None,
        });
    }
    let write = &link.platform_side.flight.as_ref()?.write;
    let mut body = json!({
        "id": write.key,
        "key": write.key,
        "record": { "kind": kind(rules.settings().preset, &link.table), "id": link.platform_id },
        "expect": {},
        "set": {},
    });
    if let Some(external) = &link.external {
        body["record"]["ticket"] = json!({ "sys_id": external.sys_id, "number": external.number, "table": external.table });
    }
    // A ticket that began in ServiceNow, and of which the platform has never shown anything.
    if link.origin == Side::External && link.fields.values().all(|f| f.platform.is_none()) {
        body["record"]["new"] = true.into();
    }
    match &write.verb {
        Verb::Update { set, .. } => {
            for translated in set.values() {
                for (attribute, value) in &translated.shape.0 {
                    body["set"][attribute.as_str()] = value.to_json();
                }
            }
            for (attribute, value) in write.expect.fields.values().flatten().flat_map(|s| &s.0) {
                body["expect"][attribute.as_str()] = value.to_json();
            }
        }
        Verb::Append { entry, text, .. } => {
            let known = link.entries.iter().find(|e| e.origin == *entry);
            body["comment"] = match text {
                JournalText::Comment(comment) => public(entry, comment),
                JournalText::WorkNote(note) => internal(entry, note),
            };
            if let Some(known) = known {
                body["comment"]["author"] = known.author.clone().into();
                body["comment"]["at"] = rfc3339_text(known.at).into();
            }
        }
        Verb::Create { .. } | Verb::Retire { .. } => return None,
    }
    Some(Parts {
        remote: Remote::PlatformCallback,
        method: Method::Post,
        path: String::new(),
        query: Vec::new(),
        body: Some(Body::Json(body.to_string())),
    })
}

/// The only place where text becomes visible to a customer; it takes nothing but a [`Comment`].
fn public(origin: &EntryOrigin, Comment(text): &Comment) -> Json {
    json!({ "id": origin.id(), "text": text, "visibility": "public" })
}

fn internal(origin: &EntryOrigin, WorkNote(text): &WorkNote) -> Json {
    json!({ "id": origin.id(), "text": text, "visibility": "internal" })
}

/// What the platform calls the records of a preset that are of a table.
pub(crate) fn kind(preset: Preset, table: &TableName) -> &'static str {
    match preset {
        Preset::Incidents => "incident",
        Preset::Genesys => "call",
        Preset::Bot => "conversation",
        Preset::Neo => "ticket",
        Preset::Helpdesk => "case",
        Preset::Crm => match table.as_str() {
            "customer_account" => "account",
            "customer_contact" => "contact",
            _ => "user",
        },
        Preset::Content => "article",
    }
}

pub(super) fn reading(link: &Link, exchange: &Exchange, response: &HttpResponse) -> Reading {
    let json: Json = serde_json::from_str(&response.body).unwrap_or(Json::Null);
    let of_answer = json.get("record").and_then(Json::as_object);
    let seen = of_answer.or(json.as_object()).and_then(|r| answered(link, exchange, r));
    let seen = seen.filter(|r| r.id == link.platform_id.as_str());
    match exchange.kind {
        ExchangeKind::Send => Reading::Outcome(Outcome::Applied(seen)),
        _ => match seen {
            Some(seen) => Reading::Record(seen, entries(&json)),
            None => malformed("not the record that was asked for"),
        },
    }
}

/// The record that an answer shows. One without a version and a time is at least as new as the question, not as new as
/// the answer: what was changed in between is newer.
fn answered(link: &Link, exchange: &Exchange, shown: &Map<String, Json>) -> Option<ObservedRecord> {
    let mut seen = record(shown, None)?;
    if seen.revision.is_none() {
        let at = link.platform_side.theirs(exchange.since);
        seen.revision = Some(Revision::Platform { version: None, at });
    }
    Some(seen)
}

/// 409 or 412: the record was not as expected.
pub(super) fn moved(link: &Link, exchange: &Exchange, response: &HttpResponse) -> Option<Outcome> {
    if !matches!(response.status, 409 | 412) {
        return None;
    }
    let json: Json = serde_json::from_str(&response.body).ok()?;
    answered(link, exchange, json.get("record")?.as_object()?).map(Outcome::Moved)
}

fn entries(json: &Json) -> Vec<EntrySeen> {
    let list = json.get("comments").and_then(Json::as_array);
    list.into_iter().flatten().filter_map(|c| comment(c, None).ok()).collect()
}

/// Reads `{id, kind, version?, updated_at?, fields}`.
pub fn record(record: &Map<String, Json>, at: Option<Millis>) -> Option<ObservedRecord> {
    let id = match record.get("id")? {
        Json::String(id) => id.clone(),
        Json::Number(id) => id.to_string(),
        _ => return None,
    };
    let updated =
        record.get("updated_at").and_then(Json::as_str).and_then(|t| parse_rfc3339(t).ok());
    let at = updated.or(at);
    let version = record.get("version").and_then(Json::as_u64);
    let fields = record.get("fields").and_then(Json::as_object);
    let attributes: BTreeMap<Attribute, Value> = fields
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| {
            Some((Attribute::new(name.clone()).ok()?, Value::from_json(value)?))
        })
        .collect();
    Some(ObservedRecord {
        id,
        class: record.get("kind").and_then(Json::as_str).map(str::to_owned),
        number: None,
        correlation: None,
        revision: match (version, at) {
            (None, None) => None,
            (version, at) => Some(Revision::Platform { version, at: at.unwrap_or(Millis(0)) }),
        },
        attributes,
        presence: Presence::There,
    })
}

/// Reads `{id, author, text, visibility, at?}`. A comment without a visibility that we know is
/// refused: guessing could show an internal note to a customer.
pub(crate) fn comment(json: &Json, at: Option<Millis>) -> Result<EntrySeen, String> {
    let text = |name: &str| json.get(name).and_then(Json::as_str).filter(|t| !t.is_empty());
    let id = text("id").ok_or("comment.id is missing")?;
    let said = text("text").ok_or("comment.text is missing")?.to_owned();
    let text_of = match json.get("visibility").and_then(Json::as_str) {
        Some("public") => JournalText::Comment(Comment(said)),
        Some("internal") => JournalText::WorkNote(WorkNote(said)),
        _ => {
            return Err("comment.visibility must be \"public\" or \"internal\"".to_owned());
        }
    };
    let at = json.get("at").and_then(Json::as_str).and_then(|t| parse_rfc3339(t).ok()).or(at);
    Ok(EntrySeen {
        origin: EntryOrigin::Platform(id.to_owned()),
        text: text_of,
        author: text("author").unwrap_or("platform").to_owned(),
        at: at.unwrap_or(Millis(0)),
    })
}
