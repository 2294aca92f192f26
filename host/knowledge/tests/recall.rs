//! How often a question in other words finds its case: a small labelled set, written by somebody who had not seen
//! the words that count as one. `cargo test --release -p firn-knowledge --test recall -- --nocapture` prints it; with
//! FIRN_VECTORS=FILE also by words and vectors together, which `set/embed.mjs` makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // Tests may.

use std::collections::BTreeMap;

use firn_knowledge::{Index, Meanings, Space, Vector};
use firn_model::{
    Attribute, CaseSummary, IntegrationId, LearntFrom, LinkId, Maker, Millis, Passage, Source,
    Standing, SysId, TableName,
};

fn case(id: &str, asked: &str, found: &str, solved: &str, tags: &str) -> CaseSummary {
    let passage = |text: &str| Passage {
        text: text.to_owned(),
        source: Source::Column(Attribute::new("close_notes").unwrap()),
    };
    CaseSummary {
        id: id.to_owned(),
        integration: IntegrationId::new("int-1").unwrap(),
        link: LinkId::new(format!("l-{id}")).unwrap(),
        ticket: LearntFrom {
            table: TableName::new("incident").unwrap(),
            sys_id: SysId::new("a1b2c3d4e5f60718293a4b5c6d7e8f90").unwrap(),
            number: None,
        },
        asked: asked.to_owned(),
        found: vec![passage(found)],
        solved: vec![passage(solved)],
        tags: tags.split(',').map(|tag| tag.trim().to_owned()).collect(),
        articles: Vec::new(),
        tickets: Vec::new(),
        made: Millis(0),
        maker: Maker::Extract,
        model: None,
        standing: Standing::Current,
    }
}

fn rows(file: &str) -> impl Iterator<Item = Vec<&str>> {
    file.lines().map(|line| line.split('\t').collect())
}

fn cases() -> Vec<CaseSummary> {
    rows(include_str!("set/cases.tsv"))
        .map(|row| {
            let [id, asked, found, solved, tags] = row[..] else { panic!("{row:?}") };
            case(id, asked, found, solved, tags)
        })
        .collect()
}

/// What a model makes of the set.
#[derive(serde::Deserialize)]
struct Vectors {
    cases: BTreeMap<String, Vec<f32>>,
    questions: Vec<Vec<f32>>,
}

#[test]
fn words_and_vectors_together_find_more_than_either() {
    let Ok(file) = std::env::var("FIRN_VECTORS") else { return };
    let vectors: Vectors = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let space = || Space("measured".to_owned());
    let vector = |numbers: &[f32]| Vector::new(numbers.to_vec()).unwrap();
    let of = vectors.cases.iter().map(|(id, numbers)| (id.clone(), (space(), vector(numbers))));
    let index = Index::with_vectors(cases(), of.collect());
    let questions: Vec<_> = rows(include_str!("set/questions.tsv")).collect();
    assert_eq!(questions.len(), vectors.questions.len());
    // By words, by vectors alone (a question of no words), and by both.
    let ranked = |by: &str| {
        let (mut first, mut five) = (0, 0);
        for (row, numbers) in questions.iter().zip(&vectors.questions) {
            let meanings = Meanings::from([(space(), vector(numbers))]);
            let hits = match by {
                "words" => index.search(row[0]),
                "vectors" => index.search_with("", &meanings, |_| true),
                _ => index.search_with(row[0], &meanings, |_| true),
            };
            let at = hits.iter().position(|hit| hit.case.id == row[1]);
            first += usize::from(at == Some(0));
            five += usize::from(at.is_some_and(|at| at < 5));
        }
        println!("by {by}: first {first}, among five {five} of {}", questions.len());
        five
    };
    let (words, vectors, both) = (ranked("words"), ranked("vectors"), ranked("both"));
    assert!(both >= words && both >= vectors);
}

#[test]
fn a_case_that_shares_no_word_is_found_by_what_it_means() {
    let space = || Space("m".to_owned());
    let vector = |numbers: &[f32]| Vector::new(numbers.to_vec()).unwrap();
    let cases = || vec![case("c1", "Car", "", "Engine", ""), case("c2", "Lamp", "", "Bulb", "")];
    let vectors = BTreeMap::from([
        ("c1".to_owned(), (space(), vector(&[1.0, 0.0]))),
        ("c2".to_owned(), (Space("another".to_owned()), vector(&[0.0, 1.0]))),
    ]);
    let index = Index::with_vectors(cases(), vectors);
    let asked = Meanings::from([(space(), vector(&[0.9, 0.1]))]);
    let found = |question: &str, meanings: &Meanings| -> Vec<String> {
        index
            .search_with(question, meanings, |_| true)
            .iter()
            .map(|hit| hit.case.id.clone())
            .collect()
    };
    assert_eq!(found("automobile", &asked), ["c1"]);
    assert_eq!(found("lamp", &asked).len(), 2, "by its words, and by what it means");
    assert_eq!(found("automobile", &Meanings::new()), Vec::<String>::new());
    // A question of another model's says nothing here.
    let strange = Meanings::from([(Space("third".to_owned()), vector(&[1.0, 0.0]))]);
    assert_eq!(found("lamp", &strange), ["c2"]);
}

#[test]
fn a_question_in_other_words_finds_its_case() {
    let index = Index::new(cases());
    let (mut all, mut first, mut five, mut like, mut told) = (0, 0, 0, 0, 0);
    for row in rows(include_str!("set/questions.tsv")) {
        let [question, id] = row[..] else { panic!("{row:?}") };
        let hits = index.search(question);
        let at = hits.iter().position(|hit| hit.case.id == id);
        all += 1;
        first += usize::from(at == Some(0));
        five += usize::from(at.is_some_and(|at| at < 5));
        if at.is_none_or(|at| at >= 5) {
            println!("{id} at {at:?}: {question}");
        }
        let shown = index.like(question, 0.34, 2);
        told += shown.len().min(3);
        like += usize::from(shown.iter().take(3).any(|hit| hit.case.id == id));
    }
    println!(
        "{all} questions: first {first}, among five {five}; shown as like: {like}, of {told} shown"
    );
    assert!(five * 100 >= all * 55, "among five: {five} of {all}");
}

#[test]
fn what_was_superseded_or_has_nothing_of_it_is_not_found() {
    let old =
        CaseSummary { standing: Standing::Superseded, ..case("c1", "VPN drops", "", "MTU", "vpn") };
    let index =
        Index::new(vec![old, case("c2", "The printer jams", "", "Replaced a roller", "printer")]);
    assert!(index.search("vpn").is_empty());
    assert_eq!(index.search("paper jam in the printer").len(), 1);
    assert!(index.search("").is_empty() && index.search("?!").is_empty());
    assert!(
        index
            .like(
                "the printer of the cafeteria needs another contract with its vendor soon",
                0.34,
                2
            )
            .is_empty()
    );
    assert!(Index::new(Vec::new()).search("anything").is_empty());
}
