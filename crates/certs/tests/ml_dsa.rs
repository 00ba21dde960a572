//! ML-DSA (RFC 9881) with OpenSSL 3.5 on the other side: chains, CRLs and status responses, both ways.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

use std::path::Path;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};
use touchstone_certs::crl::{CrlTemplate, Revoked};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::ocsp::{Reason, Request, Responder, Response, Status};
use touchstone_certs::{
    Certificate, Crl, Error, Name, PathInputs, Purpose, Revocation, TrustStore,
};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_peers::OpenSslPq;

static PEER: LazyLock<OpenSslPq> = LazyLock::new(OpenSslPq::new);
const KINDS: [(&str, SignatureAlgorithm); 3] = [
    ("ML-DSA-44", SignatureAlgorithm::MlDsa44),
    ("ML-DSA-65", SignatureAlgorithm::MlDsa65),
    ("ML-DSA-87", SignatureAlgorithm::MlDsa87),
];

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn write(dir: &Path, name: &str, content: impl AsRef<[u8]>) {
    std::fs::write(dir.join(name), content).unwrap();
}

fn read(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).unwrap()
}

fn certificate(dir: &Path, name: &str) -> Certificate {
    Certificate::from_pem(&read(dir, name)).unwrap().pop().unwrap()
}

#[test]
fn openssl_believes_our_chain_our_list_and_our_responses() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (now, hour) = (now(), 3600);
    for (name, algorithm) in KINDS {
        let make = |kind, of: &str| {
            Template::new(kind, Name::common_name(of).unwrap(), now - hour, now + hour)
        };
        let keys = [(); 3].map(|()| SoftSigner::generate(algorithm).unwrap());
        let [root_key, ca_key, leaf_key] = &keys;
        let root = make(Kind::Root, "root").self_sign(&AwsLc, root_key).unwrap();
        let by_root = Issuer::new(&root, root_key).unwrap();
        let ca = make(Kind::Intermediate { path_len: 0 }, "ca");
        let ca = ca.issue(&AwsLc, &by_root, ca_key.spki_der()).unwrap();
        let by_ca = Issuer::new(&ca, ca_key).unwrap();
        let [good, bad] = ["good", "bad"].map(|name| {
            make(Kind::CodeSigner, name).issue(&AwsLc, &by_ca, leaf_key.spki_der()).unwrap()
        });
        for (file, it) in [("root", &root), ("ca", &ca), ("good", &good), ("bad", &bad)] {
            write(dir, file, it.to_pem().unwrap());
        }
        PEER.run(dir, "chain good - ca root");
        let (believed, said) = PEER.attempt(dir, "chain good - root");
        assert!(!believed, "{name} without the CA between: {said}");

        let serial = bad.serial();
        let revoked = vec![Revoked { serial, at: now - 60, reason: Reason::KeyCompromise }];
        let list = CrlTemplate::new(1, now - 60, now + hour).with_revoked(revoked);
        write(dir, "crl", list.sign(&AwsLc, &ca, ca_key).unwrap().der());
        PEER.run(dir, "chain good crl ca root");
        let (believed, said) = PEER.attempt(dir, "chain bad crl ca root");
        assert!(!believed && said.contains("certificate revoked"), "{name}: {said}");

        let responder = Responder::new(&AwsLc, &ca, &ca, ca_key, now).unwrap();
        let revoked = Status::Revoked { at: now - 60, reason: Reason::KeyCompromise };
        for (asked, status, word) in [(&good, Status::Good, "good"), (&bad, revoked, "revoked")] {
            let request = Request::new(&AwsLc, asked, &ca, None).unwrap();
            let octets = responder.respond(&AwsLc, &request, now - 60, now + hour, |_| status);
            write(dir, "response", octets.unwrap());
            write(dir, "asked", asked.to_pem().unwrap());
            assert_eq!(PEER.run(dir, "status response asked ca").trim(), word, "{name}");
        }
    }
}

#[test]
fn we_believe_the_chain_the_list_and_the_responses_of_openssl() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (name, algorithm) in KINDS {
        PEER.run(dir, &format!("certify {name} root root.pem root.key"));
        PEER.run(dir, &format!("certify {name} good good.pem good.key root.pem root.key"));
        PEER.run(dir, &format!("certify {name} bad bad.pem bad.key root.pem root.key"));
        PEER.run(dir, "crl list root.pem root.key bad.pem");
        PEER.run(dir, "respond said-good good good.pem root.pem root.key");
        PEER.run(dir, "respond said-bad revoked bad.pem root.pem root.key");
        let [root, good, bad] = ["root.pem", "good.pem", "bad.pem"].map(|it| certificate(dir, it));
        let crls = [Crl::decode(&read(dir, "list")).unwrap()];
        let responses =
            ["said-good", "said-bad"].map(|it| Response::decode(&read(dir, it)).unwrap());
        let trust = TrustStore::new(vec![root]);
        let by_list = Revocation { crls: &crls, ..Revocation::default() };
        let by_response = Revocation { responses: &responses, ..Revocation::default() };
        for revocation in [by_list, by_response] {
            let inputs = PathInputs::new(now(), Purpose::CodeSigning).with_revocation(revocation);
            let ask = |leaf: &Certificate| {
                let said = trust.validate_with(&AwsLc, leaf, &[], &inputs);
                said.as_ref().map_or_else(Error::code, |_| "valid")
            };
            assert_eq!((ask(&good), ask(&bad)), ("valid", "certs.refused.revoked"), "{name}");
        }

        // Their keys, too: the seed with the key that it expands to (RFC 9881 §6).
        let pem = String::from_utf8(read(dir, "good.key")).unwrap();
        let key = SoftSigner::from_pkcs8_pem(&pem).unwrap();
        assert_eq!((key.algorithm(), key.spki_der()), (algorithm, good.spki_der()));
    }
}
