//! The budget of an instance: so many requests a second and an hour, so many at once, none before the
//! instant that it asked us to wait for, and one now and then while it does not answer.
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
/// So many requests in a row that nobody answered, and the instance is left alone.
const SILENCE: u32 = 5;
/// For how long, first and at most.
const ALONE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// So much time that passed unused is made up for.
const CREDIT: Duration = Duration::from_millis(250);
/// Of so many turns one is for what is not urgent, so that it comes on too.
const SHARE: u32 = 16;

/// One instance's budget.
pub(crate) struct Budget {
    state: Mutex<State>,
}

struct State {
    limits: Limits,
    /// Slots that are free; less than none after the limit was lowered, until enough are given back.
    free: i64,
    /// Turns that were given.
    given: u32,
    /// When the next request may leave.
    next: Instant,
    /// When the last ones left, or will: as many as may within a second.
    recent: VecDeque<Instant>,
    hours: Hours,
    answers: Answers,
    /// Who waits for a slot, in order: the urgent, and the others.
    lanes: [VecDeque<oneshot::Sender<()>>; 2],
    lines: BTreeMap<Who, Line>,
}

type Who = (Urgency, IntegrationId);

/// The requests of one integration that wait.
#[derive(Clone, Copy)]
struct Line {
    waiting: u32,
    /// The latest instant at which one that found no room was told to come back.
    told: Instant,
}

/// The limits an hour: the one that is set, and the one that the instance names.
#[derive(Default)]
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

/// Whose request it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// The everyday work's.
    Work,
    /// The one of everyday work that finds out whether the instance answers again.
    Trial,
    /// A person's, who waits for the answer, also of an instance that has not answered lately.
    Person,
}

/// A turn that was given. Its slot is free again when it is dropped.
pub(crate) struct Turn {
    budget: Arc<Budget>,
    asker: Asker,
}

impl Turn {
    /// What the answer says: of limits, and whether the instance is there at all. A turn that is told
    /// nothing was not used.
    pub(crate) fn told(&mut self, answer: &AnswerBody, clock: Millis) {
        self.budget.lock().told(answer, clock, self.asker == Asker::Trial);
        // It has found out.
        self.asker = Asker::Work;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.give_up(self.asker);
        state.free += 1;
        state.hand_out();
    }
}

/// A place in the line. Whoever goes away leaves nothing behind.
struct Place<'b> {
    budget: &'b Arc<Budget>,
    who: Who,
    /// Nobody any more once a turn came of it.
    asker: Option<Asker>,
    slot: Option<oneshot::Receiver<()>>,
    /// Whether it holds a slot, which is free again if no turn comes of it.
    holds: bool,
}

impl Place<'_> {
    /// Looks whether it was given a slot. From here on nobody gives it one. The budget is locked meanwhile.
    fn look(&mut self) {
        if let Some(mut slot) = self.slot.take() {
            slot.close();
            self.holds = slot.try_recv().is_ok();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        if let Some(line) = state.lines.get_mut(&self.who) {
            line.waiting = line.waiting.saturating_sub(1);
        }
        self.look();
        if let Some(asker) = self.asker {
            state.give_up(asker);
        }
        if self.holds {
            state.free += 1;
            state.hand_out();
        }
    }
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Arc<Budget> {
        let state = State {
            limits,
            free: limits.at_once.max(1).into(),
            given: 0,
            next: Instant::now(),
            recent: VecDeque::new(),
            hours: Hours::default(),
            answers: Answers::Yes(0),
            lanes: [VecDeque::new(), VecDeque::new()],
            lines: BTreeMap::new(),
        };
        Arc::new(Budget { state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Other limits from now on.
    pub(crate) fn limit(&self, limits: Limits) {
        let mut state = self.lock();
        let (old, new) = (state.limits.at_once.max(1), limits.at_once.max(1));
        state.free += i64::from(new) - i64::from(old);
        state.hours.set = match (state.hours.set, limits.requests_per_hour) {
            (Some(hour), Some(limit)) => Some(Hour { limit: limit.into(), ..hour }),
            _ => None,
        };
        state.limits = limits;
        state.hand_out();
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
        let asker = self.lock().open(&who)?;
        self.turn_in_line(who, asker, patience).await
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
        self.turn_in_line((Urgency::First, who.clone()), Asker::Person, patience).await
    }

    async fn turn_in_line(
        self: &Arc<Self>,
        who: Who,
        asker: Asker,
        patience: Duration,
    ) -> Result<Turn, AnswerBody> {
        let end = Instant::now() + patience;
        let slot = {
            let mut state = self.lock();
            let joined = state.queue(&who, patience);
            if joined.is_err() {
                state.give_up(asker);
            }
            joined?
        };
        let (asker, slot) = (Some(asker), Some(slot));
        let mut place = Place { budget: self, who, asker, slot, holds: false };
        if let Some(slot) = &mut place.slot {
            place.holds = matches!(tokio::time::timeout_at(end, &mut *slot).await, Ok(Ok(())));
        }
        if place.holds {
            place.slot = None;
        }
        let (turn, at) = self.lock().leave(&mut place, end, patience)?;
        drop(place);
        tokio::time::sleep_until(at).await;
        Ok(turn)
    }
}

impl State {
    /// Gives free slots to those who wait: the urgent first.
    fn hand_out(&mut self) {
        while self.free > 0 {
            let [urgent, usual] = &mut self.lanes;
            let slot = if self.given % SHARE == SHARE - 1 {
                usual.pop_front().or_else(|| urgent.pop_front())
            } else {
                urgent.pop_front().or_else(|| usual.pop_front())
            };
            let Some(slot) = slot else { return };
            // Whoever has gone away takes none.
            if slot.send(()).is_ok() {
                self.free -= 1;
                self.given = self.given.wrapping_add(1);
            }
        }
    }

    /// Joins the line, if it is not too long.
    fn queue(
        &mut self,
        who: &Who,
        patience: Duration,
    ) -> Result<oneshot::Receiver<()>, AnswerBody> {
        let now = Instant::now();
        let same = |other: &Who| other.0 == who.0 && other != who;
        let others = self.lines.iter().filter(|(at, q)| same(at) && q.waiting > 0).count();
        let pace = self.pace_of(who.0, now);
        let room = patience.as_secs_f64() / pace.as_secs_f64() / (others + 1) as f64;
        let far = self.next.saturating_duration_since(now) > patience;
        let line = self.lines.entry(who.clone()).or_insert(Line { waiting: 0, told: now });
        // One is always let in line: it may find that nobody else is there.
        if far || line.waiting > 0 && f64::from(line.waiting + 1) > room {
            return Err(self.later(who, patience));
        }
        line.waiting += 1;
        let (sender, slot) = oneshot::channel();
        self.lanes[usize::from(who.0 == Urgency::Usual)].push_back(sender);
        self.hand_out();
        Ok(slot)
    }

    /// Whether anything may leave: after a silence one request goes first.
    fn open(&mut self, who: &Who) -> Result<Asker, AnswerBody> {
        if let Answers::No { until, pause } = self.answers
            && until <= Instant::now()
        {
            self.answers = Answers::Trying { pause };
            return Ok(Asker::Trial);
        }
        self.silent(who).map_or(Ok(Asker::Work), Err)
    }

    /// While the instance does not answer: when to come back.
    fn silent(&mut self, who: &Who) -> Option<AnswerBody> {
        let now = Instant::now();
        let until = match self.answers {
            Answers::Yes(_) => return None,
            Answers::No { until, .. } => until.max(now),
            Answers::Trying { pause } => now + pause,
        };
        let back = self.back(who, until);
        Some(AnswerBody::Silent(milliseconds(back.saturating_duration_since(now))))
    }

    /// Whoever was to find out does not: the next one does.
    fn give_up(&mut self, asker: Asker) {
        if let (Asker::Trial, Answers::Trying { pause }) = (asker, self.answers) {
            self.answers = Answers::No { until: Instant::now(), pause };
        }
    }

    /// The turn of a place in the line, and when it may leave.
    fn leave(
        &mut self,
        place: &mut Place<'_>,
        end: Instant,
        patience: Duration,
    ) -> Result<(Turn, Instant), AnswerBody> {
        let now = Instant::now();
        let at = self.next.max(self.window()).max(now);
        place.look();
        if at > end || !place.holds {
            return Err(self.later(&place.who, patience));
        }
        // It may have fallen silent while this one waited.
        if place.asker == Some(Asker::Work)
            && let Some(silent) = self.silent(&place.who)
        {
            return Err(silent);
        }
        self.recent.push_back(at);
        // What did not leave in time is made up for, a little: the second as a whole holds its limit.
        self.next = self.next.max(at.checked_sub(CREDIT).unwrap_or(at)) + self.pace(now);
        let hour = |limit: u32| Hour { limit: limit.into(), used: 0, ends: now + LONGEST };
        if self.hours.set.is_none_or(|set| set.ends <= now) {
            self.hours.set = self.limits.requests_per_hour.map(hour);
        }
        self.hours.named = self.hours.named.filter(|named| named.ends > now);
        for hour in [&mut self.hours.set, &mut self.hours.named].into_iter().flatten() {
            hour.used += 1;
            if hour.used >= hour.limit {
                self.next = self.next.max(hour.ends);
            }
        }
        place.holds = false;
        let asker = place.asker.take().unwrap_or(Asker::Work);
        Ok((Turn { budget: Arc::clone(place.budget), asker }, at))
    }

    /// When the next may leave so that no second has more than its limit: with the pace alone that is so, and
    /// where something is made up for this sees to it.
    fn window(&mut self) -> Instant {
        let steady = steady(self.limits);
        let most = steady.ceil();
        while self.recent.len() > most as usize {
            self.recent.pop_front();
        }
        let first = self.recent.front().filter(|_| self.recent.len() == most as usize);
        let window = Duration::from_secs_f64(most / steady);
        first.map_or_else(Instant::now, |first| *first + window)
    }

    /// The time from one request to the next: as the limit a second allows, and when half of an
    /// hour's limit is used, so that the rest lasts for the rest of the hour.
    fn pace(&self, now: Instant) -> Duration {
        let pace = Duration::from_secs_f64(1.0 / steady(self.limits));
        let hours = [self.hours.set, self.hours.named];
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
    fn pace_of(&self, urgency: Urgency, now: Instant) -> Duration {
        let pace = self.pace(now);
        let behind = urgency == Urgency::Usual && !self.lanes[0].is_empty();
        if behind { pace * SHARE } else { pace }
    }

    /// There is no room: when to come back.
    fn later(&mut self, who: &Who, patience: Duration) -> AnswerBody {
        let now = Instant::now();
        // What is not urgent comes when the urgent are gone.
        let urgent = self.lines.iter().filter(|((urgency, _), _)| *urgency < who.0);
        let gone = urgent.map(|(_, line)| line.told).max().unwrap_or(now);
        let back = self.back(who, self.next.max(now + patience / 2).max(gone));
        AnswerBody::Busy(milliseconds(back.saturating_duration_since(now)))
    }

    /// A time for somebody to come back, not before `first`: each has its own.
    fn back(&mut self, who: &Who, first: Instant) -> Instant {
        let now = Instant::now();
        let told = self.lines.iter().filter(|((urgency, _), q)| *urgency == who.0 && q.told > now);
        let lines = u32::try_from(told.count().max(1)).unwrap_or(1);
        let pace = self.pace(now) * lines;
        let line = self.lines.entry(who.clone()).or_insert(Line { waiting: 0, told: now });
        line.told = (line.told + pace).max(first).min(now + LONGEST);
        line.told
    }

    fn told(&mut self, answer: &AnswerBody, clock: Millis, trial: bool) {
        let now = Instant::now();
        let silent = match answer {
            AnswerBody::Response(response) => {
                self.limited(response, clock, now);
                // From something in between, or from an instance that says no more than that.
                matches!(response.status, 502 | 504)
                    || response.status == 503 && response.header("retry-after").is_none()
            }
            _ => true,
        };
        self.answers = match (self.answers, silent) {
            (_, false) => Answers::Yes(0),
            (Answers::Yes(n), true) if n + 1 < SILENCE => Answers::Yes(n + 1),
            (Answers::Yes(_), true) => Answers::No { until: now + ALONE.0, pause: ALONE.0 },
            (Answers::Trying { pause }, true) if trial => {
                let pause = (pause * 2).min(ALONE.1);
                Answers::No { until: now + pause, pause }
            }
            // It left before.
            (known, true) => known,
        };
    }

    /// Takes note of the limits in an answer: `Retry-After`, `X-RateLimit-Limit` and `-Reset`.
    fn limited(&mut self, response: &HttpResponse, clock: Millis, now: Instant) {
        let number = |name: &str| response.header(name).and_then(|v| v.trim().parse::<u64>().ok());
        let refused = response.status == 429;
        let here = response
            .header("date")
            .and_then(|date| firn_model::parse_http_date(date).ok())
            .unwrap_or(clock);
        // Seconds since 1970, by their clock.
        let reset = number("x-ratelimit-reset")
            .and_then(|at| i64::try_from(at.checked_mul(1_000)?).ok())
            .map(|at| u64::try_from(at.saturating_sub(here.0)).unwrap_or(0))
            .map(|left| Duration::from_millis(left).min(LONGEST));
        if let (Some(limit), Some(left)) = (number("x-ratelimit-limit"), reset) {
            let ends = now + left;
            let used = match self.hours.named {
                // The same hour, by a clock of whole seconds.
                Some(hour)
                    if hour.ends.max(ends) - hour.ends.min(ends) < Duration::from_secs(5) =>
                {
                    hour.used
                }
                _ => 1,
            };
            let used = if refused { limit } else { used };
            self.hours.named = Some(Hour { limit, used, ends });
        }
        if refused || response.status == 503 {
            let asked = response.retry_after(clock).map(Duration::from_millis);
            if let Some(pause) = asked.or(reset.filter(|_| refused)) {
                self.next = self.next.max(now + pause.min(LONGEST));
            }
        }
    }
}

/// Requests a second that may leave evenly, so that no more than the limit arrive within any second,
/// however long each is on its way: those that were under way when the second began come on top.
fn steady(limits: Limits) -> f64 {
    let (limit, under_way) = (f64::from(limits.requests_per_second), f64::from(limits.at_once));
    (limit - under_way).max(limit / 2.0).max(0.5)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
