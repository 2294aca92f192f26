//! `cargo score [FILE...]`: how well masking does on labelled texts, the repository's own or others.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use firn_laws::masking;

/// Scores masking on labelled texts.
#[derive(Parser)]
struct Arguments {
    /// Sets to score; without one, the repository's own.
    files: Vec<PathBuf>,
    /// Tell what was missed and what was damaged.
    #[arg(long)]
    faults: bool,
}

fn main() -> ExitCode {
    let Arguments { files, faults } = Arguments::parse();
    let own = ["labelled.tsv", "second.tsv", "third.tsv", "fourth.tsv"]
        .map(|name| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/masking/")).join(name));
    let files = if files.is_empty() { own.to_vec() } else { files };
    let mut set = Vec::new();
    for file in &files {
        let read = std::fs::read_to_string(file)
            .map_err(|e| e.to_string())
            .and_then(|t| masking::read(&t));
        match read {
            Ok(texts) => set.extend(texts),
            Err(why) => {
                eprintln!("{}: {why}", file.display());
                return ExitCode::FAILURE;
            }
        }
    }
    let score = masking::score(&set);
    if faults {
        score.faults.iter().for_each(|fault| println!("{fault}"));
    }
    println!("{} texts\n{score}", set.len());
    ExitCode::SUCCESS
}
