//! The small world: one record, one ticket, and everything that can be under way between them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use firn_core::land::{Found, Reading};
use firn_core::plan::{self, Input};
use firn_core::settings::{self, Rules};
use firn_core::{identity, mapping};
use firn_model::{
    Attribute, Comment, CorrelationKey, CorrelationMode, Draft, EntryOrigin, EntrySeen, Exchange,
    ExchangeKind, FindingKind, IntegrationId, JournalText, Link, Millis, Observation,
    ObservationSource, ObservedRecord, Outcome, Plan, PlatformId, Presence, Refusal, Revision,
    Side, Step, SysId, TenantId, Twin, Value, Verb, Write,
};
use serde_json::json;

use super::bounds::Bounds;
use super::compare::hash;

const START: i64 = 1_777_472_000_000;
pub(crate) const LIMIT: u64 = 4_000_000;

/// After so long nothing that was sent can still commit, nor be seen late.
#[allow(clippy::cast_possible_wrap)] // Some thousand seconds.
pub(crate) const OVER: i64 = (LIMIT + firn_model::SEEN_LATE) as i64;
const US: &str = "integration";

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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(crate) title: (String, bool),
    pub(crate) status: (String, bool),
    pub(crate) version: u32,
    pub(crate) at: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) ours: bool,
}

/// A request that a side has not answered yet.
#[derive(Debug, Clone, PartialEq, Hash)]
pub(crate) struct Pending {
    pub(crate) exchange: Exchange,
    pub(crate) write: Option<Write>,
    /// The answer, once it has been carried out.
    pub(crate) answer: Option<Reading>,
}

#[derive(Debug, Clone, PartialEq, Hash)]
pub(crate) enum Message {
    Ticket(ObservedRecord),
    Row(Row),
    Event(ObservedRecord),
    Said(Row),
}

/// A message on its way: shared between the states in which it is.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    message: Rc<Message>,
    fingerprint: u64,
}

impl Posted {
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

impl From<Message> for Posted {
    fn from(message: Message) -> Posted {
        let fingerprint = hash(&message);
        Posted { message: Rc::new(message), fingerprint }
    }
}

impl std::ops::Deref for Posted {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl std::hash::Hash for Posted {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.fingerprint);
    }
}

impl PartialEq for Posted {
    fn eq(&self, other: &Posted) -> bool {
        self.fingerprint == other.fingerprint && self.message == other.message
    }
}

/// What does not change, and tells no state from another.
#[derive(Clone)]
pub(crate) struct Fixed {
    pub(crate) rules: Rc<Rules>,
    pub(crate) bounds: Rc<Bounds>,
    /// The link as it began: stands where the core has the link in its hands.
    begun: Rc<Link>,
}

impl std::hash::Hash for Fixed {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

/// What may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Left {
    pub(crate) edits: u8,
    /// The edits of the script that were made, if each is made once: a bit each.
    pub(crate) made: u8,
    pub(crate) comments: u8,
    pub(crate) deletions: u8,
    pub(crate) lost: u8,
    pub(crate) doubled: u8,
    pub(crate) crashes: u8,
    pub(crate) faults: u8,
}

/// One state of the world.
#[derive(Clone, Hash)]
pub(crate) struct Small {
    pub(crate) fixed: Fixed,
    pub(crate) link: Rc<Link>,
    pub(crate) now: i64,
    pub(crate) ticket: Option<Record>,
    /// How many tickets were ever made: the last one's id.
    pub(crate) made: u8,
    /// Tickets that were deleted.
    pub(crate) deleted: BTreeSet<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) record: Record,
    pub(crate) comments: Vec<Row>,
    pub(crate) pending: [Option<Pending>; 2],
    /// Writes whose client has given up, and that may still take effect.
    pub(crate) late: Vec<Write>,
    pub(crate) messages: Vec<Posted>,
    /// Keys of writes to the platform that took effect.
    pub(crate) keys: BTreeSet<String>,
    pub(crate) audited: BTreeSet<String>,
    /// Fields for which a person was told that something may have been overwritten unseen.
    pub(crate) told: BTreeSet<String>,
    /// Values of people that a write replaced without knowing.
    pub(crate) unseen: BTreeSet<String>,
    pub(crate) left: Left,
    pub(crate) writes: u32,
}

pub(crate) fn attribute(name: &str) -> Attribute {
    Attribute::new(name).unwrap_or_else(|_| unreachable!())
}

pub(crate) fn index(side: Side) -> usize {
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
        let link = Rc::new(link);
        let record = Record {
            title: ("t".to_owned(), true),
            status: ("open".to_owned(), true),
            version: 1,
            at: START,
        };
        let mut world = Small {
            fixed: Fixed {
                rules: Rc::new(rules),
                bounds: Rc::new(bounds.clone()),
                begun: Rc::clone(&link),
            },
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
            left: Left {
                edits: bounds.edits,
                made: 0,
                comments: bounds.comments,
                deletions: bounds.deletions,
                lost: bounds.lost,
                doubled: bounds.doubled,
                crashes: bounds.crashes,
                faults: bounds.faults,
            },
            writes: 0,
        };
        let seen = world.shown_record();
        world.tell(&[Input::Seen(message(Side::Platform, seen, Vec::new()))]);
        world.normalise();
        world
    }

    // ---- Firn ----------------------------------------------------------------------------

    /// Gives inputs to the real core, and starts what it wants done. Pauses are not waited for:
    /// whatever may happen later may happen now.
    pub(crate) fn tell(&mut self, inputs: &[Input]) {
        let mut inputs = inputs.to_vec();
        for _ in 0..8 {
            // A state that nobody else holds is not copied.
            let link = std::mem::replace(&mut self.link, Rc::clone(&self.fixed.begun));
            let mut link = Rc::unwrap_or_clone(link);
            for side in Side::BOTH {
                let state = link.side_mut(side);
                state.not_before = None;
                state.failures = 0;
                state.clock = Some(firn_model::Clock { low: 0, high: 0 });
            }
            let plan = plan::advance(&self.fixed.rules, link, &inputs, Millis(self.now));
            inputs.clear();
            let mut again = plan.notice.is_some() || waits(&plan);
            self.take(plan);
            // What its history says is told, and changes nothing: it need not be waited for.
            let past = self.pending[index(Side::External)]
                .take_if(|pending| pending.exchange.kind == ExchangeKind::History);
            if let Some(Pending { exchange, .. }) = past {
                let reading = Reading::History(firn_model::Past::default());
                inputs.push(Input::Answered {
                    side: Side::External,
                    number: exchange.number,
                    reading,
                });
                again = true;
            }
            if !again {
                break;
            }
        }
    }

    pub(crate) fn take(&mut self, plan: Plan) {
        for line in &plan.audit {
            self.audited.extend(line.key.clone());
        }
        for finding in &plan.findings {
            if finding.kind == FindingKind::OverwrittenUnseen {
                self.told.extend(finding.field.as_ref().map(ToString::to_string));
            }
        }
        self.link = Rc::new(plan.link);
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

    pub(crate) fn shown_record(&self) -> ObservedRecord {
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

    pub(crate) fn shown_ticket(&self) -> Option<ObservedRecord> {
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

    /// A webhook shows the ticket as it is.
    pub(crate) fn post_ticket(&mut self) {
        self.messages.extend(self.shown_ticket().map(|ticket| Message::Ticket(ticket).into()));
    }

    pub(crate) fn entry(&self, row: &Row, side: Side) -> EntrySeen {
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
    pub(crate) fn carry_out(&mut self, side: Side, pending: &Pending) -> Result<Reading, String> {
        if let Some(write) = &pending.write {
            return self.effect(write);
        }
        Ok(match (side, &pending.exchange.kind) {
            (Side::Platform, _) => {
                let said = self.comments.iter().map(|row| self.entry(row, Side::Platform));
                Reading::Record(self.shown_record(), said.collect())
            }
            (Side::External, ExchangeKind::Find) => {
                let found = self.shown_ticket().and_then(|ticket| {
                    Some(Found {
                        ticket: Twin {
                            table: mapping::incident(),
                            sys_id: SysId::new(ticket.id).ok()?,
                            number: ticket.number,
                            changes: None,
                            closing: None,
                        },
                        active: true,
                        ours: true,
                        made: None,
                    })
                });
                Reading::Found(found.into_iter().collect())
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
    pub(crate) fn effect(&mut self, write: &Write) -> Result<Reading, String> {
        if !self.audited.contains(&write.key) {
            return Err(format!("explains: the write {} has no audit line", write.key));
        }
        match write.side {
            Side::External => self.effect_on_ticket(write),
            Side::Platform => Ok(self.effect_on_record(write)),
        }
    }

    pub(crate) fn effect_on_ticket(&mut self, write: &Write) -> Result<Reading, String> {
        let text = |v: Option<&Value>| v.map(Value::to_text).unwrap_or_default();
        match &write.verb {
            Verb::Create { set, .. } => {
                if self.ticket.is_some() {
                    // Where a unique key is kept, the instance itself refuses the second.
                    if self.fixed.rules.settings().correlation.mode == CorrelationMode::Unique {
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
            Verb::Retire { .. } => return Err("closes a ticket that is not there".to_owned()),
            Verb::Append { text, .. } => {
                if !self.ours_is_there() {
                    return Ok(Reading::Outcome(Outcome::Gone));
                }
                let row = self.new_row(text.text(), true);
                if let Some(ticket) = &mut self.ticket {
                    ticket.version += 1;
                }
                self.messages.push(Message::Row(row).into());
                self.writes += 1;
            }
        }
        self.post_ticket();
        Ok(Reading::Outcome(Outcome::Applied(self.shown_ticket())))
    }

    /// Whether the ticket that the link knows is the one that is there.
    pub(crate) fn ours_is_there(&self) -> bool {
        let id = format!("{:032x}", self.made);
        self.ticket.is_some() && self.link.external.as_ref().is_none_or(|e| e.sys_id.as_str() == id)
    }

    pub(crate) fn new_row(&mut self, text: &str, ours: bool) -> Row {
        let id = format!("{:032x}", self.rows.len() + 1);
        let row = Row { id, text: text.to_owned(), ours };
        self.rows.push(row.clone());
        row
    }

    pub(crate) fn effect_on_record(&mut self, write: &Write) -> Reading {
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
            Verb::Create { .. } | Verb::Retire { .. } => {}
        }
        self.keys.insert(write.key.clone());
        self.writes += 1;
        self.messages.push(Message::Event(self.shown_record()).into());
        Reading::Outcome(Outcome::Applied(Some(self.shown_record())))
    }
}

/// Whether a plan only waits for a pause to be over.
pub(crate) fn waits(plan: &Plan) -> bool {
    Side::BOTH.into_iter().any(|side| {
        let state = plan.link.side(side);
        state.exchange.is_none() && state.not_before.is_some() && state.flight.is_some()
            || state.exchange.is_none()
                && state.not_before.is_some()
                && (state.look || state.look_journal || state.search.is_some())
    })
}

pub(crate) fn message(side: Side, record: ObservedRecord, entries: Vec<EntrySeen>) -> Observation {
    Observation { side, source: ObservationSource::Message, record, entries }
}
