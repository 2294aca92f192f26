//! Settings against an instance: what has to be asked of it, and what its answers say about the
//! settings. Asking itself is the host's: a question is one list of rows by the Table API, as the
//! integration user.

use std::collections::{BTreeMap, BTreeSet};

use firn_model::{Attribute, ChoicePair, Fault, Level, Side, TableName};
use serde_json::{Map, Value as Json};

use super::{FieldMapping, Mapping, Rules};
use crate::mapping;

/// One list of rows that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Names its reply.
    pub name: String,
    /// The table.
    pub table: String,
    /// The encoded query; may be empty.
    pub query: String,
    /// The columns.
    pub fields: Vec<String>,
    /// At most so many rows.
    pub limit: u32,
}

/// What the instance answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The question's name.
    pub name: String,
    /// HTTP status; 0 if there was no answer.
    pub status: u16,
    /// The rows.
    pub rows: Vec<Map<String, Json>>,
}

/// The most rows of a dictionary or of choices that are read.
const MANY: u32 = 2_000;

/// Columns that every table has, whatever its dictionary shows to whom.
fn is_system(column: &str) -> bool {
    column.starts_with("sys_") || column == "number"
}

fn list(of: impl IntoIterator<Item = impl ToString>) -> String {
    of.into_iter().map(|x| x.to_string()).collect::<Vec<_>>().join(",")
}

/// A table and those that it extends, as far as they are known: a column is in the dictionary of the one that has it
/// first.
fn line(table: &TableName) -> String {
    let base = match table.as_str() {
        "customer_account" => "core_company",
        _ => table.base(),
    };
    if base == table.as_str() { base.to_owned() } else { format!("{table},{base}") }
}

/// A dot-walked column's own part: `assigned_to` of `assigned_to.email`.
fn own(column: &Attribute) -> &str {
    column.as_str().split('.').next().unwrap_or_default()
}

/// The columns of a kind of ticket that the settings name.
fn columns(rules: &Rules, table: &TableName) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = BTreeSet::new();
    all.insert(rules.settings().correlation.column.to_string());
    all.extend(rules.constants(table).keys().map(|c| own(c).to_owned()));
    for field in rules.fields(table) {
        all.extend(mapping::attributes(field, Side::External).iter().map(|c| own(c).to_owned()));
        all.extend(mapping::written(field).iter().map(|c| own(c).to_owned()));
        all.extend(pairs(field).iter().flat_map(|p| p.with.keys()).map(|c| own(c).to_owned()));
    }
    all
}

fn pairs(field: &FieldMapping) -> &[ChoicePair] {
    match &field.mapping {
        Mapping::Choice { pairs, .. } | Mapping::Columns { pairs, .. } => pairs,
        _ => &[],
    }
}

/// What has to be asked of an instance to judge settings against it.
#[must_use]
pub fn questions(rules: &Rules) -> Vec<Question> {
    let mut all = Vec::new();
    let fields = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let mut read = BTreeSet::new();
    for table in rules.tables() {
        let columns = columns(rules, table);
        all.push(Question {
            name: format!("rows {table}"),
            table: table.to_string(),
            query: String::new(),
            // What is written only is shown too, if it is there.
            fields: columns.union(&rules.columns(table).into_iter().collect()).cloned().collect(),
            limit: 1,
        });
        all.push(Question {
            name: format!("dictionary {table}"),
            table: "sys_dictionary".to_owned(),
            query: format!("nameIN{}^elementIN{}^active=true", line(table), list(&columns)),
            fields: fields(&["name", "element", "max_length", "read_only"]),
            limit: MANY,
        });
        all.push(Question {
            name: format!("mandatory {table}"),
            table: "sys_dictionary".to_owned(),
            query: format!("nameIN{}^mandatory=true^active=true", line(table)),
            fields: fields(&["name", "element"]),
            limit: MANY,
        });
        all.push(Question {
            name: format!("choices {table}"),
            table: "sys_choice".to_owned(),
            query: format!("nameIN{}^elementIN{}^inactive=false", line(table), list(&columns)),
            fields: fields(&["name", "element", "value"]),
            limit: MANY,
        });
        for field in rules.fields(table) {
            if let Mapping::Reference { table, .. } = &field.mapping {
                read.insert(table.to_string());
            }
        }
    }
    read.extend(["sys_journal_field".to_owned(), "sys_audit_delete".to_owned()]);
    all.extend(read.into_iter().map(|table| Question {
        name: format!("read {table}"),
        query: String::new(),
        fields: fields(&["sys_id"]),
        limit: 1,
        table,
    }));
    all
}

/// Judges settings against what an instance answered.
#[must_use]
pub fn judge(rules: &Rules, replies: &[Reply]) -> Vec<Fault> {
    let known = replies.iter().map(|reply| (reply.name.as_str(), reply)).collect();
    let mut judge = Judge { rules, known, faults: Vec::new() };
    if replies.iter().any(|reply| reply.status == 401) {
        let remedy =
            "check the credentials, and that the account may use REST (web service access)";
        judge.push(Level::Error, "credentials", "the instance does not accept the sign-in", remedy);
        return judge.faults;
    }
    if let Some(silent) = replies.iter().find(|reply| reply.status == 0) {
        let text = format!("the instance does not answer (asked for {})", silent.name);
        judge.push(Level::Error, "base_url", text, "check the address, and that it can be reached");
        return judge.faults;
    }
    for (i, table) in rules.tables().enumerate() {
        judge.table(i, table);
    }
    judge.rights();
    judge.faults
}

struct Judge<'a> {
    rules: &'a Rules,
    known: BTreeMap<&'a str, &'a Reply>,
    faults: Vec<Fault>,
}

/// A column as the dictionary has it.
struct Column {
    max_length: Option<usize>,
    read_only: bool,
}

impl Judge<'_> {
    fn push(
        &mut self,
        level: Level,
        at: impl Into<String>,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let fault = Fault { level, at: at.into(), text: text.into(), remedy: remedy.into() };
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    fn reply(&self, name: &str) -> Option<&Reply> {
        self.known.get(name).copied()
    }

    /// The rows of a reply; `None` if they may not be read, or there are none.
    fn rows(&self, name: &str) -> Option<&[Map<String, Json>]> {
        let reply = self.reply(name).filter(|r| r.status == 200 && !r.rows.is_empty())?;
        Some(&reply.rows)
    }

    fn table(&mut self, i: usize, table: &TableName) {
        let at = format!("tickets[{i}].table");
        match self.reply(&format!("rows {table}")).map(|reply| reply.status) {
            Some(200) => {}
            Some(403) => {
                let text = format!("the integration user may not read {table}");
                let remedy = "give it a role that may (itil for tasks), and allow the table in REST API access policies";
                return self.push(Level::Error, at, text, remedy);
            }
            status => {
                let status = status.unwrap_or(0);
                let text = format!("the instance has no table {table} (it answers {status})");
                let remedy = "correct the name, or activate the plugin that brings the table";
                return self.push(Level::Error, at, text, remedy);
            }
        }
        match self.dictionary(table) {
            Some(dictionary) => self.columns(table, &dictionary),
            None => {
                let text = format!(
                    "the dictionary of {table} cannot be read as the integration user; columns are judged by a row that it shows"
                );
                let remedy = "for a full check let it read sys_dictionary, or check once as an administrator";
                self.push(Level::Warning, at.clone(), text, remedy);
                self.shown(table);
            }
        }
        match self.choices(table) {
            Some(choices) => self.values(table, &choices),
            None => {
                let text = format!("the choices of {table} cannot be read as the integration user");
                let remedy = "let it read sys_choice: value maps cannot be judged without";
                self.push(Level::Warning, at.clone(), text, remedy);
            }
        }
        self.mandatory(&at, table);
    }

    fn dictionary(&self, table: &TableName) -> Option<BTreeMap<String, Column>> {
        let rows = self.rows(&format!("dictionary {table}"))?;
        let text = |row: &Map<String, Json>, name: &str| -> String {
            row.get(name).and_then(Json::as_str).unwrap_or_default().to_owned()
        };
        let column = |row| {
            let max_length = text(row, "max_length").parse().ok();
            (
                text(row, "element"),
                Column { max_length, read_only: text(row, "read_only") == "true" },
            )
        };
        Some(rows.iter().map(column).collect())
    }

    /// The values that a column may have, where it is one of choices.
    fn choices(&self, table: &TableName) -> Option<BTreeMap<String, BTreeSet<String>>> {
        let rows = self.rows(&format!("choices {table}"))?;
        let text = |row: &Map<String, Json>, name: &str| -> String {
            row.get(name).and_then(Json::as_str).unwrap_or_default().to_owned()
        };
        // A table's own choices stand in place of those of the one that it extends.
        let own: BTreeSet<String> = rows
            .iter()
            .filter(|row| text(row, "name") == table.as_str())
            .map(|row| text(row, "element"))
            .collect();
        let mut choices: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in rows {
            let element = text(row, "element");
            if text(row, "name") == table.as_str() || !own.contains(&element) {
                choices.entry(element).or_default().insert(text(row, "value"));
            }
        }
        Some(choices)
    }

    fn columns(&mut self, table: &TableName, dictionary: &BTreeMap<String, Column>) {
        // Of a table that extends another one than is known, columns are found in a row of it.
        let row = self.rows(&format!("rows {table}")).and_then(<[_]>::first).cloned();
        let shows = |column: &Attribute| {
            let of = |key: &String| key.split('.').next() == Some(own(column));
            row.as_ref().is_some_and(|row| row.keys().any(of))
        };
        let missing = |column: &Attribute| {
            !is_system(own(column)) && !dictionary.contains_key(own(column)) && !shows(column)
        };
        let no_column = |column: &Attribute| format!("{table} has no column {}", own(column));
        let remedy = "correct the name, or add the column to the table (an unknown column is ignored without a word)";
        let correlation = self.rules.settings().correlation.column.clone();
        if missing(&correlation) {
            self.push(Level::Error, "correlation.column", no_column(&correlation), remedy);
        }
        for field in self.rules.fields(table).to_vec() {
            let at = format!("fields.{}", field.name);
            let mut all: BTreeSet<Attribute> =
                mapping::attributes(&field, Side::External).into_iter().collect();
            all.extend(mapping::written(&field));
            for column in all.iter().filter(|c| missing(c)) {
                self.push(Level::Error, format!("{at}.column"), no_column(column), remedy);
            }
            for (i, pair) in pairs(&field).iter().enumerate() {
                for column in pair.with.keys().filter(|c| missing(c)) {
                    let at = format!("{at}.pairs[{i}].with.{column}");
                    self.push(Level::Error, at, no_column(column), remedy);
                }
            }
            for column in mapping::written(&field) {
                let Some(known) = dictionary.get(column.as_str()) else { continue };
                if known.read_only {
                    let text =
                        format!("{column} is read-only in {table}: writes of it are ignored");
                    let remedy = "map it from ServiceNow only (owner = \"external\", off_owner = \"kept\"), or make it writable";
                    self.push(Level::Warning, format!("{at}.column"), text, remedy);
                }
                let (Mapping::Text { max, .. } | Mapping::ToServicenow { max, .. }) =
                    &field.mapping
                else {
                    continue;
                };
                if let Some(length) = known.max_length.filter(|length| length < max) {
                    let text = format!(
                        "{column} holds {length} characters, and up to {max} are written: the instance would cut the rest"
                    );
                    self.push(Level::Warning, format!("{at}.max"), text, format!("max = {length}"));
                }
            }
        }
        for column in self.rules.constants(table).keys().filter(|c| missing(c)) {
            self.push(Level::Error, "fields", no_column(column), remedy);
        }
    }

    /// Without a dictionary: a row that is shown has all columns that its reader may see.
    fn shown(&mut self, table: &TableName) {
        let Some(row) = self.rows(&format!("rows {table}")).and_then(<[_]>::first).cloned() else {
            return;
        };
        for field in self.rules.fields(table).to_vec() {
            for column in mapping::attributes(&field, Side::External) {
                if !row.contains_key(column.as_str()) {
                    let text = format!(
                        "{table} does not show {column}: it is not there, or the integration user may not read it"
                    );
                    let at = format!("fields.{}.column", field.name);
                    let remedy = "correct the name, or let the user read the column";
                    self.push(Level::Error, at, text, remedy);
                }
            }
        }
    }

    /// Values that settings write, and that are no choices there: the instance would keep them as
    /// they are, and show nobody what they mean. One that is only waited for never comes.
    fn values(&mut self, table: &TableName, choices: &BTreeMap<String, BTreeSet<String>>) {
        let strange = |column: &Attribute, value: &str| {
            let known = choices.get(own(column))?;
            let is_choice = value.is_empty() || known.contains(value);
            (!is_choice).then(|| {
                (
                    format!("{value:?} is no choice of {table}.{column}"),
                    format!("there is: {}", list(known)),
                )
            })
        };
        let mut found: Vec<(Level, String, (String, String))> = Vec::new();
        let mut note = |level, at: String, fault: Option<(String, String)>| {
            found.extend(fault.map(|fault| (level, at, fault)));
        };
        for field in self.rules.fields(table) {
            for (i, pair) in pairs(field).iter().enumerate() {
                let at = format!("fields.{}.pairs[{i}]", field.name);
                if let Mapping::Choice { column, .. } = &field.mapping {
                    for (j, value) in pair.external.iter().enumerate() {
                        // The first is the one that is written.
                        let level = if j == 0 { Level::Error } else { Level::Warning };
                        note(level, format!("{at}.external[{j}]"), strange(column, value));
                    }
                }
                for (column, values) in &pair.reads {
                    for (j, value) in values.iter().enumerate() {
                        let at = format!("{at}.reads.{column}[{j}]");
                        note(Level::Warning, at, strange(column, value));
                    }
                }
                for (column, value) in &pair.writes {
                    note(Level::Error, format!("{at}.writes.{column}"), strange(column, value));
                }
                for (column, value) in &pair.with {
                    let fault = strange(column, &value.to_text());
                    note(Level::Error, format!("{at}.with.{column}"), fault);
                }
            }
        }
        for (column, value) in self.rules.constants(table) {
            note(Level::Error, "fields".to_owned(), strange(&column, &value.to_text()));
        }
        for (level, at, (text, remedy)) in found {
            self.push(level, at, text, remedy);
        }
    }

    /// Mandatory columns that a new ticket would not have.
    fn mandatory(&mut self, at: &str, table: &TableName) {
        let Some(rows) = self.rows(&format!("mandatory {table}")) else { return };
        let set = columns(self.rules, table);
        let wanting: BTreeSet<String> = rows
            .iter()
            .filter_map(|row| row.get("element").and_then(Json::as_str))
            .filter(|element| !is_system(element) && !set.contains(*element))
            .map(str::to_owned)
            .collect();
        for column in wanting {
            let text = format!("{table} requires {column}, and nothing here sets it");
            let remedy = format!(
                "add a field for it, for example [fields.{column}] with kind = \"constant\", column = \"{column}\" and a value"
            );
            self.push(Level::Warning, at, text, remedy);
        }
    }

    /// The fields that refer to rows of a table.
    fn referring(&self, table: &str) -> BTreeSet<String> {
        let fields = self.rules.tables().flat_map(|of| self.rules.fields(of));
        fields
            .filter(|field| {
                matches!(&field.mapping, Mapping::Reference { table: to, .. } if to.as_str() == table)
            })
            .map(|field| field.name.to_string())
            .collect()
    }

    fn rights(&mut self) {
        let refused: Vec<String> = self
            .known
            .values()
            .filter(|reply| reply.name.starts_with("read ") && reply.status != 200)
            .map(|reply| reply.name.trim_start_matches("read ").to_owned())
            .collect();
        for table in refused {
            let text = |what: &str| format!("the integration user may not read {table}: {what}");
            let remedy = format!("give it the right to read {table}");
            let (level, what) = match table.as_str() {
                "sys_journal_field" => (Level::Error, "comments from ServiceNow would be missed"),
                "sys_audit_delete" => {
                    (Level::Warning, "a deleted ticket cannot be told from one that is hidden")
                }
                _ => {
                    for name in self.referring(&table) {
                        let at = format!("fields.{name}.table");
                        self.push(
                            Level::Error,
                            at,
                            text("references to it cannot be resolved"),
                            &remedy,
                        );
                    }
                    continue;
                }
            };
            self.push(level, "external_user", text(what), remedy);
        }
        if self
            .reply("read sys_journal_field")
            .is_some_and(|r| r.status == 200 && r.rows.is_empty())
        {
            let text = "sys_journal_field shows no row: there is no entry yet, or the integration user may not read any";
            let remedy = "write a comment into any ticket and check again";
            self.push(Level::Warning, "external_user", text, remedy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use serde_json::json;

    fn replies(change: impl Fn(&Question) -> Option<(u16, Json)>) -> (Rules, Vec<Reply>) {
        let rules = sample::rules(firn_model::Preset::Incidents);
        let stock = |question: &Question| match question.name.as_str() {
            "dictionary incident" => {
                let elements = question.query.split("elementIN").nth(1).unwrap();
                let elements = elements.split('^').next().unwrap().split(',');
                let rows: Vec<Json> = elements
                    .map(|e| json!({ "name": "task", "element": e, "max_length": "8000", "read_only": "false" }))
                    .collect();
                json!(rows)
            }
            "choices incident" => {
                let mut rows = Vec::new();
                let all: [(&str, &[&str]); 6] = [
                    ("state", &["1", "2", "3", "6", "7", "8"]),
                    ("impact", &["1", "2", "3"]),
                    ("urgency", &["1", "2", "3"]),
                    ("priority", &["1", "2", "3", "4", "5"]),
                    ("close_code", &["Solution provided"]),
                    ("hold_reason", &["4"]),
                ];
                for (element, values) in all {
                    rows.extend(
                        values
                            .iter()
                            .map(|v| json!({ "name": "incident", "element": element, "value": v })),
                    );
                }
                json!(rows)
            }
            _ => json!([{ "sys_id": "1" }]),
        };
        let replies = questions(&rules)
            .iter()
            .map(|question| {
                let (status, rows) = change(question).unwrap_or((200, stock(question)));
                let rows = rows.as_array().unwrap().iter().map(|r| r.as_object().unwrap().clone());
                Reply { name: question.name.clone(), status, rows: rows.collect() }
            })
            .collect();
        (rules, replies)
    }

    fn judged(change: impl Fn(&Question) -> Option<(u16, Json)>) -> Vec<(Level, String, String)> {
        let (rules, replies) = replies(change);
        let faults = judge(&rules, &replies).into_iter();
        faults.filter(|f| !f.text.starts_with("\"4\"")).map(|f| (f.level, f.at, f.text)).collect()
    }

    #[test]
    fn a_stock_instance_fits_the_preset() {
        let (rules, replies) = replies(|_| None);
        let faults = judge(&rules, &replies);
        // Seed 004 takes state 4 for mitigated too; instances of today have none.
        assert_eq!(faults.len(), 1);
        assert_eq!((faults[0].level, &faults[0].text[..3]), (Level::Warning, "\"4\""));
        assert_eq!(judged(|_| None), []);
    }

    #[test]
    fn what_the_instance_says_no_to() {
        let refused = |name: &'static str, status: u16| {
            judged(move |q| (q.name == name).then(|| (status, json!([]))))
        };
        for (name, status, at) in [
            ("rows incident", 404, "tickets[0].table"),
            ("rows incident", 403, "tickets[0].table"),
            ("read sys_journal_field", 403, "external_user"),
            ("read sys_user", 403, "fields.assigned_to.table"),
            ("rows incident", 401, "credentials"),
            ("rows incident", 0, "base_url"),
        ] {
            let faults = refused(name, status);
            assert_eq!(faults.len(), 1, "{name} {status}: {faults:?}");
            assert_eq!((faults[0].0, faults[0].1.as_str()), (Level::Error, at), "{name} {status}");
        }
        assert_eq!(refused("read sys_audit_delete", 403)[0].0, Level::Warning);
        assert_eq!(refused("dictionary incident", 403)[0].0, Level::Warning);
    }

    #[test]
    fn columns_and_choices_that_are_not_there() {
        let rows = |q: &Question, drop: &str, of: &str| {
            let (_, all) = replies(|_| None);
            let reply = all.into_iter().find(|r| r.name == q.name).unwrap();
            let kept = reply.rows.into_iter().filter(|r| r["element"] != drop || r["value"] != of);
            (200, json!(kept.collect::<Vec<_>>()))
        };
        let faults = judged(|q| {
            (q.name == "dictionary incident").then(|| {
                let (_, all) = replies(|_| None);
                let reply = all.into_iter().find(|r| r.name == q.name).unwrap();
                let kept = reply.rows.into_iter().filter(|r| r["element"] != "urgency");
                (200, json!(kept.collect::<Vec<_>>()))
            })
        });
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].1, "fields.severity.column");
        assert!(faults[0].2.contains("urgency"));
        let faults = judged(|q| {
            (q.name == "choices incident").then(|| rows(q, "close_code", "Solution provided"))
        });
        // Without any choice of its own the column is none of choices.
        assert_eq!(faults, []);
        let faults = judged(|q| (q.name == "choices incident").then(|| rows(q, "state", "3")));
        assert_eq!(faults.len(), 1);
        assert!(faults[0].1.starts_with("fields.status.pairs["), "{faults:?}");
        assert_eq!(faults[0].2, "\"3\" is no choice of incident.state");
    }

    #[test]
    fn columns_that_another_table_brings_are_seen_in_a_row() {
        let rules = sample::rules(firn_model::Preset::Crm);
        let judge = |shown: Json| {
            let replies = questions(&rules).into_iter().map(|question| {
                let rows = match question.name.as_str() {
                    "rows customer_contact" => json!([shown]),
                    "dictionary customer_contact" => {
                        assert!(question.query.starts_with("nameINcustomer_contact,sys_user^"));
                        json!([{ "name": "customer_contact", "element": "account" }])
                    }
                    "dictionary customer_account" => {
                        assert!(question.query.starts_with("nameINcustomer_account,core_company^"));
                        json!([])
                    }
                    _ => json!([{ "sys_id": "1" }]),
                };
                let rows = rows.as_array().unwrap().iter().map(|r| r.as_object().unwrap().clone());
                Reply { name: question.name, status: 200, rows: rows.collect() }
            });
            let replies: Vec<Reply> = replies.collect();
            let faults = super::judge(&rules, &replies).into_iter();
            let of = |f: &Fault| f.text.starts_with("customer_contact has no column");
            faults.filter(of).map(|f| f.text).collect::<Vec<_>>()
        };
        let columns = columns(&rules, &TableName::new("customer_contact").unwrap());
        let mut row: Map<String, Json> = columns.iter().map(|c| (c.clone(), json!(""))).collect();
        assert_eq!(judge(json!(row)), [] as [&str; 0]);
        row.remove("email");
        assert_eq!(judge(json!(row)), ["customer_contact has no column email"]);
    }

    #[test]
    fn columns_that_cannot_take_what_is_written() {
        let dictionary = |element: &'static str, key: &'static str, value: &'static str| {
            judged(move |q| {
                (q.name == "dictionary incident").then(|| {
                    let (_, all) = replies(|_| None);
                    let mut reply = all.into_iter().find(|r| r.name == q.name).unwrap();
                    let rows = reply.rows.iter_mut().filter(|row| row["element"] == element);
                    for row in rows {
                        row.insert(key.to_owned(), json!(value));
                    }
                    (200, json!(reply.rows))
                })
            })
        };
        for (element, key, value, at, says) in [
            ("short_description", "read_only", "true", "fields.title.column", "read-only"),
            ("short_description", "max_length", "40", "fields.title.max", "40 characters"),
            ("description", "max_length", "3999", "fields.description.max", "3999 characters"),
        ] {
            let faults = dictionary(element, key, value);
            let [(Level::Warning, place, text)] = faults.as_slice() else { panic!("{faults:?}") };
            assert!(place == at && text.contains(says), "{faults:?}");
        }
        // As long as what is written, or longer; and what nobody writes.
        assert_eq!(dictionary("description", "max_length", "4000"), []);
        assert_eq!(dictionary("short_description", "read_only", "false"), []);
        assert_eq!(dictionary("priority", "read_only", "true"), []);
    }

    #[test]
    fn mandatory_columns_that_nothing_sets() {
        let faults = judged(|q| {
            (q.name == "mandatory incident").then(|| {
                (200, json!([{ "name": "incident", "element": "caller_id" }, { "name": "task", "element": "number" }, { "name": "incident", "element": "short_description" }]))
            })
        });
        assert_eq!(faults.len(), 1);
        assert!(faults[0].2.contains("requires caller_id"));
    }
}
