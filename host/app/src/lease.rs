//! What one process does at a time, of all that work on a store: a row says who does it, and until when at the
//! latest, so that whoever ended in the middle keeps nobody waiting for longer. (Machines' clocks are taken to differ
//! by less.) Where no other process can be, nothing is written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use firn_model::{Change, CommitError, Expect, Key, Millis, Put};
use firn_storage::Store;
use serde::{Deserialize, Serialize};

use crate::host::now;
use crate::vault::system;

/// So often whoever waits looks.
const LOOKS: Duration = Duration::from_millis(50);
/// So long somebody waits: longer than who makes a name and ends in the middle keeps others waiting.
const WAITS: Duration = Duration::from_secs(70);

#[derive(Serialize, Deserialize)]
struct Row {
    holder: String,
    until: Millis,
}

/// Held as long as it is kept.
pub(crate) struct Lease {
    store: Arc<dyn Store>,
    key: Key,
    holder: String,
}

/// Takes a lease, if nobody has it. Gives none where nobody else can be, or where another has it.
fn take(store: &Arc<dyn Store>, name: &str, lasts: i64) -> Result<Option<Lease>, CommitError> {
    let key = Key::new(&system(), &["lease", name]);
    let row = store.get(std::slice::from_ref(&key))?.pop().flatten();
    let held = row.as_ref().and_then(|row| serde_json::from_str::<Row>(&row.value).ok());
    let time = now().0;
    // What is due later than any lease lasts is another clock's.
    if held.is_some_and(|held| (time..=time.saturating_add(2 * lasts)).contains(&held.until.0)) {
        return Ok(None);
    }
    let holder = firn_remote::random::<8>().map_err(|why| CommitError::Failed(why.to_string()))?;
    let holder = crate::hex(&holder);
    let mine = Row { holder: holder.clone(), until: Millis(time.saturating_add(lasts)) };
    let value = serde_json::to_string(&mine).map_err(|why| CommitError::Failed(why.to_string()))?;
    let expect = row.map_or(Expect::Absent, |row| Expect::Version(row.version));
    let put = Some(Put { value, due: None });
    match store.commit(&[Change { key: key.clone(), expect, put }]) {
        Ok(()) => Ok(Some(Lease { store: Arc::clone(store), key, holder })),
        Err(CommitError::Stale(_)) => Ok(None),
        Err(why) => Err(why),
    }
}

/// Whose turn something is.
pub(crate) enum Turn {
    /// This process's: nobody else can be there, or they know.
    Mine(Option<Lease>),
    /// Another's.
    Others,
}

/// Takes a lease if it can be had now.
///
/// # Errors
/// When the store cannot be used.
pub(crate) fn turn(store: &Arc<dyn Store>, name: &str, lasts: Duration) -> Result<Turn> {
    if !store.is_shared() {
        return Ok(Turn::Mine(None));
    }
    let lasts = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX / 4);
    Ok(take(store, name, lasts)?.map_or(Turn::Others, |lease| Turn::Mine(Some(lease))))
}

/// Waits for a lease, which ends by itself after `lasts`. None where no other process can be.
///
/// # Errors
/// When the store cannot be used, or others have it for too long.
pub(crate) async fn lease(
    store: &Arc<dyn Store>,
    name: &str,
    lasts: Duration,
) -> Result<Option<Lease>> {
    if !store.is_shared() {
        return Ok(None);
    }
    let end = Instant::now() + WAITS;
    let lasts = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX / 4);
    loop {
        if let Some(lease) = take(store, name, lasts)? {
            return Ok(Some(lease));
        }
        if Instant::now() > end {
            bail!("another process is at it ({name}); try again in a moment");
        }
        tokio::time::sleep(LOOKS).await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let row = self.store.get(std::slice::from_ref(&self.key)).ok();
        let row = row.and_then(|mut rows| rows.pop().flatten());
        let own = |row: &firn_model::Row| {
            serde_json::from_str::<Row>(&row.value).is_ok_and(|held| held.holder == self.holder)
        };
        // It may have ended meanwhile, and be another's.
        if let Some(row) = row.filter(own) {
            let expect = Expect::Version(row.version);
            let gone = Change { key: self.key.clone(), expect, put: None };
            if let Err(why) = self.store.commit(&[gone]) {
                tracing::debug!(%why, "a lease ends by itself");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use firn_storage::Memory;

    use super::*;

    #[test]
    fn a_lease_is_ones_at_a_time_and_ends_with_whoever_has_it() {
        let store: Arc<dyn Store> = Arc::new(Memory::default());
        let first = take(&store, "x", 30_000).unwrap().unwrap();
        assert!(take(&store, "x", 30_000).unwrap().is_none());
        assert!(take(&store, "y", 30_000).unwrap().is_some());
        drop(first);
        let second = take(&store, "x", 30_000).unwrap().unwrap();
        // It ended by itself, and another has it: the first to have had it takes nothing from them.
        let row = Row { holder: second.holder.clone(), until: Millis(now().0 - 1) };
        let put = Some(Put { value: serde_json::to_string(&row).unwrap(), due: None });
        let key = second.key.clone();
        store.commit(&[Change { key, expect: Expect::Any, put }]).unwrap();
        let third = take(&store, "x", 30_000).unwrap().unwrap();
        drop(second);
        assert!(take(&store, "x", 30_000).unwrap().is_none());
        drop(third);
        assert!(take(&store, "x", 30_000).unwrap().is_some());
    }
}
