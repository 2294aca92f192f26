//! Settings as a document: what users write, laid over a preset or over what is there. Reading
//! goes on after a fault, so that all of them are told at once.

use std::collections::BTreeSet;

use firn_model::{
    Fault, FieldSettings, Integration, IntegrationId, Level, MaskingPolicy, PlatformContract,
    Preset, Settings, TableName, TenantId, instance_address,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::masking::Policy;
use crate::preset;

/// How many faults are told at once.
const MOST: usize = 100;

/// An integration as a document would make it, and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The integration, if it can be read at all.
    pub integration: Option<Integration>,
    /// Every fault, warnings too, in the order of their places.
    pub faults: Vec<Fault>,
}

/// What a document says besides the settings.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Head {
    slug: Option<String>,
    name: Option<String>,
    base_url: Option<String>,
    platform: Option<PlatformContract>,
    enabled: Option<bool>,
    preset: Option<Preset>,
}

const HEAD: &[&str] = &["slug", "name", "base_url", "platform", "enabled"];

/// Reads a whole document: the integration that it makes, started from its preset, and every fault
/// of it. What the document does not say comes from the preset; name and addresses stay as they
/// are (`known`).
#[must_use]
pub fn apply(
    known: Option<&Integration>,
    id: &IntegrationId,
    tenant: &TenantId,
    document: &Json,
) -> Applied {
    let Json::Object(document) = document else {
        let fault = error("", "the document is not a table", "write keys and values");
        return Applied { integration: None, faults: vec![fault] };
    };
    let mut document = document.clone();
    let mut head = Map::new();
    for key in HEAD {
        if let Some(value) = document.remove(*key) {
            head.insert((*key).to_owned(), value);
        }
    }
    if let Some(preset) = document.get("preset") {
        head.insert("preset".to_owned(), preset.clone());
    }
    let Read { value: head, mut faults, .. } = decode::<Head>(&Json::Object(head), &Json::Null, "");
    let head = head.unwrap_or_default();
    let preset = head.preset.or(known.map(|k| k.settings.preset)).unwrap_or_default();
    if let Some(known) = known
        && known.settings.preset != preset
    {
        faults.push(error(
            "preset",
            "an integration keeps the preset that it started from",
            "create another integration",
        ));
    }
    document.remove("preset");
    let mut read = laid_over_preset(&preset::settings(preset), &Json::Object(document));
    let Some(settings) = read.value.take() else {
        faults.append(&mut read.faults);
        faults.sort();
        return Applied { integration: None, faults };
    };
    let integration = Integration {
        id: id.clone(),
        tenant: tenant.clone(),
        slug: head.slug.or(known.map(|k| k.slug.clone())).unwrap_or_else(|| id.to_string()),
        name: head.name.or(known.map(|k| k.name.clone())).unwrap_or_else(|| id.to_string()),
        base_url: head
            .base_url
            .map(|given| instance_address(&given))
            .or(known.map(|k| k.base_url.clone()))
            .unwrap_or_default(),
        platform: head.platform.or(known.map(|k| k.platform.clone())).unwrap_or_default(),
        enabled: head.enabled.or(known.map(|k| k.enabled)).unwrap_or(true),
        version: known.map_or(0, |k| k.version),
        // They have versions of their own.
        rules: known.and_then(|k| k.rules.clone()),
        restored: known.and_then(|k| k.restored),
        settings,
    };
    // What could be read is checked all the same, so that all faults are told at once.
    let found = super::check(integration.clone()).1;
    let is_whole = read.faults.is_empty();
    read.faults.append(&mut faults);
    let rest = read.of_the_rest(found);
    let mut faults = [read.faults, rest].concat();
    faults.sort();
    Applied { integration: is_whole.then_some(integration), faults }
}

/// The settings of a preset with a JSON merge patch (RFC 7396) laid over them. With fewer kinds of tickets than the
/// preset has, what it says of the others goes with them.
///
/// # Errors
/// Every fault, each with its place.
pub fn begin(preset: Preset, patch: &Json) -> Result<Settings, Vec<Fault>> {
    let start = preset::settings(preset);
    same_preset(&start, patch)?;
    whole(laid_over_preset(&start, patch))
}

fn laid_over_preset(start: &Settings, patch: &Json) -> Read<Settings> {
    let mut read = lay_over(start, patch);
    read.value = read.value.map(|settings| fit(start, settings));
    read
}

/// Applies a JSON merge patch (RFC 7396) to settings, so that one field can be changed alone; a
/// new field is added. `work_notes` among the fields names the journal: its owner says which way
/// work notes travel (seed 004).
///
/// # Errors
/// Every fault, each with its place.
pub fn overlay(settings: &Settings, patch: &Json) -> Result<Settings, Vec<Fault>> {
    same_preset(settings, patch)?;
    whole(lay_over(settings, patch))
}

/// Settings that could be read wholly. If not, the rest is checked too.
fn whole(read: Read<Settings>) -> Result<Settings, Vec<Fault>> {
    match read.value {
        Some(settings) if read.faults.is_empty() => Ok(settings),
        Some(ref settings) => {
            let rest = read.of_the_rest(super::check(probe(settings.clone())).1);
            Err([read.faults, rest].concat())
        }
        None => Err(read.faults),
    }
}

fn same_preset(settings: &Settings, patch: &Json) -> Result<(), Vec<Fault>> {
    let preset = serde_json::to_value(settings.preset).unwrap_or_default();
    if patch.get("preset").is_some_and(|given| *given != preset) {
        let fault = error(
            "preset",
            "an integration keeps the preset that it started from",
            "create another integration",
        );
        return Err(vec![fault]);
    }
    Ok(())
}

fn lay_over(settings: &Settings, patch: &Json) -> Read<Settings> {
    let read = |value, faults| Read { value, faults, taken: Taken::default() };
    let mut patch = match patch {
        Json::Null => return read(Some(settings.clone()), Vec::new()),
        Json::Object(patch) => patch.clone(),
        _ => {
            let fault = error("", "settings are not a table", "write keys and values");
            return read(None, vec![fault]);
        }
    };
    let start = serde_json::to_value(settings).unwrap_or_default();
    let mut document = start.clone();
    let mut found = Vec::new();
    if let Some(Json::Object(fields)) = patch.get_mut("fields")
        && let Some(change) = fields.remove("work_notes")
    {
        found = work_notes(&mut document, &change);
    }
    let fields = patch.get("fields").cloned().unwrap_or_default();
    merge_patch(&mut document, &Json::Object(patch));
    for (name, field) in &settings.fields {
        if let (Some(change), Some(document)) =
            (fields.get(name.as_str()), document.pointer_mut(&format!("/fields/{name}")))
        {
            super::check::other_kind(document, field.kind, change);
        }
    }
    let mut read = decode::<Settings>(&document, &start, "");
    read.faults.append(&mut found);
    read
}

/// Fewer kinds of tickets than before: what nobody said of fields, and is about the others, goes with them.
fn fit(before: &Settings, mut settings: Settings) -> Settings {
    let tables: BTreeSet<TableName> =
        settings.tickets.iter().map(|ticket| ticket.table.clone()).collect();
    settings.fields.retain(|name, field| {
        let Some(before) = before.fields.get(name) else { return true };
        let untouched = before == field;
        if let Some(only) = &mut field.only
            && before.only.as_ref() == Some(only)
        {
            let left: Vec<TableName> =
                only.iter().filter(|table| tables.contains(*table)).cloned().collect();
            match left.is_empty() {
                true if untouched && !only.is_empty() => return false,
                // It was changed for tickets that there are none of: that is told.
                true => {}
                false => *only = left,
            }
        }
        let said = |table: &TableName, of: &Json| before.types.get(table) != Some(of);
        field.types.retain(|table, of| tables.contains(table) || said(table, of));
        true
    });
    settings
}

/// Reads a masking policy that stands by itself.
///
/// # Errors
/// Every fault, each with its place.
pub fn masking(document: &Json) -> Result<Policy, Vec<Fault>> {
    let read = decode::<MaskingPolicy>(document, &Json::Null, "");
    let policy = read.value.as_ref().map(|policy| Policy::new(policy, ""));
    match policy {
        Some(Ok(policy)) if read.faults.is_empty() => Ok(policy),
        policy => {
            // The rest is checked too.
            let rest = read.of_the_rest(policy.and_then(Result::err).unwrap_or_default());
            Err([read.faults, rest].concat())
        }
    }
}

/// An integration that only serves to check settings.
fn probe(settings: Settings) -> Integration {
    let id = |text: &str| text.to_owned();
    Integration {
        id: IntegrationId::new(id("check")).unwrap_or_else(|_| unreachable!()),
        tenant: TenantId::new(id("check")).unwrap_or_else(|_| unreachable!()),
        slug: id("check"),
        name: id("check"),
        base_url: String::new(),
        platform: PlatformContract::default(),
        enabled: true,
        version: 0,
        rules: None,
        restored: None,
        settings,
    }
}

/// Reads one field's settings.
pub(super) fn decode_field(document: &Json, at: &str) -> Result<FieldSettings, Vec<Fault>> {
    let read = decode::<FieldSettings>(document, &Json::Null, at);
    read.value.filter(|_| read.faults.is_empty()).ok_or(read.faults)
}

fn error(at: &str, text: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Fault { level: Level::Error, at: at.to_owned(), text: text.into(), remedy: remedy.into() }
}

/// What of a document could be read, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Read<T> {
    /// What was read, without the faulty parts.
    pub(crate) value: Option<T>,
    /// What could not be read, each with its place in the document.
    pub(crate) faults: Vec<Fault>,
    taken: Taken,
}

impl<T> Read<T> {
    /// Faults of what was read, told of the document: in their places there, and without those that come of what
    /// could not be read.
    pub(crate) fn of_the_rest(&self, found: Vec<Fault>) -> Vec<Fault> {
        let mut rest = Vec::new();
        for mut fault in found {
            fault.at = self.taken.original(&fault.at);
            if !self.faults.iter().any(|unread| within(&unread.at, &fault.at)) {
                rest.push(fault);
            }
        }
        rest
    }
}

/// Whether one of two places lies in the other.
fn within(one: &str, other: &str) -> bool {
    let in_it = |inner: &str, outer: &str| {
        let rest = inner.strip_prefix(outer);
        rest.is_some_and(|rest| outer.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
    };
    // Whoever finds fault with the whole does not speak of a part.
    (!other.is_empty() && in_it(one, other)) || in_it(other, one)
}

/// The items that were taken out of lists: what is behind them moved up.
#[derive(Debug, Default)]
struct Taken(BTreeSet<(String, usize)>);

impl Taken {
    /// A place in what is left as a place in the document.
    fn original(&self, at: &str) -> String {
        let mut place = String::new();
        let mut rest = at;
        while let Some((before, after)) = rest.split_once('[') {
            place.push_str(before);
            let (index, behind) = after.split_once(']').unwrap_or((after, ""));
            match index.parse::<usize>() {
                Ok(index) => place.push_str(&format!("[{}]", self.item(&place, index))),
                Err(_) => place.push_str(&format!("[{index}]")),
            }
            rest = behind;
        }
        place + rest
    }

    /// Where the item of a list that is the `left`th now was in the document.
    fn item(&self, list: &str, left: usize) -> usize {
        let before = self.0.iter().filter(|(of, _)| of == list).map(|(_, index)| *index);
        before.fold(left, |index, taken| if taken <= index { index + 1 } else { index })
    }
}

/// Reads a document; after a fault the faulty part is put back to what it was before (or taken
/// out), and reading goes on.
pub(crate) fn decode<T: DeserializeOwned>(document: &Json, before: &Json, root: &str) -> Read<T> {
    let mut document = document.clone();
    let mut read = Read { value: None, faults: Vec::new(), taken: Taken::default() };
    // Places that were emptied: that something is missing there is no fault of its own.
    let mut emptied = BTreeSet::new();
    let mut turns = 0;
    while read.faults.len() < MOST && turns < 2 * MOST {
        turns += 1;
        match serde_path_to_error::deserialize::<_, T>(&document) {
            Ok(value) => {
                read.value = Some(value);
                break;
            }
            Err(why) => {
                let (path, text) = (steps(why.path()), why.inner().to_string());
                let missing = text.strip_prefix("missing field ").map(|name| {
                    let name = name.trim_matches('`').to_owned();
                    place(root, &[path.as_slice(), &[StepInto::Key(name)]].concat())
                });
                let (path, mut fault) = explain(root, path, &text, &document);
                let at = place(root, &path);
                fault.at = read.taken.original(&fault.at);
                let missing = missing.map(|at| read.taken.original(&at));
                if missing.is_none_or(|at| !emptied.contains(&at)) {
                    read.faults.push(fault);
                }
                emptied.insert(read.taken.original(&at));
                if let (Some(StepInto::Item(i)), Some(list)) =
                    (path.last(), path.split_last().map(|(_, list)| place(root, list)))
                {
                    let list = read.taken.original(&list);
                    let index = read.taken.item(&list, *i);
                    read.taken.0.insert((list, index));
                }
                if path.is_empty() || !put_back(&mut document, before, &path) {
                    break;
                }
            }
        }
    }
    read
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum StepInto {
    Key(String),
    Item(usize),
}

fn steps(path: &serde_path_to_error::Path) -> Vec<StepInto> {
    path.iter()
        .filter_map(|segment| match segment {
            serde_path_to_error::Segment::Map { key } => Some(StepInto::Key(key.clone())),
            serde_path_to_error::Segment::Seq { index } => Some(StepInto::Item(*index)),
            _ => None,
        })
        .collect()
}

fn place(root: &str, path: &[StepInto]) -> String {
    let mut at = root.to_owned();
    for step in path {
        match step {
            StepInto::Key(key) if at.is_empty() => at.push_str(key),
            StepInto::Key(key) => at.push_str(&format!(".{key}")),
            StepInto::Item(i) => at.push_str(&format!("[{i}]")),
        }
    }
    at
}

/// Serde's words in ours, and the place that is meant.
fn explain(
    root: &str,
    mut path: Vec<StepInto>,
    text: &str,
    document: &Json,
) -> (Vec<StepInto>, Fault) {
    let quoted = |text: &str| -> Vec<String> {
        text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    if let Some(rest) = text.strip_prefix("unknown field ") {
        let names = quoted(rest);
        let given = names.first().cloned().unwrap_or_default();
        if path.last() != Some(&StepInto::Key(given.clone())) {
            path.push(StepInto::Key(given.clone()));
        }
        let mut known = names[1.min(names.len())..].to_vec();
        if path.len() == 1 && root.is_empty() {
            known.extend(HEAD.iter().map(|key| (*key).to_owned()));
        }
        let remedy = match nearest(&given, &known) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("take it out; there is: {}", known.join(", ")),
        };
        let fault = error(&place(root, &path), format!("there is no setting {given}"), remedy);
        return (path, fault);
    }
    if let Some(rest) = text.strip_prefix("unknown variant ") {
        let names = quoted(rest);
        let given = names.first().cloned().unwrap_or_default();
        let known = &names[1.min(names.len())..];
        let remedy = match nearest(&given, known) {
            Some(meant) => format!("did you mean \"{meant}\"? There is: {}", known.join(", ")),
            None => format!("use one of {}", known.join(", ")),
        };
        let fault = error(&place(root, &path), format!("{given:?} is not known here"), remedy);
        return (path, fault);
    }
    if let Some(rest) = text.strip_prefix("missing field ") {
        let name = quoted(rest).first().cloned().unwrap_or_default();
        let fault =
            error(&place(root, &path), format!("{name} is missing"), format!("add {name} = ..."));
        return (path, fault);
    }
    let kind = text.strip_prefix("invalid type: ").or(text.strip_prefix("invalid value: "));
    if let Some(rest) = kind {
        let (found, expected) = rest.split_once(", expected ").unwrap_or((rest, "another type"));
        let fault = error(
            &place(root, &path),
            format!("this is {found}"),
            format!("write {} here", plainly(expected)),
        );
        return (path, fault);
    }
    // An id that breaks its rule: when it is a key, the key is the place.
    let key = names_key(document, &path, text);
    path.extend(key.map(StepInto::Key));
    let fault = error(&place(root, &path), text.to_owned(), "write it as the rule says");
    (path, fault)
}

/// Serde's names of types in a user's words.
fn plainly(expected: &str) -> &str {
    match expected {
        "u64" | "usize" | "u32" => "a whole number that is not negative",
        "i32" | "i64" => "a whole number",
        "a boolean" => "true or false",
        "a string" => "a text in quotes",
        "a sequence" => "a list: [ ... ]",
        "a map" => "a table",
        text if text.starts_with("struct ") => "a table",
        text => text,
    }
}

/// The key of the table at `path` that an error text quotes, if it does.
fn names_key(document: &Json, path: &[StepInto], text: &str) -> Option<String> {
    let mut at = document;
    for step in path {
        at = match step {
            StepInto::Key(key) => at.get(key)?,
            StepInto::Item(i) => at.get(i)?,
        };
    }
    at.as_object()?.keys().find(|key| text.contains(&format!("{key:?}"))).cloned()
}

fn nearest(given: &str, known: &[String]) -> Option<String> {
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(given, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.clone())
}

/// Puts the part at `path` back to what it was before, or takes it out. Says whether anything
/// changed.
fn put_back(document: &mut Json, before: &Json, path: &[StepInto]) -> bool {
    let Some((last, way)) = path.split_last() else { return false };
    let (mut at, mut old) = (document, Some(before));
    for step in way {
        (at, old) = match step {
            StepInto::Key(key) => match at.get_mut(key) {
                Some(next) => (next, old.and_then(|o| o.get(key))),
                None => return false,
            },
            StepInto::Item(i) => match at.get_mut(*i) {
                Some(next) => (next, None),
                None => return false,
            },
        };
    }
    match (last, at) {
        (StepInto::Key(key), Json::Object(map)) => match old.and_then(|o| o.get(key)) {
            Some(value) if map.get(key) != Some(value) => {
                map.insert(key.clone(), value.clone());
                true
            }
            _ => map.remove(key).is_some(),
        },
        (StepInto::Item(i), Json::Array(items)) if *i < items.len() => {
            items.remove(*i);
            true
        }
        _ => false,
    }
}

fn work_notes(document: &mut Json, change: &Json) -> Vec<Fault> {
    const ONLY: &str = "work notes are the journal's: only their owner can be set here";
    const REMEDY: &str = "use owner = \"platform\", \"external\" or \"shared\"";
    // The priority is said along with the owner of any field (seed 004), and is nothing to a journal.
    let known = ["owner", "platform_priority", "external_priority"];
    let others =
        change.as_object().into_iter().flatten().filter(|(key, _)| !known.contains(&key.as_str()));
    let mut faults: Vec<Fault> =
        others.map(|(key, _)| error(&format!("fields.work_notes.{key}"), ONLY, REMEDY)).collect();
    let (to_servicenow, to_platform) = match change.get("owner").and_then(Json::as_str) {
        Some("platform") => (true, false),
        Some("external") => (false, true),
        Some("shared") => (true, true),
        _ => {
            faults.push(error("fields.work_notes.owner", ONLY, REMEDY));
            return faults;
        }
    };
    document["journal"]["work_notes_to_servicenow"] = to_servicenow.into();
    document["journal"]["work_notes_to_platform"] = to_platform.into();
    faults
}

/// JSON merge patch, RFC 7396.
pub(super) fn merge_patch(target: &mut Json, patch: &Json) {
    let Json::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Json::Object(Map::new());
    }
    if let Json::Object(target) = target {
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                merge_patch(target.entry(name.clone()).or_insert(Json::Null), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::compile;
    use firn_model::{Owner, Strategy};
    use serde_json::json;

    fn applied(document: &Json) -> Applied {
        let id = IntegrationId::new("int-1").unwrap();
        apply(None, &id, &TenantId::new("acme").unwrap(), document)
    }

    #[test]
    fn fewer_kinds_of_tickets_take_along_what_the_preset_says_of_the_others() {
        let id = IntegrationId::new("int-1").unwrap();
        let tenant = TenantId::new("acme").unwrap();
        let of = |document: &Json| super::apply(None, &id, &tenant, document);
        let errors =
            |applied: &Applied| applied.faults.iter().filter(|f| f.level == Level::Error).count();
        let url = "https://acme.service-now.com";
        let mut document = json!({ "preset": "crm", "base_url": url, "tickets": [{ "table": "customer_contact" }],
            "platform": { "callback_url": "https://platform.example/firn" } });
        let applied = of(&document);
        assert_eq!(errors(&applied), 0, "{:?}", applied.faults);
        let fields = applied.integration.unwrap().settings.fields;
        assert!(fields.keys().any(|name| name.as_str() == "email"));
        assert!(fields.keys().all(|name| name.as_str() != "website"), "it is of accounts only");
        // What somebody says of such a field is not dropped without a word.
        document["fields"] = json!({ "website": { "column": "u_site" } });
        assert!(errors(&of(&document)) > 0);
        let tasks = json!({ "preset": "neo", "base_url": url, "tickets": [{ "table": "problem" }],
            "platform": { "callback_url": "https://platform.example/firn" } });
        assert_eq!(errors(&of(&tasks)), 0, "{:?}", of(&tasks).faults);
    }

    #[test]
    fn every_preset_is_sound_without_a_warning() {
        for preset in Preset::ALL {
            let applied = applied(&json!({ "preset": preset }));
            assert_eq!(applied.faults, [], "{preset:?}");
            assert!(compile(applied.integration.unwrap()).is_ok());
        }
    }

    #[test]
    fn one_field_can_be_changed_alone() {
        let start = preset::settings(Preset::Incidents);
        let patch = json!({ "strategy": "manual-review",
            "fields": { "severity": { "owner": "external", "external_priority": 5 }, "work_notes": { "owner": "platform" } } });
        let changed = overlay(&start, &patch).unwrap();
        assert_eq!(changed.strategy, Strategy::ManualReview);
        let severity = &changed.fields[&firn_model::FieldName::new("severity").unwrap()];
        assert_eq!((severity.owner, severity.external_priority), (Some(Owner::External), Some(5)));
        assert_eq!(changed.fields.len(), start.fields.len());
        assert!(!changed.journal.work_notes_to_platform);
        assert_eq!(overlay(&start, &Json::Null).unwrap(), start);
        for (bad, at) in [
            (json!({ "strategy": "coin-toss" }), "strategy"),
            (json!({ "stratgy": "manual-review" }), "stratgy"),
            (json!({ "journal": { "coments": false } }), "journal.coments"),
            (json!({ "preset": "bot" }), "preset"),
            (json!({ "fields": [] }), "fields"),
            (json!({ "fields": { "title": { "colum": "x" } } }), "fields.title.colum"),
            (json!({ "fields": { "tit le": { "kind": "text" } } }), "fields.tit le"),
            (json!([1]), ""),
        ] {
            let faults = overlay(&start, &bad).unwrap_err();
            assert_eq!(faults[0].at, at, "{bad}: {faults:?}");
            assert!(!faults[0].remedy.is_empty());
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let faults = applied(&json!({
            "strategy": "coin-toss", "stratgy": 1, "conflict_window": "5s",
            "fields": {
                "title": { "max": 3, "kond": "text" },
                "status": { "pairs": [ { "platform": "open", "external": ["1", "1"] }, { "platform": "closed", "external": ["1"] } ] },
                "new": { "kind": "choise" },
                "bare": {},
            } }))
        .faults;
        let at: Vec<&str> = faults.iter().map(|f| f.at.as_str()).collect();
        for wanted in [
            "strategy",
            "stratgy",
            "conflict_window",
            "fields.title.max",
            "fields.title.kond",
            "fields.status.pairs[0].external[1]",
            "fields.status.pairs[1].external[0]",
            "fields.new.kind",
            "fields.bare",
        ] {
            assert!(at.contains(&wanted), "{wanted} in {at:#?}");
        }
    }

    #[test]
    fn each_fault_is_told_once_where_it_is_and_nothing_that_comes_of_it() {
        let errors = |document: Json| -> Vec<String> {
            let faults = applied(&document).faults;
            let errors = faults.iter().filter(|f| f.level == Level::Error);
            errors.map(|f| f.at.clone()).collect()
        };
        // Two items that lack the same, and what is behind them.
        let document = json!({ "fields": {
            "status": { "guards": [{ "to": ["resolved"] }, { "to": ["closed"] }] },
            "description": { "max": 2 }, "title": { "max": 3 } } });
        let wanted = [
            "fields.description.max",
            "fields.status.guards[0]",
            "fields.status.guards[1]",
            "fields.title.max",
        ];
        assert_eq!(errors(document), wanted);
        let document = json!({ "masking": { "rules": [
            { "types": ["EMAIL"] },
            { "types": ["FONE"], "strategy": "keep" } ] } });
        assert_eq!(errors(document), ["masking.rules[0]", "masking.rules[1].types[0]"]);
        let document = json!({ "masking": { "rules": [
            { "types": ["EMAIL"], "strategy": "redakt" },
            { "types": ["FONE"], "strategy": "keep" } ] } });
        assert_eq!(errors(document), ["masking.rules[0].strategy", "masking.rules[1].types[0]"]);
        // What could not be read is not missing, and neither is what it would have brought.
        let document = json!({ "fields": { "status": { "pairs": [
            { "platform": "open", "external": [1, 2] }, { "platform": "resolved", "external": ["6"] },
            { "platform": "closed", "external": ["7"] } ] } } });
        let wanted = ["fields.status.pairs[0].external[0]", "fields.status.pairs[0].external[1]"];
        assert_eq!(errors(document), wanted);
        assert_eq!(errors(json!({ "tickets": [{ "table": "Incident" }] })), ["tickets[0].table"]);
        let document =
            json!({ "stratgy": 1, "preset": "neo", "tickets": [{ "table": "problem" }] });
        assert_eq!(errors(document), ["stratgy"], "the preset's other kinds are not missed");
        // Addresses are looked at all the same, and an endpoint that is there is seen.
        let document = json!({ "stratgy": 1, "base_url": "ftp://nowhere",
            "platform": { "callback_url": "https://p.example/firn", "model_url": "https://m.example/v1" },
            "learning": { "enabled": true, "summary_model": "m" } });
        assert_eq!(errors(document), ["base_url", "stratgy"]);
        // One field's first fault does not hide its others, nor blame those that name it.
        let document = json!({ "fields": {
            "title": { "column": "number", "max": 3, "external_format": "markdown", "when": "record.nothing" },
            "description": { "when": "record.title == 'x'" },
            "status": { "pairs": [] } } });
        let wanted = [
            "fields.status",
            "fields.title.column",
            "fields.title.external_format",
            "fields.title.max",
            "fields.title.when",
        ];
        assert_eq!(errors(document), wanted);
    }

    #[test]
    fn what_no_engine_has_is_told_wherever_it_stands() {
        let document = json!({
            "filters": { "events": "payload.a == 'x' and payload.b|lowercase == 'y'",
                "webhooks": "payload.a and payload.b is strin" },
            "journal": { "template": "{% if author == 'x' %}{{ text|nofilter }}{% else %}{{ text }}{% endif %}" },
            "fields": { "due": { "kind": "template", "column": "u_due",
                "template": "{% if record.a %}{{ record.a.lowercase() }}{% endif %}" } } });
        let faults = applied(&document).faults;
        let told: Vec<_> = faults.iter().map(|f| (f.at.as_str(), f.text.as_str())).collect();
        let wanted = [
            ("fields.due.template", "there is no method lowercase"),
            ("filters.events", "there is no filter lowercase"),
            ("filters.webhooks", "there is no test strin"),
            ("journal.template", "there is no filter nofilter"),
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn a_fault_of_the_work_notes_hides_no_other() {
        let faults = applied(&json!({ "stratgy": 1,
            "fields": { "work_notes": { "owner": "plattform", "column": "u_x" } } }))
        .faults;
        let at: Vec<&str> = faults.iter().map(|f| f.at.as_str()).collect();
        for wanted in ["stratgy", "fields.work_notes.owner", "fields.work_notes.column"] {
            assert!(at.contains(&wanted), "{wanted} in {at:#?}");
        }
        // As seed 004 says it on the command line.
        let faults = applied(&json!({ "fields": { "work_notes": {
            "owner": "external", "external_priority": 5 } } }))
        .faults;
        assert!(faults.iter().all(|f| f.level != Level::Error), "{faults:?}");
    }

    #[test]
    fn a_field_of_a_preset_can_become_another_kind() {
        for document in [
            json!({ "fields": { "assigned_to": { "kind": "text", "column": "u_name" } } }),
            json!({ "fields": { "status": { "kind": "text" } }, "lifecycle": { "field": "severity",
                "open": "low", "resolved": [], "closed": [] } }),
        ] {
            let faults = applied(&document).faults;
            let errors: Vec<_> = faults.iter().filter(|f| f.level == Level::Error).collect();
            assert!(errors.is_empty(), "{errors:?}");
        }
        let faults =
            applied(&json!({ "fields": { "assigned_to": { "kind": "text", "key": "email" } } }));
        assert!(faults.faults.iter().any(|f| f.at == "fields.assigned_to.key"), "said by the file");
    }

    #[test]
    fn a_map_that_breaks_the_round_trip_is_refused_with_the_value() {
        let faults = applied(&json!({ "fields": { "status": { "pairs": [
            { "platform": "open", "external": ["1", "2"] },
            { "platform": "resolved", "external": ["6", "1"] },
            { "platform": "closed", "external": ["7"] } ] } } }))
        .faults;
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults[0].at, "fields.status.pairs[1].external[1]");
        assert!(faults[0].text.contains("\"1\"") && faults[0].text.contains("\"open\""));
    }

    #[test]
    fn what_can_never_be_reached_or_known_is_told() {
        for (document, at, level) in [
            (
                json!({ "tickets": [{ "table": "incident" }, { "table": "problem", "when": "record.kind == 'problem'" }] }),
                "tickets[1].when",
                Level::Warning,
            ),
            (
                json!({ "fields": { "title": { "only": ["problem"] } } }),
                "fields.title.only[0]",
                Level::Error,
            ),
            (
                json!({ "fields": { "title": { "when": "record.nothing" } } }),
                "fields.title.when",
                Level::Error,
            ),
            (
                json!({ "fields": { "title": { "when": "payload.x" } } }),
                "fields.title.when",
                Level::Error,
            ),
            (
                json!({ "fields": { "title": { "when": "record." } } }),
                "fields.title.when",
                Level::Error,
            ),
            (json!({ "filters": { "events": "record.x" } }), "filters.events", Level::Error),
            (
                json!({ "filters": { "mirror": "ticket.caller_id.email == 'a'" } }),
                "filters.mirror",
                Level::Warning,
            ),
            (
                json!({ "fields": { "a": { "kind": "constant", "column": "u_a", "value": "" } } }),
                "fields.a.value",
                Level::Error,
            ),
            (
                json!({ "fields": { "a": { "kind": "constant", "column": "u_a", "value": "x" },
                    "b": { "kind": "constant", "column": "u_a", "value": "y" } } }),
                "fields.b.column",
                Level::Warning,
            ),
            (
                json!({ "fields": { "status": { "pairs": [
                    { "platform": "open", "external": ["1"], "with": { "comments": "Hello" } },
                    { "platform": "resolved", "external": ["6"] }, { "platform": "closed", "external": ["7"] } ] } } }),
                "fields.status",
                Level::Warning,
            ),
            (
                json!({ "fields": { "title": { "types": { "incident": { "only": ["problem"] } } } } }),
                "fields.title.types.incident.only",
                Level::Warning,
            ),
            (
                json!({ "fields": { "level": { "kind": "columns", "owner": "platform", "pairs": [
                    { "platform": "a", "reads": { "u_a": ["1"] }, "writes": { "u_b": "1" } },
                    { "platform": "b", "reads": { "u_a": ["2"] }, "writes": { "u_b": "1" } } ] } } }),
                "fields.level.pairs[1].writes",
                Level::Warning,
            ),
            (
                json!({ "lifecycle": { "canceled": ["called-off"] } }),
                "lifecycle.canceled[0]",
                Level::Error,
            ),
            (
                json!({ "fields": { "title": { "when": "1 > 2" } } }),
                "fields.title.when",
                Level::Warning,
            ),
            (json!({ "filters": { "events": "false" } }), "filters.events", Level::Warning),
            (
                json!({ "filters": { "webhooks": "'a' == 'b'" } }),
                "filters.webhooks",
                Level::Warning,
            ),
            (
                json!({ "categories": { "VPN": ["network", "vpn"] } }),
                "categories.VPN",
                Level::Warning,
            ),
            (
                json!({ "fields": { "status": { "guards": [
                    { "to": ["closed"], "only": "platform" },
                    { "from": ["open"], "to": ["closed"], "only": "platform" } ] } } }),
                "fields.status.guards[1]",
                Level::Warning,
            ),
            (
                json!({ "fields": { "status": { "guards": [
                    { "to": ["closed"], "only": "platform" },
                    { "from": ["open"], "only": "external" } ] } } }),
                "fields.status.guards[1]",
                Level::Warning,
            ),
            (
                json!({ "fields": { "status": { "guards": [{ "to": ["gone"], "only": "platform" }] } } }),
                "fields.status.guards[0].to[0]",
                Level::Error,
            ),
            (
                json!({ "lifecycle": { "closed": ["finished"] } }),
                "lifecycle.closed[0]",
                Level::Error,
            ),
            (json!({ "direction": "to-platform" }), "fields.title.owner", Level::Warning),
            (
                json!({ "fields": { "extra": { "kind": "text", "column": "u_extra" } } }),
                "fields.extra",
                Level::Warning,
            ),
            (
                json!({ "fields": { "extra": { "kind": "text", "column": "short_description", "owner": "shared" } } }),
                "fields.title",
                Level::Error,
            ),
            (
                json!({ "fields": { "extra": { "kind": "text", "column": "priority", "owner": "shared" } } }),
                "fields.extra.column",
                Level::Error,
            ),
            (
                json!({ "fields": { "due": { "kind": "date", "column": "due_date", "owner": "platform", "zone": "Mars/Olympus" } } }),
                "fields.due.zone",
                Level::Error,
            ),
            (
                json!({ "fields": { "sum": { "kind": "template", "column": "description" } } }),
                "fields.sum",
                Level::Error,
            ),
            (
                json!({ "fields": { "sum": { "kind": "template", "template": "always" } } }),
                "fields.sum.template",
                Level::Error,
            ),
            (
                json!({ "fields": { "sev": { "kind": "columns", "owner": "platform", "pairs": [
                { "platform": "a", "reads": { "u_a": ["1"] }, "writes": { "u_a": "1" } },
                { "platform": "b", "reads": { "u_b": ["1"] }, "writes": { "u_b": "1" } } ] } } }),
                "fields.sev.pairs[1].reads",
                Level::Error,
            ),
            (
                json!({ "journal": { "template": "always the same" } }),
                "journal.template",
                Level::Error,
            ),
            (json!({ "masking": { "strategy": "redakt" } }), "masking.strategy", Level::Error),
            (
                json!({ "masking": { "patterns": [{ "name": "BADGE", "pattern": "(" }] } }),
                "masking.patterns[0].pattern",
                Level::Error,
            ),
            (
                json!({ "masking": { "rules": [{ "types": ["FONE"], "strategy": "keep" }] } }),
                "masking.rules[0].types[0]",
                Level::Error,
            ),
            (
                json!({ "masking": { "rules": [{ "fields": ["titel"], "strategy": "keep" }] } }),
                "masking.rules[0].fields[0]",
                Level::Warning,
            ),
            (
                json!({ "masking": { "rules": [{ "strategy": "keep" }] } }),
                "masking.rules[0]",
                Level::Warning,
            ),
            (json!({ "masking": { "strategy": "keep" } }), "masking.strategy", Level::Warning),
            (json!({ "tickets": [] }), "tickets", Level::Error),
            (
                json!({ "platform": { "read_url": "https://x.example" } }),
                "platform.read_url",
                Level::Error,
            ),
        ] {
            let faults = applied(&document).faults;
            assert!(
                faults.iter().any(|f| f.at == at && f.level == level),
                "{document}\n{at} in {faults:#?}"
            );
        }
    }

    #[test]
    fn a_ticket_type_can_differ() {
        let document = json!({ "tickets": [{ "table": "problem", "when": "record.kind == 'problem'" }, { "table": "incident" }],
            "fields": { "status": { "types": { "problem": { "pairs": [
                { "platform": "open", "external": ["101"] }, { "platform": "mitigated", "external": ["104"] },
                { "platform": "resolved", "external": ["106"] }, { "platform": "closed", "external": ["107"] } ] } } } } });
        let applied = applied(&document);
        assert_eq!(applied.faults, []);
        let rules = compile(applied.integration.unwrap()).unwrap();
        let table = |name: &str| firn_model::TableName::new(name).unwrap();
        let status = firn_model::FieldName::new("status").unwrap();
        assert_ne!(
            rules.field(&table("problem"), &status),
            rules.field(&table("incident"), &status)
        );
        assert_eq!(rules.table_for(&json!({ "record": { "kind": "problem" } })), table("problem"));
        assert_eq!(rules.table_for(&json!({ "record": {} })), table("incident"));
        assert!(!rules.takes(&table("change_request")));
        let broken =
            json!({ "fields": { "status": { "types": { "incident": { "pears": [] } } } } });
        assert_eq!(
            super::tests::applied(&broken).faults[0].at,
            "fields.status.types.incident.pears"
        );
    }
}
