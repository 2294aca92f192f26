//! The console's door: who comes in by which cookie, whether a form is really theirs, and what a browser may
//! do with a page.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method as HttpMethod, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;

use super::pages::Page;
use super::view;
use crate::access::{Caller, LASTS, Right, same};
use crate::api::{Shared, Who, body, failed, problem};
use crate::host::now;
use crate::open::is_own;
use crate::rules::keep::LARGEST;

/// What a page may load and where it may send: our own host, and nothing inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// A form that was sent.
#[derive(Clone, Default)]
pub(super) struct Form(Arc<Vec<(String, String)>>, Option<Bytes>);

impl Form {
    /// A field of it.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The file that came with it.
    pub(super) fn file(&self) -> Option<&Bytes> {
        self.1.as_ref()
    }

    /// Every value of a field.
    pub(super) fn fields(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }
}

impl FromRequestParts<Shared> for Form {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Form, Response> {
        Ok(parts.extensions.get::<Form>().cloned().unwrap_or_default())
    }
}

/// Whoever looks at a page, and what they sent.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) shared: Shared,
    pub(super) caller: Caller,
    /// What each form has to show.
    pub(super) form_key: String,
    /// Nobody signs in here.
    pub(super) open: bool,
    /// The address, with what stands behind the question mark.
    pub(super) address: String,
    /// How much had happened when they asked.
    pub(super) beat: u64,
    /// What signs them in; nothing does where all is open.
    pub(super) cookie: Option<Arc<str>>,
    pub(super) form: Form,
}

impl Visit {
    /// Whether they are signed in still.
    pub(super) fn stands(&self) -> bool {
        // A browser shows its cookies to every port of a host: where all is open, one may be another Firn's.
        let session = || {
            let cookie = self.cookie.as_deref()?;
            self.shared.host.access().session(&self.shared.gate, cookie, now()).ok()?
        };
        self.open || session().is_some()
    }

    pub(super) fn may(&self, right: Right) -> bool {
        self.caller.role.grants(right)
    }
}

impl FromRequestParts<Shared> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Visit, Response> {
        parts
            .extensions
            .get::<Visit>()
            .cloned()
            .ok_or_else(|| failed(&anyhow::anyhow!("the page lets anybody in, and asks who it is")))
    }
}

/// The router of a table of pages.
pub(super) fn router(pages: Vec<Page>, shared: &Shared) -> Router<Shared> {
    pages.into_iter().fold(Router::new(), |router, page| {
        let door = Door { shared: shared.clone(), who: page.who };
        let handler = page.handler.layer(axum::middleware::from_fn_with_state(door, enter));
        router.route(page.path, handler)
    })
}

#[derive(Clone)]
struct Door {
    shared: Shared,
    who: Who,
}

/// Lets somebody in, and makes a page of whatever a handler answers.
async fn enter(State(door): State<Door>, request: Request, next: Next) -> Response {
    let whole = request.headers().get("x-firn-part").is_none();
    let mut response = match admitted(door, request).await {
        Ok((request, visit)) => {
            let response = next.run(request).await;
            if is_problem(&response) {
                view::failure(visit.as_ref(), response, whole).await
            } else {
                response
            }
        }
        Err(refused) if is_problem(&refused) => view::failure(None, refused, whole).await,
        Err(refused) => refused,
    };
    guard(response.headers_mut());
    response
}

/// A problem as a page, guarded.
pub(super) async fn page_of(visit: Option<&Visit>, refused: Response) -> Response {
    let mut page = view::failure(visit, refused, true).await;
    guard(page.headers_mut());
    page
}

fn is_problem(response: &Response) -> bool {
    let kind = response.headers().get("content-type");
    kind.is_some_and(|kind| kind == "application/problem+json")
}

fn guard(headers: &mut HeaderMap) {
    let mut set = |name: &'static str, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set("content-security-policy", POLICY);
    set("x-content-type-options", "nosniff");
    set("x-frame-options", "DENY");
    // Not `no-referrer`: a form's Origin would be null then.
    set("referrer-policy", "same-origin");
    set("cross-origin-opener-policy", "same-origin");
    set("cache-control", "no-store");
}

async fn admitted(
    Door { shared, who }: Door,
    request: Request,
) -> Result<(Request, Option<Visit>), Response> {
    let changes = request.method() == HttpMethod::POST;
    if changes && !is_own(request.headers()) {
        let detail = "the form was sent by another site; open the console and try again there";
        return Err(problem(403, "another-site", "Another site's form", detail));
    }
    let (mut parts, raw) = request.into_parts();
    let kind = parts.headers.get("content-type").and_then(|kind| kind.to_str().ok());
    let form = match kind.map(multer::parse_boundary) {
        _ if !changes => Form::default(),
        Some(Ok(boundary)) if parts.uri.path().ends_with("/rules") => {
            // Nothing so large is read for somebody who may not send it.
            let cookie = cookie(&shared, &parts.headers);
            let may = session(&shared, cookie)?.is_some_and(|(caller, _)| match who {
                Who::Holder(right) => caller.role.grants(right),
                Who::Anybody => false,
            });
            if may { with_file(raw, boundary).await? } else { Form::default() }
        }
        _ => {
            let text = body(&parts.headers, raw).await?;
            let fields = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
            Form(Arc::new(fields), None)
        }
    };
    parts.extensions.insert(form.clone());
    let Who::Holder(right) = who else {
        // Whoever signs in has no session yet, or will have another.
        return Ok((Request::from_parts(parts, axum::body::Body::empty()), None));
    };
    let own = parts.uri.path_and_query().map_or("/", |address| address.as_str());
    // An action is no place to come back to; the page that it was asked for on is.
    let address = if changes { place_of(&parts.headers) } else { own.to_owned() };
    let cookie = cookie(&shared, &parts.headers).map(Arc::from);
    let Some((caller, form_key)) = session(&shared, cookie.as_deref())? else {
        return Err(to_sign_in(&address, &parts.headers));
    };
    let visit = Visit {
        open: shared.gate.open,
        beat: shared.host.pulse().count(caller.tenant.as_ref()),
        shared,
        caller: caller.clone(),
        form_key,
        address,
        cookie,
        form,
    };
    if changes && !visit.form.field("form_key").is_some_and(|given| same(given, &visit.form_key)) {
        let detail =
            "the form is of a session that has ended; go back, reload the page, and try again";
        return Err(problem(403, "old-form", "An old form", detail));
    }
    if !visit.may(right) {
        let detail = match right {
            Right::Read | Right::Send => "your token is a sender's: it may not look at anything",
            Right::Operate => "this needs a token of an operator or an administrator",
            Right::Administer => "this needs an administrator's token",
        };
        let refused = problem(403, "not-allowed", "Not allowed", detail);
        return Err(view::failure(Some(&visit), refused, true).await);
    }
    parts.extensions.insert(caller);
    parts.extensions.insert(visit.clone());
    Ok((Request::from_parts(parts, axum::body::Body::empty()), Some(visit)))
}

/// A form that comes with a file.
async fn with_file(raw: axum::body::Body, boundary: String) -> Result<Form, Response> {
    const TIME: std::time::Duration = std::time::Duration::from_secs(60);
    let read = tokio::time::timeout(TIME, axum::body::to_bytes(raw, LARGEST + (64 << 10))).await;
    let Ok(Ok(bytes)) = read else {
        let detail = format!("a component has {} MiB at most", LARGEST >> 20);
        return Err(problem(413, "too-large", "The file is too large, or did not come", detail));
    };
    let whole = futures_util::stream::once(async { Ok::<_, std::convert::Infallible>(bytes) });
    let mut parts = multer::Multipart::new(whole, boundary);
    let broken = |why: multer::Error| {
        problem(400, "broken-form", "The form cannot be read", why.to_string())
    };
    let (mut fields, mut file) = (Vec::new(), None);
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        let name = part.name().unwrap_or_default().to_owned();
        if part.file_name().is_some() {
            file = Some(part.bytes().await.map_err(broken)?);
        } else {
            fields.push((name, part.text().await.map_err(broken)?));
        }
    }
    Ok(Form(Arc::new(fields), file))
}

/// Who shows a cookie; nobody, if it is none of ours any more.
fn session(shared: &Shared, cookie: Option<&str>) -> Result<Option<(Caller, String)>, Response> {
    let access = shared.host.access();
    if shared.gate.open {
        return Ok(Some((Caller::admin("anybody"), access.form_key("open"))));
    }
    let Some(cookie) = cookie else { return Ok(None) };
    let session = access.session(&shared.gate, cookie, now()).map_err(|why| failed(&why))?;
    Ok(session.map(|session| (session.caller, session.form_key)))
}

/// The cookie's name. Under https a browser keeps one so named to this host alone.
fn name(shared: &Shared) -> &'static str {
    if shared.host.is_https() { "__Host-firn" } else { "firn" }
}

/// What the browser shows.
pub(super) fn cookie<'a>(shared: &Shared, headers: &'a HeaderMap) -> Option<&'a str> {
    let all = headers.get_all("cookie").iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name(shared))
        .map(|(_, value)| value)
}

/// Has the browser show a cookie from now on; an empty one is forgotten.
pub(super) fn set_cookie(shared: &Shared, value: &SecretString) -> String {
    use secrecy::ExposeSecret;
    let secure = if shared.host.is_https() { "; Secure" } else { "" };
    let value = value.expose_secret();
    let age = if value.is_empty() { 0 } else { LASTS / 1_000 };
    format!("{}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}", name(shared))
}

/// Sends somebody to sign in, and then back.
fn to_sign_in(address: &str, headers: &HeaderMap) -> Response {
    if headers.get("x-firn-part").is_some() {
        // A script asks: it reloads the page, which comes here.
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let next: String = url::form_urlencoded::byte_serialize(address.as_bytes()).collect();
    let to = if address == "/" { "/sign-in".to_owned() } else { format!("/sign-in?next={next}") };
    see(&to)
}

/// Shows another page instead.
pub(super) fn see(address: &str) -> Response {
    let to = HeaderValue::from_str(address).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [("location", to)]).into_response()
}

/// The page that a form was sent from, as the browser tells.
fn place_of(headers: &HeaderMap) -> String {
    let from = headers.get("referer").and_then(|from| from.to_str().ok());
    let from = from.and_then(|from| url::Url::parse(from).ok());
    let place = from.map(|from| match from.query() {
        Some(query) => format!("{}?{query}", from.path()),
        None => from.path().to_owned(),
    });
    own_place(place.as_deref()).to_owned()
}

/// A place of ours to go back to; anything else is the beginning.
pub(super) fn own_place(address: Option<&str>) -> &str {
    let own = |address: &&str| {
        address.starts_with('/')
            && !address.starts_with("//")
            && !address.contains(['\\', '\n', '\r', '\t'])
            && !address.starts_with("/sign-")
    };
    address.filter(own).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_back_to_a_place_of_ours_only() {
        for (given, place) in [
            (Some("/console/x/links?q=1"), "/console/x/links?q=1"),
            (Some("//evil.example"), "/"),
            (Some("/\\evil.example"), "/"),
            (Some("https://evil.example"), "/"),
            (Some("/sign-in"), "/"),
            (None, "/"),
        ] {
            assert_eq!(own_place(given), place);
        }
    }
}
