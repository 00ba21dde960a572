//! SQLite: one file, or memory.

use super::connection::Fault;
use super::value::{Param, Row, Value};
use crate::Error;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OpenFlags, params_from_iter};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// How long to wait for another program that writes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A database of SQLite.
pub(super) struct Sqlite(Connection);

impl Sqlite {
    /// Opens or creates the file.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        // SQLite gives its journal the mode of the file: nobody else reads either.
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(Error::file(path))?;
        Self::prepared(Connection::open(path)?)
    }

    /// Opens the file to read it only.
    pub(super) fn look(path: &Path) -> Result<Self, Error> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(PATIENCE)?;
        Ok(Self(connection))
    }

    /// A database that is gone when dropped.
    pub(super) fn in_memory() -> Result<Self, Error> {
        Self::prepared(Connection::open_in_memory()?)
    }

    fn prepared(connection: Connection) -> Result<Self, Error> {
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "cache_size", -8192)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self(connection))
    }

    pub(super) fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>, Fault> {
        Ok(self.0.prepare_cached(sql)?)
    }

    pub(super) fn batch(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.0.execute_batch(sql)?)
    }

    pub(super) fn rollback(&self) {
        if let Err(error) = self.0.execute_batch("ROLLBACK") {
            // SQLite ends the transaction itself after some faults, a full disk for one.
            tracing::debug!(%error, "there was nothing to roll back");
        }
    }

    /// The version of the schema.
    pub(super) fn version(&self) -> Result<u32, Fault> {
        Ok(self.0.pragma_query_value(None, "user_version", |row| row.get(0))?)
    }

    pub(super) fn set_version(&self, version: u32) -> Result<(), Fault> {
        Ok(self.0.pragma_update(None, "user_version", version)?)
    }

    #[cfg(test)]
    pub(super) fn raw(&self) -> &Connection {
        &self.0
    }
}

pub(super) fn execute(
    statement: &mut CachedStatement<'_>,
    params: &[Param<'_>],
) -> Result<usize, Fault> {
    Ok(statement.execute(params_from_iter(params))?)
}

pub(super) fn query(
    statement: &mut CachedStatement<'_>,
    params: &[Param<'_>],
) -> Result<Vec<Row>, Fault> {
    let columns = statement.column_count();
    let mut rows = statement.query(params_from_iter(params))?;
    let mut read = Vec::new();
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|index| row.get_ref(index).map(value).map_err(Fault::from));
        read.push(Row(values.collect::<Result<Result<_, _>, _>>()??));
    }
    Ok(read)
}

fn value(value: ValueRef<'_>) -> Result<Value, Fault> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(octets) => Value::Blob(octets.to_vec()),
        // No column of ours is one.
        ValueRef::Real(_) => return Err(Fault::Failed(Error::Row { what: "column" })),
    })
}

impl rusqlite::ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Param::Null => ValueRef::Null,
            Param::Integer(number) => ValueRef::Integer(*number),
            Param::TooLarge => {
                return Err(rusqlite::Error::ToSqlConversionFailure("too large a number".into()));
            }
            Param::Text(text) => ValueRef::Text(text.as_bytes()),
            Param::Blob(octets) => ValueRef::Blob(octets),
        }))
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}
