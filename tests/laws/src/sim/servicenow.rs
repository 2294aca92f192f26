//! A fake ServiceNow: just enough of the Table API for the driver, with the priority matrix,
//! `sys_mod_count`, whole seconds, and a journal. It remembers who wrote what.

use std::collections::BTreeMap;

use firn_model::{
    CorrelationMode, HttpRequest, HttpResponse, Method, Millis, Settings, http_date_text,
    servicenow_text,
};
use serde_json::{Value as Json, json};

use super::articles::Articles;
use super::query;

#[derive(Clone)]
pub(crate) struct Ticket {
    pub(crate) class: String,
    pub(crate) created_by: String,
    pub(crate) updated_by: String,
    /// A person has changed it.
    pub(crate) touched: bool,
    pub(crate) columns: BTreeMap<String, String>,
    pub(crate) mod_count: u32,
    pub(crate) created: Millis,
    pub(crate) updated: Millis,
}

/// A row of `sys_audit_delete`.
#[derive(Clone)]
pub(crate) struct Deleted {
    pub(crate) ticket: String,
    pub(crate) class: String,
    /// The key that it had.
    pub(crate) key: String,
    pub(crate) at: Millis,
}

#[derive(Clone)]
pub(crate) struct JournalRow {
    pub(crate) sys_id: String,
    pub(crate) ticket: String,
    pub(crate) element: String,
    pub(crate) value: String,
    pub(crate) author: String,
    pub(crate) at: Millis,
    /// The same by nobody's clock.
    written: Millis,
}

impl Deleted {
    fn show(&self) -> Json {
        json!({ "sys_id": self.ticket, "documentkey": self.ticket, "tablename": self.class,
            "sys_created_on": servicenow_text(self.at) })
    }
}

impl JournalRow {
    fn show(&self) -> Json {
        json!({ "sys_id": self.sys_id, "element_id": self.ticket, "element": self.element,
            "value": self.value, "sys_created_by": self.author, "sys_created_on": servicenow_text(self.at) })
    }
}

/// A row of `sys_audit`.
#[derive(Clone)]
struct Past {
    ticket: String,
    column: String,
    new: String,
    user: String,
    count: u32,
}

/// A value of a user that a write of ours replaced.
#[derive(Clone)]
pub(crate) struct Overwritten {
    pub(crate) ticket: String,
    pub(crate) column: String,
    pub(crate) value: String,
    pub(crate) at: Millis,
}

/// What changed, to be told by webhook.
pub(crate) enum Changed {
    Ticket(String),
    Journal(JournalRow),
}

/// What an instance does with a column that Firn writes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The write is answered with success and changes nothing.
    Ignores(String),
    /// A business rule writes something else.
    Rewrites(String, String),
    /// The write is refused.
    Refuses(String),
    /// The user may write it and not read it.
    Hides(String),
}

/// What instances do differently, and no document settles.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Quirks {
    /// A comment leaves `sys_mod_count` and `sys_updated_on` of its ticket alone.
    pub(crate) comment_is_no_update: bool,
    /// A write that changes nothing counts as an update all the same.
    pub(crate) no_change_counts: bool,
    /// The user may not read `sys_audit_delete`.
    pub(crate) deletions_hidden: bool,
    /// The user may not read `sys_audit`.
    pub(crate) history_hidden: bool,
    /// The user may not read the journal: an empty list, and status 200.
    pub(crate) journal_hidden: bool,
    /// Their clock minus ours, in milliseconds.
    pub(crate) clock: i64,
    /// A class's own columns are left out of the webhook of another class, not sent empty.
    pub(crate) columns_left_out: bool,
    /// `=` in a query tells `a` from `A`.
    pub(crate) case_matters: bool,
    /// A row of the journal can be read only a moment after its ticket has told of a change.
    pub(crate) journal_row_late: bool,
    /// A row of the journal names the base table, and not the class of its ticket.
    pub(crate) journal_names_base: bool,
    /// `X-Total-Count` leaves out rows that may not be seen.
    pub(crate) count_leaves_out_hidden: bool,
    /// Numbers and truth values are refused where a text is expected.
    pub(crate) texts_only: bool,
    /// Rows that nobody asked an order for come in another one.
    pub(crate) last_row_first: bool,
}

/// So long a row of the journal may take to be there. In milliseconds.
const LATE: i64 = 1_500;

/// The kinds of tickets that it has.
pub(crate) const CLASSES: [&str; 3] = ["incident", "problem", "change_request"];

#[derive(Clone, Default)]
pub(crate) struct ServiceNow {
    pub(crate) quirks: Quirks,
    pub(crate) rules: Vec<Rule>,
    pub(crate) deleted: Vec<Deleted>,
    /// Tickets that the user may not read any more.
    pub(crate) hidden: Vec<String>,
    /// The journal's table answers with 403.
    pub(crate) refuses_journal: bool,
    pub(crate) tickets: BTreeMap<String, Ticket>,
    pub(crate) journal: Vec<JournalRow>,
    pub(crate) overwritten: Vec<Overwritten>,
    history: Vec<Past>,
    pub(crate) writes: u64,
    pub(crate) unique: bool,
    ids: u64,
    /// Who wrote the value that stands in a column now.
    authors: BTreeMap<(String, String), String>,
    pub(crate) bodies: Vec<(String, Json)>,
    pub(crate) articles: Articles,
}

pub(crate) const US: &str = "integration";
pub(crate) const GROUPS: [(&str, &str); 3] = [
    ("0000000000000000000000000000b001", "Network"),
    ("0000000000000000000000000000b002", "Desk"),
    ("0000000000000000000000000000b003", "Desk"),
];
pub(crate) const USERS: [(&str, &str); 2] = [
    ("0000000000000000000000000000a001", "ann@example.com"),
    ("0000000000000000000000000000a002", "Bob@Example.com"),
];

impl ServiceNow {
    pub(crate) fn new(settings: &Settings, quirks: Quirks) -> ServiceNow {
        let unique = settings.correlation.mode == CorrelationMode::Unique;
        ServiceNow { unique, quirks, ..ServiceNow::default() }
    }

    fn id(&mut self) -> String {
        self.ids += 1;
        format!("{:032x}", self.ids)
    }

    /// A user opens a ticket.
    pub(crate) fn open(
        &mut self,
        class: &str,
        set: &[(&str, &str)],
        now: Millis,
    ) -> (String, Vec<Changed>) {
        let set = set.iter().map(|(c, v)| ((*c).to_owned(), (*v).to_owned())).collect();
        let id = self.insert(class, set, "agent", now);
        (id.clone(), vec![Changed::Ticket(id)])
    }

    fn insert(
        &mut self,
        class: &str,
        set: BTreeMap<String, String>,
        by: &str,
        now: Millis,
    ) -> String {
        let id = self.id();
        let prefix = match class {
            "problem" => "PRB",
            "change_request" => "CHG",
            _ => "INC",
        };
        let mut columns = BTreeMap::from([
            ("number".to_owned(), format!("{prefix}{:07}", self.ids)),
            ("state".to_owned(), "1".to_owned()),
            ("impact".to_owned(), "3".to_owned()),
            ("urgency".to_owned(), "3".to_owned()),
            ("short_description".to_owned(), String::new()),
            ("description".to_owned(), String::new()),
            ("assigned_to".to_owned(), String::new()),
            ("assignment_group".to_owned(), String::new()),
            ("due_date".to_owned(), String::new()),
            ("correlation_id".to_owned(), String::new()),
        ]);
        for (column, value) in set {
            self.authors.insert((id.clone(), column.clone()), by.to_owned());
            columns.insert(column, value);
        }
        settle(&mut columns);
        let ticket = Ticket {
            class: class.to_owned(),
            created_by: by.to_owned(),
            updated_by: by.to_owned(),
            touched: by != US,
            columns,
            mod_count: 0,
            created: self.clock(now),
            updated: self.clock(now),
        };
        self.tickets.insert(id.clone(), ticket);
        id
    }

    /// Now, by their clock.
    fn clock(&self, now: Millis) -> Millis {
        Millis(now.0 + self.quirks.clock)
    }

    /// An administrator deletes a ticket; no webhook tells of it.
    pub(crate) fn delete(&mut self, id: &str, now: Millis) {
        let at = self.clock(now);
        if let Some(ticket) = self.tickets.remove(id) {
            let key = ticket.columns.get("correlation_id").cloned().unwrap_or_default();
            let class = ticket.class;
            self.deleted.push(Deleted { ticket: id.to_owned(), class, key, at });
            self.journal.retain(|row| row.ticket != id);
            // What was written in this very moment nobody can have seen.
            self.overwritten.retain(|lost| lost.ticket != id || lost.at != now);
        }
    }

    /// An administrator makes a ticket another kind of ticket.
    pub(crate) fn reclass(&mut self, id: &str, class: &str, now: Millis) -> Vec<Changed> {
        let at = self.clock(now);
        let Some(ticket) = self.tickets.get_mut(id) else { return Vec::new() };
        ticket.class = class.to_owned();
        ticket.mod_count += 1;
        ticket.updated = at;
        vec![Changed::Ticket(id.to_owned())]
    }

    /// A user edits a column.
    pub(crate) fn edit(
        &mut self,
        id: &str,
        column: &str,
        value: &str,
        now: Millis,
    ) -> Vec<Changed> {
        self.write(id, &BTreeMap::from([(column.to_owned(), value.to_owned())]), "agent", now)
    }

    /// A user writes a comment or work note.
    pub(crate) fn say(&mut self, id: &str, element: &str, text: &str, now: Millis) -> Vec<Changed> {
        self.say_as("agent", id, element, text, now)
    }

    /// Somebody says something, under whichever user's name.
    pub(crate) fn say_as(
        &mut self,
        user: &str,
        id: &str,
        element: &str,
        text: &str,
        now: Millis,
    ) -> Vec<Changed> {
        self.write(id, &BTreeMap::from([(element.to_owned(), text.to_owned())]), user, now)
    }

    fn write(
        &mut self,
        id: &str,
        set: &BTreeMap<String, String>,
        by: &str,
        now: Millis,
    ) -> Vec<Changed> {
        let mut changed = Vec::new();
        let mut said = Vec::new();
        let at = self.clock(now);
        let quirks = self.quirks;
        let rules = if by == US { self.rules.clone() } else { Vec::new() };
        let Some(ticket) = self.tickets.get_mut(id) else { return changed };
        let before = ticket.columns.clone();
        let mut touched = false;
        for (column, value) in set {
            if column == "comments" || column == "work_notes" {
                said.push((column.clone(), value.clone()));
                touched |= !quirks.comment_is_no_update;
                continue;
            }
            if rules.contains(&Rule::Ignores(column.clone())) {
                continue;
            }
            let rewritten = rules.iter().find_map(|rule| match rule {
                Rule::Rewrites(c, v) if c == column => Some(v.clone()),
                _ => None,
            });
            let value = rewritten.as_ref().unwrap_or(value);
            let by = if rewritten.is_some() { "rule" } else { by };
            let old = ticket.columns.insert(column.clone(), value.clone()).unwrap_or_default();
            if old == *value {
                touched |= quirks.no_change_counts;
                continue;
            }
            touched = true;
            let author = self.authors.insert((id.to_owned(), column.clone()), by.to_owned());
            if by == US && author.as_deref() == Some("agent") {
                self.overwritten.push(Overwritten {
                    ticket: id.to_owned(),
                    column: column.clone(),
                    value: old,
                    at: now,
                });
            }
        }
        if touched {
            settle(&mut ticket.columns);
            ticket.mod_count += 1;
            ticket.updated = at;
            by.clone_into(&mut ticket.updated_by);
            ticket.touched |= by != US;
            let differs = ticket.columns.iter().filter(|(c, v)| before.get(*c) != Some(*v));
            self.history.extend(differs.map(|(column, new)| Past {
                ticket: id.to_owned(),
                column: column.clone(),
                new: new.clone(),
                user: by.to_owned(),
                count: ticket.mod_count,
            }));
            changed.push(Changed::Ticket(id.to_owned()));
        }
        if by == US && (touched || !said.is_empty()) {
            self.writes += 1;
        }
        for (element, value) in said {
            let row = JournalRow {
                sys_id: self.id(),
                ticket: id.to_owned(),
                element,
                value,
                author: by.to_owned(),
                at,
                written: now,
            };
            self.journal.push(row.clone());
            changed.push(Changed::Journal(row));
        }
        changed
    }

    /// The webhook for a ticket: seed 003's shape, with or without the counter, or seed 004's.
    pub(crate) fn webhook(&self, id: &str, shape: u64) -> Option<String> {
        let ticket = self.tickets.get(id)?;
        let c = |name: &str| ticket.columns.get(name).cloned().unwrap_or_default();
        let mut current = json!({});
        let incident = ticket.class == "incident";
        for name in [
            "short_description",
            "description",
            "state",
            "priority",
            "urgency",
            "impact",
            "assigned_to",
            "correlation_id",
        ] {
            // Columns that only incidents have: empty from other classes, or not there.
            if self.rules.contains(&Rule::Hides(name.to_owned())) {
                continue;
            }
            let theirs = matches!(name, "urgency" | "impact") && !incident;
            if !theirs {
                current[name] = json!(c(name));
            } else if !self.quirks.columns_left_out {
                current[name] = json!("");
            }
        }
        current["sys_updated_on"] = json!(servicenow_text(ticket.updated));
        let mut body = json!({ "sys_id": id, "number": c("number"), "table": ticket.class, "action": "update", "current": current });
        match shape {
            0 => {}
            1 => {
                body = json!({ "sys_id": id, "number": c("number"), "short_description": c("short_description"),
                    "state": c("state"), "priority": c("priority"), "impact": c("impact"),
                    "assigned_to": "Ann Lee", "updated_on": servicenow_text(ticket.updated) });
            }
            _ => body["sys_mod_count"] = json!(ticket.mod_count.to_string()),
        }
        Some(body.to_string())
    }

    pub(crate) fn journal_webhook(row: &JournalRow) -> String {
        json!({ "sys_id": row.ticket, "table": "sys_journal_field", "action": "insert",
            "journal": { "sys_id": row.sys_id, "element": row.element, "value": row.value,
                "sys_created_by": row.author, "sys_created_on": servicenow_text(row.at) } })
        .to_string()
    }

    /// The rows of the journal that can be read.
    fn journal(&self, now: Millis) -> Vec<Json> {
        let late = if self.quirks.journal_row_late { LATE } else { 0 };
        let there = |row: &&JournalRow| now.since(row.written) >= late;
        let base = self.quirks.journal_names_base;
        let rows = self.journal.iter().filter(there).map(|row| {
            let class = self.tickets.get(&row.ticket).map(|ticket| ticket.class.as_str());
            let mut shown = row.show();
            shown["name"] = json!(class.filter(|_| !base).unwrap_or("task"));
            shown
        });
        rows.collect()
    }

    fn readable(&self, class: &str, id: &str) -> bool {
        !self.hidden.iter().any(|h| h == id)
            && self.tickets.get(id).is_some_and(|t| t.class == class || class == "task")
    }

    fn show(&self, id: &str) -> Json {
        let ticket = &self.tickets[id];
        let mut row = json!({ "sys_id": id, "sys_class_name": ticket.class,
            "sys_mod_count": ticket.mod_count.to_string(), "sys_updated_on": servicenow_text(ticket.updated), "sys_created_on": servicenow_text(ticket.created),
            "sys_updated_by": ticket.updated_by, "sys_created_by": ticket.created_by });
        for (column, value) in &ticket.columns {
            row[column] = json!(value);
        }
        for rule in &self.rules {
            if let (Rule::Hides(column), Some(row)) = (rule, row.as_object_mut()) {
                row.remove(column);
            }
        }
        let assigned = row["assigned_to"].as_str().unwrap_or_default();
        let email = USERS.iter().find(|(id, _)| *id == assigned).map_or("", |(_, email)| email);
        row["assigned_to.email"] = json!(email);
        let group = row["assignment_group"].as_str().unwrap_or_default();
        let name = GROUPS.iter().find(|(id, _)| *id == group).map_or("", |(_, name)| name);
        row["assignment_group.name"] = json!(name);
        row
    }

    /// Serves a request of a sweep.
    fn poll(&self, request: &HttpRequest, table: &str, date: &str, now: Millis) -> HttpResponse {
        let (rows, hidden): (Vec<Json>, bool) = match table {
            "sys_journal_field" => (self.journal(now), self.quirks.journal_hidden),
            "sys_audit_delete" => {
                (self.deleted.iter().map(Deleted::show).collect(), self.quirks.deletions_hidden)
            }
            class => {
                let of = self.tickets.iter().filter(|(_, ticket)| ticket.class == class);
                (of.map(|(id, _)| self.show(id)).collect(), false)
            }
        };
        let shown = |row: &Json| {
            let id = row["sys_id"].as_str().unwrap_or_default();
            !hidden && !self.hidden.iter().any(|h| h == id)
        };
        let whole = !self.quirks.count_leaves_out_hidden;
        let (body, total) = query::answer(request, rows, shown, whole);
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("date", date.to_owned()),
            ("x-total-count", total.to_string()),
        ];
        let headers = headers.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
        HttpResponse { status: 200, headers, body: body.to_string() }
    }

    /// Serves a request.
    pub(crate) fn serve(
        &mut self,
        request: &HttpRequest,
        now: Millis,
    ) -> (HttpResponse, Vec<Changed>) {
        let date = http_date_text(self.clock(now));
        let answer = |status, body: Json| HttpResponse {
            status,
            headers: vec![
                ("content-type".to_owned(), "application/json".to_owned()),
                ("date".to_owned(), date.clone()),
            ],
            body: body.to_string(),
        };
        let refused = |status, message: &str| {
            answer(
                status,
                json!({ "error": { "message": message, "detail": null }, "status": "failure" }),
            )
        };
        let query = |name: &str| {
            request
                .query
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.as_str())
                .unwrap_or_default()
        };
        let body: Json =
            request.json().and_then(|b| serde_json::from_str(b).ok()).unwrap_or(Json::Null);
        let set: BTreeMap<String, String> = body
            .as_object()
            .into_iter()
            .flatten()
            .map(|(n, v)| (n.clone(), v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
            .collect();
        if self.quirks.texts_only
            && body.as_object().into_iter().flatten().any(|(_, value)| !value.is_string())
        {
            return (refused(400, "Bad Request"), Vec::new());
        }
        let parts: Vec<&str> =
            request.path.trim_start_matches("/api/now/table/").split('/').collect();
        if let ["kb_knowledge", rest @ ..] = parts.as_slice() {
            let (status, body) = self.articles.serve(request, rest);
            return (answer(status, body), Vec::new());
        }
        if self.refuses_journal && parts.first() == Some(&"sys_journal_field") {
            return (refused(403, "User Not Authorized"), Vec::new());
        }
        if query::is_poll(request)
            && let [table] = parts.as_slice()
            && *table != "sys_audit"
        {
            return (self.poll(request, table, &date, now), Vec::new());
        }
        match (request.method, parts.as_slice()) {
            (Method::Get, ["task"]) => {
                let mut wanted = query("sysparm_query").split('^');
                let (column, by_key) =
                    wanted.next().and_then(|part| part.split_once('=')).unwrap_or_default();
                let own = wanted.next().and_then(|part| part.strip_prefix("ORsys_id="));
                let rows: Vec<Json> = self
                    .tickets
                    .iter()
                    .filter(|(id, t)| {
                        let has_key = t.columns.get(column).map(String::as_str) == Some(by_key);
                        has_key || own == Some(id.as_str())
                    })
                    .filter(|(id, _)| !self.hidden.contains(id))
                    .map(|(id, t)| {
                        let c = |name: &str| t.columns.get(name).cloned().unwrap_or_default();
                        json!({ "sys_id": id, "sys_class_name": t.class, "number": c("number"),
                            "correlation_id": c("correlation_id"), "sys_created_by": t.created_by, "sys_updated_by": t.updated_by,
                            "sys_mod_count": t.mod_count.to_string(), "sys_created_on": servicenow_text(t.created),
                            "active": (!matches!(c("state").as_str(), "7" | "8")).to_string() })
                    })
                    .collect();
                (answer(200, json!({ "result": rows })), Vec::new())
            }
            (Method::Get, ["task", id]) if self.tickets.contains_key(*id) => {
                let shown = self.show(id);
                let row = json!({ "sys_id": id, "sys_class_name": shown["sys_class_name"], "number": shown["number"] });
                (answer(200, json!({ "result": row })), Vec::new())
            }
            (Method::Get, ["sys_audit_delete"]) => {
                if self.quirks.deletions_hidden {
                    return (answer(200, json!({ "result": [] })), Vec::new());
                }
                let wanted =
                    query("sysparm_query").strip_prefix("documentkey=").unwrap_or_default();
                let rows: Vec<Json> = self
                    .deleted
                    .iter()
                    .filter(|deleted| deleted.ticket == wanted)
                    .map(Deleted::show)
                    .collect();
                (answer(200, json!({ "result": rows })), Vec::new())
            }
            (Method::Get, ["sys_audit"]) => {
                if self.quirks.history_hidden {
                    return (refused(403, "User Not Authorized"), Vec::new());
                }
                let asked = query("sysparm_query");
                let of = |prefix: &str| {
                    let mut parts = asked.split('^');
                    parts.find_map(|part| part.strip_prefix(prefix)).unwrap_or_default()
                };
                let (ticket, columns) = (of("documentkey="), of("fieldnameIN"));
                let after: u32 = of("record_checkpoint>").parse().unwrap_or_default();
                let until: u32 = of("record_checkpoint<=").parse().unwrap_or(u32::MAX);
                let rows: Vec<Json> = self
                    .history
                    .iter()
                    .rev()
                    .filter(|past| past.ticket == ticket)
                    .filter(|past| past.count > after && past.count <= until)
                    .filter(|past| columns.split(',').any(|column| column == past.column))
                    .map(|past| {
                        json!({ "documentkey": past.ticket, "fieldname": past.column,
                            "newvalue": past.new, "user": past.user,
                            "record_checkpoint": past.count.to_string() })
                    })
                    .collect();
                (answer(200, json!({ "result": rows })), Vec::new())
            }
            (Method::Get, ["sys_user_group"]) => {
                let wanted = query("sysparm_query").strip_prefix("name=").unwrap_or_default();
                let rows: Vec<Json> = GROUPS
                    .iter()
                    .filter(|(_, name)| name.eq_ignore_ascii_case(wanted))
                    .map(|(id, name)| json!({ "sys_id": id, "name": name }))
                    .collect();
                (answer(200, json!({ "result": rows })), Vec::new())
            }
            (Method::Get, [class]) if CLASSES.contains(class) => {
                let order = query("sysparm_query").contains("ORDERBY");
                let wanted = query("sysparm_query")
                    .strip_prefix("correlation_id=")
                    .and_then(|q| q.split('^').next());
                let mut rows: Vec<Json> = self
                    .tickets
                    .iter()
                    .filter(|(_, t)| t.class == *class)
                    .filter(|(_, t)| t.columns.get("correlation_id").map(String::as_str) == wanted)
                    .map(|(id, _)| self.show(id))
                    .collect();
                if self.quirks.last_row_first && !order {
                    rows.reverse();
                }
                (answer(200, json!({ "result": rows })), Vec::new())
            }
            (Method::Get, ["sys_user"]) => {
                let rows: Vec<Json> = USERS
                    .iter()
                    .filter(|(_, email)| {
                        let wanted = query("sysparm_query").strip_prefix("email=");
                        let wanted = wanted.and_then(|q| q.split('^').next()).unwrap_or_default();
                        match self.quirks.case_matters {
                            true => wanted == *email,
                            false => wanted.eq_ignore_ascii_case(email),
                        }
                    })
                    .map(|(id, email)| json!({ "sys_id": id, "email": email }))
                    .collect();
                (answer(200, json!({ "result": rows })), Vec::new())
            }
            (Method::Get, ["sys_journal_field"]) => {
                if self.quirks.journal_hidden {
                    return (answer(200, json!({ "result": [] })), Vec::new());
                }
                let asked = query("sysparm_query");
                let of = |row: &Json| {
                    let ticket = row["element_id"].as_str().unwrap_or_default();
                    asked.starts_with(&format!("element_id={ticket}"))
                };
                let mut rows = self.journal(now);
                rows.retain(of);
                if self.quirks.last_row_first && !asked.contains("ORDERBY") {
                    rows.reverse();
                }
                (answer(200, json!({ "result": rows })), Vec::new())
            }
            (Method::Get, [class, id]) if self.readable(class, id) => {
                (answer(200, json!({ "result": self.show(id) })), Vec::new())
            }
            (Method::Post, [class]) if CLASSES.contains(class) => {
                let refuses = |column: &String| self.rules.contains(&Rule::Refuses(column.clone()));
                if let Some(column) = set.keys().find(|c| refuses(c)) {
                    return (refused(403, &format!("Field {column} is not writable")), Vec::new());
                }
                let key = set.get("correlation_id").cloned();
                if self.unique
                    && self
                        .tickets
                        .values()
                        .any(|t| t.columns.get("correlation_id") == key.as_ref())
                {
                    return (refused(403, "Operation Failed"), Vec::new());
                }
                let id = self.insert(class, set, US, now);
                self.writes += 1;
                self.bodies.push((id.clone(), body));
                (answer(201, json!({ "result": self.show(&id) })), vec![Changed::Ticket(id)])
            }
            (Method::Patch, [class, id]) if self.readable(class, id) => {
                let refuses = |column: &String| self.rules.contains(&Rule::Refuses(column.clone()));
                if let Some(column) = set.keys().find(|c| refuses(c)) {
                    return (refused(403, &format!("Field {column} is not writable")), Vec::new());
                }
                let changed = self.write(id, &set, US, now);
                self.bodies.push(((*id).to_owned(), body));
                (answer(200, json!({ "result": self.show(id) })), changed)
            }
            _ => (refused(404, "No Record found"), Vec::new()),
        }
    }
}

/// The priority matrix: impact plus urgency, less one.
fn settle(columns: &mut BTreeMap<String, String>) {
    let number = |name: &str| columns.get(name).and_then(|v| v.parse::<u8>().ok()).unwrap_or(3);
    let priority = (number("impact") + number("urgency")).saturating_sub(1).clamp(1, 5);
    columns.insert("priority".to_owned(), priority.to_string());
}
