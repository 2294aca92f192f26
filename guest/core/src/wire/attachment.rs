//! The wire of attachments. ServiceNow: the Attachment API. Platform: one GET for a file, one POST with its
//! bytes; the name in `Content-Disposition` (RFC 6266), the same `Idempotency-Key` for the same content.
//! Names leave masked.

use std::collections::BTreeSet;

use firn_model::{
    Answer, AnswerBody, AttachmentExchange, AttachmentSeen, AttachmentWork, Attachments, Body,
    ContentHash, Fetch, HttpRequest, Link, Method, Millis, Outcome, Remote, Side, SysId, TableName,
    TenantId, Uncertainty, Urgency, Want, parse_servicenow,
};
use serde_json::Value as Json;

use super::servicenow::pair;
use super::{Parts, QUEUE, answered, failure};
use crate::attachment::Landed;
use crate::identity;
use crate::settings::Rules;

/// Where the files of tickets are listed.
pub(super) const METADATA: &str = "/api/now/attachment";

/// What is read of a file.
pub(super) const COLUMNS: &str = "sys_id,file_name,content_type,size_bytes,hash,table_name,table_sys_id,sys_created_on,sys_created_by";

/// How long the host waits for a file to be there before it carries it, in milliseconds.
const OPENED: u64 = 10_000;

/// The slowest pace at which bytes are waited for, in bytes a millisecond.
const SLOWEST: u64 = 250;

/// The most characters of a name: so many ServiceNow's column holds.
const NAME: usize = 100;

/// How long a request may take until it counts as lost, in milliseconds.
#[must_use]
pub fn patience(rules: &Rules, files: &Attachments, work: &AttachmentWork) -> u64 {
    QUEUE + OPENED + timeout(rules, files, work) + 1_000
}

fn timeout(rules: &Rules, files: &Attachments, work: &AttachmentWork) -> u64 {
    let most = rules.settings().attachments.max_size;
    let bytes = match work {
        AttachmentWork::List => 0,
        AttachmentWork::Measure(side, id) | AttachmentWork::Send(side, id) => {
            files.file(*side, id).and_then(|f| f.file.size).unwrap_or(most).min(most)
        }
    };
    rules.settings().request_timeout + bytes / SLOWEST
}

/// The request for what is under way; none if there is nothing to ask, or a file cannot be named.
#[must_use]
pub fn request(
    rules: &Rules,
    tenant: &TenantId,
    link: &Link,
    files: &Attachments,
    ticket: String,
) -> Option<HttpRequest> {
    let exchange = files.exchange.as_ref()?;
    let parts = match &exchange.work {
        AttachmentWork::List => {
            let external = link.external.as_ref()?;
            let query = format!("table_sys_id={}^ORDERBYsys_created_on", external.sys_id);
            Parts {
                remote: Remote::Servicenow,
                method: Method::Get,
                path: METADATA.to_owned(),
                query: vec![
                    pair("sysparm_query", query),
                    pair("sysparm_fields", COLUMNS),
                    pair("sysparm_limit", "1000"),
                ],
                body: None,
            }
        }
        AttachmentWork::Measure(side, id) => {
            let (remote, path) = source(*side, id)?;
            Parts { remote, method: Method::Get, path, query: Vec::new(), body: None }
        }
        AttachmentWork::Send(side, id) => {
            let file = &files.file(*side, id)?.file;
            let (remote, path) = source(*side, id)?;
            let body = Some(Body::File(Fetch {
                remote,
                path,
                media_type: media_type(&file.media_type),
                size: file.size?,
                hash: file.hash.clone()?,
            }));
            let name = name(rules, side.other(), &file.name);
            match side {
                Side::Platform => {
                    let external = link.external.as_ref()?;
                    Parts {
                        remote: Remote::Servicenow,
                        method: Method::Post,
                        path: format!("{METADATA}/file"),
                        query: vec![
                            pair("table_name", external.table.as_str()),
                            pair("table_sys_id", external.sys_id.as_str()),
                            pair("file_name", name),
                        ],
                        body,
                    }
                }
                Side::External => Parts {
                    remote: Remote::PlatformAttachmentWrite,
                    method: Method::Post,
                    path: link.platform_id.as_str().to_owned(),
                    query: Vec::new(),
                    body,
                },
            }
        }
    };
    let mut request = parts.into_request(rules, tenant, ticket, Urgency::Usual);
    request.timeout = timeout(rules, files, &exchange.work);
    if let AttachmentWork::Measure(..) = exchange.work {
        request.headers = vec![("accept".to_owned(), "*/*".to_owned())];
        request.want = Want::Hash(rules.settings().attachments.max_size);
    }
    if let AttachmentWork::Send(Side::External, id) = &exchange.work {
        let file = &files.file(Side::External, id)?.file;
        let hash = file.hash.as_ref()?;
        let key = identity::short(&["attachment", link.id.as_str(), hash.as_str()]);
        let name = name(rules, Side::Platform, &file.name);
        request.headers.extend([
            ("idempotency-key".to_owned(), key),
            ("content-disposition".to_owned(), disposition(&name)),
            ("x-firn-attachment".to_owned(), id.clone()),
        ]);
    }
    Some(request)
}

/// Where a file is read.
fn source(side: Side, id: &str) -> Option<(Remote, String)> {
    match side {
        Side::External => {
            let id = SysId::new(id).ok()?;
            Some((Remote::Servicenow, format!("{METADATA}/{id}/file")))
        }
        Side::Platform => Some((Remote::PlatformAttachmentRead, id.to_owned())),
    }
}

/// A name as it leaves for a side: masked, without what is no part of a file's name, and no longer than
/// ServiceNow's column. A short ending stays as it is.
fn name(rules: &Rules, to: Side, name: &str) -> String {
    let clean = |c: char| match c {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
        c if c.is_control() => '_',
        c => c,
    };
    // The whole is masked: what is private may stand on both sides of a dot.
    let masked: String = rules.masks().file_name(to, name).trim().chars().map(clean).collect();
    let short = |(_, ending): &(&str, &str)| {
        (1..=8).contains(&ending.len()) && ending.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    let (stem, ending) = match masked.rsplit_once('.').filter(short) {
        Some((stem, ending)) => (stem, format!(".{ending}")),
        None => (masked.as_str(), String::new()),
    };
    let stem: String = stem.chars().take(NAME - ending.len()).collect();
    if stem.is_empty() { format!("file{ending}") } else { format!("{stem}{ending}") }
}

/// A media type that may stand in a header.
fn media_type(given: &str) -> String {
    let of_one = |part: &str| {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b);
        !part.is_empty() && part.bytes().all(token)
    };
    let plain = given.split(';').next().unwrap_or_default().trim();
    match plain.split_once('/') {
        Some((kind, subtype)) if of_one(kind) && of_one(subtype) => plain.to_owned(),
        _ => "application/octet-stream".to_owned(),
    }
}

/// `Content-Disposition` with a name in any script (RFC 6266, RFC 8187).
fn disposition(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii() && c != '"' && c != '\\' { c } else { '_' }).collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

/// Reads a row of the Attachment API.
#[must_use]
pub fn seen(row: &Json) -> Option<AttachmentSeen> {
    let text = |name: &str| row.get(name).and_then(Json::as_str).unwrap_or_default();
    Some(AttachmentSeen {
        id: SysId::new(text("sys_id")).ok()?.into(),
        name: text("file_name").to_owned(),
        media_type: text("content_type").to_owned(),
        size: text("size_bytes").trim().parse().ok(),
        hash: ContentHash::new(text("hash").to_ascii_lowercase()).ok(),
    })
}

/// Whether a file of a ticket may be one that our user put there while a store was at work that is not there any more.
fn is_forgotten(rules: &Rules, row: &Json) -> bool {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    let at = parse_servicenow(text("sys_created_on"));
    let restored = rules.integration().restored;
    text("sys_created_by") == rules.settings().external_user
        && at.is_ok_and(|at| restored.is_some_and(|restored| restored.may_cover(at)))
}

/// Decodes an answer.
#[must_use]
pub fn reading(
    rules: &Rules,
    link: &Link,
    files: &Attachments,
    exchange: &AttachmentExchange,
    answer: &Answer,
    now: Millis,
) -> Landed {
    match &answer.body {
        AnswerBody::NoFile(status) => return Landed::NoFile(*status),
        AnswerBody::OtherFile => return Landed::OtherFile,
        _ => {}
    }
    let response = match answered(answer) {
        Ok(response) => response,
        Err(outcome) => return Landed::Failed(*outcome),
    };
    if let Some(outcome) = failure(response, now) {
        return Landed::Failed(outcome);
    }
    let json: Json = serde_json::from_str(&response.body).unwrap_or(Json::Null);
    let unusable = |what: &str| {
        let why = format!("an answer with status {} that is {what}", response.status);
        Landed::Failed(Outcome::Unknown(Uncertainty::Open, why))
    };
    match &exchange.work {
        AttachmentWork::List => {
            let Some(rows) = json["result"].as_array() else {
                return unusable("no list of files");
            };
            let Some(external) = &link.external else {
                return Landed::Listed(Vec::new(), BTreeSet::new());
            };
            // An instance drops what it does not understand of a query; pictures of the record itself
            // (`ZZ_YY`) are no files of it.
            let of_ticket = |row: &&Json| {
                let table = row["table_name"].as_str().and_then(|t| TableName::new(t).ok());
                row["table_sys_id"].as_str() == Some(external.sys_id.as_str())
                    && table.is_some_and(|table| rules.takes(&table) || table == external.table)
            };
            let of_ticket: Vec<&Json> = rows.iter().filter(of_ticket).collect();
            let forgotten = of_ticket.iter().filter(|row| is_forgotten(rules, row));
            let forgotten = forgotten.filter_map(|row| seen(row)).map(|file| file.id).collect();
            Landed::Listed(of_ticket.into_iter().filter_map(seen).collect(), forgotten)
        }
        AttachmentWork::Measure(side, id) => {
            let html = |kind: &str| kind.trim_start().to_ascii_lowercase().starts_with("text/html");
            let is_page = response.header("content-type").is_some_and(html);
            let should_be = files.file(*side, id).is_some_and(|f| html(&f.file.media_type));
            if is_page && !should_be {
                return unusable("a page, and no file");
            }
            let size = json["size"].as_u64();
            let hash = json["sha256"].as_str().and_then(|hash| ContentHash::new(hash).ok());
            match (size, hash) {
                (Some(size), Some(hash)) => Landed::Measured(size, hash),
                (Some(size), None) => Landed::TooLarge(size),
                _ => unusable("no measure of a file"),
            }
        }
        AttachmentWork::Send(Side::Platform, _) => {
            match json["result"]["sys_id"].as_str().and_then(|id| SysId::new(id).ok()) {
                Some(id) => Landed::Taken(Some(id.into())),
                None => unusable("no file"),
            }
        }
        AttachmentWork::Send(Side::External, _) => {
            let id = json["id"].as_str().filter(|id| !id.is_empty() && id.len() <= 256);
            Landed::Taken(id.map(str::to_owned))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use firn_model::Preset;

    #[test]
    fn a_name_leaves_masked_and_as_a_name() {
        let rules = sample::rules(Preset::Incidents);
        let name = |given: &str| name(&rules, Side::External, given);
        assert_eq!(name("report.pdf"), "report.pdf");
        assert_eq!(name("../../etc/passwd"), ".._.._etc_passwd");
        let card = name("card 4111111111111111.png");
        assert!(!card.contains("4111111111111111") && card.ends_with(".png"), "{card}");
        assert!(!name("4111111111111111").contains("4111111111111111"));
        assert_eq!(name(""), "file");
        assert_eq!(name(&"ж".repeat(300)).chars().count(), NAME);
        assert_eq!(name("a\r\nb.txt"), "a__b.txt");
        // Nothing private is cut in two.
        for private in ["john.doe@acme.com", "4111.1111.1111.1111", "call 415-555-0132.txt"] {
            let left = name(private);
            let parts = ["john.doe", "1111.1111.1111", "415-555-0132"];
            assert!(parts.iter().all(|part| !left.contains(part)), "{private}: {left}");
        }
    }

    /// Of a time that is forgotten nobody knows which files were carried: those that our user put there were.
    #[test]
    fn a_file_of_ours_of_a_time_that_is_forgotten_is_no_news() {
        use firn_model::{AnswerBody, ExternalRecord, HttpResponse, Restored};
        let restored = |restored: Option<Restored>| {
            let integration = sample::rules(Preset::Incidents).integration().clone();
            let integration = firn_model::Integration { restored, ..integration };
            crate::settings::compile(integration).unwrap()
        };
        let mut link = sample::link();
        let (sys_id, table) = (SysId::new("a".repeat(32)).unwrap(), link.table.clone());
        link.external =
            Some(ExternalRecord { table, sys_id: sys_id.clone(), number: None, adopted: false });
        let row = |n: u32, by: &str, at: &str| {
            serde_json::json!({ "sys_id": format!("{n:032x}"), "file_name": "f", "size_bytes": "1",
                "table_name": "incident", "table_sys_id": sys_id, "sys_created_by": by,
                "sys_created_on": at })
        };
        let rows = [
            row(1, "integration", "2026-04-29 14:30:00"),
            row(2, "ann.lee", "2026-04-29 14:30:00"),
            row(3, "integration", "2026-04-29 16:30:00"),
        ];
        let body = serde_json::json!({ "result": rows }).to_string();
        let answer = Answer {
            ticket: "t".to_owned(),
            tenant: TenantId::new("acme").unwrap(),
            integration: link.integration.clone(),
            body: AnswerBody::Response(HttpResponse { status: 200, headers: Vec::new(), body }),
        };
        let at = |text: &str| parse_servicenow(text).unwrap();
        let (since, until) = (at("2026-04-29 14:00:00"), at("2026-04-29 15:00:00"));
        let exchange = AttachmentExchange {
            work: AttachmentWork::List,
            number: 1,
            since: Millis(0),
            deadline: Millis(0),
        };
        let set = Attachments::new(link.integration.clone(), link.id.clone());
        let listed = |gap: Option<Restored>| {
            let rules = restored(gap);
            match reading(&rules, &link, &set, &exchange, &answer, until) {
                Landed::Listed(files, ours) => (files.len(), ours),
                other => panic!("{other:?}"),
            }
        };
        let first = BTreeSet::from([format!("{:032x}", 1)]);
        assert_eq!(listed(Some(Restored { since, until, settled: until })), (3, first));
        assert_eq!(listed(None), (3, BTreeSet::new()));
    }

    #[test]
    fn a_header_takes_any_name() {
        let header = disposition("Bericht \"März\".pdf");
        assert!(header.is_ascii() && !header.contains('\n'));
        assert!(header.ends_with("filename*=UTF-8''Bericht%20%22M%C3%A4rz%22.pdf"), "{header}");
        assert_eq!(media_type("text/html; charset=utf-8"), "text/html");
        assert_eq!(media_type("a\r\nb/c"), "application/octet-stream");
    }
}
