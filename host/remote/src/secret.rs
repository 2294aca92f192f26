//! Secrets as an integration gives them: never printed, resolved when they are used.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// A secret, or where it is: `env:NAME`, `file:PATH`, `exec:COMMAND`, or the value itself.
#[derive(Clone)]
pub struct Secret(SecretString);

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("the secret {reference} cannot be read: {why}")]
pub struct SecretError {
    reference: String,
    why: String,
}

impl Secret {
    /// A secret or a reference to one.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(SecretString::from(text.into()))
    }

    /// The value, looked up if it is a reference.
    ///
    /// # Errors
    /// When the variable, file or command does not give one.
    pub fn resolve(&self) -> Result<SecretString, SecretError> {
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
            let output = std::process::Command::new("sh")
                .args(["-c", command])
                .output()
                .map_err(|e| failed(e.to_string()))?;
            if !output.status.success() {
                return Err(failed(format!("the command ended with {}", output.status)));
            }
            return String::from_utf8(output.stdout)
                .map(trimmed)
                .map_err(|e| failed(e.to_string()));
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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Credentials {
    /// OAuth: client credentials, or the password grant where a user is given too.
    OAuth {
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
        /// The user, for the password grant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        username: Option<String>,
        /// The user's password.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<Secret>,
    },
    /// Basic.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
}

/// All secrets of an integration. Stored sealed; never part of an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
}
