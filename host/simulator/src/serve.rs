//! The server: one instance behind a lock, faults in front of it, business rules after it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request as HttpRequest, Response as HttpResponse, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::faults::{Faults, Trouble};
use crate::query::Query;
use crate::rest::{self, Request};
use crate::schema;
use crate::script::{self, Outbound, Ran, World};
use crate::signin::{Page, Tokens};
use crate::tables::{Changed, Record, Tables, now};

/// The largest body that is read.
const BODY: usize = 10 << 20;

/// Why a simulator does not start.
#[derive(Debug, thiserror::Error)]
#[error("the simulator cannot listen on {0}: {1}")]
pub struct SimulatorError(String, std::io::Error);

/// One instance.
pub(crate) struct Instance {
    pub(crate) tables: Tables,
    pub(crate) tokens: Tokens,
    pub(crate) journal_hidden: bool,
    faults: Faults,
    rng: fastrand::Rng,
    requests: BTreeMap<String, u64>,
}

/// A business rule, ready to run.
pub(crate) struct Rule {
    pub(crate) name: String,
    condition: String,
    filter: String,
    script: String,
}

impl Rule {
    pub(crate) fn run(
        &self,
        changed: &Changed,
        shown: &Record,
        properties: &Record,
        user: &str,
    ) -> Ran {
        let rng = std::cell::RefCell::new(fastrand::Rng::new());
        let world = World {
            property: &|name| properties.get(name).cloned(),
            guid: &|| format!("{:032x}", rng.borrow_mut().u128(..)),
            user,
            now: now(),
        };
        script::run(&self.script, &self.condition, changed, shown, &world)
    }
}

impl Instance {
    /// The active rules on a table and its ancestors, by order.
    pub(crate) fn rules(&self, table: &str, when: &str, insert: bool) -> Vec<Rule> {
        let text = |r: &Record, n: &str| r.get(n).cloned().unwrap_or_default();
        let action = if insert { "action_insert" } else { "action_update" };
        let line = schema::ancestry(table);
        let mut rows: Vec<&Record> = self
            .tables
            .of("sys_script")
            .filter(|r| {
                text(r, "active") == "true" && text(r, "when") == when && text(r, action) == "true"
            })
            .filter(|r| line.contains(&text(r, "collection").as_str()))
            .collect();
        rows.sort_by_key(|r| text(r, "order").parse::<i64>().unwrap_or(100));
        rows.into_iter()
            .map(|r| Rule {
                name: text(r, "name"),
                condition: text(r, "condition"),
                filter: text(r, "filter_condition"),
                script: text(r, "script"),
            })
            .collect()
    }

    pub(crate) fn properties(&self) -> Record {
        let text = |r: &Record, n: &str| r.get(n).cloned().unwrap_or_default();
        self.tables.of("sys_properties").map(|r| (text(r, "name"), text(r, "value"))).collect()
    }

    pub(crate) fn log(&mut self, level: &str, message: &str) {
        let set = Record::from([
            ("level".to_owned(), level.to_owned()),
            ("message".to_owned(), message.to_owned()),
        ]);
        let _ = self.tables.insert("syslog", &set, "system", &mut |_| Ok(()));
    }

    /// Columns as people see them, for `getDisplayValue()`.
    fn shown(&self, record: &Record) -> Record {
        record.keys().map(|c| (c.clone(), self.tables.display_of(record, c))).collect()
    }
}

/// A running simulator. Dropping it stops it.
pub struct Simulator {
    instance: Arc<Mutex<Instance>>,
    address: SocketAddr,
    stop: tokio::sync::watch::Sender<bool>,
}

impl Simulator {
    /// Starts a simulator; port 0 chooses one. `seed` makes ids repeat.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(
        listen: SocketAddr,
        seed: u64,
        faults: Faults,
    ) -> Result<Simulator, SimulatorError> {
        let failed = |e| SimulatorError(listen.to_string(), e);
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let instance = Arc::new(Mutex::new(Instance {
            tables: Tables::new(seed),
            tokens: Tokens::default(),
            journal_hidden: false,
            faults,
            rng: fastrand::Rng::with_seed(seed),
            requests: BTreeMap::new(),
        }));
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let shared = Shared {
            instance: Arc::clone(&instance),
            base: format!("http://{address}"),
            client: reqwest::Client::builder()
                .user_agent("ServiceNow/1.0")
                .timeout(Duration::from_secs(30))
                .no_proxy()
                .build()
                .unwrap_or_default(),
        };
        tokio::spawn(accept(listener, shared, stopped));
        Ok(Simulator { instance, address, stop })
    }

    fn lock(&self) -> MutexGuard<'_, Instance> {
        lock(&self.instance)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL of the instance.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// Hides the journal from everybody but administrators, as its own access rule can.
    pub fn hide_journal(&self, hidden: bool) {
        self.lock().journal_hidden = hidden;
    }

    /// Ends every access token.
    pub fn revoke_tokens(&self) {
        self.lock().tokens.revoke();
    }

    /// Ends every access token and every consent.
    pub fn revoke_consents(&self) {
        self.lock().tokens.revoke_all();
    }

    /// How long access tokens live from now on, and whether a refresh token is good only once.
    pub fn tokens_live(&self, life: Duration, rotates: bool) {
        self.lock().tokens.lives(life, rotates);
    }

    /// Believes assertions (JWT bearer) that are signed with the private half of this key (PEM).
    pub fn trust_key(&self, public_key: &str) {
        self.lock().tokens.trust(public_key.to_owned());
    }

    /// Sets a column of a row, as an administrator does behind everybody's back; no rule runs.
    pub fn set(&self, table: &str, sys_id: &str, column: &str, value: &str) {
        self.lock().tables.force(table, sys_id, column, value);
    }

    /// Makes a column of a table unique.
    pub fn unique_index(&self, table: &str, column: &str) {
        self.lock().tables.unique.push((table.to_owned(), column.to_owned()));
    }

    /// All rows of a table (and of those that extend it), as they are.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<Record> {
        self.lock().tables.of(table).cloned().collect()
    }

    /// How many requests came in, by method and table: `PATCH incident`.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.lock().requests.clone()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

#[derive(Clone)]
struct Shared {
    instance: Arc<Mutex<Instance>>,
    base: String,
    client: reqwest::Client,
}

fn lock(instance: &Mutex<Instance>) -> MutexGuard<'_, Instance> {
    instance.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(
    listener: TcpListener,
    shared: Shared,
    mut stopped: tokio::sync::watch::Receiver<bool>,
) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
            _ = stopped.changed() => return,
        };
        let _ = stream.set_nodelay(true);
        let shared = shared.clone();
        let mut stopped = stopped.clone();
        tokio::spawn(async move {
            let service =
                hyper::service::service_fn(move |request| handle(shared.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(30))
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = connection => {}
                _ = stopped.changed() => {}
            }
        });
    }
}

/// An error closes the connection without an answer.
type Answer = Result<HttpResponse<Body>, std::io::Error>;

fn dropped() -> Answer {
    Err(std::io::Error::other("dropped on demand"))
}

fn plain(status: u16, kind: &str, body: impl Into<Body>) -> HttpResponse<Body> {
    let mut response = HttpResponse::new(body.into());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = kind.parse() {
        response.headers_mut().insert("content-type", value);
    }
    response
}

/// The consent page: a form that says who wants what, and brings the browser back.
fn consent(
    shared: &Shared,
    answered: bool,
    query: Option<&str>,
    body: &[u8],
) -> HttpResponse<Body> {
    let asked = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let said = url::form_urlencoded::parse(if answered { body } else { &[] });
    let form: BTreeMap<String, String> = asked.into_owned().chain(said.into_owned()).collect();
    let page = {
        let mut instance = lock(&shared.instance);
        let Instance { tokens, tables, .. } = &mut *instance;
        tokens.consent(tables, &form, answered)
    };
    match page {
        Page::Refused(why) => plain(400, "text/html", format!("<html><body>{why}</body></html>")),
        Page::Back(to) => {
            let mut back = plain(302, "text/html", "");
            if let Ok(value) = to.parse() {
                back.headers_mut().insert("location", value);
            }
            back
        }
        Page::Ask => plain(200, "text/html; charset=utf-8", ASK),
    }
}

/// The form posts to its own address, so that it keeps the question's parameters.
const ASK: &str = r#"<!doctype html><html lang="en"><title>Simulated instance</title>
<body style="font: 16px system-ui; max-width: 26em; margin: 4em auto">
<h1 style="font-size: 1.3em">An application asks to act for you</h1>
<form method="post"><p><label>User<br><input name="username" value="integration"></label>
<p><label>Password<br><input name="password" type="password" value="integration"></label>
<p><button name="decision" value="allow">Allow</button> <button name="decision" value="deny">Deny</button>
</form></body></html>"#;

async fn handle(shared: Shared, request: HttpRequest<hyper::body::Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(Body::new(body), BODY).await else {
        return Ok(plain(
            400,
            "application/json",
            r#"{"error":{"message":"Exception while reading request","detail":"the body is too long"},"status":"failure"}"#,
        ));
    };
    let path = parts.uri.path().to_owned();
    if path == "/simulator/faults" && parts.method == "PUT" {
        return Ok(control(&shared, &body));
    }
    if path == "/oauth_auth.do" {
        return Ok(consent(&shared, parts.method == "POST", parts.uri.query(), &body));
    }
    let trouble = {
        let mut instance = lock(&shared.instance);
        let table = path
            .trim_start_matches("/api/now/")
            .trim_start_matches("table/")
            .split('/')
            .next()
            .unwrap_or("");
        *instance.requests.entry(format!("{} {table}", parts.method)).or_default() += 1;
        let Instance { faults, rng, .. } = &mut *instance;
        faults.strike(parts.method.as_str(), &path, rng)
    };
    match &trouble {
        Some(Trouble::Drop) => return dropped(),
        Some(Trouble::Status { code, retry_after }) => return Ok(refusal(*code, *retry_after)),
        Some(Trouble::LoginPage) => {
            return Ok(plain(200, "text/html", "<html><title>Log in</title></html>"));
        }
        Some(Trouble::Delay { ms }) => tokio::time::sleep(Duration::from_millis(*ms)).await,
        _ => {}
    }
    let request = Request {
        method: parts.method.to_string(),
        path,
        query: url::form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes())
            .into_owned()
            .collect(),
        authorization: parts
            .headers
            .get("authorization")
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned),
        body: String::from_utf8_lossy(&body).into_owned(),
        base: shared.base.clone(),
    };
    let working = shared.clone();
    let served = tokio::task::spawn_blocking(move || {
        let user = {
            let instance = lock(&working.instance);
            instance.tokens.user(&instance.tables, request.authorization.as_deref())
        };
        let (response, changed) = rest::serve(&mut lock(&working.instance), &request);
        let outbound = after(&working.instance, &changed, user.as_deref().unwrap_or("guest"));
        (response, outbound)
    })
    .await;
    let Ok((response, outbound)) = served else {
        return Ok(refusal(500, None));
    };
    for call in outbound {
        tokio::spawn(send(shared.clone(), call));
    }
    match trouble {
        Some(Trouble::DropAfterCommit) => return dropped(),
        Some(Trouble::StatusAfterCommit { code }) => return Ok(refusal(code, None)),
        Some(Trouble::CutJson) => {
            let text = response.body.map(|b| b.to_string()).unwrap_or_default();
            return Ok(plain(200, "application/json", text[..text.len() / 2].to_owned()));
        }
        _ => {}
    }
    let body = response.body.map(|b| b.to_string()).unwrap_or_default();
    let mut answer = plain(response.status, "application/json;charset=UTF-8", body);
    for (name, value) in response.headers {
        if let (Ok(name), Ok(value)) = (axum::http::HeaderName::try_from(name), value.parse()) {
            answer.headers_mut().insert(name, value);
        }
    }
    Ok(answer)
}

fn refusal(code: u16, retry_after: Option<u64>) -> HttpResponse<Body> {
    let (kind, body) = match code {
        429 => (
            "application/json",
            r#"{"error":{"message":"Rate limit exceeded","detail":"Limit of requests per hour reached"},"status":"failure"}"#,
        ),
        401 => (
            "application/json",
            r#"{"error":{"message":"User Not Authenticated","detail":"Required to provide Auth information"},"status":"failure"}"#,
        ),
        _ => ("text/html", "<html><title>Service unavailable</title></html>"),
    };
    let mut response = plain(code, kind, body);
    if let Some(value) = retry_after.and_then(|s| s.to_string().parse().ok()) {
        response.headers_mut().insert("retry-after", value);
    }
    response
}

fn control(shared: &Shared, body: &Bytes) -> HttpResponse<Body> {
    match serde_json::from_slice::<Faults>(body) {
        Ok(faults) => {
            lock(&shared.instance).faults = faults;
            plain(204, "application/json", "")
        }
        Err(why) => plain(400, "text/plain", format!("the faults cannot be read: {why}\n")),
    }
}

/// Runs the after- and async-rules of changes, outside the lock.
fn after(instance: &Mutex<Instance>, changed: &[Changed], user: &str) -> Vec<Outbound> {
    let mut outbound = Vec::new();
    for change in changed {
        let insert = change.previous.is_none();
        let (rules, properties, shown) = {
            let instance = lock(instance);
            let mut rules = instance.rules(&change.table, "after", insert);
            rules.extend(instance.rules(&change.table, "async", insert));
            rules.retain(|rule| {
                let query = Query::parse(&rule.filter, &instance.tables, &change.table);
                query.matches(&instance.tables, &change.current)
            });
            if rules.is_empty() {
                continue;
            }
            (rules, instance.properties(), instance.shown(&change.current))
        };
        for rule in rules {
            let ran = rule.run(change, &shown, &properties, user);
            outbound.extend(ran.outbound);
            let mut instance = lock(instance);
            for (level, message) in ran.log {
                instance.log(&level, &message);
            }
        }
    }
    outbound
}

/// Sends an outbound call, once: an instance never repeats.
async fn send(shared: Shared, call: Outbound) {
    let (times, late) = {
        let mut instance = lock(&shared.instance);
        let faults = instance.faults.outbound;
        let mut hit = |percent: u32| instance.rng.u32(0..100) < percent;
        let (lost, doubled, late) = (hit(faults.lost), hit(faults.doubled), hit(faults.late));
        let late = if late { instance.rng.u64(0..=faults.late_ms) } else { 0 };
        (if lost { 0 } else { 1 + u32::from(doubled) }, late)
    };
    tokio::time::sleep(Duration::from_millis(late)).await;
    for _ in 0..times {
        let method =
            reqwest::Method::from_bytes(call.method.as_bytes()).unwrap_or(reqwest::Method::POST);
        let mut request = shared.client.request(method, &call.url).body(call.body.clone());
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let status = match request.send().await {
            Ok(response) => response.status().as_u16().to_string(),
            Err(_) => "0".to_owned(),
        };
        let set = Record::from([
            ("url".to_owned(), call.url.clone()),
            ("method".to_owned(), call.method.clone()),
            ("response_status".to_owned(), status),
        ]);
        let _ = lock(&shared.instance).tables.insert(
            "sys_outbound_http_log",
            &set,
            "system",
            &mut |_| Ok(()),
        );
    }
}
