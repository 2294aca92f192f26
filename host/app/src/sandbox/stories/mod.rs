//! The stories, on the seeds' own payloads. This file: their order, and what they share.

mod edits;
mod escalations;
mod files;
mod instance;
mod learning;

use std::time::Duration;

use firn_simulator::{RequestFault, Trouble};
use serde_json::{Value as Json, json};

use super::Teller;
use super::stage::{Side, Stage};

/// Seed 002, the Event Bus form.
const CALL: &str = r#"{
  "callId": "00000000-0000-0000-0000-000000000000",
  "startTime": "2023-10-27T14:30:00.000Z",
  "endTime": "2023-10-27T14:35:00.000Z",
  "direction": "inbound",
  "queueName": "IT_Support_Hotline",
  "agentUserId": "admin_user_01",
  "escalationReason": "IVR_TIMEOUT_EXCEEDED",
  "customerPhone": "+15550199888"
}"#;

const CALL_ID: &str = "00000000-0000-0000-0000-000000000000";

pub(crate) async fn tell(stage: &Stage, teller: &mut Teller) {
    escalations::calls(stage, teller).await;
    escalations::conversation(stage, teller).await;
    learning::after_the_ticket(stage, teller).await;
    edits::both_ways(stage, teller).await;
    edits::conflicts(stage, teller).await;
    edits::unheard(stage, teller).await;
    edits::missed(stage, teller).await;
    files::both_ways(stage, teller).await;
    escalations::outage(stage, teller).await;
    escalations::limited(stage, teller).await;
    escalations::lost_answer(stage, teller).await;
    escalations::wrong(stage, teller).await;
    instance::reconnect(stage, teller).await;
    instance::rights(stage, teller).await;
    instance::provisioned(stage, teller).await;
}

/// Leaves something to do for whoever opens the console: a conflict, and a dead letter. Says whether it is
/// there.
pub(crate) async fn leave(stage: &Stage) -> bool {
    let side = &stage.incidents;
    let by_hand = json!({ "settings": { "fields": { "title": { "owner": "shared", "strategy": "manual-review" } } } });
    stage.patch(side, by_hand).await;
    incident(stage, "inc-500").await;
    edits::collide(stage, "inc-500", "Checkout is slow in Europe", "Checkout: EU latency").await;
    let conflict = stage.waits(side, "conflicts?state=open", "conflicts").await;
    instance::refuse(stage, true);
    let fields = json!({ "title": "Search is slow", "description": "p99 is 4 s; ask ann.lee@example.com", "severity": "high", "status": "open", "assigned_to": null });
    side.platform.edit("incident", "inc-501", fields);
    let dead = stage.waits(side, "dlq", "entries").await;
    instance::refuse(stage, false);
    conflict && dead
}

fn fault(method: &str, path: &str, times: Option<u32>, trouble: Trouble) -> RequestFault {
    RequestFault {
        method: Some(method.to_owned()),
        path: Some(path.to_owned()),
        percent: 100,
        times,
        after: 0,
        trouble,
    }
}

/// Makes an incident on the platform and waits for its ticket.
async fn incident(stage: &Stage, id: &str) -> bool {
    let fields = json!({ "title": format!("Checkout is slow ({id})"), "description": "p99 is 9 s", "severity": "high", "status": "open", "assigned_to": null });
    stage.incidents.platform.edit("incident", id, fields);
    stage.until(|| stage.tickets(id).len() == 1).await && stage.settled(&stage.incidents).await
}

fn field(stage: &Stage, id: &str, name: &str) -> Json {
    stage
        .incidents
        .platform
        .record(id)
        .and_then(|r| r.fields.get(name).cloned())
        .unwrap_or_default()
}

async fn reconcile(stage: &Stage, side: &Side, mode: &str) -> Json {
    let path = format!("/integrations/{}/reconcile", side.id);
    let (_, mut run) = stage.post(&path, json!({ "mode": mode }).to_string()).await;
    let id = run["id"].as_str().unwrap_or_default().to_owned();
    for _ in 0..300 {
        if run["state"] == "finished" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        run = stage.get(&format!("{path}/{id}")).await;
    }
    run
}
