//! One request to an instance on a person's behalf: checks, provisioning, the doctor. Everyday work
//! goes through the carrier; here somebody waits for the answer. The instance's budget is kept all the
//! same, as soon as it has one.

use std::sync::Arc;
use std::time::Duration;

use firn_model::{AnswerBody, HttpResponse, IntegrationId};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use url::Url;

use crate::budget::Budget;
use crate::signin::{SignIn, SignInError, Who};
use crate::{Carrier, Credentials, Target, carrier};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An instance, and who calls there.
pub(crate) struct Visit<'a> {
    pub(crate) client: &'a reqwest::Client,
    pub(crate) signin: &'a SignIn,
    pub(crate) who: Who<'a>,
    /// Whose turns in which budget it takes.
    pub(crate) turns: Option<(Arc<Budget>, &'a IntegrationId)>,
}

/// What an instance answered.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    /// HTTP status.
    pub(crate) status: u16,
    /// Headers by lower-case name; the first of each.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, if it is JSON; else null.
    pub(crate) json: Json,
}

impl Said {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// What the instance gives as the reason of a refusal.
    pub(crate) fn reason(&self) -> String {
        let text = |name: &str| self.json["error"][name].as_str().map(str::to_owned);
        let plain = |text: String| text.chars().filter(|c| !c.is_control()).take(300).collect();
        match (text("message"), text("detail")) {
            (Some(message), Some(detail)) => plain(format!("{message}: {detail}")),
            (Some(message), None) => plain(message),
            _ => "no reason given".to_owned(),
        }
    }

    /// The rows of a list.
    pub(crate) fn rows(&self) -> &[Json] {
        self.json["result"].as_array().map_or(&[], Vec::as_slice)
    }
}

/// Why there was no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Unsaid {
    /// The instance does not accept the sign-in; asking again does not help.
    #[error("{0}")]
    NotSignedIn(String),
    /// It could not be reached, or the connection broke: what was asked may have been done.
    #[error("{0}")]
    Silent(String),
}

impl<'a> Visit<'a> {
    /// As an integration's user.
    pub(crate) fn as_user(carrier: &'a Carrier, base: &'a Url, target: &'a Target) -> Visit<'a> {
        let who = Who {
            base,
            integration: Some(&target.integration),
            credentials: &target.secrets.credentials,
            granted: target.granted.as_ref(),
        };
        let turns = Some((carrier.budget(target), &target.integration));
        Visit { client: carrier.client(), signin: carrier.signin(), who, turns }
    }

    /// As its administrator, if it has one.
    pub(crate) fn as_admin(
        carrier: &'a Carrier,
        base: &'a Url,
        target: &'a Target,
    ) -> Option<Visit<'a>> {
        let admin = target.secrets.admin.as_ref()?;
        let turns = Some((carrier.budget(target), &target.integration));
        Some(Visit { turns, ..Visit::with(carrier, base, admin) })
    }

    /// With credentials of nobody in particular.
    pub(crate) fn with(
        carrier: &'a Carrier,
        base: &'a Url,
        credentials: &'a Credentials,
    ) -> Visit<'a> {
        let who = Who { base, integration: None, credentials, granted: None };
        Visit { client: carrier.client(), signin: carrier.signin(), who, turns: None }
    }

    /// One request: `path` from the root, `body` as JSON.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Json>,
    ) -> Result<Said, Unsaid> {
        let first = self.header(None).await?;
        let said = self.ask(method.clone(), path, query, body, &first).await?;
        // A token may have ended: once more with a new one, if there is a new one.
        if said.status == 401
            && let Ok(second) = self.header(Some(first.expose_secret())).await
            && second.expose_secret() != first.expose_secret()
        {
            return self.ask(method, path, query, body, &second).await;
        }
        Ok(said)
    }

    async fn header(&self, stale: Option<&str>) -> Result<SecretString, Unsaid> {
        self.signin.header(self.client, &self.who, stale).await.map_err(|e| match e {
            SignInError::Refused(why) => Unsaid::NotSignedIn(why),
            SignInError::Failed(why) => Unsaid::Silent(why),
        })
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Json>,
        header: &SecretString,
    ) -> Result<Said, Unsaid> {
        let silent = |why: String| Unsaid::Silent(why);
        let mut url = self.who.base.join(path).map_err(|e| silent(e.to_string()))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self
            .client
            .request(method, url)
            .timeout(PATIENCE)
            .header("accept", "application/json")
            .header("authorization", header.expose_secret());
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let mut turn = match &self.turns {
            Some((budget, integration)) => {
                let turn = budget.turn_of_person(integration, PATIENCE).await;
                Some(turn.map_err(|_| {
                    silent("its budget has no room within 30 s; try again later".to_owned())
                })?)
            }
            None => None,
        };
        let said = heard(request).await;
        if let Some(turn) = &mut turn {
            let answer = match &said {
                Ok(said) => AnswerBody::Response(HttpResponse {
                    status: said.status,
                    headers: said.headers.clone(),
                    body: String::new(),
                }),
                Err(why) => AnswerBody::Lost(why.clone()),
            };
            turn.told(&answer, carrier::now());
        }
        said.map_err(silent)
    }

    /// Rows of a table.
    pub(crate) async fn rows(
        &self,
        table: &str,
        query: &str,
        fields: &str,
        limit: u32,
    ) -> Result<Said, Unsaid> {
        let query = [
            ("sysparm_query", query.to_owned()),
            ("sysparm_fields", fields.to_owned()),
            ("sysparm_limit", limit.to_string()),
            ("sysparm_exclude_reference_link", "true".to_owned()),
        ];
        self.call(Method::GET, &format!("/api/now/table/{table}"), &query, None).await
    }
}

/// Sends a request and reads its answer.
async fn heard(request: reqwest::RequestBuilder) -> Result<Said, String> {
    let mut response = request.send().await.map_err(carrier::cause)?;
    let status = response.status().as_u16();
    let mut headers: Vec<(String, String)> = Vec::new();
    for name in response.headers().keys() {
        let value = response.headers().get(name).and_then(|v| v.to_str().ok());
        headers.extend(value.map(|v| (name.as_str().to_owned(), v.to_owned())));
    }
    let body = carrier::body(&mut response).await?;
    let json = serde_json::from_slice(&body).unwrap_or_default();
    Ok(Said { status, headers, json })
}
