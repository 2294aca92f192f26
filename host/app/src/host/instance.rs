//! What is done at an instance besides everyday work: provisioning, and whether a webhook arrives.

use std::time::Duration;

use anyhow::{Result, bail};
use firn_model::{InboundKind, IntegrationId, Reply};
use firn_remote::{Artifact, ExportFormat, Provisioner};
use serde::Serialize;

use super::Host;
use crate::vault::Known;

/// An artifact on an instance that is of an integration which nobody here knows.
#[derive(Debug, Serialize)]
pub(crate) struct Stranger {
    integration: String,
    #[serde(flatten)]
    artifact: Artifact,
}

impl Host {
    /// What is known of an integration, with a webhook secret in any case.
    fn with_secret(&self, known: &Known) -> Result<Known> {
        let mut known = known.clone();
        if known.secrets.webhook.is_empty() {
            known.secrets.webhook.push(firn_remote::new_webhook_secret()?);
            self.vault.keep(known.integration.clone(), known.secrets.clone())?;
        }
        Ok(known)
    }

    /// Installs what makes ServiceNow send webhooks.
    ///
    /// # Errors
    /// Names the artifact that could not be installed.
    pub(crate) async fn provision(&self, known: &Known) -> Result<Vec<Artifact>> {
        let known = self.with_secret(known)?;
        let (target, callback) = (known.target(), self.webhook_url(&known.integration.id));
        let provisioner = Provisioner::new(&self.carrier, &target, &known.integration, callback)?;
        let done = provisioner.provision().await?;
        self.keep_resource(&known, &provisioner).await?;
        Ok(done)
    }

    /// Keeps where the instance put the resource.
    pub(super) async fn keep_resource(
        &self,
        known: &Known,
        provisioner: &Provisioner<'_>,
    ) -> Result<()> {
        let resource = provisioner.resource().await?;
        if known.secrets.resource == resource {
            return Ok(());
        }
        let mut secrets = known.secrets.clone();
        secrets.resource = resource;
        self.vault.keep(known.integration.clone(), secrets)
    }

    /// What provisioning would do, and what others left on the instance. Nothing is written there.
    ///
    /// # Errors
    /// Names what could not be looked at.
    pub(crate) async fn provision_plan(
        &self,
        known: &Known,
    ) -> Result<(Vec<Artifact>, Vec<Stranger>)> {
        let known = self.with_secret(known)?;
        let (target, callback) = (known.target(), self.webhook_url(&known.integration.id));
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
        let known = self.with_secret(known)?;
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
        let target = known.target();
        let mut integration = known.integration.clone();
        if let Some(orphan) = orphan {
            let id = IntegrationId::new(orphan)?;
            // One of ours whose instance is another: a clone brought it here.
            let base = |known: &Known| known.integration.base_url.trim_end_matches('/').to_owned();
            if self.vault.get(&id).is_some_and(|other| base(&other) == base(known)) {
                bail!(
                    "{orphan} is an integration of this instance; name it itself to unprovision it"
                );
            }
            integration.id = id;
        }
        let provisioner = Provisioner::new(&self.carrier, &target, &integration, String::new())?;
        let removed = provisioner.unprovision().await?;
        if orphan.is_none() && known.secrets.resource.is_some() {
            let secrets = firn_remote::Secrets { resource: None, ..known.secrets.clone() };
            self.vault.keep(known.integration.clone(), secrets)?;
        }
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
        let began = std::time::Instant::now();
        provisioner.ping(&nonce).await?;
        let came = tokio::time::timeout(patience, async {
            while let Ok((id, came)) = pongs.recv().await {
                if id == known.integration.id && came == nonce {
                    return;
                }
            }
        });
        Ok(came.await.ok().map(|()| began.elapsed()))
    }

    /// A ping that came in is told to whoever waits for it.
    pub(super) fn notice_ping(&self, id: &IntegrationId, kind: InboundKind, reply: &Reply) {
        if kind != InboundKind::Webhook || !reply.body.contains("\"pong\"") {
            return;
        }
        let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap_or_default();
        if body["status"] == "pong"
            && let Some(nonce) = body["nonce"].as_str()
        {
            let _ = self.pongs.send((id.clone(), nonce.to_owned()));
        }
    }
}
