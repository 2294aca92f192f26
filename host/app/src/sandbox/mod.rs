//! The sandbox: simulator, sample platform and host in one process, and the seeds' stories played
//! on them with expectations that can fail.
#![allow(clippy::print_stdout)]

mod stage;
mod stories;

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use stage::Stage;

/// One expectation and how it went.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// What was expected.
    pub name: String,
    /// Whether it held.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
    /// Milliseconds since the step before.
    pub ms: u64,
}

/// How the stories went.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether every expectation held.
    pub ok: bool,
    /// Every expectation, in order.
    pub steps: Vec<Step>,
}

/// Collects expectations, and prints them as they are met.
pub(crate) struct Teller {
    quiet: bool,
    began: Instant,
    last: Instant,
    pub(crate) steps: Vec<Step>,
}

impl Teller {
    fn new(quiet: bool) -> Teller {
        Teller { quiet, began: Instant::now(), last: Instant::now(), steps: Vec::new() }
    }

    pub(crate) fn chapter(&self, title: &str) {
        if !self.quiet {
            println!("\n{title}");
        }
    }

    pub(crate) fn expect(&mut self, name: &str, ok: bool, detail: impl Into<String>) {
        let detail = detail.into();
        if !self.quiet {
            let sign = if ok { "ok  " } else { "FAIL" };
            println!("  {:7.2} s {sign} {name}: {detail}", self.began.elapsed().as_secs_f64());
        }
        let ms = u64::try_from(self.last.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last = Instant::now();
        self.steps.push(Step { name: name.to_owned(), ok, detail, ms });
    }
}

/// Plays the stories once on a stage of its own and says how they went.
///
/// # Errors
/// When the stage cannot be set.
pub async fn play(data: &std::path::Path) -> Result<Report> {
    let stage = Stage::set(([127, 0, 0, 1], 0).into(), data).await?;
    let mut teller = Teller::new(true);
    stories::tell(&stage, &mut teller).await;
    stage.clear().await;
    Ok(Report { ok: teller.steps.iter().all(|s| s.ok), steps: teller.steps })
}

/// Stays up, with something to do for whoever looks.
async fn stay(stage: &Stage, quiet: bool) {
    let left = stories::leave(stage).await;
    if !quiet {
        let url = stage.url();
        println!("\nThe console: {url}/   (until Ctrl-C; API and console are open on loopback)");
        if left {
            println!("  a conflict waits at      {url}/console/incidents/conflicts");
            println!("  and a dead letter at     {url}/console/incidents/dead-letters");
        }
        println!("  why a value is what it is: open any link at {url}/console/incidents/links");
        println!("The same by command line:");
        println!("  firn --url {url} integration list");
        println!("  firn --url {url} conflict list --integration incidents");
    }
    std::future::pending().await
}

/// The command: plays, prints, and stays up until Ctrl-C unless told otherwise.
pub(crate) async fn run(listen: Option<SocketAddr>, once: bool, json: bool) -> Result<Report> {
    let data = std::env::temp_dir().join(format!("firn-sandbox-{}", std::process::id()));
    let default = SocketAddr::from(([127, 0, 0, 1], if once { 0 } else { 8080 }));
    let stage = Stage::set(listen.unwrap_or(default), &data).await;
    let stage = match stage {
        Ok(stage) => stage,
        Err(why) => {
            let _ = std::fs::remove_dir_all(&data);
            return Err(why);
        }
    };
    let mut teller = Teller::new(json);
    if !json {
        println!("firn sandbox");
        println!("  firn        {}", stage.url());
        println!(
            "  servicenow  {}  (simulator; admin/admin, integration/integration)",
            stage.simulator.url()
        );
        println!("  platform    {}  (sample)", stage.platform_url());
    }
    let interrupted = tokio::select! {
        () = stories::tell(&stage, &mut teller) => false,
        _ = tokio::signal::ctrl_c() => true,
    };
    let report =
        Report { ok: !interrupted && teller.steps.iter().all(|s| s.ok), steps: teller.steps };
    if json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        let held = report.steps.iter().filter(|s| s.ok).count();
        let cut = if interrupted { ", then it was interrupted" } else { "" };
        println!("\n{held} of {} expectations held{cut}", report.steps.len());
    }
    if !once && !interrupted {
        tokio::select! {
            () = stay(&stage, json) => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
    stage.clear().await;
    let _ = std::fs::remove_dir_all(&data);
    Ok(report)
}
