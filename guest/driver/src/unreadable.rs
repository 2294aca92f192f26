//! A stored row that this version cannot read: a newer one wrote it. What it stands for waits, somebody is told, and
//! everything else goes on. (A row that does not open is the store's to tell.)

use firn_model::{CommitError, Event, Finding, FindingKind, IntegrationId, Key, Problem, Report};

use crate::session::{Known, Session};
use crate::{Doors, refuse};

/// Then it is looked at again: the version that can read it may be back. In milliseconds.
const PAUSE: u64 = 600_000;
/// How often it is tried to write that down when others are in the way.
const TRIES: u32 = 4;

/// Leaves the row as it is, and puts off what could not be done for it.
pub(crate) fn set_aside<D: Doors>(
    doors: &D,
    known: &mut Known,
    events: &[Event],
    key: &Key,
    why: &str,
) -> Vec<Report> {
    for _ in 0..TRIES {
        let mut session = Session::new(doors, known);
        match tell(&mut session, events, key, why).and_then(|()| session.commit()) {
            Err(CommitError::Stale(_)) => {}
            // Where it cannot be written down, what was due is due again.
            Ok(_) | Err(CommitError::Failed(_) | CommitError::Unreadable { .. }) => break,
        }
    }
    let detail = format!(
        "{} cannot be read: {why}. Run the version of firn that wrote it, or restore a backup; then send the request again",
        key.path
    );
    refuse(events, &Problem::new(503, "row-unreadable", "A stored row cannot be read", detail))
}

/// Of many rows that are looked at together one may not be readable: somebody is told, and the others go on.
pub(crate) fn pass_over<D: Doors, T>(
    session: &mut Session<'_, D>,
    looked_at: Result<T, CommitError>,
) -> Result<Option<T>, CommitError> {
    match looked_at {
        Err(CommitError::Unreadable { key, why }) => find(session, &key, &why).map(|()| None),
        other => other.map(Some),
    }
}

fn tell<D: Doors>(
    session: &mut Session<'_, D>,
    events: &[Event],
    key: &Key,
    why: &str,
) -> Result<(), CommitError> {
    let now = session.now;
    for event in events {
        if let Event::Due(due) = event {
            session.put_off(due, now.plus(PAUSE))?;
        }
    }
    find(session, key, why)
}

fn find<D: Doors>(session: &mut Session<'_, D>, key: &Key, why: &str) -> Result<(), CommitError> {
    let Some(integration) = key.segments().nth(1).and_then(|id| IntegrationId::new(id).ok()) else {
        return Ok(());
    };
    let text = format!(
        "{} cannot be read: {why}; what it stands for waits. Run the version of firn that wrote it, or restore a backup; it is looked at again every ten minutes",
        key.path
    );
    let (kind, at) = (FindingKind::RowUnreadable, session.now);
    let finding = Finding { kind, integration, link: None, field: None, text, at };
    session.find(&key.tenant, &finding)
}
