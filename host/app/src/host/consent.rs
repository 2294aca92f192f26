//! Signing in: consents that are waited for, tokens that are kept, and warnings before they end.

use std::any::Any;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use firn_model::{
    Change, CommitError, Expect, Finding, FindingKind, Integration, IntegrationId, KeptFinding,
    Key, Millis, Operation, Put,
};
use firn_remote::{Consent, Credentials, Granted, Keeper, SignInState, TurnToSignIn};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Host, now};
use crate::lease::lease;
use crate::vault::{Known, Vault, system};

/// How long a person may take to consent.
pub(crate) const CONSENT: Duration = Duration::from_secs(600);
/// The same, in milliseconds.
const CONSENT_LASTS: u64 = CONSENT.as_secs() * 1_000;
/// An instance is asked for tokens for no longer than this.
const SIGN_IN: Duration = Duration::from_secs(30);
/// Where those are that are waited for.
const WAITED: &str = "consent/";
/// The most consents that are waited for of one integration.
const MOST_CONSENTS: usize = 20;

/// A consent that is waited for.
#[derive(Serialize, Deserialize)]
struct Asked {
    integration: IntegrationId,
    consent: Consent,
    until: Millis,
}

/// The row of a consent that is waited for. Paths are not sealed, and nobody is to learn a state from one.
fn place(state: &str) -> Key {
    Key::new(&system(), &["consent", &crate::hex(&Sha256::digest(state.as_bytes()))])
}

/// Keeps new tokens beside the other secrets.
pub(super) struct VaultKeeper(pub(super) Arc<Vault>);

impl Keeper for VaultKeeper {
    fn keep(
        &self,
        integration: &IntegrationId,
        before: &Granted,
        granted: &Granted,
    ) -> Result<(), String> {
        self.0.grant(integration, Some(before), granted).map_err(|e| format!("{e:#}"))
    }

    fn turn<'a>(&'a self, integration: &'a IntegrationId) -> TurnToSignIn<'a> {
        Box::pin(async move {
            let turn = lease(self.0.store(), &format!("sign-in {integration}"), SIGN_IN).await;
            let turn = turn.map_err(|e| format!("{e:#}"))?;
            let granted = self.0.granted(integration).map_err(|e| format!("{e:#}"))?;
            let turn: Box<dyn Any + Send + Sync> = Box::new(turn);
            Ok((turn, granted))
        })
    }
}

impl Host {
    /// How an integration's sign-in stands.
    pub(crate) fn sign_in(&self, known: &Known) -> SignInState {
        self.carrier.sign_in(&known.target())
    }

    /// Somebody gave credentials or consented: what waited for it goes on at once. And again a moment
    /// later: a refusal of before may have been on its way still.
    pub(crate) async fn signed_in(self: &Arc<Self>, id: &IntegrationId) {
        let Some(known) = self.vault.get(id) else { return };
        self.carrier.try_again(&known.target());
        self.wake_waiting(id).await;
        let (host, id) = (Arc::downgrade(self), id.clone());
        self.tokio.spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if let Some(host) = host.upgrade() {
                host.wake_waiting(&id).await;
            }
        });
    }

    async fn wake_waiting(&self, id: &IntegrationId) {
        let Some(known) = self.vault.get(id) else { return };
        let operation = Operation::SignedIn { integration: id.clone() };
        let asked = self.operate(&known.integration.tenant, operation, "sign-in").await;
        if asked.status >= 300 {
            tracing::warn!(
                integration = %id, status = asked.status,
                "what waits for the sign-in goes on within a minute"
            );
        }
    }

    /// Warns of consents that end within days: 14, 7 and 1 before, once each.
    pub(super) fn warn_of_ends(&self) {
        for known in self.vault.all() {
            let Some(granted) = known.target().granted else { continue };
            if granted.refresh.is_none() {
                continue; // A public client's token ends within the hour: that is no news.
            }
            let ends = granted.refresh_ends;
            let days = ends.saturating_sub(now().0) / 86_400_000;
            let Some(step) = [1, 7, 14].into_iter().find(|step| days < *step) else { continue };
            let Integration { id, tenant, slug, .. } = &known.integration;
            let day = firn_model::rfc3339_text(Millis(ends));
            let finding = Finding {
                kind: FindingKind::SignInEnds,
                integration: id.clone(),
                link: None,
                field: None,
                text: format!(
                    "the sign-in ends at {day}, in less than {step} days; run: firn integration connect {slug}"
                ),
                at: now(),
            };
            let name = format!("sign-in-ends.{}.{step}", granted.at);
            let kept = KeptFinding { id: name.clone(), finding };
            let Ok(value) = serde_json::to_string(&kept) else { continue };
            let finding = kept.finding;
            let key = Key::new(tenant, &["finding", id.as_str(), &name]);
            let put = Some(Put { value, due: None });
            let change = Change { key, expect: Expect::Absent, put };
            let changes = [change];
            let stored = self.store.commit(&changes);
            if stored.is_ok() {
                self.committed(&changes);
            }
            match stored {
                Ok(()) => tracing::warn!(integration = %id, "{}", finding.text),
                Err(CommitError::Stale(_)) => {}
                Err(why) => {
                    tracing::error!(integration = %id, %why, "{}; it cannot be stored", finding.text);
                }
            }
        }
    }

    /// Where an instance sends a browser back to after a consent.
    pub(crate) fn redirect_uri(&self) -> String {
        format!("{}/oauth/callback", self.public_url)
    }

    /// Asks for a person's consent.
    ///
    /// # Errors
    /// When the integration signs in in another way.
    pub(crate) fn ask_consent(&self, known: &Known) -> Result<url::Url> {
        let Credentials::AuthorizationCode { client_id, .. } = &known.secrets.credentials else {
            bail!(
                "it signs in by {}, which needs nobody's consent; give it grant = \"authorization-code\" first",
                known.secrets.credentials.grant()
            );
        };
        let base = self.carrier_addresses().check(&known.integration.base_url)?;
        let (consent, url) =
            Consent::new(&base, client_id, &self.redirect_uri()).map_err(|e| anyhow!(e))?;
        let mut waiting = 0;
        let mut changes = Vec::new();
        self.each(&system(), WAITED, |_, asked: Asked| {
            let is_over = asked.until <= now();
            waiting += usize::from(!is_over && asked.integration == known.integration.id);
            if is_over {
                changes.push(Change {
                    key: place(&asked.consent.state),
                    expect: Expect::Any,
                    put: None,
                });
            }
        })?;
        if waiting >= MOST_CONSENTS {
            bail!("too many consents of it are waited for; try again in some minutes");
        }
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).remove(&known.integration.id);
        let key = place(&consent.state);
        let (integration, until) = (known.integration.id.clone(), now().plus(CONSENT_LASTS));
        let value = serde_json::to_string(&Asked { integration, consent, until })?;
        changes.push(Change { key, expect: Expect::Absent, put: Some(Put { value, due: None }) });
        self.store.commit(&changes).context("what was asked cannot be kept")?;
        Ok(url)
    }

    /// Takes what was asked under a name: once, whichever process is asked.
    fn asked(&self, state: &str) -> Result<Option<Asked>> {
        let key = place(state);
        let Some(row) = self.store.get(std::slice::from_ref(&key))?.pop().flatten() else {
            return Ok(None);
        };
        let asked: Asked = serde_json::from_str(&row.value)?;
        match self.store.commit(&[Change { key, expect: Expect::Version(row.version), put: None }])
        {
            Ok(()) => Ok(Some(asked).filter(|asked| asked.until > now())),
            Err(CommitError::Stale(_)) => Ok(None),
            Err(why) => Err(why.into()),
        }
    }

    /// A browser came back from an instance. Gives the integration's name.
    ///
    /// # Errors
    /// Why it is not connected.
    pub(crate) async fn consented(
        self: &Arc<Self>,
        state: &str,
        code: Option<String>,
        error: Option<String>,
    ) -> Result<String> {
        let Some(Asked { integration: id, consent, .. }) = self.asked(state)? else {
            bail!("nobody asked for this, or it took too long; run firn integration connect again");
        };
        // On its own: a code is good once, so that a browser that leaves must not end this half way.
        let (host, whose) = (Arc::clone(self), id.clone());
        let exchange = self.tokio.spawn(async move {
            let Some(code) = code else {
                let error = error.unwrap_or_default();
                let said: String = error.chars().filter(|c| !c.is_control()).take(100).collect();
                bail!("the instance sent no code ({said}); run firn integration connect again");
            };
            let known = host.vault.get(&id).context("the integration is gone")?;
            let granted = host
                .carrier
                .consented(&known.target(), &consent, &code)
                .await
                .map_err(|why| anyhow!("{why}"))?;
            host.vault.grant(&id, None, &granted)?;
            let tenant = &known.integration.tenant;
            host.note(tenant, Some(&id), "consented", "with a browser", "a person at the instance");
            host.signed_in(&id).await;
            Ok(known.integration.name.clone())
        });
        let done = exchange.await.context("the exchange broke off").flatten();
        if let Err(why) = &done {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            refusals.insert(whose, format!("{why:#}"));
        }
        done
    }

    /// Why the last consent came to nothing, if it did.
    pub(crate) fn refused_consent(&self, id: &IntegrationId) -> Option<String> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}
