//! Connections to a PostgreSQL server: made, with their statements prepared, and used as one transaction at a
//! time, in one round trip.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Error, NoTls, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::listen::until_its_end;
use crate::{Ear, OpenError};

/// A server that does not answer is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the database is.
#[derive(Clone)]
pub(super) struct Server {
    config: Config,
    name: String,
    tls: Option<MakeRustlsConnect>,
}

impl Server {
    /// Reads an address.
    pub(super) fn new(url: &str) -> Result<Server, OpenError> {
        let wrong = |why: String| OpenError::failed("the store", why);
        let mut config: Config = url.parse().map_err(|why: Error| {
            wrong(format!("its address is not postgres://user@host/database: {why}"))
        })?;
        config.connect_timeout(PATIENCE).application_name("firn");
        // A server that is gone without a word is noticed, and its locks are let go of.
        config.keepalives_idle(Duration::from_secs(15)).tcp_user_timeout(Duration::from_secs(20));
        // Never the password.
        let hosts: Vec<String> =
            config.get_hosts().iter().map(|host| format!("{host:?}")).collect();
        let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
        let name = format!("the database {database} on {}", hosts.join(", "));
        let tls = match config.get_ssl_mode() {
            tokio_postgres::config::SslMode::Disable => None,
            _ => Some(tls().map_err(wrong)?),
        };
        Ok(Server { config, name, tls })
    }

    /// What it is called in errors.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A client without statements.
    pub(super) async fn client(&self) -> Result<Client, Error> {
        match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                tokio::spawn(connection);
                Ok(client)
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                tokio::spawn(connection);
                Ok(client)
            }
        }
    }

    /// Listens for what others commit, until the connection ends.
    pub(super) async fn listen(&self, own: &str, ear: &Ear) -> Result<(), Error> {
        match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                until_its_end(client, connection, own, ear).await
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                until_its_end(client, connection, own, ear).await
            }
        }
    }

    /// A connection with statements.
    pub(super) async fn connect(&self, texts: &[&str]) -> Result<Connection, Error> {
        let client = self.client().await?;
        let mut statements = Vec::with_capacity(texts.len());
        for text in texts {
            statements.push(client.prepare(text).await?);
        }
        Ok(Connection { client, statements })
    }
}

/// TLS as for everything else: rustls, and the certificates that this machine trusts.
fn tls() -> Result<MakeRustlsConnect, String> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// One connection, for one transaction at a time.
pub(super) struct Connection {
    pub(super) client: Client,
    statements: Vec<Statement>,
}

impl Connection {
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) fn statement(&self, at: usize) -> &Statement {
        &self.statements[at]
    }

    /// One statement, as a transaction that sees these tenants. What is sent is sent at once: one round trip.
    pub(super) async fn read(
        &self,
        tenants: &str,
        at: usize,
        values: &[Box<dyn ToSql + Send + Sync>],
    ) -> Result<Vec<Row>, Error> {
        let values: Vec<&(dyn ToSql + Sync)> =
            values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
        let begin = begin(tenants);
        let (begun, rows, ended) = tokio::join!(
            biased; // Sent in this order.
            self.client.batch_execute(&begin),
            self.client.query(self.statement(at), &values),
            self.client.batch_execute("COMMIT"),
        );
        begun?;
        let rows = rows?;
        ended?;
        Ok(rows)
    }
}

/// Begins a transaction that sees these tenants: names without quotes, or `*`.
///
/// Whatever is asked is found by an index. A server that counted a table's rows when it was small would rather walk
/// over all of them, and goes on with that plan while the table grows: with a backlog of ten thousand each batch
/// read them all. (For the same reason keys are looked up one by one, `LATERAL` with a limit, which no plan can turn
/// into a walk over an index.)
pub(super) fn begin(tenants: &str) -> String {
    format!(
        "BEGIN; SET LOCAL firn.tenants = '{tenants}'; SET LOCAL enable_seqscan = off; SET LOCAL jit = off"
    )
}
