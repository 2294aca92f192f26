//! Integrations: create (seed 004's body), list, show, change, delete, provision.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use firn_model::{
    Configure, IntegrationId, Millis, PlatformContract, Preset, TenantId, rfc3339_text,
};
use firn_remote::{ApiPath, Credentials, Secret, Secrets};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::at::{Asks, At, unknown};
use super::instance::to_the_end;
use super::{Shared, failed, json, ok, problem, respond};
use crate::access::Caller;
use crate::host::CONSENT;
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
    #[serde(default)]
    settings: Json,
    /// Off: nothing is installed on the instance.
    #[serde(default)]
    provision: bool,
}

fn servicenow() -> String {
    "servicenow".to_owned()
}

/// How to sign in, where it does not follow from what is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Grant {
    Basic,
    Password,
    ClientCredentials,
    JwtBearer,
    AuthorizationCode,
}

/// Credentials as given: Basic or OAuth, and an administrator's for provisioning.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    grant: Option<Grant>,
    username: Option<String>,
    #[schemars(with = "Option<String>")]
    password: Option<Secret>,
    client_id: Option<String>,
    #[schemars(with = "Option<String>")]
    client_secret: Option<Secret>,
    subject: Option<String>,
    #[schemars(with = "Option<String>")]
    private_key: Option<Secret>,
    key_id: Option<String>,
    refresh_token_ends: Option<String>,
    admin_username: Option<String>,
    #[schemars(with = "Option<String>")]
    admin_password: Option<Secret>,
}

impl Given {
    pub(super) fn split(self) -> Result<(Credentials, Option<Credentials>), Response> {
        self.signs_in()
            .map_err(|why| problem(422, "credentials-missing", "Credentials are missing", why))
    }

    /// The same over what is there: whoever names a password or an administrator alone keeps the rest.
    fn over(mut self, known: &Credentials) -> Given {
        let names_nothing = self.grant.is_none()
            && self.client_id.is_none()
            && self.client_secret.is_none()
            && self.username.is_none();
        if let (true, Credentials::Basic { username, password }) = (names_nothing, known) {
            self.username = Some(username.clone());
            self.password = self.password.or(Some(password.clone()));
        }
        self
    }

    /// The integration's credentials and the administrator's.
    ///
    /// # Errors
    /// What is missing for them to sign somebody in, or is too much.
    pub(crate) fn signs_in(self) -> Result<(Credentials, Option<Credentials>), String> {
        let Given { username, password, client_id, client_secret, .. } = self;
        let admin = match (self.admin_username, self.admin_password) {
            (Some(username), Some(password)) => Some(Credentials::Basic { username, password }),
            (None, None) => None,
            _ => return Err("admin_username and admin_password go together".to_owned()),
        };
        let told = self.grant.or(match () {
            () if self.private_key.is_some() => Some(Grant::JwtBearer),
            () if client_id.is_some() && username.is_some() => Some(Grant::Password),
            () if client_id.is_some() => Some(Grant::ClientCredentials),
            () if username.is_some() => Some(Grant::Basic),
            () => None,
        });
        let ends = self.refresh_token_ends.as_deref().map(day).transpose()?;
        if ends.is_some() && told != Some(Grant::AuthorizationCode) {
            return Err("refresh_token_ends is about grant = \"authorization-code\"".to_owned());
        }
        let needs = |grant: &str, what: &str| format!("{grant} needs {what}");
        let credentials = match (told, client_id, client_secret, username, password) {
            (Some(Grant::Basic), None, None, Some(username), Some(password)) => {
                Credentials::Basic { username, password }
            }
            (Some(Grant::Basic), ..) => {
                return Err(needs("basic", "username and password, and nothing else"));
            }
            (
                Some(Grant::Password),
                Some(client_id),
                Some(client_secret),
                Some(username),
                Some(password),
            ) => Credentials::Password { client_id, client_secret, username, password },
            (Some(Grant::Password), ..) => {
                return Err(needs("password", "client_id, client_secret, username and password"));
            }
            (Some(Grant::ClientCredentials), Some(client_id), Some(client_secret), None, None) => {
                Credentials::ClientCredentials { client_id, client_secret }
            }
            (Some(Grant::ClientCredentials), ..) => {
                return Err(needs("client-credentials", "client_id and client_secret"));
            }
            (Some(Grant::JwtBearer), Some(client_id), Some(client_secret), None, None) => {
                let (Some(subject), Some(private_key)) = (self.subject, self.private_key) else {
                    return Err(needs("jwt-bearer", "subject and private_key"));
                };
                let key_id = self.key_id;
                Credentials::JwtBearer { client_id, client_secret, subject, private_key, key_id }
            }
            (Some(Grant::JwtBearer), ..) => {
                return Err(needs(
                    "jwt-bearer",
                    "client_id, client_secret, subject and private_key",
                ));
            }
            (Some(Grant::AuthorizationCode), Some(client_id), client_secret, None, None) => {
                let refresh_token_ends = ends;
                Credentials::AuthorizationCode { client_id, client_secret, refresh_token_ends }
            }
            (Some(Grant::AuthorizationCode), ..) => {
                return Err(needs(
                    "authorization-code",
                    "client_id, and client_secret unless the client is public; the user signs in with a browser",
                ));
            }
            (None, ..) => {
                return Err("give username and password, or client_id and client_secret".to_owned());
            }
        };
        Ok((credentials, admin))
    }
}

/// Where secrets are that are not given themselves: `env:NAME`, `file:PATH`, `exec:COMMAND`.
fn references(secrets: &Secrets) -> BTreeSet<String> {
    fn look(value: &Json, found: &mut BTreeSet<String>) {
        match value {
            Json::Object(map) => map.values().for_each(|value| look(value, found)),
            Json::Array(items) => items.iter().for_each(|item| look(item, found)),
            Json::String(text)
                if ["env:", "file:", "exec:"].iter().any(|k| text.starts_with(k)) =>
            {
                found.insert(text.clone());
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    look(&json!(secrets), &mut found);
    found
}

/// Whether a caller may have an integration work with these secrets. What is looked up is looked up as
/// Firn's own user, and sent to the instance: an environment, a file and a command are the host's own, and no
/// tenant's.
pub(super) fn may_be_used(
    shared: &Shared,
    caller: &Caller,
    known: Option<&Known>,
    secrets: &Secrets,
    base_url: Option<&str>,
) -> Result<(), Response> {
    let now = references(secrets);
    let before = known.map(|known| references(&known.secrets)).unwrap_or_default();
    let new: Vec<&String> = now.difference(&before).collect();
    if !shared.exec_secrets && new.iter().any(|text| text.starts_with("exec:")) {
        let detail =
            "a command would run as Firn's own user; start with: firn serve --allow-exec-secrets";
        return Err(problem(422, "exec-not-allowed", "exec: secrets are not allowed", detail));
    }
    let moved = known.is_some_and(|known| {
        base_url.is_some_and(|url| firn_model::instance_address(url) != known.integration.base_url)
    });
    if caller.tenant.is_some() && (!new.is_empty() || moved && !now.is_empty()) {
        let detail = "env:, file: and exec: are looked up on the host, which is not this tenant's; give the secret itself, or have an administrator of all tenants do this";
        return Err(problem(422, "reference-not-allowed", "Not a secret of this tenant's", detail));
    }
    Ok(())
}

/// The end of a day's beginning: `2027-01-31`, in milliseconds since 1970.
fn day(text: &str) -> Result<i64, String> {
    firn_model::parse_servicenow(&format!("{text} 00:00:00"))
        .map(|at| at.0)
        .map_err(|_| format!("refresh_token_ends is a day, as 2027-01-31, not {text:?}"))
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
    let plain = !name.trim().is_empty() && name.len() <= 120 && !name.chars().any(char::is_control);
    if !plain {
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
    let _naming = shared.host.naming().await;
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
        resource: None,
    };
    may_be_used(shared, caller, None, &secrets, None)?;
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

/// Asks for a consent: answers where the person has to go with a browser.
pub(crate) async fn connect(at: At) -> Response {
    let shared = &at.shared;
    match shared.host.ask_consent(&at.known) {
        Ok(url) => {
            at.note("consent-asked", "of a person with a browser");
            ok(json!({ "authorize_url": url.as_str(), "redirect_uri": shared.host.redirect_uri(),
            "expires_in": CONSENT.as_secs() }))
        }
        Err(why) => problem(422, "not-connectable", "It cannot be connected", format!("{why:#}")),
    }
}

/// What an instance sends the browser back with.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Consented {
    #[serde(default)]
    state: String,
    code: Option<String>,
    error: Option<String>,
}

/// The browser comes back from the instance. Its `state` is its ticket: unguessable, good once.
pub(crate) async fn consented(
    State(shared): State<Shared>,
    Asks(Consented { state, code, error }): Asks<Consented>,
) -> Response {
    let (status, text) = match shared.host.consented(&state, code, error).await {
        Ok(name) => (200, format!("{name} is connected. You can close this page.")),
        Err(why) => (400, format!("Not connected: {why:#}")),
    };
    // Plain text: nothing of it is markup, whatever the instance said.
    let headers = [
        ("content-type", "text/plain; charset=utf-8"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ];
    let status = axum::http::StatusCode::from_u16(status).unwrap_or_default();
    (status, headers, text + "\n").into_response()
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
    let _naming = shared.host.naming().await;
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
    may_be_used(shared, &at.caller, Some(&known), &secrets, change.base_url.as_deref())?;
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
    let _naming = shared.host.naming().await;
    let known = shared.host.vault().get(at.id()).ok_or_else(|| unknown(at.id().as_str()))?;
    unchanged(headers, &known)?;
    let mut removed = Vec::new();
    // Without a webhook secret nothing was ever installed.
    if query.provisioned.is_none() && !known.secrets.webhook.is_empty() {
        let (host, from) = (Arc::clone(&shared.host), Arc::clone(&known));
        let done = to_the_end(async move { host.unprovision(&from, None).await }).await;
        removed = done.map_err(|why| {
            let detail = format!(
                "{why:#}; mend it, or delete with ?provisioned=keep and remove the artifacts by hand"
            );
            problem(502, "not-unprovisioned", "The instance could not be cleaned up", detail)
        })?;
    }
    shared.host.vault().forget(&known).map_err(|why| failed(&why))?;
    shared.host.forget_limits(at.id());
    let what = format!("{} ({})", known.integration.name, at.id());
    // Where it is read still: the integration is no more.
    shared.host.note(at.tenant(), None, "deleted", &what, &at.caller.name);
    Ok(ok(json!({ "status": "deleted", "id": known.integration.id, "removed": removed })))
}
