//! `firn integration dlq`, `dlq-show`, `dlq-retry`, `dlq-discard`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use clap::Args;
use firn_model::Millis;
use serde_json::{Value as Json, json};

use super::operate::path;
use super::show::{cell, confirm, say, table};
use super::{Format, Listing};
use crate::client::{Client, segment};

/// Which dead letters are meant.
#[derive(Args, Default)]
pub(super) struct Which {
    /// Those of a side.
    #[arg(long, value_parser = ["platform", "external"])]
    side: Option<String>,
    /// Those that would do this.
    #[arg(long, value_parser = ["create", "update", "comment", "close-duplicate"])]
    work: Option<String>,
    /// Those that would change this field.
    #[arg(long)]
    field: Option<String>,
    /// Those whose reason contains this text.
    #[arg(long)]
    reason: Option<String>,
    /// Those of a link.
    #[arg(long)]
    link: Option<String>,
    /// Those that were refused longer ago than this: 30m, 2h, 1d.
    #[arg(long)]
    older_than: Option<String>,
}

impl Which {
    /// As the API has it; empty if none is meant in particular.
    fn filter(&self) -> Result<serde_json::Map<String, Json>> {
        let Which { side, work, field, reason, link, older_than } = self;
        let mut filter: serde_json::Map<String, Json> =
            [("side", side), ("work", work), ("field", field), ("reason", reason), ("link", link)]
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))))
                .collect();
        if let Some(text) = older_than {
            filter.insert("before".to_owned(), json!(ago(text)?));
        }
        Ok(filter)
    }
}

/// The instant that long ago.
pub(super) fn ago(text: &str) -> Result<Millis> {
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let span: jiff::Span =
        text.parse().with_context(|| format!("{text:?} is no time: write 30m, 2h or 1d"))?;
    let length = span.to_duration(days)?;
    Ok(Millis(jiff::Timestamp::now().checked_sub(length)?.as_millisecond()))
}

#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    one: super::One,
    #[command(flatten)]
    which: Which,
    /// Also those that were retried or discarded, for 30 days.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Args)]
pub(super) struct Show {
    #[command(flatten)]
    one: super::One,
    /// The dead letter.
    entry: String,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Args)]
pub(super) struct Several {
    #[command(flatten)]
    one: super::One,
    /// The dead letter.
    #[arg(conflicts_with = "Which")]
    entry: Option<String>,
    /// Every dead letter of the integration.
    #[arg(long, conflicts_with = "entry")]
    all: bool,
    #[command(flatten)]
    which: Which,
}

#[derive(Args)]
pub(super) struct Discard {
    #[command(flatten)]
    several: Several,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) fn list(client: &Client, given: &List) -> Result<()> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if given.all {
        query.append_pair("all", "true");
    }
    for (name, value) in given.which.filter()? {
        query.append_pair(&name, &cell(&value));
    }
    let entries =
        client.listed(&format!("{}/dlq?{}", path(&given.one), query.finish()), "entries")?;
    let columns = ["id", "link", "side", "work", "fields", "reason"];
    let with_state = ["id", "state", "link", "side", "work", "fields", "reason"];
    let columns: &[&str] = if given.all { &with_state } else { &columns };
    table(&entries, columns, given.listing.format);
    Ok(())
}

pub(super) fn show(client: &Client, given: &Show) -> Result<()> {
    let letter = client.get(&format!("{}/dlq/{}", path(&given.one), segment(&given.entry)))?;
    if let Format::Json = given.listing.format {
        say!("{letter:#}");
        return Ok(());
    }
    for name in ["id", "state", "link", "platform_id", "number", "side", "work", "reason", "key"] {
        if !letter[name].is_null() {
            say!("{:<12} {}", name.replace('_', " "), cell(&letter[name]));
        }
    }
    say!("\nwould write");
    for (name, value) in letter["writes"].as_object().into_iter().flatten() {
        let parts = value.as_object().map(|parts| {
            let parts = parts.iter().map(|(name, value)| format!("{name} = {}", cell(value)));
            parts.collect::<Vec<_>>().join(", ")
        });
        say!("  {:<20} {}", name, parts.unwrap_or_else(|| cell(value)));
    }
    say!("\nso far");
    for event in letter["history"].as_array().into_iter().flatten() {
        let at = event["at"].as_i64().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        let at = at.map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default();
        for (what, detail) in event["what"].as_object().into_iter().flatten() {
            let by = if what == "refused" { "" } else { "by " };
            say!("  {at}  {what} {by}{}", cell(detail));
        }
    }
    Ok(())
}

pub(super) fn retry(client: &Client, given: &Several) -> Result<()> {
    match &given.entry {
        Some(entry) => {
            let address = format!("{}/dlq/{}/retry", path(&given.one), segment(entry));
            client.post(&address, &json!({}))?;
            say!("{entry} is tried again");
        }
        None => {
            let n = all(client, given, "retry")?;
            say!("{n} are tried again");
        }
    }
    Ok(())
}

pub(super) fn discard(client: &Client, given: &Discard) -> Result<()> {
    let Discard { several, yes } = given;
    match &several.entry {
        Some(entry) => {
            let address = format!("{}/dlq/{}/discard", path(&several.one), segment(entry));
            client.post(&address, &json!({}))?;
            say!("{entry} is discarded");
        }
        None => {
            meant(several)?;
            if !yes {
                let n = count(client, several)?;
                confirm(&format!("throw {n} dead letters of {} away?", several.one.integration))?;
            }
            let n = all(client, several, "discard")?;
            say!("{n} are discarded");
        }
    }
    Ok(())
}

/// Nobody means all of them by leaving everything out.
fn meant(given: &Several) -> Result<serde_json::Map<String, Json>> {
    let filter = given.which.filter()?;
    if filter.is_empty() && !given.all {
        bail!(
            "name a dead letter, or say which: --reason, --field, --work, --side, --link, --older-than, or --all"
        );
    }
    Ok(filter)
}

/// How many are meant.
fn count(client: &Client, given: &Several) -> Result<usize> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in meant(given)? {
        query.append_pair(&name, &cell(&value));
    }
    let entries =
        client.listed(&format!("{}/dlq?{}", path(&given.one), query.finish()), "entries")?;
    Ok(entries.as_array().map_or(0, Vec::len))
}

/// Does it to all that are meant, a number of them at a time. What is refused again at once is not
/// tried a second time.
fn all(client: &Client, given: &Several, what: &str) -> Result<usize> {
    let mut filter = meant(given)?;
    filter.insert("all".to_owned(), json!(given.all));
    let address = format!("{}/dlq/{what}", path(&given.one));
    let mut done = BTreeSet::new();
    loop {
        let answer = client.post(&address, &Json::Object(filter.clone()))?;
        let before = done.len();
        done.extend(answer["ids"].as_array().into_iter().flatten().map(ToString::to_string));
        if done.len() == before || answer["left"].as_u64().unwrap_or_default() == 0 {
            return Ok(done.len());
        }
    }
}
