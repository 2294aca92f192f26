//! The bytes of files: read from one side, hashed as they come, and carried on. Never kept whole in
//! memory, never on disk.
//!
//! The last piece is held back until the whole was seen to be what it should be. A file that is another
//! than was promised breaks off before its announced length, so that no server takes it for whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use firn_model::{AnswerBody, Body, Fetch, HttpRequest, HttpResponse, Method, Remote, Want};
use futures_util::stream;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::budget::Turn;
use crate::carrier::{answered, cause, headers, now, origin, platform_headers, who};
use crate::signin::SignInError;
use crate::{Carrier, Target};

/// A file of which nothing comes for so long is given up.
const STALLED: Duration = Duration::from_secs(20);

/// So long a file may take to be there.
const OPENED: Duration = Duration::from_secs(10);

/// What finds no place comes back then. In milliseconds.
const LATER: u64 = 5_000;

/// The places for files: one for each instance of a tenant, so that files never have all its turns; of what is only the
/// platform's, one for each integration.
#[derive(Default)]
pub(crate) struct Places(Mutex<BTreeMap<String, Arc<Semaphore>>>);

impl Places {
    fn of(&self, whose: String) -> Arc<Semaphore> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody holds or waits for the others.
        places.retain(|_, place| Arc::strong_count(place) > 1);
        Arc::clone(places.entry(whose).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

impl Carrier {
    /// A place for the file that a request carries or reads, if it does: a file keeps its connections for
    /// long, and its turn at the instance.
    ///
    /// # Errors
    /// When to come back.
    pub(crate) async fn place(
        &self,
        target: &Target,
        request: &HttpRequest,
        end: Instant,
    ) -> Result<Option<OwnedSemaphorePermit>, AnswerBody> {
        let instance = || format!("{} {}", target.tenant, origin(&target.base_url));
        let whose = match &request.body {
            Some(Body::File(_)) => instance(),
            _ if request.want == Want::Text => return Ok(None),
            _ if request.remote == Remote::Servicenow => instance(),
            _ => target.integration.to_string(),
        };
        match tokio::time::timeout_at(end, self.places.of(whose).acquire_owned()).await {
            Ok(place) => Ok(place.ok()),
            Err(_) => Err(AnswerBody::Busy(LATER)),
        }
    }

    /// Opens the file that a request is to carry; one of an instance waits for its turn there until `queue`.
    ///
    /// # Errors
    /// What the request has come to instead.
    pub(crate) async fn open(
        &self,
        target: &Target,
        fetch: &Fetch,
        request: &HttpRequest,
        queue: Instant,
    ) -> Result<Source, AnswerBody> {
        let read = HttpRequest {
            remote: fetch.remote,
            method: Method::Get,
            path: fetch.path.clone(),
            query: Vec::new(),
            headers: vec![("accept".to_owned(), "*/*".to_owned())],
            body: None,
            ..request.clone()
        };
        let url = self.url(target, &read).map_err(AnswerBody::NotSent)?;
        if fetch.remote != Remote::Servicenow {
            let headers = platform_headers(target, &read, &url);
            let get = self.outgoing(&read, url, &headers).map_err(AnswerBody::NotSent)?;
            return source(begun(get).await?, fetch, None);
        }
        let base = self.addresses().check(&target.base_url);
        let base = base.map_err(|e| AnswerBody::NotSent(e.to_string()))?;
        let patience = queue.saturating_duration_since(Instant::now());
        let budget = self.budget(target);
        let mut turn = budget.turn(&target.integration, request.urgency, patience).await?;
        let ask = |header| {
            let get = self.outgoing(&read, url.clone(), &[header]).map_err(AnswerBody::NotSent);
            async move { begun(get?).await }
        };
        let status = |answer: &Result<reqwest::Response, AnswerBody>| {
            answer.as_ref().ok().map(|response| response.status().as_u16())
        };
        let response = match self.signed_in(&who(target, &base), ask, status).await {
            Ok(response) => response,
            Err(SignInError::Refused(why) | SignInError::Failed(why)) => {
                return Err(AnswerBody::NotSent(why));
            }
        };
        // The head alone: what it says of limits.
        let head = match &response {
            Ok(response) => AnswerBody::Response(HttpResponse {
                status: response.status().as_u16(),
                headers: headers(response),
                body: String::new(),
            }),
            Err(answer) => answer.clone(),
        };
        turn.told(&head, now());
        source(response?, fetch, Some(turn))
    }
}

/// The head of an answer, in time.
async fn begun(request: reqwest::RequestBuilder) -> Result<reqwest::Response, AnswerBody> {
    match tokio::time::timeout(OPENED, answered(request)).await {
        Ok(Err(AnswerBody::Lost(why))) => Err(AnswerBody::NotSent(why)),
        Ok(answer) => answer,
        Err(_) => Err(AnswerBody::NotSent("the file was not there in time".to_owned())),
    }
}

/// The file of an answer to a request for it.
fn source(
    response: reqwest::Response,
    fetch: &Fetch,
    turn: Option<Turn>,
) -> Result<Source, AnswerBody> {
    match response.status().as_u16() {
        200..=299 => Ok(Source { response, fetch: fetch.clone(), _turn: turn }),
        // It comes back, or is asked for again in another way.
        status @ (401 | 408 | 429 | 300..=399 | 500..) => {
            Err(AnswerBody::NotSent(format!("the file cannot be had now: status {status}")))
        }
        status => Err(AnswerBody::NoFile(status)),
    }
}

/// A file that is being read.
pub(crate) struct Source {
    response: reqwest::Response,
    pub(crate) fetch: Fetch,
    /// Its turn at the instance, if it comes from there, until it is read.
    _turn: Option<Turn>,
}

/// What went wrong while a file was read.
#[derive(Clone, Default)]
pub(crate) struct Trouble(Arc<Mutex<Option<AnswerBody>>>);

impl Trouble {
    fn tell(&self, answer: AnswerBody) -> std::io::Error {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        std::io::Error::other("the file cannot be read")
    }

    /// What the request came to then, whatever else there is to be said of it.
    pub(crate) fn told(&self) -> Option<AnswerBody> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Reading {
    source: Source,
    hash: Sha256,
    read: u64,
    held: Option<Bytes>,
    trouble: Trouble,
    over: bool,
}

/// The next piece of a file that does not stall.
async fn piece(response: &mut reqwest::Response) -> Result<Option<Bytes>, String> {
    match tokio::time::timeout(STALLED, response.chunk()).await {
        Ok(Ok(piece)) => Ok(piece),
        Ok(Err(e)) => Err(format!("the file broke off: {}", cause(e))),
        Err(_) => Err("the file stalled".to_owned()),
    }
}

impl Reading {
    /// The next piece that may leave.
    async fn next(&mut self) -> Result<Option<Bytes>, std::io::Error> {
        while !self.over {
            match piece(&mut self.source.response).await {
                Ok(Some(piece)) => {
                    self.read += piece.len() as u64;
                    if self.read > self.source.fetch.size {
                        return Err(self.trouble.tell(AnswerBody::OtherFile));
                    }
                    self.hash.update(&piece);
                    if let Some(earlier) = self.held.replace(piece) {
                        return Ok(Some(earlier));
                    }
                }
                Ok(None) => {
                    self.over = true;
                    let hash = hex(&std::mem::take(&mut self.hash).finalize());
                    let fetch = &self.source.fetch;
                    if self.read != fetch.size || hash != fetch.hash.as_str() {
                        return Err(self.trouble.tell(AnswerBody::OtherFile));
                    }
                    return Ok(self.held.take());
                }
                Err(why) => return Err(self.trouble.tell(AnswerBody::NotSent(why))),
            }
        }
        Ok(None)
    }
}

impl Source {
    /// The file as the body of a request, and where it is told what went wrong.
    pub(crate) fn into_body(self) -> (reqwest::Body, Trouble) {
        let trouble = Trouble::default();
        let reading = Reading {
            source: self,
            hash: Sha256::new(),
            read: 0,
            held: None,
            trouble: trouble.clone(),
            over: false,
        };
        let pieces = stream::try_unfold(reading, async |mut reading| {
            Ok::<_, std::io::Error>(reading.next().await?.map(|piece| (piece, reading)))
        });
        (reqwest::Body::wrap_stream(pieces), trouble)
    }
}

/// Reads a file for its hash alone: `{"size", "sha256"}`, or `{"size"}` once it has more bytes than `most`.
pub(crate) async fn measure(response: &mut reqwest::Response, most: u64) -> Result<String, String> {
    let (mut size, mut hash) = (0_u64, Sha256::new());
    loop {
        match piece(response).await {
            Ok(Some(piece)) => {
                size += piece.len() as u64;
                if size > most {
                    return Ok(serde_json::json!({ "size": size }).to_string());
                }
                hash.update(&piece);
            }
            Ok(None) => {
                let hash = hex(&hash.finalize());
                return Ok(serde_json::json!({ "size": size, "sha256": hash }).to_string());
            }
            Err(why) => return Err(why),
        }
    }
}

/// `Content-Digest` (RFC 9530) of a file.
pub(crate) fn content_digest(fetch: &Fetch) -> String {
    let digit = |pair: &[u8]| {
        std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    let bytes: Vec<u8> = fetch.hash.as_str().as_bytes().chunks(2).filter_map(digit).collect();
    format!("sha-256=:{}:", STANDARD.encode(bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
