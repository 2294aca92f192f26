//! Escalations: a platform's wish for a ticket, as seeds 002 (Genesys, both forms) and 000 (the
//! bot) send them, and what the ticket is to contain.

use std::collections::BTreeMap;

use firn_model::{
    Attribute, Cause, Decision, Draft, Entry, EntryOrigin, JournalText, Link, Millis, Mirror,
    PlatformId, Preset, Shape, Side, TableName, Value, WorkNote,
};
use serde_json::{Map, Value as Json};

use crate::mapping::{self, attribute};
use crate::settings::{Gate, Rules};
use crate::{identity, intake, json, learning};

/// What an escalation asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Escalation {
    /// A ticket.
    Ticket(Box<Ticket>),
    /// Nothing: a filter excludes it. The reason.
    Filtered(String),
}

/// A ticket to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The conversation or call.
    pub record: PlatformId,
    /// The kind of ticket.
    pub table: TableName,
    /// Columns, masked.
    pub draft: Draft,
    /// The evidence pack, as a work note.
    pub evidence: Option<Entry>,
}

impl Ticket {
    /// The ticket with more in its evidence. It is the same evidence as without.
    #[must_use]
    pub fn beside(mut self, more: Option<String>, now: Millis) -> Ticket {
        let Some(more) = more else { return self };
        match &mut self.evidence {
            Some(entry) => {
                let text = format!("{}\n{more}", entry.text.text());
                entry.text = entry.text.with_text(text);
            }
            None => {
                self.evidence = evidence(self.record.as_str(), &[more], &self.draft.set, now);
            }
        }
        self
    }
}

impl Ticket {
    /// What is said of a ticket that is there already: the evidence, and what the ticket would have said.
    #[must_use]
    pub fn said_again(self) -> Option<Entry> {
        let mut entry = self.evidence?;
        let said = |column| self.draft.set.get(&attribute(column)).map(Value::to_text);
        let said: Vec<String> =
            ["short_description", "description"].into_iter().filter_map(said).collect();
        let note = entry.text.text();
        let own = learning::without_cases(note);
        let cases = &note[own.len()..];
        let text = format!("{}\n{AGAIN}{}\n{cases}", own.trim_end(), said.join("\n"));
        entry.text = entry.text.with_text(text.trim_end().to_owned());
        Some(entry)
    }
}

/// How it begins what the ticket would have said.
const AGAIN: &str = "Asked once more: ";

/// Whether two evidences are the same one. Of one that another ticket began with, or that was asked for when there was a
/// ticket already, the one says more than the other.
pub(crate) fn is_same_evidence(one: &JournalText, other: &JournalText) -> bool {
    let parts = |text: &str| match learning::without_cases(text).split_once(AGAIN) {
        Some((note, said)) => (note.trim_end().to_owned(), Some(said.trim_end().to_owned())),
        None => (learning::without_cases(text).trim_end().to_owned(), None),
    };
    let ((note, said), (other_note, other_said)) = (parts(one.text()), parts(other.text()));
    let note = one.with_text(note);
    note.says_the_same(&other.with_text(other_note))
        && match (said, other_said) {
            (Some(said), Some(other_said)) => {
                one.with_text(said).says_the_same(&one.with_text(other_said))
            }
            _ => true,
        }
}

/// Where a link's ticket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Open, or not known to be otherwise.
    Open,
    /// Resolved: ServiceNow lets it be opened again.
    Resolved,
    /// Closed, for good.
    Closed,
    /// Canceled: closed, and nothing was solved by it.
    Canceled,
    /// Deleted, or taken apart by a person.
    Ended,
}

/// Where a link's ticket stands, as last seen.
#[must_use]
pub fn standing(rules: &Rules, link: &Link) -> Standing {
    if link.tombstone.is_some() {
        return Standing::Ended;
    }
    let lifecycle = rules.lifecycle();
    let word = rules.field(&link.table, &lifecycle.field).and_then(|field| {
        let shape = link.fields.get(&lifecycle.field)?.shape(Side::External)?;
        mapping::word(field, Side::External, shape)
    });
    let is = |values: &[String]| word.as_ref().is_some_and(|w| values.contains(w));
    if is(&lifecycle.closed) {
        Standing::Closed
    } else if is(&lifecycle.canceled) {
        Standing::Canceled
    } else if is(&lifecycle.resolved) {
        Standing::Resolved
    } else {
        Standing::Open
    }
}

/// Lets a resolved ticket be opened again, whoever owns its status.
pub fn reopen(rules: &Rules, link: &mut Link) {
    let lifecycle = rules.lifecycle();
    let Some(field) = rules.field(&link.table, &lifecycle.field) else { return };
    let Some(attribute) = mapping::platform_attribute(field) else { return };
    let state = link.fields.entry(lifecycle.field.clone()).or_default();
    state.parked = None;
    state.decision = Some(Decision {
        platform: Shape::one(attribute, Value::text(lifecycle.open.clone())),
        seen: (state.shape(Side::Platform).cloned(), state.shape(Side::External).cloned()),
        by: "escalation".to_owned(),
        cause: Cause::Reopen,
    });
}

/// Reads an escalation of the integration's preset.
///
/// # Errors
/// What is missing, null or unsubstituted, in a sentence. The payload belongs into quarantine.
pub fn read(rules: &Rules, body: &str, now: Millis) -> Result<Escalation, String> {
    let payload = json::object(body)?;
    unsubstituted(&Json::Object(payload.clone()), "")?;
    let context = serde_json::json!({ "payload": payload });
    match rules.lets_in(Gate::Escalations, &context) {
        Ok(true) => {}
        Ok(false) => {
            let filter = rules.settings().filters.escalations.clone().unwrap_or_default();
            let why = format!("filters.escalations excludes it: {filter}");
            return Ok(Escalation::Filtered(why));
        }
        Err(why) => return Err(format!("filters.escalations cannot be evaluated on it: {why}")),
    }
    let table = rules.table_for(&context);
    match rules.settings().preset {
        Preset::Genesys => genesys(rules, table, &payload, now),
        Preset::Bot => bot(rules, table, &payload, now),
        Preset::Incidents | Preset::Neo | Preset::Helpdesk | Preset::Crm | Preset::Content => Err(
            "this integration takes events, not escalations (so its preset says); post to /events"
                .to_owned(),
        ),
    }
}

/// What people say. It may well talk about ${variables}.
const FREE_TEXT: [&str; 4] = ["question", "summary", "why_refused", "conversationText"];

/// `${call.id}` that nobody replaced means that the flow had no such value. The value is not named: a person
/// may have said the rest of it.
fn unsubstituted(value: &Json, at: &str) -> Result<(), String> {
    match value {
        Json::String(text) => {
            let is_free = FREE_TEXT.contains(&at);
            let text = text.trim();
            let begins =
                if is_free { text.starts_with("${").then_some(0) } else { text.find("${") };
            let ends = begins.and_then(|i| Some(i + text.get(i..)?.find('}')? + 1));
            match ends {
                Some(end) if !is_free || end == text.len() => Err(format!(
                    "{at} holds an unsubstituted variable (${{...}}); the flow had no value for it"
                )),
                _ => Ok(()),
            }
        }
        Json::Object(map) => map.iter().try_for_each(|(name, value)| {
            let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            unsubstituted(value, &at)
        }),
        // Free text of a transcript may well talk about ${variables}.
        _ => Ok(()),
    }
}

fn text<'a>(payload: &'a Map<String, Json>, name: &str) -> Option<&'a str> {
    payload.get(name).and_then(Json::as_str).map(str::trim).filter(|t| !t.is_empty())
}

fn needed<'a>(payload: &'a Map<String, Json>, name: &str) -> Result<&'a str, String> {
    text(payload, name).ok_or_else(|| match payload.get(name) {
        None => format!("{name} is missing"),
        Some(Json::Null) => format!("{name} is null"),
        Some(_) => format!("{name} must be a text that is not empty"),
    })
}

fn record_id(payload: &Map<String, Json>, name: &str) -> Result<PlatformId, String> {
    PlatformId::new(needed(payload, name)?)
        .map_err(|_| format!("{name} must be 1 to 256 bytes without control characters"))
}

/// Impact and urgency from a word for priority, as a record's severity is written.
fn priority(word: Option<&str>, set: &mut BTreeMap<Attribute, Value>) -> Result<(), String> {
    let Some(word) = word else { return Ok(()) };
    let pairs = mapping::severities();
    let Some(pair) = pairs.into_iter().find(|pair| word.eq_ignore_ascii_case(&pair.platform))
    else {
        return Err("priority is none of Critical, High, Medium, Low".to_owned());
    };
    set.extend(pair.writes.into_iter().map(|(column, level)| (column, Value::text(level))));
    Ok(())
}

fn put(rules: &Rules, set: &mut BTreeMap<Attribute, Value>, column: &str, value: &str, max: usize) {
    if !value.is_empty() {
        let masked = rules.masks().draft(column, value);
        set.insert(attribute(column), Value::text(mapping::cut(masked, max)));
    }
}

/// How the id of an entry begins that is an escalation's evidence.
const EVIDENCE: &str = "evidence-";

/// Whether an entry of Firn's own is what an escalation brought.
#[must_use]
pub fn is_evidence(id: &str) -> bool {
    id.starts_with(EVIDENCE)
}

fn evidence(
    id: &str,
    lines: &[String],
    set: &BTreeMap<Attribute, Value>,
    now: Millis,
) -> Option<Entry> {
    let set: Vec<String> = set.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    (!lines.is_empty()).then(|| Entry {
        // The same evidence for the same is the same entry; other evidence for the same ticket is not.
        origin: EntryOrigin::Firn(format!(
            "{EVIDENCE}{}",
            identity::short(&[id, &lines.join("\n"), &set.join("\n")])
        )),
        text: JournalText::WorkNote(WorkNote(lines.join("\n"))),
        author: "firn".to_owned(),
        at: now,
        mirror: Mirror::Pending,
    })
}

/// Seed 002: a call. The Event Bus form has `startTime` and `endTime`, the Architect form
/// `ticketPriority`; both are read by the same rules.
fn genesys(
    rules: &Rules,
    table: TableName,
    payload: &Map<String, Json>,
    now: Millis,
) -> Result<Escalation, String> {
    let record = record_id(payload, "callId")?;
    let reason = needed(payload, "escalationReason")?;
    for name in ["startTime", "endTime"] {
        let value = text(payload, name);
        if value.is_some() && intake::instant(value).is_none() {
            return Err(format!("{name} is not an RFC 3339 time"));
        }
    }
    let queue = text(payload, "queueName");
    let mut set = BTreeMap::new();
    let subject = format!(
        "{} call escalated from {}: {reason}",
        text(payload, "direction").unwrap_or("inbound"),
        queue.unwrap_or("an unnamed queue"),
    );
    put(rules, &mut set, "short_description", &subject, 160);
    let mut lines = vec![format!("Call {record} was escalated ({reason}).")];
    for (label, name) in [
        ("Queue", "queueName"),
        ("Direction", "direction"),
        ("Started", "startTime"),
        ("Ended", "endTime"),
        ("Caller phone", "customerPhone"),
        ("Transcript", "conversationText"),
    ] {
        if let Some(value) = text(payload, name) {
            lines.push(format!("{label}: {value}"));
        }
    }
    put(rules, &mut set, "description", &lines.join("\n"), 4000);
    priority(text(payload, "ticketPriority"), &mut set)?;
    let mut notes = vec![format!("Escalated by Genesys Cloud: {reason}")];
    if let Some(agent) = text(payload, "agentUserId") {
        notes.push(format!("Agent: {agent}"));
    }
    let evidence = evidence(record.as_str(), &notes, &set, now);
    Ok(Escalation::Ticket(Box::new(Ticket {
        record,
        table,
        draft: draft(rules, set, payload),
        evidence,
    })))
}

/// Seed 000: a conversation. Firn defines this shape; it is published as a JSON Schema.
fn bot(
    rules: &Rules,
    table: TableName,
    payload: &Map<String, Json>,
    now: Millis,
) -> Result<Escalation, String> {
    let record = record_id(payload, "session_id")?;
    let question = needed(payload, "question")?;
    let reason = needed(payload, "escalation_reason")?;
    let mut set = BTreeMap::new();
    put(rules, &mut set, "short_description", question, 160);
    let mut lines = Vec::new();
    if let Some(summary) = text(payload, "summary") {
        lines.push(format!("Summary: {summary}"));
    }
    lines.push(format!("Escalation reason: {reason}"));
    let transcript = list(payload, "transcript");
    if !transcript.is_empty() {
        lines.push("Transcript excerpt:".to_owned());
        lines.extend(transcript.iter().rev().take(20).rev().map(|turn| {
            let part = |name: &str| turn.get(name).and_then(Json::as_str).unwrap_or_default();
            format!("{}: {}", part("role"), part("text"))
        }));
    }
    put(rules, &mut set, "description", &lines.join("\n"), 4000);
    let tags: Vec<String> =
        list(payload, "tags").iter().filter_map(Json::as_str).map(str::to_lowercase).collect();
    let category = tags.iter().find_map(|tag| {
        let words = rules.settings().categories.get(tag);
        words.or_else(|| {
            tag.split_whitespace().find_map(|word| rules.settings().categories.get(word))
        })
    });
    if let Some((category, subcategory)) = category {
        put(rules, &mut set, "category", category, 40);
        put(rules, &mut set, "subcategory", subcategory, 40);
    }
    priority(text(payload, "priority"), &mut set)?;
    let mut notes = vec![format!("Escalated by the bot: {reason}")];
    if let Some(why) = text(payload, "why_refused") {
        notes.push(format!("Why refused: {why}"));
    }
    if !tags.is_empty() {
        notes.push(format!("Tags: {}", tags.join(", ")));
    }
    for item in list(payload, "evidence") {
        let part = |name: &str| item.get(name).and_then(Json::as_str).unwrap_or_default();
        let line = item
            .as_str()
            .map_or_else(|| format!("{} {}", part("title"), part("url")), str::to_owned);
        notes.push(format!("Evidence: {}", line.trim()));
    }
    let evidence = evidence(record.as_str(), &notes, &set, now);
    Ok(Escalation::Ticket(Box::new(Ticket {
        record,
        table,
        draft: draft(rules, set, payload),
        evidence,
    })))
}

/// What the ticket is to contain, with the payload as long as rules have to be asked about it.
fn draft(rules: &Rules, set: BTreeMap<Attribute, Value>, payload: &Map<String, Json>) -> Draft {
    let text = || for_rules(rules, payload);
    let payload = (!rules.beginning().is_over()).then(text);
    Draft { set, payload, ..Draft::default() }
}

/// An escalation as rules may see it: masked, and JSON still.
pub(crate) fn for_rules(rules: &Rules, payload: &Map<String, Json>) -> String {
    // Leaf by leaf: the whole as one text would lose its quotes where something is masked.
    fn masked(rules: &Rules, value: &mut Json) {
        match value {
            Json::String(text) => *text = rules.masks().shown(text),
            Json::Number(number) => {
                let text = number.to_string();
                let shown = rules.masks().shown(&text);
                if shown != text {
                    *value = Json::String(shown);
                }
            }
            Json::Array(list) => list.iter_mut().for_each(|value| masked(rules, value)),
            Json::Object(map) => map.values_mut().for_each(|value| masked(rules, value)),
            Json::Null | Json::Bool(_) => {}
        }
    }
    let mut payload = Json::Object(payload.clone());
    masked(rules, &mut payload);
    payload.to_string()
}

fn list<'a>(payload: &'a Map<String, Json>, name: &str) -> &'a [Json] {
    payload.get(name).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::rules;

    const EVENT_BUS: &str = r#"{ "callId": "00000000-0000-0000-0000-000000000000",
      "startTime": "2023-10-27T14:30:00.000Z", "endTime": "2023-10-27T14:35:00.000Z",
      "direction": "inbound", "queueName": "IT_Support_Hotline", "agentUserId": "admin_user_01",
      "escalationReason": "IVR_TIMEOUT_EXCEEDED", "customerPhone": "+15550199888" }"#;

    fn ticket(preset: Preset, body: &str) -> Ticket {
        match read(&rules(preset), body, Millis(0)).unwrap() {
            Escalation::Ticket(ticket) => *ticket,
            Escalation::Filtered(why) => panic!("{why}"),
        }
    }

    #[test]
    fn the_genesys_payload_becomes_a_masked_ticket() {
        let ticket = ticket(Preset::Genesys, EVENT_BUS);
        let description = ticket.draft.set[&attribute("description")].to_text();
        assert!(description.contains("***-***-9888"), "{description}");
        assert!(!description.contains("5550199888"));
        assert_eq!(ticket.record.as_str(), "00000000-0000-0000-0000-000000000000");
    }

    #[test]
    fn the_architect_form_sets_impact_and_urgency() {
        let body =
            EVENT_BUS.replace(r#""agentUserId""#, r#""ticketPriority": "High", "agentUserId""#);
        let ticket = ticket(Preset::Genesys, &body);
        assert_eq!(ticket.draft.set[&attribute("impact")], Value::text("2"));
        assert_eq!(ticket.draft.set[&attribute("urgency")], Value::text("1"));
    }

    #[test]
    fn every_row_of_seed_002s_payload_has_its_place() {
        let body = EVENT_BUS.replace(
            r#""agentUserId""#,
            r#""conversationText": "My SSN is 219-09-9999", "agentUserId""#,
        );
        let Ticket { record, draft, evidence, .. } = ticket(Preset::Genesys, &body);
        let column = |name: &str| draft.set[&attribute(name)].to_text();
        assert_eq!(record.as_str(), "00000000-0000-0000-0000-000000000000");
        assert_eq!(
            column("short_description"),
            "inbound call escalated from IT_Support_Hotline: IVR_TIMEOUT_EXCEEDED"
        );
        let description = column("description");
        for line in [
            "Call 00000000-0000-0000-0000-000000000000 was escalated (IVR_TIMEOUT_EXCEEDED).",
            "Queue: IT_Support_Hotline",
            "Direction: inbound",
            "Started: 2023-10-27T14:30:00.000Z",
            "Ended: 2023-10-27T14:35:00.000Z",
            "Caller phone: ***-***-9888",
            "Transcript: My SSN is ***-**-****",
        ] {
            assert!(description.lines().any(|shown| shown == line), "{line:?} in {description:?}");
        }
        let JournalText::WorkNote(WorkNote(note)) = evidence.unwrap().text else { panic!() };
        assert_eq!(note, "Escalated by Genesys Cloud: IVR_TIMEOUT_EXCEEDED\nAgent: admin_user_01");
        for (word, impact, urgency) in
            [("Critical", "1", "1"), ("High", "2", "1"), ("Medium", "2", "2"), ("Low", "3", "2")]
        {
            let priority = format!(r#""ticketPriority": "{word}", "agentUserId""#);
            let set =
                ticket(Preset::Genesys, &body.replace(r#""agentUserId""#, &priority)).draft.set;
            let levels = [&set[&attribute("impact")], &set[&attribute("urgency")]];
            assert_eq!(levels, [&Value::text(impact), &Value::text(urgency)], "{word}");
        }
    }

    #[test]
    fn every_row_of_seed_000s_payload_has_its_place() {
        let of = |tag: &str| {
            let body = serde_json::json!({ "session_id": "session-7", "question": "Why?",
                "summary": "It drops.", "escalation_reason": "low confidence", "tags": [tag],
                "transcript": [{ "role": "user", "text": "it drops" }, { "role": "bot", "text": "since when?" }],
                "why_refused": "no article matched",
                "evidence": [{ "title": "KB0010001", "url": "https://kb.example/1" }, "seen twice"] });
            ticket(Preset::Bot, &body.to_string())
        };
        let Ticket { record, draft, evidence, .. } = of("vpn");
        assert_eq!(record.as_str(), "session-7");
        assert_eq!(draft.set[&attribute("short_description")], Value::text("Why?"));
        assert_eq!(
            draft.set[&attribute("description")].to_text(),
            "Summary: It drops.\nEscalation reason: low confidence\nTranscript excerpt:\nuser: it drops\nbot: since when?"
        );
        let JournalText::WorkNote(WorkNote(note)) = evidence.unwrap().text else { panic!() };
        assert_eq!(
            note,
            "Escalated by the bot: low confidence\nWhy refused: no article matched\nTags: vpn\nEvidence: KB0010001 https://kb.example/1\nEvidence: seen twice"
        );
        for (tag, category, subcategory) in [
            ("vpn", "network", "vpn"),
            ("wifi", "network", "wireless"),
            ("network", "network", ""),
            ("email", "software", "email"),
            ("software", "software", ""),
            ("printer", "hardware", ""),
            ("laptop", "hardware", ""),
            ("hardware", "hardware", ""),
            ("password", "inquiry", "password reset"),
            ("database", "database", ""),
            ("Office printer", "hardware", ""),
            ("something else", "", ""),
        ] {
            let set = of(tag).draft.set;
            let shown =
                |name: &str| set.get(&attribute(name)).map(Value::to_text).unwrap_or_default();
            assert_eq!(
                (shown("category").as_str(), shown("subcategory").as_str()),
                (category, subcategory),
                "{tag}"
            );
        }
    }

    #[test]
    fn rules_see_an_escalation_masked_and_as_json() {
        let body = serde_json::json!({ "said": "she said \"pay\" with\n4111 1111 1111 1111 \\ now",
            "card": 4_111_111_111_111_111_u64, "all": [{ "phone": "+1 415 555 0132" }], "n": 3 });
        let shown = for_rules(&rules(Preset::Bot), body.as_object().unwrap());
        let read: Json = serde_json::from_str(&shown).unwrap();
        assert_eq!(read["n"], 3);
        assert!(read["said"].as_str().unwrap().starts_with("she said \"pay\""), "{shown}");
        assert!(!shown.contains("4111") && !shown.contains("555 0132"), "{shown}");
    }

    #[test]
    fn what_a_flow_did_not_fill_in_is_named() {
        for (from, to, why) in [
            ("00000000-0000-0000-0000-000000000000", "${call.id}", "callId"),
            (r#""callId": "00000000-0000-0000-0000-000000000000","#, "", "callId is missing"),
            (r#""00000000-0000-0000-0000-000000000000""#, "null", "callId is null"),
            ("2023-10-27T14:30:00.000Z", "yesterday", "startTime"),
            ("+15550199888", "${contact.phoneNumber}", "customerPhone"),
        ] {
            let error =
                read(&rules(Preset::Genesys), &EVENT_BUS.replace(from, to), Millis(0)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_bots_tags_choose_the_category_and_its_evidence_stays_internal() {
        let body = r#"{ "session_id": "session-7", "question": "My VPN drops every ten minutes",
          "summary": "VPN drops; card 4111 1111 1111 1111 was read out", "escalation_reason": "low confidence",
          "tags": ["vpn", "laptop"], "why_refused": "no article matched", "priority": "High",
          "transcript": [{"role":"user","text":"it drops"}], "evidence": [{"title":"KB0010001","url":"https://kb.example/1"}] }"#;
        let ticket = ticket(Preset::Bot, body);
        assert_eq!(ticket.draft.set[&attribute("category")], Value::text("network"));
        assert_eq!(ticket.draft.set[&attribute("subcategory")], Value::text("vpn"));
        assert_eq!(
            ticket.draft.set[&attribute("short_description")],
            Value::text("My VPN drops every ten minutes")
        );
        assert!(!ticket.draft.set[&attribute("description")].to_text().contains("4111"));
        let note = ticket.evidence.unwrap().text;
        assert!(
            matches!(&note, JournalText::WorkNote(WorkNote(t)) if t.contains("no article matched"))
        );
    }
}
