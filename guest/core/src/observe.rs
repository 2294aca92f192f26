//! Puts an observation into a link. The order of arrival does not matter: per field the newest
//! revision counts, and what cannot be ordered is read again.

use firn_model::{
    Ended, Link, Millis, Observation, ObservationSource, ObservedRecord, Order, Presence, Revision,
    Seen, Shape, Side, TableName, Tombstone,
};

use crate::journal::{self, Neighbours};
use crate::mapping::{self, Reading};
use crate::settings::{FieldMapping, Rules};

/// Puts an observation into a link.
pub fn observe(
    rules: &Rules,
    link: &mut Link,
    neighbours: &Neighbours,
    observation: &Observation,
    now: Millis,
) {
    record(rules, link, observation.side, &observation.record, observation.source, now);
    journal::observe(rules, link, neighbours, &observation.entries);
}

/// How often a read may be older than a message before it is believed all the same.
const OVERTAKEN: u32 = 3;

/// A record is gone for good. The first proof counts; nothing brings it back.
pub fn end(link: &mut Link, side: Side, now: Millis) {
    if link.tombstone.is_none() {
        link.tombstone = Some(Tombstone { why: Ended::Gone(side), at: now });
    }
}

/// A record's class, where it shows one. A ticket that is of another class now has other columns;
/// what is known of the old ones is no longer about it.
///
/// Whether it is another one than we believed.
fn classify(
    rules: &Rules,
    link: &mut Link,
    side: Side,
    seen: &ObservedRecord,
    message: bool,
) -> bool {
    let class = seen.class.as_deref().and_then(|c| TableName::new(c).ok());
    let (Side::External, Some(class), Some(external)) = (side, class, &mut link.external) else {
        return false;
    };
    if external.table == class {
        return false;
    }
    // A message may be about what it was before: a read of it where we believe it to be will tell.
    let newer = match (seen.revision, link.external_side.revision) {
        (Some(seen), Some(known)) => seen.order(&known) == Order::Newer,
        (Some(_), None) => true,
        (None, _) => false,
    };
    if message && !newer {
        link.external_side.look = true;
        return false;
    }
    external.table = class.clone();
    reclass(rules, link, class);
    // Only a read of it as what it is shows every column of the new class.
    link.external_side.look = true;
    true
}

/// The ticket is of another class. Its fields may be mapped otherwise: what the platform has is to
/// be seen in their light.
pub(crate) fn reclass(rules: &Rules, link: &mut Link, class: TableName) {
    link.table = class;
    if let Some(exchange) = &mut link.external_side.exchange {
        exchange.elsewhere = true;
    }
    link.platform_side.look |= rules.may_read(Side::Platform) && !link.platform_side.missing;
}

/// Puts what was seen of a record into a link.
pub fn record(
    rules: &Rules,
    link: &mut Link,
    side: Side,
    seen: &ObservedRecord,
    source: ObservationSource,
    now: Millis,
) {
    // About another ticket than the link's own: a row of the index that is out of date.
    if side == Side::External
        && !seen.id.is_empty()
        && link.external.as_ref().is_some_and(|e| e.sys_id.as_str() != seen.id)
    {
        return;
    }
    if seen.presence == Presence::Deleted {
        return end(link, side, now);
    }
    let message = source == ObservationSource::Message;
    if seen.attributes.is_empty() {
        return; // Journal entries alone; nothing of the record was shown.
    }
    let is_another = classify(rules, link, side, seen, message);
    let state = link.side_mut(side);
    state.missing = false;
    state.search = None;
    let is_idle = link.external_side.flight.is_none();
    if is_another && !message && is_idle && rules.takes(&link.table) {
        return; // It shows what the class before had.
    }
    let state = link.side_mut(side);
    let revision = match (seen.revision, message && rules.may_read(side)) {
        // Neither version nor time, or (from an older rule) no counter: within a second such a
        // message cannot be ordered, and what lies between cannot be counted. Let a read tell.
        (None | Some(Revision::External { mod_count: None, .. }), true) => {
            state.look = true;
            return;
        }
        // A version without a time: the time is that of hearing of it.
        (Some(Revision::Platform { version, at: Millis(0) }), _) => {
            Revision::Platform { version, at: now }
        }
        (Some(revision), _) => revision,
        // A side that cannot be read: what it says now is newest.
        (None, false) => match side {
            Side::Platform => Revision::Platform { version: None, at: now },
            Side::External => Revision::External { updated: now, mod_count: None },
        },
    };
    if message {
        state.look |= state.revision.is_some_and(|known| revision.leaves_a_gap_after(&known));
    }
    let news = state.revision.is_none_or(|known| revision.order(&known) == Order::Newer);
    match state.revision.map(|known| revision.order(&known)) {
        None | Some(Order::Newer) => state.revision = Some(revision),
        Some(Order::Unordered) if !message => state.revision = Some(revision),
        // A read that is older than a message: it was overtaken on its way. If that happens again
        // and again the side counts anew (it was restored), or its messages run ahead of it: what
        // can be read is what is so.
        Some(Order::Older) if source == ObservationSource::Read => {
            state.overtaken += 1;
            if state.overtaken <= OVERTAKEN {
                state.look = true;
            } else {
                state.revision = Some(revision);
                for known in link.fields.values_mut() {
                    if let Some(known) = known.seen_mut(side) {
                        known.revision = None;
                    }
                }
            }
        }
        Some(_) => {}
    }
    let state = link.side_mut(side);
    if state.revision == Some(revision) {
        state.overtaken = 0;
    }
    if side == Side::External
        && let Some(external) = &mut link.external
        && seen.number.is_some()
    {
        external.number.clone_from(&seen.number);
    }
    let readable = rules.may_read(side);
    let table = link.table.clone();
    for field in rules.fields(&table) {
        // A webhook that leaves a mapped column out tells that something changed, not what.
        let thin = message
            && news
            && side == Side::External
            && mapping::read(field, side, &seen.attributes) == Reading::Unseen;
        link.side_mut(side).look |= thin;
        if see(field, link, side, seen, revision, message, readable) == Doubt::ReadAgain {
            link.side_mut(side).look = true;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Doubt {
    None,
    ReadAgain,
}

fn see(
    field: &FieldMapping,
    link: &mut Link,
    side: Side,
    seen: &ObservedRecord,
    revision: Revision,
    message: bool,
    readable: bool,
) -> Doubt {
    let state = link.fields.entry(field.name.clone()).or_default();
    let known = state.seen_mut(side);
    let shape = match mapping::read(field, side, &seen.attributes) {
        Reading::Unseen => return Doubt::None,
        // A read shows all that we may see. What it leaves out of a field (the user's e-mail beside
        // the user) is hidden from us; another read would not help.
        Reading::Partial(mut part) if !message => {
            for attribute in mapping::attributes(field, side) {
                part.0.entry(attribute).or_default();
            }
            part
        }
        // A side that cannot be read says the rest another time, or has said it before.
        Reading::Partial(part) if !readable => {
            let mut whole = known.as_ref().map(|k| k.shape.clone()).unwrap_or_default();
            for attribute in mapping::attributes(field, side) {
                whole.0.entry(attribute).or_default();
            }
            whole.0.extend(part.0);
            whole
        }
        Reading::Partial(part) => {
            let differs = known.as_ref().is_none_or(|k| {
                part.0.iter().any(|(attribute, value)| k.shape.get(attribute) != Some(value))
            });
            return if differs { Doubt::ReadAgain } else { Doubt::None };
        }
        Reading::Whole(shape) => shape,
    };
    let Some(old) = known else {
        *known = Some(Seen { shape, revision: Some(revision), edited: revision.at() });
        return Doubt::None;
    };
    let order = old.revision.map_or(Order::Newer, |known| revision.order(&known));
    match order {
        Order::Newer => {
            renew(field, side, old, shape, revision);
            Doubt::None
        }
        Order::Older => Doubt::None,
        Order::Same | Order::Unordered if old.shape == shape => {
            if !message {
                old.revision = Some(revision);
            }
            Doubt::None
        }
        // The same revision with other content: not a question of who came first, unless nobody can tell.
        Order::Same | Order::Unordered if message && readable => Doubt::ReadAgain,
        Order::Same | Order::Unordered => {
            renew(field, side, old, shape, revision);
            Doubt::None
        }
    }
}

/// The edit time is that of the first observation that showed the value.
fn renew(field: &FieldMapping, side: Side, old: &mut Seen, shape: Shape, revision: Revision) {
    if !mapping::same(field, side, &old.shape, &shape) {
        old.edited = revision.at();
    }
    old.shape = shape;
    old.revision = Some(revision);
}
