//! Who signs in: Basic, and OAuth tokens as an instance gives them. While a token lives, asking
//! again gives the same one with less time left.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value as Json, json};

use crate::tables::Tables;

/// The one registered OAuth client.
const CLIENT: (&str, &str) = ("firn", "firn");
/// Whom `client_credentials` stands for.
const CLIENT_USER: &str = "integration";
const ACCESS: Duration = Duration::from_secs(1_800);
const REFRESH: Duration = Duration::from_secs(8_640_000);

#[derive(Default)]
pub(crate) struct Tokens {
    access: BTreeMap<String, (String, Instant)>,
    refresh: BTreeMap<String, (String, Instant)>,
}

impl Tokens {
    /// The user behind an `Authorization` header.
    pub(crate) fn user(&self, tables: &Tables, header: Option<&str>) -> Option<String> {
        let header = header?;
        if let Some(token) = header.strip_prefix("Bearer ") {
            let (user, end) = self.access.get(token)?;
            return (*end > Instant::now()).then(|| user.clone());
        }
        let encoded = header.strip_prefix("Basic ")?;
        let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (name, password) = decoded.split_once(':')?;
        check(tables, name, password).then(|| name.to_owned())
    }

    /// `POST /oauth_token.do`. Nearly every fault has the same answer.
    pub(crate) fn grant(
        &mut self,
        tables: &mut Tables,
        form: &BTreeMap<String, String>,
    ) -> (u16, Json) {
        let text = |name: &str| form.get(name).map_or("", String::as_str);
        let refused =
            || (401, json!({ "error": "server_error", "error_description": "access_denied" }));
        if (text("client_id"), text("client_secret")) != CLIENT {
            return refused();
        }
        let user = match text("grant_type") {
            "password" if check(tables, text("username"), text("password")) => {
                text("username").to_owned()
            }
            "client_credentials" => CLIENT_USER.to_owned(),
            "refresh_token" => match self.refresh.get(text("refresh_token")) {
                Some((user, end)) if *end > Instant::now() => user.clone(),
                _ => return refused(),
            },
            _ => return refused(),
        };
        let now = Instant::now();
        let living = self.access.iter().find(|(_, (u, end))| *u == user && *end > now);
        let (access, left) = match living {
            Some((token, (_, end))) => (token.clone(), *end - now),
            None => {
                let token = tables.guid();
                self.access.insert(token.clone(), (user.clone(), now + ACCESS));
                (token, ACCESS)
            }
        };
        let mut answer = json!({ "access_token": access, "scope": "useraccount", "token_type": "Bearer",
            "expires_in": left.as_secs().saturating_sub(1) });
        if text("grant_type") != "client_credentials" {
            let known = self.refresh.iter().find(|(_, (u, _))| *u == user).map(|(t, _)| t.clone());
            let refresh = known.unwrap_or_else(|| tables.guid());
            self.refresh.entry(refresh.clone()).or_insert((user, now + REFRESH));
            answer["refresh_token"] = json!(refresh);
        }
        (200, answer)
    }

    /// Ends every access token, as a restart or an administrator does.
    pub(crate) fn revoke(&mut self) {
        self.access.clear();
    }
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
