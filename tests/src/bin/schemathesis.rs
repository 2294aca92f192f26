//! `cargo schemathesis [--examples N] [--seed S]`: generated requests (schemathesis, from PyPI) against the
//! OpenAPI document of the real binary, with an integration at a simulator. No answer may have a status
//! that the document does not name, another shape than it says, or be a failure of the server's.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::Parser;
use firn_simulator::{Faults, Simulator};
use firn_tests::process::{Client, Firn, TOKEN, binary, ended, free_port, integration};
use serde_json::json;

/// The version that is installed.
const VERSION: &str = "4.32.5";

/// What is looked at.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method,\
    allow_header_conformance,use_after_free";

/// Generated requests against the OpenAPI document.
#[derive(Parser)]
struct Arguments {
    /// How many for each operation and phase.
    #[arg(long, default_value_t = 20)]
    examples: u32,
    /// From which they are generated.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let again =
        format!("cargo schemathesis --examples {} --seed {}", arguments.examples, arguments.seed);
    ended("schemathesis", &again, run(&arguments))
}

/// The program, in an environment of its own below `target/tools`.
fn installed() -> Result<Option<PathBuf>> {
    let here = std::env::current_exe()?;
    let target = here.ancestors().nth(2).context("a target directory")?;
    let place = target.join("tools").join(format!("schemathesis-{VERSION}"));
    let program = place.join("bin/st");
    if program.exists() {
        return Ok(Some(program));
    }
    let quiet = |command: &mut Command| {
        command.stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if !quiet(Command::new("python3").args(["-m", "venv"]).arg(&place)) {
        let _ = std::fs::remove_dir_all(&place);
        return Ok(None);
    }
    let mut install = Command::new(place.join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check"]);
    if !quiet(install.arg(format!("schemathesis=={VERSION}"))) {
        let _ = std::fs::remove_dir_all(&place);
        bail!("pip could not install schemathesis {VERSION}");
    }
    Ok(Some(program))
}

async fn run(arguments: &Arguments) -> Result<Vec<String>> {
    let Some(program) = installed()? else {
        println!("skipped: Python is not here; install it with: apt install python3-venv");
        return Ok(Vec::new());
    };
    let binary = binary()?;
    let directory = tempfile::tempdir()?;
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), 1, Faults::default()).await?;
    let listen = free_port()?;
    let client = Client::new(listen)?;
    let _firn = Firn::start(&binary, &directory.path().join("data"), listen)?;
    client.ready().await?;
    let id = integration(&client, &simulator, "genesys", None, json!({})).await?;
    let call = json!({ "callId": "00000000-0000-0000-0000-000000000001",
        "startTime": "2026-11-27T14:30:00.000Z", "direction": "inbound", "queueName": "support",
        "escalationReason": "IVR_TIMEOUT_EXCEEDED", "customerPhone": "+15550199888" });
    let path = format!("/integrations/{id}/escalations");
    let (status, said) =
        client.call(reqwest::Method::POST, &path, &call).await.context("no answer")?;
    if status >= 300 {
        bail!("the escalation was not taken: {said}");
    }
    // First at an integration that is there and stays; then at any, also removing them.
    let there = format!("[parameters]\n\"path.integration\" = \"{id}\"\n");
    // It has no bytes to send for a component; the hostile tests have.
    let upload = ["--exclude-operation-id", "post_integrations_rules"];
    let keep = [upload[0], upload[1], "--exclude-operation-id", "delete_integrations_one"];
    generated(&program, directory.path(), &client.url, (&there, &keep), arguments).await?;
    generated(&program, directory.path(), &client.url, ("", &upload), arguments).await?;
    Ok(Vec::new())
}

async fn generated(
    program: &Path,
    place: &Path,
    url: &str,
    (configured, filter): (&str, &[&str]),
    arguments: &Arguments,
) -> Result<()> {
    let file = place.join("schemathesis.toml");
    std::fs::write(&file, configured)?;
    let mut command = Command::new(program);
    command
        .current_dir(place)
        .env("PYTHONUTF8", "1")
        .env("NO_COLOR", "1")
        .arg("--config-file")
        .arg(&file)
        .args(["run", &format!("{url}/api/v1/openapi.json")])
        .args(["--header", &format!("authorization: Bearer {TOKEN}")])
        .args(["--checks", CHECKS, "--warnings", "off", "--continue-on-failure"])
        .args(["--max-examples", &arguments.examples.to_string()])
        .args(["--seed", &arguments.seed.to_string()])
        .args(filter);
    let status = tokio::task::spawn_blocking(move || command.status()).await??;
    if !status.success() {
        bail!("it found something; the lines above say what, and how to send it again");
    }
    Ok(())
}
