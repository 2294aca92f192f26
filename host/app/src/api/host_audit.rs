//! The audit of what is about no integration: tokens, tenants, integrations that are gone.

use axum::extract::State;
use axum::response::Response;
use firn_model::{Audit, TenantId};
use schemars::JsonSchema;
use serde::Serialize;

use super::Shared;
use super::at::{Asks, Page, answer};
use crate::access::Caller;
use crate::host::OF_NONE;

/// A line, and whose it is.
#[derive(Serialize, JsonSchema)]
struct Line {
    tenant: TenantId,
    #[serde(flatten)]
    line: Audit,
}

/// A page of the audit. Of a caller of all tenants, the host's own lines come first.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Lines {
    audit: Vec<Line>,
    next: Option<String>,
}

pub(crate) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    Asks(page): Asks<Page>,
) -> Response {
    answer(look(&shared, &caller, &page))
}

/// Tenant by tenant: `next` is the tenant and where its page ended.
fn look(shared: &Shared, caller: &Caller, page: &Page) -> anyhow::Result<Lines> {
    let host = &shared.host;
    let tenants = match &caller.tenant {
        Some(tenant) => vec![tenant.clone()],
        None => host.vault().tenants()?,
    };
    let (from, mut after) = match page.after.as_deref().and_then(|after| after.split_once('|')) {
        Some((tenant, after)) => (tenant, Some(after.to_owned())),
        None => ("", None),
    };
    let mut audit = Vec::new();
    for tenant in tenants.into_iter().filter(|tenant| tenant.as_str() >= from) {
        if audit.len() >= page.size() as usize {
            return Ok(Lines { audit, next: Some(format!("{tenant}|")) });
        }
        let left = page.size().saturating_sub(u32::try_from(audit.len()).unwrap_or(u32::MAX));
        let prefix = format!("audit/{OF_NONE}/");
        let begin = after.take().filter(|a| tenant.as_str() == from && !a.is_empty());
        let (lines, next) = host.page::<Audit>(&tenant, &prefix, begin.as_deref(), left)?;
        audit.extend(lines.into_iter().map(|line| Line { tenant: tenant.clone(), line }));
        if let Some(next) = next {
            return Ok(Lines { audit, next: Some(format!("{tenant}|{next}")) });
        }
    }
    Ok(Lines { audit, next: None })
}
