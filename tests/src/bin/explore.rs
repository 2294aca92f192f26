//! `cargo explore`: model checking at the sizes that are stated in docs/testing.md, or at one's own.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use firn_tests::model::{Bounds, explore, worlds};

/// Every interleaving of small worlds.
#[derive(Parser)]
struct Arguments {
    /// `quick` fits a test run; `stated` is the size of docs/testing.md.
    #[arg(default_value = "stated")]
    size: String,
    /// A world of one's own: edits, comments (0 to 3), deletions, lost answers, doubled messages,
    /// crashes.
    #[arg(long, value_delimiter = ',')]
    world: Option<Vec<u8>>,
}

fn main() -> ExitCode {
    let Arguments { size, world } = Arguments::parse();
    let worlds: Vec<Bounds> = match world.as_deref() {
        Some([edits, comments, deletions, lost, doubled, crashes]) => worlds::each(Bounds {
            edits: *edits,
            comments: *comments,
            deletions: *deletions,
            lost: *lost,
            doubled: *doubled,
            crashes: *crashes,
            ..worlds::NOTHING
        }),
        _ if size == "quick" => worlds::quick(),
        _ => worlds::stated(),
    };
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(false);
    let began = std::time::Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(bounds) = worlds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = std::time::Instant::now();
                    match explore(bounds) {
                        Ok(e) => println!(
                            "{bounds}: {} states, {} steps, {} ends, {:.1} s",
                            e.states,
                            e.steps,
                            e.ends,
                            began.elapsed().as_secs_f64()
                        ),
                        Err(violation) => {
                            eprintln!("{bounds}: {violation}");
                            *failed.lock().unwrap_or_else(|e| e.into_inner()) = true;
                        }
                    }
                }
            });
        }
    });
    println!("{} worlds in {:.1} s", worlds.len(), began.elapsed().as_secs_f64());
    if *failed.lock().unwrap_or_else(|e| e.into_inner()) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
