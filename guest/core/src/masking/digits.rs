//! Check digits and number ranges.

/// The number that some digits make.
pub(super) fn number(digits: &[u8], range: std::ops::Range<usize>) -> u32 {
    digits.get(range).unwrap_or_default().iter().fold(0, |a, d| a * 10 + u32::from(*d))
}

/// ISO/IEC 7812: payment cards, and much else.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| match (i % 2, u32::from(*d)) {
            (0, d) => d,
            (_, d) if d > 4 => d * 2 - 9,
            (_, d) => d * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether a payment card may begin so.
pub(super) fn may_be_card(digits: &[u8]) -> bool {
    matches!(digits.first(), Some(2..=6))
}

/// Issuer and length of a payment card.
pub(super) fn is_card(digits: &[u8]) -> bool {
    let n = digits.len();
    if !(12..=19).contains(&n) || !may_be_card(digits) {
        return false;
    }
    let head = |k: usize| digits[..k].iter().fold(0u32, |a, d| a * 10 + u32::from(*d));
    let (two, three, four) = (head(2), head(3), head(4));
    let issuer = match n {
        14 => matches!(two, 36 | 38 | 39) || (300..=305).contains(&three) || four == 3095,
        15 => matches!(two, 34 | 37),
        13 => digits[0] == 4,
        _ => {
            let visa = digits[0] == 4 && matches!(n, 16 | 19);
            let mastercard = n == 16 && ((51..=55).contains(&two) || (2221..=2720).contains(&four));
            let discover =
                n >= 16 && (four == 6011 || two == 65 || (644..=649).contains(&three) || two == 62);
            let jcb = n >= 16 && (3528..=3589).contains(&four);
            let mir = n == 16 && (2200..=2204).contains(&four);
            let diners = n >= 16 && matches!(two, 36 | 38 | 39);
            let maestro = matches!(four, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763);
            visa || mastercard || discover || jcb || mir || diners || maestro
        }
    };
    issuer && luhn(digits) && digits.iter().any(|d| *d != digits[0])
}

/// US routing number: 3-7-1 weights, and a Federal Reserve district.
pub(super) fn is_routing(digits: &[u8]) -> bool {
    if digits.len() != 9 {
        return false;
    }
    let sum: u32 =
        digits.iter().zip([3, 7, 1].iter().cycle()).map(|(d, w)| u32::from(*d) * w).sum();
    let district = u32::from(digits[0]) * 10 + u32::from(digits[1]);
    sum.is_multiple_of(10) && matches!(district, 1..=12 | 21..=32 | 61..=72 | 80)
}

/// NHS number: modulus 11.
pub(super) fn is_nhs(digits: &[u8]) -> bool {
    if digits.len() != 10 || digits.iter().all(|d| *d == digits[0]) {
        return false;
    }
    let sum: u32 = digits[..9].iter().zip((2..=10).rev()).map(|(d, w)| u32::from(*d) * w).sum();
    match 11 - sum % 11 {
        11 => digits[9] == 0,
        10 => false,
        check => u32::from(digits[9]) == check,
    }
}

/// Letters and digits of an IBAN, without blanks: its country's length and ISO 7064 mod 97-10.
pub(super) fn is_iban(text: &[u8]) -> bool {
    let Some(country) = text.get(..2) else { return false };
    let country = [country[0].to_ascii_uppercase(), country[1].to_ascii_uppercase()];
    if iban_length(&country) != Some(text.len()) {
        return false;
    }
    let mut rest = 0u32;
    for byte in text[4..].iter().chain(&text[..4]) {
        rest = match byte {
            b'0'..=b'9' => rest * 10 + u32::from(byte - b'0'),
            b'A'..=b'Z' => rest * 100 + u32::from(byte - b'A') + 10,
            b'a'..=b'z' => rest * 100 + u32::from(byte - b'a') + 10,
            _ => return false,
        } % 97;
    }
    rest == 1
}

/// The length of an IBAN by its country (SWIFT's registry).
pub(super) fn iban_length(country: &[u8]) -> Option<usize> {
    let letter = |at: usize| country.get(at).filter(|b| b.is_ascii_alphabetic());
    let length = IBAN_LENGTHS[place(*letter(0)?, *letter(1)?)];
    (length > 0).then_some(usize::from(length))
}

/// Where a country is in a table of all pairs of letters.
const fn place(first: u8, second: u8) -> usize {
    ((first & 31) as usize) << 5 | (second & 31) as usize
}

static IBAN_LENGTHS: [u8; 1 << 10] = {
    let (mut lengths, mut i) = ([0; 1 << 10], 0);
    while i < IBANS.len() {
        let code = IBANS[i].0.as_bytes();
        lengths[place(code[0], code[1])] = IBANS[i].1;
        i += 1;
    }
    lengths
};

#[rustfmt::skip]
const IBANS: &[(&str, u8)] = &[
    ("AD", 24), ("AE", 23), ("AL", 28), ("AT", 20), ("AZ", 28), ("BA", 20), ("BE", 16), ("BG", 22),
    ("BH", 22), ("BI", 27), ("BR", 29), ("BY", 28), ("CH", 21), ("CR", 22), ("CY", 28), ("CZ", 24),
    ("DE", 22), ("DJ", 27), ("DK", 18), ("DO", 28), ("EE", 20), ("EG", 29), ("ES", 24), ("FI", 18),
    ("FK", 18), ("FO", 18), ("FR", 27), ("GB", 22), ("GE", 22), ("GI", 23), ("GL", 18), ("GR", 27),
    ("GT", 28), ("HN", 28), ("HR", 21), ("HU", 28), ("IE", 22), ("IL", 23), ("IQ", 23), ("IS", 26),
    ("IT", 27), ("JO", 30), ("KW", 30), ("KZ", 20), ("LB", 28), ("LC", 32), ("LI", 21), ("LT", 20),
    ("LU", 20), ("LV", 21), ("LY", 25), ("MC", 27), ("MD", 24), ("ME", 22), ("MK", 19), ("MN", 20),
    ("MR", 27), ("MT", 31), ("MU", 30), ("NI", 28), ("NL", 18), ("NO", 15), ("OM", 23), ("PK", 24),
    ("PL", 28), ("PS", 29), ("PT", 25), ("QA", 29), ("RO", 24), ("RS", 22), ("RU", 33), ("SA", 24),
    ("SC", 31), ("SD", 18), ("SE", 24), ("SI", 19), ("SK", 24), ("SM", 27), ("SO", 23), ("ST", 25),
    ("SV", 28), ("TL", 23), ("TN", 24), ("TR", 26), ("UA", 29), ("VA", 22), ("VG", 24), ("XK", 20),
    ("YE", 30),
];

/// US social security number: area, group and serial in use, and not the one that was printed.
pub(super) fn is_ssn(area: u32, group: u32, serial: u32) -> bool {
    !matches!(area, 0 | 666 | 900..)
        && group != 0
        && serial != 0
        && (area, group, serial) != (78, 5, 1120)
}

/// US individual taxpayer number.
pub(super) fn is_itin(area: u32, group: u32) -> bool {
    (900..=999).contains(&area) && matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

/// UK national insurance number: letters that are given out.
pub(super) fn is_nino(prefix: [u8; 2], suffix: u8) -> bool {
    let [first, second] = [prefix[0].to_ascii_uppercase(), prefix[1].to_ascii_uppercase()];
    let banned = b"DFIQUV";
    first.is_ascii_uppercase()
        && second.is_ascii_uppercase()
        && !banned.contains(&first)
        && !banned.contains(&second)
        && second != b'O'
        && !matches!(&[first, second], b"BG" | b"GB" | b"KN" | b"NK" | b"NT" | b"TN" | b"ZZ")
        && matches!(suffix.to_ascii_uppercase(), b'A'..=b'D')
}

/// A day that somebody living may have been born on, or written down.
pub(super) fn is_date(year: u32, month: u32, day: u32) -> bool {
    (1..=12).contains(&month) && (1..=31).contains(&day) && (1880..=2100).contains(&year)
}

/// `INC0012345`, `KB0010001`: the number of a record of ServiceNow's.
pub(super) fn is_ticket(text: &[u8]) -> bool {
    const KINDS: [&[u8]; 9] =
        [b"INC", b"CHG", b"RITM", b"REQ", b"TASK", b"SCTASK", b"PRB", b"KB", b"CS"];
    KINDS.iter().any(|kind| {
        text.strip_prefix(*kind)
            .is_some_and(|rest| rest.len() >= 5 && rest.iter().all(u8::is_ascii_digit))
    })
}
