//! What an answer says besides its rows: who is let in at all, whose clock is off, how often one may ask.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Check, Verdict};
use crate::visit::{Said, Unsaid};

/// How far clocks may be apart before signed webhooks are refused, in seconds.
const WINDOW: i64 = 300;
/// From which offset on it is worth a word, in seconds.
const NOTABLE: i64 = 2;

/// A question that was not answered with rows says nothing either way.
pub(super) fn unasked(name: &str, said: &Result<Said, Unsaid>) -> Option<Check> {
    let why = match said {
        Ok(said) if said.status == 200 => return None,
        Ok(said) => format!("the instance answered {}: {}", said.status, said.reason()),
        Err(why) => why.to_string(),
    };
    Some(Check::of(
        name,
        Verdict::Skipped,
        why,
        "test again; if it stays, let the user read that table",
    ))
}

/// Why nothing more can be asked, if so.
pub(super) fn barred(said: &Said) -> Option<Check> {
    let bad = |name: &str, detail: String, remedy: &str| {
        Some(Check::of(name, Verdict::Bad, detail, remedy))
    };
    match said.status {
        401 => bad(
            "sign-in",
            said.reason(),
            "check the credentials; new instances take Basic only from web-service-only users, or with the role snc_basic_auth_api_access",
        ),
        403 if said.reason().to_lowercase().contains("scope") => bad(
            "sign-in",
            said.reason(),
            "the client is securely scoped: give its registry an auth scope that covers the Table API (useraccount covers all)",
        ),
        403 if said.reason().contains("API level ACL") => bad(
            "REST API access",
            said.reason(),
            "give the user the role snc_platform_rest_api_access, or allow it in the REST API access policy of the Table API (and of its token's profile)",
        ),
        200..=299 if !said.json["result"].is_array() => bad(
            "reachable",
            "it answers with a page instead of the Table API".to_owned(),
            "wake the instance if it hibernates; let REST pass by the single sign-on",
        ),
        404 => bad(
            "reachable",
            format!("there is no Table API here (status 404: {})", said.reason()),
            "give the address of the instance: https://acme.service-now.com",
        ),
        300..=399 => bad(
            "reachable",
            format!("it sends us elsewhere (status {})", said.status),
            "give the address that the instance answers at itself",
        ),
        500.. => bad(
            "reachable",
            format!("it answers {}: {}", said.status, said.reason()),
            "wait until the instance is up again",
        ),
        429 => {
            bad("reachable", said.reason(), "wait until the hour is over, or raise its rate rule")
        }
        _ => None,
    }
}

pub(super) fn clock(said: &Said, began: SystemTime) -> Check {
    pub(super) const NAME: &str = "clock";
    let Some(theirs) = said.header("date").and_then(|d| httpdate::parse_http_date(d).ok()) else {
        return Check::of(
            NAME,
            Verdict::Skipped,
            "the answer has no Date",
            "check the instance's clock by hand",
        );
    };
    let seconds = |at: SystemTime| {
        i64::try_from(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()).unwrap_or(0)
    };
    // The answer was made some time between the first and the last.
    let (from, theirs, to) = (seconds(began), seconds(theirs), seconds(SystemTime::now()));
    let off = if theirs < from { theirs - from } else { (theirs - to).max(0) };
    let text = format!("{off:+} s from ours");
    if off.abs() > WINDOW {
        return Check::of(
            NAME,
            Verdict::Bad,
            format!("{text}: signed webhooks are refused beyond {WINDOW} s"),
            "set this machine's clock by NTP",
        );
    }
    if off.abs() > NOTABLE {
        return Check::of(
            NAME,
            Verdict::Note,
            text,
            "set this machine's clock by NTP: last-write-wins compares times",
        );
    }
    Check::good(NAME, "the same as ours")
}

pub(super) fn rate(said: &Said) -> Check {
    pub(super) const NAME: &str = "rate rules";
    match said.header("x-ratelimit-limit") {
        None => Check::good(NAME, "none for this user"),
        Some(limit) => {
            let limit: String = limit.chars().filter(char::is_ascii_digit).take(12).collect();
            Check::of(
                NAME,
                Verdict::Note,
                format!("this user may make {limit} requests an hour"),
                "Firn keeps to it and waits; raise it if the backlog grows",
            )
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn said(status: u16, headers: &[(&str, &str)], json: Json) -> Said {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Said { status, headers, json }
    }

    #[test]
    fn clocks_that_differ() {
        let now = SystemTime::now();
        let at = |seconds: &str| clock(&said(200, &[("date", seconds)], json!(null)), now).verdict;
        assert_eq!(at("Sun, 06 Nov 1994 08:49:37 GMT"), Verdict::Bad);
        assert_eq!(clock(&said(200, &[], json!(null)), now).verdict, Verdict::Skipped);
    }

    #[test]
    fn why_nothing_more_can_be_asked() {
        let refused = |status, message: &str| {
            let body = json!({ "error": { "message": "User Not Authorized", "detail": message } });
            barred(&said(status, &[], body)).map(|check| check.name)
        };
        assert_eq!(refused(401, "x").as_deref(), Some("sign-in"));
        assert_eq!(
            refused(403, "Failed API level ACL Validation").as_deref(),
            Some("REST API access")
        );
        assert_eq!(refused(403, "unscoped API access is not allowed").as_deref(), Some("sign-in"));
        assert_eq!(refused(503, "x").as_deref(), Some("reachable"));
        // One table that may not be read bars nothing else.
        assert_eq!(refused(403, "Insufficient rights"), None);
        assert_eq!(refused(404, "no reason").as_deref(), Some("reachable"));
        assert!(barred(&said(200, &[], json!({ "result": [] }))).is_none());
        assert!(barred(&said(200, &[], Json::Null)).is_some());
    }
}
