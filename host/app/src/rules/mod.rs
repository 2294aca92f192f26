//! Tenants' own rules: which are loaded, asking them, and letting those rest that have failed. How they are
//! uploaded and kept: `keep`; how they are compiled, in a process of its own: `compile`; what they would have
//! said of what came in: `dry_run`; how they are written, on somebody's own machine: `project`.

pub(crate) mod compile;
pub(crate) mod dry_run;
pub(crate) mod keep;
pub(crate) mod project;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::keep::NotTaken;
use anyhow::{Context, Result};
use firn_model::rule::Answer;
use firn_model::{ActiveRules, Hook, Inquiry, IntegrationId, Millis, TenantId};
use firn_runtime::rules::{Prepared, RuleLimits, RulesEngine};
use schemars::JsonSchema;
use serde::Serialize;

use crate::host::now;

/// So many rules are kept loaded; loading them again takes less than a millisecond.
const LOADED: usize = 1_024;
/// When rules that are being compiled are asked again. In milliseconds.
const COMPILING: u64 = 500;
/// Rules that fail are left alone for so many times what they took: they get no more of a processor than this
/// leaves them, whatever they do.
const REST: u32 = 50;
/// What a question may take without any rest; what is above counts four times.
const FREE: Duration = Duration::from_millis(5);
/// The most machine code that is kept, in bytes; what was compiled first goes, and is compiled again if it is
/// asked.
const KEPT: u64 = 2 << 30;
/// So much later than the others that wait for the end of a rest whoever was asked before it comes back.
const TURN: Duration = Duration::from_millis(500);
/// The longest rest.
const LONGEST: Duration = Duration::from_secs(60);

/// How the rules that an integration asks have done since they are asked, or since the process began.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(crate) struct Doing {
    /// Questions that they answered.
    pub(crate) answered: u64,
    /// Questions that they failed at.
    pub(crate) failed: u64,
    /// Why they failed last, and when.
    pub(crate) last_failure: Option<(String, Millis)>,
    /// They have failed, and are left alone until then.
    pub(crate) resting: Option<Millis>,
}

#[derive(Default)]
struct Standing {
    /// The version that this is about: what another did is no news of it.
    version: u64,
    doing: Doing,
    /// Failures in a row.
    row: u32,
    rests: Option<Instant>,
    /// The record that they were asked about last.
    last: Option<String>,
}

/// The rules that can be asked.
pub(crate) struct RuleBook {
    engine: RulesEngine,
    limits: RuleLimits,
    /// The program that compiles, and where what it made is kept.
    program: PathBuf,
    folder: PathBuf,
    loaded: Mutex<BTreeMap<String, (Arc<Prepared>, u64)>>,
    uses: std::sync::atomic::AtomicU64,
    standing: Mutex<BTreeMap<(TenantId, IntegrationId), Standing>>,
    compiling: Mutex<BTreeSet<String>>,
    /// Rules that are asked and cannot be compiled here, and why.
    unusable: Mutex<BTreeMap<String, String>>,
    /// So many uploads and dry runs are taken at once; nobody else waits for them.
    pub(crate) places: tokio::sync::Semaphore,
    /// One is compiled at a time: whoever uploads much waits.
    turn: Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RuleBook {
    pub(crate) fn open(program: PathBuf, cache: &std::path::Path) -> Result<RuleBook> {
        let folder = cache.join("rules");
        firn_runtime::private_folder(&folder)
            .with_context(|| format!("cannot use {}", folder.display()))?;
        Ok(RuleBook {
            engine: RulesEngine::new().context("rules cannot be run")?,
            limits: RuleLimits::default(),
            program,
            folder,
            loaded: Mutex::default(),
            uses: std::sync::atomic::AtomicU64::new(0),
            standing: Mutex::default(),
            compiling: Mutex::default(),
            unusable: Mutex::default(),
            places: tokio::sync::Semaphore::new(2),
            turn: Mutex::default(),
        })
    }

    /// The limits of an inquiry.
    pub(crate) fn limits(&self) -> &RuleLimits {
        &self.limits
    }

    fn file(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}-{:016x}.cwasm", self.engine.compatibility()))
    }

    /// Rules that are loaded, or are there to be loaded.
    pub(crate) fn ready(&self, digest: &str) -> Option<Arc<Prepared>> {
        let used = self.uses.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if let Some((prepared, last)) = lock(&self.loaded).get_mut(digest) {
            *last = used;
            return Some(Arc::clone(prepared));
        }
        let file = self.file(digest);
        if !file.exists() {
            return None;
        }
        match self.engine.load(&file) {
            Ok(prepared) => {
                let prepared = Arc::new(prepared);
                let mut loaded = lock(&self.loaded);
                if loaded.len() >= LOADED {
                    let oldest =
                        loaded.iter().min_by_key(|(_, (_, last))| *last).map(|(d, _)| d.clone());
                    oldest.and_then(|digest| loaded.remove(&digest));
                }
                loaded.insert(digest.to_owned(), (Arc::clone(&prepared), used));
                Some(prepared)
            }
            Err(why) => {
                tracing::warn!(%why, "compiled rules are not usable, and are compiled anew");
                let _ = std::fs::remove_file(&file);
                None
            }
        }
    }

    /// Compiles rules, unless that was done before, and says which hooks they have.
    ///
    /// # Errors
    /// What is wrong with them, in a sentence for whoever made them; or with us.
    pub(crate) fn prepare(&self, digest: &str, wasm: &[u8]) -> Result<BTreeSet<Hook>, NotTaken> {
        if let Some(prepared) = self.ready(digest) {
            return Ok(prepared.hooks().clone());
        }
        let _turn = lock(&self.turn);
        if let Some(prepared) = self.ready(digest) {
            return Ok(prepared.hooks().clone());
        }
        compile::in_a_child(&self.program, wasm, &self.file(digest))?;
        lock(&self.unusable).remove(digest);
        self.make_room();
        let prepared = self.ready(digest);
        let prepared = prepared.ok_or_else(|| {
            NotTaken::Failed(anyhow::anyhow!("what was compiled cannot be loaded"))
        })?;
        Ok(prepared.hooks().clone())
    }

    /// Lets go of what was compiled first, if there is too much.
    fn make_room(&self) {
        let Ok(files) = std::fs::read_dir(&self.folder) else { return };
        let mut kept: Vec<(std::time::SystemTime, u64, PathBuf)> = files
            .filter_map(|file| {
                let file = file.ok()?;
                let about = file.metadata().ok()?;
                Some((about.modified().ok()?, about.len(), file.path()))
            })
            .collect();
        kept.sort();
        let mut all: u64 = kept.iter().map(|(_, size, _)| size).sum();
        kept.pop(); // What was compiled just now stays.
        for (_, size, file) in kept {
            if all <= KEPT {
                break;
            }
            all = all.saturating_sub(size);
            if let Err(why) = std::fs::remove_file(&file) {
                tracing::warn!(%why, "compiled rules cannot be removed");
            }
        }
    }

    /// Asks an integration's rules. If they are not compiled here yet that is begun, with the bytes that
    /// `wasm` gives.
    pub(crate) fn ask(
        self: &Arc<Self>,
        tenant: &TenantId,
        integration: &IntegrationId,
        active: &ActiveRules,
        inquiry: &Inquiry,
        wasm: impl FnOnce() -> Result<Vec<u8>> + Send + 'static,
    ) -> Vec<Answer> {
        let all = |answer: Answer| inquiry.questions.iter().map(|_| answer.clone()).collect();
        let key = (tenant.clone(), integration.clone());
        let version = active.version;
        if let Some(standing) = lock(&self.standing).get(&key)
            && standing.version == version
            && let Some(rests) = standing.rests
        {
            let left = rests.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                // Of all that wait, whoever was asked last comes last: each gets its turn.
                let last = standing.last.as_ref() == Some(&inquiry.about.record);
                let back = if last { left + TURN } else { left };
                return all(match standing.row {
                    // They work, and take long: that is no reason to go on without them.
                    0 => Answer::Later(after(back)),
                    _ => Answer::Resting(after(back)),
                });
            }
        }
        let Some(prepared) = self.ready(&active.digest) else {
            if let Some(why) = lock(&self.unusable).get(&active.digest).cloned() {
                return all(Answer::Failed(why));
            }
            self.compile_later(active.digest.clone(), wasm);
            return all(Answer::Later(now().plus(COMPILING)));
        };
        let asked = prepared.ask(inquiry, &self.limits);
        self.judge(key, version, inquiry, &asked.answers, asked.took);
        asked.answers
    }

    /// Whoever fails, or takes long, is left alone for a while.
    fn judge(
        &self,
        key: (TenantId, IntegrationId),
        version: u64,
        inquiry: &Inquiry,
        answers: &[Answer],
        took: Duration,
    ) {
        let failures =
            answers.iter().zip(&inquiry.questions).filter_map(|(answer, question)| match answer {
                Answer::Failed(why) => Some(format!("{}: {why}", question.hook().name())),
                _ => None,
            });
        let failures: Vec<String> = failures.collect();
        let mut standing = lock(&self.standing);
        let standing = standing.entry(key).or_default();
        if standing.version != version {
            *standing = Standing { version, ..Standing::default() };
        }
        standing.doing.failed += failures.len() as u64;
        standing.doing.answered += (answers.len() - failures.len()) as u64;
        let rest = match failures.into_iter().last() {
            Some(why) => {
                let rest = (took * REST).saturating_mul(1 << standing.row.min(10));
                standing.row = standing.row.saturating_add(1);
                standing.doing.last_failure = Some((why, now()));
                rest
            }
            None => {
                standing.row = 0;
                took.saturating_sub(FREE) * 4
            }
        };
        let rest = rest.min(LONGEST);
        standing.rests = (!rest.is_zero()).then(|| Instant::now() + rest);
        standing.last = Some(inquiry.about.record.clone());
    }

    /// How a version of an integration's rules has done.
    pub(crate) fn doing(
        &self,
        tenant: &TenantId,
        integration: &IntegrationId,
        version: Option<u64>,
    ) -> Doing {
        let standing = lock(&self.standing);
        let standing = standing.get(&(tenant.clone(), integration.clone()));
        let Some(standing) = standing.filter(|standing| Some(standing.version) == version) else {
            return Doing::default();
        };
        let left = standing.rests.map(|until| until.saturating_duration_since(Instant::now()));
        // A moment is no news.
        let resting = left.filter(|left| *left > Duration::from_millis(500)).map(after);
        Doing { resting, ..standing.doing.clone() }
    }

    fn compile_later(
        self: &Arc<Self>,
        digest: String,
        wasm: impl FnOnce() -> Result<Vec<u8>> + Send + 'static,
    ) {
        if !lock(&self.compiling).insert(digest.clone()) {
            return;
        }
        let book = Arc::clone(self);
        let name = digest.clone();
        let run = move || {
            let done = wasm().and_then(|wasm| Ok(book.prepare(&digest, &wasm).map(drop)?));
            if let Err(why) = done {
                tracing::error!("rules cannot be compiled; whoever asks them is told so");
                lock(&book.unusable)
                    .insert(digest.clone(), format!("it cannot be compiled here: {why:#}"));
            }
            lock(&book.compiling).remove(&digest);
        };
        let thread = std::thread::Builder::new().name("rules-compiler".to_owned()).spawn(run);
        if let Err(why) = thread {
            tracing::error!(%why, "no thread for compiling rules");
            lock(&self.compiling).remove(&name);
        }
    }
}

fn after(left: Duration) -> Millis {
    now().plus(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}
