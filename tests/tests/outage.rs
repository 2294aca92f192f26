//! Fault 33 of the failure model in a size that fits a test run. `cargo outage` is the whole of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may.

use std::process::Command;

/// Several hundred escalations at once, at an instance that refuses one in ten and loses one answer in twenty:
/// one ticket each, and the instance is never asked faster than it allows.
#[test]
fn fault_33_a_mass_outage_makes_one_ticket_each_within_the_limits() {
    let run = Command::new(env!("CARGO_BIN_EXE_outage"))
        .args(["--escalations", "300", "--seconds", "2"])
        .output()
        .unwrap();
    let said = [run.stdout, run.stderr].concat();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&said));
}
