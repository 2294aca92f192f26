//! Attachments: the files of a link's two records, and what became of each. One row for each link.
//!
//! Bytes never enter the guest: it says what is to be carried where, and the host carries it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{ContentHash, IntegrationId, LinkId, Millis, Refusal, Side};

/// A file as a side tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentSeen {
    /// That side's id of it.
    pub id: String,
    /// Its name there.
    pub name: String,
    /// Its media type: `image/png`.
    pub media_type: String,
    /// Bytes, if the side tells.
    pub size: Option<u64>,
    /// The hash of its content, if the side tells.
    pub hash: Option<ContentHash>,
}

/// Why a file is left where it is. A person was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Left {
    /// It has more bytes than the settings allow.
    TooLarge,
    /// Its type is not among those that travel.
    Type,
    /// It is not there any more.
    Gone,
    /// It may not be read where it is; the status says so.
    Unreadable(u16),
    /// The other side does not take it.
    Refused(Refusal),
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It is to be looked at, and carried.
    Pending,
    /// It was sent, and nobody knows whether it arrived. Until then it may still.
    Sent(Millis),
    /// The other side has it, under this id if that is known: it was carried, or was there already.
    There(Option<String>),
    /// It stays where it is, and a person was told.
    Left(Left),
    /// It does not travel. It is known so that the same content is not put beside it.
    Stays,
}

/// A file of one of a link's records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The side that has it.
    pub side: Side,
    /// The file.
    pub file: AttachmentSeen,
    /// What became of it.
    pub fate: Fate,
    /// Whether its side tells its hash; else it was measured.
    #[serde(default)]
    pub told: bool,
    /// How often it could not be measured or carried.
    #[serde(default)]
    pub failures: u32,
    /// Left alone until then.
    #[serde(default)]
    pub not_before: Option<Millis>,
}

/// What is asked for a link's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachmentWork {
    /// Which files the ticket has.
    List,
    /// The hash and size of a file, by the side that has it and its id there.
    Measure(Side, String),
    /// A file is carried to the other side.
    Send(Side, String),
}

/// The request under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentExchange {
    /// What was asked.
    pub work: AttachmentWork,
    /// Tells its answer from that of an earlier one.
    pub number: u64,
    /// When it left.
    pub since: Millis,
    /// When it counts as lost.
    pub deadline: Millis,
}

/// The files of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachments {
    /// The integration.
    pub integration: IntegrationId,
    /// The link.
    pub link: LinkId,
    /// Each file that travels or could, in the order in which they were seen.
    pub files: Vec<Attachment>,
    /// The ticket's files are to be listed.
    #[serde(default)]
    pub look: bool,
    /// When the last list that was read was asked for.
    #[serde(default)]
    pub listed: Option<Millis>,
    /// The request under way.
    #[serde(default)]
    pub exchange: Option<AttachmentExchange>,
    /// Counts requests.
    #[serde(default)]
    pub sequence: u64,
    /// Lists in a row that came to nothing.
    #[serde(default)]
    pub failures: u32,
    /// Nothing is asked until then.
    #[serde(default)]
    pub not_before: Option<Millis>,
    /// What it has put on tickets that it is no more on: ids, or digests where no id was told. To the others there
    /// that is no news.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub former: BTreeSet<String>,
}

impl Attachments {
    /// No file yet.
    #[must_use]
    pub fn new(integration: IntegrationId, link: LinkId) -> Attachments {
        Attachments {
            integration,
            link,
            files: Vec::new(),
            look: false,
            listed: None,
            exchange: None,
            sequence: 0,
            failures: 0,
            not_before: None,
            former: BTreeSet::new(),
        }
    }

    /// A file, by the side that has it and its id there.
    #[must_use]
    pub fn file(&self, side: Side, id: &str) -> Option<&Attachment> {
        self.files.iter().find(|known| known.side == side && known.file.id == id)
    }

    /// Whether a file of a ticket is one that this link has put there, or is putting there.
    #[must_use]
    pub fn has_put(&self, file: &AttachmentSeen) -> bool {
        let hash = file.hash.as_ref();
        let same = |known: &AttachmentSeen| match (hash, &known.hash) {
            (Some(theirs), Some(ours)) => theirs == ours,
            _ => hash.is_none() && file.size.is_some() && known.size == file.size,
        };
        let put = |known: &Attachment| match &known.fate {
            Fate::There(Some(id)) => *id == file.id && self.is_copy(id),
            Fate::There(None) | Fate::Sent(_) => same(&known.file),
            Fate::Pending => self.is_leaving(known) && same(&known.file),
            Fate::Left(_) | Fate::Stays => false,
        };
        self.former.contains(&file.id)
            || hash.is_some_and(|hash| self.former.contains(hash.as_str()))
            || self.files.iter().filter(|known| known.side == Side::Platform).any(put)
    }

    /// Whether a file of the ticket is a copy of one of the platform's, and not one that was there already.
    fn is_copy(&self, id: &str) -> bool {
        self.file(Side::External, id).is_none()
    }

    /// Whether a file is on its way to the other side.
    #[must_use]
    pub fn is_leaving(&self, known: &Attachment) -> bool {
        let sends = AttachmentWork::Send(known.side, known.file.id.clone());
        self.exchange.as_ref().is_some_and(|exchange| exchange.work == sends)
    }

    /// Its link leaves the ticket: what it has put there is remembered.
    pub fn part(&mut self) {
        let of_the_platform = self.files.iter().filter(|known| known.side == Side::Platform);
        let put = of_the_platform.filter_map(|known| match (&known.fate, &known.file.hash) {
            (Fate::There(Some(id)), _) => self.is_copy(id).then(|| id.clone()),
            (Fate::There(None) | Fate::Sent(_), Some(hash)) => Some(hash.as_str().to_owned()),
            (Fate::Pending, Some(hash)) if self.is_leaving(known) => Some(hash.as_str().to_owned()),
            _ => None,
        });
        self.former.extend(put.collect::<Vec<_>>());
    }

    /// Its link is paired anew, with another ticket or with the same: all of the platform's files are to be there. What
    /// was on its way may be there, or come until the instance's limit after it was sent at the latest: it is looked for
    /// before it is sent.
    pub fn pair_anew(&mut self, now: Millis, limit: u64) {
        self.part();
        let may_come = self.exchange.as_ref().map_or(now, |e| e.deadline.max(now)).plus(limit);
        let leaving: Vec<bool> = self.files.iter().map(|known| self.is_leaving(known)).collect();
        for (known, leaves) in self.files.iter_mut().zip(leaving) {
            match known.fate {
                Fate::Sent(_) => {}
                _ if leaves => known.fate = Fate::Sent(may_come),
                _ => known.fate = Fate::Pending,
            }
            (known.failures, known.not_before) = (0, None);
        }
        self.files.retain(|known| known.side == Side::Platform);
        self.exchange = None;
        (self.look, self.listed) = (true, None);
    }

    /// What is left when everything about its record was erased: what was put on tickets, by id or digest.
    #[must_use]
    pub fn forgotten(mut self) -> Attachments {
        self.part();
        let former = self.former;
        Attachments { former, ..Attachments::new(self.integration, self.link) }
    }
}
