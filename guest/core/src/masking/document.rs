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
        // `phone_calls` are counted.
        Topic::Phone if is_amount(&folded.bytes[hit.end..]) => None,
        Topic::Secret => secrets::names_secret(&folded.bytes, hit.end).then_some(Topic::Secret),
        topic => Some(topic),
    }
}

fn is_amount(rest: &[u8]) -> bool {
    let word = rest.rsplit(|b| !b.is_ascii_alphabetic()).next().unwrap_or_default();
    [&b"calls"[..], b"count", b"usage", b"duration", b"minutes", b"seconds", b"total"]
        .iter()
        .any(|amount| word.eq_ignore_ascii_case(amount))
}

/// Keys whose string names what a neighbour holds, and the neighbours.
const NAMES: [&str; 15] = [
    "name",
    "key",
    "label",
    "field",
    "question",
    "question_text",
    "question_id",
    "slot",
    "slotname",
    "slot_name",
    "type",
    "system",
    "entity",
    "attribute",
    "parameter",
];
const VALUES: [&str; 13] = [
    "value",
    "values",
    "content",
    "answer",
    "slotvalue",
    "slot_value",
    "old",
    "new",
    "old_value",
    "new_value",
    "raw",
    "text",
    "display",
];
/// The most that stands under `text` and its like and is the value of a neighbour: more is prose.
const SHORT: usize = 40;

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// What a secret's parts are called that are none: `{"credentials": {"username": ...}}`.
const NO_SECRETS: [&str; 26] = [
    "name",
    "username",
    "user",
    "user_name",
    "login",
    "email",
    "type",
    "kind",
    "host",
    "hostname",
    "port",
    "issuer",
    "namespace",
    "expires",
    "expires_at",
    "expiry",
    "expires_in",
    "id",
    "url",
    "region",
    "scope",
    "scopes",
    "created",
    "created_at",
    "provider",
    "algorithm",
];

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
    // Values that stand before their name.
    let mut unnamed: Vec<usize> = Vec::new();
    let (mut holds_value, mut holds_prose) = (false, false);
    let mut key: Option<Topic> = None;
    let mut naming = false;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b @ (b'{' | b'[') => {
                open.push((b == b'{', key));
                naming = b == b'{';
                unnamed.clear();
            }
            b'}' | b']' => {
                open.pop();
                named = None;
                naming = false;
                unnamed.clear();
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
                    names_value = is_one_of(&NAMES, name);
                    holds_value = is_one_of(&VALUES, name);
                    holds_prose = is_one_of(&["text", "display", "raw"], name);
                    let above = open.last().and_then(|(_, key)| *key);
                    let told = if holds_value { named } else { topic(name) };
                    key = match (told, above) {
                        // A wallet's address.
                        (Some(Topic::Address), Some(Topic::Wallet)) => above,
                        (None, Some(Topic::Secret)) if is_one_of(&NO_SECRETS, name) => None,
                        // Whose software it is, its own name says.
                        (None, Some(Topic::Product)) => None,
                        _ => told.or(above),
                    };
                    // A name can be personal too: `{"ann@example.com": 1}`.
                    segments.push(Segment { start, end, key: None, written: Written::Json });
                } else {
                    let value = &text[start..end];
                    if names_value {
                        // What kind of a thing it is: a call has a number of its own.
                        named =
                            topic(value).filter(|_| !is_one_of(&["call", "calls", "sms"], value));
                        for index in unnamed.drain(..) {
                            segments[index].key = named;
                        }
                    }
                    let is_short = end - start <= SHORT;
                    if holds_value && named.is_none() && is_short {
                        unnamed.push(segments.len());
                    }
                    let key = if holds_prose && !is_short { None } else { key };
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
    let mut begins = 0;
    // `# export 2026-02-03`
    while text[begins..].starts_with('#') {
        begins += memchr::memchr(b'\n', &text.as_bytes()[begins..])? + 1;
    }
    let first = &text[begins..begins + memchr::memchr(b'\n', &text.as_bytes()[begins..])?];
    // Names are no numbers and no sentences; most first lines are told by that.
    let is_no_name = |b: &u8| matches!(b, b'@' | b':');
    let bytes = first.as_bytes();
    let has_number = || bytes.windows(3).any(|three| three.iter().all(u8::is_ascii_digit));
    if bytes.len() > 2_000
        || bytes.trim_ascii_end().ends_with(b".")
        || bytes.iter().any(is_no_name)
        || has_number()
    {
        return None;
    }
    let delimiter = [b',', b';', b'\t', b'|']
        .into_iter()
        .map(|d| (first.bytes().filter(|b| *b == d).count(), d))
        .max_by_key(|(count, _)| *count)
        .filter(|(count, _)| *count > 0)?
        .1;
    let names: Vec<&str> = cells(first.as_bytes(), 0, delimiter)?
        .iter()
        .map(|(s, e)| first[*s..*e].trim().trim_start_matches('\u{feff}'))
        .collect();
    let named = |name: &&str| {
        let name = name.trim_matches('"');
        let digits = name.bytes().filter(u8::is_ascii_digit).count();
        name.starts_with(|c: char| c.is_alphabetic() || c == '_') && digits <= 2 && name.len() <= 40
    };
    if names.len() < 2 || !names.iter().all(named) {
        return None;
    }
    let keys: Vec<Option<Topic>> = names.iter().map(|name| topic(name)).collect();
    let mut segments = Vec::new();
    let mut start = begins + first.len() + 1;
    let (mut rows, mut ragged) = (0, 0);
    if begins > 0 {
        segments.push(Segment { start: 0, end: begins, key: None, written: Written::Plain });
    }
    for line in text[start..].split('\n') {
        let end = start + line.len();
        if !line.trim().is_empty() {
            let cells = cells(line.as_bytes(), start, delimiter)?;
            // What is too much, or too little, is still where it is.
            ragged += usize::from(cells.len() != names.len());
            rows += 1;
            let keys = keys.iter().copied().chain(std::iter::repeat(None));
            segments.extend(cells.into_iter().zip(keys).map(|((start, end), key)| Segment {
                start,
                end,
                key,
                written: Written::Plain,
            }));
        }
        start = end + 1;
    }
    // Lines of prose have commas too; what is called by a name that says something is no prose.
    let is_table = match keys.iter().any(Option::is_some) {
        true => rows > 0 && ragged * 2 <= rows && (rows > 1 || ragged == 0),
        false => rows > 1 && ragged == 0,
    };
    is_table.then_some(segments)
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
