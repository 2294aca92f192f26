//! What is done with what is found: strategies by type, field, direction and sink, and what a
//! tenant adds of its own.

use std::ops::Range;
use std::sync::Arc;

use firn_model::{Fault, Level, MaskRule, MaskStrategy, MaskingPolicy, Side, Sink};
use regex_lite::{Regex, RegexBuilder};

use super::fold::{Folded, Written};
use super::{Candidate, Kind, Masked, Reason, mask_with};

/// The most patterns and word lists of a tenant's own.
const MOST: usize = 64;
/// The most characters of a pattern, and of all words of a list.
const LONGEST: usize = 2_000;
/// The most bytes of a compiled pattern. Matching takes time in proportion to it.
const COMPILED: usize = 1 << 16;

/// Makes tokens of values. It holds the tenant's key; masking never sees it.
pub trait Tokens: std::fmt::Debug + Send + Sync {
    /// The token of a canonical value of a type: the same for the same, and another for another
    /// tenant. Nothing if there is no key: the value is then redacted.
    fn token(&self, kind: &str, canonical: &str) -> Option<String>;
}

/// Nobody has a key: what should become a token is redacted.
#[derive(Debug, Clone, Copy)]
pub struct NoTokens;

impl Tokens for NoTokens {
    fn token(&self, _: &str, _: &str) -> Option<String> {
        None
    }
}

/// Where a text goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place<'a> {
    /// The mapped field, if it is one.
    pub field: Option<&'a str>,
    /// The side that it leaves for, if it does.
    pub to: Option<Side>,
    /// What it becomes part of.
    pub sink: Option<Sink>,
}

/// A tenant's policy, checked.
#[derive(Debug, Clone)]
pub struct Policy {
    settings: MaskingPolicy,
    own: Vec<Own>,
    tokens: Arc<dyn Tokens>,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { settings: MaskingPolicy::default(), own: Vec::new(), tokens: Arc::new(NoTokens) }
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Policy) -> bool {
        self.settings == other.settings
    }
}

impl Eq for Policy {}

/// A type of the tenant's own.
#[derive(Debug, Clone)]
struct Own {
    name: String,
    regex: Regex,
    /// Of a list of words, the words as a text has them once it is folded, the longest first.
    words: Vec<String>,
}

impl Own {
    /// Where it is found in a folded text.
    fn find(&self, text: &str) -> Vec<Range<usize>> {
        if self.words.is_empty() {
            return self.regex.find_iter(text).map(|found| found.range()).collect();
        }
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(next) = self.regex.find_at(text, at) {
            // One of the words begins here; another one may be the one that ends with a word.
            let here = &text[next.start()..];
            let begins = text[..next.start()].chars().next_back();
            let whole = self.words.iter().find(|word| {
                let end = word.len();
                here.get(..end).is_some_and(|said| said.eq_ignore_ascii_case(word))
                    && !(joins(begins) && joins(word.chars().next()))
                    && !(joins(word.chars().next_back()) && joins(here[end..].chars().next()))
            });
            at = match whole {
                Some(word) => {
                    found.push(next.start()..next.start() + word.len());
                    next.start() + word.len()
                }
                None => next.start() + here.chars().next().map_or(1, char::len_utf8),
            };
        }
        found
    }
}

/// Whether a character beside another such one makes one word with it. Scripts that are written without blanks have
/// no such borders.
fn joins(c: Option<char>) -> bool {
    let unbroken = |c: char| {
        matches!(c, '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}'
            | '\u{2E80}'..='\u{A4CF}' | '\u{AC00}'..='\u{D7FF}' | '\u{F900}'..='\u{FAFF}'
            | '\u{20000}'..='\u{3FFFF}')
    };
    c.is_some_and(|c| (c.is_alphanumeric() || c == '_') && !unbroken(c))
}

/// A pattern, as texts are when it is asked: letters outside ASCII are small ones there.
fn as_folded(pattern: &str) -> String {
    let small = |c: char| {
        let mut lower = c.to_lowercase();
        match (lower.next(), lower.next()) {
            (Some(one), None) if !c.is_ascii() && !one.is_ascii() => one,
            _ => c,
        }
    };
    pattern.chars().map(small).collect()
}

impl Policy {
    /// Checks a policy. `at` is where it stands in its document, as the beginning of a place.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn new(settings: &MaskingPolicy, at: &str) -> Result<Policy, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut fault = |at: String, text: String, remedy: &str| {
            faults.push(Fault { level: Level::Error, at, text, remedy: remedy.to_owned() });
        };
        let mut own: Vec<Own> = Vec::new();
        let patterns = settings.patterns.iter().enumerate().map(|(i, one)| {
            let pattern = as_folded(&one.pattern);
            (format!("{at}patterns[{i}]"), &one.name, "pattern", pattern, Vec::new())
        });
        let words = settings.words.iter().enumerate().map(|(i, one)| {
            let folded = |word: &String| {
                String::from_utf8_lossy(&Folded::new(word.trim(), Written::Plain).bytes)
                    .into_owned()
            };
            let mut words: Vec<String> = one.words.iter().map(folded).collect();
            words.sort_by_key(|word| std::cmp::Reverse(word.len()));
            let any: Vec<String> = words.iter().map(|word| regex_lite::escape(word)).collect();
            let empty = words.iter().any(|word| word.trim().is_empty()) || any.is_empty();
            let pattern = format!(r"(?i)(?:{})", any.join("|"));
            (
                format!("{at}words[{i}]"),
                &one.name,
                "words",
                if empty { String::new() } else { pattern },
                words,
            )
        });
        for (at, name, key, pattern, words) in patterns.chain(words) {
            if name.len() < 2
                || name.len() > 40
                || !name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
            {
                fault(
                    format!("{at}.name"),
                    format!("{name:?} is no name of a type"),
                    "use 2 to 40 capital letters and underscores: EMPLOYEE_NUMBER",
                );
                continue;
            }
            if Kind::ALL.iter().any(|kind| kind.name() == name)
                || own.iter().any(|o| o.name == *name)
            {
                fault(format!("{at}.name"), format!("{name} is there already"), "use another name");
                continue;
            }
            let at = format!("{at}.{key}");
            if pattern.is_empty() || pattern.len() > LONGEST || own.len() == MOST {
                let text =
                    format!("empty, longer than {LONGEST} characters, or more than {MOST} of them");
                fault(at, text, "write what is to be found, in less");
                continue;
            }
            match RegexBuilder::new(&pattern).size_limit(COMPILED).nest_limit(32).build() {
                Err(why) => fault(
                    at,
                    format!("the pattern cannot be used: {why}"),
                    "write a regular expression without look-around and back-references, and shorter if it is too large",
                ),
                Ok(regex) if regex.is_match("") => {
                    fault(at, "it matches nothing at all".to_owned(), "use + where there is *");
                }
                Ok(regex) => {
                    let one = Own { name: name.clone(), regex, words };
                    if one.find(&format!("[{name}]")).is_empty() {
                        own.push(one);
                    } else {
                        fault(
                            at,
                            format!("it matches [{name}], which stands for what it found"),
                            "make it narrower",
                        );
                    }
                }
            }
        }
        for (i, rule) in settings.rules.iter().enumerate() {
            for (k, name) in rule.types.iter().enumerate() {
                let known = Kind::ALL.iter().any(|kind| kind.name() == name)
                    || settings.patterns.iter().any(|one| one.name == *name)
                    || settings.words.iter().any(|one| one.name == *name);
                if !known {
                    fault(
                        format!("{at}rules[{i}].types[{k}]"),
                        format!("there is no type {name}"),
                        "use a type of the policy (PHONE, EMAIL, CREDIT_CARD, ...) or one of your own",
                    );
                }
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Policy { settings: settings.clone(), own, ..Policy::default() })
    }

    /// The policy with what makes its tokens. Without it, what should become one is redacted.
    #[must_use]
    pub fn with_tokens(self, tokens: Arc<dyn Tokens>) -> Policy {
        Policy { tokens, ..self }
    }

    /// What is done in one place.
    #[must_use]
    pub fn at(self: &Arc<Self>, place: Place<'_>) -> Masker {
        let strategy = |name: &str| {
            let fits = |rule: &&MaskRule| fits(rule, name, place);
            self.settings.rules.iter().find(fits).map_or(self.settings.strategy, |r| r.strategy)
        };
        Masker {
            strategies: Kind::ALL.map(|kind| strategy(kind.name())),
            own: self.own.iter().map(|own| strategy(&own.name)).collect(),
            policy: Arc::clone(self),
        }
    }

    /// The name of a type, also of the tenant's own.
    #[must_use]
    pub fn name(&self, kind: Kind) -> &str {
        match kind {
            Kind::Own(index) => self.own.get(usize::from(index)).map_or("OWN", |own| &own.name),
            kind => kind.name(),
        }
    }
}

fn fits(rule: &MaskRule, name: &str, place: Place<'_>) -> bool {
    (rule.types.is_empty() || rule.types.iter().any(|t| t == name))
        && (rule.fields.is_empty()
            || place.field.is_some_and(|field| rule.fields.iter().any(|f| is_path(f, field))))
        && rule.to.is_none_or(|to| place.to == Some(to))
        && (rule.sinks.is_empty() || place.sink.is_some_and(|sink| rule.sinks.contains(&sink)))
}

/// `caller.*` is every path below `caller`.
pub(crate) fn is_path(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(stem) => path.starts_with(stem),
        None => pattern == path,
    }
}

/// A policy in one place: a strategy for each type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masker {
    policy: Arc<Policy>,
    strategies: [MaskStrategy; Kind::ALL.len()],
    own: Vec<MaskStrategy>,
}

impl Default for Masker {
    fn default() -> Masker {
        Arc::<Policy>::default().at(Place::default())
    }
}

impl Masker {
    /// Masks a text.
    #[must_use]
    pub fn mask(&self, text: &str) -> Masked {
        mask_with(text, self)
    }

    pub(super) fn token(&self, kind: &str, canonical: &str) -> Option<String> {
        self.policy.tokens.token(kind, canonical)
    }

    /// The policy that it is of.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(super) fn strategy(&self, kind: Kind) -> MaskStrategy {
        let known = match kind {
            Kind::Own(index) => self.own.get(usize::from(index)),
            kind => Kind::ALL.iter().position(|k| *k == kind).map(|i| &self.strategies[i]),
        };
        // What is not known is not let through.
        known.copied().unwrap_or(MaskStrategy::Redact)
    }

    /// What the tenant's own patterns find.
    pub(super) fn find_own(&self, folded: &[u8], found: &mut Vec<Candidate>) {
        if self.policy.own.is_empty() {
            return;
        }
        // Folding gives letters whole. Were it otherwise, nothing of the text would get through.
        let Ok(text) = std::str::from_utf8(folded) else {
            found.push(Candidate {
                kind: Kind::Unmaskable,
                rule: "own",
                reason: Reason::Shape,
                start: 0,
                end: folded.len(),
            });
            return;
        };
        for (own, index) in self.policy.own.iter().zip(0..) {
            found.extend(own.find(text).into_iter().filter(|m| !m.is_empty()).map(|m| Candidate {
                kind: Kind::Own(index),
                rule: "own",
                reason: Reason::Shape,
                start: m.start,
                end: m.end,
            }));
        }
    }
}

/// A value in the one form that all ways of writing it share: phones in E.164, numbers as digits,
/// the rest without blanks and in lower case.
pub(super) fn canonical(kind: Kind, found: &[u8]) -> String {
    let text = String::from_utf8_lossy(found);
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let compact: String = text.chars().filter(|c| c.is_alphanumeric()).collect();
    match kind {
        Kind::Phone => {
            let international = text.contains('+') || digits.starts_with("00");
            match digits.trim_start_matches("00") {
                rest if international => format!("+{rest}"),
                rest if rest.len() == 10 && !rest.starts_with(['0', '1']) => format!("+1{rest}"),
                rest if rest.len() == 11 && rest.starts_with('1') => format!("+{rest}"),
                _ => digits,
            }
        }
        Kind::CreditCard | Kind::UsSsn | Kind::UsItin | Kind::UsBankRouting | Kind::UkNhs => digits,
        Kind::Iban | Kind::UkNino | Kind::Passport => compact.to_ascii_uppercase(),
        Kind::Email | Kind::IpAddress => text.to_lowercase(),
        _ => text.trim().to_owned(),
    }
}
