//! Folding: one form of a text to search in, with the way back to the original bytes. Digits of
//! other scripts and of full width, dashes, blanks, zero-width marks and escapes (`%2B`, `&#64;`,
//! `\u0040`) look like what they stand for; letters outside ASCII become lower case.

use std::borrow::Cow;

use super::block::{BLOCK, Block};

/// A text in one form.
pub(super) struct Folded<'t> {
    /// What is searched. Bytes from 0x80 up belong to letters.
    pub(super) bytes: Cow<'t, [u8]>,
    /// The way back, in order; nothing if the folded bytes are the original's.
    runs: Vec<Run>,
    /// Blanks and ends of lines that were written as `%20` and its like, in order: part of the word that they
    /// stand in.
    pub(super) inner: Vec<u32>,
}

/// Folded bytes and where they come from.
struct Run {
    /// The first folded byte.
    folded: u32,
    /// Where it begins in the original.
    original: u32,
    /// The length of the one character or escape that they stand for; 0 if they are the original's
    /// bytes, one for one.
    width: u32,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// As text: of backslashes only `\u0040` and its like are read, and `\n` as a blank before a letter.
    Plain,
    /// As the inside of a JSON string.
    Json,
    /// As a number of JSON.
    Number,
}

impl<'t> Folded<'t> {
    pub(super) fn new(text: &'t str, written: Written) -> Folded<'t> {
        let bytes = text.as_bytes();
        if written == Written::Number {
            let digits = whole_number(bytes).unwrap_or_default();
            return Folded { bytes: Cow::Owned(digits), runs: Vec::new(), inner: Vec::new() };
        }
        // Most texts are told by a look at many bytes at once.
        let mut first = next_special(bytes, 0);
        while let Some(at) = first
            && bytes[at] < 0x80
            && escaped(&bytes[at..], written).is_none()
        {
            first = next_special(bytes, at + 1);
        }
        let Some(first) = first else {
            return Folded { bytes: Cow::Borrowed(bytes), runs: Vec::new(), inner: Vec::new() };
        };
        let mut way = Way { folded: Vec::with_capacity(bytes.len()), runs: Vec::new() };
        let mut inner = Vec::new();
        way.take_over(bytes, 0, first);
        let mut at = first;
        while at < bytes.len() {
            let (one, length) = match bytes[at] {
                b'%' | b'&' | b'\\' => escaped(&bytes[at..], written)
                    .map_or((One::Byte(bytes[at]), 1), |(c, length)| (one(c), length)),
                byte @ 0..0x80 => (One::Byte(byte), 1),
                _ => {
                    let c = text[at..].chars().next().unwrap_or(' ');
                    (one(c), c.len_utf8())
                }
            };
            match one {
                One::Nothing => {}
                One::Byte(byte) => {
                    if bytes[at] == b'%' && byte.is_ascii_whitespace() {
                        inner.push(narrow(way.folded.len()));
                    }
                    way.put(at, &[byte], length);
                }
                One::Letter(c) => {
                    way.put(at, c.encode_utf8(&mut [0; 4]).as_bytes(), length);
                }
            }
            at += length;
            let next = next_special(bytes, at).unwrap_or(bytes.len());
            way.take_over(bytes, at, next);
            at = next;
        }
        Folded { bytes: Cow::Owned(way.folded), runs: way.runs, inner }
    }

    /// Whether the text is searched as it stands.
    pub(super) fn is_original(&self) -> bool {
        matches!(self.bytes, Cow::Borrowed(_))
    }

    /// The original byte at which a folded one begins.
    pub(super) fn start(&self, text: &str, at: usize) -> usize {
        text.floor_char_boundary(match self.run(at) {
            None => at,
            Some(Run { folded, original, width: 0 }) => at - *folded as usize + *original as usize,
            Some(run) => run.original as usize,
        })
    }

    /// The original byte after the last one of a folded range, without invisible marks that follow.
    pub(super) fn end(&self, text: &str, at: usize) -> usize {
        text.ceil_char_boundary(match self.run(at - 1) {
            None => at,
            Some(Run { folded, original, width: 0 }) => at - *folded as usize + *original as usize,
            Some(run) => (run.original + run.width) as usize,
        })
    }

    fn run(&self, at: usize) -> Option<&Run> {
        let next = self.runs.partition_point(|run| run.folded as usize <= at);
        next.checked_sub(1).map(|index| &self.runs[index])
    }
}

fn is_special(b: u8) -> bool {
    (b == b'%') | (b == b'&') | (b == b'\\') | (b >= 0x80)
}

/// The next byte that may have to be folded.
fn next_special(bytes: &[u8], from: usize) -> Option<usize> {
    // They come together, or hardly at all: many bytes at a time, without a branch for each.
    if let Some(more) = bytes[from..].iter().take(8).position(|b| is_special(*b)) {
        return Some(from + more);
    }
    let mut base = from;
    while base < bytes.len() {
        let special = Block::of(&bytes[base..]).is(|bytes| {
            bytes.within(0x80, 0xFF) | bytes.is(b'%') | bytes.is(b'&') | bytes.is(b'\\')
        });
        if special != 0 {
            return Some(base + special.trailing_zeros() as usize);
        }
        base += BLOCK;
    }
    None
}

/// Folded bytes and the way back, while they are made.
struct Way {
    folded: Vec<u8>,
    runs: Vec<Run>,
}

impl Way {
    /// Bytes that stay as they are.
    fn take_over(&mut self, bytes: &[u8], from: usize, to: usize) {
        if from < to {
            self.note(from, 0);
            self.folded.extend_from_slice(&bytes[from..to]);
        }
    }

    /// What stands for `length` bytes of the original.
    fn put(&mut self, at: usize, instead: &[u8], length: usize) {
        let width = if instead.len() == length { 0 } else { length };
        self.note(at, width);
        self.folded.extend_from_slice(instead);
    }

    fn note(&mut self, original: usize, width: usize) {
        let (folded, original) = (narrow(self.folded.len()), narrow(original));
        let goes_on = self.runs.last().is_some_and(|last| {
            width == 0
                && last.width == 0
                && original.wrapping_sub(last.original) == folded.wrapping_sub(last.folded)
        });
        if !goes_on {
            self.runs.push(Run { folded, original, width: narrow(width) });
        }
    }
}

/// A text is never longer than `LIMIT`.
fn narrow(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The digits of a number of JSON, if it is a whole one: `-4111.0` and `4.111E3` too, as floating point writes it.
pub(super) fn whole_number(number: &[u8]) -> Option<Vec<u8>> {
    /// No number of anybody's has more.
    const MOST: usize = 20;
    let number = number.strip_prefix(b"-").unwrap_or(number);
    let exponent = number.iter().position(|b| matches!(b, b'e' | b'E'));
    let (mantissa, exponent) = number.split_at(exponent.unwrap_or(number.len()));
    let exponent = match std::str::from_utf8(exponent.get(1..).unwrap_or_default()).ok()? {
        "" => 0,
        exponent => exponent.parse::<usize>().ok()?,
    };
    let point = mantissa.iter().position(|b| *b == b'.').unwrap_or(mantissa.len());
    let (whole, fraction) = (&mantissa[..point], mantissa.get(point + 1..).unwrap_or_default());
    let (shown, rest) = fraction.split_at(exponent.min(fraction.len()));
    if rest.iter().any(|b| *b != b'0') || whole.len() + exponent > MOST.max(whole.len()) {
        return None;
    }
    let mut digits = [whole, shown].concat();
    digits.resize(whole.len() + exponent, b'0');
    digits.iter().all(u8::is_ascii_digit).then_some(digits)
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
fn escaped(bytes: &[u8], written: Written) -> Option<(char, usize)> {
    match (bytes[0], bytes.get(1)?) {
        (b'%', _) => {
            let code = u8::try_from(hex(bytes.get(1..3)?)?).ok()?;
            // Only what could hide something, and nothing that would end a part of an address.
            let hides = matches!(
                code,
                b' ' | b'\t' | b'\r' | b'\n' | b'+' | b'-' | b'.' | b'(' | b')' | b'@' | b'0'
                    ..=b'9'
            );
            hides.then_some((char::from(code), 3))
        }
        (b'&', b'#') => {
            let end = bytes.iter().take(10).position(|b| *b == b';')?;
            let code = match bytes.get(2)? {
                b'x' | b'X' => hex(bytes.get(3..end)?)?,
                _ => std::str::from_utf8(bytes.get(2..end)?).ok()?.parse().ok()?,
            };
            Some((char::from_u32(code)?, end + 1))
        }
        (b'&', _) => entity(&bytes[1..]).map(|(c, length)| (c, length + 1)),
        (b'\\', b'u' | b'\\') if let Some(found) = deeper(bytes, written) => Some(found),
        (b'\\', b'n') if written == Written::Json || next_is_edge(bytes) => Some(('\n', 2)),
        (b'\\', b'r') if written == Written::Json || next_is_edge(bytes) => Some(('\r', 2)),
        (b'\\', b't') if written == Written::Json => Some((' ', 2)),
        (b'\\', c @ (b'"' | b'/' | b'\\')) if written == Written::Json => Some((char::from(*c), 2)),
        (b'\\', b'"') => Some(('"', 2)),
        _ => None,
    }
}

/// A named entity of HTML (<https://html.spec.whatwg.org/entities.json>) and its length: the blanks, and the marks
/// that numbers and addresses are written with. What is given back is what it looks like.
fn entity(name: &[u8]) -> Option<(char, usize)> {
    // Browsers read these without an end too.
    for (legacy, c) in [(&b"nbsp"[..], ' '), (b"shy", '\u{AD}')] {
        let rest = name.strip_prefix(legacy);
        if rest
            .is_some_and(|rest| rest.first().is_none_or(|b| *b != b';' && !b.is_ascii_alphabetic()))
        {
            return Some((c, legacy.len()));
        }
    }
    let length = name.iter().take(17).position(|b| !b.is_ascii_alphanumeric())?;
    let c = match &name[..length] {
        b"nbsp" | b"ensp" | b"emsp" | b"emsp13" | b"emsp14" | b"thinsp" | b"hairsp" | b"numsp"
        | b"puncsp" | b"MediumSpace" | b"ThinSpace" | b"NonBreakingSpace" | b"Tab" => ' ',
        b"NewLine" => '\n',
        b"ZeroWidthSpace" | b"NoBreak" | b"zwj" | b"zwnj" | b"shy" | b"lrm" | b"rlm" => '\u{200B}',
        b"amp" => '&',
        b"quot" => '"',
        b"apos" => '\'',
        b"lt" => '<',
        b"gt" => '>',
        b"commat" => '@',
        b"plus" => '+',
        b"period" => '.',
        b"colon" => ':',
        b"sol" => '/',
        b"lowbar" => '_',
        b"hyphen" | b"dash" | b"ndash" | b"mdash" | b"minus" => '-',
        b"lpar" => '(',
        b"rpar" => ')',
        _ => return None,
    };
    (name[length] == b';').then_some((c, length + 1))
}

/// `\u0040`, and behind more backslashes, as in JSON within JSON (`\\u0040`, `\\\\u0040`: twice as many each time). In
/// JSON a line's end and a tab within it too.
fn deeper(bytes: &[u8], written: Written) -> Option<(char, usize)> {
    const MOST: usize = 16;
    let slashes = bytes.iter().take(MOST).take_while(|b| **b == b'\\').count();
    let blank = || written == Written::Json && next_is_edge(&bytes[slashes - 1..]);
    match bytes.get(slashes)? {
        b'u' => {
            let code = hex(bytes.get(slashes + 1..slashes + 5)?)?;
            // Halves of a pair are letters of no interest, one by one.
            Some((char::from_u32(code).unwrap_or(' '), slashes + 5))
        }
        b'n' if blank() => Some(('\n', slashes + 1)),
        b'r' if blank() => Some(('\r', slashes + 1)),
        b't' if blank() => Some((' ', slashes + 1)),
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
        String::from_utf8(Folded::new(text, Written::Plain).bytes.into_owned()).unwrap()
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
            ("1&thinsp;2&ensp;3&nbsp4&NewLine;5&shy;6&minus;7", "1 2 3 4\n56-7"),
            ("1%0D%0A2%092 &nope; &x", "1\r\n2\t2 &nope; &x"),
        ] {
            assert_eq!(folded(text), expected);
        }
    }

    #[test]
    fn the_way_back_leads_to_whole_characters() {
        let text = "x\u{200B}\u{FF14}\u{FF11}\u{200B}y";
        let folded = Folded::new(text, Written::Plain);
        assert_eq!(&*folded.bytes, b"x41y");
        assert_eq!(&text[folded.start(text, 1)..folded.end(text, 3)], "\u{FF14}\u{FF11}");
    }
}
