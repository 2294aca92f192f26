//! The sample platform: the platform's side of the contract, in memory. An example for whoever
//! connects a platform of their own.
//!
//! It keeps records with versions, tells Firn of every change (also of those that Firn made: an
//! honest platform echoes), compares `expect` before it writes, and does nothing twice for one key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json as Body, Router};
use serde_json::{Map, Value as Json, json};

/// The most bytes of a file.
const LARGEST: usize = 64 << 20;

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
    /// Its files.
    pub files: Vec<File>,
}

/// A file of a record.
#[derive(Debug, Clone)]
pub struct File {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// What is in it.
    pub content: Bytes,
}

#[derive(Default)]
struct Inner {
    records: BTreeMap<String, Record>,
    keys: BTreeSet<String>,
    writes: u64,
    events: u64,
    comments: u64,
    files: u64,
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

    /// Its HTTP side: `POST /callback`, `GET /records/{id}`, and for files `GET /attachments/{id}` and
    /// `POST /records/{id}/attachments`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/callback", post(callback))
            .route("/records/{id}", get(read))
            .route("/records/{id}/attachments", post(take))
            .route("/attachments/{id}", get(file))
            .layer(DefaultBodyLimit::max(LARGEST))
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

    /// A user adds a file. Gives its id.
    pub fn attach(&self, kind: &str, id: &str, name: &str, media: &str, content: Bytes) -> String {
        let (event, file) = {
            let mut inner = self.lock();
            inner.records.entry(id.to_owned()).or_default().kind = kind.to_owned();
            let file = inner.keep(id, name, media, content);
            (inner.with_file(id, &file), file.id)
        };
        self.tell(event);
        file
    }

    /// A user replaces what is in a file, and tells nobody.
    pub fn replace(&self, file: &str, content: &Bytes) {
        let mut inner = self.lock();
        let files = inner.records.values_mut().flat_map(|record| &mut record.files);
        for known in files.filter(|known| known.id == file) {
            known.content = content.clone();
        }
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

    fn keep(&mut self, id: &str, name: &str, media: &str, content: Bytes) -> File {
        self.files += 1;
        let file = File {
            id: format!("file-{}", self.files),
            name: name.to_owned(),
            content_type: media.to_owned(),
            content,
        };
        let record = self.records.entry(id.to_owned()).or_default();
        record.updated_at = now();
        record.files.push(file.clone());
        file
    }

    /// The event that tells of a file. Its hash is not known here: Firn finds it.
    fn with_file(&mut self, id: &str, file: &File) -> Json {
        let mut event = self.event(id, &json!({}), true, None);
        event["type"] = "attachment.added".into();
        event["attachments"] = json!([{ "id": file.id, "name": file.name,
            "content_type": file.content_type, "size": file.content.len() }]);
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

/// Where a file of a record can be read.
async fn file(State(platform): State<SamplePlatform>, Path(id): Path<String>) -> Response {
    let inner = platform.lock();
    let files = inner.records.values().flat_map(|record| &record.files);
    match files.into_iter().find(|file| file.id == id) {
        Some(file) => {
            ([(CONTENT_TYPE, file.content_type.clone())], file.content.clone()).into_response()
        }
        None => (StatusCode::NOT_FOUND, Body(json!({ "title": "no such file" }))).into_response(),
    }
}

/// Takes a file of Firn's, once a key, and tells of it as of any other.
async fn take(
    State(platform): State<SamplePlatform>,
    Path(id): Path<String>,
    headers: HeaderMap,
    content: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let key = header("idempotency-key").to_owned();
    let name = header("content-disposition")
        .rsplit_once("UTF-8''")
        .map(|(_, name)| percent_decoded(name))
        .unwrap_or_default();
    let (file, event) = {
        let mut inner = platform.lock();
        if !inner.records.contains_key(&id) {
            let problem = json!({ "title": "no such record" });
            return (StatusCode::NOT_FOUND, Body(problem)).into_response();
        }
        if !inner.keys.insert(key) {
            return (StatusCode::OK, Body(json!({ "status": "known" }))).into_response();
        }
        let file = inner.keep(&id, &name, header("content-type"), content);
        let event = inner.with_file(&id, &file);
        (file, event)
    };
    platform.tell(event);
    (StatusCode::CREATED, Body(json!({ "id": file.id }))).into_response()
}

fn percent_decoded(text: &str) -> String {
    let name = format!("name={}", text.replace('+', "%2B"));
    let decoded = url::form_urlencoded::parse(name.as_bytes()).next();
    decoded.map(|(_, name)| name.into_owned()).unwrap_or_default()
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
