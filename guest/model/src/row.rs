//! Rows: what the storage door keeps. The store knows keys, versions and due times, never meaning.

use serde::{Deserialize, Serialize};

use crate::{Millis, TenantId};

/// The key of a row: a tenant, and a path of segments joined by `/`. The first segment names the
/// kind of row (`link`, `delivery`, ...); segments never contain `/` themselves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The owner. It is part of every key, so that nothing can cross tenants.
    pub tenant: TenantId,
    /// The rest.
    pub path: String,
}

impl Key {
    /// Joins segments; a character that could be taken for structure is percent-encoded.
    #[must_use]
    pub fn new(tenant: &TenantId, segments: &[&str]) -> Key {
        let mut path = String::new();
        for (i, segment) in segments.iter().enumerate() {
            if i > 0 {
                path.push('/');
            }
            for c in segment.chars() {
                match c {
                    '/' => path.push_str("%2F"),
                    '%' => path.push_str("%25"),
                    '#' => path.push_str("%23"),
                    c => path.push(c),
                }
            }
        }
        Key { tenant: tenant.clone(), path }
    }

    /// The segments as stored.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.path.split('/')
    }
}

/// A stored row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Where.
    pub key: Key,
    /// Grows by one with every change of the row; 1 when new.
    pub version: u64,
    /// What, as JSON. The host seals it.
    pub value: String,
    /// When somebody should look at it.
    pub due: Option<Millis>,
}

/// What a change expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expect {
    /// No row.
    Absent,
    /// The row at this version.
    Version(u64),
    /// Anything.
    Any,
}

/// What a change leaves behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// The new value.
    pub value: String,
    /// When somebody should look at it.
    pub due: Option<Millis>,
}

/// One change of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where.
    pub key: Key,
    /// What must be there.
    pub expect: Expect,
    /// The new row; `None` deletes.
    pub put: Option<Put>,
}

/// Why nothing was committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Somebody else was first; look again.
    #[error("{} was changed by somebody else meanwhile", .0.path)]
    Stale(Key),
    /// The store cannot take it now. Nothing may be acknowledged.
    #[error("the store failed: {0}")]
    Failed(String),
    /// A row is there, and is not what this version of Firn understands. Others' rows are all right.
    #[error("{} cannot be read: {why}", key.path)]
    Unreadable {
        /// The row.
        key: Key,
        /// What is wrong with it. Never what stands in it.
        why: String,
    },
}
