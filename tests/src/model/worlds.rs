//! The worlds that are explored: which sizes, under which settings.

use super::small::Bounds;

/// A world in which nothing happens.
pub const NOTHING: Bounds = Bounds {
    strategy: "last-write-wins",
    owner: "shared",
    mode: "plain",
    edits: 0,
    comments: 0,
    deletions: 0,
    lost: 0,
    doubled: 0,
    crashes: 0,
};

/// One world under every strategy, owner and escalation mode.
#[must_use]
pub fn each(bounds: Bounds) -> Vec<Bounds> {
    let mut all = Vec::new();
    for strategy in ["last-write-wins", "ownership-priority", "manual-review"] {
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
    for strategy in ["last-write-wins", "ownership-priority", "manual-review"] {
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

/// What is stated in docs/testing.md.
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
