//! One pass over folded bytes: where words are, where numbers run, where an `@` or a run of colons
//! is. What the detectors look at; they decide.

use super::words::{self, Hit, Topic};

/// Context reaches this many characters back.
const BEFORE: usize = 40;
/// Context reaches this many characters on.
const AFTER: usize = 30;
/// A group of digits, as folded bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Group {
    pub(super) fn len(self) -> usize {
        self.end - self.start
    }
}

/// Everything that is of interest in a text.
pub(super) struct Scan<'t> {
    pub(super) bytes: &'t [u8],
    pub(super) hits: Vec<Hit>,
    /// Maximal groups of digits that touch no letter, in order.
    pub(super) groups: Vec<Group>,
    /// Maximal groups of digits that touch a letter in front or behind.
    pub(super) glued: Vec<Group>,
    pub(super) ats: Vec<usize>,
    /// The first colon of each token that has at least two.
    pub(super) colons: Vec<usize>,
    /// What the name of the value says, if it has a name (a JSON key, a column).
    pub(super) key: Option<Topic>,
}

impl<'t> Scan<'t> {
    /// Nothing if the words cannot be searched.
    pub(super) fn new(bytes: &'t [u8], key: Option<Topic>) -> Option<Scan<'t>> {
        let hits = words::find(bytes)?;
        let mut scan = Scan {
            bytes,
            hits,
            groups: Vec::new(),
            glued: Vec::new(),
            ats: Vec::new(),
            colons: Vec::new(),
            key,
        };
        let mut at = 0;
        // The first and the last colon of the token.
        let mut colons: Option<(usize, usize)> = None;
        while at < bytes.len() {
            match CLASS[bytes[at] as usize] {
                Class::Digit => {
                    let start = at;
                    while at < bytes.len() && bytes[at].is_ascii_digit() {
                        at += 1;
                    }
                    let group = Group { start, end: at };
                    if wordy_before(bytes, start) || wordy_at(bytes, at) {
                        scan.glued.push(group);
                    } else {
                        scan.groups.push(group);
                    }
                    continue;
                }
                Class::At => scan.ats.push(at),
                Class::Colon => match &mut colons {
                    Some((first, last)) if bytes[*last..at].iter().all(|b| is_address_byte(*b)) => {
                        *last = at;
                        if scan.colons.last() != Some(first) {
                            scan.colons.push(*first);
                        }
                    }
                    _ => colons = Some((at, at)),
                },
                Class::Blank => colons = None,
                Class::Other => {}
            }
            at += 1;
        }
        Some(scan)
    }

    /// The topic that a place is about: the nearest word of these or of what speaks against them.
    pub(super) fn is_about(
        &self,
        start: usize,
        end: usize,
        wanted: &[Topic],
        against: &[Topic],
    ) -> bool {
        let first_after = self.hits.partition_point(|hit| hit.start < end);
        let before =
            self.hits[..first_after].iter().rev().take(16).filter(|hit| hit.end <= start).find_map(
                |hit| {
                    let wanted = wanted.contains(&hit.topic);
                    (wanted || against.contains(&hit.topic)).then_some((hit, wanted))
                },
            );
        if let Some((hit, wanted)) = before
            && self.near(hit.end, start, BEFORE)
            && (self.same_line(hit.end, start) || !self.has_label(start))
        {
            return wanted;
        }
        if let Some(key) = self.key {
            if wanted.contains(&key) {
                return true;
            }
            if against.contains(&key) {
                return false;
            }
        }
        let after = self.hits[first_after..].iter().take(8).find_map(|hit| {
            let wanted = wanted.contains(&hit.topic);
            (wanted || against.contains(&hit.topic)).then_some((hit, wanted))
        });
        after.is_some_and(|(hit, wanted)| {
            wanted
                && self.near(end, hit.start, AFTER)
                && self.same_line(end, hit.start)
                // `4155550132, phone: ...` names what follows it.
                && !self.bytes[hit.end..].iter().take(3).any(|b| matches!(b, b':' | b'='))
        })
    }

    /// At most so many characters apart, in one paragraph.
    pub(super) fn near(&self, from: usize, to: usize, characters: usize) -> bool {
        if to < from || to - from > 4 * characters {
            return false;
        }
        let between = &self.bytes[from..to];
        between.iter().filter(|b| **b & 0xC0 != 0x80).count() <= characters
            && !between.windows(2).any(|pair| pair == b"\n\n")
    }

    fn same_line(&self, from: usize, to: usize) -> bool {
        !self.bytes[from..to].contains(&b'\n')
    }

    /// Whether the line begins with a name of its own for the value: `Order: 1234567890`.
    fn has_label(&self, start: usize) -> bool {
        let floor = start.saturating_sub(80);
        let line = self.bytes[floor..start].rsplit(|b| *b == b'\n').next().unwrap_or_default();
        line.iter().any(|b| matches!(b, b':' | b'=' | b'\t'))
    }

    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    pub(super) fn byte_before(&self, at: usize) -> Option<u8> {
        at.checked_sub(1).and_then(|at| self.byte(at))
    }
}

/// Up to 20 digits; `len` counts on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Digits {
    digits: [u8; 20],
    len: usize,
}

impl Digits {
    pub(super) fn extend(&mut self, ascii: &[u8]) {
        for byte in ascii {
            if let Some(place) = self.digits.get_mut(self.len) {
                *place = byte - b'0';
            }
            self.len += 1;
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.digits[..self.len.min(20)]
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The number that some of them make.
    pub(super) fn number(&self, range: std::ops::Range<usize>) -> u32 {
        self.as_slice().get(range).unwrap_or_default().iter().fold(0, |a, d| a * 10 + u32::from(*d))
    }
}

#[derive(Clone, Copy)]
enum Class {
    Other,
    Digit,
    At,
    Colon,
    Blank,
}

const CLASS: [Class; 256] = {
    let mut table = [Class::Other; 256];
    let mut digit = b'0';
    while digit <= b'9' {
        table[digit as usize] = Class::Digit;
        digit += 1;
    }
    table[b'@' as usize] = Class::At;
    table[b':' as usize] = Class::Colon;
    table[b' ' as usize] = Class::Blank;
    table[b'\n' as usize] = Class::Blank;
    table
};

fn is_address_byte(b: u8) -> bool {
    b.is_ascii_hexdigit() || b == b':' || b == b'.'
}

/// Part of a word, so that a number that touches it is no number of its own.
pub(super) fn wordy(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

/// Whether a word ends here; the scripts that write without blanks do not count.
pub(super) fn wordy_before(bytes: &[u8], at: usize) -> bool {
    match at.checked_sub(1).map(|at| bytes[at]) {
        None => false,
        Some(0x80..) => !is_wide_before(bytes, at),
        Some(b) => wordy(b),
    }
}

/// Whether the letter before takes three bytes or more.
pub(super) fn is_wide_before(bytes: &[u8], at: usize) -> bool {
    let lead = bytes[..at].iter().rev().take(4).find(|b| **b & 0xC0 != 0x80);
    lead.is_some_and(|b| *b >= 0xE0)
}

/// Whether a word begins here.
pub(super) fn wordy_at(bytes: &[u8], at: usize) -> bool {
    match bytes.get(at) {
        None => false,
        Some(0x80..) => bytes[at] < 0xE0,
        Some(b) => wordy(*b),
    }
}
