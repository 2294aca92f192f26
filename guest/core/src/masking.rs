//! Masking: personal data leaves no side of Firn unmasked. One pass over the text, no regular
//! expressions, linear time; what is replaced can never be taken for personal data again, so that
//! masking twice is masking once.
//!
//! A first, honest masker: phone numbers, payment cards, US social security numbers and e-mail
//! addresses, by the rules of the masking policy, sections 1 and 2.

/// What kind of personal data was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A phone number; its last four digits are kept.
    Phone,
    /// A payment card: check digit, issuer prefix and length fit. Its last four digits are kept.
    CreditCard,
    /// A US social security number; nothing is kept.
    UsSsn,
    /// An e-mail address; its first letter and domain are kept.
    Email,
}

impl Kind {
    /// The name used in findings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Phone => "PHONE",
            Kind::CreditCard => "CREDIT_CARD",
            Kind::UsSsn => "US_SSN",
            Kind::Email => "EMAIL",
        }
    }
}

/// Where something was found: character offsets, end exclusive. Never the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// What it is.
    pub kind: Kind,
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

/// Masks a text.
#[must_use]
pub fn mask(text: &str) -> Masked {
    let chars: Vec<char> = text.chars().collect();
    let spans = find(&chars);
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    for span in &spans {
        masked.extend(&chars[at..span.start]);
        masked.push_str(&replacement(span.kind, &chars[span.start..span.end]));
        at = span.end;
    }
    masked.extend(&chars[at..]);
    Masked { text: masked, spans }
}

fn replacement(kind: Kind, found: &[char]) -> String {
    let digits: Vec<u32> = found.iter().filter_map(|c| digit(*c)).collect();
    let last4: String =
        digits.iter().rev().take(4).rev().map(|d| char::from(b'0' + *d as u8)).collect();
    match kind {
        Kind::Phone => format!("***-***-{last4}"),
        Kind::CreditCard => format!("****-****-****-{last4}"),
        Kind::UsSsn => "***-**-****".to_owned(),
        Kind::Email => {
            let at = found.iter().position(|c| *c == '@').unwrap_or(0);
            let first: String = found.iter().take(1).filter(|_| at > 1).collect();
            let domain: String = found[at..].iter().collect();
            format!("{first}***{domain}")
        }
    }
}

/// ASCII, full-width and Arabic-Indic digits.
fn digit(c: char) -> Option<u32> {
    match c {
        '0'..='9' => Some(c as u32 - '0' as u32),
        '\u{FF10}'..='\u{FF19}' => Some(c as u32 - 0xFF10),
        '\u{0660}'..='\u{0669}' => Some(c as u32 - 0x0660),
        _ => None,
    }
}

/// What may stand between groups of digits.
fn separator(c: char) -> bool {
    matches!(
        c,
        ' ' | '-' | '.' | '(' | ')' | '/' | '\u{A0}' | '\u{2007}' | '\u{2009}' | '\u{202F}'
            | '\u{2010}'..='\u{2015}' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}'
    )
}

fn wordy(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A run of digit groups with separators, cut out of the text.
struct Run {
    /// Groups of digits with the character range of each.
    groups: Vec<(usize, usize, Vec<u32>)>,
    /// The character before the first group.
    before: Option<char>,
}

fn find(chars: &[char]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        if c == '@' || c == '\u{FF20}' {
            let floor = spans.last().map_or(0, |s| s.end);
            if let Some(span) = email(chars, i, floor) {
                while spans.last().is_some_and(|s| s.end > span.start) {
                    spans.pop();
                }
                i = span.end;
                spans.push(span);
                continue;
            }
        } else if digit(c).is_some() && (i == 0 || !wordy(chars[i - 1])) {
            let (run, end) = run(chars, i);
            numbers(chars, &run, &mut spans);
            i = end;
            continue;
        }
        i += 1;
    }
    spans
}

/// Reads a run from its first digit; at most two separators between groups.
fn run(chars: &[char], start: usize) -> (Run, usize) {
    let before = start.checked_sub(1).map(|i| chars[i]);
    let mut groups = Vec::new();
    let mut i = start;
    let mut end = start;
    loop {
        let from = i;
        let mut digits = Vec::new();
        while let Some(d) = chars.get(i).and_then(|c| digit(*c)) {
            digits.push(d);
            i += 1;
        }
        // Glued to a word: `INC0010001` never starts a run, `12ab` ends one before it.
        if chars.get(i).is_some_and(|c| wordy(*c)) {
            while chars.get(i).is_some_and(|c| wordy(*c)) {
                i += 1;
            }
            return (Run { groups, before }, i.max(end));
        }
        groups.push((from, i, digits));
        end = i;
        let mut gap = 0;
        while gap < 3 && chars.get(i + gap).is_some_and(|c| separator(*c)) {
            gap += 1;
        }
        if gap == 0 || gap > 2 || chars.get(i + gap).is_none_or(|c| digit(*c).is_none()) {
            return (Run { groups, before }, end);
        }
        i += gap;
    }
}

fn numbers(chars: &[char], run: &Run, spans: &mut Vec<Span>) {
    let mut first = 0;
    while first < run.groups.len() {
        let found = (first..run.groups.len())
            .rev()
            .find_map(|last| classify(chars, run, first, last).map(|kind| (kind, last)));
        if let Some((kind, last)) = found {
            let mut start = run.groups[first].0;
            if kind == Kind::Phone {
                while start > 0 && matches!(chars[start - 1], '+' | '\u{FF0B}' | '(') {
                    start -= 1;
                }
            }
            spans.push(Span { kind, start, end: run.groups[last].1 });
            first = last + 1;
        } else {
            first += 1;
        }
    }
}

fn classify(chars: &[char], run: &Run, first: usize, last: usize) -> Option<Kind> {
    let groups = &run.groups[first..=last];
    let digits: Vec<u32> = groups.iter().flat_map(|(_, _, d)| d.iter().copied()).collect();
    let lengths: Vec<usize> = groups.iter().map(|(_, _, d)| d.len()).collect();
    let start = groups[0].0;
    let before = if first == 0 { run.before } else { chars.get(start - 1).copied() };
    let plus = matches!(before, Some('+' | '\u{FF0B}'))
        || (before == Some('(') && start >= 2 && chars[start - 2] == '+');
    if card(&digits, &lengths) && !plus {
        return Some(Kind::CreditCard);
    }
    if lengths == [3, 2, 4] && ssn(&digits) {
        return Some(Kind::UsSsn);
    }
    if plus && (8..=15).contains(&digits.len()) {
        return Some(Kind::Phone);
    }
    let national = if digits.len() == 11 && digits[0] == 1 { &digits[1..] } else { &digits[..] };
    let grouped = matches!(lengths.as_slice(), [3, 3, 4] | [1, 3, 3, 4] | [3, 7]);
    if grouped && national.len() == 10 && national[0] >= 2 && national[3] >= 2 {
        return Some(Kind::Phone);
    }
    if lengths.len() == 1
        && (10..=11).contains(&digits.len())
        && phone_word(chars, start, groups[0].1)
    {
        return Some(Kind::Phone);
    }
    None
}

/// Whether a word for "phone" stands within 40 characters before or 30 after.
fn phone_word(chars: &[char], start: usize, end: usize) -> bool {
    let before: String = chars[start.saturating_sub(40)..start].iter().collect();
    let after: String = chars[end..(end + 30).min(chars.len())].iter().collect();
    let near = |text: &str| {
        let text = text.to_lowercase();
        ["phone", "mobile", "cell", "call me", "caller", "tel", "fax", "reach me", "whatsapp"]
            .iter()
            .any(|word| text.contains(word))
    };
    near(before.rsplit("\n\n").next().unwrap_or_default())
        || near(after.split("\n\n").next().unwrap_or_default())
}

fn card(digits: &[u32], lengths: &[usize]) -> bool {
    let n = digits.len();
    let grouped = matches!(
        lengths,
        [_] | [4, 4, 4, 4] | [4, 6, 5] | [4, 6, 4] | [4, 4, 4, 4, 3] | [4, 4, 5] | [8, 8]
    );
    if !(13..=19).contains(&n) || !grouped {
        return false;
    }
    let head = |k: usize| digits[..k].iter().fold(0, |a, d| a * 10 + d);
    let issuer = match n {
        13 | 19 => digits[0] == 4 || head(4) == 6011,
        14 => matches!(head(2), 36 | 38 | 39) || (300..=305).contains(&head(3)),
        15 => matches!(head(2), 34 | 37),
        16 => {
            digits[0] == 4
                || (51..=55).contains(&head(2))
                || (2221..=2720).contains(&head(4))
                || head(4) == 6011
                || head(2) == 65
                || (644..=649).contains(&head(3))
                || (3528..=3589).contains(&head(4))
        }
        _ => false,
    };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| {
            if i % 2 == 0 {
                *d
            } else if *d > 4 {
                d * 2 - 9
            } else {
                d * 2
            }
        })
        .sum();
    issuer && sum.is_multiple_of(10)
}

fn ssn(digits: &[u32]) -> bool {
    let number = |range: std::ops::Range<usize>| digits[range].iter().fold(0, |a, d| a * 10 + d);
    let (area, group, serial) = (number(0..3), number(3..5), number(5..9));
    area != 0
        && area != 666
        && area < 900
        && group != 0
        && serial != 0
        && !(area == 78 && group == 5 && serial == 1120)
}

/// An address around the `@` at `at`, not reaching back before `floor`.
fn email(chars: &[char], at: usize, floor: usize) -> Option<Span> {
    let local = |c: char| c.is_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(c);
    let mut start = at;
    while start > floor && at - start < 64 && local(chars[start - 1]) && chars[start - 1] != '*' {
        start -= 1;
    }
    while start < at && !chars[start].is_alphanumeric() {
        start += 1;
    }
    let domain = |c: char| c.is_alphanumeric() || c == '-' || c == '.';
    let mut end = at + 1;
    while end < chars.len() && end - at < 255 && domain(chars[end]) {
        end += 1;
    }
    while end > at + 1 && matches!(chars[end - 1], '.' | '-') {
        end -= 1;
    }
    let name: String = chars[at + 1..end].iter().collect();
    let tail = name.rsplit('.').next().unwrap_or_default();
    let file = ["png", "jpg", "jpeg", "gif", "svg", "webp", "js", "css"].contains(&tail);
    let top_level = tail.chars().count() >= 2 && tail.chars().all(char::is_alphabetic);
    (start < at && name.contains('.') && top_level && !file && chars[at - 1] != '*')
        .then_some(Span { kind: Kind::Email, start, end })
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
                rest = &rest[between.len() + replacement(span.kind, &chars[span.start..span.end]).len()..];
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
