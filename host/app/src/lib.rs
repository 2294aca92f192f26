//! The program `firn`: the HTTP API, the command line, the sandbox, and the wiring between store,
//! engine and remotes. Decides nothing about records: that is the engine's.

pub mod api;
pub mod cli;
mod client;
mod document;
mod host;
mod sample_platform;
mod sandbox;
mod serve;
mod vault;

pub use host::{Asked, Host, HostConfig};
pub use sample_platform::{Comment, Record, SamplePlatform};
pub use sandbox::{Report, Step, play};
pub use serve::{Listening, listen};
