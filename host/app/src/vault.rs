//! What the host itself keeps in the store: which tenant an integration belongs to, its secrets, and
//! the keys of the tenants' tokens, sealed like every row.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use anyhow::{Context, Result};
use firn_model::{Change, CommitError, Expect, Integration, IntegrationId, Key, Put, TenantId};
use firn_remote::{Granted, Secret, Secrets, Target};
use firn_storage::Store;
use serde::de::DeserializeOwned;

/// The owner of the host's own rows. No customer can have this name: it is not a valid one to ask for.
pub(crate) fn system() -> TenantId {
    TenantId::new("_firn").unwrap_or_else(|_| unreachable!("a valid name"))
}

/// An integration with what opens its doors.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) integration: Integration,
    pub(crate) secrets: Secrets,
    /// What a person consented to, whichever client it was given to.
    granted: Option<Granted>,
}

impl Known {
    pub(crate) fn target(&self) -> Target {
        Target {
            tenant: self.integration.tenant.clone(),
            integration: self.integration.id.clone(),
            base_url: self.integration.base_url.clone(),
            platform: self.integration.platform.clone(),
            secrets: self.secrets.clone(),
            limits: self.integration.settings.limits,
            restored: self.integration.restored.map(|restored| restored.until),
            granted: self
                .secrets
                .credentials
                .accept(&self.integration.base_url, self.granted.as_ref()),
        }
    }
}

/// All integrations, in memory and in the store.
pub(crate) struct Vault {
    store: Arc<dyn Store>,
    /// Everybody looks here all the time: it is held for a moment only, never while the store is asked.
    known: RwLock<BTreeMap<IntegrationId, Arc<Known>>>,
    /// Who changes anything, one at a time.
    changer: Mutex<()>,
    /// How often this process has changed anything.
    changes: AtomicU64,
    token_keys: RwLock<BTreeMap<TenantId, Secret>>,
}

/// A row of its own: it changes while the secrets are changed by hand.
fn granted_key(tenant: &TenantId, id: &IntegrationId) -> Key {
    Key::new(tenant, &["granted", id.as_str()])
}

fn secret_key(tenant: &TenantId, id: &IntegrationId) -> Key {
    Key::new(tenant, &["secret", id.as_str()])
}

/// All integrations, as they are stored.
fn stored(store: &Arc<dyn Store>) -> Result<BTreeMap<IntegrationId, Arc<Known>>> {
    /// So many are read at once.
    const PAGE: u32 = 500;
    let mut known = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.scan(&system(), "integration/", after.as_deref(), PAGE)?;
        let Some(last) = page.last() else { return Ok(known) };
        after = Some(last.key.path.clone());
        let mut ids = Vec::with_capacity(page.len());
        let mut keys = Vec::with_capacity(3 * page.len());
        for row in &page {
            let tenant: TenantId = serde_json::from_str(&row.value)?;
            let id = IntegrationId::new(row.key.path.trim_start_matches("integration/"))?;
            keys.push(Key::new(&tenant, &["integration", id.as_str()]));
            keys.push(secret_key(&tenant, &id));
            keys.push(granted_key(&tenant, &id));
            ids.push(id);
        }
        let rows = store.get(&keys)?;
        for (id, rows) in ids.into_iter().zip(rows.chunks(3)) {
            if let [Some(integration), Some(secrets), granted] = rows {
                let granted =
                    granted.as_ref().map(|row| serde_json::from_str(&row.value)).transpose()?;
                // A newer version may have written it: the others are not to wait for that.
                let integration = match serde_json::from_str(&integration.value) {
                    Ok(integration) => integration,
                    Err(_) => {
                        tracing::error!(integration = %id, "its settings cannot be read by this version: it does not run");
                        continue;
                    }
                };
                let secrets = serde_json::from_str(&secrets.value)?;
                known.insert(id, Arc::new(Known { integration, secrets, granted }));
            }
        }
    }
}

impl Vault {
    pub(crate) fn load(store: Arc<dyn Store>) -> Result<Vault> {
        let known = RwLock::new(stored(&store)?);
        let changes = AtomicU64::new(0);
        let (changer, token_keys) = (Mutex::default(), RwLock::default());
        Ok(Vault { store, known, changer, changes, token_keys })
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Reads everything anew: another process may have changed it. Gives what was known before.
    pub(crate) fn reload(&self) -> Result<BTreeMap<IntegrationId, Arc<Known>>> {
        // Nobody is in the middle of a change.
        let _changing = self.changing();
        loop {
            let before = self.changes.load(Ordering::SeqCst);
            let stored = stored(&self.store)?;
            let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
            // What this process has changed since may not be in what was read.
            if self.changes.load(Ordering::SeqCst) == before {
                return Ok(std::mem::replace(&mut *all, stored));
            }
        }
    }

    /// What is stored and what is known are changed while it is held, in this order.
    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was stored is known from now on.
    fn now(&self, change: impl FnOnce(&mut BTreeMap<IntegrationId, Arc<Known>>)) {
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        self.changes.fetch_add(1, Ordering::SeqCst);
        change(&mut all);
    }

    /// The same of one integration, unless it was forgotten meanwhile. Gives what is known then.
    fn now_of(&self, id: &IntegrationId, change: impl FnOnce(&mut Known)) -> Option<Arc<Known>> {
        let mut now = None;
        self.now(|all| {
            if let Some(known) = all.get_mut(id) {
                change(Arc::make_mut(known));
                now = Some(Arc::clone(known));
            }
        });
        now
    }

    pub(crate) fn get(&self, id: &IntegrationId) -> Option<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Everybody of whom anything is kept, also the host itself.
    pub(crate) fn tenants(&self) -> Result<Vec<TenantId>> {
        self.store.tenants().map_err(Into::into)
    }

    /// By id, slug or exact name, among those that whoever asks may see.
    pub(crate) fn find(
        &self,
        reference: &str,
        seen: impl Fn(&Known) -> bool,
    ) -> Option<Arc<Known>> {
        let all: Vec<_> = self.all().into_iter().filter(|known| seen(known)).collect();
        let by = |f: fn(&Integration) -> &str| {
            let mut hits = all.iter().filter(|k| f(&k.integration) == reference);
            match (hits.next(), hits.next()) {
                (Some(one), None) => Some(Arc::clone(one)),
                _ => None,
            }
        };
        by(|i| i.id.as_str()).or_else(|| by(|i| &i.slug)).or_else(|| by(|i| &i.name))
    }

    /// Keeps an integration's secrets, and knows it from now on.
    pub(crate) fn keep(&self, integration: Integration, secrets: Secrets) -> Result<()> {
        let put = |value: String| Some(Put { value, due: None });
        let owner = serde_json::to_string(&integration.tenant)?;
        let sealed = serde_json::to_string(&secrets)?;
        let changes = [
            Change {
                key: Key::new(&system(), &["integration", integration.id.as_str()]),
                expect: Expect::Any,
                put: put(owner),
            },
            Change {
                key: secret_key(&integration.tenant, &integration.id),
                expect: Expect::Any,
                put: put(sealed),
            },
        ];
        let _changing = self.changing();
        self.store.commit(&changes).context("the secrets could not be stored")?;
        self.now(|all| {
            let granted = all.get(&integration.id).and_then(|known| known.granted.clone());
            let known = Arc::new(Known { integration, secrets, granted });
            all.insert(known.integration.id.clone(), known);
        });
        Ok(())
    }

    /// Changes an integration's secrets, as they are at this moment; whatever else was changed
    /// meanwhile stays. Gives what is known then.
    pub(crate) fn change(
        &self,
        id: &IntegrationId,
        change: impl Fn(&mut Secrets) -> Result<()>,
    ) -> Result<Arc<Known>> {
        let _changing = self.changing();
        let known = self.get(id).context("the integration is gone")?;
        let key = secret_key(&known.integration.tenant, id);
        let secrets = loop {
            let (row, secrets) = self.row::<Secrets>(&key)?.context("the integration is gone")?;
            let mut secrets = secrets;
            change(&mut secrets)?;
            let put = Some(Put { value: serde_json::to_string(&secrets)?, due: None });
            let change = Change { key: key.clone(), expect: Expect::Version(row), put };
            match self.store.commit(&[change]) {
                Ok(()) => break secrets,
                Err(CommitError::Stale(_)) => {} // Another process has changed them, a moment ago.
                Err(why) => return Err(why).context("the secrets could not be stored"),
            }
        };
        self.now_of(id, |known| known.secrets = secrets).context("the integration is gone")
    }

    /// A row with its version.
    fn row<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<(u64, T)>> {
        let row = self.store.get(std::slice::from_ref(key))?.pop().flatten();
        row.map(|row| Ok((row.version, serde_json::from_str(&row.value)?))).transpose()
    }

    /// What a person consented to, as it is stored at this moment.
    pub(crate) fn granted(&self, id: &IntegrationId) -> Result<Option<Granted>> {
        let _changing = self.changing();
        let Some(known) = self.get(id) else { return Ok(None) };
        let granted: Option<(u64, Granted)> =
            self.row(&granted_key(&known.integration.tenant, id))?;
        let granted = granted.map(|(_, granted)| granted);
        self.now_of(id, |known| known.granted.clone_from(&granted));
        Ok(granted)
    }

    /// Keeps what a person consented to; or what came of `before`, if that still stands.
    pub(crate) fn grant(
        &self,
        id: &IntegrationId,
        before: Option<&Granted>,
        granted: &Granted,
    ) -> Result<()> {
        let _changing = self.changing();
        let known = self.get(id).context("the integration is gone")?;
        let key = granted_key(&known.integration.tenant, id);
        let refresh = |g: &Granted| g.refresh.as_ref().map(|token| token.expose().to_owned());
        let granted = loop {
            let present = self.row::<Granted>(&key)?;
            let stands = |before: &Granted| {
                present
                    .as_ref()
                    .is_some_and(|(_, p)| p.at == before.at && refresh(p) == refresh(before))
            };
            if before.is_some_and(|before| !stands(before)) {
                break present.map(|(_, present)| present);
            }
            let put = Some(Put { value: serde_json::to_string(granted)?, due: None });
            let expect = present.map_or(Expect::Absent, |(version, _)| Expect::Version(version));
            match self.store.commit(&[Change { key: key.clone(), expect, put }]) {
                Ok(()) => break Some(granted.clone()),
                Err(CommitError::Stale(_)) => {} // Another process was there a moment ago.
                Err(why) => return Err(why).context("the tokens could not be stored"),
            }
        };
        self.now_of(id, |known| known.granted = granted);
        Ok(())
    }

    /// The token of a masked value. The tenant's key is made when it is first needed. None if it
    /// cannot be had: then nothing stands for the value that could be told apart.
    pub(crate) fn token(&self, tenant: &TenantId, kind: &str, canonical: &str) -> Option<String> {
        let known = {
            let keys = self.token_keys.read().unwrap_or_else(PoisonError::into_inner);
            keys.get(tenant).cloned()
        };
        let key = match known {
            Some(key) => key,
            None => match self.token_key(tenant) {
                Ok(key) => {
                    let mut keys = self.token_keys.write().unwrap_or_else(PoisonError::into_inner);
                    keys.entry(tenant.clone()).or_insert(key).clone()
                }
                Err(why) => {
                    tracing::error!(%tenant, why = %format!("{why:#}"), "no tokens, values are redacted");
                    return None;
                }
            },
        };
        Some(firn_remote::token(key.expose().as_bytes(), kind, canonical))
    }

    /// Reads a tenant's key, or makes one. Whoever stores it first has made it.
    fn token_key(&self, tenant: &TenantId) -> Result<Secret> {
        let key = Key::new(&system(), &["token-key", tenant.as_str()]);
        let stored = || -> Result<Option<Secret>> {
            let rows = self.store.get(std::slice::from_ref(&key))?;
            let row = rows.into_iter().flatten().next();
            row.map(|row| serde_json::from_str(&row.value)).transpose().map_err(Into::into)
        };
        if let Some(known) = stored()? {
            return Ok(known);
        }
        let made = firn_remote::new_token_key()?;
        let put = Put { value: serde_json::to_string(&made)?, due: None };
        let change = Change { key: key.clone(), expect: Expect::Absent, put: Some(put) };
        match self.store.commit(&[change]) {
            Ok(()) => Ok(made),
            Err(CommitError::Stale(_)) => stored()?.context("the key was there and is gone"),
            Err(why) => Err(why).context("the key of the tenant's tokens could not be stored"),
        }
    }

    /// Forgets an integration and its secrets; its records stay until they are erased.
    pub(crate) fn forget(&self, known: &Known) -> Result<()> {
        let Integration { id, tenant, .. } = &known.integration;
        let keys = [
            Key::new(&system(), &["integration", id.as_str()]),
            secret_key(tenant, id),
            granted_key(tenant, id),
            Key::new(tenant, &["integration", id.as_str()]),
        ];
        let mut changes: Vec<Change> =
            keys.into_iter().map(|key| Change { key, expect: Expect::Any, put: None }).collect();
        // Nobody can ask its rules any more, nor look at them.
        for kind in ["rules", "component"] {
            let rows = self.store.scan(tenant, &format!("{kind}/{id}/"), None, 1_000)?;
            changes.extend(rows.into_iter().map(|row| Change {
                key: row.key,
                expect: Expect::Any,
                put: None,
            }));
        }
        let _changing = self.changing();
        self.store.commit(&changes)?;
        self.now(|all| _ = all.remove(id));
        Ok(())
    }
}
