//! `cargo outage [--escalations N] [--seconds S] [--replicas N] [--tickets-only] [--json]`: a mass outage on the real
//! binary; with replicas, on a PostgreSQL of its own, and the first of them is killed in the middle. So many
//! escalations come in within so many seconds, at an instance that takes 50 requests a second and 4 at
//! once, refuses one in ten (429, 503) and loses one answer in twenty. Afterwards there is exactly one
//! ticket for each, and the instance was never overrun. How long it took is printed beside how long so many
//! requests must take.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use firn_simulator::{Faults, Meter, Pace, RequestFault, Simulator, Trouble};
use firn_test_postgres::Server;
use firn_tests::process::{Client, Firn, binary, ended, free_port, integration, settle};
use serde_json::json;

/// A mass outage: many escalations at once.
#[derive(Parser)]
struct Arguments {
    /// How many.
    #[arg(long, default_value_t = 10_000)]
    escalations: u32,
    /// Within so many seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// So many processes on one PostgreSQL database, of which the first is killed when half have come in.
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// Ends once every ticket is there, and does not wait for what each gets afterwards.
    #[arg(long)]
    tickets_only: bool,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// What the instance takes (seed 002).
const PACE: Pace = Pace { per_second: 50, at_once: 4 };

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let again = format!(
        "cargo outage --escalations {} --seconds {} --replicas {}",
        arguments.escalations, arguments.seconds, arguments.replicas
    );
    ended("outage", &again, run(&arguments))
}

fn faults() -> Faults {
    let fault = |percent, trouble| RequestFault {
        method: None,
        path: Some("/api/".to_owned()),
        percent,
        times: None,
        after: 0,
        trouble,
    };
    // One in ten refused, one in twenty done without an answer. No `Retry-After`: each would stop
    // everything for a second at least, and the time to compare with would be another.
    Faults {
        requests: vec![
            fault(5, Trouble::Status { code: 429, retry_after: None }),
            fault(5, Trouble::Status { code: 503, retry_after: None }),
            fault(5, Trouble::DropAfterCommit),
        ],
        pace: Some(PACE),
        ..Faults::default()
    }
}

/// The highest resident memory of a process so far, in MiB.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1_024)
}

async fn run(arguments: &Arguments) -> Result<Vec<String>> {
    let Arguments { escalations, seconds, replicas, tickets_only, json } = *arguments;
    if escalations == 0 || seconds == 0 || replicas == 0 {
        bail!("nothing would come in: --escalations, --seconds and --replicas are at least 1");
    }
    let binary = binary()?;
    let directory = tempfile::tempdir()?;
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), 1, Faults::default()).await?;
    let server = match replicas {
        1 => None,
        _ => Some(Server::start()?.map_err(anyhow::Error::msg)?),
    };
    let (mut processes, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..replicas {
        // One key for all of them: it is in the directory.
        let (listen, url) = (free_port()?, server.as_ref().map(|server| server.url("firn")));
        processes.push(Firn::on(&binary, directory.path(), listen, url.as_deref())?);
        let client = Client::new(listen)?;
        client.ready().await?;
        clients.push(client);
    }
    // The last one lives on.
    let client = clients.last().cloned().context("there is none")?;
    let settings = json!({
        "request_timeout": 5000, "correlation": { "transaction_limit": 2000 },
        "provision": { "resource": true },
    });
    let id = integration(&client, &simulator, "genesys", None, settings).await?;
    let known = format!("/integrations/{id}");
    for client in &clients {
        let knows = async || {
            let answer = client.call(reqwest::Method::GET, &known, &json!(null)).await;
            answer.is_some_and(|(status, _)| status == 200)
        };
        while !knows().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    simulator.set_faults(faults());
    let before = simulator.meter();

    let began = Instant::now();
    let apart = Duration::from_secs(seconds.into()) / escalations;
    let mut coming = Vec::new();
    for n in 0..escalations {
        tokio::time::sleep_until((began + apart * n).into()).await;
        if n == escalations / 2 && processes.len() > 1 {
            processes.remove(0).kill()?;
        }
        // As a load balancer does: each in turn, and another one where one does not answer.
        let mut turn = clients.clone();
        turn.rotate_left(n as usize % clients.len());
        let id = id.clone();
        coming.push(tokio::spawn(async move {
            let body = json!({ "callId": format!("call-{n}"), "escalationReason": "outage",
                "queueName": "Support", "transcript": "the line is down since nine" });
            let path = format!("/integrations/{id}/escalations");
            let asked = Instant::now();
            let mut status = None;
            for client in turn {
                let answer = client.call(reqwest::Method::POST, &path, &body).await;
                status = answer.map(|(status, _)| status).or(status);
                if status.is_some_and(|status| status < 500) {
                    break;
                }
            }
            (status, asked.elapsed())
        }));
    }
    let (mut acknowledged, mut times) = (0_u32, Vec::new());
    for one in coming {
        let (status, time) = one.await?;
        acknowledged += u32::from(status.is_some_and(|status| matches!(status, 200..=202)));
        times.push(time);
    }
    times.sort();
    let at = |share: f64| {
        let index = (times.len() as f64 * share) as usize;
        times[index.min(times.len() - 1)].as_secs_f64() * 1_000.0
    };
    let patience = Duration::from_secs(60) + Duration::from_secs(1) * (escalations / 10);
    let there = || simulator.count("incident") >= acknowledged as usize;
    while !there() && began.elapsed() < patience {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let drained = there().then(|| began.elapsed().as_secs_f64());
    let meter = simulator.meter();
    // Each ticket gets its evidence afterwards: a look, the entry, and a look whether it is there.
    let settled = match tickets_only {
        true => Ok(()),
        false => settle(&client, &[&id], patience * 2).await,
    };
    let rest = began.elapsed().as_secs_f64();
    let of_processes = processes.iter().filter_map(|firn| peak_memory(firn.id()));
    let memory = of_processes.max().unwrap_or_default();

    let mut tickets: BTreeMap<String, u32> = BTreeMap::new();
    for row in simulator.rows("incident") {
        *tickets.entry(row.get("correlation_id").cloned().unwrap_or_default()).or_default() += 1;
    }
    let of = |meter: &Meter, what: &str| meter.requests.get(what).copied().unwrap_or_default();
    let sent = |what: &str| of(&meter, what) - of(&before, what);
    // Creates (by the Scripted REST resource) and look-ups, those that were refused among them.
    let (creates, look_ups) = (sent("POST "), sent("GET task"));
    let ideal = (creates + look_ups) as f64 / f64::from(PACE.per_second);
    let report = json!({
        "escalations": escalations, "replicas": replicas, "acknowledged": acknowledged, "tickets": tickets.len(),
        "doubled": tickets.values().filter(|n| **n > 1).count(),
        "ack_p50_ms": at(0.5), "ack_p99_ms": at(0.99), "ack_max_ms": at(1.0),
        "creates": creates, "look_ups": look_ups, "ideal_s": ideal, "drained_s": drained, "ratio": drained.map(|s| s / ideal),
        "at_rest_s": settled.as_ref().ok().filter(|()| !tickets_only).map(|()| rest), "most_in_a_second": meter.most_in_a_second,
        "most_at_once": meter.most_at_once, "too_fast": meter.too_fast, "rss_mib": memory,
    });
    if json {
        println!("{report}");
    } else {
        println!("{report:#}");
        let changed =
            meter.requests.iter().filter(|(what, n)| before.requests.get(*what) != Some(n));
        for (what, n) in changed {
            println!("{n:>7} {what}");
        }
    }
    let mut faults = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            faults.push(what);
        }
    };
    must(acknowledged == escalations, format!("{acknowledged} of {escalations} were acknowledged"));
    let missing = (0..escalations).filter(|n| !tickets.contains_key(&format!("call-{n}"))).count();
    must(drained.is_some(), format!("it is not drained after {} s", patience.as_secs()));
    must(missing == 0, format!("{missing} have no ticket"));
    let doubled = tickets.values().filter(|n| **n > 1).count();
    must(doubled == 0, format!("{doubled} have more than one ticket"));
    must(tickets.len() == escalations as usize, format!("{} tickets are there", tickets.len()));
    must(settled.is_ok(), "it does not come to rest".to_owned());
    must(meter.too_fast == 0, format!("the instance was overrun {} times", meter.too_fast));
    Ok(faults)
}
