//! A real browser: Chromium without a window, driven by WebDriver. Each page that is looked at is looked at
//! light, dark and narrow: axe-core says what does not reach WCAG AA, nothing may be wider than the window, and
//! a picture is kept in `target/console`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value as Json, json};

/// The checker's version, from npm.
const AXE: &str = "axe-core@4.10.3";

pub(crate) struct Browser {
    runtime: tokio::runtime::Runtime,
    client: Client,
    driver: Child,
    axe: Option<String>,
    complaints: Mutex<BTreeSet<String>>,
    _profile: tempfile::TempDir,
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

/// A program of the path.
fn found(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The checker's script, fetched once.
fn axe() -> Option<String> {
    let place = target().join("tools/axe");
    let script = place.join("node_modules/axe-core/axe.min.js");
    if !script.is_file() {
        std::fs::create_dir_all(&place).unwrap();
        let mut npm = Command::new(found("npm")?);
        npm.args([
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--silent",
            "--prefix",
        ]);
        npm.arg(&place).arg(AXE).stdout(Stdio::null()).stderr(Stdio::null());
        if !npm.status().is_ok_and(|status| status.success()) {
            return None;
        }
    }
    std::fs::read_to_string(script).ok()
}

impl Browser {
    /// Starts one. None, and a line about it, where there is none; `FIRN_BROWSER=required` insists.
    pub(crate) fn start() -> Option<Browser> {
        let required = std::env::var("FIRN_BROWSER").is_ok_and(|value| value == "required");
        let (Some(chromium), Some(driver)) = (found("chromium"), found("chromedriver")) else {
            assert!(!required, "no browser; install Debian's chromium and chromium-driver");
            eprintln!("skipped: no browser; install Debian's chromium and chromium-driver");
            return None;
        };
        let axe = axe();
        if axe.is_none() {
            eprintln!("pages are not checked by axe-core: npm could not fetch it");
        }
        let port =
            std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let driver = Command::new(driver)
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let profile = tempfile::tempdir().unwrap();
        let mut arguments: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ]
        .map(str::to_owned)
        .into();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let wishes = json!({
            "goog:chromeOptions": { "binary": chromium, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        let client = loop {
            let mut builder =
                ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
            builder.capabilities(wishes.as_object().unwrap().clone());
            let asked = runtime.block_on(builder.connect(&format!("http://127.0.0.1:{port}")));
            match asked {
                Ok(client) => break client,
                Err(why) => assert!(Instant::now() < end, "the browser does not start: {why}"),
            }
            std::thread::sleep(Duration::from_millis(200));
        };
        let browser = Browser {
            runtime,
            client,
            driver,
            axe,
            complaints: Mutex::default(),
            _profile: profile,
        };
        browser.resize(1280, 900);
        Some(browser)
    }

    fn resize(&self, width: u32, height: u32) {
        self.command(
            "Emulation.setDeviceMetricsOverride",
            json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 }),
        );
    }

    /// A command of the browser's own protocol.
    fn command(&self, name: &str, parameters: Json) {
        let command = Chrome { name: name.to_owned(), parameters };
        self.runtime.block_on(self.client.issue_cmd(command)).unwrap();
    }

    pub(crate) fn open(&self, url: &str) {
        self.runtime.block_on(self.client.goto(url)).unwrap();
    }

    pub(crate) fn address(&self) -> String {
        self.runtime.block_on(self.client.current_url()).unwrap().to_string()
    }

    /// What somebody reads there; nothing if it is not there.
    pub(crate) fn text(&self, selector: &str) -> String {
        let script = "const e = document.querySelector(arguments[0]); return e ? e.innerText : '';";
        let said = self.runtime.block_on(self.client.execute(script, vec![selector.into()]));
        let said = said.unwrap_or_default();
        let words = said.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
        words.join(" ")
    }

    /// Clicks, as soon as it can be clicked.
    pub(crate) fn click(&self, selector: &str) {
        self.act(selector, |element| async move { element.click().await });
    }

    /// Types, as soon as it can be typed into; what stood there stays before it.
    pub(crate) fn types(&self, selector: &str, text: &str) {
        self.act(selector, |element| async move { element.send_keys(text).await });
    }

    /// Pages are brought up to date in between: an element that was found may be gone already.
    fn act<F, T>(&self, selector: &str, act: impl Fn(fantoccini::elements::Element) -> F)
    where
        F: Future<Output = Result<T, fantoccini::error::CmdError>>,
    {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let done = self.runtime.block_on(async {
                let element = self.client.find(Locator::Css(selector)).await?;
                act(element).await
            });
            match done {
                Ok(_) => return,
                Err(why) => {
                    assert!(Instant::now() < end, "{selector}: {why}; {}", self.text("body"))
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn until(&self, what: &str, so: impl Fn(&Browser) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !so(self) {
            assert!(
                Instant::now() < end,
                "{what}; at {} there is: {}",
                self.address(),
                self.text("body")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Looks at a page in every way that people do.
    pub(crate) fn looked_at(&self, name: &str) {
        let pictures = target().join("console");
        std::fs::create_dir_all(&pictures).unwrap();
        for (way, width, height, scheme) in [
            ("light", 1280, 900, "light"),
            ("dark", 1280, 900, "dark"),
            ("narrow", 375, 800, "dark"),
        ] {
            self.resize(width, height);
            let scheme = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
            self.command("Emulation.setEmulatedMedia", json!({ "features": scheme }));
            let picture = self.runtime.block_on(self.client.screenshot()).unwrap();
            std::fs::write(pictures.join(format!("{name}-{way}.png")), picture).unwrap();
            self.complain(name, way);
        }
        self.resize(1280, 900);
        self.command("Emulation.setEmulatedMedia", json!({ "features": [] }));
    }

    fn complain(&self, name: &str, way: &str) {
        let mut complaints = self.complaints.lock().unwrap();
        let wide =
            "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
        if self.runtime.block_on(self.client.execute(wide, vec![])).unwrap() == Json::Bool(true) {
            complaints.insert(format!("{name}, {way}: it is wider than the window"));
        }
        let Some(axe) = &self.axe else { return };
        let check = "const done = arguments[arguments.length - 1];
            axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] })
              .then((r) => done(r.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.html + ' ' + n.failureSummary).join(' | '))));";
        let found = self.runtime.block_on(async {
            self.client.execute(&format!("{axe}; window.axe = axe;"), vec![]).await?;
            self.client.execute_async(check, vec![]).await
        });
        for violation in found.unwrap().as_array().into_iter().flatten() {
            complaints.insert(format!("{name}, {way}: {}", violation.as_str().unwrap_or_default()));
        }
    }

    /// Everything that was complained about: by the checker, and by the browser itself.
    pub(crate) fn complaints(&self) -> BTreeSet<String> {
        let mut complaints = self.complaints.lock().unwrap().clone();
        let asked = Chrome { name: String::new(), parameters: json!({ "type": "browser" }) };
        let told = self.runtime.block_on(self.client.issue_cmd(asked)).unwrap();
        for entry in told.as_array().into_iter().flatten() {
            let text = entry["message"].as_str().unwrap_or_default();
            // A wrong token is answered with 401, and the browser writes that down.
            if entry["level"] == "SEVERE" && !text.contains("status of 401") {
                complaints.insert(format!("the browser: {text}"));
            }
        }
        complaints
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.runtime.block_on(self.client.clone().close());
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// `POST /session/{id}/goog/cdp/execute`, or without a name `…/se/log`.
#[derive(Debug)]
struct Chrome {
    name: String,
    parameters: Json,
}

impl fantoccini::wd::WebDriverCompatibleCommand for Chrome {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        let what = if self.name.is_empty() { "se/log" } else { "goog/cdp/execute" };
        base.join(&format!("session/{}/{what}", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (axum::http::Method, Option<String>) {
        let body = match self.name.as_str() {
            "" => self.parameters.clone(),
            name => json!({ "cmd": name, "params": self.parameters }),
        };
        (axum::http::Method::POST, Some(body.to_string()))
    }
}
