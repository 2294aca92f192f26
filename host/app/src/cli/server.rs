//! The servers: `firn serve` and `firn simulator`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::api::{Shared, router};
use crate::{Host, HostConfig};

#[derive(Args)]
pub(super) struct Serve {
    /// A TOML file about the process: listen, data, workers, public_url, allow_hosts.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Where store, key and cache are kept [default: ./firn-data].
    #[arg(long)]
    data: Option<PathBuf>,
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
    /// How many engine instances work [default: 2].
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
    listen: Option<SocketAddr>,
    public_url: Option<String>,
    allow_hosts: Vec<String>,
    allow_loopback: bool,
    allow_exec_secrets: bool,
    proxy: Option<String>,
    ca: Vec<PathBuf>,
    workers: Option<usize>,
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

/// Runs the host until it is told to stop.
pub(super) async fn serve(arguments: Serve, token: Option<String>) -> Result<()> {
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
    let hosts = [arguments.allow_hosts, file.allow_hosts].concat();
    let egress = super::Egress {
        proxy: arguments.egress.proxy.or(file.proxy),
        ca: [arguments.egress.ca, file.ca].concat(),
    };
    let config = HostConfig {
        cache: arguments.cache.unwrap_or_else(|| data.join("cache")),
        data: data.clone(),
        workers: arguments.workers.or(file.workers).unwrap_or(2),
        record: arguments.record,
        addresses: firn_remote::Addresses {
            loopback: arguments.allow_loopback || file.allow_loopback,
            hosts,
        },
        egress: egress.read()?,
        public_url: arguments
            .public_url
            .or(file.public_url)
            .unwrap_or_else(|| format!("http://{listen}")),
    };
    // It is installed on instances: what is none would be found out much later.
    let sound = url::Url::parse(&config.public_url)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none());
    if !sound {
        anyhow::bail!("--public-url is https://host, not {:?}", config.public_url);
    }
    let host = Host::open(&config)?;
    let token = match token.filter(|token| !token.trim().is_empty()) {
        Some(token) => token,
        None => admin_token(&data)?,
    };
    let shared = Shared {
        host: std::sync::Arc::clone(&host),
        token: Some(token.into()),
        exec_secrets: arguments.allow_exec_secrets || file.allow_exec_secrets,
    };
    let server = crate::listen(listen, router(shared)).await?;
    println!("firn listens on http://{}", server.address);
    stopped().await;
    server.stop().await;
    tokio::task::spawn_blocking(move || host.stop()).await?;
    Ok(())
}

/// The token that opens the API: made on first start, in a file that only its owner reads.
fn admin_token(data: &std::path::Path) -> Result<String> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = data.join("admin-token");
    if let Ok(token) = std::fs::read_to_string(&path)
        && !token.trim().is_empty()
    {
        return Ok(token.trim().to_owned());
    }
    let bytes: [u8; 32] = firn_remote::random()?;
    let token: String = std::iter::once("firn_".to_owned())
        .chain(bytes.iter().map(|b| format!("{b:02x}")))
        .collect();
    // Whole or not at all: an empty file would lock everybody out.
    let unfinished = path.with_extension("tmp");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(token.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, &path)?;
    eprintln!(
        "an admin token was created in {}; export FIRN_TOKEN=$(cat {})",
        path.display(),
        path.display()
    );
    Ok(token)
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
