//! `cargo conformance [--json]`: golden transcripts of the core and of the gateway, replayed in every host.
//! `--host NAME` replays in one of them only.
//! `--accept` writes down what the component answers now; look at the difference before committing.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use firn_tests::golden::{self, Outcome};

/// Golden transcripts in every host.
#[derive(Parser)]
struct Arguments {
    /// Print one JSON report.
    #[arg(long)]
    json: bool,
    /// Only in hosts with this in their names.
    #[arg(long)]
    host: Option<String>,
    /// Write down what the component answers now.
    #[arg(long)]
    accept: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("conformance: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(given: &Arguments) -> Result<bool> {
    if given.accept {
        golden::accept()?;
        println!("written: {}", golden::file().display());
    }
    let outcomes = tokio::runtime::Runtime::new()?.block_on(outcomes(given.host.as_deref()))?;
    if given.json {
        println!("{}", serde_json::json!({ "hosts": outcomes }));
    } else {
        for outcome in &outcomes {
            match &outcome.skipped {
                Some(why) => println!("{:<28} skipped: {why}", outcome.host),
                None => {
                    println!("{:<28} {} of {} passed", outcome.host, outcome.passed, outcome.run)
                }
            }
            for difference in &outcome.differences {
                println!("  {difference}");
            }
        }
    }
    Ok(outcomes.iter().all(|o| o.passed == o.run))
}

async fn outcomes(wanted: Option<&str>) -> Result<Vec<Outcome>> {
    let wants = |host: &str| wanted.is_none_or(|wanted| host.contains(wanted));
    let mut outcomes = Vec::new();
    if wants("native") {
        outcomes.push(golden::natively()?);
    }
    if wants("wasmtime") {
        outcomes.push(golden::in_wasmtime()?);
    }
    if wants(golden::firn::FIRN) {
        outcomes.push(golden::firn::replayed().await?);
    }
    if wants(golden::serve::PROXY) {
        outcomes.push(golden::serve::proxy().await?);
    }
    if wants(golden::serve::MIDDLEWARE) {
        outcomes.push(golden::serve::middleware().await?);
    }
    if wants(golden::envoy::ENVOY) {
        outcomes.push(golden::envoy::filter().await?);
    }
    if wants(golden::programs::NODE) {
        outcomes.push(golden::programs::node()?);
    }
    if wants(golden::programs::PYTHON) {
        outcomes.push(golden::programs::python()?);
    }
    Ok(outcomes)
}
