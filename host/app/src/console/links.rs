//! Links: found by what people know of them, and one side by side with why each value is what it is.

use axum::response::Response;
use firn_model::{Audit, Link, Operation};
use minijinja::{Value, context};
use serde::Deserialize;

use super::door::{Visit, see};
use super::{rows, view, words};
use crate::api::records::{STATES, settled, shown, standing};
use crate::api::{Asks, At, Named, failed, not_found};
use crate::host::link_id;

/// How many links a page lists.
const LISTED: usize = 100;
/// How many lines of the audit a link shows.
const LINES: usize = 100;

#[derive(Deserialize)]
pub(super) struct Asked {
    q: Option<String>,
    state: Option<String>,
}

/// `GET /console/{integration}/links`.
pub(super) async fn list(visit: Visit, at: At, Asks(Asked { q, state }): Asks<Asked>) -> Response {
    let q = q.unwrap_or_default().trim().to_owned();
    let state = state.filter(|state| STATES.contains(&state.as_str())).unwrap_or_default();
    let (sought, wanted_state) = (q.to_lowercase(), state.clone());
    let wanted = move |link: &Link| {
        let ticket = link.external.as_ref();
        let number = ticket.and_then(|ticket| ticket.number.as_deref()).unwrap_or_default();
        let sys_id = ticket.map_or("", |ticket| ticket.sys_id.as_str());
        let names =
            [number, sys_id, link.platform_id.as_str(), link.key.as_str(), link.id.as_str()];
        (sought.is_empty() || names.iter().any(|name| name.to_lowercase().contains(&sought)))
            && (wanted_state.is_empty() || standing(link) == wanted_state)
    };
    let found = rows::latest(&at, "link", wanted, |link: &Link| link.updated.0, LISTED).await;
    let (links, all) = match found {
        Ok(found) => found,
        Err(response) => return response,
    };
    let links: Vec<Value> = links.iter().map(|link| Value::from_serialize(shown(link))).collect();
    let with = context! { links, all, q, state, states => STATES };
    view::page_at(&visit, &at, ("links.html", "links", "Links"), with).await
}

/// `GET /console/{integration}/links/{link}`.
pub(super) async fn show(visit: Visit, at: At, Named(id): Named) -> Response {
    let Some(name) = link_id(&id) else { return not_found("link", &id) };
    let link: Link = match at.row("link", &id) {
        Ok(Some(link)) => link,
        Ok(None) => return not_found("link", &id),
        Err(why) => return failed(&why),
    };
    let asked = at.asked(|integration| Operation::Explain { integration, link: name }).await;
    let explained = match view::answered(asked) {
        Ok(explained) => explained,
        Err(response) => return response,
    };
    let (of, age) = (link.id.clone(), |line: &Audit| line.at.0);
    let ours = move |line: &Audit| line.link.as_ref() == Some(&of);
    let found = rows::latest_of(&at, "audit", &format!("{id}/"), ours, age, LINES).await;
    let (lines, all_lines) = match found {
        Ok(found) => found,
        Err(response) => return response,
    };
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| context! { at => line.at.0, event => line.event, text => words::of_line(line) })
        .collect();
    let base = firn_model::instance_address(&at.known.integration.base_url);
    let ticket = link.external.as_ref().filter(|_| base.starts_with("http")).map(|ticket| {
        let to = format!("{}.do?sys_id={}", ticket.table, ticket.sys_id);
        format!("{base}/nav_to.do?uri={}", percent(&to))
    });
    let with = context! {
        link => Value::from_serialize(shown(&link)), explained, lines, all_lines, ticket,
        settled => settled(&link),
    };
    let number = link.external.as_ref().and_then(|ticket| ticket.number.clone());
    let title = number.unwrap_or_else(|| link.platform_id.to_string());
    view::page_at(&visit, &at, ("link.html", "links", &title), with).await
}

fn percent(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Back to a link.
fn back(at: &At, id: &str, done: &str) -> Response {
    see(&format!("/console/{}/links/{id}?done={done}", at.known.integration.slug))
}

/// `POST …/links/{link}/resync`.
pub(super) async fn resync(at: At, Named(id): Named) -> Response {
    let Some(link) = link_id(&id) else { return not_found("link", &id) };
    let asked = at.asked(|integration| Operation::Resync { integration, link }).await;
    match view::answered(asked) {
        Ok(_) => back(&at, &id, "resync"),
        Err(response) => response,
    }
}

/// `POST …/links/{link}/unlink`.
pub(super) async fn unlink(at: At, Named(id): Named) -> Response {
    let Some(link) = link_id(&id) else { return not_found("link", &id) };
    let asked = at.asked(|integration| Operation::Unlink { integration, link }).await;
    match view::answered(asked) {
        Ok(_) => back(&at, &id, "unlink"),
        Err(response) => response,
    }
}
