//! The command line: seed 004's tree with `firn` for `im`, the servers, and the sandbox.
//! This file: what can be said. What it does: `cli/server.rs` and `cli/operate.rs`.
#![allow(clippy::print_stderr)]

mod access;
mod dead;
mod explain;
mod findings;
mod instance;
mod keep;
mod knowledge;
mod mask;
mod operate;
mod reconcile;
mod replay;
mod rules;
mod server;
mod settings;
mod show;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::client::Client;
use crate::sandbox;
use crate::telemetry::Logs;

/// Firn keeps a platform and ServiceNow in step.
#[derive(Parser)]
#[command(name = "firn", version, about, max_term_width = 100)]
struct Cli {
    /// Where Firn's API is.
    #[arg(long, global = true, env = "FIRN_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The API's token.
    #[arg(long, global = true, env = "FIRN_TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the host: API, engine and store.
    Serve(server::Serve),
    /// Run a ServiceNow simulator.
    Simulator(server::Simulator),
    /// Play the whole system on this machine: simulator, sample platform and host.
    Sandbox(Sandbox),
    /// Check a settings file: every fault with its place and a remedy. Exit 1 if it is not sound.
    Check(settings::Check),
    /// Mask texts: JSON lines {"id", "text"} on stdin, {"id", "masked", "findings"} on stdout.
    Mask(mask::Mask),
    /// Run recorded calls again, through other settings or another component, and show what would
    /// differ. Exit 1 if anything does.
    Replay(replay::Replay),
    /// Tell why each value of a link is what it is.
    Explain(explain::Explain),
    /// Set up, watch and repair integrations.
    #[command(subcommand)]
    Integration(Integration),
    /// Look at conflicts and resolve them.
    #[command(subcommand)]
    Conflict(Conflict),
    /// Work on single links.
    #[command(subcommand)]
    Links(Links),
    /// Rules of one's own: begin, build, test, upload, try and ask them.
    #[command(subcommand)]
    Rules(rules::Rules),
    /// Look for what was learnt from resolved tickets.
    #[command(subcommand)]
    Knowledge(knowledge::Knowledge),
    /// Compile rules: for Firn itself.
    #[command(hide = true)]
    CompileRules,
    /// Let others in, and shut them out.
    #[command(subcommand)]
    Token(access::Token),
    /// Look at what was done, by whom, and why.
    #[command(subcommand)]
    Audit(access::Audit),
    /// Work on what is a tenant's.
    #[command(subcommand)]
    Tenant(access::Tenant),
    /// Copy the store of a data directory, also while Firn works on it.
    Backup(keep::Backup),
    /// Make a backup the store of a data directory.
    Restore(keep::Restore),
    /// Tell a store that a backup was put in its place by other means: pg_restore, a snapshot. Before Firn starts.
    Restored(keep::Restored),
    /// Work on a data directory's keys.
    #[command(subcommand)]
    Key(keep::KeyCommand),
    /// Show how the process would run.
    #[command(subcommand)]
    Config(Config),
    /// Print what makes a shell complete commands: firn completions bash > /etc/bash_completion.d/firn
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Subcommand)]
enum Config {
    /// Show what `firn serve` with the same options would run as: a file for --config.
    Show(server::Serve),
}

#[derive(Args)]
struct Sandbox {
    /// Play the stories and exit: 0 only if every expectation held.
    #[arg(long)]
    once: bool,
    /// Print one JSON report on stdout.
    #[arg(long)]
    json: bool,
    /// Where the host listens [default: 127.0.0.1:8080; with --once a free port].
    #[arg(long)]
    listen: Option<SocketAddr>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Subcommand)]
enum Integration {
    /// Create an integration, or change one that is named.
    Configure(Box<Configure>),
    /// Make an integration what a settings file says; shows what changes.
    Apply(settings::Apply),
    /// List the versions of an integration's settings.
    Versions(Named),
    /// Make an earlier version of an integration's settings the present one.
    Rollback {
        #[command(flatten)]
        one: One,
        /// The version.
        version: u64,
    },
    /// List all.
    List(Listing),
    /// Show one.
    Get(One),
    /// Remove one, and what it installed on the instance.
    Delete {
        #[command(flatten)]
        one: One,
        /// Leave the instance as it is.
        #[arg(long)]
        no_unprovision: bool,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Keep deliveries, send nothing.
    Pause(One),
    /// Go on.
    Resume(One),
    /// Ask the instance for what is new, now, besides what its webhooks tell.
    Poll(One),
    /// Ask everything of the instance that has to be right: sign-in, rights, columns, choices, clocks,
    /// webhooks. Each finding with its remedy. Exit 1 if anything is broken.
    Test(instance::Test),
    /// Install the business rules that send webhooks. Twice is once.
    Provision(instance::Provision),
    /// Remove them.
    Unprovision(instance::Unprovision),
    /// Sign in with a browser: shows the address of the instance's consent page, and waits.
    Connect(Connect),
    /// Show health: links, backlog, dead letters, conflicts.
    SyncStatus(Named),
    /// List links.
    Links(Named),
    /// List findings: what a person should see.
    Findings(Named),
    /// Dismiss a finding that was seen, or all that are meant. What is found again is told again.
    FindingsDismiss(findings::Dismiss),
    /// List what came in, and what became of it.
    Deliveries(Named),
    /// List payloads that could not be used, and why.
    Quarantine(Named),
    /// Compare all links with both sides, and mend them if wanted.
    Reconcile(Reconcile),
    /// List dead letters: writes that were refused for good.
    Dlq(dead::List),
    /// Show a dead letter: what it would write (masked), and what became of it so far.
    DlqShow(dead::Show),
    /// Try a dead letter again, or all that are meant.
    DlqRetry(dead::Several),
    /// Throw a dead letter away, or all that are meant.
    DlqDiscard(dead::Discard),
    /// Which side a field belongs to.
    #[command(subcommand)]
    FieldOwnership(FieldOwnership),
}

#[derive(Args)]
struct Configure {
    /// The integration to change: id, slug or exact name. Without it a new one is created.
    integration: Option<String>,
    /// Its name.
    #[arg(long)]
    name: Option<String>,
    /// The kind of service desk.
    #[arg(long = "type", default_value = "servicenow")]
    kind: String,
    /// Its owner.
    #[arg(long)]
    org: Option<String>,
    /// The instance: its address, or its core domain alone (`acme` of acme.service-now.com).
    #[arg(long)]
    base_url: Option<String>,
    /// The same, as seed 001's form calls it.
    #[arg(long, conflicts_with = "base_url")]
    domain: Option<String>,
    /// What the instance is for: production or sandbox.
    #[arg(long)]
    environment: Option<String>,
    /// Who may write.
    #[arg(long)]
    direction: Option<String>,
    /// The integration user.
    #[arg(long)]
    username: Option<String>,
    /// Its password; env:NAME, file:PATH and exec:COMMAND are looked up.
    #[arg(long)]
    password: Option<String>,
    /// An administrator, for provisioning.
    #[arg(long)]
    admin_username: Option<String>,
    /// Its password.
    #[arg(long)]
    admin_password: Option<String>,
    /// An OAuth client instead of a user.
    #[arg(long)]
    client_id: Option<String>,
    /// Its secret.
    #[arg(long)]
    client_secret: Option<String>,
    /// How to sign in, where it does not follow from the rest: basic, password, client-credentials,
    /// jwt-bearer, authorization-code.
    #[arg(long)]
    grant: Option<String>,
    /// For jwt-bearer: whom the assertion stands for.
    #[arg(long)]
    subject: Option<String>,
    /// For jwt-bearer: the private key (PEM); better as file:PATH.
    #[arg(long)]
    private_key: Option<String>,
    /// For jwt-bearer: the name that the instance knows the key by.
    #[arg(long)]
    key_id: Option<String>,
    /// For authorization-code: the day on which the refresh token ends, if it is not in 100 days.
    #[arg(long)]
    refresh_token_ends: Option<String>,
    /// incidents, genesys, bot, neo, helpdesk, crm or content.
    #[arg(long)]
    preset: Option<String>,
    /// Pull records by the time at which they were last updated, or created.
    #[arg(long, value_parser = ["updated", "created"])]
    pull_by: Option<String>,
    /// What it is for: helpdesk (cases), crm (accounts, contacts and users) or content (knowledge articles).
    #[arg(long, value_enum, conflicts_with = "preset")]
    capability: Option<Capability>,
    /// Where changes are posted to the platform.
    #[arg(long)]
    callback_url: Option<String>,
    /// Signs what is posted to the platform (whsec_..., or any text).
    #[arg(long)]
    callback_secret: Option<String>,
    /// Where the platform's records can be read, with {id}.
    #[arg(long)]
    read_url: Option<String>,
    /// Where findings are posted as they are raised, for tools that call somebody.
    #[arg(long)]
    findings_url: Option<String>,
    /// Where what is learnt from resolved tickets is posted, for a knowledge store of one's own.
    #[arg(long)]
    knowledge_url: Option<String>,
    /// An OpenAI-compatible endpoint, as far as its version (https://models.example/v1).
    #[arg(long)]
    model_url: Option<String>,
    /// The key that lets Firn ask it.
    #[arg(long)]
    model_key: Option<String>,
    /// Where a file of the platform's can be read, with {id}: its files travel to ServiceNow.
    #[arg(long)]
    attachment_read_url: Option<String>,
    /// Where the platform takes a file, with {id} for the record: the ticket's files travel there.
    #[arg(long)]
    attachment_write_url: Option<String>,
    /// last-write-wins, ownership-priority or manual-review.
    #[arg(long)]
    conflict_strategy: Option<String>,
    /// Where the instance has Firn's Scripted REST resource (its Base API path), if it was installed
    /// by hand and no administrator's credentials are given.
    #[arg(long, requires = "integration")]
    resource_path: Option<String>,
    /// Install nothing on the instance.
    #[arg(long)]
    no_provision: bool,
}

/// What an integration is for, as seed 001 has it: each is a preset of the same name.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Capability {
    Helpdesk,
    Crm,
    Content,
}

impl Capability {
    fn preset(self) -> &'static str {
        match self {
            Capability::Helpdesk => "helpdesk",
            Capability::Crm => "crm",
            Capability::Content => "content",
        }
    }
}

#[derive(Args)]
struct One {
    /// Id, slug or exact name.
    integration: String,
}

#[derive(Args)]
struct Connect {
    #[command(flatten)]
    one: One,
    /// Only print the address; do not try to open a browser.
    #[arg(long)]
    no_browser: bool,
}

#[derive(Args)]
struct Listing {
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Args)]
struct Named {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
struct Reconcile {
    #[command(subcommand)]
    history: Option<ReconcileHistory>,
    /// Id, slug or exact name.
    integration: Option<String>,
    /// Only look (the default).
    #[arg(long, conflicts_with = "auto_heal")]
    dry_run: bool,
    /// Mend what drifted.
    #[arg(long)]
    auto_heal: bool,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Subcommand)]
enum ReconcileHistory {
    /// List earlier runs.
    History(Named),
    /// Let runs begin by themselves; without --every tell when they do.
    Schedule {
        #[command(flatten)]
        one: One,
        /// From one run to the next: 30m, 1h, 1d.
        #[arg(long, conflicts_with = "off")]
        every: Option<String>,
        /// Mend what drifted.
        #[arg(long, requires = "every")]
        auto_heal: bool,
        /// No more.
        #[arg(long)]
        off: bool,
    },
    /// End a run: nothing more is begun.
    Stop(RunOf),
    /// Let a run mend that found more drift than it mends unasked.
    Confirm(RunOf),
}

#[derive(Args)]
struct RunOf {
    #[command(flatten)]
    one: One,
    /// The run, as `reconcile history` lists it.
    run: String,
}

#[derive(Subcommand)]
enum FieldOwnership {
    /// List fields and owners.
    List(Named),
    /// Set a field's owner.
    Set {
        #[command(flatten)]
        one: One,
        /// The field.
        field: String,
        /// platform, external or shared.
        #[arg(long)]
        owner: String,
        /// The owner's priority.
        #[arg(long, default_value_t = 0)]
        priority: i32,
    },
    /// Make a field shared again.
    Delete {
        #[command(flatten)]
        one: One,
        /// The field.
        field: String,
    },
}

#[derive(Subcommand)]
enum Conflict {
    /// List conflicts.
    List {
        /// The integration.
        #[arg(long)]
        integration: String,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show one.
    Get {
        /// The conflict.
        conflict: String,
        /// The integration, if there are several.
        #[arg(long)]
        integration: Option<String>,
    },
    /// Decide.
    Resolve {
        /// The conflict.
        conflict: String,
        /// The integration, if there are several.
        #[arg(long)]
        integration: Option<String>,
        /// Take the platform's value.
        #[arg(long, group = "choice")]
        use_platform: bool,
        /// Take ServiceNow's value.
        #[arg(long, group = "choice")]
        use_external: bool,
        /// Take a third value.
        #[arg(long, group = "choice")]
        value: Option<String>,
    },
}

#[derive(Subcommand)]
enum Links {
    /// Read both sides of a link again.
    Resync {
        #[command(flatten)]
        one: One,
        /// The link.
        link: String,
    },
    /// Pair a platform's record with a ticket that is there.
    Attach {
        #[command(flatten)]
        one: One,
        /// The platform's record.
        record: String,
        /// The ticket: its number or its sys_id.
        ticket: String,
        /// Its table, if it is not the settings' first.
        #[arg(long)]
        table: Option<String>,
    },
    /// Take a pair apart: both records stay, nothing is kept in step any more.
    Unlink {
        #[command(flatten)]
        one: One,
        /// The link.
        link: String,
    },
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("firn: {why:#}");
            ExitCode::FAILURE
        }
    }
}

/// How connections leave, where they do not leave directly.
#[derive(Args)]
struct Egress {
    /// An HTTP proxy that every connection goes through.
    #[arg(long, env = "FIRN_PROXY", hide_env_values = true)]
    proxy: Option<String>,
    /// A file of certificates (PEM) of authorities that are believed besides the public ones. May
    /// repeat.
    #[arg(long, env = "FIRN_CA")]
    ca: Vec<PathBuf>,
}

impl Egress {
    fn read(&self) -> Result<firn_remote::Egress> {
        let proxy = self.proxy.as_deref().filter(|text| !text.is_empty());
        let proxy = proxy.map(url::Url::parse).transpose().context("--proxy is no address")?;
        if proxy.as_ref().is_some_and(|url| !matches!(url.scheme(), "http" | "https")) {
            anyhow::bail!("--proxy is spoken to by http or https");
        }
        let read = |path: &PathBuf| {
            let pem =
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let text = String::from_utf8_lossy(&pem);
            if !text.contains("-----BEGIN CERTIFICATE-----") {
                anyhow::bail!("{} holds no certificate (PEM)", path.display());
            }
            Ok(pem)
        };
        let authorities = self.ca.iter().map(read).collect::<Result<_>>()?;
        Ok(firn_remote::Egress { proxy, authorities })
    }
}

fn log(default: &str) {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    // Seed 004 calls them INCIDENTS_LOG_LEVEL and INCIDENTS_SYNC_TRACE.
    let level = set("FIRN_LOG").or_else(|| set("INCIDENTS_LOG_LEVEL"));
    let trace = set("FIRN_SYNC_TRACE").or_else(|| set("INCIDENTS_SYNC_TRACE"));
    let mut filter = level.unwrap_or_else(|| default.to_owned());
    if trace.is_some_and(|trace| trace.eq_ignore_ascii_case("true") || trace == "1") {
        filter += ",firn::sync=trace";
    }
    // A word that is no level is taken for a target by others, and then says nothing.
    let word = |part: &str| part.contains(['=', ':']) || part.trim().parse::<LevelFilter>().is_ok();
    let filter = match EnvFilter::try_new(&filter) {
        Ok(read) if filter.split(',').all(word) => read,
        _ => {
            let levels = "error, warn, info, debug, trace, or TARGET=LEVEL";
            eprintln!(
                "firn: FIRN_LOG={filter} is not understood ({levels}); it is taken for {default}"
            );
            EnvFilter::new(default)
        }
    };
    let logs = match set("FIRN_LOG_FORMAT").as_deref() {
        Some("json") => Logs::Json,
        None | Some("text") => Logs::Text,
        Some(other) => {
            eprintln!("firn: FIRN_LOG_FORMAT={other} is not understood: there is text, and json");
            Logs::Text
        }
    };
    crate::telemetry::init(filter, logs);
}

fn run(cli: Cli) -> Result<ExitCode> {
    let tokio = || tokio::runtime::Runtime::new().context("cannot start");
    match cli.command {
        Command::Serve(arguments) => {
            log("info");
            tokio()?.block_on(server::serve(arguments, cli.token))?;
        }
        Command::Simulator(arguments) => {
            log("info");
            tokio()?.block_on(server::simulate(arguments))?;
        }
        Command::Sandbox(arguments) => {
            log("error");
            let report = tokio()?.block_on(sandbox::run(
                arguments.listen,
                arguments.once,
                arguments.json,
            ))?;
            return Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Check(given) => return settings::check(&given),
        Command::Mask(given) => return mask::mask(&given),
        Command::Replay(given) => {
            log("error");
            return replay::replay(&given);
        }
        Command::Explain(given) => explain::explain(&Client::new(&cli.url, cli.token)?, &given)?,
        Command::Integration(command) => {
            return operate::integration(&Client::new(&cli.url, cli.token)?, command);
        }
        Command::Conflict(command) => {
            operate::conflict(&Client::new(&cli.url, cli.token)?, command)?;
        }
        Command::Links(command) => operate::links(&Client::new(&cli.url, cli.token)?, command)?,
        Command::Token(command) => access::token(&Client::new(&cli.url, cli.token)?, command)?,
        Command::Rules(command) => {
            if let Some(online) = rules::alone(command)? {
                rules::rules(&Client::new(&cli.url, cli.token)?, online)?;
            }
        }
        Command::Knowledge(command) => {
            knowledge::knowledge(&Client::new(&cli.url, cli.token)?, command)?
        }
        Command::CompileRules => crate::rules::compile::child()?,
        Command::Audit(command) => {
            return access::audit(|| Client::new(&cli.url, cli.token), &command);
        }
        Command::Tenant(command) => access::tenant(&Client::new(&cli.url, cli.token)?, &command)?,
        Command::Backup(given) => keep::backup(&given)?,
        Command::Restore(given) => keep::restore(&given)?,
        Command::Restored(given) => keep::restored(&given)?,
        Command::Key(command) => keep::key(&command)?,
        Command::Config(Config::Show(arguments)) => server::show(arguments)?,
        Command::Completions { shell } => {
            let mut command = <Cli as clap::CommandFactory>::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "firn", &mut script);
            show::say!("{}", String::from_utf8_lossy(&script).trim_end());
        }
    }
    Ok(ExitCode::SUCCESS)
}
