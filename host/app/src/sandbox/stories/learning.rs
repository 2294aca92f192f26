//! After the ticket: what solved it is learnt, found by a question in other words, and shown with the next like it.

use serde_json::{Value as Json, json};

use super::super::Teller;
use super::super::stage::Stage;

/// The conversation that `escalations::conversation` left resolved.
const SOLVED: &str = "session-4711";

/// Seed 000, "Post-resolution learning".
pub(super) async fn after_the_ticket(stage: &Stage, teller: &mut Teller) {
    teller.chapter("b2. What solved it is learnt (seed 000)");
    let number = stage.column(SOLVED, "number");
    let learnt = stage.waits(&stage.bot, "knowledge", "cases").await;
    let cases = stage.of(&stage.bot, "knowledge").await;
    let case = &cases["cases"][0];
    let solved = case["solved"][0]["text"].as_str().unwrap_or_default();
    teller.expect(
        "the resolved ticket becomes a CASE_SUMMARY",
        learnt && case["type"] == "CASE_SUMMARY" && solved == "New profile sent.",
        solved,
    );
    let told = case.to_string();
    teller.expect(
        "with nobody's card number in it",
        !told.contains("4111 1111") && told.contains("****-****-****-1111"),
        case["asked"].as_str().unwrap_or_default(),
    );
    let search = "/knowledge/search?q=Remote+access+tunnel+disconnects+every+few+minutes";
    let found = stage.get(search).await;
    teller.expect(
        "a question in other words finds it",
        found["hits"][0]["case"]["ticket"]["number"] == number.as_str(),
        format!(
            "{} at {}",
            found["hits"][0]["case"]["ticket"]["number"], found["hits"][0]["score"]
        ),
    );
    let notes = || {
        let said =
            |text: &str| text.starts_with("Case summary") && text.contains("New profile sent.");
        stage.journal(SOLVED).iter().filter(|(e, _, text)| e == "work_notes" && said(text)).count()
    };
    stage.until(|| notes() > 0).await;
    stage.settled(&stage.bot).await;
    teller.expect(
        "it is the ticket's last work note, once",
        notes() == 1,
        format!("{} notes", notes()),
    );

    let drafts = || stage.simulator.rows("kb_knowledge");
    stage.until(|| !drafts().is_empty()).await;
    let draft = drafts().into_iter().next().unwrap_or_default();
    let of = |column: &str| draft.get(column).cloned().unwrap_or_default();
    teller.expect(
        "an article is drafted of it, for a person to review",
        drafts().len() == 1
            && of("workflow_state") == "draft"
            && of("source") == stage.column(SOLVED, "sys_id")
            && of("text").contains("New profile sent."),
        format!("{}: {}", of("number"), of("short_description")),
    );

    let again = "session-4712";
    let escalation = json!({
        "session_id": again, "question": "Remote access tunnel disconnects every few minutes",
        "escalation_reason": "asked for a person", "priority": "Low",
    });
    let (status, _) = stage.escalate(&stage.bot, escalation.to_string()).await;
    let shown = || {
        stage
            .journal(again)
            .into_iter()
            .any(|(e, _, text)| e == "work_notes" && text.contains(&number))
    };
    stage.until(shown).await;
    teller.expect(
        "the next one like it shows it to the agent",
        status == 201 && shown(),
        format!("{number} in the work note"),
    );

    stage.agent(SOLVED, json!({ "state": "2" })).await;
    let mut stands = Json::Null;
    for _ in 0..300 {
        stands = stage.of(&stage.bot, "knowledge").await["cases"][0]["standing"].clone();
        if stands == "superseded" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let found = stage.get(search).await["hits"].as_array().map_or(0, Vec::len);
    teller.expect(
        "opened again, its summary holds no more",
        stands == "superseded" && found == 0,
        format!("{stands}, {found} found"),
    );
    stage.settled(&stage.bot).await;
}
