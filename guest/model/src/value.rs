//! Values, and how a side represents a field.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::Attribute;

/// The two sides of a link. `External` is ServiceNow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The user's own system.
    Platform,
    /// ServiceNow.
    External,
}

impl Side {
    /// Both sides, in the order in which they are looked at.
    pub const BOTH: [Side; 2] = [Side::Platform, Side::External];

    /// The other side.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::Platform => Side::External,
            Side::External => Side::Platform,
        }
    }
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Side::Platform => "platform",
            Side::External => "external",
        })
    }
}

/// One scalar. ServiceNow only ever gives text; `""` there and `null` elsewhere are `Empty`.
/// There are no floats: they would not replay byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Value {
    /// Cleared, or never filled.
    #[default]
    Empty,
    /// A truth value.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Text, never empty.
    Text(String),
}

/// By hand: serde's own way for untagged enums tries variant after variant, and formats an error for
/// each that does not fit. That was a third of the time of handling an event.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = Value;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text, a whole number, a truth value or null")
            }
            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Empty)
            }
            fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
                Ok(Value::Boolean(b))
            }
            fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
                Ok(Value::Integer(n))
            }
            fn visit_u64<E: Error>(self, n: u64) -> Result<Value, E> {
                let n = i64::try_from(n);
                n.map(Value::Integer).map_err(|_| E::custom("a number beyond 64 bits"))
            }
            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::text(text))
            }
            fn visit_string<E>(self, text: String) -> Result<Value, E> {
                Ok(Value::text(text))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

impl Value {
    /// Text becomes `Text`, `""` becomes `Empty`.
    pub fn text(text: impl Into<String>) -> Value {
        let text = text.into();
        if text.is_empty() { Value::Empty } else { Value::Text(text) }
    }

    /// Reads a JSON scalar; `None` for floats, arrays and objects.
    #[must_use]
    pub fn from_json(json: &serde_json::Value) -> Option<Value> {
        match json {
            serde_json::Value::Null => Some(Value::Empty),
            serde_json::Value::Bool(b) => Some(Value::Boolean(*b)),
            serde_json::Value::Number(n) => n.as_i64().map(Value::Integer),
            serde_json::Value::String(s) => Some(Value::text(s.clone())),
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
        }
    }

    /// The value as JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Empty => serde_json::Value::Null,
            Value::Boolean(b) => (*b).into(),
            Value::Integer(n) => (*n).into(),
            Value::Text(s) => s.clone().into(),
        }
    }

    /// The value as ServiceNow writes it: everything is text, empty is `""`.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.as_text().into_owned()
    }

    /// The same, copied only where it has to be made.
    #[must_use]
    pub fn as_text(&self) -> Cow<'_, str> {
        match self {
            Value::Empty => Cow::Borrowed(""),
            Value::Boolean(b) => Cow::Owned(b.to_string()),
            Value::Integer(n) => Cow::Owned(n.to_string()),
            Value::Text(s) => Cow::Borrowed(s),
        }
    }

    /// Whether nothing is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Value::Empty
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_text())
    }
}

/// How one side represents one mapped field: usually one attribute, sometimes several
/// (`severity` is ServiceNow's `priority` and `impact`).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(pub BTreeMap<Attribute, Value>);

impl Shape {
    /// A shape of one attribute.
    #[must_use]
    pub fn one(attribute: Attribute, value: Value) -> Shape {
        Shape(BTreeMap::from([(attribute, value)]))
    }

    /// The value of one attribute, if the shape has it.
    #[must_use]
    pub fn get(&self, attribute: &Attribute) -> Option<&Value> {
        self.0.get(attribute)
    }

    /// Whether every attribute is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.values().all(Value::is_empty)
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Nothing, whatever it is made of, is nothing.
        if self.0.values().all(Value::is_empty) {
            return Ok(());
        }
        let mut first = true;
        for (attribute, value) in &self.0 {
            if self.0.len() > 1 {
                write!(f, "{}{attribute}=", if first { "" } else { " " })?;
            }
            write!(f, "{value}")?;
            first = false;
        }
        Ok(())
    }
}
