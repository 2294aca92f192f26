//! An instance (the simulator with the rules that Firn installs), a sample platform, and the host
//! between them, all in this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use firn::api::{Shared, router};
use firn::{Gate, Host, HostConfig, KeySource, Listening, SamplePlatform, StorePlace, listen};
use firn_remote::{Addresses, Egress};
use firn_simulator::{Faults, Simulator};
use serde_json::{Value as Json, json};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Place {
    _directory: tempfile::TempDir,
    _host: Arc<Host>,
    _server: Listening,
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
}

impl Place {
    pub(crate) async fn new() -> Arc<Place> {
        let directory = tempfile::tempdir().unwrap();
        let any = ([127, 0, 0, 1], 0).into();
        let reserved = listen(any, axum::Router::new()).await.unwrap();
        let address = reserved.address;
        reserved.stop().await;
        let host = Host::open(&HostConfig {
            program: env!("CARGO_BIN_EXE_firn").into(),
            data: directory.path().join("data"),
            cache: concat!(env!("CARGO_TARGET_TMPDIR"), "/components").into(),
            key: KeySource::Beside,
            store: StorePlace::Beside,
            workers: 2,
            addresses: Addresses { loopback: true, hosts: Vec::new() },
            egress: Egress::default(),
            public_url: format!("http://{address}"),
            record: None,
        })
        .unwrap();
        let shared = Shared::new(Arc::clone(&host), Gate::open(), false);
        let server = listen(address, router(shared)).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{address}/api/v1");
        Arc::new(Place { _directory: directory, _host: host, _server: server, url, http })
    }

    pub(crate) async fn get(&self, path: &str) -> Json {
        self.http.get(format!("{}{path}", self.url)).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Json) -> (u16, Json) {
        let answer =
            self.http.post(format!("{}{path}", self.url)).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }
}

/// What a pair may have besides.
#[derive(Default)]
struct More {
    files: bool,
    secret: Option<String>,
    preset: Option<&'static str>,
    simulator: Option<Arc<Simulator>>,
}

/// An instance, a platform, and the integration between them.
pub(crate) struct Pair {
    pub(crate) place: Arc<Place>,
    pub(crate) simulator: Arc<Simulator>,
    pub(crate) platform: SamplePlatform,
    listening: Listening,
    pub(crate) slug: String,
}

impl Pair {
    pub(crate) async fn new(place: &Arc<Place>, slug: &str, settings: Json) -> Pair {
        Pair::over(place, slug, settings, More::default()).await
    }

    /// One that takes webhooks that are signed with this secret.
    pub(crate) async fn with_secret(
        place: &Arc<Place>,
        slug: &str,
        settings: Json,
        secret: &str,
    ) -> Pair {
        let more = More { secret: Some(secret.to_owned()), ..More::default() };
        Pair::over(place, slug, settings, more).await
    }

    /// One that began with a preset.
    pub(crate) async fn of_preset(
        place: &Arc<Place>,
        slug: &str,
        preset: &'static str,
        settings: Json,
    ) -> Pair {
        Pair::over(place, slug, settings, More { preset: Some(preset), ..More::default() }).await
    }

    /// One that began with a preset, at an instance that is there already.
    pub(crate) async fn on(
        place: &Arc<Place>,
        slug: &str,
        preset: &'static str,
        settings: Json,
        simulator: Arc<Simulator>,
    ) -> Pair {
        let more = More { preset: Some(preset), simulator: Some(simulator), ..More::default() };
        Pair::over(place, slug, settings, more).await
    }

    /// One whose calls are escalated.
    pub(crate) async fn of_calls(place: &Arc<Place>, slug: &str, settings: Json) -> Pair {
        let more = More { preset: Some("genesys"), ..More::default() };
        Pair::over(place, slug, settings, more).await
    }

    /// Another integration, with a platform of its own, on the same instance.
    pub(crate) async fn beside(other: &Pair, slug: &str, settings: Json) -> Pair {
        let more = More { simulator: Some(Arc::clone(&other.simulator)), ..More::default() };
        Pair::over(&other.place, slug, settings, more).await
    }

    /// One whose files travel both ways.
    pub(crate) async fn with_files(place: &Arc<Place>, slug: &str, settings: Json) -> Pair {
        Pair::over(place, slug, settings, More { files: true, ..More::default() }).await
    }

    /// One that began with a preset, and whose files travel both ways.
    pub(crate) async fn of_preset_with_files(
        place: &Arc<Place>,
        slug: &str,
        preset: &'static str,
        settings: Json,
    ) -> Pair {
        let more = More { preset: Some(preset), files: true, ..More::default() };
        Pair::over(place, slug, settings, more).await
    }

    async fn over(place: &Arc<Place>, slug: &str, settings: Json, more: More) -> Pair {
        let any = ([127, 0, 0, 1], 0).into();
        let simulator = match more.simulator {
            Some(simulator) => simulator,
            None => Arc::new(Simulator::start(any, 1, Faults::default()).await.unwrap()),
        };
        let platform = SamplePlatform::default();
        let listening = listen(any, platform.router()).await.unwrap();
        let base = format!("http://{}", listening.address);
        let mut all =
            json!({ "correlation": { "transaction_limit": 2000 }, "request_timeout": 5000 });
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let mut contract = json!({ "callback_url": format!("{base}/callback"),
            "read_url": format!("{base}/records/{{id}}") });
        if more.files {
            contract["attachment_read_url"] = format!("{base}/attachments/{{id}}").into();
            contract["attachment_write_url"] = format!("{base}/records/{{id}}/attachments").into();
        }
        let body = json!({
            "organization_id": "acme", "name": slug, "slug": slug, "base_url": simulator.url(),
            "credentials": { "username": "integration", "password": "integration",
                "admin_username": "admin", "admin_password": "admin" },
            "platform": contract, "settings": all, "provision": true,
        });
        let mut body = body;
        if let Some(secret) = more.secret {
            body["webhook_secret"] = secret.into();
        }
        if let Some(preset) = more.preset {
            body["preset"] = preset.into();
        }
        let (status, answer) = place.post("/integrations", body).await;
        assert!(status == 201 && answer["provision_failed"].is_null(), "{slug}: {answer}");
        platform.connect(format!("{}/integrations/{slug}/events", place.url));
        let (place, slug) = (Arc::clone(place), slug.to_owned());
        Pair { place, simulator, platform, listening, slug }
    }

    /// A record of the platform's that makes a ticket.
    pub(crate) fn opens(&self, id: &str) {
        let fields = json!({ "title": format!("Checkout is slow ({id})"), "description": "p99 is 9 s",
            "severity": "high", "status": "open", "assigned_to": null });
        self.platform.edit("incident", id, fields);
    }

    /// The tickets of a record.
    pub(crate) fn tickets(&self, id: &str) -> Vec<firn_simulator::Record> {
        let rows = self.simulator.rows("incident").into_iter();
        rows.filter(|row| row.get("correlation_id").is_some_and(|key| key == id)).collect()
    }

    /// The ticket's id, once there is one and nothing is left to do.
    pub(crate) async fn opened(&self, id: &str) -> String {
        self.opens(id);
        self.until("a ticket is made", || self.tickets(id).len() == 1).await;
        self.settled().await;
        self.tickets(id)[0]["sys_id"].clone()
    }

    /// How the integration stands.
    pub(crate) async fn status(&self) -> Json {
        self.place.get(&format!("/integrations/{}/sync-status", self.slug)).await
    }

    /// Where the platform takes changes.
    pub(crate) fn callback(&self) -> String {
        format!("http://{}/callback", self.listening.address)
    }

    /// Where its records are read.
    pub(crate) fn read_url(&self) -> String {
        format!("http://{}/records/{{id}}", self.listening.address)
    }

    pub(crate) async fn agent(&self, id: &str, body: Json) {
        let url = format!("{}/api/now/table/incident/{id}", self.simulator.url());
        let sent = self.place.http.patch(url).basic_auth("ann.lee", Some("ann.lee")).json(&body);
        let answer = sent.send().await.unwrap();
        assert!(answer.status().is_success(), "{}: {}", self.slug, answer.text().await.unwrap());
    }

    /// How many changes were sent, by the Table API or the resource.
    pub(crate) fn patches(&self) -> u64 {
        let requests = self.simulator.requests();
        requests.iter().filter(|(what, _)| what.starts_with("PATCH ")).map(|(_, n)| n).sum()
    }

    pub(crate) fn ticket(&self) -> Option<firn_simulator::Record> {
        self.simulator.rows("incident").into_iter().next()
    }

    pub(crate) fn column(&self, name: &str) -> String {
        self.ticket().and_then(|t| t.get(name).cloned()).unwrap_or_default()
    }

    pub(crate) fn field(&self, id: &str, name: &str) -> Json {
        self.platform.record(id).and_then(|r| r.fields.get(name).cloned()).unwrap_or_default()
    }

    pub(crate) async fn until(&self, what: &str, so: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !so() {
            if Instant::now() > end {
                let of = |what: &str| format!("/integrations/{}/{what}", self.slug);
                let links = self.place.get(&of("links")).await;
                let findings = self.place.get(&of("findings")).await;
                let status = self.place.get(&of("sync-status")).await;
                panic!(
                    "{}: {what}\nticket {:?}\nlinks {links:#}\nfindings {findings:#}\n{status:#}\nlog {:?}",
                    self.slug,
                    self.ticket(),
                    self.simulator.rows("syslog"),
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn settled(&self) {
        let end = Instant::now() + PATIENCE;
        let mut quiet = 0;
        while quiet < 4 {
            let status = self.place.get(&format!("/integrations/{}/sync-status", self.slug)).await;
            quiet = if status["backlog"] == 0 { quiet + 1 } else { 0 };
            if Instant::now() > end {
                let of = |what: &str| format!("/integrations/{}/{what}", self.slug);
                let links = self.place.get(&of("links")).await;
                let findings = self.place.get(&of("findings")).await;
                let dead = self.place.get(&of("dlq")).await;
                panic!(
                    "{} does not settle: {status}\n{links:#}\n{findings:#}\n{dead:#}",
                    self.slug
                );
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    }

    /// Waits for a finding.
    pub(crate) async fn told(&self, kind: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.findings().await.iter().any(|told| told == kind) {
            assert!(
                Instant::now() < end,
                "{}: {kind} is not told: {:?}",
                self.slug,
                self.findings().await
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn findings(&self) -> Vec<String> {
        let answer = self.place.get(&format!("/integrations/{}/findings", self.slug)).await;
        let kinds = answer["findings"].as_array().unwrap().iter();
        kinds.map(|f| f["kind"].as_str().unwrap().to_owned()).collect()
    }
}
