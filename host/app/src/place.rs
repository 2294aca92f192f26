//! Where the store is: a file in the data directory, or a database.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use firn_remote::Secret;
use firn_storage::{MasterKey, Postgres, Sharing, Sqlite, Store};
use secrecy::ExposeSecret;

use crate::key;

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
        if database || ["env:", "file:", "exec:"].iter().any(|kind| text.starts_with(kind)) {
            return Ok(StorePlace::Database(Secret::new(text)));
        }
        bail!(
            "--store is postgres://user:password@host/database, or says where that is: env:NAME, file:PATH or exec:COMMAND; a file is kept in --data, without --store"
        )
    }

    /// The address of a database.
    fn url(secret: &Secret) -> Result<String> {
        let url = secret.resolve().context("the store's address cannot be had")?;
        Ok(url.expose_secret().trim().to_owned())
    }

    /// Opens it, for this process alone.
    pub(crate) fn open(&self, data: &Path, master: &MasterKey) -> Result<Arc<dyn Store>> {
        Ok(match self {
            StorePlace::Beside => Arc::new(Sqlite::open(&key::store(data), master)?),
            StorePlace::Database(secret) => {
                Arc::new(Postgres::open(&Self::url(secret)?, master, Sharing::Alone)?)
            }
        })
    }

    /// A database that is looked at, whoever works on it; none if the store is a file.
    pub(crate) fn inspected(&self, master: &MasterKey) -> Result<Option<Postgres>> {
        match self {
            StorePlace::Beside => Ok(None),
            StorePlace::Database(secret) => {
                Ok(Some(Postgres::open(&Self::url(secret)?, master, Sharing::Shared)?))
            }
        }
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
