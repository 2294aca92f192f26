//! The gateway's transcripts (`tests/golden/gateway.json`): messages, and what becomes of them. What is to come
//! out is what the core says natively, at the moment of the replay: signatures hold for five minutes only.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firn_core::gateway::{Gateway, Message, Reply, Verdict, Way};
use firn_model::Millis;
use firn_signature::Key;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{Call, Outcome, root};
use crate::upstream::Upstream;

type Headers = Vec<(String, String)>;

/// All of them, and the document that they are decided by.
#[derive(Debug, Clone, Deserialize)]
pub struct Transcripts {
    /// The gateway's document, without an upstream.
    pub document: Json,
    /// Messages.
    pub cases: Vec<Case>,
}

/// A message.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Its method; `POST`.
    #[serde(default = "post")]
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its headers.
    #[serde(default)]
    pub headers: Headers,
    /// Its body: a text, or JSON.
    #[serde(default)]
    pub body: Json,
    /// Its body in base64, if it is no text.
    pub bytes: Option<String>,
    /// How it is signed.
    pub sign: Option<Sign>,
    /// What the one behind answers.
    pub answer: Option<Answer>,
}

fn post() -> String {
    "POST".to_owned()
}

/// A signature.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// With which secret.
    pub secret: String,
    /// Seconds by which the sender's clock is before ours.
    #[serde(default)]
    pub ahead: i64,
    /// Whether as in seed 004.
    #[serde(default)]
    pub body_only: bool,
}

/// An answer of the one behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: Headers,
    /// Its body.
    pub body: String,
}

/// What came of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What the sender was answered.
    pub answered: Answer,
    /// What reached the one behind.
    pub reached: Option<Reached>,
}

/// A request as it reached the one behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// Its headers.
    pub headers: Headers,
    /// Its body.
    pub body: String,
}

/// The header in which a message says what the one behind is to answer, and that in which it is told what
/// reached it; both are JSON in base64.
pub const ANSWER: &str = "x-answer";
/// See [`ANSWER`].
pub const REACHED: &str = "x-reached";

/// Headers that the gateway has a say in. Others are between the hosts.
fn told(headers: &Headers) -> Headers {
    let told = |name: &str| {
        name.starts_with("webhook-")
            || matches!(
                name,
                "content-type"
                    | "content-encoding"
                    | "accept-encoding"
                    | "x-servicenow-signature"
                    | "x-case"
            )
    };
    let mut headers: Headers = headers.iter().filter(|(name, _)| told(name)).cloned().collect();
    headers.sort();
    headers
}

/// Reads them.
///
/// # Errors
/// When the file cannot be read.
pub fn read() -> Result<Transcripts> {
    let file = root().join("golden/gateway.json");
    let text = std::fs::read_to_string(&file)?;
    serde_json::from_str(&text).with_context(|| file.display().to_string())
}

/// Now, in milliseconds.
#[must_use]
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or_default())
}

impl Case {
    /// The bytes of its body.
    ///
    /// # Errors
    /// When its base64 is none.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        Ok(match (&self.bytes, &self.body) {
            (Some(bytes), _) => STANDARD.decode(bytes)?,
            (None, Json::Null) => Vec::new(),
            (None, Json::String(text)) => text.clone().into_bytes(),
            (None, json) => json.to_string().into_bytes(),
        })
    }

    /// Its headers, with its signature.
    ///
    /// # Errors
    /// When its secret is none.
    pub fn headers(&self, now: Millis) -> Result<Headers> {
        let mut headers = self.headers.clone();
        let bytes = self.bytes()?;
        let body = String::from_utf8_lossy(&bytes);
        if let Some(sign) = &self.sign {
            let key = Key::of(&sign.secret).context("no secret")?;
            if sign.body_only {
                headers.push(("x-servicenow-signature".to_owned(), key.sign(&body)));
            } else {
                let (id, at) = ("golden-1", now.0 / 1000 + sign.ahead);
                let signature = key.sign(&format!("{id}.{at}.{body}"));
                headers.push(("webhook-id".to_owned(), id.to_owned()));
                headers.push(("webhook-timestamp".to_owned(), at.to_string()));
                headers.push(("webhook-signature".to_owned(), format!("v1,{signature}")));
            }
        }
        Ok(headers)
    }

    fn answer(&self) -> Answer {
        self.answer.clone().unwrap_or_else(|| Answer {
            status: 200,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: "{\"ok\":true}".to_owned(),
        })
    }

    /// The calls of the core component that it makes at a fixed moment.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn calls(&self, document: &Json, now: Millis) -> Result<Vec<Call>> {
        let call = |function: &str, arguments: Vec<Json>| Call {
            interface: "gateway".to_owned(),
            function: function.to_owned(),
            arguments,
            answer: Json::Null,
        };
        let body = String::from_utf8(self.bytes()?).ok();
        let headers = self.headers(now)?;
        let document = json!(document.to_string());
        let request =
            json!({ "method": self.method, "path": self.path, "headers": headers, "body": body });
        let look = vec![document.clone(), json!(self.method), json!(self.path), json!(headers)];
        let receive = vec![document.clone(), request, json!(now.0)];
        let mut calls = vec![call("look", look), call("receive", receive)];
        if let Some(answer) = &self.answer {
            let response = json!({ "headers": answer.headers, "body": answer.body });
            calls.push(call(
                "answer",
                vec![document, json!(self.method), json!(self.path), response],
            ));
        }
        Ok(calls)
    }

    /// What is to come of it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn expected(&self, gateway: &Gateway, now: Millis) -> Result<Seen> {
        let (headers, bytes) = (self.headers(now)?, self.bytes()?);
        let text = std::str::from_utf8(&bytes).ok();
        let reached = |headers: &Headers, path: &str, body: String| Reached {
            method: self.method.clone(),
            path: path.to_owned(),
            headers: told(headers),
            body,
        };
        let (route, reached) = match gateway.way(&self.method, &self.path) {
            Way::Answered(reply) => return Ok(refused(reply)),
            Way::Through => {
                (None, reached(&headers, &self.path, String::from_utf8_lossy(&bytes).into_owned()))
            }
            Way::Read(route) => {
                match gateway.request(
                    route,
                    &self.path,
                    Message { headers: &headers, body: text },
                    now,
                ) {
                    Verdict::Answered(reply) => return Ok(refused(reply)),
                    Verdict::Onward(onward) => {
                        let headers = onward.changed(headers);
                        let body =
                            onward.body.unwrap_or(String::from_utf8_lossy(&bytes).into_owned());
                        let path = onward.path.as_deref().unwrap_or(&self.path);
                        (Some(route), reached(&headers, path, body))
                    }
                }
            }
        };
        let mut answered = self.answer();
        if let Some(route) = route {
            let message = Message { headers: &answered.headers, body: Some(&answered.body) };
            match gateway.response(route, message) {
                Verdict::Answered(reply) => return Ok(refused(reply)),
                Verdict::Onward(onward) => {
                    answered.headers = onward.changed(answered.headers);
                    answered.body = onward.body.unwrap_or(answered.body);
                }
            }
        }
        answered.headers = told(&answered.headers);
        Ok(Seen { answered, reached: Some(reached) })
    }

    /// Sends it to a gateway that listens at an address.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn sent(&self, to: &str, now: Millis) -> Result<Seen> {
        let client =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        let method = reqwest::Method::from_bytes(self.method.as_bytes())?;
        let mut request = client.request(method, format!("{to}{}", self.path)).body(self.bytes()?);
        for (name, value) in self.headers(now)? {
            request = request.header(name, value);
        }
        if let Some(answer) = &self.answer {
            request = request.header(ANSWER, STANDARD.encode(serde_json::to_vec(answer)?));
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers: Headers = response
            .headers()
            .iter()
            .map(|(n, v)| {
                (n.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned())
            })
            .collect();
        let reached = headers.iter().find(|(name, _)| name == REACHED);
        let reached = reached.map(|(_, value)| {
            anyhow::Ok(serde_json::from_slice::<Reached>(&STANDARD.decode(value)?)?)
        });
        let reached = reached
            .transpose()?
            .map(|reached| Reached { headers: told(&reached.headers), ..reached });
        let body = response.text().await?;
        Ok(Seen { answered: Answer { status, headers: told(&headers), body }, reached })
    }
}

/// What comes of a message that the gateway answers itself; that has no word of what may have reached the one
/// behind before.
fn refused(reply: Reply) -> Seen {
    let Reply { status, headers, body, .. } = reply;
    Seen { answered: Answer { status, headers: told(&headers), body }, reached: None }
}

/// The document with its secrets in the environment, and these.
///
/// # Errors
/// When it is no document.
pub fn with_secrets_apart(document: &Json) -> Result<(Json, BTreeMap<String, String>)> {
    let (mut document, mut secrets) = (document.clone(), BTreeMap::new());
    for route in document["routes"].as_array_mut().context("no routes")? {
        for secret in route.get_mut("secrets").and_then(Json::as_array_mut).into_iter().flatten() {
            let name = format!("GATEWAY_SECRET_{}", secrets.len());
            secrets.insert(name.clone(), secret.as_str().context("no secret")?.to_owned());
            *secret = json!(format!("env:{name}"));
        }
    }
    Ok((document, secrets))
}

/// Replays all of them at a gateway that listens at an address. What it refuses must not reach the one behind, where
/// that can be asked.
///
/// # Errors
/// When the transcripts cannot be read.
pub async fn replayed(host: &str, to: &str, behind: Option<&Upstream>) -> Result<Outcome> {
    let transcripts = read()?;
    let gateway = opened(&transcripts.document)?;
    let mut differences = Vec::new();
    for case in &transcripts.cases {
        let now = now();
        let expected = case.expected(&gateway, now)?;
        let before = behind.map(|behind| behind.seen().len());
        let sent = case.sent(to, now).await;
        let more = behind.map(|behind| behind.seen().len()) > before;
        // An answer that cannot be masked was asked for.
        if more && expected.reached.is_none() && expected.answered.status != 502 {
            differences.push(format!("{}: it reached the one behind", case.name));
        }
        match sent {
            Ok(seen) if seen == expected => {}
            Ok(seen) => {
                differences.push(format!("{}: {seen:?} and not {expected:?}", case.name));
            }
            Err(why) => differences.push(format!("{}: {why:#}", case.name)),
        }
    }
    let run = transcripts.cases.len();
    Ok(Outcome {
        host: host.to_owned(),
        run,
        passed: run - differences.len(),
        skipped: None,
        differences,
    })
}

/// The transcripts' gateway.
///
/// # Errors
/// When its document has faults.
pub fn opened(document: &Json) -> Result<Gateway> {
    match Gateway::open(&document.to_string(), &|_| None) {
        Ok(gateway) => Ok(gateway),
        Err(faults) => bail!("{faults:?}"),
    }
}

/// Where files of examples are.
#[must_use]
pub fn examples() -> PathBuf {
    root().join("../docs/examples")
}
