//! Golden transcripts: calls of the `core` component and what they answer, as JSON that any host
//! language can replay (`tests/golden/core.jsonl`, one call a line).
//!
//! How a component's values are written as JSON: a record is an object, a list or tuple an array, an
//! enum its name, an option `null` or its value, a variant `{"case": value}` (`{"case": null}` without
//! one), a result `{"ok": value}` or `{"error": value}`; numbers and strings are themselves.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use wasmtime::component::{Component, Instance, Linker, Type, Val};
use wasmtime::{Config, Engine, Store};

/// The version of wasmtime that Python is given.
const PYTHON_WASMTIME: &str = "wasmtime==50.0.1";

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
    calls.retain(|call| call.interface != "planner");
    for call in &mut calls {
        call.answer = host.call(call)?;
    }
    calls.extend(life(&mut host)?);
    write(&calls)
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
        "attributes": { "short_description": "Down, call ***-***-9888", "description": "", "state": "1", "impact": "2", "priority": "2", "assigned_to": "", "assigned_to.email": "" } });
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

/// The component in wasmtime, called by name as a host would that has no bindings.
pub struct Host {
    store: Store<()>,
    instance: Instance,
}

impl Host {
    /// Loads the core component.
    ///
    /// # Errors
    /// When it cannot be instantiated without any import.
    pub fn new() -> Result<Host> {
        let mut config = Config::new();
        config.concurrency_support(false);
        let engine = Engine::new(&config).map_err(failed)?;
        let component = Component::new(&engine, firn_components::CORE).map_err(failed)?;
        let mut store = Store::new(&engine, ());
        let linker: Linker<()> = Linker::new(&engine);
        let instance = linker.instantiate(&mut store, &component).map_err(failed)?;
        Ok(Host { store, instance })
    }

    /// Makes a call.
    ///
    /// # Errors
    /// When there is no such function, an argument does not fit, or the component traps.
    pub fn call(&mut self, call: &Call) -> Result<Json> {
        let interface = format!("firn:sync/{}@0.1.0", call.interface);
        let outer = self.instance.get_export_index(&mut self.store, None, &interface);
        let outer = outer.with_context(|| format!("there is no interface {interface}"))?;
        let inner = self.instance.get_export_index(&mut self.store, Some(&outer), &call.function);
        let inner = inner.with_context(|| format!("there is no function {}", call.function))?;
        let function = self.instance.get_func(&mut self.store, inner).context("not a function")?;
        let types: Vec<Type> = function.ty(&self.store).params().map(|(_, ty)| ty).collect();
        if types.len() != call.arguments.len() {
            bail!("{} takes {} arguments", call.function, types.len());
        }
        let arguments: Result<Vec<Val>> =
            types.iter().zip(&call.arguments).map(|(ty, json)| lower(json, ty)).collect();
        let mut results = vec![Val::Bool(false)];
        function.call(&mut self.store, &arguments?, &mut results).map_err(failed)?;
        Ok(results.first().map(lift).unwrap_or_default())
    }
}

fn failed(why: impl std::fmt::Debug) -> anyhow::Error {
    anyhow::anyhow!("{why:?}")
}

/// JSON as a component's value of a type.
fn lower(json: &Json, ty: &Type) -> Result<Val> {
    let fits = || format!("{json} does not fit");
    Ok(match ty {
        Type::Bool => Val::Bool(json.as_bool().with_context(fits)?),
        Type::U16 => Val::U16(u16::try_from(json.as_u64().with_context(fits)?)?),
        Type::U32 => Val::U32(u32::try_from(json.as_u64().with_context(fits)?)?),
        Type::U64 => Val::U64(json.as_u64().with_context(fits)?),
        Type::S32 => Val::S32(i32::try_from(json.as_i64().with_context(fits)?)?),
        Type::S64 => Val::S64(json.as_i64().with_context(fits)?),
        Type::String => Val::String(json.as_str().with_context(fits)?.to_owned()),
        Type::List(list) => {
            let items = json.as_array().with_context(fits)?;
            Val::List(items.iter().map(|i| lower(i, &list.ty())).collect::<Result<_>>()?)
        }
        Type::Tuple(tuple) => {
            let items = json.as_array().with_context(fits)?;
            Val::Tuple(
                items
                    .iter()
                    .zip(tuple.types())
                    .map(|(i, ty)| lower(i, &ty))
                    .collect::<Result<_>>()?,
            )
        }
        Type::Record(record) => Val::Record(
            record
                .fields()
                .map(|f| {
                    Ok((f.name.to_owned(), lower(json.get(f.name).with_context(fits)?, &f.ty)?))
                })
                .collect::<Result<_>>()?,
        ),
        Type::Enum(_) => Val::Enum(json.as_str().with_context(fits)?.to_owned()),
        Type::Option(_) if json.is_null() => Val::Option(None),
        Type::Option(option) => Val::Option(Some(Box::new(lower(json, &option.ty())?))),
        Type::Variant(variant) => {
            let (name, value) =
                json.as_object().and_then(|o| o.iter().next()).with_context(fits)?;
            let case = variant.cases().find(|c| c.name == name).with_context(fits)?;
            let payload = case.ty.as_ref().map(|ty| lower(value, ty)).transpose()?;
            Val::Variant(name.clone(), payload.map(Box::new))
        }
        other => bail!("no argument of Firn's is a {other:?}"),
    })
}

/// A component's value as JSON.
fn lift(value: &Val) -> Json {
    let one = |name: &str, value: Json| Json::Object(Map::from_iter([(name.to_owned(), value)]));
    let inside = |value: &Option<Box<Val>>| value.as_deref().map_or(Json::Null, lift);
    match value {
        Val::Bool(b) => json!(b),
        Val::U8(n) => json!(n),
        Val::U16(n) => json!(n),
        Val::U32(n) => json!(n),
        Val::U64(n) => json!(n),
        Val::S32(n) => json!(n),
        Val::S64(n) => json!(n),
        Val::String(text) | Val::Enum(text) => json!(text),
        Val::List(items) | Val::Tuple(items) => items.iter().map(lift).collect(),
        Val::Record(fields) => {
            Json::Object(fields.iter().map(|(n, v)| (n.clone(), lift(v))).collect())
        }
        Val::Option(value) => inside(value),
        Val::Variant(name, value) => one(name, inside(value)),
        Val::Result(Ok(value)) => one("ok", inside(value)),
        Val::Result(Err(value)) => one("error", inside(value)),
        other => json!(format!("{other:?}")),
    }
}

/// Replays the transcripts in wasmtime.
///
/// # Errors
/// When they cannot be read, or the component cannot be loaded.
pub fn in_wasmtime() -> Result<Outcome> {
    let mut host = Host::new()?;
    let calls = read()?;
    let mut differences = Vec::new();
    for call in &calls {
        let answer = host.call(call).unwrap_or_else(|why| json!(format!("{why:#}")));
        if answer != call.answer {
            differences.push(format!(
                "{}.{}{:?}: {answer} and not {}",
                call.interface, call.function, call.arguments, call.answer
            ));
        }
    }
    Ok(Outcome {
        host: "wasmtime".to_owned(),
        run: calls.len(),
        passed: calls.len() - differences.len(),
        skipped: None,
        differences,
    })
}

/// Replays the transcripts in Python, through `wasmtime` from PyPI.
///
/// # Errors
/// When Python is there and the replay cannot be started.
pub fn in_python() -> Result<Outcome> {
    let outcome = |skipped: Option<String>| Outcome {
        host: "python".to_owned(),
        run: 0,
        passed: 0,
        skipped,
        differences: Vec::new(),
    };
    let python = Command::new("python3").args(["-m", "pip", "--version"]).output();
    if !python.is_ok_and(|o| o.status.success()) {
        return Ok(outcome(Some("there is no python3 with pip; install python3-pip".to_owned())));
    }
    let target = root().join("../target/python");
    if !target.join("wasmtime").is_dir() {
        let installed = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--target"])
            .arg(&target)
            .arg(PYTHON_WASMTIME)
            .output()?;
        if !installed.status.success() {
            let why = String::from_utf8_lossy(&installed.stderr);
            let why = why.lines().last().unwrap_or_default().to_owned();
            return Ok(outcome(Some(format!("{PYTHON_WASMTIME} cannot be installed: {why}"))));
        }
    }
    let wasm = root().join("../target/python/core.wasm");
    std::fs::write(&wasm, firn_components::CORE)?;
    let replayed = Command::new("python3")
        .arg(root().join("hosts/replay.py"))
        .arg(&wasm)
        .arg(file())
        .env("PYTHONPATH", &target)
        .output()?;
    if !replayed.status.success() {
        bail!("the replay in Python failed: {}", String::from_utf8_lossy(&replayed.stderr));
    }
    let report: Json = serde_json::from_slice(&replayed.stdout)?;
    let count = |name: &str| report[name].as_u64().and_then(|n| usize::try_from(n).ok());
    Ok(Outcome {
        run: count("run").unwrap_or(0),
        passed: count("passed").unwrap_or(0),
        differences: serde_json::from_value(report["differences"].clone())?,
        ..outcome(None)
    })
}
