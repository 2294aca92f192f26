//! `Idempotency-Key`: the same request under the same key of the same caller is done once. Its answer is kept
//! for a day, and given again; what is not so for good (a conflict, a failure) may be asked again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use firn_model::{Change, Expect, Key, Put, TenantId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Shared, failed, problem, read};
use crate::access::Caller;
use crate::host::now;

/// So long an answer is kept for its key. In milliseconds.
const KEPT: i64 = 86_400_000;

/// The longest key, in bytes.
const KEY: usize = 255;

/// An answer that was given.
#[derive(Serialize, Deserialize)]
struct Given {
    /// Of the request.
    digest: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    at: i64,
}

/// Keys whose requests are being worked on.
#[derive(Default)]
pub(super) struct Underway(Mutex<BTreeSet<String>>);

/// Takes a key out again, however the request ends.
struct Turn {
    underway: Arc<Underway>,
    key: String,
}

impl Turn {
    fn take(underway: &Arc<Underway>, key: &str) -> Option<Turn> {
        let free = underway.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned());
        free.then(|| Turn { underway: Arc::clone(underway), key: key.to_owned() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.underway.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// A digest of parts; where one ends and the next begins counts.
fn digest_of(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    crate::hex(&hash.finalize())
}

/// Does what a request asks once for each key of its caller; asked again, the answer is the first one's.
pub(super) async fn only_once(
    shared: &Shared,
    caller: &Caller,
    key: &HeaderValue,
    request: Request,
    next: Next,
) -> Response {
    if key.is_empty()
        || key.len() > KEY
        || request.headers().get_all("idempotency-key").iter().count() > 1
    {
        let detail = format!("Idempotency-Key is sent once, with 1 to {KEY} characters");
        return problem(400, "bad-idempotency-key", "Not a key", detail);
    }
    let (parts, body) = request.into_parts();
    let body = match read(body).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let digest = digest_of(&[parts.method.as_str().as_bytes(), path.as_bytes(), &body]);
    let tenant = caller.tenant.as_ref().map_or("", TenantId::as_str);
    let name = digest_of(&[tenant.as_bytes(), caller.name.as_bytes(), key.as_bytes()]);
    let Some(turn) = Turn::take(&shared.underway, &name) else {
        let detail =
            "a request with this Idempotency-Key is being worked on; ask again in a moment";
        return problem(409, "still-underway", "Still underway", detail);
    };
    let place = Key::new(&crate::vault::system(), &["once", &name]);
    let known = match shared.host.given::<Given>(&place) {
        Ok(known) => known.filter(|given| now().0 - given.at < KEPT),
        Err(why) => return failed(&why),
    };
    if let Some(given) = known {
        if given.digest != digest {
            let detail = "this Idempotency-Key was sent with another request; take a new one";
            return problem(422, "key-used", "The key was used", detail);
        }
        return again(given);
    }
    let request = Request::from_parts(parts, Body::from(body));
    let kept = Kept { shared: shared.clone(), place, digest };
    // To its end, and its answer kept, also if whoever asked goes away meanwhile.
    let work = tokio::spawn(async move {
        let _turn = turn;
        kept.answer(next.run(request).await).await
    });
    work.await.unwrap_or_else(|why| failed(&why.into()))
}

/// Where an answer is kept.
struct Kept {
    shared: Shared,
    place: Key,
    digest: String,
}

impl Kept {
    async fn answer(self, response: Response) -> Response {
        let Kept { shared, place, digest } = self;
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
        // What is not so for good may be asked again.
        if parts.status.is_server_error() || parts.status == StatusCode::CONFLICT {
            return Response::from_parts(parts, Body::from(body));
        }
        let headers = ["content-type", "location", "etag"].into_iter().filter_map(|name| {
            let value = parts.headers.get(name)?.to_str().ok()?;
            Some((name.to_owned(), value.to_owned()))
        });
        let given = Given {
            digest,
            status: parts.status.as_u16(),
            headers: headers.collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
            at: now().0,
        };
        let value = serde_json::to_string(&given).unwrap_or_default();
        let put = Some(Put { value, due: None });
        if let Err(why) =
            shared.host.keep_given(Change { key: place, expect: Expect::Any, put }, now().0 - KEPT)
        {
            tracing::error!(why = %format!("{why:#}"), "an answer could not be kept for its Idempotency-Key");
        }
        Response::from_parts(parts, Body::from(body))
    }
}

fn again(given: Given) -> Response {
    let mut response = Response::new(Body::from(Bytes::from(given.body)));
    *response.status_mut() = StatusCode::from_u16(given.status).unwrap_or_default();
    for (name, value) in given.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    response
}
