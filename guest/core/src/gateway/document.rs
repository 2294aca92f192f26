//! A gateway's document: what is written into Envoy's configuration, an environment variable, or a program.
//!
//! ```json
//! { "upstream": "http://127.0.0.1:8080",
//!   "settings": { "preset": "incidents" },
//!   "routes": [
//!     { "path": "/hooks/servicenow", "takes": "webhook", "secrets": ["env:WEBHOOK_SECRET"], "sends": "mapped" },
//!     { "path": "/assist/*", "takes": "any", "sends": "masked", "answers": "masked" } ] }
//! ```

use std::sync::Arc;

use firn_model::{Fault, IntegrationId, Level, Preset, TenantId, WebhookPolicy};
use firn_signature::Key;
use serde::Deserialize;
use serde_json::Value as Json;

use super::paths::plain;
use super::{Gateway, Goes, Route, Signed, towards};
use crate::masking::{Place, Policy};
use crate::settings::{self, Applied, Rules};

/// What comes in by a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Takes {
    /// ServiceNow's webhooks.
    Webhook,
    /// The platform's events.
    Event,
    /// The platform's escalations.
    Escalation,
    /// Anything.
    Any,
}

/// What goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Sends {
    /// What came.
    #[default]
    Unchanged,
    /// What came, without personal data.
    Masked,
    /// What the receiver takes, without personal data.
    Mapped,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answers {
    /// What the one behind answers.
    #[default]
    Unchanged,
    /// The same, without personal data.
    Masked,
}

/// Which signatures are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Signature {
    /// Standard Webhooks.
    Standard,
    /// `X-ServiceNow-Signature` over the body.
    Servicenow,
    /// Either of them.
    Either,
    /// None is asked for.
    None,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Others {
    #[default]
    Pass,
    Refuse,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    upstream: Option<String>,
    #[serde(default)]
    others: Others,
    settings: Option<Json>,
    #[serde(default)]
    routes: Vec<RouteDocument>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteDocument {
    path: String,
    takes: Takes,
    signed: Option<Signature>,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default)]
    sends: Sends,
    #[serde(default)]
    answers: Answers,
    to: Option<String>,
    settings: Option<Json>,
}

pub(super) fn read(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Gateway, Vec<Fault>> {
    let (gateway, faults) = check(text, &|name| environment(name));
    let errors: Vec<Fault> = faults.into_iter().filter(|f| f.level == Level::Error).collect();
    match gateway {
        Some(gateway) if errors.is_empty() => Ok(gateway),
        _ => Err(errors),
    }
}

pub(super) fn faults(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Vec<Fault> {
    check(text, environment).1
}

fn error(at: impl Into<String>, text: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Fault { level: Level::Error, at: at.into(), text: text.into(), remedy: remedy.into() }
}

fn check(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> (Option<Gateway>, Vec<Fault>) {
    // Editors of some systems put a mark of its encoding before a file.
    let json = match crate::json::object(text.trim_start_matches('\u{feff}')) {
        Ok(json) => Json::Object(json),
        Err(why) => {
            let remedy = "write an object: {\"routes\": [...]}";
            return (None, vec![error("", format!("the document is not JSON: {why}"), remedy)]);
        }
    };
    let mut read = settings::decode::<Document>(&json, &Json::Null, "");
    read.faults.iter_mut().for_each(untold);
    let Some(document) = read.value.take() else { return (None, read.faults) };
    let mut faults = Vec::new();
    if document.routes.is_empty() && read.faults.is_empty() {
        faults.push(error(
            "routes",
            "there is no route",
            "say which paths are read: path and takes",
        ));
    }
    if let Some(upstream) = &document.upstream
        && !["http://", "https://"].iter().any(|scheme| upstream.starts_with(scheme))
    {
        let remedy = "write scheme, host and port: http://127.0.0.1:8080";
        faults.push(error("upstream", "this is no address", remedy));
    } else if document
        .upstream
        .as_ref()
        .is_some_and(|upstream| upstream.contains(['@', '?', '#', ' ']))
    {
        let remedy = "write scheme, host and port, and perhaps a path; no user, no query";
        faults.push(error("upstream", "there is more in it than an address", remedy));
    }
    let common = document.settings.as_ref().and_then(|s| rules(s, "settings", &mut faults));
    let by_default = Arc::new(Policy::default());
    let mut routes = Vec::new();
    let mut paths: Vec<(String, bool)> = Vec::new();
    for (i, route) in document.routes.into_iter().enumerate() {
        let at = format!("routes[{i}]");
        let own = route.settings.as_ref();
        let own = own.and_then(|settings| rules(settings, &format!("{at}.settings"), &mut faults));
        let said = route.settings.is_some() || document.settings.is_some();
        let rules = own.or_else(|| common.clone());
        let signed = signed(&route, &at, environment, &mut faults);
        about(&route, &at, said, &mut faults);
        let takes = rules.as_ref().map(|rules| rules.settings().preset);
        if route.sends == Sends::Mapped
            && route.takes == Takes::Escalation
            && takes.is_some_and(|preset| !matches!(preset, Preset::Genesys | Preset::Bot))
        {
            let text = "these settings take events, not escalations";
            let remedy = "give the route settings with the preset genesys or bot";
            faults.push(error(format!("{at}.settings"), text, remedy));
        }
        let own = (
            plain(route.path.strip_suffix("/*").unwrap_or(&route.path)),
            route.path.ends_with("/*"),
        );
        if let Some(before) = paths.iter().position(|before| hides(before, &own)) {
            let text = format!("nothing comes here: routes[{before}] takes it first");
            faults.push(error(format!("{at}.path"), text, "put this route before that one"));
        }
        paths.push(own);
        routes.push(made(route, signed, rules, &by_default));
    }
    let rest = read.of_the_rest(faults);
    let mut faults = [read.faults, rest].concat();
    faults.sort();
    let refuses_others = matches!(document.others, Others::Refuse);
    (Some(Gateway { routes, refuses_others, upstream: document.upstream }), faults)
}

/// Whether everything of a route is another's that stands before it; each a path, and whether what is below it
/// belongs to it.
fn hides(before: &(String, bool), route: &(String, bool)) -> bool {
    match route.0.strip_prefix(before.0.as_str()) {
        Some("") => before.1 || !route.1,
        Some(rest) => before.1 && (rest.starts_with('/') || before.0.is_empty()),
        None => false,
    }
}

/// A fault is for a log; what may be a secret that stands in a wrong place is not.
fn untold(fault: &mut Fault) {
    if fault.at.contains("secret") {
        "this is no list of texts".clone_into(&mut fault.text);
    } else {
        fault.text = crate::masking::mask(&fault.text).text;
        let word = |word: &str| if word.contains("whsec_") { "..." } else { word }.to_owned();
        fault.text = fault.text.split(' ').map(word).collect::<Vec<_>>().join(" ");
    }
}

/// Settings of an integration, as far as a gateway needs them.
fn rules(settings: &Json, at: &str, faults: &mut Vec<Fault>) -> Option<Arc<Rules>> {
    let (id, tenant) = (IntegrationId::new("gateway").ok()?, TenantId::new("gateway").ok()?);
    let Applied { integration, faults: found } = settings::apply(None, &id, &tenant, settings);
    let sound = found.iter().all(|f| f.level != Level::Error);
    faults.extend(found.into_iter().map(|fault| Fault {
        at: if fault.at.is_empty() { at.to_owned() } else { format!("{at}.{}", fault.at) },
        ..fault
    }));
    let integration = integration.filter(|_| sound)?;
    settings::compile(integration).ok().map(Arc::new)
}

/// What does not fit together in a route.
fn about(route: &RouteDocument, at: &str, settings: bool, faults: &mut Vec<Fault>) {
    if !route.path.starts_with('/') {
        let text = format!("{:?} is no path", route.path);
        faults.push(error(format!("{at}.path"), text, "begin it with a slash: /hooks/servicenow"));
    }
    if route.path.strip_suffix("/*").unwrap_or(&route.path).contains(['*', '?', '#']) {
        let text = format!("{:?} is no path of a route", route.path);
        let remedy = "write the path alone, or end it with /* for everything below";
        faults.push(error(format!("{at}.path"), text, remedy));
    }
    if let Some(to) = &route.to {
        let place = format!("{at}.to");
        if !to.starts_with('/')
            || to.contains(|c: char| c == '#' || c.is_whitespace() || c.is_control())
        {
            let remedy = "begin it with a slash: /servicenow";
            faults.push(error(place, format!("{to:?} is no path"), remedy));
        } else if route.path.ends_with("/*") {
            let text = "everything below this route would go to one address";
            faults.push(error(place, text, "leave it out, or make a route of each address"));
        }
    }
    if route.sends == Sends::Mapped {
        let place = format!("{at}.sends");
        match route.takes {
            Takes::Event => faults.push(error(
                place,
                "an event cannot be mapped here: which ticket it is about, only Firn knows",
                "send it on to Firn: sends = \"masked\" or \"unchanged\"",
            )),
            Takes::Any => faults.push(error(
                place,
                "what may be anything cannot be mapped",
                "say what it is: takes = \"webhook\" or \"escalation\"",
            )),
            Takes::Webhook | Takes::Escalation if !settings => faults.push(error(
                place,
                "there are no settings to map by",
                "give the document settings: {\"preset\": \"incidents\"}",
            )),
            Takes::Webhook | Takes::Escalation => {}
        }
    }
}

fn signed(
    route: &RouteDocument,
    at: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<Fault>,
) -> Option<Signed> {
    let wanted = match (route.signed, route.takes) {
        (Some(signature), _) => signature,
        (None, Takes::Webhook) => Signature::Standard,
        (None, _) if route.secrets.is_empty() => Signature::None,
        (None, _) => Signature::Standard,
    };
    let (standard, servicenow_signature) = match wanted {
        Signature::Standard => (true, false),
        Signature::Servicenow => (false, true),
        Signature::Either => (true, true),
        Signature::None => {
            if !route.secrets.is_empty() {
                let text = "there are secrets, and signed = \"none\"";
                faults.push(error(format!("{at}.signed"), text, "say which signatures are taken"));
            }
            return None;
        }
    };
    if route.secrets.is_empty() {
        let text = "there is no secret: nothing could be genuine";
        let remedy = "name the webhook's secret: [\"env:WEBHOOK_SECRET\"]; or, if whoever is before the \
                      gateway knows who sends, signed = \"none\"";
        faults.push(error(format!("{at}.secrets"), text, remedy));
    }
    let mut keys = Vec::new();
    for (i, secret) in route.secrets.iter().enumerate() {
        let place = format!("{at}.secrets[{i}]");
        if let Some(text) = odd(secret) {
            let remedy = "write env:NAME, or the secret itself";
            faults.push(error(place, text, remedy));
            continue;
        }
        let secret = match secret.strip_prefix("env:") {
            None => Some(secret.clone()),
            Some(name) => {
                let value = environment(name);
                if value.is_none() {
                    let text = format!("there is no environment variable {name}");
                    let remedy = "give it to the gateway, as the page of its host says; where there is no \
                                  environment (in a program), put the secret itself here";
                    faults.push(error(place.clone(), text, remedy));
                }
                value
            }
        };
        match secret.map(|secret| Key::of(&secret)) {
            Some(Some(key)) => keys.push(key),
            Some(None) => {
                let remedy =
                    "write whsec_ and the base64 that Firn or ServiceNow has, or the secret itself";
                faults.push(error(place, "it is empty, or its base64 is none", remedy));
            }
            None => {}
        }
    }
    Some(Signed { policy: WebhookPolicy { standard, servicenow_signature }, keys })
}

/// What people write who mean another place, and what would be taken for the secret itself.
fn odd(secret: &str) -> Option<&'static str> {
    let lower = secret.trim().to_ascii_lowercase();
    let elsewhere = ["file:", "exec:", "vault:"].iter().any(|prefix| lower.starts_with(prefix));
    if elsewhere || secret.starts_with('$') {
        return Some("a gateway reads secrets from its environment only");
    }
    let named = secret.strip_prefix("env:");
    if named.is_some_and(|name| name.trim().is_empty())
        || (named.is_none() && lower.starts_with("env:"))
    {
        return Some("it names no environment variable");
    }
    (named.is_none() && (1..8).contains(&secret.len()) && secret != "-")
        .then_some("it is too short for a secret")
}

fn made(
    route: RouteDocument,
    signed: Option<Signed>,
    rules: Option<Arc<Rules>>,
    by_default: &Arc<Policy>,
) -> Route {
    let masker = |to| match &rules {
        Some(rules) => rules.masks().whole(to),
        None => by_default.at(Place { to, ..Place::default() }),
    };
    let (toward, shown) = (masker(towards(route.takes)), masker(None));
    let below = route.path.ends_with("/*");
    let path = plain(route.path.strip_suffix("/*").unwrap_or(&route.path));
    Route {
        path,
        below,
        takes: route.takes,
        goes: match (route.sends, rules) {
            (Sends::Unchanged, _) => Goes::Unchanged,
            (Sends::Mapped, Some(rules)) => Goes::Mapped(rules),
            // Mapped without settings is a fault.
            (Sends::Masked | Sends::Mapped, _) => Goes::Masked,
        },
        answers: route.answers,
        signed,
        to: route.to,
        masker: toward,
        shown,
    }
}
