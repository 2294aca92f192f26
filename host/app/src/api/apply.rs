//! Settings documents: applied, listed by version, rolled back. Whose an integration is and its
//! secrets are taken out here; the rest goes to the engine, which checks it.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use firn_model::{Integration, IntegrationId, Intent, Operation, TenantId, Version};
use firn_remote::{Secret, Secrets};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::integrations::{Given, free, new_id, slug_of};
use super::{One, Shared, failed, json, ok, problem, respond};
use crate::host::Asked;

/// The body of `POST /api/v1/apply`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Apply {
    /// The settings file's content.
    document: Map<String, Json>,
    /// Only look, or do it.
    #[serde(default = "act")]
    intent: Intent,
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
}

pub(crate) async fn apply(State(shared): State<Shared>, headers: HeaderMap, raw: Body) -> Response {
    match try_apply(&shared, &headers, raw).await {
        Ok(response) | Err(response) => response,
    }
}

fn unsound(detail: impl Into<String>) -> Response {
    problem(422, "unsound-settings", "The settings are not sound", detail)
}

async fn try_apply(shared: &Shared, headers: &HeaderMap, raw: Body) -> Result<Response, Response> {
    let Apply { mut document, intent } = json(headers, raw).await?;
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
    let _naming = shared.host.naming().await;
    let known = shared.host.vault().find(&slug);
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
    let given = ours.credentials.map(|given| given.split(shared)).transpose()?;
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
        (None, Some((credentials, admin))) => {
            Secrets { credentials, admin, webhook: Vec::new(), callback: None, resource: None }
        }
        (None, None) => {
            return Err(unsound(
                "a new integration needs [credentials]: username and password, or client_id and client_secret",
            ));
        }
    };
    let secrets = Secrets {
        webhook: ours.webhook_secret.map_or(secrets.webhook, |secret| vec![secret]),
        callback: ours.callback_secret.or(secrets.callback),
        ..secrets
    };
    if !document.contains_key("external_user")
        && let Some(user) = secrets.credentials.user()
    {
        document.insert("external_user".to_owned(), json!(user));
    }
    let (id, tenant) = match &known {
        Some(known) => (known.integration.id.clone(), known.integration.tenant.clone()),
        None => (fresh()?, owner(ours.organization_id.as_deref())?),
    };
    shared.host.allowed(&document).map_err(|e| unsound(format!("{e:#}")))?;
    let document = Json::Object(document);
    let operation = Operation::Apply { id, document, intent };
    let asked = shared.host.operate(&tenant, operation, "api").await;
    if asked.status < 300 && intent == Intent::Act {
        let integration = keep(shared, &tenant, &asked, secrets)?;
        if signs_in {
            shared.host.signed_in(&integration).await;
        }
    }
    Ok(respond(asked))
}

fn fresh() -> Result<IntegrationId, Response> {
    IntegrationId::new(new_id()).map_err(|e| unsound(e.to_string()))
}

fn owner(organization: Option<&str>) -> Result<TenantId, Response> {
    let organization = organization
        .filter(|o| !o.starts_with('_'))
        .ok_or_else(|| unsound("a new integration needs organization_id: whose it is"))?;
    TenantId::new(organization).map_err(|e| unsound(e.to_string()))
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

/// All versions of an integration's settings.
pub(crate) async fn versions(State(shared): State<Shared>, One(known): One) -> Response {
    let prefix = format!("version/{}/", known.integration.id);
    match shared.host.rows::<Version>(&known.integration.tenant, &prefix) {
        Ok(versions) => ok(json!({ "present": known.integration.version, "versions": versions })),
        Err(why) => failed(&why),
    }
}

/// Makes an earlier version the present one.
pub(crate) async fn rollback(
    State(shared): State<Shared>,
    One(known): One,
    Path((_, version)): Path<(String, u64)>,
) -> Response {
    let _naming = shared.host.naming().await;
    let integration = known.integration.id.clone();
    let operation = Operation::Rollback { integration, version };
    let asked = shared.host.operate(&known.integration.tenant, operation, "api").await;
    if asked.status < 300
        && let Err(response) =
            keep(&shared, &known.integration.tenant, &asked, known.secrets.clone())
    {
        return response;
    }
    respond(asked)
}
