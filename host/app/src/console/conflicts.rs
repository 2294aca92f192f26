//! Conflicts: both sides' values and what they last agreed on, and one click for each; or a third value.

use axum::response::Response;
use firn_model::{
    Conflict, ConflictId, ConflictState, Millis, Operation, Resolution, Seen, Value as Field,
};
use minijinja::{Value, context};

use super::door::{Visit, see};
use super::{rows, view};
use crate::api::{At, Named, failed, not_found, problem};

/// How many a page lists.
const LISTED: usize = 100;

fn seen(seen: Option<&Seen>) -> Option<Value> {
    let seen = seen?;
    Some(context! { value => seen.shape.to_string(), since => seen.edited.0 })
}

fn shown(conflict: &Conflict) -> Value {
    let end =
        |by: Option<&str>, value: Option<String>, at: Millis| context! { by, value, at => at.0 };
    let (state, end) = match &conflict.state {
        ConflictState::Open => ("open", None),
        ConflictState::Resolved { by, value, at } => {
            ("resolved", Some(end(Some(by), Some(value.to_string()), *at)))
        }
        ConflictState::Closed { at } => ("closed", Some(end(None, None, *at))),
    };
    context! {
        id => conflict.id, link => conflict.link, field => conflict.field,
        number => conflict.number.clone().unwrap_or_else(|| conflict.link.to_string()),
        platform => seen(conflict.platform.as_ref()),
        external => seen(conflict.external.as_ref()),
        base => conflict.base.as_ref().map(|base| base.platform.to_string()),
        opened => conflict.opened.0, updated => conflict.updated.0, state, end,
    }
}

/// `GET /console/{integration}/conflicts`.
pub(super) async fn list(visit: Visit, at: At) -> Response {
    let open = |conflict: &Conflict| conflict.state == ConflictState::Open;
    let age = |conflict: &Conflict| conflict.updated.0;
    let (waiting, all) = match rows::latest(&at, "conflict", open, age, LISTED).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let over = move |conflict: &Conflict| !open(conflict);
    let (over, _) = match rows::latest(&at, "conflict", over, age, 20).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let all_shown = |conflicts: &[Conflict]| conflicts.iter().map(shown).collect::<Vec<_>>();
    let with = context! { conflicts => all_shown(&waiting), all, over => all_shown(&over) };
    view::page_at(&visit, &at, ("conflicts.html", "conflicts", "Conflicts"), with).await
}

/// `GET /console/{integration}/conflicts/{conflict}`.
pub(super) async fn show(visit: Visit, at: At, Named(id): Named) -> Response {
    let conflict: Conflict = match at.row("conflict", &id) {
        Ok(Some(conflict)) => conflict,
        Ok(None) => return not_found("conflict", &id),
        Err(why) => return failed(&why),
    };
    let title = format!("Conflict over {}", conflict.field);
    let with = context! { conflict => shown(&conflict) };
    view::page_at(&visit, &at, ("conflict.html", "conflicts", &title), with).await
}

/// `POST …/conflicts/{conflict}/resolve`: `use` is a side, or `value` a third value.
pub(super) async fn resolve(visit: Visit, at: At, Named(id): Named) -> Response {
    let resolution = match (visit.form.field("use"), visit.form.field("value")) {
        (Some("platform"), _) => Resolution::UsePlatform,
        (Some("external"), _) => Resolution::UseExternal,
        (Some("value"), Some(value)) if !value.trim().is_empty() => {
            Resolution::Value(Field::text(value.trim().replace("\r\n", "\n")))
        }
        _ => {
            let detail = "choose a side's value, or type one in; go back and try again";
            return problem(422, "no-choice", "No choice was made", detail);
        }
    };
    let Ok(conflict) = ConflictId::new(id.clone()) else { return not_found("conflict", &id) };
    let asked =
        at.asked(|integration| Operation::Resolve { integration, conflict, resolution }).await;
    match view::answered(asked) {
        Ok(_) => see(&format!("/console/{}/conflicts?done=resolve", at.known.integration.slug)),
        Err(response) => response,
    }
}
