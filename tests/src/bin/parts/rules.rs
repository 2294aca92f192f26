//! A tenant's own rules: what one call costs, how many instances a second, what a tenant takes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use firn_model::rule::{Answer, Question, Subject};
use firn_model::{FieldName, Inquiry, Side, TableName};
use firn_runtime::rules::{Prepared, RuleLimits, RulesEngine};
use firn_tests::golden::programs::succeeded;
use firn_tests::process::binary;

const TENANTS: usize = 1_000;

pub(crate) fn print() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let engine = RulesEngine::new().map_err(|e| anyhow::anyhow!("{e:?}"))?;
    println!(
        "rules                 component  machine code  compiled in   a look  instances/s  (2 threads)"
    );
    let mut rust = None;
    for lang in ["rust", "js"] {
        let Some(wasm) = built(lang, scratch.path())? else {
            println!("{lang:<20} not built: it needs npm");
            continue;
        };
        let began = Instant::now();
        let (code, _) = engine.compile(&wasm).map_err(anyhow::Error::msg)?;
        let compiled = began.elapsed();
        let rules = loaded(&engine, &code, &scratch.path().join(lang))?;
        let took = super::super::in_turns(&mut [("look", &mut || look(&rules))]);
        println!(
            "{lang:<20} {:>7} kB {:>10} kB {:>9.0} ms {:>6.1} us {:>12.0} {:>12.0}",
            wasm.len() / 1_000,
            code.len() / 1_000,
            compiled.as_secs_f64() * 1e3,
            took[0],
            1e6 / took[0],
            on_threads(&rules),
        );
        if lang == "rust" {
            rust = Some(wasm);
        }
    }
    let wasm = rust.context("the rules in Rust were not built")?;
    memory(&engine, &wasm, scratch.path())
}

/// The example of a language, as `firn rules build` makes it.
fn built(lang: &str, scratch: &Path) -> Result<Option<Vec<u8>>> {
    if lang == "js" && !firn_tests::golden::programs::there("npm", &["--version"]) {
        return Ok(None);
    }
    let (firn, folder) = (binary()?, scratch.join(format!("{lang}-rules")));
    succeeded(Command::new(&firn).args(["rules", "new"]).arg(&folder).args(["--lang", lang]))?;
    succeeded(Command::new(&firn).args(["rules", "build"]).arg(&folder))?;
    Ok(Some(std::fs::read(folder.join("rules.wasm"))?))
}

/// From a file, as Firn loads it.
fn loaded(engine: &RulesEngine, code: &[u8], file: &Path) -> Result<Prepared> {
    std::fs::write(file, code)?;
    engine.load(file).map_err(anyhow::Error::msg)
}

/// One look: an instance, a question, an answer.
fn look(rules: &Prepared) {
    let Some(question) = rules.hooks().iter().next().map(|hook| match hook.name() {
        "classify" => {
            Question::Classify { tables: TableName::new("incident").into_iter().collect() }
        }
        "draft" => Question::Draft { columns: BTreeMap::new() },
        "value" => Question::Value {
            field: FieldName::new("severity").unwrap_or_else(|_| unreachable!()),
            from: Side::Platform,
            value: "low".to_owned(),
            present: None,
        },
        _ => Question::Admit,
    }) else {
        return;
    };
    let about = Subject {
        integration: "prod".to_owned(),
        record: "42".to_owned(),
        table: TableName::new("incident").unwrap_or_else(|_| unreachable!()),
        number: None,
        began: Side::Platform,
        platform: BTreeMap::from([
            ("severity".to_owned(), "low".to_owned()),
            ("title".to_owned(), "Down".to_owned()),
        ]),
        ticket: BTreeMap::new(),
        payload: None,
    };
    let asked = rules.ask(&Inquiry { about, questions: vec![question] }, &RuleLimits::default());
    assert!(matches!(asked.answers.as_slice(), [Answer::Said(_)]), "{:?}", asked.answers);
}

fn on_threads(rules: &Prepared) -> f64 {
    const LOOKS: u32 = 2_000;
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..LOOKS).for_each(|_| look(rules)));
        }
    });
    f64::from(2 * LOOKS) / began.elapsed().as_secs_f64()
}

/// Each tenant has rules that nobody else has: the same but for a few bytes.
fn memory(engine: &RulesEngine, wasm: &[u8], scratch: &Path) -> Result<()> {
    let mut files = Vec::new();
    for i in 0..TENANTS {
        let mut own = wasm.to_vec();
        let note = format!("tenant {i:06}");
        // A custom section: its size, its name's length, its name.
        own.extend([0, u8::try_from(note.len() + 1)?, u8::try_from(note.len())?]);
        own.extend(note.bytes());
        let (code, _) = engine.compile(&own).map_err(anyhow::Error::msg)?;
        let file = scratch.join(format!("{i}"));
        std::fs::write(&file, code)?;
        files.push(file);
    }
    let before = resident("self")?;
    let began = Instant::now();
    let tenants: Result<Vec<Prepared>, String> =
        files.iter().map(|file| engine.load(file)).collect();
    let tenants = tenants.map_err(anyhow::Error::msg)?;
    let loading = began.elapsed();
    let loaded = resident("self")?;
    tenants.iter().for_each(look);
    let asked = resident("self")?;
    println!(
        "{TENANTS} tenants with rules of their own: loaded in {:.0} ms, {:.1} kB each; {:.1} kB each after all were asked once ({:.1} kB of it anonymous)",
        loading.as_secs_f64() * 1e3,
        kb(loaded.0 - before.0),
        kb(asked.0 - before.0),
        kb(asked.1 - before.1),
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss)]
fn kb(all: i64) -> f64 {
    all as f64 / TENANTS as f64
}

/// Resident memory in kB, and what of it is anonymous.
pub(crate) fn resident(process: &str) -> Result<(i64, i64)> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let value = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).context("no such line")?;
        Ok::<i64, anyhow::Error>(line.split_whitespace().nth(1).context("no value")?.parse()?)
    };
    Ok((value("VmRSS:")?, value("RssAnon:")?))
}
