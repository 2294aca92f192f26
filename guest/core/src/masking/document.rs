//! Texts with a structure: JSON, lines of JSON, tables of comma-separated values. Each value is
//! masked by itself, under its name; what a neighbour is called says nothing about it.

use serde::de::IgnoredAny;

use super::fold::{Folded, Written, whole_number};
use super::scan::Notes;
use super::secrets;
use super::words::{Hit, Topic};

/// A value within a text.
pub(super) struct Segment {
    pub(super) start: usize,
    pub(super) end: usize,
    /// What its name says.
    pub(super) key: Option<Topic>,
    /// A bare number of JSON becomes a string, whole, if something is found in it.
    pub(super) written: Written,
}

/// The values of a text that has a structure.
pub(super) fn segments(text: &str) -> Option<Vec<Segment>> {
    let begins = text.trim_start().as_bytes().first().copied()?;
    if matches!(begins, b'{' | b'[') {
        return json(text);
    }
    table(text)
}

/// What a name says about its value: its last word that says anything.
pub(super) fn topic(name: &str) -> Option<Topic> {
    let folded = Folded::new(name, Written::Plain);
    let mut notes = Notes::default();
    notes.read(&folded.bytes);
    let scan = notes.scan(&folded.bytes, None);
    let says = |hit: &&Hit| {
        !matches!(
            hit.topic,
            Topic::Prefix
                | Topic::Pem
                | Topic::PemEnd
                | Topic::Jwt
                | Topic::Url
                | Topic::Bech32
                | Topic::Scheme
        )
    };
    // `wallet_address` is about a wallet.
    let telling = scan.hits.iter().rev().filter(|hit| hit.topic != Topic::Address).find(says);
    let hit = telling.or_else(|| scan.hits.iter().rev().find(says))?;
    match hit.topic {
        Topic::Secret => secrets::names_secret(&folded.bytes, hit.end).then_some(Topic::Secret),
        topic => Some(topic),
    }
}

/// Keys whose string names what a neighbour holds, and the neighbours.
const NAMES: [&str; 6] = ["name", "key", "label", "field", "question", "question_text"];
const VALUES: [&str; 4] = ["value", "values", "content", "answer"];

fn json(text: &str) -> Option<Vec<Segment>> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    if !values.by_ref().all(|value| value.is_ok()) {
        return None;
    }
    // It is JSON: from here on only its strings and brackets are looked at.
    let bytes = text.as_bytes();
    let mut segments = Vec::new();
    // For each open bracket: whether it is an object, and the name of what is in it.
    let mut open: Vec<(bool, Option<Topic>)> = Vec::new();
    // `{"name": "birth_date", "value": "..."}` names its value in a neighbour.
    let mut named: Option<Topic> = None;
    let mut names_value = false;
    let mut key: Option<Topic> = None;
    let mut naming = false;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b @ (b'{' | b'[') => {
                open.push((b == b'{', key));
                naming = b == b'{';
            }
            b'}' | b']' => {
                open.pop();
                named = None;
                naming = false;
            }
            b',' => {
                naming = open.last().is_some_and(|(object, _)| *object);
                key = open.last().and_then(|(_, key)| *key);
            }
            b':' => naming = false,
            b'"' => {
                let start = at + 1;
                at = start;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += 1 + usize::from(bytes[at] == b'\\');
                }
                let end = at.min(bytes.len());
                if naming {
                    let name = &text[start..end];
                    names_value = NAMES.contains(&name);
                    let told = if VALUES.contains(&name) { named } else { topic(name) };
                    key = told.or(open.last().and_then(|(_, key)| *key));
                    // A name can be personal too: `{"ann@example.com": 1}`.
                    segments.push(Segment { start, end, key: None, written: Written::Json });
                } else {
                    if names_value {
                        named = topic(&text[start..end]);
                    }
                    segments.push(Segment { start, end, key, written: Written::Json });
                }
            }
            b'-' | b'0'..=b'9' => {
                let start = at;
                while at < bytes.len()
                    && matches!(bytes[at], b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
                {
                    at += 1;
                }
                if whole_number(&bytes[start..at]).is_some() {
                    segments.push(Segment { start, end: at, key, written: Written::Number });
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Some(segments)
}

/// A table: a first line of names, and lines with as many cells.
fn table(text: &str) -> Option<Vec<Segment>> {
    let first = &text[..memchr::memchr(b'\n', text.as_bytes())?];
    // Names hold no digits; most first lines are told by that.
    let is_no_name = |b| matches!(b, b'0'..=b'9' | b'@' | b':');
    if first.len() > 2_000 || first.bytes().any(is_no_name) {
        return None;
    }
    let delimiter = [b',', b';', b'\t', b'|']
        .into_iter()
        .map(|d| (first.bytes().filter(|b| *b == d).count(), d))
        .max_by_key(|(count, _)| *count)
        .filter(|(count, _)| *count > 0)?
        .1;
    let names: Vec<&str> =
        cells(first.as_bytes(), 0, delimiter)?.iter().map(|(s, e)| first[*s..*e].trim()).collect();
    let named = |name: &&str| {
        let name = name.trim_matches('"');
        !name.is_empty() && name.len() <= 40
    };
    if names.len() < 2 || !names.iter().all(named) {
        return None;
    }
    let keys: Vec<Option<Topic>> = names.iter().map(|name| topic(name)).collect();
    let mut segments = Vec::new();
    let mut start = first.len() + 1;
    let mut rows = 0;
    for line in text[start..].split('\n') {
        let end = start + line.len();
        if !line.trim().is_empty() {
            let cells = cells(line.as_bytes(), start, delimiter)?;
            if cells.len() != names.len() {
                return None;
            }
            rows += 1;
            segments.extend(cells.into_iter().zip(&keys).map(|((start, end), key)| Segment {
                start,
                end,
                key: *key,
                written: Written::Plain,
            }));
        }
        start = end + 1;
    }
    (rows > 0).then_some(segments)
}

/// The cells of a line, quotes aside.
fn cells(line: &[u8], offset: usize, delimiter: u8) -> Option<Vec<(usize, usize)>> {
    let mut cells = Vec::new();
    let mut start = 0;
    let mut quoted = false;
    for (at, byte) in line.iter().enumerate() {
        match *byte {
            b'"' => quoted = !quoted,
            b if b == delimiter && !quoted => {
                cells.push((offset + start, offset + at));
                start = at + 1;
            }
            _ => {}
        }
    }
    cells.push((offset + start, offset + line.len()));
    (!quoted).then_some(cells)
}
