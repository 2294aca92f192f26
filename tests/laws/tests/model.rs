//! Every interleaving of small worlds. `cargo explore` goes further.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may.

use firn_laws::model::replicas::{self, Protocol};
use firn_laws::model::{Order, explore, worlds};

#[test]
fn every_interleaving_converges_is_quiet_keeps_and_explains() {
    for bounds in worlds::quick() {
        if let Err(violation) = explore(&bounds, Order::Nearest) {
            panic!("{bounds}\n{violation}");
        }
    }
}

#[test]
fn two_replicas_make_one_ticket() {
    for unique in [true, false] {
        let none = Protocol { unique, lost: 0, crashes: 0, races: 0, beyond: 0 };
        for protocol in [
            Protocol { lost: 1, crashes: 1, ..none },
            Protocol { races: 1, ..none },
            Protocol { lost: 1, beyond: 1, ..none },
        ] {
            let met = replicas::explore(protocol)
                .unwrap_or_else(|violation| panic!("{protocol:?}\n{violation}"));
            // What is to be survived was met; where the key is unique it cannot happen.
            assert_eq!(met.duplicates > 0, protocol.beyond > 0 && !unique, "{protocol:?}");
            assert_eq!(met.races > 0, protocol.races > 0, "{protocol:?}");
        }
    }
}
