//! What follows a word for a secret, or stands under a name for one; and what only looks as if it were one: names,
//! prose, placeholders.

use std::borrow::Cow;

use super::super::scan::{Scan, wordy, wordy_before};
use super::super::{Candidate, Kind, Reason};
use super::is_dashed;

/// The value after a word for a secret.
pub(super) fn named(scan: &Scan, start: usize, from: usize, found: &mut Vec<Candidate>) {
    let bytes = scan.bytes;
    // `public key`, `primary key` never match; `max_tokens` and `cancellation token` are told by what
    // follows.
    let mut at = from;
    let rest = bytes[at..].iter().take(40).take_while(|b| is_dashed(**b)).count();
    if is_other(&bytes[at..at + rest])
        || bytes[at..at + rest] == *b"s" && bytes[start..from].eq_ignore_ascii_case(b"token")
    {
        return;
    }
    let flag =
        bytes[start..from].ends_with(b"-p") || bytes[start..from].eq_ignore_ascii_case(b"sshpass");
    at += rest;
    // The end of a quoted or bracketed name.
    while at - from < 48 && matches!(bytes.get(at), Some(b'"' | b'\'' | b']' | b')' | b'`')) {
        at += 1;
    }
    let blanks = |at: usize| {
        at + bytes[at.min(bytes.len())..]
            .iter()
            .take(8)
            .take_while(|b| matches!(b, b' ' | b'\t'))
            .count()
    };
    let gap = at;
    at = blanks(at);
    let said = match bytes.get(at) {
        Some(b':' | b'=' | b'>') => {
            at += 1;
            while matches!(bytes.get(at), Some(b'=' | b'>' | b':')) {
                at += 1;
            }
            Said::Sign
        }
        // `define('DB_PASSWORD', 'x')`
        Some(b',') if at > from && matches!(bytes.get(blanks(at + 1)), Some(b'"' | b'\'')) => {
            at += 1;
            Said::Sign
        }
        Some(b'-') if bytes.get(at + 1) == Some(&b'>') => {
            at += 2;
            Said::Sign
        }
        Some(_) if flag && (at > gap || bytes[start..from].ends_with(b"-p")) => Said::Sign,
        Some(b)
            if at > gap && (b.is_ascii_alphabetic() || *b >= 0x80 || *b == b'"' || *b == b'\'') =>
        {
            // `password is X`, `password for the portal is X`, `password X1!`
            match verb(bytes, at) {
                Some(next) => {
                    at = next;
                    Said::Word
                }
                None => Said::Bare,
            }
        }
        // Scripts without blanks go on with the verb: `密码是 x`.
        Some(0xE0..) => {
            at += bytes[at..].iter().take(12).take_while(|b| **b >= 0x80).count();
            if let Some(b':' | b'=') = bytes.get(at) {
                at += 1
            }
            Said::Word
        }
        Some(b) if at > gap && b.is_ascii_digit() => Said::Bare,
        _ => return,
    };
    at = blanks(at);
    if said == Said::Sign && scan.byte(at) == Some(b'\n') {
        return;
    }
    // Where the word and its value are set apart by such blanks, they set apart what follows too.
    let inner = said == Said::Sign && !(from..at).any(|at| scan.is_inner(at));
    let Some((start_of_value, end)) = value(bytes, at, |at| inner && scan.is_inner(at)) else {
        return;
    };
    // `Authorization: Bearer x` and `token: Bearer x` are found by their scheme.
    let mut text = Cow::Borrowed(&bytes[start_of_value..end]);
    let quoted = start_of_value > at;
    if inner {
        // What is written `%20` is a sign within a word.
        for at in (start_of_value..end).filter(|at| scan.is_inner(*at)) {
            text.to_mut()[at - start_of_value] = b'+';
        }
    }
    let token = bytes[start..from].eq_ignore_ascii_case(b"token");
    if !is_secret(&text, said, quoted, token, ends_field(bytes, end)) {
        return;
    }
    let aws = text.len() == 40
        && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
        && bytes[start.saturating_sub(8)..from + rest]
            .windows(3)
            .any(|w| w.eq_ignore_ascii_case(b"aws") || w.eq_ignore_ascii_case(b"acc"));
    let kind = if aws { Kind::AwsKey } else { Kind::ApiKeyGeneric };
    found.push(Candidate {
        kind,
        rule: "secret.word",
        reason: Reason::Word,
        start: start_of_value,
        end,
    });
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// `:` or `=`
    Sign,
    /// `is`
    Word,
    /// Nothing between.
    Bare,
}

/// Past `is`, `was`, `set to`, which may be some words away (`for the portal is`).
fn verb(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    for _ in 0..6 {
        let length = bytes[at..]
            .iter()
            .take(24)
            .take_while(|b| {
                b.is_ascii_alphabetic() || **b >= 0x80 || matches!(b, b'\'' | b'=' | b':')
            })
            .count();
        let word = &bytes[at..at + length];
        if length == 0 || bytes.get(at + length) != Some(&b' ') && !word.ends_with(b":") {
            return None;
        }
        if is_other(word) || word.eq_ignore_ascii_case(b"and") || word.eq_ignore_ascii_case(b"or") {
            return None;
        }
        let next = at + length + usize::from(bytes.get(at + length) == Some(&b' '));
        if is_verb(word) || word.ends_with(b":") {
            return Some(next);
        }
        at = next;
    }
    None
}

fn is_verb(word: &[u8]) -> bool {
    // In Latin letters the longest has six.
    if word.len() > 6 && word[0].is_ascii() {
        return false;
    }
    let mut lower = [0; 16];
    let Some(lower) = lower.get_mut(..word.len()) else { return false };
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    let Ok(lower) = std::str::from_utf8(lower) else { return false };
    matches!(
        lower,
        "is" | "was"
            | "ist"
            | "est"
            | "es"
            | "é"
            | "è"
            | "to"
            | "are"
            | "lautet"
            | "jest"
            | "är"
            | "er"
            | "je"
            | "là"
            | "это"
            | "είναι"
            | "هي"
            | "هو"
            | "היא"
            | "คือ"
            | "является"
            | "="
            | ":"
    )
}

/// Whether a name's rest makes it another thing's: one of its words does, also within `tokenId`.
fn is_other(rest: &[u8]) -> bool {
    let mut start = 0;
    let mut last_lower = false;
    for (at, byte) in rest.iter().enumerate() {
        let ends = !byte.is_ascii_alphanumeric() && *byte < 0x80;
        if (ends || last_lower && byte.is_ascii_uppercase()) && is_other_word(&rest[start..at]) {
            return true;
        }
        if ends {
            start = at + 1;
        } else if last_lower && byte.is_ascii_uppercase() {
            start = at;
        }
        last_lower = byte.is_ascii_lowercase();
    }
    is_other_word(&rest[start..])
}

/// What follows in a name and makes it the name of something else: `token_id`, `password policy`.
#[rustfmt::skip]
fn is_other_word(word: &[u8]) -> bool {
    let mut lower = [0; 12];
    let Some(lower) = lower.get_mut(..word.len()) else { return false };
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    // The compiler tells these apart by length first.
    matches!(
        &*lower,
        b"id" | b"ids" | b"name" | b"names" | b"type" | b"types" | b"count" | b"counts"
            | b"length" | b"policy" | b"policies" | b"expiry" | b"expires" | b"expired"
            | b"expiration" | b"expire" | b"hint" | b"ttl" | b"age" | b"url" | b"uri"
            | b"endpoint" | b"version" | b"bucket" | b"limit" | b"limits" | b"usage" | b"reset"
            | b"resets" | b"field" | b"fields" | b"hash" | b"fingerprint" | b"rotation"
            | b"rotated" | b"manager" | b"vault" | b"store" | b"path" | b"file" | b"invalid"
            | b"valid" | b"lifetime" | b"scope" | b"scopes" | b"issuer" | b"audience" | b"format"
            | b"size" | b"strength" | b"change" | b"changed" | b"created" | b"updated" | b"at"
            | b"date" | b"status" | b"state" | b"ring" | b"based" | b"less" | b"ized" | b"izer"
            | b"ization" | b"budget" | b"algorithm" | b"alg" | b"provider" | b"service"
            | b"server" | b"protection" | b"prompt" | b"page" | b"link" | b"email" | b"attempts"
            | b"attempt" | b"retries" | b"failures" | b"per" | b"missing" | b"required" | b"owner"
            | b"label" | b"description" | b"source" | b"mode" | b"enabled" | b"validation"
            | b"complexity" | b"history"
    )
}

/// The range of a value: within quotes, or up to what ends a word. Blanks end it but where `is_inner`.
fn value(bytes: &[u8], at: usize, is_inner: impl Fn(usize) -> bool) -> Option<(usize, usize)> {
    let first = *bytes.get(at)?;
    if matches!(first, b'"' | b'\'' | b'`') {
        let inside = bytes[at + 1..].iter().take(1_024).position(|b| *b == first || *b == b'\n');
        if let Some(length) = inside
            && bytes[at + 1 + length] == first
        {
            return (length > 0).then_some((at + 1, at + 1 + length));
        }
    }
    let start = at + usize::from(matches!(first, b'"' | b'\'' | b'`'));
    let length = bytes[start..]
        .iter()
        .zip(start..)
        .take(4_096)
        .take_while(|(b, at)| match b {
            b' ' | b'\n' | b'\r' | b'\t' => is_inner(*at),
            b => !matches!(b, b'"' | b'\'' | b'<' | b'>' | b';' | b'`' | b'&' | b'|'),
        })
        .count();
    let mut end = start + length;
    while end > start && matches!(bytes[end - 1], b',' | b'.' | b')' | b']' | b'}' | b'\\' | b':') {
        end -= 1;
    }
    (end > start).then_some((start, end))
}

/// Nothing but the end of a line, a field or a sentence follows.
fn ends_field(bytes: &[u8], end: usize) -> bool {
    !matches!(bytes.get(end), Some(b' '))
        || bytes.get(end + 1).is_none_or(|b| matches!(b, b'\n' | b'|' | b'}' | b')'))
}

fn is_secret(text: &[u8], said: Said, quoted: bool, token: bool, ends: bool) -> bool {
    looks_secret(text, said, quoted, token, ends) && !is_placeholder(text)
}

fn looks_secret(text: &[u8], said: Said, quoted: bool, token: bool, ends: bool) -> bool {
    if text.len() < 4 {
        return false;
    }
    let digits = text.iter().filter(|b| b.is_ascii_digit()).count();
    let letters = text.iter().filter(|b| b.is_ascii_alphabetic() || **b >= 0x80).count();
    let signs = text.len() - digits - letters;
    let inner_upper = text[1..].iter().any(u8::is_ascii_uppercase);
    let lower = text.iter().any(u8::is_ascii_lowercase);
    let blanks = text.contains(&b' ');
    if blanks && !(quoted && said == Said::Sign) {
        return false;
    }
    // `token: 12`, a count; a version; a date is nobody's token.
    if token && (text.len() < 8 || digits == text.len() && text.len() < 16) {
        return false;
    }
    let mixed =
        digits > 0 && letters > 0 || inner_upper && lower && letters >= 6 && !is_camel(text);
    match said {
        Said::Sign => {
            if mixed || digits == text.len() || signs > 0 && !is_prose(text) {
                return true;
            }
            // Letters alone: a password if that is all that stands there.
            !token && (quoted || ends) && !blanks && letters >= 4
        }
        Said::Word => {
            digits > 0 && (letters > 0 || digits >= 4)
                || mixed
                || signs > 0 && letters > 2 && !is_prose(text)
        }
        Said::Bare => {
            digits > 0
                && letters > 0
                && (signs > 0 || inner_upper || quoted)
                && text.len() >= 6
                && !is_name(text)
        }
    }
}

/// `camelCase` and `PascalCase`: a name, not a secret.
fn is_camel(text: &[u8]) -> bool {
    let uppers = text.iter().filter(|b| b.is_ascii_uppercase()).count();
    text.iter().all(u8::is_ascii_alphabetic) && uppers * 4 <= text.len() && text.len() < 24
}

/// Words joined by dashes, apostrophes or slashes, a path, a function call.
fn is_prose(text: &[u8]) -> bool {
    text.iter().all(|b| {
        b.is_ascii_alphabetic()
            || matches!(b, b'-' | b'\'' | b'/' | b'_' | b'.' | b',' | b' ' | b'(' | b')' | b':')
    }) || text.ends_with(b"()")
}

/// `TICKET-1234`, `v2.1`, `RFC6749`.
fn is_name(text: &[u8]) -> bool {
    let upper = text.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'-');
    upper && text.contains(&b'-') || text.len() < 6
}

/// Stands for a value: masked already, a variable, a word for "none".
pub(super) fn is_placeholder(text: &[u8]) -> bool {
    #[rustfmt::skip]
    const NONE: &[&str] = &[
        "null", "none", "nil", "true", "false", "undefined", "required", "expired", "invalid",
        "incorrect", "missing", "wrong", "unknown", "changeme", "example", "placeholder",
        "redacted", "masked", "hidden", "secret", "password", "string", "todo", "empty", "blank",
        "optional", "rejected", "accepted", "valid", "locked", "here", "below", "above", "reset",
        "changed", "updated", "revoked", "rotated", "disabled", "enabled", "issued", "generated",
        "stored", "sent", "provided", "needed", "refused", "denied", "failed", "bearer", "basic",
        "token", "value", "please", "same", "that", "this", "with", "from", "when", "yes", "not",
        "the", "your", "their", "must", "will", "cannot", "does", "should", "unset", "default",
        "text", "number", "object", "boolean", "integer", "username", "prompt", "encrypted",
        "not_set", "notset", "n/a", "tbd", "confidential", "private", "removed", "omitted",
        "filtered", "[filtered]", "user", "admin's", "ok", "successful", "successfully",
    ];
    let lower = text.to_ascii_lowercase();
    let starts = |prefix: &str| lower.starts_with(prefix.as_bytes());
    matches!(text[0], b'<' | b'[' | b'{' | b'(' | b'*' | b'%')
        || starts("$")
            && text[1..].iter().all(|b| {
                b.is_ascii_uppercase()
                    || b.is_ascii_digit()
                    || matches!(b, b'_' | b'{' | b'}' | b'(' | b')' | b'.' | b':' | b'-')
                    || b.is_ascii_lowercase() && text.get(1) == Some(&b'{')
            })
        || [
            "your",
            "xxx",
            "example",
            "env:",
            "file:",
            "vault:",
            "process.env",
            "os.environ",
            "secrets.",
            "changeme",
            "change-me",
            "change_me",
            "dummy",
            "insert",
            "redacted",
            "...",
            "…",
            "http://",
            "https://",
            "env.",
            "getenv",
            "arn:",
        ]
        .iter()
        .any(|p| starts(p))
        || NONE.iter().any(|word| lower == word.as_bytes())
        || text[0] == b'!' && is_prose(&text[1..])
        || text.iter().all(|b| *b == text[0])
        || text.windows(3).any(|w| w == b"***")
        || text.windows(2).any(|w| w == b"{{" || w == b"}}")
        || lower.ends_with(b"_here")
        || lower.ends_with(b"-here")
        || lower.ends_with(b"here>")
}

/// A credential after its scheme.
pub(super) fn scheme(scan: &Scan, from: usize, found: &mut Vec<Candidate>) {
    let bytes = scan.bytes;
    if bytes.get(from) != Some(&b' ') {
        return;
    }
    let at = from + 1;
    let Some((start, end)) = value(bytes, at, |_| false) else { return };
    let text = &bytes[start..end];
    let shape = text.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(b));
    let digits = text.iter().any(u8::is_ascii_digit);
    let mixed =
        text[1..].iter().any(u8::is_ascii_uppercase) && text.iter().any(u8::is_ascii_lowercase);
    if text.len() >= 8
        && shape
        && (digits || mixed && text.len() >= 12)
        && !is_placeholder(text)
        && !is_name(text)
    {
        found.push(Candidate {
            kind: Kind::ApiKeyGeneric,
            rule: "secret.scheme",
            reason: Reason::Word,
            start,
            end,
        });
    }
}

const SCHEMES: [&[u8]; 2] = [b"bearer ", b"basic "];

/// A value whose own name says that it is a secret.
pub(super) fn whole(scan: &Scan, found: &mut Vec<Candidate>) {
    let bytes = scan.bytes;
    let start = bytes.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0);
    let end = bytes.iter().rposition(|b| !b.is_ascii_whitespace()).map_or(0, |i| i + 1);
    if start >= end || is_placeholder(&bytes[start..end]) {
        return;
    }
    let text = &bytes[start..end];
    let scheme =
        SCHEMES.iter().find(|s| text.get(..s.len()).is_some_and(|t| t.eq_ignore_ascii_case(s)));
    let start = start + scheme.map_or(0, |s| s.len());
    // A sentence about a secret is none.
    let words = bytes[start..end].iter().filter(|b| **b == b' ').count();
    if start < end && words < 4 && end - start >= 3 && !is_placeholder(&bytes[start..end]) {
        found.push(Candidate {
            kind: Kind::ApiKeyGeneric,
            rule: "secret.key",
            reason: Reason::Word,
            start,
            end,
        });
    }
}

/// Whether a name names a secret, given where the word for it ends.
pub(in crate::masking) fn names_secret(name: &[u8], end: usize) -> bool {
    !is_other(&name[end..])
        && !wordy_before(name, 0)
        && name.iter().all(|b| wordy(*b) || matches!(b, b'-' | b' ' | b'.' | b':') || *b >= 0x80)
}
