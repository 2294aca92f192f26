//! Tokens over HTTP: made, listed, revoked; and `POST /oauth/token`, where an OAuth client exchanges its
//! secret for a token that ends after an hour (RFC 6749, section 4.4).

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firn_model::{Millis, TenantId};
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::at::{Named, not_found};
use super::{Shared, body, failed, json, ok, plain, problem, respond, span};
use crate::access::{ACCESS, Asked as Wanted, Caller, Kind, NotMade, Revoked, Role, Token};
use crate::host::{Asked, now};

/// All tokens that the caller may see: never the tokens themselves.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Tokens {
    tokens: Vec<Token>,
}

pub(crate) async fn list(State(shared): State<Shared>, caller: Caller) -> Response {
    ok(Tokens { tokens: shared.host.access().list(&caller) })
}

/// The body of `POST /api/v1/tokens`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    /// What people call it; the audit does too.
    name: String,
    role: Role,
    /// Whose integrations it sees; of all tenants if not given, which only a token of all tenants may ask for.
    tenant: Option<TenantId>,
    /// How long it lasts: `90d`, `12h`; without end if not given.
    expires_in: Option<String>,
    /// An OAuth client: its secret is exchanged at `/oauth/token`, and opens nothing itself.
    #[serde(default)]
    client: bool,
}

/// A token that was made. It is shown this once.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Created {
    #[serde(flatten)]
    token: Token,
    /// Sent as `Authorization: Bearer ...`. Not there for an OAuth client.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Of an OAuth client.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
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

/// When something ends that lasts so long: `90d`, `12h`.
fn end(text: &str) -> Result<Millis, Response> {
    span(text)
        .and_then(|millis| now().0.checked_add(millis))
        // What is written as a date has four digits for the year.
        .filter(|end| *end < 253_370_764_800_000)
        .map(Millis)
        .ok_or_else(|| {
            let detail = format!("{text:?} is no time that a token can last: write 12h or 90d");
            problem(422, "bad-time", "Not a time", detail)
        })
}

async fn try_create(
    shared: &Shared,
    caller: &Caller,
    headers: &HeaderMap,
    raw: Body,
) -> Result<Response, Response> {
    let Create { name, role, tenant, expires_in, client } = json(headers, raw).await?;
    if !plain(&name, 80) {
        let detail = "a name has 1 to 80 bytes and no control characters";
        return Err(problem(422, "invalid-name", "Not a valid name", detail));
    }
    let tenant = tenant.or_else(|| caller.tenant.clone());
    let allowed = match &tenant {
        None => caller.tenant.is_none(),
        Some(tenant) => caller.sees(tenant) && !tenant.as_str().starts_with('_'),
    };
    if !allowed {
        let detail = "a token is made for its maker's own tenant";
        return Err(problem(403, "not-allowed", "Not allowed", detail));
    }
    let _naming = shared.host.naming().await.map_err(|why| failed(&why))?;
    let access = shared.host.access();
    let expires = expires_in.as_deref().map(end).transpose()?;
    let kind = if client { Kind::Client } else { Kind::Bearer };
    let by = caller.name.clone();
    let made = access.create(Wanted { name, role, tenant, kind, created: now(), expires, by });
    let (token, secret) = made.map_err(|why| match why {
        NotMade::NameTaken(_) => problem(409, "name-taken", "The name is taken", why.to_string()),
        NotMade::Full => problem(422, "too-many", "Too many tokens", why.to_string()),
        NotMade::Failed(why) => failed(&why),
    })?;
    let role = serde_json::to_value(token.role).unwrap_or_default();
    let what = format!("{} ({}), {}", token.name, token.id, role.as_str().unwrap_or_default());
    shared.host.note(&owner(&token), None, "token-created", &what, &caller.name);
    let secret = secret.expose_secret().to_owned();
    let created = match token.kind {
        Kind::Bearer => {
            Created { secret: Some(secret), client_id: None, client_secret: None, token }
        }
        Kind::Client => Created {
            secret: None,
            client_id: Some(token.id.clone()),
            client_secret: Some(secret),
            token,
        },
    };
    let body = serde_json::to_value(created).unwrap_or_default();
    Ok(no_store(respond(Asked { status: 201, body, location: None })))
}

/// In whose audit a token stands.
fn owner(token: &Token) -> TenantId {
    token.tenant.clone().unwrap_or_else(crate::vault::system)
}

pub(crate) async fn revoke(
    State(shared): State<Shared>,
    caller: Caller,
    Named(id): Named,
) -> Response {
    let _naming = match shared.host.naming().await {
        Ok(naming) => naming,
        Err(why) => return failed(&why),
    };
    match shared.host.access().revoke(&caller, &id) {
        Ok(Revoked::Ended(token)) => {
            let what = format!("{} ({})", token.name, token.id);
            shared.host.note(&owner(&token), None, "token-revoked", &what, &caller.name);
            ok(json!({ "status": "revoked", "id": token.id }))
        }
        Ok(Revoked::Several(ids)) => {
            let detail = format!("several tokens have this name; name one of {}", ids.join(", "));
            problem(409, "several-meant", "Several are meant", detail)
        }
        Ok(Revoked::Last) => {
            let detail = "it is the last administrator's of all tenants, and nobody could make another; make one first";
            problem(409, "last-administrator", "Not the last one", detail)
        }
        Ok(Revoked::Unknown) => not_found("token", &id),
        Err(why) => failed(&why),
    }
}

fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
    response
}

/// The form that a client sends. Its id and secret may come as HTTP Basic instead.
#[derive(JsonSchema)]
#[allow(dead_code)] // It stands for what `exchange` reads.
pub(crate) struct Exchange {
    /// `client_credentials`.
    grant_type: String,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// An access token (RFC 6749, section 5.1).
#[derive(Serialize, JsonSchema)]
pub(crate) struct Granted {
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// In seconds.
    expires_in: i64,
}

/// Why none is given (RFC 6749, section 5.2).
#[derive(Serialize, JsonSchema)]
pub(crate) struct NotGranted {
    error: &'static str,
    error_description: String,
}

pub(crate) async fn exchange(
    State(shared): State<Shared>,
    headers: HeaderMap,
    raw: Body,
) -> Response {
    let refuse = |status: u16, error, why: &str| {
        let body = serde_json::to_value(NotGranted { error, error_description: why.to_owned() });
        let body = body.unwrap_or_default().to_string();
        let status = axum::http::StatusCode::from_u16(status).unwrap_or_default();
        let mut response = (status, [("content-type", "application/json")], body).into_response();
        if status.as_u16() == 401 {
            let basic = HeaderValue::from_static("Basic realm=\"firn\"");
            response.headers_mut().insert("www-authenticate", basic);
        }
        no_store(response)
    };
    let text = match body(&headers, raw).await {
        Ok(text) => text,
        Err(why) => {
            return refuse(why.status().as_u16(), "invalid_request", "the form cannot be read");
        }
    };
    let mut form = std::collections::BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
        if form.insert(name.into_owned(), value.into_owned()).is_some() {
            return refuse(400, "invalid_request", "a parameter is there more than once");
        }
    }
    match form.get("grant_type").map(String::as_str) {
        Some("client_credentials") => {}
        Some(_) => {
            return refuse(400, "unsupported_grant_type", "grant_type is client_credentials");
        }
        None => {
            let why = "send grant_type=client_credentials as application/x-www-form-urlencoded";
            return refuse(400, "invalid_request", why);
        }
    }
    let shown = match (basic(&headers), form.remove("client_id"), form.remove("client_secret")) {
        (Some(shown), None, None) => shown,
        (Some(shown), Some(id), None) if shown.0 == id => shown,
        (None, Some(id), Some(secret)) => (id, secret),
        (Some(_), ..) => {
            return refuse(400, "invalid_request", "a client shows its secret in one way only");
        }
        _ => return refuse(401, "invalid_client", "client_id and client_secret are missing"),
    };
    match shared.host.access().exchange(&shown.0, &shown.1, now()) {
        Ok((token, client)) => {
            let left = client.expires.map_or(ACCESS, |end| (end.0 - now().0).clamp(0, ACCESS));
            no_store(ok(Granted {
                access_token: token.expose_secret().to_owned(),
                token_type: "Bearer",
                expires_in: left / 1_000,
            }))
        }
        Err(_) => {
            refuse(401, "invalid_client", "there is no such client, or this is not its secret")
        }
    }
}

/// A name and password as HTTP Basic has them, form-encoded each (RFC 6749, section 2.3.1).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let mut given = headers.get_all("authorization").iter();
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    let (scheme, encoded) = value.to_str().ok()?.split_at_checked(6)?;
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    let decoded = |text: &str| {
        let pair = format!("x={text}");
        url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, v)| v.into_owned())
    };
    let shown = (decoded(name)?, decoded(password)?);
    scheme.eq_ignore_ascii_case("basic ").then_some(shown)
}
