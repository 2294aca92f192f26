//! A `wasi:http` 0.3 middleware: a component that stands in front of any service, and lets the core decide what
//! of a request reaches it and what of its answer comes back. What is not to be read is handed on untouched.
//!
//! Its document is in the environment variable `FIRN_GATEWAY`; docs/gateways.md has what it may say.
#![allow(missing_docs, unsafe_code)]

wit_bindgen::generate!({ world: "middleware", path: "wit", generate_all });

use std::sync::LazyLock;

use exports::wasi::http::handler::Guest;
use firn_core::gateway::{Gateway, LIMIT, Message, Onward, Reply, Verdict, Way};
use firn_model::{Fault, Level, Millis};
use wasi::cli::environment::get_environment;
use wasi::cli::stderr::write_via_stream;
use wasi::clocks::system_clock;
use wasi::http::handler;
use wasi::http::types::{ErrorCode, Fields, Method, Request, Response};
use wit_bindgen::rt::async_support::StreamReader;
use wit_bindgen::{StreamResult, spawn_local};

struct Middleware;

export!(Middleware);

/// Read once an instance.
static GATEWAY: LazyLock<Result<Gateway, Vec<Fault>>> = LazyLock::new(|| {
    let environment = get_environment();
    let find = |wanted: &str| {
        environment.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    match find("FIRN_GATEWAY") {
        Some(document) => Gateway::open(&document, &find),
        None => Err(vec![Fault {
            level: Level::Error,
            at: String::new(),
            text: "the environment variable FIRN_GATEWAY is not set".to_owned(),
            remedy: "set it to the gateway's document".to_owned(),
        }]),
    }
});

/// What one read asks for.
const READ: usize = 64 << 10;

type Headers = Vec<(String, String)>;

enum Stop {
    /// The gateway answers itself.
    Reply(Reply),
    /// The service behind failed.
    Failed(ErrorCode),
}

impl From<Reply> for Stop {
    fn from(reply: Reply) -> Stop {
        Stop::Reply(reply)
    }
}

impl Guest for Middleware {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        match answer(request).await {
            Ok(response) => Ok(response),
            Err(Stop::Failed(code)) => Err(code),
            Err(Stop::Reply(reply)) => {
                if let Some(why) = &reply.why {
                    log(why);
                }
                Ok(response(reply.status, &reply.headers, reply.body.into_bytes()))
            }
        }
    }
}

async fn answer(request: Request) -> Result<Response, Stop> {
    let gateway = GATEWAY.as_ref().map_err(|faults| Reply::unusable(faults))?;
    let path = request.get_path_with_query().unwrap_or_else(|| "/".to_owned());
    let method = request.get_method();
    let route = match gateway.way(&name(&method), &path) {
        Way::Answered(reply) => return Err(reply.into()),
        Way::Through => return handler::handle(request).await.map_err(Stop::Failed),
        Way::Read(route) => route,
    };
    let headers = lower(&request.get_headers());
    let (scheme, authority) = (request.get_scheme(), request.get_authority());
    let (_taken, taken) = wit_future::new(|| Ok(()));
    let (body, _trailers) = Request::consume_body(request, taken);
    let body = read(body).await.ok_or_else(Reply::too_long)?;
    let text = std::str::from_utf8(&body).ok();
    let onward = match gateway.request(route, Message { headers: &headers, body: text }, now()) {
        Verdict::Onward(onward) => onward,
        Verdict::Answered(reply) => return Err(reply.into()),
    };
    let (headers, masked) = changed(headers, &onward);
    let body = masked.unwrap_or(body);
    let (_ended, trailers) = wit_future::new(|| Ok(None));
    let length = body.len();
    let (request, _sent) =
        Request::new(fields(&headers, length), Some(streamed(body)), trailers, None);
    let _ = request.set_method(&method);
    let _ = request.set_scheme(scheme.as_ref());
    let _ = request.set_authority(authority.as_deref());
    let _ = request.set_path_with_query(Some(onward.path.as_deref().unwrap_or(&path)));
    let answered = handler::handle(request).await.map_err(Stop::Failed)?;
    if !route.reads_answers() {
        return Ok(answered);
    }
    let (status, headers) = (answered.get_status_code(), lower(&answered.get_headers()));
    let (_taken, taken) = wit_future::new(|| Ok(()));
    let (body, _trailers) = Response::consume_body(answered, taken);
    let long = "an answer that is to be masked has more than 1 MiB";
    let body = read(body).await.ok_or_else(|| Reply::unreachable(long))?;
    let text = std::str::from_utf8(&body).ok();
    match gateway.response(route, Message { headers: &headers, body: text }) {
        Verdict::Answered(reply) => Err(reply.into()),
        Verdict::Onward(onward) => {
            let (headers, masked) = changed(headers, &onward);
            Ok(response(status, &headers, masked.unwrap_or(body)))
        }
    }
}

fn now() -> Millis {
    let now = system_clock::now();
    let millis = now.seconds.saturating_mul(1000);
    Millis(millis.saturating_add(i64::from(now.nanoseconds / 1_000_000)))
}

/// Headers and body as a message goes on with them.
fn changed(mut headers: Headers, onward: &Onward) -> (Headers, Option<Vec<u8>>) {
    headers.retain(|(name, _)| {
        !onward.without.contains(name) && onward.headers.iter().all(|(set, _)| set != name)
    });
    headers.extend(onward.headers.iter().cloned());
    (headers, onward.body.as_ref().map(|body| body.clone().into_bytes()))
}

fn lower(fields: &Fields) -> Headers {
    let text = |(name, value): (String, Vec<u8>)| {
        (name.to_ascii_lowercase(), String::from_utf8_lossy(&value).into_owned())
    };
    fields.copy_all().into_iter().map(text).collect()
}

fn fields(headers: &Headers, length: usize) -> Fields {
    let fields = Fields::new();
    for (name, value) in headers.iter().filter(|(name, _)| name != "content-length") {
        // What a host does not take is none of its business.
        let _ = fields.append(name, value.as_bytes());
    }
    if length > 0 {
        let _ = fields.append("content-length", length.to_string().as_bytes());
    }
    fields
}

fn name(method: &Method) -> String {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => name,
    }
    .to_owned()
}

/// Reads a body to its end; nothing if it is longer than may be.
async fn read(mut stream: StreamReader<u8>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let (result, more) = stream.read(Vec::with_capacity(READ)).await;
        bytes.extend_from_slice(&more);
        if bytes.len() > LIMIT {
            return None;
        }
        if !matches!(result, StreamResult::Complete(_)) {
            return Some(bytes);
        }
    }
}

/// A stream that bytes run into beside what is done meanwhile.
fn streamed(bytes: Vec<u8>) -> StreamReader<u8> {
    let (mut to, from) = wit_stream::new();
    spawn_local(async move {
        // Who does not want the rest drops it.
        let _ = to.write_all(bytes).await;
    });
    from
}

fn response(status: u16, headers: &Headers, body: Vec<u8>) -> Response {
    let (_ended, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) =
        Response::new(fields(headers, body.len()), Some(streamed(body)), trailers);
    let _ = response.set_status_code(status);
    response
}

fn log(why: &str) {
    let line = format!("firn-gateway: {why}\n").into_bytes();
    let _ = write_via_stream(streamed(line));
}
