//! Laws of masking: idempotence, structure kept, what is found and what is left alone.

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
fn what_is_escaped_hides_nothing() {
    for (text, masked) in [
        ("https://ann:pa%20ss%0Aword1@db.example/x", "https://ann:***@db.example/x"),
        ("POST /login?password=pa%20ss&next=1", "POST /login?password=[API_KEY_GENERIC]&next=1"),
        ("password%3D is%20hunter2%20thanks", "password%3D is%20hunter2%20thanks"),
        (
            "my%20password%20is%20hunter2%20thanks",
            "my%20password%20is%20[API_KEY_GENERIC]%20thanks",
        ),
        ("4111&ensp;1111&thinsp;1111&emsp;1111", "****-****-****-1111"),
        ("4111&nbsp1111&#8201;1111&#x2009;1111", "****-****-****-1111"),
        ("4111%0D%0A1111 1111 1111", "****-****-****-1111"),
        ("phone=%28415%29+555%2D0132", "phone=***-***-0132"),
        (r#"{"note":"4111 1111\r\n1111 1111"}"#, r#"{"note":"****-****-****-1111"}"#),
        (r#"{"card":4.111111111111111E15}"#, r#"{"card":"****-****-****-1111"}"#),
        (r#"{"card":-4111111111111111.00}"#, r#"{"card":"****-****-****-1111"}"#),
        (r#"{"phone":4.155550132e9,"at":1.7e9}"#, r#"{"phone":"***-***-0132","at":1.7e9}"#),
        (r#"{"phone":1e400,"n":1e-9}"#, r#"{"phone":1e400,"n":1e-9}"#),
    ] {
        check(text, masked);
    }
}

#[test]
fn a_phone_number_is_found_at_its_word_and_over_a_line() {
    check("tel4155550132, fax+14155550132", "tel***-***-0132, fax***-***-0132");
    check("mobile07700900123", "mobile***-***-0123");
    check("call (415)\n555-0132 now", "call ***-***-0132 now");
    check("(415)\r\n555-0132", "***-***-0132");
    for text in
        ["hotel4155550132", "ref4155550132", "hp4155550132", "tel4155550132b", "x+4155550132"]
    {
        check(text, text);
    }
}

#[test]
fn a_quoted_local_part_is_part_of_its_address() {
    check("\"ann lee\"@example.com", "***@example.com");
    check("to <\"ann.lee\"@example.com>", "to <***@example.com>");
    check("said \"no\" to x@example.com", "said \"no\" to ***@example.com");
}

#[test]
fn numbers_in_many_small_groups_are_found_whatever_follows() {
    for text in ["nhs 2. 94 34 76 59 19", "nhs 1-94 34 76 59 19"] {
        let masked = mask(text);
        assert!(masked.spans.iter().any(|s| s.kind == Kind::UkNhs), "{text}: {}", masked.text);
    }
    let singles = |n: usize| vec!["5"; n].join(" ");
    let mut texts = vec![
        "phone 5 5 5 0 1 3 2\n1 of 2".to_owned(),
        "call 415 555 0 1 3 2\n2 tickets".to_owned(),
        "call 5 5 5 0 1 3 2 5%".to_owned(),
        "call 5 5 5 0 1 3 2 5-a1".to_owned(),
        "call 5 5 5 0 1 3 2 4-1234567890".to_owned(),
    ];
    texts.extend((7..90).map(|n| format!("call {}", singles(n))));
    for text in texts {
        let masked = mask(&text);
        assert!(masked.spans.iter().any(|s| s.kind == Kind::Phone), "{text}: {}", masked.text);
    }
    // As many as there may be: all of it is told, and it stays JSON.
    let text = format!("{{\"phone\":\"{}\"}}", vec!["0"; 140].join(" "));
    let masked = mask(&text).text;
    assert!(masked.starts_with("{\"phone\":\"***") && masked.ends_with("\"}"), "{masked}");
}

#[test]
fn a_card_is_found_in_whatever_dress_it_comes() {
    for text in [
        "card_4111111111111111",
        "cc4111111111111111",
        "PAN4111111111111111 was read out",
        "my_visa_4111111111111111",
        "card: 4111, 1111, 1111, 1111.",
        "Visa 4111; 1111; 1111; 1111",
        "4111111111111111_visa",
        "Karte4111 1111 1111 1111 nennt er",
        "4111_1111_1111_1111",
        "card_4111_1111_1111_1111_exp",
        "4111,1111,1111,1111",
        "4111;1111;1111;1111",
        "4111:1111:1111:1111",
        "4111|1111|1111|1111",
        "4111*1111*1111*1111",
        "4111~1111~1111~1111",
        "4111+1111+1111+1111",
        "4111 * 1111 * 1111 * 1111",
        "**4111** **1111** **1111** **1111**",
        "`4111` `1111` `1111` `1111`",
        "4111...1111...1111...1111",
        "4111 - 1111 - 1111 - 1111",
        "1. 4111 1111 1111 1111",
        "Qty 3 - 4111 1111 1111 1111",
        "4111 1111 1111 1111 - 123",
        "4111 1111 1111 1111. 2 of them",
        "4111111111111111exp1227",
        "4111111111111111cvv123",
        "%B4111111111111111^LEE/ANN^2712",
        "<b>4111</b> <b>1111</b> <b>1111</b> <b>1111</b>",
        "4111<wbr>1111<wbr>1111<wbr>1111",
        "3782*822463*10005",
        "**4111 1111 1111 1111**",
        "*4111111111111111*",
        "* 4111 1111 1111 1111",
        "**Card:** 4111 1111 1111 1111",
        "Card number*: 4111 1111 1111 1111",
        "/* 4111111111111111 */",
        r#"{"text": "{\"text\": \"Card:\\n4111111111111111\"}"}"#,
        r#"{"text": "{\"text\": \"Card\\t4111-1111-1111-1111\"}"}"#,
        r#"{"text": "{\"text\": \"Card\\n4111\\u00a01111\\u00a01111\\u00a01111\"}"}"#,
        r#"{"number": 4111111111111111.0}"#,
        r#"{"number": -4111111111111111}"#,
        r#"{"text": "\u0034111 1111 1111 1111"}"#,
        r#"{"text": "{\"text\": \"\\u0034111 1111 1111 1111\"}"}"#,
        r#"{"text": "{\"text\": \"{\\\"text\\\": \\\"\\\\u0034111 1111 1111 1111\\\"}\"}"}"#,
    ] {
        let masked = mask(text);
        let kinds: Vec<Kind> = masked.spans.iter().map(|span| span.kind).collect();
        assert_eq!(kinds, [Kind::CreditCard], "{text}: {}", masked.text);
        assert!(!masked.text.contains("4111"), "{text}: {}", masked.text);
        if text.starts_with('{') {
            assert!(
                serde_json::from_str::<serde_json::Value>(&masked.text).is_ok(),
                "{}",
                masked.text
            );
        }
    }
    // A sign of an address as a serializer for the web writes it, within a string of JSON.
    let text = r#"{"body": "{\"phone\": \"\\u002B15550199888\", \"mail\": \"ann.lee\\u0040example.com\"}"}"#;
    let masked = mask(text).text;
    assert!(!masked.contains("1555019") && !masked.contains("ann.lee"), "{masked}");
}

#[test]
fn lists_and_identifiers_of_a_cards_length_survive() {
    for text in [
        "4111, 1111, 1111, 1111",
        "4111; 1111; 1111; 1111",
        "| 4111 | 1111 | 1111 | 1111 |",
        "1234,4111,1111,1111,1111",
        "4111,1111,1111,1111,1234",
        "4111,1111,1111,1112",
        "4111_1111 1111_1111",
        "order_4111111111111111",
        "TXN4111111111111111",
        "v2_card4111111111111111x9",
        "4111111111111111expanse1",
        "4111111111111111exp12a",
        "a9_4111_1111_1111_1111",
        "4111\n1111,1111,1111",
        "4111=1111=1111=1111f0",
        r#"{"number": 4111111111111111.5}"#,
        r#"[4111, 1111, 1111, 1111]"#,
    ] {
        check(text, text);
    }
}

#[test]
fn an_extension_hides_no_phone_number() {
    for text in ["call 415-555-0132x12", "(415) 555-0132x1234", "tel: 4155550132X7"] {
        let masked = mask(text).text;
        assert!(!masked.contains("415"), "{masked}");
    }
    check("a screen of 1920x1080, 3840x2160", "a screen of 1920x1080, 3840x2160");
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
fn words_of_a_tenants_own_are_found_in_any_script() {
    let words = [
        "C++",
        "#tag",
        "\u{dc}ber",
        "Zo\u{eb}",
        "B\u{c4}RLAUCH PROJEKT",
        "\u{436}\u{443}\u{43a}",
        "\u{6771}\u{4eac}",
        "ab",
        "ab-c",
    ];
    let settings = MaskingPolicy {
        patterns: vec![MaskPattern { name: "UML".to_owned(), pattern: "\u{c4}hre".to_owned() }],
        words: vec![MaskWords {
            name: "WORD".to_owned(),
            words: words.map(str::to_owned).to_vec(),
        }],
        ..MaskingPolicy::default()
    };
    let policy = Arc::new(Policy::new(&settings, "").unwrap());
    let mask = |text: &str| policy.at(Place::default()).mask(text).text;
    for word in words {
        assert_eq!(mask(&format!("it is {word}, no?")), "it is [WORD], no?", "{word}");
        assert_eq!(mask(word), "[WORD]");
        assert_eq!(mask(&format!("it is {}.", word.to_lowercase())), "it is [WORD].", "{word}");
    }
    // Within a word it is another one; not so where words have no borders.
    for other in ["\u{dc}berall", "xZo\u{eb}", "abc", "\u{436}\u{443}\u{43a}\u{438}", "dab", "ab_c"]
    {
        assert_eq!(mask(other), other);
    }
    assert_eq!(mask("\u{6771}\u{4eac}\u{90fd}"), "[WORD]\u{90fd}");
    assert_eq!(mask("ab-cd"), "[WORD]-cd", "another one of them begins there");
    assert_eq!(mask("eine \u{c4}hre"), "eine [UML]");
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
        patterns: vec![MaskPattern { name: "BADGE".to_owned(), pattern: "B-[0-9]{5}".to_owned() }],
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

    /// What is read again around replacements is all that has to be.
    #[test]
    fn notes_that_follow_are_those_that_are_read(texts in prop::collection::vec(pieces(), 1..6)) {
        let text: String =
            texts.join(" ").chars().filter(|c| c.is_ascii() && !"%&\\".contains(*c)).collect();
        let mut room = Room::default();
        let (found, _) = find(&text, None, &Masker::default(), &mut room);
        let masked = render(&text, &found);
        room.notes.read(text.as_bytes());
        room.notes.follow(text.as_bytes(), masked.as_bytes(), &found);
        let mut notes = Notes::default();
        notes.read(masked.as_bytes());
        prop_assert_eq!(room.notes.noted(), notes.noted(), "{} became {}", text, masked);
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
            let folded = Folded::new(&found, Written::Plain);
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

    /// By rank, the longer first, over all of the text.
    #[test]
    fn of_what_overlaps_the_first_by_rank_stands(
        spans in proptest::collection::vec((0_u8..6, 0_usize..60, 1_usize..12), 0..40),
    ) {
        const KINDS: [Kind; 6] =
            [Kind::PrivateKey, Kind::Jwt, Kind::Email, Kind::CreditCard, Kind::UkNhs, Kind::Phone];
        let all = spans.iter().map(|(kind, start, length)| Candidate {
            kind: KINDS[usize::from(*kind)],
            rule: "",
            reason: Reason::Range,
            start: *start,
            end: start + length,
        });
        let mut found: Vec<Candidate> = all.collect();
        let mut by_rank = found.clone();
        by_rank.sort_by_key(|c| (c.kind.rank(), std::cmp::Reverse(c.end - c.start), c.start));
        let mut expected: Vec<(usize, usize, u8)> = Vec::new();
        for c in by_rank {
            if expected.iter().all(|(start, end, _)| c.end <= *start || *end <= c.start) {
                expected.push((c.start, c.end, c.kind.rank()));
            }
        }
        expected.sort_unstable();
        choose(&mut found, &mut Vec::new());
        let stand: Vec<_> = found.iter().map(|c| (c.start, c.end, c.kind.rank())).collect();
        prop_assert_eq!(stand, expected);
    }
}
