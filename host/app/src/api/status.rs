//! How an integration stands: links, backlog, what waits for a person, polling, the sign-in.

use axum::response::Response;
use firn_model::{
    Conflict, ConflictState, DeadLetter, DeadState, Delivery, DeliveryState, Finding,
    IntegrationId, Link, Pace, Polling, Sweep, rfc3339_text,
};
use firn_remote::SignInState;
use schemars::JsonSchema;
use serde::Serialize;

use super::at::{At, answer};
use super::records::settled;

/// How an integration stands.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Status {
    integration: IntegrationId,
    name: String,
    /// Off while it is paused.
    enabled: bool,
    links: usize,
    /// Links and deliveries that something is left to do for.
    backlog: usize,
    deliveries_waiting: usize,
    dead_letters: usize,
    open_conflicts: usize,
    findings: usize,
    /// How the sign-in stands, in a few words.
    sign_in: String,
    /// Up to when everything that happened at the instance has been seen, whatever its webhooks told.
    caught_up_at: Option<String>,
    polling: Vec<Polled>,
}

/// How the polling of a table stands.
#[derive(Serialize, JsonSchema)]
struct Polled {
    table: String,
    caught_up_at: Option<String>,
    /// Whether webhooks of it arrive, in a few words.
    webhooks: &'static str,
    /// What hinders it, if anything.
    trouble: Option<String>,
}

pub(crate) async fn status(at: At) -> Response {
    // It reads all there is: others go on meanwhile.
    let looked = tokio::task::spawn_blocking(move || look(&at)).await;
    answer(looked.unwrap_or_else(|why| Err(why.into())))
}

fn look(at: &At) -> anyhow::Result<Status> {
    let known = &at.known;
    let links: Vec<Link> = at.rows("link")?;
    let deliveries: Vec<Delivery> = at.rows("delivery")?;
    let conflicts: Vec<Conflict> = at.rows("conflict")?;
    let findings: Vec<Finding> = at.rows("finding")?;
    let mut dead: Vec<DeadLetter> = at.rows("dead")?;
    dead.retain(|letter| letter.state == DeadState::Waiting);
    let mut sweeps: Vec<Sweep> = at.rows("sweep")?;
    // A table may have been polled once.
    let streams = known.integration.streams();
    sweeps.retain(|sweep| streams.contains(&sweep.stream));
    let alone = known.integration.settings.polling.mode == Polling::Alone;
    let waiting = deliveries.iter().filter(|d| d.state == DeliveryState::Received).count();
    let sign_in = match at.shared.host.sign_in(known) {
        SignInState::Good => "good".to_owned(),
        SignInState::NeverConnected => "never connected; run firn integration connect".to_owned(),
        SignInState::NeedsReconnect { why, .. } => format!("needs reconnect: {why}"),
    };
    Ok(Status {
        integration: at.id().clone(),
        name: known.integration.name.clone(),
        enabled: known.integration.enabled,
        links: links.len(),
        backlog: links.iter().filter(|l| !settled(l)).count() + waiting,
        deliveries_waiting: waiting,
        dead_letters: dead.len(),
        open_conflicts: conflicts.iter().filter(|c| c.state == ConflictState::Open).count(),
        findings: findings.len(),
        sign_in,
        // That of the table that is furthest behind.
        caught_up_at: sweeps.iter().map(|sweep| sweep.caught_up).min().flatten().map(rfc3339_text),
        polling: sweeps.iter().map(|sweep| polled(sweep, alone)).collect(),
    })
}

fn polled(sweep: &Sweep, alone: bool) -> Polled {
    let webhooks = match sweep.pace {
        _ if alone => "are not expected",
        Pace::Behind => "arrive",
        Pace::Alone { .. } => "do not arrive",
        Pace::Trial { .. } => "are given time to arrive",
    };
    Polled {
        table: sweep.stream.to_string(),
        caught_up_at: sweep.caught_up.map(rfc3339_text),
        webhooks,
        trouble: sweep.trouble.clone(),
    }
}
