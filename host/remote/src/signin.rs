//! Signing in to ServiceNow: Basic, or OAuth tokens that are kept until shortly before their end and
//! renewed once when they are not accepted, however many requests wait.
//!
//! Who is refused is asked for again once a minute at most: a changed password must not lock the
//! account, and a revoked token is revoked for good. Whatever waits meanwhile waits in the queue.

use std::any::Any;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use firn_model::IntegrationId;
use jsonwebtoken::{Algorithm, EncodingKey};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use crate::{Credentials, Granted, Token, signature};

/// A token is not used in the last part of its life: so long, or a tenth of it if that is less.
const MARGIN: Duration = Duration::from_secs(30);
/// How long the instance may take for a token.
const PATIENCE: Duration = Duration::from_secs(15);
/// After a token could not be had for another reason than a refusal, the instance is left alone.
const REST: Duration = Duration::from_secs(2);
/// No token is believed to live longer.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// How long whoever was refused waits before it is tried again.
const REFUSED: Duration = Duration::from_secs(60);
/// How long a refresh token lives unless somebody said otherwise: ServiceNow's default, 100 days.
const REFRESH_LIFE: i64 = 8_640_000_000;
/// How long a signed assertion is good for, in seconds.
const ASSERTION: u64 = 300;

/// Keeps what an instance grants anew, before it is used.
pub trait Keeper: Send + Sync {
    /// Keeps it in the place of `before`. Where something else stands meanwhile (a person consented
    /// anew, the integration is gone), that stays.
    ///
    /// # Errors
    /// Why it could not be kept.
    fn keep(
        &self,
        integration: &IntegrationId,
        before: &Granted,
        granted: &Granted,
    ) -> Result<(), String>;

    /// Waits until no other process asks for this integration's tokens; none does as long as what is given is
    /// kept. And what was granted last, by then, whoever was given it.
    fn turn<'a>(&'a self, integration: &'a IntegrationId) -> TurnToSignIn<'a>;
}

/// What [`Keeper::turn`] gives; why not, otherwise.
pub type TurnToSignIn<'a> = Pin<
    Box<
        dyn Future<Output = Result<(Box<dyn Any + Send + Sync>, Option<Granted>), String>>
            + Send
            + 'a,
    >,
>;

/// Who signs in where.
#[derive(Clone, Copy)]
pub(crate) struct Who<'a> {
    pub(crate) base: &'a url::Url,
    pub(crate) integration: Option<&'a IntegrationId>,
    pub(crate) credentials: &'a Credentials,
    pub(crate) granted: Option<&'a Granted>,
}

impl Who<'_> {
    /// Whose sign-in it is.
    fn name(&self) -> String {
        self.integration.map_or_else(
            || format!("{} {}", self.base, self.credentials.grant()),
            |id| id.as_str().to_owned(),
        )
    }

    /// The same as long as nothing about the sign-in changes: other credentials, another instance or a
    /// new consent begin anew.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.base.as_str().hash(&mut hasher);
        serde_json::to_string(self.credentials).unwrap_or_default().hash(&mut hasher);
        self.granted.map(|granted| granted.at).hash(&mut hasher);
        hasher.finish()
    }
}

/// What signs a request in.
pub(crate) struct Signed {
    pub(crate) header: SecretString,
    pub(crate) asked: Asked,
}

/// Who asked for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// This process, or whoever gave it to this process.
    Here,
    /// Another process, some time ago: it may have ended since.
    Elsewhere,
}

/// Why nobody was signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SignInError {
    /// The instance said no, now or within the last minute; or nobody consented yet.
    Refused(String),
    /// It did not get that far.
    Failed(String),
}

impl std::fmt::Display for SignInError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SignInError::Refused(why) | SignInError::Failed(why) => f.write_str(why),
        }
    }
}

/// How the sign-in of an integration stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum SignInState {
    /// It was accepted last, or was not needed yet.
    Good,
    /// Nobody consented in a browser yet.
    NeverConnected,
    /// The instance does not accept it: somebody has to give other credentials, or consent again.
    /// Work is kept, and it is tried once a minute.
    NeedsReconnect {
        /// Since when, in milliseconds since 1970.
        since: i64,
        /// What the instance said.
        why: String,
    },
}

#[derive(Default)]
struct Slot {
    /// The token and the end of its use. Held over a request: whoever else needs one waits for it.
    token: tokio::sync::Mutex<Held>,
    refused: Mutex<Option<Refused>>,
}

#[derive(Default)]
struct Held {
    /// The token and the end of its use.
    token: Option<(SecretString, Instant)>,
    /// Whether the token of the consent itself was used already.
    began: bool,
    /// What was granted and could not be kept yet: without it the sign-in is lost.
    unkept: Option<Granted>,
    /// What was granted last. Whoever asks may have been waiting since before that, with what stood then:
    /// an instance that changes its refresh token takes the old one no more.
    latest: Option<Granted>,
    /// The instance gave no token for reasons of its own: it is not asked again before.
    rest: Option<Instant>,
}

#[derive(Clone)]
struct Refused {
    since: i64,
    why: String,
    again: Instant,
}

impl Slot {
    fn refused(&self) -> std::sync::MutexGuard<'_, Option<Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it may be tried. The first after a pause may, and the others wait for what it finds.
    fn may(&self) -> Result<(), SignInError> {
        match self.refused().as_mut() {
            Some(refused) if refused.again > Instant::now() => {
                Err(SignInError::Refused(refused.why.clone()))
            }
            Some(refused) => {
                refused.again = Instant::now() + REFUSED;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn refuse(&self, why: &str) {
        let mut refused = self.refused();
        let since = refused.as_ref().map_or_else(now, |refused| refused.since);
        *refused = Some(Refused { since, why: why.to_owned(), again: Instant::now() + REFUSED });
    }

    fn accept(&self) {
        *self.refused() = None;
    }
}

#[derive(Default)]
pub(crate) struct SignIn {
    slots: Mutex<BTreeMap<String, (u64, Arc<Slot>)>>,
    pub(crate) keeper: Option<Arc<dyn Keeper>>,
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl SignIn {
    fn slot(&self, who: &Who<'_>) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let print = who.fingerprint();
        let (known, slot) = slots.entry(who.name()).or_default();
        if *known != print {
            (*known, *slot) = (print, Arc::default());
        }
        Arc::clone(slot)
    }

    /// How it stands.
    pub(crate) fn state(&self, who: &Who<'_>) -> SignInState {
        // Whether work has tried in vain meanwhile or not: nobody has consented yet.
        let consented = who.granted.is_some()
            || !matches!(who.credentials, Credentials::AuthorizationCode { .. });
        let refused = self.slot(who).refused().clone();
        match refused {
            _ if !consented => SignInState::NeverConnected,
            Some(Refused { since, why, .. }) => SignInState::NeedsReconnect { since, why },
            None => SignInState::Good,
        }
    }

    /// Somebody says that it is good now: it is tried at once.
    pub(crate) fn try_again(&self, who: &Who<'_>) {
        self.slot(who).accept();
    }

    /// The instance took a request, or refused one that had nothing fresher to offer.
    pub(crate) fn told(&self, who: &Who<'_>, accepted: bool) {
        let slot = self.slot(who);
        if accepted {
            slot.accept();
        } else if slot.refused().is_none() {
            slot.refuse("the instance answers 401 to our requests");
        }
    }

    /// The value of the `Authorization` header. `stale` is one that was not accepted.
    pub(crate) async fn header(
        &self,
        client: &reqwest::Client,
        who: &Who<'_>,
        stale: Option<&str>,
    ) -> Result<SecretString, SignInError> {
        self.signed(client, who, stale).await.map(|signed| signed.header)
    }

    /// The same, and where it is from.
    pub(crate) async fn signed(
        &self,
        client: &reqwest::Client,
        who: &Who<'_>,
        stale: Option<&str>,
    ) -> Result<Signed, SignInError> {
        let ours = |header: SecretString| Signed { header, asked: Asked::Here };
        let slot = self.slot(who);
        if let Credentials::Basic { username, password } = who.credentials {
            if stale.is_none() {
                slot.may()?;
            }
            let password = password.resolve().map_err(|e| SignInError::Failed(e.to_string()))?;
            let pair = format!("{username}:{}", password.expose_secret());
            let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
            return Ok(ours(SecretString::from(format!("Basic {encoded}"))));
        }
        let mut held = slot.token.lock().await;
        if let Some((token, end)) = &held.token {
            let accepted = stale.is_none_or(|stale| stale != token.expose_secret());
            if accepted && *end > Instant::now() {
                if stale.is_none() {
                    slot.may()?;
                }
                return Ok(ours(token.clone()));
            }
        }
        match stale {
            // Whoever was first with this token asked already, and was refused.
            Some(_) if held.token.is_none() => {
                if let Some(Refused { why, .. }) = slot.refused().as_ref() {
                    return Err(SignInError::Refused(why.clone()));
                }
            }
            Some(_) => {}
            None => slot.may()?,
        }
        if held.rest.is_some_and(|until| until > Instant::now()) {
            let why = "the instance gave no token a moment ago; it is asked again soon";
            return Err(SignInError::Failed(why.to_owned()));
        }
        match self.token(client, who, stale, &mut held).await {
            Ok((token, life, asked)) => {
                let life = life.min(LONGEST);
                let use_for = life.saturating_sub(MARGIN.min(life / 10));
                let token = SecretString::from(format!("Bearer {}", token.expose()));
                held.token = Some((token.clone(), Instant::now() + use_for));
                // Whether it is good is told by the first request that it is used for.
                Ok(Signed { header: token, asked })
            }
            Err(SignInError::Refused(why)) => {
                held.token = None;
                slot.refuse(&why);
                Err(SignInError::Refused(why))
            }
            Err(why) => {
                held.rest = Some(Instant::now() + REST);
                Err(why)
            }
        }
    }

    /// A token of the instance, and how long it lives.
    async fn token(
        &self,
        client: &reqwest::Client,
        who: &Who<'_>,
        stale: Option<&str>,
        held: &mut Held,
    ) -> Result<(Token, Duration, Asked), SignInError> {
        let resolved = |secret: &crate::Secret| {
            secret.resolve().map_err(|e| SignInError::Failed(e.to_string()))
        };
        let mut form = Form::new();
        match who.credentials {
            Credentials::Basic { .. } => {
                return Err(SignInError::Failed("Basic has no tokens".to_owned()));
            }
            Credentials::Password { client_id, client_secret, username, password } => {
                form.add("grant_type", "password");
                form.client(client_id, Some(&resolved(client_secret)?));
                form.add("username", username);
                form.add("password", resolved(password)?.expose_secret());
            }
            Credentials::ClientCredentials { client_id, client_secret } => {
                form.add("grant_type", "client_credentials");
                form.client(client_id, Some(&resolved(client_secret)?));
            }
            Credentials::JwtBearer { client_id, client_secret, subject, private_key, key_id } => {
                let key = resolved(private_key)?;
                let assertion = assertion(client_id, subject, &key, key_id.as_deref())
                    .map_err(SignInError::Failed)?;
                form.add("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
                form.client(client_id, Some(&resolved(client_secret)?));
                form.add("assertion", &assertion);
            }
            Credentials::AuthorizationCode { client_id, client_secret, refresh_token_ends } => {
                let Some(consented) = who.granted else {
                    return Err(SignInError::Refused(
                        "nobody has consented yet; run: firn integration connect".to_owned(),
                    ));
                };
                let granted = &held.latest.clone().unwrap_or_else(|| consented.clone());
                if let Some(unkept) = held.unkept.clone() {
                    self.keep(who, granted, &unkept)?;
                    held.unkept = None;
                    held.latest = Some(unkept.clone());
                    if let Some(left) = unkept.left() {
                        return Ok((unkept.access, left, Asked::Here));
                    }
                }
                if let Some(left) = granted.left().filter(|_| stale.is_none() && !held.began) {
                    held.began = true;
                    return Ok((granted.access.clone(), left, Asked::Here));
                }
                // One process at a time, and each with what the one before it was given: an instance may take a
                // refresh token once.
                let (_turn, stored) = self.turn(who).await?;
                // Somebody may have moved the integration elsewhere, and consented there: that is nothing for here.
                let elsewhere = |stored: &Granted| {
                    who.credentials.accept(who.base.as_str(), Some(stored)).is_none()
                };
                if stored.as_ref().is_some_and(elsewhere) {
                    let why = "it was consented to for another instance or client meanwhile";
                    return Err(SignInError::Failed(why.to_owned()));
                }
                // Either may be the same as before: an instance gives a token again that has not ended yet.
                let fresh = |stored: &Granted| {
                    let refresh = |g: &Granted| g.refresh.as_ref().map(|t| t.expose().to_owned());
                    stored.at >= granted.at
                        && (stored.access.expose() != granted.access.expose()
                            || refresh(stored) != refresh(granted))
                };
                let granted = &match stored.filter(fresh) {
                    Some(stored) => {
                        held.latest = Some(stored.clone());
                        let bearer = format!("Bearer {}", stored.access.expose());
                        if let Some(left) = stored.left().filter(|_| stale != Some(&*bearer)) {
                            return Ok((stored.access, left, Asked::Elsewhere));
                        }
                        stored
                    }
                    None => granted.clone(),
                };
                let Some(refresh) = &granted.refresh else {
                    return Err(SignInError::Refused(
                        "the token has ended, and a public client gets no other without consent; run: firn integration connect".to_owned(),
                    ));
                };
                form.add("grant_type", "refresh_token");
                let secret = client_secret.as_ref().map(resolved).transpose()?;
                form.client(client_id, secret.as_ref());
                form.add("refresh_token", refresh.expose());
                let answer = ask(client, who.base, &form).await?;
                // Kept before it is used: whoever loses a new refresh token has none.
                if answer.refresh.as_ref().is_some_and(|new| new.expose() != refresh.expose()) {
                    let ends = *refresh_token_ends;
                    let new = answer.granted(who.base, client_id, ends, Some(granted));
                    held.unkept = Some(new.clone());
                    self.keep(who, granted, &new)?;
                    held.latest = Some(new.clone());
                    held.unkept = None;
                }
                return Ok((answer.access, answer.life, Asked::Here));
            }
        }
        let answer = ask(client, who.base, &form).await?;
        Ok((answer.access, answer.life, Asked::Here))
    }
}

impl SignIn {
    async fn turn(
        &self,
        who: &Who<'_>,
    ) -> Result<(Box<dyn Any + Send + Sync>, Option<Granted>), SignInError> {
        match (&self.keeper, who.integration) {
            (Some(keeper), Some(id)) => keeper.turn(id).await.map_err(SignInError::Failed),
            _ => Ok((Box::new(()), None)),
        }
    }

    fn keep(&self, who: &Who<'_>, before: &Granted, new: &Granted) -> Result<(), SignInError> {
        match (&self.keeper, who.integration) {
            (Some(keeper), Some(id)) => keeper.keep(id, before, new).map_err(SignInError::Failed),
            _ => Err(SignInError::Failed("nobody keeps new tokens here".to_owned())),
        }
    }
}

/// What is posted for a token. Its values are secrets.
struct Form(Vec<(&'static str, SecretString)>);

impl Form {
    fn new() -> Form {
        Form(Vec::new())
    }

    fn add(&mut self, name: &'static str, value: &str) {
        self.0.push((name, SecretString::from(value.to_owned())));
    }

    fn client(&mut self, id: &str, secret: Option<&SecretString>) {
        self.add("client_id", id);
        if let Some(secret) = secret {
            self.add("client_secret", secret.expose_secret());
        }
    }
}

/// An instance's answer to a wish for a token.
struct Answer {
    access: Token,
    life: Duration,
    refresh: Option<Token>,
}

impl Answer {
    /// What is to be kept of it. A token that lasts is not given anew: the one before stays.
    fn granted(
        &self,
        base: &url::Url,
        client_id: &str,
        ends: Option<i64>,
        before: Option<&Granted>,
    ) -> Granted {
        let now = now();
        let life = i64::try_from(self.life.as_millis()).unwrap_or(i64::MAX);
        Granted {
            base: base.to_string(),
            client_id: client_id.to_owned(),
            at: before.map_or(now, |before| before.at),
            refresh: self.refresh.clone().or_else(|| before.and_then(|b| b.refresh.clone())),
            refresh_ends: ends.unwrap_or(now.saturating_add(REFRESH_LIFE)),
            access: self.access.clone(),
            access_ends: now.saturating_add(life),
        }
    }
}

async fn ask(
    client: &reqwest::Client,
    base: &url::Url,
    form: &Form,
) -> Result<Answer, SignInError> {
    let failed = SignInError::Failed;
    let url = base.join("/oauth_token.do").map_err(|e| failed(e.to_string()))?;
    let pairs: Vec<(&str, &str)> = form.0.iter().map(|(n, v)| (*n, v.expose_secret())).collect();
    let mut response = client
        .post(url)
        .header("accept", "application/json")
        .form(&pairs)
        .timeout(PATIENCE)
        .send()
        .await
        .map_err(|e| failed(format!("no token: {}", e.without_url())))?;
    let status = response.status();
    let body = crate::carrier::body(&mut response).await.map_err(SignInError::Failed)?;
    let body: Json = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| body[name].as_str();
    if status.is_client_error() && status.as_u16() != 429 {
        // Nearly every fault has one answer, so that it says little: told as it is.
        let said = text("error_description").or(text("error")).unwrap_or("no reason given");
        // For a terminal and a page: no control characters of somebody else's.
        let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
        return Err(SignInError::Refused(format!("the instance gives no token: {status}, {said}")));
    }
    let access = text("access_token").filter(|token| status.is_success() && !token.is_empty());
    let Some(access) = access else {
        return Err(failed(format!("no token: the instance answered {status}")));
    };
    // A number; some versions of the world write it as text.
    let life = body["expires_in"].as_u64().or_else(|| text("expires_in")?.parse().ok());
    Ok(Answer {
        access: Token::new(access),
        life: Duration::from_secs(life.unwrap_or(60)),
        refresh: text("refresh_token").filter(|t| !t.is_empty()).map(Token::new),
    })
}

/// A signed assertion: who we are, for whom, and for how long.
fn assertion(
    client_id: &str,
    subject: &str,
    key: &SecretString,
    key_id: Option<&str>,
) -> Result<String, String> {
    let pem = key.expose_secret().as_bytes();
    let (algorithm, key) = EncodingKey::from_rsa_pem(pem)
        .map(|key| (Algorithm::RS256, key))
        .or_else(|_| EncodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key)))
        .map_err(|_| "private_key is no RSA or EC key in PEM".to_owned())?;
    let mut header = jsonwebtoken::Header::new(algorithm);
    header.kid = key_id.map(str::to_owned);
    let now = u64::try_from(now() / 1000).unwrap_or_default();
    let id = format!("{:016x}{:016x}", random()?, random()?);
    let claims = json!({ "iss": client_id, "sub": subject, "aud": client_id, "iat": now,
        "exp": now + ASSERTION, "jti": id });
    jsonwebtoken::encode(&header, &claims, &key).map_err(|e| e.to_string())
}

fn random() -> Result<u64, String> {
    let bytes = signature::random().map_err(|e| format!("the system gives no randomness: {e}"))?;
    Ok(u64::from_le_bytes(bytes))
}

// ---- consent ---------------------------------------------------------------------------------

/// A consent that was asked for in a browser, until its answer comes. Kept sealed, never part of an answer.
#[derive(Serialize, Deserialize)]
pub struct Consent {
    /// Names it in the answer; nobody can guess it.
    pub state: String,
    /// The instance that was asked.
    base: String,
    /// Proves that whoever brings the answer asked the question (PKCE).
    verifier: Token,
    redirect: String,
}

impl Consent {
    /// Asks for it; also gives where the person has to go. `redirect` is where the instance sends the browser
    /// back to; its registry must have it, letter for letter.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(
        base: &url::Url,
        client_id: &str,
        redirect: &str,
    ) -> Result<(Consent, url::Url), String> {
        use sha2::Digest;
        let text = || -> Result<String, String> {
            let words: Result<Vec<String>, String> =
                (0..4).map(|_| random().map(|n| format!("{n:016x}"))).collect();
            Ok(words?.concat())
        };
        let (state, verifier) = (text()?, text()?);
        let challenge = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .encode(sha2::Sha256::digest(verifier.as_bytes()));
        let mut url = base.join("/oauth_auth.do").map_err(|e| e.to_string())?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", client_id)
            .append_pair("redirect_uri", redirect)
            .append_pair("state", &state)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        let (base, verifier) = (base.to_string(), Token::new(verifier));
        Ok((Consent { state, base, verifier, redirect: redirect.to_owned() }, url))
    }

    /// Exchanges the code that the browser brought for tokens.
    ///
    /// # Errors
    /// What the instance said.
    pub(crate) async fn granted(
        &self,
        client: &reqwest::Client,
        base: &url::Url,
        credentials: &Credentials,
        code: &str,
    ) -> Result<Granted, String> {
        let Credentials::AuthorizationCode { client_id, client_secret, refresh_token_ends } =
            credentials
        else {
            return Err("the credentials are of another kind meanwhile".to_owned());
        };
        if self.base != base.as_str() {
            return Err("the integration is about another instance meanwhile".to_owned());
        }
        let secret = client_secret.as_ref().map(crate::Secret::resolve).transpose();
        let mut form = Form::new();
        form.add("grant_type", "authorization_code");
        form.client(client_id, secret.map_err(|e| e.to_string())?.as_ref());
        form.add("code", code);
        form.add("redirect_uri", &self.redirect);
        form.add("code_verifier", self.verifier.expose());
        let answer = ask(client, base, &form).await.map_err(|e| e.to_string())?;
        Ok(answer.granted(base, client_id, *refresh_token_ends, None))
    }
}
