//! Signing in with a token, and out again.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use minijinja::context;
use serde::Deserialize;

use super::door::{self, Form, Visit, see};
use super::view;
use crate::access::{Refused, Right};
use crate::api::{Asks, Shared, failed};
use crate::host::now;

#[derive(Deserialize)]
pub(super) struct Next {
    next: Option<String>,
}

/// `GET /sign-in`.
pub(super) async fn form(
    State(shared): State<Shared>,
    Asks(Next { next }): Asks<Next>,
) -> Response {
    if shared.gate.open {
        return see("/");
    }
    let next = door::own_place(next.as_deref()).to_owned();
    view::alone("sign_in.html", &context! { title => "Sign in", next, why => "" }, 200)
}

/// `POST /sign-in`.
pub(super) async fn sign_in(
    State(shared): State<Shared>,
    headers: HeaderMap,
    form: Form,
) -> Response {
    let next = door::own_place(form.field("next"));
    let given = form.field("token").unwrap_or_default().trim();
    let (access, gate) = (shared.host.access(), &shared.gate);
    let why = match gate.admit(access, Some(given).filter(|given| !given.is_empty()), now()) {
        Ok(caller) if caller.role.grants(Right::Read) => {
            let cookie = match access.sign_in(gate, given, now()) {
                Ok(Ok(cookie)) => cookie,
                // It was revoked in this moment; or it is an access token, which is for programs.
                Ok(Err(_)) => return refused(next, "This token opens no console."),
                Err(why) => return failed(&why),
            };
            if let Some(before) = door::cookie(&shared, &headers)
                && let Err(why) = access.sign_out(before)
            {
                return failed(&why);
            }
            let tenant = caller.tenant.clone().unwrap_or_else(crate::vault::system);
            shared.host.note(&tenant, None, "signed-in", "to the console", &caller.name);
            let cookie = door::set_cookie(&shared, &cookie);
            return ([("set-cookie", cookie)], see(next)).into_response();
        }
        Ok(_) => "This is a sender's token: it sends, and sees nothing.",
        Err(None) => "Enter your token.",
        Err(Some(Refused::Ended)) => "This token has ended. Ask for a new one.",
        Err(Some(Refused::Client)) => {
            "This is an OAuth client's secret, for programs. Ask for a token of your own."
        }
        Err(Some(Refused::Unknown)) => "There is no such token, or it was revoked.",
    };
    refused(next, why)
}

fn refused(next: &str, why: &str) -> Response {
    tracing::warn!(why, "a sign-in to the console was refused");
    view::alone("sign_in.html", &context! { title => "Sign in", next, why }, 401)
}

/// `POST /sign-out`.
pub(super) async fn sign_out(visit: Visit, headers: HeaderMap) -> Response {
    let shared = &visit.shared;
    if let Some(cookie) = door::cookie(shared, &headers)
        && let Err(why) = shared.host.access().sign_out(cookie)
    {
        return failed(&why);
    }
    let forgotten = door::set_cookie(shared, &String::new().into());
    ([("set-cookie", forgotten)], see("/sign-in")).into_response()
}
