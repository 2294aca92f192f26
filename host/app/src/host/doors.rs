//! The doors of one engine instance: store, HTTP, clock, secrets and log, as this host has them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use firn_model::rule;
use firn_model::{
    ActiveRules, Answer, AnswerBody, Change, CommitError, Event, HttpRequest, Inquiry,
    IntegrationId, Key, Millis, Row, TenantId,
};
use firn_runtime::{Doors, Scheme, Signature};

use super::{Host, now};

/// The doors of one instance.
pub(super) struct HostDoors {
    host: Weak<Host>,
    /// What time the engine was told last: it decides by that.
    told: AtomicI64,
}

impl HostDoors {
    pub(super) fn new(host: Weak<Host>) -> HostDoors {
        HostDoors { host, told: AtomicI64::new(now().0) }
    }

    fn host(&self) -> Result<Arc<Host>, CommitError> {
        self.host.upgrade().ok_or_else(|| CommitError::Failed("the host is stopping".to_owned()))
    }
}

impl Doors for HostDoors {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, CommitError> {
        self.host()?.store.get(keys)
    }

    fn scan(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Row>, CommitError> {
        self.host()?.store.scan(tenant, prefix, after, limit)
    }

    fn commit(&self, changes: &[Change]) -> Result<(), CommitError> {
        let host = self.host()?;
        let committed = host.store.commit(changes);
        host.writes(&committed);
        committed?;
        host.committed(changes);
        Ok(())
    }

    fn submit(&self, mut request: HttpRequest) {
        let Some(host) = self.host.upgrade() else { return };
        let decided = Millis(self.told.load(Ordering::Relaxed));
        tracing::trace!(
            target: "firn::sync", "out  {} {:?} {:?}", request.ticket, request.method, request.remote,
        );
        let tokio = host.tokio.clone();
        tokio.spawn(async move {
            let known = host
                .vault
                .get(&request.integration)
                .filter(|k| k.integration.tenant == request.tenant);
            let leg = host.journeys.leaves(&request);
            if let Some(parent) = leg.traceparent() {
                request.headers.push(("traceparent".to_owned(), parent));
            }
            let began = Instant::now();
            let body = match known {
                Some(known) => host.carrier.carry(&known.target(), &request, decided).await,
                None => AnswerBody::NotSent("the integration is gone".to_owned()),
            };
            host.metrics.asked(&request.integration, request.remote, began.elapsed(), &body);
            leg.over(&body);
            let HttpRequest { ticket, tenant, integration, .. } = request;
            host.push(Event::Answer(Answer { ticket, tenant, integration, body }));
        });
    }

    fn now(&self) -> Millis {
        let now = now();
        self.told.store(now.0, Ordering::Relaxed);
        now
    }

    fn verify(
        &self,
        tenant: &str,
        integration: &str,
        _: Scheme,
        message: &str,
        signatures: &[String],
    ) -> Signature {
        let known = self
            .host
            .upgrade()
            .and_then(|host| host.vault.get(&IntegrationId::new(integration).ok()?));
        let Some(known) = known.filter(|k| k.integration.tenant.as_str() == tenant) else {
            return Signature::NoSecret;
        };
        match firn_remote::verify(&known.secrets.webhook, message, signatures) {
            None => Signature::NoSecret,
            Some(true) => Signature::Valid,
            Some(false) => Signature::Invalid,
        }
    }

    fn token(&self, tenant: &str, kind: &str, canonical: &str) -> Option<String> {
        self.host.upgrade()?.vault.token(&TenantId::new(tenant).ok()?, kind, canonical)
    }

    fn ask(
        &self,
        tenant: &TenantId,
        integration: &IntegrationId,
        active: &ActiveRules,
        inquiry: &Inquiry,
    ) -> Vec<rule::Answer> {
        let Some(host) = self.host.upgrade() else { return Vec::new() };
        let (keeper, whose, id) = (Arc::clone(&host), tenant.clone(), integration.clone());
        let digest = active.digest.clone();
        let wasm = move || keeper.rule_component(&whose, &id, &digest);
        let answers = host.rules.ask(tenant, integration, active, inquiry, wasm);
        host.metrics.asked_rules(integration, &inquiry.questions, &answers);
        answers
    }

    fn line(&self, text: &str) {
        tracing::info!("{text}");
    }
}
