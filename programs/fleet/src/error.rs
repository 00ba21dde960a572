//! What can go wrong in a fleet, with a stable code.

use std::path::{Path, PathBuf};

/// Why the fleet could not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database said no.
    #[error("the database failed: {0}")]
    Database(String),
    /// The database server is away, or cannot serve just now.
    #[error("the database at {server} is away: {reason}; it is tried again by itself")]
    DatabaseAway {
        /// Where it should be.
        server: String,
        /// What was heard of it.
        reason: String,
    },
    /// The database server does not let this fleet in.
    #[error("the database at {server} refuses: {reason}; {next}")]
    DatabaseRefused {
        /// The server.
        server: String,
        /// Its words.
        reason: String,
        /// What to do.
        next: &'static str,
    },
    /// Nothing can be recorded there.
    #[error(
        "the database at {server} is read-only: a standby? name the primary in `[database] url`"
    )]
    DatabaseReadOnly {
        /// The server.
        server: String,
    },
    /// What that server acknowledges may be lost.
    #[error("the database at {server} has `{setting}`: what it acknowledges may be lost; {next}")]
    DatabaseUnsafe {
        /// The server.
        server: String,
        /// Its setting.
        setting: &'static str,
        /// What to do.
        next: &'static str,
    },
    /// Two fleets on one database would not see each other's decisions.
    #[error("another fleet runs on the database at {server}; stop it first")]
    DatabaseTaken {
        /// The server.
        server: String,
    },
    /// The database was written by a later version of this program.
    #[error("the database has version {found}, this program knows {known}; run the newer program")]
    DatabaseNewer {
        /// The version of the file.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// The thread that owns the database is gone.
    #[error("the database is closed; the program is shutting down")]
    Closed,
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}:{}{words}", path.display(), gap(words))]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        words: String,
    },
    /// A row does not hold what this program wrote.
    #[error("the database holds an unreadable {what}; restore it from a backup")]
    Row {
        /// Which column.
        what: &'static str,
    },
    /// Nothing of that name.
    #[error("no {what} named `{name}`")]
    Unknown {
        /// The kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The request contradicts what is recorded.
    #[error("{0}")]
    Conflict(String),
    /// Another CA that the configuration names is of no use now.
    #[error("the CA `{name}` at {at}: {words}")]
    Upstream {
        /// Its name in the configuration.
        name: String,
        /// Its address.
        at: String,
        /// What is wrong, and what to do.
        words: String,
    },
    /// Files that the configuration names are not what they should be.
    #[error("{0}; `--check` tells more")]
    Unready(String),
    /// A key, a certificate or a signature could not be made.
    #[error("{what}: {reason}")]
    Crypto {
        /// What was being made.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// An element, or its key, did not do as asked.
    #[error("{key}: {error}")]
    Element {
        /// The key, as the configuration or the element calls it.
        key: String,
        /// The element's own words.
        error: touchstone_element::Error,
    },
    /// The CA's element has as much before it as there is room for.
    #[error("the CA's element has too much to sign just now; try again in a moment")]
    Busy,
    /// A listener or a connection failed.
    #[error("{what}: {error}")]
    Network {
        /// Which one.
        what: String,
        /// What the system said.
        error: std::io::Error,
    },
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Database(_) => "fleet.database.failed",
            Self::DatabaseAway { .. } => "fleet.database.away",
            Self::DatabaseRefused { .. } => "fleet.database.refused",
            Self::DatabaseReadOnly { .. } => "fleet.database.read-only",
            Self::DatabaseUnsafe { .. } => "fleet.database.unsafe",
            Self::DatabaseTaken { .. } => "fleet.database.taken",
            Self::DatabaseNewer { .. } => "fleet.database.newer",
            Self::Closed => "fleet.database.closed",
            Self::File { .. } => "fleet.file.failed",
            Self::Content { .. } => "fleet.file.content",
            Self::Row { .. } => "fleet.database.row",
            Self::Unknown { .. } => "fleet.unknown",
            Self::Upstream { .. } => "fleet.upstream",
            Self::Conflict(_) => "fleet.conflict",
            Self::Unready(_) => "fleet.unready",
            Self::Crypto { .. } => "fleet.crypto.failed",
            Self::Element { error, .. } => error.code(),
            Self::Busy => "fleet.authority.busy",
            Self::Network { .. } => "fleet.network.failed",
        }
    }

    /// Whether it may be otherwise in a moment.
    pub const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Busy | Self::Closed | Self::DatabaseAway { .. } | Self::DatabaseReadOnly { .. }
        )
    }

    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { path, error }
    }

    pub(crate) fn content(path: &Path, words: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), words: words.into() }
    }

    pub(crate) fn element(key: &str) -> impl FnOnce(touchstone_element::Error) -> Self {
        let key = key.to_owned();
        move |error| Self::Element { key, error }
    }

    pub(crate) fn crypto<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Crypto { what, reason: error.to_string() }
    }
}

/// No blank in front of a line number, so that `file:line:` stands together.
fn gap(words: &str) -> &'static str {
    if words.starts_with(|c: char| c.is_ascii_digit()) { "" } else { " " }
}
