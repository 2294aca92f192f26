//! Rules of a tenant's own: what they may say, what comes of it, and what comes of what they may not.

use std::cell::Cell;
use std::rc::Rc;

use firn_model::Hook;
use firn_model::rule::{Admission, Answer, Class, Question, Said, Verdict, Winner};

use super::*;

fn value(verdict: Verdict) -> Answer {
    Answer::Said(Said::Value(verdict))
}

/// What is medium on the platform is high in ServiceNow.
fn vip(question: &Question) -> Answer {
    match question {
        Question::Value { field, from: firn_model::Side::Platform, value: v, .. }
            if field.as_str() == "severity" && v == "medium" =>
        {
            value(Verdict::Instead("high".to_owned()))
        }
        _ => value(Verdict::Keep),
    }
}

fn high(world: &Scenario) -> bool {
    (world.column("A", "impact"), world.column("A", "urgency")) == ("2".into(), "1".into())
}

#[test]
fn a_value_is_changed_on_its_way_and_both_sides_stay_as_they_are() {
    let mut world = plain();
    world.rules(1, &[Hook::Value], vip);
    world.platform_edits("A", &[("severity", "medium")]);
    assert!(high(&world), "made so");
    let writes = world.writes();
    world.platform_edits("A", &[("title", "Other words")]);
    world.reconcile(RunMode::AutoHeal);
    world.pass(600_000);
    assert_eq!(world.field("A", "severity"), "medium", "nothing comes back");
    assert!(high(&world));
    assert_eq!(world.writes().0, writes.0 + 1, "the title, and nothing else");
    let said = world.explain("A").to_string();
    assert!(!said.contains("failed"), "{said}");
}

#[test]
fn a_changed_value_is_written_once_and_told_in_the_audit() {
    let mut world = plain();
    world.rules(3, &[Hook::Value], vip);
    world.platform_edits("A", &[]);
    world.platform_edits("A", &[("severity", "medium")]);
    assert!(high(&world));
    let by: Vec<u64> = world
        .audit()
        .into_iter()
        .flat_map(|line| line.fields)
        .filter(|w| w.field.as_ref().is_some_and(|f| f.as_str() == "severity"))
        .filter_map(|w| w.rules)
        .collect();
    assert_eq!(by, [3]);
    // What an agent then sets there is theirs, and goes to the platform's owner as before.
    assert!(world.explain("A").to_string().contains("as the rules (version 3) made it"));
}

#[test]
fn a_value_that_comes_back_is_changed_on_its_own_way() {
    let mut world = incidents(json!({ "fields": { "severity": { "owner": "shared" } } }));
    world.rules(1, &[Hook::Value], |question| match question {
        Question::Value { from: firn_model::Side::External, value: v, .. } if v == "critical" => {
            value(Verdict::Instead("high".to_owned()))
        }
        _ => value(Verdict::Keep),
    });
    world.platform_edits("A", &[("severity", "low")]);
    world.pass(60_000);
    world.agent_edits("A", "impact", "1");
    world.agent_edits("A", "urgency", "1");
    assert_eq!(world.field("A", "severity"), "high");
    assert_eq!(world.column("A", "priority"), "1", "and stays critical there");
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.column("A", "priority"), "1");
}

#[test]
fn a_value_that_is_withheld_stays_where_it_is_until_it_changes() {
    let mut world = plain();
    world.rules(1, &[Hook::Value], |question| match question {
        Question::Value { value: v, .. } if v == "resolved" => {
            value(Verdict::Withhold("not before the bank has said so, +1 415 555 0132".to_owned()))
        }
        _ => value(Verdict::Keep),
    });
    world.platform_edits("A", &[]);
    world.platform_edits("A", &[("status", "resolved"), ("title", "Other")]);
    assert_eq!(world.column("A", "state"), "1");
    assert_eq!(world.column("A", "short_description"), "Other", "the rest goes on");
    let findings = world.findings(FindingKind::RulesWithheld);
    assert!(findings[0].text.contains("the bank"), "{findings:?}");
    assert!(!findings[0].text.contains("555 0132"), "masked: {findings:?}");
    world.platform_edits("A", &[("status", "mitigated")]);
    assert_eq!(world.column("A", "state"), "3");
}

#[test]
fn rules_that_fail_park_what_they_were_asked_and_nothing_else() {
    let mut world = plain();
    world.rules(1, &[Hook::Value], |question| match question {
        Question::Value { field, .. } if field.as_str() == "severity" => {
            Answer::Failed("it panicked".to_owned())
        }
        _ => value(Verdict::Keep),
    });
    world.platform_edits("A", &[("severity", "high"), ("title", "Down")]);
    assert_eq!(world.column("A", "short_description"), "Down", "its ticket does not wait");
    assert_eq!(world.column("A", "impact"), "3", "the instance's own default");
    let findings = world.findings(FindingKind::RulesFailed);
    assert_eq!(findings.len(), 1);
    assert!(findings[0].link.is_none() && findings[0].text.contains("it panicked"));
    let explained = world.explain("A").to_string();
    assert!(
        explained.contains("it waits for the rules, which failed (value: it panicked)"),
        "{explained}"
    );
    // The next version is asked about it, without anybody's help.
    world.rules(2, &[Hook::Value], |_| value(Verdict::Keep));
    world.pass(61_000);
    assert_eq!(
        (world.column("A", "impact"), world.column("A", "urgency")),
        ("2".into(), "1".into())
    );
}

#[test]
fn what_a_ticket_was_made_without_goes_there_before_its_defaults_count() {
    // The instance's default is what the platform says, or the field is ServiceNow's: neither decides.
    let instead = Verdict::Instead("high".to_owned());
    let cases = [("platform", "low"), ("external", "critical"), ("shared", "critical")];
    let thens = [Some(instead), Some(Verdict::Keep), None];
    for ((owner, severity), then) in cases.iter().flat_map(|c| thens.iter().map(move |t| (*c, t))) {
        let mut world = incidents(json!({ "fields": { "severity": { "owner": owner } } }));
        world.rules(1, &[Hook::Value], |question| match question {
            Question::Value { field, .. } if field.as_str() == "severity" => {
                Answer::Failed("it panicked".to_owned())
            }
            _ => value(Verdict::Keep),
        });
        world.platform_edits("A", &[("severity", severity)]);
        assert_eq!(world.tickets(), 1);
        world.reconcile(RunMode::AutoHeal);
        assert_eq!(world.field("A", "severity"), severity, "{owner}: nothing comes back");
        assert!(world.link("A").waits_for_rules(), "{owner}");
        match then {
            Some(verdict) => {
                let verdict = verdict.clone();
                world.rules(2, &[Hook::Value], move |question| match question {
                    Question::Value { field, .. } if field.as_str() == "severity" => {
                        value(verdict.clone())
                    }
                    _ => value(Verdict::Keep),
                });
            }
            None => world.rules(2, &[], |_| panic!("nobody asks")),
        }
        world.pass(121_000);
        assert_eq!(high(&world), matches!(then, Some(Verdict::Instead(_))), "{owner} {then:?}");
        assert_eq!(world.field("A", "severity"), severity, "{owner} {then:?}: nothing comes back");
        assert!(!world.link("A").waits_for_rules(), "{owner}");
        let stays = matches!(then, Some(Verdict::Instead(_))) || severity == "low";
        let now = (world.column("A", "impact"), world.column("A", "urgency"));
        assert_eq!(now == ("1".into(), "1".into()), !stays, "{owner} {then:?}");
    }
}

#[test]
fn a_ticket_waits_for_rules_that_are_not_loaded_yet() {
    let mut world = plain();
    let asked = Rc::new(Cell::new(0));
    let counted = Rc::clone(&asked);
    world.rules(1, &[Hook::Value], move |_| {
        counted.set(counted.get() + 1);
        match counted.get() {
            ..=5 => Answer::Later(firn_model::Millis(1_777_472_000_000 + 3_000)),
            _ => value(Verdict::Keep),
        }
    });
    world.platform_edits("A", &[("title", "Down"), ("severity", "high")]);
    assert!(high(&world), "made with all that it has");
    assert_eq!(world.audit().iter().filter(|line| line.event == "update").count(), 0);
}

#[test]
fn what_was_withheld_goes_once_nobody_withholds_it() {
    let mut world = plain();
    world.rules(1, &[Hook::Value], |question| match question {
        Question::Value { value: v, .. } if v == "resolved" => {
            value(Verdict::Withhold("not yet".to_owned()))
        }
        _ => value(Verdict::Keep),
    });
    world.platform_edits("A", &[]);
    world.platform_edits("A", &[("status", "resolved")]);
    assert_eq!(world.column("A", "state"), "1");
    world.rules(2, &[], |_| panic!("nobody asks"));
    world.platform_edits("A", &[("title", "Other")]);
    assert_eq!(world.column("A", "state"), "6");
}

#[test]
fn one_that_is_not_wanted_takes_over_from_nobody_and_is_answered_the_same_again() {
    let mut world =
        Scenario::new(json!({ "preset": "genesys", "correlation": { "closed": "new" } }));
    world.escalate(call("c-1", "NO_ANSWER"));
    world.settle();
    let ticket = world.newest_ticket();
    world.agent_edits(&ticket, "state", "7");
    world.rules(1, &[Hook::Admit], |_| {
        Answer::Said(Said::Admit(Admission::No("a test".to_owned())))
    });
    let (status, body) = world.escalate(call("c-1", "IVR_TIMEOUT_EXCEEDED"));
    assert_eq!((status, body["status"].as_str()), (200, Some("filtered")), "{body}");
    world.settle();
    assert!(world.link("c-1").successor.is_none());
    assert_eq!(world.tickets(), 1);
    // The same of a first one.
    for _ in 0..2 {
        let (status, body) = world.escalate(call("c-2", "NO_ANSWER"));
        assert_eq!((status, body["status"].as_str()), (200, Some("filtered")), "{body}");
    }
    // Wanted after all, by other rules.
    world.rules(2, &[Hook::Admit], |_| Answer::Said(Said::Admit(Admission::Yes)));
    world.escalate(call("c-2", "ANOTHER"));
    world.settle();
    assert_eq!(world.tickets(), 2);
}

#[test]
fn rules_that_fail_are_skipped_if_the_settings_say_so() {
    let mut world = incidents(json!({ "on_rule_failure": "skip" }));
    world.rules(1, &Hook::ALL, |_| Answer::Failed("it panicked".to_owned()));
    world.platform_edits("A", &[("severity", "high")]);
    assert!(high(&world));
    assert!(!world.findings(FindingKind::RulesFailed).is_empty(), "and it is told");
}

#[test]
fn rules_that_rest_or_are_not_loaded_are_waited_for_without_a_finding() {
    for resting in [true, false] {
        let mut world = plain();
        let asked = Rc::new(Cell::new(0));
        let counted = Rc::clone(&asked);
        world.rules(1, &[Hook::Admit], move |_| {
            counted.set(counted.get() + 1);
            let until = firn_model::Millis(1_777_472_000_000 + 5_000);
            match (counted.get(), resting) {
                (1, true) => Answer::Resting(until),
                (1, false) => Answer::Later(until),
                _ => Answer::Said(Said::Admit(Admission::Yes)),
            }
        });
        world.platform_edits("A", &[]);
        assert_eq!(world.column("A", "short_description"), "t");
        assert_eq!(asked.get(), 2);
        assert!(world.findings(FindingKind::RulesFailed).is_empty());
    }
}

#[test]
fn junk_is_a_failure_and_does_nothing() {
    let junk: &[(&str, Said)] = &[
        ("a value that no map knows", Said::Value(Verdict::Instead("enormous".to_owned()))),
        ("control characters", Said::Value(Verdict::Instead("hi\u{7}gh".to_owned()))),
        ("another question's answer", Said::Admit(Admission::No("no".to_owned()))),
        ("a winner of nothing", Said::Conflict(Winner::Platform)),
    ];
    for (what, said) in junk {
        let mut world = plain();
        let said = said.clone();
        world.rules(1, &[Hook::Value], move |question| match question {
            Question::Value { field, .. } if field.as_str() == "severity" => {
                Answer::Said(said.clone())
            }
            _ => value(Verdict::Keep),
        });
        world.platform_edits("A", &[("severity", "high")]);
        assert_eq!(world.column("A", "impact"), "3", "{what}");
        assert_eq!(world.findings(FindingKind::RulesFailed).len(), 1, "{what}");
    }
}

#[test]
fn what_rules_put_together_leaves_masked() {
    let mut world = plain();
    world.rules(1, &[Hook::Value], |question| match question {
        Question::Value { field, .. } if field.as_str() == "title" => {
            value(Verdict::Instead("pay with 4111 1111 1111 1111".to_owned()))
        }
        _ => value(Verdict::Keep),
    });
    world.platform_edits("A", &[]);
    let title = world.column("A", "short_description");
    assert!(title.starts_with("pay with") && !title.contains("4111"), "{title}");
}

#[test]
fn rules_see_texts_as_the_other_side_would_be_given_them() {
    let mut world = plain();
    let seen = Rc::new(std::cell::RefCell::new(String::new()));
    let kept = Rc::clone(&seen);
    world.rules(1, &[Hook::Value], move |question| {
        *kept.borrow_mut() += &format!("{question:?}");
        value(Verdict::Keep)
    });
    world.platform_edits("A", &[("title", "card 4111 1111 1111 1111 read out")]);
    let seen = seen.borrow();
    assert!(seen.contains("read out") && !seen.contains("4111 1111"), "{seen}");
}

#[test]
fn rules_obey_guards() {
    let guards = json!([{ "from": ["open"], "to": ["closed"], "only": "nobody" }]);
    let mut world = incidents(json!({ "fields": { "status": { "guards": guards } } }));
    world.rules(1, &[Hook::Value], |question| match question {
        Question::Value { value: v, .. } if v == "mitigated" => {
            value(Verdict::Instead("closed".to_owned()))
        }
        _ => value(Verdict::Keep),
    });
    world.platform_edits("A", &[]);
    world.platform_edits("A", &[("status", "mitigated")]);
    assert_eq!(world.column("A", "state"), "1");
    let findings = world.findings(FindingKind::RulesFailed);
    assert!(findings[0].text.contains("guard"), "{findings:?}");
}

// ---- a pair begins -----------------------------------------------------------------------------

#[test]
fn what_rules_do_not_want_is_not_kept_in_step() {
    let mut world = Scenario::new(json!({ "preset": "genesys" }));
    world.rules(1, &[Hook::Admit], |_| {
        Answer::Said(Said::Admit(Admission::No("a test call".to_owned())))
    });
    let (status, body) = world.escalate(call("c-1", "NO_ANSWER"));
    assert_eq!((status, body["status"].as_str()), (200, Some("filtered")), "{body}");
    world.settle();
    assert_eq!(world.tickets(), 0);
    assert!(world.audit().iter().any(|line| line.event == "filtered"));
    // Nor is an incident, and later news of it changes nothing.
    let mut world = plain();
    world.rules(1, &[Hook::Admit], |_| {
        Answer::Said(Said::Admit(Admission::No("a test".to_owned())))
    });
    world.platform_edits("A", &[]);
    world.platform_edits("A", &[("title", "Again")]);
    assert_eq!(world.tickets(), 0);
    assert!(matches!(world.link("A").tombstone.unwrap().why, Ended::Declined { .. }));
}

#[test]
fn a_ticket_of_others_is_mirrored_only_if_rules_want_it() {
    let mut world = incidents(json!({ "filters": { "mirror": "true" } }));
    world.rules(1, &[Hook::Admit], |_| {
        Answer::Said(Said::Admit(Admission::No("not ours".to_owned())))
    });
    let ticket = world.agent_opens("incident", &[("short_description", "theirs")]);
    assert!(!world.has_record(&ticket));
    world.agent_edits(&ticket, "short_description", "again");
    assert!(!world.has_record(&ticket));
    assert_eq!(world.writes(), (0, 0));
}

#[test]
fn rules_say_what_a_ticket_is_and_contains() {
    let mut world = Scenario::new(json!({ "preset": "genesys",
        "tickets": [{ "table": "incident" }, { "table": "problem", "when": "false" }] }));
    world.rules(1, &[Hook::Classify, Hook::Draft], |question| {
        Answer::Said(match question {
            Question::Classify { tables } => {
                assert_eq!(tables.len(), 2);
                Said::Classify(Class {
                    table: Some("problem".to_owned()),
                    category: Some("network".to_owned()),
                    ..Class::default()
                })
            }
            Question::Draft { columns } => {
                assert_eq!(columns["category"], "network", "after classify");
                Said::Draft(
                    [
                        (
                            "short_description".to_owned(),
                            "Call from 4111 1111 1111 1111".to_owned(),
                        ),
                        ("description".to_owned(), String::new()),
                    ]
                    .into(),
                )
            }
            other => panic!("{other:?}"),
        })
    });
    world.escalate(call("c-1", "NO_ANSWER"));
    world.settle();
    let ticket = world.newest_ticket();
    assert!(world.column(&ticket, "number").starts_with("PRB"));
    assert_eq!(world.column(&ticket, "category"), "network");
    assert_eq!(world.column(&ticket, "description"), "");
    let title = world.column(&ticket, "short_description");
    assert!(title.starts_with("Call from") && !title.contains("4111"), "{title}");
    // And it is told afterwards, in the names of columns.
    let told = world.explain("c-1")["rules"].to_string();
    assert!(told.contains("(version 1, classify) chose the table problem, category"), "{told}");
    assert!(told.contains("(version 1, draft) chose description, short_description"), "{told}");
}

#[test]
fn a_column_of_a_draft_that_the_instance_does_not_show_is_told_once() {
    let mut world = Scenario::new(json!({ "preset": "genesys" }));
    world.rules(1, &[Hook::Draft], |_| {
        Answer::Said(Said::Draft([("u_vip".to_owned(), "yes".to_owned())].into()))
    });
    world.escalate(call("c-1", "NO_ANSWER"));
    world.settle();
    assert!(world.findings(FindingKind::WriteIgnored).is_empty());
    world.instance_hides("u_vip");
    for n in 2..4 {
        world.escalate(call(&format!("c-{n}"), "NO_ANSWER"));
        world.settle();
    }
    let findings = world.findings(FindingKind::WriteIgnored);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].text.starts_with("incident has no column u_vip"), "{findings:?}");
}

#[test]
fn what_rules_failed_at_is_no_news_once_others_are_asked() {
    let mut world = plain();
    world.rules(1, &[Hook::Value], |_| Answer::Failed("it panicked".to_owned()));
    world.platform_edits("A", &[]);
    assert_eq!(world.findings(FindingKind::RulesFailed).len(), 1);
    world.rules(2, &[Hook::Value], |_| value(Verdict::Keep));
    assert!(world.findings(FindingKind::RulesFailed).is_empty());
    let notes: Vec<String> = world.audit().into_iter().filter_map(|line| line.note).collect();
    assert!(notes.iter().any(|n| n.contains("rules (version 2 is asked)")), "{notes:?}");
}

#[test]
fn rules_set_no_column_that_is_ours_and_name_no_table_of_others() {
    let long = "x".repeat(40_000);
    let draft =
        |column: &str, value: &str| Said::Draft([(column.to_owned(), value.to_owned())].into());
    let class =
        |table: &str| Said::Classify(Class { table: Some(table.to_owned()), ..Class::default() });
    let many = Said::Draft((0..65).map(|i| (format!("u_column_{i}"), "x".to_owned())).collect());
    for said in [
        draft("sys_id", "0123456789abcdef0123456789abcdef"),
        draft("Sys_Domain", "global"),
        draft("correlation_id", "another tenant's key"),
        draft("work_notes", "hello"),
        draft("comments", "hello"),
        draft("caller_id.email", "x"),
        draft("a b", "x"),
        draft("", "x"),
        draft("description", &long),
        draft("description", "a\u{0}b"),
        Said::Classify(Class { assignment_group: Some("Network".to_owned()), ..Class::default() }),
        many,
        class("sys_user"),
        class("problem"),
        class("../incident"),
    ] {
        let mut world = Scenario::new(json!({ "preset": "genesys" }));
        let what = format!("{said:?}").chars().take(80).collect::<String>();
        let hook = said.hook();
        world.rules(1, &[hook], move |_| Answer::Said(said.clone()));
        let (status, body) = world.escalate(call("c-1", "NO_ANSWER"));
        assert_eq!(status, 202, "{body}");
        world.settle();
        assert_eq!(world.tickets(), 0, "{what}");
        assert_eq!(world.findings(FindingKind::RulesFailed).len(), 1, "{what}");
        // Mended, it goes on.
        world.rules(2, &[], |_| panic!("nobody asks"));
        world.pass(61_000);
        assert_eq!(world.tickets(), 1, "{what}");
    }
}

// ---- two edits ---------------------------------------------------------------------------------

#[test]
fn rules_decide_between_two_edits() {
    let winners: &[(Winner, &str, usize)] = &[
        (Winner::Platform, "Ours", 0),
        (Winner::Servicenow, "Theirs", 0),
        (Winner::Value("Both".to_owned()), "Both", 0),
        (Winner::Settings, "Theirs", 0),
        (Winner::Person, "Theirs", 1),
    ];
    for (winner, stands, conflicts) in winners {
        let mut world = title(json!({}));
        let said = winner.clone();
        world.rules(1, &[Hook::Conflict], move |question| {
            let Question::Conflict { platform, servicenow, lead, base, .. } = question else {
                panic!("{question:?}")
            };
            assert_eq!((platform.as_str(), servicenow.as_str()), ("Ours", "Theirs"));
            assert_eq!(base, "t");
            // The clocks are known to a second.
            assert!((-4_000..=-2_000).contains(lead), "{lead}");
            Answer::Said(Said::Conflict(said.clone()))
        });
        both_change(&mut world, true);
        assert_eq!(world.column("A", "short_description"), *stands, "{winner:?}");
        assert_eq!(world.findings(FindingKind::Conflict).len(), *conflicts, "{winner:?}");
        if *conflicts == 0 {
            assert_eq!(world.field("A", "title"), *stands, "{winner:?}");
        }
    }
}

#[test]
fn rules_that_fail_between_two_edits_leave_both_until_they_can_say() {
    let mut world = title(json!({}));
    world.rules(1, &[Hook::Conflict], |_| Answer::Failed("it panicked".to_owned()));
    both_change(&mut world, true);
    assert_eq!(world.column("A", "short_description"), "Theirs");
    assert_eq!(world.field("A", "title"), "Ours");
    world.rules(2, &[Hook::Conflict], |_| Answer::Said(Said::Conflict(Winner::Platform)));
    world.pass(61_000);
    assert_eq!(world.column("A", "short_description"), "Ours");
    assert!(
        whys(&world)
            .iter()
            .any(|why| matches!(why, Why::Resolved { by } if by == "the rules (version 2)"))
    );
}
