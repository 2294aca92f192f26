//! The writer: takes what waits, commits it as one transaction, answers everybody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use firn_model::{Change, CommitError, Expect, Key, Put, TenantId};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::connect::{Connection, begin};
use super::{ANSWERS, Inner, failed, listen, silent, told};
use crate::Erased;
use crate::chain::{Head, LINES, Link};
use crate::seal::Keyring;

/// The most jobs of one transaction.
const MERGED: usize = 64;
/// So often a transaction is tried that others were in the way of.
const TRIES: usize = 5;

/// What is to be done.
pub(super) enum Work {
    Commit(Vec<Change>),
    Erase { changes: Vec<Change>, lines: Vec<Key>, told: Key },
}

pub(super) struct Job {
    pub(super) work: Work,
    pub(super) done: mpsc::SyncSender<Result<Erased, CommitError>>,
}

impl Work {
    fn keys(&self) -> Vec<&Key> {
        match self {
            Work::Commit(changes) => changes.iter().map(|change| &change.key).collect(),
            Work::Erase { changes, lines, told } => {
                changes.iter().map(|change| &change.key).chain(lines).chain([told]).collect()
            }
        }
    }
}

/// Tenants as a transaction names them.
pub(super) fn named<'a>(tenants: impl Iterator<Item = &'a TenantId>) -> String {
    let all: BTreeSet<&str> = tenants.map(TenantId::as_str).collect();
    all.into_iter().collect::<Vec<_>>().join(",")
}

/// What is written, beside what only reads.
const STATEMENTS: [&str; 7] = [
    // Whoever commits holds it.
    "SELECT seq, link FROM chain_head FOR UPDATE",
    "SELECT wanted.n, r.version, c.seq FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS wanted (tenant, path, n)
     LEFT JOIN LATERAL (
       SELECT version FROM rows WHERE tenant = wanted.tenant COLLATE \"C\" AND path = wanted.path LIMIT 1
     ) r ON true
     LEFT JOIN LATERAL (
       SELECT seq FROM chain WHERE tenant = wanted.tenant COLLATE \"C\" AND path = wanted.path LIMIT 1
     ) c ON true",
    "INSERT INTO rows (tenant, path, version, value, due, key)
     SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bytea[], $5::bigint[], $6::bigint[])
     ON CONFLICT (tenant, path) DO UPDATE SET version = excluded.version, value = excluded.value, due = excluded.due, key = excluded.key",
    // Nobody else moves them meanwhile: the chain's head is held.
    "DELETE FROM rows WHERE ctid = ANY (ARRAY (
       SELECT r.ctid FROM unnest($1::text[], $2::bytea[]) AS gone (tenant, path) CROSS JOIN LATERAL (
         SELECT ctid FROM rows WHERE tenant = gone.tenant COLLATE \"C\" AND path = gone.path LIMIT 1
       ) r
     ))",
    "INSERT INTO chain (seq, tenant, path, digest, link)
     SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[])",
    "UPDATE chain_head SET seq = $1, link = $2, mac = $3",
    "SELECT pg_notify('firn', $1)",
];

const HEAD: usize = 0;
const VERSIONS: usize = 1;
const PUT: usize = 2;
const DELETE: usize = 3;
const CHAIN: usize = 4;
const END: usize = 5;
const NOTIFY: usize = 6;

/// What keeps what was erased.
const LEFT: &str = "its log, replicas and backups, where it lies sealed as long as they are kept";

/// The largest table that is written anew while others wait: some seconds. In bytes.
const SMALL: i64 = 256 << 20;

/// The table was not written anew.
fn left(why: &str) -> Erased {
    let left = format!(
        "PostgreSQL: free parts of its tables ({why}; VACUUM FULL rows clears them), {LEFT}"
    );
    Erased::FromRows { left }
}

/// Writes the table anew, or says why not.
async fn rewrite(client: &tokio_postgres::Client) -> Result<(), String> {
    let failed = |why: tokio_postgres::Error| told(&why);
    let size = client.query_one("SELECT pg_total_relation_size('rows')", &[]).await;
    let size: i64 = size.and_then(|row| row.try_get(0)).map_err(failed)?;
    if size > SMALL {
        return Err("they are too large for everybody to wait".to_owned());
    }
    client
        .batch_execute("SET lock_timeout = '2s'; SET statement_timeout = '15s'")
        .await
        .map_err(failed)?;
    let done = client.batch_execute("VACUUM FULL rows").await;
    client.batch_execute("RESET lock_timeout; RESET statement_timeout").await.map_err(failed)?;
    done.map_err(failed)
}

/// Who writes, on a connection of its own.
pub(super) struct Writer {
    inner: Arc<Inner>,
    connection: Option<Connection>,
}

impl Writer {
    pub(super) fn new(inner: Arc<Inner>) -> Writer {
        Writer { inner, connection: None }
    }

    /// Connects, unless it is connected.
    pub(super) async fn connect(&mut self) -> Result<(), String> {
        if self.connection.as_ref().is_some_and(|connection| !connection.is_closed()) {
            return Ok(());
        }
        let failed = |why: tokio_postgres::Error| told(&why);
        let connection = self.inner.server.connect(&STATEMENTS).await.map_err(failed)?;
        // Of a process that is gone without a word the server lets go soon, and of what it held.
        let soon = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
                    SET idle_in_transaction_session_timeout = '5s'";
        connection.client.batch_execute(soon).await.map_err(failed)?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Works until nobody can ask for anything any more.
    pub(super) async fn write(mut self, mut queue: UnboundedReceiver<Job>) {
        while let Some(first) = queue.recv().await {
            let mut jobs = vec![first];
            while jobs.len() < MERGED
                && let Ok(job) = queue.try_recv()
            {
                jobs.push(job);
            }
            let works: Vec<&Work> = jobs.iter().map(|job| &job.work).collect();
            let results = self.committed(&works).await;
            let erases = |job: &Job| matches!(job.work, Work::Erase { .. });
            let erases = jobs.iter().zip(&results).any(|(job, done)| erases(job) && done.is_ok());
            let erased = if erases { self.clear().await } else { Erased::Wholly };
            for (job, result) in jobs.into_iter().zip(results) {
                let _ = job.done.send(result.map(|()| erased.clone()));
            }
        }
    }

    /// Writes the table anew, with what is live and nothing else. While it is written nobody can read it, nor while
    /// somebody else (a dump) keeps it from being begun: so only if that is over soon.
    async fn clear(&mut self) -> Erased {
        let Some(connection) = self.connection.take() else { return left("it was cut off") };
        let cleared = tokio::time::timeout(ANSWERS, rewrite(&connection.client)).await;
        let table = match cleared {
            Ok(cleared) => {
                self.connection = Some(connection);
                cleared.err()
            }
            Err(_) => Some("the database did not answer".to_owned()),
        };
        match table {
            Some(why) => left(&why),
            None => Erased::FromRows { left: format!("PostgreSQL: {LEFT}") },
        }
    }

    /// One transaction for all, tried again if others were in its way.
    async fn committed(&mut self, works: &[&Work]) -> Vec<Result<(), CommitError>> {
        let all = |why: &CommitError| works.iter().map(|_| Err(why.clone())).collect();
        for _ in 0..TRIES {
            let connected = tokio::time::timeout(ANSWERS, self.connect()).await;
            let Ok(connected) = connected else { return all(&silent()) };
            if let Err(why) = connected {
                return all(&CommitError::Failed(why));
            }
            let Some(connection) = self.connection.take() else { continue };
            let transacted = transact(&self.inner, &connection, works);
            let Ok(transacted) = tokio::time::timeout(ANSWERS, transacted).await else {
                // The connection goes with what may still be on its way; the server rolls it back, or has committed it.
                return all(&silent());
            };
            match transacted {
                Ok(results) => {
                    self.connection = Some(connection);
                    return results;
                }
                Err(broken) => {
                    // Whether a commit that was on its way arrived, nobody knows. Versions tell.
                    if connection.client.batch_execute("ROLLBACK").await.is_ok() {
                        self.connection = Some(connection);
                    }
                    if let Broken::For(why) = broken {
                        return all(&why);
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
        all(&CommitError::Failed("others were in the way again and again".to_owned()))
    }
}

enum Broken {
    Again,
    For(CommitError),
}

impl From<tokio_postgres::Error> for Broken {
    fn from(why: tokio_postgres::Error) -> Broken {
        let again = [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];
        match why.code() {
            Some(code) if again.contains(code) => Broken::Again,
            _ => Broken::For(failed(why)),
        }
    }
}

impl From<CommitError> for Broken {
    fn from(why: CommitError) -> Broken {
        Broken::For(why)
    }
}

/// What the rows will be, if it is committed.
struct Draft<'r> {
    ring: &'r Keyring,
    /// The versions of rows that are there.
    versions: BTreeMap<Key, i64>,
    /// The numbers of lines that are part of the chain.
    numbers: BTreeMap<Key, i64>,
    puts: BTreeMap<Key, (i64, Put)>,
    gone: BTreeSet<Key>,
    lines: Vec<(Key, Link)>,
    head: Head,
}

impl Draft<'_> {
    /// All of these changes, or none.
    fn apply(&mut self, work: &Work) -> Result<(), CommitError> {
        let (changes, lines, told) = match work {
            Work::Commit(changes) => (changes, &[][..], None),
            Work::Erase { changes, lines, told } => (changes, lines.as_slice(), Some(told)),
        };
        // First what may fail.
        let mut versions: BTreeMap<&Key, Option<i64>> = BTreeMap::new();
        for Change { key, expect, put } in changes {
            let known = versions.get(key).copied();
            let version = known.unwrap_or_else(|| self.versions.get(key).copied());
            let as_expected = match expect {
                Expect::Any => true,
                Expect::Absent => version.is_none(),
                Expect::Version(expected) => version.map(i64::unsigned_abs) == Some(*expected),
            };
            if !as_expected {
                return Err(CommitError::Stale(key.clone()));
            }
            if key.path.starts_with(LINES) && put.is_none() {
                return Err(CommitError::Failed("a line of the audit is not deleted".to_owned()));
            }
            versions.insert(key, put.as_ref().map(|_| version.unwrap_or(0) + 1));
        }
        if let Some(told) = told
            && self.versions.contains_key(told)
        {
            return Err(CommitError::Stale(told.clone()));
        }
        for Change { key, put, .. } in changes {
            match put {
                Some(put) => self.put(key, put.clone()),
                None => self.delete(key),
            }
        }
        if let Some(told) = told {
            let numbers: Vec<i64> =
                lines.iter().filter_map(|line| self.numbers.get(line).copied()).collect();
            let value = serde_json::to_string(&numbers).map_err(failed)?;
            self.put(told, Put { value, due: None });
            lines
                .iter()
                .filter(|line| line.path.starts_with(LINES))
                .for_each(|line| self.delete(line));
        }
        Ok(())
    }

    fn put(&mut self, key: &Key, put: Put) {
        let version = self.versions.get(key).copied();
        if key.path.starts_with(LINES) {
            // It was written already: its name tells what it says.
            if version.is_some() {
                return;
            }
            let link = self.head.append(self.ring, key, &put.value);
            self.numbers.insert(key.clone(), link.seq);
            self.lines.push((key.clone(), link));
        }
        let version = version.unwrap_or(0) + 1;
        self.versions.insert(key.clone(), version);
        self.gone.remove(key);
        self.puts.insert(key.clone(), (version, put));
    }

    fn delete(&mut self, key: &Key) {
        self.versions.remove(key);
        self.puts.remove(key);
        self.gone.insert(key.clone());
    }
}

fn places<'k>(keys: impl Iterator<Item = &'k Key>) -> (Vec<&'k str>, Vec<&'k [u8]>) {
    keys.map(|key| (key.tenant.as_str(), key.path.as_bytes())).unzip()
}

async fn transact(
    inner: &Inner,
    connection: &Connection,
    works: &[&Work],
) -> Result<Vec<Result<(), CommitError>>, Broken> {
    let keys: BTreeSet<&Key> = works.iter().flat_map(|work| work.keys()).collect();
    let keys: Vec<&Key> = keys.into_iter().collect();
    let client = &connection.client;
    let begin = begin(&named(keys.iter().map(|key| &key.tenant)));
    let (tenants, paths) = places(keys.iter().copied());
    let wanted: [&(dyn ToSql + Sync); 2] = [&tenants, &paths];
    // Each statement sees what was committed before it began: the rows, then, what they are while the head is held.
    let (begun, head, found) = tokio::join!(
            biased; // Sent in this order.
        client.batch_execute(&begin),
        client.query_one(connection.statement(HEAD), &[]),
        client.query(connection.statement(VERSIONS), &wanted),
    );
    begun?;
    let head = head?;
    let head = Head { seq: head.try_get(0)?, link: head.try_get(1)? };
    let (mut versions, mut numbers) = (BTreeMap::new(), BTreeMap::new());
    for row in found? {
        let n: i64 = row.try_get(0)?;
        let Some(key) = usize::try_from(n - 1).ok().and_then(|n| keys.get(n)) else { continue };
        let (version, number): (Option<i64>, Option<i64>) = (row.try_get(1)?, row.try_get(2)?);
        version.map(|version| versions.insert((*key).clone(), version));
        number.map(|number| numbers.insert((*key).clone(), number));
    }
    let (ring, puts, gone, lines) = (&inner.ring, BTreeMap::new(), BTreeSet::new(), Vec::new());
    let mut draft = Draft { ring, versions, numbers, puts, gone, lines, head };
    let results: Vec<Result<(), CommitError>> =
        works.iter().map(|work| draft.apply(work)).collect();
    send(inner, connection, &draft).await?;
    Ok(results)
}

/// Writes what is to be, and commits it: one round trip.
async fn send(inner: &Inner, connection: &Connection, draft: &Draft<'_>) -> Result<(), Broken> {
    let Draft { ring, puts, gone, lines, .. } = draft;
    let changed = puts.keys().chain(gone);
    let kinds: BTreeSet<&str> =
        changed.map(|key| key.path.split('/').next().unwrap_or_default()).collect();
    let kinds: Vec<&str> = kinds.into_iter().collect();
    let message = listen::message(&inner.own, &kinds);
    let tell: [&(dyn ToSql + Sync); 1] = [&message];
    let mut sealed = Vec::with_capacity(puts.len());
    for (key, (_, put)) in puts {
        sealed.push(ring.seal(key, &put.value).map_err(failed)?);
    }
    let (tenants, paths) = places(puts.keys());
    let versions: Vec<i64> = puts.values().map(|(version, _)| *version).collect();
    let values: Vec<&[u8]> = sealed.iter().map(|(_, value)| value.as_slice()).collect();
    let dues: Vec<Option<i64>> = puts.values().map(|(_, put)| put.due.map(|due| due.0)).collect();
    let ids: Vec<i64> = sealed.iter().map(|(id, _)| *id).collect();
    let put: [&(dyn ToSql + Sync); 6] = [&tenants, &paths, &versions, &values, &dues, &ids];

    let (gone_tenants, gone_paths) = places(gone.iter());
    let delete: [&(dyn ToSql + Sync); 2] = [&gone_tenants, &gone_paths];

    let (line_tenants, line_paths) = places(lines.iter().map(|(key, _)| key));
    let numbers: Vec<i64> = lines.iter().map(|(_, link)| link.seq).collect();
    let digests: Vec<&[u8]> = lines.iter().map(|(_, link)| link.digest.as_slice()).collect();
    let links: Vec<&[u8]> = lines.iter().map(|(_, link)| link.link.as_slice()).collect();
    let chain: [&(dyn ToSql + Sync); 5] = [&numbers, &line_tenants, &line_paths, &digests, &links];

    let last = lines.last().map(|(_, link)| (link.seq, link.link.as_slice(), link.end.as_slice()));
    let (seq, link, mac) = last.unwrap_or_default();
    let end: [&(dyn ToSql + Sync); 3] = [&seq, &link, &mac];

    let (put, deleted, chained, ended, told, committed) = tokio::join!(
            biased; // Sent in this order.
        run(connection, PUT, !puts.is_empty(), &put),
        run(connection, DELETE, !gone.is_empty(), &delete),
        run(connection, CHAIN, !lines.is_empty(), &chain),
        run(connection, END, !lines.is_empty(), &end),
        run(connection, NOTIFY, !kinds.is_empty(), &tell),
        connection.client.batch_execute("COMMIT"),
    );
    put?;
    deleted?;
    chained?;
    ended?;
    told?;
    committed?;
    Ok(())
}

/// One of the statements that write, if there is anything for it.
async fn run(
    connection: &Connection,
    at: usize,
    needed: bool,
    values: &[&(dyn ToSql + Sync)],
) -> Result<(), tokio_postgres::Error> {
    if needed {
        connection.client.query(connection.statement(at), values).await?;
    }
    Ok(())
}
