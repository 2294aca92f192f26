//! A tenant's own rules: what they have to be asked before the next step, and how values leave by what they
//! said. Taking in what they say: `heard`; what they see: `shown`.
//!
//! What was said is kept in the link, as long as what it was said of stays so. So a question is asked once,
//! and asking again could change nothing.

mod heard;
mod shown;

use firn_model::rule::{Arbitration, Failing, Question, Ruled, Ruling, Turn};
use firn_model::{FieldState, Hook, Inquiry, Millis, Seen, Shape, Side, Why};

pub use self::heard::judge;
pub use self::shown::subject;
pub(crate) use self::shown::{begins_with, has_word, word};
use super::{Planner, Want};
use crate::mapping;
use crate::merge;
use crate::settings::FieldMapping;

/// How soon what could not be asked is looked at again. In milliseconds.
const SOON: u64 = 1_000;

/// How a value leaves, as far as rules have a say in it.
pub(super) enum Course {
    /// As it is.
    AsItIs,
    /// As rules of this version made it, as the platform would write it.
    Made(Shape, u64),
    /// Not now. Until when, if rules failed; else they have to be asked.
    Held(Option<Millis>),
    /// Not at all.
    Withheld,
}

impl Planner<'_> {
    fn version(&self) -> u64 {
        self.rules.integration().rules.as_ref().map_or(0, |rules| rules.version)
    }

    fn asks(&self, hook: Hook) -> bool {
        self.rules.asks(hook)
    }

    /// What was said of values that are others now, or by rules that are asked no more, is forgotten.
    pub(super) fn forget(&mut self) {
        let (value, conflict) = (self.asks(Hook::Value), self.asks(Hook::Conflict));
        for state in self.link.fields.values_mut() {
            let FieldState { platform, external, ruled, arbitrated, .. } = state;
            ruled.retain(|from, ruled| {
                let seen = match from {
                    Side::Platform => platform.as_ref(),
                    Side::External => external.as_ref(),
                };
                (value || ruled.left_out) && seen.is_some_and(|seen| seen.shape == ruled.of)
            });
            let stands = arbitrated.as_ref().is_some_and(|known| {
                let shape = |seen: &Option<Seen>| seen.as_ref().map(|seen| seen.shape.clone());
                conflict
                    && shape(platform).as_ref() == Some(&known.of.0)
                    && shape(external).as_ref() == Some(&known.of.1)
            });
            if !stands {
                *arbitrated = None;
            }
        }
        let turns = [Hook::Admit, Hook::Classify, Hook::Draft].map(|hook| self.asks(hook));
        let begin = &mut self.link.beginning;
        for (turn, asked) in
            [&mut begin.admit, &mut begin.classify, &mut begin.draft].into_iter().zip(turns)
        {
            if !asked {
                *turn = Turn::Over;
            }
        }
    }

    /// What rules failed at and nobody needs any more is forgotten: the sides came to agree without it.
    pub(super) fn forget_needless(&mut self) {
        let creates = self.link.external.is_none() && self.link.draft.is_some();
        for (name, state) in &mut self.link.fields {
            let wants = &self.wants;
            state.ruled.retain(|from, ruled| {
                let wanted = wants.get(&from.other()).is_some_and(|wants| {
                    wants.iter().any(|want| want.field.name == *name && want.of == ruled.of)
                });
                creates || wanted || !matches!(ruled.ruling, Ruling::Failing(_))
            });
        }
    }

    /// What has to be asked before anything is sent.
    pub(super) fn questions(&mut self) -> Option<Inquiry> {
        if !self.rules.integration().enabled || self.link.tombstone.is_some() {
            return None;
        }
        let mut questions: Vec<Question> = std::mem::take(&mut self.rivals);
        let now = self.now;
        let version = self.version();
        let due = |turn: &Turn| match turn {
            Turn::Over => false,
            Turn::Open => true,
            // What failed is asked of the next version at once.
            Turn::Failing(failing) => failing.again <= now || failing.version != version,
        };
        let link = &self.link;
        let begin = &link.beginning;
        let creates = link.external.is_none() && link.draft.is_some();
        let seen =
            Side::BOTH.iter().all(|s| !link.side(*s).look && link.side(*s).exchange.is_none());
        if self.asks(Hook::Admit) && begin.admit.is_open() {
            if seen && due(&begin.admit) {
                questions.push(Question::Admit);
            }
        } else if creates && self.asks(Hook::Classify) && begin.classify.is_open() {
            if self.may_create() && due(&begin.classify) {
                let tables = self.rules.tables().cloned().collect();
                questions.push(Question::Classify { tables });
            }
        } else if creates && self.asks(Hook::Draft) && begin.draft.is_open() {
            if self.may_create() && due(&begin.draft) {
                let set = link.draft.clone().unwrap_or_default().set;
                let columns = begins_with(self.rules, &link.table, &set);
                questions.push(Question::Draft { columns });
            }
        } else if self.asks(Hook::Value) {
            questions.extend(self.values());
        }
        if questions.is_empty() {
            return None;
        }
        Some(Inquiry { about: subject(self.rules, &self.link), questions })
    }

    /// Whether rules have still to say whether the pair is kept in step, or what its ticket is.
    pub(super) fn begins_later(&mut self, side: Side) -> bool {
        let begin = self.link.beginning.clone();
        let creates = self.link.external.is_none() && self.link.draft.is_some();
        let turns = [
            (Hook::Admit, begin.admit, true),
            (Hook::Classify, begin.classify, creates),
            (Hook::Draft, begin.draft, creates),
        ];
        for (hook, turn, concerned) in turns {
            if concerned && turn.is_open() && self.asks(hook) {
                if let Turn::Failing(failing) = turn {
                    // It may be time, and something else under way: nobody waits for a time that is over.
                    self.hold(side, failing.again.max(self.now.plus(SOON)));
                }
                return true;
            }
        }
        false
    }

    /// Notes that a side has something to look at again then.
    pub(super) fn hold(&mut self, side: Side, until: Millis) {
        let held = self.held.entry(side).or_insert(until);
        *held = (*held).min(until);
    }

    fn idle(&self, side: Side) -> bool {
        let state = self.link.side(side);
        let paused = state.not_before.is_some_and(|until| until > self.now);
        let busy = side == Side::External && self.neighbours.busy;
        state.flight.is_none() && state.exchange.is_none() && !state.halted && !paused && !busy
    }

    fn may_create(&self) -> bool {
        let platform = &self.link.platform_side;
        self.link.external.is_none()
            && self.link.attach.is_none()
            && self.link.draft.is_some()
            && !platform.look
            && platform.exchange.is_none()
            && self.idle(Side::External)
            && self.rules.may_write(Side::External)
    }

    /// Values that are about to be written.
    fn values(&self) -> Vec<Question> {
        let mut questions = Vec::new();
        if self.may_create() {
            for field in self.rules.fields(&self.link.table) {
                let Some(state) = self.link.fields.get(&field.name) else { continue };
                let Some(shape) = state.shape(Side::Platform).filter(|s| !s.is_empty()) else {
                    continue;
                };
                if let Course::Held(None) = self.course(Side::External, field, shape, &Why::Created)
                {
                    questions.extend(self.value(Side::External, field, shape));
                }
            }
        }
        for (side, wants) in &self.wants {
            let state = self.link.side(*side);
            if !self.idle(*side) || state.look || state.missing {
                continue;
            }
            for Want { field, of, why, .. } in wants {
                if let Course::Held(None) = self.course(*side, field, of, why) {
                    questions.extend(self.value(*side, field, of));
                }
            }
        }
        questions
    }

    fn value(&self, to: Side, field: &FieldMapping, of: &Shape) -> Option<Question> {
        let from = to.other();
        let state = self.link.fields.get(&field.name)?;
        let present = state.shape(to).and_then(|shape| word(field, to, shape));
        let value = word(field, from, of)?;
        Some(Question::Value { field: field.name.clone(), from, value, present })
    }

    /// How a value is to leave for a side. What a person decided leaves as it is.
    pub(super) fn course(&self, to: Side, field: &FieldMapping, of: &Shape, why: &Why) -> Course {
        let decided = matches!(why, Why::Resolved { .. } | Why::Reopened | Why::OtherGone);
        let Some(active) = self.rules.integration().rules.as_ref() else { return Course::AsItIs };
        if decided
            || !self.asks(Hook::Value)
            || !has_word(field)
            || word(field, to.other(), of).is_none()
        {
            return Course::AsItIs;
        }
        let state = self.link.fields.get(&field.name);
        match state.and_then(|state| state.ruled.get(&to.other())) {
            Some(ruled) if ruled.of == *of => match &ruled.ruling {
                // What failed is asked of the next version too.
                Ruling::Failing(failing)
                    if failing.again > self.now && ruled.version == active.version =>
                {
                    Course::Held(Some(failing.again))
                }
                Ruling::Failing(_) => Course::Held(None),
                _ if ruled.version != active.version => Course::Held(None),
                Ruling::Keep => Course::AsItIs,
                Ruling::Withheld => Course::Withheld,
                Ruling::Instead(shape) => Course::Made(shape.clone(), ruled.version),
            },
            _ => Course::Held(None),
        }
    }

    /// Whether a value of a new ticket waits for rules that could not be asked yet: then the ticket does. What
    /// they failed at goes without.
    pub(super) fn is_to_be_asked(&mut self, side: Side) -> bool {
        let mut waits = false;
        for field in self.rules.fields(&self.link.table) {
            let Some(state) = self.link.fields.get(&field.name) else { continue };
            let Some(shape) = state.shape(Side::Platform).filter(|s| !s.is_empty()) else {
                continue;
            };
            let ruling = state.ruled.get(&Side::Platform).map(|ruled| &ruled.ruling);
            let failed = matches!(ruling, Some(Ruling::Failing(Failing { why: Some(_), .. })));
            if let (Course::Held(until), false) =
                (self.course(Side::External, field, shape, &Why::Created), failed)
            {
                waits = true;
                self.hold(side, until.unwrap_or(self.now.plus(SOON)));
            }
        }
        waits
    }

    /// The platform's value that its ticket was made without, because rules failed at it or withhold it.
    pub(super) fn left_out(state: &FieldState) -> Option<Shape> {
        let shape = state.shape(Side::Platform)?;
        let ruled = state.ruled.get(&Side::Platform)?;
        let out = ruled.left_out && state.base.is_none() && ruled.of == *shape;
        out.then(|| shape.clone())
    }

    /// Whether the rules that are asked now withhold a value of the field.
    pub(super) fn withholds(&self, state: &FieldState) -> bool {
        let version = self.version();
        let now = |ruled: &Ruled| ruled.version == version && ruled.ruling == Ruling::Withheld;
        self.asks(Hook::Value) && state.ruled.values().any(now)
    }

    /// Whether both sides are as rules made them: what stands on the one is what became of the other.
    pub(super) fn is_as_ruled(&self, field: &FieldMapping, state: &FieldState) -> bool {
        let (Some(platform), Some(external)) =
            (state.shape(Side::Platform), state.shape(Side::External))
        else {
            return false;
        };
        self.asks(Hook::Value)
            && state.ruled.iter().any(|(from, ruled)| match (&ruled.ruling, from) {
                (Ruling::Instead(made), Side::Platform) => {
                    ruled.of == *platform && mapping::agree(field, made, external)
                }
                (Ruling::Instead(made), Side::External) => {
                    ruled.of == *external && mapping::same(field, Side::Platform, platform, made)
                }
                _ => false,
            })
    }

    // ---- two edits -----------------------------------------------------------------------

    /// Who is to decide between two edits of a field, where rules have a say in it: a person, because they said
    /// so, or nobody yet, because they have still to be asked. None: the settings, or it is decided.
    pub(super) fn arbitrated(
        &mut self,
        field: &FieldMapping,
        state: &FieldState,
    ) -> Option<Arbiter> {
        let version = self.rules.integration().rules.as_ref()?.version;
        let (Some(base), Some(platform), Some(external)) =
            (&state.base, &state.platform, &state.external)
        else {
            return None;
        };
        let apart =
            merge::moved(field, base, &platform.shape, &external.shape) == merge::Moved::Apart;
        if !apart || !self.asks(Hook::Conflict) || !has_word(field) {
            return None;
        }
        let words = (
            word(field, Side::Platform, &platform.shape)?,
            word(field, Side::External, &external.shape)?,
            word(field, Side::Platform, &base.platform)?,
        );
        let known = state.arbitrated.as_ref().filter(|a| {
            a.version == version && a.of == (platform.shape.clone(), external.shape.clone())
        });
        match known.map(|a| &a.ruling) {
            Some(Arbitration::Settings | Arbitration::Decided) => None,
            Some(Arbitration::Person) => Some(Arbiter::Person),
            Some(Arbitration::Failing(failing)) if failing.again > self.now => {
                for side in Side::BOTH {
                    self.hold(side, failing.again);
                }
                Some(Arbiter::Nobody)
            }
            Some(Arbitration::Failing(_)) | None => {
                let offset = |side: Side| self.link.side(side).clock.map_or(0, |c| c.offset());
                let at = |side, edited: Millis| edited.0.saturating_sub(offset(side));
                let lead = at(Side::Platform, platform.edited)
                    .saturating_sub(at(Side::External, external.edited));
                let (platform, servicenow, base) = words;
                let field = field.name.clone();
                self.rivals.push(Question::Conflict { field, platform, servicenow, base, lead });
                Some(Arbiter::Nobody)
            }
        }
    }
}

/// Who is to decide between two edits, if not the settings.
pub(super) enum Arbiter {
    /// A person.
    Person,
    /// Nobody yet.
    Nobody,
}
