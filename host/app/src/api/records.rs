//! What an operator looks at and mends: links, conflicts, what came in, the audit. Reading comes
//! from the store; changing goes through the engine. Values are shown masked: what the engine stores for
//! these screens is masked already, and links show no values at all.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;
use firn_model::{
    Audit, Conflict, ConflictId, ConflictState, CorrelationKey, Delivery, DeliveryState, Ended,
    InboundKind, Link, LinkId, Millis, Mirror, Operation, ParkedWhy, PlatformId, Quarantined,
    Resolution, Role, Side, SysId, TableName, TicketName, Value, Verb,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::at::{Asks, At, Named, Page, answer, answer_one, not_found};
use super::{json, problem};
use crate::host::link_id;

/// A side of a link, as shown.
#[derive(Serialize, JsonSchema)]
struct ShownSide {
    /// What is being written there, if anything.
    writing: Option<&'static str>,
    /// How often in a row something failed there.
    failures: u32,
    /// Nothing is begun before then. Milliseconds since 1970.
    not_before: Option<Millis>,
    /// Whether its record was not found when it was last asked for.
    missing: bool,
    /// Whether a refusal for good waits for a person.
    halted: bool,
}

/// A field of a link, as shown.
#[derive(Serialize, JsonSchema)]
struct ShownField {
    /// Whether both sides ever agreed on a value.
    agreed: bool,
    /// Why it is left alone, if it is.
    parked: Option<ParkedWhy>,
}

/// A link as shown: what it is and where it stands.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ShownLink {
    id: LinkId,
    platform_id: PlatformId,
    /// The ticket's key.
    key: CorrelationKey,
    sys_id: Option<SysId>,
    number: Option<String>,
    table: TableName,
    /// Whether it carries fields, or joins a ticket that another link speaks for.
    role: Role,
    /// How many tickets the key had before.
    generation: u32,
    /// Where it stands, in two words at most.
    state: &'static str,
    /// Why it has ended, if it has.
    ended: Option<Ended>,
    /// Whether nothing is left to do.
    settled: bool,
    created: Millis,
    updated: Millis,
    fields: BTreeMap<String, ShownField>,
    /// How many journal entries it knows.
    entries: usize,
    platform: ShownSide,
    external: ShownSide,
}

fn shown_side(link: &Link, side: Side) -> ShownSide {
    let state = link.side(side);
    let writing = state.flight.as_ref().map(|f| match f.write.verb {
        Verb::Create { .. } => "create",
        Verb::Update { .. } => "update",
        Verb::Append { .. } => "append",
        Verb::Retire { .. } => "retire",
    });
    ShownSide {
        writing,
        failures: state.failures,
        not_before: state.not_before,
        missing: state.missing,
        halted: state.halted,
    }
}

pub(crate) fn shown(link: &Link) -> ShownLink {
    let fields = link.fields.iter().map(|(name, state)| {
        let parked = state.parked.as_ref().map(|p| p.why.clone());
        (name.to_string(), ShownField { agreed: state.base.is_some(), parked })
    });
    ShownLink {
        id: link.id.clone(),
        platform_id: link.platform_id.clone(),
        key: link.key.clone(),
        sys_id: link.external.as_ref().map(|e| e.sys_id.clone()),
        number: link.external.as_ref().and_then(|e| e.number.clone()),
        table: link.table.clone(),
        role: link.role,
        generation: link.generation,
        state: standing(link),
        ended: link.tombstone.as_ref().map(|t| t.why.clone()),
        settled: settled(link),
        created: link.created,
        updated: link.updated,
        fields: fields.collect(),
        entries: link.entries.len(),
        platform: shown_side(link, Side::Platform),
        external: shown_side(link, Side::External),
    }
}

/// Where a link stands, in two words at most.
pub(crate) fn standing(link: &Link) -> &'static str {
    match link.tombstone.as_ref().map(|t| &t.why) {
        Some(Ended::Gone(_)) => "record gone",
        Some(Ended::Unlinked { .. }) => "unlinked",
        Some(Ended::Declined { .. }) => "declined by rules",
        None if link.successor.is_some() => "succeeded",
        None if link.external.is_none() && link.external_side.halted => "refused",
        None if link.waits_for_rules() => "waits for rules",
        None if settled(link) => "in step",
        None => "working",
    }
}

/// Whether nothing is left to do on a link.
pub(crate) fn settled(link: &Link) -> bool {
    let idle = |side: Side| {
        let state = link.side(side);
        // Nobody looks at a record whose pair has ended.
        let looks = link.tombstone.is_none() && (state.look || state.look_journal);
        state.flight.is_none() && state.exchange.is_none() && !looks
    };
    idle(Side::Platform)
        && idle(Side::External)
        && (link.external.is_some() || link.external_side.halted || link.tombstone.is_some())
        && link.entries.iter().all(|e| e.mirror != Mirror::Pending)
        && !link.waits_for_rules()
}

// ---- links -----------------------------------------------------------------------------------

/// Every state that a link may be in.
pub(crate) const STATES: [&str; 8] = [
    "in step",
    "working",
    "waits for rules",
    "refused",
    "unlinked",
    "declined by rules",
    "record gone",
    "succeeded",
];

/// Which links are listed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichLinks {
    /// In a state: `in step`, `working`, `waits for rules`, `refused`, `unlinked`, `declined by rules`,
    /// `record gone`, `succeeded`.
    state: Option<String>,
    /// Of a platform's record.
    platform_id: Option<String>,
    /// Of a ticket.
    number: Option<String>,
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
    after: Option<String>,
}

/// A page of links.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Links {
    links: Vec<ShownLink>,
    /// Where the next page begins, if there is one.
    next: Option<String>,
}

pub(crate) async fn links(at: At, Asks(which): Asks<WhichLinks>) -> Response {
    let WhichLinks { state, platform_id, number, limit, after } = which;
    if state.as_ref().is_some_and(|state| !STATES.contains(&state.as_str())) {
        let detail = format!("state is one of: {}", STATES.join(", "));
        return problem(400, "malformed-query", "The query cannot be read", detail);
    }
    let found = at.page::<Link>("link", "", &Page::new(limit, after)).map(|(links, next)| {
        let meant = |link: &Link| {
            let own = link.external.as_ref().and_then(|e| e.number.as_deref());
            state.as_ref().is_none_or(|state| standing(link) == state)
                && platform_id.as_ref().is_none_or(|id| link.platform_id.as_str() == id)
                && number.as_ref().is_none_or(|number| own == Some(number))
        };
        Links { links: links.iter().filter(|link| meant(link)).map(shown).collect(), next }
    });
    answer(found)
}

pub(crate) async fn link(at: At, Named(id): Named) -> Response {
    answer_one(at.row("link", &id).map(|link: Option<Link>| link.as_ref().map(shown)), "link", &id)
}

/// The body of `POST …/links`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attach {
    /// The platform's record.
    platform_id: String,
    /// The ticket, by its `sys_id` or its number.
    ticket: String,
    /// Its table; the settings' first if not given.
    table: Option<TableName>,
}

/// Pairs a platform's record with a ticket that is there.
pub(crate) async fn attach(at: At, headers: HeaderMap, raw: Body) -> Response {
    let Attach { platform_id, ticket, table } = match json(&headers, raw).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let record = match PlatformId::new(platform_id) {
        Ok(record) => record,
        Err(e) => return problem(422, "invalid-id", "Not a valid id", e.to_string()),
    };
    let number =
        (1..=40).contains(&ticket.len()) && ticket.bytes().all(|b| b.is_ascii_alphanumeric());
    if !number {
        let detail = "a ticket is named by its number (INC0010001) or its sys_id";
        return problem(422, "invalid-ticket", "Not a ticket", detail);
    }
    let ticket = SysId::new(ticket.clone()).map_or(TicketName::Number(ticket), TicketName::SysId);
    at.operate(|integration| Operation::Attach { integration, record, ticket, table }).await
}

/// Takes a pair apart.
pub(crate) async fn unlink(at: At, Named(id): Named) -> Response {
    let Some(link) = link_id(&id) else { return not_found("link", &id) };
    at.operate(|integration| Operation::Unlink { integration, link }).await
}

/// Tells why each value of a link is what it is.
pub(crate) async fn explain(at: At, Named(id): Named) -> Response {
    let Some(link) = link_id(&id) else { return not_found("link", &id) };
    at.operate(|integration| Operation::Explain { integration, link }).await
}

/// Has both sides of a link read again.
pub(crate) async fn resync(at: At, Named(id): Named) -> Response {
    let Some(link) = link_id(&id) else { return not_found("link", &id) };
    at.operate(|integration| Operation::Resync { integration, link }).await
}

/// Asks the instance for what is new, now.
pub(crate) async fn poll(at: At) -> Response {
    at.note("poll-asked", "of the instance");
    at.operate(|integration| Operation::Poll { integration }).await
}

// ---- conflicts -------------------------------------------------------------------------------

/// Which conflicts are listed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichConflicts {
    /// `open`, `resolved` or `closed`.
    state: Option<Standing>,
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
    after: Option<String>,
}

/// Where a conflict stands.
#[derive(Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Standing {
    Open,
    Resolved,
    Closed,
}

/// A page of conflicts.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Conflicts {
    conflicts: Vec<Conflict>,
    next: Option<String>,
}

pub(crate) async fn conflicts(at: At, Asks(which): Asks<WhichConflicts>) -> Response {
    let WhichConflicts { state, limit, after } = which;
    let page = Page::new(limit, after);
    let found = at.page::<Conflict>("conflict", "", &page).map(|(mut conflicts, next)| {
        conflicts.retain(|conflict| {
            let stands = match conflict.state {
                ConflictState::Open => Standing::Open,
                ConflictState::Resolved { .. } => Standing::Resolved,
                ConflictState::Closed { .. } => Standing::Closed,
            };
            state.is_none_or(|state| state == stands)
        });
        Conflicts { conflicts, next }
    });
    answer(found)
}

pub(crate) async fn conflict(at: At, Named(id): Named) -> Response {
    answer_one(at.row::<Conflict>("conflict", &id), "conflict", &id)
}

/// `{"use": "platform"}`, `{"use": "external"}` or `{"value": ...}`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resolve {
    /// Whose value is taken: `platform` or `external`.
    r#use: Option<String>,
    /// A third value.
    value: Option<Json>,
}

pub(crate) async fn resolve(at: At, Named(id): Named, headers: HeaderMap, raw: Body) -> Response {
    let Resolve { r#use, value } = match json(&headers, raw).await {
        Ok(resolve) => resolve,
        Err(response) => return response,
    };
    let resolution = match (r#use.as_deref(), value.as_ref().map(Value::from_json)) {
        (Some("platform"), None) => Resolution::UsePlatform,
        (Some("external"), None) => Resolution::UseExternal,
        (None, Some(Some(value))) => Resolution::Value(value),
        _ => {
            return problem(
                422,
                "no-choice",
                "No choice was made",
                r#"send {"use":"platform"}, {"use":"external"} or {"value":"..."}"#,
            );
        }
    };
    let Ok(conflict) = ConflictId::new(id.clone()) else { return not_found("conflict", &id) };
    at.operate(|integration| Operation::Resolve { integration, conflict, resolution }).await
}

// ---- what came in, the audit -----------------------------------------------------------------

/// A payload that was kept, as shown. Its body stays sealed: it was never masked.
#[derive(Serialize, JsonSchema)]
struct ShownQuarantined {
    id: String,
    kind: InboundKind,
    reason: String,
    at: Millis,
    bytes: usize,
}

/// A page of payloads that were kept.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Quarantine {
    quarantine: Vec<ShownQuarantined>,
    next: Option<String>,
}

pub(crate) async fn quarantine(at: At, Asks(page): Asks<Page>) -> Response {
    let found = at.page::<Quarantined>("quarantine", "", &page).map(|(kept, next)| {
        let quarantine = kept.into_iter().map(|q| ShownQuarantined {
            id: q.id,
            kind: q.kind,
            reason: q.reason,
            at: q.at,
            bytes: q.body.len(),
        });
        Quarantine { quarantine: quarantine.collect(), next }
    });
    answer(found)
}

/// A delivery, as shown. Its body stays sealed: it was never masked.
#[derive(Serialize, JsonSchema)]
struct ShownDelivery {
    /// What makes it the same one.
    identity: String,
    kind: InboundKind,
    received: Millis,
    state: DeliveryState,
    /// The links that it brought something to.
    links: Vec<LinkId>,
    bytes: usize,
}

/// A page of deliveries.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Deliveries {
    deliveries: Vec<ShownDelivery>,
    next: Option<String>,
}

pub(crate) async fn deliveries(at: At, Asks(page): Asks<Page>) -> Response {
    let found = at.page::<Delivery>("delivery", "", &page).map(|(kept, next)| {
        let deliveries = kept.into_iter().map(|d| ShownDelivery {
            identity: d.identity,
            kind: d.kind,
            received: d.received,
            state: d.state,
            links: d.links,
            bytes: d.body.len(),
        });
        Deliveries { deliveries: deliveries.collect(), next }
    });
    answer(found)
}

/// Which lines of the audit are listed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichLines {
    /// Of a link.
    link: Option<LinkId>,
    /// In which this happened: `write`, `filtered`, `conflict-resolved`, ...
    event: Option<String>,
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
    after: Option<String>,
}

/// A page of the audit: link by link, in the order of time.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Lines {
    audit: Vec<Audit>,
    next: Option<String>,
}

pub(crate) async fn audit(at: At, Asks(which): Asks<WhichLines>) -> Response {
    let WhichLines { link, event, limit, after } = which;
    let within = link.map(|link| format!("{link}/")).unwrap_or_default();
    let page = Page::new(limit, after);
    let found = at.page::<Audit>("audit", &within, &page).map(|(mut audit, next)| {
        audit.retain(|line| event.as_ref().is_none_or(|event| line.event == *event));
        audit.sort_by_key(|line| line.at);
        Lines { audit, next }
    });
    answer(found)
}
