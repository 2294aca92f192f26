//! PostgreSQL: one database, any number of processes. A writer merges whatever commits wait into one
//! transaction, as [`crate::Sqlite`] does; it takes two round trips, however many rows there are. Writers of
//! several processes take turns, by the lock of one row: the head of the audit's chain. So what a commit
//! expects is still so when it is written, and no two of them wait for each other.
//!
//! A transaction names the tenants that it is about, and row-level security keeps the others from it.

mod connect;
mod keys;
mod listen;
mod write;

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use firn_model::{Change, CommitError, Key, Millis, Row, TenantId};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_postgres::types::ToSql;

use self::connect::{Connection, Server};
use self::write::Job;
use crate::chain::{AuditReport, Line, Walk};
use crate::seal::{Keyring, MasterKey, RawKey};
use crate::{Ear, Erased, OpenError, Share, Store};

/// So many connections read at the same time.
const READERS: usize = 4;
/// A server that has not answered for so long is taken for gone, whatever its connection looks like: nobody who works
/// is to wait for ever.
const ANSWERS: Duration = Duration::from_secs(20);
/// All tenants: for what hands out work, and for the audit as a whole.
const ALL: &str = "*";

fn failed(why: impl std::error::Error) -> CommitError {
    CommitError::Failed(told(&why))
}

fn silent() -> CommitError {
    CommitError::Failed(format!("the database has not answered for {} s", ANSWERS.as_secs()))
}

/// What an error says, and what is behind it: PostgreSQL's own words are there.
fn told(why: &dyn std::error::Error) -> String {
    let mut text = why.to_string();
    let mut source = why.source();
    while let Some(deeper) = source {
        text = format!("{text}: {deeper}");
        source = deeper.source();
    }
    if text.contains("certificate") {
        text += "; trust the server's on this machine, or say sslmode=disable where nobody listens";
    }
    text
}

/// A store in a PostgreSQL database.
pub struct Postgres {
    inner: Arc<Inner>,
    jobs: tokio::sync::mpsc::UnboundedSender<Job>,
    runtime: Background,
}

/// What connections run on. Whoever lets go of it may be in a place where nothing may be waited for.
struct Background(Option<Runtime>);

impl Background {
    fn new() -> std::io::Result<Background> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("store").enable_all().build()?;
        Ok(Background(Some(runtime)))
    }

    /// Waits for something that runs there; says so if it never came to an end.
    fn waited<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        let (done, result) = mpsc::sync_channel(1);
        self.spawn(async move {
            let _ = done.send(work.await);
        });
        result.recv().map_err(|_| "the store has stopped".to_owned())
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            runtime.spawn(work);
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

struct Inner {
    server: Server,
    ring: Keyring,
    places: Semaphore,
    idle: Mutex<Vec<Connection>>,
    /// What this process is called where others hear of its commits.
    own: Arc<str>,
}

impl Postgres {
    /// Opens a store, and makes its tables if they are not there. `url`: `postgres://user:password@host/database`,
    /// with `sslmode=require` for a server elsewhere.
    ///
    /// # Errors
    /// When the server cannot be reached, the database is a newer Firn's, or was sealed under another key.
    pub fn open(url: &str, master: &MasterKey) -> Result<Postgres, OpenError> {
        Postgres::opened(url, master, keys::Missing::Made)
    }

    /// Opens a store that is only looked at, whoever works on it: nothing is made in it.
    ///
    /// # Errors
    /// As `open`; also when it is an older Firn's, or none yet.
    pub fn inspect(url: &str, master: &MasterKey) -> Result<Postgres, OpenError> {
        Postgres::opened(url, master, keys::Missing::Refused)
    }

    fn opened(
        url: &str,
        master: &MasterKey,
        missing: keys::Missing,
    ) -> Result<Postgres, OpenError> {
        let runtime = Background::new().map_err(|why| OpenError::failed("the store", why))?;
        let server = Server::new(url)?;
        let name = server.name().to_owned();
        let opened = {
            let (server, master) = (server.clone(), master.clone());
            runtime.waited(async move { keys::open(&server, &master, missing).await })
        };
        let ring = opened.map_err(|why| OpenError::failed(&name, why))??;
        let places = Semaphore::new(READERS);
        let own = RawKey::random().map_err(|why| OpenError::failed(&name, why))?.digest(&[]);
        let own: String = own.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let own = own.into();
        let inner = Arc::new(Inner { server, ring, places, idle: Mutex::default(), own });
        let (jobs, queue) = tokio::sync::mpsc::unbounded_channel();
        let mut writer = write::Writer::new(Arc::clone(&inner));
        let connected = runtime.waited(async move { writer.connect().await.map(|()| writer) });
        let writer = connected.map_err(|why| OpenError::failed(&name, why))?;
        let writer = writer.map_err(|why| OpenError::failed(&name, why))?;
        runtime.spawn(writer.write(queue));
        Ok(Postgres { inner, jobs, runtime })
    }

    /// Has the writer do something.
    fn work(&self, work: write::Work) -> Result<Erased, CommitError> {
        let (done, result) = mpsc::sync_channel(1);
        let stopped = || CommitError::Failed("the store has stopped".to_owned());
        self.jobs.send(Job { work, done }).map_err(|_| stopped())?;
        result.recv().map_err(|_| stopped())?
    }

    /// One statement on a connection of the pool, as a transaction that sees these tenants.
    fn read(
        &self,
        tenants: &str,
        statement: Statement,
        values: Vec<Box<dyn ToSql + Send + Sync>>,
    ) -> Result<Vec<tokio_postgres::Row>, CommitError> {
        let (inner, tenants) = (Arc::clone(&self.inner), tenants.to_owned());
        let read = async move {
            let read = inner.read(&tenants, statement, &values);
            tokio::time::timeout(ANSWERS, read).await.unwrap_or_else(|_| Err(silent()))
        };
        self.runtime.waited(read).map_err(CommitError::Failed)?
    }

    fn row(&self, key: Key, row: &tokio_postgres::Row, first: usize) -> Result<Row, CommitError> {
        let version: i64 = row.try_get(first).map_err(failed)?;
        let sealed: &[u8] = row.try_get(first + 1).map_err(failed)?;
        let due: Option<i64> = row.try_get(first + 2).map_err(failed)?;
        let id: i64 = row.try_get(first + 3).map_err(failed)?;
        let value = self.inner.ring.open(&key, id, sealed).map_err(failed)?;
        Ok(Row { key, version: version.unsigned_abs(), value, due: due.map(Millis) })
    }

    /// The end of the audit's chain, by number, and what proves it; and whether anybody but the host has rows.
    fn end(&self) -> Result<(i64, Option<Vec<u8>>, bool), CommitError> {
        let end = self.read(ALL, Statement::End, Vec::new())?;
        let end =
            end.first().ok_or_else(|| CommitError::Failed("the chain has no head".to_owned()))?;
        let seq = end.try_get(0).map_err(failed)?;
        Ok((seq, end.try_get(1).map_err(failed)?, end.try_get(2).map_err(failed)?))
    }

    /// Looks at every line of the audit. `noted` is a head that was seen earlier.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn audit(&self, noted: Option<&str>) -> Result<AuditReport, CommitError> {
        // Its end is looked at first: what others write meanwhile is behind it, and no fault.
        let (last, mac, used) = self.end()?;
        let mut walk = Walk::new(&self.inner.ring, noted);
        let (mut seq, mut until, mut known) = (0_i64, last, last);
        loop {
            let page = self.read(ALL, Statement::Chain, vec![Box::new(seq)])?;
            for row in &page {
                let (id, sealed): (Option<i64>, Option<Vec<u8>>) =
                    (row.try_get(6).map_err(failed)?, row.try_get(5).map_err(failed)?);
                seq = row.try_get(0).map_err(failed)?;
                let line = Line {
                    seq,
                    tenant: row.try_get(1).map_err(failed)?,
                    path: text(row.try_get(2).map_err(failed)?)?,
                    digest: row.try_get(3).map_err(failed)?,
                    link: row.try_get(4).map_err(failed)?,
                    sealed: id.zip(sealed),
                };
                if seq > known {
                    known = self.end()?.0;
                }
                // Behind the end there is only what was written since; by then the end is further on.
                match seq <= last || seq > known {
                    true => walk.line(line),
                    false => walk.behind(line),
                }
            }
            if page.is_empty() || seq >= until {
                // What was erased while it was looked at is told of up to here.
                let now = self.end()?.0;
                if page.is_empty() || until > last || seq >= now {
                    break;
                }
                until = now;
            }
        }
        let strangers = self.read(ALL, Statement::Strangers, Vec::new())?;
        let strangers = strangers.iter().map(|row| text(row.try_get(0).map_err(failed)?));
        let strangers = strangers.collect::<Result<Vec<String>, CommitError>>()?;
        Ok(walk.over(strangers, mac.map(|mac| (last, mac)), used))
    }
}

fn text(path: Vec<u8>) -> Result<String, CommitError> {
    String::from_utf8(path).map_err(failed)
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statement {
    Get,
    Scan,
    Tenants,
    Due,
    Next,
    DueTo,
    NextTo,
    DueOfEach,
    Chain,
    Strangers,
    End,
}

impl Statement {
    const ALL: [Statement; 11] = [
        Statement::Get,
        Statement::Scan,
        Statement::Tenants,
        Statement::Due,
        Statement::Next,
        Statement::DueTo,
        Statement::NextTo,
        Statement::DueOfEach,
        Statement::Chain,
        Statement::Strangers,
        Statement::End,
    ];

    fn text(self) -> &'static str {
        match self {
            Statement::Get => {
                "SELECT r.version, r.value, r.due, r.key, wanted.n
                 FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS wanted (tenant, path, n) CROSS JOIN LATERAL (
                   SELECT version, value, due, key FROM rows
                   WHERE tenant = wanted.tenant COLLATE \"C\" AND path = wanted.path LIMIT 1
                 ) r"
            }
            Statement::Scan => {
                "SELECT version, value, due, key, path FROM rows
                 WHERE tenant = $1 AND path >= $2 AND path > $3 AND path < $4 ORDER BY path LIMIT $5"
            }
            // From one to the next, so that the rows of each are not walked.
            Statement::Tenants => {
                "WITH RECURSIVE one AS (
                   SELECT min(tenant) AS tenant FROM rows
                   UNION ALL
                   SELECT (SELECT min(r.tenant) FROM rows r WHERE r.tenant > one.tenant) FROM one WHERE one.tenant IS NOT NULL
                 ) SELECT tenant FROM one WHERE tenant IS NOT NULL"
            }
            Statement::Due => {
                "SELECT tenant, path, due FROM rows WHERE due IS NOT NULL AND due <= $1 ORDER BY due LIMIT $2"
            }
            Statement::Next => "SELECT min(due) FROM rows WHERE due IS NOT NULL",
            // The slot, as `share::slot` has it.
            Statement::DueTo => {
                "SELECT tenant, path, due FROM rows WHERE due IS NOT NULL AND due <= $1
                 AND (due < $4 OR get_byte(sha256(path), 0) = ANY($3::int[])) ORDER BY due LIMIT $2"
            }
            Statement::NextTo => {
                "SELECT due FROM rows WHERE due IS NOT NULL
                 AND (due < $2 OR get_byte(sha256(path), 0) = ANY($1::int[])) ORDER BY due LIMIT 1"
            }
            // From one who has something due to the next.
            Statement::DueOfEach => {
                "WITH RECURSIVE one AS (
                   SELECT min(tenant) AS tenant FROM rows WHERE due IS NOT NULL AND tenant > $6
                   UNION ALL
                   SELECT (SELECT min(r.tenant) FROM rows r WHERE r.due IS NOT NULL AND r.tenant > one.tenant)
                   FROM one WHERE one.tenant IS NOT NULL
                 ) SELECT d.tenant, d.path, d.due FROM one CROSS JOIN LATERAL (
                   SELECT r.tenant, r.path, r.due FROM rows r
                   WHERE r.tenant = one.tenant AND r.due IS NOT NULL AND r.due <= $1
                   AND (r.due < $5 OR get_byte(sha256(r.path), 0) = ANY($4::int[])) ORDER BY r.due LIMIT $2
                 ) d LIMIT $3"
            }
            Statement::Chain => {
                "SELECT c.seq, c.tenant, c.path, c.digest, c.link, r.value, r.key FROM chain c
                 LEFT JOIN rows r ON r.tenant = c.tenant AND r.path = c.path WHERE c.seq > $1 ORDER BY c.seq LIMIT 1000"
            }
            Statement::Strangers => {
                "SELECT path FROM rows r WHERE path >= 'audit/' AND path < 'audit0' AND NOT EXISTS
                 (SELECT 1 FROM chain c WHERE c.tenant = r.tenant AND c.path = r.path) LIMIT 100"
            }
            Statement::End => {
                "SELECT seq, mac, EXISTS (SELECT 1 FROM rows WHERE tenant <> '_firn') FROM chain_head"
            }
        }
    }
}

impl Inner {
    async fn read(
        &self,
        tenants: &str,
        statement: Statement,
        values: &[Box<dyn ToSql + Send + Sync>],
    ) -> Result<Vec<tokio_postgres::Row>, CommitError> {
        let _place = self.places.acquire().await.map_err(failed)?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle.filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => {
                self.server.connect(&Statement::ALL.map(Statement::text)).await.map_err(failed)?
            }
        };
        let at = Statement::ALL.iter().position(|one| *one == statement).unwrap_or_default();
        let rows = connection.read(tenants, at, values).await.map_err(failed)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(rows)
    }
}

impl Store for Postgres {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, CommitError> {
        let tenants: Vec<String> = keys.iter().map(|key| key.tenant.to_string()).collect();
        let paths: Vec<Vec<u8>> = keys.iter().map(|key| key.path.clone().into_bytes()).collect();
        let rows = self.read(
            &write::named(keys.iter().map(|key| &key.tenant)),
            Statement::Get,
            vec![Box::new(tenants), Box::new(paths)],
        )?;
        let mut found: Vec<Option<Row>> = vec![None; keys.len()];
        for row in &rows {
            let n: i64 = row.try_get(4).map_err(failed)?;
            let at = usize::try_from(n - 1).map_err(failed)?;
            if let (Some(key), Some(place)) = (keys.get(at), found.get_mut(at)) {
                *place = Some(self.row(key.clone(), row, 0)?);
            }
        }
        Ok(found)
    }

    fn scan(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Row>, CommitError> {
        // No byte of UTF-8 is as high.
        let beyond = [prefix.as_bytes(), &[0xFF]].concat();
        let values: Vec<Box<dyn ToSql + Send + Sync>> = vec![
            Box::new(tenant.to_string()),
            Box::new(prefix.as_bytes().to_vec()),
            Box::new(after.unwrap_or_default().as_bytes().to_vec()),
            Box::new(beyond),
            Box::new(i64::from(limit)),
        ];
        let rows = self.read(tenant.as_str(), Statement::Scan, values)?;
        rows.iter()
            .map(|row| {
                let path = text(row.try_get(4).map_err(failed)?)?;
                self.row(Key { tenant: tenant.clone(), path }, row, 0)
            })
            .collect()
    }

    fn commit(&self, changes: &[Change]) -> Result<(), CommitError> {
        self.work(write::Work::Commit(changes.to_vec())).map(|_| ())
    }

    fn erase(&self, changes: &[Change], lines: &[Key], told: &Key) -> Result<Erased, CommitError> {
        let (changes, lines) = (changes.to_vec(), lines.to_vec());
        self.work(write::Work::Erase { changes, lines, told: told.clone() })
    }

    fn tenants(&self) -> Result<Vec<TenantId>, CommitError> {
        let rows = self.read(ALL, Statement::Tenants, Vec::new())?;
        let tenant = |row: &tokio_postgres::Row| {
            TenantId::new(row.try_get::<_, String>(0).map_err(failed)?).map_err(failed)
        };
        rows.iter().map(tenant).collect()
    }

    fn due(&self, now: Millis, limit: u32) -> Result<Vec<(Key, Millis)>, CommitError> {
        let values: Vec<Box<dyn ToSql + Send + Sync>> =
            vec![Box::new(now.0), Box::new(i64::from(limit))];
        due(&self.read(ALL, Statement::Due, values)?)
    }

    fn next_due(&self) -> Result<Option<Millis>, CommitError> {
        next(&self.read(ALL, Statement::Next, Vec::new())?)
    }

    fn due_to(
        &self,
        share: &Share,
        now: Millis,
        limit: u32,
    ) -> Result<Vec<(Key, Millis)>, CommitError> {
        let values: Vec<Box<dyn ToSql + Send + Sync>> = vec![
            Box::new(now.0),
            Box::new(i64::from(limit)),
            Box::new(slots(share)),
            Box::new(share.overdue.0),
        ];
        due(&self.read(ALL, Statement::DueTo, values)?)
    }

    fn due_of_each(
        &self,
        share: Option<&Share>,
        now: Millis,
        after: &str,
        each: u32,
        limit: u32,
    ) -> Result<Vec<(Key, Millis)>, CommitError> {
        // What was due before the end of time is everybody's.
        let all = Share { slots: Vec::new(), overdue: Millis(i64::MAX) };
        let share = share.unwrap_or(&all);
        let values: Vec<Box<dyn ToSql + Send + Sync>> = vec![
            Box::new(now.0),
            Box::new(i64::from(each)),
            Box::new(i64::from(limit)),
            Box::new(slots(share)),
            Box::new(share.overdue.0),
            Box::new(after.to_owned()),
        ];
        due(&self.read(ALL, Statement::DueOfEach, values)?)
    }

    fn next_due_to(&self, share: &Share) -> Result<Option<Millis>, CommitError> {
        let values: Vec<Box<dyn ToSql + Send + Sync>> =
            vec![Box::new(slots(share)), Box::new(share.overdue.0)];
        next(&self.read(ALL, Statement::NextTo, values)?)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn listen(&self, ear: Ear) {
        let Inner { server, own, .. } = &*self.inner;
        self.runtime.spawn(listen::listen(server.clone(), Arc::clone(own), ear));
    }
}

fn slots(share: &Share) -> Vec<i32> {
    share.slots.iter().map(|slot| i32::from(*slot)).collect()
}

/// Rows of keys and due times.
fn due(rows: &[tokio_postgres::Row]) -> Result<Vec<(Key, Millis)>, CommitError> {
    rows.iter()
        .map(|row| {
            let tenant: String = row.try_get(0).map_err(failed)?;
            let tenant = TenantId::new(tenant).map_err(failed)?;
            let path = text(row.try_get(1).map_err(failed)?)?;
            Ok((Key { tenant, path }, Millis(row.try_get(2).map_err(failed)?)))
        })
        .collect()
}

/// A row of one due time, if any.
fn next(rows: &[tokio_postgres::Row]) -> Result<Option<Millis>, CommitError> {
    let due = rows.first().map(|row| row.try_get::<_, Option<i64>>(0)).transpose();
    Ok(due.map_err(failed)?.flatten().map(Millis))
}
