//! `touchstone cert` and `touchstone ocsp`, with `openssl ocsp` as the responder.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use serde_json::json;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use support::{now, run};
use tempfile::TempDir;
use touchstone_certs::crl::{CrlTemplate, Revoked};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::ocsp::Reason;
use touchstone_certs::{AlternativeName, Certificate, Name};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

/// A folder with `root.pem`, `root.key`, `leaf.pem` (a TLS server, serial 1) and `other.pem` (2).
struct Plant {
    folder: TempDir,
    root: Certificate,
    key: SoftSigner,
}

impl Plant {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let name = Name::parse("CN=Plant CA,O=Acme").unwrap();
        let template = Template::new(Kind::Root, name, now() - 3600, now() + 86_400);
        let root = template.self_sign(&AwsLc, &key).unwrap();
        let plant = Self { folder, root, key };
        plant.write("root.pem", plant.root.to_pem().unwrap().as_bytes());
        plant.write("root.key", plant.key.to_pkcs8_pem().as_bytes());
        for (serial, name) in [(1, "leaf"), (2, "other")] {
            let leaf = plant.issue(Kind::Server, serial, &format!("{name}.plant.example"));
            plant.write(&format!("{name}.pem"), leaf.to_pem().unwrap().as_bytes());
        }
        plant
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path().join(name), content).unwrap();
    }

    fn issue(&self, kind: Kind, serial: u8, host: &str) -> Certificate {
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let subject = Name::common_name(host).unwrap();
        let mut template = Template::new(kind, subject, now() - 60, now() + 3600)
            .with_names(vec![AlternativeName::Dns(host.into())]);
        template.serial = Some(vec![serial]);
        let issuer = Issuer::new(&self.root, &self.key).unwrap();
        template.issue(&AwsLc, &issuer, key.spki_der()).unwrap()
    }
}

#[test]
fn a_certificate_is_shown_from_pem_and_der() {
    let plant = Plant::new();
    let der = plant.issue(Kind::OcspResponder, 9, "ocsp.plant.example");
    plant.write("leaf.der", der.der());
    let shown = run(plant.path(), &["cert", "show", "leaf.der"]).expect(0).out;
    for words in ["CN=ocsp.plant.example", "CN=Plant CA", "DNS:ocsp.plant.example", "ec-p256"] {
        assert!(shown.contains(words), "{shown}");
    }
    let json = run(plant.path(), &["cert", "show", "root.pem", "--json"]).expect(0);
    let root = &json.json("touchstone.cert.show/1")["certificates"][0];
    assert_eq!(root["ca"], true);
    assert_eq!(root["key_usages"], json!(["digitalSignature", "keyCertSign", "cRLSign"]));
    assert_eq!(root["serial"], plant.root.serial());
}

#[test]
fn a_hostile_name_stays_on_its_line() {
    let plant = Plant::new();
    let leaf = plant.issue(Kind::Server, 3, "a\nissuer       CN=Somebody\u{1b}[2J");
    plant.write("hostile.pem", leaf.to_pem().unwrap().as_bytes());
    let shown = run(plant.path(), &["cert", "show", "hostile.pem"]).expect(0).out;
    assert!(!shown.contains("\nissuer       CN=Somebody"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown}");
    assert!(shown.contains("\nissuer       CN=Plant CA"), "{shown}");
}

#[test]
fn what_does_not_parse_is_no_answer() {
    let plant = Plant::new();
    plant.write("bad.der", &[0x30, 0x80, 0, 0]);
    let said = run(plant.path(), &["cert", "show", "bad.der"]).expect(3).err;
    assert!(said.contains("bad.der: the certificate does not parse"), "{said}");
    run(plant.path(), &["cert", "show", "missing.pem"]).expect(3);
    run(plant.path(), &["cert", "verify", "leaf.pem"]).expect(2);
    let purpose = ["cert", "verify", "leaf.pem", "--roots", "root.pem", "--purpose", "fun"];
    run(plant.path(), &purpose).expect(2);
}

#[test]
fn a_certificate_is_judged_and_the_reason_named() {
    let plant = Plant::new();
    let verify = |more: &[&str]| {
        let start = ["cert", "verify", "leaf.pem", "--roots", "root.pem", "--json"];
        run(plant.path(), &[&start[..], more].concat())
    };
    let good = verify(&["--purpose", "tls-server", "--name", "LEAF.plant.example"]).expect(0);
    let issuers = good.json("touchstone.cert.verify/1")["issuers"].clone();
    assert_eq!(issuers[0]["subject"], "CN=Plant CA,O=Acme");
    let cases: [(&[&str], &str); 5] = [
        (&["--purpose", "tls-client"], "certs.refused.purpose"),
        (&["--name", "other.plant.example"], "touchstone.cert.name"),
        (&["--at", "2001-01-01T00:00:00Z"], "certs.refused.not-yet-valid"),
        (&["--at", "2099-01-01T00:00:00Z"], "certs.refused.expired"),
        (&["--policy", "1.3.6.1.4.1.99999.1"], "certs.refused.policy"),
    ];
    for (more, code) in cases {
        let json = verify(more).expect(1).json("touchstone.cert.verify/1");
        assert_eq!(json["reason"]["code"], code, "{more:?}");
        assert!(json["reason"]["subject"].as_str().unwrap().starts_with("CN="));
    }
    let words = run(plant.path(), &["cert", "verify", "leaf.pem", "--roots", "leaf.pem"]).expect(1);
    assert!(words.out.contains("no configured trust anchor"), "{}", words.out);
}

#[test]
fn a_crl_is_asked_for_every_certificate_and_must_be_fresh() {
    let plant = Plant::new();
    let crl = |name: &str, until: u64| {
        let revoked = Revoked { serial: "02".into(), at: now(), reason: Reason::Superseded };
        let template = CrlTemplate::new(1, now() - 600, until).with_revoked(vec![revoked]);
        let crl = template.sign(&AwsLc, &plant.root, &plant.key).unwrap();
        plant.write(name, crl.to_pem().unwrap().as_bytes());
    };
    crl("fresh.crl", now() + 600);
    crl("stale.crl", now() - 60);
    let verify = |leaf: &str, more: &[&str]| {
        let start = ["cert", "verify", leaf, "--roots", "root.pem", "--json", "--crl"];
        run(plant.path(), &[&start[..], more].concat())
    };
    verify("leaf.pem", &["fresh.crl"]).expect(0);
    verify("leaf.pem", &["stale.crl", "--grace", "1h"]).expect(0);
    for (leaf, list, code) in [
        ("other.pem", "fresh.crl", "certs.refused.revoked"),
        ("leaf.pem", "stale.crl", "certs.crl.stale"),
    ] {
        let json = verify(leaf, &[list]).expect(1).json("touchstone.cert.verify/1");
        assert_eq!(json["reason"]["code"], code);
    }
}

/// The process, and what it says: whoever lets go of that ends it.
struct Responder(Child, BufReader<ChildStderr>);

impl Drop for Responder {
    fn drop(&mut self) {
        // It has ended if it cannot be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `openssl ocsp` as a server; `leaf` is good, `other` revoked.
fn responder(plant: &Plant, more: &[&str]) -> (Responder, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let index = "V\t491231235959Z\t\t01\tunknown\t/CN=leaf\n\
                 R\t491231235959Z\t260101000000Z,keyCompromise\t02\tunknown\t/CN=other\n";
    plant.write("index.txt", index.as_bytes());
    let port_text = port.to_string();
    let arguments = ["ocsp", "-index", "index.txt", "-CA", "root.pem", "-rsigner", "root.pem"];
    let key = ["-rkey", "root.key", "-ignore_err", "-port", &port_text, "-nmin", "5"];
    let mut child = Command::new("openssl")
        .args([&arguments[..], &key, more].concat())
        .current_dir(plant.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It takes one client after another, and a look whether it listens would be the first.
    let said = BufReader::new(child.stderr.take().unwrap());
    let mut responder = Responder(child, said);
    let mut line = String::new();
    while !line.contains("waiting for OCSP client connections") {
        line.clear();
        assert!(responder.1.read_line(&mut line).unwrap() > 0, "openssl ocsp ended");
    }
    (responder, format!("http://127.0.0.1:{port}/"))
}

#[test]
fn a_responder_of_openssl_is_asked_and_its_answer_kept() {
    let plant = Plant::new();
    let (_running, url) = responder(&plant, &[]);
    let query = |leaf: &str, more: &[&str]| {
        let start = ["ocsp", "query", leaf, "--issuer", "root.pem", "--url", &url, "--json"];
        run(plant.path(), &[&start[..], more].concat())
    };
    let good = query("leaf.pem", &["--out", "leaf.ocsp"]).expect(0);
    assert_eq!(good.json("touchstone.ocsp.query/1")["status"], "good");
    let bad = query("other.pem", &["--out", "other.ocsp"]).expect(1);
    let bad = bad.json("touchstone.ocsp.query/1");
    assert_eq!((&bad["status"], &bad["reason"]), (&json!("revoked"), &json!("keyCompromise")));
    query("leaf.pem", &["--no-nonce"]).expect(0);

    let verify = |leaf: &str, response: &str| {
        let line = ["cert", "verify", leaf, "--roots", "root.pem", "--ocsp", response, "--json"];
        run(plant.path(), &line)
    };
    verify("leaf.pem", "leaf.ocsp").expect(0);
    let refused = verify("other.pem", "other.ocsp").expect(1).json("touchstone.cert.verify/1");
    assert_eq!(refused["reason"]["code"], "certs.refused.revoked");
    let refused = verify("leaf.pem", "other.ocsp").expect(1).json("touchstone.cert.verify/1");
    assert_eq!(refused["reason"]["code"], "certs.refused.status-undetermined");
}

#[test]
fn a_responder_that_cannot_be_believed_or_reached_is_no_answer() {
    let plant = Plant::new();
    let stranger = Plant::new();
    let (_running, url) = responder(&stranger, &[]);
    let query = |url: &str| {
        let start = ["ocsp", "query", "leaf.pem", "--issuer", "root.pem", "--url", url];
        run(plant.path(), &start)
    };
    let said = query(&url).expect(3).err;
    assert!(said.contains("certs.ocsp."), "{said}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = query(&format!("http://{nobody}/")).expect(3).err;
    assert!(said.contains("touchstone.ocsp.unreachable"), "{said}");
    query("https://127.0.0.1/").expect(2);
    run(plant.path(), &["ocsp", "query", "leaf.pem", "--issuer", "root.pem"]).expect(2);
}
