//! What came in, and how fast: so that a test can say that nobody was overrun.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::faults::Pace;

/// What came in at an instance since it started; how fast, is told of its interfaces (`/api/`) alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meter {
    /// How many, by method and table: `PATCH incident`.
    pub requests: BTreeMap<String, u64>,
    /// The most within any second.
    pub most_in_a_second: u32,
    /// The most under way at once.
    pub most_at_once: u32,
    /// Refused because of the pace.
    pub too_fast: u64,
}

/// Measures.
#[derive(Default)]
pub(crate) struct Metering {
    pub(crate) meter: Meter,
    recent: VecDeque<Instant>,
    at_once: u32,
}

impl Metering {
    /// A request comes in.
    pub(crate) fn count(&mut self, what: String) {
        *self.meter.requests.entry(what).or_default() += 1;
    }

    /// It is one of an interface. Says whether it is within the pace; [`Self::ends`] is called for it in
    /// any case.
    pub(crate) fn begins(&mut self, pace: Option<Pace>) -> bool {
        let now = Instant::now();
        while self.recent.front().is_some_and(|at| now - *at >= Duration::from_secs(1)) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        self.at_once += 1;
        let in_a_second = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        self.meter.most_in_a_second = self.meter.most_in_a_second.max(in_a_second);
        self.meter.most_at_once = self.meter.most_at_once.max(self.at_once);
        let within =
            pace.is_none_or(|pace| in_a_second <= pace.per_second && self.at_once <= pace.at_once);
        self.meter.too_fast += u64::from(!within);
        within
    }

    /// It was answered, or dropped.
    pub(crate) fn ends(&mut self) {
        self.at_once = self.at_once.saturating_sub(1);
    }
}
