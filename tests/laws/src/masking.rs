//! How well masking does on labelled texts: what it catches, what it damages.
//!
//! A set is a text file, one text a line: its category, a tab, and the text, in which each value to
//! be masked stands as `«TYPE:value»` and a line's end as `⏎`.

use std::collections::BTreeMap;
use std::fmt;

use firn_core::masking::{self, Span};

/// A text and what must be masked in it.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// Where the text comes from: `call`, `chat`, `lookalike`, ...
    pub category: String,
    /// The text without marks.
    pub text: String,
    /// What must be masked.
    pub labels: Vec<Label>,
}

/// A value to be masked: characters of the text.
#[derive(Debug, Clone)]
pub struct Label {
    /// The policy's name of its type.
    pub kind: String,
    /// First character.
    pub start: usize,
    /// One past the last.
    pub end: usize,
}

/// Reads a set.
///
/// # Errors
/// The line that is not written as a set is.
pub fn read(set: &str) -> Result<Vec<Labelled>, String> {
    set.lines()
        .enumerate()
        .map(|(number, line)| one(line).ok_or(format!("line {}: {line}", number + 1)))
        .collect()
}

fn one(line: &str) -> Option<Labelled> {
    let (category, marked) = line.split_once('\t')?;
    let mut text = String::new();
    let mut labels = Vec::new();
    let mut rest = marked;
    while let Some((plain, more)) = rest.split_once('«') {
        text.push_str(plain);
        let (label, more) = more.split_once('»')?;
        let (kind, value) = label.split_once(':')?;
        let start = text.chars().count();
        text.push_str(value);
        labels.push(Label { kind: kind.to_owned(), start, end: text.chars().count() });
        rest = more;
    }
    text.push_str(rest);
    let text = text.replace('⏎', "\n");
    Some(Labelled { category: category.to_owned(), text, labels })
}

/// Counts over a set.
#[derive(Debug, Default)]
pub struct Score {
    /// For each type: labels, and how many were caught.
    pub caught: BTreeMap<String, (usize, usize)>,
    /// What was found, and how much of it was to be masked.
    pub found: (usize, usize),
    /// Found where a label is, and how many of these have its type.
    pub typed: (usize, usize),
    /// Texts with nothing to mask, and how many of them were altered.
    pub clean: (usize, usize),
    /// The look-alikes among them.
    pub lookalikes: (usize, usize),
    /// JSON documents, and how many no longer parse.
    pub json: (usize, usize),
    /// What went wrong, for a person.
    pub faults: Vec<String>,
}

fn ratio((of, part): (usize, usize)) -> f64 {
    if of == 0 { 1.0 } else { part as f64 / of as f64 }
}

impl Score {
    /// Caught of all labels.
    #[must_use]
    pub fn recall(&self) -> f64 {
        ratio(self.caught.values().fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)))
    }

    /// The mean of the types' recalls.
    #[must_use]
    pub fn mean_recall(&self) -> f64 {
        self.caught.values().map(|c| ratio(*c)).sum::<f64>() / self.caught.len().max(1) as f64
    }

    /// Right of all that was found.
    #[must_use]
    pub fn precision(&self) -> f64 {
        ratio(self.found)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, (of, part)) in &self.caught {
            writeln!(f, "{kind:<18} {part:>4} of {of:>4}")?;
        }
        writeln!(
            f,
            "recall             {:.4}, mean over types {:.4}",
            self.recall(),
            self.mean_recall()
        )?;
        writeln!(f, "precision          {:.4}", self.precision())?;
        writeln!(f, "right type         {} of {}", self.typed.1, self.typed.0)?;
        writeln!(f, "look-alikes        {} of {} altered", self.lookalikes.1, self.lookalikes.0)?;
        writeln!(f, "nothing to mask    {} of {} altered", self.clean.1, self.clean.0)?;
        write!(f, "JSON               {} of {} broken", self.json.1, self.json.0)
    }
}

/// Masks every text and counts.
#[must_use]
pub fn score(set: &[Labelled]) -> Score {
    let mut score = Score::default();
    for labelled in set {
        let masked = masking::mask(&labelled.text);
        let chars: Vec<char> = labelled.text.chars().collect();
        let shown = |start: usize, end: usize| chars[start..end].iter().collect::<String>();
        for label in &labelled.labels {
            let of = score.caught.entry(label.kind.clone()).or_default();
            of.0 += 1;
            if is_caught(label, &chars, &masked.spans) {
                of.1 += 1;
            } else {
                score.faults.push(format!(
                    "missed {} {:?} in {:?}",
                    label.kind,
                    shown(label.start, label.end),
                    labelled.text
                ));
            }
        }
        for span in &masked.spans {
            score.found.0 += 1;
            let overlap = |l: &Label| span.end.min(l.end).saturating_sub(span.start.max(l.start));
            match labelled
                .labels
                .iter()
                .max_by_key(|l| overlap(l))
                .filter(|l| 2 * overlap(l) >= span.end - span.start)
            {
                Some(label) => {
                    score.found.1 += 1;
                    score.typed.0 += 1;
                    score.typed.1 += usize::from(label.kind == span.kind.name());
                }
                None => score.faults.push(format!(
                    "damaged {} {:?} ({}) in {:?}",
                    span.kind.name(),
                    shown(span.start, span.end),
                    span.rule,
                    labelled.text
                )),
            }
        }
        if labelled.labels.is_empty() {
            let altered = usize::from(!masked.spans.is_empty());
            score.clean = (score.clean.0 + 1, score.clean.1 + altered);
            if labelled.category.ends_with("lookalike") {
                score.lookalikes = (score.lookalikes.0 + 1, score.lookalikes.1 + altered);
            }
        }
        if labelled.text.starts_with(['{', '[']) && parses(&labelled.text) {
            score.json = (score.json.0 + 1, score.json.1 + usize::from(!parses(&masked.text)));
        }
    }
    score
}

fn parses(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok()
}

/// Whether of a value no more than four characters in a row or half of it stays (a third of a
/// secret), and nothing of an address's local part but its first letter.
fn is_caught(label: &Label, chars: &[char], spans: &[Span]) -> bool {
    let allowed = |length: usize| match label.kind.as_str() {
        "EMAIL" => 1,
        "JWT" | "AWS_KEY" | "GITHUB_TOKEN" | "PRIVATE_KEY" | "API_KEY_GENERIC"
        | "URL_CREDENTIALS" => (length / 3).max(4),
        _ => (length / 2).max(4),
    };
    let local = match label.kind.as_str() {
        "EMAIL" => chars[label.start..label.end]
            .iter()
            .position(|c| matches!(c, '@' | '\u{FF20}'))
            .map_or(label.end, |at| label.start + at),
        _ => label.end,
    };
    let mut run = 0;
    let mut longest = 0;
    for (at, c) in chars.iter().enumerate().take(local).skip(label.start) {
        if spans.iter().any(|s| (s.start..s.end).contains(&at)) {
            run = 0;
        } else if c.is_alphanumeric() {
            run += 1;
            longest = longest.max(run);
        }
    }
    let length = chars[label.start..label.end].iter().filter(|c| c.is_alphanumeric()).count();
    // All of a short value is more than half of it.
    longest <= allowed(length) && longest < length
}
