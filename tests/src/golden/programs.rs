//! The packages for Python and Node, installed as their users install them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value as Json;

use super::{Outcome, file, root, types};
use crate::tools;

/// The package for Python.
pub const PYTHON: &str = "python";
/// The package for Node.
pub const NODE: &str = "node";

/// Whether a program is there.
#[must_use]
pub fn there(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.is_ok_and(|o| o.status.success())
}

/// The Python package, installed into a folder of its own, which belongs on `PYTHONPATH`.
///
/// # Errors
/// When it cannot be built; the inner one is a reason to skip.
pub fn python_package() -> Result<Result<PathBuf, String>> {
    if !there("python3", &["-m", "pip", "--version"]) {
        return Ok(Err("there is no python3 with pip; install python3-pip".to_owned()));
    }
    let wasmtime = match tools::PYTHON_WASMTIME.fetched() {
        Ok(_) => tools::PYTHON_WASMTIME.folder(),
        Err(why) => return Ok(Err(why)),
    };
    let wheel = tools::embed("python")?.join("firn_core-0.1.0-py3-none-any.whl");
    let installed = tools::target().join("embed/python-installed");
    if installed.is_dir() {
        std::fs::remove_dir_all(&installed)?;
    }
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--target",
    ]);
    succeeded(pip.arg(&installed).arg(wheel))?;
    let path = std::env::join_paths([installed, wasmtime])?;
    Ok(Ok(path.into()))
}

/// The package for Node, installed into a folder of its own, in which programs find it.
///
/// # Errors
/// When it cannot be built; the inner one is a reason to skip.
pub fn node_package() -> Result<Result<PathBuf, String>> {
    if !there("node", &["--version"]) || !there("npm", &["--version"]) {
        return Ok(Err("there is no node with npm; install nodejs and npm".to_owned()));
    }
    let packed = tools::embed("node")?.join("firn-core-0.1.0.tgz");
    let folder = tools::target().join("embed/node-installed");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("package.json"), "{\"private\":true,\"type\":\"module\"}")?;
    let mut npm = Command::new("npm");
    npm.current_dir(&folder).args([
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--no-save",
        "--force",
    ]);
    succeeded(npm.arg(packed))?;
    Ok(Ok(folder))
}

/// Runs a program to its end, and wants it to end well.
///
/// # Errors
/// What it said, if it does not.
pub fn succeeded(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{name} cannot be started"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{name} failed: {}", String::from_utf8_lossy(&said));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The types of the core's functions, in a file for languages that cannot ask for them.
fn types_file() -> Result<PathBuf> {
    let file = tools::target().join("embed/types.json");
    std::fs::create_dir_all(file.parent().context("no folder")?)?;
    std::fs::write(&file, serde_json::to_string(&types::functions(&root().join("../wit"))?)?)?;
    Ok(file)
}

fn outcome(host: &str, said: &str) -> Result<Outcome> {
    let report: Json = serde_json::from_str(said)?;
    let count = |name: &str| {
        report[name].as_u64().and_then(|n| usize::try_from(n).ok()).context("no count")
    };
    Ok(Outcome {
        host: host.to_owned(),
        run: count("run")?,
        passed: count("passed")?,
        skipped: None,
        differences: serde_json::from_value(report["differences"].clone())?,
    })
}

/// Replays the core's transcripts in Python.
///
/// # Errors
/// When Python is there and the replay cannot be started.
pub fn python() -> Result<Outcome> {
    let path = match python_package()? {
        Ok(path) => path,
        Err(why) => return Ok(Outcome::skipped(PYTHON, why)),
    };
    let mut replay = Command::new("python3");
    replay.arg(root().join("hosts/replay.py")).arg(file()).arg(types_file()?);
    outcome(PYTHON, &succeeded(replay.env("PYTHONPATH", path))?)
}

/// Replays the core's transcripts in Node.
///
/// # Errors
/// When Node is there and the replay cannot be started.
pub fn node() -> Result<Outcome> {
    let folder = match node_package()? {
        Ok(folder) => folder,
        Err(why) => return Ok(Outcome::skipped(NODE, why)),
    };
    // Modules are looked for from the file that asks for them.
    let replay = folder.join("replay.mjs");
    std::fs::copy(root().join("hosts/replay.mjs"), &replay)?;
    let mut node = Command::new("node");
    outcome(NODE, &succeeded(node.arg(&replay).arg(file()).arg(types_file()?))?)
}

/// Runs a package's own tests, with the package as it is installed.
///
/// # Errors
/// What they said, if they fail; the inner one is a reason to skip.
pub fn python_tests() -> Result<Result<(), String>> {
    let path = match python_package()? {
        Ok(path) => path,
        Err(why) => return Ok(Err(why)),
    };
    let mut tests = Command::new("python3");
    tests.current_dir(packages().join("python")).args(["-m", "unittest", "discover", "tests"]);
    succeeded(tests.env("PYTHONPATH", path))?;
    Ok(Ok(()))
}

/// See [`python_tests`].
///
/// # Errors
/// What they said, if they fail; the inner one is a reason to skip.
pub fn node_tests() -> Result<Result<(), String>> {
    let folder = match node_package()? {
        Ok(folder) => folder,
        Err(why) => return Ok(Err(why)),
    };
    for name in ["core.test.js", "guard.test.js", "types.ts"] {
        std::fs::copy(packages().join("node/test").join(name), folder.join(name))?;
    }
    succeeded(Command::new("node").current_dir(&folder).args([
        "--test",
        "core.test.js",
        "guard.test.js",
    ]))?;
    let mut typescript = Command::new("npm");
    typescript.current_dir(&folder).args([
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--no-save",
    ]);
    // Beside the package, which is not saved and would go.
    typescript
        .arg(tools::target().join("embed/firn-core-0.1.0.tgz"))
        .args(["typescript@5.9.3", "@types/node@20.19.0"]);
    if let Err(why) = succeeded(&mut typescript) {
        return Ok(Err(format!("typescript cannot be installed: {why}")));
    }
    let mut tsc = Command::new("node");
    tsc.current_dir(&folder).arg("node_modules/typescript/bin/tsc");
    tsc.args(["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "types.ts"]);
    succeeded(&mut tsc)?;
    Ok(Ok(()))
}

fn packages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packages")
}
