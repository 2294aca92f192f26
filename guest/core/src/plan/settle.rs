//! What should be: each field is looked at by itself. Agreement becomes the base, a difference
//! becomes a want, waits for a person, or is left alone; and somebody is told.

use std::collections::BTreeSet;

use firn_model::{
    Attribute, Base, Cause, Conflict, ConflictState, Ended, FieldState, FindingKind, GonePolicy,
    Owner, Parked, ParkedWhy, Revision, Role, Seen, Shape, Side, Tombstone, Value, Verb, Why,
};

use super::ask::Arbiter;
use super::{Planner, Want, applies, circumstances, mask_shape};
use crate::merge::{self, Moved, Verdict};
use crate::settings::FieldMapping;
use crate::{identity, land, mapping};

impl Planner<'_> {
    /// Looks at every field: agreement becomes the base, differences become wants.
    pub(super) fn settle(&mut self) {
        let rules = self.rules;
        let table = self.link.table.clone();
        self.agree_on_what_was_made();
        for field in rules.fields(&table) {
            let Some(mut state) = self.link.fields.remove(&field.name) else { continue };
            // A link that shares its ticket only hears of its status.
            let shared = self.link.role == Role::Secondary && field.name != rules.lifecycle().field;
            if self.link.tombstone.is_some() {
                self.let_go_of_ghost(field, &mut state);
            }
            if !shared && self.applies(field, &state) {
                match self.link.tombstone.clone() {
                    None => self.settle_field(field, &mut state),
                    Some(tombstone) => self.settle_ended(field, &mut state, &tombstone),
                }
            }
            self.link.fields.insert(field.name.clone(), state);
        }
    }

    /// A ticket that was found again was made of what the platform had shown: what stands there as it was written was
    /// agreed on, and whichever side changed it since, it alone did.
    fn agree_on_what_was_made(&mut self) {
        let link = &mut self.link;
        let fields = &mut link.fields;
        let (rules, table) = (self.rules, &link.table);
        link.made_of.retain(|name, platform| {
            let (Some(field), Some(state)) = (rules.field(table, name), fields.get_mut(name))
            else {
                return false;
            };
            let Some(seen) = &state.external else { return true };
            if state.base.is_none() && mapping::agree(field, platform, &seen.shape) {
                let (platform, external) = (platform.clone(), seen.shape.clone());
                state.base = Some(Base { platform, external });
            }
            false
        });
    }

    /// Whether the field is synchronised at the moment. A condition that cannot be evaluated is
    /// told, and does not hold.
    pub(super) fn applies(&mut self, field: &FieldMapping, state: &FieldState) -> bool {
        applies(field, state, &self.link).unwrap_or_else(|why| {
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
        if self.link.external.is_none() {
            return;
        }
        self.forget_former_columns(field, state);
        if self.stays_parked(field, state) {
            return;
        }
        if let Some(verdict) = self.decided(field, state) {
            return self.carry_decision(field, state, verdict);
        }
        if self.is_as_ruled(field, state) {
            return agree(state);
        }
        if let Some(of) = Planner::left_out(state) {
            let want = Want { field: field.clone(), of, chosen: None, why: Why::Created };
            return self.want(Side::External, want);
        }
        if self.ask_the_time(field, state) {
            return;
        }
        match self.arbitrated(field, state) {
            Some(Arbiter::Person) => return self.open_conflict(field, state),
            Some(Arbiter::Nobody) => return,
            None => {}
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

    /// The field was mapped to other columns when the sides agreed, or were seen: that says nothing of those that it has
    /// now. What they have is read, and the sides meet as if for the first time.
    fn forget_former_columns(&mut self, field: &FieldMapping, state: &mut FieldState) {
        for side in Side::BOTH {
            let mut known: BTreeSet<Attribute> =
                mapping::attributes(field, side).into_iter().collect();
            if side == Side::External {
                known.extend(mapping::written(field));
            }
            if known.is_empty() {
                continue;
            }
            let is_former = |shape: &Shape| {
                !shape.0.is_empty() && !shape.0.keys().any(|attribute| known.contains(attribute))
            };
            let base = state.base.as_ref().map(|base| match side {
                Side::Platform => &base.platform,
                Side::External => &base.external,
            });
            if base.is_some_and(is_former) {
                state.base = None;
            }
            let seen = state.seen_mut(side);
            if seen.as_ref().is_some_and(|seen| is_former(&seen.shape)) {
                *seen = None;
                state.base = None;
                let known = self.link.side_mut(side);
                known.look |= !known.missing;
            }
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
        let never_answered = |side: &Side| {
            let known = self.link.side(*side);
            known.clock.is_none() && self.rules.may_read(*side) && !known.missing
        };
        let unknown: Vec<Side> = Side::BOTH.into_iter().filter(never_answered).collect();
        if unknown.is_empty()
            || merge::moved(field, base, &platform.shape, &external.shape) != Moved::Apart
        {
            return false;
        }
        for side in unknown {
            let known = self.link.side_mut(side);
            known.look |= known.exchange.is_none();
        }
        true
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
                .filter(|seen| mapping::stands(field, side, &seen.shape, translated));
            if let Some(seen) = landed {
                let between = land::changes_between(&flight.write, seen.revision);
                let (ours, theirs) = (seen.shape.clone(), translated.of.clone());
                let base = Some(match side {
                    Side::External => Base { platform: theirs, external: ours },
                    Side::Platform => Base { platform: ours, external: theirs },
                });
                if state.base != base && between > 1 {
                    let columns = land::columns([&translated.shape, &seen.shape]);
                    let counts = (land::Came::InTime, flight.write.expect.revision, seen.revision);
                    land::overwritten(&mut self.link, &field.name, columns, counts);
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
        // Their revision is of their clock, the limit of ours: over is what surely is.
        let ahead = self.link.external_side.clock.map_or(0, |clock| clock.high);
        let until = ghost.until.0.saturating_add(ahead);
        let over = seen.revision.is_some_and(|revision| revision.at().0 > until);
        let agrees = mapping::agree(field, &ghost.of, &seen.shape);
        ghost.departed |= !agrees;
        // The ghost over other words for the same; an edit and then the ghost; or an edit, the
        // ghost, and an edit again.
        let reworded = seen.shape != ghost.shape;
        let most = if mapping::agree(field, &ghost.of, &ghost.shape) { 2 } else { 1 };
        let is_back = agrees && (ghost.departed || reworded);
        if is_back || (agrees && since > 1) || since > most {
            let columns = land::columns([&ghost.shape, &seen.shape]);
            let counts = (land::Came::Late, ghost.revision, seen.revision);
            // It may have been somebody's edits of other columns, and the ghost comes yet: what is only counted is told
            // once, and looked for in the history each time.
            let is_news = is_back || !ghost.told;
            ghost.shape = seen.shape.clone();
            ghost.revision = seen.revision;
            (ghost.departed, ghost.told) = (!agrees, true);
            land::overwritten(&mut self.link, &field.name, columns, counts);
            if is_news {
                let text = format!(
                    "our write of {}, whose answer never came, seems to have taken effect late, over what was written meanwhile: look at the ticket's history",
                    field.name
                );
                self.finding(FindingKind::OverwrittenUnseen, field, text);
            }
        }
        if over {
            state.ghost = None;
        }
    }

    /// A pair at rest is not looked at any more: what may come yet is told of.
    fn let_go_of_ghost(&mut self, field: &FieldMapping, state: &mut FieldState) {
        let Some(ghost) = state.ghost.take() else { return };
        let gone = self.link.tombstone.as_ref().map(|end| &end.why);
        if ghost.until > self.now && gone != Some(&Ended::Gone(Side::External)) {
            let text = format!(
                "our write of {}, whose answer never came, may still take effect, over whatever is written there now that the pair is no longer kept in step: look at the ticket's history",
                field.name
            );
            self.finding(FindingKind::OverwrittenUnseen, field, text);
        }
    }

    /// A parked field is left alone until something changes; agreement always frees it.
    fn stays_parked(&mut self, field: &FieldMapping, state: &mut FieldState) -> bool {
        let Some(parked) = state.parked.clone() else { return false };
        let agreed = match (&state.platform, &state.external) {
            (Some(p), Some(e)) => {
                mapping::agree(field, &p.shape, &e.shape) || self.is_as_ruled(field, state)
            }
            _ => false,
        };
        if agreed {
            state.parked = None;
            if let ParkedWhy::Conflict(_) = parked.why {
                self.report_conflict(field, state, &parked, ConflictState::Closed { at: self.now });
            }
            return false;
        }
        // Other rules are asked, or none: what the ones before withheld is looked at again.
        if parked.why == ParkedWhy::Withheld && !self.withholds(state) {
            state.parked = None;
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
    fn decided(&mut self, field: &FieldMapping, state: &mut FieldState) -> Option<Shape> {
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
            if decision.cause == Cause::Reopen {
                let text = "the ticket was to be opened again for an escalation, and was changed before that was done; look whether somebody sees to it";
                self.finding(FindingKind::Guarded, field, text.to_owned());
            }
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
        let rules = self.rules;
        let masked = |seen: &Seen| Seen { shape: mask_shape(rules, &seen.shape), ..seen.clone() };
        self.effects.conflicts.push(Conflict {
            id: id.clone(),
            integration: self.link.integration.clone(),
            link: self.link.id.clone(),
            number: self.link.external.as_ref().and_then(|e| e.number.clone()),
            field: field.name.clone(),
            platform: state.platform.as_ref().map(masked),
            external: state.external.as_ref().map(masked),
            base: state.base.as_ref().map(|base| Base {
                platform: mask_shape(rules, &base.platform),
                external: mask_shape(rules, &base.external),
            }),
            opened: self.now,
            updated: self.now,
            state: now,
        });
    }
}

#[derive(PartialEq, Eq)]
enum InFlight {
    Yes,
    No,
}

pub(super) fn park(state: &mut FieldState, why: ParkedWhy) {
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
