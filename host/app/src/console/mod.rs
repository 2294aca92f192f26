//! The console at `/`: what flows, what is stuck, why each value is what it is, and the few things to do about
//! it. Pages are made here, from templates (`templates/`), and work without a script; ours (`assets/`) only
//! keeps them up to date. What a page does goes the way the API's requests go: through the engine.
//!
//! Who comes in, and with what: `door.rs`. One file a subject; `view.rs` makes pages of what they find.
#![allow(clippy::result_large_err)] // A refusal is a response; it is made once and sent.

mod audit;
mod conflicts;
mod dead;
mod doctor;
mod door;
mod findings;
mod knowledge;
mod links;
mod live;
mod overview;
mod pages;
mod rows;
mod rules;
mod runs;
mod settings;
mod sign_in;
mod view;
mod words;

use axum::Router;
use axum::response::Response;

use crate::api::{Method, Shared, Who};

pub(crate) use live::Watchers;

/// All pages.
pub(crate) fn router(shared: &Shared) -> Router<Shared> {
    door::router(pages::table(), shared)
}

/// A problem as a page, at an address where there is none.
pub(crate) async fn nothing_here(refused: Response) -> Response {
    door::page_of(None, refused).await
}

/// Every page there is: what is done, its path, and who may.
#[must_use]
pub fn all_pages() -> Vec<(Method, &'static str, Who)> {
    pages::table().iter().map(|page| (page.method, page.path, page.who)).collect()
}
