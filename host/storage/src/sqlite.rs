//! SQLite: one file, WAL, `synchronous=FULL`. One writer thread owns the connection and merges
//! whatever commits wait into one transaction (group commit without lingering): a caller returns
//! only after the fsync that covers its changes. Reads use connections of their own.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use firn_model::{Change, CommitError, Expect, Key, Millis, Row, TenantId};
use rusqlite::{Connection, OptionalExtension, params};
use rusqlite_migration::{M, Migrations};

use crate::{Sealer, Store};

/// Schema changes, oldest first. A released one is never edited.
const MIGRATIONS: &[M<'static>] = &[M::up(
    "CREATE TABLE rows (
       tenant  TEXT    NOT NULL,
       path    TEXT    NOT NULL,
       version INTEGER NOT NULL,
       value   BLOB    NOT NULL,
       due     INTEGER,
       PRIMARY KEY (tenant, path)
     ) WITHOUT ROWID;
     CREATE INDEX rows_due ON rows (due, tenant, path) WHERE due IS NOT NULL;",
)];

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{0} is in use by another process; stop it first")]
    InUse(String),
    /// It was made by a newer Firn.
    #[error("{0} was written by a newer version of Firn; use that version or restore a backup")]
    TooNew(String),
    /// Anything else.
    #[error("{path} cannot be opened: {why}")]
    Failed {
        /// The file.
        path: String,
        /// What SQLite says.
        why: String,
    },
}

struct Job {
    changes: Vec<Change>,
    done: Sender<Result<(), CommitError>>,
}

/// A store in a SQLite file.
pub struct Sqlite {
    sealer: std::sync::Arc<Sealer>,
    readers: Mutex<Vec<Connection>>,
    path: String,
    jobs: Option<Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    /// Held as long as the store is open; the system lets go of it however the process ends.
    _lock: std::fs::File,
}

fn failed(error: impl std::fmt::Display) -> CommitError {
    CommitError::Failed(error.to_string())
}

impl Sqlite {
    /// Opens or creates a store. The file stays locked against other processes.
    ///
    /// # Errors
    /// When it is in use, too new, or cannot be read.
    pub fn open(path: &Path, sealer: Sealer) -> Result<Sqlite, OpenError> {
        let name = path.display().to_string();
        let other = |e: &dyn std::fmt::Display| OpenError::Failed {
            path: name.clone(),
            why: e.to_string(),
        };
        let mut connection = Connection::open(path).map_err(|e| other(&e))?;
        connection.busy_timeout(std::time::Duration::from_millis(200)).map_err(|e| other(&e))?;
        let lock = lock(path).map_err(|()| OpenError::InUse(name.clone()))?;
        configure(&connection).map_err(|e| match e.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                OpenError::InUse(name.clone())
            }
            _ => other(&e),
        })?;
        Migrations::from_slice(MIGRATIONS).to_latest(&mut connection).map_err(|e| match e {
            rusqlite_migration::Error::MigrationDefinition(
                rusqlite_migration::MigrationDefinitionError::DatabaseTooFarAhead,
            ) => OpenError::TooNew(name.clone()),
            e => other(&e),
        })?;
        let sealer = std::sync::Arc::new(sealer);
        let (jobs, queue) = unbounded();
        let writing = std::sync::Arc::clone(&sealer);
        let writer = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || write(connection, &queue, &writing))
            .map_err(|e| other(&e))?;
        Ok(Sqlite {
            sealer,
            readers: Mutex::new(Vec::new()),
            path: name,
            jobs: Some(jobs),
            writer: Some(writer),
            _lock: lock,
        })
    }

    /// Runs a read on a connection of the pool.
    fn read<T>(
        &self,
        f: impl FnOnce(&Connection) -> Result<T, CommitError>,
    ) -> Result<T, CommitError> {
        let pooled = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => {
                let connection = Connection::open(&self.path).map_err(failed)?;
                configure(&connection).map_err(failed)?;
                connection
            }
        };
        let result = f(&connection);
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }

    fn row(
        &self,
        key: Key,
        version: i64,
        sealed: &[u8],
        due: Option<i64>,
    ) -> Result<Row, CommitError> {
        let value = self.sealer.open(&key, sealed).map_err(failed)?;
        Ok(Row { key, version: version.unsigned_abs(), value, due: due.map(Millis) })
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.jobs = None; // The writer finishes what waits, and ends.
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "cache_size", -32_000)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// One process at a time: an advisory lock on a file beside the store.
fn lock(path: &Path) -> Result<std::fs::File, ()> {
    let file = std::fs::File::create(path.with_extension("lock")).map_err(|_| ())?;
    file.try_lock().map_err(|_| ())?;
    Ok(file)
}

/// The writer: takes what waits, commits it as one transaction, answers everybody.
fn write(mut connection: Connection, queue: &Receiver<Job>, sealer: &Sealer) {
    const MERGED: usize = 64;
    while let Ok(first) = queue.recv() {
        let mut jobs = vec![first];
        while jobs.len() < MERGED
            && let Ok(job) = queue.try_recv()
        {
            jobs.push(job);
        }
        let results = transact(&mut connection, &jobs, sealer);
        for (job, result) in jobs.into_iter().zip(results) {
            let _ = job.done.send(result);
        }
    }
    let _ = connection.execute_batch("PRAGMA optimize;");
}

fn transact(
    connection: &mut Connection,
    jobs: &[Job],
    sealer: &Sealer,
) -> Vec<Result<(), CommitError>> {
    let all_failed =
        |why: String| jobs.iter().map(|_| Err(CommitError::Failed(why.clone()))).collect();
    let mut transaction =
        match connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate) {
            Ok(transaction) => transaction,
            Err(e) => return all_failed(e.to_string()),
        };
    let mut results = Vec::with_capacity(jobs.len());
    for job in jobs {
        // A savepoint for each, so that one stale commit does not take the others with it.
        let result = transaction.savepoint().map_err(failed).and_then(|point| {
            apply(&point, &job.changes, sealer)?;
            point.commit().map_err(failed)
        });
        results.push(result);
    }
    match transaction.commit() {
        Ok(()) => results,
        Err(e) => all_failed(e.to_string()),
    }
}

fn apply(connection: &Connection, changes: &[Change], sealer: &Sealer) -> Result<(), CommitError> {
    let mut current = connection
        .prepare_cached("SELECT version FROM rows WHERE tenant = ?1 AND path = ?2")
        .map_err(failed)?;
    let mut put = connection
        .prepare_cached(
            "INSERT INTO rows (tenant, path, version, value, due) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (tenant, path) DO UPDATE SET version = ?3, value = ?4, due = ?5",
        )
        .map_err(failed)?;
    let mut delete = connection
        .prepare_cached("DELETE FROM rows WHERE tenant = ?1 AND path = ?2")
        .map_err(failed)?;
    for change in changes {
        let (tenant, path) = (change.key.tenant.as_str(), change.key.path.as_str());
        let version: Option<i64> =
            current.query_row([tenant, path], |row| row.get(0)).optional().map_err(failed)?;
        let as_expected = match change.expect {
            Expect::Any => true,
            Expect::Absent => version.is_none(),
            Expect::Version(expected) => version.map(i64::unsigned_abs) == Some(expected),
        };
        if !as_expected {
            return Err(CommitError::Stale(change.key.clone()));
        }
        match &change.put {
            Some(new) => {
                let sealed = sealer.seal(&change.key, &new.value).map_err(failed)?;
                let next = version.unwrap_or(0) + 1;
                put.execute(params![tenant, path, next, sealed, new.due.map(|d| d.0)])
                    .map_err(failed)?;
            }
            None => {
                delete.execute([tenant, path]).map_err(failed)?;
            }
        }
    }
    Ok(())
}

impl Store for Sqlite {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, CommitError> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached(
                    "SELECT version, value, due FROM rows WHERE tenant = ?1 AND path = ?2",
                )
                .map_err(failed)?;
            keys.iter()
                .map(|key| {
                    let found: Option<(i64, Vec<u8>, Option<i64>)> = statement
                        .query_row([key.tenant.as_str(), key.path.as_str()], |row| {
                            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                        })
                        .optional()
                        .map_err(failed)?;
                    found
                        .map(|(version, value, due)| self.row(key.clone(), version, &value, due))
                        .transpose()
                })
                .collect()
        })
    }

    fn scan(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Row>, CommitError> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached(
                    "SELECT path, version, value, due FROM rows
                     WHERE tenant = ?1 AND path >= ?2 AND path > ?3 AND path < ?2 || char(1114111)
                     ORDER BY path LIMIT ?4",
                )
                .map_err(failed)?;
            let found = statement
                .query_map(params![tenant.as_str(), prefix, after.unwrap_or(""), limit], |row| {
                    Ok((
                        row.get::<_, String>(0)?,
                        row.get::<_, i64>(1)?,
                        row.get::<_, Vec<u8>>(2)?,
                        row.get::<_, Option<i64>>(3)?,
                    ))
                })
                .map_err(failed)?;
            found
                .map(|row| {
                    let (path, version, value, due) = row.map_err(failed)?;
                    self.row(Key { tenant: tenant.clone(), path }, version, &value, due)
                })
                .collect()
        })
    }

    fn commit(&self, changes: &[Change]) -> Result<(), CommitError> {
        let (done, result) = bounded(1);
        let jobs = self.jobs.as_ref().ok_or_else(|| failed("the store is closed"))?;
        jobs.send(Job { changes: changes.to_vec(), done })
            .map_err(|_| failed("the store has stopped"))?;
        result.recv().map_err(|_| failed("the store has stopped"))?
    }

    fn due(&self, now: Millis, limit: u32) -> Result<Vec<(Key, Millis)>, CommitError> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached(
                    "SELECT tenant, path, due FROM rows WHERE due IS NOT NULL AND due <= ?1 ORDER BY due LIMIT ?2",
                )
                .map_err(failed)?;
            let found = statement
                .query_map(params![now.0, limit], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
                })
                .map_err(failed)?;
            found
                .map(|row| {
                    let (tenant, path, due) = row.map_err(failed)?;
                    let tenant = TenantId::new(tenant).map_err(failed)?;
                    Ok((Key { tenant, path }, Millis(due)))
                })
                .collect()
        })
    }

    fn next_due(&self) -> Result<Option<Millis>, CommitError> {
        self.read(|connection| {
            connection
                .query_row("SELECT min(due) FROM rows WHERE due IS NOT NULL", [], |row| {
                    row.get::<_, Option<i64>>(0)
                })
                .map(|due| due.map(Millis))
                .map_err(failed)
        })
    }
}
