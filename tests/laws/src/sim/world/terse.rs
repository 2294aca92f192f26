//! What one seed in twenty-three has besides: platforms that say less than they could of how new something is, and answer a
//! change with no more than that it was made. The contract allows it.

use super::Site;
use crate::sim::platform::Dates;

/// One seed in so many, and which.
const TERSE: (u64, u64) = (23, 19);

/// The seed after `n` others, from one on, of those whose platforms say less.
pub(in crate::sim) fn terse(from: u64, n: u64) -> u64 {
    super::harder::nth(TERSE, from, n)
}

/// What is known of it from the start.
pub(super) fn of(seed: u64, sites: &mut [Site]) {
    let (of, which) = TERSE;
    if seed % of != which {
        return;
    }
    let mut rng = fastrand::Rng::with_seed(seed.rotate_left(32));
    for site in sites {
        site.platform.dates = [Dates::Versions, Dates::Times, Dates::EventsOnly][rng.usize(0..3)];
        site.platform.acknowledges = rng.bool();
    }
}
