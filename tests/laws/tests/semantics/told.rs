//! What is told, masked and explained; what a reviewer found.

use firn_model::Operation;

use super::*;

// ---- explain -----------------------------------------------------------------------------------

#[test]
fn explain_says_why_each_value_is_what_it_is() {
    let mut world = plain();
    world.platform_edits("A", &[("title", "call +15550199888")]);
    world.agent_edits("A", "short_description", "theirs");
    let told = world.explain("A");
    let title = told["fields"].as_array().unwrap().iter().find(|f| f["field"] == "title").unwrap();
    assert_eq!(title["masked"], true);
    assert_eq!(title["next"], "nothing: both sides are as agreed");
    let history = title["history"].as_array().unwrap();
    assert!(
        history[0].as_str().unwrap().contains("because the side that had changed it may not"),
        "{history:?}"
    );
    assert!(history[1].as_str().unwrap().contains("because the record was new"));
    assert!(!told.to_string().contains("5550199888"), "no raw value");
}

// ---- findings ----------------------------------------------------------------------------------

#[test]
fn a_finding_that_was_seen_is_gone_until_it_is_found_again() {
    let mut world = plain();
    world.instance_hides("description");
    for record in ["A", "B"] {
        world.platform_edits(record, &[("description", "x")]);
    }
    let ids: Vec<String> =
        world.rows("finding").iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 2);
    let dismiss = |world: &mut Scenario, filter| {
        world.operate(Operation::Dismiss { integration: integration(), filter })
    };
    let named = |id: &str| FindingFilter { id: Some(id.to_owned()), ..FindingFilter::default() };
    assert_eq!(dismiss(&mut world, named("write-ignored.nobody.title")).0, 404);
    let (status, body) = dismiss(&mut world, named(&ids[0]));
    assert_eq!((status, body), (200, json!({ "dismissed": 1, "left": 0 })));
    assert_eq!(dismiss(&mut world, named(&ids[0])).0, 404);
    let other = FindingFilter { kind: Some(FindingKind::Conflict), ..FindingFilter::default() };
    assert_eq!(dismiss(&mut world, other).1["dismissed"], 0);
    let earlier = FindingFilter { before: Some(firn_model::Millis(0)), ..FindingFilter::default() };
    assert_eq!(dismiss(&mut world, earlier).1["dismissed"], 0);
    assert_eq!(world.findings(FindingKind::WriteIgnored).len(), 1);
    assert_eq!(dismiss(&mut world, FindingFilter::default()).1["dismissed"], 1);
    assert!(world.rows("finding").is_empty());
    let seen = world.audit().into_iter().filter(|line| line.event == "findings-dismissed").count();
    assert_eq!(seen, 2, "who did is in the audit");
    world.platform_edits("C", &[("description", "x")]);
    assert_eq!(world.findings(FindingKind::WriteIgnored).len(), 1, "what is found is told");
}

// ---- what a reviewer found ---------------------------------------------------------------------

#[test]
fn a_column_that_may_be_written_and_not_read_is_written_once() {
    let mut world = plain();
    world.instance_hides("description");
    world.deaf = true;
    world.platform_edits("A", &[("description", "x")]);
    let writes = world.writes();
    assert_eq!(world.column("A", "description"), "x");
    assert_eq!(world.findings(FindingKind::WriteIgnored).len(), 1);
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.writes(), writes);
}

#[test]
fn a_mirrored_ticket_that_was_taken_apart_stays_apart() {
    let mut world = incidents(json!({ "filters": { "mirror": "true" } }));
    let number = world.agent_opens("incident", &[("short_description", "theirs")]);
    let record = world.rows("link")[0]["platform_id"].as_str().unwrap().to_owned();
    world.agent_says(&number, "comments", "hello");
    world.unlink(&record);
    world.agent_edits(&number, "short_description", "changed");
    world.agent_says(&number, "comments", "anybody?");
    assert_eq!(world.field(&record, "title"), "theirs");
    assert_eq!(world.mirrored_to_platform(&record).len(), 1);
    assert!(world.link(&record).tombstone.is_some());
}

#[test]
fn markdown_does_not_hide_a_number_from_the_masker() {
    let mut world = incidents(json!({ "journal": { "platform_format": "markdown" },
        "fields": { "description": { "owner": "external", "platform_format": "markdown" } } }));
    world.platform_edits("A", &[]);
    world.agent_says("A", "comments", "call 415-555-0132 or ann.lee@example.com");
    let (text, _) = world.mirrored_to_platform("A").remove(0);
    assert!(!text.contains("555") && !text.contains("ann"), "{text}");
    world.agent_edits("A", "description", "call 415-555-0132");
    let audit = serde_json::to_string(&world.audit()).unwrap();
    assert!(!audit.contains("555"), "{audit}");
    assert!(!world.explain("A").to_string().contains("555"));
}

#[test]
fn who_is_at_rest_speaks_for_no_ticket() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    let number = world.column("A", "number");
    world.platform_edits_silently("B", &[("title", "b"), ("description", "")]);
    world.attach("B", &number);
    world.platform_says("B", "from B", "public");
    world.platform_deletes("A", 410, true);
    assert_eq!(world.link("B").role, Role::Primary);
    world.platform_edits("B", &[("title", "B speaks")]);
    assert_eq!(world.column(&number, "short_description"), "B speaks");
}

#[test]
fn entries_of_a_link_that_left_never_reach_the_others_customer() {
    let mut world = plain();
    world.platform_edits("A", &[]);
    let number = world.column("A", "number");
    world.platform_edits_silently("B", &[("title", "b"), ("description", "")]);
    world.attach("B", &number);
    world.platform_says("B", "private to B", "public");
    world.unlink("B");
    world.reconcile(RunMode::AutoHeal);
    assert!(world.mirrored_to_platform("A").is_empty());
}

#[test]
fn a_guard_holds_for_the_owner_too() {
    let mut world = incidents(
        json!({ "fields": { "status": { "guards": [{ "from": ["closed"], "only": "nobody" }] } } }),
    );
    world.platform_edits("A", &[]);
    world.agent_edits("A", "state", "7");
    assert_eq!(world.column("A", "state"), "7");
    world.platform_edits("A", &[("status", "mitigated")]);
    assert_eq!(world.column("A", "state"), "7", "nobody gets it out of closed");
    // Nor by attaching an open record to a closed ticket.
    let closed = world.agent_opens("incident", &[("state", "7")]);
    world.platform_edits_silently("B", &[("title", "b"), ("description", "")]);
    world.attach("B", &closed);
    assert_eq!(world.column(&closed, "state"), "7");
}

#[test]
fn a_platform_may_say_true_where_the_map_says_so() {
    let pairs = json!([{ "platform": "true", "external": ["1"] }, { "platform": "false", "external": ["0"] }]);
    let mut world = incidents(
        json!({ "fields": { "vip": { "kind": "choice", "column": "due_date", "owner": "platform", "pairs": pairs } } }),
    );
    let event = |id: &str, version: u64, vip: bool| json!({ "id": id, "type": "changed", "record": { "kind": "incident", "id": "A", "version": version, "partial": true, "fields": { "vip": vip } } });
    world.platform_edits("A", &[]);
    world.event(event("x1", 2, true));
    assert_eq!(world.column("A", "due_date"), "1");
    world.event(event("x2", 3, false));
    assert_eq!(world.column("A", "due_date"), "0");
    assert!(world.link("A").fields.values().all(|f| f.flips.is_empty()));
}

#[test]
fn what_servicenow_gave_can_be_given_anew_whatever_its_form() {
    let mut world = incidents(
        json!({ "fields": { "description": { "owner": "external", "platform_format": "html" } } }),
    );
    world.platform_edits("A", &[]);
    for text in ["Step 1.  Restart", "Step 1.  Restart\n    Step 2."] {
        world.agent_edits("A", "description", text);
        assert!(world.field("A", "description").contains("Restart"));
    }
    assert!(world.field("A", "description").contains("Step 2"));
    assert!(world.findings(FindingKind::MaskedEdit).is_empty());
}

/// A policy of the tenant's own decides by field, direction and use; what it does not name is
/// masked all the same.
#[test]
fn a_tenant_decides_what_is_masked_where() {
    let mut world = Scenario::new(json!({ "preset": "incidents",
        "journal": { "work_notes_to_platform": true },
        "masking": {
            "strategy": "redact",
            "rules": [
                { "types": ["EMAIL"], "fields": ["title"], "to": "external", "strategy": "keep" },
                { "types": ["BADGE"], "sinks": ["comment"], "strategy": "drop" },
            ],
            "patterns": [{ "name": "BADGE", "pattern": "B-[0-9]{5}" }],
            "words": [{ "name": "PROJECT", "words": ["Blue Falcon"] }],
        } }));
    let text = "ann@example.com of blue falcon, B-12345, call (415) 555-0132";
    world.platform_edits("A", &[("title", text), ("description", text)]);
    assert_eq!(
        world.column("A", "short_description"),
        "ann@example.com of [PROJECT], [BADGE], call [PHONE]"
    );
    assert_eq!(world.column("A", "description"), "[EMAIL] of [PROJECT], [BADGE], call [PHONE]");
    world.platform_says("A", text, "public");
    let ticket = world.ticket_of("A");
    let said = world.mirrored_to_servicenow(&ticket);
    assert_eq!(said[0].1, "[EMAIL] of [PROJECT], , call [PHONE]");
    world.agent_says("A", "comments", text);
    let heard = world.mirrored_to_platform("A");
    assert_eq!(heard[0].0, "[EMAIL] of [PROJECT], , call [PHONE]");
    // What is kept in the audit is masked, also where the field itself keeps it.
    for line in world.audit() {
        let line = serde_json::to_string(&line).unwrap();
        assert!(!line.contains("ann@example") && !line.contains("12345"), "{line}");
    }
    // The masked texts are in step with their sources: nothing more is written.
    let writes = world.writes();
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.writes(), writes);
    assert_eq!(world.field("A", "title"), text);
}

/// What an agent writes is masked before users of the platform see it, and neither side's original is
/// overwritten with what the other has made of it.
#[test]
fn a_ticket_is_masked_on_its_way_to_the_platform_too() {
    let mut world = incidents(json!({ "fields": { "title": { "owner": "shared" } } }));
    world.platform_edits("r1", &[("title", "Printer broken")]);
    let ticket = world.ticket_of("r1");
    world.agent_edits(&ticket, "short_description", "Printer broken, call 415-555-0132");
    assert_eq!(world.field("r1", "title"), "Printer broken, call ***-***-0132");
    let writes = world.writes();
    world.pass(3_600_000);
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.writes(), writes, "the masked copy is in step with its original");
    let told = world.explain("r1");
    let title = told["fields"].as_array().unwrap().iter().find(|f| f["field"] == "title").unwrap();
    assert_eq!(title["masked"], true);

    // A user edits the masked copy: the agent's number is not lost to it, and somebody is told.
    world.platform_edits("r1", &[("title", "Printer on fire, call ***-***-0132")]);
    assert_eq!(world.column(&ticket, "short_description"), "Printer broken, call 415-555-0132");
    assert_eq!(world.findings(FindingKind::MaskedEdit).len(), 1);

    // The agent changes the original: its copy follows.
    world.agent_edits(&ticket, "short_description", "Printer replaced");
    assert_eq!(world.field("r1", "title"), "Printer replaced");
    world.platform_edits("r1", &[("title", "Printer works")]);
    assert_eq!(world.column(&ticket, "short_description"), "Printer works");
}

/// What a user added and the other side has never seen is no original of what stands there: an
/// owner's value goes back over it.
#[test]
fn a_number_in_a_foreign_field_does_not_keep_its_owner_out() {
    let mut world = incidents(json!({ "fields": { "title": { "owner": "platform" } } }));
    world.platform_edits("r1", &[("title", "Printer broken")]);
    let ticket = world.ticket_of("r1");
    world.agent_edits(&ticket, "short_description", "call 415-555-0132");
    assert_eq!(world.column(&ticket, "short_description"), "Printer broken");
    assert_eq!(world.field("r1", "title"), "Printer broken");
}

/// A tenant's tokens: the same value has the same token in every field and comment, however it is
/// written, and another one for another tenant.
#[test]
fn the_same_value_has_the_same_token() {
    let token_of = |text: &str| {
        let from = text.find("[PHONE:").unwrap_or_else(|| panic!("no token in {text:?}"));
        text[from..=from + text[from..].find(']').unwrap()].to_owned()
    };
    let mut world = incidents(json!({ "masking": { "strategy": "token" } }));
    world.platform_edits(
        "r1",
        &[("title", "call (415) 555-0132"), ("description", "or +1 415 555 0132")],
    );
    let ticket = world.ticket_of("r1");
    let title = token_of(&world.column(&ticket, "short_description"));
    assert_eq!(token_of(&world.column(&ticket, "description")), title);
    world.platform_says("r1", "I said 415.555.0132", "public");
    let said = world.mirrored_to_servicenow(&ticket);
    assert_eq!(token_of(&said[0].1), title);
    world.platform_edits("r1", &[("description", "call 415-555-0133")]);
    assert_ne!(token_of(&world.column(&ticket, "description")), title);
    // In step: nothing more is written.
    let writes = world.writes();
    world.pass(3_600_000);
    world.reconcile(RunMode::AutoHeal);
    assert_eq!(world.writes(), writes);
    // What is kept tells tokens, not values.
    let audit = serde_json::to_string(&world.audit()).unwrap();
    assert!(audit.contains(&title) && !audit.contains("555"), "{audit}");
}

/// A template that fails on one entry loses no entry, and somebody is told.
#[test]
fn a_template_that_cannot_be_rendered_is_told_and_the_entry_goes_without_it() {
    let mut world =
        incidents(json!({ "journal": { "template": "{{ author | int }}: {{ text }}" } }));
    world.platform_edits("A", &[]);
    world.platform_says("A", "hello", "public");
    assert_eq!(world.mirrored_to_servicenow(&world.ticket_of("A"))[0].1, "hello");
    let told = world.findings(FindingKind::TemplateFailed);
    assert!(told[0].text.contains("journal.template"), "{}", told[0].text);
}

/// A person who decides for one side is obeyed, also where that side's text was masked on its way.
#[test]
fn a_persons_decision_goes_over_an_original_too() {
    let mut world = incidents(
        json!({ "strategy": "manual-review", "fields": { "title": { "owner": "shared" } } }),
    );
    world.platform_edits("A", &[("title", "t")]);
    let ticket = world.ticket_of("A");
    world.agent_edits(&ticket, "short_description", "call 415-555-0132");
    assert_eq!(world.field("A", "title"), "call ***-***-0132");
    world.platform_edits_silently("A", &[("title", "ours")]);
    world.agent_edits(&ticket, "short_description", "call 415-555-0132 soon");
    let id = world.rows("conflict")[0]["id"].as_str().unwrap().to_owned();
    let integration = world.id();
    world.operate(firn_model::Operation::Resolve {
        integration,
        conflict: firn_model::ConflictId::new(id).unwrap(),
        resolution: firn_model::Resolution::UsePlatform,
    });
    assert_eq!(world.column(&ticket, "short_description"), "ours");
}

/// Masking that is switched on later protects what leaves from then on; it does not freeze what both
/// sides have in the clear already.
#[test]
fn masking_that_is_switched_on_later_freezes_nothing() {
    let document = |mask: bool| {
        json!({ "slug": "a", "preset": "incidents",
            "platform": { "callback_url": "https://platform.example/callback", "read_url": "https://platform.example/records/{id}" },
            "base_url": "https://example.service-now.com", "request_timeout": 1_000,
            "correlation": { "transaction_limit": 4_000 },
            "fields": { "title": { "owner": "shared", "mask": mask } } })
    };
    let mut world = Scenario::new(document(false));
    world.platform_edits("A", &[("title", "call 415-555-0132")]);
    let ticket = world.ticket_of("A");
    assert_eq!(world.column(&ticket, "short_description"), "call 415-555-0132");
    let id = world.id();
    let intent = firn_model::Intent::Act;
    let (status, said) =
        world.operate(firn_model::Operation::Apply { id, document: document(true), intent });
    assert!(status < 300, "{said}");
    world.platform_edits("A", &[("title", "call 415-555-0132 now")]);
    assert_eq!(world.column(&ticket, "short_description"), "call ***-***-0132 now");
    assert!(world.findings(FindingKind::MaskedEdit).is_empty());
}
