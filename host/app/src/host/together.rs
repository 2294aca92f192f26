//! Working on a store together with other processes: what falls to this one, and what it hears of the others.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use firn_model::{
    Change, Expect, IntegrationId, Key, Link, LinkId, Millis, Notice, Put, Row, TenantId,
};
use firn_storage::{Heard, Share, slot};

use super::replicas::{KIND, RENEWED, Replicas, share};
use super::{Host, now};
use crate::vault::{Known, system};

/// Without hearing anything, what is kept in memory is read anew this often: where nothing gets through, that is
/// how late this process knows.
const ANYWAY: Duration = Duration::from_secs(15);
/// A scheduler that has not looked for so long never will: the store gives up sooner.
const STILL: Duration = Duration::from_secs(60);
/// What others commit wakes the scheduler this often at most.
const BREATH: Duration = Duration::from_millis(10);
/// What another process does is looked for after so long, first.
const LOOKED: Duration = Duration::from_millis(100);

/// The row of a ping that came in.
fn pong(tenant: &TenantId, integration: &IntegrationId, nonce: &str) -> Key {
    Key::new(tenant, &["pong", integration.as_str(), nonce])
}

/// Where it says of whom something was erased.
const ERASED: &str = "erased";

/// The row that says when something of a tenant was erased last.
pub(super) fn erased(tenant: &TenantId) -> Key {
    Key::new(&system(), &[ERASED, tenant.as_str()])
}

/// What of the due rows falls to this process.
#[derive(Default)]
pub(super) struct Together {
    /// `None`: all of them; nobody else is there.
    slots: Mutex<Option<Vec<u8>>>,
    /// When the scheduler looked last.
    looked: Mutex<Option<Instant>>,
    /// The last that this process knows of what was erased, by its row's version.
    erased: Mutex<BTreeMap<TenantId, u64>>,
}

impl Together {
    fn set(&self, slots: Option<Vec<u8>>) {
        *self.slots.lock().unwrap_or_else(PoisonError::into_inner) = slots;
    }

    /// The scheduler looks at what is due.
    pub(super) fn looks(&self) {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn stands_still(&self) -> bool {
        let looked = *self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.is_some_and(|looked| looked.elapsed() > STILL)
    }

    fn slots(&self) -> Option<Vec<u8>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Joins the processes that work on the store, where there can be any.
pub(super) fn join(host: &Arc<Host>) -> Result<Option<std::thread::JoinHandle<()>>> {
    if !host.store.is_shared() {
        return Ok(None);
    }
    let mut replicas = Replicas::join(Arc::clone(&host.store), now())?;
    host.are(&mut replicas);
    let (ear, heard) = unbounded();
    host.store.listen(Box::new(move |what| {
        let _ = ear.send(what);
    }));
    let weak = Arc::downgrade(host);
    let run = move || {
        live(&weak, &heard, &mut replicas);
        replicas.leave();
    };
    Ok(Some(std::thread::Builder::new().name("replicas".to_owned()).spawn(run)?))
}

/// Renews, looks and listens until the host stops.
fn live(host: &Weak<Host>, heard: &Receiver<Heard>, replicas: &mut Replicas) {
    let mut renewed = Instant::now();
    let mut read = Instant::now();
    loop {
        let patience = RENEWED.saturating_sub(renewed.elapsed()).min(Duration::from_millis(200));
        let first = match heard.recv_timeout(patience) {
            Ok(first) => Some(first),
            Err(RecvTimeoutError::Timeout) => None,
            // The store listens as long as it is there.
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(patience);
                None
            }
        };
        let Some(host) = host.upgrade() else { return };
        if host.stopping.load(Ordering::SeqCst) {
            return;
        }
        if let Some(first) = first {
            std::thread::sleep(BREATH);
            let all: Vec<Heard> = std::iter::once(first).chain(heard.try_iter()).collect();
            if host.hear(&all) {
                read = Instant::now();
            }
        }
        if read.elapsed() > ANYWAY {
            read = Instant::now();
            host.hear(&[Heard::Anything]);
        }
        if renewed.elapsed() >= RENEWED {
            renewed = Instant::now();
            if host.share.stands_still() {
                // Whoever hands nothing out is not to be taken for one who does.
                tracing::error!("the scheduler stands still; the other processes take over");
                continue;
            }
            match replicas.renew() {
                Ok(true) => host.are(replicas),
                Ok(false) => {}
                Err(why) => {
                    tracing::warn!(%why, "the other processes on the store cannot be looked at")
                }
            }
        }
    }
}

impl Host {
    /// So many there are now.
    fn are(&self, replicas: &mut Replicas) {
        let count = replicas.count();
        tracing::info!(replicas = count, "processes on the store");
        self.share.set((count > 1).then(|| replicas.slots()));
        self.carrier.share(u32::try_from(count).unwrap_or(u32::MAX));
        self.metrics.replicas(count);
        self.wake.wake();
    }

    /// What is due and falls to this process, earliest first.
    pub(super) fn due(&self, limit: u32) -> Result<Vec<(Key, Millis)>, firn_model::CommitError> {
        let now = now();
        self.share.looks();
        let Some(slots) = self.share.slots() else { return self.store.due(now, limit) };
        let Share { slots, overdue } = share(slots, now);
        let own = Share { slots, overdue: Millis(i64::MIN) };
        let mut due = self.store.due_to(&own, now, limit)?;
        // Who has enough to do takes nothing of others': all would take the same.
        if due.len() < limit as usize {
            let others = Share { slots: Vec::new(), overdue };
            let more = self.store.due_to(&others, overdue, limit)?;
            due.extend(more.into_iter().filter(|(key, _)| !own.slots.contains(&slot(&key.path))));
        }
        Ok(due)
    }

    /// The same, some of everybody's who has any, from one by name on.
    pub(super) fn due_of_each(
        &self,
        after: &str,
        each: u32,
        limit: u32,
    ) -> Result<Vec<(Key, Millis)>, firn_model::CommitError> {
        let own = |slots| Share { slots, overdue: Millis(i64::MIN) };
        let share = self.share.slots().map(own);
        self.store.due_of_each(share.as_ref(), now(), after, each, limit)
    }

    /// When the next of it is due.
    pub(super) fn next_due(&self) -> Result<Option<Millis>, firn_model::CommitError> {
        match self.share.slots() {
            None => self.store.next_due(),
            Some(slots) => self.store.next_due_to(&share(slots, now())),
        }
    }

    /// Others have committed something. Gives whether what is kept in memory was read anew.
    fn hear(&self, heard: &[Heard]) -> bool {
        let any = |kinds: &[&str]| {
            heard.iter().any(|heard| match heard {
                Heard::Anything => true,
                Heard::Changed(all) => all.iter().any(|kind| kinds.contains(&kind.as_str())),
            })
        };
        let work = heard.iter().any(|heard| match heard {
            Heard::Anything => true,
            Heard::Changed(all) => all.iter().any(|kind| kind != KIND),
        });
        let (integrations, tokens) = (any(&["integration", "secret", "granted"]), any(&["token"]));
        if integrations {
            match self.vault.reload() {
                Ok(before) => self.changed_elsewhere(&before),
                Err(why) => {
                    tracing::warn!(why = %format!("{why:#}"), "what others changed of integrations cannot be read");
                }
            }
        }
        if tokens && let Err(why) = self.access.reload() {
            tracing::warn!(why = %format!("{why:#}"), "what others changed of tokens cannot be read");
        }
        if any(&[ERASED]) {
            self.erased_elsewhere();
        }
        if work {
            self.wake.wake();
        }
        integrations && tokens
    }

    /// Of whom something was erased: nothing of it is shown any more.
    fn erased_elsewhere(&self) {
        let rows = match self.store.scan(&system(), &format!("{ERASED}/"), None, u32::MAX) {
            Ok(rows) => rows,
            Err(why) => {
                return tracing::warn!(%why, "what others erased cannot be read");
            }
        };
        for row in rows {
            let tenant = row.key.path.strip_prefix(ERASED).and_then(|path| path.strip_prefix('/'));
            let Some(tenant) = tenant.and_then(|tenant| TenantId::new(tenant).ok()) else {
                continue;
            };
            let mut seen = self.share.erased.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.insert(tenant.clone(), row.version) != Some(row.version) {
                drop(seen);
                self.pulse.erased(&tenant);
                self.forget_knowledge(&tenant);
            }
        }
    }

    /// What was known of integrations before it was read anew.
    pub(super) fn changed_elsewhere(&self, before: &BTreeMap<IntegrationId, Arc<Known>>) {
        for (id, before) in before {
            match self.vault.get(id) {
                None => self.forget_limits(id),
                Some(known) if known.integration != before.integration => self.forget_report(id),
                Some(_) => {}
            }
        }
        for known in self.vault.all() {
            self.metrics.known(&known.integration);
        }
    }

    /// A ping came in here; whoever waits for it may be another process.
    pub(super) fn keep_pong(&self, tenant: &TenantId, integration: &IntegrationId, nonce: &str) {
        if !self.store.is_shared() {
            return;
        }
        let key = pong(tenant, integration, nonce);
        let put = Some(Put { value: "{}".to_owned(), due: None });
        if let Err(why) = self.store.commit(&[Change { key, expect: Expect::Any, put }]) {
            tracing::warn!(%why, "another process does not hear of a ping");
        }
    }

    /// Waits until a ping has come in at another process; for ever, where there is no other.
    pub(super) async fn pong_elsewhere(
        &self,
        tenant: &TenantId,
        integration: &IntegrationId,
        nonce: &str,
    ) {
        if !self.store.is_shared() {
            std::future::pending::<()>().await;
        }
        let key = pong(tenant, integration, nonce);
        loop {
            tokio::time::sleep(LOOKED).await;
            let rows = self.store.get(std::slice::from_ref(&key));
            if rows.is_ok_and(|rows| rows.iter().any(Option::is_some)) {
                return;
            }
        }
    }

    /// Nobody waits for them any more.
    pub(super) fn forget_pongs(&self, tenant: &TenantId, integration: &IntegrationId) {
        if !self.store.is_shared() {
            return;
        }
        let prefix = format!("pong/{integration}/");
        let rows = self.store.scan(tenant, &prefix, None, 1_000).unwrap_or_default();
        let gone = |row: Row| Change { key: row.key, expect: Expect::Any, put: None };
        let changes: Vec<Change> = rows.into_iter().map(gone).collect();
        if !changes.is_empty() {
            let _ = self.store.commit(&changes); // The next one tries again.
        }
    }

    /// Waits until a link has its ticket that another process has made; for ever, where there is none.
    pub(super) async fn made_elsewhere(
        &self,
        tenant: &TenantId,
        integration: &IntegrationId,
        link: &LinkId,
    ) -> Notice {
        let mut pause = LOOKED;
        loop {
            tokio::time::sleep(pause).await;
            // Many may wait at once: the longer it takes, the less often each looks.
            pause = (pause * 2).min(Duration::from_secs(2));
            if self.share.slots().is_none() {
                continue;
            }
            let segments = ["link", integration.as_str(), link.as_str()];
            let row = self.row::<Link>(tenant, &segments).ok().flatten();
            if let Some(external) = row.and_then(|link| link.external) {
                return Notice {
                    link: link.clone(),
                    sys_id: external.sys_id,
                    number: external.number,
                    created: !external.adopted,
                };
            }
        }
    }
}
