//! The network between Firn and both sides, with everything that goes wrong there.

use firn_model::{AnswerBody, HttpRequest, HttpResponse, InboundKind, Method, Remote};

use super::{Message, TIMEOUT, TRANSACTION_LIMIT, World, is_sweep};
use crate::sim::servicenow::{Changed, ServiceNow};

impl World {
    pub(super) fn send_request(&mut self, request: HttpRequest) {
        let ticket = request.ticket.clone();
        if request.method == Method::Patch
            && request.json().is_some_and(|body| body.contains("\"Duplicate of "))
            && let Some(closed) = request.path.rsplit('/').next()
        {
            let id = self.site().integration.id.clone();
            let paired = |index| !self.stored(&[index, id.as_str(), closed]).is_null();
            let was_paired = self.site().paired.contains(closed);
            if was_paired || paired("external") || paired("formerly") {
                self.closes_a_pair = Some(closed.to_owned());
            }
        }
        self.pending.insert(ticket.clone());
        self.post(TIMEOUT, Message::Timeout { ticket: ticket.clone() });
        let refuse = |status, headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            AnswerBody::Response(HttpResponse { status, headers, body: "<html>".to_owned() })
        };
        if self.no_room > 0 {
            self.no_room -= 1;
            self.post(0, Message::Response { ticket, body: AnswerBody::Busy(1_000) });
            return;
        }
        let mut delay = self.rng.u64(5..120);
        let mut answer_lost = false;
        if self.chance(14) {
            let (what, answer) = match self.rng.u32(0..7) {
                // By the clock: another draw would make other worlds of all known seeds.
                0 => match self.now.0 % 4 {
                    0 => ("fault: no turn in the budget", Some(AnswerBody::Busy(1_500))),
                    1 => ("fault: left alone", Some(AnswerBody::Silent(2_500))),
                    _ => (
                        "fault: connection refused",
                        Some(AnswerBody::NotSent("refused".to_owned())),
                    ),
                },
                1 => ("fault: 503", Some(refuse(503, &[]))),
                2 => {
                    let waits = ["2", "-5", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", ""];
                    let wait = waits[self.rng.usize(0..waits.len())];
                    ("fault: 429", Some(refuse(429, &[("retry-after", wait)])))
                }
                3 => ("fault: 401", Some(refuse(401, &[]))),
                4 => {
                    self.met("fault: request lost");
                    return;
                }
                5 => {
                    // Overdue, and executed all the same: at most until the transaction limit.
                    delay = self.rng.u64(TIMEOUT..TRANSACTION_LIMIT - 200);
                    // A create even beyond it, where nothing is promised about that.
                    let create = request.remote == Remote::Servicenow
                        && request.method == Method::Post
                        && !self.site().servicenow.unique;
                    if create && self.rng.bool() {
                        delay = self.rng.u64(TRANSACTION_LIMIT..3 * TRANSACTION_LIMIT);
                        ("fault: commit beyond the limit", None)
                    } else {
                        ("fault: late commit", None)
                    }
                }
                _ => {
                    answer_lost = true;
                    ("fault: answer lost after effect", None)
                }
            };
            self.met(what);
            if let Some(body) = answer {
                self.post(delay, Message::Response { ticket, body });
                return;
            }
        }
        self.post(delay, Message::Request { request: Box::new(request), answer_lost });
    }

    pub(super) fn execute(&mut self, request: &HttpRequest, answer_lost: bool) {
        self.say(|| {
            let query = request.query.iter().find(|(name, _)| name == "sysparm_query");
            format!(
                "execute {:?} {:?} {} {} {}",
                request.remote,
                request.method,
                request.path,
                query.map_or("", |(_, query)| query),
                request.json().unwrap_or("")
            )
        });
        let mut body = if request.remote == Remote::Servicenow {
            if request.method == Method::Patch && self.chance(6) {
                self.met("edit: external between read and write");
                if let Some(id) = request.path.rsplit('/').next().map(str::to_owned) {
                    self.edit_ticket(&id);
                }
            }
            if is_sweep(&request.ticket)
                && request.query.iter().any(|(_, v)| v.starts_with("sys_idIN"))
            {
                self.met("sweep: a ticket read");
            }
            let (response, changed) = self.sites[self.at].servicenow.serve(request, self.now);
            for changed in changed {
                self.tell(changed);
            }
            response
        } else {
            let (response, events) = self.sites[self.at].platform.serve(request, self.now);
            if response.status == 409 {
                self.met("outcome: moved");
            }
            for event in events {
                self.send_event(event);
            }
            response
        };
        if request.method != Method::Get && self.chance(3) {
            self.met("fault: 500 after commit");
            body = HttpResponse { status: 500, headers: Vec::new(), body: String::new() };
        }
        if self.chance(2) {
            self.met("fault: unusable answer");
            body.status = 200;
            let one = request.method != Method::Post && body.body.starts_with("{\"result\":{");
            body.body = match self.rng.u32(0..if one { 4 } else { 3 }) {
                0 => "<html>maintenance</html>".to_owned(),
                1 => String::new(),
                2 => body.body.chars().take(body.body.len() / 2).collect(),
                _ => body.body.replace("\"sys_id\":\"0", "\"sys_id\":\"f"),
            };
        }
        let lost_on_demand = request.remote == Remote::Servicenow
            && request.method != Method::Get
            && std::mem::take(&mut self.lose_next);
        if !answer_lost && !lost_on_demand {
            let delay = self.rng.u64(1..60);
            let message = Message::Response {
                ticket: request.ticket.clone(),
                body: AnswerBody::Response(body),
            };
            self.post(delay, message);
        }
    }

    /// ServiceNow tells of a change: once, never, twice, late, or with an older payload.
    pub(super) fn tell(&mut self, changed: Changed) {
        let body = match &changed {
            Changed::Ticket(id) => {
                let shape = match self.chance(20) {
                    true => self.rng.u64(0..2),
                    false => 2,
                };
                if shape < 2 {
                    self.met("fault: webhook without counter");
                }
                self.sites[self.at].servicenow.webhook(id, shape)
            }
            Changed::Journal(row) => Some(ServiceNow::journal_webhook(row)),
        };
        let Some(body) = body else { return };
        self.remember(&body);
        if self.chance(self.webhooks_lost) {
            self.met("fault: webhook lost");
            return;
        }
        self.messages += 1;
        let id = self.messages;
        let mut delay = self.rng.u64(1..200);
        if self.chance(12) {
            self.met("fault: webhook late");
            delay = self.rng.u64(1_000..30_000);
        }
        if self.chance(10) {
            self.met("fault: webhook doubled");
            let again = self.rng.u64(1..10_000);
            self.post(delay + again, Message::Webhook { id, body: body.clone() });
        }
        self.post(delay, Message::Webhook { id, body });
    }

    /// The platform's event, on its way.
    pub(super) fn send_event(&mut self, body: String) {
        self.send_told(InboundKind::PlatformEvent, body, 0);
    }

    /// The process died, or its store was put back: what it did not acknowledge is told again.
    pub(super) fn tell_again(&mut self) {
        for (at, kind, body) in std::mem::take(&mut self.unacknowledged).into_values() {
            self.at = at;
            self.send_told(kind, body, 1_000);
        }
    }

    pub(super) fn send_told(&mut self, kind: InboundKind, body: String, after: u64) {
        let mut delay = after + self.rng.u64(1..200);
        if self.chance(12) {
            self.met("fault: event late");
            delay += self.rng.u64(1_000..20_000);
        }
        if self.chance(10) {
            self.met("fault: event doubled");
            let again = self.rng.u64(1..10_000);
            self.post(delay + again, Message::Told { kind, body: body.clone() });
        }
        self.post(delay, Message::Told { kind, body });
    }
}
