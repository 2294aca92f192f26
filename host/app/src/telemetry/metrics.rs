//! What Prometheus is told. Labels name integrations, sides and kinds; never a record, a person or a value.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use firn_model::rule::{Answer, Question};
use firn_model::{AnswerBody, InboundKind, Integration, IntegrationId, Millis, Remote, Side};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::api::status::Status;
use crate::host::pulse::{Beat, What, kind_of, written};

/// As `Content-Type` says what is told.
pub(crate) const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    tenant: String,
    integration: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Came {
    tenant: String,
    integration: String,
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct To {
    tenant: String,
    integration: String,
    side: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Asked {
    tenant: String,
    integration: String,
    remote: &'static str,
    outcome: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ruled {
    tenant: String,
    integration: String,
    hook: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Found {
    tenant: String,
    integration: String,
    kind: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    method: String,
    route: String,
    status: u16,
}

type Seconds = Gauge<f64, AtomicU64>;

/// Everything that is counted.
pub(crate) struct Metrics {
    registry: Registry,
    /// Held while everything is told: what is set for it is not set by another meanwhile.
    telling: Mutex<()>,
    names: Mutex<BTreeMap<IntegrationId, Of>>,
    came: Family<Came, Counter>,
    writes: Family<To, Counter>,
    requests: Family<Asked, Counter>,
    request_time: Family<To, Histogram, fn() -> Histogram>,
    found: Family<Found, Counter>,
    settle_time: Family<Of, Histogram, fn() -> Histogram>,
    served: Family<Route, Counter>,
    serve_time: Histogram,
    traps: Counter,
    rules: Family<Ruled, Counter>,
    unknown: Gauge,
    links: Family<Of, Gauge>,
    backlog: Family<Of, Gauge>,
    dead: Family<Of, Gauge>,
    conflicts: Family<Of, Gauge>,
    enabled: Family<Of, Gauge>,
    signed_in: Family<Of, Gauge>,
    sign_in_ends: Family<Of, Seconds>,
    behind: Family<Of, Seconds>,
    store: Gauge,
    waiting: Gauge,
    replicas: Gauge,
}

/// From a millisecond to a minute and a half.
fn fine() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 90.0,
    ])
}

/// From ten milliseconds to an hour.
fn coarse() -> Histogram {
    Histogram::new([0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0])
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("firn"),
            telling: Mutex::default(),
            names: Mutex::default(),
            came: Family::default(),
            writes: Family::default(),
            requests: Family::default(),
            request_time: Family::new_with_constructor(fine),
            found: Family::default(),
            settle_time: Family::new_with_constructor(coarse),
            served: Family::default(),
            serve_time: fine(),
            traps: Counter::default(),
            rules: Family::default(),
            unknown: Gauge::default(),
            links: Family::default(),
            backlog: Family::default(),
            dead: Family::default(),
            conflicts: Family::default(),
            enabled: Family::default(),
            signed_in: Family::default(),
            sign_in_ends: Family::default(),
            behind: Family::default(),
            store: Gauge::default(),
            waiting: Gauge::default(),
            replicas: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let Metrics { registry: r, .. } = self;
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        r.register("build", "The program", build);
        r.register(
            "deliveries",
            "What came in from outside, by kind and outcome",
            self.came.clone(),
        );
        r.register("writes", "Writes, by the side that was written to", self.writes.clone());
        r.register("requests", "Requests that left, by how they ended", self.requests.clone());
        let what = "How long a request took, its turn in the queue included";
        r.register_with_unit("request", what, Unit::Seconds, self.request_time.clone());
        r.register("findings", "What a person should see, by kind", self.found.clone());
        let what = "From what came in to a link with nothing left to do";
        r.register_with_unit("settle", what, Unit::Seconds, self.settle_time.clone());
        r.register("http_requests", "Requests that were served", self.served.clone());
        let what = "How long serving a request took";
        r.register_with_unit("http_request", what, Unit::Seconds, self.serve_time.clone());
        r.register("traps", "Events that the engine failed on", self.traps.clone());
        let what = "Questions to tenants' own rules, by hook and outcome";
        r.register("rules_asked", what, self.rules.clone());
        let what = "Integrations of which it could not be read how they stand";
        r.register("unknown", what, self.unknown.clone());
        r.register("links", "Pairs of records", self.links.clone());
        r.register(
            "backlog",
            "Links and deliveries with something left to do",
            self.backlog.clone(),
        );
        r.register("dead_letters", "Writes that wait for a person", self.dead.clone());
        r.register("open_conflicts", "Conflicts that wait for a person", self.conflicts.clone());
        r.register("enabled", "Whether the integration is not paused", self.enabled.clone());
        r.register(
            "signed_in",
            "Whether the sign-in works, as far as is known",
            self.signed_in.clone(),
        );
        let what = "Until the sign-in ends, where that is known";
        r.register_with_unit("sign_in_ends", what, Unit::Seconds, self.sign_in_ends.clone());
        let what = "How far polling is behind: what is older has been seen for certain";
        r.register_with_unit("behind", what, Unit::Seconds, self.behind.clone());
        r.register_with_unit("store", "The store's file", Unit::Bytes, self.store.clone());
        r.register("waiting_events", "Events that wait for a worker", self.waiting.clone());
        let what = "Processes that work on the store, as far as this one knows";
        r.register("replicas", what, self.replicas.clone());
        self.replicas(1);
    }

    /// So many processes work on the store.
    pub(crate) fn replicas(&self, count: usize) {
        self.replicas.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A tenant's own rules were asked.
    pub(crate) fn asked_rules(&self, id: &IntegrationId, asked: &[Question], said: &[Answer]) {
        let Some(Of { tenant, integration }) = self.of(id) else { return };
        for (question, answer) in asked.iter().zip(said) {
            let outcome = match answer {
                Answer::Said(_) => "answered",
                Answer::Failed(_) => "failed",
                Answer::Resting(_) => "resting",
                Answer::Later(_) => "loading",
            };
            let (tenant, integration) = (tenant.clone(), integration.clone());
            let hook = question.hook().name();
            self.rules.get_or_create(&Ruled { tenant, integration, hook, outcome }).inc();
        }
    }

    /// An integration's labels, by its name for people.
    fn of(&self, id: &IntegrationId) -> Option<Of> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// An integration is there, or has another name now.
    pub(crate) fn known(&self, integration: &Integration) {
        let of =
            Of { tenant: integration.tenant.to_string(), integration: integration.slug.clone() };
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(integration.id.clone(), of);
    }

    /// An integration is gone.
    pub(crate) fn forget(&self, id: &IntegrationId) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Something came in, and was answered with a status.
    pub(crate) fn came(&self, id: &IntegrationId, kind: InboundKind, status: u16, body: &str) {
        let Some(Of { tenant, integration }) = self.of(id) else { return };
        let kind = kind.name();
        let outcome = match status {
            200..300 if body.contains(r#""status":"duplicate""#) => "duplicate",
            200..300 => "taken",
            500.. => "failed",
            _ => "refused",
        };
        self.came.get_or_create(&Came { tenant, integration, kind, outcome }).inc();
    }

    /// Something was committed.
    pub(crate) fn beat(&self, beat: &Beat) {
        let Some(Of { tenant, integration }) = self.of(&beat.integration) else { return };
        match &beat.what {
            What::Finding(finding) => {
                let kind = kind_of(finding.kind);
                self.found.get_or_create(&Found { tenant, integration, kind }).inc();
            }
            What::Line(_) => {
                if let Some(side) = written(beat) {
                    self.writes.get_or_create(&To { tenant, integration, side: name(side) }).inc();
                }
            }
            What::Changed(_) | What::Erased => {}
        }
    }

    /// A request that left has ended.
    pub(crate) fn asked(
        &self,
        id: &IntegrationId,
        remote: Remote,
        took: Duration,
        end: &AnswerBody,
    ) {
        let Some(Of { tenant, integration }) = self.of(id) else { return };
        let side = name(side(remote));
        let time = To { tenant: tenant.clone(), integration: integration.clone(), side };
        self.request_time.get_or_create(&time).observe(took.as_secs_f64());
        let remote = remote_name(remote);
        let outcome = outcome(end);
        self.requests.get_or_create(&Asked { tenant, integration, remote, outcome }).inc();
    }

    /// A link has nothing left to do since something came in.
    pub(crate) fn settled(&self, id: &IntegrationId, took: Duration) {
        let Some(of) = self.of(id) else { return };
        self.settle_time.get_or_create(&of).observe(took.as_secs_f64());
    }

    /// A request was served.
    pub(crate) fn served(&self, method: &str, route: Option<&str>, status: u16, took: Duration) {
        // Addresses that are none have one name for all: whoever asks cannot make more of them.
        let route = route.unwrap_or("none").to_owned();
        let method = match method {
            "GET" | "POST" | "PATCH" | "DELETE" | "HEAD" => method,
            _ => "other",
        };
        self.served.get_or_create(&Route { method: method.to_owned(), route, status }).inc();
        self.serve_time.observe(took.as_secs_f64());
    }

    pub(crate) fn trapped(&self) {
        self.traps.inc();
    }

    /// How everything stands, in the text that Prometheus reads.
    pub(crate) fn text(
        &self,
        standing: &[(Integration, Standing)],
        unknown: usize,
        process: Process,
    ) -> String {
        let _telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        let all = [
            &self.links,
            &self.backlog,
            &self.dead,
            &self.conflicts,
            &self.enabled,
            &self.signed_in,
        ];
        for family in all {
            family.clear();
        }
        self.sign_in_ends.clear();
        self.behind.clear();
        for (integration, standing) in standing {
            let of = Of {
                tenant: integration.tenant.to_string(),
                integration: integration.slug.clone(),
            };
            let set = |family: &Family<Of, Gauge>, value: usize| {
                family.get_or_create(&of).set(i64::try_from(value).unwrap_or(i64::MAX));
            };
            let Standing { status, signed_in, ends, now } = standing;
            set(&self.links, status.links);
            set(&self.backlog, status.backlog);
            set(&self.dead, status.dead_letters);
            set(&self.conflicts, status.open_conflicts);
            set(&self.enabled, usize::from(integration.enabled));
            set(&self.signed_in, usize::from(*signed_in));
            if let Some(ends) = ends {
                self.sign_in_ends.get_or_create(&of).set(seconds(ends.since(*now)));
            }
            if let Some(seen) = status.caught_up {
                self.behind.get_or_create(&of).set(seconds(now.since(seen)).max(0.0));
            }
        }
        self.unknown.set(i64::try_from(unknown).unwrap_or(i64::MAX));
        if let Some(bytes) = process.store {
            self.store.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        self.waiting.set(i64::try_from(process.waiting).unwrap_or(i64::MAX));
        let mut told = String::new();
        if text::encode(&mut told, &self.registry).is_err() {
            told.clear(); // A text takes whatever is written to it.
        }
        told
    }
}

/// How an integration stands when it is asked for.
pub(crate) struct Standing {
    pub(crate) status: std::sync::Arc<Status>,
    pub(crate) signed_in: bool,
    /// When the sign-in ends, where that is known.
    pub(crate) ends: Option<Millis>,
    pub(crate) now: Millis,
}

/// What is the process's own.
#[derive(Clone, Copy)]
pub(crate) struct Process {
    /// The store's file, in bytes, if it is one.
    pub(crate) store: Option<u64>,
    /// Events that wait for a worker.
    pub(crate) waiting: usize,
}

#[allow(clippy::cast_precision_loss)] // Of seconds.
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}

pub(crate) fn name(side: Side) -> &'static str {
    match side {
        Side::Platform => "platform",
        Side::External => "servicenow",
    }
}

/// The side that a request goes to.
pub(crate) fn side(remote: Remote) -> Side {
    match remote {
        Remote::Servicenow => Side::External,
        _ => Side::Platform,
    }
}

pub(crate) fn remote_name(remote: Remote) -> &'static str {
    match remote {
        Remote::Servicenow => "servicenow",
        Remote::PlatformCallback => "platform-callback",
        Remote::PlatformRead => "platform-read",
        Remote::PlatformFindings => "platform-findings",
        Remote::PlatformKnowledge => "platform-knowledge",
        Remote::Model => "model",
        Remote::PlatformAttachmentRead => "platform-attachment-read",
        Remote::PlatformAttachmentWrite => "platform-attachment-write",
    }
}

/// How a request ended, in one of few words.
pub(crate) fn outcome(end: &AnswerBody) -> String {
    match end {
        AnswerBody::Response(response) => response.status.to_string(),
        AnswerBody::Busy(_) => "no-room".to_owned(),
        AnswerBody::NotSent(_) => "not-sent".to_owned(),
        AnswerBody::Silent(_) => "left-alone".to_owned(),
        AnswerBody::Lost(_) => "lost".to_owned(),
        AnswerBody::NoFile(_) => "no-file".to_owned(),
        AnswerBody::OtherFile => "other-file".to_owned(),
    }
}
