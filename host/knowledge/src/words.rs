//! The words that are searched: stems without the words that every sentence has, in the language of the text and
//! in English, which desks mix; and for each word that stands for a thing of a service desk's, the thing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use bm25::{DefaultTokenizer, LanguageMode, Tokenizer};

/// Words for one thing, a line each: what people say for it, and what desks call it. Words of several words are
/// found as they stand.
const THINGS: &str = include_str!("things.txt");

#[derive(Clone)]
pub(crate) struct Words(Arc<Table>);

struct Table {
    english: DefaultTokenizer,
    detected: DefaultTokenizer,
    /// By stem: the things that it stands for.
    things: BTreeMap<String, Vec<usize>>,
    /// Words of several words, between blanks.
    phrases: Vec<(String, usize)>,
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Words").field("things", &self.0.things.len()).finish_non_exhaustive()
    }
}

impl Default for Words {
    /// Made once: the same for all.
    fn default() -> Words {
        static TABLE: LazyLock<Arc<Table>> = LazyLock::new(|| Arc::new(Table::new()));
        Words(Arc::clone(&TABLE))
    }
}

impl Table {
    fn new() -> Table {
        let english = DefaultTokenizer::default();
        let mut things: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut phrases = Vec::new();
        let lines =
            THINGS.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        for (thing, line) in lines.enumerate() {
            for word in line.split(',').map(str::trim) {
                if word.contains(' ') {
                    phrases.push((plain(word), thing));
                    continue;
                }
                for stem in english.tokenize(word) {
                    let known = things.entry(stem).or_default();
                    if !known.contains(&thing) {
                        known.push(thing);
                    }
                }
            }
        }
        Table { english, detected: DefaultTokenizer::new(LanguageMode::Detect), things, phrases }
    }
}

impl Tokenizer for Words {
    fn tokenize(&self, text: &str) -> Vec<String> {
        let Table { english, detected, things, phrases } = &*self.0;
        let mut tokens = english.tokenize(text);
        let known: BTreeSet<String> = tokens.iter().cloned().collect();
        tokens.extend(detected.tokenize(text).into_iter().filter(|token| !known.contains(token)));
        let mut named: Vec<usize> =
            tokens.iter().filter_map(|token| things.get(token)).flatten().copied().collect();
        let text = plain(text);
        named.extend(
            phrases.iter().filter(|(phrase, _)| text.contains(phrase)).map(|(_, thing)| thing),
        );
        // No word has such a sign.
        tokens.extend(named.into_iter().map(|thing| format!("={thing}")));
        tokens
    }
}

/// Lower case, one blank between words, and one at each end.
fn plain(text: &str) -> String {
    let lower = text.to_lowercase().replace(['\'', '\u{2019}'], "");
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut plain = String::from(" ");
    for word in words {
        plain.push_str(word);
        plain.push(' ');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_say_is_what_desks_call_it() {
        let words = Words::default();
        let things = |text: &str| -> BTreeSet<String> {
            words.tokenize(text).into_iter().filter(|token| token.starts_with('=')).collect()
        };
        for (said, called) in [
            ("wireless", "Wi-Fi"),
            ("cannot sign in", "login fails"),
            ("virtual private network", "VPN"),
            ("Drucker", "printer"),
            ("it hangs", "frozen"),
        ] {
            assert!(
                things(said).intersection(&things(called)).next().is_some(),
                "{said}, {called}"
            );
        }
        assert_eq!(things("the cat"), BTreeSet::new());
    }

    #[test]
    fn every_line_of_things_is_well_formed() {
        for line in THINGS.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        {
            let words: Vec<&str> = line.split(',').map(str::trim).collect();
            assert!(words.len() > 1 && words.iter().all(|word| !word.is_empty()), "{line}");
            assert_eq!(line, line.to_lowercase(), "in lower case");
        }
    }
}
