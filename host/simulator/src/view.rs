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

/// A user's time zone and date format: how dates are shown to them, and how theirs are read.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    zone: jiff::tz::TimeZone,
    format: String,
}

impl Default for Zone {
    fn default() -> Zone {
        Zone { zone: jiff::tz::TimeZone::UTC, format: "%Y-%m-%d %H:%M:%S".to_owned() }
    }
}

impl Zone {
    /// The zone and format of a user; GMT if there is none.
    pub(crate) fn of(tables: &Tables, user: &str) -> Zone {
        let user = tables.first("sys_user", "user_name", user);
        let of = |name: &str| user.and_then(|u| u.get(name)).map_or("", String::as_str);
        let zone = match of("time_zone") {
            "" | "GMT" | "UTC" => jiff::tz::TimeZone::UTC,
            name => jiff::tz::TimeZone::get(name).unwrap_or(jiff::tz::TimeZone::UTC),
        };
        // Java's letters: the ones that date formats of an instance are made of.
        let date = match of("date_format") {
            "" => "%Y-%m-%d".to_owned(),
            format => format.replace("yyyy", "%Y").replace("MM", "%m").replace("dd", "%d"),
        };
        Zone { zone, format: format!("{date} %H:%M:%S") }
    }

    /// A stored date (UTC) as the user sees it.
    pub(crate) fn shown(&self, utc: &str) -> String {
        let stored = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", utc);
        let at = stored.ok().and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC).ok());
        at.map_or_else(
            || utc.to_owned(),
            |at| at.with_time_zone(self.zone.clone()).strftime(&self.format).to_string(),
        )
    }

    /// A date as the user writes it, as it is stored (UTC).
    pub(crate) fn utc(&self, shown: &str) -> Option<String> {
        let formats = [self.format.as_str(), "%Y-%m-%d %H:%M:%S"];
        let at =
            formats.into_iter().find_map(|f| jiff::civil::DateTime::strptime(f, shown).ok())?;
        let at = at.to_zoned(self.zone.clone()).ok()?.with_time_zone(jiff::tz::TimeZone::UTC);
        Some(at.strftime("%Y-%m-%d %H:%M:%S").to_string())
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    pub(crate) display: Display,
    pub(crate) without_links: bool,
    pub(crate) fields: Option<Vec<String>>,
    pub(crate) base: String,
    pub(crate) zone: Zone,
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
            journal_text(tables, record, column, &self.zone)
        } else if schema::is_date(column.rsplit('.').next().unwrap_or(column)) {
            self.zone.shown(&value)
        } else {
            tables.display_of(record, column)
        };
        let reference = schema::reference(column).filter(|_| !value.is_empty());
        let dangles = reference.is_some_and(|table| tables.find(table, &value).is_none());
        let (value, reference) = match dangles && tables.quirks.dangling_is_empty {
            true => (String::new(), None),
            false => (value, reference),
        };
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
fn journal_text(tables: &Tables, record: &Record, column: &str, zone: &Zone) -> String {
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
            let at = zone.shown(&text(row, "sys_created_on"));
            format!("{at} - {name} ({label})\n{}\n\n", text(row, "value"))
        })
        .collect()
}
