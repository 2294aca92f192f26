//! Commands about an integration's instance: provision, unprovision, test.
#![allow(clippy::print_stderr)]

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use super::show::{cell, confirm, say, table};
use super::{Format, Listing, One};
use crate::client::{Client, segment};

#[derive(Args)]
pub(super) struct Provision {
    #[command(flatten)]
    one: One,
    /// Only show what would be done. Exit 1 if anything differs from how it should be.
    #[arg(long)]
    check: bool,
    /// Write the artifacts down instead, for an administrator who installs them by hand. The webhook
    /// key is in it.
    #[arg(long, conflicts_with = "check")]
    export: Option<Export>,
    /// Where to write them [default: stdout].
    #[arg(long, requires = "export")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Export {
    /// An update set (XML), to be imported under Retrieved Update Sets.
    UpdateSet,
    /// Instructions (Markdown), to copy and paste from.
    Instructions,
}

#[derive(Args)]
pub(super) struct Unprovision {
    #[command(flatten)]
    one: One,
    /// Remove what another integration left on the instance, by its id; see `provision --check`.
    #[arg(long)]
    orphan: Option<String>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

#[derive(Args)]
pub(super) struct Test {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    listing: Listing,
}

fn path(one: &One) -> String {
    format!("/integrations/{}", segment(&one.integration))
}

pub(super) fn provision(client: &Client, given: &Provision) -> Result<ExitCode> {
    let at = path(&given.one);
    if let Some(export) = given.export {
        let format = match export {
            Export::UpdateSet => "update-set",
            Export::Instructions => "instructions",
        };
        let text = client.text(&format!("{at}/provision/export?format={format}"))?;
        write(given.output.as_deref(), &text)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !given.check {
        let answer = client.post(&format!("{at}/provision"), &json!({}))?;
        table(&answer["artifacts"], &["table", "name", "outcome"], Format::Table);
        return Ok(ExitCode::SUCCESS);
    }
    let mut answer = client.get(&format!("{at}/provision"))?;
    for artifact in answer["artifacts"].as_array_mut().into_iter().flatten() {
        let differs: Vec<String> =
            artifact["differs"].as_array().into_iter().flatten().map(cell).collect();
        artifact["differs"] = json!(differs.join(", "));
    }
    table(&answer["artifacts"], &["table", "name", "outcome", "differs"], Format::Table);
    let strangers = answer["strangers"].as_array().cloned().unwrap_or_default();
    if !strangers.is_empty() {
        say!(
            "\nOf integrations that this Firn does not know (another Firn's, or left behind by one that is gone):",
        );
        table(&Json::Array(strangers), &["integration", "table", "name"], Format::Table);
        say!(
            "Remove them with: firn integration unprovision {} --orphan INTEGRATION",
            given.one.integration
        );
    }
    if answer["in_step"] == true {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "firn: the instance is not as it should be; run: firn integration provision {}",
        given.one.integration
    );
    Ok(ExitCode::FAILURE)
}

/// Writes a text with a secret in it: to a new file that only its owner reads, or to stdout.
fn write(to: Option<&Path>, text: &str) -> Result<()> {
    let Some(to) = to else {
        std::io::stdout().write_all(text.as_bytes()).context("cannot write to stdout")?;
        return Ok(());
    };
    let failed = || format!("cannot write {}", to.display());
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .with_context(failed)?;
    file.write_all(text.as_bytes()).with_context(failed)?;
    eprintln!("{} is written; the webhook key is in it", to.display());
    Ok(())
}

pub(super) fn unprovision(client: &Client, given: &Unprovision) -> Result<()> {
    if let Some(orphan) = &given.orphan
        && !given.yes
    {
        confirm(&format!("remove what {orphan} left on the instance? Another Firn may use it"))?;
    }
    let body = json!({ "orphan": given.orphan });
    let answer = client.post(&format!("{}/unprovision", path(&given.one)), &body)?;
    let removed = &answer["artifacts"];
    if removed.as_array().is_none_or(Vec::is_empty) {
        say!("there was nothing to remove");
    } else {
        table(removed, &["table", "name", "outcome"], Format::Table);
    }
    Ok(())
}

/// Prints a report of the doctor. Fails if anything is broken.
pub(super) fn test(client: &Client, given: &Test) -> Result<ExitCode> {
    let report = client.post(&format!("{}/test", path(&given.one)), &json!({}))?;
    let Some(checks) = report["checks"].as_array() else { bail!("the server sent no report") };
    if let Format::Json = given.listing.format {
        say!("{report:#}");
    } else {
        for check in checks {
            let mark = match check["verdict"].as_str() {
                Some("good") => "ok  ",
                Some("note") => "note",
                Some("skipped") => "skip",
                _ => "FAIL",
            };
            say!("{mark}  {:<34} {}", cell(&check["name"]), cell(&check["detail"]));
            if let Some(remedy) = check["remedy"].as_str() {
                say!("      {:<34} -> {remedy}", "");
            }
        }
    }
    Ok(if report["ok"] == true { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
