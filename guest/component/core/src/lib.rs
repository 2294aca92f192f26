//! The `core` component: the pure part alone, importing nothing. Conversions, nothing else.
#![allow(missing_docs, unsafe_code)]

wit_bindgen::generate!({
    world: "core",
    path: "../../../wit",
    // For the same conversions natively, which golden transcripts are replayed in.
    additional_derives: [serde::Serialize, serde::Deserialize],
});

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

pub use exports::firn::sync as interfaces;
use exports::firn::sync::{
    conflict, gateway, identity, intake, mapping, masking, ownership, planner, words,
};
use firn_core::gateway::{self as turnstile, Gateway, LIMIT, Message, Way};
use firn_core::masking::{Masker, Place, Policy, Tokens};
use firn_core::plan::{Input, advance};
use firn_core::settings::{Applied, FieldMapping, Rules, instance};
use firn_core::{escalation, mapping as maps, merge};
use firn_memory as _;
use firn_model::{
    Attribute, Audit, Clock, FieldName, Guard, Integration, IntegrationId, JournalText, Level,
    Link, Millis, OffOwner, Owner, Permit, PlatformId, Presence, Reference, Revision, Shape, Side,
    Strategy, SysId, TableName, TenantId, Value, Why,
};

use exports::firn::sync::settings as documents;

/// What the component exports, as traits of [`interfaces`].
pub struct Core;

#[cfg(target_arch = "wasm32")]
export!(Core);

// ---- settings --------------------------------------------------------------------------------

fn applied(document: &str) -> Applied {
    let fixed = || (IntegrationId::new("integration"), TenantId::new("tenant"));
    match (serde_json::from_str(document), fixed()) {
        (Ok(json), (Ok(id), Ok(tenant))) => firn_core::settings::apply(None, &id, &tenant, &json),
        (Err(why), _) => Applied {
            integration: None,
            faults: vec![firn_model::Fault {
                level: Level::Error,
                at: String::new(),
                text: format!("the document is not JSON: {why}"),
                remedy: "pass the document as JSON".to_owned(),
            }],
        },
        _ => Applied { integration: None, faults: Vec::new() },
    }
}

fn faults_out(faults: Vec<firn_model::Fault>) -> Vec<documents::Fault> {
    let level = |level| match level {
        Level::Error => documents::Level::Error,
        Level::Warning => documents::Level::Warning,
    };
    faults
        .into_iter()
        .map(|f| documents::Fault {
            level: level(f.level),
            at: f.at,
            text: f.text,
            remedy: f.remedy,
        })
        .collect()
}

impl documents::Guest for Core {
    fn check(document: String) -> Vec<documents::Fault> {
        faults_out(applied(&document).faults)
    }

    fn complete(document: String) -> Result<String, Vec<documents::Fault>> {
        let Applied { integration, faults } = applied(&document);
        let sound = faults.iter().all(|f| f.level != Level::Error);
        match integration.filter(|_| sound) {
            Some(integration) => {
                Ok(serde_json::to_string(&integration.settings).unwrap_or_default())
            }
            None => Err(faults_out(faults)),
        }
    }

    fn questions(document: String) -> Result<Vec<documents::Question>, Vec<documents::Fault>> {
        let rules = sound(&document).map_err(faults_out)?;
        let question = |q: instance::Question| documents::Question {
            name: q.name,
            table: q.table,
            query: q.query,
            fields: q.fields,
            limit: q.limit,
        };
        Ok(instance::questions(&rules).into_iter().map(question).collect())
    }

    fn judge(document: String, replies: Vec<documents::Reply>) -> Vec<documents::Fault> {
        let rules = match sound(&document) {
            Ok(rules) => rules,
            Err(faults) => return faults_out(faults),
        };
        let reply = |r: documents::Reply| instance::Reply {
            name: r.name,
            status: r.status,
            rows: serde_json::from_str(&r.rows).unwrap_or_default(),
        };
        let replies: Vec<_> = replies.into_iter().map(reply).collect();
        faults_out(instance::judge(&rules, &replies))
    }
}

/// A document; or an integration as it is stored, which says all that a document would.
fn sound(document: &str) -> Result<Rules, Vec<firn_model::Fault>> {
    if let Ok(integration) = serde_json::from_str::<firn_model::Integration>(document) {
        return firn_core::settings::compile(integration);
    }
    let Applied { integration, faults } = applied(document);
    let sound = faults.iter().all(|f| f.level != Level::Error);
    match integration.filter(|_| sound) {
        Some(integration) => firn_core::settings::compile(integration),
        None => Err(faults),
    }
}

thread_local! {
    /// The settings that were read last: hosts ask many things of the same.
    static LAST: RefCell<Option<(String, Rc<Rules>)>> = const { RefCell::new(None) };
}

fn rules(settings: &str) -> Option<Rc<Rules>> {
    LAST.with_borrow_mut(|last| {
        if let Some((known, rules)) = last
            && known == settings
        {
            return Some(Rc::clone(rules));
        }
        let Applied { integration, faults } = applied(settings);
        let sound = faults.iter().all(|f| f.level != Level::Error);
        let integration = integration.filter(|_| sound)?;
        let rules = Rc::new(firn_core::settings::compile(integration).ok()?);
        *last = Some((settings.to_owned(), Rc::clone(&rules)));
        Some(rules)
    })
}

// ---- words -----------------------------------------------------------------------------------

fn value_in(value: words::Value) -> Value {
    match value {
        words::Value::Empty => Value::Empty,
        words::Value::Boolean(b) => Value::Boolean(b),
        words::Value::Integer(n) => Value::Integer(n),
        words::Value::Text(text) => Value::text(text),
    }
}

fn value_out(value: Value) -> words::Value {
    match value {
        Value::Empty => words::Value::Empty,
        Value::Boolean(b) => words::Value::Boolean(b),
        Value::Integer(n) => words::Value::Integer(n),
        Value::Text(text) => words::Value::Text(text),
    }
}

/// Attributes with names that can be none are left out: nothing is mapped to them.
fn shape_in(shape: words::Shape) -> Shape {
    let known = |(name, value)| Some((Attribute::new(name).ok()?, value_in(value)));
    Shape(shape.into_iter().filter_map(known).collect())
}

fn attributes_out(attributes: BTreeMap<Attribute, Value>) -> words::Shape {
    attributes.into_iter().map(|(name, value)| (name.into(), value_out(value))).collect()
}

fn side_in(side: words::Side) -> Side {
    match side {
        words::Side::Platform => Side::Platform,
        words::Side::External => Side::External,
    }
}

fn owner_in(owner: words::Owner) -> Owner {
    match owner {
        words::Owner::Platform => Owner::Platform,
        words::Owner::External => Owner::External,
        words::Owner::Shared => Owner::Shared,
    }
}

// ---- mapping ---------------------------------------------------------------------------------

fn with_field<T>(
    settings: &str,
    table: String,
    field: String,
    f: impl FnOnce(&FieldMapping) -> Result<T, maps::Untranslatable>,
) -> Result<T, mapping::Untranslatable> {
    let rules = rules(settings).ok_or(mapping::Untranslatable::Unsound)?;
    let (Ok(table), Ok(name)) = (TableName::new(table), FieldName::new(field)) else {
        return Err(mapping::Untranslatable::NoSuchField);
    };
    let field = rules.field(&table, &name).ok_or(mapping::Untranslatable::NoSuchField)?;
    f(field).map_err(|why| match why {
        maps::Untranslatable::Unmapped => mapping::Untranslatable::Unmapped,
        maps::Untranslatable::LookUp(row) => mapping::Untranslatable::LookUp(mapping::Row {
            table: row.table.into(),
            key: row.key.into(),
            value: row.value,
        }),
        maps::Untranslatable::UnknownReference => mapping::Untranslatable::UnknownReference,
        maps::Untranslatable::Lossy => mapping::Untranslatable::Lossy,
        maps::Untranslatable::OneWay => mapping::Untranslatable::OneWay,
        maps::Untranslatable::Template(why) => mapping::Untranslatable::Template(why),
    })
}

impl mapping::Guest for Core {
    fn to_external(
        settings: String,
        table: String,
        field: String,
        platform: words::Shape,
        present: Option<words::Shape>,
        known: Vec<mapping::KnownRow>,
    ) -> Result<mapping::Columns, mapping::Untranslatable> {
        let known: BTreeMap<String, Reference> = known
            .into_iter()
            .map(|known| {
                let row = known.row;
                let name = format!("{}.{}={}", row.table, row.key, row.value);
                let found = known.sys_id.and_then(|id| SysId::new(id).ok());
                (name, found.map_or(Reference::Missing, Reference::Found))
            })
            .collect();
        let (platform, present) = (shape_in(platform), present.map(shape_in));
        with_field(&settings, table, field, |field| {
            let columns = maps::to_external(field, &platform, present.as_ref(), &known)?;
            Ok(mapping::Columns {
                shape: attributes_out(columns.shape.0),
                accompanied: attributes_out(columns.with),
            })
        })
    }

    fn to_platform(
        settings: String,
        table: String,
        field: String,
        external: words::Shape,
    ) -> Result<words::Shape, mapping::Untranslatable> {
        let external = shape_in(external);
        with_field(&settings, table, field, |field| {
            Ok(attributes_out(maps::to_platform(field, &external)?.0))
        })
    }

    fn agree(
        settings: String,
        table: String,
        field: String,
        platform: words::Shape,
        external: words::Shape,
    ) -> Result<bool, mapping::Untranslatable> {
        let (platform, external) = (shape_in(platform), shape_in(external));
        with_field(&settings, table, field, |field| Ok(maps::agree(field, &platform, &external)))
    }
}

// ---- ownership and conflict ------------------------------------------------------------------

impl ownership::Guest for Core {
    fn decide(edit: ownership::Edit) -> ownership::Fate {
        let guards: Vec<Guard> = edit
            .guards
            .into_iter()
            .map(|guard| Guard {
                from: guard.leaving,
                to: guard.entering,
                only: match guard.only {
                    ownership::Permit::Platform => Permit::Platform,
                    ownership::Permit::External => Permit::External,
                    ownership::Permit::Nobody => Permit::Nobody,
                },
            })
            .collect();
        let (before, after) = (edit.before.as_deref(), edit.after.as_deref());
        let by = side_in(edit.by);
        let edit = merge::Edit {
            by,
            owner: owner_in(edit.owner),
            off_owner: match edit.off_owner {
                ownership::OffOwner::Restored => OffOwner::Restored,
                ownership::OffOwner::Kept => OffOwner::Kept,
                ownership::OffOwner::Adopted => OffOwner::Adopted,
            },
            forbidden: !merge::permitted(&guards, Some(by), before, after),
            restored_lately: edit.restored_lately,
            way_back: merge::permitted(&guards, None, after, before),
        };
        match edit.fate() {
            merge::Fate::Carried => ownership::Fate::Carried,
            merge::Fate::Restored => ownership::Fate::Restored,
            merge::Fate::Kept => ownership::Fate::Kept,
        }
    }
}

impl conflict::Guest for Core {
    fn decide(rivals: conflict::Rivals) -> Option<(words::Side, conflict::Reason)> {
        let stamp = |stamp: conflict::Stamp| merge::Stamp {
            at: Millis(stamp.at),
            clock: stamp.clock.map(|c| Clock { low: c.low, high: c.high }),
        };
        let rivals = merge::Rivals {
            owner: owner_in(rivals.owner),
            strategy: match rivals.strategy {
                conflict::Strategy::LastWriteWins => Strategy::LastWriteWins,
                conflict::Strategy::OwnershipPriority => Strategy::OwnershipPriority,
                conflict::Strategy::ManualReview => Strategy::ManualReview,
            },
            window: rivals.window,
            platform_priority: rivals.platform_priority,
            external_priority: rivals.external_priority,
            platform: stamp(rivals.platform),
            external: stamp(rivals.external),
        };
        let (side, why) = rivals.winner()?;
        let side = match side {
            Side::Platform => words::Side::Platform,
            Side::External => words::Side::External,
        };
        let reason = match why {
            Why::HigherPriority => conflict::Reason::HigherPriority,
            Why::Overruled => conflict::Reason::Overruled,
            _ => conflict::Reason::LastWriteWins,
        };
        Some((side, reason))
    }
}

// ---- masking ---------------------------------------------------------------------------------

/// A host masks many texts by one policy: the last one is kept, checked.
static POLICY: Mutex<Option<(String, Arc<Policy>)>> = Mutex::new(None);

fn policy(document: &str) -> Result<Arc<Policy>, Vec<documents::Fault>> {
    let mut last = POLICY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((known, policy)) = &*last
        && known == document
    {
        return Ok(Arc::clone(policy));
    }
    let json = serde_json::from_str(document).map_err(|why| {
        let text = format!("the policy is no JSON: {why}");
        let remedy = "write an object: {\"strategy\": \"redact\"}".to_owned();
        faults_out(vec![firn_model::Fault { level: Level::Error, at: String::new(), text, remedy }])
    })?;
    let policy = Arc::new(firn_core::settings::masking(&json).map_err(faults_out)?);
    *last = Some((document.to_owned(), Arc::clone(&policy)));
    Ok(policy)
}

/// A place's words, as they stand in settings.
fn masker(policy: &Arc<Policy>, place: &masking::Place) -> Result<Masker, Vec<documents::Fault>> {
    fn word<T: serde::de::DeserializeOwned>(
        at: &str,
        word: Option<&String>,
    ) -> Result<Option<T>, Vec<documents::Fault>> {
        let Some(word) = word else { return Ok(None) };
        serde_json::from_value(word.as_str().into()).map(Some).map_err(|why| {
            faults_out(vec![firn_model::Fault {
                level: Level::Error,
                at: at.to_owned(),
                text: format!("{word:?} is not known here: {why}"),
                remedy: "leave it out, or use a word of the settings".to_owned(),
            }])
        })
    }
    let (to, sink) = (word("to", place.to.as_ref())?, word("sink", place.sink.as_ref())?);
    Ok(policy.at(Place { field: place.field.as_deref(), to, sink }))
}

fn with_tokens(policy: &Policy, tokens: Arc<dyn Tokens>) -> Arc<Policy> {
    Arc::new(policy.clone().with_tokens(tokens))
}

/// Tokens that the host made.
#[derive(Debug)]
struct Made(Vec<masking::Token>);

impl Tokens for Made {
    fn token(&self, kind: &str, canonical: &str) -> Option<String> {
        let made = self.0.iter().find(|t| t.kind == kind && t.canonical == canonical)?;
        Some(made.token.clone())
    }
}

/// What the host is to make tokens of.
#[derive(Debug, Default)]
struct Wanted(Mutex<BTreeSet<(String, String)>>);

impl Tokens for Wanted {
    fn token(&self, kind: &str, canonical: &str) -> Option<String> {
        let mut wanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.insert((kind.to_owned(), canonical.to_owned()));
        None
    }
}

fn masked_out(masked: firn_core::masking::Masked, policy: Option<&Policy>) -> masking::Masked {
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let spans = masked.spans.iter().map(|span| masking::Span {
        kind: policy.map_or(span.kind.name(), |policy| policy.name(span.kind)).to_owned(),
        rule: span.rule.to_owned(),
        reason: span.reason.name().to_owned(),
        strategy: span.strategy.name().to_owned(),
        start: offset(span.start),
        end: offset(span.end),
    });
    masking::Masked { spans: spans.collect(), text: masked.text }
}

impl masking::Guest for Core {
    fn mask(text: String) -> masking::Masked {
        masked_out(firn_core::masking::mask(&text), None)
    }

    fn faults(document: String) -> Vec<documents::Fault> {
        policy(&document).err().unwrap_or_default()
    }

    fn canonical(
        document: String,
        place: masking::Place,
        text: String,
    ) -> Result<Vec<masking::Token>, Vec<documents::Fault>> {
        let wanted = Arc::new(Wanted::default());
        let policy = with_tokens(&*policy(&document)?, wanted.clone());
        let _ = masker(&policy, &place)?.mask(&text);
        let token = |(kind, canonical)| masking::Token { kind, canonical, token: String::new() };
        let wanted = std::mem::take(&mut *wanted.0.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(wanted.into_iter().map(token).collect())
    }

    fn mask_by(
        document: String,
        place: masking::Place,
        text: String,
        tokens: Vec<masking::Token>,
    ) -> Result<masking::Masked, Vec<documents::Fault>> {
        let mut policy = policy(&document)?;
        if !tokens.is_empty() {
            policy = with_tokens(&policy, Arc::new(Made(tokens)));
        }
        let masked = masker(&policy, &place)?.mask(&text);
        Ok(masked_out(masked, Some(&policy)))
    }
}

// ---- identity and intake ---------------------------------------------------------------------

impl identity::Guest for Core {
    fn correlation_key(record: String, generation: u32) -> Result<String, String> {
        let record = PlatformId::new(record).map_err(|e| e.to_string())?;
        Ok(firn_core::identity::correlation_key(&record, generation.max(1)).into())
    }

    fn link_id(integration: String, record: String, generation: u32) -> Result<String, String> {
        let integration = IntegrationId::new(integration).map_err(|e| e.to_string())?;
        let record = PlatformId::new(record).map_err(|e| e.to_string())?;
        Ok(firn_core::identity::link_id(&integration, &record, generation.max(1)).into())
    }

    fn webhook(body: String) -> String {
        let observation = rules("{}").and_then(|r| firn_core::intake::servicenow(&r, &body).ok());
        firn_core::intake::webhook_identity(observation.as_ref(), &body)
    }

    fn event(body: String) -> Result<String, String> {
        let rules = rules("{}").ok_or("no settings")?;
        firn_core::intake::platform(&rules, &body).map(|event| event.id)
    }

    fn escalation(body: String) -> String {
        firn_core::identity::short(&["asked", &body])
    }
}

fn observed(observation: firn_model::Observation) -> intake::Observed {
    let record = observation.record;
    let entry = |entry: firn_model::EntrySeen| intake::Entry {
        id: entry.origin.id().to_owned(),
        audience: match entry.text {
            JournalText::Comment(_) => intake::Audience::Customer,
            JournalText::WorkNote(_) => intake::Audience::Agents,
        },
        text: entry.text.text().to_owned(),
        author: entry.author,
        at: entry.at.0,
    };
    intake::Observed {
        id: record.id,
        class: record.class,
        number: record.number,
        correlation: record.correlation.map(Into::into),
        revision: record.revision.map(|revision| match revision {
            Revision::External { updated, mod_count } => {
                intake::Revision::External((updated.0, mod_count))
            }
            Revision::Platform { version, at } => intake::Revision::Platform((version, at.0)),
        }),
        attributes: attributes_out(record.attributes),
        entries: observation.entries.into_iter().map(entry).collect(),
        deleted: record.presence == Presence::Deleted,
    }
}

const UNSOUND: &str = "the settings are not sound: check them";

impl intake::Guest for Core {
    fn servicenow(settings: String, body: String) -> Result<intake::Observed, String> {
        let rules = rules(&settings).ok_or(UNSOUND)?;
        firn_core::intake::servicenow(&rules, &body).map(observed)
    }

    fn platform(settings: String, body: String) -> Result<intake::Observed, String> {
        let rules = rules(&settings).ok_or(UNSOUND)?;
        firn_core::intake::platform(&rules, &body).map(|event| observed(event.observation))
    }

    fn escalated(settings: String, body: String, now: i64) -> Result<intake::Escalation, String> {
        let rules = rules(&settings).ok_or(UNSOUND)?;
        Ok(match escalation::read(&rules, &body, Millis(now))? {
            escalation::Escalation::Filtered(why) => intake::Escalation::Filtered(why),
            escalation::Escalation::Ticket(ticket) => {
                let evidence =
                    ticket.evidence.map(|entry| firn_core::masking::mask(entry.text.text()).text);
                intake::Escalation::Ticket(intake::Ticket {
                    record_id: ticket.record.into(),
                    table: ticket.table.into(),
                    columns: attributes_out(ticket.draft.set),
                    evidence,
                })
            }
        })
    }
}

// ---- gateway ----------------------------------------------------------------------------------

thread_local! {
    /// The gateway that was opened last: hosts send many messages through the same.
    static GATEWAY: RefCell<Option<(String, Rc<Gateway>)>> = const { RefCell::new(None) };
}

fn opened(document: String) -> Result<Rc<Gateway>, Vec<documents::Fault>> {
    GATEWAY.with_borrow_mut(|last| {
        if let Some((known, gateway)) = last
            && *known == document
        {
            return Ok(Rc::clone(gateway));
        }
        // The component has no environment: whoever calls it writes secrets themselves.
        let gateway = Rc::new(Gateway::open(&document, &|_| None).map_err(faults_out)?);
        *last = Some((document, Rc::clone(&gateway)));
        Ok(gateway)
    })
}

fn reply(reply: turnstile::Reply) -> gateway::Reply {
    let turnstile::Reply { status, headers, body, why } = reply;
    gateway::Reply { status, headers, body, why }
}

fn verdict(verdict: turnstile::Verdict) -> gateway::Verdict {
    match verdict {
        turnstile::Verdict::Onward(turnstile::Onward { path, without, headers, body }) => {
            gateway::Verdict::Onward(gateway::Onward { path, without, headers, body })
        }
        turnstile::Verdict::Answered(answer) => gateway::Verdict::Answered(reply(answer)),
    }
}

/// Programs have them as people write them.
fn lower(headers: Vec<gateway::Header>) -> Vec<gateway::Header> {
    headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
}

/// Whether a body has more than is read.
fn longer(message: Message<'_>) -> bool {
    message.body.is_some_and(|body| body.len() > LIMIT)
}

fn through() -> gateway::Verdict {
    verdict(turnstile::Verdict::Onward(turnstile::Onward::default()))
}

impl gateway::Guest for Core {
    fn check(document: String) -> Vec<documents::Fault> {
        faults_out(Gateway::faults_embedded(&document))
    }

    fn look(
        document: String,
        method: String,
        path: String,
        headers: Vec<gateway::Header>,
    ) -> Result<gateway::Way, Vec<documents::Fault>> {
        let gateway = opened(document)?;
        Ok(match gateway.way(&method, &path) {
            Way::Through => gateway::Way::Through,
            Way::Answered(answer) => gateway::Way::Answered(reply(answer)),
            Way::Read(route) => match gateway.early(route, &lower(headers)) {
                Some(answer) => gateway::Way::Answered(reply(answer)),
                None if route.reads_answers() => gateway::Way::ReadBoth,
                None => gateway::Way::Read,
            },
        })
    }

    fn receive(
        document: String,
        request: gateway::Request,
        now: i64,
    ) -> Result<gateway::Verdict, Vec<documents::Fault>> {
        let gateway = opened(document)?;
        let headers = lower(request.headers);
        let message = Message { headers: &headers, body: request.body.as_deref() };
        Ok(match gateway.way(&request.method, &request.path) {
            Way::Through => through(),
            Way::Answered(answer) => gateway::Verdict::Answered(reply(answer)),
            Way::Read(route) if longer(message) => {
                gateway::Verdict::Answered(reply(turnstile::Reply::too_long(route)))
            }
            Way::Read(route) => {
                verdict(gateway.request(route, &request.path, message, Millis(now)))
            }
        })
    }

    fn answer(
        document: String,
        method: String,
        path: String,
        response: gateway::Response,
    ) -> Result<gateway::Verdict, Vec<documents::Fault>> {
        let gateway = opened(document)?;
        let headers = lower(response.headers);
        let message = Message { headers: &headers, body: response.body.as_deref() };
        Ok(match gateway.way(&method, &path) {
            Way::Read(route) if route.reads_answers() && longer(message) => {
                gateway::Verdict::Answered(reply(turnstile::Reply::long_answer(route)))
            }
            Way::Read(route) => verdict(gateway.response(route, message)),
            Way::Through | Way::Answered(_) => through(),
        })
    }
}

// ---- planner ---------------------------------------------------------------------------------

fn read<T: serde::de::DeserializeOwned>(what: &str, json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|e| format!("{what}: {e}"))
}

/// The integration of a call, compiled; kept while the same text comes again.
fn compiled(integration: String) -> Result<Rc<Rules>, String> {
    thread_local! {
        static LAST: RefCell<Option<(String, Rc<Rules>)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| {
        if let Some((known, rules)) = last
            && *known == integration
        {
            return Ok(Rc::clone(rules));
        }
        let read: Integration = read("integration", &integration)?;
        let rules = firn_core::settings::compile(read)
            .map_err(|faults| serde_json::to_string(&faults).unwrap_or_default())?;
        let rules = Rc::new(rules);
        *last = Some((integration, Rc::clone(&rules)));
        Ok(rules)
    })
}

impl planner::Guest for Core {
    fn advance(
        integration: String,
        link: String,
        inputs: String,
        now: i64,
    ) -> Result<String, String> {
        let rules = compiled(integration)?;
        let link: Link = read("link", &link)?;
        let inputs: Vec<Input> = read("inputs", &inputs)?;
        let plan = advance(&rules, link, &inputs, Millis(now));
        serde_json::to_string(&plan).map_err(|e| e.to_string())
    }

    fn explain(
        integration: String,
        link: String,
        audit: String,
        now: i64,
    ) -> Result<String, String> {
        let rules = compiled(integration)?;
        let link: Link = read("link", &link)?;
        let audit: Vec<Audit> = read("audit", &audit)?;
        let fields = firn_core::explain::explain(&rules, &link, &audit, Millis(now));
        serde_json::to_string(&fields).map_err(|e| e.to_string())
    }
}
