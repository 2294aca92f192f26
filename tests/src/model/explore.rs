//! The explorer: breadth first over states, each once, until there are no more.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use super::small::{Bounds, Small, Violation};

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
/// # Errors
/// The first property that does not hold, with the steps that lead there.
pub fn explore(bounds: &Bounds) -> Result<Explored, Box<Violation>> {
    let mut explored = Explored::default();
    let mut seen: BTreeSet<u128> = BTreeSet::new();
    let mut ends: BTreeSet<u128> = BTreeSet::new();
    let mut queue: VecDeque<(Small, Option<Rc<Way>>)> = VecDeque::new();
    let start = Small::new(bounds);
    seen.insert(start.fingerprint());
    queue.push_back((start, None));
    while let Some((state, way)) = queue.pop_front() {
        explored.states += 1;
        if state.at_rest() && ends.insert(state.essence()) {
            explored.ends += 1;
            let failed = |what| Box::new(Violation { what, path: path(way.as_ref()) });
            state.clone().finish().map_err(failed)?;
        }
        for (step, next) in state.successors() {
            explored.steps += 1;
            let way = Rc::new(Way { step, before: way.clone() });
            match next {
                Ok(next) => {
                    if seen.insert(next.fingerprint()) {
                        queue.push_back((next, Some(way)));
                    }
                }
                Err(what) => return Err(Box::new(Violation { what, path: path(Some(&way)) })),
            }
        }
    }
    Ok(explored)
}
