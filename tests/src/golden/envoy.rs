//! The filter in Envoy, configured as the example shows.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value as Json;

use super::{Outcome, gateway};
use crate::process::{Running, listening};
use crate::tools;
use crate::upstream::Upstream;

/// The host.
pub const ENVOY: &str = "envoy";

/// The one behind is spoken to in HTTP/2.
const H2: &str = r#"connect_timeout: 2s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }"#;

/// What the one behind is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS.
    Http2,
}

/// Envoy with the filter and a document, in front of somebody.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    /// The program.
    pub envoy: &'a Path,
    /// The filter.
    pub filter: &'a Path,
    /// The filter's document.
    pub document: &'a Json,
    /// Who is behind.
    pub behind: SocketAddr,
    /// What they speak.
    pub speaks: Behind,
}

impl Setup<'_> {
    /// Starts it; gives its address.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn listens(&self, scratch: &Path) -> Result<(Running, SocketAddr)> {
        let (document, secrets) = gateway::with_secrets_apart(self.document)?;
        let names: Vec<String> = secrets.keys().cloned().collect();
        let file = scratch.join("envoy.yaml");
        let command = |listen: SocketAddr| {
            std::fs::write(&file, self.configured(&document, listen, &names)?)?;
            let mut command = std::process::Command::new(self.envoy);
            command.arg("--config-path").arg(&file);
            command.args(["--concurrency", "1", "--log-level", "warning", "--use-dynamic-base-id"]);
            command.envs(&secrets);
            Ok(command)
        };
        listening(command).await
    }

    /// The example with addresses, file and document of ours.
    fn configured(
        &self,
        document: &Json,
        listen: SocketAddr,
        secrets: &[String],
    ) -> Result<String> {
        let mut text = std::fs::read_to_string(gateway::examples().join("envoy/envoy.yaml"))?;
        let mut instead = |what: &str, with: &str| {
            let with = text.contains(what).then(|| text.replacen(what, with, 1));
            text = with.with_context(|| format!("the example has no {what}"))?;
            anyhow::Ok(())
        };
        instead("port_value: 8000", &format!("port_value: {}", listen.port()))?;
        instead("port_value: 8080", &format!("port_value: {}", self.behind.port()))?;
        instead("/etc/envoy/envoy-filter.wasm", &self.filter.display().to_string())?;
        instead("[WEBHOOK_SECRET]", &format!("[{}]", secrets.join(", ")))?;
        if self.speaks == Behind::Http2 {
            instead("connect_timeout: 2s", H2)?;
        }
        let from = text.find("value: |").context("the example has no document")?;
        let to = text[from..].find("# end of the document").context("it has no end")? + from;
        let document = document.to_string().replace('\'', "''");
        text.replace_range(from..to, &format!("value: '{document}'\n"));
        Ok(text)
    }
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
    let setup = Setup {
        envoy: &envoy,
        filter: &filter,
        document: &document,
        behind: behind.address,
        speaks: Behind::Http1,
    };
    let (_running, listen) = setup.listens(scratch.path()).await?;
    gateway::replayed(ENVOY, &format!("http://{listen}"), Some(&behind)).await
}
