//! Builds the two components from `guest/component`, so that one `cargo build` on a fresh clone is
//! enough: fetches the wasm target if it is missing, compiles the shells with a target directory of
//! their own (cargo in cargo would wait for itself otherwise), and wraps them as components.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const TARGET: &str = "wasm32-unknown-unknown";

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
    for watched in ["guest", "wit", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    let rustc = env::var("RUSTC").map_err(|e| e.to_string())?;
    ensure_target(&rustc)?;
    // Beside the profile directories: <target>/guest.
    let target = out.ancestors().nth(4).ok_or("no target directory")?.join("guest");
    let status = cargo()
        .current_dir(&root)
        .args(["build", "--quiet", "--locked", "--profile", "guest", "--target", TARGET])
        .args(["--package", "firn-core-component", "--package", "firn-engine-component"])
        .env("CARGO_TARGET_DIR", &target)
        // Every host that runs components has it; without it searching bytes is several times slower.
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "-C target-feature=+simd128")
        .status()
        .map_err(|e| format!("cargo does not start: {e}"))?;
    if !status.success() {
        return Err("the components do not compile; see above".to_owned());
    }
    for name in ["core", "engine"] {
        let module = target.join(TARGET).join("guest").join(format!("firn_{name}_component.wasm"));
        componentize(&module, &out.join(format!("{name}.wasm")))?;
    }
    Ok(())
}

/// Cargo without what the outer cargo (or clippy) told it about the outer build.
fn cargo() -> Command {
    let mut cargo = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    for (name, _) in env::vars() {
        let inherited = name.starts_with("CARGO_")
            && !matches!(name.as_str(), "CARGO_HOME" | "CARGO_NET_OFFLINE");
        let wraps = matches!(
            name.as_str(),
            "RUSTC" | "RUSTC_WRAPPER" | "RUSTC_WORKSPACE_WRAPPER" | "RUSTFLAGS" | "RUSTDOC"
        );
        let registry = name.starts_with("CARGO_REGISTR")
            || name.starts_with("CARGO_HTTP")
            || name.starts_with("CARGO_SOURCE");
        if (inherited && !registry) || wraps || name == "CLIPPY_ARGS" {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Adds the wasm target with rustup if this toolchain lacks it.
fn ensure_target(rustc: &str) -> Result<(), String> {
    let sysroot = Command::new(rustc)
        .args(["--print", "sysroot"])
        .output()
        .map_err(|e| format!("rustc does not start: {e}"))?;
    let sysroot = String::from_utf8_lossy(&sysroot.stdout).trim().to_owned();
    if Path::new(&sysroot).join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!("the Rust target {TARGET} is missing; run: rustup target add {TARGET}")),
    }
}

fn componentize(module: &Path, component: &Path) -> Result<(), String> {
    let bytes = fs::read(module).map_err(|e| format!("{}: {e}", module.display()))?;
    let encoded = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|encoder| encoder.encode())
        .map_err(|e| format!("{} is no component: {e:#}", module.display()))?;
    fs::write(component, encoded).map_err(|e| format!("{}: {e}", component.display()))
}
