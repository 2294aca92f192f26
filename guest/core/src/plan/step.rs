//! What to do next: of what should be, the one request that a side is sent now.

use std::collections::BTreeMap;

use firn_model::{
    Attribute, Audit, Ended, Exchange, ExchangeKind, Expectation, FindingKind, Flight, GonePolicy,
    Mirror, ParkedWhy, Phase, Reference, Search, Shape, Side, Step, Tombstone, Translated, Value,
    Verb, Why, Write, Written, servicenow_text,
};

use super::ask::Course;
use super::settle::park;
use super::{Planner, Want, mask_shape};
use crate::mapping::{self, Untranslatable};
use crate::settings::{FieldMapping, Rules};
use crate::{identity, journal, wire};

/// How soon a paused integration is looked at again, at first and at last. In milliseconds.
const PAUSE: [u64; 2] = [2_000, 60_000];

/// How soon rules are asked that could not be asked now. In milliseconds.
const SHORTLY: u64 = 500;
/// So often it is tried to see a ticket whose record is gone.
const LOOKS: u32 = 10;

/// How soon a ticket that another link writes to is looked at again. In milliseconds.
const BUSY: u64 = 500;

impl Planner<'_> {
    /// The next step of a side: at most one request under way, at most one write in flight.
    pub(super) fn step(&mut self, side: Side) -> Step {
        let now = self.now;
        let state = self.link.side_mut(side);
        if let Some(exchange) = &state.exchange {
            return Step::Wait(exchange.deadline);
        }
        if state.halted {
            return Step::Settled;
        }
        // Paused: what is under way comes to its end, nothing new is begun.
        if !self.rules.integration().enabled && state.flight.is_none() {
            // Twice as long as it was left alone last: very many may wait for days.
            let waited = now.since(self.link.updated).unsigned_abs();
            return Step::Wait(now.plus((waited * 2).clamp(PAUSE[0], PAUSE[1])));
        }
        // What was under way when the store was replaced may take effect yet.
        if let Some(until) = self.rules.rests_until(now) {
            return Step::Wait(until);
        }
        // One write at a time to a ticket, whichever link it comes from.
        if side == Side::External && self.neighbours.busy && state.flight.is_none() {
            return Step::Wait(now.plus(BUSY));
        }
        let paused = state.not_before.filter(|until| *until > now);
        let Some(kind) = self.next(side) else {
            if let Some(until) = self.held.get(&side) {
                return Step::Wait(paused.map_or(*until, |paused| paused.max(*until)));
            }
            let there = self.link.external.is_some();
            let state = self.link.side_mut(side);
            state.one_by_one = false;
            if there && !state.missing && !state.look {
                // What was retried is done, or not needed any more.
                state.retried.clear();
            }
            return Step::Settled;
        };
        match paused {
            Some(until) => Step::Wait(until),
            None => self.exchange(side, kind),
        }
    }

    fn next(&mut self, side: Side) -> Option<ExchangeKind> {
        match self.link.side(side).search {
            Some(Search::Class) => return Some(ExchangeKind::Class),
            Some(Search::Deletion) => return Some(ExchangeKind::Deletion),
            None => {}
        }
        if self.link.tombstone.is_some() {
            // What has not left yet is nothing that is under way.
            self.link.side_mut(side).flight.take_if(|flight| is_needless_at_rest(flight));
        }
        if let Some(flight) = &self.link.side(side).flight {
            return Some(asks(flight));
        }
        if let Some(tombstone) = self.link.tombstone.clone() {
            return self.last_words(side, &tombstone).or_else(|| self.past(side));
        }
        if side == Side::External && self.link.external.is_none() {
            if let Some(number) = &self.link.attach {
                return Some(ExchangeKind::Locate(number.clone()));
            }
            self.link.draft.as_ref()?;
            // The platform's record is being read: the ticket is to show all of it.
            let platform = &self.link.platform_side;
            if platform.look || platform.exchange.is_some() || self.begins_later(side) {
                return None;
            }
            if self.is_to_be_asked(side) {
                return None;
            }
            return self.rules.may_write(side).then(|| self.create());
        }
        if !self.rules.may_read(side) {
            self.link.side_mut(side).look = false;
        }
        let state = self.link.side(side);
        if state.look {
            return Some(ExchangeKind::Read);
        }
        if state.look_twins {
            return Some(ExchangeKind::Find);
        }
        if self.begins_later(side) {
            return None;
        }
        if side == Side::External
            && let Some(kind) = self.retire()
        {
            return Some(kind);
        }
        if self.link.side(side).missing {
            return None;
        }
        self.update(side)
            .or_else(|| self.append(side))
            .or_else(|| {
                let journal = side == Side::External
                    && self.link.side(side).look_journal
                    && self.rules.integration().reads_journal();
                journal.then_some(ExchangeKind::Journal)
            })
            .or_else(|| self.past(side))
    }

    /// What our writes went over unseen is looked for when nothing else is to be done: the history stays.
    fn past(&mut self, side: Side) -> Option<ExchangeKind> {
        if side != Side::External || self.link.unseen.is_empty() || self.link.external.is_none() {
            return None;
        }
        let again = self.link.unseen.iter().filter_map(|unseen| unseen.again).max();
        if let Some(again) = again.filter(|again| *again > self.now) {
            self.hold(side, again);
            return None;
        }
        Some(ExchangeKind::History)
    }

    /// What is still done for a link at rest: the side that is left may have to be closed. Entries
    /// that had no time to travel are told of.
    fn last_words(&mut self, side: Side, end: &Tombstone) -> Option<ExchangeKind> {
        for i in 0..self.link.entries.len() {
            let waits = self.link.entries.get(i).is_some_and(|e| e.mirror == Mirror::Pending);
            if waits && let Some(entry) = self.link.entries.get_mut(i) {
                let from = entry.origin.side();
                entry.mirror = Mirror::Withheld(journal::APART.to_owned());
                if end.why == Ended::Gone(from.other()) {
                    let text = format!(
                        "an entry of the {from} side has nowhere to go: the other record is gone"
                    );
                    self.find(FindingKind::UnseenEdit, None, text);
                }
            }
        }
        if side == Side::External
            && self.link.external_side.failures < LOOKS
            && let Some(kind) = self.look_at_closings()
        {
            return Some(kind);
        }
        let Ended::Gone(gone) = end.why else { return None };
        if gone == side {
            return None;
        }
        // A ticket that was found after its record was gone: how it stands was never seen.
        let lifecycle = self.rules.lifecycle();
        let closes = lifecycle.gone == GonePolicy::Close;
        let is_unseen =
            self.link.fields.get(&lifecycle.field).is_some_and(|state| state.seen(side).is_none());
        let state = self.link.side(side);
        if closes && is_unseen && state.look && state.failures < LOOKS && self.rules.may_read(side)
        {
            return Some(ExchangeKind::Read);
        }
        self.update(side)
    }

    fn exchange(&mut self, side: Side, kind: ExchangeKind) -> Step {
        self.link.sequence += 1;
        let number = self.link.sequence;
        let timeout = self.rules.settings().request_timeout;
        let exchange = Exchange {
            kind,
            number,
            since: self.now,
            // The host gives up in time and says so; a little later nobody will.
            deadline: self.now.plus(wire::QUEUE + timeout + timeout / 4 + 100),
            elsewhere: false,
        };
        let state = self.link.side_mut(side);
        match exchange.kind {
            ExchangeKind::Read => state.look = false,
            ExchangeKind::Journal => state.look_journal = false,
            ExchangeKind::Send => self.audit_write(side),
            ExchangeKind::Find => state.look_twins = false,
            ExchangeKind::History => {
                self.link.unseen.iter_mut().for_each(|unseen| unseen.is_asked = true);
            }
            ExchangeKind::Locate(_)
            | ExchangeKind::Class
            | ExchangeKind::Deletion
            | ExchangeKind::LookUp { .. } => {}
        }
        self.link.side_mut(side).exchange = Some(exchange.clone());
        Step::Exchange(exchange)
    }

    /// Every write has its audit line; a write that is sent again has no second one.
    fn audit_write(&mut self, side: Side) {
        let Some(flight) = &mut self.link.side_mut(side).flight else { return };
        flight.attempts += 1;
        if flight.attempts > 1 {
            return;
        }
        let flight = flight.clone();
        let event = match flight.write.verb {
            Verb::Create { .. } => "create",
            Verb::Update { .. } => "update",
            Verb::Append { .. } => "append",
            Verb::Retire { .. } => "retire",
        };
        self.effects.audit.push(Audit {
            integration: self.link.integration.clone(),
            link: Some(self.link.id.clone()),
            at: self.now,
            event: event.to_owned(),
            key: Some(flight.write.key.clone()),
            side: Some(side),
            fields: flight.write.reasons.iter().map(|w| mask_written(self.rules, w)).collect(),
            note: None,
        });
    }

    fn fly(
        &mut self,
        side: Side,
        verb: Verb,
        expect: Expectation,
        reasons: Vec<Written>,
    ) -> ExchangeKind {
        let retried = &mut self.link.side_mut(side).retried;
        let again = retried.iter().position(|write| write.verb.is_again(&verb));
        // A dead letter that is retried goes under its key: if it was done after all, this is no second time.
        let key = match (again, &verb) {
            (Some(index), _) => retried.swap_remove(index).key,
            (None, Verb::Append { entry, .. }) if side == Side::Platform => {
                identity::entry_key(&self.link.id, entry)
            }
            (None, _) => {
                identity::next_key(&mut self.link, self.rules.integration().restored.as_ref())
            }
        };
        // The platform compares `expect` itself; ServiceNow cannot, so look just before.
        // (A twin was just found to be there and open.)
        let phase = match (side, &verb) {
            (Side::Platform, _) | (_, Verb::Retire { .. }) => Phase::Sending,
            (Side::External, _) => Phase::Checking,
        };
        let flight = Flight {
            write: Write { key, side, verb, expect, reasons },
            phase,
            attempts: 0,
            given_up: false,
        };
        let kind = asks(&flight);
        self.link.side_mut(side).flight = Some(flight);
        kind
    }

    /// A new ticket: the draft, and every mapped field that the platform has shown.
    fn create(&mut self) -> ExchangeKind {
        let rules = self.rules;
        let table = self.link.table.clone();
        let mut of = BTreeMap::new();
        let mut set = rules.constants(&table);
        let mut with = BTreeMap::new();
        set.extend(self.link.draft.clone().unwrap_or_default().set);
        let mut reasons =
            vec![Written { field: None, from: None, to: None, why: Why::Created, rules: None }];
        for field in rules.fields(&table) {
            let Some(state) = self.link.fields.get(&field.name).cloned() else { continue };
            if !self.applies(field, &state) {
                continue;
            }
            let shape = state.shape(Side::Platform);
            let Some(shape) = shape.filter(|s| !s.is_empty()) else { continue };
            let (shape, version) = match self.course(Side::External, field, shape, &Why::Created) {
                Course::AsItIs => (shape.clone(), None),
                Course::Made(shape, version) => (shape, Some(version)),
                // Its ticket is not to wait for one value.
                Course::Held(_) | Course::Withheld => {
                    let known = self.link.fields.get_mut(&field.name);
                    if let Some(ruled) = known.and_then(|s| s.ruled.get_mut(&Side::Platform)) {
                        ruled.left_out = true;
                    }
                    continue;
                }
            };
            // What cannot be translated now is dealt with once the ticket is there.
            if let Ok(columns) = mapping::to_external(field, &shape, None, &self.link.references) {
                if version.is_none() {
                    of.insert(field.name.clone(), shape.clone());
                }
                reasons.push(Written {
                    field: Some(field.name.clone()),
                    from: None,
                    to: Some(columns.shape.clone()),
                    why: Why::Created,
                    rules: version,
                });
                with.extend(columns.with);
                set.extend(columns.shape.0);
            }
        }
        // What goes with a value is for columns of which nobody says anything.
        for (column, value) in with {
            set.entry(column).or_insert(value);
        }
        for column in self.link.draft.iter().flat_map(|draft| &draft.without) {
            set.remove(column);
        }
        let key = self.link.key.clone();
        let column = self.rules.settings().correlation.column.clone();
        set.insert(column, Value::text(key.as_str()));
        let keyed = rules.settings().provision.resource;
        let verb = Verb::Create { key, set, keyed, of };
        self.fly(Side::External, verb, Expectation::default(), reasons)
    }

    fn update(&mut self, side: Side) -> Option<ExchangeKind> {
        let mut set = BTreeMap::new();
        let mut with = BTreeMap::new();
        let mut expect =
            Expectation { revision: self.link.side(side).revision, ..Expectation::default() };
        let mut reasons = Vec::new();
        for want in self.wants.remove(&side).unwrap_or_default() {
            let name = want.field.name.clone();
            let present = self.link.fields.get(&name).and_then(|s| s.shape(side)).cloned();
            let (made, version) = match self.course(side, &want.field, &want.of, &want.why) {
                Course::AsItIs => (None, None),
                Course::Made(shape, version) => (Some(shape), Some(version)),
                Course::Held(until) => {
                    self.hold(side, until.unwrap_or(self.now.plus(SHORTLY)));
                    continue;
                }
                Course::Withheld => {
                    if let Some(state) = self.link.fields.get_mut(&name) {
                        park(state, ParkedWhy::Withheld);
                    }
                    continue;
                }
            };
            let columns = match self.translate(side, &want, made.as_ref(), present.as_ref()) {
                Ok(columns) => columns,
                Err(Untranslatable::LookUp(row)) => {
                    let mapping::LookUp { table, key, value } = row;
                    return Some(ExchangeKind::LookUp { table, key, value });
                }
                Err(why) => {
                    self.park_untranslatable(&want.field, &why);
                    continue;
                }
            };
            reasons.push(Written {
                field: Some(name.clone()),
                from: present.clone(),
                to: Some(columns.shape.clone()),
                why: want.why,
                rules: version,
            });
            expect.fields.insert(name.clone(), present);
            with.extend(self.unsaid(columns.with));
            set.insert(name, Translated { shape: columns.shape, of: want.of, ruled: made });
            if self.link.side(side).one_by_one {
                break;
            }
        }
        (!set.is_empty()).then(|| self.fly(side, Verb::Update { set, with }, expect, reasons))
    }

    /// What goes with a value, but for columns in which another field has something already.
    fn unsaid(&self, mut with: BTreeMap<Attribute, Value>) -> BTreeMap<Attribute, Value> {
        for field in self.rules.fields(&self.link.table) {
            let seen = self.link.fields.get(&field.name).and_then(|s| s.shape(Side::External));
            if seen.is_some_and(|shape| !shape.is_empty()) {
                let written = mapping::written(field);
                with.retain(|column, _| !written.contains(column));
            }
        }
        with
    }

    fn translate(
        &self,
        side: Side,
        want: &Want,
        made: Option<&Shape>,
        present: Option<&Shape>,
    ) -> Result<mapping::Columns, Untranslatable> {
        if let (Side::Platform, Some(chosen)) = (side, &want.chosen) {
            return Ok(mapping::Columns { shape: chosen.clone(), with: BTreeMap::new() });
        }
        let base = self.link.fields.get(&want.field.name).and_then(|s| s.base.as_ref());
        // What a person decided is written, whatever it costs.
        let decided = matches!(want.why, Why::Resolved { .. } | Why::Reopened);
        if !decided
            && let (Some(base), Some(present)) = (base, present)
            && mapping::is_original(&want.field, side, base, present)
        {
            return Err(Untranslatable::Lossy);
        }
        let known = &self.link.references;
        match (made, side) {
            (None, _) => mapping::translate(&want.field, side.other(), &want.of, present, known),
            (Some(made), Side::External) => mapping::to_external(&want.field, made, present, known),
            (Some(made), Side::Platform) => {
                Ok(mapping::Columns { shape: made.clone(), with: BTreeMap::new() })
            }
        }
    }

    fn park_untranslatable(&mut self, field: &FieldMapping, why: &Untranslatable) {
        let name = &field.name;
        if *why == Untranslatable::UnknownReference {
            // It may be there by the time that somebody is named again.
            self.link.references.retain(|_, known| matches!(known, Reference::Found(_)));
        }
        let (why, kind, text) = match why {
            Untranslatable::Unmapped => (
                ParkedWhy::Unmapped,
                FindingKind::UnmappedValue,
                format!("{name} has a value that the value map does not know; add it to the map"),
            ),
            Untranslatable::Lossy | Untranslatable::OneWay => (
                ParkedWhy::Masked,
                FindingKind::MaskedEdit,
                format!(
                    "{name} was edited where it is masked, cut or without its markup; the original on the other side is not overwritten"
                ),
            ),
            Untranslatable::UnknownReference | Untranslatable::LookUp(_) => (
                ParkedWhy::Reference,
                FindingKind::UnknownReference,
                format!(
                    "{name} names somebody or something that cannot be found by its key, or not exactly once"
                ),
            ),
            Untranslatable::Template(why) => (
                ParkedWhy::Template,
                FindingKind::TemplateFailed,
                format!("the template of {name} cannot be rendered: {why}"),
            ),
        };
        if let Some(state) = self.link.fields.get_mut(name) {
            park(state, why);
        }
        self.finding(kind, field, text);
    }

    /// What became of the closing of a further ticket that was given up is looked at once it can take effect no more.
    fn look_at_closings(&mut self) -> Option<ExchangeKind> {
        let limit = self.rules.settings().correlation.transaction_limit;
        let over = self.link.twins.iter().filter_map(|twin| twin.closing).min()?.plus(limit);
        if over <= self.now {
            return Some(ExchangeKind::Find);
        }
        self.hold(Side::External, over);
        None
    }

    /// Closes a further ticket that was made for our key.
    fn retire(&mut self) -> Option<ExchangeKind> {
        if !self.rules.may_write(Side::External) {
            return self.look_at_closings();
        }
        let Some(twin) = self.link.twins.iter().find(|twin| twin.closing.is_none()).cloned() else {
            return self.look_at_closings();
        };
        let mut set = self.rules.closing(&twin.table)?;
        let own = self.link.external.as_ref().and_then(|e| e.number.clone()).unwrap_or_default();
        let note = format!(
            "Duplicate of {own}: made for the same record after an answer was lost. Closed by Firn."
        );
        set.insert(mapping::attribute("work_notes"), Value::text(note));
        let reasons = vec![Written {
            field: None,
            from: None,
            to: Some(Shape(set.clone())),
            why: Why::Duplicate,
            rules: None,
        }];
        Some(self.fly(Side::External, Verb::Retire { twin, set }, Expectation::default(), reasons))
    }

    fn append(&mut self, side: Side) -> Option<ExchangeKind> {
        if !self.rules.may_write(side) {
            return None;
        }
        let entry = journal::next(self.rules, &self.link, &self.neighbours, side)?.clone();
        let why = match entry.origin {
            firn_model::EntryOrigin::Firn(_) => Why::Evidence,
            _ => Why::Mirrored,
        };
        let reasons = vec![Written { field: None, from: None, to: None, why, rules: None }];
        let (text, unrendered) = journal::outgoing(self.rules, &self.link, &entry);
        if let Some(why) = unrendered {
            let text = format!(
                "journal.template cannot be rendered for an entry of {}: {why}; it was written without it",
                servicenow_text(entry.at)
            );
            self.find(FindingKind::TemplateFailed, None, text);
        }
        let verb = Verb::Append { entry: entry.origin, text, before: Vec::new() };
        Some(self.fly(side, verb, Expectation::default(), reasons))
    }
}

/// Whether a write that is certainly not done is not to be begun any more once its pair is at rest. The side that is
/// left may have to be closed, and a duplicate of ours is one all the same.
fn is_needless_at_rest(flight: &Flight) -> bool {
    let closes = flight.write.reasons.iter().any(|written| written.why == Why::OtherGone);
    let is_to_leave = matches!(flight.phase, Phase::Checking | Phase::Sending);
    is_to_leave && !closes && !matches!(flight.write.verb, Verb::Retire { .. })
}

/// What has to be asked for a write to get on.
fn asks(flight: &Flight) -> ExchangeKind {
    match (&flight.phase, &flight.write.verb) {
        (Phase::Sending, _) => ExchangeKind::Send,
        (_, Verb::Create { .. } | Verb::Retire { .. }) => ExchangeKind::Find,
        (_, Verb::Update { .. }) => ExchangeKind::Read,
        (_, Verb::Append { .. }) => ExchangeKind::Journal,
    }
}

fn mask_written(rules: &Rules, written: &Written) -> Written {
    Written {
        from: written.from.as_ref().map(|shape| mask_shape(rules, shape)),
        to: written.to.as_ref().map(|shape| mask_shape(rules, shape)),
        ..written.clone()
    }
}
