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
    FieldMapping, FieldState, Millis, OffOwner, Owner, ParkedWhy, Seen, Shape, Side, Strategy, Why,
};

use crate::mapping;

/// The window within which a second restore becomes a finding: one hour.
pub const RESTORE_WINDOW: u64 = 3_600_000;

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
    /// The strategy of the field.
    pub strategy: Strategy,
    /// Milliseconds that count as "nearly the same time".
    pub window: u64,
    /// The present.
    pub now: Millis,
}

fn owner_side(owner: Owner) -> Option<Side> {
    match owner {
        Owner::Platform => Some(Side::Platform),
        Owner::External => Some(Side::External),
        Owner::Shared => None,
    }
}

/// Says what is to become of a field that is not parked.
#[must_use]
pub fn verdict(field: &FieldMapping, state: &FieldState, c: Circumstances) -> Verdict {
    let (platform, external) = match (&state.platform, &state.external) {
        (Some(platform), Some(external)) => (platform, external),
        (Some(one), None) => return first_sight(field, Side::Platform, one),
        (None, Some(one)) => return first_sight(field, Side::External, one),
        (None, None) => return Verdict::Settled,
    };
    let Some(base) = &state.base else {
        return attach(field, platform, external);
    };
    match moved(field, base, &platform.shape, &external.shape) {
        Moved::Neither => Verdict::Settled,
        Moved::Together => Verdict::Agreed,
        Moved::Only(side) => one_moved(field, state, side, c),
        Moved::Apart => both_moved(field, platform, external, c),
    }
}

/// Only one side has shown the field so far, and nothing was agreed on. What is empty says nothing.
fn first_sight(field: &FieldMapping, side: Side, seen: &Seen) -> Verdict {
    let may = owner_side(field.owner).is_none_or(|owner| owner == side);
    if may && !seen.shape.is_empty() {
        Verdict::Carry { to: side.other(), why: Why::Attached }
    } else {
        Verdict::Settled
    }
}

/// Both sides have the field, and nothing was ever agreed on.
fn attach(field: &FieldMapping, platform: &Seen, external: &Seen) -> Verdict {
    if mapping::agree(field, &platform.shape, &external.shape) {
        return Verdict::Agreed;
    }
    let carry = |from: Side| Verdict::Carry { to: from.other(), why: Why::Attached };
    match owner_side(field.owner) {
        Some(owner) => carry(owner),
        None if platform.shape.is_empty() => carry(Side::External),
        None if external.shape.is_empty() => carry(Side::Platform),
        None => Verdict::Conflict,
    }
}

fn one_moved(field: &FieldMapping, state: &FieldState, side: Side, c: Circumstances) -> Verdict {
    let carried = Verdict::Carry { to: side.other(), why: Why::Carried };
    match owner_side(field.owner) {
        None => carried,
        Some(owner) if owner == side => carried,
        Some(_) => match field.off_owner {
            OffOwner::Adopted => carried,
            OffOwner::Kept => Verdict::Park(ParkedWhy::Kept),
            OffOwner::Restored => {
                let lately = state
                    .restores
                    .iter()
                    .any(|at| c.now.since(*at) < i64::try_from(RESTORE_WINDOW).unwrap_or(i64::MAX));
                if lately {
                    Verdict::Park(ParkedWhy::Kept)
                } else {
                    Verdict::Carry { to: side, why: Why::Restored }
                }
            }
        },
    }
}

fn both_moved(field: &FieldMapping, platform: &Seen, external: &Seen, c: Circumstances) -> Verdict {
    let apart = platform.edited.since(external.edited).unsigned_abs();
    let owner = owner_side(field.owner);
    if let Some(owner) = owner
        && apart > c.window
    {
        return Verdict::Carry { to: owner.other(), why: Why::Overruled };
    }
    let last_write = || match later(platform, external).or(owner) {
        Some(winner) => Verdict::Carry { to: winner.other(), why: Why::LastWriteWins },
        // Nobody owns it and nobody was later: a fixed side, so that every replica agrees.
        None => Verdict::Carry { to: Side::Platform, why: Why::LastWriteWins },
    };
    match c.strategy {
        Strategy::ManualReview => Verdict::Conflict,
        Strategy::LastWriteWins => last_write(),
        Strategy::OwnershipPriority => {
            match field.platform_priority.cmp(&field.external_priority) {
                std::cmp::Ordering::Greater => {
                    Verdict::Carry { to: Side::External, why: Why::HigherPriority }
                }
                std::cmp::Ordering::Less => {
                    Verdict::Carry { to: Side::Platform, why: Why::HigherPriority }
                }
                std::cmp::Ordering::Equal => last_write(),
            }
        }
    }
}

/// The side whose edit is later. ServiceNow knows whole seconds only, so that two edits within
/// one second cannot be told apart.
fn later(platform: &Seen, external: &Seen) -> Option<Side> {
    let second = |seen: &Seen| seen.edited.0.div_euclid(1000);
    match second(platform).cmp(&second(external)) {
        std::cmp::Ordering::Greater => Some(Side::Platform),
        std::cmp::Ordering::Less => Some(Side::External),
        std::cmp::Ordering::Equal => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::{attribute, platform_attribute};
    use crate::preset;
    use firn_model::Strategy;
    use firn_model::{Base, Value};
    use proptest::prelude::{prop_assert, proptest};

    fn title(owner: Owner) -> FieldMapping {
        let mut field = preset::incidents().fields.remove(0);
        field.owner = owner;
        field
    }

    fn seen(side: Side, text: &str, at: i64) -> Seen {
        let name = match side {
            Side::Platform => platform_attribute(&title(Owner::Shared)),
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

    fn given(strategy: Strategy) -> Circumstances {
        Circumstances { strategy, window: 5_000, now: Millis(100_000) }
    }

    fn carry(to: Side, why: Why) -> Verdict {
        Verdict::Carry { to, why }
    }

    #[test]
    fn one_side_moved() {
        let lww = given(Strategy::LastWriteWins);
        let platform_edit = state("a", ("b", 50_000), ("a", 0));
        let external_edit = state("a", ("a", 0), ("b", 50_000));
        for owner in [Owner::Platform, Owner::Shared] {
            assert_eq!(
                verdict(&title(owner), &platform_edit, lww),
                carry(Side::External, Why::Carried)
            );
        }
        assert_eq!(
            verdict(&title(Owner::Shared), &external_edit, lww),
            carry(Side::Platform, Why::Carried)
        );
        assert_eq!(
            verdict(&title(Owner::Platform), &external_edit, lww),
            carry(Side::External, Why::Restored)
        );
        let mut adopted = title(Owner::Platform);
        adopted.off_owner = OffOwner::Adopted;
        assert_eq!(verdict(&adopted, &external_edit, lww), carry(Side::Platform, Why::Carried));
    }

    #[test]
    fn a_second_restore_within_the_hour_is_kept_instead() {
        let mut edit = state("a", ("a", 0), ("b", 50_000));
        edit.restores = vec![Millis(90_000)];
        let lww = given(Strategy::LastWriteWins);
        assert_eq!(verdict(&title(Owner::Platform), &edit, lww), Verdict::Park(ParkedWhy::Kept));
        edit.restores = vec![Millis(100_000 - 3_600_000)];
        assert_eq!(
            verdict(&title(Owner::Platform), &edit, lww),
            carry(Side::External, Why::Restored)
        );
    }

    #[test]
    fn both_sides_made_the_same_change() {
        let both = state("a", ("b", 50_000), ("b", 50_000));
        for strategy in
            [Strategy::LastWriteWins, Strategy::OwnershipPriority, Strategy::ManualReview]
        {
            assert_eq!(verdict(&title(Owner::Shared), &both, given(strategy)), Verdict::Agreed);
        }
    }

    #[test]
    fn a_conflict_under_each_strategy() {
        let both = state("a", ("b", 50_000), ("c", 52_000));
        let mut field = title(Owner::Platform);
        assert_eq!(
            verdict(&field, &both, given(Strategy::LastWriteWins)),
            carry(Side::Platform, Why::LastWriteWins)
        );
        assert_eq!(verdict(&field, &both, given(Strategy::ManualReview)), Verdict::Conflict);
        field.platform_priority = 10;
        assert_eq!(
            verdict(&field, &both, given(Strategy::OwnershipPriority)),
            carry(Side::External, Why::HigherPriority)
        );
        field.platform_priority = 0;
        assert_eq!(
            verdict(&field, &both, given(Strategy::OwnershipPriority)),
            carry(Side::Platform, Why::LastWriteWins)
        );
    }

    #[test]
    fn beyond_the_window_the_owner_stands() {
        let both = state("a", ("b", 50_000), ("c", 55_001));
        let manual = given(Strategy::ManualReview);
        assert_eq!(
            verdict(&title(Owner::Platform), &both, manual),
            carry(Side::External, Why::Overruled)
        );
        assert_eq!(
            verdict(&title(Owner::External), &both, manual),
            carry(Side::Platform, Why::Overruled)
        );
        assert_eq!(verdict(&title(Owner::Shared), &both, manual), Verdict::Conflict);
    }

    #[test]
    fn within_a_second_the_owner_wins() {
        let both = state("a", ("b", 50_100), ("c", 50_900));
        let lww = given(Strategy::LastWriteWins);
        assert_eq!(
            verdict(&title(Owner::Platform), &both, lww),
            carry(Side::External, Why::LastWriteWins)
        );
        assert_eq!(
            verdict(&title(Owner::External), &both, lww),
            carry(Side::Platform, Why::LastWriteWins)
        );
    }

    #[test]
    fn sides_that_meet_without_a_base() {
        let mut met = state("a", ("b", 0), ("c", 0));
        met.base = None;
        let lww = given(Strategy::LastWriteWins);
        assert_eq!(
            verdict(&title(Owner::External), &met, lww),
            carry(Side::Platform, Why::Attached)
        );
        assert_eq!(verdict(&title(Owner::Shared), &met, lww), Verdict::Conflict);
        let mut half = state("a", ("", 0), ("c", 0));
        half.base = None;
        assert_eq!(
            verdict(&title(Owner::Shared), &half, lww),
            carry(Side::Platform, Why::Attached)
        );
    }

    proptest! {
        /// Carrying out a verdict leads to agreement, in one step, whatever the strategy.
        #[test]
        fn a_verdict_carried_out_settles_the_field(
            b in "[ab]", p in "[abc]", e in "[abc]", pt in 0i64..20_000, et in 0i64..20_000,
            owner in 0usize..3, strategy in 0usize..3,
        ) {
            let field = title([Owner::Platform, Owner::External, Owner::Shared][owner]);
            let strategy = [Strategy::LastWriteWins, Strategy::OwnershipPriority, Strategy::ManualReview][strategy];
            let mut s = state(&b, (&p, pt), (&e, et));
            if let Verdict::Carry { to, .. } = verdict(&field, &s, given(strategy)) {
                let from = s.shape(to.other()).unwrap().clone();
                let put = mapping::translate(&field, to.other(), &from, s.shape(to), &Default::default()).unwrap();
                s.seen_mut(to).as_mut().unwrap().shape = put.shape;
                let after = verdict(&field, &s, given(strategy));
                prop_assert!(matches!(after, Verdict::Agreed | Verdict::Settled), "{:?}", after);
            }
        }

        /// A verdict depends on what is there, not on the order in which it arrived; and where
        /// both sides agree nothing is written.
        #[test]
        fn agreement_writes_nothing(b in "[abc]", v in "[abc]", pt in 0i64..20_000, et in 0i64..20_000) {
            let s = state(&b, (&v, pt), (&v, et));
            let result = verdict(&title(Owner::Shared), &s, given(Strategy::ManualReview));
            prop_assert!(matches!(result, Verdict::Agreed | Verdict::Settled));
        }
    }
}
