//! Dead letters: writes that were refused for good, why, and what they would write; tried again or thrown away,
//! one by one or several at once.

use std::collections::BTreeMap;

use axum::response::Response;
use firn_model::{DeadFilter, DeadLetter, DeadState, IntegrationId, Operation, Side, Verb};
use minijinja::{Value, context};
use serde::Deserialize;

use super::door::{Visit, see};
use super::{rows, view};
use crate::api::{Asks, At, Named, problem};

/// How many a page lists.
const LISTED: usize = 100;

#[derive(Deserialize)]
pub(super) struct Asked {
    reason: Option<String>,
    side: Option<String>,
    all: Option<String>,
}

fn side(text: Option<&str>) -> Option<Side> {
    match text {
        Some("platform") => Some(Side::Platform),
        Some("external") => Some(Side::External),
        _ => None,
    }
}

/// `GET /console/{integration}/dead-letters`.
pub(super) async fn list(visit: Visit, at: At, Asks(asked): Asks<Asked>) -> Response {
    let Asked { reason, side: to, all: gone_too } = asked;
    let reason = reason.unwrap_or_default().trim().to_owned();
    let filter = DeadFilter {
        side: side(to.as_deref()),
        reason: (!reason.is_empty()).then(|| reason.clone()),
        ..DeadFilter::default()
    };
    let gone_too = gone_too.is_some();
    let wanted = move |letter: &DeadLetter| {
        (gone_too || letter.state == DeadState::Waiting) && letter.fits(&filter)
    };
    let age = |letter: &DeadLetter| letter.at.0;
    let (letters, all) = match rows::latest(&at, "dead", wanted, age, LISTED).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for letter in &letters {
        *reasons.entry(letter.reason.as_str()).or_default() += 1;
    }
    let mut reasons: Vec<(&str, usize)> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let letters: Vec<Value> = letters.iter().map(shown).collect();
    let with = context! { letters, all, reasons, reason, side => to.unwrap_or_default(), gone_too };
    view::page_at(&visit, &at, ("dead_letters.html", "dead-letters", "Dead letters"), with).await
}

fn shown(letter: &DeadLetter) -> Value {
    let fields: Vec<String> = match &letter.write.verb {
        Verb::Update { set, .. } => set.keys().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    context! {
        id => letter.id, link => letter.link, side => letter.write.side, work => letter.work(), fields,
        reason => letter.reason, at => letter.at.0, state => letter.state, times => letter.history.len(),
    }
}

/// `GET /console/{integration}/dead-letters/{entry}`.
pub(super) async fn show(visit: Visit, at: At, Named(id): Named) -> Response {
    let asked = at.asked(|integration| Operation::ShowDead { integration, id: id.clone() }).await;
    let letter = match view::answered(asked) {
        Ok(letter) => letter,
        Err(response) => return response,
    };
    let with = context! { letter };
    view::page_at(&visit, &at, ("dead_letter.html", "dead-letters", "Dead letter"), with).await
}

fn back(at: &At, done: &str) -> Response {
    see(&format!("/console/{}/dead-letters?done={done}", at.known.integration.slug))
}

async fn decide(
    at: &At,
    done: &str,
    operation: impl FnOnce(IntegrationId) -> Operation,
) -> Response {
    match view::answered(at.asked(operation).await) {
        Ok(_) => back(at, done),
        Err(response) => response,
    }
}

/// `POST …/dead-letters/{entry}/retry`.
pub(super) async fn retry(at: At, Named(id): Named) -> Response {
    decide(&at, "retry", |integration| Operation::RetryDead { integration, id }).await
}

/// `POST …/dead-letters/{entry}/discard`.
pub(super) async fn discard(at: At, Named(id): Named) -> Response {
    decide(&at, "discard", |integration| Operation::DiscardDead { integration, id }).await
}

/// `POST …/dead-letters`: those that were ticked are tried again or thrown away.
pub(super) async fn several(visit: Visit, at: At) -> Response {
    let entries: Vec<String> = visit.form.fields("entry").into_iter().map(str::to_owned).collect();
    if entries.is_empty() {
        let detail = "tick the dead letters that are meant; go back and try again";
        return problem(422, "nothing-meant", "Nothing is meant", detail);
    }
    let retry = match visit.form.field("do") {
        Some("retry") => true,
        Some("discard") => false,
        _ => return problem(422, "no-choice", "No choice was made", "choose retry or discard"),
    };
    let mut decided = 0;
    for id in entries {
        let decide = |integration| match retry {
            true => Operation::RetryDead { integration, id },
            false => Operation::DiscardDead { integration, id },
        };
        let asked = at.asked(decide).await;
        // Somebody else may have been first.
        if matches!(asked.status, 404 | 409) {
            continue;
        }
        if let Err(response) = view::answered(asked) {
            return response;
        }
        decided += 1;
    }
    if decided == 0 {
        let detail = "somebody else was first: none of those that were ticked waits any more";
        return problem(409, "decided-already", "Decided already", detail);
    }
    back(&at, if retry { "retry" } else { "discard" })
}
