//! Settings files on the command line: `firn check` and `firn integration apply`.
#![allow(clippy::print_stderr)]

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use firn_model::{Fault, Level};
use serde_json::{Value as Json, json};
use similar::{ChangeTag, TextDiff};

use super::operate::{cell, confirm};
use crate::client::Client;
use crate::document::Document;

#[derive(Args)]
pub(super) struct Check {
    /// The settings file (TOML).
    file: PathBuf,
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
fn faults(document: &Document, faults: &[Fault]) -> bool {
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
    let found = document.check()?;
    Ok(faults(&document, &found).then_some(document))
}

pub(super) fn check(given: &Check) -> Result<ExitCode> {
    Ok(match sound(&given.file)? {
        Some(_) => {
            eprintln!("{} is sound", given.file.display());
            ExitCode::SUCCESS
        }
        None => ExitCode::FAILURE,
    })
}

pub(super) fn apply(client: &Client, given: &Apply) -> Result<ExitCode> {
    let Some(document) = sound(&given.file)? else { return Ok(ExitCode::FAILURE) };
    let body = |intent: &str| json!({ "document": document.json, "intent": intent });
    let looked = client.post("/apply", &body("look"))?;
    let status = looked["status"].as_str().unwrap_or_default();
    let secrets = ["credentials", "callback_secret", "webhook_secret"];
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
    let done = client.post("/apply", &body("act"))?;
    eprintln!(
        "{} is {} (version {}); the next reconcile brings what is there into line: firn integration reconcile {} --dry-run",
        cell(&done["after"]["slug"]),
        cell(&done["status"]),
        cell(&done["after"]["version"]),
        cell(&done["after"]["slug"]),
    );
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
                super::operate::say(&format!("{colour}{sign} {line}\u{1b}[0m"));
            } else {
                super::operate::say(&format!("{sign} {line}"));
            }
        }
        super::operate::say("");
    }
}

/// An integration as TOML; what is not set is left out.
fn written(integration: &Json) -> String {
    fn plain(value: &Json) -> Option<toml::Value> {
        Some(match value {
            Json::Null => return None,
            Json::Bool(b) => toml::Value::Boolean(*b),
            Json::Number(n) => toml::Value::Integer(n.as_i64()?),
            Json::String(s) => toml::Value::String(s.clone()),
            Json::Array(items) => toml::Value::Array(items.iter().filter_map(plain).collect()),
            Json::Object(map) => toml::Value::Table(
                map.iter().filter_map(|(k, v)| Some((k.clone(), plain(v)?))).collect(),
            ),
        })
    }
    let mut shown = integration.clone();
    if let Json::Object(map) = &mut shown {
        map.remove("version");
    }
    plain(&shown).and_then(|t| toml::to_string_pretty(&t).ok()).unwrap_or_default()
}
