//! `firn integration reconcile`: a run and what it found, earlier runs, and those to come.

#![allow(clippy::print_stderr)] // How far a run has come.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::show::{cell, say, shape, table};
use super::{Format, One, Reconcile, ReconcileHistory};
use crate::client::{Client, segment};

pub(super) fn reconcile(client: &Client, given: Reconcile) -> Result<()> {
    if let Some(more) = given.history {
        return runs(client, more);
    }
    let integration =
        given.integration.context("name the integration: firn integration reconcile NAME")?;
    let path = format!("/integrations/{}/reconcile", segment(&integration));
    let mode = if given.auto_heal { "auto-heal" } else { "dry-run" };
    let mut run = client.post(&path, &json!({ "mode": mode }))?;
    let id = run["id"].as_str().unwrap_or_default().to_owned();
    let watched = std::io::stderr().is_terminal();
    let (began, mut told) = (Instant::now(), false);
    while run["state"] == "running" || run["state"] == "healing" {
        if watched {
            eprint!("\r{} of {} links looked at", cell(&run["checked"]), cell(&run["links"]));
        }
        if !told && began.elapsed() > Duration::from_secs(10) {
            told = true;
            eprintln!(
                "\nfirn: run {id} goes on, also if this ends; firn integration reconcile stop {integration} {id} ends it; see: firn integration sync-status {integration}"
            );
        }
        std::thread::sleep(Duration::from_millis(200));
        run = client.get(&format!("{path}/{id}"))?;
    }
    if watched {
        eprint!("\r\u{1b}[K");
    }
    if let Format::Json = given.listing.format {
        say!("{run:#}");
        return match run["failed"].as_u64().unwrap_or(0) {
            0 => Ok(()),
            _ => bail!("not every link could be looked at"),
        };
    }
    say!(
        "{mode}: {} links checked, {} drifted, {} could not be looked at",
        cell(&run["checked"]),
        cell(&run["drifted"]),
        cell(&run["failed"])
    );
    if run["not_verifiable"].as_u64().unwrap_or(0) > 0 {
        say!(
            "{} not verifiable: their platform cannot be read (no read_url), only ServiceNow was looked at",
            cell(&run["not_verifiable"])
        );
    }
    if run["left"].as_u64().unwrap_or(0) > 0 {
        say!(
            "{} are being mended, {} are left for the next run (reconcile.most)",
            cell(&run["healed"]),
            cell(&run["left"])
        );
    }
    if run["state"] == "stopped" {
        say!("{id} was stopped");
    }
    if run["state"] == "asks" {
        say!(
            "so many drifted that nothing is mended unasked (reconcile.ask_above); to go on: firn integration reconcile confirm {integration} {id}"
        );
    }
    for drift in run["drifts"].as_array().into_iter().flatten() {
        say!("{} {}", cell(&drift["number"]), cell(&drift["link"]));
        for field in drift["fields"].as_array().into_iter().flatten() {
            say!("  {}", cell(&field["field"]));
            say!("    platform   {}", shape(&field["platform"]));
            say!("    servicenow {}", shape(&field["external"]));
            say!("    agreed on  {}", shape(&field["base"]));
            say!("    {}", cell(&field["verdict"]));
        }
        if drift["entries"].as_u64().unwrap_or(0) > 0 {
            say!("  {} journal entries had not been seen", cell(&drift["entries"]));
        }
        if let Some(why) = drift["state"].get("failed") {
            say!("  could not be looked at: {}", cell(why));
        }
    }
    if run["failed"].as_u64().unwrap_or(0) > 0 {
        bail!("not every link could be looked at");
    }
    Ok(())
}

/// Earlier runs, and those to come.
fn runs(client: &Client, given: ReconcileHistory) -> Result<()> {
    let path = |one: &One| format!("/integrations/{}/reconcile", segment(&one.integration));
    match given {
        ReconcileHistory::History(named) => {
            table(
                &client.listed(&path(&named.one), "runs")?,
                &["id", "by", "mode", "state", "links", "checked", "drifted", "healed", "failed"],
                named.listing.format,
            );
        }
        ReconcileHistory::Schedule { one, every, auto_heal, off } => {
            let path = format!("{}/schedule", path(&one));
            let known = client.get(&path)?["schedule"].clone();
            let schedule = match (every, off) {
                (Some(every), _) => {
                    let body =
                        json!({ "interval": every, "auto_heal": auto_heal, "enabled": true });
                    client.post(&path, &body)?
                }
                (None, true) => {
                    let body = json!({ "interval": "1h", "enabled": false });
                    client.post(&path, &body)?
                }
                (None, false) => known,
            };
            match schedule["next"].as_i64() {
                Some(next) if schedule["enabled"] == true => say!(
                    "the next run ({}) begins at {}",
                    cell(&schedule["mode"]),
                    firn_model::rfc3339_text(firn_model::Millis(next))
                ),
                _ => say!("no run begins by itself; let one with --every 1h"),
            }
        }
        ReconcileHistory::Stop(of) => {
            client.post(&format!("{}/{}/stop", path(&of.one), segment(&of.run)), &json!({}))?;
            say!("{} is stopped", of.run);
        }
        ReconcileHistory::Confirm(of) => {
            client.post(&format!("{}/{}/confirm", path(&of.one), segment(&of.run)), &json!({}))?;
            say!("{} goes on", of.run);
        }
    }
    Ok(())
}
