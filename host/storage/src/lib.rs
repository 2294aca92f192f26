//! The storage door: rows with versions and due times, committed atomically and only then
//! acknowledged. The store knows keys, never meaning; every value is sealed for its tenant.
//!
//! Three implementations of [`Store`], one conformance suite (`tests/conformance.rs`): [`Sqlite`], one file of one
//! process; [`Postgres`], a database of many; and [`Memory`], the in-memory model that the simulation runs on.

mod chain;
mod memory;
mod open;
mod postgres;
mod seal;
mod share;
mod sqlite;

pub use chain::{AuditFault, AuditReport};
pub use memory::Memory;
pub use open::OpenError;
pub use postgres::Postgres;
pub use seal::{MasterKey, SealerError};
pub use share::{Ear, Heard, SLOTS, Share, slot};
pub use sqlite::{Alone, Inspected, Sqlite, alone, opens, rotate};

use firn_model::{Change, CommitError, Key, Millis, Row, TenantId};

/// How far an erasure got.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Erased {
    /// Nothing of it is left on disk.
    Wholly,
    /// The rows are gone; what they said lies sealed elsewhere still.
    FromRows {
        /// Where, why, and what can be done about it.
        left: String,
    },
}

/// The storage door, host side.
pub trait Store: Send + Sync {
    /// The rows of these keys, in order.
    ///
    /// # Errors
    /// `Failed` when the store cannot be read now.
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, CommitError>;

    /// Up to `limit` rows whose path begins with `prefix` and is greater than `after`, in order.
    ///
    /// # Errors
    /// `Failed` when the store cannot be read now.
    fn scan(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Row>, CommitError>;

    /// All changes or none; returns after the data is safe. Rows whose path begins with `audit/` are only
    /// ever added: one that is there already stays as it is, and none is deleted.
    ///
    /// # Errors
    /// `Stale` when a row was not as expected, `Failed` when the store cannot take it now.
    fn commit(&self, changes: &[Change]) -> Result<(), CommitError>;

    /// Makes changes and removes lines of the audit, all or nothing, on somebody's wish: of what was there
    /// nothing is left on disk. That lines were removed stays, as a row `told`, whose path begins with
    /// `audit/_erased/`: their numbers. The whole file may be written anew for it, and others wait meanwhile.
    ///
    /// # Errors
    /// As `commit`.
    fn erase(&self, changes: &[Change], lines: &[Key], told: &Key) -> Result<Erased, CommitError>;

    /// Everybody who has rows, in order.
    ///
    /// # Errors
    /// `Failed` when the store cannot be read now.
    fn tenants(&self) -> Result<Vec<TenantId>, CommitError>;

    /// Up to `limit` keys that are due, earliest first, with their due times.
    ///
    /// # Errors
    /// `Failed` when the store cannot be read now.
    fn due(&self, now: Millis, limit: u32) -> Result<Vec<(Key, Millis)>, CommitError>;

    /// Of what is due, up to `each` rows of everybody after `after` (by name) who has any, their earliest first, and up to
    /// `limit` in all: who has very much waiting does not hide what others have. Of several processes, of the slots of
    /// `share`.
    ///
    /// # Errors
    /// `Failed` when the store cannot be read now.
    fn due_of_each(
        &self,
        share: Option<&Share>,
        now: Millis,
        after: &str,
        each: u32,
        limit: u32,
    ) -> Result<Vec<(Key, Millis)>, CommitError>;

    /// The earliest due time of all rows.
    ///
    /// # Errors
    /// `Failed` when the store cannot be read now.
    fn next_due(&self) -> Result<Option<Millis>, CommitError>;

    /// Of what is due, what falls to one of the processes that work on the store: otherwise as `due`.
    ///
    /// # Errors
    /// `Failed` when the store cannot be read now.
    fn due_to(
        &self,
        _: &Share,
        now: Millis,
        limit: u32,
    ) -> Result<Vec<(Key, Millis)>, CommitError> {
        // Nobody else can work on it.
        self.due(now, limit)
    }

    /// The earliest due time of the rows that fall to one of the processes.
    ///
    /// # Errors
    /// `Failed` when the store cannot be read now.
    fn next_due_to(&self, _: &Share) -> Result<Option<Millis>, CommitError> {
        self.next_due()
    }

    /// Whether other processes may work on it at the same time.
    fn is_shared(&self) -> bool {
        false
    }

    /// From now on, what other processes commit is heard soon after.
    fn listen(&self, _: Ear) {}
}
