//! Traces, sent by OTLP over HTTP to where the standard's own variables say: `OTEL_EXPORTER_OTLP_ENDPOINT`
//! (`http://collector:4318`), or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, with `…_HEADERS` and
//! `OTEL_SERVICE_NAME`. Without one of them nothing is traced.

use std::time::Duration;

use anyhow::{Context, Result};
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

/// How long a collector may take for a batch.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where spans go.
pub(crate) struct Traces(SdkTracerProvider);

/// The exporter's way out. It sends from a thread of its own.
#[derive(Debug)]
struct Client(reqwest::blocking::Client);

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let url = head.uri.to_string();
        let request = self.0.request(head.method, url).headers(head.headers).body(body.to_vec());
        let response = request.send()?;
        let mut answer = Response::builder().status(response.status());
        if let Some(headers) = answer.headers_mut() {
            *headers = response.headers().clone();
        }
        Ok(answer.body(response.bytes()?)?)
    }
}

impl Traces {
    /// Traces as the environment says, if it does.
    ///
    /// # Errors
    /// When what it says cannot be used.
    pub(crate) fn from_environment() -> Result<Option<Traces>> {
        let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
        let wanted = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
        let disabled =
            std::env::var("OTEL_SDK_DISABLED").is_ok_and(|v| v.eq_ignore_ascii_case("true"));
        if disabled || !wanted.into_iter().any(set) {
            return Ok(None);
        }
        // A blocking client is made, and dropped, on a thread without a runtime of its own.
        let made = std::thread::spawn(|| {
            let client = reqwest::blocking::Client::builder().timeout(PATIENCE).build()?;
            let exporter = SpanExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_http_client(Client(client))
                .build()
                .context("traces cannot be sent: look at OTEL_EXPORTER_OTLP_ENDPOINT")?;
            let mut resource = Resource::builder();
            if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
                resource = resource.with_service_name("firn");
            }
            let provider = SdkTracerProvider::builder()
                .with_batch_exporter(exporter)
                .with_resource(resource.build())
                .build();
            anyhow::Ok(Traces(provider))
        });
        made.join().map_err(|_| anyhow::anyhow!("traces cannot be sent"))?.map(Some)
    }

    pub(crate) fn tracer(&self) -> SdkTracer {
        self.0.tracer("firn")
    }

    /// Sends what is left.
    pub(crate) fn end(&self) {
        if let Err(why) = self.0.shutdown_with_timeout(Duration::from_secs(3)) {
            tracing::warn!(%why, "the last traces could not be sent");
        }
    }
}
