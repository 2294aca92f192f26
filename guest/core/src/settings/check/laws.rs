//! The laws of value maps, checked on the values themselves; what can never be reached; guards and the
//! lifecycle.

use std::collections::{BTreeMap, BTreeSet};

use firn_model::{
    Attribute, ChoicePair, Direction, FieldName, Guard, OffOwner, Owner, Permit, Settings,
    TableName,
};

use super::{Checker, RESERVED};
use crate::mapping;
use crate::settings::{FieldMapping, Mapping, TicketRules};

/// The round-trip laws of a value map of one column, with the values that break them.
pub(super) fn choice_laws(checker: &mut Checker, at: &str, pairs: &[ChoicePair]) {
    platform_once(checker, at, pairs);
    let mut external: BTreeMap<&str, &str> = BTreeMap::new();
    for (i, pair) in pairs.iter().enumerate() {
        let here = format!("{at}.pairs[{i}]");
        if pair.external.is_empty() {
            checker.error(
                &here,
                format!("{:?} has no ServiceNow value: it could never be written", pair.platform),
                "give the values that mean it: external = [\"1\"]",
            );
        }
        if !pair.reads.is_empty() || !pair.writes.is_empty() {
            checker.error(
                &here,
                "reads and writes are for kind = \"columns\"",
                "use external = [...]",
            );
        }
        for (j, value) in pair.external.iter().enumerate() {
            match external.insert(value, &pair.platform) {
                Some(other) if other == pair.platform => checker.error(
                    format!("{here}.external[{j}]"),
                    format!("{value:?} is there twice"),
                    "keep one",
                ),
                Some(other) => checker.error(
                    format!("{here}.external[{j}]"),
                    format!(
                        "ServiceNow's {value:?} already means {other:?}: {:?} would read back as {other:?}",
                        pair.platform
                    ),
                    "give every ServiceNow value one meaning",
                ),
                None => {}
            }
        }
    }
}

pub(super) fn platform_once(checker: &mut Checker, at: &str, pairs: &[ChoicePair]) {
    let mut seen = BTreeSet::new();
    for (i, pair) in pairs.iter().enumerate() {
        if !seen.insert(&pair.platform) {
            checker.error(
                format!("{at}.pairs[{i}].platform"),
                format!("{:?} is there twice; the second could never be reached", pair.platform),
                "put all its ServiceNow values into one line",
            );
        }
    }
}

/// The same laws where several columns make one value.
pub(super) fn columns_laws(checker: &mut Checker, at: &str, pairs: &[ChoicePair]) {
    platform_once(checker, at, pairs);
    for (i, pair) in pairs.iter().enumerate() {
        let here = format!("{at}.pairs[{i}]");
        if pair.reads.is_empty() || pair.writes.is_empty() || !pair.external.is_empty() {
            checker.error(
                &here,
                format!("{:?} needs reads and writes, and no external", pair.platform),
                "say which columns mean it and which are written: reads = { priority = [\"1\"] }, writes = { impact = \"1\", urgency = \"1\" }",
            );
            continue;
        }
        for (column, value) in &pair.writes {
            if pair.reads.get(column).is_some_and(|values| !values.contains(value)) {
                checker.error(
                    format!("{here}.writes.{column}"),
                    format!(
                        "{value:?} is written to {column} and would not read back as {:?}",
                        pair.platform
                    ),
                    "write one of the values that are read",
                );
            }
        }
        for earlier in &pairs[..i] {
            if earlier.writes == pair.writes {
                checker.warn(
                    format!("{here}.writes"),
                    format!(
                        "{:?} and {:?} write the same, so that one of them never reads back",
                        earlier.platform, pair.platform
                    ),
                    "write something else for one of them",
                );
            }
            let both = pair.reads.iter().all(|(column, values)| {
                earlier
                    .reads
                    .get(column)
                    .is_none_or(|others| values.iter().any(|v| others.contains(v)))
            });
            if both && !earlier.reads.is_empty() {
                checker.error(
                    format!("{here}.reads"),
                    format!(
                        "a ticket could mean {:?} and {:?} at once",
                        earlier.platform, pair.platform
                    ),
                    "let at least one column tell them apart",
                );
            }
        }
    }
}

pub(super) fn guards(checker: &mut Checker, at: &str, guards: &[Guard], mapping: &Mapping) {
    let (Mapping::Choice { pairs, .. } | Mapping::Columns { pairs, .. }) = mapping else { return };
    for (i, guard) in guards.iter().enumerate() {
        let here = format!("{at}.guards[{i}]");
        for (key, values) in [("from", &guard.from), ("to", &guard.to)] {
            for (j, value) in values.iter().enumerate() {
                if !pairs.iter().any(|p| p.platform == *value) {
                    checker.error(
                        format!("{here}.{key}[{j}]"),
                        format!(
                            "{value:?} is not in the value map, so that the guard never applies"
                        ),
                        format!("use one of {}", list(pairs)),
                    );
                }
            }
        }
        if guard.from.is_empty() && guard.to.is_empty() && guard.only == Permit::Nobody {
            checker.error(
                &here,
                "nobody could ever change the field",
                "say from or to which values",
            );
        }
        for (j, earlier) in guards.iter().take(i).enumerate() {
            let covers = |by: &[String], of: &[String]| {
                by.is_empty() || (!of.is_empty() && of.iter().all(|value| by.contains(value)))
            };
            if earlier.only == guard.only
                && covers(&earlier.from, &guard.from)
                && covers(&earlier.to, &guard.to)
            {
                checker.warn(
                    &here,
                    format!("it says nothing that guards[{j}] does not say already"),
                    "take it out, or correct it",
                );
            }
            let meet = |a: &[String], b: &[String]| {
                a.is_empty() || b.is_empty() || a.iter().any(|value| b.contains(value))
            };
            let sides = matches!(
                (earlier.only, guard.only),
                (Permit::Platform, Permit::External) | (Permit::External, Permit::Platform)
            );
            if sides && meet(&earlier.from, &guard.from) && meet(&earlier.to, &guard.to) {
                checker.warn(
                    &here,
                    format!("together with guards[{j}] it lets nobody make some of these changes: all guards that apply have to allow it"),
                    "say only = \"nobody\" if that is meant, or make them about different values",
                );
            }
        }
    }
}

pub(super) fn list(pairs: &[ChoicePair]) -> String {
    pairs.iter().map(|p| format!("{:?}", p.platform)).collect::<Vec<_>>().join(", ")
}

/// The columns that a value map writes besides the one that it is named for.
fn beside(field: &FieldMapping) -> BTreeSet<Attribute> {
    let (Mapping::Choice { pairs, .. } | Mapping::Columns { pairs, .. }) = &field.mapping else {
        return BTreeSet::new();
    };
    let columns = pairs.iter().flat_map(|pair| pair.with.keys().chain(pair.writes.keys()));
    columns.cloned().collect()
}

/// Two fields on one column, or on one attribute with nobody to decide.
pub(super) fn overlaps(
    checker: &mut Checker,
    settings: &Settings,
    rules: &TicketRules,
    places: &BTreeMap<FieldName, String>,
) {
    let mut columns: BTreeMap<Attribute, &FieldName> = BTreeMap::new();
    let mut attributes: BTreeMap<Attribute, &FieldName> = BTreeMap::new();
    for field in &rules.fields {
        let at = places.get(&field.name).cloned().unwrap_or_default();
        for column in mapping::written(field) {
            if column == settings.correlation.column {
                checker.error(
                    &at,
                    format!("{column} holds the ticket's key"),
                    "map another column",
                );
            }
            if rules.constants.contains_key(&column) {
                checker.error(&at, format!("{column} is a constant too"), "map it once");
            }
            if let Some(other) = columns.insert(column.clone(), &field.name) {
                checker.error(
                    &at,
                    format!("{other} is mapped to {column} as well: the two would overwrite each other"),
                    "map each column once; several attributes make one column with kind = \"template\"",
                );
            }
        }
        for column in beside(field) {
            let reserved = RESERVED.iter().find(|(name, _)| *name == column.as_str());
            if let Some((name, why)) = reserved.filter(|(name, _)| *name != "priority") {
                checker.warn(
                    &at,
                    format!("{name} cannot be written along with it: {why}"),
                    "take it out",
                );
            } else if column == settings.correlation.column {
                checker.warn(&at, format!("{column} holds the ticket's key"), "take it out");
            }
        }
        // A field that only ServiceNow's side is written from needs no place on the platform.
        let takes = field.owner != Owner::Platform || field.off_owner == OffOwner::Adopted;
        if let Some(attribute) = mapping::platform_attribute(field)
            && takes
            && let Some(other) = attributes.insert(attribute.clone(), &field.name)
        {
            checker.error(
                &at,
                format!("{other} writes the platform's {attribute} as well"),
                "let one of them own it, and give the others owner = \"platform\"",
            );
        }
    }
}

/// Names in conditions and templates that no field makes known.
pub(super) fn conditions(
    checker: &mut Checker,
    rules: &TicketRules,
    places: &BTreeMap<FieldName, String>,
) {
    let known = |side| -> BTreeSet<String> {
        rules.fields.iter().flat_map(|f| mapping::attributes(f, side)).map(String::from).collect()
    };
    let (record, ticket) = (known(firn_model::Side::Platform), known(firn_model::Side::External));
    for field in &rules.fields {
        let Some(condition) = &field.when else { continue };
        let at = places.get(&field.name).cloned().unwrap_or_default();
        for name in condition.names() {
            let mut parts = name.splitn(2, '.');
            let known = match parts.next() {
                Some("record") => &record,
                Some("ticket") => &ticket,
                _ => continue,
            };
            let Some(name_below) = parts.next() else { continue };
            if !known.contains(name_below) && !checker.unread.contains(name_below) {
                checker.error(
                    format!("{at}.when"),
                    format!("{name} is not mapped and would always be empty"),
                    "map it as a field, or use one that is mapped",
                );
            }
        }
    }
}

/// What can never be reached.
pub(super) fn reach(
    checker: &mut Checker,
    settings: &Settings,
    types: &BTreeMap<TableName, TicketRules>,
) {
    for (name, field) in &settings.fields {
        let at = format!("fields.{name}");
        for (i, table) in field.only.iter().flatten().enumerate() {
            if !types.contains_key(table) {
                checker.error(
                    format!("{at}.only[{i}]"),
                    format!("there is no ticket type {table}"),
                    "add it to [[tickets]], or take it out",
                );
            }
        }
        if field.only.as_ref().is_some_and(Vec::is_empty) {
            checker.error(
                format!("{at}.only"),
                "it applies to no ticket at all",
                "leave it out to mean all types",
            );
        }
        for table in field.types.keys() {
            if !types.contains_key(table) {
                checker.error(
                    format!("{at}.types.{table}"),
                    format!("there is no ticket type {table}"),
                    "add it to [[tickets]], or take it out",
                );
            }
        }
        let stuck = match (settings.direction, field.owner) {
            (Direction::ToServicenow, Some(Owner::External)) => {
                Some("ServiceNow owns it, and direction lets nothing go to the platform")
            }
            (Direction::ToPlatform, Some(Owner::Platform)) => {
                Some("the platform owns it, and direction lets nothing go to ServiceNow")
            }
            _ => None,
        };
        if let Some(why) = stuck {
            checker.warn(
                format!("{at}.owner"),
                format!("it is never synchronised: {why}"),
                "change its owner or the direction",
            );
        }
    }
    if settings.fields.is_empty() && !settings.journal.comments {
        checker.warn("fields", "nothing is mapped, and comments do not travel", "map a field");
    }
}

pub(super) fn lifecycle(
    checker: &mut Checker,
    settings: &Settings,
    types: &BTreeMap<TableName, TicketRules>,
) {
    let wanted = &settings.lifecycle;
    if checker.unread.contains(wanted.field.as_str()) {
        return;
    }
    // Not every kind of ticket can be canceled; and what a preset says of it, other pairs may leave out.
    let pairs = types.values().flat_map(|rules| &rules.fields).filter(|f| f.name == wanted.field);
    let pairs = pairs.filter_map(|field| match &field.mapping {
        Mapping::Choice { pairs, .. } | Mapping::Columns { pairs, .. } => Some(pairs),
        _ => None,
    });
    let values: BTreeSet<&str> = pairs.flatten().map(|pair| pair.platform.as_str()).collect();
    for (i, value) in wanted.canceled.iter().enumerate() {
        if value != "canceled" && !values.contains(value.as_str()) {
            checker.error(
                format!("lifecycle.canceled[{i}]"),
                format!("{value:?} is not in the value map of {}", wanted.field),
                "use one of its values",
            );
        }
    }
    let known = types.values().any(|t| t.fields.iter().any(|f| f.name == wanted.field));
    if !known && !types.is_empty() {
        checker.warn(
            "lifecycle.field",
            format!(
                "there is no field {}, so that nothing says when a record is closed",
                wanted.field
            ),
            "name the field that maps the ticket's state",
        );
    }
    for rules in types.values() {
        let Some(field) = rules.fields.iter().find(|f| f.name == wanted.field) else { continue };
        let (Mapping::Choice { pairs, .. } | Mapping::Columns { pairs, .. }) = &field.mapping
        else {
            checker.error(
                "lifecycle.field",
                format!(
                    "{} is not a value map, so that nothing says when a record is closed",
                    wanted.field
                ),
                "name a field of kind \"choice\"",
            );
            continue;
        };
        let known = |value: &String| pairs.iter().any(|p| p.platform == *value);
        let mut say = |at: String, value: &String| {
            checker.error(
                at,
                format!("{value:?} is not in the value map of {}", wanted.field),
                format!("use one of {}", list(pairs)),
            );
        };
        if !known(&wanted.open) {
            say("lifecycle.open".to_owned(), &wanted.open);
        }
        for (key, values) in [("resolved", &wanted.resolved), ("closed", &wanted.closed)] {
            for (i, value) in values.iter().enumerate().filter(|(_, v)| !known(v)) {
                say(format!("lifecycle.{key}[{i}]"), value);
            }
        }
    }
}
