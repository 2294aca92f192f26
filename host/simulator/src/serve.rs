//! The server: one instance behind a lock, faults in front of it, business rules after it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request as HttpRequest, Response as HttpResponse, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;

use crate::access::Access;
use crate::faults::{Faults, Trouble};
use crate::meter::{Meter, Metering};
use crate::quirks::Quirks;
use crate::rates::Rates;
use crate::rest::{self, Body as Content, Request};
use crate::script::Outbound;
use crate::session::Session;
use crate::signin::{Page, Tokens};
use crate::tables::{Record, Tables};

/// The largest body that is read.
const BODY: usize = 10 << 20;

/// The largest file that is taken.
const FILE: usize = 64 << 20;

/// Why a simulator does not start.
#[derive(Debug, thiserror::Error)]
#[error("the simulator cannot listen on {0}: {1}")]
pub struct SimulatorError(String, std::io::Error);

/// One instance.
pub(crate) struct Instance {
    pub(crate) tables: Tables,
    pub(crate) tokens: Tokens,
    pub(crate) access: Access,
    pub(crate) rates: Rates,
    pub(crate) journal_hidden: bool,
    /// What is in attachments, by their sys_id.
    pub(crate) contents: BTreeMap<String, Vec<u8>>,
    /// Long addresses by their short names.
    pub(crate) tiny: BTreeMap<String, String>,
    /// Import sets so far.
    pub(crate) imports: u64,
    /// Rows of import sets are worked off one after another.
    pub(crate) import_gate: Arc<Mutex<()>>,
    faults: Faults,
    rng: fastrand::Rng,
    metering: Metering,
}

impl Instance {
    pub(crate) fn new(seed: u64, faults: Faults) -> Instance {
        Instance {
            tables: Tables::new(seed),
            tokens: Tokens::default(),
            access: Access::default(),
            rates: Rates::default(),
            journal_hidden: false,
            contents: BTreeMap::new(),
            tiny: BTreeMap::new(),
            imports: 0,
            import_gate: Arc::default(),
            faults,
            rng: fastrand::Rng::with_seed(seed),
            metering: Metering::default(),
        }
    }

    pub(crate) fn log(&mut self, level: &str, message: &str) {
        let set = Record::from([
            ("level".to_owned(), level.to_owned()),
            ("message".to_owned(), message.to_owned()),
        ]);
        let _ = self.tables.insert("syslog", &set, "system");
    }

    /// Columns as people see them, for `getDisplayValue()`.
    pub(crate) fn shown(&self, record: &Record) -> Record {
        record.keys().map(|c| (c.clone(), self.tables.display_of(record, c))).collect()
    }
}

/// A running simulator. Dropping it stops it.
pub struct Simulator {
    instance: Arc<Mutex<Instance>>,
    shared: Shared,
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
        let instance = Arc::new(Mutex::new(Instance::new(seed, faults)));
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
        tokio::spawn(accept(listener, shared.clone(), stopped));
        Ok(Simulator { instance, shared, address, stop })
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

    /// Sets what nobody is sure of.
    pub fn set_quirks(&self, quirks: Quirks) {
        self.lock().tables.quirks = quirks;
    }

    /// Sets what everybody but administrators is forbidden.
    pub fn set_access(&self, access: Access) {
        self.lock().access = access;
    }

    /// Creates a row, as an administrator does; business rules hear of it. Gives its sys_id.
    ///
    /// # Errors
    /// Why the instance refuses it.
    pub async fn create(&self, table: &str, columns: &[(&str, &str)]) -> Result<String, String> {
        let set: Record = columns.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let (shared, table) = (self.shared.clone(), table.to_owned());
        let done = tokio::task::spawn_blocking(move || {
            let session = Session::new(&shared.instance, "admin");
            let row = session.insert(&table, &set, true);
            (row, session.outbound())
        });
        let (row, outbound) = done.await.map_err(|e| e.to_string())?;
        for call in outbound {
            tokio::spawn(send(self.shared.clone(), call));
        }
        let row = row.map_err(|why| format!("{why:?}"))?;
        Ok(row.get("sys_id").cloned().unwrap_or_default())
    }

    /// Puts a row into a table, as an import does that runs no business rules. Columns of the system's own
    /// (`sys_id`, `sys_updated_on`) are taken as they are given.
    ///
    /// # Errors
    /// Why the instance refuses it.
    pub fn import(&self, table: &str, columns: &[(&str, &str)]) -> Result<(), String> {
        let set: Record = columns.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let mut instance = self.lock();
        instance.tables.insert(table, &set, "import").map_err(|why| format!("{why:?}"))?;
        if let Some(sys_id) = set.get("sys_id") {
            instance.tables.set_system(table, sys_id, &set);
        }
        Ok(())
    }

    /// Copies everything of another instance over this one, as a clone does: its rules, properties
    /// and registrations come along, and still point to where they pointed.
    pub fn clone_over(&self, from: &Simulator) {
        let tables = from.lock().tables.clone();
        self.lock().tables = tables;
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
        self.lock().tables.make_unique(table, column);
    }

    /// All rows of a table (and of those that extend it), as they are.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<Record> {
        self.lock().tables.of(table).cloned().collect()
    }

    /// How many rows a table has (and those that extend it).
    #[must_use]
    pub fn count(&self, table: &str) -> usize {
        self.lock().tables.of(table).count()
    }

    /// How many requests came in, by method and table: `PATCH incident`.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.lock().metering.meter.requests.clone()
    }

    /// How many requests came in, and how fast.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.lock().metering.meter.clone()
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

/// A body that never ends.
fn endless() -> Body {
    Body::from_stream(futures_util::stream::unfold((), async |()| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Some((Ok::<_, std::io::Error>(" "), ()))
    }))
}

/// A list without its rows; a row with another one's `sys_id`.
fn falsify(body: &mut serde_json::Value) {
    if let Some(rows) = body["result"].as_array_mut() {
        rows.clear();
    } else if let Some(id) = body["result"]["sys_id"].as_str() {
        body["result"]["sys_id"] = id.chars().rev().collect::<String>().into();
    }
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
    let files = parts.uri.path().starts_with("/api/now/attachment/");
    let most = if files { FILE } else { BODY };
    let Ok(body) = axum::body::to_bytes(Body::new(body), most).await else {
        return Ok(plain(
            400,
            "application/json",
            r#"{"error":{"message":"Exception while reading request","detail":"the body is too long"},"status":"failure"}"#,
        ));
    };
    let path = parts.uri.path().to_owned();
    if let Some(what) = path.strip_prefix("/simulator/") {
        return Ok(control(&shared, what, &parts.method, &body));
    }
    if path == "/oauth_auth.do" {
        return Ok(consent(&shared, parts.method == "POST", parts.uri.query(), &body));
    }
    let (within, _measured) = begins(&shared, &parts);
    if !within {
        return Ok(refusal(429, None));
    }
    let method = method(&parts);
    let trouble = {
        let mut instance = lock(&shared.instance);
        let Instance { faults, rng, .. } = &mut *instance;
        faults.strike(&method, &path, rng)
    };
    let request = Request {
        method,
        path,
        query: url::form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes())
            .into_owned()
            .collect(),
        headers: parts
            .headers
            .iter()
            .filter_map(|(name, value)| {
                Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
            })
            .collect(),
        body: body.to_vec(),
        base: shared.base.clone(),
    };
    match &trouble {
        Some(Trouble::Drop) => return dropped(),
        Some(Trouble::Status { code, retry_after }) => return Ok(refusal(*code, *retry_after)),
        Some(Trouble::Throttled { retry_after }) => {
            let mut answer = refusal(429, None);
            if let Ok(value) = retry_after.parse() {
                answer.headers_mut().insert("retry-after", value);
            }
            return Ok(answer);
        }
        Some(Trouble::LoginPage) => {
            return Ok(plain(200, "text/html", "<html><title>Log in</title></html>"));
        }
        Some(Trouble::Hibernating) => {
            return Ok(plain(
                200,
                "text/html",
                "<html><title>Instance Hibernating page</title></html>",
            ));
        }
        Some(Trouble::Quota) => {
            let body = r#"{"error":{"message":"Transaction cancelled: maximum execution time exceeded","detail":"Transaction quota rule"},"status":"failure"}"#;
            return Ok(plain(500, "application/json", body));
        }
        Some(Trouble::LateCommit { ms }) => {
            let (late, shared) = (Duration::from_millis(*ms), shared.clone());
            tokio::spawn(async move {
                tokio::time::sleep(late).await;
                work(shared, request).await;
            });
            return dropped();
        }
        Some(Trouble::Delay { ms }) => tokio::time::sleep(Duration::from_millis(*ms)).await,
        _ => {}
    }
    let as_xml = request.header("accept").is_some_and(|accept| {
        accept.contains("xml") && !accept.contains("json") && request.path.starts_with("/api/")
    });
    let head = request.method == "HEAD";
    let Some(mut response) = work(shared.clone(), request).await else {
        return Ok(refusal(500, None));
    };
    match trouble {
        Some(Trouble::DropAfterCommit) => return dropped(),
        Some(Trouble::StatusAfterCommit { code }) => return Ok(refusal(code, None)),
        Some(Trouble::CutJson) => {
            let text = match response.body {
                Content::Json(body) => body.to_string(),
                _ => String::new(),
            };
            return Ok(plain(200, "application/json", text[..text.len() / 2].to_owned()));
        }
        Some(Trouble::Empty) => return Ok(plain(200, "application/json", "")),
        Some(Trouble::Huge { mb }) => {
            return Ok(plain(200, "application/json", vec![b' '; mb << 20]));
        }
        Some(Trouble::Endless) => return Ok(plain(200, "application/json", endless())),
        Some(Trouble::OtherRecord | Trouble::Unseen) => {
            if let Content::Json(body) = &mut response.body {
                falsify(body);
            }
        }
        _ => {}
    }
    let (kind, body) = match response.body {
        Content::None => ("application/json;charset=UTF-8", Body::empty()),
        _ if head => ("application/json;charset=UTF-8", Body::empty()),
        Content::Json(body) if as_xml => ("application/xml;charset=UTF-8", rest::xml(&body).into()),
        Content::Json(body) => ("application/json;charset=UTF-8", body.to_string().into()),
        Content::Bytes(bytes) => ("application/octet-stream", bytes.into()),
    };
    let mut answer = plain(response.status, kind, body);
    for (name, value) in response.headers {
        if let (Ok(name), Ok(value)) = (axum::http::HeaderName::try_from(name), value.parse()) {
            answer.headers_mut().insert(name, value);
        }
    }
    if let Ok(value) = format!("{:032x}", fastrand::u128(..)).parse() {
        answer.headers_mut().insert("x-transaction-id", value);
    }
    let signed_in = if response.status == 401 { "false" } else { "true" };
    for (name, value) in [
        ("x-is-logged-in", signed_in),
        ("set-cookie", "glide_user_route=glide.simulated; Path=/; HttpOnly"),
    ] {
        if let Ok(value) = value.parse() {
            answer.headers_mut().insert(name, value);
        }
    }
    Ok(answer)
}

/// The method that is meant.
fn method(parts: &axum::http::request::Parts) -> String {
    let instead = parts.headers.get("x-http-method-override").and_then(|v| v.to_str().ok());
    instead.map_or(parts.method.as_str(), |method| method).to_owned()
}

/// A request of an interface, until it is answered.
struct Measured(Shared);

impl Drop for Measured {
    fn drop(&mut self) {
        lock(&self.0.instance).metering.ends();
    }
}

/// Counts a request. Says whether it is within the pace.
fn begins(shared: &Shared, parts: &axum::http::request::Parts) -> (bool, Option<Measured>) {
    let path = parts.uri.path();
    let table = path.trim_start_matches("/api/now/").trim_start_matches("table/").split('/').next();
    let within = {
        let mut instance = lock(&shared.instance);
        let Instance { metering, faults, .. } = &mut *instance;
        metering.count(format!("{} {}", method(parts), table.unwrap_or_default()));
        if !path.starts_with("/api/") {
            return (true, None);
        }
        metering.begins(faults.pace)
    };
    (within, Some(Measured(shared.clone())))
}

/// Does a request, and sends what rules called for.
async fn work(shared: Shared, request: Request) -> Option<rest::Response> {
    let working = shared.clone();
    let served = tokio::task::spawn_blocking(move || {
        let user = {
            let mut instance = lock(&working.instance);
            if request.path == "/oauth_token.do" && request.method == "POST" {
                return (rest::token(&mut instance, &request), Vec::new());
            }
            if request.path == "/oauth_revoke_token.do" {
                let form = url::form_urlencoded::parse(&request.body);
                let said = form.into_owned().find(|(name, _)| name == "token").map(|(_, t)| t);
                let asked = request.parameter("token").map(str::to_owned);
                instance.tokens.end(&asked.or(said).unwrap_or_default());
                let done = rest::Response { status: 200, headers: Vec::new(), body: Content::None };
                return (done, Vec::new());
            }
            let Instance { tokens, tables, .. } = &mut *instance;
            tokens.user(tables, request.header("authorization"))
        };
        let Some(user) = user else { return (rest::not_signed_in(), Vec::new()) };
        let session = Session::new(&working.instance, &user);
        let response = rest::serve(&session, &request);
        (response, session.outbound())
    })
    .await;
    let (response, outbound) = served.ok()?;
    for call in outbound {
        tokio::spawn(send(shared.clone(), call));
    }
    Some(response)
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

/// `GET` and `PUT` of `/simulator/faults`, `/simulator/quirks` and `/simulator/access`.
fn control(
    shared: &Shared,
    what: &str,
    method: &axum::http::Method,
    body: &Bytes,
) -> HttpResponse<Body> {
    fn turn<T: Serialize + DeserializeOwned>(
        of: &mut T,
        method: &axum::http::Method,
        body: &Bytes,
    ) -> HttpResponse<Body> {
        if method == "GET" {
            return plain(200, "application/json", serde_json::to_string(of).unwrap_or_default());
        }
        match serde_json::from_slice::<T>(body) {
            Ok(given) => {
                *of = given;
                plain(204, "application/json", "")
            }
            Err(why) => plain(400, "text/plain", format!("it cannot be read: {why}\n")),
        }
    }
    if !matches!(method.as_str(), "GET" | "PUT") {
        return plain(405, "text/plain", "GET shows it, PUT sets it\n");
    }
    let mut instance = lock(&shared.instance);
    match what {
        "faults" => turn(&mut instance.faults, method, body),
        "quirks" => turn(&mut instance.tables.quirks, method, body),
        "access" => turn(&mut instance.access, method, body),
        _ => plain(404, "text/plain", "there is: faults, quirks, access\n"),
    }
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
        let _ = lock(&shared.instance).tables.insert("sys_outbound_http_log", &set, "system");
    }
}
