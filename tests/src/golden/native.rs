//! The core natively: the component's own conversions, compiled for this machine and called without a
//! component around them.

use anyhow::{Context, Result, bail};
use firn_core_component::Core;
use firn_core_component::interfaces::{
    conflict, gateway, identity, intake, mapping, masking, ownership, planner, settings,
};
use serde_json::Value as Json;

use super::Call;
use super::types::{Function, from_rust, to_rust};

macro_rules! ask {
    ($given:expr, $interface:ident::$function:ident($($argument:ident),+)) => {{
        let ($($argument,)+) = serde_json::from_value($given)?;
        serde_json::to_value(<Core as $interface::Guest>::$function($($argument),+))?
    }};
}

/// Makes a call.
///
/// # Errors
/// When there is no such function, or an argument does not fit.
pub fn call(functions: &[Function], call: &Call) -> Result<Json> {
    let known = |f: &&Function| f.interface == call.interface && f.name == call.function;
    let function = functions.iter().find(known);
    let function =
        function.with_context(|| format!("there is no {}.{}", call.interface, call.function))?;
    if function.parameters.len() != call.arguments.len() {
        bail!("{} takes {} arguments", call.function, function.parameters.len());
    }
    let given = call.arguments.iter().zip(&function.parameters);
    let given: Json = given.map(|(json, ty)| to_rust(json, ty)).collect::<Result<_>>()?;
    let answer = match (call.interface.as_str(), call.function.as_str()) {
        ("settings", "check") => ask!(given, settings::check(document)),
        ("settings", "complete") => ask!(given, settings::complete(document)),
        ("settings", "questions") => ask!(given, settings::questions(document)),
        ("settings", "judge") => ask!(given, settings::judge(document, replies)),
        ("mapping", "to-external") => ask!(given, mapping::to_external(a, b, c, d, e, f)),
        ("mapping", "to-platform") => ask!(given, mapping::to_platform(a, b, c, d)),
        ("mapping", "agree") => ask!(given, mapping::agree(a, b, c, d, e)),
        ("ownership", "decide") => ask!(given, ownership::decide(edit)),
        ("conflict", "decide") => ask!(given, conflict::decide(rivals)),
        ("masking", "mask") => ask!(given, masking::mask(text)),
        ("masking", "faults") => ask!(given, masking::faults(policy)),
        ("masking", "canonical") => ask!(given, masking::canonical(policy, place, text)),
        ("masking", "mask-by") => ask!(given, masking::mask_by(policy, place, text, tokens)),
        ("identity", "correlation-key") => ask!(given, identity::correlation_key(a, b)),
        ("identity", "link-id") => ask!(given, identity::link_id(a, b, c)),
        ("identity", "webhook") => ask!(given, identity::webhook(body)),
        ("identity", "event") => ask!(given, identity::event(body)),
        ("identity", "escalation") => ask!(given, identity::escalation(body)),
        ("intake", "servicenow") => ask!(given, intake::servicenow(settings, body)),
        ("intake", "platform") => ask!(given, intake::platform(settings, body)),
        ("intake", "escalated") => ask!(given, intake::escalated(settings, body, now)),
        ("gateway", "check") => ask!(given, gateway::check(document)),
        ("gateway", "look") => ask!(given, gateway::look(document, method, path, headers)),
        ("gateway", "receive") => ask!(given, gateway::receive(document, request, now)),
        ("gateway", "answer") => ask!(given, gateway::answer(document, method, path, response)),
        ("planner", "advance") => ask!(given, planner::advance(a, b, c, d)),
        ("planner", "explain") => ask!(given, planner::explain(a, b, c, d)),
        (interface, function) => bail!("{interface}.{function} is not asked natively"),
    };
    from_rust(&answer, &function.result)
}
