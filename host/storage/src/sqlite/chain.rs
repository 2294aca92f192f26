//! The audit's chain in SQLite.

use firn_model::{CommitError, Key};
use rusqlite::{Connection, OptionalExtension, params};

use super::failed;
use crate::chain::{AuditReport, Head, Line, Link, Walk};
use crate::seal::Keyring;

/// Adds a line that is being written.
pub(super) fn append(
    connection: &Connection,
    ring: &Keyring,
    key: &Key,
    value: &str,
) -> Result<(), CommitError> {
    let last: Option<Head> = connection
        .prepare_cached("SELECT seq, link FROM chain ORDER BY seq DESC LIMIT 1")
        .and_then(|mut last| {
            last.query_row([], |row| Ok(Head { seq: row.get(0)?, link: row.get(1)? })).optional()
        })
        .map_err(failed)?;
    let Link { seq, digest, link, end } = last.unwrap_or_default().append(ring, key, value);
    connection
        .prepare_cached(
            "INSERT INTO chain (seq, tenant, path, digest, link) VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .and_then(|mut put| put.execute(params![seq, key.tenant.as_str(), key.path, digest, link]))
        .map_err(failed)?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO chain_head (one, seq, mac) VALUES (1, ?1, ?2)")
        .and_then(|mut put| put.execute(params![seq, end]))
        .map_err(failed)?;
    Ok(())
}

/// The numbers of lines, for those that have one.
pub(super) fn numbers(connection: &Connection, keys: &[Key]) -> Result<Vec<i64>, CommitError> {
    let mut find = connection
        .prepare_cached("SELECT seq FROM chain WHERE tenant = ?1 AND path = ?2")
        .map_err(failed)?;
    let mut numbers = Vec::new();
    for key in keys {
        let found =
            find.query_row([key.tenant.as_str(), key.path.as_str()], |row| row.get::<_, i64>(0));
        numbers.extend(found.optional().map_err(failed)?);
    }
    Ok(numbers)
}

/// Whether anybody but the host itself has rows: then something was done.
fn used(connection: &Connection) -> Result<bool, CommitError> {
    let found = connection
        .query_row("SELECT 1 FROM rows WHERE tenant <> '_firn' LIMIT 1", [], |_| Ok(()))
        .optional()
        .map_err(failed)?;
    Ok(found.is_some())
}

/// Looks at the whole chain, and at every line. `noted` is a head that was seen earlier.
pub(super) fn verify(
    connection: &Connection,
    ring: &Keyring,
    noted: Option<&str>,
) -> Result<AuditReport, CommitError> {
    // Whoever works on the store meanwhile goes on: all of this is of one moment.
    let _moment = connection.unchecked_transaction().map_err(failed)?;
    let mut chain = connection
        .prepare(
            "SELECT c.seq, c.tenant, c.path, c.digest, c.link, r.value, r.key FROM chain c
             LEFT JOIN rows r ON r.tenant = c.tenant AND r.path = c.path ORDER BY c.seq",
        )
        .map_err(failed)?;
    let line = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Line> {
        let sealed: Option<Vec<u8>> = row.get(5)?;
        let id: Option<i64> = row.get(6)?;
        Ok(Line {
            seq: row.get(0)?,
            tenant: row.get(1)?,
            path: row.get(2)?,
            digest: row.get(3)?,
            link: row.get(4)?,
            sealed: id.zip(sealed),
        })
    };
    let mut walk = Walk::new(ring, noted);
    for found in chain.query_map([], line).map_err(failed)? {
        walk.line(found.map_err(failed)?);
    }
    let mut strangers = connection
        .prepare(
            "SELECT path FROM rows r WHERE path >= 'audit/' AND path < 'audit0' AND NOT EXISTS
             (SELECT 1 FROM chain c WHERE c.tenant = r.tenant AND c.path = r.path) LIMIT 100",
        )
        .map_err(failed)?;
    let strangers = strangers.query_map([], |row| row.get(0)).map_err(failed)?;
    let strangers = strangers.collect::<rusqlite::Result<Vec<String>>>().map_err(failed)?;
    let last: Option<(i64, Vec<u8>)> = connection
        .query_row("SELECT seq, mac FROM chain_head", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(failed)?;
    Ok(walk.over(strangers, last, used(connection)?))
}
