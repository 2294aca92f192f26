//! What is personal only because its name stands near: dates of birth, passport numbers; and
//! wallets, whose addresses have check digits of their own.

use sha2::{Digest as _, Sha256};

use super::scan::{Scan, wordy, wordy_at, wordy_before};
use super::words::{Topic, Topics};
use super::{Candidate, Kind, Reason, digits};

/// A name and what it names may be so many characters apart.
const NEAR: usize = 40;

pub(super) fn find(scan: &Scan, found: &mut Vec<Candidate>) {
    const NAMES: Topics = Topics::of(&[Topic::Birth, Topic::Passport, Topic::Bech32]);
    let hits = if scan.speaks_of(NAMES) { scan.hits } else { &[] };
    for (index, hit) in hits.iter().enumerate() {
        match hit.topic {
            Topic::Birth => birth(scan, index, hit.end, found),
            Topic::Passport => passport(scan, hit.end, found),
            Topic::Bech32 => bech32(scan, hit.start, found),
            _ => {}
        }
    }
    match scan.key {
        Some(Topic::Birth) => birth(scan, 0, 0, found),
        Some(Topic::Passport) => passport(scan, 0, found),
        _ => {}
    }
    wallets(scan, found);
}

/// The first date after the word, or else one shortly before it.
fn birth(scan: &Scan, index: usize, from: usize, found: &mut Vec<Candidate>) {
    let bytes = scan.bytes;
    // Another word about something else ends what this one names.
    let limit = scan.hits[index.min(scan.hits.len())..]
        .iter()
        .find(|hit| hit.start > from && matches!(hit.topic, Topic::Birth))
        .map_or(bytes.len(), |hit| hit.start);
    let mut at = from;
    let limit = limit.min(scan.reach(from, NEAR) + 1);
    while at < limit {
        if is_masked(bytes, at) {
            return;
        }
        if !wordy_before(bytes, at)
            && let Some(end) = date(bytes, at)
        {
            found.push(born(at, end));
            if is_plural(bytes, from) {
                others(bytes, end, |next| {
                    let end = date(bytes, next)?;
                    found.push(born(next, end));
                    Some(end)
                });
            }
            return;
        }
        at += 1;
    }
    // `1980-02-29 (DOB)`
    let Some(hit) = scan.hits.get(index).filter(|hit| hit.end == from) else { return };
    let before = scan.hits[..index].iter().rev().find(|hit| hit.topic == Topic::Birth);
    let floor = before.map_or(0, |hit| hit.end);
    for back in 1..=30.min(hit.start - floor) {
        let at = hit.start - back;
        if wordy_before(bytes, at) {
            continue;
        }
        if let Some(end) = date(bytes, at)
            && end <= hit.start
            && !bytes[end..hit.start].iter().any(|b| matches!(b, b'\n' | b';' | b',' | b'.'))
        {
            found.push(born(at, end));
            return;
        }
    }
}

fn is_plural(bytes: &[u8], end: usize) -> bool {
    bytes.get(end).is_some_and(|b| matches!(b, b's' | b'S'))
}

/// What else a word in the plural names: `X and Y`, `X, Y`.
fn others(bytes: &[u8], mut end: usize, mut take: impl FnMut(usize) -> Option<usize>) {
    const MOST: usize = 8;
    for _ in 0..MOST {
        let joined = [&b", and "[..], b" and ", b" & ", b", ", b" / ", b"/"];
        let Some(join) = joined.iter().find(|join| bytes[end..].starts_with(join)) else { return };
        match take(end + join.len()) {
            Some(next) => end = next,
            None => return,
        }
    }
}

fn born(start: usize, end: usize) -> Candidate {
    Candidate { kind: Kind::DateOfBirth, rule: "birth.word", reason: Reason::Word, start, end }
}

/// `[PASSPORT]`: what the word named is masked already.
fn is_masked(bytes: &[u8], at: usize) -> bool {
    bytes[at] == b'[' && bytes.get(at + 1).is_some_and(u8::is_ascii_uppercase)
}

/// The end of a date that begins here.
fn date(bytes: &[u8], start: usize) -> Option<usize> {
    let number = |at: usize| {
        let length = bytes[at..].iter().take(9).take_while(|b| b.is_ascii_digit()).count();
        let value = bytes[at..at + length]
            .iter()
            .fold(0u32, |a, b| a.wrapping_mul(10) + u32::from(b - b'0'));
        (length > 0).then_some((value, length, at + length))
    };
    // The time of day may follow: `1992-08-19T00:00:00Z`.
    let has_time = |end: usize| matches!(bytes[end..], [b'T', b'0'..=b'2', b'0'..=b'9', b':', ..]);
    let free = |end: usize| (!wordy_at(bytes, end) || has_time(end)).then_some(end);
    let blanks = |at: usize| {
        at + bytes[at..]
            .iter()
            .take(3)
            .take_while(|b| matches!(b, b' ' | b',' | b'.' | b'-' | b'/'))
            .count()
    };
    if let Some((first, length, at)) = number(start) {
        // 19800229
        if length == 8 {
            if start > 0 && bytes[start - 1] == b'-' {
                return None; // A piece of `CS-20250311-07`.
            }
            let (year, month, day) = (first / 10_000, first / 100 % 100, first % 100);
            let backwards =
                digits::is_date(first % 10_000, first / 10_000 % 100, first / 1_000_000)
                    || digits::is_date(first % 10_000, first / 1_000_000, first / 10_000 % 100);
            return (digits::is_date(year, month, day) || backwards).then_some(at).and_then(free);
        }
        // 1980年2月29日, 1980년 2월 29일
        if length == 4 && matches!(bytes.get(at), Some(0x80..)) {
            let mut end = at;
            let mut numbers = 1;
            let mut i = at;
            while i < bytes.len() && i - at < 24 && numbers <= 3 {
                match bytes[i] {
                    b'0'..=b'9' => {
                        let (_, _, next) = number(i)?;
                        numbers += 1;
                        i = next;
                        continue;
                    }
                    0x80.. => end = i + 1,
                    b' ' => {}
                    _ => break,
                }
                if numbers == 3
                    && bytes[i] >= 0x80
                    && bytes.get(i + 1).is_none_or(|b| b & 0xC0 != 0x80)
                {
                    return Some(end);
                }
                i += 1;
            }
            return None;
        }
        // 29 February 1980, 29. Februar 1980, 29th of Feb '80
        let mut word = at;
        if bytes[at..].starts_with(b"st")
            || bytes[at..].starts_with(b"nd")
            || bytes[at..].starts_with(b"rd")
            || bytes[at..].starts_with(b"th")
        {
            word += 2;
        }
        // `1er août`, `1º de maio`
        for ordinal in ["er", "º", "ª"] {
            if word == at && bytes[at..].starts_with(ordinal.as_bytes()) {
                word += ordinal.len();
            }
        }
        // `28FEB1980`
        let glued =
            word == at && length == 2 && bytes[at..].first().is_some_and(u8::is_ascii_uppercase);
        word = blanks(word);
        for filler in [&b"of "[..], b"de ", b"di "] {
            if bytes[word..].starts_with(filler) {
                word += filler.len();
            }
        }
        if length <= 2
            && let Some(end) = if glued { glued_month(bytes, word) } else { month(bytes, word) }
        {
            let mut year = blanks(end);
            for filler in [&b"de "[..], b"del ", b"of "] {
                if bytes[year..].starts_with(filler) {
                    year += filler.len();
                }
            }
            if bytes.get(year) == Some(&b'\'') {
                year += 1;
            }
            let (value, length, end) = number(year)?;
            return (matches!(length, 2 | 4)
                && (1..=31).contains(&first)
                && (length == 2 || (1880..=2100).contains(&value)))
            .then_some(end)
            .and_then(free);
        }
        // 1980-02-29, 29.02.1980, 2/29/80
        let sign = *bytes.get(at)?;
        if !matches!(sign, b'-' | b'/' | b'.' | b' ') {
            return None;
        }
        let skip =
            |at: usize| at + 1 + usize::from(sign == b'.' && bytes.get(at + 1) == Some(&b' '));
        // `06 / 05 / 1971`
        let wide = bytes[at..].starts_with(b" / ");
        let skip = |at: usize| if wide { at + 3 } else { skip(at) };
        let (second, two, at) = number(skip(at))?;
        if bytes.get(at) != Some(&sign) || wide && !bytes[at..].starts_with(b" / ") {
            return None;
        }
        let (third, three, end) = number(skip(at))?;
        let fits = match (length, two, three) {
            (4, 1..=2, 1..=2) => {
                digits::is_date(first, second, third) || digits::is_date(first, third, second)
            }
            (1..=2, 1..=2, 4) => {
                digits::is_date(third, second, first) || digits::is_date(third, first, second)
            }
            (1..=2, 1..=2, 2) => {
                digits::is_date(1980, second, first) || digits::is_date(1980, first, second)
            }
            _ => false,
        };
        return fits.then_some(end).and_then(free);
    }
    // February 29, 1980
    let end = month(bytes, start)?;
    let (day, length, mut at) = number(blanks(end))?;
    if length > 2 || !(1..=31).contains(&day) {
        return None;
    }
    if [&b"st"[..], b"nd", b"rd", b"th"].iter().any(|s| bytes[at..].starts_with(s)) {
        at += 2;
    }
    let (year, length, end) = number(blanks(at))?;
    ((length == 4 && (1880..=2100).contains(&year)) || length == 2).then_some(end).and_then(free)
}

/// Months that begin with letters beyond ASCII.
#[rustfmt::skip]
const BEYOND: [&str; 49] = [
    "mär", "fév", "aoû", "déc", "янв", "фев", "мар", "апр", "мая", "май", "июн", "июл", "авг",
    "сен", "окт", "ноя", "дек", "paź", "úno", "bře", "kvě", "čer", "zář", "říj", "şub", "ağu",
    "يناير", "فبراير", "مارس", "أبريل", "مايو", "يونيو", "يوليو", "أغسطس", "سبتمبر", "أكتوبر", "نوفمبر", "ديسمبر",
    "जनवरी", "फरवरी", "मार्च", "अप्रैल", "जून", "जुलाई", "अगस्त", "सितंबर", "अक्टूबर", "नवंबर", "दिसंबर",
];

/// The end of `FEB` in `28FEB1980`.
fn glued_month(bytes: &[u8], start: usize) -> Option<usize> {
    let name = bytes.get(start..start + 3)?;
    let after = bytes.get(start + 3)?;
    let known = [
        &b"JAN"[..],
        b"FEB",
        b"MAR",
        b"APR",
        b"MAY",
        b"JUN",
        b"JUL",
        b"AUG",
        b"SEP",
        b"OCT",
        b"NOV",
        b"DEC",
    ];
    (known.contains(&name) && after.is_ascii_digit()).then_some(start + 3)
}

/// The end of a month's name that begins here: its first letters and the rest of the word.
fn month(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = &bytes[start..];
    let named = match *rest.first_chunk()? {
        [a, b, c]
            if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() && c.is_ascii_alphabetic() =>
        {
            matches!(
                &[a | 0x20, b | 0x20, c | 0x20],
                // English, German, French, Spanish, Italian, Portuguese, Dutch, by their first letters.
                b"jan"
                    | b"feb"
                    | b"mar"
                    | b"apr"
                    | b"may"
                    | b"jun"
                    | b"jul"
                    | b"aug"
                    | b"sep"
                    | b"oct"
                    | b"nov"
                    | b"dec"
                    | b"mai"
                    | b"okt"
                    | b"dez"
                    | b"fev"
                    | b"avr"
                    | b"jui"
                    | b"aou"
                    | b"ene"
                    | b"abr"
                    | b"ago"
                    | b"dic"
                    | b"mag"
                    | b"giu"
                    | b"lug"
                    | b"set"
                    | b"ott"
                    | b"gen"
                    | b"out"
                    | b"mei"
                    | b"mrt"
                    // Swedish, Danish, Polish, Czech, Turkish.
                    | b"maa"
                    | b"maj"
                    | b"sty"
                    | b"lut"
                    | b"kwi"
                    | b"cze"
                    | b"lip"
                    | b"sie"
                    | b"wrz"
                    | b"lis"
                    | b"gru"
                    | b"led"
                    | b"dub"
                    | b"srp"
                    | b"pro"
                    | b"oca"
                    | b"nis"
                    | b"haz"
                    | b"tem"
                    | b"eyl"
                    | b"eki"
                    | b"kas"
                    | b"ara"
            )
        }
        [a, ..] if a.is_ascii_alphabetic() || a >= 0xC0 => BEYOND.iter().any(|name| {
            rest.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
        }),
        _ => false,
    };
    if !named {
        return None;
    }
    let letters =
        rest.iter().take(24).take_while(|b| b.is_ascii_alphabetic() || **b >= 0x80).count();
    (!wordy_before(bytes, start)).then_some(start + letters)
}

/// A token of 6 to 9 letters and digits, upper case, mostly digits.
fn passport(scan: &Scan, from: usize, found: &mut Vec<Candidate>) {
    let bytes = scan.bytes;
    let mut at = from;
    let reach = bytes.len().min(scan.reach(from, NEAR) + 1);
    while at < reach {
        if is_masked(bytes, at) {
            return;
        }
        if wordy_before(bytes, at) || !wordy(bytes[at]) {
            at += 1;
            continue;
        }
        let length = bytes[at..].iter().take(40).take_while(|b| wordy(**b)).count();
        let (mut end, mut more) = (at + length, &[][..]);
        // `X 1234567`, `12 34 567890`
        if length <= 2 && bytes.get(end) == Some(&b' ') {
            let digits =
                bytes[end + 1..].iter().take(12).take_while(|b| b.is_ascii_digit()).count();
            if digits >= 5 {
                more = &bytes[end + 1..end + 1 + digits];
                end += 1 + digits;
            }
        }
        let token = || bytes[at..at + length].iter().chain(more);
        let size = length + more.len();
        if !(6..=10).contains(&size) {
            at += length.max(1);
            continue;
        }
        let digits = token().filter(|b| b.is_ascii_digit()).count();
        let upper = token().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
        let lower = token().all(u8::is_ascii_alphanumeric) && digits >= 6;
        let dated = matches!(bytes.get(end), Some(b'-' | b'/'))
            && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        let enough = digits >= 3 || digits >= 2 && upper && size >= 8;
        let is_other = more.is_empty() && is_no_passport(&bytes[at..end]);
        if is_other {
            at += length.max(1);
            continue;
        }
        if enough && (upper || lower) && !wordy_at(bytes, end) && !dated {
            found.push(Candidate {
                kind: Kind::Passport,
                rule: "passport.word",
                reason: Reason::Word,
                start: at,
                end,
            });
            if !is_plural(bytes, from) {
                return;
            }
        }
        at += length.max(1);
    }
}

/// A ticket's number, a day.
fn is_no_passport(token: &[u8]) -> bool {
    let number = |range: std::ops::Range<usize>| {
        token[range].iter().fold(0, |sum, b| sum * 10 + u32::from(b - b'0'))
    };
    let is_day = token.len() == 8
        && token.iter().all(u8::is_ascii_digit)
        && (1900..2100).contains(&number(0..4))
        && digits::is_date(number(0..4), number(4..6), number(6..8));
    digits::is_ticket(token) || is_day
}

/// Bitcoin's base58check, and Ethereum's with a word for it.
fn wallets(scan: &Scan, found: &mut Vec<Candidate>) {
    let bytes = scan.bytes;
    for group in scan.glued {
        let start = group.start;
        if wordy_before(bytes, start) {
            continue;
        }
        if matches!(bytes[start], b'1' | b'3') {
            let length =
                bytes[start..].iter().take(40).take_while(|b| b.is_ascii_alphanumeric()).count();
            if (26..=35).contains(&length)
                && !wordy_at(bytes, start + length)
                && is_base58check(&bytes[start..start + length])
            {
                let end = start + length;
                found.push(Candidate {
                    kind: Kind::CryptoWallet,
                    rule: "wallet.base58check",
                    reason: Reason::Checksum,
                    start,
                    end,
                });
            }
        } else if bytes[start..].starts_with(b"0x") {
            let end = start + 42;
            let hex =
                bytes.get(start + 2..end).is_some_and(|h| h.iter().all(u8::is_ascii_hexdigit));
            if hex
                && !wordy_at(bytes, end)
                && scan.is_about(start, end, Topics::of(&[Topic::Wallet]), Topics::NONE)
            {
                found.push(Candidate {
                    kind: Kind::CryptoWallet,
                    rule: "wallet.hex",
                    reason: Reason::Word,
                    start,
                    end,
                });
            }
        }
    }
}

/// 21 bytes and 4 of a double SHA-256, in base 58.
fn is_base58check(text: &[u8]) -> bool {
    const ALPHABET: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut number = [0u8; 25];
    for byte in text {
        let Some(mut carry) = ALPHABET.iter().position(|b| b == byte) else { return false };
        for place in number.iter_mut().rev() {
            carry += usize::from(*place) * 58;
            *place = (carry & 0xFF) as u8;
            carry >>= 8;
        }
        if carry != 0 {
            return false;
        }
    }
    let once = Sha256::digest(&number[..21]);
    Sha256::digest(once)[..4] == number[21..]
}

/// BIP 173 and 350: a checksum of 30 bits.
fn bech32(scan: &Scan, start: usize, found: &mut Vec<Candidate>) {
    const ALPHABET: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let bytes = scan.bytes;
    let length = bytes[start..].iter().take(91).take_while(|b| b.is_ascii_alphanumeric()).count();
    let token = bytes[start..start + length].to_ascii_lowercase();
    let mixed = bytes[start..start + length].iter().any(u8::is_ascii_uppercase)
        && bytes[start..start + length].iter().any(u8::is_ascii_lowercase);
    let Some(one) = token.iter().position(|b| *b == b'1') else { return };
    if !(14..=90).contains(&length) || mixed || length - one < 7 {
        return;
    }
    let mut check = 1u32;
    let mut step = |value: u32| {
        const GENERATOR: [u32; 5] =
            [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
        let top = check >> 25;
        check = (check & 0x01ff_ffff) << 5 ^ value;
        for (bit, generator) in GENERATOR.iter().enumerate() {
            if top >> bit & 1 == 1 {
                check ^= generator;
            }
        }
    };
    token[..one].iter().for_each(|b| step(u32::from(b >> 5)));
    step(0);
    token[..one].iter().for_each(|b| step(u32::from(b & 31)));
    for byte in &token[one + 1..] {
        let Some(value) = ALPHABET.iter().position(|b| b == byte) else { return };
        step(value as u32);
    }
    if matches!(check, 1 | 0x2bc8_30a3) {
        let end = start + length;
        found.push(Candidate {
            kind: Kind::CryptoWallet,
            rule: "wallet.bech32",
            reason: Reason::Checksum,
            start,
            end,
        });
    }
}
