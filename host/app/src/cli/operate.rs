//! What an operator does: the commands that are clients of the API.
#![allow(clippy::print_stderr)]

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value as Json, json};

use super::reconcile::reconcile;
use super::show::{cell, confirm, say, table};
use super::{
    Configure, Conflict, Connect, FieldOwnership, Format, Integration, Links, One, dead, findings,
};
use crate::client::{Client, segment};

pub(super) fn integration(client: &Client, command: Integration) -> Result<ExitCode> {
    let at = path;
    match command {
        Integration::Configure(given) => configure(client, *given)?,
        Integration::List(listing) => {
            let mut answer = client.get("/integrations")?;
            for one in answer["integrations"].as_array_mut().into_iter().flatten() {
                one["environment"] = one["settings"]["environment"].clone();
            }
            table(
                &answer["integrations"],
                &["id", "slug", "name", "tenant", "environment", "base_url", "enabled"],
                listing.format,
            );
        }
        Integration::Apply(given) => return super::settings::apply(client, &given),
        Integration::Versions(named) => {
            let mut versions =
                client.listed(&format!("{}/versions", at(&named.one)), "versions")?;
            versions = timed(versions, &["at"]);
            table(&versions, &["version", "at", "by"], named.listing.format);
        }
        Integration::Rollback { one, version } => {
            let answer =
                client.post(&format!("{}/versions/{version}/restore", at(&one)), &json!({}))?;
            super::settings::diff(&answer["before"], &answer["after"]);
            say!(
                "{} is {} (version {})",
                one.integration,
                cell(&answer["status"]),
                cell(&answer["after"]["version"])
            );
        }
        Integration::Get(one) => say!("{:#}", client.get(&at(&one))?),
        Integration::Delete { one, no_unprovision, yes } => {
            if !yes {
                confirm(&format!(
                    "delete {} with its secrets and what it installed?",
                    one.integration
                ))?;
            }
            let keep = if no_unprovision { "?provisioned=keep" } else { "" };
            client.call(reqwest::Method::DELETE, &format!("{}{keep}", at(&one)), None)?;
            say!("{} is deleted", one.integration);
        }
        Integration::Pause(one) => enable(client, &one, false)?,
        Integration::Resume(one) => enable(client, &one, true)?,
        Integration::Poll(one) => {
            let answer = client.post(&format!("{}/poll", at(&one)), &json!({}))?;
            let tables: Vec<&str> = answer["tables"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Json::as_str)
                .collect();
            match tables.as_slice() {
                [] => say!(
                    "{} is not polled: its settings say polling.mode = \"off\"",
                    one.integration
                ),
                tables if answer["status"] == "paused" => {
                    say!(
                        "{} is paused: {} are asked when it is resumed",
                        one.integration,
                        tables.join(", ")
                    );
                }
                tables => say!("{} are asked for what is new", tables.join(", ")),
            }
        }
        Integration::Provision(given) => return super::instance::provision(client, &given),
        Integration::Unprovision(given) => super::instance::unprovision(client, &given)?,
        Integration::Test(given) => return super::instance::test(client, &given),
        Integration::Connect(given) => connect(client, &given)?,
        Integration::SyncStatus(named) => {
            let answer = client.get(&format!("{}/sync-status", at(&named.one)))?;
            if let Format::Json = named.listing.format {
                say!("{answer:#}");
                return Ok(ExitCode::SUCCESS);
            }
            for (name, value) in answer.as_object().into_iter().flatten() {
                if name != "polling" {
                    say!("{:<20} {}", name.replace('_', " "), cell(value));
                }
            }
            if answer["polling"].as_array().is_some_and(|streams| !streams.is_empty()) {
                say!("");
                let columns = ["table", "caught_up_at", "webhooks", "trouble"];
                table(&answer["polling"], &columns, Format::Table);
            }
        }
        Integration::Links(named) => {
            let links = client.listed(&format!("{}/links", at(&named.one)), "links")?;
            table(
                &links,
                &["id", "platform_id", "number", "role", "state", "settled"],
                named.listing.format,
            );
        }
        Integration::Findings(named) => findings::list(client, &named)?,
        Integration::FindingsDismiss(given) => findings::dismiss(client, &given)?,
        Integration::Deliveries(named) => {
            let path = format!("{}/deliveries", at(&named.one));
            let columns = ["received", "kind", "state", "bytes", "identity"];
            let mut deliveries = client.listed(&path, "deliveries")?;
            if let Format::Table = named.listing.format {
                for one in deliveries.as_array_mut().into_iter().flatten() {
                    // `{"done": "observed by ..."}`, or a word.
                    let state = one["state"].as_object().and_then(|state| state.iter().next());
                    if let Some(text) = state.map(|(name, what)| format!("{name}: {}", cell(what)))
                    {
                        one["state"] = json!(text);
                    }
                }
                if let Json::Array(all) = &mut deliveries {
                    all.sort_by_key(|one| one["received"].as_i64());
                }
                deliveries = timed(deliveries, &["received"]);
            }
            table(&deliveries, &columns, named.listing.format);
        }
        Integration::Quarantine(named) => {
            let path = format!("{}/quarantine", at(&named.one));
            let columns = ["id", "kind", "reason", "at", "bytes"];
            table(
                &timed(client.listed(&path, "quarantine")?, &["at"]),
                &columns,
                named.listing.format,
            );
        }
        Integration::Reconcile(given) => reconcile(client, given)?,
        Integration::Dlq(given) => dead::list(client, &given)?,
        Integration::DlqShow(given) => dead::show(client, &given)?,
        Integration::DlqRetry(given) => dead::retry(client, &given)?,
        Integration::DlqDiscard(given) => dead::discard(client, &given)?,
        Integration::FieldOwnership(command) => field_ownership(client, command)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Instants as people read them.
pub(super) fn timed(mut rows: Json, columns: &[&str]) -> Json {
    for row in rows.as_array_mut().into_iter().flatten() {
        for column in columns {
            if let Some(at) = row[column].as_i64() {
                row[column] = json!(firn_model::rfc3339_text(firn_model::Millis(at)));
            }
        }
    }
    rows
}

/// Waits for a person's consent in a browser. The instance sends the browser back to the server,
/// which keeps the tokens; here it is only seen that it did.
fn connect(client: &Client, given: &Connect) -> Result<()> {
    let path = format!("/integrations/{}", segment(&given.one.integration));
    let before = client.get(&path)?["sign_in"]["connected_at"].clone();
    let asked = client.post(&format!("{path}/connect"), &json!({}))?;
    let url = asked["authorize_url"].as_str().context("the server gave no address")?;
    say!("Sign in to the instance and allow access:\n\n  {url}\n");
    say!("Its OAuth registry must have the redirect URL {}", cell(&asked["redirect_uri"]));
    if !given.no_browser && open::that_detached(url).is_err() {
        eprintln!("firn: no browser could be opened here; open the address yourself");
    }
    let patience = Duration::from_secs(asked["expires_in"].as_u64().unwrap_or(600));
    let end = Instant::now() + patience;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(500));
        let sign_in = client.get(&path)?["sign_in"].clone();
        if sign_in["connected_at"] != before {
            say!(
                "connected; consent is needed again at {}",
                match &sign_in["refresh_token_ends"] {
                    Json::String(ends) => ends.as_str(),
                    _ => "the end of this token: a public client gets no other",
                }
            );
            return Ok(());
        }
        if let Some(why) = sign_in["consent_refused"].as_str() {
            bail!("{} is not connected: {why}", given.one.integration);
        }
    }
    bail!("nobody consented within {} minutes; run it again", patience.as_secs() / 60)
}

/// Asks for a secret that was not given, where somebody sits: what is typed is not shown.
fn asked(of: Option<&String>, what: &str, given: Option<String>) -> Result<Option<String>> {
    match of {
        Some(who) if given.is_none() && std::io::stdin().is_terminal() => {
            Ok(Some(rpassword::prompt_password(format!("{what} of {who}: "))?))
        }
        _ => Ok(given),
    }
}

fn configure(client: &Client, given: Configure) -> Result<()> {
    let mut given = given;
    if given.password.as_deref().is_some_and(|p| !p.contains(':')) {
        eprintln!(
            "firn: a password on the command line is seen by others on this machine; better: --password env:NAME"
        );
    }
    let signs_in_by_browser = given.grant.as_deref() == Some("authorization-code");
    given.password = asked(given.username.as_ref(), "Password", given.password)?;
    given.admin_password = asked(given.admin_username.as_ref(), "Password", given.admin_password)?;
    if !signs_in_by_browser {
        given.client_secret =
            asked(given.client_id.as_ref(), "Client secret", given.client_secret)?;
    }
    let mut settings = json!({});
    if let Some(strategy) = given.conflict_strategy {
        settings["strategy"] = json!(strategy);
    }
    if let Some(environment) = given.environment {
        settings["environment"] = json!(environment);
    }
    if let Some(pull_by) = given.pull_by {
        settings["polling"] = json!({ "pull_by": pull_by });
    }
    let credentials = json!({
        "username": given.username, "password": given.password,
        "client_id": given.client_id, "client_secret": given.client_secret,
        "grant": given.grant, "subject": given.subject, "private_key": given.private_key,
        "key_id": given.key_id, "refresh_token_ends": given.refresh_token_ends,
        "admin_username": given.admin_username, "admin_password": given.admin_password,
    });
    let has_credentials = credentials.as_object().is_some_and(|c| c.values().any(|v| !v.is_null()));
    let mut body = json!({ "settings": settings });
    let mut put = |name: &str, value: Option<Json>| {
        if let Some(value) = value {
            body[name] = value;
        }
    };
    let (name, base_url) = (given.name, given.base_url.or(given.domain));
    let needed = [
        ("--org", given.org.is_some()),
        ("--name", name.is_some()),
        ("--base-url", base_url.is_some()),
        ("--username and --password, or --client-id", has_credentials),
    ];
    let missing: Vec<&str> =
        needed.iter().filter(|(_, there)| !there).map(|(flag, _)| *flag).collect();
    put("name", name.map(Json::from));
    put("base_url", base_url.map(Json::from));
    put("sync_direction", given.direction.map(Json::from));
    put("callback_secret", given.callback_secret.map(Json::from));
    put("model_key", given.model_key.map(Json::from));
    put("resource_path", given.resource_path.map(Json::from));
    put("credentials", has_credentials.then_some(credentials));
    // Only what was given: the other addresses stay.
    let platform: serde_json::Map<String, Json> = [
        ("callback_url", given.callback_url),
        ("read_url", given.read_url),
        ("findings_url", given.findings_url),
        ("knowledge_url", given.knowledge_url),
        ("model_url", given.model_url),
        ("attachment_read_url", given.attachment_read_url),
        ("attachment_write_url", given.attachment_write_url),
    ]
    .into_iter()
    .filter_map(|(name, url)| Some((name.to_owned(), json!(url?))))
    .collect();
    put("platform", (!platform.is_empty()).then(|| platform.into()));
    let answer = match &given.integration {
        Some(_) if given.preset.is_some() || given.capability.is_some() || given.org.is_some() => {
            bail!(
                "--preset, --capability and --org are given when an integration is created, and stay"
            )
        }
        Some(known) => client.call(
            reqwest::Method::PATCH,
            &format!("/integrations/{}", segment(known)),
            Some(&body),
        )?,
        None => {
            if !missing.is_empty() {
                bail!("a new integration needs {} too", missing.join(", "));
            }
            put("organization_id", given.org.map(Json::from));
            put("integration_type", Some(Json::from(given.kind)));
            let preset = given.capability.map(|capability| capability.preset().to_owned());
            put("preset", preset.or(given.preset).map(Json::from));
            put("provision", Some(Json::from(!given.no_provision)));
            client.post("/integrations", &body)?
        }
    };
    say!("{} ({}) is configured", cell(&answer["slug"]), cell(&answer["id"]));
    if let Some(url) = answer["webhook_url"].as_str() {
        say!("webhook: {url}");
    }
    if let Some(note) = answer["note"].as_str() {
        eprintln!("firn: {note}");
    }
    if let Some(why) = answer["provision_failed"].as_str() {
        bail!(
            "{} is made, but nothing was installed on the instance: {why}; then run: firn integration provision {}",
            cell(&answer["slug"]),
            cell(&answer["slug"])
        );
    }
    if answer["provisioned"].is_array() {
        table(&answer["provisioned"], &["table", "name", "outcome"], Format::Table);
    }
    Ok(())
}

fn enable(client: &Client, one: &One, enabled: bool) -> Result<()> {
    let path = format!("/integrations/{}", segment(&one.integration));
    client.call(reqwest::Method::PATCH, &path, Some(&json!({ "enabled": enabled })))?;
    say!("{} is {}", one.integration, if enabled { "running" } else { "paused" });
    Ok(())
}

fn field_ownership(client: &Client, command: FieldOwnership) -> Result<()> {
    let at = |one: &One| format!("{}/field-ownership", path(one));
    match command {
        FieldOwnership::List(named) => {
            let answer = client.get(&at(&named.one))?;
            let columns = ["field", "owner", "platform_priority", "external_priority", "off_owner"];
            table(&answer["fields"], &columns, named.listing.format);
        }
        FieldOwnership::Set { one, field, owner, priority } => {
            let body = json!({ "owner": owner, "priority": priority });
            client.post(&format!("{}/{}", at(&one), segment(&field)), &body)?;
            say!("{field} belongs to {owner} now");
        }
        FieldOwnership::Delete { one, field } => {
            let address = format!("{}/{}", at(&one), segment(&field));
            client.call(reqwest::Method::DELETE, &address, None)?;
            say!("{field} is shared now");
        }
    }
    Ok(())
}

pub(super) fn conflict(client: &Client, command: Conflict) -> Result<()> {
    match command {
        Conflict::List { integration, listing } => {
            let path = format!("/integrations/{}/conflicts", segment(&integration));
            table(
                &client.listed(&path, "conflicts")?,
                &["id", "number", "field", "state", "link"],
                listing.format,
            );
        }
        Conflict::Get { conflict, integration } => {
            let (_, found) = find_conflict(client, &conflict, integration)?;
            say!("{found:#}");
        }
        Conflict::Resolve { conflict, integration, use_platform, use_external, value } => {
            let body = match (use_platform, use_external, value) {
                (true, _, _) => json!({ "use": "platform" }),
                (_, true, _) => json!({ "use": "external" }),
                (_, _, Some(value)) => json!({ "value": value }),
                _ => bail!("choose: --use-platform, --use-external or --value"),
            };
            let (integration, _) = find_conflict(client, &conflict, integration)?;
            let path = format!(
                "/integrations/{}/conflicts/{}/resolve",
                segment(&integration),
                segment(&conflict)
            );
            client.post(&path, &body)?;
            say!("{conflict} is resolved");
        }
    }
    Ok(())
}

/// Seed 004 names a conflict alone: it is looked for in every integration.
fn find_conflict(
    client: &Client,
    conflict: &str,
    integration: Option<String>,
) -> Result<(String, Json)> {
    let integrations = match integration {
        Some(one) => vec![one],
        None => {
            let answer = client.get("/integrations")?;
            let all = answer["integrations"].as_array().cloned().unwrap_or_default();
            all.iter().filter_map(|i| i["id"].as_str().map(str::to_owned)).collect()
        }
    };
    for integration in integrations {
        let path =
            format!("/integrations/{}/conflicts/{}", segment(&integration), segment(conflict));
        match client.get(&path) {
            Ok(found) => return Ok((integration, found)),
            Err(why) if crate::client::is_not_found(&why) => {}
            Err(why) => return Err(why),
        }
    }
    bail!("there is no conflict {conflict}")
}

/// Where an integration is.
pub(super) fn path(one: &One) -> String {
    format!("/integrations/{}", segment(&one.integration))
}

pub(super) fn links(client: &Client, command: Links) -> Result<()> {
    let at = |one: &One| format!("/integrations/{}/links", segment(&one.integration));
    match command {
        Links::Resync { one, link } => {
            client.post(&format!("{}/{}/resync", at(&one), segment(&link)), &json!({}))?;
            say!("{link} is being read again");
        }
        Links::Attach { one, record, ticket, table } => {
            let body = json!({ "platform_id": record, "ticket": ticket, "table": table });
            let answer = client.post(&at(&one), &body)?;
            say!("{record} and {ticket} are being paired as {}", cell(&answer["link"]));
        }
        Links::Unlink { one, link } => {
            client.post(&format!("{}/{}/unlink", at(&one), segment(&link)), &json!({}))?;
            say!("{link} is taken apart; both records stay");
        }
    }
    Ok(())
}
