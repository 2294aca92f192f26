//! What a route is: its address, what it asks of its caller, what does it, and what is said of it in the
//! OpenAPI document. From one table of them the router is built, and the document, and the test that
//! walks every route in every role: none of the three can forget one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use firn_model::{Change, Expect, Key, Put, TenantId};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Shared, failed, problem, read};
use crate::access::{Caller, Refused, Right};
use crate::host::now;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Something is looked at.
    Get,
    /// Something is done.
    Post,
    /// Something is changed.
    Patch,
    /// Something is removed.
    Delete,
}

impl Method {
    /// As it stands in a request.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// Who may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Nobody shows a token: the request has something else of its own, a signature or a ticket, or tells
    /// nothing that is anybody's.
    Anybody,
    /// Whoever has a token with this right.
    Holder(Right),
}

pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A body as an answer or a request has it.
#[derive(Clone, Copy)]
pub(super) enum Content {
    Json(SchemaOf),
    Form(SchemaOf),
    Text(&'static str),
}

/// One thing that the API can be asked.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) who: Who,
    handler: MethodRouter<Shared>,
    /// Whether the same `Idempotency-Key` gives the same answer.
    pub(super) once: bool,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) query: Option<SchemaOf>,
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) body: Option<Content>,
    pub(super) answers: Vec<(u16, Content)>,
    pub(super) problems: BTreeSet<u16>,
}

impl Route {
    pub(super) fn new<H, T>(
        method: Method,
        path: &'static str,
        who: Who,
        handler: H,
        (tag, summary): (&'static str, &'static str),
    ) -> Route
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        let filter = match method {
            Method::Get => MethodFilter::GET,
            Method::Post => MethodFilter::POST,
            Method::Patch => MethodFilter::PATCH,
            Method::Delete => MethodFilter::DELETE,
        };
        let mut problems = BTreeSet::from([500, 503]);
        if let Who::Holder(_) = who {
            problems.extend([401, 403]);
        }
        if path.contains('{') {
            problems.insert(404);
        }
        let once = method == Method::Post && who != Who::Holder(Right::Send) && who != Who::Anybody;
        if once {
            problems.extend([400, 408, 409, 413, 422]);
        }
        Route {
            method,
            path,
            who,
            handler: on(filter, handler),
            once,
            tag,
            summary,
            query: None,
            headers: &[],
            body: None,
            answers: Vec::new(),
            problems,
        }
    }

    /// What may stand behind the question mark.
    pub(super) fn query<T: JsonSchema>(mut self) -> Route {
        self.query = Some(schema::<T>);
        self.problems.insert(400);
        self
    }

    /// Headers that are looked at, each with what it is for.
    pub(super) fn headers(mut self, headers: &'static [(&'static str, &'static str)]) -> Route {
        self.headers = headers;
        self
    }

    /// The body that it takes.
    pub(super) fn takes<T: JsonSchema>(self) -> Route {
        self.takes_content(Content::Json(schema::<T>))
    }

    pub(super) fn takes_form<T: JsonSchema>(self) -> Route {
        self.takes_content(Content::Form(schema::<T>))
    }

    fn takes_content(mut self, content: Content) -> Route {
        self.body = Some(content);
        self.problems.extend([400, 408, 413, 422]);
        self
    }

    /// What it answers when all went well.
    pub(super) fn gives<T: JsonSchema>(mut self, status: u16) -> Route {
        self.answers.push((status, Content::Json(schema::<T>)));
        self
    }

    pub(super) fn gives_text(mut self, status: u16, kind: &'static str) -> Route {
        self.answers.push((status, Content::Text(kind)));
        self
    }

    /// What else may go wrong.
    pub(super) fn fails(mut self, statuses: &[u16]) -> Route {
        self.problems.extend(statuses);
        self
    }

    /// Its answer holds what is shown once: it is not kept to be given again.
    pub(super) fn never_kept(mut self) -> Route {
        self.once = false;
        self
    }
}

/// The router of a table.
pub(super) fn router(routes: Vec<Route>, shared: &Shared) -> Router<Shared> {
    routes.into_iter().fold(Router::new(), |router, route| {
        let handler = match route.who {
            Who::Anybody => route.handler,
            Who::Holder(right) => {
                let door = Door { shared: shared.clone(), right, once: route.once };
                route.handler.layer(axum::middleware::from_fn_with_state(door, admit))
            }
        };
        router.route(route.path, handler)
    })
}

#[derive(Clone)]
struct Door {
    shared: Shared,
    right: Right,
    once: bool,
}

/// Lets a request in, if whoever sent it may.
async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let Door { shared, right, once } = door;
    let caller = match shared.gate.admit(shared.host.access(), bearer(request.headers()), now()) {
        Ok(caller) => caller,
        Err(refused) => return not_signed_in(refused),
    };
    if !caller.role.grants(right) {
        let detail = match right {
            Right::Read => "this token may not look at anything; it is a sender's",
            Right::Send => "this token may not send events or escalations; it is a viewer's",
            Right::Operate => "this needs a token of an operator or an administrator",
            Right::Administer => "this needs an administrator's token",
        };
        return problem(403, "not-allowed", "Not allowed", detail);
    }
    request.extensions_mut().insert(caller.clone());
    match request.headers().get("idempotency-key").cloned() {
        Some(key) if once => only_once(&shared, &caller, &key, request, next).await,
        _ => next.run(request).await,
    }
}

/// The one token that a request shows.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all("authorization").iter();
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case("bearer ").then_some(token)
}

fn not_signed_in(refused: Option<Refused>) -> Response {
    let detail = match refused {
        None => "send the token as: Authorization: Bearer ...",
        Some(Refused::Unknown) => "there is no such token, or it was revoked",
        Some(Refused::Ended) => "the token has ended; ask for a new one",
    };
    let mut response = problem(401, "not-signed-in", "Not signed in", detail);
    let header = match refused {
        None => "Bearer",
        Some(_) => "Bearer error=\"invalid_token\"",
    };
    response.headers_mut().insert("www-authenticate", HeaderValue::from_static(header));
    response
}

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
async fn only_once(
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
            return Response::from_parts(parts, Body::from(body)); // It may be asked again.
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
            tracing::error!("an answer could not be kept for its Idempotency-Key: {why:#}");
        }
        Response::from_parts(parts, Body::from(body))
    }
}

fn again(given: Given) -> Response {
    let mut response = Response::new(Body::from(Bytes::from(given.body)));
    *response.status_mut() = StatusCode::from_u16(given.status).unwrap_or_default();
    for (name, value) in given.headers {
        if let (Ok(name), Ok(value)) =
            (axum::http::HeaderName::try_from(name), HeaderValue::try_from(value))
        {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    response
}
