//! Rules of settling, each on a link that is made for it: what the clocks are asked, what a write
//! under way that has landed means, when a late write is told, what becomes of a side that is left.

use std::collections::BTreeMap;

use firn_model::{
    Base, Clock, Ended, ExchangeKind, ExternalRecord, FieldName, FieldState, FindingKind, Flight,
    Ghost, Link, Millis, Parked, ParkedWhy, Phase, Plan, Revision, Seen, Shape, Side, Step, SysId,
    Tombstone, Translated, Value, Verb, Write,
};
use serde_json::json;

use super::*;
use crate::mapping::{attribute, platform_attribute};
use crate::sample;
use crate::settings::Rules;

const NOW: Millis = Millis(1_777_472_100_000);
const EARLIER: Millis = Millis(NOW.0 - 60_000);

fn rules() -> Rules {
    sample::rules_of(&json!({ "preset": "incidents",
        "fields": { "title": { "owner": "shared" } },
        "lifecycle": { "gone": "close" },
        "platform": { "callback_url": "https://p.example/callback", "read_url": "https://p.example/{id}" } }))
}

fn name(field: &str) -> FieldName {
    FieldName::new(field).unwrap()
}

fn shape(field: &str, side: Side, value: &str) -> Shape {
    let column = match (side, field) {
        (Side::Platform, _) => {
            platform_attribute(&sample::field_of(&rules(), field)).unwrap().clone()
        }
        (Side::External, "title") => attribute("short_description"),
        (Side::External, _) => attribute("state"),
    };
    Shape::one(column, Value::text(value))
}

fn changed(mod_count: u32, updated: Millis) -> Option<Revision> {
    Some(Revision::External { updated, mod_count: Some(mod_count) })
}

/// A field on which both sides agreed, and how they are now.
fn field(of: &str, base: (&str, &str), platform: &str, external: &str) -> FieldState {
    let seen =
        |side, value| Seen { shape: shape(of, side, value), revision: None, edited: EARLIER };
    FieldState {
        base: Some(Base {
            platform: shape(of, Side::Platform, base.0),
            external: shape(of, Side::External, base.1),
        }),
        platform: Some(seen(Side::Platform, platform)),
        external: Some(seen(Side::External, external)),
        ..FieldState::default()
    }
}

fn title(platform: &str, external: &str) -> FieldState {
    field("title", ("base", "base"), platform, external)
}

/// A pair with one field, at rest but for that; both clocks are known.
fn pair(of: &str, state: FieldState) -> Link {
    let mut link = sample::link();
    link.external = Some(ExternalRecord {
        table: link.table.clone(),
        sys_id: SysId::new("0123456789abcdef0123456789abcdef").unwrap(),
        number: Some("INC0000001".to_owned()),
        adopted: false,
    });
    link.fields.insert(name(of), state);
    for side in Side::BOTH {
        link.side_mut(side).clock = Some(Clock { low: 0, high: 0 });
    }
    link
}

fn planned(link: Link) -> Plan {
    advance(&rules(), link, &[], NOW)
}

/// The fields of the write that was planned for a side.
fn written(plan: &Plan, side: Side) -> Vec<String> {
    let flight = plan.link.side(side).flight.as_ref();
    match flight.map(|flight| &flight.write.verb) {
        Some(Verb::Update { set, .. }) => set.keys().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}

fn told(plan: &Plan) -> Vec<FindingKind> {
    plan.findings.iter().map(|finding| finding.kind).collect()
}

fn reads(plan: &Plan, side: Side) -> bool {
    plan.steps.iter().any(|(of, step)| {
        *of == side
            && matches!(step, Step::Exchange(exchange) if exchange.kind == ExchangeKind::Read)
    })
}

// ---- clocks --------------------------------------------------------------------------------------

#[test]
fn a_side_whose_clock_is_unknown_is_read_before_two_edits_are_ordered() {
    for side in Side::BOTH {
        let mut link = pair("title", title("ours", "theirs"));
        link.side_mut(side).clock = None;
        let plan = planned(link);
        assert!(reads(&plan, side), "{side}: {:?}", plan.steps);
        assert!(!reads(&plan, side.other()), "{side}: {:?}", plan.steps);
        assert_eq!(plan.link.side(side).flight, None);
        assert_eq!(plan.link.side(side.other()).flight, None, "nothing is decided yet");
    }
}

#[test]
fn one_edit_needs_no_clock() {
    let mut link = pair("title", title("ours", "base"));
    link.platform_side.clock = None;
    let plan = planned(link);
    assert_eq!(written(&plan, Side::External), ["title"]);
    assert!(!reads(&plan, Side::Platform), "{:?}", plan.steps);
}

#[test]
fn a_side_that_cannot_be_found_is_not_asked_for_its_clock() {
    let mut state = title("ours", "theirs");
    if let Some(seen) = &mut state.platform {
        seen.edited = EARLIER.plus(30_000);
    }
    let mut link = pair("title", state);
    link.platform_side.clock = None;
    link.platform_side.missing = true;
    let plan = planned(link);
    assert!(!plan.link.platform_side.look, "it would be asked for ever");
    assert_eq!(written(&plan, Side::External), ["title"], "the later one, as far as is known");
}

// ---- a write under way -----------------------------------------------------------------------------

/// A write of `ours` to ServiceNow under way, sent when the ticket had changed five times.
fn writing(mut link: Link) -> Link {
    let translated = Translated {
        shape: shape("title", Side::External, "ours"),
        of: shape("title", Side::Platform, "ours"),
    };
    let mut expect =
        firn_model::Expectation { revision: changed(5, EARLIER), ..Default::default() };
    expect.fields.insert(name("title"), Some(shape("title", Side::External, "base")));
    let write = Write {
        key: "w".to_owned(),
        side: Side::External,
        verb: Verb::Update {
            set: BTreeMap::from([(name("title"), translated)]),
            with: BTreeMap::new(),
        },
        expect,
        reasons: Vec::new(),
    };
    link.external_side.flight = Some(Flight { write, phase: Phase::Checking, attempts: 1 });
    link
}

#[test]
fn a_write_that_is_seen_to_have_landed_is_agreement_on_what_was_sent() {
    for (changes, findings) in [
        (5, vec![]),
        (6, vec![]),
        // Somebody wrote in between.
        (7, vec![FindingKind::OverwrittenUnseen]),
        (8, vec![FindingKind::OverwrittenUnseen]),
    ] {
        // The platform has moved on meanwhile.
        let mut state = title("ours, later", "ours");
        if let Some(seen) = &mut state.external {
            seen.revision = changed(changes, NOW);
        }
        let plan = planned(writing(pair("title", state)));
        let base = plan.link.fields[&name("title")].base.clone().unwrap();
        assert_eq!(base.platform, shape("title", Side::Platform, "ours"));
        assert_eq!(base.external, shape("title", Side::External, "ours"));
        assert_eq!(told(&plan), findings, "{changes} changes");
    }
}

#[test]
fn what_was_agreed_on_already_is_told_once() {
    let mut state = field("title", ("ours", "ours"), "ours", "ours");
    if let Some(seen) = &mut state.external {
        seen.revision = changed(9, NOW);
    }
    assert_eq!(told(&planned(writing(pair("title", state)))), []);
}

#[test]
fn a_write_that_has_not_landed_leaves_its_field_alone() {
    let plan = planned(writing(pair("title", title("ours", "theirs"))));
    let base = plan.link.fields[&name("title")].base.clone().unwrap();
    assert_eq!(base.external, shape("title", Side::External, "base"));
    assert_eq!(told(&plan), []);
}

// ---- a write that may take effect late ---------------------------------------------------------

/// The ghost of a write of `ours`, seen at the fifth change, and the title as it is now.
fn haunted(now: &str, mod_count: u32, updated: Millis, departed: bool) -> FieldState {
    let mut state = field("title", ("ours", "ours"), "ours", now);
    if let Some(seen) = &mut state.external {
        seen.revision = changed(mod_count, updated);
    }
    state.ghost = Some(Ghost {
        of: shape("title", Side::Platform, "ours"),
        shape: shape("title", Side::External, "ours"),
        revision: changed(5, EARLIER),
        until: NOW,
        departed,
    });
    state
}

fn ghost_of(plan: &Plan) -> Option<&Ghost> {
    plan.link.fields[&name("title")].ghost.as_ref()
}

#[test]
fn a_late_write_is_told_when_it_may_have_gone_over_an_edit() {
    for (now, changes, departed, is_told) in [
        ("ours", 5, false, false),
        ("ours", 6, false, false), // Another column, perhaps.
        ("ours", 7, false, true),  // An edit, and then the ghost.
        ("ours", 6, true, true),   // Back again.
        ("theirs", 6, false, false),
        ("theirs", 7, false, false),
        ("theirs", 8, false, true), // An edit, the ghost, and an edit again.
    ] {
        let plan = planned(pair("title", haunted(now, changes, EARLIER, departed)));
        let found = told(&plan).contains(&FindingKind::OverwrittenUnseen);
        assert_eq!(found, is_told, "{now} at {changes}, departed: {departed}");
        assert_eq!(ghost_of(&plan).is_none(), is_told, "{now} at {changes}");
        if let Some(ghost) = ghost_of(&plan) {
            assert_eq!(ghost.departed, now == "theirs", "{now} at {changes}");
        }
    }
}

#[test]
fn a_late_write_over_other_words_for_the_same_is_told() {
    let mut state = field("status", ("open", "1"), "open", "2");
    state.ghost = Some(Ghost {
        of: shape("status", Side::Platform, "open"),
        shape: shape("status", Side::External, "1"),
        revision: None,
        until: NOW,
        departed: false,
    });
    let plan = planned(pair("status", state.clone()));
    assert_eq!(told(&plan), [FindingKind::OverwrittenUnseen]);
    state.external =
        state.external.map(|seen| Seen { shape: shape("status", Side::External, "1"), ..seen });
    assert_eq!(told(&planned(pair("status", state))), []);
}

#[test]
fn a_late_write_is_waited_for_until_its_end_on_their_clock() {
    for (ahead, updated, over) in [(0, 0, false), (0, 1, true), (500, 500, false), (500, 501, true)]
    {
        let mut link = pair("title", haunted("ours", 5, NOW.plus(updated), false));
        link.external_side.clock = Some(Clock { low: 0, high: ahead });
        let plan = planned(link);
        assert_eq!(ghost_of(&plan).is_none(), over, "{updated} ms after, clock {ahead} ms ahead");
        assert_eq!(told(&plan), []);
    }
}

// ---- one side is gone ----------------------------------------------------------------------------

/// A pair of which a side is gone.
fn bereft(of: &str, state: FieldState, gone: Side) -> Plan {
    let mut link = pair(of, state);
    link.tombstone = Some(Tombstone { why: Ended::Gone(gone), at: EARLIER });
    planned(link)
}

#[test]
fn a_ticket_that_is_left_is_closed_once() {
    let plan = bereft("status", field("status", ("open", "1"), "open", "1"), Side::Platform);
    assert_eq!(written(&plan, Side::External), ["status"]);
    // Closed already, in whatever words.
    let plan = bereft("status", field("status", ("open", "1"), "open", "7"), Side::Platform);
    assert_eq!(written(&plan, Side::External), [""; 0]);
}

#[test]
fn a_ticket_that_cannot_be_closed_is_left_as_it_is() {
    let mut state = field("status", ("open", "1"), "open", "1");
    state.parked = Some(Parked { why: ParkedWhy::Refused, platform: None, external: None });
    let plan = bereft("status", state.clone(), Side::Platform);
    assert_eq!(written(&plan, Side::External), [""; 0]);
    state.external =
        state.external.map(|seen| Seen { shape: shape("status", Side::External, "7"), ..seen });
    assert_eq!(written(&bereft("status", state, Side::Platform), Side::External), [""; 0]);
}

#[test]
fn an_edit_of_what_is_left_is_told_and_goes_nowhere() {
    for (gone, platform, external, is_told) in [
        (Side::Platform, "base", "theirs", true),
        (Side::Platform, "ours", "base", false),
        (Side::External, "ours", "base", true),
        (Side::External, "base", "theirs", false),
    ] {
        let plan = bereft("title", title(platform, external), gone);
        assert_eq!(told(&plan).contains(&FindingKind::UnseenEdit), is_told, "{gone} gone");
        assert_eq!(written(&plan, gone.other()), [""; 0]);
    }
}
