//! Identifiers. Each is a type of its own, so that one can never stand in for another.

use serde::{Deserialize, Serialize};

/// Why a text is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {found:?} is not valid: {rule}")]
pub struct InvalidId {
    what: &'static str,
    found: String,
    rule: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            #[doc = concat!("Reads a text: ", $rule, ".")]
            ///
            /// # Errors
            /// Names the rule that the text breaks.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) {
                    Ok(Self(text))
                } else {
                    let found = text.chars().take(64).collect();
                    Err(InvalidId { what: stringify!($name), found, rule: $rule })
                }
            }

            /// The text of the identifier.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $rule })
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

fn slug(text: &str, max: usize) -> bool {
    !text.is_empty()
        && text.len() <= max
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn printable(text: &str, max: usize) -> bool {
    !text.is_empty() && text.len() <= max && !text.chars().any(char::is_control)
}

id!(
    /// One customer. Nothing crosses tenants; seed 004 calls it `organization_id`.
    TenantId, "1 to 64 of A-Z a-z 0-9 - _ .", |t| slug(t, 64)
);
id!(
    /// One tenant's pairing of a platform with a ServiceNow instance.
    IntegrationId, "1 to 64 of A-Z a-z 0-9 - _ .", |t| slug(t, 64)
);
id!(
    /// A pair of records, one a side.
    LinkId, "1 to 64 of A-Z a-z 0-9 - _ .", |t| slug(t, 64)
);
id!(
    /// A conflict that waits for a person.
    ConflictId, "1 to 64 of A-Z a-z 0-9 - _ .", |t| slug(t, 64)
);
id!(
    /// The platform's own id of a record: a conversation, a call, an incident.
    PlatformId, "1 to 256 bytes, no control characters", |t| printable(t, 256)
);
id!(
    /// ServiceNow's id of a row: 32 hexadecimal digits, lower case.
    SysId, "32 hexadecimal digits", |t| t.len() == 32
        && t.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
);
id!(
    /// The SHA-256 of a file's bytes: 64 hexadecimal digits, lower case.
    ContentHash, "64 hexadecimal digits", |t| t.len() == 64
        && t.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
);
id!(
    /// A ServiceNow table. Only validated names ever enter a URL.
    TableName, "1 to 80 of a-z 0-9 _", |t| !t.is_empty()
        && t.len() <= 80
        && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
);

impl TableName {
    /// The table that it extends, in which a row of it is found whatever its class becomes, and whose business rules
    /// hear of it: `task` for every kind of ticket, `sys_user` for contacts, or itself.
    #[must_use]
    pub fn base(&self) -> &str {
        match self.as_str() {
            "sys_user" | "customer_contact" => "sys_user",
            "customer_account" => "customer_account",
            // Templates of articles extend them.
            article if article.starts_with("kb_") => "kb_knowledge",
            _ => "task",
        }
    }
}

id!(
    /// The name of a mapped field, as the platform calls it: `title`, `severity`.
    FieldName, "1 to 64 of A-Z a-z 0-9 - _ .", |t| slug(t, 64)
);
id!(
    /// One attribute of a record on one side: a column, or a property of the platform's record.
    Attribute, "1 to 80 of A-Z a-z 0-9 - _ .", |t| slug(t, 80)
);
id!(
    /// The key under which a ticket is found again: ServiceNow's `correlation_id`, at most 100
    /// characters, and never one that could change the meaning of an encoded query.
    CorrelationKey, "1 to 100 characters, none of ^ or control", |t| {
        printable(t, 400) && t.chars().count() <= 100 && !t.contains('^')
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sys_id_is_32_hex_digits_and_nothing_else() {
        assert!(SysId::new("a1b2c3d4e5f60718293a4b5c6d7e8f90").is_ok());
        for bad in ["", "A1B2C3D4E5F60718293A4B5C6D7E8F90", "../../sys_user", "a1b2^ORstate=1"] {
            assert!(SysId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_correlation_key_cannot_carry_a_query() {
        assert!(CorrelationKey::new("conversation-42").is_ok());
        assert!(CorrelationKey::new("x^ORstate=1").is_err());
        assert!(CorrelationKey::new("").is_err());
        assert!(CorrelationKey::new("x".repeat(101)).is_err());
    }
}
