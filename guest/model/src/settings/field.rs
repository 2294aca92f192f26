//! One mapped field, as it is written: whose it is, and what it is translated by.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Attribute, TableName, Value};

/// Which side a field belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// The user's own system.
    Platform,
    /// ServiceNow.
    External,
    /// Neither: both may change it.
    #[default]
    Shared,
}

/// What happens when a side changes a field that it does not own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OffOwner {
    /// The owner's value is written back; a second time within an hour it is kept instead.
    #[default]
    Restored,
    /// It is left there and not carried.
    Kept,
    /// It is carried as if the field were shared.
    Adopted,
}

/// What happens when both sides change one field at nearly the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The later edit.
    #[default]
    LastWriteWins,
    /// The side with the higher priority; at a tie the later edit.
    OwnershipPriority,
    /// A person decides.
    ManualReview,
}

/// How a field's values translate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Free text: trimmed, masked, and cut to the column's length with a visible ellipsis.
    Text,
    /// A value map between one attribute and one column.
    Choice,
    /// A value map between one attribute and several columns.
    Columns,
    /// `critical | high | medium | low`: reads `priority` and `impact`, writes `impact` and
    /// `urgency`, because ServiceNow computes `priority` from them.
    Severity,
    /// A person, a group or another row, by a key on the platform and by `sys_id` in ServiceNow.
    Reference,
    /// An instant or a day.
    Date,
    /// One text made of several attributes or columns, one way only.
    Template,
    /// A column that every new ticket gets.
    Constant,
}

/// How a text is written on a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TextFormat {
    /// As it is.
    #[default]
    Plain,
    /// HTML.
    Html,
    /// Markdown (CommonMark).
    Markdown,
}

/// How exact a date is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// `2026-04-29 14:30:00` in ServiceNow (UTC), RFC 3339 on the platform.
    #[default]
    Second,
    /// `2026-04-29` on both sides.
    Day,
}

/// One line of a value map: a platform value, and the ServiceNow values that mean it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChoicePair {
    /// The platform's value.
    pub platform: String,
    /// For `choice`: ServiceNow's values; the first is the one written when none of them stands
    /// there yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<String>,
    /// For `columns`: what must stand there to mean it; each column, and its values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reads: BTreeMap<Attribute, Vec<String>>,
    /// For `columns`: what is written to say it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub writes: BTreeMap<Attribute, String>,
    /// Columns that must accompany that value (`close_code`, `hold_reason`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<Attribute, Value>,
}

/// Who may make a change of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Permit {
    /// Only the platform.
    Platform,
    /// Only ServiceNow.
    External,
    /// Neither side; and Firn does not write it either.
    Nobody,
}

/// A guard on a transition: "only the platform may say resolved", "the desk may close but not
/// reopen". Values are the platform's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// The values that it leads from; none means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    /// The values that it leads to; none means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// Who alone may do it.
    pub only: Permit,
}

/// One mapped field as it is written. Which keys are needed and allowed depends on `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct FieldSettings {
    /// How its values translate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// ServiceNow's column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<Attribute>,
    /// The platform's attribute; the field's name if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<Attribute>,
    /// Whose it is; `shared` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The platform's priority for it, 0 if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_priority: Option<i32>,
    /// ServiceNow's priority for it, 0 if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_priority: Option<i32>,
    /// What happens to a non-owner's change; `restored` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_owner: Option<OffOwner>,
    /// The strategy, if it differs from the integration's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// The conflict window in milliseconds, if it differs from the integration's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict_window: Option<u64>,
    /// Guards on transitions, for value maps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<Guard>,
    /// An expression: the field is synchronised only while it is true. It sees `record` (the
    /// platform's mapped attributes), `ticket` (ServiceNow's mapped columns) and `table`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The ticket types that have it; all if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<TableName>>,
    /// For `text` and `template`: the column's length in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<usize>,
    /// For `text` and `template`: whether personal data is masked on its way to ServiceNow; true
    /// if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<bool>,
    /// For `text`: how the platform writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_format: Option<TextFormat>,
    /// For `text`: how ServiceNow writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_format: Option<TextFormat>,
    /// For `choice` and `columns`: the value map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<Vec<ChoicePair>>,
    /// For `reference`: the table that it points to; `sys_user` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<TableName>,
    /// For `reference`: the column by which the platform names it; `email` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Attribute>,
    /// For `date`: how exact it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// For `date`: the platform's time zone (IANA name) where its texts carry no offset; UTC if
    /// not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// For `template`: the template. With `column` it sees `record` and makes ServiceNow's column;
    /// without, it sees `ticket` and makes the platform's attribute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// For `constant`: the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What differs for single ticket types: any of the keys above.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<TableName, serde_json::Value>,
}
