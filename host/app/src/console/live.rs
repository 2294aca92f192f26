//! The live feed: what happens, told to open pages as it happens (server-sent events). A line of the feed is
//! sent as it is shown; of everything else a page is told what changed, and asks for itself again.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use firn_model::{IntegrationId, Link};
use futures_util::stream;
use minijinja::{Value, context};
use serde::Deserialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::Instant;

use super::door::Visit;
use super::{view, words};
use crate::api::{Asks, problem};
use crate::host::Host;
use crate::host::pulse::{Beat, What, kind_of};

/// How long beats are gathered before they are told.
const GATHERED: Duration = Duration::from_millis(200);
/// The most lines that are told at once; the rest is counted.
const LINES: usize = 20;
/// How often it is looked whether whoever watches is signed in still.
const STANDS: Duration = Duration::from_secs(3);
/// How many pages are told, of everybody and of one caller.
const WATCHERS: usize = 256;
const OF_ONE: usize = 32;

#[derive(Deserialize)]
pub(super) struct Which {
    integration: Option<IntegrationId>,
}

/// How many pages of each caller are told what happens.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<BTreeMap<String, usize>>);

impl Watchers {
    fn place(self: &Arc<Self>, caller: &str) -> Option<Place> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = all.get(caller).copied().unwrap_or_default();
        if theirs >= OF_ONE || all.values().sum::<usize>() >= WATCHERS {
            return None;
        }
        all.insert(caller.to_owned(), theirs + 1);
        Some(Place { watchers: Arc::clone(self), caller: caller.to_owned() })
    }
}

/// One page's place among them.
struct Place {
    watchers: Arc<Watchers>,
    caller: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.watchers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(theirs) = all.get_mut(&self.caller) {
            *theirs -= 1;
            if *theirs == 0 {
                all.remove(&self.caller);
            }
        }
    }
}

struct Watch {
    visit: Visit,
    integration: Option<IntegrationId>,
    beats: broadcast::Receiver<Arc<Beat>>,
    /// When it is looked again whether they are signed in.
    look: Instant,
    /// How much had happened when it began, until that is told.
    begins: Option<u64>,
    _place: Place,
}

/// `GET /console/live`.
pub(super) async fn live(visit: Visit, Asks(Which { integration }): Asks<Which>) -> Response {
    let pulse = visit.shared.host.pulse();
    let Some(beats) = pulse.watch() else {
        return problem(503, "stopping", "Firn is stopping", "it will be back");
    };
    let Some(place) = visit.shared.watchers.place(&visit.caller.name) else {
        let detail =
            "too many pages are open already; this one is brought up to date when it is loaded";
        return problem(503, "too-many", "Too many are watching", detail);
    };
    let begins = Some(pulse.count(visit.caller.tenant.as_ref()));
    let look = Instant::now() + STANDS;
    let watch = Watch { visit, integration, beats, look, begins, _place: place };
    let events = stream::unfold(watch, |mut watch| async move {
        let told = watch.next().await?;
        Some((Ok::<_, Infallible>(told), watch))
    });
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)));
    // What stands between must not gather what is told (nginx).
    ([("x-accel-buffering", "no")], stream).into_response()
}

impl Watch {
    /// What to tell next; `None` ends the stream, and the browser comes again.
    async fn next(&mut self) -> Option<Event> {
        if let Some(beat) = self.begins.take() {
            return Some(Event::default().event("begin").data(beat.to_string()));
        }
        loop {
            let first = tokio::select! {
                beat = self.beats.recv() => beat,
                () = tokio::time::sleep_until(self.look) => Err(RecvError::Lagged(0)),
            };
            if Instant::now() >= self.look {
                if !self.visit.stands() {
                    return None;
                }
                self.look = Instant::now() + STANDS;
            }
            let (mut beats, mut missed) = (Vec::new(), false);
            match first {
                Ok(beat) => beats.push(beat),
                Err(RecvError::Lagged(0)) => continue,
                Err(RecvError::Lagged(_)) => missed = true,
                Err(RecvError::Closed) => return None,
            }
            tokio::time::sleep(GATHERED).await;
            loop {
                match self.beats.try_recv() {
                    Ok(beat) => beats.push(beat),
                    Err(TryRecvError::Lagged(_)) => missed = true,
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            let mine = |beat: &&Arc<Beat>| {
                self.visit.caller.sees(&beat.tenant)
                    && self.integration.as_ref().is_none_or(|id| *id == beat.integration)
            };
            let beats: Vec<_> = beats.iter().filter(mine).cloned().collect();
            if beats.is_empty() && !missed {
                continue;
            }
            let host = Arc::clone(&self.visit.shared.host);
            let told = tokio::task::spawn_blocking(move || told(&host, &beats, missed)).await;
            return told.ok();
        }
    }
}

/// What is told of some beats: `{"topics": [...], "lines": "<li>...</li>", "erased": false}`.
fn told(host: &Host, beats: &[Arc<Beat>], missed: bool) -> Event {
    let topics: BTreeSet<&str> = beats
        .iter()
        .filter_map(|beat| match &beat.what {
            What::Changed(topic) => Some(topic.name()),
            _ => None,
        })
        .chain(missed.then_some("everything"))
        .collect();
    let lines: Vec<&Arc<Beat>> =
        beats.iter().filter(|b| !matches!(b.what, What::Changed(_) | What::Erased)).collect();
    let erased = beats.iter().any(|beat| matches!(beat.what, What::Erased));
    let left = lines.len().saturating_sub(LINES);
    let shown: Vec<Value> = lines.iter().rev().take(LINES).map(|beat| line(host, beat)).collect();
    let lines = view::part("beat.html", &context! { beats => shown, left, missed });
    let lines = lines.unwrap_or_default();
    Event::default()
        .data(serde_json::json!({ "topics": topics, "lines": lines, "erased": erased }).to_string())
}

/// The latest lines of an integration, newest first.
pub(super) fn latest(host: &Host, id: &IntegrationId) -> Vec<Value> {
    host.pulse().latest(id).iter().rev().take(30).map(|beat| line(host, beat)).collect()
}

/// A line of the feed.
fn line(host: &Host, beat: &Beat) -> Value {
    let slug = host.vault().get(&beat.integration).map(|known| known.integration.slug.clone());
    let slug = slug.unwrap_or_else(|| beat.integration.to_string());
    let number = |link: Option<&firn_model::LinkId>| {
        let link = link?;
        let found: Option<Link> = host
            .row(&beat.tenant, &["link", beat.integration.as_str(), link.as_str()])
            .ok()
            .flatten();
        let number = found.and_then(|link| link.external?.number);
        Some(context! { id => link, name => number.unwrap_or_else(|| link.to_string()) })
    };
    match &beat.what {
        What::Line(line) => context! {
            at => line.at.0, slug, link => number(line.link.as_ref()), event => line.event, kind => "line",
            text => words::of_line(line),
        },
        What::Finding(finding) => context! {
            at => finding.at.0, slug, link => number(finding.link.as_ref()), event => kind_of(finding.kind),
            kind => "finding", text => finding.text,
        },
        What::Changed(_) | What::Erased => context! {
            at => 0, slug, link => None::<()>, event => "", kind => "changed", text => "",
        },
    }
}
