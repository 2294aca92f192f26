//! Rights: table by table and API by API, as seed 001 lists them; whether the journal can be *seen*;
//! whether columns that get raw values are kept from plain agents.

use firn_model::{ArticlePolicy, Direction, JournalSource};
use reqwest::Method;
use serde_json::{Value as Json, json};

use super::answers::unasked;
use super::{Check, Doctor, Verdict};
use crate::visit::Said;

/// Of how many tickets the journal is looked for.
const TICKETS: u32 = 30;

/// Somewhere Firn must be let in, and what it needs it for.
pub(super) struct Right {
    /// The table, or the path of an API.
    pub(super) at: &'static str,
    pub(super) needed: Need,
    pub(super) why: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Must,
    Should,
}

impl Need {
    /// What it means that it is missing.
    fn verdict(self) -> Verdict {
        match self {
            Need::Must => Verdict::Bad,
            Need::Should => Verdict::Note,
        }
    }
}

/// What every integration reads besides its tickets.
pub(super) const READS: &[Right] = &[
    Right { at: "sys_user", needed: Need::Should, why: "people are told apart by their e-mail" },
    Right { at: "sys_choice", needed: Need::Should, why: "value maps are checked against it" },
    Right {
        at: "sys_audit_delete",
        needed: Need::Should,
        why: "a deleted ticket can be told from a hidden one",
    },
    Right {
        at: "sys_audit",
        needed: Need::Should,
        why: "what a write went over unseen can be told",
    },
];

/// What the help-desk seed (001) asks for besides, where cases are among the tickets.
pub(super) const CASE_READS: &[Right] = &[
    Right { at: "customer_contact", needed: Need::Should, why: "a case's contact" },
    Right { at: "customer_account", needed: Need::Should, why: "a case's account" },
    Right { at: "kb_knowledge", needed: Need::Should, why: "articles for a case" },
    Right {
        at: "sn_customerservice_escalation",
        needed: Need::Should,
        why: "a case's escalations",
    },
];

impl Doctor<'_> {
    pub(super) async fn read(&self, table: &str, needed: Need, why: &str) -> Check {
        let name = format!("read {table}");
        let verdict = needed.verdict();
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

    /// Whether tickets can be written.
    pub(super) async fn write(&self, table: &str) -> Check {
        let column = self.integration.settings.correlation.column.to_string();
        self.write_anew(table, "active=true", &column).await
    }

    /// Whether drafts of articles can be made: where they are to be, and whether one can be written.
    pub(super) async fn articles(&self, policy: &ArticlePolicy) -> Vec<Check> {
        let base = &policy.knowledge_base;
        let query = format!("sys_id={base}");
        let name = "the knowledge base for drafts";
        let there = match self.user.rows("kb_knowledge_base", &query, "sys_id,title", 1).await {
            Err(why) => Check::of(name, Verdict::Skipped, why.to_string(), "try again"),
            // What an instance does not understand of a query it leaves out.
            Ok(said) if said.rows().iter().any(|row| row["sys_id"] == base.as_str()) => {
                Check::good(name, "it is there")
            }
            Ok(_) => Check::of(
                name,
                Verdict::Bad,
                format!("there is no knowledge base {base} that this user may see"),
                "set learning.articles.knowledge_base to a sys_id of kb_knowledge_base, and let the user contribute to it",
            ),
        };
        vec![there, self.write_anew("kb_knowledge", "workflow_state=draft", "meta").await]
    }

    /// Writes a value that is there already: rights are checked, and nothing changes.
    async fn write_anew(&self, table: &str, which: &str, column: &str) -> Check {
        let name = format!("write {table}");
        let none = || {
            Check::of(
                name.clone(),
                Verdict::Skipped,
                "there is no record to try it on",
                "the first one will show it; or make one by hand and test again",
            )
        };
        let fields = format!("sys_id,{column}");
        let Ok(said) =
            self.user.rows(table, &format!("{which}^ORDERBYDESCsys_updated_on"), &fields, 1).await
        else {
            return none();
        };
        let Some(row) = said.rows().first() else { return none() };
        let id = row["sys_id"].as_str().unwrap_or_default();
        // An id goes into a path: only what is one.
        if id.len() != 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return none();
        }
        let Some(value) = row[column].as_str() else {
            return Check::of(
                name,
                Verdict::Bad,
                format!("{column} is not shown, and they are found again by it"),
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

    pub(super) async fn api(&self, name: &str, path: &str, needed: Need, why: &str) -> Check {
        let query = [("sysparm_limit", "1".to_owned())];
        match self.user.call(Method::GET, path, &query, None).await {
            Err(why) => Check::of(name, Verdict::Skipped, why.to_string(), "try again"),
            Ok(said) if said.is_success() => Check::good(name, "yes"),
            Ok(said) => Check::of(
                name,
                needed.verdict(),
                format!("refused: {} (needed so that {why})", said.reason()),
                remedy(&said, name, "reads"),
            ),
        }
    }

    /// A user who may not read the journal sees an empty list and status 200. So it is proved: where
    /// a ticket shows a comment, its row must be seen.
    pub(super) async fn journal(&self) -> Check {
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
            let source = self.integration.settings.journal.source;
            if source == JournalSource::Activities && table == "sn_customerservice_case" {
                let path = format!("/api/sn_customerservice/case/{id}/activities");
                let said = self.user.call(Method::GET, &path, &[], None).await;
                if let Some(check) = unasked(NAME, &said) {
                    return check;
                }
                let shown = |said: Said| said.json["result"]["entries"].as_array().map(Vec::len);
                return match said.ok().and_then(shown) {
                    Some(1..) => Check::good(NAME, "proved by the activities of a case"),
                    _ => Check::of(
                        NAME,
                        Verdict::Bad,
                        "a case shows comments, and the Case API shows no activities of it: comments from ServiceNow would be missed",
                        "give the integration user the role csm_ws_integration, or set journal.source = \"table\"",
                    ),
                };
            }
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

    /// Columns that get values as they are, without masking: whoever reads them reads it all.
    pub(super) fn kept_raw(&self) -> Vec<String> {
        if self.integration.settings.direction == Direction::ToPlatform {
            return Vec::new(); // Nothing reaches a column.
        }
        let fields = self.integration.settings.fields.values();
        fields
            .filter(|field| field.mask == Some(false))
            .filter_map(|field| Some(field.column.as_ref()?.to_string()))
            .collect()
    }

    /// Whether a plain agent is kept out of a column.
    pub(super) async fn restricted(&self, column: &str) -> Check {
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
        "kb_knowledge" if does == "writes" => {
            "let the integration user contribute to that knowledge base (role knowledge, and its user criteria)".to_owned()
        }
        "sys_choice" => "give the integration user the role personalize_choices".to_owned(),
        "sys_audit" | "sys_audit_delete" | "sys_user" => {
            format!(
                "give the integration user a role that {does} {what} (a read rule of your own is enough)"
            )
        }
        _ => format!("give the integration user a role that {does} {what} (itil for tasks)"),
    }
}
