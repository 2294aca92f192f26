//! What a batch will look at, as far as its events tell: read all at once. A look at each row by itself is a way to the
//! store each, and on a database a way over the network. Nothing depends on it: what is not foreseen is read when it
//! is looked at.

use firn_core::identity;
use firn_core::signature::identity as identity_of_webhook;
use firn_model::{
    CommitError, Delivery, DeliveryState, Event, Inbound, InboundKind, IntegrationId, Key, LinkId,
    PlatformId, TenantId,
};
use serde::Deserialize;

use crate::session::{Session, read_ticket};
use crate::{Doors, rows};

/// As much of a payload as tells what it is about. The rest is not read here.
#[derive(Deserialize)]
struct About {
    sys_id: Option<String>,
    id: Option<String>,
    record: Option<Record>,
}

#[derive(Deserialize)]
struct Record {
    id: Option<String>,
}

/// Reads what the events of a batch are about: the rows that they name, then what those lead to.
pub(crate) fn foresee<D: Doors>(
    session: &mut Session<'_, D>,
    events: &[Event],
) -> Result<(), CommitError> {
    if events.len() < 2 {
        return Ok(());
    }
    session.prefetch(events.iter().flat_map(named).collect())?;
    let due = events.iter().filter_map(|event| match event {
        Event::Due(key) if key.path.starts_with("delivery/") => Some(key),
        _ => None,
    });
    let mut about = Vec::new();
    for key in due {
        let Some(id) = integration(key) else { continue };
        let Some(delivery) = session.get::<Delivery>(key)? else { continue };
        if matches!(delivery.state, DeliveryState::Received | DeliveryState::Waiting) {
            about.extend(leads_to(&key.tenant, &id, &delivery).map(|row| (id, row)));
        }
    }
    session.prefetch(about.iter().map(|(_, row)| row.clone()).collect())?;
    // From tickets to their links.
    let mut links = Vec::new();
    for (id, key) in about.iter().filter(|(_, key)| key.path.starts_with("external/")) {
        let on: Vec<LinkId> = session.get(key)?.unwrap_or_default();
        links.extend(on.iter().map(|link| rows::link(&key.tenant, id, link)));
    }
    session.prefetch(links)
}

fn integration(key: &Key) -> Option<IntegrationId> {
    key.segments().nth(1).and_then(|id| IntegrationId::new(id).ok())
}

/// The rows that an event names.
fn named(event: &Event) -> Vec<Key> {
    match event {
        Event::Inbound(inbound) => {
            let Inbound { tenant, integration, .. } = inbound;
            let known = rows::integration(tenant, integration);
            let seen = identity_of(inbound).map(|of| rows::delivery(tenant, integration, &of));
            std::iter::once(known).chain(seen).collect()
        }
        Event::Operate { .. } => Vec::new(),
        Event::Due(key) => {
            let known = integration(key).map(|id| rows::integration(&key.tenant, &id));
            known.into_iter().chain([key.clone()]).collect()
        }
        Event::Answer(answer) => {
            let row = read_ticket(&answer.tenant, &answer.ticket).map(|(key, ..)| key);
            let known = rows::integration(&answer.tenant, &answer.integration);
            row.into_iter().chain([known]).collect()
        }
    }
}

/// What most likely makes a delivery the same one.
fn identity_of(inbound: &Inbound) -> Option<String> {
    match inbound.kind {
        InboundKind::Webhook => {
            let id = inbound.headers.iter().find(|(name, _)| name == "webhook-id");
            id.map(|(_, id)| identity_of_webhook(id))
        }
        InboundKind::PlatformEvent => {
            let about: About = serde_json::from_str(&inbound.body).ok()?;
            about.id.map(|id| format!("ev-{id}"))
        }
        InboundKind::Escalation => None,
    }
}

/// The row that a delivery leads to: the index of a ticket, or the link of a record.
fn leads_to(tenant: &TenantId, id: &IntegrationId, delivery: &Delivery) -> Option<Key> {
    let about: About = serde_json::from_str(&delivery.body).ok()?;
    match delivery.kind {
        InboundKind::Webhook => Some(rows::by_external(tenant, id, &about.sys_id?)),
        InboundKind::PlatformEvent => {
            let record = PlatformId::new(about.record?.id?).ok()?;
            Some(rows::link(tenant, id, &identity::link_id(id, &record, 1)))
        }
        InboundKind::Escalation => None,
    }
}
