//! The verbs of Firn: every decision, pure. Values in, values out; no clock, no I/O, no
//! randomness, no hash-map order. What this crate says can be replayed byte for byte.
//!
//! The straight line of one webhook through this crate:
//! [`intake`] (payload to observation) -> [`observe`] (observation into link) -> [`plan`] (what
//! next) -> [`wire`] (request) -> [`wire`] (answer to reading) -> [`land`] (reading into link) ->
//! [`plan`] again, until both sides are settled.
//!
//! Where to find what: field mapping in [`mapping`], field ownership and conflict resolution in
//! [`merge`], masking in [`masking`], idempotency in [`identity`], the journal in [`journal`].

pub mod attachment;
pub mod escalation;
pub mod explain;
pub mod expression;
pub mod format;
pub mod gateway;
pub mod identity;
pub mod intake;
pub mod journal;
pub mod json;
pub mod land;
pub mod learning;
pub mod mapping;
pub mod masking;
pub mod merge;
pub mod observe;
pub mod plan;
pub mod preset;
pub mod preview;
#[cfg(test)]
mod sample;
pub mod settings;
pub mod signature;
pub mod sweep;
pub mod wire;
