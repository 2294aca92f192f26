//! What is asked next for the files of a link: one request at a time.

use firn_model::{
    Attachment, AttachmentExchange, AttachmentWork, ContentHash, Fate, Left, Millis, Side,
};

use super::{Work, land, takes};
use crate::wire::attachment as wire;

/// A list of the ticket's files serves for so long before something is sent there. In milliseconds.
const FRESH: i64 = 60_000;

/// What nothing can be done for now is looked at so often. In milliseconds.
pub(super) const IDLE: u64 = 600_000;

/// While an integration is paused it is looked at again so often. In milliseconds.
const PAUSED: u64 = 5_000;

impl Work<'_> {
    /// What is asked next, and when to look again.
    pub(super) fn next(&mut self) -> (bool, Option<Millis>) {
        if let Some(exchange) = &self.set.exchange {
            return (false, Some(exchange.deadline));
        }
        self.sort_out();
        if !self.rules.integration().enabled {
            let waits = self.set.look || self.set.files.iter().any(|f| self.work(f).is_some());
            return (false, waits.then(|| self.now.plus(PAUSED)));
        }
        let quiet = self.set.not_before.filter(|at| *at > self.now);
        let quiet = quiet.max(self.rules.rests_until(self.now));
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
            // Another one may have to be looked at first, and may have to wait.
            let of = match &work {
                AttachmentWork::Measure(side, id) => self.set.file(*side, id).unwrap_or(known),
                AttachmentWork::Send(..) | AttachmentWork::List => known,
            };
            match known.not_before.max(of.not_before).filter(|at| *at > self.now) {
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
                // What the other side has is compared first: it may be this. Not what cannot be had there; nor what is
                // not carried itself, and could not be had for long.
                let readable =
                    to == Side::External || self.rules.platform().attachment_read_url.is_some();
                let unknown = |f: &&Attachment| {
                    if !readable || f.fate == Fate::Stays && f.failures >= land::TELL_AT {
                        return false;
                    }
                    let sizes = f.file.size.zip(known.file.size);
                    let may_be_this = sizes.is_none_or(|(theirs, ours)| theirs == ours);
                    let there = matches!(f.fate, Fate::Pending | Fate::Stays);
                    f.side == to && f.file.hash.is_none() && there && may_be_this
                };
                if let Some(other) = self.set.files.iter().find(unknown) {
                    return Some(AttachmentWork::Measure(to, other.file.id.clone()));
                }
                // What was sent before a restore is in no list of before.
                let settled = self.rules.integration().restored.map(|restored| restored.settled());
                let fresh = |at: Millis| self.now.since(at) < FRESH && Some(at) >= settled;
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
