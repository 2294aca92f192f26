//! Payloads in the words of whoever they go to. Nothing is known but the payload: no base, so no field is
//! held back because the other side owns it; no link, so what began as which record is in the ticket's key.

use std::collections::BTreeMap;

use firn_model::{
    JournalText, Millis, Observation, Presence, Side, TableName, Value, rfc3339_text,
};
use serde_json::{Value as Json, json};

use crate::escalation::{self, Escalation};
use crate::intake;
use crate::mapping::{self, Reading, Untranslatable};
use crate::settings::{Gate, Rules};
use crate::wire;

/// A payload as its receiver takes it.
pub(super) struct Mapped {
    pub(super) body: String,
    /// Where it belongs, if it does not belong where the payload came to.
    pub(super) path: Option<String>,
}

/// Why there is none.
pub(super) enum Why {
    /// It is not wanted.
    Filtered(String),
    /// It cannot be read.
    Unusable(String),
}

/// ServiceNow's webhook as the platform is told by Firn: `{id, key, record, expect, set, comment?}`. `expect` is
/// empty, `record.id` the ticket's key if the payload shows it, and `unmapped` names fields whose value has no
/// counterpart.
pub(super) fn webhook(rules: &Rules, body: &str, id: Option<String>) -> Result<Mapped, Why> {
    let seen = intake::servicenow(rules, body).map_err(Why::Unusable)?;
    if rules.has_filter(Gate::Webhooks) {
        let payload = crate::json::object(body).map_err(Why::Unusable)?;
        // As in Firn: one that cannot be evaluated keeps nothing out.
        if rules.lets_in(Gate::Webhooks, &json!({ "payload": payload })) == Ok(false) {
            return Err(Why::Filtered("filters.webhooks excludes it".to_owned()));
        }
    }
    let record = &seen.record;
    let class = record.class.clone().and_then(|class| TableName::new(class).ok());
    let table = class.or_else(|| rules.tables().next().cloned()).unwrap_or_else(mapping::incident);
    if !rules.takes(&table) {
        let why = format!("{table} is no kind of ticket of these settings");
        return Err(Why::Filtered(why));
    }
    let id = id.unwrap_or_else(|| intake::webhook_identity(Some(&seen), body));
    let mut mapped = json!({
        "id": id,
        "key": id,
        "record": {
            "kind": wire::kind(rules.settings().preset, &table),
            "id": record.correlation,
            "ticket": { "sys_id": record.id, "number": record.number, "table": table },
        },
        "expect": {},
        "set": {},
    });
    let mut unmapped = Vec::new();
    for field in rules.fields(&table) {
        let Reading::Whole(shape) = mapping::read(field, Side::External, &record.attributes) else {
            continue;
        };
        match mapping::to_platform(field, &shape) {
            Ok(shape) => {
                for (attribute, value) in &shape.0 {
                    mapped["set"][attribute.as_str()] = value.to_json();
                }
            }
            Err(Untranslatable::OneWay) => {}
            Err(_) => unmapped.push(field.name.clone()),
        }
    }
    let comment = comment(rules, &seen);
    let nothing = mapped["set"].as_object().is_some_and(serde_json::Map::is_empty);
    if record.presence == Presence::Deleted {
        mapped["record"]["deleted"] = true.into();
    } else if nothing && unmapped.is_empty() && comment.is_none() {
        return Err(Why::Filtered("nothing of it goes to the platform".to_owned()));
    }
    if let Some(comment) = comment {
        mapped["comment"] = comment;
    }
    if !unmapped.is_empty() {
        mapped["unmapped"] = json!(unmapped);
    }
    Ok(Mapped { body: mapped.to_string(), path: None })
}

/// A comment that customers may read. Work notes stay: who may read them on the platform, a gateway does not
/// know.
fn comment(rules: &Rules, seen: &Observation) -> Option<Json> {
    if !rules.settings().journal.comments {
        return None;
    }
    seen.entries.iter().find_map(|entry| match &entry.text {
        JournalText::Comment(comment) => Some(json!({
            "id": entry.origin.id(),
            "text": rules.masks().comment(Side::Platform, &comment.0),
            "author": rules.masks().comment(Side::Platform, &entry.author),
            "at": rfc3339_text(entry.at),
            "visibility": "public",
        })),
        JournalText::WorkNote(_) => None,
    })
}

/// An escalation as the Table API takes a new ticket. Nothing makes it the only one: a ticket that is asked for
/// twice is made twice, unless the instance keeps the key's column unique.
pub(super) fn escalation(rules: &Rules, body: &str, now: Millis) -> Result<Mapped, Why> {
    let ticket = match escalation::read(rules, body, now).map_err(Why::Unusable)? {
        Escalation::Filtered(why) => return Err(Why::Filtered(why)),
        Escalation::Ticket(ticket) => ticket,
    };
    let mut columns: BTreeMap<String, Value> = rules
        .constants(&ticket.table)
        .into_iter()
        .chain(ticket.draft.set)
        .map(|(column, value)| (column.into(), value))
        .collect();
    let key = crate::identity::correlation_key(&ticket.record, 1);
    columns.insert(rules.settings().correlation.column.to_string(), Value::text(key.as_str()));
    if let Some(evidence) = &ticket.evidence {
        let text = rules.masks().comment(Side::External, evidence.text.text());
        columns.insert(evidence.text.column().to_owned(), Value::text(text));
    }
    let columns: serde_json::Map<String, Json> =
        columns.into_iter().map(|(c, v)| (c, Json::String(v.to_text()))).collect();
    let path = Some(format!("/api/now/table/{}", ticket.table));
    Ok(Mapped { body: Json::Object(columns).to_string(), path })
}
