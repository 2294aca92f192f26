//! The master key: where it is, how it is made and changed. It opens the store, and is kept apart from it
//! where somebody wants that: `--key env:NAME`, `file:PATH` or `exec:COMMAND` instead of the file
//! `master.key` beside the store.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firn_remote::Secret;
use firn_storage::MasterKey;
use secrecy::ExposeSecret;

/// Where the master key is.
#[derive(Debug, Clone, Default)]
pub enum KeySource {
    /// In the file `master.key` of the data directory; made on first start.
    #[default]
    Beside,
    /// Elsewhere: 32 bytes as base64 or hexadecimal.
    Elsewhere(Secret),
}

/// The store of a data directory.
pub(crate) fn store(data: &Path) -> PathBuf {
    data.join("firn.db")
}

fn beside(data: &Path) -> PathBuf {
    data.join("master.key")
}

/// What a change of the key that broke off has left.
fn coming(data: &Path) -> PathBuf {
    data.join("master.key.new")
}

impl KeySource {
    /// From the command line or the environment; `None` is beside the store.
    ///
    /// # Errors
    /// When it is not said where the key is: the key itself would be seen by others on the machine.
    pub fn of(given: Option<&str>) -> Result<KeySource> {
        match given {
            None => Ok(KeySource::Beside),
            Some(text) if Secret::is_reference(text) => Ok(KeySource::Elsewhere(Secret::new(text))),
            Some(_) => bail!(
                "it is said where a key is, and not the key: env:NAME, file:PATH or exec:COMMAND"
            ),
        }
    }

    /// The same for who only looks: none is made.
    pub(crate) fn present(&self, data: &Path) -> Result<MasterKey> {
        if matches!(self, KeySource::Beside) && !beside(data).exists() {
            bail!("{} is missing; say where the key is with --key", beside(data).display());
        }
        self.open(data)
    }

    /// The key of a data directory. One beside a store that is not there yet is made.
    pub(crate) fn open(&self, data: &Path) -> Result<MasterKey> {
        let secret = match self {
            KeySource::Elsewhere(secret) => secret,
            KeySource::Beside => return self.open_beside(data),
        };
        let text = secret.resolve_at_start().context("the master key cannot be had")?;
        parse(text.expose_secret()).with_context(|| {
            format!("{} holds no key: 32 bytes, as base64 or hexadecimal", secret.expose())
        })
    }

    fn open_beside(&self, data: &Path) -> Result<MasterKey> {
        let (path, coming, store) = (beside(data), coming(data), store(data));
        // A change of the key that broke off after the store had it.
        if coming.exists() && read(&coming).is_ok_and(|key| firn_storage::opens(&store, &key)) {
            std::fs::rename(&coming, &path)?;
        }
        if path.exists() {
            return read(&path);
        }
        if store.exists() {
            bail!(
                "{} is missing, and the store beside it cannot be read without it; restore it from a backup, or say where it is with --key",
                path.display()
            );
        }
        let key = MasterKey::random()?;
        write(&path, &key)?;
        Ok(key)
    }

    /// Changes the key of a data directory, under which nobody works. The old one is kept beside it: backups
    /// of before are read with it. Broken off, it is simply done again. Gives how many rows were sealed
    /// anew.
    pub(crate) fn rotate(&self, data: &Path, new: Option<&KeySource>) -> Result<u64> {
        let store = store(data);
        if !store.exists() {
            bail!("there is no store in {} (--data)", data.display());
        }
        match (self, new) {
            (KeySource::Beside, None) => {
                let old = self.open(data)?;
                let (key, coming) = (MasterKey::random()?, coming(data));
                let _ = std::fs::remove_file(&coming);
                write(&coming, &key)?;
                let rotated = firn_storage::rotate(&store, &old, &key);
                if rotated.is_err() && !firn_storage::opens(&store, &key) {
                    std::fs::remove_file(&coming)?; // It opens nothing.
                }
                let sealed = rotated?;
                put_by(data)?;
                std::fs::rename(&coming, beside(data))?;
                Ok(sealed)
            }
            (_, Some(new)) => {
                let key = new.open(data)?;
                // Broken off before, the new key may be the store's already.
                let present = match self.open(data) {
                    Ok(old) if !firn_storage::opens(&store, &key) => old,
                    Ok(old) if old.expose() == key.expose() => bail!("the new key is the old one"),
                    Err(why) if !firn_storage::opens(&store, &key) => return Err(why),
                    _ => key.clone(),
                };
                let sealed = firn_storage::rotate(&store, &present, &key)?;
                if let KeySource::Beside = self {
                    put_by(data)?;
                }
                Ok(sealed)
            }
            (KeySource::Elsewhere(_), None) => {
                bail!("say where the new key is: --new-key env:NAME, file:PATH or exec:COMMAND")
            }
        }
    }
}

/// Keeps the key that is no more the store's, under another name.
pub(crate) fn put_by(data: &Path) -> Result<()> {
    let (path, stamp) = (beside(data), firn_model::rfc3339_text(crate::host::now()));
    if path.exists() {
        let name = format!("master.key.until-{}", stamp.replace(':', "-"));
        std::fs::rename(&path, data.join(name))?;
    }
    Ok(())
}

fn parse(text: &str) -> Option<MasterKey> {
    let text = text.trim();
    let bytes = match text.len() {
        64 => (0..32)
            .map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok())
            .collect::<Option<Vec<u8>>>()?,
        _ => STANDARD.decode(text).ok()?,
    };
    Some(MasterKey::new(<[u8; 32]>::try_from(bytes).ok()?))
}

/// A key file: 32 bytes as base64 or hexadecimal, or as they are.
pub(crate) fn read(path: &Path) -> Result<MasterKey> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let key = match <[u8; 32]>::try_from(bytes.as_slice()) {
        Ok(raw) => Some(MasterKey::new(raw)),
        Err(_) => std::str::from_utf8(&bytes).ok().and_then(parse),
    };
    key.with_context(|| {
        format!(
            "{} holds no key (32 bytes, also as base64 or hexadecimal); restore it from a backup",
            path.display()
        )
    })
}

/// Writes a key file that is not there yet, for its owner's eyes only.
pub(crate) fn write(path: &Path, key: &MasterKey) -> Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    writeln!(file, "{}", STANDARD.encode(key.expose()))?;
    file.sync_all()?;
    // The name is as lasting as the bytes.
    if let Some(directory) = path.parent().and_then(|parent| std::fs::File::open(parent).ok()) {
        directory.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use firn_storage::Sqlite;

    #[test]
    fn a_key_is_read_as_it_is_written_down() {
        let key = [7_u8; 32];
        let hex = "07".repeat(32);
        for text in [STANDARD.encode(key), hex.clone(), format!("{hex}\n")] {
            assert_eq!(parse(&text).unwrap().expose(), &key);
        }
        for wrong in ["", "07", "zz".repeat(32).as_str(), "é".repeat(32).as_str()] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
        assert!(KeySource::of(Some(&hex)).is_err(), "it would be seen by others");
    }

    #[test]
    fn a_change_that_broke_off_is_ended_by_the_next_start() {
        let data = tempfile::tempdir().unwrap();
        let source = KeySource::Beside;
        let old = source.open(data.path()).unwrap();
        drop(Sqlite::open(&store(data.path()), &old).unwrap());
        // Before the store has it: the old one holds.
        let new = MasterKey::random().unwrap();
        write(&coming(data.path()), &new).unwrap();
        assert_eq!(source.open(data.path()).unwrap().expose(), old.expose());
        // After.
        firn_storage::rotate(&store(data.path()), &old, &new).unwrap();
        assert_eq!(source.open(data.path()).unwrap().expose(), new.expose());
        drop(Sqlite::open(&store(data.path()), &new).unwrap());
        assert!(source.rotate(data.path(), None).is_ok());
        let newest = source.open(data.path()).unwrap();
        assert_ne!(newest.expose(), new.expose());
        assert!(!coming(data.path()).exists());
    }
}
