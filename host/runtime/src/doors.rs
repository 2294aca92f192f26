//! The doors as a host supplies them, and their way into the component.

use firn_model::rule::Answer;
use firn_model::{
    ActiveRules, Change, CommitError, HttpRequest, Inquiry, IntegrationId, Key, Millis, Row,
    TenantId,
};

use crate::bindings::firn::sync::{clock, http, log, rules, secrets, storage, types};
use crate::{Committed, DoorCall, State, convert};

/// What a signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Standard Webhooks: `id.timestamp.body`.
    Standard,
    /// The body alone.
    BodyOnly,
}

/// What the host says of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signature {
    /// Made with a valid secret of the integration.
    Valid,
    /// Not so.
    Invalid,
    /// The integration has no secret.
    NoSecret,
}

/// Everything that the engine needs of the world. One set of doors belongs to one instance.
pub trait Doors: Send {
    /// The rows of these keys, in order.
    ///
    /// # Errors
    /// `Failed` when the store cannot be read now.
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, CommitError>;

    /// Rows of a tenant whose path begins with a prefix.
    ///
    /// # Errors
    /// `Failed` when the store cannot be read now.
    fn scan(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Row>, CommitError>;

    /// All changes or none.
    ///
    /// # Errors
    /// `Stale` when a row was not as expected, `Failed` when the store cannot take it now.
    fn commit(&self, changes: &[Change]) -> Result<(), CommitError>;

    /// Takes a request to carry.
    fn submit(&self, request: HttpRequest);

    /// Now.
    fn now(&self) -> Millis;

    /// Whether one of the signatures is right.
    fn verify(
        &self,
        tenant: &str,
        integration: &str,
        scheme: Scheme,
        message: &str,
        signatures: &[String],
    ) -> Signature;

    /// The token of a canonical value, with the tenant's key.
    fn token(&self, tenant: &str, kind: &str, canonical: &str) -> Option<String>;

    /// Asks a tenant's own rules; an answer to each question, in order.
    fn ask(
        &self,
        tenant: &TenantId,
        integration: &IntegrationId,
        active: &ActiveRules,
        inquiry: &Inquiry,
    ) -> Vec<Answer>;

    /// One line for people.
    fn line(&self, text: &str);
}

impl State {
    fn note(&mut self, call: impl FnOnce() -> DoorCall) {
        if let Some(tape) = &mut self.tape {
            tape.push(call());
        }
    }
}

impl types::Host for State {}

impl storage::Host for State {
    fn get(&mut self, keys: Vec<types::Key>) -> Result<Vec<Option<types::Row>>, types::StoreError> {
        let keys: Vec<Key> = keys.into_iter().map(convert::key_in).collect::<Result<_, _>>()?;
        let rows = self.doors.get(&keys);
        self.note(|| DoorCall::Get(keys.clone(), rows.clone().map_err(|e| e.to_string())));
        let rows = rows.map_err(convert::error)?;
        Ok(rows.into_iter().map(|row| row.map(convert::row)).collect())
    }

    fn scan(
        &mut self,
        tenant: String,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<types::Row>, types::StoreError> {
        let tenant = TenantId::new(tenant).map_err(|e| types::StoreError::Failed(e.to_string()))?;
        let rows = self.doors.scan(&tenant, &prefix, after.as_deref(), limit);
        self.note(|| DoorCall::Scan {
            tenant: tenant.clone(),
            prefix: prefix.clone(),
            after: after.clone(),
            limit,
            rows: rows.clone().map_err(|e| e.to_string()),
        });
        let rows = rows.map_err(convert::error)?;
        Ok(rows.into_iter().map(convert::row).collect())
    }

    fn commit(&mut self, changes: Vec<types::Change>) -> Result<(), types::StoreError> {
        let changes: Vec<Change> =
            changes.into_iter().map(convert::change).collect::<Result<_, _>>()?;
        let committed = self.doors.commit(&changes);
        self.note(|| DoorCall::Commit(changes.clone(), Committed::from(&committed)));
        committed.map_err(convert::error)
    }
}

impl http::Host for State {
    fn submit(&mut self, request: types::HttpRequest) {
        match convert::request(request) {
            Ok(request) => {
                self.note(|| DoorCall::Submit(request.clone()));
                self.doors.submit(request);
            }
            Err(why) => tracing::error!("a request of the engine cannot be carried: {why}"),
        }
    }
}

impl clock::Host for State {
    fn now(&mut self) -> i64 {
        let now = self.doors.now();
        self.note(|| DoorCall::Now(now));
        now.0
    }
}

impl secrets::Host for State {
    fn verify(
        &mut self,
        tenant: String,
        integration: String,
        scheme: types::Scheme,
        message: String,
        signatures: Vec<String>,
    ) -> types::Signature {
        let scheme = match scheme {
            types::Scheme::Standard => Scheme::Standard,
            types::Scheme::BodyOnly => Scheme::BodyOnly,
        };
        let signature = self.doors.verify(&tenant, &integration, scheme, &message, &signatures);
        self.note(|| DoorCall::Verify(signature));
        match signature {
            Signature::Valid => types::Signature::Valid,
            Signature::Invalid => types::Signature::Invalid,
            Signature::NoSecret => types::Signature::NoSecret,
        }
    }

    fn token(&mut self, tenant: String, kind: String, canonical: String) -> Option<String> {
        let token = self.doors.token(&tenant, &kind, &canonical);
        self.note(|| DoorCall::Token { kind, canonical, token: token.clone() });
        token
    }
}

impl rules::Host for State {
    fn ask(
        &mut self,
        tenant: String,
        integration: String,
        active: String,
        inquiry: String,
    ) -> String {
        let asked = || {
            let tenant = TenantId::new(tenant).ok()?;
            let integration = IntegrationId::new(integration).ok()?;
            let active: ActiveRules = serde_json::from_str(&active).ok()?;
            let inquiry: Inquiry = serde_json::from_str(&inquiry).ok()?;
            Some(self.doors.ask(&tenant, &integration, &active, &inquiry))
        };
        let answers = asked().unwrap_or_default();
        self.note(|| DoorCall::Ask(inquiry.clone(), answers.clone()));
        serde_json::to_string(&answers).unwrap_or_default()
    }
}

impl log::Host for State {
    fn line(&mut self, text: String) {
        self.doors.line(&text);
    }
}
