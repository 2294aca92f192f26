//! Who makes summaries besides Firn, and the drafts of articles that are made of them (seed 000, seed 001 "Content
//! Management").

use firn_laws::sim::ModelSays;
use firn_model::Hook;
use firn_model::rule::{Answer, Lesson, Question, Said};
use firn_model::{Cited, Composed};

use super::*;

const BASE: &str = "0123456789abcdef0123456789abcdef";

/// Incidents of which something is learnt, by more than Firn alone.
fn learning(more: Json) -> Scenario {
    let mut learning = json!({ "enabled": true, "delay": 5_000, "write_back": true });
    learning.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    incidents(json!({
        "platform": { "callback_url": "https://platform.example/callback",
            "read_url": "https://platform.example/records/{id}", "model_url": "https://models.example/v1" },
        "learning": learning }))
}

fn modelled(per_day: u32) -> Scenario {
    learning(json!({ "summary_model": "small-1", "summaries_per_day": per_day }))
}

/// A ticket that an agent has said something of is resolved.
fn resolved(world: &mut Scenario, id: &str) -> String {
    world.platform_edits(id, &[("title", "Checkout is slow")]);
    let ticket = world.ticket_of(id);
    world.agent_says(&ticket, "work_notes", "Call 415-555-0132. Root cause: a full cache.");
    world.platform_edits(id, &[("status", "resolved")]);
    world.pass(200_000);
    ticket
}

fn summary(world: &Scenario) -> Json {
    world.rows("learnt").first().map(|row| row["summary"].clone()).unwrap_or_default()
}

fn findings(world: &Scenario, kind: FindingKind) -> Vec<String> {
    world.findings(kind).into_iter().map(|finding| finding.text).collect()
}

fn text(json: Json) -> ModelSays {
    ModelSays::Text(json.to_string())
}

#[test]
fn a_language_model_is_shown_masked_sources_and_its_summary_is_masked_again() {
    let mut world = modelled(500);
    world.model_says(&[text(json!({
        "asked": "Why is the checkout slow?", "found": [{ "text": "It was made up.", "from": 9 }],
        "solved": [{ "text": "A full cache; call 415-555-0199.", "from": 3 }],
        "tags": ["Checkout", "cache", "checkout"], "mood": "cheerful",
    }))]);
    let ticket = resolved(&mut world, "A");
    let asked = world.asked_of_model();
    assert_eq!(asked.len(), 1);
    let told = asked[0]["messages"][1]["content"].as_str().unwrap();
    assert!(told.contains("[3] (journal)") && told.contains("a full cache"), "{told}");
    assert!(!told.contains("555-0132"), "masked before it leaves: {told}");
    let summary = summary(&world);
    assert_eq!((&summary["maker"], &summary["model"]), (&json!("model"), &json!("small-1")));
    assert_eq!(summary["asked"], "Why is the checkout slow?");
    assert_eq!(summary["found"], json!([]), "what cites nothing that was written is not kept");
    let solved = summary["solved"][0]["text"].as_str().unwrap();
    assert!(solved.starts_with("A full cache") && !solved.contains("555-0199"), "{solved}");
    assert!(summary["solved"][0]["source"]["entry"].is_object(), "{summary}");
    assert_eq!(summary["tags"], json!(["checkout", "cache"]));
    let notes = world.mirrored_to_servicenow(&ticket);
    let notes: Vec<_> = notes.iter().filter(|(_, t)| t.starts_with("Case summary")).collect();
    assert!(notes.len() == 1 && notes[0].1.contains("a language model"), "{notes:?}");
}

#[test]
fn a_language_model_that_fails_is_asked_again_and_then_done_without() {
    let busy = || ModelSays::Status(503);
    let junk = || ModelSays::Text("As a language model I cannot".to_owned());
    for (says, maker, asked, why) in [
        (vec![busy(), busy()], "model", 3, ""),
        (vec![ModelSays::Status(429)], "model", 2, ""),
        (vec![junk()], "model", 2, ""),
        (vec![junk(), junk()], "extract", 2, "is no summary"),
        (vec![ModelSays::Status(401)], "extract", 1, "key is not accepted"),
        (vec![ModelSays::Status(404)], "extract", 1, "nothing is at this address"),
        (vec![ModelSays::Status(400)], "extract", 1, "status 400"),
        (vec![busy(); 9], "extract", 6, "did not answer"),
    ] {
        let mut world = modelled(500);
        world.model_says(&says);
        let ticket = resolved(&mut world, "A");
        for _ in 0..20 {
            world.pass(300_000);
        }
        let summary = summary(&world);
        assert_eq!(summary["maker"], maker, "{says:?}: {:?}", world.rows("learnt"));
        assert_eq!(world.asked_of_model().len(), asked, "{says:?}");
        let told = findings(&world, FindingKind::LearningFailed);
        assert_eq!(told.len(), usize::from(!why.is_empty()), "{says:?}: {told:?}");
        assert!(told.iter().all(|text| text.contains(why)), "{says:?}: {told:?}");
        let notes = world.mirrored_to_servicenow(&ticket);
        assert_eq!(notes.iter().filter(|(_, t)| t.starts_with("Case summary")).count(), 1);
    }
}

#[test]
fn a_language_model_is_asked_no_more_than_a_day_allows() {
    let mut world = modelled(1);
    resolved(&mut world, "A");
    resolved(&mut world, "B");
    let makers = |world: &Scenario| {
        let mut makers: Vec<String> = world
            .rows("learnt")
            .iter()
            .map(|row| row["summary"]["maker"].as_str().unwrap().to_owned())
            .collect();
        makers.sort();
        makers
    };
    assert_eq!(makers(&world), ["extract", "model"]);
    assert!(findings(&world, FindingKind::LearningFailed)[0].contains("1 times today"));
    for _ in 0..24 {
        world.pass(3_600_000);
    }
    resolved(&mut world, "C");
    assert_eq!(makers(&world), ["extract", "model", "model"], "tomorrow is another day");
}

#[test]
fn rules_say_what_is_kept_or_that_nothing_is() {
    let kept = |from: u32| {
        Lesson::Kept(Composed {
            asked: "By rules, call 415-555-0142".to_owned(),
            solved: vec![Cited { text: "Cleared the cache".to_owned(), from }],
            ..Composed::default()
        })
    };
    for (lesson, maker) in [(kept(1), "rules"), (Lesson::Settings, "model"), (Lesson::Nothing, "")]
    {
        let mut world = modelled(500);
        let says = lesson.clone();
        world.rules(1, &[Hook::Summary], move |question| {
            let Question::Summary { sources } = question else { panic!("{question:?}") };
            assert_eq!(sources[0].place, "short_description");
            assert!(sources.iter().all(|source| !source.text.contains("555-0132")), "{sources:?}");
            Answer::Said(Said::Summary(says.clone()))
        });
        resolved(&mut world, "A");
        let summary = summary(&world);
        assert_eq!(summary["maker"].as_str().unwrap_or_default(), maker, "{lesson:?}: {summary}");
        assert!(!summary.to_string().contains("555-0142"), "masked: {summary}");
        assert_eq!(world.rows("learnt")[0]["state"], "learnt");
    }
    // What cites nothing is a fault of theirs.
    let mut world = modelled(500);
    world.rules(1, &[Hook::Summary], move |_| Answer::Said(Said::Summary(kept(70))));
    resolved(&mut world, "A");
    assert_eq!(summary(&world), Json::Null, "it waits");
    assert!(findings(&world, FindingKind::RulesFailed)[0].contains("cites a source"));
    world.rules(2, &[Hook::Summary], |_| Answer::Said(Said::Summary(Lesson::Settings)));
    world.pass(300_000);
    assert_eq!(summary(&world)["maker"], "model");
}

#[test]
fn rules_that_fail_are_gone_on_without_where_the_settings_say_so() {
    let mut world = incidents(json!({
        "learning": { "enabled": true, "delay": 5_000 }, "on_rule_failure": "skip" }));
    world.rules(1, &[Hook::Summary], |_| Answer::Failed("it panicked".to_owned()));
    resolved(&mut world, "A");
    assert_eq!(summary(&world)["maker"], "extract");
    assert!(findings(&world, FindingKind::RulesFailed)[0].contains("was made without them"));
}

fn drafting() -> Scenario {
    learning(json!({ "articles": { "knowledge_base": BASE }, "write_back": false }))
}

#[test]
fn a_draft_of_an_article_is_made_of_each_resolved_ticket_and_never_published() {
    let mut world = drafting();
    let ticket = resolved(&mut world, "A");
    let articles = world.articles();
    assert_eq!(articles.len(), 1, "{articles:?}");
    let (id, columns) = &articles[0];
    assert_eq!(columns["workflow_state"], "draft");
    assert_eq!(
        (columns["kb_knowledge_base"].as_str(), columns["source"].as_str()),
        (BASE, ticket.as_str())
    );
    assert!(columns["text"].contains("<li>Root cause: a full cache.</li>"), "{columns:?}");
    assert!(columns["text"].contains("to be reviewed") && !columns["text"].contains("555-0132"));
    assert!(columns["meta"].starts_with(&format!("firn-{ticket}")));
    // Opened and resolved again, the same draft says what solved it then.
    world.platform_edits("A", &[("status", "open")]);
    world.agent_says(&ticket, "work_notes", "Fixed: the cache is twice as large now.");
    world.platform_edits("A", &[("status", "resolved")]);
    world.pass(200_000);
    let again = world.articles();
    assert_eq!((again.len(), &again[0].0), (1, id));
    assert!(again[0].1["text"].contains("twice as large"), "{again:?}");
}

#[test]
fn a_draft_that_a_person_has_touched_is_that_persons() {
    for (column, value) in
        [("text", "<p>better</p>"), ("workflow_state", "published"), ("meta", "cache")]
    {
        let mut world = drafting();
        let ticket = resolved(&mut world, "A");
        let id = world.articles()[0].0.clone();
        world.article_edit(&id, column, value);
        let before = world.articles();
        world.platform_edits("A", &[("status", "open")]);
        world.agent_says(&ticket, "work_notes", "Fixed: the cache is twice as large now.");
        world.platform_edits("A", &[("status", "resolved")]);
        world.pass(200_000);
        assert_eq!(world.articles(), before, "{column}");
    }
}

#[test]
fn a_draft_whose_answer_is_lost_is_not_made_twice() {
    let mut world = drafting();
    world.platform_edits("A", &[("title", "Checkout is slow")]);
    world.platform_edits("A", &[("status", "resolved")]);
    // Nothing else of the instance's is written by now.
    world.pass(4_000);
    world.lose_next_answer();
    for _ in 0..10 {
        world.pass(100_000);
    }
    assert_eq!(world.articles().len(), 1);
    assert_eq!(world.rows("article")[0]["state"], "written");
}

/// Two requests may have made it, whatever became of the first of them since.
#[test]
fn a_second_draft_that_comes_late_is_told_and_changes_nothing_of_the_first() {
    for state in ["written", "left"] {
        let mut world = drafting();
        let ticket = resolved(&mut world, "A");
        let id = world.articles()[0].0.clone();
        let path = ["article", "int-1", &ticket];
        let mut row = world.stored(&path);
        (row["made"], row["state"]) = (json!(2), json!(state));
        world.left(&path, &row);
        world.article_again(&id);
        let before = world.articles();
        world.due(&path);
        world.pass(200_000);
        let told = findings(&world, FindingKind::LearningFailed);
        assert!(told[0].contains("has 2 drafts of an article"), "{state}: {told:?}");
        let row = world.stored(&path);
        assert_eq!((&row["made"], &row["state"]), (&json!(1), &json!(state)));
        // It is asked once.
        world.due(&path);
        assert_eq!((world.articles(), world.stored(&path)), (before, row));
    }
}

/// Sent again at once, the first one could come over what a person writes then.
#[test]
fn a_draft_that_was_written_anew_without_an_answer_is_not_written_again_before_the_limit() {
    let mut world = drafting();
    configure(&mut world, json!({ "correlation": { "transaction_limit": 300_000 } }));
    let ticket = resolved(&mut world, "A");
    world.articles_are_refused(Some(504));
    world.platform_edits("A", &[("status", "open")]);
    world.agent_says(&ticket, "work_notes", "Fixed: the cache is twice as large now.");
    world.platform_edits("A", &[("status", "resolved")]);
    world.pass(60_000);
    world.articles_are_refused(None);
    world.pass(60_000);
    assert!(!world.articles()[0].1["text"].contains("twice as large"));
    world.pass(400_000);
    assert!(world.articles()[0].1["text"].contains("twice as large"));
    assert_eq!(world.articles().len(), 1);
}

#[test]
fn a_ticket_has_one_draft_whichever_link_speaks_for_it() {
    let mut world = drafting();
    world.platform_edits("A", &[("title", "Checkout is slow")]);
    let ticket = world.ticket_of("A");
    let number = world.column(&ticket, "number");
    world.platform_edits("B", &[("title", "Slow, too")]);
    world.unlink("B");
    world.attach("B", &number);
    world.settle();
    world.platform_edits("A", &[("status", "resolved")]);
    world.platform_edits("B", &[("status", "resolved")]);
    // The answer to what makes it is lost, and then the link that made it goes.
    world.pass(4_000);
    world.lose_next_answer();
    world.pass(2_000);
    world.unlink("A");
    for _ in 0..10 {
        world.pass(100_000);
    }
    let learnt = world.rows("learnt");
    assert_eq!(learnt.len(), 2, "{learnt:?}");
    let articles = world.articles();
    assert_eq!(articles.len(), 1, "{articles:?}");
    let drafts = world.rows("article");
    assert_eq!(drafts.len(), 1, "{drafts:?}");
    assert_eq!(
        (&drafts[0]["state"], &drafts[0]["link"]),
        (&json!("written"), &json!(world.link("B").id))
    );
}

#[test]
fn a_row_of_a_draft_as_it_was_before_is_let_go_of_and_stops_nothing() {
    let mut world = drafting();
    let before = json!({ "integration": "int-1", "link": "l-1", "state": "wanted", "sequence": 3 });
    world.left(&["article", "int-1", "l-1"], &before);
    let ticket = resolved(&mut world, "A");
    assert_eq!(world.articles().len(), 1);
    let rows = world.rows("article");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["ticket"]["sys_id"], ticket);
}

#[test]
fn a_draft_that_is_refused_is_told_and_tried_with_the_next() {
    let mut world = drafting();
    world.articles_are_refused(Some(403));
    let ticket = resolved(&mut world, "A");
    assert!(world.articles().is_empty());
    assert!(findings(&world, FindingKind::LearningFailed)[0].contains("kb_knowledge"));
    assert_eq!(summary(&world)["maker"], "extract", "it is learnt all the same");
    world.articles_are_refused(None);
    world.platform_edits("A", &[("status", "open")]);
    world.agent_says(&ticket, "work_notes", "Fixed for good.");
    world.platform_edits("A", &[("status", "resolved")]);
    world.pass(200_000);
    assert_eq!(world.articles().len(), 1);
}

#[test]
fn what_was_learnt_before_holds_no_more_when_rules_keep_nothing_this_time() {
    let mut world = learning(json!({}));
    world.rules(1, &[Hook::Summary], |_| Answer::Said(Said::Summary(Lesson::Settings)));
    resolved(&mut world, "A");
    assert_eq!(summary(&world)["standing"], "current");
    world.rules(2, &[Hook::Summary], |_| Answer::Said(Said::Summary(Lesson::Nothing)));
    world.platform_edits("A", &[("status", "open")]);
    world.platform_edits("A", &[("status", "resolved")]);
    world.pass(200_000);
    assert_eq!(
        (&world.rows("learnt")[0]["state"], &summary(&world)["standing"]),
        (&json!("learnt"), &json!("superseded"))
    );
}

#[test]
fn an_instance_that_keeps_no_key_words_has_one_draft_and_somebody_is_told() {
    let mut world = drafting();
    world.articles_lose("meta");
    let ticket = resolved(&mut world, "A");
    for _ in 0..20 {
        world.pass(300_000);
    }
    assert_eq!(world.articles().len(), 1);
    assert!(
        findings(&world, FindingKind::LearningFailed)[0].contains("does not keep the key words")
    );
    // Nobody can tell what became of it: it is left alone.
    world.platform_edits("A", &[("status", "open")]);
    world.agent_says(&ticket, "work_notes", "Fixed for good.");
    world.platform_edits("A", &[("status", "resolved")]);
    world.pass(200_000);
    assert_eq!(world.rows("article")[0]["state"], "left");
    assert_eq!(world.articles().len(), 1);
}

#[test]
fn where_it_is_not_shown_how_often_an_article_was_changed_nothing_is_written_over() {
    let mut world = drafting();
    world.articles_lose("sys_mod_count");
    let ticket = resolved(&mut world, "A");
    let before = world.articles();
    world.platform_edits("A", &[("status", "open")]);
    world.agent_says(&ticket, "work_notes", "Fixed for good.");
    world.platform_edits("A", &[("status", "resolved")]);
    world.pass(200_000);
    assert_eq!(world.articles(), before);
}
