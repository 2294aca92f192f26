//! Where the store is: a file in the data directory, or a database.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use firn_remote::Secret;
use firn_storage::{AuditReport, Inspected, MasterKey, Postgres, Sqlite, Store};
use secrecy::ExposeSecret;

use crate::key::{self, KeySource};

/// Where the store is.
#[derive(Debug, Clone, Default)]
pub enum StorePlace {
    /// In the data directory: SQLite.
    #[default]
    Beside,
    /// A PostgreSQL database, by its address.
    Database(Secret),
}

impl StorePlace {
    /// From the command line or the environment; `None` is in the data directory.
    ///
    /// # Errors
    /// When it is no address of a database, nor where one is.
    pub fn of(given: Option<&str>) -> Result<StorePlace> {
        let Some(text) = given else { return Ok(StorePlace::Beside) };
        let database = text.starts_with("postgres://") || text.starts_with("postgresql://");
        if database || Secret::is_reference(text) {
            return Ok(StorePlace::Database(Secret::new(text)));
        }
        bail!(
            "--store is postgres://user:password@host/database, or says where that is: env:NAME, file:PATH or exec:COMMAND; a file is kept in --data, without --store"
        )
    }

    /// The address of a database.
    fn url(secret: &Secret) -> Result<String> {
        let url = secret.resolve_at_start().context("the store's address cannot be had")?;
        Ok(url.expose_secret().trim().to_owned())
    }

    /// Opens it: a file for this process alone, a database together with whoever else has it.
    pub(crate) fn open(&self, data: &Path, master: &MasterKey) -> Result<Arc<dyn Store>> {
        Ok(match self {
            StorePlace::Beside => Arc::new(Sqlite::open(&key::store(data), master)?),
            StorePlace::Database(secret) => Arc::new(Postgres::open(&Self::url(secret)?, master)?),
        })
    }

    /// Opens one that is there: nothing is made in a database that has none.
    pub(crate) fn reopen(&self, data: &Path, master: &MasterKey) -> Result<Arc<dyn Store>> {
        match self {
            StorePlace::Beside => self.open(data, master),
            StorePlace::Database(secret) => {
                Ok(Arc::new(Postgres::inspect(&Self::url(secret)?, master)?))
            }
        }
    }

    /// Looks at the audit's chain, whoever works on the store. `noted` is a head that was seen earlier.
    pub(crate) fn audit(
        &self,
        data: &Path,
        key: &KeySource,
        noted: Option<&str>,
    ) -> Result<AuditReport> {
        Ok(match self {
            StorePlace::Beside => {
                let store = key::store(data);
                if !store.exists() {
                    bail!("there is no store in {} (--data)", data.display());
                }
                Inspected::open(&store, &key.present(data)?)?.audit(noted)?
            }
            StorePlace::Database(secret) => {
                Postgres::inspect(&Self::url(secret)?, &key.present(data)?)?.audit(noted)?
            }
        })
    }

    /// The store's file, if it is one.
    pub(crate) fn file(&self, data: &Path) -> Option<PathBuf> {
        match self {
            StorePlace::Beside => Some(key::store(data)),
            StorePlace::Database(_) => None,
        }
    }

    /// As it may be shown: a password is not.
    pub(crate) fn shown(&self) -> Option<String> {
        let StorePlace::Database(secret) = self else { return None };
        let text = secret.expose();
        let open = url::Url::parse(text)
            .is_ok_and(|url| url.password().is_some() || url.query().is_some());
        (!open).then(|| text.to_owned())
    }
}
