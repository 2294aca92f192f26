//! Folding: one form of a text to search in, with the way back to the original bytes. Digits of
//! other scripts and of full width, dashes, blanks, zero-width marks and escapes (`%2B`, `&#64;`,
//! `\u0040`) look like what they stand for; letters outside ASCII become lower case.

use std::borrow::Cow;

/// A text in one form.
pub(super) struct Folded<'t> {
    /// What is searched. Bytes from 0x80 up belong to letters.
    pub(super) bytes: Cow<'t, [u8]>,
    /// For each folded byte and the end: where it begins in the original; nothing if they are one.
    map: Option<Vec<u32>>,
}

/// How backslashes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// As text; only `\u0040` and its like are read, and `\n` as a blank before a letter.
    Plain,
    /// As in the inside of a JSON string.
    Json,
}

impl<'t> Folded<'t> {
    pub(super) fn new(text: &'t str, escapes: Escapes) -> Folded<'t> {
        let bytes = text.as_bytes();
        if !bytes.iter().any(|b| matches!(b, b'%' | b'&' | b'\\' | 0x80..)) {
            return Folded { bytes: Cow::Borrowed(bytes), map: None };
        }
        let mut folded = Vec::with_capacity(bytes.len());
        let mut map = Vec::with_capacity(bytes.len() + 1);
        let mut at = 0;
        while at < bytes.len() {
            let (one, length) = match bytes[at] {
                b'%' | b'&' | b'\\' => escaped(&bytes[at..], escapes)
                    .map_or((One::Byte(bytes[at]), 1), |(c, length)| (one(c), length)),
                byte @ 0..0x80 => (One::Byte(byte), 1),
                _ => {
                    let c = text[at..].chars().next().unwrap_or(' ');
                    (one(c), c.len_utf8())
                }
            };
            let here = u32::try_from(at).unwrap_or(u32::MAX);
            match one {
                One::Nothing => {}
                One::Byte(byte) => {
                    folded.push(byte);
                    map.push(here);
                }
                One::Letter(c) => {
                    let mut buffer = [0; 4];
                    for byte in c.encode_utf8(&mut buffer).bytes() {
                        folded.push(byte);
                        map.push(here);
                    }
                }
            }
            at += length;
        }
        map.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        Folded { bytes: Cow::Owned(folded), map: Some(map) }
    }

    /// The original byte at which a folded one begins.
    pub(super) fn start(&self, at: usize) -> usize {
        self.map.as_ref().map_or(at, |map| map[at] as usize)
    }

    /// The original byte after the last one of a folded range, without invisible marks that follow.
    pub(super) fn end(&self, text: &str, at: usize) -> usize {
        let Some(map) = &self.map else { return at };
        let (last, next) = (map[at - 1] as usize, map[at] as usize);
        // Marks that were left out stand between the last byte and the next one.
        let own = match text.as_bytes()[last] {
            b'%' | b'&' | b'\\' => escaped(&text.as_bytes()[last..], Escapes::Json)
                .filter(|(_, length)| last + length <= next)
                .map_or(1, |(_, length)| length),
            _ => text[last..].chars().next().map_or(1, char::len_utf8),
        };
        last + own
    }
}

enum One {
    Nothing,
    Byte(u8),
    Letter(char),
}

fn one(c: char) -> One {
    if c.is_ascii() {
        return One::Byte(c as u8);
    }
    match c {
        // Zero-width and bidirectional marks, soft hyphen, variation selectors.
        '\u{AD}'
        | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{2069}'
        | '\u{FEFF}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{61C}' => One::Nothing,
        // Full-width forms of ASCII.
        '\u{FF01}'..='\u{FF5E}' => One::Byte((c as u32 - 0xFEE0) as u8),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FE58}' | '\u{FE63}' => One::Byte(b'-'),
        '\u{2024}' | '\u{3002}' | '\u{FF61}' => One::Byte(b'.'),
        '\u{FE6B}' => One::Byte(b'@'),
        '\u{2018}' | '\u{2019}' => One::Byte(b'\''),
        '\u{201C}'..='\u{201E}' | '\u{AB}' | '\u{BB}' => One::Byte(b'"'),
        '\u{2028}' | '\u{2029}' | '\u{85}' => One::Byte(b'\n'),
        _ => match digit(c) {
            Some(digit) => One::Byte(b'0' + digit),
            // Marks that stand with a letter: accents of its own, and the signs within Indic and
            // Thai words.
            None if matches!(c, '\u{300}'..='\u{36F}') => One::Nothing,
            None if matches!(c, '\u{900}'..='\u{963}' | '\u{970}'..='\u{DFF}' | '\u{E01}'..='\u{E4E}') => {
                One::Letter(c)
            }
            None if c.is_alphabetic() => {
                let mut lower = c.to_lowercase();
                let first = lower.next().unwrap_or(c);
                One::Letter(if lower.next().is_none() && !first.is_ascii() { first } else { c })
            }
            None => One::Byte(b' '),
        },
    }
}

/// Decimal digits of other scripts: each block begins with its zero.
fn digit(c: char) -> Option<u8> {
    const ZEROS: [u32; 14] = [
        0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xE50,
        0xED0,
    ];
    let code = c as u32;
    if (0x1D7CE..=0x1D7FF).contains(&code) {
        return Some(((code - 0x1D7CE) % 10) as u8); // Mathematical digits, five alphabets.
    }
    ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code)).map(|zero| (code - zero) as u8)
}

/// What an escape stands for, and its length.
fn escaped(bytes: &[u8], escapes: Escapes) -> Option<(char, usize)> {
    match (bytes[0], bytes.get(1)?) {
        (b'%', _) => {
            let code = u8::try_from(hex(bytes.get(1..3)?)?).ok()?;
            // Only what could hide something, and nothing that would end a part of an address.
            matches!(code, b' ' | b'+' | b'-' | b'.' | b'(' | b')' | b'@' | b'0'..=b'9')
                .then_some((char::from(code), 3))
        }
        (b'&', b'#') => {
            let end = bytes.iter().take(10).position(|b| *b == b';')?;
            let code = match bytes.get(2)? {
                b'x' | b'X' => hex(bytes.get(3..end)?)?,
                _ => std::str::from_utf8(bytes.get(2..end)?).ok()?.parse().ok()?,
            };
            Some((char::from_u32(code)?, end + 1))
        }
        (b'&', _) => [
            (&b"&nbsp;"[..], ' '),
            (b"&amp;", '&'),
            (b"&quot;", '"'),
            (b"&lt;", '<'),
            (b"&gt;", '>'),
            (b"&commat;", '@'),
            (b"&plus;", '+'),
            (b"&period;", '.'),
            (b"&hyphen;", '-'),
            (b"&ndash;", '-'),
            (b"&lpar;", '('),
            (b"&rpar;", ')'),
        ]
        .iter()
        .find(|(name, _)| bytes.starts_with(name))
        .map(|(name, c)| (*c, name.len())),
        (b'\\', b'u') => {
            let digits = bytes.get(2..6)?;
            let code = hex(digits)?;
            // Halves of a pair are letters of no interest, one by one.
            Some((char::from_u32(code).unwrap_or(' '), 6))
        }
        (b'\\', b'n' | b'r') if escapes == Escapes::Json || next_is_edge(bytes) => Some(('\n', 2)),
        (b'\\', b't') if escapes == Escapes::Json => Some((' ', 2)),
        (b'\\', c @ (b'"' | b'/' | b'\\')) if escapes == Escapes::Json => Some((char::from(*c), 2)),
        (b'\\', b'"') => Some(('"', 2)),
        _ => None,
    }
}

/// Whether what follows `\n` shows that it was meant as the end of a line: no lower-case letter, as
/// in a path (`C:\new`).
fn next_is_edge(bytes: &[u8]) -> bool {
    bytes.get(2).is_none_or(|b| !b.is_ascii_lowercase())
}

fn hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 6 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        String::from_utf8(Folded::new(text, Escapes::Plain).bytes.into_owned()).unwrap()
    }

    #[test]
    fn what_looks_alike_becomes_one() {
        for (text, expected) in [
            ("plain", "plain"),
            ("\u{FF14}\u{661}\u{967}", "411"),
            ("a\u{200B}b\u{AD}c", "abc"),
            ("1\u{2011}2\u{A0}3", "1-2 3"),
            (
                "ann\u{FF20}x.y ann%40x.y ann&#64;x.y ann&#x40;x.y ann\\u0040x.y",
                "ann@x.y ann@x.y ann@x.y ann@x.y ann@x.y",
            ),
            ("%2B49&nbsp;1", "+49 1"),
            ("ТЕЛЕФОН", "телефон"),
            ("100% & C:\\new", "100% & C:\\new"),
        ] {
            assert_eq!(folded(text), expected);
        }
    }

    #[test]
    fn the_way_back_leads_to_whole_characters() {
        let text = "x\u{200B}\u{FF14}\u{FF11}\u{200B}y";
        let folded = Folded::new(text, Escapes::Plain);
        assert_eq!(&*folded.bytes, b"x41y");
        assert_eq!(&text[folded.start(1)..folded.end(text, 3)], "\u{FF14}\u{FF11}");
    }
}
