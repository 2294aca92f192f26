//! A stand-alone ServiceNow simulator: the Table API with real shapes, the task family, a journal,
//! sign-in by Basic and OAuth, and business rules that are *executed*: rows of `sys_script` run as
//! JavaScript, and their outbound calls really leave. Faults on demand.
//!
//! Nothing here knows Firn; it is useful to others by itself.
//!
//! `tables` holds records, `schema` what a stock instance knows of them; `session` is a user's write
//! with everything that hangs on it, `script` runs business rules and Scripted REST; `query` reads
//! encoded queries, `view` gives records the shape that was asked for, `rest` holds the APIs; `signin`
//! the users and tokens, `access` who may do what, `rates` how often. `faults` is what goes wrong,
//! `quirks` what nobody is sure of, and `meter` what came in.

mod access;
mod faults;
mod meter;
mod query;
mod quirks;
mod rates;
mod rest;
mod schema;
mod script;
mod serve;
mod session;
mod signin;
mod tables;
mod view;

pub use access::{Access, Permit};
pub use faults::{Faults, OutboundFaults, Pace, RequestFault, Trouble};
pub use meter::Meter;
pub use quirks::Quirks;
pub use serve::{Simulator, SimulatorError};
pub use tables::Record;
