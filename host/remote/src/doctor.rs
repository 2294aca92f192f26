//! The doctor: asks everything of an instance that has to be right before it hurts: reachability,
//! sign-in, rights table by table, whether journal entries can be *seen*, the user's time zone, the
//! clock, rate rules, rules that a clone brought along.
//!
//! Nothing of a ticket is changed: one value of it is written as it is, to see whether it may be.
//!
//! Each check stands alone and says what to do. What could not be asked is skipped, never taken for a
//! failure. What only settings know (columns, choices, mandatory
//! columns) is the core's to judge; the doctor asks its questions ([`Doctor::rows`]).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use firn_model::{CorrelationMode, Environment, Integration};
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::visit::{Said, Unsaid, Visit};
use crate::{Carrier, Rows, Target};

/// How far clocks may be apart before signed webhooks are refused, in seconds.
const WINDOW: i64 = 300;
/// From which offset on it is worth a word, in seconds.
const NOTABLE: i64 = 2;
/// Of how many tickets the journal is looked for.
const TICKETS: u32 = 30;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, and somebody should know this.
    Note,
    /// Something will fail, or be lost.
    Bad,
    /// It could not be looked at.
    Skipped,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at: `read incident`.
    pub name: String,
    /// What came of it.
    pub verdict: Verdict,
    /// What was found, in a line.
    pub detail: String,
    /// What to do about it, in a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    /// A check that came out well.
    pub fn good(name: impl Into<String>, detail: impl Into<String>) -> Check {
        Check { name: name.into(), verdict: Verdict::Good, detail: detail.into(), remedy: None }
    }

    /// One that came to something else, and what to do about it.
    pub fn of(
        name: impl Into<String>,
        verdict: Verdict,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Check {
        let (name, detail, remedy) = (name.into(), detail.into(), Some(remedy.into()));
        Check { name, verdict, detail, remedy }
    }
}

/// Asks one integration's instance.
pub struct Doctor<'a> {
    user: Visit<'a>,
    admin: Option<Visit<'a>>,
    integration: &'a Integration,
    user_name: Option<&'a str>,
    callback: String,
}

/// Somewhere Firn must be let in, and what it needs it for.
struct Right {
    /// The table, or the path of an API.
    at: &'static str,
    needed: Need,
    why: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Must,
    Should,
}

/// What every integration reads besides its tickets.
const READS: &[Right] = &[
    Right { at: "sys_user", needed: Need::Should, why: "people are told apart by their e-mail" },
    Right { at: "sys_choice", needed: Need::Should, why: "value maps are checked against it" },
    Right {
        at: "sys_audit_delete",
        needed: Need::Should,
        why: "a deleted ticket can be told from a hidden one",
    },
];

/// What the help-desk seed (001) asks for besides, where cases are among the tickets.
const CASE_READS: &[Right] = &[
    Right { at: "customer_contact", needed: Need::Should, why: "a case's contact" },
    Right { at: "customer_account", needed: Need::Should, why: "a case's account" },
    Right { at: "kb_knowledge", needed: Need::Should, why: "articles for a case" },
    Right {
        at: "sn_customerservice_escalation",
        needed: Need::Should,
        why: "a case's escalations",
    },
];

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
            checks.push(self.read(table, Need::Must, "tickets are kept in step").await);
            checks.push(self.write(table).await);
        }
        checks.push(self.journal().await);
        for right in READS {
            checks.push(self.read(right.at, right.needed, right.why).await);
        }
        checks.push(self.api("attachments", "/api/now/attachment", "files are carried").await);
        if self.tables().any(|table| table == "sn_customerservice_case") {
            let case = "/api/sn_customerservice/case";
            checks.push(self.api("Case API", case, "cases are read and written").await);
            checks.push(self.api("Account API", "/api/now/account", "a case's account").await);
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

    async fn read(&self, table: &str, needed: Need, why: &str) -> Check {
        let name = format!("read {table}");
        let verdict = if needed == Need::Must { Verdict::Bad } else { Verdict::Note };
        match self.user.rows(table, "", "sys_id", 1).await {
            Err(why) => Check::of(name, Verdict::Skipped, why.to_string(), "try again"),
            Ok(said) if said.status == 200 && said.rows().is_empty() && needed == Need::Must => {
                Check::of(
                    name,
                    Verdict::Note,
                    "it shows no row: there is none yet, or none that this user may see",
                    format!("if there are any, give the user a role that reads {table}"),
                )
            }
            Ok(said) if said.status == 200 && said.rows().is_empty() => {
                Check::good(name, "yes, though it shows no row")
            }
            Ok(said) if said.status == 200 => Check::good(name, "yes"),
            Ok(said) if said.status == 400 => Check::of(
                name,
                verdict,
                format!("there is no such table ({})", said.reason()),
                "activate the plugin that brings it, or take it out of the settings",
            ),
            Ok(said) => Check::of(
                name,
                verdict,
                format!("refused: {} (needed so that {why})", said.reason()),
                remedy(&said, table, "reads"),
            ),
        }
    }

    /// Writes a value that is there already: rights are checked, and nothing changes.
    async fn write(&self, table: &str) -> Check {
        let name = format!("write {table}");
        let column = self.integration.settings.correlation.column.to_string();
        let none = || {
            Check::of(
                name.clone(),
                Verdict::Skipped,
                "there is no ticket to try it on",
                "the first ticket will show it; or make one by hand and test again",
            )
        };
        let fields = format!("sys_id,{column}");
        let Ok(said) =
            self.user.rows(table, "active=true^ORDERBYDESCsys_updated_on", &fields, 1).await
        else {
            return none();
        };
        let Some(row) = said.rows().first() else { return none() };
        let id = row["sys_id"].as_str().unwrap_or_default();
        // An id goes into a path: only what is one.
        if id.len() != 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return none();
        }
        let Some(value) = row[column.as_str()].as_str() else {
            return Check::of(
                name,
                Verdict::Bad,
                format!("{column} is not shown, and tickets are found again by it"),
                format!("let the user read and write {table}.{column}"),
            );
        };
        let path = format!("/api/now/table/{table}/{id}");
        let body = json!({ column: value });
        match self.user.call(Method::PATCH, &path, &[], Some(&body)).await {
            Err(why) => Check::of(name, Verdict::Skipped, why.to_string(), "try again"),
            Ok(said) if said.is_success() => Check::good(name, "yes"),
            Ok(said) => Check::of(
                name,
                Verdict::Bad,
                format!("refused: {}", said.reason()),
                remedy(&said, table, "writes"),
            ),
        }
    }

    async fn api(&self, name: &str, path: &str, why: &str) -> Check {
        let query = [("sysparm_limit", "1".to_owned())];
        match self.user.call(Method::GET, path, &query, None).await {
            Err(why) => Check::of(name, Verdict::Skipped, why.to_string(), "try again"),
            Ok(said) if said.is_success() => Check::good(name, "yes"),
            Ok(said) => Check::of(
                name,
                Verdict::Note,
                format!("refused: {} (needed so that {why})", said.reason()),
                remedy(&said, name, "reads"),
            ),
        }
    }

    /// A user who may not read the journal sees an empty list and status 200. So it is proved: where
    /// a ticket shows a comment, its row must be seen.
    async fn journal(&self) -> Check {
        const NAME: &str = "journal can be seen";
        let shown = |value: &Json| value.as_str().is_some_and(|text| !text.trim().is_empty());
        for table in self.tables() {
            let query = [
                ("sysparm_query", "ORDERBYDESCsys_updated_on".to_owned()),
                ("sysparm_fields", "sys_id,comments,work_notes".to_owned()),
                ("sysparm_limit", TICKETS.to_string()),
                ("sysparm_display_value", "true".to_owned()),
            ];
            let path = format!("/api/now/table/{table}");
            let Ok(said) = self.user.call(Method::GET, &path, &query, None).await else { continue };
            let spoken = |row: &&Json| shown(&row["comments"]) || shown(&row["work_notes"]);
            let Some(row) = said.rows().iter().find(spoken) else { continue };
            let id = row["sys_id"].as_str().unwrap_or_default();
            let query = format!("element_id={id}^elementINcomments,work_notes");
            let seen = self.user.rows("sys_journal_field", &query, "sys_id,element_id", 1).await;
            if let Some(check) = unasked(NAME, &seen) {
                return check;
            }
            // What an instance does not understand of a query it drops: check for ourselves.
            let seen = seen.is_ok_and(|said| said.rows().iter().any(|row| row["element_id"] == id));
            if seen {
                return Check::good(NAME, "proved by a ticket that has entries");
            }
            return Check::of(
                NAME,
                Verdict::Bad,
                "a ticket shows comments, and sys_journal_field shows none of them: comments from ServiceNow would be missed, without an error",
                "give the integration user a role that a read rule (ACL) of sys_journal_field lets in",
            );
        }
        Check::of(
            NAME,
            Verdict::Note,
            "no ticket shows a comment, so that it cannot be proved",
            "write a comment into any ticket and test again",
        )
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
        let Some(user) = self.user_name else { return Vec::new() };
        // It goes into a query.
        if user.contains('^') {
            return Vec::new();
        }
        let visit = self.admin.as_ref().unwrap_or(&self.user);
        let fields = "user_name,active,locked_out,web_service_access_only";
        let query = format!("user_name={user}");
        let Ok(said) = visit.rows("sys_user", &query, fields, 1).await else { return Vec::new() };
        let Some(row) = said.rows().iter().find(|row| row["user_name"] == user) else {
            return Vec::new();
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

    /// Columns that get values as they are, without masking: whoever reads them reads it all.
    fn kept_raw(&self) -> Vec<String> {
        let fields = self.integration.settings.fields.values();
        fields
            .filter(|field| field.mask == Some(false))
            .filter_map(|field| Some(field.column.as_ref()?.to_string()))
            .collect()
    }

    /// Whether a plain agent is kept out of a column.
    async fn restricted(&self, column: &str) -> Check {
        let name = format!("{column} is restricted");
        let Some(admin) = &self.admin else {
            return Check::of(
                name,
                Verdict::Skipped,
                "access rules are an administrator's to read",
                "give admin_username and admin_password",
            );
        };
        let tables: Vec<&str> = self.tables().chain(["task"]).collect();
        let names: Vec<String> = tables.iter().map(|table| format!("{table}.{column}")).collect();
        let query = format!("nameIN{}^operation=read^active=true", names.join(","));
        let rules = admin.rows("sys_security_acl", &query, "sys_id,name", 50).await;
        if let Some(check) = unasked(&name, &rules) {
            return check;
        }
        let rules: Vec<Json> = rules.map(|said| said.rows().to_vec()).unwrap_or_default();
        let ids: Vec<&str> = rules
            .iter()
            .filter(|row| names.iter().any(|name| row["name"] == name.as_str()))
            .filter_map(|row| row["sys_id"].as_str())
            .collect();
        if ids.is_empty() {
            return Check::of(
                name,
                Verdict::Bad,
                format!(
                    "values reach {column} without masking (mask = false), and no access rule keeps agents from reading it"
                ),
                format!("add a read rule (ACL) for {} that asks for a role of its own", names[0]),
            );
        }
        let query = format!("sys_security_aclIN{}", ids.join(","));
        let roles = admin
            .rows("sys_security_acl_role", &query, "sys_security_acl,sys_user_role.name", 200)
            .await;
        let roles: Vec<Json> = roles.map(|said| said.rows().to_vec()).unwrap_or_default();
        let open = ids.iter().any(|id| {
            let mut of = roles
                .iter()
                .filter(|row| row["sys_security_acl"] == **id)
                .filter_map(|row| row["sys_user_role.name"].as_str())
                .peekable();
            of.peek().is_none() || of.any(|role| matches!(role, "itil" | "public" | "snc_internal"))
        });
        if open {
            return Check::of(
                name,
                Verdict::Bad,
                format!(
                    "values reach {column} without masking (mask = false), and a plain agent (itil) may read it"
                ),
                "let its read rule (ACL) ask for a role that agents do not have",
            );
        }
        Check::good(name, "an access rule keeps plain agents out")
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

/// A question that was not answered with rows says nothing either way.
fn unasked(name: &str, said: &Result<Said, Unsaid>) -> Option<Check> {
    let why = match said {
        Ok(said) if said.status == 200 => return None,
        Ok(said) => format!("the instance answered {}: {}", said.status, said.reason()),
        Err(why) => why.to_string(),
    };
    Some(Check::of(
        name,
        Verdict::Skipped,
        why,
        "test again; if it stays, let the user read that table",
    ))
}

/// Why nothing more can be asked, if so.
fn barred(said: &Said) -> Option<Check> {
    let bad = |name: &str, detail: String, remedy: &str| {
        Some(Check::of(name, Verdict::Bad, detail, remedy))
    };
    match said.status {
        401 => bad(
            "sign-in",
            said.reason(),
            "check the credentials; new instances take Basic only from web-service-only users, or with the role snc_basic_auth_api_access",
        ),
        403 if said.reason().to_lowercase().contains("scope") => bad(
            "sign-in",
            said.reason(),
            "the client is securely scoped: give its registry an auth scope that covers the Table API (useraccount covers all)",
        ),
        403 if said.reason().contains("API level ACL") => bad(
            "REST API access",
            said.reason(),
            "give the user the role snc_platform_rest_api_access, or allow it in the REST API access policy of the Table API (and of its token's profile)",
        ),
        200..=299 if !said.json["result"].is_array() => bad(
            "reachable",
            "it answers with a page instead of the Table API".to_owned(),
            "wake the instance if it hibernates; let REST pass by the single sign-on",
        ),
        404 => bad(
            "reachable",
            format!("there is no Table API here (status 404: {})", said.reason()),
            "give the address of the instance: https://acme.service-now.com",
        ),
        300..=399 => bad(
            "reachable",
            format!("it sends us elsewhere (status {})", said.status),
            "give the address that the instance answers at itself",
        ),
        500.. => bad(
            "reachable",
            format!("it answers {}: {}", said.status, said.reason()),
            "wait until the instance is up again",
        ),
        429 => {
            bad("reachable", said.reason(), "wait until the hour is over, or raise its rate rule")
        }
        _ => None,
    }
}

/// What lets Firn in, by how it was refused.
fn remedy(said: &Said, what: &str, does: &str) -> String {
    if said.reason().contains("API level ACL") {
        return format!(
            "allow {what} in the REST API access policy that the user or its token falls under"
        );
    }
    match what {
        "sn_customerservice_case"
        | "Case API"
        | "Account API"
        | "customer_contact"
        | "customer_account"
        | "sn_customerservice_escalation" => {
            "give the integration user the role csm_ws_integration".to_owned()
        }
        "sys_choice" => "give the integration user the role personalize_choices".to_owned(),
        "sys_audit_delete" | "sys_user" => {
            format!(
                "give the integration user a role that {does} {what} (a read rule of your own is enough)"
            )
        }
        _ => format!("give the integration user a role that {does} {what} (itil for tasks)"),
    }
}

fn clock(said: &Said, began: SystemTime) -> Check {
    const NAME: &str = "clock";
    let Some(theirs) = said.header("date").and_then(|d| httpdate::parse_http_date(d).ok()) else {
        return Check::of(
            NAME,
            Verdict::Skipped,
            "the answer has no Date",
            "check the instance's clock by hand",
        );
    };
    let seconds = |at: SystemTime| {
        i64::try_from(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()).unwrap_or(0)
    };
    // The answer was made some time between the first and the last.
    let (from, theirs, to) = (seconds(began), seconds(theirs), seconds(SystemTime::now()));
    let off = if theirs < from { theirs - from } else { (theirs - to).max(0) };
    let text = format!("{off:+} s from ours");
    if off.abs() > WINDOW {
        return Check::of(
            NAME,
            Verdict::Bad,
            format!("{text}: signed webhooks are refused beyond {WINDOW} s"),
            "set this machine's clock by NTP",
        );
    }
    if off.abs() > NOTABLE {
        return Check::of(
            NAME,
            Verdict::Note,
            text,
            "set this machine's clock by NTP: last-write-wins compares times",
        );
    }
    Check::good(NAME, "the same as ours")
}

fn rate(said: &Said) -> Check {
    const NAME: &str = "rate rules";
    match said.header("x-ratelimit-limit") {
        None => Check::good(NAME, "none for this user"),
        Some(limit) => {
            let limit: String = limit.chars().filter(char::is_ascii_digit).take(12).collect();
            Check::of(
                NAME,
                Verdict::Note,
                format!("this user may make {limit} requests an hour"),
                "Firn keeps to it and waits; raise it if the backlog grows",
            )
        }
    }
}

/// How long a ping may take.
pub const PING: Duration = Duration::from_secs(10);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn said(status: u16, headers: &[(&str, &str)], json: Json) -> Said {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Said { status, headers, json }
    }

    #[test]
    fn clocks_that_differ() {
        let now = SystemTime::now();
        let at = |seconds: &str| clock(&said(200, &[("date", seconds)], json!(null)), now).verdict;
        assert_eq!(at("Sun, 06 Nov 1994 08:49:37 GMT"), Verdict::Bad);
        assert_eq!(clock(&said(200, &[], json!(null)), now).verdict, Verdict::Skipped);
    }

    #[test]
    fn why_nothing_more_can_be_asked() {
        let refused = |status, message: &str| {
            let body = json!({ "error": { "message": "User Not Authorized", "detail": message } });
            barred(&said(status, &[], body)).map(|check| check.name)
        };
        assert_eq!(refused(401, "x").as_deref(), Some("sign-in"));
        assert_eq!(
            refused(403, "Failed API level ACL Validation").as_deref(),
            Some("REST API access")
        );
        assert_eq!(refused(403, "unscoped API access is not allowed").as_deref(), Some("sign-in"));
        assert_eq!(refused(503, "x").as_deref(), Some("reachable"));
        // One table that may not be read bars nothing else.
        assert_eq!(refused(403, "Insufficient rights"), None);
        assert_eq!(refused(404, "no reason").as_deref(), Some("reachable"));
        assert!(barred(&said(200, &[], json!({ "result": [] }))).is_none());
        assert!(barred(&said(200, &[], Json::Null)).is_some());
    }
}
