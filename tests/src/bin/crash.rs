//! `cargo crash --cycles N`: kills the real binary at random moments, again and again, while
//! escalations, events, comments and agents' edits come in; then looks at the simulator's tickets
//! and the platform's records. Nothing acknowledged may be lost, nothing may be doubled.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use firn::SamplePlatform;
use firn_simulator::{Faults, Record, Simulator};
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
}

const TOKEN: &str = "crash-test-token";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = tokio::runtime::Runtime::new()
        .map_err(Into::into)
        .and_then(|rt| rt.block_on(run(&arguments)));
    match outcome {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            for fault in faults {
                eprintln!("{fault}");
            }
            eprintln!(
                "bring it back with: cargo crash --cycles {} --seed {}",
                arguments.cycles, arguments.seed
            );
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("crash: {why:#}");
            ExitCode::FAILURE
        }
    }
}

/// The binary, freshly built beside this one.
fn binary() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let built = here.with_file_name("firn");
    let status = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .args(["build", "--quiet", "--release", "--package", "firn", "--bin", "firn"])
        .status()?;
    if !status.success() || !built.exists() {
        bail!("{} was not built", built.display());
    }
    Ok(built)
}

struct Firn {
    child: Child,
}

impl Firn {
    fn start(binary: &Path, data: &Path, listen: SocketAddr) -> Result<Firn> {
        let child = Command::new(binary)
            .args(["serve", "--allow-loopback", "--listen", &listen.to_string(), "--data"])
            .arg(data)
            .env("FIRN_TOKEN", TOKEN)
            .env("FIRN_LOG", "error")
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Firn { child })
    }

    /// `kill -9`.
    fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Firn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    async fn ready(&self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            if self.http.get(format!("{}/healthz", self.url)).send().await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("firn does not come up")
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: &Json) -> Option<(u16, Json)> {
        let request =
            self.http.request(method, format!("{}/api/v1{path}", self.url)).bearer_auth(TOKEN);
        let response = request.header("prefer", "wait=0").json(body).send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.json().await.unwrap_or_default()))
    }
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

async fn run(arguments: &Arguments) -> Result<Vec<String>> {
    let binary = binary()?;
    let directory = tempfile::tempdir()?;
    let mut rng = fastrand::Rng::with_seed(arguments.seed);
    let simulator =
        Simulator::start(([127, 0, 0, 1], 0).into(), arguments.seed, Faults::default()).await?;
    let platform = SamplePlatform::default();
    let platform_server = firn::listen(([127, 0, 0, 1], 0).into(), platform.router()).await?;
    let listen = free_port()?;
    let client = Client {
        http: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?,
        url: format!("http://{listen}"),
    };
    let mut firn = Firn::start(&binary, directory.path(), listen)?;
    client.ready().await?;
    let calls = integration(&client, &simulator, "genesys", None).await?;
    let base = format!("http://{}", platform_server.address);
    let incidents = integration(&client, &simulator, "incidents", Some(&base)).await?;
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
        firn = Firn::start(&binary, directory.path(), listen)?;
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
    settle(&client, &[&calls, &incidents]).await?;
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
    settle(&client, &[&calls, &incidents]).await?;
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

fn free_port() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

async fn integration(
    client: &Client,
    simulator: &Simulator,
    preset: &str,
    platform: Option<&str>,
) -> Result<String> {
    let mut body = json!({
        "organization_id": "crash", "name": preset, "preset": preset, "base_url": simulator.url(), "provision": true,
        "credentials": { "username": "integration", "password": "integration", "admin_username": "admin", "admin_password": "admin" },
        "settings": { "request_timeout": 1000, "correlation": { "transaction_limit": 1500 } },
    });
    if let Some(base) = platform {
        body["platform"] = json!({ "callback_url": format!("{base}/callback"), "read_url": format!("{base}/records/{{id}}") });
    }
    let (status, answer) =
        client.call(reqwest::Method::POST, "/integrations", &body).await.context("no answer")?;
    if status != 201 || !answer["provisioned"].is_array() {
        bail!("the integration {preset} was not made: {answer}");
    }
    Ok(answer["id"].as_str().unwrap_or_default().to_owned())
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

async fn settle(client: &Client, integrations: &[&str]) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(180);
    let mut quiet = 0;
    while Instant::now() < end {
        let mut backlog = 0;
        for id in integrations {
            let status = client
                .call(
                    reqwest::Method::GET,
                    &format!("/integrations/{id}/sync-status"),
                    &json!(null),
                )
                .await;
            backlog += status.and_then(|(_, s)| s["backlog"].as_u64()).unwrap_or(1);
        }
        quiet = if backlog == 0 { quiet + 1 } else { 0 };
        if quiet >= 5 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bail!("it does not come to rest")
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
