//! A real PostgreSQL for tests: made in a temporary directory, started, and gone with it. Its programs are those
//! of this machine; where there are none, a reason to skip.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The user that Firn signs in as: no superuser, whom row-level security would not hold.
const USER: &str = "firn";
/// Who makes it.
const ADMINISTRATOR: &str = "admin";

/// A server that runs.
pub struct Server {
    programs: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    /// Whom it runs as: PostgreSQL refuses root.
    user: Option<(u32, u32)>,
    child: Option<Child>,
}

/// Where PostgreSQL's programs are.
///
/// # Errors
/// What to install, in one line.
pub fn programs() -> Result<PathBuf, String> {
    let configured = Command::new("pg_config").arg("--bindir").output().ok();
    let configured = configured.map(|o| PathBuf::from(String::from_utf8_lossy(&o.stdout).trim()));
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut known: Vec<PathBuf> =
        versions.filter_map(|version| Some(version.ok()?.path().join("bin"))).collect();
    known.sort();
    let found = configured.into_iter().chain(known.into_iter().rev());
    found
        .into_iter()
        .find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
        .ok_or_else(|| "there is no PostgreSQL; install postgresql".to_owned())
}

impl Server {
    /// Makes a server and starts it, with an empty database.
    ///
    /// # Errors
    /// When that fails; the inner one is a reason to skip.
    pub fn start() -> Result<Result<Server, String>> {
        let programs = match programs() {
            Ok(programs) => programs,
            Err(why) => return Ok(Err(why)),
        };
        let folder = tempfile::tempdir()?;
        let user = unprivileged(folder.path())?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut server = Server { programs, folder, port, user, child: None };
        let mut init = server.program("initdb");
        init.arg("--pgdata").arg(server.data());
        init.args(["--username", ADMINISTRATOR, "--auth", "trust", "--encoding", "UTF8"]);
        done(init.args(["--locale", "C", "--no-sync", "--no-instructions"]))?;
        server.run()?;
        server.sql(&format!("CREATE ROLE {USER} LOGIN PASSWORD 'of-a-test'"))?;
        server.database("firn")?;
        Ok(Ok(server))
    }

    /// The same for a test: none, and a line that says why, where there is no PostgreSQL; `FIRN_POSTGRES=required`
    /// makes that a fault.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    #[allow(clippy::panic, clippy::print_stderr)] // It is a test's.
    pub fn there() -> Option<Server> {
        match Server::start() {
            Ok(Ok(server)) => Some(server),
            Ok(Err(why)) if std::env::var_os("FIRN_POSTGRES").is_none() => {
                eprintln!("skipped: {why}");
                None
            }
            Ok(Err(why)) => panic!("{why}"),
            Err(why) => panic!("{why:#}"),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Makes a further database. Gives its address.
    ///
    /// # Errors
    /// When it is there already.
    pub fn database(&self, name: &str) -> Result<String> {
        self.sql(&format!("CREATE DATABASE {name} OWNER {USER}"))?;
        Ok(self.url(name))
    }

    /// The address of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:of-a-test@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs statements as an administrator, whom nothing is hidden from. Gives what psql prints.
    ///
    /// # Errors
    /// What psql says.
    pub fn sql_in(&self, database: &str, text: &str) -> Result<String> {
        let mut psql = self.program("psql");
        psql.args(["--host", "127.0.0.1", "--port", &self.port.to_string(), "--no-psqlrc"]);
        psql.args(["--username", ADMINISTRATOR, "--dbname", database, "--quiet", "--tuples-only"]);
        done(psql.args(["--no-align", "--set", "ON_ERROR_STOP=1", "--command", text]))
    }

    fn sql(&self, text: &str) -> Result<String> {
        self.sql_in("postgres", text)
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// When it does not within half a minute.
    pub fn run(&mut self) -> Result<()> {
        let mut postgres = self.program("postgres");
        postgres.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        postgres.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        postgres.args(["-c", "max_connections=200", "-c", "log_min_messages=fatal"]);
        let log = std::fs::File::create(self.folder.path().join("log"))?;
        self.child = Some(postgres.stdout(Stdio::null()).stderr(log).spawn()?);
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            if self.sql("SELECT 1").is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        bail!("PostgreSQL does not come up: {log}")
    }

    /// Ends it as a power cut would: nothing is written that was not written. `run` starts it again.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub fn crash(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let mut stop = self.program("pg_ctl");
        stop.arg("stop").arg("-D").arg(self.data()).args(["-m", "immediate", "-w"]);
        done(&mut stop)?;
        child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.crash();
    }
}

/// If we are root: somebody else, to whom the folder is given.
fn unprivileged(folder: &Path) -> Result<Option<(u32, u32)>> {
    let id = |what: &str| -> Result<u32> {
        let text = done(Command::new("id").args([what, "postgres"]))?;
        Ok(text.trim().parse()?)
    };
    if done(Command::new("id").arg("-u"))?.trim() != "0" {
        return Ok(None);
    }
    let user = (id("-u")?, id("-g")?);
    chown(folder, Some(user.0), Some(user.1))?;
    Ok(Some(user))
}

fn done(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("{name} cannot be started"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{name} failed: {}", String::from_utf8_lossy(&said));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
