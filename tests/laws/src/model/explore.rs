//! The explorer: visits every state once, until there are no more.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use super::bounds::Bounds;
use super::fingerprints::Fingerprints;
use super::small::{Small, Violation};

/// What was explored.
#[derive(Debug, Default, Clone, Copy)]
pub struct Explored {
    /// Different states.
    pub states: u64,
    /// Steps between them.
    pub steps: u64,
    /// Ends that were checked.
    pub ends: u64,
}

/// In which order states are visited. Both visit all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The nearest first: a violation is told by a shortest way that leads to it. Holds a whole
    /// generation of states in memory.
    Nearest,
    /// The newest first: holds one way and its side branches.
    Newest,
}

/// The steps that lead to a state, shared between states.
struct Way {
    step: String,
    before: Option<Rc<Way>>,
}

fn path(way: Option<&Rc<Way>>) -> Vec<String> {
    let mut steps = Vec::new();
    let mut at = way;
    while let Some(way) = at {
        steps.push(way.step.clone());
        at = way.before.as_ref();
    }
    steps.reverse();
    steps
}

/// Visits every state within bounds.
///
/// States are told apart by 64 bits of a hash. Of `n` states about `n^2 / 2^65` pairs are taken for
/// one: with ten million a chance of 3 in a million that a state was left out.
///
/// # Errors
/// The first property that does not hold, with the steps that lead there.
pub fn explore(bounds: &Bounds, order: Order) -> Result<Explored, Box<Violation>> {
    let mut explored = Explored::default();
    let mut seen = Fingerprints::default();
    let mut ends: BTreeSet<u64> = BTreeSet::new();
    let mut queue: VecDeque<(Small, Option<Rc<Way>>)> = VecDeque::new();
    let start = Small::new(bounds);
    seen.insert(start.fingerprint());
    queue.push_back((start, None));
    loop {
        let next = match order {
            Order::Nearest => queue.pop_front(),
            Order::Newest => queue.pop_back(),
        };
        let Some((state, way)) = next else { return Ok(explored) };
        explored.states += 1;
        if state.at_rest() && ends.insert(state.essence()) {
            explored.ends += 1;
            let failed = |what| Box::new(Violation { what, path: path(way.as_ref()) });
            state.clone().finish().map_err(failed)?;
        }
        for (step, next) in state.successors() {
            explored.steps += 1;
            match next {
                Ok(next) => {
                    if seen.insert(next.fingerprint()) {
                        let way = Rc::new(Way { step, before: way.clone() });
                        queue.push_back((next, Some(way)));
                    }
                }
                Err(what) => {
                    let way = Rc::new(Way { step, before: way.clone() });
                    return Err(Box::new(Violation { what, path: path(Some(&way)) }));
                }
            }
        }
    }
}
