//! SQLite: one file, WAL, `synchronous=FULL`. One writer thread owns the connection and merges
//! whatever commits wait into one transaction (group commit without lingering): a caller returns
//! only after the fsync that covers its changes. Reads use connections of their own.

mod chain;
mod keep;
mod keys;

pub use keep::{Alone, Inspected, alone, opens, rotate};

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use firn_model::{Change, CommitError, Expect, Key, Millis, Row, TenantId};
use rusqlite::{Connection, OptionalExtension, params};
use rusqlite_migration::{M, Migrations};

use crate::chain::LINES;
use crate::seal::{Keyring, MasterKey};
use crate::{Erased, OpenError, Share, Store};

/// So soon a file is let go of by whoever has just ended.
const LETS_GO: std::time::Duration = std::time::Duration::from_millis(300);

/// Schema changes, oldest first. A released one is never edited.
const MIGRATIONS: &[M<'static>] = &[
    M::up(
        "CREATE TABLE rows (
           tenant  TEXT    NOT NULL,
           path    TEXT    NOT NULL,
           version INTEGER NOT NULL,
           value   BLOB    NOT NULL,
           due     INTEGER,
           PRIMARY KEY (tenant, path)
         ) WITHOUT ROWID;
         CREATE INDEX rows_due ON rows (due, tenant, path) WHERE due IS NOT NULL;",
    ),
    M::up(
        "ALTER TABLE rows ADD COLUMN key INTEGER NOT NULL DEFAULT 0;
         CREATE TABLE keys (
           purpose TEXT    NOT NULL,
           id      INTEGER NOT NULL,
           wrapped BLOB    NOT NULL,
           PRIMARY KEY (purpose, id)
         ) WITHOUT ROWID;
         CREATE TABLE chain (
           seq    INTEGER PRIMARY KEY,
           tenant TEXT NOT NULL,
           path   TEXT NOT NULL,
           digest BLOB NOT NULL,
           link   BLOB NOT NULL
         );
         CREATE UNIQUE INDEX chain_line ON chain (tenant, path);
         CREATE TABLE chain_head (
           one INTEGER PRIMARY KEY CHECK (one = 1),
           seq INTEGER NOT NULL,
           mac BLOB    NOT NULL
         );",
    ),
    M::up("CREATE INDEX rows_due_of ON rows (tenant, due, path) WHERE due IS NOT NULL;"),
    // Without a rowid a row lies in an index, where only a quarter of a page is its own: what is longer than
    // that goes on in pages of its own, which are read for each comparison with it.
    M::up(
        "DROP INDEX rows_due;
         DROP INDEX rows_due_of;
         ALTER TABLE rows RENAME TO rows_before;
         CREATE TABLE rows (
           id      INTEGER PRIMARY KEY,
           version INTEGER NOT NULL,
           due     INTEGER,
           key     INTEGER NOT NULL,
           tenant  TEXT    NOT NULL,
           path    TEXT    NOT NULL,
           value   BLOB    NOT NULL
         );
         INSERT INTO rows (version, due, key, tenant, path, value)
           SELECT version, due, key, tenant, path, value FROM rows_before;
         DROP TABLE rows_before;
         CREATE UNIQUE INDEX rows_place ON rows (tenant, path);
         CREATE INDEX rows_due ON rows (due, tenant, path) WHERE due IS NOT NULL;
         CREATE INDEX rows_due_of ON rows (tenant, due, path) WHERE due IS NOT NULL;",
    ),
];

enum Work {
    Commit(Vec<Change>),
    Erase { changes: Vec<Change>, lines: Vec<Key>, told: Key },
}

struct Job {
    work: Work,
    done: Sender<Result<Erased, CommitError>>,
}

/// A store in a SQLite file.
pub struct Sqlite {
    ring: std::sync::Arc<Keyring>,
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
    /// When it is in use, too new, sealed under another key, or cannot be read.
    pub fn open(path: &Path, master: &MasterKey) -> Result<Sqlite, OpenError> {
        let name = path.display().to_string();
        let other = |e: &dyn std::fmt::Display| OpenError::failed(&name, e);
        let mut connection = Connection::open(path).map_err(|e| other(&e))?;
        connection.busy_timeout(std::time::Duration::from_millis(200)).map_err(|e| other(&e))?;
        let lock = lock(path)?;
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
        let known = keys::read(&connection, master).map_err(|e| OpenError::of_key(&name, &e))?;
        let ring = match known {
            Some(ring) => ring,
            None => keys::make(&mut connection, master).map_err(|e| other(&e))?,
        };
        let ring = std::sync::Arc::new(ring);
        let (jobs, queue) = unbounded();
        let writing = std::sync::Arc::clone(&ring);
        let writer = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || write(connection, &queue, &writing))
            .map_err(|e| other(&e))?;
        Ok(Sqlite {
            ring,
            readers: Mutex::new(Vec::new()),
            path: name,
            jobs: Some(jobs),
            writer: Some(writer),
            _lock: lock,
        })
    }

    /// Has the writer do something.
    fn work(&self, work: Work) -> Result<Erased, CommitError> {
        let (done, result) = bounded(1);
        let jobs = self.jobs.as_ref().ok_or_else(|| failed("the store is closed"))?;
        jobs.send(Job { work, done }).map_err(|_| failed("the store has stopped"))?;
        result.recv().map_err(|_| failed("the store has stopped"))?
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
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        // Each keeps pages of its own.
        if readers.len() < READERS {
            readers.push(connection);
        }
        result
    }

    fn row(&self, key: Key, stored: Stored) -> Result<Row, CommitError> {
        let value = self.ring.open(&key, stored.key, &stored.sealed).map_err(failed)?;
        let Stored { version, due, .. } = stored;
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

/// So many connections are kept for whoever reads next.
const READERS: usize = 8;

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
fn lock(path: &Path) -> Result<std::fs::File, OpenError> {
    let name = path.display().to_string();
    let failed = |e: std::io::Error| OpenError::failed(&name, e);
    let file = std::fs::File::create(path.with_extension("lock")).map_err(failed)?;
    // A process that has just let go of it may have begun another, which has it until it runs its own program.
    let end = std::time::Instant::now() + LETS_GO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) if std::time::Instant::now() < end => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            Err(std::fs::TryLockError::WouldBlock) => return Err(OpenError::InUse(name)),
            Err(std::fs::TryLockError::Error(e)) => return Err(failed(e)),
        }
    }
}

/// The writer: takes what waits, commits it as one transaction, answers everybody.
fn write(mut connection: Connection, queue: &Receiver<Job>, ring: &Keyring) {
    const MERGED: usize = 64;
    while let Ok(first) = queue.recv() {
        let mut jobs = vec![first];
        while jobs.len() < MERGED
            && let Ok(job) = queue.try_recv()
        {
            jobs.push(job);
        }
        let results = transact(&mut connection, &jobs, ring);
        let erases = |job: &Job| matches!(job.work, Work::Erase { .. });
        let erases = jobs.iter().zip(&results).any(|(job, done)| erases(job) && done.is_ok());
        let erased = if erases { clear(&connection) } else { Erased::Wholly };
        for (job, result) in jobs.into_iter().zip(results) {
            let _ = job.done.send(result.map(|()| erased.clone()));
        }
    }
    let _ = connection.execute_batch("PRAGMA optimize;");
}

/// Writes the whole file anew, with what is live and nothing else. Pages that are split and rows that move
/// leave copies behind that no later `secure_delete` finds.
fn clear(connection: &Connection) -> Erased {
    let cleared = || -> rusqlite::Result<bool> {
        connection.execute_batch("VACUUM")?;
        // What was there before is in the log still.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
    };
    let why = match cleared() {
        Ok(false) => return Erased::Wholly,
        Ok(true) => "somebody is reading the file".to_owned(),
        Err(why) => why.to_string(),
    };
    Erased::FromRows {
        left: format!(
            "free parts of the store's file, where it lies sealed, as the file could not be written anew ({why}): change the keys (firn key rotate), which writes it anew too"
        ),
    }
}

/// Carries jobs out as one transaction; if that fails, each as one of its own, so that none takes others with it.
fn transact(
    connection: &mut Connection,
    jobs: &[Job],
    ring: &Keyring,
) -> Vec<Result<(), CommitError>> {
    match together(connection, jobs, ring) {
        Ok(results) => results,
        Err(why) if jobs.len() < 2 => vec![Err(why)],
        Err(_) => jobs
            .iter()
            .flat_map(|job| transact(connection, std::slice::from_ref(job), ring))
            .collect(),
    }
}

/// All of it or, on an error that is no stale commit, nothing. A job that is stale changes nothing.
fn together(
    connection: &mut Connection,
    jobs: &[Job],
    ring: &Keyring,
) -> Result<Vec<Result<(), CommitError>>, CommitError> {
    let transaction = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(failed)?;
    let mut results = Vec::with_capacity(jobs.len());
    for job in jobs {
        results.push(match apply(&transaction, &job.work, ring) {
            Err(CommitError::Failed(why)) => return Err(CommitError::Failed(why)),
            done => done,
        });
    }
    transaction.commit().map_err(failed)?;
    Ok(results)
}

/// What is expected is looked at before anything is written, so that no savepoint has to keep what was there.
fn apply(connection: &Connection, work: &Work, ring: &Keyring) -> Result<(), CommitError> {
    match work {
        Work::Commit(changes) => {
            put_all(connection, changes, &as_expected(connection, changes)?, ring)
        }
        Work::Erase { changes, lines, told } => {
            let numbers = chain::numbers(connection, lines)?;
            let value = serde_json::to_string(&numbers).map_err(failed)?;
            let put = Some(firn_model::Put { value, due: None });
            let told = [Change { key: told.clone(), expect: Expect::Absent, put }];
            let there = (as_expected(connection, changes)?, as_expected(connection, &told)?);
            put_all(connection, changes, &there.0, ring)?;
            put_all(connection, &told, &there.1, ring)?;
            erase(connection, lines)
        }
    }
}

/// A row that is there.
#[derive(Clone, Copy)]
struct There {
    id: i64,
    version: i64,
    due: Option<i64>,
}

/// What is there of each change's row before the first of them, if all find what they expect.
fn as_expected(
    connection: &Connection,
    changes: &[Change],
) -> Result<Vec<Option<There>>, CommitError> {
    let mut select = connection
        .prepare_cached("SELECT id, version, due FROM rows WHERE tenant = ?1 AND path = ?2")
        .map_err(failed)?;
    // One change may build on another.
    let mut versions: BTreeMap<&Key, Option<i64>> = BTreeMap::new();
    let mut found = Vec::with_capacity(changes.len());
    for change in changes {
        let there = |row: &rusqlite::Row<'_>| -> rusqlite::Result<There> {
            Ok(There { id: row.get(0)?, version: row.get(1)?, due: row.get(2)? })
        };
        let there = select
            .query_row([change.key.tenant.as_str(), &change.key.path], there)
            .optional()
            .map_err(failed)?;
        let version =
            versions.entry(&change.key).or_insert_with(|| there.map(|there| there.version));
        let as_expected = match change.expect {
            Expect::Any => true,
            Expect::Absent => version.is_none(),
            Expect::Version(expected) => version.map(i64::unsigned_abs) == Some(expected),
        };
        if !as_expected {
            return Err(CommitError::Stale(change.key.clone()));
        }
        *version = change.put.as_ref().map(|_| version.unwrap_or(0) + 1);
        found.push(there);
    }
    Ok(found)
}

/// Carries out changes that find what they expect.
fn put_all(
    connection: &Connection,
    changes: &[Change],
    there: &[Option<There>],
    ring: &Keyring,
) -> Result<(), CommitError> {
    let prepared = |sql| connection.prepare_cached(sql).map_err(failed);
    let mut insert = prepared(
        "INSERT INTO rows (tenant, path, version, value, key, due) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut update = prepared("UPDATE rows SET version = ?2, value = ?3, key = ?4 WHERE id = ?1")?;
    let mut postpone =
        prepared("UPDATE rows SET version = ?2, value = ?3, key = ?4, due = ?5 WHERE id = ?1")?;
    let mut delete = prepared("DELETE FROM rows WHERE id = ?1")?;
    let mut written: BTreeMap<&Key, Option<There>> = BTreeMap::new();
    for (change, there) in changes.iter().zip(there) {
        let there = written.entry(&change.key).or_insert(*there);
        let (tenant, path) = (change.key.tenant.as_str(), change.key.path.as_str());
        if path.starts_with(LINES) {
            match &change.put {
                // It was written already: its name tells what it says.
                Some(_) if there.is_some() => continue,
                Some(new) => chain::append(connection, ring, &change.key, &new.value)?,
                None => return Err(failed("a line of the audit is not deleted")),
            }
        }
        let Some(new) = &change.put else {
            if let Some(there) = there.take() {
                delete.execute([there.id]).map_err(failed)?;
            }
            continue;
        };
        let (key, sealed) = ring.seal(&change.key, &new.value).map_err(failed)?;
        let due = new.due.map(|due| due.0);
        let version = there.map_or(0, |there| there.version) + 1;
        let id = match *there {
            // Two indices are left alone.
            Some(There { id, due: same, .. }) if same == due => {
                update.execute(params![id, version, sealed, key]).map_err(failed)?;
                id
            }
            Some(There { id, .. }) => {
                postpone.execute(params![id, version, sealed, key, due]).map_err(failed)?;
                id
            }
            None => {
                insert.insert(params![tenant, path, version, sealed, key, due]).map_err(failed)?
            }
        };
        *there = Some(There { id, version, due });
    }
    Ok(())
}

/// Removes lines of the audit.
fn erase(connection: &Connection, lines: &[Key]) -> Result<(), CommitError> {
    let mut delete = connection
        .prepare_cached("DELETE FROM rows WHERE tenant = ?1 AND path = ?2")
        .map_err(failed)?;
    for line in lines.iter().filter(|line| line.path.starts_with(LINES)) {
        delete.execute([line.tenant.as_str(), &line.path]).map_err(failed)?;
    }
    Ok(())
}

/// A row as it lies in the file.
struct Stored {
    version: i64,
    sealed: Vec<u8>,
    due: Option<i64>,
    key: i64,
}

impl Stored {
    /// From four columns, beginning with this one.
    fn of(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Stored> {
        Ok(Stored {
            version: row.get(first)?,
            sealed: row.get(first + 1)?,
            due: row.get(first + 2)?,
            key: row.get(first + 3)?,
        })
    }
}

impl Store for Sqlite {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, CommitError> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached(
                    "SELECT version, value, due, key FROM rows WHERE tenant = ?1 AND path = ?2",
                )
                .map_err(failed)?;
            keys.iter()
                .map(|key| {
                    statement
                        .query_row([key.tenant.as_str(), &key.path], |row| Stored::of(row, 0))
                        .optional()
                        .map_err(failed)?
                        .map(|stored| self.row(key.clone(), stored))
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
                    "SELECT path, version, value, due, key FROM rows
                     WHERE tenant = ?1 AND path >= ?2 AND path > ?3 AND path < ?2 || char(1114111)
                     ORDER BY path LIMIT ?4",
                )
                .map_err(failed)?;
            let found = statement
                .query_map(params![tenant.as_str(), prefix, after.unwrap_or(""), limit], |row| {
                    Ok((row.get::<_, String>(0)?, Stored::of(row, 1)?))
                })
                .map_err(failed)?;
            found
                .map(|row| {
                    let (path, stored) = row.map_err(failed)?;
                    self.row(Key { tenant: tenant.clone(), path }, stored)
                })
                .collect()
        })
    }

    fn erase(&self, changes: &[Change], lines: &[Key], told: &Key) -> Result<Erased, CommitError> {
        let (changes, lines) = (changes.to_vec(), lines.to_vec());
        self.work(Work::Erase { changes, lines, told: told.clone() })
    }

    fn commit(&self, changes: &[Change]) -> Result<(), CommitError> {
        self.work(Work::Commit(changes.to_vec())).map(|_| ())
    }

    fn tenants(&self) -> Result<Vec<TenantId>, CommitError> {
        self.read(|connection| {
            // From one to the next, so that the rows of each are not walked.
            let mut next = connection
                .prepare_cached("SELECT min(tenant) FROM rows WHERE tenant > ?1")
                .map_err(failed)?;
            let mut all: Vec<TenantId> = Vec::new();
            loop {
                let last = all.last().map_or("", TenantId::as_str);
                let found: Option<String> =
                    next.query_row([last], |row| row.get(0)).map_err(failed)?;
                match found {
                    Some(tenant) => all.push(TenantId::new(tenant).map_err(failed)?),
                    None => return Ok(all),
                }
            }
        })
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

    fn due_of_each(
        &self,
        _: Option<&Share>, // Nobody else can work on it.
        now: Millis,
        after: &str,
        each: u32,
        limit: u32,
    ) -> Result<Vec<(Key, Millis)>, CommitError> {
        self.read(|connection| {
            // From one who has something due to the next, so that what each has is not walked.
            let mut next = connection
                .prepare_cached(
                    "SELECT min(tenant) FROM rows WHERE due IS NOT NULL AND tenant > ?1",
                )
                .map_err(failed)?;
            let mut earliest = connection
                .prepare_cached(
                    "SELECT path, due FROM rows WHERE tenant = ?1 AND due IS NOT NULL AND due <= ?2
                     ORDER BY due LIMIT ?3",
                )
                .map_err(failed)?;
            let mut all: Vec<(Key, Millis)> = Vec::new();
            let mut last = after.to_owned();
            while all.len() < limit as usize {
                let found: Option<String> =
                    next.query_row([&last], |row| row.get(0)).map_err(failed)?;
                let Some(name) = found else { break };
                let tenant = TenantId::new(name.clone()).map_err(failed)?;
                let rows = earliest
                    .query_map(params![name, now.0, each], |row| {
                        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
                    })
                    .map_err(failed)?;
                for row in rows {
                    let (path, due) = row.map_err(failed)?;
                    all.push((Key { tenant: tenant.clone(), path }, Millis(due)));
                }
                last = name;
            }
            all.truncate(limit as usize);
            Ok(all)
        })
    }

    fn next_due(&self) -> Result<Option<Millis>, CommitError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT min(due) FROM rows WHERE due IS NOT NULL")
                .and_then(|mut next| next.query_row([], |row| row.get::<_, Option<i64>>(0)))
                .map(|due| due.map(Millis))
                .map_err(failed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firn_model::Put;

    fn change(path: &str, expect: Expect, value: Option<&str>, due: Option<i64>) -> Change {
        let key = Key { tenant: TenantId::new("acme").unwrap(), path: path.to_owned() };
        let put = value.map(|value| Put { value: value.to_owned(), due: due.map(Millis) });
        Change { key, expect, put }
    }

    /// Path, version and value of each row.
    type Rows = Vec<(String, u64, String)>;

    /// The rows that there are after some commits that were made together, and what became of each.
    fn after(commits: &[Vec<Change>]) -> (Rows, Vec<Result<(), CommitError>>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("firn.db");
        let store = Sqlite::open(&path, &MasterKey::new([7; 32])).unwrap();
        let mut connection = Connection::open(&path).unwrap();
        configure(&connection).unwrap();
        let jobs: Vec<Job> = commits
            .iter()
            .map(|changes| Job { work: Work::Commit(changes.clone()), done: bounded(1).0 })
            .collect();
        let done = transact(&mut connection, &jobs, &store.ring);
        let rows = store.scan(&TenantId::new("acme").unwrap(), "", None, 100).unwrap();
        (rows.into_iter().map(|row| (row.key.path, row.version, row.value)).collect(), done)
    }

    #[test]
    fn commits_that_are_made_together_take_none_with_them() {
        let (rows, done) = after(&[
            vec![change("a", Expect::Absent, Some("1"), Some(1))],
            // Stale by its second change: the first is not made.
            vec![
                change("b", Expect::Any, Some("1"), None),
                change("a", Expect::Absent, Some("2"), None),
            ],
            // Fails after its first one was made.
            vec![
                change("c", Expect::Any, Some("1"), None),
                change("audit/1", Expect::Any, None, None),
            ],
            vec![change("a", Expect::Version(1), Some("3"), None)],
        ]);
        assert!(done[0].is_ok() && done[3].is_ok(), "{done:?}");
        assert!(matches!(&done[1], Err(CommitError::Stale(key)) if key.path == "a"), "{done:?}");
        assert!(matches!(&done[2], Err(CommitError::Failed(_))), "{done:?}");
        assert_eq!(rows, [("a".to_owned(), 2, "3".to_owned())]);
    }

    #[test]
    fn one_change_may_build_on_another_of_its_commit() {
        let (rows, done) = after(&[vec![
            change("a", Expect::Absent, Some("1"), None),
            change("a", Expect::Version(1), Some("2"), Some(5)),
            change("a", Expect::Version(2), None, None),
            change("a", Expect::Absent, Some("3"), None),
            change("b", Expect::Any, None, None),
        ]]);
        assert_eq!(done, [Ok(())]);
        assert_eq!(rows, [("a".to_owned(), 1, "3".to_owned())]);
    }
}
