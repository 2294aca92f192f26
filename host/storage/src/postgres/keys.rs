//! A database as a store: its tables made, and its keys, which are kept in it, wrapped by the master key.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::connect::Server;
use super::told;
use crate::OpenError;
use crate::seal::{Keyring, MasterKey, RawKey};

mod migrations {
    refinery::embed_migrations!("src/postgres/migrations");
}

/// One at a time makes tables and keys: replicas may begin at the same moment.
const LOCK: &str = "SELECT pg_try_advisory_lock(5208010)"; // Any number, always the same.

/// So often whoever waits for it looks, and says that it waits.
const LOOKS: Duration = Duration::from_millis(100);
const SAYS: Duration = Duration::from_secs(10);

/// Waits until nobody else makes anything.
async fn alone(client: &Client) -> Result<(), tokio_postgres::Error> {
    // Of a machine that is gone without a word the server lets go soon.
    let soon = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";
    client.batch_execute(soon).await?;
    let mut said = Instant::now();
    while !client.query_one(LOCK, &[]).await?.try_get::<_, bool>(0)? {
        if said.elapsed() >= SAYS {
            tracing::warn!("another process makes or changes the tables; waiting for it");
            said = Instant::now();
        }
        tokio::time::sleep(LOOKS).await;
    }
    Ok(())
}

/// What becomes of tables and keys that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// They are made.
    Made,
    /// It is no store, or none of this version.
    Refused,
}

fn name(purpose: &str, id: i64) -> String {
    format!("{purpose} {id}")
}

/// Gives the keys, and makes what is missing if it is to be.
pub(super) async fn open(
    server: &Server,
    master: &MasterKey,
    missing: Missing,
) -> Result<Keyring, OpenError> {
    let failed = |why: &dyn std::error::Error| OpenError::failed(server.name(), told(why));
    let mut client = server.client().await.map_err(|why| failed(&why))?;
    if missing == Missing::Made {
        alone(&client).await.map_err(|why| failed(&why))?;
    }
    // A newer Firn has made changes that this one does not know.
    let runner = migrations::migrations::runner().set_abort_missing(true).set_abort_divergent(true);
    let known = runner.get_migrations().iter().map(|one| one.version()).max().unwrap_or_default();
    let there = client.query_one("SELECT to_regclass('refinery_schema_history') IS NOT NULL", &[]);
    let there = there.await.and_then(|row| row.try_get(0)).map_err(|why| failed(&why))?;
    let applied = match there {
        true => runner.get_last_applied_migration_async(&mut client).await,
        false => Ok(None),
    };
    let applied = applied.map_err(|why| failed(&why))?.map_or(0, |last| last.version());
    if applied > known {
        return Err(OpenError::TooNew(server.name().to_owned()));
    }
    match missing {
        Missing::Made => {
            runner.run_async(&mut client).await.map_err(|why| failed(&why))?;
        }
        Missing::Refused if applied < known => {
            let why = "it was made by nobody yet, or last used by an older version of Firn; start Firn on it once";
            return Err(OpenError::failed(server.name(), why));
        }
        Missing::Refused => {}
    }
    match (read(&client, server, master).await?, missing) {
        (Some(ring), _) => Ok(ring),
        (None, Missing::Made) => make(&client, server, master).await,
        (None, Missing::Refused) => Err(OpenError::failed(server.name(), "it has no keys")),
    }
    // The lock goes with the connection.
}

async fn read(
    client: &Client,
    server: &Server,
    master: &MasterKey,
) -> Result<Option<Keyring>, OpenError> {
    let failed = |why: tokio_postgres::Error| OpenError::failed(server.name(), told(&why));
    let rows = client.query("SELECT purpose, id, wrapped FROM keys", &[]).await.map_err(failed)?;
    let mut ring = Keyring { data: Default::default(), audit: master.as_data_key() };
    for row in rows {
        let purpose: String = row.try_get(0).map_err(failed)?;
        let id: i64 = row.try_get(1).map_err(failed)?;
        let wrapped: Vec<u8> = row.try_get(2).map_err(failed)?;
        let key = master.unwrap(&name(&purpose, id), &wrapped);
        let key = key.map_err(|why| OpenError::of_key(server.name(), &why))?;
        match purpose.as_str() {
            "audit" => ring.audit = key,
            _ => drop(ring.data.insert(id, key)),
        }
    }
    Ok((!ring.data.is_empty()).then_some(ring))
}

/// Keys for a store that has none.
async fn make(client: &Client, server: &Server, master: &MasterKey) -> Result<Keyring, OpenError> {
    let random = || RawKey::random().map_err(|why| OpenError::failed(server.name(), why));
    let ring = Keyring { data: std::iter::once((1, random()?)).collect(), audit: random()? };
    let mut all = Vec::new();
    for (purpose, id, key) in
        ring.data.iter().map(|(id, key)| ("data", *id, key)).chain([("audit", 1, &ring.audit)])
    {
        let wrapped = master.wrap(&name(purpose, id), key);
        all.push((purpose, id, wrapped.map_err(|why| OpenError::failed(server.name(), why))?));
    }
    let purposes: Vec<&str> = all.iter().map(|(purpose, ..)| *purpose).collect();
    let ids: Vec<i64> = all.iter().map(|(_, id, _)| *id).collect();
    let wrapped: Vec<&[u8]> = all.iter().map(|(.., wrapped)| wrapped.as_slice()).collect();
    // All of them, or none.
    let text = "INSERT INTO keys (purpose, id, wrapped) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[])";
    let put = client.execute(text, &[&purposes, &ids, &wrapped]).await;
    put.map_err(|why| OpenError::failed(server.name(), told(&why)))?;
    Ok(ring)
}
