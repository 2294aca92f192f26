//! One pass over folded bytes: where words are, where numbers run, where an `@` or a run of colons
//! is. What the detectors look at; they decide.

use std::ops::Range;

use super::Piece;
use super::block::{BLOCK, Block};
use super::words::{self, Hit, Topic, Topics};

/// Context reaches this many characters back.
const BEFORE: usize = 40;
/// Context reaches this many characters on.
const AFTER: usize = 30;

/// What somebody may be asked for that is no phone number.
const ASKED_FOR: Topics = Topics::of(&[
    Topic::Numbered,
    Topic::Routing,
    Topic::Ssn,
    Topic::Itin,
    Topic::Nhs,
    Topic::Passport,
    Topic::Birth,
    Topic::Iban,
    Topic::Device,
]);
/// So far a question may be from its answer, if somebody else gives it.
const ANSWER: usize = 64;

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

/// Fewer digits that touch a letter are no number of a phone's, nor a card's.
const LONG: usize = 7;
/// So few digits between letters are nothing by themselves: `a1b22c`.
const SMALL: usize = 2;

/// A group of digits, as folded bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) start: usize,
    pub(super) end: usize,
    /// What stands between it and the group before.
    pub(super) gap: Gap,
    /// The two letters that a country's or a person's number begins with.
    pub(super) initials: Initials,
}

/// Whether a word of two letters stands in front of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Initials {
    /// None does.
    None,
    /// Right in front.
    Joined,
    /// A blank or a dash away.
    Apart,
}

impl Initials {
    /// What stands in front of a place.
    #[inline]
    fn before(bytes: &[u8], start: usize) -> Initials {
        let (initials, end) = match bytes[..start].last() {
            Some(b' ' | b'-') => (Initials::Apart, start - 1),
            _ => (Initials::Joined, start),
        };
        match bytes[..end] {
            [.., first, second]
                if first.is_ascii_alphabetic()
                    && second.is_ascii_alphabetic()
                    && !wordy_before(bytes, end - 2) =>
            {
                initials
            }
            _ => Initials::None,
        }
    }
}

/// What stands between two groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// One of `-`, `.`, `/`, or a blank, perhaps with brackets.
    Small(u8),
    /// One of `-` and `.` with blanks: in a number that somebody writes widely, or before the next of a list.
    Loose(u8),
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
            // A form writes a blank as `+`; behind an area code a line may end.
            [b' ', b'/', b' '] => Gap::Loose(b'/'),
            [b')' | b'('] | [b')', b'+' | b'\n'] | [b')', b'\r', b'\n'] => Gap::Small(b' '),
            _ if between.len() <= 3
                && between.iter().all(|b| matches!(b, b' ' | b'-' | b'(' | b')' | b'.')) =>
            {
                // Two signs of one kind are a bullet or a rule, blanks apart.
                match between.iter().find(|b| matches!(b, b'-' | b'.')) {
                    Some(dash) if between.contains(&b' ') => Gap::Loose(*dash),
                    Some(dash) => Gap::Small(*dash),
                    None => Gap::Small(b' '),
                }
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
#[derive(Debug, Default)]
pub(super) struct Notes {
    hits: Vec<Hit>,
    groups: Vec<Group>,
    glued: Vec<Group>,
    ats: Vec<usize>,
    colons: Vec<usize>,
    /// The first and the last colon of the token that is being read.
    token: Option<(usize, usize)>,
    /// The notes of the text before, while it is followed.
    before: Option<Box<Notes>>,
}

/// Everything that is of interest in a text.
pub(super) struct Scan<'t> {
    pub(super) bytes: &'t [u8],
    pub(super) hits: &'t [Hit],
    /// Maximal groups of digits that touch no letter, in order.
    pub(super) groups: &'t [Group],
    /// Maximal groups of digits that touch a letter in front or behind, without those of one or two that are
    /// nothing.
    pub(super) glued: &'t [Group],
    pub(super) ats: &'t [usize],
    /// The first colon of each token that has at least two.
    pub(super) colons: &'t [usize],
    /// What the name of the value says, if it has a name (a JSON key, a column).
    pub(super) key: Option<Topic>,
    /// What the groups have in common.
    pub(super) sums: Sums,
    /// Blanks that end no word: `Folded::inner`.
    inner: &'t [u32],
    /// Everything that its words and its name speak of.
    topics: Topics,
}

/// What some groups have in common: most detectors need a look at no more.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    /// How many have four digits.
    pub(super) fours: u32,
    /// Whether one has six.
    pub(super) six: bool,
    /// Whether a word of two letters stands in front of one.
    pub(super) initials: bool,
    /// Whether one that touches a letter has so many digits as a phone number.
    pub(super) long: bool,
}

impl Sums {
    fn of(groups: &[Group], glued: &[Group]) -> Sums {
        let mut sums = Sums::default();
        for group in groups {
            sums.count(group);
        }
        for group in glued {
            sums.count(group);
            sums.long |= group.len() >= LONG;
        }
        sums
    }

    #[inline]
    fn count(&mut self, group: &Group) {
        self.fours += u32::from(group.len() == 4);
        self.six |= group.len() == 6;
        self.initials |= group.initials != Initials::None;
    }
}

impl Notes {
    fn clear(&mut self) {
        self.hits.clear();
        self.groups.clear();
        self.glued.clear();
        self.ats.clear();
        self.colons.clear();
        self.token = None;
    }

    /// Reads a text.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        self.clear();
        self.hits.reserve(bytes.len() / 32);
        self.groups.reserve(bytes.len() / 32);
        self.read_on(bytes, 0, bytes.len());
    }

    /// Reads from one place on, to another or a little further; gives how far.
    fn read_on(&mut self, bytes: &[u8], from: usize, to: usize) -> usize {
        let mut base = from;
        while base < to {
            let mut places = places(bytes, base, to);
            let mut at = base;
            while places != 0 {
                let place = base + places.trailing_zeros() as usize;
                at = self.read_at(bytes, place);
                let passed = at - base;
                if passed >= BLOCK {
                    break;
                }
                places &= u64::MAX << passed;
                // A word that ends in a digit may be followed by more.
                places |= u64::from(bytes.get(at).is_some_and(u8::is_ascii_digit)) << passed;
            }
            base = at.max(to.min(base + BLOCK));
        }
        base
    }

    /// Writes down what is at one place; gives where to go on.
    fn read_at(&mut self, bytes: &[u8], at: usize) -> usize {
        let byte = bytes[at];
        if byte.is_ascii_alphabetic() {
            // Between letters of ASCII it is known that a word begins here.
            if at > 0 && bytes[at - 1] >= 0x80 && !words::begins_word(bytes, at) {
                return at + 1;
            }
            return self.word_at(bytes, at);
        }
        match byte {
            b'0'..=b'9' => return self.digits_at(bytes, at),
            b'@' => self.ats.push(at),
            b':' => {
                match &mut self.token {
                    Some((first, last)) if bytes[*last..at].iter().all(|b| is_address_byte(*b)) => {
                        *last = at;
                        if self.colons.last() != Some(first) {
                            self.colons.push(*first);
                        }
                    }
                    _ => self.token = Some((at, at)),
                }
                if bytes[at..].starts_with(b"://") {
                    self.hits.extend(words::at(bytes, at));
                }
            }
            b'-' if bytes[at..].starts_with(b"-----") => return self.word_at(bytes, at),
            0x80.. if words::begins_word(bytes, at) => return self.word_at(bytes, at),
            _ => {}
        }
        at + 1
    }

    /// A word that may begin here; gives where to go on.
    #[inline]
    fn word_at(&mut self, bytes: &[u8], at: usize) -> usize {
        let Some(hit) = words::at(bytes, at) else { return at + 1 };
        self.hits.push(hit);
        hit.end
    }

    /// Digits that begin here; gives where they end.
    #[inline]
    fn digits_at(&mut self, bytes: &[u8], start: usize) -> usize {
        let end = past_digits(bytes, start + 1);
        let initials = Initials::before(bytes, start);
        let wordy = wordy_before(bytes, start);
        if !wordy && !wordy_at(bytes, end) {
            let gap = self.gap_before(bytes, start);
            self.groups.push(Group { start, end, gap, initials });
            return end;
        }
        // `555-0132x12`: an extension.
        let extended = end - start >= 4
            && matches!(bytes.get(end), Some(b'x' | b'X'))
            && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        if !wordy && extended {
            let gap = self.gap_before(bytes, start);
            self.groups.push(Group { start, end, gap, initials });
        } else if end - start > SMALL
            || initials == Initials::Joined
            || !is_amid_letters(bytes, start, end)
        {
            self.glued.push(Group { start, end, gap: Gap::Far, initials });
        }
        end
    }

    /// What stands between the last group and one that begins here.
    fn gap_before(&self, bytes: &[u8], start: usize) -> Gap {
        match self.groups.last() {
            Some(last) if start - last.end <= 3 => Gap::of(&bytes[last.end..start]),
            _ => Gap::Far,
        }
    }

    /// Makes the notes of a text into those of the text that replacements made of it: only what is
    /// around them is read again. Both texts are ASCII and searched as they stand.
    pub(super) fn follow(&mut self, old: &[u8], new: &[u8], pieces: &[Piece]) {
        let mut before = self.before.take().unwrap_or_default();
        std::mem::swap(&mut *before, self);
        self.clear();
        // Up to where the old text's notes were taken over or replaced, and what is to be added to an
        // offset there.
        let (mut done, mut shift) = (0, 0isize);
        let mut pieces = pieces.iter().peekable();
        while let Some(first) = pieces.next() {
            let from = before.resting(old, first.start.saturating_sub(words::SIGHT)).max(done);
            self.take_over(&before, done..from, shift, new);
            let mut at = moved(from, shift);
            let mut piece = first;
            done = loop {
                shift += piece.instead.len() as isize - (piece.end - piece.start) as isize;
                // Past a blank after it, at which both texts are read on as from a beginning.
                let mut to = moved(piece.end, shift);
                let resting = loop {
                    to = to.max(at);
                    to += memchr::memchr(b' ', &new[to..]).map_or(new.len() - to, |more| more + 1);
                    at = self.read_on(new, at, to);
                    let was = moved(at, -shift);
                    let next = pieces.peek().is_some_and(|next| was > next.start);
                    if next || at >= new.len() || at == to && before.rests(was) {
                        break was;
                    }
                };
                match pieces.next_if(|next| next.start < resting + words::SIGHT) {
                    Some(next) => piece = next,
                    None => break resting.min(old.len()),
                }
            };
        }
        self.take_over(&before, done..old.len(), shift, new);
        self.before = Some(before);
    }

    /// The last place up to `at` where a reader comes by with nothing in mind: after a blank that is
    /// within no word of several.
    fn resting(&self, bytes: &[u8], at: usize) -> usize {
        let mut at = at.min(bytes.len());
        loop {
            while at > 0 && bytes[at - 1] != b' ' {
                at -= 1;
            }
            match self.last_hit(at) {
                Some(hit) if hit.end > at => at = hit.start,
                _ => return at,
            }
        }
    }

    /// Whether that place is this one, which is after a blank.
    fn rests(&self, at: usize) -> bool {
        self.last_hit(at).is_none_or(|hit| hit.end <= at)
    }

    /// The last word that begins before a place.
    fn last_hit(&self, at: usize) -> Option<&Hit> {
        self.hits[..self.hits.partition_point(|hit| hit.start < at)].last()
    }

    /// What was noted within a range of the old text.
    fn take_over(&mut self, old: &Notes, range: Range<usize>, shift: isize, new: &[u8]) {
        fn within<T>(all: &[T], range: &Range<usize>, start: impl Fn(&T) -> usize) -> Range<usize> {
            let from = all.partition_point(|one| start(one) < range.start);
            from..from + all[from..].partition_point(|one| start(one) < range.end)
        }
        let hits = &old.hits[within(&old.hits, &range, |hit| hit.start)];
        self.hits.extend(hits.iter().map(|hit| Hit {
            start: moved(hit.start, shift),
            end: moved(hit.end, shift),
            ..*hit
        }));
        let group = |group: &Group| Group {
            start: moved(group.start, shift),
            end: moved(group.end, shift),
            ..*group
        };
        let groups = &old.groups[within(&old.groups, &range, |group| group.start)];
        if let [first, rest @ ..] = groups {
            // What stands in front of it may be another.
            let first = group(first);
            let (gap, initials) =
                (self.gap_before(new, first.start), Initials::before(new, first.start));
            self.groups.push(Group { gap, initials, ..first });
            self.groups.extend(rest.iter().map(group));
        }
        let glued = &old.glued[within(&old.glued, &range, |group| group.start)];
        self.glued.extend(glued.iter().map(group));
        let ats = &old.ats[within(&old.ats, &range, |at| *at)];
        self.ats.extend(ats.iter().map(|at| moved(*at, shift)));
        let colons = &old.colons[within(&old.colons, &range, |at| *at)];
        self.colons.extend(colons.iter().map(|at| moved(*at, shift)));
        self.token = None;
    }

    /// Everything that is noted, as text.
    #[cfg(test)]
    pub(super) fn noted(&self) -> String {
        let Notes { hits, groups, glued, ats, colons, .. } = self;
        format!("{hits:?} {groups:?} {glued:?} {ats:?} {colons:?}")
    }

    /// The notes of these bytes as the detectors see them, and what the name of the value says.
    pub(super) fn scan<'t>(&'t self, bytes: &'t [u8], key: Option<Topic>) -> Scan<'t> {
        let topics = self.hits.iter().map(|hit| hit.topic).chain(key);
        Scan {
            bytes,
            hits: &self.hits,
            groups: &self.groups,
            glued: &self.glued,
            ats: &self.ats,
            colons: &self.colons,
            key,
            sums: Sums::of(&self.groups, &self.glued),
            inner: &[],
            topics: topics.fold(Topics::NONE, Topics::with),
        }
    }
}

/// An offset of the one text in the other.
fn moved(at: usize, shift: isize) -> usize {
    at.wrapping_add_signed(shift)
}

impl<'t> Scan<'t> {
    pub(super) fn with_inner(self, inner: &'t [u32]) -> Scan<'t> {
        Scan { inner, ..self }
    }

    /// Whether a blank here is part of the word that it stands in, as `%20` is.
    pub(super) fn is_inner(&self, at: usize) -> bool {
        !self.inner.is_empty()
            && u32::try_from(at).is_ok_and(|at| self.inner.binary_search(&at).is_ok())
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
        let next = self.hit_after(end);
        self.said_before(next, start, wanted, against)
            .unwrap_or_else(|| self.said_after(next, end, wanted, against))
    }

    /// The first word that begins at a place or after it.
    pub(super) fn hit_after(&self, place: usize) -> usize {
        self.hits.partition_point(|hit| hit.start < place)
    }

    /// What the words before `next` and the value's own name say of what begins at `start`.
    pub(super) fn said_before(
        &self,
        next: usize,
        start: usize,
        wanted: Topics,
        against: Topics,
    ) -> Option<bool> {
        let tells = |hit: &'t Hit| {
            if hit.topic == Topic::Phone && self.is_speaker(hit) {
                return None;
            }
            let wanted = wanted.has(hit.topic);
            (wanted || against.has(hit.topic)).then_some((hit, wanted))
        };
        let mut hits = self.hits[..next]
            .iter()
            .rev()
            .take(16)
            .filter(|hit| hit.end <= start)
            .filter_map(tells);
        let before = hits.next();
        // `Phone on file for the account: 7325550114`: what it is a phone for.
        if let Some((hit, false)) = before
            && hit.topic == Topic::Numbered
            && self.is_label_for(hit, start)
            && let Some((of, true)) = hits.next()
            && self.near(of.end, hit.start, BEFORE)
            && self.is_noun(of)
        {
            return Some(true);
        }
        let is_answer = |end: usize| {
            self.near(end, start, ANSWER)
                && memchr::memmem::find(&self.bytes[end..start], b"aller:").is_some()
        };
        if let Some((hit, wanted)) = before
            && (self.near(hit.end, start, BEFORE) || is_answer(hit.end))
            && (self.same_line(hit.end, start) || !self.has_label(start))
        {
            return Some(wanted);
        }
        let key = self.key?;
        (wanted.has(key) || against.has(key)).then_some(wanted.has(key))
    }

    /// `Caller:` after a question for something else says who speaks, not whose number it is.
    fn is_speaker(&self, hit: &Hit) -> bool {
        const REACH: usize = 64;
        let speaks = |hit: &Hit| {
            self.byte(hit.end) == Some(b':')
                && self.bytes[hit.start..hit.end].eq_ignore_ascii_case(b"caller")
        };
        if !speaks(hit) {
            return false;
        }
        let asked =
            self.hits[..self.hit_after(hit.start)].iter().rev().take(8).take_while(|before| {
                hit.start - before.end.min(hit.start) <= REACH && !speaks(before)
            });
        let mut of_something = false;
        for before in asked {
            if before.topic == Topic::Phone {
                return false;
            }
            // `in case we get cut off`
            let by_the_way = self.bytes[..before.start].ends_with(b"in ");
            of_something |= ASKED_FOR.has(before.topic) && !by_the_way;
        }
        of_something
    }

    /// Whether a word for something else stands at the end of a label as what that is for: `of the account:`.
    fn is_label_for(&self, hit: &Hit, start: usize) -> bool {
        let between = self.bytes[hit.end..start].trim_ascii();
        let is_label = matches!(between, b":" | b"is" | b"is:" | b"):" | b"=");
        let words = self.bytes[hit.start.saturating_sub(12)..hit.start].trim_ascii_end();
        let word = words.rsplit(|b| !b.is_ascii_alphabetic()).next().unwrap_or_default();
        is_label
            && [
                &b"on"[..],
                b"for",
                b"of",
                b"the",
                b"this",
                b"his",
                b"her",
                b"their",
                b"my",
                b"your",
                b"number",
            ]
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known))
    }

    /// `phone`, `SSN`: a thing, not something that is done.
    pub(super) fn is_noun(&self, hit: &Hit) -> bool {
        let word = &self.bytes[hit.start..hit.end];
        [
            &b"phone"[..],
            b"telephone",
            b"cellphone",
            b"mobile",
            b"cell",
            b"tel",
            b"fax",
            b"callback",
            b"ssn",
            b"itin",
        ]
        .iter()
        .any(|noun| word.eq_ignore_ascii_case(noun))
    }

    /// What the words from `next` on say of what ends at `end`, where nothing before it does.
    pub(super) fn said_after(
        &self,
        next: usize,
        end: usize,
        wanted: Topics,
        against: Topics,
    ) -> bool {
        let after = self.hits[next..].iter().take(8).find_map(|hit| {
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
            && !(1..between.len()).any(|at| ends_paragraph(between, at))
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
            i > 0 && ends_paragraph(rest, i)
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

/// Whether a line ends here that holds nothing: with it a paragraph ends.
fn ends_paragraph(bytes: &[u8], at: usize) -> bool {
    bytes[at] == b'\n' && matches!(bytes[..at], [.., b'\n'] | [.., b'\n', b'\r'])
}

/// The places, up to `to`, at which something may have to be written down: a bit for each of the next
/// bytes.
#[inline]
fn places(bytes: &[u8], base: usize, to: usize) -> u64 {
    let block = Block::of(&bytes[base..to.min(base + BLOCK)]);
    let letters = block.is(|bytes| bytes.lower().within(b'a', b'z'));
    let upper = block.is(|bytes| bytes.within(b'A', b'Z'));
    let digits = block.is(|bytes| bytes.within(b'0', b'9'));
    let others = block.is(|bytes| bytes.within(0xC0, 0xFF) | bytes.is(b'@') | bytes.is(b':'));
    // Of dashes those count that others follow; beyond the block it is not known.
    let dashes = block.is(|bytes| bytes.is(b'-'));
    let followed = |n: u32| dashes >> n | !(u64::MAX >> n);
    let rules = dashes & followed(1) & followed(2) & followed(3) & followed(4);
    // What is said of each byte's neighbour in front. A run of digits that was read is read.
    let before = base.checked_sub(1).map_or(0, |at| bytes[at]);
    let behind = |these: u64, before: bool| these << 1 | u64::from(before);
    let after_letter = behind(letters, before.is_ascii_alphabetic());
    let after_lower = behind(letters & !upper, before.is_ascii_lowercase());
    let words = letters & !after_letter | upper & after_lower;
    let amid = after_letter & letters >> 1;
    let numbers = digits & !behind(digits, false) & !amid;
    // Of the words most are none that is looked for. Their places are left out without a branch,
    // which would be foreseen wrongly at every fifth.
    let words = match bytes.get(base..).and_then(|rest| rest.first_chunk()) {
        Some(window) => kept(words, |place| words::may_begin_in(window, place)),
        None => kept(words, |place| words::may_begin(bytes, base + place)),
    };
    words | numbers | others | rules
}

/// Those of some places of which something is so.
#[inline]
fn kept(mut places: u64, so: impl Fn(usize) -> bool) -> u64 {
    let mut kept = 0;
    while places != 0 {
        let place = places.trailing_zeros();
        places &= places - 1;
        kept |= u64::from(so(place as usize)) << place;
    }
    kept
}

/// The end of a run of digits, eight bytes at a time: a branch for each digit would be foreseen
/// wrongly at the end of each number.
fn past_digits(bytes: &[u8], mut at: usize) -> usize {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let each = |b: u8| u64::from_ne_bytes([b; 8]);
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let eight = u64::from_le_bytes(*eight);
        let low = eight & !HIGH;
        // The high bit of each byte: below `0`, or beyond `9`, or not of ASCII.
        let others =
            (!low.wrapping_add(each(0x80 - b'0')) | low.wrapping_add(each(0x7F - b'9')) | eight)
                & HIGH;
        if others != 0 {
            return at + others.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while at < bytes.len() && bytes[at].is_ascii_digit() {
        at += 1;
    }
    at
}

fn is_address_byte(b: u8) -> bool {
    b.is_ascii_hexdigit() || b == b':' || b == b'.'
}

/// Whether letters touch it on both sides.
#[inline]
fn is_amid_letters(bytes: &[u8], start: usize, end: usize) -> bool {
    bytes[..start].last().is_some_and(u8::is_ascii_alphabetic)
        && bytes.get(end).is_some_and(u8::is_ascii_alphabetic)
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
