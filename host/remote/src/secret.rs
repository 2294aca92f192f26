//! Secrets as an integration gives them: never printed, resolved when they are used.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::ApiPath;

/// A secret, or where it is: `env:NAME`, `file:PATH`, `exec:COMMAND`, or the value itself.
#[derive(Clone)]
pub struct Secret(SecretString);

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.expose() == other.expose()
    }
}

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("the secret {reference} cannot be read: {why}")]
pub struct SecretError {
    reference: String,
    why: String,
}

/// A command is stopped after so long: whatever it is for waits. At the start nothing does yet.
const PATIENCE: Duration = Duration::from_secs(5);
const AT_START: Duration = Duration::from_secs(120);
/// What it said, or why it said nothing, holds for so long: each request to an instance needs it.
const HOLDS: Duration = Duration::from_secs(5);

/// What commands said lately. Each has its place, so that one runs once for all who need it.
type Said = Mutex<Option<(Instant, Result<SecretString, String>)>>;
static SAID: Mutex<BTreeMap<String, Arc<Said>>> = Mutex::new(BTreeMap::new());

/// What a command says, by which a secret is had.
fn said_by(command: &str, patience: Duration) -> Result<SecretString, String> {
    let said = {
        let mut all = SAID.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(command.to_owned()).or_default())
    };
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, value)) = &*said
        && at.elapsed() < HOLDS
    {
        return value.clone();
    }
    let value = run(command, patience);
    *said = Some((Instant::now(), value.clone()));
    value
}

fn run(command: &str, patience: Duration) -> Result<SecretString, String> {
    let mut child = std::process::Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // It may say more than a log should hold.
        .stderr(Stdio::null())
        // What it begins goes with it.
        .process_group(0)
        .spawn()
        .map_err(|e| e.to_string())?;
    let mut out = child.stdout.take().ok_or("it has no output")?;
    let end = Instant::now() + patience;
    let (done, result) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = out.read_to_string(&mut text).map(|_| text);
        let _ = done.send(read);
    });
    let text = result.recv_timeout(patience);
    let status = loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break status,
            None if text.is_ok() && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            None => {
                let all = format!("-{}", child.id());
                let _ = std::process::Command::new("kill").args(["-KILL", "--", &all]).status();
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("the command did not end within {} s", patience.as_secs()));
            }
        }
    };
    if !status.success() {
        return Err(format!("the command ended with {status}"));
    }
    let text = text.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    Ok(SecretString::from(text))
}

impl Secret {
    /// A secret or a reference to one.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(SecretString::from(text.into()))
    }

    /// Whether a text says where a secret is, and is none itself: `env:NAME`, `file:PATH`, `exec:COMMAND`.
    #[must_use]
    pub fn is_reference(text: &str) -> bool {
        ["env:", "file:", "exec:"].iter().any(|kind| text.starts_with(kind))
    }

    /// The value, looked up if it is a reference.
    ///
    /// # Errors
    /// When the variable, file or command does not give one.
    pub fn resolve(&self) -> Result<SecretString, SecretError> {
        self.resolve_within(PATIENCE)
    }

    /// The same at a program's start, when nobody waits for anything else: a command may take two minutes.
    ///
    /// # Errors
    /// When the variable, file or command does not give one.
    pub fn resolve_at_start(&self) -> Result<SecretString, SecretError> {
        self.resolve_within(AT_START)
    }

    fn resolve_within(&self, patience: Duration) -> Result<SecretString, SecretError> {
        let text = self.0.expose_secret();
        // A command may hold what it should not; a name or a path does not.
        let shown = if text.starts_with("exec:") { "exec:..." } else { text };
        let failed = |why: String| SecretError { reference: shown.to_owned(), why };
        let trimmed =
            |value: String| SecretString::from(value.trim_end_matches(['\n', '\r']).to_owned());
        if let Some(name) = text.strip_prefix("env:") {
            return std::env::var(name).map(trimmed).map_err(|e| failed(e.to_string()));
        }
        if let Some(path) = text.strip_prefix("file:") {
            return std::fs::read_to_string(path).map(trimmed).map_err(|e| failed(e.to_string()));
        }
        if let Some(command) = text.strip_prefix("exec:") {
            let said = said_by(command, patience).map_err(failed)?;
            return Ok(trimmed(said.expose_secret().to_owned()));
        }
        Ok(self.0.clone())
    }

    /// The text as given, for storing it sealed.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

/// How Firn signs in to ServiceNow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "grant", rename_all = "kebab-case", remote = "Self")]
pub enum Credentials {
    /// A user's name and password with every request.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token for a user's name and password.
    Password {
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token for the client itself; the registry says which user it stands for.
    ClientCredentials {
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
    },
    /// A token for an assertion that is signed with a private key.
    JwtBearer {
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
        /// Whom it stands for: the assertion's `sub`.
        subject: String,
        /// The private key (RSA or EC, PEM).
        private_key: Secret,
        /// The `kid` that the instance knows the key by.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_id: Option<String>,
    },
    /// Tokens that a person consented to in a browser (authorization code with PKCE).
    AuthorizationCode {
        /// The client.
        client_id: String,
        /// Its secret; a public client has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_secret: Option<Secret>,
        /// When the refresh token ends, in milliseconds since 1970, if somebody said so; else it is
        /// taken to live as long as ServiceNow lets it by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refresh_token_ends: Option<i64>,
    },
}

impl Serialize for Credentials {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Credentials::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Credentials {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Credentials, D::Error> {
        let mut stored = serde_json::Map::deserialize(deserializer)?;
        // Before there were other grants, which one it is followed from what is there.
        if !stored.contains_key("grant") {
            let grant = match (stored.contains_key("client_id"), stored.contains_key("username")) {
                (true, true) => "password",
                (true, false) => "client-credentials",
                (false, _) => "basic",
            };
            stored.insert("grant".to_owned(), grant.into());
        }
        let stored = serde_json::Value::Object(stored);
        Credentials::deserialize(stored).map_err(serde::de::Error::custom)
    }
}

impl Credentials {
    /// The grant's name, as settings have it.
    #[must_use]
    pub fn grant(&self) -> &'static str {
        match self {
            Credentials::Basic { .. } => "basic",
            Credentials::Password { .. } => "password",
            Credentials::ClientCredentials { .. } => "client-credentials",
            Credentials::JwtBearer { .. } => "jwt-bearer",
            Credentials::AuthorizationCode { .. } => "authorization-code",
        }
    }

    /// The `user_name` that they stand for, where they say it.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match self {
            Credentials::Basic { username, .. } | Credentials::Password { username, .. } => {
                Some(username)
            }
            Credentials::JwtBearer { subject, .. } => Some(subject),
            Credentials::ClientCredentials { .. } | Credentials::AuthorizationCode { .. } => None,
        }
    }

    /// What was granted, if it was granted to these by this instance.
    #[must_use]
    pub fn accept(&self, base: &str, granted: Option<&Granted>) -> Option<Granted> {
        let Credentials::AuthorizationCode { client_id, .. } = self else { return None };
        let base = url::Url::parse(base).ok()?;
        let ours = |g: &&Granted| g.client_id == *client_id && g.base == base.as_str();
        granted.filter(ours).cloned()
    }
}

/// A token that an instance gave. Unlike a [`Secret`] it is never looked up anywhere: what an
/// instance answers must not name a file or a command of ours.
#[derive(Clone)]
pub struct Token(SecretString);

impl Token {
    /// A token.
    pub fn new(text: impl Into<String>) -> Token {
        Token(SecretString::from(text.into()))
    }

    /// Its text.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Serialize for Token {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Token, D::Error> {
        String::deserialize(deserializer).map(Token::new)
    }
}

/// What a person's consent gave. Times are milliseconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Granted {
    /// The instance that gave it; no other one is shown it.
    pub base: String,
    /// The client that it was given to; another one cannot use it.
    pub client_id: String,
    /// When the person consented.
    pub at: i64,
    /// What new access tokens are had with; a public client gets none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Token>,
    /// When that ends.
    pub refresh_ends: i64,
    /// The access token of then, and its end: all that a public client has.
    pub access: Token,
    /// The end of `access`.
    pub access_ends: i64,
}

impl Granted {
    /// How long its access token is still good, if it is.
    pub(crate) fn left(&self) -> Option<std::time::Duration> {
        let left = self.access_ends.saturating_sub(crate::signin::now());
        (left > 5_000).then(|| std::time::Duration::from_millis(left.unsigned_abs()))
    }
}

/// All secrets of an integration. Stored sealed; never part of an answer.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Secrets {
    /// For everyday work.
    pub credentials: Credentials,
    /// For provisioning, which needs an administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<Credentials>,
    /// Webhook secrets, newest first. Two may be valid at once, for rotation.
    #[serde(default)]
    pub webhook: Vec<Secret>,
    /// Signs our callbacks to the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Secret>,
    /// Lets us ask language models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Secret>,
    /// Where the instance has our Scripted REST resource, once that is installed. No secret; it is
    /// kept with them because the host alone knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ApiPath>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn credentials_that_were_stored_before_they_had_a_grant_are_read() {
        let read = |json: serde_json::Value| serde_json::from_value::<Credentials>(json).unwrap();
        let basic = read(json!({ "username": "u", "password": "p" }));
        assert_eq!(basic.grant(), "basic");
        let client = json!({ "client_id": "c", "client_secret": "s" });
        assert_eq!(read(client).grant(), "client-credentials");
        let both =
            json!({ "client_id": "c", "client_secret": "s", "username": "u", "password": "p" });
        assert_eq!(read(both).grant(), "password");
        assert_eq!(read(serde_json::to_value(&basic).unwrap()), basic);
        assert!(serde_json::from_value::<Credentials>(json!({ "grant": "magic" })).is_err());
    }

    #[test]
    fn a_consent_is_shown_to_its_own_instance_and_client_alone() {
        let granted = Granted {
            base: "https://a.service-now.com/".to_owned(),
            client_id: "c".to_owned(),
            at: 0,
            refresh: None,
            refresh_ends: 0,
            access: Token::new("t"),
            access_ends: 0,
        };
        let credentials = |client: &str| Credentials::AuthorizationCode {
            client_id: client.to_owned(),
            client_secret: None,
            refresh_token_ends: None,
        };
        let accepts =
            |client: &str, base: &str| credentials(client).accept(base, Some(&granted)).is_some();
        assert!(accepts("c", "https://a.service-now.com"));
        assert!(!accepts("d", "https://a.service-now.com"));
        assert!(!accepts("c", "https://b.service-now.com"));
    }

    #[test]
    fn a_command_that_hangs_keeps_nobody_waiting_for_long() {
        let began = Instant::now();
        let why = run("sleep 60", Duration::from_millis(100)).unwrap_err();
        assert!(why.contains("did not end"), "{why}");
        assert!(run("exec 1>&-; sleep 60", Duration::from_millis(100)).is_err());
        assert!(began.elapsed() < Duration::from_secs(30));
        assert_eq!(run("echo hush", PATIENCE).unwrap().expose_secret(), "hush\n");
        assert!(run("exit 3", PATIENCE).unwrap_err().contains("ended with"));
    }

    #[test]
    fn a_command_runs_once_for_all_who_need_it() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("runs");
        let secret = Secret::new(format!("exec:echo x >> {}; echo hush", file.display()));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let value = || secret.resolve().unwrap().expose_secret().to_owned();
                scope.spawn(move || assert_eq!(value(), "hush"));
            }
        });
        assert_eq!(std::fs::read_to_string(file).unwrap(), "x\n");
    }

    #[test]
    fn secrets_and_tokens_do_not_print() {
        let shown = format!("{:?} {:?}", Secret::new("hush"), Token::new("hush"));
        assert!(!shown.contains("hush"));
    }
}
