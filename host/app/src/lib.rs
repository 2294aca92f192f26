//! The program `firn`: the HTTP API, the command line, the sandbox, and the wiring between store,
//! engine and remotes. Decides nothing about records: that is the engine's.

mod access;
pub mod api;
pub mod cli;
mod client;
mod console;
mod document;
mod host;
mod key;
mod lease;
mod open;
mod place;
mod restored;
mod rules;
mod sample_platform;
mod sandbox;
mod serve;
mod telemetry;
mod vault;

pub use access::{Gate, Right, Role};
pub use console::all_pages;
pub use host::{Asked, Host, HostConfig};
pub use key::KeySource;
pub use place::StorePlace;
pub use sample_platform::{Comment, Record, SamplePlatform};
pub use sandbox::{Report, Step, play};
pub use serve::{Listening, listen};

/// Where the command line keeps compiled components, so that each command does not compile them
/// anew: `FIRN_CACHE`, or a place in the user's cache directory.
pub(crate) fn cache() -> Option<std::path::PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(own) = set("FIRN_CACHE") {
        return Some(std::path::PathBuf::from(own)).filter(|own| own.is_absolute());
    }
    let base = set("XDG_CACHE_HOME").map(std::path::PathBuf::from);
    let base = base.or_else(|| Some(std::path::PathBuf::from(set("HOME")?).join(".cache")));
    base.filter(|base| base.is_absolute()).map(|base| base.join("firn"))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
