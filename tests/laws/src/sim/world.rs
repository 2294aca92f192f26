//! The world of one seed: clock, network, faults, and the process that can die.
#![allow(clippy::print_stdout)]

mod people;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use firn_core::{identity, preset};
use firn_driver::{Clock, Engine, Http, Log, Scheme, Secrets, Signature, Storage, Tokens};
use firn_model::{
    Answer, AnswerBody, Change, CommitError, Configure, CorrelationMode, Event, HttpRequest,
    HttpResponse, Inbound, InboundKind, Integration, IntegrationId, Key, Link, MaskStrategy,
    Method, Millis, OffOwner, Operation, Owner, PlatformContract, PlatformId, Polling, Preset,
    Remote, Report, Row, Strategy, Sweep, TableName, TenantId, TicketType,
};
use firn_storage::{Memory, Store};

use super::Coverage;
use super::platform::Platform;
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

/// What goes wrong around the next commit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dies {
    BeforeCommit,
    AfterCommit,
    /// Nothing is stored.
    StoreFails,
    /// It is stored, and the answer that says so is lost.
    CommitUnknown,
    /// Another replica handles the same events, and is first.
    Overtaken,
}

/// What the doors of one process lead to; the store outlives it.
struct Shared {
    store: Memory,
    now: Cell<Millis>,
    requests: RefCell<Vec<HttpRequest>>,
    dies: Cell<Option<Dies>>,
    died: Cell<bool>,
    /// The events that are being handled, for the other replica.
    batch: RefCell<Vec<Event>>,
    /// What the other replica said.
    others: RefCell<Vec<Report>>,
}

#[derive(Clone)]
struct Doors(Rc<Shared>);

impl Storage for Doors {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, CommitError> {
        self.0.store.get(keys)
    }
    fn scan(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Row>, CommitError> {
        self.0.store.scan(tenant, prefix, after, limit)
    }
    fn commit(&self, changes: &[Change]) -> Result<(), CommitError> {
        match self.0.dies.take() {
            None => self.0.store.commit(changes),
            Some(Dies::StoreFails) => Err(CommitError::Failed("disk full".to_owned())),
            Some(Dies::CommitUnknown) => {
                self.0.store.commit(changes)?;
                Err(CommitError::Failed("the connection was lost".to_owned()))
            }
            Some(Dies::Overtaken) => {
                let batch = self.0.batch.borrow().clone();
                let reports = Engine::new(self.clone()).handle(&batch);
                self.0.others.borrow_mut().extend(reports);
                self.0.store.commit(changes)
            }
            Some(Dies::BeforeCommit) => {
                self.0.died.set(true);
                Err(CommitError::Failed("died".to_owned()))
            }
            Some(Dies::AfterCommit) => {
                self.0.died.set(true);
                self.0.store.commit(changes)
            }
        }
    }
}
impl Http for Doors {
    fn submit(&self, request: HttpRequest) {
        self.0.requests.borrow_mut().push(request);
    }
}
impl Clock for Doors {
    fn now(&self) -> Millis {
        self.0.now.get()
    }
}
impl Secrets for Doors {
    fn verify(
        &self,
        _: &TenantId,
        _: &IntegrationId,
        _: Scheme,
        _: &str,
        signatures: &[String],
    ) -> Signature {
        if signatures == ["good"] { Signature::Valid } else { Signature::Invalid }
    }
    fn tokens(&self, tenant: &TenantId) -> Arc<dyn Tokens> {
        Arc::new(SimTokens(tenant.clone()))
    }
}

/// Stable, of its tenant, and not to be mistaken for the value.
#[derive(Debug)]
pub(super) struct SimTokens(pub(super) TenantId);

impl Tokens for SimTokens {
    fn token(&self, kind: &str, canonical: &str) -> Option<String> {
        let digest = firn_core::identity::digest(&[self.0.as_str(), kind, canonical]);
        Some(digest.bytes().map(|b| char::from(b'a' + b % 16)).take(16).collect())
    }
}
impl Log for Doors {
    fn line(&self, _: &str) {}
}

#[derive(Clone)]
enum Message {
    /// ServiceNow's webhook: best effort.
    Webhook { id: u64, body: String },
    /// The platform's event: sent again until it is taken.
    Event { body: String },
    /// A request on its way to a side.
    Request { request: Box<HttpRequest>, answer_lost: bool },
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
    /// Events whose acknowledgement is awaited, by request number.
    unacknowledged: BTreeMap<u64, (usize, String)>,
    pub(crate) coverage: Coverage,
    faults: bool,
    /// Of a hundred webhooks so many are lost.
    webhooks_lost: u32,
    /// When something happened last that is no sweep's.
    stirred: Millis,
    pub(crate) edits: u64,
    pub(crate) fired: u64,
    tokens: u64,
    /// The next answer of ServiceNow to a write is lost.
    pub(crate) lose_next: bool,
    /// So many requests find no room in the instance's budget.
    pub(crate) no_room: u32,
    /// The answers to what was asked last.
    replies: BTreeMap<u64, (u16, String)>,
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
            others: RefCell::new(Vec::new()),
        });
        let mut sites = vec![site(&mut rng, 0, "acme")];
        // One customer in four has a second integration, or there is a second customer.
        match rng.u32(0..8) {
            0 => sites.push(site(&mut rng, 1, "acme")),
            1 => sites.push(site(&mut rng, 1, "globex")),
            _ => {}
        }
        // One seed in eight has tokens stand for masked values.
        for site in sites.iter_mut().filter(|_| seed % 8 == 7) {
            site.integration.settings.masking.strategy = MaskStrategy::Token;
        }
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
            fired: 0,
            tokens: 0,
            lose_next: false,
            no_room: 0,
            replies: BTreeMap::new(),
        }
    }

    /// A world in which nothing happens but what is told.
    pub(crate) fn told(integration: Integration) -> World {
        let mut world = World::new(0, false);
        world.faults = false;
        world.sites = vec![Site {
            servicenow: ServiceNow::new(&integration.settings, Quirks::default()),
            platform: Platform::default(),
            torn: BTreeSet::new(),
            left: BTreeSet::new(),
            integration,
        }];
        world
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

    fn last_reply(&mut self) -> (u16, serde_json::Value) {
        let reply = std::mem::take(&mut self.replies).into_values().next_back();
        let (status, body) = reply.unwrap_or_default();
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    pub(crate) fn deliver_event(&mut self, body: String) {
        self.send_event(body, 0);
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
            self.at = self.rng.usize(0..self.sites.len());
            self.step();
            self.one_ticket_per_key()?;
        }
        self.faults = false;
        self.stirred = self.now; // The last edit may be a moment old.
        self.until_quiet()?;
        for at in 0..self.sites.len() {
            self.at = at;
            super::check::caught_up(&self)?;
        }
        self.met("sweep: caught up");
        for _ in 0..2 {
            for at in 0..self.sites.len() {
                self.at = at;
                self.reconcile();
            }
            self.until_quiet()?;
        }
        self.one_ticket_per_key()?;
        let writes = self.writes();
        self.now = self.now.plus(3_600_000);
        self.until_quiet()?;
        if self.writes() != writes {
            return Err(self.violation("quiet: it wrote again in an hour without edits".to_owned()));
        }
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
            base_url: None,
            platform: Some(integration.platform.clone()),
            enabled: None,
            preset: None,
            settings: serde_json::to_value(&integration.settings).unwrap_or_default(),
        };
        self.operate(Operation::Configure { integration: Box::new(given) });
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
        self.advance();
    }

    /// Lets time pass, and happen what happens meanwhile.
    fn pass(&mut self, ms: u64) {
        let (until, here) = (self.now.plus(ms), self.at);
        while self.next().is_some_and(|next| next <= until) {
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
            let lost: Vec<(usize, String)> =
                std::mem::take(&mut self.unacknowledged).into_values().collect();
            for (at, body) in lost {
                self.at = at;
                self.send_event(body, 1_000);
            }
            return;
        }
        for report in reports {
            let Report::Reply { request, reply } = report else { continue };
            self.replies.insert(request, (reply.status, reply.body.clone()));
            if let Some((at, body)) = self.unacknowledged.remove(&request)
                && reply.status >= 400
            {
                self.at = at;
                self.send_event(body, 1_000);
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
            Message::Event { body } => {
                self.unacknowledged.insert(self.requests + 1, (self.at, body.clone()));
                Some(self.inbound(InboundKind::PlatformEvent, body, Vec::new()))
            }
            Message::Request { request, answer_lost } => {
                self.execute(&request, answer_lost);
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

    fn send_request(&mut self, request: HttpRequest) {
        let ticket = request.ticket.clone();
        self.pending.insert(ticket.clone());
        self.post(TIMEOUT, Message::Timeout { ticket: ticket.clone() });
        let refuse = |status, headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            AnswerBody::Response(HttpResponse { status, headers, body: "<html>".to_owned() })
        };
        if self.no_room > 0 {
            self.no_room -= 1;
            self.post(0, Message::Response { ticket, body: AnswerBody::Busy(1_000) });
            return;
        }
        let mut delay = self.rng.u64(5..120);
        let mut answer_lost = false;
        if self.chance(14) {
            let (what, answer) = match self.rng.u32(0..7) {
                // By the clock: another draw would make other worlds of all known seeds.
                0 => match self.now.0 % 4 {
                    0 => ("fault: no turn in the budget", Some(AnswerBody::Busy(1_500))),
                    1 => ("fault: left alone", Some(AnswerBody::Silent(2_500))),
                    _ => (
                        "fault: connection refused",
                        Some(AnswerBody::NotSent("refused".to_owned())),
                    ),
                },
                1 => ("fault: 503", Some(refuse(503, &[]))),
                2 => {
                    let waits = ["2", "-5", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", ""];
                    let wait = waits[self.rng.usize(0..waits.len())];
                    ("fault: 429", Some(refuse(429, &[("retry-after", wait)])))
                }
                3 => ("fault: 401", Some(refuse(401, &[]))),
                4 => {
                    self.met("fault: request lost");
                    return;
                }
                5 => {
                    // Overdue, and executed all the same: at most until the transaction limit.
                    delay = self.rng.u64(TIMEOUT..TRANSACTION_LIMIT - 200);
                    // A create even beyond it, where nothing is promised about that.
                    let create = request.remote == Remote::Servicenow
                        && request.method == Method::Post
                        && !self.site().servicenow.unique;
                    if create && self.rng.bool() {
                        delay = self.rng.u64(TRANSACTION_LIMIT..3 * TRANSACTION_LIMIT);
                        ("fault: commit beyond the limit", None)
                    } else {
                        ("fault: late commit", None)
                    }
                }
                _ => {
                    answer_lost = true;
                    ("fault: answer lost after effect", None)
                }
            };
            self.met(what);
            if let Some(body) = answer {
                self.post(delay, Message::Response { ticket, body });
                return;
            }
        }
        self.post(delay, Message::Request { request: Box::new(request), answer_lost });
    }

    fn execute(&mut self, request: &HttpRequest, answer_lost: bool) {
        self.say(|| {
            format!(
                "execute {:?} {:?} {} {}",
                request.remote,
                request.method,
                request.path,
                request.body.as_deref().unwrap_or("")
            )
        });
        let mut body = if request.remote == Remote::Servicenow {
            if request.method == Method::Patch && self.chance(6) {
                self.met("edit: external between read and write");
                if let Some(id) = request.path.rsplit('/').next().map(str::to_owned) {
                    self.edit_ticket(&id);
                }
            }
            if is_sweep(&request.ticket)
                && request.query.iter().any(|(_, v)| v.starts_with("sys_idIN"))
            {
                self.met("sweep: a ticket read");
            }
            let (response, changed) = self.sites[self.at].servicenow.serve(request, self.now);
            for changed in changed {
                self.tell(changed);
            }
            response
        } else {
            let (response, events) = self.sites[self.at].platform.serve(request, self.now);
            if response.status == 409 {
                self.met("outcome: moved");
            }
            for event in events {
                self.send_event(event, 0);
            }
            response
        };
        if request.method != Method::Get && self.chance(3) {
            self.met("fault: 500 after commit");
            body = HttpResponse { status: 500, headers: Vec::new(), body: String::new() };
        }
        if self.chance(2) {
            self.met("fault: unusable answer");
            body.status = 200;
            let one = request.method != Method::Post && body.body.starts_with("{\"result\":{");
            body.body = match self.rng.u32(0..if one { 4 } else { 3 }) {
                0 => "<html>maintenance</html>".to_owned(),
                1 => String::new(),
                2 => body.body.chars().take(body.body.len() / 2).collect(),
                _ => body.body.replace("\"sys_id\":\"0", "\"sys_id\":\"f"),
            };
        }
        let lost_on_demand = request.remote == Remote::Servicenow
            && request.method != Method::Get
            && std::mem::take(&mut self.lose_next);
        if !answer_lost && !lost_on_demand {
            let delay = self.rng.u64(1..60);
            let message = Message::Response {
                ticket: request.ticket.clone(),
                body: AnswerBody::Response(body),
            };
            self.post(delay, message);
        }
    }

    /// ServiceNow tells of a change: once, never, twice, late, or with an older payload.
    fn tell(&mut self, changed: Changed) {
        let body = match &changed {
            Changed::Ticket(id) => {
                let shape = match self.chance(20) {
                    true => self.rng.u64(0..2),
                    false => 2,
                };
                if shape < 2 {
                    self.met("fault: webhook without counter");
                }
                self.sites[self.at].servicenow.webhook(id, shape)
            }
            Changed::Journal(row) => Some(ServiceNow::journal_webhook(row)),
        };
        let Some(body) = body else { return };
        if self.chance(self.webhooks_lost) {
            self.met("fault: webhook lost");
            return;
        }
        self.messages += 1;
        let id = self.messages;
        let mut delay = self.rng.u64(1..200);
        if self.chance(12) {
            self.met("fault: webhook late");
            delay = self.rng.u64(1_000..30_000);
        }
        if self.chance(10) {
            self.met("fault: webhook doubled");
            let again = self.rng.u64(1..10_000);
            self.post(delay + again, Message::Webhook { id, body: body.clone() });
        }
        self.post(delay, Message::Webhook { id, body });
    }

    fn send_event(&mut self, body: String, after: u64) {
        let mut delay = after + self.rng.u64(1..200);
        if self.chance(12) {
            self.met("fault: event late");
            delay += self.rng.u64(1_000..20_000);
        }
        if self.chance(10) {
            self.met("fault: event doubled");
            let again = self.rng.u64(1..10_000);
            self.post(delay + again, Message::Event { body: body.clone() });
        }
        self.post(delay, Message::Event { body });
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
            Message::Webhook { .. } | Message::Event { .. } => false,
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

fn site(rng: &mut fastrand::Rng, n: usize, tenant: &str) -> Site {
    let integration = integration(rng, n, tenant);
    let quirks = quirks(rng);
    Site {
        servicenow: ServiceNow::new(&integration.settings, quirks),
        platform: Platform::new(clock(rng)),
        torn: BTreeSet::new(),
        left: BTreeSet::new(),
        integration,
    }
}

/// How far a clock is off: mostly right, now and then by seconds or by ten minutes.
fn clock(rng: &mut fastrand::Rng) -> i64 {
    match rng.u32(0..8) {
        0 => rng.i64(-4_000..4_000),
        1 => rng.i64(-600_000..600_000),
        _ => 0,
    }
}

/// What documents do not settle, one way or the other.
fn quirks(rng: &mut fastrand::Rng) -> Quirks {
    Quirks {
        comment_is_no_update: rng.u32(0..4) == 0,
        no_change_counts: rng.u32(0..4) == 0,
        deletions_hidden: rng.u32(0..4) == 0,
        journal_hidden: rng.u32(0..16) == 0,
        clock: clock(rng),
        columns_left_out: rng.bool(),
        case_matters: rng.bool(),
    }
}

fn integration(rng: &mut fastrand::Rng, n: usize, tenant: &str) -> Integration {
    let mut settings = preset::settings(Preset::Incidents);
    settings.request_timeout = TIMEOUT;
    settings.correlation.transaction_limit = TRANSACTION_LIMIT;
    if rng.bool() {
        settings.correlation.mode = CorrelationMode::Unique;
    }
    settings.strategy =
        [Strategy::LastWriteWins, Strategy::OwnershipPriority, Strategy::ManualReview]
            [rng.usize(0..3)];
    settings.journal.work_notes_to_platform = rng.bool();
    settings.polling.interval = 20_000;
    settings.polling.interval_alone = 5_000;
    settings.polling.mode = match rng.u32(0..8) {
        0 => Polling::Off,
        1 => Polling::Alone,
        _ => Polling::Behind,
    };
    if rng.bool() {
        settings.tickets.push(TicketType {
            table: TableName::new("problem").unwrap_or_else(|_| unreachable!()),
            when: Some("false".to_owned()),
        });
    }
    for field in settings.fields.values_mut() {
        field.owner = Some([Owner::Platform, Owner::External, Owner::Shared][rng.usize(0..3)]);
        field.off_owner = Some(
            [OffOwner::Restored, OffOwner::Restored, OffOwner::Kept, OffOwner::Adopted]
                [rng.usize(0..4)],
        );
        field.platform_priority = Some(rng.i32(0..3));
        field.external_priority = Some(rng.i32(0..3));
    }
    Integration {
        id: IntegrationId::new(format!("int-{}", n + 1)).unwrap_or_else(|_| unreachable!()),
        tenant: TenantId::new(tenant).unwrap_or_else(|_| unreachable!()),
        slug: format!("snow-{n}"),
        name: "Production ServiceNow".to_owned(),
        base_url: "https://example.service-now.com".to_owned(),
        platform: PlatformContract {
            callback_url: Some("https://platform.example/callback".to_owned()),
            read_url: Some("https://platform.example/records/{id}".to_owned()),
            findings_url: None,
        },
        enabled: true,
        version: 0,
        settings,
    }
}
