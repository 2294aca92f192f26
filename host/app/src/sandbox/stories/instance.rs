//! The instance itself: signing in, rights, rules.

use std::time::Duration;

use firn_simulator::{Access, Permit};
use serde_json::{Value as Json, json};

use super::super::Teller;
use super::super::stage::Stage;
use super::{CALL, CALL_ID, field};

/// (k) A person signs in with a browser; the token ends; the consent ends; a person signs in again.
pub(super) async fn reconnect(stage: &Stage, teller: &mut Teller) {
    teller.chapter(
        "k. Signing in with a browser, and again after the consent has ended (seeds 001, 003)",
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

/// Whether the instance refuses new incidents.
pub(super) fn refuse(stage: &Stage, refuses: bool) {
    let write = refuses.then(|| ("incident".to_owned(), Permit::Refused));
    stage.simulator.set_access(Access { write: write.into_iter().collect(), ..Access::default() });
}

/// (l) Rights are missing, and the doctor says which; then they are given.
pub(super) async fn rights(stage: &Stage, teller: &mut Teller) {
    teller.chapter("l. Rights that are missing are told before they hurt (seeds 001, 002)");
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

/// (m) Rules are edited by hand, put right, taken away and installed again.
pub(super) async fn provisioned(stage: &Stage, teller: &mut Teller) {
    teller.chapter("m. Rules are installed, watched and removed (seed 003)");
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
