//! `touchstone scep`, with a CA on the library's server part behind HTTP.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use support::{Ran, folder, now, run};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{Certificate, Name};
use touchstone_crypto::SignatureAlgorithm;
use touchstone_crypto_awslc::{AwsLc, SoftDecrypter, SoftSigner};
use touchstone_enroll::scep::{
    Asked, Body, Error, FailInfo, Operation, Reply, Replying, answer_to, encode_ca_certificates,
    read_request,
};
use touchstone_peers::{BouncyCastle, openssl};

struct Ca {
    certificate: Certificate,
    key: SoftSigner,
    /// What it says it can do.
    said: &'static str,
    issued: Vec<Certificate>,
}

impl Ca {
    fn answer(&mut self, asked: &Asked) -> Reply {
        let request = match &asked.body {
            Body::Enrol(request) if asked.challenge().as_deref() == Some("open sesame") => request,
            Body::Renew(request) if self.issued.contains(&asked.certificate) => request,
            _ => {
                let text = Some("nobody let you in".to_owned());
                return Reply::Failed { info: FailInfo::BadRequest, text };
            }
        };
        let mut template = template(Kind::Client);
        template.subject = request.subject().clone();
        let issuer = Issuer::new(&self.certificate, &self.key).unwrap();
        let certificate = template.issue(&AwsLc, &issuer, request.spki_der()).unwrap();
        self.issued.push(certificate.clone());
        // Shorter than the certificate, so that a bag has it first.
        let short = SoftSigner::generate(SignatureAlgorithm::Ed25519).unwrap();
        let other = self::template(Kind::Root).self_sign(&AwsLc, &short).unwrap();
        Reply::Issued { certificate, others: vec![other] }
    }

    /// What is sent back for a message that was posted.
    fn respond(&mut self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let opens = SoftDecrypter::from_pkcs8_der(self.key.pkcs8_der()).unwrap();
        let asked = read_request(&AwsLc, message, &self.certificate, &opens)?;
        let reply = self.answer(&asked);
        let by = Replying { certificate: &self.certificate, key: &self.key };
        answer_to(&AwsLc, &asked, &reply, &by, now())
    }
}

fn template(kind: Kind) -> Template {
    Template::new(kind, Name::common_name("ca").unwrap(), now() - 60, now() + 86_400)
}

/// A CA on a thread of its own; its address.
fn ca(said: &'static str) -> String {
    let key = SoftSigner::generate(SignatureAlgorithm::RsaPkcs1Sha256).unwrap();
    let certificate = template(Kind::Root).self_sign(&AwsLc, &key).unwrap();
    let mut ca = Ca { certificate, key, said, issued: Vec::new() };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/scep", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(&mut stream.unwrap(), &mut ca);
        }
    });
    url
}

fn serve(stream: &mut TcpStream, ca: &mut Ca) {
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut line, mut len) = (String::new(), String::new(), 0);
    lines.read_line(&mut first).unwrap();
    while line != "\r\n" {
        line.clear();
        lines.read_line(&mut line).unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; len];
    lines.read_exact(&mut body).unwrap();
    let name = first.split("operation=").nth(1).unwrap().split(['&', ' ']).next().unwrap();
    let (mut status, mut kind) = ("200 OK", "application/x-pki-message");
    let out = match Operation::from_name(name) {
        Some(Operation::GetCaCaps) => {
            if ca.said.is_empty() {
                status = "404 Not Found";
            }
            ca.said.as_bytes().to_vec()
        }
        Some(Operation::GetCaCert) => {
            encode_ca_certificates(std::slice::from_ref(&ca.certificate)).unwrap().0
        }
        _ => ca.respond(&body).unwrap_or_else(|error| {
            (status, kind) = ("400 Bad Request", "text/plain");
            error.to_string().into_bytes()
        }),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        out.len()
    )
    .unwrap();
    stream.write_all(&out).unwrap();
}

#[test]
fn bouncy_castle_s_ca_certifies_renews_and_tells_of_revocation_and_of_the_ca_to_come() {
    let here =
        folder(&[("challenge", "open sesame\n"), ("wait", "wait\n"), ("wrong", "close sesame\n")]);
    let here = here.path();
    for name in ["first", "next"] {
        let key = SoftSigner::generate(SignatureAlgorithm::RsaPkcs1Sha256).unwrap();
        std::fs::write(here.join(format!("{name}.key")), key.to_pkcs8_pem().as_bytes()).unwrap();
    }
    let ca = BouncyCastle::new().authority(here);
    let at = format!("--url {} --ca ca.pem", ca.scep);
    touchstone(here, &format!("scep caps --url {}", ca.scep)).expect(0);
    let ran = touchstone(here, &format!("scep cacert --url {} --out shown.pem", ca.scep)).expect(0);
    assert!(ran.out.starts_with("CN=Elsewhere CA  sha256:"), "{}", ran.out);
    let enroll =
        format!("--json scep enroll {at} --subject CN=pump-3 --key file:first.key --out pump.pem");
    let json = touchstone(here, &format!("{enroll} --challenge file:wrong")).expect(1);
    assert_eq!(json.json("touchstone.scep.enroll/1")["fail_info"], "badRequest");
    // Somebody decides while it waits: CertPoll.
    let ran = touchstone(here, &format!("{enroll} --challenge file:wait --wait 3")).expect(3);
    assert!(ran.err.contains("nobody has decided within 3 s"), "{}", ran.err);
    touchstone(here, &format!("{enroll} --challenge file:wait --wait 30")).expect(0);
    let ran = touchstone(here, &format!("{enroll} --challenge file:challenge")).expect(0);
    let json = ran.json("touchstone.scep.enroll/1");
    assert_eq!(json["certificate"]["subject"], "CN=pump-3");
    openssl(here, &["verify", "-CAfile", "ca.pem", "pump.pem"]);
    let shown = "--cert pump.pem --key file:first.key";
    touchstone(
        here,
        &format!("scep renew {at} {shown} --new-key file:next.key --out next.pem.new"),
    )
    .expect(0);
    let ran = touchstone(here, &format!("--json scep crl {at} {shown} --out ca.crl")).expect(0);
    assert_eq!(ran.json("touchstone.scep.crl/1")["number"], "01");
    let said = openssl(here, &["crl", "-in", "ca.crl", "-CAfile", "ca.pem", "-noout", "-issuer"]);
    assert!(said.contains("verify OK"), "{said}");
    let serial = openssl(here, &["x509", "-in", "pump.pem", "-noout", "-serial"]);
    let serial = serial.trim().trim_start_matches("serial=");
    touchstone(here, &format!("scep cert {at} {shown} --serial {serial} --out again.pem"))
        .expect(0);
    let both = ["pump.pem", "again.pem"]
        .map(|name| openssl(here, &["x509", "-in", name, "-noout", "-fingerprint", "-sha256"]));
    assert_eq!(both[0], both[1]);
    let ran = touchstone(here, &format!("--json scep cert {at} {shown} --serial 01 --out x.pem"))
        .expect(1);
    ran.json("touchstone.scep.cert/1");
    let next = format!("--json scep next-cacert --url {} --out to-come.pem", ca.scep);
    let ran = touchstone(here, &format!("{next} --ca ca.pem")).expect(0);
    let json = ran.json("touchstone.scep.next-cacert/1");
    assert_eq!(json["certificates"][0]["subject"], "CN=Elsewhere CA 2");
    let ran = touchstone(here, &format!("{next} --ca next.pem")).expect(1);
    assert_eq!(ran.json("touchstone.scep.next-cacert/1")["code"], "scep.refused.not-the-ca");
}

fn touchstone(here: &Path, line: &str) -> Ran {
    run(here, &line.split_whitespace().collect::<Vec<_>>())
}

#[test]
fn a_device_is_enrolled_and_renewed() {
    let here = folder(&[("challenge", "open sesame\n"), ("wrong", "close sesame\n")]);
    let here = here.path();
    for name in ["first", "next"] {
        let key = SoftSigner::generate(SignatureAlgorithm::RsaPkcs1Sha256).unwrap();
        std::fs::write(here.join(format!("{name}.key")), key.to_pkcs8_pem().as_bytes()).unwrap();
    }
    let url = ca("AES\nSHA-256\nPOSTPKIOperation\nRenewal\n");
    touchstone(here, &format!("scep caps --url {url}")).expect(0);
    let ran = touchstone(here, &format!("scep cacert --url {url} --out ca.pem")).expect(0);
    assert!(ran.out.starts_with("CN=ca  sha256:") && ran.err.contains("nobody has signed this"));
    let enroll = format!("--json scep enroll --url {url} --ca ca.pem --subject CN=pump-3 --key");
    let line = format!("{enroll} file:first.key --challenge file:wrong --out pump.pem");
    let json = touchstone(here, &line).expect(1).json("touchstone.scep.enroll/1");
    assert_eq!(
        (&json["fail_info"], &json["reason"]),
        (&"badRequest".into(), &"nobody let you in".into())
    );
    assert!(!here.join("pump.pem").exists());
    let line = format!("{enroll} file:first.key --challenge file:challenge --out pump.pem");
    let json = touchstone(here, &line).expect(0).json("touchstone.scep.enroll/1");
    assert_eq!(json["certificate"]["subject"], "CN=pump-3");
    let renew = "--cert pump.pem --key file:first.key --new-key file:next.key --out next.pem";
    touchstone(here, &format!("scep renew --url {url} --ca ca.pem {renew}")).expect(0);
    assert!(here.join("next.pem").exists());
    // Another CA's certificate: its reply is not believed.
    let other = ca("AES\nSHA-256\n");
    touchstone(here, &format!("scep cacert --url {other} --out other.pem")).expect(0);
    let line = format!("scep renew --url {url} --ca other.pem {renew}");
    let ran = touchstone(here, &format!("--json {line}")).expect(1);
    assert_eq!(ran.json("touchstone.scep.renew/1")["code"], "scep.status");
}

#[test]
fn a_ca_that_is_weak_or_away_is_told() {
    let here = folder(&[]);
    let url = ca("DES3\nSHA-1\n");
    let json = touchstone(here.path(), &format!("--json scep caps --url {url}")).expect(1);
    assert_eq!(json.json("touchstone.scep.caps/1")["code"], "scep.refused.weak-ca");
    let ran = touchstone(here.path(), "scep caps --url http://127.0.0.1:1/scep").expect(3);
    assert!(ran.err.contains("touchstone.scep.unreachable"), "{}", ran.err);
    touchstone(here.path(), "scep caps --url https://127.0.0.1/scep").expect(2);
    let nobody = ca("");
    let ran = touchstone(here.path(), &format!("scep caps --url {nobody}")).expect(3);
    assert!(ran.err.contains("touchstone.scep.status"), "{}", ran.err);
}
