//! Credentials as they are given: how an integration signs in, and whose secrets may be used for it.

use std::collections::BTreeSet;

use axum::response::Response;
use firn_remote::{Credentials, Secret, Secrets};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{Shared, problem};
use crate::access::Caller;
use crate::vault::Known;

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
    pub(super) fn over(mut self, known: &Credentials) -> Given {
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
            Json::String(text) if Secret::is_reference(text) => {
                found.insert(text.clone());
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    look(&json!(secrets), &mut found);
    found
}

/// Where secrets are to be sent from now on, as far as it is said.
#[derive(Default)]
pub(super) struct Addressed<'a> {
    /// The instance.
    pub(super) base_url: Option<&'a str>,
    /// The language models.
    pub(super) model_url: Option<&'a str>,
}

/// Whether a caller may have an integration work with these secrets. What is looked up is looked up as
/// Firn's own user, and sent to the instance: an environment, a file and a command are the host's own, and no
/// tenant's.
pub(super) fn may_be_used(
    shared: &Shared,
    caller: &Caller,
    known: Option<&Known>,
    secrets: &Secrets,
    addressed: Addressed<'_>,
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
        let base_url = addressed.base_url.map(firn_model::instance_address);
        let model_url = addressed.model_url;
        base_url.is_some_and(|url| url != known.integration.base_url)
            || model_url.is_some() && model_url != known.integration.platform.model_url.as_deref()
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
