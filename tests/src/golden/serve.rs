//! The gateway's components under `wasmtime serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, plug};

use super::{Outcome, gateway};
use crate::process::{Running, listening};
use crate::tools;
use crate::upstream::Upstream;

/// The proxy (`wasi:http` 0.2).
pub const PROXY: &str = "wasmtime serve, proxy";
/// The middleware (`wasi:http` 0.3), in front of a service.
pub const MIDDLEWARE: &str = "wasmtime serve, middleware";

/// A component that listens; gives its address.
///
/// # Errors
/// When it cannot be started.
pub async fn listens(
    wasmtime: &Path,
    component: &Path,
    environment: &[(String, String)],
) -> Result<(Running, SocketAddr)> {
    let command = |listen: SocketAddr| {
        let mut command = std::process::Command::new(wasmtime);
        command.args(["serve", "-Scli", "--addr", &listen.to_string()]);
        for (name, value) in environment {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        command.arg(component);
        Ok(command)
    };
    listening(command).await
}

/// The environment of a gateway with the transcripts' document.
///
/// # Errors
/// When the transcripts cannot be read.
pub fn environment(upstream: Option<SocketAddr>) -> Result<Vec<(String, String)>> {
    let (mut document, secrets) = gateway::with_secrets_apart(&gateway::read()?.document)?;
    if let Some(upstream) = upstream {
        document["upstream"] = json!(format!("http://{upstream}"));
    }
    let mut environment: Vec<_> = secrets.into_iter().collect();
    environment.push(("FIRN_GATEWAY".to_owned(), document.to_string()));
    Ok(environment)
}

/// Replays the gateway's transcripts through the proxy.
///
/// # Errors
/// When it cannot be built or started.
pub async fn proxy() -> Result<Outcome> {
    let wasmtime = match tools::WASMTIME.fetched() {
        Ok(wasmtime) => wasmtime,
        Err(why) => return Ok(Outcome::skipped(PROXY, why)),
    };
    let component = tools::embed("gateways")?.join("gateway-proxy.wasm");
    let behind = Upstream::start().await?;
    let (_running, listen) =
        listens(&wasmtime, &component, &environment(Some(behind.address))?).await?;
    gateway::replayed(PROXY, &format!("http://{listen}"), Some(&behind)).await
}

/// Replays them through the middleware, composed with a service.
///
/// # Errors
/// When it cannot be built or started.
pub async fn middleware() -> Result<Outcome> {
    let wasmtime = match tools::WASMTIME.fetched() {
        Ok(wasmtime) => wasmtime,
        Err(why) => return Ok(Outcome::skipped(MIDDLEWARE, why)),
    };
    let composed = composed()?;
    let (_running, listen) = listens(&wasmtime, &composed, &environment(None)?).await?;
    gateway::replayed(MIDDLEWARE, &format!("http://{listen}"), None).await
}

/// The middleware with a service behind it, as one component.
///
/// # Errors
/// When they cannot be built or do not fit.
pub fn composed() -> Result<PathBuf> {
    let middleware = tools::embed("gateways")?.join("gateway-middleware.wasm");
    let target = tools::target().join("guest");
    let root = super::root().join("..").canonicalize()?;
    let place = firn_builder::Place { root, target };
    let built = firn_builder::modules(&place, firn_builder::Target::Unknown, &["firn-echo"]);
    let module = built.map_err(anyhow::Error::msg)?.pop().context("nothing was built")?;
    let service = tools::target().join("embed/echo.wasm");
    firn_builder::componentize(&module, &service).map_err(anyhow::Error::msg)?;
    let mut graph = CompositionGraph::new();
    let mut package = |name: &str, file: &Path| {
        let package = Package::from_bytes(name, None, std::fs::read(file)?, graph.types_mut())?;
        anyhow::Ok(graph.register_package(package)?)
    };
    let socket = package("firn:middleware", &middleware)?;
    let service = package("firn:service", &service)?;
    plug(&mut graph, vec![service], socket)?;
    let composed = tools::target().join("embed/composed.wasm");
    std::fs::write(&composed, graph.encode(EncodeOptions::default())?)?;
    Ok(composed)
}
