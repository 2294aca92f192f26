//! Settings files on the command line: `firn check` and `firn integration apply`.
#![allow(clippy::print_stderr)]

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use firn_model::{Fault, Level};
use firn_remote::{Addresses, Egress, Reader};
use firn_runtime::{Core, Question, Reply};
use serde_json::{Value as Json, json};
use similar::{ChangeTag, TextDiff};

use super::show::{cell, confirm, say};
use crate::api::Given;
use crate::client::Client;
use crate::document::{Document, written};

#[derive(Args)]
pub(super) struct Check {
    /// The settings file (TOML), or a gateway's document (.json).
    file: PathBuf,
    /// Also ask the instance, with the file's base_url and credentials: tables, columns, choices,
    /// mandatory columns, rights. Nothing is written there.
    #[arg(long)]
    instance: bool,
    #[command(flatten)]
    egress: super::Egress,
}

#[derive(Args)]
pub(super) struct Apply {
    /// The settings file (TOML).
    file: PathBuf,
    /// Only show what would change.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask. (Only a person at a terminal is asked.)
    #[arg(long)]
    yes: bool,
}

/// Prints the faults of a file; says whether it is sound.
pub(super) fn faults(document: &Document, faults: &[Fault]) -> bool {
    if !faults.is_empty() {
        eprintln!("{}\n", document.render(faults, std::io::stderr().is_terminal()));
    }
    let of = |level| faults.iter().filter(|f| f.level == level).count();
    match (of(Level::Error), of(Level::Warning)) {
        (0, 0) => {}
        (errors, warnings) => {
            let s = |n: usize| if n == 1 { "" } else { "s" };
            eprintln!("{errors} error{}, {warnings} warning{}", s(errors), s(warnings));
        }
    }
    of(Level::Error) == 0
}

/// Reads and checks a file; `None` if it is not sound (and said so).
fn sound(file: &std::path::Path) -> Result<Option<Document>> {
    let (document, unreadable) = Document::open(file)?;
    if let Some(why) = unreadable {
        eprintln!("{}", document.render_unreadable(&why, std::io::stderr().is_terminal()));
        return Ok(None);
    }
    let found = document.check(crate::cache().as_deref())?;
    Ok(faults(&document, &found).then_some(document))
}

/// A gateway's document with its secrets of the environment, as far as they are here; any will do for the others.
fn filled(text: &str) -> Option<String> {
    let mut document: Json = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?;
    for route in document.get_mut("routes")?.as_array_mut()? {
        let secrets = route.get_mut("secrets").and_then(Json::as_array_mut);
        for secret in secrets.into_iter().flatten() {
            let name = secret.as_str().and_then(|secret| secret.strip_prefix("env:"));
            if let Some(name) = name.filter(|name| !name.trim().is_empty()) {
                *secret = std::env::var(name).unwrap_or_else(|_| "-".to_owned()).into();
            }
        }
    }
    Some(document.to_string())
}

/// Checks a gateway's document.
fn check_gateway(file: &std::path::Path) -> Result<ExitCode> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut core = Core::new(crate::cache().as_deref())?;
    let mut faults = core.check_gateway(&text)?;
    if let Some(document) = filled(&text) {
        // A key that stands there twice is a fault of the text, and gone once it is read.
        faults.retain(|fault| fault.at.is_empty());
        faults.extend(core.check_gateway(&document)?);
    }
    for fault in &faults {
        let at = if fault.at.is_empty() { String::new() } else { format!("{}: ", fault.at) };
        let level = if fault.level == Level::Error { "error" } else { "warning" };
        eprintln!("{level}: {}: {at}{}\n  {}", file.display(), fault.text, fault.remedy);
    }
    if faults.iter().any(|fault| fault.level == Level::Error) {
        return Ok(ExitCode::FAILURE);
    }
    eprintln!("{} is sound, as a gateway's document", file.display());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn check(given: &Check) -> Result<ExitCode> {
    if given.file.extension().is_some_and(|extension| extension == "json") {
        if given.instance {
            bail!("a gateway's document has no instance to ask");
        }
        return check_gateway(&given.file);
    }
    let Some(document) = sound(&given.file)? else { return Ok(ExitCode::FAILURE) };
    let file = given.file.display();
    if !given.instance {
        eprintln!("{file} is sound");
        return Ok(ExitCode::SUCCESS);
    }
    let found =
        tokio::runtime::Runtime::new()?.block_on(judged(&document, &given.egress.read()?))?;
    if !faults(&document, &found) {
        return Ok(ExitCode::FAILURE);
    }
    let base = cell(&document.json["base_url"]);
    eprintln!("{file} is sound, and {base} has what it needs");
    Ok(ExitCode::SUCCESS)
}

/// The faults of sound settings in the light of what their instance says.
async fn judged(document: &Document, egress: &Egress) -> Result<Vec<Fault>> {
    let base = firn_model::instance_address(document.json["base_url"].as_str().unwrap_or_default());
    let base = base.as_str();
    let given: Option<Given> = serde_json::from_value(document.json["credentials"].clone()).ok();
    let Some(given) = given.filter(|_| !base.is_empty()) else {
        bail!("to ask the instance the file needs base_url and [credentials]");
    };
    let (credentials, admin) = given.signs_in().map_err(|why| anyhow!("credentials: {why}"))?;
    // Whoever runs this has named the host: it may be one of their own network, if it speaks https.
    let host = base.strip_prefix("https://").and_then(|rest| rest.split(['/', ':']).next());
    let hosts = host.map(str::to_owned).into_iter().collect();
    let addresses = Addresses { loopback: true, hosts };
    let reader = |credentials| {
        Reader::new(Addresses::clone(&addresses), egress, base, credentials)
            .map_err(|e| anyhow!("{base}: {e}"))
    };
    let user = reader(credentials)?;
    // The dictionary is an administrator's to read, if the file names one.
    let admin = admin.map(reader).transpose()?;
    let mut core = Core::new(crate::cache().as_deref())?;
    let text = document.for_core().to_string();
    let questions = match core.questions(&text)? {
        Ok(questions) => questions,
        Err(faults) => return Ok(faults),
    };
    let mut replies = Vec::new();
    for Question { name, table, query, fields, limit } in questions {
        let reader = admin.as_ref().filter(|_| table == "sys_dictionary").unwrap_or(&user);
        let asked = reader.rows(&table, &query, &fields, limit).await;
        let (status, rows) = match asked {
            Ok(rows) => (rows.status, rows.result),
            Err(why) => {
                eprintln!("{table}: {why}");
                (0, Json::Null)
            }
        };
        replies.push(Reply { name, status, rows: rows.to_string() });
        // A sign-in that is not accepted must not be tried again and again: the account could be
        // locked. An instance that does not answer will not answer the rest either.
        if matches!(status, 0 | 401) {
            break;
        }
    }
    Ok(core.judge(&text, &replies)?)
}

pub(super) fn apply(client: &Client, given: &Apply) -> Result<ExitCode> {
    let Some(document) = sound(&given.file)? else { return Ok(ExitCode::FAILURE) };
    let body = |intent: &str| json!({ "document": document.json, "intent": intent });
    let looked = client.post("/apply", &body("look"))?;
    let status = looked["status"].as_str().unwrap_or_default();
    let secrets = ["credentials", "callback_secret", "webhook_secret", "model_key"];
    let secrets: Vec<&str> =
        secrets.into_iter().filter(|key| document.json.get(*key).is_some()).collect();
    if status == "unchanged" && !secrets.is_empty() && !given.dry_run {
        client.post("/apply", &body("act"))?;
        eprintln!(
            "{} is as the file says already; {} taken over from it",
            cell(&looked["after"]["slug"]),
            secrets.join(", ")
        );
        return Ok(ExitCode::SUCCESS);
    }
    if status == "unchanged" {
        eprintln!("{} is as the file says already", cell(&looked["after"]["slug"]));
        return Ok(ExitCode::SUCCESS);
    }
    diff(&looked["before"], &looked["after"]);
    if given.dry_run {
        eprintln!("nothing was changed (--dry-run)");
        return Ok(ExitCode::SUCCESS);
    }
    // A script has said what it wants by calling; a person is asked.
    if !given.yes && std::io::stdin().is_terminal() {
        confirm(&format!("apply this to {}?", cell(&looked["after"]["slug"])))?;
    }
    let mut act = body("act");
    if let Some(version) = looked["before"]["version"].as_u64() {
        act["seen"] = json!(version);
    }
    let done = client.post("/apply", &act)?;
    let slug = cell(&done["after"]["slug"]);
    eprintln!(
        "{slug} is {} (version {}); next:",
        cell(&done["status"]),
        cell(&done["after"]["version"])
    );
    eprintln!("  firn integration provision {slug} --check    what the instance needs for it");
    eprintln!("  firn integration reconcile {slug} --dry-run  what would change of what is there");
    Ok(ExitCode::SUCCESS)
}

/// What changes, as a difference of the two settings written out.
pub(super) fn diff(before: &Json, after: &Json) {
    let (before, after) = (written(before), written(after));
    let coloured = std::io::stdout().is_terminal();
    for hunk in TextDiff::from_lines(&before, &after).unified_diff().context_radius(2).iter_hunks()
    {
        for change in hunk.iter_changes() {
            let (sign, colour) = match change.tag() {
                ChangeTag::Delete => ("-", "\u{1b}[31m"),
                ChangeTag::Insert => ("+", "\u{1b}[32m"),
                ChangeTag::Equal => (" ", ""),
            };
            let line = change.value().trim_end_matches('\n');
            if coloured && !colour.is_empty() {
                say!("{colour}{sign} {line}\u{1b}[0m");
            } else {
                say!("{sign} {line}");
            }
        }
        say!("");
    }
}
