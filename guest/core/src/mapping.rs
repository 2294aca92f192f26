//! Field mapping: how one side's shape of a field translates into the other's.
//!
//! Laws (tested below, and refused at load time where a value map breaks them):
//! *stay* - what already means the same is not rewritten (`put(get(s), s) == s`), and
//! *round trip* - what was written reads back as what was meant (`get(put(v, s)) == v`), up to the
//! canonical form of a text (plain, trimmed, masked, cut) or of a date (its instant).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use firn_model::{
    Attribute, Base, ChoicePair, Millis, Precision, Reference, Shape, Side, SysId, TableName,
    TextFormat, Translated, Value, parse_servicenow, servicenow_text,
};
use serde_json::{Map, Value as Json};

use crate::format;
use crate::settings::{BothWays, FieldMapping, Mapping, Zone};

/// What ServiceNow is to be given for a platform value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// The field itself.
    pub shape: Shape,
    /// What must accompany it.
    pub with: BTreeMap<Attribute, Value>,
}

/// A row that has to be found before a reference can be written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LookUp {
    /// The table.
    pub table: TableName,
    /// The column to look in.
    pub key: Attribute,
    /// The value to look for, in lower case.
    pub value: String,
}

impl LookUp {
    /// The name under which a link remembers what was found.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}={}", self.table, self.key, self.value)
    }
}

/// Why a value has no translation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untranslatable {
    /// It is not in the value map.
    Unmapped,
    /// The row has to be looked up first.
    LookUp(LookUp),
    /// The row is not there, or not unambiguously.
    UnknownReference,
    /// The text lost something on its way out (masked, cut, plain); it cannot go back.
    Lossy,
    /// The field goes the other way only.
    OneWay,
    /// A template could not be rendered; why.
    Template(String),
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

/// Whether a name may be that of a column: of the table itself, or of a record that one refers to.
#[must_use]
pub fn is_column(name: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    name.split('.').all(part)
}

/// The table of incidents.
#[must_use]
pub fn incident() -> TableName {
    TableName::new("incident").unwrap_or_else(|_| unreachable!())
}

/// The table of users.
#[must_use]
pub fn users() -> TableName {
    TableName::new("sys_user").unwrap_or_else(|_| unreachable!())
}

/// `assigned_to.email`: what a reference's row has in its key column.
fn dotted(column: &Attribute, key: &Attribute) -> Attribute {
    Attribute::new(format!("{column}.{key}")).unwrap_or_else(|_| column.clone())
}

/// A record's severity, read from `priority` (with `impact`, as seed 004 has it).
pub(crate) fn severity(platform: Attribute) -> Mapping {
    let reads = BTreeSet::from([attribute("impact"), attribute("priority")]);
    Mapping::Columns { attribute: platform, reads, pairs: severities() }
}

/// `critical | high | medium | low`: ServiceNow's priority matrix makes 1, 2, 3 and 4 of impact and
/// urgency, so these two are written, and `priority` is read.
pub(crate) fn severities() -> Vec<ChoicePair> {
    [
        ("critical", &["1"][..], "1", "1"),
        ("high", &["2"], "2", "1"),
        ("medium", &["3"], "2", "2"),
        ("low", &["4", "5"], "3", "2"),
    ]
    .into_iter()
    .map(|(name, priorities, impact, urgency)| ChoicePair {
        platform: name.to_owned(),
        external: Vec::new(),
        reads: BTreeMap::from([(
            attribute("priority"),
            priorities.iter().map(|p| (*p).to_owned()).collect(),
        )]),
        writes: BTreeMap::from([
            (attribute("impact"), impact.to_owned()),
            (attribute("urgency"), urgency.to_owned()),
        ]),
        with: BTreeMap::new(),
    })
    .collect()
}

/// The attributes that make up a field on a side.
#[must_use]
pub fn attributes(field: &FieldMapping, side: Side) -> Vec<Attribute> {
    match (side, &field.mapping) {
        (
            Side::Platform,
            Mapping::Text { attribute, .. }
            | Mapping::Choice { attribute, .. }
            | Mapping::Columns { attribute, .. }
            | Mapping::Reference { attribute, .. }
            | Mapping::Date { attribute, .. }
            | Mapping::Markup { attribute, .. }
            | Mapping::ToPlatform { attribute, .. },
        ) => vec![attribute.clone()],
        (Side::Platform, Mapping::ToServicenow { inputs, .. })
        | (Side::External, Mapping::ToPlatform { inputs, .. })
        | (Side::External, Mapping::Columns { reads: inputs, .. }) => {
            inputs.iter().cloned().collect()
        }
        (
            Side::External,
            Mapping::Text { column, .. }
            | Mapping::Choice { column, .. }
            | Mapping::Date { column, .. }
            | Mapping::Markup { column, .. }
            | Mapping::ToServicenow { column, .. },
        ) => vec![column.clone()],
        (Side::External, Mapping::Reference { column, key, .. }) => {
            vec![column.clone(), dotted(column, key)]
        }
    }
}

/// The columns that a field may write.
#[must_use]
pub fn written(field: &FieldMapping) -> BTreeSet<Attribute> {
    match &field.mapping {
        Mapping::Text { column, .. }
        | Mapping::Choice { column, .. }
        | Mapping::Reference { column, .. }
        | Mapping::Date { column, .. }
        | Mapping::ToServicenow { column, .. } => BTreeSet::from([column.clone()]),
        Mapping::Columns { pairs, .. } => {
            pairs.iter().flat_map(|p| p.writes.keys().cloned()).collect()
        }
        Mapping::Markup { .. } | Mapping::ToPlatform { .. } => BTreeSet::new(),
    }
}

/// The platform's attribute that a field may write.
#[must_use]
pub fn platform_attribute(field: &FieldMapping) -> Option<Attribute> {
    match &field.mapping {
        Mapping::ToServicenow { .. } => None,
        _ => attributes(field, Side::Platform).pop(),
    }
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

fn plain(format: TextFormat, value: &Value) -> Cow<'_, str> {
    format::shown(format, value.as_text())
}

/// The text of a value as it is read on a side, without its markup.
#[must_use]
pub fn spoken(field: &FieldMapping, side: Side, value: &Value) -> String {
    match (&field.mapping, side) {
        (Mapping::Text { platform_format, .. }, Side::Platform) => {
            plain(*platform_format, value).into_owned()
        }
        (Mapping::Text { external_format, .. }, Side::External) => {
            plain(*external_format, value).into_owned()
        }
        (Mapping::Markup { .. }, Side::Platform) => plain(TextFormat::Markdown, value).into_owned(),
        (Mapping::Markup { .. }, Side::External) => plain(TextFormat::Html, value).into_owned(),
        _ => value.to_text(),
    }
}

/// The platform's value that a set of columns means.
fn meaning(pairs: &[ChoicePair], external: &Shape) -> Option<Value> {
    let fits = |pair: &&ChoicePair| {
        !pair.reads.is_empty()
            && pair.reads.iter().all(|(column, values)| {
                external.get(column).is_some_and(|v| values.contains(&v.to_text()))
            })
    };
    pairs.iter().find(fits).map(|pair| Value::text(pair.platform.clone()))
}

/// The platform's word for a field's value on a side, where it has one: what guards speak of.
#[must_use]
pub fn word(field: &FieldMapping, side: Side, shape: &Shape) -> Option<String> {
    match side {
        Side::Platform => Some(only(shape).to_text()),
        Side::External => to_platform(field, shape).ok().map(|s| only(&s).to_text()),
    }
}

/// ServiceNow's shape as the platform would say it.
///
/// # Errors
/// When the value has no counterpart.
pub fn to_platform(field: &FieldMapping, external: &Shape) -> Result<Shape, Untranslatable> {
    let (attribute, value) = match &field.mapping {
        Mapping::Text { attribute, platform_format, .. } => {
            (attribute, Value::text(format::write(*platform_format, &incoming(field, external)?)))
        }
        Mapping::Choice { attribute, pairs, .. } => {
            let value = only(external).to_text();
            let pair = pairs.iter().find(|p| p.external.contains(&value));
            (attribute, Value::text(pair.ok_or(Untranslatable::Unmapped)?.platform.clone()))
        }
        Mapping::Columns { attribute, pairs, .. } => {
            (attribute, meaning(pairs, external).ok_or(Untranslatable::Unmapped)?)
        }
        Mapping::Reference { attribute, column, key, .. } => {
            let named = external.get(&dotted(column, key)).cloned().unwrap_or_default();
            let assigned = external.get(column).is_some_and(|v| !v.is_empty());
            if assigned && named.is_empty() {
                return Err(Untranslatable::UnknownReference);
            }
            (attribute, named)
        }
        Mapping::Date { attribute, precision, zone, .. } => {
            let value = only(external).to_text();
            if value.is_empty() {
                (attribute, Value::Empty)
            } else {
                let at = external_instant(*precision, &value).ok_or(Untranslatable::Unmapped)?;
                (attribute, Value::text(platform_date(*precision, zone, at)))
            }
        }
        Mapping::ToServicenow { .. } => return Err(Untranslatable::OneWay),
        Mapping::Markup { attribute, .. } | Mapping::ToPlatform { attribute, .. } => {
            (attribute, Value::text(incoming(field, external)?))
        }
    };
    Ok(Shape::one(attribute.clone(), value))
}

/// A shape as a template sees it: empty values are there and empty.
pub(crate) fn as_json(shape: &Shape) -> Json {
    let map: Map<String, Json> =
        shape.0.iter().map(|(a, v)| (a.to_string(), v.to_json())).collect();
    Json::Object(map)
}

fn render(
    template: &crate::expression::Template,
    name: &str,
    shape: &Shape,
) -> Result<String, Untranslatable> {
    // Empty is "", as a user expects it in a text, not "none".
    let texts: BTreeMap<String, String> =
        shape.0.iter().map(|(a, v)| (a.to_string(), v.to_text())).collect();
    let context = BTreeMap::from([(name, texts)]);
    template.render(&context).map_err(Untranslatable::Template)
}

/// The platform's shape as ServiceNow is to be given it. `present` is what stands there now: what
/// already means the same stays.
///
/// # Errors
/// When the value has no counterpart, or a row has to be looked up first.
pub fn to_external(
    field: &FieldMapping,
    platform: &Shape,
    present: Option<&Shape>,
    known: &BTreeMap<String, Reference>,
) -> Result<Columns, Untranslatable> {
    let bare = |shape| Columns { shape, with: BTreeMap::new() };
    let value = only(platform);
    match &field.mapping {
        Mapping::Text { column, external_format, .. } => {
            let text = outgoing(field, platform)?;
            let text = format::write(*external_format, &text);
            Ok(bare(Shape::one(column.clone(), Value::text(text))))
        }
        Mapping::Choice { column, pairs, .. } => {
            let wanted = value.to_text();
            let pair =
                pairs.iter().find(|p| p.platform == wanted).ok_or(Untranslatable::Unmapped)?;
            let stays = present.map(|s| only(s).to_text()).filter(|v| pair.external.contains(v));
            let default = pair.external.first().cloned().ok_or(Untranslatable::Unmapped)?;
            let shape = Shape::one(column.clone(), Value::text(stays.unwrap_or(default)));
            Ok(Columns { shape, with: pair.with.clone() })
        }
        Mapping::Columns { pairs, .. } => {
            let wanted = value.to_text();
            let pair =
                pairs.iter().find(|p| p.platform == wanted).ok_or(Untranslatable::Unmapped)?;
            let shape = pair.writes.iter().map(|(c, v)| (c.clone(), Value::text(v.clone())));
            Ok(Columns { shape: Shape(shape.collect()), with: pair.with.clone() })
        }
        Mapping::Reference { column, table, key, .. } => {
            let wanted = value.to_text().trim().to_lowercase();
            let look_up = LookUp { table: table.clone(), key: key.clone(), value: wanted };
            let id = match (look_up.value.is_empty(), known.get(&look_up.name())) {
                (true, _) => Value::Empty,
                (false, None) => return Err(Untranslatable::LookUp(look_up)),
                (false, Some(Reference::Found(id))) => Value::text(SysId::as_str(id)),
                (false, Some(Reference::Missing | Reference::Ambiguous)) => {
                    return Err(Untranslatable::UnknownReference);
                }
            };
            Ok(bare(Shape::one(column.clone(), id)))
        }
        Mapping::Date { column, precision, zone, .. } => {
            let text = value.to_text();
            let date = if text.trim().is_empty() {
                Value::Empty
            } else {
                let at =
                    platform_instant(*precision, zone, &text).ok_or(Untranslatable::Unmapped)?;
                Value::text(external_date(*precision, at))
            };
            Ok(bare(Shape::one(column.clone(), date)))
        }
        Mapping::ToServicenow { column, .. } => {
            let text = outgoing(field, platform)?;
            Ok(bare(Shape::one(column.clone(), Value::text(text))))
        }
        Mapping::Markup { .. } | Mapping::ToPlatform { .. } => Err(Untranslatable::OneWay),
    }
}

/// A text as it leaves for ServiceNow, in plain text: masked first (so that a cut cannot hide the
/// end of a number from the masker), trimmed, then cut with a visible ellipsis.
fn outgoing(field: &FieldMapping, platform: &Shape) -> Result<String, Untranslatable> {
    let (text, max, mask, format) = match &field.mapping {
        Mapping::Text { platform_format, external_format, max, mask, .. } => {
            (plain(*platform_format, only(platform)), *max, mask, *external_format)
        }
        Mapping::ToServicenow { template, max, mask, .. } => {
            let text = render(template, "record", platform)?;
            (format::shown(TextFormat::Plain, text.into()), *max, mask, TextFormat::Plain)
        }
        _ => return Err(Untranslatable::OneWay),
    };
    Ok(cut_as(format, masked(mask.as_ref(), Side::External, text.into_owned()), max))
}

/// Cuts a text so that what is written of it is no longer than that.
fn cut_as(format: TextFormat, text: String, max: usize) -> String {
    let fits = |text: &str| format::write(format, text).chars().count() <= max;
    let text = cut(text, max);
    if format == TextFormat::Plain || fits(&text) {
        return text;
    }
    let (mut fit, mut too_long) = (0, max);
    while fit + 1 < too_long {
        let middle = usize::midpoint(fit, too_long);
        match fits(&cut(text.clone(), middle)) {
            true => fit = middle,
            false => too_long = middle,
        }
    }
    cut(text, fit)
}

/// A text as it leaves for the platform, in plain text or with its markup: masked and trimmed.
fn incoming(field: &FieldMapping, external: &Shape) -> Result<String, Untranslatable> {
    let (text, mask) = match &field.mapping {
        Mapping::Text { external_format, mask, .. } => {
            (plain(*external_format, only(external)), mask)
        }
        Mapping::Markup { mask, .. } => {
            return Ok(marked_up(mask.as_ref(), &only(external).to_text()));
        }
        Mapping::ToPlatform { template, mask, .. } => {
            (render(template, "ticket", external)?.trim().to_owned().into(), mask)
        }
        _ => return Err(Untranslatable::OneWay),
    };
    Ok(masked(mask.as_ref(), Side::Platform, text.into_owned()))
}

/// HTML as the platform is shown it: Markdown, masked. What tags would hide from the masker is looked for once more
/// in the words as they are read; if anything is left there, the words are shown without their markup.
fn marked_up(mask: Option<&BothWays>, html: &str) -> String {
    let as_read = |text: &str| format::read(TextFormat::Markdown, text);
    let hides_nothing = |text: &str| masked(mask, Side::Platform, text.to_owned()) == text;
    let html_masked = masked(mask, Side::Platform, html.to_owned());
    let told = format::markdown_of_html(&html_masked, &hides_nothing);
    if hides_nothing(&as_read(&told)) {
        return told;
    }
    let words = format::read(TextFormat::Html, html);
    format::write(TextFormat::Markdown, &masked(mask, Side::Platform, words))
}

fn masked(mask: Option<&BothWays>, to: Side, text: String) -> String {
    match mask {
        Some(mask) => mask.mask(to, &text),
        None => text,
    }
}

/// Cuts a text to a length in characters, with a visible ellipsis.
#[must_use]
pub fn cut(text: String, max: usize) -> String {
    if text.chars().count() <= max {
        return text;
    }
    let cut: String = text.chars().take(max.saturating_sub(1)).collect();
    format!("{}\u{2026}", cut.trim_end())
}

// ---- dates -----------------------------------------------------------------------------------

/// An instant as ServiceNow has it: UTC. A day is its midnight.
fn external_instant(precision: Precision, text: &str) -> Option<Millis> {
    match precision {
        Precision::Second => parse_servicenow(text).ok(),
        Precision::Day => parse_servicenow(&format!("{} 00:00:00", text.get(..10)?)).ok(),
    }
}

fn external_date(precision: Precision, at: Millis) -> String {
    let text = servicenow_text(at);
    match precision {
        Precision::Second => text,
        Precision::Day => text.chars().take(10).collect(),
    }
}

/// An instant as the platform has it: RFC 3339, or a local time in its zone. A day has no zone.
fn platform_instant(precision: Precision, zone: &Zone, text: &str) -> Option<Millis> {
    let text = text.trim();
    if precision == Precision::Day {
        return external_instant(precision, text);
    }
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(Millis(instant.as_millisecond().div_euclid(1000) * 1000));
    }
    let local: jiff::civil::DateTime = text.parse().ok()?;
    let instant = local.to_zoned(zone.0.clone()).ok()?.timestamp();
    Some(Millis(instant.as_millisecond().div_euclid(1000) * 1000))
}

fn platform_date(precision: Precision, zone: &Zone, at: Millis) -> String {
    if precision == Precision::Day {
        return external_date(precision, at);
    }
    let instant = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    if zone.0 == jiff::tz::TimeZone::UTC {
        return instant.to_string();
    }
    let zoned = instant.to_zoned(zone.0.clone());
    format!("{}{}", zoned.datetime(), offset(zoned.offset()))
}

fn offset(offset: jiff::tz::Offset) -> String {
    let minutes = offset.seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

// ---- comparing -------------------------------------------------------------------------------

/// Whether a text of one side would not arrive on the other as it is (masked, cut, without its
/// markup): carrying the other's version back would destroy the original.
#[must_use]
pub fn loses_on_the_way(field: &FieldMapping, from: Side, shape: &Shape) -> bool {
    let Mapping::Text { platform_format, external_format, .. } = &field.mapping else {
        return false;
    };
    match from {
        Side::Platform => {
            let text = plain(*platform_format, only(shape));
            is_formatted(*platform_format, only(shape))
                || outgoing(field, shape).is_ok_and(|out| out != text)
        }
        // The markup of a ticket's text is not kept: an agent's words count, not their colour.
        Side::External => {
            let text = plain(*external_format, only(shape));
            incoming(field, shape).is_ok_and(|out| out != text)
        }
    }
}

/// Bold, links, tables: plain text would take their place.
fn is_formatted(format: TextFormat, value: &Value) -> bool {
    if format == TextFormat::Plain {
        return false;
    }
    let (original, text) = (value.as_text(), plain(format, value));
    text != format::shown(TextFormat::Plain, original.as_ref().into())
        && format::write(format, &text) != original
}

/// Whether what a side has must not be overwritten with what the other has made of it: the two
/// agreed on a version that had lost something on its way there.
#[must_use]
pub fn is_original(field: &FieldMapping, side: Side, base: &Base, present: &Shape) -> bool {
    let Mapping::Text { platform_format, external_format, .. } = &field.mapping else {
        return false;
    };
    let agreed = base.shape(side);
    let texts_differ = plain(*platform_format, only(&base.platform))
        != plain(*external_format, only(&base.external));
    let lost = texts_differ
        || (side == Side::Platform && is_formatted(*platform_format, only(&base.platform)));
    // What the other side itself gave can be given anew, whatever its form.
    let given = || {
        translate(field, side.other(), base.shape(side.other()), None, &BTreeMap::new())
            .is_ok_and(|columns| same(field, side, &columns.shape, agreed))
    };
    lost && loses_on_the_way(field, side, present) && !given()
}

/// Whether the two sides mean the same.
#[must_use]
pub fn agree(field: &FieldMapping, platform: &Shape, external: &Shape) -> bool {
    let value = only(platform);
    match &field.mapping {
        Mapping::Text { platform_format, external_format, .. } => {
            let there = plain(*external_format, only(external));
            let here = plain(*platform_format, value);
            // Not everything that can be written reads back as it was: blanks, empty lines.
            let is_read = |format, text: &str, as_: &str| {
                text == as_
                    || format != TextFormat::Plain
                        && format::read(format, &format::write(format, text)) == as_
            };
            here == there
                || outgoing(field, platform)
                    .is_ok_and(|out| is_read(*external_format, &out, &there))
                || incoming(field, external)
                    .is_ok_and(|into| is_read(*platform_format, &into, &here))
        }
        Mapping::ToServicenow { .. } => {
            let there = plain(TextFormat::Plain, only(external));
            outgoing(field, platform).is_ok_and(|out| out == there)
        }
        Mapping::Choice { .. } | Mapping::Columns { .. } => {
            // A platform may say true or 2 where the map says "true" or "2".
            to_platform(field, external).is_ok_and(|s| only(&s).to_text() == value.to_text())
                || (value.is_empty() && external.is_empty())
        }
        Mapping::Reference { .. } => to_platform(field, external).is_ok_and(|s| {
            only(&s).to_text().to_lowercase() == value.to_text().trim().to_lowercase()
        }),
        Mapping::Date { precision, zone, .. } => {
            let here = platform_instant(*precision, zone, &value.to_text());
            let there = external_instant(*precision, &only(external).to_text());
            match (here, there) {
                (Some(here), Some(there)) => here == there,
                _ => value.is_empty() && external.is_empty(),
            }
        }
        Mapping::Markup { .. } | Mapping::ToPlatform { .. } => to_platform(field, external)
            .is_ok_and(|s| only(&s).to_text().trim() == value.to_text().trim()),
    }
}

/// Whether two shapes of one side mean the same.
#[must_use]
pub fn same(field: &FieldMapping, side: Side, a: &Shape, b: &Shape) -> bool {
    if a == b {
        return true;
    }
    let texts = |format| plain(format, only(a)) == plain(format, only(b));
    match (side, &field.mapping) {
        (Side::Platform, Mapping::Text { platform_format, .. }) => texts(*platform_format),
        (Side::External, Mapping::Text { external_format, .. }) => texts(*external_format),
        (Side::External, Mapping::ToServicenow { .. })
        | (Side::Platform, Mapping::Markup { .. } | Mapping::ToPlatform { .. }) => {
            texts(TextFormat::Plain)
        }
        // How it is set counts as well as its words; what makes no difference to a reader does not.
        (Side::External, Mapping::Markup { .. }) => {
            matches!((incoming(field, a), incoming(field, b)), (Ok(a), Ok(b)) if a == b)
        }
        (Side::External, Mapping::Choice { .. } | Mapping::Columns { .. }) => {
            matches!((to_platform(field, a), to_platform(field, b)), (Ok(a), Ok(b)) if a == b)
        }
        (Side::Platform, Mapping::Choice { .. } | Mapping::Columns { .. }) => {
            only(a).to_text() == only(b).to_text()
        }
        (Side::Platform, Mapping::Reference { .. }) => {
            let lower = |s: &Shape| only(s).to_text().trim().to_lowercase();
            lower(a) == lower(b)
        }
        (Side::Platform, Mapping::Date { precision, zone, .. }) => {
            let at = |s: &Shape| platform_instant(*precision, zone, &only(s).to_text());
            at(a).is_some() && at(a) == at(b)
        }
        _ => false,
    }
}

/// Translates from one side to the other.
///
/// # Errors
/// When the value has no counterpart, or a row has to be looked up first.
pub fn translate(
    field: &FieldMapping,
    from: Side,
    shape: &Shape,
    present: Option<&Shape>,
    known: &BTreeMap<String, Reference>,
) -> Result<Columns, Untranslatable> {
    match from {
        Side::Platform => to_external(field, shape, present, known),
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

/// Whether what a side shows is what was written there.
#[must_use]
pub fn stands(field: &FieldMapping, side: Side, seen: &Shape, written: &Translated) -> bool {
    match (&written.ruled, side) {
        (None, _) => agree_from(field, side, seen, &written.of),
        // The value that a rule made is the platform's word for it.
        (Some(made), Side::External) => agree(field, made, seen),
        (Some(made), Side::Platform) => same(field, side, seen, made),
    }
}

#[cfg(test)]
mod tests;
