//! `finding.raised`: what a person should see is told to an address of the user's choice, for tools that
//! call somebody. Each finding once: a row in the store until it was taken, or for a day.

use firn_core::settings::Rules;
use firn_core::{land, wire};
use firn_model::{
    Alert, Answer, AnswerBody, CommitError, Finding, Integration, Key, Remote, Side, TenantId,
    rfc3339_text,
};
use serde_json::json;

use crate::session::{Session, ticket};
use crate::{Doors, rows};

/// So long it is tried: a day. In milliseconds.
const PATIENCE: u64 = 24 * 3_600_000;

/// A finding is there that was not there before.
pub(crate) fn raise<D: Doors>(
    session: &mut Session<'_, D>,
    tenant: &TenantId,
    name: &str,
    finding: &Finding,
) -> Result<(), CommitError> {
    let integration = rows::integration(tenant, &finding.integration);
    let integration = match session.get::<Integration>(&integration) {
        Err(CommitError::Unreadable { .. }) => None, // Nobody knows where it is to be told.
        integration => integration?,
    };
    if integration.is_none_or(|integration| integration.platform.findings_url.is_none()) {
        return Ok(());
    }
    let alert = Alert { finding: finding.clone(), raised: session.now, tries: 0, sent: None };
    let now = session.now;
    // Raised again, it is another message.
    let name = format!("{name}.{}", now.0);
    session.put(&rows::alert(tenant, &finding.integration, &name), &alert, Some(now))
}

/// An alert is to be sent, or was and brought no answer.
pub(crate) fn due<D: Doors>(
    session: &mut Session<'_, D>,
    rules: &Rules,
    key: &Key,
) -> Result<(), CommitError> {
    let Some(mut alert) = session.get::<Alert>(key)? else { return Ok(()) };
    if alert.sent.take().is_some() {
        return again(session, key, alert);
    }
    if rules.platform().findings_url.is_none() {
        session.delete(key);
        return Ok(());
    }
    let number = u64::from(alert.tries) + 1;
    let body = json!({
        "type": "finding.raised", "timestamp": rfc3339_text(alert.raised),
        "data": {
            "integration": rules.id(), "slug": rules.integration().slug,
            "name": rules.integration().name, "kind": alert.finding.kind,
            "link": alert.finding.link, "field": alert.finding.field, "text": alert.finding.text,
        },
    });
    let name = ticket(key, Side::Platform, number);
    let request = wire::message(rules, &key.tenant, name, Remote::PlatformFindings, &body);
    let end = session.now.plus(request.queue + request.timeout + 1_000);
    alert.sent = Some(number);
    session.put(key, &alert, Some(end))?;
    session.submit(request);
    Ok(())
}

/// An answer to it.
pub(crate) fn answered<D: Doors>(
    session: &mut Session<'_, D>,
    key: &Key,
    number: u64,
    answer: &Answer,
) -> Result<(), CommitError> {
    let Some(mut alert) = session.get::<Alert>(key)? else { return Ok(()) };
    if alert.sent != Some(number) {
        return Ok(());
    }
    alert.sent = None;
    // Taken, or nothing that will ever be taken there.
    if let AnswerBody::Response(response) = &answer.body
        && matches!(response.status, 200..=299 | 400 | 404 | 410 | 422)
    {
        if response.status >= 400 {
            session.doors.line(&format!("alert {}: refused with {}", key.path, response.status));
        }
        session.delete(key);
        return Ok(());
    }
    again(session, key, alert)
}

/// It was not taken: later again, or no more. The finding stays where findings are.
fn again<D: Doors>(
    session: &mut Session<'_, D>,
    key: &Key,
    mut alert: Alert,
) -> Result<(), CommitError> {
    alert.tries = alert.tries.saturating_add(1);
    if session.now >= alert.raised.plus(PATIENCE) {
        session.doors.line(&format!("alert {}: given up after {} tries", key.path, alert.tries));
        session.delete(key);
        return Ok(());
    }
    // Soon at first, then every five minutes.
    let pause = if alert.tries < 10 { land::backoff(&key.path, alert.tries) } else { 300_000 };
    let later = session.now.plus(pause);
    session.put(key, &alert, Some(later))
}
