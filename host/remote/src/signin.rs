//! Signing in to ServiceNow: Basic, or OAuth tokens that are kept until shortly before their end
//! and renewed once when they are not accepted, however many requests wait.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::Credentials;

/// A token is not used in the last seconds of its life.
const MARGIN: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(crate) struct SignIn {
    tokens: Mutex<BTreeMap<String, (SecretString, Instant)>>,
}

impl SignIn {
    /// The value of the `Authorization` header. `stale` is one that was not accepted.
    pub(crate) async fn header(
        &self,
        client: &reqwest::Client,
        base: &url::Url,
        credentials: &Credentials,
        stale: Option<&str>,
    ) -> Result<SecretString, String> {
        match credentials {
            Credentials::Basic { username, password } => {
                let password = password.resolve().map_err(|e| e.to_string())?;
                let pair = format!("{username}:{}", password.expose_secret());
                let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
                Ok(SecretString::from(format!("Basic {encoded}")))
            }
            Credentials::OAuth { client_id, client_secret, username, password } => {
                let name = format!("{base}|{client_id}|{}", username.as_deref().unwrap_or(""));
                // Held over the request: whoever else needs a token waits for this one.
                let mut tokens = self.tokens.lock().await;
                if let Some((token, end)) = tokens.get(&name) {
                    let accepted = stale.is_none_or(|stale| stale != token.expose_secret());
                    if accepted && *end > Instant::now() {
                        return Ok(token.clone());
                    }
                }
                let secret = client_secret.resolve().map_err(|e| e.to_string())?;
                let mut form = vec![
                    ("client_id", client_id.clone()),
                    ("client_secret", secret.expose_secret().to_owned()),
                ];
                match (username, password) {
                    (Some(username), Some(password)) => {
                        let password = password.resolve().map_err(|e| e.to_string())?;
                        form.push(("grant_type", "password".to_owned()));
                        form.push(("username", username.clone()));
                        form.push(("password", password.expose_secret().to_owned()));
                    }
                    _ => form.push(("grant_type", "client_credentials".to_owned())),
                }
                let url = base.join("/oauth_token.do").map_err(|e| e.to_string())?;
                let response = client
                    .post(url)
                    .form(&form)
                    .timeout(Duration::from_secs(15))
                    .send()
                    .await
                    .map_err(|e| format!("no token: {}", e.without_url()))?;
                let status = response.status();
                let body: serde_json::Value = response.json().await.unwrap_or_default();
                let token = body["access_token"].as_str().filter(|_| status.is_success());
                let token =
                    token.ok_or_else(|| format!("no token: the instance answered {status}"))?;
                let life = Duration::from_secs(body["expires_in"].as_u64().unwrap_or(60));
                let token = SecretString::from(format!("Bearer {token}"));
                tokens.insert(name, (token.clone(), Instant::now() + life.saturating_sub(MARGIN)));
                Ok(token)
            }
        }
    }
}
