//! Builds guest crates for wasm, from a build script or from a developer's command: fetches the target if it
//! is missing, compiles with a target directory of its own (cargo in cargo would wait for itself otherwise),
//! and wraps what is to be a component.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What a guest is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Imports nothing but what its WIT says.
    Unknown,
    /// With the environment and the standard output of WASI's first preview: what Envoy gives its filters.
    Wasip1,
}

impl Target {
    fn triple(self) -> &'static str {
        match self {
            Target::Unknown => "wasm32-unknown-unknown",
            Target::Wasip1 => "wasm32-wasip1",
        }
    }
}

/// Where to build.
#[derive(Debug, Clone)]
pub struct Place {
    /// The workspace.
    pub root: PathBuf,
    /// A target directory of its own.
    pub target: PathBuf,
}

/// Compiles packages; gives their modules, in order.
///
/// # Errors
/// What failed, and what to do.
pub fn modules(place: &Place, target: Target, packages: &[&str]) -> Result<Vec<PathBuf>, String> {
    ensure(target)?;
    let triple = target.triple();
    let mut cargo = cargo();
    cargo.current_dir(&place.root);
    cargo.args(["build", "--quiet", "--locked", "--profile", "guest", "--target", triple]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", triple.to_uppercase().replace('-', "_"));
    let status = cargo
        .env("CARGO_TARGET_DIR", &place.target)
        // Every host that runs them has it; without it searching bytes is several times slower.
        .env(flags, "-C target-feature=+simd128")
        .status()
        .map_err(|e| format!("cargo does not start: {e}"))?;
    if !status.success() {
        return Err(format!("{} do not compile; see above", packages.join(", ")));
    }
    let module = |package: &&str| {
        let file = format!("{}.wasm", package.replace('-', "_"));
        place.target.join(triple).join("guest").join(file)
    };
    Ok(packages.iter().map(module).collect())
}

/// Makes a component of a module that carries its WIT.
///
/// # Errors
/// When it carries none, or a file cannot be read or written.
pub fn componentize(module: &Path, component: &Path) -> Result<(), String> {
    let bytes = fs::read(module).map_err(|e| format!("{}: {e}", module.display()))?;
    let encoded = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|encoder| encoder.encode())
        .map_err(|e| format!("{} is no component: {e:#}", module.display()))?;
    put(component, &encoded)
}

/// Writes a file so that whoever reads it meanwhile sees all of what was there or all of what is.
///
/// # Errors
/// When it cannot be written.
pub fn put(file: &Path, bytes: &[u8]) -> Result<(), String> {
    let new = file.with_extension(format!("{}.new", std::process::id()));
    fs::write(&new, bytes)
        .and_then(|()| fs::rename(&new, file))
        .map_err(|e| format!("{}: {e}", file.display()))
}

/// Waits for one's turn in a folder, which is made if it is not there; the turn ends when what this gives is
/// dropped. Programs that make the same things at the same time do so one after the other.
///
/// # Errors
/// When the folder cannot be written to.
pub fn turn(folder: &Path) -> Result<fs::File, String> {
    let lock = folder.join(".lock");
    fs::create_dir_all(folder)
        .and_then(|()| fs::File::create(&lock))
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|e| format!("{}: {e}", lock.display()))
}

/// Cargo without what an outer cargo (or clippy) told it about the outer build.
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

/// Adds a wasm target with rustup if this toolchain lacks it.
///
/// # Errors
/// What to run, if it cannot be added.
pub fn ensure(target: Target) -> Result<(), String> {
    let triple = target.triple();
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let sysroot = Command::new(rustc)
        .args(["--print", "sysroot"])
        .output()
        .map_err(|e| format!("rustc does not start: {e}"))?;
    let sysroot = String::from_utf8_lossy(&sysroot.stdout).trim().to_owned();
    if Path::new(&sysroot).join("lib/rustlib").join(triple).is_dir() {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", triple]).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!("the Rust target {triple} is missing; run: rustup target add {triple}")),
    }
}
