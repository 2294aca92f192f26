//! Settings documents: applied, listed by version, rolled back. Whose an integration is and its
//! secrets are taken out here; the rest goes to the engine, which checks it.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use firn_model::{Integration, IntegrationId, Intent, Operation, TenantId, Version};
use firn_remote::{Secret, Secrets};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::at::{Asks, At, Named, Page, answer, not_found};
use super::credentials::{Addressed, Given, may_be_used};
use super::integrations::{free, new_id, slug_of};
use super::{Shared, failed, json, problem, respond};
use crate::access::Caller;
use crate::host::Asked;

/// The body of `POST /api/v1/apply`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Apply {
    /// The settings file's content.
    document: Map<String, Json>,
    /// Only look, or do it.
    #[serde(default = "act")]
    intent: Intent,
    /// The version of its settings that the document was compared with: if another one holds now, nothing is applied.
    #[serde(default)]
    seen: Option<u64>,
}

fn act() -> Intent {
    Intent::Act
}

/// The parts of a document that are the host's.
#[derive(Deserialize)]
struct Ours {
    organization_id: Option<String>,
    credentials: Option<Given>,
    callback_secret: Option<Secret>,
    webhook_secret: Option<Secret>,
    model_key: Option<Secret>,
}

pub(crate) async fn apply(
    State(shared): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    raw: Body,
) -> Response {
    let Apply { document, intent, seen } = match json(&headers, raw).await {
        Ok(given) => given,
        Err(response) => return response,
    };
    match apply_document(&shared, &caller, document, intent, seen).await {
        Ok(asked) => respond(asked),
        Err(response) => response,
    }
}

fn unsound(detail: impl Into<String>) -> Response {
    problem(422, "unsound-settings", "The settings are not sound", detail)
}

/// Makes an integration what a document says, or looks what would change. `seen` is the version that whoever
/// asks has compared it with: it is not applied to another.
///
/// # Errors
/// Why it is not: a problem.
pub(crate) async fn apply_document(
    shared: &Shared,
    caller: &Caller,
    mut document: Map<String, Json>,
    intent: Intent,
    seen: Option<u64>,
) -> Result<Asked, Response> {
    let mut ours = Map::new();
    for key in crate::document::HOST_KEYS {
        if let Some(value) = document.remove(*key) {
            ours.insert((*key).to_owned(), value);
        }
    }
    let ours: Ours =
        serde_json::from_value(Json::Object(ours)).map_err(|e| unsound(e.to_string()))?;
    let text = |name: &str| document.get(name).and_then(Json::as_str).map(str::to_owned);
    let name = text("name");
    let slug = text("slug").or_else(|| name.as_deref().map(slug_of)).filter(|s| !s.is_empty());
    let slug = slug.ok_or_else(|| {
        unsound("the document does not say which integration it is for; give it a slug or a name")
    })?;
    let _naming = shared.host.naming().await.map_err(|why| failed(&why))?;
    let known =
        shared.host.vault().find(&slug, |known| caller.sees_integration(&known.integration));
    if let (Some(seen), Some(known)) = (seen, &known)
        && known.integration.version != seen
    {
        let detail = format!(
            "somebody else has changed the settings since you compared: version {} holds now; compare again",
            known.integration.version
        );
        return Err(problem(409, "changed-meanwhile", "Changed meanwhile", detail));
    }
    if known.is_none() {
        free(shared, &slug, None)?;
    }
    if let Some(name) = &name {
        free(shared, name, known.as_ref().map(|k| &k.integration.id))?;
    }
    document.insert("slug".to_owned(), json!(slug));
    if known.is_none() && name.is_none() {
        document.insert("name".to_owned(), json!(slug));
    }
    let given = ours.credentials.map(Given::split).transpose()?;
    // The same again is no news: it would be tried more often than once a minute.
    let signs_in = match (&given, &known) {
        (Some((new, _)), Some(known)) => *new != known.secrets.credentials,
        _ => false,
    };
    let secrets = match (&known, given) {
        (Some(known), None) => known.secrets.clone(),
        (Some(known), Some((credentials, admin))) => Secrets {
            credentials,
            admin: admin.or(known.secrets.admin.clone()),
            ..known.secrets.clone()
        },
        (None, Some((credentials, admin))) => Secrets {
            credentials,
            admin,
            webhook: Vec::new(),
            callback: None,
            model: None,
            resource: None,
        },
        (None, None) => {
            return Err(unsound(
                "a new integration needs [credentials]: username and password, or client_id and client_secret",
            ));
        }
    };
    let secrets = Secrets {
        webhook: ours.webhook_secret.map_or(secrets.webhook, |secret| vec![secret]),
        callback: ours.callback_secret.or(secrets.callback),
        model: ours.model_key.or(secrets.model),
        ..secrets
    };
    if !document.contains_key("external_user")
        && let Some(user) = secrets.credentials.user()
    {
        document.insert("external_user".to_owned(), json!(user));
    }
    let addresses = Addressed {
        base_url: document.get("base_url").and_then(Json::as_str),
        model_url: document.get("platform").and_then(|platform| platform["model_url"].as_str()),
    };
    may_be_used(shared, caller, known.as_deref(), &secrets, addresses)?;
    let changed = known.as_ref().is_some_and(|known| known.secrets != secrets);
    if let (Some(known), Some(organization)) = (&known, &ours.organization_id)
        && known.integration.tenant.as_str() != organization
    {
        return Err(unsound(format!(
            "{slug} belongs to {}, and not to {organization}; an integration stays whose it is",
            known.integration.tenant
        )));
    }
    let (id, tenant) = match &known {
        Some(known) => (known.integration.id.clone(), known.integration.tenant.clone()),
        None => (fresh()?, owner(caller, ours.organization_id.as_deref())?),
    };
    shared.host.allowed(&document).map_err(|e| unsound(format!("{e:#}")))?;
    let document = Json::Object(document);
    let operation = Operation::Apply { id, document, intent };
    let asked = shared.host.operate(&tenant, operation, &caller.name).await;
    if asked.status < 300 && intent == Intent::Act {
        let integration = keep(shared, &tenant, &asked, secrets)?;
        if changed {
            let host = &shared.host;
            host.note(&tenant, Some(&integration), "secrets-changed", "by apply", &caller.name);
        }
        if signs_in {
            shared.host.signed_in(&integration).await;
        }
    }
    Ok(asked)
}

fn fresh() -> Result<IntegrationId, Response> {
    IntegrationId::new(new_id()).map_err(|e| unsound(e.to_string()))
}

fn owner(caller: &Caller, organization: Option<&str>) -> Result<TenantId, Response> {
    let own = caller.tenant.as_ref().map(TenantId::as_str);
    let organization = organization
        .or(own)
        .filter(|o| !o.starts_with('_'))
        .ok_or_else(|| unsound("a new integration needs organization_id: whose it is"))?;
    let tenant = TenantId::new(organization).map_err(|e| unsound(e.to_string()))?;
    own_tenant(caller, tenant)
}

/// A tenant that the caller may make something for.
pub(super) fn own_tenant(caller: &Caller, tenant: TenantId) -> Result<TenantId, Response> {
    if caller.sees(&tenant) {
        return Ok(tenant);
    }
    let detail = format!("this token is not of the organization {tenant}");
    Err(problem(403, "not-allowed", "Not allowed", detail))
}

fn keep(
    shared: &Shared,
    tenant: &TenantId,
    asked: &Asked,
    secrets: Secrets,
) -> Result<IntegrationId, Response> {
    let integration: Integration = serde_json::from_value(asked.body["after"].clone())
        .map_err(|e| failed(&anyhow::Error::from(e)))?;
    if integration.tenant != *tenant {
        return Err(failed(&anyhow::anyhow!("the engine answered for another tenant")));
    }
    let id = integration.id.clone();
    shared.host.keep(integration, secrets).map_err(|e| failed(&e))?;
    Ok(id)
}

/// The versions of an integration's settings.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Versions {
    /// The one that holds.
    present: u64,
    versions: Vec<Version>,
    next: Option<String>,
}

/// All versions of an integration's settings.
pub(crate) async fn versions(at: At, Asks(page): Asks<Page>) -> Response {
    let present = at.known.integration.version;
    answer(at.page("version", "", &page).map(|(versions, next)| Versions {
        present,
        versions,
        next,
    }))
}

/// Makes an earlier version the present one.
pub(crate) async fn rollback(at: At, Named(version): Named) -> Response {
    match try_rollback(&at, &version).await {
        Ok(asked) => respond(asked),
        Err(response) => response,
    }
}

/// Makes an earlier version the present one.
///
/// # Errors
/// Why it is not: a problem.
pub(crate) async fn try_rollback(at: &At, version: &str) -> Result<Asked, Response> {
    let Ok(number) = version.parse::<u64>() else { return Err(not_found("version", version)) };
    let host = &at.shared.host;
    let _naming = host.naming().await.map_err(|why| failed(&why))?;
    // Its name of then may be another's by now.
    let earlier: Option<Version> =
        at.row("version", &format!("{number:08}")).map_err(|why| failed(&why))?;
    if let Some(Version { integration, .. }) = &earlier {
        free(&at.shared, &integration.name, Some(at.id()))?;
        free(&at.shared, &integration.slug, Some(at.id()))?;
        // The secrets are those of today, and would be sent where that version says.
        let addresses = Addressed {
            base_url: Some(&integration.base_url),
            model_url: integration.platform.model_url.as_deref(),
        };
        let known = host.vault().get(at.id()).ok_or_else(|| not_found("version", version))?;
        may_be_used(&at.shared, &at.caller, Some(&known), &known.secrets, addresses)?;
    }
    let asked = at.asked(|integration| Operation::Rollback { integration, version: number }).await;
    if asked.status < 300 {
        let known = host.vault().get(at.id()).ok_or_else(|| not_found("version", version))?;
        keep(&at.shared, at.tenant(), &asked, known.secrets.clone())?;
    }
    Ok(asked)
}
