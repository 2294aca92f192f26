//! A backup was put in the place of a store: what happened since is known to both sides, and not here.

use serde::{Deserialize, Serialize};

use crate::{Change, Expect, Integration, Key, Millis, Put, Row};

/// A time of which an integration knows nothing: its store is that of a backup. What it did then, both sides know.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// When the backup was made, or somewhat before.
    pub since: Millis,
    /// When it was put in place.
    pub until: Millis,
}

impl Restored {
    /// So far clocks may differ: a quarter of an hour. In milliseconds.
    const CLOCKS: i64 = 900_000;

    /// Whether something that a side has written down for an instant may be of that time.
    #[must_use]
    pub fn may_cover(&self, at: Millis) -> bool {
        at.since(self.since) >= -Self::CLOCKS && !self.is_over_by(at)
    }

    /// Whether something that a side has written down for an instant is certainly of a later time.
    #[must_use]
    pub fn is_over_by(&self, at: Millis) -> bool {
        at.since(self.until) > Self::CLOCKS
    }
}

impl Integration {
    /// Until when it begins nothing on either side, after a backup was put in the place of its store: what an instance
    /// was still doing for the process before may take effect up to its transaction limit later, and would be done
    /// twice by whoever looks for it earlier.
    #[must_use]
    pub fn rests_until(&self) -> Option<Millis> {
        let restored = self.restored?;
        Some(restored.until.plus(self.settings.correlation.transaction_limit))
    }
}

/// What is to be written for an integration whose store is that of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restoring {
    /// That it is so, and that both sides are to be asked: to be written before anything works on the store.
    pub changes: [Change; 2],
    /// Until when it begins nothing.
    pub rests_until: Option<Millis>,
}

/// Times of which an integration knows nothing and that are closer than this are one. In milliseconds.
const SOON: i64 = 86_400_000;

/// What has to be written of an integration's row into a store that is as it was at `since` and was put in place at
/// `until`, before anything works on it: that it is so, and that both sides are to be asked.
///
/// # Errors
/// The row is no integration.
pub fn restored(row: &Row, since: Millis, until: Millis) -> Result<Restoring, serde_json::Error> {
    let mut integration: Integration = serde_json::from_str(&row.value)?;
    let earlier = integration.restored.filter(|earlier| since.since(earlier.until) < SOON);
    let since = earlier.map_or(since, |earlier| earlier.since.min(since));
    integration.restored = Some(Restored { since, until });
    let change = |key: Key, expect: Expect, value: String, due: Option<Millis>| {
        let put = Some(Put { value, due });
        Change { key, expect, put }
    };
    let recover = Key::new(&row.key.tenant, &["recover", integration.id.as_str()]);
    let told = serde_json::to_string(&integration)?;
    let rests_until = integration.rests_until();
    let changes = [
        change(row.key.clone(), Expect::Version(row.version), told, row.due),
        change(recover, Expect::Any, "{}".to_owned(), Some(rests_until.unwrap_or(until))),
    ];
    Ok(Restoring { changes, rests_until })
}
