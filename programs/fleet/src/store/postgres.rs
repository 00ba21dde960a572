//! PostgreSQL: one connection that comes back by itself.
//!
//! The store relied on SQLite's single writer from the start: serial numbers, challenges that count
//! once, the numbers of events. Here a lock makes a transaction the only one, from its beginning to
//! its commit, and a second lock, of the session, makes the fleet the only one on the database.

mod fault;
mod session;
#[cfg(test)]
mod tests;
mod tls;

use super::connection::Fault;
use super::dialect;
use super::value::{Param, Row, Value};
use crate::Error;
use crate::config::PostgresSettings;
use postgres::types::{IsNull, ToSql, Type, private::BytesMut};
use postgres::{Client, Statement};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Held by whoever writes, for a transaction: `tchstn`, 1.
const WRITER: i64 = 0x7463_6873_746e_0001;
/// Held by the fleet, as long as it is connected: `tchstn`, 2.
const FLEET: i64 = 0x7463_6873_746e_0002;
/// How long to wait before the server is tried again: first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Whether the store's first table is there.
const SCHEMA: &str = "SELECT to_regclass('store_schema') IS NOT NULL";
/// Statements that are kept ready.
const PREPARED: usize = 128;

/// A database of PostgreSQL.
pub(super) struct Postgres {
    session: session::Session,
    link: RefCell<Option<Link>>,
    /// A transaction is open.
    open: Cell<bool>,
    /// A statement of the transaction failed: it cannot be committed.
    failed: Cell<bool>,
    /// The transaction may be done again from its beginning.
    again: Cell<bool>,
    /// No other fleet may be on the database.
    alone: Cell<bool>,
    /// When the server may be tried again, and how long to wait then.
    next: Cell<(Option<Instant>, Duration)>,
    /// What was heard of it last.
    last: RefCell<String>,
}

struct Link {
    client: Client,
    prepared: HashMap<String, Statement>,
}

impl Link {
    fn prepared(&mut self, sql: &str) -> Result<Statement, postgres::Error> {
        if let Some(found) = self.prepared.get(sql) {
            return Ok(found.clone());
        }
        if self.prepared.len() >= PREPARED {
            self.prepared.clear();
        }
        let made = self.client.prepare(&dialect::statement(sql))?;
        self.prepared.insert(sql.to_owned(), made.clone());
        Ok(made)
    }
}

impl Postgres {
    /// Connects, and looks whether what the server acknowledges is on its disk.
    pub(super) fn open(settings: &PostgresSettings) -> Result<Self, Error> {
        let postgres = Self {
            session: session::Session::new(settings)?,
            link: RefCell::default(),
            open: Cell::default(),
            failed: Cell::default(),
            again: Cell::default(),
            alone: Cell::default(),
            next: Cell::new((None, PAUSES.0)),
            last: RefCell::default(),
        };
        let client = postgres.session.connect()?;
        postgres.link.replace(Some(Link { client, prepared: HashMap::new() }));
        Ok(postgres)
    }

    /// Whether there is a schema already. It says so where none could be made, or nothing written.
    pub(super) fn look(&self) -> Result<bool, Error> {
        let yes = |sql: &str| -> Result<bool, Fault> {
            Ok(self.query(sql, &[])?.first().is_some_and(|row| row.0 == [Value::Integer(1)]))
        };
        let server = || self.session.server.clone();
        if yes("SELECT pg_is_in_recovery()")? {
            return Err(Error::DatabaseReadOnly { server: server() });
        }
        if yes(SCHEMA)? {
            return Ok(true);
        }
        if yes("SELECT has_schema_privilege(current_schema(), 'CREATE')")? {
            return Ok(false);
        }
        let reason = "this user may make no tables there".to_owned();
        let next = "make the user its owner: ALTER DATABASE .. OWNER TO ..";
        Err(Error::DatabaseRefused { server: server(), reason, next })
    }

    /// Keeps every other fleet away, as long as this is connected.
    pub(super) fn hold(&self) -> Result<(), Error> {
        if !self.run(|link| take(&mut link.client))? {
            return Err(Error::DatabaseTaken { server: self.session.server.clone() });
        }
        self.alone.set(true);
        Ok(())
    }

    pub(super) fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<usize, Fault> {
        let done = self.run(|link| {
            let statement = link.prepared(sql)?;
            link.client.execute(&statement, &dynamic(params))
        });
        let count = done.map_err(Fault::Failed)?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    pub(super) fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Fault> {
        self.run(|link| {
            let statement = link.prepared(sql)?;
            let rows = link.client.query(&statement, &dynamic(params))?;
            rows.iter().map(read).collect::<Result<Vec<_>, _>>()
        })
        .map_err(Fault::Failed)
    }

    pub(super) fn batch(&self, sql: &str) -> Result<(), Fault> {
        self.run(|link| link.client.batch_execute(sql)).map_err(Fault::Failed)
    }

    /// What the schema stands on. Two that make it at once are in each other's way, so one waits.
    pub(super) fn base(&self) -> Result<(), Fault> {
        let there = self.query(SCHEMA, &[])?;
        if there.first().is_some_and(|row| row.0 == [Value::Integer(1)]) {
            return Ok(());
        }
        self.begin()?;
        let made = self.batch(dialect::BASE).and_then(|()| self.commit());
        if made.is_err() {
            self.rollback();
        }
        made
    }

    pub(super) fn begin(&self) -> Result<(), Fault> {
        self.failed.set(false);
        self.again.set(false);
        // The lock is a statement of its own: those after it see what the writer before committed.
        let begun = self.batch(&format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({WRITER})"
        ));
        self.open.set(true);
        if begun.is_err() {
            self.rollback();
        }
        begun
    }

    pub(super) fn commit(&self) -> Result<(), Fault> {
        if self.failed.get() {
            // The server would answer a commit by rolling back, and not call that a fault.
            return Err(Fault::Failed(Error::Database("a statement before failed".into())));
        }
        let committed = self.batch("COMMIT");
        // Whether it still was, nobody knows: whoever asked has to ask again.
        let unknown = self.link.borrow().is_none();
        self.again.set(self.again.get() && !unknown);
        if committed.is_ok() {
            self.open.set(false);
        }
        committed
    }

    pub(super) fn rollback(&self) {
        let again = self.again.get();
        if self.link.borrow().is_some()
            && let Err(fault) = self.batch("ROLLBACK")
        {
            // An open transaction must not be gone on with: it ends with the connection.
            tracing::debug!(error = %Error::from(fault), "the connection with the database ends");
            self.link.replace(None);
        }
        self.open.set(false);
        self.again.set(again);
    }

    /// Whether the transaction that failed may be done again from its beginning.
    pub(super) fn may_do_again(&self) -> bool {
        self.again.get()
    }

    /// Does `work` on the connection, or on a new one if it is gone and nothing was begun on it.
    fn run<T>(&self, work: impl Fn(&mut Link) -> Result<T, postgres::Error>) -> Result<T, Error> {
        let mut fresh = false;
        loop {
            let mut slot = self.link.borrow_mut();
            let link = match &mut *slot {
                Some(link) => link,
                None if self.open.get() => return Err(self.session.away("the connection broke")),
                None => {
                    fresh = true;
                    slot.insert(self.connect()?)
                }
            };
            let error = match work(link) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let gone = link.client.is_closed() || fault::is_gone(&error);
            let error = self.session.fault(&error);
            self.failed.set(self.open.get());
            if gone {
                *slot = None;
            }
            if self.open.get() {
                self.again.set(gone || matches!(error, fault::Told::Again(_)));
            } else if gone && !fresh {
                continue;
            }
            return Err(error.into());
        }
    }

    /// Connects anew, unless the server was tried a moment ago.
    fn connect(&self) -> Result<Link, Error> {
        let (next, pause) = self.next.get();
        if next.is_some_and(|next| Instant::now() < next) {
            return Err(self.session.away(&self.last.borrow()));
        }
        let connected = self.session.connect().and_then(|mut client| {
            if self.alone.get() && !self.session.told(take(&mut client))? {
                return Err(Error::DatabaseTaken { server: self.session.server.clone() });
            }
            Ok(client)
        });
        match connected {
            Ok(client) => {
                tracing::info!(server = %self.session.server, "connected with the database again");
                self.next.set((None, PAUSES.0));
                Ok(Link { client, prepared: HashMap::new() })
            }
            Err(error) => {
                self.next.set((Some(Instant::now() + pause), (pause * 2).min(PAUSES.1)));
                tracing::warn!(%error, again_in = ?pause, "no connection with the database");
                let reason = match error {
                    Error::DatabaseAway { reason, .. } => reason,
                    other => other.to_string(),
                };
                self.last.replace(reason.clone());
                Err(self.session.away(&reason))
            }
        }
    }
}

/// Takes the fleet's lock, unless another keeps it: one that was killed a moment ago lets go soon.
fn take(client: &mut Client) -> Result<bool, postgres::Error> {
    const TRIES: u32 = 20;
    for _ in 0..TRIES {
        if client.query_one("SELECT pg_try_advisory_lock($1)", &[&FLEET])?.try_get(0)? {
            return Ok(true);
        }
        std::thread::sleep(PAUSES.0);
    }
    Ok(false)
}

fn dynamic<'p>(params: &'p [Param<'_>]) -> Vec<&'p (dyn ToSql + Sync)> {
    params.iter().map(|param| param as &(dyn ToSql + Sync)).collect()
}

fn read(row: &postgres::Row) -> Result<Row, postgres::Error> {
    (0..row.len()).map(|index| row.try_get(index)).collect::<Result<_, _>>().map(Row)
}

type Boxed = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for Param<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        match (self, kind) {
            (Param::Null, _) => Ok(IsNull::Yes),
            (Param::Integer(number), &Type::INT8) => number.to_sql(kind, out),
            (Param::Integer(number), &Type::INT4) => i32::try_from(*number)?.to_sql(kind, out),
            (Param::Integer(number), &Type::BOOL) => (*number != 0).to_sql(kind, out),
            (Param::Text(text), &Type::TEXT) if text.contains('\0') => {
                // No text of PostgreSQL has this character; certificates keep their own octets.
                text.replace('\0', "\u{FFFD}").to_sql(kind, out)
            }
            (Param::Text(text), &Type::TEXT) => text.to_sql(kind, out),
            (Param::Blob(octets), &Type::BYTEA) => octets.to_sql(kind, out),
            (Param::TooLarge, _) => Err("too large a number".into()),
            _ => Err(format!("no {kind} is made of this").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    postgres::types::to_sql_checked!();
}

impl<'r> postgres::types::FromSql<'r> for Value {
    fn from_sql(kind: &Type, raw: &'r [u8]) -> Result<Self, Boxed> {
        Ok(match *kind {
            Type::INT8 => Self::Integer(i64::from_sql(kind, raw)?),
            Type::INT4 => Self::Integer(i32::from_sql(kind, raw)?.into()),
            Type::BOOL => Self::Integer(bool::from_sql(kind, raw)?.into()),
            Type::BYTEA => Self::Blob(raw.to_vec()),
            _ => Self::Text(String::from_sql(kind, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Boxed> {
        Ok(Self::Null)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT8 | Type::INT4 | Type::BOOL | Type::BYTEA | Type::TEXT)
    }
}
