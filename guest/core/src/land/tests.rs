//! What an answer proves, and what it does not: each on a link that is made for it.

use firn_model::{
    Answer, AnswerBody, Attribute, Base, Clock, CorrelationKey, Exchange, ExchangeKind, FieldName,
    FieldState, FindingKind, Flight, HttpResponse, Link, Millis, Observation, ObservationSource,
    ObservedRecord, Outcome, Parked, ParkedWhy, Phase, Plan, Presence, Reference, Refusal,
    Revision, Seen, Shape, Side, SysId, Translated, Twin, Value, Verb, Write,
};
use serde_json::json;

use super::{Found, Reading};
use crate::mapping::{attribute, platform_attribute};
use crate::plan::{Input, advance};
use crate::sample;
use crate::settings::Rules;
use crate::wire;

const NOW: Millis = Millis(1_777_472_100_000);
const ASKED: Millis = Millis(NOW.0 - 400);

fn rules(push_only: bool) -> Rules {
    let mut platform = json!({ "callback_url": "https://p.example/callback" });
    if !push_only {
        platform["read_url"] = json!("https://p.example/{id}");
    }
    sample::rules_of(&json!({ "preset": "incidents", "platform": platform,
        "fields": { "title": { "owner": "shared" }, "assigned_to": { "owner": "platform" } } }))
}

fn title() -> FieldName {
    FieldName::new("title").unwrap()
}

fn shape(side: Side, value: &str) -> Shape {
    let name = match side {
        Side::Platform => platform_attribute(&sample::field_of(&rules(false), "title")).unwrap(),
        Side::External => attribute("short_description"),
    };
    Shape::one(name, Value::text(value))
}

fn count(mod_count: u32) -> Option<Revision> {
    Some(Revision::External { updated: NOW, mod_count: Some(mod_count) })
}

fn at(at: Millis) -> Option<Revision> {
    Some(Revision::Platform { version: None, at })
}

/// A pair that agrees on the title `base`, with what was seen of both sides.
fn pair() -> Link {
    let mut link = sample::linked();
    let seen = |side, revision| Seen { shape: shape(side, "base"), revision, edited: Millis(0) };
    let state = FieldState {
        base: Some(Base {
            platform: shape(Side::Platform, "base"),
            external: shape(Side::External, "base"),
        }),
        platform: Some(seen(Side::Platform, at(Millis(ASKED.0 - 60_000)))),
        external: Some(seen(Side::External, count(5))),
        ..FieldState::default()
    };
    link.fields.insert(title(), state);
    for side in Side::BOTH {
        link.side_mut(side).clock = Some(Clock { low: 0, high: 0 });
        link.side_mut(side).revision = link.fields[&title()].seen(side).unwrap().revision;
    }
    link
}

fn asking(link: &mut Link, side: Side, kind: ExchangeKind) {
    link.sequence = 7;
    let deadline = NOW.plus(10_000);
    let exchange = Exchange { kind, number: 7, since: ASKED, deadline, elsewhere: false };
    link.side_mut(side).exchange = Some(exchange);
}

/// A write of the title `ours` to a side, sent and not answered.
fn writing(mut link: Link, side: Side) -> Link {
    let (of, made) = (shape(side.other(), "ours"), shape(side, "ours"));
    let set = [(title(), Translated { shape: made, of, ruled: None })].into();
    let mut expect = firn_model::Expectation {
        revision: link.side(side).revision,
        ..firn_model::Expectation::default()
    };
    expect.fields.insert(title(), Some(shape(side, "base")));
    let verb = Verb::Update { set, with: [].into() };
    let write = Write { key: "w".to_owned(), side, verb, expect, reasons: Vec::new() };
    link.side_mut(side).flight =
        Some(Flight { write, phase: Phase::Sending, attempts: 1, given_up: false });
    let other = link.fields.get_mut(&title()).unwrap().seen_mut(side.other());
    other.as_mut().unwrap().shape = shape(side.other(), "ours");
    asking(&mut link, side, ExchangeKind::Send);
    link
}

/// A write to ServiceNow that expects nothing.
fn write_of(verb: Verb) -> Write {
    let (key, side) = ("w".to_owned(), Side::External);
    let expect = firn_model::Expectation::default();
    Write { key, side, verb, expect, reasons: Vec::new() }
}

fn record(side: Side, link: &Link, value: &str, revision: Option<Revision>) -> ObservedRecord {
    let id = match side {
        Side::Platform => link.platform_id.to_string(),
        Side::External => link.external.as_ref().unwrap().sys_id.to_string(),
    };
    ObservedRecord {
        id,
        revision,
        attributes: shape(side, value).0,
        presence: Presence::There,
        ..ObservedRecord::default()
    }
}

fn heard(side: Side, link: &Link, value: &str, revision: Option<Revision>) -> Input {
    let (record, source) = (record(side, link, value, revision), ObservationSource::Message);
    Input::Seen(Observation { side, source, record, entries: Vec::new() })
}

fn answered(side: Side, reading: Reading) -> Input {
    Input::Answered { side, number: 7, reading }
}

fn state(plan: &Plan) -> &FieldState {
    &plan.link.fields[&title()]
}

// ---- how new an answer is ------------------------------------------------------------------------

/// It was taken to be as new as its arrival: what had been changed while it was on its way was undone by it.
#[test]
fn a_read_without_a_date_is_as_new_as_its_question() {
    let (link, clock) = (pair(), Clock { low: 3_000, high: 3_100 });
    let mut link = Link { ..link };
    link.platform_side.clock = Some(clock);
    let body = json!({ "record": { "id": link.platform_id, "fields": { "title": "base" } } });
    let response = HttpResponse { status: 200, headers: Vec::new(), body: body.to_string() };
    asking(&mut link, Side::Platform, ExchangeKind::Read);
    let exchange = link.platform_side.exchange.clone().unwrap();
    let answer = Answer {
        tenant: rules(false).integration().tenant.clone(),
        integration: link.integration.clone(),
        ticket: String::new(),
        body: AnswerBody::Response(response),
    };
    let reading = wire::reading(&rules(false), &link, Side::Platform, &exchange, &answer, NOW);
    let Reading::Record(read, _) = &reading else { panic!("{reading:?}") };
    assert_eq!(read.revision, at(ASKED.plus(3_000)), "on their clock");
    // An edit of a moment after the question, heard before the answer and after it.
    let edit = || heard(Side::Platform, &pair(), "edited", at(ASKED.plus(3_100)));
    let answer = || answered(Side::Platform, reading.clone());
    for inputs in [[edit(), answer()], [answer(), edit()]] {
        let plan = advance(&rules(false), link.clone(), &inputs, NOW);
        let shown = state(&plan).shape(Side::Platform);
        assert_eq!(shown, Some(&shape(Side::Platform, "edited")), "{inputs:?}");
    }
}

/// Two changes of one instant, one after the other: of a side that cannot be read the second was dropped.
#[test]
fn what_nobody_can_order_and_nobody_can_read_counts_as_it_comes() {
    let link = pair();
    let events = ["mitigated", "resolved"].map(|v| heard(Side::Platform, &link, v, at(NOW)));
    let plan = advance(&rules(true), link.clone(), &events, NOW);
    assert_eq!(state(&plan).shape(Side::Platform), Some(&shape(Side::Platform, "resolved")));
    let plan = advance(&rules(false), link, &events, NOW);
    assert_eq!(state(&plan).shape(Side::Platform), Some(&shape(Side::Platform, "mitigated")));
    let asked = plan.link.platform_side.exchange.map(|exchange| exchange.kind);
    assert_eq!(asked, Some(ExchangeKind::Read), "one that can be read is read");
}

/// What was on its way before our write and arrived after it undid it.
#[test]
fn an_acknowledgement_is_newer_than_what_was_told_before() {
    let late = |link: &Link| heard(Side::Platform, link, "base", at(Millis(ASKED.0 - 1_000)));
    let done = || answered(Side::Platform, Reading::Outcome(Outcome::Applied(None)));
    let link = writing(pair(), Side::Platform);
    let plan = advance(&rules(true), link.clone(), &[done(), late(&link)], NOW);
    assert_eq!(state(&plan).shape(Side::Platform), Some(&shape(Side::Platform, "ours")));
    assert!(plan.link.external_side.flight.is_none(), "nothing is carried back");
    // Sent once more it may have been done the first time: what was told since counts.
    let mut again = link.clone();
    again.platform_side.flight.as_mut().unwrap().attempts = 2;
    let plan = advance(&rules(true), again, &[done(), late(&link)], NOW);
    assert_eq!(state(&plan).shape(Side::Platform), Some(&shape(Side::Platform, "base")));
    // One that can be read is read.
    let plan = advance(&rules(false), link, &[done()], NOW);
    let asked = plan.link.platform_side.exchange.map(|exchange| exchange.kind);
    assert_eq!(asked, Some(ExchangeKind::Read));
}

// ---- what a write led to -------------------------------------------------------------------------

/// Somebody who puts the old value back at once was taken for an instance that ignores our write: the field was left
/// alone, and both sides stayed apart.
#[test]
fn a_write_that_is_undone_at_once_was_not_ignored() {
    let link = writing(pair(), Side::External);
    let undone = heard(Side::External, &link, "base", count(7));
    let shown = record(Side::External, &link, "ours", count(6));
    let done = answered(Side::External, Reading::Outcome(Outcome::Applied(Some(shown))));
    let plan = advance(&rules(false), link.clone(), &[undone.clone(), done], NOW);
    assert_eq!(state(&plan).parked, None, "{:?}", plan.findings);
    let base = state(&plan).base.clone().unwrap();
    assert_eq!(base.external, shape(Side::External, "ours"));
    assert_eq!(state(&plan).shape(Side::External), Some(&shape(Side::External, "base")));
    assert!(plan.link.platform_side.flight.is_some(), "their edit is carried");
    // Its own answer shows the old value: that is one that ignores it.
    let shown = record(Side::External, &link, "base", count(6));
    let done = answered(Side::External, Reading::Outcome(Outcome::Applied(Some(shown))));
    let plan = advance(&rules(false), link, &[done], NOW);
    let parked = state(&plan).parked.as_ref().map(|parked| &parked.why);
    assert_eq!(parked, Some(&ParkedWhy::WriteIgnored));
}

/// Kept, and then gone over by the owner: a third value was written back for ever, past the limit for flips.
#[test]
fn what_was_kept_and_gone_over_is_a_field_like_any_other() {
    let mut link = writing(pair(), Side::External);
    link.fields.get_mut(&title()).unwrap().parked = Some(Parked {
        why: ParkedWhy::Kept,
        platform: Some(shape(Side::Platform, "base")),
        external: Some(shape(Side::External, "base")),
    });
    let shown = record(Side::External, &link, "ours (10:00:01)", count(6));
    let done = answered(Side::External, Reading::Outcome(Outcome::Applied(Some(shown))));
    let plan = advance(&rules(false), link, &[done], NOW);
    assert_eq!(state(&plan).parked, None);
    assert_eq!(state(&plan).flips.len(), 1, "it is counted");
}

/// The platform's edit between our create and its answer was a conflict, as if both sides had met without having
/// agreed on anything.
#[test]
fn a_field_that_stands_as_it_was_created_is_agreed_on() {
    for (stored, edited, is_agreed) in
        [("first", "second", true), ("first", "first", true), ("other", "second", false)]
    {
        let mut link = Link::new(
            sample::linked().id,
            sample::linked().integration,
            sample::linked().platform_id,
            CorrelationKey::new("A").unwrap(),
            sample::linked().table,
            NOW,
        );
        let seen = Seen { shape: shape(Side::Platform, edited), revision: at(NOW), edited: NOW };
        link.fields.insert(title(), FieldState { platform: Some(seen), ..FieldState::default() });
        let set = [(attribute("short_description"), Value::text("first"))].into();
        let of = [(title(), shape(Side::Platform, "first"))].into();
        let verb = Verb::Create { key: link.key.clone(), set, keyed: false, of };
        let write = write_of(verb);
        link.external_side.flight =
            Some(Flight { write, phase: Phase::Sending, attempts: 1, given_up: false });
        asking(&mut link, Side::External, ExchangeKind::Send);
        let mut shown = ObservedRecord {
            id: "0".repeat(32),
            revision: count(0),
            attributes: shape(Side::External, stored).0,
            ..ObservedRecord::default()
        };
        let column = Attribute::new("correlation_id").unwrap();
        shown.attributes.insert(column, Value::text("A"));
        let done = answered(Side::External, Reading::Outcome(Outcome::Applied(Some(shown))));
        let plan = advance(&rules(false), link, &[done], NOW);
        assert_eq!(state(&plan).base.is_some(), is_agreed, "{stored}, {edited}");
        // Whoever keeps the links says first whether others share the ticket.
        let next = advance(&rules(false), plan.link, &[], NOW);
        let writes = next.link.external_side.flight.is_some();
        assert_eq!(writes, is_agreed && edited == "second", "{stored}, {edited}");
        let is_conflict = !next.conflicts.is_empty();
        assert_eq!(is_conflict, stored == "other", "{stored}, {edited}");
    }
}

// ---- what is found by the key ------------------------------------------------------------------

fn twin(sys_id: &str, changes: u32) -> Twin {
    Twin {
        table: sample::linked().table,
        sys_id: SysId::new(sys_id).unwrap(),
        number: Some("INC0000007".to_owned()),
        changes: Some(changes),
        closing: None,
    }
}

const TWIN: &str = "00000000000000000000000000000007";

/// The duplicate as it is found, and what is known of the write that closes it, given up at `NOW`.
fn found_after(link: Link, changes: u32, active: bool, ours: bool, now: Millis) -> Plan {
    let mut link = link;
    asking(&mut link, Side::External, ExchangeKind::Find);
    link.external_side.exchange.as_mut().unwrap().since = now;
    let own = link.external.clone().unwrap();
    let own = Twin { number: own.number, ..twin(own.sys_id.as_str(), 1) };
    let found = |ticket: Twin, active, ours| Found { ticket, active, ours, made: Some(NOW) };
    let all = vec![found(own, true, true), found(twin(TWIN, changes), active, ours)];
    advance(&rules(false), link, &[answered(Side::External, Reading::Found(all))], now)
}

fn told(plan: &Plan) -> Vec<FindingKind> {
    plan.findings.iter().map(|finding| finding.kind).collect()
}

/// The closing of a duplicate was given up, and an agent works in it meanwhile: it was forgotten, and came over that.
#[test]
fn the_closing_of_a_duplicate_is_watched_to_its_end_whatever_becomes_of_the_duplicate() {
    let verb = Verb::Retire { twin: twin(TWIN, 3), set: [].into() };
    let write = write_of(verb);
    let phase = Phase::Verifying { sent: NOW, open: true, applied: false };
    let mut link = pair();
    link.twins = vec![twin(TWIN, 3)];
    link.external_side.flight = Some(Flight { write, phase, attempts: 1, given_up: false });
    // An agent's edit: it is left to people, and may be closed yet.
    let plan = found_after(link, 4, true, false, NOW.plus(1_000));
    let [left] = plan.link.twins.as_slice() else { panic!("{:?}", plan.link.twins) };
    assert_eq!((left.closing, left.changes), (Some(NOW), Some(3)));
    let text = &plan.findings.iter().find(|f| f.kind == FindingKind::DuplicateTicket).unwrap().text;
    assert!(text.contains("left to people") && text.contains("may still take effect"), "{text}");
    assert!(plan.link.external_side.flight.is_none(), "the link's other writes go on");
    // And then it came.
    let limit = rules(false).settings().correlation.transaction_limit;
    let over = found_after(plan.link.clone(), 5, false, false, NOW.plus(limit));
    assert!(over.link.twins.is_empty() && told(&over).contains(&FindingKind::OverwrittenUnseen));
    // Or did not.
    let over = found_after(plan.link, 4, true, false, NOW.plus(limit));
    assert!(over.link.twins.is_empty() && !told(&over).contains(&FindingKind::OverwrittenUnseen));
}

/// It came in time, and only its answer was lost.
#[test]
fn a_duplicate_that_is_closed_as_it_was_meant_is_not_looked_at_again() {
    let mut link = pair();
    link.twins = vec![Twin { closing: Some(NOW), ..twin(TWIN, 3) }];
    let plan = found_after(link.clone(), 4, false, true, NOW.plus(1_000));
    assert!(plan.link.twins.is_empty() && told(&plan).is_empty(), "{:?}", plan.findings);
    // Not so if it was an agent.
    let plan = found_after(link, 4, false, false, NOW.plus(1_000));
    assert_eq!(plan.link.twins.len(), 1);
}

/// A create that was given up came to be, and was closed before it was found: it is this wish's, and no earlier one's.
#[test]
fn a_ticket_of_a_create_that_was_given_up_is_that_creates() {
    for (given_up, generation) in [(false, 2), (true, 1)] {
        let mut link = sample::link();
        (link.asked, link.draft) = (vec!["wish".to_owned()], Some(firn_model::Draft::default()));
        let key = link.key.clone();
        let verb = Verb::Create { key, set: [].into(), keyed: false, of: [].into() };
        let write = write_of(verb);
        link.external_side.flight =
            Some(Flight { write, phase: Phase::Checking, attempts: 2, given_up });
        asking(&mut link, Side::External, ExchangeKind::Find);
        let closed = Found { ticket: twin(TWIN, 3), active: false, ours: false, made: Some(NOW) };
        let input = answered(Side::External, Reading::Found(vec![closed]));
        let rules = sample::rules_of(&json!({ "preset": "incidents",
            "correlation": { "closed": "new" } }));
        let plan = advance(&rules, link, &[input], NOW);
        assert_eq!(plan.link.generation, generation, "given up: {given_up}");
        let is_own = plan.link.external.is_some_and(|own| own.sys_id.as_str() == TWIN);
        assert_eq!(is_own, given_up);
        assert!(!given_up || plan.notice.is_some_and(|notice| notice.created));
    }
}

// ---- reads that are refused ----------------------------------------------------------------------

fn refusal() -> Reading {
    let message = "Insufficient rights to query records".to_owned();
    Reading::Outcome(Outcome::Refused(Refusal { status: 403, message }))
}

/// Whose name cannot be looked up stopped everything else of its link, for ever.
#[test]
fn a_reference_that_may_not_be_looked_up_stops_its_own_field_alone() {
    let rules = rules(false);
    let mut link = pair();
    let field = sample::field_of(&rules, "assigned_to");
    let user = Shape::one(platform_attribute(&field).unwrap(), Value::text("ann@example.com"));
    let nobody = Shape::one(attribute("assigned_to"), Value::Empty);
    let seen = |shape: &Shape| Some(Seen { shape: shape.clone(), revision: None, edited: NOW });
    let empty = Shape::one(platform_attribute(&field).unwrap(), Value::Empty);
    link.fields.insert(
        field.name.clone(),
        FieldState {
            base: Some(Base { platform: empty, external: nobody.clone() }),
            platform: seen(&user),
            external: seen(&nobody),
            ..FieldState::default()
        },
    );
    let title_of = link.fields.get_mut(&title()).unwrap();
    title_of.platform.as_mut().unwrap().shape = shape(Side::Platform, "ours");
    let plan = advance(&rules, link, &[], NOW);
    let exchange = plan.link.external_side.exchange.clone().unwrap();
    assert!(matches!(exchange.kind, ExchangeKind::LookUp { .. }), "{exchange:?}");
    let input =
        Input::Answered { side: Side::External, number: exchange.number, reading: refusal() };
    let plan = advance(&rules, plan.link, &[input], NOW);
    let parked = plan.link.fields[&field.name].parked.as_ref().map(|parked| &parked.why);
    assert_eq!(parked, Some(&ParkedWhy::Reference));
    let flight = plan.link.external_side.flight.as_ref().map(|flight| &flight.write.verb);
    let Some(Verb::Update { set, .. }) = flight else { panic!("{flight:?}") };
    assert!(set.contains_key(&title()) && set.len() == 1, "the title goes on: {set:?}");
    assert!(plan.findings.iter().any(|finding| finding.text.contains("403")));
    // The next time it is looked up anew: it may be there by then.
    assert!(plan.link.references.is_empty(), "{:?}", plan.link.references);
}

/// Of a case the journal is below its address. It was asked for once a minute, for ever, and nothing else was done.
#[test]
fn a_journal_that_is_gone_with_its_case_leads_to_the_case() {
    let rules = sample::rules_of(&json!({ "preset": "incidents",
        "tickets": [{ "table": "sn_customerservice_case" }], "journal": { "source": "activities" },
        "platform": { "callback_url": "https://p.example/callback" } }));
    let limit = i64::try_from(rules.settings().correlation.transaction_limit).unwrap();
    let sent = |ago: i64| {
        let sent = Millis(ASKED.0 - ago);
        Phase::Verifying { sent, open: true, applied: false }
    };
    for (phase, goes_on, is_told) in
        [(Phase::Checking, true, false), (sent(0), false, false), (sent(limit), true, true)]
    {
        let entry = firn_model::EntryOrigin::Platform("c1".to_owned());
        let verb = Verb::Append {
            entry: entry.clone(),
            text: firn_model::JournalText::Comment(firn_model::Comment("hello".to_owned())),
            before: Vec::new(),
        };
        let write = write_of(verb);
        let mut link = pair();
        link.table = firn_model::TableName::new("sn_customerservice_case").unwrap();
        link.external_side.flight = Some(Flight { write, phase, attempts: 1, given_up: false });
        asking(&mut link, Side::External, ExchangeKind::Journal);
        let gone = answered(Side::External, Reading::Outcome(Outcome::Gone));
        let plan = advance(&rules, link, &[gone], NOW);
        assert_eq!(plan.link.external_side.flight.is_none(), goes_on);
        assert_eq!(plan.link.external_side.look, goes_on, "the case itself is read next");
        assert_eq!(told(&plan).contains(&FindingKind::UnseenEdit), is_told);
    }
}

#[test]
fn what_was_found_is_not_looked_up_again() {
    let mut link = pair();
    let found = Reference::Found(SysId::new("0".repeat(32)).unwrap());
    link.references.insert("sys_user.email=ann@example.com".to_owned(), found.clone());
    link.references.insert("sys_user.email=nobody@example.com".to_owned(), Reference::Missing);
    let plan = advance(&rules(false), link, &[], NOW);
    assert_eq!(plan.link.references.len(), 2, "nothing was to be written");
}
