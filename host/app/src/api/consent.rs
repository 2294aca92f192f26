//! A person's consent: asked for, and given with a browser that the instance sends back.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::at::{Asks, At};
use super::{Shared, ok, problem};
use crate::host::CONSENT;

/// Asks for a consent: answers where the person has to go with a browser.
pub(crate) async fn connect(at: At) -> Response {
    let shared = &at.shared;
    match shared.host.ask_consent(&at.known) {
        Ok(url) => {
            at.note("consent-asked", "of a person with a browser");
            ok(json!({ "authorize_url": url.as_str(), "redirect_uri": shared.host.redirect_uri(),
            "expires_in": CONSENT.as_secs() }))
        }
        Err(why) => problem(422, "not-connectable", "It cannot be connected", format!("{why:#}")),
    }
}

/// What an instance sends the browser back with.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Consented {
    #[serde(default)]
    state: String,
    code: Option<String>,
    error: Option<String>,
}

/// The browser comes back from the instance. Its `state` is its ticket: unguessable, good once.
pub(crate) async fn consented(
    State(shared): State<Shared>,
    Asks(Consented { state, code, error }): Asks<Consented>,
) -> Response {
    let (status, text) = match shared.host.consented(&state, code, error).await {
        Ok(name) => (200, format!("{name} is connected. You can close this page.")),
        Err(why) => (400, format!("Not connected: {why:#}")),
    };
    // Plain text: nothing of it is markup, whatever the instance said.
    let headers = [
        ("content-type", "text/plain; charset=utf-8"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ];
    let status = axum::http::StatusCode::from_u16(status).unwrap_or_default();
    (status, headers, text + "\n").into_response()
}
