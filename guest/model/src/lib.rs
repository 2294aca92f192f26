//! The nouns of Firn: what it talks about. This crate decides nothing.
//!
//! Belongs here: data types with their invariants, their serialised shape and
//! their documentation. Does not belong here: any rule about what should happen
//! next (that is `firn-core`), any I/O (that is `host/`).
//!
//! The words are the glossary of the design: *record*, *link*, *observation*,
//! *base*, *plan*, *command*, *outcome*, *finding*.

mod attachment;
mod command;
mod dead;
mod delivery;
mod door;
mod id;
mod journal;
mod learning;
mod link;
mod observation;
mod operator;
mod plan;
mod restore;
mod revision;
mod row;
pub mod rule;
mod settings;
mod sweep;
mod time;
mod value;

pub use attachment::{
    Attachment, AttachmentExchange, AttachmentSeen, AttachmentWork, Attachments, Fate, Left,
};
pub use command::{Expectation, Outcome, Refusal, Translated, Uncertainty, Verb, Write};
pub use dead::{DeadEvent, DeadFilter, DeadHappening, DeadLetter, DeadState, DeadWork};
pub use delivery::{Delivery, DeliveryState, Problem, Quarantined};
pub use door::{
    Answer, AnswerBody, Body, Event, Fetch, HttpRequest, HttpResponse, Inbound, InboundKind,
    Method, Notice, Remote, Reply, Report, Urgency, Want,
};
pub use id::{
    Attribute, ConflictId, ContentHash, CorrelationKey, FieldName, IntegrationId, InvalidId,
    LinkId, PlatformId, SysId, TableName, TenantId,
};
pub use journal::{Comment, Entry, EntryOrigin, JournalText, Mirror, WorkNote};
pub use learning::{
    Article, ArticleDraft, ArticleState, Asked, CaseSummary, Cited, Composed, Composing, Learning,
    LearningState, LearntFrom, LikeCase, Maker, Passage, Source, Spent, Standing, Telling,
};
pub use link::{
    Apart, Base, Cause, Clock, Conflict, ConflictState, Decision, Draft, Ended, Exchange,
    ExchangeKind, ExternalRecord, FieldState, Flight, Ghost, Link, Parked, ParkedWhy, Past,
    PastChange, Phase, Reference, Role, Search, Seen, SideState, Tombstone, Twin, Unseen,
};
pub use observation::{EntrySeen, Observation, ObservationSource, ObservedRecord, Presence};
pub use operator::{
    Check, CheckState, Configure, FieldDrift, Group, GroupState, Intent, Operation, Resolution,
    Run, RunMode, RunState, Schedule, TicketName, Version,
};
pub use plan::{
    Alert, Audit, Finding, FindingFilter, FindingKind, KeptFinding, Plan, Step, Why, Written,
};
pub use restore::{Restored, Restoring, SEEN_LATE, restored};
pub use revision::{Order, Revision};
pub use row::{Change, CommitError, Expect, Key, Put, Row};
pub use rule::{ActiveRules, Hook, Inquiry, OnRuleFailure};
pub use settings::{
    ArticlePolicy, AttachmentPolicy, Backfill, ChoicePair, ClosedPolicy, CorrelationMode,
    CorrelationPolicy, Direction, DuplicatePolicy, Environment, Fault, FieldSettings, Filters,
    GonePolicy, Guard, Integration, JournalPolicy, JournalSource, Kind, LearningPolicy, Level,
    Lifecycle, Limits, MaskPattern, MaskRule, MaskStrategy, MaskWords, MaskingPolicy, OffOwner,
    Owner, Permit, PlatformContract, Polling, PollingPolicy, Precision, Preset, ProvisionPolicy,
    PullBy, RESOURCE, ReconcilePolicy, Settings, Sink, Strategy, TextFormat, TicketType,
    WebhookPolicy, instance_address,
};
pub use sweep::{Pace, Place, Stream, Sweep, Until, Walk};
pub use time::{
    Millis, TimeError, http_date_text, parse_http_date, parse_rfc3339, parse_servicenow,
    rfc3339_text, servicenow_text,
};
pub use value::{Shape, Side, Value};
