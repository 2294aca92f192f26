//! A stand-alone ServiceNow simulator: the Table API with real shapes, the task family, a journal,
//! sign-in by Basic and OAuth, and business rules that are *executed*: rows of `sys_script` run as
//! JavaScript, and their outbound calls really leave. Faults on demand.
//!
//! Nothing here knows Firn; it is useful to others by itself.
//!
//! `tables` holds records and their rules, `query` reads encoded queries, `view` gives
//! records the shape that was asked for, `script` runs business rules, `rest` is the API,
//! `signin` the users and tokens, `faults` what goes wrong.

mod faults;
mod query;
mod rest;
mod schema;
mod script;
mod serve;
mod signin;
mod tables;
mod view;

pub use faults::{Faults, OutboundFaults, RequestFault, Trouble};
pub use serve::{Simulator, SimulatorError};
pub use tables::Record;
