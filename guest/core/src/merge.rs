//! Field ownership and conflict resolution: the three-way merge of one field, on one page.
//!
//! | platform moved | ServiceNow moved | verdict |
//! |---|---|---|
//! | no | no | settled |
//! | one of them | | carried if it may; else the off-owner policy |
//! | both, to the same meaning | | agreed: the new base |
//! | both, apart, close in time or shared | | the strategy |
//! | both, apart, far in time | | the owner's value; the other is *overruled* |

use firn_model::{
    Base, Clock, FieldState, Guard, Millis, OffOwner, Owner, ParkedWhy, Permit, Seen, Shape, Side,
    Strategy, Why,
};

use crate::mapping;
use crate::settings::FieldMapping;

/// The window within which a second restore becomes a finding: one hour.
pub const RESTORE_WINDOW: u64 = 3_600_000;

/// How often a write may be answered with a third value within an hour before a person decides.
pub const MOST_FLIPS: usize = 3;

/// How two sides stand to their base. `None` in the base means "not yet agreed on anything".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moved {
    /// Both are as agreed.
    Neither,
    /// Only one side changed.
    Only(Side),
    /// Both changed, to the same meaning.
    Together,
    /// Both changed, to different meanings.
    Apart,
}

/// Compares both sides with the base.
#[must_use]
pub fn moved(
    field: &FieldMapping,
    base: &firn_model::Base,
    platform: &Shape,
    external: &Shape,
) -> Moved {
    // As it was left, letter by letter: what it means need not be asked.
    if *platform == base.platform && *external == base.external {
        return Moved::Neither;
    }
    if mapping::agree(field, platform, external) {
        let unchanged = mapping::same(field, Side::Platform, platform, &base.platform)
            && mapping::same(field, Side::External, external, &base.external);
        return if unchanged { Moved::Neither } else { Moved::Together };
    }
    let platform_moved = !mapping::same(field, Side::Platform, platform, &base.platform);
    let external_moved = !mapping::same(field, Side::External, external, &base.external);
    match (platform_moved, external_moved) {
        (false, false) => Moved::Neither,
        (true, false) => Moved::Only(Side::Platform),
        (false, true) => Moved::Only(Side::External),
        (true, true) => Moved::Apart,
    }
}

/// What is to become of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Settled,
    /// Both sides mean the same: this is the new base.
    Agreed,
    /// The other side's value is written to `to`.
    Carry {
        /// The side that is written to.
        to: Side,
        /// Why.
        why: Why,
    },
    /// The field is left alone until something changes.
    Park(ParkedWhy),
    /// A person has to decide.
    Conflict,
}

/// Everything a verdict depends on besides the field's own state.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// The present.
    pub now: Millis,
    /// The side on which the pair began.
    pub origin: Side,
    /// How the platform's clock stands to ours, if it was measured.
    pub platform_clock: Option<Clock>,
    /// How ServiceNow's clock stands to ours, if it was measured.
    pub external_clock: Option<Clock>,
}

fn owner_side(owner: Owner) -> Option<Side> {
    match owner {
        Owner::Platform => Some(Side::Platform),
        Owner::External => Some(Side::External),
        Owner::Shared => None,
    }
}

/// Whether an instant lies within the last hour.
fn lately(times: &[Millis], now: Millis) -> usize {
    let hour = i64::try_from(RESTORE_WINDOW).unwrap_or(i64::MAX);
    times.iter().filter(|at| now.since(**at) < hour).count()
}

/// Says what is to become of a field that is not parked.
#[must_use]
pub fn verdict(field: &FieldMapping, state: &FieldState, c: Circumstances) -> Verdict {
    let verdict = undisturbed(field, state, c);
    // Something on the other side keeps changing what we write: that is a conflict, not a race.
    match verdict {
        Verdict::Carry { .. } if lately(&state.flips, c.now) > MOST_FLIPS => Verdict::Conflict,
        verdict => verdict,
    }
}

fn undisturbed(field: &FieldMapping, state: &FieldState, c: Circumstances) -> Verdict {
    let (platform, external) = match (&state.platform, &state.external) {
        (Some(platform), Some(external)) => (platform, external),
        (Some(one), None) => return first_sight(field, Side::Platform, one, c),
        (None, Some(one)) => return first_sight(field, Side::External, one, c),
        (None, None) => return Verdict::Settled,
    };
    let Some(base) = &state.base else {
        return attach(field, platform, external);
    };
    match moved(field, base, &platform.shape, &external.shape) {
        Moved::Neither => Verdict::Settled,
        Moved::Together => Verdict::Agreed,
        Moved::Only(side) => one_moved(field, state, base, side, c),
        Moved::Apart => both_moved(field, base, platform, external, c),
    }
}

/// Only one side has shown the field so far, and nothing was agreed on. What is empty says nothing.
/// A record that began on one side begins on the other as it is there, whoever owns its fields.
fn first_sight(field: &FieldMapping, side: Side, seen: &Seen, c: Circumstances) -> Verdict {
    let may = owner_side(field.owner).is_none_or(|owner| owner == side);
    let begins = c.origin == side && side == Side::External;
    if (may || begins) && !seen.shape.is_empty() {
        let why = if begins { Why::Created } else { Why::Attached };
        Verdict::Carry { to: side.other(), why }
    } else {
        Verdict::Settled
    }
}

/// Both sides have the field, and nothing was ever agreed on.
fn attach(field: &FieldMapping, platform: &Seen, external: &Seen) -> Verdict {
    if mapping::agree(field, &platform.shape, &external.shape) {
        return Verdict::Agreed;
    }
    let carry = |from: Side| {
        let (here, there) = match from {
            Side::Platform => (&platform.shape, &external.shape),
            Side::External => (&external.shape, &platform.shape),
        };
        // An open record does not open a closed ticket by being attached to it.
        if may_write(field, from.other(), there, here) {
            Verdict::Carry { to: from.other(), why: Why::Attached }
        } else {
            Verdict::Park(ParkedWhy::Guarded)
        }
    };
    match owner_side(field.owner) {
        Some(owner) => carry(owner),
        None if platform.shape.is_empty() => carry(Side::External),
        None if external.shape.is_empty() => carry(Side::Platform),
        None => Verdict::Conflict,
    }
}

// ---- guards ----------------------------------------------------------------------------------

/// Whether the guards let a side make a change of meaning. `by` is `None` for Firn itself, which
/// writes back what stood there: it may do what either side may.
#[must_use]
pub fn permitted(guards: &[Guard], by: Option<Side>, from: Option<&str>, to: Option<&str>) -> bool {
    if from == to {
        return true;
    }
    let named = |values: &[String], value: Option<&str>| {
        values.is_empty() || value.is_some_and(|v| values.iter().any(|known| known == v))
    };
    let applies = |guard: &&Guard| named(&guard.from, from) && named(&guard.to, to);
    guards.iter().filter(applies).all(|guard| match (guard.only, by) {
        (Permit::Nobody, _) => false,
        (_, None) => true,
        (Permit::Platform, Some(side)) => side == Side::Platform,
        (Permit::External, Some(side)) => side == Side::External,
    })
}

/// Whether a side was allowed to move from the base to where it is.
fn may_move(field: &FieldMapping, base: &Base, side: Side, now: &Shape) -> bool {
    if field.guards.is_empty() {
        return true;
    }
    let from = mapping::word(field, Side::Platform, &base.platform);
    let to = mapping::word(field, side, now);
    permitted(&field.guards, Some(side), from.as_deref(), to.as_deref())
}

/// Whether a side may be given the other's value, from where it stands.
pub(crate) fn may_write(field: &FieldMapping, to: Side, there: &Shape, value: &Shape) -> bool {
    if field.guards.is_empty() {
        return true;
    }
    let from = mapping::word(field, to, there);
    let wanted = mapping::word(field, to.other(), value);
    permitted(&field.guards, None, from.as_deref(), wanted.as_deref())
}

/// Whether a side may become what the platform calls so, from where it stands.
pub(crate) fn may_become(field: &FieldMapping, to: Side, there: &Shape, word: &str) -> bool {
    let from = mapping::word(field, to, there);
    field.guards.is_empty() || permitted(&field.guards, None, from.as_deref(), Some(word))
}

// ---- edits -----------------------------------------------------------------------------------

fn one_moved(
    field: &FieldMapping,
    state: &FieldState,
    base: &Base,
    side: Side,
    c: Circumstances,
) -> Verdict {
    let (Some(here), Some(there)) = (state.shape(side), state.shape(side.other())) else {
        return Verdict::Settled;
    };
    let guarded = !may_move(field, base, side, here);
    let edit = Edit {
        by: side,
        owner: field.owner,
        off_owner: field.off_owner,
        forbidden: guarded,
        restored_lately: lately(&state.restores, c.now) > 0,
        way_back: may_write(field, side, here, there),
    };
    match edit.fate() {
        Fate::Carried => Verdict::Carry { to: side.other(), why: Why::Carried },
        Fate::Restored => Verdict::Carry { to: side, why: Why::Restored },
        Fate::Kept if guarded => Verdict::Park(ParkedWhy::Guarded),
        Fate::Kept => Verdict::Park(ParkedWhy::Kept),
    }
}

/// A change of a field on one side alone: everything that decides what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit {
    /// The side that made it.
    pub by: Side,
    /// Whose the field is.
    pub owner: Owner,
    /// What happens to a non-owner's change.
    pub off_owner: OffOwner,
    /// Whether a guard forbids it.
    pub forbidden: bool,
    /// Whether the owner's value was written back within the last hour already.
    pub restored_lately: bool,
    /// Whether it may be taken back: ServiceNow does not let a closed ticket be opened.
    pub way_back: bool,
}

/// What becomes of a change of one side alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is written to the other side.
    Carried,
    /// The other side's value is written back over it.
    Restored,
    /// It stays, and stays where it is.
    Kept,
}

impl Edit {
    /// What becomes of it.
    #[must_use]
    pub fn fate(&self) -> Fate {
        let may = owner_side(self.owner).is_none_or(|owner| owner == self.by);
        if !self.forbidden && (may || self.off_owner == OffOwner::Adopted) {
            Fate::Carried
        } else if self.off_owner == OffOwner::Kept || self.restored_lately || !self.way_back {
            Fate::Kept
        } else {
            Fate::Restored
        }
    }
}

fn both_moved(
    field: &FieldMapping,
    base: &Base,
    platform: &Seen,
    external: &Seen,
    c: Circumstances,
) -> Verdict {
    let legal = |to: Side, why: Why| {
        let (there, value) = match to {
            Side::Platform => (&platform.shape, &external.shape),
            Side::External => (&external.shape, &platform.shape),
        };
        if may_write(field, to, there, value) {
            Verdict::Carry { to, why }
        } else {
            Verdict::Park(ParkedWhy::Guarded)
        }
    };
    let platform_may = may_move(field, base, Side::Platform, &platform.shape);
    let external_may = may_move(field, base, Side::External, &external.shape);
    match (platform_may, external_may) {
        (true, false) => return legal(Side::External, Why::Guarded),
        (false, true) => return legal(Side::Platform, Why::Guarded),
        (false, false) => return Verdict::Conflict,
        (true, true) => {}
    }
    let rivals = Rivals {
        owner: field.owner,
        strategy: field.strategy,
        window: field.window,
        platform_priority: field.platform_priority,
        external_priority: field.external_priority,
        platform: Stamp { at: platform.edited, clock: c.platform_clock },
        external: Stamp { at: external.edited, clock: c.external_clock },
    };
    match rivals.winner() {
        Some((winner, why)) => legal(winner.other(), why),
        None => Verdict::Conflict,
    }
}

/// When an edit was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// By that side's clock.
    pub at: Millis,
    /// How that clock stands to ours, if it was measured.
    pub clock: Option<Clock>,
}

/// Two edits of one field, apart: everything that decides between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rivals {
    /// Whose the field is.
    pub owner: Owner,
    /// What decides between edits at nearly the same time.
    pub strategy: Strategy,
    /// Milliseconds that count as "nearly the same time".
    pub window: u64,
    /// The platform's priority.
    pub platform_priority: i32,
    /// ServiceNow's priority.
    pub external_priority: i32,
    /// The platform's edit.
    pub platform: Stamp,
    /// ServiceNow's edit.
    pub external: Stamp,
}

impl Rivals {
    /// The side whose value stands, and why; `None` if a person has to decide.
    #[must_use]
    pub fn winner(&self) -> Option<(Side, Why)> {
        let owner = owner_side(self.owner);
        let times = Times::of(self.platform, self.external);
        if let Some(owner) = owner
            && times.apart() > self.window
        {
            return Some((owner, Why::Overruled));
        }
        let last_write = || {
            // Nobody owns it and nobody was later: a fixed side, so that every replica agrees.
            let fixed = owner.unwrap_or(Side::External);
            let known = times.uncertainty <= self.window;
            known.then(|| (times.later().unwrap_or(fixed), Why::LastWriteWins))
        };
        match self.strategy {
            Strategy::ManualReview => None,
            Strategy::LastWriteWins => last_write(),
            Strategy::OwnershipPriority => {
                match self.platform_priority.cmp(&self.external_priority) {
                    std::cmp::Ordering::Greater => Some((Side::Platform, Why::HigherPriority)),
                    std::cmp::Ordering::Less => Some((Side::External, Why::HigherPriority)),
                    std::cmp::Ordering::Equal => last_write(),
                }
            }
        }
    }
}

/// Two edits on one clock: ours, as far as the sides' clocks are known.
struct Times {
    /// The platform's edit minus ServiceNow's, in milliseconds.
    lead: i64,
    /// How far that may be wrong.
    uncertainty: u64,
}

impl Times {
    fn of(platform: Stamp, external: Stamp) -> Times {
        let ours = |stamp: Stamp| stamp.at.0.saturating_sub(stamp.clock.map_or(0, |c| c.offset()));
        let unsure = |stamp: Stamp| stamp.clock.map_or(0, |c| c.uncertainty());
        Times {
            lead: ours(platform).saturating_sub(ours(external)),
            uncertainty: unsure(platform).saturating_add(unsure(external)),
        }
    }

    fn apart(&self) -> u64 {
        self.lead.unsigned_abs()
    }

    /// The side whose edit is later. ServiceNow knows whole seconds only, so that two edits within
    /// a second (and what the clocks may be wrong) cannot be told apart.
    fn later(&self) -> Option<Side> {
        if self.apart() < self.uncertainty.saturating_add(1_000) {
            None
        } else if self.lead > 0 {
            Some(Side::Platform)
        } else {
            Some(Side::External)
        }
    }
}

#[cfg(test)]
mod tests;
