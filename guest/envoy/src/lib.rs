//! An Envoy filter (proxy-wasm): what is on its way through a listener is refused, masked or mapped as the core
//! decides. Envoy loads no components; this is a module of the same core.
//!
//! The document is the filter's configuration. Envoy sets no limit on the time that a filter takes: nothing of
//! a tenant's own runs here, and what runs takes time in proportion to the body.
#![allow(missing_docs, unsafe_code)]

use std::rc::Rc;
use std::time::UNIX_EPOCH;

use firn_core::gateway::{Gateway, LIMIT, Message, Onward, Reply, Route, Verdict, Way};
use firn_model::Millis;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root { gateway: None }));
}}

/// One of each worker thread.
struct Root {
    gateway: Option<Rc<Gateway>>,
}

impl Context for Root {}

impl RootContext for Root {
    /// Envoy does not take a configuration that this refuses.
    fn on_configure(&mut self, _: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        let document = String::from_utf8_lossy(&bytes);
        match Gateway::open(&document, &|name| std::env::var(name).ok()) {
            Ok(gateway) => {
                self.gateway = Some(Rc::new(gateway));
                true
            }
            Err(faults) => {
                for fault in faults {
                    let at = if fault.at.is_empty() { "the document" } else { &fault.at };
                    log::error!("firn: {at}: {}; {}", fault.text, fault.remedy);
                }
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        let gateway = Rc::clone(self.gateway.as_ref()?);
        Some(Box::new(Exchange {
            gateway,
            method: String::new(),
            path: String::new(),
            request: Reading::Through,
            response: Reading::Through,
        }))
    }
}

/// A request and its answer.
struct Exchange {
    gateway: Rc<Gateway>,
    method: String,
    path: String,
    request: Reading,
    response: Reading,
}

/// What is done with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Nothing: it goes through as it comes.
    Through,
    /// It is kept until it is whole.
    Waits,
    /// It has been decided on.
    Done,
    /// The gateway has answered itself: nothing goes on any more.
    Refused,
}

type Headers = Vec<(String, String)>;

impl Context for Exchange {}

impl HttpContext for Exchange {
    fn on_http_request_headers(&mut self, _: usize, end: bool) -> Action {
        #[cfg(feature = "trap")]
        if self.get_http_request_header("x-trap").is_some() {
            std::process::abort();
        }
        self.method = text(self.get_http_request_header_bytes(":method"));
        self.path = text(self.get_http_request_header_bytes(":path"));
        let gateway = Rc::clone(&self.gateway);
        match gateway.way(&self.method, &self.path) {
            Way::Through => Action::Continue,
            Way::Answered(reply) => self.refuse(&reply),
            Way::Read(route) => {
                let headers = texts(self.get_http_request_headers_bytes());
                if let Some(reply) = gateway.early(route, &headers) {
                    return self.refuse(&reply);
                }
                if route.reads_answers() {
                    self.response = Reading::Waits;
                }
                self.request = Reading::Waits;
                if end { self.decide(&[]) } else { Action::Pause }
            }
        }
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        match self.request {
            Reading::Through | Reading::Done => return Action::Continue,
            Reading::Refused => return Action::Pause,
            Reading::Waits => {}
        }
        if size > LIMIT {
            return self.on_route(Reply::too_long, Exchange::refuse);
        }
        if !end {
            return Action::Pause;
        }
        let body = self.get_http_request_body(0, size).unwrap_or_default();
        self.decide(&body)
    }

    /// Behind trailers no body says that it has ended, and Envoy would let it go as it came.
    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        match self.request {
            Reading::Through | Reading::Done => Action::Continue,
            Reading::Refused => Action::Pause,
            Reading::Waits => self.on_route(Reply::trailers, Exchange::refuse),
        }
    }

    /// A body that was waited for and never came.
    fn on_log(&mut self) {
        if self.request != Reading::Waits {
            return;
        }
        // Envoy answered itself: what it keeps of a body is less than this one had.
        let code = self.get_property(vec!["response", "code"]);
        let code = code.and_then(|bytes| Some(i64::from_le_bytes(bytes.try_into().ok()?)));
        if code == Some(413) {
            log::error!(
                "firn: a body was longer than Envoy keeps, and was answered 413 by Envoy: \
                 per_connection_buffer_limit_bytes of the listener has to be more than 1 MiB"
            );
        } else {
            log::error!(
                "firn: a body did not reach the filter: its configuration needs \
                 allow_on_headers_stop_iteration: true (Envoy 1.35 or later), or the client broke off"
            );
        }
    }

    fn on_http_response_headers(&mut self, _: usize, end: bool) -> Action {
        match self.response {
            Reading::Through | Reading::Done => return Action::Continue,
            Reading::Refused => return Action::Pause,
            Reading::Waits => {}
        }
        if end {
            self.response = Reading::Done;
            return Action::Continue;
        }
        let gateway = Rc::clone(&self.gateway);
        if let Way::Read(route) = gateway.way(&self.method, &self.path) {
            let headers = texts(self.get_http_response_headers_bytes());
            if let Some(reply) = gateway.early_answer(route, &headers) {
                return self.instead(&reply);
            }
        }
        // Headers that were let go cannot be changed any more.
        Action::Pause
    }

    /// As of requests.
    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        match self.response {
            Reading::Through | Reading::Done => Action::Continue,
            Reading::Refused => Action::Pause,
            Reading::Waits => self.instead(&Reply::broken_answer(
                "there are trailers behind an answer that is to be masked",
            )),
        }
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        match self.response {
            Reading::Through | Reading::Done => return Action::Continue,
            Reading::Refused => return Action::Pause,
            Reading::Waits => {}
        }
        let gateway = Rc::clone(&self.gateway);
        if size > LIMIT {
            return self.on_route(Reply::long_answer, Exchange::instead);
        }
        if !end {
            return Action::Pause;
        }
        self.response = Reading::Done;
        let Way::Read(route) = gateway.way(&self.method, &self.path) else {
            return Action::Continue;
        };
        let bytes = self.get_http_response_body(0, size).unwrap_or_default();
        let headers = texts(self.get_http_response_headers_bytes());
        let message = Message { headers: &headers, body: std::str::from_utf8(&bytes).ok() };
        match gateway.response(route, message) {
            Verdict::Onward(onward) => {
                if let Some(body) = &onward.body {
                    for name in &onward.without {
                        self.set_http_response_header(name, None);
                    }
                    self.set_http_response_header("content-length", Some(&body.len().to_string()));
                    self.set_http_response_body(0, size, body.as_bytes());
                }
                Action::Continue
            }
            Verdict::Answered(reply) => self.instead(&reply),
        }
    }
}

/// A header's value to decide by: Envoy takes bytes there that are no UTF-8.
fn text(value: Option<Vec<u8>>) -> String {
    value.map(|value| String::from_utf8_lossy(&value).into_owned()).unwrap_or_default()
}

fn texts(headers: Vec<(String, Vec<u8>)>) -> Headers {
    headers.into_iter().map(|(name, value)| (name, text(Some(value)))).collect()
}

impl Exchange {
    /// Answers as the route has it.
    fn on_route(
        &mut self,
        reply: impl Fn(&Route) -> Reply,
        answer: impl Fn(&mut Exchange, &Reply) -> Action,
    ) -> Action {
        let gateway = Rc::clone(&self.gateway);
        match gateway.way(&self.method, &self.path) {
            Way::Read(route) => answer(self, &reply(route)),
            Way::Through | Way::Answered(_) => Action::Continue,
        }
    }

    fn decide(&mut self, body: &[u8]) -> Action {
        self.request = Reading::Done;
        let gateway = Rc::clone(&self.gateway);
        let Way::Read(route) = gateway.way(&self.method, &self.path) else {
            return Action::Continue;
        };
        let headers = texts(self.get_http_request_headers_bytes());
        let now = self.get_current_time().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Millis(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        let message = Message { headers: &headers, body: std::str::from_utf8(body).ok() };
        match gateway.request(route, &self.path, message, now) {
            Verdict::Onward(onward) => {
                self.go_on(&onward, body.len());
                Action::Continue
            }
            Verdict::Answered(reply) => self.refuse(&reply),
        }
    }

    fn go_on(&self, onward: &Onward, length: usize) {
        for name in &onward.without {
            self.set_http_request_header(name, None);
        }
        for (name, value) in &onward.headers {
            self.set_http_request_header(name, Some(value));
        }
        if let Some(path) = &onward.path {
            self.set_http_request_header(":path", Some(path));
        }
        if let Some(body) = &onward.body {
            self.set_http_request_header("content-length", Some(&body.len().to_string()));
            self.set_http_request_body(0, length, body.as_bytes());
        }
    }

    fn refuse(&mut self, reply: &Reply) -> Action {
        // Our own answer needs no masking.
        self.response = Reading::Through;
        self.request = Reading::Refused;
        told(reply);
        let headers = reply.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        self.send_http_response(u32::from(reply.status), headers, Some(reply.body.as_bytes()));
        Action::Pause
    }

    /// In the place of what is behind answered: nothing of it has left yet.
    fn instead(&mut self, reply: &Reply) -> Action {
        self.response = Reading::Refused;
        told(reply);
        let headers = reply.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        self.send_http_response(u32::from(reply.status), headers, Some(reply.body.as_bytes()));
        Action::Pause
    }
}

fn told(reply: &Reply) {
    if let Some(why) = &reply.why {
        for line in why.lines() {
            log::warn!("firn: {line}");
        }
    }
}
