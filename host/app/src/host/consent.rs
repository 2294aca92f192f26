//! Signing in: consents that are waited for, tokens that are kept, and warnings before they end.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use firn_model::{
    Change, CommitError, Expect, Finding, FindingKind, Integration, IntegrationId, KeptFinding,
    Key, Millis, Operation, Put,
};
use firn_remote::{Consent, Credentials, Granted, Keeper, SignInState};

use super::{Host, now};
use crate::vault::{Known, Vault};

/// How long a person may take to consent.
pub(crate) const CONSENT: Duration = Duration::from_secs(600);
/// The most consents that are waited for.
const MOST_CONSENTS: usize = 1_000;

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
        let consent =
            Consent::new(&base, client_id, &self.redirect_uri()).map_err(|e| anyhow!(e))?;
        let url = consent.url.clone();
        let mut consents = self.consents.lock().unwrap_or_else(PoisonError::into_inner);
        consents.retain(|_, (_, _, until)| *until > Instant::now());
        if consents.len() >= MOST_CONSENTS {
            bail!("too many consents are waited for; try again in some minutes");
        }
        let until = Instant::now() + CONSENT;
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).remove(&known.integration.id);
        consents.insert(consent.state.clone(), (known.integration.id.clone(), consent, until));
        Ok(url)
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
        let waiting = {
            let mut consents = self.consents.lock().unwrap_or_else(PoisonError::into_inner);
            consents.remove(state)
        };
        let Some((id, consent, _)) = waiting.filter(|(_, _, until)| *until > Instant::now()) else {
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
