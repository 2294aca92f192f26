//! The worlds that are explored: which sizes, under which settings.

use firn_model::Side;

use super::bounds::{Bounds, Edit, What};

const fn on(side: Side, what: What) -> Edit {
    Edit { side, what }
}

/// Every edit there is.
const ANY: &[Edit] = &[
    on(Side::Platform, What::Title("x")),
    on(Side::External, What::Title("x")),
    on(Side::Platform, What::Title("y")),
    on(Side::External, What::Title("y")),
    on(Side::Platform, What::Resolved),
    on(Side::External, What::Resolved),
];

/// Both sides change one field apart, and ServiceNow's user the other.
const APART: &[Edit] = &[
    on(Side::Platform, What::Title("x")),
    on(Side::External, What::Title("y")),
    on(Side::External, What::Resolved),
];

/// One side changes one field, and both make the same change to the other.
const TOGETHER: &[Edit] = &[
    on(Side::External, What::Title("x")),
    on(Side::Platform, What::Resolved),
    on(Side::External, What::Resolved),
];

/// A world in which nothing happens.
pub const NOTHING: Bounds = Bounds {
    strategy: "last-write-wins",
    owner: "shared",
    mode: "plain",
    script: ANY,
    edits: 0,
    once: false,
    comments: 0,
    deletions: 0,
    lost: 0,
    doubled: 0,
    crashes: 0,
    faults: u8::MAX,
};

const STRATEGIES: [&str; 3] = ["last-write-wins", "ownership-priority", "manual-review"];

/// One world under every strategy, owner and escalation mode.
#[must_use]
pub fn each(bounds: Bounds) -> Vec<Bounds> {
    let mut all = Vec::new();
    for strategy in STRATEGIES {
        for owner in ["shared", "platform", "external"] {
            for mode in ["plain", "unique"] {
                all.push(Bounds { strategy, owner, mode, ..bounds.clone() });
            }
        }
    }
    all
}

/// One world under every strategy, with a shared and an owned field.
fn under(bounds: &Bounds) -> Vec<Bounds> {
    let mut all = Vec::new();
    for strategy in STRATEGIES {
        for owner in ["shared", "platform"] {
            all.push(Bounds { strategy, owner, ..bounds.clone() });
        }
    }
    all
}

/// What fits a test run.
#[must_use]
pub fn quick() -> Vec<Bounds> {
    let mut all = Vec::new();
    all.extend(under(&Bounds { edits: 2, ..NOTHING }));
    all.extend(each(Bounds { lost: 1, crashes: 1, ..NOTHING }));
    all.extend(under(&Bounds { edits: 1, lost: 1, ..NOTHING }));
    all.push(Bounds { comments: 3, lost: 1, ..NOTHING });
    all.push(Bounds { edits: 1, deletions: 1, lost: 1, ..NOTHING });
    all
}

/// Worlds that each go far in one direction: any edit any number of times, several faults of a kind.
#[must_use]
pub fn stated() -> Vec<Bounds> {
    let mut all = Vec::new();
    all.extend(each(Bounds { lost: 2, crashes: 2, ..NOTHING }));
    all.extend(under(&Bounds { edits: 2, doubled: 1, ..NOTHING }));
    all.extend(under(&Bounds { edits: 2, lost: 1, ..NOTHING }));
    all.extend(under(&Bounds { edits: 1, lost: 1, doubled: 1, crashes: 1, ..NOTHING }));
    all.extend(under(&Bounds { edits: 3, ..NOTHING }));
    for mode in ["plain", "unique"] {
        all.push(Bounds { mode, comments: 3, lost: 1, crashes: 1, ..NOTHING });
        all.push(Bounds { mode, edits: 1, comments: 1, deletions: 1, lost: 1, ..NOTHING });
        all.push(Bounds { mode, edits: 1, deletions: 1, lost: 1, crashes: 1, ..NOTHING });
    }
    all
}

/// Everything in one world: three edits of two fields, a comment, a create, a deletion, and an
/// answer lost, a message doubled or a crash at every step; under every strategy.
#[must_use]
pub fn joint(faults: u8) -> Vec<Bounds> {
    let mut all = Vec::new();
    for script in [APART, TOGETHER] {
        for strategy in STRATEGIES {
            all.push(Bounds {
                strategy,
                script,
                edits: 3,
                once: true,
                comments: 1,
                deletions: 1,
                lost: 1,
                doubled: 1,
                crashes: 1,
                faults,
                ..NOTHING
            });
        }
    }
    all
}
