//! Several processes on one store: which of the due rows falls to whom, and what they hear of each other.

use firn_model::Millis;
use sha2::{Digest, Sha256};

/// Into so many slots paths fall, evenly. One slot's rows are one process's at a time.
pub const SLOTS: u16 = 256;

/// The slot of a path. PostgreSQL computes it too: the first byte of its SHA-256.
#[must_use]
pub fn slot(path: &str) -> u8 {
    Sha256::digest(path.as_bytes())[0]
}

/// The part of the due rows that falls to one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Its slots.
    pub slots: Vec<u8>,
    /// What has been due since before, it takes whosever it is: whoever should have taken it, has not.
    pub overdue: Millis,
}

impl Share {
    /// Whether a row falls to it.
    #[must_use]
    pub fn has(&self, path: &str, due: Millis) -> bool {
        due < self.overdue || self.slots.contains(&slot(path))
    }
}

/// What a process hears of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// One has committed changes to rows of these kinds: the first segments of their paths.
    Changed(Vec<String>),
    /// Nothing was heard for a while: anything may have been changed.
    Anything,
}

/// Who is told what is heard. It is called on the store's own thread: it passes it on, and does nothing.
pub type Ear = Box<dyn Fn(Heard) + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_paths() {
        let slots: std::collections::BTreeSet<u8> =
            (0..4_000).map(|n| slot(&format!("link/int-1/l-{n}"))).collect();
        assert_eq!(slots.len(), usize::from(SLOTS));
    }
}
