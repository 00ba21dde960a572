//! What an error of the server, or of the way to it, means for the fleet.

use super::session::Session;
use crate::Error;
use postgres::error::SqlState;
use std::error::Error as _;

/// An error in the fleet's words.
pub(super) enum Told {
    /// Others were in the way: the transaction may be done again from its beginning.
    Again(Error),
    /// It will not be otherwise the next time.
    Final(Error),
}

impl From<Told> for Error {
    fn from(told: Told) -> Self {
        match told {
            Told::Again(error) | Told::Final(error) => error,
        }
    }
}

/// Whether the connection is of no use any more, or never came to be: the server is gone, ends,
/// starts, or has no room.
pub(super) fn is_gone(error: &postgres::Error) -> bool {
    let Some(code) = error.code() else {
        return error.is_closed() || has_io(error);
    };
    matches!(
        *code,
        SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::TOO_MANY_CONNECTIONS
            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
    ) || code.code().starts_with("08")
}

/// A fault of the transport, not of what was said over it.
fn has_io(error: &postgres::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<touchstone_drive::ConnectError>() {
            return matches!(error, touchstone_drive::ConnectError::Io(_));
        }
        if error.is::<std::io::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What was said, without what stands around it.
pub(super) fn words(error: &postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(told), _) => told.message().to_owned(),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

pub(super) fn told(session: &Session, error: &postgres::Error) -> Told {
    let server = || session.server.clone();
    let refused = |next: &'static str| {
        Told::Final(Error::DatabaseRefused { server: server(), reason: words(error), next })
    };
    if is_gone(error) {
        return Told::Final(session.away(&words(error)));
    }
    let Some(code) = error.code() else {
        return Told::Final(Error::Database(words(error)));
    };
    match *code {
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::LOCK_NOT_AVAILABLE => Told::Again(session.away(&words(error))),
        SqlState::QUERY_CANCELED | SqlState::DISK_FULL | SqlState::OUT_OF_MEMORY => {
            Told::Final(session.away(&words(error)))
        }
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => refused(
            "look at `[database] password`, the user in `url`, and the server's pg_hba.conf",
        ),
        SqlState::INVALID_CATALOG_NAME => {
            refused("make it, owned by the user: createdb --owner USER DATABASE")
        }
        SqlState::INSUFFICIENT_PRIVILEGE => {
            refused("make the user its owner: ALTER DATABASE .. OWNER TO ..")
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            Told::Final(Error::DatabaseReadOnly { server: server() })
        }
        // The detail names values of the row; it stays with the server.
        _ => Told::Final(Error::Database(format!("{} ({})", words(error), code.code()))),
    }
}
