//! Admission: is it genuine, can it be read, is it new? Then one durable row, and only then an
//! answer. What cannot be understood is kept, with its reason; what is not genuine is refused.

use firn_core::escalation::{self, Escalation, Standing, Ticket};
use firn_core::settings::{Gate, Rules};
use firn_core::{identity, intake, json, learning, signature};
use firn_model::{
    Audit, ClosedPolicy, CommitError, Delivery, DeliveryState, Ended, Entry, Finding, FindingKind,
    Hook, Inbound, InboundKind, Link, LinkId, PlatformId, Problem, Quarantined, Reply, Role,
    TableName, TenantId, Tombstone,
};
use serde_json::json;

use crate::session::Session;
use crate::{Doors, Signature, rows};

pub(crate) fn inbound<D: Doors>(
    session: &mut Session<'_, D>,
    inbound: &Inbound,
) -> Result<(), CommitError> {
    let Some(rules) = session.rules(&inbound.tenant, &inbound.integration)? else {
        let detail = format!("there is no integration {}; check the address", inbound.integration);
        session.problem(
            inbound.request,
            &Problem::new(404, "unknown-integration", "Unknown integration", detail),
        );
        return Ok(());
    };
    match inbound.kind {
        InboundKind::Webhook => webhook(session, &rules, inbound),
        InboundKind::PlatformEvent => event(session, &rules, inbound),
        InboundKind::Escalation => escalate(session, &rules, inbound),
    }
}

// ---- ServiceNow's webhook --------------------------------------------------------------------

fn webhook<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    inbound: &Inbound,
) -> Result<(), CommitError> {
    let signed = match genuine(session, rules, inbound) {
        Ok(signed) => signed,
        Err(problem) => {
            session.problem(inbound.request, &problem);
            return Ok(());
        }
    };
    if let Some(nonce) = intake::ping(&inbound.body) {
        session.reply(inbound.request, 200, &json!({ "status": "pong", "nonce": nonce }));
        return Ok(());
    }
    if shut_out(session, rules, inbound, Gate::Webhooks)? {
        return Ok(());
    }
    let observation = intake::servicenow(rules, &inbound.body);
    let identity = signed
        .unwrap_or_else(|| intake::webhook_identity(observation.as_ref().ok(), &inbound.body));
    receive(session, rules, inbound, &identity, observation.err())
}

/// Checks who sent a webhook. Gives its id, where the scheme has one.
fn genuine<D: Doors>(
    session: &Session<'_, D>,
    rules: &Rules,
    inbound: &Inbound,
) -> Result<Option<String>, Problem> {
    let policy = &rules.settings().webhook;
    let signed = signature::read(policy, &inbound.headers, &inbound.body, session.now)?;
    let (tenant, id) = (&inbound.tenant, &inbound.integration);
    match session.doors.verify(tenant, id, signed.scheme, &signed.message, &signed.signatures) {
        Signature::Valid => Ok(signed.stamp.map(|stamp| stamp.identity())),
        Signature::Invalid => Err(signature::refusal(
            "the signature does not match; check the webhook secret on both sides",
        )),
        Signature::NoSecret => {
            Err(signature::refusal("the integration has no webhook secret yet; provision it first"))
        }
    }
}

// ---- the platform's events -------------------------------------------------------------------

fn event<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    inbound: &Inbound,
) -> Result<(), CommitError> {
    if let Err(why) = json::object(&inbound.body) {
        session.problem(inbound.request, &malformed(&why));
        return Ok(());
    }
    if shut_out(session, rules, inbound, Gate::Events)? {
        return Ok(());
    }
    match intake::platform(rules, &inbound.body) {
        Ok(event) => receive(session, rules, inbound, &format!("ev-{}", event.id), None),
        Err(why) => unusable(session, rules, inbound, &why),
    }
}

/// Whether a filter keeps a payload out. If so it is answered, and noted in the audit. A filter
/// that cannot be evaluated on a payload keeps nothing out; that is told.
fn shut_out<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    inbound: &Inbound,
    gate: Gate,
) -> Result<bool, CommitError> {
    if !rules.has_filter(gate) {
        return Ok(false);
    }
    let Ok(payload) = json::object(&inbound.body) else { return Ok(false) };
    let filters = &rules.settings().filters;
    let (name, filter) = match gate {
        Gate::Webhooks => ("filters.webhooks", &filters.webhooks),
        _ => ("filters.events", &filters.events),
    };
    match rules.lets_in(gate, &json!({ "payload": payload })) {
        Ok(true) => return Ok(false),
        Ok(false) => {}
        Err(why) => {
            let why = format!("{name} cannot be evaluated on a payload, which is let in: {why}");
            session.filter_failed(&inbound.tenant, &inbound.integration, why)?;
            return Ok(false);
        }
    }
    filtered(
        session,
        inbound,
        &format!("{name} excludes it: {}", filter.as_deref().unwrap_or_default()),
    )?;
    Ok(true)
}

fn filtered<D: Doors>(
    session: &mut Session<'_, D>,
    inbound: &Inbound,
    why: &str,
) -> Result<(), CommitError> {
    let line = Audit {
        integration: inbound.integration.clone(),
        link: None,
        at: session.now,
        event: "filtered".to_owned(),
        // What tells one payload from another, and tells nothing of it.
        key: Some(identity::short(&["filtered", &inbound.body])),
        side: None,
        fields: Vec::new(),
        note: Some(why.to_owned()),
    };
    session.audit(&inbound.tenant, &line)?;
    session.reply(inbound.request, 200, &json!({ "status": "filtered", "reason": why }));
    Ok(())
}

fn malformed(why: &str) -> Problem {
    Problem::new(400, "malformed-json", "The body is not a JSON object that we take", why)
}

// ---- escalations -----------------------------------------------------------------------------

fn escalate<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    inbound: &Inbound,
) -> Result<(), CommitError> {
    if let Err(why) = json::object(&inbound.body) {
        session.problem(inbound.request, &malformed(&why));
        return Ok(());
    }
    match escalation::read(rules, &inbound.body, session.now) {
        Err(why) => unusable(session, rules, inbound, &why),
        Ok(Escalation::Filtered(why)) => filtered(session, inbound, &why),
        Ok(Escalation::Ticket(ticket)) => {
            let ticket = ticket.beside(learning::show(rules, &inbound.like), session.now);
            open(session, rules, inbound, ticket)
        }
    }
}

/// One link per conversation or call, however often it is asked for. The intent is stored before
/// anything is sent. What a ticket that is closed already leads to is a policy; the same request
/// again is never a new wish.
fn open<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    inbound: &Inbound,
    ticket: Ticket,
) -> Result<(), CommitError> {
    let (tenant, id) = (&inbound.tenant, &inbound.integration);
    let asked = identity::short(&["asked", &inbound.body]);
    let Some(mut link) = session.current(tenant, id, &ticket.record)? else {
        return make(session, rules, inbound, ticket, asked, None);
    };
    if let Some(Tombstone { why: Ended::Declined { why }, .. }) = &link.tombstone {
        // It was no wish then; perhaps it is one now.
        if asked_before(session, tenant, &ticket.record, &link, &asked)? || !rules.asks(Hook::Admit)
        {
            session.reply(inbound.request, 200, &json!({ "status": "filtered", "reason": why }));
            return Ok(());
        }
        return make(session, rules, inbound, ticket, asked, Some(link));
    }
    if asked_before(session, tenant, &ticket.record, &link, &asked)? {
        return existing(session, inbound, &link, "existing");
    }
    if link.has_nothing_to_come() {
        return begin_again(session, rules, inbound, ticket, asked, link);
    }
    let policy = rules.settings().correlation.closed;
    let status = match (escalation::standing(rules, &link), policy) {
        (Standing::Open, _)
        | (Standing::Resolved | Standing::Closed | Standing::Canceled, ClosedPolicy::Append) => {
            "existing"
        }
        (Standing::Resolved, ClosedPolicy::Reopen) => {
            reopen(session, tenant, rules, &mut link)?;
            "reopened"
        }
        (Standing::Ended, ClosedPolicy::Append | ClosedPolicy::Reopen) => {
            return gone(session, inbound, &link);
        }
        // ServiceNow does not let a closed ticket be opened again: another one takes its place.
        (Standing::Closed | Standing::Canceled, ClosedPolicy::Reopen) | (_, ClosedPolicy::New) => {
            return make(session, rules, inbound, ticket, asked, Some(link));
        }
    };
    keep(session, inbound, &asked, &link.id, "added to")?;
    link.asked.push(asked);
    let known = |link: &Link, entry: &Entry| link.entries.iter().any(|e| e.origin == entry.origin);
    let evidence = ticket.said_again().filter(|e| !known(&link, e));
    link.entries.extend(evidence);
    let at_rest = link.clone();
    session.advance(tenant, rules, link, &[])?;
    existing(session, inbound, &at_rest, status)
}

/// Whether this very request asked for the record's ticket of this generation or an earlier one. (The link of one that
/// was forgotten does not say its record's name any more.)
fn asked_before<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    record: &PlatformId,
    link: &Link,
    asked: &String,
) -> Result<bool, CommitError> {
    for generation in 1..=link.generation {
        let id = identity::link_id(&link.integration, record, generation);
        let known = session.link(tenant, &link.integration, &id)?;
        if known.is_some_and(|l| l.asked.contains(asked)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn existing<D: Doors>(
    session: &mut Session<'_, D>,
    inbound: &Inbound,
    link: &Link,
    status: &str,
) -> Result<(), CommitError> {
    if link.external.is_none() && link.tombstone.is_some() {
        return gone(session, inbound, link);
    }
    let reply = match &link.external {
        Some(external) => Reply {
            status: 200,
            body: json!({ "status": status, "link": link.id, "sys_id": external.sys_id, "number": external.number }).to_string(),
            waits_for: None,
            first: false,
        },
        None => Reply {
            status: 202,
            body: json!({ "status": "pending", "link": link.id }).to_string(),
            waits_for: Some(link.id.clone()),
            first: false,
        },
    };
    session.answer(inbound.request, reply);
    Ok(())
}

/// Lets a link's ticket be opened again by the link that speaks for it.
fn reopen<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
    link: &mut Link,
) -> Result<(), CommitError> {
    let speaks = match (&link.external, link.role) {
        (Some(external), Role::Secondary) => {
            let sys_id = external.sys_id.as_str().to_owned();
            session.linked(tenant, rules.id(), &sys_id)?.into_iter().next()
        }
        _ => None,
    };
    match speaks.filter(|speaks| speaks.id != link.id) {
        Some(mut speaks) => {
            escalation::reopen(rules, &mut speaks);
            session.advance(tenant, rules, speaks, &[])
        }
        None => {
            escalation::reopen(rules, link);
            Ok(())
        }
    }
}

/// The ticket was deleted, or a person took the pair apart, and the policy wants no other one: nothing is written, and whoever
/// asked is told so in a way that nobody takes for a success.
fn gone<D: Doors>(
    session: &mut Session<'_, D>,
    inbound: &Inbound,
    link: &Link,
) -> Result<(), CommitError> {
    let name = match &link.external {
        Some(external) => match &external.number {
            Some(number) => number.clone(),
            None => external.sys_id.to_string(),
        },
        None => "it never had a ticket".to_owned(),
    };
    let text = format!(
        "an escalation came in whose pair is at rest ({name}): its ticket was deleted, or somebody took the pair apart. Nothing was written; with correlation.closed = \"new\" another ticket would be made"
    );
    if !link.is_forgotten() {
        let finding = Finding {
            kind: FindingKind::RecordGone,
            integration: inbound.integration.clone(),
            link: Some(link.id.clone()),
            field: None,
            text: text.clone(),
            at: session.now,
        };
        session.find(&inbound.tenant, &finding)?;
    }
    let problem = Problem::new(410, "ticket-gone", "The ticket is gone", text);
    let mut body = serde_json::to_value(problem).unwrap_or_default();
    body["link"] = json!(link.id);
    if let Some(external) = &link.external {
        body["sys_id"] = json!(external.sys_id);
        body["number"] = json!(external.number);
    }
    session.reply(inbound.request, 410, &body);
    Ok(())
}

/// The link of a ticket to be; after `earlier`, if that one's ticket is closed.
fn make<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    inbound: &Inbound,
    ticket: Ticket,
    asked: String,
    earlier: Option<Link>,
) -> Result<(), CommitError> {
    let (tenant, id) = (&inbound.tenant, &inbound.integration);
    let generation = earlier.as_ref().map_or(1, |link| link.generation + 1);
    let mut link = new_link(session, tenant, rules, &ticket.record, generation, ticket.table)?;
    link.draft = Some(ticket.draft);
    link.beginning = rules.beginning();
    link.entries.extend(ticket.evidence);
    link.asked.push(asked.clone());
    keep(session, inbound, &asked, &link.id, "opened")?;
    let key = rows::link(tenant, id, &link.id);
    if rules.asks(Hook::Admit) {
        let name = link.id.clone();
        session.advance(tenant, rules, link.clone(), &[])?;
        if declined(session, inbound, &name)? {
            return Ok(());
        }
    } else {
        session.put(&key, &link, Some(session.now))?;
    }
    // Only now: one that is not wanted takes over from nobody.
    if let Some(mut earlier) = earlier {
        earlier.successor = Some(link.id.clone());
        session.advance(tenant, rules, earlier, &[])?;
    }
    accepted(session, inbound, link.id);
    Ok(())
}

/// A pair that nothing comes of any more by itself (its ticket was refused and that was discarded, or the one that it was to be
/// attached to is not there) makes its ticket for whoever asks for it now.
fn begin_again<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    inbound: &Inbound,
    ticket: Ticket,
    asked: String,
    mut link: Link,
) -> Result<(), CommitError> {
    let id = link.id.clone();
    link.draft = Some(ticket.draft);
    link.beginning = rules.beginning();
    link.table = ticket.table;
    link.external_side.halted = false;
    let known = |e: &Entry| link.entries.iter().any(|known| known.origin == e.origin);
    let evidence = ticket.evidence.filter(|e| !known(e));
    link.entries.extend(evidence);
    link.asked.retain(|known| *known != asked);
    link.asked.push(asked.clone());
    keep(session, inbound, &asked, &id, "opened")?;
    session.advance(&inbound.tenant, rules, link, &[])?;
    if !declined(session, inbound, &id)? {
        accepted(session, inbound, id);
    }
    Ok(())
}

/// Whether the tenant's rules declined a link at once. If so that is the answer.
fn declined<D: Doors>(
    session: &mut Session<'_, D>,
    inbound: &Inbound,
    link: &LinkId,
) -> Result<bool, CommitError> {
    let link = session.link(&inbound.tenant, &inbound.integration, link)?;
    let Some(Tombstone { why: Ended::Declined { why }, .. }) = link.and_then(|l| l.tombstone)
    else {
        return Ok(false);
    };
    session.reply(inbound.request, 200, &json!({ "status": "filtered", "reason": why }));
    Ok(true)
}

/// Keeps an escalation like what else comes in: for trying other settings and rules on it.
fn keep<D: Doors>(
    session: &mut Session<'_, D>,
    inbound: &Inbound,
    asked: &str,
    link: &LinkId,
    what: &str,
) -> Result<(), CommitError> {
    let delivery = Delivery {
        identity: format!("es-{asked}"),
        kind: inbound.kind,
        body: inbound.body.clone(),
        received: session.now,
        state: DeliveryState::Done(format!("{what} {link}")),
        links: vec![link.clone()],
    };
    let end = session.now.plus(crate::work::RETENTION);
    let key = rows::delivery(&inbound.tenant, &inbound.integration, &delivery.identity);
    session.put(&key, &delivery, Some(end))
}

fn accepted<D: Doors>(session: &mut Session<'_, D>, inbound: &Inbound, link: LinkId) {
    let reply = Reply {
        status: 202,
        body: json!({ "status": "accepted", "link": link }).to_string(),
        waits_for: Some(link),
        first: true,
    };
    session.answer(inbound.request, reply);
}

/// A new link, findable by its key from now on.
pub(crate) fn new_link<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    rules: &Rules,
    record: &PlatformId,
    generation: u32,
    table: TableName,
) -> Result<Link, CommitError> {
    let id = identity::link_id(rules.id(), record, generation);
    // Read, so that one that somebody else makes at the same time is not written over.
    session.exists(&rows::link(tenant, rules.id(), &id))?;
    let key = identity::correlation_key(record, generation);
    let mut link = Link::new(id, rules.id().clone(), record.clone(), key, table, session.now);
    link.generation = generation;
    session.put(&rows::by_key(tenant, rules.id(), link.key.as_str()), &link.id, None)?;
    Ok(link)
}

// ---- one row ---------------------------------------------------------------------------------

/// Keeps a delivery, once. One that cannot be understood is kept in quarantine: its sender will
/// not send it again.
fn receive<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    inbound: &Inbound,
    identity: &str,
    fault: Option<String>,
) -> Result<(), CommitError> {
    let key = rows::delivery(&inbound.tenant, &inbound.integration, identity);
    if session.exists(&key)? {
        session.reply(
            inbound.request,
            202,
            &json!({ "status": "duplicate", "delivery": identity }),
        );
        return Ok(());
    }
    let (state, due) = match &fault {
        None => (DeliveryState::Received, session.now),
        Some(why) => {
            (DeliveryState::Quarantined(why.clone()), session.now.plus(crate::work::RETENTION))
        }
    };
    let delivery = Delivery {
        identity: identity.to_owned(),
        kind: inbound.kind,
        body: inbound.body.clone(),
        received: session.now,
        state,
        links: Vec::new(),
    };
    session.put(&key, &delivery, Some(due))?;
    match fault {
        None => session.reply(
            inbound.request,
            202,
            &json!({ "status": "accepted", "delivery": identity }),
        ),
        Some(why) => {
            let why = rules.masks().shown(&why);
            let id = quarantine(session, &inbound.tenant, inbound, &why)?;
            session.reply(
                inbound.request,
                202,
                &json!({ "status": "quarantined", "quarantine": id, "reason": why }),
            );
        }
    }
    Ok(())
}

/// A request whose sender can mend it is told so, and kept all the same.
fn unusable<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    inbound: &Inbound,
    why: &str,
) -> Result<(), CommitError> {
    let why = &rules.masks().shown(why);
    let id = quarantine(session, &inbound.tenant, inbound, why)?;
    let mut body = serde_json::to_value(Problem::new(
        422,
        "unusable-payload",
        "The payload cannot be used",
        format!("{why}. It is kept in quarantine as {id}"),
    ))
    .unwrap_or_default();
    body["quarantine"] = json!(id);
    session.reply(inbound.request, 422, &body);
    Ok(())
}

fn quarantine<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    inbound: &Inbound,
    why: &str,
) -> Result<String, CommitError> {
    let id = format!("q-{}", identity::short(&["quarantine", &inbound.body]));
    let row = Quarantined {
        id: id.clone(),
        integration: inbound.integration.clone(),
        kind: inbound.kind,
        reason: why.to_owned(),
        body: inbound.body.clone(),
        at: session.now,
    };
    // Kept as long as what could be read.
    let end = session.now.plus(crate::work::RETENTION);
    session.put(&rows::quarantine(tenant, &inbound.integration, &id), &row, Some(end))?;
    let finding = Finding {
        kind: FindingKind::Quarantined,
        integration: inbound.integration.clone(),
        link: None,
        field: None,
        text: format!("a payload was put into quarantine as {id}: {}", why),
        at: session.now,
    };
    session.find(tenant, &finding)?;
    Ok(id)
}
