//! `cargo simulate --seeds N [--from S]`: runs seeds on all cores, prints what they covered, and
//! exits 1 with the command that brings a violation back, or if something was never met.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clap::Parser;
use firn_laws::sim;

// Rows are read and written all the time: a third of the time went into the allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Deterministic simulation of the driver and core.
#[derive(Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Go on after a violation.
    #[arg(long)]
    all: bool,
    /// Only the seeds, from the first on, that have what happens seldom: one in eleven.
    #[arg(long)]
    harder: bool,
    /// Only the seeds, from the first on, in which operators act on a Firn at work: one in thirteen.
    #[arg(long, conflicts_with = "harder")]
    operated: bool,
    /// Only the seeds, from the first on, in which a bot hands conversations over: one in seventeen.
    #[arg(long, conflicts_with_all = ["harder", "operated"])]
    escalated: bool,
    /// Only the seeds, from the first on, whose platforms say less than they could: one in twenty-three.
    #[arg(long, conflicts_with_all = ["harder", "operated", "escalated"])]
    terse: bool,
    /// Print every step (of one seed).
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let Arguments { seeds, from, all, harder, operated, escalated, terse, trace } =
        Arguments::parse();
    if trace {
        return match sim::trace(from) {
            Ok(_) => ExitCode::SUCCESS,
            Err(violation) => {
                eprintln!("{violation}");
                ExitCode::FAILURE
            }
        };
    }
    let started = std::time::Instant::now();
    let next = AtomicU64::new(0);
    let seed = |n: u64| match (harder, operated, escalated, terse) {
        (true, ..) => sim::harder(from, n),
        (_, true, ..) => sim::operated(from, n),
        (_, _, true, _) => sim::escalated(from, n),
        (.., true) => sim::terse(from, n),
        _ => from + n,
    };
    let stop = AtomicBool::new(false);
    let coverage = Mutex::new(sim::Coverage::new());
    let violations = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut mine = sim::Coverage::new();
                while !stop.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= seeds {
                        break;
                    }
                    let seed = seed(n);
                    match std::panic::catch_unwind(|| sim::run(seed)) {
                        Ok(Ok(met)) => {
                            for (what, count) in met {
                                *mine.entry(what).or_default() += count;
                            }
                        }
                        Ok(Err(violation)) => {
                            stop.store(!all, Ordering::Relaxed);
                            violations
                                .lock()
                                .unwrap_or_else(|e| e.into_inner())
                                .push((violation.seed, violation.what));
                        }
                        Err(_) => {
                            stop.store(!all, Ordering::Relaxed);
                            violations
                                .lock()
                                .unwrap_or_else(|e| e.into_inner())
                                .push((seed, "a panic".to_owned()));
                        }
                    }
                }
                let mut all = coverage.lock().unwrap_or_else(|e| e.into_inner());
                for (what, count) in mine {
                    *all.entry(what).or_default() += count;
                }
            });
        }
    });
    let coverage = coverage.into_inner().unwrap_or_else(|e| e.into_inner());
    let violations = violations.into_inner().unwrap_or_else(|e| e.into_inner());
    let mut never = Vec::new();
    for what in sim::MUST_BE_MET {
        let count = coverage.get(what).copied().unwrap_or_default();
        println!("{count:>12}  {what}");
        if count == 0 {
            never.push(*what);
        }
    }
    println!("{seeds} seeds from {from} in {:.1} s", started.elapsed().as_secs_f64());
    for (seed, what) in &violations {
        eprintln!(
            "violation in seed {seed}: {what}\nsee every step: cargo simulate --trace --from {seed}"
        );
    }
    if violations.is_empty() && !never.is_empty() {
        eprintln!("never met: {}; run more seeds", never.join(", "));
    }
    if violations.is_empty() && never.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
