//! Whoever stands behind a gateway in tests: answers as the request says (`x-answer`), and tells in a header
//! what reached it (`x-reached`).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::golden::gateway::{ANSWER, Answer, REACHED, Reached};

/// One of them, until the runtime ends.
pub struct Upstream {
    /// Where it listens, on loopback.
    pub address: SocketAddr,
    seen: Seen,
}

type Seen = Arc<Mutex<Vec<String>>>;

impl Upstream {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start() -> Result<Upstream> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, seen) = (listener.local_addr()?, Seen::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&seen));
        tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Upstream { address, seen })
    }

    /// Everything that ever reached it: paths, headers, bodies.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(State(seen): State<Seen>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let headers = texts(&head.headers);
    let line =
        format!("{} {} {headers:?} {}", head.method, head.uri, String::from_utf8_lossy(&bytes));
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    let asked = headers.iter().find(|(name, _)| name == ANSWER);
    let asked = asked.and_then(|(_, value)| {
        serde_json::from_slice::<Answer>(&STANDARD.decode(value).ok()?).ok()
    });
    let answer = asked.unwrap_or_else(|| Answer {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: json!({ "ok": true }).to_string(),
    });
    let reached = Reached {
        method: head.method.to_string(),
        path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers,
        body: shown(&bytes),
    };
    let mut response = answer.body.into_response();
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or_default();
    response.headers_mut().remove("content-type");
    let reached =
        (REACHED.to_owned(), STANDARD.encode(serde_json::to_vec(&reached).unwrap_or_default()));
    for (name, value) in answer.headers.into_iter().chain([reached]) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// As much of a body as fits into a header.
fn shown(bytes: &Bytes) -> String {
    const MOST: usize = 8 << 10;
    let text = String::from_utf8_lossy(bytes).into_owned();
    if text.len() > MOST { format!("{} bytes", bytes.len()) } else { text }
}

fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    headers.iter().map(text).collect()
}
