//! What guards an open Firn, where nobody signs in: pages of other sites, in the browser of whoever runs it, must
//! not reach it. And whether a request comes from a page of ours at all, as far as a browser tells.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;

use crate::api::{Shared, problem};

/// Refuses what another site's page asks of an open Firn.
pub(crate) async fn guarded(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    if shared.gate.open {
        if !is_local(request.headers()) {
            // A page elsewhere may have given its own name this address (DNS rebinding).
            let detail =
                "an open Firn is visited by 127.0.0.1, localhost or another address of numbers";
            return problem(421, "not-this-host", "Not this host", detail);
        }
        let looks = matches!(*request.method(), Method::GET | Method::HEAD);
        if !looks && !is_own(request.headers()) {
            let detail = "the request was made by another site's page";
            return problem(403, "another-site", "Another site's page", detail);
        }
    }
    next.run(request).await
}

/// Whether a form comes from a page of ours, as far as the browser tells.
pub(crate) fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    match (text("origin"), text("host")) {
        (Some(origin), Some(host)) => {
            origin.split_once("://").is_some_and(|(_, theirs)| theirs.eq_ignore_ascii_case(host))
        }
        // No browser of the last years leaves both out; something else has no cookies to be misused.
        (None, _) => true,
        (Some(_), None) => false,
    }
}

/// Whether the address that was asked for is one of numbers, or localhost.
fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get("host").and_then(|host| host.to_str().ok()) else { return false };
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host }
    });
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        all.iter().map(|(k, v)| (k.parse().unwrap(), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn a_form_of_another_site_is_known_by_what_the_browser_says() {
        for (given, own) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "none"), ("origin", "http://a"), ("host", "a")], false),
            (&[("origin", "http://a:1"), ("host", "a:1")], true),
            (&[("origin", "http://b:1"), ("host", "a:1")], false),
            (&[("origin", "null"), ("host", "a:1")], false),
            (&[("host", "a:1")], true),
        ] {
            assert_eq!(is_own(&headers(given)), own, "{given:?}");
        }
    }

    #[test]
    fn an_open_console_answers_to_addresses_of_numbers() {
        for (host, local) in [
            ("localhost", true),
            ("localhost:8080", true),
            ("127.0.0.1:8080", true),
            ("[::1]:8080", true),
            ("[::1]", true),
            ("evil.example", false),
            ("localhost.evil.example:8080", false),
            ("127.0.0.1.evil.example", false),
        ] {
            assert_eq!(is_local(&headers(&[("host", host)])), local, "{host}");
        }
        assert!(!is_local(&headers(&[])));
    }
}
