//! Calls and conversations become tickets, through outages and lost answers; what is wrong is told.

use firn_simulator::{Faults, Pace, RequestFault, Trouble};
use serde_json::{Value as Json, json};

use super::super::Teller;
use super::super::stage::Stage;
use super::{CALL, CALL_ID, fault};

/// Seed 002, the Architect form, as it stands in the flow.
const ARCHITECT: &str = r#"{
  "callId": "${call.id}",
  "startTime": "${call.startTime}",
  "direction": "${call.direction}",
  "queueName": "${flow.currentQueue.name}",
  "escalationReason": "IVR_KEYWORD_MATCH",
  "customerPhone": "${contact.phoneNumber}",
  "agentUserId": "${user.id}",
  "ticketPriority": "High"
}"#;

/// (a) One call, told three times at once.
pub(super) async fn calls(stage: &Stage, teller: &mut Teller) {
    teller.chapter("a. A call is escalated three times at once (seed 002)");
    let once = || stage.escalate(&stage.genesys, CALL.to_owned());
    let (a, b, c) = tokio::join!(once(), once(), once());
    let answers = [a, b, c];
    let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    let ids: std::collections::BTreeSet<String> =
        answers.iter().map(|(_, body)| body["sys_id"].to_string()).collect();
    let created = statuses.iter().filter(|s| **s == 201).count();
    let rest = statuses.iter().all(|s| matches!(s, 200 | 201));
    teller.expect(
        "one is answered 201, the others 200 with the same ticket",
        created == 1 && rest && ids.len() == 1,
        format!("{statuses:?} {}", answers[0].1["number"]),
    );
    let tickets = stage.tickets(CALL_ID).len();
    teller.expect(
        "one call is one incident",
        tickets == 1,
        format!("{tickets} with correlation id {CALL_ID}"),
    );
    let description = stage.column(CALL_ID, "description");
    let masked = description.contains("***-***-9888") && !description.contains("5550199888");
    teller.expect(
        "the caller's number is masked",
        masked,
        description.lines().last().unwrap_or_default(),
    );
    let noted =
        stage.until(|| stage.journal(CALL_ID).iter().any(|(e, ..)| e == "work_notes")).await;
    teller.expect(
        "the evidence is an internal work note",
        noted,
        format!("{} entries", stage.journal(CALL_ID).len()),
    );

    let architect = ARCHITECT
        .replace("${call.id}", "call-7")
        .replace("${call.startTime}", "2023-10-27T14:30:00.000Z")
        .replace("${call.direction}", "inbound")
        .replace("${flow.currentQueue.name}", "IT_Support_Hotline")
        .replace("${contact.phoneNumber}", "(415) 555-0132")
        .replace("${user.id}", "admin_user_01");
    let (status, _) = stage.escalate(&stage.genesys, architect).await;
    let priority = stage.column("call-7", "priority");
    teller.expect(
        "ticketPriority High makes priority 2",
        status == 201 && priority == "2",
        format!("{status}, priority {priority}"),
    );

    let (status, body) = stage.escalate(&stage.genesys, ARCHITECT.to_owned()).await;
    let kept = stage.of(&stage.genesys, "quarantine").await;
    let found = stage.of(&stage.genesys, "findings").await.to_string().contains("quarantine");
    let in_quarantine = kept["quarantine"].as_array().is_some_and(|q| q.len() == 1);
    teller.expect(
        "an unsubstituted ${call.id} is kept in quarantine with a finding",
        status == 422 && in_quarantine && found,
        body["detail"].as_str().unwrap_or_default(),
    );
    teller.expect(
        "and makes no incident",
        stage.tickets("${call.id}").is_empty(),
        "no incident with that key",
    );
}

/// (b) A conversation that a person takes over.
pub(super) async fn conversation(stage: &Stage, teller: &mut Teller) {
    teller.chapter("b. A bot hands a conversation over (seed 000)");
    let session = "session-4711";
    let escalation = json!({
        "session_id": session, "question": "My VPN drops every ten minutes",
        "summary": "The VPN drops every ten minutes since Monday. Card 4111 1111 1111 1111 was read out by mistake.",
        "escalation_reason": "low confidence", "tags": ["vpn"], "why_refused": "no article matched", "priority": "Medium",
        "transcript": [ { "role": "user", "text": "it drops" }, { "role": "bot", "text": "Let me get a colleague." } ],
        "evidence": [ { "title": "KB0010001", "url": "https://kb.example/KB0010001" } ],
    });
    let (status, body) = stage.escalate(&stage.bot, escalation.to_string()).await;
    teller.expect(
        "the escalation makes an incident",
        status == 201,
        format!("{status} {}", body["number"]),
    );
    let subject = stage.column(session, "short_description");
    teller.expect(
        "its subject is the first question",
        subject == "My VPN drops every ten minutes",
        subject,
    );
    let category = (stage.column(session, "category"), stage.column(session, "subcategory"));
    teller.expect(
        "its category comes from the tags",
        category == ("network".to_owned(), "vpn".to_owned()),
        format!("{category:?}"),
    );
    let description = stage.column(session, "description");
    teller.expect(
        "a card number does not reach it",
        !description.contains("4111 1111"),
        description.lines().next().unwrap_or_default(),
    );

    stage.bot.platform.say(
        "conversation",
        session,
        "Cara Caller",
        "It also drops on the hotspot.",
        "public",
    );
    let follow_up = |stage: &Stage| {
        stage
            .journal(session)
            .into_iter()
            .filter(|(e, by, t)| e == "comments" && by == "integration" && t.contains("hotspot"))
            .count()
    };
    stage.until(|| follow_up(stage) == 1).await;
    teller.expect(
        "a follow-up becomes a comment",
        follow_up(stage) == 1,
        format!("{} in the journal", follow_up(stage)),
    );

    stage.agent(session, json!({ "comments": "Please try the new profile." })).await;
    stage.agent(session, json!({ "work_notes": "Known bug in client 5.1, do not tell." })).await;
    let heard = || stage.bot.platform.record(session).map(|r| r.comments).unwrap_or_default();
    stage.until(|| heard().iter().any(|c| c.text.contains("new profile"))).await;
    let public = heard()
        .iter()
        .filter(|c| c.text == "Please try the new profile." && c.visibility == "public")
        .count();
    let author = heard()
        .iter()
        .find(|c| c.text.contains("new profile"))
        .map(|c| c.author.clone())
        .unwrap_or_default();
    teller.expect("the agent's comment is forwarded once", public == 1, format!("by {author}"));

    let resolution = json!({ "state": "6", "close_code": "Solution provided", "close_notes": "New profile sent." });
    let status = stage.agent(session, resolution).await;
    let state = || {
        stage
            .bot
            .platform
            .record(session)
            .and_then(|r| r.fields.get("status").cloned())
            .unwrap_or_default()
    };
    stage.until(|| state() == "resolved").await;
    teller.expect(
        "the resolution reaches the bot",
        status == 200 && state() == "resolved",
        format!("status {}", state()),
    );
    stage.settled(&stage.bot).await;
    let leaked = heard().iter().any(|c| c.text.contains("Known bug"));
    let echoes = (follow_up(stage), heard().iter().filter(|c| c.text.contains("hotspot")).count());
    teller.expect(
        "the work note stays internal",
        !leaked,
        format!("{} comments on the platform", heard().len()),
    );
    teller.expect("no comment comes back as an echo", echoes == (1, 1), format!("{echoes:?}"));
}

/// (h) ServiceNow is overloaded for a while.
pub(super) async fn outage(stage: &Stage, teller: &mut Teller) {
    teller.chapter("h. ServiceNow answers 503, then 429 (seed 002)");
    let calls = 10;
    let trouble = |times, code, retry_after| RequestFault {
        method: None,
        path: Some("/api/now/table/".to_owned()),
        percent: 100,
        times: Some(times),
        after: 0,
        trouble: Trouble::Status { code, retry_after },
    };
    stage.simulator.set_faults(Faults {
        requests: vec![trouble(6, 503, None), trouble(8, 429, Some(1))],
        ..Faults::default()
    });
    let mut taken = 0;
    for n in 0..calls {
        let body = CALL.replace(CALL_ID, &format!("burst-{n}"));
        let url = format!("{}/api/v1/integrations/{}/escalations", stage.url(), stage.genesys.id);
        let answer = stage.http.post(url).header("prefer", "wait=0").body(body).send().await;
        taken += u32::from(answer.is_ok_and(|r| r.status().as_u16() == 202));
    }
    let backlog = stage.of(&stage.genesys, "sync-status").await["backlog"].as_u64().unwrap_or(0);
    teller.expect(
        "every call is accepted, and a backlog builds",
        taken == calls && backlog > 0,
        format!("{taken} accepted, backlog {backlog}"),
    );
    let count = |n: u32| stage.tickets(&format!("burst-{n}")).len();
    let drained = stage.until(|| (0..calls).all(|n| count(n) >= 1)).await
        && stage.settled(&stage.genesys).await;
    let tickets: usize = (0..calls).map(count).sum();
    teller.expect(
        "it drains: nothing lost, nothing doubled",
        drained && tickets == 10,
        format!("{tickets} incidents for {calls} calls"),
    );
    stage.simulator.set_faults(Faults::default());
}

/// (h) Many calls at an instance that takes little.
pub(super) async fn limited(stage: &Stage, teller: &mut Teller) {
    let (calls, per_second) = (30, 20);
    let limits = |limits: Json| json!({ "settings": { "limits": limits } });
    let few = json!({ "requests_per_second": per_second, "at_once": 2 });
    let set = stage.patch(&stage.genesys, limits(few)).await;
    // What left under the old limits is a second old.
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    stage
        .simulator
        .set_faults(Faults { pace: Some(Pace { per_second, at_once: 2 }), ..Faults::default() });
    let refused = stage.simulator.meter().too_fast;
    let began = std::time::Instant::now();
    for n in 0..calls {
        let body = CALL.replace(CALL_ID, &format!("limited-{n}"));
        let url = format!("{}/api/v1/integrations/{}/escalations", stage.url(), stage.genesys.id);
        let _ = stage.http.post(url).header("prefer", "wait=0").body(body).send().await;
    }
    let made = |n: u32| stage.tickets(&format!("limited-{n}")).len() == 1;
    let done = stage.until(|| (0..calls).all(made)).await;
    let refused = stage.simulator.meter().too_fast - refused;
    teller.expect(
        "an instance that takes 20 requests a second, 2 at once, is never overrun (seed 002)",
        set == 200 && done && refused == 0,
        format!(
            "{calls} tickets in {:.1} s, {refused} requests too many",
            began.elapsed().as_secs_f64()
        ),
    );
    stage.simulator.set_faults(Faults::default());
    let usual = json!({ "requests_per_second": 50, "at_once": 4 });
    stage.patch(&stage.genesys, limits(usual)).await;
    stage.settled(&stage.genesys).await;
}

/// (i) The ticket is made, and its answer is lost.
pub(super) async fn lost_answer(stage: &Stage, teller: &mut Teller) {
    teller.chapter("i. The answer to a create is lost after the commit");
    let key = "lost-1";
    stage.simulator.set_faults(Faults {
        requests: vec![fault("POST", "/table/incident", Some(1), Trouble::DropAfterCommit)],
        ..Faults::default()
    });
    let (status, body) = stage.escalate(&stage.genesys, CALL.replace(CALL_ID, key)).await;
    stage.settled(&stage.genesys).await;
    let tickets = stage.tickets(key).len();
    teller.expect("still one ticket", tickets == 1, format!("{tickets}, answered {status}"));
    let (status, again) = stage.escalate(&stage.genesys, CALL.replace(CALL_ID, key)).await;
    let known = again["sys_id"] == stage.sys_id(key).as_str();
    teller.expect(
        "and the caller learns which",
        status == 200 && known,
        format!("{} {}", again["number"], body["status"]),
    );
    stage.simulator.set_faults(Faults::default());
}

/// What is wrong is refused clearly.
pub(super) async fn wrong(stage: &Stage, teller: &mut Teller) {
    teller.chapter("j. Bad requests get clear answers");
    let escalations = format!("/integrations/{}/escalations", stage.genesys.id);
    let (status, body) = stage.post(&escalations, "{\"callId\": ".to_owned()).await;
    teller.expect(
        "malformed JSON is 400",
        status == 400,
        body["title"].as_str().unwrap_or_default(),
    );
    let (status, body) = stage.post(&escalations, CALL.replace("\"callId\"", "\"call\"")).await;
    teller.expect(
        "a missing call id is 422 and kept",
        status == 422 && body["quarantine"].is_string(),
        body["detail"].as_str().unwrap_or_default(),
    );
    let (status, body) = stage.post("/integrations/nobody/escalations", CALL.to_owned()).await;
    teller.expect(
        "an unknown integration is 404",
        status == 404,
        body["detail"].as_str().unwrap_or_default(),
    );
    let (status, body) = stage.post(&escalations, " ".repeat((1 << 20) + 1)).await;
    teller.expect(
        "a body over 1 MiB is 413",
        status == 413,
        body["title"].as_str().unwrap_or_default(),
    );
    let (status, body) =
        stage.post(&format!("/webhooks/{}", stage.incidents.id), "{}".to_owned()).await;
    teller.expect(
        "an unsigned webhook is 401",
        status == 401,
        body["detail"].as_str().unwrap_or_default(),
    );
}
