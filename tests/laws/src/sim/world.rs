//! The world of one seed: its clock, and what happens when. `drawn` is what the seed makes of it, `doors` the
//! process that can die, `network` what goes wrong between the sides, `people` what they do.
#![allow(clippy::print_stdout)]

mod doors;
mod drawn;
mod escalations;
mod harder;
mod network;
mod operators;
mod people;
mod terse;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use firn_core::identity;
use firn_driver::Engine;
use firn_model::{
    ActiveRules, Answer, AnswerBody, ArticlePolicy, Change, Configure, Event, Expect, Hook,
    HttpRequest, Inbound, InboundKind, Integration, IntegrationId, Key, Link, MaskStrategy, Millis,
    Operation, PlatformId, Put, Report, Sweep, SysId,
};
use firn_storage::{Memory, Store};

pub(super) use self::doors::Says;
pub(super) use self::doors::SimTokens;
use self::doors::{Dies, Doors, Shared};
use self::escalations::Escalations;
pub(super) use self::escalations::{Wish, escalated};
use self::harder::Harder;
pub(super) use self::harder::harder;
use self::operators::Operators;
pub(super) use self::operators::operated;
pub(super) use self::terse::terse;
use super::Coverage;
use super::platform::{ModelSays, Platform};
use super::servicenow::{Changed, Quirks, ServiceNow};

/// A property that did not hold.
#[derive(Debug)]
pub struct Violation {
    /// The seed that brings it back.
    pub seed: u64,
    /// What did not hold.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

#[derive(Clone)]
enum Message {
    /// ServiceNow's webhook: best effort.
    Webhook { id: u64, body: String },
    /// What the platform tells or asks for: sent again until it is taken.
    Told { kind: InboundKind, body: String },
    /// A request on its way to a side.
    Request { request: Box<HttpRequest>, answer_lost: bool },
    /// One that the process before a restore has sent: nobody waits for its answer.
    Forgotten(Box<HttpRequest>),
    /// A response on its way back.
    Response { ticket: String, body: AnswerBody },
    /// The client gives up.
    Timeout { ticket: String },
}

/// An integration with a platform and a ServiceNow of its own.
pub(crate) struct Site {
    pub(crate) integration: Integration,
    pub(crate) servicenow: ServiceNow,
    pub(crate) platform: Platform,
    /// Records that were once taken apart from their ticket.
    pub(crate) torn: BTreeSet<String>,
    /// Tickets that a record was once on and is not any more.
    pub(crate) left: BTreeSet<String>,
    /// The instance's clock was set meanwhile.
    pub(crate) jumped: bool,
    /// A ticket could not be read for a while.
    pub(crate) hid: bool,
    /// When a backup was last put in the place of the store.
    pub(crate) restored: Option<Millis>,
    /// Writes to the platform whose lines of the audit went with the store.
    pub(crate) unexplained: BTreeSet<String>,
    /// Records whose links went with the store, and of which nobody has told since.
    pub(crate) unheard: BTreeSet<String>,
    /// What was asked for by escalations.
    pub(crate) wishes: Vec<Wish>,
    /// Tickets that were a pair's when a store was put back that knows nothing of it.
    pub(crate) paired: BTreeSet<String>,
}

impl Site {
    pub(crate) fn new(
        integration: Integration,
        servicenow: ServiceNow,
        platform: Platform,
    ) -> Site {
        Site {
            integration,
            servicenow,
            platform,
            torn: BTreeSet::new(),
            left: BTreeSet::new(),
            jumped: false,
            hid: false,
            restored: None,
            unexplained: BTreeSet::new(),
            unheard: BTreeSet::new(),
            wishes: Vec::new(),
            paired: BTreeSet::new(),
        }
    }
}

pub(crate) struct World {
    pub(crate) seed: u64,
    verbose: bool,
    rng: fastrand::Rng,
    pub(crate) now: Millis,
    shared: Rc<Shared>,
    engine: Engine<Doors>,
    /// What shares the store and the process.
    pub(crate) sites: Vec<Site>,
    /// The site where something happens at the moment.
    pub(crate) at: usize,
    queue: BTreeMap<(Millis, u64), (usize, Message)>,
    messages: u64,
    requests: u64,
    /// Requests of the living process that have no answer yet.
    pending: BTreeSet<String>,
    /// What the platform told or asked for, and awaits an acknowledgement of: by request number, and of which site.
    unacknowledged: BTreeMap<u64, (usize, InboundKind, String)>,
    pub(crate) coverage: Coverage,
    faults: bool,
    /// Of a hundred webhooks so many are lost.
    webhooks_lost: u32,
    /// When something happened last that is no sweep's.
    stirred: Millis,
    pub(crate) edits: u64,
    /// Last notes that were written of what was learnt.
    pub(crate) learnt: u64,
    pub(crate) fired: u64,
    tokens: u64,
    /// The next answer of ServiceNow to a write is lost.
    pub(crate) lose_next: bool,
    /// So many requests find no room in the instance's budget.
    pub(crate) no_room: u32,
    /// The answers to what was asked last.
    replies: BTreeMap<u64, (u16, String)>,
    /// What only some seeds have.
    harder: Option<Harder>,
    /// What operators do in some seeds.
    operators: Option<Operators>,
    /// A bot that hands conversations over, in some seeds.
    escalations: Option<Escalations>,
    /// A ticket that is or was a pair's is about to be closed as a duplicate.
    closes_a_pair: Option<String>,
}

const TIMEOUT: u64 = 1_000;
const TRANSACTION_LIMIT: u64 = 4_000;

impl World {
    pub(crate) fn new(seed: u64, verbose: bool) -> World {
        let mut rng = fastrand::Rng::with_seed(seed);
        let start = Millis(1_777_472_000_000);
        let shared = Rc::new(Shared {
            store: Memory::new(),
            now: Cell::new(start),
            requests: RefCell::new(Vec::new()),
            dies: Cell::new(None),
            died: Cell::new(false),
            batch: RefCell::new(Vec::new()),
            beside: RefCell::new(None),
            others: RefCell::new(Vec::new()),
            asked: Cell::new((0, 0)),
            rules_fail: Cell::new(true),
            rules: RefCell::new(None),
        });
        let mut sites = vec![drawn::site(&mut rng, 0, "acme")];
        // One customer in four has a second integration, or there is a second customer.
        match rng.u32(0..8) {
            0 => sites.push(drawn::site(&mut rng, 1, "acme")),
            1 => sites.push(drawn::site(&mut rng, 1, "globex")),
            _ => {}
        }
        let escalations = Escalations::of(seed, &mut sites);
        // One seed in eight has tokens stand for masked values.
        for site in sites.iter_mut().filter(|_| seed % 8 == 7) {
            site.integration.settings.masking.strategy = MaskStrategy::Token;
        }
        // In one of eight something is learnt from tickets that are resolved.
        for site in sites.iter_mut().filter(|_| seed % 8 == 6) {
            let learning = &mut site.integration.settings.learning;
            (learning.enabled, learning.delay, learning.write_back) = (true, 3_000, true);
            // Of these half make drafts of articles, and half ask a language model, which is not always of use.
            if seed % 16 == 6 {
                let knowledge_base = SysId::new("0".repeat(32)).ok();
                learning.articles = knowledge_base
                    .map(|knowledge_base| ArticlePolicy { knowledge_base, category: None });
            }
            if seed % 32 < 16 {
                learning.summary_model = Some("sim".to_owned());
                site.integration.platform.model_url = Some("https://models.example/v1".to_owned());
                let junk = || ModelSays::Text("I am sorry".to_owned());
                site.platform.model =
                    [ModelSays::Status(503), junk(), junk(), ModelSays::Status(401)]
                        .into_iter()
                        .cycle()
                        .skip(seed as usize / 32 % 4)
                        .take(3)
                        .collect();
            }
        }
        // In one seed of five the customers have rules of their own.
        for site in sites.iter_mut().filter(|_| seed % 5 == 2) {
            site.integration.rules = Some(ActiveRules {
                version: 1,
                digest: seed.to_string(),
                hooks: Hook::ALL.into_iter().collect(),
            });
        }
        let harder = Harder::of(seed, &mut sites);
        terse::of(seed, &mut sites);
        let webhooks_lost = [0, 15, 15, 15, 50, 100][rng.usize(0..6)];
        World {
            seed,
            verbose,
            webhooks_lost,
            stirred: start,
            rng,
            now: start,
            engine: Engine::new(Doors(Rc::clone(&shared))),
            shared,
            sites,
            at: 0,
            queue: BTreeMap::new(),
            messages: 0,
            requests: 0,
            pending: BTreeSet::new(),
            unacknowledged: BTreeMap::new(),
            coverage: Coverage::new(),
            faults: true,
            edits: 0,
            learnt: 0,
            fired: 0,
            tokens: 0,
            lose_next: false,
            no_room: 0,
            replies: BTreeMap::new(),
            harder,
            operators: Operators::of(seed),
            escalations,
            closes_a_pair: None,
        }
    }

    /// A world in which nothing happens but what is told.
    pub(crate) fn told(integration: Integration) -> World {
        let mut world = World::new(0, false);
        world.faults = false;
        let servicenow = ServiceNow::new(&integration.settings, Quirks::default());
        world.sites = vec![Site::new(integration, servicenow, Platform::default())];
        world
    }

    pub(super) fn rules_say(&mut self, says: Says) {
        *self.shared.rules.borrow_mut() = Some(says);
    }

    pub(crate) fn site(&self) -> &Site {
        &self.sites[self.at]
    }

    pub(crate) fn site_mut(&mut self) -> &mut Site {
        &mut self.sites[self.at]
    }

    fn site_of(&self, integration: &IntegrationId) -> usize {
        self.sites.iter().position(|site| site.integration.id == *integration).unwrap_or(0)
    }

    pub(crate) fn ask(&mut self, operation: Operation) -> (u16, serde_json::Value) {
        self.operate(operation);
        self.last_reply()
    }

    /// A row as another Firn has left it, due now.
    pub(crate) fn left(&mut self, path: &[&str], value: &serde_json::Value) {
        let key = Key::new(&self.site().integration.tenant, path);
        // Settings and indexes are never due.
        let due = (!matches!(path[0], "integration" | "external")).then_some(self.now);
        let put = Some(Put { value: value.to_string(), due });
        let kept = self.shared.store.commit(&[Change { key, expect: Expect::Any, put }]);
        assert!(kept.is_ok(), "{kept:?}");
    }

    /// A row is told of as due, whatever became of it.
    pub(crate) fn due_again(&mut self, path: &[&str]) {
        let key = Key::new(&self.site().integration.tenant, path);
        self.shared.now.set(self.now);
        self.handle(vec![Event::Due(key)]);
    }

    /// Two rows are due, and two replicas work on one each at the same moment.
    pub(crate) fn due_in_two(&mut self, mine: &[&str], theirs: &[&str]) {
        let tenant = self.site().integration.tenant.clone();
        let due = |path| vec![Event::Due(Key::new(&tenant, path))];
        self.shared.now.set(self.now);
        self.shared.beside.replace(Some(due(theirs)));
        self.shared.dies.set(Some(Dies::Overtaken));
        self.handle(due(mine));
    }

    pub(crate) fn lose(&mut self, path: &[&str]) {
        let key = Key::new(&self.site().integration.tenant, path);
        let gone = self.shared.store.commit(&[Change { key, expect: Expect::Any, put: None }]);
        assert!(gone.is_ok(), "{gone:?}");
    }

    pub(crate) fn stored(&self, path: &[&str]) -> serde_json::Value {
        let key = Key::new(&self.site().integration.tenant, path);
        let row = self.shared.store.get(&[key]).ok().and_then(|mut rows| rows.pop().flatten());
        row.and_then(|row| serde_json::from_str(&row.value).ok()).unwrap_or_default()
    }

    fn last_reply(&mut self) -> (u16, serde_json::Value) {
        let reply = std::mem::take(&mut self.replies).into_values().next_back();
        let (status, body) = reply.unwrap_or_default();
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    pub(crate) fn deliver_event(&mut self, body: String) {
        self.send_told(InboundKind::PlatformEvent, body, 0);
    }

    pub(crate) fn deliver_webhook(&mut self, changed: &Changed) {
        let body = match changed {
            Changed::Ticket(id) => self.sites[self.at].servicenow.webhook(id, 2),
            Changed::Journal(row) => Some(ServiceNow::journal_webhook(row)),
        };
        if let Some(body) = body {
            self.messages += 1;
            let id = self.messages;
            self.post(1, Message::Webhook { id, body });
        }
    }

    pub(crate) fn send_webhook(&mut self, body: String) -> (u16, serde_json::Value) {
        self.messages += 1;
        let id = self.messages;
        self.shared.now.set(self.now);
        let event = self.arrive(Message::Webhook { id, body });
        self.handle(event.into_iter().collect());
        self.last_reply()
    }

    pub(crate) fn escalate(&mut self, body: String) -> (u16, serde_json::Value) {
        self.shared.now.set(self.now);
        let event = self.inbound(InboundKind::Escalation, body, Vec::new());
        self.handle(vec![event]);
        self.last_reply()
    }

    /// Lets everything arrive and happen that does so within a minute.
    pub(crate) fn settle(&mut self) {
        let horizon = self.now.plus(60_000);
        while self.next().is_some_and(|next| next <= horizon) {
            self.advance();
        }
    }

    pub(crate) fn let_pass(&mut self, ms: u64) {
        self.pass(ms);
    }

    pub(crate) fn run(mut self) -> Result<Coverage, Violation> {
        for at in 0..self.sites.len() {
            self.at = at;
            self.configure();
        }
        let steps = self.rng.u32(100..140);
        for _ in 0..steps {
            self.at = self.rng.usize(0..self.with_records());
            self.step();
            self.one_ticket_per_key()?;
            self.only_duplicates_are_closed()?;
        }
        self.seldom_is_over();
        self.operators_are_done();
        self.faults = false;
        self.shared.rules_fail.set(false);
        self.stirred = self.now; // The last edit may be a moment old.
        self.until_quiet()?;
        self.all_dead_again();
        self.until_quiet()?;
        for at in 0..self.sites.len() {
            self.at = at;
            super::check::caught_up(&self)?;
        }
        self.met("sweep: caught up");
        let (asked, failed) = self.shared.asked.get();
        if asked > failed {
            self.met("rules: asked");
        }
        if failed > 0 {
            self.met("fault: rules failed");
        }
        for _ in 0..2 {
            for at in 0..self.sites.len() {
                self.at = at;
                self.reconcile();
            }
            self.until_quiet()?;
        }
        self.one_ticket_per_key()?;
        let writes = self.writes();
        self.a_day_later();
        self.now = self.now.plus(3_600_000);
        self.until_quiet()?;
        if self.writes() != writes {
            return Err(self.violation("quiet: it wrote again in an hour without edits".to_owned()));
        }
        self.only_duplicates_are_closed()?;
        super::check::check(&mut self)?;
        Ok(self.coverage)
    }

    fn configure(&mut self) {
        let integration = &self.site().integration;
        let given = Configure {
            id: integration.id.clone(),
            create: true,
            slug: None,
            name: None,
            base_url: Some(integration.base_url.clone()),
            platform: Some(integration.platform.clone()),
            enabled: None,
            preset: Some(integration.settings.preset),
            settings: serde_json::to_value(&integration.settings).unwrap_or_default(),
        };
        let (id, rules) = (integration.id.clone(), integration.rules.clone());
        let (status, body) = self.ask(Operation::Configure { integration: Box::new(given) });
        assert!(status < 300, "{body}");
        if rules.is_some() {
            self.operate(Operation::Activate { integration: id, rules });
        }
    }

    pub(crate) fn writes(&self) -> u64 {
        self.sites.iter().map(|site| site.servicenow.writes + site.platform.writes).sum()
    }

    pub(crate) fn violation(&self, what: String) -> Violation {
        Violation { seed: self.seed, what }
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            println!("{:>9} {}", self.now.0 - 1_777_472_000_000, text());
        }
    }

    pub(crate) fn met(&mut self, what: &'static str) {
        *self.coverage.entry(what).or_default() += 1;
        if what.starts_with("fault") {
            self.fired += 1;
        }
        self.say(|| what.to_owned());
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.faults && self.rng.u32(0..100) < percent
    }

    pub(crate) fn rows<T: serde::de::DeserializeOwned>(&self, kind: &str) -> Vec<T> {
        let prefix = format!("{kind}/{}/", self.site().integration.id);
        let rows = self
            .shared
            .store
            .scan(&self.sites[self.at].integration.tenant, &prefix, None, 10_000)
            .unwrap_or_default();
        rows.iter().filter_map(|row| serde_json::from_str(&row.value).ok()).collect()
    }

    // ---- one step ------------------------------------------------------------------------

    fn step(&mut self) {
        match self.rng.u32(0..100) {
            0..=13 => self.edit_platform(),
            14..=25 => self.edit_external(),
            26..=30 => self.edit_both(),
            31..=34 => self.comment(),
            35..=36 => self.resolve(),
            37 => self.reconcile(),
            38..=41 => {
                let dies = [
                    Dies::BeforeCommit,
                    Dies::AfterCommit,
                    Dies::StoreFails,
                    Dies::CommitUnknown,
                    Dies::Overtaken,
                ];
                self.shared.dies.set(Some(dies[self.rng.usize(0..dies.len())]));
            }
            42..=45 => {
                let ms = self.rng.u64(0..8_000);
                self.pass(ms);
            }
            46 => self.upheaval(),
            _ => {}
        }
        self.seldom();
        self.operator_acts();
        self.bot_acts();
        self.advance();
    }

    /// Lets time pass, and happen what happens meanwhile.
    fn pass(&mut self, ms: u64) {
        let (until, here) = (self.now.plus(ms), self.at);
        while let Some(next) = self.next().filter(|next| *next <= until) {
            self.now = self.now.max(next); // However long nothing happened.
            self.advance();
        }
        self.now = self.now.max(until);
        self.at = here;
    }

    /// When something arrives or is due next.
    fn next(&self) -> Option<Millis> {
        let arrival = self.queue.keys().next().map(|(at, _)| *at);
        let due = self.shared.store.next_due().ok().flatten();
        arrival.into_iter().chain(due).min()
    }

    /// Takes what is next: messages that arrive and rows that are due, some at once.
    fn advance(&mut self) {
        let Some(next) = self.next() else { return };
        if next.since(self.now) > 600_000 {
            return;
        }
        self.now = self.now.max(next);
        self.shared.now.set(self.now);
        let mut batch = Vec::new();
        let size = self.rng.usize(1..4);
        while batch.len() < size {
            let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= self.now) else {
                break;
            };
            let (at, message) = entry.remove();
            self.at = at;
            batch.extend(self.arrive(message));
        }
        let due = self.shared.store.due(self.now, 3).unwrap_or_default();
        batch.extend(due.into_iter().map(|(key, _)| Event::Due(key)));
        if !batch.is_empty() {
            self.handle(batch);
        }
    }

    fn handle(&mut self, batch: Vec<Event>) {
        self.say(|| {
            format!("handle {}", batch.iter().map(describe).collect::<Vec<_>>().join(", "))
        });
        let sweeps = |event: &Event| match event {
            Event::Due(key) => is_sweep(&key.path),
            Event::Answer(answer) => is_sweep(&answer.ticket),
            Event::Inbound(_) | Event::Operate { .. } => false,
        };
        if !batch.iter().all(sweeps) {
            self.stirred = self.now;
        }
        let planned = self.shared.dies.get();
        self.shared.batch.replace(batch.clone());
        let mut reports = self.engine.handle(&batch);
        // Whoever asked is answered by one of them: the one that took it, if any did.
        let others = self.shared.others.take();
        reports.extend(others);
        let requests: Vec<HttpRequest> = self.shared.requests.take();
        if planned.is_some() && self.shared.dies.get().is_none() {
            match planned {
                Some(Dies::BeforeCommit) => self.met("fault: crash before commit"),
                Some(Dies::AfterCommit) => self.met("fault: crash after commit"),
                Some(Dies::CommitUnknown) => self.met("fault: commit answer lost"),
                Some(Dies::Overtaken) => self.met("fault: another replica is first"),
                _ => self.met("fault: store failed"),
            }
        }
        if self.shared.died.take() {
            // The process is gone, with its requests, its connections and what it would have said.
            self.engine = Engine::new(Doors(Rc::clone(&self.shared)));
            self.pending.clear();
            self.tell_again();
            return;
        }
        for report in reports {
            let Report::Reply { request, reply } = report else { continue };
            self.replies.insert(request, (reply.status, reply.body.clone()));
            let Some((at, kind, body)) = self.unacknowledged.remove(&request) else { continue };
            if reply.status == 410 && kind == InboundKind::Escalation {
                // Nothing will come of it, and the bot is told so.
                self.met("escalation: gone");
            } else if reply.status >= 400 {
                self.at = at;
                self.send_told(kind, body, 1_000);
            } else if kind == InboundKind::Escalation {
                self.at = at;
                self.granted(&body, &reply.body);
            }
        }
        for request in requests {
            self.at = self.site_of(&request.integration);
            self.send_request(request);
        }
    }

    fn operate(&mut self, operation: Operation) {
        let event = self.operation(operation);
        self.shared.now.set(self.now);
        self.handle(vec![event]);
    }

    /// An operator's request, in one batch with everything that is due.
    pub(crate) fn operate_beside_work(&mut self, operation: Operation) -> (u16, serde_json::Value) {
        let event = self.operation(operation);
        self.shared.now.set(self.now);
        let due = self.shared.store.due(self.now, u32::MAX).unwrap_or_default();
        let due = due.into_iter().map(|(key, _)| Event::Due(key));
        self.handle(std::iter::once(event).chain(due).collect());
        self.last_reply()
    }

    fn operation(&mut self, operation: Operation) -> Event {
        self.requests += 1;
        Event::Operate {
            request: self.requests,
            tenant: self.sites[self.at].integration.tenant.clone(),
            operation,
            by: "operator".to_owned(),
        }
    }

    fn post(&mut self, delay: u64, message: Message) {
        self.messages += 1;
        self.queue.insert((self.now.plus(delay), self.messages), (self.at, message));
    }

    // ---- the network ---------------------------------------------------------------------

    fn arrive(&mut self, message: Message) -> Option<Event> {
        match message {
            Message::Webhook { id, body } => Some(self.inbound(
                InboundKind::Webhook,
                body,
                vec![
                    ("webhook-id".to_owned(), format!("w{id}")),
                    ("webhook-timestamp".to_owned(), (self.now.0 / 1000).to_string()),
                    ("webhook-signature".to_owned(), "v1,good".to_owned()),
                ],
            )),
            Message::Told { kind, body } => {
                self.unacknowledged.insert(self.requests + 1, (self.at, kind, body.clone()));
                Some(self.inbound(kind, body, Vec::new()))
            }
            Message::Request { request, answer_lost } => {
                self.execute(&request, answer_lost);
                None
            }
            Message::Forgotten(request) => {
                self.execute_forgotten(&request);
                None
            }
            Message::Response { ticket, body } => self.answered(ticket, body),
            Message::Timeout { ticket } => {
                self.answered(ticket, AnswerBody::Lost("timeout".to_owned()))
            }
        }
    }

    fn inbound(
        &mut self,
        kind: InboundKind,
        body: String,
        headers: Vec<(String, String)>,
    ) -> Event {
        self.requests += 1;
        Event::Inbound(Inbound {
            request: self.requests,
            tenant: self.sites[self.at].integration.tenant.clone(),
            integration: self.sites[self.at].integration.id.clone(),
            kind,
            headers,
            body,
            like: Vec::new(),
        })
    }

    fn answered(&mut self, ticket: String, body: AnswerBody) -> Option<Event> {
        self.pending.remove(&ticket).then(|| {
            Event::Answer(Answer {
                ticket,
                tenant: self.sites[self.at].integration.tenant.clone(),
                integration: self.sites[self.at].integration.id.clone(),
                body,
            })
        })
    }

    // ---- the end -------------------------------------------------------------------------

    /// Rows of a tenant hold nothing of another's.
    pub(crate) fn tenants_apart(&self) -> Result<(), Violation> {
        for site in &self.sites {
            let rows = self.shared.store.scan(&site.integration.tenant, "", None, u32::MAX);
            let others = self
                .sites
                .iter()
                .enumerate()
                .filter(|(_, other)| other.integration.tenant != site.integration.tenant);
            for (n, other) in others {
                let marks = [format!("token{n}x"), other.integration.id.to_string()];
                let strange = rows.iter().flatten().find(|row| {
                    marks.iter().any(|mark| row.value.contains(mark) || row.key.path.contains(mark))
                });
                if let Some(row) = strange {
                    let (tenant, path) = (&site.integration.tenant, &row.key.path);
                    return Err(self.violation(format!("apart: {path} of {tenant} tells of {n}")));
                }
            }
        }
        Ok(())
    }

    /// Whether nothing is left to happen but sweeps, which never end, and each has seen everything.
    fn only_sweeps(&self, horizon: Millis) -> bool {
        let queued = self.queue.values().all(|(_, message)| match message {
            Message::Request { request, .. } => is_sweep(&request.ticket),
            Message::Response { ticket, .. } | Message::Timeout { ticket } => is_sweep(ticket),
            Message::Webhook { .. } | Message::Told { .. } | Message::Forgotten(_) => false,
        });
        let due = self.shared.store.due(horizon, u32::MAX).unwrap_or_default();
        let caught_up = |site: &Site| {
            let prefix = format!("sweep/{}/", site.integration.id);
            let rows = self.shared.store.scan(&site.integration.tenant, &prefix, None, u32::MAX);
            rows.unwrap_or_default().iter().all(|row| {
                let sweep: Result<Sweep, _> = serde_json::from_str(&row.value);
                sweep.is_ok_and(|sweep| sweep.caught_up > Some(self.stirred))
            })
        };
        queued && due.iter().all(|(key, _)| is_sweep(&key.path)) && self.sites.iter().all(caught_up)
    }

    /// Lets everything arrive and everything due happen, until nothing is left to do.
    pub(crate) fn until_quiet(&mut self) -> Result<(), Violation> {
        let horizon = self.now.plus(3_600_000);
        for _ in 0..20_000 {
            let Some(next) = self.next() else { return Ok(()) };
            if next > horizon || self.only_sweeps(horizon) {
                return Ok(());
            }
            self.advance();
        }
        for link in self.rows::<Link>("link") {
            self.say(|| format!("{link:#?}"));
        }
        Err(self.violation("quiet: it never comes to rest".to_owned()))
    }

    fn only_duplicates_are_closed(&self) -> Result<(), Violation> {
        self.closes_a_pair.as_ref().map_or(Ok(()), |ticket| {
            Err(self.violation(format!(
                "duplicates: {ticket} is or was a pair's, and is closed as one"
            )))
        })
    }

    fn one_ticket_per_key(&self) -> Result<(), Violation> {
        for site in &self.sites {
            let mut keys = BTreeSet::new();
            if !site.servicenow.unique {
                continue; // Looked at once all is quiet: see `check`.
            }
            for ticket in site.servicenow.tickets.values() {
                let key = &ticket.columns["correlation_id"];
                if !key.is_empty() && !keys.insert(key) {
                    return Err(self.violation(format!("two tickets for {key}")));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn link_of(&self, record: &str) -> Option<Link> {
        let id = identity::link_id(
            &self.sites[self.at].integration.id,
            &PlatformId::new(record).ok()?,
            1,
        );
        self.rows::<Link>("link").into_iter().find(|link| link.id == id)
    }
}

fn is_sweep(path: &str) -> bool {
    path.starts_with("sweep/")
}

fn describe(event: &Event) -> String {
    match event {
        Event::Inbound(i) => format!("{:?} {}", i.kind, i.body),
        Event::Operate { operation, .. } => format!("{operation:?}").chars().take(60).collect(),
        Event::Due(key) => format!("due {}", key.path),
        Event::Answer(a) => match &a.body {
            AnswerBody::Response(r) => format!("answer {} {} {}", a.ticket, r.status, r.body),
            other => format!("answer {} {other:?}", a.ticket),
        },
    }
}
