//! Journeys: one change, followed from what came in to the write on the other side and back. The host sees
//! deliveries and links being committed and requests leaving; that is enough, and the engine knows nothing
//! of it. How long they take is a metric; with `OTEL_EXPORTER_OTLP_ENDPOINT` each is a trace too.
//!
//! | span | from | to |
//! |---|---|---|
//! | `change` | a delivery, or an escalation, came in | its link has nothing left to do |
//! | `take in` | it came in | it was looked at |
//! | `PATCH servicenow`, ... | a request was handed over | its answer is there |
//! | `heard back` | our own write came back as a webhook | it was found to be nothing new |

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use firn_model::{
    AnswerBody, Change, DeliveryState, Expect, HttpRequest, InboundKind, IntegrationId, LinkId,
    Millis, TenantId,
};
use opentelemetry::trace::{
    Span, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};
use serde::Deserialize;

use super::metrics::{outcome, remote_name};

/// The most links that are followed at once; beyond, the oldest are let go, and not measured.
const MOST: usize = 100_000;
/// How long after its end a journey may be heard back. In milliseconds.
const ECHO: i64 = 60_000;

/// A delivery as far as it is looked at here.
#[derive(Deserialize)]
struct Looked {
    kind: InboundKind,
    received: Millis,
    state: DeliveryState,
    #[serde(default)]
    links: Vec<LinkId>,
}

type Place = (IntegrationId, LinkId);

struct Journey {
    began: Millis,
    /// None without a tracer.
    root: Option<SdkSpan>,
}

/// One value a link, of the latest [`MOST`] links.
struct Latest<T> {
    of: BTreeMap<Place, (u64, T)>,
    by_age: BTreeMap<u64, Place>,
    next: u64,
}

impl<T> Default for Latest<T> {
    fn default() -> Latest<T> {
        Latest { of: BTreeMap::new(), by_age: BTreeMap::new(), next: 0 }
    }
}

impl<T> Latest<T> {
    fn get(&self, place: &Place) -> Option<&T> {
        self.of.get(place).map(|(_, value)| value)
    }

    fn insert(&mut self, place: Place, value: T) {
        self.remove(&place);
        self.next += 1;
        self.by_age.insert(self.next, place.clone());
        self.of.insert(place, (self.next, value));
        if self.of.len() > MOST
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.of.remove(&oldest);
        }
    }

    fn remove(&mut self, place: &Place) -> Option<T> {
        let (age, value) = self.of.remove(place)?;
        self.by_age.remove(&age);
        Some(value)
    }
}

#[derive(Default)]
struct State {
    /// An abandoned one ends as it is: its span is sent when it is dropped.
    open: Latest<Journey>,
    /// Those that ended a moment ago, and when.
    ended: Latest<(Option<SpanContext>, Millis)>,
}

/// All that are under way.
pub(crate) struct Journeys {
    state: Mutex<State>,
    tracer: Option<SdkTracer>,
}

/// A request that left, if it is traced.
pub(crate) struct Leg(Option<SdkSpan>);

fn at(millis: Millis) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis.0.max(0).unsigned_abs())
}

fn within(parent: &SpanContext) -> Context {
    Context::new().with_remote_span_context(parent.clone())
}

impl Journeys {
    pub(crate) fn new(tracer: Option<SdkTracer>) -> Journeys {
        Journeys { state: Mutex::default(), tracer }
    }

    fn begin(
        &self,
        state: &mut State,
        tenant: &TenantId,
        place: Place,
        kind: InboundKind,
        came: Millis,
    ) {
        if state.open.get(&place).is_some() {
            return;
        }
        let root = self.tracer.as_ref().map(|tracer| {
            let builder = SpanBuilder::from_name("change")
                .with_kind(SpanKind::Server)
                .with_start_time(at(came))
                .with_attributes([
                    KeyValue::new("firn.tenant", tenant.to_string()),
                    KeyValue::new("firn.integration", place.0.to_string()),
                    KeyValue::new("firn.link", place.1.to_string()),
                    KeyValue::new("firn.came_as", kind.name()),
                ]);
            tracer.build_with_context(builder, &Context::new())
        });
        state.open.insert(place, Journey { began: came, root });
    }

    /// Changes were committed. Gives the journeys that ended with it, and how long they took; those that had
    /// nowhere to go, as what we had written ourselves, are none.
    pub(crate) fn committed(
        &self,
        changes: &[Change],
        now: Millis,
    ) -> Vec<(IntegrationId, Duration)> {
        let mut links: BTreeMap<Place, &Change> = BTreeMap::new();
        let mut looked: Vec<(&Change, IntegrationId, Looked)> = Vec::new();
        for change in changes {
            let mut segments = change.key.segments();
            let (Some(kind), Some(id), Some(name)) =
                (segments.next(), segments.next(), segments.next())
            else {
                continue;
            };
            match (kind, &change.put) {
                ("link", _) => {
                    if let (Ok(id), Ok(link)) = (IntegrationId::new(id), LinkId::new(name)) {
                        links.insert((id, link), change);
                    }
                }
                // A body may be long: what is not over yet is not read.
                ("delivery", Some(put)) if put.value.contains(r#""state":{"done""#) => {
                    let read = serde_json::from_str::<Looked>(&put.value);
                    if let (Ok(id), Ok(read)) = (IntegrationId::new(id), read)
                        && matches!(read.state, DeliveryState::Done(_))
                    {
                        looked.push((change, id, read));
                    }
                }
                _ => {}
            }
        }
        if links.is_empty() {
            return Vec::new();
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // First what came in, then what it led to: both stand in one commit. What brought nothing to its link,
        // as a file that is read by itself, begins no journey.
        let mut echoes: BTreeMap<Place, (Option<SpanContext>, InboundKind, Millis)> =
            BTreeMap::new();
        for (change, id, looked) in looked {
            for link in looked.links {
                let place = (id.clone(), link);
                if !links.contains_key(&place) {
                    continue;
                }
                let ended =
                    state.ended.get(&place).filter(|(_, end)| now.since(*end) < ECHO).cloned();
                if state.open.get(&place).is_none()
                    && let Some((root, _)) = ended
                {
                    echoes.insert(place.clone(), (root, looked.kind, looked.received));
                }
                let tenant = &change.key.tenant;
                self.begin(&mut state, tenant, place.clone(), looked.kind, looked.received);
                if let (Some(tracer), Some(root)) = (&self.tracer, root_of(&state, &place)) {
                    let builder = SpanBuilder::from_name("take in")
                        .with_start_time(at(looked.received))
                        .with_attributes([KeyValue::new("firn.came_as", looked.kind.name())]);
                    tracer.build_with_context(builder, &within(&root)).end_with_timestamp(at(now));
                }
            }
        }
        let mut over = Vec::new();
        for (place, change) in links {
            let due = match &change.put {
                None => {
                    state.open.remove(&place);
                    continue;
                }
                // It is due again as long as something is left to do.
                Some(put) => put.due.is_some(),
            };
            if due {
                // A link that nothing came in for is one that was asked for at once.
                if change.expect == Expect::Absent && state.open.get(&place).is_none() {
                    let tenant = &change.key.tenant;
                    self.begin(&mut state, tenant, place, InboundKind::Escalation, now);
                }
                continue;
            }
            let Some(journey) = state.open.remove(&place) else { continue };
            let echo = echoes.remove(&place);
            let took = u64::try_from(now.since(journey.began)).unwrap_or_default();
            if echo.is_none() {
                over.push((place.0.clone(), Duration::from_millis(took)));
            }
            let mut context = None;
            if let Some(mut root) = journey.root {
                if let (Some((Some(first), kind, came)), Some(tracer)) = (echo, &self.tracer) {
                    let builder = SpanBuilder::from_name("heard back")
                        .with_start_time(at(came))
                        .with_attributes([KeyValue::new("firn.came_as", kind.name())]);
                    tracer.build_with_context(builder, &within(&first)).end_with_timestamp(at(now));
                }
                context = Some(root.span_context().clone());
                root.end_with_timestamp(at(now));
            }
            state.ended.insert(place, (context, now));
        }
        over
    }

    /// A request leaves.
    pub(crate) fn leaves(&self, request: &HttpRequest) -> Leg {
        let Some(tracer) = &self.tracer else { return Leg(None) };
        let mut segments = request.ticket.split('#').next().unwrap_or_default().split('/');
        let place = match (segments.next(), segments.next(), segments.next()) {
            (Some("link"), Some(id), Some(link)) => {
                IntegrationId::new(id).ok().zip(LinkId::new(link).ok())
            }
            _ => None,
        };
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let parent = place.as_ref().and_then(|place| root_of(&state, place));
        let parent = parent.map_or_else(Context::new, |parent| within(&parent));
        let name = format!("{} {}", method(request), remote_name(request.remote));
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Client).with_attributes([
            KeyValue::new("firn.tenant", request.tenant.to_string()),
            KeyValue::new("firn.integration", request.integration.to_string()),
            KeyValue::new("http.request.method", method(request)),
        ]);
        Leg(Some(tracer.build_with_context(builder, &parent)))
    }
}

fn method(request: &HttpRequest) -> &'static str {
    match request.method {
        firn_model::Method::Get => "GET",
        firn_model::Method::Post => "POST",
        firn_model::Method::Patch => "PATCH",
    }
}

fn root_of(state: &State, place: &Place) -> Option<SpanContext> {
    let root = state.open.get(place)?.root.as_ref()?;
    Some(root.span_context().clone())
}

impl Leg {
    /// What tells the other side which trace it is in (W3C Trace Context).
    pub(crate) fn traceparent(&self) -> Option<String> {
        let context = self.0.as_ref()?.span_context();
        let flags = context.trace_flags().to_u8();
        Some(format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id()))
    }

    /// It has ended.
    pub(crate) fn over(self, end: &AnswerBody) {
        let Some(mut span) = self.0 else { return };
        let how = outcome(end);
        if let AnswerBody::Response(response) = end {
            span.set_attribute(KeyValue::new(
                "http.response.status_code",
                i64::from(response.status),
            ));
        }
        if !matches!(end, AnswerBody::Response(response) if response.status < 400) {
            span.set_status(Status::error(how.clone()));
        }
        span.set_attribute(KeyValue::new("firn.outcome", how));
        span.end();
    }
}

#[cfg(test)]
mod tests {
    use firn_model::{Key, Put};
    use serde_json::{Value as Json, json};

    use super::*;

    fn put(path: &[&str], expect: Expect, value: &Json, due: Option<i64>) -> Change {
        let key = Key::new(&TenantId::new("acme").unwrap(), path);
        let put = Some(Put { value: value.to_string(), due: due.map(Millis) });
        Change { key, expect, put }
    }

    fn link(expect: Expect, due: Option<i64>) -> Change {
        put(&["link", "i", "l"], expect, &json!({}), due)
    }

    fn done(received: i64, links: &[&str]) -> Change {
        let value = json!({ "identity": "x", "kind": "webhook", "body": "{}", "received": received,
            "state": { "done": "observed" }, "links": links });
        put(&["delivery", "i", "d"], Expect::Version(1), &value, Some(1))
    }

    #[test]
    fn a_journey_lasts_from_what_came_in_to_a_link_at_rest() {
        let journeys = Journeys::new(None);
        let now = |changes: &[Change], at: i64| -> Vec<u128> {
            let over = journeys.committed(changes, Millis(at));
            over.into_iter().map(|(_, took)| took.as_millis()).collect()
        };
        let (there, none) = (Expect::Version(1), Vec::<u128>::new());
        // Something came in, was written, and is at rest.
        assert_eq!(now(&[done(100, &["l"]), link(there, Some(1))], 120), none);
        assert_eq!(now(&[link(there, Some(2))], 130), none);
        assert_eq!(now(&[link(there, None)], 400), [300]);
        assert_eq!(now(&[link(there, None)], 500), none, "nothing came in");
        // Our own write comes back: it is no journey. Later the same is.
        assert_eq!(now(&[done(600, &["l"]), link(there, None)], 610), none);
        assert_eq!(now(&[done(90_000, &["l"]), link(there, None)], 90_010), [10]);
        // A link that nothing came in for was asked for; one that is gone is followed no more.
        let gone = Change { put: None, ..link(there, None) };
        assert_eq!(now(&[link(Expect::Absent, Some(1))], 100_000), none);
        assert_eq!(now(&[link(there, None)], 100_700), [700]);
        assert_eq!(now(&[done(200_000, &["l"]), link(there, Some(1))], 200_001), none);
        assert_eq!(now(&[gone], 200_002), none);
        assert_eq!(now(&[link(there, None)], 200_003), none);
        // What brings nothing to its link begins nothing.
        assert_eq!(now(&[done(300_000, &["l"])], 300_001), none);
        assert_eq!(now(&[link(there, None)], 300_002), none);
    }

    #[test]
    fn of_very_many_the_oldest_are_let_go() {
        let mut latest = Latest::default();
        let place =
            |n: usize| (IntegrationId::new("i").unwrap(), LinkId::new(format!("l-{n}")).unwrap());
        for n in 0..MOST + 5 {
            latest.insert(place(n), n);
        }
        latest.insert(place(7), 7);
        assert_eq!((latest.of.len(), latest.by_age.len()), (MOST, MOST));
        assert!(latest.get(&place(4)).is_none() && latest.get(&place(7)) == Some(&7));
        assert_eq!(latest.remove(&place(7)), Some(7));
        assert_eq!((latest.of.len(), latest.by_age.len()), (MOST - 1, MOST - 1));
    }
}
