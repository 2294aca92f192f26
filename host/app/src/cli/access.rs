//! Who may come in, and who did what: tokens, the audit, what is forgotten.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::keep::{Verify, verify};
use super::operate::timed;
use super::show::{cell, confirm, say, table};
use super::{Format, Listing};
use crate::access::Role;
use crate::client::{Client, segment};

#[derive(Subcommand)]
pub(super) enum Token {
    /// Make a token. It is shown this once.
    Create {
        /// What people call it; the audit does too.
        name: String,
        /// What it is for.
        #[arg(long, value_enum)]
        role: Role,
        /// Whose integrations it sees; of all tenants if not given.
        #[arg(long)]
        tenant: Option<String>,
        /// How long it lasts: 12h, 90d; without end if not given.
        #[arg(long)]
        expires_in: Option<String>,
        /// An OAuth client: its secret is exchanged at /oauth/token.
        #[arg(long)]
        client: bool,
        /// Print the token alone, for scripts.
        #[arg(long, conflicts_with = "client")]
        quiet: bool,
    },
    /// List tokens: never the tokens themselves.
    List(Listing),
    /// End a token for good.
    Revoke {
        /// Its id or name.
        #[arg(value_name = "TOKEN")]
        which: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

pub(super) fn token(client: &Client, command: Token) -> Result<()> {
    match command {
        Token::Create { name, role, tenant, expires_in, client: is_client, quiet } => {
            let body = json!({ "name": name, "role": role, "tenant": tenant,
                "expires_in": expires_in, "client": is_client });
            let made = client.post("/tokens", &body)?;
            if quiet {
                say!("{}", cell(&made["secret"]));
                return Ok(());
            }
            say!("{name} is made, and shown this once:\n");
            for part in ["secret", "client_id", "client_secret"] {
                if let Some(text) = made[part].as_str() {
                    say!("{:<14} {text}", part.replace('_', " "));
                }
            }
            if is_client {
                say!("\nthe client asks {}/oauth/token for a token", client.url());
            }
        }
        Token::List(listing) => {
            let mut tokens = client.get("/tokens")?["tokens"].take();
            if let Format::Table = listing.format {
                tokens = timed(tokens, &["created", "expires"]);
            }
            let columns = ["id", "name", "role", "tenant", "kind", "created", "expires", "by"];
            table(&tokens, &columns, listing.format);
        }
        Token::Revoke { which: token, yes } => {
            if !yes {
                confirm(&format!("end {token} for good? whoever uses it is shut out at once"))?;
            }
            client.call(reqwest::Method::DELETE, &format!("/tokens/{}", segment(&token)), None)?;
            say!("{token} is revoked");
        }
    }
    Ok(())
}

#[derive(Subcommand)]
pub(super) enum Audit {
    /// List what was done, by whom, and why.
    List(Lines),
    /// Look at the audit's chain on a data directory: was anything changed, removed, added? Exit 1 if so.
    Verify(Verify),
}

#[derive(Args)]
pub(super) struct Lines {
    /// Of an integration; else what is about none.
    #[arg(long)]
    integration: Option<String>,
    /// Of a link.
    #[arg(long, requires = "integration")]
    link: Option<String>,
    /// In which this happened: write, conflict-resolved, ...
    #[arg(long, requires = "integration")]
    event: Option<String>,
    #[command(flatten)]
    listing: Listing,
}

pub(super) fn audit(client: impl FnOnce() -> Result<Client>, command: &Audit) -> Result<ExitCode> {
    let given = match command {
        Audit::Verify(given) => return verify(given),
        Audit::List(given) => given,
    };
    let client = client()?;
    let path = match &given.integration {
        None => "/audit".to_owned(),
        Some(integration) => {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            for (name, value) in [("link", &given.link), ("event", &given.event)] {
                if let Some(value) = value {
                    query.append_pair(name, value);
                }
            }
            format!("/integrations/{}/audit?{}", segment(integration), query.finish())
        }
    };
    let mut lines = client.listed(&path, "audit")?;
    if let Format::Table = given.listing.format {
        lines = timed(lines, &["at"]);
        for line in lines.as_array_mut().into_iter().flatten() {
            let fields = line["fields"].as_array().cloned().unwrap_or_default();
            let names: Vec<String> = fields.iter().map(|f| cell(&f["field"])).collect();
            line["fields"] = if names.is_empty() { Json::Null } else { json!(names.join(", ")) };
        }
    }
    let columns: &[&str] = match given.integration {
        None => &["at", "tenant", "event", "note"],
        Some(_) => &["at", "event", "link", "side", "fields", "note"],
    };
    table(&lines, columns, given.listing.format);
    Ok(ExitCode::SUCCESS)
}

#[derive(Subcommand)]
pub(super) enum Tenant {
    /// Erase what is kept of a person: of one conversation, call or record. Says what is out of reach.
    Forget {
        /// Whose tenant.
        tenant: String,
        /// The conversation's or call's id, the platform's record, or the ticket's number.
        #[arg(long)]
        key: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

pub(super) fn tenant(client: &Client, command: &Tenant) -> Result<()> {
    let Tenant::Forget { tenant, key, yes } = command;
    if !yes {
        confirm(&format!(
            "erase everything that Firn keeps of {key}? its records are kept in step no more"
        ))?;
    }
    let path = format!("/tenants/{}/forget", segment(tenant));
    let answer = client.post(&path, &json!({ "key": key }))?;
    for (what, n) in answer["erased"].as_object().into_iter().flatten() {
        say!("{:<16} {}", what.replace('_', " "), cell(n));
    }
    say!("\nout of Firn's reach:");
    for what in answer["out_of_reach"].as_array().into_iter().flatten() {
        say!("  {}", cell(what));
    }
    Ok(())
}
