//! `--check` meets whom the configuration names: a database, another CA.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod support;

use support::{Lab, Party};
use touchstone_certs::issue::Kind;
use touchstone_peers::{BouncyCastle, Postgres};

fn checked(lab: &Lab, config: &str, arguments: &[&str]) -> (Option<i32>, String) {
    std::fs::write(lab.path("other.toml"), config).unwrap();
    let arguments = [&["--config", "other.toml"], arguments].concat();
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_touchstone-fleet"))
        .current_dir(lab.dir.path())
        .args(arguments)
        .output()
        .unwrap();
    (out.status.code(), String::from_utf8(out.stderr).unwrap())
}

#[test]
fn a_check_says_which_database_and_which_ca_do_not_answer_and_changes_nothing() {
    let (peer, mut other) = (BouncyCastle::new(), None);
    let maker = Party::new(Kind::Root, "TPM Maker").certificate.to_pem().unwrap();
    let lab = Lab::configured(&maker, |dir, config| {
        other = Some(peer.authority(dir));
        std::fs::write(dir.join("ra.password"), "open sesame\n").unwrap();
        config.to_owned()
    });
    let mut other = other.unwrap();
    let server = Postgres::start(&[]);
    server.psql("postgres", "CREATE DATABASE fleet");
    let base = std::fs::read_to_string(lab.path("fleet.toml")).unwrap();
    // One that was never started: nothing is made by looking.
    let base = base.replace("state_dir = \"state\"", "state_dir = \"unmade\"");
    let upstream = |url: &str, trust: &str, anchors: &str| {
        format!(
            "[[authority.upstream]]\nname = 'corporate'\nurl = '{url}'\ntrust = ['{trust}']\n\
             anchors = ['{anchors}']\nuser = 'ra'\npassword = 'file:ra.password'\npatience = '5s'\n"
        )
    };
    let database = |url: &str| format!("[database]\nurl = \"{url}\"\n");
    let (there, ca) = (server.url("fleet"), upstream(&other.est, "ca.pem", "ca.pem"));
    let good = format!("{base}{}{ca}", database(&there));
    assert_eq!(checked(&lab, &good, &["--check"]), (Some(0), String::new()));
    assert!(!lab.path("unmade").exists());
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(server.psql("fleet", tables).trim(), "0");

    // Whom the CA does not know.
    std::fs::write(lab.path("other.password"), "close sesame\n").unwrap();
    let unknown = good.replace("file:ra.password", "file:other.password");
    let (status, words) = checked(&lab, &unknown, &["--check"]);
    assert!(status == Some(3) && words.contains("does not know the fleet"), "{words}");

    // Each by itself, and both at once.
    let (missing, wrong) =
        (server.url("fleets"), upstream(&other.est, "endorsement-roots.pem", "ca.pem"));
    let (status, words) =
        checked(&lab, &format!("{base}{}{wrong}", database(&missing)), &["--check"]);
    assert_eq!(status, Some(3), "{words}");
    assert!(words.contains("createdb"), "{words}");
    assert!(words.contains("`corporate` at https://127.0.0.1:"), "{words}");
    let stranger = upstream(&other.est, "ca.pem", "endorsement-roots.pem");
    let (status, words) = checked(&lab, &format!("{base}{stranger}"), &["--check"]);
    assert!(status == Some(3) && words.contains("corporate"), "{words}");
    assert!(words.contains("none of the CA's certificates is the expected one"), "{words}");
    other.kill();
    let (status, words) = checked(&lab, &good, &["--check"]);
    assert!(status == Some(3) && words.contains("is not there"), "{words}");
    assert!(!words.contains("database"), "{words}");
    assert_eq!(checked(&lab, &good, &["--check=files"]).0, Some(0), "files alone");

    // A database of a later program, and one that may not be written.
    server.psql(
        "fleet",
        "CREATE TABLE store_schema (version BIGINT); INSERT INTO store_schema VALUES (999)",
    );
    let (status, words) = checked(&lab, &format!("{base}{}", database(&there)), &["--check"]);
    assert!(status == Some(3) && words.contains("run the newer program"), "{words}");
    let own = base.replace("\"unmade\"", "\"state\"");
    assert_eq!(checked(&lab, &own, &["--check"]).0, Some(0), "beside a fleet that runs");
    std::fs::create_dir(lab.path("broken")).unwrap();
    std::fs::write(lab.path("broken/fleet.db"), "this is no database, and long enough to tell")
        .unwrap();
    let (status, words) = checked(&lab, &base.replace("\"unmade\"", "\"broken\""), &["--check"]);
    assert!(status == Some(3) && words.contains("database"), "{words}");
}
