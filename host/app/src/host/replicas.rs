//! Which processes work on the same store at this moment, and what falls to each of them. A process renews a row
//! of its own; one whose row has not changed for a while is taken for gone, by the clock of whoever looks: no two
//! machines' clocks are compared.
//!
//! Nothing is lost or doubled when two of them believe otherwise for a moment: what they commit is held against
//! the versions of rows. This is about who does what, so that they are not in each other's way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use firn_model::{Change, CommitError, Expect, Key, Millis, Put};
use firn_storage::{SLOTS, Share, Store};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::vault::system;

/// So often a process renews its row, and looks at the others'.
pub(super) const RENEWED: Duration = Duration::from_secs(1);
/// Unchanged for so long, it is gone.
const GONE: Duration = Duration::from_secs(6);
/// And its row after so long.
const BURIED: Duration = Duration::from_secs(600);
/// Work that has been due for so long falls to everybody: whoever should have done it has not. (Not sooner: where all
/// have more to do than they can, they would be in each other's way.) In milliseconds.
const OVERDUE: u64 = 300_000;
/// The kind of the rows.
pub(super) const KIND: &str = "replica";

/// What a process says of itself.
#[derive(Serialize, Deserialize)]
struct Row {
    /// Firn's version.
    version: String,
    /// When it began. Milliseconds since 1970.
    began: Millis,
}

/// When a row was first seen as it is.
struct Seen {
    version: u64,
    since: Instant,
}

/// The processes on a store.
pub(super) struct Replicas {
    store: Arc<dyn Store>,
    own: String,
    row: String,
    known: BTreeMap<String, Seen>,
    live: Vec<String>,
}

impl Replicas {
    /// Joins the others.
    ///
    /// # Errors
    /// When the store cannot be written or read.
    pub(super) fn join(store: Arc<dyn Store>, now: Millis) -> Result<Replicas> {
        let own = crate::hex(&firn_remote::random::<8>()?);
        let row = Row { version: env!("CARGO_PKG_VERSION").to_owned(), began: now };
        let row = serde_json::to_string(&row)?;
        let mut replicas = Replicas { store, own, row, known: BTreeMap::new(), live: Vec::new() };
        replicas.renew().context("the processes on the store cannot be looked at")?;
        Ok(replicas)
    }

    fn place(id: &str) -> Key {
        Key::new(&system(), &[KIND, id])
    }

    /// Says that it is there, and looks who else is. Gives whether that has changed.
    ///
    /// # Errors
    /// When the store cannot be written or read.
    pub(super) fn renew(&mut self) -> Result<bool, CommitError> {
        let put = Some(Put { value: self.row.clone(), due: None });
        self.store.commit(&[Change { key: Self::place(&self.own), expect: Expect::Any, put }])?;
        let rows = self.store.scan(&system(), &format!("{KIND}/"), None, 10_000)?;
        let at = Instant::now();
        let mut known = BTreeMap::new();
        let mut gone = Vec::new();
        for row in rows {
            let id = row.key.path.rsplit('/').next().unwrap_or_default().to_owned();
            let seen = match self.known.remove(&id) {
                Some(seen) if seen.version == row.version => seen,
                _ => Seen { version: row.version, since: at },
            };
            if at - seen.since > BURIED {
                let expect = Expect::Version(row.version);
                gone.push(Change { key: row.key, expect, put: None });
            }
            known.insert(id, seen);
        }
        self.known = known;
        for change in gone {
            match self.store.commit(&[change]) {
                Ok(()) | Err(CommitError::Stale(_)) => {}
                Err(why) => return Err(why),
            }
        }
        let live =
            self.known.iter().filter(|(id, seen)| **id == self.own || at - seen.since <= GONE);
        let live: Vec<String> = live.map(|(id, _)| id.clone()).collect();
        let changed = live != self.live;
        self.live = live;
        Ok(changed)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.live.len()
    }

    /// What falls to this one.
    pub(super) fn slots(&self) -> Vec<u8> {
        slots(&self.own, &self.live)
    }

    /// Leaves. The others need not wait until it is taken for gone.
    pub(super) fn leave(&self) {
        let change = Change { key: Self::place(&self.own), expect: Expect::Any, put: None };
        if let Err(why) = self.store.commit(&[change]) {
            tracing::warn!(%why, "the other processes learn in some seconds that this one has ended");
        }
    }
}

/// The part of the due rows that has these slots.
pub(super) fn share(slots: Vec<u8>, now: Millis) -> Share {
    Share { slots, overdue: Millis(now.0.saturating_sub_unsigned(OVERDUE)) }
}

/// Each slot falls to whom it is worth most to (rendezvous hashing): who comes or goes moves what it has, and
/// nothing else.
fn slots(own: &str, live: &[String]) -> Vec<u8> {
    let worth = |id: &str, slot: u16| Sha256::digest(format!("{id} {slot}").as_bytes());
    (0..SLOTS)
        .filter(|slot| {
            let best = live.iter().max_by_key(|id| worth(id, *slot));
            best.is_none_or(|best| best == own)
        })
        .filter_map(|slot| u8::try_from(slot).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use firn_storage::Memory;

    use super::*;

    #[test]
    fn each_slot_is_one_replicas_and_who_goes_moves_its_own_alone() {
        let all: Vec<String> = (0..5).map(|n| format!("r{n}")).collect();
        let of =
            |live: &[String]| -> Vec<Vec<u8>> { live.iter().map(|id| slots(id, live)).collect() };
        let before = of(&all);
        let mut taken: Vec<u8> = before.concat();
        taken.sort_unstable();
        assert_eq!(taken, (0..=255).collect::<Vec<u8>>());
        assert!(before.iter().all(|slots| (20..90).contains(&slots.len())), "{before:?}");
        let after = of(&all[..4]);
        for (before, after) in before.iter().zip(&after) {
            assert!(before.iter().all(|slot| after.contains(slot)));
        }
        assert_eq!(slots("r0", &all[..1]).len(), 256);
    }

    #[test]
    fn they_find_each_other_and_who_leaves_is_gone_at_once() {
        let store: Arc<dyn Store> = Arc::new(Memory::default());
        let mut first = Replicas::join(Arc::clone(&store), Millis(0)).unwrap();
        assert_eq!((first.count(), first.slots().len()), (1, 256));
        let second = Replicas::join(Arc::clone(&store), Millis(0)).unwrap();
        assert_eq!(second.count(), 2);
        assert!(first.renew().unwrap());
        assert!(!first.renew().unwrap());
        assert_eq!(first.slots().len() + second.slots().len(), 256);
        second.leave();
        assert!(first.renew().unwrap());
        assert_eq!(first.slots().len(), 256);
    }
}
