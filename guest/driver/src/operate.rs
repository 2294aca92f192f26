//! What an operator asks for. Each is an input like any other: it changes a link or a row, and
//! lets the plan look again.

mod configure;
mod findings;
mod links;

use firn_core::{mapping, plan};
use firn_model::{
    Audit, Cause, CommitError, Conflict, ConflictId, ConflictState, Decision, Ended, GonePolicy,
    IntegrationId, LinkId, Operation, Parked, ParkedWhy, Problem, Resolution, Shape, Side,
    TenantId,
};
use serde_json::json;

use crate::dead::Fate;
use crate::session::Session;
use crate::{Doors, dead, reconcile, rows, sweep};

pub(crate) fn operate<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    operation: &Operation,
    by: &str,
) -> Result<(), CommitError> {
    match operation {
        Operation::Configure { integration } => {
            configure::configure(session, request, tenant, integration, by)
        }
        Operation::Apply { id, document, intent } => {
            configure::apply(session, request, tenant, id, document, *intent, by)
        }
        Operation::Preview { integration, document, deliveries } => {
            configure::preview(session, request, tenant, integration, document, deliveries)
        }
        Operation::Activate { integration, rules } => {
            configure::activate(session, request, tenant, integration, rules.as_ref(), by)
        }
        Operation::Inquire { integration, deliveries } => {
            configure::inquire(session, request, tenant, integration, deliveries)
        }
        Operation::WakeWaiting { integration } => {
            configure::wake_waiting(session, request, tenant, integration)
        }
        Operation::Judge { integration, deliveries } => {
            configure::judge(session, request, tenant, integration, deliveries)
        }
        Operation::Rollback { integration, version } => {
            configure::rollback(session, request, tenant, integration, *version, by)
        }
        Operation::Attach { integration, record, ticket, table } => {
            let pair = links::Pair { record, ticket, table: table.as_ref() };
            links::attach(session, request, tenant, integration, &pair, by)
        }
        Operation::Unlink { integration, link } => {
            links::unlink(session, request, tenant, integration, link, by)
        }
        Operation::Explain { integration, link } => {
            links::explain(session, request, tenant, integration, link)
        }
        Operation::Resolve { integration, conflict, resolution } => {
            resolve(session, request, tenant, integration, conflict, resolution, by)
        }
        Operation::ShowDead { integration, id } => {
            dead::show(session, request, tenant, integration, id)
        }
        Operation::RetryDead { integration, id } => {
            dead::decide(session, request, tenant, integration, id, Fate::Retried, by)
        }
        Operation::DiscardDead { integration, id } => {
            dead::decide(session, request, tenant, integration, id, Fate::Discarded, by)
        }
        Operation::RetryAllDead { integration, filter } => {
            dead::decide_all(session, request, tenant, integration, filter, Fate::Retried, by)
        }
        Operation::DiscardAllDead { integration, filter } => {
            dead::decide_all(session, request, tenant, integration, filter, Fate::Discarded, by)
        }
        Operation::Dismiss { integration, filter } => {
            findings::dismiss(session, request, tenant, integration, filter, by)
        }
        Operation::Reconcile { integration, mode } => {
            reconcile::start(session, request, tenant, integration, *mode, by)
        }
        Operation::Schedule { integration, interval, mode, enabled } => {
            let timing = reconcile::Timing { interval: *interval, mode: *mode, enabled: *enabled };
            reconcile::schedule(session, request, tenant, integration, timing, by)
        }
        Operation::StopRun { integration, run } => {
            reconcile::stop(session, request, tenant, integration, run, by)
        }
        Operation::ConfirmRun { integration, run } => {
            reconcile::confirm(session, request, tenant, integration, run, by)
        }
        Operation::Poll { integration } => {
            let Some(rules) = session.rules(tenant, integration)? else {
                return not_found(session, request, "integration", integration.as_str());
            };
            let tables = sweep::watch(session, tenant, &rules)?;
            let status = if rules.integration().enabled { "polling" } else { "paused" };
            session.reply(request, 202, &json!({ "status": status, "tables": tables }));
            Ok(())
        }
        Operation::SignedIn { integration } => {
            links::signed_in(session, request, tenant, integration)
        }
        Operation::Resync { integration, link } => {
            links::resync(session, request, tenant, integration, link, by)
        }
    }
}

pub(crate) fn not_found<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    what: &str,
    id: &str,
) -> Result<(), CommitError> {
    let problem = Problem::new(404, "not-found", "Not found", format!("there is no {what} {id}"));
    session.problem(request, &problem);
    Ok(())
}

pub(crate) fn note<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    integration: &IntegrationId,
    link: Option<&LinkId>,
    event: &str,
    by: &str,
) -> Result<(), CommitError> {
    note_of(session, tenant, integration, link, event, ("", by))
}

/// The same with what it was done to, in a few words.
pub(crate) fn note_of<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    integration: &IntegrationId,
    link: Option<&LinkId>,
    event: &str,
    (what, by): (&str, &str),
) -> Result<(), CommitError> {
    let what = if what.is_empty() { String::new() } else { format!("{what}; ") };
    let line = Audit {
        integration: integration.clone(),
        link: link.cloned(),
        at: session.now,
        event: event.to_owned(),
        key: None,
        side: None,
        fields: Vec::new(),
        note: Some(format!("{what}by {by}")),
    };
    session.audit(tenant, &line)
}

/// Nothing is done for a pair that is at rest for good.
pub(crate) fn ended() -> Problem {
    let detail = "this pair is kept in step no more; attach its record to a ticket to begin anew";
    Problem::new(409, "pair-ended", "The pair has ended", detail)
}

fn resolve<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    integration: &IntegrationId,
    id: &ConflictId,
    resolution: &Resolution,
    by: &str,
) -> Result<(), CommitError> {
    let key = rows::conflict(tenant, integration, id);
    let Some(mut conflict) = session.get::<Conflict>(&key)? else {
        return not_found(session, request, "conflict", id.as_str());
    };
    let stale = |session: &mut Session<'_, D>, why: &str| {
        session
            .problem(request, &Problem::new(409, "conflict-is-over", "The conflict is over", why));
        Ok(())
    };
    if conflict.state != ConflictState::Open {
        return stale(session, "it was resolved already, or both sides came to agree");
    }
    let (Some(rules), Some(mut link)) =
        (session.rules(tenant, integration)?, session.link(tenant, integration, &conflict.link)?)
    else {
        return not_found(session, request, "link", conflict.link.as_str());
    };
    // What is left of a pair whose record is gone may have to be closed.
    let lifecycle = rules.lifecycle();
    let closes = lifecycle.gone == GonePolicy::Close && lifecycle.field == conflict.field;
    let has_ended = link
        .tombstone
        .as_ref()
        .is_some_and(|tombstone| !(closes && matches!(tombstone.why, Ended::Gone(_))));
    let field = rules.field(&link.table, &conflict.field).filter(|_| !has_ended);
    let Some(field) = field else {
        // Nobody has to decide any more; should the field be kept in step again, it is looked at anew.
        if let Some(state) = link.fields.get_mut(&conflict.field)
            && matches!(&state.parked, Some(Parked { why: ParkedWhy::Conflict(open), .. }) if open == id)
        {
            state.parked = None;
        }
        links::close_conflict(session, &key, conflict)?;
        session.advance(tenant, &rules, link, &[])?;
        if has_ended {
            session.problem(request, &ended());
            return Ok(());
        }
        return stale(session, "its field is not mapped any more");
    };
    let state = link.fields.entry(conflict.field.clone()).or_default();
    let ours =
        matches!(&state.parked, Some(Parked { why: ParkedWhy::Conflict(open), .. }) if open == id);
    if !ours {
        links::close_conflict(session, &key, conflict)?;
        return stale(session, "its field is in another state now");
    }
    let chosen = match resolution {
        Resolution::UsePlatform => state.shape(Side::Platform).cloned(),
        Resolution::UseExternal => {
            state.shape(Side::External).and_then(|s| mapping::to_platform(field, s).ok())
        }
        Resolution::Value(value) => {
            mapping::platform_attribute(field).map(|attribute| Shape::one(attribute, value.clone()))
        }
    };
    let users = &link.references;
    let fits = |shape: &Shape| {
        !matches!(
            mapping::to_external(field, shape, None, users),
            Err(mapping::Untranslatable::Unmapped)
        )
    };
    let Some(chosen) = chosen.filter(fits) else {
        let detail = format!("{} has no such value in its value map", conflict.field);
        session.problem(
            request,
            &Problem::new(422, "unmapped-value", "The value has no counterpart", detail),
        );
        return Ok(());
    };
    let there = |side: Side| match (side, state.shape(side)) {
        (_, None) => false,
        (Side::Platform, Some(now)) => mapping::same(field, side, now, &chosen),
        (Side::External, Some(now)) => mapping::agree(field, &chosen, now),
    };
    let goes_on = link.tombstone.is_none();
    let unwritten = |side: &Side| goes_on && !there(*side) && !rules.may_write(*side);
    if let Some(side) = Side::BOTH.into_iter().find(unwritten) {
        let detail = format!(
            "that would have to be written to the {side} side, and by these settings nothing is; take its value"
        );
        session.problem(request, &Problem::new(422, "one-way", "Nothing is written there", detail));
        return Ok(());
    }
    state.parked = None;
    state.decision = Some(Decision {
        platform: chosen.clone(),
        seen: (state.shape(Side::Platform).cloned(), state.shape(Side::External).cloned()),
        by: by.to_owned(),
        cause: Cause::Conflict,
    });
    conflict.state = ConflictState::Resolved {
        by: by.to_owned(),
        value: plan::mask_shape(&rules, &chosen),
        at: session.now,
    };
    conflict.updated = session.now;
    session.put(&key, &conflict, None)?;
    note(session, tenant, integration, Some(&conflict.link), "conflict-resolved", by)?;
    session.advance(tenant, &rules, link, &[])?;
    session.reply(request, 200, &json!(conflict));
    Ok(())
}
