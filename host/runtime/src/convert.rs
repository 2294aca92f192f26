//! Conversions between the model and the WIT types. What comes out of the component is checked.

use firn_model as model;

use crate::bindings::firn::sync::types;

fn failed(e: impl std::fmt::Display) -> types::StoreError {
    types::StoreError::Failed(e.to_string())
}

fn key(key: &model::Key) -> types::Key {
    types::Key { tenant: key.tenant.as_str().to_owned(), path: key.path.clone() }
}

pub(crate) fn key_in(key: types::Key) -> Result<model::Key, types::StoreError> {
    Ok(model::Key { tenant: model::TenantId::new(key.tenant).map_err(failed)?, path: key.path })
}

pub(crate) fn row(row: model::Row) -> types::Row {
    types::Row {
        key: key(&row.key),
        version: row.version,
        value: row.value,
        due: row.due.map(|due| due.0),
    }
}

pub(crate) fn change(change: types::Change) -> Result<model::Change, types::StoreError> {
    Ok(model::Change {
        key: key_in(change.key)?,
        expect: match change.expect {
            types::Expect::Absent => model::Expect::Absent,
            types::Expect::Version(version) => model::Expect::Version(version),
            types::Expect::Any => model::Expect::Any,
        },
        put: change.put.map(|put| model::Put { value: put.value, due: put.due.map(model::Millis) }),
    })
}

pub(crate) fn error(error: model::CommitError) -> types::StoreError {
    match error {
        model::CommitError::Stale(stale) => types::StoreError::Stale(key(&stale)),
        model::CommitError::Failed(why) => types::StoreError::Failed(why),
        why @ model::CommitError::Unreadable { .. } => types::StoreError::Failed(why.to_string()),
    }
}

pub(crate) fn request(request: types::HttpRequest) -> Result<model::HttpRequest, model::InvalidId> {
    Ok(model::HttpRequest {
        ticket: request.ticket,
        tenant: model::TenantId::new(request.tenant)?,
        integration: model::IntegrationId::new(request.integration)?,
        remote: remote(request.remote),
        method: match request.method {
            types::Method::Get => model::Method::Get,
            types::Method::Post => model::Method::Post,
            types::Method::Patch => model::Method::Patch,
        },
        path: request.path,
        query: request.query,
        headers: request.headers,
        body: request.body.map(body).transpose()?,
        want: match request.want {
            types::Want::Text => model::Want::Text,
            types::Want::Hash(most) => model::Want::Hash(most),
        },
        urgency: match request.urgency {
            types::Urgency::First => model::Urgency::First,
            types::Urgency::Usual => model::Urgency::Usual,
        },
        queue: request.queue,
        timeout: request.timeout,
    })
}

fn remote(remote: types::Remote) -> model::Remote {
    match remote {
        types::Remote::Servicenow => model::Remote::Servicenow,
        types::Remote::PlatformCallback => model::Remote::PlatformCallback,
        types::Remote::PlatformRead => model::Remote::PlatformRead,
        types::Remote::PlatformFindings => model::Remote::PlatformFindings,
        types::Remote::PlatformKnowledge => model::Remote::PlatformKnowledge,
        types::Remote::Model => model::Remote::Model,
        types::Remote::PlatformAttachmentRead => model::Remote::PlatformAttachmentRead,
        types::Remote::PlatformAttachmentWrite => model::Remote::PlatformAttachmentWrite,
    }
}

fn body(body: types::Body) -> Result<model::Body, model::InvalidId> {
    Ok(match body {
        types::Body::Json(text) => model::Body::Json(text),
        types::Body::File(fetch) => model::Body::File(model::Fetch {
            remote: remote(fetch.remote),
            path: fetch.path,
            media_type: fetch.media_type,
            size: fetch.size,
            hash: model::ContentHash::new(fetch.sha256)?,
        }),
    })
}

pub(crate) fn event(event: &model::Event) -> types::Event {
    match event {
        model::Event::Inbound(inbound) => types::Event::Inbound(types::Inbound {
            request: inbound.request,
            tenant: inbound.tenant.as_str().to_owned(),
            integration: inbound.integration.as_str().to_owned(),
            kind: match inbound.kind {
                model::InboundKind::Webhook => types::InboundKind::Webhook,
                model::InboundKind::PlatformEvent => types::InboundKind::PlatformEvent,
                model::InboundKind::Escalation => types::InboundKind::Escalation,
            },
            headers: inbound.headers.clone(),
            body: inbound.body.clone(),
            like: inbound
                .like
                .iter()
                .cloned()
                .map(|model::LikeCase { ticket, asked, solved }| types::LikeCase {
                    ticket,
                    asked,
                    solved,
                })
                .collect(),
        }),
        model::Event::Operate { request, tenant, operation, by } => {
            types::Event::Operate(types::Operate {
                request: *request,
                tenant: tenant.as_str().to_owned(),
                operation: serde_json::to_string(operation).unwrap_or_default(),
                by: by.clone(),
            })
        }
        model::Event::Due(due) => types::Event::Due(key(due)),
        model::Event::Answer(answer) => types::Event::Answer(types::Answer {
            ticket: answer.ticket.clone(),
            tenant: answer.tenant.as_str().to_owned(),
            integration: answer.integration.as_str().to_owned(),
            ending: match &answer.body {
                model::AnswerBody::Response(response) => {
                    types::Ending::Response(types::HttpResponse {
                        status: response.status,
                        headers: response.headers.clone(),
                        body: response.body.clone(),
                    })
                }
                model::AnswerBody::NotSent(why) => types::Ending::NotSent(why.clone()),
                model::AnswerBody::Busy(ms) => types::Ending::Busy(*ms),
                model::AnswerBody::Silent(ms) => types::Ending::Silent(*ms),
                model::AnswerBody::Lost(why) => types::Ending::Lost(why.clone()),
                model::AnswerBody::NoFile(status) => types::Ending::NoFile(*status),
                model::AnswerBody::OtherFile => types::Ending::OtherFile,
            },
        }),
    }
}

pub(crate) fn report(report: types::Report) -> Result<model::Report, String> {
    let bad = |e: model::InvalidId| format!("the engine reports an id that is none: {e}");
    Ok(match report {
        types::Report::Reply(reply) => model::Report::Reply {
            request: reply.request,
            reply: model::Reply {
                status: reply.status,
                body: reply.body,
                waits_for: reply.waits_for.map(model::LinkId::new).transpose().map_err(bad)?,
                first: reply.first,
            },
        },
        types::Report::Notice(notice) => model::Report::Notice(model::Notice {
            link: model::LinkId::new(notice.link).map_err(bad)?,
            sys_id: model::SysId::new(notice.sys_id).map_err(bad)?,
            number: notice.number,
            created: notice.created,
        }),
    })
}
