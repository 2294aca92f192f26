//! Which worker an event goes to. All of one integration goes to the one that has some of it already: two would write
//! the same rows, and each would read what the other has just written. Who has nothing under way goes to whoever has
//! least to do.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use firn_model::{Event, TenantId};

/// Of whom an event is: a tenant's integration, or a request that is about none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Of(TenantId, String);

impl Of {
    /// None for what comes in: that is taken by a worker of its own.
    fn event(event: &Event) -> Option<Of> {
        let integration = |path: &str| path.split('/').nth(1).unwrap_or_default().to_owned();
        match event {
            Event::Inbound(_) => None,
            Event::Operate { tenant, .. } => Some(Of(tenant.clone(), String::new())),
            Event::Due(key) => Some(Of(key.tenant.clone(), integration(&key.path))),
            Event::Answer(answer) => {
                Some(Of(answer.tenant.clone(), answer.integration.to_string()))
            }
        }
    }
}

/// What the workers have to do.
pub(super) struct Lanes {
    now: Mutex<Now>,
}

struct Now {
    /// Where each has something under way, and how much.
    of: BTreeMap<Of, (usize, usize)>,
    /// How much each worker has.
    workers: Vec<usize>,
}

impl Lanes {
    pub(super) fn new(workers: usize) -> Lanes {
        let (of, workers) = (BTreeMap::new(), vec![0; workers.max(1)]);
        Lanes { now: Mutex::new(Now { of, workers }) }
    }

    /// The worker that an event goes to, which has it from now on; none if it comes in.
    pub(super) fn enter(&self, event: &Event) -> Option<usize> {
        let of = Of::event(event)?;
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let least = || now.workers.iter().enumerate().min_by_key(|(_, has)| **has);
        let idle = least().map_or(0, |(worker, _)| worker);
        let (worker, events) = now.of.entry(of).or_insert((idle, 0));
        *events += 1;
        let worker = *worker;
        now.workers[worker] += 1;
        Some(worker)
    }

    /// What events are of whom, to be told when they are over.
    pub(super) fn of(events: &[Event]) -> Vec<Of> {
        events.iter().filter_map(Of::event).collect()
    }

    /// Some events are over.
    pub(super) fn leave(&self, all: Vec<Of>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        for of in all {
            let Some((worker, events)) = now.of.get_mut(&of) else { continue };
            let worker = *worker;
            *events -= 1;
            if *events == 0 {
                now.of.remove(&of);
            }
            now.workers[worker] -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firn_model::Key;

    fn due(tenant: &str, path: &str) -> Event {
        Event::Due(Key { tenant: TenantId::new(tenant).unwrap(), path: path.to_owned() })
    }

    #[test]
    fn all_of_one_goes_to_one_and_the_next_to_whoever_has_least() {
        let lanes = Lanes::new(2);
        let (a, b) = (due("acme", "link/int-1/l-1"), due("acme", "delivery/int-2/x"));
        let first = lanes.enter(&a).unwrap();
        let second = lanes.enter(&b).unwrap();
        assert_ne!(first, second);
        for path in ["delivery/int-1/x", "delivery/int-1/y", "link/int-1/l-2"] {
            assert_eq!(lanes.enter(&due("acme", path)), Some(first));
        }
        assert_eq!(lanes.enter(&due("beta", "link/int-1/l-1")), Some(second));
        // Once nothing of it is under way it may go elsewhere.
        for _ in 0..4 {
            lanes.leave(Lanes::of(std::slice::from_ref(&a)));
        }
        assert_eq!(lanes.enter(&due("gamma", "link/int-1/l-1")), Some(first));
        lanes.leave(Lanes::of(&[due("acme", "link/int-9/l-1")]));
        assert_eq!(lanes.now.lock().unwrap().workers, [1, 2]);
    }
}
