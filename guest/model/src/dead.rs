//! Dead letters: writes that failed for good. Each is kept with everything that became of it.

use serde::{Deserialize, Serialize};

use crate::{FieldName, IntegrationId, LinkId, Millis, Side, Verb, Write};

/// Work that failed for good. There is one for each thing that is to be done: refused again, it is the
/// same dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its id.
    pub id: String,
    /// The integration.
    pub integration: IntegrationId,
    /// The link.
    pub link: LinkId,
    /// The write.
    pub write: Write,
    /// What the other side said last.
    pub reason: String,
    /// When.
    pub at: Millis,
    /// What became of it.
    #[serde(default)]
    pub state: DeadState,
    /// Everything that happened to it, oldest first; of many events the latest.
    #[serde(default)]
    pub history: Vec<DeadEvent>,
}

/// What became of a dead letter.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeadState {
    /// It waits for a person.
    #[default]
    Waiting,
    /// Somebody had it tried again, and it was not refused since.
    Retried,
    /// Somebody threw it away.
    Discarded,
}

impl DeadState {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DeadState::Waiting => "waiting",
            DeadState::Retried => "retried",
            DeadState::Discarded => "discarded",
        }
    }
}

/// One thing that happened to a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadEvent {
    /// When.
    pub at: Millis,
    /// What.
    pub what: DeadHappening,
}

/// What happened to a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeadHappening {
    /// The other side refused it, and said so.
    Refused(String),
    /// Somebody had it tried again.
    Retried(String),
    /// Somebody threw it away.
    Discarded(String),
}

/// What a dead letter would do.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeadWork {
    /// Make a ticket.
    Create,
    /// Change fields.
    Update,
    /// Add a comment or a work note.
    Comment,
    /// Close a second ticket of one key.
    CloseDuplicate,
}

/// Which dead letters are meant; what is not given leaves none out.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadFilter {
    /// Those of a side.
    pub side: Option<Side>,
    /// Those that would do this.
    pub work: Option<DeadWork>,
    /// Those that would change this field.
    pub field: Option<FieldName>,
    /// Those whose last reason contains this text, in whichever case.
    pub reason: Option<String>,
    /// Those of a link.
    pub link: Option<LinkId>,
    /// Those that were refused last before this instant.
    pub before: Option<Millis>,
}

impl DeadLetter {
    /// The most events that are kept.
    pub const EVENTS: usize = 50;

    /// What it would do.
    #[must_use]
    pub fn work(&self) -> DeadWork {
        match self.write.verb {
            Verb::Create { .. } => DeadWork::Create,
            Verb::Update { .. } => DeadWork::Update,
            Verb::Append { .. } => DeadWork::Comment,
            Verb::Retire { .. } => DeadWork::CloseDuplicate,
        }
    }

    /// Whether it is one of those that are meant.
    #[must_use]
    pub fn fits(&self, filter: &DeadFilter) -> bool {
        let DeadFilter { side, work, field, reason, link, before } = filter;
        let changes = |field: &FieldName| match &self.write.verb {
            Verb::Update { set, .. } => set.contains_key(field),
            _ => false,
        };
        let says = |text: &String| self.reason.to_lowercase().contains(&text.to_lowercase());
        side.is_none_or(|side| self.write.side == side)
            && work.is_none_or(|work| self.work() == work)
            && field.as_ref().is_none_or(changes)
            && reason.as_ref().is_none_or(says)
            && link.as_ref().is_none_or(|link| self.link == *link)
            && before.is_none_or(|before| self.at < before)
    }

    /// Something happened to it.
    pub fn happened(&mut self, at: Millis, what: DeadHappening) {
        self.state = match what {
            DeadHappening::Refused(_) => DeadState::Waiting,
            DeadHappening::Retried(_) => DeadState::Retried,
            DeadHappening::Discarded(_) => DeadState::Discarded,
        };
        self.history.push(DeadEvent { at, what });
        let over = self.history.len().saturating_sub(Self::EVENTS);
        self.history.drain(..over);
    }
}
