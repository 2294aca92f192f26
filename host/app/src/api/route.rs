//! What a route is: its address, what it asks of its caller, what does it, and what is said of it in the
//! OpenAPI document. From one table of them the router is built, and the document, and the test that
//! walks every route in every role: none of the three can forget one.

use std::collections::BTreeSet;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{Shared, once, problem};
use crate::access::{Refused, Right};
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
    Bytes(&'static str),
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

    /// Bytes of a kind.
    pub(super) fn takes_bytes(self, kind: &'static str) -> Route {
        self.takes_content(Content::Bytes(kind))
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
        Some(key) if once => once::only_once(&shared, &caller, &key, request, next).await,
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
        Some(Refused::Client) => "this is a client's secret: exchange it at /oauth/token",
    };
    let mut response = problem(401, "not-signed-in", "Not signed in", detail);
    let header = match refused {
        None => "Bearer",
        Some(_) => "Bearer error=\"invalid_token\"",
    };
    response.headers_mut().insert("www-authenticate", HeaderValue::from_static(header));
    response
}
