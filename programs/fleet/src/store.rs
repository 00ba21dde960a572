//! What the fleet remembers: one SQLite file, owned by one thread.
//!
//! A call returns after its transaction is on the disk (write-ahead log, `synchronous = FULL`), so
//! whatever was answered survives a `kill -9`. Events stand in the same transaction as what they
//! tell of. What this is not: a place for keys; those are files of the state directory.

mod certificates;
mod claims;
mod devices;
mod events;
mod feed;
mod ima_history;
mod invitations;
mod operators;
mod policies;
mod references;
mod results;
mod standing;
mod updates;

pub use certificates::{Added, CertificateRow, NewCertificate, Status};
pub use claims::StoredClaims;
pub use devices::{DeviceRow, Enrolled, NewDevice, Rules};
pub use events::NewEvent;
pub use invitations::{Invitation, NewInvitation, Redeemed};
pub use operators::Operator;
pub use references::NewReference;
pub use results::{NewResult, Recorded, StoredResult};
pub use standing::{NewOverride, Standing, VerdictRules};
pub use updates::NewUpdate;

use crate::Error;
use rusqlite::{Connection, Transaction};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Each entry takes the database from its index to the next version.
const MIGRATIONS: &[&str] = &[
    include_str!("store/schema.sql"),
    include_str!("store/claims.sql"),
    include_str!("store/policies.sql"),
    include_str!("store/ima_history.sql"),
    include_str!("store/authority.sql"),
    include_str!("store/invitations.sql"),
];

/// Calls that may wait for the database; more callers wait in line themselves.
const WAITING: usize = 256;

/// The database, for the thread that owns it.
pub struct Db {
    connection: Connection,
    tenant: String,
    verdict: VerdictRules,
}

impl Db {
    /// Opens or creates the file and brings its schema up to date.
    pub fn open(path: &Path, tenant: &str) -> Result<Self, Error> {
        // SQLite gives its journal the mode of the file: nobody else reads either.
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(Error::file(path))?;
        Self::prepare(Connection::open(path)?, tenant)
    }

    /// A database that is gone when dropped.
    pub fn in_memory(tenant: &str) -> Result<Self, Error> {
        Self::prepare(Connection::open_in_memory()?, tenant)
    }

    fn prepare(mut connection: Connection, tenant: &str) -> Result<Self, Error> {
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "cache_size", -8192)?;
        connection.set_prepared_statement_cache_capacity(64);
        migrate(&mut connection, MIGRATIONS)?;
        Ok(Self { connection, tenant: tenant.to_owned(), verdict: VerdictRules::default() })
    }

    /// The same, where certificates follow the verdict by these rules.
    #[must_use]
    pub fn with_verdict_rules(mut self, rules: VerdictRules) -> Self {
        self.verdict = rules;
        self
    }

    /// Does `work` in one transaction.
    fn write<T>(&mut self, work: impl FnOnce(&Write<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let behavior = rusqlite::TransactionBehavior::Immediate;
        let tx = self.connection.transaction_with_behavior(behavior)?;
        let write = Write { tx, tenant: &self.tenant, verdict: &self.verdict };
        let done = work(&write)?;
        write.tx.commit()?;
        Ok(done)
    }
}

/// A transaction of one tenant.
struct Write<'t> {
    tx: Transaction<'t>,
    tenant: &'t str,
    verdict: &'t VerdictRules,
}

/// Runs the migrations that the file has not seen, each in a transaction of its own.
fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), Error> {
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(Error::DatabaseNewer { found, known });
    }
    for (version, sql) in (1u32..).zip(migrations).skip(found as usize) {
        let tx = connection.transaction()?;
        tx.execute_batch(sql)?;
        tx.pragma_update(None, "user_version", version)?;
        tx.commit()?;
    }
    Ok(())
}

type Call = Box<dyn FnOnce(&mut Db) + Send>;

/// A handle on the database for any number of tasks.
#[derive(Clone)]
pub struct Store {
    calls: mpsc::Sender<Call>,
    events: watch::Receiver<u64>,
    feed: watch::Receiver<u64>,
}

impl Store {
    /// Gives the database a thread of its own.
    pub fn start(mut db: Db) -> Result<Self, Error> {
        let (calls, mut queue) = mpsc::channel::<Call>(WAITING);
        let (told_event, events) = watch::channel(db.last_event()?);
        let (told_feed, feed) = watch::channel(db.last_feed()?);
        let body = move || {
            while let Some(call) = queue.blocking_recv() {
                call(&mut db);
                for (told, last) in [(&told_event, db.last_event()), (&told_feed, db.last_feed())] {
                    if let Ok(last) = last {
                        told.send_if_modified(|seq| std::mem::replace(seq, last) != last);
                    }
                }
            }
        };
        std::thread::Builder::new()
            .name("store".into())
            .spawn(body)
            .map_err(|error| Error::Network { what: "cannot start the store".into(), error })?;
        Ok(Self { calls, events, feed })
    }

    /// Runs `work` on the database's thread and waits for it.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Db) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let call: Call = Box::new(move |db| {
            // A caller that went away does not need its answer; the work is done all the same.
            let _ = answer.send(work(db));
        });
        self.calls.send(call).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }

    /// The number of the last event, and word of later ones.
    pub fn events(&self) -> watch::Receiver<u64> {
        self.events.clone()
    }

    /// The number of the last line of the feed, and word of later ones.
    pub fn feed(&self) -> watch::Receiver<u64> {
        self.feed.clone()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn a_new_file_gets_every_migration_and_an_old_one_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet.db");
        let later = "CREATE TABLE later (x INTEGER) STRICT;";
        let steps = [MIGRATIONS, &[later]].concat();
        let mut old = Connection::open(&path).unwrap();
        migrate(&mut old, &MIGRATIONS[..1]).unwrap();
        old.execute(
            "INSERT INTO events (tenant, time, code, severity, subject, message, detail)
             VALUES ('default', 1, 'a.b', 'info', 's', 'm', '{}')",
            [],
        )
        .unwrap();
        drop(Db::open(&path, "default").unwrap());
        old.execute("DELETE FROM claims", []).unwrap();
        migrate(&mut old, &steps).unwrap();
        migrate(&mut old, &steps).unwrap();
        let kept: u64 = old.query_row("SELECT count(*) FROM events", [], |r| r.get(0)).unwrap();
        assert_eq!(kept, 1, "a migration forwards keeps what was there");
        old.execute("INSERT INTO later VALUES (1)", []).unwrap();
        drop(old);
        let refused = Db::open(&path, "default").map(drop).unwrap_err();
        assert_eq!(refused.code(), "fleet.database.newer");
    }

    #[test]
    fn a_migration_that_fails_leaves_the_file_as_it_was() {
        let mut connection = Connection::open_in_memory().unwrap();
        let broken = ["CREATE TABLE a (x);", "CREATE TABLE b (x); CREATE TABLE a (x);"];
        migrate(&mut connection, &broken).unwrap_err();
        let version: u32 =
            connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 1);
        connection.execute("INSERT INTO b VALUES (1)", []).unwrap_err();
    }

    #[test]
    fn every_table_carries_tenant_and_version() {
        let db = Db::in_memory("default").unwrap();
        let mut tables = db
            .connection
            .prepare(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
            )
            .unwrap();
        let names: Vec<String> =
            tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert!(names.len() >= 10);
        for table in names {
            for column in ["tenant", "version"] {
                db.connection.prepare(&format!("SELECT {column} FROM {table}")).unwrap();
            }
        }
    }

    #[test]
    fn what_is_on_the_disk_is_flushed_before_a_call_returns() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("fleet.db"), "default").unwrap();
        let ask = |pragma: &str| -> String {
            db.connection
                .pragma_query_value(None, pragma, |row| {
                    row.get::<_, rusqlite::types::Value>(0).map(|value| format!("{value:?}"))
                })
                .unwrap()
        };
        assert_eq!(ask("journal_mode"), "Text(\"wal\")");
        assert_eq!(ask("synchronous"), "Integer(2)");
    }

    #[tokio::test]
    async fn a_store_tells_its_readers_of_new_events() {
        let store = Store::start(Db::in_memory("default").unwrap()).unwrap();
        let mut events = store.events();
        assert_eq!(*events.borrow_and_update(), 0);
        let event = NewEvent::new(touchstone_audit::Code::ServiceStarted, "fleet", "started");
        store.call(move |db| db.record_event(7, &event)).await.unwrap();
        events.changed().await.unwrap();
        assert_eq!(*events.borrow(), 1);
    }
}
