//! Deliveries: what came in from outside, kept until it is dealt with.

use serde::{Deserialize, Serialize};

use crate::{InboundKind, IntegrationId, LinkId, Millis};

/// Where a delivery stands.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// To be looked at.
    Received,
    /// Looked at: it is about a ticket that we do not know, or not yet.
    Waiting,
    /// Looked at; in a word, what it led to.
    Done(String),
    /// Could not be understood; the reason.
    Quarantined(String),
}

/// One accepted request from outside. The same one twice is one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// What makes it the same one.
    pub identity: String,
    /// Which way in it took.
    pub kind: InboundKind,
    /// The body as it came.
    pub body: String,
    /// When.
    pub received: Millis,
    /// Where it stands.
    pub state: DeliveryState,
    /// The links that it brought something to; none before it was looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkId>,
}

/// A payload that was kept because it could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Its id.
    pub id: String,
    /// The integration.
    pub integration: IntegrationId,
    /// Which way in it took.
    pub kind: InboundKind,
    /// Why.
    pub reason: String,
    /// The body as it came; sealed at rest, masked wherever it is shown.
    pub body: String,
    /// When.
    pub at: Millis,
}

/// A problem document (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// A word that machines can match: `bad-signature`.
    #[serde(rename = "type")]
    pub kind: String,
    /// One line for people.
    pub title: String,
    /// What exactly, and what to do.
    pub detail: String,
}

impl Problem {
    /// Makes one.
    pub fn new(status: u16, kind: &str, title: &str, detail: impl Into<String>) -> Problem {
        Problem {
            status,
            kind: format!("https://firn.dev/problems/{kind}"),
            title: title.to_owned(),
            detail: detail.into(),
        }
    }
}
