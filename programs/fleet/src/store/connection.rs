//! A connection with the database, SQLite or PostgreSQL: the store's statements are the same for both.
//! They are written as SQLite reads them; [`super::dialect`] has the few differences.

use super::dialect;
use super::postgres::Postgres;
use super::sqlite::Sqlite;
use super::value::{Params, Row, params};
use crate::Error;

/// Why a statement gave no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is no such row.
    NoRow,
    /// Anything else.
    Failed(Error),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NoRow => Self::Row { what: "row" },
            Fault::Failed(error) => error,
        }
    }
}

/// A row that may be missing.
pub(super) trait OptionalExtension<T> {
    fn optional(self) -> Result<Option<T>, Fault>;
}

impl<T> OptionalExtension<T> for Result<T, Fault> {
    fn optional(self) -> Result<Option<T>, Fault> {
        match self {
            Ok(row) => Ok(Some(row)),
            Err(Fault::NoRow) => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}

/// A connection with a database.
pub(super) enum Connection {
    Sqlite(Sqlite),
    Postgres(Box<Postgres>),
}

impl Connection {
    /// A statement that is read once and used often.
    pub(super) fn prepare_cached<'c>(&'c self, sql: &'c str) -> Result<Statement<'c>, Fault> {
        Ok(match self {
            Self::Sqlite(sqlite) => Statement::Sqlite(sqlite.prepare(sql)?),
            Self::Postgres(postgres) => Statement::Postgres(postgres, sql),
        })
    }

    /// The number of rows that changed.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> Result<usize, Fault> {
        self.prepare_cached(sql)?.execute(params)
    }

    /// The first row.
    pub(super) fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.prepare_cached(sql)?.query_row(params, read)
    }

    /// What the schema stands on.
    pub(super) fn base(&self) -> Result<(), Fault> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(postgres) => postgres.base(),
        }
    }

    /// The version of the schema; 0 where there is none yet.
    pub(super) fn version(&self) -> Result<u32, Fault> {
        match self {
            Self::Sqlite(sqlite) => sqlite.version(),
            Self::Postgres(_) => {
                self.query_row("SELECT version FROM store_schema", params![], |row| row.get(0))
            }
        }
    }

    pub(super) fn set_version(&self, version: u32) -> Result<(), Fault> {
        match self {
            Self::Sqlite(sqlite) => sqlite.set_version(version),
            Self::Postgres(_) => {
                self.execute("UPDATE store_schema SET version = ?1", params![version]).map(drop)
            }
        }
    }

    /// The statements of one version of the schema.
    pub(super) fn schema(&self, sql: &str) -> Result<(), Fault> {
        match self {
            Self::Sqlite(sqlite) => sqlite.batch(sql),
            Self::Postgres(postgres) => postgres.batch(&dialect::schema(sql)),
        }
    }

    /// Begins a transaction that no other writer is beside.
    pub(super) fn begin(&self) -> Result<(), Fault> {
        match self {
            Self::Sqlite(sqlite) => sqlite.batch("BEGIN IMMEDIATE"),
            Self::Postgres(postgres) => postgres.begin(),
        }
    }

    /// Returns when everything is on the disk.
    pub(super) fn commit(&self) -> Result<(), Fault> {
        match self {
            Self::Sqlite(sqlite) => sqlite.batch("COMMIT"),
            Self::Postgres(postgres) => postgres.commit(),
        }
    }

    /// Leaves everything as it was.
    pub(super) fn rollback(&self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.rollback(),
            Self::Postgres(postgres) => postgres.rollback(),
        }
    }
}

impl Connection {
    /// Whether the transaction that just failed may be done again from its beginning.
    pub(super) fn may_do_again(&self) -> bool {
        match self {
            // Whoever writes waits for its turn.
            Self::Sqlite(_) => false,
            Self::Postgres(postgres) => postgres.may_do_again(),
        }
    }
}

/// A statement of a connection.
pub(super) enum Statement<'c> {
    Sqlite(rusqlite::CachedStatement<'c>),
    Postgres(&'c Postgres, &'c str),
}

impl Statement<'_> {
    /// The number of rows that changed.
    pub(super) fn execute(&mut self, params: impl Params) -> Result<usize, Fault> {
        params.with(|params| match self {
            Self::Sqlite(statement) => super::sqlite::execute(statement, params),
            Self::Postgres(postgres, sql) => postgres.execute(sql, params),
        })
    }

    /// Every row.
    pub(super) fn query(&mut self, params: impl Params) -> Result<Rows, Fault> {
        let rows = params.with(|params| match self {
            Self::Sqlite(statement) => super::sqlite::query(statement, params),
            Self::Postgres(postgres, sql) => postgres.query(sql, params),
        })?;
        Ok(Rows { rows: rows.into_iter(), row: None })
    }

    /// The first row.
    pub(super) fn query_row<T>(
        &mut self,
        params: impl Params,
        read: impl FnOnce(&Row) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.query(params)?.next()?.map_or(Err(Fault::NoRow), read)
    }

    /// Every row, as `read` reads it.
    pub(super) fn query_map<T>(
        &mut self,
        params: impl Params,
        read: impl FnMut(&Row) -> Result<T, Fault>,
    ) -> Result<impl Iterator<Item = Result<T, Fault>>, Fault> {
        let mut read = read;
        Ok(self.query(params)?.rows.map(move |row| read(&row)))
    }
}

/// The rows of an answer.
pub(super) struct Rows {
    rows: std::vec::IntoIter<Row>,
    row: Option<Row>,
}

impl Rows {
    #[expect(clippy::unnecessary_wraps, reason = "reads beside what can fail")]
    pub(super) fn next(&mut self) -> Result<Option<&Row>, Fault> {
        self.row = self.rows.next();
        Ok(self.row.as_ref())
    }
}
