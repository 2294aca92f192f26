//! Rules of a tenant's own: their versions, how they do, what another version would have said; uploaded, asked,
//! and no longer asked.

use axum::response::Response;
use firn_model::OnRuleFailure;
use minijinja::{Value, context};

use super::door::{Visit, see};
use super::view;
use crate::api::rules::{
    RulesOf, rules_of, try_activate, try_deactivate, try_dry_run, try_rollback, try_upload,
};
use crate::api::{At, Named, failed, problem};

async fn page(visit: &Visit, at: &At, tried: Option<Value>) -> Response {
    let RulesOf { active, hooks, rollback, doing, mut versions } = match rules_of(at) {
        Ok(rules) => rules,
        Err(why) => return failed(&why),
    };
    versions.reverse();
    let doing = context! {
        answered => doing.answered, failed => doing.failed,
        why => doing.last_failure.as_ref().map(|(why, _)| why),
        at => doing.last_failure.as_ref().map(|(_, at)| at.0),
        resting => doing.resting.map(|until| until.0),
    };
    let with = context! {
        active, doing, tried,
        rollback => Value::from_serialize(&rollback),
        hooks => Value::from_serialize(&hooks),
        versions => Value::from_serialize(&versions),
        skips => at.known.integration.settings.on_rule_failure == OnRuleFailure::Skip,
    };
    view::page_at(visit, at, ("rules.html", "rules", "Rules"), with).await
}

fn back(at: &At, done: &str) -> Response {
    see(&format!("/console/{}/rules?done={done}", at.known.integration.slug))
}

/// `GET /console/{integration}/rules`.
pub(super) async fn list(visit: Visit, at: At) -> Response {
    page(&visit, &at, None).await
}

/// `POST /console/{integration}/rules`: a file.
pub(super) async fn upload(visit: Visit, at: At) -> Response {
    let Some(wasm) = visit.form.file().filter(|file| !file.is_empty()) else {
        let detail = "choose the file rules.wasm that `firn rules build` made";
        return problem(422, "no-file", "No file was sent", detail);
    };
    let note = visit.form.field("note").map(str::to_owned);
    match try_upload(&at, wasm.to_vec(), note).await {
        Ok(_) => back(&at, "upload"),
        Err(response) => response,
    }
}

/// `POST …/rules/{version}/dry-run`.
pub(super) async fn dry_run(visit: Visit, at: At, Named(version): Named) -> Response {
    match try_dry_run(&at, &version, None).await {
        Ok(run) => {
            let tried = context! { version, run => Value::from_serialize(&run) };
            page(&visit, &at, Some(tried)).await
        }
        Err(response) => response,
    }
}

/// `POST …/rules/{version}/activate`.
pub(super) async fn activate(at: At, Named(version): Named) -> Response {
    match try_activate(&at, &version).await {
        Ok(_) => back(&at, "activate"),
        Err(response) => response,
    }
}

/// `POST …/rules/rollback`.
pub(super) async fn rollback(at: At) -> Response {
    match try_rollback(&at).await {
        Ok(_) => back(&at, "rollback"),
        Err(response) => response,
    }
}

/// `POST …/rules/deactivate`.
pub(super) async fn deactivate(at: At) -> Response {
    match try_deactivate(&at).await {
        Ok(_) => back(&at, "deactivate"),
        Err(response) => response,
    }
}
