//! A `wasi:http` 0.3 middleware: a component that stands in front of any service, and lets the core decide what
//! of a request reaches it and what of its answer comes back. What is not to be read is handed on untouched.
//!
//! Its document is in the environment variable `FIRN_GATEWAY`; docs/gateways.md has what it may say.
#![allow(missing_docs, unsafe_code)]

wit_bindgen::generate!({ world: "middleware", path: "wit", generate_all });

use std::sync::LazyLock;

use exports::wasi::http::handler::Guest;
use firn_core::gateway::{Gateway, LIMIT, Message, Reply, Verdict, Way, texts};
use firn_model::{Fault, Millis};
use wasi::cli::environment::get_environment;
use wasi::cli::stderr::write_via_stream;
use wasi::clocks::system_clock;
use wasi::http::handler;
use wasi::http::types::{ErrorCode, Fields, Method, Request, Response, Trailers};
use wit_bindgen::rt::async_support::{FutureReader, StreamReader};
use wit_bindgen::{StreamResult, spawn_local};

struct Middleware;

export!(Middleware);

/// Read once an instance.
static GATEWAY: LazyLock<Result<Gateway, Vec<Fault>>> = LazyLock::new(|| {
    let environment = get_environment();
    let find = |wanted: &str| {
        environment.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    Gateway::of_environment(&find)
});

/// What one read asks for.
const READ: usize = 64 << 10;

/// Headers as they came: names in lower case, values any bytes.
type Headers = Vec<(String, Vec<u8>)>;

/// Tells once a body has ended, and whether it is whole.
type Ended = FutureReader<Result<Option<Trailers>, ErrorCode>>;

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
                let headers =
                    reply.headers.into_iter().map(|(name, value)| (name, value.into_bytes()));
                Ok(response(reply.status, &headers.collect(), reply.body.into_bytes()))
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
    if let Some(reply) = gateway.early(route, &texts(&headers)) {
        return Err(reply.into());
    }
    let (scheme, authority) = (request.get_scheme(), request.get_authority());
    let (_taken, taken) = wit_future::new(|| Ok(()));
    let (stream, ended) = Request::consume_body(request, taken);
    let body = read(stream, ended).await.map_err(|fault| match fault {
        Broken::TooLong => Reply::too_long(route),
        Broken::Off => Reply::broken(route),
    })?;
    let text = std::str::from_utf8(&body).ok();
    let message = Message { headers: &texts(&headers), body: text };
    let onward = match gateway.request(route, &path, message, now()) {
        Verdict::Onward(onward) => onward,
        Verdict::Answered(reply) => return Err(reply.into()),
    };
    let headers = onward.changed(headers);
    let body = onward.body.map_or(body, String::into_bytes);
    let (ended, trailers) = wit_future::new(|| Ok(None));
    let length = body.len();
    let (request, _sent) =
        Request::new(fields(&headers, length), Some(streamed(body)), trailers, None);
    // There are no trailers; whoever waits for them is to know now.
    drop(ended);
    let set = request.set_method(&method).is_ok()
        && request.set_scheme(scheme.as_ref()).is_ok()
        && request.set_authority(authority.as_deref()).is_ok()
        && request.set_path_with_query(Some(onward.path.as_deref().unwrap_or(&path))).is_ok();
    if !set {
        return Err(Reply::unreachable("no such request can be made").into());
    }
    let answered = handler::handle(request).await.map_err(Stop::Failed)?;
    let bodiless =
        matches!(method, Method::Head) || matches!(answered.get_status_code(), 204 | 304);
    if !route.reads_answers() || bodiless {
        return Ok(answered);
    }
    let (status, headers) = (answered.get_status_code(), lower(&answered.get_headers()));
    if let Some(reply) = gateway.early_answer(route, &texts(&headers)) {
        return Err(reply.into());
    }
    let (_taken, taken) = wit_future::new(|| Ok(()));
    let (stream, ended) = Response::consume_body(answered, taken);
    let body = read(stream, ended).await.map_err(|fault| match fault {
        Broken::TooLong => Reply::long_answer(route),
        Broken::Off => Reply::broken_answer("the answer broke off"),
    })?;
    let text = std::str::from_utf8(&body).ok();
    match gateway.response(route, Message { headers: &texts(&headers), body: text }) {
        Verdict::Answered(reply) => Err(reply.into()),
        Verdict::Onward(onward) => {
            let headers = onward.changed(headers);
            Ok(response(status, &headers, onward.body.map_or(body, String::into_bytes)))
        }
    }
}

fn now() -> Millis {
    let now = system_clock::now();
    let millis = now.seconds.saturating_mul(1000);
    Millis(millis.saturating_add(i64::from(now.nanoseconds / 1_000_000)))
}

fn lower(fields: &Fields) -> Headers {
    let lower = |(name, value): (String, Vec<u8>)| (name.to_ascii_lowercase(), value);
    fields.copy_all().into_iter().map(lower).collect()
}

fn fields(headers: &Headers, length: usize) -> Fields {
    let fields = Fields::new();
    for (name, value) in headers.iter().filter(|(name, _)| name != "content-length") {
        // What a host does not take is none of its business.
        let _ = fields.append(name, value);
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

/// What is wrong with a body.
enum Broken {
    /// It is longer than may be.
    TooLong,
    /// It broke off.
    Off,
}

/// Reads a body to its end. That it is whole is known only once its trailers are.
async fn read(mut stream: StreamReader<u8>, ended: Ended) -> Result<Vec<u8>, Broken> {
    let mut bytes = Vec::new();
    loop {
        let (result, more) = stream.read(Vec::with_capacity(READ)).await;
        bytes.extend_from_slice(&more);
        if bytes.len() > LIMIT {
            return Err(Broken::TooLong);
        }
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
    }
    drop(stream);
    match ended.await {
        Ok(_) => Ok(bytes),
        Err(_) => Err(Broken::Off),
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
    let (ended, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) =
        Response::new(fields(headers, body.len()), Some(streamed(body)), trailers);
    drop(ended);
    let _ = response.set_status_code(status);
    response
}

fn log(why: &str) {
    let lines: String = why.lines().map(|line| format!("firn-gateway: {line}\n")).collect();
    let _ = write_via_stream(streamed(lines.into_bytes()));
}
