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
mod policy;
mod scan;
mod secrets;
mod words;

use firn_model::MaskStrategy;

pub(crate) use policy::is_path;
pub use policy::{Masker, NoTokens, Place, Policy, Tokens};

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
    /// One of the tenant's own; `Policy::name` tells which.
    Own(u16),
}

impl Kind {
    /// The types of the policy.
    pub const ALL: [Kind; 19] = [
        Kind::Phone,
        Kind::Email,
        Kind::CreditCard,
        Kind::UsSsn,
        Kind::UsItin,
        Kind::UsBankRouting,
        Kind::Iban,
        Kind::IpAddress,
        Kind::UkNhs,
        Kind::UkNino,
        Kind::Passport,
        Kind::DateOfBirth,
        Kind::Jwt,
        Kind::AwsKey,
        Kind::GithubToken,
        Kind::PrivateKey,
        Kind::ApiKeyGeneric,
        Kind::UrlCredentials,
        Kind::CryptoWallet,
    ];

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
            Kind::Own(_) => "OWN",
        }
    }

    /// Which of two findings over the same characters stands: the lower.
    fn rank(self) -> u8 {
        match self {
            Kind::Unmaskable | Kind::Own(_) => 0,
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
    /// What was done with it.
    pub strategy: MaskStrategy,
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
    strategy: MaskStrategy,
    start: usize,
    end: usize,
    instead: String,
}

/// Masks a text by the default policy.
#[must_use]
pub fn mask(text: &str) -> Masked {
    static DEFAULT: std::sync::LazyLock<Masker> = std::sync::LazyLock::new(Masker::default);
    mask_with(text, &DEFAULT)
}

fn mask_with(text: &str, masker: &Masker) -> Masked {
    if text.len() > LIMIT {
        return dropped(text);
    }
    let mut finder = Finder::new(masker);
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
        strategy: MaskStrategy::Drop,
        start: 0,
        end: text.chars().count(),
    };
    // What should be JSON stays so.
    let json = text.trim_start().starts_with(['{', '[']);
    let instead = if json { format!("\"{DROPPED}\"") } else { DROPPED.to_owned() };
    Masked { text: instead, spans: vec![span] }
}

/// Looks through texts; keeps its memory from one to the next.
struct Finder<'m> {
    masker: &'m Masker,
    notes: Notes,
    found: Vec<Candidate>,
    taken: Vec<bool>,
    /// Everything that was found in the last text, sorted and disjoint.
    pieces: Vec<Piece>,
}

impl<'m> Finder<'m> {
    fn new(masker: &'m Masker) -> Finder<'m> {
        Finder {
            masker,
            notes: Notes::default(),
            found: Vec::new(),
            taken: Vec::new(),
            pieces: Vec::new(),
        }
    }

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
        self.masker.find_own(&folded.bytes, found);
        choose(found, &mut self.taken, folded.bytes.len());
        for candidate in found.iter() {
            let strategy = self.masker.strategy(candidate.kind);
            if strategy == MaskStrategy::Keep {
                continue;
            }
            let value = &folded.bytes[candidate.start..candidate.end];
            let mut instead = instead(self.masker, candidate.kind, strategy, value);
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
                strategy,
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

/// What stands for a value. ASCII without quotes, backslashes and separators of tables (but for
/// letters of a domain): it fits into any document.
fn instead(masker: &Masker, kind: Kind, strategy: MaskStrategy, value: &[u8]) -> String {
    let name = masker.policy().name(kind);
    match strategy {
        MaskStrategy::Drop => String::new(),
        MaskStrategy::Partial if !matches!(kind, Kind::Own(_)) => partly(kind, value),
        MaskStrategy::Token => {
            let token = masker.token(name, &policy::canonical(kind, value));
            // A token of other letters could be found again, or end a field.
            let token = token.filter(|t| t.bytes().all(|b| b.is_ascii_lowercase()));
            token.map_or_else(|| format!("[{name}]"), |token| format!("[{name}:{token}]"))
        }
        _ => format!("[{name}]"),
    }
}

/// Leaves the candidates that stand: by rank, the longer first; never two over one byte. Sorted.
/// `taken` is room to work in.
fn choose(found: &mut Vec<Candidate>, taken: &mut Vec<bool>, length: usize) {
    if found.len() < 2 {
        return;
    }
    found.sort_unstable_by_key(|c| {
        (c.kind.rank(), std::cmp::Reverse(c.end - c.start), c.start, c.rule)
    });
    // One for each byte: time in proportion to the text, whatever was found in which order.
    taken.clear();
    taken.resize(length, false);
    found.retain(|c| {
        let free = !taken[c.start..c.end].iter().any(|taken| *taken);
        if free {
            taken[c.start..c.end].fill(true);
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
            strategy: piece.strategy,
            start: position(piece.start),
            end: position(piece.end),
        })
        .collect()
}

/// As much of a value as its type may keep: never more than half.
fn partly(kind: Kind, found: &[u8]) -> String {
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
    use firn_model::{MaskPattern, MaskRule, MaskWords, MaskingPolicy, Sink};
    use proptest::prelude::*;
    use std::sync::Arc;

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

    /// A stand-in for the secrets door: letters that depend on the value.
    #[derive(Debug)]
    struct Letters;

    impl Tokens for Letters {
        fn token(&self, kind: &str, canonical: &str) -> Option<String> {
            let sum = canonical
                .bytes()
                .chain(kind.bytes())
                .fold(7u64, |h, b| h.wrapping_mul(0x0100_0000_01B3) ^ u64::from(b));
            Some(format!("{sum:016x}").bytes().map(|b| char::from(b'a' + (b & 15))).collect())
        }
    }

    fn policy(settings: &MaskingPolicy) -> Masker {
        Arc::new(Policy::new(settings, "").unwrap()).at(Place::default())
    }

    fn policy_with_tokens(settings: &MaskingPolicy) -> Masker {
        let policy = Policy::new(settings, "").unwrap().with_tokens(Arc::new(Letters));
        Arc::new(policy).at(Place::default())
    }

    const STRATEGIES: [MaskStrategy; 5] = [
        MaskStrategy::Partial,
        MaskStrategy::Redact,
        MaskStrategy::Token,
        MaskStrategy::Drop,
        MaskStrategy::Keep,
    ];

    #[test]
    fn a_strategy_says_what_stands_for_a_value() {
        let text = "call (415) 555-0132, pay with 4111 1111 1111 1111";
        for (strategy, masked) in [
            (MaskStrategy::Partial, "call ***-***-0132, pay with ****-****-****-1111"),
            (MaskStrategy::Redact, "call [PHONE], pay with [CREDIT_CARD]"),
            (MaskStrategy::Drop, "call , pay with "),
            (MaskStrategy::Keep, text),
            // Nobody has a key.
            (MaskStrategy::Token, "call [PHONE], pay with [CREDIT_CARD]"),
        ] {
            let masker = policy(&MaskingPolicy { strategy, ..MaskingPolicy::default() });
            assert_eq!(masker.mask(text).text, masked);
        }
    }

    #[test]
    fn one_value_has_one_token_however_it_is_written() {
        let strategy = MaskStrategy::Token;
        let masker = policy_with_tokens(&MaskingPolicy { strategy, ..MaskingPolicy::default() });
        let token = |text: &str| masker.mask(text).text;
        let one = token("(415) 555-0132");
        assert!(one.starts_with("[PHONE:") && one.len() == "[PHONE:]".len() + 16, "{one}");
        assert_eq!(token("+14155550132"), one);
        assert_eq!(token("+1 415.555.0132"), one);
        assert_ne!(token("(415) 555-0133"), one);
        assert_eq!(token("Ann@Example.com"), token("ann@example.com"));
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let settings = MaskingPolicy {
            strategy: MaskStrategy::Redact,
            rules: vec![
                MaskRule {
                    types: vec!["EMAIL".to_owned()],
                    fields: vec!["caller.*".to_owned()],
                    to: Some(firn_model::Side::External),
                    sinks: Vec::new(),
                    strategy: MaskStrategy::Keep,
                },
                MaskRule {
                    types: Vec::new(),
                    fields: Vec::new(),
                    to: None,
                    sinks: vec![Sink::Audit],
                    strategy: MaskStrategy::Drop,
                },
            ],
            patterns: vec![MaskPattern {
                name: "BADGE".to_owned(),
                pattern: "B-[0-9]{5}".to_owned(),
            }],
            words: vec![MaskWords {
                name: "PROJECT".to_owned(),
                words: vec!["Blue Falcon".to_owned()],
            }],
        };
        let policy = Arc::new(Policy::new(&settings, "").unwrap());
        let text = "B-12345 of blue falcon is ann@example.com";
        let at = |place| policy.at(place).mask(text).text;
        assert_eq!(at(Place::default()), "[BADGE] of [PROJECT] is [EMAIL]");
        let to = Some(firn_model::Side::External);
        let field = Place { field: Some("caller.mail"), to, sink: Some(Sink::Field) };
        assert_eq!(at(field), "[BADGE] of [PROJECT] is ann@example.com");
        assert_eq!(at(Place { sink: Some(Sink::Audit), ..Place::default() }), " of  is ");
    }

    #[test]
    fn a_policy_that_cannot_be_is_refused_with_every_fault() {
        let pattern = |name: &str, pattern: &str| MaskPattern {
            name: name.to_owned(),
            pattern: pattern.to_owned(),
        };
        let settings = MaskingPolicy {
            rules: vec![MaskRule {
                types: vec!["FONE".to_owned()],
                fields: Vec::new(),
                to: None,
                sinks: Vec::new(),
                strategy: MaskStrategy::Keep,
            }],
            patterns: vec![
                pattern("EMAIL", "x"),
                pattern("lower", "x"),
                pattern("OPEN", "(x"),
                pattern("EMPTY", "x*"),
                pattern("ITSELF", "[A-Z]+"),
                pattern("HUGE", "(((x{99}){99}){99}){99}"),
            ],
            words: vec![MaskWords { name: "NONE".to_owned(), words: Vec::new() }],
            ..MaskingPolicy::default()
        };
        let faults = Policy::new(&settings, "masking.").unwrap_err();
        let at: Vec<&str> = faults.iter().map(|f| f.at.as_str()).collect();
        assert_eq!(
            at,
            [
                "masking.patterns[0].name",
                "masking.patterns[1].name",
                "masking.patterns[2].pattern",
                "masking.patterns[3].pattern",
                "masking.patterns[4].pattern",
                "masking.patterns[5].pattern",
                "masking.words[0].words",
                "masking.rules[0].types[0]",
            ],
            "{faults:#?}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn every_strategy_masks_once(text in pieces(), which in 0usize..5, other in 0usize..5) {
            let rule = MaskRule {
                types: vec!["PHONE".to_owned(), "API_KEY_GENERIC".to_owned(), "BADGE".to_owned()],
                fields: Vec::new(),
                to: None,
                sinks: Vec::new(),
                strategy: STRATEGIES[other],
            };
            let masker = policy_with_tokens(&MaskingPolicy {
                strategy: STRATEGIES[which],
                rules: vec![rule],
                patterns: vec![MaskPattern { name: "BADGE".to_owned(), pattern: "[0-9]{2}a".to_owned() }],
                words: Vec::new(),
            });
            let once = masker.mask(&text).text;
            prop_assert!(!once.contains(DROPPED), "{once}");
            prop_assert_eq!(&masker.mask(&once).text, &once);
        }

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
                let instead = partly(span.kind, &folded.bytes);
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
