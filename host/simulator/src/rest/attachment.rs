//! The Attachment API: files of records, and what is known of them.

use std::rc::Rc;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Body, Request, Response, columns, failure, no_record, refused, seen, unwritable};
use crate::query::Query;
use crate::session::Session;
use crate::tables::Record;
use crate::view::View;

/// The most bytes of a file, unless `com.glide.attachment.max_size` (MB) says otherwise.
const LARGEST: usize = 1_024 << 20;

pub(super) fn serve(
    session: &Rc<Session>,
    request: &Request,
    view: &View,
    rest: &[&str],
) -> Response {
    match (request.method.as_str(), rest) {
        ("GET", []) => super::table::serve(session, request, view, &["sys_attachment"], "v2"),
        ("GET", [id]) => super::table::serve(session, request, view, &["sys_attachment", id], "v2"),
        ("GET", [id, "file"]) => file(session, view, id),
        ("POST", ["file"]) => {
            let of = |name: &str| request.parameter(name).unwrap_or_default().to_owned();
            let kind = request.header("content-type").unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default().to_owned();
            add(
                session,
                request,
                view,
                &of("table_name"),
                &of("table_sys_id"),
                &of("file_name"),
                &kind,
                request.body.clone(),
            )
        }
        ("POST", ["upload"]) => match parts(request) {
            Some(parts) => add(
                session,
                request,
                view,
                &parts.table,
                &parts.record,
                &parts.name,
                &parts.kind,
                parts.content,
            ),
            None => failure(
                400,
                "Exception while reading request",
                Some("The body is not multipart/form-data"),
            ),
        },
        ("PATCH", [id]) => rename(session, request, view, id),
        ("DELETE", [id]) => remove(session, id),
        _ => super::nowhere(session),
    }
}

fn file(session: &Session, view: &View, id: &str) -> Response {
    let rows = seen(session, "sys_attachment", &Query::default()).unwrap_or_default();
    let instance = session.lock();
    let row = rows.iter().find(|row| row.get("sys_id").is_some_and(|own| own == id));
    let (Some(row), Some(content)) = (row, instance.contents.get(id)) else { return no_record() };
    let kind = row.get("content_type").cloned().unwrap_or_default();
    Response { status: 200, headers: Vec::new(), body: Body::Bytes(content.clone()) }
        .header("content-type", kind)
        .header("x-attachment-metadata", view.show(&instance.tables, row).to_string())
}

#[allow(clippy::too_many_arguments)] // The parts of a form, once.
fn add(
    session: &Rc<Session>,
    request: &Request,
    view: &View,
    table: &str,
    record: &str,
    name: &str,
    kind: &str,
    content: Vec<u8>,
) -> Response {
    if table.is_empty() || record.is_empty() || name.is_empty() || kind.is_empty() {
        return failure(
            400,
            "Missing parameter",
            Some("table_name, table_sys_id, file_name and Content-Type are required"),
        );
    }
    let id = {
        let mut instance = session.lock();
        if instance.tables.find(table, record).is_none() {
            return no_record();
        }
        if !instance.access.write(&instance.tables, &session.user, "sys_attachment") {
            return unwritable("Insert");
        }
        let property = |name: &str| {
            let row = instance.tables.first("sys_properties", "name", name);
            row.and_then(|row| row.get("value").cloned())
        };
        let largest =
            property("com.glide.attachment.max_size").and_then(|mb| mb.parse::<usize>().ok());
        if content.len() > largest.map_or(LARGEST, |mb| mb << 20) {
            return failure(
                413,
                "Operation Failed",
                Some("The file is larger than com.glide.attachment.max_size"),
            );
        }
        let allowed = property("glide.attachment.extensions").filter(|list| !list.is_empty());
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_lowercase();
        if allowed.is_some_and(|list| !list.split(',').any(|one| one.trim() == extension)) {
            return failure(
                403,
                "Operation Failed",
                Some("The file's extension is not in glide.attachment.extensions"),
            );
        }
        let id = instance.tables.guid();
        instance.contents.insert(id.clone(), content.clone());
        id
    };
    let hash: String = Sha256::digest(&content).iter().map(|b| format!("{b:02x}")).collect();
    let size = content.len().to_string();
    let link = format!("{}/api/now/attachment/{id}/file", request.base);
    let columns = [
        ("sys_id", id.as_str()),
        ("file_name", name),
        ("content_type", kind),
        ("size_bytes", &size),
        ("size_compressed", &size),
        ("table_name", table),
        ("table_sys_id", record),
        ("download_link", &link),
        ("hash", &hash),
    ];
    let set: Record = columns.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    match session.insert("sys_attachment", &set, true) {
        Err(why) => refused(&why),
        Ok(row) => {
            if session.lock().tables.quirks.attachment_touches_parent {
                session.lock().tables.touch(table, record, &session.user);
            }
            let instance = session.lock();
            Response::json(201, json!({ "result": view.show(&instance.tables, &row) }))
                .header("location", format!("{}/api/now/attachment/{id}", request.base))
        }
    }
}

fn rename(session: &Rc<Session>, request: &Request, view: &View, id: &str) -> Response {
    let may = {
        let instance = session.lock();
        instance.access.write(&instance.tables, &session.user, "sys_attachment")
    };
    if !may {
        return unwritable("Update");
    }
    let set = match columns(session, request) {
        Ok(set) => set,
        Err(response) => return response,
    };
    let set: Record = set.into_iter().filter(|(name, _)| name == "file_name").collect();
    match session.update("sys_attachment", id, &set, true) {
        Ok(row) => {
            let instance = session.lock();
            Response::json(200, json!({ "result": view.show(&instance.tables, &row) }))
        }
        Err(why) => refused(&why),
    }
}

fn remove(session: &Rc<Session>, id: &str) -> Response {
    let may = {
        let instance = session.lock();
        instance.access.write(&instance.tables, &session.user, "sys_attachment")
    };
    if !may {
        return unwritable("Delete");
    }
    match session.delete("sys_attachment", id, true) {
        Ok(()) => {
            session.lock().contents.remove(id);
            Response::empty(204)
        }
        Err(why) => refused(&why),
    }
}

struct Parts {
    table: String,
    record: String,
    name: String,
    kind: String,
    content: Vec<u8>,
}

/// The parts of a form: `table_name`, `table_sys_id`, and the file last.
fn parts(request: &Request) -> Option<Parts> {
    let boundary = multer::parse_boundary(request.header("content-type")?).ok()?;
    let body = request.body.clone();
    let stream = futures_util::stream::once(async { Ok::<_, std::convert::Infallible>(body) });
    let mut form = multer::Multipart::new(stream, boundary);
    let mut parts = Parts {
        table: String::new(),
        record: String::new(),
        name: String::new(),
        kind: "application/octet-stream".to_owned(),
        content: Vec::new(),
    };
    // Requests are worked on where they may block; the whole form is there already.
    tokio::runtime::Handle::current().block_on(async {
        while let Some(field) = form.next_field().await.ok()? {
            match (field.name().unwrap_or_default(), field.file_name()) {
                ("table_name", None) => parts.table = field.text().await.ok()?,
                ("table_sys_id", None) => parts.record = field.text().await.ok()?,
                (_, Some(name)) => {
                    parts.name = name.to_owned();
                    if let Some(kind) = field.content_type() {
                        parts.kind = kind.to_string();
                    }
                    parts.content = field.bytes().await.ok()?.to_vec();
                }
                _ => {}
            }
        }
        Some(parts)
    })
}
