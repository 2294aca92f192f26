//! Plans: the answer of the core.

use serde::{Deserialize, Serialize};

use crate::{
    Conflict, DeadLetter, Exchange, FieldName, Inquiry, IntegrationId, Link, LinkId, Millis,
    Notice, Shape, Side,
};

/// Why a field is written. Each write carries its reasons into the audit.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The record is new.
    Created,
    /// The other side changed, and may.
    Carried,
    /// This side changed without owning the field: the owner's value is written back.
    Restored,
    /// Both changed at nearly the same time: the later edit won.
    LastWriteWins,
    /// Both changed at nearly the same time: the side of higher priority won.
    HigherPriority,
    /// Both changed: the owner's value stands.
    Overruled,
    /// Both changed: one side's transition is forbidden by a guard.
    Guarded,
    /// The ticket was closed, and is needed again.
    Reopened,
    /// The other side's record is gone for good.
    OtherGone,
    /// A further ticket was made for the same key.
    Duplicate,
    /// A person decided.
    Resolved {
        /// Who.
        by: String,
    },
    /// The sides met without a common base.
    Attached,
    /// A journal entry of the other side.
    Mirrored,
    /// The evidence pack of an escalation.
    Evidence,
    /// A write of ours went over it without anybody having seen it: it was written between our look and our write, or
    /// our write came late.
    Unseen,
}

/// One field of a write: what changes, and why.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Written {
    /// The field; `None` for a whole record or a journal entry.
    pub field: Option<FieldName>,
    /// What stood there, the loser of a conflict included.
    pub from: Option<Shape>,
    /// What is written.
    pub to: Option<Shape>,
    /// Why.
    pub why: Why,
    /// The version of the tenant's rules that made this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<u64>,
}

/// What the core wants done next on a side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Nothing: the side is as it should be.
    Settled,
    /// Send a request: a read, or the write in flight.
    Exchange(Exchange),
    /// Look again then.
    Wait(Millis),
}

/// A line of the audit: one per write, and one per decision worth explaining.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// The integration.
    pub integration: IntegrationId,
    /// The link, where there is one.
    pub link: Option<LinkId>,
    /// When.
    pub at: Millis,
    /// What happened, in one of few words: `write`, `filtered`, `resolved`, ...
    pub event: String,
    /// The write's key, for writes.
    pub key: Option<String>,
    /// The side that is written to.
    pub side: Option<Side>,
    /// The fields, and why.
    pub fields: Vec<Written>,
    /// Anything else worth saying. Never a raw value.
    pub note: Option<String>,
}

/// What kind of thing a person should see.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A conflict waits for a person.
    Conflict,
    /// A value has no counterpart in its map.
    UnmappedValue,
    /// A payload could not be used and was kept.
    Quarantined,
    /// Another write slipped between our read and our write.
    OverwrittenUnseen,
    /// A write changed nothing.
    WriteIgnored,
    /// A non-owner's value was kept.
    Kept,
    /// A masked text was edited on the other side.
    MaskedEdit,
    /// A user could not be found.
    UnknownReference,
    /// A write was refused.
    Refused,
    /// More than one ticket has our key.
    DuplicateTicket,
    /// A record cannot be found.
    RecordMissing,
    /// The sign-in is not accepted.
    SignInFailed,
    /// What lets Firn sign in ends within days.
    SignInEnds,
    /// A side was not reached again and again.
    Unreachable,
    /// A side made a transition that a guard forbids.
    Guarded,
    /// A record was deleted.
    RecordGone,
    /// A record is of another class now.
    Reclassed,
    /// A record was changed after its other side was gone.
    UnseenEdit,
    /// A template could not be rendered.
    TemplateFailed,
    /// A ticket is shared by several links.
    SharedTicket,
    /// Changes at the instance are found that no webhook told of.
    WebhooksMissing,
    /// A reconcile run found so much drift that it asks before it mends.
    MuchDrift,
    /// The instance does not let a table be polled.
    PollingRefused,
    /// A file stays on its side.
    AttachmentLeft,
    /// The tenant's rules failed.
    RulesFailed,
    /// The tenant's rules withhold a value.
    RulesWithheld,
    /// A summary of a resolved ticket, or the draft of an article, could not be made as it was wanted.
    LearningFailed,
    /// A stored row cannot be read: what it stands for waits.
    RowUnreadable,
}

/// Something a person should see.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind.
    pub kind: FindingKind,
    /// The integration.
    pub integration: IntegrationId,
    /// The link, where there is one.
    pub link: Option<LinkId>,
    /// The field, where there is one.
    pub field: Option<FieldName>,
    /// What happened and what to do, in one or two sentences. Never a raw value.
    pub text: String,
    /// When.
    pub at: Millis,
}

/// A finding, as it is kept.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFinding {
    /// What it is called among those of its integration. The same is found again under the same name.
    #[serde(default)]
    pub id: String,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
}

/// Which findings are meant: those of which all holds that is given.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FindingFilter {
    /// The one that is called so.
    pub id: Option<String>,
    /// Those of a kind.
    pub kind: Option<FindingKind>,
    /// Those of a link.
    pub link: Option<LinkId>,
    /// Those that were found last before this instant.
    pub before: Option<Millis>,
}

impl FindingFilter {
    /// Whether a finding of this name is one of those that are meant.
    #[must_use]
    pub fn takes(&self, name: &str, finding: &Finding) -> bool {
        let FindingFilter { id, kind, link, before } = self;
        id.as_ref().is_none_or(|id| id == name)
            && kind.is_none_or(|kind| finding.kind == kind)
            && link.as_ref().is_none_or(|link| finding.link.as_ref() == Some(link))
            && before.is_none_or(|before| finding.at < before)
    }
}

/// A finding that is told to the platform's `findings_url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The finding.
    pub finding: Finding,
    /// Since when it is told.
    pub raised: Millis,
    /// How often that failed.
    pub tries: u32,
    /// The request under way.
    pub sent: Option<u64>,
}

/// What is to be stored and done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The link as it is to be stored.
    pub link: Link,
    /// The next step of each side.
    pub steps: Vec<(Side, Step)>,
    /// What a person should see.
    pub findings: Vec<Finding>,
    /// What was decided.
    pub audit: Vec<Audit>,
    /// Conflicts that opened, changed or closed.
    pub conflicts: Vec<Conflict>,
    /// What failed for good.
    pub dead: Vec<DeadLetter>,
    /// Set when the link got its ticket.
    pub notice: Option<Notice>,
    /// What the tenant's rules have to be asked first. The plan has no steps then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inquiry: Option<Inquiry>,
}

impl Plan {
    /// This plan, and one made from its link right after it.
    #[must_use]
    pub fn then(mut self, next: Plan) -> Plan {
        // Who else is on a further ticket was not known the first time.
        let again = |finding: &Finding| finding.kind == FindingKind::DuplicateTicket;
        if next.findings.iter().any(again) {
            self.findings.retain(|finding| !again(finding));
        }
        self.link = next.link;
        self.steps = next.steps;
        self.inquiry = next.inquiry;
        self.findings.extend(next.findings);
        self.audit.extend(next.audit);
        self.conflicts.extend(next.conflicts);
        self.dead.extend(next.dead);
        self
    }

    /// The earliest instant at which somebody should look again, if any.
    #[must_use]
    pub fn wake(&self) -> Option<Millis> {
        self.steps
            .iter()
            .filter_map(|(_, step)| match step {
                Step::Settled => None,
                Step::Exchange(exchange) => Some(exchange.deadline),
                Step::Wait(until) => Some(*until),
            })
            .min()
    }
}
