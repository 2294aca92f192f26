//! The budget of an instance: so many requests a second, so many at once, and none before the
//! instant that it asked us to wait for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Requests a second (seed 002).
const RATE: f64 = 50.0;
/// At once.
const IN_FLIGHT: usize = 4;

/// One instance's budget.
pub(crate) struct Budget {
    slots: Arc<Semaphore>,
    /// When the next request may leave.
    next: Mutex<Instant>,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { slots: Arc::new(Semaphore::new(IN_FLIGHT)), next: Mutex::new(Instant::now()) }
    }
}

impl Budget {
    /// Waits for a turn; `None` if none comes before `end`.
    pub(crate) async fn turn(&self, end: Instant) -> Option<OwnedSemaphorePermit> {
        let slot = tokio::time::timeout_at(end, Arc::clone(&self.slots).acquire_owned())
            .await
            .ok()?
            .ok()?;
        let at = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let at = (*next).max(Instant::now());
            if at > end {
                return None;
            }
            *next = at + Duration::from_secs_f64(1.0 / RATE);
            at
        };
        tokio::time::sleep_until(at).await;
        Some(slot)
    }

    /// The instance asks to be left alone for a while.
    pub(crate) fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause.min(Duration::from_secs(3_600));
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = (*next).max(until);
    }
}
