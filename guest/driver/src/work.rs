//! Work: rows that are due, and answers to requests. Each brings an input to a link and lets the
//! plan look again.

use firn_core::plan::Input;
use firn_core::settings::{Gate, Rules};
use firn_core::wire;
use firn_core::wire::poll::{self, Forgotten};
use firn_core::{attachment, intake};
use firn_model::{
    Answer, CommitError, Delivery, DeliveryState, Draft, ExternalRecord, InboundKind,
    IntegrationId, Key, Link, LinkId, Observation, ObservationSource, ObservedRecord, PlatformId,
    Polling, Presence, Preset, PullBy, Side, SysId, TableName, TenantId,
};
use serde_json::json;

use crate::session::{Session, read_ticket};
use crate::sweep::Hurried;
use crate::{
    Doors, admit, alert, article, attach, dead, learn, reconcile, recover, rows, sweep, together,
};

/// How long deliveries are kept: 7 days. In milliseconds.
pub(crate) const RETENTION: u64 = 7 * 24 * 3_600_000;

/// How long a webhook about a ticket that we do not know waits: our own insert may be heard before
/// its answer. In milliseconds.
const UNKNOWN_TICKET_PATIENCE: i64 = 15_000;

/// How long what is said in a conversation waits for its escalation. In milliseconds.
const ESCALATION_PATIENCE: i64 = 15_000;

/// A row is due.
pub(crate) fn due<D: Doors>(session: &mut Session<'_, D>, key: &Key) -> Result<(), CommitError> {
    // Told of twice, or by another process too: it was done meanwhile, and is due at another time or never.
    if !session.is_due(key)? {
        return Ok(());
    }
    let segments: Vec<String> = key.segments().map(str::to_owned).collect();
    let Some(integration) = segments.get(1).and_then(|s| IntegrationId::new(s.clone()).ok()) else {
        return Ok(());
    };
    // Work of an integration that was deleted rests; it is erased with the rest of its records.
    let Some(rules) = session.rules(&key.tenant, &integration)? else { return session.rest(key) };
    match segments[0].as_str() {
        "link" => match session.link_at(key)? {
            Some(link) => session.advance(&key.tenant, &rules, link, &[]),
            None => Ok(()),
        },
        "delivery" => delivery(session, &rules, key),
        "check" => reconcile::check_due(session, &rules, key),
        "group" => together::due(session, &rules, key),
        "run" => reconcile::run_due(session, &rules, key),
        "recover" => recover::due(session, &rules, key),
        "schedule" => reconcile::schedule_due(session, &rules, key),
        "sweep" => sweep::due(session, &rules, key),
        "dead" => dead::due(session, key),
        "alert" => alert::due(session, &rules, key),
        "attachments" => attach::due(session, &rules, key),
        "learnt" => learn::due(session, &rules, key),
        "article" => article::due(session, &rules, key),
        "quarantine" => {
            session.delete(key); // Its time is over.
            Ok(())
        }
        _ => Ok(()),
    }
}

fn delivery<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
) -> Result<(), CommitError> {
    let Some(mut delivery) = session.get::<Delivery>(key)? else { return Ok(()) };
    if !matches!(delivery.state, DeliveryState::Received | DeliveryState::Waiting) {
        session.delete(key); // Its time is over.
        return Ok(());
    }
    if !rules.integration().enabled {
        // The longer, the more seldom: very many may wait for days.
        let waited = session.now.since(delivery.received).unsigned_abs();
        let later = session.now.plus((waited / 4).clamp(2_000, 60_000));
        return session.put_off(key, later);
    }
    let done = match delivery.kind {
        InboundKind::Webhook => webhook(session, rules, key, &delivery)?,
        InboundKind::PlatformEvent => event(session, rules, key, &delivery)?,
        InboundKind::Escalation => led_to("escalations are links from the start"),
    };
    match done {
        // Somebody was forgotten: what comes in about them later is not kept either.
        Some((_, links)) if session.all_forgotten(&key.tenant, rules.id(), &links)? => {
            session.delete(key);
            Ok(())
        }
        Some((what, links)) => {
            delivery.state = DeliveryState::Done(what);
            delivery.links = links;
            let end = delivery.received.plus(RETENTION);
            session.put(key, &delivery, Some(end))
        }
        None => {
            delivery.state = DeliveryState::Waiting;
            // The longer it has waited, the less often it is looked at.
            let age = u64::try_from(session.now.since(delivery.received)).unwrap_or_default();
            let later = session.now.plus(500.max(age / 8));
            session.put(key, &delivery, Some(later))
        }
    }
}

/// What a delivery led to, in a word, and the links that it brought something to. `None` if it has to wait.
type Led = Option<(String, Vec<LinkId>)>;

fn led_to(what: impl Into<String>) -> Led {
    Some((what.into(), Vec::new()))
}

/// What a webhook led to; it may have to wait for its ticket to be known.
fn webhook<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    delivery: &Delivery,
) -> Result<Led, CommitError> {
    let observation = match intake::servicenow(rules, &delivery.body) {
        Ok(observation) => observation,
        Err(why) => return Ok(led_to(format!("unreadable: {why}"))),
    };
    let mut links = session.on_ticket(&key.tenant, rules.id(), &observation.record.id)?;
    if links.is_empty()
        && let Some(link) = by_shown_key(session, rules, &key.tenant, &observation.record)?
        && link.tombstone.is_none()
        && link.external.as_ref().is_some_and(|e| e.sys_id.as_str() == observation.record.id)
    {
        // It has got it since the index was read.
        links.push(link.id);
    }
    if links.is_empty() {
        // Our own insert may be heard before its answer. A ticket that shows another key than ours,
        // or none, is not ours; one whose key is not shown may turn out to be.
        let column = &rules.settings().correlation.column;
        // While an integration rests after a restore nobody looks for what is its own.
        let rested = rules.integration().restored.map(|restored| restored.settled());
        let age = session.now.since(rested.unwrap_or_default().max(delivery.received));
        if let Some(mut link) = by_shown_key(session, rules, &key.tenant, &observation.record)? {
            let sys_id = SysId::new(observation.record.id.clone()).ok();
            let was_paired = match &sys_id {
                Some(sys_id) => !session.formerly(&key.tenant, rules.id(), sys_id)?.is_empty(),
                None => true,
            };
            if link.external.is_some() && link.tombstone.is_none() && !was_paired {
                // A copy of its ticket, or a duplicate.
                let id = link.id.clone();
                link.external_side.look_twins = true;
                session.advance(&key.tenant, rules, link, &[])?;
                return Ok(Some(("its link looks for what else has its key".to_owned(), vec![id])));
            }
            return Ok(
                (!link.is_making_its_ticket()).then(|| (LOOKS_ITSELF.to_owned(), vec![link.id]))
            );
        }
        let hidden =
            rules.may_write(Side::External) && !observation.record.attributes.contains_key(column);
        // It may be our own, which comes to be long after its answer was lost: its row shows the key. Where none is
        // asked by when it was changed, nothing but the time tells it from others.
        let polling = &rules.settings().polling;
        let polls = polling.mode != Polling::Off;
        let mirrors = hidden && poll::shows_all(rules);
        let shows_row = polls && polling.pull_by == PullBy::Updated;
        let limit = rules.settings().correlation.transaction_limit;
        let patience = match i64::try_from(limit) {
            Ok(limit) if mirrors && !shows_row => limit.max(UNKNOWN_TICKET_PATIENCE),
            _ => UNKNOWN_TICKET_PATIENCE,
        };
        if hidden && age <= patience {
            return Ok(None);
        }
        if let Some(led) = recover::take_up(session, rules, &key.tenant, &observation.record)? {
            return Ok(Some(led));
        }
        let class = observation.record.class.clone();
        let class = class.and_then(|class| TableName::new(class).ok());
        let class = class.or_else(|| rules.tables().next().cloned().filter(|_| mirrors));
        let asks = rules.asks_for_more(Gate::Mirror, &observation.record.attributes);
        // Where no table is asked, a webhook has to do.
        let is_unclear = poll::forgotten(rules, &observation.record) == Forgotten::Unclear;
        if asks || polls && is_unclear || mirrors && shows_row {
            // What the webhook does not show, a row of its table does.
            return Ok(match class {
                Some(table) => match sweep::hurry(session, &key.tenant, rules, table)? {
                    Hurried::Asked => led_to("its table is asked"),
                    Hurried::UnderWay if age <= UNKNOWN_TICKET_PATIENCE => None,
                    Hurried::UnderWay => led_to("its table is asked next time"),
                    Hurried::NotPolled => {
                        led_to("filters.mirror asks for what the webhook does not show")
                    }
                },
                None => led_to("not a ticket of ours"),
            });
        }
        return mirror(session, rules, &key.tenant, observation).map(Some);
    }
    let mut observed = Vec::new();
    let file = intake::tells_of_attachment(&delivery.body);
    for id in links {
        if file {
            attach::tell(session, &key.tenant, rules, &id, attachment::Input::List)?;
            observed.push(id);
            continue;
        }
        if let Some(link) = session.link(&key.tenant, rules.id(), &id)? {
            session.advance(&key.tenant, rules, link, &[Input::Seen(observation.clone())])?;
            observed.push(id);
        }
    }
    let names: Vec<&str> = observed.iter().map(LinkId::as_str).collect();
    Ok(Some((format!("observed by {}", names.join(", ")), observed)))
}

const LOOKS_ITSELF: &str = "its link looks for it itself";

/// The link of the key that a ticket shows. The ticket is ours then, whatever happens: the link finds
/// it by its key, or it was taken apart.
pub(crate) fn by_shown_key<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    tenant: &TenantId,
    seen: &ObservedRecord,
) -> Result<Option<Link>, CommitError> {
    let column = &rules.settings().correlation.column;
    let Some(value) = seen.attributes.get(column).filter(|v| !v.is_empty()) else {
        return Ok(None);
    };
    let index = rows::by_key(tenant, rules.id(), &value.to_text());
    let Some(id) = session.get::<LinkId>(&index)? else { return Ok(None) };
    session.link(tenant, rules.id(), &id)
}

/// A ticket that we did not make: the `mirror` filter decides whether the platform gets a record
/// of it. The record has the ticket's `sys_id` as its id.
pub(crate) fn mirror<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    tenant: &TenantId,
    observation: Observation,
) -> Result<(String, Vec<LinkId>), CommitError> {
    let not_ours = || ("not a ticket of ours".to_owned(), Vec::new());
    let class = observation.record.class.clone().and_then(|c| TableName::new(c).ok());
    let table = class.or_else(|| rules.tables().next().cloned());
    let seen = &observation.record;
    let (Some(table), Ok(sys_id), Ok(record)) =
        (table, SysId::new(seen.id.clone()), PlatformId::new(seen.id.clone()))
    else {
        return Ok(not_ours());
    };
    if seen.attributes.is_empty() || seen.presence == Presence::Deleted || !rules.takes(&table) {
        return Ok(not_ours());
    }
    let context = json!({ "table": table, "ticket": seen.attributes });
    match rules.lets_in(Gate::Mirror, &context) {
        Ok(true) => {}
        Ok(false) => return Ok(not_ours()),
        Err(why) => {
            let why = format!("filters.mirror cannot be evaluated on a ticket: {why}");
            session.filter_failed(tenant, rules.id(), why.clone())?;
            return Ok((why, Vec::new()));
        }
    }
    if session.current(tenant, rules.id(), &record)?.is_some() {
        return Ok(("its pair was taken apart, or looks for it itself".to_owned(), Vec::new()));
    }
    let mut link = admit::new_link(session, tenant, rules, &record, 1, table.clone())?;
    link.origin = Side::External;
    link.beginning.admit = rules.beginning().admit;
    link.external =
        Some(ExternalRecord { table, sys_id, number: seen.number.clone(), adopted: true });
    // A payload may leave columns out, and others may have written in it before.
    link.external_side.look = observation.source == ObservationSource::Message;
    link.external_side.look_journal = rules.integration().reads_journal();
    let id = link.id.clone();
    session.join(tenant, &mut link)?;
    session.advance(tenant, rules, link, &[Input::Seen(observation)])?;
    Ok((format!("mirrored as {id}"), vec![id]))
}

fn event<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    delivery: &Delivery,
) -> Result<Led, CommitError> {
    let event = match intake::platform(rules, &delivery.body) {
        Ok(event) => event,
        Err(why) => return Ok(led_to(format!("unreadable: {why}"))),
    };
    let known = session.current(&key.tenant, rules.id(), &event.record)?;
    let deleted = event.observation.record.presence == Presence::Deleted;
    let age = session.now.since(delivery.received);
    let link = match (known, rules.settings().preset) {
        // It was to be attached to a ticket that is not there: what is told of it makes its own.
        (Some(mut link), Preset::Incidents)
            if link.has_nothing_to_come() && !link.external_side.halted && !deleted =>
        {
            link.draft = Some(Draft::default());
            link.beginning = rules.beginning();
            link.platform_side.look = rules.may_read(Side::Platform);
            link
        }
        (Some(link), _) => link,
        (None, _) if deleted => return Ok(led_to("deleted before it had a ticket")),
        (None, Preset::Incidents) => {
            let mut link =
                admit::new_link(session, &key.tenant, rules, &event.record, 1, event.table)?;
            link.draft = Some(Draft::default());
            link.beginning = rules.beginning();
            // A part of a record is no ticket: read the rest first, where it can be read.
            link.platform_side.look = !event.whole && rules.may_read(Side::Platform);
            link
        }
        // It may have overtaken the escalation.
        (None, Preset::Genesys | Preset::Bot)
            if !event.observation.entries.is_empty() && age <= ESCALATION_PATIENCE =>
        {
            return Ok(None);
        }
        (None, Preset::Genesys | Preset::Bot) => {
            return Ok(led_to("its conversation was never escalated"));
        }
        (None, Preset::Neo | Preset::Helpdesk | Preset::Crm | Preset::Content) => {
            return Ok(led_to(
                "it mirrors nothing of the instance: with this preset records begin in ServiceNow",
            ));
        }
    };
    let (id, is_forgotten) = (link.id.clone(), link.is_forgotten());
    session.advance(&key.tenant, rules, link, &[Input::Seen(event.observation)])?;
    if !event.attachments.is_empty() && !is_forgotten {
        let files = attachment::Input::Seen(Side::Platform, event.attachments);
        attach::tell(session, &key.tenant, rules, &id, files)?;
    }
    Ok(Some((format!("observed by {id}"), vec![id])))
}

/// A request is over.
pub(crate) fn answer<D: Doors>(
    session: &mut Session<'_, D>,
    answer: &Answer,
) -> Result<(), CommitError> {
    let Some((key, side, number)) = read_ticket(&answer.tenant, &answer.ticket) else {
        return Ok(());
    };
    let Some(rules) = session.rules(&answer.tenant, &answer.integration)? else { return Ok(()) };
    if key.path.starts_with("check/") {
        return reconcile::check_answered(session, &rules, &key, side, number, answer);
    }
    if key.path.starts_with("alert/") {
        return alert::answered(session, &key, number, answer);
    }
    if key.path.starts_with("group/") {
        return together::answered(session, &rules, &key, number, answer);
    }
    if key.path.starts_with("attachments/") {
        return attach::answered(session, &rules, &key, number, answer);
    }
    if key.path.starts_with("learnt/") {
        return learn::answered(session, &rules, &key, number, answer);
    }
    if key.path.starts_with("article/") {
        return article::answered(session, &rules, &key, number, answer);
    }
    if key.path.starts_with("sweep/") {
        return sweep::answered(session, &rules, &key, number, answer);
    }
    let Some(link) = session.link_at(&key)? else { return Ok(()) };
    // The answer to an exchange that was given up says nothing that is not looked up anyway.
    let Some(exchange) = link.side(side).exchange.clone().filter(|e| e.number == number) else {
        return Ok(());
    };
    let reading = wire::reading(&rules, &link, side, &exchange, answer, session.now);
    let clock = wire::clock(exchange.since, answer, session.now);
    let told = clock.map(|clock| Input::Told { side, clock });
    let inputs: Vec<Input> =
        told.into_iter().chain([Input::Answered { side, number, reading }]).collect();
    session.advance(&answer.tenant, &rules, link, &inputs)
}

/// A read's content as an observation.
pub(crate) fn as_observation(
    side: Side,
    reading: firn_core::land::Reading,
) -> Result<Option<Observation>, String> {
    use firn_core::land::Reading;
    use firn_model::ObservedRecord;
    let observation =
        |record, entries| Observation { side, source: ObservationSource::Read, record, entries };
    match reading {
        Reading::Record(record, entries) => Ok(Some(observation(record, entries))),
        Reading::Entries(entries) => Ok(Some(observation(ObservedRecord::default(), entries))),
        Reading::Found(_) | Reading::Rows(_) | Reading::Deletion(_) | Reading::History(_) => {
            Ok(None)
        }
        Reading::Outcome(outcome) => Err(outcome.to_string()),
    }
}
