//! Masking: personal data and secrets leave no side of Firn in the clear.
//!
//! One pass over a folded text (`fold`) notes digits, `@`, colons and words (`scan`, `words`);
//! the detectors (`numbers`, `mail`, `network`, `named`, `secrets`) look only where
//! something was noted. No regular expressions, linear time. JSON and tables are masked value by
//! value under their names (`document`).
//!
//! Masking twice is masking once: a text is masked until nothing is found in it. What cannot be
//! masked is dropped, never passed on.

mod digits;
mod document;
mod fold;
mod mail;
mod named;
mod network;
mod numbers;
mod scan;
mod secrets;
mod words;

use document::Segment;
use fold::{Escapes, Folded};
use scan::{Notes, Scan};

/// The most bytes that are masked in one text; a longer one is dropped.
pub const LIMIT: usize = 16 << 20;
/// What stands for a text that could not be masked.
pub const DROPPED: &str = "[DROPPED]";
/// A replacement may bring something together that was apart; so often it is looked for again.
const ROUNDS: usize = 8;

/// What kind of personal data or secret was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A phone number; at most its last four digits are kept.
    Phone,
    /// An e-mail address; its first letter and its domain are kept.
    Email,
    /// A payment card: check digit, issuer and length fit. Its last four digits are kept.
    CreditCard,
    /// A US social security number.
    UsSsn,
    /// A US individual taxpayer number.
    UsItin,
    /// A US bank routing number, near a word for it.
    UsBankRouting,
    /// An account: its country and last four characters are kept.
    Iban,
    /// IPv4 or IPv6, but loopback, masks and versions.
    IpAddress,
    /// A UK National Health Service number.
    UkNhs,
    /// A UK national insurance number.
    UkNino,
    /// A passport's number, near a word for it.
    Passport,
    /// A date near a word for birth.
    DateOfBirth,
    /// A JSON web token.
    Jwt,
    /// An AWS access key, or the secret of one.
    AwsKey,
    /// A GitHub token.
    GithubToken,
    /// A private key in PEM or PGP armour.
    PrivateKey,
    /// A maker's token, or what follows a word for a secret.
    ApiKeyGeneric,
    /// The password in an address.
    UrlCredentials,
    /// A wallet's address.
    CryptoWallet,
    /// A text that could not be masked and was dropped whole.
    Unmaskable,
}

impl Kind {
    /// The name used in findings and policies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Phone => "PHONE",
            Kind::Email => "EMAIL",
            Kind::CreditCard => "CREDIT_CARD",
            Kind::UsSsn => "US_SSN",
            Kind::UsItin => "US_ITIN",
            Kind::UsBankRouting => "US_BANK_ROUTING",
            Kind::Iban => "IBAN",
            Kind::IpAddress => "IP_ADDRESS",
            Kind::UkNhs => "UK_NHS",
            Kind::UkNino => "UK_NINO",
            Kind::Passport => "PASSPORT",
            Kind::DateOfBirth => "DATE_OF_BIRTH",
            Kind::Jwt => "JWT",
            Kind::AwsKey => "AWS_KEY",
            Kind::GithubToken => "GITHUB_TOKEN",
            Kind::PrivateKey => "PRIVATE_KEY",
            Kind::ApiKeyGeneric => "API_KEY_GENERIC",
            Kind::UrlCredentials => "URL_CREDENTIALS",
            Kind::CryptoWallet => "CRYPTO_WALLET",
            Kind::Unmaskable => "UNMASKABLE",
        }
    }

    /// Which of two findings over the same characters stands: the lower.
    fn rank(self) -> u8 {
        match self {
            Kind::Unmaskable => 0,
            Kind::PrivateKey => 1,
            Kind::Jwt | Kind::AwsKey | Kind::GithubToken | Kind::CryptoWallet => 2,
            Kind::UrlCredentials => 3,
            Kind::ApiKeyGeneric => 4,
            Kind::Email => 5,
            Kind::Iban => 6,
            Kind::CreditCard => 7,
            Kind::UsSsn
            | Kind::UsItin
            | Kind::UsBankRouting
            | Kind::UkNhs
            | Kind::UkNino
            | Kind::Passport
            | Kind::DateOfBirth => 8,
            Kind::Phone => 9,
            Kind::IpAddress => 10,
        }
    }
}

/// What speaks for a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A check digit fits.
    Checksum,
    /// Its parts are within the ranges that are given out.
    Range,
    /// It is written as such a thing is.
    Shape,
    /// It begins as such a thing does.
    Prefix,
    /// A word, or the name of the value, says so.
    Word,
}

impl Reason {
    /// The name used in findings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reason::Checksum => "checksum",
            Reason::Range => "range",
            Reason::Shape => "shape",
            Reason::Prefix => "prefix",
            Reason::Word => "word",
        }
    }
}

/// Where something was found: character offsets, end exclusive. Never the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// What it is.
    pub kind: Kind,
    /// The rule that found it.
    pub rule: &'static str,
    /// What speaks for it.
    pub reason: Reason,
    /// First character.
    pub start: usize,
    /// One past the last character.
    pub end: usize,
}

/// A masked text and where it was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked {
    /// The text, safe to show.
    pub text: String,
    /// Sorted, disjoint, in characters of the input.
    pub spans: Vec<Span>,
}

/// Something found in folded bytes.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    kind: Kind,
    rule: &'static str,
    reason: Reason,
    start: usize,
    end: usize,
}

/// Something found, in bytes of the text, and what stands for it.
#[derive(Debug, Clone)]
struct Piece {
    kind: Kind,
    rule: &'static str,
    reason: Reason,
    start: usize,
    end: usize,
    instead: String,
}

/// Masks a text by the default policy.
#[must_use]
pub fn mask(text: &str) -> Masked {
    if text.len() > LIMIT {
        return dropped(text);
    }
    let mut finder = Finder::default();
    finder.find(text);
    if finder.pieces.is_empty() {
        return Masked { text: text.to_owned(), spans: Vec::new() };
    }
    let mut pieces = std::mem::take(&mut finder.pieces);
    let mut masked = render(text, &pieces);
    for _ in 0..ROUNDS {
        finder.find(&masked);
        if finder.pieces.is_empty() {
            return Masked { text: masked, spans: spans(text, &pieces) };
        }
        pieces = join(pieces, std::mem::take(&mut finder.pieces));
        masked = render(text, &pieces);
    }
    dropped(text)
}

/// Every word, mark and prefix that is looked for, for a scan to compare with.
pub fn words() -> impl Iterator<Item = &'static [u8]> {
    words::all()
}

fn dropped(text: &str) -> Masked {
    let span = Span {
        kind: Kind::Unmaskable,
        rule: "limit",
        reason: Reason::Shape,
        start: 0,
        end: text.chars().count(),
    };
    // What should be JSON stays so.
    let json = text.trim_start().starts_with(['{', '[']);
    let instead = if json { format!("\"{DROPPED}\"") } else { DROPPED.to_owned() };
    Masked { text: instead, spans: vec![span] }
}

/// Looks through texts; keeps its memory from one to the next.
#[derive(Default)]
struct Finder {
    notes: Notes,
    found: Vec<Candidate>,
    taken: Vec<(usize, usize)>,
    /// Everything that was found in the last text, sorted and disjoint.
    pieces: Vec<Piece>,
}

impl Finder {
    /// One round.
    fn find(&mut self, text: &str) {
        self.pieces.clear();
        match document::segments(text) {
            None => {
                let whole = Segment {
                    start: 0,
                    end: text.len(),
                    key: None,
                    escapes: Escapes::Plain,
                    number: false,
                };
                self.segment(text, &whole);
            }
            Some(segments) => {
                for one in &segments {
                    self.segment(text, one);
                }
            }
        }
    }

    fn segment(&mut self, text: &str, segment: &Segment) {
        let part = &text[segment.start..segment.end];
        let folded = Folded::new(part, segment.escapes);
        let scan = Scan::new(&folded.bytes, segment.key, &mut self.notes);
        let found = &mut self.found;
        found.clear();
        if !scan.groups.is_empty() || !scan.glued.is_empty() {
            numbers::find(&scan, found);
        }
        mail::find(&scan, found);
        network::find(&scan, found);
        named::find(&scan, found);
        secrets::find(&scan, found);
        choose(found, &mut self.taken);
        for candidate in found.iter() {
            let mut instead =
                instead(candidate.kind, &folded.bytes[candidate.start..candidate.end]);
            let mut start = segment.start + folded.start(part, candidate.start);
            let mut end = segment.start + folded.end(part, candidate.end);
            if segment.number {
                // A number of a JSON document becomes a string.
                (start, end) = (segment.start, segment.end);
                instead = format!("\"{instead}\"");
            }
            self.pieces.push(Piece {
                kind: candidate.kind,
                rule: candidate.rule,
                reason: candidate.reason,
                start,
                end,
                instead,
            });
            if segment.number {
                break;
            }
        }
    }
}

/// Leaves the candidates that stand: by rank, the longer first; never two over one byte. Sorted.
/// `taken` is room to work in.
fn choose(found: &mut Vec<Candidate>, taken: &mut Vec<(usize, usize)>) {
    if found.len() < 2 {
        return;
    }
    found.sort_unstable_by_key(|c| {
        (c.kind.rank(), std::cmp::Reverse(c.end - c.start), c.start, c.rule)
    });
    // What is taken, sorted and disjoint.
    taken.clear();
    found.retain(|c| {
        let place = taken.partition_point(|(_, end)| *end <= c.start);
        let free = taken.get(place).is_none_or(|(start, _)| *start >= c.end);
        if free {
            taken.insert(place, (c.start, c.end));
        }
        free
    });
    found.sort_unstable_by_key(|c| c.start);
}

fn render(text: &str, pieces: &[Piece]) -> String {
    let mut masked = String::with_capacity(text.len() + 16);
    let mut at = 0;
    for piece in pieces {
        masked.push_str(&text[at..piece.start]);
        masked.push_str(&piece.instead);
        at = piece.end;
    }
    masked.push_str(&text[at..]);
    masked
}

/// What a further round found, in offsets of the masked text, brought back to the original.
fn join(old: Vec<Piece>, more: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::with_capacity(old.len() + more.len());
    let mut old = old.into_iter().peekable();
    // The difference of offsets, original minus masked, after the pieces that were passed.
    let mut shift = 0isize;
    let moved = |at: usize, shift: isize| usize::try_from(at as isize + shift).unwrap_or(0);
    for mut new in more {
        let (mut start, mut end) = (None, None);
        while let Some(piece) = old.peek() {
            let begins = moved(piece.start, -shift);
            let ends = begins + piece.instead.len();
            if begins >= new.end {
                break;
            }
            let overlaps = ends > new.start;
            if overlaps && start.is_none() {
                start = Some(moved(new.start, shift).min(piece.start));
            }
            let Some(piece) = old.next() else { break };
            shift += piece.end as isize - piece.start as isize - piece.instead.len() as isize;
            if overlaps {
                end = Some(piece.end.max(moved(new.end, shift)));
            } else {
                joined.push(piece);
            }
        }
        new.start = start.unwrap_or_else(|| moved(new.start, shift));
        new.end = end.unwrap_or_else(|| moved(new.end, shift)).max(new.start);
        match joined.last_mut() {
            // Two findings at both ends of one replacement: what is between goes with them.
            Some(last) if last.end > new.start => {
                last.end = last.end.max(new.end);
                last.instead.push_str(&new.instead);
            }
            _ => joined.push(new),
        }
    }
    joined.extend(old);
    joined
}

/// Offsets in characters.
fn spans(text: &str, pieces: &[Piece]) -> Vec<Span> {
    let mut at = 0;
    let mut characters = 0;
    let mut position = |byte: usize| {
        characters += text[at..byte].chars().count();
        at = byte;
        characters
    };
    pieces
        .iter()
        .map(|piece| Span {
            kind: piece.kind,
            rule: piece.rule,
            reason: piece.reason,
            start: position(piece.start),
            end: position(piece.end),
        })
        .collect()
}

/// What stands for something by the default policy. ASCII without quotes, backslashes and
/// separators of tables: it fits into any document.
fn instead(kind: Kind, found: &[u8]) -> String {
    let last = |characters: usize| -> String {
        let all: Vec<char> =
            found.iter().filter(|b| b.is_ascii_alphanumeric()).map(|b| char::from(*b)).collect();
        let kept = characters.min(all.len() / 2);
        all[all.len() - kept..].iter().collect()
    };
    match kind {
        Kind::Phone => format!("***-***-{}", last(4)),
        Kind::CreditCard => format!("****-****-****-{}", last(4)),
        Kind::UsSsn | Kind::UsItin => "***-**-****".to_owned(),
        Kind::Email => {
            let at = found.iter().position(|b| *b == b'@').unwrap_or(0);
            let first = found.first().filter(|b| at > 1 && b.is_ascii_alphanumeric());
            let domain = String::from_utf8_lossy(&found[at..]);
            first.map_or_else(
                || format!("***{domain}"),
                |b| format!("{}***{domain}", char::from(*b)),
            )
        }
        Kind::Iban => {
            let country = String::from_utf8_lossy(&found[..2]).to_ascii_uppercase();
            format!("{country}**-****-{}", last(4))
        }
        Kind::UrlCredentials => "***".to_owned(),
        _ => format!("[{}]", kind.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, masked: &str) {
        assert_eq!(mask(text).text, masked);
    }

    #[test]
    fn personal_data_is_masked() {
        check("call +15550199888 now", "call ***-***-9888 now");
        check("(415) 555-0132", "***-***-0132");
        check("+1 (415) 555-0132.", "***-***-0132.");
        check("415-555-0132", "***-***-0132");
        check("caller 4155550132", "caller ***-***-0132");
        check("4111 1111 1111 1111", "****-****-****-1111");
        check("card 4111-1111-1111-1111!", "card ****-****-****-1111!");
        check("5500005555555559", "****-****-****-5559");
        check("415.555.0123 (415) 555-0123", "***-***-0123 ***-***-0123");
        check("SSN 219-09-9999", "SSN ***-**-****");
        check("ann.lee@example.com", "a***@example.com");
        check("\u{FF14}111 1111 1111 1111", "****-****-****-1111");
    }

    #[test]
    fn what_only_looks_like_it_survives() {
        for text in [
            "a1b2c3d4e5f60718293a4b5c6d7e8f90",
            "INC0010001 and CHG0030052",
            "2026-04-29 14:30:00",
            "2023-10-27T14:30:00.000Z",
            "00000000-0000-0000-0000-000000000000",
            "order 4111111111111112",
            "version 10.2.33.4",
            "666-12-3456 000-12-3456 078-05-1120",
            "icon@2x.png user@localhost",
            "***-***-1234",
            "1777472999",
        ] {
            check(text, text);
        }
    }

    /// Pieces that texts about people are made of, glued in any way.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "4111 1111 1111 1111",
            "415-555-0132",
            "+44 20 7946 0958",
            "4155550132",
            "phone ",
            "ann.lee@example.com",
            "219-09-9999",
            "DOB: ",
            "1980-02-29",
            "passport ",
            "X1234567",
            "password: ",
            "hunter2",
            "order ",
            "1234567890",
            "10.2.33.4",
            "version ",
            "2001:db8::7",
            "DE89370400440532013000",
            "iban ",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
            "https://u:p4ss@h.example/",
            "AKIAIOSFODNN7EXAMPLE",
            "-----BEGIN PRIVATE KEY-----",
            "-----END PRIVATE KEY-----",
            "MIIEvQ",
            "\u{200B}",
            "\u{A0}",
            "\u{FF14}",
            "%40",
            "&#64;",
            "\\n",
            "\\u0040",
            "\n",
            "\n\n",
            " ",
            "-",
            ".",
            ",",
            ":",
            "\"",
            "{",
            "}",
            "[",
            "]",
            "***",
            "電話",
            "телефон ",
            "é",
            "(",
            ")",
            "+",
            "@",
            "/",
            "a",
            "1",
            "22",
            "token=",
            "Bearer ",
            "nhs ",
            "943 476 5919",
            "routing ",
            "021000021",
        ]);
        prop::collection::vec(piece, 0..24).prop_map(|all| all.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn anything_masked_twice_is_masked_once(text in pieces()) {
            let once = mask(&text);
            prop_assert!(!once.text.contains(DROPPED));
            prop_assert_eq!(&mask(&once.text).text, &once.text);
            // Bounded: a replacement is no longer than a type's name in brackets.
            prop_assert!(once.text.len() <= text.len() + 20 * once.spans.len());
            let end = text.chars().count();
            let mut at = 0;
            for span in &once.spans {
                prop_assert!(at <= span.start && span.start < span.end && span.end <= end, "{:?}", once.spans);
                at = span.end;
            }
        }

        #[test]
        fn json_stays_json(values in prop::collection::vec((pieces(), pieces(), any::<u64>()), 0..4)) {
            let document = serde_json::json!(values.iter().map(|(key, value, number)| {
                serde_json::json!({ key: value, "phone": number, "list": [number, value] })
            }).collect::<Vec<_>>());
            let masked = mask(&document.to_string()).text;
            prop_assert!(serde_json::from_str::<serde_json::Value>(&masked).is_ok(), "{masked}");
            prop_assert!(!masked.contains(DROPPED));
        }

        #[test]
        fn any_text_is_masked(text in any::<String>()) {
            let once = mask(&text).text;
            prop_assert_eq!(&mask(&once).text, &once);
        }
    }

    proptest! {
        #[test]
        fn masking_twice_is_masking_once(text in r"[0-9a-z +\-().@*\n]{0,60}") {
            let once = mask(&text).text;
            prop_assert_eq!(&mask(&once).text, &once);
        }

        #[test]
        fn spans_are_sorted_and_the_rest_is_untouched(text in r"[0-9a-z +\-().@]{0,60}") {
            let chars: Vec<char> = text.chars().collect();
            let masked = mask(&text);
            let mut rest = masked.text.as_str();
            let mut at = 0;
            for span in &masked.spans {
                prop_assert!(span.start >= at && span.start < span.end && span.end <= chars.len());
                let between: String = chars[at..span.start].iter().collect();
                prop_assert!(rest.starts_with(&between));
                let found: String = chars[span.start..span.end].iter().collect();
                let folded = Folded::new(&found, Escapes::Plain);
                let instead = instead(span.kind, &folded.bytes);
                rest = rest[between.len()..].strip_prefix(instead.as_str()).unwrap_or_default();
                at = span.end;
            }
            let tail: String = chars[at..].iter().collect();
            prop_assert_eq!(rest, tail);
        }

        #[test]
        fn no_card_survives(prefix in 400_000_000_000_000u64..500_000_000_000_000) {
            let digits: Vec<u32> = prefix.to_string().bytes().map(|b| u32::from(b - b'0')).collect();
            let sum: u32 = digits.iter().rev().enumerate()
                .map(|(i, d)| if i % 2 == 1 { *d } else if *d > 4 { d * 2 - 9 } else { d * 2 }).sum();
            let card = format!("{prefix}{}", (10 - sum % 10) % 10);
            let text = format!("paid with {card} yesterday");
            prop_assert!(!mask(&text).text.contains(&card[..12]));
        }
    }
}
