//! Developer commands. `cargo verify` is everything that must hold before a change lands; `cargo embed` makes
//! what others embed.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod embed;
mod python;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// The version of cargo-deny that `verify` installs if the machine has none.
const DENY: &str = "0.20.2";

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    let outcome = match task.as_str() {
        "verify" => verify(),
        "embed" => embed::run(&std::env::args().skip(2).collect::<Vec<_>>()),
        other => {
            eprintln!("unknown task {other:?}; there are: verify, embed");
            return ExitCode::FAILURE;
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{task}: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn verify() -> Result<()> {
    let began = Instant::now();
    let guests = ["--package", "firn-core-component", "--package", "firn-engine-component"];
    step("formatting", cargo(&["fmt", "--all", "--check"]))?;
    let browser = browser();
    let database = there_is(
        "a database is not looked at",
        || firn_test_postgres::programs().is_ok(),
        &["postgresql"],
    );
    let mut tests = cargo(&["test", "--release"]);
    // Most of them wait for something more than they work.
    tests.env("RUST_BACKTRACE", "1").env("RUST_TEST_THREADS", "4");
    if browser {
        tests.env("FIRN_BROWSER", "required");
    }
    if database {
        tests.env("FIRN_POSTGRES", "required");
    }
    step("tests", tests)?;
    step("lints", cargo(&["clippy", "--release", "--all-targets", "--", "-D", "warnings"]))?;
    let mut lints = cargo(&["clippy", "--profile", "guest", "--target", "wasm32-unknown-unknown"]);
    lints.args(guests).args(["--target-dir", "target/guest", "--", "-D", "warnings"]);
    step("lints of the components", lints)?;
    firn_builder::ensure(firn_builder::Target::Wasip1).map_err(anyhow::Error::msg)?;
    for (target, packages) in [
        (
            "wasm32-unknown-unknown",
            &["firn-gateway-proxy", "firn-gateway-middleware", "firn-echo"][..],
        ),
        ("wasm32-wasip1", &["firn-envoy-filter", "firn-trap"]),
    ] {
        let mut lints = cargo(&["clippy", "--profile", "guest", "--target", target]);
        for package in packages {
            lints.args(["--package", package]);
        }
        lints.args(["--target-dir", "target/guest", "--", "-D", "warnings"]);
        step("lints of gateways", lints)?;
    }
    let mut docs = cargo(&["doc", "--release", "--no-deps"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    step("documentation", docs)?;
    // It looks at the crates of every target, also at those that nothing was built for.
    step("fetching what other targets need", cargo(&["fetch", "--locked"]))?;
    step("licences and sources", deny()?)?;
    let mut sandbox = built("firn", &["run", "--quiet", "--release", "--"]);
    sandbox.args(["sandbox", "--once"]).stdout(std::process::Stdio::null());
    step("sandbox", sandbox)?;
    let mut conformance = built("conformance", &["conformance"]);
    conformance.envs(binary().map(|path| ("FIRN_BINARY", path)));
    step("the same in every host", conformance)?;
    let mut generated = built("schemathesis", &["schemathesis"]);
    generated.envs(binary().map(|path| ("FIRN_BINARY", path)));
    step("generated requests", generated)?;
    let mut simulation = built("simulate", &["simulate"]);
    simulation.args(["--seeds", "5000", "--from", "20000"]);
    step("simulation", simulation)?;
    let mut crash = built("crash", &["crash"]);
    crash.args(["--cycles", "30"]).envs(binary().map(|path| ("FIRN_BINARY", path)));
    step("crash loop", crash)?;
    println!("everything holds, after {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// Whether there is a browser to look at the console with.
fn browser() -> bool {
    let there = || {
        ["chromium", "chromedriver"].iter().all(|name| {
            Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success())
        })
    };
    there_is("the console is not looked at", there, &["chromium", "chromium-driver"])
}

/// Whether something is there; where it can be installed it is.
fn there_is(otherwise: &str, there: impl Fn() -> bool, packages: &[&str]) -> bool {
    if there() {
        return true;
    }
    // Only whoever may, and where it cannot ask anything.
    let install = ["install", "--quiet", "--yes", "--no-install-recommends"];
    for arguments in [&["update", "--quiet"][..], &[&install[..], packages].concat()] {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        let _ = apt.stdin(std::process::Stdio::null()).output();
    }
    if !there() {
        println!("{otherwise}: apt-get install {}", packages.join(" "));
    }
    there()
}

/// A program as the tests built it, or what cargo makes of it: built alone it would be built anew, with
/// other features of what it shares with them.
fn built(name: &str, otherwise: &[&str]) -> Command {
    release()
        .map(|release| release.join(name))
        .filter(|path| path.exists())
        .map_or_else(|| cargo(otherwise), Command::new)
}

/// Firn itself, as the tests built it.
fn binary() -> Option<PathBuf> {
    release().map(|release| release.join("firn")).filter(|path| path.exists())
}

fn release() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.to_owned())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    // What is said of this program is none of theirs: some build scripts look at it, and all that is built on
    // them would be built anew each time it is asked for in another way.
    for (name, _) in std::env::vars() {
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

fn step(name: &str, mut command: Command) -> Result<()> {
    println!("== {name}");
    let began = Instant::now();
    let status = command.status().with_context(|| format!("{name} cannot be started"))?;
    if !status.success() {
        bail!("{name} failed: {command:?}");
    }
    println!("== {name}: {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// cargo-deny of this machine, or one of our own in `target/tools`.
fn deny() -> Result<Command> {
    let own = Path::new("target/tools/bin/cargo-deny");
    let installed =
        Command::new("cargo-deny").arg("--version").output().is_ok_and(|o| o.status.success());
    if !installed && !own.exists() {
        let mut install =
            cargo(&["install", "--quiet", "--debug", "--locked", "cargo-deny", "--version", DENY]);
        install.args(["--root", "target/tools"]).env("CARGO_TARGET_DIR", "target/tools/build");
        step("installing cargo-deny", install)?;
    }
    let mut command = Command::new(if installed { Path::new("cargo-deny") } else { own });
    command.args(["--offline", "check", "licenses", "bans", "sources"]);
    Ok(command)
}
