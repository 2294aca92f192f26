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
mod tests {
    use super::*;
    use crate::mapping::{attribute, platform_attribute};
    use crate::sample;
    use firn_model::Value;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    fn title(owner: Owner) -> FieldMapping {
        let mut field = sample::field("title");
        field.owner = owner;
        field
    }

    fn title_under(owner: Owner, strategy: Strategy) -> FieldMapping {
        FieldMapping { strategy, ..title(owner) }
    }

    fn seen(side: Side, text: &str, at: i64) -> Seen {
        let name = match side {
            Side::Platform => platform_attribute(&title(Owner::Shared)).unwrap(),
            Side::External => attribute("short_description"),
        };
        Seen { shape: Shape::one(name, Value::text(text)), revision: None, edited: Millis(at) }
    }

    fn state(base: &str, platform: (&str, i64), external: (&str, i64)) -> FieldState {
        FieldState {
            base: Some(Base {
                platform: seen(Side::Platform, base, 0).shape,
                external: seen(Side::External, base, 0).shape,
            }),
            platform: Some(seen(Side::Platform, platform.0, platform.1)),
            external: Some(seen(Side::External, external.0, external.1)),
            ..FieldState::default()
        }
    }

    const NOW: Circumstances = Circumstances {
        now: Millis(100_000),
        origin: Side::Platform,
        platform_clock: None,
        external_clock: None,
    };

    fn carry(to: Side, why: Why) -> Verdict {
        Verdict::Carry { to, why }
    }

    #[test]
    fn one_side_moved() {
        let platform_edit = state("a", ("b", 50_000), ("a", 0));
        let external_edit = state("a", ("a", 0), ("b", 50_000));
        for owner in [Owner::Platform, Owner::Shared] {
            assert_eq!(
                verdict(&title(owner), &platform_edit, NOW),
                carry(Side::External, Why::Carried)
            );
        }
        assert_eq!(
            verdict(&title(Owner::Shared), &external_edit, NOW),
            carry(Side::Platform, Why::Carried)
        );
        assert_eq!(
            verdict(&title(Owner::Platform), &external_edit, NOW),
            carry(Side::External, Why::Restored)
        );
        let mut adopted = title(Owner::Platform);
        adopted.off_owner = OffOwner::Adopted;
        assert_eq!(verdict(&adopted, &external_edit, NOW), carry(Side::Platform, Why::Carried));
    }

    #[test]
    fn a_second_restore_within_the_hour_is_kept_instead() {
        let mut edit = state("a", ("a", 0), ("b", 50_000));
        edit.restores = vec![Millis(90_000)];
        assert_eq!(verdict(&title(Owner::Platform), &edit, NOW), Verdict::Park(ParkedWhy::Kept));
        edit.restores = vec![Millis(100_000 - 3_600_000)];
        assert_eq!(
            verdict(&title(Owner::Platform), &edit, NOW),
            carry(Side::External, Why::Restored)
        );
    }

    #[test]
    fn both_sides_made_the_same_change() {
        let both = state("a", ("b", 50_000), ("b", 50_000));
        for strategy in
            [Strategy::LastWriteWins, Strategy::OwnershipPriority, Strategy::ManualReview]
        {
            let field = title_under(Owner::Shared, strategy);
            assert_eq!(verdict(&field, &both, NOW), Verdict::Agreed);
        }
    }

    #[test]
    fn a_conflict_under_each_strategy() {
        let both = state("a", ("b", 50_000), ("c", 52_000));
        let under = |strategy, platform_priority| FieldMapping {
            platform_priority,
            ..title_under(Owner::Platform, strategy)
        };
        for (strategy, priority, expected) in [
            (Strategy::LastWriteWins, 0, carry(Side::Platform, Why::LastWriteWins)),
            (Strategy::ManualReview, 0, Verdict::Conflict),
            (Strategy::OwnershipPriority, 10, carry(Side::External, Why::HigherPriority)),
            (Strategy::OwnershipPriority, -1, carry(Side::Platform, Why::HigherPriority)),
            // A tie: the later edit.
            (Strategy::OwnershipPriority, 0, carry(Side::Platform, Why::LastWriteWins)),
        ] {
            assert_eq!(verdict(&under(strategy, priority), &both, NOW), expected, "{strategy:?}");
        }
    }

    #[test]
    fn beyond_the_window_the_owner_stands() {
        let both = state("a", ("b", 50_000), ("c", 55_001));
        let manual = |owner| title_under(owner, Strategy::ManualReview);
        assert_eq!(
            verdict(&manual(Owner::Platform), &both, NOW),
            carry(Side::External, Why::Overruled)
        );
        assert_eq!(
            verdict(&manual(Owner::External), &both, NOW),
            carry(Side::Platform, Why::Overruled)
        );
        assert_eq!(verdict(&manual(Owner::Shared), &both, NOW), Verdict::Conflict);
        // At the window itself the strategy still decides; and a field may have its own window.
        let within = state("a", ("b", 50_000), ("c", 55_000));
        assert_eq!(verdict(&manual(Owner::Platform), &within, NOW), Verdict::Conflict);
        let wide = FieldMapping { window: 6_000, ..manual(Owner::Platform) };
        assert_eq!(verdict(&wide, &both, NOW), Verdict::Conflict);
    }

    #[test]
    fn within_a_second_the_owner_wins() {
        for (platform, external) in [(50_100, 50_900), (50_900, 51_899), (51_000, 50_001)] {
            let both = state("a", ("b", platform), ("c", external));
            for (owner, to) in
                [(Owner::Platform, Side::External), (Owner::External, Side::Platform)]
            {
                assert_eq!(verdict(&title(owner), &both, NOW), carry(to, Why::LastWriteWins));
            }
            // Nobody owns it: always the same side.
            assert_eq!(
                verdict(&title(Owner::Shared), &both, NOW),
                carry(Side::Platform, Why::LastWriteWins)
            );
        }
        let later = state("a", ("b", 51_000), ("c", 50_000));
        assert_eq!(
            verdict(&title(Owner::External), &later, NOW),
            carry(Side::External, Why::LastWriteWins)
        );
    }

    #[test]
    fn edits_are_compared_on_one_clock() {
        // By its own clock ServiceNow's edit is 2 s later; that clock is 4 s ahead.
        let both = state("a", ("b", 50_000), ("c", 52_000));
        let ahead = |low, high| Circumstances { external_clock: Some(Clock { low, high }), ..NOW };
        let shared = title(Owner::Shared);
        assert_eq!(
            verdict(&shared, &both, ahead(3_900, 4_100)),
            carry(Side::External, Why::LastWriteWins)
        );
        // The platform's clock counts the other way.
        let behind =
            Circumstances { platform_clock: Some(Clock { low: -4_100, high: -3_900 }), ..NOW };
        assert_eq!(verdict(&shared, &both, behind), carry(Side::External, Why::LastWriteWins));
        // 2 s apart, and wrong by up to 1.5 s: nobody was later; the owner wins.
        assert_eq!(
            verdict(&title(Owner::Platform), &both, ahead(-1_500, 1_500)),
            carry(Side::External, Why::LastWriteWins)
        );
        // Wrong by more than the window: a person decides.
        assert_eq!(verdict(&shared, &both, ahead(-5_001, 5_001)), Verdict::Conflict);
        assert_eq!(
            verdict(&shared, &both, ahead(-5_000, 5_000)),
            carry(Side::Platform, Why::LastWriteWins)
        );
    }

    #[test]
    fn a_clock_is_known_better_with_every_answer() {
        let first = Clock { low: -500, high: 500 };
        let second = Clock { low: 100, high: 1_100 };
        let both = Clock::and(Some(first), second);
        assert_eq!((both.offset(), both.uncertainty()), (300, 200));
        let set = Clock { low: 60_000, high: 61_000 };
        assert_eq!(Clock::and(Some(both), set), set, "the clock was set");
        assert_eq!(Clock::and(None, first), first);
    }

    #[test]
    fn a_value_that_keeps_changing_is_a_conflict() {
        let mut edit = state("a", ("b", 50_000), ("a", 0));
        let field = title(Owner::Shared);
        edit.flips = vec![Millis(90_000); 3];
        assert_eq!(verdict(&field, &edit, NOW), carry(Side::External, Why::Carried));
        edit.flips.push(Millis(99_000));
        assert_eq!(verdict(&field, &edit, NOW), Verdict::Conflict);
        edit.flips[0] = Millis(100_000 - 3_600_000);
        assert_eq!(verdict(&field, &edit, NOW), carry(Side::External, Why::Carried));
    }

    #[test]
    fn sides_that_meet_without_a_base() {
        let mut met = state("a", ("b", 0), ("c", 0));
        met.base = None;
        for (owner, to) in [(Owner::External, Side::Platform), (Owner::Platform, Side::External)] {
            assert_eq!(verdict(&title(owner), &met, NOW), carry(to, Why::Attached));
        }
        assert_eq!(verdict(&title(Owner::Shared), &met, NOW), Verdict::Conflict);
        for (platform, external, to) in [("", "c", Side::Platform), ("b", "", Side::External)] {
            let mut half = state("a", (platform, 0), (external, 0));
            half.base = None;
            assert_eq!(verdict(&title(Owner::Shared), &half, NOW), carry(to, Why::Attached));
        }
        let mut agreed = state("a", ("b", 0), ("b", 0));
        agreed.base = None;
        assert_eq!(verdict(&title(Owner::Shared), &agreed, NOW), Verdict::Agreed);
    }

    #[test]
    fn a_field_that_only_one_side_has_shown() {
        let seen_on = |side, text| {
            let mut state = FieldState::default();
            *state.seen_mut(side) = Some(seen(side, text, 0));
            state
        };
        let carried = |owner, side, origin, text| {
            verdict(&title(owner), &seen_on(side, text), Circumstances { origin, ..NOW })
        };
        let settled = Verdict::Settled;
        let attached = |to| carry(to, Why::Attached);
        let (p, e) = (Side::Platform, Side::External);
        assert_eq!(carried(Owner::Platform, p, p, "x"), attached(e));
        assert_eq!(carried(Owner::Shared, e, p, "x"), attached(p));
        assert_eq!(carried(Owner::External, p, p, "x"), settled);
        assert_eq!(carried(Owner::Platform, e, p, "x"), settled);
        assert_eq!(carried(Owner::Platform, p, p, ""), settled);
        // A ticket that begins in ServiceNow begins on the platform as it is there.
        assert_eq!(carried(Owner::Platform, e, e, "x"), carry(p, Why::Created));
        assert_eq!(carried(Owner::External, p, e, "x"), settled);
        assert_eq!(carried(Owner::Platform, e, e, ""), settled);
        assert_eq!(verdict(&title(Owner::Shared), &FieldState::default(), NOW), settled);
    }

    fn status(owner: Owner, guards: Vec<Guard>) -> FieldMapping {
        FieldMapping { owner, guards, ..sample::field("status") }
    }

    fn states(base: (&str, &str), platform: (&str, i64), external: (&str, i64)) -> FieldState {
        let shape = |side, text: &str| match side {
            Side::Platform => Shape::one(attribute("status"), Value::text(text)),
            Side::External => Shape::one(attribute("state"), Value::text(text)),
        };
        let seen = |side, (text, at): (&str, i64)| {
            Some(Seen { shape: shape(side, text), revision: None, edited: Millis(at) })
        };
        FieldState {
            base: Some(Base {
                platform: shape(Side::Platform, base.0),
                external: shape(Side::External, base.1),
            }),
            platform: seen(Side::Platform, platform),
            external: seen(Side::External, external),
            ..FieldState::default()
        }
    }

    fn guard(from: &[&str], to: &[&str], only: Permit) -> Guard {
        let texts = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect();
        Guard { from: texts(from), to: texts(to), only }
    }

    #[test]
    fn only_the_platform_may_say_resolved() {
        let field = status(Owner::Shared, vec![guard(&[], &["resolved"], Permit::Platform)]);
        let by_desk = states(("open", "1"), ("open", 0), ("6", 50_000));
        assert_eq!(verdict(&field, &by_desk, NOW), carry(Side::External, Why::Restored));
        let by_platform = states(("open", "1"), ("resolved", 50_000), ("1", 0));
        assert_eq!(verdict(&field, &by_platform, NOW), carry(Side::External, Why::Carried));
        let other = states(("open", "1"), ("open", 0), ("3", 50_000));
        assert_eq!(verdict(&field, &other, NOW), carry(Side::Platform, Why::Carried));
        let again = FieldState { restores: vec![Millis(90_000)], ..by_desk };
        assert_eq!(verdict(&field, &again, NOW), Verdict::Park(ParkedWhy::Guarded));
    }

    #[test]
    fn the_desk_may_close_but_not_reopen() {
        let guards = vec![guard(&["resolved", "closed"], &["open", "mitigated"], Permit::Platform)];
        let field = status(Owner::External, guards);
        let closes = states(("open", "1"), ("open", 0), ("7", 50_000));
        assert_eq!(verdict(&field, &closes, NOW), carry(Side::Platform, Why::Carried));
        let reopens = states(("resolved", "6"), ("resolved", 0), ("2", 50_000));
        assert_eq!(verdict(&field, &reopens, NOW), carry(Side::External, Why::Restored));
        let kept = FieldMapping { off_owner: OffOwner::Kept, ..field };
        assert_eq!(verdict(&kept, &reopens, NOW), Verdict::Park(ParkedWhy::Guarded));
    }

    #[test]
    fn a_value_is_written_back_only_if_that_is_legal() {
        // Nobody gets a ticket out of closed.
        let field = status(Owner::Platform, vec![guard(&["closed"], &[], Permit::Nobody)]);
        let closed = states(("open", "1"), ("open", 0), ("7", 50_000));
        assert_eq!(verdict(&field, &closed, NOW), Verdict::Park(ParkedWhy::Kept));
        let held = states(("open", "1"), ("open", 0), ("3", 50_000));
        assert_eq!(verdict(&field, &held, NOW), carry(Side::External, Why::Restored));
    }

    #[test]
    fn of_two_edits_the_permitted_one_wins() {
        let field = status(Owner::Shared, vec![guard(&[], &["resolved"], Permit::Platform)]);
        let both = states(("open", "1"), ("mitigated", 50_000), ("6", 52_000));
        assert_eq!(verdict(&field, &both, NOW), carry(Side::External, Why::Guarded));
        let mirrored = status(Owner::Shared, vec![guard(&[], &["resolved"], Permit::External)]);
        let both = states(("open", "1"), ("resolved", 52_000), ("3", 50_000));
        assert_eq!(verdict(&mirrored, &both, NOW), carry(Side::Platform, Why::Guarded));
        let neither = status(
            Owner::Shared,
            vec![
                guard(&[], &["resolved"], Permit::External),
                guard(&[], &["mitigated"], Permit::Platform),
            ],
        );
        assert_eq!(verdict(&neither, &both, NOW), Verdict::Conflict);
        // What wins must be legal where it is written.
        let closed = status(
            Owner::Shared,
            vec![
                guard(&[], &["resolved"], Permit::Platform),
                guard(&["resolved"], &["mitigated"], Permit::Nobody),
            ],
        );
        let both = states(("open", "1"), ("mitigated", 50_000), ("6", 52_000));
        assert_eq!(verdict(&closed, &both, NOW), Verdict::Park(ParkedWhy::Guarded));
    }

    proptest! {
        /// Carrying out a verdict leads to agreement, in one step, whatever the strategy.
        #[test]
        fn a_verdict_carried_out_settles_the_field(
            b in "[ab]", p in "[abc]", e in "[abc]", pt in 0i64..20_000, et in 0i64..20_000,
            owner in 0usize..3, strategy in 0usize..3,
        ) {
            let strategy = [Strategy::LastWriteWins, Strategy::OwnershipPriority, Strategy::ManualReview][strategy];
            let field = title_under([Owner::Platform, Owner::External, Owner::Shared][owner], strategy);
            let mut s = state(&b, (&p, pt), (&e, et));
            if let Verdict::Carry { to, .. } = verdict(&field, &s, NOW) {
                let from = s.shape(to.other()).unwrap().clone();
                let put = mapping::translate(&field, to.other(), &from, s.shape(to), &Default::default()).unwrap();
                s.seen_mut(to).as_mut().unwrap().shape = put.shape;
                let after = verdict(&field, &s, NOW);
                prop_assert!(matches!(after, Verdict::Agreed | Verdict::Settled), "{:?}", after);
            }
        }

        /// Where both sides agree nothing is written, whatever the base.
        #[test]
        fn agreement_writes_nothing(b in "[abc]", v in "[abc]", pt in 0i64..20_000, et in 0i64..20_000) {
            let s = state(&b, (&v, pt), (&v, et));
            let result = verdict(&title_under(Owner::Shared, Strategy::ManualReview), &s, NOW);
            prop_assert!(matches!(result, Verdict::Agreed | Verdict::Settled));
        }

        /// A shift of both clocks together changes nothing: only what lies between edits counts.
        #[test]
        fn only_differences_of_time_count(pt in 0i64..20_000, et in 0i64..20_000, by in -5_000i64..5_000, owner in 0usize..3) {
            let field = title([Owner::Platform, Owner::External, Owner::Shared][owner]);
            let here = verdict(&field, &state("a", ("b", pt), ("c", et)), NOW);
            let there = verdict(&field, &state("a", ("b", pt + by), ("c", et + by)), NOW);
            prop_assert_eq!(here, there);
        }
    }
}
