//! `plan`: the one function that decides. It looks at a link and says the next step of each side.
//!
//! Webhook, poll, reconcile run, operator's click: each only brings an input and lets [`advance`]
//! look again. So repair, echo suppression, reordering and crash recovery have no code of their
//! own; they are the ordinary case, run once more.

use std::collections::BTreeMap;

use firn_model::{
    Audit, Base, Cause, Clock, Conflict, ConflictState, Ended, Exchange, ExchangeKind, Expectation,
    FieldState, Finding, FindingKind, Flight, GonePolicy, Link, Millis, Mirror, Notice,
    Observation, Outcome, Owner, Parked, ParkedWhy, Phase, Plan, Revision, Role, Search, Seen,
    Shape, Side, Step, TableName, Tombstone, Translated, Uncertainty, Value, Verb, Why, Write,
    Written,
};

use serde::{Deserialize, Serialize};

use crate::journal::Neighbours;
use crate::land::{self, Reading};
use crate::mapping::{self, Untranslatable};
use crate::merge::{self, Circumstances, Moved, Verdict};
use crate::settings::{FieldMapping, Rules};
use crate::{identity, journal, masking, observe, wire};

/// How often a paused integration is looked at. In milliseconds.
const PAUSE: u64 = 2_000;

/// How soon a ticket that another link writes to is looked at again. In milliseconds.
const BUSY: u64 = 500;

/// What `advance` is given besides the link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// Something was seen.
    Seen(Observation),
    /// A request is over.
    Answered {
        /// The side that was asked.
        side: Side,
        /// Which exchange.
        number: u64,
        /// What the answer says.
        reading: Reading,
    },
    /// What an answer told of a side's clock.
    Told {
        /// The side.
        side: Side,
        /// Its clock; nothing, if the answer has no date.
        clock: Option<Clock>,
    },
    /// What is known of other links on the same ticket, for this turn.
    Shared(Neighbours),
}

/// What comes out besides the link and its steps.
#[derive(Debug, Default)]
pub struct Effects {
    /// What a person should see.
    pub findings: Vec<Finding>,
    /// What was decided.
    pub audit: Vec<Audit>,
    /// Conflicts that opened, changed or closed.
    pub conflicts: Vec<Conflict>,
    /// What failed for good.
    pub dead: Vec<firn_model::DeadLetter>,
    /// The link got its ticket.
    pub notice: Option<Notice>,
}

/// Puts inputs into a link and says what comes next.
#[must_use]
pub fn advance(rules: &Rules, mut link: Link, inputs: &[Input], now: Millis) -> Plan {
    let mut effects = Effects::default();
    let shared = inputs.iter().rev().find_map(|input| match input {
        Input::Shared(neighbours) => Some(neighbours.clone()),
        _ => None,
    });
    let neighbours = shared.unwrap_or_default();
    journal::forget_neighbours(&mut link, &neighbours);
    let (was, table) = (link.tombstone.clone(), link.table.clone());
    for input in inputs {
        match input {
            Input::Seen(observation) => {
                observe::observe(rules, &mut link, &neighbours, observation, now);
            }
            Input::Answered { side, number, reading } => {
                let (exchange, reading) = ((*side, *number), reading.clone());
                land::land(rules, &mut link, &neighbours, exchange, reading, now, &mut effects);
            }
            Input::Told { side, clock } => {
                let state = link.side_mut(*side);
                state.clock = match clock {
                    Some(clock) => Some(Clock::and(state.clock, *clock)),
                    // It does not say: as good as ours.
                    None => state.clock.or(Some(Clock { low: 0, high: 0 })),
                };
            }
            Input::Shared(_) => {}
        }
    }
    for side in Side::BOTH {
        let overdue = link.side(side).exchange.as_ref().filter(|e| e.deadline <= now);
        if let Some(number) = overdue.map(|e| e.number) {
            let outcome = Outcome::Unknown(Uncertainty::Open, "no answer in time".to_owned());
            let (exchange, reading) = ((side, number), Reading::Outcome(outcome));
            land::land(rules, &mut link, &neighbours, exchange, reading, now, &mut effects);
        }
    }
    let mut planner = Planner { rules, link, neighbours, now, effects, wants: BTreeMap::new() };
    planner.tell(was.as_ref(), &table);
    // Whoever keeps the links has to say first whether others share the ticket.
    let steps = if planner.effects.notice.is_some() {
        Vec::new()
    } else {
        planner.settle();
        Side::BOTH.map(|side| (side, planner.step(side))).to_vec()
    };
    let Planner { mut link, effects, .. } = planner;
    link.updated = now;
    Plan {
        link,
        steps,
        findings: effects.findings,
        audit: effects.audit,
        conflicts: effects.conflicts,
        dead: effects.dead,
        notice: effects.notice,
    }
}

/// A field that a side is to be given.
#[derive(Debug, Clone)]
struct Want {
    field: FieldMapping,
    /// The other side's shape that is translated.
    of: Shape,
    /// The platform's shape, where a person chose it.
    chosen: Option<Shape>,
    why: Why,
}

struct Planner<'a> {
    rules: &'a Rules,
    link: Link,
    neighbours: Neighbours,
    now: Millis,
    effects: Effects,
    wants: BTreeMap<Side, Vec<Want>>,
}

impl Planner<'_> {
    // ---- what should be ------------------------------------------------------------------

    /// What the inputs have led to, for people: a record is gone, or of another class.
    fn tell(&mut self, was: Option<&Tombstone>, table: &TableName) {
        if let (None, Some(Tombstone { why: Ended::Gone(side), .. })) =
            (was, self.link.tombstone.clone())
        {
            let side = side.to_string();
            self.find(
                FindingKind::RecordGone,
                None,
                format!("the {side} record was deleted; the other side is kept, and nothing is created again"),
            );
        }
        if self.link.table != *table
            && self.link.external.is_some()
            && self.effects.notice.is_none()
        {
            let text = if self.rules.takes(&self.link.table) {
                format!(
                    "the ticket was a {table} and is a {} now; its fields are mapped as such",
                    self.link.table
                )
            } else {
                format!(
                    "the ticket was a {table} and is a {} now, which the settings do not name; only its journal travels: add it to [[tickets]]",
                    self.link.table
                )
            };
            self.find(FindingKind::Reclassed, None, text);
        }
    }

    /// Looks at every field: agreement becomes the base, differences become wants.
    fn settle(&mut self) {
        let rules = self.rules;
        let table = self.link.table.clone();
        for field in rules.fields(&table) {
            let Some(mut state) = self.link.fields.remove(&field.name) else { continue };
            // A link that shares its ticket only hears of its status.
            let shared = self.link.role == Role::Secondary && field.name != rules.lifecycle().field;
            if !shared && self.applies(field, &state) {
                match self.link.tombstone.clone() {
                    None => self.settle_field(field, &mut state),
                    Some(tombstone) => self.settle_ended(field, &mut state, &tombstone),
                }
            }
            self.link.fields.insert(field.name.clone(), state);
        }
    }

    /// Whether the field is synchronised at the moment. A condition that cannot be evaluated is
    /// told, and does not hold.
    fn applies(&mut self, field: &FieldMapping, state: &FieldState) -> bool {
        let Some(condition) = &field.when else { return true };
        let context = context(&self.link, state);
        condition.holds(&context).unwrap_or_else(|why| {
            self.finding(
                FindingKind::TemplateFailed,
                field,
                format!("the condition of {} cannot be evaluated: {why}", field.name),
            );
            false
        })
    }

    /// One side is gone, or the pair was taken apart: nothing is carried. What happens on the side
    /// that is left is told, and it is closed if the settings want it.
    fn settle_ended(&mut self, field: &FieldMapping, state: &mut FieldState, end: &Tombstone) {
        let Ended::Gone(gone) = &end.why else { return };
        let left = gone.other();
        let lifecycle = self.rules.lifecycle();
        if lifecycle.gone == GonePolicy::Close && field.name == lifecycle.field {
            let closed = lifecycle.closed.first().cloned();
            if let (Some(value), Some(attribute), Some(seen)) =
                (closed, mapping::platform_attribute(field), state.shape(left))
            {
                let wanted = Shape::one(attribute, Value::text(value));
                let there = match left {
                    Side::Platform => mapping::same(field, left, seen, &wanted),
                    Side::External => mapping::agree(field, &wanted, seen),
                };
                if !there && state.parked.is_none() {
                    let (of, chosen) = (wanted.clone(), (left == Side::Platform).then_some(wanted));
                    let want = Want { field: field.clone(), of, chosen, why: Why::OtherGone };
                    self.want(left, want);
                }
                return;
            }
        }
        let base = state.base.as_ref().map(|base| match left {
            Side::Platform => &base.platform,
            Side::External => &base.external,
        });
        let unseen = matches!((base, state.shape(left)), (Some(base), Some(now)) if !mapping::same(field, left, base, now));
        if unseen {
            self.finding(
                FindingKind::UnseenEdit,
                field,
                format!("{} was changed on the {left} side and has nowhere to go: the other record is gone", field.name),
            );
        }
    }

    fn settle_field(&mut self, field: &FieldMapping, state: &mut FieldState) {
        self.watch_ghost(field, state);
        if self.land_early(field, state) == InFlight::Yes {
            return;
        }
        if self.link.external.is_none() || self.stays_parked(field, state) {
            return;
        }
        if let Some(verdict) = self.decided(field, state) {
            return self.carry_decision(field, state, verdict);
        }
        if self.ask_the_time(field, state) {
            return;
        }
        let circumstances = circumstances(&self.link, self.now);
        match merge::verdict(field, state, circumstances) {
            Verdict::Settled => {}
            Verdict::Agreed => agree(state),
            Verdict::Carry { to, why } => {
                if let Some(of) = state.shape(to.other()).cloned() {
                    self.want(to, Want { field: field.clone(), of, chosen: None, why });
                }
            }
            Verdict::Park(ParkedWhy::Guarded) => {
                park(state, ParkedWhy::Guarded);
                let text = format!(
                    "{} was changed in a way that a guard forbids, and is left as it is on both sides until one of them changes it again",
                    field.name
                );
                self.finding(FindingKind::Guarded, field, text);
            }
            Verdict::Park(why) => {
                park(state, why);
                let text = format!(
                    "{} was changed by the side that does not own it, and is kept there; the owner's next change overwrites it",
                    field.name
                );
                self.finding(FindingKind::Kept, field, text);
            }
            Verdict::Conflict => self.open_conflict(field, state),
        }
    }

    /// Two edits can only be put in order on clocks that are known: a side that never answered is
    /// read first, and its answer's date tells.
    fn ask_the_time(&mut self, field: &FieldMapping, state: &FieldState) -> bool {
        let (Some(base), Some(platform), Some(external)) =
            (&state.base, &state.platform, &state.external)
        else {
            return false;
        };
        let apart = merge::moved(field, base, &platform.shape, &external.shape) == Moved::Apart;
        let mut asked = false;
        for side in Side::BOTH {
            let may_read = self.rules.may_read(side);
            let known = self.link.side_mut(side);
            if apart && known.clock.is_none() && may_read && !known.missing {
                known.look |= known.exchange.is_none();
                asked = true;
            }
        }
        asked
    }

    /// A write under way that is seen to have landed before its answer came: that is agreement on
    /// what was sent, even if the other side has moved on meanwhile.
    fn land_early(&mut self, field: &FieldMapping, state: &mut FieldState) -> InFlight {
        for side in Side::BOTH {
            let Some(flight) = &self.link.side(side).flight else { continue };
            let Verb::Update { set, .. } = &flight.write.verb else { continue };
            let Some(translated) = set.get(&field.name) else { continue };
            let landed = state
                .seen(side)
                .filter(|seen| mapping::agree_from(field, side, &seen.shape, &translated.of));
            if let Some(seen) = landed {
                let between = land::changes_between(&flight.write, seen.revision.as_ref());
                let (ours, theirs) = (seen.shape.clone(), translated.of.clone());
                let base = Some(match side {
                    Side::External => Base { platform: theirs, external: ours },
                    Side::Platform => Base { platform: ours, external: theirs },
                });
                if state.base != base && between > 1 {
                    let text = land::overwritten_text(&field.name);
                    self.finding(FindingKind::OverwrittenUnseen, field, text);
                }
                state.base = base;
            }
            return InFlight::Yes;
        }
        InFlight::No
    }

    /// Tells when a write of ours seems to have taken effect late, over what came after it.
    fn watch_ghost(&mut self, field: &FieldMapping, state: &mut FieldState) {
        let (Some(ghost), Some(seen)) = (&mut state.ghost, &state.external) else { return };
        let count = |revision: Option<Revision>| match revision {
            Some(Revision::External { mod_count: Some(n), .. }) => n,
            _ => 0,
        };
        let since = count(seen.revision).saturating_sub(count(ghost.revision));
        let over = seen.revision.is_some_and(|revision| revision.at() > ghost.until);
        let agrees = mapping::agree(field, &ghost.of, &seen.shape);
        ghost.departed |= !agrees;
        // The ghost over other words for the same; an edit and then the ghost; or an edit, the
        // ghost, and an edit again.
        let reworded = seen.shape != ghost.shape;
        if (agrees && (ghost.departed || reworded || since > 1)) || since > 2 {
            state.ghost = None;
            self.finding(
                FindingKind::OverwrittenUnseen,
                field,
                land::overwritten_text(&field.name),
            );
            return;
        }
        if over {
            state.ghost = None;
        }
    }

    /// A parked field is left alone until something changes; agreement always frees it.
    fn stays_parked(&mut self, field: &FieldMapping, state: &mut FieldState) -> bool {
        let Some(parked) = state.parked.clone() else { return false };
        let agreed = match (&state.platform, &state.external) {
            (Some(p), Some(e)) => mapping::agree(field, &p.shape, &e.shape),
            _ => false,
        };
        if agreed {
            state.parked = None;
            if let ParkedWhy::Conflict(_) = parked.why {
                self.report_conflict(field, state, &parked, ConflictState::Closed { at: self.now });
            }
            return false;
        }
        // By meaning: New and In Progress are both `open`, and no change.
        let changed = |side: Side, then: &Option<Shape>| match (state.shape(side), then) {
            (Some(now), Some(then)) => !mapping::same(field, side, now, then),
            (now, then) => now != then.as_ref(),
        };
        let platform_changed = changed(Side::Platform, &parked.platform);
        let external_changed = changed(Side::External, &parked.external);
        if !platform_changed && !external_changed {
            return true;
        }
        match &parked.why {
            // New edits update the same conflict.
            ParkedWhy::Conflict(_) => {
                let why = parked.why.clone();
                self.report_conflict(field, state, &parked, ConflictState::Open);
                park(state, why);
                true
            }
            // Only the owner's next change overwrites what was kept. It stays parked until both
            // agree: an owner who thinks better of it leaves everything as it was.
            ParkedWhy::Kept => {
                let owner = match field.owner {
                    Owner::Platform => (platform_changed, Side::External),
                    Owner::External => (external_changed, Side::Platform),
                    Owner::Shared => {
                        state.parked = None;
                        return false;
                    }
                };
                if let (true, to) = owner
                    && let (Some(of), Some(there)) =
                        (state.shape(to.other()).cloned(), state.shape(to))
                    && merge::may_write(field, to, there, &of)
                {
                    let want = Want { field: field.clone(), of, chosen: None, why: Why::Carried };
                    self.want(to, want);
                }
                true
            }
            _ => {
                state.parked = None;
                false
            }
        }
    }

    /// A person's decision, as long as both sides are as the person saw them (or as decided).
    fn decided(&self, field: &FieldMapping, state: &mut FieldState) -> Option<Shape> {
        let decision = state.decision.as_ref()?;
        let target = &decision.platform;
        let platform_fits = match state.shape(Side::Platform) {
            None => decision.seen.0.is_none(),
            Some(now) => {
                Some(now) == decision.seen.0.as_ref()
                    || mapping::same(field, Side::Platform, now, target)
            }
        };
        let external_fits = state.shape(Side::External).is_some_and(|now| {
            Some(now) == decision.seen.1.as_ref() || mapping::agree(field, target, now)
        });
        if platform_fits && external_fits {
            Some(target.clone())
        } else {
            state.decision = None;
            None
        }
    }

    fn carry_decision(&mut self, field: &FieldMapping, state: &mut FieldState, target: Shape) {
        let Some(external) = state.shape(Side::External).cloned() else { return };
        let (by, cause) =
            state.decision.as_ref().map(|d| (d.by.clone(), d.cause)).unwrap_or_default();
        // A platform that has never shown the field has nothing to be mended.
        let platform_done = state
            .shape(Side::Platform)
            .is_none_or(|platform| mapping::same(field, Side::Platform, platform, &target));
        let external_done = mapping::agree(field, &target, &external);
        if platform_done && external_done {
            state.decision = None;
            agree(state);
            return;
        }
        // ServiceNow first: the platform is then given what both are to agree on.
        let why = match cause {
            Cause::Conflict => Why::Resolved { by },
            Cause::Reopen => Why::Reopened,
        };
        let field = field.clone();
        if external_done {
            let want = Want { field, of: external, chosen: Some(target), why };
            self.want(Side::Platform, want);
        } else {
            self.want(Side::External, Want { field, of: target, chosen: None, why });
        }
    }

    fn want(&mut self, to: Side, want: Want) {
        // Of several links on one ticket one speaks for it; the others only hear of its status.
        let may = match self.link.role {
            Role::Sole | Role::Primary => true,
            Role::Secondary => {
                to == Side::Platform && want.field.name == self.rules.lifecycle().field
            }
        };
        // A link that another generation has taken over from only brings its entries home.
        if may && self.link.successor.is_none() && self.rules.may_write(to) {
            self.wants.entry(to).or_default().push(want);
        }
    }

    fn open_conflict(&mut self, field: &FieldMapping, state: &mut FieldState) {
        self.link.sequence += 1;
        let id = identity::conflict_id(&self.link, &field.name);
        park(state, ParkedWhy::Conflict(id));
        if let Some(parked) = state.parked.clone() {
            self.report_conflict(field, state, &parked, ConflictState::Open);
        }
        let text = format!(
            "both sides changed {}; choose a value with `firn conflict resolve`",
            field.name
        );
        self.finding(FindingKind::Conflict, field, text);
    }

    fn report_conflict(
        &mut self,
        field: &FieldMapping,
        state: &FieldState,
        parked: &Parked,
        now: ConflictState,
    ) {
        let ParkedWhy::Conflict(id) = &parked.why else { return };
        let masked = |seen: &Seen| Seen { shape: mask_shape(&seen.shape), ..seen.clone() };
        self.effects.conflicts.push(Conflict {
            id: id.clone(),
            integration: self.link.integration.clone(),
            link: self.link.id.clone(),
            number: self.link.external.as_ref().and_then(|e| e.number.clone()),
            field: field.name.clone(),
            platform: state.platform.as_ref().map(masked),
            external: state.external.as_ref().map(masked),
            base: state.base.as_ref().map(|base| Base {
                platform: mask_shape(&base.platform),
                external: mask_shape(&base.external),
            }),
            opened: self.now,
            updated: self.now,
            state: now,
        });
    }

    fn finding(&mut self, kind: FindingKind, field: &FieldMapping, text: String) {
        self.find(kind, Some(field), text);
    }

    fn find(&mut self, kind: FindingKind, field: Option<&FieldMapping>, text: String) {
        self.effects.findings.push(Finding {
            kind,
            integration: self.link.integration.clone(),
            link: Some(self.link.id.clone()),
            field: field.map(|f| f.name.clone()),
            text,
            at: self.now,
        });
    }

    // ---- what to do next -----------------------------------------------------------------

    /// The next step of a side: at most one request under way, at most one write in flight.
    fn step(&mut self, side: Side) -> Step {
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
            return Step::Wait(now.plus(PAUSE));
        }
        // One write at a time to a ticket, whichever link it comes from.
        if side == Side::External && self.neighbours.busy && state.flight.is_none() {
            return Step::Wait(now.plus(BUSY));
        }
        let paused = state.not_before.filter(|until| *until > now);
        let Some(kind) = self.next(side) else {
            self.link.side_mut(side).one_by_one = false;
            return Step::Settled;
        };
        match paused {
            Some(until) => Step::Wait(until),
            None => self.exchange(side, kind),
        }
    }

    fn next(&mut self, side: Side) -> Option<ExchangeKind> {
        if let Some(flight) = &self.link.side(side).flight {
            return Some(asks(flight));
        }
        if let Some(tombstone) = self.link.tombstone.clone() {
            return self.last_words(side, &tombstone);
        }
        if side == Side::External && self.link.external.is_none() {
            if let Some(number) = &self.link.attach {
                return Some(ExchangeKind::Locate(number.clone()));
            }
            self.link.draft.as_ref()?;
            // The platform's record is being read: the ticket is to show all of it.
            let platform = &self.link.platform_side;
            if platform.look || platform.exchange.is_some() {
                return None;
            }
            return self.rules.may_write(side).then(|| self.create());
        }
        if !self.rules.may_read(side) {
            self.link.side_mut(side).look = false;
        }
        let state = self.link.side(side);
        match state.search {
            Some(Search::Class) => return Some(ExchangeKind::Class),
            Some(Search::Deletion) => return Some(ExchangeKind::Deletion),
            None => {}
        }
        if state.look {
            return Some(ExchangeKind::Read);
        }
        if state.missing {
            return None;
        }
        self.update(side).or_else(|| self.append(side)).or_else(|| {
            let journal = side == Side::External && self.link.side(side).look_journal;
            journal.then_some(ExchangeKind::Journal)
        })
    }

    /// What is still done for a link at rest: the side that is left may have to be closed. Entries
    /// that had no time to travel are told of.
    fn last_words(&mut self, side: Side, end: &Tombstone) -> Option<ExchangeKind> {
        for i in 0..self.link.entries.len() {
            let waits = self.link.entries.get(i).is_some_and(|e| e.mirror == Mirror::Pending);
            if waits && let Some(entry) = self.link.entries.get_mut(i) {
                let from = entry.origin.side();
                entry.mirror = Mirror::Withheld("the pair is no longer kept in step".to_owned());
                if end.why == Ended::Gone(from.other()) {
                    let text = format!(
                        "an entry of the {from} side has nowhere to go: the other record is gone"
                    );
                    self.find(FindingKind::UnseenEdit, None, text);
                }
            }
        }
        match end.why {
            Ended::Gone(gone) if gone != side => self.update(side),
            _ => None,
        }
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
        };
        let state = self.link.side_mut(side);
        match exchange.kind {
            ExchangeKind::Read => state.look = false,
            ExchangeKind::Journal => state.look_journal = false,
            ExchangeKind::Send => self.audit_write(side),
            ExchangeKind::Find
            | ExchangeKind::Locate(_)
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
        };
        self.effects.audit.push(Audit {
            integration: self.link.integration.clone(),
            link: Some(self.link.id.clone()),
            at: self.now,
            event: event.to_owned(),
            key: Some(flight.write.key.clone()),
            side: Some(side),
            fields: flight.write.reasons.iter().map(mask_written).collect(),
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
        let key = identity::next_key(&mut self.link);
        // The platform compares `expect` itself; ServiceNow cannot, so look just before.
        let phase = match side {
            Side::External => Phase::Checking,
            Side::Platform => Phase::Sending,
        };
        let flight =
            Flight { write: Write { key, side, verb, expect, reasons }, phase, attempts: 0 };
        let kind = asks(&flight);
        self.link.side_mut(side).flight = Some(flight);
        kind
    }

    /// A new ticket: the draft, and every mapped field that the platform has shown.
    fn create(&mut self) -> ExchangeKind {
        let rules = self.rules;
        let table = self.link.table.clone();
        let mut set = rules.constants(&table);
        set.extend(self.link.draft.clone().unwrap_or_default().set);
        let mut reasons = vec![Written { field: None, from: None, to: None, why: Why::Created }];
        for field in rules.fields(&table) {
            let Some(state) = self.link.fields.get(&field.name).cloned() else { continue };
            if !self.applies(field, &state) {
                continue;
            }
            let shape = state.shape(Side::Platform);
            let Some(shape) = shape.filter(|s| !s.is_empty()) else { continue };
            // What cannot be translated now is dealt with once the ticket is there.
            if let Ok(columns) = mapping::to_external(field, shape, None, &self.link.references) {
                reasons.push(Written {
                    field: Some(field.name.clone()),
                    from: None,
                    to: Some(columns.shape.clone()),
                    why: Why::Created,
                });
                set.extend(columns.with);
                set.extend(columns.shape.0);
            }
        }
        let key = self.link.key.clone();
        let column = self.rules.settings().correlation.column.clone();
        set.insert(column, Value::text(key.as_str()));
        self.fly(Side::External, Verb::Create { key, set }, Expectation::default(), reasons)
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
            let columns = match self.translate(side, &want, present.as_ref()) {
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
            });
            expect.fields.insert(name.clone(), present);
            with.extend(columns.with);
            set.insert(name, Translated { shape: columns.shape, of: want.of });
            if self.link.side(side).one_by_one {
                break;
            }
        }
        (!set.is_empty()).then(|| self.fly(side, Verb::Update { set, with }, expect, reasons))
    }

    fn translate(
        &self,
        side: Side,
        want: &Want,
        present: Option<&Shape>,
    ) -> Result<mapping::Columns, Untranslatable> {
        if let (Side::Platform, Some(chosen)) = (side, &want.chosen) {
            return Ok(mapping::Columns { shape: chosen.clone(), with: BTreeMap::new() });
        }
        // What ServiceNow itself gave the platform can be given anew, whatever its form.
        let base = self.link.fields.get(&want.field.name).and_then(|s| s.base.as_ref());
        let given = base.and_then(|b| mapping::to_platform(&want.field, &b.external).ok());
        if side == Side::Platform
            && given.as_ref() != present
            && present.is_some_and(|shape| mapping::loses_on_the_way_out(&want.field, shape))
        {
            return Err(Untranslatable::Lossy);
        }
        mapping::translate(&want.field, side.other(), &want.of, present, &self.link.references)
    }

    fn park_untranslatable(&mut self, field: &FieldMapping, why: &Untranslatable) {
        let name = &field.name;
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

    fn append(&mut self, side: Side) -> Option<ExchangeKind> {
        if !self.rules.may_write(side) {
            return None;
        }
        let entry = journal::next(self.rules, &self.link, &self.neighbours, side)?.clone();
        let why = match entry.origin {
            firn_model::EntryOrigin::Firn(_) => Why::Evidence,
            _ => Why::Mirrored,
        };
        let reasons = vec![Written { field: None, from: None, to: None, why }];
        let text = journal::outgoing(self.rules, &self.link, &entry);
        let verb = Verb::Append { entry: entry.origin, text, before: Vec::new() };
        Some(self.fly(side, verb, Expectation::default(), reasons))
    }
}

/// What a field's condition sees: both sides of all mapped fields.
pub(crate) fn context(link: &Link, state: &FieldState) -> serde_json::Value {
    let mut sides = [serde_json::Map::new(), serde_json::Map::new()];
    for known in link.fields.values().chain([state]) {
        for (i, side) in Side::BOTH.into_iter().enumerate() {
            if let (Some(shape), Some(all)) = (known.shape(side), sides.get_mut(i))
                && let serde_json::Value::Object(attributes) = mapping::as_json(shape)
            {
                all.extend(attributes);
            }
        }
    }
    let [record, ticket] = sides;
    serde_json::json!({ "record": record, "ticket": ticket, "table": link.table })
}

/// What a verdict on a field of a link depends on besides the field.
#[must_use]
pub fn circumstances(link: &Link, now: Millis) -> Circumstances {
    Circumstances {
        now,
        origin: link.origin,
        platform_clock: link.platform_side.clock,
        external_clock: link.external_side.clock,
    }
}

#[derive(PartialEq, Eq)]
enum InFlight {
    Yes,
    No,
}

/// What has to be asked for a write to get on.
fn asks(flight: &Flight) -> ExchangeKind {
    match (&flight.phase, &flight.write.verb) {
        (Phase::Sending, _) => ExchangeKind::Send,
        (_, Verb::Create { .. }) => ExchangeKind::Find,
        (_, Verb::Update { .. }) => ExchangeKind::Read,
        (_, Verb::Append { .. }) => ExchangeKind::Journal,
    }
}

fn park(state: &mut FieldState, why: ParkedWhy) {
    state.parked = Some(Parked {
        why,
        platform: state.shape(Side::Platform).cloned(),
        external: state.shape(Side::External).cloned(),
    });
}

/// Both sides mean the same: that is the new base.
fn agree(state: &mut FieldState) {
    if let (Some(platform), Some(external)) = (&state.platform, &state.external) {
        state.base =
            Some(Base { platform: platform.shape.clone(), external: external.shape.clone() });
    }
}

/// A shape as it may be shown: in an audit line, a report, a screen.
#[must_use]
pub fn mask_shape(shape: &Shape) -> Shape {
    let mask = |value: &Value| match value {
        Value::Text(text) => Value::text(mask_text(text)),
        // A card number may come as a number.
        Value::Integer(n) => {
            let text = n.to_string();
            let masked = masking::mask(&text).text;
            if masked == text { value.clone() } else { Value::text(masked) }
        }
        other => other.clone(),
    };
    Shape(shape.0.iter().map(|(a, v)| (a.clone(), mask(v))).collect())
}

/// A text masked, also where Markdown's escapes stand between its digits.
fn mask_text(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escapes = c == '\\' && chars.peek().is_some_and(char::is_ascii_punctuation);
        if !escapes {
            bare.push(c);
        }
    }
    let masked = masking::mask(&bare);
    if masked.spans.is_empty() { masking::mask(text).text } else { masked.text }
}

fn mask_written(written: &Written) -> Written {
    Written {
        from: written.from.as_ref().map(mask_shape),
        to: written.to.as_ref().map(mask_shape),
        ..written.clone()
    }
}
