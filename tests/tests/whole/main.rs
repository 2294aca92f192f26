//! What needs the host, whole: one program for all of these tests, as linking it is most of what building them
//! costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may.

mod arrows;
mod gateways;
mod golden;
mod schema;
mod stories;
mod twin;
