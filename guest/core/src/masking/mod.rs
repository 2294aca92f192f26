//! Masking: personal data and secrets leave no side of Firn in the clear.
//!
//! One pass over a folded text (`fold`) notes digits, `@`, colons and words (`scan`, `words`);
//! the detectors (`numbers`, `cards`, `mail`, `network`, `named`, `secrets`) look only where
//! something was noted. No regular expressions, linear time. JSON and tables are masked value by
//! value under their names (`document`).
//!
//! Masking twice is masking once: a text is masked until nothing is found in it. What cannot be
//! masked is dropped, never passed on.

mod block;
mod cards;
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
use fold::{Folded, Written};
use scan::Notes;

/// The most bytes that are masked in one text; a longer one is dropped.
pub const LIMIT: usize = 16 << 20;
/// The room for a text of up to so many bytes is kept for the next.
const KEPT: usize = 64 << 10;
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
    // A thread that ends has no room left.
    let mut room = ROOM.try_with(std::cell::Cell::take).ok().flatten().unwrap_or_default();
    let masked = masked(text, masker, &mut room);
    // Nothing of a text is kept, and no room that only a long one needs.
    room.digits.resize(room.digits.capacity(), 0);
    room.digits.fill(0);
    if text.len() <= KEPT {
        let _ = ROOM.try_with(|kept| kept.set(Some(room)));
    }
    masked.unwrap_or_else(|| dropped(text))
}

/// Nothing if there is no end of what is found.
fn masked(text: &str, masker: &Masker, room: &mut Room) -> Option<Masked> {
    let (mut pieces, mut known) = find(text, None, masker, room);
    if pieces.is_empty() {
        return Some(Masked { text: text.to_owned(), spans: Vec::new() });
    }
    let mut masked = render(text, &pieces);
    for _ in 0..ROUNDS {
        let before = known.then_some(Before { text, pieces: &pieces });
        let (more, _) = find(&masked, before, masker, room);
        if more.is_empty() {
            return Some(Masked { text: masked, spans: spans(text, &pieces) });
        }
        known = false;
        pieces = join(pieces, more);
        masked = render(text, &pieces);
    }
    None
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

/// Room to work in, kept from text to text.
#[derive(Default)]
struct Room {
    notes: Notes,
    found: Vec<Candidate>,
    taken: Vec<bool>,
    digits: Vec<u8>,
}

thread_local! {
    static ROOM: std::cell::Cell<Option<Box<Room>>> = const { std::cell::Cell::new(None) };
}

/// A text whose notes are there, and what was put into it to make the one that is looked at now.
#[derive(Clone, Copy)]
struct Before<'t> {
    text: &'t str,
    pieces: &'t [Piece],
}

/// One round. Gives what was found, sorted and disjoint, and whether the notes are those of the text
/// as it stands.
fn find(
    text: &str,
    before: Option<Before<'_>>,
    masker: &Masker,
    room: &mut Room,
) -> (Vec<Piece>, bool) {
    let mut pieces = Vec::new();
    if let Some(segments) = document::segments(text) {
        for one in &segments {
            let part = &text[one.start..one.end];
            let folded = Folded::new(part, one.written);
            room.notes.read(&folded.bytes);
            find_in(part, &folded, one, masker, room, &mut pieces);
        }
        return (pieces, false);
    }
    let folded = Folded::new(text, Written::Plain);
    let as_it_is = folded.is_original();
    match before {
        Some(before) if as_it_is => {
            room.notes.follow(before.text.as_bytes(), text.as_bytes(), before.pieces);
        }
        _ => room.notes.read(&folded.bytes),
    }
    let end = text.len();
    let whole = Segment { start: 0, end, key: None, written: Written::Plain };
    find_in(text, &folded, &whole, masker, room, &mut pieces);
    (pieces, as_it_is)
}

/// What is in one value. Its notes are there.
fn find_in(
    part: &str,
    folded: &Folded<'_>,
    segment: &Segment,
    masker: &Masker,
    room: &mut Room,
    pieces: &mut Vec<Piece>,
) {
    let Room { notes, found, taken, digits } = room;
    let scan = notes.scan(&folded.bytes, segment.key).with_inner(&folded.inner);
    found.clear();
    if !scan.groups.is_empty() || !scan.glued.is_empty() {
        numbers::find(&scan, digits, found);
        cards::find(&scan, digits, found);
    }
    mail::find(&scan, found);
    network::find(&scan, found);
    named::find(&scan, found);
    secrets::find(&scan, found);
    masker.find_own(&folded.bytes, found);
    choose(found, taken);
    for candidate in found.iter() {
        let strategy = masker.strategy(candidate.kind);
        if strategy == MaskStrategy::Keep {
            continue;
        }
        let value = &folded.bytes[candidate.start..candidate.end];
        let mut instead = instead(masker, candidate.kind, strategy, value);
        let mut start = segment.start + folded.start(part, candidate.start);
        let mut end = segment.start + folded.end(part, candidate.end);
        if segment.written == Written::Number {
            // A number of a JSON document becomes a string.
            (start, end) = (segment.start, segment.end);
            instead = format!("\"{instead}\"");
        }
        pieces.push(Piece {
            kind: candidate.kind,
            rule: candidate.rule,
            reason: candidate.reason,
            strategy,
            start,
            end,
            instead,
        });
        if segment.written == Written::Number {
            break;
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
fn choose(found: &mut Vec<Candidate>, taken: &mut Vec<bool>) {
    // Each detector finds them in order, or nearly so, which a stable sort makes use of.
    found.sort_by_key(|c| c.start);
    let (mut kept, mut first) = (0, 0);
    while let Some(Candidate { start, mut end, .. }) = found.get(first).copied() {
        // Those that overlap, each another one of them. Most are by themselves.
        let mut next = first + 1;
        while let Some(other) = found.get(next).filter(|other| other.start < end) {
            end = end.max(other.end);
            next += 1;
        }
        if next - first == 1 {
            found[kept] = found[first];
            (kept, first) = (kept + 1, next);
            continue;
        }
        found[first..next].sort_unstable_by_key(|c| {
            (c.kind.rank(), std::cmp::Reverse(c.end - c.start), c.start, c.rule)
        });
        // One for each byte: time in proportion to the text, whatever was found in which order.
        taken.clear();
        taken.resize(end - start, false);
        let stands = kept;
        for at in first..next {
            let candidate = found[at];
            let bytes = &mut taken[candidate.start - start..candidate.end - start];
            if bytes.iter().all(|taken| !*taken) {
                bytes.fill(true);
                found[kept] = candidate;
                kept += 1;
            }
        }
        found[stands..kept].sort_unstable_by_key(|c| c.start);
        first = next;
    }
    found.truncate(kept);
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
    let ascii = text.is_ascii();
    let mut at = 0;
    let mut characters = 0;
    let mut position = |byte: usize| {
        characters += if ascii { byte - at } else { text[at..byte].chars().count() };
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
    let with_last_four = |begins: &str| -> String {
        let counts = |b: &&u8| b.is_ascii_alphanumeric();
        let all = found.iter().filter(counts).count();
        let kept = all / 2;
        let mut partly = String::with_capacity(begins.len() + 4);
        partly.push_str(begins);
        let last = found.iter().filter(counts).skip(all - kept.min(4));
        partly.extend(last.map(|b| char::from(*b)));
        partly
    };
    match kind {
        Kind::Phone => with_last_four("***-***-"),
        Kind::CreditCard => with_last_four("****-****-****-"),
        Kind::UsSsn | Kind::UsItin => "***-**-****".to_owned(),
        Kind::Email => {
            let at = found.iter().rposition(|b| *b == b'@').unwrap_or(0);
            let first = found.first().filter(|b| at > 1 && b.is_ascii_alphanumeric());
            let mut partly = String::with_capacity(4 + found.len() - at);
            partly.extend(first.map(|b| char::from(*b)));
            partly.push_str("***");
            partly.push_str(&String::from_utf8_lossy(&found[at..]));
            partly
        }
        Kind::Iban => {
            let country = String::from_utf8_lossy(&found[..2]).to_ascii_uppercase();
            with_last_four(&format!("{country}**-****-"))
        }
        Kind::UrlCredentials => "***".to_owned(),
        _ => format!("[{}]", kind.name()),
    }
}

#[cfg(test)]
mod tests;
