//! `firn integration findings`, `findings-dismiss`.

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value as Json, json};

use super::dead::ago;
use super::operate::path;
use super::show::{say, table};
use super::{Format, Named, One};
use crate::client::Client;

#[derive(Args)]
pub(super) struct Dismiss {
    #[command(flatten)]
    one: One,
    /// The finding, by its id.
    #[arg(conflicts_with_all = ["kind", "link", "older_than", "all"])]
    finding: Option<String>,
    /// Those of a kind.
    #[arg(long)]
    kind: Option<String>,
    /// Those of a link.
    #[arg(long)]
    link: Option<String>,
    /// Those that were found last longer ago than this: 30m, 2h, 1d.
    #[arg(long)]
    older_than: Option<String>,
    /// Every finding of the integration.
    #[arg(long)]
    all: bool,
}

pub(super) fn list(client: &Client, named: &Named) -> Result<()> {
    let mut findings = client.listed(&format!("{}/findings", path(&named.one)), "findings")?;
    if let Format::Table = named.listing.format {
        for finding in findings.as_array_mut().into_iter().flatten() {
            let at = finding["at"].as_i64().unwrap_or_default();
            finding["at"] = json!(firn_model::rfc3339_text(firn_model::Millis(at)));
        }
    }
    table(&findings, &["id", "at", "kind", "link", "field", "text"], named.listing.format);
    Ok(())
}

pub(super) fn dismiss(client: &Client, given: &Dismiss) -> Result<()> {
    let Dismiss { one, finding, kind, link, older_than, all } = given;
    let mut filter: serde_json::Map<String, Json> =
        [("id", finding), ("kind", kind), ("link", link)]
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))))
            .collect();
    if let Some(text) = older_than {
        filter.insert("before".to_owned(), json!(ago(text)?));
    }
    // Nobody means all of them by leaving everything out.
    if filter.is_empty() && !all {
        bail!("name a finding, or say which: --kind, --link, --older-than, or --all");
    }
    filter.insert("all".to_owned(), json!(all));
    let address = format!("{}/findings/dismiss", path(one));
    let mut dismissed = 0;
    loop {
        let answer = client.post(&address, &Json::Object(filter.clone()))?;
        let now = answer["dismissed"].as_u64().unwrap_or_default();
        dismissed += now;
        if now == 0 || answer["left"].as_u64().unwrap_or_default() == 0 {
            break;
        }
    }
    match dismissed {
        1 => say!("1 finding is dismissed; it is told again if it is found again"),
        n => say!("{n} findings are dismissed; what is found again is told again"),
    }
    Ok(())
}
