//! The real binary, started and asked, for the tests that look at Firn from outside.

pub(crate) mod breaking;
pub(crate) mod desk;
pub(crate) mod model;
pub(crate) mod pair;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// What the API wants to be shown.
pub(crate) const TOKEN: &str = "outside-token";

/// Compiled once for all tests: it is most of what a start costs.
const CACHE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/components");

/// An address that nobody has, and nobody else will be given: below those that the system hands out, and
/// another one each time.
pub(crate) fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let start = u16::try_from(std::process::id() % 8_000).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 20_000 + (start + n) % 10_000));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// A running `firn serve`. Dropping it kills it.
pub(crate) struct Firn {
    child: Child,
    /// Where it listens.
    pub(crate) url: String,
}

impl Firn {
    /// Starts it on a data directory. What it logs goes to `log`, or nowhere.
    pub(crate) fn start(data: &Path, more: &[&str], log: Option<&Path>) -> Firn {
        Firn::start_with(data, more, log, Some(TOKEN))
    }

    /// The same with another token of its own, or with none.
    pub(crate) fn start_with(
        data: &Path,
        more: &[&str],
        log: Option<&Path>,
        token: Option<&str>,
    ) -> Firn {
        Firn::start_in(data, more, log, token, &[])
    }

    /// The same in an environment of its own.
    pub(crate) fn start_in(
        data: &Path,
        more: &[&str],
        log: Option<&Path>,
        token: Option<&str>,
        environment: &[(&str, String)],
    ) -> Firn {
        let listen = free();
        let out = |path: &Path| -> Stdio {
            std::fs::File::options().create(true).append(true).open(path).unwrap().into()
        };
        let child = Command::new(env!("CARGO_BIN_EXE_firn"))
            .env_remove("FIRN_TOKEN")
            .envs(token.map(|token| ("FIRN_TOKEN", token)))
            .args(["serve", "--allow-loopback", "--listen", &listen.to_string(), "--data"])
            .arg(data)
            .args(more)
            .env("FIRN_CACHE", CACHE)
            .env("FIRN_LOG", if log.is_some() { "trace" } else { "error" })
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdout(log.map_or_else(Stdio::null, out))
            .stderr(log.map_or_else(Stdio::inherit, out))
            .spawn()
            .unwrap();
        let mut firn = Firn { child, url: format!("http://{listen}") };
        let end = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(listen).is_err() {
            assert!(Instant::now() < end, "firn does not come up");
            assert!(firn.child.try_wait().unwrap().is_none(), "firn has ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        firn
    }

    /// Tells it to stop.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, what: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([what, &pid]).status().unwrap().success());
    }

    /// How it ended, once it has.
    pub(crate) fn ended(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    /// Prepares `firn ...`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firn"));
        command.args(arguments).env("FIRN_URL", &self.url);
        command.env("FIRN_TOKEN", TOKEN).env("FIRN_CACHE", CACHE);
        command
    }

    /// Runs `firn ...`; gives whether it succeeded and what it printed.
    pub(crate) fn cli(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.command(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}

/// A client of the API, with a token of one's choice.
pub(crate) struct Api {
    url: String,
    token: Option<String>,
    http: reqwest::blocking::Client,
}

impl Api {
    pub(crate) fn new(firn: &Firn, token: Option<&str>) -> Api {
        // A connection that is kept may be closed by the other end at the moment it is used again.
        let http = reqwest::blocking::Client::builder().no_proxy().pool_max_idle_per_host(0);
        let http = http.build().unwrap();
        Api { url: firn.url.clone(), token: token.map(str::to_owned), http }
    }

    /// A request that is not sent yet.
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::blocking::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Status and body.
    pub(crate) fn call(
        &self,
        method: &str,
        path: &str,
        body: &serde_json::Value,
    ) -> (u16, serde_json::Value) {
        answered(self.request(method, path).json(body))
    }

    pub(crate) fn get(&self, path: &str) -> serde_json::Value {
        answered(self.request("GET", path)).1
    }
}

/// Status and body of an answer.
pub(crate) fn answered(request: reqwest::blocking::RequestBuilder) -> (u16, serde_json::Value) {
    let response = request.send().unwrap();
    let status = response.status().as_u16();
    (status, response.json().unwrap_or_default())
}

impl Drop for Firn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so.
pub(crate) fn settle(what: &str, done: impl Fn() -> bool) {
    // Patience, not a measure: where much runs at once everything takes its time.
    let end = Instant::now() + Duration::from_secs(90);
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
