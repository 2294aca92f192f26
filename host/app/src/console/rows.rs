//! Rows to show: those of a kind that are wanted, latest first. All of them are read, one after the other, and
//! few are kept.

use std::sync::Arc;

use axum::response::Response;
use serde::de::DeserializeOwned;

use crate::api::{At, failed};

/// Rows of a kind: those that are wanted, latest first, and how many there are in all.
pub(super) async fn latest<T: DeserializeOwned + Send + 'static>(
    at: &At,
    kind: &'static str,
    wanted: impl Fn(&T) -> bool + Send + 'static,
    age: impl Fn(&T) -> i64 + Send + 'static,
    most: usize,
) -> Result<(Vec<T>, usize), Response> {
    latest_of(at, kind, "", wanted, age, most).await
}

/// The same of rows below a name.
pub(super) async fn latest_of<T: DeserializeOwned + Send + 'static>(
    at: &At,
    kind: &'static str,
    below: &str,
    wanted: impl Fn(&T) -> bool + Send + 'static,
    age: impl Fn(&T) -> i64 + Send + 'static,
    most: usize,
) -> Result<(Vec<T>, usize), Response> {
    let (host, integration) = (Arc::clone(at.host()), at.known.integration.clone());
    let below = below.to_owned();
    let look = move || -> anyhow::Result<(Vec<T>, usize)> {
        let prefix = format!("{kind}/{}/{below}", integration.id);
        let (mut rows, mut all) = (Vec::new(), 0);
        let keep = |rows: &mut Vec<T>| {
            rows.sort_by_key(|row| std::cmp::Reverse(age(row)));
            rows.truncate(most);
        };
        host.each(&integration.tenant, &prefix, |_, row: T| {
            if wanted(&row) {
                all += 1;
                rows.push(row);
            }
            // There may be very many.
            if rows.len() >= 4 * most {
                keep(&mut rows);
            }
        })?;
        keep(&mut rows);
        Ok((rows, all))
    };
    // Whoever waits here waits for others who look; the store is never read by many of them at once.
    let _turn = at.shared.scans.acquire().await;
    let looked = tokio::task::spawn_blocking(look).await;
    looked.map_err(|why| failed(&why.into()))?.map_err(|why| failed(&why))
}
