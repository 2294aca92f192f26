//! Deterministic simulation: the real driver and core between two fake systems, with a virtual
//! clock, and with messages that are lost, doubled, late, reordered or stale, answers that are
//! lost, sides that refuse, and a process that dies between any two steps. One seed, one run.
//!
//! Four properties are checked when it has become quiet:
//! *converges* (both sides agree, or a person was told about the field), *quiet* (bounded writes,
//! and then none), *keeps* (no edit is overwritten unseen without a finding), *explains* (each
//! write has its audit line). And at every moment: at most one ticket per key.

mod articles;
mod check;
mod platform;
mod query;
mod scenario;
mod servicenow;
mod wishes;
mod world;

use std::collections::BTreeMap;

pub use platform::{Dates, ModelSays};
pub use scenario::Scenario;
pub(crate) use servicenow::{Quirks, ServiceNow};
pub use world::Violation;

/// How often what happened: faults that fired, verdicts, findings.
pub type Coverage = BTreeMap<&'static str, u64>;

/// Everything that a campaign of some thousand seeds must have met at least once.
pub const MUST_BE_MET: &[&str] = &[
    "fault: webhook lost",
    "fault: webhook doubled",
    "fault: webhook late",
    "fault: webhook without counter",
    "fault: event doubled",
    "fault: event late",
    "fault: answer lost after effect",
    "fault: request lost",
    "fault: late commit",
    "fault: commit beyond the limit",
    "fault: unusable answer",
    "fault: connection refused",
    "fault: no turn in the budget",
    "fault: left alone",
    "fault: 503",
    "fault: 500 after commit",
    "fault: 429",
    "fault: 401",
    "fault: crash before commit",
    "fault: crash after commit",
    "fault: store failed",
    "fault: commit answer lost",
    "fault: another replica is first",
    "upheaval: ticket deleted",
    "upheaval: record deleted",
    "upheaval: ticket of another class",
    "upheaval: record attached",
    "upheaval: pair taken apart",
    "edit: platform",
    "edit: external",
    "edit: both at once",
    "edit: external between read and write",
    "comment: platform",
    "comment: external",
    "why: created",
    "why: carried",
    "why: restored",
    "why: last-write-wins",
    "why: higher-priority",
    "why: overruled",
    "why: resolved",
    "why: mirrored",
    "why: duplicate",
    "why: unseen",
    "finding: conflict",
    "finding: kept",
    "finding: masked-edit",
    "finding: unmapped-value",
    "finding: overwritten-unseen",
    "finding: record-gone",
    "finding: record-missing",
    "finding: reclassed",
    "finding: shared-ticket",
    "finding: duplicate-ticket",
    "outcome: moved",
    "finding: webhooks-missing",
    "sweep: a ticket read",
    "sweep: caught up",
    "rules: asked",
    "learnt: written back",
    "fault: rules failed",
    "finding: rules-failed",
    "reconcile",
    "fault: junk comes in",
    "fault: webhook much later",
    "fault: webhook many times",
    "fault: clock jumps",
    "fault: a ticket may not be read",
    "fault: a business rule interferes",
    "operator: pauses",
    "operator: goes on",
    "edit: agent opens a ticket",
    "fault: a column may not be written",
    "operator: backs up",
    "operator: restores",
    "fault: late commit after a restore",
    "operator: changes settings",
    "operator: decides on dead letters",
    "escalation: asked for",
    "escalation: asked for once more",
    "escalation: accepted",
    "escalation: pending",
    "escalation: existing",
    "escalation: reopened",
    "escalation: gone",
    "escalation: in another ticket",
];

/// The seed after so many others, from one on, of those that have what happens seldom.
#[must_use]
pub fn harder(from: u64, n: u64) -> u64 {
    world::harder(from, n)
}

/// The seed after so many others, from one on, of those in which operators act.
#[must_use]
pub fn operated(from: u64, n: u64) -> u64 {
    world::operated(from, n)
}

/// The seed after so many others, from one on, of those in which a bot hands conversations over.
#[must_use]
pub fn escalated(from: u64, n: u64) -> u64 {
    world::escalated(from, n)
}

/// The seed after so many others, from one on, of those in which platforms say less than they could.
#[must_use]
pub fn terse(from: u64, n: u64) -> u64 {
    world::terse(from, n)
}

/// Runs one seed: at least 100 steps.
///
/// # Errors
/// The property that does not hold, and what led to it.
pub fn run(seed: u64) -> Result<Coverage, Violation> {
    world::World::new(seed, false).run()
}

/// Runs one seed and prints every step.
///
/// # Errors
/// The property that does not hold.
pub fn trace(seed: u64) -> Result<Coverage, Violation> {
    world::World::new(seed, true).run()
}
