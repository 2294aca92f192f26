//! Findings that a person has seen and wants to see no more. What is found again is told again.

use firn_model::{CommitError, FindingFilter, IntegrationId, KeptFinding, TenantId};
use serde_json::json;

use super::{not_found, note_of};
use crate::Doors;
use crate::session::Session;

/// The most that are dismissed at once.
const MOST: usize = 1_000;

pub(super) fn dismiss<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    integration: &IntegrationId,
    filter: &FindingFilter,
    by: &str,
) -> Result<(), CommitError> {
    if session.rules(tenant, integration)?.is_none() {
        return not_found(session, request, "integration", integration.as_str());
    }
    let prefix = format!("finding/{integration}/");
    let mut meant = Vec::new();
    for row in session.all(tenant, &prefix)? {
        let Ok(known) = serde_json::from_str::<KeptFinding>(&row.value) else { continue };
        let name = row.key.path.strip_prefix(&prefix).unwrap_or_default();
        if filter.takes(name, &known.finding) {
            meant.push(row.key);
        }
    }
    if let (Some(id), true) = (&filter.id, meant.is_empty()) {
        return not_found(session, request, "finding", id);
    }
    let left = meant.len().saturating_sub(MOST);
    meant.truncate(MOST);
    for key in &meant {
        session.delete(key);
    }
    let dismissed = meant.len();
    if dismissed > 0 {
        let what = filter.id.clone().unwrap_or_else(|| dismissed.to_string());
        note_of(session, tenant, integration, None, "findings-dismissed", (&what, by))?;
    }
    session.reply(request, 200, &json!({ "dismissed": dismissed, "left": left }));
    Ok(())
}
