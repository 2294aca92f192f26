//! Expressions and templates: MiniJinja (the Jinja of Python, in Rust), with nothing that could
//! reach outside: no includes, no clock, no randomness. What runs too long is stopped, always at
//! the same place.
//!
//! A missing name is empty and false, never an error: payloads leave optional parts out. Names that
//! can never be there are found when the settings are checked.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use serde::Serialize;

/// How much work one evaluation may do, in instructions of the template engine.
const FUEL: u64 = 50_000;
/// The longest result, in bytes.
const MAX_OUTPUT: usize = 64 * 1024;
/// The longest text on the way to it, in bytes.
const MAX_MADE: usize = 4 * 1024 * 1024;

/// The statements that there are. Whatever else the library is built with, nothing reaches another template.
const STATEMENTS: &[&str] = &[
    "autoescape",
    "elif",
    "else",
    "endautoescape",
    "endfilter",
    "endfor",
    "endif",
    "endraw",
    "endset",
    "endwith",
    "filter",
    "for",
    "if",
    "raw",
    "set",
    "with",
];

/// How often what is given a name may be put together of texts: each time may double what there is, and the next one
/// may begin with that.
const MOST_JOINS: usize = 6;

const NAME: &str = "t";
const OPEN: &str = "{% if ";

/// Why a text is no expression or template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// What is wrong, in the engine's words.
    pub text: String,
}

/// A template, compiled.
#[derive(Clone)]
pub struct Template {
    source: String,
    names: Arc<BTreeSet<String>>,
    environment: Arc<Environment<'static>>,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Template({:?})", self.source)
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Template {}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    // `text.startswith("x")`, as people know it from Jinja in Python.
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("replace", replace);
    environment
}

/// Jinja's `replace`, that never makes more than a result may have.
fn replace(text: Cow<'_, str>, from: Cow<'_, str>, to: Cow<'_, str>) -> Result<String, Error> {
    let longer = to.len().saturating_sub(from.len());
    let most = text.matches(&*from).count().saturating_mul(longer).saturating_add(text.len());
    if most > MAX_MADE {
        let why = format!("replace would make more than {MAX_MADE} bytes");
        return Err(Error::new(ErrorKind::InvalidOperation, why));
    }
    Ok(text.replace(&*from, &to))
}

fn syntax(error: &minijinja::Error) -> SyntaxError {
    let detail = error.detail().unwrap_or("it cannot be read");
    SyntaxError { text: format!("{}: {detail}", error.kind()) }
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// Says what the engine does not understand.
    pub fn new(source: &str) -> Result<Template, SyntaxError> {
        for statement in source.split("{%").skip(1) {
            let statement = statement.trim_start_matches(['-', '+']).trim_start();
            let end = statement.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(statement.len());
            let word = &statement[..end];
            if !word.is_empty() && !STATEMENTS.contains(&word) {
                return Err(SyntaxError { text: format!("there is no statement {word}") });
            }
        }
        let named = source.split("{%").skip(1).filter_map(|rest| {
            let statement = rest.split("%}").next().unwrap_or(rest);
            let word = statement.trim_start_matches(['-', '+']).trim_start();
            (word.starts_with("set") || word.starts_with("with")).then_some(word)
        });
        let joins: usize = named.map(|said| said.matches(['~', '+', '*', '|']).count()).sum();
        let joins = joins + 2 * source.matches("endset").count();
        if joins > MOST_JOINS {
            let text = format!(
                "its set and with statements put values together {joins} times; at most {MOST_JOINS} are allowed"
            );
            return Err(SyntaxError { text });
        }
        let mut environment = environment();
        environment.add_template_owned(NAME, source.to_owned()).map_err(|e| syntax(&e))?;
        let names = Arc::new(names(source));
        Ok(Template { source: source.to_owned(), names, environment: Arc::new(environment) })
    }

    /// The names that it uses, with one level below: `record.title`, `table`. What is in quotes between brackets is
    /// such a level too: `record['a.b']` uses `record.a.b`.
    #[must_use]
    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// Names with more than one level below, as they are written: `ticket.caller_id.email`.
    #[must_use]
    pub fn paths(&self) -> Vec<&str> {
        self.code().flat_map(paths_in).collect()
    }

    /// Filters, tests, functions and methods that it uses and that there are none of, wherever they stand: `filter
    /// lowercase`.
    #[must_use]
    pub fn strangers(&self) -> Vec<String> {
        let helpers: BTreeSet<Helper<'_>> = self.code().flat_map(helpers_in).collect();
        let strangers = helpers.into_iter().filter(|helper| !helper.is_known(&self.environment));
        strangers.map(|helper| helper.to_string()).collect()
    }

    /// What is neither text nor in quotes.
    fn code(&self) -> impl Iterator<Item = &str> {
        code(&self.source).flat_map(unquoted)
    }

    /// Renders it.
    ///
    /// # Errors
    /// When it works too long, makes too much, or uses a value in a way that it does not have.
    pub fn render(&self, context: &impl Serialize) -> Result<String, String> {
        let template = self.environment.get_template(NAME).map_err(|e| e.to_string())?;
        let text = template.render(context).map_err(|e| e.to_string())?;
        if text.len() > MAX_OUTPUT {
            return Err(format!("the result is longer than {MAX_OUTPUT} bytes"));
        }
        Ok(text)
    }
}

/// What stands between braces; not in comments, nor in `raw`.
fn code(source: &str) -> impl Iterator<Item = &str> {
    let mut rest = source;
    let mut is_raw = false;
    std::iter::from_fn(move || {
        loop {
            let begin = if is_raw { rest.find("{%")? } else { rest.find('{')? };
            let (mark, after) = (rest.get(begin..begin + 2), rest.get(begin + 2..).unwrap_or(""));
            let end = match mark {
                Some("{{") => "}}",
                Some("{%") => "%}",
                Some("{#") => "#}",
                _ => {
                    rest = &rest[begin + 1..];
                    continue;
                }
            };
            let code = match is_raw {
                true => after.split(end).next().unwrap_or(after),
                false => outside_quotes(after, end),
            };
            let word = code.trim_matches(|c: char| "-+".contains(c) || c.is_whitespace());
            if is_raw && word != "endraw" {
                rest = after;
                continue;
            }
            rest = after.get(code.len() + 2..).unwrap_or("");
            match (end, word) {
                ("%}", "raw" | "endraw") => is_raw = word == "raw",
                ("}}" | "%}", _) => return Some(code),
                _ => {}
            }
        }
    })
}

/// What comes before an end mark that is not in quotes.
fn outside_quotes<'a>(text: &'a str, end: &str) -> &'a str {
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match quote {
            // What comes next is part of the text, also a quote.
            Some(_) if c == '\\' => _ = chars.next(),
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if text[i..].starts_with(end) => return &text[..i],
            None if c == '\'' || c == '"' => quote = (end != "#}").then_some(c),
            None => {}
        }
    }
    text
}

/// The parts of a piece of code that are not in quotes.
fn unquoted(code: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = code;
    while let Some(begin) = rest.find(['\'', '"']) {
        parts.push(&rest[..begin]);
        let (quote, quoted) = rest[begin..].split_at(1);
        let text = outside_escapes(quoted, quote);
        rest = quoted.get(text.len() + 1..).unwrap_or("");
    }
    parts.push(rest);
    parts
}

/// What comes before a quote that no backslash stands before.
fn outside_escapes<'a>(text: &'a str, quote: &str) -> &'a str {
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if text[i..].starts_with(quote) {
            return &text[..i];
        }
    }
    text
}

/// What a piece of code calls by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Helper<'a> {
    Filter(&'a str),
    Test(&'a str),
    Function(&'a str),
    Method(&'a str),
}

impl std::fmt::Display for Helper<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Helper::Filter(name) => write!(f, "filter {name}"),
            Helper::Test(name) => write!(f, "test {name}"),
            Helper::Function(name) => write!(f, "function {name}"),
            Helper::Method(name) => write!(f, "method {name}"),
        }
    }
}

impl Helper<'_> {
    /// Whether the engine has it: it is asked by using it, on values of every kind.
    fn is_known(self, environment: &Environment<'_>) -> bool {
        let unknown = match self {
            Helper::Filter(_) => ErrorKind::UnknownFilter,
            Helper::Test(_) => ErrorKind::UnknownTest,
            Helper::Function(_) => ErrorKind::UnknownFunction,
            Helper::Method(_) => ErrorKind::UnknownMethod,
        };
        ["'a'", "(1)", "['a']", "{'a': 1}"].iter().any(|value| {
            let source = match self {
                Helper::Filter(name) => format!("{value}|{name}"),
                Helper::Test(name) => format!("{value} is {name}"),
                Helper::Function(name) => format!("{name}({value})"),
                Helper::Method(name) => format!("{value}.{name}()"),
            };
            let tried = environment.compile_expression(&source).and_then(|e| e.eval(()));
            tried.err().is_none_or(|error| error.kind() != unknown)
        })
    }
}

/// What a piece of code calls: a word behind a bar is a filter, one behind `is` a test, one before a parenthesis a method
/// or a function.
fn helpers_in(code: &str) -> Vec<Helper<'_>> {
    const OPERATORS: &[&str] = &["and", "in", "is", "not", "or", "recursive"];
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut helpers = Vec::new();
    let mut before = "";
    let mut rest = code;
    while let Some(begin) = rest.find(is_name) {
        let gap = rest[..begin].trim();
        let word = &rest[begin..];
        let word = &word[..word.find(|c| !is_name(c)).unwrap_or(word.len())];
        rest = &rest[begin + word.len()..];
        let is_called = rest.trim_start().starts_with('(');
        let helper = if gap.ends_with('|') || (gap.is_empty() && before == "filter") {
            Some(Helper::Filter(word))
        } else if gap.is_empty() && (before == "is" || before == "is not") {
            (word != "not").then_some(Helper::Test(word))
        } else if gap.ends_with('.') {
            // A loop is no value.
            (is_called && before != "loop").then_some(Helper::Method(word))
        } else if is_called && !OPERATORS.contains(&word) && !STATEMENTS.contains(&word) {
            Some(Helper::Function(word))
        } else {
            None
        };
        helpers.extend(helper.filter(|_| !word.starts_with(|c: char| c.is_ascii_digit())));
        before = match (gap.is_empty() && before == "is", word) {
            (true, "not") => "is not",
            _ if gap.ends_with('.') => "",
            _ => word,
        };
    }
    helpers
}

/// The names with more than one level below in a piece of code.
fn paths_in(code: &str) -> Vec<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut paths = Vec::new();
    let mut rest = code;
    while let Some(begin) = rest.find(is_name) {
        let path = &rest[begin..];
        let end = path.find(|c| !is_name(c) && c != '.').unwrap_or(path.len());
        let after = &path[end..];
        let path = path[..end].trim_end_matches('.');
        // The last part of a call is a method.
        let levels = path.split('.').count() - usize::from(after.starts_with('('));
        if levels > 2 {
            paths.push(path);
        }
        rest = after;
    }
    paths
}

/// The names of a template that was compiled.
fn names(source: &str) -> BTreeSet<String> {
    // The library does not look between brackets.
    let mut environment = environment();
    let plain = without_brackets(source);
    let source = if Environment::new().template_from_str(&plain).is_ok() { &plain } else { source };
    if environment.add_template_owned(NAME, source.to_owned()).is_err() {
        return BTreeSet::new();
    }
    let template = environment.get_template(NAME);
    let names = template.map(|t| t.undeclared_variables(true)).unwrap_or_default();
    let two = |name: String| name.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    names.into_iter().map(|name| two(name).replace(DOT, ".")).collect()
}

/// What stands for a dot in a name that is written in quotes.
const DOT: &str = "__dot__";

/// `a['b.c']` as `a.b__dot__c`.
fn without_brackets(source: &str) -> String {
    let mut plain = String::new();
    let mut rest = source;
    while let Some(at) = rest.find('[') {
        let (before, bracket) = rest.split_at(at);
        plain.push_str(before);
        let after_name = before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let key = after_name.then(|| quoted(&bracket[1..])).flatten();
        match key {
            Some((key, end)) => {
                plain.push('.');
                plain.push_str(&key.replace('.', DOT));
                rest = &bracket[1 + end..];
            }
            None => {
                plain.push('[');
                rest = &bracket[1..];
            }
        }
    }
    plain + rest
}

/// A name in quotes up to the bracket that ends it, and where it ends.
fn quoted(text: &str) -> Option<(&str, usize)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let end = text.get(1..)?.find(quote)? + 1;
    let key = text.get(1..end)?;
    let is_name = !key.is_empty()
        && !key.starts_with(|c: char| c.is_ascii_digit())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.".contains(&b));
    (is_name && text.get(end + 1..)?.starts_with(']')).then_some((key, end + 2))
}

/// A condition, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition(Template);

impl Condition {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Says what the engine does not understand.
    pub fn new(source: &str) -> Result<Condition, SyntaxError> {
        environment().compile_expression(source).map_err(|e| syntax(&e))?;
        Template::new(&format!("{OPEN}{source} %}}1{{% endif %}}")).map(Condition)
    }

    /// What it calls and there is none of, see [`Template::strangers`].
    #[must_use]
    pub fn strangers(&self) -> Vec<String> {
        self.0.strangers()
    }

    /// The names that it uses.
    #[must_use]
    pub fn names(&self) -> &BTreeSet<String> {
        self.0.names()
    }

    /// Names with more than one level below.
    #[must_use]
    pub fn paths(&self) -> Vec<&str> {
        self.0.paths()
    }

    /// Whether it is true, without a guess: a name that is not there and that it depends on is an error.
    ///
    /// # Errors
    /// When something is missing, or as [`Condition::holds`].
    pub fn holds_for_sure(&self, context: &impl Serialize) -> Result<bool, String> {
        let mut strict = environment();
        strict.set_undefined_behavior(UndefinedBehavior::Strict);
        let text = strict.render_str(&self.0.source, context).map_err(|e| e.to_string())?;
        Ok(!text.is_empty())
    }

    /// Whether it is true. What cannot be evaluated is an error, never a silent "no".
    ///
    /// # Errors
    /// When it works too long, or uses a value in a way that it does not have.
    pub fn holds(&self, context: &impl Serialize) -> Result<bool, String> {
        self.0.render(context).map(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_over_a_payload() {
        let wanted = Condition::new(r#"payload.reason in ["a", "b"] and payload.n > 2"#).unwrap();
        assert_eq!(wanted.holds(&json!({"payload": {"reason": "a", "n": 3}})), Ok(true));
        assert_eq!(wanted.holds(&json!({"payload": {"reason": "a", "n": 2}})), Ok(false));
        assert_eq!(wanted.holds(&json!({"payload": {"n": 3}})), Ok(false));
        assert_eq!(
            wanted.names(),
            &BTreeSet::from(["payload.n".to_owned(), "payload.reason".to_owned()])
        );
    }

    #[test]
    fn methods_of_python_are_known() {
        let wanted = Condition::new("a.lower().startswith('[ops]') and 'x' in b").unwrap();
        assert_eq!(wanted.holds(&json!({"a": "[OPS] full", "b": ["x"]})), Ok(true));
        assert!(Condition::new("a.nothing()").unwrap().holds(&json!({"a": ""})).is_err());
    }

    #[test]
    fn what_is_no_expression_says_so() {
        for bad in ["", "payload.", "a %}1{% endif %}{% if b", "1 +", "{{ a }}"] {
            assert!(Condition::new(bad).is_err(), "{bad}");
        }
        assert!(Template::new("{{ a").is_err());
        for outside in ["include 'x'", "- import 'x' as x", "extends 'x'", "macro x()", "block x"] {
            let said = Template::new(&format!("{{%{outside} %}}")).unwrap_err().text;
            assert!(said.starts_with("there is no statement"), "nothing reaches outside: {said}");
        }
        for inside in ["{%- if a -%}1{%+ endif %}", "{% raw %}{{ a }}{% endraw %}", "{%set a = 1%}"]
        {
            assert!(Template::new(inside).is_ok(), "{inside}");
        }
    }

    #[test]
    fn what_there_is_none_of_is_found_wherever_it_stands() {
        for (source, strangers) in [
            ("{{ a|trim|upper }}{{ b | default('x|y is z') }}", &[][..]),
            ("{% if a %}{{ a|lowercase }}{% endif %}", &["filter lowercase"]),
            ("{{ a is strin }}{{ a is not defned }}", &["test defned", "test strin"]),
            ("{% if a is defined and (b is not none) or not (a in (b)) %}{% endif %}", &[]),
            ("{{ a.lowercase() }}{{ a.lower().nope() }}", &["method lowercase", "method nope"]),
            ("{{ strip(a) }}", &["function strip"]),
            ("{% for x in range(3) %}{{ loop.cycle('a', 'b') }}{{ x.items() }}{% endfor %}", &[]),
            ("{# {{ a|nope }} #}{% raw %}{{ a|nope }}{% endraw %}{{ \"it's|nope\"|upper }}", &[]),
            ("{% filter shout %}a{% endfilter %}{% set (a, b) = c %}", &["filter shout"]),
            ("{{ {'a': 1}|items }}{{ 'a'|nope }}", &["filter nope"]),
            (r"{{ 'it\'s a|nope is b' }}{{ 'I can\'t (yet)' }}{{ a|nope }}", &["filter nope"]),
            ("{% raw %}it's {{ {% endraw %}{{ a|nope }}", &["filter nope"]),
            ("a { b {{ a }}} {", &[]),
        ] {
            assert_eq!(Template::new(source).unwrap().strangers(), strangers, "{source}");
        }
        assert_eq!(Condition::new("a and b|nope").unwrap().strangers(), ["filter nope"]);
    }

    #[test]
    fn what_never_ends_is_stopped() {
        let long = Template::new(
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
        );
        assert!(long.unwrap().render(&json!({})).is_err());
        // Nor may a text double its way through all memory.
        let doubled: String =
            (1..30).map(|n| format!("{{% set a{n} = a{} ~ a{} %}}", n - 1, n - 1)).collect();
        let why = Template::new(&format!("{doubled}{{{{ a29 }}}}")).unwrap_err();
        assert!(why.text.contains("at most"), "{}", why.text);
        let named =
            Template::new("{% set name = a ~ ' ' ~ b %}{{ name }} {{ name|lower }}").unwrap();
        assert_eq!(named.render(&json!({ "a": "Ann", "b": "Lee" })), Ok("Ann Lee ann lee".into()));
        let cubed = Template::new("{{ a|replace('a', a)|replace('a', a) }}").unwrap();
        assert!(cubed.render(&json!({ "a": "a".repeat(2_000) })).unwrap_err().contains("replace"));
        assert_eq!(
            Template::new("{{ a|replace('x', 'yy') }}").unwrap().render(&json!({ "a": "axa" })),
            Ok("ayya".into())
        );
    }

    #[test]
    fn names_in_brackets_are_names() {
        let names = |source: &str| Template::new(source).unwrap().names().clone();
        let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(names("{{ ticket['assigned_to.email'] }}"), set(&["ticket.assigned_to.email"]));
        assert_eq!(names("{{ record.a }}{{ record[\"b\"] }}"), set(&["record.a", "record.b"]));
        assert_eq!(names("{{ record[key] }}"), set(&["key", "record"]), "nobody knows which");
        assert_eq!(names("{{ ['a', b][0] }}"), set(&["b"]));
        let mail = Template::new("{{ ticket['assigned_to.email'] }}").unwrap();
        let context = json!({ "ticket": { "assigned_to.email": "a@example.com" } });
        assert_eq!(mail.render(&context), Ok("a@example.com".into()));
        let paths = |source| {
            let condition = Condition::new(source).unwrap();
            condition.paths().into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(paths("ticket.caller_id.email == 'a'"), ["ticket.caller_id.email"]);
        assert!(paths("record.title.lower() == 'a' and 1.5 < record.n").is_empty());
    }
}
