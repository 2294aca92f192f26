//! The command line: seed 004's tree with `firn` for `im`, the servers, and the sandbox.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::{Value as Json, json};
use tracing_subscriber::EnvFilter;

use crate::api::{Shared, router};
use crate::client::{Client, segment};
use crate::{Host, HostConfig, sandbox};

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
    Serve(Serve),
    /// Run a ServiceNow simulator.
    Simulator(Simulator),
    /// Play the whole system on this machine: simulator, sample platform and host.
    Sandbox(Sandbox),
    /// Set up, watch and repair integrations.
    #[command(subcommand)]
    Integration(Integration),
    /// Look at conflicts and resolve them.
    #[command(subcommand)]
    Conflict(Conflict),
    /// Work on single links.
    #[command(subcommand)]
    Links(Links),
}

#[derive(Args)]
struct Serve {
    /// A TOML file about the process: listen, data, workers, public_url, allow_hosts.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Where store, key and cache are kept [default: ./firn-data].
    #[arg(long)]
    data: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8080].
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where ServiceNow and the platform reach this host [default: http://LISTEN].
    #[arg(long)]
    public_url: Option<String>,
    /// A host of your own network that may be connected to. May repeat.
    #[arg(long = "allow-host")]
    allow_hosts: Vec<String>,
    /// Allow loopback addresses, for trying things out on one machine.
    #[arg(long)]
    allow_loopback: bool,
    /// Allow `exec:` secrets: whoever has the API's token then runs commands as this user.
    #[arg(long)]
    allow_exec_secrets: bool,
    /// How many engine instances work [default: 2].
    #[arg(long)]
    workers: Option<usize>,
}

/// The file behind `--config`.
#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ServeFile {
    data: Option<PathBuf>,
    listen: Option<SocketAddr>,
    public_url: Option<String>,
    allow_hosts: Vec<String>,
    allow_loopback: bool,
    allow_exec_secrets: bool,
    workers: Option<usize>,
}

#[derive(Args)]
struct Simulator {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Makes ids repeat from run to run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A JSON file of faults; also: PUT /simulator/faults.
    #[arg(long)]
    faults: Option<PathBuf>,
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
    /// Install the business rules that send webhooks. Twice is once.
    Provision(One),
    /// Remove them.
    Unprovision(One),
    /// Show health: links, backlog, dead letters, conflicts.
    SyncStatus(One),
    /// List links.
    Links(Named),
    /// List findings: what a person should see.
    Findings(Named),
    /// Compare all links with both sides, and mend them if wanted.
    Reconcile(Reconcile),
    /// List dead letters.
    Dlq(Named),
    /// Try a dead letter again.
    DlqRetry(Entry),
    /// Throw a dead letter away.
    DlqDiscard(Entry),
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
    /// The instance.
    #[arg(long)]
    base_url: Option<String>,
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
    /// incidents, genesys or bot.
    #[arg(long)]
    preset: Option<String>,
    /// Where changes are posted to the platform.
    #[arg(long)]
    callback_url: Option<String>,
    /// Where the platform's records can be read, with {id}.
    #[arg(long)]
    read_url: Option<String>,
    /// last-write-wins, ownership-priority or manual-review.
    #[arg(long)]
    conflict_strategy: Option<String>,
    /// Install nothing on the instance.
    #[arg(long)]
    no_provision: bool,
}

#[derive(Args)]
struct One {
    /// Id, slug or exact name.
    integration: String,
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
struct Entry {
    #[command(flatten)]
    one: One,
    /// The dead letter.
    entry: String,
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
}

#[derive(Subcommand)]
enum ReconcileHistory {
    /// List earlier runs.
    History(Named),
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

fn log(default: &str) {
    let filter = EnvFilter::try_from_env("FIRN_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let _ =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

fn run(cli: Cli) -> Result<ExitCode> {
    let tokio = || tokio::runtime::Runtime::new().context("cannot start");
    match cli.command {
        Command::Serve(arguments) => {
            log("info");
            tokio()?.block_on(serve(arguments, cli.token))?;
        }
        Command::Simulator(arguments) => {
            log("info");
            tokio()?.block_on(simulate(arguments))?;
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
        Command::Integration(command) => integration(&Client::new(&cli.url, cli.token)?, command)?,
        Command::Conflict(command) => conflict(&Client::new(&cli.url, cli.token)?, command)?,
        Command::Links(Links::Resync { one, link }) => {
            let client = Client::new(&cli.url, cli.token)?;
            client.post(
                &format!(
                    "/integrations/{}/links/{}/resync",
                    segment(&one.integration),
                    segment(&link)
                ),
                &json!({}),
            )?;
            println!("{link} is being read again");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(arguments: Serve, token: Option<String>) -> Result<()> {
    let file: ServeFile = match &arguments.config {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            toml::from_str(&text).with_context(|| format!("{} is not sound", path.display()))?
        }
        None => ServeFile::default(),
    };
    let listen = arguments.listen.or(file.listen).unwrap_or(([127, 0, 0, 1], 8080).into());
    let data = arguments.data.or(file.data).unwrap_or_else(|| PathBuf::from("firn-data"));
    let hosts = [arguments.allow_hosts, file.allow_hosts].concat();
    let config = HostConfig {
        data: data.clone(),
        workers: arguments.workers.or(file.workers).unwrap_or(2),
        addresses: firn_remote::Addresses {
            loopback: arguments.allow_loopback || file.allow_loopback,
            hosts,
        },
        public_url: arguments
            .public_url
            .or(file.public_url)
            .unwrap_or_else(|| format!("http://{listen}")),
    };
    let host = Host::open(&config)?;
    let token = match token.filter(|token| !token.trim().is_empty()) {
        Some(token) => token,
        None => admin_token(&data)?,
    };
    let shared = Shared {
        host: std::sync::Arc::clone(&host),
        token: Some(token.into()),
        exec_secrets: arguments.allow_exec_secrets || file.allow_exec_secrets,
    };
    let server = crate::listen(listen, router(shared)).await?;
    println!("firn listens on http://{}", server.address);
    stopped().await;
    server.stop().await;
    tokio::task::spawn_blocking(move || host.stop()).await?;
    Ok(())
}

/// The token that opens the API: made on first start, in a file that only its owner reads.
fn admin_token(data: &std::path::Path) -> Result<String> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = data.join("admin-token");
    if let Ok(token) = std::fs::read_to_string(&path)
        && !token.trim().is_empty()
    {
        return Ok(token.trim().to_owned());
    }
    let mut bytes = [0_u8; 32];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    let token: String = std::iter::once("firn_".to_owned())
        .chain(bytes.iter().map(|b| format!("{b:02x}")))
        .collect();
    // Whole or not at all: an empty file would lock everybody out.
    let unfinished = path.with_extension("tmp");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(token.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, &path)?;
    eprintln!(
        "an admin token was created in {}; export FIRN_TOKEN=$(cat {})",
        path.display(),
        path.display()
    );
    Ok(token)
}

async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = interrupt.await;
        }
    }
}

async fn simulate(arguments: Simulator) -> Result<()> {
    let faults = match &arguments.faults {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_str(&text)
                .with_context(|| format!("{} does not hold faults", path.display()))?
        }
        None => firn_simulator::Faults::default(),
    };
    let simulator =
        firn_simulator::Simulator::start(arguments.listen, arguments.seed, faults).await?;
    println!("the ServiceNow simulator listens on {}", simulator.url());
    println!("users admin/admin and integration/integration, OAuth client firn/firn");
    stopped().await;
    Ok(())
}

// ---- the client ------------------------------------------------------------------------------

/// Prints a line; a reader that has gone (`| head`) is no reason to complain.
macro_rules! say {
    ($($text:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($text)*)));
    }};
}

fn integration(client: &Client, command: Integration) -> Result<()> {
    let at = |one: &One| format!("/integrations/{}", segment(&one.integration));
    match command {
        Integration::Configure(given) => configure(client, *given)?,
        Integration::List(listing) => {
            let answer = client.get("/integrations")?;
            table(
                &answer["integrations"],
                &["id", "slug", "name", "tenant", "base_url", "enabled"],
                listing.format,
            );
        }
        Integration::Get(one) => say!("{:#}", client.get(&at(&one))?),
        Integration::Delete { one, no_unprovision, yes } => {
            if !yes {
                confirm(&format!(
                    "delete {} with its secrets and what it installed?",
                    one.integration
                ))?;
            }
            let keep = if no_unprovision { "?provisioned=keep" } else { "" };
            client.call(reqwest::Method::DELETE, &format!("{}{keep}", at(&one)), None)?;
            say!("{} is deleted", one.integration);
        }
        Integration::Pause(one) => enable(client, &one, false)?,
        Integration::Resume(one) => enable(client, &one, true)?,
        Integration::Provision(one) => {
            let answer = client.post(&format!("{}/provision", at(&one)), &json!({}))?;
            table(&answer["artifacts"], &["table", "name", "outcome"], Format::Table);
        }
        Integration::Unprovision(one) => {
            let answer = client.post(&format!("{}/unprovision", at(&one)), &json!({}))?;
            table(&answer["artifacts"], &["table", "name", "outcome"], Format::Table);
        }
        Integration::SyncStatus(one) => {
            let answer = client.get(&format!("{}/sync-status", at(&one)))?;
            for (name, value) in answer.as_object().into_iter().flatten() {
                say!("{:<20} {}", name.replace('_', " "), cell(value));
            }
        }
        Integration::Links(named) => {
            let answer = client.get(&format!("{}/links", at(&named.one)))?;
            table(
                &answer["links"],
                &["id", "platform_id", "number", "settled"],
                named.listing.format,
            );
        }
        Integration::Findings(named) => {
            let answer = client.get(&format!("{}/findings", at(&named.one)))?;
            table(&answer["findings"], &["kind", "link", "field", "text"], named.listing.format);
        }
        Integration::Reconcile(given) => reconcile(client, given)?,
        Integration::Dlq(named) => {
            let answer = client.get(&format!("{}/dlq", at(&named.one)))?;
            table(
                &answer["entries"],
                &["id", "link", "side", "what", "reason"],
                named.listing.format,
            );
        }
        Integration::DlqRetry(entry) => {
            client.post(
                &format!("{}/dlq/{}/retry", at(&entry.one), segment(&entry.entry)),
                &json!({}),
            )?;
            say!("{} is tried again", entry.entry);
        }
        Integration::DlqDiscard(entry) => {
            client.post(
                &format!("{}/dlq/{}/discard", at(&entry.one), segment(&entry.entry)),
                &json!({}),
            )?;
            say!("{} is discarded", entry.entry);
        }
        Integration::FieldOwnership(command) => field_ownership(client, command)?,
    }
    Ok(())
}

fn configure(client: &Client, given: Configure) -> Result<()> {
    let mut settings = json!({});
    if let Some(strategy) = given.conflict_strategy {
        settings["strategy"] = json!(strategy);
    }
    if given.password.as_deref().is_some_and(|p| !p.contains(':')) {
        eprintln!(
            "firn: a password on the command line is seen by others on this machine; better: --password env:NAME"
        );
    }
    let credentials = json!({
        "username": given.username, "password": given.password,
        "client_id": given.client_id, "client_secret": given.client_secret,
        "admin_username": given.admin_username, "admin_password": given.admin_password,
    });
    let has_credentials = credentials.as_object().is_some_and(|c| c.values().any(|v| !v.is_null()));
    let mut body = json!({ "settings": settings });
    let mut put = |name: &str, value: Option<Json>| {
        if let Some(value) = value {
            body[name] = value;
        }
    };
    put("name", given.name.map(Json::from));
    put("base_url", given.base_url.map(Json::from));
    put("sync_direction", given.direction.map(Json::from));
    put("credentials", has_credentials.then_some(credentials));
    if given.callback_url.is_some() || given.read_url.is_some() {
        // Only what was given: the other address stays.
        let mut platform = json!({});
        if let Some(url) = given.callback_url {
            platform["callback_url"] = json!(url);
        }
        if let Some(url) = given.read_url {
            platform["read_url"] = json!(url);
        }
        put("platform", Some(platform));
    }
    let answer = match &given.integration {
        Some(_) if given.preset.is_some() || given.org.is_some() => {
            bail!("--preset and --org are given when an integration is created, and stay")
        }
        Some(known) => client.call(
            reqwest::Method::PATCH,
            &format!("/integrations/{}", segment(known)),
            Some(&body),
        )?,
        None => {
            let org = given.org.context("--org says whose integration it is")?;
            put("organization_id", Some(Json::from(org)));
            put("integration_type", Some(Json::from(given.kind)));
            put("preset", given.preset.map(Json::from));
            put("provision", Some(Json::from(!given.no_provision)));
            client.post("/integrations", &body)?
        }
    };
    say!("{} ({}) is configured", cell(&answer["slug"]), cell(&answer["id"]));
    if let Some(url) = answer["webhook_url"].as_str() {
        say!("webhook: {url}");
    }
    if let Some(why) = answer["provision_failed"].as_str() {
        bail!("nothing was installed on the instance: {why}");
    }
    if answer["provisioned"].is_array() {
        table(&answer["provisioned"], &["table", "name", "outcome"], Format::Table);
    }
    Ok(())
}

fn enable(client: &Client, one: &One, enabled: bool) -> Result<()> {
    let path = format!("/integrations/{}", segment(&one.integration));
    client.call(reqwest::Method::PATCH, &path, Some(&json!({ "enabled": enabled })))?;
    say!("{} is {}", one.integration, if enabled { "running" } else { "paused" });
    Ok(())
}

fn reconcile(client: &Client, given: Reconcile) -> Result<()> {
    if let Some(ReconcileHistory::History(named)) = given.history {
        let answer =
            client.get(&format!("/integrations/{}/reconcile", segment(&named.one.integration)))?;
        table(
            &answer["runs"],
            &["id", "mode", "state", "links", "checked", "drifted", "failed"],
            named.listing.format,
        );
        return Ok(());
    }
    let integration =
        given.integration.context("name the integration: firn integration reconcile NAME")?;
    let path = format!("/integrations/{}/reconcile", segment(&integration));
    let mode = if given.auto_heal { "auto-heal" } else { "dry-run" };
    let mut run = client.post(&path, &json!({ "mode": mode }))?;
    let id = run["id"].as_str().unwrap_or_default().to_owned();
    while run["state"] == "running" {
        std::thread::sleep(std::time::Duration::from_millis(200));
        run = client.get(&format!("{path}/{id}"))?;
    }
    say!(
        "{mode}: {} links checked, {} drifted, {} could not be looked at",
        cell(&run["checked"]),
        cell(&run["drifted"]),
        cell(&run["failed"])
    );
    for drift in run["drifts"].as_array().into_iter().flatten() {
        say!("{} {}", cell(&drift["number"]), cell(&drift["link"]));
        for field in drift["fields"].as_array().into_iter().flatten() {
            say!("  {}", cell(&field["field"]));
            say!("    platform   {}", shape(&field["platform"]));
            say!("    servicenow {}", shape(&field["external"]));
            say!("    agreed on  {}", shape(&field["base"]));
            say!("    {}", cell(&field["verdict"]));
        }
        if drift["entries"].as_u64().unwrap_or(0) > 0 {
            say!("  {} journal entries had not been seen", cell(&drift["entries"]));
        }
        if let Some(why) = drift["state"].get("failed") {
            say!("  could not be looked at: {}", cell(why));
        }
    }
    if run["failed"].as_u64().unwrap_or(0) > 0 {
        bail!("not every link could be looked at");
    }
    Ok(())
}

fn field_ownership(client: &Client, command: FieldOwnership) -> Result<()> {
    let set = |one: &One, field: &str, change: Json| -> Result<()> {
        let path = format!("/integrations/{}", segment(&one.integration));
        let body = json!({ "settings": { "fields": { field: change } } });
        client.call(reqwest::Method::PATCH, &path, Some(&body)).map(|_| ())
    };
    match command {
        FieldOwnership::List(named) => {
            let answer =
                client.get(&format!("/integrations/{}", segment(&named.one.integration)))?;
            let columns = ["name", "owner", "platform_priority", "external_priority", "off_owner"];
            table(&answer["settings"]["fields"], &columns, named.listing.format);
        }
        FieldOwnership::Set { one, field, owner, priority } => {
            let change = match owner.as_str() {
                "platform" => json!({ "owner": owner, "platform_priority": priority }),
                "external" => json!({ "owner": owner, "external_priority": priority }),
                _ => json!({ "owner": owner }),
            };
            known_field(client, &one, &field)?;
            set(&one, &field, change)?;
            say!("{field} belongs to {owner} now");
        }
        FieldOwnership::Delete { one, field } => {
            known_field(client, &one, &field)?;
            set(
                &one,
                &field,
                json!({ "owner": "shared", "platform_priority": 0, "external_priority": 0 }),
            )?;
            say!("{field} is shared now");
        }
    }
    Ok(())
}

fn known_field(client: &Client, one: &One, field: &str) -> Result<()> {
    let answer = client.get(&format!("/integrations/{}", segment(&one.integration)))?;
    let fields = answer["settings"]["fields"].as_array().cloned().unwrap_or_default();
    let names: Vec<&str> =
        fields.iter().filter_map(|f| f["name"].as_str()).chain(["work_notes"]).collect();
    if names.contains(&field) {
        return Ok(());
    }
    bail!("there is no field {field}; mapped are: {}", names.join(", "))
}

fn conflict(client: &Client, command: Conflict) -> Result<()> {
    match command {
        Conflict::List { integration, listing } => {
            let answer =
                client.get(&format!("/integrations/{}/conflicts", segment(&integration)))?;
            table(
                &answer["conflicts"],
                &["id", "number", "field", "state", "link"],
                listing.format,
            );
        }
        Conflict::Get { conflict, integration } => {
            let (_, found) = find_conflict(client, &conflict, integration)?;
            say!("{found:#}");
        }
        Conflict::Resolve { conflict, integration, use_platform, use_external, value } => {
            let body = match (use_platform, use_external, value) {
                (true, _, _) => json!({ "use": "platform" }),
                (_, true, _) => json!({ "use": "external" }),
                (_, _, Some(value)) => json!({ "value": value }),
                _ => bail!("choose: --use-platform, --use-external or --value"),
            };
            let (integration, _) = find_conflict(client, &conflict, integration)?;
            let path = format!(
                "/integrations/{}/conflicts/{}/resolve",
                segment(&integration),
                segment(&conflict)
            );
            client.post(&path, &body)?;
            say!("{conflict} is resolved");
        }
    }
    Ok(())
}

/// Seed 004 names a conflict alone: it is looked for in every integration.
fn find_conflict(
    client: &Client,
    conflict: &str,
    integration: Option<String>,
) -> Result<(String, Json)> {
    let integrations = match integration {
        Some(one) => vec![one],
        None => {
            let answer = client.get("/integrations")?;
            let all = answer["integrations"].as_array().cloned().unwrap_or_default();
            all.iter().filter_map(|i| i["id"].as_str().map(str::to_owned)).collect()
        }
    };
    for integration in integrations {
        let path =
            format!("/integrations/{}/conflicts/{}", segment(&integration), segment(conflict));
        match client.get(&path) {
            Ok(found) => return Ok((integration, found)),
            Err(why) if crate::client::is_not_found(&why) => {}
            Err(why) => return Err(why),
        }
    }
    bail!("there is no conflict {conflict}")
}

fn confirm(question: &str) -> Result<()> {
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim().eq_ignore_ascii_case("y") {
        Ok(())
    } else {
        bail!("nothing was done (--yes does not ask)")
    }
}

/// A value in a cell.
fn cell(value: &Json) -> String {
    match value {
        Json::Null => "-".to_owned(),
        Json::String(text) => text.clone(),
        Json::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A field's shape in words.
fn shape(value: &Json) -> String {
    match value {
        Json::Object(attributes) if attributes.len() == 1 => {
            attributes.values().map(cell).collect()
        }
        Json::Object(attributes) => {
            attributes.iter().map(|(n, v)| format!("{n}={}", cell(v))).collect::<Vec<_>>().join(" ")
        }
        other => cell(other),
    }
}

fn table(rows: &Json, columns: &[&str], format: Format) {
    if let Format::Json = format {
        say!("{rows:#}");
        return;
    }
    let rows = rows.as_array().cloned().unwrap_or_default();
    if rows.is_empty() {
        say!("none");
        return;
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|c| c.to_uppercase().replace('_', " ")));
    for row in rows {
        table.add_row(columns.iter().map(|c| cell(&row[*c])));
    }
    say!("{table}");
}
