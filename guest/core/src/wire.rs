//! The wire: how an exchange becomes an HTTP request, and an answer a reading.
//!
//! ServiceNow: Table API, UTC values (`sysparm_display_value=false`), only validated ids, tables
//! and keys in URLs, rows re-checked against our own filter (an instance silently drops what it
//! does not understand of a query). Platform: the published contract.

pub mod article;
pub mod attachment;
pub mod learning;
mod platform;
pub mod poll;
mod servicenow;

pub use platform::record as platform_record;
pub(crate) use platform::{comment as platform_comment, kind};
pub(crate) use servicenow::{count as servicenow_count, is_shown, seen_entry as servicenow_entry};
pub use servicenow::{has_activities, record as servicenow_record};

use firn_model::{
    Answer, AnswerBody, Body, Clock, Exchange, HttpRequest, HttpResponse, Link, Millis, Outcome,
    Refusal, Side, TenantId, Uncertainty, Urgency, Want, parse_http_date,
};

use crate::land::Reading;
use crate::settings::Rules;

/// How long a request may wait for its turn in the instance's budget. In milliseconds.
pub const QUEUE: u64 = 10_000;

/// The request for an exchange; `None` if the link has nothing to ask (a flight that is gone).
#[must_use]
pub fn request(
    rules: &Rules,
    tenant: &TenantId,
    link: &Link,
    side: Side,
    exchange: &Exchange,
    ticket: String,
) -> Option<HttpRequest> {
    let parts = match side {
        Side::External => servicenow::request(rules, link, exchange)?,
        Side::Platform => platform::request(rules, link, exchange)?,
    };
    let waited_for = side == Side::External && link.is_making_its_ticket();
    let urgency = if waited_for { Urgency::First } else { Urgency::Usual };
    Some(parts.into_request(rules, tenant, ticket, urgency))
}

/// What differs from request to request.
struct Parts {
    remote: firn_model::Remote,
    method: firn_model::Method,
    path: String,
    query: Vec<(String, String)>,
    body: Option<Body>,
}

impl Parts {
    fn into_request(
        self,
        rules: &Rules,
        tenant: &TenantId,
        ticket: String,
        urgency: Urgency,
    ) -> HttpRequest {
        HttpRequest {
            ticket,
            tenant: tenant.clone(),
            integration: rules.id().clone(),
            remote: self.remote,
            method: self.method,
            path: self.path,
            query: self.query,
            headers: vec![("accept".to_owned(), "application/json".to_owned())],
            body: self.body,
            want: Want::Text,
            urgency,
            queue: QUEUE,
            timeout: rules.settings().request_timeout,
        }
    }
}

/// A message to one of the platform's addresses that only listen: for findings, or for what is learnt.
#[must_use]
pub fn message(
    rules: &Rules,
    tenant: &TenantId,
    ticket: String,
    remote: firn_model::Remote,
    body: &serde_json::Value,
) -> HttpRequest {
    let parts = Parts {
        remote,
        method: firn_model::Method::Post,
        path: String::new(),
        query: Vec::new(),
        body: Some(Body::Json(body.to_string())),
    };
    parts.into_request(rules, tenant, ticket, Urgency::Usual)
}

/// Decodes an answer to an exchange of a link.
#[must_use]
pub fn reading(
    rules: &Rules,
    link: &Link,
    side: Side,
    exchange: &Exchange,
    answer: &Answer,
    now: Millis,
) -> Reading {
    let response = match answered(answer) {
        Ok(response) => response,
        Err(outcome) => return Reading::Outcome(*outcome),
    };
    if let Some(outcome) = failure(response, now) {
        // "Not as expected", with the record as it is.
        let moved = match side {
            Side::Platform => platform::moved(link, exchange, response),
            Side::External => servicenow::moved(rules, response),
        };
        if let Some(moved) = moved {
            return Reading::Outcome(moved);
        }
        return Reading::Outcome(outcome);
    }
    match side {
        Side::External => servicenow::reading(rules, link, exchange, response),
        Side::Platform => platform::reading(link, exchange, response),
    }
}

/// The response, if there is one.
fn answered(answer: &Answer) -> Result<&HttpResponse, Box<Outcome>> {
    Err(Box::new(match &answer.body {
        AnswerBody::Response(response) => return Ok(response),
        AnswerBody::NotSent(why) => Outcome::NotSent(why.clone()),
        AnswerBody::Busy(ms) => Outcome::Busy(*ms),
        AnswerBody::Silent(ms) => Outcome::Silent(*ms),
        AnswerBody::Lost(why) => Outcome::Unknown(Uncertainty::Open, why.clone()),
        AnswerBody::NoFile(status) => {
            Outcome::NotSent(format!("the file cannot be had: status {status}"))
        }
        AnswerBody::OtherFile => Outcome::NotSent("the file is another by now".to_owned()),
    }))
}

/// What a status other than 2xx means.
fn failure(response: &HttpResponse, now: Millis) -> Option<Outcome> {
    let after = || response.retry_after(now);
    let message = || said(&response.body);
    Some(match response.status {
        200..=299 => return None,
        401 => Outcome::SignInFailed,
        404 => Outcome::Gone,
        410 => Outcome::Deleted,
        429 => Outcome::Throttled { after: after() },
        // It asks us to come back: nothing was done.
        503 if response.header("retry-after").is_some() => Outcome::Throttled { after: after() },
        // From the server itself: its transaction is over, but may have been committed.
        500 | 503 => Outcome::Unknown(Uncertainty::Ended, message()),
        // From something in between: the server may still be at it. Redirects are not followed.
        408 | 502 | 504 | 300..=399 => Outcome::Unknown(Uncertainty::Open, message()),
        status @ 400..=499 => Outcome::Refused(Refusal { status, message: message() }),
        _ => Outcome::Unknown(Uncertainty::Open, message()),
    })
}

/// What a failed answer says, in a line that can be shown: ServiceNow's message and detail.
fn said(body: &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let text = |pointer: &str| {
        json.as_ref().and_then(|j| j.pointer(pointer)).and_then(|v| v.as_str()).unwrap_or_default()
    };
    let message = [text("/error/message"), text("/error/detail"), text("/title"), text("/detail")]
        .into_iter()
        .filter(|t| !t.is_empty())
        .collect::<Vec<_>>()
        .join(": ");
    let message = if message.is_empty() { "no reason given".to_owned() } else { message };
    crate::masking::mask(&message).text.chars().take(300).collect()
}

/// What an answer says of that side's clock: its `Date` (whole seconds) lies between the request
/// and its answer. `None` if there was no answer, `Some(None)` if it does not say.
#[must_use]
pub fn clock(since: Millis, answer: &Answer, now: Millis) -> Option<Option<Clock>> {
    let AnswerBody::Response(response) = &answer.body else { return None };
    let theirs = response.header("date").and_then(|text| parse_http_date(text).ok());
    // When it was written, our clock showed something from `since` to `now`, and theirs something
    // within the second that it names.
    Some(theirs.map(|at| Clock { low: at.since(now), high: at.plus(999).since(since) }))
}

/// A success that does not have the form of one: a login page, a cut answer. For a write that is
/// ambiguous; for a read it is a failure like any other.
fn malformed(what: &str) -> Reading {
    Reading::Outcome(Outcome::Unknown(
        Uncertainty::Open,
        format!("an answer with status 200 that is {what}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)]) -> HttpResponse {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        HttpResponse { status, headers, body: String::new() }
    }

    #[test]
    fn retry_after_in_all_its_forms() {
        let after = |value: &str| {
            failure(
                &response(
                    429,
                    &[("retry-after", value), ("date", "Wed, 29 Apr 2026 14:30:00 GMT")],
                ),
                Millis(0),
            )
        };
        let throttled = |after| Some(Outcome::Throttled { after });
        assert_eq!(after("7"), throttled(Some(7_000)));
        assert_eq!(after("-5"), throttled(Some(0)));
        assert_eq!(after("Wed, 29 Apr 2026 14:30:09 GMT"), throttled(Some(9_000)));
        assert_eq!(after("soon"), throttled(None));
        assert_eq!(failure(&response(429, &[]), Millis(0)), throttled(None));
        // However long they ask for, an hour is the longest wait.
        let long = Outcome::Throttled { after: Some(u64::MAX) };
        assert_eq!(long.not_before(Millis(0)), Some(Millis(3_600_000)));
    }

    #[test]
    fn a_clock_is_measured_by_the_answers_date() {
        let at = parse_http_date("Wed, 29 Apr 2026 14:30:00 GMT").unwrap();
        let answer = Answer {
            ticket: String::new(),
            tenant: TenantId::new("acme").unwrap(),
            integration: firn_model::IntegrationId::new("int-1").unwrap(),
            body: AnswerBody::Response(response(200, &[("date", "Wed, 29 Apr 2026 14:30:00 GMT")])),
        };
        // 4 s ahead of us, asked and answered within 200 ms.
        let told = clock(Millis(at.0 - 4_000), &answer, Millis(at.0 - 3_800));
        assert_eq!(told, Some(Some(Clock { low: 3_800, high: 4_999 })));
        let silent = Answer { body: AnswerBody::Response(response(200, &[])), ..answer.clone() };
        assert_eq!(clock(at, &silent, at), Some(None));
        let lost = Answer { body: AnswerBody::Lost(String::new()), ..answer };
        assert_eq!(clock(at, &lost, at), None);
    }

    #[test]
    fn only_what_certainly_did_nothing_counts_as_not_done() {
        let unknown = |status| {
            matches!(failure(&response(status, &[]), Millis(0)), Some(Outcome::Unknown(..)))
        };
        for status in [500, 502, 503, 504, 302, 408] {
            assert!(unknown(status), "{status}");
        }
        assert!(!unknown(400) && !unknown(403) && !unknown(429) && !unknown(401));
        assert!(failure(&response(201, &[]), Millis(0)).is_none());
    }
}
