//! Provisioning: the system properties and business rules that make ServiceNow send signed
//! webhooks. Installing twice is installing once; removing removes exactly what was installed.
//! Every artifact says in its description whose it is, its version and its digest.

use std::time::Duration;

use firn_model::IntegrationId;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::signin::Who;
use crate::{Carrier, Secret, Target};

/// The version of the scripts.
const VERSION: u32 = 1;

/// Why provisioning failed, and at what.
#[derive(Debug, thiserror::Error)]
#[error("{artifact}: {why}")]
pub struct ProvisionError {
    artifact: String,
    why: String,
}

/// One artifact and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Artifact {
    /// The table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// `created`, `updated`, `unchanged` or `removed`.
    pub outcome: String,
}

/// Installs and removes an integration's artifacts.
pub struct Provisioner<'a> {
    carrier: &'a Carrier,
    base: url::Url,
    target: &'a Target,
}

struct Wanted {
    table: &'static str,
    name: String,
    columns: Vec<(&'static str, String)>,
}

impl<'a> Provisioner<'a> {
    /// For one integration.
    ///
    /// # Errors
    /// When its address is not allowed.
    pub fn new(carrier: &'a Carrier, target: &'a Target) -> Result<Self, ProvisionError> {
        let base = carrier.addresses().check(&target.base_url).map_err(|e| ProvisionError {
            artifact: "the instance".to_owned(),
            why: e.to_string(),
        })?;
        Ok(Provisioner { carrier, base, target })
    }

    /// Creates what is missing and corrects what differs. `callback` is the webhook's URL.
    ///
    /// # Errors
    /// Names the artifact that could not be installed.
    pub async fn provision(
        &self,
        id: &IntegrationId,
        callback: &str,
        secret: &Secret,
    ) -> Result<Vec<Artifact>, ProvisionError> {
        let key = secret.resolve().map_err(|e| ProvisionError {
            artifact: "the webhook secret".to_owned(),
            why: e.to_string(),
        })?;
        let key = key.expose_secret().strip_prefix("whsec_").unwrap_or_default().to_owned();
        let mut done = Vec::new();
        for wanted in wanted(id, Some((callback, &key))) {
            done.push(self.ensure(&wanted).await?);
        }
        Ok(done)
    }

    /// Removes what [`Provisioner::provision`] installed.
    ///
    /// # Errors
    /// Names the artifact that could not be removed.
    pub async fn unprovision(&self, id: &IntegrationId) -> Result<Vec<Artifact>, ProvisionError> {
        let mut done = Vec::new();
        // Rules first: a rule without its properties would complain in the instance's log.
        for wanted in wanted(id, None).into_iter().rev() {
            for found in self.find(&wanted).await? {
                let path = format!("{}/{}", wanted.table, text(&found, "sys_id"));
                self.call(reqwest::Method::DELETE, &path, &[], None, &wanted.name).await?;
                done.push(artifact(&wanted, "removed"));
            }
        }
        Ok(done)
    }

    async fn ensure(&self, wanted: &Wanted) -> Result<Artifact, ProvisionError> {
        let body: Json = wanted.columns.iter().map(|(n, v)| ((*n).to_owned(), json!(v))).collect();
        let found = self.find(wanted).await?;
        let Some(first) = found.first() else {
            self.call(reqwest::Method::POST, wanted.table, &[], Some(&body), &wanted.name).await?;
            return Ok(artifact(wanted, "created"));
        };
        // A property that is written flushes caches on the instance: equal ones are left alone.
        if wanted.columns.iter().all(|(name, value)| text(first, name) == *value) {
            return Ok(artifact(wanted, "unchanged"));
        }
        let path = format!("{}/{}", wanted.table, text(first, "sys_id"));
        self.call(reqwest::Method::PATCH, &path, &[], Some(&body), &wanted.name).await?;
        Ok(artifact(wanted, "updated"))
    }

    async fn find(&self, wanted: &Wanted) -> Result<Vec<Json>, ProvisionError> {
        let query = [
            ("sysparm_query", format!("name={}", wanted.name)),
            ("sysparm_limit", "10".to_owned()),
        ];
        let found =
            self.call(reqwest::Method::GET, wanted.table, &query, None, &wanted.name).await?;
        let rows = found["result"].as_array().cloned().unwrap_or_default();
        // An instance drops what it does not understand of a query: check for ourselves.
        Ok(rows.into_iter().filter(|row| text(row, "name") == wanted.name).collect())
    }

    async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Json>,
        artifact: &str,
    ) -> Result<Json, ProvisionError> {
        let failed = |why: String| ProvisionError { artifact: artifact.to_owned(), why };
        let secrets = &self.target.secrets;
        let credentials = secrets.admin.as_ref().unwrap_or(&secrets.credentials);
        // As everyday work signs in, so that new tokens are kept; or as the administrator.
        let everyday = secrets.admin.is_none();
        let granted = self.target.granted.as_ref().filter(|_| everyday);
        let integration = Some(&self.target.integration).filter(|_| everyday);
        let who = Who { base: &self.base, integration, credentials, granted };
        let header = self
            .carrier
            .signin()
            .header(self.carrier.client(), &who, None)
            .await
            .map_err(|e| failed(e.to_string()))?;
        let mut url =
            self.base.join(&format!("/api/now/table/{path}")).map_err(|e| failed(e.to_string()))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self
            .carrier
            .client()
            .request(method, url)
            .timeout(Duration::from_secs(20))
            .header("accept", "application/json")
            .header("authorization", header.expose_secret());
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.map_err(|e| failed(e.without_url().to_string()))?;
        let status = response.status();
        let answer: Json = response.json().await.unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let message =
            answer.pointer("/error/message").and_then(Json::as_str).unwrap_or("no reason given");
        let hint = match status.as_u16() {
            401 => "; check the credentials",
            403 => {
                "; business rules and system properties need an administrator: give admin_username and admin_password"
            }
            _ => "",
        };
        Err(failed(format!("the instance answered {status}: {message}{hint}")))
    }
}

fn text(row: &Json, name: &str) -> String {
    row[name].as_str().unwrap_or_default().to_owned()
}

fn artifact(wanted: &Wanted, outcome: &str) -> Artifact {
    Artifact {
        table: wanted.table.to_owned(),
        name: wanted.name.clone(),
        outcome: outcome.to_owned(),
    }
}

/// The artifacts of an integration; without values for finding them only.
fn wanted(id: &IntegrationId, values: Option<(&str, &str)>) -> Vec<Wanted> {
    let (callback, key) = values.unwrap_or_default();
    let property = |name: &str, value: &str, kind: &str| Wanted {
        table: "sys_properties",
        name: format!("x_firn.{name}.{id}"),
        columns: vec![
            ("name", format!("x_firn.{name}.{id}")),
            ("value", value.to_owned()),
            ("type", "string".to_owned()),
            ("read_roles", "admin".to_owned()),
            ("write_roles", "admin".to_owned()),
            ("description", described(id, kind, value)),
        ],
    };
    let rule = |name: &str, collection: &str, update: &str, source: &str| {
        let script = source
            .replace("@ADDRESS@", include_str!("scripts/address.js"))
            .replace("@SEND@", include_str!("scripts/send.js"))
            .replace("@ID@", id.as_str());
        let name = format!("Firn - {name} ({id})");
        Wanted {
            table: "sys_script",
            columns: vec![
                ("name", name.clone()),
                ("collection", collection.to_owned()),
                ("when", "after".to_owned()),
                ("order", "1000".to_owned()),
                ("active", "true".to_owned()),
                ("advanced", "true".to_owned()),
                ("action_insert", "true".to_owned()),
                ("action_update", update.to_owned()),
                ("description", described(id, "rule", &script)),
                ("script", script),
            ],
            name,
        }
    };
    vec![
        property("callback_url", callback, "callback"),
        property("webhook_key", key, "key"),
        rule("Task Webhook", "task", "true", include_str!("scripts/task.js")),
        rule("Journal Webhook", "sys_journal_field", "false", include_str!("scripts/journal.js")),
    ]
}

fn described(id: &IntegrationId, kind: &str, content: &str) -> String {
    let digest = Sha256::digest(content.as_bytes());
    // The digest of a key would be something to guess against: only the others have one.
    let digest: String = match kind {
        "key" => "-".to_owned(),
        _ => digest.iter().take(8).map(|b| format!("{b:02x}")).collect(),
    };
    format!("Auto-managed by Firn; do not edit. integration={id} version={VERSION} digest={digest}")
}
