//! Masking on the labelled texts. `cargo score --faults` tells what is missed and what is damaged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may.

use firn_laws::{fuzz, masking};

#[test]
fn what_is_personal_is_caught_and_the_rest_survives() {
    for (set, least) in [
        (include_str!("../masking/labelled.tsv"), 400),
        (include_str!("../masking/second.tsv"), 300),
        (include_str!("../masking/third.tsv"), 300),
        (include_str!("../masking/fourth.tsv"), 1_000),
    ] {
        let set = masking::read(set).unwrap();
        let score = masking::score(&set);
        assert!(set.len() >= least);
        let share = |(of, part): (usize, usize)| part as f64 / of as f64;
        let told = || format!("{}\n{score}", score.faults.join("\n"));
        assert!(score.recall() >= 0.98 && score.mean_recall() >= 0.98, "{}", told());
        assert!(score.precision() >= 0.98, "{}", told());
        assert!(share(score.clean) <= 0.015, "{}", told());
        assert!(share(score.lookalikes) <= 0.01, "{}", told());
        assert_eq!(score.json.1, 0, "{}", told());
    }
}

/// Texts that were written to break it, by somebody who had read how it works.
#[test]
fn what_once_broke_it_does_so_no_more() {
    let set = masking::read(include_str!("../masking/probes.tsv")).unwrap();
    let score = masking::score(&set);
    assert!(score.faults.is_empty(), "{}", score.faults.join("\n"));
    assert!(set.len() > 500);
}

/// A part of what `cargo fuzz-masking` does.
#[test]
fn texts_that_nobody_wrote_are_masked() {
    let set = masking::read(include_str!("../masking/labelled.tsv")).unwrap();
    let corpus: Vec<&str> = set.iter().map(|one| one.text.as_str()).collect();
    let maskers = fuzz::maskers();
    for run in 0..200_000 {
        if let Err(why) = fuzz::run(run, &corpus, &maskers) {
            panic!(
                "{}\n{:?}\nsee it again: cargo fuzz-masking --runs 1 --from {run}",
                why.what, why.text
            );
        }
    }
}
