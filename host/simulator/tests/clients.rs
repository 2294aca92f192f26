//! Other people's clients, unchanged, against the simulator. They are fetched from their registries
//! into the target directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)] // Tests may.

use std::path::{Path, PathBuf};
use std::process::Command;

use firn_simulator::{Faults, Simulator};

const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
const FETCHED: &str = env!("CARGO_TARGET_TMPDIR");

/// Runs a script against a fresh simulator.
async fn passes(program: &str, script: &str, fetched: &Path) {
    let simulator =
        Simulator::start(([127, 0, 0, 1], 0).into(), 1, Faults::default()).await.unwrap();
    let mut command = Command::new(program);
    command
        .arg(Path::new(CLIENTS).join(script))
        .arg(simulator.address().to_string())
        .env("PYTHONPATH", fetched)
        .env("NODE_PATH", fetched.join("node_modules"))
        .env("NO_PROXY", "*");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&said));
}

/// Fetches what a script needs, once.
fn fetch(name: &str, program: &str, arguments: &[&str]) -> PathBuf {
    let place = Path::new(FETCHED).join("clients").join(name);
    let done = place.join(".fetched");
    if !done.exists() {
        std::fs::create_dir_all(&place).unwrap();
        let output = Command::new(program).args(arguments).arg(&place).output();
        let output = output.unwrap_or_else(|why| panic!("{program}: {why}; install it"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(done, "").unwrap();
    }
    place
}

/// Whether the machine has a program; says what to install if not.
fn has(program: &str, package: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
    if !there {
        eprintln!("skipped: there is no {program}; apt install {package}");
    }
    there
}

fn python(requirement: &str) -> PathBuf {
    let name = requirement.split('=').next().unwrap();
    let install =
        ["-m", "pip", "install", "--quiet", "--no-warn-conflicts", requirement, "--target"];
    fetch(name, "python3", &install)
}

#[tokio::test(flavor = "multi_thread")]
async fn pysnow_of_python() {
    if has("python3", "python3-pip") {
        passes("python3", "with_pysnow.py", &python("pysnow==0.7.17")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aiosnow_of_python() {
    if has("python3", "python3-pip") {
        passes("python3", "with_aiosnow.py", &python("aiosnow==0.6.0")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sn_rest_client_of_node() {
    if has("npm", "npm") {
        let install =
            ["install", "--silent", "--no-audit", "--no-fund", "sn-rest-client@2.1.9", "--prefix"];
        let fetched = fetch("sn-rest-client", "npm", &install);
        passes("node", "with_sn_rest_client.js", &fetched).await;
    }
}
