//! Sweeps: where the polling of one table of an instance stands.

use serde::{Deserialize, Serialize};

use crate::{Direction, Integration, IntegrationId, Millis, Polling, Side, SysId, TableName};

/// What is polled. Each has a cursor of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Tickets of a table (and of the tables below it) that were made or changed.
    Records(TableName),
    /// Comments and work notes.
    Journal,
    /// What the instance wrote down of tickets that were deleted.
    Deletions,
    /// Files of tickets.
    Attachments,
}

impl std::fmt::Display for Stream {
    /// The table.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stream::Records(table) => table.as_str(),
            Stream::Journal => "sys_journal_field",
            Stream::Deletions => "sys_audit_delete",
            Stream::Attachments => "sys_attachment",
        })
    }
}

impl Integration {
    /// What is polled of its instance.
    #[must_use]
    pub fn streams(&self) -> Vec<Stream> {
        if self.settings.polling.mode == Polling::Off {
            return Vec::new();
        }
        let tickets = self.settings.tickets.iter();
        let records = tickets.map(|ticket| Stream::Records(ticket.table.clone()));
        let journal = self.reads_journal().then_some(Stream::Journal);
        let files = self.attachments_from(Side::External).then_some(Stream::Attachments);
        records.chain(journal).chain([Stream::Deletions]).chain(files).collect()
    }

    /// Whether entries of the instance's journal are of interest: they travel, or something is learnt from them.
    #[must_use]
    pub fn reads_journal(&self) -> bool {
        self.settings.journal.travels() || self.settings.learning.enabled
    }

    /// Whether files of this side travel to the other.
    #[must_use]
    pub fn attachments_from(&self, side: Side) -> bool {
        match side {
            Side::Platform => {
                self.platform.attachment_read_url.is_some()
                    && self.settings.direction != Direction::ToPlatform
            }
            Side::External => {
                self.platform.attachment_write_url.is_some()
                    && self.settings.direction != Direction::ToServicenow
            }
        }
    }
}

/// Where a walk over the rows of a stream goes on, in order of (second, `sys_id`). All instants are
/// those of the instance's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// With the rows of this instant of our clock: what theirs shows is to be asked first.
    Ours(Millis),
    /// With the rows of this second, and later ones.
    From(Millis),
    /// With the rows of this second whose `sys_id` is greater.
    Within(Millis, SysId),
    /// With the rows after this second.
    After(Millis),
}

/// The last row that is asked for, where a walk looks only so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// With the rows of this second.
    Second(Millis),
    /// With the row of this id, within the second where the walk is.
    Id(SysId),
}

/// One walk over what is new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// When it began, by our clock.
    pub began: Millis,
    /// Where it goes on.
    pub place: Place,
    /// Whether there were more rows than a page that the user may not see.
    #[serde(default)]
    pub hidden: bool,
    /// How far it looks from there, where more rows than a page may not be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Until>,
    /// When its first page was read, by their clock. What lies before later pages was read then too:
    /// rows committed there since were not seen.
    #[serde(default)]
    pub first: Option<Millis>,
    /// The newest instant that was seen, by their clock.
    pub latest: Option<Millis>,
    /// Whether the last page was seen.
    #[serde(default)]
    pub over: bool,
    /// Tickets of which more must be read.
    #[serde(default)]
    pub wanted: Vec<SysId>,
    /// News that a webhook should have brought before.
    #[serde(default)]
    pub missed: u32,
    /// News that a webhook had brought.
    #[serde(default)]
    pub timely: u32,
}

/// How often a stream is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// Webhooks bring what is new; the sweep makes sure.
    #[default]
    Behind,
    /// Webhooks do not bring it: the sweep alone does, until a trial.
    Alone {
        /// When it is tried again whether webhooks arrive.
        trial: Millis,
        /// How long the trial is waited for, in milliseconds; doubled each time.
        waited: u64,
    },
    /// Webhooks are given the time to bring something.
    Trial {
        /// How long it was waited for.
        waited: u64,
    },
}

/// Where the polling of a stream stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// The integration.
    pub integration: IntegrationId,
    /// What is polled.
    pub stream: Stream,
    /// Since when it is polled, by our clock.
    pub since: Millis,
    /// The newest instant of any row seen, by the instance's clock, and no later than the last walk began
    /// to read. Nothing before a row was seen.
    pub mark: Option<Millis>,
    /// The walk under way.
    pub walk: Option<Walk>,
    /// Counts requests.
    pub number: u64,
    /// When the request under way left.
    pub asked: Option<Millis>,
    /// Failures in a row.
    #[serde(default)]
    pub failures: u32,
    /// How often.
    #[serde(default)]
    pub pace: Pace,
    /// Everything that was committed there up to this instant of our clock (but for what commits
    /// late) has been seen.
    pub caught_up: Option<Millis>,
    /// Why the last request came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Sweep {
    /// A stream that was never swept.
    #[must_use]
    pub fn new(integration: IntegrationId, stream: Stream, since: Millis) -> Sweep {
        Sweep {
            integration,
            stream,
            since,
            mark: None,
            walk: None,
            number: 0,
            asked: None,
            failures: 0,
            pace: Pace::Behind,
            caught_up: None,
            trouble: None,
        }
    }
}
