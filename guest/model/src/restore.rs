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
    /// What the process before has sent may come to be seen until then: so much later as the instance works on a
    /// request at most, and shows what it did. An earlier version did not write it down.
    #[serde(default)]
    pub settled: Millis,
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
        at.since(self.settled()) > Self::CLOCKS
    }

    /// Until when what was sent before may take effect. Nothing is begun on either side before: whoever looks for it
    /// earlier would do it once more.
    #[must_use]
    pub fn settled(&self) -> Millis {
        self.settled.max(self.until)
    }
}

/// What is to be written for an integration whose store is that of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restoring {
    /// That it is so, and that both sides are to be asked: to be written before anything works on the store.
    pub changes: [Change; 2],
    /// Until when it begins nothing.
    pub settled: Millis,
}

/// A row of the journal may be seen only so long after it was written. In milliseconds.
pub const SEEN_LATE: u64 = 5_000;

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
    let settled = until.plus(integration.settings.correlation.transaction_limit).plus(SEEN_LATE);
    integration.restored = Some(Restored { since, until, settled });
    let change = |key: Key, expect: Expect, value: String, due: Option<Millis>| {
        let put = Some(Put { value, due });
        Change { key, expect, put }
    };
    let recover = Key::new(&row.key.tenant, &["recover", integration.id.as_str()]);
    let told = serde_json::to_string(&integration)?;
    let changes = [
        change(row.key.clone(), Expect::Version(row.version), told, row.due),
        change(recover, Expect::Any, "{}".to_owned(), Some(settled)),
    ];
    Ok(Restoring { changes, settled })
}
