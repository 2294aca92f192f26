//! `firn explain`: why each value of a link is what it is, and what became of its entries and files.

use anyhow::{Result, bail};
use serde_json::{Value as Json, json};

use super::Format;
use super::show::{cell, say};
use crate::client::{Client, segment};

#[derive(clap::Args)]
pub(super) struct Explain {
    /// The link, the ticket's number, or the platform's record.
    what: String,
    /// One field; all if not given.
    field: Option<String>,
    /// The integration, if there are several.
    #[arg(long)]
    integration: Option<String>,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Finds a link by its id, its ticket's number or sys_id, or its platform's record.
fn find_link(client: &Client, what: &str, integration: Option<&str>) -> Result<(String, String)> {
    let integrations = match integration {
        Some(one) => vec![one.to_owned()],
        None => {
            let all = client.get("/integrations")?;
            let all = all["integrations"].as_array().cloned().unwrap_or_default();
            all.iter().map(|i| cell(&i["id"])).collect()
        }
    };
    let mut hits = Vec::new();
    for integration in integrations {
        let path = format!("/integrations/{}/links", segment(&integration));
        for link in client.listed(&path, "links")?.as_array().into_iter().flatten() {
            if ["id", "number", "sys_id", "platform_id"].iter().any(|name| link[*name] == what) {
                hits.push((integration.clone(), cell(&link["id"])));
            }
        }
    }
    match hits.as_slice() {
        [one] => Ok(one.clone()),
        [] => bail!("there is no link {what}; see: firn integration links NAME"),
        several => bail!(
            "{what} has {} links; name one of {} (or --integration)",
            several.len(),
            several.iter().map(|(_, link)| link.as_str()).collect::<Vec<_>>().join(", ")
        ),
    }
}

pub(super) fn explain(client: &Client, given: &Explain) -> Result<()> {
    let (integration, link) = find_link(client, &given.what, given.integration.as_deref())?;
    let path = format!("/integrations/{}/links/{}/explain", segment(&integration), segment(&link));
    let mut answer = client.get(&path)?;
    if let Some(field) = &given.field {
        let fields = answer["fields"].as_array().cloned().unwrap_or_default();
        let names: Vec<String> = fields.iter().map(|f| cell(&f["field"])).collect();
        let one: Vec<Json> = fields.into_iter().filter(|f| f["field"] == field.as_str()).collect();
        if one.is_empty() {
            bail!("there is no field {field}; mapped are: {}", names.join(", "));
        }
        answer["fields"] = Json::Array(one);
        answer["entries"] = json!([]);
        answer["attachments"] = json!([]);
        answer["rules"] = json!([]);
    }
    if let Format::Json = given.format {
        say!("{answer:#}");
        return Ok(());
    }
    say!(
        "{} ({}, {} {})",
        cell(&answer["link"]),
        cell(&answer["platform_id"]),
        cell(&answer["table"]),
        cell(&answer["number"])
    );
    if !answer["tombstone"].is_null() {
        let why = &answer["tombstone"]["why"];
        match (why["unlinked"]["by"].as_str(), why["declined"]["why"].as_str()) {
            (Some(by), _) => say!("  no longer kept in step: taken apart by {by}"),
            (_, Some(why)) => say!("  not kept in step: the rules do not want it ({why})"),
            _ => say!("  no longer kept in step: the {} record was deleted", cell(&why["gone"])),
        }
    }
    for said in answer["rules"].as_array().into_iter().flatten() {
        say!("  {}", cell(said));
    }
    for field in answer["fields"].as_array().into_iter().flatten() {
        say!("\n{}  (owner: {})", cell(&field["field"]), cell(&field["owner"]));
        for (name, label) in [("platform", "platform"), ("external", "servicenow")] {
            let seen = &field[name];
            if seen.is_null() {
                say!("  {label:<11} never seen");
            } else {
                say!("  {label:<11} {:?} since {}", cell(&seen["value"]), cell(&seen["since"]));
            }
        }
        say!("  {:<11} {}", "agreed on", cell(&field["base"]));
        if field["masked"] == true {
            say!("  {:<11} masked or cut on its way to ServiceNow", "text");
        }
        if !field["parked"].is_null() {
            say!("  {:<11} {}", "left alone", cell(&field["parked"]));
        }
        say!("  {:<11} {}", "next", cell(&field["next"]));
        for line in field["history"].as_array().into_iter().flatten() {
            say!("  {:<11} {}", "written", cell(line));
        }
    }
    let entries = answer["entries"].as_array().cloned().unwrap_or_default();
    if !entries.is_empty() {
        say!("\njournal");
        for entry in &entries {
            say!("  {}", cell(entry));
        }
    }
    let files = answer["attachments"].as_array().cloned().unwrap_or_default();
    if !files.is_empty() {
        say!("\nfiles");
        for file in &files {
            let size =
                file["size"].as_u64().map_or("size unknown".to_owned(), |n| format!("{n} bytes"));
            say!(
                "  {} ({size}, from {}): {}",
                cell(&file["name"]),
                cell(&file["side"]),
                fate(&file["fate"])
            );
        }
    }
    Ok(())
}

/// What became of a file, in words.
fn fate(fate: &Json) -> String {
    match fate.as_object().and_then(|fate| fate.keys().next()).map(String::as_str) {
        Some("there") => "on both sides".to_owned(),
        Some("sent") => "sent, and looked for: its answer was lost".to_owned(),
        None if fate == "stays" => "stays where it is".to_owned(),
        Some("left") => format!("stays where it is ({})", cell(&fate["left"])),
        _ => "waits".to_owned(),
    }
}
