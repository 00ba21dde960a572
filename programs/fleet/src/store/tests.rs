//! Schema, transactions and the thread that owns the database.

use super::connection::Connection;
use super::sqlite::Sqlite;
use super::value::params;
use super::*;

on_both! {
    a_new_database_gets_every_migration_and_an_old_one_the_rest
    a_migration_that_fails_leaves_the_database_as_it_was
    what_fails_half_way_leaves_nothing
    numbers_have_no_gaps
}

fn a_new_database_gets_every_migration_and_an_old_one_the_rest(mut db: Db) {
    let later = "CREATE TABLE later (\n x INTEGER\n) STRICT;";
    let steps = [MIGRATIONS, &[later]].concat();
    let event = NewEvent::new(touchstone_audit::Code::ServiceStarted, "fleet", "started");
    db.record_event(7, &event).unwrap();
    migrate(&db.connection, MIGRATIONS).unwrap();
    migrate(&db.connection, &steps).unwrap();
    migrate(&db.connection, &steps).unwrap();
    assert_eq!(db.events_after(0, 9).unwrap().len(), 1, "what was there is kept");
    db.connection.execute("INSERT INTO later VALUES (?1)", [1_u64]).unwrap();
    let refused = Db::prepare(db.connection, "default").map(drop).unwrap_err();
    assert_eq!(refused.code(), "fleet.database.newer");
    assert!(refused.to_string().contains("run the newer program"), "{refused}");
}

fn a_migration_that_fails_leaves_the_database_as_it_was(db: Db) {
    let before = db.connection.version().unwrap();
    let broken =
        "CREATE TABLE b (\n x INTEGER\n) STRICT;\nCREATE TABLE events (\n x INTEGER\n) STRICT;";
    migrate(&db.connection, &[MIGRATIONS, &[broken]].concat()).unwrap_err();
    assert_eq!(db.connection.version().unwrap(), before);
    assert!(db.connection.execute("INSERT INTO b VALUES (?1)", [1_u64]).is_err());
    assert_eq!(Db::prepare(db.connection, "default").unwrap().last_event().unwrap(), 0);
}

fn what_fails_half_way_leaves_nothing(mut db: Db) {
    let event = NewEvent::new(touchstone_audit::Code::ServiceStarted, "fleet", "started");
    let failed = db.write(|write| {
        write.event(1, &event)?;
        Err::<(), _>(Error::Conflict("no".into()))
    });
    assert_eq!(failed.unwrap_err().code(), "fleet.conflict");
    assert_eq!(db.events_after(0, 9).unwrap(), []);
    // A failure that is not told on is one all the same.
    let swallowed = db.write(|write| {
        write.event(1, &event)?;
        drop(write.tx.execute("INSERT INTO cursors (reader) VALUES (?1)", ["x"]));
        Ok(())
    });
    let kept = db.events_after(0, 9).unwrap().len();
    assert_eq!(swallowed.is_ok(), kept == 1, "what is acknowledged is there");
}

fn numbers_have_no_gaps(mut db: Db) {
    let event = NewEvent::new(touchstone_audit::Code::ServiceStarted, "fleet", "started");
    db.record_event(1, &event).unwrap();
    for _ in 0..3 {
        let undone = db.write(|write| {
            write.event(1, &event)?;
            Err::<(), _>(Error::Closed)
        });
        undone.unwrap_err();
    }
    db.record_event(1, &event).unwrap();
    let seqs: Vec<u64> = db.events_after(0, 9).unwrap().iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [1, 2]);
    assert_eq!(db.last_event().unwrap(), 2);
}

/// Certificates of before version 9 stand where they stood, with their order.
fn certificates_are_carried_over(old: Connection) {
    migrate(&old, &MIGRATIONS[..8]).unwrap();
    for serial in ["0C", "0A", "0B"] {
        old.execute(
            "INSERT INTO certificates (serial, tenant, device, kind, subject, spki_sha256, jkt, der,
                                       not_before, not_after, profile, issuer, crl, issued)
             VALUES (?1, 'default', 'dev-1', 'device', 's', ?1, 'j', ?2, 1, 100, 'device', 'ca', 'c', 1)",
            params![serial, serial.as_bytes().to_vec()],
        )
        .unwrap();
    }
    old.execute("UPDATE certificates SET revoked_at = 7 WHERE serial = ?1", ["0A"]).unwrap();
    let mut db = Db::prepare(old, "default").unwrap();
    let found = db.certificates_of("dev-1", 9, 50).unwrap();
    let serials: Vec<&str> = found.iter().map(|row| row.serial.as_str()).collect();
    assert_eq!(serials, ["0B", "0A", "0C"], "newest first");
    assert!(matches!(found[1].status, Status::Revoked { at: 7, .. }));
    assert_eq!(db.revocations("ca").unwrap(), (1, 7));
    let again = super::certificates::tests::ldevid("dev-2", "0A", 10);
    db.add_certificate(&NewCertificate { issuer: "other".into(), ..again.clone() }, 10).unwrap();
    db.add_certificate(&again, 10).unwrap_err();
}

#[test]
fn certificates_of_an_old_file_are_carried_over() {
    certificates_are_carried_over(Connection::Sqlite(Sqlite::in_memory().unwrap()));
}

#[test]
fn certificates_of_an_old_server_are_carried_over() {
    let settings = super::rig::settings(&touchstone_peers::Postgres::shared().database());
    certificates_are_carried_over(Connection::Postgres(Box::new(
        Postgres::open(&settings).unwrap(),
    )));
}

fn raw(db: &Db) -> &rusqlite::Connection {
    let Connection::Sqlite(sqlite) = &db.connection else { panic!("SQLite") };
    sqlite.raw()
}

#[test]
fn a_file_of_the_first_version_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fleet.db");
    let old = Connection::Sqlite(Sqlite::open(&path).unwrap());
    migrate(&old, &MIGRATIONS[..1]).unwrap();
    old.execute(
        "INSERT INTO events (tenant, time, code, severity, subject, message, detail)
         VALUES ('default', ?1, 'a.b', 'info', 's', 'm', '{}')",
        [1_u64],
    )
    .unwrap();
    drop(old);
    let mut db = Db::open(&path, "default").unwrap();
    assert_eq!(db.events_after(0, 9).unwrap().len(), 1);
    db.connection.execute("DELETE FROM claims", params![]).unwrap();
}

#[test]
fn every_table_carries_tenant_and_version() {
    let db = Db::in_memory("default").unwrap();
    let mut tables = raw(&db)
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .unwrap();
    let names: Vec<String> =
        tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(names.len() >= 10);
    for table in names {
        for column in ["tenant", "version"] {
            raw(&db).prepare(&format!("SELECT {column} FROM {table}")).unwrap();
        }
    }
}

#[test]
fn what_is_on_the_disk_is_flushed_before_a_call_returns() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("fleet.db"), "default").unwrap();
    let ask = |pragma: &str| -> String {
        raw(&db)
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
