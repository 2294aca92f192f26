//! The doors: everything that the engine needs of the world, and nothing else. A host supplies
//! them; in the component they are the WIT imports.

use std::sync::Arc;

use firn_core::masking::Tokens;
use firn_core::signature::Scheme;
use firn_model::rule::Answer;
use firn_model::{
    ActiveRules, Change, CommitError, HttpRequest, Inquiry, IntegrationId, Key, Millis, Row,
    TenantId,
};

/// Rows with versions. Reads show committed rows only.
pub trait Storage {
    /// The rows of these keys, in order.
    ///
    /// # Errors
    /// `Failed` when the store cannot be read now.
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, CommitError>;

    /// Up to `limit` rows whose path begins with `prefix` and is greater than `after`, in order.
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

    /// All changes or none; returns after the data is safe.
    ///
    /// # Errors
    /// `Stale` when a row was not as expected, `Failed` when the store cannot take it now.
    fn commit(&self, changes: &[Change]) -> Result<(), CommitError>;
}

/// Carries requests. The answer comes back as an event.
pub trait Http {
    /// Hands a request to the host. It is sent within its timeout or not at all.
    fn submit(&self, request: HttpRequest);
}

/// Tells the time.
pub trait Clock {
    /// Now.
    fn now(&self) -> Millis;
}

/// What the host says of a signature. Keys never enter the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// It was made with a valid secret of the integration.
    Valid,
    /// It was not.
    Invalid,
    /// The integration has no secret: nothing can be valid.
    NoSecret,
}

/// Uses the secrets of an integration and its tenant.
pub trait Secrets {
    /// Whether one of `signatures` (base64 or hexadecimal HMAC-SHA256) is right for `message`.
    fn verify(
        &self,
        tenant: &TenantId,
        integration: &IntegrationId,
        scheme: Scheme,
        message: &str,
        signatures: &[String],
    ) -> Signature;

    /// What makes a tenant's tokens, which stand for masked values.
    fn tokens(&self, tenant: &TenantId) -> Arc<dyn Tokens>;
}

/// Says what happens, for people. Never a value of a record.
pub trait Log {
    /// One line.
    fn line(&self, text: &str);
}

/// Asks a tenant's own rules. They are strangers: whatever they do, there is an answer to each question.
pub trait Rules {
    /// Asks the rules of an integration; an answer to each question, in order.
    fn ask(
        &self,
        tenant: &TenantId,
        integration: &IntegrationId,
        rules: &ActiveRules,
        inquiry: &Inquiry,
    ) -> Vec<Answer>;
}

/// All doors.
pub trait Doors: Storage + Http + Clock + Secrets + Rules + Log {}

impl<T: Storage + Http + Clock + Secrets + Rules + Log> Doors for T {}
