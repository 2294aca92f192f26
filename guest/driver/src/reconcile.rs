//! Reconcile: looks at both sides of every link with no event to ask for it. A dry run compares
//! and reports; auto-heal gives what it saw to the plan, like any other observation.

use firn_core::journal::Neighbours;
use firn_core::merge::{self, Moved, Verdict};
use firn_core::plan::{self, Input};
use firn_core::settings::{FieldMapping, Rules};
use firn_core::{explain, identity, observe, wire};
use firn_model::{
    Answer, Check, CheckState, CommitError, Exchange, ExchangeKind, FieldDrift, IntegrationId, Key,
    Link, LinkId, Millis, Problem, Role, Run, RunMode, RunState, Side, TenantId,
};
use serde_json::json;

use crate::session::{Session, ticket};
use crate::{Doors, rows, work};

/// How often a read is tried before the check gives up.
const ATTEMPTS: u32 = 5;

pub(crate) fn start<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    integration: &IntegrationId,
    mode: RunMode,
    by: &str,
) -> Result<(), CommitError> {
    if session.rules(tenant, integration)?.is_none() {
        let detail = format!("there is no integration {integration}");
        session.problem(
            request,
            &Problem::new(404, "unknown-integration", "Unknown integration", detail),
        );
        return Ok(());
    }
    let now = session.now;
    let links = session.all(tenant, &format!("link/{integration}/"))?;
    let links: Vec<Link> = links
        .iter()
        .filter_map(|row| serde_json::from_str::<Link>(&row.value).ok())
        .filter(|link| {
            link.external.is_some() && link.tombstone.is_none() && link.successor.is_none()
        })
        .collect();
    let id =
        format!("run-{:015}-{}", now.0, &identity::short(&["run", integration.as_str(), by])[..6]);
    let run = Run {
        id: id.clone(),
        integration: integration.clone(),
        mode,
        by: by.to_owned(),
        started: now,
        finished: links.is_empty().then_some(now),
        state: if links.is_empty() { RunState::Finished } else { RunState::Running },
        links: links.len() as u64,
        checked: 0,
        drifted: 0,
        failed: 0,
        drifts: Vec::new(),
    };
    session.put(&rows::run(tenant, integration, &id), &run, None)?;
    for link in links {
        let check = Check {
            run: id.clone(),
            link: link.id.clone(),
            number: link.external.and_then(|e| e.number),
            state: CheckState::ReadingExternal,
            platform_not_verifiable: false,
            fields: Vec::new(),
            entries: 0,
            seen: Vec::new(),
            attempts: 0,
            asked: now,
            clocks: Vec::new(),
        };
        session.put(&rows::check(tenant, integration, &id, &link.id), &check, Some(now))?;
    }
    session.reply(request, 202, &json!(run));
    Ok(())
}

fn asks(state: &CheckState) -> Option<(Side, ExchangeKind)> {
    match state {
        CheckState::ReadingExternal => Some((Side::External, ExchangeKind::Read)),
        CheckState::ReadingJournal => Some((Side::External, ExchangeKind::Journal)),
        CheckState::ReadingPlatform => Some((Side::Platform, ExchangeKind::Read)),
        CheckState::Done | CheckState::Failed(_) => None,
    }
}

/// A check is due: it begins, or its read was lost and is tried again.
pub(crate) fn check_due<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
) -> Result<(), CommitError> {
    let Some(mut check) = session.get::<Check>(key)? else { return Ok(()) };
    let Some(link) = session.link(&key.tenant, rules.id(), &check.link)? else {
        session.delete(key);
        return Ok(());
    };
    if check.attempts >= ATTEMPTS {
        check.state = CheckState::Failed("no answer after several tries".to_owned());
        return finish(session, rules, key, check, &link);
    }
    ask(session, rules, key, &mut check, &link)?;
    let due = session.now.plus(rules.settings().request_timeout + 1_000);
    session.put(key, &check, Some(due))
}

fn ask<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    check: &mut Check,
    link: &Link,
) -> Result<(), CommitError> {
    let Some((side, kind)) = asks(&check.state) else { return Ok(()) };
    check.attempts += 1;
    check.asked = session.now;
    let exchange = exchange(kind, check, session);
    let ticket = ticket(key, side, exchange.number);
    if let Some(request) = wire::request(rules, &key.tenant, link, side, &exchange, ticket) {
        session.submit(request);
    }
    Ok(())
}

fn exchange<D: Doors>(kind: ExchangeKind, check: &Check, session: &Session<'_, D>) -> Exchange {
    let number = check.seen.len() as u64;
    Exchange { kind, number, since: session.now, deadline: session.now }
}

/// A check's read is over.
pub(crate) fn check_answered<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    side: Side,
    number: u64,
    answer: &Answer,
) -> Result<(), CommitError> {
    let Some(mut check) = session.get::<Check>(key)? else { return Ok(()) };
    let Some(link) = session.link(&key.tenant, rules.id(), &check.link)? else { return Ok(()) };
    let Some((asked, kind)) = asks(&check.state) else { return Ok(()) };
    if (asked, check.seen.len() as u64) != (side, number) {
        return Ok(());
    }
    let exchange = exchange(kind, &check, session);
    let reading = wire::reading(rules, &link, side, &exchange, answer, session.now);
    check.clocks.extend(wire::clock(check.asked, answer, session.now).map(|told| (side, told)));
    match work::as_observation(side, reading) {
        Ok(observation) => check.seen.extend(observation),
        Err(why) if check.attempts >= ATTEMPTS => {
            check.state = CheckState::Failed(why);
            return finish(session, rules, key, check, &link);
        }
        Err(_) => {
            let due = session.now.plus(500 * u64::from(check.attempts));
            return session.put(key, &check, Some(due));
        }
    }
    check.attempts = 0;
    check.platform_not_verifiable = !rules.may_read(Side::Platform);
    check.state = match check.state {
        CheckState::ReadingExternal => CheckState::ReadingJournal,
        CheckState::ReadingJournal if rules.may_read(Side::Platform) => CheckState::ReadingPlatform,
        _ => CheckState::Done,
    };
    if check.state == CheckState::Done {
        return finish(session, rules, key, check, &link);
    }
    ask(session, rules, key, &mut check, &link)?;
    let due = session.now.plus(rules.settings().request_timeout + 1_000);
    session.put(key, &check, Some(due))
}

fn finish<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    mut check: Check,
    link: &Link,
) -> Result<(), CommitError> {
    let seen = std::mem::take(&mut check.seen);
    let clocks = std::mem::take(&mut check.clocks);
    let mut looked = link.clone();
    for observation in &seen {
        observe::observe(rules, &mut looked, &Neighbours::default(), observation, session.now);
    }
    check.entries = (looked.entries.len() - link.entries.len().min(looked.entries.len())) as u64;
    let busy = Side::BOTH.iter().any(|side| link.side(*side).flight.is_some());
    if !busy && link.role != Role::Secondary {
        check.fields = rules
            .fields(&looked.table)
            .iter()
            .filter_map(|field| drift(rules, field, &looked, session.now))
            .collect();
    }
    let run_key = rows::run(&key.tenant, rules.id(), &check.run);
    if let Some(mut run) = session.get::<Run>(&run_key)? {
        run.checked += 1;
        let drifted = !check.fields.is_empty() || check.entries > 0;
        let failed = matches!(check.state, CheckState::Failed(_));
        if drifted {
            run.drifted += 1;
        }
        if failed {
            run.failed += 1;
        }
        if drifted || failed {
            run.drifts.push(check.clone());
        }
        if run.checked >= run.links {
            run.state = RunState::Finished;
            run.finished = Some(session.now);
        }
        if run.mode == RunMode::AutoHeal && failed {
            // The ordinary read tells a person what is the matter, or that it is over.
            if let Some(mut link) = session.link(&key.tenant, rules.id(), &check.link)? {
                link.external_side.look = true;
                session.advance(&key.tenant, rules, link, &[])?;
            }
        }
        if run.mode == RunMode::AutoHeal && !failed {
            let told = clocks.into_iter().map(|(side, clock)| Input::Told { side, clock });
            let inputs: Vec<Input> = told.chain(seen.into_iter().map(Input::Seen)).collect();
            heal(session, rules, &key.tenant, &check.link, &inputs)?;
        }
        session.put(&run_key, &run, None)?;
    }
    session.delete(key);
    Ok(())
}

fn heal<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    tenant: &TenantId,
    id: &LinkId,
    inputs: &[Input],
) -> Result<(), CommitError> {
    match session.link(tenant, rules.id(), id)? {
        Some(mut link) => {
            link.external_side.look_twins |= link.resent;
            session.advance(tenant, rules, link, inputs)
        }
        None => Ok(()),
    }
}

/// A field that both sides do not agree on, and what would become of it.
fn drift(rules: &Rules, field: &FieldMapping, link: &Link, now: Millis) -> Option<FieldDrift> {
    let state = link.fields.get(&field.name)?;
    let (platform, external) = (state.platform.as_ref()?, state.external.as_ref()?);
    if let Some(parked) = &state.parked {
        let unchanged = parked.platform.as_ref() == Some(&platform.shape)
            && parked.external.as_ref() == Some(&external.shape);
        if unchanged {
            return None; // Known, and shown elsewhere.
        }
    }
    let moved =
        state.base.as_ref().map(|b| merge::moved(field, b, &platform.shape, &external.shape));
    if matches!(moved, Some(Moved::Neither | Moved::Together)) {
        return None;
    }
    let verdict = match merge::verdict(field, state, plan::circumstances(link, now)) {
        Verdict::Settled | Verdict::Agreed => return None,
        Verdict::Carry { to, why } => {
            format!("{} would be written to the {to} side ({})", field.name, explain::because(&why))
        }
        Verdict::Park(_) => format!("{} would be kept as it is on both sides", field.name),
        Verdict::Conflict => format!("{} would wait for a person", field.name),
    };
    Some(FieldDrift {
        field: field.name.clone(),
        platform: Some(plan::mask_shape(rules, &platform.shape)),
        external: Some(plan::mask_shape(rules, &external.shape)),
        base: state.base.as_ref().map(|b| plan::mask_shape(rules, &b.platform)),
        verdict,
    })
}
