//! One mapped field: its keys, its columns, and what it is translated by.

use std::collections::{BTreeMap, BTreeSet};

use firn_model::{
    Attribute, ChoicePair, Direction, FieldName, FieldSettings, Kind, OffOwner, Owner, Precision,
    Settings, TableName, TextFormat, Value,
};
use serde::Deserialize;
use serde_json::Value as Json;

use super::laws::{choice_laws, columns_laws, guards};
use super::{Checker, RESERVED};
use crate::mapping;
use crate::mapping::attribute;
use crate::settings::document::{decode_field, merge_patch};
use crate::settings::{FieldMapping, Mapping, Zone};

/// Keys that every synchronised field takes.
const SYNC_KEYS: &[&str] = &[
    "owner",
    "platform_priority",
    "external_priority",
    "off_owner",
    "strategy",
    "conflict_window",
    "when",
];

/// A field with what differs for one kind of ticket.
pub(super) fn of_type(
    checker: &mut Checker,
    at: &str,
    field: &FieldSettings,
    table: &TableName,
) -> Option<(FieldSettings, String)> {
    let Some(change) = field.types.get(table) else {
        return Some((field.clone(), at.to_owned()));
    };
    let at = format!("{at}.types.{table}");
    for key in ["only", "types"] {
        if change.get(key).is_some() {
            checker.warn(
                format!("{at}.{key}"),
                format!("{key} cannot differ for one kind of ticket"),
                "set it for the field itself",
            );
        }
    }
    let mut document =
        serde_json::to_value(FieldSettings { types: BTreeMap::new(), ..field.clone() })
            .unwrap_or(Json::Null);
    merge_patch(&mut document, change);
    other_kind(&mut document, field.kind, change);
    match decode_field(&document, &at) {
        Ok(field) => Some((field, at)),
        Err(faults) => {
            for fault in faults {
                checker.push(fault.level, fault.at, fault.text, fault.remedy);
            }
            None
        }
    }
}

/// A field that is of another kind than it was: what was said of it by whoever made it another one stays, what only the
/// kind before has goes.
pub(crate) fn other_kind(document: &mut Json, before: Option<Kind>, change: &Json) {
    let before = before.unwrap_or(Kind::Text);
    let kind = change.get("kind").and_then(|kind| Kind::deserialize(kind).ok());
    let Some(kind) = kind.filter(|kind| *kind != before) else { return };
    let Some(field) = document.as_object_mut() else { return };
    let former = allowed(before).iter().filter(|key| !allowed(kind).contains(key));
    for key in former.filter(|key| change.get(key).is_none()) {
        field.remove(*key);
    }
}

/// Which keys a kind of field takes besides `kind`, `only`, `types`.
pub(super) fn allowed(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Text => &["column", "attribute", "max", "mask", "platform_format", "external_format"],
        Kind::Choice => &["column", "attribute", "pairs", "guards"],
        Kind::Columns => &["attribute", "pairs", "guards"],
        Kind::Severity => &["attribute", "guards"],
        Kind::Reference => &["column", "attribute", "table", "key"],
        Kind::Date => &["column", "attribute", "precision", "zone"],
        Kind::Template => &["column", "attribute", "template", "max", "mask"],
        Kind::Constant => &["column", "value"],
    }
}

pub(super) fn word(kind: Kind) -> String {
    serde_json::to_string(&kind).unwrap_or_default().trim_matches('"').to_owned()
}

pub(super) fn keys(checker: &mut Checker, at: &str, field: &FieldSettings, kind: Kind) {
    let Ok(Json::Object(given)) = serde_json::to_value(field) else { return };
    for key in given.keys() {
        let fits = ["kind", "only", "types"].contains(&key.as_str())
            || allowed(kind).contains(&key.as_str())
            || (kind != Kind::Constant && SYNC_KEYS.contains(&key.as_str()));
        if !fits {
            checker.error(
                format!("{at}.{key}"),
                format!("a field of kind {:?} has no {key}", word(kind)),
                "take it out, or choose another kind",
            );
        }
    }
}

pub(super) fn column(checker: &mut Checker, at: &str, field: &FieldSettings) -> Option<Attribute> {
    let Some(column) = &field.column else {
        checker.error(
            at,
            "it has no column",
            "name ServiceNow's column: column = \"short_description\"",
        );
        return None;
    };
    if let Some((_, why)) = RESERVED.iter().find(|(name, _)| *name == column.as_str()) {
        checker.error(
            format!("{at}.column"),
            format!("{column} cannot be mapped: {why}"),
            "choose another column",
        );
    }
    Some(column.clone())
}

pub(super) fn constant(
    checker: &mut Checker,
    at: &str,
    field: &FieldSettings,
    constants: &mut BTreeMap<Attribute, Value>,
) {
    keys(checker, at, field, Kind::Constant);
    let column = column(checker, at, field);
    match (&field.value, column) {
        (Some(Value::Empty), Some(_)) => checker.error(
            format!("{at}.value"),
            "an empty constant writes nothing",
            "take the field out, or give it a value",
        ),
        (Some(value), Some(column)) => {
            if constants.insert(column.clone(), value.clone()).is_some() {
                checker.warn(
                    format!("{at}.column"),
                    format!("{column} is another constant's already"),
                    "give each column one value",
                );
            }
        }
        (None, _) => checker.error(at, "it has no value", "give one: value = \"phone\""),
        (Some(_), None) => {}
    }
}

pub(super) fn mapped(
    checker: &mut Checker,
    settings: &Settings,
    at: &str,
    name: &FieldName,
    field: &FieldSettings,
    kind: Kind,
) -> Option<FieldMapping> {
    keys(checker, at, field, kind);
    if field.owner.is_none() && kind != Kind::Template {
        checker.warn(
            at,
            "it has no owner: both sides may change it, and neither is restored",
            "say whose it is: owner = \"platform\", \"external\" or \"shared\"",
        );
    }
    let attribute = field.attribute.clone().unwrap_or_else(|| attribute(name.as_str()));
    let formats = (field.external_format, field.platform_format);
    // Each part is looked at before one that is missing ends it, so that all faults are told at once.
    let when = field.when.as_deref().and_then(|source| {
        checker.condition(&format!("{at}.when"), source, &["record", "ticket", "table"])
    });
    let mapping = match kind {
        // What never comes back may keep its markup.
        Kind::Text
            if settings.direction == Direction::ToPlatform
                && formats == (Some(TextFormat::Html), Some(TextFormat::Markdown)) =>
        {
            length(checker, at, field, 255);
            let (column, mask) = (column(checker, at, field), checker.mask(name, field));
            column.map(|column| Mapping::Markup { attribute, column, mask })
        }
        Kind::Text => {
            let max = length(checker, at, field, 255);
            let external_format = external_format(checker, at, field);
            let platform_format = field.platform_format.unwrap_or_default();
            let (column, mask) = (column(checker, at, field), checker.mask(name, field));
            column.map(|column| Mapping::Text {
                attribute,
                column,
                max,
                mask,
                platform_format,
                external_format,
            })
        }
        Kind::Choice => {
            let (pairs, column) = (pairs(checker, at, field), column(checker, at, field));
            choice_laws(checker, at, pairs.as_deref().unwrap_or_default());
            pairs.zip(column).map(|(pairs, column)| Mapping::Choice { attribute, column, pairs })
        }
        Kind::Columns => pairs(checker, at, field).map(|pairs| {
            columns_laws(checker, at, &pairs);
            let reads = pairs.iter().flat_map(|p| p.reads.keys().cloned()).collect();
            Mapping::Columns { attribute, reads, pairs }
        }),
        Kind::Severity => Some(mapping::severity(attribute)),
        Kind::Reference => column(checker, at, field).map(|column| Mapping::Reference {
            attribute,
            column,
            table: field.table.clone().unwrap_or_else(mapping::users),
            key: field.key.clone().unwrap_or_else(|| mapping::attribute("email")),
        }),
        Kind::Date => {
            let zone = zone(checker, at, field);
            column(checker, at, field).map(|column| Mapping::Date {
                attribute,
                column,
                precision: field.precision.unwrap_or(Precision::Second),
                zone,
            })
        }
        Kind::Template => template(checker, at, name, field, attribute),
        Kind::Constant => None,
    };
    let Some(mapping) = mapping else {
        let attribute = field.attribute.as_ref().map_or(name.as_str(), Attribute::as_str);
        checker.unread.insert(name.to_string());
        checker.unread.insert(attribute.to_owned());
        checker.unread.extend(field.column.as_ref().map(ToString::to_string));
        return None;
    };
    let one_way = match mapping {
        Mapping::ToServicenow { .. } => Some(Owner::Platform),
        Mapping::ToPlatform { .. } => Some(Owner::External),
        _ => None,
    };
    if let Some(owner) = one_way {
        let fits = field.owner.is_none_or(|given| given == owner);
        if !fits || field.off_owner == Some(OffOwner::Adopted) {
            checker.error(
                at,
                "a template goes one way: it cannot be read backwards",
                format!(
                    "leave owner out (it is {owner:?}) and off_owner = \"restored\" or \"kept\""
                )
                .to_lowercase(),
            );
        }
    }
    guards(checker, at, &field.guards, &mapping);
    Some(FieldMapping {
        name: name.clone(),
        mapping,
        owner: one_way.unwrap_or(field.owner.unwrap_or_default()),
        platform_priority: field.platform_priority.unwrap_or_default(),
        external_priority: field.external_priority.unwrap_or_default(),
        off_owner: field.off_owner.unwrap_or_default(),
        strategy: field.strategy.unwrap_or(settings.strategy),
        window: field.conflict_window.unwrap_or(settings.conflict_window),
        guards: field.guards.clone(),
        when,
    })
}

pub(super) fn length(
    checker: &mut Checker,
    at: &str,
    field: &FieldSettings,
    default: usize,
) -> usize {
    let max = field.max.unwrap_or(default);
    if max < 8 {
        checker.error(
            format!("{at}.max"),
            format!("{max} characters leave no room"),
            "use the column's length, at least 8",
        );
    }
    max
}

pub(super) fn external_format(
    checker: &mut Checker,
    at: &str,
    field: &FieldSettings,
) -> TextFormat {
    let format = field.external_format.unwrap_or_default();
    if format == TextFormat::Markdown {
        checker.error(
            format!("{at}.external_format"),
            "ServiceNow has no columns in Markdown",
            "use \"plain\" or \"html\"",
        );
    }
    format
}

pub(super) fn zone(checker: &mut Checker, at: &str, field: &FieldSettings) -> Zone {
    let name = field.zone.as_deref().unwrap_or("UTC");
    match jiff::tz::TimeZone::get(name) {
        Ok(zone) => Zone(zone),
        Err(_) => {
            checker.error(
                format!("{at}.zone"),
                format!("{name:?} is not a time zone"),
                "use an IANA name: \"Europe/Berlin\"",
            );
            Zone(jiff::tz::TimeZone::UTC)
        }
    }
}

pub(super) fn template(
    checker: &mut Checker,
    at: &str,
    field_name: &FieldName,
    field: &FieldSettings,
    attribute: Attribute,
) -> Option<Mapping> {
    let Some(source) = &field.template else {
        checker.error(at, "it has no template", "give one: template = \"{{ record.title }}\"");
        return None;
    };
    let place = format!("{at}.template");
    let name = if field.column.is_some() { "record" } else { "ticket" };
    let template = checker.template(&place, source, &[name])?;
    let inputs: BTreeSet<Attribute> = template
        .names()
        .iter()
        .filter_map(|n| n.strip_prefix(name)?.strip_prefix('.'))
        .filter_map(|n| Attribute::new(n).ok())
        .collect();
    if inputs.is_empty() {
        checker.error(
            place,
            "it uses no value, so that it always says the same",
            format!("use {{{{ {name}.… }}}}, or kind = \"constant\""),
        );
        return None;
    }
    if field.column.is_some() {
        let column = column(checker, at, field)?;
        let max = length(checker, at, field, 4000);
        Some(Mapping::ToServicenow {
            inputs,
            column,
            template,
            max,
            mask: checker.mask(field_name, field),
        })
    } else {
        let mask = checker.mask(field_name, field);
        Some(Mapping::ToPlatform { attribute, inputs, template, mask })
    }
}

pub(super) fn pairs(
    checker: &mut Checker,
    at: &str,
    field: &FieldSettings,
) -> Option<Vec<ChoicePair>> {
    match &field.pairs {
        Some(pairs) if !pairs.is_empty() => Some(pairs.clone()),
        _ => {
            checker.error(
                at,
                "it has no value map",
                "give one: pairs = [{ platform = \"open\", external = [\"1\", \"2\"] }]",
            );
            None
        }
    }
}
