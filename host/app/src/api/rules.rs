//! A tenant's own rules of an integration: uploaded, tried, asked, and no longer asked.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use firn_model::{ActiveRules, Hook, Integration, KeptFinding, Operation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::at::{Asks, At, Named, Page, answer, not_found};
use super::{failed, ok, problem};
use crate::host::Asked;
use crate::rules::Doing;
use crate::rules::dry_run::{DryRun, LAST, MOST};
use crate::rules::keep::{LARGEST, NotTaken, RuleVersion};

/// The rules of an integration.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RulesOf {
    /// The version that is asked; null: none.
    pub(crate) active: Option<u64>,
    /// The hooks at which it is asked.
    pub(crate) hooks: Vec<Hook>,
    /// Where a rollback leads; null if nothing else was asked before.
    pub(crate) rollback: Option<Before>,
    /// How it has done since it is asked, or since the process began.
    pub(crate) doing: Doing,
    /// Every version that is kept, the oldest first.
    pub(crate) versions: Vec<RuleVersion>,
}

/// The rules that were asked before.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Before {
    /// The version; null: none was asked.
    version: Option<u64>,
}

/// What an integration's rules are, and how they do.
pub(crate) fn rules_of(at: &At) -> anyhow::Result<RulesOf> {
    let active = at.host().asked_rules(at.tenant(), at.id())?;
    let version = active.as_ref().map(|active| active.version);
    let before = at.host().rules_before(at.tenant(), at.id())?;
    let mut doing = at.host().rule_book().doing(at.tenant(), at.id(), version);
    // What they answered may not have been taken: that is known where it was to be used.
    let (refused, _) =
        at.page::<KeptFinding>("finding", "rules-failed.", &Page::new(Some(1), None))?;
    if let Some(KeptFinding { finding, .. }) = refused.into_iter().next()
        && doing.last_failure.as_ref().is_none_or(|(_, last)| *last < finding.at)
    {
        doing.last_failure = Some((finding.text, finding.at));
    }
    Ok(RulesOf {
        active: version,
        rollback: before.map(|before| Before { version: before.map(|active| active.version) }),
        hooks: active.map(|active| active.hooks.into_iter().collect()).unwrap_or_default(),
        doing,
        versions: at.host().rule_versions(at.tenant(), at.id())?,
    })
}

pub(crate) async fn list(at: At) -> Response {
    answer(rules_of(&at))
}

/// What may be said with an upload.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upload {
    /// What whoever uploads it says of it; 200 characters at most.
    note: Option<String>,
}

/// Takes a component. Nobody asks it yet.
pub(crate) async fn upload(at: At, Asks(Upload { note }): Asks<Upload>, raw: Body) -> Response {
    const TIME: std::time::Duration = std::time::Duration::from_secs(60);
    let wasm = match tokio::time::timeout(TIME, axum::body::to_bytes(raw, LARGEST + 1)).await {
        Ok(Ok(wasm)) => wasm,
        Err(_) => {
            return problem(
                408,
                "too-slow",
                "Too slow",
                "the component did not come within a minute",
            );
        }
        // Its limit is not the only fault that a body can have.
        Ok(Err(why)) if why.to_string().contains("length limit") => {
            let detail = format!("a component has {} MiB at most", LARGEST >> 20);
            return problem(413, "too-large", "Too large", detail);
        }
        Ok(Err(_)) => {
            let detail = "it broke off, or its chunks are none";
            return problem(400, "broken-body", "The body cannot be read", detail);
        }
    };
    match try_upload(&at, wasm.to_vec(), note).await {
        Ok(version) => super::respond(Asked {
            status: 201,
            body: serde_json::to_value(version).unwrap_or_default(),
            location: None,
        }),
        Err(response) => response,
    }
}

/// Takes a component.
///
/// # Errors
/// Why not: a problem.
pub(crate) async fn try_upload(
    at: &At,
    wasm: Vec<u8>,
    note: Option<String>,
) -> Result<RuleVersion, Response> {
    let note = note.map(|n| n.chars().filter(|c| !c.is_control()).take(200).collect::<String>());
    let note = note.filter(|note| !note.trim().is_empty());
    let _place = place(at)?;
    let host = Arc::clone(at.host());
    let (tenant, id, by) = (at.tenant().clone(), at.id().clone(), at.caller.name.clone());
    let taken =
        tokio::task::spawn_blocking(move || host.upload_rules(&tenant, &id, &wasm, note, &by))
            .await;
    match taken {
        Ok(Ok(version)) => Ok(version),
        Ok(Err(NotTaken::Unsound(why))) => {
            Err(problem(422, "unsound-rules", "The component cannot be taken", why))
        }
        Ok(Err(NotTaken::Failed(why))) => Err(failed(&why)),
        Err(why) => Err(failed(&why.into())),
    }
}

/// Uploads and dry runs take their time; only so many are under way at once.
fn place(at: &At) -> Result<tokio::sync::SemaphorePermit<'_>, Response> {
    at.host().rule_book().places.try_acquire().map_err(|_| {
        let detail = "others are uploading or trying rules; try again in a moment";
        problem(503, "busy", "Busy", detail)
    })
}

fn version_of(at: &At, version: &str) -> Result<RuleVersion, Response> {
    let number: u64 = version.parse().map_err(|_| not_found("version of the rules", version))?;
    let found = at.host().rule_version(at.tenant(), at.id(), number);
    found.map_err(|why| failed(&why))?.ok_or_else(|| not_found("version of the rules", version))
}

/// Lets a version be asked.
pub(crate) async fn activate(at: At, Named(version): Named) -> Response {
    match try_activate(&at, &version).await {
        Ok(rules) => ok(rules),
        Err(response) => response,
    }
}

/// Lets a version be asked.
///
/// # Errors
/// Why not: a problem. The one before is asked on.
pub(crate) async fn try_activate(at: &At, version: &str) -> Result<RulesOf, Response> {
    let version = version_of(at, version)?;
    compiled(at, &version.digest).await?;
    change(at, Some(version.active())).await
}

/// Rules, ready to be asked; they may have been compiled on another machine, or by another Firn.
async fn compiled(at: &At, digest: &str) -> Result<Arc<firn_runtime::rules::Prepared>, Response> {
    let host = Arc::clone(at.host());
    let (tenant, id, digest) = (at.tenant().clone(), at.id().clone(), digest.to_owned());
    let prepare = move || {
        let wasm = host.rule_component(&tenant, &id, &digest).map_err(NotTaken::Failed)?;
        let book = host.rule_book();
        book.prepare(&digest, &wasm)?;
        let gone = || NotTaken::Failed(anyhow::anyhow!("what was compiled cannot be loaded"));
        book.ready(&digest).ok_or_else(gone)
    };
    match tokio::task::spawn_blocking(prepare).await {
        Ok(Ok(prepared)) => Ok(prepared),
        Ok(Err(NotTaken::Unsound(why))) => {
            Err(problem(422, "unsound-rules", "The component cannot be used", why))
        }
        Ok(Err(NotTaken::Failed(why))) => Err(failed(&why)),
        Err(why) => Err(failed(&why.into())),
    }
}

async fn change(at: &At, rules: Option<ActiveRules>) -> Result<RulesOf, Response> {
    let host = at.host();
    let _naming = host.naming().await.map_err(|why| failed(&why))?;
    let asked = at.asked(|integration| Operation::Activate { integration, rules }).await;
    if asked.status >= 300 {
        return Err(super::respond(asked));
    }
    let integration: Integration =
        serde_json::from_value(asked.body).map_err(|why| failed(&why.into()))?;
    let known =
        host.vault().get(at.id()).ok_or_else(|| not_found("integration", at.id().as_str()))?;
    host.keep(integration, known.secrets.clone()).map_err(|why| failed(&why))?;
    // What waits for the ones before; whatever is not woken looks by itself within a minute.
    at.asked(|integration| Operation::WakeWaiting { integration }).await;
    rules_of(at).map_err(|why| failed(&why))
}

/// Lets the rules be asked that were asked before.
pub(crate) async fn rollback(at: At) -> Response {
    match try_rollback(&at).await {
        Ok(rules) => ok(rules),
        Err(response) => response,
    }
}

/// Lets the rules be asked that were asked before.
///
/// # Errors
/// Why not: a problem.
pub(crate) async fn try_rollback(at: &At) -> Result<RulesOf, Response> {
    let before = at.host().rules_before(at.tenant(), at.id()).map_err(|why| failed(&why))?;
    let Some(before) = before else {
        let detail = "no other rules were asked before";
        return Err(problem(409, "nothing-before", "Nothing to go back to", detail));
    };
    if let Some(before) = &before {
        // It may have been thrown away since.
        version_of(at, &before.version.to_string())?;
        compiled(at, &before.digest).await?;
    }
    change(at, before).await
}

/// Asks no rules any more.
pub(crate) async fn deactivate(at: At) -> Response {
    match try_deactivate(&at).await {
        Ok(rules) => ok(rules),
        Err(response) => response,
    }
}

/// Asks no rules any more.
///
/// # Errors
/// Why not: a problem.
pub(crate) async fn try_deactivate(at: &At) -> Result<RulesOf, Response> {
    change(at, None).await
}

/// On how many deliveries rules are tried.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Last {
    /// The last so many; 50 if it is not said, 500 at most.
    last: Option<usize>,
}

/// Tries a version on what came in.
pub(crate) async fn dry_run(
    at: At,
    Named(version): Named,
    Asks(Last { last }): Asks<Last>,
) -> Response {
    match try_dry_run(&at, &version, last).await {
        Ok(run) => ok(run),
        Err(response) => response,
    }
}

/// Tries a version on what came in.
///
/// # Errors
/// Why not: a problem.
pub(crate) async fn try_dry_run(
    at: &At,
    version: &str,
    last: Option<usize>,
) -> Result<DryRun, Response> {
    let version = version_of(at, version)?;
    let _place = place(at)?;
    let candidate = compiled(at, &version.digest).await?;
    let last = last.unwrap_or(LAST).min(MOST);
    let run = at.host().dry_run(at.tenant(), at.id(), candidate, last, &at.caller.name).await;
    run.map_err(|why| failed(&why))
}
