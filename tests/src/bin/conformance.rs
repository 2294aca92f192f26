//! `cargo conformance [--json]`: golden transcripts of the core component, replayed in every host.
//! `--accept` writes down what the component answers now; look at the difference before committing.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use firn_tests::golden;

/// Golden transcripts in every host.
#[derive(Parser)]
struct Arguments {
    /// Print one JSON report.
    #[arg(long)]
    json: bool,
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
    let outcomes = [golden::in_wasmtime()?, golden::in_python()?];
    if given.json {
        println!("{}", serde_json::json!({ "hosts": outcomes }));
    } else {
        for outcome in &outcomes {
            match &outcome.skipped {
                Some(why) => println!("{:<10} skipped: {why}", outcome.host),
                None => {
                    println!("{:<10} {} of {} passed", outcome.host, outcome.passed, outcome.run)
                }
            }
            for difference in &outcome.differences {
                println!("  {difference}");
            }
        }
    }
    Ok(outcomes.iter().all(|o| o.passed == o.run))
}
