//! The command line as a client of the API.

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value as Json;

/// Where the API is, and what opens it.
pub(crate) struct Client {
    url: String,
    token: Option<String>,
    http: reqwest::blocking::Client,
}

impl Client {
    pub(crate) fn new(url: &str, token: Option<String>) -> Result<Client> {
        let http = reqwest::blocking::Client::builder()
            .timeout(std::time::Duration::from_secs(120))
            .no_proxy()
            .build()?;
        if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
            bail!("{url} is no address: write the scheme too, http://{url} (--url, FIRN_URL)");
        }
        // A file may end in a newline.
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        Ok(Client { url: url.trim_end_matches('/').to_owned(), token, http })
    }

    /// Where Firn is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Everything of a listing, page by page: what stands under `name`.
    pub(crate) fn listed(&self, path: &str, name: &str) -> Result<Json> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mark = if path.contains('?') { '&' } else { '?' };
            let page = match &after {
                Some(after) => format!("{path}{mark}after={}", segment(after)),
                None => path.to_owned(),
            };
            let mut answer = self.get(&page)?;
            if let Json::Array(more) = answer[name].take() {
                all.extend(more);
            }
            match answer["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => return Ok(Json::Array(all)),
            }
        }
    }

    fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Json>,
    ) -> Result<reqwest::blocking::Response> {
        let url = format!("{}/api/v1{path}", self.url);
        let mut request = self.http.request(method, &url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().map_err(|why| {
            let at = &self.url;
            let text = match why.is_timeout() {
                _ if why.is_builder() => "the token or a name cannot be sent".to_owned(),
                true => format!(
                    "Firn at {at} has not answered within 2 minutes; it may go on: look again"
                ),
                false => format!("cannot reach Firn at {at}; is it running? (--url, FIRN_URL)"),
            };
            anyhow::Error::from(why).context(text)
        })
    }

    /// Calls the API; an error says what the problem document says.
    pub(crate) fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Json>,
    ) -> Result<Json> {
        let response = self.send(method, path, body)?;
        let status = response.status();
        // Firn answers in JSON, or with nothing where there is nothing to say.
        let text = response.text().context("the answer broke off")?;
        if status.is_success() {
            let answer = if text.is_empty() { Ok(Json::Null) } else { serde_json::from_str(&text) };
            return answer.map_err(|_| self.foreign(status));
        }
        Err(self.refused(status, &text))
    }

    /// A text that the API answers with.
    pub(crate) fn text(&self, path: &str) -> Result<String> {
        let response = self.send(reqwest::Method::GET, path, None)?;
        let status = response.status();
        let text = response.text().context("the answer broke off")?;
        if status.is_success() {
            return Ok(text);
        }
        Err(self.refused(status, &text))
    }

    /// What a problem document says.
    fn refused(&self, status: reqwest::StatusCode, text: &str) -> anyhow::Error {
        let problem: Json = serde_json::from_str(text).unwrap_or_default();
        let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
        if text("title").is_empty() {
            return self.foreign(status);
        }
        match status.as_u16() {
            404 => NotFound(format!("{}: {}", text("title"), text("detail"))).into(),
            401 | 403 => anyhow!("{}: {} (--token, FIRN_TOKEN)", text("title"), text("detail")),
            _ => anyhow!("{}: {}", text("title"), text("detail")),
        }
    }

    /// Something else answers there.
    fn foreign(&self, status: reqwest::StatusCode) -> anyhow::Error {
        anyhow!(
            "{} answers with {status}, but not as Firn does; is it Firn's? (--url, FIRN_URL)",
            self.url
        )
    }

    pub(crate) fn get(&self, path: &str) -> Result<Json> {
        self.call(reqwest::Method::GET, path, None)
    }

    /// Sends bytes as they are.
    pub(crate) fn post_bytes(&self, path: &str, kind: &str, bytes: Vec<u8>) -> Result<Json> {
        let url = format!("{}/api/v1{path}", self.url);
        let mut request = self.http.post(&url).header("content-type", kind).body(bytes);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().with_context(|| {
            format!("cannot reach Firn at {}; is it running? (--url, FIRN_URL)", self.url)
        })?;
        let status = response.status();
        let text = response.text().context("the answer broke off")?;
        if status.is_success() {
            return serde_json::from_str(&text).map_err(|_| self.foreign(status));
        }
        Err(self.refused(status, &text))
    }

    pub(crate) fn post(&self, path: &str, body: &Json) -> Result<Json> {
        self.call(reqwest::Method::POST, path, Some(body))
    }
}

/// The API says that there is no such thing.
#[derive(Debug)]
struct NotFound(String);

impl std::fmt::Display for NotFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotFound {}

/// Whether a call failed because there is no such thing.
pub(crate) fn is_not_found(why: &anyhow::Error) -> bool {
    why.is::<NotFound>()
}

/// A segment of a path, encoded.
pub(crate) fn segment(text: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    encoded.replace('+', "%20")
}
