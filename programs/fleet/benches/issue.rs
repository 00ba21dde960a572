//! What a certificate costs beside its signature: signed raw, issued, issued and recorded by SQLite and
//! by PostgreSQL, each of which flushes its disk for every one.
//! `cargo bench -p touchstone-fleet --bench issue` prints it.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark prints, and fails loudly"
)]

use std::path::Path;
use std::time::Instant;
use touchstone_certs::AlternativeName;
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::SoftSigner;
use touchstone_fleet::authority::{Authority, DEVICE, Issued, common_name};
use touchstone_fleet::config::{self, Database, PostgresSettings};
use touchstone_fleet::state::StateDir;
use touchstone_fleet::store::{Added, Db};
use touchstone_peers::Postgres;

const ROUNDS: u32 = 2000;

fn main() {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let message = [7; 700];
    let raw = rate(ROUNDS, |_| drop(key.sign(&message).unwrap()));

    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let config = config::read("fleet.toml", config::DEFAULT, Path::new("/")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let authority = runtime.block_on(Authority::open(&state, &config)).unwrap();
    let issue = |round: u32| -> Issued {
        let profile = authority.profile(DEVICE).unwrap();
        let name = format!("dev-{round}");
        let names = vec![AlternativeName::Uri(format!("urn:touchstone:device:{name}"))];
        let subject = common_name(&name).unwrap();
        runtime.block_on(authority.issue(profile, subject, names, key.spki_der(), 86400)).unwrap()
    };
    let issued = rate(ROUNDS, |round| drop(issue(round)));

    let recorded = |mut db: Db| {
        rate(ROUNDS, |round| {
            let mut row = issue(round).row(None);
            // Each is for a key of its own, as devices' are.
            row.spki_sha256 = format!("{round:064x}");
            assert_eq!(db.add_requested(&row, None, false, 0, 1).unwrap(), Added::Now);
        })
    };
    let sqlite = recorded(Db::open(&state.database(), "default").unwrap());
    let server = Postgres::start(&[]);
    let url = server.database();
    let settings = PostgresSettings { url, password: None, roots: None, identity: None };
    let database = Database::Postgres(settings);
    let postgres = recorded(Db::of(&database, Path::new("/none"), "default").unwrap());

    println!("on one core, a second:");
    println!("  raw P-256 signatures              {raw:>9.0}");
    for (what, rate) in [
        ("certificates issued", issued),
        ("issued and recorded by SQLite", sqlite),
        ("issued and recorded by PostgreSQL", postgres),
    ] {
        println!("  {what:<33} {rate:>9.0}  {:.2} signatures each", raw / rate);
    }
    // Renewed after 12 to 16 of 24 hours.
    let needed = 1e6 / (14.0 * 3600.0);
    println!(
        "a million devices that renew daily need {needed:.0} a second: 1 in {:.0} of what SQLite \
         records, 1 in {:.0} of what PostgreSQL does",
        sqlite / needed,
        postgres / needed
    );
}

/// How often a second.
fn rate(rounds: u32, mut work: impl FnMut(u32)) -> f64 {
    let began = Instant::now();
    for round in 0..rounds {
        work(round);
    }
    f64::from(rounds) / began.elapsed().as_secs_f64()
}
