//! All pages in one table: address, who may, and what does it.

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::{
    audit, conflicts, dead, doctor, findings, knowledge, links, live, overview, rules, runs,
    settings, sign_in, view,
};
use crate::access::Right::{Administer, Operate, Read};
use crate::api::Method::{Get, Post};
use crate::api::{Method, Shared, Who};

/// One thing that a browser can ask.
pub(super) struct Page {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) who: Who,
    pub(super) handler: MethodRouter<Shared>,
}

fn page<H, T>(method: Method, path: &'static str, who: Who, handler: H) -> Page
where
    H: Handler<T, Shared>,
    T: 'static,
{
    let filter = if method == Get { MethodFilter::GET } else { MethodFilter::POST };
    Page { method, path, who, handler: on(filter, handler) }
}

macro_rules! at {
    ($rest:literal) => {
        concat!("/console/{integration}", $rest)
    };
}

pub(super) fn table() -> Vec<Page> {
    let anybody = Who::Anybody;
    let (reader, operator) = (Who::Holder(Read), Who::Holder(Operate));
    let admin = Who::Holder(Administer);
    vec![
        page(Get, "/", reader, overview::all),
        page(Get, "/sign-in", anybody, sign_in::form),
        page(Post, "/sign-in", anybody, sign_in::sign_in),
        page(Post, "/sign-out", reader, sign_in::sign_out),
        page(Get, "/assets/{file}", anybody, view::asset),
        page(Get, "/console/live", reader, live::live),
        page(Get, at!(""), reader, overview::one),
        page(Get, at!("/links"), reader, links::list),
        page(Get, at!("/links/{link}"), reader, links::show),
        page(Post, at!("/links/{link}/resync"), operator, links::resync),
        page(Post, at!("/links/{link}/unlink"), operator, links::unlink),
        page(Get, at!("/conflicts"), reader, conflicts::list),
        page(Get, at!("/conflicts/{conflict}"), reader, conflicts::show),
        page(Post, at!("/conflicts/{conflict}/resolve"), operator, conflicts::resolve),
        page(Get, at!("/dead-letters"), reader, dead::list),
        page(Post, at!("/dead-letters"), operator, dead::several),
        page(Get, at!("/dead-letters/{entry}"), reader, dead::show),
        page(Post, at!("/dead-letters/{entry}/retry"), operator, dead::retry),
        page(Post, at!("/dead-letters/{entry}/discard"), operator, dead::discard),
        page(Get, at!("/runs"), reader, runs::list),
        page(Post, at!("/runs"), operator, runs::begin),
        page(Get, at!("/runs/{run}"), reader, runs::show),
        page(Post, at!("/runs/{run}/stop"), operator, runs::stop),
        page(Post, at!("/runs/{run}/confirm"), operator, runs::confirm),
        page(Get, at!("/rules"), reader, rules::list),
        page(Post, at!("/rules"), admin, rules::upload),
        page(Post, at!("/rules/rollback"), admin, rules::rollback),
        page(Post, at!("/rules/deactivate"), admin, rules::deactivate),
        page(Post, at!("/rules/{version}/dry-run"), operator, rules::dry_run),
        page(Post, at!("/rules/{version}/activate"), admin, rules::activate),
        page(Get, at!("/findings"), reader, findings::list),
        page(Post, at!("/findings"), operator, findings::dismiss),
        page(Get, at!("/knowledge"), reader, knowledge::list),
        page(Get, at!("/audit"), reader, audit::list),
        page(Get, at!("/settings"), reader, settings::show),
        page(Post, at!("/settings"), reader, settings::asked),
        page(Post, at!("/settings/apply"), admin, settings::apply),
        page(Post, at!("/settings/versions/{version}/restore"), admin, settings::restore),
        page(Get, at!("/doctor"), reader, doctor::show),
        page(Post, at!("/doctor"), operator, doctor::examine),
    ]
}
