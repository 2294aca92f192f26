//! The `engine` component: core and driver behind the doors of the WIT world. Conversions, nothing
//! else. An instance lives as long as its host likes; it keeps parsed settings, no other state.
#![allow(missing_docs, unsafe_code)]

wit_bindgen::generate!({ world: "engine", path: "../../../wit" });

use std::cell::RefCell;
use std::sync::Arc;

use exports::firn::sync::handler;
use firn::sync::{clock, http, log, rules, secrets, storage, types};
use firn_driver::{Clock, Engine, Http, Log, Rules, Scheme, Secrets, Signature, Storage, Tokens};
use firn_memory as _;
use firn_model as model;

struct Doors;

thread_local! {
    static ENGINE: RefCell<Engine<Doors>> = RefCell::new(Engine::new(Doors));
}

struct Component;

impl handler::Guest for Component {
    fn handle(events: Vec<types::Event>) -> Vec<types::Report> {
        let mut refused = Vec::new();
        let mut taken = Vec::with_capacity(events.len());
        for event in events {
            match event_in(event) {
                Ok(event) => taken.push(event),
                Err(report) => refused.extend(report),
            }
        }
        let reports = ENGINE.with_borrow_mut(|engine| engine.handle(&taken));
        refused.into_iter().chain(reports.into_iter().map(report_out)).collect()
    }
}

export!(Component);

// ---- the doors -------------------------------------------------------------------------------

impl Storage for Doors {
    fn get(&self, keys: &[model::Key]) -> Result<Vec<Option<model::Row>>, model::CommitError> {
        let keys: Vec<types::Key> = keys.iter().map(key_out).collect();
        let rows = storage::get(&keys).map_err(error_in)?;
        rows.into_iter().map(|row| row.map(row_in).transpose()).collect()
    }

    fn scan(
        &self,
        tenant: &model::TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<model::Row>, model::CommitError> {
        let rows = storage::scan(tenant.as_str(), prefix, after, limit).map_err(error_in)?;
        rows.into_iter().map(row_in).collect()
    }

    fn commit(&self, changes: &[model::Change]) -> Result<(), model::CommitError> {
        let changes: Vec<types::Change> = changes
            .iter()
            .map(|change| types::Change {
                key: key_out(&change.key),
                expect: match change.expect {
                    model::Expect::Absent => types::Expect::Absent,
                    model::Expect::Version(version) => types::Expect::Version(version),
                    model::Expect::Any => types::Expect::Any,
                },
                put: change.put.as_ref().map(|put| types::Put {
                    value: put.value.clone(),
                    due: put.due.map(|due| due.0),
                }),
            })
            .collect();
        storage::commit(&changes).map_err(error_in)
    }
}

impl Http for Doors {
    fn submit(&self, request: model::HttpRequest) {
        http::submit(&types::HttpRequest {
            ticket: request.ticket,
            tenant: request.tenant.into(),
            integration: request.integration.into(),
            remote: remote_out(request.remote),
            method: match request.method {
                model::Method::Get => types::Method::Get,
                model::Method::Post => types::Method::Post,
                model::Method::Patch => types::Method::Patch,
            },
            path: request.path,
            query: request.query,
            headers: request.headers,
            body: request.body.map(|body| match body {
                model::Body::Json(text) => types::Body::Json(text),
                model::Body::File(fetch) => types::Body::File(types::Fetch {
                    remote: remote_out(fetch.remote),
                    path: fetch.path,
                    media_type: fetch.media_type,
                    size: fetch.size,
                    sha256: fetch.hash.into(),
                }),
            }),
            want: match request.want {
                model::Want::Text => types::Want::Text,
                model::Want::Hash(most) => types::Want::Hash(most),
            },
            urgency: match request.urgency {
                model::Urgency::First => types::Urgency::First,
                model::Urgency::Usual => types::Urgency::Usual,
            },
            queue: request.queue,
            timeout: request.timeout,
        });
    }
}

impl Clock for Doors {
    fn now(&self) -> model::Millis {
        model::Millis(clock::now())
    }
}

impl Secrets for Doors {
    fn verify(
        &self,
        tenant: &model::TenantId,
        integration: &model::IntegrationId,
        scheme: Scheme,
        message: &str,
        signatures: &[String],
    ) -> Signature {
        let scheme = match scheme {
            Scheme::Standard => types::Scheme::Standard,
            Scheme::BodyOnly => types::Scheme::BodyOnly,
        };
        match secrets::verify(tenant.as_str(), integration.as_str(), scheme, message, signatures) {
            types::Signature::Valid => Signature::Valid,
            types::Signature::Invalid => Signature::Invalid,
            types::Signature::NoSecret => Signature::NoSecret,
        }
    }

    fn tokens(&self, tenant: &model::TenantId) -> Arc<dyn Tokens> {
        Arc::new(TenantTokens(tenant.as_str().to_owned()))
    }
}

/// Asks the host for each token.
#[derive(Debug)]
struct TenantTokens(String);

impl Tokens for TenantTokens {
    fn token(&self, kind: &str, canonical: &str) -> Option<String> {
        secrets::token(&self.0, kind, canonical)
    }
}

impl Rules for Doors {
    fn ask(
        &self,
        tenant: &model::TenantId,
        integration: &model::IntegrationId,
        active: &model::ActiveRules,
        inquiry: &model::Inquiry,
    ) -> Vec<model::rule::Answer> {
        let json = |value: Result<String, _>| value.unwrap_or_default();
        let active = json(serde_json::to_string(active));
        let inquiry = json(serde_json::to_string(inquiry));
        let answers = rules::ask(tenant.as_str(), integration.as_str(), &active, &inquiry);
        serde_json::from_str(&answers).unwrap_or_default()
    }
}

impl Log for Doors {
    fn line(&self, text: &str) {
        log::line(text);
    }
}

// ---- conversions -----------------------------------------------------------------------------

fn remote_out(remote: model::Remote) -> types::Remote {
    match remote {
        model::Remote::Servicenow => types::Remote::Servicenow,
        model::Remote::PlatformCallback => types::Remote::PlatformCallback,
        model::Remote::PlatformRead => types::Remote::PlatformRead,
        model::Remote::PlatformFindings => types::Remote::PlatformFindings,
        model::Remote::PlatformKnowledge => types::Remote::PlatformKnowledge,
        model::Remote::Model => types::Remote::Model,
        model::Remote::PlatformAttachmentRead => types::Remote::PlatformAttachmentRead,
        model::Remote::PlatformAttachmentWrite => types::Remote::PlatformAttachmentWrite,
    }
}

fn key_out(key: &model::Key) -> types::Key {
    types::Key { tenant: key.tenant.as_str().to_owned(), path: key.path.clone() }
}

fn key_in(key: types::Key) -> Result<model::Key, String> {
    let tenant = model::TenantId::new(key.tenant).map_err(|e| e.to_string())?;
    Ok(model::Key { tenant, path: key.path })
}

fn row_in(row: types::Row) -> Result<model::Row, model::CommitError> {
    Ok(model::Row {
        key: key_in(row.key).map_err(model::CommitError::Failed)?,
        version: row.version,
        value: row.value,
        due: row.due.map(model::Millis),
    })
}

fn error_in(error: types::StoreError) -> model::CommitError {
    match error {
        types::StoreError::Stale(key) => match key_in(key) {
            Ok(key) => model::CommitError::Stale(key),
            Err(why) => model::CommitError::Failed(why),
        },
        types::StoreError::Failed(why) => model::CommitError::Failed(why),
    }
}

/// An event that cannot even be named (an id that is none) is refused with a reply, if it has one.
fn event_in(event: types::Event) -> Result<model::Event, Option<types::Report>> {
    let refuse = |request: u64| {
        move |why: String| {
            let problem =
                model::Problem::new(404, "unknown-integration", "Unknown integration", why);
            Some(types::Report::Reply(types::Reply {
                request,
                status: problem.status,
                body: serde_json::to_string(&problem).unwrap_or_default(),
                waits_for: None,
                first: false,
            }))
        }
    };
    let tenant = |text: String| model::TenantId::new(text).map_err(|e| e.to_string());
    let integration = |text: String| model::IntegrationId::new(text).map_err(|e| e.to_string());
    Ok(match event {
        types::Event::Inbound(inbound) => model::Event::Inbound(model::Inbound {
            request: inbound.request,
            tenant: tenant(inbound.tenant).map_err(refuse(inbound.request))?,
            integration: integration(inbound.integration).map_err(refuse(inbound.request))?,
            kind: match inbound.kind {
                types::InboundKind::Webhook => model::InboundKind::Webhook,
                types::InboundKind::PlatformEvent => model::InboundKind::PlatformEvent,
                types::InboundKind::Escalation => model::InboundKind::Escalation,
            },
            headers: inbound.headers,
            body: inbound.body,
            like: inbound
                .like
                .into_iter()
                .map(|types::LikeCase { ticket, asked, solved }| model::LikeCase {
                    ticket,
                    asked,
                    solved,
                })
                .collect(),
        }),
        types::Event::Operate(operate) => {
            let refuse = refuse(operate.request);
            model::Event::Operate {
                request: operate.request,
                tenant: tenant(operate.tenant).map_err(refuse)?,
                operation: serde_json::from_str(&operate.operation)
                    .map_err(|e| refuse(format!("the operation cannot be read: {e}")))?,
                by: operate.by,
            }
        }
        types::Event::Due(key) => model::Event::Due(key_in(key).map_err(|_| None)?),
        types::Event::Answer(answer) => model::Event::Answer(model::Answer {
            ticket: answer.ticket,
            tenant: tenant(answer.tenant).map_err(|_| None)?,
            integration: integration(answer.integration).map_err(|_| None)?,
            body: match answer.ending {
                types::Ending::Response(response) => {
                    model::AnswerBody::Response(model::HttpResponse {
                        status: response.status,
                        headers: response.headers,
                        body: response.body,
                    })
                }
                types::Ending::NotSent(why) => model::AnswerBody::NotSent(why),
                types::Ending::Busy(ms) => model::AnswerBody::Busy(ms),
                types::Ending::Silent(ms) => model::AnswerBody::Silent(ms),
                types::Ending::Lost(why) => model::AnswerBody::Lost(why),
                types::Ending::NoFile(status) => model::AnswerBody::NoFile(status),
                types::Ending::OtherFile => model::AnswerBody::OtherFile,
            },
        }),
    })
}

fn report_out(report: model::Report) -> types::Report {
    match report {
        model::Report::Reply { request, reply } => types::Report::Reply(types::Reply {
            request,
            status: reply.status,
            body: reply.body,
            waits_for: reply.waits_for.map(String::from),
            first: reply.first,
        }),
        model::Report::Notice(notice) => types::Report::Notice(types::Notice {
            link: notice.link.into(),
            sys_id: notice.sys_id.into(),
            number: notice.number,
            created: notice.created,
        }),
    }
}
