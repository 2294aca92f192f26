//! `firn rules`: a tenant's own rules, from an empty folder to being asked.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::show::{cell, say, table};
use super::{Format, Listing, One};
use crate::client::{Client, segment};
use crate::rules::project::{self, COMPONENT, Lang};

/// What can be done with rules.
#[derive(Subcommand)]
pub(super) enum Rules {
    /// Begin a project: rules that work, to be changed.
    New {
        /// A folder that is not there yet.
        folder: PathBuf,
        /// The language.
        #[arg(long, value_enum)]
        lang: Lang,
    },
    /// Build the project of a folder; makes rules.wasm there.
    Build {
        /// The project.
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// Ask the rules of a project what they say to the fixtures in its folder tests. Exit 1 if it is
    /// something else than expected.
    Test(Test),
    /// Upload a component as an integration's next version. Nobody asks it yet.
    Upload(Upload),
    /// Show what a version would say to what came in last, and where that is another thing than now.
    DryRun(DryRun),
    /// Ask a version from now on.
    Activate {
        #[command(flatten)]
        one: One,
        /// The version.
        version: u64,
    },
    /// Ask the version that was asked before.
    Rollback(One),
    /// Ask no rules any more.
    Deactivate(One),
    /// List the versions of an integration's rules, and how those that are asked are doing.
    List {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        listing: Listing,
    },
}

#[derive(Args)]
pub(super) struct Test {
    /// The project.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// A component instead of the project's.
    #[arg(long)]
    component: Option<PathBuf>,
    /// Show what the rules log, and what each question takes.
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Args)]
pub(super) struct Upload {
    #[command(flatten)]
    one: One,
    /// The component, or the folder of its project.
    #[arg(default_value = ".")]
    component: PathBuf,
    /// What to say of it in the list.
    #[arg(long)]
    note: Option<String>,
}

#[derive(Args)]
pub(super) struct DryRun {
    #[command(flatten)]
    one: One,
    /// The version; the last that was uploaded if not given.
    version: Option<u64>,
    /// On so many deliveries, the last ones that rules are asked about.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    last: u32,
    #[command(flatten)]
    listing: Listing,
}

/// What needs no Firn that runs. Gives back what does.
pub(super) fn alone(rules: Rules) -> Result<Option<Rules>> {
    match rules {
        Rules::New { folder, lang } => {
            for file in project::begin(&folder, lang)? {
                say!("{}", file.display());
            }
            let folder = folder.display();
            say!(
                "\nThey build and pass their tests as they are; put your own values where it says CHANGE."
            );
            say!("  firn rules build {folder}");
            say!("  firn rules test {folder}");
            say!("  firn rules upload INTEGRATION {folder}");
        }
        Rules::Build { folder } => {
            let component = project::build(&folder)?;
            let size = std::fs::metadata(&component)?.len();
            say!("{} ({} KiB)", component.display(), size.div_ceil(1024));
        }
        Rules::Test(test) => self::test(&test)?,
        online => return Ok(Some(online)),
    }
    Ok(None)
}

fn test(test: &Test) -> Result<()> {
    let component = test.component.clone().unwrap_or_else(|| test.folder.join(COMPONENT));
    let outcomes = project::test(&component, &test.folder.join("tests"))?;
    let mut wrong = 0;
    for outcome in &outcomes {
        match &outcome.wrong {
            None => say!("ok    {}", outcome.name),
            Some(why) => {
                wrong += 1;
                say!("WRONG {}\n      {why}", outcome.name);
            }
        }
        // Whoever looks for what is wrong wants to see what was logged.
        if test.verbose || outcome.wrong.is_some() {
            for line in &outcome.lines {
                say!("      | {line}");
            }
        }
        if test.verbose {
            say!("      {} instructions", outcome.fuel);
        }
    }
    let all = outcomes.len();
    match wrong {
        0 => say!("{all} of {all} as expected"),
        wrong => bail!("{wrong} of {all} are not as expected"),
    }
    Ok(())
}

pub(super) fn rules(client: &Client, rules: Rules) -> Result<()> {
    let path = |one: &One| format!("/integrations/{}/rules", segment(&one.integration));
    match rules {
        Rules::New { .. } | Rules::Build { .. } | Rules::Test(_) => {}
        Rules::Upload(upload) => {
            if !upload.component.exists() && Path::new(&upload.one.integration).exists() {
                let given = &upload.one.integration;
                bail!(
                    "first the integration, then the project: firn rules upload INTEGRATION {given}"
                );
            }
            let file = file_of(&upload.component);
            if upload.component.is_dir() {
                project::fresh(&upload.component, &file)?.tell();
            }
            let wasm = std::fs::read(&file).with_context(|| {
                format!("cannot read {}; build it first: firn rules build", file.display())
            })?;
            let mut path = path(&upload.one);
            if let Some(note) = &upload.note {
                path += &format!("?note={}", segment(note));
            }
            let version = client.post_bytes(&path, "application/wasm", wasm)?;
            let (name, number) = (&upload.one.integration, cell(&version["version"]));
            let there = if version["known"] == true { "was there already" } else { "is there" };
            say!("version {number} {there}, with the hooks {}", words(&version["hooks"]));
            say!("  firn rules dry-run {name} {number}");
            say!("  firn rules activate {name} {number}");
        }
        Rules::DryRun(run) => dry_run(client, &path(&run.one), &run)?,
        Rules::Activate { one, version } => {
            let now = client.post(&format!("{}/{version}/activate", path(&one)), &json!({}))?;
            told(&now, &one.integration);
            back(&now, &one.integration);
        }
        Rules::Rollback(one) => {
            let now = client.post(&format!("{}/rollback", path(&one)), &json!({}))?;
            told(&now, &one.integration);
            back(&now, &one.integration);
        }
        Rules::Deactivate(one) => {
            let now = client.call(reqwest::Method::DELETE, &path(&one), None)?;
            told(&now, &one.integration);
        }
        Rules::List { one, listing } => {
            let rules = client.get(&path(&one))?;
            list(&rules, &listing);
            if let Format::Table = listing.format {
                back(&rules, &one.integration);
            }
        }
    }
    Ok(())
}

fn file_of(given: &Path) -> PathBuf {
    if given.is_dir() { given.join(COMPONENT) } else { given.to_owned() }
}

fn words(list: &Json) -> String {
    let words: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    words.join(", ")
}

fn told(now: &Json, name: &str) {
    match now["active"].as_u64() {
        Some(version) => say!("{name} asks version {version} now, at {}", words(&now["hooks"])),
        None => say!("{name} asks no rules now"),
    }
}

/// Where a rollback leads.
fn back(rules: &Json, name: &str) {
    match (&rules["rollback"], rules["rollback"]["version"].as_u64()) {
        (Json::Null, _) => {}
        (_, Some(version)) => say!("back to version {version}: firn rules rollback {name}"),
        (_, None) => say!("back to asking none: firn rules rollback {name}"),
    }
}

fn list(rules: &Json, listing: &Listing) {
    if let Format::Json = listing.format {
        say!("{rules:#}");
        return;
    }
    let mut versions = rules["versions"].clone();
    for version in versions.as_array_mut().into_iter().flatten() {
        let asked = version["version"] == rules["active"];
        version["asked"] = json!(if asked { "yes" } else { "" });
        version["hooks"] = json!(words(&version["hooks"]));
        let at = version["at"].as_i64().unwrap_or_default();
        version["at"] = json!(firn_model::rfc3339_text(firn_model::Millis(at)));
    }
    table(&versions, &["version", "asked", "hooks", "size", "at", "by", "note"], listing.format);
    let doing = &rules["doing"];
    if rules["active"].is_null() {
        say!("no rules are asked");
        return;
    }
    say!(
        "since it is asked, or Firn began: {} questions answered, {} failed",
        cell(&doing["answered"]),
        cell(&doing["failed"])
    );
    if let Some(why) = doing["last_failure"][0].as_str() {
        let at = doing["last_failure"][1].as_i64().unwrap_or_default();
        say!("the last failure, at {}: {why}", firn_model::rfc3339_text(firn_model::Millis(at)));
    }
    if let Some(until) = doing["resting"].as_i64() {
        say!(
            "they have failed and are left alone until {}; what they are to be asked waits or goes on without them (on_rule_failure)",
            firn_model::rfc3339_text(firn_model::Millis(until))
        );
    }
}

fn dry_run(client: &Client, path: &str, run: &DryRun) -> Result<()> {
    let version = match run.version {
        Some(version) => version,
        None => {
            let rules = client.get(path)?;
            let last = rules["versions"].as_array().and_then(|all| all.last());
            last.and_then(|last| last["version"].as_u64()).context("no rules are uploaded yet")?
        }
    };
    let path = format!("{path}/{version}/dry-run?last={}", run.last);
    let answer = client.post(&path, &json!({}))?;
    if let Format::Json = run.listing.format {
        say!("{answer:#}");
        return Ok(());
    }
    let deliveries = answer["deliveries"].as_array().cloned().unwrap_or_default();
    let against = match answer["present"].as_u64() {
        Some(present) => format!("version {present}, which is asked now"),
        None => "no rules, as it is now".to_owned(),
    };
    say!("version {version} against {against}, on {} deliveries", deliveries.len());
    for on in &deliveries {
        let logged = on["lines"].as_array().is_some_and(|lines| !lines.is_empty());
        let shown = on["differs"] == true || on["fails"] == true || logged;
        if !shown {
            continue;
        }
        let at = on["received"].as_i64().unwrap_or_default();
        let at = firn_model::rfc3339_text(firn_model::Millis(at));
        say!("{} ({} at {at}, {})", cell(&on["record"]), cell(&on["kind"]), cell(&on["delivery"]));
        for tried in on["questions"].as_array().into_iter().flatten() {
            if tried["differs"] != true && tried["fails"] != true {
                continue;
            }
            let about = match tried["field"].as_str() {
                Some(field) => format!("{} of {field}", cell(&tried["hook"])),
                None => cell(&tried["hook"]),
            };
            say!("  {about}");
            say!("    - {}", cell(&tried["before"]));
            say!("    + {}", cell(&tried["after"]));
        }
        for line in on["lines"].as_array().into_iter().flatten() {
            say!("  | {}", cell(line));
        }
    }
    let mut reasons: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    for on in &deliveries {
        if let Some(why) = on["why_not"].as_str() {
            *reasons.entry(why.to_owned()).or_default() += 1;
        }
    }
    let asked = answer["asked"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
    let told: usize = reasons.values().sum();
    for (why, count) in reasons {
        say!("not asked about {count}: {why}");
    }
    let quiet = deliveries.len().saturating_sub(asked + told);
    if quiet > 0 {
        say!("not asked about {quiet}: nothing in them is for these hooks");
    }
    say!(
        "asked about {} of {} deliveries: {} would be treated in another way, and on {} of them it fails",
        cell(&answer["asked"]),
        deliveries.len(),
        cell(&answer["differ"]),
        cell(&answer["fail"])
    );
    if answer["left"].as_u64().unwrap_or(0) > 0 {
        say!("{} were left out: it took too long", cell(&answer["left"]));
    }
    if deliveries.is_empty() {
        say!("nothing has come in within the last 7 days");
    }
    Ok(())
}
