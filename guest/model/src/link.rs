//! The link: a pair of records with everything that `plan` needs to say the next step.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::rule::{Arbitrated, Arbitration, Beginning, Ruled, Ruling, Turn};
use crate::{
    Attribute, ConflictId, CorrelationKey, Entry, FieldName, IntegrationId, LinkId, Millis,
    PlatformId, Refusal, Revision, Shape, Side, SysId, TableName, Value, Write,
};

/// A pair of records, one a side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link {
    /// Its id, derived from the integration and the platform's id.
    pub id: LinkId,
    /// The integration that it belongs to.
    pub integration: IntegrationId,
    /// The platform's record.
    pub platform_id: PlatformId,
    /// The key under which the ticket is found again.
    pub key: CorrelationKey,
    /// Counts the tickets made for the platform's record: 1, and one more for each that was made
    /// because the one before was closed.
    pub generation: u32,
    /// The link of the next generation, which has taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<LinkId>,
    /// The side on which the pair began.
    pub origin: Side,
    /// Whether it speaks for its ticket, or shares it with a link that does.
    pub role: Role,
    /// Set when nothing is to be kept in step any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tombstone: Option<Tombstone>,
    /// The kind of its ticket.
    pub table: TableName,
    /// ServiceNow's record, once known.
    pub external: Option<ExternalRecord>,
    /// The number of a ticket that is to be found and attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<String>,
    /// What the pair was before that number was asked for: it is that again if there is no such ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Apart>,
    /// Its create was sent once more after an answer that never came: there may be two tickets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resent: bool,
    /// What its ticket was made of, of each field that ServiceNow has not shown since: the answer never came.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub made_of: BTreeMap<FieldName, Shape>,
    /// Further open tickets with its key that we made, and those that a write of ours may yet close.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub twins: Vec<Twin>,
    /// Writes of ours that may have gone over what nobody has seen: the ticket's history is asked for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<Unseen>,
    /// Digests of the escalations that asked for the ticket: the same one again is no new wish.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<String>,
    /// What a new ticket is to contain besides its mapped fields. Gone once created.
    pub draft: Option<Draft>,
    /// What the tenant's rules have still to say before it begins.
    #[serde(default, skip_serializing_if = "Beginning::is_over")]
    pub beginning: Beginning,
    /// Mapped fields.
    pub fields: BTreeMap<FieldName, FieldState>,
    /// The journal, in order of arrival.
    pub entries: Vec<Entry>,
    /// The platform's side.
    pub platform_side: SideState,
    /// ServiceNow's side.
    pub external_side: SideState,
    /// Rows looked up, by `table.key=value`, so that references can be written.
    pub references: BTreeMap<String, Reference>,
    /// Counts writes and exchanges; makes their keys.
    pub sequence: u64,
    /// When the link was made.
    pub created: Millis,
    /// When it last changed.
    pub updated: Millis,
}

/// How the name begins that stands for what was erased.
const FORGOTTEN: &str = "forgotten-";

impl Link {
    /// A link between nothing and nothing.
    #[must_use]
    pub fn new(
        id: LinkId,
        integration: IntegrationId,
        platform_id: PlatformId,
        key: CorrelationKey,
        table: TableName,
        now: Millis,
    ) -> Link {
        Link {
            id,
            integration,
            platform_id,
            key,
            generation: 1,
            successor: None,
            origin: Side::Platform,
            role: Role::Sole,
            tombstone: None,
            table,
            external: None,
            attach: None,
            before: None,
            resent: false,
            made_of: BTreeMap::new(),
            twins: Vec::new(),
            unseen: Vec::new(),
            asked: Vec::new(),
            draft: None,
            beginning: Beginning::default(),
            fields: BTreeMap::new(),
            entries: Vec::new(),
            platform_side: SideState::default(),
            external_side: SideState::default(),
            references: BTreeMap::new(),
            sequence: 0,
            created: now,
            updated: now,
        }
    }

    /// What stands for a link's record and key once everything about them was erased.
    #[must_use]
    pub fn forgotten_name(id: &LinkId) -> String {
        format!("{FORGOTTEN}{id}")
    }

    /// Whether everything about its record was erased: a person asked for it.
    #[must_use]
    pub fn is_forgotten(&self) -> bool {
        self.platform_id.as_str().strip_prefix(FORGOTTEN) == Some(self.id.as_str())
    }

    /// Whether its ticket is being made, so that it will be known soon.
    #[must_use]
    pub fn is_making_its_ticket(&self) -> bool {
        let wanted = self.draft.is_some() && self.tombstone.is_none() && !self.external_side.halted;
        self.external.is_none() && (wanted || self.external_side.flight.is_some())
    }

    /// Whether it has no ticket, and none is on its way: its create was refused and that was discarded, or the one
    /// that it was to be attached to is not there.
    #[must_use]
    pub fn has_nothing_to_come(&self) -> bool {
        self.external.is_none()
            && self.tombstone.is_none()
            && self.attach.is_none()
            && self.draft.is_none()
            && self.external_side.flight.is_none()
    }

    /// Whether something of it waits because the tenant's rules failed, or are not there yet.
    #[must_use]
    pub fn waits_for_rules(&self) -> bool {
        let Beginning { admit, classify, draft } = &self.beginning;
        let begins = [admit, classify, draft].into_iter().any(|t| matches!(t, Turn::Failing(_)));
        let waits = |state: &FieldState| {
            let value = state.ruled.values().any(|r| matches!(r.ruling, Ruling::Failing(_)));
            let ruling = state.arbitrated.as_ref().map(|a| &a.ruling);
            value || matches!(ruling, Some(Arbitration::Failing(_)))
        };
        self.tombstone.is_none() && (begins || self.fields.values().any(waits))
    }

    /// The state of one side.
    #[must_use]
    pub fn side(&self, side: Side) -> &SideState {
        match side {
            Side::Platform => &self.platform_side,
            Side::External => &self.external_side,
        }
    }

    /// The state of one side, to change.
    pub fn side_mut(&mut self, side: Side) -> &mut SideState {
        match side {
            Side::Platform => &mut self.platform_side,
            Side::External => &mut self.external_side,
        }
    }
}

/// What a link may do with its ticket. Order and "one write under way" hold per ticket, so that of
/// several links on one ticket only one carries fields.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Has its ticket to itself.
    #[default]
    Sole,
    /// Shares its ticket, and carries everything.
    Primary,
    /// Shares its ticket, and carries the journal and the status from ServiceNow.
    Secondary,
}

/// Why a link is at rest for good.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// The record of this side was deleted; that is proved.
    Gone(Side),
    /// A person took the pair apart.
    Unlinked {
        /// Who.
        by: String,
    },
    /// The tenant's rules do not want it.
    Declined {
        /// Why, as they say.
        why: String,
    },
}

/// A link at rest for good: both records stay, nothing is re-created.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tombstone {
    /// Why.
    pub why: Ended,
    /// When.
    pub at: Millis,
}

/// A pair that is at rest for good, with the ticket that it had.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Apart {
    /// Why it rests.
    pub tombstone: Tombstone,
    /// The ticket.
    pub external: Option<ExternalRecord>,
}

/// ServiceNow's record of a link.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ExternalRecord {
    /// Its table.
    pub table: TableName,
    /// Its id.
    pub sys_id: SysId,
    /// Its number, for people.
    pub number: Option<String>,
    /// Whether the ticket was there before this link asked for it.
    pub adopted: bool,
}

/// A further ticket with a link's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Twin {
    /// Its table.
    pub table: TableName,
    /// Its id.
    pub sys_id: SysId,
    /// Its number, for people.
    pub number: Option<String>,
    /// How often it had been changed when it was found (`sys_mod_count`), if that was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<u32>,
    /// When a write left that is to close it, and that may still take effect: until then it is left alone, and what
    /// becomes of it is looked at, also where it is none to be closed any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Millis>,
}

/// Content of a ticket to be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Draft {
    /// Columns, already masked.
    pub set: BTreeMap<Attribute, Value>,
    /// The escalation as the tenant's rules may see it, if they have still to be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// Columns that it is made without, also if the settings give them to every ticket.
    #[serde(default, skip_serializing_if = "std::collections::BTreeSet::is_empty")]
    pub without: std::collections::BTreeSet<Attribute>,
}

/// A field as last seen on one side.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seen {
    /// How that side represents it.
    pub shape: Shape,
    /// The newest revision at which it was seen.
    pub revision: Option<Revision>,
    /// When this value was first seen to be so, by that side's clock.
    pub edited: Millis,
}

/// What both sides last agreed on, in both sides' shapes.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Base {
    /// The platform's shape.
    pub platform: Shape,
    /// ServiceNow's shape.
    pub external: Shape,
}

impl Base {
    /// A side's shape.
    #[must_use]
    pub fn shape(&self, side: Side) -> &Shape {
        match side {
            Side::Platform => &self.platform,
            Side::External => &self.external,
        }
    }
}

/// Why a field is left alone until something changes.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParkedWhy {
    /// A person has to decide.
    Conflict(ConflictId),
    /// The non-owner's value was kept after being restored too often, or by policy.
    Kept,
    /// The value has no counterpart in the value map.
    Unmapped,
    /// The text was masked or cut on its way out; carrying it back would destroy the original.
    Masked,
    /// The row could not be found, or not unambiguously.
    Reference,
    /// A guard forbids the transition.
    Guarded,
    /// Its template could not be rendered.
    Template,
    /// The write was answered with success and changed nothing.
    WriteIgnored,
    /// The write was refused.
    Refused,
    /// The tenant's rules withhold the value.
    Withheld,
}

/// A field that is left alone, with both sides as they were then.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Parked {
    /// Why.
    pub why: ParkedWhy,
    /// The platform's shape then.
    pub platform: Option<Shape>,
    /// ServiceNow's shape then.
    pub external: Option<Shape>,
}

/// A person's decision on a conflict, valid while both sides stay as they were seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decision {
    /// The platform's shape to be.
    pub platform: Shape,
    /// The shapes that the person saw, platform's then ServiceNow's.
    pub seen: (Option<Shape>, Option<Shape>),
    /// Who decided.
    pub by: String,
    /// What made a decision necessary.
    #[serde(default)]
    pub cause: Cause,
}

/// What made a decision necessary.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A conflict, resolved by a person.
    #[default]
    Conflict,
    /// A closed ticket that is needed again.
    Reopen,
}

/// A write whose answer was lost and that seems to have landed. It may also be that a user made
/// the same change, and that the write is still on its way: then it would overwrite whatever comes
/// after. Remembered until the instance must have given up on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ghost {
    /// The platform's shape that was written.
    pub of: Shape,
    /// ServiceNow's shape when it seemed to have landed.
    pub shape: Shape,
    /// ServiceNow's revision at which it seemed to have landed.
    pub revision: Option<Revision>,
    /// Until when it may still take effect.
    pub until: Millis,
    /// Whether the field has had another value since.
    pub departed: bool,
    /// Whether somebody was told that it may have landed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub told: bool,
}

/// Everything about one mapped field of a link.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct FieldState {
    /// As last seen on the platform.
    pub platform: Option<Seen>,
    /// As last seen in ServiceNow.
    pub external: Option<Seen>,
    /// As last agreed on.
    pub base: Option<Base>,
    /// Left alone, and why.
    pub parked: Option<Parked>,
    /// A person's decision that is being carried out.
    pub decision: Option<Decision>,
    /// When the owner's value was written back over a non-owner's, within the last hour.
    pub restores: Vec<Millis>,
    /// When a write of ours was answered with a third value, within the last hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flips: Vec<Millis>,
    /// A write to ServiceNow that may still take effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ghost: Option<Ghost>,
    /// What the tenant's rules said of its present values, by the side that each comes from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ruled: BTreeMap<Side, Ruled>,
    /// What they said of two edits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arbitrated: Option<Arbitrated>,
}

impl FieldState {
    /// The field on one side.
    #[must_use]
    pub fn seen(&self, side: Side) -> Option<&Seen> {
        match side {
            Side::Platform => self.platform.as_ref(),
            Side::External => self.external.as_ref(),
        }
    }

    /// The field on one side, to change.
    pub fn seen_mut(&mut self, side: Side) -> &mut Option<Seen> {
        match side {
            Side::Platform => &mut self.platform,
            Side::External => &mut self.external,
        }
    }

    /// The shape on one side.
    #[must_use]
    pub fn shape(&self, side: Side) -> Option<&Shape> {
        self.seen(side).map(|seen| &seen.shape)
    }
}

/// Where a write stands. `Checking -> Sending -> (Verifying)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Reading what is there, just before writing.
    Checking,
    /// Checked, and about to be sent or being sent.
    Sending,
    /// Its fate is unknown: being looked up.
    Verifying {
        /// When the request had left at the latest.
        sent: Millis,
        /// Whether it may still take effect.
        open: bool,
        /// Whether the other side said that it is done, and only the trace of it is looked for.
        applied: bool,
    },
    /// A create that was refused: perhaps only because the ticket is there already.
    Refused(Refusal),
}

/// A write under way. At most one a side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flight {
    /// The write.
    pub write: Write,
    /// Where it stands.
    pub phase: Phase,
    /// How often it was sent.
    pub attempts: u32,
    /// Whether one of those may have taken effect, or may yet, although it was sent again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_up: bool,
}

/// What is asked of a side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExchangeKind {
    /// Look for the ticket by its key.
    Find,
    /// Read the record.
    Read,
    /// Read the journal of the record.
    Journal,
    /// Look a row up by a key, so that a reference to it can be written.
    LookUp {
        /// The table.
        table: TableName,
        /// The column to look in.
        key: Attribute,
        /// The value to look for.
        value: String,
    },
    /// Look for a ticket by its number.
    Locate(String),
    /// The record is not where it was: look for it among all tasks.
    Class,
    /// The record is nowhere: look for the proof that it was deleted.
    Deletion,
    /// What stood in the record before writes of ours went over it unseen.
    History,
    /// Send the write in flight.
    Send,
}

/// One request under way. At most one a side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Exchange {
    /// What was asked.
    pub kind: ExchangeKind,
    /// Tells its answer from that of an earlier one.
    pub number: u64,
    /// When it left.
    pub since: Millis,
    /// When it counts as lost.
    pub deadline: Millis,
    /// The ticket was seen in another table since it left: that it was not found where it was asked for says nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub elsewhere: bool,
}

/// What a link knows and wants of one side.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct SideState {
    /// The newest revision seen of the record.
    pub revision: Option<Revision>,
    /// The record should be read.
    pub look: bool,
    /// The journal should be read.
    pub look_journal: bool,
    /// Tickets with our key should be looked for, besides our own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub look_twins: bool,
    /// The write under way.
    pub flight: Option<Flight>,
    /// The request under way.
    pub exchange: Option<Exchange>,
    /// Failures in a row; sets the pause before the next try.
    pub failures: u32,
    /// Left alone until then.
    pub not_before: Option<Millis>,
    /// After a refusal of several fields: one field at a time, to find the one.
    pub one_by_one: bool,
    /// The record could not be found when it was last read.
    pub missing: bool,
    /// It was not where it should be; what is asked next to learn why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// How often in a row a read was older than what messages had shown.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub overtaken: u32,
    /// How that side's clock stands to ours, as far as answers have told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// Creating the record was refused: nothing more until somebody retries the dead letter.
    pub halted: bool,
    /// Writes of dead letters that somebody retries: the same again goes under the same key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retried: Vec<Write>,
}

impl SideState {
    /// What that side's clock showed at least when ours showed this.
    #[must_use]
    pub fn theirs(&self, ours: Millis) -> Millis {
        Millis(ours.0.saturating_add(self.clock.map_or(0, |clock| clock.low)))
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // Serde calls it so.
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A write of ours that may have gone over what somebody else wrote, which was not seen. Counts are of
/// `sys_mod_count`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unseen {
    /// The field that was written.
    pub field: FieldName,
    /// The columns that make it up. (The ticket may be of another class by the time that its history is read.)
    pub columns: BTreeSet<Attribute>,
    /// What was written up to then was seen, and our write meant it.
    pub meant: u32,
    /// Our write came after this, when the ticket was last seen before it.
    pub after: u32,
    /// And it had come by then, when the ticket was seen again.
    pub until: u32,
    /// Its history is being read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_asked: bool,
    /// How often that failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries: u32,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Millis>,
}

/// One change of one column, as the history of a ticket (`sys_audit`) has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PastChange {
    /// The column.
    pub column: Attribute,
    /// What was put there.
    pub new: String,
    /// Who did it, by user name.
    pub user: String,
    /// The ticket's counter of changes (`sys_mod_count`) since.
    pub count: u32,
}

/// What a ticket's history shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Past {
    /// The changes, oldest first.
    pub changes: Vec<PastChange>,
    /// There are more, older than these.
    pub is_cut: bool,
}

/// How it is found out why a record cannot be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Search {
    /// Perhaps it is of another class now.
    Class,
    /// Perhaps it was deleted.
    Deletion,
}

/// How a side's clock stands to ours: an interval that holds "theirs minus ours", in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Clock {
    /// At least.
    pub low: i64,
    /// At most.
    pub high: i64,
}

impl Clock {
    /// Their clock minus ours.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.low.saturating_add(self.high) / 2
    }

    /// How far the offset may be wrong.
    #[must_use]
    pub fn uncertainty(&self) -> u64 {
        self.high.saturating_sub(self.low).unsigned_abs() / 2
    }

    /// What two measurements say together. If they contradict each other the clock was set, and
    /// the later one counts.
    #[must_use]
    pub fn and(earlier: Option<Clock>, later: Clock) -> Clock {
        match earlier {
            Some(earlier) if earlier.low <= later.high && later.low <= earlier.high => {
                Clock { low: earlier.low.max(later.low), high: earlier.high.min(later.high) }
            }
            _ => later,
        }
    }
}

/// A reference, looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// Exactly one.
    Found(SysId),
    /// None.
    Missing,
    /// More than one.
    Ambiguous,
}

/// Where a conflict stands.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum ConflictState {
    /// Waits for a person.
    Open,
    /// A person decided.
    Resolved {
        /// Who.
        by: String,
        /// For which value, in the platform's shape.
        value: Shape,
        /// When.
        at: Millis,
    },
    /// Both sides came to agree by themselves.
    Closed {
        /// When.
        at: Millis,
    },
}

/// Both sides changed one field since the base, to different values.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conflict {
    /// Its id.
    pub id: ConflictId,
    /// The integration.
    pub integration: IntegrationId,
    /// The link.
    pub link: LinkId,
    /// The ticket's number, for people.
    pub number: Option<String>,
    /// The field.
    pub field: FieldName,
    /// The platform's value.
    pub platform: Option<Seen>,
    /// ServiceNow's value.
    pub external: Option<Seen>,
    /// What both last agreed on.
    pub base: Option<Base>,
    /// When it was first seen.
    pub opened: Millis,
    /// When a value last changed.
    pub updated: Millis,
    /// Where it stands.
    #[serde(flatten)]
    pub state: ConflictState,
}
