//! What is wrong with settings: every fault at once, each with its place and a remedy. The laws of
//! value maps are checked here, on the values themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use firn_model::{
    Attribute, ChoicePair, Direction, Fault, FieldName, FieldSettings, Guard, Integration, Kind,
    Level, MaskStrategy, OffOwner, Owner, Permit, Polling, Precision, Settings, Sink, TableName,
    TextFormat, Value,
};
use serde_json::Value as Json;

use super::document::{decode_field, merge_patch};
use super::{BothWays, FieldMapping, Gate, Mapping, Masks, Rules, TicketRules, Zone};
use crate::expression::{Condition, Template};
use crate::mapping::{self, attribute};
use crate::masking::{Policy, Tokens, is_path};

/// Columns that belong to the instance or to Firn itself.
const RESERVED: &[(&str, &str)] = &[
    ("sys_id", "the instance gives it"),
    ("sys_updated_on", "the instance keeps it"),
    ("sys_mod_count", "the instance keeps it"),
    ("sys_class_name", "the instance keeps it"),
    ("number", "the instance gives it"),
    ("comments", "comments travel by the [journal] section"),
    ("work_notes", "work notes travel by the [journal] section"),
    ("priority", "the instance computes it from impact and urgency; use kind = \"severity\""),
];

struct Checker {
    faults: Vec<Fault>,
    policy: Arc<Policy>,
}

impl Checker {
    fn error(&mut self, at: impl Into<String>, text: impl Into<String>, remedy: impl Into<String>) {
        self.push(Level::Error, at.into(), text.into(), remedy.into());
    }

    fn warn(&mut self, at: impl Into<String>, text: impl Into<String>, remedy: impl Into<String>) {
        self.push(Level::Warning, at.into(), text.into(), remedy.into());
    }

    fn push(&mut self, level: Level, at: String, text: String, remedy: String) {
        let fault = Fault { level, at, text, remedy };
        // The same field is looked at once for each kind of ticket.
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    fn condition(&mut self, at: &str, source: &str, names: &[&str]) -> Option<Condition> {
        match Condition::new(source) {
            Ok(condition) => {
                self.names(at, &condition.names(), names);
                self.helpers(at, condition.holds(&Json::Null).err());
                Some(condition)
            }
            Err(why) => {
                self.error(
                    at,
                    format!("the expression cannot be read: {}", why.text),
                    "write it as in Jinja: record.severity in [\"high\", \"critical\"]",
                );
                None
            }
        }
    }

    fn template(&mut self, at: &str, source: &str, names: &[&str]) -> Option<Template> {
        match Template::new(source) {
            Ok(template) => {
                self.names(at, &template.names(), names);
                self.helpers(at, template.render(&Json::Null).err());
                Some(template)
            }
            Err(why) => {
                self.error(
                    at,
                    format!("the template cannot be read: {}", why.text),
                    "write it as in Jinja: {{ record.title }}",
                );
                None
            }
        }
    }

    /// Filters, tests and functions that do not exist; other errors depend on the values.
    fn helpers(&mut self, at: &str, error: Option<String>) {
        let unknown = error.filter(|text| {
            ["unknown filter", "unknown test", "unknown function"].iter().any(|u| text.contains(u))
        });
        if let Some(text) = unknown {
            let text = text.split(" (in ").next().unwrap_or_default().to_owned();
            self.error(at, text, "use one of Jinja's own: lower, trim, default, join, ...");
        }
    }

    /// How a field's text is masked on its way.
    fn mask(&self, name: &FieldName, field: &FieldSettings) -> Option<BothWays> {
        let both = || BothWays::new(&self.policy, Some(name.as_str()), Sink::Field);
        field.mask.unwrap_or(true).then(both)
    }

    /// Names that can never be there.
    fn names(&mut self, at: &str, used: &BTreeSet<String>, known: &[&str]) {
        for name in used {
            let top = name.split('.').next().unwrap_or_default();
            if !known.contains(&top) {
                self.error(
                    at,
                    format!("{top:?} is not known here and would always be empty"),
                    format!("use {}", known.join(", ")),
                );
            }
        }
    }
}

pub(super) fn check(
    integration: Integration,
    tokens: Arc<dyn Tokens>,
) -> (Option<Rules>, Vec<Fault>) {
    let settings = &integration.settings;
    let (policy, faults) = match Policy::new(&settings.masking, "masking.") {
        Ok(policy) => (policy, Vec::new()),
        Err(faults) => (Policy::default(), faults),
    };
    let mut checker = Checker { faults, policy: Arc::new(policy.with_tokens(tokens)) };
    masking(&mut checker, settings);
    numbers(&mut checker, settings);
    addresses(&mut checker, &integration);
    let order = tickets(&mut checker, settings);
    let mut types = BTreeMap::new();
    for (table, _) in &order {
        types.insert(table.clone(), ticket(&mut checker, settings, table));
    }
    reach(&mut checker, settings, &types);
    lifecycle(&mut checker, settings, &types);
    let gates = [
        (Gate::Escalations, "filters.escalations", &settings.filters.escalations, "payload"),
        (Gate::Events, "filters.events", &settings.filters.events, "payload"),
        (Gate::Webhooks, "filters.webhooks", &settings.filters.webhooks, "payload"),
        (Gate::Mirror, "filters.mirror", &settings.filters.mirror, "ticket"),
    ];
    let gates = gates
        .into_iter()
        .filter_map(|(gate, at, source, name)| {
            let names: &[&str] = if name == "ticket" { &["ticket", "table"] } else { &["payload"] };
            Some((gate, checker.condition(at, source.as_deref()?, names)?))
        })
        .collect();
    let journal = settings
        .journal
        .template
        .as_deref()
        .and_then(|t| checker.template("journal.template", t, &["text", "author", "at"]));
    if let Some(template) = &journal
        && !template.names().contains("text")
    {
        checker.error(
            "journal.template",
            "the entry's own text is left out",
            "use {{ text }} in it",
        );
    }
    let masks = Masks::new(&checker.policy);
    let mut faults = checker.faults;
    faults.sort();
    let sound = faults.iter().all(|f| f.level != Level::Error);
    (sound.then_some(Rules { integration, order, types, gates, journal, masks }), faults)
}

/// What a policy lets through or can do nothing with.
fn masking(checker: &mut Checker, settings: &Settings) {
    for (i, rule) in settings.masking.rules.iter().enumerate() {
        for (k, path) in rule.fields.iter().enumerate() {
            let fits = |name: &FieldName| is_path(path, name.as_str());
            let draft = ["short_description", "description", "category", "subcategory"];
            if !settings.fields.keys().any(fits) && !draft.contains(&path.as_str()) {
                checker.warn(
                    format!("masking.rules[{i}].fields[{k}]"),
                    format!(
                        "no mapped field is called {path:?}, so that the rule never holds for it"
                    ),
                    "name a field of [fields], or caller.* for all that begin so",
                );
            }
        }
        let everywhere = rule.types.is_empty() && rule.fields.is_empty() && rule.sinks.is_empty();
        if rule.strategy == MaskStrategy::Keep && everywhere && rule.to.is_none() {
            checker.warn(
                format!("masking.rules[{i}]"),
                "it keeps everything everywhere: nothing is masked at all",
                "name the types, fields or sinks that it is about",
            );
        }
    }
    if settings.masking.strategy == MaskStrategy::Keep {
        checker.warn(
            "masking.strategy",
            "what no rule masks is kept: personal data and secrets reach the other side",
            "use \"partial\", and keep by a rule what has to be kept",
        );
    }
}

fn numbers(checker: &mut Checker, settings: &Settings) {
    if settings.external_user.is_empty() {
        checker.error(
            "external_user",
            "it is empty, so that Firn's own entries could not be told from others'",
            "name the user as which Firn signs in to ServiceNow",
        );
    }
    if !settings.webhook.standard && !settings.webhook.servicenow_signature {
        checker.error(
            "webhook",
            "no way of signing is on, so no webhook could ever be taken",
            "set webhook.standard = true",
        );
    }
    let polling = &settings.polling;
    for (name, interval) in
        [("interval", polling.interval), ("interval_alone", polling.interval_alone)]
    {
        if !(1_000..=86_400_000).contains(&interval) {
            checker.error(
                format!("polling.{name}"),
                format!("{interval} ms is no time between two sweeps"),
                "use 1000 (a second) to 86400000 (a day) milliseconds",
            );
        }
    }
    let limits = &settings.limits;
    let ranges = [
        ("requests_per_second", limits.requests_per_second, 1..=1_000),
        ("at_once", limits.at_once, 1..=64),
        ("requests_per_hour", limits.requests_per_hour.unwrap_or(u32::MAX), 100..=u32::MAX),
    ];
    for (name, given, range) in ranges {
        if !range.contains(&given) {
            let most = match range.end() {
                &u32::MAX => String::new(),
                most => format!(" to {most}"),
            };
            checker.error(
                format!("limits.{name}"),
                format!("nothing could be kept in step with {given}"),
                format!("use {}{most}", range.start()),
            );
        }
    }
    if settings.reconcile.ask_above > 100 {
        checker.error(
            "reconcile.ask_above",
            format!("{} % of the links cannot drift", settings.reconcile.ask_above),
            "use 0 (always ask) to 100 (never)",
        );
    }
    if settings.reconcile.most == 0 {
        checker.error(
            "reconcile.most",
            "a run that may mend nothing mends nothing",
            "use 1 or more, or a dry run",
        );
    }
    if polling.mode == Polling::Off {
        checker.warn(
            "polling.mode",
            "the instance never sends a webhook twice: what is lost is found by a reconcile only",
            "use \"behind\"",
        );
    }
    let mid = settings.provision.mid_server.as_deref();
    if mid.is_some_and(|name| {
        let odd = |c: char| c.is_control() || "'\"\\".contains(c);
        name.is_empty() || name.len() > 100 || name.chars().any(odd)
    }) {
        checker.error(
            "provision.mid_server",
            "this is no name of a MID server",
            "write its name as the instance shows it (ecc_agent.list)",
        );
    }
    if settings.correlation.transaction_limit == 0 {
        checker.error(
            "correlation.transaction_limit",
            "a ticket could be made twice",
            "give the instance's transaction limit in milliseconds; 300000 is ServiceNow's own",
        );
    }
    if settings.request_timeout < 50 || settings.request_timeout > 300_000 {
        checker.error(
            "request_timeout",
            format!("{} ms is no time limit for a request", settings.request_timeout),
            "use 50 to 300000 milliseconds",
        );
    }
    if settings.conflict_window > 3_600_000 {
        checker.warn(
            "conflict_window",
            "more than an hour is not \"nearly the same time\"",
            "give milliseconds; 5000 is usual",
        );
    }
}

fn addresses(checker: &mut Checker, integration: &Integration) {
    for (at, url) in [
        ("base_url", (!integration.base_url.is_empty()).then_some(&integration.base_url)),
        ("platform.callback_url", integration.platform.callback_url.as_ref()),
        ("platform.read_url", integration.platform.read_url.as_ref()),
        ("platform.findings_url", integration.platform.findings_url.as_ref()),
    ] {
        let Some(url) = url else { continue };
        let plain = url.strip_prefix("https://").or(url.strip_prefix("http://"));
        if plain.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
            checker.error(at, format!("{url:?} is no address"), "write https://host/path");
        } else if plain.is_some_and(|rest| rest.split('/').next().unwrap_or_default().contains('@'))
        {
            checker.error(
                at,
                "an address must not hold a user or password",
                "put them into [credentials]",
            );
        }
    }
    if integration.name.trim().is_empty() {
        checker.error("name", "it is empty", "give the integration a name");
    }
    if let Some(url) = &integration.platform.read_url
        && !url.contains("{id}")
    {
        checker.error(
            "platform.read_url",
            "it does not say where the record's id goes",
            "put {id} into it: https://platform.example/records/{id}",
        );
    }
}

/// The kinds of tickets, and which of them can never be chosen.
fn tickets(checker: &mut Checker, settings: &Settings) -> Vec<(TableName, Option<Condition>)> {
    if settings.tickets.is_empty() {
        checker.error(
            "tickets",
            "there is no kind of ticket",
            "name one: [[tickets]] table = \"incident\"",
        );
    }
    let mut seen = BTreeSet::new();
    let mut open_to_all: Option<TableName> = None;
    let mut order = Vec::new();
    for (i, ticket) in settings.tickets.iter().enumerate() {
        let at = format!("tickets[{i}]");
        if !seen.insert(ticket.table.clone()) {
            checker.error(
                format!("{at}.table"),
                format!("{} is there twice", ticket.table),
                "keep one; several conditions can be joined with `or`",
            );
        }
        if let Some(first) = &open_to_all
            && ticket.when.is_some()
        {
            checker.warn(
                format!("{at}.when"),
                format!(
                    "no new ticket is ever a {}: {first} comes before it and takes all",
                    ticket.table
                ),
                "put it before the one without a condition",
            );
        }
        let condition = ticket
            .when
            .as_deref()
            .map(|source| checker.condition(&format!("{at}.when"), source, &["record", "payload"]));
        if condition.is_none() {
            open_to_all.get_or_insert(ticket.table.clone());
        }
        order.push((ticket.table.clone(), condition.flatten()));
    }
    order
}

/// The fields of one kind of ticket.
fn ticket(checker: &mut Checker, settings: &Settings, table: &TableName) -> TicketRules {
    let mut rules = TicketRules::default();
    let mut places = BTreeMap::new();
    for (name, field) in &settings.fields {
        let at = format!("fields.{name}");
        if field.only.as_ref().is_some_and(|only| !only.contains(table)) {
            continue;
        }
        let Some((field, at)) = of_type(checker, &at, field, table) else { continue };
        match field.kind {
            None => checker.error(
                &at,
                "it has no kind",
                "say how its values translate: kind = \"text\", \"choice\", \"columns\", \"severity\", \"reference\", \"date\", \"template\" or \"constant\"",
            ),
            Some(Kind::Constant) => constant(checker, &at, &field, &mut rules.constants),
            Some(kind) => {
                if let Some(mapped) = mapped(checker, settings, &at, name, &field, kind) {
                    places.insert(name.clone(), at.clone());
                    rules.fields.push(mapped);
                }
            }
        }
    }
    overlaps(checker, settings, &rules, &places);
    conditions(checker, &rules, &places);
    rules
}

/// A field with what differs for one kind of ticket.
fn of_type(
    checker: &mut Checker,
    at: &str,
    field: &FieldSettings,
    table: &TableName,
) -> Option<(FieldSettings, String)> {
    let Some(change) = field.types.get(table) else {
        return Some((field.clone(), at.to_owned()));
    };
    let at = format!("{at}.types.{table}");
    let mut document =
        serde_json::to_value(FieldSettings { types: BTreeMap::new(), ..field.clone() })
            .unwrap_or(Json::Null);
    merge_patch(&mut document, change);
    match decode_field(&document, &at) {
        Ok(field) => Some((field, at)),
        Err(faults) => {
            for fault in faults {
                checker.push(fault.level, fault.at, fault.text, fault.remedy);
            }
            None
        }
    }
}

/// Which keys a kind of field takes besides `kind`, `only`, `types`.
fn allowed(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Text => &["column", "attribute", "max", "mask", "platform_format", "external_format"],
        Kind::Choice => &["column", "attribute", "pairs", "guards"],
        Kind::Columns => &["attribute", "pairs", "guards"],
        Kind::Severity => &["attribute", "guards"],
        Kind::Reference => &["column", "attribute", "table", "key"],
        Kind::Date => &["column", "attribute", "precision", "zone"],
        Kind::Template => &["column", "attribute", "template", "max", "mask"],
        Kind::Constant => &["column", "value"],
    }
}

/// Keys that every synchronised field takes.
const SYNC_KEYS: &[&str] = &[
    "owner",
    "platform_priority",
    "external_priority",
    "off_owner",
    "strategy",
    "conflict_window",
    "when",
];

fn word(kind: Kind) -> String {
    serde_json::to_string(&kind).unwrap_or_default().trim_matches('"').to_owned()
}

fn keys(checker: &mut Checker, at: &str, field: &FieldSettings, kind: Kind) {
    let Ok(Json::Object(given)) = serde_json::to_value(field) else { return };
    for key in given.keys() {
        let fits = ["kind", "only", "types"].contains(&key.as_str())
            || allowed(kind).contains(&key.as_str())
            || (kind != Kind::Constant && SYNC_KEYS.contains(&key.as_str()));
        if !fits {
            checker.error(
                format!("{at}.{key}"),
                format!("a field of kind {:?} has no {key}", word(kind)),
                "take it out, or choose another kind",
            );
        }
    }
}

fn column(checker: &mut Checker, at: &str, field: &FieldSettings) -> Option<Attribute> {
    let Some(column) = &field.column else {
        checker.error(
            at,
            "it has no column",
            "name ServiceNow's column: column = \"short_description\"",
        );
        return None;
    };
    if let Some((_, why)) = RESERVED.iter().find(|(name, _)| *name == column.as_str()) {
        checker.error(
            format!("{at}.column"),
            format!("{column} cannot be mapped: {why}"),
            "choose another column",
        );
        return None;
    }
    Some(column.clone())
}

fn constant(
    checker: &mut Checker,
    at: &str,
    field: &FieldSettings,
    constants: &mut BTreeMap<Attribute, Value>,
) {
    keys(checker, at, field, Kind::Constant);
    let column = column(checker, at, field);
    match (&field.value, column) {
        (Some(value), Some(column)) => {
            constants.insert(column, value.clone());
        }
        (None, _) => checker.error(at, "it has no value", "give one: value = \"phone\""),
        (Some(_), None) => {}
    }
}

fn mapped(
    checker: &mut Checker,
    settings: &Settings,
    at: &str,
    name: &FieldName,
    field: &FieldSettings,
    kind: Kind,
) -> Option<FieldMapping> {
    keys(checker, at, field, kind);
    if field.owner.is_none() && kind != Kind::Template {
        checker.warn(
            at,
            "it has no owner: both sides may change it, and neither is restored",
            "say whose it is: owner = \"platform\", \"external\" or \"shared\"",
        );
    }
    let attribute = field.attribute.clone().unwrap_or_else(|| attribute(name.as_str()));
    let mapping = match kind {
        Kind::Text => Some(Mapping::Text {
            attribute,
            column: column(checker, at, field)?,
            max: length(checker, at, field, 255),
            mask: checker.mask(name, field),
            platform_format: field.platform_format.unwrap_or_default(),
            external_format: external_format(checker, at, field),
        }),
        Kind::Choice => {
            let pairs = pairs(checker, at, field)?;
            choice_laws(checker, at, &pairs);
            Some(Mapping::Choice { attribute, column: column(checker, at, field)?, pairs })
        }
        Kind::Columns => {
            let pairs = pairs(checker, at, field)?;
            columns_laws(checker, at, &pairs);
            let reads = pairs.iter().flat_map(|p| p.reads.keys().cloned()).collect();
            Some(Mapping::Columns { attribute, reads, pairs })
        }
        Kind::Severity => Some(mapping::severity(attribute)),
        Kind::Reference => Some(Mapping::Reference {
            attribute,
            column: column(checker, at, field)?,
            table: field.table.clone().unwrap_or_else(mapping::users),
            key: field.key.clone().unwrap_or_else(|| mapping::attribute("email")),
        }),
        Kind::Date => Some(Mapping::Date {
            attribute,
            column: column(checker, at, field)?,
            precision: field.precision.unwrap_or(Precision::Second),
            zone: zone(checker, at, field),
        }),
        Kind::Template => template(checker, at, name, field, attribute),
        Kind::Constant => None,
    }?;
    let one_way = match mapping {
        Mapping::ToServicenow { .. } => Some(Owner::Platform),
        Mapping::ToPlatform { .. } => Some(Owner::External),
        _ => None,
    };
    if let Some(owner) = one_way {
        let fits = field.owner.is_none_or(|given| given == owner);
        if !fits || field.off_owner == Some(OffOwner::Adopted) {
            checker.error(
                at,
                "a template goes one way: it cannot be read backwards",
                format!(
                    "leave owner out (it is {owner:?}) and off_owner = \"restored\" or \"kept\""
                )
                .to_lowercase(),
            );
        }
    }
    guards(checker, at, &field.guards, &mapping);
    Some(FieldMapping {
        name: name.clone(),
        mapping,
        owner: one_way.unwrap_or(field.owner.unwrap_or_default()),
        platform_priority: field.platform_priority.unwrap_or_default(),
        external_priority: field.external_priority.unwrap_or_default(),
        off_owner: field.off_owner.unwrap_or_default(),
        strategy: field.strategy.unwrap_or(settings.strategy),
        window: field.conflict_window.unwrap_or(settings.conflict_window),
        guards: field.guards.clone(),
        when: field.when.as_deref().and_then(|source| {
            checker.condition(&format!("{at}.when"), source, &["record", "ticket", "table"])
        }),
    })
}

fn length(checker: &mut Checker, at: &str, field: &FieldSettings, default: usize) -> usize {
    let max = field.max.unwrap_or(default);
    if max < 8 {
        checker.error(
            format!("{at}.max"),
            format!("{max} characters leave no room"),
            "use the column's length, at least 8",
        );
    }
    max
}

fn external_format(checker: &mut Checker, at: &str, field: &FieldSettings) -> TextFormat {
    let format = field.external_format.unwrap_or_default();
    if format == TextFormat::Markdown {
        checker.error(
            format!("{at}.external_format"),
            "ServiceNow has no columns in Markdown",
            "use \"plain\" or \"html\"",
        );
    }
    format
}

fn zone(checker: &mut Checker, at: &str, field: &FieldSettings) -> Zone {
    let name = field.zone.as_deref().unwrap_or("UTC");
    match jiff::tz::TimeZone::get(name) {
        Ok(zone) => Zone(zone),
        Err(_) => {
            checker.error(
                format!("{at}.zone"),
                format!("{name:?} is not a time zone"),
                "use an IANA name: \"Europe/Berlin\"",
            );
            Zone(jiff::tz::TimeZone::UTC)
        }
    }
}

fn template(
    checker: &mut Checker,
    at: &str,
    field_name: &FieldName,
    field: &FieldSettings,
    attribute: Attribute,
) -> Option<Mapping> {
    let Some(source) = &field.template else {
        checker.error(at, "it has no template", "give one: template = \"{{ record.title }}\"");
        return None;
    };
    let place = format!("{at}.template");
    let name = if field.column.is_some() { "record" } else { "ticket" };
    let template = checker.template(&place, source, &[name])?;
    let inputs: BTreeSet<Attribute> = template
        .names()
        .iter()
        .filter_map(|n| n.strip_prefix(name)?.strip_prefix('.'))
        .filter_map(|n| Attribute::new(n.split('.').next().unwrap_or_default()).ok())
        .collect();
    if inputs.is_empty() {
        checker.error(
            place,
            "it uses no value, so that it always says the same",
            format!("use {{{{ {name}.… }}}}, or kind = \"constant\""),
        );
        return None;
    }
    if field.column.is_some() {
        let column = column(checker, at, field)?;
        let max = length(checker, at, field, 4000);
        Some(Mapping::ToServicenow {
            inputs,
            column,
            template,
            max,
            mask: checker.mask(field_name, field),
        })
    } else {
        let mask = checker.mask(field_name, field);
        Some(Mapping::ToPlatform { attribute, inputs, template, mask })
    }
}

fn pairs(checker: &mut Checker, at: &str, field: &FieldSettings) -> Option<Vec<ChoicePair>> {
    match &field.pairs {
        Some(pairs) if !pairs.is_empty() => Some(pairs.clone()),
        _ => {
            checker.error(
                at,
                "it has no value map",
                "give one: pairs = [{ platform = \"open\", external = [\"1\", \"2\"] }]",
            );
            None
        }
    }
}

/// The round-trip laws of a value map of one column, with the values that break them.
fn choice_laws(checker: &mut Checker, at: &str, pairs: &[ChoicePair]) {
    platform_once(checker, at, pairs);
    let mut external: BTreeMap<&str, &str> = BTreeMap::new();
    for (i, pair) in pairs.iter().enumerate() {
        let here = format!("{at}.pairs[{i}]");
        if pair.external.is_empty() {
            checker.error(
                &here,
                format!("{:?} has no ServiceNow value: it could never be written", pair.platform),
                "give the values that mean it: external = [\"1\"]",
            );
        }
        if !pair.reads.is_empty() || !pair.writes.is_empty() {
            checker.error(
                &here,
                "reads and writes are for kind = \"columns\"",
                "use external = [...]",
            );
        }
        for (j, value) in pair.external.iter().enumerate() {
            match external.insert(value, &pair.platform) {
                Some(other) if other == pair.platform => checker.error(
                    format!("{here}.external[{j}]"),
                    format!("{value:?} is there twice"),
                    "keep one",
                ),
                Some(other) => checker.error(
                    format!("{here}.external[{j}]"),
                    format!(
                        "ServiceNow's {value:?} already means {other:?}: {:?} would read back as {other:?}",
                        pair.platform
                    ),
                    "give every ServiceNow value one meaning",
                ),
                None => {}
            }
        }
    }
}

fn platform_once(checker: &mut Checker, at: &str, pairs: &[ChoicePair]) {
    let mut seen = BTreeSet::new();
    for (i, pair) in pairs.iter().enumerate() {
        if !seen.insert(&pair.platform) {
            checker.error(
                format!("{at}.pairs[{i}].platform"),
                format!("{:?} is there twice; the second could never be reached", pair.platform),
                "put all its ServiceNow values into one line",
            );
        }
    }
}

/// The same laws where several columns make one value.
fn columns_laws(checker: &mut Checker, at: &str, pairs: &[ChoicePair]) {
    platform_once(checker, at, pairs);
    for (i, pair) in pairs.iter().enumerate() {
        let here = format!("{at}.pairs[{i}]");
        if pair.reads.is_empty() || pair.writes.is_empty() || !pair.external.is_empty() {
            checker.error(
                &here,
                format!("{:?} needs reads and writes, and no external", pair.platform),
                "say which columns mean it and which are written: reads = { priority = [\"1\"] }, writes = { impact = \"1\", urgency = \"1\" }",
            );
            continue;
        }
        for (column, value) in &pair.writes {
            if pair.reads.get(column).is_some_and(|values| !values.contains(value)) {
                checker.error(
                    format!("{here}.writes.{column}"),
                    format!(
                        "{value:?} is written to {column} and would not read back as {:?}",
                        pair.platform
                    ),
                    "write one of the values that are read",
                );
            }
        }
        for earlier in &pairs[..i] {
            let both = pair.reads.iter().all(|(column, values)| {
                earlier
                    .reads
                    .get(column)
                    .is_none_or(|others| values.iter().any(|v| others.contains(v)))
            });
            if both && !earlier.reads.is_empty() {
                checker.error(
                    format!("{here}.reads"),
                    format!(
                        "a ticket could mean {:?} and {:?} at once",
                        earlier.platform, pair.platform
                    ),
                    "let at least one column tell them apart",
                );
            }
        }
    }
}

fn guards(checker: &mut Checker, at: &str, guards: &[Guard], mapping: &Mapping) {
    let (Mapping::Choice { pairs, .. } | Mapping::Columns { pairs, .. }) = mapping else { return };
    for (i, guard) in guards.iter().enumerate() {
        let here = format!("{at}.guards[{i}]");
        for (key, values) in [("from", &guard.from), ("to", &guard.to)] {
            for (j, value) in values.iter().enumerate() {
                if !pairs.iter().any(|p| p.platform == *value) {
                    checker.error(
                        format!("{here}.{key}[{j}]"),
                        format!(
                            "{value:?} is not in the value map, so that the guard never applies"
                        ),
                        format!("use one of {}", list(pairs)),
                    );
                }
            }
        }
        if guard.from.is_empty() && guard.to.is_empty() && guard.only == Permit::Nobody {
            checker.error(
                &here,
                "nobody could ever change the field",
                "say from or to which values",
            );
        }
    }
}

fn list(pairs: &[ChoicePair]) -> String {
    pairs.iter().map(|p| format!("{:?}", p.platform)).collect::<Vec<_>>().join(", ")
}

/// Two fields on one column, or on one attribute with nobody to decide.
fn overlaps(
    checker: &mut Checker,
    settings: &Settings,
    rules: &TicketRules,
    places: &BTreeMap<FieldName, String>,
) {
    let mut columns: BTreeMap<Attribute, &FieldName> = BTreeMap::new();
    let mut attributes: BTreeMap<Attribute, &FieldName> = BTreeMap::new();
    for field in &rules.fields {
        let at = places.get(&field.name).cloned().unwrap_or_default();
        for column in mapping::written(field) {
            if column == settings.correlation.column {
                checker.error(
                    &at,
                    format!("{column} holds the ticket's key"),
                    "map another column",
                );
            }
            if rules.constants.contains_key(&column) {
                checker.error(&at, format!("{column} is a constant too"), "map it once");
            }
            if let Some(other) = columns.insert(column.clone(), &field.name) {
                checker.error(
                    &at,
                    format!("{other} is mapped to {column} as well: the two would overwrite each other"),
                    "map each column once; several attributes make one column with kind = \"template\"",
                );
            }
        }
        // A field that only ServiceNow's side is written from needs no place on the platform.
        let takes = field.owner != Owner::Platform || field.off_owner == OffOwner::Adopted;
        if let Some(attribute) = mapping::platform_attribute(field)
            && takes
            && let Some(other) = attributes.insert(attribute.clone(), &field.name)
        {
            checker.error(
                &at,
                format!("{other} writes the platform's {attribute} as well"),
                "let one of them own it, and give the others owner = \"platform\"",
            );
        }
    }
}

/// Names in conditions and templates that no field makes known.
fn conditions(checker: &mut Checker, rules: &TicketRules, places: &BTreeMap<FieldName, String>) {
    let known = |side| -> BTreeSet<String> {
        rules.fields.iter().flat_map(|f| mapping::attributes(f, side)).map(String::from).collect()
    };
    let (record, ticket) = (known(firn_model::Side::Platform), known(firn_model::Side::External));
    for field in &rules.fields {
        let Some(condition) = &field.when else { continue };
        let at = places.get(&field.name).cloned().unwrap_or_default();
        for name in condition.names() {
            let mut parts = name.splitn(2, '.');
            let known = match parts.next() {
                Some("record") => &record,
                Some("ticket") => &ticket,
                _ => continue,
            };
            let Some(name_below) = parts.next() else { continue };
            if !known.contains(name_below) {
                checker.error(
                    format!("{at}.when"),
                    format!("{name} is not mapped and would always be empty"),
                    "map it as a field, or use one that is mapped",
                );
            }
        }
    }
}

/// What can never be reached.
fn reach(checker: &mut Checker, settings: &Settings, types: &BTreeMap<TableName, TicketRules>) {
    for (name, field) in &settings.fields {
        let at = format!("fields.{name}");
        for (i, table) in field.only.iter().flatten().enumerate() {
            if !types.contains_key(table) {
                checker.error(
                    format!("{at}.only[{i}]"),
                    format!("there is no ticket type {table}"),
                    "add it to [[tickets]], or take it out",
                );
            }
        }
        if field.only.as_ref().is_some_and(Vec::is_empty) {
            checker.error(
                format!("{at}.only"),
                "it applies to no ticket at all",
                "leave it out to mean all types",
            );
        }
        for table in field.types.keys() {
            if !types.contains_key(table) {
                checker.error(
                    format!("{at}.types.{table}"),
                    format!("there is no ticket type {table}"),
                    "add it to [[tickets]], or take it out",
                );
            }
        }
        let stuck = match (settings.direction, field.owner) {
            (Direction::ToServicenow, Some(Owner::External)) => {
                Some("ServiceNow owns it, and direction lets nothing go to the platform")
            }
            (Direction::ToPlatform, Some(Owner::Platform)) => {
                Some("the platform owns it, and direction lets nothing go to ServiceNow")
            }
            _ => None,
        };
        if let Some(why) = stuck {
            checker.warn(
                format!("{at}.owner"),
                format!("it is never synchronised: {why}"),
                "change its owner or the direction",
            );
        }
    }
    if settings.fields.is_empty() && !settings.journal.comments {
        checker.warn("fields", "nothing is mapped, and comments do not travel", "map a field");
    }
}

fn lifecycle(checker: &mut Checker, settings: &Settings, types: &BTreeMap<TableName, TicketRules>) {
    let wanted = &settings.lifecycle;
    let known = types.values().any(|t| t.fields.iter().any(|f| f.name == wanted.field));
    if !known && !types.is_empty() {
        checker.warn(
            "lifecycle.field",
            format!(
                "there is no field {}, so that nothing says when a record is closed",
                wanted.field
            ),
            "name the field that maps the ticket's state",
        );
    }
    for rules in types.values() {
        let Some(field) = rules.fields.iter().find(|f| f.name == wanted.field) else { continue };
        let (Mapping::Choice { pairs, .. } | Mapping::Columns { pairs, .. }) = &field.mapping
        else {
            checker.error(
                "lifecycle.field",
                format!(
                    "{} is not a value map, so that nothing says when a record is closed",
                    wanted.field
                ),
                "name a field of kind \"choice\"",
            );
            continue;
        };
        let known = |value: &String| pairs.iter().any(|p| p.platform == *value);
        let mut say = |at: String, value: &String| {
            checker.error(
                at,
                format!("{value:?} is not in the value map of {}", wanted.field),
                format!("use one of {}", list(pairs)),
            );
        };
        if !known(&wanted.open) {
            say("lifecycle.open".to_owned(), &wanted.open);
        }
        for (key, values) in [("resolved", &wanted.resolved), ("closed", &wanted.closed)] {
            for (i, value) in values.iter().enumerate().filter(|(_, v)| !known(v)) {
                say(format!("lifecycle.{key}[{i}]"), value);
            }
        }
    }
}
