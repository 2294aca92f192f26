//! Provisioning: the system properties and business rules that make ServiceNow send signed
//! webhooks. Installing twice is installing once; what an earlier version or an interrupted run left
//! behind is put in order; removing removes all of an integration's artifacts, and no others.
//!
//! `artifacts` says what is to be there. Here it is compared with what is there ([`Provisioner::plan`]),
//! and the difference is made good. `export` writes the same artifacts down for an administrator who
//! installs them by hand.

mod artifacts;
mod export;

use std::collections::BTreeSet;
use std::time::Duration;

use firn_model::Integration;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value as Json, json};

use self::artifacts::{TABLES, Wanted, Webhook};
pub use self::export::Format as ExportFormat;
use crate::visit::{Said, Unsaid, Visit};
use crate::{ApiPath, Carrier, Target};

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
        let undo = "firn integration unprovision undoes it";
        let done = self.work(self.tasks().await?, undo).await?;
        let left: Vec<Task> =
            self.tasks().await?.into_iter().filter(|t| t.step != Step::Leave).collect();
        match left.first() {
            None => Ok(done),
            Some(task) => Err(ProvisionError::new(
                &task.name,
                format!(
                    "the instance took the write, and reading it back shows something else ({}): a rule or a policy of its own changes it",
                    match task.step {
                        Step::Create => "it is not there".to_owned(),
                        Step::Remove => "it is still there".to_owned(),
                        Step::Update | Step::Leave => task.differs.join(", "),
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
        let every = self.every();
        for table in TABLES.into_iter().rev() {
            for row in self.ours(table, &every).await? {
                tasks.push(removal(table, &row));
            }
        }
        self.work(tasks, "nothing else is touched").await
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
        for table in TABLES {
            let mark = artifacts::mark_column(table);
            let query = format!("{mark}LIKEAuto-managed by Firn");
            for row in self.seen(table, &query, &self.every()).await? {
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

    /// All artifacts that there can be, whether they are wanted at present or not; without values.
    fn every(&self) -> Vec<Wanted> {
        let mut integration = self.integration.clone();
        integration.settings.provision.attachments = true;
        integration.settings.provision.redact_on_save = true;
        integration.settings.provision.resource = true;
        let webhook = Webhook { callback: "", key: &SecretString::from(String::new()) };
        artifacts::wanted(&integration, &webhook)
    }

    async fn tasks(&self) -> Result<Vec<Task>, ProvisionError> {
        let mut wanted = self.wanted()?;
        let every = self.every();
        let mut tasks = Vec::new();
        let mut too_much = Vec::new();
        for table in TABLES {
            let mut there = self.ours(table, &every).await?;
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

    /// Works tasks off, in order. `else_` is what may be done instead of going on.
    async fn work(&self, tasks: Vec<Task>, else_: &str) -> Result<Vec<Artifact>, ProvisionError> {
        let mut done = Vec::new();
        let all = tasks.len();
        for task in tasks {
            if let Err(mut failed) = self.stubborn(&task).await {
                if !done.is_empty() {
                    failed.why = format!(
                        "{}; {} of {all} artifacts are done: the same command goes on from there; {else_}",
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

    /// Where the instance put the resource: a path from the root. `None` if it is not installed.
    ///
    /// # Errors
    /// When it cannot be looked for.
    pub async fn resource(&self) -> Result<Option<ApiPath>, ProvisionError> {
        if !self.integration.settings.provision.resource {
            return Ok(None);
        }
        let name = artifacts::resource_name(&self.integration.id);
        let rows = self.named("sys_ws_definition", &name).await?;
        Ok(rows.first().and_then(|row| ApiPath::new(text(row, "base_uri")).ok()))
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
    async fn ours(&self, table: &str, every: &[Wanted]) -> Result<Vec<Json>, ProvisionError> {
        let id = self.integration.id.as_str();
        let mark = artifacts::mark_column(table);
        let rows =
            self.seen(table, &format!("nameLIKE{id}^OR{mark}LIKEintegration={id}"), every).await?;
        // An instance drops what it does not understand of a query: check for ourselves.
        let ours = |row: &Json| {
            every.iter().any(|wanted| wanted.table == table && wanted.name == text(row, "name"))
                || artifacts::owner(&text(row, mark)) == Some(id)
        };
        Ok(rows.into_iter().filter(ours).collect())
    }

    /// Rows of a table, with every column of artifacts. Where no resource is wanted, who may not see
    /// those of Scripted REST made none.
    async fn seen(
        &self,
        table: &str,
        query: &str,
        every: &[Wanted],
    ) -> Result<Vec<Json>, ProvisionError> {
        let optional =
            table.starts_with("sys_ws_") && !self.integration.settings.provision.resource;
        let columns: BTreeSet<&str> = every
            .iter()
            .filter(|wanted| wanted.table == table)
            .flat_map(|wanted| wanted.columns.iter().map(|(name, _)| *name))
            .chain(["sys_id", "name", artifacts::mark_column(table)])
            .collect();
        match self.rows(table, query, &columns).await {
            Err(failed) if optional && !failed.passes => Ok(Vec::new()),
            rows => rows,
        }
    }

    async fn named(&self, table: &str, name: &str) -> Result<Vec<Json>, ProvisionError> {
        let columns = BTreeSet::from(["sys_id", "name", "base_uri"]);
        let rows = self.rows(table, &format!("name={name}"), &columns).await?;
        Ok(rows.into_iter().filter(|row| text(row, "name") == name).collect())
    }

    async fn rows(
        &self,
        table: &str,
        query: &str,
        columns: &BTreeSet<&str>,
    ) -> Result<Vec<Json>, ProvisionError> {
        let columns: Vec<&str> = columns.iter().copied().collect();
        let query = [
            ("sysparm_query", format!("{query}^ORDERBYsys_created_on^ORDERBYsys_id")),
            ("sysparm_fields", columns.join(",")),
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
