//! What is learnt from a resolved ticket: once, whatever becomes of requests; found by who may see it; forgotten.

use crate::access::token;
use crate::common::desk::Desk;
use crate::common::model::{KEY, Model};
use crate::common::{Api, TOKEN, settle};
use firn_simulator::{Access, Faults, Permit, RequestFault, Trouble};
use serde_json::{Value as Json, json};

/// A desk that learns, with one incident that an agent has said something of.
fn desk(delay: u64) -> Desk {
    let learning = json!({ "enabled": true, "delay": delay, "write_back": true });
    let desk = Desk::new(&json!({ "learning": learning, "request_timeout": 3000 }), &[]);
    desk.incident("inc-1", "Checkout is slow for ann.lee@example.com");
    desk.agent("inc-1", &json!({ "work_notes": "Root cause: the cache of the payment gateway was full. Restarted it, see KB0010042." }));
    desk
}

fn resolve(desk: &Desk, status: &str) {
    desk.edit("inc-1", json!({ "status": status }));
    desk.at_rest();
}

fn fault(desk: &Desk, method: &str, path: &str, times: u32, trouble: Trouble) {
    let request = RequestFault {
        method: Some(method.to_owned()),
        path: Some(path.to_owned()),
        percent: 100,
        times: Some(times),
        after: 0,
        trouble,
    };
    desk.simulator.set_faults(Faults { requests: vec![request], ..Faults::default() });
}

fn learnt(desk: &Desk, times: u32) -> Json {
    let there = || {
        let cases = desk.of("knowledge");
        let case = cases["cases"][0].clone();
        case["id"].as_str().is_some_and(|id| id.ends_with(&format!(".{times}"))).then_some(case)
    };
    settle("nothing is learnt", || there().is_some());
    there().unwrap()
}

fn last_notes(desk: &Desk) -> usize {
    let rows = desk.simulator.rows("sys_journal_field");
    let is_summary = |row: &&firn_simulator::Record| {
        row.get("value").is_some_and(|v| v.starts_with("Case summary"))
    };
    rows.iter().filter(is_summary).count()
}

#[test]
fn a_ticket_is_learnt_from_once_each_time_it_is_resolved_whatever_is_lost() {
    let desk = desk(3_000);
    resolve(&desk, "resolved");
    // Its read fails twice.
    fault(&desk, "GET", "/table/incident/", 2, Trouble::Status { code: 503, retry_after: None });
    let case = learnt(&desk, 1);
    let said = case.to_string();
    assert!(said.contains("payment gateway") && said.contains("KB0010042"), "{said}");
    assert!(said.contains("a***@example.com") && !said.contains("ann.lee@"), "masked: {said}");
    settle("no last work note", || last_notes(&desk) == 1);
    desk.at_rest();
    assert_eq!(last_notes(&desk), 1);

    // Opened again, it is found no more; resolved again, it is learnt again.
    let found = |question: &str| {
        let hits = desk.api.get(&format!("/api/v1/knowledge/search?q={question}"));
        hits["hits"].as_array().unwrap().clone()
    };
    assert_eq!(found("payment+gateway")[0]["case"]["id"], case["id"]);
    resolve(&desk, "open");
    settle("it still holds", || desk.of("knowledge")["cases"][0]["standing"] == "superseded");
    assert_eq!(found("payment+gateway"), Vec::<Json>::new());
    resolve(&desk, "resolved");
    fault(&desk, "PATCH", "/table/incident/", 1, Trouble::DropAfterCommit);
    learnt(&desk, 2);
    // The answer to the next last note is lost after the commit.
    settle("no second work note", || last_notes(&desk) == 2);
    desk.at_rest();
    assert_eq!(last_notes(&desk), 2);
}

#[test]
fn what_may_not_be_read_keeps_nothing_from_being_learnt() {
    let desk = desk(1_500);
    resolve(&desk, "resolved");
    fault(&desk, "GET", "/table/incident/", 1, Trouble::Status { code: 403, retry_after: None });
    let case = learnt(&desk, 1);
    assert!(case["asked"].as_str().unwrap().starts_with("Checkout is slow"), "{case}");
    assert!(case["solved"][0]["text"].as_str().unwrap().contains("payment gateway"), "{case}");
}

#[test]
fn knowledge_is_found_by_who_may_see_it_and_forgotten_with_its_record() {
    let desk = desk(100);
    resolve(&desk, "resolved");
    let case = learnt(&desk, 1);
    let (id, number) = (case["id"].as_str().unwrap(), case["ticket"]["number"].as_str().unwrap());
    // By the command line, as people ask.
    let (ok, said) =
        desk.firn.cli(&["knowledge", "search", "paying", "in", "the", "shop", "takes", "ages"]);
    assert!(ok && said.contains(number) && said.contains(id), "{said}");
    let (ok, said) = desk.firn.cli(&["knowledge", "show", id]);
    assert!(ok && said.contains("Solved") && said.contains("external entry"), "{said}");
    let (ok, said) = desk.firn.cli(&["knowledge", "export", "--integration", "desk"]);
    let line: Json = serde_json::from_str(said.trim()).unwrap();
    assert!(ok && line["type"] == "CASE_SUMMARY" && line == case, "{said}");
    for (wrong, why) in [
        (vec!["knowledge", "show", "l-nobody.1"], "no summary l-nobody.1"),
        (vec!["knowledge", "search", " "], "no question"),
        (vec!["knowledge", "search", "x", "--limit", "0"], "1 to 100"),
        (vec!["knowledge", "search", "x", "--integration", "nobody"], "no integration nobody"),
    ] {
        let (ok, said) = desk.firn.cli(&wrong);
        assert!(!ok && said.to_lowercase().contains(why), "{wrong:?}: {said}");
    }
    // Another tenant finds nothing, whatever it asks.
    let stranger = token(&desk.api, "stranger", "viewer", Some("other"));
    let stranger = Api::new(&desk.firn, Some(&stranger));
    let search = "/api/v1/knowledge/search?q=payment+gateway";
    assert_eq!(stranger.get(search), json!({ "hits": [], "ranked_by": "words" }));
    assert_eq!(desk.api.get(search)["hits"][0]["case"]["id"], id);
    let (status, _) = stranger.call("GET", &format!("{search}&integration=desk"), &json!({}));
    assert_eq!(status, 404);
    // The page shows it, found and listed.
    let visitor = crate::console::Visitor::signed_in(&desk.firn.url, TOKEN);
    for page in ["/console/desk/knowledge", "/console/desk/knowledge?q=slow+payments"] {
        let shown = visitor.get(page).text;
        assert!(shown.contains(number) && shown.contains("payment gateway"), "{page}: {shown}");
    }
    assert!(visitor.get("/console/desk/knowledge?q=zebra").text.contains("No case is like that"));
    // Forgotten.
    desk.at_rest();
    let (ok, said) = desk.firn.cli(&["tenant", "forget", "acme", "--key", "inc-1", "--yes"]);
    assert!(ok && said.contains("summaries"), "{said}");
    assert_eq!(desk.api.get(search), json!({ "hits": [], "ranked_by": "words" }));
}

/// A desk whose summaries and vectors a language model makes.
fn modelled() -> (Desk, Model) {
    let desk = desk(100);
    let model = desk.runtime.block_on(Model::start());
    let change = json!({ "platform": { "model_url": model.url }, "model_key": KEY,
        "settings": { "learning": { "summary_model": "small-1", "embedding_model": "near-1" } } });
    let (status, changed) = desk.api.call("PATCH", "/api/v1/integrations/desk", &change);
    assert_eq!(status, 200, "{changed}");
    (desk, model)
}

#[test]
fn a_language_model_makes_summaries_and_finds_what_shares_no_word_with_a_question() {
    let (desk, model) = modelled();
    resolve(&desk, "resolved");
    let case = learnt(&desk, 1);
    assert_eq!((&case["maker"], &case["model"]), (&json!("model"), &json!("small-1")), "{case}");
    assert_eq!(case["asked"], "Why can nobody pay?");
    assert!(case["solved"][0]["text"].as_str().unwrap().contains("payment gateway"), "{case}");
    settle("no last work note", || last_notes(&desk) == 1);
    // Another case that the question has nothing to do with either.
    desk.incident("inc-2", "The printer of the third floor is out of toner");
    desk.edit("inc-2", json!({ "status": "resolved" }));
    settle("nothing is learnt of it", || {
        desk.of("knowledge")["cases"].as_array().is_some_and(|cases| cases.len() == 2)
    });
    let ask =
        |question: &str| desk.api.get(&format!("/api/v1/knowledge/search?limit=1&q={question}"));
    let question = "Kunden+stehen+an+der+Kasse,+Karte+4111+1111+1111+1111";
    settle("no vectors are made", || {
        let found = ask(question);
        found["ranked_by"] == "words-and-meaning" && found["hits"][0]["case"]["id"] == case["id"]
    });
    let shown = model.shown();
    assert!(shown.contains("Kunden stehen"), "{shown}");
    for value in ["4111 1111", "ann.lee@"] {
        assert!(!shown.contains(value), "a model was shown {value}: {shown}");
    }
    let page = crate::console::Visitor::signed_in(&desk.firn.url, TOKEN);
    let page = page.get("/console/desk/knowledge").text;
    assert!(page.contains("Made by small-1"), "{page}");
    // Without the model there are words.
    model.down(true);
    let found = ask(question);
    assert_eq!((&found["ranked_by"], &found["hits"]), (&json!("words"), &json!([])), "{found}");
    let found = ask("payment+gateway");
    assert_eq!(found["hits"][0]["case"]["id"], case["id"], "{found}");
    // What is asked of it lies nowhere, and its key is told to nobody.
    let seen =
        desk.of("").to_string() + &std::fs::read_to_string(desk.place.path().join("log")).unwrap();
    assert!(!seen.contains(KEY) && !seen.contains("Kunden stehen"));
    // Forgotten, its vector is gone as well.
    model.down(false);
    desk.at_rest();
    let (ok, said) = desk.firn.cli(&["tenant", "forget", "acme", "--key", "inc-1", "--yes"]);
    assert!(ok && said.contains("summaries") && said.contains("vectors"), "{said}");
    assert_ne!(ask(question)["hits"][0]["case"]["id"], case["id"]);
}

#[test]
fn a_model_that_is_down_or_wrong_costs_no_summary() {
    let (desk, model) = modelled();
    let wrong = json!({ "model_key": "another" });
    assert_eq!(desk.api.call("PATCH", "/api/v1/integrations/desk", &wrong).0, 200);
    resolve(&desk, "resolved");
    let case = learnt(&desk, 1);
    assert_eq!(case["maker"], "extract", "{case}");
    let told = desk.of("findings").to_string();
    assert!(told.contains("learning-failed") && told.contains("key is not accepted"), "{told}");
    assert!(model.heard.lock().unwrap().asked.is_empty());
    let found = desk.api.get("/api/v1/knowledge/search?q=payment+gateway");
    assert_eq!(found["hits"][0]["case"]["id"], case["id"], "{found}");
    // What names a model and says not where it is.
    let (status, said) = desk.api.call(
        "PATCH",
        "/api/v1/integrations/desk",
        &json!({ "platform": { "model_url": null } }),
    );
    assert!(status == 422 && said.to_string().contains("model_url"), "{said}");
}

#[test]
fn a_draft_is_made_of_a_resolved_ticket_once_and_rights_are_asked_for() {
    let desk = desk(100);
    let base = desk.simulator.create("kb_knowledge_base", &[("title", "IT")]);
    let base = desk.runtime.block_on(base).unwrap();
    let articles = json!({ "knowledge_base": base });
    let change = json!({ "settings": { "learning": { "articles": articles },
        "correlation": { "transaction_limit": 2_000 } } });
    let (status, changed) = desk.api.call("PATCH", "/api/v1/integrations/desk", &change);
    assert_eq!(status, 200, "{changed}");
    // Its answer is lost after the article is there.
    fault(&desk, "POST", "/table/kb_knowledge", 1, Trouble::DropAfterCommit);
    resolve(&desk, "resolved");
    let drafts = || desk.simulator.rows("kb_knowledge");
    settle(&format!("no draft: {}", desk.of("findings")), || !drafts().is_empty());
    desk.at_rest();
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    let all = drafts();
    assert_eq!(all.len(), 1, "{all:?}");
    let draft = &all[0];
    assert_eq!(draft["workflow_state"], "draft");
    assert_eq!(draft["source"], desk.ticket("inc-1", "sys_id"));
    assert!(
        draft["text"].contains("<li>") && draft["text"].contains("payment gateway"),
        "{draft:?}"
    );
    assert!(!draft["text"].contains("ann.lee@example.com"), "{draft:?}");
    let (ok, said) = desk.firn.cli(&["integration", "test", "desk"]);
    assert!(
        ok && said.contains("write kb_knowledge") && said.contains("knowledge base for drafts"),
        "{said}"
    );
    // Who may not write there is told so, and nothing else suffers.
    let write = [("kb_knowledge".to_owned(), Permit::Refused)].into_iter().collect();
    desk.simulator.set_access(Access { write, ..Access::default() });
    let (ok, said) = desk.firn.cli(&["integration", "test", "desk"]);
    assert!(!ok && said.contains("contribute to that knowledge base"), "{said}");
    desk.incident("inc-2", "The printer is out of toner");
    desk.edit("inc-2", json!({ "status": "resolved" }));
    settle("it is not told", || desk.of("findings").to_string().contains("refused the draft"));
    assert_eq!((drafts().len(), desk.of("knowledge")["cases"].as_array().unwrap().len()), (1, 2));
    // Its record forgotten, what lies on the instance is named.
    desk.at_rest();
    let (ok, said) = desk.firn.cli(&["tenant", "forget", "acme", "--key", "inc-1", "--yes"]);
    let number = &draft["number"];
    assert!(ok && said.contains(&format!("the article {number}")), "{said}");
}
