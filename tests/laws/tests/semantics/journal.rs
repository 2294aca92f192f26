//! Comments and work notes.

use super::*;

// ---- journal -----------------------------------------------------------------------------------

#[test]
fn the_journal_is_a_union_and_types_never_mix() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    world.platform_says("A", "to the customer", "public");
    world.platform_says("A", "among us", "internal");
    world.agent_says("A", "comments", "from the desk");
    world.agent_says("A", "work_notes", "at the desk");
    assert_eq!(
        world.mirrored_to_servicenow("A"),
        [("comments".into(), "to the customer".into()), ("work_notes".into(), "among us".into())]
    );
    assert_eq!(
        world.mirrored_to_platform("A"),
        [("from the desk".into(), "public".into()), ("at the desk".into(), "internal".into())]
    );
    let comment =
        world.posted().into_iter().find(|p| p["comment"]["text"] == "from the desk").unwrap();
    assert_eq!(comment["comment"]["author"], "agent");
    assert!(comment["comment"]["at"].as_str().unwrap().starts_with("20"));
}

#[test]
fn the_same_words_twice_are_two_entries() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    for _ in 0..3 {
        world.platform_says("A", "ok", "public");
        world.agent_says("A", "comments", "ok");
    }
    assert_eq!(world.mirrored_to_servicenow("A").len(), 3);
    assert_eq!(world.mirrored_to_platform("A").len(), 3);
}

#[test]
fn our_own_entry_heard_before_its_answer_is_no_foreign_one() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    world.lose_next_answer();
    world.platform_says("A", "said once", "public");
    assert_eq!(world.mirrored_to_servicenow("A").len(), 1);
    assert_eq!(world.mirrored_to_platform("A").len(), 0);
}

#[test]
fn a_user_who_may_not_read_the_journal_is_told_loudly() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    world.journal_hidden(true);
    world.platform_says("A", "hello", "public");
    assert!(world.findings(FindingKind::RecordMissing)[0].text.contains("sys_journal_field"));
    assert_eq!(world.mirrored_to_servicenow("A").len(), 1, "and it is not written again");
}

#[test]
fn markdown_reaches_the_journal_as_text_and_code_tags_are_disarmed() {
    let mut world = incidents(json!({ "journal": { "platform_format": "markdown" } }));
    world.platform_edits("A", &[]);
    world.platform_says("A", "**Now** see [it](https://x.example) [code]<b>x</b>[/code]", "public");
    assert_eq!(
        world.mirrored_to_servicenow("A")[0].1,
        "Now see it (https://x.example) (code)<b>x</b>(/code)"
    );
}

#[test]
fn a_journal_template_says_who_wrote() {
    let mut world = incidents(json!({ "journal": { "template": "{{ author }}: {{ text }}" } }));
    world.platform_edits("A", &[]);
    world.platform_says("A", "hello", "public");
    assert_eq!(world.mirrored_to_servicenow("A")[0].1, "carol: hello");
    assert_eq!(world.mirrored_to_platform("A").len(), 0, "and is known as ours all the same");
}

#[test]
fn back_fill_brings_earlier_entries_with_author_and_time_or_not_at_all() {
    for (backfill, expected) in [("all", 1), ("none", 0)] {
        let mut world = incidents(json!({ "journal": { "backfill": backfill } }));
        let number = world.agent_opens("incident", &[("short_description", "old")]);
        world.agent_says(&number, "comments", "written long ago");
        world.platform_edits_silently("A", &[("title", "old"), ("description", "")]);
        world.platform_says_silently("A", "said long ago", "public");
        world.pass(3_600_000);
        world.attach("A", &number);
        assert_eq!(world.mirrored_to_platform("A").len(), expected, "{backfill}");
        let there = world.mirrored_to_servicenow(&number);
        assert_eq!(there.len(), expected);
        if expected == 1 {
            assert!(there[0].1.ends_with("UTC, carol:\nsaid long ago"), "{there:?}");
        }
        // What comes after the link travels in any case.
        world.agent_says(&number, "comments", "written now");
        assert_eq!(world.mirrored_to_platform("A").len(), expected + 1);
    }
}
