//! What passes the border between host and engine: events in, reports out, and the requests that
//! the host carries for the engine.

use serde::{Deserialize, Serialize};

use crate::{
    ContentHash, IntegrationId, Key, LikeCase, LinkId, Millis, Operation, SysId, TenantId,
    parse_http_date,
};

/// Which way in a request took.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InboundKind {
    /// ServiceNow's webhook.
    Webhook,
    /// The platform's event.
    PlatformEvent,
    /// The platform's wish for a ticket.
    Escalation,
}

impl InboundKind {
    /// In a word, for people and for labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            InboundKind::Webhook => "webhook",
            InboundKind::PlatformEvent => "event",
            InboundKind::Escalation => "escalation",
        }
    }
}

/// A request from outside, for one integration. Bearer tokens were checked by the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbound {
    /// The host's number for it; its reply names it.
    pub request: u64,
    /// The owner of the integration.
    pub tenant: TenantId,
    /// The integration.
    pub integration: IntegrationId,
    /// Which way in it took.
    pub kind: InboundKind,
    /// Header names in lower case. A header that came twice is here twice.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// Of an escalation: cases like it that were solved before, the likest first. The host has looked for them.
    #[serde(default)]
    pub like: Vec<LikeCase>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A request from outside.
    Inbound(Inbound),
    /// A request of an operator.
    Operate {
        /// The host's number for it.
        request: u64,
        /// The tenant that it concerns.
        tenant: TenantId,
        /// What is asked.
        operation: Operation,
        /// Who asks, for the audit.
        by: String,
    },
    /// A row is due.
    Due(Key),
    /// A request that we submitted is over.
    Answer(Answer),
}

/// Where a request goes. The host knows the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remote {
    /// The ServiceNow instance; `path` and `query` are relative to its base URL.
    Servicenow,
    /// The platform's callback URL.
    PlatformCallback,
    /// The platform's read URL; `path` is the id that replaces `{id}`.
    PlatformRead,
    /// Where findings are told.
    PlatformFindings,
    /// Where what is learnt is told.
    PlatformKnowledge,
    /// Where language models are asked; `path` is below its address.
    Model,
    /// Where the platform's files are read; `path` is the id that replaces `{id}`.
    PlatformAttachmentRead,
    /// Where files are given to the platform; `path` is the id of the record that replaces `{id}`.
    PlatformAttachmentWrite,
}

/// An HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Creates, or posts.
    Post,
    /// Changes.
    Patch,
}

/// Which requests have their turn first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    /// Somebody waits for a ticket.
    First,
    /// Everything else.
    #[default]
    Usual,
}

/// A file for the host to read: its bytes are carried on as they come, and never kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// Where it is.
    pub remote: Remote,
    /// The path; see [`Remote`].
    pub path: String,
    /// Its media type.
    pub media_type: String,
    /// So many bytes it has. If it has others, nothing of it may arrive.
    pub size: u64,
    /// Its content. If it is another, nothing of it may arrive.
    pub hash: ContentHash,
}

/// What a request carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// JSON.
    Json(String),
    /// A file.
    File(Fetch),
}

/// What is wanted of an answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Want {
    /// Its text.
    #[default]
    Text,
    /// Of a success, `{"size", "sha256"}` alone; `{"size"}` if it has more bytes than this.
    Hash(u64),
}

/// A request for the host to carry. Credentials are added there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// Names the exchange; its answer carries it back.
    pub ticket: String,
    /// The tenant.
    pub tenant: TenantId,
    /// The integration.
    pub integration: IntegrationId,
    /// Where it goes.
    pub remote: Remote,
    /// How.
    pub method: Method,
    /// The path; see [`Remote`].
    pub path: String,
    /// Query parameters, not yet encoded.
    pub query: Vec<(String, String)>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// What it carries.
    pub body: Option<Body>,
    /// What is wanted of its answer.
    #[serde(default)]
    pub want: Want,
    /// Whether its turn comes before others'.
    #[serde(default)]
    pub urgency: Urgency,
    /// Milliseconds that it may wait for its turn; after that it must not leave at all.
    pub queue: u64,
    /// Milliseconds after leaving at which it counts as lost.
    pub timeout: u64,
}

impl HttpRequest {
    /// The JSON that it carries.
    #[must_use]
    pub fn json(&self) -> Option<&str> {
        match &self.body {
            Some(Body::Json(text)) => Some(text),
            _ => None,
        }
    }
}

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// `content-type`, `retry-after`, `date`, `x-total-count` and `x-ratelimit-*`, as far as present; names
    /// in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl HttpResponse {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// `Retry-After` (RFC 9110, section 10.2.3) in milliseconds from now: seconds or an HTTP date. Less than
    /// nothing counts as nothing, garbage as absent.
    #[must_use]
    pub fn retry_after(&self, now: Millis) -> Option<u64> {
        let text = self.header("retry-after")?.trim();
        if let Ok(seconds) = text.parse::<i64>() {
            return Some(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000));
        }
        // Relative to their own clock, if they tell it: ours may differ.
        let here = self.header("date").and_then(|d| parse_http_date(d).ok()).unwrap_or(now);
        let then = parse_http_date(text).ok()?;
        Some(u64::try_from(then.since(here)).unwrap_or(0))
    }
}

/// How a submitted request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnswerBody {
    /// With a response.
    Response(HttpResponse),
    /// It certainly never left.
    NotSent(String),
    /// It never left: the side's budget has no room for it before so many milliseconds.
    Busy(u64),
    /// It never left: the side has not answered lately, and is left alone for so many milliseconds.
    Silent(u64),
    /// It may have arrived; no response did.
    Lost(String),
    /// It came to nothing: the file that it was to carry cannot be had, by this status.
    NoFile(u16),
    /// It came to nothing: the file that it was to carry is another now.
    OtherFile,
}

/// The end of a submitted request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The ticket of the request.
    pub ticket: String,
    /// The tenant of the request.
    pub tenant: TenantId,
    /// The integration of the request.
    pub integration: IntegrationId,
    /// How it ended.
    pub body: AnswerBody,
}

/// The answer to a request from outside or of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// A JSON body; a problem document if the status is 400 or more.
    pub body: String,
    /// The answer may get better: wait for a [`Notice`] of this link before sending it.
    pub waits_for: Option<LinkId>,
    /// Whether this request is the one that asked for the ticket first.
    pub first: bool,
}

/// A link got its ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The link.
    pub link: LinkId,
    /// The ticket.
    pub sys_id: SysId,
    /// Its number.
    pub number: Option<String>,
    /// Whether the ticket was made just now (or had been there before).
    pub created: bool,
}

/// One result of `handle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// A request has its answer.
    Reply {
        /// The host's number for the request.
        request: u64,
        /// The answer.
        reply: Reply,
    },
    /// Something that a waiting request may want to know.
    Notice(Notice),
}
