//! What the host itself keeps in the store: which tenant an integration belongs to, its secrets, and
//! the keys of the tenants' tokens, sealed like every row.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result};
use firn_model::{Change, CommitError, Expect, Integration, IntegrationId, Key, Put, TenantId};
use firn_remote::{Granted, Secret, Secrets, Target};
use firn_storage::Store;

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
            integration: self.integration.id.clone(),
            base_url: self.integration.base_url.clone(),
            platform: self.integration.platform.clone(),
            secrets: self.secrets.clone(),
            limits: self.integration.settings.limits,
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
    known: RwLock<BTreeMap<IntegrationId, Arc<Known>>>,
    token_keys: RwLock<BTreeMap<TenantId, Secret>>,
}

/// A row of its own: it changes while the secrets are changed by hand.
fn granted_key(tenant: &TenantId, id: &IntegrationId) -> Key {
    Key::new(tenant, &["granted", id.as_str()])
}

fn secret_key(tenant: &TenantId, id: &IntegrationId) -> Key {
    Key::new(tenant, &["secret", id.as_str()])
}

impl Vault {
    pub(crate) fn load(store: Arc<dyn Store>) -> Result<Vault> {
        let mut known = BTreeMap::new();
        for row in store.scan(&system(), "integration/", None, 100_000)? {
            let tenant: TenantId = serde_json::from_str(&row.value)?;
            let id = row.key.path.trim_start_matches("integration/").to_owned();
            let id = IntegrationId::new(id)?;
            let keys = [
                Key::new(&tenant, &["integration", id.as_str()]),
                secret_key(&tenant, &id),
                granted_key(&tenant, &id),
            ];
            let rows = store.get(&keys)?;
            if let [Some(integration), Some(secrets), granted] = rows.as_slice() {
                let granted =
                    granted.as_ref().map(|row| serde_json::from_str(&row.value)).transpose()?;
                let integration = serde_json::from_str(&integration.value)?;
                let secrets = serde_json::from_str(&secrets.value)?;
                known.insert(id, Arc::new(Known { integration, secrets, granted }));
            }
        }
        Ok(Vault { store, known: RwLock::new(known), token_keys: RwLock::default() })
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
        self.store.commit(&changes).context("the secrets could not be stored")?;
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let granted = all.get(&integration.id).and_then(|known| known.granted.clone());
        let known = Arc::new(Known { integration, secrets, granted });
        all.insert(known.integration.id.clone(), known);
        Ok(())
    }

    /// Changes an integration's secrets, as they are at this moment; whatever else was changed
    /// meanwhile stays. Gives what is known then.
    pub(crate) fn change(
        &self,
        id: &IntegrationId,
        change: impl FnOnce(&mut Secrets) -> Result<()>,
    ) -> Result<Arc<Known>> {
        // Held over the commit: what is stored and what is known are the same for everybody.
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let known = all.get_mut(id).context("the integration is gone")?;
        let mut secrets = known.secrets.clone();
        change(&mut secrets)?;
        let put = Put { value: serde_json::to_string(&secrets)?, due: None };
        let key = secret_key(&known.integration.tenant, id);
        let change = Change { key, expect: Expect::Any, put: Some(put) };
        self.store.commit(&[change]).context("the secrets could not be stored")?;
        *known = Arc::new(Known { secrets, ..Known::clone(known) });
        Ok(Arc::clone(known))
    }

    /// Keeps what a person consented to; or what came of `before`, if that still stands.
    pub(crate) fn grant(
        &self,
        id: &IntegrationId,
        before: Option<&Granted>,
        granted: &Granted,
    ) -> Result<()> {
        // Held over the commit: what is stored and what is known are the same for everybody.
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let known = all.get_mut(id).context("the integration is gone")?;
        let present = known.granted.as_ref();
        let refresh = |g: &Granted| g.refresh.as_ref().map(|token| token.expose().to_owned());
        let stands = |before: &Granted| {
            present.is_some_and(|p| p.at == before.at && refresh(p) == refresh(before))
        };
        if before.is_some_and(|before| !stands(before)) {
            return Ok(());
        }
        let put = Put { value: serde_json::to_string(granted)?, due: None };
        let key = granted_key(&known.integration.tenant, id);
        let change = Change { key, expect: Expect::Any, put: Some(put) };
        self.store.commit(&[change]).context("the tokens could not be stored")?;
        let granted = Some(granted.clone());
        *known = Arc::new(Known { granted, ..Known::clone(known) });
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
        self.store.commit(&changes)?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        Ok(())
    }
}
