//! What the process tells of itself: logs, metrics, traces. All three name integrations, links, kinds and
//! outcomes; what a record, a person or a secret says is in none of them (`tests/outside/sentinel.rs`).

mod journeys;
mod logs;
mod metrics;
mod traces;

pub(crate) use journeys::Journeys;
pub(crate) use logs::{Logs, init};
pub(crate) use metrics::{CONTENT, Metrics, Process, Standing};
pub(crate) use traces::Traces;
