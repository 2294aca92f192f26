//! The in-memory model of a store: the shortest thing that keeps the contract.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use firn_model::{Change, CommitError, Expect, Key, Millis, Row, TenantId};

use crate::{Erased, Share, Store};

#[derive(Clone, Default)]
struct Tables {
    rows: BTreeMap<Key, Row>,
    due: BTreeSet<(Millis, Key)>,
}

/// Rows in memory. Nothing is sealed, nothing survives.
#[derive(Default)]
pub struct Memory {
    tables: Mutex<Tables>,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Memory {
        Memory::default()
    }

    /// The store as it is now.
    #[must_use]
    pub fn copy(&self) -> Memory {
        Memory { tables: Mutex::new(self.tables().clone()) }
    }

    /// Puts a copy in the place of everything that is there.
    pub fn put_back(&self, copy: &Memory) {
        *self.tables() = copy.tables().clone();
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, CommitError> {
        let tables = self.tables();
        Ok(keys.iter().map(|key| tables.rows.get(key).cloned()).collect())
    }

    fn scan(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Row>, CommitError> {
        let tables = self.tables();
        let from = Key { tenant: tenant.clone(), path: after.unwrap_or(prefix).to_owned() };
        Ok(tables
            .rows
            .range(from..)
            .map(|(_, row)| row)
            .take_while(|row| row.key.tenant == *tenant && row.key.path.starts_with(prefix))
            .filter(|row| after.is_none_or(|after| row.key.path.as_str() > after))
            .take(limit as usize)
            .cloned()
            .collect())
    }

    fn commit(&self, changes: &[Change]) -> Result<(), CommitError> {
        let mut tables = self.tables();
        for change in changes {
            let version = tables.rows.get(&change.key).map(|row| row.version);
            let as_expected = match change.expect {
                Expect::Any => true,
                Expect::Absent => version.is_none(),
                Expect::Version(expected) => version == Some(expected),
            };
            if !as_expected {
                return Err(CommitError::Stale(change.key.clone()));
            }
        }
        for change in changes {
            if change.key.path.starts_with("audit/") && tables.rows.contains_key(&change.key) {
                match change.put {
                    Some(_) => continue,
                    None => {
                        return Err(CommitError::Failed(
                            "a line of the audit is not deleted".into(),
                        ));
                    }
                }
            }
            let old = tables.rows.remove(&change.key);
            if let Some(Row { due: Some(due), .. }) = &old {
                tables.due.remove(&(*due, change.key.clone()));
            }
            if let Some(put) = &change.put {
                let version = old.map_or(1, |row| row.version + 1);
                let row = Row {
                    key: change.key.clone(),
                    version,
                    value: put.value.clone(),
                    due: put.due,
                };
                if let Some(due) = put.due {
                    tables.due.insert((due, change.key.clone()));
                }
                tables.rows.insert(change.key.clone(), row);
            }
        }
        Ok(())
    }

    fn erase(&self, changes: &[Change], lines: &[Key], told: &Key) -> Result<Erased, CommitError> {
        self.commit(changes)?;
        let mut tables = self.tables();
        for line in lines.iter().filter(|line| line.path.starts_with("audit/")) {
            tables.rows.remove(line);
        }
        let row = Row { key: told.clone(), version: 1, value: "[]".to_owned(), due: None };
        tables.rows.insert(told.clone(), row);
        Ok(Erased::Wholly)
    }

    fn tenants(&self) -> Result<Vec<TenantId>, CommitError> {
        let tables = self.tables();
        let all: BTreeSet<&TenantId> = tables.rows.keys().map(|key| &key.tenant).collect();
        Ok(all.into_iter().cloned().collect())
    }

    fn due(&self, now: Millis, limit: u32) -> Result<Vec<(Key, Millis)>, CommitError> {
        let tables = self.tables();
        let due = tables.due.iter().take_while(|(due, _)| *due <= now).take(limit as usize);
        Ok(due.map(|(due, key)| (key.clone(), *due)).collect())
    }

    fn due_of_each(
        &self,
        share: Option<&Share>,
        now: Millis,
        after: &str,
        each: u32,
        limit: u32,
    ) -> Result<Vec<(Key, Millis)>, CommitError> {
        let mut taken: BTreeMap<TenantId, u32> = BTreeMap::new();
        let mut due = self.due(now, u32::MAX)?;
        due.retain(|(key, due)| {
            let falls =
                key.tenant.as_str() > after && share.is_none_or(|share| share.has(&key.path, *due));
            let taken = taken.entry(key.tenant.clone()).or_default();
            *taken += u32::from(falls);
            falls && *taken <= each
        });
        due.sort_by(|(a, _), (b, _)| a.tenant.cmp(&b.tenant));
        due.truncate(limit as usize);
        Ok(due)
    }

    fn next_due(&self) -> Result<Option<Millis>, CommitError> {
        Ok(self.tables().due.first().map(|(due, _)| *due))
    }
}
