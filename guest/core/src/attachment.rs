//! Attachments: what comes next for the files of a link. A union, as the journal is: each content is on
//! both sides once in the end, whatever it is called there; nothing is deleted.
//!
//! A file is known by its SHA-256. What arrives is compared with what the other side has, so that a copy
//! that comes back is no news (nor is one that a person put there), and a file whose fate is unknown is
//! looked for before it is sent again.

use std::collections::BTreeSet;

use firn_model::{
    Attachment, AttachmentExchange, AttachmentSeen, AttachmentWork, Attachments, Audit,
    ContentHash, Fate, FieldName, Finding, FindingKind, Left, Link, Millis, Outcome, Refusal, Side,
    Uncertainty,
};

use crate::settings::Rules;
use crate::wire::attachment as wire;
use crate::{identity, land};

/// So many files of one link are known at most.
pub const MOST: usize = 500;

/// A list of the ticket's files serves for so long before something is sent there. In milliseconds.
const FRESH: i64 = 60_000;

/// What may not be read is tried again then. In milliseconds.
const REFUSED: u64 = 600_000;

/// What nothing can be done for now is looked at so often. In milliseconds.
const IDLE: u64 = 600_000;

/// While an integration is paused it is looked at again so often. In milliseconds.
const PAUSED: u64 = 5_000;

/// After so many failures in a row somebody is told.
const TELL_AT: u32 = 8;

/// What is put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A side told of files.
    Seen(Side, Vec<AttachmentSeen>),
    /// The ticket's files are to be listed.
    List,
    /// The same, and what was left is to be tried again.
    Again,
    /// A request is over.
    Answered(u64, Landed),
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Landed {
    /// The files that the ticket has, and the ids of those that other links have put there.
    Listed(Vec<AttachmentSeen>, BTreeSet<String>),
    /// What a file is.
    Measured(u64, ContentHash),
    /// A file has more bytes than are allowed; so many were read.
    TooLarge(u64),
    /// The other side has it, under this id if it tells.
    Taken(Option<String>),
    /// The file cannot be had where it is, by this status.
    NoFile(u16),
    /// The file is another by now.
    OtherFile,
    /// It came to nothing.
    Failed(Outcome),
}

/// What comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The files as they are to be stored.
    pub files: Attachments,
    /// When to look again.
    pub wake: Option<Millis>,
    /// Whether the request that is now under way is to be made.
    pub ask: bool,
    /// What a person should see.
    pub findings: Vec<Finding>,
    /// What was done.
    pub audit: Vec<Audit>,
    /// What was to be seen of these files is over.
    pub over: Vec<FieldName>,
}

/// Whether a link's record of a side is there to take files.
#[must_use]
pub fn takes(link: &Link, side: Side) -> bool {
    link.tombstone.is_none()
        && match side {
            Side::External => link.external.is_some(),
            // A ticket that began in ServiceNow is told to the platform first.
            Side::Platform => {
                link.origin == Side::Platform || link.fields.values().any(|f| f.platform.is_some())
            }
        }
}

/// Puts inputs in, and says what comes next.
#[must_use]
pub fn advance(
    rules: &Rules,
    link: &Link,
    files: Attachments,
    inputs: &[Input],
    now: Millis,
) -> Turn {
    let (findings, audit, over) = (Vec::new(), Vec::new(), Vec::new());
    let mut work = Work { rules, link, set: files, now, findings, audit, over };
    let there = |f: &Attachment| matches!(f.fate, Fate::There(_));
    let known = |f: &Attachment| (f.side, f.file.id.clone());
    let before: BTreeSet<(Side, String)> =
        work.set.files.iter().filter(|f| there(f)).map(known).collect();
    for input in inputs {
        match input {
            Input::Seen(side, files) => work.seen(*side, files, &BTreeSet::new()),
            Input::List => work.set.look = true,
            Input::Again => work.again(),
            Input::Answered(number, landed) => work.answered(*number, landed.clone()),
        }
    }
    if let Some(number) = work.set.exchange.as_ref().filter(|e| e.deadline <= now).map(|e| e.number)
    {
        let lost = Outcome::Unknown(Uncertainty::Open, "no answer in time".to_owned());
        work.answered(number, Landed::Failed(lost));
    }
    let (ask, wake) = work.next();
    let Work { set, findings, audit, mut over, .. } = work;
    for file in set.files.iter().filter(|f| there(f) && !before.contains(&known(f))) {
        over.extend(told_as(file.side, &file.file.id));
    }
    Turn { files: set, wake, ask, findings, audit, over }
}

/// The name under which a person is told of a file.
fn told_as(side: Side, id: &str) -> Option<FieldName> {
    let name = identity::short(&["attachment", &side.to_string(), id]);
    FieldName::new(format!("attachment.{name}")).ok()
}

struct Work<'a> {
    rules: &'a Rules,
    link: &'a Link,
    set: Attachments,
    now: Millis,
    findings: Vec<Finding>,
    audit: Vec<Audit>,
    over: Vec<FieldName>,
}

impl Work<'_> {
    /// `theirs`: files that other links have put there. They are no news to this one.
    fn seen(&mut self, side: Side, files: &[AttachmentSeen], theirs: &BTreeSet<String>) {
        for seen in files {
            self.one(side, seen, theirs.contains(&seen.id));
        }
    }

    fn one(&mut self, side: Side, seen: &AttachmentSeen, theirs: bool) {
        if let Some(hash) = &seen.hash {
            self.meet(side, hash, &seen.id);
        }
        // A copy of ours, whose id the other side told.
        let copy = |known: &Attachment| {
            known.side != side && matches!(&known.fate, Fate::There(Some(id)) if *id == seen.id)
        };
        if self.set.files.iter().any(copy) {
            return;
        }
        let travels = self.rules.integration().attachments_from(side) && !theirs;
        let fate = if travels { Fate::Pending } else { Fate::Stays };
        let known = self.set.files.iter_mut().find(|f| f.side == side && f.file.id == seen.id);
        if let Some(known) = known {
            if is_other(&known.file, seen) {
                // Its side has put something else in its place.
                let file = seen.clone();
                let told = seen.hash.is_some();
                *known = Attachment { side, file, fate, told, failures: 0, not_before: None };
            } else {
                known.told |= seen.hash.is_some();
                known.file.size = known.file.size.or(seen.size);
                known.file.hash = known.file.hash.clone().or_else(|| seen.hash.clone());
            }
            return;
        }
        if self.set.files.len() >= MOST {
            let text =
                format!("this pair has more than {MOST} files; those beyond stay where they are");
            self.find(None, text);
            return;
        }
        let (file, told) = (seen.clone(), seen.hash.is_some());
        self.set.files.push(Attachment { side, file, fate, told, failures: 0, not_before: None });
    }

    /// A side has this content: what is to be carried there need not be.
    fn meet(&mut self, side: Side, hash: &ContentHash, id: &str) {
        for known in &mut self.set.files {
            let waits = matches!(known.fate, Fate::Pending | Fate::Sent(_));
            if waits && known.side != side && known.file.hash.as_ref() == Some(hash) {
                known.fate = Fate::There(Some(id.to_owned()));
            }
        }
    }

    /// The id of a file with this content on a side.
    fn holder(&self, side: Side, hash: &ContentHash) -> Option<String> {
        let same = |f: &&Attachment| {
            let there = f.fate != Fate::Left(Left::Gone);
            there && f.side == side && f.file.hash.as_ref() == Some(hash)
        };
        self.set.files.iter().find(same).map(|f| f.file.id.clone())
    }

    fn again(&mut self) {
        self.set.look = true;
        self.set.not_before = None;
        for known in &mut self.set.files {
            let travels = self.rules.integration().attachments_from(known.side);
            match known.fate {
                Fate::Left(_) => known.fate = Fate::Pending,
                // Perhaps it does now. What is others' is there already, and is found so.
                Fate::Stays if travels => known.fate = Fate::Pending,
                _ => {}
            }
            (known.failures, known.not_before) = (0, None);
        }
    }

    fn answered(&mut self, number: u64, landed: Landed) {
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
                let waited = u32::try_from(self.now.since(since).max(0) / 1_000).unwrap_or(0);
                let soon = self.now.plus(land::backoff(&known.file.id, 4 + waited.min(4)));
                known.not_before = Some(soon.min(until));
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
        if failures == TELL_AT {
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

    fn known(&mut self, side: Side, id: &str) -> Option<&mut Attachment> {
        self.set.files.iter_mut().find(|f| f.side == side && f.file.id == id)
    }

    /// A file stays where it is, and a person is told.
    fn leave(&mut self, side: Side, id: &str, why: Left) {
        let most = self.rules.settings().attachments.max_size;
        let Some(known) = self.known(side, id) else { return };
        if !matches!(known.fate, Fate::Pending | Fate::Sent(_)) {
            return;
        }
        known.fate = Fate::Left(why.clone());
        let (name, media) = (known.file.name.clone(), known.file.media_type.clone());
        let because = match why {
            Left::TooLarge => format!(
                "it has more than the {most} bytes of attachments.max_size; raise that, then: firn links resync"
            ),
            Left::Type => format!(
                "{} is not among attachments.types; add it, then: firn links resync",
                self.rules.masks().shown(&media)
            ),
            Left::Gone => "it was deleted before it was carried".to_owned(),
            Left::Unreadable(status) => format!(
                "it may not be read there (status {status}); let it be read, then: firn links resync"
            ),
            Left::Refused(refusal) => format!(
                "the other side refused it: {} {}; mend that, then: firn links resync",
                refusal.status,
                self.rules.masks().shown(&refusal.message)
            ),
        };
        let name = self.rules.masks().shown(&name);
        let text = format!("the {side} file {name:?} stays where it is: {because}");
        self.find(told_as(side, id), text);
    }

    fn find(&mut self, about: Option<FieldName>, text: String) {
        self.findings.push(Finding {
            kind: FindingKind::AttachmentLeft,
            integration: self.link.integration.clone(),
            link: Some(self.link.id.clone()),
            field: about,
            text,
            at: self.now,
        });
    }

    /// What is asked next, and when to look again.
    fn next(&mut self) -> (bool, Option<Millis>) {
        if let Some(exchange) = &self.set.exchange {
            return (false, Some(exchange.deadline));
        }
        self.sort_out();
        if !self.rules.integration().enabled {
            let waits = self.set.look || self.set.files.iter().any(|f| self.work(f).is_some());
            return (false, waits.then(|| self.now.plus(PAUSED)));
        }
        let quiet = self.set.not_before.filter(|at| *at > self.now);
        let mut wake: Option<Millis> = None;
        let mut next = None;
        if self.set.look && takes(self.link, Side::External) {
            next = Some(AttachmentWork::List);
        }
        for known in &self.set.files {
            if next.is_some() {
                break;
            }
            let Some(work) = self.work(known) else { continue };
            match known.not_before.filter(|at| *at > self.now) {
                Some(later) => wake = Some(wake.map_or(later, |at| at.min(later))),
                None => next = Some(work),
            }
        }
        let (Some(work), None) = (next.clone(), quiet) else {
            if next.is_some() {
                return (false, quiet);
            }
            // What waits for a record, or for other settings, is looked at now and then.
            let waits = |f: &Attachment| matches!(f.fate, Fate::Pending | Fate::Sent(_));
            let waits = self.set.look || self.set.files.iter().any(waits);
            let idle = self.now.plus(IDLE);
            let idle = Some(idle).filter(|_| waits && self.link.tombstone.is_none());
            return (false, wake.map(|at| quiet.map_or(at, |quiet| at.max(quiet))).or(idle));
        };
        self.set.not_before = None;
        self.set.sequence += 1;
        let patience = wire::patience(self.rules, &self.set, &work);
        self.set.exchange = Some(AttachmentExchange {
            work,
            number: self.set.sequence,
            since: self.now,
            deadline: self.now.plus(patience),
        });
        (true, Some(self.now.plus(patience)))
    }

    /// What need not be carried, or may not, by what is known of it.
    fn sort_out(&mut self) {
        for i in 0..self.set.files.len() {
            let Some(known) = self.set.files.get(i).filter(|f| f.fate == Fate::Pending) else {
                continue;
            };
            let (to, hash) = (known.side.other(), known.file.hash.clone());
            let copy = hash.and_then(|hash| self.holder(to, &hash));
            if let (Some(copy), Some(known)) = (copy, self.set.files.get_mut(i)) {
                known.fate = Fate::There(Some(copy));
            }
        }
        let policy = &self.rules.settings().attachments;
        let pending = self.set.files.iter().filter(|f| f.fate == Fate::Pending);
        let left: Vec<(Side, String, Left)> = pending
            .filter_map(|f| {
                let large = f.file.size.is_some_and(|size| size > policy.max_size);
                let why = match (large, travels(&policy.types, &f.file.media_type)) {
                    (_, false) => Left::Type,
                    (true, _) => Left::TooLarge,
                    _ => return None,
                };
                Some((f.side, f.file.id.clone(), why))
            })
            .collect();
        for (side, id, why) in left {
            self.leave(side, &id, why);
        }
        // Of one content on one side one file is carried; its copy is the others' too.
        let carried: Vec<(Side, ContentHash, Option<String>)> = self
            .set
            .files
            .iter()
            .filter_map(|f| match &f.fate {
                Fate::There(id) => Some((f.side, f.file.hash.clone()?, id.clone())),
                _ => None,
            })
            .collect();
        for known in self.set.files.iter_mut().filter(|f| f.fate == Fate::Pending) {
            let same = |(side, hash, _): &&(Side, ContentHash, Option<String>)| {
                *side == known.side && Some(hash) == known.file.hash.as_ref()
            };
            if let Some((_, _, id)) = carried.iter().find(same) {
                known.fate = Fate::There(id.clone());
            }
        }
    }

    /// What a file needs next, if it needs anything that can be done now.
    fn work(&self, known: &Attachment) -> Option<AttachmentWork> {
        let to = known.side.other();
        if !self.rules.integration().attachments_from(known.side) || !takes(self.link, to) {
            return None;
        }
        match known.fate {
            Fate::Pending if known.file.hash.is_none() || known.file.size.is_none() => {
                Some(AttachmentWork::Measure(known.side, known.file.id.clone()))
            }
            Fate::Pending => {
                let twin = |f: &&Attachment| {
                    f.side == known.side
                        && f.file.hash == known.file.hash
                        && matches!(f.fate, Fate::Sent(_))
                };
                if self.set.files.iter().any(|f| twin(&f)) {
                    return None; // The other one's fate decides.
                }
                // What the other side has is compared first: it may be this.
                let unknown = |f: &&Attachment| {
                    let sizes = f.file.size.zip(known.file.size);
                    let may_be_this = sizes.is_none_or(|(theirs, ours)| theirs == ours);
                    let there = !matches!(f.fate, Fate::Left(_));
                    f.side == to && f.file.hash.is_none() && there && may_be_this
                };
                if let Some(other) = self.set.files.iter().find(unknown) {
                    let now = other.not_before.is_none_or(|at| at <= self.now);
                    return now.then(|| AttachmentWork::Measure(to, other.file.id.clone()));
                }
                let fresh = |at: Millis| self.now.since(at) < FRESH;
                if to == Side::External && !self.set.listed.is_some_and(fresh) {
                    return Some(AttachmentWork::List);
                }
                Some(AttachmentWork::Send(known.side, known.file.id.clone()))
            }
            Fate::Sent(_) => Some(AttachmentWork::List),
            Fate::There(_) | Fate::Left(_) | Fate::Stays => None,
        }
    }
}

/// Whether a side tells of another content than is known of a file.
#[must_use]
pub fn is_other(known: &AttachmentSeen, seen: &AttachmentSeen) -> bool {
    let differs = |a: Option<u64>, b: Option<u64>| a.zip(b).is_some_and(|(a, b)| a != b);
    match (&known.hash, &seen.hash) {
        (Some(known), Some(seen)) => known != seen,
        _ => differs(known.size, seen.size),
    }
}

/// Whether a media type is among those that travel.
fn travels(types: &[String], media_type: &str) -> bool {
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let fits = |pattern: &String| {
        let pattern = pattern.trim().to_ascii_lowercase();
        match pattern.strip_suffix('*') {
            Some(start) => media_type.starts_with(start),
            None => media_type == pattern,
        }
    };
    types.is_empty() || types.iter().any(fits)
}

#[cfg(test)]
mod tests;
