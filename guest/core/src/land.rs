//! What became of a request: puts its outcome into the link. An outcome that is not known is
//! looked up, never blindly repeated; the base moves only on what was seen.

mod history;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;

use firn_model::{
    Apart, Base, ClosedPolicy, CorrelationMode, DuplicatePolicy, EntrySeen, Exchange, ExchangeKind,
    ExternalRecord, FieldName, Finding, FindingKind, Flight, Ghost, Link, Millis, Mirror, Notice,
    ObservationSource, ObservedRecord, Order, Outcome, Past, Phase, Reference, Refusal, SEEN_LATE,
    Search, Side, SysId, TableName, Translated, Twin, Uncertainty, Verb, Write,
};

use serde::{Deserialize, Serialize};

use crate::escalation::{self, Standing};
use crate::journal::{Neighbours, Travelled};
use crate::mapping::LookUp;
use crate::plan::Effects;
use crate::settings::Rules;
use crate::{identity, journal, mapping, observe};

pub(crate) use history::{Came, changes_between, columns, overwritten, overwritten_text};

/// A ticket that was looked for: what tells it from others, and no more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Found {
    /// Which.
    pub ticket: Twin,
    /// Whether it is open.
    pub active: bool,
    /// Whether our user made it, and nobody else has changed it since.
    pub ours: bool,
    /// When it was made, by ServiceNow's clock.
    pub made: Option<Millis>,
}

/// What an answer says, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// The tickets that have our key, or a number, oldest first.
    Found(Vec<Found>),
    /// The record, and entries where the side shows them with it.
    Record(ObservedRecord, Vec<EntrySeen>),
    /// The journal.
    Entries(Vec<EntrySeen>),
    /// The rows that have a key.
    Rows(Vec<SysId>),
    /// Whether there is a proof that the record was deleted.
    Deletion(bool),
    /// What the record's history has of its columns.
    History(Past),
    /// The outcome of a write, or of a read that failed.
    Outcome(Outcome),
}

/// After so many failures in a row a person is told.
const UNREACHABLE: u32 = 6;

/// The pause after a sign-in that was not accepted: no hammering, the account could be locked.
pub const SIGN_IN_PAUSE: u64 = 60_000;

/// Puts the answer to exchange `number` into the link. The answer to another exchange than the one
/// under way came too late and says nothing that will not be looked up anyway.
pub fn land(
    rules: &Rules,
    link: &mut Link,
    neighbours: &Neighbours,
    (side, number): (Side, u64),
    reading: Reading,
    now: Millis,
    effects: &mut Effects,
) {
    let state = link.side_mut(side);
    let Some(exchange) = state.exchange.take_if(|e| e.number == number) else { return };
    let Exchange { kind, since: asked, elsewhere, .. } = exchange;
    let mut landing = Landing { rules, link, neighbours, side, now, asked, elsewhere, effects };
    match (kind, reading) {
        (ExchangeKind::Send, Reading::Outcome(outcome)) => landing.written(outcome),
        (ExchangeKind::Find, Reading::Found(records)) => landing.found(records),
        (ExchangeKind::Locate(number), Reading::Found(records)) => {
            landing.located(&number, &records);
        }
        (ExchangeKind::Read, Reading::Record(record, entries)) => landing.read(&record, &entries),
        (ExchangeKind::Class, Reading::Record(record, _)) => landing.classified(&record),
        (ExchangeKind::Deletion, Reading::Deletion(proved)) => landing.searched(proved),
        (ExchangeKind::Journal, Reading::Entries(rows)) => landing.journal(&rows),
        (ExchangeKind::History, Reading::History(past)) => landing.history(&past),
        (ExchangeKind::LookUp { table, key, value }, Reading::Rows(ids)) => {
            landing.looked_up(&LookUp { table, key, value }, &ids);
        }
        (kind, Reading::Outcome(outcome)) => landing.read_failed(&kind, outcome),
        // An answer of another kind than was asked for: as good as none.
        (kind, _) => {
            let outcome =
                Outcome::Unknown(Uncertainty::Open, "an answer of another kind".to_owned());
            landing.read_failed(&kind, outcome);
        }
    }
}

struct Landing<'a> {
    rules: &'a Rules,
    link: &'a mut Link,
    neighbours: &'a Neighbours,
    side: Side,
    now: Millis,
    /// When the request left. What an answer shows is at least as new as this, not as new as `now`.
    asked: Millis,
    /// It left for a table that the ticket is not in any more.
    elsewhere: bool,
    effects: &'a mut Effects,
}

impl Landing<'_> {
    fn finding(&mut self, kind: FindingKind, field: Option<&FieldName>, text: String) {
        self.effects.findings.push(Finding {
            kind,
            integration: self.link.integration.clone(),
            link: Some(self.link.id.clone()),
            field: field.cloned(),
            text,
            at: self.now,
        });
    }

    fn healthy(&mut self) {
        let state = self.link.side_mut(self.side);
        state.failures = 0;
        state.not_before = None;
    }

    /// Leaves the side alone for a while: as long as it said, or longer with every failure.
    fn back_off(&mut self, outcome: &Outcome) {
        let seed = self.link.id.as_str().to_owned();
        let now = self.now;
        let state = self.link.side_mut(self.side);
        if let Outcome::Busy(_) = outcome {
            // Its turn comes; nothing is wrong.
            state.not_before = outcome.not_before(now);
            return;
        }
        state.failures = state.failures.saturating_add(1);
        let pause = match outcome {
            Outcome::SignInFailed => SIGN_IN_PAUSE,
            // It never left: no reason to wait for long (the budget keeps the pace).
            Outcome::NotSent(_) => backoff(&seed, state.failures.min(4)),
            _ => backoff(&seed, state.failures),
        };
        state.not_before = Some(outcome.not_before(now).unwrap_or(now.plus(pause)));
        // What it refused it answered, and what it refused was told.
        let is_reached = matches!(outcome, Outcome::SignInFailed | Outcome::Refused(_));
        if state.failures == UNREACHABLE && !is_reached {
            // What kept it from leaving is the same for all links; what an answer said may not be.
            let why = match outcome {
                Outcome::NotSent(why) => format!(" ({why})"),
                _ => String::new(),
            };
            let text = format!(
                "the {} side was not reached {UNREACHABLE} times in a row{why}; work waits and is tried again",
                self.side
            );
            self.finding_of_all(FindingKind::Unreachable, text);
        }
        if *outcome == Outcome::SignInFailed {
            let text = format!(
                "the {} side does not accept our sign-in; check the credentials. Work waits and is tried once a minute",
                self.side
            );
            self.finding_of_all(FindingKind::SignInFailed, text);
        }
    }

    /// One for the integration, however many links wait.
    fn finding_of_all(&mut self, kind: FindingKind, text: String) {
        let (integration, at) = (self.link.integration.clone(), self.now);
        self.effects.findings.push(Finding {
            kind,
            integration,
            link: None,
            field: None,
            text,
            at,
        });
    }

    fn flight(&mut self) -> Option<&mut Flight> {
        self.link.side_mut(self.side).flight.as_mut()
    }

    fn phase(&mut self, phase: Phase) {
        if let Some(flight) = self.flight() {
            flight.phase = phase;
        }
    }

    fn drop_flight(&mut self) -> Option<Write> {
        self.link.side_mut(self.side).flight.take().map(|flight| flight.write)
    }

    /// Drops a write to a record that cannot be looked at any more. If its fate was unknown, it may
    /// have overwritten what nobody will ever see: that is told.
    fn abandon_flight(&mut self) {
        let unknown = matches!(self.flight().map(|f| &f.phase), Some(Phase::Verifying { .. }));
        let Some(Write { verb: Verb::Update { set, .. }, .. }) = self.drop_flight() else { return };
        for name in set.keys().filter(|_| unknown) {
            let text = format!(
                "whether our write of {name} reached the ticket before it was gone is unknown; what stood there then is in its history only"
            );
            self.finding(FindingKind::OverwrittenUnseen, Some(name), text);
        }
    }

    /// The transaction limit had passed when this look-up left, so that it would have shown an
    /// unanswered write. (A look-up that left before, and is answered after, may have missed it.)
    fn too_late_to_commit(&self, sent: Millis) -> bool {
        self.asked >= sent.plus(self.rules.settings().correlation.transaction_limit)
    }

    /// Looks again later: soon at first, and in any case when the transaction limit is over.
    fn wait_for_commit(&mut self, sent: Millis) {
        self.wait(sent.plus(self.rules.settings().correlation.transaction_limit));
    }

    /// Looks again later: soon at first, and in any case then.
    fn wait(&mut self, limit: Millis) {
        let seed = self.link.id.as_str().to_owned();
        let now = self.now;
        let state = self.link.side_mut(self.side);
        state.failures = state.failures.saturating_add(1);
        state.not_before =
            Some(now.plus(backoff(&seed, state.failures)).min(limit).max(now.plus(1)));
    }

    // ---- reads ---------------------------------------------------------------------------

    fn read_failed(&mut self, kind: &ExchangeKind, outcome: Outcome) {
        let idle = self.link.side(self.side).flight.is_none();
        match (kind, &outcome) {
            (ExchangeKind::Read, Outcome::Gone) => return self.lost(),
            (ExchangeKind::Read, Outcome::Deleted) => return self.deleted(),
            (ExchangeKind::Class, Outcome::Gone | Outcome::Deleted) => {
                self.link.external_side.search = Some(Search::Deletion);
                return;
            }
            // Without the right to look for a proof there is none.
            (ExchangeKind::Class | ExchangeKind::Deletion, Outcome::Refused(_))
            | (ExchangeKind::Deletion, Outcome::Gone) => return self.searched(false),
            (ExchangeKind::Locate(number), Outcome::Gone) => {
                let number = number.clone();
                return self.located(&number, &[]);
            }
            // Nothing waits for it.
            (ExchangeKind::History, _) => return self.history_failed(&outcome),
            (_, Outcome::Refused(refusal)) => {
                let text = format!(
                    "reading from the {} side was refused ({} {}); check the rights of the integration user",
                    self.side, refusal.status, refusal.message
                );
                self.finding(FindingKind::Refused, None, text);
            }
            _ => {}
        }
        match (kind, &outcome) {
            // The one field that needs it is left alone; everything else goes on.
            (
                ExchangeKind::LookUp { table, key, value },
                Outcome::Refused(_) | Outcome::Gone | Outcome::Deleted,
            ) => {
                let (table, key, value) = (table.clone(), key.clone(), value.clone());
                return self.looked_up(&LookUp { table, key, value }, &[]);
            }
            // No more will be seen the next time: the same as a journal that shows nothing.
            (ExchangeKind::Journal, Outcome::Refused(_)) if !idle => return self.journal(&[]),
            // A case's journal is below its own address: whether the case is still there is asked first.
            (ExchangeKind::Journal, Outcome::Gone | Outcome::Deleted)
                if self.side == Side::External
                    && crate::wire::has_activities(self.rules, &self.link.table) =>
            {
                self.let_go_of_entry();
            }
            _ => {}
        }
        let state = self.link.side_mut(self.side);
        match kind {
            ExchangeKind::Read if idle => state.look = true,
            ExchangeKind::Journal if idle => state.look_journal = true,
            ExchangeKind::Find if idle => state.look_twins = true,
            _ => {}
        }
        self.back_off(&outcome);
    }

    /// The journal in which an entry was to be is not there: nothing can be written in it, or seen of what was. One that
    /// may have been written is not written again, and somebody is told.
    fn let_go_of_entry(&mut self) {
        let flight = self.flight().map(|flight| (flight.phase.clone(), flight.write.verb.clone()));
        let Some((phase, Verb::Append { entry, .. })) = flight else { return };
        match phase {
            Phase::Verifying { sent, .. } if !self.too_late_to_commit(sent) => return,
            Phase::Verifying { .. } => {
                journal::settle(self.link, &entry, Mirror::Mirrored(None));
                let text = "whether our entry reached the record before its journal could no longer be read is unknown; look, and write it again if it did not".to_owned();
                self.finding(FindingKind::UnseenEdit, None, text);
            }
            _ => {}
        }
        self.drop_flight();
        self.link.side_mut(self.side).look = true;
    }

    /// The record is not where it was. Deleted, of another class, or hidden by rights: that is told
    /// apart before anything is concluded.
    fn lost(&mut self) {
        self.healthy();
        // A write whose fate is being looked up is looked up further where the record is now.
        if !matches!(self.flight().map(|f| &f.phase), Some(Phase::Verifying { .. })) {
            self.drop_flight();
        }
        let elsewhere = self.elsewhere;
        let state = self.link.side_mut(self.side);
        if elsewhere {
            state.look = true;
            return;
        }
        state.missing = true;
        match self.side {
            Side::External => state.search = Some(Search::Class),
            Side::Platform => self.finding(
                FindingKind::RecordMissing,
                None,
                "the platform's record cannot be found any more; nothing is written to it until it is seen again or an event says that it was deleted".to_owned(),
            ),
        }
    }

    fn deleted(&mut self) {
        match self.side {
            // ServiceNow never says so itself; what says it stands in between.
            Side::External => self.lost(),
            Side::Platform => {
                self.healthy();
                self.drop_flight();
                observe::end(self.link, Side::Platform, self.now);
            }
        }
    }

    /// Found among all tasks: of another class now, or in its own class and not to be seen there.
    fn classified(&mut self, record: &ObservedRecord) {
        self.healthy();
        let class = record.class.as_deref().and_then(|c| TableName::new(c).ok());
        let Some(external) = &mut self.link.external else { return };
        match class {
            Some(class) if class != external.table => {
                external.table = class.clone();
                observe::reclass(self.rules, self.link, class);
                let state = &mut self.link.external_side;
                state.search = None;
                state.missing = false;
                state.look = true;
            }
            _ => {
                self.link.external_side.search = None;
                self.abandon_flight();
                let text = "the ticket is there, and the integration user may not read it in its own table; nothing is written until it is seen again: check the user's roles and the table's ACLs";
                self.finding(FindingKind::RecordMissing, None, text.to_owned());
            }
        }
    }

    /// Nowhere to be found; with or without a proof that it was deleted.
    fn searched(&mut self, proved: bool) {
        self.healthy();
        self.link.external_side.search = None;
        self.abandon_flight();
        if proved {
            observe::end(self.link, Side::External, self.now);
        } else {
            let text = "the ticket cannot be found, and nothing proves that it was deleted (sys_audit_delete shows no such row, or may not be read); nothing is written until it is seen again";
            self.finding(FindingKind::RecordMissing, None, text.to_owned());
        }
    }

    fn looked_up(&mut self, wanted: &LookUp, ids: &[SysId]) {
        self.healthy();
        let reference = match ids {
            [] => Reference::Missing,
            [one] => Reference::Found(one.clone()),
            _ => Reference::Ambiguous,
        };
        self.link.references.insert(wanted.name(), reference);
    }

    /// A ticket that is to be attached was looked for by its number.
    fn located(&mut self, number: &str, found: &[Found]) {
        self.healthy();
        // It was taken apart meanwhile.
        if self.link.attach.take().is_none() {
            return;
        }
        let before = self.link.before.take();
        match found {
            [found] => self.adopt(found.ticket.clone(), true),
            others => {
                // Whoever took the pair apart did not want its ticket back, and would get it by its key.
                if let Some(Apart { tombstone, external }) = before {
                    if let Some(external) = &external {
                        self.link.table = external.table.clone();
                    }
                    self.link.tombstone = Some(tombstone);
                    self.link.external = external;
                }
                let text = format!(
                    "{} tickets have the number {number}; attach the right one by its sys_id",
                    others.len()
                );
                self.finding(FindingKind::RecordMissing, None, text);
            }
        }
    }

    fn found(&mut self, found: Vec<Found>) {
        self.healthy();
        if self.link.external.is_some() {
            return self.found_twins(&found);
        }
        let flight = self.flight().map(|flight| (flight.phase.clone(), flight.given_up));
        let Some((phase, given_up)) = flight else { return };
        // Of several the oldest that is still open.
        let ours = found.iter().find(|f| f.active).or(found.first()).map(|f| f.ticket.clone());
        let is_another = !given_up && matches!(phase, Phase::Checking | Phase::Refused(_));
        if is_another && !found.is_empty() && self.is_over_for_good(&found) {
            // A ticket of an earlier time that nobody has open takes no wish: the next one is made, under the next key.
            self.drop_flight();
            self.link.generation += 1;
            self.link.key = identity::correlation_key(&self.link.platform_id, self.link.generation);
            return;
        }
        match (ours, phase) {
            (Some(ticket), _) => {
                // Found while checking, it was there before us; found while verifying, it is ours.
                self.adopt(ticket, is_another);
                self.found_twins(&found);
            }
            (None, Phase::Checking | Phase::Sending) => self.phase(Phase::Sending),
            (None, Phase::Refused(refusal)) => self.dead(&refusal),
            (None, Phase::Verifying { sent, applied: true, .. })
                if self.too_late_to_commit(sent) =>
            {
                // Once more would be another ticket of which nobody knows whose it is.
                let column = &self.rules.settings().correlation.column;
                let message = format!(
                    "it said that the ticket was made, and none has its key: a rule there rewrites {column}, or it is too short for {}",
                    self.link.key
                );
                self.dead(&Refusal { status: 200, message });
            }
            (None, Phase::Verifying { sent, applied: true, .. }) => self.wait_for_commit(sent),
            (None, Phase::Verifying { sent, .. }) => {
                let settings = self.rules.settings();
                // What left another way has no primary key to refuse it.
                let keyed = settings.provision.resource
                    && matches!(
                        self.flight().map(|flight| &flight.write.verb),
                        Some(Verb::Create { keyed: true, .. })
                    );
                let unique = settings.correlation.mode == CorrelationMode::Unique || keyed;
                if unique || self.too_late_to_commit(sent) {
                    self.link.resent |= !unique;
                    if let Some(flight) = self.flight() {
                        flight.given_up = true;
                    }
                    self.phase(Phase::Sending);
                } else {
                    self.wait_for_commit(sent);
                }
            }
        }
    }

    /// Whether what was found for an escalation is closed, and the policy wants another ticket then.
    fn is_over_for_good(&self, found: &[Found]) -> bool {
        // Perhaps it was this very wish's, in a time that is lost.
        let is_known = self.rules.integration().restored.is_none();
        is_known
            && !self.link.asked.is_empty()
            && self.rules.settings().correlation.closed != ClosedPolicy::Append
            && found.iter().all(|found| !found.active)
    }

    /// Tickets with our key besides our own. Those that we made and that are open are closed, if the
    /// settings want it; the others are told of, once.
    fn found_twins(&mut self, found: &[Found]) {
        let closing = self.closings(found);
        let Some(own) = self.link.external.as_ref().map(|e| e.sys_id.clone()) else { return };
        let open: Vec<&Found> =
            found.iter().filter(|f| f.active && f.ticket.sys_id != own).collect();
        // A person may have resolved it in favour of the other one.
        let goes_on = found.iter().filter(|f| f.ticket.sys_id == own).any(|f| {
            let is_open = f.active && escalation::standing(self.rules, self.link) == Standing::Open;
            is_open || f.ours
        });
        let policy = self.rules.settings().correlation.duplicates;
        let close = policy == DuplicatePolicy::Close
            && goes_on
            && self.link.tombstone.is_none()
            && self.rules.may_write(Side::External);
        // What was paired in a time of which we know nothing shows nowhere.
        let restored = self.rules.integration().restored;
        let is_known =
            |f: &Found| restored.is_none_or(|r| f.made.is_some_and(|made| r.is_over_by(made)));
        let (closed, left): (Vec<&Found>, Vec<&Found>) = open.iter().partition(|f| {
            close && f.ours && is_known(f) && self.rules.closing(&f.ticket.table).is_some()
        });
        let others = closed.iter().map(|f| &f.ticket).filter(|ticket| {
            // Sent again, one of them could close it when somebody has opened it once more. The others of the link's
            // writes need not wait for that.
            closing.iter().all(|twin| twin.sys_id != ticket.sys_id)
        });
        self.link.twins = closing.iter().chain(others).cloned().collect();
        if open.is_empty() {
            return;
        }
        let names = |tickets: &[&Found]| {
            let name =
                |f: &&Found| f.ticket.number.clone().unwrap_or_else(|| f.ticket.sys_id.to_string());
            tickets.iter().map(name).collect::<Vec<_>>().join(", ")
        };
        let own = self.link.external.as_ref().and_then(|own| own.number.clone());
        let mut text = more_than_one(self.link);
        if !closed.is_empty() {
            let (own, closed) = (own.unwrap_or_default(), names(&closed));
            text.push_str(&format!(
                "; {closed}: closed as a duplicate of {own}, with a work note that says so"
            ));
        }
        if !left.is_empty() {
            text.push_str(&format!(
                "; {}: left to people, who close or merge what is too much",
                names(&left)
            ));
            let is_closing = |f: &&Found| closing.iter().any(|twin| twin.sys_id == f.ticket.sys_id);
            let closing: Vec<&Found> = left.into_iter().filter(is_closing).collect();
            if !closing.is_empty() {
                text.push_str(&format!(
                    "; {}: a write that closes it had left before, and may still take effect",
                    names(&closing)
                ));
            }
        }
        self.finding(FindingKind::DuplicateTicket, None, text);
    }

    /// The further tickets that a write of ours may still close. What is known of such writes is told: the answer may
    /// have been lost, and the ticket's counter tells what happened.
    fn closings(&mut self, found: &[Found]) -> Vec<Twin> {
        let mut sent: Vec<Twin> =
            self.link.twins.iter().filter(|twin| twin.closing.is_some()).cloned().collect();
        let may_come = match self.flight().map(|flight| &flight.phase) {
            Some(Phase::Verifying { sent, open: true, .. }) => Some(*sent),
            _ => None,
        };
        if let Some(Write { verb: Verb::Retire { twin, .. }, .. }) = self.drop_flight() {
            sent.push(Twin { closing: may_come, ..twin });
        }
        let mut open = Vec::new();
        for mut twin in sent {
            let Some(now) = found.iter().find(|f| f.ticket.sys_id == twin.sys_id) else { continue };
            let changes = now.ticket.changes;
            let is_told = self.retired(&twin, changes);
            let is_once = changes == twin.changes.map(|before| before.saturating_add(1));
            let is_done = now.ours && !now.active && is_once;
            if is_told {
                twin.changes = changes;
            }
            if twin.closing.is_some_and(|sent| !is_done && !self.too_late_to_commit(sent)) {
                open.push(twin);
            }
        }
        open
    }

    /// After a further ticket was closed: more changes than ours mean that somebody began to work
    /// in it between our look and our write. Whether that is so.
    fn retired(&mut self, twin: &Twin, now: Option<u32>) -> bool {
        let (Some(before), Some(now)) = (twin.changes, now) else { return false };
        let is_so = now.saturating_sub(before) > 1;
        if is_so {
            let name = twin.number.as_deref().unwrap_or(twin.sys_id.as_str());
            let text = format!(
                "somebody changed {name} while it was being closed as a duplicate; look at its history, and open it again if it is the one to go on with"
            );
            self.finding(FindingKind::OverwrittenUnseen, None, text);
        }
        is_so
    }

    /// The link gets a ticket that was looked for; what it holds is read next.
    fn adopt(&mut self, ticket: Twin, adopted: bool) {
        let Twin { table, sys_id, number, .. } = ticket;
        self.link.made_of = match self.flight().map(|flight| &flight.write.verb) {
            Some(Verb::Create { of, .. }) if !adopted => of.clone(),
            _ => BTreeMap::new(),
        };
        if sys_id.as_str() == self.link.platform_id.as_str() {
            self.link.origin = Side::External; // The record was made of it, and that was forgotten.
        }
        self.link_to(ExternalRecord { table, sys_id, number, adopted });
        let state = &mut self.link.external_side;
        state.look = true;
        // Others may have written in it before we knew it.
        state.look_journal = true;
    }

    /// The link gets the ticket that it made. Fields that stand there as they were written are settled: whichever side
    /// changed one since, it alone did.
    fn created(&mut self, sys_id: SysId, record: &ObservedRecord) {
        let made_of = match self.flight().map(|flight| &flight.write.verb) {
            Some(Verb::Create { of, .. }) => of.clone(),
            _ => BTreeMap::new(),
        };
        let class = record.class.as_deref().and_then(|c| TableName::new(c).ok());
        let table = class.unwrap_or_else(|| self.link.table.clone());
        let number = record.number.clone();
        self.link_to(ExternalRecord { table, sys_id, number, adopted: false });
        let source = ObservationSource::WriteAnswer;
        observe::record(self.rules, self.link, Side::External, record, source, self.now);
        for (name, platform) in made_of {
            let Some(field) = self.rules.field(&self.link.table, &name) else { continue };
            let shown = mapping::read(field, Side::External, &record.attributes);
            if let mapping::Reading::Whole(external) = shown
                && mapping::agree(field, &platform, &external)
                && let Some(state) = self.link.fields.get_mut(&name)
            {
                state.base = Some(Base { platform, external });
            }
        }
    }

    fn link_to(&mut self, ticket: ExternalRecord) {
        self.link.table = ticket.table.clone();
        self.link.draft = None;
        self.drop_flight();
        self.effects.notice = Some(Notice {
            link: self.link.id.clone(),
            sys_id: ticket.sys_id.clone(),
            number: ticket.number.clone(),
            created: !ticket.adopted,
        });
        self.link.external = Some(ticket);
    }

    fn read(&mut self, record: &ObservedRecord, entries: &[EntrySeen]) {
        self.healthy();
        observe::record(
            self.rules,
            self.link,
            self.side,
            record,
            ObservationSource::Read,
            self.now,
        );
        journal::observe(self.rules, self.link, self.neighbours, entries);
        let Some(flight) = self.flight().cloned() else { return };
        let Verb::Update { set, .. } = &flight.write.verb else { return };
        let known = self.link.side(self.side).revision;
        let overtaken = matches!(
            (record.revision, known),
            (Some(read), Some(known)) if read.order(&known) == Order::Older
        );
        match flight.phase {
            // Overtaken by a message that shows a newer state: read again.
            Phase::Checking if overtaken => {}
            Phase::Checking => {
                if self.as_expected(&flight.write) {
                    self.expect_what_is_there();
                    self.phase(Phase::Sending);
                } else {
                    self.drop_flight(); // Somebody was first: plan anew from what is there.
                }
            }
            Phase::Verifying { sent, open, .. } => {
                let landed = set.iter().all(|(name, t)| self.stands_there(name, t));
                if landed || !open || self.too_late_to_commit(sent) {
                    let write = flight.write.clone();
                    self.drop_flight();
                    let between = changes_between(&write, self.link.side(self.side).revision);
                    if landed {
                        self.overwritten_unseen(&write);
                        self.settle_fields(&write, None);
                        if open && !self.too_late_to_commit(sent) {
                            self.remember_ghosts(&write, sent);
                        }
                    } else if between > 2 || set.iter().any(|(name, t)| self.stands_there(name, t))
                    {
                        // It may have landed after one edit and before another; or it has, and a rule of the instance
                        // has rewritten a part of it.
                        self.overwritten_unseen(&write);
                    }
                } else {
                    self.wait_for_commit(sent);
                }
            }
            Phase::Sending | Phase::Refused(_) => {}
        }
    }

    fn remember_ghosts(&mut self, write: &Write, sent: Millis) {
        let Verb::Update { set, .. } = &write.verb else { return };
        let until = sent.plus(self.rules.settings().correlation.transaction_limit);
        for (name, translated) in set {
            if let Some(state) = self.link.fields.get_mut(name)
                && let Some(seen) = &state.external
            {
                state.ghost = Some(Ghost {
                    of: translated.ruled.as_ref().unwrap_or(&translated.of).clone(),
                    shape: seen.shape.clone(),
                    revision: seen.revision,
                    until,
                    departed: false,
                    told: false,
                });
            }
        }
    }

    fn as_expected(&self, write: &Write) -> bool {
        write.expect.fields.iter().all(|(name, expected)| {
            let Some(field) = self.rules.field(&self.link.table, name) else { return false };
            let seen = self.link.fields.get(name).and_then(|s| s.shape(self.side));
            match (expected, seen) {
                (None, None) => true,
                (Some(a), Some(b)) => mapping::same(field, self.side, a, b),
                _ => false,
            }
        })
    }

    /// The check found the same meaning, perhaps in other words (New for In Progress): what is
    /// about to be overwritten is what stands there now.
    fn expect_what_is_there(&mut self) {
        let revision = self.link.side(self.side).revision;
        let Some(mut flight) = self.link.side_mut(self.side).flight.take() else { return };
        flight.write.expect.revision = revision;
        for (name, expected) in &mut flight.write.expect.fields {
            *expected = self.link.fields.get(name).and_then(|s| s.shape(self.side)).cloned();
            for written in &mut flight.write.reasons {
                if written.field.as_ref() == Some(name) && written.from != *expected {
                    written.from.clone_from(expected);
                    flight.attempts = 0; // The audit has to tell of this.
                }
            }
        }
        self.link.side_mut(self.side).flight = Some(flight);
    }

    fn stands_there(&self, name: &FieldName, translated: &Translated) -> bool {
        let seen = self.link.fields.get(name).and_then(|s| s.shape(self.side));
        match (self.rules.field(&self.link.table, name), seen) {
            (Some(field), Some(seen)) => mapping::stands(field, self.side, seen, translated),
            _ => false,
        }
    }

    fn journal(&mut self, rows: &[EntrySeen]) {
        self.healthy();
        if let Some(flight) = self.flight().cloned()
            && let Verb::Append { entry, text, before, .. } = &flight.write.verb
        {
            match flight.phase {
                Phase::Checking => {
                    let seen = journal::rows_before(self.rules, text, rows);
                    let (link, neighbours) = (&*self.link, self.neighbours);
                    let travelled =
                        journal::travelled(self.rules, link, neighbours, entry, text, rows);
                    if let Some(travelled) = travelled {
                        self.drop_flight();
                        match travelled {
                            Travelled::Back => journal::is_a_copy(self.link, entry),
                            Travelled::There(row) => {
                                journal::settle(self.link, entry, Mirror::Mirrored(Some(row)));
                            }
                        }
                    } else if let Some(Flight { write, phase, .. }) = self.flight()
                        && let Verb::Append { before, .. } = &mut write.verb
                    {
                        *before = seen;
                        *phase = Phase::Sending;
                    }
                }
                Phase::Verifying { sent, applied, .. } => {
                    // What another link on the ticket wrote is not ours, whatever it says.
                    let others: Vec<String> =
                        before.iter().chain(&self.neighbours.claimed).cloned().collect();
                    let told = journal::claim_told(self.rules, self.link, text, &others);
                    match journal::claim(self.rules, self.link, text, &others, rows) {
                        Some(row) => {
                            self.drop_flight();
                            journal::settle(self.link, entry, Mirror::Mirrored(Some(row)));
                        }
                        None if applied && self.asked < sent.plus(SEEN_LATE) => {
                            self.wait(sent.plus(SEEN_LATE));
                        }
                        None if applied => {
                            self.drop_flight();
                            journal::settle(self.link, entry, Mirror::Mirrored(told));
                            let text = "an entry was written but cannot be read back: the integration user has no right to read sys_journal_field, so comments from ServiceNow may be missed".to_owned();
                            self.finding(FindingKind::RecordMissing, None, text);
                        }
                        None if told.is_some() => {
                            self.drop_flight();
                            journal::settle(self.link, entry, Mirror::Mirrored(told));
                        }
                        // What commits at the last moment can be read a moment later.
                        None if self.too_late_to_commit(sent.plus(SEEN_LATE)) => {
                            self.phase(Phase::Sending);
                        }
                        None => self.wait_for_commit(sent.plus(SEEN_LATE)),
                    }
                }
                Phase::Sending | Phase::Refused(_) => {}
            }
        }
        journal::observe(self.rules, self.link, self.neighbours, rows);
    }
}

/// How a finding about duplicates begins.
pub(crate) fn more_than_one(link: &Link) -> String {
    format!("more than one ticket was made for the key {}", link.key)
}

/// The pause after the `failures`-th failure in a row: 0.25 s, doubled each time up to a minute,
/// plus up to a quarter so that links do not come back in step. In milliseconds.
#[must_use]
pub fn backoff(seed: &str, failures: u32) -> u64 {
    let base = 250_u64.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(60_000);
    let jitter = seed
        .bytes()
        .fold(u64::from(failures), |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b)));
    base + jitter % (base / 4).max(1)
}
