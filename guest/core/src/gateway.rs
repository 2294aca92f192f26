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
mod paths;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use firn_model::{Fault, Level, Millis, Problem, Side};
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
    /// In lower case, without what has no meaning; see `paths`.
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

    /// The answer to a body that broke off.
    #[must_use]
    pub fn broken(route: &Route) -> Reply {
        let detail = "it broke off, or its chunks are none";
        let problem = Problem::new(400, "broken-body", "The body cannot be read", detail);
        Reply::problem(&problem).logged(route)
    }

    /// The answer to a request that has something behind its body, which nobody here can judge.
    #[must_use]
    pub fn trailers(route: &Route) -> Reply {
        let detail = "there are trailers behind it; send it without";
        let problem = Problem::new(400, "trailers", "The body cannot be read", detail);
        Reply::problem(&problem).logged(route)
    }

    /// The answer to a body of more than [`LIMIT`] bytes.
    #[must_use]
    pub fn too_long(route: &Route) -> Reply {
        let detail = "a body may have 1 MiB at most";
        let problem = Problem::new(413, "body-too-long", "The body is too long", detail);
        Reply::problem(&problem).logged(route)
    }

    /// The answer to everything while the gateway's own document has faults.
    #[must_use]
    pub fn unusable(faults: &[Fault]) -> Reply {
        let detail = "its document has faults; they are in the gateway's log";
        let problem = Problem::new(500, "gateway-document", "The gateway cannot work", detail);
        let told = faults.iter().map(|fault| {
            let at = if fault.at.is_empty() { "the document" } else { &fault.at };
            format!("{at}: {}; {}", fault.text, fault.remedy)
        });
        let told: Vec<String> = told.collect();
        Reply { why: Some(told.join("\n")), ..Reply::problem(&problem) }
    }

    /// The answer in the place of one that is to be masked and is longer than [`LIMIT`]. The request has been
    /// done: sending it again would do it again.
    #[must_use]
    pub fn long_answer(route: &Route) -> Reply {
        let detail =
            "the answer has more than 1 MiB, which is too long to be masked; the request was done";
        unreadable_answer(detail).logged(route)
    }

    /// The answer in the place of one that did not come whole. The request may have been done: sending it again
    /// may do it again.
    #[must_use]
    pub fn broken_answer(why: &str) -> Reply {
        let reply = unreadable_answer(&format!("{why}; the request may have been done"));
        Reply { why: Some(format!("answered 502: {why}")), ..reply }
    }

    /// What is wrong, for the log too, with the route: whoever runs the gateway is to see what it turns away.
    #[must_use]
    fn logged(mut self, route: &Route) -> Reply {
        if self.status >= 400 && self.why.is_none() {
            let body: Option<serde_json::Value> = serde_json::from_str(&self.body).ok();
            // What is said of a payload may quote it: that is for its sender alone.
            let told = if matches!(self.status, 400 | 422) { "title" } else { "detail" };
            let why = body.as_ref().and_then(|body| body[told].as_str()).unwrap_or_default();
            self.why = Some(format!("{}: answered {}: {why}", route.path, self.status));
        }
        self
    }

    /// The answer when nobody answers behind the gateway, and nothing was done there.
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

    /// Reads and checks the document in `FIRN_GATEWAY`, where a host gives its guests an environment.
    ///
    /// # Errors
    /// Every fault at once; no warnings.
    pub fn of_environment(
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Gateway, Vec<Fault>> {
        match environment("FIRN_GATEWAY") {
            Some(document) => Gateway::open(&document, environment),
            None => Err(vec![Fault {
                level: Level::Error,
                at: String::new(),
                text: "the environment variable FIRN_GATEWAY is not set".to_owned(),
                remedy: "set it to the gateway's document".to_owned(),
            }]),
        }
    }

    /// Every fault of a document, warnings too. What the environment holds is not looked at.
    #[must_use]
    pub fn faults(document: &str) -> Vec<Fault> {
        // Any key will do to see whether the rest is sound.
        document::faults(document, &|_| Some("-".to_owned()))
    }

    /// Every fault of a document that is used where there is no environment: in a program that embeds the core.
    #[must_use]
    pub fn faults_embedded(document: &str) -> Vec<Fault> {
        document::faults(document, &|_| None)
    }

    /// Where a proxy sends what goes on: `http://127.0.0.1:8080`.
    #[must_use]
    pub fn upstream(&self) -> Option<&str> {
        self.upstream.as_deref()
    }

    /// What is to be done with a request to an address (its path, with or without a query).
    #[must_use]
    pub fn way(&self, method: &str, path: &str) -> Way<'_> {
        let mut found: Vec<Option<&Route>> = Vec::new();
        for path in paths::readings(path) {
            let route = self.routes.iter().find(|route| route.fits(&path));
            if !found.iter().any(|known| same(*known, route)) {
                found.push(route);
            }
        }
        found.sort_by_key(Option::is_none);
        if found.iter().flatten().count() > 1 {
            let detail = "it can be read as one address or as another; write it plainly";
            let problem = Problem::new(400, "ambiguous-path", "The path is ambiguous", detail);
            return Way::Answered(Reply::problem(&problem));
        }
        match found.first().copied().flatten() {
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

    /// What can be said of a request that is to be read before its body is: an upgrade has none that ends.
    #[must_use]
    pub fn early(&self, route: &Route, headers: &[(String, String)]) -> Option<Reply> {
        headers.iter().any(|(name, _)| name == "upgrade").then(|| {
            let detail = format!("{} is read whole, and an upgrade never is", route.path);
            Reply::problem(&Problem::new(400, "no-upgrade", "There is no upgrade here", detail))
                .logged(route)
        })
    }

    /// What can be said of an answer before its body is there: whether it could be masked at all.
    #[must_use]
    pub fn early_answer(&self, route: &Route, headers: &[(String, String)]) -> Option<Reply> {
        if route.answers == Answers::Unchanged {
            return None;
        }
        let part = headers.iter().any(|(name, _)| name == "content-range");
        let kind = bodies::kind(headers);
        let why = match kind {
            _ if part => "it is a part".to_owned(),
            Ok(kind) if kind == "text/event-stream" => "it does not end".to_owned(),
            Ok(_) => return None,
            Err(why) => why,
        };
        Some(unmaskable(&why).logged(route))
    }

    /// What becomes of a request to a path (and query) that is to be read.
    #[must_use]
    pub fn request(&self, route: &Route, path: &str, message: Message<'_>, now: Millis) -> Verdict {
        let decided = match route.takes {
            Takes::Webhook => route.webhook(message, now),
            Takes::Event | Takes::Escalation => route.asked(message, now),
            Takes::Any => route.any(message, now),
        };
        let mut onward = match decided {
            Ok(onward) => onward,
            Err(reply) => return Verdict::Answered(reply.logged(route)),
        };
        if let (Some(to), Some((_, query))) = (&route.to, path.split_once('?'))
            && !to.contains('?')
        {
            onward.path = Some(format!("{to}?{query}"));
        }
        if route.answers == Answers::Masked {
            // What is packed cannot be masked, and of a part nobody can tell what it is a part of.
            onward.without.extend(["accept-encoding", "range", "if-range"].map(str::to_owned));
        }
        Verdict::Onward(onward)
    }

    /// What becomes of the answer to such a request.
    #[must_use]
    pub fn response(&self, route: &Route, message: Message<'_>) -> Verdict {
        if route.answers == Answers::Unchanged || message.body.is_some_and(str::is_empty) {
            return Verdict::Onward(Onward::default());
        }
        if let Some(reply) = self.early_answer(route, message.headers) {
            return Verdict::Answered(reply);
        }
        match bodies::masked(&route.masker, message) {
            Ok(body) => Verdict::Onward(Onward::with(body)),
            Err(why) => Verdict::Answered(unmaskable(&why).logged(route)),
        }
    }
}

/// Headers to decide by, of headers as they came.
#[must_use]
pub fn texts(headers: &[(String, Vec<u8>)]) -> Vec<(String, String)> {
    let text = |(name, value): &(String, Vec<u8>)| {
        (name.clone(), String::from_utf8_lossy(value).into_owned())
    };
    headers.iter().map(text).collect()
}

impl Onward {
    /// Headers (their names in lower case) as a message goes on with them.
    #[must_use]
    pub fn changed<V: From<String>>(&self, mut headers: Vec<(String, V)>) -> Vec<(String, V)> {
        headers.retain(|(name, _)| {
            !self.without.contains(name) && self.headers.iter().all(|(set, _)| set != name)
        });
        let set = self.headers.iter().cloned();
        headers.extend(set.map(|(name, value)| (name, value.into())));
        headers
    }

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

    /// Whether a path, in one of its readings, is the route's.
    fn fits(&self, path: &str) -> bool {
        match path.strip_prefix(self.path.as_str()) {
            Some("") => true,
            Some(rest) => self.below && (rest.starts_with('/') || self.path.is_empty()),
            None => false,
        }
    }

    fn webhook(&self, message: Message<'_>, now: Millis) -> Result<Onward, Reply> {
        let body = message.body.ok_or_else(not_utf8)?;
        let signed = self.genuine(message.headers, body, now)?;
        let onward = match &self.goes {
            Goes::Unchanged => Onward::default(),
            Goes::Masked => Onward::with(self.masked(message)?),
            Goes::Mapped(rules) => {
                unpacked(message)?;
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
                unpacked(message)?;
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
        let masked = bodies::masked(&self.masker, message).map_err(|why| unreadable(&why))?;
        let onward = Onward { path: self.to.clone(), ..Onward::with(masked) };
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
            let why = format!("{}: {why}", self.path);
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

    /// A body that is JSON, whatever its sender calls it.
    fn masked(&self, message: Message<'_>) -> Result<Option<String>, Reply> {
        let body = unpacked(message)?;
        if body.contains('\0') {
            return Err(unreadable("it holds NUL, as no text does"));
        }
        Ok(bodies::json(&self.masker, body))
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

/// The body of a message that is not packed.
fn unpacked<'a>(message: Message<'a>) -> Result<&'a str, Reply> {
    match bodies::packed(message.headers) {
        Some(why) => Err(unreadable(&why)),
        None => message.body.ok_or_else(not_utf8),
    }
}

fn unreadable(why: &str) -> Reply {
    let title = "The body cannot be masked";
    Reply::problem(&Problem::new(415, "unreadable-body", title, why))
}

fn unmaskable(why: &str) -> Reply {
    unreadable_answer(&format!("the answer cannot be masked, so it is not passed on: {why}"))
}

fn unreadable_answer(detail: &str) -> Reply {
    let title = "The answer cannot be read";
    Reply::problem(&Problem::new(502, "unreadable-answer", title, detail))
}

/// Whether two readings of a path lead to the same.
fn same(one: Option<&Route>, other: Option<&Route>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => std::ptr::eq(one, other),
        (None, None) => true,
        _ => false,
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
