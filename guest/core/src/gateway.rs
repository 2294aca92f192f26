//! What a gateway does with a message on its way: refuse what is not genuine, mask it, map it. Each message
//! alone: a gateway remembers nothing, so there is no deduplication here, no order, no conflict. Those are
//! Firn's, or those of whoever is behind.
//!
//! The shells (`guest/gateway`, `guest/envoy`, the packages for Node and Python) ask [`Gateway::way`] by the
//! address, [`Gateway::request`] once the body is there, and [`Gateway::response`] on the way back.
//!
//! | a route takes | it refuses | `masked` | `mapped` |
//! |---|---|---|---|
//! | `webhook` | what is not signed as agreed | every text of it | to the platform's words |
//! | `event` | what is no strict JSON object | every text of it | (which ticket it is about, only Firn knows) |
//! | `escalation` | likewise | every text of it | to a new ticket's columns |
//! | `any` | nothing | every text of it | |

mod bodies;
mod document;
mod mapped;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use firn_model::{Fault, Millis, Problem, Side};
use firn_signature::Key;

use crate::masking::Masker;
use crate::settings::Rules;
use crate::signature::{self, Scheme};
use crate::{intake, json};
use document::{Answers, Takes};

/// The longest body that is read, in bytes: as Firn's.
pub const LIMIT: usize = 1 << 20;

/// What a gateway does, checked.
#[derive(Debug, Clone)]
pub struct Gateway {
    routes: Vec<Route>,
    refuses_others: bool,
    upstream: Option<String>,
}

/// What happens to the messages of one address.
#[derive(Debug, Clone)]
pub struct Route {
    /// In lower case, without what has no meaning; see [`plain`].
    path: String,
    /// Whether everything below it belongs to it too.
    below: bool,
    takes: Takes,
    goes: Goes,
    answers: Answers,
    /// Which signatures are taken; nothing if none is asked for.
    signed: Option<Signed>,
    /// The path that it goes on to.
    to: Option<String>,
    masker: Masker,
    shown: Masker,
}

/// How it goes on.
#[derive(Debug, Clone)]
enum Goes {
    Unchanged,
    Masked,
    /// By these settings.
    Mapped(Arc<Rules>),
}

#[derive(Debug, Clone)]
struct Signed {
    policy: firn_model::WebhookPolicy,
    keys: Vec<Key>,
}

/// What is to be done with a request before its body is read.
#[derive(Debug)]
pub enum Way<'a> {
    /// It goes through as it is, and so does its answer.
    Through,
    /// It is read: ask [`Gateway::request`].
    Read(&'a Route),
    /// It goes no further.
    Answered(Reply),
}

/// A request, or an answer.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Headers, their names in lower case.
    pub headers: &'a [(String, String)],
    /// The body; nothing if it is not UTF-8.
    pub body: Option<&'a str>,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Onward(Onward),
    /// It does not; this is the answer.
    Answered(Reply),
}

/// How a message goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Onward {
    /// The path that it goes to, if that is another.
    pub path: Option<String>,
    /// Headers that it goes without.
    pub without: Vec<String>,
    /// Headers that it gets; others of the same name go.
    pub headers: Vec<(String, String)>,
    /// Its body, if that is another.
    pub body: Option<String>,
}

/// An answer of the gateway's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body, JSON.
    pub body: String,
    /// What the sender is not told: for a log. Never a value of a record.
    pub why: Option<String>,
}

impl Reply {
    fn problem(problem: &Problem) -> Reply {
        Reply {
            status: problem.status,
            headers: vec![("content-type".to_owned(), "application/problem+json".to_owned())],
            // Names in the order of the alphabet, as Firn itself writes them.
            body: serde_json::json!(problem).to_string(),
            why: None,
        }
    }

    fn json(status: u16, body: &serde_json::Value) -> Reply {
        Reply {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.to_string(),
            why: None,
        }
    }

    /// The answer to a body of more than [`LIMIT`] bytes.
    #[must_use]
    pub fn too_long() -> Reply {
        let detail = "a body may have 1 MiB at most";
        Reply::problem(&Problem::new(413, "body-too-long", "The body is too long", detail))
    }

    /// The answer to everything while the gateway's own document has faults.
    #[must_use]
    pub fn unusable(faults: &[Fault]) -> Reply {
        let detail = "its document has faults; they are in the gateway's log";
        let problem = Problem::new(500, "gateway-document", "The gateway cannot work", detail);
        let told: Vec<String> = faults
            .iter()
            .map(|f| if f.at.is_empty() { f.text.clone() } else { format!("{}: {}", f.at, f.text) })
            .collect();
        Reply { why: Some(told.join("; ")), ..Reply::problem(&problem) }
    }

    /// The answer when nobody answers behind the gateway.
    #[must_use]
    pub fn unreachable(why: &str) -> Reply {
        let detail = "nobody answered behind the gateway; send it again later";
        let problem = Problem::new(502, "upstream", "Nobody answered behind the gateway", detail);
        Reply { why: Some(why.to_owned()), ..Reply::problem(&problem) }
    }
}

impl Gateway {
    /// Reads and checks a gateway's document (JSON). `environment` gives the secrets that it names as
    /// `env:NAME`.
    ///
    /// # Errors
    /// Every fault at once; no warnings.
    pub fn open(
        document: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Gateway, Vec<Fault>> {
        document::read(document, environment)
    }

    /// Every fault of a document, warnings too. What the environment holds is not looked at.
    #[must_use]
    pub fn faults(document: &str) -> Vec<Fault> {
        document::faults(document)
    }

    /// Where a proxy sends what goes on: `http://127.0.0.1:8080`.
    #[must_use]
    pub fn upstream(&self) -> Option<&str> {
        self.upstream.as_deref()
    }

    /// What is to be done with a request to an address (its path, with or without a query).
    #[must_use]
    pub fn way(&self, method: &str, path: &str) -> Way<'_> {
        let path = plain(path);
        let fits = |route: &&Route| {
            let rest = path.strip_prefix(&route.path);
            rest.is_some_and(|r| r.is_empty() || (route.below && r.starts_with('/')))
                || (route.below && route.path.is_empty())
        };
        match self.routes.iter().find(fits) {
            None if self.refuses_others => {
                let detail = "the gateway has no such route";
                Way::Answered(Reply::problem(&Problem::new(404, "no-route", "Not found", detail)))
            }
            None => Way::Through,
            Some(route) if route.takes != Takes::Any && method != "POST" => {
                let detail = "this address takes POST";
                let problem = Problem::new(405, "method", "The method does not fit", detail);
                let mut reply = Reply::problem(&problem);
                reply.headers.push(("allow".to_owned(), "POST".to_owned()));
                Way::Answered(reply)
            }
            Some(route) => Way::Read(route),
        }
    }

    /// What becomes of a request that is to be read.
    #[must_use]
    pub fn request(&self, route: &Route, message: Message<'_>, now: Millis) -> Verdict {
        let decided = match route.takes {
            Takes::Webhook => route.webhook(message, now),
            Takes::Event | Takes::Escalation => route.asked(message, now),
            Takes::Any => route.any(message, now),
        };
        let mut onward = match decided {
            Ok(onward) => onward,
            Err(reply) => return Verdict::Answered(reply),
        };
        if route.answers == Answers::Masked {
            // What is packed cannot be masked.
            onward.without.push("accept-encoding".to_owned());
        }
        Verdict::Onward(onward)
    }

    /// What becomes of the answer to such a request.
    #[must_use]
    pub fn response(&self, route: &Route, message: Message<'_>) -> Verdict {
        if route.answers == Answers::Unchanged || message.body.is_some_and(str::is_empty) {
            return Verdict::Onward(Onward::default());
        }
        match bodies::masked(&route.masker, message) {
            Ok(body) => Verdict::Onward(Onward::with(body)),
            Err(why) => {
                let detail = format!("the answer cannot be masked, so it is not passed on: {why}");
                let title = "The answer cannot be read";
                Verdict::Answered(Reply::problem(&Problem::new(
                    502,
                    "unreadable-answer",
                    title,
                    detail,
                )))
            }
        }
    }
}

impl Onward {
    /// With another body; nothing changes if there is none.
    fn with(body: Option<String>) -> Onward {
        let Some(body) = body else { return Onward::default() };
        let gone =
            ["content-length", "content-md5", "content-digest", "repr-digest", "digest", "etag"];
        let without = gone.map(str::to_owned).to_vec();
        Onward { without, body: Some(body), ..Onward::default() }
    }
}

impl Route {
    /// Whether what is answered has to be read.
    #[must_use]
    pub fn reads_answers(&self) -> bool {
        self.answers == Answers::Masked
    }

    fn webhook(&self, message: Message<'_>, now: Millis) -> Result<Onward, Reply> {
        let body = message.body.ok_or_else(not_utf8)?;
        let signed = self.genuine(message.headers, body, now)?;
        let onward = match &self.goes {
            Goes::Unchanged => Onward::default(),
            Goes::Masked => Onward::with(self.masked(message)?),
            Goes::Mapped(rules) => {
                if let Some(nonce) = intake::ping(body) {
                    let pong = serde_json::json!({ "status": "pong", "nonce": nonce });
                    return Err(Reply::json(200, &pong));
                }
                let stamp = signed.as_ref().and_then(|signed| signed.stamp.as_ref());
                let mapped = mapped::webhook(rules, body, stamp.map(|s| s.identity()));
                let mapped = mapped.map_err(|why| self.kept(&why))?;
                self.onto(mapped)
            }
        };
        Ok(self.signed_anew(onward, signed.as_ref()))
    }

    fn asked(&self, message: Message<'_>, now: Millis) -> Result<Onward, Reply> {
        let body = message.body.ok_or_else(not_utf8)?;
        let signed = self.genuine(message.headers, body, now)?;
        if let Err(why) = json::object(body) {
            let title = "The body is not a JSON object that we take";
            let why = self.shown.mask(&why).text;
            return Err(Reply::problem(&Problem::new(400, "malformed-json", title, why)));
        }
        let onward = match &self.goes {
            Goes::Unchanged => Onward::default(),
            Goes::Masked => Onward::with(self.masked(message)?),
            Goes::Mapped(rules) => {
                let mapped = mapped::escalation(rules, body, now);
                self.onto(mapped.map_err(|why| self.kept(&why))?)
            }
        };
        Ok(self.signed_anew(onward, signed.as_ref()))
    }

    fn any(&self, message: Message<'_>, now: Millis) -> Result<Onward, Reply> {
        let signed = match (&self.signed, message.body) {
            (None, _) => None,
            (Some(_), None) => return Err(not_utf8()),
            (Some(_), Some(body)) => self.genuine(message.headers, body, now)?,
        };
        if matches!(self.goes, Goes::Unchanged) || message.body.is_some_and(str::is_empty) {
            return Ok(Onward { path: self.to.clone(), ..Onward::default() });
        }
        let onward = Onward::with(self.masked(message)?);
        let onward = Onward { path: self.to.clone(), ..onward };
        Ok(self.signed_anew(onward, signed.as_ref()))
    }

    /// Checks the signature, if one is asked for. Whoever has no right one is told the same, whatever is
    /// wrong with it: what exactly is for the log.
    fn genuine(
        &self,
        headers: &[(String, String)],
        body: &str,
        now: Millis,
    ) -> Result<Option<signature::Signed>, Reply> {
        let Some(Signed { policy, keys }) = &self.signed else { return Ok(None) };
        let wrong = |why: String| {
            let detail =
                "check address, secret and both clocks; what exactly is wrong is in the log";
            Reply { why: Some(why), ..Reply::problem(&signature::refusal(detail)) }
        };
        let signed = signature::read(policy, headers, body, now).map_err(|p| wrong(p.detail))?;
        if firn_signature::verify(keys, &signed.message, &signed.signatures) {
            return Ok(Some(signed));
        }
        Err(wrong(
            "the signature does not match; check the webhook secret on both sides".to_owned(),
        ))
    }

    /// A body that was changed no longer fits its signature: it gets one that does, by the first secret.
    fn signed_anew(&self, mut onward: Onward, signed: Option<&signature::Signed>) -> Onward {
        onward.path = onward.path.or_else(|| self.to.clone());
        let (Some(body), Some(signed)) = (&onward.body, signed) else { return onward };
        let Some(key) = self.signed.as_ref().and_then(|s| s.keys.first()) else { return onward };
        let header = match (signed.scheme, &signed.stamp) {
            (Scheme::Standard, Some(stamp)) => {
                ("webhook-signature", format!("v1,{}", key.sign(&stamp.message(body))))
            }
            _ => ("x-servicenow-signature", key.sign(body)),
        };
        onward.headers.push((header.0.to_owned(), header.1));
        onward
    }

    fn masked(&self, message: Message<'_>) -> Result<Option<String>, Reply> {
        bodies::masked(&self.masker, message).map_err(|why| {
            let title = "The body cannot be masked";
            Reply::problem(&Problem::new(415, "unreadable-body", title, why))
        })
    }

    fn onto(&self, mapped: mapped::Mapped) -> Onward {
        let mut onward = Onward::with(Some(mapped.body));
        onward.headers.push(("content-type".to_owned(), "application/json".to_owned()));
        onward.path = mapped.path;
        if self.to.is_some() {
            onward.path.clone_from(&self.to);
        }
        onward
    }

    /// What cannot be mapped goes nowhere, and its sender is told.
    fn kept(&self, why: &mapped::Why) -> Reply {
        match why {
            mapped::Why::Filtered(why) => {
                let reason = self.shown.mask(why).text;
                Reply::json(200, &serde_json::json!({ "status": "filtered", "reason": reason }))
            }
            mapped::Why::Unusable(why) => {
                let (title, why) = ("The payload cannot be used", self.shown.mask(why).text);
                Reply::problem(&Problem::new(422, "unusable-payload", title, why))
            }
        }
    }
}

fn not_utf8() -> Reply {
    let detail = "JSON is sent as UTF-8";
    Reply::problem(&Problem::new(400, "malformed-json", "The body is not UTF-8", detail))
}

/// The side that a route's messages go to, if it is known.
fn towards(takes: Takes) -> Option<Side> {
    match takes {
        Takes::Webhook => Some(Side::Platform),
        Takes::Event | Takes::Escalation => Some(Side::External),
        Takes::Any => None,
    }
}

/// A path as routes are found by: another spelling that some server takes for the same is the same here. No
/// query, no `%xx`, no doubled or last slash, no dots, no case.
fn plain(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut decoded = path.to_owned();
    // Twice encoded is decoded twice by some.
    for _ in 0..3 {
        let bytes = decoded.as_bytes();
        let mut out = Vec::with_capacity(bytes.len());
        let mut i = 0;
        while let Some(&byte) = bytes.get(i) {
            let hex = decoded.get(i + 1..i + 3).and_then(|h| u8::from_str_radix(h, 16).ok());
            match hex.filter(|_| byte == b'%') {
                Some(code) => {
                    out.push(code);
                    i += 3;
                }
                None => {
                    out.push(byte);
                    i += 1;
                }
            }
        }
        decoded = String::from_utf8_lossy(&out).into_owned();
    }
    let mut steps: Vec<&str> = Vec::new();
    for step in decoded.split(['/', '\\']) {
        // Some servers leave out what follows a semicolon.
        match step.split(';').next().unwrap_or_default().trim() {
            "" | "." => {}
            ".." => {
                steps.pop();
            }
            step => steps.push(step),
        }
    }
    steps.iter().map(|step| format!("/{}", step.to_ascii_lowercase())).collect()
}
