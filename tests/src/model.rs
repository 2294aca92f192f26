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

mod explore;
mod small;
pub mod worlds;

pub use explore::{Explored, explore};
pub use small::{Bounds, Violation};
