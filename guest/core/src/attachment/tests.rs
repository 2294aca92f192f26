//! The law of attachments: whatever is lost, doubled or late, in the end each content is on both sides
//! exactly once, and nothing more is sent.

use std::collections::{BTreeMap, BTreeSet};

use firn_model::{
    AttachmentSeen, AttachmentWork, Attachments, ContentHash, ExternalRecord, Fate, Link, Millis,
    Outcome, Refusal, Side, SysId, Uncertainty,
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::step::IDLE;
use super::*;
use crate::settings::Rules;
use crate::{identity, mapping, sample};

fn rules() -> Rules {
    sample::rules_of(&json!({
        "preset": "incidents",
        "platform": { "callback_url": "https://p.example/cb",
            "attachment_read_url": "https://p.example/files/{id}",
            "attachment_write_url": "https://p.example/records/{id}/files" },
        "attachments": { "max_size": 1000, "types": ["image/*", "text/plain"] },
    }))
}

fn link() -> Link {
    let mut link = sample::link();
    link.external = Some(ExternalRecord {
        table: mapping::incident(),
        sys_id: SysId::new("a".repeat(32)).unwrap(),
        number: None,
        adopted: false,
    });
    link
}

fn hash(content: u8) -> ContentHash {
    ContentHash::new(identity::digest(&[&content.to_string()])).unwrap()
}

fn file(id: &str, content: u8, tells: bool) -> AttachmentSeen {
    AttachmentSeen {
        id: id.to_owned(),
        name: format!("{id}.png"),
        media_type: "image/png".to_owned(),
        size: tells.then_some(u64::from(content)),
        hash: tells.then(|| hash(content)),
    }
}

fn fresh() -> Attachments {
    let link = link();
    Attachments::new(link.integration, link.id)
}

/// What each side has: content by id.
#[derive(Debug, Default)]
struct World {
    platform: BTreeMap<String, u8>,
    external: BTreeMap<String, u8>,
    /// Uploads to ServiceNow that take effect late.
    late: Vec<(Millis, u8)>,
    /// Keys that the platform has taken.
    taken: Vec<u8>,
    made: u32,
    /// Whether a list shows hashes.
    tells: bool,
}

impl World {
    fn side(&mut self, side: Side) -> &mut BTreeMap<String, u8> {
        match side {
            Side::Platform => &mut self.platform,
            Side::External => &mut self.external,
        }
    }

    fn put(&mut self, side: Side, content: u8) -> String {
        self.made += 1;
        let id = match side {
            Side::Platform => format!("p{}", self.made),
            Side::External => format!("{:032x}", self.made),
        };
        self.side(side).insert(id.clone(), content);
        id
    }

    fn upload(&mut self, to: Side, content: u8) -> Option<String> {
        if to == Side::Platform {
            if self.taken.contains(&content) {
                return None; // Nothing twice under one key.
            }
            self.taken.push(content);
        }
        Some(self.put(to, content))
    }
}

/// What happens to one request.
#[derive(Debug, Clone, Copy)]
enum Luck {
    Good,
    NeverLeft,
    Lost,
    AnswerLost,
    Late(u16),
    Ended,
    Busy,
    OtherFile,
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        4 => Just(Luck::Good),
        1 => Just(Luck::NeverLeft),
        1 => Just(Luck::Lost),
        2 => Just(Luck::AnswerLost),
        1 => (1_u16..3_000).prop_map(Luck::Late),
        1 => Just(Luck::Ended),
        1 => Just(Luck::Busy),
        1 => Just(Luck::OtherFile),
    ]
}

/// Carries out one request, and tells how it ended.
fn carry(
    world: &mut World,
    set: &Attachments,
    work: &AttachmentWork,
    luck: Luck,
    now: Millis,
) -> Landed {
    let unknown = |how| Landed::Failed(Outcome::Unknown(how, "no answer".to_owned()));
    let content = |world: &World, side: Side, id: &str| match side {
        Side::Platform => world.platform[id],
        Side::External => world.external[id],
    };
    match luck {
        Luck::NeverLeft => return Landed::Failed(Outcome::NotSent("no".to_owned())),
        Luck::Busy => return Landed::Failed(Outcome::Busy(200)),
        Luck::Lost => return unknown(Uncertainty::Open),
        _ => {}
    }
    match work {
        AttachmentWork::List => match luck {
            Luck::Good | Luck::OtherFile => Landed::Listed(
                world
                    .external
                    .iter()
                    .map(|(id, content)| file(id, *content, world.tells))
                    .collect(),
                BTreeSet::new(),
            ),
            _ => unknown(Uncertainty::Open),
        },
        AttachmentWork::Measure(side, id) => match luck {
            Luck::Good => {
                let content = content(world, *side, id);
                Landed::Measured(u64::from(content), hash(content))
            }
            _ => unknown(Uncertainty::Open),
        },
        AttachmentWork::Send(side, id) => {
            let content = content(world, *side, id);
            assert_eq!(set.file(*side, id).unwrap().file.hash, Some(hash(content)));
            match luck {
                Luck::OtherFile => Landed::OtherFile,
                Luck::Late(after) if *side == Side::Platform => {
                    world.late.push((now.plus(u64::from(after)), content));
                    unknown(Uncertainty::Open)
                }
                Luck::Ended => {
                    world.upload(side.other(), content);
                    unknown(Uncertainty::Ended)
                }
                Luck::AnswerLost | Luck::Late(_) => {
                    world.upload(side.other(), content);
                    unknown(Uncertainty::Open)
                }
                _ => Landed::Taken(world.upload(side.other(), content)),
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Put {
    side: Side,
    content: u8,
    at: u16,
    /// Whether the side tells size and hash, and how often it tells of the file.
    tells: bool,
    times: u8,
}

fn put() -> impl Strategy<Value = Put> {
    let side = prop_oneof![Just(Side::Platform), Just(Side::External)];
    (side, 1_u8..6, 0_u16..5_000, any::<bool>(), 1_u8..3)
        .prop_map(|(side, content, at, tells, times)| Put { side, content, at, tells, times })
}

proptest! {
    #[test]
    fn demisto_27117_each_content_is_on_both_sides_once_and_then_nothing_more_is_sent(
        puts in proptest::collection::vec(put(), 1..6),
        lucks in proptest::collection::vec(luck(), 0..30),
        echoes in any::<bool>(),
        tells in any::<bool>(),
        // A person takes the pair apart and makes it again, whatever is under way.
        paired_anew in proptest::option::of(0_u16..5_000),
    ) {
        let rules = sample::rules_of(&json!({
            "preset": "incidents", "correlation": { "transaction_limit": 4_000 },
            "platform": { "callback_url": "https://p.example/cb",
                "attachment_read_url": "https://p.example/files/{id}",
                "attachment_write_url": "https://p.example/records/{id}/files" },
        }));
        let (link, mut world, mut set) = (link(), World { tells, ..World::default() }, fresh());
        let (mut lucks, mut sent) = (lucks.into_iter(), 0);
        let mut puts: Vec<Put> = puts;
        puts.sort_by_key(|put| put.at);
        let (mut now, mut told) = (Millis(1_000_000), 0);
        let mut paired_anew = paired_anew.map(|at| now.plus(u64::from(at)));
        let mut news: Vec<(Side, AttachmentSeen)> = Vec::new();
        let mut waiting = std::collections::VecDeque::from(puts.clone());
        for step in 0..4_000 {
            let mut inputs = Vec::new();
            while waiting.front().is_some_and(|put| i64::from(put.at) <= now.0 - 1_000_000) {
                let put = waiting.pop_front().unwrap();
                let id = world.put(put.side, put.content);
                for _ in 0..put.times {
                    news.push((put.side, file(&id, put.content, put.tells)));
                }
            }
            // Late effects, which nobody tells of but a list.
            let (due, later) = world.late.iter().copied().partition(|(at, _)| *at <= now);
            world.late = later;
            let due: Vec<(Millis, u8)> = due;
            for (_, content) in due {
                world.put(Side::External, content);
            }
            inputs.extend(news.drain(..).map(|(side, file)| Input::Seen(side, vec![file])));
            let known: Vec<(Side, String)> = [Side::Platform, Side::External]
                .into_iter()
                .flat_map(|side| {
                    let ids: Vec<String> = world.side(side).keys().cloned().collect();
                    ids.into_iter().map(move |id| (side, id))
                })
                .collect();
            if echoes && told < known.len() {
                // Each side tells of what it has, ours too, now and then before the answer.
                let (side, id) = known[told % known.len()].clone();
                let content = world.side(side)[&id];
                news.push((side, file(&id, content, step % 2 == 0)));
                told += 1;
            }
            let mut turn = advance(&rules, &link, set, &inputs, now);
            while turn.ask {
                now = now.plus(7);
                let exchange = turn.files.exchange.clone().unwrap();
                if matches!(exchange.work, AttachmentWork::Send(..)) {
                    sent += 1;
                }
                let luck = lucks.next().unwrap_or(Luck::Good);
                let landed = carry(&mut world, &turn.files, &exchange.work, luck, now);
                if paired_anew.take_if(|at| *at <= now).is_some() {
                    turn.files.pair_anew(now, 4_000);
                }
                let answered = [Input::Answered(exchange.number, landed)];
                turn = advance(&rules, &link, turn.files, &answered, now);
                let told = turn.findings.iter().all(|f| f.text.contains("tried again and again"));
                prop_assert!(told, "{:?}", turn.findings);
            }
            set = turn.files;
            now = now.plus(50);
            if waiting.is_empty() && news.is_empty() && world.late.is_empty() {
                match turn.wake {
                    Some(wake) => now = now.max(wake),
                    None if told >= known.len() || !echoes => break,
                    None => {}
                }
            }
        }
        let mut wanted: Vec<u8> = puts.iter().map(|put| put.content).collect();
        wanted.sort_unstable();
        wanted.dedup();
        for side in [Side::Platform, Side::External] {
            let mut there: Vec<u8> = world.side(side).values().copied().collect();
            there.sort_unstable();
            let own = puts.iter().filter(|put| put.side == side);
            let mut expected: Vec<u8> = own.map(|put| put.content).collect();
            // What a person put there stays as often as it was put; what came from us came once at most.
            for content in &wanted {
                if !expected.contains(content) {
                    expected.push(*content);
                }
            }
            expected.sort_unstable();
            let copies = there.len().saturating_sub(expected.len());
            // A person may put a content there while its copy is on its way: then it is there twice.
            let crossed = puts.iter().filter(|put| put.side == side)
                .filter(|put| puts.iter().any(|o| o.side != side && o.content == put.content)).count();
            prop_assert!(copies <= crossed, "{side}: {there:?}, wanted {expected:?}");
            there.dedup();
            prop_assert_eq!(&there, &wanted, "{}", side);
        }
        prop_assert!(set.exchange.is_none(), "{:?}", set);
        prop_assert!(sent <= 60, "{sent}");
    }
}

#[test]
fn what_may_not_travel_is_left_and_told() {
    let (rules, link) = (rules(), link());
    let now = Millis(1_000_000);
    let large = AttachmentSeen { size: Some(1_001), ..file("p1", 9, true) };
    let zip = AttachmentSeen {
        media_type: "application/zip".to_owned(),
        name: "card 4111111111111111.zip".to_owned(),
        ..file("p2", 8, true)
    };
    let seen = [Input::Seen(Side::Platform, vec![large, zip])];
    let turn = advance(&rules, &link, fresh(), &seen, now);
    assert!(!turn.ask && turn.wake.is_none());
    let fates: Vec<&Fate> = turn.files.files.iter().map(|f| &f.fate).collect();
    assert_eq!(fates, [&Fate::Left(Left::TooLarge), &Fate::Left(Left::Type)]);
    let told: Vec<&str> = turn.findings.iter().map(|f| f.text.as_str()).collect();
    assert!(told[0].contains("max_size") && told[1].contains("attachments.types"), "{told:?}");
    assert!(!told[1].contains("4111111111111111"), "{told:?}");
    // A person says: again.
    let turn = advance(&rules, &link, turn.files, &[Input::Again], now);
    assert_eq!(turn.findings.len(), 2, "still so");
    assert!(turn.ask, "and the ticket's files are listed");
}

#[test]
fn a_refused_file_is_left_and_the_next_one_goes_on() {
    let (rules, link) = (rules(), link());
    let now = Millis(1_000_000);
    let seen = Input::Seen(
        Side::External,
        vec![file(&"b".repeat(32), 1, true), file(&"c".repeat(32), 2, true)],
    );
    let turn = advance(&rules, &link, fresh(), &[seen], now);
    let exchange = turn.files.exchange.clone().unwrap();
    assert_eq!(exchange.work, AttachmentWork::Send(Side::External, "b".repeat(32)));
    let refusal = Refusal { status: 413, message: "too large".to_owned() };
    let refused = Input::Answered(exchange.number, Landed::Failed(Outcome::Refused(refusal)));
    let turn = advance(&rules, &link, turn.files, &[refused], now);
    assert!(turn.findings[0].text.contains("413"), "{:?}", turn.findings);
    let exchange = turn.files.exchange.unwrap();
    assert_eq!(exchange.work, AttachmentWork::Send(Side::External, "c".repeat(32)));
}

#[test]
fn nothing_is_asked_while_a_record_is_not_there_or_the_integration_rests() {
    let now = Millis(1_000_000);
    let seen = [Input::Seen(Side::Platform, vec![file("p1", 1, true)])];
    let turn = advance(&rules(), &sample::link(), fresh(), &seen, now);
    assert!(!turn.ask, "the link wakes it when it has its ticket");
    assert_eq!(turn.wake, Some(now.plus(IDLE)), "and it is looked at now and then");
    let turn = advance(&rules(), &link(), turn.files, &[], now);
    assert!(turn.ask);
    let resting = sample::rules_of(&json!({ "preset": "incidents", "enabled": false,
        "platform": { "attachment_read_url": "https://p.example/files/{id}" } }));
    let turn = advance(&resting, &link(), fresh(), &seen, now);
    assert!(!turn.ask && turn.wake.is_some());
    let mut ended = link();
    let why = firn_model::Ended::Unlinked { by: "ann".to_owned() };
    ended.tombstone = Some(firn_model::Tombstone { why, at: now });
    let turn = advance(&rules(), &ended, fresh(), &seen, now);
    assert!(!turn.ask && turn.wake.is_none());
}

#[test]
fn without_an_address_no_file_of_that_side_is_taken() {
    let one_way = sample::rules_of(&json!({ "preset": "incidents",
        "platform": { "attachment_write_url": "https://p.example/records/{id}/files" } }));
    let seen = [Input::Seen(Side::Platform, vec![file("p1", 1, true)])];
    let turn = advance(&one_way, &link(), fresh(), &seen, Millis(1_000_000));
    assert!(!turn.ask && turn.wake.is_none());
    assert_eq!(turn.files.files[0].fate, Fate::Stays, "known, so that it is not put beside it");
}

#[test]
fn a_file_that_fails_again_and_again_holds_no_other_up_and_is_told() {
    let (rules, link) = (rules(), link());
    let mut now = Millis(1_000_000);
    let bad = "b".repeat(32);
    let seen =
        Input::Seen(Side::External, vec![file(&bad, 1, true), file(&"c".repeat(32), 2, true)]);
    let mut turn = advance(&rules, &link, fresh(), &[seen], now);
    let (mut sent, mut told) = (0, 0);
    for _ in 0..400 {
        if turn.ask {
            let exchange = turn.files.exchange.clone().unwrap();
            let landed = match &exchange.work {
                AttachmentWork::Send(_, id) if *id == bad => {
                    sent += 1;
                    let why = "status 500".to_owned();
                    Landed::Failed(Outcome::Unknown(Uncertainty::Ended, why))
                }
                AttachmentWork::Send(..) => Landed::Taken(None),
                other => unreachable!("{other:?}"),
            };
            turn = advance(
                &rules,
                &link,
                turn.files,
                &[Input::Answered(exchange.number, landed)],
                now,
            );
        } else {
            now = now.plus(1_000);
            turn = advance(&rules, &link, turn.files, &[], now);
        }
        told += turn.findings.len();
    }
    assert!(matches!(turn.files.files[1].fate, Fate::There(_)), "the other one is there");
    assert!(sent <= 16, "ever more rarely: {sent} times in six minutes");
    assert_eq!(told, 1);
}

#[test]
fn other_content_under_a_known_id_travels_too() {
    let (rules, link) = (rules(), link());
    let now = Millis(1_000_000);
    let id = "b".repeat(32);
    let first = Input::Seen(Side::External, vec![file(&id, 1, true)]);
    let turn = advance(&rules, &link, fresh(), &[first], now);
    let number = turn.files.sequence;
    let taken = Input::Answered(number, Landed::Taken(None));
    let turn = advance(&rules, &link, turn.files, &[taken], now);
    assert!(!turn.ask);
    let again = Input::Seen(Side::External, vec![file(&id, 2, true)]);
    let turn = advance(&rules, &link, turn.files, &[again], now);
    assert!(turn.ask);
    assert_eq!(turn.files.files[0].file.hash, Some(hash(2)));
}

#[test]
fn a_page_in_the_place_of_a_file_is_not_taken_for_it() {
    let (rules, link) = (rules(), link());
    let now = Millis(1_000_000);
    let seen = Input::Seen(Side::External, vec![file(&"b".repeat(32), 1, true)]);
    let turn = advance(&rules, &link, fresh(), &[seen], now);
    let other = Input::Answered(turn.files.sequence, Landed::OtherFile);
    let turn = advance(&rules, &link, turn.files, &[other], now);
    assert_eq!(turn.files.files[0].file.hash, Some(hash(1)), "what the ticket tells is believed");
    assert_eq!(turn.files.exchange.unwrap().work, AttachmentWork::List, "and asked again");
}

#[test]
fn a_file_that_cannot_be_compared_with_holds_nothing_up() {
    let one_way = sample::rules_of(&json!({ "preset": "incidents",
        "platform": { "attachment_read_url": "https://p.example/files/{id}" } }));
    let (link, now) = (link(), Millis(1_000_000));
    let theirs = AttachmentSeen { size: None, ..file(&"b".repeat(32), 1, false) };
    for landed in [Landed::NoFile(403), Landed::TooLarge(2_000), Landed::NoFile(404)] {
        let seen = Input::Seen(Side::Platform, vec![file("p1", 1, true)]);
        let listed = Landed::Listed(vec![theirs.clone()], BTreeSet::new());
        let mut turn = advance(&one_way, &link, fresh(), &[seen], now);
        let mut asked = Vec::new();
        while turn.ask && asked.len() < 5 {
            let exchange = turn.files.exchange.clone().unwrap();
            let answer = match &exchange.work {
                AttachmentWork::List => listed.clone(),
                AttachmentWork::Measure(..) => landed.clone(),
                AttachmentWork::Send(..) => Landed::Taken(Some("d".repeat(32))),
            };
            asked.push(exchange.work);
            turn = advance(
                &one_way,
                &link,
                turn.files,
                &[Input::Answered(exchange.number, answer)],
                now,
            );
            assert!(turn.findings.is_empty(), "{:?}", turn.findings);
        }
        let measure = AttachmentWork::Measure(Side::External, theirs.id.clone());
        let send = AttachmentWork::Send(Side::Platform, "p1".to_owned());
        assert_eq!(asked, [AttachmentWork::List, measure, send], "{landed:?}");
    }
}

#[test]
fn what_another_link_has_put_there_is_never_carried_to_this_one() {
    let (rules, link, now) = (rules(), link(), Millis(1_000_000));
    let id = "b".repeat(32);
    let theirs = || Landed::Listed(vec![file(&id, 1, true)], BTreeSet::from([id.clone()]));
    // Heard of before it was known whose it is, and again after somebody asked for it.
    let mut set = fresh();
    for input in [Input::Seen(Side::External, vec![file(&id, 1, false)]), Input::Again] {
        let turn = advance(&rules, &link, set, &[input, Input::List], now);
        assert_eq!(turn.files.exchange.as_ref().unwrap().work, AttachmentWork::List);
        let listed = Input::Answered(turn.files.sequence, theirs());
        let turn = advance(&rules, &link, turn.files, &[listed], now);
        assert!(!turn.ask, "{:?}", turn.files.exchange);
        assert_eq!(turn.files.files[0].fate, Fate::Stays);
        set = turn.files;
    }
}

#[test]
fn a_file_that_cannot_be_had_is_compared_with_nothing() {
    let one_way = sample::rules_of(&json!({ "preset": "incidents",
        "platform": { "callback_url": "https://p.example/cb",
            "attachment_write_url": "https://p.example/records/{id}/files" } }));
    let (link, now, id) = (link(), Millis(1_000_000), "b".repeat(32));
    let told = [
        Input::Seen(Side::Platform, vec![file("p1", 1, false)]),
        Input::Seen(Side::External, vec![file(&id, 2, true)]),
    ];
    let turn = advance(&one_way, &link, fresh(), &told, now);
    let send = AttachmentWork::Send(Side::External, id.clone());
    assert_eq!(turn.files.exchange.unwrap().work, send, "there is no address to ask");
    // One that could be had, and fails again and again.
    let of_the_ticket = |more: Json| {
        let mut document = json!({ "preset": "incidents", "direction": "to-platform",
            "platform": { "callback_url": "https://p.example/cb",
                "attachment_read_url": "https://p.example/files/{id}",
                "attachment_write_url": "https://p.example/records/{id}/files" } });
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        sample::rules_of(&document)
    };
    let (rules, paused) = (of_the_ticket(json!({})), of_the_ticket(json!({ "enabled": false })));
    let (mut set, mut now, mut asked) = (fresh(), now, 0);
    let mut inputs = Vec::from(told);
    loop {
        let turn = advance(&rules, &link, set, &inputs, now);
        let exchange = turn.files.exchange.clone();
        now = turn.wake.expect("it goes on");
        match exchange.filter(|_| turn.ask) {
            Some(exchange) if exchange.work == send => break,
            Some(exchange) => {
                assert_eq!(exchange.work, AttachmentWork::Measure(Side::Platform, "p1".to_owned()));
                asked += 1;
                let silent = Outcome::Unknown(Uncertainty::Ended, "503".to_owned());
                inputs = vec![Input::Answered(exchange.number, Landed::Failed(silent))];
                now = exchange.since.plus(1);
            }
            None => {
                let rests = advance(&paused, &link, turn.files.clone(), &[], Millis(now.0 - 1));
                assert!(rests.wake.is_some(), "a pause in between forgets nothing");
                inputs = Vec::new();
            }
        }
        set = turn.files;
        assert!(asked < 50, "it holds the other up for ever");
    }
    assert!(asked > 1);
}

#[test]
fn what_a_link_has_put_on_a_ticket_is_known_while_it_is_on_its_way_and_when_it_has_left() {
    let (rules, link, now) = (rules(), link(), Millis(1_000_000));
    let turn = advance(
        &rules,
        &link,
        fresh(),
        &[Input::Seen(Side::Platform, vec![file("p1", 1, true)])],
        now,
    );
    let listed = Landed::Listed(Vec::new(), BTreeSet::new());
    let turn = advance(
        &rules,
        &link,
        turn.files.clone(),
        &[Input::Answered(turn.files.sequence, listed)],
        now,
    );
    let send = AttachmentWork::Send(Side::Platform, "p1".to_owned());
    assert_eq!(turn.files.exchange.as_ref().unwrap().work, send);
    let id = "b".repeat(32);
    let (seen, other) = (file(&id, 1, true), file(&"c".repeat(32), 2, true));
    assert!(turn.files.has_put(&seen) && !turn.files.has_put(&other), "before it is answered");
    assert!(turn.files.clone().forgotten().has_put(&seen), "and when the answer comes too late");
    let without_digest = AttachmentSeen { size: Some(1), ..file(&id, 1, false) };
    assert!(turn.files.has_put(&without_digest));
    let taken = Input::Answered(turn.files.sequence, Landed::Taken(Some(id.clone())));
    let turn = advance(&rules, &link, turn.files, &[taken], now);
    let left = turn.files.forgotten();
    assert!(left.files.is_empty() && left.has_put(&seen) && !left.has_put(&other));
    // The same content, which somebody had attached there: that is nobody's copy.
    let theirs = Input::Seen(Side::External, vec![seen.clone()]);
    let ours = Input::Seen(Side::Platform, vec![file("p1", 1, true)]);
    for both in [[theirs.clone(), ours.clone()], [ours, theirs]] {
        let turn = advance(&rules, &link, fresh(), &both, now);
        assert!(!turn.ask && turn.files.files.iter().all(|f| matches!(f.fate, Fate::There(_))));
        assert!(!turn.files.has_put(&seen) && !turn.files.forgotten().has_put(&seen));
    }
}

/// What is under way, and not answered, when a pair is taken apart and made anew may be on the same ticket.
#[test]
fn an_upload_that_may_come_yet_is_looked_for_when_the_pair_is_made_anew() {
    let (rules, link) = (rules(), link());
    let mut now = Millis(1_000_000);
    let seen = [Input::Seen(Side::Platform, vec![file("p1", 3, true)])];
    let listed = |turn: &Turn| {
        let number = turn.files.exchange.as_ref().unwrap().number;
        [Input::Answered(number, Landed::Listed(Vec::new(), BTreeSet::new()))]
    };
    let turn = advance(&rules, &link, fresh(), &seen, now);
    let mut turn = advance(&rules, &link, turn.files.clone(), &listed(&turn), now);
    let sends = AttachmentWork::Send(Side::Platform, "p1".to_owned());
    assert_eq!(turn.files.exchange.as_ref().unwrap().work, sends);
    // It may be sent until nobody waits for its answer any more.
    let until = turn.files.exchange.as_ref().unwrap().deadline.plus(4_000);
    turn.files.pair_anew(now, 4_000);
    let mut turn = advance(&rules, &link, turn.files, &[], now);
    while turn.files.exchange.as_ref().is_none_or(|exchange| exchange.work != sends) {
        if turn.ask {
            turn = advance(&rules, &link, turn.files.clone(), &listed(&turn), now);
        } else {
            now = turn.wake.unwrap();
            turn = advance(&rules, &link, turn.files, &[], now);
        }
    }
    assert!(now >= until, "{now:?}");
}

/// After a backup was put in the place of the store nothing is asked until what was under way has come.
#[test]
fn nothing_is_carried_while_an_integration_rests() {
    let (rules, link, until) = (rules(), link(), Millis(1_000_000));
    let mut integration = rules.integration().clone();
    let over = until.plus(60_000);
    integration.restored = Some(firn_model::Restored { since: Millis(0), until, settled: over });
    let rests = crate::settings::compile(integration).unwrap();
    let seen = [Input::Seen(Side::Platform, vec![file("p1", 3, true)])];
    let turn = advance(&rests, &link, fresh(), &seen, until.plus(1));
    assert_eq!((turn.ask, turn.wake), (false, Some(over)));
    assert!(advance(&rests, &link, turn.files, &[], over).ask);
}
