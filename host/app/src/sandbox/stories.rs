//! The stories, on the seeds' own payloads.

use std::time::Duration;

use firn_simulator::{Access, Faults, OutboundFaults, Permit, RequestFault, Trouble};
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

const CALL_ID: &str = "00000000-0000-0000-0000-000000000000";

pub(crate) async fn tell(stage: &Stage, teller: &mut Teller) {
    calls(stage, teller).await;
    conversation(stage, teller).await;
    both_ways(stage, teller).await;
    conflicts(stage, teller).await;
    missed(stage, teller).await;
    outage(stage, teller).await;
    lost_answer(stage, teller).await;
    wrong(stage, teller).await;
    reconnect(stage, teller).await;
    rights(stage, teller).await;
    provisioned(stage, teller).await;
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

/// (a) One call, told three times at once.
async fn calls(stage: &Stage, teller: &mut Teller) {
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
async fn conversation(stage: &Stage, teller: &mut Teller) {
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

/// (c) An edit on each side.
async fn both_ways(stage: &Stage, teller: &mut Teller) {
    teller.chapter("c. Both sides edit one incident (seed 004)");
    let id = "inc-100";
    let made = incident(stage, id).await;
    let ticket = (stage.column(id, "short_description"), stage.column(id, "priority"));
    teller.expect(
        "an incident of the platform gets a ticket",
        made && ticket == ("Checkout is slow (inc-100)".to_owned(), "2".to_owned()),
        format!("{ticket:?}"),
    );
    stage.settled(&stage.incidents).await;
    let before = (stage.patches(), stage.incidents.platform.writes());
    stage.incidents.platform.edit(
        "incident",
        id,
        json!({ "title": "Checkout is down", "severity": "critical" }),
    );
    let carried = stage
        .until(|| {
            stage.column(id, "short_description") == "Checkout is down"
                && stage.column(id, "priority") == "1"
        })
        .await;
    teller.expect(
        "the platform's edit reaches ServiceNow",
        carried,
        format!("priority {}", stage.column(id, "priority")),
    );
    stage.agent(id, json!({ "assigned_to": stage.user("ann.lee") })).await;
    let carried = stage.until(|| field(stage, id, "assigned_to") == "ann.lee@example.com").await;
    teller.expect(
        "the agent's assignment reaches the platform by e-mail",
        carried,
        field(stage, id, "assigned_to").to_string(),
    );
    stage.settled(&stage.incidents).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    stage.settled(&stage.incidents).await;
    let after = (stage.patches(), stage.incidents.platform.writes());
    // One PATCH of ours and one of the agent; one callback. Anything more would be an echo.
    let writes = (after.0 - before.0, after.1 - before.1);
    teller.expect(
        "and nothing echoes",
        writes == (2, 1),
        format!(
            "{} writes to ServiceNow (one the agent's), {} to the platform",
            writes.0, writes.1
        ),
    );

    stage.agent(id, json!({ "work_notes": "Rolling back." })).await;
    let internal = || {
        stage.incidents.platform.record(id).is_some_and(|r| {
            r.comments.iter().any(|c| c.text == "Rolling back." && c.visibility == "internal")
        })
    };
    teller.expect(
        "a work note reaches the internal channel",
        stage.until(internal).await,
        "visibility internal",
    );
}

/// Both sides change the title; the platform first, and its event is late.
async fn collide(stage: &Stage, id: &str, ours: &str, theirs: &str) {
    let back = stage.incidents.platform.hold();
    stage.incidents.platform.edit("incident", id, json!({ "title": ours }));
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    stage.agent(id, json!({ "short_description": theirs })).await;
    stage.incidents.platform.release(back);
}

fn agree(stage: &Stage, id: &str, title: &str) -> bool {
    stage.column(id, "short_description") == title && field(stage, id, "title") == title
}

/// (d) One conflict under each strategy.
async fn conflicts(stage: &Stage, teller: &mut Teller) {
    teller.chapter("d. Both sides change the same title (seed 004)");
    let side = &stage.incidents;
    let set = |strategy: &str| json!({ "settings": { "strategy": strategy, "fields": { "title": { "owner": "shared", "platform_priority": 10 } } } });

    stage.patch(side, set("last-write-wins")).await;
    incident(stage, "inc-201").await;
    collide(stage, "inc-201", "from the platform", "from the agent").await;
    let won = stage.until(|| agree(stage, "inc-201", "from the agent")).await;
    teller.expect(
        "last-write-wins: the later edit stands on both sides",
        won,
        stage.column("inc-201", "short_description"),
    );
    let audit = stage.of(side, "audit").await.to_string();
    teller.expect(
        "the loser is kept in the audit",
        audit.contains("from the platform") && audit.contains("last-write-wins"),
        "from: \"from the platform\"",
    );

    stage.patch(side, set("ownership-priority")).await;
    incident(stage, "inc-202").await;
    collide(stage, "inc-202", "from the platform", "from the agent").await;
    let won = stage.until(|| agree(stage, "inc-202", "from the platform")).await;
    teller.expect(
        "ownership-priority: the higher priority stands",
        won,
        stage.column("inc-202", "short_description"),
    );

    stage.patch(side, set("manual-review")).await;
    incident(stage, "inc-203").await;
    collide(stage, "inc-203", "from the platform", "from the agent").await;
    let mut open = Json::Null;
    for _ in 0..200 {
        let all = stage.of(side, "conflicts").await;
        open = all["conflicts"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|c| c["state"] == "open")
            .cloned()
            .unwrap_or_default();
        if open.is_object() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let parted = stage.column("inc-203", "short_description") == "from the agent"
        && field(stage, "inc-203", "title") == "from the platform";
    teller.expect(
        "manual-review: nothing is overwritten, a person is asked",
        open.is_object() && parted,
        open["id"].as_str().unwrap_or("no conflict"),
    );
    let path = format!(
        "/integrations/{}/conflicts/{}/resolve",
        side.id,
        open["id"].as_str().unwrap_or_default()
    );
    let (status, _) = stage.post(&path, json!({ "use": "platform" }).to_string()).await;
    let won = stage.until(|| agree(stage, "inc-203", "from the platform")).await;
    teller.expect(
        "the person's choice reaches both sides",
        status == 200 && won,
        stage.column("inc-203", "short_description"),
    );
    let (status, _) = stage.post(&path, json!({ "use": "external" }).to_string()).await;
    teller.expect(
        "a conflict is resolved once",
        status == 409,
        format!("{status} the second time"),
    );
    stage.patch(side, json!({ "settings": { "strategy": "last-write-wins", "fields": { "title": { "owner": "platform" } } } })).await;
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

/// (e) A webhook that never came.
async fn missed(stage: &Stage, teller: &mut Teller) {
    teller.chapter("e. Webhooks are lost, and reconcile finds what was missed (seed 004)");
    let id = "inc-301";
    incident(stage, id).await;
    stage.simulator.set_faults(Faults {
        outbound: OutboundFaults { lost: 100, ..OutboundFaults::default() },
        ..Faults::default()
    });
    stage.agent(id, json!({ "assigned_to": stage.user("bob.ray") })).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    let unseen = field(stage, id, "assigned_to") == Json::Null;
    teller.expect(
        "with webhooks off the edit is missed",
        unseen,
        field(stage, id, "assigned_to").to_string(),
    );
    let before = (stage.patches(), stage.incidents.platform.writes());
    let run = reconcile(stage, &stage.incidents, "dry-run").await;
    let shown = run["drifts"].to_string().contains("assigned_to");
    teller.expect(
        "a dry run shows it",
        run["drifted"] == 1 && shown,
        run["drifts"][0]["fields"][0]["verdict"].as_str().unwrap_or_default(),
    );
    let after = (stage.patches(), stage.incidents.platform.writes());
    teller.expect(
        "and writes nothing",
        before == after && field(stage, id, "assigned_to") == Json::Null,
        format!("{before:?} before, {after:?} after"),
    );
    reconcile(stage, &stage.incidents, "auto-heal").await;
    let healed = stage.until(|| field(stage, id, "assigned_to") == "bob.ray@example.com").await;
    teller.expect("auto-heal mends it", healed, field(stage, id, "assigned_to").to_string());
    stage.simulator.set_faults(Faults::default());
}

/// (f) ServiceNow is overloaded for a while.
async fn outage(stage: &Stage, teller: &mut Teller) {
    teller.chapter("f. ServiceNow answers 503, then 429 (seed 002)");
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
        requests: vec![trouble(12, 503, None), trouble(8, 429, Some(1))],
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

/// (g) The ticket is made, and its answer is lost.
async fn lost_answer(stage: &Stage, teller: &mut Teller) {
    teller.chapter("g. The answer to a create is lost after the commit");
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
async fn wrong(stage: &Stage, teller: &mut Teller) {
    teller.chapter("h. Bad requests get clear answers");
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

/// (i) A person signs in with a browser; the token ends; the consent ends; a person signs in again.
async fn reconnect(stage: &Stage, teller: &mut Teller) {
    teller.chapter(
        "i. Signing in with a browser, and again after the consent has ended (seeds 001, 003)",
    );
    let slug = "browser";
    let body = json!({
        "organization_id": "acme-corp", "integration_type": "servicenow", "name": slug, "slug": slug,
        "base_url": stage.simulator.url(), "enabled": true, "preset": "genesys",
        "credentials": { "grant": "authorization-code", "client_id": "firn", "client_secret": "firn" },
        "settings": { "external_user": "integration", "correlation": { "transaction_limit": 2000 },
            "request_timeout": 1500 },
    });
    stage.post("/integrations", body.to_string()).await;
    let path = format!("/integrations/{slug}");
    let state = async || stage.get(&path).await["sign_in"]["state"].to_string();
    let escalate = async |key: &str| {
        let url = format!("{}/api/v1{path}/escalations", stage.url());
        let body = CALL.replace(CALL_ID, key);
        let answer = stage.http.post(url).header("prefer", "wait=0").body(body).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    };
    let (taken, before) = (escalate("browser-1").await, state().await);
    teller.expect(
        "calls are taken before anybody has signed in",
        taken && before == "\"never-connected\"",
        before,
    );
    let seen = consent(stage, &path).await;
    let done = stage.until(|| stage.tickets("browser-1").len() == 1).await;
    teller.expect("a person allows it, and what waited goes on", done, seen);
    stage.simulator.revoke_tokens();
    escalate("browser-2").await;
    let done = stage.until(|| stage.tickets("browser-2").len() == 1).await;
    teller.expect("a token that ends in the middle is renewed", done, state().await);
    stage.simulator.revoke_consents();
    escalate("browser-3").await;
    let mut after = state().await;
    for _ in 0..100 {
        if after == "\"needs-reconnect\"" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        after = state().await;
    }
    let kept = stage.tickets("browser-3").is_empty();
    teller.expect(
        "a consent that ends is told, and work is kept",
        kept && after == "\"needs-reconnect\"",
        after,
    );
    let seen = consent(stage, &path).await;
    let done = stage.until(|| stage.tickets("browser-3").len() == 1).await;
    teller.expect("after signing in again nothing is lost", done, seen);
}

/// What a person does with a browser: opens the page, allows it, and is brought back to Firn. Gives
/// what is seen in the end.
async fn consent(stage: &Stage, path: &str) -> String {
    let (_, asked) = stage.post(&format!("{path}/connect"), "{}".to_owned()).await;
    let Some(page) = asked["authorize_url"].as_str() else { return asked.to_string() };
    let form = [("username", "integration"), ("password", "integration"), ("decision", "allow")];
    // The client follows the redirect to Firn, as a browser does.
    match stage.http.post(page).form(&form).send().await {
        Ok(answer) => answer.text().await.unwrap_or_default().trim().to_owned(),
        Err(why) => why.to_string(),
    }
}

/// A check of the doctor's report: its verdict, and what was found or is to be done.
fn check(report: &Json, name: &str) -> (String, String) {
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    let found = checks.into_iter().find(|check| check["name"] == name).unwrap_or_default();
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    let remedy = text("remedy");
    (text("verdict"), if remedy.is_empty() { text("detail") } else { remedy })
}

/// (j) Rights are missing, and the doctor says which; then they are given.
async fn rights(stage: &Stage, teller: &mut Teller) {
    teller.chapter("j. Rights that are missing are told before they hurt (seeds 001, 002)");
    let path = format!("/integrations/{}/test", stage.incidents.id);
    let examine = async || stage.post(&path, "{}".to_owned()).await.1;
    stage.simulator.set_access(Access {
        read: [("sys_journal_field".to_owned(), Permit::Empty)].into(),
        write: [("incident".to_owned(), Permit::Refused)].into(),
        ..Access::default()
    });
    let report = examine().await;
    let (verdict, remedy) = check(&report, "journal can be seen");
    teller.expect(
        "a journal that is hidden without an error is found out",
        verdict == "bad",
        remedy,
    );
    let (verdict, remedy) = check(&report, "write incident");
    teller.expect("a missing right to write too", verdict == "bad", remedy);
    stage.incidents.platform.edit(
        "incident",
        "inc-401",
        json!({ "title": "No right to open it",
        "description": "-", "severity": "high", "status": "open", "assigned_to": null }),
    );
    tokio::time::sleep(Duration::from_millis(600)).await;
    let none = stage.tickets("inc-401").is_empty();
    stage.simulator.set_access(Access::default());
    let report = examine().await;
    teller.expect(
        "once they are given, all is well",
        report["ok"] == true,
        check(&report, "webhook round trip").1,
    );
    let dead = stage.of(&stage.incidents, "dlq").await;
    let entry = dead["entries"].as_array().and_then(|all| all.last()).cloned().unwrap_or_default();
    let retry = format!(
        "/integrations/{}/dlq/{}/retry",
        stage.incidents.id,
        entry["id"].as_str().unwrap_or_default()
    );
    stage.post(&retry, "{}".to_owned()).await;
    let made = stage.until(|| stage.tickets("inc-401").len() == 1).await;
    teller.expect(
        "what was refused meanwhile was kept, and is made",
        none && made,
        entry["reason"].as_str().unwrap_or_default(),
    );
}

/// (k) Rules are edited by hand, put right, taken away and installed again.
async fn provisioned(stage: &Stage, teller: &mut Teller) {
    teller.chapter("k. Rules are installed, watched and removed (seed 003)");
    let side = &stage.incidents;
    let path = format!("/integrations/{}/provision", side.id);
    let rules = || {
        let all = stage.simulator.rows("sys_script");
        all.into_iter().filter(|row| row["name"].contains(&side.id)).collect::<Vec<_>>()
    };
    if let Some(rule) = rules().iter().find(|row| row["name"].contains("Task Webhook")) {
        stage.simulator.set("sys_script", &rule["sys_id"], "active", "false");
    }
    let plan = stage.get(&path).await;
    let differs =
        plan["artifacts"].as_array().into_iter().flatten().find(|a| a["step"] == "update");
    teller.expect(
        "a rule that was switched off by hand is noticed",
        plan["in_step"] == false && differs.is_some(),
        differs.map(|a| a["name"].to_string()).unwrap_or_default(),
    );
    let (status, _) = stage.post(&path, "{}".to_owned()).await;
    let plan = stage.get(&path).await;
    teller.expect(
        "and put right",
        status == 200 && plan["in_step"] == true,
        format!("{} artifacts in place", plan["artifacts"].as_array().map_or(0, Vec::len)),
    );
    let remove = format!("/integrations/{}/unprovision", side.id);
    let (status, _) = stage.post(&remove, "{}".to_owned()).await;
    let others = stage.simulator.rows("sys_script").len();
    teller.expect(
        "what was installed is removed, and no other's",
        status == 200 && rules().is_empty() && others > 0,
        format!("{others} rules of the other integrations stay"),
    );
    let (status, _) = stage.post(&path, "{}".to_owned()).await;
    let id = "inc-401";
    stage.agent(id, json!({ "assigned_to": stage.user("ann.lee") })).await;
    let heard = stage.until(|| field(stage, id, "assigned_to") == "ann.lee@example.com").await;
    teller.expect(
        "installed again, an agent's edit is heard of",
        status == 200 && heard,
        field(stage, id, "assigned_to").to_string(),
    );
}
