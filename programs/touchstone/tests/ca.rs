//! `touchstone ca`, with requests by OpenSSL and its opinion on what is issued.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use serde_json::Value;
use std::path::Path;
use support::{Ran, run};
use tempfile::TempDir;
use touchstone_peers::{attempt, openssl};

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn ran(dir: &Path, line: &str) -> Ran {
    run(dir, &words(line))
}

/// A folder with a CA in `ca`, and requests `a.csr` and `b.csr`.
fn plant() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let init = ["ca", "init", "ca", "--subject", "CN=Plant 7 CA,O=Acme"];
    run(dir, &init).expect(0);
    for name in ["a", "b"] {
        let line = format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key \
             -subj /CN={name} -addext subjectAltName=DNS:{name}.plant.example -out {name}.csr"
        );
        openssl(dir, &words(&line));
    }
    folder
}

fn issue(dir: &Path, name: &str) -> Value {
    let line = format!(
        "ca issue ca --request {name}.csr --profile server --days 9 --out {name}.pem --json"
    );
    ran(dir, &line).expect(0).json("touchstone.ca.issue/1")["certificate"].clone()
}

fn serial(certificate: &Value) -> String {
    certificate["serial"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_issued_is_believed_until_it_is_revoked() {
    let folder = plant();
    let dir = folder.path();
    issue(dir, "a");
    let b = serial(&issue(dir, "b"));
    ran(dir, "ca crl ca --out full.crl").expect(0);
    ran(dir, &format!("ca revoke ca --serial {b} --reason keyCompromise")).expect(0);
    ran(dir, &format!("ca revoke ca --serial {b}")).expect(1);
    ran(dir, "ca revoke ca --serial 1234").expect(1);
    ran(dir, &format!("ca revoke ca --serial {b} --reason bored")).expect(2);
    ran(dir, "ca crl ca --hours 12 --out full.crl").expect(0);
    let check = |name: &str| {
        let line =
            format!("verify -x509_strict -crl_check -CRLfile full.crl -CAfile ca/ca.pem {name}");
        attempt("openssl", dir, &words(&line)).1
    };
    assert!(check("a.pem").contains("a.pem: OK"), "{}", check("a.pem"));
    assert!(check("b.pem").contains("certificate revoked"), "{}", check("b.pem"));
    let verify = "cert verify a.pem --roots ca/ca.pem --crl full.crl --purpose tls-server";
    ran(dir, verify).expect(0);
}

#[test]
fn what_is_issued_says_where_its_issuer_and_its_lists_are() {
    let folder = plant();
    let dir = folder.path();
    let line = "ca issue ca --request a.csr --profile server --days 9 --out a.pem \
                --crl-url http://ca.example/full.crl --delta-crl-url http://ca.example/delta.crl \
                --issuer-url http://ca.example/ca.cer";
    ran(dir, line).expect(0);
    let text = openssl(dir, &words("x509 -in a.pem -noout -text"));
    let (_, lists) = text.split_once("X509v3 CRL Distribution Points").unwrap();
    assert!(lists.contains("URI:http://ca.example/full.crl"), "{text}");
    let (_, freshest) = text.split_once("X509v3 Freshest CRL").unwrap();
    assert!(freshest.contains("URI:http://ca.example/delta.crl"), "{text}");
    assert!(text.contains("CA Issuers - URI:http://ca.example/ca.cer"), "{text}");
    assert!(text.contains("URI:http://ca.example/full.crl"), "{text}");
    ran(dir, "cert verify a.pem --roots ca/ca.pem --purpose tls-server").expect(0);
}

#[test]
fn each_no_of_the_ca_has_its_code() {
    let folder = plant();
    let dir = folder.path();
    let a = serial(&issue(dir, "a"));
    let code = |line: &str, status: i32| {
        let ran = ran(dir, &format!("{line} --json")).expect(status);
        let said: Value = serde_json::from_str(&ran.out).unwrap();
        said["code"].as_str().unwrap().to_owned()
    };
    let revoke = |more: &str| format!("ca revoke ca --serial {more}");
    assert_eq!(code(&revoke("1234"), 1), "touchstone.ca.not-issued");
    let release = revoke(&format!("{a} --reason removeFromCRL"));
    assert_eq!(code(&release, 1), "touchstone.ca.not-held");
    ran(dir, &revoke(&format!("{a} --reason keyCompromise"))).expect(0);
    assert_eq!(code(&revoke(&a), 1), "touchstone.ca.revoked");
    std::fs::write(dir.join("ca/records.jsonl"), "nonsense\n").unwrap();
    let issue = "ca issue ca --request a.csr --profile server --out c.pem";
    assert!(ran(dir, issue).expect(3).err.contains("touchstone.ca.records"));
    let twice = ran(dir, "ca init ca --subject CN=x").expect(3);
    assert!(twice.err.contains("touchstone.ca.folder"), "{}", twice.err);
}

#[test]
fn a_delta_holds_what_changed_since_the_full_list() {
    let folder = plant();
    let dir = folder.path();
    let (a, b) = (serial(&issue(dir, "a")), serial(&issue(dir, "b")));
    ran(dir, "ca crl ca --delta --out delta.crl").expect(2);
    ran(dir, &format!("ca revoke ca --serial {b} --reason certificateHold")).expect(0);
    ran(dir, "ca crl ca --out full.crl").expect(0);
    ran(dir, &format!("ca revoke ca --serial {b} --reason removeFromCRL")).expect(0);
    ran(dir, &format!("ca revoke ca --serial {a} --reason superseded")).expect(0);
    let said = ran(dir, "ca crl ca --delta --out delta.crl --json").expect(0);
    let said = said.json("touchstone.ca.crl/1");
    assert_eq!(
        (&said["number"], &said["base"], &said["revoked"]),
        (&2.into(), &1.into(), &2.into())
    );
    let verify = |name: &str, lists: &str| {
        ran(dir, &format!("cert verify {name} --roots ca/ca.pem {lists}")).code
    };
    let (full, both) = ("--crl full.crl", "--crl full.crl --crl delta.crl");
    assert_eq!((verify("a.pem", full), verify("b.pem", full)), (0, 1));
    assert_eq!((verify("a.pem", both), verify("b.pem", both)), (1, 0));
}

#[test]
fn old_and_new_believe_each_other_after_a_rollover() {
    let folder = plant();
    let dir = folder.path();
    issue(dir, "a");
    std::fs::copy(dir.join("ca/ca.pem"), dir.join("old-root.pem")).unwrap();
    ran(dir, "ca rollover ca").expect(0);
    issue(dir, "b");
    let old_to_new = "cert verify a.pem --roots ca/ca.pem";
    let new_to_old = "cert verify b.pem --roots old-root.pem";
    ran(dir, old_to_new).expect(1);
    ran(dir, new_to_old).expect(1);
    ran(dir, &format!("{old_to_new} --intermediates ca/old-with-new.pem")).expect(0);
    ran(dir, &format!("{new_to_old} --intermediates ca/new-with-old.pem")).expect(0);
    let line = "verify -CAfile old-root.pem -untrusted ca/new-with-old.pem b.pem";
    assert!(openssl(dir, &words(line)).contains("b.pem: OK"));
    assert_eq!(
        std::fs::read(dir.join("ca/ca-1.pem")).unwrap(),
        std::fs::read(dir.join("old-root.pem")).unwrap()
    );
}

#[test]
fn a_rollover_that_was_cut_off_is_finished() {
    let folder = plant();
    let dir = folder.path();
    let path = |name: &str| dir.join("ca").join(name);
    let old = std::fs::read(path("ca.pem")).unwrap();
    ran(dir, "ca rollover ca").expect(0);
    let new = std::fs::read(path("ca.pem")).unwrap();
    std::fs::write(path("ca-next.pem"), &new).unwrap();
    std::fs::write(path("ca.pem"), &old).unwrap();
    issue(dir, "a");
    assert_eq!(std::fs::read(path("ca.pem")).unwrap(), new);
    std::fs::write(path("ca.pem"), &old).unwrap();
    let issue = "ca issue ca --request a.csr --profile server --out c.pem";
    assert!(ran(dir, issue).expect(3).err.contains("touchstone.ca.key"));
}

#[test]
fn nothing_is_issued_without_a_record_and_a_torn_one_is_none() {
    let folder = plant();
    let dir = folder.path();
    let records = dir.join("ca/records.jsonl");
    let a = serial(&issue(dir, "a"));
    let text = std::fs::read_to_string(&records).unwrap();
    assert!(text.contains(&a) && text.ends_with('\n'), "{text}");
    std::fs::write(&records, format!("{text}{{\"event\":\"issu")).unwrap();
    issue(dir, "b");
    assert_eq!(std::fs::read_to_string(&records).unwrap().lines().count(), 2);
    std::fs::write(&records, "nonsense\n").unwrap();
    let issue = "ca issue ca --request a.csr --profile server --out c.pem";
    assert!(ran(dir, issue).expect(3).err.contains("records.jsonl:1"));
    assert!(!dir.join("c.pem").exists());
}

#[test]
fn a_request_that_does_not_prove_its_key_gets_nothing() {
    let folder = plant();
    let dir = folder.path();
    openssl(dir, &words("req -in a.csr -outform DER -out a.der"));
    let mut der = std::fs::read(dir.join("a.der")).unwrap();
    *der.last_mut().unwrap() ^= 1;
    std::fs::write(dir.join("a.der"), der).unwrap();
    let line = "ca issue ca --request a.der --profile server --out a.pem";
    assert!(ran(dir, line).expect(3).err.contains("certs.refused.signature"));
    ran(dir, "ca issue ca --request a.csr --profile fun --out a.pem").expect(2);
    ran(dir, "ca init ca --subject CN=x").expect(3);
    assert!(!dir.join("a.pem").exists());
}

#[test]
fn openssl_asks_a_responder_that_follows_the_records() {
    let folder = plant();
    let dir = folder.path();
    let a = serial(&issue(dir, "a"));
    let line = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ocsp.key -subj \
                /CN=responder -out ocsp.csr";
    openssl(dir, &words(line));
    ran(dir, "ca issue ca --request ocsp.csr --profile ocsp-signing --out ocsp.pem").expect(0);
    for more in ["", "--responder ocsp.pem --key file:ocsp.key"] {
        let line = format!("ocsp serve ca --listen 127.0.0.1:0 {more}");
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_touchstone"))
            .args(words(&line))
            .current_dir(dir)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let out = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut url).unwrap();
        let ask = |serial: &str| {
            let line = format!(
                "ocsp -issuer ca/ca.pem -serial 0x{serial} -url {} -CAfile ca/ca.pem -no_cert_checks",
                url.trim()
            );
            openssl(dir, &words(&line))
        };
        if more.is_empty() {
            let said = ask(&a);
            assert!(said.contains(": good") && said.contains("Response verify OK"), "{said}");
            ran(dir, &format!("ca revoke ca --serial {a} --reason keyCompromise")).expect(0);
        }
        let said = ask(&a);
        assert!(said.contains(": revoked") && said.contains("keyCompromise"), "{said}");
        assert!(ask("abcdef").contains(": unknown"));
        let line = format!("ocsp query a.pem --issuer ca/ca.pem --url {}", url.trim());
        ran(dir, &line).expect(1);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    ran(dir, "ocsp serve ca --responder a.pem --key file:ocsp.key").expect(3);
}
