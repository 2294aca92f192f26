//! How often a question in other words finds its case: a small labelled set, written by somebody who had not seen
//! the words that count as one. `cargo test --release -p firn-knowledge --test recall -- --nocapture` prints it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // Tests may.

use firn_knowledge::Index;
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
        standing: Standing::Current,
    }
}

fn rows(file: &str) -> impl Iterator<Item = Vec<&str>> {
    file.lines().map(|line| line.split('\t').collect())
}

#[test]
fn a_question_in_other_words_finds_its_case() {
    let cases: Vec<CaseSummary> = rows(include_str!("set/cases.tsv"))
        .map(|row| {
            let [id, asked, found, solved, tags] = row[..] else { panic!("{row:?}") };
            case(id, asked, found, solved, tags)
        })
        .collect();
    let index = Index::new(cases);
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
