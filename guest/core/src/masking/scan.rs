//! One pass over folded bytes: where words are, where numbers run, where an `@` or a run of colons
//! is. What the detectors look at; they decide.

use super::words::{self, Hit, Topic, Topics};

/// Context reaches this many characters back.
const BEFORE: usize = 40;
/// Context reaches this many characters on.
const AFTER: usize = 30;

/// Who speaks in a chat or a call.
const SPEAKERS: [&str; 12] = [
    "user",
    "caller",
    "customer",
    "client",
    "visitor",
    "guest",
    "me",
    "you",
    "bot",
    "agent",
    "requester",
    "patient",
];

/// A group of digits, as folded bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) start: usize,
    pub(super) end: usize,
    /// What stands between it and the group before.
    pub(super) gap: Gap,
}

/// What stands between two groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// One of `-`, `.`, `/`, or a blank, perhaps with brackets.
    Small(u8),
    /// The end of a line.
    Line,
    /// Anything else.
    Far,
}

impl Gap {
    fn of(between: &[u8]) -> Gap {
        match between {
            [b @ (b' ' | b'-' | b'.' | b'/')] => Gap::Small(*b),
            [b'\n'] | [b'\r', b'\n'] | [b'-' | b' ', b'\n'] => Gap::Line,
            [b')' | b'('] => Gap::Small(b' '),
            _ if between.len() <= 3
                && between.iter().all(|b| matches!(b, b' ' | b'-' | b'(' | b')' | b'.')) =>
            {
                // Two signs of one kind are a bullet or a rule, blanks apart.
                let dash = between.iter().find(|b| matches!(b, b'-' | b'.'));
                Gap::Small(dash.copied().unwrap_or(b' '))
            }
            _ => Gap::Far,
        }
    }

    /// Whether it makes one token of both.
    pub(super) fn is_tight(self) -> bool {
        matches!(self, Gap::Small(b'-' | b'.' | b'/'))
    }
}

impl Group {
    pub(super) fn len(self) -> usize {
        self.end - self.start
    }
}

/// What one pass writes down. Kept from text to text, so that its memory is.
#[derive(Default)]
pub(super) struct Notes {
    hits: Vec<Hit>,
    groups: Vec<Group>,
    glued: Vec<Group>,
    ats: Vec<usize>,
    colons: Vec<usize>,
}

/// Everything that is of interest in a text.
pub(super) struct Scan<'t> {
    pub(super) bytes: &'t [u8],
    pub(super) hits: &'t [Hit],
    /// Maximal groups of digits that touch no letter, in order.
    pub(super) groups: &'t [Group],
    /// Maximal groups of digits that touch a letter in front or behind.
    pub(super) glued: &'t [Group],
    pub(super) ats: &'t [usize],
    /// The first colon of each token that has at least two.
    pub(super) colons: &'t [usize],
    /// What the name of the value says, if it has a name (a JSON key, a column).
    pub(super) key: Option<Topic>,
    /// Everything that its words and its name speak of.
    topics: Topics,
}

impl Notes {
    fn clear(&mut self) {
        self.hits.clear();
        self.groups.clear();
        self.glued.clear();
        self.ats.clear();
        self.colons.clear();
    }

    fn read(&mut self, bytes: &[u8]) {
        self.clear();
        self.hits.reserve(bytes.len() / 32);
        self.groups.reserve(bytes.len() / 32);
        let mut at = 0;
        // The first and the last colon of the token.
        let mut colons: Option<(usize, usize)> = None;
        while at < bytes.len() {
            // Most bytes are letters and what stands between words: they are told by comparing, since
            // a jump by class would be foreseen wrongly at each word.
            let byte = bytes[at];
            if byte.is_ascii_alphabetic() || byte >= 0xC0 {
                if words::begins_word(bytes, at)
                    && let Some(hit) = words::at(bytes, at)
                {
                    at = hit.end;
                    self.hits.push(hit);
                    continue;
                }
                // No word begins at a small letter after a letter.
                at = past_small_letters(bytes, at + 1);
                at += usize::from(bytes.get(at) == Some(&b' '));
                continue;
            }
            if byte.is_ascii_digit() {
                let start = at;
                while at < bytes.len() && bytes[at].is_ascii_digit() {
                    at += 1;
                }
                if wordy_before(bytes, start) || wordy_at(bytes, at) {
                    self.glued.push(Group { start, end: at, gap: Gap::Far });
                } else {
                    let gap = match self.groups.last() {
                        Some(last) if start - last.end <= 3 => Gap::of(&bytes[last.end..start]),
                        _ => Gap::Far,
                    };
                    self.groups.push(Group { start, end: at, gap });
                }
                continue;
            }
            match byte {
                b'@' => self.ats.push(at),
                b':' => {
                    match &mut colons {
                        Some((first, last))
                            if bytes[*last..at].iter().all(|b| is_address_byte(*b)) =>
                        {
                            *last = at;
                            if self.colons.last() != Some(first) {
                                self.colons.push(*first);
                            }
                        }
                        _ => colons = Some((at, at)),
                    }
                    self.hits.extend(words::at(bytes, at));
                }
                b'-' if bytes[at..].starts_with(b"-----") => {
                    if let Some(hit) = words::at(bytes, at) {
                        at = hit.end;
                        self.hits.push(hit);
                        continue;
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
}

impl<'t> Scan<'t> {
    pub(super) fn new(bytes: &'t [u8], key: Option<Topic>, notes: &'t mut Notes) -> Scan<'t> {
        notes.read(bytes);
        let topics = notes.hits.iter().map(|hit| hit.topic).chain(key);
        let topics = topics.fold(Topics::NONE, Topics::with);
        Scan {
            bytes,
            hits: &notes.hits,
            groups: &notes.groups,
            glued: &notes.glued,
            ats: &notes.ats,
            colons: &notes.colons,
            key,
            topics,
        }
    }

    /// The topic that a place is about: the nearest word of these or of what speaks against them.
    pub(super) fn is_about(
        &self,
        start: usize,
        end: usize,
        wanted: Topics,
        against: Topics,
    ) -> bool {
        if !self.topics.meets(wanted) {
            return false; // Most texts say nothing of it anywhere.
        }
        let first_after = self.hits.partition_point(|hit| hit.start < end);
        let before =
            self.hits[..first_after].iter().rev().take(16).filter(|hit| hit.end <= start).find_map(
                |hit| {
                    let wanted = wanted.has(hit.topic);
                    (wanted || against.has(hit.topic)).then_some((hit, wanted))
                },
            );
        if let Some((hit, wanted)) = before
            && self.near(hit.end, start, BEFORE)
            && (self.same_line(hit.end, start) || !self.has_label(start))
        {
            return wanted;
        }
        if let Some(key) = self.key {
            if wanted.has(key) {
                return true;
            }
            if against.has(key) {
                return false;
            }
        }
        let after = self.hits[first_after..].iter().take(8).find_map(|hit| {
            let wanted = wanted.has(hit.topic);
            (wanted || against.has(hit.topic)).then_some((hit, wanted))
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

    /// Whether anything in the text, or its name, speaks of one of these.
    pub(super) fn speaks_of(&self, topics: Topics) -> bool {
        self.topics.meets(topics)
    }

    /// How far `near` reaches from here.
    pub(super) fn reach(&self, from: usize, characters: usize) -> usize {
        let mut left = characters;
        let rest = self.bytes.get(from..).unwrap_or_default();
        let reached = rest.iter().enumerate().position(|(i, b)| {
            if *b & 0xC0 != 0x80 {
                if left == 0 {
                    return true;
                }
                left -= 1;
            }
            *b == b'\n' && rest.get(i + 1) == Some(&b'\n')
        });
        reached.map_or(self.bytes.len(), |more| from + more)
    }

    fn same_line(&self, from: usize, to: usize) -> bool {
        !self.bytes[from..to].contains(&b'\n')
    }

    /// Whether the line begins with a name of its own for the value: `Order: 1234567890`.
    fn has_label(&self, start: usize) -> bool {
        let floor = start.saturating_sub(80);
        let line = self.bytes[floor..start].rsplit(|b| *b == b'\n').next().unwrap_or_default();
        let Some(sign) = line.iter().rposition(|b| matches!(b, b':' | b'=' | b'\t')) else {
            return false;
        };
        // `Caller: 4155550132` in a chat says who speaks.
        let word = line[..sign].rsplit(|b| !b.is_ascii_alphabetic()).next().unwrap_or_default();
        !SPEAKERS.iter().any(|speaker| word.eq_ignore_ascii_case(speaker.as_bytes()))
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

/// The end of a run of small letters, eight at a time: words are short, and a branch for each letter
/// is foreseen wrongly at the end of each word.
fn past_small_letters(bytes: &[u8], mut at: usize) -> usize {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let each = |b: u8| u64::from_ne_bytes([b; 8]);
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let eight = u64::from_le_bytes(*eight);
        let low = eight & !HIGH;
        // The high bit of each byte: at least `a`, and not beyond `z`, and of ASCII.
        let small = low.wrapping_add(each(0x80 - b'a')) & !low.wrapping_add(each(0x7F - b'z'));
        let others = !(small & !eight) & HIGH;
        if others != 0 {
            return at + others.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while at < bytes.len() && bytes[at].is_ascii_lowercase() {
        at += 1;
    }
    at
}

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
