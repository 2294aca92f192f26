//! What is learnt of a ticket: its own sentences, masked, and where each stands.

use super::extract::{Ticket, extract};
use super::*;
use firn_model::{Preset, Source};
use proptest::prelude::*;

fn said(id: &str, at: i64, text: &str) -> Entry {
    Entry {
        origin: EntryOrigin::External(id.to_owned()),
        text: JournalText::WorkNote(WorkNote(text.to_owned())),
        author: "ann".to_owned(),
        at: Millis(at),
        mirror: Mirror::Pending,
    }
}

fn vpn() -> Vec<Entry> {
    vec![
        said("1", 1, "VPN client drops every ten minutes. Have you tried turning it off?"),
        said(
            "2",
            2,
            "Logs show that the VPN gateway closes the tunnel: the MTU of the tunnel is too large. See KB0010042.",
        ),
        said("3", 3, "Lunch menu is on the intranet."),
        said(
            "4",
            4,
            "Root cause: the MTU of the tunnel. Reduced it to 1300; the VPN is stable and works again.",
        ),
    ]
}

fn ticket(entries: &[Entry]) -> Ticket<'_> {
    Ticket {
        subject: "My VPN drops every ten minutes",
        description: "Summary: the VPN of a laptop drops\nEscalation reason: low confidence\nTranscript excerpt:\nuser: hello",
        notes: None,
        entries,
    }
}

#[test]
fn a_summary_says_what_was_asked_found_and_what_solved_it() {
    let entries = vpn();
    let learnt = extract(&ticket(&entries));
    assert_eq!(learnt.asked, "My VPN drops every ten minutes. the VPN of a laptop drops");
    let solved: Vec<&str> = learnt.solved.iter().map(|p| p.text.as_str()).collect();
    assert_eq!(
        solved,
        [
            "Root cause: the MTU of the tunnel.",
            "Reduced it to 1300; the VPN is stable and works again."
        ]
    );
    assert!(
        learnt.found.iter().any(|p| p.text.contains("closes the tunnel")),
        "{:?}",
        learnt.found
    );
    assert_eq!(learnt.articles, ["KB0010042"]);
    assert!(learnt.words.contains(&"tunnel".to_owned()), "{:?}", learnt.words);
}

#[test]
fn closing_notes_come_first_and_each_passage_says_where_it_stands() {
    let entries = vpn();
    let notes = Some("Reduced the MTU to 1300 (CHG0030001).");
    let learnt = extract(&Ticket { notes, ..ticket(&entries) });
    assert_eq!(learnt.solved[0].source, Source::Column(mapping::attribute("close_notes")));
    assert_eq!(learnt.solved[1].source, Source::Entry(EntryOrigin::External("4".to_owned())));
    assert_eq!(learnt.tickets, ["CHG0030001"]);
}

#[test]
fn without_a_word_of_a_solution_the_last_word_counts() {
    let entries =
        [said("1", 1, "Printer jams on tray two."), said("2", 2, "Tray two took the wrong paper.")];
    let learnt = extract(&ticket(&entries));
    assert_eq!(learnt.solved[0].text, "Tray two took the wrong paper.");
    assert!(extract(&ticket(&[])).solved.is_empty());
}

#[test]
fn what_firn_wrote_itself_is_no_source() {
    let entries = [Entry {
        origin: EntryOrigin::Firn("evidence-1".to_owned()),
        ..said("1", 1, "This was fixed by Firn.")
    }];
    let learnt = extract(&ticket(&entries));
    assert!(learnt.solved.is_empty() && learnt.found.is_empty());
}

fn link() -> Link {
    let id = firn_model::IntegrationId::new("int-1").unwrap();
    let record = firn_model::PlatformId::new("s-1").unwrap();
    let mut link = Link::new(
        crate::identity::link_id(&id, &record, 1),
        id,
        record.clone(),
        crate::identity::correlation_key(&record, 1),
        mapping::incident(),
        Millis(0),
    );
    link.external = Some(firn_model::ExternalRecord {
        table: mapping::incident(),
        sys_id: firn_model::SysId::new("a1b2c3d4e5f60718293a4b5c6d7e8f90").unwrap(),
        number: Some("INC0010001".to_owned()),
        adopted: false,
    });
    link
}

fn columns(of: &[(&str, &str)]) -> BTreeMap<Attribute, Value> {
    of.iter().map(|(name, text)| (mapping::attribute(name), Value::text(*text))).collect()
}

#[test]
fn everything_that_is_kept_is_masked() {
    let rules = crate::sample::rules(Preset::Bot);
    let mut link = link();
    link.entries = vec![said(
        "1",
        1,
        "Fixed: reset the PIN of card 4111 1111 1111 1111, caller 415-555-0132 was told.",
    )];
    let read = columns(&[
        ("short_description", "Card 4111-1111-1111-1111 is refused"),
        ("description", "Summary: ann.lee@example.com cannot pay with 5500005555555559"),
        ("close_notes", "Unlocked 4111111111111111 because of a typo"),
        ("category", "4111111111111111"),
    ]);
    let (summary, _) = summarise(&rules, &link, &read, 2, Millis(7)).unwrap();
    let json =
        serde_json::to_string(&summary).unwrap() + last_note(&summary, 2, Millis(7)).text.text();
    for secret in
        ["4111 1111", "4111-1111", "411111111111", "5500005555555559", "415-555", "ann.lee"]
    {
        assert!(!json.contains(secret), "{secret}: {json}");
    }
    assert!(json.starts_with(r#"{"type":"CASE_SUMMARY","#) && summary.id.ends_with(".2"));
}

#[test]
fn what_is_cut_was_masked_as_a_whole() {
    let rules = crate::sample::rules(Preset::Bot);
    let mut link = link();
    // The word for it stands in the sentence before; a number stands where a passage is cut.
    let long = format!(
        "Fixed: {}4111 1111 1111 1111 was typed twice",
        "so it was and so it is, ".repeat(24)
    );
    link.entries = vec![
        said("1", 1, "Resolved. The SSN of the caller follows now.\n219099999 is on file."),
        said("2", 2, &long),
    ];
    let notes = format!("{} card 5500005555555559", "word ".repeat(115));
    let read = columns(&[("short_description", "x"), ("close_notes", &notes)]);
    let (summary, _) = summarise(&rules, &link, &read, 1, Millis(0)).unwrap();
    let json = serde_json::to_string(&summary).unwrap();
    for secret in ["219099999", "4111", "1111 11", "55000055"] {
        assert!(!json.contains(secret), "{secret}: {json}");
    }
}

#[test]
fn markup_of_the_platform_hides_nothing() {
    for (format, text) in [
        (firn_model::TextFormat::Markdown, r"Fixed: card 4111\-1111\-1111\-1111 was **unlocked**."),
        (
            firn_model::TextFormat::Html,
            "<p>Fixed: card 4111<b> 1111</b> 1111 1111 was unlocked.</p>",
        ),
        (firn_model::TextFormat::Plain, r"Fixed: card 4111\-1111\-1111\-1111 was unlocked."),
    ] {
        let mut integration = crate::sample::rules(Preset::Bot).integration().clone();
        integration.settings.journal.platform_format = format;
        let rules = crate::settings::compile(integration).unwrap();
        let mut link = link();
        let origin = EntryOrigin::Platform("c1".to_owned());
        link.entries = vec![Entry { origin, ..said("c1", 1, text) }];
        let (summary, _) = summarise(&rules, &link, &BTreeMap::new(), 1, Millis(0)).unwrap();
        let solved = &summary.solved[0].text;
        assert!(!solved.contains("4111") && solved.contains("unlocked"), "{format:?}: {solved}");
    }
}

#[test]
fn notes_of_firns_that_another_link_wrote_are_no_source() {
    let entries = [
        Entry {
            author: "firn".to_owned(),
            ..said("1", 1, "Solved before, and like it:\nINC1: x -> restarted it.")
        },
        said("2", 2, "Case summary (made by Firn of this ticket's own words)\nSolved: restarted."),
    ];
    let learnt = extract(&ticket(&entries));
    assert!(learnt.solved.is_empty() && learnt.found.is_empty(), "{learnt:?}");
}

#[test]
fn what_the_settings_write_on_closing_is_no_solution() {
    let rules = crate::sample::rules(Preset::Bot);
    let read = columns(&[("short_description", "x"), ("close_notes", "Resolved on the platform.")]);
    let (summary, _) = summarise(&rules, &link(), &read, 1, Millis(0)).unwrap();
    assert!(summary.solved.is_empty());
}

#[test]
fn like_cases_are_shown_only_where_it_is_wanted() {
    let mut rules = crate::sample::rules(Preset::Bot);
    let like = LikeCase {
        ticket: "INC1".to_owned(),
        asked: "VPN drops".to_owned(),
        solved: "MTU".to_owned(),
    };
    assert_eq!(show(&rules, &[]), None);
    let shown = show(&rules, std::slice::from_ref(&like)).unwrap();
    assert_eq!(shown, "Solved before, and like it:\nINC1: VPN drops -> MTU");
    let mut integration = rules.integration().clone();
    integration.settings.learning.show_like_cases = false;
    rules = crate::settings::compile(integration).unwrap();
    assert_eq!(show(&rules, &[like]), None);
}

proptest! {
    /// Whatever a ticket says: the summary has nothing that it did not say, and no more than there is room for.
    #[test]
    fn nothing_is_made_up(texts in prop::collection::vec(r"(\PC{0,40}[.!?\n ]?){0,6}", 0..8), subject in r"\PC{0,80}") {
        let entries: Vec<Entry> =
            texts.iter().zip(0..).map(|(text, n)| said(&n.to_string(), n, text)).collect();
        let learnt = extract(&Ticket { subject: &subject, description: "", notes: None, entries: &entries });
        prop_assert!(learnt.found.len() <= 5 && learnt.solved.len() <= 3);
        for passage in learnt.found.iter().chain(&learnt.solved) {
            let Source::Entry(EntryOrigin::External(id)) = &passage.source else { panic!() };
            let said = &texts[id.parse::<usize>().unwrap()];
            prop_assert!(said.contains(&passage.text), "{passage:?} of {said:?}");
        }
    }
}
