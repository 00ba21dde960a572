//! Connecting: whom, with what, and whether the server can be relied upon.

use super::fault::{self, Told};
use super::tls::Tls;
use crate::Error;
use crate::config::{self, PostgresSettings};
use postgres::Client;
use postgres::config::{Host, SslMode};
use std::time::Duration;
use touchstone_settings::SecretReference;
use touchstone_tls::{ClientConfig, ClientSetup, Identity, certificates_from_pem};

/// How long the server may take to answer a connection, or to acknowledge what it was sent.
const PATIENCE: Duration = Duration::from_secs(5);

/// What every session begins with: a statement that hangs must not hold up the fleet for ever, and
/// a fleet that is gone must not hold its locks for hours.
const BEGIN: &str = "
    SET statement_timeout = '30s';
    SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '30s';
    SET tcp_keepalives_idle = 5;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 2;
    SET client_min_messages = warning;
";

/// How the server is reached.
pub(super) struct Session {
    /// As it is told in messages: no more than its address and the database.
    pub(super) server: String,
    config: postgres::Config,
    password: Option<SecretReference>,
    tls: Option<ClientConfig>,
}

impl Session {
    pub(super) fn new(settings: &PostgresSettings) -> Result<Self, Error> {
        let mut config = config::server(&settings.url).map_err(Error::Unready)?;
        config
            .application_name("touchstone-fleet")
            .connect_timeout(PATIENCE)
            .tcp_user_timeout(PATIENCE * 2)
            .keepalives_idle(PATIENCE)
            .keepalives_interval(PATIENCE)
            .keepalives_retries(2);
        let tls = (config.get_ssl_mode() == SslMode::Require).then(|| tls(settings)).transpose()?;
        let server = shown(&config);
        Ok(Self { server, config, password: settings.password.clone(), tls })
    }

    /// A session on which what is acknowledged is on the server's disk.
    pub(super) fn connect(&self) -> Result<Client, Error> {
        let mut config = self.config.clone();
        if let Some(password) = &self.password {
            // Read anew each time: it may have been changed.
            let read = password.read().map_err(Error::file(&password.path()))?;
            config.password(read.as_bytes());
        }
        let connected = config.connect(Tls(self.tls.clone()));
        let mut client = connected.map_err(|error| self.not_connected(&error))?;
        self.told(client.batch_execute(BEGIN))?;
        let settings = self.told(client.query_one(
            "SELECT current_setting('fsync'), current_setting('full_page_writes'),
                    current_setting('synchronous_commit'), current_setting('transaction_read_only'),
                    pg_is_in_recovery()",
            &[],
        ))?;
        let setting = |index: usize| self.told(settings.try_get::<_, String>(index));
        let server = || self.server.clone();
        if setting(3)? == "on" || self.told(settings.try_get(4))? {
            return Err(Error::DatabaseReadOnly { server: server() });
        }
        if setting(0)? == "off" {
            let next = "set `fsync = on` in postgresql.conf and reload it";
            return Err(Error::DatabaseUnsafe { server: server(), setting: "fsync = off", next });
        }
        if setting(1)? == "off" {
            tracing::warn!(
                server = %self.server,
                "the database has `full_page_writes = off`: only some file systems survive a power \
                 cut with that"
            );
        }
        if setting(2)? == "off" {
            // Ours to say: each session has its own.
            self.told(client.batch_execute("SET synchronous_commit = on"))?;
        }
        Ok(client)
    }

    /// Where it was, and what was heard of it.
    pub(super) fn away(&self, reason: &str) -> Error {
        Error::DatabaseAway { server: self.server.clone(), reason: reason.to_owned() }
    }

    pub(super) fn told<T>(&self, answer: Result<T, postgres::Error>) -> Result<T, Error> {
        answer.map_err(|error| self.fault(&error).into())
    }

    /// What an error on a session means.
    pub(super) fn fault(&self, error: &postgres::Error) -> Told {
        fault::told(self, error)
    }

    fn not_connected(&self, error: &postgres::Error) -> Error {
        if fault::is_gone(error) {
            return self.away(&fault::words(error));
        }
        if error.as_db_error().is_some() {
            return self.fault(error).into();
        }
        // Of this side: the certificate is not the server's, no password was given, ..
        Error::DatabaseRefused {
            server: self.server.clone(),
            reason: fault::words(error),
            next: "look at `[database]` in the configuration",
        }
    }
}

fn tls(settings: &PostgresSettings) -> Result<ClientConfig, Error> {
    let words = |path: &std::path::Path| {
        let path = path.to_owned();
        move |error: touchstone_tls::ConfigError| Error::content(&path, error.to_string())
    };
    let Some(path) = &settings.roots else {
        return Err(Error::Unready("`[database]` names no roots".into()));
    };
    let pem = std::fs::read(path).map_err(Error::file(path))?;
    let roots = certificates_from_pem(&pem).map_err(words(path))?;
    let mut setup = ClientSetup::new(&roots);
    if let Some((certificate, key)) = &settings.identity {
        let chain = std::fs::read(certificate).map_err(Error::file(certificate))?;
        let pem = key.read().map_err(Error::file(&key.path()))?;
        let identity = Identity::from_pem(&chain, pem.as_bytes()).map_err(words(certificate))?;
        setup = setup.identity(identity);
    }
    setup.build().map_err(words(path))
}

fn shown(config: &postgres::Config) -> String {
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    format!("{}/{}", hosts.join(","), config.get_dbname().unwrap_or_default())
}
