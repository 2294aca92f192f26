//! The http door: carries one request and says how it ended. A request that cannot leave within
//! its timeout does not leave at all; one that left and brought no response may have arrived.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use firn_model::{
    AnswerBody, Body, Fetch, HttpRequest, HttpResponse, IntegrationId, Limits, Method, Millis,
    PlatformContract, RESOURCE, Remote, Want,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::Url;

use crate::address::Resolver;
use crate::budget::{Budget, Turn};
use crate::file::{Source, Trouble, content_digest, measure};
use crate::signin::{Consent, Keeper, SignIn, SignInError, SignInState, Who};
use crate::{Addresses, Egress, Granted, Secrets, signature};

/// The longest answer that is read.
const ANSWER: usize = 8 << 20;

/// What finds no place for a file comes back then. In milliseconds.
const FILES_LATER: u64 = 5_000;

/// Where an integration's requests go.
#[derive(Debug, Clone)]
pub struct Target {
    /// The integration.
    pub integration: IntegrationId,
    /// The instance.
    pub base_url: String,
    /// The platform.
    pub platform: PlatformContract,
    /// What opens their doors.
    pub secrets: Secrets,
    /// What a person consented to, if that is how it signs in.
    pub granted: Option<Granted>,
    /// How much is asked of the instance.
    pub limits: Limits,
}

/// What is read of an answer's head.
const HEADERS: [&str; 6] = [
    "content-type",
    "retry-after",
    "date",
    "x-total-count",
    "x-ratelimit-limit",
    "x-ratelimit-reset",
];

/// Carries requests for all integrations.
pub struct Carrier {
    client: reqwest::Client,
    addresses: Addresses,
    signin: SignIn,
    budgets: Mutex<BTreeMap<String, Shared>>,
    files: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

/// The budget of an instance, and what each of its integrations allows.
struct Shared {
    limits: BTreeMap<IntegrationId, Limits>,
    lowest: Limits,
    budget: Arc<Budget>,
}

impl Carrier {
    /// A carrier that connects to these addresses only, and leaves by this egress.
    ///
    /// # Errors
    /// When the TLS roots cannot be loaded, or the egress is none.
    pub fn through(addresses: Addresses, egress: &Egress) -> Result<Carrier, reqwest::Error> {
        let proxy = egress.proxy.as_ref();
        let resolver = Resolver {
            addresses: addresses.clone(),
            proxy: proxy.and_then(|url| url.host_str()).map(str::to_owned),
        };
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("firn/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Arc::new(resolver))
            .connect_timeout(Duration::from_secs(10))
            .no_proxy();
        if let Some(proxy) = proxy {
            client = client.proxy(reqwest::Proxy::all(proxy.clone())?);
        }
        for pem in &egress.authorities {
            for authority in reqwest::Certificate::from_pem_bundle(pem)? {
                client = client.add_root_certificate(authority);
            }
        }
        let client = client.build()?;
        Ok(Carrier {
            client,
            addresses,
            signin: SignIn::default(),
            budgets: Mutex::new(BTreeMap::new()),
            files: Mutex::new(BTreeMap::new()),
        })
    }

    /// Keeps what instances grant anew with `keeper`.
    #[must_use]
    pub fn with_keeper(mut self, keeper: Arc<dyn Keeper>) -> Carrier {
        self.signin.keeper = Some(keeper);
        self
    }

    /// How an integration's sign-in stands.
    #[must_use]
    pub fn sign_in(&self, target: &Target) -> SignInState {
        match self.addresses.check(&target.base_url) {
            Ok(base) => self.signin.state(&who(target, &base)),
            Err(_) => SignInState::Good,
        }
    }

    /// Somebody says that the sign-in is good now: it is tried at once.
    pub fn try_again(&self, target: &Target) {
        if let Ok(base) = self.addresses.check(&target.base_url) {
            self.signin.try_again(&who(target, &base));
        }
    }

    /// Exchanges the code of a consent for tokens.
    ///
    /// # Errors
    /// What the instance said.
    pub async fn consented(
        &self,
        target: &Target,
        consent: &Consent,
        code: &str,
    ) -> Result<Granted, String> {
        let base = self.addresses.check(&target.base_url).map_err(|e| e.to_string())?;
        consent.granted(&self.client, &base, &target.secrets.credentials, code).await
    }

    /// The HTTP client, with its address checks.
    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Which addresses it connects to.
    #[must_use]
    pub fn allowed(&self) -> &Addresses {
        &self.addresses
    }

    pub(crate) fn signin(&self) -> &SignIn {
        &self.signin
    }

    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The budget of an instance: the lowest limits of its integrations hold.
    pub(crate) fn budget(&self, target: &Target) -> Arc<Budget> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let instance = origin(&target.base_url);
        for (other, shared) in budgets.iter_mut() {
            if *other != instance && shared.limits.remove(&target.integration).is_some() {
                shared.agree(); // It has moved.
            }
        }
        let shared = budgets.entry(instance).or_insert_with(|| Shared {
            limits: BTreeMap::new(),
            lowest: target.limits,
            budget: Budget::new(target.limits),
        });
        if shared.limits.insert(target.integration.clone(), target.limits) != Some(target.limits) {
            shared.agree();
        }
        Arc::clone(&shared.budget)
    }

    /// The place for a file, if a request carries or reads one: one for each instance, so that files never
    /// have all its turns; of what is only the platform's, one for each integration.
    fn file_of(&self, target: &Target, request: &HttpRequest) -> Option<Arc<Semaphore>> {
        let whose = match &request.body {
            Some(Body::File(_)) => origin(&target.base_url),
            _ if request.want == Want::Text => return None,
            _ if request.remote == Remote::Servicenow => origin(&target.base_url),
            _ => target.integration.to_string(),
        };
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody holds or waits for the others.
        files.retain(|_, place| Arc::strong_count(place) > 1);
        let place = files.entry(whose).or_insert_with(|| Arc::new(Semaphore::new(1)));
        Some(Arc::clone(place))
    }

    /// An integration is gone: what it allowed holds no more.
    pub fn forget(&self, integration: &IntegrationId) {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        for shared in budgets.values_mut() {
            shared.limits.remove(integration);
            shared.agree();
        }
    }

    /// Carries a request. Returns within its queue time and its timeout.
    pub async fn carry(&self, target: &Target, request: &HttpRequest) -> AnswerBody {
        let url = match self.url(target, request) {
            Ok(url) => url,
            Err(why) => return AnswerBody::NotSent(why),
        };
        let queue = Instant::now() + Duration::from_millis(request.queue);
        // A file keeps its connections for long, and its turn at the instance: one at a time.
        let place = self.file_of(target, request);
        let _place = match &place {
            Some(place) => match tokio::time::timeout_at(queue, place.acquire()).await {
                Ok(place) => place.ok(),
                Err(_) => return AnswerBody::Busy(FILES_LATER),
            },
            None => None,
        };
        // What the platform has is opened before the instance is asked: it may take its time, or fail.
        let end = Instant::now() + Duration::from_millis(request.timeout);
        let source = match &request.body {
            Some(Body::File(fetch)) => {
                match self.open(target, fetch, request, (queue, end)).await {
                    Ok(source) => Some(source),
                    Err(answer) => return answer,
                }
            }
            _ => None,
        };
        if request.remote != Remote::Servicenow {
            let headers = platform_headers(target, request, &url);
            return self.send(request, url, &headers, source, end).await.answer;
        }
        let base = match self.addresses.check(&target.base_url) {
            Ok(base) => base,
            Err(why) => return AnswerBody::NotSent(why.to_string()),
        };
        let budget = self.budget(target);
        let patience = queue.saturating_duration_since(Instant::now());
        let mut turn = match budget.turn(&target.integration, request.urgency, patience).await {
            Ok(turn) => turn,
            Err(later) => return later,
        };
        self.ask_instance(target, request, url, &base, &mut turn, source).await
    }

    /// One request to an instance, signed in.
    async fn ask_instance(
        &self,
        target: &Target,
        request: &HttpRequest,
        url: Url,
        base: &Url,
        turn: &mut Turn,
        source: Option<Source>,
    ) -> AnswerBody {
        let end = Instant::now() + Duration::from_millis(request.timeout);
        let who = who(target, base);
        let first = match self.signin.header(&self.client, &who, None).await {
            Ok(header) => header,
            Err(SignInError::Refused(why)) => return not_signed_in(&why),
            Err(SignInError::Failed(why)) => return AnswerBody::NotSent(why),
        };
        if Instant::now() >= end {
            let why = "signing in took too long".to_owned();
            return AnswerBody::NotSent(why);
        }
        let carries = source.is_some();
        let mut sent = self.send(request, url.clone(), &[authorization(&first)], source, end).await;
        // A token may have ended on the way: once more with a new one, if there is a new one. A file is
        // carried again later: it was read.
        if matches!(&sent.answer, AnswerBody::Response(r) if r.status == 401)
            && let Ok(second) =
                self.signin.header(&self.client, &who, Some(first.expose_secret())).await
            && second.expose_secret() != first.expose_secret()
        {
            if carries {
                return AnswerBody::NotSent("the sign-in was renewed meanwhile".to_owned());
            }
            sent = self.send(request, url, &[authorization(&second)], None, end).await;
        }
        let Sent { answer, at_fault } = sent;
        if at_fault == Fault::Target {
            turn.told(&answer, now());
        }
        // A path that is none any more: nobody was asked, and nothing was done.
        let through = request.path.starts_with(RESOURCE);
        if let AnswerBody::Response(response) = &answer
            && through
            && matches!(response.status, 400 | 404)
            && response.body.contains("does not represent any resource")
        {
            return AnswerBody::NotSent(
                "the Scripted REST resource is not where it was; run: firn integration provision"
                    .to_owned(),
            );
        }
        if let AnswerBody::Response(response) = &answer {
            // An instance that is down or busy says nothing about who asks.
            match response.status {
                401 => self.signin.told(&who, false),
                429 | 300..=399 | 500.. => {}
                _ => self.signin.told(&who, true),
            }
        }
        answer
    }

    fn url(&self, target: &Target, request: &HttpRequest) -> Result<Url, String> {
        let mut url = self.address(target, request.remote, &request.path)?;
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        Ok(url)
    }

    fn address(&self, target: &Target, remote: Remote, path: &str) -> Result<Url, String> {
        let missing = || "the platform has no such address".to_owned();
        let with_id = |template: Option<&String>, id: &str| {
            // They would walk up the path.
            if matches!(id, "." | "..") {
                return Err(format!("{id:?} is no id that can stand in an address"));
            }
            let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
            Ok::<_, String>(template.ok_or_else(missing)?.replace("{id}", &id.replace('+', "%20")))
        };
        let text = match remote {
            Remote::Servicenow => {
                let base = target.base_url.trim_end_matches('/');
                match path.strip_prefix(RESOURCE) {
                    Some(rest) => {
                        let resource = target.secrets.resource.as_ref().ok_or(
                            "the Scripted REST resource is not installed yet; run: firn integration provision",
                        )?;
                        format!("{base}{}{rest}", resource.as_str())
                    }
                    None => format!("{base}{path}"),
                }
            }
            Remote::PlatformCallback => target.platform.callback_url.clone().ok_or_else(missing)?,
            Remote::PlatformFindings => target.platform.findings_url.clone().ok_or_else(missing)?,
            Remote::PlatformRead => with_id(target.platform.read_url.as_ref(), path)?,
            Remote::PlatformAttachmentRead => {
                with_id(target.platform.attachment_read_url.as_ref(), path)?
            }
            Remote::PlatformAttachmentWrite => {
                with_id(target.platform.attachment_write_url.as_ref(), path)?
            }
        };
        self.addresses.check(&text).map_err(|e| e.to_string())
    }

    /// Opens a file.
    async fn open(
        &self,
        target: &Target,
        fetch: &Fetch,
        request: &HttpRequest,
        (queue, end): (Instant, Instant),
    ) -> Result<Source, AnswerBody> {
        let read = HttpRequest {
            remote: fetch.remote,
            method: Method::Get,
            path: fetch.path.clone(),
            query: Vec::new(),
            headers: vec![("accept".to_owned(), "*/*".to_owned())],
            body: None,
            ..request.clone()
        };
        let url = self.url(target, &read).map_err(AnswerBody::NotSent)?;
        let get = |headers: &[(String, SecretString)]| {
            self.outgoing(&read, url.clone(), headers).map_err(AnswerBody::NotSent)
        };
        if fetch.remote != Remote::Servicenow {
            let headers = platform_headers(target, &read, &url);
            let response = begun(get(&headers)?, end).await?;
            return file(response, fetch, None);
        }
        let base = self.addresses.check(&target.base_url);
        let base = base.map_err(|e| AnswerBody::NotSent(e.to_string()))?;
        let patience = queue.saturating_duration_since(Instant::now());
        let budget = self.budget(target);
        let mut turn = budget.turn(&target.integration, request.urgency, patience).await?;
        let who = who(target, &base);
        let signed = async |stale: Option<&str>| {
            let header = self.signin.header(&self.client, &who, stale).await;
            header.map_err(|e| AnswerBody::NotSent(e.to_string()))
        };
        let first = signed(None).await?;
        let mut response = begun(get(&[authorization(&first)])?, end).await;
        if response.as_ref().is_ok_and(|r| r.status() == 401)
            && let Ok(second) = signed(Some(first.expose_secret())).await
            && second.expose_secret() != first.expose_secret()
        {
            response = begun(get(&[authorization(&second)])?, end).await;
        }
        // The head alone: what it says of limits.
        let head = match &response {
            Ok(response) => AnswerBody::Response(HttpResponse {
                status: response.status().as_u16(),
                headers: headers(response),
                body: String::new(),
            }),
            Err(answer) => answer.clone(),
        };
        turn.told(&head, now());
        if let Ok(response) = &response {
            match response.status().as_u16() {
                401 => self.signin.told(&who, false),
                429 | 300..=399 | 500.. => {}
                _ => self.signin.told(&who, true),
            }
        }
        file(response?, fetch, Some(turn))
    }

    fn outgoing(
        &self,
        request: &HttpRequest,
        url: Url,
        headers: &[(String, SecretString)],
    ) -> Result<reqwest::RequestBuilder, String> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Patch => reqwest::Method::PATCH,
        };
        let mut outgoing = self.client.request(method, url);
        for (name, value) in &request.headers {
            outgoing = outgoing.header(name, value);
        }
        for (name, value) in headers {
            let mut value = reqwest::header::HeaderValue::from_str(value.expose_secret())
                .map_err(|_| format!("the header {name} cannot be sent"))?;
            value.set_sensitive(true);
            outgoing = outgoing.header(name, value);
        }
        Ok(outgoing)
    }

    async fn send(
        &self,
        request: &HttpRequest,
        url: Url,
        headers: &[(String, SecretString)],
        source: Option<Source>,
        end: Instant,
    ) -> Sent {
        let mut outgoing = match self.outgoing(request, url, headers) {
            Ok(outgoing) => outgoing,
            Err(why) => return Sent { answer: AnswerBody::NotSent(why), at_fault: Fault::Target },
        };
        let mut trouble = Trouble::default();
        if let Some(Body::Json(body)) = &request.body {
            outgoing = outgoing.header("content-type", "application/json").body(body.clone());
        }
        if let Some(source) = source {
            outgoing = outgoing
                .header("content-type", &source.fetch.media_type)
                .header("content-length", source.fetch.size)
                .header("content-digest", content_digest(&source.fetch));
            let (body, told) = source.into_body();
            trouble = told;
            outgoing = outgoing.body(body);
        }
        let answer = match tokio::time::timeout_at(end, exchange(outgoing, request.want)).await {
            Ok(answer) => answer,
            Err(_) => AnswerBody::Lost("no answer in time".to_owned()),
        };
        // A file that broke off was not taken, unless somebody says so.
        match (trouble.told(), &answer) {
            (Some(told), AnswerBody::Lost(_) | AnswerBody::NotSent(_)) => {
                Sent { answer: told, at_fault: Fault::Source }
            }
            _ => Sent { answer, at_fault: Fault::Target },
        }
    }
}

/// How a request ended, and of whom that tells.
struct Sent {
    answer: AnswerBody,
    at_fault: Fault,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Of the side that was asked.
    Target,
    /// Of the side whose file was to be carried.
    Source,
}

impl Shared {
    fn agree(&mut self) {
        let lowest = self.limits.values().copied().reduce(|a, b| Limits {
            requests_per_second: a.requests_per_second.min(b.requests_per_second),
            at_once: a.at_once.min(b.at_once),
            requests_per_hour: match (a.requests_per_hour, b.requests_per_hour) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        });
        if let Some(lowest) = lowest.filter(|lowest| *lowest != self.lowest) {
            self.lowest = lowest;
            self.budget.limit(lowest);
        }
    }
}

/// An instance, however its address is written.
fn origin(base_url: &str) -> String {
    Url::parse(base_url)
        .map_or_else(|_| base_url.to_owned(), |url| url.origin().ascii_serialization())
}

pub(crate) fn now() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Millis(i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX))
}

fn who<'a>(target: &'a Target, base: &'a Url) -> Who<'a> {
    Who {
        base,
        integration: Some(&target.integration),
        credentials: &target.secrets.credentials,
        granted: target.granted.as_ref(),
    }
}

/// What the instance would answer, without asking it: it refused this sign-in within the last minute.
fn not_signed_in(why: &str) -> AnswerBody {
    let body = serde_json::json!({ "error": { "message": "not signed in", "detail": why } });
    AnswerBody::Response(HttpResponse { status: 401, headers: Vec::new(), body: body.to_string() })
}

/// The head of an answer, in time.
async fn begun(
    request: reqwest::RequestBuilder,
    end: Instant,
) -> Result<reqwest::Response, AnswerBody> {
    match tokio::time::timeout_at(end, answered(request)).await {
        Ok(answer) => answer,
        Err(_) => Err(AnswerBody::NotSent("the file was not there in time".to_owned())),
    }
}

/// The file of an answer to a request for it.
fn file(
    response: reqwest::Response,
    fetch: &Fetch,
    turn: Option<Turn>,
) -> Result<Source, AnswerBody> {
    match response.status().as_u16() {
        200..=299 => Ok(Source { response, fetch: fetch.clone(), _turn: turn }),
        // It comes back, or is asked for again in another way.
        status @ (401 | 408 | 429 | 300..=399 | 500..) => {
            Err(AnswerBody::NotSent(format!("the file cannot be had now: status {status}")))
        }
        status => Err(AnswerBody::NoFile(status)),
    }
}

async fn answered(request: reqwest::RequestBuilder) -> Result<reqwest::Response, AnswerBody> {
    request.send().await.map_err(|e| {
        if e.is_connect() || e.is_builder() {
            AnswerBody::NotSent(format!("cannot connect: {}", cause(e)))
        } else {
            AnswerBody::Lost(format!("the connection broke: {}", cause(e)))
        }
    })
}

fn headers(response: &reqwest::Response) -> Vec<(String, String)> {
    let of = |name: &str| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some((name.to_owned(), value.to_owned()))
    };
    HEADERS.into_iter().filter_map(of).collect()
}

async fn exchange(request: reqwest::RequestBuilder, want: Want) -> AnswerBody {
    let mut response = match answered(request).await {
        Ok(response) => response,
        Err(answer) => return answer,
    };
    let (status, headers) = (response.status().as_u16(), headers(&response));
    if let (Want::Hash(most), 200..=299) = (want, status) {
        return match measure(&mut response, most).await {
            Ok(body) => AnswerBody::Response(HttpResponse { status, headers, body }),
            Err(why) => AnswerBody::Lost(why),
        };
    }
    let body = match body(&mut response).await {
        Ok(body) => body,
        Err(why) => return AnswerBody::Lost(why),
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    AnswerBody::Response(HttpResponse { status, headers, body })
}

/// The whole body of an answer, unless it is longer than anything Firn asks for.
pub(crate) async fn body(response: &mut reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err("the answer is too long".to_owned()),
            Ok(None) => return Ok(body),
            Err(e) => return Err(format!("the answer broke off: {}", cause(e))),
        }
    }
}

/// The innermost reason, without the address (which may hold a secret).
pub(crate) fn cause(e: reqwest::Error) -> String {
    let e = e.without_url();
    let mut at: &dyn std::error::Error = &e;
    while let Some(deeper) = at.source() {
        at = deeper;
    }
    at.to_string()
}

fn authorization(value: &SecretString) -> (String, SecretString) {
    ("authorization".to_owned(), value.clone())
}

/// What we send to the platform is signed by the Standard Webhooks scheme, if the integration has a secret.
/// What stands in the place of a body: of a file its SHA-256, of a read what is asked for (path and query).
fn platform_headers(
    target: &Target,
    request: &HttpRequest,
    url: &Url,
) -> Vec<(String, SecretString)> {
    let Some(secret) = &target.secrets.callback else { return Vec::new() };
    let asked = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let body = match &request.body {
        Some(Body::Json(body)) => body,
        Some(Body::File(fetch)) => fetch.hash.as_str(),
        None => &asked,
    };
    let name = match request.remote {
        // The same message keeps its id however often it is sent.
        Remote::PlatformFindings => request.ticket.rsplit_once('#').map_or("", |(name, _)| name),
        _ => request.ticket.as_str(),
    };
    let id = name.replace(['/', '#', '.'], "-");
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let timestamp = now.as_secs().to_string();
    let Some(signature) = signature::sign(secret, &format!("{id}.{timestamp}.{body}")) else {
        return Vec::new();
    };
    [
        ("webhook-id", id),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", format!("v1,{signature}")),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), SecretString::from(value)))
    .collect()
}
