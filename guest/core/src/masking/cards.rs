//! Payment cards in dress in which no detector of plain groups knows them: other marks between the
//! groups (`4111_1111_...`, `**4111** **1111**`, `<b>4111</b>`), or a word at the number itself (`card_4111...`,
//! `Karte4111 ...`). What else is written so is told by its lengths, its issuer and its check digit.

use super::digits::{is_card, may_be_card};
use super::scan::{Gap, Group, Scan, Sums, wordy};
use super::words::{Topic, Topics};
use super::{Candidate, Kind, Reason};

/// How the digits of a card are grouped.
const SHAPES: [&[usize]; 4] = [&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4]];
/// The most bytes between two groups: a closing and an opening tag, or some marks.
const APART: usize = 32;
/// The most marks between two groups, tags aside.
const MARKS: usize = 6;
/// How far a word reaches that is written at a number.
const WORD: usize = 24;
/// How far before a number a word for a card names it.
const NEAR: usize = 40;

/// Words for a card, as they are written at its number. Lower case.
#[rustfmt::skip]
const WORDS: [&str; 20] = [
    "card", "cardnumber", "cardno", "cardnum", "cc", "ccn", "ccnum", "pan", "visa", "mastercard", "amex",
    "karte", "kartennummer", "carte", "tarjeta", "carta", "cartao", "kaart", "kort", "karta",
];

/// `digits` is room to work in.
pub(super) fn find(scan: &Scan, digits: &mut Vec<u8>, found: &mut Vec<Candidate>) {
    if scan.sums.long {
        for group in scan.glued {
            if (12..=19).contains(&group.len()) {
                at_a_word(scan, *group, digits, found);
            }
        }
    }
    // What `SHAPES` need at least; most texts have no such groups.
    let Sums { fours, six, .. } = scan.sums;
    if fours < 4 && (fours == 0 || !six) {
        return;
    }
    if scan.glued.is_empty() {
        dressed(scan, scan.groups, digits, found);
    } else {
        // In the order in which they stand.
        let mut all = Vec::with_capacity(scan.groups.len() + scan.glued.len());
        let mut glued = scan.glued.iter().peekable();
        for group in scan.groups {
            while let Some(glued) = glued.next_if(|glued| glued.start < group.start) {
                all.push(*glued);
            }
            all.push(*group);
        }
        all.extend(glued);
        dressed(scan, &all, digits, found);
    }
}

/// A number whole, and a word for a card at it.
fn at_a_word(scan: &Scan, group: Group, digits: &mut Vec<u8>, found: &mut Vec<Candidate>) {
    let (before, after) = (word_before(scan, group.start), word_after(scan, group.end));
    let after = after.or(is_expiry(scan, group.end).then_some(b"".as_slice()));
    let (Some(before), Some(after)) = (before, after) else { return };
    let names = |word: &[u8]| word.split(|b| *b == b'_').any(is_word);
    let track = before == b"B" && after.is_empty() && is_track(scan, group);
    if !names(before) && !names(after) && !track && !is_expiry(scan, group.end) {
        return;
    }
    read(scan, &[group], digits);
    if is_card(digits) {
        let Group { start, end, .. } = group;
        let rule = "card.word";
        found.push(Candidate {
            kind: Kind::CreditCard,
            rule,
            reason: Reason::Checksum,
            start,
            end,
        });
    }
}

fn is_word(word: &[u8]) -> bool {
    WORDS.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether a word for a card stands shortly before a place.
fn is_named(scan: &Scan, start: usize) -> bool {
    let before = &scan.bytes[start.saturating_sub(NEAR)..start];
    let line = before.rsplit(|b| *b == b'\n').next().unwrap_or_default();
    line.split(|b| !b.is_ascii_alphanumeric()).any(is_word)
}

/// `%B4111...^`: the first track of a magnetic stripe (ISO/IEC 7813).
fn is_track(scan: &Scan, group: Group) -> bool {
    scan.bytes[..group.start].ends_with(b"%B") && scan.bytes.get(group.end) == Some(&b'^')
}

/// `...exp1227`, `...cvv123`: what stands behind a card's number and belongs to it.
fn is_expiry(scan: &Scan, end: usize) -> bool {
    const WORDS: [&[u8]; 6] = [b"expiry", b"expires", b"exp", b"cvv", b"cvc", b"valid"];
    let rest = &scan.bytes[end..];
    let behind = |word: &&[u8]| {
        let at = rest.get(..word.len()).filter(|at| at.eq_ignore_ascii_case(word));
        at.map(|at| at.len())
    };
    let Some(length) = WORDS.iter().find_map(behind) else { return false };
    let digits = rest[length..].iter().take_while(|b| b.is_ascii_digit()).count();
    (3..=6).contains(&digits) && !super::scan::wordy_at(scan.bytes, end + length + digits)
}

/// Groups as a card's are, with the same marks between all of them.
fn dressed(scan: &Scan, groups: &[Group], digits: &mut Vec<u8>, found: &mut Vec<Candidate>) {
    for (at, first) in groups.iter().enumerate() {
        let next = groups.get(at + 1).map(|next| next.len());
        if first.len() != 4
            || !matches!(next, Some(4 | 6))
            || !may_be_card(&[scan.bytes[first.start] - b'0'])
        {
            continue;
        }
        let fits = |shape: &&&[usize]| {
            groups.get(at..at + shape.len()).is_some_and(|groups| {
                groups.iter().zip(shape.iter()).all(|(group, length)| group.len() == *length)
            })
        };
        for shape in SHAPES.iter().filter(fits) {
            let card = &groups[at..at + shape.len()];
            if card[1..].iter().all(|group| group.gap != Gap::Far) {
                continue; // `numbers` knows it.
            }
            let (start, end) = (card[0].start, card[shape.len() - 1].end);
            let Some(marks) = marks(&scan.bytes[card[0].end..card[1].start]) else { break };
            let same = card
                .windows(2)
                .all(|two| self::marks(&scan.bytes[two[0].end..two[1].start]) == Some(marks));
            // One of many numbers in a list is none by itself.
            let listed = goes_on(scan, &groups[..at], start, marks, true)
                || goes_on(scan, &groups[at + shape.len()..], end, marks, false);
            if !same
                || listed
                || marks.is_list() && !is_named(scan, start)
                || word_before(scan, start).is_none()
                || word_after(scan, end).is_none()
            {
                continue;
            }
            read(scan, card, digits);
            if is_card(digits)
                && !scan.is_about(start, end, Topics::of(&[Topic::Device]), Topics::NONE)
            {
                let (kind, reason) = (Kind::CreditCard, Reason::Checksum);
                found.push(Candidate { kind, rule: "card.dressed", reason, start, end });
                break;
            }
        }
    }
}

fn read(scan: &Scan, groups: &[Group], digits: &mut Vec<u8>) {
    digits.clear();
    for group in groups {
        digits.extend(scan.bytes[group.start..group.end].iter().map(|b| b - b'0'));
    }
}

/// The marks between two groups, tags aside; none if it is anything else.
fn marks(between: &[u8]) -> Option<Marks> {
    if between.is_empty() || between.len() > APART {
        return None;
    }
    let (mut marks, mut tag) = (Marks { signs: [0; MARKS], count: 0 }, false);
    for byte in between {
        match (*byte, tag) {
            (b'<', false) => tag = true,
            (b'>', true) => tag = false,
            (_, true) => {}
            (
                b'\n' | b'\r' | b'"' | b'\'' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | 0x80..,
                _,
            ) => return None,
            (sign, _) => {
                *marks.signs.get_mut(marks.count)? = sign;
                marks.count += 1;
            }
        }
    }
    (!tag).then_some(marks)
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Marks {
    signs: [u8; MARKS],
    count: usize,
}

impl Marks {
    /// What stands between the numbers of a list, or of a sum.
    fn is_list(self) -> bool {
        let signs = &self.signs[..self.count];
        let sets_apart = |sign: &u8| matches!(sign, b',' | b';' | b'|' | b'+' | b'=' | b'&');
        signs.contains(&b' ') && signs.iter().any(sets_apart)
    }
}

/// Whether a group stands before a place, or after it, with the same marks between.
fn goes_on(scan: &Scan, groups: &[Group], place: usize, wanted: Marks, before: bool) -> bool {
    let between = if before {
        groups.last().map(|group| group.end..place)
    } else {
        groups.first().map(|group| place..group.start)
    };
    between.is_some_and(|between| {
        between.len() <= APART && marks(&scan.bytes[between]) == Some(wanted)
    })
}

/// What is written at a number in front: letters and `_`, perhaps nothing. None if there are digits: it is then
/// part of an identifier.
fn word_before<'t>(scan: &Scan<'t>, start: usize) -> Option<&'t [u8]> {
    let text = &scan.bytes[..start];
    let length = text.iter().rev().take(WORD + 1).take_while(|b| wordy(**b)).count();
    word(&text[start - length..])
}

/// The same behind it.
fn word_after<'t>(scan: &Scan<'t>, end: usize) -> Option<&'t [u8]> {
    let text = &scan.bytes[end..];
    let length = text.iter().take(WORD + 1).take_while(|b| wordy(**b)).count();
    word(&text[..length])
}

fn word(text: &[u8]) -> Option<&[u8]> {
    (text.len() <= WORD && !text.iter().any(u8::is_ascii_digit)).then_some(text)
}
