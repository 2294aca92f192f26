//! What is done with a data directory: backup, restore, the keys, the audit's chain. Nothing here goes
//! over the API; a backup and a look at the audit may be taken while Firn works on it.
#![allow(clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use firn_model::Millis;
use firn_storage::{Inspected, MasterKey, Sqlite};

use super::show::{confirm, say};
use super::{Format, Listing};
use crate::StorePlace;
use crate::key::{self, KeySource};
use crate::restored::{self, Told};

/// A data directory, and where its key is.
#[derive(Args)]
pub(super) struct Data {
    /// Where store and key are kept.
    #[arg(long, default_value = "firn-data")]
    data: PathBuf,
    /// Where the master key is, if it is not beside the store: env:NAME, file:PATH or exec:COMMAND.
    #[arg(long, env = "FIRN_KEY")]
    key: Option<String>,
}

impl Data {
    fn open(&self) -> Result<Inspected> {
        let store = key::store(&self.data);
        if !store.exists() {
            bail!("there is no store in {} (--data)", self.data.display());
        }
        let master = KeySource::of(self.key.as_deref())?.open(&self.data)?;
        Ok(Inspected::open(&store, &master)?)
    }
}

#[derive(Args)]
pub(super) struct Backup {
    #[command(flatten)]
    data: Data,
    /// The file that is written; it must not be there yet.
    to: PathBuf,
    /// Also write the master key, to this file. Keep it elsewhere: with it the backup can be read.
    #[arg(long)]
    key_to: Option<PathBuf>,
}

/// Copies a store, as it is at this moment.
pub(super) fn backup(given: &Backup) -> Result<()> {
    let inspected = given.data.open()?;
    if given.to.exists() {
        bail!("{} is there already", given.to.display());
    }
    if given.key_to.as_ref() == Some(&given.to) {
        bail!("--key-to is another file: whoever has both can read the backup");
    }
    if let Some(path) = &given.key_to {
        let master = KeySource::of(given.data.key.as_deref())?.open(&given.data.data)?;
        key::write(path, &master)?;
    }
    // Whole or not at all.
    let unfinished = given.to.with_extension("unfinished");
    let _ = std::fs::remove_file(&unfinished);
    let written = || -> Result<()> {
        inspected.copy_to(&unfinished)?;
        std::fs::File::open(&unfinished)?.sync_all()?;
        std::fs::rename(&unfinished, &given.to)?;
        Ok(())
    };
    if let Err(why) = written() {
        let _ = std::fs::remove_file(&unfinished);
        return Err(why.context(format!("cannot write {}", given.to.display())));
    }
    let size = std::fs::metadata(&given.to)?.len();
    say!("{} holds {} KiB, sealed", given.to.display(), size.div_ceil(1024));
    if given.key_to.is_none() {
        say!("it is read with the master key only, which is not in it: keep that too, elsewhere");
    }
    Ok(())
}

#[derive(Args)]
pub(super) struct Restore {
    #[command(flatten)]
    data: Data,
    /// The backup.
    from: PathBuf,
    /// The master key's file, if it is not in the data directory any more.
    #[arg(long)]
    key_from: Option<PathBuf>,
    /// Replace the store that is there; it is kept beside the new one.
    #[arg(long)]
    replace: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// Makes a backup the store of a data directory, after every row of it was read.
pub(super) fn restore(given: &Restore) -> Result<()> {
    let data = &given.data.data;
    let store = key::store(data);
    let source = KeySource::of(given.data.key.as_deref())?;
    let beside = matches!(source, KeySource::Beside);
    let master = match &given.key_from {
        Some(_) if !beside => {
            bail!(
                "--key-from puts a key beside the store, and --key (FIRN_KEY) says it is elsewhere"
            )
        }
        Some(path) => key::read(path)?,
        None if beside && !data.join("master.key").exists() => bail!(
            "{} has no master key, and the backup cannot be read without it; name its file with --key-from",
            data.display()
        ),
        None => source.open(data)?,
    };
    let inspected = Inspected::open(&given.from, &master)?;
    let rows =
        inspected.sound().with_context(|| format!("{} is not sound", given.from.display()))?;
    let report = inspected.audit(None)?;
    if let Some(fault) = report.faults.first() {
        bail!("the audit in {} is broken: {fault}", given.from.display());
    }
    if store.exists() {
        if !given.replace {
            bail!("{} has a store already; --replace puts the backup in its place", data.display());
        }
        if !given.yes {
            confirm(&format!("put {} in the place of {}?", given.from.display(), store.display()))?;
        }
    }
    std::fs::create_dir_all(data)?;
    let _alone = firn_storage::alone(&store)?;
    let unfinished = data.join("restoring.db");
    clear(&unfinished);
    let now = crate::host::now();
    let told = copied(&inspected, &unfinished, &master, now).inspect_err(|_| clear(&unfinished))?;
    let _ = std::fs::remove_file(unfinished.with_extension("lock"));
    std::fs::File::open(&unfinished)?.sync_all()?;
    let stamp = firn_model::rfc3339_text(now).replace(':', "-");
    // What belongs to the old store goes before the new one takes its name, and stays beside it.
    for part in ["-wal", "-shm"] {
        let old = data.join(format!("firn.db{part}"));
        if old.exists() {
            std::fs::rename(&old, data.join(format!("before-{stamp}.db{part}")))?;
        }
    }
    if store.exists() {
        std::fs::hard_link(&store, data.join(format!("before-{stamp}.db")))?;
    }
    if given.key_from.is_some() {
        key::put_by(data)?;
        key::write(&data.join("master.key"), &master)?;
    }
    std::fs::rename(&unfinished, &store)?;
    say!("{} holds {rows} rows of {}", data.display(), given.from.display());
    say!("{}", told.text());
    left_out(&told);
    say!("tokens that were revoked and people who were forgotten since are back: do both again");
    Ok(())
}

/// Copies a backup, and tells the copy that it is one.
fn copied(from: &Inspected, to: &Path, master: &MasterKey, now: Millis) -> Result<Told> {
    from.copy_to(to)?;
    restored::tell(&Sqlite::open(to, master)?, None, now)
}

/// Removes what a restore that was broken off has left: nothing is copied onto a file that is there.
fn clear(unfinished: &Path) {
    for part in ["db", "db-wal", "db-shm", "lock"] {
        let _ = std::fs::remove_file(unfinished.with_extension(part));
    }
}

/// Of these it is not known what they do, so nothing can be said to them.
fn left_out(told: &Told) {
    for path in &told.left_out {
        eprintln!(
            "firn: {path} cannot be read by this version and was told nothing; run firn restored again with the one that wrote it, before it starts"
        );
    }
}

#[derive(Args)]
pub(super) struct Restored {
    #[command(flatten)]
    data: Data,
    /// A PostgreSQL database: its address, or env:NAME, file:PATH, exec:COMMAND. Without it the store is in the
    /// data directory.
    #[arg(long, env = "FIRN_STORE", hide_env_values = true)]
    store: Option<String>,
    /// When the backup was made, or somewhat before, as 2026-11-27T08:30:00Z. Without it: when the last line of the
    /// audit was written.
    #[arg(long)]
    since: Option<String>,
}

/// Tells a store that it was put back by other means than `firn restore`.
pub(super) fn restored(given: &Restored) -> Result<()> {
    let since = given.since.as_deref().map(firn_model::parse_rfc3339).transpose();
    let since = since.context("--since is a time like 2026-11-27T08:30:00Z")?;
    let now = crate::host::now();
    if since.is_some_and(|since| since > now) {
        bail!("--since is in the future");
    }
    let place = StorePlace::of(given.store.as_deref())?;
    if place.file(&given.data.data).is_some_and(|file| !file.exists()) {
        bail!("there is no store in {} (--data)", given.data.data.display());
    }
    let master = KeySource::of(given.data.key.as_deref())?.present(&given.data.data)?;
    let told = restored::tell(&*place.reopen(&given.data.data, &master)?, since, now)?;
    left_out(&told);
    if told.integrations == 0 {
        bail!("there is no integration that could be told in this store");
    }
    say!("{}", told.text());
    if !told.left_out.is_empty() {
        bail!("{} of its integrations could not be told", told.left_out.len());
    }
    Ok(())
}

#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Change the master key and the keys under it: every row is sealed anew. Firn must not run meanwhile.
    Rotate {
        #[command(flatten)]
        data: Data,
        /// Where the new master key is; without it a new one is made beside the store.
        #[arg(long)]
        new_key: Option<String>,
    },
}

pub(super) fn key(command: &KeyCommand) -> Result<()> {
    let KeyCommand::Rotate { data, new_key } = command;
    let source = KeySource::of(data.key.as_deref())?;
    let new = new_key.as_deref().map(|text| KeySource::of(Some(text))).transpose()?;
    let sealed = source.rotate(&data.data, new.as_ref())?;
    say!("{sealed} rows are sealed under new keys");
    say!(
        "backups of before need the key of before: master.key.until-..., if it lay beside the store"
    );
    Ok(())
}

#[derive(Args)]
pub(super) struct Verify {
    #[command(flatten)]
    data: Data,
    /// A head that was noted earlier: whether it is in the chain still, and nothing was cut off.
    #[arg(long)]
    noted: Option<String>,
    /// Look at a backup instead.
    #[arg(long)]
    backup: Option<PathBuf>,
    /// Look at a PostgreSQL database: its address, or env:NAME, file:PATH, exec:COMMAND.
    #[arg(long, env = "FIRN_STORE", hide_env_values = true)]
    store: Option<String>,
    #[command(flatten)]
    listing: Listing,
}

/// Looks at the audit's chain. Exit 1 if it is broken.
pub(super) fn verify(given: &Verify) -> Result<ExitCode> {
    let noted = given.noted.as_deref();
    let key = KeySource::of(given.data.key.as_deref())?;
    let report = match &given.backup {
        Some(path) => Inspected::open(path, &key.present(&given.data.data)?)?.audit(noted)?,
        None => {
            let place = StorePlace::of(given.store.as_deref())?;
            place.audit(&given.data.data, &key, noted)?
        }
    };
    let whole = if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if let Format::Json = given.listing.format {
        let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
        let report = serde_json::json!({ "lines": report.lines, "erased": report.erased,
            "head": report.head, "faults": faults });
        say!("{report:#}");
        return Ok(whole);
    }
    for fault in report.faults.iter().take(100) {
        eprintln!("firn: {fault}");
    }
    if report.faults.is_empty() {
        say!(
            "{} lines, {} of them erased on request; nothing was changed",
            report.lines,
            report.erased
        );
        say!("head {}", report.head);
        say!("note the head elsewhere: with --noted HEAD it shows later that nothing was cut off");
        return Ok(whole);
    }
    eprintln!("firn: the audit is not what was written: {} faults", report.faults.len());
    Ok(whole)
}
