//! What is done with a store as a whole, from the command line: opened without being changed, copied
//! while it is in use, its keys changed.

use std::path::Path;

use firn_model::{CommitError, Key, TenantId};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::chain;
use super::{MIGRATIONS, configure, failed, keys, lock};
use crate::chain::AuditReport;
use crate::seal::{Keyring, RawKey};
use crate::{MasterKey, OpenError};

/// So many rows are sealed anew in one transaction.
const AT_ONCE: usize = 2_000;

/// Since this schema rows, keys and chain are as they are now: an older backup is as good as one of today.
const READABLE: i64 = 2;

/// A store that is looked at, not worked on. Another process may have it open.
pub struct Inspected {
    connection: Connection,
    ring: Keyring,
}

impl Inspected {
    /// Opens a store's file to look at it.
    ///
    /// # Errors
    /// When there is none, it is another version's, or the key is not its.
    pub fn open(path: &Path, master: &MasterKey) -> Result<Inspected, OpenError> {
        let name = path.display().to_string();
        let other = |why: &dyn std::fmt::Display| OpenError::failed(&name, why);
        if !path.exists() {
            return Err(other(&"there is no such file"));
        }
        // A log that was left behind is read too, for which SQLite may have to write beside it.
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .map_err(|e| other(&e))?;
        connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(|e| other(&e))?;
        connection.pragma_update(None, "query_only", "ON").map_err(|e| other(&e))?;
        let version: i64 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(|e| other(&e))?;
        let ours = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        if version > ours {
            return Err(OpenError::TooNew(name));
        }
        if version < READABLE {
            return Err(other(
                &"it was last used by an older version of Firn; start Firn on it once",
            ));
        }
        let ring = keys::read(&connection, master)
            .map_err(|e| OpenError::of_key(&name, &e))?
            .ok_or_else(|| other(&"it has no keys"))?;
        Ok(Inspected { connection, ring })
    }

    /// Looks at every line of the audit. `noted` is a head that was seen earlier.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn audit(&self, noted: Option<&str>) -> Result<AuditReport, CommitError> {
        chain::verify(&self.connection, &self.ring, noted)
    }

    /// Whether the file is whole, as SQLite sees it, and every row opens.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn sound(&self) -> Result<u64, CommitError> {
        let said: String = self
            .connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(failed)?;
        if said != "ok" {
            return Err(failed(said));
        }
        let mut rows =
            self.connection.prepare("SELECT tenant, path, value, key FROM rows").map_err(failed)?;
        let mut rows = rows.query([]).map_err(failed)?;
        let mut n = 0;
        while let Some(row) = rows.next().map_err(failed)? {
            let (key, sealed, id) = sealed_row(row)?;
            self.ring.open(&key, id, &sealed).map_err(|e| failed(format!("{}: {e}", key.path)))?;
            n += 1;
        }
        Ok(n)
    }

    /// Copies the store, as it is at this moment, to a file that is not there yet.
    ///
    /// # Errors
    /// When the copy cannot be written.
    pub fn copy_to(&self, to: &Path) -> Result<(), CommitError> {
        let to = to.to_str().ok_or_else(|| failed("the file's name is not UTF-8"))?;
        self.connection.pragma_update(None, "query_only", "OFF").map_err(failed)?;
        self.connection.execute("VACUUM INTO ?1", [to]).map_err(failed)?;
        self.connection.pragma_update(None, "query_only", "ON").map_err(failed)
    }
}

pub(super) fn sealed_row(row: &rusqlite::Row<'_>) -> Result<(Key, Vec<u8>, i64), CommitError> {
    let tenant: String = row.get(0).map_err(failed)?;
    let tenant = TenantId::new(tenant).map_err(failed)?;
    let key = Key { tenant, path: row.get(1).map_err(failed)? };
    Ok((key, row.get(2).map_err(failed)?, row.get(3).map_err(failed)?))
}

/// Gives a store a new data key, under which every row is sealed anew, and wraps its keys by `new`
/// instead of `old`. Broken off at any moment it is begun again with either master key that opens it.
/// Gives how many rows were sealed.
///
/// # Errors
/// When the store is in use, or is not opened by the old key.
pub fn rotate(path: &Path, old: &MasterKey, new: &MasterKey) -> Result<u64, OpenError> {
    let name = path.display().to_string();
    let other = |why: &dyn std::fmt::Display| OpenError::failed(&name, why);
    if !path.exists() {
        return Err(other(&"there is no such file"));
    }
    let mut connection = Connection::open(path).map_err(|e| other(&e))?;
    let _lock = lock(path)?;
    configure(&connection).map_err(|e| other(&e))?;
    let mut ring = keys::read(&connection, old)
        .map_err(|e| OpenError::of_key(&name, &e))?
        .ok_or_else(|| other(&"it has no keys; start Firn on it once"))?;
    let newest = ring.data.last_key_value().map_or(0, |(id, _)| *id) + 1;
    ring.data.insert(newest, RawKey::random().map_err(|e| other(&e))?);
    // First of all the new key is kept: nothing may be sealed under a key that can be lost.
    let work = |connection: &mut Connection| -> Result<u64, CommitError> {
        let transaction = connection.transaction().map_err(failed)?;
        keys::write(&transaction, new, &ring)?;
        transaction.commit().map_err(failed)?;
        let mut sealed = 0;
        loop {
            let n = reseal(connection, &ring, newest)?;
            if n == 0 {
                break;
            }
            sealed += n;
        }
        connection
            .execute("DELETE FROM keys WHERE purpose = 'data' AND id <> ?1", [newest])
            .map_err(failed)?;
        // What was sealed under the old key is not left in free pages or in the log.
        connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);").map_err(failed)?;
        Ok(sealed)
    };
    work(&mut connection).map_err(|e| other(&e))
}

/// Seals some rows anew that are still under an older key.
fn reseal(connection: &mut Connection, ring: &Keyring, newest: i64) -> Result<u64, CommitError> {
    let transaction = connection.transaction().map_err(failed)?;
    let mut n = 0;
    {
        let mut old = transaction
            .prepare_cached("SELECT tenant, path, value, key FROM rows WHERE key <> ?1 LIMIT ?2")
            .map_err(failed)?;
        let mut put = transaction
            .prepare_cached("UPDATE rows SET value = ?3, key = ?4 WHERE tenant = ?1 AND path = ?2")
            .map_err(failed)?;
        let mut rows = old.query(params![newest, AT_ONCE]).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            found.push(sealed_row(row)?);
        }
        for (key, sealed, id) in found {
            let value = ring.open(&key, id, &sealed).map_err(failed)?;
            let (id, sealed) = ring.seal(&key, &value).map_err(failed)?;
            put.execute(params![key.tenant.as_str(), key.path, sealed, id]).map_err(failed)?;
            n += 1;
        }
    }
    transaction.commit().map_err(failed)?;
    Ok(n)
}

/// Nobody works on a store as long as this is held.
pub struct Alone {
    _lock: std::fs::File,
}

/// Keeps others from a store.
///
/// # Errors
/// When somebody works on it.
pub fn alone(path: &Path) -> Result<Alone, OpenError> {
    Ok(Alone { _lock: lock(path)? })
}

/// Whether a file's keys are wrapped by this master key.
#[must_use]
pub fn opens(path: &Path, master: &MasterKey) -> bool {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let Ok(connection) = Connection::open_with_flags(path, flags) else { return false };
    let there = connection
        .query_row("SELECT 1 FROM sqlite_master WHERE name = 'keys'", [], |_| Ok(()))
        .optional();
    matches!(there, Ok(Some(()))) && matches!(keys::read(&connection, master), Ok(Some(_)))
}
