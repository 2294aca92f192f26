//! What is wrong with settings: every fault at once, each with its place and a remedy. Here: the whole,
//! numbers, addresses and kinds of tickets; `fields` has one mapped field, `laws` what must hold of its values.

mod fields;
mod laws;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use firn_model::{
    Direction, Fault, FieldName, FieldSettings, Integration, Kind, Level, MaskStrategy,
    PlatformContract, Polling, Settings, Sink, TableName,
};
use serde_json::Value as Json;

pub(crate) use self::fields::other_kind;
use self::fields::{constant, mapped, of_type};
use self::laws::{conditions, lifecycle, overlaps, reach};
use super::{BothWays, Gate, Masks, Rules, TicketRules};
use crate::expression::{Condition, Template};
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
    /// Fields that are not understood, their attributes and columns: what names them is no fault of its own.
    unread: BTreeSet<String>,
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
                self.names(at, condition.names(), names);
                self.paths(at, &condition.paths(), names);
                let held = condition.holds(&Json::Null);
                if condition.names().is_empty()
                    && held == Ok(false)
                    && let Some(so) = never(at)
                {
                    let remedy = "compare something that can be true, or take it out";
                    self.warn(at, format!("it is never true, so that {so}"), remedy);
                }
                self.helpers(at, held.err(), &condition.strangers());
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
                self.names(at, template.names(), names);
                self.paths(at, &template.paths(), names);
                self.helpers(at, template.render(&Json::Null).err(), &template.strangers());
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

    /// Filters, tests, functions and methods that do not exist. Where they are reached whatever comes, nothing could
    /// ever be made of it; else it works until they are.
    fn helpers(&mut self, at: &str, error: Option<String>, strangers: &[String]) {
        let unknown = ["unknown filter", "unknown test", "unknown function"];
        let level = match error {
            Some(text) if unknown.iter().any(|unknown| text.contains(unknown)) => Level::Error,
            _ => Level::Warning,
        };
        for stranger in strangers {
            let remedy = "use one of Jinja's own: lower, trim, default, join, ...".to_owned();
            self.push(level, at.to_owned(), format!("there is no {stranger}"), remedy);
        }
    }

    /// How a field's text is masked on its way.
    fn mask(&self, name: &FieldName, field: &FieldSettings) -> Option<BothWays> {
        let both = || BothWays::new(&self.policy, Some(name.as_str()), Sink::Field);
        field.mask.unwrap_or(true).then(both)
    }

    /// Names below a value that has nothing below it: a record and a ticket are flat.
    fn paths(&mut self, at: &str, paths: &[&str], known: &[&str]) {
        for path in paths {
            let Some((top, below)) = path.split_once('.') else { continue };
            if ["record", "ticket"].contains(&top) && known.contains(&top) {
                self.warn(
                    at,
                    format!(
                        "{path} would always be empty: nothing is below {top}.{}",
                        below.split('.').next().unwrap_or_default()
                    ),
                    format!("if it is the name of a column, write {top}['{below}']"),
                );
            }
        }
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
    let mut checker =
        Checker { faults, policy: Arc::new(policy.with_tokens(tokens)), unread: BTreeSet::new() };
    masking(&mut checker, settings);
    numbers(&mut checker, settings);
    addresses(&mut checker, &integration);
    categories(&mut checker, settings);
    learning(&mut checker, &integration);
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

/// What a condition that is never true keeps from happening. A kind of ticket with one may be meant: such tickets are
/// kept in step, and none is made.
fn never(at: &str) -> Option<&'static str> {
    match at {
        "filters.escalations" => Some("no escalation ever makes a ticket"),
        "filters.events" => Some("nothing of the platform is ever heard"),
        "filters.webhooks" => Some("nothing of ServiceNow is ever heard by webhook"),
        _ if at.starts_with("fields.") => Some("the field never travels"),
        _ => None,
    }
}

/// Words of an escalation that could never be met.
fn categories(checker: &mut Checker, settings: &Settings) {
    for word in settings.categories.keys().filter(|word| **word != word.to_lowercase()) {
        checker.warn(
            format!("categories.{word}"),
            format!("no tag is ever {word:?}: they are compared in lower case"),
            format!("write {:?}", word.to_lowercase()),
        );
    }
}

/// What a policy lets through or can do nothing with.
fn masking(checker: &mut Checker, settings: &Settings) {
    for (i, rule) in settings.masking.rules.iter().enumerate() {
        for (k, path) in rule.fields.iter().enumerate() {
            let fits = |name: &FieldName| is_path(path, name.as_str());
            let draft =
                ["short_description", "description", "category", "subcategory", "attachment.name"];
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
    attachments(checker, settings);
    if settings.learning.delay > 7 * 24 * 3_600_000 {
        checker.error(
            "learning.delay",
            format!("{} ms is more than a week", settings.learning.delay),
            "give milliseconds; 30000 is usual",
        );
    }
    if settings.learning.write_back && !settings.learning.enabled {
        checker.warn(
            "learning.write_back",
            "nothing is learnt, so nothing is written back",
            "set learning.enabled = true",
        );
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

fn attachments(checker: &mut Checker, settings: &Settings) {
    const LARGEST: u64 = 1 << 30;
    let policy = &settings.attachments;
    if policy.max_size == 0 || policy.max_size > LARGEST {
        checker.error(
            "attachments.max_size",
            format!("{} bytes is no size of a file", policy.max_size),
            "use 1 to 1073741824 (1 GiB, ServiceNow's own limit) bytes",
        );
    }
    for (n, pattern) in policy.types.iter().enumerate() {
        let parts = pattern.split_once('/');
        if parts.is_none_or(|(kind, rest)| kind.is_empty() || rest.is_empty() || kind == "*") {
            checker.error(
                format!("attachments.types[{n}]"),
                format!("{pattern:?} is no media type"),
                "write \"image/png\" or \"image/*\"; an empty list is every type",
            );
        }
    }
}

fn learning(checker: &mut Checker, integration: &Integration) {
    let learning = &integration.settings.learning;
    for (name, model) in [
        ("summary_model", learning.summary_model.as_deref()),
        ("embedding_model", learning.embedding_model.as_deref()),
    ] {
        let Some(model) = model else { continue };
        let at = format!("learning.{name}");
        if model.trim().is_empty() || model.len() > 200 || model.chars().any(char::is_control) {
            checker.error(
                &at,
                "it names no model",
                "give the name that the endpoint knows, or leave it out",
            );
        }
        if integration.platform.model_url.is_none() {
            checker.error(
                &at,
                "there is no endpoint to ask",
                "set model_url = \"https://models.example/v1\" in [platform]",
            );
        }
    }
    if learning.articles.is_some() && integration.settings.direction == Direction::ToPlatform {
        checker.error(
            "learning.articles",
            "with this direction nothing is written to ServiceNow, and a draft would be",
            "take [learning.articles] out, or set another direction",
        );
    }
    let unused = [
        ("summary_model", learning.summary_model.is_some()),
        ("embedding_model", learning.embedding_model.is_some()),
        ("articles", learning.articles.is_some()),
    ];
    for (name, _) in unused.into_iter().filter(|(_, given)| *given && !learning.enabled) {
        checker.warn(
            format!("learning.{name}"),
            "nothing is learnt, so it does nothing",
            "set learning.enabled = true",
        );
    }
}

fn addresses(checker: &mut Checker, integration: &Integration) {
    let base = Some(integration.base_url.as_str()).filter(|url| !url.is_empty());
    let platform = integration.platform.addresses();
    let platform = platform.map(|(name, url)| (format!("platform.{name}"), url));
    for (at, url) in base.map(|url| ("base_url".to_owned(), url)).into_iter().chain(platform) {
        let at = at.as_str();
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
    for (name, url) in integration.platform.addresses() {
        if PlatformContract::WITH_ID.contains(&name) && !url.contains("{id}") {
            let of = if name == "attachment_read_url" { "file" } else { "record" };
            checker.error(
                format!("platform.{name}"),
                format!("it does not say where the {of}'s id goes"),
                "put {id} into it: https://platform.example/records/{id}",
            );
        }
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
        let Some((field, at)) = of_type(checker, &at, field, table) else {
            checker.unread.insert(name.to_string());
            continue;
        };
        match field.kind {
            None => {
                checker.unread.insert(name.to_string());
                checker.error(
                    &at,
                    "it has no kind",
                    "say how its values translate: kind = \"text\", \"choice\", \"columns\", \"severity\", \"reference\", \"date\", \"template\" or \"constant\"",
                );
            }
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
