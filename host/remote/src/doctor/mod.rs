//! The doctor: asks everything of an instance that has to be right before it hurts: reachability,
//! sign-in, rights table by table, whether journal entries can be *seen*, the user's time zone, the
//! clock, rate rules, rules that a clone brought along.
//!
//! Nothing of a ticket is changed: one value of it is written as it is, to see whether it may be. Each
//! check stands alone and says what to do. What could not be asked is skipped, never taken for a
//! failure. What only settings know (columns, choices, mandatory columns) is the core's to judge; the
//! doctor asks its questions ([`Doctor::rows`]).

mod answers;
mod check;
mod rights;

use std::time::{Duration, SystemTime};

use firn_model::{CorrelationMode, Direction, Environment, Integration, Side};
use reqwest::Method;
use serde_json::Value as Json;

use self::answers::{barred, clock, rate, unasked};
pub use self::check::{Check, Verdict};
use self::rights::{CASE_READS, Need, READS};
use crate::visit::{Unsaid, Visit};
use crate::{Carrier, Rows, Target};

/// Asks one integration's instance.
pub struct Doctor<'a> {
    user: Visit<'a>,
    admin: Option<Visit<'a>>,
    integration: &'a Integration,
    user_name: Option<&'a str>,
    callback: String,
}

impl<'a> Doctor<'a> {
    /// For one integration. `base` is its instance, checked; `callback` its webhook's URL.
    #[must_use]
    pub fn new(
        carrier: &'a Carrier,
        base: &'a url::Url,
        target: &'a Target,
        integration: &'a Integration,
        callback: String,
    ) -> Doctor<'a> {
        Doctor {
            user: Visit::as_user(carrier, base, target),
            admin: Visit::as_admin(carrier, base, target),
            integration,
            user_name: target.secrets.credentials.user(),
            callback,
        }
    }

    /// Whether there is an administrator to look where the integration user may not.
    #[must_use]
    pub fn has_admin(&self) -> bool {
        self.admin.is_some()
    }

    /// Rows of a table, as the integration user or as the administrator.
    ///
    /// # Errors
    /// Why there was no answer.
    pub async fn rows(
        &self,
        as_admin: bool,
        table: &str,
        query: &str,
        fields: &[String],
        limit: u32,
    ) -> Result<Rows, String> {
        let visit = self.admin.as_ref().filter(|_| as_admin).unwrap_or(&self.user);
        let said =
            visit.rows(table, query, &fields.join(","), limit).await.map_err(|e| e.to_string())?;
        Ok(Rows { status: said.status, result: said.json["result"].clone() })
    }

    /// Whether the instance lets Firn in at all. Without that, nothing else can be asked.
    ///
    /// # Errors
    /// The check that failed.
    pub async fn door(&mut self) -> Result<Vec<Check>, Check> {
        let table = self.tables().next().unwrap_or("incident").to_owned();
        let table = table.as_str();
        let began = SystemTime::now();
        let said = match self.user.rows(table, "", "sys_id", 1).await {
            Ok(said) => said,
            Err(Unsaid::NotSignedIn(why)) => {
                return Err(Check::of(
                    "sign-in",
                    Verdict::Bad,
                    why,
                    "give other credentials (firn integration configure), or consent again (firn integration connect)",
                ));
            }
            Err(Unsaid::Silent(why)) if why.starts_with("the secret ") => {
                return Err(Check::of(
                    "sign-in",
                    Verdict::Bad,
                    why,
                    "give the variable or the file to the server (firn serve), where secrets are looked up",
                ));
            }
            Err(Unsaid::Silent(why)) => {
                return Err(Check::of(
                    "reachable",
                    Verdict::Bad,
                    why,
                    "check base_url, DNS, the proxy and the firewall between here and the instance",
                ));
            }
        };
        if let Some(check) = barred(&said) {
            return Err(check);
        }
        let mut checks = vec![self.named()];
        let who = self.user_name.map_or("the client's user".to_owned(), str::to_owned);
        let grant = self.user.who.credentials.grant();
        checks.push(Check::good("sign-in", format!("as {who}, by {grant}")));
        checks.push(clock(&said, began));
        checks.push(rate(&said));
        checks.extend(self.administrator().await);
        Ok(checks)
    }

    /// Whether the administrator is let in. One who is not is not tried again: the account could be
    /// locked.
    async fn administrator(&mut self) -> Option<Check> {
        const NAME: &str = "administrator";
        let admin = self.admin.as_ref()?;
        let why = match admin.rows("sys_properties", "", "sys_id", 1).await {
            Ok(said) if said.status == 401 => said.reason(),
            Ok(said) if said.is_success() => return Some(Check::good(NAME, "signed in")),
            Ok(said) => {
                return Some(Check::of(
                    NAME,
                    Verdict::Note,
                    format!("it may not read sys_properties: {}", said.reason()),
                    "give it the role admin, or install by hand (firn integration provision NAME --export)",
                ));
            }
            Err(why) => why.to_string(),
        };
        self.admin = None;
        Some(Check::of(
            NAME,
            Verdict::Bad,
            why,
            "correct admin_username and admin_password (firn integration configure)",
        ))
    }

    /// The instance, by its name: what it is for may be seen in it.
    fn named(&self) -> Check {
        const NAME: &str = "reachable";
        let base = self.user.who.base.to_string();
        let host = self.user.who.base.host_str().unwrap_or_default();
        let own = host.strip_suffix(".service-now.com").unwrap_or_default();
        let trial = ["dev", "test", "uat", "sandbox", "stage", "staging", "qa"]
            .iter()
            .any(|word| own.starts_with(word) || own.ends_with(word));
        match (self.integration.settings.environment, trial) {
            (Environment::Production, true) => Check::of(
                NAME,
                Verdict::Note,
                format!("{base} looks like an instance for trying things out"),
                "if it is one: environment = \"sandbox\"",
            ),
            (Environment::Sandbox, _) => Check::good(NAME, format!("{base} (sandbox)")),
            (Environment::Production, false) => Check::good(NAME, base),
        }
    }

    /// Everything that can be asked once Firn is let in.
    pub async fn examine(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        for table in self.tables() {
            checks.push(self.read(table, Need::Must, "it is kept in step").await);
            if self.integration.settings.direction != Direction::ToPlatform {
                checks.push(self.write(table).await);
            }
        }
        if self.integration.reads_journal() {
            checks.push(self.journal().await);
        }
        let learning = &self.integration.settings.learning;
        if let Some(policy) = learning.articles.as_ref().filter(|_| learning.enabled) {
            checks.extend(self.articles(policy).await);
        }
        for right in READS.iter().filter(|right| self.tables().all(|table| table != right.at)) {
            checks.push(self.read(right.at, right.needed, right.why).await);
        }
        let travel = Side::BOTH.into_iter().any(|side| self.integration.attachments_from(side));
        let needed = if travel { Need::Must } else { Need::Should };
        let why = "files are carried";
        checks.push(self.api("attachments", "/api/now/attachment", needed, why).await);
        if self.tables().any(|table| table == "customer_account") {
            let why = "accounts are read";
            checks.push(self.api("Account API", "/api/now/account", Need::Should, why).await);
        }
        if self.tables().any(|table| table == "sn_customerservice_case") {
            let case = "/api/sn_customerservice/case";
            checks
                .push(self.api("Case API", case, Need::Should, "cases are read and written").await);
            checks.push(
                self.api("Account API", "/api/now/account", Need::Should, "a case's account").await,
            );
            for right in CASE_READS {
                checks.push(self.read(right.at, right.needed, right.why).await);
            }
        }
        checks.push(self.zone().await);
        checks.extend(self.account().await);
        let settings = &self.integration.settings;
        // The resource keeps keys unique by itself.
        if settings.correlation.mode == CorrelationMode::Unique && !settings.provision.resource {
            checks.push(self.unique().await);
        }
        for column in self.kept_raw() {
            checks.push(self.restricted(&column).await);
        }
        checks
    }

    fn tables(&self) -> impl Iterator<Item = &str> {
        self.integration.settings.tickets.iter().map(|ticket| ticket.table.as_str())
    }

    /// Dates in queries are read as UTC by some accounts of an instance and in the user's zone by
    /// others. A user whose zone is GMT sees no difference.
    async fn zone(&self) -> Check {
        const NAME: &str = "time zone of the user";
        const GMT: &str =
            "set the integration user's time zone to GMT and its date format to yyyy-MM-dd";
        let table = self.tables().next().unwrap_or("incident");
        let query = [
            ("sysparm_query", "ORDERBYDESCsys_updated_on".to_owned()),
            ("sysparm_fields", "sys_id,sys_updated_on".to_owned()),
            ("sysparm_limit", "1".to_owned()),
            ("sysparm_display_value", "all".to_owned()),
        ];
        let path = format!("/api/now/table/{table}");
        let said = match self.user.call(Method::GET, &path, &query, None).await {
            Ok(said) => said,
            Err(why) => return Check::of(NAME, Verdict::Skipped, why.to_string(), "try again"),
        };
        let of = |name: &str, part: &str| {
            said.rows()
                .first()
                .and_then(|row| row[name][part].as_str())
                .unwrap_or_default()
                .to_owned()
        };
        let (id, value) = (of("sys_id", "value"), of("sys_updated_on", "value"));
        let shown = of("sys_updated_on", "display_value");
        if value.is_empty() {
            return Check::of(NAME, Verdict::Skipped, "there is no ticket to tell it by", GMT);
        }
        let query = format!("sys_id={id}^sys_updated_on>={value}^sys_updated_on<={value}");
        let found = self.user.rows(table, &query, "sys_id", 1).await;
        if let Some(check) = unasked(NAME, &found) {
            return check;
        }
        let literal = found.is_ok_and(|said| said.rows().iter().any(|row| row["sys_id"] == id));
        match (shown == value, literal) {
            (true, true) => Check::good(NAME, "GMT: dates mean the same in queries and answers"),
            (_, false) => Check::of(
                NAME,
                Verdict::Bad,
                format!(
                    "a ticket changed at {value} UTC is not found by that time: dates in queries are read in the user's zone"
                ),
                GMT,
            ),
            (false, true) => Check::of(
                NAME,
                Verdict::Note,
                format!("{value} UTC is shown as {shown}; queries read dates as UTC all the same"),
                GMT,
            ),
        }
    }

    /// The account itself, where its row may be read.
    async fn account(&self) -> Vec<Check> {
        // Credentials that name nobody sign in as whom the settings name, or Firn does not know its own entries.
        let user = self.user_name.unwrap_or(&self.integration.settings.external_user);
        // It goes into a query.
        if user.contains('^') {
            return Vec::new();
        }
        let visit = self.admin.as_ref().unwrap_or(&self.user);
        let fields = "user_name,active,locked_out,web_service_access_only";
        let query = format!("user_name={user}");
        let Ok(said) = visit.rows("sys_user", &query, fields, 1).await else { return Vec::new() };
        let Some(row) = said.rows().iter().find(|row| row["user_name"] == user) else {
            let strange = self.user_name.is_none() && said.status == 200;
            return strange
                .then(|| {
                    Check::of(
                        "integration account",
                        Verdict::Note,
                        format!("there is no user {user}, or it may not be read: Firn's own entries could be taken for others'"),
                        "set external_user to the user of the instance's OAuth registry",
                    )
                })
                .into_iter()
                .collect();
        };
        let is = |name: &str| row[name] == "true";
        let basic = self.user.who.credentials.grant() == "basic";
        if basic && row["web_service_access_only"].is_string() && !is("web_service_access_only") {
            return vec![Check::of(
                "integration account",
                Verdict::Note,
                format!("{user} can also sign in to the pages of the instance"),
                "tick \"Web service access only\": new instances refuse Basic sign-in to others",
            )];
        }
        if row["active"] == "false" || is("locked_out") {
            return vec![Check::of(
                "integration account",
                Verdict::Bad,
                format!("{user} is not active, or is locked out"),
                "activate it, and unlock it",
            )];
        }
        vec![Check::good("integration account", format!("{user} is active"))]
    }

    /// Unique mode promises at most one ticket per key because the instance keeps the key unique.
    async fn unique(&self) -> Check {
        const NAME: &str = "key is unique";
        let column = &self.integration.settings.correlation.column;
        let Some(admin) = &self.admin else {
            return Check::of(
                NAME,
                Verdict::Skipped,
                "the dictionary is an administrator's to read",
                format!(
                    "give admin_username and admin_password, or look for a unique index on {column} by hand"
                ),
            );
        };
        let tables: Vec<&str> = self.tables().chain(["task"]).collect();
        let query = format!("nameIN{}^element={column}^unique=true", tables.join(","));
        let said = admin.rows("sys_dictionary", &query, "name,element,unique", 20).await;
        if let Some(check) = unasked(NAME, &said) {
            return check;
        }
        let rows = said.map(|said| said.rows().to_vec()).unwrap_or_default();
        let unique =
            rows.iter().any(|row| row["element"] == column.as_str() && row["unique"] == "true");
        if unique {
            return Check::good(NAME, format!("{column} has a unique index"));
        }
        Check::of(
            NAME,
            Verdict::Bad,
            format!(
                "correlation.mode is unique, and the dictionary knows no unique index on {column}: a ticket could be made twice"
            ),
            "make the column unique, or set correlation.mode = \"plain\"",
        )
    }

    /// What the instance logged of its calls to us, where webhooks do not arrive.
    pub async fn outbound(&self) -> Option<String> {
        let admin = self.admin.as_ref()?;
        let host = url::Url::parse(&self.callback).ok()?.host_str()?.to_owned();
        // The table has one name in the documentation and another in the wild.
        for table in ["sys_outbound_http_log", "sys_outbound_rest_message_log"] {
            let query = format!("urlLIKE{host}^ORDERBYDESCsys_created_on");
            let fields = "url,response_status,sys_created_on";
            let Ok(said) = admin.rows(table, &query, fields, 20).await else { continue };
            let to_us = |row: &&Json| row["url"].as_str().is_some_and(|url| url.contains(&host));
            let rows: Vec<&Json> = said.rows().iter().filter(to_us).collect();
            // Of the calls of the last minute that there was one, one that failed.
            let minute = |row: &Json| {
                row["sys_created_on"].as_str().and_then(|at| at.get(..16)).map(str::to_owned)
            };
            let last = rows.first().and_then(|row| minute(row));
            let failed = |row: &&&Json| {
                minute(row) == last
                    && !row["response_status"].as_str().is_some_and(|s| s.starts_with('2'))
            };
            if let Some(row) = rows.iter().find(failed).or(rows.first()) {
                let of = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
                let status = match of("response_status").as_str() {
                    "0" | "" | "-" => "no answer".to_owned(),
                    status => format!("the answer {status}"),
                };
                return Some(format!(
                    "the instance's log ({table}) has a call to {host} at {} UTC with {status}",
                    of("sys_created_on")
                ));
            }
        }
        let query = "messageLIKE[Firn]^ORDERBYDESCsys_created_on";
        let said = admin.rows("syslog", query, "message", 1).await.ok()?;
        let message = said.rows().iter().filter_map(|row| row["message"].as_str()).next();
        let message = message.filter(|message| message.contains("[Firn]"))?;
        let plain: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
        Some(format!("the instance's log has: {plain}"))
    }
}

/// How long a ping may take.
pub const PING: Duration = Duration::from_secs(10);
