//! `firn replay`: recorded calls of the engine, run again without store, network, clock or secrets.
#![allow(clippy::print_stderr)]

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use firn_model::{Change, Event, Integration, Settings};
use firn_runtime::{Core, DoorCall, Recorded, Runtime};

use serde_json::Value as Json;

use super::show::say;
use crate::document::Document;

#[derive(Args)]
pub(super) struct Replay {
    /// What `firn serve --record FILE` has written.
    recording: PathBuf,
    /// Use the settings of this file instead of those that were in force.
    #[arg(long)]
    settings: Option<PathBuf>,
    /// Only for this integration (its id or slug); with --settings needed if there are several.
    #[arg(long)]
    integration: Option<String>,
    /// Use this engine component instead of Firn's own.
    #[arg(long)]
    component: Option<PathBuf>,
}

pub(super) fn replay(given: &Replay) -> Result<ExitCode> {
    let runtime = match &given.component {
        Some(path) => {
            let wasm =
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            Runtime::with_component(&wasm, None).with_context(|| {
                format!("{} is no engine component that this firn can run", path.display())
            })?
        }
        None => Runtime::new(crate::cache().as_deref())?,
    };
    let settings = given.settings.as_deref().map(other_settings).transpose()?;
    let file = std::fs::File::open(&given.recording)
        .with_context(|| format!("cannot read {}", given.recording.display()))?;
    let (mut calls, mut differ) = (0_u64, 0_u64);
    let changed = std::cell::Cell::new(0_u64);
    for (i, line) in std::io::BufReader::new(file).lines().enumerate() {
        let place = || format!("{}:{}", given.recording.display(), i + 1);
        let line = line.with_context(place)?;
        let call: Recorded =
            serde_json::from_str(&line).with_context(|| format!("{} is no call", place()))?;
        calls += 1;
        let change = |door: &mut DoorCall| {
            if let Some(settings) = &settings {
                changed.set(changed.get() + put_in(door, settings, given.integration.as_deref()));
            }
        };
        let now = match firn_runtime::replay(&runtime, &call, change) {
            Ok(now) => now,
            Err(trap) => bail!("{}: the component traps: {trap}", place()),
        };
        let (before, after) = (call.deeds(), now.deeds());
        if before == after {
            continue;
        }
        differ += 1;
        say!("{} {}", place(), call.events.iter().map(told).collect::<Vec<_>>().join(", "));
        show(&before, &after);
    }
    if settings.is_some() && changed.get() == 0 {
        bail!("no call of the recording is of that integration; nothing was compared");
    }
    eprintln!("{calls} calls replayed, {differ} differ");
    Ok(if differ == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The settings of a file, completed from its preset by the core.
fn other_settings(path: &std::path::Path) -> Result<Settings> {
    let (document, unreadable) = Document::open(path)?;
    if let Some(why) = unreadable {
        bail!("{}", document.render_unreadable(&why, false));
    }
    match Core::new(crate::cache().as_deref())?.complete(&document.for_core().to_string())? {
        Ok(settings) => Ok(serde_json::from_str(&settings)?),
        Err(faults) => bail!("{}", document.render(&faults, false)),
    }
}

/// Puts other settings into the integrations that were read; says into how many.
fn put_in(door: &mut DoorCall, settings: &Settings, wanted: Option<&str>) -> u64 {
    let DoorCall::Get(_, Ok(rows)) = door else { return 0 };
    let mut changed = 0;
    for row in rows.iter_mut().flatten().filter(|r| r.key.path.starts_with("integration/")) {
        let Ok(mut integration) = serde_json::from_str::<Integration>(&row.value) else { continue };
        let meant = wanted.is_none_or(|w| integration.id.as_str() == w || integration.slug == w);
        if meant {
            // Whom Firn signs in as is the instance's, not the file's, unless the file says so.
            let external_user = integration.settings.external_user.clone();
            integration.settings = Settings { external_user, ..settings.clone() };
            row.value = serde_json::to_string(&integration).unwrap_or_default();
            changed += 1;
        }
    }
    changed
}

fn told(event: &Event) -> String {
    match event {
        Event::Inbound(inbound) => format!("{:?} for {}", inbound.kind, inbound.integration),
        Event::Operate { by, .. } => format!("a request of {by}"),
        Event::Due(key) => format!("{} is due", key.path),
        Event::Answer(answer) => format!("the answer to {}", answer.ticket),
    }
}

/// What was done then and would not be now, and the other way round. Of rows that both write it is
/// said where they differ, never by what values.
fn show(before: &[String], after: &[String]) {
    let (then, now) = (rows(before), rows(after));
    for (path, value) in &then {
        let mut places = Vec::new();
        if let Some(other) = now.get(path) {
            differences(value, other, "", &mut places);
        }
        for place in places {
            say!("  ~ {path}{place}");
        }
    }
    let only = |deeds: &[String], others: &[String]| -> Vec<String> {
        deeds.iter().filter(|d| !others.contains(d)).map(|d| short(d)).collect()
    };
    let (gone, new) = (only(before, after), only(after, before));
    for line in gone.iter().filter(|line| !new.contains(line)) {
        say!("  - {line}");
    }
    for line in new.iter().filter(|line| !gone.contains(line)) {
        say!("  + {line}");
    }
    // The same request, asked in another way.
    let mut now: Vec<&String> = after.iter().filter(|deed| !before.contains(deed)).collect();
    for deed in before.iter().filter(|deed| !after.contains(deed)) {
        let line = short(deed);
        let same = now.iter().position(|other| short(other) == line);
        if let Some(same) = same.filter(|_| line.starts_with("request")) {
            let mut places = Vec::new();
            differences(&request(deed), &request(now.remove(same)), "", &mut places);
            say!("  ~ {line} differs at {}", places.join(", "));
        }
    }
}

/// A request, with a body that is JSON taken apart.
fn request(deed: &str) -> Json {
    let mut request: Json = serde_json::from_str(deed).unwrap_or_default();
    let body = request.pointer("/body/json").and_then(Json::as_str);
    if let Some(body) = body.and_then(|body| serde_json::from_str::<Json>(body).ok()) {
        request["body"] = body;
    }
    request
}

/// The rows that commits leave behind, by their paths.
fn rows(deeds: &[String]) -> BTreeMap<String, Json> {
    let mut rows = BTreeMap::new();
    for deed in deeds {
        let commit: Vec<Change> = serde_json::from_str(deed).unwrap_or_default();
        for change in commit {
            let value = change.put.and_then(|put| serde_json::from_str(&put.value).ok());
            rows.insert(change.key.path, value.unwrap_or_default());
        }
    }
    rows
}

/// Where two values differ, as JSON pointers.
fn differences(a: &Json, b: &Json, at: &str, places: &mut Vec<String>) {
    match (a, b) {
        (Json::Object(a), Json::Object(b)) => {
            for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
                let (a, b) =
                    (a.get(name).unwrap_or(&Json::Null), b.get(name).unwrap_or(&Json::Null));
                differences(a, b, &format!("{at}/{name}"), places);
            }
        }
        _ if a != b => places.push(at.to_owned()),
        _ => {}
    }
}

/// A deed in a line: its kind and what it is about, without values of records.
fn short(deed: &str) -> String {
    let json: Json = serde_json::from_str(deed).unwrap_or_default();
    if let Some(changes) = json.as_array() {
        let keys: Vec<&str> =
            changes.iter().filter_map(|c| c.pointer("/key/path")?.as_str()).collect();
        return format!("commit of {} rows: {}", keys.len(), keys.join(", "));
    }
    if let Some(method) = json.get("method").and_then(|m| m.as_str()) {
        let body = request(deed)["body"].take();
        let names: Vec<String> =
            body.as_object().map(|o| o.keys().cloned().collect()).unwrap_or_default();
        return format!(
            "request {method} {} [{}]",
            json["path"].as_str().unwrap_or_default(),
            names.join(", ")
        );
    }
    let kind = json.as_object().and_then(|o| o.keys().next().cloned()).unwrap_or_default();
    let status = json.pointer("/reply/reply/status").map(ToString::to_string).unwrap_or_default();
    format!("{kind} {status}")
}
