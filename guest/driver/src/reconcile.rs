//! Reconcile: looks at both sides of every link with no event to ask for it. A dry run compares and
//! reports. Auto-heal has what drifted read again, for the plan to decide on like any other observation:
//! once all were looked at, so that it can ask first if much has drifted.

use firn_core::land::Reading;
use firn_core::merge::{self, Moved, Verdict};
use firn_core::plan::{self, Input};
use firn_core::settings::{FieldMapping, Rules};
use firn_core::{explain, identity, mapping, observe, wire};
use firn_model::{
    Answer, Check, CheckState, Clock, CommitError, Exchange, ExchangeKind, FieldDrift, Finding,
    FindingKind, IntegrationId, Key, Link, LinkId, Millis, Observation, Outcome, Problem, Role,
    Run, RunMode, RunState, Schedule, Seen, Shape, Side, TenantId,
};
use serde_json::json;

use crate::session::{PAGE, Session, ticket};
use crate::{Doors, operate, rows, together, unreadable, work};

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
    let Some(rules) = session.rules(tenant, integration)? else {
        return operate::not_found(session, request, "integration", integration.as_str());
    };
    let run = begin(session, tenant, &rules, mode, by)?;
    operate::note(session, tenant, integration, None, "reconcile-begun", by)?;
    session.reply(request, 202, &json!(run));
    Ok(())
}

/// Begins a run: a check for each link. Where there are very many the run counts the others when it is due.
pub(crate) fn begin<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
    mode: RunMode,
    by: &str,
) -> Result<Run, CommitError> {
    let integration = rules.id();
    let now = session.now;
    let id =
        format!("run-{:015}-{}", now.0, &identity::short(&["run", integration.as_str(), by])[..6]);
    let mut run = Run {
        id: id.clone(),
        integration: integration.clone(),
        mode,
        by: by.to_owned(),
        started: now,
        finished: None,
        state: RunState::Running,
        links: 0,
        counted_to: Some(String::new()),
        checked: 0,
        drifted: 0,
        failed: 0,
        not_verifiable: 0,
        healed: 0,
        left: 0,
        drifts: Vec::new(),
    };
    let due = count(session, tenant, rules, &mut run)?;
    session.put(&rows::run(tenant, integration, &id), &run, due)?;
    Ok(run)
}

/// Counts some more of the links that a run looks at, with a check for each. Gives when the run is due.
fn count<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
    run: &mut Run,
) -> Result<Option<Millis>, CommitError> {
    let (integration, now) = (rules.id(), session.now);
    let after = run.counted_to.as_deref().filter(|after| !after.is_empty());
    let page = session.page(tenant, &format!("link/{integration}/"), after)?;
    let more = page.len() == PAGE as usize;
    run.counted_to = page.last().map(|row| row.key.path.clone()).filter(|_| more);
    // One in whose place another speaks is compared with nothing any more. Whether more than one ticket was made for it
    // is looked at all the same.
    let heals = run.mode == RunMode::AutoHeal;
    let is_looked_at = |link: &Link| link.successor.is_none() || (heals && link.resent);
    let links: Vec<Link> = page
        .iter()
        .filter_map(|row| serde_json::from_str::<Link>(&row.value).ok())
        .filter(|link| link.external.is_some() && link.tombstone.is_none() && is_looked_at(link))
        .collect();
    let alone = together::gather(session, tenant, rules, run, &links)?;
    run.links += links.len() as u64;
    for link in links {
        let alone = alone.contains(&link.id);
        let check = Check {
            run: run.id.clone(),
            link: link.id.clone(),
            number: link.external.and_then(|e| e.number),
            state: if alone { CheckState::ReadingExternal } else { CheckState::Together },
            platform_not_verifiable: false,
            fields: Vec::new(),
            entries: 0,
            seen: Vec::new(),
            attempts: 0,
            asked: now,
            clocks: Vec::new(),
        };
        let key = rows::check(tenant, integration, &run.id, &link.id);
        session.put(&key, &check, alone.then_some(now))?;
    }
    if more {
        return Ok(Some(now));
    }
    if run.checked < run.links { Ok(None) } else { all_looked_at(session, rules, tenant, run) }
}

/// A check goes on with a read of its own. What others have read for it is kept.
pub(crate) fn read<D: Doors>(
    session: &mut Session<'_, D>,
    key: &Key,
    state: CheckState,
    seen: Option<Observation>,
    clock: Option<Option<Clock>>,
) -> Result<(), CommitError> {
    let Some(mut check) = session.get::<Check>(key)? else { return Ok(()) };
    check.state = state;
    check.seen.extend(seen);
    check.clocks.extend(clock.map(|clock| (Side::External, clock)));
    let now = session.now;
    session.put(key, &check, Some(now))
}

/// What becomes of a run: the rest of its links is counted; its drift is mended, or a person is asked, or it is left for
/// a later run.
pub(crate) fn run_due<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
) -> Result<(), CommitError> {
    let Some(mut run) = session.get::<Run>(key)? else { return Ok(()) };
    let tenant = &key.tenant;
    let checks = format!("check/{}/{}/", rules.id(), run.id);
    let due = match run.state {
        RunState::Running if run.counted_to.is_some() => count(session, tenant, rules, &mut run)?,
        // Somebody was forgotten, and so was the last check.
        RunState::Running if run.checked >= run.links => {
            all_looked_at(session, rules, tenant, &mut run)?
        }
        RunState::Healing => {
            let most = rules.settings().reconcile.most;
            let room = usize::try_from(most.saturating_sub(run.healed)).unwrap_or(SLICE);
            let page = session.page(tenant, &checks, None)?;
            let (now, later) = page.split_at(page.len().min(room).min(SLICE));
            for row in now {
                if let Some(check) = session.get::<Check>(&row.key)? {
                    heal(session, rules, tenant, &check.link)?;
                    run.healed += 1;
                }
                session.delete(&row.key);
            }
            if later.is_empty() || run.healed >= most {
                session.each_page(tenant, &checks, |_, page| {
                    run.left += page.len() as u64;
                    Ok(true)
                })?;
                run.left = run.left.saturating_sub(now.len() as u64);
                run.state = RunState::Finished;
                run.finished = Some(session.now);
            }
            (run.state == RunState::Healing || run.left > 0).then_some(session.now)
        }
        RunState::Stopped | RunState::Finished => {
            let page = session.page(tenant, &checks, None)?;
            page.iter().for_each(|row| session.delete(&row.key));
            (page.len() == PAGE as usize).then_some(session.now)
        }
        RunState::Running | RunState::Asks => None,
    };
    session.put(key, &run, due)
}

/// So many links are mended in one commit: others change them too, and a run can be stopped in between.
const SLICE: usize = 20;

/// What is shown of a run's drift, link by link; the rest is counted.
const SHOWN: usize = 200;

/// So few links that drifted are mended without asking, whatever share of all they are.
const FEW: u64 = 10;

/// Every link was looked at.
fn all_looked_at<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    tenant: &TenantId,
    run: &mut Run,
) -> Result<Option<Millis>, CommitError> {
    let drifted = run.drifted > 0;
    if run.mode == RunMode::DryRun || !drifted {
        run.state = RunState::Finished;
        run.finished = Some(session.now);
        return Ok(None);
    }
    let limit = u64::from(rules.settings().reconcile.ask_above);
    let much = run.drifted.saturating_mul(100) > run.links.saturating_mul(limit);
    if !much || run.drifted < FEW && limit > 0 {
        run.state = RunState::Healing;
        return Ok(Some(session.now));
    }
    run.state = RunState::Asks;
    let text = format!(
        "{} of {} links drifted, more than a run mends unasked: look at {} (firn integration reconcile history), then confirm or stop it",
        run.drifted, run.links, run.id
    );
    let (kind, integration, at) = (FindingKind::MuchDrift, run.integration.clone(), session.now);
    session.find(tenant, &Finding { kind, integration, link: None, field: None, text, at })?;
    Ok(None)
}

/// Ends a run.
pub(crate) fn stop<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    integration: &IntegrationId,
    id: &str,
    by: &str,
) -> Result<(), CommitError> {
    let may = |state: RunState| !state.is_over();
    change(session, request, (tenant, integration, id), "run-stopped", by, may, stopped)
}

fn stopped(run: &mut Run, now: Millis) {
    run.finished = Some(now);
    run.state = RunState::Stopped;
}

/// Lets a run go on that asked.
pub(crate) fn confirm<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    integration: &IntegrationId,
    id: &str,
    by: &str,
) -> Result<(), CommitError> {
    let may = |state| state == RunState::Asks;
    let done = |run: &mut Run, _| run.state = RunState::Healing;
    change(session, request, (tenant, integration, id), "run-confirmed", by, may, done)
}

fn change<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    (tenant, integration, id): (&TenantId, &IntegrationId, &str),
    event: &str,
    by: &str,
    may: impl FnOnce(RunState) -> bool,
    done: impl FnOnce(&mut Run, Millis),
) -> Result<(), CommitError> {
    let key = rows::run(tenant, integration, id);
    let Some(run) = session.get::<Run>(&key)? else {
        return operate::not_found(session, request, "run", id);
    };
    if !may(run.state) {
        let state = serde_json::to_value(run.state).unwrap_or_default();
        let detail = format!("{id} is {}", state.as_str().unwrap_or_default());
        let problem = Problem::new(409, "run-is-elsewhere", "Not in this state", detail);
        session.problem(request, &problem);
        return Ok(());
    }
    let run = end(session, tenant, run, event, by, done)?;
    session.reply(request, 200, &json!(run));
    Ok(())
}

/// What was asked of a run is decided.
fn end<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    mut run: Run,
    event: &str,
    by: &str,
    done: impl FnOnce(&mut Run, Millis),
) -> Result<Run, CommitError> {
    let now = session.now;
    done(&mut run, now);
    session.put(&rows::run(tenant, &run.integration, &run.id), &run, Some(now))?;
    operate::note(session, tenant, &run.integration, None, event, by)?;
    for row in session.all(tenant, &format!("finding/{}/much-drift.", run.integration))? {
        if row.value.contains(run.id.as_str()) {
            session.delete(&row.key);
        }
    }
    Ok(run)
}

// ---- by themselves -----------------------------------------------------------------------------

/// How often runs begin by themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Milliseconds from one to the next.
    pub(crate) interval: u64,
    /// Only look, or mend.
    pub(crate) mode: RunMode,
    /// Whether at all.
    pub(crate) enabled: bool,
}

/// The shortest time from one run to the next: a minute. In milliseconds.
const SHORTEST: u64 = 60_000;

/// Lets runs begin by themselves, or no more.
pub(crate) fn schedule<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    integration: &IntegrationId,
    timing: Timing,
    by: &str,
) -> Result<(), CommitError> {
    if session.rules(tenant, integration)?.is_none() {
        return operate::not_found(session, request, "integration", integration.as_str());
    }
    if timing.interval < SHORTEST {
        let detail = "a minute is the shortest time from one run to the next";
        let problem = Problem::new(422, "interval-too-short", "The interval is too short", detail);
        session.problem(request, &problem);
        return Ok(());
    }
    let key = rows::schedule(tenant, integration);
    let last = session.get::<Schedule>(&key)?.and_then(|known| known.last);
    let Timing { interval, mode, enabled } = timing;
    let next = enabled.then(|| session.now.plus(interval));
    let (integration, by) = (integration.clone(), by.to_owned());
    let schedule = Schedule { integration, interval, mode, enabled, by, next, last };
    session.put(&key, &schedule, next)?;
    let event = if enabled { "reconcile-scheduled" } else { "reconcile-unscheduled" };
    operate::note(session, tenant, &schedule.integration, None, event, &schedule.by)?;
    session.reply(request, 200, &json!(schedule));
    Ok(())
}

/// The next run begins, unless the last is still at it.
pub(crate) fn schedule_due<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
) -> Result<(), CommitError> {
    let Some(mut schedule) = session.get::<Schedule>(key)? else { return Ok(()) };
    if !schedule.enabled {
        return session.rest(key);
    }
    let last = match &schedule.last {
        Some(id) => session.get::<Run>(&rows::run(&key.tenant, rules.id(), id))?,
        None => None,
    };
    // One that nobody let go on is out of date by now: the next one looks anew, and asks anew.
    let asks = last.as_ref().is_some_and(|run| run.state == RunState::Asks);
    if rules.integration().enabled && (asks || last.as_ref().is_none_or(|run| run.state.is_over()))
    {
        if let Some(run) = last.filter(|_| asks) {
            end(session, &key.tenant, run, "run-stopped", "the schedule", stopped)?;
        }
        let run = begin(session, &key.tenant, rules, schedule.mode, "the schedule")?;
        schedule.last = Some(run.id);
    }
    schedule.next = Some(session.now.plus(schedule.interval));
    session.put(key, &schedule, schedule.next)
}

fn asks(state: &CheckState) -> Option<(Side, ExchangeKind)> {
    match state {
        CheckState::ReadingExternal => Some((Side::External, ExchangeKind::Read)),
        CheckState::ReadingJournal => Some((Side::External, ExchangeKind::Journal)),
        CheckState::ReadingPlatform => Some((Side::Platform, ExchangeKind::Read)),
        CheckState::Together | CheckState::Done | CheckState::Drifted | CheckState::Failed(_) => {
            None
        }
    }
}

/// A check is due: it begins, or its read was lost and is tried again.
pub(crate) fn check_due<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
) -> Result<(), CommitError> {
    let Some(mut check) = session.get::<Check>(key)? else { return Ok(()) };
    let run = session.get::<Run>(&rows::run(&key.tenant, rules.id(), &check.run))?;
    if run.is_none_or(|run| run.state.is_over()) {
        session.delete(key); // It was stopped.
        return Ok(());
    }
    let link = session.link(&key.tenant, rules.id(), &check.link);
    let Some(link) = unreadable::pass_over(session, link)?.flatten() else {
        return give_up(session, rules, key);
    };
    if check.state == CheckState::ReadingPlatform && !rules.may_read(Side::Platform) {
        check.platform_not_verifiable = true;
        check.state = CheckState::Done;
        return finish(session, rules, key, check, &link);
    }
    if check.attempts >= ATTEMPTS {
        check.state = CheckState::Failed("no answer after several tries".to_owned());
        return finish(session, rules, key, check, &link);
    }
    ask(session, rules, key, &mut check, &link)?;
    let due = session.now.plus(wire::QUEUE + rules.settings().request_timeout + 1_000);
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
    let exchange = exchange(kind, check);
    let ticket = ticket(key, side, exchange.number);
    if let Some(request) = wire::request(rules, &key.tenant, link, side, &exchange, ticket) {
        session.submit(request);
    }
    Ok(())
}

/// Tells the answer to a check's last request from those to the ones before.
fn number(check: &Check) -> u64 {
    ((check.seen.len() as u64) << 32) | u64::from(check.attempts)
}

fn exchange(kind: ExchangeKind, check: &Check) -> Exchange {
    let number = number(check);
    Exchange { kind, number, since: check.asked, deadline: check.asked, elsewhere: false }
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
    if (asked, self::number(&check)) != (side, number) {
        return Ok(());
    }
    let exchange = exchange(kind, &check);
    let reading = wire::reading(rules, &link, side, &exchange, answer, session.now);
    check.clocks.extend(wire::clock(check.asked, answer, session.now).map(|told| (side, told)));
    if let Reading::Outcome(outcome @ (Outcome::Busy(_) | Outcome::Silent(_))) = &reading {
        // Nobody was asked: that was no try.
        check.attempts = check.attempts.saturating_sub(1);
        return session.put(key, &check, outcome.not_before(session.now));
    }
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
        CheckState::ReadingExternal if rules.integration().reads_journal() => {
            CheckState::ReadingJournal
        }
        CheckState::ReadingExternal | CheckState::ReadingJournal
            if rules.may_read(Side::Platform) =>
        {
            CheckState::ReadingPlatform
        }
        _ => CheckState::Done,
    };
    if check.state == CheckState::Done {
        return finish(session, rules, key, check, &link);
    }
    ask(session, rules, key, &mut check, &link)?;
    let due = session.now.plus(wire::QUEUE + rules.settings().request_timeout + 1_000);
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
    // What other links on the ticket wrote there is no news.
    let neighbours = session.neighbours(&key.tenant, link);
    let neighbours = unreadable::pass_over(session, neighbours)?.flatten().unwrap_or_default();
    for observation in &seen {
        observe::observe(rules, &mut looked, &neighbours, observation, session.now);
    }
    let is_compared = link.successor.is_none();
    if is_compared {
        check.entries = looked.entries.len().saturating_sub(link.entries.len()) as u64;
    }
    let busy = Side::BOTH.iter().any(|side| link.side(*side).flight.is_some());
    if is_compared && !busy && link.role != Role::Secondary {
        check.fields = rules
            .fields(&looked.table)
            .iter()
            .filter_map(|field| drift(rules, field, &looked, session.now))
            .collect();
    }
    close(session, rules, key, check, (seen, clocks))
}

/// A check of a link that is not there, or cannot be read, has failed.
pub(crate) fn give_up<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
) -> Result<(), CommitError> {
    let Some(mut check) = session.get::<Check>(key)? else { return Ok(()) };
    check.state = CheckState::Failed("the link cannot be read".to_owned());
    close(session, rules, key, check, (Vec::new(), Vec::new()))
}

/// A check is over: its run counts it.
fn close<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    mut check: Check,
    (seen, clocks): (Vec<Observation>, Vec<(Side, Option<Clock>)>),
) -> Result<(), CommitError> {
    // What was read is as it stands there; a run shows what is masked.
    check.seen.clear();
    check.clocks.clear();
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
        if check.platform_not_verifiable {
            run.not_verifiable += 1;
        }
        if (drifted || failed) && run.drifts.len() < SHOWN {
            run.drifts.push(check.clone());
        }
        let over = run.state.is_over();
        let counts = run.counted_to.is_some();
        let mut due = (over || counts).then_some(session.now);
        if run.checked >= run.links && !counts && run.state == RunState::Running {
            due = all_looked_at(session, rules, &key.tenant, &mut run)?;
        }
        if run.mode == RunMode::AutoHeal && failed && !drifted {
            // The ordinary reads tell a person what is the matter, or that it is over (a ticket of another
            // class is found by them), and see what this one did not.
            heal(session, rules, &key.tenant, &check.link)?;
        }
        if run.mode == RunMode::AutoHeal && !failed && !drifted && !over {
            let told = clocks.into_iter().map(|(side, clock)| Input::Told { side, clock });
            let inputs: Vec<Input> = told.chain(seen.into_iter().map(Input::Seen)).collect();
            if let Some(mut link) = session.link(&key.tenant, rules.id(), &check.link)? {
                link.external_side.look_twins |= link.resent;
                session.advance(&key.tenant, rules, link, &inputs)?;
            }
        }
        session.put(&run_key, &run, due)?;
        if run.mode == RunMode::AutoHeal && drifted && !over {
            // It waits until all were looked at: too many may have drifted.
            check.state = CheckState::Drifted;
            return session.put(key, &check, None);
        }
    }
    session.delete(key);
    Ok(())
}

/// Lets both sides of a link be read again: what is found then may be newer than what the check saw, and
/// `plan` decides on that.
fn heal<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    tenant: &TenantId,
    id: &LinkId,
) -> Result<(), CommitError> {
    let link = session.link(tenant, rules.id(), id);
    let Some(mut link) = unreadable::pass_over(session, link)?.flatten() else { return Ok(()) };
    link.external_side.look_twins |= link.resent;
    for side in Side::BOTH.into_iter().filter(|side| rules.may_read(*side)) {
        let state = link.side_mut(side);
        state.look = true;
        state.look_journal = side == Side::External;
    }
    session.advance(tenant, rules, link, &[])
}

/// A field that both sides do not agree on, and what would become of it.
fn drift(rules: &Rules, field: &FieldMapping, link: &Link, now: Millis) -> Option<FieldDrift> {
    let state = link.fields.get(&field.name)?;
    let (platform, external) = (state.platform.as_ref()?, state.external.as_ref()?);
    // What is kept in step at the moment; whether a condition can be evaluated is told elsewhere.
    if plan::applies(field, state, link) != Ok(true) {
        return None;
    }
    if let Some(parked) = &state.parked {
        // By meaning, as the plan takes it.
        let stays = |side, then: &Option<Shape>, now: &Seen| {
            then.as_ref().is_some_and(|then| mapping::same(field, side, &now.shape, then))
        };
        if stays(Side::Platform, &parked.platform, platform)
            && stays(Side::External, &parked.external, external)
        {
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
        Verdict::Carry { to, .. } if !rules.may_write(to) => return None,
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
