//! The audit's chain: every line that was ever written, in the order in which it was committed, each
//! bound to the one before it by a keyed digest. Whoever changes, removes, adds or reorders lines in
//! the file, without the store's keys, is found out by [`verify`].
//!
//! The digest of a line is of what it says, not of how it is sealed: keys may be changed. An erased
//! line leaves its digest, and a line of its own that says which were erased.

use std::collections::BTreeSet;

use firn_model::{CommitError, Key, TenantId};
use rusqlite::{Connection, OptionalExtension, params};

use super::failed;
use crate::seal::Keyring;

/// Rows whose path begins so are lines of the audit.
pub(super) const LINES: &str = "audit/";

/// Lines that tell which lines were erased: a JSON array of their numbers.
pub(super) const ERASED: &str = "audit/_erased/";

/// What became of a look at the whole chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditReport {
    /// How many lines there are.
    pub lines: u64,
    /// How many of them were erased on somebody's wish.
    pub erased: u64,
    /// The last link, in hexadecimal: whoever keeps it elsewhere can tell later that nothing before it
    /// was changed, and that nothing was cut off.
    pub head: String,
    /// What is wrong, if anything.
    pub faults: Vec<AuditFault>,
}

/// Where the chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditFault {
    /// A line does not say what it said when it was written, or cannot be read.
    #[error("line {0} was changed ({1})")]
    Changed(u64, String),
    /// A line is missing, and nobody erased it.
    #[error("line {0} was removed ({1})")]
    Removed(u64, String),
    /// A line is there that was never written through the store.
    #[error("a line was added ({0})")]
    Added(String),
    /// The chain's own links do not follow from one another.
    #[error("the chain is broken at line {0}")]
    Broken(u64),
    /// The last line is not the one that was written last.
    #[error("lines after line {0} were cut off")]
    CutOff(u64),
    /// A link that was noted earlier is not in it.
    #[error("the chain does not contain {0}: lines were cut off, or this is another store")]
    NotContained(String),
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn link(ring: &Keyring, before: &[u8], seq: i64, key: (&str, &str), digest: &[u8]) -> [u8; 32] {
    let (tenant, path) = key;
    ring.audit.digest(&[
        b"link",
        before,
        &seq.to_be_bytes(),
        tenant.as_bytes(),
        path.as_bytes(),
        digest,
    ])
}

fn digest(ring: &Keyring, value: &str) -> [u8; 32] {
    ring.audit.digest(&[b"line", value.as_bytes()])
}

/// Adds a line that is being written.
pub(super) fn append(
    connection: &Connection,
    ring: &Keyring,
    key: &Key,
    value: &str,
) -> Result<(), CommitError> {
    let last: Option<(i64, Vec<u8>)> = connection
        .prepare_cached("SELECT seq, link FROM chain ORDER BY seq DESC LIMIT 1")
        .and_then(|mut last| last.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .map_err(failed)?;
    let (seq, before) = last.map_or((1, Vec::new()), |(seq, link)| (seq + 1, link));
    let (tenant, path) = (key.tenant.as_str(), key.path.as_str());
    let digest = digest(ring, value);
    let link = link(ring, &before, seq, (tenant, path), &digest);
    connection
        .prepare_cached(
            "INSERT INTO chain (seq, tenant, path, digest, link) VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .and_then(|mut put| put.execute(params![seq, tenant, path, digest, link]))
        .map_err(failed)?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO chain_head (one, seq, mac) VALUES (1, ?1, ?2)")
        .and_then(|mut put| put.execute(params![seq, end(ring, seq, &link)]))
        .map_err(failed)?;
    Ok(())
}

/// What tells that a line is the last.
fn end(ring: &Keyring, seq: i64, link: &[u8]) -> [u8; 32] {
    ring.audit.digest(&[b"end", &seq.to_be_bytes(), link])
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
    let mut chain = connection
        .prepare(
            "SELECT c.seq, c.tenant, c.path, c.digest, c.link, r.value, r.key FROM chain c
             LEFT JOIN rows r ON r.tenant = c.tenant AND r.path = c.path ORDER BY c.seq",
        )
        .map_err(failed)?;
    let mut rows = chain.query([]).map_err(failed)?;
    let (mut faults, mut before, mut lines) = (Vec::new(), Vec::new(), 0_u64);
    let (mut missing, mut erased) = (Vec::new(), BTreeSet::new());
    let mut contained = noted.is_none();
    while let Some(row) = rows.next().map_err(failed)? {
        let seq: i64 = row.get(0).map_err(failed)?;
        let (tenant, path): (String, String) =
            (row.get(1).map_err(failed)?, row.get(2).map_err(failed)?);
        let (written, linked): (Vec<u8>, Vec<u8>) =
            (row.get(3).map_err(failed)?, row.get(4).map_err(failed)?);
        let sealed: Option<Vec<u8>> = row.get(5).map_err(failed)?;
        lines += 1;
        let number = seq.unsigned_abs();
        if number != lines || link(ring, &before, seq, (&tenant, &path), &written)[..] != linked[..]
        {
            faults.push(AuditFault::Broken(number));
            lines = number; // One fault is told once.
        }
        contained |= noted.is_some_and(|noted| noted.eq_ignore_ascii_case(&hex(&linked)));
        match sealed {
            None => missing.push((number, path)),
            Some(sealed) => {
                let id: i64 = row.get(6).map_err(failed)?;
                let key =
                    TenantId::new(tenant).ok().map(|tenant| Key { tenant, path: path.clone() });
                let value = key.and_then(|key| ring.open(&key, id, &sealed).ok());
                match value.filter(|value| digest(ring, value)[..] == written[..]) {
                    Some(value) if path.starts_with(ERASED) => {
                        erased.extend(serde_json::from_str::<Vec<u64>>(&value).unwrap_or_default());
                    }
                    Some(_) => {}
                    None => faults.push(AuditFault::Changed(number, path)),
                }
            }
        }
        before = linked;
    }
    let (told, untold): (Vec<_>, Vec<_>) =
        missing.into_iter().partition(|(number, _)| erased.contains(number));
    faults.extend(untold.into_iter().map(|(number, path)| AuditFault::Removed(number, path)));
    let mut strangers = connection
        .prepare(
            "SELECT path FROM rows r WHERE path >= 'audit/' AND path < 'audit0' AND NOT EXISTS
             (SELECT 1 FROM chain c WHERE c.tenant = r.tenant AND c.path = r.path) LIMIT 100",
        )
        .map_err(failed)?;
    let strangers = strangers.query_map([], |row| row.get(0)).map_err(failed)?;
    for path in strangers {
        faults.push(AuditFault::Added(path.map_err(failed)?));
    }
    let last: Option<(i64, Vec<u8>)> = connection
        .query_row("SELECT seq, mac FROM chain_head", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(failed)?;
    let whole = match &last {
        Some((seq, mac)) => seq.unsigned_abs() == lines && end(ring, *seq, &before)[..] == mac[..],
        // The first thing that anybody does is noted.
        None => lines == 0 && !used(connection)?,
    };
    if !whole {
        faults.push(AuditFault::CutOff(lines));
    }
    if let Some(noted) = noted.filter(|_| !contained) {
        faults.push(AuditFault::NotContained(noted.to_owned()));
    }
    Ok(AuditReport { lines, erased: told.len() as u64, head: hex(&before), faults })
}
