//! Masking of texts that nobody wrote: labelled texts and the units of slow inputs, cut, glued,
//! doubled and spoiled. Whatever comes: no panic, masked twice is masked once, what was JSON is JSON,
//! findings in order and within the text, and what is outside of them untouched.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fastrand::Rng;
use firn_core::masking::{self, Masker};
use firn_model::{MaskPattern, MaskStrategy, MaskingPolicy};

/// Pieces that make something of their neighbours.
const SEEDS: &[&str] = &[
    "4111 1111 1111 1111",
    "+49 30 901820",
    "(415) 555-0132",
    "219-09-9999",
    "DE89370400440532013000",
    "ann@example.com",
    "https://u:p4ss@h.example/",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    "ghp_",
    "AKIAIOSFODNN7EXAMPLE",
    "-----BEGIN PRIVATE KEY-----\n",
    "-----END PRIVATE KEY-----",
    "password: ",
    "phone ",
    "dob 29.02.1980 ",
    "passport X1234567",
    "10.0.0.1",
    "2001:db8::1",
    "[PHONE]",
    "***-***-",
    "[PHONE:abcdefgh]",
    "{\"phone\": \"",
    "\"}",
    "{\"a\":[1,",
    "a,phone\n",
    "\n\n",
    "\u{200B}",
    "\u{FF14}",
    "\u{660}",
    "%40",
    "&#64;",
    "\\u0040",
    "\\n",
    "é",
    "電話",
    "телефон ",
    "bc1q",
    "0x",
    "1",
    ".",
    "-",
    ":",
    "@",
];

/// What went wrong, and with what text.
#[derive(Debug)]
pub struct Broken {
    /// The run.
    pub run: u64,
    /// The text.
    pub text: String,
    /// The law.
    pub what: String,
}

/// A text for a run.
#[must_use]
pub fn text(run: u64, corpus: &[&str]) -> String {
    let mut rng = Rng::with_seed(run);
    let mut text = String::new();
    for _ in 0..rng.usize(1..6) {
        let piece = match rng.u8(..4) {
            0 => corpus[rng.usize(..corpus.len())],
            _ => SEEDS[rng.usize(..SEEDS.len())],
        };
        let chars: Vec<char> = piece.chars().collect();
        let (from, to) = match rng.u8(..3) {
            0 => (0, chars.len()),
            _ => {
                let from = rng.usize(..chars.len());
                (from, rng.usize(from..=chars.len().min(from + 60)))
            }
        };
        for _ in 0..if rng.u8(..16) == 0 { rng.usize(1..5) } else { 1 } {
            text.extend(&chars[from..to]);
        }
        if rng.bool() {
            text.push_str([" ", "\n", ", ", "", ": ", "="][rng.usize(..6)]);
        }
    }
    // Spoil a few characters.
    if rng.u8(..3) == 0 {
        let mut chars: Vec<char> = text.chars().collect();
        for _ in 0..rng.usize(1..4) {
            if chars.is_empty() {
                break;
            }
            let at = rng.usize(..chars.len());
            match rng.u8(..4) {
                0 => chars[at] = char::from(rng.u8(32..127)),
                1 => chars[at] = rng.char(..),
                2 => drop(chars.remove(at)),
                _ => chars.insert(at, char::from(rng.u8(b'0'..=b'9'))),
            }
        }
        text = chars.into_iter().collect();
    }
    text
}

/// Which of the maskers drops what it finds.
const DROPS: usize = 3;

/// Maskers by every strategy, and one with a pattern of its own.
///
/// # Panics
/// Never: the policies are sound.
#[must_use]
pub fn maskers() -> Vec<Masker> {
    let strategies = [
        MaskStrategy::Partial,
        MaskStrategy::Redact,
        MaskStrategy::Token,
        MaskStrategy::Drop,
        MaskStrategy::Keep,
    ];
    let pattern = MaskPattern { name: "OWN".to_owned(), pattern: "[a-f][0-9]{2}".to_owned() };
    let policies = strategies.into_iter().map(|strategy| MaskingPolicy {
        strategy,
        patterns: if strategy == MaskStrategy::Redact { vec![pattern.clone()] } else { Vec::new() },
        ..MaskingPolicy::default()
    });
    policies
        .filter_map(|policy| masking::Policy::new(&policy, "").ok())
        .map(|policy| std::sync::Arc::new(policy).at(masking::Place::default()))
        .collect()
}

/// One run: a text by one masker. Which one depends on the run; half of all use the default.
///
/// # Errors
/// The law that does not hold.
pub fn run(run: u64, corpus: &[&str], maskers: &[Masker]) -> Result<(), Broken> {
    let text = text(run, corpus);
    let which = if run.is_multiple_of(2) { 0 } else { (run / 2) as usize % maskers.len() };
    let checked = catch_unwind(AssertUnwindSafe(|| laws(&text, &maskers[which], which == DROPS)));
    let what = match checked {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(what)) => what,
        Err(_) => "it panicked".to_owned(),
    };
    Err(Broken { run, text, what })
}

/// `drops`: what is found leaves nothing behind. What follows it may then be found in its place, one
/// word a round, and in the end the whole text is dropped: nothing of it gets through.
fn laws(text: &str, masker: &Masker, drops: bool) -> Result<(), String> {
    let once = masker.mask(text);
    if !drops && once.text.contains(masking::DROPPED) && !text.contains(masking::DROPPED) {
        return Err("it was dropped".to_owned());
    }
    let twice = masker.mask(&once.text);
    if twice.text != once.text {
        return Err(format!("masked once {:?}, twice {:?}", once.text, twice.text));
    }
    let is_json = |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok();
    if text.trim_start().starts_with(['{', '[']) && is_json(text) && !is_json(&once.text) {
        return Err(format!("no JSON any more: {:?}", once.text));
    }
    let chars: Vec<char> = text.chars().collect();
    let mut rest = once.text.as_str();
    let mut at = 0;
    for span in &once.spans {
        if span.start < at || span.end < span.start || span.end > chars.len() {
            return Err(format!("findings out of order: {:?}", once.spans));
        }
        let between: String = chars[at..span.start].iter().collect();
        // What stands for the finding before ends where this begins.
        rest = rest
            .find(&between)
            .map(|found| &rest[found + between.len()..])
            .ok_or_else(|| format!("{between:?} is touched: {:?}", once.text))?;
        at = span.end;
    }
    let tail: String = chars[at..].iter().collect();
    if !rest.ends_with(&tail) {
        return Err(format!("{tail:?} is touched: {:?}", once.text));
    }
    Ok(())
}
