//! Gateways under load: Envoy without the filter, with it on an address that no route names, and with a body
//! that is masked; `wasmtime serve` with the proxy and the middleware.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use firn_tests::golden::{envoy, gateway, serve};
use firn_tests::process::{Running, free_port};
use firn_tests::tools;
use firn_tests::upstream::Upstream;
use serde_json::json;

/// Connections at once.
const CLIENTS: usize = 8;
const TURNS: usize = 3;

pub(crate) async fn print(turn: Duration) -> Result<()> {
    let behind = Upstream::start().await?;
    let text =
        "Caller is best reached on her mobile 415-555-0132 after 3 pm, or at ann.lee@example.com. ";
    let body = json!({ "text": text.repeat(11) }).to_string();
    println!(
        "gateways, {CLIENTS} connections, {} bytes of JSON, {TURNS} turns of {} s each, medians",
        body.len(),
        turn.as_secs()
    );
    println!(
        "                                  requests/s   p50 ms   p99 ms  CPU us/request   RSS MiB"
    );
    if let Ok(program) = tools::ENVOY.fetched() {
        let filter = tools::embed("envoy")?.join("envoy-filter.wasm");
        let scratch = [tempfile::tempdir()?, tempfile::tempdir()?];
        let document = gateway::read()?.document;
        let setup = envoy::Setup {
            envoy: &program,
            filter: &filter,
            document: &document,
            behind: behind.address,
            speaks: envoy::Behind::Http1,
        };
        let with = setup.listens(scratch[0].path()).await?;
        let without = plain(&program, behind.address, scratch[1].path()).await?;
        measured(
            turn,
            &body,
            &[
                ("envoy, no filter", &without, "/assist/chat"),
                ("envoy, filter, no route", &with, "/other"),
                ("envoy, filter, masked both ways", &with, "/assist/chat"),
            ],
        )
        .await?;
    }
    if let Ok(wasmtime) = tools::WASMTIME.fetched() {
        let proxy = tools::embed("gateways")?.join("gateway-proxy.wasm");
        let proxy =
            serve::listens(&wasmtime, &proxy, &serve::environment(Some(behind.address))?).await?;
        let middleware =
            serve::listens(&wasmtime, &serve::composed()?, &serve::environment(None)?).await?;
        measured(
            turn,
            &body,
            &[
                ("serve, proxy, no route", &proxy, "/other"),
                ("serve, proxy, masked", &proxy, "/assist/chat"),
                ("serve, middleware, no route", &middleware, "/other"),
                ("serve, middleware, masked", &middleware, "/assist/chat"),
            ],
        )
        .await?;
    }
    Ok(())
}

/// Envoy with the example's configuration, but the filter.
async fn plain(
    program: &std::path::Path,
    behind: SocketAddr,
    scratch: &std::path::Path,
) -> Result<(Running, SocketAddr)> {
    let listen = free_port()?;
    let example = std::fs::read_to_string(gateway::examples().join("envoy/envoy.yaml"))?;
    let from =
        example.find("          - name: firn\n            typed_config").context("no filter")?;
    let to = example.find("          - name: envoy.filters.http.router").context("no router")?;
    let text = format!("{}{}", &example[..from], &example[to..])
        .replace(
            "address: 127.0.0.1, port_value: 8000",
            &format!("address: 127.0.0.1, port_value: {}", listen.port()),
        )
        .replace("port_value: 8080", &format!("port_value: {}", behind.port()));
    let file = scratch.join("envoy.yaml");
    std::fs::write(&file, text)?;
    let mut command = std::process::Command::new(program);
    command.arg("--config-path").arg(&file);
    command.args(["--concurrency", "1", "--log-level", "warning", "--use-dynamic-base-id"]);
    let mut running = Running::start(&mut command)?;
    running.listens(listen).await?;
    Ok((running, listen))
}

type Host<'a> = (&'a str, &'a (Running, SocketAddr), &'a str);

async fn measured(turn: Duration, body: &str, hosts: &[Host<'_>]) -> Result<()> {
    let mut seen = vec![[Vec::new(), Vec::new(), Vec::new(), Vec::new()]; hosts.len()];
    for _ in 0..TURNS {
        for (i, (_, (running, listen), path)) in hosts.iter().enumerate() {
            let before = cpu(running.id())?;
            let mut took = load(*listen, path, body, turn).await?;
            let after = cpu(running.id())?;
            #[expect(clippy::cast_precision_loss)]
            let requests = took.len() as f64;
            let p50 = super::super::percentile(&mut took, 0.5);
            let p99 = super::super::percentile(&mut took, 0.99);
            let figures =
                [requests / turn.as_secs_f64(), p50, p99, (after - before) * 1e6 / requests];
            for (all, figure) in seen[i].iter_mut().zip(figures) {
                all.push(figure);
            }
        }
    }
    for ((name, (running, _), _), seen) in hosts.iter().zip(&mut seen) {
        let [rate, p50, p99, cpu] = seen.each_mut().map(|all| super::super::percentile(all, 0.5));
        let (resident, _) = super::rules::resident(&running.id().to_string())?;
        println!(
            "{name:<32} {rate:>11.0} {p50:>8.2} {p99:>8.2} {cpu:>15.0} {:>9}",
            resident / 1024
        );
    }
    Ok(())
}

/// Sends for a while; gives what each request took, in milliseconds.
async fn load(to: SocketAddr, path: &str, body: &str, turn: Duration) -> Result<Vec<f64>> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, over) = (client.clone(), Arc::clone(&over));
        let (url, body) = (format!("http://{to}{path}"), body.to_owned());
        clients.spawn(async move {
            let mut took = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                let request =
                    client.post(&url).header("content-type", "application/json").body(body.clone());
                let response = request.send().await?;
                anyhow::ensure!(response.status() == 200, "{}", response.status());
                response.bytes().await?;
                took.push(began.elapsed().as_secs_f64() * 1e3);
            }
            anyhow::Ok(took)
        });
    }
    tokio::time::sleep(turn).await;
    over.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    while let Some(took) = clients.join_next().await {
        all.extend(took??);
    }
    Ok(all)
}

/// Seconds of processor time that a process has taken.
fn cpu(process: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // After the name in brackets, which may hold anything; the 14th and 15th fields of proc(5).
    let rest = stat.rsplit(')').next().context("no such process")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: f64 = fields.get(11).context("no field")?.parse::<f64>()?
        + fields.get(12).context("no field")?.parse::<f64>()?;
    Ok(ticks / 100.0)
}
