//! Golden transcripts: calls of the `core` component and what they answer, as JSON that any host
//! language can replay (`tests/golden/core.jsonl`, one call a line); and messages through a gateway
//! (`tests/golden/gateway.json`), which are calls too.
//!
//! How a component's values are written as JSON: a record is an object, a list or tuple an array, an
//! enum its name, an option `null` or its value, a variant `{"case": value}` (`{"case": null}` without
//! one), a result `{"ok": value}` or `{"error": value}`; numbers and strings are themselves.

pub mod component;
pub mod envoy;
pub mod firn;
pub mod gateway;
pub mod native;
pub mod programs;
pub mod serve;
pub mod types;

use std::path::PathBuf;

use anyhow::{Context, Result};
use firn_model::Millis;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use component::Host;

/// When the gateway's transcripts are replayed as calls.
const THEN: Millis = Millis(1_777_473_000_000);

/// One call and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The interface: `mapping`.
    pub interface: String,
    /// The function: `to-platform`.
    pub function: String,
    /// Its arguments.
    pub arguments: Vec<Json>,
    /// Its answer.
    #[serde(default)]
    pub answer: Json,
}

/// What became of the transcripts in one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The host.
    pub host: String,
    /// Calls that were replayed.
    pub run: usize,
    /// Calls with the expected answer.
    pub passed: usize,
    /// Why nothing was replayed, if so.
    pub skipped: Option<String>,
    /// What differed.
    pub differences: Vec<String>,
}

impl Outcome {
    /// Of a host that cannot be had here, and why.
    #[must_use]
    pub fn skipped(host: &str, why: String) -> Outcome {
        Outcome {
            host: host.to_owned(),
            run: 0,
            passed: 0,
            skipped: Some(why),
            differences: Vec::new(),
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Where the transcripts are.
#[must_use]
pub fn file() -> PathBuf {
    root().join("golden/core.jsonl")
}

/// Reads the transcripts.
///
/// # Errors
/// Names the line that cannot be read.
pub fn read() -> Result<Vec<Call>> {
    let text = std::fs::read_to_string(file())?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(i, line)| serde_json::from_str(line).with_context(|| format!("line {}", i + 1)))
        .collect()
}

/// Writes the transcripts.
///
/// # Errors
/// When the file cannot be written.
pub fn write(calls: &[Call]) -> Result<()> {
    let lines: Result<Vec<String>, _> = calls.iter().map(serde_json::to_string).collect();
    Ok(std::fs::write(file(), lines?.join("\n") + "\n")?)
}

/// Asks the component everything anew and writes its answers down. A whole life of a link is added:
/// each call is given what the one before answered.
///
/// # Errors
/// When a call cannot be made.
pub fn accept() -> Result<()> {
    let mut host = Host::new()?;
    let mut calls = read()?;
    // These two are made anew.
    calls.retain(|call| call.interface != "planner" && !of_the_gateway(call));
    calls.extend(messages()?);
    for call in &mut calls {
        call.answer = host.call(call)?;
    }
    calls.extend(life(&mut host)?);
    write(&calls)
}

fn of_the_gateway(call: &Call) -> bool {
    call.interface == "gateway" && call.function != "check"
}

/// The gateway's messages as calls.
fn messages() -> Result<Vec<Call>> {
    let transcripts = gateway::read()?;
    let calls: Result<Vec<Vec<Call>>> =
        transcripts.cases.iter().map(|case| case.calls(&transcripts.document, THEN)).collect();
    Ok(calls?.into_iter().flatten().collect())
}

/// A link from its first event to a ticket in step.
fn life(host: &mut Host) -> Result<Vec<Call>> {
    let now: i64 = 1_777_472_000_000;
    let completed = host.call(&Call {
        interface: "settings".to_owned(),
        function: "complete".to_owned(),
        arguments: vec![json!("{\"preset\":\"incidents\"}")],
        answer: Json::Null,
    })?;
    let settings: Json = serde_json::from_str(completed["ok"].as_str().unwrap_or_default())?;
    let integration = json!({ "id": "int-1", "tenant": "acme", "slug": "s", "name": "n", "base_url": "",
        "platform": { "callback_url": "https://p.example/c" }, "enabled": true, "version": 1, "settings": settings });
    let side = json!({ "look": false, "look_journal": false, "failures": 0, "one_by_one": false, "missing": false, "halted": false });
    let mut link = json!({ "id": "l-1", "integration": "int-1", "platform_id": "PAY-1", "key": "PAY-1",
        "generation": 1, "origin": "platform", "role": "sole", "table": "incident", "draft": { "set": {} },
        "fields": {}, "entries": [], "platform_side": side, "external_side": side, "references": {},
        "sequence": 0, "created": now, "updated": now });
    let seen = json!([{ "seen": { "side": "platform", "source": "message", "entries": [],
        "record": { "id": "PAY-1", "revision": { "platform": { "version": 1, "at": now } },
            "attributes": { "title": "Down, call +15550199888", "severity": "high", "status": "open" } } } }]);
    let ticket = json!({ "id": "a1b2c3d4e5f60718293a4b5c6d7e8f90", "class": "incident", "number": "INC0010001",
        "correlation": "PAY-1", "revision": { "external": { "updated": now, "mod_count": 0 } },
        "attributes": { "short_description": "Down, call ***-***-9888", "description": "", "state": "1", "impact": "2", "urgency": "1", "priority": "2", "assigned_to": "", "assigned_to.email": "" } });
    let mut inputs = seen;
    let mut calls = Vec::new();
    for step in 0..5 {
        let arguments = vec![
            json!(integration.to_string()),
            json!(link.to_string()),
            json!(inputs.to_string()),
            json!(now + step * 1_000),
        ];
        let mut call = Call {
            interface: "planner".to_owned(),
            function: "advance".to_owned(),
            arguments,
            answer: Json::Null,
        };
        call.answer = host.call(&call)?;
        let plan: Json = serde_json::from_str(call.answer["ok"].as_str().unwrap_or_default())
            .with_context(|| format!("step {step}: {}", call.answer))?;
        calls.push(call);
        link = plan["link"].clone();
        let number = link["external_side"]["exchange"]["number"].clone();
        let answered = |reading: Json| json!([{ "answered": { "side": "external", "number": number, "reading": reading } }]);
        inputs = match step {
            0 => answered(json!({ "found": [] })),
            1 => answered(json!({ "outcome": { "applied": ticket } })),
            2 => json!([]),
            _ => json!([{ "seen": { "side": "platform", "source": "message", "entries": [],
                "record": { "id": "PAY-1", "revision": { "platform": { "version": 2, "at": now + 9_000 } },
                    "attributes": { "status": "resolved" } } } }]),
        };
    }
    let mut explain = Call {
        interface: "planner".to_owned(),
        function: "explain".to_owned(),
        arguments: vec![
            json!(integration.to_string()),
            json!(link.to_string()),
            json!("[]"),
            json!(now),
        ],
        answer: Json::Null,
    };
    explain.answer = host.call(&explain)?;
    calls.push(explain);
    Ok(calls)
}

fn replayed(host: &str, mut ask: impl FnMut(&Call) -> Result<Json>) -> Result<Outcome> {
    let calls = read()?;
    let mut differences = Vec::new();
    for call in &calls {
        let answer = ask(call).unwrap_or_else(|why| json!(format!("{why:#}")));
        if answer != call.answer {
            differences.push(format!(
                "{}.{}{:?}: {answer} and not {}",
                call.interface, call.function, call.arguments, call.answer
            ));
        }
    }
    let (run, passed) = (calls.len(), calls.len() - differences.len());
    Ok(Outcome { host: host.to_owned(), run, passed, skipped: None, differences })
}

/// Replays the transcripts natively.
///
/// # Errors
/// When they cannot be read.
pub fn natively() -> Result<Outcome> {
    let functions = types::functions(&root().join("../wit"))?;
    replayed("native", |call| native::call(&functions, call))
}

/// Replays the transcripts in wasmtime.
///
/// # Errors
/// When they cannot be read, or the component cannot be loaded.
pub fn in_wasmtime() -> Result<Outcome> {
    let mut host = Host::new()?;
    replayed("wasmtime", |call| host.call(call))
}
