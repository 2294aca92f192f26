//! Preview: what a payload that came in is read as, and what each field of it would be on the other side.
//! It asks the same functions as `plan`, about one payload alone: whose value wins is not told here
//! (`explain` does), and nothing is changed.

use std::collections::BTreeMap;

use firn_model::rule::{Admission, Answer, Question, Said, Verdict};
use firn_model::{
    Draft, FieldName, InboundKind, Inquiry, Link, Millis, ObservedRecord, PlatformId, Presence,
    Seen, Side, TableName,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::escalation::{self, Escalation};
use crate::mapping::{self, Reading, Untranslatable};
use crate::plan::{begins_with, has_word, judge, mask_shape, subject, word};
use crate::settings::{Gate, Rules};
use crate::{identity, intake, json};

/// What a payload is read as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// What becomes of it, in a few words.
    pub outcome: String,
    /// Its fields: what the payload shows, and what that is on the other side. Both masked.
    pub fields: BTreeMap<FieldName, Shown>,
}

/// One field of a payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// As the payload shows it.
    pub seen: String,
    /// As the other side would be given it, or why not.
    pub becomes: String,
}

/// Reads a payload under settings. What is shown is masked by `masks`, the rules in force: settings that are
/// only tried unmask nothing.
#[must_use]
pub fn preview(rules: &Rules, masks: &Rules, kind: InboundKind, body: &str) -> Preview {
    let only = |outcome: String| Preview { outcome, fields: BTreeMap::new() };
    let gate = match kind {
        InboundKind::Webhook => Gate::Webhooks,
        InboundKind::PlatformEvent => Gate::Events,
        InboundKind::Escalation => Gate::Escalations,
    };
    if rules.has_filter(gate) {
        let payload = match json::object(body) {
            Ok(payload) => Json::Object(payload),
            Err(why) => return only(format!("it cannot be read: {why}")),
        };
        match rules.lets_in(gate, &json!({ "payload": payload })) {
            Ok(true) => {}
            Ok(false) => return only("a filter excludes it".to_owned()),
            Err(_) => return only("a filter cannot be evaluated on it".to_owned()),
        }
    }
    let read = match kind {
        InboundKind::Webhook => intake::servicenow(rules, body).map(|seen| {
            let class = seen.record.class.clone().and_then(|class| TableName::new(class).ok());
            let table = class.or_else(|| rules.tables().next().cloned());
            (Side::External, table, seen.record)
        }),
        InboundKind::PlatformEvent => intake::platform(rules, body)
            .map(|event| (Side::Platform, Some(event.table), event.observation.record)),
        InboundKind::Escalation => return only("escalations are read as they come".to_owned()),
    };
    match read {
        Ok((_, None, _)) => only("no kind of ticket is its".to_owned()),
        Ok((_, Some(table), _)) if !rules.takes(&table) => {
            only(format!("{table} is no kind of ticket of these settings"))
        }
        Ok((_, _, record)) if record.presence == Presence::Deleted => {
            only("the record was deleted".to_owned())
        }
        Ok((side, Some(table), record)) => Preview {
            outcome: format!("read as {table}"),
            fields: fields(rules, masks, side, &table, &record),
        },
        Err(why) => only(format!("it cannot be read: {why}")),
    }
}

/// What a tenant's rules would be asked about a payload: every question that it can lead to, whichever hooks
/// the rules in force have. Of a pair that was there before, `link` tells what is known; of a new one nothing is but
/// what the payload shows. Which of its values were new then is not known any more: it is all of them that are asked
/// about.
///
/// # Errors
/// Why it leads to no question, in a few words.
pub fn inquiry(
    rules: &Rules,
    link: Option<&Link>,
    kind: InboundKind,
    body: &str,
    now: Millis,
) -> Result<Inquiry, String> {
    pair(rules, link, kind, body, now).map(|(_, inquiry)| inquiry)
}

/// What would come of what rules say to an [`inquiry`], question by question; of what would not be taken, why.
///
/// # Errors
/// As for [`inquiry`].
pub fn judged(
    rules: &Rules,
    link: Option<&Link>,
    kind: InboundKind,
    body: &str,
    now: Millis,
    answers: &[Answer],
) -> Result<Vec<Result<String, String>>, String> {
    let (link, inquiry) = pair(rules, link, kind, body, now)?;
    let judged = inquiry.questions.iter().zip(answers).map(|(question, answer)| {
        judge(rules, link.clone(), question, answer, now)?;
        Ok(match answer {
            Answer::Said(said) => rules.masks().shown(&described(question, said)),
            // Nobody is asked.
            Answer::Failed(_) | Answer::Resting(_) | Answer::Later(_) => {
                rules.masks().shown(&without(question))
            }
        })
    });
    Ok(judged.collect())
}

/// What is so without rules, in words.
fn without(question: &Question) -> String {
    match question {
        Question::Admit => "kept in step".to_owned(),
        Question::Classify { .. } | Question::Conflict { .. } | Question::Summary { .. } => {
            "as the settings have it".to_owned()
        }
        Question::Draft { .. } => "as it is".to_owned(),
        Question::Value { value, .. } => value.clone(),
    }
}

/// What rules say, in words.
fn described(question: &Question, said: &Said) -> String {
    let set = |columns: &BTreeMap<String, String>| {
        let one = |(column, value): (&String, &String)| format!("{column} = {value:?}");
        columns.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    match (said, question) {
        (Said::Admit(Admission::Yes), _) => "kept in step".to_owned(),
        (Said::Admit(Admission::No(why)), _) => format!("not kept in step: {why}"),
        (Said::Classify(class), _) => {
            let class = serde_json::to_value(class).ok();
            let columns: BTreeMap<String, String> =
                class.and_then(|class| serde_json::from_value(class).ok()).unwrap_or_default();
            if columns.is_empty() { "as the settings have it".to_owned() } else { set(&columns) }
        }
        (Said::Draft(columns), _) if columns.is_empty() => "as it is".to_owned(),
        (Said::Draft(columns), _) => set(columns),
        (Said::Value(Verdict::Keep), Question::Value { value, .. }) => value.clone(),
        (Said::Value(Verdict::Keep), _) => "as it is".to_owned(),
        (Said::Value(Verdict::Instead(value)), _) => value.clone(),
        (Said::Value(Verdict::Withhold(why)), _) => format!("withheld: {why}"),
        (Said::Conflict(winner), _) => format!("{winner:?}"),
        (Said::Summary(lesson), _) => format!("{lesson:?}"),
    }
}

fn pair(
    rules: &Rules,
    known: Option<&Link>,
    kind: InboundKind,
    body: &str,
    now: Millis,
) -> Result<(Link, Inquiry), String> {
    let began = |record: &str, side: Side, table: TableName| {
        let id = PlatformId::new(record).map_err(|e| e.to_string())?;
        let key = identity::correlation_key(&id, 1);
        let link = identity::link_id(rules.id(), &id, 1);
        let mut link = Link::new(link, rules.id().clone(), id, key, table, now);
        link.origin = side;
        Ok::<_, String>(link)
    };
    let tables: Vec<TableName> = rules.tables().cloned().collect();
    let (mut link, side, record) = match kind {
        InboundKind::Escalation => {
            let payload = json::object(body)?;
            let ticket = match escalation::read(rules, body, now)? {
                Escalation::Ticket(ticket) => ticket,
                Escalation::Filtered(why) => return Err(why),
            };
            let mut link = began(ticket.record.as_str(), Side::Platform, ticket.table)?;
            let set = ticket.draft.set;
            let columns = begins_with(rules, &link.table, &set);
            let payload = Some(escalation::for_rules(rules, &payload));
            link.draft = Some(Draft { set, payload, ..Draft::default() });
            let questions =
                vec![Question::Admit, Question::Classify { tables }, Question::Draft { columns }];
            let inquiry = Inquiry { about: subject(rules, &link), questions };
            return Ok((link, inquiry));
        }
        InboundKind::PlatformEvent => {
            let event = intake::platform(rules, body)?;
            let link = began(event.record.as_str(), Side::Platform, event.table)?;
            (link, Side::Platform, event.observation.record)
        }
        InboundKind::Webhook => {
            let seen = intake::servicenow(rules, body)?.record;
            let by = seen.attributes.iter().find(|(name, _)| name.as_str() == "sys_updated_by");
            if by.is_some_and(|(_, by)| by.to_text() == rules.settings().external_user) {
                return Err("it tells of a change of Firn's own".to_owned());
            }
            let class = seen.class.clone().and_then(|class| TableName::new(class).ok());
            let table =
                class.or_else(|| tables.first().cloned()).ok_or("no kind of ticket is its")?;
            (began(&seen.id, Side::External, table)?, Side::External, seen)
        }
    };
    if let Some(known) = known {
        link = known.clone();
    }
    if !rules.takes(&link.table) {
        return Err(format!("{} is no kind of ticket of the settings", link.table));
    }
    for field in rules.fields(&link.table) {
        if let Reading::Whole(shape) = mapping::read(field, side, &record.attributes) {
            let seen = Seen { shape, revision: None, edited: now };
            *link.fields.entry(field.name.clone()).or_default().seen_mut(side) = Some(seen);
        }
    }
    let mut questions = Vec::new();
    if known.is_none() {
        questions.push(Question::Admit);
    }
    if known.is_none() && side == Side::Platform {
        // If it makes a ticket, which is not known here.
        let columns = begins_with(rules, &link.table, &BTreeMap::new());
        questions.extend([Question::Classify { tables }, Question::Draft { columns }]);
    }
    for field in rules.fields(&link.table).iter().filter(|field| has_word(field)) {
        let shape = link.fields.get(&field.name).and_then(|state| state.shape(side));
        if let Some(value) = shape.and_then(|shape| word(field, side, shape)) {
            let field = field.name.clone();
            questions.push(Question::Value { field, from: side, value, present: None });
        }
    }
    let inquiry = Inquiry { about: subject(rules, &link), questions };
    Ok((link, inquiry))
}

fn fields(
    rules: &Rules,
    masks: &Rules,
    side: Side,
    table: &TableName,
    record: &ObservedRecord,
) -> BTreeMap<FieldName, Shown> {
    let shown = |field: &crate::settings::FieldMapping| {
        let shape = match mapping::read(field, side, &record.attributes) {
            Reading::Whole(shape) => shape,
            Reading::Partial(shape) => {
                let seen = mask_shape(masks, &shape).to_string();
                let becomes = "only a part of it is shown: the record is read".to_owned();
                return Some(Shown { seen, becomes });
            }
            Reading::Unseen => return None,
        };
        let becomes = match mapping::translate(field, side, &shape, None, &BTreeMap::new()) {
            Ok(columns) => mask_shape(masks, &columns.shape).to_string(),
            Err(Untranslatable::Unmapped) => "(it is not in the value map)".to_owned(),
            Err(Untranslatable::LookUp(row)) => {
                format!("(whoever {} names, by {})", row.table, row.key)
            }
            Err(Untranslatable::UnknownReference) => "(whom it names is not found)".to_owned(),
            Err(Untranslatable::Lossy) => "(it was masked or cut, and does not go back)".to_owned(),
            Err(Untranslatable::OneWay) => "(it goes the other way only)".to_owned(),
            // What a template says of itself may quote what it was given.
            Err(Untranslatable::Template(_)) => "(its template fails)".to_owned(),
        };
        Some(Shown { seen: mask_shape(masks, &shape).to_string(), becomes })
    };
    let all = rules.fields(table).iter();
    all.filter_map(|field| Some((field.name.clone(), shown(field)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{rules, rules_of};
    use firn_model::{Hook, Preset};

    const WEBHOOK: &str = r#"{ "sys_id": "0123456789abcdef0123456789abcdef", "number": "INC0010001",
        "table": "incident", "action": "update", "current": { "sys_updated_on": "2026-04-29 14:30:00",
        "short_description": "pay with 4111 1111 1111 1111", "state": "6", "priority": "99" } }"#;

    fn event(fields: &Json) -> String {
        json!({ "id": "e1", "type": "changed", "occurred_at": "2026-04-29T14:30:00Z", "record":
            { "kind": "incident", "id": "42", "version": 1, "partial": true, "fields": fields } })
        .to_string()
    }

    fn shown<'a>(preview: &'a Preview, field: &str) -> (&'a str, &'a str) {
        let shown = &preview.fields[&FieldName::new(field).unwrap()];
        (&shown.seen, &shown.becomes)
    }

    #[test]
    fn each_field_is_shown_as_both_sides_say_it_and_masked() {
        let rules = rules(Preset::Incidents);
        let read = preview(&rules, &rules, InboundKind::Webhook, WEBHOOK);
        assert_eq!(read.outcome, "read as incident");
        assert_eq!(shown(&read, "status"), ("6", "resolved"));
        let (seen, becomes) = shown(&read, "title");
        assert!(!seen.contains("4111") && !becomes.contains("4111"), "{seen} {becomes}");
        // One of the columns of a field says only that something is there.
        assert!(shown(&read, "severity").1.contains("a part of it"));
        let body = event(&json!({ "status": "in space", "title": "Down" }));
        let read = preview(&rules, &rules, InboundKind::PlatformEvent, &body);
        assert_eq!(shown(&read, "title"), ("Down", "Down"));
        assert!(shown(&read, "status").1.contains("value map"));
        assert!(!read.fields.contains_key(&FieldName::new("severity").unwrap()));
    }

    #[test]
    fn settings_that_are_tried_unmask_nothing() {
        let open = rules_of(&json!({ "preset": "incidents", "masking": { "strategy": "keep" } }));
        let read = preview(&open, &rules(Preset::Incidents), InboundKind::Webhook, WEBHOOK);
        let (seen, becomes) = shown(&read, "title");
        assert!(!seen.contains("4111") && !becomes.contains("4111"), "{seen} {becomes}");
    }

    #[test]
    fn what_is_not_read_says_why() {
        let incidents = rules(Preset::Incidents);
        for (body, why) in [
            ("{", "it cannot be read"),
            ("{}", "it cannot be read"),
            (
                r#"{ "sys_id": "0123456789abcdef0123456789abcdef", "table": "problem" }"#,
                "no kind of ticket",
            ),
            (
                r#"{ "sys_id": "0123456789abcdef0123456789abcdef", "table": "incident", "action": "delete" }"#,
                "the record was deleted",
            ),
        ] {
            let read = preview(&incidents, &incidents, InboundKind::Webhook, body);
            assert!(read.outcome.contains(why) && read.fields.is_empty(), "{body}: {read:?}");
        }
        let document = json!({ "preset": "incidents", "filters": { "webhooks": "payload.number != 'INC0010001'" } });
        let read = preview(&rules_of(&document), &incidents, InboundKind::Webhook, WEBHOOK);
        assert_eq!(read.outcome, "a filter excludes it");
        let read = preview(&incidents, &incidents, InboundKind::Escalation, "{}");
        assert!(read.outcome.contains("as they come"));
    }

    #[test]
    fn rules_are_tried_on_all_that_they_would_be_asked_of_a_new_ticket() {
        let rules = rules(Preset::Incidents);
        let (kind, body) = (InboundKind::PlatformEvent, event(&json!({ "title": "t" })));
        let asked = inquiry(&rules, None, kind, &body, Millis(0)).unwrap().questions;
        let hooks: Vec<Hook> = asked.iter().map(Question::hook).collect();
        assert_eq!(hooks, [Hook::Admit, Hook::Classify, Hook::Draft, Hook::Value]);
        // What would not be taken is told.
        let ours = Said::Draft([("work_notes".to_owned(), "hello".to_owned())].into());
        let answers: Vec<Answer> = asked
            .iter()
            .map(|question| match question {
                Question::Draft { .. } => Answer::Said(ours.clone()),
                _ => Answer::Later(Millis(0)),
            })
            .collect();
        let judged = judged(&rules, None, kind, &body, Millis(0), &answers).unwrap();
        assert_eq!(judged[2], Err("work_notes is not for rules to set".to_owned()));
        // Of a pair that is there already only values are asked about, and what is known of it is told.
        let record = PlatformId::new("42").unwrap();
        let (key, id) =
            (identity::correlation_key(&record, 1), identity::link_id(rules.id(), &record, 1));
        let table = TableName::new("incident").unwrap();
        let mut known = Link::new(id, rules.id().clone(), record, key, table, Millis(0));
        known.external = Some(firn_model::ExternalRecord {
            table: known.table.clone(),
            sys_id: firn_model::SysId::new("0123456789abcdef0123456789abcdef").unwrap(),
            number: Some("INC0010001".to_owned()),
            adopted: false,
        });
        let asked =
            inquiry(&rules, Some(&known), InboundKind::Webhook, WEBHOOK, Millis(0)).unwrap();
        assert!(asked.questions.iter().all(|question| question.hook() == Hook::Value));
        assert_eq!(
            (asked.about.record.as_str(), asked.about.number.as_deref()),
            ("42", Some("INC0010001"))
        );
        // What Firn wrote itself nobody was asked about.
        let own = WEBHOOK.replace("\"state\"", "\"sys_updated_by\": \"integration\", \"state\"");
        let why = inquiry(&rules, Some(&known), InboundKind::Webhook, &own, Millis(0)).unwrap_err();
        assert!(why.contains("Firn's own"), "{why}");
    }
}
