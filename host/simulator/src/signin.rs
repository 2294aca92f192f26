//! Who signs in: Basic, and OAuth tokens as an instance gives them: by password, for the client
//! itself, for a signed assertion, and by a person's consent on a page (with PKCE). While a token
//! lives, asking again gives the same one with less time left.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::tables::Tables;

/// The registered client. Every address on this machine is a redirect address of its.
const CLIENT: (&str, &str) = ("firn", "firn");
/// A public client: it has no secret, has to prove itself (PKCE), and gets no refresh token.
const PUBLIC: &str = "firn-public";
/// Whom `client_credentials` stands for.
const CLIENT_USER: &str = "integration";
const ACCESS: Duration = Duration::from_secs(1_800);
const REFRESH: Duration = Duration::from_secs(8_640_000);
/// How long the code of a consent is good for.
const CODE: Duration = Duration::from_secs(60);

/// A consent whose code was not used yet.
struct Code {
    client: String,
    user: String,
    redirect: String,
    challenge: Option<String>,
    end: Instant,
}

pub(crate) struct Tokens {
    access: BTreeMap<String, (String, Instant)>,
    refresh: BTreeMap<String, (String, Instant)>,
    codes: BTreeMap<String, Code>,
    /// Public keys (PEM) whose assertions are believed.
    keys: Vec<String>,
    /// Failed Basic sign-ins in a row, by user.
    failed: BTreeMap<String, u32>,
    life: Duration,
    /// Whether a refresh gives a new refresh token and ends the old one; ServiceNow's does not.
    rotates: bool,
}

impl Default for Tokens {
    fn default() -> Tokens {
        Tokens {
            access: BTreeMap::new(),
            refresh: BTreeMap::new(),
            codes: BTreeMap::new(),
            keys: Vec::new(),
            failed: BTreeMap::new(),
            life: ACCESS,
            rotates: false,
        }
    }
}

type Form = BTreeMap<String, String>;

fn text<'f>(form: &'f Form, name: &str) -> &'f str {
    form.get(name).map_or("", String::as_str)
}

impl Tokens {
    /// The user behind an `Authorization` header.
    pub(crate) fn user(&mut self, tables: &mut Tables, header: Option<&str>) -> Option<String> {
        let header = header?;
        if let Some(token) = header.strip_prefix("Bearer ") {
            let (user, end) = self.access.get(token)?;
            return (*end > Instant::now()).then(|| user.clone());
        }
        let encoded = header.strip_prefix("Basic ")?;
        let decoded = STANDARD.decode(encoded).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (name, password) = decoded.split_once(':')?;
        let right = check(tables, name, password);
        let failed = self.failed.entry(name.to_owned()).or_default();
        *failed = if right { 0 } else { *failed + 1 };
        let most = tables.quirks.lock_out_after;
        if most > 0 && *failed >= most {
            let id = tables.first("sys_user", "user_name", name);
            if let Some(id) = id.and_then(|row| row.get("sys_id").cloned()) {
                tables.force("sys_user", &id, "locked_out", "true");
            }
        }
        right.then(|| name.to_owned())
    }

    /// `POST /oauth_token.do`. Nearly every fault has the same answer.
    pub(crate) fn grant(&mut self, tables: &mut Tables, form: &Form) -> (u16, Json) {
        self.granted(tables, form).unwrap_or_else(|| {
            if tables.quirks.rfc_oauth_errors {
                let known = text(form, "client_id") == PUBLIC
                    || (text(form, "client_id"), text(form, "client_secret")) == CLIENT;
                return match known {
                    true => (400, json!({ "error": "invalid_grant" })),
                    false => (401, json!({ "error": "invalid_client" })),
                };
            }
            (401, json!({ "error": "server_error", "error_description": "access_denied" }))
        })
    }

    fn granted(&mut self, tables: &mut Tables, form: &Form) -> Option<(u16, Json)> {
        let text = |name: &str| text(form, name);
        let client = text("client_id");
        let public = client == PUBLIC && text("client_secret").is_empty();
        if !public && (client, text("client_secret")) != CLIENT {
            return None;
        }
        let grant = text("grant_type");
        let user = match grant {
            "authorization_code" => self.consented(client, form, public)?,
            _ if public => return None,
            "password" => check(tables, text("username"), text("password"))
                .then(|| text("username").to_owned())?,
            "client_credentials" => CLIENT_USER.to_owned(),
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                let user = self.asserted(client, text("assertion"))?;
                tables.first("sys_user", "user_name", &user)?;
                user
            }
            "refresh_token" => {
                let (user, end) = self.refresh.get(text("refresh_token"))?;
                (*end > Instant::now()).then(|| user.clone())?
            }
            _ => return None,
        };
        let now = Instant::now();
        let living = self.access.iter().find(|(_, (u, end))| *u == user && *end > now);
        let (access, left) = match living {
            Some((token, (_, end))) => (token.clone(), *end - now),
            None => {
                let token = tables.guid();
                self.access.insert(token.clone(), (user.clone(), now + self.life));
                (token, self.life)
            }
        };
        let mut answer = json!({ "access_token": access, "scope": "useraccount", "token_type": "Bearer",
            "expires_in": left.as_secs().saturating_sub(1) });
        if matches!(grant, "password" | "authorization_code" | "refresh_token") && !public {
            if self.rotates {
                self.refresh.remove(text("refresh_token"));
            }
            let known = self.refresh.iter().find(|(_, (u, _))| *u == user && !self.rotates);
            let refresh = known.map(|(t, _)| t.clone()).unwrap_or_else(|| tables.guid());
            self.refresh.entry(refresh.clone()).or_insert((user, now + REFRESH));
            answer["refresh_token"] = json!(refresh);
        }
        Some((200, answer))
    }

    /// The user whose consent a code stands for. A code is good once.
    fn consented(&mut self, client: &str, form: &Form, public: bool) -> Option<String> {
        let code = self.codes.remove(text(form, "code"))?;
        let challenge =
            URL_SAFE_NO_PAD.encode(Sha256::digest(text(form, "code_verifier").as_bytes()));
        let proven = match &code.challenge {
            Some(expected) => *expected == challenge,
            None => !public,
        };
        let fits = code.client == client
            && code.redirect == text(form, "redirect_uri")
            && code.end > Instant::now();
        (proven && fits).then_some(code.user)
    }

    /// The user that a signed assertion speaks for.
    fn asserted(&self, client: &str, assertion: &str) -> Option<String> {
        let header = jsonwebtoken::decode_header(assertion).ok()?;
        self.keys.iter().find_map(|pem| {
            let key = match header.alg {
                Algorithm::ES256 => DecodingKey::from_ec_pem(pem.as_bytes()).ok()?,
                _ => DecodingKey::from_rsa_pem(pem.as_bytes()).ok()?,
            };
            let mut validation = Validation::new(header.alg);
            validation.set_audience(&[client]);
            validation.set_issuer(&[client]);
            let token = jsonwebtoken::decode::<Json>(assertion, &key, &validation).ok()?;
            token.claims["sub"].as_str().map(str::to_owned)
        })
    }

    /// `/oauth_auth.do`: the page that asks, and what a person answered on it.
    pub(crate) fn consent(&mut self, tables: &mut Tables, form: &Form, answered: bool) -> Page {
        let text = |name: &str| text(form, name);
        let known = matches!(text("client_id"), PUBLIC) || text("client_id") == CLIENT.0;
        let redirect = url::Url::parse(text("redirect_uri")).ok();
        let local = redirect.as_ref().and_then(url::Url::host_str);
        let Some(mut redirect) = redirect
            .clone()
            .filter(|_| known && matches!(local, Some("127.0.0.1" | "localhost" | "[::1]")))
        else {
            return Page::Refused("Invalid client or redirect_uri");
        };
        if text("response_type") != "code" {
            return Page::Refused("Invalid response_type");
        }
        if text("state").is_empty() {
            return Page::Refused("Missing State parameter in request");
        }
        if !answered {
            return Page::Ask;
        }
        if text("decision") != "allow" {
            redirect.query_pairs_mut().append_pair("error", "access_denied");
        } else if check(tables, text("username"), text("password")) {
            let challenge = Some(text("code_challenge")).filter(|c| !c.is_empty());
            let code = tables.guid();
            redirect.query_pairs_mut().append_pair("code", &code);
            self.codes.insert(
                code,
                Code {
                    client: text("client_id").to_owned(),
                    user: text("username").to_owned(),
                    redirect: text("redirect_uri").to_owned(),
                    challenge: challenge.map(str::to_owned),
                    end: Instant::now() + CODE,
                },
            );
        } else {
            return Page::Ask;
        }
        redirect.query_pairs_mut().append_pair("state", text("state"));
        Page::Back(redirect.to_string())
    }

    /// Ends one token.
    pub(crate) fn end(&mut self, token: &str) {
        self.access.remove(token);
        self.refresh.remove(token);
    }

    /// Ends every access token, as a restart or an administrator does.
    pub(crate) fn revoke(&mut self) {
        self.access.clear();
    }

    /// Ends every consent too.
    pub(crate) fn revoke_all(&mut self) {
        self.revoke();
        self.refresh.clear();
        self.codes.clear();
    }

    /// How long access tokens live from now on, and whether a refresh token is good once only.
    pub(crate) fn lives(&mut self, life: Duration, rotates: bool) {
        self.life = life;
        self.rotates = rotates;
    }

    /// Believes assertions that are signed with this key's private half.
    pub(crate) fn trust(&mut self, public_key: String) {
        self.keys.push(public_key);
    }
}

/// What `/oauth_auth.do` answers.
pub(crate) enum Page {
    /// Who are you, and do you allow it?
    Ask,
    /// The browser goes back to the client.
    Back(String),
    /// It does not go anywhere.
    Refused(&'static str),
}

fn check(tables: &Tables, name: &str, password: &str) -> bool {
    let text = |column: &str| {
        tables
            .first("sys_user", "user_name", name)
            .and_then(|u| u.get(column).cloned())
            .unwrap_or_default()
    };
    !password.is_empty()
        && text("user_password") == password
        && text("active") == "true"
        && text("locked_out") != "true"
}

/// Whether a user has a role; `admin` has all.
pub(crate) fn has_role(tables: &Tables, user: &str, role: &str) -> bool {
    tables
        .first("sys_user", "user_name", user)
        .and_then(|u| u.get("roles"))
        .is_some_and(|roles| roles.split(',').any(|r| r == role || r == "admin"))
}
