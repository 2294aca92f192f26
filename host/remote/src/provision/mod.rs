//! Provisioning: the system properties and business rules that make ServiceNow send signed
//! webhooks. Installing twice is installing once; what an earlier version or an interrupted run left
//! behind is put in order; removing removes all of an integration's artifacts, and no others.
//!
//! `artifacts` says what is to be there. Here it is compared with what is there ([`Provisioner::plan`]),
//! and the difference is made good. `export` writes the same artifacts down for an administrator who
//! installs them by hand.

mod artifacts;
mod export;

use std::time::Duration;

use firn_model::Integration;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value as Json, json};

use self::artifacts::{TABLES, Wanted, Webhook};
pub use self::export::Format as ExportFormat;
use crate::visit::{Said, Unsaid, Visit};
use crate::{Carrier, Target};

/// The most rows of a table that are looked at. An integration has a handful.
const MANY: u32 = 200;
/// How often a step is tried that failed for reasons that pass.
const TRIES: u32 = 3;
/// The pause before the first time it is tried again, halved; each further one is twice as long.
const BREATH: u64 = 100;
/// How long an instance may ask to be left alone before provisioning gives up.
const LONGEST_PAUSE: u64 = 10;

/// Why provisioning failed, and at what.
#[derive(Debug, thiserror::Error)]
#[error("{artifact}: {why}")]
pub struct ProvisionError {
    artifact: String,
    why: String,
    /// Whether the same again may do.
    passes: bool,
}

impl ProvisionError {
    fn new(artifact: &str, why: impl Into<String>) -> ProvisionError {
        ProvisionError { artifact: artifact.to_owned(), why: why.into(), passes: false }
    }
}

/// What has to be done about an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// It is not there.
    Create,
    /// It is there and differs.
    Update,
    /// It is there and should not be: left by an earlier version, or there twice.
    Remove,
    /// It is as it should be.
    Leave,
}

/// One artifact, and what was done about it or is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Artifact {
    /// The table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// What has to be done, or was.
    pub step: Step,
    /// The same as a word: `created`, `updated`, `removed`, `unchanged` when it was done; `missing`,
    /// `differs`, `too much`, `as it should be` when it is planned.
    pub outcome: String,
    /// The columns that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<String>,
}

/// What is to be done about one artifact.
struct Task {
    table: &'static str,
    name: String,
    step: Step,
    /// The row, if there is one.
    row: Option<String>,
    differs: Vec<String>,
    wanted: Option<Wanted>,
}

impl Task {
    fn artifact(&self, outcome: &str) -> Artifact {
        Artifact {
            table: self.table.to_owned(),
            name: self.name.clone(),
            step: self.step,
            outcome: outcome.to_owned(),
            differs: self.differs.clone(),
        }
    }

    fn planned(&self) -> Artifact {
        self.artifact(match self.step {
            Step::Create => "missing",
            Step::Update => "differs",
            Step::Remove => "too much",
            Step::Leave => "as it should be",
        })
    }

    fn done(&self) -> Artifact {
        self.artifact(match self.step {
            Step::Create => "created",
            Step::Update => "updated",
            Step::Remove => "removed",
            Step::Leave => "unchanged",
        })
    }
}

/// Compares, installs and removes an integration's artifacts.
pub struct Provisioner<'a> {
    carrier: &'a Carrier,
    base: url::Url,
    target: &'a Target,
    integration: &'a Integration,
    callback: String,
}

impl<'a> Provisioner<'a> {
    /// For one integration. `callback` is the webhook's URL.
    ///
    /// # Errors
    /// When the instance's address is not allowed.
    pub fn new(
        carrier: &'a Carrier,
        target: &'a Target,
        integration: &'a Integration,
        callback: String,
    ) -> Result<Self, ProvisionError> {
        let base = carrier
            .addresses()
            .check(&target.base_url)
            .map_err(|e| ProvisionError::new("the instance", e.to_string()))?;
        Ok(Provisioner { carrier, base, target, integration, callback })
    }

    /// What differs from how it should be. Nothing is written.
    ///
    /// # Errors
    /// Names what could not be looked at.
    pub async fn plan(&self) -> Result<Vec<Artifact>, ProvisionError> {
        Ok(self.tasks().await?.iter().map(Task::planned).collect())
    }

    /// Creates what is missing, corrects what differs, removes what is too much, and reads it all
    /// back. Interrupted anywhere, the same again goes on.
    ///
    /// # Errors
    /// Names the artifact that could not be installed, and how far it got.
    pub async fn provision(&self) -> Result<Vec<Artifact>, ProvisionError> {
        let done = self.work(self.tasks().await?).await?;
        let left: Vec<Task> =
            self.tasks().await?.into_iter().filter(|t| t.step != Step::Leave).collect();
        match left.first() {
            None => Ok(done),
            Some(task) => Err(ProvisionError::new(
                &task.name,
                format!(
                    "the instance took the write, and reading it back shows something else ({}): a rule or a policy of its own changes it",
                    if task.differs.is_empty() {
                        "it is not there".to_owned()
                    } else {
                        task.differs.join(", ")
                    }
                ),
            )),
        }
    }

    /// Removes every artifact of the integration, whichever version made it. Interrupted anywhere,
    /// the same again goes on.
    ///
    /// # Errors
    /// Names the artifact that could not be removed.
    pub async fn unprovision(&self) -> Result<Vec<Artifact>, ProvisionError> {
        let mut tasks = Vec::new();
        // Rules first: a rule without its properties would complain in the instance's log.
        let mut tables = self.tables(&[]).await?;
        tables.reverse();
        for table in tables {
            for row in self.ours(table, &self.names()?).await? {
                tasks.push(removal(table, &row));
            }
        }
        self.work(tasks).await
    }

    /// Artifacts of integrations that nobody here knows: left behind by one that was deleted while
    /// its instance could not be reached, or another Firn's. Each with the integration it names.
    ///
    /// # Errors
    /// Names what could not be looked at.
    pub async fn strangers(
        &self,
        known: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, Artifact)>, ProvisionError> {
        let mut found = Vec::new();
        for table in self.tables(&[]).await? {
            let mark = artifacts::mark_column(table);
            for row in self.rows(table, &format!("{mark}LIKEAuto-managed by Firn")).await? {
                let said = text(&row, mark);
                let Some(owner) = artifacts::owner(&said) else { continue };
                if owner != self.integration.id.as_str() && !known(owner) {
                    found.push((owner.to_owned(), removal(table, &row).planned()));
                }
            }
        }
        Ok(found)
    }

    /// Asks the ping rule for a ping with this nonce.
    ///
    /// # Errors
    /// When the property cannot be written.
    pub async fn ping(&self, nonce: &str) -> Result<(), ProvisionError> {
        let name = artifacts::ping_property(&self.integration.id);
        let row =
            self.named("sys_properties", &name).await?.into_iter().next().ok_or_else(|| {
                ProvisionError::new(&name, "it is not there; run: firn integration provision")
            })?;
        let path = format!("sys_properties/{}", text(&row, "sys_id"));
        let body = json!({ "value": nonce });
        self.call(Method::PATCH, &path, &[], Some(&body), &name).await.map(|_| ())
    }

    /// The artifacts written down, for an administrator who installs them by hand. The webhook key is
    /// in it.
    ///
    /// # Errors
    /// When the webhook secret cannot be had.
    pub fn export(&self, format: ExportFormat) -> Result<String, ProvisionError> {
        Ok(export::write(format, self.integration, &self.base, &self.wanted()?))
    }

    fn key(&self) -> Result<SecretString, ProvisionError> {
        let failed = |why: String| ProvisionError::new("the webhook secret", why);
        let secret = self.target.secrets.webhook.first();
        let secret = secret.ok_or_else(|| failed("there is none yet".to_owned()))?;
        let secret = secret.resolve().map_err(|e| failed(e.to_string()))?;
        let key = secret.expose_secret().strip_prefix("whsec_").filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| {
            failed("it does not begin with whsec_, as Standard Webhooks has it".to_owned())
        })?;
        Ok(SecretString::from(key.to_owned()))
    }

    fn wanted(&self) -> Result<Vec<Wanted>, ProvisionError> {
        let webhook = Webhook { callback: &self.callback, key: &self.key()? };
        Ok(artifacts::wanted(self.integration, &webhook))
    }

    /// The names of all artifacts, whether they are wanted at present or not.
    fn names(&self) -> Result<Vec<String>, ProvisionError> {
        let mut integration = self.integration.clone();
        integration.settings.provision.attachments = true;
        integration.settings.provision.redact_on_save = true;
        integration.settings.provision.resource = true;
        let webhook = Webhook { callback: "", key: &SecretString::from(String::new()) };
        Ok(artifacts::wanted(&integration, &webhook).into_iter().map(|w| w.name).collect())
    }

    async fn tasks(&self) -> Result<Vec<Task>, ProvisionError> {
        let mut wanted = self.wanted()?;
        let names = self.names()?;
        let mut tasks = Vec::new();
        let mut too_much = Vec::new();
        for table in self.tables(&wanted).await? {
            let mut there = self.ours(table, &names).await?;
            if table == "sys_ws_definition" {
                let own = artifacts::resource_name(&self.integration.id);
                if let Some(row) = there.iter().find(|row| text(row, "name") == own) {
                    let id = text(row, "sys_id");
                    wanted.iter_mut().for_each(|wanted| point_at(wanted, &id));
                }
            }
            for wanted in wanted.iter().filter(|w| w.table == table) {
                let mut same: Vec<Json> = Vec::new();
                there.retain(|row| {
                    let is = text(row, "name") == wanted.name;
                    if is {
                        same.push(row.clone());
                    }
                    !is
                });
                let mut same = same.into_iter();
                tasks.push(compare(wanted, same.next().as_ref()));
                too_much.extend(same.map(|row| removal(table, &row)));
            }
            too_much.extend(there.iter().map(|row| removal(table, row)));
        }
        // Last, so that nothing is missed while a new rule takes over from an old one.
        tasks.extend(too_much);
        Ok(tasks)
    }

    /// Works tasks off, in order.
    async fn work(&self, tasks: Vec<Task>) -> Result<Vec<Artifact>, ProvisionError> {
        let mut done = Vec::new();
        let all = tasks.len();
        for task in tasks {
            if let Err(mut failed) = self.stubborn(&task).await {
                if !done.is_empty() {
                    failed.why = format!(
                        "{}; {} of {all} artifacts are done: the same command goes on from there, firn integration unprovision undoes it",
                        failed.why,
                        done.len(),
                    );
                }
                return Err(failed);
            }
            done.push(task.done());
        }
        Ok(done)
    }

    /// Does a task, and again if it failed for reasons that pass.
    async fn stubborn(&self, task: &Task) -> Result<(), ProvisionError> {
        let mut tries = 1;
        let mut row = task.row.clone();
        loop {
            match self.act(task, row.as_deref()).await {
                Err(failed) if failed.passes && tries < TRIES => {
                    tokio::time::sleep(Duration::from_millis(BREATH << tries)).await;
                    tries += 1;
                    // What seemed to fail may have been done.
                    if task.step == Step::Create {
                        let there = self.named(task.table, &task.name).await.unwrap_or_default();
                        row = there.first().map(|found| text(found, "sys_id"));
                    }
                }
                ended => return ended,
            }
        }
    }

    /// The tables that can hold artifacts. Those of Scripted REST are looked at if a resource is
    /// wanted, or if the administrator may see them.
    async fn tables(&self, wanted: &[Wanted]) -> Result<Vec<&'static str>, ProvisionError> {
        let mut tables = Vec::new();
        for table in TABLES {
            let optional = table.starts_with("sys_ws_") && !wanted.iter().any(|w| w.table == table);
            if optional && self.rows(table, "nameSTARTSWITHFirn - ").await.is_err_and(|e| !e.passes)
            {
                continue;
            }
            tables.push(table);
        }
        Ok(tables)
    }

    /// Where the instance put the resource: a path from the root. `None` if it is not installed.
    ///
    /// # Errors
    /// When it cannot be looked for.
    pub async fn resource(&self) -> Result<Option<String>, ProvisionError> {
        if !self.integration.settings.provision.resource {
            return Ok(None);
        }
        let name = artifacts::resource_name(&self.integration.id);
        let rows = self.named("sys_ws_definition", &name).await?;
        let path = rows.first().map(|row| text(row, "base_uri")).unwrap_or_default();
        // It becomes part of our own requests' addresses.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-');
        let sound = path.starts_with("/api/") && path.bytes().all(plain);
        Ok(sound.then_some(path))
    }

    async fn act(&self, task: &Task, row: Option<&str>) -> Result<(), ProvisionError> {
        let mut wanted = task.wanted.clone();
        if let Some(wanted) = &mut wanted
            && wanted.columns.iter().any(|(_, value)| value == artifacts::DEFINITION)
        {
            // It was made a moment ago.
            let name = artifacts::resource_name(&self.integration.id);
            let rows = self.named("sys_ws_definition", &name).await?;
            let id = rows.first().map(|row| text(row, "sys_id"));
            let id = id.ok_or_else(|| ProvisionError::new(&name, "it is not there any more"))?;
            point_at(wanted, &id);
        }
        let body: Option<Json> = wanted.as_ref().map(|wanted| {
            wanted.columns.iter().map(|(n, v)| ((*n).to_owned(), json!(v))).collect()
        });
        let path = row.map(|row| format!("{}/{row}", task.table));
        let table = || task.table.to_owned();
        let (method, path) = match (task.step, path) {
            (Step::Leave, _) | (Step::Update | Step::Remove, None) => return Ok(()),
            (Step::Create, None) => (Method::POST, table()),
            (Step::Create | Step::Update, Some(path)) => (Method::PATCH, path),
            (Step::Remove, Some(path)) => (Method::DELETE, path),
        };
        self.call(method, &path, &[], body.as_ref(), &task.name).await.map(|_| ())
    }

    /// All rows of a table that are this integration's, oldest first.
    async fn ours(&self, table: &str, names: &[String]) -> Result<Vec<Json>, ProvisionError> {
        let id = self.integration.id.as_str();
        let mark = artifacts::mark_column(table);
        let query = format!("nameLIKE{id}^OR{mark}LIKEintegration={id}");
        let rows = self.rows(table, &query).await?;
        // An instance drops what it does not understand of a query: check for ourselves.
        let ours = |row: &Json| {
            names.contains(&text(row, "name")) || artifacts::owner(&text(row, mark)) == Some(id)
        };
        Ok(rows.into_iter().filter(ours).collect())
    }

    async fn named(&self, table: &str, name: &str) -> Result<Vec<Json>, ProvisionError> {
        let rows = self.rows(table, &format!("name={name}")).await?;
        Ok(rows.into_iter().filter(|row| text(row, "name") == name).collect())
    }

    async fn rows(&self, table: &str, query: &str) -> Result<Vec<Json>, ProvisionError> {
        let query = [
            ("sysparm_query", format!("{query}^ORDERBYsys_created_on^ORDERBYsys_id")),
            ("sysparm_fields", artifacts::columns(table).to_owned()),
            ("sysparm_limit", MANY.to_string()),
            ("sysparm_exclude_reference_link", "true".to_owned()),
        ];
        let mut tries = 1;
        let said = loop {
            match self.call(Method::GET, table, &query, None, table).await {
                Err(failed) if failed.passes && tries < TRIES => {
                    tokio::time::sleep(Duration::from_millis(BREATH << tries)).await;
                    tries += 1;
                }
                ended => break ended?,
            }
        };
        let Some(rows) = said.json["result"].as_array() else {
            return Err(ProvisionError::new(table, "it does not answer as the Table API does"));
        };
        if rows.len() >= MANY as usize {
            return Err(ProvisionError::new(
                table,
                "the instance answers with more rows than were asked for: it did not understand the query",
            ));
        }
        Ok(rows.clone())
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Json>,
        artifact: &str,
    ) -> Result<Said, ProvisionError> {
        // As the administrator; or as everyday work signs in, so that new tokens are kept.
        let visit = Visit::as_admin(self.carrier, &self.base, self.target)
            .unwrap_or_else(|| Visit::as_user(self.carrier, &self.base, self.target));
        let removes = method == Method::DELETE;
        let failed =
            |why: String, passes| ProvisionError { artifact: artifact.to_owned(), why, passes };
        let path = format!("/api/now/table/{path}");
        let said = visit
            .call(method, &path, query, body)
            .await
            .map_err(|e| failed(e.to_string(), matches!(e, Unsaid::Silent(_))))?;
        // What is to be removed and is not there has been removed.
        if said.is_success() || (removes && said.status == 404) {
            return Ok(said);
        }
        let pause = said.header("retry-after").and_then(|v| v.trim().parse::<u64>().ok());
        let passes = said.status >= 500 || said.status == 429;
        if passes && let Some(pause) = pause {
            if pause > LONGEST_PAUSE {
                let why = format!("the instance is busy and asks to come back in {pause} s");
                return Err(failed(why, false));
            }
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
        let hint = match said.status {
            401 => "; check the credentials",
            403 => {
                "; business rules and system properties need an administrator: give admin_username and admin_password, or have one install them: firn integration provision NAME --export update-set"
            }
            _ => "",
        };
        let why = format!("the instance answered {}: {}{hint}", said.status, said.reason());
        Err(failed(why, passes))
    }
}

/// Puts a definition's sys_id where it is referred to.
fn point_at(wanted: &mut Wanted, id: &str) {
    for (_, value) in &mut wanted.columns {
        if value == artifacts::DEFINITION {
            id.clone_into(value);
        }
    }
}

fn text(row: &Json, name: &str) -> String {
    row[name].as_str().unwrap_or_default().to_owned()
}

/// What has to be done about an artifact, by its row.
fn compare(wanted: &Wanted, row: Option<&Json>) -> Task {
    // Instances give scripts back with line ends of their own.
    let plain = |text: &str| text.replace("\r\n", "\n").trim_end().to_owned();
    let differs: Vec<String> = row.map_or_else(Vec::new, |row| {
        let differs = wanted.columns.iter().filter(|(name, value)| {
            !wanted.loose.contains(name) && plain(&text(row, name)) != plain(value)
        });
        differs.map(|(name, _)| (*name).to_owned()).collect()
    });
    let step = match row {
        None => Step::Create,
        // A property that is written flushes caches on the instance: equal ones are left alone.
        Some(_) if differs.is_empty() => Step::Leave,
        Some(_) => Step::Update,
    };
    let mut wanted = wanted.clone();
    if step == Step::Update {
        wanted.columns.retain(|(name, _)| differs.iter().any(|d| d == name));
    }
    Task {
        table: wanted.table,
        name: wanted.name.clone(),
        step,
        row: row.map(|row| text(row, "sys_id")),
        differs,
        wanted: Some(wanted),
    }
}

fn removal(table: &'static str, row: &Json) -> Task {
    Task {
        table,
        name: text(row, "name"),
        step: Step::Remove,
        row: Some(text(row, "sys_id")),
        differs: Vec::new(),
        wanted: None,
    }
}
