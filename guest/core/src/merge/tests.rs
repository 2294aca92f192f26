//! Who wins, field by field: every class of change under every owner and strategy.

use super::*;
use crate::mapping::{attribute, platform_attribute};
use crate::sample;
use firn_model::Value;
use proptest::prelude::{prop_assert, prop_assert_eq, prop_assert_ne, proptest};

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

/// The base may be two values that do not mean the same: what was sent, and what a rule made of it.
#[test]
fn sides_that_come_to_agree_have_moved_together_whichever_of_them_moved() {
    let shape = |side, text: &str| seen(side, text, 0).shape;
    let base = Base { platform: shape(Side::Platform, "a"), external: shape(Side::External, "b") };
    for now in ["a", "b"] {
        let (platform, external) = (shape(Side::Platform, now), shape(Side::External, now));
        assert_eq!(moved(&title(Owner::Shared), &base, &platform, &external), Moved::Together);
    }
}

#[test]
fn a_second_restore_within_the_hour_is_kept_instead() {
    let mut edit = state("a", ("a", 0), ("b", 50_000));
    edit.restores = vec![Millis(90_000)];
    assert_eq!(verdict(&title(Owner::Platform), &edit, NOW), Verdict::Park(ParkedWhy::Kept));
    edit.restores = vec![Millis(100_000 - 3_600_000)];
    assert_eq!(verdict(&title(Owner::Platform), &edit, NOW), carry(Side::External, Why::Restored));
}

#[test]
fn both_sides_made_the_same_change() {
    let both = state("a", ("b", 50_000), ("b", 50_000));
    for strategy in [Strategy::LastWriteWins, Strategy::OwnershipPriority, Strategy::ManualReview] {
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
        for (owner, to) in [(Owner::Platform, Side::External), (Owner::External, Side::Platform)] {
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
    let behind = Circumstances { platform_clock: Some(Clock { low: -4_100, high: -3_900 }), ..NOW };
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
        owner in 0usize..3, strategy in 0usize..3, priority in 0i32..3,
    ) {
        let strategy = [Strategy::LastWriteWins, Strategy::OwnershipPriority, Strategy::ManualReview][strategy];
        let mut field = title_under([Owner::Platform, Owner::External, Owner::Shared][owner], strategy);
        (field.platform_priority, field.external_priority) = (priority, 1);
        let mut s = state(&b, (&p, pt), (&e, et));
        if let Verdict::Carry { to, .. } = verdict(&field, &s, NOW) {
            let from = s.shape(to.other()).unwrap().clone();
            let put = mapping::translate(&field, to.other(), &from, s.shape(to), &Default::default()).unwrap();
            s.seen_mut(to).as_mut().unwrap().shape = put.shape;
            let after = verdict(&field, &s, NOW);
            prop_assert!(matches!(after, Verdict::Agreed | Verdict::Settled), "{:?}", after);
        }
    }

    /// What stands as it was left has not moved, whether or not both sides mean the same by it.
    #[test]
    fn what_stands_as_it_was_left_has_not_moved(p in ".{0,12}", e in ".{0,12}", other in "[a-c]") {
        let field = title(Owner::Shared);
        let (platform, external) = (seen(Side::Platform, &p, 0).shape, seen(Side::External, &e, 0).shape);
        let base = Base { platform: platform.clone(), external: external.clone() };
        prop_assert_eq!(moved(&field, &base, &platform, &external), Moved::Neither);
        let changed = seen(Side::External, &format!("{e}{other}"), 1).shape;
        prop_assert_ne!(moved(&field, &base, &platform, &changed), Moved::Neither);
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
