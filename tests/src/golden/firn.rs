//! The program `firn`: what it shows of the core on its command line, and what it answers to the messages that
//! the gateway's transcripts let through or refuse.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use firn_simulator::{Faults, Simulator};
use serde_json::{Value as Json, json};

use super::gateway::{self, Case, Transcripts};
use super::{Call, Outcome};
use crate::process::{self, Client, Firn};

/// The host.
pub const FIRN: &str = "firn";

/// Replays what it shows: masking by its command; webhooks, events and escalations that go unchanged by its API.
///
/// # Errors
/// When it cannot be started.
pub async fn replayed() -> Result<Outcome> {
    let binary = process::binary()?;
    let mut differences = Vec::new();
    let mut run = 0;
    for call in super::read()? {
        if (call.interface.as_str(), call.function.as_str()) != ("masking", "mask") {
            continue;
        }
        let answer = masked(&binary, &call)?;
        run += 1;
        if answer != call.answer {
            differences.push(format!(
                "{}.{}: {answer} and not {}",
                call.interface, call.function, call.answer
            ));
        }
    }
    let transcripts = gateway::read()?;
    let (more, different) = messages(&binary, &transcripts).await?;
    differences.extend(different);
    run += more;
    Ok(Outcome {
        host: FIRN.to_owned(),
        run,
        passed: run - differences.len(),
        skipped: None,
        differences,
    })
}

fn said(command: &mut Command, given: &str) -> Result<String> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    child.stdin.take().context("no standard input")?.write_all(given.as_bytes())?;
    Ok(String::from_utf8(child.wait_with_output()?.stdout)?)
}

/// `firn mask` tells less of what it found: where, and of which type.
fn masked(binary: &Path, call: &Call) -> Result<Json> {
    let text = call.arguments.first().cloned().unwrap_or_default();
    let line = json!({ "id": 1, "text": text }).to_string();
    let answer: Json = serde_json::from_str(&said(Command::new(binary).arg("mask"), &line)?)?;
    let mut whole = call.answer.clone();
    whole["text"] = answer["masked"].clone();
    let found = answer["findings"].as_array().cloned().unwrap_or_default();
    let spans = whole["spans"].as_array_mut().context("no spans")?;
    if spans.len() != found.len() {
        bail!("{} findings and not {}", found.len(), spans.len());
    }
    for (span, found) in spans.iter_mut().zip(found) {
        span["start"] = found["start"].clone();
        span["end"] = found["end"].clone();
        span["kind"] = found["type"].clone();
    }
    Ok(whole)
}

/// Sends the messages of the routes that lead to Firn. What the gateway refuses Firn refuses in the same words;
/// what it lets through is taken.
async fn messages(binary: &Path, transcripts: &Transcripts) -> Result<(usize, Vec<String>)> {
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), 1, Faults::default()).await?;
    let scratch = tempfile::tempdir()?;
    let listen = process::free_port()?;
    let _firn = Firn::start(binary, scratch.path(), listen)?;
    let client = Client::new(listen)?;
    client.ready().await?;
    let incidents = process::integration(&client, &simulator, "incidents", None, json!({})).await?;
    let calls = process::integration(&client, &simulator, "genesys", None, json!({})).await?;
    let secret = transcripts.document["routes"][0]["secrets"][0].clone();
    let change = json!({ "webhook_secret": secret });
    let path = format!("/integrations/{incidents}");
    let changed = client.call(reqwest::Method::PATCH, &path, &change).await;
    if changed.as_ref().is_none_or(|(status, _)| *status != 200) {
        bail!("the secret was not taken: {changed:?}");
    }
    let gateway = gateway::opened(&transcripts.document)?;
    let (mut run, mut differences) = (0, Vec::new());
    for case in &transcripts.cases {
        let to = match case.path.as_str() {
            "/firn/webhooks" => format!("/api/v1/webhooks/{incidents}"),
            "/firn/events" => format!("/api/v1/integrations/{incidents}/events"),
            "/firn/escalations" => format!("/api/v1/integrations/{calls}/escalations"),
            _ => continue,
        };
        // Firn has one secret; the method is its router's business.
        let other = case.sign.as_ref().is_some_and(|s| s.ahead == 0 && json!(s.secret) != secret);
        if case.method != "POST" || (other && case.name.contains("to come")) {
            continue;
        }
        run += 1;
        let now = gateway::now();
        let expected = case.expected(&gateway, now)?;
        let mut headers = case.headers.clone();
        headers.push(("authorization".to_owned(), format!("Bearer {}", process::TOKEN)));
        headers.push(("prefer".to_owned(), "wait=0".to_owned()));
        let case = Case { path: to, headers, ..case.clone() };
        let seen = case.sent(&format!("http://{listen}"), now).await?;
        let same = match &expected.reached {
            Some(_) => (200..300).contains(&seen.answered.status),
            None => seen == expected,
        };
        if !same {
            differences.push(format!("{}: {seen:?} and not {expected:?}", case.name));
        }
    }
    Ok((run, differences))
}
