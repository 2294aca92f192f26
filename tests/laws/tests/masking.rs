//! Masking on the labelled texts. `cargo score --faults` tells what is missed and what is damaged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may.

use firn_laws::masking;

#[test]
fn what_is_personal_is_caught_and_the_rest_survives() {
    let set = masking::read(include_str!("../masking/labelled.tsv")).unwrap();
    let score = masking::score(&set);
    assert!(set.len() >= 400);
    let share = |(of, part): (usize, usize)| part as f64 / of as f64;
    let told = || format!("{}\n{score}", score.faults.join("\n"));
    assert!(score.recall() >= 0.98 && score.mean_recall() >= 0.98, "{}", told());
    assert!(score.precision() >= 0.98, "{}", told());
    assert!(share(score.clean) <= 0.015, "{}", told());
    assert_eq!(score.json.1, 0, "{}", told());
}
