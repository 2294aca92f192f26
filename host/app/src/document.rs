//! Settings files: TOML, read with the place of every key and value, so that a fault can be shown
//! where it stands. What the settings mean is the core's business; here are only places and print.

use std::ops::Range;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level as Shown, Renderer, Snippet};
use anyhow::{Context, Result};
use firn_model::{Fault, Level};
use firn_runtime::Core;
use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::api::Given;

/// Keys that are the host's: whose it is, and secrets, which never enter the core.
pub(crate) const HOST_KEYS: &[&str] =
    &["organization_id", "credentials", "callback_secret", "webhook_secret", "model_key"];

const CREDENTIALS: &[&str] = &[
    "grant",
    "username",
    "password",
    "client_id",
    "client_secret",
    "subject",
    "private_key",
    "key_id",
    "refresh_token_ends",
    "admin_username",
    "admin_password",
];

/// A settings file, read.
pub(crate) struct Document {
    path: String,
    text: String,
    /// Its content.
    pub(crate) json: Json,
}

/// A file that cannot be read as TOML: its faults.
pub(crate) struct Unreadable(Vec<(Range<usize>, String)>);

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// When there is no such file, or it is no text.
    pub(crate) fn open(path: &Path) -> Result<(Document, Option<Unreadable>)> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Document::read(&path.display().to_string(), text))
    }

    /// Reads a text; `path` is what it is called.
    pub(crate) fn read(path: &str, text: String) -> (Document, Option<Unreadable>) {
        let (table, errors) = DeTable::parse_recoverable(&text);
        let json = Json::Object(object(table.get_ref()));
        let faults: Vec<_> =
            errors.iter().map(|e| (e.span().unwrap_or(0..0), e.message().to_owned())).collect();
        let unreadable = (!faults.is_empty()).then_some(Unreadable(faults));
        (Document { path: path.to_owned(), text, json }, unreadable)
    }

    /// What goes to the core: everything but what is the host's.
    pub(crate) fn for_core(&self) -> Json {
        let mut json = self.json.clone();
        if let Json::Object(map) = &mut json {
            for key in HOST_KEYS {
                map.remove(*key);
            }
        }
        json
    }

    /// Every fault of the file, as the core sees it.
    ///
    /// # Errors
    /// When the core cannot be run.
    pub(crate) fn check(&self, cache: Option<&Path>) -> Result<Vec<Fault>> {
        let mut faults = Core::new(cache)?.check(&self.for_core().to_string())?;
        faults.extend(self.check_ours());
        Ok(faults)
    }

    /// Faults in what is the host's.
    fn check_ours(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut error = |at: &str, text: String, remedy: &str| {
            faults.push(Fault {
                level: Level::Error,
                at: at.to_owned(),
                text,
                remedy: remedy.to_owned(),
            });
        };
        for key in ["organization_id", "callback_secret", "webhook_secret", "model_key"] {
            if self.json.get(key).is_some_and(|v| v.as_str().is_none_or(str::is_empty)) {
                error(key, "it must be a text, and not empty".to_owned(), "write it in quotes");
            }
        }
        let Some(credentials) = self.json.get("credentials") else { return faults };
        let Some(credentials) = credentials.as_object() else {
            error("credentials", "this is no table".to_owned(), "write [credentials]");
            return faults;
        };
        for (key, value) in credentials {
            let at = format!("credentials.{key}");
            if !CREDENTIALS.contains(&key.as_str()) {
                let remedy = format!("there is: {}", CREDENTIALS.join(", "));
                error(&at, format!("there is no setting {key}"), &remedy);
            } else if value.as_str().is_none_or(|v| matches!(v, "" | "env:" | "file:" | "exec:")) {
                error(
                    &at,
                    "it is empty, or no text".to_owned(),
                    "write it in quotes: \"env:NAME\"",
                );
            }
        }
        let sound = faults.is_empty();
        if sound {
            let given = serde_json::from_value::<Given>(Json::Object(credentials.clone()));
            let says_user = self.json.get("external_user").is_some();
            let wrong = match given.map(Given::signs_in) {
                Err(why) => Some((Level::Error, "they sign nobody in", why.to_string())),
                Ok(Err(why)) => Some((Level::Error, "they sign nobody in", why)),
                Ok(Ok((credentials, _))) if credentials.user().is_none() && !says_user => Some((
                    Level::Warning,
                    "they do not say as which user they sign in, and by that Firn tells its own entries from others'",
                    "name the user of the instance's OAuth registry: external_user = \"...\""
                        .to_owned(),
                )),
                Ok(Ok(_)) => None,
            };
            if let Some((level, text, remedy)) = wrong {
                let (at, text) = ("credentials".to_owned(), text.to_owned());
                faults.push(Fault { level, at, text, remedy });
            }
        }
        faults
    }

    /// Where a fault stands: the deepest part of its path that the file has.
    fn place(&self, fault: &Fault) -> Option<Range<usize>> {
        let table = DeTable::parse(&self.text).ok()?;
        let key_is_wrong = fault.text.starts_with("there is no setting");
        find(table.get_ref(), &fault.at, key_is_wrong)
    }

    /// Faults for people: file, line and column, the text underlined, and a remedy.
    pub(crate) fn render(&self, faults: &[Fault], styled: bool) -> String {
        // In the order of the file; what it does not say itself comes last.
        let mut faults: Vec<&Fault> = faults.iter().collect();
        faults.sort_by_key(|fault| self.place(fault).map_or(usize::MAX, |span| span.start));
        let groups: Vec<Group<'_>> = faults
            .into_iter()
            .map(|fault| {
                let level = match fault.level {
                    Level::Error => Shown::ERROR,
                    Level::Warning => Shown::WARNING,
                };
                let title = if fault.at.is_empty() {
                    fault.text.clone()
                } else {
                    format!("{}: {}", fault.at, fault.text)
                };
                let group = level.primary_title(title);
                let group = match self.place(fault) {
                    Some(span) => group.element(
                        Snippet::source(&self.text)
                            .path(&self.path)
                            .annotation(AnnotationKind::Primary.span(span)),
                    ),
                    // It is the preset's, or the file does not say it at all.
                    None => group.element(
                        Shown::NOTE.message(format!("{} does not say it itself", self.path)),
                    ),
                };
                group.element(Shown::HELP.message(fault.remedy.clone()))
            })
            .collect();
        print(&groups, styled)
    }

    /// The same for a file that is no TOML.
    pub(crate) fn render_unreadable(&self, faults: &Unreadable, styled: bool) -> String {
        let groups: Vec<Group<'_>> = faults
            .0
            .iter()
            .map(|(span, text)| {
                Shown::ERROR.primary_title(format!("this is not TOML: {text}")).element(
                    Snippet::source(&self.text)
                        .path(&self.path)
                        .annotation(AnnotationKind::Primary.span(span.clone())),
                )
            })
            .collect();
        print(&groups, styled)
    }
}

/// Settings, or a whole integration, written out as TOML; what is not set is left out, and so is what only
/// Firn gives: ids and versions.
pub(crate) fn written(integration: &Json) -> String {
    fn plain(value: &Json) -> Option<toml::Value> {
        Some(match value {
            Json::Null => return None,
            Json::Bool(b) => toml::Value::Boolean(*b),
            Json::Number(n) => toml::Value::Integer(n.as_i64()?),
            Json::String(s) => toml::Value::String(s.clone()),
            Json::Array(items) => toml::Value::Array(items.iter().filter_map(plain).collect()),
            Json::Object(map) => toml::Value::Table(
                map.iter().filter_map(|(k, v)| Some((k.clone(), plain(v)?))).collect(),
            ),
        })
    }
    let mut shown = integration.clone();
    if let Json::Object(map) = &mut shown {
        for key in ["id", "version"] {
            map.remove(key);
        }
    }
    plain(&shown).and_then(|t| toml::to_string_pretty(&t).ok()).unwrap_or_default()
}

fn print(groups: &[Group<'_>], styled: bool) -> String {
    let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
    groups
        .iter()
        .map(|group| renderer.render(std::slice::from_ref(group)))
        .collect::<Vec<_>>()
        .join("\n\n")
}

fn object(table: &DeTable<'_>) -> Map<String, Json> {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref()))).collect()
}

/// TOML as JSON. Dates become their text; a number that JSON does not have becomes its text too, so
/// that the core says what it expected there.
fn json(value: &DeValue<'_>) -> Json {
    match value {
        DeValue::String(text) => Json::String(text.to_string()),
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix())
            .map_or_else(|_| Json::String(n.as_str().to_owned()), Json::from),
        DeValue::Float(n) => n
            .as_str()
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map_or_else(|| Json::String(n.as_str().to_owned()), Json::Number),
        DeValue::Boolean(b) => Json::Bool(*b),
        DeValue::Datetime(at) => Json::String(at.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => Json::Object(object(table)),
    }
}

/// The place of a path like `fields.status.pairs[2].external[0]`. Keys may hold dots themselves, so
/// that at each table the longest key that fits is taken.
fn find(table: &DeTable<'_>, path: &str, want_key: bool) -> Option<Range<usize>> {
    let fits = |key: &str| {
        path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let (key, value) = table
        .iter()
        .filter(|(key, _)| fits(key.get_ref()))
        .max_by_key(|(key, _)| key.get_ref().len())?;
    let rest = &path[key.get_ref().len()..];
    within(value, rest, want_key).or_else(|| {
        let whole = rest.is_empty() && !want_key && !matches!(value.get_ref(), DeValue::Table(_));
        Some(if whole { value.span() } else { key.span() })
    })
}

fn within(value: &Spanned<DeValue<'_>>, rest: &str, want_key: bool) -> Option<Range<usize>> {
    match (value.get_ref(), rest.chars().next()) {
        (DeValue::Table(table), Some('.')) => find(table, &rest[1..], want_key),
        (DeValue::Array(items), Some('[')) => {
            let end = rest.find(']')?;
            let item = items.get(rest[1..end].parse::<usize>().ok()?)?;
            let rest = &rest[end + 1..];
            within(item, rest, want_key).or_else(|| Some(item.span()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, path: &str, want_key: bool) -> String {
        let table = DeTable::parse(text).unwrap();
        find(table.get_ref(), path, want_key).map_or_else(String::new, |s| text[s].to_owned())
    }

    #[test]
    fn a_fault_is_found_where_it_stands() {
        let text = r#"
strategy = "coin-toss"
[fields.status]
kind = "choice"
pairs = [
  { platform = "open", external = ["1", "x"] },
]
[fields."a.b"]
max = 3
"#;
        assert_eq!(at(text, "strategy", false), "\"coin-toss\"");
        assert_eq!(at(text, "strategy", true), "strategy");
        assert_eq!(at(text, "fields.status.pairs[0].external[1]", false), "\"x\"");
        assert_eq!(at(text, "fields.status.kind", true), "kind");
        assert_eq!(at(text, "fields.a.b.max", false), "3");
        // What the file does not say is shown at the nearest part that it does.
        assert_eq!(at(text, "fields.status.column", false), "status");
        assert_eq!(at(text, "fields.title.max", false), "fields");
        assert_eq!(at(text, "journal.template", false), "");
    }
}
