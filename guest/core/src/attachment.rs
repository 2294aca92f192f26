//! Attachments: what comes next for the files of a link. A union, as the journal is: each content is on
//! both sides once in the end, whatever it is called there; nothing is deleted.
//!
//! A file is known by its SHA-256. What arrives is compared with what the other side has, so that a copy
//! that comes back is no news (nor is one that a person put there), and a file whose fate is unknown is
//! looked for before it is sent again.

mod land;
mod step;

use std::collections::BTreeSet;

use firn_model::{
    Attachment, AttachmentSeen, Attachments, Audit, ContentHash, Fate, FieldName, Finding,
    FindingKind, Left, Link, Millis, Outcome, Side, Uncertainty,
};

use crate::identity;
use crate::settings::Rules;

/// So many files of one link are known at most.
pub const MOST: usize = 500;

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
    let mut work = Work { rules, link, set: files, now, findings: Vec::new(), audit: Vec::new() };
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
    let Work { set, findings, audit, .. } = work;
    let arrived = set.files.iter().filter(|f| there(f) && !before.contains(&known(f)));
    let over = arrived.filter_map(|f| told_as(f.side, &f.file.id)).collect();
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
}

impl Work<'_> {
    /// `theirs`: files that other links have put there. They are no news to this one.
    fn seen(&mut self, side: Side, files: &[AttachmentSeen], theirs: &BTreeSet<String>) {
        for seen in files {
            self.one(side, seen, theirs.contains(&seen.id));
        }
    }

    fn one(&mut self, side: Side, seen: &AttachmentSeen, theirs: bool) {
        // A copy of ours, whose id the other side told; or what was sent there, and its answer has not come.
        let copy = |known: &Attachment| {
            let sent = matches!(known.fate, Fate::Sent(_)) || self.set.is_leaving(known);
            let same = seen.hash.is_some() && known.file.hash == seen.hash;
            known.side != side
                && match &known.fate {
                    Fate::There(Some(id)) => *id == seen.id,
                    _ => sent && same,
                }
        };
        let is_copy = self.set.files.iter().any(copy);
        if let Some(hash) = &seen.hash {
            self.meet(side, hash, &seen.id);
        }
        if is_copy {
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
                if theirs && known.fate == Fate::Pending {
                    known.fate = Fate::Stays;
                }
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
        (self.set.look, self.set.listed, self.set.not_before) = (true, None, None);
        // Whose the ticket's files are, the list tells again.
        self.set.files.retain(|f| !(f.side == Side::External && f.fate == Fate::Stays));
        for known in &mut self.set.files {
            if matches!(known.fate, Fate::Left(_) | Fate::Stays) {
                let travels = self.rules.integration().attachments_from(known.side);
                known.fate = if travels { Fate::Pending } else { Fate::Stays };
            }
            (known.failures, known.not_before) = (0, None);
        }
    }

    fn known(&mut self, side: Side, id: &str) -> Option<&mut Attachment> {
        self.set.files.iter_mut().find(|f| f.side == side && f.file.id == id)
    }

    /// A file stays where it is, and a person is told.
    fn leave(&mut self, side: Side, id: &str, why: Left) {
        let most = self.rules.settings().attachments.max_size;
        let Some(known) = self.known(side, id) else { return };
        match known.fate {
            Fate::Pending | Fate::Sent(_) => known.fate = Fate::Left(why.clone()),
            // Only its content was wanted, to compare with; nobody waits for it.
            Fate::Stays => {
                known.fate = Fate::Left(why);
                return;
            }
            Fate::There(_) | Fate::Left(_) => return,
        }
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

#[cfg(test)]
mod tests;
