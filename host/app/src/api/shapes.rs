//! Shapes of answers that are put together elsewhere, by the engine or the doctor: only what the OpenAPI
//! document says of them. Nothing is ever made of these.
#![allow(dead_code)]

use schemars::JsonSchema;
use serde_json::Value as Json;

/// What an operation came to, in a word; more where there is more to say.
#[derive(JsonSchema)]
pub(super) struct Outcome {
    status: String,
}

/// An integration: never a secret.
#[derive(JsonSchema)]
pub(super) struct Integration {
    id: String,
    slug: String,
    name: String,
    /// Whose it is.
    tenant: String,
    base_url: String,
    enabled: bool,
    /// The version of its settings.
    version: u64,
    settings: Json,
    platform: Json,
}

/// What was or would be applied.
#[derive(JsonSchema)]
pub(super) struct Applied {
    /// `created`, `changed`, `unchanged`, or the same with `would be`.
    status: String,
    /// Null if there was none.
    before: Json,
    after: Json,
}

/// What stands on the instance.
#[derive(JsonSchema)]
pub(super) struct Plan {
    in_step: bool,
    artifacts: Vec<Json>,
    strangers: Vec<Json>,
}

#[derive(JsonSchema)]
pub(super) struct Artifacts {
    artifacts: Vec<Json>,
}

/// The doctor's report.
#[derive(JsonSchema)]
pub(super) struct Report {
    checks: Vec<Json>,
}

/// Where a person has to go with a browser.
#[derive(JsonSchema)]
pub(super) struct Consent {
    authorize_url: String,
    redirect_uri: String,
    /// In seconds.
    expires_in: u64,
}

#[derive(JsonSchema)]
pub(super) struct Ready {
    ready: bool,
}
