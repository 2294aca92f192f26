//! The small world: one record, one ticket, and everything that can be under way between them.

use std::collections::{BTreeMap, BTreeSet};

use firn_core::land::Reading;
use firn_core::plan::{self, Input};
use firn_core::settings::{self, Rules};
use firn_core::{identity, mapping};
use firn_model::{
    Attribute, Comment, CorrelationKey, CorrelationMode, Draft, EntryOrigin, EntrySeen, Exchange,
    ExchangeKind, FindingKind, IntegrationId, JournalText, Link, Millis, Observation,
    ObservationSource, ObservedRecord, Outcome, ParkedWhy, Phase, Plan, PlatformId, Presence,
    Refusal, Revision, Side, Step, TenantId, Uncertainty, Value, Verb, Write,
};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

const START: i64 = 1_777_472_000_000;
const LIMIT: u64 = 4_000_000;
const US: &str = "integration";

/// How large the world is, and how it is set up.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The strategy: `last-write-wins`, `ownership-priority`, `manual-review`.
    pub strategy: &'static str,
    /// The owner of both fields.
    pub owner: &'static str,
    /// `plain` or `unique`.
    pub mode: &'static str,
    /// Edits of people.
    pub edits: u8,
    /// Whether each side says something once.
    pub comments: u8,
    /// Whether the ticket may be deleted.
    pub deletions: u8,
    /// Answers that may be lost.
    pub lost: u8,
    /// Messages that may be doubled.
    pub doubled: u8,
    /// Crashes.
    pub crashes: u8,
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Bounds { strategy, owner, mode, edits, comments, deletions, lost, doubled, crashes } =
            self;
        write!(
            f,
            "{strategy}, {owner}, {mode}; {edits} edits, {} comments, {deletions} deletions, {lost} lost, {doubled} doubled, {crashes} crashes",
            comments.count_ones()
        )
    }
}

/// A property that does not hold.
#[derive(Debug)]
pub struct Violation {
    /// What does not hold.
    pub what: String,
    /// The steps that lead there.
    pub path: Vec<String>,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.what)?;
        for (i, step) in self.path.iter().enumerate() {
            writeln!(f, "{:>3}. {step}", i + 1)?;
        }
        Ok(())
    }
}

/// A side's record: two fields, each with whether a person wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Record {
    title: (String, bool),
    status: (String, bool),
    version: u32,
    at: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Row {
    id: String,
    text: String,
    ours: bool,
}

/// A request that a side has not answered yet.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Pending {
    exchange: Exchange,
    write: Option<Write>,
    /// The answer, once it has been carried out.
    answer: Option<Reading>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
enum Message {
    Ticket(ObservedRecord),
    Row(Row),
    Event(ObservedRecord),
    Said(Row),
}

/// One state of the world.
#[derive(Clone, Serialize)]
pub(crate) struct Small {
    #[serde(skip)]
    rules: std::rc::Rc<Rules>,
    link: Link,
    now: i64,
    ticket: Option<Record>,
    /// How many tickets were ever made: the last one's id.
    made: u8,
    /// Tickets that were deleted.
    deleted: BTreeSet<String>,
    rows: Vec<Row>,
    record: Record,
    comments: Vec<Row>,
    pending: [Option<Pending>; 2],
    /// Writes whose client has given up, and that may still take effect.
    late: Vec<Write>,
    messages: Vec<Message>,
    /// Keys of writes to the platform that took effect.
    keys: BTreeSet<String>,
    audited: BTreeSet<String>,
    /// Fields for which a person was told that something may have been overwritten unseen.
    told: BTreeSet<String>,
    /// Values of people that a write replaced without knowing.
    unseen: BTreeSet<String>,
    left: (u8, u8, u8, u8, u8, u8),
    writes: u32,
}

fn attribute(name: &str) -> Attribute {
    Attribute::new(name).unwrap_or_else(|_| unreachable!())
}

fn index(side: Side) -> usize {
    match side {
        Side::Platform => 0,
        Side::External => 1,
    }
}

impl Small {
    pub(crate) fn new(bounds: &Bounds) -> Small {
        let (id, tenant) = (IntegrationId::new("int-1"), TenantId::new("acme"));
        let (Ok(id), Ok(tenant)) = (id, tenant) else { unreachable!() };
        let remove = serde_json::Value::Null;
        let document = json!({
            "preset": "incidents", "strategy": bounds.strategy,
            "correlation": { "mode": bounds.mode, "transaction_limit": LIMIT },
            "platform": { "callback_url": "https://p.example/c", "read_url": "https://p.example/{id}" },
            "fields": {
                "title": { "owner": bounds.owner, "platform_priority": 2, "external_priority": 1 },
                "status": { "owner": bounds.owner, "platform_priority": 1, "external_priority": 2 },
                "description": remove, "severity": remove, "assigned_to": remove } });
        let applied = settings::apply(None, &id, &tenant, &document);
        let integration =
            applied.integration.unwrap_or_else(|| unreachable!("{:?}", applied.faults));
        let rules = settings::compile(integration).unwrap_or_else(|f| unreachable!("{f:?}"));
        let platform = PlatformId::new("rec").unwrap_or_else(|_| unreachable!());
        let mut link = Link::new(
            identity::link_id(&id, &platform, 1),
            id,
            platform.clone(),
            identity::correlation_key(&platform, 1),
            mapping::incident(),
            Millis(START),
        );
        link.draft = Some(Draft::default());
        let record = Record {
            title: ("t".to_owned(), true),
            status: ("open".to_owned(), true),
            version: 1,
            at: START,
        };
        let mut world = Small {
            rules: std::rc::Rc::new(rules),
            link,
            now: START,
            ticket: None,
            made: 0,
            deleted: BTreeSet::new(),
            rows: Vec::new(),
            record,
            comments: Vec::new(),
            pending: [None, None],
            late: Vec::new(),
            messages: Vec::new(),
            keys: BTreeSet::new(),
            audited: BTreeSet::new(),
            told: BTreeSet::new(),
            unseen: BTreeSet::new(),
            left: (
                bounds.edits,
                bounds.comments,
                bounds.deletions,
                bounds.lost,
                bounds.doubled,
                bounds.crashes,
            ),
            writes: 0,
        };
        let seen = world.shown_record();
        world.tell(&[Input::Seen(message(Side::Platform, seen, Vec::new()))]);
        world
    }

    // ---- Firn ----------------------------------------------------------------------------

    /// Gives inputs to the real core, and starts what it wants done. Pauses are not waited for:
    /// whatever may happen later may happen now.
    fn tell(&mut self, inputs: &[Input]) {
        let mut inputs = inputs.to_vec();
        for _ in 0..8 {
            for side in Side::BOTH {
                let state = self.link.side_mut(side);
                state.not_before = None;
                state.failures = 0;
                state.clock = Some(firn_model::Clock { low: 0, high: 0 });
            }
            let plan = plan::advance(&self.rules, self.link.clone(), &inputs, Millis(self.now));
            inputs.clear();
            let again = plan.notice.is_some() || waits(&plan);
            self.take(plan);
            if !again {
                break;
            }
        }
    }

    fn take(&mut self, plan: Plan) {
        for line in &plan.audit {
            self.audited.extend(line.key.clone());
        }
        for finding in &plan.findings {
            if finding.kind == FindingKind::OverwrittenUnseen {
                self.told.extend(finding.field.as_ref().map(ToString::to_string));
            }
        }
        self.link = plan.link;
        for (side, step) in plan.steps {
            if let Step::Exchange(exchange) = step {
                let write = match exchange.kind {
                    ExchangeKind::Send => {
                        self.link.side(side).flight.as_ref().map(|f| f.write.clone())
                    }
                    _ => None,
                };
                self.pending[index(side)] = Some(Pending { exchange, write, answer: None });
            }
        }
    }

    // ---- what the sides show -------------------------------------------------------------

    fn shown_record(&self) -> ObservedRecord {
        ObservedRecord {
            id: "rec".to_owned(),
            revision: Some(Revision::Platform {
                version: Some(u64::from(self.record.version)),
                at: Millis(self.record.at),
            }),
            attributes: BTreeMap::from([
                (attribute("title"), Value::text(self.record.title.0.clone())),
                (attribute("status"), Value::text(self.record.status.0.clone())),
            ]),
            ..ObservedRecord::default()
        }
    }

    fn shown_ticket(&self) -> Option<ObservedRecord> {
        let ticket = self.ticket.as_ref()?;
        Some(ObservedRecord {
            id: format!("{:032x}", self.made),
            class: Some("incident".to_owned()),
            number: Some("INC1".to_owned()),
            correlation: CorrelationKey::new("rec").ok(),
            revision: Some(Revision::External {
                updated: Millis(ticket.at),
                mod_count: Some(ticket.version),
            }),
            attributes: BTreeMap::from([
                (attribute("short_description"), Value::text(ticket.title.0.clone())),
                (attribute("state"), Value::text(ticket.status.0.clone())),
            ]),
            presence: Presence::There,
        })
    }

    fn entry(&self, row: &Row, side: Side) -> EntrySeen {
        let origin = match side {
            Side::Platform => EntryOrigin::Platform(row.id.clone()),
            Side::External => EntryOrigin::External(row.id.clone()),
        };
        let author = if row.ours { US } else { "person" };
        EntrySeen {
            origin,
            text: JournalText::Comment(Comment(row.text.clone())),
            author: author.to_owned(),
            at: Millis(START),
        }
    }

    // ---- the sides at work ---------------------------------------------------------------

    /// Carries out a request; what it changes is told by messages.
    fn carry_out(&mut self, side: Side, pending: &Pending) -> Result<Reading, String> {
        if let Some(write) = &pending.write {
            return self.effect(write);
        }
        Ok(match (side, &pending.exchange.kind) {
            (Side::Platform, _) => {
                let said = self.comments.iter().map(|row| self.entry(row, Side::Platform));
                Reading::Record(self.shown_record(), said.collect())
            }
            (Side::External, ExchangeKind::Find) => {
                Reading::Found(self.shown_ticket().into_iter().collect())
            }
            (Side::External, ExchangeKind::Journal) => {
                Reading::Entries(self.rows.iter().map(|r| self.entry(r, Side::External)).collect())
            }
            (Side::External, ExchangeKind::Deletion) => {
                let known = self.link.external.as_ref().map(|e| e.sys_id.to_string());
                Reading::Deletion(known.is_some_and(|id| self.deleted.contains(&id)))
            }
            (Side::External, _) => match self.shown_ticket().filter(|_| self.ours_is_there()) {
                Some(ticket) => Reading::Record(ticket, Vec::new()),
                None => Reading::Outcome(Outcome::Gone),
            },
        })
    }

    /// A write takes effect.
    fn effect(&mut self, write: &Write) -> Result<Reading, String> {
        if !self.audited.contains(&write.key) {
            return Err(format!("explains: the write {} has no audit line", write.key));
        }
        match write.side {
            Side::External => self.effect_on_ticket(write),
            Side::Platform => Ok(self.effect_on_record(write)),
        }
    }

    fn effect_on_ticket(&mut self, write: &Write) -> Result<Reading, String> {
        let text = |v: Option<&Value>| v.map(Value::to_text).unwrap_or_default();
        match &write.verb {
            Verb::Create { set, .. } => {
                if self.ticket.is_some() {
                    // Where a unique key is kept, the instance itself refuses the second.
                    if self.rules.settings().correlation.mode == CorrelationMode::Unique {
                        let refusal = Refusal { status: 403, message: "duplicate".to_owned() };
                        return Ok(Reading::Outcome(Outcome::Refused(refusal)));
                    }
                    return Err("two tickets for one key".to_owned());
                }
                self.made += 1;
                self.ticket = Some(Record {
                    title: (text(set.get(&attribute("short_description"))), false),
                    status: (
                        set.get(&attribute("state")).map_or_else(|| "1".to_owned(), Value::to_text),
                        false,
                    ),
                    version: 0,
                    at: self.now,
                });
            }
            Verb::Update { set, .. } => {
                if !self.ours_is_there() {
                    return Ok(Reading::Outcome(Outcome::Gone));
                }
                let Some(ticket) = &mut self.ticket else {
                    return Ok(Reading::Outcome(Outcome::Gone));
                };
                let before = ticket.clone();
                for (name, translated) in set {
                    let value = translated.shape.to_string();
                    let known = write
                        .reasons
                        .iter()
                        .find(|r| r.field.as_ref() == Some(name))
                        .and_then(|r| r.from.as_ref())
                        .map(ToString::to_string);
                    let slot = match name.as_str() {
                        "title" => &mut ticket.title,
                        _ => &mut ticket.status,
                    };
                    if slot.0 != value {
                        if slot.1 && known.as_ref() != Some(&slot.0) {
                            self.unseen.insert(name.to_string());
                        }
                        *slot = (value, false);
                    }
                }
                if *ticket != before {
                    ticket.version += 1;
                    ticket.at = self.now;
                    self.writes += 1;
                }
            }
            Verb::Append { text, .. } => {
                if !self.ours_is_there() {
                    return Ok(Reading::Outcome(Outcome::Gone));
                }
                let row = self.new_row(text.text(), true);
                if let Some(ticket) = &mut self.ticket {
                    ticket.version += 1;
                }
                self.messages.push(Message::Row(row));
                self.writes += 1;
            }
        }
        self.messages.extend(self.shown_ticket().map(Message::Ticket));
        Ok(Reading::Outcome(Outcome::Applied(self.shown_ticket())))
    }

    /// Whether the ticket that the link knows is the one that is there.
    fn ours_is_there(&self) -> bool {
        let id = format!("{:032x}", self.made);
        self.ticket.is_some() && self.link.external.as_ref().is_none_or(|e| e.sys_id.as_str() == id)
    }

    fn new_row(&mut self, text: &str, ours: bool) -> Row {
        let id = format!("{:032x}", self.rows.len() + 1);
        let row = Row { id, text: text.to_owned(), ours };
        self.rows.push(row.clone());
        row
    }

    fn effect_on_record(&mut self, write: &Write) -> Reading {
        if self.keys.contains(&write.key) {
            return Reading::Outcome(Outcome::Applied(Some(self.shown_record())));
        }
        match &write.verb {
            Verb::Update { set, .. } => {
                let shown = self.shown_record();
                let moved = write.expect.fields.values().flatten().any(|shape| {
                    shape.0.iter().any(|(a, v)| shown.attributes.get(a).is_some_and(|now| now != v))
                });
                if moved {
                    return Reading::Outcome(Outcome::Moved(shown));
                }
                for (name, translated) in set {
                    let slot = match name.as_str() {
                        "title" => &mut self.record.title,
                        _ => &mut self.record.status,
                    };
                    *slot = (translated.shape.to_string(), false);
                }
                self.record.version += 1;
                self.record.at = self.now;
            }
            Verb::Append { entry, text, .. } => {
                self.comments.push(Row {
                    id: entry.id().to_owned(),
                    text: text.text().to_owned(),
                    ours: true,
                });
            }
            Verb::Create { .. } => {}
        }
        self.keys.insert(write.key.clone());
        self.writes += 1;
        self.messages.push(Message::Event(self.shown_record()));
        Reading::Outcome(Outcome::Applied(Some(self.shown_record())))
    }

    // ---- what can happen next ------------------------------------------------------------

    /// Nothing is under way: only messages wait.
    pub(crate) fn at_rest(&self) -> bool {
        self.pending.iter().all(Option::is_none)
    }

    /// Every step that can be taken from here.
    pub(crate) fn successors(&self) -> Vec<(String, Result<Small, String>)> {
        let mut next: Vec<(String, Result<Small, String>)> = Vec::new();
        self.people(&mut next);
        self.network(&mut next);
        self.hearing(&mut next);
        let (.., lost, _, crashes) = self.left;
        let busy = !self.at_rest();
        if crashes > 0 && busy {
            let mut world = self.clone();
            world.left.5 -= 1;
            for side in Side::BOTH {
                world.give_up(side);
            }
            next.push(("the process dies and comes back".to_owned(), Ok(world)));
        }
        if lost > 0 || !self.late.is_empty() {
            for (i, write) in self.late.iter().enumerate() {
                let mut world = self.clone();
                world.late.remove(i);
                let done = world.effect(write).map(|_| world);
                next.push((
                    format!("a write that was given up takes effect: {}", verb(write)),
                    done,
                ));
            }
        }
        let limit = i64::try_from(LIMIT).unwrap_or(0);
        let waiting = match self.link.external_side.flight.as_ref().map(|f| &f.phase) {
            Some(Phase::Verifying { sent, .. }) => self.now < sent.0 + limit,
            _ => false,
        };
        if waiting || self.late.iter().any(|w| w.side == Side::External) {
            let mut world = self.clone();
            world.limit_passes();
            next.push(("the transaction limit passes".to_owned(), Ok(world)));
        }
        next
    }

    fn limit_passes(&mut self) {
        self.now += i64::try_from(LIMIT).unwrap_or(0);
        self.late.retain(|write| write.side == Side::Platform);
        self.tell(&[]);
    }

    fn people(&self, next: &mut Vec<(String, Result<Small, String>)>) {
        let (edits, comments, deletions, ..) = self.left;
        if edits > 0 {
            for (name, title, status) in [
                ("title=x", Some("x"), None),
                ("title=y", Some("y"), None),
                ("resolved", None, Some(())),
            ] {
                let mut world = self.clone();
                world.left.0 -= 1;
                world.now += 2_000;
                let record = &mut world.record;
                let before = record.clone();
                if let Some(title) = title {
                    record.title = (title.to_owned(), true);
                }
                if status.is_some() {
                    record.status = ("resolved".to_owned(), true);
                }
                if (&record.title.0, &record.status.0) != (&before.title.0, &before.status.0) {
                    record.version += 1;
                    record.at = world.now;
                    world.messages.push(Message::Event(world.shown_record()));
                    next.push((format!("platform: {name}"), Ok(world)));
                }
                let mut world = self.clone();
                world.left.0 -= 1;
                world.now += 2_000;
                let now = world.now;
                let Some(ticket) = &mut world.ticket else { continue };
                let before = ticket.clone();
                if let Some(title) = title {
                    ticket.title = (title.to_owned(), true);
                }
                if status.is_some() {
                    ticket.status = ("6".to_owned(), true);
                }
                if (&ticket.title.0, &ticket.status.0) != (&before.title.0, &before.status.0) {
                    ticket.version += 1;
                    ticket.at = now;
                    world.messages.extend(world.shown_ticket().map(Message::Ticket));
                    next.push((format!("servicenow: {name}"), Ok(world)));
                }
            }
        }
        // The same words on both sides: only identity tells them apart.
        if comments & 1 != 0 {
            let mut world = self.clone();
            world.left.1 &= !1;
            let row = Row { id: "c1".to_owned(), text: "ok".to_owned(), ours: false };
            world.comments.push(row.clone());
            world.messages.push(Message::Said(row));
            next.push(("platform: says ok".to_owned(), Ok(world)));
        }
        if comments & 2 != 0 && self.ticket.is_some() {
            let mut world = self.clone();
            world.left.1 &= !2;
            let row = world.new_row("ok", false);
            if let Some(ticket) = &mut world.ticket {
                ticket.version += 1;
            }
            world.messages.push(Message::Row(row));
            world.messages.extend(world.shown_ticket().map(Message::Ticket));
            next.push(("servicenow: says ok".to_owned(), Ok(world)));
        }
        if deletions > 0 && self.ticket.is_some() {
            let mut world = self.clone();
            world.left.2 -= 1;
            world.ticket = None;
            world.deleted.insert(format!("{:032x}", world.made));
            world.rows.clear();
            next.push(("servicenow: the ticket is deleted".to_owned(), Ok(world)));
        }
    }

    fn network(&self, next: &mut Vec<(String, Result<Small, String>)>) {
        for side in Side::BOTH {
            let Some(pending) = &self.pending[index(side)] else { continue };
            let what = asked(pending);
            match &pending.answer {
                None => {
                    let mut world = self.clone();
                    let done = world.carry_out(side, pending).map(|answer| {
                        if let Some(pending) = &mut world.pending[index(side)] {
                            pending.answer = Some(answer);
                        }
                        world
                    });
                    next.push((format!("{side}: carries out {what}"), done));
                }
                Some(answer) => {
                    let mut world = self.clone();
                    world.pending[index(side)] = None;
                    let number = pending.exchange.number;
                    world.tell(&[Input::Answered { side, number, reading: answer.clone() }]);
                    next.push((format!("{side}: the answer to {what} arrives"), Ok(world)));
                }
            }
            if self.left.3 > 0 {
                let mut world = self.clone();
                world.left.3 -= 1;
                world.give_up(side);
                next.push((format!("{side}: the answer to {what} is lost"), Ok(world)));
            }
        }
    }

    /// Nobody waits for an answer any more. A write that has not taken effect yet may still do so.
    fn give_up(&mut self, side: Side) {
        let Some(pending) = self.pending[index(side)].take() else { return };
        if pending.answer.is_none() {
            self.late.extend(pending.write);
        }
        let outcome = Outcome::Unknown(Uncertainty::Open, "lost".to_owned());
        let number = pending.exchange.number;
        self.tell(&[Input::Answered { side, number, reading: Reading::Outcome(outcome) }]);
    }

    fn hearing(&self, next: &mut Vec<(String, Result<Small, String>)>) {
        for (i, message) in self.messages.iter().enumerate() {
            if self.messages.iter().take(i).any(|other| other == message) {
                continue;
            }
            let mut world = self.clone();
            world.messages.remove(i);
            world.hear(message);
            next.push((format!("heard: {}", heard(message)), Ok(world)));
            if self.left.4 > 0 {
                let mut world = self.clone();
                world.left.4 -= 1;
                world.hear(message);
                next.push((format!("heard, and will be again: {}", heard(message)), Ok(world)));
            }
        }
    }

    fn hear(&mut self, heard: &Message) {
        let observation = match heard {
            Message::Ticket(record) => message(Side::External, record.clone(), Vec::new()),
            Message::Event(record) => message(Side::Platform, record.clone(), Vec::new()),
            Message::Row(row) => {
                let entry = self.entry(row, Side::External);
                message(Side::External, ObservedRecord::default(), vec![entry])
            }
            Message::Said(row) => {
                let entry = self.entry(row, Side::Platform);
                message(Side::Platform, ObservedRecord::default(), vec![entry])
            }
        };
        // A ticket that is not known yet is not looked at; its first read shows everything.
        if observation.side == Side::External {
            let Some(known) = &self.link.external else { return };
            let about = &observation.record.id;
            if !about.is_empty() && about != known.sys_id.as_str() {
                return;
            }
        }
        self.tell(&[Input::Seen(observation)]);
    }

    // ---- the end -------------------------------------------------------------------------

    /// Brings the world to an end without further faults, and checks the four properties.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        // Messages of the platform are sent until they are taken; webhooks may be lost for ever.
        let events: Vec<Message> = std::mem::take(&mut self.messages);
        for message in &events {
            if matches!(message, Message::Event(_) | Message::Said(_)) {
                self.hear(message);
                self.run()?;
            }
        }
        self.limit_passes();
        self.run()?;
        self.late.clear();
        for _ in 0..2 {
            self.reconcile()?;
        }
        let writes = self.writes;
        self.reconcile()?;
        if self.writes != writes {
            return Err("quiet: a third reconcile wrote again".to_owned());
        }
        self.converges()?;
        self.says_once()?;
        for field in &self.unseen {
            if !self.told.contains(field) {
                return Err(format!("keeps: {field} was overwritten unseen, and nobody was told"));
            }
        }
        Ok(())
    }

    fn reconcile(&mut self) -> Result<(), String> {
        for side in Side::BOTH {
            let state = self.link.side_mut(side);
            state.look = true;
            state.look_journal = side == Side::External;
        }
        self.tell(&[]);
        self.run()
    }

    /// Carries out and answers everything until nothing is left to do.
    fn run(&mut self) -> Result<(), String> {
        for _ in 0..200 {
            let Some(side) = Side::BOTH.into_iter().find(|s| self.pending[index(*s)].is_some())
            else {
                return Ok(());
            };
            let Some(pending) = self.pending[index(side)].take() else { continue };
            let reading = match pending.answer.clone() {
                Some(answer) => answer,
                None => self.carry_out(side, &pending)?,
            };
            let number = pending.exchange.number;
            // An answer that only says "not yet" must not turn in circles here.
            let waits = matches!(
                self.link.external_side.flight.as_ref().map(|f| &f.phase),
                Some(Phase::Verifying { .. })
            );
            self.tell(&[Input::Answered { side, number, reading }]);
            if waits && self.late.iter().all(|w| w.side == Side::Platform) {
                self.now += i64::try_from(LIMIT).unwrap_or(0);
            }
        }
        Err("quiet: it never comes to rest".to_owned())
    }

    fn converges(&self) -> Result<(), String> {
        let Some(ticket) = self.ticket.as_ref().filter(|_| self.ours_is_there()) else {
            return match (!self.deleted.is_empty(), &self.link.tombstone) {
                (true, Some(_)) => Ok(()),
                // It was never known to be there, and a dead letter tells of the refused create.
                (true, None) if self.link.external_side.halted => Ok(()),
                (true, None) => Err("converges: the ticket is gone, and nobody noticed".to_owned()),
                (false, _) => Err("converges: there is no ticket".to_owned()),
            };
        };
        if self.link.external_side.halted {
            return Ok(()); // A create was refused; its dead letter waits for a person.
        }
        for (name, here, there) in [
            ("title", &self.record.title.0, &ticket.title.0),
            ("status", &self.record.status.0, &ticket.status.0),
        ] {
            let state = self.link.fields.iter().find(|(n, _)| n.as_str() == name).map(|(_, s)| s);
            let Some(state) = state else { return Err(format!("converges: {name} is unknown")) };
            let believed = |side| state.shape(side).map(ToString::to_string);
            if believed(Side::Platform).as_ref() != Some(here)
                || believed(Side::External).as_ref() != Some(there)
            {
                return Err(format!(
                    "converges: {name} is {here} and {there}, we believe {state:?}"
                ));
            }
            let means =
                |state: &str| if state == "6" { "resolved".to_owned() } else { "open".to_owned() };
            let agree = if name == "title" { here == there } else { *here == means(there) };
            if !agree && state.parked.is_none() {
                return Err(format!("converges: {name} is {here} here and {there} there"));
            }
        }
        Ok(())
    }

    /// Every entry is on the other side exactly once.
    fn says_once(&self) -> Result<(), String> {
        if !self.ours_is_there() {
            return Ok(());
        }
        let count = |rows: &[Row], ours| rows.iter().filter(|r| r.ours == ours).count();
        let counts = (
            count(&self.comments, false),
            count(&self.rows, true),
            count(&self.rows, false),
            count(&self.comments, true),
        );
        if counts.0 == counts.1 && counts.2 == counts.3 {
            return Ok(());
        }
        Err(format!(
            "comments: platform {} written, {} of them there; servicenow {} written, {} of them here",
            counts.0, counts.1, counts.2, counts.3
        ))
    }

    // ---- comparing -----------------------------------------------------------------------

    /// The state without what only counts.
    fn canonical(&self) -> Small {
        let mut same = self.clone();
        let mut keys: BTreeMap<String, String> = BTreeMap::new();
        let link = &mut same.link;
        link.sequence = 0;
        link.updated = Millis(0);
        for side in Side::BOTH {
            let state = link.side_mut(side);
            if let Some(exchange) = &mut state.exchange {
                plain(exchange);
            }
            if let Some(flight) = &mut state.flight {
                keys.insert(flight.write.key.clone(), format!("{side}"));
                flight.write.key = format!("{side}");
                flight.attempts = flight.attempts.min(1);
            }
        }
        for field in link.fields.values_mut() {
            if let Some(parked) = &mut field.parked
                && let ParkedWhy::Conflict(id) = &mut parked.why
                && let Ok(one) = firn_model::ConflictId::new("conflict")
            {
                *id = one;
            }
        }
        for pending in same.pending.iter_mut().flatten() {
            plain(&mut pending.exchange);
            if let Some(write) = &mut pending.write {
                write.key.clear();
            }
        }
        // Of the keys only that of a write that may still come counts.
        let done = std::mem::take(&mut same.keys);
        same.keys = done.iter().filter_map(|key| keys.get(key).cloned()).collect();
        for write in &mut same.late {
            if done.contains(&write.key) {
                same.keys.insert(format!("late {}", verb(write)));
            }
            let live = keys.get(&write.key).cloned();
            write.key = live.unwrap_or_default();
        }
        same.audited.clear();
        same.writes = 0;
        same.messages.sort_by_cached_key(|m| serde_json::to_string(m).unwrap_or_default());
        same
    }

    pub(crate) fn fingerprint(&self) -> u128 {
        digest(&self.canonical())
    }

    /// What an end depends on: not what may still be done.
    pub(crate) fn essence(&self) -> u128 {
        let mut same = self.canonical();
        same.left = (0, 0, 0, 0, 0, 0);
        digest(&same)
    }
}

fn digest(state: &Small) -> u128 {
    let text = serde_json::to_vec(state).unwrap_or_default();
    let digest = Sha256::digest(&text);
    digest.iter().take(16).fold(0, |n, b| (n << 8) | u128::from(*b))
}

fn plain(exchange: &mut Exchange) {
    exchange.number = 0;
    exchange.since = Millis(0);
    exchange.deadline = Millis(0);
}

/// Whether a plan only waits for a pause to be over.
fn waits(plan: &Plan) -> bool {
    Side::BOTH.into_iter().any(|side| {
        let state = plan.link.side(side);
        state.exchange.is_none() && state.not_before.is_some() && state.flight.is_some()
            || state.exchange.is_none()
                && state.not_before.is_some()
                && (state.look || state.look_journal || state.search.is_some())
    })
}

fn message(side: Side, record: ObservedRecord, entries: Vec<EntrySeen>) -> Observation {
    Observation { side, source: ObservationSource::Message, record, entries }
}

fn verb(write: &Write) -> String {
    match &write.verb {
        Verb::Create { .. } => "create".to_owned(),
        Verb::Update { set, .. } => {
            let set: Vec<String> = set.iter().map(|(n, t)| format!("{n}={}", t.shape)).collect();
            format!("{} {}", write.side, set.join(" "))
        }
        Verb::Append { .. } => format!("{} comment", write.side),
    }
}

fn asked(pending: &Pending) -> String {
    match &pending.write {
        Some(write) => {
            format!("{} ({})", verb(write), write.key.rsplit('-').next().unwrap_or_default())
        }
        None => format!("{:?}", pending.exchange.kind).to_lowercase(),
    }
}

fn heard(message: &Message) -> String {
    match message {
        Message::Ticket(record) | Message::Event(record) => {
            let shown: Vec<String> =
                record.attributes.iter().map(|(a, v)| format!("{a}={v}")).collect();
            shown.join(" ")
        }
        Message::Row(row) => format!("row {}{}", row.text, if row.ours { " (ours)" } else { "" }),
        Message::Said(row) => format!("comment {}", row.text),
    }
}
