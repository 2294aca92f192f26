//! The budget of an instance: so many requests a second and an hour, so many at once, none before the
//! instant that it asked us to wait for, and hardly any while it does not answer.
//!
//! Who finds no room soon is told when to come back, each at a time of its own: what waits, waits in
//! the store, and comes at the pace at which it can leave. No integration's line is so long that
//! another's requests would find no room.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use firn_model::{AnswerBody, HttpResponse, IntegrationId, Limits, Millis, Urgency};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The longest that an instance is left alone because it asks for it.
const LONGEST: Duration = Duration::from_secs(3_600);
/// The pace is a little below the limit: what leaves evenly may arrive in bunches.
const MARGIN: f64 = 1.04;
/// So many requests in a row that nobody answered, and the instance is left alone.
const SILENCE: u32 = 5;
/// For how long, first and at most.
const ALONE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// Of so many turns one is for what is not urgent, so that it comes on too.
const SHARE: u32 = 16;

/// One instance's budget.
pub(crate) struct Budget {
    limits: Limits,
    state: Mutex<State>,
}

struct State {
    pacing: Pacing,
    /// Slots that are free.
    free: u32,
    /// Turns that were given.
    given: u32,
    /// Who waits for a slot, in order: the urgent, and the others.
    lanes: [VecDeque<oneshot::Sender<()>>; 2],
    lines: BTreeMap<(Urgency, IntegrationId), Line>,
}

/// What is known of an instance. It outlives the limits that are set.
#[derive(Clone)]
struct Pacing {
    /// When the next request may leave.
    next: Instant,
    hours: Hours,
    answers: Answers,
}

/// The requests of one integration that wait.
#[derive(Clone, Copy)]
struct Line {
    waiting: u32,
    /// The latest instant at which one that found no room was told to come back.
    told: Instant,
}

/// The limits an hour: the one that is set, and the one that the instance names.
#[derive(Clone, Default)]
struct Hours {
    set: Option<Hour>,
    named: Option<Hour>,
}

#[derive(Clone, Copy)]
struct Hour {
    limit: u64,
    used: u64,
    ends: Instant,
}

/// Whether the instance answers.
#[derive(Clone, Copy)]
enum Answers {
    /// It does; so many requests in a row had no answer.
    Yes(u32),
    /// It does not: nothing leaves until then.
    No { until: Instant, pause: Duration },
    /// One request is on its way to find out.
    Trying { pause: Duration },
}

/// A turn that was given. The slot is free again when it is dropped.
pub(crate) struct Turn(Arc<Budget>);

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.free += 1;
        state.hand_out();
    }
}

impl State {
    /// Gives free slots to those who wait: the urgent first.
    fn hand_out(&mut self) {
        while self.free > 0 {
            let [urgent, usual] = &mut self.lanes;
            let turn = if self.given % SHARE == SHARE - 1 {
                usual.pop_front().or_else(|| urgent.pop_front())
            } else {
                urgent.pop_front().or_else(|| usual.pop_front())
            };
            let Some(turn) = turn else { return };
            // Whoever has gone away takes no slot.
            if turn.send(()).is_ok() {
                self.free -= 1;
                self.given = self.given.wrapping_add(1);
            }
        }
    }
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Arc<Budget> {
        let (next, hours) = (Instant::now(), Hours::default());
        Budget::going_on(limits, Pacing { next, hours, answers: Answers::Yes(0) })
    }

    /// The same instance under other limits. Whoever waits, waits in the old one.
    pub(crate) fn with(&self, limits: Limits) -> Arc<Budget> {
        let mut pacing = self.lock().pacing.clone();
        pacing.hours.set = None;
        Budget::going_on(limits, pacing)
    }

    fn going_on(limits: Limits, pacing: Pacing) -> Arc<Budget> {
        let state = State {
            pacing,
            free: limits.at_once.max(1),
            given: 0,
            lanes: [VecDeque::new(), VecDeque::new()],
            lines: BTreeMap::new(),
        };
        Arc::new(Budget { limits, state: Mutex::new(state) })
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn, for as long as `patience` at most.
    ///
    /// # Errors
    /// When to come back, as an answer.
    pub(crate) async fn turn(
        self: &Arc<Self>,
        who: &IntegrationId,
        urgency: Urgency,
        patience: Duration,
    ) -> Result<Turn, AnswerBody> {
        let who = (urgency, who.clone());
        self.open(&mut self.lock(), &who)?;
        self.turn_in_line(who, patience).await
    }

    /// The same for a person who waits, also at an instance that has not answered lately.
    ///
    /// # Errors
    /// When to come back, as an answer.
    pub(crate) async fn turn_of_person(
        self: &Arc<Self>,
        who: &IntegrationId,
        patience: Duration,
    ) -> Result<Turn, AnswerBody> {
        self.turn_in_line((Urgency::First, who.clone()), patience).await
    }

    async fn turn_in_line(
        self: &Arc<Self>,
        who: (Urgency, IntegrationId),
        patience: Duration,
    ) -> Result<Turn, AnswerBody> {
        let end = Instant::now() + patience;
        let mut slot = self.queue(&who, patience)?;
        let _ = tokio::time::timeout_at(end, &mut slot).await;
        let (turn, at) = {
            let mut state = self.lock();
            // From here on nobody gives it a slot.
            slot.close();
            let turn = slot.is_terminated() || slot.try_recv().is_ok();
            let turn = turn.then(|| Turn(Arc::clone(self)));
            let at = match &turn {
                Some(_) => self.leave(&mut state, end),
                None => None,
            };
            if let Some(line) = state.lines.get_mut(&who) {
                line.waiting = line.waiting.saturating_sub(1);
            }
            let at = at.ok_or_else(|| self.later(&mut state, &who, patience));
            (turn, at)
        };
        tokio::time::sleep_until(at?).await;
        turn.ok_or(AnswerBody::Busy(0))
    }

    /// Joins the line, if it is not too long.
    fn queue(
        &self,
        who: &(Urgency, IntegrationId),
        patience: Duration,
    ) -> Result<oneshot::Receiver<()>, AnswerBody> {
        let mut state = self.lock();
        let now = Instant::now();
        let same = |(urgency, _): &(Urgency, IntegrationId)| *urgency == who.0;
        let others =
            state.lines.iter().filter(|(at, q)| same(at) && *at != who && q.waiting > 0).count();
        let pace = self.pace_of(&state, who.0, now);
        let room = patience.as_secs_f64() / pace.as_secs_f64() / (others + 1) as f64;
        let far = state.pacing.next.saturating_duration_since(now) > patience;
        let line = state.lines.entry(who.clone()).or_insert(Line { waiting: 0, told: now });
        // One is always let in line: it may find that nobody else is there.
        if far || line.waiting > 0 && f64::from(line.waiting + 1) > room {
            return Err(self.later(&mut state, who, patience));
        }
        line.waiting += 1;
        let (turn, slot) = oneshot::channel();
        state.lanes[usize::from(who.0 == Urgency::Usual)].push_back(turn);
        state.hand_out();
        Ok(slot)
    }

    /// Whether anything may leave: after a silence one request goes first.
    fn open(&self, state: &mut State, who: &(Urgency, IntegrationId)) -> Result<(), AnswerBody> {
        let now = Instant::now();
        let answers = &mut state.pacing.answers;
        let (until, pause) = match *answers {
            Answers::Yes(_) => return Ok(()),
            Answers::No { until, pause } if until <= now => {
                *answers = Answers::Trying { pause };
                return Ok(());
            }
            Answers::No { until, pause } => (until, pause),
            Answers::Trying { pause } => (now + pause, pause),
        };
        let back = self.back(state, who, until.min(now + pause));
        Err(AnswerBody::Silent(milliseconds(back.saturating_duration_since(now))))
    }

    /// When a request may leave that has a slot; nothing if that is too late for it.
    fn leave(&self, state: &mut State, end: Instant) -> Option<Instant> {
        let now = Instant::now();
        let at = state.pacing.next.max(now);
        if at > end {
            return None;
        }
        state.pacing.next = at + self.pace(&state.pacing, now);
        let hour = |limit: u32| Hour { limit: limit.into(), used: 0, ends: now + LONGEST };
        let Pacing { hours, next, .. } = &mut state.pacing;
        if hours.set.is_none_or(|set| set.ends <= now) {
            hours.set = self.limits.requests_per_hour.map(hour);
        }
        hours.named = hours.named.filter(|named| named.ends > now);
        for hour in [&mut hours.set, &mut hours.named].into_iter().flatten() {
            hour.used += 1;
            if hour.used >= hour.limit {
                *next = (*next).max(hour.ends);
            }
        }
        Some(at)
    }

    /// The time from one request to the next: as the limit a second allows, and when half of an
    /// hour's limit is used, so that the rest lasts for the rest of the hour.
    fn pace(&self, pacing: &Pacing, now: Instant) -> Duration {
        let pace =
            Duration::from_secs_f64(MARGIN / f64::from(self.limits.requests_per_second.max(1)));
        let hours = [pacing.hours.set, pacing.hours.named];
        hours.into_iter().flatten().fold(pace, |pace, hour| {
            let left = hour.ends.saturating_duration_since(now);
            match hour.limit.saturating_sub(hour.used) {
                // None is left, and none leaves before the next hour, or more than half is.
                0 => pace,
                room if room > hour.limit / 2 => pace,
                room => pace.max(left.div_f64(room as f64)),
            }
        })
    }

    /// The pace of a lane: while something urgent waits, little else leaves.
    fn pace_of(&self, state: &State, urgency: Urgency, now: Instant) -> Duration {
        let pace = self.pace(&state.pacing, now);
        let behind = urgency == Urgency::Usual && !state.lanes[0].is_empty();
        if behind { pace * SHARE } else { pace }
    }

    /// There is no room: when to come back.
    fn later(
        &self,
        state: &mut State,
        who: &(Urgency, IntegrationId),
        patience: Duration,
    ) -> AnswerBody {
        not_tried(&mut state.pacing);
        let now = Instant::now();
        // What is not urgent comes when the urgent are gone.
        let urgent = state.lines.iter().filter(|((urgency, _), _)| *urgency < who.0);
        let gone = urgent.map(|(_, line)| line.told).max().unwrap_or(now);
        let back = self.back(state, who, state.pacing.next.max(now + patience / 2).max(gone));
        AnswerBody::Busy(milliseconds(back.saturating_duration_since(now)))
    }

    /// A time for somebody to come back, not before `first`: each has its own.
    fn back(&self, state: &mut State, who: &(Urgency, IntegrationId), first: Instant) -> Instant {
        let now = Instant::now();
        let told = state.lines.iter().filter(|((urgency, _), q)| *urgency == who.0 && q.told > now);
        let lines = u32::try_from(told.count().max(1)).unwrap_or(1);
        let pace = self.pace(&state.pacing, now) * lines;
        let line = state.lines.entry(who.clone()).or_insert(Line { waiting: 0, told: now });
        line.told = (line.told + pace).max(first).min(now + LONGEST);
        line.told
    }

    /// What an answer says: of limits, and whether the instance is there at all.
    pub(crate) fn told(&self, answer: &AnswerBody, clock: Millis) {
        let mut state = self.lock();
        let pacing = &mut state.pacing;
        let now = Instant::now();
        let silent = match answer {
            AnswerBody::Response(response) => {
                limited(pacing, response, clock, now);
                // From something in between, or from an instance that says no more than that.
                matches!(response.status, 502 | 504)
                    || response.status == 503 && response.header("retry-after").is_none()
            }
            _ => true,
        };
        pacing.answers = match (pacing.answers, silent) {
            (_, false) => Answers::Yes(0),
            (Answers::Yes(n), true) if n + 1 < SILENCE => Answers::Yes(n + 1),
            (Answers::Yes(_), true) => Answers::No { until: now + ALONE.0, pause: ALONE.0 },
            // It left before.
            (no @ Answers::No { .. }, true) => no,
            (Answers::Trying { pause }, true) => {
                let pause = (pause * 2).min(ALONE.1);
                Answers::No { until: now + pause, pause }
            }
        };
    }

    /// A request that had a turn was not sent at all, for a reason of ours.
    pub(crate) fn unused(&self) {
        not_tried(&mut self.lock().pacing);
    }
}

/// The request that was to find out never left: the next one does.
fn not_tried(pacing: &mut Pacing) {
    if let Answers::Trying { pause } = pacing.answers {
        pacing.answers = Answers::No { until: Instant::now(), pause };
    }
}

/// Takes note of the limits in an answer: `Retry-After`, `X-RateLimit-Limit` and `-Reset`.
fn limited(pacing: &mut Pacing, response: &HttpResponse, clock: Millis, now: Instant) {
    let number = |name: &str| response.header(name).and_then(|v| v.trim().parse::<u64>().ok());
    let refused = response.status == 429;
    let here = response
        .header("date")
        .and_then(|date| firn_model::parse_http_date(date).ok())
        .unwrap_or(clock);
    // Seconds since 1970, by their clock.
    let reset = number("x-ratelimit-reset")
        .and_then(|at| i64::try_from(at.checked_mul(1_000)?).ok())
        .map(|at| Duration::from_millis(u64::try_from(at - here.0).unwrap_or(0)).min(LONGEST));
    if let (Some(limit), Some(left)) = (number("x-ratelimit-limit"), reset) {
        let ends = now + left;
        let used = match pacing.hours.named {
            // The same hour, by a clock of whole seconds.
            Some(hour) if hour.ends.max(ends) - hour.ends.min(ends) < Duration::from_secs(5) => {
                hour.used
            }
            _ => 1,
        };
        let used = if refused { limit } else { used };
        pacing.hours.named = Some(Hour { limit, used, ends });
    }
    if refused || response.status == 503 {
        let asked = response.retry_after(clock).map(Duration::from_millis);
        if let Some(pause) = asked.or(reset.filter(|_| refused)) {
            pacing.next = pacing.next.max(now + pause.min(LONGEST));
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
