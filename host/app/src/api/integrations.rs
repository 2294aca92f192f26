//! Integrations: create (seed 004's body), list, show, change, delete, provision.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use firn_model::{
    Configure, IntegrationId, Millis, PlatformContract, Preset, TenantId, rfc3339_text,
};
use firn_remote::{ApiPath, Credentials, Secret, Secrets};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::at::{Asks, At, unknown};
use super::credentials::{Addressed, Given, may_be_used};
use super::instance::to_the_end;
use super::{Shared, failed, json, ok, plain, problem, respond};
use crate::access::Caller;
use crate::vault::Known;

/// The body of `POST /api/v1/integrations`, as seed 004 prints it, and what else may be said.
#[derive(Deserialize, JsonSchema)]
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
    #[schemars(with = "Option<String>")]
    callback_secret: Option<Secret>,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    webhook_secret: Option<Secret>,
    /// Lets Firn ask the language models at `platform.model_url`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    model_key: Option<Secret>,
    #[serde(default)]
    settings: Json,
    /// Off: nothing is installed on the instance.
    #[serde(default)]
    provision: bool,
}

fn servicenow() -> String {
    "servicenow".to_owned()
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
    object(settings)?["direction"] = json!(known);
    Ok(())
}

/// Settings that can be written to.
fn object(settings: &mut Json) -> Result<&mut Json, Response> {
    if settings.is_null() {
        *settings = json!({});
    }
    if settings.is_object() {
        return Ok(settings);
    }
    Err(problem(
        422,
        "unsound-settings",
        "The settings are not sound",
        "settings must be an object",
    ))
}

/// Firn's own entries are told by the user as which it signs in.
fn external_user(settings: &mut Json, credentials: &Credentials) -> Result<(), Response> {
    let settings = object(settings)?;
    if settings.get("external_user").is_none()
        && let Some(username) = credentials.user()
    {
        settings["external_user"] = json!(username);
    }
    Ok(())
}

/// A name that people can use, and that nobody else has.
pub(super) fn free(
    shared: &Shared,
    name: &str,
    own: Option<&IntegrationId>,
) -> Result<(), Response> {
    if !plain(name, 120) {
        return Err(problem(
            422,
            "invalid-name",
            "Not a valid name",
            "a name has 1 to 120 bytes and no control characters",
        ));
    }
    let taken = shared.host.vault().all().iter().any(|known| {
        let it = &known.integration;
        Some(&it.id) != own && (it.name == name || it.slug == name || it.id.as_str() == name)
    });
    if taken {
        return Err(problem(
            409,
            "name-taken",
            "The name is taken",
            format!("there is an integration {name:?} already"),
        ));
    }
    Ok(())
}

/// A new id: short, random, and good in URLs.
pub(super) fn new_id() -> String {
    format!("int-{:012x}", fastrand::u64(..) & 0xffff_ffff_ffff)
}

/// A short name from a name: `Production ServiceNow` becomes `production-servicenow`.
pub(super) fn slug_of(name: &str) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-").chars().take(64).collect()
}

pub(crate) async fn create(
    State(shared): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    raw: Body,
) -> Response {
    match try_create(&shared, &caller, &headers, raw).await {
        Ok(response) | Err(response) => response,
    }
}

async fn try_create(
    shared: &Shared,
    caller: &Caller,
    headers: &HeaderMap,
    raw: Body,
) -> Result<Response, Response> {
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
        model_key,
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
    let tenant = super::apply::own_tenant(caller, tenant)?;
    let id = new_id();
    let slug = slug.unwrap_or_else(|| slug_of(&name));
    let slug = if slug.is_empty() { id.clone() } else { slug };
    if !slug.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') || slug.len() > 64
    {
        return Err(problem(
            422,
            "invalid-name",
            "Not a valid slug",
            "a slug has 1 to 64 of A-Z a-z 0-9 - _",
        ));
    }
    // One at a time, so that two cannot take the same name at once.
    let _naming = shared.host.naming().await.map_err(|why| failed(&why))?;
    free(shared, &slug, None)?;
    free(shared, &name, None)?;
    let (credentials, admin) = credentials.split()?;
    direction(&mut settings, sync_direction)?;
    external_user(&mut settings, &credentials)?;
    let given = Configure {
        id: IntegrationId::new(id).map_err(invalid)?,
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
        model: model_key,
        resource: None,
    };
    may_be_used(shared, caller, None, &secrets, Addressed::default())?;
    let id = given.id.clone();
    let configured = shared.host.configure(&tenant, given, secrets, &caller.name).await;
    let mut asked = configured.map_err(|e| {
        problem(422, "not-configured", "The integration was not created", format!("{e:#}"))
    })?;
    if asked.status == 201
        && let Some(known) = shared.host.vault().get(&id)
    {
        asked.body["webhook_url"] = json!(shared.host.webhook_url(&id));
        if provision {
            let host = Arc::clone(&shared.host);
            let done = to_the_end(async move { host.provision(&known).await }).await;
            let what = super::instance::outcome(&done);
            shared.host.note(&tenant, Some(&id), "provisioned", &what, &caller.name);
            match done {
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
    let mut sign_in = json!(shared.host.sign_in(known));
    sign_in["grant"] = json!(known.secrets.credentials.grant());
    if let Some(granted) = known.target().granted {
        sign_in["connected_at"] = json!(rfc3339_text(Millis(granted.at)));
        if granted.refresh.is_some() {
            sign_in["refresh_token_ends"] = json!(rfc3339_text(Millis(granted.refresh_ends)));
        }
    }
    if let Some(why) = shared.host.refused_consent(&known.integration.id) {
        sign_in["consent_refused"] = json!(why);
    }
    if let Some(since) = sign_in["since"].as_i64() {
        sign_in["since"] = json!(rfc3339_text(Millis(since)));
    }
    shown["sign_in"] = sign_in;
    shown
}

/// All integrations that the caller sees.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Integrations {
    /// Each as `GET /api/v1/integrations/{integration}` shows it.
    integrations: Vec<Json>,
}

pub(crate) async fn list(State(shared): State<Shared>, caller: Caller) -> Response {
    let all = shared.host.vault().all();
    let seen = all.iter().filter(|known| caller.sees_integration(&known.integration));
    ok(Integrations { integrations: seen.map(|known| shown(&shared, known)).collect() })
}

pub(crate) async fn get(at: At) -> Response {
    tagged(ok(shown(&at.shared, &at.known)), &at.known)
}

/// What tells one state of an integration's settings from another: for `If-Match`.
fn etag(known: &Known) -> String {
    // Of the secrets nothing but that they are others: eight bytes of a digest of everything.
    let text = json!([known.integration, known.secrets]).to_string();
    format!("\"{}\"", crate::hex(&Sha256::digest(text.as_bytes())[..8]))
}

fn tagged(mut response: Response, known: &Known) -> Response {
    if let Ok(value) = HeaderValue::from_str(&etag(known)) {
        response.headers_mut().insert("etag", value);
    }
    response
}

/// Whether the integration is what whoever asks thinks it is (`If-Match`).
fn unchanged(headers: &HeaderMap, known: &Known) -> Result<(), Response> {
    let Some(wanted) = headers.get("if-match") else { return Ok(()) };
    let (wanted, present) = (wanted.to_str().unwrap_or_default(), etag(known));
    if wanted.split(',').any(|one| matches!(one.trim(), "*") || one.trim() == present) {
        return Ok(());
    }
    let detail = format!("it is {present} now; look at it again, and send If-Match with that");
    Err(problem(412, "changed-meanwhile", "It was changed meanwhile", detail))
}

/// The body of `PATCH /api/v1/integrations/{id}`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    name: Option<String>,
    base_url: Option<String>,
    #[serde(default)]
    platform: serde_json::Map<String, Json>,
    enabled: Option<bool>,
    sync_direction: Option<String>,
    #[serde(default)]
    settings: Json,
    credentials: Option<Given>,
    /// Signs what is posted to the platform.
    #[schemars(with = "Option<String>")]
    callback_secret: Option<Secret>,
    /// Signs ServiceNow's webhooks, where its rules were installed by hand.
    #[schemars(with = "Option<String>")]
    webhook_secret: Option<Secret>,
    /// Lets Firn ask the language models at `platform.model_url`.
    #[schemars(with = "Option<String>")]
    model_key: Option<Secret>,
    /// Where the instance has the Scripted REST resource, where nobody may look for it.
    resource_path: Option<String>,
}

pub(crate) async fn change(at: At, headers: HeaderMap, raw: Body) -> Response {
    match try_change(&at, &headers, raw).await {
        Ok(response) | Err(response) => response,
    }
}

async fn try_change(at: &At, headers: &HeaderMap, raw: Body) -> Result<Response, Response> {
    let shared = &at.shared;
    let mut change: Change = json(headers, raw).await?;
    direction(&mut change.settings, change.sync_direction)?;
    let _naming = shared.host.naming().await.map_err(|why| failed(&why))?;
    // As it is now that nobody else changes it.
    let known = shared.host.vault().get(at.id()).ok_or_else(|| unknown(at.id().as_str()))?;
    unchanged(headers, &known)?;
    if let Some(name) = &change.name {
        free(shared, name, Some(&known.integration.id))?;
    }
    // What is not named stays as it is; null removes.
    let mut platform = json!(known.integration.platform);
    for (name, value) in change.platform {
        platform[name] = value;
    }
    let platform: PlatformContract = serde_json::from_value(platform).map_err(|e| {
        problem(422, "unsound-settings", "The settings are not sound", format!("platform: {e}"))
    })?;
    let mut secrets = known.secrets.clone();
    let resource = change.resource_path.map(ApiPath::new).transpose();
    let resource = resource
        .map_err(|e| problem(422, "invalid-path", "Not a path of an API", e.to_string()))?;
    if let Some(given) = change.credentials {
        let (credentials, admin) = given.over(&secrets.credentials).split()?;
        secrets.credentials = credentials;
        secrets.admin = admin.or(secrets.admin);
        external_user(&mut change.settings, &secrets.credentials)?;
    }
    secrets.callback = change.callback_secret.or(secrets.callback);
    secrets.model = change.model_key.or(secrets.model);
    secrets.webhook = change.webhook_secret.map_or(secrets.webhook, |secret| vec![secret]);
    let addresses = Addressed {
        base_url: change.base_url.as_deref(),
        model_url: platform.model_url.as_deref(),
    };
    may_be_used(shared, &at.caller, Some(&known), &secrets, addresses)?;
    let changed = secrets != known.secrets;
    let given = Configure {
        id: known.integration.id.clone(),
        create: false,
        slug: None,
        name: change.name,
        base_url: change.base_url,
        platform: Some(platform),
        enabled: change.enabled,
        preset: None,
        settings: change.settings,
    };
    let id = given.id.clone();
    // The same again is no news: it would be tried more often than once a minute.
    let signs_in = secrets.credentials != known.secrets.credentials;
    let configured = shared.host.configure(at.tenant(), given, secrets, &at.caller.name).await;
    if signs_in && configured.as_ref().is_ok_and(|asked| asked.status < 300) {
        shared.host.signed_in(&id).await;
    }
    let mut asked = configured.map_err(|e| {
        problem(422, "not-configured", "The integration was not changed", format!("{e:#}"))
    })?;
    if changed && asked.status < 300 {
        at.note("secrets-changed", "credentials");
    }
    if let Some(path) = resource.filter(|_| asked.status < 300) {
        shared.host.told_resource(&id, path).map_err(|e| failed(&e))?;
    }
    let base = known.integration.base_url.as_str();
    if asked.status < 300 && asked.body["base_url"] != base && !known.secrets.webhook.is_empty() {
        asked.body["note"] = json!(format!(
            "what was installed on {base} is there still, and nothing is on the new instance yet; go back and unprovision it, or remove it by hand, and provision the new one"
        ));
    }
    let response = respond(asked);
    Ok(match shared.host.vault().get(&id) {
        Some(known) => tagged(response, &known),
        None => response,
    })
}

/// Query of `DELETE`.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Delete {
    /// `keep` leaves the instance as it is.
    provisioned: Option<Keep>,
}

/// What is left on the instance.
#[derive(Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Keep {
    /// Everything that was installed.
    Keep,
}

pub(crate) async fn delete(at: At, Asks(query): Asks<Delete>, headers: HeaderMap) -> Response {
    match try_delete(&at, &query, &headers).await {
        Ok(response) | Err(response) => response,
    }
}

async fn try_delete(at: &At, query: &Delete, headers: &HeaderMap) -> Result<Response, Response> {
    let shared = &at.shared;
    let _naming = shared.host.naming().await.map_err(|why| failed(&why))?;
    let known = shared.host.vault().get(at.id()).ok_or_else(|| unknown(at.id().as_str()))?;
    unchanged(headers, &known)?;
    let mut removed = Vec::new();
    // Without a webhook secret nothing was ever installed.
    if query.provisioned.is_none() && !known.secrets.webhook.is_empty() {
        let (host, from) = (Arc::clone(&shared.host), Arc::clone(&known));
        let done = to_the_end(async move { host.unprovision(&from, None).await }).await;
        removed = done.map_err(|why| {
            let detail = format!(
                "{why:#}; mend it, or delete with ?provisioned=keep (--no-unprovision) and remove the artifacts by hand"
            );
            problem(502, "not-unprovisioned", "The instance could not be cleaned up", detail)
        })?;
    }
    shared.host.vault().forget(&known).map_err(|why| failed(&why))?;
    shared.host.forget_limits(at.id());
    shared.forget_standing(at.id());
    let what = format!("{} ({})", known.integration.name, at.id());
    // Where it is read still: the integration is no more.
    shared.host.note(at.tenant(), None, "deleted", &what, &at.caller.name);
    Ok(ok(json!({ "status": "deleted", "id": known.integration.id, "removed": removed })))
}
