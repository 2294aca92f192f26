//! How an integration stands: links, backlog, what waits for a person, polling, the sign-in.

use axum::response::Response;
use firn_model::{
    Conflict, ConflictState, DeadLetter, DeadState, Delivery, DeliveryState, Finding, Integration,
    IntegrationId, Link, Millis, Pace, Polling, Sweep, rfc3339_text,
};
use firn_remote::SignInState;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Shared;
use super::at::{At, answer};
use super::records::settled;
use crate::vault::Known;

/// How an integration stands.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Status {
    integration: IntegrationId,
    name: String,
    /// Off while it is paused.
    enabled: bool,
    pub(crate) links: usize,
    /// Links and deliveries that something is left to do for.
    pub(crate) backlog: usize,
    pub(crate) deliveries_waiting: usize,
    pub(crate) dead_letters: usize,
    pub(crate) open_conflicts: usize,
    pub(crate) findings: usize,
    /// How the sign-in stands, in a few words.
    pub(crate) sign_in: String,
    /// Up to when everything that happened at the instance has been seen, whatever its webhooks told.
    caught_up_at: Option<String>,
    /// The same instant.
    #[serde(skip)]
    pub(crate) caught_up: Option<Millis>,
    pub(crate) polling: Vec<Polled>,
}

/// How the polling of a table stands.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Polled {
    table: String,
    caught_up_at: Option<String>,
    /// Whether webhooks of it arrive, in a few words.
    webhooks: &'static str,
    /// What hinders it, if anything.
    pub(crate) trouble: Option<String>,
}

pub(crate) async fn status(at: At) -> Response {
    // It reads all there is: others go on meanwhile.
    let looked = tokio::task::spawn_blocking(move || look(&at.shared, &at.known)).await;
    answer(looked.unwrap_or_else(|why| Err(why.into())))
}

/// How integrations stood when somebody looked last. Looking reads all there is: of many who look at once one
/// does, and what was seen holds until something happens, then for twenty times as long as looking took.
#[derive(Default)]
pub(crate) struct Stood(Mutex<BTreeMap<IntegrationId, Arc<tokio::sync::Mutex<Option<Look>>>>>);

struct Look {
    at: Instant,
    took: Duration,
    /// How much had happened to it by then.
    beat: u64,
    status: Arc<Status>,
}

impl Shared {
    /// How an integration stands, or stood a moment ago; then also for how long that is all one is told.
    pub(crate) async fn standing(
        &self,
        known: &Arc<Known>,
    ) -> anyhow::Result<(Arc<Status>, Option<Duration>)> {
        /// What happens at the instance, and a clock that goes on, are no beats.
        const OLD: Duration = Duration::from_secs(5);
        let id = &known.integration.id;
        let place = {
            let mut all = self.stood.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(id.clone()).or_default())
        };
        let mut place = place.lock().await;
        if let Some(Look { at, took, beat, status }) = &*place {
            let age = at.elapsed();
            if age < OLD && *beat == self.host.pulse().count_of(id) {
                return Ok((Arc::clone(status), None));
            }
            if let Some(left) = (*took * 20).checked_sub(age) {
                return Ok((Arc::clone(status), Some(left)));
            }
        }
        let (shared, known) = (self.clone(), Arc::clone(known));
        let (at, beat) = (Instant::now(), self.host.pulse().count_of(id));
        let status = tokio::task::spawn_blocking(move || look(&shared, &known)).await??;
        let status = Arc::new(status);
        *place = Some(Look { at, took: at.elapsed(), beat, status: Arc::clone(&status) });
        Ok((status, None))
    }

    /// An integration is gone.
    pub(crate) fn forget_standing(&self, id: &IntegrationId) {
        self.stood.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

fn look(shared: &Shared, known: &Known) -> anyhow::Result<Status> {
    // All are counted, and how many are those.
    fn count<T: DeserializeOwned>(
        shared: &Shared,
        known: &Known,
        kind: &str,
        those: impl Fn(&T) -> bool,
    ) -> anyhow::Result<(usize, usize)> {
        let Integration { tenant, id, .. } = &known.integration;
        let (mut all, mut of_those) = (0, 0);
        shared.host.each(tenant, &format!("{kind}/{id}/"), |_, row: T| {
            all += 1;
            of_those += usize::from(those(&row));
        })?;
        Ok((all, of_those))
    }
    let (links, unsettled) = count(shared, known, "link", |link: &Link| !settled(link))?;
    let received = |delivery: &Delivery| delivery.state == DeliveryState::Received;
    let (_, waiting) = count(shared, known, "delivery", received)?;
    let open = |conflict: &Conflict| conflict.state == ConflictState::Open;
    let (_, open_conflicts) = count(shared, known, "conflict", open)?;
    let (findings, _) = count(shared, known, "finding", |_: &Finding| true)?;
    let (_, dead) =
        count(shared, known, "dead", |letter: &DeadLetter| letter.state == DeadState::Waiting)?;
    let Integration { tenant, id, .. } = &known.integration;
    let mut sweeps: Vec<Sweep> = shared.host.rows(tenant, &format!("sweep/{id}/"))?;
    // A table may have been polled once.
    let streams = known.integration.streams();
    sweeps.retain(|sweep| streams.contains(&sweep.stream));
    let alone = known.integration.settings.polling.mode == Polling::Alone;
    let sign_in = match shared.host.sign_in(known) {
        SignInState::Good => "good".to_owned(),
        SignInState::NeverConnected => "never connected; run firn integration connect".to_owned(),
        SignInState::NeedsReconnect { why, .. } => format!("needs reconnect: {why}"),
    };
    // That of the table that is furthest behind.
    let caught_up = sweeps.iter().map(|sweep| sweep.caught_up).min().flatten();
    Ok(Status {
        integration: known.integration.id.clone(),
        name: known.integration.name.clone(),
        enabled: known.integration.enabled,
        links,
        backlog: unsettled + waiting,
        deliveries_waiting: waiting,
        dead_letters: dead,
        open_conflicts,
        findings,
        sign_in,
        caught_up_at: caught_up.map(rfc3339_text),
        caught_up,
        polling: sweeps.iter().map(|sweep| polled(sweep, alone)).collect(),
    })
}

fn polled(sweep: &Sweep, alone: bool) -> Polled {
    let webhooks = match sweep.pace {
        _ if alone => "are not expected",
        Pace::Behind => "arrive",
        Pace::Alone { .. } => "do not arrive",
        Pace::Trial { .. } => "are given time to arrive",
    };
    Polled {
        table: sweep.stream.to_string(),
        caught_up_at: sweep.caught_up.map(rfc3339_text),
        webhooks,
        trouble: sweep.trouble.clone(),
    }
}
