//! `cargo load [--clients N] [--seconds S] [--records N] [--store sqlite|postgres] [--replicas N] [--json]`: signed webhooks of
//! ServiceNow at the real binary, each of 1.1 kB with personal data in it, from so many connections: verified, deduplicated, masked, mapped,
//! planned in the component, committed with fsync, and posted to a platform. Beside it, in the same run, what a bare axum
//! server does that reads each body as JSON and answers 202.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use clap::{Parser, ValueEnum};
use firn::SamplePlatform;
use firn_signature::Key;
use firn_simulator::{Faults, Simulator};
use firn_test_postgres::Server;
use firn_tests::process::{
    Client, Firn, Running, TOKEN, binary, ended, free_port, integration, listening, settle,
};
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

/// What the webhooks are signed with.
const SECRET: &str = "whsec_c2FtcGxlX2tleQ==";

/// Webhooks from many connections, next to the least that a server can do.
#[derive(Parser)]
struct Arguments {
    /// Connections.
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// So long each.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Webhooks are about so many tickets, in turns.
    #[arg(long, default_value_t = 256)]
    records: usize,
    /// Where Firn keeps what it knows.
    #[arg(long, value_enum, default_value_t = Store::Sqlite)]
    store: Store,
    /// So many processes on one PostgreSQL database; webhooks go to each in turn.
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
    /// The bare server itself.
    #[arg(long, hide = true)]
    bare: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Store {
    Sqlite,
    Postgres,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let again =
        format!("cargo load --clients {} --seconds {}", arguments.clients, arguments.seconds);
    match arguments.bare {
        Some(at) => ended("load", "", bare(at)),
        None => ended("load", &again, run(&arguments)),
    }
}

/// The least that a server can do.
async fn bare(at: SocketAddr) -> Result<Vec<String>> {
    let taken = async |body: axum::body::Bytes| match serde_json::from_slice::<Json>(&body) {
        Ok(_) => axum::http::StatusCode::ACCEPTED,
        Err(_) => axum::http::StatusCode::BAD_REQUEST,
    };
    let listener = tokio::net::TcpListener::bind(at).await?;
    axum::serve(listener, Router::new().fallback(taken)).await?;
    Ok(Vec::new())
}

/// The sample platform, whose posts are counted.
struct Sink {
    platform: SamplePlatform,
    address: SocketAddr,
    taken: Arc<AtomicU64>,
}

impl Sink {
    async fn start() -> Result<Sink> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, taken) = (listener.local_addr()?, Arc::new(AtomicU64::new(0)));
        let (platform, count) = (SamplePlatform::default(), Arc::clone(&taken));
        let counted = axum::middleware::map_request(move |request: axum::extract::Request| {
            count.fetch_add(
                u64::from(request.method() == axum::http::Method::POST),
                Ordering::Relaxed,
            );
            async move { request }
        });
        let router = platform.router().layer(counted);
        tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Sink { platform, address, taken })
    }

    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

/// A ticket that webhooks are about.
struct Ticket {
    sys_id: String,
    number: String,
    record: String,
    /// How often it was changed.
    count: AtomicU64,
}

impl Ticket {
    /// An agent changes it; the webhook that tells of it. Whoever reads the ticket sees what the webhook says.
    fn changed(&self, simulator: &Simulator) -> String {
        let n = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let [minute, second] = [n / 60 % 60, n % 60];
        let (day, hour) = (n / 86_400 % 28 + 1, n / 3_600 % 24);
        let updated = format!("2031-01-{day:02} {hour:02}:{minute:02}:{second:02}");
        let title = format!("the shop is down, change {n}");
        let text = format!(
            "Change {n}: the caller says that the shop is down since nine and asks to be called back at +1 415 555 0132, the order \
             was paid with 4111 1111 1111 1111. Restarted the service, cleared the cache, looked at the logs of the last hour; \
             nothing there but a timeout to the payment provider, who was told. Waiting for their answer before we go on with the \
             second node, which is still in the old state and takes no traffic."
        );
        let (n, urgency) = (n.to_string(), (1 + n % 3).to_string());
        for (column, value) in [
            ("sys_mod_count", &n),
            ("sys_updated_on", &updated),
            ("short_description", &title),
            ("description", &text),
            ("urgency", &urgency),
        ] {
            simulator.set("incident", &self.sys_id, column, value);
        }
        json!({
            "sys_id": self.sys_id, "number": self.number, "table": "incident", "action": "update", "sys_mod_count": n,
            "current": {
                "sys_updated_on": updated, "sys_updated_by": "ann.lee", "short_description": title, "description": text,
                "state": "2", "impact": "2", "urgency": urgency, "priority": "3", "category": "software",
                "assigned_to": "", "assigned_to.email": "", "correlation_id": self.record, "active": "true", "made_sla": "true",
            },
        })
        .to_string()
    }
}

/// What came of a while.
struct Figures {
    accepted: u64,
    seconds: f64,
    /// What each request took, in milliseconds, in order.
    took: Vec<f64>,
}

impl Figures {
    fn at(&self, share: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let at = (self.took.len().saturating_sub(1) as f64 * share).round() as usize;
        self.took.get(at).copied().unwrap_or(f64::NAN)
    }

    #[expect(clippy::cast_precision_loss)]
    fn rate(&self) -> f64 {
        self.accepted as f64 / self.seconds
    }
}

/// Sends for a while, each client one after the other.
async fn load(
    urls: &[String],
    (simulator, tickets): (&Arc<Simulator>, &Arc<Vec<Ticket>>),
    clients: usize,
    time: Duration,
) -> Result<Figures> {
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
    let key = Key::of(SECRET).context("no key")?;
    let run = fastrand::u64(..);
    let mut all = JoinSet::new();
    let began = Instant::now();
    for client in 0..clients {
        let (http, url, key, tickets) =
            (http.clone(), urls[client % urls.len()].clone(), key.clone(), Arc::clone(tickets));
        let simulator = Arc::clone(simulator);
        all.spawn(async move {
            let mut took = Vec::new();
            let mut turn = client;
            while began.elapsed() < time {
                // Each client has tickets of its own: two webhooks about one are in order.
                let body =
                    tickets.get(turn % tickets.len()).context("no ticket")?.changed(&simulator);
                turn += clients;
                let (id, at) = (format!("msg_{run}_{turn}"), seconds_now());
                let signature = key.sign(&format!("{id}.{at}.{body}"));
                let request = http
                    .post(&url)
                    .header("content-type", "application/json")
                    .header("webhook-id", id)
                    .header("webhook-timestamp", at.to_string())
                    .header("webhook-signature", format!("v1,{signature}"))
                    .body(body);
                let asked = Instant::now();
                let response = request.send().await?;
                let status = response.status().as_u16();
                let text = response.text().await?;
                ensure!(matches!(status, 200 | 202), "{status}: {text}");
                took.push(asked.elapsed().as_secs_f64() * 1e3);
            }
            anyhow::Ok(took)
        });
    }
    let mut took = Vec::new();
    while let Some(one) = all.join_next().await {
        took.extend(one??);
    }
    let seconds = began.elapsed().as_secs_f64();
    took.sort_by(f64::total_cmp);
    Ok(Figures { accepted: took.len() as u64, seconds, took })
}

/// Seconds since 1970.
fn seconds_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Seconds of processor time that a process has taken.
fn cpu(process: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // After the name in brackets, which may hold anything; the 14th and 15th fields of proc(5).
    let rest = stat.rsplit(')').next().context("no such process")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |n: usize| anyhow::Ok(fields.get(n).context("no field")?.parse::<f64>()?);
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

/// Resident memory of a process, in MiB.
fn resident(process: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no such process")?;
    Ok((line.split_whitespace().nth(1).context("no figure")?.parse::<f64>()? / 1_024.0).round())
}

/// Tickets in step with records of the platform.
async fn tickets(
    client: &Client,
    simulator: &Simulator,
    platform: &SamplePlatform,
    id: &str,
    records: usize,
) -> Result<Vec<Ticket>> {
    platform.connect_with(
        format!("{}/api/v1/integrations/{id}/events", client.url),
        Some(TOKEN.to_owned()),
    );
    for n in 0..records {
        let fields = json!({ "title": format!("record {n}"), "description": "d", "severity": "low", "status": "open",
            "assigned_to": null });
        platform.edit("incident", &format!("R-{n}"), fields);
    }
    let patience = Instant::now() + Duration::from_secs(120);
    while simulator.count("incident") < records && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    settle(client, &[id], Duration::from_secs(120)).await?;
    let rows = simulator.rows("incident").into_iter().filter_map(|row| {
        Some(Ticket {
            sys_id: row.get("sys_id")?.clone(),
            number: row.get("number")?.clone(),
            record: row.get("correlation_id").filter(|key| key.starts_with("R-"))?.clone(),
            count: AtomicU64::new(row.get("sys_mod_count")?.parse().ok()?),
        })
    });
    let tickets: Vec<Ticket> = rows.collect();
    if tickets.len() != records {
        bail!("{} of {records} tickets were made", tickets.len());
    }
    Ok(tickets)
}

async fn run(arguments: &Arguments) -> Result<Vec<String>> {
    let Arguments { clients, seconds, records, store, replicas, json, .. } = *arguments;
    if [clients, replicas, records].contains(&0) || seconds == 0 || records % clients != 0 {
        bail!("all are at least 1, and --records so many for each of --clients");
    }
    let store = if replicas > 1 { Store::Postgres } else { store };
    let time = Duration::from_secs(seconds);
    let server = match store {
        Store::Postgres => Some(Server::start()?.map_err(anyhow::Error::msg)?),
        Store::Sqlite => None,
    };
    let database = server.as_ref().map(|server| server.url("firn"));
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), 1, Faults::default()).await?;
    let simulator = Arc::new(simulator);
    let sink = Sink::start().await?;
    let directory = tempfile::tempdir()?;
    let (mut processes, mut clients_of) = (Vec::new(), Vec::new());
    for _ in 0..replicas {
        let listen = free_port()?;
        processes.push(Firn::on(&binary()?, directory.path(), listen, database.as_deref())?);
        let client = Client::new(listen)?;
        client.ready().await?;
        clients_of.push(client);
    }
    let client = clients_of[0].clone();
    let all = |of: fn(u32) -> Result<f64>| -> Result<f64> {
        processes.iter().map(|firn| of(firn.id())).sum()
    };
    let idle = all(resident)?;
    let base = format!("http://{}", sink.address);
    // What agents write is the platform's to have.
    let external = json!({ "owner": "external" });
    let settings = json!({ "polling": { "mode": "off" },
        "fields": { "title": external, "description": external, "severity": external } });
    let id = integration(&client, &simulator, "incidents", Some(&base), settings).await?;
    let secret = json!({ "webhook_secret": SECRET });
    let set = client.call(reqwest::Method::PATCH, &format!("/integrations/{id}"), &secret).await;
    ensure!(set.as_ref().is_some_and(|(status, _)| *status < 300), "{set:?}");
    let tickets = Arc::new(tickets(&client, &simulator, &sink.platform, &id, records).await?);
    let size = tickets[0].changed(&simulator).len();

    let me = std::env::current_exe()?;
    let (bare, at): (Running, SocketAddr) = listening(|at| {
        let mut command = Command::new(&me);
        command.args(["--bare", &at.to_string()]);
        Ok(command)
    })
    .await?;
    let before = cpu(bare.id())?;
    let ceiling =
        load(&[format!("http://{at}/hooks")], (&simulator, &tickets), clients, time).await?;
    let bare_cpu = (cpu(bare.id())? - before) * 1e6 / ceiling.accepted as f64;
    drop(bare);

    let hooks: Vec<String> =
        clients_of.iter().map(|client| format!("{}/api/v1/webhooks/{id}", client.url)).collect();
    // The first ones make it warm.
    load(&hooks, (&simulator, &tickets), clients, Duration::from_secs(1)).await?;
    settle(&client, &[&id], Duration::from_secs(300)).await?;
    let asked = || simulator.meter().requests.values().sum::<u64>();
    let (sent, asked_before, before) = (sink.taken(), asked(), all(cpu)?);
    let began = Instant::now();
    let many = load(&hooks, (&simulator, &tickets), clients, time).await?;
    settle(&client, &[&id], Duration::from_secs(600)).await?;
    // Firn is at rest for five looks, 200 ms apart.
    let drained = began.elapsed().as_secs_f64() - 1.0;
    let firn_cpu = (all(cpu)? - before) * 1e6 / many.accepted as f64;
    let posted = sink.taken() - sent;
    let asked = asked() - asked_before;
    let lone = load(&hooks, (&simulator, &tickets), 1, Duration::from_secs(3)).await?;
    settle(&client, &[&id], Duration::from_secs(300)).await?;
    let memory = all(resident)?;
    let rate = many.accepted as f64 / drained;
    if json {
        println!(
            "{}",
            json!({ "clients": clients, "bytes": size, "store": format!("{store:?}"), "replicas": replicas,
                "bare": { "rate": ceiling.rate(), "p50": ceiling.at(0.5), "p99": ceiling.at(0.99), "cpu": bare_cpu },
                "firn": { "accepted": many.rate(), "to_the_end": rate, "p50": many.at(0.5), "p99": many.at(0.99),
                    "cpu": firn_cpu, "posted": posted, "asked": asked, "idle": idle, "memory": memory },
                "lone": { "p50": lone.at(0.5), "p99": lone.at(0.99) } })
        );
        return Ok(Vec::new());
    }
    println!(
        "{clients} connections, webhooks of {size} bytes about {records} tickets, {seconds} s each, {store:?}, {replicas} process(es)"
    );
    println!(
        "bare axum: {:.0} requests/s, p50 {:.2} ms, p99 {:.2} ms, {bare_cpu:.0} us CPU",
        ceiling.rate(),
        ceiling.at(0.5),
        ceiling.at(0.99)
    );
    println!(
        "firn: {:.0} webhooks/s taken durably, p50 {:.2} ms, p99 {:.2} ms; {rate:.0}/s to the end, {firn_cpu:.0} us CPU an event",
        many.rate(),
        many.at(0.5),
        many.at(0.99)
    );
    println!(
        "      {:.3} of the ceiling taken, {:.3} to the end; {posted} posts to the platform and {asked} requests to the instance for {} events",
        many.rate() / ceiling.rate(),
        rate / ceiling.rate(),
        many.accepted
    );
    println!(
        "      a lone client: p50 {:.2} ms, p99 {:.2} ms; memory {idle} MiB idle, {memory} MiB afterwards",
        lone.at(0.5),
        lone.at(0.99)
    );
    Ok(Vec::new())
}
