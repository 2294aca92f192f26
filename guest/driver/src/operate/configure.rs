//! Settings: created, changed, applied from a document, rolled back. Every version is kept.

use std::collections::BTreeSet;

use firn_core::{preset, settings};
use firn_model::rule::Answer;
use firn_model::{
    ActiveRules, CommitError, Configure, Delivery, DeliveryState, Fault, Integration,
    IntegrationId, Intent, Key, Level, Link, PlatformContract, Problem, TenantId, Version,
    instance_address,
};
use serde_json::{Value as Json, json};

use super::{not_found, note_of};
use crate::session::Session;
use crate::{Doors, rows, sweep};

/// Creates an integration, or changes what is given of it.
pub(super) fn configure<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    given: &Configure,
    by: &str,
) -> Result<(), CommitError> {
    let key = rows::integration(tenant, &given.id);
    let known = session.get::<Integration>(&key)?;
    if known.is_none() && !given.create {
        return not_found(session, request, "integration", given.id.as_str());
    }
    let start = known.clone().unwrap_or_else(|| Integration {
        id: given.id.clone(),
        tenant: tenant.clone(),
        slug: given.id.as_str().to_owned(),
        name: given.id.as_str().to_owned(),
        base_url: String::new(),
        platform: PlatformContract::default(),
        enabled: true,
        version: 0,
        rules: None,
        restored: None,
        settings: preset::settings(given.preset.unwrap_or_default()),
    });
    let settings = match known {
        Some(_) => settings::overlay(&start.settings, &given.settings),
        None => settings::begin(start.settings.preset, &given.settings),
    };
    let settings = match settings {
        Ok(settings) => settings,
        Err(faults) => return unsound(session, request, &faults),
    };
    let integration = Integration {
        slug: given.slug.clone().unwrap_or(start.slug),
        name: given.name.clone().unwrap_or(start.name),
        base_url: given.base_url.as_deref().map_or(start.base_url, instance_address),
        platform: given.platform.clone().unwrap_or(start.platform),
        enabled: given.enabled.unwrap_or(start.enabled),
        id: start.id,
        tenant: start.tenant,
        version: start.version,
        rules: start.rules,
        restored: start.restored,
        settings,
    };
    if let Err(faults) = settings::compile(integration.clone()) {
        return unsound(session, request, &faults);
    }
    let created = known.is_none();
    let stored = store(session, tenant, known.as_ref(), integration, "configured", by)?;
    session.reply(request, if created { 201 } else { 200 }, &json!(stored));
    Ok(())
}

fn unsound<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    faults: &[Fault],
) -> Result<(), CommitError> {
    let line = |f: &Fault| format!("{}: {}; {}", f.at, f.text, f.remedy);
    let errors = faults.iter().filter(|f| f.level == Level::Error);
    let text = errors.map(line).collect::<Vec<_>>().join(" - ");
    let problem = Problem::new(422, "unsound-settings", "The settings are not sound", text);
    let mut body = serde_json::to_value(problem).unwrap_or_default();
    body["faults"] = json!(faults);
    session.reply(request, 422, &body);
    Ok(())
}

/// Stores an integration as its next version, if anything changed.
fn store<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    known: Option<&Integration>,
    mut integration: Integration,
    event: &str,
    by: &str,
) -> Result<Integration, CommitError> {
    if known == Some(&integration) {
        return Ok(integration);
    }
    integration.version = known.map_or(0, |k| k.version) + 1;
    session.put(&rows::integration(tenant, &integration.id), &integration, None)?;
    let version = Version {
        version: integration.version,
        at: session.now,
        by: by.to_owned(),
        integration: Integration { restored: None, ..integration.clone() },
    };
    session.put(&rows::version(tenant, &integration.id, version.version), &version, None)?;
    if let Some(rules) = session.rules(tenant, &integration.id)? {
        sweep::watch(session, tenant, &rules)?;
    }
    let what = match known {
        Some(known) => {
            let mut names = changed(known, &integration);
            for name in names.iter_mut().filter(|name| *name == "rules") {
                *name = match &integration.rules {
                    Some(rules) => format!("rules (version {} is asked)", rules.version),
                    None => "rules (none are asked)".to_owned(),
                };
            }
            names.join(", ")
        }
        None => "everything".to_owned(),
    };
    note_of(session, tenant, &integration.id, None, event, (&what, by))?;
    Ok(integration)
}

/// The names of what differs, never its values: `enabled`, `settings.strategy`, `settings.fields.title`.
fn changed(before: &Integration, after: &Integration) -> Vec<String> {
    fn look(path: &str, before: &Json, after: &Json, found: &mut Vec<String>) {
        let deeper = matches!(path, "" | "settings" | "settings.fields");
        let (Json::Object(old), Json::Object(new), true) = (before, after, deeper) else {
            found.push(path.to_owned());
            return;
        };
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names.into_iter().filter(|name| old.get(*name) != new.get(*name)) {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let (old, new) = (old.get(name), new.get(name));
            look(&path, old.unwrap_or(&Json::Null), new.unwrap_or(&Json::Null), found);
        }
    }
    let mut found = Vec::new();
    look("", &json!(before), &json!(after), &mut found);
    found.retain(|path| path != "version");
    found
}

/// Makes an integration what a document says, or only says what that would change. Changed settings
/// write nothing to either side by themselves: the next reconcile does.
pub(super) fn apply<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    id: &IntegrationId,
    document: &Json,
    intent: Intent,
    by: &str,
) -> Result<(), CommitError> {
    let known = session.get::<Integration>(&rows::integration(tenant, id))?;
    let applied = settings::apply(known.as_ref(), id, tenant, document);
    let sound = applied.faults.iter().all(|f| f.level != Level::Error);
    let (Some(integration), true) = (applied.integration, sound) else {
        return unsound(session, request, &applied.faults);
    };
    let status = match (&known, known.as_ref() == Some(&integration)) {
        (None, _) => "created",
        (Some(_), true) => "unchanged",
        (Some(_), false) => "changed",
    };
    let after = match intent {
        Intent::Look => integration,
        Intent::Act => store(session, tenant, known.as_ref(), integration, "applied", by)?,
    };
    let body = json!({ "status": status, "intent": intent, "before": known, "after": after, "faults": applied.faults });
    session.reply(request, if status == "created" { 201 } else { 200 }, &body);
    Ok(())
}

/// Reads deliveries under settings that are not in force, beside those that are.
pub(super) fn preview<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    id: &IntegrationId,
    document: &Json,
    deliveries: &[String],
) -> Result<(), CommitError> {
    let (Some(known), Some(present)) =
        (session.get::<Integration>(&rows::integration(tenant, id))?, session.rules(tenant, id)?)
    else {
        return not_found(session, request, "integration", id.as_str());
    };
    let applied = settings::apply(Some(&known), id, tenant, document);
    let Some(proposed) = applied.integration.and_then(|new| settings::compile(new).ok()) else {
        return unsound(session, request, &applied.faults);
    };
    let mut read = Vec::new();
    for name in deliveries {
        let key = Key::new(tenant, &["delivery", id.as_str(), name]);
        let Some(delivery) = session.get::<Delivery>(&key)? else { continue };
        let Delivery { identity, kind, body, received, .. } = &delivery;
        let before = firn_core::preview::preview(&present, &present, *kind, body);
        let after = firn_core::preview::preview(&proposed, &present, *kind, body);
        read.push(json!({
            "identity": identity, "kind": kind, "received": received, "differs": before != after,
            "before": before, "after": after,
        }));
    }
    session.reply(request, 200, &json!({ "deliveries": read, "faults": applied.faults }));
    Ok(())
}

/// Lets an integration ask other rules of its tenant's own, or none.
pub(super) fn activate<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    id: &IntegrationId,
    rules: Option<&ActiveRules>,
    by: &str,
) -> Result<(), CommitError> {
    let Some(known) = session.get::<Integration>(&rows::integration(tenant, id))? else {
        return not_found(session, request, "integration", id.as_str());
    };
    let integration = Integration { rules: rules.cloned(), ..known.clone() };
    let after = store(session, tenant, Some(&known), integration, "rules-activated", by)?;
    // What the ones before failed at is no news any more.
    for row in session.all(tenant, &format!("finding/{id}/rules-failed."))? {
        session.delete(&row.key);
    }
    session.reply(request, 200, &json!(after));
    Ok(())
}

/// Other rules are asked: what waits for the ones before is looked at now. Of very many links some wait for
/// their own time, which is within a minute. (An operation of its own: those links change all the time, and
/// the activation is not to wait for that.)
pub(super) fn wake_waiting<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    id: &IntegrationId,
) -> Result<(), CommitError> {
    const PAGE: u32 = 200;
    const MOST: usize = 500;
    let prefix = format!("link/{id}/");
    let (mut after, mut woken) = (None::<String>, 0);
    while woken < MOST {
        let page = session.doors.scan(tenant, &prefix, after.as_deref(), PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.key.path.clone());
        // Reading each link whole would take longer than all else.
        for row in page.iter().filter(|row| row.value.contains(r#""failing":"#)) {
            session.wake(&row.key)?;
            woken += 1;
        }
    }
    session.reply(request, 200, &json!({ "woken": woken }));
    Ok(())
}

/// What the tenant's rules would be asked about deliveries.
pub(super) fn inquire<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    id: &IntegrationId,
    deliveries: &[String],
) -> Result<(), CommitError> {
    let Some(rules) = session.rules(tenant, id)? else {
        return not_found(session, request, "integration", id.as_str());
    };
    let mut read = Vec::new();
    for name in deliveries {
        let key = Key::new(tenant, &["delivery", id.as_str(), name]);
        let Some(delivery) = session.get::<Delivery>(&key)? else { continue };
        let inquiry = match tried(session, tenant, id, &delivery)? {
            Ok(link) => {
                let Delivery { kind, body, .. } = &delivery;
                firn_core::preview::inquiry(&rules, link.as_ref(), *kind, body, session.now)
            }
            Err(why) => Err(why),
        };
        let Delivery { identity, kind, received, .. } = &delivery;
        let (inquiry, why) =
            inquiry.map_or_else(|why| (None, Some(why)), |asked| (Some(asked), None));
        read.push(json!({
            "name": name, "identity": identity, "kind": kind, "received": received,
            "inquiry": inquiry, "why_not": why,
        }));
    }
    session.reply(request, 200, &json!({ "deliveries": read }));
    Ok(())
}

/// The pair that a delivery was about, if that was there before it; or why it was about none.
fn tried<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    id: &IntegrationId,
    delivery: &Delivery,
) -> Result<Result<Option<Link>, String>, CommitError> {
    let Some(first) = delivery.links.first() else {
        return Ok(match &delivery.state {
            DeliveryState::Done(what) => Err(what.clone()),
            DeliveryState::Quarantined(_) => Err("it could not be read".to_owned()),
            DeliveryState::Received | DeliveryState::Waiting => {
                Err("it is still to be looked at".to_owned())
            }
        });
    };
    let link = session.link(tenant, id, first)?;
    Ok(Ok(link.filter(|link| link.created < delivery.received)))
}

/// What would come of what rules say about deliveries.
pub(super) fn judge<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    id: &IntegrationId,
    deliveries: &[(String, Vec<Answer>)],
) -> Result<(), CommitError> {
    let Some(rules) = session.rules(tenant, id)? else {
        return not_found(session, request, "integration", id.as_str());
    };
    let mut judged = Vec::new();
    for (name, answers) in deliveries {
        let key = Key::new(tenant, &["delivery", id.as_str(), name]);
        let mut outcomes = Vec::new();
        if let Some(delivery) = session.get::<Delivery>(&key)?
            && let Ok(link) = tried(session, tenant, id, &delivery)?
        {
            let (Delivery { kind, body, .. }, now) = (&delivery, session.now);
            outcomes = firn_core::preview::judged(&rules, link.as_ref(), *kind, body, now, answers)
                .unwrap_or_default();
        }
        judged.push(json!(outcomes));
    }
    session.reply(request, 200, &json!({ "judged": judged }));
    Ok(())
}

/// Makes an earlier version the present one: as a new version, so that nothing is forgotten.
pub(super) fn rollback<D: Doors>(
    session: &mut Session<'_, D>,
    request: u64,
    tenant: &TenantId,
    id: &IntegrationId,
    version: u64,
    by: &str,
) -> Result<(), CommitError> {
    let Some(known) = session.get::<Integration>(&rows::integration(tenant, id))? else {
        return not_found(session, request, "integration", id.as_str());
    };
    let Some(earlier) = session.get::<Version>(&rows::version(tenant, id, version))? else {
        return not_found(session, request, "version", &version.to_string());
    };
    // Whether it runs is no setting: nobody resumes it by going back.
    // Rules of one's own have versions of their own.
    // What the store knows nothing of stays what it is.
    let Integration { version, enabled, rules, restored, .. } = known.clone();
    let integration = Integration { version, enabled, rules, restored, ..earlier.integration };
    if let Err(faults) = settings::compile(integration.clone()) {
        return unsound(session, request, &faults);
    }
    let before = known.clone();
    let after = store(session, tenant, Some(&known), integration, "rolled-back", by)?;
    let status = if before == after { "unchanged" } else { "changed" };
    session.reply(request, 200, &json!({ "status": status, "before": before, "after": after }));
    Ok(())
}
