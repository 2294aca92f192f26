//! Every reason that there is has words of its own, and what comes next is told of every standing of a field.

use std::collections::{BTreeMap, BTreeSet};

use firn_model::{
    Base, ConflictId, Decision, Ended, Flight, IntegrationId, Parked, Phase, Shape, Tombstone,
    Translated, Value as Worth, Verb, Write, Written,
};
use serde_json::json;

use super::*;
use crate::mapping::attribute;
use crate::sample;

const NOW: Millis = Millis(1_777_472_100_000);
const EARLIER: Millis = Millis(NOW.0 - 600_000);

fn rules() -> Rules {
    sample::rules_of(&json!({ "preset": "incidents",
        "fields": { "title": { "owner": "platform" } },
        "platform": { "callback_url": "https://p.example/callback", "read_url": "https://p.example/{id}" } }))
}

fn name() -> FieldName {
    FieldName::new("title").unwrap()
}

fn shape(side: Side, text: &str) -> Shape {
    let of = if side == Side::Platform { "title" } else { "short_description" };
    Shape::one(attribute(of), Worth::text(text))
}

/// A pair whose titles were agreed on as `base`.
fn pair(platform: &str, external: &str) -> Link {
    let mut link = sample::linked();
    let seen =
        |side, text| Some(Seen { shape: shape(side, text), revision: None, edited: EARLIER });
    let state = FieldState {
        base: Some(Base {
            platform: shape(Side::Platform, "base"),
            external: shape(Side::External, "base"),
        }),
        platform: seen(Side::Platform, platform),
        external: seen(Side::External, external),
        ..FieldState::default()
    };
    link.fields.insert(name(), state);
    link
}

fn of_title(rules: &Rules, link: &Link, audit: &[Audit]) -> Explanation {
    let all = explain(rules, link, audit, NOW);
    all.into_iter().find(|one| one.field == name()).unwrap()
}

/// Where a reason stands in the list below. A new one does not compile until it is there too.
fn place(why: &Why) -> usize {
    match why {
        Why::Created => 0,
        Why::Carried => 1,
        Why::Restored => 2,
        Why::LastWriteWins => 3,
        Why::HigherPriority => 4,
        Why::Overruled => 5,
        Why::Guarded => 6,
        Why::Reopened => 7,
        Why::OtherGone => 8,
        Why::Duplicate => 9,
        Why::Resolved { .. } => 10,
        Why::Attached => 11,
        Why::Mirrored => 12,
        Why::Evidence => 13,
        Why::Unseen => 14,
    }
}

fn reasons() -> Vec<Why> {
    let all = vec![
        Why::Created,
        Why::Carried,
        Why::Restored,
        Why::LastWriteWins,
        Why::HigherPriority,
        Why::Overruled,
        Why::Guarded,
        Why::Reopened,
        Why::OtherGone,
        Why::Duplicate,
        Why::Resolved { by: "carol".to_owned() },
        Why::Attached,
        Why::Mirrored,
        Why::Evidence,
        Why::Unseen,
    ];
    let places: Vec<usize> = all.iter().map(place).collect();
    assert_eq!(places, (0..all.len()).collect::<Vec<_>>());
    all
}

#[test]
fn every_reason_for_a_write_is_told_in_words_of_its_own() {
    let (rules, link) = (rules(), pair("ours", "ours"));
    let mut told = BTreeSet::new();
    for why in reasons() {
        let line = Audit {
            integration: IntegrationId::new("int-1").unwrap(),
            link: Some(link.id.clone()),
            at: EARLIER,
            event: "update".to_owned(),
            key: Some("k-1".to_owned()),
            side: Some(Side::External),
            fields: vec![Written {
                field: Some(name()),
                from: Some(shape(Side::External, "theirs")),
                to: Some(shape(Side::External, "ours")),
                why: why.clone(),
                rules: Some(7),
            }],
            note: None,
        };
        let history = of_title(&rules, &link, &[line]).history;
        let [sentence] = history.as_slice() else { panic!("{why:?}: {history:?}") };
        for part in [
            "\"ours\" replaced \"theirs\"",
            "external side",
            "version 7",
            "write k-1",
            because(&why).as_str(),
        ] {
            assert!(sentence.contains(part), "{why:?}: {sentence}");
        }
        assert!(told.insert(because(&why)), "{why:?} is told as another is");
    }
    assert!(because(&Why::Resolved { by: "carol".to_owned() }).contains("carol"));
}

#[test]
fn only_the_last_writes_of_a_field_are_told_newest_first() {
    let (rules, link) = (rules(), pair("ours", "ours"));
    let line = |n: usize, field: &str| Audit {
        integration: IntegrationId::new("int-1").unwrap(),
        link: Some(link.id.clone()),
        at: EARLIER,
        event: "update".to_owned(),
        key: Some(format!("k-{n}.")),
        side: Some(Side::Platform),
        fields: vec![Written {
            field: FieldName::new(field).ok(),
            from: None,
            to: Some(shape(Side::Platform, "x")),
            why: Why::Carried,
            rules: None,
        }],
        note: None,
    };
    let mut audit: Vec<Audit> = (0..12).map(|n| line(n, "title")).collect();
    audit.push(line(99, "status"));
    let history = of_title(&rules, &link, &audit).history;
    assert_eq!(history.len(), 10);
    assert!(history[0].contains("k-11.") && history[9].contains("k-2."), "{history:?}");
    assert!(history[0].contains("replaced nothing"), "{history:?}");
}

#[test]
fn every_reason_to_leave_a_field_alone_is_told_in_words_of_its_own() {
    let conflict = ConflictId::new("c-17").unwrap();
    let all = [
        ParkedWhy::Conflict(conflict),
        ParkedWhy::Kept,
        ParkedWhy::Unmapped,
        ParkedWhy::Masked,
        ParkedWhy::Reference,
        ParkedWhy::Guarded,
        ParkedWhy::Template,
        ParkedWhy::WriteIgnored,
        ParkedWhy::Refused,
        ParkedWhy::Withheld,
    ];
    let mut told = BTreeSet::new();
    for why in all {
        let mut link = pair("ours", "theirs");
        let state = link.fields.get_mut(&name()).unwrap();
        state.parked = Some(Parked { why: why.clone(), platform: None, external: None });
        let explained = of_title(&rules(), &link, &[]);
        assert_eq!(explained.next, "nothing, until one side changes it", "{why:?}");
        assert!(told.insert(explained.parked.unwrap()), "{why:?} is told as another is");
    }
    assert!(told.iter().any(|words| words.contains("c-17")));
}

#[test]
fn what_comes_next_is_told_of_every_standing() {
    let says = |rules: &Rules, link: &Link, part: &str| {
        let next = of_title(rules, link, &[]).next;
        assert!(next.contains(part), "{part}: {next}");
    };
    let rules = rules();
    says(&rules, &pair("base", "base"), "both sides are as agreed");
    says(&rules, &pair("ours", "base"), "written to the external side, because the other side");
    says(&rules, &pair("base", "theirs"), "because the side that had changed it may not");
    says(&rules, &sample::link(), "neither side has shown a value");
    // Under way.
    let mut link = pair("ours", "base");
    let translated = Translated {
        ruled: None,
        shape: shape(Side::External, "ours"),
        of: shape(Side::Platform, "ours"),
    };
    let write = Write {
        key: "w".to_owned(),
        side: Side::External,
        verb: Verb::Update { set: BTreeMap::from([(name(), translated)]), with: BTreeMap::new() },
        expect: firn_model::Expectation::default(),
        reasons: Vec::new(),
    };
    link.external_side.flight =
        Some(Flight { write, phase: Phase::Sending, attempts: 1, given_up: false });
    says(&rules, &link, "a write to the external side is under way");
    // Apart, and decided.
    let mut link = pair("ours", "theirs");
    let state = link.fields.get_mut(&name()).unwrap();
    let seen = (Some(shape(Side::Platform, "ours")), Some(shape(Side::External, "theirs")));
    state.decision = Some(Decision {
        platform: shape(Side::Platform, "third"),
        seen,
        by: "carol".to_owned(),
        cause: firn_model::Cause::default(),
    });
    says(&rules, &link, "a decision is being carried out");
    let mut link = pair("ours", "base");
    link.tombstone = Some(Tombstone { why: Ended::Gone(Side::External), at: NOW });
    says(&rules, &link, "no longer kept in step");
    // What the settings keep from travelling.
    let of = |more: serde_json::Value| {
        let mut document = json!({ "preset": "incidents",
            "platform": { "read_url": "https://p.example/{id}" } });
        for (key, value) in more.as_object().unwrap() {
            document[key] = value.clone();
        }
        sample::rules_of(&document)
    };
    let shared = json!({ "title": { "owner": "shared", "strategy": "manual-review" } });
    says(&of(json!({ "fields": shared })), &pair("ours", "theirs"), "a person will have to decide");
    let kept = json!({ "title": { "owner": "platform", "off_owner": "kept" } });
    says(&of(json!({ "fields": kept })), &pair("base", "theirs"), "left alone: the side");
    let theirs = json!({ "title": { "owner": "external" } });
    says(&of(json!({ "fields": theirs })), &pair("base", "theirs"), "nothing may be written there");
    let off = json!({ "title": { "owner": "platform", "when": "record.severity == 'low'" } });
    says(&of(json!({ "fields": off })), &pair("ours", "base"), "while its condition (when)");
    let broken = json!({ "title": { "owner": "platform", "when": "record.severity + 1 > 2" } });
    let mut link = pair("ours", "base");
    let severity = Shape::one(attribute("severity"), Worth::text("high"));
    let seen = Seen { shape: severity, revision: None, edited: EARLIER };
    let state = FieldState { platform: Some(seen), ..FieldState::default() };
    link.fields.insert(FieldName::new("severity").unwrap(), state);
    says(&of(json!({ "fields": broken })), &link, "its condition cannot be evaluated");
}
