//! Why a store cannot be opened.

use crate::seal::SealerError;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{0} is in use by another process; stop it first")]
    InUse(String),
    /// It was made by a newer Firn.
    #[error("{0} was written by a newer version of Firn; use that version or restore a backup")]
    TooNew(String),
    /// It is another store's key.
    #[error("{0} was sealed under another key; is this its master key?")]
    WrongKey(String),
    /// Anything else.
    #[error("{path} cannot be opened: {why}")]
    Failed {
        /// The file, or the database.
        path: String,
        /// What it says.
        why: String,
    },
}

impl OpenError {
    pub(crate) fn failed(path: &str, why: impl std::fmt::Display) -> OpenError {
        OpenError::Failed { path: path.to_owned(), why: why.to_string() }
    }

    pub(crate) fn of_key(path: &str, why: &SealerError) -> OpenError {
        match why {
            SealerError::WrongMaster | SealerError::DoesNotOpen => {
                OpenError::WrongKey(path.to_owned())
            }
            SealerError::NoRandomness(why) => OpenError::failed(path, why),
        }
    }
}
