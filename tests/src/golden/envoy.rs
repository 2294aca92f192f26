//! The filter in Envoy, configured as the example shows.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value as Json;

use super::{Outcome, gateway};
use crate::process::{Running, free_port};
use crate::tools;
use crate::upstream::Upstream;

/// The host.
pub const ENVOY: &str = "envoy";

/// Envoy with the filter and a document, in front of somebody; gives its address.
///
/// # Errors
/// When it cannot be started.
pub async fn listens(
    envoy: &Path,
    filter: &Path,
    document: &Json,
    behind: SocketAddr,
    scratch: &Path,
) -> Result<(Running, SocketAddr)> {
    let (document, secrets) = gateway::with_secrets_apart(document)?;
    let listen = free_port()?;
    let example = std::fs::read_to_string(gateway::examples().join("envoy/envoy.yaml"))?;
    let configuration = configured(
        &example,
        &document,
        filter,
        listen,
        behind,
        &secrets.keys().cloned().collect::<Vec<_>>(),
    )?;
    let file = scratch.join("envoy.yaml");
    std::fs::write(&file, configuration)?;
    let mut command = std::process::Command::new(envoy);
    command.arg("--config-path").arg(&file);
    command.args(["--concurrency", "1", "--log-level", "warning", "--use-dynamic-base-id"]);
    command.envs(secrets);
    let running = Running::start(&mut command)?;
    running.listens(listen).await?;
    Ok((running, listen))
}

/// The example with addresses, file and document of ours.
fn configured(
    example: &str,
    document: &Json,
    filter: &Path,
    listen: SocketAddr,
    behind: SocketAddr,
    secrets: &[String],
) -> Result<String> {
    let mut text = example.to_owned();
    let mut instead = |what: &str, with: &str| {
        let with = text.contains(what).then(|| text.replacen(what, with, 1));
        text = with.with_context(|| format!("the example has no {what}"))?;
        anyhow::Ok(())
    };
    instead("port_value: 8000", &format!("port_value: {}", listen.port()))?;
    instead("port_value: 8080", &format!("port_value: {}", behind.port()))?;
    instead("address: 0.0.0.0", "address: 127.0.0.1")?;
    instead("/etc/envoy/envoy-filter.wasm", &filter.display().to_string())?;
    instead("[WEBHOOK_SECRET]", &format!("[{}]", secrets.join(", ")))?;
    let from = text.find("value: |").context("the example has no document")?;
    let to = text[from..].find("# end of the document").context("it has no end")? + from;
    text.replace_range(
        from..to,
        &format!("value: '{}'\n", document.to_string().replace('\'', "''")),
    );
    Ok(text)
}

/// Replays the gateway's transcripts through the filter.
///
/// # Errors
/// When it cannot be built or started.
pub async fn filter() -> Result<Outcome> {
    let envoy = match tools::ENVOY.fetched() {
        Ok(envoy) => envoy,
        Err(why) => return Ok(Outcome::skipped(ENVOY, why)),
    };
    let filter = tools::embed("envoy")?.join("envoy-filter.wasm");
    let (behind, scratch) = (Upstream::start().await?, tempfile::tempdir()?);
    let document = gateway::read()?.document;
    let (_running, listen) =
        listens(&envoy, &filter, &document, behind.address, scratch.path()).await?;
    gateway::replayed(ENVOY, &format!("http://{listen}")).await
}
