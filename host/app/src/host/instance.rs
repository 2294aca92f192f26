//! What is done at an instance besides everyday work: provisioning, and whether a webhook arrives.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use firn_model::{InboundKind, IntegrationId, Reply};
use firn_remote::{ApiPath, Artifact, ExportFormat, Provisioner};
use serde::Serialize;
use tokio::sync::OwnedMutexGuard;

use super::{Host, Turn};
use crate::lease::lease;
use crate::vault::Known;

/// Installing takes no longer.
const AT_INSTANCE: Duration = Duration::from_secs(300);

/// An artifact on an instance that is of an integration which nobody here knows.
#[derive(Debug, Serialize)]
pub(crate) struct Stranger {
    integration: String,
    #[serde(flatten)]
    artifact: Artifact,
}

/// Whether two integrations have one instance: by its address, however that is written.
pub(super) fn same_instance(one: &Known, other: &Known) -> bool {
    let origin = |known: &Known| {
        url::Url::parse(&known.integration.base_url).map(|url| url.origin().ascii_serialization())
    };
    match (origin(one), origin(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one.integration.base_url == other.integration.base_url,
    }
}

impl Host {
    /// Nobody else installs or removes at this integration's instance meanwhile.
    async fn alone(&self, id: &IntegrationId) -> Result<Turn<OwnedMutexGuard<()>>> {
        let gate = {
            let mut gates = self.at_instance.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(gates.entry(id.clone()).or_default())
        };
        let here = gate.lock_owned().await;
        let everywhere = lease(&self.store, &format!("instance {id}"), AT_INSTANCE).await?;
        Ok(Turn { _here: here, _everywhere: everywhere })
    }

    /// What is known of an integration, with a webhook secret in any case.
    fn with_secret(&self, id: &IntegrationId) -> Result<Arc<Known>> {
        self.vault.change(id, |secrets| {
            if secrets.webhook.is_empty() {
                secrets.webhook.push(firn_remote::new_webhook_secret()?);
            }
            Ok(())
        })
    }

    /// Installs what makes ServiceNow send webhooks.
    ///
    /// # Errors
    /// Names the artifact that could not be installed.
    pub(crate) async fn provision(&self, known: &Known) -> Result<Vec<Artifact>> {
        let id = &known.integration.id;
        let _alone = self.alone(id).await?;
        let known = self.with_secret(id)?;
        let (target, callback) = (known.target(), self.webhook_url(id));
        let provisioner = Provisioner::new(&self.carrier, &target, &known.integration, callback)?;
        let done = provisioner.provision().await?;
        self.keep_resource(&known, &provisioner).await?;
        self.forget_report(id);
        Ok(done)
    }

    /// Keeps where the instance put the resource. An instance that does not show it says nothing.
    pub(super) async fn keep_resource(
        &self,
        known: &Known,
        provisioner: &Provisioner<'_>,
    ) -> Result<()> {
        let Some(resource) = provisioner.resource().await? else { return Ok(()) };
        if known.secrets.resource.as_ref() != Some(&resource) {
            self.vault.change(&known.integration.id, |secrets| {
                secrets.resource = Some(resource.clone());
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Somebody says where the instance has the resource.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub(crate) fn told_resource(&self, id: &IntegrationId, path: ApiPath) -> Result<()> {
        self.vault
            .change(id, |secrets| {
                secrets.resource = Some(path.clone());
                Ok(())
            })
            .map(|_| ())
    }

    /// What provisioning would do, and what others left on the instance. Nothing is written there.
    ///
    /// # Errors
    /// Names what could not be looked at.
    pub(crate) async fn provision_plan(
        &self,
        known: &Known,
    ) -> Result<(Vec<Artifact>, Vec<Stranger>)> {
        let id = &known.integration.id;
        let _alone = self.alone(id).await?;
        let mut known = known.clone();
        if known.secrets.webhook.is_empty() {
            // Looking makes no secret: whatever is there was made with another one.
            known.secrets.webhook.push(firn_remote::new_webhook_secret()?);
        }
        let (target, callback) = (known.target(), self.webhook_url(id));
        let provisioner = Provisioner::new(&self.carrier, &target, &known.integration, callback)?;
        let here = |id: &str| IntegrationId::new(id).is_ok_and(|id| self.vault.get(&id).is_some());
        let strangers = provisioner.strangers(here).await?.into_iter();
        let strangers = strangers.map(|(integration, artifact)| Stranger { integration, artifact });
        let plan = provisioner.plan().await?;
        // Somebody may have installed it by hand.
        self.keep_resource(&known, &provisioner).await?;
        Ok((plan, strangers.collect()))
    }

    /// The artifacts written down, for an administrator who installs them by hand.
    ///
    /// # Errors
    /// When the webhook secret cannot be had.
    pub(crate) fn provision_export(&self, known: &Known, format: ExportFormat) -> Result<String> {
        let known = self.with_secret(&known.integration.id)?;
        let (target, callback) = (known.target(), self.webhook_url(&known.integration.id));
        let provisioner = Provisioner::new(&self.carrier, &target, &known.integration, callback)?;
        Ok(provisioner.export(format)?)
    }

    /// Removes what was installed; or what an integration left there that nobody here knows any more.
    ///
    /// # Errors
    /// Names the artifact that could not be removed.
    pub(crate) async fn unprovision(
        &self,
        known: &Known,
        orphan: Option<&str>,
    ) -> Result<Vec<Artifact>> {
        let _alone = self.alone(&known.integration.id).await?;
        let target = known.target();
        let mut integration = known.integration.clone();
        if let Some(orphan) = orphan {
            let id = IntegrationId::new(orphan)?;
            // One of ours whose instance is another: a clone brought it here.
            let known_here = self.vault.get(&id);
            if known_here.is_some_and(|other| same_instance(&other, known)) {
                bail!(
                    "{orphan} is an integration of this instance; name it itself to unprovision it"
                );
            }
            integration.id = id;
        } else if known.secrets.resource.is_some() {
            // First: what is half removed is written through no more.
            self.vault.change(&known.integration.id, |secrets| {
                secrets.resource = None;
                Ok(())
            })?;
        }
        let provisioner = Provisioner::new(&self.carrier, &target, &integration, String::new())?;
        let removed = provisioner.unprovision().await?;
        self.forget_report(&known.integration.id);
        Ok(removed)
    }

    /// Has the instance send a ping, and waits for it. `None` if it does not come.
    ///
    /// # Errors
    /// When it cannot be asked for one.
    pub(crate) async fn ping(&self, known: &Known, patience: Duration) -> Result<Option<Duration>> {
        let target = known.target();
        let provisioner =
            Provisioner::new(&self.carrier, &target, &known.integration, String::new())?;
        let mut pongs = self.pongs.subscribe();
        let nonce = format!("{:032x}", fastrand::u128(..));
        let (tenant, id) = (&known.integration.tenant, &known.integration.id);
        let began = std::time::Instant::now();
        provisioner.ping(&nonce).await?;
        let came = tokio::time::timeout(patience, async {
            let here = async {
                while let Ok((whose, came)) = pongs.recv().await {
                    if whose == *id && came == nonce {
                        return;
                    }
                }
            };
            tokio::select! {
                () = here => {}
                () = self.pong_elsewhere(tenant, id, &nonce) => {}
            }
        });
        let came = came.await.ok().map(|()| began.elapsed());
        self.forget_pongs(tenant, id);
        Ok(came)
    }

    /// A ping that came in is told to whoever waits for it.
    pub(super) fn notice_ping(&self, known: &Known, kind: InboundKind, reply: &Reply) {
        if kind != InboundKind::Webhook || !reply.body.contains("\"pong\"") {
            return;
        }
        let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap_or_default();
        if body["status"] == "pong"
            && let Some(nonce) = body["nonce"].as_str()
        {
            let id = &known.integration.id;
            let _ = self.pongs.send((id.clone(), nonce.to_owned()));
            self.keep_pong(&known.integration.tenant, id, nonce);
        }
    }
}
