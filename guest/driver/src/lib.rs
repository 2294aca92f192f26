//! The loop over the doors: events in, one commit, requests out. Portable, synchronous, and
//! without any decision of its own: what should happen is said by `firn_core::plan`.
//!
//! A batch of events is one commit. If somebody else changed a row meanwhile, nothing was
//! committed and the whole batch is looked at again; requests leave only after the commit.
//!
//! One webhook in a straight line: `admit` (one durable row, then `202`) -> `work` (row due:
//! observation into link, plan) -> commit -> request -> answer -> `work` again, until settled.

mod admit;
mod alert;
mod article;
mod attach;
mod dead;
mod doors;
mod foresee;
mod learn;
mod operate;
mod reconcile;
mod recover;
mod rows;
mod session;
mod sweep;
mod together;
mod unreadable;
mod work;

use firn_model::{CommitError, Event, Problem, Reply, Report};

pub use doors::{Clock, Doors, Http, Log, Rules, Secrets, Signature, Storage};
pub use firn_core::masking::{NoTokens, Tokens};
pub use firn_core::signature::Scheme;
use session::{Known, Session};

/// How often a batch is looked at again when somebody else was first.
const RETRIES: u32 = 8;

/// An instance: doors, and what need not be read twice.
pub struct Engine<D> {
    doors: D,
    known: Known,
}

impl<D: Doors> Engine<D> {
    /// An instance behind these doors.
    pub fn new(doors: D) -> Engine<D> {
        Engine { doors, known: Known::default() }
    }

    /// The doors.
    pub fn doors(&self) -> &D {
        &self.doors
    }

    /// Handles a batch of events: one commit, then the requests. Reports come back only after the
    /// commit, so that what they acknowledge is safe.
    pub fn handle(&mut self, events: &[Event]) -> Vec<Report> {
        for _ in 0..RETRIES {
            let mut session = Session::new(&self.doors, &mut self.known);
            let done = foresee::foresee(&mut session, events)
                .and_then(|()| events.iter().try_for_each(|event| dispatch(&mut session, event)));
            match done.and_then(|()| session.commit()) {
                Ok((reports, requests)) => {
                    for request in requests {
                        self.doors.submit(request);
                    }
                    return reports;
                }
                Err(CommitError::Stale(_)) => {}
                Err(CommitError::Failed(why)) => return unavailable(events, &why),
                // The others of the batch have nothing to do with it.
                Err(CommitError::Unreadable { .. }) if events.len() > 1 => break,
                Err(CommitError::Unreadable { key, why }) => {
                    return unreadable::set_aside(&self.doors, &mut self.known, events, &key, &why);
                }
            }
        }
        if events.len() > 1 {
            return events.iter().flat_map(|e| self.handle(std::slice::from_ref(e))).collect();
        }
        unavailable(events, "others kept changing the same rows")
    }
}

fn dispatch<D: Doors>(session: &mut Session<'_, D>, event: &Event) -> Result<(), CommitError> {
    match event {
        Event::Inbound(inbound) => admit::inbound(session, inbound),
        Event::Operate { request, tenant, operation, by } => {
            operate::operate(session, *request, tenant, operation, by)
        }
        Event::Due(key) => work::due(session, key),
        Event::Answer(answer) => work::answer(session, answer),
    }
}

/// Nothing was stored, so nothing may be acknowledged: whoever asked is told to come back. Rows
/// that were due stay due; answers are looked up again at their deadline.
fn unavailable(events: &[Event], why: &str) -> Vec<Report> {
    let detail = format!("{why}; send the request again");
    refuse(events, &Problem::new(503, "store-unavailable", "Nothing was stored", detail))
}

/// Tells whoever waits for one of the events.
fn refuse(events: &[Event], problem: &Problem) -> Vec<Report> {
    let reply = |request: u64| Report::Reply {
        request,
        reply: Reply {
            status: problem.status,
            body: serde_json::to_string(problem).unwrap_or_default(),
            waits_for: None,
            first: false,
        },
    };
    events
        .iter()
        .filter_map(|event| match event {
            Event::Inbound(inbound) => Some(reply(inbound.request)),
            Event::Operate { request, .. } => Some(reply(*request)),
            Event::Due(_) | Event::Answer(_) => None,
        })
        .collect()
}
