//! Field mapping: how one side's shape of a field translates into the other's.
//!
//! Laws (tested below, and refused at load time where a value map breaks them):
//! *stay* - what already means the same is not rewritten (`put(get(s), s) == s`), and
//! *round trip* - what was written reads back as what was meant (`get(put(v, s)) == v`), up to the
//! canonical form of a text (trimmed, cut, masked).

use std::collections::BTreeMap;

use firn_model::{Attribute, FieldMapping, Mapping, Reference, Shape, Side, SysId, Value};

use crate::masking;

/// What ServiceNow is to be given for a platform value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// The field itself.
    pub shape: Shape,
    /// What must accompany it.
    pub with: BTreeMap<Attribute, Value>,
}

/// Why a value has no translation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untranslatable {
    /// It is not in the value map.
    Unmapped,
    /// The user has to be looked up first, by this e-mail address.
    LookUp(String),
    /// The user is not there, or not unambiguously.
    UnknownUser,
    /// The text was masked on its way out; it cannot go back.
    Masked,
}

/// What a set of attributes says about a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Every attribute of the field.
    Whole(Shape),
    /// Some attributes: they can only tell that something changed.
    Partial(Shape),
    /// Nothing.
    Unseen,
}

/// A fixed attribute name.
pub(crate) fn attribute(name: &str) -> Attribute {
    Attribute::new(name).unwrap_or_else(|_| unreachable!("{name} is a valid attribute"))
}

fn email_of(column: &Attribute) -> Attribute {
    attribute(&format!("{column}.email"))
}

/// The attributes that make up a field on a side.
#[must_use]
pub fn attributes(field: &FieldMapping, side: Side) -> Vec<Attribute> {
    match (side, &field.mapping) {
        (Side::Platform, _) => vec![platform_attribute(field)],
        (Side::External, Mapping::Text { column, .. } | Mapping::Choice { column, .. }) => {
            vec![column.clone()]
        }
        (Side::External, Mapping::Severity) => vec![attribute("impact"), attribute("priority")],
        (Side::External, Mapping::User { column }) => vec![column.clone(), email_of(column)],
    }
}

/// The platform's attribute for a field: its name.
#[must_use]
pub fn platform_attribute(field: &FieldMapping) -> Attribute {
    attribute(field.name.as_str())
}

/// Cuts a field's shape out of what was seen of a record.
#[must_use]
pub fn read(field: &FieldMapping, side: Side, seen: &BTreeMap<Attribute, Value>) -> Reading {
    let wanted = attributes(field, side);
    let shape: BTreeMap<Attribute, Value> =
        wanted.iter().filter_map(|a| seen.get(a).map(|v| (a.clone(), v.clone()))).collect();
    if shape.is_empty() {
        Reading::Unseen
    } else if shape.len() == wanted.len() {
        Reading::Whole(Shape(shape))
    } else {
        Reading::Partial(Shape(shape))
    }
}

fn only(shape: &Shape) -> &Value {
    shape.0.values().next().unwrap_or(&Value::Empty)
}

fn canonical_text(value: &Value) -> String {
    value.to_text().replace("\r\n", "\n").trim().to_owned()
}

const SEVERITIES: [(&str, &str, &str); 4] = [
    // severity, impact, urgency: the priority matrix makes 1, 2, 3 and 4 of them.
    ("critical", "1", "1"),
    ("high", "2", "1"),
    ("medium", "2", "2"),
    ("low", "3", "2"),
];

fn severity_of(external: &Shape) -> Option<Value> {
    let priority = external.get(&attribute("priority"))?.to_text();
    let name = match priority.as_str() {
        "1" => "critical",
        "2" => "high",
        "3" => "medium",
        "4" | "5" => "low",
        _ => return None,
    };
    Some(Value::text(name))
}

/// ServiceNow's shape as the platform would say it.
///
/// # Errors
/// When the value has no counterpart.
pub fn to_platform(field: &FieldMapping, external: &Shape) -> Result<Shape, Untranslatable> {
    let value = match &field.mapping {
        Mapping::Text { .. } => Value::text(canonical_text(only(external))),
        Mapping::Choice { pairs, .. } => {
            let value = only(external).to_text();
            let pair = pairs.iter().find(|p| p.external.contains(&value));
            Value::text(pair.ok_or(Untranslatable::Unmapped)?.platform.clone())
        }
        Mapping::Severity => severity_of(external).ok_or(Untranslatable::Unmapped)?,
        Mapping::User { column } => {
            let email = external.get(&email_of(column)).cloned().unwrap_or_default();
            let assigned = external.get(column).is_some_and(|v| !v.is_empty());
            if assigned && email.is_empty() {
                return Err(Untranslatable::UnknownUser);
            }
            email
        }
    };
    Ok(Shape::one(platform_attribute(field), value))
}

/// The platform's shape as ServiceNow is to be given it. `present` is what stands there now: what
/// already means the same stays.
///
/// # Errors
/// When the value has no counterpart, or a user has to be looked up first.
pub fn to_external(
    field: &FieldMapping,
    platform: &Shape,
    present: Option<&Shape>,
    users: &BTreeMap<String, Reference>,
) -> Result<Columns, Untranslatable> {
    let bare = |shape| Columns { shape, with: BTreeMap::new() };
    let value = only(platform);
    match &field.mapping {
        Mapping::Text { column, max, mask } => {
            Ok(bare(Shape::one(column.clone(), outgoing_text(value, *max, *mask))))
        }
        Mapping::Choice { column, pairs } => {
            let wanted = value.to_text();
            let pair =
                pairs.iter().find(|p| p.platform == wanted).ok_or(Untranslatable::Unmapped)?;
            let stays = present.map(|s| only(s).to_text()).filter(|v| pair.external.contains(v));
            let default = pair.external.first().cloned().ok_or(Untranslatable::Unmapped)?;
            let shape = Shape::one(column.clone(), Value::text(stays.unwrap_or(default)));
            Ok(Columns { shape, with: pair.with.clone() })
        }
        Mapping::Severity => {
            let wanted = value.to_text();
            let (_, impact, urgency) = SEVERITIES
                .iter()
                .find(|(name, ..)| *name == wanted)
                .ok_or(Untranslatable::Unmapped)?;
            Ok(bare(Shape(BTreeMap::from([
                (attribute("impact"), Value::text(*impact)),
                (attribute("urgency"), Value::text(*urgency)),
            ]))))
        }
        Mapping::User { column } => {
            let email = value.to_text().trim().to_lowercase();
            let id = match (email.is_empty(), users.get(&email)) {
                (true, _) => Value::Empty,
                (false, None) => return Err(Untranslatable::LookUp(email)),
                (false, Some(Reference::Found(id))) => Value::text(SysId::as_str(id)),
                (false, Some(Reference::Missing | Reference::Ambiguous)) => {
                    return Err(Untranslatable::UnknownUser);
                }
            };
            Ok(bare(Shape::one(column.clone(), id)))
        }
    }
}

/// A text as it leaves for ServiceNow: masked first (so that a cut cannot hide the end of a
/// number from the masker), trimmed, then cut with a visible ellipsis.
fn outgoing_text(value: &Value, max: usize, mask: bool) -> Value {
    let text = canonical_text(value);
    let text = if mask { masking::mask(&text).text } else { text };
    if text.chars().count() <= max {
        return Value::text(text);
    }
    let cut: String = text.chars().take(max.saturating_sub(1)).collect();
    Value::text(format!("{}\u{2026}", cut.trim_end()))
}

/// Whether a platform's text would not arrive in ServiceNow as it is: carrying ServiceNow's
/// version back would destroy the original.
#[must_use]
pub fn loses_on_the_way_out(field: &FieldMapping, platform: &Shape) -> bool {
    match &field.mapping {
        Mapping::Text { max, mask, .. } => {
            let text = canonical_text(only(platform));
            outgoing_text(only(platform), *max, *mask) != Value::text(text)
        }
        Mapping::Choice { .. } | Mapping::Severity | Mapping::User { .. } => false,
    }
}

/// Whether the two sides mean the same.
#[must_use]
pub fn agree(field: &FieldMapping, platform: &Shape, external: &Shape) -> bool {
    let value = only(platform);
    match &field.mapping {
        Mapping::Text { max, mask, .. } => {
            let there = canonical_text(only(external));
            canonical_text(value) == there
                || outgoing_text(value, *max, *mask) == Value::text(there)
        }
        Mapping::Choice { .. } | Mapping::Severity => {
            to_platform(field, external).is_ok_and(|shape| only(&shape) == value)
                || (value.is_empty() && external.is_empty())
        }
        Mapping::User { .. } => to_platform(field, external).is_ok_and(|s| {
            only(&s).to_text().to_lowercase() == value.to_text().trim().to_lowercase()
        }),
    }
}

/// Whether two shapes of one side mean the same.
#[must_use]
pub fn same(field: &FieldMapping, side: Side, a: &Shape, b: &Shape) -> bool {
    if a == b {
        return true;
    }
    match (side, &field.mapping) {
        (_, Mapping::Text { .. }) => canonical_text(only(a)) == canonical_text(only(b)),
        (Side::External, Mapping::Choice { .. } | Mapping::Severity) => {
            matches!((to_platform(field, a), to_platform(field, b)), (Ok(a), Ok(b)) if a == b)
        }
        (Side::Platform, Mapping::User { .. }) => {
            let lower = |s: &Shape| only(s).to_text().trim().to_lowercase();
            lower(a) == lower(b)
        }
        _ => false,
    }
}

/// Translates from one side to the other.
///
/// # Errors
/// When the value has no counterpart, or a user has to be looked up first.
pub fn translate(
    field: &FieldMapping,
    from: Side,
    shape: &Shape,
    present: Option<&Shape>,
    users: &BTreeMap<String, Reference>,
) -> Result<Columns, Untranslatable> {
    match from {
        Side::Platform => to_external(field, shape, present, users),
        Side::External => {
            to_platform(field, shape).map(|shape| Columns { shape, with: BTreeMap::new() })
        }
    }
}

/// [`agree`] for a pair given as (this side, other side).
#[must_use]
pub fn agree_from(field: &FieldMapping, side: Side, here: &Shape, there: &Shape) -> bool {
    match side {
        Side::Platform => agree(field, here, there),
        Side::External => agree(field, there, here),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset;
    use proptest::prelude::*;

    fn field(name: &str) -> FieldMapping {
        preset::incidents().fields.into_iter().find(|f| f.name.as_str() == name).unwrap()
    }

    fn platform(field: &FieldMapping, value: &str) -> Shape {
        Shape::one(platform_attribute(field), Value::text(value))
    }

    fn state(value: &str) -> Shape {
        Shape::one(attribute("state"), Value::text(value))
    }

    #[test]
    fn every_row_of_seed_004s_status_table() {
        let status = field("status");
        for (platform_value, states) in [
            ("open", vec!["1", "2"]),
            ("mitigated", vec!["3", "4"]),
            ("resolved", vec!["6"]),
            ("closed", vec!["7"]),
        ] {
            for s in &states {
                let there = to_platform(&status, &state(s)).unwrap();
                assert_eq!(there, platform(&status, platform_value), "state {s}");
                // The stay rule: what already means it is not rewritten.
                let back = to_external(&status, &there, Some(&state(s)), &BTreeMap::new()).unwrap();
                assert_eq!(back.shape, state(s));
            }
            let default =
                to_external(&status, &platform(&status, platform_value), None, &BTreeMap::new());
            assert_eq!(default.unwrap().shape, state(states[0]));
        }
        assert_eq!(to_platform(&status, &state("8")), Err(Untranslatable::Unmapped));
        assert_eq!(to_platform(&status, &state("-2")), Err(Untranslatable::Unmapped));
    }

    #[test]
    fn severity_reads_priority_and_writes_impact_and_urgency() {
        let severity = field("severity");
        // ServiceNow's priority matrix, impact then urgency.
        let matrix = |i: &str, u: &str| match (i, u) {
            ("1", "1") => "1",
            ("1", "2") | ("2", "1") => "2",
            ("1", "3") | ("2", "2") | ("3", "1") => "3",
            ("2", "3") | ("3", "2") => "4",
            _ => "5",
        };
        for (name, ..) in SEVERITIES {
            let written =
                to_external(&severity, &platform(&severity, name), None, &BTreeMap::new()).unwrap();
            let impact = written.shape.get(&attribute("impact")).unwrap().to_text();
            let urgency = written.shape.get(&attribute("urgency")).unwrap().to_text();
            assert!(written.shape.get(&attribute("priority")).is_none(), "priority is computed");
            let there = Shape(BTreeMap::from([
                (attribute("impact"), Value::text(impact.clone())),
                (attribute("priority"), Value::text(matrix(&impact, &urgency))),
            ]));
            assert!(agree(&severity, &platform(&severity, name), &there), "{name}");
        }
    }

    #[test]
    fn a_display_name_is_not_a_reference() {
        let assigned = field("assigned_to");
        let seen = BTreeMap::from([(attribute("assigned_to"), Value::text("Ann Lee"))]);
        assert!(matches!(read(&assigned, Side::External, &seen), Reading::Partial(_)));
    }

    #[test]
    fn a_long_text_is_cut_visibly_and_still_agrees() {
        let title = field("title");
        let long = platform(&title, &"x".repeat(400));
        let written = to_external(&title, &long, None, &BTreeMap::new()).unwrap().shape;
        assert_eq!(only(&written).to_text().chars().count(), 160);
        assert!(only(&written).to_text().ends_with('\u{2026}'));
        assert!(agree(&title, &long, &written));
        assert!(loses_on_the_way_out(&title, &long));
    }

    proptest! {
        #[test]
        fn what_was_written_reads_back_as_what_was_meant(text in r"[a-z0-9 +\-\n]{0,200}", i in 0usize..4) {
            let users = BTreeMap::new();
            for (name, value) in [
                ("title", text.clone()),
                ("description", text),
                ("severity", SEVERITIES[i].0.to_owned()),
                ("status", ["open", "mitigated", "resolved", "closed"][i].to_owned()),
            ] {
                let f = field(name);
                let v = platform(&f, &value);
                let put = to_external(&f, &v, None, &users).unwrap().shape;
                if name != "severity" {
                    prop_assert!(agree(&f, &v, &put));
                    // Writing what stands there changes nothing.
                    let again = to_external(&f, &to_platform(&f, &put).unwrap(), Some(&put), &users);
                    prop_assert_eq!(again.unwrap().shape, put);
                }
            }
        }
    }
}
