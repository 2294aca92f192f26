//! Twins: the native driver and the engine component do the same on the same events; so do the
//! native core and the core component.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use firn_driver::Engine;
use firn_model::rule::{Admission, Answer as Answered, Class, Lesson, Question, Said, Verdict};
use firn_model::{
    Answer, AnswerBody, Change, CommitError, Configure, Event, HttpRequest, HttpResponse, Inbound,
    InboundKind, IntegrationId, Key, Millis, Operation, PlatformContract, Preset, Report, Row,
    RunMode, TenantId,
};
use firn_storage::{Memory, Store};

const NOW: Millis = Millis(1_777_472_000_000);

/// Doors over one in-memory store, for either twin.
#[derive(Clone, Default)]
struct Scripted(Arc<World>);

#[derive(Default)]
struct World {
    store: Memory,
    requests: Mutex<Vec<HttpRequest>>,
    now: Mutex<i64>,
}

impl Scripted {
    fn now_is(&self) -> Millis {
        NOW.plus(u64::try_from(*self.0.now.lock().unwrap()).unwrap())
    }
}

impl firn_driver::Storage for Scripted {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, CommitError> {
        self.0.store.get(keys)
    }
    fn scan(
        &self,
        t: &TenantId,
        p: &str,
        a: Option<&str>,
        l: u32,
    ) -> Result<Vec<Row>, CommitError> {
        self.0.store.scan(t, p, a, l)
    }
    fn commit(&self, changes: &[Change]) -> Result<(), CommitError> {
        self.0.store.commit(changes)
    }
}
impl firn_driver::Http for Scripted {
    fn submit(&self, request: HttpRequest) {
        self.0.requests.lock().unwrap().push(request);
    }
}
impl firn_driver::Clock for Scripted {
    fn now(&self) -> Millis {
        self.now_is()
    }
}
impl firn_driver::Secrets for Scripted {
    fn verify(
        &self,
        _: &TenantId,
        _: &IntegrationId,
        _: firn_driver::Scheme,
        message: &str,
        _: &[String],
    ) -> firn_driver::Signature {
        if message.contains("forged") {
            firn_driver::Signature::Invalid
        } else {
            firn_driver::Signature::Valid
        }
    }
    fn tokens(&self, tenant: &TenantId) -> Arc<dyn firn_driver::Tokens> {
        Arc::new(HostTokens(tenant.as_str().to_owned()))
    }
}

/// Compiled once for all tests.
const CACHE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/components");

/// Stands for the host's HMAC, on both sides of the twin.
fn token(tenant: &str, kind: &str, canonical: &str) -> String {
    let digest = firn_core::identity::digest(&[tenant, kind, canonical]);
    digest.bytes().map(|b| char::from(b'a' + b % 16)).take(16).collect()
}

/// The host's tokens, natively.
#[derive(Debug)]
struct HostTokens(String);

impl firn_driver::Tokens for HostTokens {
    fn token(&self, kind: &str, canonical: &str) -> Option<String> {
        Some(token(&self.0, kind, canonical))
    }
}
impl firn_driver::Rules for Scripted {
    fn ask(
        &self,
        _: &TenantId,
        _: &IntegrationId,
        rules: &firn_model::ActiveRules,
        inquiry: &firn_model::Inquiry,
    ) -> Vec<Answered> {
        rules_say(rules, inquiry)
    }
}
impl firn_driver::Log for Scripted {
    fn line(&self, _: &str) {}
}

impl firn_runtime::Doors for Scripted {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, CommitError> {
        self.0.store.get(keys)
    }
    fn scan(
        &self,
        t: &TenantId,
        p: &str,
        a: Option<&str>,
        l: u32,
    ) -> Result<Vec<Row>, CommitError> {
        self.0.store.scan(t, p, a, l)
    }
    fn commit(&self, changes: &[Change]) -> Result<(), CommitError> {
        self.0.store.commit(changes)
    }
    fn submit(&self, request: HttpRequest) {
        self.0.requests.lock().unwrap().push(request);
    }
    fn now(&self) -> Millis {
        self.now_is()
    }
    fn verify(
        &self,
        _: &str,
        _: &str,
        _: firn_runtime::Scheme,
        message: &str,
        _: &[String],
    ) -> firn_runtime::Signature {
        if message.contains("forged") {
            firn_runtime::Signature::Invalid
        } else {
            firn_runtime::Signature::Valid
        }
    }
    fn token(&self, tenant: &str, kind: &str, canonical: &str) -> Option<String> {
        Some(token(tenant, kind, canonical))
    }
    fn ask(
        &self,
        _: &TenantId,
        _: &IntegrationId,
        rules: &firn_model::ActiveRules,
        inquiry: &firn_model::Inquiry,
    ) -> Vec<Answered> {
        rules_say(rules, inquiry)
    }
    fn line(&self, _: &str) {}
}

/// A tenant's rules, on both sides of the twin: they say something of everything, and fail at some of it.
fn rules_say(rules: &firn_model::ActiveRules, inquiry: &firn_model::Inquiry) -> Vec<Answered> {
    assert_eq!(rules.version, 1);
    let one = |question: &Question| match question {
        Question::Admit => Answered::Said(Said::Admit(Admission::Yes)),
        Question::Classify { .. } => {
            let category = Some("network".to_owned());
            Answered::Said(Said::Classify(Class { category, ..Class::default() }))
        }
        Question::Draft { .. } => {
            Answered::Said(Said::Draft([("u_by".into(), "rules".into())].into()))
        }
        Question::Value { field, .. } if field.as_str() == "status" => {
            Answered::Failed(format!("not {}", inquiry.about.record))
        }
        Question::Value { .. } => Answered::Said(Said::Value(Verdict::Keep)),
        Question::Conflict { .. } => Answered::Resting(NOW.plus(500)),
        Question::Summary { .. } => Answered::Said(Said::Summary(Lesson::Settings)),
    };
    inquiry.questions.iter().map(one).collect()
}

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn integration() -> IntegrationId {
    IntegrationId::new("int-1").unwrap()
}

fn inbound(request: u64, kind: InboundKind, body: &str) -> Event {
    let headers = [
        ("webhook-id", format!("w{request}")),
        ("webhook-timestamp", (NOW.0 / 1000).to_string()),
        ("webhook-signature", "v1,x".to_owned()),
    ];
    Event::Inbound(Inbound {
        request,
        tenant: tenant(),
        integration: integration(),
        kind,
        headers: headers.map(|(n, v)| (n.to_owned(), v)).to_vec(),
        body: body.to_owned(),
        like: Vec::new(),
    })
}

/// `settings` is a merge patch on the preset's.
fn configure(preset: Preset, settings: serde_json::Value) -> Event {
    // What is due, and what is asked, is what the test tells.
    let mut settings = if settings.is_null() { serde_json::json!({}) } else { settings };
    settings["polling"] = serde_json::json!({ "mode": "off" });
    let given = Configure {
        id: integration(),
        create: true,
        slug: None,
        name: None,
        base_url: Some("https://example.service-now.com".to_owned()),
        platform: Some(PlatformContract {
            callback_url: Some("https://p.example/c".to_owned()),
            read_url: None,
            ..firn_model::PlatformContract::default()
        }),
        enabled: None,
        preset: Some(preset),
        settings,
    };
    Event::Operate {
        request: 1,
        tenant: tenant(),
        operation: Operation::Configure { integration: Box::new(given) },
        by: "test".to_owned(),
    }
}

/// Answers a request the way a small instance would; the same for both twins.
fn answer(request: &HttpRequest) -> AnswerBody {
    // The ticket has the key under which it was made.
    let key = if request.json().is_some_and(|b| b.contains("call-1")) { "call-1" } else { "rec-1" };
    let row = r#"{"sys_id":"a1b2c3d4e5f60718293a4b5c6d7e8f90","number":"INC0010001","sys_mod_count":"0","sys_updated_on":"2026-04-29 14:30:00","sys_class_name":"incident","correlation_id":"rec-1","short_description":"Printer","description":"","state":"1","impact":"2","priority":"2","assigned_to":"","assigned_to.email":""}"#
        .replace("rec-1", key);
    let (status, body) = match (request.method, request.path.as_str()) {
        (firn_model::Method::Get, "/api/now/table/incident" | "/api/now/table/task") => {
            (200, r#"{"result":[]}"#.to_owned())
        }
        (firn_model::Method::Get, "/api/now/table/sys_journal_field") => {
            (200, r#"{"result":[]}"#.to_owned())
        }
        (firn_model::Method::Post, "/api/now/table/incident") => {
            (201, format!(r#"{{"result":{row}}}"#))
        }
        (_, path) if path.starts_with("/api/now/table/incident/") => {
            (200, format!(r#"{{"result":{row}}}"#))
        }
        _ => (503, String::new()),
    };
    AnswerBody::Response(HttpResponse { status, headers: Vec::new(), body })
}

/// Plays a whole story on one twin and gives everything that it left behind.
fn play(
    rules: (Preset, &serde_json::Value),
    events: &[Event],
    doors: &Scripted,
    handle: &mut dyn FnMut(Vec<Event>) -> Vec<Report>,
) -> String {
    let (preset, settings) = rules;
    let mut said = handle(vec![configure(preset, settings.clone())]);
    for event in events {
        said.extend(handle(vec![event.clone()]));
        for _ in 0..40 {
            let requests = std::mem::take(&mut *doors.0.requests.lock().unwrap());
            let mut next: Vec<Event> = requests
                .iter()
                .map(|r| {
                    Event::Answer(Answer {
                        ticket: r.ticket.clone(),
                        tenant: tenant(),
                        integration: integration(),
                        body: answer(r),
                    })
                })
                .collect();
            let due = doors.0.store.due(doors.now_is(), 10).unwrap();
            next.extend(due.into_iter().map(|(key, _)| Event::Due(key)));
            if next.is_empty() {
                break;
            }
            said.extend(handle(next));
        }
        *doors.0.now.lock().unwrap() += 1_000;
    }
    let rows = doors.0.store.scan(&tenant(), "", None, 10_000).unwrap();
    format!("{said:#?}\n{rows:#?}")
}

fn story() -> Vec<Event> {
    vec![
        inbound(
            2,
            InboundKind::PlatformEvent,
            r#"{"id":"e1","type":"x","occurred_at":"2026-04-29T14:13:20Z","record":{"kind":"incident","id":"rec-1","version":1,"partial":false,"fields":{"title":"Printer","description":"call +15550199888","severity":"high","status":"open","assigned_to":null}}}"#,
        ),
        inbound(
            3,
            InboundKind::PlatformEvent,
            r#"{"id":"e1","type":"x","record":{"kind":"incident","id":"rec-1"}}"#,
        ),
        inbound(4, InboundKind::PlatformEvent, "{"),
        inbound(
            5,
            InboundKind::PlatformEvent,
            r#"{"id":"e2","record":{"id":"rec-1"},"comment":{"id":"c1","text":"hello","visibility":"public"}}"#,
        ),
        inbound(
            6,
            InboundKind::Webhook,
            r#"{"sys_id":"a1b2c3d4e5f60718293a4b5c6d7e8f90","number":"INC0010001","sys_mod_count":"1","table":"incident","action":"update","current":{"short_description":"Printer on fire","state":"2","priority":"2","impact":"2","sys_updated_on":"2026-04-29 14:31:00"}}"#,
        ),
        inbound(7, InboundKind::Webhook, "forged"),
        inbound(8, InboundKind::Webhook, r#"{"sys_id":"not one"}"#),
        Event::Operate {
            request: 9,
            tenant: tenant(),
            operation: Operation::Reconcile { integration: integration(), mode: RunMode::DryRun },
            by: "test".to_owned(),
        },
        Event::Due(Key::new(&tenant(), &["link", "int-1", "nobody"])),
    ]
}

#[test]
fn native_driver_and_component_leave_the_same_behind() {
    let calls = vec![
        inbound(
            2,
            InboundKind::Escalation,
            r#"{"callId":"call-1","escalationReason":"X","queueName":"Q","customerPhone":"+15550199888"}"#,
        ),
        inbound(3, InboundKind::Escalation, r#"{"callId":"call-1","escalationReason":"X"}"#),
        inbound(4, InboundKind::Escalation, r#"{"callId":"${call.id}","escalationReason":"X"}"#),
    ];
    let runtime = firn_runtime::Runtime::new(Some(Path::new(CACHE))).unwrap();
    let tokens = serde_json::json!({ "masking": { "strategy": "token" } });
    let active = firn_model::ActiveRules {
        version: 1,
        digest: "of the rules".to_owned(),
        hooks: firn_model::Hook::ALL.into_iter().collect(),
    };
    let activate = Event::Operate {
        request: 999,
        tenant: tenant(),
        operation: Operation::Activate { integration: integration(), rules: Some(active) },
        by: "ann".to_owned(),
    };
    let ruled = |events: Vec<Event>| std::iter::once(activate.clone()).chain(events).collect();
    for (preset, settings, events) in [
        (Preset::Incidents, serde_json::Value::Null, story()),
        (Preset::Incidents, tokens, story()),
        (Preset::Genesys, serde_json::Value::Null, calls.clone()),
        (Preset::Incidents, serde_json::Value::Null, ruled(story())),
        (Preset::Genesys, serde_json::Value::Null, ruled(calls)),
    ] {
        let rules = (preset, &settings);
        let native_doors = Scripted::default();
        let mut native = Engine::new(native_doors.clone());
        let natively = play(rules, &events, &native_doors, &mut |events| native.handle(&events));

        let doors = Scripted::default();
        let mine = doors.clone();
        let mut worker = runtime.worker(move || Box::new(mine.clone()));
        let inside = play(rules, &events, &doors, &mut |events| {
            let handled = worker.handle(events);
            assert!(handled.trapped.is_empty(), "{:?}", handled.trapped);
            handled.reports
        });
        assert_eq!(natively, inside);
        assert!(natively.contains("INC0010001"), "the story was told");
        let token = format!("[PHONE:{}]", token("acme", "PHONE", "+15550199888"));
        assert_eq!(natively.contains(&token), settings.is_object(), "tokens where they are wanted");
    }
}

mod core_component {
    wasmtime::component::bindgen!({ world: "core", path: "../wit" });
}

#[test]
fn native_core_and_core_component_give_the_same_answers() {
    let engine = wasmtime::Engine::default();
    let component = wasmtime::component::Component::new(&engine, firn_components::CORE).unwrap();
    let linker = wasmtime::component::Linker::<()>::new(&engine);
    let store = Rc::new(RefCell::new(wasmtime::Store::new(&engine, ())));
    let core =
        core_component::Core::instantiate(&mut *store.borrow_mut(), &component, &linker).unwrap();

    let labelled = [
        include_str!("../../laws/masking/labelled.tsv"),
        include_str!("../../laws/masking/second.tsv"),
    ];
    let wide = "\u{FF14}111 1111 1111 1111";
    for text in labelled.into_iter().flat_map(str::lines).chain(["", wide]) {
        let inside = core.firn_sync_masking().call_mask(&mut *store.borrow_mut(), text).unwrap();
        let natively = firn_core::masking::mask(text);
        assert_eq!(inside.text, natively.text);
        let spans = |span: &core_component::exports::firn::sync::masking::Span| {
            (span.kind.clone(), span.start as usize, span.end as usize)
        };
        let natively: Vec<_> =
            natively.spans.iter().map(|s| (s.kind.name().to_owned(), s.start, s.end)).collect();
        assert_eq!(inside.spans.iter().map(spans).collect::<Vec<_>>(), natively);
    }

    // The planner, on the link that a real story left behind.
    let doors = Scripted::default();
    let mut driver = Engine::new(doors.clone());
    play((Preset::Incidents, &serde_json::Value::Null), &story(), &doors, &mut |events| {
        driver.handle(&events)
    });
    let one =
        |prefix: &str| doors.0.store.scan(&tenant(), prefix, None, 1).unwrap().remove(0).value;
    let (integration, link) = (one("integration/"), one("link/"));
    let plan = core
        .firn_sync_planner()
        .call_advance(&mut *store.borrow_mut(), &integration, &link, "[]", NOW.0)
        .unwrap()
        .unwrap();
    let rules = firn_core::settings::compile(serde_json::from_str(&integration).unwrap()).unwrap();
    let natively = firn_core::plan::advance(&rules, serde_json::from_str(&link).unwrap(), &[], NOW);
    assert_eq!(plan, serde_json::to_string(&natively).unwrap());
    let broken = core
        .firn_sync_planner()
        .call_advance(&mut *store.borrow_mut(), "{}", &link, "[]", 0)
        .unwrap();
    assert!(broken.unwrap_err().starts_with("integration:"));
}

/// A row too large for an instance's memory traps whoever reads it. Only its own event is lost.
#[test]
fn a_trap_is_contained_to_its_event() {
    let doors = Scripted::default();
    let mine = doors.clone();
    let runtime = firn_runtime::Runtime::new(Some(Path::new(CACHE))).unwrap();
    let mut worker = runtime.worker(move || Box::new(mine.clone()));
    worker.handle(vec![configure(Preset::Genesys, serde_json::Value::Null)]);
    let poison = Key::new(&tenant(), &["link", "int-1", "poison"]);
    let put = Some(firn_model::Put { value: "x".repeat(300 << 20), due: None });
    doors
        .0
        .store
        .commit(&[Change { key: poison.clone(), expect: firn_model::Expect::Any, put }])
        .unwrap();

    let call = |n: u64| {
        inbound(
            n,
            InboundKind::Escalation,
            &format!(r#"{{"callId":"call-{n}","escalationReason":"X"}}"#),
        )
    };
    let handled = worker.handle(vec![call(2), Event::Due(poison.clone()), call(3)]);
    assert_eq!(handled.trapped.len(), 1);
    assert_eq!(handled.trapped[0].0, Event::Due(poison));
    assert_eq!(handled.reports.len(), 2, "both calls were answered");
    let links = doors.0.store.scan(&tenant(), "link/int-1/l-", None, 10).unwrap();
    assert_eq!(links.len(), 2, "and both are stored, once");
}

fn call(n: u64) -> Event {
    let body = format!(r#"{{"callId":"call-{n}","escalationReason":"X"}}"#);
    inbound(n, InboundKind::Escalation, &body)
}

#[test]
fn work_of_a_deleted_integration_rests() {
    let doors = Scripted::default();
    let mut engine = Engine::new(doors.clone());
    engine.handle(&[configure(Preset::Genesys, serde_json::Value::Null)]);
    engine.handle(&[call(2)]);
    let due = doors.0.store.due(doors.now_is(), 10).unwrap();
    assert_eq!(due.len(), 1);
    let key = Key::new(&tenant(), &["integration", "int-1"]);
    doors.0.store.commit(&[Change { key, expect: firn_model::Expect::Any, put: None }]).unwrap();
    engine.handle(&[Event::Due(due[0].0.clone())]);
    // What is left is the end of what came in, seven days later.
    let next = doors.0.store.next_due().unwrap().map(|due| due.since(NOW));
    assert_eq!(next, Some(7 * 24 * 3_600_000), "and is not due for ever");
    assert!(doors.0.requests.lock().unwrap().is_empty());
}

#[test]
fn a_paused_integration_keeps_and_sends_nothing_until_it_is_resumed() {
    let doors = Scripted::default();
    let mut engine = Engine::new(doors.clone());
    engine.handle(&[configure(Preset::Genesys, serde_json::Value::Null)]);
    let enable = |enabled| {
        let given = Configure {
            id: integration(),
            create: false,
            slug: None,
            name: None,
            base_url: None,
            platform: None,
            enabled: Some(enabled),
            preset: None,
            settings: serde_json::json!({ "polling": { "mode": "off" } }),
        };
        Event::Operate {
            request: 9,
            tenant: tenant(),
            operation: Operation::Configure { integration: Box::new(given) },
            by: "test".to_owned(),
        }
    };
    let due = |engine: &mut Engine<Scripted>| {
        *doors.0.now.lock().unwrap() += 3_000;
        let due = doors.0.store.due(doors.now_is(), 10).unwrap();
        engine.handle(&due.into_iter().map(|(key, _)| Event::Due(key)).collect::<Vec<_>>());
    };
    engine.handle(&[enable(false)]);
    engine.handle(&[call(2)]);
    due(&mut engine);
    due(&mut engine);
    assert!(doors.0.requests.lock().unwrap().is_empty());
    engine.handle(&[enable(true)]);
    due(&mut engine);
    assert_eq!(doors.0.requests.lock().unwrap().len(), 1, "the look-up before the create");
}
