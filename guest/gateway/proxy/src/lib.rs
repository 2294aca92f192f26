//! A `wasi:http` 0.2 proxy: takes a request, lets the core decide, sends it on to the upstream, and brings the
//! answer back. What is not to be read is not kept: it streams through.
//!
//! Its document is in the environment variable `FIRN_GATEWAY`; docs/gateways.md has what it may say.
#![allow(missing_docs, unsafe_code)]

mod streams;

use std::sync::LazyLock;

use firn_core::gateway::{Gateway, LIMIT, Message, Reply, Verdict, Way, texts};
use firn_model::{Fault as DocumentFault, Level, Millis};
use streams::Fault;
use wasip2::cli::environment::get_environment;
use wasip2::cli::stderr::get_stderr;
use wasip2::clocks::wall_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme,
};
use wasip2::io::streams::OutputStream;

wasip2::http::proxy::export!(Proxy);

struct Proxy;

/// Read once an instance.
static GATEWAY: LazyLock<Result<Gateway, Vec<DocumentFault>>> = LazyLock::new(|| {
    let environment = get_environment();
    let find = |wanted: &str| {
        environment.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    let gateway = Gateway::of_environment(&find)?;
    if gateway.upstream().is_none() {
        return Err(vec![DocumentFault {
            level: Level::Error,
            at: "upstream".to_owned(),
            text: "there is no upstream to send anything to".to_owned(),
            remedy: "say where: http://127.0.0.1:8080".to_owned(),
        }]);
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
                let headers =
                    reply.headers.into_iter().map(|(name, value)| (name, value.into_bytes()));
                whole(out, reply.status, &headers.collect(), reply.body.as_bytes());
            }
        }
    }
}

/// Headers as they came: names in lower case, values any bytes.
type Headers = Vec<(String, Vec<u8>)>;

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
    if let Some(reply) = gateway.early(route, &texts(&headers)) {
        return Err(reply);
    }
    let body = read(request.consume()).map_err(|fault| match fault {
        Fault::TooLong => Reply::too_long(route),
        Fault::Broken => Reply::broken(route),
    })?;
    let text = std::str::from_utf8(&body).ok();
    let message = Message { headers: &texts(&headers), body: text };
    let onward = match gateway.request(route, &path, message, now()) {
        Verdict::Onward(onward) => onward,
        Verdict::Answered(reply) => return Err(reply),
    };
    let headers = onward.changed(headers);
    let path = onward.path.as_deref().unwrap_or(&path);
    let body = onward.body.map_or(body, String::into_bytes);
    let response = send(gateway, &method, path, &headers, Body::Bytes(&body))?;
    let bodiless = matches!(method, Method::Head) || matches!(response.status(), 204 | 304);
    if !route.reads_answers() || bodiless {
        return Ok(Answer::Streams(response));
    }
    let (status, headers) = (response.status(), lower(&response.headers()));
    if let Some(reply) = gateway.early_answer(route, &texts(&headers)) {
        return Err(reply);
    }
    let body = read(response.consume()).map_err(|fault| match fault {
        Fault::TooLong => Reply::long_answer(route),
        Fault::Broken => Reply::broken_answer("the answer broke off"),
    })?;
    let text = std::str::from_utf8(&body).ok();
    match gateway.response(route, Message { headers: &texts(&headers), body: text }) {
        Verdict::Answered(reply) => Err(reply),
        Verdict::Onward(onward) => {
            let headers = onward.changed(headers);
            Ok(Answer::Whole(status, headers, onward.body.map_or(body, String::into_bytes)))
        }
    }
}

fn now() -> Millis {
    let now = wall_clock::now();
    let millis = i64::try_from(now.seconds).unwrap_or(i64::MAX).saturating_mul(1000);
    Millis(millis.saturating_add(i64::from(now.nanoseconds / 1_000_000)))
}

fn lower(fields: &Fields) -> Headers {
    let lower = |(name, value): (String, Vec<u8>)| (name.to_ascii_lowercase(), value);
    fields.entries().into_iter().map(lower).collect()
}

/// Fields without those of the connection, and those that it names. The length is of the body that is written.
fn fields(headers: &Headers, length: Option<usize>) -> Fields {
    let named: Vec<String> = headers
        .iter()
        .filter(|(name, _)| name == "connection")
        .flat_map(|(_, value)| {
            let value = String::from_utf8_lossy(value).to_ascii_lowercase();
            value.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    let fields = Fields::new();
    for (name, value) in headers {
        let length = length.is_some() && name == "content-length";
        if !length && !OF_THE_CONNECTION.contains(&name.as_str()) && !named.contains(name) {
            // What a host does not take is none of its business.
            let _ = fields.append(name, value);
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

/// Reads a body to its end.
fn read(body: Result<IncomingBody, ()>) -> Result<Vec<u8>, Fault> {
    let body = body.map_err(|()| Fault::Broken)?;
    let stream = body.stream().map_err(|()| Fault::Broken)?;
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
    let future = outgoing_handler::handle(request, None)
        .map_err(|e| broken(&format!("{upstream}: {e:?}")))?;
    write_out(out, body);
    future.subscribe().block();
    match future.get() {
        Some(Ok(Ok(response))) => Ok(response),
        Some(Ok(Err(why))) if never_began(&why) => Err(broken(&format!("{upstream}: {why:?}"))),
        Some(Ok(Err(why))) => {
            let reply = Reply::broken_answer("the answer broke off");
            Err(Reply { why: Some(format!("{upstream}: {why:?}")), ..reply })
        }
        _ => Err(broken("there is no answer")),
    }
}

/// Whether nobody can have taken the request: whoever sends it again does nothing twice.
fn never_began(why: &ErrorCode) -> bool {
    matches!(
        why,
        ErrorCode::DnsTimeout
            | ErrorCode::DnsError(_)
            | ErrorCode::DestinationNotFound
            | ErrorCode::DestinationUnavailable
            | ErrorCode::DestinationIpProhibited
            | ErrorCode::DestinationIpUnroutable
            | ErrorCode::ConnectionRefused
            | ErrorCode::ConnectionTimeout
            | ErrorCode::ConnectionLimitReached
            | ErrorCode::TlsProtocolError
            | ErrorCode::TlsCertificateError
            | ErrorCode::TlsAlertReceived(_)
            | ErrorCode::HttpRequestDenied
    )
}

/// Who does not want the rest of a body says so in the answer, which is awaited all the same. A body that broke off
/// is not ended: whoever reads it is to see that.
fn write_out(out: OutgoingBody, body: Body<'_>) {
    let Ok(stream) = out.write() else { return };
    let whole = match body {
        Body::Bytes(bytes) => streams::write(&stream, bytes),
        Body::Of(request) => passed(request.consume(), &stream),
    };
    drop(stream);
    if whole {
        let _ = OutgoingBody::finish(out, None);
    }
}

fn passed(body: Result<IncomingBody, ()>, to: &OutputStream) -> bool {
    let Ok(body) = body else { return false };
    let Ok(from) = body.stream() else { return false };
    streams::pass(&from, to)
}

fn stream(out: ResponseOutparam, response: &IncomingResponse) {
    let answer = OutgoingResponse::new(fields(&lower(&response.headers()), None));
    let _ = answer.set_status_code(response.status());
    let Ok(body) = answer.body() else { return };
    ResponseOutparam::set(out, Ok(answer));
    let Ok(to) = body.write() else { return };
    let whole = passed(response.consume(), &to);
    drop(to);
    if whole {
        let _ = OutgoingBody::finish(body, None);
    }
}

fn whole(out: ResponseOutparam, status: u16, headers: &Headers, bytes: &[u8]) {
    let answer = OutgoingResponse::new(fields(headers, Some(bytes.len())));
    let _ = answer.set_status_code(status);
    let Ok(body) = answer.body() else { return };
    ResponseOutparam::set(out, Ok(answer));
    let Ok(stream) = body.write() else { return };
    let whole = streams::write(&stream, bytes);
    drop(stream);
    if whole {
        let _ = OutgoingBody::finish(body, None);
    }
}

fn log(why: &str) {
    for line in why.lines() {
        let _ = streams::write(&get_stderr(), format!("firn-gateway: {line}\n").as_bytes());
    }
}
