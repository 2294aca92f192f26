//! Which rows there are, and under which keys.

use firn_model::{ConflictId, IntegrationId, Key, LinkId, Stream, SysId, TenantId};

pub(crate) fn integration(tenant: &TenantId, id: &IntegrationId) -> Key {
    Key::new(tenant, &["integration", id.as_str()])
}

pub(crate) fn delivery(tenant: &TenantId, id: &IntegrationId, identity: &str) -> Key {
    Key::new(
        tenant,
        &["delivery", id.as_str(), &firn_core::identity::short(&["delivery", identity])],
    )
}

pub(crate) fn quarantine(tenant: &TenantId, id: &IntegrationId, quarantined: &str) -> Key {
    Key::new(tenant, &["quarantine", id.as_str(), quarantined])
}

pub(crate) fn link(tenant: &TenantId, id: &IntegrationId, link: &LinkId) -> Key {
    Key::new(tenant, &["link", id.as_str(), link.as_str()])
}

/// From ServiceNow's record to its links; the first speaks for it.
pub(crate) fn by_external(tenant: &TenantId, id: &IntegrationId, sys_id: &str) -> Key {
    Key::new(tenant, &["external", id.as_str(), sys_id])
}

/// From ServiceNow's record to the links that were on it once.
pub(crate) fn formerly(tenant: &TenantId, id: &IntegrationId, sys_id: &str) -> Key {
    Key::new(tenant, &["formerly", id.as_str(), sys_id])
}

/// From a ticket's key to its link.
pub(crate) fn by_key(tenant: &TenantId, id: &IntegrationId, key: &str) -> Key {
    // A digest: the platform's id may tell of a person, and paths are not sealed.
    Key::new(tenant, &["key", id.as_str(), &firn_core::identity::short(&["key", key])])
}

pub(crate) fn conflict(tenant: &TenantId, id: &IntegrationId, conflict: &ConflictId) -> Key {
    Key::new(tenant, &["conflict", id.as_str(), conflict.as_str()])
}

pub(crate) fn finding(tenant: &TenantId, id: &IntegrationId, name: &str) -> Key {
    Key::new(tenant, &["finding", id.as_str(), name])
}

/// A finding that is to be told.
pub(crate) fn alert(tenant: &TenantId, id: &IntegrationId, finding: &str) -> Key {
    Key::new(tenant, &["alert", id.as_str(), finding])
}

/// The files of a link.
pub(crate) fn attachments(tenant: &TenantId, id: &IntegrationId, link: &LinkId) -> Key {
    Key::new(tenant, &["attachments", id.as_str(), link.as_str()])
}

/// What is learnt from the ticket of a link.
pub(crate) fn learnt(tenant: &TenantId, id: &IntegrationId, link: &LinkId) -> Key {
    Key::new(tenant, &["learnt", id.as_str(), link.as_str()])
}

/// The draft of an article that is made of what was learnt from a ticket.
pub(crate) fn article(tenant: &TenantId, id: &IntegrationId, ticket: &SysId) -> Key {
    Key::new(tenant, &["article", id.as_str(), ticket.as_str()])
}

/// What language models were asked today.
pub(crate) fn spent(tenant: &TenantId, id: &IntegrationId) -> Key {
    Key::new(tenant, &["spent", id.as_str()])
}

pub(crate) fn dead(tenant: &TenantId, id: &IntegrationId, name: &str) -> Key {
    Key::new(tenant, &["dead", id.as_str(), name])
}

/// Audit lines are kept link by link, in the order of time.
pub(crate) fn audit(
    tenant: &TenantId,
    id: &IntegrationId,
    link: Option<&LinkId>,
    name: &str,
) -> Key {
    Key::new(tenant, &["audit", id.as_str(), link.map_or("-", LinkId::as_str), name])
}

pub(crate) fn version(tenant: &TenantId, id: &IntegrationId, version: u64) -> Key {
    Key::new(tenant, &["version", id.as_str(), &format!("{version:08}")])
}

pub(crate) fn sweep(tenant: &TenantId, id: &IntegrationId, stream: &Stream) -> Key {
    Key::new(tenant, &["sweep", id.as_str(), &stream.to_string()])
}

pub(crate) fn run(tenant: &TenantId, id: &IntegrationId, run: &str) -> Key {
    Key::new(tenant, &["run", id.as_str(), run])
}

pub(crate) fn schedule(tenant: &TenantId, id: &IntegrationId) -> Key {
    Key::new(tenant, &["schedule", id.as_str()])
}

/// Links of a run whose tickets are read together.
pub(crate) fn group(tenant: &TenantId, id: &IntegrationId, run: &str, n: u32) -> Key {
    Key::new(tenant, &["group", id.as_str(), run, &format!("{n:05}")])
}

pub(crate) fn check(tenant: &TenantId, id: &IntegrationId, run: &str, link: &LinkId) -> Key {
    Key::new(tenant, &["check", id.as_str(), run, link.as_str()])
}
