//! What tenants notice of a neighbour whose rules are hostile: one tenant's escalations, each waited for until its
//! ticket is there, beside nobody, beside a neighbour without rules, and beside one whose rules loop for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use firn_simulator::{Faults, Simulator};
use firn_tests::process::{self, Client, Firn, TOKEN};
use serde_json::{Value as Json, json};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Escalations of the neighbour that are on their way at once.
const AT_ONCE: usize = 4;
/// Between two of each of them: some 20 a second together.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) async fn print(turn: Duration) -> Result<()> {
    // Each has an instance of its own: what one instance can take is not what this is about.
    let mut instances = Vec::new();
    for seed in 0..3 {
        instances
            .push(Simulator::start(([127, 0, 0, 1], 0).into(), seed, Faults::default()).await?);
    }
    let scratch = tempfile::tempdir()?;
    let listen = process::free_port()?;
    let _firn = Firn::start(&process::binary()?, scratch.path(), listen)?;
    let client = Client::new(listen)?;
    client.ready().await?;
    let well = tenant(&client, &instances[0], "well").await?;
    let plain = tenant(&client, &instances[1], "plain").await?;
    let hostile = tenant(&client, &instances[2], "hostile").await?;
    upload(&client, &hostile, endless()?).await?;
    let numbers = Arc::new(AtomicUsize::new(0));
    let mut seen: [Vec<[f64; 2]>; 3] = Default::default();
    for _ in 0..5 {
        for (i, neighbour) in [None, Some(&plain), Some(&hostile)].into_iter().enumerate() {
            seen[i].push(beside(&client, &well, neighbour, &numbers, turn).await?);
        }
    }
    println!(
        "a tenant's escalation until its ticket is there, 5 turns of {} s each, medians   p50 ms   p99 ms",
        turn.as_secs()
    );
    let names =
        ["alone", "beside a tenant without rules", "beside a tenant whose rules loop for ever"];
    for (name, turns) in names.iter().zip(&seen) {
        let [p50, p99] = [0, 1].map(|k| {
            let mut all: Vec<f64> = turns.iter().map(|figures| figures[k]).collect();
            super::super::percentile(&mut all, 0.5)
        });
        println!("{name:<70} {p50:>12.2} {p99:>8.2}");
    }
    let (_, rules) = client
        .call(reqwest::Method::GET, &format!("/integrations/{hostile}/rules"), &json!(null))
        .await
        .context("no answer")?;
    println!("of the hostile rules Firn says: {rules}");
    Ok(())
}

async fn tenant(client: &Client, simulator: &Simulator, name: &str) -> Result<String> {
    let body = json!({
        "organization_id": name, "name": name, "preset": "genesys", "base_url": simulator.url(), "provision": true,
        "credentials": { "username": "integration", "password": "integration", "admin_username": "admin", "admin_password": "admin" },
    });
    let (status, answer) =
        client.call(reqwest::Method::POST, "/integrations", &body).await.context("no answer")?;
    ensure!(status == 201, "{answer}");
    Ok(answer["id"].as_str().unwrap_or_default().to_owned())
}

async fn upload(client: &Client, integration: &str, wasm: Vec<u8>) -> Result<()> {
    let url = format!("{}/api/v1/integrations/{integration}/rules", client.url);
    let request =
        client.http.post(url).bearer_auth(TOKEN).header("content-type", "application/wasm");
    let response = request.body(wasm).send().await?;
    let status = response.status();
    let answer: Json = response.json().await.unwrap_or_default();
    ensure!(status == 201, "{status}: {answer}");
    let version = &answer["version"];
    let path = format!("/integrations/{integration}/rules/{version}/activate");
    let activated = client.call(reqwest::Method::POST, &path, &json!({})).await;
    ensure!(activated.as_ref().is_some_and(|(status, _)| *status == 200), "{activated:?}");
    Ok(())
}

/// Rules whose `admit` never comes back.
fn endless() -> Result<Vec<u8>> {
    let module = r#"(module
      (memory (export "memory") 2)
      (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 8192)
      (func (export "firn:rules/admit@0.1.0#decide") (param i32) (result i32) (loop br 0) unreachable))"#;
    let mut module = wat::parse_str(module)?;
    let mut resolve = Resolve::default();
    resolve.push_str("rules.wit", include_str!("../../../../wit/rules/rules.wit"))?;
    let world = "package my:rules; world rules { export firn:rules/admit@0.1.0; }";
    let package = resolve.push_str("world.wit", world)?;
    let world = resolve.select_world(&[package], Some("rules"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(&module)?.encode()
}

fn call(number: usize) -> Json {
    json!({ "callId": format!("{number:08}-0000-4000-8000-000000000000"), "startTime": "2023-10-27T14:30:00.000Z",
        "endTime": "2023-10-27T14:35:00.000Z", "direction": "inbound", "queueName": "IT_Support_Hotline",
        "agentUserId": "admin_user_01", "escalationReason": "IVR_TIMEOUT_EXCEEDED", "customerPhone": "+15550199888" })
}

/// One tenant's escalations, one after the other, while the neighbour keeps some on their way. Gives p50 and p99 in
/// milliseconds.
async fn beside(
    client: &Client,
    well: &str,
    neighbour: Option<&String>,
    numbers: &Arc<AtomicUsize>,
    turn: Duration,
) -> Result<[f64; 2]> {
    let over = Arc::new(AtomicBool::new(false));
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let Some(neighbour) = neighbour.cloned() else { break };
        let (client, over, numbers) = (client.clone(), Arc::clone(&over), Arc::clone(numbers));
        others.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let body = call(numbers.fetch_add(1, Ordering::Relaxed));
                let path = format!("/integrations/{neighbour}/escalations");
                let _ = client.call(reqwest::Method::POST, &path, &body).await;
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    let mut took = Vec::new();
    let end = Instant::now() + turn;
    while Instant::now() < end {
        let body = call(numbers.fetch_add(1, Ordering::Relaxed));
        let url = format!("{}/api/v1/integrations/{well}/escalations", client.url);
        let began = Instant::now();
        let request =
            client.http.post(url).bearer_auth(TOKEN).header("prefer", "wait=10").json(&body);
        let response = request.send().await?;
        ensure!(response.status() == 201, "{}", response.status());
        took.push(began.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    over.store(true, Ordering::Relaxed);
    while others.join_next().await.is_some() {}
    Ok([super::super::percentile(&mut took, 0.5), super::super::percentile(&mut took, 0.99)])
}
