//! Answers as a request says (`x-answer`), and tells in a header what reached it (`x-reached`): the component
//! beside `firn_tests::upstream`.
#![allow(missing_docs, unsafe_code)]

wit_bindgen::generate!({ world: "service", path: "../../guest/gateway/middleware/wit", generate_all });

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use exports::wasi::http::handler::Guest;
use serde_json::{Value, json};
use wasi::http::types::{ErrorCode, Fields, Method, Request, Response};
use wit_bindgen::{StreamResult, spawn_local};

struct Echo;

export!(Echo);

impl Guest for Echo {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let method = match request.get_method() {
            Method::Get => "GET".to_owned(),
            Method::Post => "POST".to_owned(),
            Method::Other(name) => name,
            Method::Put => "PUT".to_owned(),
            other => format!("{other:?}"),
        };
        let path = request.get_path_with_query().unwrap_or_default();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let headers: Vec<(String, String)> =
            request.get_headers().copy_all().into_iter().map(|(n, v)| (n, text(v))).collect();
        let (_taken, taken) = wit_future::new(|| Ok(()));
        let (mut stream, ended) = Request::consume_body(request, taken);
        let mut body = Vec::new();
        loop {
            let (result, more) = stream.read(Vec::with_capacity(64 << 10)).await;
            body.extend_from_slice(&more);
            if !matches!(result, StreamResult::Complete(_)) {
                break;
            }
        }
        drop(stream);
        // As services do that want to know whether it was whole.
        ended.await?;
        let reached =
            json!({ "method": method, "path": path, "headers": headers, "body": text(body) });
        let asked = headers.iter().find(|(name, _)| name == "x-answer");
        let asked = asked.and_then(|(_, value)| STANDARD.decode(value).ok());
        let asked = asked.and_then(|json| serde_json::from_slice::<Value>(&json).ok());
        let asked = asked.unwrap_or_else(|| {
            json!({ "status": 200, "headers": [["content-type", "application/json"]], "body": "{\"ok\":true}" })
        });
        let fields = Fields::new();
        let _ = fields.append("x-reached", STANDARD.encode(reached.to_string()).as_bytes());
        for header in asked["headers"].as_array().into_iter().flatten() {
            if let (Some(name), Some(value)) = (header[0].as_str(), header[1].as_str()) {
                let _ = fields.append(name, value.as_bytes());
            }
        }
        let body = asked["body"].as_str().unwrap_or_default().to_owned().into_bytes();
        let (mut to, from) = wit_stream::new();
        spawn_local(async move {
            let _ = to.write_all(body).await;
        });
        let (_ended, trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(fields, Some(from), trailers);
        let status = asked["status"].as_u64().and_then(|status| u16::try_from(status).ok());
        let _ = response.set_status_code(status.unwrap_or(200));
        Ok(response)
    }
}
