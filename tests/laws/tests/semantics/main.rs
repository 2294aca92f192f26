//! What the design says in section 4, rule by rule: the real driver and core between two fakes in
//! which nothing happens by chance. Complaints of other tools' users are in `complaints.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests may.

mod apart;
mod asked;
mod creation;
mod dead;
mod journal;
mod learning;
mod life;
mod made;
mod merge;
mod order;
mod repair;
mod restored;
mod rules;
mod told;
mod twice;
mod unreadable;

use firn_laws::sim::Scenario;
use firn_model::{
    ConflictId, Ended, FindingFilter, FindingKind, IntegrationId, Mirror, Operation, Resolution,
    Role, RunMode, Why,
};
use serde_json::{Value as Json, json};

fn integration() -> IntegrationId {
    IntegrationId::new("int-1").unwrap()
}

fn incidents(more: Json) -> Scenario {
    let mut document = json!({ "preset": "incidents" });
    for (key, value) in more.as_object().unwrap() {
        document[key] = value.clone();
    }
    Scenario::new(document)
}

/// Changes settings, by a merge patch.
fn configure(world: &mut Scenario, settings: Json) {
    let change = json!({ "id": integration(), "create": false, "settings": settings });
    let integration = Box::new(serde_json::from_value(change).unwrap());
    let (status, said) = world.operate(Operation::Configure { integration });
    assert!(status < 300, "{said}");
}

fn plain() -> Scenario {
    incidents(json!({}))
}

fn whys(world: &Scenario) -> Vec<Why> {
    world.audit().into_iter().flat_map(|line| line.fields).map(|w| w.why).collect()
}

/// Both sides change the title within the window, Firn hearing of both at once.
fn both_change(world: &mut Scenario, platform_first: bool) {
    world.platform_edits("A", &[("title", "t")]);
    world.pass(60_000);
    world.deaf = true;
    if platform_first {
        world.platform_edits_silently("A", &[("title", "Ours")]);
        world.pass(3_000);
        world.agent_edits("A", "short_description", "Theirs");
    } else {
        let ticket = world.ticket_of("A");
        world.agent_edits(&ticket, "short_description", "Theirs");
        world.pass(3_000);
        world.platform_edits_silently("A", &[("title", "Ours")]);
    }
    world.deaf = false;
    world.reconcile(RunMode::AutoHeal);
}

fn title(more: Json) -> Scenario {
    let mut field = json!({ "owner": "shared" });
    for (key, value) in more.as_object().unwrap() {
        field[key] = value.clone();
    }
    incidents(json!({ "fields": { "title": field } }))
}

fn webhook(world: &Scenario, mod_count: Option<u32>, at: &str, current: &Json) -> Json {
    let mut current = current.clone();
    current["sys_updated_on"] = json!(at);
    let mut body = json!({ "sys_id": world.ticket_of("A"), "number": "INC1", "table": "incident", "action": "update", "current": current });
    if let Some(n) = mod_count {
        body["sys_mod_count"] = json!(n.to_string());
    }
    body
}

fn call(id: &str, reason: &str) -> Json {
    json!({ "callId": id, "escalationReason": reason, "queueName": "IT" })
}
