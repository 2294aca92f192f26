//! A tenant's own rules, run as what they are: somebody else's program. Each inquiry gets an instance of its
//! own that is thrown away afterwards, so nothing of one pair, integration or tenant can reach another, and
//! the same question has the same answer. An instance has no imports but `log`, and limits on memory,
//! instructions, time, and on what it hands over. What it does within them is its own affair.

mod convert;
mod limits;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use firn_model::Hook;
use firn_model::rule::{Answer, Inquiry, Question, Said};
use wasmtime::component::{Component, HasSelf, Instance, InstancePre, Linker};
use wasmtime::{Config, Engine, Store, Trap};

use self::limits::Bounds;
pub use self::limits::RuleLimits;
use crate::{RuntimeError, error};

pub(crate) mod bindings {
    #![allow(missing_docs, unreachable_pub)]
    wasmtime::component::bindgen!({ world: "tenant-rules", path: "../../wit/rules" });
}

use bindings::exports::firn::rules as hooks;

/// The package that rules are written against.
const PACKAGE: &str = "firn:rules/";
const VERSION: &str = "@0.1.0";
/// A tick of the epoch clock: how exactly a time limit is kept.
const TICK: Duration = Duration::from_millis(5);

/// Where rules are run.
#[derive(Clone)]
pub struct RulesEngine {
    engine: Engine,
    linker: Linker<State>,
}

/// Rules that can be asked.
pub struct Prepared {
    engine: Engine,
    instance: InstancePre<State>,
    hooks: BTreeSet<Hook>,
}

/// What an instance of rules has.
struct State {
    bounds: Bounds,
    lines: Vec<String>,
}

impl bindings::firn::rules::types::Host for State {}

impl bindings::firn::rules::log::Host for State {
    fn line(&mut self, text: String) {
        const LINES: usize = 100;
        const CHARACTERS: usize = 1_000;
        if self.lines.len() < LINES {
            self.lines.push(text.chars().take(CHARACTERS).collect());
        }
    }
}

/// What became of an inquiry.
#[derive(Debug, Default)]
pub struct Asked {
    /// An answer to each question, in order.
    pub answers: Vec<Answer>,
    /// The instructions that each took, in wasmtime's units of fuel. Of one that was cut off: all that it had.
    pub fuel: Vec<u64>,
    /// What was logged.
    pub lines: Vec<String>,
    /// How long it took, with making the instance.
    pub took: Duration,
}

impl RulesEngine {
    /// An engine for rules.
    ///
    /// # Errors
    /// When this machine cannot run components.
    pub fn new() -> Result<RulesEngine, RuntimeError> {
        RulesEngine::with_threads(true)
    }

    /// An engine that compiles on one thread: for a process that only compiles.
    ///
    /// # Errors
    /// When this machine cannot run components.
    pub fn modest() -> Result<RulesEngine, RuntimeError> {
        RulesEngine::with_threads(false)
    }

    fn with_threads(parallel: bool) -> Result<RulesEngine, RuntimeError> {
        let mut config = Config::new();
        config.concurrency_support(false);
        config.parallel_compilation(parallel);
        config.consume_fuel(true);
        config.epoch_interruption(true);
        config.max_wasm_stack(512 << 10);
        // Nothing that differs between machines, so that one question has one answer everywhere.
        config.cranelift_nan_canonicalization(true);
        config.wasm_relaxed_simd(false);
        config.wasm_memory64(false);
        let engine = Engine::new(&config).map_err(error)?;
        let weak = engine.weak();
        std::thread::Builder::new()
            .name("rules-clock".to_owned())
            .spawn(move || {
                while let Some(engine) = weak.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(TICK);
                }
            })
            .map_err(error)?;
        let mut linker: Linker<State> = Linker::new(&engine);
        bindings::firn::rules::types::add_to_linker::<_, HasSelf<State>>(&mut linker, |s| s)
            .map_err(error)?;
        bindings::firn::rules::log::add_to_linker::<_, HasSelf<State>>(&mut linker, |s| s)
            .map_err(error)?;
        Ok(RulesEngine { engine, linker })
    }

    /// Compiles a component and checks it. Whoever lets strangers upload does this in a process of its own: what
    /// compiling takes is the component's choice.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence for whoever made it.
    pub fn compile(&self, wasm: &[u8]) -> Result<(Vec<u8>, BTreeSet<Hook>), String> {
        if wasm.get(..4) != Some(b"\0asm") {
            return Err("it is no WebAssembly".to_owned());
        }
        if wasm.get(4..8) == Some(&[1, 0, 0, 0]) {
            return Err(
                "it is a WebAssembly module, not a component: build it with `firn rules build`"
                    .to_owned(),
            );
        }
        let component = Component::new(&self.engine, wasm).map_err(|e| first_line(&e))?;
        let hooks = self.checked(component.clone())?.hooks;
        let machine_code = component.serialize().map_err(|e| first_line(&e))?;
        Ok((machine_code, hooks))
    }

    /// Compiles a component and gives it ready to be asked: for rules of one's own making.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence for whoever made it.
    pub fn compiled(&self, wasm: &[u8]) -> Result<Prepared, String> {
        let component = Component::new(&self.engine, wasm).map_err(|e| first_line(&e))?;
        self.checked(component)
    }

    /// Prepares a component and looks whether its hooks have the types that they must have, and whether it can
    /// be made at all.
    fn checked(&self, component: Component) -> Result<Prepared, String> {
        let prepared = self.prepare(component)?;
        let limits = RuleLimits { time: Duration::from_secs(1), ..RuleLimits::default() };
        let (mut store, instance) = prepared
            .instantiate(&limits, limits.time)
            .map_err(|why| format!("it fails before it is asked anything: {why}"))?;
        for hook in &prepared.hooks {
            is_as_described(*hook, &prepared.instance, &mut store, &instance).map_err(|e| {
                let (name, why) = (hook.name(), first_line(&e));
                format!("its hook {name} is not as {PACKAGE}{name}{VERSION} describes it: {why}")
            })?;
        }
        Ok(prepared)
    }

    /// Loads what [`compile`](Self::compile) of the same program made.
    ///
    /// # Errors
    /// When the file is not ours, or was made by another version of Firn.
    pub fn load(&self, file: &Path) -> Result<Prepared, String> {
        let about = crate::mine(file).map_err(|e| e.to_string())?;
        if !about.is_file() {
            return Err("it is no file".to_owned());
        }
        // SAFETY: the file is ours alone, in a directory that only this program writes to; the program that made
        // it is this one.
        #[allow(unsafe_code)]
        let component = unsafe { Component::deserialize_file(&self.engine, file) };
        self.prepare(component.map_err(|e| first_line(&e))?)
    }

    /// What makes machine code of another engine another file.
    #[must_use]
    pub fn compatibility(&self) -> u64 {
        use std::hash::{Hash, Hasher};
        let mut hasher = std::hash::DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    fn prepare(&self, component: Component) -> Result<Prepared, String> {
        let ty = component.component_type();
        for (name, _) in ty.imports(&self.engine) {
            let allowed =
                ["types", "log"].iter().any(|i| name.starts_with(&format!("{PACKAGE}{i}@0.1.")));
            if let (false, Some(rest)) = (allowed, name.strip_prefix(PACKAGE)) {
                let rest = rest.split('@').next().unwrap_or_default();
                return Err(format!("it imports {name}; this Firn has {PACKAGE}{rest}{VERSION}"));
            }
            if !allowed {
                return Err(format!(
                    "it imports {name}, and rules may import {PACKAGE}log only: no files, no network, no clock"
                ));
            }
        }
        let mut hooks = BTreeSet::new();
        for (name, _) in ty.exports(&self.engine) {
            let Some(rest) = name.strip_prefix(PACKAGE) else { continue };
            let known = Hook::ALL.into_iter().find(|h| rest.split('@').next() == Some(h.name()));
            match known {
                Some(hook) if rest.contains("@0.1.") => hooks.insert(hook),
                Some(_) => {
                    return Err(format!(
                        "it exports {name}; this Firn asks {PACKAGE}{}{VERSION}",
                        rest.split('@').next().unwrap_or_default()
                    ));
                }
                None if rest.starts_with("types@") => continue,
                None => return Err(format!("it exports {name}, and there is no such hook")),
            };
        }
        if hooks.is_empty() {
            let names: Vec<&str> = Hook::ALL.into_iter().map(Hook::name).collect();
            return Err(format!("it exports no hook; there are {}", names.join(", ")));
        }
        let instance = self.linker.instantiate_pre(&component).map_err(|e| first_line(&e))?;
        Ok(Prepared { engine: self.engine.clone(), instance, hooks })
    }
}

/// Whether a hook has the types that it must have.
fn is_as_described(
    hook: Hook,
    pre: &InstancePre<State>,
    store: &mut Store<State>,
    instance: &Instance,
) -> wasmtime::Result<()> {
    macro_rules! load {
        ($hook:ident) => {
            hooks::$hook::GuestIndices::new(pre)?.load(store, instance).map(drop)
        };
    }
    match hook {
        Hook::Admit => load!(admit),
        Hook::Classify => load!(classify),
        Hook::Draft => load!(draft),
        Hook::Value => load!(value),
        Hook::Conflict => load!(conflict),
        Hook::Summary => load!(summary),
    }
}

/// The first line of an error's chain, with its cause.
fn first_line(e: &wasmtime::Error) -> String {
    let mut text = e.to_string().lines().next().unwrap_or_default().to_owned();
    let cause = e.root_cause().to_string();
    let cause = cause.lines().next().unwrap_or_default();
    if !cause.is_empty() && !text.contains(cause) {
        text = format!("{text}: {cause}");
    }
    text
}

impl Prepared {
    /// The hooks that it has.
    #[must_use]
    pub fn hooks(&self) -> &BTreeSet<Hook> {
        &self.hooks
    }

    /// Asks. Whatever happens inside, there is an answer to each question.
    #[must_use]
    pub fn ask(&self, inquiry: &Inquiry, limits: &RuleLimits) -> Asked {
        let began = Instant::now();
        let mut asked = Asked::default();
        let about = convert::subject(&inquiry.about);
        let mut living: Option<(Store<State>, Instance)> = None;
        let mut size = 0;
        for question in &inquiry.questions {
            let left = limits.time.saturating_sub(began.elapsed());
            if left.is_zero() {
                asked.answers.push(Answer::Failed(limits.too_long()));
                asked.fuel.push(0);
                continue;
            }
            let made = match living.take() {
                Some(made) => Ok(made),
                None => self.instantiate(limits, left),
            };
            let (answer, fuel, after) = match made {
                Ok((store, instance)) => {
                    self.question(store, instance, &about, question, limits, left)
                }
                Err(why) => (Answer::Failed(why), 0, None),
            };
            let answer = match answer {
                Answer::Said(said) => match limits.fits(&said, size) {
                    Ok(all) => {
                        size = all;
                        Answer::Said(said)
                    }
                    Err(why) => Answer::Failed(why),
                },
                other => other,
            };
            asked.answers.push(answer);
            asked.fuel.push(fuel);
            if let Some((store, instance)) = after {
                living = Some((store, instance));
            }
        }
        if let Some((store, _)) = living {
            asked.lines = store.into_data().lines;
        }
        asked.took = began.elapsed();
        asked
    }

    fn instantiate(
        &self,
        limits: &RuleLimits,
        left: Duration,
    ) -> Result<(Store<State>, Instance), String> {
        let state = State { bounds: Bounds::new(limits), lines: Vec::new() };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.bounds);
        store.set_hostcall_fuel(limits.output);
        store.set_fuel(limits.fuel).map_err(|e| first_line(&e))?;
        store.set_epoch_deadline(ticks(left));
        match self.instance.instantiate(&mut store) {
            Ok(instance) => Ok((store, instance)),
            Err(e) => Err(why(&e, &store, limits)),
        }
    }

    fn question(
        &self,
        mut store: Store<State>,
        instance: Instance,
        about: &bindings::firn::rules::types::Subject,
        question: &Question,
        limits: &RuleLimits,
        left: Duration,
    ) -> (Answer, u64, Option<(Store<State>, Instance)>) {
        if let Err(e) = store.set_fuel(limits.fuel) {
            return (Answer::Failed(first_line(&e)), 0, None);
        }
        store.set_epoch_deadline(ticks(left));
        let said = call(&mut store, &instance, &self.instance, about, question);
        let used = limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
        match said {
            Ok(Ok(said)) => (Answer::Said(said), used, Some((store, instance))),
            Ok(Err(error)) => {
                let error: String = error.chars().take(1_000).collect();
                (Answer::Failed(format!("it says: {error}")), used, Some((store, instance)))
            }
            // Nothing that trapped is entered again.
            Err(e) => (Answer::Failed(why(&e, &store, limits)), used, None),
        }
    }
}

/// Ticks of the epoch clock within a time; a tick may be about to fall.
fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u64::MAX).saturating_add(1)
}

/// Why a call came to nothing, in a sentence.
fn why(e: &wasmtime::Error, store: &Store<State>, limits: &RuleLimits) -> String {
    if let Some(bound) = store.data().bounds.hit() {
        return bound;
    }
    match e.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => {
            format!("it took more than {} million instructions", limits.fuel / 1_000_000)
        }
        Some(Trap::Interrupt) => limits.too_long(),
        Some(Trap::StackOverflow) => "its calls went too deep".to_owned(),
        Some(Trap::UnreachableCodeReached) => {
            "it came to a fault: in JavaScript line(...) of what is no text, or an answer of another shape than it must have; in Rust a panic".to_owned()
        }
        Some(trap) => format!("it trapped: {trap}"),
        None => {
            let text = e.root_cause().to_string();
            let text = text.lines().next().unwrap_or_default();
            if text.contains("fuel") {
                format!("it handed over more than {} KiB", limits.output >> 10)
            } else {
                format!("what it handed over cannot be read: {text}")
            }
        }
    }
}

type Called<T> = wasmtime::Result<Result<T, String>>;

fn call(
    store: &mut Store<State>,
    instance: &Instance,
    pre: &InstancePre<State>,
    about: &bindings::firn::rules::types::Subject,
    question: &Question,
) -> Called<Said> {
    macro_rules! hook {
        ($hook:ident, $($argument:expr),*) => {{
            let hook = hooks::$hook::GuestIndices::new(pre)?.load(&mut *store, instance)?;
            hook.call_decide(&mut *store, about, $($argument),*)?
        }};
    }
    Ok(match question {
        Question::Admit => hook!(admit,).map(convert::admission),
        Question::Classify { tables } => {
            let tables: Vec<String> = tables.iter().map(ToString::to_string).collect();
            hook!(classify, &tables).map(convert::class)
        }
        Question::Draft { columns } => {
            let columns = convert::values(columns);
            hook!(draft, &columns)
                .map(|set| Said::Draft(set.into_iter().collect::<BTreeMap<_, _>>()))
        }
        Question::Value { field, from, value, present } => {
            let change = convert::change(field.as_str(), *from, value, present.as_deref());
            hook!(value, &change).map(convert::verdict)
        }
        Question::Conflict { field, platform, servicenow, base, lead } => {
            let rivals = hooks::conflict::Rivals {
                field: field.to_string(),
                platform: platform.clone(),
                servicenow: servicenow.clone(),
                base: base.clone(),
                lead: *lead,
            };
            hook!(conflict, &rivals).map(convert::winner)
        }
        Question::Summary { sources } => {
            let sources = convert::sources(sources);
            hook!(summary, &sources).map(convert::lesson)
        }
    })
}
