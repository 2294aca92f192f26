//! `cargo crash --cycles N`: kills the real binary at random moments, again and again, while
//! escalations, events, comments and agents' edits come in; then looks at the simulator's tickets
//! and the platform's records. Nothing acknowledged may be lost, nothing may be doubled.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use firn::SamplePlatform;
use firn_simulator::{Faults, Record, Simulator};
use firn_test_postgres::Server;
use firn_tests::process::{Client, Firn, TOKEN, binary, ended, free_port, integration, settle};
use serde_json::{Value as Json, json};

/// Kills the real binary in a loop and checks both sides afterwards.
#[derive(Parser)]
struct Arguments {
    /// How many times it is killed.
    #[arg(long, default_value_t = 50)]
    cycles: u32,
    /// Makes the moments repeat.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// An empty PostgreSQL database instead of a file; `postgres`: one that is made for it.
    #[arg(long)]
    store: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let store = arguments.store.as_ref().map(|store| format!(" --store {store}"));
    let again = format!(
        "cargo crash --cycles {} --seed {}{}",
        arguments.cycles,
        arguments.seed,
        store.unwrap_or_default()
    );
    ended("crash", &again, run(&arguments))
}

/// What was acknowledged, and so must be there in the end.
#[derive(Default)]
struct Promised {
    calls: Vec<String>,
    /// Comments of agents by ticket key: those the simulator took.
    agent_comments: Vec<(String, String)>,
    /// Comments of the platform's users by record.
    user_comments: Vec<(String, String)>,
}

/// How long it may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(180);

fn settings() -> Json {
    json!({ "request_timeout": 1000, "correlation": { "transaction_limit": 1500 } })
}

async fn run(arguments: &Arguments) -> Result<Vec<String>> {
    let binary = binary()?;
    let server = match arguments.store.as_deref() {
        Some("postgres") => Some(Server::start()?.map_err(anyhow::Error::msg)?),
        _ => None,
    };
    let made = server.as_ref().map(|server| server.url("firn"));
    let store = made.as_deref().or(arguments.store.as_deref());
    let directory = tempfile::tempdir()?;
    let mut rng = fastrand::Rng::with_seed(arguments.seed);
    let simulator =
        Simulator::start(([127, 0, 0, 1], 0).into(), arguments.seed, Faults::default()).await?;
    let platform = SamplePlatform::default();
    let platform_server = firn::listen(([127, 0, 0, 1], 0).into(), platform.router()).await?;
    let listen = free_port()?;
    let client = Client::new(listen)?;
    let mut firn = Firn::on(&binary, directory.path(), listen, store)?;
    client.ready().await?;
    let calls = integration(&client, &simulator, "genesys", None, settings()).await?;
    let base = format!("http://{}", platform_server.address);
    let incidents = integration(&client, &simulator, "incidents", Some(&base), settings()).await?;
    platform.connect_with(
        format!("{}/api/v1/integrations/{incidents}/events", client.url),
        Some(TOKEN.to_owned()),
    );

    let began = Instant::now();
    let mut promised = Promised::default();
    for cycle in 0..arguments.cycles {
        // The moment of death falls anywhere: while requests come in, or long after.
        let life = tokio::time::sleep(Duration::from_millis(rng.u64(5..500)));
        tokio::pin!(life);
        tokio::select! {
            () = life.as_mut() => {}
            () = workload(&client, &simulator, &platform, &calls, cycle, &mut promised) => life.await,
        }
        firn.kill()?;
        firn = Firn::on(&binary, directory.path(), listen, store)?;
        client.ready().await?;
        if cycle % 20 == 19 {
            println!("{} kills, {:.0} s", cycle + 1, began.elapsed().as_secs_f64());
        }
    }
    println!(
        "{} kills in {:.0} s; waiting until nothing is left to do",
        arguments.cycles,
        began.elapsed().as_secs_f64()
    );
    settle(&client, &[&calls, &incidents], PATIENCE).await?;
    // What webhooks missed while the process was dead, reconcile finds.
    for id in [&calls, &incidents] {
        let started = client
            .call(
                reqwest::Method::POST,
                &format!("/integrations/{id}/reconcile"),
                &json!({ "mode": "auto-heal" }),
            )
            .await;
        let (_, run) = started.context("reconcile")?;
        for _ in 0..600 {
            let path =
                format!("/integrations/{id}/reconcile/{}", run["id"].as_str().unwrap_or_default());
            let state = client.call(reqwest::Method::GET, &path, &json!(null)).await;
            if state.is_some_and(|(_, run)| run["state"] == "finished") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    settle(&client, &[&calls, &incidents], PATIENCE).await?;
    let faults = check(&simulator, &platform, &promised);
    println!(
        "{} calls, {} comments of agents and {} of users were promised; {} tickets are there; {} faults",
        promised.calls.len(),
        promised.agent_comments.len(),
        promised.user_comments.len(),
        simulator.rows("incident").len(),
        faults.len(),
    );
    firn.kill()?;
    Ok(faults)
}

/// As much as fits into a life: calls, platform edits and comments, agents' comments.
async fn workload(
    client: &Client,
    simulator: &Simulator,
    platform: &SamplePlatform,
    calls: &str,
    cycle: u32,
    promised: &mut Promised,
) {
    let record = format!("inc-{}", cycle % 7);
    let words = format!("user words {cycle}");
    if cycle < 7 {
        let fields = json!({ "title": format!("title {cycle}"), "description": "d", "severity": "low", "status": "open", "assigned_to": null });
        platform.edit("incident", &record, fields);
    } else {
        platform.edit("incident", &record, json!({ "title": format!("title {cycle}") }));
        platform.say("incident", &record, "user", &words, "public");
        promised.user_comments.push((record.clone(), words));
    }
    for n in 0..4 {
        let key = format!("call-{cycle}-{n}");
        let body = json!({ "callId": key, "escalationReason": "X", "queueName": "Q" });
        let path = format!("/integrations/{calls}/escalations");
        if let Some((status, _)) = client.call(reqwest::Method::POST, &path, &body).await
            && matches!(status, 200..=202)
        {
            promised.calls.push(key);
        }
        if n == 1
            && let Some(ticket) = ticket(simulator, &record)
        {
            let words = format!("agent words {cycle}");
            let url = format!("{}/api/now/table/incident/{ticket}", simulator.url());
            let said = client
                .http
                .patch(url)
                .basic_auth("ann.lee", Some("ann.lee"))
                .json(&json!({ "comments": words }))
                .send()
                .await;
            if said.is_ok_and(|r| r.status().is_success()) {
                promised.agent_comments.push((record.clone(), words));
            }
        }
    }
}

fn text(record: &Record, name: &str) -> String {
    record.get(name).cloned().unwrap_or_default()
}

fn ticket(simulator: &Simulator, key: &str) -> Option<String> {
    simulator
        .rows("incident")
        .iter()
        .find(|r| text(r, "correlation_id") == key)
        .map(|r| text(r, "sys_id"))
}

fn check(simulator: &Simulator, platform: &SamplePlatform, promised: &Promised) -> Vec<String> {
    let mut faults = Vec::new();
    let tickets = simulator.rows("incident");
    let mut count: BTreeMap<String, u32> = BTreeMap::new();
    for ticket in &tickets {
        *count.entry(text(ticket, "correlation_id")).or_default() += 1;
    }
    for (key, n) in count.iter().filter(|(_, n)| **n > 1) {
        faults.push(format!("{n} tickets for {key}"));
    }
    for key in promised.calls.iter().filter(|key| !count.contains_key(*key)) {
        faults.push(format!("{key} was acknowledged and has no ticket"));
    }
    let journal = simulator.rows("sys_journal_field");
    let ids: BTreeMap<String, String> =
        tickets.iter().map(|t| (text(t, "correlation_id"), text(t, "sys_id"))).collect();
    let id = |key: &str| ids.get(key).cloned().unwrap_or_default();
    for (record, words) in &promised.user_comments {
        let ticket = id(record);
        let n = journal
            .iter()
            .filter(|r| text(r, "element_id") == ticket && text(r, "value") == *words)
            .count();
        if n != 1 {
            faults.push(format!("the comment {words:?} of {record} is {n} times in ServiceNow"));
        }
    }
    for (record, words) in &promised.agent_comments {
        let seen = platform.record(record).map(|r| r.comments).unwrap_or_default();
        let n = seen.iter().filter(|c| c.text == *words).count();
        if n != 1 {
            faults.push(format!("the comment {words:?} of {record} is {n} times on the platform"));
        }
    }
    for n in 0..7 {
        let record = format!("inc-{n}");
        let Some(there) = platform.record(&record) else { continue };
        let title = tickets
            .iter()
            .find(|t| text(t, "correlation_id") == record)
            .map(|t| text(t, "short_description"));
        if title.as_deref() != there.fields.get("title").and_then(Json::as_str) {
            faults.push(format!(
                "{record} is {:?} on the platform and {title:?} in ServiceNow",
                there.fields.get("title")
            ));
        }
    }
    let unnoted =
        tickets.iter().filter(|t| text(t, "correlation_id").starts_with("call-")).filter(|t| {
            journal
                .iter()
                .filter(|r| {
                    text(r, "element_id") == text(t, "sys_id") && text(r, "element") == "work_notes"
                })
                .count()
                != 1
        });
    faults.extend(
        unnoted.map(|t| {
            format!("{} does not have its evidence exactly once", text(t, "correlation_id"))
        }),
    );
    faults
}
