//! Builds the two components from `guest/component`, so that one `cargo build` on a fresh clone is enough.

use std::env;
use std::path::PathBuf;

use firn_builder::{Place, Target, componentize, modules};

fn main() {
    if let Err(why) = build() {
        println!("cargo::error={why}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(|e| e.to_string())?);
    let root = here.ancestors().nth(2).ok_or("no workspace root")?.to_owned();
    let out = PathBuf::from(env::var("OUT_DIR").map_err(|e| e.to_string())?);
    for watched in [
        "guest/memory",
        "guest/model",
        "guest/signature",
        "guest/core",
        "guest/driver",
        "guest/component",
        "wit",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    // Beside the profile directories: <target>/guest.
    let target = out.ancestors().nth(4).ok_or("no target directory")?.join("guest");
    let place = Place { root, target };
    let packages = ["firn-core-component", "firn-engine-component"];
    for (module, name) in
        modules(&place, Target::Unknown, &packages)?.iter().zip(["core", "engine"])
    {
        componentize(module, &out.join(format!("{name}.wasm")))?;
    }
    Ok(())
}
