//! wasmtime. `rules` runs what tenants bring along; the rest is about Firn's own components: it compiles the engine component once, caches the machine code on disk, and runs
//! workers, each with an instance that is reused until it traps.
//!
//! A trap is contained to its events: the instance is dropped, and the events of the batch are run
//! again one by one, so that only the one that traps is lost to it. Whatever it had committed stays
//! committed; deduplication takes care of a second run.

mod convert;
mod core;
mod doors;
pub mod rules;
mod tape;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use firn_model::{Event, Report};
use sha2::{Digest, Sha256};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine, Store};

pub use self::core::{Core, MakeToken, Masked, Place, Question, Reply, Span};
pub use doors::{Doors, Scheme, Signature};
pub use tape::{Committed, DoorCall, Recorded, Recorder, replay};

mod bindings {
    #![allow(missing_docs, unreachable_pub)]
    wasmtime::component::bindgen!({ world: "engine", path: "../../wit" });
}

/// The most memory that one instance may have.
const MEMORY: usize = 256 << 20;
/// A tick of the epoch clock.
const TICK: Duration = Duration::from_millis(100);
/// Ticks that one batch may take, waits for the store included: 30 seconds.
const DEADLINE: u64 = 300;

/// Why the engine cannot be run.
#[derive(Debug, thiserror::Error)]
#[error("the engine component cannot be run: {0}")]
pub struct RuntimeError(String);

fn error(e: impl std::fmt::Debug) -> RuntimeError {
    RuntimeError(format!("{e:?}"))
}

/// The compiled engine component.
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    linked: Arc<bindings::EnginePre<State>>,
}

struct State {
    doors: Box<dyn Doors>,
    limiter: Limiter,
    /// What was asked of the doors, while somebody wants to know.
    tape: Option<Vec<DoorCall>>,
}

/// Adds up all memories of an instance: wasmtime's own limits hold for each alone.
#[derive(Default)]
struct Limiter {
    bytes: usize,
}

impl wasmtime::ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let after = self.bytes.saturating_sub(current).saturating_add(desired);
        let fits = after <= MEMORY;
        if fits {
            self.bytes = after;
        }
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= 10_000)
    }
}

impl Runtime {
    /// Compiles the engine component that Firn ships, or loads its machine code from `cache`.
    ///
    /// # Errors
    /// When it cannot be compiled or linked.
    pub fn new(cache: Option<&Path>) -> Result<Runtime, RuntimeError> {
        Runtime::with_component(firn_components::ENGINE, cache)
    }

    /// The same for another engine component.
    ///
    /// # Errors
    /// When it cannot be compiled, or wants another door than the engine's.
    pub fn with_component(wasm: &[u8], cache: Option<&Path>) -> Result<Runtime, RuntimeError> {
        let mut config = Config::new();
        config.concurrency_support(false);
        config.epoch_interruption(true);
        config.max_wasm_stack(1 << 20);
        config.cranelift_nan_canonicalization(true);
        let engine = Engine::new(&config).map_err(error)?;
        tick(&engine);
        let component = load(&engine, wasm, cache)?;
        let mut linker: Linker<State> = Linker::new(&engine);
        bindings::Engine::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)
            .map_err(error)?;
        let pre = linker.instantiate_pre(&component).map_err(error)?;
        let linked = Arc::new(bindings::EnginePre::new(pre).map_err(error)?);
        Ok(Runtime { engine, linked })
    }

    /// A worker behind these doors. It makes its instance when it is first needed.
    #[must_use]
    pub fn worker(&self, doors: impl Fn() -> Box<dyn Doors> + Send + 'static) -> Worker {
        Worker { runtime: self.clone(), doors: Box::new(doors), instance: None, recorder: None }
    }
}

/// Lets the epoch clock run as long as the engine lives.
fn tick(engine: &Engine) {
    let weak = engine.weak();
    std::thread::spawn(move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    });
}

/// Machine code from the cache, or compiled and put there. Its name holds the digest of the
/// component and of everything about this wasmtime that matters to the code.
pub(crate) fn load(
    engine: &Engine,
    wasm: &[u8],
    cache: Option<&Path>,
) -> Result<Component, RuntimeError> {
    let Some(cache) = cache.filter(|cache| ours(cache)) else {
        return Component::new(engine, wasm).map_err(error);
    };
    let path = cached(engine, wasm, cache);
    let from_file = || {
        // SAFETY: the file is ours, and in a directory that only this program writes to and whose access
        // rights keep others out; its name ties it to this component and this wasmtime.
        #[allow(unsafe_code)]
        unsafe {
            Component::deserialize_file(engine, &path)
        }
    };
    if mine(&path).is_ok_and(|about| about.is_file()) {
        match from_file() {
            Ok(component) => return Ok(component),
            Err(e) => tracing::warn!("cached machine code is not usable, compiling anew: {e}"),
        }
    }
    let compiled = engine.precompile_component(wasm).map_err(error)?;
    let kept = put_whole(&path, &compiled).inspect_err(|e| {
        tracing::warn!("machine code cannot be cached in {}: {e}", path.display());
    });
    // Mapped, as at every other start: what is not run takes no memory.
    let mapped = kept.ok().and_then(|()| {
        let mapped = from_file();
        mapped.inspect_err(|e| tracing::warn!("cached machine code is not usable: {e}")).ok()
    });
    let loaded = match mapped {
        Some(component) => Ok(component),
        // SAFETY: these bytes were made by this very engine, just now.
        #[allow(unsafe_code)]
        None => unsafe { Component::deserialize(engine, &compiled) },
    };
    drop(compiled);
    give_back();
    loaded.map_err(error)
}

/// What compiling took of memory goes back to the system: the allocator would keep some 150 MiB of it.
fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it frees what is free already.
    #[allow(unsafe_code)]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Makes a directory that nobody else can write to, if it is not there: machine code from elsewhere is not run.
///
/// # Errors
/// When it cannot be made, or others can write to it.
pub fn private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    match mine(folder)?.is_dir() {
        true => Ok(()),
        false => Err(std::io::Error::other("it is no directory")),
    }
}

/// Whether nobody else can write to a directory: machine code from elsewhere is not run. Makes it.
fn ours(cache: &Path) -> bool {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(cache);
    match made.and_then(|()| mine(cache)) {
        Ok(about) if about.is_dir() => true,
        Ok(_) => false,
        Err(e) => {
            tracing::warn!("{} cannot be used: {e}: nothing is cached", cache.display());
            false
        }
    }
}

/// What is known of a file or directory, if it is this user's and nobody else can write to it. A
/// link to somewhere else is neither.
fn mine(path: &Path) -> std::io::Result<std::fs::Metadata> {
    use std::os::unix::fs::MetadataExt;
    let about = std::fs::symlink_metadata(path)?;
    if about.uid() != rustix::process::geteuid().as_raw() || about.mode() & 0o022 != 0 {
        return Err(std::io::Error::other(
            "it belongs to somebody else, or others can write to it",
        ));
    }
    Ok(about)
}

/// Writes machine code to a file: whole before it has its name, as half of it could be taken for the whole. What
/// cannot be written, of a full disk, leaves nothing behind.
///
/// # Errors
/// When it cannot be written.
pub fn put_whole(path: &Path, code: &[u8]) -> std::io::Result<()> {
    let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || {
        let mut file = std::fs::File::create(&unfinished)?;
        std::io::Write::write_all(&mut file, code)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    };
    write().inspect_err(|_| {
        let _ = std::fs::remove_file(&unfinished);
    })
}

fn cached(engine: &Engine, wasm: &[u8], cache: &Path) -> PathBuf {
    use std::hash::{Hash, Hasher};
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let digest = Sha256::digest(wasm);
    let digest: String = digest.iter().take(16).map(|b| format!("{b:02x}")).collect();
    cache.join(format!("{digest}-{:016x}.cwasm", hasher.finish()))
}

/// One instance and the doors that new ones get.
pub struct Worker {
    runtime: Runtime,
    doors: Box<dyn Fn() -> Box<dyn Doors> + Send>,
    instance: Option<(Store<State>, bindings::Engine)>,
    recorder: Option<Recorder>,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Handled {
    /// What the engine reports.
    pub reports: Vec<Report>,
    /// Events during which it trapped, each with the trap.
    pub trapped: Vec<(Event, String)>,
}

impl Worker {
    /// Writes every call down.
    #[must_use]
    pub fn recording(mut self, recorder: Option<Recorder>) -> Worker {
        self.recorder = recorder;
        self
    }

    /// Handles a batch and gives the whole call.
    pub(crate) fn taped(&mut self, events: &[Event]) -> Result<Recorded, String> {
        let (reports, doors) = self.run(events, true)?;
        Ok(Recorded { events: events.to_vec(), doors, reports })
    }

    fn call(&mut self, events: &[Event]) -> Result<Vec<Report>, String> {
        let Some(recorder) = self.recorder.clone() else {
            return self.run(events, false).map(|(reports, _)| reports);
        };
        let call = self.taped(events)?;
        recorder.keep(&call);
        Ok(call.reports)
    }

    /// Handles a batch.
    pub fn handle(&mut self, events: Vec<Event>) -> Handled {
        match self.call(&events) {
            Ok(reports) => Handled { reports, trapped: Vec::new() },
            Err(trap) if events.len() == 1 => Handled {
                reports: Vec::new(),
                trapped: events.into_iter().map(|event| (event, trap.clone())).collect(),
            },
            Err(_) => {
                let mut handled = Handled::default();
                for event in events {
                    match self.call(std::slice::from_ref(&event)) {
                        Ok(reports) => handled.reports.extend(reports),
                        Err(trap) => handled.trapped.push((event, trap)),
                    }
                }
                handled
            }
        }
    }

    fn run(
        &mut self,
        events: &[Event],
        taped: bool,
    ) -> Result<(Vec<Report>, Vec<DoorCall>), String> {
        let (mut store, instance) = match self.instance.take() {
            Some(instance) => instance,
            None => self.instantiate().map_err(|e| e.to_string())?,
        };
        store.set_epoch_deadline(DEADLINE);
        store.data_mut().tape = taped.then(Vec::new);
        let events: Vec<_> = events.iter().map(convert::event).collect();
        let reports = instance
            .firn_sync_handler()
            .call_handle(&mut store, &events)
            .map_err(|trap| format!("{trap:?}"))?;
        let doors = store.data_mut().tape.take().unwrap_or_default();
        // Only an instance that did not trap may be entered again.
        self.instance = Some((store, instance));
        let reports: Result<Vec<Report>, String> =
            reports.into_iter().map(convert::report).collect();
        Ok((reports?, doors))
    }

    fn instantiate(&self) -> Result<(Store<State>, bindings::Engine), RuntimeError> {
        let state = State { doors: (self.doors)(), limiter: Limiter::default(), tape: None };
        let mut store = Store::new(&self.runtime.engine, state);
        store.limiter(|state| &mut state.limiter);
        store.set_epoch_deadline(DEADLINE);
        let instance = self.runtime.linked.instantiate(&mut store).map_err(error)?;
        Ok((store, instance))
    }
}
