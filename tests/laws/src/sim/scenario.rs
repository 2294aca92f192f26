//! A world without chance: the same fakes and the same driver, told what happens step by step. What
//! the rules of the design say is shown here, one rule a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests only.

use std::collections::BTreeMap;

use firn_core::settings;
use firn_model::rule::{Answer, Question};
use firn_model::{
    ActiveRules, Audit, Finding, FindingKind, Hook, Integration, IntegrationId, Link, LinkId,
    Millis, Operation, RunMode, TenantId,
};
use firn_storage::Memory;
use serde_json::{Value as Json, json};

use super::platform::{Dates, ModelSays};
use super::servicenow::{Changed, JournalRow, Rule, US};
use super::world::{Says, World};

/// A world, told what happens.
pub struct Scenario {
    world: World,
    /// Webhooks of ServiceNow are lost while this is set.
    pub deaf: bool,
}

impl Scenario {
    /// A world with an integration as a settings document says. The platform can be written and
    /// read unless the document says otherwise.
    #[must_use]
    pub fn new(document: Json) -> Scenario {
        let mut document = document;
        let platform = json!({ "callback_url": "https://platform.example/callback", "read_url": "https://platform.example/records/{id}" });
        for (key, value) in [
            ("platform", platform),
            ("request_timeout", json!(1_000)),
            ("base_url", json!("https://example.service-now.com")),
        ] {
            if document.get(key).is_none() {
                document[key] = value;
            }
        }
        if document.get("polling").is_none() {
            document["polling"] = json!({ "mode": "off" });
        }
        if document["correlation"]["transaction_limit"].is_null() {
            document["correlation"]["transaction_limit"] = json!(4_000);
        }
        let id = IntegrationId::new("int-1").unwrap();
        let tenant = TenantId::new("acme").unwrap();
        let applied = settings::apply(None, &id, &tenant, &document);
        let integration: Integration =
            applied.integration.unwrap_or_else(|| panic!("{:?}", applied.faults));
        let mut world = World::told(integration);
        let reply = world.ask(Operation::Apply { id, document, intent: firn_model::Intent::Act });
        assert!(reply.0 < 300, "{reply:?}");
        Scenario { world, deaf: false }
    }

    // ---- what happens --------------------------------------------------------------------

    /// Lets everything arrive and everything due happen.
    pub fn settle(&mut self) {
        self.world.settle();
    }

    /// Lets time pass.
    pub fn pass(&mut self, ms: u64) {
        self.world.let_pass(ms);
    }

    /// The platform says no more of how new something is, and answers a change with what it is then or with nothing.
    pub fn platform_says_less(&mut self, dates: Dates, acknowledges: bool) {
        let platform = &mut self.world.site_mut().platform;
        (platform.dates, platform.acknowledges) = (dates, acknowledges);
    }

    /// Nothing is ever as the platform expects it, and it never says what is.
    pub fn platform_contradicts(&mut self) {
        self.world.site_mut().platform.contradicts = true;
    }

    /// The customer brings rules of its own. `version` tells them from those before.
    pub fn rules(
        &mut self,
        version: u64,
        hooks: &[Hook],
        says: impl Fn(&Question) -> Answer + 'static,
    ) {
        let says: Says = Box::new(says);
        self.world.rules_say(says);
        let digest = version.to_string();
        let hooks = hooks.iter().copied().collect();
        let rules = Some(ActiveRules { version, digest, hooks });
        let integration = self.id();
        let reply = self.operate(Operation::Activate { integration, rules });
        assert_eq!(reply.0, 200, "{reply:?}");
    }

    /// A platform's user writes fields; an incident with all five fields if it is new.
    pub fn platform_edits(&mut self, record: &str, set: &[(&str, &str)]) {
        let all = self.filled_in(record, set);
        let now = self.world.now;
        let event = self.world.site_mut().platform.edit(record, &all, now);
        self.world.deliver_event(event);
        self.settle();
    }

    /// The same, and what follows has yet to happen.
    pub fn platform_edits_unsettled(&mut self, record: &str, set: &[(&str, &str)]) {
        let all = self.filled_in(record, set);
        let now = self.world.now;
        let event = self.world.site_mut().platform.edit(record, &all, now);
        self.world.deliver_event(event);
    }

    /// What is written: of a new record all five fields.
    fn filled_in<'a>(&self, record: &str, set: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let new = !self.world.site().platform.records.contains_key(record);
        let mut all: Vec<(&str, &str)> = Vec::new();
        if new {
            all.extend([
                ("title", "t"),
                ("description", "d"),
                ("severity", "low"),
                ("status", "open"),
                ("assigned_to", ""),
            ]);
            all.retain(|(f, _)| !set.iter().any(|(g, _)| f == g));
        }
        all.extend(set);
        all
    }

    /// The same, and nobody hears of it.
    pub fn platform_edits_silently(&mut self, record: &str, set: &[(&str, &str)]) {
        let now = self.world.now;
        let all = self.filled_in(record, set);
        self.world.site_mut().platform.edit(record, &all, now);
    }

    /// A platform's event as it is.
    pub fn event(&mut self, body: Json) {
        self.world.deliver_event(body.to_string());
        self.settle();
    }

    /// The same, and what follows has yet to happen.
    pub fn event_unsettled(&mut self, body: Json) {
        self.world.deliver_event(body.to_string());
    }

    /// Several events at once.
    pub fn events(&mut self, bodies: &[Json]) {
        for body in bodies {
            self.world.deliver_event(body.to_string());
        }
        self.settle();
    }

    /// A platform's user says something.
    pub fn platform_says(&mut self, record: &str, text: &str, visibility: &str) {
        let now = self.world.now;
        let event = self.world.site_mut().platform.say(record, text, visibility, now);
        self.world.deliver_event(event);
        self.settle();
    }

    /// The same, and nobody hears of it.
    pub fn platform_says_silently(&mut self, record: &str, text: &str, visibility: &str) {
        let now = self.world.now;
        self.world.site_mut().platform.say(record, text, visibility, now);
    }

    /// A platform's user deletes a record; the event tells of it unless `status` alone is to.
    pub fn platform_deletes(&mut self, record: &str, status: u16, told: bool) {
        let now = self.world.now;
        let event = self.world.site_mut().platform.delete(record, status, now);
        if told {
            self.world.deliver_event(event);
        }
        self.settle();
    }

    fn tell(&mut self, changed: Vec<Changed>) {
        if !self.deaf {
            for changed in changed {
                self.world.deliver_webhook(&changed);
            }
        }
        self.settle();
    }

    /// An agent edits a column of a ticket.
    pub fn agent_edits(&mut self, ticket: &str, column: &str, value: &str) {
        let (id, now) = (self.sys_id(ticket), self.world.now);
        let changed = self.world.site_mut().servicenow.edit(&id, column, value, now);
        self.tell(changed);
    }

    /// An agent writes an entry.
    pub fn agent_says(&mut self, ticket: &str, element: &str, text: &str) {
        let (id, now) = (self.sys_id(ticket), self.world.now);
        let changed = self.world.site_mut().servicenow.say(&id, element, text, now);
        self.tell(changed);
    }

    /// Somebody else writes an entry as the user that Firn writes as.
    pub fn our_user_says(&mut self, ticket: &str, text: &str) {
        let (id, now) = (self.sys_id(ticket), self.world.now);
        let changed = self.world.site_mut().servicenow.say_as(US, &id, "comments", text, now);
        self.tell(changed);
    }

    /// The same as a work note.
    pub fn our_user_notes(&mut self, ticket: &str, text: &str) {
        let (id, now) = (self.sys_id(ticket), self.world.now);
        let changed = self.world.site_mut().servicenow.say_as(US, &id, "work_notes", text, now);
        self.tell(changed);
    }

    /// An agent opens a ticket; gives its number.
    pub fn agent_opens(&mut self, class: &str, set: &[(&str, &str)]) -> String {
        let now = self.world.now;
        let (id, changed) = self.world.site_mut().servicenow.open(class, set, now);
        self.tell(changed);
        self.column(&id, "number")
    }

    /// An administrator deletes a ticket. No webhook tells of it.
    pub fn admin_deletes(&mut self, ticket: &str) {
        let id = self.sys_id(ticket);
        let now = self.world.now;
        self.world.site_mut().servicenow.delete(&id, now);
    }

    /// An administrator makes a ticket another kind of ticket.
    pub fn admin_reclasses(&mut self, ticket: &str, class: &str) {
        let (id, now) = (self.sys_id(ticket), self.world.now);
        let changed = self.world.site_mut().servicenow.reclass(&id, class, now);
        self.tell(changed);
    }

    /// The integration user may not read a ticket any more.
    pub fn admin_hides(&mut self, ticket: &str) {
        let id = self.sys_id(ticket);
        self.world.site_mut().servicenow.hidden.push(id);
    }

    /// The same, by the ticket's sys_id: nobody is linked to it.
    pub fn hide(&mut self, sys_id: &str) {
        self.world.site_mut().servicenow.hidden.push(sys_id.to_owned());
    }

    /// The instance refuses to make tickets.
    pub fn instance_refuses_creates(&mut self) {
        self.instance_refuses("correlation_id");
    }

    /// The integration user may read all tickets again.
    pub fn admin_shows_all(&mut self) {
        self.world.site_mut().servicenow.hidden.clear();
    }

    /// The instance takes our writes of a column and keeps its value.
    pub fn instance_ignores(&mut self, column: &str) {
        self.world.site_mut().servicenow.rules.push(Rule::Ignores(column.to_owned()));
    }

    /// A business rule writes something else where we write a column.
    pub fn instance_rewrites(&mut self, column: &str, value: &str) {
        self.world
            .site_mut()
            .servicenow
            .rules
            .push(Rule::Rewrites(column.to_owned(), value.to_owned()));
    }

    /// The user may write a column and not read it.
    pub fn instance_hides(&mut self, column: &str) {
        self.world.site_mut().servicenow.rules.push(Rule::Hides(column.to_owned()));
    }

    /// The instance refuses our writes of a column.
    pub fn instance_refuses(&mut self, column: &str) {
        self.world.site_mut().servicenow.rules.push(Rule::Refuses(column.to_owned()));
    }

    /// The instance does nothing of its own any more.
    pub fn instance_behaves(&mut self) {
        self.world.site_mut().servicenow.rules.clear();
    }

    /// The user may not read the journal, or may again.
    pub fn journal_hidden(&mut self, hidden: bool) {
        self.world.site_mut().servicenow.quirks.journal_hidden = hidden;
    }

    /// The journal's table is refused, as by an access policy.
    pub fn journal_refused(&mut self) {
        self.world.site_mut().servicenow.refuses_journal = true;
    }

    /// The user may not read `sys_audit_delete`.
    pub fn deletions_hidden(&mut self) {
        self.world.site_mut().servicenow.quirks.deletions_hidden = true;
    }

    /// How far the clocks are off, in milliseconds: ServiceNow's and the platform's.
    pub fn clocks(&mut self, servicenow: i64, platform: i64) {
        self.world.site_mut().servicenow.quirks.clock = servicenow;
        self.world.site_mut().platform.clock = platform;
    }

    /// ServiceNow's webhook as it is, signed.
    pub fn webhook(&mut self, body: Json) -> (u16, Json) {
        let reply = self.world.send_webhook(body.to_string());
        self.settle();
        reply
    }

    /// A webhook, and an operator's request that is handled in one batch with what the webhook led to.
    pub fn webhook_beside(&mut self, body: Json, operation: Operation) -> (u16, Json) {
        self.world.send_webhook(body.to_string());
        let reply = self.world.operate_beside_work(operation);
        self.settle();
        reply
    }

    /// An escalation.
    pub fn escalate(&mut self, body: Json) -> (u16, Json) {
        let reply = self.world.escalate(body.to_string());
        self.settle();
        reply
    }

    /// The same, and what follows has yet to happen.
    pub fn escalate_unsettled(&mut self, body: Json) {
        self.world.escalate(body.to_string());
    }

    /// An operator's request.
    pub fn operate(&mut self, operation: Operation) -> (u16, Json) {
        let reply = self.world.ask(operation);
        self.settle();
        reply
    }

    /// A reconcile run.
    pub fn reconcile(&mut self, mode: RunMode) -> Json {
        self.operate(Operation::Reconcile { integration: self.id(), mode });
        self.world.rows::<Json>("run").pop().unwrap()
    }

    /// Pairs a record with a ticket by its number.
    pub fn attach(&mut self, record: &str, number: &str) -> (u16, Json) {
        self.operate(Operation::Attach {
            integration: self.id(),
            record: firn_model::PlatformId::new(record).unwrap(),
            ticket: firn_model::TicketName::Number(number.to_owned()),
            table: None,
        })
    }

    /// Takes a pair apart.
    pub fn unlink(&mut self, record: &str) -> (u16, Json) {
        let link = self.link(record).id;
        self.operate(Operation::Unlink { integration: self.id(), link })
    }

    /// What the time is.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.world.now
    }

    /// A row as another Firn has left it, due now.
    pub fn left(&mut self, path: &[&str], value: &Json) {
        self.world.left(path, value);
    }

    /// A row is told of as due, whatever became of it.
    pub fn due(&mut self, path: &[&str]) {
        self.world.due_again(path);
        self.settle();
    }

    /// Two rows are due, and two replicas work on one each at the same moment.
    pub fn due_in_two(&mut self, mine: &[&str], theirs: &[&str]) {
        self.world.due_in_two(mine, theirs);
    }

    /// A row goes.
    pub fn lose(&mut self, path: &[&str]) {
        self.world.lose(path);
    }

    /// A copy of the store as it is now, and when that was.
    #[must_use]
    pub fn back_up(&self) -> (Memory, Millis) {
        (self.world.copy_of_store(), self.world.now)
    }

    /// Puts a copy in the place of the store, as `firn restore` does, and lets happen what follows.
    pub fn restore(&mut self, (copy, taken): &(Memory, Millis)) {
        self.world.put_back(copy, *taken);
        self.settle();
    }

    /// What stands in a row.
    #[must_use]
    pub fn stored(&self, path: &[&str]) -> Json {
        self.world.stored(path)
    }

    /// Lets the next answer of ServiceNow to a write get lost.
    pub fn lose_next_answer(&mut self) {
        self.world.lose_next = true;
    }

    /// So many requests find no room in the instance's budget.
    pub fn no_room(&mut self, requests: u32) {
        self.world.no_room = requests;
    }

    // ---- what is ------------------------------------------------------------------------

    /// The integration.
    #[must_use]
    pub fn id(&self) -> IntegrationId {
        self.world.site().integration.id.clone()
    }

    /// The present link of a record.
    #[must_use]
    pub fn link(&self, record: &str) -> Link {
        let mut link = self.world.link_of(record).unwrap_or_else(|| panic!("no link of {record}"));
        while let Some(next) = link.successor.clone() {
            link = self.world.rows::<Link>("link").into_iter().find(|l| l.id == next).unwrap();
        }
        link
    }

    /// Whether a record has a link at all.
    #[must_use]
    pub fn is_linked(&self, record: &str) -> bool {
        self.world.link_of(record).is_some()
    }

    /// The ticket of a record, by its sys_id.
    #[must_use]
    pub fn ticket_of(&self, record: &str) -> String {
        self.link(record).external.expect("a ticket").sys_id.into()
    }

    fn sys_id(&self, ticket: &str) -> String {
        let tickets = &self.world.site().servicenow.tickets;
        if tickets.contains_key(ticket) {
            return ticket.to_owned();
        }
        let by_number = tickets
            .iter()
            .find(|(_, t)| t.columns.get("number").map(String::as_str) == Some(ticket));
        by_number.map_or_else(|| self.ticket_of(ticket), |(id, _)| id.clone())
    }

    /// A column of a ticket (by sys_id, number, or its record).
    #[must_use]
    pub fn column(&self, ticket: &str, column: &str) -> String {
        let id = self.sys_id(ticket);
        self.world.site().servicenow.tickets[&id].columns.get(column).cloned().unwrap_or_default()
    }

    /// When a ticket last changed, as ServiceNow shows it: to the second.
    #[must_use]
    pub fn updated(&self, ticket: &str) -> String {
        let id = self.sys_id(ticket);
        firn_model::servicenow_text(self.world.site().servicenow.tickets[&id].updated)
    }

    /// A field of a record.
    #[must_use]
    pub fn field(&self, record: &str, field: &str) -> String {
        self.world.site().platform.records[record].fields.get(field).cloned().unwrap_or_default()
    }

    /// Whether the platform has a record.
    #[must_use]
    pub fn has_record(&self, record: &str) -> bool {
        self.world.site().platform.records.contains_key(record)
    }

    /// What is said on a record: text and visibility, without its own users' entries.
    #[must_use]
    pub fn mirrored_to_platform(&self, record: &str) -> Vec<(String, String)> {
        let comments = &self.world.site().platform.records[record].comments;
        comments
            .iter()
            .filter(|c| !c.by_user)
            .map(|c| (c.text.clone(), c.visibility.clone()))
            .collect()
    }

    /// What Firn wrote into a ticket's journal: element and text.
    #[must_use]
    pub fn mirrored_to_servicenow(&self, ticket: &str) -> Vec<(String, String)> {
        let id = self.sys_id(ticket);
        let ours = |row: &&JournalRow| row.ticket == id && row.author == US;
        self.world
            .site()
            .servicenow
            .journal
            .iter()
            .filter(ours)
            .map(|r| (r.element.clone(), r.value.clone()))
            .collect()
    }

    /// The platform refuses everything that is posted to it, or takes it again.
    pub fn platform_refuses(&mut self, status: Option<u16>) {
        self.world.site_mut().platform.refuses = status;
    }

    /// Whether findings are taken where they are told.
    pub fn findings_are_taken(&mut self, taken: bool) {
        self.world.site_mut().platform.findings_down = !taken;
    }

    /// What the language model says in turns, before it makes summaries.
    pub fn model_says(&mut self, says: &[ModelSays]) {
        self.world.site_mut().platform.model = says.to_vec();
    }

    /// What the language model was asked.
    #[must_use]
    pub fn asked_of_model(&self) -> Vec<Json> {
        self.world.site().platform.questions.clone()
    }

    /// The articles of the instance: id, columns.
    #[must_use]
    pub fn articles(&self) -> Vec<(String, BTreeMap<String, String>)> {
        let rows = &self.world.site().servicenow.articles.rows;
        rows.iter().map(|(id, article)| (id.clone(), article.columns.clone())).collect()
    }

    /// A person changes an article.
    pub fn article_edit(&mut self, id: &str, column: &str, value: &str) {
        self.world.site_mut().servicenow.articles.edit(id, column, value);
    }

    /// The request that made an article takes effect once more, long after.
    pub fn article_again(&mut self, id: &str) {
        let articles = &mut self.world.site_mut().servicenow.articles;
        let article = articles.rows[id].clone();
        let again = format!("{:032x}", 0xa000_0000_u32 as usize + articles.rows.len());
        articles.rows.insert(again, article);
    }

    /// A column of articles that the user may neither write nor read.
    pub fn articles_lose(&mut self, column: &str) {
        self.world.site_mut().servicenow.articles.loses = Some(column.to_owned());
    }

    /// The instance refuses whatever writes articles, or does no more.
    pub fn articles_are_refused(&mut self, with: Option<u16>) {
        self.world.site_mut().servicenow.articles.refuses = with;
    }

    /// The bodies posted to the address for findings.
    #[must_use]
    pub fn told(&self) -> Vec<Json> {
        self.world.site().platform.findings.clone()
    }

    /// The bodies posted to the platform.
    #[must_use]
    pub fn posted(&self) -> Vec<Json> {
        self.world.site().platform.posted.clone()
    }

    /// Writes to ServiceNow and to the platform so far.
    #[must_use]
    pub fn writes(&self) -> (u64, u64) {
        (self.world.site().servicenow.writes, self.world.site().platform.writes)
    }

    /// The ticket that was made last, by its sys_id.
    #[must_use]
    pub fn newest_ticket(&self) -> String {
        self.world.site().servicenow.tickets.keys().next_back().cloned().expect("a ticket")
    }

    /// How many tickets there are.
    #[must_use]
    pub fn tickets(&self) -> usize {
        self.world.site().servicenow.tickets.len()
    }

    /// Findings of a kind.
    #[must_use]
    pub fn findings(&self, kind: FindingKind) -> Vec<Finding> {
        self.world.rows::<Finding>("finding").into_iter().filter(|f| f.kind == kind).collect()
    }

    /// The audit.
    #[must_use]
    pub fn audit(&self) -> Vec<Audit> {
        let mut lines: Vec<Audit> = self.world.rows("audit");
        lines.sort_by_key(|line| line.at);
        lines
    }

    /// Why a link's values are what they are.
    pub fn explain(&mut self, record: &str) -> Json {
        let link: LinkId = self.link(record).id;
        self.operate(Operation::Explain { integration: self.id(), link }).1
    }

    /// Rows of a kind.
    #[must_use]
    pub fn rows(&self, kind: &str) -> Vec<Json> {
        self.world.rows(kind)
    }
}
