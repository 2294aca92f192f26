//! The host: what it is made of, how it begins and ends, what it is asked and what it reads. Who works for it:
//! `work.rs`; what the engine asks of it: `doors.rs`.

mod consent;
mod doors;
mod examine;
mod forget;
mod instance;
mod knowledge;
mod lanes;
pub(crate) mod pulse;
mod replicas;
mod together;
mod vectors;
mod work;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use crossbeam_channel::{Sender, unbounded};
use firn_model::{
    Audit, Change, Event, Expect, Inbound, InboundKind, Integration, IntegrationId, Key, LikeCase,
    LinkId, Millis, Notice, Operation, Problem, Put, Reply, TenantId,
};
use firn_remote::{Addresses, Carrier, Egress, Secrets};
use firn_runtime::Runtime;
use firn_storage::Store;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, broadcast, oneshot};

use self::consent::VaultKeeper;
use self::doors::HostDoors;
use self::lanes::Lanes;
use self::pulse::Pulse;
use self::together::Together;
use self::work::Wake;
use crate::access::Access;
use crate::key::KeySource;
use crate::lease::{Lease, lease};
use crate::place::StorePlace;
use crate::rules::RuleBook;
use crate::telemetry::{Journeys, Metrics, Process};
use crate::vault::{Known, Vault};

pub(crate) use self::consent::CONSENT;
pub(crate) use self::examine::Examined;
pub(crate) use self::forget::{Forgotten, NotForgotten};

/// In the place of an integration, in lines of the audit that are about none.
pub(crate) const OF_NONE: &str = "_host";

/// How a host runs.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// Where key and cache are, and the store if it is a file.
    pub data: PathBuf,
    /// Where the store is.
    pub store: StorePlace,
    /// Where the master key is.
    pub key: KeySource,
    /// Where compiled components are kept.
    pub cache: PathBuf,
    /// The program that compiles tenants' rules: this one.
    pub program: PathBuf,
    /// How many engine instances work.
    pub workers: usize,
    /// Which addresses may be connected to.
    pub addresses: Addresses,
    /// How connections leave.
    pub egress: Egress,
    /// Where ServiceNow and the platform reach us.
    pub public_url: String,
    /// Where every call of the engine is written down, if anywhere. Raw data of records is in it.
    pub record: Option<PathBuf>,
}

/// The answer to a request, as the API gives it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: serde_json::Value,
    /// Where the result will be found, if it is not there yet.
    pub location: Option<String>,
}

/// Nobody else is at it as long as this is held: in this process, and in the others on the store.
pub(crate) struct Turn<G> {
    _here: G,
    _everywhere: Option<Lease>,
}

/// Giving a name takes no longer.
const NAMING: Duration = Duration::from_secs(60);

/// The places that an integration has for requests that come in: some are worked on, some wait, and what is more than
/// that is sent away. So no integration's flood is before another's request.
#[derive(Clone)]
pub(crate) struct Places {
    /// At once, those that wait among them.
    pub(crate) all: Arc<Semaphore>,
    /// Worked on.
    in_work: Arc<Semaphore>,
}

impl Places {
    /// Requests of one integration at once. The others have the rest of the connections.
    pub(crate) const AT_ONCE: usize = 1_024;
    /// So many of them are taken at once: two batches.
    const IN_WORK: usize = 128;

    fn new() -> Places {
        let all = Arc::new(Semaphore::new(Self::AT_ONCE));
        Places { all, in_work: Arc::new(Semaphore::new(Self::IN_WORK)) }
    }
}

/// A running host.
pub struct Host {
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
    rules: Arc<RuleBook>,
    access: Access,
    /// Requests that come in, of each integration.
    places: Mutex<BTreeMap<IntegrationId, Places>>,
    carrier: Carrier,
    pulse: Pulse,
    metrics: Metrics,
    journeys: Journeys,
    /// Where the store is.
    file: Option<PathBuf>,
    /// Why the last consent came to nothing, until the next is asked for.
    refusals: Mutex<BTreeMap<IntegrationId, String>>,
    public_url: String,
    tokio: tokio::runtime::Handle,
    /// One for each worker; `lanes` tells whose is whose.
    queues: Vec<Sender<Event>>,
    lanes: Lanes,
    /// What comes in: it is taken whatever else there is to do.
    intake: Sender<Event>,
    requests: AtomicU64,
    replies: Mutex<BTreeMap<u64, oneshot::Sender<Reply>>>,
    written: Mutex<work::Written>,
    notices: broadcast::Sender<Notice>,
    /// Nonces of pings that came in, signed as agreed.
    pongs: broadcast::Sender<(IntegrationId, String)>,
    /// One at a time at an integration's instance, for whoever installs or removes there.
    at_instance: Mutex<BTreeMap<IntegrationId, Arc<tokio::sync::Mutex<()>>>>,
    /// What the doctor said last.
    reports: Mutex<BTreeMap<IntegrationId, Arc<Examined>>>,
    /// What was learnt, by tenant, to be searched.
    indexes: knowledge::Indexes,
    vectors: vectors::Vectors,
    cache: PathBuf,
    claims: Mutex<BTreeMap<Key, Option<Instant>>>,
    wake: Wake,
    /// What of the due rows falls to this process, where others work on the store too.
    share: Together,
    naming: tokio::sync::Mutex<()>,
    stopping: AtomicBool,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Host {
    /// Opens a data directory and starts to work. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the directory cannot be used, or the engine cannot be run.
    pub fn open(config: &HostConfig) -> Result<Arc<Host>> {
        Host::traced(config, None)
    }

    /// The same, and every change is traced.
    pub(crate) fn traced(
        config: &HostConfig,
        tracer: Option<opentelemetry_sdk::trace::SdkTracer>,
    ) -> Result<Arc<Host>> {
        std::fs::create_dir_all(&config.data)
            .with_context(|| format!("cannot create {}", config.data.display()))?;
        std::fs::set_permissions(
            &config.data,
            std::os::unix::fs::PermissionsExt::from_mode(0o700),
        )?;
        let master = config.key.open(&config.data)?;
        let file = config.store.file(&config.data);
        let store = config.store.open(&config.data, &master)?;
        let runtime = Runtime::new(Some(&config.cache))?;
        let vault = Vault::load(Arc::clone(&store)).context("the integrations cannot be loaded")?;
        let vault = Arc::new(vault);
        let access = Access::load(Arc::clone(&store)).context("the tokens cannot be loaded")?;
        let channels: Vec<_> = (0..config.workers.max(1)).map(|_| unbounded()).collect();
        let (intake, comes_in) = unbounded();
        let host = Arc::new(Host {
            store,
            carrier: Carrier::through(config.addresses.clone(), &config.egress)?
                .with_keeper(Arc::new(VaultKeeper(Arc::clone(&vault)))),
            vault,
            rules: Arc::new(RuleBook::open(config.program.clone(), &config.cache)?),
            access,
            pulse: Pulse::new(),
            metrics: Metrics::new(),
            journeys: Journeys::new(tracer),
            file,
            places: Mutex::new(BTreeMap::new()),
            refusals: Mutex::new(BTreeMap::new()),
            public_url: config.public_url.trim_end_matches('/').to_owned(),
            tokio: tokio::runtime::Handle::current(),
            queues: channels.iter().map(|(sender, _)| sender.clone()).collect(),
            lanes: Lanes::new(channels.len()),
            intake,
            requests: AtomicU64::new(1),
            replies: Mutex::new(BTreeMap::new()),
            written: Mutex::default(),
            notices: broadcast::channel(1_024).0,
            pongs: broadcast::channel(64).0,
            at_instance: Mutex::new(BTreeMap::new()),
            reports: Mutex::new(BTreeMap::new()),
            indexes: knowledge::Indexes::default(),
            vectors: vectors::Vectors::default(),
            cache: config.cache.clone(),
            claims: Mutex::new(BTreeMap::new()),
            wake: Wake::default(),
            share: Together::default(),
            naming: tokio::sync::Mutex::new(()),
            stopping: AtomicBool::new(false),
            threads: Mutex::new(Vec::new()),
        });
        let recorder = match &config.record {
            Some(path) => Some(
                firn_runtime::Recorder::open(path)
                    .with_context(|| format!("cannot record to {}", path.display()))?,
            ),
            None => None,
        };
        let mut threads = Vec::new();
        let queues = channels.into_iter().map(|(_, queue)| queue).enumerate();
        let queues = queues.map(|(i, queue)| (format!("worker-{i}"), queue));
        for (name, queue) in queues.chain([("intake".to_owned(), comes_in)]) {
            let doors = Arc::downgrade(&host);
            let worker = runtime
                .worker(move || Box::new(HostDoors::new(Weak::clone(&doors))))
                .recording(recorder.clone());
            let host = Arc::downgrade(&host);
            let run = move || work::work(&host, &queue, worker);
            threads.push(std::thread::Builder::new().name(name).spawn(run)?);
        }
        let weak = Arc::downgrade(&host);
        threads.push(
            std::thread::Builder::new()
                .name("scheduler".to_owned())
                .spawn(move || work::schedule(&weak))?,
        );
        threads.extend(together::join(&host)?);
        *host.threads.lock().unwrap_or_else(PoisonError::into_inner) = threads;
        // What happened while nobody was there is asked for at once.
        for known in host.vault.all() {
            host.metrics.known(&known.integration);
            let Integration { tenant, id: integration, .. } = known.integration.clone();
            let operation = Operation::Poll { integration };
            drop(host.ask(|request| {
                let by = "the host".to_owned();
                Event::Operate { request, tenant, operation, by }
            }));
        }
        host.tokio.spawn(vectors::keep(Arc::downgrade(&host)));
        let weak = Arc::downgrade(&host);
        host.tokio.spawn(async move {
            while let Some(host) = weak.upgrade() {
                host.warn_of_ends();
                drop(host);
                tokio::time::sleep(Duration::from_secs(3_600)).await;
            }
        });
        Ok(host)
    }

    /// Stops handing out work, and waits for what is being done.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.wake.wake();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }

    /// Whether we are reached by https.
    pub(crate) fn is_https(&self) -> bool {
        self.public_url.starts_with("https://")
    }

    /// Where ServiceNow reaches an integration's webhook.
    #[must_use]
    pub fn webhook_url(&self, id: &IntegrationId) -> String {
        format!("{}/api/v1/webhooks/{id}", self.public_url)
    }

    /// Held while a name is given, so that two cannot be given at once; whatever is known is as it is stored then.
    ///
    /// # Errors
    /// When the store cannot be used, or other processes give names for too long.
    pub(crate) async fn naming(&self) -> Result<Turn<tokio::sync::MutexGuard<'_, ()>>> {
        let here = self.naming.lock().await;
        let everywhere = lease(&self.store, "naming", NAMING).await?;
        if everywhere.is_some() {
            let before = self.vault.reload()?;
            self.changed_elsewhere(&before);
            self.access.reload()?;
        }
        Ok(Turn { _here: here, _everywhere: everywhere })
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.vault
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// Where compiled components are kept.
    pub(crate) fn cache(&self) -> &std::path::Path {
        &self.cache
    }

    pub(crate) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What is the process's own, for its metrics.
    pub(crate) fn process(&self) -> Process {
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
        let file = |file: &PathBuf| size(file) + size(&file.with_extension("db-wal"));
        Process {
            store: self.file.as_ref().map(file),
            waiting: self.queues.iter().chain([&self.intake]).map(Sender::len).sum(),
        }
    }

    /// Changes were committed: whoever watches is told, and it is counted.
    fn committed(&self, changes: &[Change]) {
        let now = now();
        for beat in self.pulse.committed(changes, now) {
            self.metrics.beat(&beat);
        }
        for (integration, took) in self.journeys.committed(changes, now) {
            self.metrics.settled(&integration, took);
        }
    }

    /// The places that an integration has for requests.
    pub(crate) fn places(&self, id: &IntegrationId) -> Places {
        let mut all = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(id.clone()).or_insert_with(Places::new).clone()
    }

    /// Writes down what was done outside of the engine, and by whom. It was done: that it cannot be written
    /// down is told, and undoes nothing.
    pub(crate) fn note(
        &self,
        tenant: &TenantId,
        integration: Option<&IntegrationId>,
        event: &str,
        what: &str,
        by: &str,
    ) {
        let none = || IntegrationId::new(OF_NONE).unwrap_or_else(|_| unreachable!("a valid name"));
        let integration = integration.cloned().unwrap_or_else(none);
        let at = now();
        let line = Audit {
            integration: integration.clone(),
            link: None,
            at,
            event: event.to_owned(),
            key: None,
            side: None,
            fields: Vec::new(),
            note: Some(format!("{what}; by {by}")),
        };
        let value = serde_json::to_string(&line).unwrap_or_default();
        let hash = crate::hex(&Sha256::digest(value.as_bytes())[..8]);
        let name = format!("{:015}-{hash}", at.0.max(0));
        let key = Key::new(tenant, &["audit", integration.as_str(), "-", &name]);
        let put = Some(Put { value, due: None });
        let changes = [Change { key, expect: Expect::Any, put }];
        match self.store.commit(&changes) {
            Ok(()) => self.committed(&changes),
            Err(why) => tracing::error!(event, by, %why, "could not be written to the audit"),
        }
    }

    /// The tenants' own rules.
    pub(crate) fn rule_book(&self) -> &Arc<RuleBook> {
        &self.rules
    }

    /// The store.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// What was answered under a key before.
    pub(crate) fn given<T: DeserializeOwned>(&self, place: &Key) -> Result<Option<T>> {
        let row = self.store.get(std::slice::from_ref(place))?.pop().flatten();
        row.map(|row| serde_json::from_str(&row.value).map_err(Into::into)).transpose()
    }

    /// Keeps an answer, and lets go of some that nobody asks for any more: those given before `old`.
    pub(crate) fn keep_given(&self, answer: Change, old: i64) -> Result<()> {
        #[derive(serde::Deserialize)]
        struct Aged {
            at: i64,
        }
        let tenant = answer.key.tenant.clone();
        let mut changes = vec![answer];
        // Keys are digests: from anywhere, all of them come by in time.
        let from = format!("once/{:08x}", fastrand::u32(..));
        for row in self.store.scan(&tenant, "once/", Some(&from), 20)? {
            let aged = serde_json::from_str::<Aged>(&row.value).is_ok_and(|aged| aged.at >= old);
            if !aged && row.key != changes[0].key {
                changes.push(Change { key: row.key, expect: Expect::Any, put: None });
            }
        }
        self.store.commit(&changes).map_err(Into::into)
    }

    fn push(&self, event: Event) {
        tracing::trace!(target: "firn::sync", "{}", work::traced(&event));
        let queue = match self.lanes.enter(&event) {
            Some(worker) => &self.queues[worker],
            None => &self.intake,
        };
        let _ = queue.send(event);
    }

    /// Rows of a kind, decoded; what cannot be decoded is left out (and said so in the log).
    pub(crate) fn rows<T: DeserializeOwned>(
        &self,
        tenant: &TenantId,
        prefix: &str,
    ) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        self.each(tenant, prefix, |_, row| rows.push(row))?;
        Ok(rows)
    }

    /// Every row of a kind with its name, decoded, one after the other; what cannot be decoded is left out
    /// (and said so in the log).
    pub(crate) fn each<T: DeserializeOwned>(
        &self,
        tenant: &TenantId,
        prefix: &str,
        mut see: impl FnMut(&str, T),
    ) -> Result<()> {
        const PAGE: u32 = 1_000;
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan(tenant, prefix, after.as_deref(), PAGE)?;
            let full = page.len() == PAGE as usize;
            after = page.last().map(|row| row.key.path.clone());
            for row in page {
                match serde_json::from_str(&row.value) {
                    Ok(value) => see(row.key.path.strip_prefix(prefix).unwrap_or_default(), value),
                    Err(why) => tracing::error!(row = row.key.path, %why, "cannot be read"),
                }
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// A page of rows of a kind, decoded, and where the next one begins if there is one. `after` is what
    /// the page before gave.
    pub(crate) fn page<T: DeserializeOwned>(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<T>, Option<String>)> {
        let after = after.map(|after| format!("{prefix}{after}"));
        let mut rows =
            self.store.scan(tenant, prefix, after.as_deref(), limit.saturating_add(1))?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let last = rows.last().filter(|_| more);
        let next = last.and_then(|row| row.key.path.strip_prefix(prefix).map(str::to_owned));
        let decoded = rows.into_iter().filter_map(|row| {
            serde_json::from_str(&row.value)
                .map_err(|why| tracing::error!(row = row.key.path, %why, "cannot be read"))
                .ok()
        });
        Ok((decoded.collect(), next))
    }

    /// One row, decoded.
    pub(crate) fn row<T: DeserializeOwned>(
        &self,
        tenant: &TenantId,
        segments: &[&str],
    ) -> Result<Option<T>> {
        let row = self.store.get(&[Key::new(tenant, segments)])?.pop().flatten();
        row.map(|row| serde_json::from_str(&row.value).map_err(Into::into)).transpose()
    }

    fn ask(&self, event: impl FnOnce(u64) -> Event) -> oneshot::Receiver<Reply> {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.replies.lock().unwrap_or_else(PoisonError::into_inner).insert(request, sender);
        self.push(event(request));
        receiver
    }

    /// Asks for an operation.
    pub async fn operate(&self, tenant: &TenantId, operation: Operation, by: &str) -> Asked {
        let tenant = tenant.clone();
        let by = by.to_owned();
        answered(self.ask(|request| Event::Operate { request, tenant, operation, by }).await)
    }

    /// Takes a request from outside. `wait` is how long a ticket may take to be made.
    pub(crate) async fn inbound(
        &self,
        known: &Known,
        kind: InboundKind,
        headers: Vec<(String, String)>,
        body: String,
        wait: Duration,
        like: Vec<LikeCase>,
    ) -> Asked {
        let Integration { id, tenant, .. } = &known.integration;
        let mut notices = self.notices.subscribe();
        let came = now();
        let (whose, integration) = (tenant.clone(), id.clone());
        let turn = self.places(id).in_work.acquire_owned().await;
        let reply = self.ask(|request| {
            Event::Inbound(Inbound {
                request,
                tenant: whose,
                integration,
                kind,
                headers,
                body,
                like,
            })
        });
        // Whoever hangs up leaves what was sent in the queue: its place is taken until that is answered. Whoever waits
        // for a ticket works on nothing.
        let reply = tokio::spawn(async move {
            let reply = reply.await;
            drop(turn);
            reply
        });
        let Ok(Ok(reply)) = reply.await else {
            self.metrics.came(id, kind, 500, "");
            return answered(Err(()));
        };
        self.metrics.came(id, kind, reply.status, &reply.body);
        if reply.status < 300 {
            self.pulse.came(id, came);
        }
        self.notice_ping(known, kind, &reply);
        let Some(link) = reply.waits_for.clone() else { return answered(Ok::<_, ()>(reply)) };
        let first = reply.first;
        let noticed = tokio::time::timeout(wait, async {
            let noticed = async {
                loop {
                    match notices.recv().await {
                        Ok(notice) if notice.link == link => return Some(notice),
                        Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                        Err(broadcast::error::RecvError::Closed) => return None,
                    }
                }
            };
            tokio::select! {
                noticed = noticed => noticed,
                made = self.made_elsewhere(tenant, id, &link) => Some(made),
            }
        });
        match noticed.await {
            Ok(Some(notice)) => ticket(&notice, first),
            _ => Asked {
                location: Some(format!("/api/v1/integrations/{id}/links/{link}")),
                ..answered(Ok::<_, ()>(reply))
            },
        }
    }

    /// Stores an integration's settings through the engine, which checks them, and its secrets.
    pub(crate) async fn configure(
        &self,
        tenant: &TenantId,
        given: firn_model::Configure,
        secrets: Secrets,
        by: &str,
    ) -> Result<Asked> {
        if let Some(url) = &given.base_url {
            self.carrier_addresses().check(&firn_model::instance_address(url))?;
        }
        for (_, url) in given.platform.iter().flat_map(firn_model::PlatformContract::addresses) {
            self.carrier_addresses().check(&url.replace("{id}", "id"))?;
        }
        let operation = Operation::Configure { integration: Box::new(given) };
        let asked = self.operate(tenant, operation, by).await;
        if asked.status < 300 {
            let integration: Integration = serde_json::from_value(asked.body.clone())?;
            if integration.tenant != *tenant {
                bail!("the engine answered for another tenant");
            }
            self.keep(integration, secrets)?;
        }
        Ok(asked)
    }

    /// Whether the addresses of a settings document may be connected to.
    ///
    /// # Errors
    /// Names the address that may not.
    pub(crate) fn allowed(
        &self,
        document: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<()> {
        let text =
            |value: Option<&serde_json::Value>| value.and_then(|v| v.as_str()).map(str::to_owned);
        let base = text(document.get("base_url")).map(|url| firn_model::instance_address(&url));
        let platform = document.get("platform").and_then(|platform| platform.as_object());
        let platform = platform.into_iter().flatten().filter_map(|(_, url)| text(Some(url)));
        for url in base.into_iter().chain(platform) {
            self.carrier_addresses().check(&url.replace("{id}", "id"))?;
        }
        Ok(())
    }

    /// Keeps an integration that was changed. What was found out about its instance before is no news
    /// of it any more; another instance has no resource of ours yet.
    pub(crate) fn keep(&self, integration: Integration, mut secrets: Secrets) -> Result<()> {
        let before = self.vault.get(&integration.id);
        if let Some(known) = before.as_ref().filter(|_| secrets.webhook.is_empty()) {
            // It may have been made a moment ago.
            secrets.webhook.clone_from(&known.secrets.webhook);
        }
        secrets.resource = before
            .filter(|known| known.integration.base_url == integration.base_url)
            .and_then(|known| known.secrets.resource.clone());
        self.forget_report(&integration.id);
        self.metrics.known(&integration);
        self.vault.keep(integration, secrets)
    }

    /// An integration is gone, and what it allowed of its instance's budget.
    pub(crate) fn forget_limits(&self, id: &IntegrationId) {
        self.carrier.forget(id);
        self.pulse.forget(id);
        self.metrics.forget(id);
    }

    fn carrier_addresses(&self) -> &Addresses {
        self.carrier.allowed()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
    }
}

/// The answer to a request that waited for its ticket.
fn ticket(notice: &Notice, first: bool) -> Asked {
    let created = notice.created && first;
    Asked {
        status: if created { 201 } else { 200 },
        body: serde_json::json!({
            "status": if created { "created" } else { "existing" },
            "link": notice.link, "sys_id": notice.sys_id, "number": notice.number,
        }),
        location: None,
    }
}

fn answered<E>(reply: Result<Reply, E>) -> Asked {
    let reply = reply.unwrap_or_else(|_| Reply {
        status: 500,
        body: serde_json::to_string(&Problem::new(
            500,
            "engine-failed",
            "The engine failed on this request",
            "nothing was stored; it is logged, and other requests go on",
        ))
        .unwrap_or_default(),
        waits_for: None,
        first: false,
    });
    Asked {
        status: reply.status,
        body: serde_json::from_str(&reply.body).unwrap_or_default(),
        location: None,
    }
}

/// A link's id, if the text is one.
pub(crate) fn link_id(text: &str) -> Option<LinkId> {
    LinkId::new(text).ok()
}
