//! Sweeps: how a cursor walks over what is new at an instance, so that no row is left out.
//!
//! Rows are asked for in order of (second, `sys_id`), page by page from a key and never by offset:
//! offsets move while rows change. Where more rows than a page may not be seen, a page leads nowhere: so much
//! less is asked for that one page has it all, and then what comes next. Each walk begins again some time before the newest row that was
//! seen, because rows are stamped before they are committed. Only what was seen moves the mark (and
//! whole pages that may not be seen: see [`end`]).

use firn_model::{Millis, Pace, Place, Polling, Sweep, SysId, Until, Walk};

use crate::settings::Rules;

/// Rows of one page.
pub const PAGE: u32 = 200;

/// Tickets that one request reads at most.
pub const MERGED: usize = 40;

/// After so many milliseconds a webhook should have brought what is new.
pub const GRACE: u64 = 10_000;

/// How long webhooks that do not arrive are first left untried, and at most. In milliseconds.
const TRIAL: (u64, u64) = (600_000, 7_200_000);

/// One row of a page: its instant by their clock, and its id.
pub type At = (Millis, SysId);

/// What an answer shows of its place in the order.
#[derive(Debug, Clone, Copy)]
pub struct Page<'r> {
    /// Its rows.
    pub rows: &'r [At],
    /// How many it has: those that do not show when they changed, too.
    pub count: usize,
    /// How many rows there are from the walk's place on, if the instance tells. Those that the user may
    /// not see may be among them, or not.
    pub total: Option<u64>,
    /// Whether the instance says that another page follows. It counts rows as they are, before those are left
    /// out that the user may not see.
    pub leads_on: bool,
    /// Their clock when they answered, if they tell.
    pub theirs: Option<Millis>,
    /// Ours then.
    pub ours: Millis,
}

/// The instance does not answer in the order that was asked for: no cursor can walk there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfOrder;

impl std::fmt::Display for OutOfOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the instance does not answer in the order that was asked for")
    }
}

/// How far beyond their clock rows from the future are looked for: ten years. In milliseconds.
const FUTURE: i64 = 315_360_000_000;

/// Begins a walk.
#[must_use]
pub fn begin(sweep: &Sweep, overlap: u64, now: Millis) -> Walk {
    let back = i64::try_from(overlap).unwrap_or(i64::MAX);
    let before = |at: Millis| whole_second(Millis(at.0.saturating_sub(back)));
    let place = match sweep.mark {
        None if sweep.since == Millis(0) => Place::From(Millis(0)), // Everything that there is.
        None => Place::Ours(before(sweep.since)),
        Some(mark) => Place::From(before(mark)),
    };
    Walk {
        began: now,
        place,
        hidden: false,
        until: None,
        first: None,
        latest: None,
        over: false,
        wanted: Vec::new(),
        missed: 0,
        timely: 0,
    }
}

fn whole_second(at: Millis) -> Millis {
    Millis(at.0.div_euclid(1_000) * 1_000)
}

/// Takes a page into a walk, and says whether it was the last.
///
/// # Errors
/// If the page does not lead on.
pub fn turn(walk: &mut Walk, page: Page<'_>) -> Result<bool, OutOfOrder> {
    let Page { rows: page, count, total, leads_on, theirs, ours } = page;
    if let Place::Ours(at) = walk.place {
        let ahead = theirs.map_or(0, |theirs| theirs.since(ours));
        walk.place = Place::From(whole_second(Millis(at.0.saturating_add(ahead))));
        return Ok(false);
    }
    let before = |row: &At| match &walk.place {
        Place::Ours(_) => false,
        Place::From(at) => row.0 < *at,
        Place::Within(at, id) => row.0 != *at || row.1 <= *id,
        Place::After(at) => row.0 <= *at,
    };
    let beyond = |row: &At| match &walk.until {
        None => false,
        Some(Until::Second(at)) => row.0 > *at,
        Some(Until::Id(id)) => row.1 > *id,
    };
    if page.iter().any(|row| before(row) || beyond(row)) || !page.is_sorted() {
        return Err(OutOfOrder);
    }
    walk.first = walk.first.or(Some(theirs.unwrap_or(ours)));
    walk.latest = walk.latest.max(page.last().map(|(at, _)| *at));
    let more =
        count >= PAGE as usize || leads_on || total.is_some_and(|total| total > u64::from(PAGE));
    let now = theirs.unwrap_or(ours);
    match (page.last(), more) {
        (Some((at, id)), true) => {
            let until = walk.until.take();
            walk.until = until.filter(|until| matches!(until, Until::Second(to) if to >= at));
            walk.place = Place::Within(*at, id.clone());
        }
        (None, true) => {
            walk.hidden = true;
            narrow(walk, now);
        }
        (_, false) => return Ok(!goes_on(walk, now)),
    }
    Ok(false)
}

/// A page had room for no row that may be seen: half as much is asked for.
fn narrow(walk: &mut Walk, now: Millis) {
    let second = |at: i64| Until::Second(whole_second(Millis(at)));
    // What is asked for next: (from, to], in whole seconds.
    let from = match &walk.place {
        Place::Ours(_) => return,
        Place::From(at) => at.0 - 1_000,
        Place::After(at) => at.0,
        Place::Within(at, id) => {
            let to = match &walk.until {
                Some(Until::Id(to)) => number(to),
                _ => u128::MAX,
            };
            let from = number(id);
            let half = from + (to - from).div_ceil(2);
            // One id is one row.
            (walk.place, walk.until) = match half < to {
                true => (walk.place.clone(), Some(Until::Id(numbered(half)))),
                false => (Place::Within(*at, numbered(to)), None),
            };
            return;
        }
    };
    let now = whole_second(now).0;
    let to = match &walk.until {
        Some(Until::Second(to)) => to.0,
        _ if from < now => now,
        _ => from.saturating_add(FUTURE),
    };
    let half = from + (to - from) / 2_000 * 1_000;
    (walk.place, walk.until) = match half > from {
        true => (walk.place.clone(), Some(second(half))),
        // One second that has more rows than a page: by their ids.
        false => (Place::Within(Millis(to), numbered(0)), Some(Until::Id(numbered(u128::MAX / 2)))),
    };
}

/// Everything up to where the walk looked was shown: it goes on behind it, looking twice as far. Says whether there may
/// be more.
fn goes_on(walk: &mut Walk, now: Millis) -> bool {
    (walk.place, walk.until) = match (&walk.place, walk.until.take()) {
        (Place::Within(at, id), Some(Until::Id(to))) => {
            let width = number(&to) - number(id);
            let next = number(&to).checked_add(width.saturating_mul(2));
            (Place::Within(*at, to), next.map(|next| Until::Id(numbered(next))))
        }
        (Place::Within(at, _), until) => {
            let further = |until: &Until| matches!(until, Until::Second(to) if to > at);
            (Place::After(*at), until.filter(further))
        }
        (Place::From(from) | Place::After(from), Some(Until::Second(to))) => {
            let next = to.0.saturating_add((to.0 - from.0).max(1_000).saturating_mul(2));
            (Place::After(to), (next < now.0).then_some(Until::Second(Millis(next))))
        }
        _ => return false,
    };
    true
}

fn number(id: &SysId) -> u128 {
    u128::from_str_radix(id.as_str(), 16).unwrap_or(0)
}

fn numbered(number: u128) -> SysId {
    SysId::new(format!("{number:032x}")).unwrap_or_else(|_| unreachable!("32 hexadecimal digits"))
}

/// A walk is over: what was seen moves the mark. Not beyond the instant at which it began to read: what
/// was committed since, behind the page that was read, is for the next. That also keeps a row from the
/// future (an import may make one) from taking the mark along.
pub fn end(sweep: &mut Sweep, walk: &Walk, now: Millis) {
    let seen = walk.latest.zip(walk.first).map(|(latest, first)| latest.min(first));
    // Pages full of rows that may not be seen would be walked over again each time, more each time.
    let seen = if walk.hidden { walk.first } else { seen };
    sweep.mark = sweep.mark.max(seen);
    sweep.caught_up = Some(walk.began);
    sweep.pace = pace(sweep.pace, walk, now);
}

/// How often the stream is swept after a walk: more often if it found what no webhook had told of,
/// until a trial shows that webhooks arrive again.
fn pace(pace: Pace, walk: &Walk, now: Millis) -> Pace {
    let alone = |wait: u64| {
        let waited = wait.min(TRIAL.1);
        Pace::Alone { trial: now.plus(waited), waited }
    };
    match pace {
        Pace::Behind if walk.missed > 0 => alone(TRIAL.0),
        Pace::Trial { waited } if walk.missed > 0 => alone(waited.saturating_mul(2)),
        Pace::Trial { .. } if walk.timely > 0 => Pace::Behind,
        Pace::Alone { trial, waited } if trial <= now => Pace::Trial { waited },
        pace => pace,
    }
}

/// When the next walk begins after one that is over.
#[must_use]
pub fn next(rules: &Rules, pace: Pace, now: Millis) -> Millis {
    let policy = &rules.settings().polling;
    let alone = policy.mode == Polling::Alone || matches!(pace, Pace::Alone { .. });
    now.plus(if alone { policy.interval_alone } else { policy.interval })
}

#[cfg(test)]
mod tests;
