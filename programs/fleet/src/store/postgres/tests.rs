//! What servers do: refuse, break off, come back.

use super::super::connection::Connection;
use super::super::rig::{open, settings};
use super::super::{Db, NewEvent, TRIES};
use crate::config::PostgresSettings;
use std::time::{Duration, Instant};
use touchstone_audit::Code;
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{AlternativeName, Certificate, Name};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_peers::Postgres;

fn refusal(settings: &PostgresSettings) -> (&'static str, String) {
    let error = open(settings).map(drop).unwrap_err();
    (error.code(), error.to_string())
}

fn event(words: &str) -> NewEvent {
    NewEvent::new(Code::ServiceStarted, "fleet", words)
}

fn asked(db: &Db, sql: &str) -> String {
    let shown = db.connection.query_row(sql, super::super::value::params![], |row| row.get(0));
    shown.unwrap()
}

#[test]
fn who_is_refused_hears_what_to_do() {
    let server = Postgres::start(&["synchronous_commit=off"]);
    let dir = tempfile::tempdir().unwrap();
    let password = |word: &str| {
        let path = dir.path().join(word.len().to_string());
        std::fs::write(&path, format!("{word}\n")).unwrap();
        Some(format!("file:{}", path.display()).parse().unwrap())
    };
    server.psql("postgres", "CREATE ROLE guest LOGIN PASSWORD 'open-sesame'");
    server.psql("postgres", "CREATE DATABASE guests OWNER guest");
    server.psql("postgres", "CREATE DATABASE others");
    server.write("pg_hba.conf", b"local all guest scram-sha-256\nlocal all all trust\n");
    server.psql("postgres", "SELECT pg_reload_conf()");
    let at =
        |database: &str| settings(&server.url(database).replace("user=touchstone", "user=guest"));

    let wrong = PostgresSettings { password: password("wrong-word"), ..at("guests") };
    let (code, words) = refusal(&wrong);
    assert_eq!(code, "fleet.database.refused");
    assert!(words.contains("`[database] password`") && !words.contains("wrong-word"), "{words}");
    let (code, words) = refusal(&at("guests"));
    assert_eq!(code, "fleet.database.refused", "{words}");
    let gone = PostgresSettings { password: "file:/none".parse().ok(), ..at("guests") };
    assert_eq!(refusal(&gone).0, "fleet.file.failed");

    let right = PostgresSettings { password: password("open-sesame"), ..at("guests") };
    let mut db = open(&right).unwrap();
    db.record_event(1, &event("started")).unwrap();
    assert_eq!(asked(&db, "SELECT current_setting('synchronous_commit')"), "on");
    let (code, words) = refusal(&PostgresSettings { url: at("none").url, ..right.clone() });
    assert_eq!(code, "fleet.database.refused");
    assert!(words.contains("createdb"), "{words}");
    let (code, words) = refusal(&PostgresSettings { url: at("others").url, ..right.clone() });
    assert_eq!(code, "fleet.database.refused");
    assert!(words.contains("OWNER TO"), "{words}");

    server.psql("postgres", "ALTER DATABASE guests SET default_transaction_read_only = on");
    let (code, words) = refusal(&right);
    assert_eq!(code, "fleet.database.read-only");
    assert!(words.contains("name the primary"), "{words}");
    assert!(!format!("{right:?}").contains("sesame"));
}

#[test]
fn a_server_that_may_forget_is_refused() {
    let server = Postgres::start(&["fsync=off"]);
    let (code, words) = refusal(&settings(&server.database()));
    assert_eq!(code, "fleet.database.unsafe");
    assert!(words.contains("fsync = off") && words.contains("postgresql.conf"), "{words}");
}

#[test]
fn a_server_that_is_gone_is_told_and_found_again() {
    let mut server = Postgres::start(&[]);
    let settings = settings(&server.database());
    let mut db = open(&settings).unwrap().alone().unwrap();
    db.record_event(1, &event("before")).unwrap();
    server.kill();
    for _ in 0..3 {
        let began = Instant::now();
        let away = db.record_event(2, &event("lost")).unwrap_err();
        assert_eq!(away.code(), "fleet.database.away", "{away}");
        assert!(began.elapsed() < Duration::from_secs(1), "nobody waits for it");
    }
    assert_eq!(db.events_after(0, 9).unwrap_err().code(), "fleet.database.away");
    assert_eq!(refusal(&settings).0, "fleet.database.away");
    server.restart();
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = db.record_event(3, &event("after")) {
        assert!(Instant::now() < deadline, "{error}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let kept = db.events_after(0, 9).unwrap();
    let told: Vec<_> = kept.iter().map(|one| (one.seq, one.message.as_str())).collect();
    assert_eq!(told, [(1, "before"), (2, "after")], "what was acknowledged, and nothing else");
}

#[test]
fn a_transaction_that_is_broken_off_is_done_again() {
    let server = Postgres::shared();
    let settings = settings(&server.database());
    let mut db = open(&settings).unwrap().alone().unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE application_name = 'touchstone-fleet' AND datname = current_database()";
    let name = settings.url.trim_start_matches("postgres:///").split('?').next().unwrap();
    let tries = std::cell::Cell::new(0);
    let done = db.write(|write| {
        write.event(1, &event("once"))?;
        tries.set(tries.get() + 1);
        if tries.get() < 3 {
            server.psql(name, end);
        }
        write.event(1, &event("twice"))
    });
    done.unwrap();
    assert_eq!(tries.get(), 3);
    assert_eq!(db.events_after(0, 9).unwrap().len(), 2);
    // Between transactions nobody notices.
    server.psql(name, end);
    db.record_event(2, &event("thrice")).unwrap();
    server.psql(name, end);
    assert_eq!(db.last_event().unwrap(), 3);
    assert!(open(&settings).unwrap().alone().is_err(), "the lock was taken again");
}

#[test]
fn those_in_each_others_way_try_again_and_not_for_ever() {
    let mut db = open(&settings(&Postgres::shared().database())).unwrap();
    for (code, expected) in [("40001", TRIES), ("40P01", TRIES), ("23514", 1)] {
        let raise = format!("DO 'BEGIN RAISE EXCEPTION USING ERRCODE = ''{code}''; END'");
        let tries = std::cell::Cell::new(0);
        let failed = db.write(|write| {
            tries.set(tries.get() + 1);
            write.event(1, &event("never"))?;
            write.tx.execute(&raise, super::super::value::params![])?;
            Ok(())
        });
        failed.unwrap_err();
        assert_eq!(tries.get(), expected, "{code}");
    }
    assert_eq!(db.events_after(0, 9).unwrap(), []);
}

#[test]
fn a_second_fleet_is_refused_and_other_programs_are_not() {
    let settings = settings(&Postgres::shared().database());
    let first = open(&settings).unwrap().alone().unwrap();
    let refused = open(&settings).unwrap().alone().map(drop).unwrap_err();
    assert_eq!(refused.code(), "fleet.database.taken");
    open(&settings).unwrap().record_event(1, &event("by hand")).unwrap();
    drop(first);
    open(&settings).unwrap().alone().unwrap();
}

#[test]
fn two_writers_never_get_the_same_number() {
    const EACH: u64 = 100;
    let settings = settings(&Postgres::shared().database());
    let work = || -> Vec<u64> {
        let mut db = open(&settings).unwrap();
        (0..EACH).map(|_| db.next_crl_number("ca", "issuing").unwrap()).collect()
    };
    let mut numbers = std::thread::scope(|scope| {
        let (one, two) = (scope.spawn(work), scope.spawn(work));
        [one.join().unwrap(), two.join().unwrap()].concat()
    });
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=2 * EACH).collect::<Vec<_>>());
}

#[test]
fn text_that_no_column_holds_is_kept_as_far_as_it_can_be() {
    let mut db = open(&settings(&Postgres::shared().database())).unwrap();
    db.record_event(1, &event("a\0b")).unwrap();
    assert_eq!(db.events_after(0, 1).unwrap()[0].message, "a\u{FFFD}b");
    let failed = db.connection.execute("DELETE FROM feed WHERE seq = ?1", [u64::MAX]);
    assert!(failed.is_err());
    assert!(matches!(&db.connection, Connection::Postgres(_)));
}

/// A CA, and a certificate by it with its key.
fn party(name: &str, kind: Kind, names: &[&str]) -> (Certificate, Certificate, SoftSigner) {
    let key = || SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let (ca_key, own, now) = (key(), key(), crate::clock::now());
    let template = |kind, name: &str| {
        Template::new(kind, Name::common_name(name).unwrap(), now - 60, now + 3600)
    };
    let ca = template(Kind::Root, "Database CA").self_sign(&AwsLc, &ca_key).unwrap();
    let names: Vec<_> = names.iter().map(|&name| AlternativeName::Dns(name.to_owned())).collect();
    let issuer = Issuer::new(&ca, &ca_key).unwrap();
    let leaf =
        template(kind, name).with_names(names).issue(&AwsLc, &issuer, own.spki_der()).unwrap();
    (ca, leaf, own)
}

#[test]
fn the_server_is_met_by_tls_under_its_name_and_the_fleet_shows_its_certificate() {
    let server = Postgres::start(&["listen_addresses=127.0.0.1"]);
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, pem: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path
    };
    let (ca, certificate, key) = party("localhost", Kind::Server, &["localhost"]);
    let (own_ca, own, own_key) = party(Postgres::USER, Kind::Client, &[]);
    server.psql("postgres", "CREATE DATABASE fleet");
    let url = |host: &str, end: &str| {
        let (user, port) = (Postgres::USER, server.port());
        format!("postgres://{user}@{host}:{port}/fleet?sslmode={end}")
    };
    let roots = Some(write("roots.pem", &ca.to_pem().unwrap()));
    let plain = PostgresSettings { roots: roots.clone(), ..settings(&url("localhost", "require")) };
    let (code, words) = refusal(&plain);
    assert_eq!(code, "fleet.database.refused", "the server has no TLS yet: {words}");

    server.write("server.crt", certificate.to_pem().unwrap().as_bytes());
    server.write("server.key", key.to_pkcs8_pem().as_bytes());
    server.write("clients.crt", own_ca.to_pem().unwrap().as_bytes());
    server.psql("postgres", "ALTER SYSTEM SET ssl_ca_file = 'clients.crt'");
    server.psql("postgres", "ALTER SYSTEM SET ssl = on");
    server.write("pg_hba.conf", b"local all all trust\nhostssl all all 127.0.0.1/32 cert\n");
    server.psql("postgres", "SELECT pg_reload_conf()");
    std::thread::sleep(Duration::from_millis(500));

    let shown = write("own.pem", &own.to_pem().unwrap());
    let secret = write("own.key", &own_key.to_pkcs8_pem());
    let identity = Some((shown, format!("file:{}", secret.display()).parse().unwrap()));
    let whole = PostgresSettings { identity, ..plain.clone() };
    let mut db = open(&whole).unwrap();
    db.record_event(1, &event("over TLS")).unwrap();
    let version = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(asked(&db, version), "TLSv1.3");

    let (code, words) = refusal(&plain);
    assert!(code.starts_with("fleet.database."), "without its certificate: {code} {words}");
    let other = write("other.pem", &own_ca.to_pem().unwrap());
    let (code, words) = refusal(&PostgresSettings { roots: Some(other), ..whole.clone() });
    assert_eq!(code, "fleet.database.refused", "under another root: {words}");
    let elsewhere = PostgresSettings { url: url("127.0.0.1", "require"), ..whole };
    let (code, words) = refusal(&elsewhere);
    assert_eq!(code, "fleet.database.refused", "by another name: {words}");
}
