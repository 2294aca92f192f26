//! Work: rows that are due, and answers to requests. Each brings an input to a link and lets the
//! plan look again.

use firn_core::intake;
use firn_core::plan::Input;
use firn_core::settings::Rules;
use firn_core::wire;
use firn_model::{
    Answer, CommitError, Delivery, DeliveryState, Draft, InboundKind, IntegrationId, Key, Link,
    LinkId, Observation, Preset,
};

use crate::session::{Session, read_ticket};
use crate::{Doors, admit, reconcile, rows};

/// How long deliveries are kept: 7 days. In milliseconds.
pub(crate) const RETENTION: u64 = 7 * 24 * 3_600_000;

/// How long a webhook about a ticket that we do not know waits: our own insert may be heard before
/// its answer. In milliseconds.
const UNKNOWN_TICKET_PATIENCE: i64 = 15_000;

/// A row is due.
pub(crate) fn due<D: Doors>(session: &mut Session<'_, D>, key: &Key) -> Result<(), CommitError> {
    let segments: Vec<String> = key.segments().map(str::to_owned).collect();
    let Some(integration) = segments.get(1).and_then(|s| IntegrationId::new(s.clone()).ok()) else {
        return Ok(());
    };
    // Work of an integration that was deleted rests; it is erased with the rest of its records.
    let Some(rules) = session.rules(&key.tenant, &integration)? else { return session.rest(key) };
    match segments[0].as_str() {
        "link" => match session.get::<Link>(key)? {
            Some(link) => session.advance(&key.tenant, &rules, link, &[]),
            None => Ok(()),
        },
        "delivery" => delivery(session, &rules, key),
        "check" => reconcile::check_due(session, &rules, key),
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
        let later = session.now.plus(2_000);
        return session.put(key, &delivery, Some(later));
    }
    let done = match delivery.kind {
        InboundKind::Webhook => webhook(session, rules, key, &delivery)?,
        InboundKind::PlatformEvent => event(session, rules, key, &delivery)?,
        InboundKind::Escalation => Some("escalations are links from the start".to_owned()),
    };
    match done {
        Some(what) => {
            delivery.state = DeliveryState::Done(what);
            let end = delivery.received.plus(RETENTION);
            session.put(key, &delivery, Some(end))
        }
        None => {
            delivery.state = DeliveryState::Waiting;
            let later = session.now.plus(500);
            session.put(key, &delivery, Some(later))
        }
    }
}

/// What a webhook led to; `None` if it has to wait for its ticket to be known.
fn webhook<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    delivery: &Delivery,
) -> Result<Option<String>, CommitError> {
    let observation = match intake::servicenow(rules, &delivery.body) {
        Ok(observation) => observation,
        Err(why) => return Ok(Some(format!("unreadable: {why}"))),
    };
    let index = rows::by_external(&key.tenant, rules.id(), &observation.record.id);
    let Some(id) = session.get::<LinkId>(&index)? else {
        // Our own insert may be heard before its answer. A ticket that shows another key than ours,
        // or none, is not ours; one whose key is not shown may turn out to be.
        let column = &rules.settings().correlation.column;
        let ours = match observation.record.attributes.get(column) {
            Some(value) if value.is_empty() => false,
            Some(value) => {
                session.exists(&rows::by_key(&key.tenant, rules.id(), &value.to_text()))?
            }
            None => true,
        };
        let age = session.now.since(delivery.received);
        let over = !ours || age > UNKNOWN_TICKET_PATIENCE;
        return Ok(over.then(|| "not a ticket of ours".to_owned()));
    };
    match session.link(&key.tenant, rules.id(), &id)? {
        Some(link) => {
            session.advance(&key.tenant, rules, link, &[Input::Seen(observation)])?;
            Ok(Some(format!("observed by {id}")))
        }
        None => Ok(Some("its link is gone".to_owned())),
    }
}

fn event<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
    delivery: &Delivery,
) -> Result<Option<String>, CommitError> {
    let event = match intake::platform(rules, &delivery.body) {
        Ok(event) => event,
        Err(why) => return Ok(Some(format!("unreadable: {why}"))),
    };
    let id = firn_core::identity::link_id(rules.id(), &event.record);
    let known = session.link(&key.tenant, rules.id(), &id)?;
    let link = match (known, rules.settings().preset) {
        (Some(link), _) => link,
        (None, Preset::Incidents) => {
            let mut link = admit::new_link(session, &key.tenant, rules, &event.record)?;
            link.draft = Some(Draft::default());
            // A part of a record is no ticket: read the rest first, where it can be read.
            link.platform_side.look = !event.whole && rules.may_read(firn_model::Side::Platform);
            link
        }
        (None, Preset::Genesys | Preset::Bot) => {
            return Ok(Some("its conversation was never escalated".to_owned()));
        }
    };
    session.advance(&key.tenant, rules, link, &[Input::Seen(event.observation)])?;
    Ok(Some(format!("observed by {id}")))
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
    let Some(link) = session.get::<Link>(&key)? else { return Ok(()) };
    // The answer to an exchange that was given up says nothing that is not looked up anyway.
    let Some(exchange) = link.side(side).exchange.clone().filter(|e| e.number == number) else {
        return Ok(());
    };
    let reading = wire::reading(&rules, &link, side, &exchange, answer, session.now);
    session.advance(&answer.tenant, &rules, link, &[Input::Answered { side, number, reading }])
}

/// A read's content as an observation.
pub(crate) fn as_observation(
    side: firn_model::Side,
    reading: firn_core::land::Reading,
) -> Result<Option<Observation>, String> {
    use firn_core::land::Reading;
    use firn_model::{ObservationSource, ObservedRecord};
    let observation =
        |record, entries| Observation { side, source: ObservationSource::Read, record, entries };
    match reading {
        Reading::Record(record, entries) => Ok(Some(observation(record, entries))),
        Reading::Entries(entries) => Ok(Some(observation(ObservedRecord::default(), entries))),
        Reading::Found(_) | Reading::Users(_) => Ok(None),
        Reading::Outcome(outcome) => Err(outcome.to_string()),
    }
}
