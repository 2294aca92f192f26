//! A backup was put in the place of the store (see [`firn_model::restored`]): what follows from it.

use firn_core::settings::Rules;
use firn_core::wire::poll::{self, Forgotten};
use firn_model::{
    CommitError, ExternalRecord, Finding, FindingKind, Key, LinkId, ObservedRecord, PlatformId,
    Restored, RunMode, Side, SysId, TableName, TenantId, rfc3339_text,
};

use crate::session::Session;
use crate::{Doors, admit, operate, reconcile};

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
    if let Some(until) = rules.rests_until(session.now) {
        return session.put_off(key, until);
    }
    let by = "the restore";
    reconcile::begin(session, &key.tenant, rules, RunMode::AutoHeal, by)?;
    if let Some(Restored { since, until, .. }) = rules.integration().restored {
        let lost =
            format!("nothing is known of {} to {}", rfc3339_text(since), rfc3339_text(until));
        operate::note_of(session, &key.tenant, rules.id(), None, "restored", (&lost, by))?;
    }
    session.delete(key);
    Ok(())
}

/// A ticket that no link is on and that was made in the time that is forgotten: its pair is made again. Says what came
/// of it; nothing if it is no such ticket.
pub(crate) fn take_up<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    tenant: &TenantId,
    ticket: &ObservedRecord,
) -> Result<Option<(String, Vec<LinkId>)>, CommitError> {
    let record = match poll::forgotten(rules, ticket) {
        Forgotten::No | Forgotten::Unclear => return Ok(None),
        // What its record is, the platform has to show: others may use the same user, and keys of their own.
        Forgotten::Of(record) if rules.may_read(Side::Platform) => record,
        Forgotten::Of(_) | Forgotten::OfNobodyKnown => {
            let name = ticket.number.as_deref().unwrap_or(&ticket.id);
            let text = format!(
                "{name} may have been made by Firn in the time that is lost since a backup was put in the place of its store, and of which record cannot be found out. If it was: firn links attach {} RECORD {name}",
                rules.integration().slug
            );
            let (kind, at) = (FindingKind::RecordMissing, session.now);
            let integration = rules.id().clone();
            let finding = Finding { kind, integration, link: None, field: None, text, at };
            session.find(tenant, &finding)?;
            return Ok(Some((
                "made in the time that is lost, of nobody knows what".into(),
                vec![],
            )));
        }
    };
    let class = ticket.class.clone().and_then(|class| TableName::new(class).ok());
    let class = class.filter(|table| rules.takes(table));
    let (Some(table), Ok(sys_id)) = (class, SysId::new(ticket.id.clone())) else {
        return Ok(None);
    };
    Ok(Some(pair(session, rules, tenant, record, (table, sys_id, ticket.number.clone()))?))
}

fn pair<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    tenant: &TenantId,
    record: PlatformId,
    (table, sys_id, number): (TableName, SysId, Option<String>),
) -> Result<(String, Vec<LinkId>), CommitError> {
    if session.current(tenant, rules.id(), &record)?.is_some() {
        return Ok(("of a record that has another ticket".to_owned(), Vec::new()));
    }
    let mut link = admit::new_link(session, tenant, rules, &record, 1, table.clone())?;
    link.external = Some(ExternalRecord { table, sys_id, number, adopted: true });
    link.external_side.look = true;
    link.external_side.look_journal = rules.integration().reads_journal();
    link.platform_side.look = rules.may_read(Side::Platform);
    let id = link.id.clone();
    session.join(tenant, &mut link)?;
    session.advance(tenant, rules, link, &[])?;
    Ok((format!("taken up again as {id}"), vec![id]))
}
