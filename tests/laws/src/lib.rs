//! Proofs that need no host: the core and driver, natively, between fakes.
//!
//! - [`sim::Scenario`] tells a world what happens; `tests/semantics.rs` and `tests/complaints.rs`
//!   show the design's rules with it, one a test.
//! - [`sim`] lets chance decide: the deterministic simulation, `cargo simulate`.
//! - [`model`] leaves nothing to chance: every interleaving of small worlds, `cargo explore`.
//!
//! Nothing here may know the runtime, the components or the network: mutation testing builds this
//! crate once a mutant.

pub mod fuzz;
pub mod masking;
pub mod model;
pub mod sim;
