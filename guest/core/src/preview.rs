//! Preview: what a payload that came in is read as, and what each field of it would be on the other side.
//! It asks the same functions as `plan`, about one payload alone: whose value wins is not told here
//! (`explain` does), and nothing is changed.

use std::collections::BTreeMap;

use firn_model::{FieldName, InboundKind, ObservedRecord, Presence, Side, TableName};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::mapping::{self, Reading, Untranslatable};
use crate::plan::mask_shape;
use crate::settings::{Gate, Rules};
use crate::{intake, json};

/// What a payload is read as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// What becomes of it, in a few words.
    pub outcome: String,
    /// Its fields: what the payload shows, and what that is on the other side. Both masked.
    pub fields: BTreeMap<FieldName, Shown>,
}

/// One field of a payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// As the payload shows it.
    pub seen: String,
    /// As the other side would be given it, or why not.
    pub becomes: String,
}

/// Reads a payload under settings.
#[must_use]
pub fn preview(rules: &Rules, kind: InboundKind, body: &str) -> Preview {
    let only = |outcome: String| Preview { outcome, fields: BTreeMap::new() };
    let gate = match kind {
        InboundKind::Webhook => Gate::Webhooks,
        InboundKind::PlatformEvent => Gate::Events,
        InboundKind::Escalation => Gate::Escalations,
    };
    if rules.has_filter(gate) {
        let payload = match json::object(body) {
            Ok(payload) => Json::Object(payload),
            Err(why) => return only(format!("it cannot be read: {why}")),
        };
        match rules.lets_in(gate, &json!({ "payload": payload })) {
            Ok(true) => {}
            Ok(false) => return only("a filter excludes it".to_owned()),
            Err(why) => return only(format!("a filter cannot be evaluated on it: {why}")),
        }
    }
    let read = match kind {
        InboundKind::Webhook => intake::servicenow(rules, body).map(|seen| {
            let class = seen.record.class.clone().and_then(|class| TableName::new(class).ok());
            let table = class.or_else(|| rules.tables().next().cloned());
            (Side::External, table, seen.record)
        }),
        InboundKind::PlatformEvent => intake::platform(rules, body)
            .map(|event| (Side::Platform, Some(event.table), event.observation.record)),
        InboundKind::Escalation => return only("escalations are read as they come".to_owned()),
    };
    match read {
        Ok((_, None, _)) => only("no kind of ticket is its".to_owned()),
        Ok((_, Some(table), _)) if !rules.takes(&table) => {
            only(format!("{table} is no kind of ticket of these settings"))
        }
        Ok((_, _, record)) if record.presence == Presence::Deleted => {
            only("the record was deleted".to_owned())
        }
        Ok((side, Some(table), record)) => Preview {
            outcome: format!("read as {table}"),
            fields: fields(rules, side, &table, &record),
        },
        Err(why) => only(format!("it cannot be read: {why}")),
    }
}

fn fields(
    rules: &Rules,
    side: Side,
    table: &TableName,
    record: &ObservedRecord,
) -> BTreeMap<FieldName, Shown> {
    let shown = |field: &crate::settings::FieldMapping| {
        let shape = match mapping::read(field, side, &record.attributes) {
            Reading::Whole(shape) => shape,
            Reading::Partial(shape) => {
                let seen = mask_shape(rules, &shape).to_string();
                let becomes = "only a part of it is shown: the record is read".to_owned();
                return Some(Shown { seen, becomes });
            }
            Reading::Unseen => return None,
        };
        let becomes = match mapping::translate(field, side, &shape, None, &BTreeMap::new()) {
            Ok(columns) => mask_shape(rules, &columns.shape).to_string(),
            Err(Untranslatable::Unmapped) => "(it is not in the value map)".to_owned(),
            Err(Untranslatable::LookUp(row)) => {
                format!("(whoever {} names, by {})", row.table, row.key)
            }
            Err(Untranslatable::UnknownReference) => "(whom it names is not found)".to_owned(),
            Err(Untranslatable::Lossy) => "(it was masked or cut, and does not go back)".to_owned(),
            Err(Untranslatable::OneWay) => "(it goes the other way only)".to_owned(),
            Err(Untranslatable::Template(why)) => format!("(its template fails: {why})"),
        };
        Some(Shown { seen: mask_shape(rules, &shape).to_string(), becomes })
    };
    let all = rules.fields(table).iter();
    all.filter_map(|field| Some((field.name.clone(), shown(field)?))).collect()
}
