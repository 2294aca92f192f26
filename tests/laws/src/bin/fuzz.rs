//! `cargo fuzz-masking --runs N [--from S]`: masks texts that nobody wrote, on all cores, and checks
//! its laws on each. Prints how many were run; exit 1 with the first text that breaks a law.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use firn_laws::{fuzz, masking};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fuzz masking.
#[derive(Parser)]
struct Arguments {
    /// How many texts.
    #[arg(long, default_value_t = 1_000_000)]
    runs: u64,
    /// The first one's seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
}

fn main() -> ExitCode {
    let Arguments { runs, from } = Arguments::parse();
    let labelled = match masking::read(include_str!("../../masking/labelled.tsv")) {
        Ok(labelled) => labelled,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    let corpus: Vec<&str> = labelled.iter().map(|one| one.text.as_str()).collect();
    let (next, done, stop) = (AtomicU64::new(from), AtomicU64::new(0), AtomicBool::new(false));
    let broken = Mutex::new(None);
    let started = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let maskers = fuzz::maskers();
                while !stop.load(Ordering::Relaxed) {
                    let first = next.fetch_add(1_000, Ordering::Relaxed);
                    if first >= from + runs {
                        break;
                    }
                    for run in first..(first + 1_000).min(from + runs) {
                        if let Err(why) = fuzz::run(run, &corpus, &maskers) {
                            stop.store(true, Ordering::Relaxed);
                            if let Ok(mut broken) = broken.lock() {
                                broken.get_or_insert(why);
                            }
                            break;
                        }
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    println!("{} texts in {:.1} s", done.into_inner(), started.elapsed().as_secs_f64());
    match broken.into_inner() {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(why)) => {
            eprintln!("run {}: {}\ntext: {:?}", why.run, why.what, why.text);
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}
