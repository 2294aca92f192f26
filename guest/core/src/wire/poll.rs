//! The wire of polling: pages of a stream, and several tickets in one request.

use firn_model::{
    Answer, AttachmentSeen, CorrelationKey, HttpRequest, HttpResponse, Method, Millis,
    ObservedRecord, Outcome, Place, PlatformId, PullBy, Remote, Stream, Sweep, SysId, TableName,
    TenantId, Uncertainty, Until, Urgency, Walk, parse_http_date, parse_servicenow,
    servicenow_text,
};
use serde_json::Value as Json;

use super::servicenow::{self, pair};
use super::{Parts, answered, attachment, failure};
use crate::identity;
use crate::settings::{Gate, Rules};
use crate::sweep::{At, MERGED, PAGE};

/// What a row of a stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A ticket as it is, with at least its revision and its key.
    Ticket(Box<ObservedRecord>),
    /// A journal entry of a ticket.
    Entry {
        /// The entry.
        id: SysId,
        /// The ticket.
        of: SysId,
    },
    /// A ticket was deleted.
    Deleted(SysId),
    /// A ticket has a file.
    File {
        /// The ticket.
        of: SysId,
        /// The file.
        file: AttachmentSeen,
        /// Whether our own user put it there.
        ours: bool,
    },
}

/// An answer, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// A page of the stream.
    Page {
        /// Each row's place in the order, and what it says.
        rows: Vec<(At, News)>,
        /// How many rows the answer has: those that do not show when they changed, too.
        count: usize,
        /// How many rows there are from the walk's place on, if they tell.
        total: Option<u64>,
        /// Whether they say that another page follows.
        leads_on: bool,
        /// Their clock, if they tell.
        theirs: Option<Millis>,
    },
    /// Tickets that were asked for; those that are not among them could not be read.
    Tickets(Vec<ObservedRecord>),
    /// It came to nothing.
    Failed(Outcome),
}

/// Who changed a ticket last, by user name.
const UPDATED_BY: &str = "sys_updated_by";

/// Whether a ticket was last changed by the user as which Firn signs in: no webhook need tell of that.
#[must_use]
pub fn by_us(rules: &Rules, ticket: &ObservedRecord) -> bool {
    let by = ticket.attributes.iter().find(|(column, _)| column.as_str() == UPDATED_BY);
    by.is_some_and(|(_, user)| user.to_text() == rules.settings().external_user)
}

/// Who made a ticket, by user name.
const CREATED_BY: &str = "sys_created_by";

/// Whether a ticket that no link is on is one that was made while a store was at work that is not there any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forgotten {
    /// It is not.
    No,
    /// What was shown of it does not tell.
    Unclear,
    /// It is the ticket of this record.
    Of(PlatformId),
    /// It is, and its key does not tell of which record.
    OfNobodyKnown,
}

/// Looks at a ticket with a key, or one whose key is not shown, that no link is on.
#[must_use]
pub fn forgotten(rules: &Rules, ticket: &ObservedRecord) -> Forgotten {
    let Some(restored) = rules.integration().restored else { return Forgotten::No };
    let shown = |name: &str| {
        let column = ticket.attributes.iter().find(|(column, _)| column.as_str() == name);
        column.map(|(_, value)| value.to_text())
    };
    let made = shown("sys_created_on").map(|at| parse_servicenow(&at));
    if made.as_ref().is_some_and(|at| at.as_ref().is_ok_and(|at| !restored.may_cover(*at))) {
        return Forgotten::No;
    }
    let key = match shown(rules.settings().correlation.column.as_str()) {
        Some(key) if key.is_empty() => return Forgotten::No,
        Some(key) => CorrelationKey::new(key).ok(),
        None => return Forgotten::Unclear,
    };
    let (Some(by), Some(Ok(_))) = (shown(CREATED_BY), made) else { return Forgotten::Unclear };
    let ours = by == rules.settings().external_user;
    match key.and_then(|key| identity::record_of(&key)) {
        _ if !ours => Forgotten::No,
        Some(record) => Forgotten::Of(record),
        None => Forgotten::OfNobodyKnown,
    }
}

/// Whether pages show whole tickets: some may be none of ours yet, and a filter must see them.
#[must_use]
pub fn shows_all(rules: &Rules) -> bool {
    rules.has_filter(Gate::Mirror)
}

/// The column by which a stream is in order.
fn time(rules: &Rules, stream: &Stream) -> &'static str {
    match (stream, rules.settings().polling.pull_by) {
        (Stream::Records(_), PullBy::Updated) => "sys_updated_on",
        _ => "sys_created_on",
    }
}

/// The next request of a walk.
#[must_use]
pub fn request(
    rules: &Rules,
    tenant: &TenantId,
    sweep: &Sweep,
    walk: &Walk,
    ticket: String,
) -> HttpRequest {
    if let Stream::Records(table) = &sweep.stream
        && !walk.wanted.is_empty()
    {
        let wanted = walk.wanted.iter().take(merged(rules, table)).cloned().collect::<Vec<_>>();
        return together(rules, tenant, Together::Tickets(table), &wanted, ticket);
    }
    let query = page(rules, &sweep.stream, walk);
    let parts = Parts {
        remote: Remote::Servicenow,
        method: Method::Get,
        path: match sweep.stream {
            Stream::Attachments => attachment::METADATA.to_owned(),
            _ => format!("/api/now/table/{}", sweep.stream),
        },
        query,
        body: None,
    };
    parts.into_request(rules, tenant, ticket, Urgency::Usual)
}

/// What is read of several tickets in one request.
#[derive(Debug, Clone, Copy)]
pub enum Together<'a> {
    /// The tickets of a table.
    Tickets(&'a TableName),
    /// Which entries they have.
    Entries,
}

/// So many entries of several tickets are told at most.
const ENTRIES: usize = 1_000;

/// So many bytes may what follows the instance's name in an address have: 2,000 with the name.
const ADDRESS: usize = 1_850;

/// How many tickets of a table one request reads: so many that their ids and the columns, each with its
/// encoded comma, stay within an address of 2 kB.
#[must_use]
pub fn merged(rules: &Rules, table: &TableName) -> usize {
    const ID: usize = 32 + "%2C".len();
    let columns: usize = rules.columns(table).iter().map(|c| c.len() + "%2C".len()).sum();
    let ids = ADDRESS.saturating_sub(columns + AROUND) / ID;
    ids.clamp(1, MERGED)
}

/// The path and the parameters' names, of a table with a long name.
const AROUND: usize = 260;

/// One request for several tickets, at most [`merged`] of them.
#[must_use]
pub fn together(
    rules: &Rules,
    tenant: &TenantId,
    what: Together<'_>,
    ids: &[SysId],
    ticket: String,
) -> HttpRequest {
    let ids: Vec<&str> = ids.iter().map(SysId::as_str).collect();
    let ids = ids.join(",");
    let (table, mut query, which, limit) = match what {
        Together::Tickets(table) => {
            (table.as_str(), servicenow::shape(rules, table), format!("sys_idIN{ids}"), MERGED)
        }
        Together::Entries => (
            "sys_journal_field",
            servicenow::raw("sys_id,element_id"),
            format!("element_idIN{ids}^elementINcomments,work_notes"),
            ENTRIES,
        ),
    };
    query.push(pair("sysparm_query", which));
    query.push(pair("sysparm_limit", limit.to_string()));
    let parts = Parts {
        remote: Remote::Servicenow,
        method: Method::Get,
        path: format!("/api/now/table/{table}"),
        query,
        body: None,
    };
    parts.into_request(rules, tenant, ticket, Urgency::Usual)
}

/// Decodes several tickets. Those that are not among them could not be read.
///
/// # Errors
/// What it came to instead.
pub fn tickets(
    rules: &Rules,
    answer: &Answer,
    now: Millis,
) -> Result<Vec<ObservedRecord>, Box<Outcome>> {
    let (rows, _) = rows(answer, now)?;
    let read = |row: &Json| servicenow::record(rules, row.as_object()?);
    Ok(rows.iter().filter_map(read).collect())
}

/// Decodes which entries several tickets have: each row with its ticket. None if there are more than an
/// answer tells.
///
/// # Errors
/// What it came to instead.
pub fn entries(answer: &Answer, now: Millis) -> Result<Option<Vec<(SysId, SysId)>>, Box<Outcome>> {
    let (rows, _) = rows(answer, now)?;
    if rows.len() >= ENTRIES {
        return Ok(None);
    }
    let id = |row: &Json, name: &str| SysId::new(row[name].as_str()?).ok();
    let read = |row: &Json| Some((id(row, "sys_id")?, id(row, "element_id")?));
    Ok(Some(rows.iter().filter_map(read).collect()))
}

/// The rows of an answer, and its head.
fn rows(answer: &Answer, now: Millis) -> Result<(Vec<Json>, &HttpResponse), Box<Outcome>> {
    let response = answered(answer)?;
    if let Some(outcome) = failure(response, now) {
        return Err(Box::new(outcome));
    }
    let json: Option<Json> = serde_json::from_str(&response.body).ok();
    match json.map(|mut json| json["result"].take()) {
        Some(Json::Array(rows)) => Ok((rows, response)),
        _ => {
            let why = "an answer with status 200 that is no list of rows".to_owned();
            Err(Box::new(Outcome::Unknown(Uncertainty::Open, why)))
        }
    }
}

fn page(rules: &Rules, stream: &Stream, walk: &Walk) -> Vec<(String, String)> {
    let time = time(rules, stream);
    let (only, columns) = match stream {
        Stream::Records(table) => {
            let columns = if shows_all(rules) {
                // A filter is judged by what a row shows.
                let mut columns = rules.columns(table);
                let asked = rules.asked_of_tickets(Gate::Mirror);
                columns.extend(asked.into_iter().map(String::from));
                columns.sort();
                columns.dedup();
                columns.join(",")
            } else {
                let key = &rules.settings().correlation.column;
                format!("sys_id,sys_class_name,number,{key},sys_mod_count,sys_updated_on")
            };
            let by = match rules.integration().restored {
                Some(_) => format!("{UPDATED_BY},{CREATED_BY}"),
                None => UPDATED_BY.to_owned(),
            };
            (None, format!("{columns},sys_created_on,{by}"))
        }
        Stream::Journal => (
            Some("elementINcomments,work_notes".to_owned()),
            "sys_id,element_id,sys_created_on".to_owned(),
        ),
        Stream::Deletions => {
            let tables: Vec<&str> = rules.tables().map(TableName::as_str).collect();
            let only = format!("tablenameIN{}", tables.join(","));
            (Some(only), "sys_id,documentkey,sys_created_on".to_owned())
        }
        Stream::Attachments => {
            let tables: Vec<&str> = rules.tables().map(TableName::as_str).collect();
            let only = format!("table_nameIN{}", tables.join(","));
            (Some(only), attachment::COLUMNS.to_owned())
        }
    };
    let text = |at: &Millis| servicenow_text(*at);
    let in_order = format!("ORDERBY{time}^ORDERBYsys_id");
    let until = match &walk.until {
        Some(Until::Second(at)) => format!("^{time}<={}", text(at)),
        Some(Until::Id(id)) => format!("^sys_id<={id}"),
        None => String::new(),
    };
    let (place, limit) = match &walk.place {
        // Any row will do: their clock is in the answer's head.
        Place::Ours(_) => (format!("ORDERBYDESC{time}"), 1),
        Place::From(at) => (format!("{time}>={}{until}^{in_order}", text(at)), PAGE),
        Place::Within(at, id) => {
            (format!("{time}={}^sys_id>{id}{until}^ORDERBYsys_id", text(at)), PAGE)
        }
        Place::After(at) => (format!("{time}>{}{until}^{in_order}", text(at)), PAGE),
    };
    let query: Vec<String> = only.into_iter().chain([place]).collect();
    let mut parts = servicenow::raw(columns);
    parts.push(pair("sysparm_query", query.join("^")));
    parts.push(pair("sysparm_limit", limit.to_string()));
    parts
}

/// Decodes the answer to a walk's last request.
#[must_use]
pub fn reading(rules: &Rules, sweep: &Sweep, walk: &Walk, answer: &Answer, now: Millis) -> Polled {
    if matches!(sweep.stream, Stream::Records(_)) && !walk.wanted.is_empty() {
        return match tickets(rules, answer, now) {
            Ok(tickets) => Polled::Tickets(tickets),
            Err(outcome) => Polled::Failed(*outcome),
        };
    }
    let (rows, response) = match self::rows(answer, now) {
        Ok(found) => found,
        Err(outcome) => return Polled::Failed(*outcome),
    };
    Polled::Page {
        count: rows.len(),
        leads_on: response.header("link").is_some_and(|links| links.contains("rel=\"next\"")),
        rows: rows.iter().filter_map(|row| news(rules, &sweep.stream, row)).collect(),
        total: response.header("x-total-count").and_then(|n| n.trim().parse().ok()),
        theirs: response.header("date").and_then(|text| parse_http_date(text).ok()),
    }
}

fn news(rules: &Rules, stream: &Stream, row: &Json) -> Option<(At, News)> {
    let id = |name: &str| SysId::new(row[name].as_str()?).ok();
    let at = parse_servicenow(row[time(rules, stream)].as_str()?).ok()?;
    let news = match stream {
        Stream::Records(_) => News::Ticket(Box::new(servicenow::record(rules, row.as_object()?)?)),
        Stream::Journal => News::Entry { id: id("sys_id")?, of: id("element_id")? },
        Stream::Deletions => News::Deleted(id("documentkey")?),
        Stream::Attachments => News::File {
            of: id("table_sys_id")?,
            file: attachment::seen(row)?,
            ours: row["sys_created_by"].as_str() == Some(&rules.settings().external_user),
        },
    };
    Some(((at, id("sys_id")?), news))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use firn_model::Preset;

    /// As the host encodes it: everything but letters, digits and four signs.
    fn address(request: &HttpRequest) -> usize {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"*-._".contains(&b);
        let encoded =
            |text: &str| text.bytes().map(|b| if plain(b) { 1 } else { 3 }).sum::<usize>();
        let query = request.query.iter().map(|(n, v)| encoded(n) + encoded(v) + 2);
        let name = "https://a-company-with-a-long-name.service-now.com";
        name.len() + request.path.len() + query.sum::<usize>()
    }

    #[test]
    fn tickets_that_are_read_together_stay_within_an_address() {
        for preset in Preset::ALL {
            let rules = sample::rules(preset);
            for table in rules.tables() {
                let many = merged(&rules, table);
                assert!(many >= 25, "{preset:?} {table}: {many}");
                let ids: Vec<SysId> =
                    (0..many).map(|n| SysId::new(format!("{n:032x}")).unwrap()).collect();
                for what in [Together::Tickets(table), Together::Entries] {
                    let tenant = TenantId::new("acme").unwrap();
                    let request = together(&rules, &tenant, what, &ids, String::new());
                    let length = address(&request);
                    assert!(length < 2_000, "{preset:?} {what:?}: {length}");
                }
            }
        }
    }
}
