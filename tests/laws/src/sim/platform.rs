//! A fake platform that keeps the contract: versions (or less, where it says less), `expect`, and one effect per key.

use std::collections::BTreeMap;

use firn_model::{HttpRequest, HttpResponse, Millis, Remote, http_date_text};
use serde_json::{Value as Json, json};

#[derive(Clone)]
pub(crate) struct Said {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) visibility: String,
    pub(crate) by_user: bool,
}

#[derive(Default)]
pub(crate) struct Record {
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) version: u64,
    pub(crate) updated: Millis,
    pub(crate) comments: Vec<Said>,
    authors: BTreeMap<String, bool>,
}

/// A value of a user that a write of ours replaced.
pub(crate) struct Overwritten {
    pub(crate) record: String,
    pub(crate) field: String,
    pub(crate) value: String,
}

/// What a language model says.
#[derive(Clone, Debug)]
pub enum ModelSays {
    /// Nothing but a status.
    Status(u16),
    /// A text.
    Text(String),
}

/// What one says that does what it is told: the last source is what solved it.
fn summary(question: &Json) -> String {
    let told = question["messages"][1]["content"].as_str().unwrap_or_default();
    let last = told.split("\n\n").filter(|part| part.starts_with('[')).last();
    let (number, text) = last.and_then(|part| part.split_once('\n')).unwrap_or_default();
    let number = number.trim_start_matches('[').split(']').next().unwrap_or_default();
    let number: u32 = number.parse().unwrap_or_default();
    json!({ "asked": "What the model says was asked", "found": [],
        "solved": [{ "text": text, "from": number }], "tags": ["modelled"] })
    .to_string()
}

/// What it says of how new a record is. The contract asks for none of it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Dates {
    /// A version, and when it was changed.
    #[default]
    Versions,
    /// When it was changed.
    Times,
    /// Of an event when it happened, of a record that is read nothing.
    EventsOnly,
}

#[derive(Default)]
pub(crate) struct Platform {
    /// What it says of how new a record is.
    pub(crate) dates: Dates,
    /// It answers a change with no more than that it was made.
    pub(crate) acknowledges: bool,
    /// Deleted records, and whether it says so (410) or only finds nothing (404).
    pub(crate) deleted: BTreeMap<String, u16>,
    /// What was posted to the callback.
    pub(crate) posted: Vec<Json>,
    /// What was posted to the address for findings, and whether it is taken there.
    pub(crate) findings: Vec<Json>,
    pub(crate) findings_down: bool,
    /// What a language model says, in turns; once that is over, a summary.
    pub(crate) model: Vec<ModelSays>,
    /// What it was asked.
    pub(crate) questions: Vec<Json>,
    /// It is never as expected, and never says what it is.
    pub(crate) contradicts: bool,
    /// Everything posted to the callback is refused with this.
    pub(crate) refuses: Option<u16>,
    /// Its clock minus ours, in milliseconds.
    pub(crate) clock: i64,
    pub(crate) records: BTreeMap<String, Record>,
    pub(crate) overwritten: Vec<Overwritten>,
    pub(crate) writes: u64,
    pub(crate) keys: Vec<String>,
    events: u64,
    comments: u64,
}

fn time(at: Millis) -> String {
    format!("{}.{:03}Z", firn_model::servicenow_text(at).replace(' ', "T"), at.0.rem_euclid(1000))
}

impl Platform {
    pub(crate) fn new(clock: i64) -> Platform {
        Platform { clock, ..Platform::default() }
    }

    /// A user edits fields. Gives the event that tells of it.
    pub(crate) fn edit(&mut self, id: &str, set: &[(&str, &str)], now: Millis) -> String {
        let record = self.records.entry(id.to_owned()).or_default();
        for (field, value) in set {
            record.fields.insert((*field).to_owned(), (*value).to_owned());
            record.authors.insert((*field).to_owned(), true);
        }
        record.version += 1;
        record.updated = Millis(now.0 + self.clock);
        let shown: BTreeMap<String, String> =
            set.iter().map(|(f, v)| ((*f).to_owned(), (*v).to_owned())).collect();
        self.event(id, &shown, set.len() < 5, None)
    }

    /// A user says something. Gives the event that tells of it.
    pub(crate) fn say(&mut self, id: &str, text: &str, visibility: &str, now: Millis) -> String {
        self.comments += 1;
        let said = Said {
            id: format!("c{}", self.comments),
            text: text.to_owned(),
            visibility: visibility.to_owned(),
            by_user: true,
        };
        let record = self.records.entry(id.to_owned()).or_default();
        record.comments.push(said.clone());
        record.updated = Millis(now.0 + self.clock);
        self.event(id, &BTreeMap::new(), true, Some(&said))
    }

    /// A user deletes a record. Gives the event that tells of it.
    pub(crate) fn delete(&mut self, id: &str, status: u16, now: Millis) -> String {
        self.records.remove(id);
        self.deleted.insert(id.to_owned(), status);
        self.events += 1;
        json!({ "id": format!("e{}", self.events), "type": "record.deleted",
            "occurred_at": time(Millis(now.0 + self.clock)), "record": { "kind": "incident", "id": id } })
        .to_string()
    }

    fn event(
        &mut self,
        id: &str,
        shown: &BTreeMap<String, String>,
        partial: bool,
        said: Option<&Said>,
    ) -> String {
        self.events += 1;
        let record = &self.records[id];
        let mut body = json!({ "id": format!("e{}", self.events), "type": "changed", "occurred_at": time(record.updated),
            "record": { "kind": "incident", "id": id, "version": record.version, "partial": partial, "fields": shown } });
        self.leave_out(&mut body);
        if let Some(said) = said {
            body["comment"] = json!({ "id": said.id, "author": "carol", "text": said.text, "visibility": said.visibility });
        }
        body.to_string()
    }

    fn missing(&self, id: &str) -> u16 {
        self.deleted.get(id).copied().unwrap_or(404)
    }

    /// Leaves out what it does not say.
    fn leave_out(&self, shown: &mut Json) {
        let Some(record) = shown["record"].as_object_mut() else { return };
        if self.dates != Dates::Versions {
            record.remove("version");
        }
        if self.dates == Dates::EventsOnly {
            record.remove("updated_at");
        }
    }

    fn show(&self, id: &str) -> Json {
        let record = &self.records[id];
        let mut shown = json!({ "record": { "kind": "incident", "id": id, "version": record.version,
            "updated_at": time(record.updated), "fields": record.fields },
            "comments": record.comments.iter().map(|c| json!({ "id": c.id, "author": "carol", "text": c.text,
                "visibility": c.visibility, "at": time(record.updated) })).collect::<Vec<_>>() });
        self.leave_out(&mut shown);
        shown
    }

    /// Serves a request; gives events that tell of what it changed.
    pub(crate) fn serve(
        &mut self,
        request: &HttpRequest,
        now: Millis,
    ) -> (HttpResponse, Vec<String>) {
        let date = http_date_text(Millis(now.0 + self.clock));
        let answer = |status, body: Json| HttpResponse {
            status,
            headers: vec![("date".to_owned(), date.clone())],
            body: body.to_string(),
        };
        if request.remote == firn_model::Remote::PlatformRead {
            return match self.records.contains_key(&request.path) {
                true => (answer(200, self.show(&request.path)), Vec::new()),
                false => (answer(self.missing(&request.path), json!({})), Vec::new()),
            };
        }
        let body: Json =
            request.json().and_then(|b| serde_json::from_str(b).ok()).unwrap_or(Json::Null);
        let text = |v: &Json| v.as_str().unwrap_or_default().to_owned();
        let (id, key) = (text(&body["record"]["id"]), text(&body["key"]));
        if request.remote == Remote::Model {
            self.questions.push(body.clone());
            let says = if self.model.is_empty() {
                ModelSays::Text(summary(&body))
            } else {
                self.model.remove(0)
            };
            let completion = |text: String| json!({ "choices": [{ "message": { "role": "assistant", "content": text } }] });
            return match says {
                ModelSays::Status(status) => (answer(status, json!({})), Vec::new()),
                ModelSays::Text(text) => (answer(200, completion(text)), Vec::new()),
            };
        }
        if matches!(request.remote, Remote::PlatformFindings | Remote::PlatformKnowledge) {
            self.findings.push(body);
            return (answer(if self.findings_down { 503 } else { 204 }, json!({})), Vec::new());
        }
        self.posted.push(body.clone());
        if let Some(status) = self.refuses {
            return (answer(status, json!({ "detail": "refused on purpose" })), Vec::new());
        }
        if body["record"]["new"] == true && !self.deleted.contains_key(&id) {
            self.records.entry(id.clone()).or_default();
        }
        if !self.records.contains_key(&id) {
            return (answer(self.missing(&id), json!({})), Vec::new());
        }
        if self.keys.contains(&key) {
            return (answer(200, self.show(&id)), Vec::new());
        }
        if self.contradicts {
            let nothing = json!({ "record": { "kind": "incident", "id": id, "fields": {} } });
            return (answer(409, nothing), Vec::new());
        }
        let record = self.records.get_mut(&id).unwrap_or_else(|| unreachable!());
        let expected = body["expect"].as_object().into_iter().flatten();
        for (field, value) in expected {
            if record.fields.get(field).cloned().unwrap_or_default() != text(value) {
                return (answer(409, self.show(&id)), Vec::new());
            }
        }
        self.keys.push(key);
        self.writes += 1;
        let mut shown = BTreeMap::new();
        for (field, value) in body["set"].as_object().into_iter().flatten() {
            let old = record.fields.insert(field.clone(), text(value)).unwrap_or_default();
            shown.insert(field.clone(), text(value));
            if record.authors.insert(field.clone(), false) == Some(true) && old != text(value) {
                self.overwritten.push(Overwritten {
                    record: id.clone(),
                    field: field.clone(),
                    value: old,
                });
            }
        }
        if !shown.is_empty() {
            record.version += 1;
        }
        record.updated = Millis(now.0 + self.clock);
        let mut said = None;
        if let Some(comment) = body["comment"].as_object() {
            let new = Said {
                id: text(&comment["id"]),
                text: text(&comment["text"]),
                visibility: text(&comment["visibility"]),
                by_user: false,
            };
            record.comments.push(new.clone());
            said = Some(new);
        }
        let event = self.event(&id, &shown, true, said.as_ref());
        let shown = if self.acknowledges { json!({}) } else { self.show(&id) };
        (answer(200, shown), vec![event])
    }
}
