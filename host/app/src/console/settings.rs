//! Settings: the document that makes an integration what it is, checked as it is typed, tried on what came in
//! lately, compared with what holds, and applied.

use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Response};
use firn_model::{Delivery, Fault, Integration, Intent, Level, Operation, Version};
use firn_runtime::Core;
use minijinja::{Value, context};
use serde_json::{Map, Value as Json, json};
use similar::{ChangeTag, TextDiff};

use super::door::{Visit, see};
use super::{rows, view};
use crate::access::Right;
use crate::api::apply::{apply_document, try_rollback};
use crate::api::{At, Named, failed, problem};
use crate::document::{Document, HOST_KEYS, written};

/// How many deliveries a document is tried on.
const TRIED: usize = 50;

/// What is typed, and what was found out about it.
async fn with(
    at: &At,
    text: String,
    answer: Option<Value>,
    taken: Vec<String>,
) -> Result<Value, Response> {
    let age = |version: &Version| i64::try_from(version.version).unwrap_or_default();
    let (versions, _) = rows::latest(at, "version", |_: &Version| true, age, 20).await?;
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| {
            context! {
                version => version.version, by => version.by, at => version.at.0,
            }
        })
        .collect();
    Ok(context! { text, answer, versions, taken })
}

/// `GET /console/{integration}/settings`.
pub(super) async fn show(visit: Visit, at: At) -> Response {
    let query = visit.address.split_once('?').map(|(_, query)| query);
    let whole = query.is_some_and(|query| query.split('&').any(|part| part == "everything"));
    let (text, taken) = match document_of(&at, whole).await {
        Ok(made) => made,
        Err(why) => return failed(&why),
    };
    match with(&at, text, None, taken).await {
        Ok(with) => {
            let with = context! { whole, ..with };
            view::page_at(&visit, &at, ("settings.html", "settings", "Settings"), with).await
        }
        Err(response) => response,
    }
}

/// The document that makes an integration what it is: what differs from its preset, or everything. And what of
/// the preset was taken away: no document can say that.
async fn document_of(at: &At, whole: bool) -> anyhow::Result<(String, Vec<String>)> {
    let integration = at.known.integration.clone();
    let cache = at.host().cache().to_owned();
    let made = move || {
        let preset = json!({ "preset": integration.settings.preset });
        let mut document = json!({
            "slug": integration.slug, "name": integration.name, "base_url": integration.base_url,
            "platform": integration.platform, "enabled": integration.enabled,
        });
        let settings = serde_json::to_value(&integration.settings)?;
        let completed = Core::new(Some(&cache))?.complete(&preset.to_string())?;
        let start: Json =
            completed.map_or(Json::Null, |text| serde_json::from_str(&text).unwrap_or_default());
        let mut taken = Vec::new();
        removed(&start, &settings, "", &mut taken);
        let start = if whole { Json::Null } else { start };
        if let Json::Object(document) = &mut document {
            if let Some(Json::Object(own)) = difference(&start, &settings) {
                document.extend(own);
            }
            document.insert("preset".to_owned(), preset["preset"].clone());
        }
        anyhow::Ok((written(&document), taken))
    };
    tokio::task::spawn_blocking(made).await?
}

/// What `b` says that `a` does not, as a merge patch (RFC 7396).
fn difference(a: &Json, b: &Json) -> Option<Json> {
    match (a, b) {
        (Json::Object(a), Json::Object(b)) => {
            let changed: Map<String, Json> = b
                .iter()
                .filter_map(|(key, to)| {
                    Some((key.clone(), difference(a.get(key).unwrap_or(&Json::Null), to)?))
                })
                .collect();
            (!changed.is_empty()).then(|| changed.into())
        }
        _ => (a != b).then(|| b.clone()),
    }
}

/// What `a` has and `b` has no more, by its path.
fn removed(a: &Json, b: &Json, at: &str, paths: &mut Vec<String>) {
    let (Json::Object(a), Json::Object(b)) = (a, b) else { return };
    for (key, was) in a {
        let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        match b.get(key) {
            Some(is) => removed(was, is, &path, paths),
            None if was.is_null() => {}
            None => paths.push(path),
        }
    }
}

/// What was typed, read: its content, or everything that is wrong with it.
struct Typed {
    document: Map<String, Json>,
    errors: usize,
    warnings: usize,
    /// Faults for people, with the place of each.
    rendered: String,
}

async fn read(at: &At, text: &str) -> anyhow::Result<Typed> {
    let slug = at.known.integration.slug.clone();
    let preset = json!(at.known.integration.settings.preset);
    let cache = at.host().cache().to_owned();
    let text = text.replace("\r\n", "\n");
    let look = move || {
        let (mut document, unreadable) = Document::read("settings", text);
        if let Some(why) = unreadable {
            let rendered = document.render_unreadable(&why, false);
            let document = Map::new();
            return anyhow::Ok(Typed { document, errors: 1, warnings: 0, rendered });
        }
        // An integration keeps the preset that it started from, also where that is not said.
        if let Json::Object(said) = &mut document.json {
            said.entry("preset").or_insert(preset);
        }
        let mut faults = document.check(Some(&cache))?;
        if document.json.get("slug").is_some_and(|given| *given != json!(slug)) {
            faults.push(Fault {
                level: Level::Error,
                at: "slug".to_owned(),
                text: "this is another integration's".to_owned(),
                remedy: format!("this page is about {slug}: write that, or leave it out"),
            });
        }
        let of = |level| faults.iter().filter(|fault| fault.level == level).count();
        let (errors, warnings) = (of(Level::Error), of(Level::Warning));
        let rendered = document.render(&faults, false);
        let mut document = match document.json {
            Json::Object(document) => document,
            _ => Map::new(),
        };
        document.insert("slug".to_owned(), json!(slug));
        Ok(Typed { document, errors, warnings, rendered })
    };
    tokio::task::spawn_blocking(look).await?
}

/// `POST /console/{integration}/settings`: what was typed is checked, tried or compared. Nothing is changed.
pub(super) async fn asked(visit: Visit, at: At, headers: HeaderMap) -> Response {
    let text = visit.form.field("document").unwrap_or_default().to_owned();
    // Whoever only looks is told whether what they type is sound. What came in is read under it, and what
    // holds is compared with it, for whoever may apply it.
    if matches!(visit.form.field("do"), Some("try" | "compare")) && !visit.may(Right::Administer) {
        let detail = "this needs an administrator's token";
        return problem(403, "not-allowed", "Not allowed", detail);
    }
    let answer = match answer(&visit, &at, &text).await {
        Ok(answer) => answer,
        Err(response) => return response,
    };
    if headers.contains_key("x-firn-part") {
        let part = context! {
            answer, text, form_key => visit.form_key,
            administers => visit.may(Right::Administer),
            version => at.known.integration.version,
            path => format!("/console/{}", at.known.integration.slug),
        };
        return match view::part("settings_answer.html", &part) {
            Ok(part) => Html(part).into_response(),
            Err(why) => failed(&why.into()),
        };
    }
    match with(&at, text, Some(answer), Vec::new()).await {
        Ok(with) => {
            let with = context! { whole => false, ..with };
            view::page_at(&visit, &at, ("settings.html", "settings", "Settings"), with).await
        }
        Err(response) => response,
    }
}

async fn answer(visit: &Visit, at: &At, text: &str) -> Result<Value, Response> {
    let typed = read(at, text).await.map_err(|why| failed(&why))?;
    let Typed { document, errors, warnings, rendered } = typed;
    let checked = context! { errors, warnings, rendered };
    let nothing = context! { tried => None::<()>, compared => None::<()>, ..checked.clone() };
    if errors > 0 {
        return Ok(nothing);
    }
    match visit.form.field("do") {
        Some("try") => {
            let tried = tried(at, document).await?;
            Ok(context! { tried, compared => None::<()>, ..checked })
        }
        Some("compare") => {
            let looked =
                apply_document(&visit.shared, &visit.caller, document, Intent::Look, None).await?;
            let looked = view::answered(looked)?;
            Ok(context! { tried => None::<()>, compared => compared(&looked), ..checked })
        }
        _ => Ok(nothing),
    }
}

/// A document on what came in lately, beside the settings that hold.
async fn tried(at: &At, mut document: Map<String, Json>) -> Result<Value, Response> {
    for key in HOST_KEYS {
        document.remove(*key);
    }
    let (host, integration) = (at.host().clone(), at.known.integration.clone());
    let look = move || -> anyhow::Result<Vec<String>> {
        let Integration { tenant, id, .. } = &integration;
        let mut latest: Vec<(i64, String)> = Vec::new();
        host.each(tenant, &format!("delivery/{id}/"), |name, delivery: Delivery| {
            latest.push((delivery.received.0, name.to_owned()));
            if latest.len() >= 4 * TRIED {
                latest.sort_unstable_by(|a, b| b.cmp(a));
                latest.truncate(TRIED);
            }
        })?;
        latest.sort_unstable_by(|a, b| b.cmp(a));
        latest.truncate(TRIED);
        Ok(latest.into_iter().map(|(_, name)| name).collect())
    };
    let looked = tokio::task::spawn_blocking(look).await;
    let deliveries = looked.map_err(|w| failed(&w.into()))?.map_err(|why| failed(&why))?;
    let document = Json::Object(document);
    let asked = at.asked(|integration| Operation::Preview { integration, document, deliveries });
    let read = view::answered(asked.await)?;
    let read = read["deliveries"].as_array().cloned().unwrap_or_default();
    let all = read.len();
    let differ: Vec<Value> = read
        .iter()
        .filter(|one| one["differs"] == true)
        .map(|one| {
            let of = |when: &str, field: &str, what: &str| {
                one[when]["fields"][field][what].as_str().map(str::to_owned)
            };
            let names = |when: &str| {
                let fields = one[when]["fields"].as_object();
                fields.into_iter().flatten().map(|(name, _)| name.clone()).collect::<Vec<_>>()
            };
            let mut all = [names("before"), names("after")].concat();
            all.sort();
            all.dedup();
            let fields: Vec<Value> = all
                .iter()
                .map(|field| {
                    let (before, after) =
                        (of("before", field, "becomes"), of("after", field, "becomes"));
                    let seen = of("after", field, "seen").or_else(|| of("before", field, "seen"));
                    context! { field, seen, before, after, differs => before != after }
                })
                .collect();
            let outcome = |when: &str| one[when]["outcome"].as_str().unwrap_or_default().to_owned();
            context! {
                kind => one["kind"], received => one["received"].as_i64(), fields,
                before => outcome("before"), after => outcome("after"),
            }
        })
        .collect();
    Ok(context! { all, differ })
}

/// What would change, line by line.
fn compared(looked: &Json) -> Value {
    let (before, after) = (written(&looked["before"]), written(&looked["after"]));
    let diff = TextDiff::from_lines(&before, &after);
    let hunks: Vec<Vec<Value>> = diff
        .unified_diff()
        .context_radius(2)
        .iter_hunks()
        .map(|hunk| {
            hunk.iter_changes()
                .map(|change| {
                    let (sign, kind) = match change.tag() {
                        ChangeTag::Delete => ("−", "gone"),
                        ChangeTag::Insert => ("+", "new"),
                        ChangeTag::Equal => (" ", "same"),
                    };
                    context! { sign, kind, text => change.value().trim_end_matches('\n') }
                })
                .collect()
        })
        .collect();
    context! { unchanged => looked["status"] == "unchanged", hunks }
}

/// `POST /console/{integration}/settings/apply`.
pub(super) async fn apply(visit: Visit, at: At) -> Response {
    let text = visit.form.field("document").unwrap_or_default();
    let Some(seen) = visit.form.field("version").and_then(|version| version.parse().ok()) else {
        let detail = "the form does not say which version it was compared with; compare again";
        return problem(422, "no-version", "Nothing to compare with", detail);
    };
    let typed = match read(&at, text).await {
        Ok(typed) => typed,
        Err(why) => return failed(&why),
    };
    if typed.errors > 0 {
        return asked(visit, at, HeaderMap::new()).await;
    }
    let applied =
        apply_document(&visit.shared, &visit.caller, typed.document, Intent::Act, Some(seen)).await;
    match applied.and_then(view::answered) {
        Ok(_) => see(&format!("/console/{}/settings?done=apply", at.known.integration.slug)),
        Err(response) => response,
    }
}

/// `POST …/settings/versions/{version}/restore`.
pub(super) async fn restore(at: At, Named(version): Named) -> Response {
    match try_rollback(&at, &version).await.and_then(view::answered) {
        Ok(_) => see(&format!("/console/{}/settings?done=restore", at.known.integration.slug)),
        Err(response) => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_says_what_differs_from_its_preset() {
        let a =
            json!({ "x": 1, "fields": { "status": { "max": 3, "pairs": [1, 2] } }, "same": true });
        let b = json!({ "x": 2, "fields": { "status": { "max": 3, "pairs": [1] }, "new": {} }, "same": true });
        let own = difference(&a, &b).unwrap();
        assert_eq!(own, json!({ "x": 2, "fields": { "status": { "pairs": [1] }, "new": {} } }));
        assert_eq!(difference(&a, &a), None);
        let mut taken = Vec::new();
        removed(&b, &a, "", &mut taken);
        assert_eq!(taken, ["fields.new"]);
    }
}
