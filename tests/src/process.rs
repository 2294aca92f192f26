//! The real program as a process of its own, and a client of it: for what kills it or floods it.
#![allow(clippy::print_stderr)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use firn_simulator::Simulator;
use serde_json::{Value as Json, json};

/// What the API asks of its callers.
pub const TOKEN: &str = "token-of-a-test";

/// The program, freshly built beside this one; or the one that `FIRN_BINARY` names: built alone it is built
/// anew, with other features of what it shares with the rest.
///
/// # Errors
/// When it cannot be built.
pub fn binary() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("FIRN_BINARY") {
        return Ok(given.into());
    }
    let here = std::env::current_exe()?;
    // A test is built together with it, and lies one folder below.
    if let Some(folder) = here.parent().filter(|folder| folder.ends_with("deps")) {
        let beside = folder.with_file_name("firn");
        if beside.exists() {
            return Ok(beside);
        }
    }
    let built = here.with_file_name("firn");
    let status = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .args(["build", "--quiet", "--release", "--package", "firn", "--bin", "firn"])
        .status()?;
    if !status.success() || !built.exists() {
        bail!("{} was not built", built.display());
    }
    Ok(built)
}

/// Runs a developer command to its end: each fault is printed, and what brings it back.
pub fn ended(
    name: &str,
    again: &str,
    run: impl Future<Output = Result<Vec<String>>>,
) -> std::process::ExitCode {
    let outcome = tokio::runtime::Runtime::new()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run));
    match outcome {
        Ok(faults) if faults.is_empty() => return std::process::ExitCode::SUCCESS,
        Ok(faults) => faults.iter().for_each(|fault| eprintln!("{fault}")),
        Err(why) => eprintln!("{name}: {why:#}"),
    }
    eprintln!("bring it back with: {again}");
    std::process::ExitCode::FAILURE
}

/// The running program.
pub struct Firn {
    child: Child,
}

impl Firn {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(binary: &Path, data: &Path, listen: SocketAddr) -> Result<Firn> {
        Firn::on(binary, data, listen, None)
    }

    /// Starts it on a database.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn on(binary: &Path, data: &Path, listen: SocketAddr, store: Option<&str>) -> Result<Firn> {
        let child = Command::new(binary)
            .args(["serve", "--allow-loopback", "--listen", &listen.to_string(), "--data"])
            .arg(data)
            .envs(store.map(|store| ("FIRN_STORE", store)))
            .env("FIRN_TOKEN", TOKEN)
            .env("FIRN_LOG", "error")
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Firn { child })
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it is not there any more.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Firn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of its API.
#[derive(Clone)]
pub struct Client {
    /// The connection pool.
    pub http: reqwest::Client,
    /// Where it listens.
    pub url: String,
}

impl Client {
    /// A client of what listens there.
    ///
    /// # Errors
    /// When there is no TLS.
    pub fn new(listen: SocketAddr) -> Result<Client> {
        let http =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        Ok(Client { http, url: format!("http://{listen}") })
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// When it does not within half a minute.
    pub async fn ready(&self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            if self.http.get(format!("{}/healthz", self.url)).send().await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("firn does not come up")
    }

    /// One call; nothing if there is no answer.
    pub async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: &Json,
    ) -> Option<(u16, Json)> {
        let request =
            self.http.request(method, format!("{}/api/v1{path}", self.url)).bearer_auth(TOKEN);
        let response = request.header("prefer", "wait=0").json(body).send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.json().await.unwrap_or_default()))
    }
}

/// An address that nobody listens on.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// Makes an integration with everything installed on its instance. Gives its id.
///
/// # Errors
/// When it is not made.
pub async fn integration(
    client: &Client,
    simulator: &Simulator,
    preset: &str,
    platform: Option<&str>,
    settings: Json,
) -> Result<String> {
    let mut body = json!({
        "organization_id": "test", "name": preset, "preset": preset, "base_url": simulator.url(), "provision": true,
        "credentials": { "username": "integration", "password": "integration", "admin_username": "admin", "admin_password": "admin" },
        "settings": settings,
    });
    if let Some(base) = platform {
        body["platform"] = json!({ "callback_url": format!("{base}/callback"), "read_url": format!("{base}/records/{{id}}") });
    }
    let (status, answer) =
        client.call(reqwest::Method::POST, "/integrations", &body).await.context("no answer")?;
    if status != 201 || !answer["provisioned"].is_array() {
        bail!("the integration {preset} was not made: {answer}");
    }
    Ok(answer["id"].as_str().unwrap_or_default().to_owned())
}

/// Waits until nothing is left to do.
///
/// # Errors
/// When that does not come within `patience`.
pub async fn settle(client: &Client, integrations: &[&str], patience: Duration) -> Result<()> {
    let end = Instant::now() + patience;
    let mut quiet = 0;
    while Instant::now() < end {
        let mut backlog = 0;
        for id in integrations {
            let status = client
                .call(
                    reqwest::Method::GET,
                    &format!("/integrations/{id}/sync-status"),
                    &json!(null),
                )
                .await;
            backlog += status.and_then(|(_, s)| s["backlog"].as_u64()).unwrap_or(1);
        }
        quiet = if backlog == 0 { quiet + 1 } else { 0 };
        if quiet >= 5 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bail!("it does not come to rest")
}

/// A program of somebody else's, ended when it is dropped.
pub struct Running {
    child: Child,
    told: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

/// Starts a program that listens at an address; at another one if somebody else has taken that meanwhile: any
/// connection may have it as its own end.
///
/// # Errors
/// When it does not come up.
pub async fn listening(
    command: impl Fn(SocketAddr) -> Result<Command>,
) -> Result<(Running, SocketAddr)> {
    const TRIES: usize = 5;
    let mut tries = 0;
    loop {
        tries += 1;
        let at = free_port()?;
        let mut running = Running::start(&mut command(at)?)?;
        match running.listens(at).await {
            Ok(()) => return Ok((running, at)),
            Err(_) if tries < TRIES && running.told().contains("in use") => {}
            Err(why) => return Err(why),
        }
    }
}

impl Running {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Result<Running> {
        let name = command.get_program().display().to_string();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        let told = Arc::new(Mutex::new(String::new()));
        let said = child.stderr.take();
        let reader = said.map(|said| {
            let told = Arc::clone(&told);
            std::thread::spawn(move || {
                for line in
                    std::io::BufRead::lines(std::io::BufReader::new(said)).map_while(Result::ok)
                {
                    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                    told.push_str(&line);
                    told.push('\n');
                }
            })
        });
        Ok(Running { child, told, reader })
    }

    /// What it has said so far.
    #[must_use]
    pub fn told(&self) -> String {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has said something.
    ///
    /// # Errors
    /// When it does not within ten seconds.
    pub async fn tells(&self, what: &str) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if self.told().contains(what) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("it does not say {what:?}, but:\n{}", self.told())
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it listens.
    ///
    /// # Errors
    /// When it does not within a minute.
    pub async fn listens(&mut self, at: SocketAddr) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end {
            if self.ended() {
                // The last of what it says may still be on its way.
                if let Some(reader) = self.reader.take() {
                    let _ = tokio::task::spawn_blocking(move || reader.join()).await;
                }
                bail!("it ended and said:\n{}", self.told());
            }
            if tokio::net::TcpStream::connect(at).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("nobody listens on {at}; it says:\n{}", self.told())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
