//! Which sentences of a ticket are worth keeping: those of the closing notes and those that tell of a solution, and
//! those that speak of what the ticket speaks of most. The ticket's own sentences, cut but never changed.

use std::collections::{BTreeMap, BTreeSet};

use firn_model::{Entry, EntryOrigin, Passage, Source};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::mapping;

/// The most sentences of each kind.
const FOUND: usize = 5;
const SOLVED: usize = 3;
/// The most characters of what was asked, and of a passage.
const ASKED: usize = 600;
const PASSAGE: usize = 600;
/// Of a journal this many of the latest sentences are looked at.
const MOST: usize = 2_000;
/// The most articles, and tickets, that are named.
const NAMED: usize = 50;
/// How many of the words that matter most become tags.
const WORDS: usize = 5;

/// What a sentence that tells of a solution has in it. Lower case, by language: English, German, French, Spanish,
/// Portuguese, Italian, Dutch, Japanese, Chinese.
#[rustfmt::skip]
const SOLUTIONS: &[&str] = &[
    "fixed", "resolved", "solved", "solution", "workaround", "work around", "root cause", "caused by", "because",
    "restarted", "rebooted", "reset", "replaced", "reinstalled", "updated", "upgraded", "rolled back", "reverted",
    "cleared", "renewed", "granted", "enabled", "disabled", "reconfigured", "corrected", "unlocked", "removed",
    "works now", "working again", "works again",
    "behoben", "gelöst", "lösung", "ursache", "neu gestartet", "ersetzt", "zurückgesetzt", "funktioniert wieder",
    "résolu", "corrigé", "solution", "redémarr", "remplac", "réinitialis", "cause",
    "resuelto", "solucion", "reinici", "reemplaz", "causa", "resolvido", "solução", "risolto", "riavvia", "sostitui",
    "opgelost", "oplossing", "oorzaak", "vervangen",
    "解決", "原因", "再起動", "解决", "已修复", "重启",
];

/// What a summary is made of, masked.
pub(super) struct Ticket<'a> {
    pub(super) subject: &'a str,
    pub(super) description: &'a str,
    pub(super) notes: Option<&'a str>,
    pub(super) entries: &'a [Entry],
}

/// What is worth keeping.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    pub(super) asked: String,
    pub(super) found: Vec<Passage>,
    pub(super) solved: Vec<Passage>,
    pub(super) words: Vec<String>,
    pub(super) articles: Vec<String>,
    pub(super) tickets: Vec<String>,
}

/// A sentence of the journal.
struct Sentence<'a> {
    text: &'a str,
    origin: &'a EntryOrigin,
    words: BTreeSet<String>,
    tells_of_solution: bool,
}

pub(super) fn extract(ticket: &Ticket<'_>) -> Learnt {
    let mut learnt = Learnt { asked: asked(ticket), ..Learnt::default() };
    let mut entries: Vec<&Entry> = ticket.entries.iter().filter(|entry| is_source(entry)).collect();
    entries.sort_by(|a, b| (a.at, &a.origin).cmp(&(b.at, &b.origin)));
    let mut said: Vec<Sentence<'_>> = entries
        .iter()
        .flat_map(|entry| {
            sentences(entry.text.text()).map(|text| Sentence {
                text,
                origin: &entry.origin,
                words: words(text),
                tells_of_solution: tells_of_solution(text),
            })
        })
        .collect();
    said.drain(..said.len().saturating_sub(MOST));

    // How many sentences a word stands in; what the subject says counts more.
    let mut weight: BTreeMap<String, u32> = BTreeMap::new();
    let subject = words(ticket.subject);
    let notes = ticket.notes.map(words).unwrap_or_default();
    let all = said.iter().map(|s| &s.words);
    for word in all.chain([&subject, &subject, &notes]).flatten() {
        *weight.entry(word.clone()).or_default() += 1;
    }
    let score = |sentence: &Sentence<'_>| {
        let sum: f64 = sentence.words.iter().map(|w| f64::from(weight[w])).sum();
        // A long sentence has much of everything.
        sum / (sentence.words.len() as f64 + 2.0).sqrt()
    };
    let mut order: Vec<usize> = (0..said.len()).collect();
    order.sort_by(|a, b| score(&said[*b]).total_cmp(&score(&said[*a])).then(a.cmp(b)));

    let mut chosen: BTreeSet<usize> = BTreeSet::new();
    if let Some(notes) = ticket.notes {
        let source = Source::Column(mapping::attribute("close_notes"));
        learnt.solved.push(Passage { text: cut(notes.trim(), PASSAGE), source });
    }
    let room = SOLVED - learnt.solved.len();
    // What was said last of a solution is nearer to it than what was said first.
    let tells = (0..said.len()).rev().filter(|i| said[*i].tells_of_solution).take(room);
    let mut solving: Vec<usize> = tells.collect();
    solving.sort_unstable();
    if solving.is_empty() && learnt.solved.is_empty() {
        solving.extend(said.len().checked_sub(1));
    }
    chosen.extend(&solving);
    let passage = |i: &usize| Passage {
        text: cut(said[*i].text, PASSAGE),
        source: Source::Entry(said[*i].origin.clone()),
    };
    learnt.solved.extend(solving.iter().map(passage));
    let told: BTreeSet<&str> = chosen.iter().map(|i| said[*i].text).collect();
    let mut found: Vec<usize> = order
        .into_iter()
        .filter(|i| {
            !chosen.contains(i) && !told.contains(said[*i].text) && said[*i].words.len() > 2
        })
        .take(FOUND)
        .collect();
    found.sort_unstable();
    learnt.found = found.iter().map(passage).collect();

    let texts = [ticket.subject, ticket.description, ticket.notes.unwrap_or_default()];
    let texts = texts.into_iter().chain(entries.iter().map(|e| e.text.text()));
    let mut named = BTreeSet::new();
    for number in texts.flat_map(numbers) {
        let list =
            if number.starts_with("KB") { &mut learnt.articles } else { &mut learnt.tickets };
        if list.len() < NAMED && named.insert(number.clone()) {
            list.push(number);
        }
    }
    let mut by_weight: Vec<(&String, &u32)> = weight.iter().filter(|(_, n)| **n > 1).collect();
    by_weight.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    learnt.words = by_weight.into_iter().take(WORDS).map(|(word, _)| word.clone()).collect();
    learnt
}

/// What Firn wrote itself is none, also where it could not be recognised as such (a journal that may not be read).
pub(super) fn is_source(entry: &Entry) -> bool {
    entry.origin.is_of_a_person() && entry.author != "firn" && !super::is_last_note(entry)
}

/// The subject, and what the description says first. What was said word by word stays out of it.
fn asked(ticket: &Ticket<'_>) -> String {
    const LABELS: [&str; 2] = ["Escalation reason:", "Transcript"];
    let lines = ticket.description.lines().map(str::trim);
    let told = lines
        .take_while(|line| !line.starts_with("Transcript"))
        .filter(|line| !line.is_empty() && !LABELS.iter().any(|label| line.starts_with(label)))
        .map(|line| line.strip_prefix("Summary:").unwrap_or(line).trim())
        .collect::<Vec<_>>()
        .join(" ");
    let subject = ticket.subject.trim();
    let told = told.strip_prefix(subject).unwrap_or(&told).trim();
    let asked = if told.is_empty() { subject.to_owned() } else { format!("{subject}. {told}") };
    cut(asked.trim_start_matches(". "), ASKED)
}

fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().flat_map(str::unicode_sentences);
    lines.map(str::trim).filter(|sentence| sentence.chars().count() > 3)
}

/// The words that a sentence is about: no short ones, which are mostly grammar, and no numbers.
fn words(text: &str) -> BTreeSet<String> {
    let long = |word: &&str| word.chars().count() >= if word.is_ascii() { 4 } else { 2 };
    let words = text.unicode_words().filter(long).map(str::to_lowercase);
    words.filter(|word| !word.chars().any(|c| c.is_ascii_digit()) && !is_common(word)).collect()
}

/// Long words that stand in every ticket.
#[rustfmt::skip]
fn is_common(word: &str) -> bool {
    matches!(
        word,
        "this" | "that" | "with" | "from" | "have" | "been" | "were" | "will" | "would" | "could" | "should" | "there"
            | "their" | "they" | "then" | "than" | "when" | "what" | "which" | "while" | "where" | "after" | "before"
            | "again" | "also" | "please" | "thanks" | "thank" | "hello" | "user" | "customer" | "caller" | "ticket"
            | "issue" | "problem" | "incident" | "case" | "now" | "still" | "just" | "some" | "about" | "into" | "your"
            | "does" | "done" | "because" | "only" | "very" | "over" | "more" | "other" | "every" | "tried" | "said"
            | "nicht" | "wird" | "wurde" | "eine" | "einen" | "bitte" | "dass" | "auch" | "pour" | "dans" | "avec"
            | "para" | "como" | "esta" | "está"
    )
}

fn tells_of_solution(sentence: &str) -> bool {
    let lower = sentence.to_lowercase();
    // A question tells of none, and neither does what did not help.
    let in_vain = [
        "not fixed",
        "not resolved",
        "did not help",
        "didn't help",
        "no change",
        "not work",
        "hilft nicht",
    ];
    !lower.trim_end().ends_with(['?', '？'])
        && SOLUTIONS.iter().any(|said| lower.contains(said))
        && !in_vain.iter().any(|said| lower.contains(said))
}

/// Numbers of ServiceNow's records: letters that name a kind, and seven digits or more.
fn numbers(text: &str) -> Vec<String> {
    const KINDS: [&str; 8] = ["KB", "INC", "CHG", "PRB", "RITM", "REQ", "SCTASK", "CS"];
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words
        .filter(|word| {
            let digits = word.trim_start_matches(|c: char| c.is_ascii_uppercase());
            (7..=10).contains(&digits.len())
                && digits.bytes().all(|b| b.is_ascii_digit())
                && KINDS.contains(&&word[..word.len() - digits.len()])
        })
        .map(str::to_owned)
        .collect()
}

/// A text of at most so many characters, cut between words.
pub(super) fn cut(text: &str, most: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(most) else { return text.to_owned() };
    let kept = &text[..end];
    let kept =
        kept.rfind(char::is_whitespace).filter(|at| *at > end / 2).map_or(kept, |at| &kept[..at]);
    format!("{}…", kept.trim_end())
}
