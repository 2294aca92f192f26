//! The overview of all integrations, and of one: how each stands, what flows, and what waits for a person.

use std::sync::Arc;

use axum::response::Response;
use firn_remote::SignInState;
use minijinja::{Value, context};

use super::door::Visit;
use super::{live, view, words};
use crate::api::status::Status;
use crate::api::{At, failed};
use crate::host::now;
use crate::host::pulse::Minute;
use crate::vault::Known;

/// How an integration stands, in a word, with a sentence about it.
struct Health {
    /// `good`, `working`, `waits`, `broken` or `paused`.
    level: &'static str,
    word: String,
    why: String,
}

fn health(known: &Known, status: &Status, sign_in: &SignInState) -> Health {
    let is = |level, word: &str, why: String| Health { level, word: word.to_owned(), why };
    if !known.integration.enabled {
        return is("paused", "paused", "nothing is read or written until it is resumed".to_owned());
    }
    match sign_in {
        SignInState::Good => {}
        SignInState::NeverConnected => {
            return is("broken", "not connected", "nobody has consented yet".to_owned());
        }
        SignInState::NeedsReconnect { why, .. } => {
            return is("broken", "sign-in refused", why.clone());
        }
    }
    if let Some(trouble) = status.polling.iter().find_map(|polled| polled.trouble.clone()) {
        return is("broken", "in trouble", trouble);
    }
    let (conflicts, dead) = (status.open_conflicts, status.dead_letters);
    let s = |n: usize| if n == 1 { "" } else { "s" };
    let words = [
        (conflicts > 0).then(|| format!("{conflicts} conflict{}", s(conflicts))),
        (dead > 0).then(|| format!("{dead} dead letter{}", s(dead))),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    if !words.is_empty() {
        let wait = if conflicts + dead == 1 { "waits" } else { "wait" };
        return is(
            "waits",
            "needs a person",
            format!("{} {wait} for a person", words.join(" and ")),
        );
    }
    if status.backlog > 0 {
        return is("working", "working", format!("{} to go", status.backlog));
    }
    is("good", "in step", "everything is as agreed".to_owned())
}

/// The last hour as bars of a chart of 60 by 24, and what it adds up to.
fn flow(minutes: &[Minute]) -> Value {
    let most =
        minutes.iter().map(|m| m.came.max(m.external + m.platform)).max().unwrap_or(0).max(1);
    let height = |n: u32| (f64::from(n) / f64::from(most) * 22.0).ceil();
    let bars: Vec<Value> = minutes
        .iter()
        .enumerate()
        .filter(|(_, m)| m.came + m.external + m.platform > 0)
        .map(|(x, m)| context! { x, came => height(m.came), wrote => height(m.external + m.platform) })
        .collect();
    let sum = |of: fn(&Minute) -> u32| minutes.iter().map(of).sum::<u32>();
    let last = minutes.iter().rev().nth(1).copied().unwrap_or_default();
    context! {
        bars, most,
        came => sum(|m| m.came), external => sum(|m| m.external), platform => sum(|m| m.platform),
        last => context! { came => last.came, wrote => last.external + last.platform },
    }
}

async fn shown(visit: &Visit, known: &Arc<Known>) -> anyhow::Result<Value> {
    let host = &visit.shared.host;
    let (status, _) = visit.shared.standing(known).await?;
    let sign_in = host.sign_in(known);
    let Health { level, word, why } = health(known, &status, &sign_in);
    let now = now();
    let granted = known.target().granted.filter(|granted| granted.refresh.is_some());
    let sign_in_words = match &sign_in {
        SignInState::Good => "good".to_owned(),
        SignInState::NeverConnected => "never connected".to_owned(),
        SignInState::NeedsReconnect { .. } => "needs reconnect".to_owned(),
    };
    let integration = &known.integration;
    Ok(context! {
        slug => integration.slug, name => integration.name, tenant => integration.tenant,
        base_url => integration.base_url, preset => integration.settings.preset,
        path => format!("/console/{}", integration.slug),
        status => Value::from_serialize(&*status),
        health => context! { level, word, why },
        lag => status.caught_up.map(|seen| lag(now.since(seen))),
        sign_in => sign_in_words,
        sign_in_ends => granted.map(|granted| granted.refresh_ends),
        flow => flow(&host.pulse().minutes(&integration.id, now)),
    })
}

/// How far behind polling is, in words. It looks every few seconds: less than a minute is nothing.
fn lag(millis: i64) -> String {
    match millis {
        ..60_000 => "a moment ago".to_owned(),
        _ => words::since(millis),
    }
}

/// `GET /`.
pub(super) async fn all(visit: Visit) -> Response {
    let mut known: Vec<Arc<Known>> = visit.shared.host.vault().all();
    known.retain(|known| visit.caller.sees_integration(&known.integration));
    known.sort_by(|a, b| a.integration.name.cmp(&b.integration.name));
    let mut integrations = Vec::new();
    for known in &known {
        match shown(&visit, known).await {
            Ok(shown) => integrations.push(shown),
            Err(why) => return failed(&why),
        }
    }
    view::page(&visit, "overview.html", "Overview", context! { integrations })
}

/// `GET /console/{integration}`.
pub(super) async fn one(visit: Visit, at: At) -> Response {
    let integration = match shown(&visit, &at.known).await {
        Ok(shown) => shown,
        Err(why) => return failed(&why),
    };
    let (host, id) = (at.host().clone(), at.id().clone());
    let beats = tokio::task::spawn_blocking(move || live::latest(&host, &id)).await;
    let beats = match beats {
        Ok(beats) => beats,
        Err(why) => return failed(&why.into()),
    };
    let with = context! { integration, beats };
    view::page_at(&visit, &at, ("integration.html", "overview", "Overview"), with).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_a_chart() {
        let mut minutes = vec![Minute::default(); 60];
        minutes[58] = Minute { minute: 58, came: 10, external: 3, platform: 1 };
        minutes[3] = Minute { minute: 3, came: 0, external: 0, platform: 1 };
        let flow = serde_json::to_value(flow(&minutes)).unwrap();
        assert_eq!(
            (&flow["came"], &flow["external"], &flow["platform"]),
            (&10.into(), &3.into(), &2.into())
        );
        assert_eq!(flow["last"]["came"], 10);
        let bars = flow["bars"].as_array().unwrap();
        assert_eq!((bars.len(), &bars[1]["x"], &bars[1]["came"]), (2, &58.into(), &22.0.into()));
        // What is there is seen, however little it is.
        assert_eq!(bars[0]["wrote"], 3.0);
        assert_eq!(lag(2_000), "a moment ago");
        assert_eq!(lag(600_000), "10 min ago");
    }
}
