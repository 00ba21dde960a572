//! OCSP against the `openssl ocsp` command, both ways, over real HTTP.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::ocsp::{self, Reason, Request, Responder, Response, Status, Trouble};
use touchstone_certs::{Certificate, Error, Name, Refusal};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_peers::{attempt, corpus, openssl};

struct Ca {
    certificate: Certificate,
    key: SoftSigner,
    now: u64,
}

impl Ca {
    fn new() -> Self {
        // openssl looks at the clock, so these tests must.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP384Sha384).unwrap();
        let name = Name::parse("CN=Plant CA,O=Acme").unwrap();
        let template = Template::new(Kind::Root, name, now - 60, now + 86_400);
        Self { certificate: template.self_sign(&AwsLc, &key).unwrap(), key, now }
    }

    fn issue(&self, kind: Kind, serial: u8) -> (Certificate, SoftSigner) {
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let name = Name::common_name(&format!("leaf {serial}")).unwrap();
        let mut template = Template::new(kind, name, self.now - 60, self.now + 3600);
        template.serial = Some(vec![0x9A, serial]);
        let issuer = Issuer::new(&self.certificate, &self.key).unwrap();
        (template.issue(&AwsLc, &issuer, key.spki_der()).unwrap(), key)
    }

    fn responder<'a>(&'a self, delegate: Option<&'a (Certificate, SoftSigner)>) -> Responder<'a> {
        let (certificate, key): (_, &dyn Signer) = match delegate {
            Some((certificate, key)) => (certificate, key),
            None => (&self.certificate, &self.key),
        };
        Responder::new(&AwsLc, &self.certificate, certificate, key, self.now).unwrap()
    }

    fn answer(&self, responder: &Responder<'_>, request: &Request) -> Vec<u8> {
        let (now, next) = (self.now, self.now + 600);
        responder.respond(&AwsLc, request, now, next, |serial| status(serial, now)).unwrap()
    }
}

/// 9a01 is good, 9a02 revoked, the others unknown.
fn status(serial: &str, now: u64) -> Status {
    match serial {
        "9a01" => Status::Good,
        "9a02" => Status::Revoked { at: now - 30, reason: Reason::PrivilegeWithdrawn },
        _ => Status::Unknown,
    }
}

/// Answers one POST on a port of its own; gives the address.
fn serve(answer: impl FnOnce(&[u8]) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ocsp", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let (mut seen, mut buf) = (Vec::new(), [0; 4096]);
        let body = loop {
            let n = peer.read(&mut buf).unwrap();
            seen.extend_from_slice(&buf[..n]);
            let Some(head) = seen.windows(4).position(|window| window == b"\r\n\r\n") else {
                continue;
            };
            let text = String::from_utf8_lossy(&seen[..head]).to_lowercase();
            assert!(text.contains(ocsp::REQUEST_TYPE), "{text}");
            let len = text.split("content-length:").nth(1).unwrap().split("\r\n").next().unwrap();
            let len: usize = len.trim().parse().unwrap();
            if seen.len() >= head + 4 + len {
                break seen[head + 4..head + 4 + len].to_vec();
            }
        };
        let body = answer(&body);
        let kind = ocsp::RESPONSE_TYPE;
        let head = format!(
            "HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        peer.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    });
    url
}

fn ask_with_openssl(ca: &Ca, leaf: &Certificate, delegated: bool, extra: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), ca.certificate.to_pem().unwrap()).unwrap();
    std::fs::write(dir.path().join("leaf.pem"), leaf.to_pem().unwrap()).unwrap();
    let (root, now) = (ca.certificate.clone(), ca.now);
    let key = SoftSigner::from_pkcs8_pem(&ca.key.to_pkcs8_pem()).unwrap();
    let delegate = delegated.then(|| ca.issue(Kind::OcspResponder, 9));
    let url = serve(move |body| {
        let ca = Ca { certificate: root, key, now };
        let request = Request::decode(body).unwrap();
        ca.answer(&ca.responder(delegate.as_ref()), &request)
    });
    let args = ["-issuer", "ca.pem", "-cert", "leaf.pem", "-CAfile", "ca.pem", "-url", &url];
    openssl(dir.path(), &[&["ocsp"], extra, &args[..]].concat())
}

#[test]
fn openssl_is_content_with_good_revoked_and_unknown() {
    let ca = Ca::new();
    for delegated in [false, true] {
        for (serial, words) in
            [(1, "leaf.pem: good"), (2, "leaf.pem: revoked"), (3, "leaf.pem: unknown")]
        {
            let (leaf, _) = ca.issue(Kind::Device, serial);
            let said = ask_with_openssl(&ca, &leaf, delegated, &[]);
            assert!(said.contains("Response verify OK"), "{delegated} {said}");
            assert!(said.contains(words), "{said}");
            // It sends a nonce unless told not to, and warns if none comes back.
            assert!(!said.contains("WARNING"), "{said}");
        }
    }
    let (leaf, _) = ca.issue(Kind::Device, 2);
    let said = ask_with_openssl(&ca, &leaf, false, &["-no_nonce", "-sha256"]);
    assert!(said.contains("Response verify OK") && said.contains("revoked"), "{said}");
    assert!(said.contains("Reason: "), "{said}");
}

#[test]
fn we_are_content_with_what_openssl_answers() {
    let ca = Ca::new();
    let (leaf, _) = ca.issue(Kind::Device, 1);
    let (delegate, delegate_key) = ca.issue(Kind::OcspResponder, 9);
    let dir = tempfile::tempdir().unwrap();
    let write =
        |name: &str, content: &[u8]| std::fs::write(dir.path().join(name), content).unwrap();
    write("ca.pem", ca.certificate.to_pem().unwrap().as_bytes());
    write("ocsp.pem", delegate.to_pem().unwrap().as_bytes());
    write("ocsp.key", delegate_key.to_pkcs8_pem().as_bytes());
    write(
        "index.txt",
        b"R\t491231235959Z\t260101000000Z,keyCompromise\t9A01\tunknown\t/CN=leaf 1\n",
    );
    let request = Request::new(&AwsLc, &leaf, &ca.certificate, Some(&[7; 32])).unwrap();
    write("request.der", &request.encode().unwrap());
    let line = "ocsp -index index.txt -CA ca.pem -rsigner ocsp.pem -rkey ocsp.key -reqin request.der \
                -respout response.der -nmin 5";
    openssl(dir.path(), &line.split_whitespace().collect::<Vec<_>>());
    let der = std::fs::read(dir.path().join("response.der")).unwrap();
    let response = Response::decode(&der).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let checked = response.verify(&AwsLc, &leaf, &ca.certificate, Some(&[7; 32]), now).unwrap();
    let at = 1_767_225_600;
    assert_eq!(checked.status, Status::Revoked { at, reason: Reason::KeyCompromise });
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> Refusal {
    match result.unwrap_err() {
        Error::Refused { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

#[test]
fn a_response_counts_for_its_certificate_its_nonce_and_its_time_only() {
    let ca = Ca::new();
    let (leaf, _) = ca.issue(Kind::Device, 1);
    let (other, _) = ca.issue(Kind::Device, 2);
    let request = Request::new(&AwsLc, &leaf, &ca.certificate, Some(b"nonce")).unwrap();
    let request = Request::decode(&request.encode().unwrap()).unwrap();
    assert_eq!(request.ids()[0].serial(), leaf.serial());
    let response = Response::decode(&ca.answer(&ca.responder(None), &request)).unwrap();
    let verify = |leaf: &Certificate, nonce: Option<&[u8]>, at: u64| {
        response.verify(&AwsLc, leaf, &ca.certificate, nonce, at)
    };
    assert_eq!(verify(&leaf, Some(b"nonce"), ca.now).unwrap().status, Status::Good);
    assert_eq!(refusal(verify(&other, None, ca.now)), Refusal::WrongCertificate);
    assert_eq!(refusal(verify(&leaf, Some(b"other"), ca.now)), Refusal::NonceMismatch);
    assert_eq!(refusal(verify(&leaf, None, ca.now + 601)), Refusal::Stale);
    assert_eq!(refusal(verify(&leaf, None, ca.now - 301)), Refusal::FutureUpdate);
}

#[test]
fn a_stranger_or_a_device_cannot_answer_for_the_ca() {
    let ca = Ca::new();
    let (leaf, leaf_key) = ca.issue(Kind::Device, 1);
    let made = Responder::new(&AwsLc, &ca.certificate, &leaf, &leaf_key, ca.now);
    assert_eq!(refusal(made.map(|_| ())), Refusal::WrongPurpose);

    // A CA of the same name with another key: its answer is about "unknown" certificates, and is
    // not believed.
    let other = Ca::new();
    let request = Request::new(&AwsLc, &leaf, &ca.certificate, None).unwrap();
    let response = Response::decode(&other.answer(&other.responder(None), &request)).unwrap();
    let asked = response.verify(&AwsLc, &leaf, &ca.certificate, None, ca.now);
    assert_eq!(refusal(asked), Refusal::UnauthorizedResponder);
}

#[test]
fn a_flipped_bit_is_seen_wherever_it_is() {
    let ca = Ca::new();
    let (leaf, _) = ca.issue(Kind::Device, 1);
    let delegate = ca.issue(Kind::OcspResponder, 9);
    let request = Request::new(&AwsLc, &leaf, &ca.certificate, Some(&[1; 32])).unwrap();
    let good = ca.answer(&ca.responder(Some(&delegate)), &request);
    for index in 0..good.len() {
        let mut bad = good.clone();
        bad[index] ^= 0x10;
        let seen = Response::decode(&bad).and_then(|response| {
            response.verify(&AwsLc, &leaf, &ca.certificate, Some(&[1; 32]), ca.now)
        });
        assert!(seen.is_err(), "octet {index}");
    }
}

#[test]
fn a_request_comes_by_get_too() {
    let ca = Ca::new();
    let (leaf, _) = ca.issue(Kind::Device, 1);
    let request = Request::new(&AwsLc, &leaf, &ca.certificate, None).unwrap();
    let text = base64(&request.encode().unwrap());
    let path = text.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D");
    assert_eq!(Request::from_path(&path).unwrap(), request);
    assert_eq!(Request::from_path(&format!("/{text}")).unwrap(), request);
    for bad in ["", "%", "%2", "%zz", "AAAA", "\u{e9}"] {
        assert!(Request::from_path(bad).is_err(), "{bad:?}");
    }
}

fn base64(der: &[u8]) -> String {
    use base64ct::Encoding;
    base64ct::Base64::encode_string(der)
}

#[test]
fn trouble_is_said_in_a_way_that_openssl_reads() {
    let dir = tempfile::tempdir().unwrap();
    for (trouble, words) in [
        (Trouble::MalformedRequest, "malformedrequest"),
        (Trouble::InternalError, "internalerror"),
        (Trouble::TryLater, "trylater"),
        (Trouble::Unauthorized, "unauthorized"),
    ] {
        let der = ocsp::error_response(trouble);
        std::fs::write(dir.path().join("response.der"), &der).unwrap();
        let (_, said) =
            attempt("openssl", dir.path(), &["ocsp", "-respin", "response.der", "-noverify"]);
        assert!(said.contains(words), "{said}");
        assert_eq!(refusal(Response::decode(&der)), Refusal::ResponderFailed);
    }
}

#[test]
fn responses_captured_elsewhere_decode() {
    let Some(dir) = corpus("pki/captured/ocsp") else { return };
    for name in ["openssl-stapled.der", "openssl30-3certs-nonce.resp.der"] {
        let der = std::fs::read(Path::new(&dir).join(name)).unwrap();
        Response::decode(&der).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
