//! Sweeps: asks the instance for what is new, table by table, and gives it to the links like any other
//! observation. Webhooks may all be lost: what they would have told is seen here.
//!
//! One row for each table, due when its next walk begins. A walk asks for page after page; tickets of
//! which more must be read are read together.

use std::collections::BTreeMap;

use firn_core::plan::Input;
use firn_core::settings::{Gate, Rules};
use firn_core::sweep::{self as cursor, GRACE, Page};
use firn_core::wire::poll::{self, News, Polled};
use firn_core::{attachment, land, observe, wire};
use firn_model::{
    Answer, CommitError, EntryOrigin, Finding, FindingKind, Key, Link, LinkId, Millis, Mirror,
    Observation, ObservationSource, ObservedRecord, Order, Outcome, Pace, Place, Polling, Side,
    Stream, Sweep, SysId, TableName, TenantId, Walk,
};

use crate::session::{Session, ticket};
use crate::{Doors, attach, recover, rows, unreadable, work};

/// After a refusal the table is tried again then. In milliseconds.
const REFUSED: u64 = 600_000;

/// While an integration is paused it is looked at again so often. In milliseconds.
const PAUSED: u64 = 5_000;

/// Lets every table that is to be polled be so, from now on. Gives their names.
pub(crate) fn watch<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
) -> Result<Vec<String>, CommitError> {
    let mut tables = Vec::new();
    for stream in rules.integration().streams() {
        tables.push(stream.to_string());
        let key = rows::sweep(tenant, rules.id(), &stream);
        let known = session.get::<Sweep>(&key)?;
        let now = session.now;
        let all = rules.settings().polling.backfill && matches!(stream, Stream::Records(_));
        let since = if all { Millis(0) } else { now };
        let mut sweep = known.unwrap_or_else(|| Sweep::new(rules.id().clone(), stream, since));
        // It was changed before anything was seen.
        let fresh = sweep.mark.is_none() && sweep.caught_up.is_none();
        if fresh && (sweep.since == Millis(0)) != all {
            (sweep.since, sweep.walk) = (since, None);
            // An answer that is under way is about another walk.
            sweep.number += 1;
            sweep.asked = None;
        }
        // A request under way comes back, or is overdue soon.
        let patience = wire::QUEUE + rules.settings().request_timeout + 1_000;
        let under_way = sweep
            .asked
            .is_some_and(|at| now.since(at) < i64::try_from(patience).unwrap_or(i64::MAX));
        if !under_way {
            session.put(&key, &sweep, Some(now))?;
        }
    }
    Ok(tables)
}

/// What came of asking a table before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hurried {
    /// It is asked now.
    Asked,
    /// It is being asked: the row may be behind what was read.
    UnderWay,
    /// It is not polled.
    NotPolled,
}

/// Lets a table be asked at once for what is new.
pub(crate) fn hurry<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
    table: TableName,
) -> Result<Hurried, CommitError> {
    let stream = Stream::Records(table);
    if !rules.integration().streams().contains(&stream) {
        return Ok(Hurried::NotPolled);
    }
    let key = rows::sweep(tenant, rules.id(), &stream);
    let Some(sweep) = session.get::<Sweep>(&key)? else { return Ok(Hurried::NotPolled) };
    // What failed is tried again in its own time.
    if sweep.walk.is_some() || sweep.asked.is_some() || sweep.failures > 0 {
        return Ok(Hurried::UnderWay);
    }
    let now = session.now;
    session.put(&key, &sweep, Some(now))?;
    Ok(Hurried::Asked)
}

/// A walk begins, or its last request was lost and is made again.
pub(crate) fn due<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
) -> Result<(), CommitError> {
    let Some(mut sweep) = session.get::<Sweep>(key)? else { return Ok(()) };
    if sweep.asked.take().is_some() {
        let lost = Outcome::NotSent("no answer in time".to_owned());
        return failed(session, rules, key, sweep, &lost);
    }
    let walk = sweep.walk.take().unwrap_or_else(|| {
        cursor::begin(&sweep, rules.settings().correlation.transaction_limit, session.now)
    });
    ask(session, rules, key, sweep, walk)
}

/// Makes a walk's next request, if the table is to be polled now.
fn ask<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    mut sweep: Sweep,
    walk: Walk,
) -> Result<(), CommitError> {
    let polled = rules.integration().streams().contains(&sweep.stream);
    if !polled || !rules.integration().enabled {
        // It goes on from there when it is polled again, or the integration is resumed; one that has not
        // begun begins then.
        sweep.walk = Some(walk).filter(|walk| !matches!(walk.place, Place::Ours(_)));
        let later = polled.then(|| session.now.plus(PAUSED));
        return session.put(key, &sweep, later);
    }
    sweep.number += 1;
    sweep.asked = Some(session.now);
    let name = ticket(key, Side::External, sweep.number);
    let request = poll::request(rules, &key.tenant, &sweep, &walk, name);
    let deadline = session.now.plus(request.queue + request.timeout + 1_000);
    session.submit(request);
    sweep.walk = Some(walk);
    session.put(key, &sweep, Some(deadline))
}

/// A request is over.
pub(crate) fn answered<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    number: u64,
    answer: &Answer,
) -> Result<(), CommitError> {
    let Some(mut sweep) = session.get::<Sweep>(key)? else { return Ok(()) };
    let current = sweep.number == number;
    let (Some(asked), true) = (sweep.asked, current) else { return Ok(()) };
    let Some(mut walk) = sweep.walk.take() else { return Ok(()) };
    sweep.asked = None;
    let polled = poll::reading(rules, &sweep, &walk, answer, session.now);
    if !matches!(polled, Polled::Failed(_)) {
        if sweep.trouble.is_some() {
            forget(session, rules, key, "polling-refused", &sweep)?;
        }
        (sweep.failures, sweep.trouble) = (0, None);
    }
    let over = match polled {
        Polled::Failed(outcome) => {
            sweep.walk = Some(walk);
            return failed(session, rules, key, sweep, &outcome);
        }
        Polled::Tickets(tickets) => {
            let told = wire::clock(asked, answer, session.now);
            let told = told.map(|clock| Input::Told { side: Side::External, clock });
            if let Stream::Records(table) = &sweep.stream {
                let of = (&key.tenant, table);
                read(session, rules, of, &mut walk, tickets, told.as_ref())?;
            }
            walk.over
        }
        Polled::Page { rows, count, total, leads_on, theirs } => {
            // The first answer only tells their clock.
            let looked = matches!(walk.place, Place::Ours(_));
            let places: Vec<cursor::At> = rows.iter().map(|(at, _)| at.clone()).collect();
            let ours = session.now;
            let page = Page { rows: &places, count, total, leads_on, theirs, ours };
            let over = match cursor::turn(&mut walk, page) {
                Ok(over) => over,
                Err(why) => return astray(session, rules, key, sweep, &why.to_string()),
            };
            let shows_nothing = count > 0 && rows.is_empty();
            if shows_nothing {
                let why = "its rows do not show when they changed";
                return astray(session, rules, key, sweep, why);
            }
            if !looked {
                for (at, news) in rows {
                    let when = (at.0, theirs);
                    let taken = take(session, rules, &key.tenant, &sweep, &mut walk, when, news);
                    unreadable::pass_over(session, taken)?;
                }
            }
            over
        }
    };
    walk.over = over;
    if !over || !walk.wanted.is_empty() {
        return ask(session, rules, key, sweep, walk);
    }
    let before = sweep.pace;
    cursor::end(&mut sweep, &walk, session.now);
    if rules.settings().polling.mode == Polling::Alone {
        sweep.pace = Pace::Behind;
    }
    tell_of_pace(session, rules, key, &sweep, before)?;
    let next = cursor::next(rules, sweep.pace, session.now);
    session.put(key, &sweep, Some(next))
}

/// What one row says, for the links on its ticket.
fn take<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    tenant: &TenantId,
    sweep: &Sweep,
    walk: &mut Walk,
    (at, theirs): (Millis, Option<Millis>),
    news: News,
) -> Result<(), CommitError> {
    // Not there when the walk before this one ended.
    let fresh = sweep.mark.map_or(sweep.caught_up.is_some(), |mark| at > mark);
    let ripe = theirs.is_some_and(|theirs| theirs.since(at) >= GRACE.cast_signed());
    let count = |walk: &mut Walk, is_news: bool| match (is_news, fresh && ripe) {
        (true, true) => walk.missed += 1,
        (false, true) => walk.timely += 1,
        _ => {}
    };
    match news {
        News::Ticket(record) => {
            // A row of a table that extends this one: its own stream shows all of it, and this one does not.
            let class = record.class.clone().and_then(|class| TableName::new(class).ok());
            let elsewhere = |class: TableName| {
                let own = Stream::Records(class);
                own != sweep.stream && rules.integration().streams().contains(&own)
            };
            if class.is_some_and(elsewhere) {
                return Ok(());
            }
            let links = session.on_ticket(tenant, rules.id(), &record.id)?;
            if links.is_empty() {
                // Our own insert may be seen before its answer, and not show its key.
                let shown = record.attributes.contains_key(&rules.settings().correlation.column);
                let never_ours = !rules.may_write(Side::External);
                return match shown || ripe || never_ours {
                    true => unknown(session, rules, tenant, *record),
                    false => Ok(()),
                };
            }
            let whole = poll::shows_all(rules);
            let mut is_news = false;
            if whole {
                is_news = observed(session, rules, tenant, &links, &record, None)?;
            } else {
                for id in &links {
                    let Some(link) = session.link(tenant, rules.id(), id)? else { continue };
                    is_news |= link.tombstone.is_none() && tells_more(&record, &link);
                }
            }
            // What we changed ourselves says nothing about webhooks.
            if is_news || !poll::by_us(rules, &record) {
                count(walk, is_news);
            }
            if is_news
                && !whole
                && let Ok(id) = SysId::new(record.id)
            {
                walk.wanted.push(id);
            }
        }
        News::Entry { id, of } => {
            let mut links = session.linked(tenant, rules.id(), of.as_str())?;
            // What one of them wrote is no news to the others; most entries are on no ticket of ours.
            if links.is_empty() || links.iter().any(|link| wrote(link, &id)) {
                return Ok(());
            }
            let foreign = EntryOrigin::External(id.into());
            links.retain(|link| !link.entries.iter().any(|entry| entry.origin == foreign));
            count(walk, !links.is_empty());
            for link in links {
                // One of them may change the others.
                let Some(mut link) = session.link(tenant, rules.id(), &link.id)? else { continue };
                link.external_side.look_journal = true;
                session.advance(tenant, rules, link, &[])?;
            }
        }
        // Perhaps put there while a store was at work that is not there any more: a list of all tells.
        News::File { of, ours: true, .. }
            if rules.integration().restored.is_some_and(|restored| restored.may_cover(at)) =>
        {
            for link in session.linked(tenant, rules.id(), of.as_str())? {
                attach::tell(session, tenant, rules, &link.id, attachment::Input::List)?;
            }
        }
        News::File { of, file, ours } => {
            let known = attach::seen_on_ticket(session, tenant, rules, of.as_str(), &file)?;
            // What we put there ourselves says nothing about webhooks.
            if let (Some(known), false) = (known, ours) {
                count(walk, !known);
            }
        }
        News::Deleted(of) => {
            // Their own read proves it.
            let links = session.on_ticket(tenant, rules.id(), of.as_str())?;
            look(session, rules, tenant, &links)?;
        }
    }
    Ok(())
}

/// Whether a ticket's revision and class tell of something that a link has not seen.
fn tells_more(record: &ObservedRecord, link: &Link) -> bool {
    let class = record.class.as_deref().is_some_and(|class| class != link.table.as_str());
    let known = link.external_side.revision;
    class
        || match (record.revision, known) {
            (Some(seen), Some(known)) => {
                matches!(seen.order(&known), Order::Newer | Order::Unordered)
            }
            _ => true,
        }
}

/// Whether a row of the journal mirrors an entry of a link's platform.
fn wrote(link: &Link, row: &SysId) -> bool {
    let mirrors =
        |mirror: &Mirror| matches!(mirror, Mirror::Mirrored(Some(id)) if id == row.as_str());
    link.entries.iter().any(|entry| mirrors(&entry.mirror))
}

/// A ticket without a link: perhaps one that the platform is to be told of.
fn unknown<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    tenant: &TenantId,
    record: ObservedRecord,
) -> Result<(), CommitError> {
    let ours = work::by_shown_key(session, rules, tenant, &record)?.is_some();
    if ours
        || recover::take_up(session, rules, tenant, &record)?.is_some()
        || !poll::shows_all(rules)
    {
        return Ok(());
    }
    let context = serde_json::json!({ "table": record.class, "ticket": record.attributes });
    if rules.asks_for_more(Gate::Mirror, &record.attributes)
        && rules.lets_in_for_sure(Gate::Mirror, &context).is_none()
    {
        // A guess would tell the platform of what it is not to see, or never of what it is to.
        let why = "filters.mirror asks for a column that a row does not show (the integration user may not read it, or the filter uses the ticket as a whole): such tickets are not mirrored".to_owned();
        return session.filter_failed(tenant, rules.id(), why);
    }
    work::mirror(session, rules, tenant, observation(record)).map(|_| ())
}

fn observation(record: ObservedRecord) -> Observation {
    let source = ObservationSource::Read;
    Observation { side: Side::External, source, record, entries: Vec::new() }
}

/// Tickets that were read together. One that is not among them is read by itself, which tells why.
fn read<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    (tenant, table): (&TenantId, &TableName),
    walk: &mut Walk,
    tickets: Vec<ObservedRecord>,
    told: Option<&Input>,
) -> Result<(), CommitError> {
    let mut tickets: BTreeMap<String, ObservedRecord> =
        tickets.into_iter().map(|ticket| (ticket.id.clone(), ticket)).collect();
    let most = walk.wanted.len().min(poll::merged(rules, table));
    let asked: Vec<SysId> = walk.wanted.drain(..most).collect();
    for id in asked {
        let links = session.on_ticket(tenant, rules.id(), id.as_str())?;
        let looked_at = match tickets.remove(id.as_str()) {
            Some(record) => observed(session, rules, tenant, &links, &record, told).map(|_| ()),
            None => look(session, rules, tenant, &links),
        };
        unreadable::pass_over(session, looked_at)?;
    }
    Ok(())
}

/// Each link of a ticket reads it itself.
fn look<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    tenant: &TenantId,
    links: &[LinkId],
) -> Result<(), CommitError> {
    for link in links {
        if let Some(mut link) = session.link(tenant, rules.id(), link)? {
            link.external_side.look = true;
            session.advance(tenant, rules, link, &[])?;
        }
    }
    Ok(())
}

/// Gives a whole ticket to its links, and says whether any of them learns something.
fn observed<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    tenant: &TenantId,
    links: &[LinkId],
    record: &ObservedRecord,
    told: Option<&Input>,
) -> Result<bool, CommitError> {
    let seen = observation(record.clone());
    let mut news = false;
    for id in links {
        let Some(link) = session.link(tenant, rules.id(), id)? else { continue };
        // Seen again within the overlap: nothing is written for that.
        let mut after = link.clone();
        observe::observe(rules, &mut after, &Default::default(), &seen, session.now);
        if after == link {
            continue;
        }
        news |= link.tombstone.is_none();
        let mut link = link;
        // A comment moves the ticket's revision; of these no stream tells by itself.
        link.external_side.look_journal |= wire::has_activities(rules, &link.table)
            && after.external_side.revision != link.external_side.revision;
        let inputs: Vec<Input> =
            told.cloned().into_iter().chain([Input::Seen(seen.clone())]).collect();
        session.advance(tenant, rules, link, &inputs)?;
    }
    Ok(news)
}

/// A request came to nothing: the walk goes on where it was, later.
fn failed<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    mut sweep: Sweep,
    outcome: &Outcome,
) -> Result<(), CommitError> {
    if let Outcome::Busy(_) = outcome {
        // Its turn comes; nothing is wrong.
        return session.put(key, &sweep, outcome.not_before(session.now));
    }
    sweep.failures = sweep.failures.saturating_add(1);
    sweep.trouble = Some(outcome.to_string());
    let pause = match outcome {
        Outcome::Refused(_) | Outcome::Gone | Outcome::Deleted => {
            refused(session, rules, key, &sweep, &outcome.to_string())?;
            REFUSED
        }
        Outcome::SignInFailed => land::SIGN_IN_PAUSE,
        _ => land::backoff(&key.path, sweep.failures),
    };
    let due = outcome.not_before(session.now).unwrap_or(session.now.plus(pause));
    session.put(key, &sweep, Some(due))
}

/// The instance's answers cannot be walked over: somebody has to see to it.
fn astray<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    mut sweep: Sweep,
    why: &str,
) -> Result<(), CommitError> {
    sweep.walk = None;
    sweep.failures = sweep.failures.saturating_add(1);
    sweep.trouble = Some(why.to_owned());
    refused(session, rules, key, &sweep, why)?;
    let due = session.now.plus(REFUSED);
    session.put(key, &sweep, Some(due))
}

fn refused<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    sweep: &Sweep,
    why: &str,
) -> Result<(), CommitError> {
    let text = format!(
        "{}: it cannot be polled ({why}), so that changes that no webhook tells of are found by a reconcile only; give the integration user the right to read it, and try `firn integration test`",
        sweep.stream
    );
    find(session, rules, key, FindingKind::PollingRefused, text)
}

fn find<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    kind: FindingKind,
    text: String,
) -> Result<(), CommitError> {
    let integration = rules.id().clone();
    let at = session.now;
    session.find(&key.tenant, &Finding { kind, integration, link: None, field: None, text, at })
}

/// Takes back what was told of a stream: what is told begins with its table.
fn forget<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    kind: &str,
    sweep: &Sweep,
) -> Result<(), CommitError> {
    let about = format!("{}: ", sweep.stream);
    for row in session.all(&key.tenant, &format!("finding/{}/{kind}.", rules.id()))? {
        let told = session.get::<Finding>(&row.key)?;
        if told.is_some_and(|finding| finding.text.starts_with(&about)) {
            session.delete(&row.key);
        }
    }
    Ok(())
}

/// Tells when webhooks do not arrive, and takes that back when they do.
fn tell_of_pace<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    sweep: &Sweep,
    before: Pace,
) -> Result<(), CommitError> {
    let text = format!(
        "{}: changes are found by polling that no webhook told of; it is polled every {} s until webhooks arrive again: `firn integration test` says what keeps them away",
        sweep.stream,
        rules.settings().polling.interval_alone.div_ceil(1_000),
    );
    match (before, sweep.pace) {
        (Pace::Behind, Pace::Alone { .. }) => {
            find(session, rules, key, FindingKind::WebhooksMissing, text)
        }
        (Pace::Trial { .. } | Pace::Alone { .. }, Pace::Behind) => {
            forget(session, rules, key, "webhooks-missing", sweep)
        }
        _ => Ok(()),
    }
}
