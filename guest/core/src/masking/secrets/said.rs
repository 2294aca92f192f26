//! What follows a word for a secret, or stands under a name for one; and what only looks as if it were one: names,
//! prose, placeholders.

use std::borrow::Cow;

use super::super::digits::is_ticket;
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
    if is_other(&bytes[at..at + rest], is_other_name)
        || bytes[at..at + rest] == *b"s" && bytes[start..from].eq_ignore_ascii_case(b"token")
    {
        return;
    }
    let flag =
        bytes[start..from].ends_with(b"-p") || bytes[start..from].eq_ignore_ascii_case(b"sshpass");
    at += rest;
    // The end of a quoted or bracketed name.
    while at - from < 48
        && matches!(bytes.get(at), Some(b'"' | b'\'' | b']' | b')' | b'`'))
        && !bytes[at..].starts_with(b"'s ")
    {
        at += 1;
    }
    let blanks = |at: usize| {
        at + bytes[at.min(bytes.len())..]
            .iter()
            .take(8)
            .take_while(|b| matches!(b, b' ' | b'\t'))
            .count()
    };
    // `secretsmanager:eu-west-1:123456789012:secret:name`
    if scan.byte_before(start) == Some(b':') && is_in_arn(bytes, start) {
        return;
    }
    let unmarked = at;
    at = past_markup(bytes, at);
    // `<td>API key</td><td>`, `name="api_key" value="..."`
    let cell = bytes[unmarked..at].windows(5).any(|w| w == b"><td>" || w == b"</td>");
    let gap = at;
    at = blanks(at);
    let beside = beside(bytes, at);
    // `API key (prod): x`
    let mut within = false;
    if bytes.get(at) == Some(&b'(') {
        let close = bytes[at..].iter().take(24).position(|b| *b == b')');
        match close.map(|close| blanks(at + close + 1)) {
            Some(after) if matches!(bytes.get(after), Some(b':' | b'=')) => at = after,
            _ => {
                at += 1;
                within = true;
            }
        }
    }
    let mut compares = false;
    let said = match bytes.get(at) {
        Some(_) if within => Said::Bare,
        _ if beside.is_some() => {
            at = beside.unwrap_or(at);
            Said::Sign
        }
        Some(_) if cell => Said::Sign,
        // `new password's X`
        Some(b'\'') if bytes[at..].starts_with(b"'s ") => {
            at += 3;
            Said::Word
        }
        Some(b':' | b'=' | b'>') => {
            let sign = at;
            at += 1;
            while matches!(bytes.get(at), Some(b'=' | b'>' | b':')) {
                at += 1;
            }
            compares = bytes[sign..at].starts_with(b"==");
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
            if at > gap
                && (b.is_ascii_alphabetic() || *b >= 0x80 || matches!(b, b'"' | b'\'' | b'`')) =>
        {
            // `password is X`, `password for the portal is X`, `password X1!`
            let polish =
                bytes[start..from].get(..3).is_some_and(|b| b.eq_ignore_ascii_case(b"has"));
            match verb(bytes, at, polish || is_set(bytes, start)) {
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
    if said == Said::Sign {
        at = blanks(past_markup(bytes, at));
        at = block(bytes, at).unwrap_or(at);
    }
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
    // `https://<token>@host`
    let is_host = bytes[start_of_value] == b'@' && bytes[at - 1] == b'>';
    if is_host || (compares || is_reference(&text)) && !quoted || is_no_value(&text, said) {
        return;
    }
    let phrase =
        quoted && said == Said::Sign && bytes[start..from].eq_ignore_ascii_case(b"passphrase");
    let season = said == Said::Bare && is_season(&bytes[start..from], &text);
    if (phrase || season) && !is_placeholder(&text) {
        let (kind, rule, reason) = (Kind::ApiKeyGeneric, "secret.word", Reason::Word);
        found.push(Candidate { kind, rule, reason, start: start_of_value, end });
        return;
    }
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

/// Past what makes a word bold or a value code: `**`, `</strong>`, `<code>`.
fn past_markup(bytes: &[u8], mut at: usize) -> usize {
    const TAGS: [&[u8]; 14] = [
        b"b", b"i", b"u", b"p", b"em", b"td", b"tt", b"br", b"pre", b"kbd", b"div", b"code",
        b"span", b"strong",
    ];
    for _ in 0..4 {
        match bytes.get(at) {
            Some(b'*') if bytes.get(at + 1) == Some(&b'*') && bytes.get(at + 2) != Some(&b'*') => {
                at += 2
            }
            Some(b'<') => {
                let Some(close) = bytes[at..].iter().take(24).position(|b| *b == b'>') else {
                    break;
                };
                let tag = &bytes[at + 1..at + close];
                let tag = tag.strip_prefix(b"/").unwrap_or(tag);
                let name = tag.split(|b| !b.is_ascii_alphabetic()).next().unwrap_or_default();
                if !TAGS.iter().any(|known| name.eq_ignore_ascii_case(known)) {
                    break;
                }
                at += close + 1;
            }
            Some(b' ') if matches!(bytes.get(at + 1), Some(b'<' | b'*')) => at += 1,
            _ => break,
        }
    }
    at
}

/// `set the password to X`: there `to` is what `is` is elsewhere.
fn is_set(bytes: &[u8], start: usize) -> bool {
    let before = &bytes[start.saturating_sub(24)..start];
    let words = before.split(|b| !b.is_ascii_alphabetic()).filter(|word| !word.is_empty()).rev();
    let sets = [&b"set"[..], b"change", b"reset", b"update"];
    words.take(3).any(|word| sets.iter().any(|known| word.eq_ignore_ascii_case(known)))
}

fn is_in_arn(bytes: &[u8], start: usize) -> bool {
    let before = &bytes[start.saturating_sub(96)..start];
    let token = before.rsplit(|b| matches!(b, b' ' | b'"' | b'\'' | b'\n' | b'=')).next();
    token.is_some_and(|token| token.starts_with(b"arn:"))
}

/// Where the value stands that a neighbour names: in another attribute of a tag, in the next line of a mapping.
fn beside(bytes: &[u8], from: usize) -> Option<usize> {
    const REACH: usize = 64;
    let rest = &bytes[from..bytes.len().min(from + REACH)];
    // In prose another word follows: nothing is looked for then.
    if rest.first().is_some_and(u8::is_ascii_alphanumeric) && !rest.starts_with(b"value") {
        return None;
    }
    let lines = |upto: &[u8]| upto.iter().filter(|b| **b == b'\n').count();
    let names = [&b"value="[..], b"content=", b"value: ", b"default = ", b"value = "];
    names.iter().find_map(|name| {
        let at = memchr::memmem::find(rest, name)?;
        let between = &rest[..at];
        let in_tag = name.ends_with(b"=")
            && lines(between) == 0
            && !between.contains(&b'>')
            && (between.is_empty() || between.ends_with(b" "))
            && between.iter().all(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b' ' | b'=' | b'"' | b'\'' | b'-')
            });
        let in_block = !name.ends_with(b"=")
            && lines(between) == 1
            && between.iter().all(|b| b.is_ascii_whitespace() || *b == b'{');
        (in_tag || in_block).then_some(from + at + name.len())
    })
}

/// The first word of what YAML writes below: `>-` and an end of a line, `|` and one.
fn block(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    // The sign in front may have taken the `>`.
    let rest = rest.strip_prefix(b">").or(rest.strip_prefix(b"|")).unwrap_or(rest);
    let rest = rest.strip_prefix(b"-").or(rest.strip_prefix(b"+")).unwrap_or(rest);
    let mark = bytes.len() - rest.len();
    let marked = mark > at || bytes[at - 1] == b'>';
    let rest = rest.strip_prefix(b"\n")?;
    let indent = rest.iter().take(16).take_while(|b| **b == b' ').count();
    (marked && indent > 0).then_some(mark + 1 + indent)
}

/// `var.db_password`, `request.form["x"]`: where a program has it from.
fn is_reference(text: &[u8]) -> bool {
    const FROM: [&[u8]; 24] = [
        b"var",
        b"local",
        b"module",
        b"data",
        b"settings",
        b"self",
        b"this",
        b"args",
        b"import",
        b"request",
        b"req",
        b"config",
        b"cfg",
        b"conf",
        b"env",
        b"options",
        b"opts",
        b"params",
        b"props",
        b"resp",
        b"response",
        b"ctx",
        b"credentials",
        b"each",
    ];
    let mut parts = text.split(|b| *b == b'.');
    let first = parts.next().unwrap_or_default();
    let known = FROM.contains(&first)
        || [&b"aws_"[..], b"random_", b"azurerm_", b"google_"].iter().any(|p| first.starts_with(p));
    let is_name = |part: &[u8]| {
        part.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
            && part.iter().all(|b| b.is_ascii_alphanumeric() || b"_[]()".contains(b))
    };
    let mut count = 0;
    known && parts.inspect(|_| count += 1).all(is_name) && count > 0
}

/// What stands where a value could, and is none: a day, a ticket's number, a path, a call in a program.
fn is_no_value(text: &[u8], said: Said) -> bool {
    let is_day = matches!(text, [a, b, c, d, b'-', e, f, b'-', g, h, ..]
        if [a, b, c, d, e, f, g, h].iter().all(|b| b.is_ascii_digit()));
    let is_path = text.iter().filter(|b| **b == b'/').count() >= 2
        && text.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"/-_.".contains(b));
    let call = text.iter().position(|b| *b == b'(').is_some_and(|open| {
        open > 2
            && text[..open]
                .iter()
                .all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'.' | b':'))
            && text[open..].iter().all(|b| b.is_ascii_alphabetic() || b"_.,()".contains(b))
    });
    let kind = [&b"VARCHAR("[..], b"CHAR(", b"NVARCHAR(", b"VARBINARY("];
    let is_type = kind
        .iter()
        .any(|kind| text.get(..kind.len()).is_some_and(|t| t.eq_ignore_ascii_case(kind)));
    let keys = [&b"Ctrl+"[..], b"Strg+", b"Alt+"];
    let is_keys = keys.iter().any(|key| text.starts_with(key));
    is_ticket(text)
        || call
        || is_type
        || is_keys
        || text.ends_with(b"-based")
        || said != Said::Sign && is_day
        || said == Said::Bare && is_path
}

/// `password Summer2026 does not work`
fn is_season(word: &[u8], text: &[u8]) -> bool {
    let named = [&b"password"[..], b"passwd", b"pwd", b"passwort"];
    let letters = text.iter().take_while(|b| b.is_ascii_alphabetic()).count();
    let digits = text[letters..].iter().take_while(|b| b.is_ascii_digit()).count();
    named.iter().any(|name| word.eq_ignore_ascii_case(name))
        && letters >= 4
        && text[0].is_ascii_uppercase()
        && text[1..letters].iter().all(u8::is_ascii_lowercase)
        && (2..=4).contains(&digits)
        && text.len() <= letters + digits + 1
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

/// Past `is`, `was`, `set to`, which may be some words away (`for the portal is`), or in the next sentence (`. It was`).
/// In Polish `to` is one, and where something is set to it.
fn verb(bytes: &[u8], from: usize, to: bool) -> Option<usize> {
    let mut at = from;
    let mut whose = false;
    for _ in 0..6 {
        let length = bytes[at..]
            .iter()
            .take(24)
            .take_while(|b| {
                b.is_ascii_alphabetic() || **b >= 0x80 || matches!(b, b'\'' | b'=' | b':')
            })
            .count();
        let word = &bytes[at..at + length];
        if length > 0 && bytes[at + length..].starts_with(b". It ") {
            at += length + 5;
            continue;
        }
        if length == 0 || bytes.get(at + length) != Some(&b' ') && !word.ends_with(b":") {
            return None;
        }
        let next = at + length + usize::from(bytes.get(at + length) == Some(&b' '));
        // `changed to X`
        let turns = [&b"set"[..], b"reset", b"changed", b"updated"];
        if turns.iter().any(|turn| word.eq_ignore_ascii_case(turn))
            && bytes[next..].starts_with(b"to ")
        {
            return Some(next + 3);
        }
        if is_other(word, is_other_word)
            || word.eq_ignore_ascii_case(b"and")
            || word.eq_ignore_ascii_case(b"or")
            || !whose && word.strip_suffix(b":").is_some_and(|word| is_other(word, is_other_name))
        {
            return None;
        }
        // `for the new user: X`
        whose |= word.eq_ignore_ascii_case(b"for") || word.eq_ignore_ascii_case(b"of");
        if is_verb(word) || word.ends_with(b":") || to && word.eq_ignore_ascii_case(b"to") {
            return Some(past_adverbs(bytes, next));
        }
        at = next;
    }
    None
}

/// `now X`, `changed to X`
fn past_adverbs(bytes: &[u8], mut at: usize) -> usize {
    const ADVERBS: [&[u8]; 8] = [
        b"now ",
        b"still ",
        b"currently ",
        b"been ",
        b"set to ",
        b"changed to ",
        b"reset to ",
        b"updated to ",
    ];
    for _ in 0..3 {
        match ADVERBS.iter().find(|adverb| bytes[at..].starts_with(adverb)) {
            Some(adverb) => at += adverb.len(),
            None => break,
        }
    }
    at
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
            | "be"
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
fn is_other(rest: &[u8], is_other_word: fn(&[u8]) -> bool) -> bool {
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

/// What in a name makes it the name of something else, and in a sentence says nothing.
fn is_other_name(word: &[u8]) -> bool {
    is_other_word(word)
        || [
            &b"last"[..],
            b"set",
            b"used",
            b"never",
            b"user",
            b"region",
            b"expiring",
            b"arn",
            "ändern".as_bytes(),
        ]
        .iter()
        .any(|other| word.eq_ignore_ascii_case(other))
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
    if blanks && !(quoted && (said == Said::Sign || said == Said::Word && digits > 0)) {
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
        "unchanged", "synced", "replaceme", "zurückgesetzt", "réinitialisé", "abgelaufen", "expiré",
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
            "replace_",
            "replace-",
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
    // `bearer bonds2030`
    let word = text.iter().take_while(|b| b.is_ascii_lowercase()).count();
    let prose = word >= 4
        && text.len() - word <= 4
        && text[word..].iter().all(u8::is_ascii_digit)
        && bytes[from - 1].is_ascii_lowercase();
    if text.len() >= 8
        && !prose
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
    let is_count = matches!(name[end..], [b's' | b'S'])
        && name[..end].to_ascii_lowercase().ends_with(b"token");
    !is_count
        && !is_other(&name[end..], is_other_name)
        && !wordy_before(name, 0)
        && name.iter().all(|b| wordy(*b) || matches!(b, b'-' | b' ' | b'.' | b':') || *b >= 0x80)
}
