//! A `wasi:http` 0.2 proxy: takes a request, lets the core decide, sends it on to the upstream, and brings the
//! answer back. What is not to be read is not kept: it streams through.
//!
//! Its document is in the environment variable `FIRN_GATEWAY`; docs/gateways.md has what it may say.
#![allow(missing_docs, unsafe_code)]

mod streams;

use std::sync::LazyLock;

use firn_core::gateway::{Gateway, LIMIT, Message, Onward, Reply, Route, Verdict, Way};
use firn_model::{Fault, Level, Millis};
use wasip2::cli::environment::get_environment;
use wasip2::cli::stderr::get_stderr;
use wasip2::clocks::wall_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    OutgoingResponse, ResponseOutparam, Scheme,
};

wasip2::http::proxy::export!(Proxy);

struct Proxy;

/// Read once an instance.
static GATEWAY: LazyLock<Result<Gateway, Vec<Fault>>> = LazyLock::new(|| {
    let environment = get_environment();
    let find = |wanted: &str| {
        environment.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    let fault = |at: &str, text: &str, remedy: &str| Fault {
        level: Level::Error,
        at: at.to_owned(),
        text: text.to_owned(),
        remedy: remedy.to_owned(),
    };
    let Some(document) = find("FIRN_GATEWAY") else {
        let text = "the environment variable FIRN_GATEWAY is not set";
        return Err(vec![fault("", text, "set it to the gateway's document")]);
    };
    let gateway = Gateway::open(&document, &find)?;
    if gateway.upstream().is_none() {
        let text = "there is no upstream to send anything to";
        return Err(vec![fault("upstream", text, "say where: http://127.0.0.1:8080")]);
    }
    Ok(gateway)
});

/// Headers that are about one connection only (RFC 9110, 7.6.1), and the host's name, which is the upstream's.
const OF_THE_CONNECTION: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
];

impl wasip2::exports::http::incoming_handler::Guest for Proxy {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match answer(request) {
            Ok(Answer::Streams(response)) => stream(out, &response),
            Ok(Answer::Whole(status, headers, body)) => whole(out, status, &headers, &body),
            Err(reply) => {
                if let Some(why) = &reply.why {
                    log(why);
                }
                whole(out, reply.status, &reply.headers, reply.body.as_bytes());
            }
        }
    }
}

type Headers = Vec<(String, String)>;

enum Answer {
    /// What is behind answers, and it goes through as it comes.
    Streams(IncomingResponse),
    /// Its answer, read and masked.
    Whole(u16, Headers, Vec<u8>),
}

fn answer(request: IncomingRequest) -> Result<Answer, Reply> {
    let gateway = GATEWAY.as_ref().map_err(|faults| Reply::unusable(faults))?;
    let path = request.path_with_query().unwrap_or_else(|| "/".to_owned());
    let method = request.method();
    let headers = lower(&request.headers());
    let route = match gateway.way(&name(&method), &path) {
        Way::Answered(reply) => return Err(reply),
        Way::Read(route) => Some(route),
        Way::Through => None,
    };
    let Some(route) = route else {
        let passed = send(gateway, &method, &path, &headers, Body::Of(request))?;
        return Ok(Answer::Streams(passed));
    };
    let body = read(request.consume()).ok_or_else(Reply::too_long)?;
    let onward = match decide(gateway, route, &headers, &body) {
        Verdict::Onward(onward) => onward,
        Verdict::Answered(reply) => return Err(reply),
    };
    let (headers, masked) = changed(headers, &onward);
    let path = onward.path.as_deref().unwrap_or(&path);
    let body = masked.unwrap_or(body);
    let response = send(gateway, &method, path, &headers, Body::Bytes(&body))?;
    if !route.reads_answers() {
        return Ok(Answer::Streams(response));
    }
    let (status, headers) = (response.status(), lower(&response.headers()));
    let body = read(response.consume()).ok_or_else(too_long_an_answer)?;
    let text = std::str::from_utf8(&body).ok();
    match gateway.response(route, Message { headers: &headers, body: text }) {
        Verdict::Answered(reply) => Err(reply),
        Verdict::Onward(onward) => {
            let (headers, masked) = changed(headers, &onward);
            Ok(Answer::Whole(status, headers, masked.unwrap_or(body)))
        }
    }
}

fn too_long_an_answer() -> Reply {
    Reply::unreachable("an answer that is to be masked has more than 1 MiB")
}

fn decide(gateway: &Gateway, route: &Route, headers: &Headers, body: &[u8]) -> Verdict {
    let text = std::str::from_utf8(body).ok();
    let now = wall_clock::now();
    let millis = i64::try_from(now.seconds).unwrap_or(i64::MAX).saturating_mul(1000);
    let now = Millis(millis.saturating_add(i64::from(now.nanoseconds / 1_000_000)));
    gateway.request(route, Message { headers, body: text }, now)
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
    fields.entries().into_iter().map(text).collect()
}

/// Fields without those of the connection. The length is of the body that is written.
fn fields(headers: &Headers, length: Option<usize>) -> Fields {
    let fields = Fields::new();
    for (name, value) in headers {
        let length = length.is_some() && name == "content-length";
        if !length && !OF_THE_CONNECTION.contains(&name.as_str()) {
            // What a host does not take is none of its business.
            let _ = fields.append(name, value.as_bytes());
        }
    }
    if let Some(length) = length {
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
fn read(body: Result<IncomingBody, ()>) -> Option<Vec<u8>> {
    let Ok(body) = body else { return Some(Vec::new()) };
    let Ok(stream) = body.stream() else { return Some(Vec::new()) };
    streams::read(&stream, LIMIT)
}

enum Body<'a> {
    Of(IncomingRequest),
    Bytes(&'a [u8]),
}

fn send(
    gateway: &Gateway,
    method: &Method,
    path: &str,
    headers: &Headers,
    body: Body<'_>,
) -> Result<IncomingResponse, Reply> {
    let broken = |why: &str| Reply::unreachable(why);
    let upstream = gateway.upstream().unwrap_or_default();
    let (scheme, rest) = match upstream.strip_prefix("https://") {
        Some(rest) => (Scheme::Https, rest),
        None => (Scheme::Http, upstream.strip_prefix("http://").unwrap_or(upstream)),
    };
    let (authority, below) = rest.split_once('/').unwrap_or((rest, ""));
    let below = below.trim_end_matches('/');
    let path = if below.is_empty() { path.to_owned() } else { format!("/{below}{path}") };
    let length = match &body {
        Body::Of(_) => None,
        // A request that had none, and has none, needs no length of it.
        Body::Bytes([]) if !matches!(method, Method::Post) => None,
        Body::Bytes(bytes) => Some(bytes.len()),
    };
    let request = OutgoingRequest::new(fields(headers, length));
    let set = request.set_method(method).is_ok()
        && request.set_scheme(Some(&scheme)).is_ok()
        && request.set_authority(Some(authority)).is_ok()
        && request.set_path_with_query(Some(&path)).is_ok();
    let out =
        request.body().ok().filter(|_| set).ok_or_else(|| broken("no such request can be made"))?;
    let future = outgoing_handler::handle(request, None).map_err(|e| broken(&format!("{e:?}")))?;
    write_out(out, body);
    future.subscribe().block();
    match future.get() {
        Some(Ok(Ok(response))) => Ok(response),
        Some(Ok(Err(why))) => Err(broken(&format!("{why:?}"))),
        _ => Err(broken("there is no answer")),
    }
}

/// Who does not want the rest of a body says so in the answer, which is awaited all the same.
fn write_out(out: OutgoingBody, body: Body<'_>) {
    if let Ok(stream) = out.write() {
        match body {
            Body::Bytes(bytes) => streams::write(&stream, bytes),
            Body::Of(request) => {
                if let Ok(incoming) = request.consume()
                    && let Ok(from) = incoming.stream()
                {
                    streams::pass(&from, &stream);
                }
            }
        }
    }
    let _ = OutgoingBody::finish(out, None);
}

fn stream(out: ResponseOutparam, response: &IncomingResponse) {
    let answer = OutgoingResponse::new(fields(&lower(&response.headers()), None));
    let _ = answer.set_status_code(response.status());
    let Ok(body) = answer.body() else { return };
    ResponseOutparam::set(out, Ok(answer));
    if let Ok(incoming) = response.consume() {
        if let (Ok(from), Ok(to)) = (incoming.stream(), body.write()) {
            streams::pass(&from, &to);
        }
    }
    let _ = OutgoingBody::finish(body, None);
}

fn whole(out: ResponseOutparam, status: u16, headers: &Headers, bytes: &[u8]) {
    let answer = OutgoingResponse::new(fields(headers, Some(bytes.len())));
    let _ = answer.set_status_code(status);
    let Ok(body) = answer.body() else { return };
    ResponseOutparam::set(out, Ok(answer));
    if let Ok(stream) = body.write() {
        streams::write(&stream, bytes);
    }
    let _ = OutgoingBody::finish(body, None);
}

fn log(why: &str) {
    streams::write(&get_stderr(), format!("firn-gateway: {why}\n").as_bytes());
}
