//! A backup was put in the place of the store (see [`firn_model::restored`]): what follows from it.

use firn_core::settings::Rules;
use firn_model::{CommitError, Key, RunMode};

use crate::session::Session;
use crate::{Doors, reconcile};

/// How soon an integration that is paused is looked at again. In milliseconds.
const PAUSE: u64 = 2_000;

/// Both sides are asked for what happened since.
pub(crate) fn due<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
) -> Result<(), CommitError> {
    if !rules.integration().enabled {
        let later = session.now.plus(PAUSE);
        return session.put_off(key, later);
    }
    reconcile::begin(session, &key.tenant, rules, RunMode::AutoHeal, "the restore")?;
    session.delete(key);
    Ok(())
}
