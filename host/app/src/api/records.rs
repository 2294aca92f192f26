//! What an operator looks at and mends: links, conflicts, dead letters, findings, audit, reconcile
//! runs. Reading comes from the store; changing goes through the engine. Values are shown masked:
//! what the engine stores for these screens is masked already, and links show no values at all.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use firn_model::{
    Audit, Conflict, ConflictId, ConflictState, DeadLetter, DeadState, Delivery, DeliveryState,
    Ended, Finding, Link, Mirror, Operation, Pace, PlatformId, Polling, Quarantined, Resolution,
    Run, RunMode, Schedule, Side, Sweep, SysId, TableName, TicketName, Value, Verb, rfc3339_text,
};
use firn_remote::SignInState;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::{Shared, failed, json, ok, problem, respond};
use crate::host::link_id;
use crate::vault::Known;

/// Rows of a kind that belong to an integration.
pub(super) fn rows<T: DeserializeOwned>(
    shared: &Shared,
    known: &Known,
    kind: &str,
) -> anyhow::Result<Vec<T>> {
    let prefix = format!("{kind}/{}/", known.integration.id);
    shared.host.rows(&known.integration.tenant, &prefix)
}

/// Finds the integration and answers with what `f` makes of it.
pub(super) fn with(
    shared: &Shared,
    reference: &str,
    f: impl FnOnce(&Arc<Known>) -> anyhow::Result<Response>,
) -> Response {
    match shared.known(reference) {
        Ok(known) => f(&known).unwrap_or_else(|why| failed(&why)),
        Err(response) => response,
    }
}

fn not_found(what: &str, id: &str) -> Response {
    let id: String = id.chars().take(80).collect();
    problem(404, "not-found", "Not found", format!("there is no {what} {id}"))
}

/// A link as shown: what it is and where it stands.
fn shown(link: &Link) -> Json {
    let side = |side: Side| {
        let state = link.side(side);
        let writing = state.flight.as_ref().map(|f| match f.write.verb {
            Verb::Create { .. } => "create",
            Verb::Update { .. } => "update",
            Verb::Append { .. } => "append",
            Verb::Retire { .. } => "retire",
        });
        json!({ "writing": writing, "failures": state.failures, "not_before": state.not_before,
            "missing": state.missing, "halted": state.halted })
    };
    let fields: serde_json::Map<String, Json> = link
        .fields
        .iter()
        .map(|(name, state)| {
            let parked = state.parked.as_ref().map(|p| &p.why);
            (name.to_string(), json!({ "agreed": state.base.is_some(), "parked": parked }))
        })
        .collect();
    json!({
        "id": link.id, "platform_id": link.platform_id, "key": link.key,
        "sys_id": link.external.as_ref().map(|e| &e.sys_id),
        "number": link.external.as_ref().and_then(|e| e.number.clone()),
        "table": link.table, "role": link.role, "generation": link.generation,
        "state": standing(link),
        "ended": link.tombstone.as_ref().map(|t| &t.why),
        "settled": settled(link), "created": link.created, "updated": link.updated,
        "fields": fields, "entries": link.entries.len(),
        "platform": side(Side::Platform), "external": side(Side::External),
    })
}

/// Where a link stands, in two words at most.
fn standing(link: &Link) -> &'static str {
    match link.tombstone.as_ref().map(|t| &t.why) {
        Some(Ended::Gone(_)) => "record gone",
        Some(Ended::Unlinked { .. }) => "unlinked",
        None if link.successor.is_some() => "succeeded",
        None if link.external.is_none() && link.external_side.halted => "refused",
        None if settled(link) => "in step",
        None => "working",
    }
}

/// Whether nothing is left to do on a link.
fn settled(link: &Link) -> bool {
    let idle = |side: Side| {
        let state = link.side(side);
        // Nobody looks at a record whose pair has ended.
        let looks = link.tombstone.is_none() && (state.look || state.look_journal);
        state.flight.is_none() && state.exchange.is_none() && !looks
    };
    idle(Side::Platform)
        && idle(Side::External)
        && (link.external.is_some() || link.external_side.halted || link.tombstone.is_some())
        && link.entries.iter().all(|e| e.mirror != Mirror::Pending)
}

pub(crate) async fn status(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
) -> Response {
    with(&shared, &reference, |known| {
        let links: Vec<Link> = rows(&shared, known, "link")?;
        let deliveries: Vec<Delivery> = rows(&shared, known, "delivery")?;
        let conflicts: Vec<Conflict> = rows(&shared, known, "conflict")?;
        let findings: Vec<Finding> = rows(&shared, known, "finding")?;
        let mut dead: Vec<DeadLetter> = rows(&shared, known, "dead")?;
        dead.retain(|letter| letter.state == DeadState::Waiting);
        let mut sweeps: Vec<Sweep> = rows(&shared, known, "sweep")?;
        // A table may have been polled once.
        let streams = known.integration.streams();
        sweeps.retain(|sweep| streams.contains(&sweep.stream));
        let alone = known.integration.settings.polling.mode == Polling::Alone;
        let waiting = deliveries.iter().filter(|d| d.state == DeliveryState::Received).count();
        let backlog = links.iter().filter(|l| !settled(l)).count() + waiting;
        Ok(ok(json!({
            "integration": known.integration.id, "name": known.integration.name,
            "enabled": known.integration.enabled, "links": links.len(), "backlog": backlog,
            "deliveries_waiting": waiting, "dead_letters": dead.len(),
            "open_conflicts": conflicts.iter().filter(|c| c.state == ConflictState::Open).count(),
            "findings": findings.len(), "sign_in": sign_in(&shared, known),
            "caught_up_at": caught_up(&sweeps),
            "polling": sweeps.iter().map(|sweep| polled(sweep, alone)).collect::<Vec<_>>(),
        })))
    })
}

/// Up to when everything that happened at the instance has been seen, whatever its webhooks told:
/// that of the table that is furthest behind.
fn caught_up(sweeps: &[Sweep]) -> Json {
    match sweeps.iter().map(|sweep| sweep.caught_up).min() {
        Some(Some(at)) => json!(rfc3339_text(at)),
        _ => Json::Null,
    }
}

/// How the polling of a table stands.
fn polled(sweep: &Sweep, alone: bool) -> Json {
    let webhooks = match sweep.pace {
        _ if alone => "are not expected",
        Pace::Behind => "arrive",
        Pace::Alone { .. } => "do not arrive",
        Pace::Trial { .. } => "are given time to arrive",
    };
    json!({
        "table": sweep.stream.to_string(), "caught_up_at": sweep.caught_up.map(rfc3339_text),
        "webhooks": webhooks, "trouble": sweep.trouble,
    })
}

/// How the sign-in stands, in a few words.
fn sign_in(shared: &Shared, known: &Known) -> String {
    match shared.host.sign_in(known) {
        SignInState::Good => "good".to_owned(),
        SignInState::NeverConnected => "never connected; run firn integration connect".to_owned(),
        SignInState::NeedsReconnect { why, .. } => format!("needs reconnect: {why}"),
    }
}

pub(crate) async fn links(State(shared): State<Shared>, Path(reference): Path<String>) -> Response {
    with(&shared, &reference, |known| {
        let links: Vec<Link> = rows(&shared, known, "link")?;
        Ok(ok(json!({ "links": links.iter().map(shown).collect::<Vec<_>>() })))
    })
}

/// The body of `POST …/links`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attach {
    /// The platform's record.
    platform_id: String,
    /// The ticket, by its `sys_id` or its number.
    ticket: String,
    /// Its table; the settings' first if not given.
    table: Option<TableName>,
}

/// Pairs a platform's record with a ticket that is there.
pub(crate) async fn attach(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
    headers: HeaderMap,
    raw: Body,
) -> Response {
    let known = match shared.known(&reference) {
        Ok(known) => known,
        Err(response) => return response,
    };
    let Attach { platform_id, ticket, table } = match json(&headers, raw).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let record = match PlatformId::new(platform_id) {
        Ok(record) => record,
        Err(e) => return problem(422, "invalid-id", "Not a valid id", e.to_string()),
    };
    let number =
        (1..=40).contains(&ticket.len()) && ticket.bytes().all(|b| b.is_ascii_alphanumeric());
    if !number {
        let detail = "a ticket is named by its number (INC0010001) or its sys_id";
        return problem(422, "invalid-ticket", "Not a ticket", detail);
    }
    let ticket = SysId::new(ticket.clone()).map_or(TicketName::Number(ticket), TicketName::SysId);
    let integration = known.integration.id.clone();
    let operation = Operation::Attach { integration, record, ticket, table };
    respond(shared.host.operate(&known.integration.tenant, operation, "api").await)
}

/// Takes a pair apart.
pub(crate) async fn unlink(
    State(shared): State<Shared>,
    Path((reference, id)): Path<(String, String)>,
) -> Response {
    let Some(link) = link_id(&id) else { return not_found("link", &id) };
    operate(&shared, &reference, |integration| Operation::Unlink { integration, link }).await
}

/// Tells why each value of a link is what it is.
pub(crate) async fn explain(
    State(shared): State<Shared>,
    Path((reference, id)): Path<(String, String)>,
) -> Response {
    let Some(link) = link_id(&id) else { return not_found("link", &id) };
    operate(&shared, &reference, |integration| Operation::Explain { integration, link }).await
}

pub(crate) async fn link(
    State(shared): State<Shared>,
    Path((reference, id)): Path<(String, String)>,
) -> Response {
    with(&shared, &reference, |known| {
        let link: Option<Link> = shared
            .host
            .row(&known.integration.tenant, &["link", known.integration.id.as_str(), &id])?;
        Ok(link.map_or_else(|| not_found("link", &id), |link| ok(shown(&link))))
    })
}

pub(crate) async fn resync(
    State(shared): State<Shared>,
    Path((reference, id)): Path<(String, String)>,
) -> Response {
    let Some(link) = link_id(&id) else { return not_found("link", &id) };
    operate(&shared, &reference, |integration| Operation::Resync { integration, link }).await
}

/// Asks the instance for what is new, now.
pub(crate) async fn poll(State(shared): State<Shared>, Path(reference): Path<String>) -> Response {
    operate(&shared, &reference, |integration| Operation::Poll { integration }).await
}

pub(super) async fn operate(
    shared: &Shared,
    reference: &str,
    operation: impl FnOnce(firn_model::IntegrationId) -> Operation,
) -> Response {
    match shared.known(reference) {
        Ok(known) => {
            let operation = operation(known.integration.id.clone());
            respond(shared.host.operate(&known.integration.tenant, operation, "api").await)
        }
        Err(response) => response,
    }
}

pub(crate) async fn conflicts(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
) -> Response {
    with(&shared, &reference, |known| {
        let conflicts: Vec<Conflict> = rows(&shared, known, "conflict")?;
        Ok(ok(json!({ "conflicts": conflicts })))
    })
}

pub(crate) async fn conflict(
    State(shared): State<Shared>,
    Path((reference, id)): Path<(String, String)>,
) -> Response {
    with(&shared, &reference, |known| {
        let conflict: Option<Conflict> = shared
            .host
            .row(&known.integration.tenant, &["conflict", known.integration.id.as_str(), &id])?;
        Ok(conflict.map_or_else(|| not_found("conflict", &id), ok))
    })
}

/// `{"use": "platform"}`, `{"use": "external"}` or `{"value": ...}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resolve {
    r#use: Option<String>,
    value: Option<Json>,
}

pub(crate) async fn resolve(
    State(shared): State<Shared>,
    Path((reference, id)): Path<(String, String)>,
    headers: HeaderMap,
    raw: Body,
) -> Response {
    let Resolve { r#use, value } = match json(&headers, raw).await {
        Ok(resolve) => resolve,
        Err(response) => return response,
    };
    let resolution = match (r#use.as_deref(), value.as_ref().map(Value::from_json)) {
        (Some("platform"), None) => Resolution::UsePlatform,
        (Some("external"), None) => Resolution::UseExternal,
        (None, Some(Some(value))) => Resolution::Value(value),
        _ => {
            return problem(
                422,
                "no-choice",
                "No choice was made",
                r#"send {"use":"platform"}, {"use":"external"} or {"value":"..."}"#,
            );
        }
    };
    let Ok(conflict) = ConflictId::new(id.clone()) else { return not_found("conflict", &id) };
    operate(&shared, &reference, |integration| Operation::Resolve {
        integration,
        conflict,
        resolution,
    })
    .await
}

pub(crate) async fn findings(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
) -> Response {
    with(&shared, &reference, |known| {
        let findings: Vec<Finding> = rows(&shared, known, "finding")?;
        Ok(ok(json!({ "findings": findings })))
    })
}

pub(crate) async fn quarantine(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
) -> Response {
    with(&shared, &reference, |known| {
        let kept: Vec<Quarantined> = rows(&shared, known, "quarantine")?;
        // Bodies stay sealed: they were never masked.
        let kept: Vec<Json> = kept
            .iter()
            .map(|q| json!({ "id": q.id, "kind": q.kind, "reason": q.reason, "at": q.at, "bytes": q.body.len() }))
            .collect();
        Ok(ok(json!({ "quarantine": kept })))
    })
}

pub(crate) async fn audit(State(shared): State<Shared>, Path(reference): Path<String>) -> Response {
    with(&shared, &reference, |known| {
        let mut lines: Vec<Audit> = rows(&shared, known, "audit")?;
        lines.sort_by_key(|line| line.at);
        Ok(ok(json!({ "audit": lines })))
    })
}

/// `{"mode": "dry-run"}` (the default) or `{"mode": "auto-heal"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reconcile {
    mode: Option<RunMode>,
}

pub(crate) async fn reconcile(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
    headers: HeaderMap,
    raw: Body,
) -> Response {
    let Reconcile { mode } = match json(&headers, raw).await {
        Ok(given) => given,
        Err(response) => return response,
    };
    let mode = mode.unwrap_or(RunMode::DryRun);
    operate(&shared, &reference, |integration| Operation::Reconcile { integration, mode }).await
}

/// The body of `POST …/reconcile/schedule` (seed 004).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Timing {
    /// `1h`, `30m`, `1d 12h`.
    interval: String,
    /// Whether what drifted is mended.
    #[serde(default)]
    auto_heal: bool,
    /// Whether it runs at all.
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

/// Lets runs begin by themselves.
pub(crate) async fn schedule(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
    headers: HeaderMap,
    raw: Body,
) -> Response {
    let Timing { interval, auto_heal, enabled } = match json(&headers, raw).await {
        Ok(given) => given,
        Err(response) => return response,
    };
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let parsed = interval.parse::<jiff::Span>().ok().and_then(|span| span.to_duration(days).ok());
    let Some(interval) = parsed.and_then(|d| u64::try_from(d.as_millis()).ok()) else {
        let detail = format!("{interval:?} is no time: write 30m, 1h or 1d");
        return problem(422, "bad-interval", "Not an interval", detail);
    };
    let mode = if auto_heal { RunMode::AutoHeal } else { RunMode::DryRun };
    operate(&shared, &reference, |integration| Operation::Schedule {
        integration,
        interval,
        mode,
        enabled,
    })
    .await
}

pub(crate) async fn scheduled(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
) -> Response {
    with(&shared, &reference, |known| {
        let id = known.integration.id.as_str();
        let schedule: Option<Schedule> =
            shared.host.row(&known.integration.tenant, &["schedule", id])?;
        Ok(ok(json!({ "schedule": schedule })))
    })
}

/// Ends a run.
pub(crate) async fn stop_run(
    State(shared): State<Shared>,
    Path((reference, run)): Path<(String, String)>,
) -> Response {
    operate(&shared, &reference, |integration| Operation::StopRun { integration, run }).await
}

/// Lets a run mend that found more drift than it mends unasked.
pub(crate) async fn confirm_run(
    State(shared): State<Shared>,
    Path((reference, run)): Path<(String, String)>,
) -> Response {
    operate(&shared, &reference, |integration| Operation::ConfirmRun { integration, run }).await
}

pub(crate) async fn runs(State(shared): State<Shared>, Path(reference): Path<String>) -> Response {
    with(&shared, &reference, |known| {
        let runs: Vec<Run> = rows(&shared, known, "run")?;
        Ok(ok(json!({ "runs": runs })))
    })
}

pub(crate) async fn run(
    State(shared): State<Shared>,
    Path((reference, id)): Path<(String, String)>,
) -> Response {
    with(&shared, &reference, |known| {
        let run: Option<Run> = shared
            .host
            .row(&known.integration.tenant, &["run", known.integration.id.as_str(), &id])?;
        Ok(run.map_or_else(|| not_found("run", &id), ok))
    })
}
