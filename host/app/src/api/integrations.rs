//! Integrations: create (seed 004's body), list, show, change, delete, provision.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use firn_model::{Configure, IntegrationId, PlatformContract, Preset, TenantId};
use firn_remote::{Credentials, Secret, Secrets};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{Shared, failed, json, ok, problem, respond};
use crate::vault::Known;

/// The body of `POST /api/v1/integrations`, as seed 004 prints it, and what else may be said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    organization_id: String,
    #[serde(default = "servicenow")]
    integration_type: String,
    name: String,
    base_url: String,
    credentials: Given,
    #[serde(default)]
    sync_direction: Option<String>,
    #[serde(default)]
    enabled: Option<bool>,
    #[serde(default)]
    slug: Option<String>,
    #[serde(default)]
    preset: Option<Preset>,
    #[serde(default)]
    platform: Option<PlatformContract>,
    #[serde(default)]
    callback_secret: Option<Secret>,
    #[serde(default)]
    webhook_secret: Option<Secret>,
    #[serde(default)]
    settings: Json,
    /// Off: nothing is installed on the instance.
    #[serde(default)]
    provision: bool,
}

fn servicenow() -> String {
    "servicenow".to_owned()
}

/// Credentials as given: Basic or OAuth, and an administrator's for provisioning.
#[derive(Deserialize)]
pub(crate) struct Given {
    username: Option<String>,
    password: Option<Secret>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    admin_username: Option<String>,
    admin_password: Option<Secret>,
}

impl Given {
    fn split(self) -> Result<(Credentials, Option<Credentials>), Response> {
        let missing = || {
            problem(
                422,
                "credentials-missing",
                "Credentials are missing",
                "give username and password, or client_id and client_secret",
            )
        };
        let admin = match (self.admin_username, self.admin_password) {
            (Some(username), Some(password)) => Some(Credentials::Basic { username, password }),
            _ => None,
        };
        let credentials = match (self.client_id, self.client_secret, self.username, self.password) {
            (Some(client_id), Some(client_secret), username, password) => {
                Credentials::OAuth { client_id, client_secret, username, password }
            }
            (_, _, Some(username), Some(password)) => Credentials::Basic { username, password },
            _ => return Err(missing()),
        };
        Ok((credentials, admin))
    }
}

/// `bidirectional`, or one way.
fn direction(settings: &mut Json, direction: Option<String>) -> Result<(), Response> {
    let Some(direction) = direction else { return Ok(()) };
    let known = match direction.as_str() {
        "bidirectional" => "bidirectional",
        "to-servicenow" | "outbound" => "to-servicenow",
        "to-platform" | "inbound" => "to-platform",
        _ => {
            return Err(problem(
                422,
                "unknown-direction",
                "Unknown direction",
                "sync_direction is bidirectional, to-servicenow or to-platform",
            ));
        }
    };
    object(settings)["direction"] = json!(known);
    Ok(())
}

fn object(settings: &mut Json) -> &mut Json {
    if settings.is_null() {
        *settings = json!({});
    }
    settings
}

/// A new id: short, random, and good in URLs.
fn new_id() -> String {
    format!("int-{:012x}", fastrand::u64(..) & 0xffff_ffff_ffff)
}

/// A short name from a name: `Production ServiceNow` becomes `production-servicenow`.
fn slug_of(name: &str) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-").chars().take(64).collect()
}

pub(crate) async fn create(
    State(shared): State<Shared>,
    headers: HeaderMap,
    raw: Body,
) -> Response {
    match try_create(&shared, &headers, raw).await {
        Ok(response) | Err(response) => response,
    }
}

async fn try_create(shared: &Shared, headers: &HeaderMap, raw: Body) -> Result<Response, Response> {
    let Create {
        organization_id,
        integration_type,
        name,
        base_url,
        credentials,
        sync_direction,
        enabled,
        slug,
        preset,
        platform,
        callback_secret,
        webhook_secret,
        mut settings,
        provision,
    } = json(headers, raw).await?;
    if integration_type != "servicenow" {
        return Err(problem(
            422,
            "unknown-type",
            "Unknown integration type",
            "integration_type is servicenow",
        ));
    }
    let invalid =
        |e: firn_model::InvalidId| problem(422, "invalid-id", "Not a valid id", e.to_string());
    let tenant = TenantId::new(organization_id).map_err(invalid)?;
    if tenant.as_str().starts_with('_') {
        return Err(problem(
            422,
            "invalid-id",
            "Not a valid id",
            "organization_id must not begin with _",
        ));
    }
    let slug = slug.unwrap_or_else(|| slug_of(&name));
    if shared.host.vault().find(&slug).is_some() || shared.host.vault().find(&name).is_some() {
        return Err(problem(
            409,
            "name-taken",
            "The name is taken",
            format!("there is an integration {slug} or {name:?} already"),
        ));
    }
    let (credentials, admin) = credentials.split()?;
    direction(&mut settings, sync_direction)?;
    if object(&mut settings).get("external_user").is_none()
        && let Credentials::Basic { username, .. }
        | Credentials::OAuth { username: Some(username), .. } = &credentials
    {
        settings["external_user"] = json!(username);
    }
    let given = Configure {
        id: IntegrationId::new(new_id()).map_err(invalid)?,
        create: true,
        slug: Some(slug),
        name: Some(name),
        base_url: Some(base_url),
        platform,
        enabled,
        preset,
        settings,
    };
    let secrets = Secrets {
        credentials,
        admin,
        webhook: webhook_secret.into_iter().collect(),
        callback: callback_secret,
    };
    let id = given.id.clone();
    let configured = shared.host.configure(&tenant, given, secrets, "api").await;
    let mut asked = configured.map_err(|e| {
        problem(422, "not-configured", "The integration was not created", format!("{e:#}"))
    })?;
    if asked.status == 201
        && let Some(known) = shared.host.vault().get(&id)
    {
        asked.body["webhook_url"] = json!(shared.host.webhook_url(&id));
        if provision {
            match shared.host.provision(&known).await {
                Ok(artifacts) => asked.body["provisioned"] = json!(artifacts),
                Err(why) => asked.body["provision_failed"] = json!(format!("{why:#}")),
            }
        }
    }
    Ok(respond(asked))
}

/// An integration as shown: never a secret.
fn shown(shared: &Shared, known: &Known) -> Json {
    let mut shown = json!(known.integration);
    shown["webhook_url"] = json!(shared.host.webhook_url(&known.integration.id));
    shown["webhook_secrets"] = json!(known.secrets.webhook.len());
    shown
}

pub(crate) async fn list(State(shared): State<Shared>) -> Response {
    let all: Vec<Json> =
        shared.host.vault().all().iter().map(|known| shown(&shared, known)).collect();
    ok(json!({ "integrations": all }))
}

pub(crate) async fn get(State(shared): State<Shared>, Path(reference): Path<String>) -> Response {
    match shared.known(&reference) {
        Ok(known) => ok(shown(&shared, &known)),
        Err(response) => response,
    }
}

/// The body of `PATCH /api/v1/integrations/{id}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    name: Option<String>,
    base_url: Option<String>,
    platform: Option<PlatformContract>,
    enabled: Option<bool>,
    sync_direction: Option<String>,
    #[serde(default)]
    settings: Json,
    credentials: Option<Given>,
}

pub(crate) async fn change(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
    headers: HeaderMap,
    raw: Body,
) -> Response {
    match try_change(&shared, &reference, &headers, raw).await {
        Ok(response) | Err(response) => response,
    }
}

async fn try_change(
    shared: &Shared,
    reference: &str,
    headers: &HeaderMap,
    raw: Body,
) -> Result<Response, Response> {
    let known = shared.known(reference)?;
    let mut change: Change = json(headers, raw).await?;
    direction(&mut change.settings, change.sync_direction)?;
    let mut secrets = known.secrets.clone();
    if let Some(given) = change.credentials {
        let (credentials, admin) = given.split()?;
        secrets.credentials = credentials;
        secrets.admin = admin.or(secrets.admin);
    }
    let given = Configure {
        id: known.integration.id.clone(),
        create: false,
        slug: None,
        name: change.name,
        base_url: change.base_url,
        platform: change.platform,
        enabled: change.enabled,
        preset: None,
        settings: change.settings,
    };
    let configured = shared.host.configure(&known.integration.tenant, given, secrets, "api").await;
    configured.map(respond).map_err(|e| {
        problem(422, "not-configured", "The integration was not changed", format!("{e:#}"))
    })
}

/// Query of `DELETE`: `?provisioned=keep` leaves the instance as it is.
#[derive(Deserialize)]
pub(crate) struct Delete {
    provisioned: Option<String>,
}

pub(crate) async fn delete(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
    Query(query): Query<Delete>,
) -> Response {
    let known = match shared.known(&reference) {
        Ok(known) => known,
        Err(response) => return response,
    };
    let mut removed = Vec::new();
    if query.provisioned.as_deref() != Some("keep") {
        match shared.host.unprovision(&known).await {
            Ok(artifacts) => removed = artifacts,
            Err(why) => {
                let detail = format!(
                    "{why:#}; mend it, or delete with ?provisioned=keep and remove the artifacts by hand"
                );
                return problem(
                    502,
                    "not-unprovisioned",
                    "The instance could not be cleaned up",
                    detail,
                );
            }
        }
    }
    match shared.host.vault().forget(&known) {
        Ok(()) => {
            ok(json!({ "status": "deleted", "id": known.integration.id, "removed": removed }))
        }
        Err(why) => failed(&why),
    }
}

pub(crate) async fn provision(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
) -> Response {
    let known = match shared.known(&reference) {
        Ok(known) => known,
        Err(response) => return response,
    };
    match shared.host.provision(&known).await {
        Ok(artifacts) => ok(json!({ "artifacts": artifacts })),
        Err(why) => problem(
            502,
            "not-provisioned",
            "The instance could not be provisioned",
            format!("{why:#}"),
        ),
    }
}

pub(crate) async fn unprovision(
    State(shared): State<Shared>,
    Path(reference): Path<String>,
) -> Response {
    let known = match shared.known(&reference) {
        Ok(known) => known,
        Err(response) => return response,
    };
    match shared.host.unprovision(&known).await {
        Ok(artifacts) => ok(json!({ "artifacts": artifacts })),
        Err(why) => problem(
            502,
            "not-unprovisioned",
            "The instance could not be cleaned up",
            format!("{why:#}"),
        ),
    }
}
