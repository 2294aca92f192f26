//! Pages made of templates. Templates escape whatever they are given; what they are not given is an error.

use std::sync::LazyLock;

use axum::body::to_bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use firn_model::{Millis, rfc3339_text};
use minijinja::{Environment, UndefinedBehavior, Value, context};

use super::door::Visit;
use super::words;
use crate::access::Right;
use crate::api::{At, failed, not_found, problem};
use crate::host::now;

macro_rules! files {
    ($folder:literal: $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!($folder, "/", $name)))),*]
    };
}

const TEMPLATES: &[(&str, &str)] = files!["templates":
    "base.html", "parts.html", "alone.html", "sign_in.html", "failure.html", "overview.html", "integration.html",
    "links.html", "link.html", "conflicts.html", "conflict.html", "dead_letters.html", "dead_letter.html",
    "runs.html", "run.html", "audit.html", "findings.html", "knowledge.html", "settings.html", "settings_answer.html", "rules.html", "doctor.html", "beat.html",
];

const ASSETS: &[(&str, &str)] = files!["assets": "console.css", "console.js", "firn.svg"];

static PAGES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut pages = Environment::new();
    pages.set_undefined_behavior(UndefinedBehavior::Strict);
    pages.set_trim_blocks(true);
    pages.set_lstrip_blocks(true);
    for (name, text) in TEMPLATES {
        if let Err(why) = pages.add_template(name, text) {
            tracing::error!(%why, "a page cannot be made"); // A test reads all of them.
        }
    }
    pages.add_filter("ago", |at: i64| words::since(now().0 - at));
    pages.add_filter("exactly", |at: i64| rfc3339_text(Millis(at)));
    pages.add_filter("moment", |at: i64| {
        rfc3339_text(Millis(at)).get(..19).unwrap_or_default().replace('T', " ")
    });
    pages.add_filter("clock", |at: i64| {
        let text = rfc3339_text(Millis(at));
        text.get(11..19).unwrap_or_default().to_owned()
    });
    pages.add_filter("short", |text: String| text.chars().take(8).collect::<String>());
    pages.add_filter("percent", |text: String| -> String {
        url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
    });
    pages.add_filter("count", words::count);
    pages
});

fn made(name: &str, with: &Value, status: u16) -> Response {
    let page = PAGES.get_template(name).and_then(|template| template.render(with));
    match page {
        Ok(page) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            (status, Html(page)).into_response()
        }
        Err(why) => failed(&anyhow::anyhow!("the page {name} cannot be made: {why:#}")),
    }
}

/// A fragment of a page.
pub(super) fn part(name: &str, with: &Value) -> Result<String, minijinja::Error> {
    PAGES.get_template(name)?.render(with)
}

/// What every page says of whoever looks at it.
fn of_visit(visit: &Visit) -> Value {
    // What was done a moment ago, if a form says so.
    let done = visit.address.split_once('?').and_then(|(_, query)| {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == "done").map(|(_, done)| done.into_owned())
    });
    context! {
        done,
        form_key => visit.form_key,
        address => visit.address,
        beat => visit.beat,
        version => env!("CARGO_PKG_VERSION"),
        who => context! {
            name => visit.caller.name,
            role => visit.caller.role,
            tenant => visit.caller.tenant,
            operates => visit.may(Right::Operate),
            administers => visit.may(Right::Administer),
            open => visit.open,
        },
    }
}

/// A page that is about no integration.
pub(super) fn page(visit: &Visit, name: &str, title: &str, with: Value) -> Response {
    let nowhere = context! {
        title, here => None::<()>, live => "/console/live", stale => None::<()>, ..of_visit(visit)
    };
    made(name, &context! { ..with, ..nowhere }, 200)
}

/// A page about an integration.
pub(super) async fn page_at(
    visit: &Visit,
    at: &At,
    (name, tab, title): (&str, &str, &str),
    with: Value,
) -> Response {
    let (status, stale) = match visit.shared.standing(&at.known).await {
        Ok(standing) => standing,
        Err(why) => return failed(&why),
    };
    let integration = &at.known.integration;
    let here = context! {
        slug => integration.slug,
        name => integration.name,
        id => integration.id,
        tenant => integration.tenant,
        base_url => integration.base_url,
        enabled => integration.enabled,
        preset => integration.settings.preset,
        version => integration.version,
        status => Value::from_serialize(&*status),
        tab,
        path => format!("/console/{}", integration.slug),
    };
    let live = format!("/console/live?integration={}", integration.id);
    let title = format!("{title} · {}", integration.name);
    let stale = stale.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
    made(
        name,
        &context! { ..with, ..context! { title, here, live, stale, ..of_visit(visit) } },
        200,
    )
}

/// A page for somebody who is not signed in.
pub(super) fn alone(name: &str, with: &Value, status: u16) -> Response {
    let ours = context! { version => env!("CARGO_PKG_VERSION") };
    made(name, &context! { ..with.clone(), ..ours }, status)
}

/// A problem as a page: what happened, and what to do. A script that asked gets the sentence alone.
pub(super) async fn failure(visit: Option<&Visit>, refused: Response, whole: bool) -> Response {
    #[derive(serde::Deserialize, Default)]
    #[serde(default)]
    struct Told {
        title: String,
        detail: String,
    }
    let status = refused.status();
    let told = to_bytes(refused.into_body(), 1 << 20).await.unwrap_or_default();
    let Told { title, detail } = serde_json::from_slice(&told).unwrap_or_default();
    if !whole {
        return (status, format!("{title}: {detail}")).into_response();
    }
    let with = context! { title, detail, status => status.as_u16() };
    let base = match visit {
        Some(visit) => context! {
            here => None::<()>, live => None::<()>, stale => None::<()>, back => visit.address,
            ..of_visit(visit)
        },
        None => context! {
            here => None::<()>, live => None::<()>, stale => None::<()>, back => "/", who => None::<()>,
            version => env!("CARGO_PKG_VERSION")
        },
    };
    let page = part("failure.html", &context! { ..with, ..base });
    (status, Html(page.unwrap_or_default())).into_response()
}

/// `GET /assets/{file}`: they change with the version, which is in their address.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let Some((name, text)) = ASSETS.iter().find(|(known, _)| *known == name) else {
        return not_found("file", &name);
    };
    let kind = match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        _ => "image/svg+xml",
    };
    ([("content-type", kind), ("cache-control", "no-cache")], *text).into_response()
}

/// What an operation of the engine answered, as JSON; or the page of its problem.
pub(super) fn answered(asked: crate::host::Asked) -> Result<serde_json::Value, Response> {
    if asked.status < 300 {
        return Ok(asked.body);
    }
    let text = |name: &str| asked.body[name].as_str().unwrap_or_default().to_owned();
    Err(problem(asked.status, &text("type"), &text("title"), text("detail")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_can_be_read() {
        for (name, _) in TEMPLATES {
            PAGES.get_template(name).unwrap();
        }
    }
}
