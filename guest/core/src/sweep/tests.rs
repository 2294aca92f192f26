//! No row is left out: on an instance where rows change while they are walked over, are committed
//! later than they are stamped, fill more than a page within one second, or may not be seen.

use std::collections::BTreeMap;

use firn_model::{IntegrationId, Stream};
use proptest::prelude::*;

use super::*;

/// How late a row may be committed.
const LATE: u64 = 300_000;

#[derive(Debug, Clone)]
struct Row {
    at: Millis,
    /// Nobody sees this state of it before.
    committed: Millis,
    /// The state before, seen until then.
    before: Option<Millis>,
    hidden: bool,
}

impl Row {
    fn seen_at(&self, now: Millis) -> Option<Millis> {
        if self.committed <= now { Some(self.at) } else { self.before }
    }
}

/// What an instance tells of how much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Tells {
    /// Nothing.
    #[default]
    Nothing,
    /// How many rows there are.
    AllRows,
    /// How many of them the user may see; and whether another page follows, by rows as they are.
    SeenRows,
}

/// An instance whose clock is ahead of ours.
#[derive(Debug, Default)]
struct Instance {
    rows: BTreeMap<SysId, Row>,
    ahead: i64,
    tells: Tells,
}

fn id(n: u32) -> SysId {
    // Spread over all of them, as they are.
    let number = u128::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    SysId::new(format!("{number:032x}")).unwrap()
}

impl Instance {
    fn theirs(&self, now: Millis) -> Millis {
        Millis(now.0 + self.ahead)
    }

    fn change(&mut self, n: u32, now: Millis, late: u64, hidden: bool) {
        let theirs = self.theirs(now);
        let at = whole_second(theirs);
        let before = self.rows.get(&id(n)).and_then(|row| row.seen_at(theirs));
        let committed = theirs.plus(late);
        self.rows.insert(id(n), Row { at, committed, before, hidden });
    }

    /// A page as the walk asks for it: its rows, how many there are in all, whether another one follows.
    fn answer(&self, walk: &Walk, now: Millis) -> (Vec<At>, Option<u64>, bool) {
        let theirs = self.theirs(now);
        let mut all: Vec<(Millis, SysId, bool)> = self
            .rows
            .iter()
            .filter_map(|(id, row)| Some((row.seen_at(theirs)?, id.clone(), row.hidden)))
            .filter(|(at, id, _)| match &walk.place {
                Place::Ours(_) => false,
                Place::From(from) => at >= from,
                Place::Within(second, after) => at == second && id > after,
                Place::After(second) => at > second,
            })
            .collect();
        all.retain(|(at, id, _)| match &walk.until {
            None => true,
            Some(Until::Second(to)) => at <= to,
            Some(Until::Id(to)) => id <= to,
        });
        all.sort();
        let rows = all.len();
        let seen = all.iter().filter(|(_, _, hidden)| !hidden).count();
        let page = all.into_iter().take(PAGE as usize);
        let page = page.filter(|(_, _, hidden)| !hidden).map(|(at, id, _)| (at, id)).collect();
        match self.tells {
            Tells::Nothing => (page, None, false),
            Tells::AllRows => (page, Some(rows as u64), false),
            Tells::SeenRows => (page, Some(seen as u64), rows > PAGE as usize),
        }
    }
}

#[derive(Debug, Clone)]
enum Act {
    /// Our clock goes on.
    Pass(u64),
    /// So many rows from one on change within one second, committed so much later.
    Change { first: u32, count: u32, late: u64 },
    /// One request of the sweep.
    Ask,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..20_000_u64).prop_map(Act::Pass),
        1 => (60_000..400_000_u64).prop_map(Act::Pass),
        4 => (0..600_u32, 1..8_u32, 0..LATE).prop_map(|(first, count, late)| {
            Act::Change { first, count, late: if late % 3 == 0 { late } else { 0 } }
        }),
        1 => (0..100_u32, 150..500_u32).prop_map(|(first, count)| Act::Change { first, count, late: 0 }),
        6 => Just(Act::Ask),
    ]
}

fn start() -> Sweep {
    let integration = IntegrationId::new("int-1").unwrap();
    Sweep::new(integration, Stream::Journal, START)
}

const START: Millis = Millis(1_777_472_000_000);

struct Poller {
    sweep: Sweep,
    seen: BTreeMap<SysId, Millis>,
    walks: u32,
}

impl Poller {
    fn ask(&mut self, instance: &Instance, now: Millis) {
        let mut walk = self.sweep.walk.take().unwrap_or_else(|| begin(&self.sweep, LATE, now));
        let looked = matches!(walk.place, Place::Ours(_));
        let (rows, total, leads_on) = instance.answer(&walk, now);
        let count = rows.len();
        let theirs = Some(instance.theirs(now));
        let page = Page { rows: &rows, count, total, leads_on, theirs, ours: now };
        let over = turn(&mut walk, page).unwrap();
        if !looked {
            for (at, id) in rows {
                let known = self.seen.entry(id).or_insert(at);
                *known = at.max(*known);
            }
        }
        if over {
            end(&mut self.sweep, &walk, now);
            self.walks += 1;
        } else {
            self.sweep.walk = Some(walk);
        }
    }

    fn walk_to_the_end(&mut self, instance: &Instance, now: Millis) {
        let walks = self.walks;
        for _ in 0..1_000 {
            self.ask(instance, now);
            if self.walks > walks {
                return;
            }
        }
        panic!("the walk has no end");
    }
}

proptest! {
    #[test]
    fn no_row_is_left_out(
        acts in prop::collection::vec(act(), 1..60),
        ahead in -600_000..600_000_i64,
        tells in prop::sample::select(vec![Tells::Nothing, Tells::AllRows, Tells::SeenRows]),
        run in 0..300_u32,
    ) {
        let mut instance = Instance { ahead, tells, ..Instance::default() };
        let mut poller = Poller { sweep: start(), seen: BTreeMap::new(), walks: 0 };
        let mut now = START;
        for act in acts {
            match act {
                Act::Pass(ms) => now = now.plus(ms),
                Act::Change { first, count, late } => {
                    for n in first..first + count {
                        // The user may not see some rows, more than a page of them at once; where nothing is told of
                        // them nobody could know.
                        let hidden = n % 7 == 3 || (100..100 + run).contains(&n);
                        instance.change(n, now, late, tells != Tells::Nothing && hidden);
                    }
                }
                Act::Ask => poller.ask(&instance, now),
            }
        }
        // Nothing changes any more: what was stamped is committed by now.
        now = now.plus(LATE);
        poller.walk_to_the_end(&instance, now);
        poller.walk_to_the_end(&instance, now);
        for (id, row) in &instance.rows {
            if !row.hidden {
                prop_assert_eq!(poller.seen.get(id), Some(&row.at), "{}", id);
            }
        }
    }
}

/// A user who may see a row here and there among very many: about as many requests as there are pages.
#[test]
fn hidden_rows_cost_no_more_than_they_are_many() {
    for tells in [Tells::AllRows, Tells::SeenRows] {
        let mut instance = Instance { tells, ..Instance::default() };
        let mut now = START;
        for n in 0..20_000 {
            now = now.plus(if n % 1_000 == 0 { 600_000 } else { 90 });
            instance.change(n, now, 0, n % 1_500 != 7);
        }
        let mut poller = Poller { sweep: start(), seen: BTreeMap::new(), walks: 0 };
        let mut asks = 0;
        while poller.walks == 0 {
            poller.ask(&instance, now);
            asks += 1;
        }
        assert_eq!(poller.seen.len(), 14);
        assert!(asks < 500, "{asks} requests for 100 pages");
    }
}

/// Nothing of the first page may be seen, and the instance counts what may: the walk goes on all the same.
#[test]
fn a_page_of_hidden_rows_ends_no_walk_where_only_seen_ones_are_counted() {
    let mut instance = Instance { tells: Tells::SeenRows, ..Instance::default() };
    for n in 0..500 {
        instance.change(n, START, 0, n < 450);
    }
    let mut poller = Poller { sweep: start(), seen: BTreeMap::new(), walks: 0 };
    poller.walk_to_the_end(&instance, START);
    assert_eq!(poller.seen.len(), 50);
}

/// What goes away from in front of a page lets others slip under its border.
#[test]
fn a_hidden_row_that_moves_between_two_pages_hides_no_other() {
    let mut instance = Instance { tells: Tells::AllRows, ..Instance::default() };
    for n in 0..401 {
        instance.change(n, START, 0, n != 200);
    }
    let integration = IntegrationId::new("int-1").unwrap();
    let sweep = Sweep::new(integration, Stream::Journal, Millis(0));
    let mut poller = Poller { sweep, seen: BTreeMap::new(), walks: 0 };
    poller.ask(&instance, START.plus(400_000));
    instance.change(0, START.plus(400_000), 0, true);
    poller.walk_to_the_end(&instance, START.plus(400_000));
    assert!(poller.seen.contains_key(&id(200)));
}

#[test]
fn a_walk_ends_when_all_that_is_left_may_not_be_seen() {
    let mut instance = Instance { tells: Tells::AllRows, ..Instance::default() };
    for n in 0..1_000 {
        instance.change(n, START, 0, n != 999);
    }
    let mut poller = Poller { sweep: start(), seen: BTreeMap::new(), walks: 0 };
    poller.walk_to_the_end(&instance, START);
    assert_eq!(poller.seen.len(), 1, "the one behind all the others");
}

/// The journal of a user who may not read it: an empty list, and a total that grows.
#[test]
fn pages_that_may_not_be_seen_are_walked_over_once() {
    let mut instance = Instance { tells: Tells::AllRows, ..Instance::default() };
    for n in 0..1_000 {
        instance.change(n, START, 0, true);
    }
    let mut poller = Poller { sweep: start(), seen: BTreeMap::new(), walks: 0 };
    let later = START.plus(2 * LATE);
    poller.walk_to_the_end(&instance, later);
    assert_eq!(poller.sweep.mark, Some(later), "what was committed until then was walked over");
    instance.change(1_000, later.plus(1_000), 0, false);
    poller.ask(&instance, later.plus(2_000));
    assert!(poller.seen.contains_key(&id(1_000)), "by the first request of the next walk");
}

#[test]
fn itsm_2_12_1_a_row_from_the_future_does_not_take_the_mark_along() {
    let mut instance = Instance::default();
    instance.change(1, START, 0, false);
    let far = Millis(START.0 + 31_536_000_000);
    instance.rows.insert(id(2), Row { at: far, committed: START, before: None, hidden: false });
    let mut poller = Poller { sweep: start(), seen: BTreeMap::new(), walks: 0 };
    poller.walk_to_the_end(&instance, START);
    assert_eq!(poller.sweep.mark, Some(START));
    instance.change(3, START.plus(600_000), 0, false);
    poller.walk_to_the_end(&instance, START.plus(600_000));
    assert!(poller.seen.contains_key(&id(3)));
}

#[test]
fn an_instance_that_answers_in_another_order_is_not_walked_over() {
    let rows = [(START.plus(1_000), id(1)), (START, id(2))];
    let page =
        Page { rows: &rows, count: 2, total: None, leads_on: false, theirs: None, ours: START };
    let mut walk = begin(&Sweep { mark: Some(START), ..start() }, 0, START);
    assert_eq!(turn(&mut walk, page), Err(OutOfOrder));
    // Or with rows that were not asked for.
    let rows = [(Millis(0), id(1))];
    let page =
        Page { rows: &rows, count: 1, total: None, leads_on: false, theirs: None, ours: START };
    assert_eq!(turn(&mut walk, page), Err(OutOfOrder));
}

#[test]
fn the_pace_follows_whether_webhooks_arrive() {
    let walk = |missed, timely| Walk { missed, timely, ..begin(&start(), 0, START) };
    let alone = pace(Pace::Behind, &walk(1, 5), START);
    assert_eq!(alone, Pace::Alone { trial: START.plus(600_000), waited: 600_000 });
    // More often than webhooks could be late: what is found then says nothing.
    assert_eq!(pace(alone, &walk(0, 5), START), alone);
    let trial = pace(alone, &walk(0, 0), START.plus(600_000));
    assert_eq!(trial, Pace::Trial { waited: 600_000 });
    assert_eq!(pace(trial, &walk(0, 0), START), trial, "nothing happened");
    assert_eq!(pace(trial, &walk(0, 1), START), Pace::Behind);
    let again = pace(trial, &walk(1, 1), START);
    assert_eq!(again, Pace::Alone { trial: START.plus(1_200_000), waited: 1_200_000 });
    let longest = pace(Pace::Trial { waited: 7_200_000 }, &walk(1, 0), START);
    assert_eq!(longest, Pace::Alone { trial: START.plus(7_200_000), waited: 7_200_000 });
}
