//! `plan`: the one function that decides. It looks at a link and says the next step of each side.
//!
//! Webhook, poll, reconcile run, operator's click: each only brings an input and lets [`advance`]
//! look again. So repair, echo suppression, reordering and crash recovery have no code of their
//! own; they are the ordinary case, run once more.

mod ask;
mod settle;
mod step;

use std::collections::BTreeMap;

use firn_model::rule::{Answer, Question};
use firn_model::{
    Audit, Clock, Conflict, Ended, FieldState, Finding, FindingKind, Link, Millis, Notice,
    Observation, Outcome, Phase, Plan, Shape, Side, SysId, TableName, Tombstone, Twin, Uncertainty,
    Value, Verb, Why,
};

use serde::{Deserialize, Serialize};

use crate::journal::Neighbours;
use crate::land::{self, Reading};
use crate::mapping::{self};
use crate::merge::Circumstances;
use crate::settings::{FieldMapping, Rules};
use crate::{journal, observe};

/// What `advance` is given besides the link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// Something was seen.
    Seen(Observation),
    /// A request is over.
    Answered {
        /// The side that was asked.
        side: Side,
        /// Which exchange.
        number: u64,
        /// What the answer says.
        reading: Reading,
    },
    /// What an answer told of a side's clock.
    Told {
        /// The side.
        side: Side,
        /// Its clock; nothing, if the answer has no date.
        clock: Option<Clock>,
    },
    /// What is known of other links on the same ticket, or on a twin of it, for this turn.
    Shared(Neighbours),
    /// What the tenant's rules answered to a question of the plan before.
    Ruled(Question, Answer),
}

/// What comes out besides the link and its steps.
#[derive(Debug, Default)]
pub struct Effects {
    /// What a person should see.
    pub findings: Vec<Finding>,
    /// What was decided.
    pub audit: Vec<Audit>,
    /// Conflicts that opened, changed or closed.
    pub conflicts: Vec<Conflict>,
    /// What failed for good.
    pub dead: Vec<firn_model::DeadLetter>,
    /// The link got its ticket.
    pub notice: Option<Notice>,
}

/// A store was put back that had found a ticket ready to be written to: that may be long ago, and the write done.
fn look_before_sending(link: &mut Link) {
    let state = &mut link.external_side;
    if !link.twins.is_empty() {
        // They may be closed by now, and opened again by somebody.
        link.twins.clear();
        state.look_twins = true;
    }
    let Some(flight) = &mut state.flight else { return };
    if flight.phase != Phase::Sending || state.exchange.is_some() {
        return; // What was under way gets no answer, and is looked up.
    }
    match flight.write.verb {
        Verb::Retire { .. } => state.flight = None,
        _ => flight.phase = Phase::Checking,
    }
}

/// The further tickets that a write of ours may close, or has closed: it left, and what became of it is not known.
fn closings(link: &Link) -> Vec<Twin> {
    let state = &link.external_side;
    let flight = state.flight.as_ref().filter(|flight| match flight.phase {
        Phase::Sending => state.exchange.is_some(),
        Phase::Verifying { .. } => true,
        Phase::Checking | Phase::Refused(_) => false,
    });
    let under_way = flight.and_then(|flight| match &flight.write.verb {
        Verb::Retire { twin, .. } => Some(twin.clone()),
        _ => None,
    });
    link.twins.iter().filter(|twin| twin.closing.is_some()).cloned().chain(under_way).collect()
}

/// A further ticket with the link's key that is or was a pair's is no duplicate to be closed.
fn leave_to_people(
    link: &mut Link,
    neighbours: &Neighbours,
    closing: Vec<Twin>,
    now: Millis,
    effects: &mut Effects,
) {
    let is_paired = |twin: &Twin| neighbours.held.contains(&twin.sys_id);
    let (paired, twins): (Vec<Twin>, Vec<Twin>) =
        std::mem::take(&mut link.twins).into_iter().partition(is_paired);
    link.twins = twins;
    let names = |twins: &[Twin]| {
        let name = |twin: &Twin| twin.number.clone().unwrap_or_else(|| twin.sys_id.to_string());
        twins.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let mut tell = |kind: FindingKind, text: String| {
        effects.findings.push(Finding {
            kind,
            integration: link.integration.clone(),
            link: Some(link.id.clone()),
            field: None,
            text,
            at: now,
        });
    };
    if !paired.is_empty() {
        let text = format!(
            "{}; {}: left to people, since a record is or was paired with it",
            land::more_than_one(link),
            names(&paired)
        );
        tell(FindingKind::DuplicateTicket, text);
    }
    // What has left cannot be taken back.
    let closing: Vec<Twin> = closing.into_iter().filter(is_paired).collect();
    if !closing.is_empty() {
        let text = format!(
            "{}: a write that closes it as a duplicate had left when a record was paired with it; look at its history, and open it again if it was closed",
            names(&closing)
        );
        tell(FindingKind::OverwrittenUnseen, text);
    }
    let state = &mut link.external_side;
    let is_asked = state.exchange.is_some();
    let unsent = state.flight.as_ref().is_some_and(|flight| {
        matches!(&flight.write.verb, Verb::Retire { twin, .. } if is_paired(twin))
            && flight.phase == Phase::Sending
            && !is_asked
    });
    if unsent {
        state.flight = None;
    }
}

/// Puts inputs into a link and says what comes next.
#[must_use]
pub fn advance(rules: &Rules, mut link: Link, inputs: &[Input], now: Millis) -> Plan {
    let mut effects = Effects::default();
    let shared = inputs.iter().rev().find_map(|input| match input {
        Input::Shared(neighbours) => Some(neighbours.clone()),
        _ => None,
    });
    let neighbours = shared.unwrap_or_default();
    if rules.integration().restored.is_some_and(|restored| link.updated < restored.until) {
        look_before_sending(&mut link);
    }
    journal::forget_neighbours(&mut link, &neighbours);
    let closing = closings(&link);
    let twins: Vec<SysId> = link.twins.iter().map(|twin| twin.sys_id.clone()).collect();
    let (was, table) = (link.tombstone.clone(), link.table.clone());
    for input in inputs {
        match input {
            Input::Seen(observation) => {
                observe::observe(rules, &mut link, &neighbours, observation, now);
            }
            Input::Answered { side, number, reading } => {
                let (exchange, reading) = ((*side, *number), reading.clone());
                land::land(rules, &mut link, &neighbours, exchange, reading, now, &mut effects);
            }
            Input::Told { side, clock } => {
                let state = link.side_mut(*side);
                state.clock = match clock {
                    Some(clock) => Some(Clock::and(state.clock, *clock)),
                    // It does not say: as good as ours.
                    None => state.clock.or(Some(Clock { low: 0, high: 0 })),
                };
            }
            Input::Shared(_) | Input::Ruled(..) => {}
        }
    }
    for side in Side::BOTH {
        let overdue = link.side(side).exchange.as_ref().filter(|e| e.deadline <= now);
        if let Some(number) = overdue.map(|e| e.number) {
            let outcome = Outcome::Unknown(Uncertainty::Open, "no answer in time".to_owned());
            let (exchange, reading) = ((side, number), Reading::Outcome(outcome));
            land::land(rules, &mut link, &neighbours, exchange, reading, now, &mut effects);
        }
    }
    leave_to_people(&mut link, &neighbours, closing, now, &mut effects);
    let has_new_twins = link.twins.iter().any(|twin| !twins.contains(&twin.sys_id));
    let (wants, held, rivals) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let failures = Vec::new();
    let mut planner =
        Planner { rules, link, neighbours, now, effects, wants, held, rivals, failures };
    planner.forget();
    for input in inputs {
        if let Input::Ruled(question, answer) = input {
            planner.hear(question, answer);
        }
    }
    planner.tell(was.as_ref(), &table);
    // Whoever keeps the links has to say first whether others share the ticket, or hold a twin.
    let mut inquiry = None;
    let mut steps = Vec::new();
    if planner.effects.notice.is_none() && !has_new_twins {
        planner.settle();
        planner.forget_needless();
        inquiry = planner.questions();
        if inquiry.is_none() {
            steps = Side::BOTH.map(|side| (side, planner.step(side))).to_vec();
        }
    }
    let Planner { mut link, effects, .. } = planner;
    link.updated = now;
    Plan {
        link,
        steps,
        findings: effects.findings,
        audit: effects.audit,
        conflicts: effects.conflicts,
        dead: effects.dead,
        notice: effects.notice,
        inquiry,
    }
}

pub(crate) use ask::{begins_with, has_word, word};
pub use ask::{judge, subject};

/// A field that a side is to be given.
#[derive(Debug, Clone)]
struct Want {
    field: FieldMapping,
    /// The other side's shape that is translated.
    of: Shape,
    /// The platform's shape, where a person chose it.
    chosen: Option<Shape>,
    why: Why,
}

struct Planner<'a> {
    rules: &'a Rules,
    link: Link,
    neighbours: Neighbours,
    now: Millis,
    effects: Effects,
    wants: BTreeMap<Side, Vec<Want>>,
    /// When a side has to be looked at again because rules failed.
    held: BTreeMap<Side, Millis>,
    /// Two edits that rules have to be asked about.
    rivals: Vec<Question>,
    /// Why rules failed, this time.
    failures: Vec<String>,
}

impl Planner<'_> {
    /// What the inputs have led to, for people: a record is gone, or of another class.
    fn tell(&mut self, was: Option<&Tombstone>, table: &TableName) {
        // One that is as it was before a number was looked for was told of then.
        if let (None, Some(Tombstone { why: Ended::Gone(side), at })) =
            (was, self.link.tombstone.clone())
            && at == self.now
        {
            let side = side.to_string();
            self.find(
                FindingKind::RecordGone,
                None,
                format!("the {side} record was deleted; the other side is kept, and nothing is created again"),
            );
        }
        let is_found = self.effects.notice.is_some();
        if self.link.table != *table
            && self.link.external.is_some()
            && !(is_found && self.rules.takes(&self.link.table))
        {
            let text = if self.rules.takes(&self.link.table) {
                format!(
                    "the ticket was a {table} and is a {} now; its fields are mapped as such",
                    self.link.table
                )
            } else {
                let was = if is_found { String::new() } else { format!("was a {table} and ") };
                format!(
                    "the ticket {was}is a {}, which the settings do not name; only its journal travels: add it to [[tickets]]",
                    self.link.table
                )
            };
            self.find(FindingKind::Reclassed, None, text);
        }
    }

    fn finding(&mut self, kind: FindingKind, field: &FieldMapping, text: String) {
        self.find(kind, Some(field), text);
    }

    fn find(&mut self, kind: FindingKind, field: Option<&FieldMapping>, text: String) {
        self.effects.findings.push(Finding {
            kind,
            integration: self.link.integration.clone(),
            link: Some(self.link.id.clone()),
            field: field.map(|f| f.name.clone()),
            text,
            at: self.now,
        });
    }
}

/// What a field's condition sees: both sides of all mapped fields.
pub(crate) fn context(link: &Link, state: &FieldState) -> serde_json::Value {
    let mut sides = [serde_json::Map::new(), serde_json::Map::new()];
    for known in link.fields.values().chain([state]) {
        for (i, side) in Side::BOTH.into_iter().enumerate() {
            if let (Some(shape), Some(all)) = (known.shape(side), sides.get_mut(i))
                && let serde_json::Value::Object(attributes) = mapping::as_json(shape)
            {
                all.extend(attributes);
            }
        }
    }
    let [record, ticket] = sides;
    serde_json::json!({ "record": record, "ticket": ticket, "table": link.table })
}

/// Whether a field is synchronised at the moment: its condition holds, or it has none.
///
/// # Errors
/// Why its condition cannot be evaluated.
pub fn applies(field: &FieldMapping, state: &FieldState, link: &Link) -> Result<bool, String> {
    field.when.as_ref().map_or(Ok(true), |condition| condition.holds(&context(link, state)))
}

/// What a verdict on a field of a link depends on besides the field.
#[must_use]
pub fn circumstances(link: &Link, now: Millis) -> Circumstances {
    Circumstances {
        now,
        origin: link.origin,
        platform_clock: link.platform_side.clock,
        external_clock: link.external_side.clock,
    }
}

/// A shape as it may be shown: in an audit line, a report, a screen.
#[must_use]
pub fn mask_shape(rules: &Rules, shape: &Shape) -> Shape {
    let mask = |value: &Value| match value {
        Value::Text(text) => Value::text(rules.masks().shown(text)),
        // A card number may come as a number.
        Value::Integer(n) => {
            let text = n.to_string();
            let masked = rules.masks().shown(&text);
            if masked == text { value.clone() } else { Value::text(masked) }
        }
        other => other.clone(),
    };
    Shape(shape.0.iter().map(|(a, v)| (a.clone(), mask(v))).collect())
}

#[cfg(test)]
mod tests;
