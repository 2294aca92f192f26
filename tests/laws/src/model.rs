//! Explicit-state model checking: every interleaving of a small world, with the real `advance`.
//!
//! Two systems and Firn between them: a ticket to be made, edits of two fields on both sides, a
//! comment on each side, a deletion; answers that are lost (the request may still take effect,
//! later), messages that are doubled, reordered, stale or never heard, and a crash between any two
//! steps. Every reachable state is visited once; in each that is at rest the world is brought to an
//! end without further faults, and the four properties are checked there: *converges, quiet, keeps,
//! explains*.
//!
//! States are compared without what only counts (exchange numbers, keys, pauses), so that loops
//! close.
//!
//! - `bounds.rs`, `worlds.rs`: how large a world is, and which are explored
//! - `small.rs`: the world and its sides at work; `steps.rs`: what can happen next; `end.rs`: the
//!   properties; `compare.rs`: when two states are one
//! - `explore.rs`: visits all of them
//! - `replicas.rs`: a world of its own for the create protocol, with two replicas of the driver

mod bounds;
mod compare;
mod end;
mod explore;
mod fingerprints;
pub mod replicas;
mod small;
mod steps;
pub mod worlds;

pub use bounds::{Bounds, Edit, What};
pub use explore::{Explored, Order, explore};
pub use small::Violation;
