//! The servers: `firn serve` and `firn simulator`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use secrecy::SecretString;

use super::show::say;
use crate::access::Gate;
use crate::api::{Shared, router};
use crate::telemetry::Traces;
use crate::{Host, HostConfig, KeySource, StorePlace};

#[derive(Args)]
pub(super) struct Serve {
    /// A TOML file about the process: listen, data, store, workers, public_url, allow_hosts.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Where key and cache are kept, and the store if it is not a database [default: ./firn-data].
    #[arg(long)]
    data: Option<PathBuf>,
    /// A PostgreSQL database instead of a file: postgres://user:password@host/database, or where that is said:
    /// env:NAME, file:PATH or exec:COMMAND.
    #[arg(long, env = "FIRN_STORE", hide_env_values = true)]
    store: Option<String>,
    /// Where to listen [default: 127.0.0.1:8080].
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where ServiceNow and the platform reach this host [default: http://LISTEN].
    #[arg(long)]
    public_url: Option<String>,
    /// A host of your own network that may be connected to. May repeat.
    #[arg(long = "allow-host")]
    allow_hosts: Vec<String>,
    #[command(flatten)]
    egress: super::Egress,
    /// Allow loopback addresses, for trying things out on one machine.
    #[arg(long)]
    allow_loopback: bool,
    /// Allow `exec:` secrets: whoever has the API's token then runs commands as this user.
    #[arg(long)]
    allow_exec_secrets: bool,
    /// Where the master key is, if not in a file beside the store: env:NAME, file:PATH or exec:COMMAND, of 32
    /// bytes as base64 or hexadecimal.
    #[arg(long, env = "FIRN_KEY")]
    key: Option<String>,
    /// How many engine instances work, besides the one that takes what comes in; an integration has one of them at a
    /// time [default: 2].
    #[arg(long)]
    workers: Option<usize>,
    /// Where compiled components are kept [default: cache in the data directory].
    #[arg(long, env = "FIRN_CACHE")]
    cache: Option<PathBuf>,
    /// Write every call of the engine to a file, for `firn replay`. Raw data of records is in it:
    /// keep it as safe as the data itself.
    #[arg(long)]
    record: Option<PathBuf>,
}

/// The file behind `--config`.
#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ServeFile {
    data: Option<PathBuf>,
    store: Option<String>,
    listen: Option<SocketAddr>,
    public_url: Option<String>,
    allow_hosts: Vec<String>,
    allow_loopback: bool,
    allow_exec_secrets: bool,
    proxy: Option<String>,
    ca: Vec<PathBuf>,
    workers: Option<usize>,
    key: Option<String>,
}

#[derive(Args)]
pub(super) struct Simulator {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Makes ids repeat from run to run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A JSON file of faults; also: PUT /simulator/faults.
    #[arg(long)]
    faults: Option<PathBuf>,
    /// A JSON file of quirks, what nobody is sure of about ServiceNow; also: PUT /simulator/quirks.
    #[arg(long)]
    quirks: Option<PathBuf>,
}

/// How the process is to run: the command line over the file over what is taken otherwise.
struct Process {
    data: PathBuf,
    store: StorePlace,
    listen: SocketAddr,
    public_url: String,
    allow_hosts: Vec<String>,
    allow_loopback: bool,
    exec_secrets: bool,
    egress: super::Egress,
    workers: usize,
    cache: PathBuf,
    key: Option<String>,
    record: Option<PathBuf>,
}

impl Process {
    fn of(arguments: Serve) -> Result<Process> {
        let file: ServeFile = match &arguments.config {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                toml::from_str(&text).with_context(|| format!("{} is not sound", path.display()))?
            }
            None => ServeFile::default(),
        };
        let listen = arguments.listen.or(file.listen).unwrap_or(([127, 0, 0, 1], 8080).into());
        let data = arguments.data.or(file.data).unwrap_or_else(|| PathBuf::from("firn-data"));
        let public_url = arguments.public_url.or(file.public_url);
        let process = Process {
            cache: arguments.cache.unwrap_or_else(|| data.join("cache")),
            data,
            store: StorePlace::of(arguments.store.or(file.store).as_deref())?,
            listen,
            public_url: public_url.unwrap_or_else(|| format!("http://{listen}")),
            allow_hosts: [arguments.allow_hosts, file.allow_hosts].concat(),
            allow_loopback: arguments.allow_loopback || file.allow_loopback,
            exec_secrets: arguments.allow_exec_secrets || file.allow_exec_secrets,
            egress: super::Egress {
                proxy: arguments.egress.proxy.or(file.proxy),
                ca: [arguments.egress.ca, file.ca].concat(),
            },
            workers: arguments.workers.or(file.workers).unwrap_or(2),
            key: arguments.key.or(file.key),
            record: arguments.record,
        };
        // It is installed on instances: what is none would be found out much later.
        let sound = url::Url::parse(&process.public_url)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none());
        if !sound {
            anyhow::bail!("--public-url is https://host, not {:?}", process.public_url);
        }
        Ok(process)
    }
}

/// Shows how the process would run, as a file for `--config`; where a secret is, never the secret.
pub(super) fn show(arguments: Serve) -> Result<()> {
    let process = Process::of(arguments)?;
    // A proxy with a password is a secret as a whole.
    let secret = |text: &str| url::Url::parse(text).is_ok_and(|url| url.password().is_some());
    let proxy = process.egress.proxy.clone().filter(|text| !secret(text));
    if proxy.is_none() && process.egress.proxy.is_some() {
        eprintln!("firn: the proxy has a password, and is not shown; set FIRN_PROXY");
    }
    process.egress.read()?;
    KeySource::of(process.key.as_deref())?;
    let store = process.store.shown();
    if store.is_none() && !matches!(process.store, StorePlace::Beside) {
        eprintln!(
            "firn: the store's address may hold a password, and is not shown; set FIRN_STORE"
        );
    }
    let shown = Shown {
        data: &process.data,
        store,
        listen: process.listen,
        public_url: &process.public_url,
        allow_hosts: &process.allow_hosts,
        allow_loopback: process.allow_loopback,
        allow_exec_secrets: process.exec_secrets,
        proxy,
        ca: &process.egress.ca,
        workers: process.workers,
        key: process.key.as_deref(),
    };
    say!("{}", toml::to_string(&shown)?.trim_end());
    Ok(())
}

/// What `firn config show` prints.
#[derive(serde::Serialize)]
struct Shown<'a> {
    data: &'a PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<String>,
    listen: SocketAddr,
    public_url: &'a str,
    allow_hosts: &'a [String],
    allow_loopback: bool,
    allow_exec_secrets: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
    ca: &'a [PathBuf],
    workers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

/// Runs the host until it is told to stop.
pub(super) async fn serve(arguments: Serve, token: Option<String>) -> Result<()> {
    let process = Process::of(arguments)?;
    // What is in memory is in no file, whatever happens.
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    let config = HostConfig {
        program: std::env::current_exe()?,
        cache: process.cache,
        data: process.data.clone(),
        store: process.store.clone(),
        key: KeySource::of(process.key.as_deref())?,
        workers: process.workers,
        record: process.record,
        addresses: firn_remote::Addresses {
            loopback: process.allow_loopback,
            hosts: process.allow_hosts,
        },
        egress: process.egress.read()?,
        public_url: process.public_url,
    };
    let traces = Traces::from_environment()?;
    // Found out before anything is made.
    let taken = crate::serve::take(process.listen)?;
    let (version, data) = (env!("CARGO_PKG_VERSION"), process.data.display());
    tracing::info!("firn {version} starts on {data}; the first start compiles the engine");
    let host = Host::traced(&config, traces.as_ref().map(Traces::tracer))?;
    let own = token.filter(|token| !token.trim().is_empty());
    // A token that Firn made is a client's, of whatever role: in the same shell it is nobody's to become
    // the administrator's by.
    if own.as_ref().is_some_and(|token| token.trim().starts_with("firn_")) {
        eprintln!("firn: FIRN_TOKEN is a token that Firn made; it opens the API as what it is");
    }
    let own = own.filter(|token| !token.trim().starts_with("firn_")).map(SecretString::from);
    if own.is_none() && !host.access().has_everybodys() {
        // Of several that start on an empty database, one makes it.
        let _naming = host.naming().await?;
        let first = host.access().first(crate::host::now(), |token| tell(&process.data, token))?;
        if let Some(token) = first {
            let what = format!("{} ({}), admin", token.name, token.id);
            host.note(&crate::vault::system(), None, "token-created", &what, &token.by);
        }
    }
    let gate = Gate::guarded(own);
    let shared = Shared::new(std::sync::Arc::clone(&host), gate, process.exec_secrets);
    let server = crate::serve::serve(taken, router(shared))?;
    println!("firn listens on http://{}", server.address);
    tracing::info!("listens on http://{}; the console is there", server.address);
    stopped().await;
    tracing::info!("stops");
    // Whoever watches is let go: what never ends would be waited for.
    host.pulse().end();
    server.stop().await;
    tokio::task::spawn_blocking(move || {
        host.stop();
        if let Some(traces) = traces {
            traces.end();
        }
    })
    .await?;
    Ok(())
}

/// Keeps the first token, in a file that only its owner reads, and says where.
fn tell(data: &std::path::Path, token: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = data.join("admin-token");
    // Whole or not at all: an empty file would lock everybody out.
    let unfinished = path.with_extension("tmp");
    let _ = std::fs::remove_file(&unfinished);
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(token.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, &path)?;
    eprintln!(
        "an administrator's token was made, and is in {}; export FIRN_TOKEN=$(cat {})",
        path.display(),
        path.display()
    );
    Ok(())
}

async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = interrupt.await;
        }
    }
}

/// Runs a simulator until it is told to stop.
pub(super) async fn simulate(arguments: Simulator) -> Result<()> {
    fn file<T: serde::de::DeserializeOwned + Default>(
        path: Option<&PathBuf>,
        what: &str,
    ) -> Result<T> {
        let Some(path) = path else { return Ok(T::default()) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} does not hold {what}", path.display()))
    }
    let faults: firn_simulator::Faults = file(arguments.faults.as_ref(), "faults")?;
    let quirks: firn_simulator::Quirks = file(arguments.quirks.as_ref(), "quirks")?;
    let simulator =
        firn_simulator::Simulator::start(arguments.listen, arguments.seed, faults).await?;
    simulator.set_quirks(quirks);
    println!("the ServiceNow simulator listens on {}", simulator.url());
    println!("users admin/admin and integration/integration, OAuth client firn/firn");
    stopped().await;
    Ok(())
}
