//! What an answer means for the files of a link: taken, refused, unknown, another by now.

use firn_model::{
    AttachmentExchange, AttachmentWork, Audit, ContentHash, Fate, Left, Millis, Outcome, Refusal,
    Side, Uncertainty,
};

use super::{Landed, Work, told_as};
use crate::land;

/// What may not be read is tried again then. In milliseconds.
const REFUSED: u64 = 600_000;

/// After so many failures in a row somebody is told.
pub(super) const TELL_AT: u32 = 8;

impl Work<'_> {
    pub(super) fn answered(&mut self, number: u64, landed: Landed) {
        // The answer to a request that was given up says nothing that is not looked up anyway.
        let Some(exchange) = self.set.exchange.take_if(|e| e.number == number) else { return };
        if let Landed::Failed(outcome) = &landed {
            self.failed(&exchange, outcome);
            return;
        }
        match (exchange.work, landed) {
            (AttachmentWork::List, Landed::Listed(files, theirs)) => {
                (self.set.look, self.set.failures) = (false, 0);
                self.set.listed = Some(exchange.since);
                self.seen(Side::External, &files, &theirs);
                self.missed(exchange.since);
            }
            (AttachmentWork::Measure(side, id), Landed::Measured(size, hash)) => {
                if let Some(known) = self.known(side, &id) {
                    (known.file.size, known.file.hash) = (Some(size), Some(hash.clone()));
                    known.not_before = None;
                }
                self.meet(side, &hash, &id);
            }
            (AttachmentWork::Measure(side, id), Landed::TooLarge(_)) => {
                self.leave(side, &id, Left::TooLarge);
            }
            (AttachmentWork::Send(side, id), Landed::Taken(copy)) => self.taken(side, &id, copy),
            (
                AttachmentWork::Measure(side, id) | AttachmentWork::Send(side, id),
                Landed::NoFile(status),
            ) => match status {
                404 | 410 => self.leave(side, &id, Left::Gone),
                _ => self.leave(side, &id, Left::Unreadable(status)),
            },
            (AttachmentWork::Send(side, id), Landed::OtherFile) => {
                let Some(known) = self.known(side, &id) else { return };
                // A hash that its side tells is believed: a page that asks to sign in has another. Its side
                // is asked, or tells, if there is something else now.
                let told = known.told;
                if !told {
                    (known.file.size, known.file.hash) = (None, None);
                }
                self.set.look |= told && side == Side::External;
                self.fails(side, &id, "it is another than its side tells");
            }
            _ => {}
        }
    }

    /// What a list does not show that was asked for after the last instant at which it could have arrived
    /// did not arrive.
    fn missed(&mut self, since: Millis) {
        for known in &mut self.set.files {
            let Fate::Sent(until) = known.fate else { continue };
            if until <= since {
                known.fate = Fate::Pending;
            } else {
                // Ever more often towards the end, at which it is certain.
                let left = u64::try_from(until.since(self.now)).unwrap_or(0);
                known.not_before = Some(self.now.plus((left / 4).clamp(1_000, 30_000)).min(until));
            }
        }
    }

    fn taken(&mut self, side: Side, id: &str, copy: Option<String>) {
        let (now, to) = (self.now, side.other());
        let Some(known) = self.known(side, id) else { return };
        // Its copy may have been seen before the answer.
        if known.fate == Fate::Pending {
            known.fate = Fate::There(copy.clone());
        }
        let name = known.file.name.clone();
        let (size, hash) = (known.file.size.unwrap_or(0), known.file.hash.clone());
        if let Some(copy) = &copy {
            self.set.files.retain(|f| !(f.side == to && f.file.id == *copy));
        }
        self.audit.push(Audit {
            integration: self.link.integration.clone(),
            link: Some(self.link.id.clone()),
            at: now,
            event: "attachment".to_owned(),
            key: None,
            side: Some(to),
            fields: Vec::new(),
            note: Some(format!(
                "{}, {size} bytes, sha256 {}",
                self.rules.masks().shown(&name),
                hash.as_ref().map_or("unknown", ContentHash::as_str)
            )),
        });
    }

    fn failed(&mut self, exchange: &AttachmentExchange, outcome: &Outcome) {
        let refusal = match outcome {
            Outcome::Refused(refusal) => Some(refusal.clone()),
            Outcome::Gone | Outcome::Deleted => {
                Some(Refusal { status: 404, message: outcome.to_string() })
            }
            _ => None,
        };
        // What concerns the side, not one file of it.
        let later = match outcome {
            Outcome::SignInFailed => Some(self.now.plus(land::SIGN_IN_PAUSE)),
            Outcome::Busy(_) | Outcome::Silent(_) => outcome.not_before(self.now),
            Outcome::Throttled { .. } => {
                let soon = self.now.plus(land::backoff(self.link.id.as_str(), 3));
                Some(outcome.not_before(self.now).unwrap_or(soon))
            }
            _ => None,
        };
        if later.is_some() {
            self.set.not_before = later;
            return;
        }
        match (&exchange.work, refusal) {
            (AttachmentWork::List, Some(refusal)) => {
                self.set.not_before = Some(self.now.plus(REFUSED));
                let text = format!(
                    "the files of the ticket may not be listed ({} {}), so that none is carried there; give the integration user the right to read sys_attachment, then: firn links resync",
                    refusal.status, refusal.message
                );
                self.find(None, text);
            }
            (AttachmentWork::List, None) => {
                self.set.failures = self.set.failures.saturating_add(1);
                let pause = land::backoff(self.link.id.as_str(), self.set.failures);
                self.set.not_before = Some(self.now.plus(pause));
                if self.set.failures == TELL_AT {
                    let text = format!(
                        "the files of the ticket cannot be listed now ({}); that is tried again and again",
                        self.rules.masks().shown(&outcome.to_string())
                    );
                    self.find(None, text);
                }
            }
            (AttachmentWork::Measure(side, id), Some(refusal)) => {
                let why = match refusal.status {
                    404 | 410 => Left::Gone,
                    status => Left::Unreadable(status),
                };
                self.leave(*side, id, why);
            }
            (AttachmentWork::Send(side, id), Some(refusal)) => {
                self.leave(*side, id, Left::Refused(refusal));
            }
            (AttachmentWork::Send(side, id), None) => {
                let limit = self.rules.settings().correlation.transaction_limit;
                let now = self.now;
                let until = match outcome {
                    // The platform takes nothing twice under one key.
                    Outcome::Unknown(..) if *side == Side::External => None,
                    Outcome::Unknown(Uncertainty::Open, _) => Some(now.plus(limit)),
                    Outcome::Unknown(Uncertainty::Ended, _) => Some(now),
                    _ => None,
                };
                self.fails(*side, id, &outcome.to_string());
                if let Some(known) = self.known(*side, id)
                    && let (Some(until), Fate::Pending) = (until, &known.fate)
                {
                    known.fate = Fate::Sent(until);
                }
            }
            (AttachmentWork::Measure(side, id), None) => {
                self.fails(*side, id, &outcome.to_string());
            }
        }
    }

    /// A file could not be measured or carried: later again, and others meanwhile.
    fn fails(&mut self, side: Side, id: &str, why: &str) {
        let now = self.now;
        let Some(known) = self.known(side, id) else { return };
        known.failures = known.failures.saturating_add(1);
        let failures = known.failures;
        let pause = if failures > 20 { REFUSED } else { land::backoff(id, failures) };
        known.not_before = Some(now.plus(pause));
        // Nobody waits for one that is not to be carried.
        if failures == TELL_AT && known.fate != Fate::Stays {
            let (name, why) = (known.file.name.clone(), why.to_owned());
            let masks = self.rules.masks();
            let text = format!(
                "the {side} file {:?} cannot be carried now ({}); that is tried again and again",
                masks.shown(&name),
                masks.shown(&why)
            );
            self.find(told_as(side, id), text);
        }
    }
}
