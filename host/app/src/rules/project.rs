//! Rules as a project on somebody's machine: begun from an example, built, and tried on what they are to say.
//! Nothing here talks to a Firn that runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use firn_model::rule::{Admission, Answer, Class, Question, Said, Subject, Verdict, Winner};
use firn_model::{Hook, Inquiry};
use firn_runtime::rules::{RuleLimits, RulesEngine};
use serde::Deserialize;
use serde_json::Value as Json;

/// What is built.
pub(crate) const COMPONENT: &str = "rules.wasm";
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
                    (".gitignore", "/target\n/rules.wasm\n"),
                ],
            },
            Lang::Js => Template {
                hooks: &[Hook::Classify],
                files: &[
                    file!("rules-js", "package.json"),
                    file!("rules-js", "rules.js"),
                    file!("rules-js", "tests/classify.json"),
                    (".gitignore", "/node_modules\n/rules.wasm\n"),
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
    let out = folder.join(COMPONENT);
    match Lang::of(folder)? {
        Lang::Rust => rust(folder, &out)?,
        Lang::Js => js(folder, &out)?,
    }
    let wasm = fs::read(&out)?;
    // Found out here rather than at the upload.
    RulesEngine::new()?
        .compiled(&wasm)
        .map_err(|why| anyhow::anyhow!("it was built, and Firn would not take it: {why}"))?;
    Ok(out)
}

const TARGET: &str = "wasm32-unknown-unknown";

fn rust(folder: &Path, out: &Path) -> Result<()> {
    hooks(folder)?;
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
    fs::write(out, component).with_context(|| format!("cannot write {}", out.display()))
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

/// Whether the code exports what the world names, and nothing that the world does not. Told here, since all
/// that could be told later is that there was a fault.
fn exports(code: &Path, hooks: &[Hook]) -> Result<()> {
    let text =
        fs::read_to_string(code).with_context(|| format!("cannot read {}", code.display()))?;
    let exported = |name: &str| {
        text.lines().map(str::trim_start).filter(|line| line.starts_with("export ")).any(|line| {
            let words = line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
            words.skip(1).any(|word| word == name)
        })
    };
    for hook in Hook::ALL {
        let (name, named) = (hook.name(), hooks.contains(&hook));
        match exported(name) {
            false if named => bail!(
                "{}: it exports no {name}, which wit/world.wit names: export const {name} = {{ decide(about) {{ ... }} }}",
                code.display()
            ),
            true if !named => bail!(
                "{}: it exports {name}, which nobody asks: take the // before it away in wit/world.wit",
                code.display()
            ),
            _ => {}
        }
    }
    Ok(())
}

fn js(folder: &Path, out: &Path) -> Result<()> {
    exports(&folder.join("rules.js"), &hooks(folder)?)?;
    let run = |program: &str, arguments: &[&str]| -> Result<std::process::Output> {
        Command::new(program)
            .current_dir(folder)
            .args(arguments)
            .output()
            .with_context(|| format!("{program} does not start; install Node.js (20 or later)"))
    };
    let shown = |output: &std::process::Output| {
        let text =
            [&output.stdout, &output.stderr].map(|t| String::from_utf8_lossy(t).into_owned());
        text.join("\n").trim().to_owned()
    };
    // It names line and column; what builds does not.
    let checked = run("node", &["--check", "rules.js"])?;
    if !checked.status.success() {
        bail!("rules.js cannot be read:\n{}", shown(&checked));
    }
    if !folder.join("node_modules").is_dir() {
        let installed = run("npm", &["install", "--no-audit", "--no-fund"])?;
        if !installed.status.success() {
            bail!(
                "npm install failed; building JavaScript needs the npm registry the first time:\n{}",
                shown(&installed)
            );
        }
    }
    let _ = fs::remove_file(out);
    let built = run(
        "npx",
        &[
            "--no-install",
            "componentize-qjs",
            "--wit",
            "wit",
            "--world",
            "rules",
            "--js",
            "rules.js",
            "--stub-wasi",
            "--sync",
            "--opt-size",
            "--minify",
            "--output",
            COMPONENT,
        ],
    )?;
    if !built.status.success() || !out.is_file() {
        bail!("rules.js does not build:\n{}", shown(&built));
    }
    Ok(())
}

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
    };
    value.unwrap_or_default()
}

/// Tries a component on the fixtures of a folder, within the limits that hold in production.
pub(crate) fn test(component: &Path, fixtures: &Path) -> Result<Vec<Outcome>> {
    let wasm = fs::read(component).with_context(|| {
        format!("cannot read {}; build it first: firn rules build", component.display())
    })?;
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
        let wrong = match asked.answers.into_iter().next() {
            Some(Answer::Said(answer)) => {
                let answer = said(&answer);
                (answer != expected).then(|| format!("expected {expected}, got {answer}"))
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
        for one in list {
            let fixture = serde_json::from_value(one).with_context(cannot)?;
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
