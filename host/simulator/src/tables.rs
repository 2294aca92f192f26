//! Records and the rules of the house: what a write does to a row besides what it says.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::quirks::Quirks;
use crate::schema;

/// A row: every column is text.
pub type Record = BTreeMap<String, String>;

/// Why a write was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No such table.
    NoTable(String),
    /// No such row.
    NoRecord,
    /// Mandatory fields, by label.
    DataPolicy(Vec<&'static str>),
    /// A business rule aborted it.
    Aborted(String),
    /// A unique column has the value already.
    NotUnique,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::NoTable(table) => write!(f, "Invalid table {table}"),
            Refused::NoRecord => {
                f.write_str("Record doesn't exist or ACL restricts the record retrieval")
            }
            Refused::DataPolicy(fields) => write!(
                f,
                "Data Policy Exception: The following fields are mandatory: {}",
                fields.join(", ")
            ),
            Refused::Aborted(rule) => {
                write!(f, "Operation on file was aborted by Business Rule '{rule}'")
            }
            Refused::NotUnique => f.write_str("Unique key violation: the record exists already"),
        }
    }
}

/// A change that business rules may want to hear of.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    pub(crate) table: String,
    pub(crate) current: Record,
    /// The row before; `None` for an insert.
    pub(crate) previous: Option<Record>,
}

/// Journal texts of a write, by column.
pub(crate) type Said = Vec<(&'static str, String)>;

#[derive(Default, Clone)]
pub(crate) struct Tables {
    rows: BTreeMap<String, BTreeMap<String, Record>>,
    numbers: BTreeMap<String, u64>,
    ids: u64,
    rng: fastrand::Rng,
    /// Unique indices: table and column.
    pub(crate) unique: Vec<(String, String)>,
    /// What nobody is sure of.
    pub(crate) quirks: Quirks,
}

pub(crate) fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let at = jiff::Timestamp::from_second(i64::try_from(seconds).unwrap_or(0)).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn get<'a>(record: &'a Record, column: &str) -> &'a str {
    record.get(column).map_or("", String::as_str)
}

impl Tables {
    /// Sorted by nothing in particular, as an instance does without an order.
    pub(crate) fn shuffle<T>(&mut self, of: &mut [T]) {
        self.rng.shuffle(of);
    }

    pub(crate) fn new(seed: u64) -> Tables {
        let mut tables = Tables { rng: fastrand::Rng::with_seed(seed), ..Tables::default() };
        for (user_name, password, name, email, roles) in schema::USERS {
            let set = [
                ("user_name", *user_name),
                ("name", *name),
                ("email", *email),
                ("user_password", *password),
                ("roles", *roles),
            ];
            tables.seed("sys_user", &set);
        }
        for name in ["Service Desk", "Network", "Software"] {
            tables.seed("sys_user_group", &[("name", name)]);
        }
        for (table, element, choices) in schema::CHOICES {
            for (sequence, (value, label)) in choices.iter().enumerate() {
                let sequence = sequence.to_string();
                let set = [
                    ("name", *table),
                    ("element", *element),
                    ("value", *value),
                    ("label", *label),
                    ("sequence", &sequence),
                ];
                tables.seed("sys_choice", &set);
            }
        }
        for (table, element, length) in schema::dictionary() {
            let kind = match element.as_str() {
                column if schema::reference(column).is_some() => "reference",
                column if schema::is_date(column) => "glide_date_time",
                "comments" | "work_notes" => "journal_input",
                _ => "string",
            };
            let set = [
                ("name", table),
                ("element", &element),
                ("max_length", length),
                ("internal_type", kind),
                ("reference", schema::reference(&element).unwrap_or_default()),
            ];
            tables.seed("sys_dictionary", &set);
        }
        for role in ["admin", "itil", "csm_ws_integration", "personalize_choices", "firn_vault"] {
            tables.seed("sys_user_role", &[("name", role)]);
        }
        tables.seed("customer_account", &[("name", "Acme Corp"), ("number", "ACCT0010001")]);
        let contact = [("name", "Cora Contact"), ("email", "cora@example.com")];
        tables.seed("customer_contact", &contact);
        // A staging table whose map finds an incident by its correlation id, or makes it.
        let map = [
            ("name", "Incidents by correlation"),
            ("source_table", "imp_incident"),
            ("target_table", "incident"),
        ];
        tables.seed("sys_transform_map", &map);
        let map = tables.first("sys_transform_map", "source_table", "imp_incident");
        let map = map.map(|row| get(row, "sys_id").to_owned()).unwrap_or_default();
        for (column, _) in schema::defaults("imp_incident") {
            let coalesce = if column == "correlation_id" { "true" } else { "false" };
            let entry = [
                ("map", map.as_str()),
                ("source_field", &column),
                ("target_field", &column),
                ("coalesce", coalesce),
            ];
            tables.seed("sys_transform_entry", &entry);
        }
        tables
    }

    fn seed(&mut self, table: &str, set: &[(&str, &str)]) {
        let set = set.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let _ = self.insert(table, &set, "system");
    }

    pub(crate) fn guid(&mut self) -> String {
        // Random, and never twice: the lower half counts.
        self.ids += 1;
        format!("{:016x}{:016x}", self.rng.u64(..), self.ids ^ 0x5eed_0000_0000_0000)
    }

    pub(crate) fn exists(&self, table: &str) -> bool {
        schema::parent(table).is_some() || self.exists_of_its_own(table)
    }

    /// Whether it is a table that somebody made (`sys_db_object`): it takes any column.
    fn exists_of_its_own(&self, table: &str) -> bool {
        schema::parent(table).is_none() && self.first("sys_db_object", "name", table).is_some()
    }

    /// Whether a query may name a column: known ones, custom ones that a row has, and dot-walks.
    pub(crate) fn has_column(&self, table: &str, column: &str) -> bool {
        let first = column.split('.').next().unwrap_or(column);
        first.starts_with("sys_")
            || first == "number"
            || schema::defaults(table).iter().any(|(name, _)| name == first)
            || self.unique.iter().any(|(t, c)| t == table && c == first)
            || self.of(table).any(|record| record.contains_key(first))
    }

    /// All rows of a table and of the tables that extend it.
    pub(crate) fn of<'a>(&'a self, table: &str) -> impl Iterator<Item = &'a Record> + use<'a> {
        let classes: Vec<_> = self
            .rows
            .iter()
            .filter(|(name, _)| schema::ancestry(name).contains(&table))
            .map(|(_, rows)| rows)
            .collect();
        classes.into_iter().flat_map(|rows| rows.values())
    }

    pub(crate) fn find(&self, table: &str, sys_id: &str) -> Option<&Record> {
        self.rows
            .iter()
            .filter(|(name, _)| schema::ancestry(name).contains(&table))
            .find_map(|(_, rows)| rows.get(sys_id))
    }

    /// Sets a column as nobody but a database administrator could.
    pub(crate) fn force(&mut self, table: &str, sys_id: &str, column: &str, value: &str) {
        if let Some(row) = self.rows.get_mut(table).and_then(|rows| rows.get_mut(sys_id)) {
            row.insert(column.to_owned(), value.to_owned());
        }
    }

    /// Marks a row as changed, without a change.
    pub(crate) fn touch(&mut self, table: &str, sys_id: &str, by: &str) {
        let Some(class) = self.find(table, sys_id).map(|r| get(r, "sys_class_name").to_owned())
        else {
            return;
        };
        if let Some(row) = self.rows.get_mut(&class).and_then(|rows| rows.get_mut(sys_id)) {
            let count: u64 = get(row, "sys_mod_count").parse().unwrap_or(0);
            row.insert("sys_mod_count".to_owned(), (count + 1).to_string());
            row.insert("sys_updated_on".to_owned(), now());
            row.insert("sys_updated_by".to_owned(), by.to_owned());
        }
    }

    /// The value that is meant by a choice's label; anything else is meant as it is.
    pub(crate) fn value_of(&self, table: &str, column: &str, shown: &str) -> String {
        let line = schema::ancestry(table);
        let choice = self.of("sys_choice").find(|choice| {
            get(choice, "element") == column
                && get(choice, "label").eq_ignore_ascii_case(shown)
                && line.contains(&get(choice, "name"))
        });
        choice.map_or_else(|| shown.to_owned(), |choice| get(choice, "value").to_owned())
    }

    /// Makes a column unique, as the dictionary then says.
    pub(crate) fn make_unique(&mut self, table: &str, column: &str) {
        self.unique.push((table.to_owned(), column.to_owned()));
        let line = schema::ancestry(table);
        let row = self
            .of("sys_dictionary")
            .find(|row| line.contains(&get(row, "name")) && get(row, "element") == column);
        let row = row.map(|row| get(row, "sys_id").to_owned());
        match row {
            Some(id) => self.force("sys_dictionary", &id, "unique", "true"),
            None => {
                self.seed(
                    "sys_dictionary",
                    &[("name", table), ("element", column), ("unique", "true")],
                );
            }
        }
    }

    pub(crate) fn first(&self, table: &str, column: &str, value: &str) -> Option<&Record> {
        self.of(table).find(|record| get(record, column) == value)
    }

    /// A column's value, through references: `caller_id.email`.
    pub(crate) fn walk(&self, record: &Record, path: &str) -> String {
        let Some((first, rest)) = path.split_once('.') else {
            return get(record, path).to_owned();
        };
        let target =
            schema::reference(first).and_then(|table| self.find(table, get(record, first)));
        target.map(|target| self.walk(target, rest)).unwrap_or_default()
    }

    /// What people see of a column: the label of a choice, the name of a referenced row.
    pub(crate) fn display_of(&self, record: &Record, column: &str) -> String {
        let value = self.walk(record, column);
        if let Some(table) = schema::reference(column) {
            let target = self.find(table, &value);
            return target
                .map(|t| get(t, "name").to_owned())
                .filter(|n| !n.is_empty())
                .or_else(|| target.map(|t| get(t, "number").to_owned()))
                .unwrap_or_default();
        }
        let class = get(record, "sys_class_name");
        let choice = self.of("sys_choice").find(|choice| {
            get(choice, "element") == column
                && get(choice, "value") == value
                && schema::ancestry(class).contains(&get(choice, "name"))
        });
        choice.map_or(value, |choice| get(choice, "label").to_owned())
    }

    /// A new row as a write makes it, before any rule has seen it. Nothing is stored yet.
    pub(crate) fn draft_insert(
        &mut self,
        table: &str,
        set: &Record,
        by: &str,
    ) -> Result<Changed, Refused> {
        if !self.exists(table) {
            return Err(Refused::NoTable(table.to_owned()));
        }
        let mut record: Record = schema::defaults(table).into_iter().collect();
        let at = now();
        let id =
            set.get("sys_id").filter(|id| id.len() == 32).cloned().unwrap_or_else(|| self.guid());
        for (column, value) in [
            ("sys_id", id.as_str()),
            ("sys_created_on", &at),
            ("sys_created_by", by),
            ("sys_updated_on", &at),
            ("sys_updated_by", by),
            ("sys_mod_count", "0"),
            ("sys_class_name", table),
        ] {
            record.insert(column.to_owned(), value.to_owned());
        }
        if let Some(prefix) = schema::number_prefix(table) {
            let next = self.numbers.entry(table.to_owned()).or_insert(10_000);
            *next += 1;
            let number = format!("{prefix}{next:07}");
            record.insert("task_effective_number".to_owned(), number.clone());
            record.insert("number".to_owned(), number);
            record.insert("opened_at".to_owned(), at.clone());
            let user = self.first("sys_user", "user_name", by).map(|u| get(u, "sys_id").to_owned());
            record.insert("opened_by".to_owned(), user.unwrap_or_default());
        }
        apply(&mut record, set, self.exists_of_its_own(table));
        Ok(Changed { table: table.to_owned(), current: record, previous: None })
    }

    /// A row as a write changes it, before any rule has seen it. `None` if it changes nothing.
    pub(crate) fn draft_update(
        &self,
        table: &str,
        sys_id: &str,
        set: &Record,
    ) -> Result<Option<Changed>, Refused> {
        let previous = self.find(table, sys_id).cloned().ok_or(Refused::NoRecord)?;
        let class = get(&previous, "sys_class_name").to_owned();
        let mut record = previous.clone();
        apply(&mut record, set, self.exists_of_its_own(&class));
        if record == previous {
            return Ok(None);
        }
        Ok(Some(Changed { table: class, current: record, previous: Some(previous) }))
    }

    /// Stores what before-rules left of a draft: computed columns, data policies and unique indices
    /// stand in between. An update changes the columns that the draft changed, whatever happened to
    /// the others meanwhile. Gives the change as it was stored, and the journal texts in it.
    pub(crate) fn commit(&mut self, draft: Changed, by: &str) -> Result<(Changed, Said), Refused> {
        let id = get(&draft.current, "sys_id").to_owned();
        let mut changed = match &draft.previous {
            None => {
                if self.find(&draft.table, &id).is_some() {
                    return Err(Refused::NotUnique);
                }
                draft
            }
            Some(was) => {
                let present = self.find(&draft.table, &id).cloned().ok_or(Refused::NoRecord)?;
                let mut current = present.clone();
                for (column, value) in &draft.current {
                    if was.get(column) != Some(value) {
                        current.insert(column.clone(), value.clone());
                    }
                }
                Changed { table: draft.table, current, previous: Some(present) }
            }
        };
        self.finish(&mut changed)?;
        let said: Said = schema::JOURNALS
            .into_iter()
            .filter_map(|column| {
                let text = changed.current.get_mut(column).map(std::mem::take)?;
                (!text.is_empty()).then_some((column, text))
            })
            .collect();
        if let Some(previous) = &changed.previous {
            let only_said = !said.is_empty() && changed.current == *previous;
            if !(only_said && self.quirks.comment_leaves_parent) {
                let count: u64 = get(previous, "sys_mod_count").parse().unwrap_or(0);
                let mut put = |column: &str, value: String| {
                    changed.current.insert(column.to_owned(), value);
                };
                put("sys_mod_count", (count + 1).to_string());
                put("sys_updated_on", now());
                put("sys_updated_by", by.to_owned());
            }
        }
        self.rows.entry(changed.table.clone()).or_default().insert(id, changed.current.clone());
        self.audit(&changed, by);
        Ok((changed, said))
    }

    /// What a change of a task did to each column, in `sys_audit`.
    fn audit(&mut self, changed: &Changed, by: &str) {
        let Some(previous) = changed.previous.as_ref().filter(|_| schema::is_task(&changed.table))
        else {
            return;
        };
        let differs = changed.current.iter().filter(|(name, value)| {
            !name.starts_with("sys_") && previous.get(*name) != Some(*value)
        });
        let rows: Vec<Record> = differs
            .map(|(name, value)| {
                [
                    ("tablename", changed.table.as_str()),
                    ("documentkey", get(&changed.current, "sys_id")),
                    ("fieldname", name),
                    ("oldvalue", get(previous, name)),
                    ("newvalue", value),
                    ("user", by),
                    ("record_checkpoint", get(&changed.current, "sys_mod_count")),
                ]
                .into_iter()
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect()
            })
            .collect();
        for row in rows {
            let _ = self.insert("sys_audit", &row, by);
        }
    }

    /// Sets columns that the system keeps for itself, but the identity of a row.
    pub(crate) fn set_system(&mut self, table: &str, sys_id: &str, set: &Record) {
        for (column, value) in set {
            if column.starts_with("sys_") && column != "sys_id" && column != "sys_class_name" {
                self.force(table, sys_id, column, value);
            }
        }
    }

    /// A row that no rule hears of: the instance's own.
    pub(crate) fn insert(&mut self, table: &str, set: &Record, by: &str) -> Result<(), Refused> {
        let draft = self.draft_insert(table, set, by)?;
        self.commit(draft, by).map(|_| ())
    }

    /// Removes a row; gives it as it was.
    pub(crate) fn delete(
        &mut self,
        table: &str,
        sys_id: &str,
        by: &str,
    ) -> Result<Record, Refused> {
        let class = self
            .find(table, sys_id)
            .map(|r| get(r, "sys_class_name").to_owned())
            .ok_or(Refused::NoRecord)?;
        let removed = self.rows.get_mut(&class).and_then(|rows| rows.remove(sys_id));
        let set = Record::from([
            ("tablename".to_owned(), class),
            ("documentkey".to_owned(), sys_id.to_owned()),
        ]);
        self.insert("sys_audit_delete", &set, by)?;
        removed.ok_or(Refused::NoRecord)
    }

    /// Computed columns, data policies and unique indices: what stands between a write and its row.
    fn finish(&self, changed: &mut Changed) -> Result<(), Refused> {
        let table = changed.table.clone();
        if schema::is_task(&table) {
            self.task(changed)?;
        }
        if table == "sys_ws_definition" {
            let record = &mut changed.current;
            let uri = format!("/api/{}/{}", get(record, "namespace"), get(record, "service_id"));
            record.insert("base_uri".to_owned(), uri);
        }
        let record = &changed.current;
        for (of, column) in &self.unique {
            let value = get(record, column);
            let taken = schema::ancestry(&table).contains(&of.as_str())
                && !value.is_empty()
                && self
                    .of(of)
                    .any(|r| get(r, column) == value && get(r, "sys_id") != get(record, "sys_id"));
            if taken {
                return Err(Refused::NotUnique);
            }
        }
        Ok(())
    }

    fn task(&self, changed: &mut Changed) -> Result<(), Refused> {
        let previous = changed.previous.clone().unwrap_or_default();
        let record = &mut changed.current;
        if changed.table == "incident" {
            let priority = schema::priority(get(record, "impact"), get(record, "urgency"));
            record.insert("priority".to_owned(), priority.to_owned());
            let (was, is) = (get(&previous, "state").to_owned(), get(record, "state").to_owned());
            record.insert("incident_state".to_owned(), is.clone());
            if was == "7" && is != "7" {
                return Err(Refused::Aborted("Closed incidents cannot be reopened".to_owned()));
            }
            self.incident_policy(record)?;
            if is != was {
                transition(record, &was, &is);
            }
        }
        Ok(())
    }

    /// Resolving and closing need a code and notes; holding needs a reason. A code that is no
    /// choice counts as none.
    fn incident_policy(&self, record: &Record) -> Result<(), Refused> {
        let mut missing = Vec::new();
        let state = get(record, "state");
        if matches!(state, "6" | "7") {
            let code = get(record, "close_code");
            let known = self
                .of("sys_choice")
                .any(|c| get(c, "element") == "close_code" && get(c, "value") == code);
            if !known {
                missing.push("Resolution code");
            }
            if get(record, "close_notes").is_empty() {
                missing.push("Resolution notes");
            }
        }
        if state == "3" && get(record, "hold_reason").is_empty() {
            missing.push("On hold reason");
        }
        if missing.is_empty() { Ok(()) } else { Err(Refused::DataPolicy(missing)) }
    }
}

/// Columns of a write, except those that the system keeps for itself.
fn apply(record: &mut Record, set: &Record, free: bool) {
    const KEPT: &[&str] = &[
        "sys_id",
        "number",
        "sys_created_on",
        "sys_created_by",
        "sys_updated_on",
        "sys_updated_by",
        "sys_mod_count",
        "sys_class_name",
        "priority",
    ];
    let is_task = record.contains_key("number");
    for (column, value) in set {
        let kept = KEPT.contains(&column.as_str()) && (column != "priority" || is_task);
        // Custom columns begin with u_ or x_; other unknown ones are ignored without a word.
        let custom = column.starts_with("u_") || column.starts_with("x_");
        let known = free || custom || record.contains_key(column);
        if !kept && (known || matches!(column.as_str(), "user_password" | "roles")) {
            record.insert(column.clone(), value.clone());
        }
    }
}

fn transition(record: &mut Record, was: &str, is: &str) {
    let at = now();
    let mut put = |column: &str, value: String| {
        record.insert(column.to_owned(), value);
    };
    match is {
        "6" => put("resolved_at", at),
        "7" => {
            put("closed_at", at);
            put("active", "false".to_owned());
        }
        _ if was == "6" => {
            put("resolved_at", String::new());
            put("reopened_time", at);
            let count: u64 = get(record, "reopen_count").parse().unwrap_or(0);
            record.insert("reopen_count".to_owned(), (count + 1).to_string());
        }
        _ => {}
    }
}
