//! Everything that the API can be asked, in one table: address, who may, what does it, and what the
//! OpenAPI document says of it.

use axum::response::{IntoResponse, Response};
use firn_model::{Conflict, Run, Schedule};
use serde_json::Value as Json;

use super::at::Page;
use super::route::Method::{Delete, Get, Patch, Post};
use super::route::{Route, Who};
use super::shapes::{Applied, Artifacts, Consent, Integration, Outcome, Plan, Ready, Report};
use super::{
    apply, consent, dead, fields, findings, host_audit, inbound, instance, integrations, knowledge,
    metrics, records, rules, runs, status, tenants, tokens,
};
use crate::access::Right::{Administer, Operate, Read, Send};
use crate::host::Forgotten;
use crate::rules::dry_run::DryRun;
use crate::rules::keep::RuleVersion;

const INTEGRATIONS: &str = "Integrations";
const INSTANCE: &str = "At the instance";
const COMING: &str = "Coming in";
const LINKS: &str = "Links";
const CONFLICTS: &str = "Conflicts";
const DEAD: &str = "Dead letters";
const SEEN: &str = "What a person should see";
const RECONCILE: &str = "Reconcile";
const RULES: &str = "Rules of one's own";
const LEARNT: &str = "What was learnt";
const ACCESS: &str = "Access";
const PROCESS: &str = "The process";

const IF_MATCH: &[(&str, &str)] =
    &[("If-Match", "the ETag that was seen; refused with 412 if it is another now")];
const PREFER: &[(&str, &str)] = &[(
    "Prefer",
    "wait=10: how many seconds a ticket may take to be made, 2 by default, 30 at most",
)];

macro_rules! at {
    ($rest:literal) => {
        concat!("/api/v1/integrations/{integration}", $rest)
    };
}

async fn alive() -> &'static str {
    "ok\n"
}

/// The document itself; it is made once.
async fn document() -> Response {
    use std::sync::LazyLock;
    static DOCUMENT: LazyLock<String> =
        LazyLock::new(|| format!("{:#}\n", super::openapi::document(&table())));
    ([("content-type", "application/json")], DOCUMENT.as_str()).into_response()
}

/// All routes.
pub(super) fn table() -> Vec<Route> {
    let mut all = process();
    all.extend(coming_in());
    all.extend(integrations_and_settings());
    all.extend(at_the_instance());
    all.extend(repair());
    all.extend(rules_of_ones_own());
    all.extend(learnt());
    all.extend(access());
    all
}

fn process() -> Vec<Route> {
    let anybody = Who::Anybody;
    vec![
        Route::new(Get, "/healthz", anybody, alive, (PROCESS, "Whether the process is there"))
            .gives_text(200, "text/plain"),
        Route::new(Get, "/readyz", anybody, instance::able, (PROCESS, "Whether it takes requests"))
            .gives_text(200, "text/plain"),
        Route::new(
            Get,
            "/readyz/{integration}",
            anybody,
            instance::ready,
            (PROCESS, "Whether an integration can work, as far as is known"),
        )
        .gives::<Ready>(200),
        Route::new(
            Get,
            "/metrics",
            Who::Holder(Read), // Of all tenants.
            metrics::metrics,
            (PROCESS, "Metrics, for Prometheus"),
        )
        .gives_text(200, crate::telemetry::CONTENT),
        Route::new(Get, "/api/v1/openapi.json", anybody, document, (PROCESS, "This document"))
            .gives::<Json>(200),
    ]
}

fn learnt() -> Vec<Route> {
    let reader = Who::Holder(Read);
    vec![
        Route::new(
            Get,
            "/api/v1/knowledge/search",
            reader,
            knowledge::search,
            (LEARNT, "Cases that were solved before and fit a question"),
        )
        .query::<knowledge::Question>()
        .gives::<knowledge::Hits>(200)
        .fails(&[404, 422]),
        Route::new(
            Get,
            at!("/knowledge"),
            reader,
            knowledge::list,
            (LEARNT, "Everything that was learnt"),
        )
        .query::<Page>()
        .gives::<knowledge::Cases>(200),
        Route::new(
            Get,
            at!("/knowledge/{summary}"),
            reader,
            knowledge::get,
            (LEARNT, "What was learnt from one ticket"),
        )
        .gives::<firn_model::CaseSummary>(200)
        .fails(&[404]),
    ]
}

fn coming_in() -> Vec<Route> {
    let (anybody, sender) = (Who::Anybody, Who::Holder(Send));
    vec![
        Route::new(
            Post,
            "/api/v1/webhooks/{integration}",
            anybody, // The signature is its sign-in.
            inbound::webhook,
            (COMING, "A webhook of ServiceNow's, signed"),
        )
        .takes::<Json>()
        .gives::<Outcome>(200)
        .gives::<Outcome>(202)
        .fails(&[401]),
        Route::new(
            Post,
            at!("/events"),
            sender,
            inbound::event,
            (COMING, "An event of the platform's"),
        )
        .takes::<Json>()
        .gives::<Outcome>(200)
        .gives::<Outcome>(202),
        Route::new(
            Post,
            at!("/escalations"),
            sender,
            inbound::escalation,
            (COMING, "An escalation: one ticket for each key"),
        )
        .headers(PREFER)
        .takes::<Json>()
        .gives::<Outcome>(200)
        .gives::<Outcome>(201)
        .gives::<Outcome>(202)
        .fails(&[410]),
    ]
}

fn integrations_and_settings() -> Vec<Route> {
    let (reader, admin) = (Who::Holder(Read), Who::Holder(Administer));
    vec![
        Route::new(Get, "/api/v1/integrations", reader, integrations::list, (INTEGRATIONS, "All"))
            .gives::<integrations::Integrations>(200),
        Route::new(
            Post,
            "/api/v1/integrations",
            admin,
            integrations::create,
            (INTEGRATIONS, "Creates one"),
        )
        .takes::<integrations::Create>()
        .gives::<Integration>(201)
        .fails(&[409]),
        Route::new(
            Post,
            "/api/v1/apply",
            admin,
            apply::apply,
            (INTEGRATIONS, "Makes one what a settings document says"),
        )
        .takes::<apply::Apply>()
        .gives::<Applied>(200)
        .gives::<Applied>(201)
        .fails(&[409]),
        Route::new(Get, at!(""), reader, integrations::get, (INTEGRATIONS, "One"))
            .gives::<Integration>(200),
        Route::new(Patch, at!(""), admin, integrations::change, (INTEGRATIONS, "Changes one"))
            .headers(IF_MATCH)
            .takes::<integrations::Change>()
            .gives::<Integration>(200)
            .fails(&[409, 412]),
        Route::new(
            Delete,
            at!(""),
            admin,
            integrations::delete,
            (INTEGRATIONS, "Removes one, and what it installed"),
        )
        .headers(IF_MATCH)
        .query::<integrations::Delete>()
        .gives::<Outcome>(200)
        .fails(&[412, 502]),
        Route::new(
            Get,
            at!("/versions"),
            reader,
            apply::versions,
            (INTEGRATIONS, "The versions of its settings"),
        )
        .query::<Page>()
        .gives::<apply::Versions>(200),
        Route::new(
            Post,
            at!("/versions/{version}/restore"),
            admin,
            apply::rollback,
            (INTEGRATIONS, "Makes an earlier version the present one"),
        )
        .gives::<Applied>(200),
        Route::new(
            Get,
            at!("/field-ownership"),
            reader,
            fields::list,
            (INTEGRATIONS, "Which side each field belongs to"),
        )
        .gives::<fields::Fields>(200),
        Route::new(
            Post,
            at!("/field-ownership/{field}"),
            admin,
            fields::set,
            (INTEGRATIONS, "Sets a field's owner"),
        )
        .takes::<fields::Own>()
        .gives::<fields::Fields>(200),
        Route::new(
            Delete,
            at!("/field-ownership/{field}"),
            admin,
            fields::delete,
            (INTEGRATIONS, "Makes a field shared again"),
        )
        .gives::<fields::Fields>(200)
        .fails(&[422]),
        Route::new(
            Get,
            at!("/sync-status"),
            reader,
            status::status,
            (INTEGRATIONS, "How one stands"),
        )
        .gives::<status::Status>(200),
    ]
}

fn at_the_instance() -> Vec<Route> {
    let anybody = Who::Anybody;
    let (operator, admin) = (Who::Holder(Operate), Who::Holder(Administer));
    vec![
        Route::new(
            Post,
            at!("/connect"),
            admin,
            consent::connect,
            (INSTANCE, "Asks for a person's consent"),
        )
        .gives::<Consent>(200)
        .fails(&[422]),
        Route::new(
            Get,
            "/oauth/callback",
            anybody, // Its `state` is its ticket.
            consent::consented,
            (INSTANCE, "Where the instance sends the browser back to"),
        )
        .query::<consent::Consented>()
        .gives_text(200, "text/plain; charset=utf-8")
        .gives_text(400, "text/plain; charset=utf-8"),
        Route::new(
            Get,
            at!("/provision"),
            operator, // It asks the instance, as its administrator.
            instance::plan,
            (INSTANCE, "What provisioning would do"),
        )
        .gives::<Plan>(200)
        .fails(&[502]),
        Route::new(
            Post,
            at!("/provision"),
            admin,
            instance::provision,
            (INSTANCE, "Installs what is missing, corrects what differs"),
        )
        .gives::<Artifacts>(200)
        .fails(&[502]),
        Route::new(
            Get,
            at!("/provision/export"),
            admin, // The webhook key is in it.
            instance::export,
            (INSTANCE, "What would be installed, written down"),
        )
        .query::<instance::Export>()
        .gives_text(200, "application/xml; charset=utf-8")
        .gives_text(200, "text/markdown; charset=utf-8")
        .fails(&[422]),
        Route::new(
            Post,
            at!("/unprovision"),
            admin,
            instance::unprovision,
            (INSTANCE, "Removes what was installed"),
        )
        .takes::<instance::Unprovision>()
        .gives::<Artifacts>(200)
        .fails(&[502]),
        Route::new(Post, at!("/test"), operator, instance::test, (INSTANCE, "Asks the doctor"))
            .gives::<Report>(200),
        Route::new(
            Post,
            at!("/poll"),
            operator,
            records::poll,
            (INSTANCE, "Asks for what is new, now"),
        )
        .gives::<Outcome>(202),
    ]
}

fn rules_of_ones_own() -> Vec<Route> {
    let (reader, operator, admin) =
        (Who::Holder(Read), Who::Holder(Operate), Who::Holder(Administer));
    vec![
        Route::new(
            Get,
            at!("/rules"),
            reader,
            rules::list,
            (RULES, "All versions, and how they do"),
        )
        .gives::<rules::RulesOf>(200),
        Route::new(
            Post,
            at!("/rules"),
            admin,
            rules::upload,
            (RULES, "Uploads a component; nobody asks it yet"),
        )
        .query::<rules::Upload>()
        .takes_bytes("application/wasm")
        .gives::<RuleVersion>(201)
        .never_kept(),
        Route::new(Delete, at!("/rules"), admin, rules::deactivate, (RULES, "Asks none any more"))
            .gives::<rules::RulesOf>(200),
        Route::new(
            Post,
            at!("/rules/rollback"),
            admin,
            rules::rollback,
            (RULES, "Asks the version that was asked before"),
        )
        .gives::<rules::RulesOf>(200)
        .fails(&[409]),
        Route::new(
            Post,
            at!("/rules/{version}/dry-run"),
            operator,
            rules::dry_run,
            (RULES, "What a version would say to what came in"),
        )
        .query::<rules::Last>()
        .gives::<DryRun>(200),
        Route::new(
            Post,
            at!("/rules/{version}/activate"),
            admin,
            rules::activate,
            (RULES, "Asks a version from now on"),
        )
        .gives::<rules::RulesOf>(200),
    ]
}

fn repair() -> Vec<Route> {
    let (reader, operator) = (Who::Holder(Read), Who::Holder(Operate));
    vec![
        Route::new(Get, at!("/links"), reader, records::links, (LINKS, "All"))
            .query::<records::WhichLinks>()
            .gives::<records::Links>(200),
        Route::new(
            Post,
            at!("/links"),
            operator,
            records::attach,
            (LINKS, "Pairs a record with a ticket that is there"),
        )
        .takes::<records::Attach>()
        .gives::<Outcome>(202)
        .fails(&[409]),
        Route::new(Get, at!("/links/{link}"), reader, records::link, (LINKS, "One"))
            .gives::<records::ShownLink>(200),
        Route::new(
            Get,
            at!("/links/{link}/explain"),
            reader,
            records::explain,
            (LINKS, "Why each value is what it is"),
        )
        .gives::<Json>(200),
        Route::new(
            Post,
            at!("/links/{link}/resync"),
            operator,
            records::resync,
            (LINKS, "Has both sides read again"),
        )
        .gives::<Outcome>(202)
        .fails(&[409]),
        Route::new(
            Post,
            at!("/links/{link}/unlink"),
            operator,
            records::unlink,
            (LINKS, "Takes a pair apart; both records stay"),
        )
        .gives::<Outcome>(200),
        Route::new(Get, at!("/conflicts"), reader, records::conflicts, (CONFLICTS, "All"))
            .query::<records::WhichConflicts>()
            .gives::<records::Conflicts>(200),
        Route::new(
            Get,
            at!("/conflicts/{conflict}"),
            reader,
            records::conflict,
            (CONFLICTS, "One, with all values"),
        )
        .gives::<Conflict>(200),
        Route::new(
            Post,
            at!("/conflicts/{conflict}/resolve"),
            operator,
            records::resolve,
            (CONFLICTS, "Decides one"),
        )
        .takes::<records::Resolve>()
        .gives::<Conflict>(200),
        Route::new(Get, at!("/dlq"), reader, dead::list, (DEAD, "Those that wait for a person"))
            .query::<dead::Listed>()
            .gives::<dead::Letters>(200),
        Route::new(
            Post,
            at!("/dlq/retry"),
            operator,
            dead::retry_all,
            (DEAD, "Tries several again"),
        )
        .takes::<dead::Several>()
        .gives::<Outcome>(200),
        Route::new(
            Post,
            at!("/dlq/discard"),
            operator,
            dead::discard_all,
            (DEAD, "Throws several away"),
        )
        .takes::<dead::Several>()
        .gives::<Outcome>(200),
        Route::new(
            Get,
            at!("/dlq/{entry}"),
            reader,
            dead::show,
            (DEAD, "One, with what it would write, masked"),
        )
        .gives::<Json>(200),
        Route::new(
            Post,
            at!("/dlq/{entry}/retry"),
            operator,
            dead::retry,
            (DEAD, "Tries one again"),
        )
        .gives::<Outcome>(200)
        .gives::<Outcome>(202),
        Route::new(
            Post,
            at!("/dlq/{entry}/discard"),
            operator,
            dead::discard,
            (DEAD, "Throws one away"),
        )
        .gives::<Outcome>(200)
        .gives::<Outcome>(202),
        Route::new(Get, at!("/findings"), reader, findings::list, (SEEN, "Findings"))
            .query::<findings::Which>()
            .gives::<findings::Findings>(200),
        Route::new(
            Post,
            at!("/findings/dismiss"),
            operator,
            findings::dismiss,
            (SEEN, "Forgets findings that were seen"),
        )
        .takes::<findings::Several>()
        .gives::<findings::Dismissed>(200),
        Route::new(
            Get,
            at!("/quarantine"),
            reader,
            records::quarantine,
            (SEEN, "Payloads that could not be used"),
        )
        .query::<Page>()
        .gives::<records::Quarantine>(200),
        Route::new(Get, at!("/deliveries"), reader, records::deliveries, (SEEN, "What came in"))
            .query::<Page>()
            .gives::<records::Deliveries>(200),
        Route::new(Get, at!("/audit"), reader, records::audit, (SEEN, "The audit"))
            .query::<records::WhichLines>()
            .gives::<records::Lines>(200),
        Route::new(Get, at!("/reconcile"), reader, runs::runs, (RECONCILE, "All runs"))
            .query::<Page>()
            .gives::<runs::Runs>(200),
        Route::new(Post, at!("/reconcile"), operator, runs::reconcile, (RECONCILE, "Begins a run"))
            .takes::<runs::Reconcile>()
            .gives::<Run>(202),
        Route::new(
            Get,
            at!("/reconcile/schedule"),
            reader,
            runs::scheduled,
            (RECONCILE, "When runs begin by themselves"),
        )
        .gives::<runs::Scheduled>(200),
        Route::new(
            Post,
            at!("/reconcile/schedule"),
            operator,
            runs::schedule,
            (RECONCILE, "Lets runs begin by themselves"),
        )
        .takes::<runs::Timing>()
        .gives::<Schedule>(200),
        Route::new(Get, at!("/reconcile/{run}"), reader, runs::run, (RECONCILE, "One run"))
            .gives::<Run>(200),
        Route::new(
            Post,
            at!("/reconcile/{run}/stop"),
            operator,
            runs::stop,
            (RECONCILE, "Ends a run: nothing more is begun"),
        )
        .gives::<Run>(200),
        Route::new(
            Post,
            at!("/reconcile/{run}/confirm"),
            operator,
            runs::confirm,
            (RECONCILE, "Lets a run mend that asked first"),
        )
        .gives::<Run>(200),
    ]
}

fn access() -> Vec<Route> {
    let (anybody, reader, admin) = (Who::Anybody, Who::Holder(Read), Who::Holder(Administer));
    vec![
        Route::new(Get, "/api/v1/tokens", admin, tokens::list, (ACCESS, "All tokens"))
            .gives::<tokens::Tokens>(200),
        Route::new(
            Post,
            "/api/v1/tokens",
            admin,
            tokens::create,
            (ACCESS, "Makes a token; it is shown this once"),
        )
        .takes::<tokens::Create>()
        .gives::<tokens::Created>(201)
        .fails(&[409])
        .never_kept(),
        Route::new(
            Delete,
            "/api/v1/tokens/{token}",
            admin,
            tokens::revoke,
            (ACCESS, "Ends a token for good, by its id or name"),
        )
        .gives::<Outcome>(200)
        .fails(&[409]),
        Route::new(
            Post,
            "/oauth/token",
            anybody, // The client's secret is in it.
            tokens::exchange,
            (ACCESS, "Exchanges an OAuth client's secret for an access token"),
        )
        .takes_form::<tokens::Exchange>()
        .gives::<tokens::Granted>(200)
        .gives::<tokens::NotGranted>(400)
        .gives::<tokens::NotGranted>(401)
        .gives::<tokens::NotGranted>(408)
        .gives::<tokens::NotGranted>(413),
        Route::new(
            Get,
            "/api/v1/audit",
            reader,
            host_audit::list,
            (ACCESS, "The audit of what is about no integration"),
        )
        .query::<Page>()
        .gives::<host_audit::Lines>(200),
        Route::new(
            Post,
            "/api/v1/tenants/{tenant}/forget",
            admin,
            tenants::forget,
            (ACCESS, "Erases what is kept of one conversation, call or record"),
        )
        .takes::<tenants::Forget>()
        .gives::<Forgotten>(200)
        .never_kept(),
    ]
}
