//! Rules as a project on somebody's machine: begun from an example, built, and tried on what they are to say.
//! Nothing here talks to a Firn that runs.
#![allow(clippy::print_stderr)] // For a command line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use firn_model::rule::{
    Admission, Answer, Class, Lesson, Question, Said, Subject, Verdict, Winner,
};
use firn_model::{Hook, Inquiry};
use firn_runtime::rules::{RuleLimits, RulesEngine};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::hex;

/// What is built.
pub(crate) const COMPONENT: &str = "rules.wasm";
/// Where what is built on the way is put.
const WORK: &str = ".firn";
/// What stands between Firn and a rules.js. Its exports follow, a line a hook.
const ASKED: &str = include_str!("asked.js");
/// What runs before it.
const BEFORE: &str = include_str!("before.js");
/// What reads a rules.js without running it.
const LOOK: &str = include_str!("look.cjs");
/// How long componentize-qjs may take. It runs what stands outside of functions; some 3 seconds are usual.
const LONGEST: Duration = Duration::from_secs(60);
/// What rules are written against.
const WIT: &str = include_str!("../../../../wit/rules/rules.wit");

/// A language that rules can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lang {
    /// Rust: small and fast.
    Rust,
    /// JavaScript.
    Js,
}

struct Template {
    hooks: &'static [Hook],
    files: &'static [(&'static str, &'static str)],
}

macro_rules! file {
    ($dir:literal, $name:literal) => {
        ($name, include_str!(concat!("../../../../guest/", $dir, "/", $name)))
    };
}

impl Lang {
    fn template(self) -> Template {
        match self {
            Lang::Rust => Template {
                hooks: &[Hook::Value],
                files: &[
                    file!("rules-rust", "Cargo.toml"),
                    file!("rules-rust", "src/lib.rs"),
                    file!("rules-rust", "tests/vip.json"),
                    (".gitignore", "/target\n/rules.wasm\n/.firn\n"),
                ],
            },
            Lang::Js => Template {
                hooks: &[Hook::Classify],
                files: &[
                    file!("rules-js", "package.json"),
                    file!("rules-js", "rules.js"),
                    file!("rules-js", "tests/classify.json"),
                    (".gitignore", "/node_modules\n/rules.wasm\n/.firn\n"),
                ],
            },
        }
    }

    /// The language of a project.
    fn of(folder: &Path) -> Result<Lang> {
        if folder.join("Cargo.toml").is_file() {
            return Ok(Lang::Rust);
        }
        if folder.join("package.json").is_file() {
            return Ok(Lang::Js);
        }
        bail!(
            "{} is no project of rules: there is no Cargo.toml and no package.json; begin one with `firn rules new`",
            folder.display()
        )
    }
}

/// The world of a project that has these hooks.
fn world(hooks: &[Hook]) -> String {
    let mut text = "package my:rules;\n\n// The hooks that Firn is to ask: each a line here, and a function in the code.\nworld rules {\n  import firn:rules/log@0.1.0;\n".to_owned();
    for hook in Hook::ALL {
        let mark = if hooks.contains(&hook) { "" } else { "// " };
        text += &format!("  {mark}export firn:rules/{}@0.1.0;\n", hook.name());
    }
    text + "}\n"
}

/// Begins a project.
pub(crate) fn begin(folder: &Path, lang: Lang) -> Result<Vec<PathBuf>> {
    if folder.exists() && fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some()) {
        bail!("{} is there already, and not empty", folder.display());
    }
    let template = lang.template();
    let world = world(template.hooks);
    let wit = [("wit/world.wit", world.as_str()), ("wit/deps/firn-rules.wit", WIT)];
    let mut made = Vec::new();
    for (name, text) in template.files.iter().copied().chain(wit) {
        let file = folder.join(name);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
        }
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        made.push(file);
    }
    Ok(made)
}

/// Builds a project. Gives the component's file.
pub(crate) fn build(folder: &Path) -> Result<PathBuf> {
    let lang = Lang::of(folder)?;
    let work = folder.join(WORK);
    fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
    // What was built before stays until something better is whole.
    let new = work.join(COMPONENT);
    let _ = fs::remove_file(&new);
    let sources = match lang {
        Lang::Rust => rust(folder, &new)?,
        Lang::Js => js(folder, &new)?,
    };
    let wasm = fs::read(&new).with_context(|| format!("cannot read {}", new.display()))?;
    // Found out here rather than at the upload.
    RulesEngine::new()?
        .compiled(&wasm)
        .map_err(|why| anyhow::anyhow!("it was built, and Firn would not take it: {why}"))?;
    let out = folder.join(COMPONENT);
    fs::rename(&new, &out).with_context(|| format!("cannot write {}", out.display()))?;
    let built = Built { component: digest(&wasm), sources };
    let record = work.join(BUILT);
    fs::write(&record, serde_json::to_string_pretty(&built)?)
        .with_context(|| format!("cannot write {}", record.display()))?;
    Ok(out)
}

/// Where it is written of what a component was built.
const BUILT: &str = "built.json";

/// Of what a component was built: digests of both.
#[derive(Serialize, Deserialize)]
struct Built {
    component: String,
    sources: BTreeMap<String, String>,
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Digests of files, taken before they are built: what is changed meanwhile is noticed.
fn sources(folder: &Path, names: impl IntoIterator<Item = String>) -> BTreeMap<String, String> {
    let digest = |name: String| Some((name.clone(), digest(&fs::read(folder.join(name)).ok()?)));
    names.into_iter().filter_map(digest).collect()
}

/// The files that a project in Rust is made of.
fn rust_files(folder: &Path) -> Vec<String> {
    let mut names =
        ["Cargo.toml", "Cargo.lock", "build.rs", "wit/world.wit"].map(str::to_owned).to_vec();
    let mut folders = vec![PathBuf::from("src")];
    while let Some(within) = folders.pop() {
        for entry in fs::read_dir(folder.join(&within)).into_iter().flatten().flatten() {
            let name = within.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(name);
            } else {
                names.push(name.to_string_lossy().into_owned());
            }
        }
    }
    names
}

/// Whether a project's component is of what stands in its folder now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fresh {
    /// It is; or it is of somewhere else, and nobody would expect it to be.
    Yes,
    /// Nobody knows: it was not built here, or what is known of that is gone.
    Unknown,
}

impl Fresh {
    /// Says so, where nobody knows.
    pub(crate) fn tell(self) {
        if self == Fresh::Unknown {
            eprintln!(
                "firn: whether {COMPONENT} is of the files beside it cannot be told, it was not built here; firn rules build makes it anew"
            );
        }
    }
}

/// Whether a project's component is of what stands in its folder now. A component of somewhere else is not looked at.
///
/// # Errors
/// Names what was changed since.
pub(crate) fn fresh(folder: &Path, component: &Path) -> Result<Fresh> {
    if component.parent().is_none_or(|parent| parent != folder) || Lang::of(folder).is_err() {
        return Ok(Fresh::Yes);
    }
    if !component.exists() {
        return Ok(Fresh::Yes); // It is told elsewhere.
    }
    let record = fs::read(folder.join(WORK).join(BUILT)).ok();
    let record: Option<Built> = record.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(built) = record else { return Ok(Fresh::Unknown) };
    if !fs::read(component).is_ok_and(|wasm| digest(&wasm) == built.component) {
        return Ok(Fresh::Unknown); // It was put there by somebody else.
    }
    let mut names: BTreeSet<String> = built.sources.keys().cloned().collect();
    if Lang::of(folder)? == Lang::Rust {
        names.extend(rust_files(folder));
    }
    let now = sources(folder, names.iter().cloned());
    match names.iter().find(|name| now.get(*name) != built.sources.get(*name)) {
        None => Ok(Fresh::Yes),
        Some(name) => bail!(
            "{name} is another than {COMPONENT} was built of; build first: firn rules build {}",
            folder.display()
        ),
    }
}

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds a project in Rust; gives what it was built of.
fn rust(folder: &Path, out: &Path) -> Result<BTreeMap<String, String>> {
    hooks(folder)?;
    let before = sources(folder, rust_files(folder));
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(folder)
        .args([
            "build",
            "--release",
            "--target",
            TARGET,
            "--message-format",
            "json-render-diagnostics",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    let built = cargo
        .output()
        .context("cargo does not start; install Rust from your package manager or rustup")?;
    if !built.status.success() {
        bail!(
            "it does not build; see above (if the target is missing: rustup target add {TARGET})"
        );
    }
    let messages = String::from_utf8_lossy(&built.stdout);
    let module = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Json>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|name| name.as_str().map(PathBuf::from))
        .rfind(|name| name.extension().is_some_and(|extension| extension == "wasm"))
        .context("no WebAssembly was built: Cargo.toml needs [lib] crate-type = [\"cdylib\"]")?;
    let module = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    let component = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.encode())
        .context(
            "what was built is no component: does it call wit_bindgen::generate! and export!?",
        )?;
    fs::write(out, component).with_context(|| format!("cannot write {}", out.display()))?;
    // Cargo may have written its lock file.
    Ok(before.into_iter().chain(sources(folder, ["Cargo.lock".to_owned()])).collect())
}

/// The hooks that a project's world names.
fn hooks(folder: &Path) -> Result<Vec<Hook>> {
    let file = folder.join("wit/world.wit");
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let names: Vec<&str> = Hook::ALL.into_iter().map(Hook::name).collect();
    let mut hooks = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let Some(rest) = line.trim().strip_prefix("export firn:rules/") else { continue };
        let name = rest.split('@').next().unwrap_or_default();
        let hook = Hook::ALL.into_iter().find(|hook| hook.name() == name).with_context(|| {
            format!(
                "{}:{}: there is no hook {name}; there are {}",
                file.display(),
                n + 1,
                names.join(", ")
            )
        })?;
        hooks.push(hook);
    }
    if hooks.is_empty() {
        bail!("{}: it names no hook: take the // away from one", file.display());
    }
    Ok(hooks)
}

/// What a rules.js is, read and not run.
#[derive(Deserialize)]
struct Looked {
    exports: BTreeSet<String>,
    files: Vec<String>,
}

/// What there has to be for JavaScript.
const NODE: &str = "node does not start; install Node.js (20 or later)";

/// Whether Node.js is one that builds: an older one fails in words that tell nobody why.
fn new_enough(folder: &Path) -> Result<()> {
    const OLDEST: u32 = 20;
    let asked = Command::new("node").current_dir(folder).arg("--version").output().context(NODE)?;
    let version = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|n| n.parse().ok());
    if major.is_some_and(|major: u32| major < OLDEST) {
        bail!("Node.js {version} is too old; install {OLDEST} or later");
    }
    Ok(())
}

/// Reads rules.js and what it imports.
///
/// # Errors
/// What cannot be read, with its file and line; or what is imported and is not there.
fn look(folder: &Path) -> Result<Looked> {
    new_enough(folder)?;
    let looked = Command::new("node")
        .current_dir(folder)
        .args(["--experimental-vm-modules", "--no-warnings", "--input-type=commonjs", "-e", LOOK])
        .output()
        .context(NODE)?;
    if !looked.status.success() {
        bail!("{}: {}", folder.join("rules.js").display(), shown(&looked));
    }
    serde_json::from_slice(&looked.stdout).context("node says nothing of rules.js")
}

/// Whether the code exports what the world names, and nothing that the world does not. Told here, since all
/// that could be told later is that there was a fault.
fn exports(code: &Path, exported: &BTreeSet<String>, hooks: &[Hook]) -> Result<()> {
    let mut wrong = Vec::new();
    for hook in Hook::ALL {
        let (name, named) = (hook.name(), hooks.contains(&hook));
        match exported.contains(name) {
            false if named => wrong.push(format!(
                "{}: it exports no {name}, which wit/world.wit names: export const {name} = {{ decide({}) {{ ... }} }}",
                code.display(),
                match hook {
                    Hook::Admit => "about",
                    Hook::Classify => "about, tables",
                    Hook::Draft => "about, columns",
                    Hook::Value => "about, change",
                    Hook::Conflict => "about, rivals",
                    Hook::Summary => "about, sources",
                }
            )),
            true if !named => wrong.push(format!(
                "{}: it exports {name}, which is not in wit/world.wit: take the // before it away there",
                code.display()
            )),
            _ => {}
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
}

fn shown(output: &Output) -> String {
    let text = [&output.stdout, &output.stderr].map(|t| String::from_utf8_lossy(t).into_owned());
    text.join("\n").trim().to_owned()
}

/// What a program says, which is ended after a time.
fn within(mut command: Command, longest: Duration) -> Result<Option<Output>> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let ends = Instant::now() + longest;
    // What it says is a few lines: they fit into the pipes.
    while child.try_wait()?.is_none() {
        if Instant::now() > ends {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Some(child.wait_with_output()?))
}

fn install(folder: &Path) -> Result<Output> {
    Command::new("npm")
        .current_dir(folder)
        .args(["install", "--no-audit", "--no-fund"])
        .output()
        .context("npm does not start; install Node.js (20 or later)")
}

/// Builds a project in JavaScript; gives what it was built of.
fn js(folder: &Path, out: &Path) -> Result<BTreeMap<String, String>> {
    let hooks = hooks(folder)?;
    let looked = look(folder)?;
    exports(&folder.join("rules.js"), &looked.exports, &hooks)?;
    let files = looked.files.into_iter();
    let before = sources(folder, files.chain(["package.json", "wit/world.wit"].map(str::to_owned)));
    // Whoever was stopped in the middle of this has half of it: it is whole once that is written down.
    let whole = folder.join(WORK).join(INSTALLED);
    if !folder.join(COMPONENTIZE).is_file() || !whole.is_file() {
        eprintln!("npm fetches componentize-qjs, this first time");
        let mut installed = install(folder)?;
        if !installed.status.success() {
            // What half of it there is may be in npm's own way.
            let _ = fs::remove_dir_all(folder.join("node_modules"));
            installed = install(folder)?;
        }
        if !installed.status.success() {
            bail!(
                "npm install failed; building JavaScript needs the npm registry the first time:\n{}",
                shown(&installed)
            );
        }
        fs::write(&whole, "").with_context(|| format!("cannot write {}", whole.display()))?;
    }
    let mut asked = ASKED.to_owned();
    for hook in hooks {
        let name = hook.name();
        asked += &format!("export const {name} = asked({name:?});\n");
    }
    let work = folder.join(WORK);
    fs::write(work.join("asked.js"), asked)?;
    fs::write(work.join("before.js"), BEFORE)?;
    // Not by way of npx: what is ended would leave its child behind.
    let mut built = Command::new("node");
    built.current_dir(folder).arg(COMPONENTIZE).args([
        "--wit",
        "wit",
        "--world",
        "rules",
        "--js",
        &format!("{WORK}/asked.js"),
        "--stub-wasi",
        "--sync",
        "--opt-size",
        "--output",
        &format!("{WORK}/{COMPONENT}"),
    ]);
    let built = within(built, LONGEST).context("componentize-qjs does not start")?;
    let Some(built) = built else {
        bail!(
            "rules.js does not build: it still ran after {} s; does something outside of its functions never end?",
            LONGEST.as_secs()
        );
    };
    if !built.status.success() || !out.is_file() {
        bail!("rules.js does not build:\n{}", shown(&built));
    }
    Ok(before)
}

/// It is there once npm has fetched everything.
const INSTALLED: &str = "installed";
/// What makes a component of JavaScript.
const COMPONENTIZE: &str = "node_modules/componentize-qjs/bin/componentize-qjs";

// ---- fixtures --------------------------------------------------------------------------------

/// One thing that rules are to say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    name: String,
    #[serde(default)]
    about: About,
    ask: Json,
    expect: Json,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct About {
    integration: Option<String>,
    record: Option<String>,
    table: Option<String>,
    number: Option<String>,
    began: Option<String>,
    platform: BTreeMap<String, String>,
    ticket: BTreeMap<String, String>,
    payload: Option<Json>,
}

/// What came of a fixture.
pub(crate) struct Outcome {
    /// Its file and name.
    pub(crate) name: String,
    /// What was said instead, if it was something else.
    pub(crate) wrong: Option<String>,
    pub(crate) fuel: u64,
    pub(crate) lines: Vec<String>,
}

/// The two sides as people who write rules know them.
fn side(name: &str) -> &str {
    if name == "servicenow" { "external" } else { name }
}

impl Fixture {
    fn inquiry(&self) -> Result<Inquiry> {
        let about = &self.about;
        let mut ask = self.ask.clone();
        if let Some(from) = ask["from"].as_str() {
            ask["from"] = side(from).into();
        }
        if let Some(strange) = strange(&ask) {
            bail!("\"ask\" has {strange:?}, which such a question has not");
        }
        let from = ask["from"].as_str().unwrap_or("platform");
        if !matches!(from, "platform" | "external") {
            bail!("\"from\" is {from:?}; it is platform or servicenow");
        }
        let question: Question =
            serde_json::from_value(ask).context("\"ask\" is no question that rules are asked")?;
        let text = |given: &Option<String>, else_: &str| given.clone().unwrap_or(else_.to_owned());
        let payload = about.payload.as_ref().map(|payload| match payload {
            Json::String(text) => text.clone(),
            other => other.to_string(),
        });
        let about = Subject {
            integration: text(&about.integration, "integration"),
            record: text(&about.record, "record-1"),
            table: firn_model::TableName::new(text(&about.table, "incident"))?,
            number: about.number.clone(),
            began: serde_json::from_value(side(&text(&about.began, "platform")).into())
                .context("\"began\" is platform or servicenow")?,
            platform: about.platform.clone(),
            ticket: about.ticket.clone(),
            payload,
        };
        Ok(Inquiry { about, questions: vec![question] })
    }

    /// What an answer is compared with.
    fn expected(&self, hook: Hook) -> Result<Json> {
        if self.expect.get("error").is_some() {
            return Ok(self.expect.clone());
        }
        // Read and written again: so a word that there is not is told, and what may be left out may be.
        fn same<T: serde::de::DeserializeOwned + serde::Serialize>(given: &Json) -> Result<Json> {
            let read: T = serde_json::from_value(given.clone())
                .with_context(|| format!("\"expect\" is nothing that can be answered: {given}"))?;
            Ok(serde_json::to_value(read)?)
        }
        match hook {
            Hook::Admit => same::<Admission>(&self.expect),
            Hook::Classify => same::<Class>(&self.expect),
            Hook::Draft => same::<BTreeMap<String, String>>(&self.expect),
            Hook::Value => same::<Verdict>(&self.expect),
            Hook::Conflict => same::<Winner>(&self.expect),
            Hook::Summary => same::<Lesson>(&self.expect),
        }
    }
}

/// A word of a question that there is not.
fn strange(ask: &Json) -> Option<&str> {
    let known: &[&str] = match ask["hook"].as_str()? {
        "admit" => &["hook"],
        "classify" => &["hook", "tables"],
        "draft" => &["hook", "columns"],
        "value" => &["hook", "field", "from", "value", "present"],
        "conflict" => &["hook", "field", "platform", "servicenow", "base", "lead"],
        "summary" => &["hook", "sources"],
        _ => return None, // It is told what hooks there are.
    };
    ask.as_object()?.keys().map(String::as_str).find(|word| !known.contains(word))
}

fn said(said: &Said) -> Json {
    let value = match said {
        Said::Admit(said) => serde_json::to_value(said),
        Said::Classify(said) => serde_json::to_value(said),
        Said::Draft(said) => serde_json::to_value(said),
        Said::Value(said) => serde_json::to_value(said),
        Said::Conflict(said) => serde_json::to_value(said),
        Said::Summary(said) => serde_json::to_value(said),
    };
    value.unwrap_or_default()
}

/// Tries a component on the fixtures of a folder, within the limits that hold in production.
pub(crate) fn test(component: &Path, fixtures: &Path) -> Result<Vec<Outcome>> {
    let wasm = fs::read(component).with_context(|| {
        format!("cannot read {}; build it first: firn rules build", component.display())
    })?;
    if let Some(folder) = fixtures.parent() {
        fresh(folder, component)?.tell();
    }
    let rules = RulesEngine::new()?.compiled(&wasm).map_err(|why| anyhow::anyhow!(why))?;
    let limits = RuleLimits::default();
    let mut outcomes = Vec::new();
    for (file, fixture) in read(fixtures)? {
        let at = || format!("{}: {}", file.display(), fixture.name);
        let inquiry = fixture.inquiry().with_context(at)?;
        let hook = inquiry.questions.first().map(Question::hook).context("no question")?;
        let expected = fixture.expected(hook).with_context(at)?;
        if !rules.hooks().contains(&hook) {
            let wrong = Some(format!(
                "these rules have no hook {}: it is not in wit/world.wit",
                hook.name()
            ));
            outcomes.push(Outcome { name: at(), wrong, fuel: 0, lines: Vec::new() });
            continue;
        }
        let asked = rules.ask(&inquiry, &limits);
        let answer = asked.answers.into_iter().next().map(|answer| taken(&inquiry, answer));
        let wrong = match answer {
            Some(Answer::Said(answer)) => {
                let answer = said(&answer);
                (answer != expected)
                    .then(|| format!("expected {}, got {}", short(&expected), short(&answer)))
            }
            Some(Answer::Failed(why)) => match expected["error"].as_str() {
                Some(part) if why.contains(part) => None,
                _ => Some(format!("expected {expected}, and {why}")),
            },
            _ => Some("there was no answer".to_owned()),
        };
        let fuel = asked.fuel.first().copied().unwrap_or_default();
        outcomes.push(Outcome { name: at(), wrong, fuel, lines: asked.lines });
    }
    Ok(outcomes)
}

/// An answer, as far as Firn would take it.
fn taken(inquiry: &Inquiry, answer: Answer) -> Answer {
    let question = inquiry.questions.first();
    match (&answer, question) {
        (Answer::Said(said), Some(question)) => {
            match firn_model::rule::sound::sound(question, said) {
                Ok(()) => answer,
                Err(why) => Answer::Failed(why),
            }
        }
        _ => answer,
    }
}

/// A value, or as much of it as a person reads.
fn short(value: &Json) -> String {
    const MOST: usize = 300;
    let text = value.to_string();
    if text.chars().count() <= MOST {
        return text;
    }
    text.chars().take(MOST).chain("...".chars()).collect()
}

fn read(folder: &Path) -> Result<Vec<(PathBuf, Fixture)>> {
    let listing = fs::read_dir(folder).with_context(|| {
        format!("cannot read {}: fixtures are JSON files there", folder.display())
    })?;
    let mut files: Vec<PathBuf> = listing.filter_map(|file| Some(file.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        let cannot = || format!("{} cannot be read", file.display());
        let parsed: Json = serde_json::from_str(&text).with_context(cannot)?;
        let list = match parsed {
            Json::Array(list) => list,
            one => vec![one],
        };
        for (n, one) in list.into_iter().enumerate() {
            let name = one["name"]
                .as_str()
                .map_or_else(|| format!("number {}", n + 1), |name| format!("{name:?}"));
            let fixture = serde_json::from_value(one).with_context(|| {
                format!("{}: the fixture {name} cannot be read", file.display())
            })?;
            all.push((file.clone(), fixture));
        }
    }
    if all.is_empty() {
        bail!(
            "there is no fixture in {}: a JSON file with name, about, ask and expect",
            folder.display()
        );
    }
    Ok(all)
}
