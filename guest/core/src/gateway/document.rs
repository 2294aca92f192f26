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

use firn_model::{Fault, IntegrationId, Level, TenantId, WebhookPolicy};
use firn_signature::Key;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{Gateway, Goes, Route, Signed, plain, towards};
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

pub(super) fn faults(text: &str) -> Vec<Fault> {
    // Any key will do to see whether the rest is sound.
    check(text, &|_| Some("-".to_owned())).1
}

fn error(at: impl Into<String>, text: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Fault { level: Level::Error, at: at.into(), text: text.into(), remedy: remedy.into() }
}

fn check(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> (Option<Gateway>, Vec<Fault>) {
    let json = match crate::json::object(text) {
        Ok(json) => Json::Object(json),
        Err(why) => {
            let remedy = "write an object: {\"routes\": [...]}";
            return (None, vec![error("", format!("the document is not JSON: {why}"), remedy)]);
        }
    };
    let (document, mut faults) = settings::decode::<Document>(&json, &Json::Null, "");
    let Some(document) = document else { return (None, faults) };
    if document.routes.is_empty() && faults.is_empty() {
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
        faults.push(error("upstream", format!("{upstream:?} is no address"), remedy));
    }
    let common = document.settings.as_ref().and_then(|s| rules(s, "settings", &mut faults));
    let by_default = Arc::new(Policy::default());
    let mut routes = Vec::new();
    for (i, route) in document.routes.into_iter().enumerate() {
        let at = format!("routes[{i}]");
        let own = route.settings.as_ref();
        let own = own.and_then(|settings| rules(settings, &format!("{at}.settings"), &mut faults));
        let said = route.settings.is_some() || document.settings.is_some();
        let rules = own.or_else(|| common.clone());
        let signed = signed(&route, &at, environment, &mut faults);
        about(&route, &at, said, &mut faults);
        routes.push(made(route, signed, rules, &by_default));
    }
    faults.sort();
    let refuses_others = matches!(document.others, Others::Refuse);
    (Some(Gateway { routes, refuses_others, upstream: document.upstream }), faults)
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
        let secret = match secret.strip_prefix("env:") {
            None => Some(secret.clone()),
            Some(name) => {
                let value = environment(name);
                if value.is_none() {
                    let text = format!("there is no environment variable {name}");
                    let remedy = "give it to the gateway: the page of its host says how";
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
