//! The http door: carries one request and says how it ended. A request that cannot leave within
//! its timeout does not leave at all; one that left and brought no response may have arrived.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use firn_model::{
    AnswerBody, Body, HttpRequest, HttpResponse, IntegrationId, Limits, Method, Millis,
    PlatformContract, RESOURCE, Remote, TenantId, Want,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

use crate::address::Resolver;
use crate::budget::{Budget, Turn};
use crate::file::{Places, Source, Trouble, content_digest, measure};
use crate::signin::{Asked, Consent, Keeper, SignIn, SignInError, SignInState, Who};
use crate::{Addresses, Egress, Granted, Secrets, signature};

/// The longest answer that is read.
const ANSWER: usize = 8 << 20;

/// Where an integration's requests go.
#[derive(Debug, Clone)]
pub struct Target {
    /// Whose it is.
    pub tenant: TenantId,
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
    /// When a backup was last put in the place of the store.
    pub restored: Option<Millis>,
}

/// When it is too late for a request.
#[derive(Clone, Copy)]
struct Deadline {
    /// Its answer is waited for until then.
    end: Instant,
    /// It does not leave any more after that. By the machine's clock, which goes on while the process does not.
    last: Millis,
}

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
    /// By tenant and instance: nobody's limits are another's.
    budgets: Mutex<BTreeMap<(TenantId, String), Shared>>,
    /// Of what instances allow, this carrier has one part of so many: others ask them too.
    parts: AtomicU32,
    pub(crate) places: Places,
}

/// The budget of an instance, and what each of its integrations allows.
struct Shared {
    limits: BTreeMap<IntegrationId, Limits>,
    /// What holds: this carrier's part of the lowest.
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
            parts: AtomicU32::new(1),
            places: Places::default(),
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

    /// The budget of an instance: the lowest limits of a tenant's integrations hold. Another tenant signs in as others,
    /// whose requests the instance counts by themselves; what it says of how much may be asked is no news to this one.
    pub(crate) fn budget(&self, target: &Target) -> Arc<Budget> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let instance = (target.tenant.clone(), origin(&target.base_url));
        for (other, shared) in budgets.iter_mut() {
            if *other != instance && shared.limits.remove(&target.integration).is_some() {
                shared.agree(self.parts()); // It has moved.
            }
        }
        let shared = budgets.entry(instance).or_insert_with(|| Shared {
            limits: BTreeMap::new(),
            lowest: part(target.limits, self.parts()),
            budget: Budget::new(part(target.limits, self.parts())),
        });
        if shared.limits.insert(target.integration.clone(), target.limits) != Some(target.limits) {
            shared.agree(self.parts());
        }
        Arc::clone(&shared.budget)
    }

    /// An integration is gone: what it allowed holds no more.
    pub fn forget(&self, integration: &IntegrationId) {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        for shared in budgets.values_mut() {
            shared.limits.remove(integration);
            shared.agree(self.parts());
        }
    }

    /// So many carriers ask the same instances from now on: each has its part of what they allow.
    pub fn share(&self, parts: u32) {
        self.parts.store(parts.max(1), Ordering::SeqCst);
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        for shared in budgets.values_mut() {
            shared.agree(self.parts());
        }
    }

    fn parts(&self) -> u32 {
        self.parts.load(Ordering::SeqCst)
    }

    /// Carries a request. Returns within its queue time and its timeout. It was decided on at `decided`; one that
    /// could not leave for long since then (the process was stopped, the machine slept) does not leave at all:
    /// whoever waits for its answer has given it up, and may have sent another.
    pub async fn carry(
        &self,
        target: &Target,
        request: &HttpRequest,
        decided: Millis,
    ) -> AnswerBody {
        let last = request.queue.saturating_add(request.timeout);
        let last = Millis(decided.0.saturating_add_unsigned(last));
        let url = match self.url(target, request) {
            Ok(url) => url,
            Err(why) => return AnswerBody::NotSent(why),
        };
        let queue = Instant::now() + Duration::from_millis(request.queue);
        let _place = match self.place(target, request, queue).await {
            Ok(place) => place,
            Err(later) => return later,
        };
        // What the platform has is opened before the instance is asked: it may take its time, or fail.
        let source = match &request.body {
            Some(Body::File(fetch)) => match self.open(target, fetch, request, queue).await {
                Ok(source) => Some(source),
                Err(answer) => return answer,
            },
            _ => None,
        };
        if request.remote != Remote::Servicenow {
            let headers = match request.remote {
                Remote::Model => match model_headers(target) {
                    Ok(headers) => headers,
                    Err(why) => return AnswerBody::NotSent(why),
                },
                _ => platform_headers(target, request, &url),
            };
            let end = Instant::now() + Duration::from_millis(request.timeout);
            let deadline = Deadline { end, last };
            return self.send(request, url, &headers, source, deadline).await.answer;
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
        self.ask_instance(target, (request, last), url, &base, &mut turn, source).await
    }

    /// One request to an instance, signed in.
    async fn ask_instance(
        &self,
        target: &Target,
        (request, last): (&HttpRequest, Millis),
        url: Url,
        base: &Url,
        turn: &mut Turn,
        source: Option<Source>,
    ) -> AnswerBody {
        let end = Instant::now() + Duration::from_millis(request.timeout);
        let (mut source, carries) = (source, matches!(request.body, Some(Body::File(_))));
        let ask = |header: (String, SecretString)| {
            let not_sent = |why: &str| Sent {
                answer: AnswerBody::NotSent(why.to_owned()),
                tells: Tells::NothingOfTarget,
            };
            let (file, url) = (source.take(), url.clone());
            async move {
                if Instant::now() >= end {
                    return not_sent("signing in took too long");
                }
                if carries && file.is_none() {
                    // It was read for the first try; the next one opens it anew.
                    return not_sent("the sign-in was renewed meanwhile");
                }
                self.send(request, url, &[header], file, Deadline { end, last }).await
            }
        };
        let status = |sent: &Sent| match &sent.answer {
            AnswerBody::Response(response) => Some(response.status),
            _ => None,
        };
        let sent = match self.signed_in(&who(target, base), ask, status).await {
            Ok(sent) => sent,
            Err(SignInError::Refused(why)) => return not_signed_in(&why),
            Err(SignInError::Failed(why)) => return AnswerBody::NotSent(why),
        };
        let Sent { answer, tells } = sent;
        if tells == Tells::OfTarget {
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
        answer
    }

    /// Asks an instance with the header that signs in, and again if a token has ended on the way and there
    /// is a new one. The sign-in is told what the status says of it.
    pub(crate) async fn signed_in<T, F: Future<Output = T>>(
        &self,
        who: &Who<'_>,
        mut ask: impl FnMut((String, SecretString)) -> F,
        status: impl Fn(&T) -> Option<u16>,
    ) -> Result<T, SignInError> {
        let mut last = self.signin.signed(&self.client, who, None).await?;
        let mut answer = ask(authorization(&last.header)).await;
        while status(&answer) == Some(401) {
            let stale = last.header.expose_secret();
            let Ok(next) = self.signin.signed(&self.client, who, Some(stale)).await else { break };
            if next.header.expose_secret() == stale {
                break;
            }
            answer = ask(authorization(&next.header)).await;
            last = next;
            // One that this process asked for just now is as good as it gets.
            if last.asked == Asked::Here {
                break;
            }
        }
        // An instance that is down or busy says nothing about who asks.
        match status(&answer) {
            Some(401) => self.signin.told(who, false),
            None | Some(429 | 300..=399 | 500..) => {}
            Some(_) => self.signin.told(who, true),
        }
        Ok(answer)
    }

    pub(crate) fn url(&self, target: &Target, request: &HttpRequest) -> Result<Url, String> {
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
            Remote::PlatformKnowledge => {
                target.platform.knowledge_url.clone().ok_or_else(missing)?
            }
            Remote::Model => {
                let base = target.platform.model_url.as_ref().ok_or("there is no model_url")?;
                below(base, path)?
            }
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

    /// A request with its headers, without its body.
    pub(crate) fn outgoing(
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
        Deadline { end, last }: Deadline,
    ) -> Sent {
        if now() > last {
            let (answer, tells) = (too_late(), Tells::NothingOfTarget);
            return Sent { answer, tells };
        }
        let mut outgoing = match self.outgoing(request, url, headers) {
            Ok(outgoing) => outgoing,
            Err(why) => {
                return Sent { answer: AnswerBody::NotSent(why), tells: Tells::NothingOfTarget };
            }
        };
        let mut trouble = Trouble::default();
        if let Some(Body::Json(body)) = &request.body {
            outgoing = outgoing
                .header("content-type", "application/json")
                .header("content-length", body.len())
                .body(in_time(body.clone(), last));
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
        let taken = matches!(&answer, AnswerBody::Response(r) if (200..300).contains(&r.status));
        match trouble.told() {
            Some(told) if !taken => Sent { answer: told, tells: Tells::NothingOfTarget },
            _ => Sent { answer, tells: Tells::OfTarget },
        }
    }
}

/// A path below an address, which may have a query of its own (some endpoints want their version there).
pub(crate) fn below(address: &str, path: &str) -> Result<String, String> {
    let mut url = Url::parse(address).map_err(|e| e.to_string())?;
    let joined = format!("{}{path}", url.path().trim_end_matches('/'));
    url.set_path(&joined);
    Ok(url.into())
}

fn too_late() -> AnswerBody {
    AnswerBody::NotSent("it was held up for too long to be sent still".to_owned())
}

/// A body that is there if it is asked for in time. Connecting takes a moment, in which the process may be stopped;
/// a request whose body breaks off is not taken.
fn in_time(body: String, last: Millis) -> reqwest::Body {
    let body = async move {
        match now() > last {
            true => Err(std::io::Error::other("it was held up for too long")),
            false => Ok(body),
        }
    };
    reqwest::Body::wrap_stream(futures_util::stream::once(body))
}

/// How a request ended.
struct Sent {
    answer: AnswerBody,
    tells: Tells,
}

/// Whether an end says anything of the side that was to be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tells {
    OfTarget,
    NothingOfTarget,
}

/// One of so many parts of what an instance allows. Of each there is at least one: a budget that lets nobody
/// through is none.
fn part(limits: Limits, parts: u32) -> Limits {
    Limits {
        requests_per_second: (limits.requests_per_second / parts).max(1),
        at_once: (limits.at_once / parts).max(1),
        requests_per_hour: limits.requests_per_hour.map(|limit| (limit / parts).max(1)),
    }
}

impl Shared {
    fn agree(&mut self, parts: u32) {
        let lowest = self.limits.values().copied().reduce(|a, b| Limits {
            requests_per_second: a.requests_per_second.min(b.requests_per_second),
            at_once: a.at_once.min(b.at_once),
            requests_per_hour: match (a.requests_per_hour, b.requests_per_hour) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        });
        let Some(lowest) = lowest.map(|lowest| part(lowest, parts)) else { return };
        if lowest != self.lowest {
            self.lowest = lowest;
            self.budget.limit(lowest);
        }
    }
}

/// An instance, however its address is written.
pub(crate) fn origin(base_url: &str) -> String {
    Url::parse(base_url)
        .map_or_else(|_| base_url.to_owned(), |url| url.origin().ascii_serialization())
}

pub(crate) fn now() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Millis(i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX))
}

pub(crate) fn who<'a>(target: &'a Target, base: &'a Url) -> Who<'a> {
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

/// The head of an answer.
pub(crate) async fn answered(
    request: reqwest::RequestBuilder,
) -> Result<reqwest::Response, AnswerBody> {
    request.send().await.map_err(|e| {
        if e.is_connect() || e.is_builder() {
            AnswerBody::NotSent(format!("cannot connect: {}", cause(e)))
        } else {
            AnswerBody::Lost(format!("the connection broke: {}", cause(e)))
        }
    })
}

/// What is read of an answer's head.
pub(crate) fn headers(response: &reqwest::Response) -> Vec<(String, String)> {
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

/// A language model is shown the key that lets us ask it, and no signature: it knows nothing of us.
fn model_headers(target: &Target) -> Result<Vec<(String, SecretString)>, String> {
    let Some(key) = &target.secrets.model else { return Ok(Vec::new()) };
    let key = key.resolve().map_err(|why| why.to_string())?;
    let bearer = SecretString::from(format!("Bearer {}", key.expose_secret()));
    Ok(vec![authorization(&bearer)])
}

/// What we send to the platform is signed by the Standard Webhooks scheme, if the integration has a secret.
/// What stands in the place of a body: of a file its SHA-256, of a read what is asked for (path and query).
pub(crate) fn platform_headers(
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
    let mut id = name.replace(['/', '#', '.'], "-");
    // A store that was put back counts from where it was: this message is another one than that of the same name.
    if let Some(restored) = target.restored {
        id = format!("{id}-{:x}", restored.0);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Credentials, Secret};

    fn target(tenant: &str, integration: &str, limits: Limits) -> Target {
        let password = Secret::new("p");
        Target {
            tenant: TenantId::new(tenant).unwrap(),
            integration: IntegrationId::new(integration).unwrap(),
            base_url: "https://acme.service-now.com".to_owned(),
            platform: PlatformContract::default(),
            secrets: Secrets {
                credentials: Credentials::Basic { username: "u".to_owned(), password },
                admin: None,
                webhook: Vec::new(),
                callback: None,
                model: None,
                resource: None,
            },
            granted: None,
            limits,
            restored: None,
        }
    }

    #[test]
    fn a_tenants_limits_are_its_own_on_an_instance_of_several() {
        let carrier = Carrier::through(Addresses::default(), &Egress::default()).unwrap();
        let slow = Limits { requests_per_second: 1, at_once: 1, requests_per_hour: Some(100) };
        let ours = carrier.budget(&target("a", "int-1", Limits::default()));
        let theirs = carrier.budget(&target("b", "int-2", slow));
        assert!(!Arc::ptr_eq(&ours, &theirs), "whoever names the instance slows nobody else down");
        let ours_too = carrier.budget(&target("a", "int-3", slow));
        assert!(Arc::ptr_eq(&ours, &ours_too), "one's own share it, and the lowest hold");
    }
}
