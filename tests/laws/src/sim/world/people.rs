//! What people do: they edit and comment on both sides, resolve conflicts, and reconcile.

use firn_model::{
    Conflict, ConflictState, Link, Operation, PlatformId, Resolution, RunMode, SysId, TicketName,
};

use super::World;
use crate::sim::servicenow::{CLASSES, USERS};

impl World {
    fn token(&mut self) -> String {
        self.tokens += 1;
        // Now and then the same text twice, or a text that is masked on its way.
        match self.rng.u32(0..20) {
            0 => format!("token{}x{} call +1555019{:04}", self.at, self.tokens, self.tokens),
            _ => format!("token{}x{}", self.at, self.tokens),
        }
    }

    fn platform_value(&mut self, field: &str) -> String {
        let pick = |rng: &mut fastrand::Rng, of: &[&str]| of[rng.usize(0..of.len())].to_owned();
        match field {
            "severity" => pick(&mut self.rng, &["critical", "high", "medium", "low"]),
            "status" => pick(&mut self.rng, &["open", "mitigated", "resolved", "closed"]),
            "assigned_to" => pick(&mut self.rng, &["", USERS[0].1, USERS[1].1]),
            _ => self.token(),
        }
    }

    pub(super) fn edit_platform(&mut self) {
        self.edits += 1;
        self.met("edit: platform");
        let id = format!("rec-{}", self.rng.u32(0..2));
        if self.site().platform.deleted.contains_key(&id) {
            return;
        }
        let fields = ["title", "description", "severity", "status", "assigned_to"];
        let new = !self.sites[self.at].platform.records.contains_key(&id);
        let chosen: Vec<&str> =
            if new { fields.to_vec() } else { vec![fields[self.rng.usize(0..fields.len())]] };
        let values: Vec<(&str, String)> =
            chosen.into_iter().map(|f| (f, self.platform_value(f))).collect();
        let set: Vec<(&str, &str)> = values.iter().map(|(f, v)| (*f, v.as_str())).collect();
        self.say(|| format!("platform user: {id} {set:?}"));
        let event = self.sites[self.at].platform.edit(&id, &set, self.now);
        self.send_event(event);
    }

    fn a_ticket(&mut self) -> Option<String> {
        let ids: Vec<&String> = self.sites[self.at].servicenow.tickets.keys().collect();
        (!ids.is_empty()).then(|| ids[self.rng.usize(0..ids.len())].clone())
    }

    pub(super) fn edit_external(&mut self) {
        if let Some(id) = self.a_ticket() {
            self.met("edit: external");
            self.edit_ticket(&id);
        }
    }

    pub(super) fn edit_ticket(&mut self, id: &str) {
        self.edits += 1;
        let column =
            ["short_description", "description", "impact", "urgency", "state", "assigned_to"];
        let column = column[self.rng.usize(0..column.len())];
        let value = match column {
            "impact" | "urgency" => self.rng.u32(1..4).to_string(),
            "state" => ["1", "2", "3", "6", "7", "8"][self.rng.usize(0..6)].to_owned(),
            "assigned_to" => ["", USERS[0].0, USERS[1].0][self.rng.usize(0..3)].to_owned(),
            _ => self.token(),
        };
        self.say(|| format!("agent: {id} {column}={value}"));
        for changed in self.sites[self.at].servicenow.edit(id, column, &value, self.now) {
            self.tell(changed);
        }
    }

    /// The same field on both sides within a few seconds.
    pub(super) fn edit_both(&mut self) {
        let Some(id) = self.a_ticket() else { return };
        self.met("edit: both at once");
        self.edits += 2;
        let record = self.site().servicenow.tickets[&id].columns["correlation_id"].clone();
        if !self.site().platform.records.contains_key(&record) {
            return;
        }
        let (field, column, theirs) = match self.rng.u32(0..2) {
            0 => ("title", "short_description", self.token()),
            _ => ("status", "state", ["1", "3", "6", "7"][self.rng.usize(0..4)].to_owned()),
        };
        let ours = self.platform_value(field);
        let event = self.sites[self.at].platform.edit(&record, &[(field, &ours)], self.now);
        self.send_event(event);
        let ms = self.rng.u64(0..9_000);
        self.pass(ms);
        self.say(|| format!("both: {record} {field}={ours}, {column}={theirs}"));
        for changed in self.sites[self.at].servicenow.edit(&id, column, &theirs, self.now) {
            self.tell(changed);
        }
    }

    pub(super) fn comment(&mut self) {
        let text = match self.rng.u32(0..4) {
            0 => "ok".to_owned(),
            _ => self.token(),
        };
        let internal = self.rng.bool();
        if self.rng.bool() {
            let ids: Vec<String> = self.sites[self.at].platform.records.keys().cloned().collect();
            if ids.is_empty() {
                return;
            }
            self.met("comment: platform");
            let id = &ids[self.rng.usize(0..ids.len())];
            let event = self.sites[self.at].platform.say(
                id,
                &text,
                if internal { "internal" } else { "public" },
                self.now,
            );
            self.send_event(event);
        } else if let Some(id) = self.a_ticket() {
            self.met("comment: external");
            let element = if internal { "work_notes" } else { "comments" };
            for changed in self.sites[self.at].servicenow.say(&id, element, &text, self.now) {
                self.tell(changed);
            }
        }
        self.edits += 1;
    }

    pub(super) fn resolve(&mut self) {
        let open: Vec<Conflict> = self.rows("conflict");
        let Some(conflict) = open.into_iter().find(|c| c.state == ConflictState::Open) else {
            return;
        };
        self.met("why: resolved");
        let resolution = match self.rng.u32(0..3) {
            0 => Resolution::UsePlatform,
            1 => Resolution::UseExternal,
            _ => Resolution::Value(firn_model::Value::text(
                self.platform_value(conflict.field.as_str()),
            )),
        };
        self.operate(Operation::Resolve {
            integration: self.sites[self.at].integration.id.clone(),
            conflict: conflict.id,
            resolution,
        });
    }

    pub(super) fn reconcile(&mut self) {
        self.met("reconcile");
        let mode = if self.faults && self.rng.bool() { RunMode::DryRun } else { RunMode::AutoHeal };
        self.operate(Operation::Reconcile {
            integration: self.sites[self.at].integration.id.clone(),
            mode,
        });
    }

    /// What shakes a pair: a record is deleted, a ticket becomes another kind of ticket, a second
    /// record joins a ticket, a pair is taken apart.
    pub(super) fn upheaval(&mut self) {
        match self.rng.u32(0..10) {
            0..=1 => self.delete_ticket(),
            2 => self.delete_record(),
            3..=5 => self.reclass(),
            6..=8 => self.attach(),
            _ => self.unlink(),
        }
    }

    pub(super) fn delete_ticket(&mut self) {
        let Some(id) = self.a_ticket() else { return };
        self.met("upheaval: ticket deleted");
        self.say(|| format!("administrator: deletes {id}"));
        let now = self.now;
        self.site_mut().servicenow.delete(&id, now);
    }

    fn delete_record(&mut self) {
        let ids: Vec<String> = self.site().platform.records.keys().cloned().collect();
        if ids.is_empty() {
            return;
        }
        self.met("upheaval: record deleted");
        let id = &ids[self.rng.usize(0..ids.len())];
        let status = if self.rng.bool() { 410 } else { 404 };
        let now = self.now;
        let event = self.site_mut().platform.delete(id, status, now);
        if self.rng.bool() {
            self.send_event(event);
        }
    }

    pub(super) fn reclass(&mut self) {
        let Some(id) = self.a_ticket() else { return };
        self.met("upheaval: ticket of another class");
        let class = CLASSES[self.rng.usize(0..CLASSES.len())];
        let now = self.now;
        self.say(|| format!("administrator: {id} becomes a {class}"));
        for changed in self.site_mut().servicenow.reclass(&id, class, now) {
            self.tell(changed);
        }
    }

    /// An operator pairs another record with a ticket that is there.
    fn attach(&mut self) {
        let Some(ticket) = self.a_ticket() else { return };
        let record = format!("rec-{}", self.rng.u32(2..4));
        if self.site().platform.deleted.contains_key(&record) {
            return;
        }
        self.met("upheaval: record attached");
        self.edits += 6;
        let now = self.now;
        if !self.site().platform.records.contains_key(&record) {
            let fields = ["title", "description", "severity", "status", "assigned_to"];
            let values: Vec<(&str, String)> =
                fields.into_iter().map(|f| (f, self.platform_value(f))).collect();
            let set: Vec<(&str, &str)> = values.iter().map(|(f, v)| (*f, v.as_str())).collect();
            self.site_mut().platform.edit(&record, &set, now);
        }
        let number = self.site().servicenow.tickets[&ticket].columns["number"].clone();
        let name = match (SysId::new(ticket), self.rng.bool()) {
            (Ok(sys_id), true) => TicketName::SysId(sys_id),
            _ => TicketName::Number(number),
        };
        // Once more, perhaps to another ticket: what was said on the first one stays there.
        if let Some(link) = self.link_of(&record) {
            self.site_mut().torn.insert(record.clone());
            self.site_mut().left.extend(link.external.map(|e| e.sys_id.to_string()));
        }
        let Ok(record) = PlatformId::new(record) else { return };
        let integration = self.site().integration.id.clone();
        self.operate(Operation::Attach { integration, record, ticket: name, table: None });
    }

    pub(super) fn unlink(&mut self) {
        let links: Vec<Link> = self.rows("link");
        if links.is_empty() {
            return;
        }
        let link = &links[self.rng.usize(0..links.len())];
        self.met("upheaval: pair taken apart");
        self.site_mut().torn.insert(link.platform_id.to_string());
        let (integration, link) = (self.site().integration.id.clone(), link.id.clone());
        self.operate(Operation::Unlink { integration, link });
    }
}
