//! The stage: everything started, three integrations made and provisioned, and the small tools that
//! the stories are told with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use firn_simulator::{Faults, Record, Simulator};
use serde_json::{Value as Json, json};

use crate::access::Gate;
use crate::api::{Shared, router};
use crate::{Host, HostConfig, Listening, SamplePlatform, listen};

/// How long an expectation may take to be met.
const PATIENCE: Duration = Duration::from_secs(15);

/// An integration on the stage.
pub(crate) struct Side {
    pub(crate) id: String,
    pub(crate) platform: SamplePlatform,
}

/// Everything that runs.
pub(crate) struct Stage {
    pub(crate) simulator: Simulator,
    host: Arc<Host>,
    server: Listening,
    platforms: Vec<Listening>,
    pub(crate) http: reqwest::Client,
    pub(crate) genesys: Side,
    pub(crate) bot: Side,
    pub(crate) incidents: Side,
}

impl Stage {
    pub(crate) async fn set(address: SocketAddr, data: &std::path::Path) -> Result<Stage> {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let simulator = Simulator::start(loopback, 1, Faults::default()).await?;
        // The address is needed before the host, which tells ServiceNow where to find it.
        let placeholder = axum::Router::new();
        let reserved = listen(address, placeholder).await?;
        let address = reserved.address;
        reserved.stop().await;
        let host = Host::open(&HostConfig {
            program: std::env::current_exe()?,
            cache: crate::cache().unwrap_or_else(|| data.join("cache")),
            data: data.to_owned(),
            key: crate::KeySource::Beside,
            store: crate::StorePlace::Beside,
            workers: 2,
            record: None,
            addresses: firn_remote::Addresses { loopback: true, hosts: Vec::new() },
            egress: firn_remote::Egress::default(),
            public_url: format!("http://{address}"),
        })?;
        let shared = Shared::new(Arc::clone(&host), Gate::open(), false);
        let server = listen(address, router(shared)).await?;
        let http =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
        let mut platforms = Vec::new();
        let mut sides = Vec::new();
        for (preset, name) in
            [("genesys", "Genesys calls"), ("bot", "Bot conversations"), ("incidents", "Incidents")]
        {
            let platform = SamplePlatform::default();
            let listening = listen(loopback, platform.router()).await?;
            let base = format!("http://{}", listening.address);
            let mut settings =
                json!({ "correlation": { "transaction_limit": 2000 }, "request_timeout": 1500 });
            if preset == "bot" {
                let base = simulator.create("kb_knowledge_base", &[("title", "IT")]).await;
                let articles = json!({ "knowledge_base": base.map_err(anyhow::Error::msg)? });
                settings["learning"] =
                    json!({ "delay": 300, "write_back": true, "articles": articles });
            }
            let body = json!({
                "organization_id": "acme-corp", "integration_type": "servicenow", "name": name, "slug": preset,
                "base_url": simulator.url(), "sync_direction": "bidirectional", "enabled": true, "preset": preset,
                "credentials": { "username": "integration", "password": "integration",
                    "admin_username": "admin", "admin_password": "admin" },
                "platform": { "callback_url": format!("{base}/callback"), "read_url": format!("{base}/records/{{id}}") },
                "settings": settings,
                "provision": true,
            });
            let url = format!("http://{address}/api/v1/integrations");
            let answer: Json = http.post(url).json(&body).send().await?.json().await?;
            let id = answer["id"]
                .as_str()
                .with_context(|| format!("the integration {name} was not created: {answer}"))?
                .to_owned();
            if answer["provisioned"].as_array().map(Vec::len) != Some(6) {
                bail!("{name} was not provisioned: {answer}");
            }
            platform.connect(format!("http://{address}/api/v1/integrations/{id}/events"));
            platforms.push(listening);
            sides.push(Side { id, platform });
        }
        let mut sides = sides.into_iter();
        let mut next = || sides.next().context("three integrations");
        let (genesys, bot, incidents) = (next()?, next()?, next()?);
        Ok(Stage { simulator, host, server, platforms, http, genesys, bot, incidents })
    }

    pub(crate) async fn clear(self) {
        self.host.pulse().end();
        self.server.stop().await;
        for platform in self.platforms {
            platform.stop().await;
        }
        let host = self.host;
        let _ = tokio::task::spawn_blocking(move || host.stop()).await;
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    pub(crate) fn platform_url(&self) -> String {
        self.platforms.last().map(|p| format!("http://{}", p.address)).unwrap_or_default()
    }

    // ---- Firn's API ----------------------------------------------------------------------

    pub(crate) async fn post(&self, path: &str, body: String) -> (u16, Json) {
        let request = self
            .http
            .post(format!("{}/api/v1{path}", self.url()))
            .header("content-type", "application/json")
            // A slow machine may need more than the two seconds of the default.
            .header("prefer", "wait=10")
            .body(body);
        match request.send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                (status, response.json().await.unwrap_or_default())
            }
            Err(why) => (0, json!({ "failed": why.to_string() })),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Json {
        match self.http.get(format!("{}/api/v1{path}", self.url())).send().await {
            Ok(response) => response.json().await.unwrap_or_default(),
            Err(why) => json!({ "failed": why.to_string() }),
        }
    }

    pub(crate) async fn patch(&self, side: &Side, body: Json) -> u16 {
        let url = format!("{}/api/v1/integrations/{}", self.url(), side.id);
        match self.http.patch(url).json(&body).send().await {
            Ok(response) => response.status().as_u16(),
            Err(_) => 0,
        }
    }

    pub(crate) async fn escalate(&self, side: &Side, body: String) -> (u16, Json) {
        self.post(&format!("/integrations/{}/escalations", side.id), body).await
    }

    pub(crate) async fn of(&self, side: &Side, what: &str) -> Json {
        self.get(&format!("/integrations/{}/{what}", side.id)).await
    }

    // ---- ServiceNow ----------------------------------------------------------------------

    /// The tickets of a key.
    pub(crate) fn tickets(&self, key: &str) -> Vec<Record> {
        let has = |r: &Record| r.get("correlation_id").is_some_and(|k| k == key);
        self.simulator.rows("incident").into_iter().filter(has).collect()
    }

    /// A column of the ticket of a key.
    pub(crate) fn column(&self, key: &str, column: &str) -> String {
        self.tickets(key).first().and_then(|r| r.get(column).cloned()).unwrap_or_default()
    }

    pub(crate) fn sys_id(&self, key: &str) -> String {
        self.column(key, "sys_id")
    }

    /// The entries of a ticket: element, author, text.
    pub(crate) fn journal(&self, key: &str) -> Vec<(String, String, String)> {
        let id = self.sys_id(key);
        let text = |r: &Record, n: &str| r.get(n).cloned().unwrap_or_default();
        self.simulator
            .rows("sys_journal_field")
            .iter()
            .filter(|r| text(r, "element_id") == id)
            .map(|r| (text(r, "element"), text(r, "sys_created_by"), text(r, "value")))
            .collect()
    }

    /// An agent changes a ticket in ServiceNow.
    pub(crate) async fn agent(&self, key: &str, body: Json) -> u16 {
        let url = format!("{}/api/now/table/incident/{}", self.simulator.url(), self.sys_id(key));
        let request = self.http.patch(url).basic_auth("ann.lee", Some("ann.lee")).json(&body);
        request.send().await.map_or(0, |r| r.status().as_u16())
    }

    pub(crate) fn user(&self, name: &str) -> String {
        let users = self.simulator.rows("sys_user");
        let user = users.iter().find(|u| u.get("user_name").is_some_and(|n| n == name));
        user.and_then(|u| u.get("sys_id").cloned()).unwrap_or_default()
    }

    /// Writes to ServiceNow so far, by anybody.
    pub(crate) fn patches(&self) -> u64 {
        self.simulator.requests().get("PATCH incident").copied().unwrap_or(0)
    }

    // ---- waiting -------------------------------------------------------------------------

    /// Looks until it is so, or patience ends.
    pub(crate) async fn until(&self, mut so: impl FnMut() -> bool) -> bool {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if so() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        false
    }

    /// Waits until a list of an integration's has something in it.
    pub(crate) async fn waits(&self, side: &Side, what: &str, list: &str) -> bool {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if self.of(side, what).await[list].as_array().is_some_and(|list| !list.is_empty()) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// Waits until an integration has nothing left to do.
    pub(crate) async fn settled(&self, side: &Side) -> bool {
        let end = Instant::now() + PATIENCE * 2;
        let mut quiet = 0;
        while Instant::now() < end {
            let status = self.of(side, "sync-status").await;
            quiet = if status["backlog"] == 0 { quiet + 1 } else { 0 };
            if quiet >= 4 {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        false
    }
}
