//! What became of a write: applied, not as expected, refused, or nobody knows.

use firn_model::{
    Attribute, Base, CorrelationMode, DeadLetter, DeadState, FieldName, FindingKind, Hook, Millis,
    Mirror, ObservationSource, ObservedRecord, Outcome, Parked, ParkedWhy, Phase, Refusal,
    Revision, Side, SysId, Translated, Uncertainty, Verb, Why, Write,
};

use super::{Came, Landing, changes_between, columns, overwritten, overwritten_text};
use crate::mapping::Reading;
use crate::wire::is_shown;
use crate::{identity, journal, mapping, observe};

impl Landing<'_> {
    pub(super) fn written(&mut self, outcome: Outcome) {
        let Some(flight) = self.flight().cloned() else { return };
        let external = self.side == Side::External;
        match outcome {
            Outcome::Applied(record) => {
                self.healthy();
                self.applied(flight.write, record);
            }
            Outcome::Moved(record) => {
                self.drop_flight();
                observe::record(
                    self.rules,
                    self.link,
                    self.side,
                    &record,
                    ObservationSource::Read,
                    self.now,
                );
                if self.shows_nothing_new(&flight.write) {
                    self.contradicted(&flight.write, record);
                } else {
                    self.healthy();
                }
            }
            Outcome::Gone | Outcome::Deleted
                if matches!(flight.write.verb, Verb::Retire { .. }) =>
            {
                self.healthy();
                self.applied(flight.write, None);
            }
            // There is nothing yet that could be gone: the address is none.
            Outcome::Gone if matches!(flight.write.verb, Verb::Create { .. }) => {
                let message = "there is nothing at the address of the request".to_owned();
                self.refused(&flight.write, Refusal { status: 404, message });
            }
            Outcome::Gone => self.lost(),
            Outcome::Deleted => self.deleted(),
            // Certainly not done. Time has passed since the check, so check again; unless the instance itself
            // refuses a second ticket.
            Outcome::Throttled { .. }
            | Outcome::SignInFailed
            | Outcome::NotSent(_)
            | Outcome::Busy(_)
            | Outcome::Silent(_) => {
                self.back_off(&outcome);
                let again = external && !self.is_refused_twice(&flight.write);
                self.phase(if again { Phase::Checking } else { Phase::Sending });
            }
            Outcome::Unknown(uncertainty, _) => {
                self.back_off(&outcome);
                self.phase(if external {
                    let open = uncertainty == Uncertainty::Open;
                    Phase::Verifying { sent: self.now, open, applied: false }
                } else {
                    Phase::Sending // The platform knows the key: the same again is no second time.
                });
            }
            Outcome::Refused(refusal) => self.refused(&flight.write, refusal),
        }
    }

    /// A side says that it is not as expected, and shows neither another value nor another revision: the same
    /// write again at once would be answered the same.
    fn shows_nothing_new(&self, write: &Write) -> bool {
        matches!(write.verb, Verb::Update { .. })
            && self.as_expected(write)
            && self.link.side(self.side).revision == write.expect.revision
    }

    /// It is tried again a few times, each later than the one before; then its fields are left alone.
    fn contradicted(&mut self, write: &Write, record: ObservedRecord) {
        const TRIES: u32 = 3;
        self.back_off(&Outcome::Moved(record));
        let Verb::Update { set, .. } = &write.verb else { return };
        if self.link.side(self.side).failures < TRIES {
            return;
        }
        self.healthy();
        for name in set.keys() {
            let state = self.link.fields.entry(name.clone()).or_default();
            state.parked = Some(Parked {
                why: ParkedWhy::WriteIgnored,
                platform: state.shape(Side::Platform).cloned(),
                external: state.shape(Side::External).cloned(),
            });
            let text = format!(
                "the {} side says that {name} is not as we saw it, and does not show what it is; it is left alone until it is changed",
                self.side
            );
            self.finding(FindingKind::WriteIgnored, Some(name), text);
        }
    }

    /// Whether the instance would refuse a create if there were a ticket with its key.
    fn is_refused_twice(&self, write: &Write) -> bool {
        let unique = self.rules.settings().correlation.mode == CorrelationMode::Unique;
        match write.verb {
            Verb::Create { keyed, .. } => keyed || unique,
            _ => false,
        }
    }

    /// Tells which columns of a new ticket got lost: the instance takes what it knows, without a word. Those of
    /// fields are told field by field.
    fn lost_columns(&mut self, write: &Write, record: &ObservedRecord) {
        let Verb::Create { set, .. } = &write.verb else { return };
        if record.attributes.is_empty() {
            return; // It shows nothing at all.
        }
        let mapped = self.rules.columns(&self.link.table);
        let lost = set.keys().map(Attribute::as_str).filter(|column| {
            is_shown(column)
                && !mapped.iter().any(|known| known == column)
                && !record.attributes.keys().any(|shown| shown.as_str() == *column)
        });
        let lost: Vec<&str> = lost.collect();
        if !lost.is_empty() {
            let drafted = match &self.rules.integration().rules {
                Some(rules) if rules.hooks.contains(&Hook::Draft) => {
                    format!(
                        " (if no setting names it, the hook draft of the rules does, version {})",
                        rules.version
                    )
                }
                _ => String::new(),
            };
            let text = format!(
                "{} has no column {}, or does not let us read it: what new tickets are given there gets lost{drafted}",
                self.link.table,
                lost.join(", ")
            );
            self.finding_of_all(FindingKind::WriteIgnored, text);
        }
    }

    fn applied(&mut self, write: Write, record: Option<ObservedRecord>) {
        // An answer that names the record and shows nothing of it acknowledges, no more.
        let record = record
            .filter(|r| !r.attributes.is_empty() || matches!(write.verb, Verb::Create { .. }));
        if let Some(record) = &record
            && !matches!(write.verb, Verb::Create { .. } | Verb::Retire { .. })
        {
            observe::record(
                self.rules,
                self.link,
                self.side,
                record,
                ObservationSource::WriteAnswer,
                self.now,
            );
        }
        match (&write.verb, record) {
            (Verb::Create { .. }, record) => {
                let id = record.as_ref().and_then(|r| SysId::new(r.id.clone()).ok());
                let shows_our_key = |r: &ObservedRecord| {
                    r.correlation.as_ref().is_none_or(|key| *key == self.link.key)
                };
                // A sys_id that follows from the key proves it, whatever became of the key's column.
                let keyed = matches!(write.verb, Verb::Create { keyed: true, .. })
                    && id.as_ref().is_some_and(|id| *id == identity::ticket(self.link));
                let other_key = !record.as_ref().is_none_or(shows_our_key);
                match (id, record.filter(|r| keyed || shows_our_key(r))) {
                    (Some(sys_id), Some(record)) => {
                        self.lost_columns(&write, &record);
                        self.created(sys_id, &record);
                        if other_key {
                            let text = format!(
                                "the instance does not keep {} in {}: a rule there rewrites it, or it is too short; the ticket is known by its sys_id, and nobody else finds it by the key",
                                self.link.key,
                                self.rules.settings().correlation.column
                            );
                            self.finding(FindingKind::WriteIgnored, None, text);
                        }
                    }
                    // Done, it says, but not what: look it up.
                    (id, _) => {
                        let (sent, applied) = (self.now, id.is_some());
                        self.phase(Phase::Verifying { sent, open: true, applied });
                    }
                }
            }
            (Verb::Retire { twin, .. }, record) => {
                self.drop_flight();
                self.link.twins.retain(|other| other.sys_id != twin.sys_id);
                let now = record.and_then(|r| r.revision).and_then(|r| match r {
                    Revision::External { mod_count, .. } => mod_count,
                    Revision::Platform { .. } => None,
                });
                self.retired(twin, now);
            }
            (Verb::Update { set, .. }, record) => {
                let once = self.flight().is_some_and(|flight| flight.attempts == 1);
                let sent = once.then(|| self.link.side(self.side).theirs(self.asked));
                self.drop_flight();
                if record.is_some() {
                    self.overwritten_unseen(&write);
                } else {
                    self.acknowledged(&write, set, sent);
                }
                self.settle_fields(&write, record.as_ref());
            }
            (Verb::Append { entry, .. }, _) => match self.side {
                Side::External => {
                    self.phase(Phase::Verifying { sent: self.now, open: false, applied: true })
                }
                Side::Platform => {
                    self.drop_flight();
                    journal::settle(self.link, entry, Mirror::Mirrored(None));
                }
            },
        }
    }

    /// An answer that shows nothing acknowledges exactly the fields sent; that counts as seen, until the side is read
    /// where it can be. Where it cannot, what is told of a time before and comes later does not undo it: where no
    /// versions say so, the time of sending does. (Sent once more, it may have been done the first time.)
    fn acknowledged(
        &mut self,
        write: &Write,
        set: &std::collections::BTreeMap<FieldName, Translated>,
        sent: Option<Millis>,
    ) {
        let readable = self.rules.may_read(self.side);
        self.link.side_mut(self.side).look |= readable;
        let sent = sent.filter(|_| !readable);
        for (name, translated) in set {
            let state = self.link.fields.entry(name.clone()).or_default();
            let expected = write.expect.fields.get(name).and_then(Option::as_ref);
            let seen = state.seen_mut(self.side);
            if seen.as_ref().map(|s| &s.shape) == expected {
                let revision = match (seen.as_ref().and_then(|s| s.revision), sent) {
                    (Some(Revision::Platform { version: None, at }), Some(sent)) => {
                        Some(Revision::Platform { version: None, at: at.max(sent) })
                    }
                    (known, _) => known,
                };
                *seen = Some(firn_model::Seen {
                    shape: translated.shape.clone(),
                    revision,
                    edited: self.now,
                });
            }
        }
    }

    pub(super) fn overwritten_unseen(&mut self, write: &Write) {
        let Verb::Update { set, .. } = &write.verb else { return };
        let later = self.link.side(self.side).revision;
        if changes_between(write, later) > 1 {
            for (name, translated) in set {
                let expected = write.expect.fields.get(name).and_then(Option::as_ref);
                let columns = columns([&translated.shape].into_iter().chain(expected));
                overwritten(self.link, name, columns, (Came::InTime, write.expect.revision, later));
                self.finding(FindingKind::OverwrittenUnseen, Some(name), overwritten_text(name));
            }
        }
    }

    /// After a write that was applied: what stands there now becomes the base, or tells that the
    /// write was ignored or rewritten. What its own answer shows counts before what was seen meanwhile: somebody who
    /// puts the old value back at once did not keep us from writing.
    pub(super) fn settle_fields(&mut self, write: &Write, answer: Option<&ObservedRecord>) {
        let Verb::Update { set, .. } = &write.verb else { return };
        for (name, translated) in set {
            let Some(field) = self.rules.field(&self.link.table, name).cloned() else { continue };
            let restored = write
                .reasons
                .iter()
                .any(|r| r.field.as_ref() == Some(name) && r.why == Why::Restored);
            let now = self.now;
            let lately = |at: &Millis| now.since(*at) < 3_600_000;
            let state = self.link.fields.entry(name.clone()).or_default();
            state.flips.retain(lately);
            if restored {
                state.restores.retain(lately);
                state.restores.push(now);
            }
            let Some(seen) = state.shape(self.side).cloned() else {
                // Written, and not to be seen: hidden from us. Once more would not help.
                state.parked = Some(Parked {
                    why: ParkedWhy::WriteIgnored,
                    platform: state.shape(Side::Platform).cloned(),
                    external: state.shape(Side::External).cloned(),
                });
                let text = format!(
                    "the {} side took our write of {name} and does not show it: check the right to read it; it is left alone until it is changed",
                    self.side
                );
                self.finding(FindingKind::WriteIgnored, Some(name), text);
                continue;
            };
            let expected = write.expect.fields.get(name).and_then(Option::as_ref);
            let shown = answer.map(|record| mapping::read(&field, self.side, &record.attributes));
            let landed = match shown {
                Some(Reading::Whole(shown)) => Some(shown),
                _ => None,
            };
            let landed =
                landed.filter(|shown| mapping::stands(&field, self.side, shown, translated));
            let (stands, ours) = if mapping::stands(&field, self.side, &seen, translated) {
                (true, seen)
            } else if let Some(shown) = landed {
                (true, shown)
            } else if expected.is_some_and(|e| mapping::same(&field, self.side, e, &seen)) {
                state.parked = Some(Parked {
                    why: ParkedWhy::WriteIgnored,
                    platform: state.shape(Side::Platform).cloned(),
                    external: state.shape(Side::External).cloned(),
                });
                let text = format!(
                    "the {} side took our write of {name} and kept its old value; it is left alone until one side changes",
                    self.side
                );
                self.finding(FindingKind::WriteIgnored, Some(name), text);
                continue;
            } else {
                // A third value: what we sent becomes the base, and the rest is their edit.
                state.flips.push(now);
                (false, translated.shape.clone())
            };
            let theirs = translated.of.clone();
            let base = match self.side {
                Side::External => Base { platform: theirs, external: ours },
                Side::Platform => Base { platform: ours, external: theirs },
            };
            if let Some(state) = self.link.fields.get_mut(name) {
                state.base = Some(base);
                // The owner's change went over what was kept: from now on the field is like any other.
                state.parked.take_if(|parked| parked.why == ParkedWhy::Kept);
                if !stands {
                    state.decision = None;
                }
            }
        }
    }

    fn refused(&mut self, write: &Write, refusal: Refusal) {
        self.healthy();
        match &write.verb {
            // Perhaps it is refused because it is there: a unique key says so in this way.
            Verb::Create { .. } => self.phase(Phase::Refused(refusal)),
            Verb::Update { set, .. } if set.len() > 1 => {
                self.drop_flight();
                self.link.side_mut(self.side).one_by_one = true;
            }
            Verb::Update { .. } | Verb::Append { .. } | Verb::Retire { .. } => self.dead(&refusal),
        }
    }

    /// Refused for good: kept whole as a dead letter, and what it was about is left alone.
    pub(super) fn dead(&mut self, refusal: &Refusal) {
        let Some(write) = self.drop_flight() else { return };
        let mut about = None;
        match &write.verb {
            Verb::Create { .. } => self.link.external_side.halted = true,
            Verb::Append { entry, .. } => journal::settle(self.link, entry, Mirror::Parked),
            Verb::Retire { twin, .. } => {
                self.link.twins.retain(|other| other.sys_id != twin.sys_id);
            }
            Verb::Update { set, .. } => {
                for name in set.keys() {
                    about = Some(name.clone());
                    let state = self.link.fields.entry(name.clone()).or_default();
                    state.parked = Some(Parked {
                        why: ParkedWhy::Refused,
                        platform: state.shape(Side::Platform).cloned(),
                        external: state.shape(Side::External).cloned(),
                    });
                }
            }
        }
        let reason = format!("{} {}", refusal.status, refusal.message);
        let text = format!(
            "the {} side refused a write ({reason}); it is kept as a dead letter: mend the cause, then retry it",
            self.side
        );
        self.finding(FindingKind::Refused, about.as_ref(), text);
        self.effects.dead.push(DeadLetter {
            id: identity::dead_letter(&self.link.id, &write),
            integration: self.link.integration.clone(),
            link: self.link.id.clone(),
            write,
            reason,
            at: self.now,
            state: DeadState::default(),
            history: Vec::new(),
        });
    }
}
