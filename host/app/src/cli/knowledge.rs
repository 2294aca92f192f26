//! `firn knowledge search|show|export`.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::Format;
use super::show::{say, table};
use crate::client::{Client, is_not_found, segment};

#[derive(Subcommand)]
pub(super) enum Knowledge {
    /// Find cases that were solved before, by a question in whatever words.
    Search(Search),
    /// Show what was learnt from one ticket.
    Show {
        /// The summary's id, or its link's.
        summary: String,
        /// Its integration, if it is known: id, slug or exact name.
        #[arg(long)]
        integration: Option<String>,
        /// How.
        #[arg(long, default_value = "table")]
        format: Format,
    },
    /// Print everything that was learnt: one JSON object a line.
    Export {
        /// Of one integration only: id, slug or exact name.
        #[arg(long)]
        integration: Option<String>,
    },
}

#[derive(Args)]
pub(super) struct Search {
    /// The question.
    #[arg(required = true)]
    question: Vec<String>,
    /// Of one integration only: id, slug or exact name.
    #[arg(long)]
    integration: Option<String>,
    /// How many cases at most.
    #[arg(long, default_value_t = 5)]
    limit: usize,
    /// How.
    #[arg(long, default_value = "table")]
    format: Format,
}

pub(super) fn knowledge(client: &Client, command: Knowledge) -> Result<()> {
    match command {
        Knowledge::Search(given) => search(client, &given),
        Knowledge::Show { summary, integration, format } => {
            show(client, &summary, integration.as_deref(), format)
        }
        Knowledge::Export { integration } => export(client, integration.as_deref()),
    }
}

fn search(client: &Client, given: &Search) -> Result<()> {
    let mut asked =
        format!("/knowledge/search?q={}&limit={}", segment(&given.question.join(" ")), given.limit);
    if let Some(integration) = &given.integration {
        asked.push_str(&format!("&integration={}", segment(integration)));
    }
    let found = client.get(&asked)?;
    if let Format::Json = given.format {
        say!("{:#}", found["hits"]);
        return Ok(());
    }
    let rows: Vec<Json> = found["hits"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|hit| {
            let case = &hit["case"];
            json!({
                "score": format!("{:.1}", hit["score"].as_f64().unwrap_or_default()),
                "ticket": ticket(case), "asked": case["asked"], "solved": joined(&case["solved"]), "id": case["id"],
            })
        })
        .collect();
    table(&Json::Array(rows), &["score", "ticket", "asked", "solved", "id"], given.format);
    Ok(())
}

fn ticket(case: &Json) -> Json {
    let ticket = &case["ticket"];
    if ticket["number"].is_null() { ticket["sys_id"].clone() } else { ticket["number"].clone() }
}

fn joined(passages: &Json) -> String {
    let texts =
        passages.as_array().into_iter().flatten().filter_map(|passage| passage["text"].as_str());
    texts.collect::<Vec<_>>().join(" ")
}

/// The integrations that are meant: one, or all.
fn integrations(client: &Client, named: Option<&str>) -> Result<Vec<String>> {
    if let Some(named) = named {
        return Ok(vec![named.to_owned()]);
    }
    let all = client.get("/integrations")?;
    let ids =
        all["integrations"].as_array().into_iter().flatten().filter_map(|one| one["id"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

fn show(client: &Client, summary: &str, integration: Option<&str>, format: Format) -> Result<()> {
    for one in integrations(client, integration)? {
        let case = match client.get(&format!(
            "/integrations/{}/knowledge/{}",
            segment(&one),
            segment(summary)
        )) {
            Ok(case) => case,
            Err(why) if integration.is_none() && is_not_found(&why) => continue,
            Err(why) => return Err(why),
        };
        if let Format::Json = format {
            say!("{case:#}");
            return Ok(());
        }
        let text = |name: &str| case[name].as_str().unwrap_or_default().to_owned();
        let ticket = ticket(&case);
        say!("{} of {}, {}", text("type"), ticket.as_str().unwrap_or_default(), text("standing"));
        say!("\nAsked\n  {}", text("asked"));
        for (title, name) in [("Found", "found"), ("Solved", "solved")] {
            let passages = case[name].as_array().cloned().unwrap_or_default();
            if !passages.is_empty() {
                say!("\n{title}");
            }
            for passage in passages {
                say!(
                    "  {}  [{}]",
                    passage["text"].as_str().unwrap_or_default(),
                    source(&passage["source"])
                );
            }
        }
        say!("");
        for (title, name) in [("Tags", "tags"), ("Articles", "articles"), ("Tickets", "tickets")] {
            let all: Vec<&str> =
                case[name].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
            if !all.is_empty() {
                say!("{title}: {}", all.join(", "));
            }
        }
        let made = firn_model::Millis(case["made"].as_i64().unwrap_or_default());
        say!("Link: {}; made {}", text("link"), firn_model::rfc3339_text(made));
        return Ok(());
    }
    bail!("there is no summary {summary}; `firn knowledge search` shows their ids")
}

/// Where a passage stands.
fn source(source: &Json) -> String {
    if let Some(column) = source["column"].as_str() {
        return column.to_owned();
    }
    let origin = source["entry"].as_object().and_then(|origin| origin.iter().next());
    origin.map_or_else(String::new, |(side, id)| {
        format!("{side} entry {}", id.as_str().unwrap_or_default())
    })
}

fn export(client: &Client, integration: Option<&str>) -> Result<()> {
    for one in integrations(client, integration)? {
        let cases =
            client.listed(&format!("/integrations/{}/knowledge", segment(&one)), "cases")?;
        for case in cases.as_array().into_iter().flatten() {
            say!("{case}");
        }
    }
    Ok(())
}
