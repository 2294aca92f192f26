//! The create protocol, with two replicas of the real driver on one store: every order in which a
//! record's event comes twice, requests are carried out, answered, lost, or carried out late (also
//! later than the instance promises), a process dies, and one replica handles something between any
//! two looks that another takes at the store.
//!
//! Where the instance keeps the key unique there is at most one ticket, at every step. Where it does
//! not, there is at most one *open* ticket after the next reconcile, and a person is told.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use firn_core::settings;
use firn_driver::{
    Clock, Engine, Http, Log, NoTokens, Scheme, Secrets, Signature, Storage, Tokens,
};
use firn_model::{
    Answer, AnswerBody, Change, CommitError, Event, Expect, Finding, FindingKind, HttpRequest,
    Inbound, InboundKind, Integration, IntegrationId, Intent, Key, Link, Method, Millis, Operation,
    Put, Row, RunMode, TenantId,
};
use serde_json::json;

use super::explore::Explored;
use super::small::Violation;
use crate::sim::{Quirks, ServiceNow};

const START: Millis = Millis(1_777_472_000_000);
const TIMEOUT: u64 = 1_000;
const LIMIT: u64 = 4_000;

/// How large the world is.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// Whether the instance keeps the key unique.
    pub unique: bool,
    /// Answers that may be lost.
    pub lost: u8,
    /// Processes that may die.
    pub crashes: u8,
    /// Times that one replica is overtaken by another between two looks at the store.
    pub races: u8,
    /// Creates that are carried out later than the instance promises.
    pub beyond: u8,
}

type Rows = BTreeMap<Key, (u64, Put)>;

/// What the doors of one call lead to.
struct Shared {
    rows: RefCell<Rows>,
    now: Millis,
    requests: RefCell<Vec<HttpRequest>>,
    /// Calls of the store until the other replica handles something, and what.
    race: RefCell<Option<(usize, Event)>>,
    calls: Cell<usize>,
}

#[derive(Clone)]
struct Doors(Rc<Shared>);

impl Doors {
    /// Another replica may come between any two calls.
    fn call(&self) {
        let call = self.0.calls.get();
        self.0.calls.set(call + 1);
        let now = self.0.race.borrow_mut().take_if(|(at, _)| *at == call);
        if let Some((_, event)) = now {
            Engine::new(self.clone()).handle(&[event]);
        }
    }
}

impl Storage for Doors {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, CommitError> {
        self.call();
        let rows = self.0.rows.borrow();
        let row = |key: &Key| {
            rows.get(key).map(|(version, put)| Row {
                key: key.clone(),
                version: *version,
                value: put.value.clone(),
                due: put.due,
            })
        };
        Ok(keys.iter().map(row).collect())
    }

    fn scan(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Row>, CommitError> {
        let keys: Vec<Key> = self
            .0
            .rows
            .borrow()
            .keys()
            .filter(|key| key.tenant == *tenant && key.path.starts_with(prefix))
            .filter(|key| after.is_none_or(|after| key.path.as_str() > after))
            .take(limit as usize)
            .cloned()
            .collect();
        Ok(self.get(&keys)?.into_iter().flatten().collect())
    }

    fn commit(&self, changes: &[Change]) -> Result<(), CommitError> {
        self.call();
        let mut rows = self.0.rows.borrow_mut();
        for change in changes {
            let version = rows.get(&change.key).map(|(version, _)| *version);
            let as_expected = match change.expect {
                Expect::Any => true,
                Expect::Absent => version.is_none(),
                Expect::Version(expected) => version == Some(expected),
            };
            if !as_expected {
                return Err(CommitError::Stale(change.key.clone()));
            }
        }
        for change in changes {
            let version = rows.get(&change.key).map_or(1, |(version, _)| version + 1);
            match &change.put {
                Some(put) => rows.insert(change.key.clone(), (version, put.clone())),
                None => rows.remove(&change.key),
            };
        }
        Ok(())
    }
}
impl Http for Doors {
    fn submit(&self, request: HttpRequest) {
        self.0.requests.borrow_mut().push(request);
    }
}
impl Clock for Doors {
    fn now(&self) -> Millis {
        self.0.now
    }
}
impl Secrets for Doors {
    fn verify(
        &self,
        _: &TenantId,
        _: &IntegrationId,
        _: Scheme,
        _: &str,
        _: &[String],
    ) -> Signature {
        Signature::Valid
    }
    fn tokens(&self, _: &TenantId) -> Arc<dyn Tokens> {
        Arc::new(NoTokens)
    }
}
impl firn_driver::Rules for Doors {
    fn ask(
        &self,
        _: &TenantId,
        _: &IntegrationId,
        _: &firn_model::ActiveRules,
        _: &firn_model::Inquiry,
    ) -> Vec<firn_model::rule::Answer> {
        Vec::new()
    }
}
impl Log for Doors {
    fn line(&self, _: &str) {}
}

/// A request on its way.
#[derive(Clone)]
struct Wire {
    request: HttpRequest,
    sent: Millis,
    /// Whether somebody still waits for its answer.
    waited: bool,
    /// The answer, once it was carried out.
    answer: Option<AnswerBody>,
}

#[derive(Clone)]
struct World {
    integration: Rc<Integration>,
    rows: Rows,
    now: Millis,
    wires: Vec<Wire>,
    servicenow: ServiceNow,
    /// How often the record's event still comes.
    events: u8,
    left: Protocol,
}

impl World {
    fn new(protocol: Protocol) -> World {
        let (id, tenant) = (IntegrationId::new("int-1"), TenantId::new("acme"));
        let (Ok(id), Ok(tenant)) = (id, tenant) else { unreachable!() };
        let document = json!({
            "preset": "incidents", "base_url": "https://example.service-now.com",
            "request_timeout": TIMEOUT, "polling": { "mode": "off" },
            "correlation": { "mode": if protocol.unique { "unique" } else { "plain" },
                "transaction_limit": LIMIT } });
        let applied = settings::apply(None, &id, &tenant, &document);
        let integration = applied.integration.unwrap_or_else(|| unreachable!());
        let servicenow = ServiceNow::new(&integration.settings, Quirks::default());
        let mut world = World {
            integration: Rc::new(integration),
            rows: Rows::new(),
            now: START,
            wires: Vec::new(),
            servicenow,
            events: 2,
            left: protocol,
        };
        world.handle(world.operate(Operation::Apply { id, document, intent: Intent::Act }), None);
        world
    }

    fn operate(&self, operation: Operation) -> Event {
        let tenant = self.integration.tenant.clone();
        Event::Operate { request: 1, tenant, operation, by: "operator".to_owned() }
    }

    /// A replica handles an event; another one may come in between. Says how often it called the
    /// store.
    fn handle(&mut self, event: Event, race: Option<(usize, Event)>) -> usize {
        let shared = Rc::new(Shared {
            rows: RefCell::new(std::mem::take(&mut self.rows)),
            now: self.now,
            requests: RefCell::new(Vec::new()),
            race: RefCell::new(race),
            calls: Cell::new(0),
        });
        Engine::new(Doors(Rc::clone(&shared))).handle(&[event]);
        self.rows = shared.rows.take();
        for request in shared.requests.take() {
            self.wires.push(Wire { request, sent: self.now, waited: true, answer: None });
        }
        shared.calls.get()
    }

    fn event(&self) -> Event {
        let body = json!({ "id": "e1", "type": "changed", "occurred_at": "2026-04-29T14:13:20Z",
            "record": { "kind": "incident", "id": "rec-1", "version": 1, "partial": false,
                "fields": { "title": "t", "status": "open", "severity": "low" } } });
        Event::Inbound(Inbound {
            request: 2,
            tenant: self.integration.tenant.clone(),
            integration: self.integration.id.clone(),
            kind: InboundKind::PlatformEvent,
            headers: Vec::new(),
            body: body.to_string(),
            like: Vec::new(),
        })
    }

    fn answer(&self, wire: &Wire, body: AnswerBody) -> Event {
        Event::Answer(Answer {
            ticket: wire.request.ticket.clone(),
            tenant: self.integration.tenant.clone(),
            integration: self.integration.id.clone(),
            body,
        })
    }

    fn due(&self) -> Option<(Millis, Key)> {
        // What is kept for days (deliveries) does not matter here.
        let soon = self.now.plus(3_600_000);
        let due = self.rows.iter().filter_map(|(key, (_, put))| Some((put.due?, key.clone())));
        due.filter(|(at, _)| *at <= soon).min()
    }

    fn carry_out(&mut self, i: usize) {
        let Some(wire) = self.wires.get(i).cloned() else { return };
        let (response, _) = self.servicenow.serve(&wire.request, self.now);
        if wire.waited {
            if let Some(wire) = self.wires.get_mut(i) {
                wire.answer = Some(AnswerBody::Response(response));
            }
        } else {
            self.wires.remove(i);
        }
    }

    /// What a replica can begin to handle now, with what it is called, and the world after taking it.
    fn beginnings(&self) -> Vec<(String, Event, World)> {
        let mut all = Vec::new();
        if self.events > 0 {
            let mut world = self.clone();
            world.events -= 1;
            all.push(("the record's event comes".to_owned(), self.event(), world));
        }
        for (i, wire) in self.wires.iter().enumerate() {
            if let Some(answer) = wire.answer.clone().filter(|_| wire.waited) {
                let mut world = self.clone();
                world.wires.remove(i);
                let event = self.answer(wire, answer);
                all.push((format!("{} is answered", told(wire)), event, world));
            }
        }
        // Somebody waits for every request; time passes only when nobody waits any more.
        let quiet = self.wires.iter().all(|wire| !wire.waited);
        if let Some((at, key)) = self.due().filter(|(at, _)| quiet || *at <= self.now) {
            let mut world = self.clone();
            world.now = world.now.max(at);
            world.keep_the_limit();
            all.push((format!("{} is due", key.path), Event::Due(key), world));
        }
        all
    }

    /// What nobody waits for is cancelled at the transaction limit; a create perhaps later.
    fn keep_the_limit(&mut self) {
        let (now, beyond) = (self.now, self.left.beyond > 0);
        self.wires.retain(|wire| {
            let create = wire.request.method == Method::Post;
            wire.waited || now < wire.sent.plus(LIMIT) || (create && beyond)
        });
    }

    fn successors(&self) -> Vec<(String, World)> {
        let mut next = Vec::new();
        for (what, event, world) in self.beginnings() {
            let mut alone = world.clone();
            let calls = alone.handle(event.clone(), None);
            next.push((what.clone(), alone));
            if self.left.races == 0 {
                continue;
            }
            // The other replica takes the same, or what else there is to take.
            let mut others = vec![(what.clone(), event.clone())];
            others.extend(world.beginnings().into_iter().map(|(what, event, _)| (what, event)));
            for (other, second) in others {
                for call in 0..calls {
                    let mut both = world.clone();
                    both.left.races -= 1;
                    both.taken(&second);
                    both.handle(event.clone(), Some((call, second.clone())));
                    let what = format!("{what}; at call {call} the other replica: {other}");
                    next.push((what, both));
                }
            }
        }
        for (i, wire) in self.wires.iter().enumerate() {
            if wire.answer.is_none() {
                let mut world = self.clone();
                if !wire.waited && self.now >= wire.sent.plus(LIMIT) {
                    world.left.beyond -= 1;
                }
                world.carry_out(i);
                next.push((format!("{} is carried out", told(wire)), world));
            }
            if wire.waited && self.left.lost > 0 {
                let mut world = self.clone();
                world.left.lost -= 1;
                let event = self.answer(wire, AnswerBody::Lost("timeout".to_owned()));
                world.give_up(i);
                world.handle(event, None);
                next.push((format!("the answer to {} is lost", told(wire)), world));
            }
        }
        if self.left.crashes > 0 && self.wires.iter().any(|wire| wire.waited) {
            let mut world = self.clone();
            world.left.crashes -= 1;
            for i in (0..world.wires.len()).rev() {
                world.give_up(i);
            }
            next.push(("the processes die and come back".to_owned(), world));
        }
        next
    }

    /// What the other replica takes is not there to be taken again.
    fn taken(&mut self, event: &Event) {
        match event {
            Event::Inbound(_) => self.events = self.events.saturating_sub(1),
            Event::Answer(answer) => self.wires.retain(|w| w.request.ticket != answer.ticket),
            Event::Due(_) | Event::Operate { .. } => {}
        }
    }

    fn give_up(&mut self, i: usize) {
        let Some(wire) = self.wires.get_mut(i) else { return };
        wire.waited = false;
        if wire.answer.is_some() {
            self.wires.remove(i);
        }
    }

    fn tickets(&self) -> (usize, usize) {
        let all = self.servicenow.tickets.values();
        let open = all.clone().filter(|t| t.columns.get("state").is_some_and(|s| s != "7"));
        (all.count(), open.count())
    }

    fn at_every_step(&self) -> Result<(), String> {
        match self.tickets() {
            (tickets, _) if self.left.unique && tickets > 1 => {
                Err(format!("{tickets} tickets for one key, where it is kept unique"))
            }
            _ => Ok(()),
        }
    }

    /// Lets everything come to its end, reconciles, and looks.
    fn finish(&mut self) -> Result<(), String> {
        self.run()?;
        let integration = self.integration.id.clone();
        let reconcile = Operation::Reconcile { integration, mode: RunMode::AutoHeal };
        self.handle(self.operate(reconcile), None);
        self.run()?;
        self.at_every_step()?;
        let (tickets, open) = self.tickets();
        if open != 1 {
            return Err(format!("{open} open tickets after a reconcile, of {tickets}"));
        }
        let row = |kind: &str| {
            let prefix = format!("{kind}/");
            self.rows.iter().filter(move |(key, _)| key.path.starts_with(&prefix))
        };
        let links: Vec<Link> =
            row("link").filter_map(|(_, (_, put))| serde_json::from_str(&put.value).ok()).collect();
        let [link] = links.as_slice() else { return Err(format!("{} links", links.len())) };
        let own = link.external.as_ref().and_then(|e| {
            self.servicenow.tickets.get(e.sys_id.as_str())?.columns.get("state").cloned()
        });
        if own.is_none_or(|state| state == "7") {
            return Err("the link's own ticket is not the open one".to_owned());
        }
        let told = row("finding").any(|(_, (_, put))| {
            serde_json::from_str::<Finding>(&put.value)
                .is_ok_and(|f| f.kind == FindingKind::DuplicateTicket)
        });
        if tickets > 1 && !told {
            return Err("a duplicate was made, and nobody was told".to_owned());
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), String> {
        for _ in 0..400 {
            if let Some(i) = self.wires.iter().position(|wire| wire.answer.is_none()) {
                self.carry_out(i);
                continue;
            }
            let Some((_, event, mut world)) = self.beginnings().into_iter().next() else {
                return Ok(());
            };
            world.handle(event, None);
            *self = world;
        }
        Err("it never comes to rest".to_owned())
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (key, (_, put)) in &self.rows {
            // Audit lines and findings are written, and never read by the driver.
            if !key.path.starts_with("audit/") {
                (key, &put.value, put.due).hash(&mut hasher);
            }
        }
        for wire in &self.wires {
            let answer = serde_json::to_string(&wire.answer).unwrap_or_default();
            (&wire.request.ticket, wire.sent, wire.waited, answer).hash(&mut hasher);
        }
        for (id, ticket) in &self.servicenow.tickets {
            (id, &ticket.columns, ticket.mod_count).hash(&mut hasher);
        }
        let Protocol { unique, lost, crashes, races, beyond } = self.left;
        (self.now, self.events, unique, lost, crashes, races, beyond).hash(&mut hasher);
        hasher.finish()
    }
}

fn told(wire: &Wire) -> String {
    format!(
        "{:?} {}",
        wire.request.method,
        wire.request.path.rsplit('/').next().unwrap_or_default()
    )
}

/// What was explored.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seen {
    /// States, steps and ends.
    pub explored: Explored,
    /// Ends in which there were two tickets for the key.
    pub duplicates: u64,
    /// Ends after one replica was overtaken by the other.
    pub races: u64,
}

/// Visits every state of the create protocol within bounds, the nearest first.
///
/// # Errors
/// The first property that does not hold, with the steps that lead there.
pub fn explore(protocol: Protocol) -> Result<Seen, Box<Violation>> {
    let mut met = Seen::default();
    let mut explored = Explored::default();
    let mut seen = BTreeSet::new();
    let mut queue: VecDeque<(World, Rc<Vec<String>>)> = VecDeque::new();
    let start = World::new(protocol);
    seen.insert(start.fingerprint());
    queue.push_back((start, Rc::new(Vec::new())));
    while let Some((world, way)) = queue.pop_front() {
        explored.states += 1;
        let failed = |what| Box::new(Violation { what, path: way.to_vec() });
        world.at_every_step().map_err(failed)?;
        if world.events < 2 {
            explored.ends += 1;
            let mut end = world.clone();
            end.finish().map_err(failed)?;
            met.duplicates += u64::from(end.tickets().0 > 1);
            met.races += u64::from(world.left.races < protocol.races);
        }
        for (step, next) in world.successors() {
            explored.steps += 1;
            if seen.insert(next.fingerprint()) {
                let mut way = way.to_vec();
                way.push(step);
                queue.push_back((next, Rc::new(way)));
            }
        }
    }
    Ok(Seen { explored, ..met })
}
