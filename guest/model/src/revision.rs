//! Revisions: which of two observations of the same record is the later one.

use serde::{Deserialize, Serialize};

use crate::Millis;

/// When a side's record was as observed. Kept per field, and never compared across sides.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Revision {
    /// ServiceNow: `sys_updated_on` (whole seconds) and `sys_mod_count`, which older rules omit.
    External {
        /// `sys_updated_on` as an instant.
        updated: Millis,
        /// `sys_mod_count`: 0 after the insert, one more for each update.
        mod_count: Option<u32>,
    },
    /// The platform: its own version if it has one, else its timestamp.
    Platform {
        /// Grows by any amount with every change.
        version: Option<u64>,
        /// When the change happened.
        at: Millis,
    },
}

/// How two revisions stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The first is older.
    Older,
    /// They name the same state.
    Same,
    /// The first is newer.
    Newer,
    /// They cannot be ordered; only a read can tell.
    Unordered,
}

impl Revision {
    /// When the edit behind this revision happened, by that side's clock.
    #[must_use]
    pub fn at(&self) -> Millis {
        match *self {
            Revision::External { updated, .. } => updated,
            Revision::Platform { at, .. } => at,
        }
    }

    /// Compares with another revision of the same record.
    ///
    /// `sys_mod_count` alone orders where both carry it; without it, whole seconds order and a
    /// tie is `Unordered`. Likewise for the platform's version and timestamp.
    #[must_use]
    pub fn order(&self, other: &Revision) -> Order {
        fn by<T: Ord>(a: T, b: T, tie: Order) -> Order {
            match a.cmp(&b) {
                std::cmp::Ordering::Less => Order::Older,
                std::cmp::Ordering::Equal => tie,
                std::cmp::Ordering::Greater => Order::Newer,
            }
        }
        match (*self, *other) {
            (
                Revision::External { updated: a, mod_count: m },
                Revision::External { updated: b, mod_count: n },
            ) => match (m, n) {
                (Some(m), Some(n)) => by(m, n, Order::Same),
                _ => by(a, b, Order::Unordered),
            },
            (
                Revision::Platform { version: v, at: a },
                Revision::Platform { version: w, at: b },
            ) => match (v, w) {
                (Some(v), Some(w)) => by(v, w, Order::Same),
                _ => by(a, b, Order::Unordered),
            },
            _ => Order::Unordered,
        }
    }

    /// Whether updates lie between `earlier` and this revision that nobody has shown us.
    #[must_use]
    pub fn leaves_a_gap_after(&self, earlier: &Revision) -> bool {
        match (*self, *earlier) {
            (
                Revision::External { mod_count: Some(m), .. },
                Revision::External { mod_count: Some(n), .. },
            ) => m > n.saturating_add(1),
            (
                Revision::Platform { version: Some(v), .. },
                Revision::Platform { version: Some(w), .. },
            ) => v > w.saturating_add(1),
            _ => false,
        }
    }
}
