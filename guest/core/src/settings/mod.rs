//! Settings, checked. [`Rules`] can only be made by [`compile`]; whoever holds them need not check
//! again. How settings are written and merged is in `document`, what is wrong with them in `check`.

mod check;
mod document;
pub mod instance;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use firn_model::rule::{Beginning, Turn};
use firn_model::{
    Attribute, ChoicePair, Direction, Fault, FieldName, Guard, Hook, Integration, IntegrationId,
    Level, Lifecycle, Millis, OffOwner, Owner, PlatformContract, Precision, Settings, Shape, Side,
    Sink, Strategy, TableName, TextFormat, Value,
};
use serde::Serialize;

use crate::expression::{Condition, Template};
use crate::mapping;
use crate::masking::{Masker, NoTokens, Place, Policy, Tokens};

pub(crate) use document::decode;
pub use document::{Applied, apply, begin, masking, overlay};

/// What a ticket is asked by a method, and is no column.
const METHODS: [&str; 4] = ["get", "items", "keys", "values"];

/// One mapped field of one kind of ticket, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldMapping {
    /// Its name.
    pub name: FieldName,
    /// How its values translate.
    pub mapping: Mapping,
    /// Whose it is.
    pub owner: Owner,
    /// The platform's priority for it.
    pub platform_priority: i32,
    /// ServiceNow's priority for it.
    pub external_priority: i32,
    /// What happens to a non-owner's change.
    pub off_owner: OffOwner,
    /// What happens when both sides change it at nearly the same time.
    pub strategy: Strategy,
    /// Milliseconds that count as "nearly the same time".
    pub window: u64,
    /// Guards on its transitions.
    pub guards: Vec<Guard>,
    /// Whether it is synchronised at all, at the moment.
    pub when: Option<Condition>,
}

/// How a field's values translate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapping {
    /// Free text.
    Text {
        /// The platform's attribute.
        attribute: Attribute,
        /// The column.
        column: Attribute,
        /// Its length in characters.
        max: usize,
        /// How personal data is masked on its way; nothing if it is not.
        mask: Option<BothWays>,
        /// How the platform writes it.
        platform_format: TextFormat,
        /// How ServiceNow writes it.
        external_format: TextFormat,
    },
    /// A text that ServiceNow writes as HTML and the platform is shown as Markdown, with its markup. One way.
    Markup {
        /// The platform's attribute.
        attribute: Attribute,
        /// The column.
        column: Attribute,
        /// How personal data is masked on its way; nothing if it is not.
        mask: Option<BothWays>,
    },
    /// A value map of one column.
    Choice {
        /// The platform's attribute.
        attribute: Attribute,
        /// The column.
        column: Attribute,
        /// The map.
        pairs: Vec<ChoicePair>,
    },
    /// A value map of several columns.
    Columns {
        /// The platform's attribute.
        attribute: Attribute,
        /// The columns that tell the value; what is written may be others.
        reads: BTreeSet<Attribute>,
        /// The map.
        pairs: Vec<ChoicePair>,
    },
    /// A reference, by a key on the platform and by `sys_id` in ServiceNow.
    Reference {
        /// The platform's attribute.
        attribute: Attribute,
        /// The column.
        column: Attribute,
        /// The table that it points to.
        table: TableName,
        /// The column by which the platform names it.
        key: Attribute,
    },
    /// An instant or a day.
    Date {
        /// The platform's attribute.
        attribute: Attribute,
        /// The column.
        column: Attribute,
        /// How exact.
        precision: Precision,
        /// The platform's time zone where its texts carry no offset.
        zone: Zone,
    },
    /// A column made of several of the platform's attributes. One way.
    ToServicenow {
        /// The attributes that the template uses.
        inputs: BTreeSet<Attribute>,
        /// The column.
        column: Attribute,
        /// The template over `record`.
        template: Template,
        /// The column's length in characters.
        max: usize,
        /// How personal data is masked on its way; nothing if it is not.
        mask: Option<BothWays>,
    },
    /// An attribute made of several of ServiceNow's columns. One way.
    ToPlatform {
        /// The platform's attribute.
        attribute: Attribute,
        /// The columns that the template uses.
        inputs: BTreeSet<Attribute>,
        /// The template over `ticket`.
        template: Template,
        /// How personal data is masked on its way; nothing if it is not.
        mask: Option<BothWays>,
    },
}

/// A time zone that is known to exist.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone(pub(crate) jiff::tz::TimeZone);

impl Eq for Zone {}

/// What is mapped for one kind of ticket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct TicketRules {
    fields: Vec<FieldMapping>,
    constants: BTreeMap<Attribute, Value>,
}

/// The masking policy at the places that are no mapped field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masks {
    policy: Arc<Policy>,
    comments: BothWays,
    file_names: BothWays,
    shown: Masker,
    learnt: Masker,
}

/// How a text is masked on its way, by the side that it leaves for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BothWays {
    to_platform: Masker,
    to_external: Masker,
}

impl BothWays {
    pub(crate) fn new(policy: &Arc<Policy>, field: Option<&str>, sink: Sink) -> BothWays {
        let to = |side| policy.at(Place { field, to: Some(side), sink: Some(sink) });
        BothWays { to_platform: to(Side::Platform), to_external: to(Side::External) }
    }

    /// A text as it leaves for a side.
    #[must_use]
    pub fn mask(&self, to: Side, text: &str) -> String {
        let masker = match to {
            Side::Platform => &self.to_platform,
            Side::External => &self.to_external,
        };
        masker.mask(text).text
    }
}

impl Masks {
    fn new(policy: &Arc<Policy>) -> Masks {
        Masks {
            policy: Arc::clone(policy),
            comments: BothWays::new(policy, None, Sink::Comment),
            file_names: BothWays::new(policy, Some("attachment.name"), Sink::Field),
            shown: policy.at(Place { sink: Some(Sink::Audit), ..Place::default() }),
            learnt: policy.at(Place { sink: Some(Sink::Knowledge), ..Place::default() }),
        }
    }

    /// A text as it becomes part of what is learnt.
    #[must_use]
    pub fn learnt(&self, text: &str) -> String {
        without_escapes(&self.learnt, text)
    }

    /// A comment or work note as it leaves for a side.
    #[must_use]
    pub fn comment(&self, to: Side, text: &str) -> String {
        self.comments.mask(to, text)
    }

    /// The name of a file as it leaves for a side.
    #[must_use]
    pub fn file_name(&self, to: Side, text: &str) -> String {
        self.file_names.mask(to, text)
    }

    /// A column of a new ticket.
    #[must_use]
    pub fn draft(&self, column: &str, text: &str) -> String {
        let to = Some(Side::External);
        let place = Place { field: Some(column), to, sink: Some(Sink::Field) };
        self.policy.at(place).mask(text).text
    }

    /// A message as a whole, whatever its parts are: rules of the policy about fields or uses are not about it.
    #[must_use]
    pub fn whole(&self, to: Option<Side>) -> Masker {
        self.policy.at(Place { to, ..Place::default() })
    }

    /// A text as it may be kept and shown; also where Markdown's escapes stand between its digits.
    #[must_use]
    pub fn shown(&self, text: &str) -> String {
        without_escapes(&self.shown, text)
    }
}

/// Masks a text, also where Markdown's escapes stand between its digits.
fn without_escapes(masker: &Masker, text: &str) -> String {
    if !text.contains('\\') {
        return masker.mask(text).text;
    }
    let mut bare = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escapes = c == '\\' && chars.peek().is_some_and(char::is_ascii_punctuation);
        if !escapes {
            bare.push(c);
        }
    }
    let masked = masker.mask(&bare);
    if masked.spans.is_empty() { masker.mask(text).text } else { masked.text }
}

/// A raw payload or a ticket that a filter looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// An escalation.
    Escalations,
    /// A platform's event.
    Events,
    /// ServiceNow's webhook.
    Webhooks,
    /// A ticket that we did not make.
    Mirror,
}

/// Checked settings of one integration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    integration: Integration,
    /// In the order of the settings; a new ticket is of the first that fits.
    order: Vec<(TableName, Option<Condition>)>,
    types: BTreeMap<TableName, TicketRules>,
    gates: Vec<(Gate, Condition)>,
    journal: Option<Template>,
    masks: Masks,
}

impl Rules {
    /// The integration's id.
    #[must_use]
    pub fn id(&self) -> &IntegrationId {
        &self.integration.id
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.integration.settings
    }

    /// The whole integration.
    #[must_use]
    pub fn integration(&self) -> &Integration {
        &self.integration
    }

    /// Until when nothing is begun, if that is not over yet: see [`firn_model::Restored::settled`].
    #[must_use]
    pub fn rests_until(&self, now: Millis) -> Option<Millis> {
        self.integration.restored.map(|restored| restored.settled()).filter(|until| *until > now)
    }

    /// How the platform is reached.
    #[must_use]
    pub fn platform(&self) -> &PlatformContract {
        &self.integration.platform
    }

    /// Whether the tenant's own rules are asked at a point.
    #[must_use]
    pub fn asks(&self, hook: Hook) -> bool {
        self.integration.rules.as_ref().is_some_and(|rules| rules.hooks.contains(&hook))
    }

    /// What rules have to say before a new pair begins.
    #[must_use]
    pub fn beginning(&self) -> Beginning {
        let turn = |hook| if self.asks(hook) { Turn::Open } else { Turn::Over };
        Beginning {
            admit: turn(Hook::Admit),
            classify: turn(Hook::Classify),
            draft: turn(Hook::Draft),
        }
    }

    /// The mapped fields of a kind of ticket; none for one that the settings do not name.
    #[must_use]
    pub fn fields(&self, table: &TableName) -> &[FieldMapping] {
        self.types.get(table).map_or(&[], |t| t.fields.as_slice())
    }

    /// The mapping of one field of a kind of ticket.
    #[must_use]
    pub fn field(&self, table: &TableName, name: &FieldName) -> Option<&FieldMapping> {
        self.fields(table).iter().find(|f| f.name == *name)
    }

    /// Columns that every new ticket of a kind gets.
    #[must_use]
    pub fn constants(&self, table: &TableName) -> BTreeMap<Attribute, Value> {
        self.types.get(table).map(|t| t.constants.clone()).unwrap_or_default()
    }

    /// Whether the settings name this kind of ticket.
    #[must_use]
    pub fn takes(&self, table: &TableName) -> bool {
        self.types.contains_key(table)
    }

    /// The kinds of tickets, in the order of the settings.
    pub fn tables(&self) -> impl Iterator<Item = &TableName> {
        self.order.iter().map(|(table, _)| table)
    }

    /// The kind of a new ticket: the first whose condition holds, else the first of all. A
    /// condition that cannot be evaluated does not hold.
    #[must_use]
    pub fn table_for(&self, context: &impl Serialize) -> TableName {
        let fits = |condition: &Option<Condition>| {
            condition.as_ref().is_none_or(|c| c.holds(context).unwrap_or(false))
        };
        let found = self.order.iter().find(|(_, condition)| fits(condition));
        found.or(self.order.first()).map_or_else(mapping::incident, |(table, _)| table.clone())
    }

    /// Whether there is a filter at all: without one a payload need not be read for it.
    #[must_use]
    pub fn has_filter(&self, gate: Gate) -> bool {
        self.gates.iter().any(|(known, _)| *known == gate)
    }

    /// Whether a filter lets something in. No filter lets everything in, except that nothing is
    /// mirrored.
    ///
    /// # Errors
    /// When the filter cannot be evaluated on it.
    pub fn lets_in(&self, gate: Gate, context: &impl Serialize) -> Result<bool, String> {
        match self.gates.iter().find(|(known, _)| *known == gate) {
            Some((_, condition)) => condition.holds(context),
            None => Ok(gate != Gate::Mirror),
        }
    }

    /// Whether a filter asks for something of a ticket that is not shown: what it says of it is worth nothing then.
    #[must_use]
    pub fn asks_for_more(&self, gate: Gate, shown: &BTreeMap<Attribute, Value>) -> bool {
        let conditions = self.gates.iter().filter(|(known, _)| *known == gate);
        conditions.flat_map(|(_, condition)| condition.names()).any(|name| {
            let mut path = name.split('.');
            match (path.next(), path.next()) {
                (Some("ticket"), Some(_)) => {
                    let column = name.strip_prefix("ticket.");
                    !shown.keys().any(|attribute| Some(attribute.as_str()) == column)
                }
                // As a whole, or by a name that is made up.
                (Some("ticket"), None) => true,
                _ => false,
            }
        })
    }

    /// Whether a filter lets something in as far as it is shown: nothing, if it depends on what is not.
    #[must_use]
    pub fn lets_in_for_sure(&self, gate: Gate, context: &impl Serialize) -> Option<bool> {
        let mut conditions = self.gates.iter().filter(|(known, _)| *known == gate);
        conditions.try_fold(true, |all, (_, condition)| {
            condition.holds_for_sure(context).ok().map(|holds| all && holds)
        })
    }

    /// The columns that a filter asks for of a ticket, whether they are mapped or not.
    #[must_use]
    pub fn asked_of_tickets(&self, gate: Gate) -> BTreeSet<Attribute> {
        let conditions = self.gates.iter().filter(|(known, _)| *known == gate);
        let names = conditions.flat_map(|(_, condition)| condition.names());
        names
            .filter_map(|name| Attribute::new(name.strip_prefix("ticket.")?.to_owned()).ok())
            .filter(|name| mapping::is_column(name.as_str()) && !METHODS.contains(&name.as_str()))
            .collect()
    }

    /// The template of what ServiceNow's journal is given.
    #[must_use]
    pub fn journal_template(&self) -> Option<&Template> {
        self.journal.as_ref()
    }

    /// How texts are masked that are no mapped field.
    #[must_use]
    pub fn masks(&self) -> &Masks {
        &self.masks
    }

    /// When a record is open.
    #[must_use]
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.settings().lifecycle
    }

    /// Whether Firn may write to a side at all.
    #[must_use]
    pub fn may_write(&self, side: Side) -> bool {
        let allowed = match self.settings().direction {
            Direction::Bidirectional => true,
            Direction::ToServicenow => side == Side::External,
            Direction::ToPlatform => side == Side::Platform,
        };
        allowed && (side == Side::External || self.platform().callback_url.is_some())
    }

    /// Whether a side's record can be read.
    #[must_use]
    pub fn may_read(&self, side: Side) -> bool {
        side == Side::External || self.platform().read_url.is_some()
    }

    /// The columns that close a ticket, if the value map of its status has a value for that.
    #[must_use]
    pub fn closing(&self, table: &TableName) -> Option<BTreeMap<Attribute, Value>> {
        let lifecycle = self.lifecycle();
        let field = self.field(table, &lifecycle.field)?;
        let closed = Value::text(lifecycle.closed.first()?.clone());
        let shape = Shape::one(mapping::platform_attribute(field)?, closed);
        let columns = mapping::to_external(field, &shape, None, &BTreeMap::new()).ok()?;
        Some(columns.shape.0.into_iter().chain(columns.with).collect())
    }

    /// ServiceNow's columns that a read of a kind of ticket asks for.
    #[must_use]
    pub fn columns(&self, table: &TableName) -> Vec<String> {
        let mut columns: BTreeSet<Attribute> =
            ["sys_id", "number", "sys_class_name", "sys_mod_count", "sys_updated_on"]
                .into_iter()
                .map(mapping::attribute)
                .collect();
        columns.insert(self.settings().correlation.column.clone());
        for field in self.fields(table) {
            columns.extend(mapping::attributes(field, Side::External));
        }
        columns.into_iter().map(String::from).collect()
    }
}

/// Checks settings.
///
/// # Errors
/// Every fault at once, each with where it is and what to do; no warnings.
pub fn compile(integration: Integration) -> Result<Rules, Vec<Fault>> {
    compile_with(integration, Arc::new(NoTokens))
}

/// Checks settings whose masking may make tokens.
///
/// # Errors
/// Every fault at once, each with where it is and what to do; no warnings.
pub fn compile_with(
    integration: Integration,
    tokens: Arc<dyn Tokens>,
) -> Result<Rules, Vec<Fault>> {
    let (rules, faults) = check::check(integration, tokens);
    rules.ok_or_else(|| faults.into_iter().filter(|f| f.level == Level::Error).collect())
}

/// Checks settings and gives all faults, warnings too. Without an error among them there are rules.
#[must_use]
pub fn check(integration: Integration) -> (Option<Rules>, Vec<Fault>) {
    check::check(integration, Arc::new(NoTokens))
}
