//! Rules of settling, each on a link that is made for it: what the clocks are asked, what a write
//! under way that has landed means, when a late write is told, what becomes of a side that is left.

use std::collections::BTreeMap;

use firn_model::{
    Base, Clock, Ended, ExchangeKind, Expectation, FieldName, FieldState, FindingKind, Flight,
    Ghost, Link, Millis, Parked, ParkedWhy, Past, PastChange, Phase, Plan, Revision, Role, Seen,
    Shape, Side, Step, SysId, Tombstone, Translated, Twin, Value, Verb, Write,
};
use serde_json::json;

use super::*;
use crate::land::Reading;
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
    let mut link = sample::linked();
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
        ruled: None,
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
    link.external_side.flight =
        Some(Flight { write, phase: Phase::Checking, attempts: 1, given_up: false });
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

/// A title of ours that landed, though the ticket changed from 5 to 8 around it; its history is being asked for.
fn asked_for_history() -> (Link, u64) {
    let mut state = title("ours", "ours");
    if let Some(seen) = &mut state.external {
        seen.revision = changed(8, NOW);
    }
    let mut link = planned(writing(pair("title", state))).link;
    (link.external_side.flight, link.external_side.exchange) = (None, None);
    let plan = planned(link);
    let step = plan.steps.iter().find(|(side, _)| *side == Side::External);
    let Some((_, Step::Exchange(exchange))) = step else { panic!("{:?}", plan.steps) };
    assert_eq!(exchange.kind, ExchangeKind::History);
    (plan.link, exchange.number)
}

fn history(reading: Reading) -> Plan {
    let (link, number) = asked_for_history();
    let answered = Input::Answered { side: Side::External, number, reading };
    let plan = advance(&rules(), link, &[answered], NOW);
    assert_eq!(plan.link.unseen, [], "it is asked once");
    plan
}

#[test]
fn what_was_overwritten_unseen_is_found_in_the_history() {
    let change = |count: u32, user: &str, new: &str| PastChange {
        column: attribute("short_description"),
        new: new.to_owned(),
        user: user.to_owned(),
        count,
    };
    let ours = rules().settings().external_user.clone();
    let upper = ours.to_uppercase();
    for (changes, overwritten, says) in [
        (vec![(6, "ann", "theirs"), (7, &*ours, "ours")], vec!["theirs"], "ann had written theirs"),
        // However the user's name is written.
        (vec![(6, "ann", "theirs"), (7, &upper, "ours")], vec!["theirs"], "ann had written theirs"),
        (vec![(6, &ours, "ours"), (7, "ann", "theirs")], vec![], "that it did not"),
        // What stood there when it was looked at was seen.
        (vec![(5, "ann", "seen"), (6, &ours, "ours")], vec![], "that it did not"),
        // Ours is not shown: nothing is proved.
        (vec![(6, "ann", "theirs")], vec![], ""),
        (vec![(8, "ann", "theirs"), (9, &ours, "ours")], vec![], ""),
        (
            vec![(6, "ann", "a"), (6, "rule", "b"), (7, &ours, "ours")],
            vec!["b"],
            "rule had written b",
        ),
        (
            vec![(6, "ann", "a"), (7, &ours, "ours"), (7, "bob", ""), (8, &ours, "ours")],
            vec!["a", ""],
            "ann had written a; bob had cleared it",
        ),
    ] {
        let rows = changes.iter().map(|(count, user, new)| change(*count, user, new)).collect();
        let plan = history(Reading::History(Past { changes: rows, is_cut: false }));
        let lost: Vec<String> = plan
            .audit
            .iter()
            .filter(|line| line.event == "recovered")
            .flat_map(|line| &line.fields)
            .map(|written| written.from.as_ref().map(ToString::to_string).unwrap_or_default())
            .collect();
        assert_eq!(lost, overwritten, "{changes:?}");
        match plan.findings.as_slice() {
            [] => assert_eq!(says, "", "{changes:?}"),
            [finding] => {
                assert_eq!(finding.field, Some(name("title")));
                assert!(
                    !says.is_empty() && finding.text.contains(says),
                    "{changes:?}: {finding:?}"
                );
            }
            more => panic!("{changes:?}: {more:?}"),
        }
    }
    // Of a history that is cut off nobody can say that nothing else is in it.
    let changes = vec![change(6, &ours, "ours")];
    assert_eq!(history(Reading::History(Past { changes, is_cut: true })).findings, []);
}

#[test]
fn a_value_from_the_history_is_masked() {
    let change = |count, user: String, new: &str| PastChange {
        column: attribute("short_description"),
        new: new.to_owned(),
        user,
        count,
    };
    let ours = rules().settings().external_user.clone();
    let theirs = change(6, "ann".to_owned(), "card 4111 1111 1111 1111");
    let changes = vec![theirs, change(7, ours, "ours")];
    let plan = history(Reading::History(Past { changes, is_cut: false }));
    let told = format!("{:?} {:?}", plan.findings, plan.audit);
    assert!(told.contains("1111") && !told.contains("4111 1111"), "{told}");
}

#[test]
fn a_history_that_may_not_be_read_leaves_what_was_told() {
    let refusal = firn_model::Refusal { status: 403, message: "no".to_owned() };
    for reading in [
        Reading::History(Past::default()),
        Reading::Outcome(firn_model::Outcome::Refused(refusal)),
        Reading::Outcome(firn_model::Outcome::Gone),
    ] {
        let plan = history(reading);
        assert_eq!((told(&plan), plan.audit.len()), (vec![], 0));
    }
    // What may come later is asked for again, and not for ever; nobody is told that the instance is not reached.
    let (mut link, mut number) = asked_for_history();
    let mut now = NOW;
    let unknown =
        || firn_model::Outcome::Unknown(firn_model::Uncertainty::Open, "a timeout".to_owned());
    for tries in 1.. {
        // What never left counts for nothing.
        for outcome in [firn_model::Outcome::NotSent("refused".to_owned()), unknown()] {
            let answered = Input::Answered {
                side: Side::External,
                number,
                reading: Reading::Outcome(outcome),
            };
            let plan = advance(&rules(), link, &[answered], now);
            assert_eq!((told(&plan), plan.link.external_side.failures), (vec![], 0));
            link = plan.link;
            if link.unseen.is_empty() {
                assert_eq!(tries, 6);
                return;
            }
            now = now.plus(600_000);
            let plan = advance(&rules(), link, &[], now);
            let step = plan.steps.iter().find(|(side, _)| *side == Side::External);
            let Some((_, Step::Exchange(exchange))) = step else { panic!("{:?}", plan.steps) };
            (link, number) = (plan.link, exchange.number);
        }
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
        told: false,
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
        let Some(ghost) = ghost_of(&plan) else { panic!("{now} at {changes}: it may come yet") };
        assert_eq!(ghost.departed, now == "theirs", "{now} at {changes}");
        let since = if is_told { changed(changes, EARLIER) } else { changed(5, EARLIER) };
        assert_eq!(ghost.revision, since, "{now} at {changes}: told once");
    }
}

/// An edit of other columns was taken for it; then it comes, over other words for the same.
#[test]
fn a_late_write_that_was_told_too_early_is_told_when_it_comes() {
    let link = planned(pair("title", haunted("ours", 7, EARLIER, false))).link;
    let mut state = link.fields[&name("title")].clone();
    assert_eq!(told(&planned(pair("title", state.clone()))), []);
    let mut seen = |now: &str, count: u32| {
        let seen = state.external.as_mut().unwrap();
        (seen.shape, seen.revision) =
            (shape("title", Side::External, now), changed(count, EARLIER));
        let plan = planned(pair("title", state.clone()));
        state = plan.link.fields[&name("title")].clone();
        told(&plan).contains(&FindingKind::OverwrittenUnseen)
    };
    assert!(!seen("theirs", 8));
    assert!(seen("ours", 9));
    // By counting it is told once.
    assert!(!seen("ours", 11));
    assert!(!seen("theirs", 12));
    // Over that, and somebody's edit again.
    assert!(!seen("others", 14));
    assert!(seen("ours", 15));
}

/// What stood there when the write was given up was seen, and never meant to be overwritten.
#[test]
fn what_a_late_write_went_over_is_found_however_long_it_had_stood_there() {
    let link = planned(pair("title", haunted("ours", 7, EARLIER, false))).link;
    let [unseen] = link.unseen.as_slice() else { panic!("{:?}", link.unseen) };
    assert_eq!((unseen.meant, unseen.after, unseen.until), (0, 5, 7));
    let Some(exchange) = &link.external_side.exchange else { panic!("its history is not read") };
    let number = exchange.number;
    let ours = rules().settings().external_user.clone();
    let change = |count, user: &str, new: &str| PastChange {
        column: attribute("short_description"),
        new: new.to_owned(),
        user: user.to_owned(),
        count,
    };
    for (count, is_found) in [(6, true), (5, false), (8, false)] {
        let rows = vec![change(2, "ann", "theirs"), change(count, &ours, "ours")];
        let reading = Reading::History(Past { changes: rows, is_cut: false });
        let answered = Input::Answered { side: Side::External, number, reading };
        let plan = advance(&rules(), link.clone(), &[answered], NOW);
        let found = plan.findings.iter().any(|finding| finding.text.contains("ann had written"));
        assert_eq!(found, is_found, "{count}: {:?}", plan.findings);
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
        told: false,
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

/// Nobody looks at a pair at rest.
#[test]
fn a_late_write_that_may_come_when_its_pair_is_apart_is_told_once() {
    for (updated, is_told) in [(NOW.plus(1), true), (NOW, false)] {
        let mut link = pair("title", haunted("ours", 5, EARLIER, false));
        if let Some(ghost) = &mut link.fields.get_mut(&name("title")).unwrap().ghost {
            ghost.until = updated;
        }
        link.tombstone = Some(Tombstone { why: Ended::Unlinked { by: "ann".into() }, at: NOW });
        let plan = planned(link);
        assert_eq!(told(&plan).contains(&FindingKind::OverwrittenUnseen), is_told);
        assert_eq!(told(&planned(plan.link)), []);
    }
}

// ---- further tickets with the link's key ----------------------------------------------------------

/// Where the write stands that closes a duplicate when it turns out that a record was paired with it.
enum Closing {
    NotBegun,
    Planned,
    UnderWay,
    /// It answered with a failure, and may have closed it all the same.
    Failed,
    GivenUp,
}

/// It cannot be taken back, and nobody would look for it any more.
#[test]
fn the_closing_of_a_ticket_that_was_paired_meanwhile_is_not_sent_or_told() {
    for (closing, is_told) in [
        (Closing::NotBegun, false),
        (Closing::Planned, false),
        (Closing::UnderWay, true),
        (Closing::Failed, true),
        (Closing::GivenUp, true),
    ] {
        let sys_id = SysId::new("00000000000000000000000000000007").unwrap();
        let mut twin = Twin {
            table: sample::link().table,
            sys_id: sys_id.clone(),
            number: Some("INC0000007".to_owned()),
            changes: Some(3),
            closing: None,
        };
        let write = Write {
            key: "l-1-1".to_owned(),
            side: Side::External,
            verb: Verb::Retire { twin: twin.clone(), set: BTreeMap::new() },
            expect: Expectation::default(),
            reasons: Vec::new(),
        };
        let flight = |phase| Some(Flight { write, phase, attempts: 1, given_up: false });
        let mut link = pair("title", title("base", "base"));
        match closing {
            Closing::NotBegun => {}
            Closing::Planned => link.external_side.flight = flight(Phase::Sending),
            Closing::UnderWay | Closing::Failed => {
                let open = matches!(closing, Closing::UnderWay);
                let sent = Phase::Verifying { sent: EARLIER, open, applied: false };
                link.external_side.flight = flight(sent);
            }
            Closing::GivenUp => twin.closing = Some(EARLIER),
        }
        link.twins = vec![twin];
        let neighbours = Neighbours { held: vec![sys_id], ..Neighbours::default() };
        let plan = advance(&rules(), link, &[Input::Shared(neighbours)], NOW);
        let findings = told(&plan);
        assert!(findings.contains(&FindingKind::DuplicateTicket) && plan.link.twins.is_empty());
        assert_eq!(findings.contains(&FindingKind::OverwrittenUnseen), is_told, "{findings:?}");
        let is_looked_up = matches!(closing, Closing::UnderWay | Closing::Failed);
        assert_eq!(plan.link.external_side.flight.is_some(), is_looked_up);
    }
}

/// Also of a pair at rest.
#[test]
fn the_closing_of_a_further_ticket_is_looked_at_once_it_can_come_no_more() {
    let limit = i64::try_from(rules().settings().correlation.transaction_limit).unwrap();
    for (ago, is_asked) in [(limit - 1, false), (limit, true)] {
        let mut link = pair("title", title("base", "base"));
        link.tombstone = Some(Tombstone { why: Ended::Unlinked { by: "ann".into() }, at: NOW });
        link.twins = vec![Twin {
            table: sample::link().table,
            sys_id: SysId::new("00000000000000000000000000000007").unwrap(),
            number: None,
            changes: Some(3),
            closing: Some(Millis(NOW.0 - ago)),
        }];
        let plan = planned(link);
        let asked = plan.link.external_side.exchange.as_ref().map(|exchange| &exchange.kind);
        assert_eq!(asked == Some(&ExchangeKind::Find), is_asked);
        assert!(is_asked || plan.wake() == Some(NOW.plus(1)), "{:?}", plan.steps);
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

// ---- parked fields -------------------------------------------------------------------------------

fn parked(state: FieldState, why: ParkedWhy, then: (Option<&str>, Option<&str>)) -> FieldState {
    let shape_of = |side, value: Option<&str>| value.map(|value| shape("title", side, value));
    let (platform, external) = (shape_of(Side::Platform, then.0), shape_of(Side::External, then.1));
    FieldState { parked: Some(Parked { why, platform, external }), ..state }
}

#[test]
fn a_parked_field_is_looked_at_again_when_a_side_shows_it_for_the_first_time() {
    for (then, written_to) in [
        ((Some("ours"), Some("base")), vec![]),
        ((None, Some("base")), vec!["title"]),
        ((Some("ours"), None), vec!["title"]),
    ] {
        let state = parked(title("ours", "base"), ParkedWhy::Reference, then);
        let plan = planned(pair("title", state));
        assert_eq!(written(&plan, Side::External), written_to, "{then:?}");
    }
}

fn owned(owner: &str) -> Rules {
    sample::rules_of(&json!({ "preset": "incidents", "fields": { "title": { "owner": owner } },
        "platform": { "callback_url": "https://p.example/callback", "read_url": "https://p.example/{id}" } }))
}

#[test]
fn what_was_kept_is_overwritten_by_the_owners_next_change_alone() {
    for (owner, platform, external, to) in [
        ("platform", "ours", "kept", None),
        ("platform", "ours", "kept, later", None),
        ("platform", "ours, later", "kept", Some(Side::External)),
        ("external", "ours", "kept", None),
        ("external", "ours, later", "kept", None),
        ("external", "ours", "kept, later", Some(Side::Platform)),
    ] {
        let then = (Some("ours"), Some("kept"));
        let state = parked(title(platform, external), ParkedWhy::Kept, then);
        let plan = advance(&owned(owner), pair("title", state), &[], NOW);
        for side in Side::BOTH {
            let wanted = if to == Some(side) { vec!["title"] } else { vec![] };
            assert_eq!(written(&plan, side), wanted, "{owner}: {platform} / {external}");
        }
        let still = plan.link.fields[&name("title")].parked.is_some();
        assert!(still, "until both agree");
    }
}

// ---- decisions -----------------------------------------------------------------------------------

#[test]
fn a_decision_holds_only_while_both_sides_are_as_they_were_seen() {
    for (platform, external, holds) in [
        ("ours", "theirs", true),
        ("chosen", "theirs", true),
        ("ours", "chosen", true),
        ("ours, later", "theirs", false),
        ("ours", "theirs, later", false),
    ] {
        let mut state = title(platform, external);
        state.decision = Some(firn_model::Decision {
            platform: shape("title", Side::Platform, "chosen"),
            seen: (
                Some(shape("title", Side::Platform, "ours")),
                Some(shape("title", Side::External, "theirs")),
            ),
            by: "ann".to_owned(),
            cause: firn_model::Cause::Conflict,
        });
        let plan = planned(pair("title", state));
        let kept = plan.link.fields[&name("title")].decision.is_some();
        assert_eq!(kept, holds, "{platform} / {external}");
    }
}

// ---- who may write -------------------------------------------------------------------------------

#[test]
fn a_link_that_shares_its_ticket_only_brings_the_status_home() {
    let shared = |of: &str, state: FieldState| {
        let mut link = pair(of, state);
        link.role = Role::Secondary;
        planned(link)
    };
    let status = field("status", ("open", "1"), "open", "7");
    let rules = sample::rules_of(&json!({ "preset": "incidents",
        "fields": { "status": { "owner": "external" } },
        "platform": { "callback_url": "https://p.example/callback", "read_url": "https://p.example/{id}" } }));
    let mut link = pair("status", status.clone());
    link.role = Role::Secondary;
    let plan = advance(&rules, link, &[], NOW);
    assert_eq!(written(&plan, Side::Platform), ["status"]);
    // Neither its status to the ticket, nor anything else anywhere.
    let plan = shared("status", field("status", ("open", "1"), "closed", "1"));
    assert_eq!(written(&plan, Side::External), [""; 0]);
    for state in [title("ours", "base"), title("base", "theirs")] {
        let plan = shared("title", state);
        assert_eq!(written(&plan, Side::External), [""; 0]);
        assert_eq!(written(&plan, Side::Platform), [""; 0]);
    }
}

#[test]
fn a_link_that_another_has_taken_over_from_writes_no_fields() {
    let mut link = pair("title", title("ours", "base"));
    link.successor = Some(link.id.clone());
    assert_eq!(written(&planned(link), Side::External), [""; 0]);
}

#[test]
fn a_side_that_may_not_be_written_is_not() {
    let rules = sample::rules_of(&json!({ "preset": "incidents", "direction": "to-platform",
        "fields": { "title": { "owner": "shared" } },
        "platform": { "callback_url": "https://p.example/callback", "read_url": "https://p.example/{id}" } }));
    assert!(!rules.may_write(Side::External), "from ServiceNow only");
    let plan = advance(&rules, pair("title", title("ours", "base")), &[], NOW);
    assert_eq!(written(&plan, Side::External), [""; 0]);
}

// ---- conflicts -----------------------------------------------------------------------------------

#[test]
fn each_conflict_has_an_id_of_its_own_and_shows_no_personal_data() {
    let rules = sample::rules_of(&json!({ "preset": "incidents",
        "fields": { "title": { "owner": "shared", "strategy": "manual-review" } } }));
    let card = "card 4111 1111 1111 1111";
    let first = advance(&rules, pair("title", title(card, card)), &[], NOW);
    assert!(first.conflicts.is_empty(), "both made the same change");
    let before = pair("title", title(card, "theirs 5500005555555559"));
    let sequence = before.sequence;
    let plan = advance(&rules, before, &[], NOW);
    let [conflict] = plan.conflicts.as_slice() else { panic!("{:?}", plan.conflicts) };
    let told = format!("{conflict:?}");
    assert!(!told.contains("4111 1111") && !told.contains("55000055"), "{told}");
    assert!(told.contains("1111") && told.contains("5559"), "what it is about can be told: {told}");
    assert_eq!(plan.link.sequence, sequence + 1);
    // It is over, and the next one begins.
    let mut link = plan.link;
    if let Some(state) = link.fields.get_mut(&name("title")) {
        state.parked = None;
    }
    let next = advance(&rules, link, &[], NOW);
    assert_ne!(next.conflicts[0].id, conflict.id);
}

/// What the process before a restore has sent may take effect up to the transaction limit later.
#[test]
fn nothing_is_begun_while_an_integration_rests() {
    let mut integration = rules().integration().clone();
    let over = NOW.plus(60_000);
    integration.restored =
        Some(firn_model::Restored { since: Millis(0), until: NOW, settled: over });
    let rests = crate::settings::compile(integration).unwrap();
    let link = pair("title", title("ours", "base"));
    let plan = advance(&rests, link, &[], NOW);
    assert!(written(&plan, Side::External).is_empty());
    assert_eq!(plan.wake(), Some(over));
    let plan = advance(&rests, plan.link, &[], over);
    assert!(!written(&plan, Side::External).is_empty());
}

/// Very many links may wait for days.
#[test]
fn a_paused_link_is_looked_at_ever_more_seldom() {
    let mut integration = rules().integration().clone();
    integration.enabled = false;
    let paused = crate::settings::compile(integration).unwrap();
    let (mut link, mut now) = (pair("title", title("ours", "base")), NOW);
    let mut waits = Vec::new();
    link.updated = NOW;
    for _ in 0..8 {
        let plan = advance(&paused, link, &[], now);
        let until = plan.wake().unwrap();
        waits.push(until.since(now) / 1_000);
        (link, now) = (plan.link, until);
    }
    assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
}
