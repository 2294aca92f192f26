//! A backup was put in the place of a store: what is written into it before anything works on it, so that nothing is
//! done twice (see `firn_model::restored`).

use anyhow::{Context, Result};
use firn_model::{Key, Millis, Row, TenantId};
use firn_storage::Store;

use crate::vault::system;

/// So many rows are read at once.
const PAGE: u32 = 1_000;

/// Tells every integration of a store. Without `since` each one's last line of the audit says as of when it is: what
/// it has written to a side has its line. Gives how many there are.
///
/// # Errors
/// When the store cannot be read or written.
pub(crate) fn tell(store: &dyn Store, since: Option<Millis>, until: Millis) -> Result<usize> {
    let mut told = 0;
    for tenant in store.tenants()?.into_iter().filter(|tenant| *tenant != system()) {
        let mut integrations = Vec::new();
        all(store, &tenant, "integration/", |row| integrations.push(row))?;
        for row in integrations {
            let since = match since {
                Some(since) => since,
                None => last_line(store, &row.key)?.min(until),
            };
            let changes = firn_model::restored(&row, since, until);
            store.commit(&changes.with_context(|| format!("{} cannot be read", row.key.path))?)?;
            told += 1;
        }
    }
    Ok(told)
}

/// When the last line was written in an integration's audit. The name of a line begins with it.
fn last_line(store: &dyn Store, integration: &Key) -> Result<Millis> {
    let mut last = 0;
    let id = integration.segments().nth(1).unwrap_or_default().to_owned();
    all(store, &integration.tenant, &format!("audit/{id}/"), |row| {
        let name = row.key.segments().last().unwrap_or_default();
        let at = name.split('-').next().and_then(|at| at.parse().ok());
        last = last.max(at.unwrap_or_default());
    })?;
    Ok(Millis(last))
}

fn all(
    store: &dyn Store,
    tenant: &TenantId,
    prefix: &str,
    mut each: impl FnMut(Row),
) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let page = store.scan(tenant, prefix, after.as_deref(), PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.key.path.clone());
        page.into_iter().for_each(&mut each);
    }
}
