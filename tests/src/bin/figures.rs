//! `cargo figures [core|rules|gateways|neighbours|start]`: what docs/performance.md has of the component, of tenants'
//! own rules, of gateways, and of starting. Everything that is compared is from one run, in turns.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod parts {
    pub(crate) mod core;
    pub(crate) mod gateways;
    pub(crate) mod neighbours;
    pub(crate) mod rules;
    pub(crate) mod start;
}

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Parser, ValueEnum};

/// Figures.
#[derive(Parser)]
struct Arguments {
    /// Only these.
    parts: Vec<Part>,
    /// Seconds of each turn of what is under load.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// So many events are in the store that is opened again, of `start`.
    #[arg(long, default_value_t = 0)]
    events: u64,
    /// Fills a store, and dies.
    #[arg(long, hide = true)]
    fill: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Core,
    Rules,
    Gateways,
    Neighbours,
    Start,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("figures: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(given: &Arguments) -> Result<()> {
    if let Some(data) = &given.fill {
        return parts::start::fill(data, given.events);
    }
    let wants = |part| given.parts.is_empty() || given.parts.contains(&part);
    let turn = Duration::from_secs(given.seconds);
    let runtime = tokio::runtime::Runtime::new()?;
    if wants(Part::Core) {
        parts::core::print()?;
    }
    if wants(Part::Rules) {
        parts::rules::print()?;
    }
    if wants(Part::Gateways) {
        runtime.block_on(parts::gateways::print(turn))?;
    }
    if wants(Part::Neighbours) {
        runtime.block_on(parts::neighbours::print(turn))?;
    }
    if wants(Part::Start) {
        runtime.block_on(parts::start::print(given.events))?;
    }
    Ok(())
}

/// The median microseconds of one call each, of several jobs in turns of some milliseconds.
fn in_turns(jobs: &mut [(&str, &mut dyn FnMut())]) -> Vec<f64> {
    const ROUNDS: usize = 60;
    let mut sizes = Vec::new();
    for (_, job) in jobs.iter_mut() {
        let mut calls: u32 = 1;
        loop {
            let began = Instant::now();
            (0..calls).for_each(|_| job());
            if began.elapsed() > Duration::from_millis(3) {
                break;
            }
            calls *= 2;
        }
        sizes.push(calls);
    }
    let mut taken = vec![Vec::new(); jobs.len()];
    for _ in 0..ROUNDS {
        for (i, (_, job)) in jobs.iter_mut().enumerate() {
            let began = Instant::now();
            (0..sizes[i]).for_each(|_| job());
            taken[i].push(began.elapsed().as_secs_f64() * 1e6 / f64::from(sizes[i]));
        }
    }
    taken.iter_mut().map(|taken| percentile(taken, 0.5)).collect()
}

fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let at = ((values.len().saturating_sub(1)) as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}
