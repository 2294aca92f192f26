//! The sample platform: the platform's side of the contract, in memory. An example for whoever
//! connects a platform of their own.
//!
//! It keeps records with versions, tells Firn of every change (also of those that Firn made: an
//! honest platform echoes), compares `expect` before it writes, and does nothing twice for one key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json as Body, Router};
use serde_json::{Map, Value as Json, json};

/// A comment as the platform keeps it.
#[derive(Debug, Clone)]
pub struct Comment {
    /// Its id; Firn's comments keep the id that Firn gave them.
    pub id: String,
    /// What it says.
    pub text: String,
    /// `public` or `internal`.
    pub visibility: String,
    /// Who wrote it.
    pub author: String,
}

/// A record of the platform.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// `incident`, `conversation`, `call`.
    pub kind: String,
    /// Its fields.
    pub fields: Map<String, Json>,
    /// One more with every change.
    pub version: u64,
    /// When it last changed (RFC 3339).
    pub updated_at: String,
    /// What was said about it.
    pub comments: Vec<Comment>,
}

#[derive(Default)]
struct Inner {
    records: BTreeMap<String, Record>,
    keys: BTreeSet<String>,
    writes: u64,
    events: u64,
    comments: u64,
    /// Where events go; `None` holds them back.
    firn: Option<String>,
    token: Option<String>,
    held: Vec<Json>,
}

/// The sample platform.
#[derive(Clone, Default)]
pub struct SamplePlatform {
    inner: Arc<Mutex<Inner>>,
    client: reqwest::Client,
}

fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let text = firn_model::servicenow_text(firn_model::Millis(
        i64::try_from(since.as_millis()).unwrap_or(0),
    ));
    format!("{}.{:03}Z", text.replace(' ', "T"), since.subsec_millis())
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl SamplePlatform {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its HTTP side: `POST /callback` and `GET /records/{id}`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/callback", post(callback))
            .route("/records/{id}", get(read))
            .with_state(self.clone())
    }

    /// Sends events to this address from now on.
    pub fn connect(&self, events_url: String) {
        self.connect_with(events_url, None);
    }

    /// The same with a bearer token.
    pub fn connect_with(&self, events_url: String, token: Option<String>) {
        let mut inner = self.lock();
        inner.firn = Some(events_url);
        inner.token = token;
    }

    /// Holds events back, as a platform does whose queue is slow; gives where they went.
    pub fn hold(&self) -> Option<String> {
        self.lock().firn.take()
    }

    /// Sends what was held back.
    pub fn release(&self, events_url: Option<String>) {
        let held = {
            let mut inner = self.lock();
            inner.firn = events_url;
            std::mem::take(&mut inner.held)
        };
        for event in held {
            self.tell(event);
        }
    }

    /// A record as it is now.
    #[must_use]
    pub fn record(&self, id: &str) -> Option<Record> {
        self.lock().records.get(id).cloned()
    }

    /// How many writes of Firn took effect.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.lock().writes
    }

    /// A user changes fields, or makes a record.
    pub fn edit(&self, kind: &str, id: &str, fields: Json) {
        let event = {
            let mut inner = self.lock();
            let new = !inner.records.contains_key(id);
            let record = inner.records.entry(id.to_owned()).or_default();
            record.kind = kind.to_owned();
            record.version += 1;
            record.updated_at = now();
            for (name, value) in fields.as_object().into_iter().flatten() {
                record.fields.insert(name.clone(), value.clone());
            }
            inner.event(id, &fields, !new, None)
        };
        self.tell(event);
    }

    /// A user says something.
    pub fn say(&self, kind: &str, id: &str, author: &str, words: &str, visibility: &str) {
        let event = {
            let mut inner = self.lock();
            inner.comments += 1;
            let comment = Comment {
                id: format!("comment-{}", inner.comments),
                text: words.to_owned(),
                visibility: visibility.to_owned(),
                author: author.to_owned(),
            };
            let record = inner.records.entry(id.to_owned()).or_default();
            record.kind = kind.to_owned();
            record.updated_at = now();
            record.comments.push(comment.clone());
            inner.event(id, &json!({}), true, Some(&comment))
        };
        self.tell(event);
    }

    /// Tells Firn of a change, again and again until it is taken.
    fn tell(&self, event: Json) {
        let Some(url) = self.lock().firn.clone() else {
            self.lock().held.push(event);
            return;
        };
        let client = self.client.clone();
        let token = self.lock().token.clone();
        tokio::spawn(async move {
            for attempt in 0..50_u64 {
                let mut request = client.post(&url).json(&event).timeout(Duration::from_secs(5));
                if let Some(token) = &token {
                    request = request.bearer_auth(token);
                }
                match request.send().await {
                    Ok(response)
                        if response.status().is_success()
                            || response.status().is_client_error() =>
                    {
                        return;
                    }
                    _ => {
                        tokio::time::sleep(Duration::from_millis(100 * (attempt + 1).min(10))).await
                    }
                }
            }
        });
    }
}

impl Inner {
    fn event(&mut self, id: &str, shown: &Json, partial: bool, comment: Option<&Comment>) -> Json {
        self.events += 1;
        let record = self.records.get(id).cloned().unwrap_or_default();
        let mut event = json!({ "id": format!("event-{}", self.events), "type": "record.changed", "occurred_at": record.updated_at,
            "record": { "kind": record.kind, "id": id, "version": record.version, "partial": partial, "fields": shown } });
        if let Some(comment) = comment {
            event["comment"] = json!({ "id": comment.id, "author": comment.author, "text": comment.text, "visibility": comment.visibility });
        }
        event
    }

    fn show(&self, id: &str) -> Json {
        let record = self.records.get(id).cloned().unwrap_or_default();
        let comments: Vec<Json> = record
            .comments
            .iter()
            .map(|c| json!({ "id": c.id, "author": c.author, "text": c.text, "visibility": c.visibility }))
            .collect();
        json!({ "record": { "kind": record.kind, "id": id, "version": record.version,
            "updated_at": record.updated_at, "fields": record.fields }, "comments": comments })
    }
}

async fn read(State(platform): State<SamplePlatform>, Path(id): Path<String>) -> Response {
    let inner = platform.lock();
    if inner.records.contains_key(&id) {
        Body(inner.show(&id)).into_response()
    } else {
        (StatusCode::NOT_FOUND, Body(json!({ "title": "no such record" }))).into_response()
    }
}

async fn callback(State(platform): State<SamplePlatform>, Body(body): Body<Json>) -> Response {
    let id = text(&body["record"]["id"]);
    let key = text(&body["key"]);
    let (answer, event) = {
        let mut inner = platform.lock();
        if inner.keys.contains(&key) {
            (Body(inner.show(&id)).into_response(), None)
        } else {
            // A conversation that was escalated is known from now on.
            let record = inner.records.entry(id.clone()).or_default();
            record.kind = text(&body["record"]["kind"]);
            let there = |name: &String| record.fields.get(name).cloned().unwrap_or_default();
            let expected = body["expect"].as_object().into_iter().flatten();
            let as_expected = expected.clone().all(|(name, value)| there(name) == *value);
            if as_expected {
                for (name, value) in body["set"].as_object().into_iter().flatten() {
                    record.fields.insert(name.clone(), value.clone());
                }
                record.version += 1;
                record.updated_at = now();
                let mut said = None;
                if body["comment"].is_object() {
                    let comment = Comment {
                        id: text(&body["comment"]["id"]),
                        text: text(&body["comment"]["text"]),
                        visibility: text(&body["comment"]["visibility"]),
                        author: text(&body["comment"]["author"]),
                    };
                    record.comments.push(comment.clone());
                    said = Some(comment);
                }
                inner.keys.insert(key);
                inner.writes += 1;
                let event = inner.event(&id, &body["set"], true, said.as_ref());
                (Body(inner.show(&id)).into_response(), Some(event))
            } else {
                ((StatusCode::CONFLICT, Body(inner.show(&id))).into_response(), None)
            }
        }
    };
    if let Some(event) = event {
        platform.tell(event);
    }
    answer
}
