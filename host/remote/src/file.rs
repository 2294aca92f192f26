//! The bytes of files: read from one side, hashed as they come, and carried on. Never kept whole in
//! memory, never on disk.
//!
//! The last piece is held back until the whole was seen to be what it should be. A file that is another
//! than was promised breaks off before its announced length, so that no server takes it for whole.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use firn_model::{AnswerBody, Fetch};
use futures_util::stream;
use sha2::{Digest, Sha256};

use crate::budget::Turn;
use crate::carrier::cause;

/// A file of which nothing comes for so long is given up.
const STALLED: Duration = Duration::from_secs(20);

/// A file that is being read.
pub(crate) struct Source {
    pub(crate) response: reqwest::Response,
    pub(crate) fetch: Fetch,
    /// Its place at the instance, if it comes from there, until it is read.
    pub(crate) _turn: Option<Turn>,
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
