//! Reconcile runs: begun, watched, and what drifted shown field by field.

use axum::response::Response;
use firn_model::{CheckState, Operation, Run, RunMode, RunState, Schedule, Shape};
use minijinja::{Value, context};

use super::door::{Visit, see};
use super::{rows, view, words};
use crate::api::{At, Named, failed, not_found};

fn shown(run: &Run) -> Value {
    let value = |shape: Option<&Shape>| shape.map(ToString::to_string);
    let drifts: Vec<Value> = run
        .drifts
        .iter()
        .map(|check| {
            let fields: Vec<Value> = check
                .fields
                .iter()
                .map(|drift| {
                    context! {
                        field => drift.field, platform => value(drift.platform.as_ref()),
                        external => value(drift.external.as_ref()), base => value(drift.base.as_ref()),
                        verdict => drift.verdict,
                    }
                })
                .collect();
            let failed = match &check.state {
                CheckState::Failed(why) => Some(why),
                _ => None,
            };
            context! {
                link => check.link, fields, failed, entries => check.entries,
                number => check.number.clone().unwrap_or_else(|| check.link.to_string()),
                platform_not_verifiable => check.platform_not_verifiable,
            }
        })
        .collect();
    let (state, going) = match run.state {
        RunState::Running => ("looking", true),
        RunState::Asks => ("asks first", true),
        RunState::Healing => ("mending", true),
        RunState::Stopped => ("stopped", false),
        RunState::Finished => ("finished", false),
    };
    context! {
        id => run.id, by => run.by, started => run.started.0, state, going,
        mode => if run.mode == RunMode::AutoHeal { "look and mend" } else { "only look" },
        mends => run.mode == RunMode::AutoHeal,
        finished => run.finished.map(|at| at.0), links => run.links, checked => run.checked,
        drifted => run.drifted, failed => run.failed, not_verifiable => run.not_verifiable, healed => run.healed, left => run.left, drifts,
    }
}

/// `GET /console/{integration}/runs`.
pub(super) async fn list(visit: Visit, at: At) -> Response {
    let found = rows::latest(&at, "run", |_: &Run| true, |run: &Run| run.started.0, 50).await;
    let (runs, all) = match found {
        Ok(found) => found,
        Err(response) => return response,
    };
    let schedule: Option<Schedule> =
        match at.host().row(at.tenant(), &["schedule", at.id().as_str()]) {
            Ok(schedule) => schedule,
            Err(why) => return failed(&why),
        };
    let schedule = schedule.filter(|schedule| schedule.enabled).map(|schedule| {
        let every = words::since(i64::try_from(schedule.interval).unwrap_or(i64::MAX));
        let mends = schedule.mode == RunMode::AutoHeal;
        context! { every => every.trim_end_matches(" ago"), mends }
    });
    let runs: Vec<Value> = runs.iter().map(shown).collect();
    let with = context! { runs, all, schedule };
    view::page_at(&visit, &at, ("runs.html", "runs", "Reconcile runs"), with).await
}

/// `POST /console/{integration}/runs`.
pub(super) async fn begin(visit: Visit, at: At) -> Response {
    let mode = match visit.form.field("mode") {
        Some("auto-heal") => RunMode::AutoHeal,
        _ => RunMode::DryRun,
    };
    let asked = at.asked(|integration| Operation::Reconcile { integration, mode }).await;
    match view::answered(asked) {
        Ok(run) => {
            let id = run["id"].as_str().unwrap_or_default();
            see(&format!("/console/{}/runs/{id}", at.known.integration.slug))
        }
        Err(response) => response,
    }
}

/// `GET /console/{integration}/runs/{run}`.
pub(super) async fn show(visit: Visit, at: At, Named(id): Named) -> Response {
    let run: Run = match at.row("run", &id) {
        Ok(Some(run)) => run,
        Ok(None) => return not_found("run", &id),
        Err(why) => return failed(&why),
    };
    let with = context! { run => shown(&run) };
    view::page_at(&visit, &at, ("run.html", "runs", "Reconcile run"), with).await
}

fn back(at: &At, run: &str) -> Response {
    see(&format!("/console/{}/runs/{run}", at.known.integration.slug))
}

/// `POST …/runs/{run}/stop`.
pub(super) async fn stop(at: At, Named(run): Named) -> Response {
    let id = run.clone();
    match view::answered(at.asked(|integration| Operation::StopRun { integration, run: id }).await)
    {
        Ok(_) => back(&at, &run),
        Err(response) => response,
    }
}

/// `POST …/runs/{run}/confirm`.
pub(super) async fn confirm(at: At, Named(run): Named) -> Response {
    let id = run.clone();
    let asked = at.asked(|integration| Operation::ConfirmRun { integration, run: id }).await;
    match view::answered(asked) {
        Ok(_) => back(&at, &run),
        Err(response) => response,
    }
}
