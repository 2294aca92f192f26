//! Who may do what: roles by table as on a stock instance, and what an administrator forbids
//! besides: tables, columns, journals, whole APIs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::schema;
use crate::signin::has_role;
use crate::tables::{Record, Tables};

/// How much of a table somebody who is no administrator may see or do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permit {
    /// As the roles say.
    #[default]
    Roles,
    /// Nothing: status 403.
    Refused,
    /// Nothing, and no word about it: an empty list with status 200.
    Empty,
}

/// What an administrator forbids. It binds everybody who is none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Access {
    /// Reading, by table.
    pub read: BTreeMap<String, Permit>,
    /// Writing, by table.
    pub write: BTreeMap<String, Permit>,
    /// Columns that are not shown, as `incident.close_notes` or `task.close_notes`.
    pub hidden: Vec<String>,
    /// Columns that are shown and whose writes are ignored.
    pub read_only: Vec<String>,
    /// Rows that are not shown: an encoded query by table.
    pub rows: BTreeMap<String, String>,
    /// APIs that are refused: `table`, `attachment`, `import`, `stats`, `batch`, `case`, `account`.
    pub api: Vec<String>,
    /// Tokens without a scope are refused (the client is securely scoped).
    pub scoped: bool,
}

/// Tables that only an administrator reads or writes.
const ADMIN_ONLY: &[&str] = &[
    "sys_script",
    "syslog",
    "sys_outbound_http_log",
    "sys_dictionary",
    "sys_security_acl",
    "sys_security_acl_role",
    "sys_ws_definition",
    "sys_ws_operation",
    "sys_rate_limit_rules",
    "sys_db_object",
    "sys_transform_map",
    "sys_transform_entry",
];

impl Access {
    pub(crate) fn read(&self, tables: &Tables, user: &str, table: &str) -> Permit {
        if has_role(tables, user, "admin") {
            return Permit::Roles;
        }
        if ADMIN_ONLY.contains(&table) {
            return Permit::Refused;
        }
        self.read.get(table).copied().unwrap_or_default()
    }

    pub(crate) fn write(&self, tables: &Tables, user: &str, table: &str) -> bool {
        if has_role(tables, user, "admin") {
            return true;
        }
        let agents = schema::is_task(table)
            || matches!(table, "sys_journal_field" | "sys_attachment" | "imp_incident");
        let by_role = agents && has_role(tables, user, "itil") && !ADMIN_ONLY.contains(&table);
        let by_role = by_role || table == "kb_knowledge" && has_role(tables, user, "knowledge");
        by_role && self.write.get(table).copied().unwrap_or_default() == Permit::Roles
    }

    pub(crate) fn api(&self, tables: &Tables, user: &str, api: &str) -> bool {
        !self.api.iter().any(|a| a == api) || has_role(tables, user, "admin")
    }

    /// Whether a column is in a list for the class of a record.
    fn listed(list: &[String], table: &str, column: &str) -> bool {
        list.iter().any(|rule| {
            rule.split_once('.')
                .is_some_and(|(of, name)| name == column && schema::ancestry(table).contains(&of))
        })
    }

    /// What a user may do with a column: `none`, `read` or `write`.
    pub(crate) fn right(
        &self,
        tables: &Tables,
        user: &str,
        table: &str,
        column: &str,
    ) -> &'static str {
        match has_role(tables, user, "admin") {
            true => "write",
            false if Access::listed(&self.hidden, table, column) => "none",
            false if Access::listed(&self.read_only, table, column) => "read",
            false => "write",
        }
    }

    /// A record without what a user may not see of it.
    pub(crate) fn seen(&self, tables: &Tables, user: &str, record: &Record) -> Record {
        let mut record = record.clone();
        if !self.hidden.is_empty() && !has_role(tables, user, "admin") {
            let class = record.get("sys_class_name").cloned().unwrap_or_default();
            record.retain(|column, _| !Access::listed(&self.hidden, &class, column));
        }
        record
    }

    /// What is left of a write when columns that a user may not write are ignored.
    pub(crate) fn written(&self, tables: &Tables, user: &str, table: &str, set: Record) -> Record {
        if (self.read_only.is_empty() && self.hidden.is_empty()) || has_role(tables, user, "admin")
        {
            return set;
        }
        set.into_iter()
            .filter(|(column, _)| {
                !Access::listed(&self.read_only, table, column)
                    && !Access::listed(&self.hidden, table, column)
            })
            .collect()
    }
}
