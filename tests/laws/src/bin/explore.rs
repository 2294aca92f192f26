//! `cargo explore`: model checking at the sizes that are stated in docs/testing.md, or at one's own.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use firn_laws::model::replicas::{self, Protocol};
use firn_laws::model::{Bounds, Order, explore, worlds};

// States are cloned and dropped all the time: half of the time went into the allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Every interleaving of small worlds.
#[derive(Parser)]
struct Arguments {
    /// `quick` fits a test run; `stated` goes far in one direction at a time; `joint` has
    /// everything in one world; `replicas` is the create protocol with two of them. The sizes are in docs/testing.md.
    #[arg(default_value = "joint")]
    size: Size,
    /// A world of one's own, under each strategy: edits, comments (0 to 3), deletions, lost answers,
    /// doubled messages, crashes. With `joint`: these bounds in place of its own.
    #[arg(long, value_delimiter = ',')]
    world: Option<Vec<u8>>,
    /// How many faults may happen together in a joint world.
    #[arg(long, default_value_t = 1)]
    faults: u8,
    /// Visit the nearest states first: a violation is told by a shortest way; needs more memory.
    #[arg(long)]
    nearest: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Size {
    Quick,
    Stated,
    Joint,
    Replicas,
}

fn main() -> ExitCode {
    let Arguments { size, world, faults, nearest } = Arguments::parse();
    let order = if nearest { Order::Nearest } else { Order::Newest };
    let worlds: Vec<Bounds> = match (world.as_deref(), size) {
        (Some([edits, comments, deletions, lost, doubled, crashes]), Size::Joint) => {
            worlds::joint(faults)
                .into_iter()
                .map(|bounds| Bounds {
                    edits: *edits,
                    comments: *comments,
                    deletions: *deletions,
                    lost: *lost,
                    doubled: *doubled,
                    crashes: *crashes,
                    ..bounds
                })
                .collect()
        }
        (Some([edits, comments, deletions, lost, doubled, crashes]), _) => worlds::each(Bounds {
            edits: *edits,
            comments: *comments,
            deletions: *deletions,
            lost: *lost,
            doubled: *doubled,
            crashes: *crashes,
            ..worlds::NOTHING
        }),
        (_, Size::Quick) => worlds::quick(),
        (_, Size::Stated) => worlds::stated(),
        (_, Size::Joint) => worlds::joint(faults),
        (_, Size::Replicas) => return two_replicas(),
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
                    match explore(bounds, order) {
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

/// The create protocol at the sizes of docs/testing.md.
fn two_replicas() -> ExitCode {
    for unique in [true, false] {
        let none = Protocol { unique, lost: 0, crashes: 0, races: 0, beyond: 0 };
        for protocol in [
            Protocol { lost: 2, crashes: 1, ..none },
            Protocol { lost: 1, races: 1, ..none },
            Protocol { lost: 1, crashes: 1, beyond: 1, ..none },
        ] {
            let began = std::time::Instant::now();
            match replicas::explore(protocol) {
                Ok(met) => println!(
                    "{protocol:?}: {} states, {} steps, {} ends, {} with two tickets, {:.1} s",
                    met.explored.states,
                    met.explored.steps,
                    met.explored.ends,
                    met.duplicates,
                    began.elapsed().as_secs_f64()
                ),
                Err(violation) => {
                    eprintln!("{protocol:?}: {violation}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    ExitCode::SUCCESS
}
