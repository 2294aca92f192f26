//! A language model as OpenAI-compatible endpoints have it, of no understanding whatever: it cites the last source, and
//! knows of two things what they are called in other words.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use axum::{Json as Body, Router};
use firn::{Listening, listen};
use serde_json::{Value as Json, json};

/// What it wants to be shown.
pub(crate) const KEY: &str = "model-key-that-nobody-may-see";

/// What it was asked, and whether it answers.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) asked: Vec<(String, Json)>,
    pub(crate) down: bool,
}

pub(crate) struct Model {
    pub(crate) heard: Arc<Mutex<Heard>>,
    /// Its address; it wants its version in the query, as some do.
    pub(crate) url: String,
    _listening: Listening,
}

impl Model {
    pub(crate) async fn start() -> Model {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let router = Router::new()
            .route("/v1/chat/completions", post(answer))
            .route("/v1/embeddings", post(answer))
            .with_state(Arc::clone(&heard));
        let listening = listen(([127, 0, 0, 1], 0).into(), router).await.unwrap();
        let url = format!("http://{}/v1?api-version=1", listening.address);
        Model { heard, url, _listening: listening }
    }

    /// Everything that it was shown, as text.
    pub(crate) fn shown(&self) -> String {
        format!("{:?}", self.heard.lock().unwrap().asked)
    }

    pub(crate) fn down(&self, down: bool) {
        self.heard.lock().unwrap().down = down;
    }
}

async fn answer(
    State(heard): State<Arc<Mutex<Heard>>>,
    uri: Uri,
    headers: HeaderMap,
    Body(asked): Body<Json>,
) -> (StatusCode, Body<Json>) {
    let mut heard = heard.lock().unwrap();
    if heard.down {
        return (StatusCode::SERVICE_UNAVAILABLE, Body(json!({})));
    }
    let shown = headers.get("authorization").and_then(|v| v.to_str().ok());
    if shown != Some(&format!("Bearer {KEY}")) || uri.query() != Some("api-version=1") {
        return (StatusCode::UNAUTHORIZED, Body(json!({})));
    }
    let said = match uri.path() {
        "/v1/embeddings" => {
            let texts = asked["input"].as_array().unwrap().iter();
            let vectors = texts.enumerate().map(|(index, text)| {
                json!({ "index": index, "embedding": meaning(text.as_str().unwrap()) })
            });
            json!({ "data": vectors.collect::<Vec<_>>() })
        }
        _ => {
            let told = asked["messages"][1]["content"].as_str().unwrap();
            let last = told.split("\n\n").filter(|part| part.starts_with('[')).last().unwrap();
            let (number, text) = last.split_once('\n').unwrap();
            let number: u32 = number[1..].split(']').next().unwrap().parse().unwrap();
            let (asked, tag) = match told.contains("Checkout") {
                true => ("Why can nobody pay?", "paying"),
                false => ("What does the printer lack?", "toner"),
            };
            let content = json!({ "asked": asked, "found": [], "tags": [tag],
                "solved": [{ "text": text, "from": number }] });
            // In a fence, as some put it.
            let content = format!("```json\n{content}\n```");
            json!({ "choices": [{ "message": { "role": "assistant", "content": content } }] })
        }
    };
    heard.asked.push((uri.path().to_owned(), asked));
    (StatusCode::OK, Body(said))
}

/// Whether a text speaks of paying, or of printing, in whatever words.
fn meaning(text: &str) -> [f32; 3] {
    let text = text.to_lowercase();
    let any = |words: &[&str]| if words.iter().any(|word| text.contains(word)) { 1.0 } else { 0.0 };
    [any(&["payment", "checkout", "pay", "kasse"]), any(&["print", "toner", "drucker"]), 0.1]
}
