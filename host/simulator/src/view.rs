//! The shape of an answer: raw or display values, references with or without links, columns that
//! were asked for, dot-walks as flat keys.

use serde_json::{Map, Value as Json, json};

use crate::schema;
use crate::tables::{Record, Tables};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Display {
    #[default]
    Raw,
    Shown,
    Both,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    pub(crate) display: Display,
    pub(crate) without_links: bool,
    pub(crate) fields: Option<Vec<String>>,
    pub(crate) base: String,
}

const HIDDEN: &[&str] = &["user_password", "roles"];

impl View {
    pub(crate) fn show(&self, tables: &Tables, record: &Record) -> Json {
        let mut shown = Map::new();
        let all: Vec<String> = match &self.fields {
            Some(fields) => fields.clone(),
            None => record.keys().cloned().collect(),
        };
        for column in all {
            let first = column.split('.').next().unwrap_or(&column);
            if record.contains_key(first) && !HIDDEN.contains(&first) {
                shown.insert(column.clone(), self.column(tables, record, &column));
            }
        }
        Json::Object(shown)
    }

    fn column(&self, tables: &Tables, record: &Record, column: &str) -> Json {
        let value = tables.walk(record, column);
        let journal = schema::JOURNALS.contains(&column);
        let display = if journal {
            journal_text(tables, record, column)
        } else {
            tables.display_of(record, column)
        };
        let reference = schema::reference(column).filter(|_| !value.is_empty());
        let link = reference
            .filter(|_| !self.without_links)
            .map(|table| format!("{}/api/now/table/{table}/{value}", self.base));
        match (self.display, link) {
            (Display::Raw, Some(link)) => json!({ "link": link, "value": value }),
            (Display::Raw, None) => json!(value),
            (Display::Shown, Some(link)) => json!({ "display_value": display, "link": link }),
            (Display::Shown, None) => json!(display),
            (Display::Both, Some(link)) => {
                json!({ "display_value": display, "link": link, "value": value })
            }
            (Display::Both, None) => json!({ "display_value": display, "value": value }),
        }
    }
}

/// A journal column as people see it: newest first, each entry under a line that says when and who.
fn journal_text(tables: &Tables, record: &Record, column: &str) -> String {
    let label = if column == "comments" { "Additional comments" } else { "Work notes" };
    let text = |row: &Record, name: &str| row.get(name).cloned().unwrap_or_default();
    let mut rows: Vec<&Record> = tables
        .of("sys_journal_field")
        .filter(|row| {
            row.get("element_id") == record.get("sys_id") && text(row, "element") == column
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse((text(row, "sys_created_on"), text(row, "sys_id"))));
    rows.iter()
        .map(|row| {
            let by = text(row, "sys_created_by");
            let name =
                tables.first("sys_user", "user_name", &by).map_or(by, |user| text(user, "name"));
            format!(
                "{} - {name} ({label})\n{}\n\n",
                text(row, "sys_created_on"),
                text(row, "value")
            )
        })
        .collect()
}
