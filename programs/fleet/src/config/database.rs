//! `[database]`: a PostgreSQL server in the place of the file.

use postgres::config::{Host, SslMode};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use touchstone_settings::{SecretReference, Section};

/// Where the fleet's records are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Database {
    /// `fleet.db` in the state directory.
    #[default]
    Sqlite,
    /// A PostgreSQL server.
    Postgres(PostgresSettings),
}

/// How a PostgreSQL server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresSettings {
    /// `postgres://USER@HOST:PORT/DATABASE?sslmode=require`, without a password.
    pub url: String,
    /// Where the password is, if the server wants one.
    pub password: Option<SecretReference>,
    /// A PEM file with the roots of the server's certificate.
    pub roots: Option<PathBuf>,
    /// A PEM file with the certificate that the fleet shows, and its key.
    pub identity: Option<(PathBuf, SecretReference)>,
}

impl PostgresSettings {
    /// The secrets that have to be there.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretReference> {
        self.password.iter().chain(self.identity.iter().map(|(_, key)| key))
    }
}

impl Database {
    /// The secrets that have to be there.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretReference> {
        let postgres = if let Self::Postgres(postgres) = self { Some(postgres) } else { None };
        postgres.into_iter().flat_map(PostgresSettings::secrets)
    }
}

pub(super) fn read(section: &Section<'_>, base: &Path) -> Option<Database> {
    let url: Option<String> = section.required("url");
    let password = section.optional::<SecretReference>("password");
    let roots = section.optional::<PathBuf>("roots");
    let certificate = section.optional::<PathBuf>("certificate");
    let key = section.optional::<SecretReference>("key");
    let url = url?;
    let server = match server(&url) {
        Ok(server) => server,
        Err(words) => {
            section.refuse("url", &words);
            return None;
        }
    };
    let roots = roots?.map(|path| base.join(path));
    if server.get_ssl_mode() == SslMode::Require && roots.is_none() {
        section.refuse("url", "with `sslmode=require`, name the server's CA in `roots`");
        return None;
    }
    let identity = match (certificate?, key?) {
        (Some(certificate), Some(key)) => Some((base.join(certificate), key.under(base))),
        (None, None) => None,
        _ => {
            section.refuse("url", "`certificate` and `key` come together or not at all");
            return None;
        }
    };
    let password = password?.map(|password| password.under(base));
    Some(Database::Postgres(PostgresSettings { url, password, roots, identity }))
}

/// What a URL says; never repeated, it might hold a password after all.
pub(crate) fn server(url: &str) -> Result<postgres::Config, String> {
    const FORM: &str = "write postgres://USER@HOST/DATABASE?sslmode=require, or \
                        postgres:///DATABASE?host=/run/postgresql&user=USER for a socket";
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(FORM.into());
    }
    // A server's certificate is always checked with its name: what `verify-full` means elsewhere.
    let url = url.replace("sslmode=verify-full", "sslmode=require");
    let mut server = postgres::Config::from_str(&url).map_err(|_| FORM.to_owned())?;
    if server.get_password().is_some() {
        return Err("a password does not stand in this file; write `password = \"file:..\"`".into());
    }
    if server.get_dbname().is_none() || server.get_user().is_none() || server.get_hosts().is_empty()
    {
        return Err(FORM.into());
    }
    let near = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    };
    let near = server.get_hosts().iter().all(near) && server.get_hostaddrs().is_empty();
    if server.get_ssl_mode() != SslMode::Require {
        if !near {
            return Err("beyond this machine the database needs `?sslmode=require`".into());
        }
        server.ssl_mode(SslMode::Disable);
    }
    Ok(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_everything_but_the_password() {
        let near = server("postgres:///fleet?host=/run/postgresql&user=touchstone").unwrap();
        assert_eq!(near.get_ssl_mode(), SslMode::Disable);
        let far = server("postgres://touchstone@db.example/fleet?sslmode=verify-full").unwrap();
        assert_eq!(far.get_ssl_mode(), SslMode::Require);
        for (url, words) in [
            ("mysql://a@b/c", "write postgres://"),
            ("postgres://touchstone@localhost", "write postgres://"),
            ("postgres://localhost/fleet", "write postgres://"),
            ("postgres://touchstone:hunter2@localhost/fleet", "a password does not stand"),
            ("postgres://touchstone@db.example/fleet", "sslmode=require"),
            ("postgres://touchstone@db.example/fleet?sslmode=disable", "sslmode=require"),
            ("postgres://touchstone@localhost/fleet?hostaddr=192.0.2.1", "sslmode=require"),
            ("postgres://touchstone:hunter2@[", "write postgres://"),
        ] {
            let told = server(url).unwrap_err();
            assert!(told.contains(words) && !told.contains("hunter2"), "{url}: {told}");
        }
    }
}
