//! A backup was put in the place of a store: what is written into it before anything works on it, so that nothing is
//! done twice (see `firn_model::restored`).

use anyhow::Result;
use firn_model::{Audit, Key, Millis, Row, TenantId, rfc3339_text};
use firn_storage::Store;

use crate::vault::system;

/// So many rows are read at once.
const PAGE: u32 = 1_000;

/// What came of it.
pub(crate) struct Told {
    /// So many integrations were told.
    pub(crate) integrations: usize,
    /// Rows of integrations that this version cannot read: they were not told.
    pub(crate) left_out: Vec<String>,
    /// As of when the store is.
    pub(crate) since: Millis,
    /// Until when they write nothing, the one that waits longest.
    pub(crate) settled: Millis,
}

impl Told {
    /// In a sentence.
    pub(crate) fn text(&self) -> String {
        let what = match self.integrations {
            0 => return "there is no integration in it that would ask for anything".to_owned(),
            1 => "1 integration asks".to_owned(),
            n => format!("{n} integrations ask"),
        };
        let (since, settled) = (rfc3339_text(self.since), rfc3339_text(self.settled));
        format!(
            "{what} both sides for what happened since {since} when Firn starts; nothing is written to them before {settled}, as the instance may be still at what was sent to it (correlation.transaction_limit)"
        )
    }
}

/// Tells every integration of a store. Without `since` the last line of the audit says as of when it is: whatever Firn
/// has written to a side has its line.
///
/// # Errors
/// When the store cannot be read or written.
pub(crate) fn tell(store: &dyn Store, since: Option<Millis>, until: Millis) -> Result<Told> {
    let mut all = Vec::new();
    for tenant in store.tenants()?.into_iter().filter(|tenant| *tenant != system()) {
        pages(store, &tenant, "integration/", |row| all.push(row))?;
    }
    let since = match since {
        Some(since) => since,
        None => {
            let mut last = Millis(0);
            for row in &all {
                last = last.max(last_line(store, &row.key)?);
            }
            last.min(until)
        }
    };
    let mut told = Told { integrations: 0, left_out: Vec::new(), since, settled: until };
    for row in all {
        match firn_model::restored(&row, since, until) {
            Ok(restoring) => {
                store.commit(&restoring.changes)?;
                told.settled = told.settled.max(restoring.settled);
                told.integrations += 1;
            }
            Err(_) => told.left_out.push(row.key.path),
        }
    }
    Ok(told)
}

/// When the last line was written in an integration's audit.
fn last_line(store: &dyn Store, integration: &Key) -> Result<Millis> {
    let mut last = Millis(0);
    let id = integration.segments().nth(1).unwrap_or_default();
    pages(store, &integration.tenant, &format!("audit/{id}/"), |row| {
        // A line that was erased on somebody's wish says nothing.
        let line: Option<Audit> = serde_json::from_str(&row.value).ok();
        last = line.map_or(last, |line| last.max(line.at));
    })?;
    Ok(last)
}

fn pages(
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
