//! `firn mask`: texts masked by the core component, line by line. The same bytes mask in every host.
#![allow(clippy::print_stderr)]

use std::io::{BufRead, BufReader, BufWriter, ErrorKind, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use firn_model::{Fault, Level};
use firn_remote::{Secret, token};
use firn_runtime::{Core, MakeToken, Masked, Place, Span};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::settings::faults;
use super::show::say;
use crate::document::Document;

#[derive(Args)]
pub(super) struct Mask {
    /// A policy (TOML): strategy, rules, patterns, words, token_key; or a settings file, whose
    /// [masking] is taken. Without it: the default policy.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Tell what was found in one text, and why; never the value. Without TEXT all of stdin is one.
    #[arg(long, value_name = "TEXT", num_args = 0..=1, default_missing_value = "")]
    explain: Option<String>,
    /// Mask as for this mapped field.
    #[arg(long)]
    field: Option<String>,
    /// Mask as for this side.
    #[arg(long)]
    to: Option<To>,
    /// Mask as for this use.
    #[arg(long)]
    sink: Option<Use>,
}

#[derive(Clone, Copy, ValueEnum)]
enum To {
    Platform,
    External,
}

#[derive(Clone, Copy, ValueEnum)]
enum Use {
    Field,
    Comment,
    Audit,
    Knowledge,
}

/// A line in.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: Json,
    text: String,
}

/// A line out.
#[derive(Serialize)]
struct Answer<'m> {
    id: &'m Json,
    masked: &'m str,
    findings: Vec<Finding<'m>>,
}

/// A line out for a line that cannot be read.
#[derive(Serialize)]
struct Unusable {
    line: u64,
    error: String,
}

/// What was found. Never the value.
#[derive(Serialize)]
struct Finding<'m> {
    start: u32,
    end: u32,
    r#type: &'m str,
    rule: &'m str,
    reason: &'m str,
    strategy: &'m str,
}

/// The core with a policy.
struct Masker {
    core: Core,
    /// JSON; nothing for the default.
    policy: Option<String>,
    key: Option<SecretString>,
    place: Place,
}

impl Masker {
    fn mask(&mut self, text: &str) -> Result<Masked> {
        let Some(policy) = &self.policy else { return Ok(self.core.mask(text)?) };
        let make = |kind: &str, canonical: &str| {
            let key = self.key.as_ref().map(ExposeSecret::expose_secret).unwrap_or_default();
            token(key.as_bytes(), kind, canonical)
        };
        let make: Option<MakeToken<'_>> = self.key.is_some().then_some(&make);
        match self.core.mask_by(policy, &self.place, text, make)? {
            Ok(masked) => Ok(masked),
            Err(faults) => bail!("{}", faults.first().map(|f| f.text.clone()).unwrap_or_default()),
        }
    }
}

pub(super) fn mask(given: &Mask) -> Result<ExitCode> {
    let name = |value: Option<clap::builder::PossibleValue>| value.map(|v| v.get_name().to_owned());
    let place = Place {
        field: given.field.clone(),
        to: name(given.to.and_then(|to| to.to_possible_value())),
        sink: name(given.sink.and_then(|sink| sink.to_possible_value())),
    };
    let cache = crate::cache();
    let core = match given.explain {
        Some(_) => Core::new(cache.as_deref())?,
        None => Core::for_many(cache.as_deref())?,
    };
    let mut masker = Masker { core, policy: None, key: None, place };
    if let Some(file) = &given.policy {
        let (document, unreadable) = Document::open(file)?;
        if let Some(why) = unreadable {
            eprintln!("{}", document.render_unreadable(&why, std::io::stderr().is_terminal()));
            return Ok(ExitCode::FAILURE);
        }
        if !load(&mut masker, &document)? {
            return Ok(ExitCode::FAILURE);
        }
    }
    match &given.explain {
        Some(text) => explain(&mut masker, text),
        None => lines(&mut masker),
    }
}

/// Takes a policy over from its file; says whether it is sound, and tells if it is not.
fn load(masker: &mut Masker, document: &Document) -> Result<bool> {
    let (at, mut policy) = match document.json.get("masking") {
        Some(section) => ("masking.", section.clone()),
        None => ("", document.json.clone()),
    };
    let key = policy.as_object_mut().and_then(|map| map.remove("token_key"));
    let wanted = policy.to_string();
    let mut found: Vec<Fault> = masker
        .core
        .masking_faults(&wanted)?
        .into_iter()
        .map(|fault| Fault { at: format!("{at}{}", fault.at), ..fault })
        .collect();
    match key.map(serde_json::from_value::<Secret>) {
        None => {}
        Some(key) => {
            let resolved = key.map_err(|_| "it is no text".to_owned());
            match resolved.and_then(|key| key.resolve().map_err(|why| why.to_string())) {
                Ok(key) if !key.expose_secret().is_empty() => masker.key = Some(key),
                Ok(_) => found.push(key_fault(at, "it is empty".to_owned())),
                Err(why) => found.push(key_fault(at, why)),
            }
        }
    }
    if masker.key.is_none() && found.is_empty() && wanted.contains("\"token\"") {
        eprintln!("no token_key: what should become a token is redacted");
    }
    masker.policy = Some(wanted);
    Ok(faults(document, &found))
}

fn key_fault(at: &str, text: String) -> Fault {
    let remedy = "write it in quotes: \"env:NAME\", \"file:PATH\"".to_owned();
    Fault { level: Level::Error, at: format!("{at}token_key"), text, remedy }
}

/// JSON lines in, JSON lines out. A line that cannot be read is answered with an error in its place.
fn lines(masker: &mut Masker) -> Result<ExitCode> {
    if std::io::stdin().is_terminal() {
        eprintln!(
            "reading JSON lines {{\"id\": ..., \"text\": \"...\"}} from the terminal; end with Ctrl-D"
        );
    }
    let mut input = BufReader::with_capacity(1 << 16, std::io::stdin().lock());
    let mut output = BufWriter::new(std::io::stdout().lock());
    let (mut bytes, mut number, mut bad) = (Vec::new(), 0u64, 0u64);
    loop {
        bytes.clear();
        number += 1;
        if input.read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let written = match serde_json::from_slice::<Line>(&bytes) {
            Ok(line) => {
                let masked = masker.mask(&line.text).with_context(|| format!("line {number}"))?;
                let findings = masked.spans.iter().map(finding).collect();
                let answer = Answer { id: &line.id, masked: &masked.text, findings };
                serde_json::to_writer(&mut output, &answer)
            }
            // The line itself is shown to nobody: it may hold what should be masked.
            Err(why) => {
                bad += 1;
                let error = reason(&why);
                eprintln!("line {number}: {error}");
                serde_json::to_writer(&mut output, &Unusable { line: number, error })
            }
        };
        let written = written.map_err(std::io::Error::from).and_then(|()| output.write_all(b"\n"));
        if over(written)? {
            return Ok(ExitCode::SUCCESS);
        }
        // Whoever waits for an answer before the next line gets it.
        if input.buffer().is_empty() && over(output.flush())? {
            return Ok(ExitCode::SUCCESS);
        }
    }
    over(output.flush())?;
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether the reader has gone, which ends the work without an error.
fn over(written: std::io::Result<()>) -> Result<bool> {
    match written {
        Ok(()) => Ok(false),
        Err(why) if why.kind() == ErrorKind::BrokenPipe => Ok(true),
        Err(why) => Err(why.into()),
    }
}

/// What is wrong with a line, without what stands in it.
fn reason(why: &serde_json::Error) -> String {
    match why.classify() {
        serde_json::error::Category::Data => "it needs a text under \"text\"".to_owned(),
        _ => format!("no JSON at column {}", why.column()),
    }
}

fn finding(span: &Span) -> Finding<'_> {
    let Span { kind, rule, reason, strategy, start, end } = span;
    Finding { start: *start, end: *end, r#type: kind, rule, reason, strategy }
}

fn explain(masker: &mut Masker, given: &str) -> Result<ExitCode> {
    let mut text = given.to_owned();
    if text.is_empty() {
        std::io::stdin().read_to_string(&mut text).context("stdin is no text in UTF-8")?;
    }
    let masked = masker.mask(text.trim_end_matches('\n'))?;
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["TYPE", "RULE", "REASON", "STRATEGY", "START", "END"]);
    for Span { kind, rule, reason, strategy, start, end } in &masked.spans {
        table.add_row([kind, rule, reason, strategy, &start.to_string(), &end.to_string()]);
    }
    say!("{}", masked.text);
    say!("");
    match masked.spans.len() {
        0 => say!("nothing was found"),
        _ => say!("{}", table.to_string()),
    }
    Ok(ExitCode::SUCCESS)
}
