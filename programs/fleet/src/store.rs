//! What the fleet remembers: a SQLite file or a database of PostgreSQL, owned by one thread.
//!
//! A call returns after its transaction is on the disk (write-ahead log, `synchronous = FULL`;
//! `fsync` and `synchronous_commit`), so whatever was answered survives a `kill -9`. Events stand in the
//! same transaction as what they tell of. What this is not: a place for keys; those are files of the state directory.

#[cfg(test)]
#[macro_use]
mod rig;

mod certificates;
mod claims;
mod connection;
mod device_logs;
mod devices;
mod dialect;
mod enrolments;
mod events;
mod feed;
mod history;
mod holds;
mod invitations;
mod operators;
mod parts;
mod policies;
mod postgres;
mod references;
mod results;
mod sqlite;
mod standing;
#[cfg(test)]
mod tests;
mod updates;
mod value;

pub use certificates::{Added, CertificateRow, NewCertificate, Status};
pub use claims::StoredClaims;
pub use device_logs::{DeviceLog, Owner, TakenOver};
pub use devices::{DeviceRow, Enrolled, NewDevice, Rules};
pub use enrolments::{Admission, NewEnrolment, Polled};
pub use events::NewEvent;
pub use history::{Kept, NewHistory, ProvenList};
pub use holds::{NewHold, ResponseLimit};
pub use invitations::{Invitation, NewInvitation, Redeemed};
pub use operators::Operator;
pub use parts::{ListLimits, NewPart, PendingList, Taken};
pub use references::NewReference;
pub use results::{NewResult, Recorded, StoredResult};
pub use standing::{NewOverride, Standing, VerdictRules};
pub use updates::NewUpdate;

use crate::Error;
use crate::config::Database;
use connection::Connection;
use postgres::Postgres;
use sqlite::Sqlite;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// Each entry takes the database from its index to the next version.
const MIGRATIONS: &[&str] = &[
    include_str!("store/schema.sql"),
    include_str!("store/claims.sql"),
    include_str!("store/policies.sql"),
    include_str!("store/ima_history.sql"),
    include_str!("store/authority.sql"),
    include_str!("store/invitations.sql"),
    include_str!("store/holds.sql"),
    include_str!("store/device_logs.sql"),
    include_str!("store/history.sql"),
    include_str!("store/issuer_serial.sql"),
    include_str!("store/ek_public.sql"),
    include_str!("store/checkpoint_logs.sql"),
    include_str!("store/enrolments.sql"),
    include_str!("store/makers.sql"),
    include_str!("store/ima_parts.sql"),
];

/// Calls that may wait for the database; more callers wait in line themselves.
const WAITING: usize = 256;

/// How often a transaction is done that others were in the way of.
const TRIES: u32 = 5;
/// How long to wait after the first of them; twice as long after each further one.
const PAUSE: Duration = Duration::from_millis(10);
/// How often to look for what other programs recorded.
const LOOK: Duration = Duration::from_millis(500);

/// The database, for the thread that owns it.
pub struct Db {
    connection: Connection,
    tenant: String,
    verdict: VerdictRules,
    /// Something was recorded that readers may wait for.
    wrote: bool,
}

impl Db {
    /// Opens or creates the SQLite file and brings its schema up to date.
    pub fn open(path: &Path, tenant: &str) -> Result<Self, Error> {
        Self::prepare(Connection::Sqlite(Sqlite::open(path)?), tenant)
    }

    /// Opens the database that the configuration names, SQLite's at `path`. Not from within a
    /// runtime: connecting waits.
    pub fn of(database: &Database, path: &Path, tenant: &str) -> Result<Self, Error> {
        match database {
            Database::Sqlite => Self::open(path, tenant),
            Database::Postgres(settings) => {
                let postgres = Box::new(Postgres::open(settings)?);
                Self::prepare(Connection::Postgres(postgres), tenant)
            }
        }
    }

    /// A database that is gone when dropped.
    pub fn in_memory(tenant: &str) -> Result<Self, Error> {
        Self::prepare(Connection::Sqlite(Sqlite::in_memory()?), tenant)
    }

    fn prepare(connection: Connection, tenant: &str) -> Result<Self, Error> {
        migrate(&connection, MIGRATIONS)?;
        let verdict = VerdictRules::default();
        Ok(Self { connection, tenant: tenant.to_owned(), verdict, wrote: false })
    }

    /// The same, where certificates follow the verdict by these rules.
    #[must_use]
    pub fn with_verdict_rules(mut self, rules: VerdictRules) -> Self {
        self.verdict = rules;
        self
    }

    /// The same, with no other fleet on the database. A file is guarded by its state directory.
    pub fn alone(self) -> Result<Self, Error> {
        if let Connection::Postgres(postgres) = &self.connection {
            postgres.hold()?;
        }
        Ok(self)
    }

    /// Does `work` in one transaction; again, if others were in its way.
    fn write<T>(&mut self, work: impl Fn(&Write<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.wrote = true;
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.transaction(&work) {
                Err(error) if self.connection.may_do_again() => {
                    tracing::debug!(%error, "the transaction is done again");
                    std::thread::sleep(pause);
                    pause *= 2;
                }
                done => return done,
            }
        }
        self.transaction(&work)
    }

    /// For reading alone.
    fn reader(&self) -> Write<'_> {
        Write { tx: &self.connection, tenant: &self.tenant, verdict: &self.verdict }
    }

    fn transaction<T>(
        &mut self,
        work: impl Fn(&Write<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.connection.begin()?;
        let write = Write { tx: &self.connection, tenant: &self.tenant, verdict: &self.verdict };
        let done = work(&write).and_then(|done| {
            self.connection.commit()?;
            Ok(done)
        });
        if done.is_err() {
            self.connection.rollback();
        }
        done
    }
}

/// A transaction of one tenant.
struct Write<'t> {
    tx: &'t Connection,
    tenant: &'t str,
    verdict: &'t VerdictRules,
}

/// Runs the migrations that the database has not seen, each in a transaction of its own.
fn migrate(connection: &Connection, migrations: &[&str]) -> Result<(), Error> {
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    connection.base()?;
    let found = connection.version()?;
    if found > known {
        return Err(Error::DatabaseNewer { found, known });
    }
    for (version, sql) in (1u32..).zip(migrations).skip(found as usize) {
        connection.begin()?;
        // Another program may have been quicker.
        let done = connection.version().and_then(|found| match found {
            found if found >= version => Ok(()),
            _ => connection.schema(sql).and_then(|()| connection.set_version(version)),
        });
        if let Err(fault) = done.and_then(|()| connection.commit()) {
            connection.rollback();
            return Err(fault.into());
        }
    }
    Ok(())
}

/// Whether a fleet could run on the database: it is there, lets this fleet in, and is of no later version.
/// A file that is not there yet will be made. Nothing is changed.
pub fn look(database: &Database, path: &Path) -> Result<(), Error> {
    let connection = match database {
        Database::Sqlite if !path.exists() => return Ok(()),
        Database::Sqlite => Connection::Sqlite(Sqlite::look(path)?),
        Database::Postgres(settings) => {
            let postgres = Postgres::open(settings)?;
            if !postgres.look()? {
                return Ok(());
            }
            Connection::Postgres(Box::new(postgres))
        }
    };
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    match connection.version()? {
        found if found > known => Err(Error::DatabaseNewer { found, known }),
        _ => Ok(()),
    }
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
        let told = (watch::channel(db.last_event()?), watch::channel(db.last_feed()?));
        let ((told_event, events), (told_feed, feed)) = told;
        let (calls, mut queue) = mpsc::channel::<Call>(WAITING);
        let body = move || {
            let mut looked = Instant::now();
            while let Some(call) = queue.blocking_recv() {
                call(&mut db);
                if !std::mem::take(&mut db.wrote) && looked.elapsed() < LOOK {
                    continue;
                }
                looked = Instant::now();
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

    /// Opens a database and gives it a thread of its own, from within a runtime.
    pub async fn open(
        open: impl FnOnce() -> Result<Db, Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let started = tokio::task::spawn_blocking(|| Self::start(open()?)).await;
        started.map_err(|_| Error::Closed)?
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
