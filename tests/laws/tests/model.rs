//! Every interleaving of small worlds. `cargo explore` goes further.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may.

use firn_laws::model::{Order, explore, worlds};

#[test]
fn every_interleaving_converges_is_quiet_keeps_and_explains() {
    for bounds in worlds::quick() {
        if let Err(violation) = explore(&bounds, Order::Nearest) {
            panic!("{bounds}\n{violation}");
        }
    }
}
