//! Expressions and templates: MiniJinja (the Jinja of Python, in Rust), with nothing that could
//! reach outside: no includes, no clock, no randomness. What runs too long is stopped, always at
//! the same place.
//!
//! A missing name is empty and false, never an error: payloads leave optional parts out. Names that
//! can never be there are found when the settings are checked.

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

/// How much work one evaluation may do, in instructions of the template engine.
const FUEL: u64 = 50_000;
/// The longest result, in bytes.
const MAX_OUTPUT: usize = 64 * 1024;

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
    environment
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
        let mut environment = environment();
        environment.add_template_owned(NAME, source.to_owned()).map_err(|e| syntax(&e))?;
        Ok(Template { source: source.to_owned(), environment: Arc::new(environment) })
    }

    /// The names that it uses, with one level below: `record.title`, `table`.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        let template = self.environment.get_template(NAME);
        template.map(|t| t.undeclared_variables(true).into_iter().collect()).unwrap_or_default()
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

    /// The names that it uses.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        self.0.names()
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
            BTreeSet::from(["payload.n".to_owned(), "payload.reason".to_owned()])
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
    fn what_never_ends_is_stopped() {
        let long = Template::new(
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
        );
        assert!(long.unwrap().render(&json!({})).is_err());
    }
}
