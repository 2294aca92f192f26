//! Firn from outside: the real binary, the real store on disk, the simulator with its business rules
//! executed. One program for all of these tests: linking it is most of what building them costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)] // Tests may.

mod common;

mod access;
mod attachments;
mod commands;
mod console;
mod database;
mod egress;
mod faults;
mod hostile;
mod instance;
mod kept;
mod learning;
mod quirks;
mod records;
mod replicas;
mod rhino;
mod rules;
mod seed004;
mod sentinel;
mod signin;
mod stream;
mod telemetry;
