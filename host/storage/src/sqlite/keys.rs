//! The keys of a store: made when it is, kept in it, wrapped by the master key.

use firn_model::CommitError;
use rusqlite::{Connection, OptionalExtension, params};

use super::failed;
use crate::seal::{Keyring, MasterKey, RawKey, SealerError};

fn name(purpose: &str, id: i64) -> String {
    format!("{purpose} {id}")
}

/// The keys of a store; `None` if it has none yet.
pub(super) fn read(
    connection: &Connection,
    master: &MasterKey,
) -> Result<Option<Keyring>, SealerError> {
    let unreadable = |_| SealerError::WrongMaster;
    let mut all =
        connection.prepare("SELECT purpose, id, wrapped FROM keys").map_err(unreadable)?;
    let mut rows = all.query([]).map_err(unreadable)?;
    let mut ring = Keyring { data: Default::default(), audit: master.as_data_key() };
    while let Some(row) = rows.next().map_err(unreadable)? {
        let (purpose, id): (String, i64) =
            (row.get(0).map_err(unreadable)?, row.get(1).map_err(unreadable)?);
        let wrapped: Vec<u8> = row.get(2).map_err(unreadable)?;
        let key = master.unwrap(&name(&purpose, id), &wrapped)?;
        match purpose.as_str() {
            "audit" => ring.audit = key,
            _ => drop(ring.data.insert(id, key)),
        }
    }
    Ok((!ring.data.is_empty()).then_some(ring))
}

/// Wraps all keys by a master key, instead of what they were wrapped by.
pub(super) fn write(
    connection: &Connection,
    master: &MasterKey,
    ring: &Keyring,
) -> Result<(), CommitError> {
    let keys = ring.data.iter().map(|(id, key)| ("data", *id, key));
    for (purpose, id, key) in keys.chain([("audit", 1, &ring.audit)]) {
        let wrapped = master.wrap(&name(purpose, id), key).map_err(failed)?;
        connection
            .execute(
                "INSERT INTO keys (purpose, id, wrapped) VALUES (?1, ?2, ?3)
                 ON CONFLICT (purpose, id) DO UPDATE SET wrapped = ?3",
                params![purpose, id, wrapped],
            )
            .map_err(failed)?;
    }
    Ok(())
}

/// Keys for a store that has none. What is in it already was sealed by the master key itself.
pub(super) fn make(
    connection: &mut Connection,
    master: &MasterKey,
) -> Result<Keyring, CommitError> {
    let known = connection
        .query_row("SELECT tenant, path, value, key FROM rows LIMIT 1", [], |row| {
            Ok(super::keep::sealed_row(row))
        })
        .optional()
        .map_err(failed)?
        .transpose()?;
    let first = match known {
        Some(_) => (0, master.as_data_key()),
        None => (1, RawKey::random().map_err(failed)?),
    };
    let ring = Keyring {
        data: std::iter::once(first).collect(),
        audit: RawKey::random().map_err(failed)?,
    };
    if let Some((key, sealed, id)) = known {
        ring.open(&key, id, &sealed).map_err(|_| failed(SealerError::WrongMaster))?;
    }
    let transaction = connection.transaction().map_err(failed)?;
    write(&transaction, master, &ring)?;
    // Lines that were written before there was a chain are its first, in the order of their time.
    {
        let mut lines = transaction
            .prepare("SELECT tenant, path, value, key FROM rows WHERE path >= 'audit/' AND path < 'audit0'")
            .map_err(failed)?;
        let mut rows = lines.query([]).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let (key, sealed, id) = super::keep::sealed_row(row)?;
            let value = ring.open(&key, id, &sealed).map_err(failed)?;
            found.push((key.path.rsplit('/').next().unwrap_or_default().to_owned(), key, value));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        for (_, key, value) in &found {
            super::chain::append(&transaction, &ring, key, value)?;
        }
    }
    transaction.commit().map_err(failed)?;
    Ok(ring)
}
