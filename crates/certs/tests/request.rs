//! Certificate requests, with `openssl req` on the other side.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use touchstone_certs::request::{Attribute, build};
use touchstone_certs::{AlternativeName, CertificateRequest, Name};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_peers::openssl;

const KINDS: [SignatureAlgorithm; 4] = [
    SignatureAlgorithm::EcdsaP256Sha256,
    SignatureAlgorithm::EcdsaP384Sha384,
    SignatureAlgorithm::RsaPkcs1Sha256,
    SignatureAlgorithm::Ed25519,
];

#[test]
fn openssl_believes_our_requests() {
    let dir = tempfile::tempdir().unwrap();
    for kind in KINDS {
        let key = SoftSigner::generate(kind).unwrap();
        let names = [AlternativeName::Dns("pump.example".into())];
        // challengePassword, as SCEP has it.
        let value = vec![0x0C, 0x02, b'h', b'i'];
        let attribute = Attribute { oid: "1.2.840.113549.1.9.7".into(), value: value.clone() };
        let subject = Name::parse("CN=pump,O=Acme").unwrap();
        let der = build(&subject, &names, &[attribute], &key).unwrap();
        std::fs::write(dir.path().join("request.der"), &der).unwrap();
        let line = "req -in request.der -inform DER -verify -noout -text";
        let said = openssl(dir.path(), &line.split(' ').collect::<Vec<_>>());
        assert!(said.contains("verify OK") && said.contains("DNS:pump.example"), "{said}");

        let request = CertificateRequest::decode(&der).unwrap().verify(&AwsLc).unwrap();
        assert_eq!(request.subject(), &subject);
        assert_eq!(request.alternative_names(), names);
        assert_eq!(request.spki_der(), key.spki_der());
        assert_eq!(request.attribute("1.2.840.113549.1.9.7"), Some(value.as_slice()));
        assert_eq!(request.attribute("1.2.3"), None);
    }
}

#[test]
fn we_believe_the_requests_of_openssl_until_a_bit_flips() {
    let dir = tempfile::tempdir().unwrap();
    for kind in ["ec -pkeyopt ec_paramgen_curve:P-256", "rsa:2048", "ed25519"] {
        let line = format!(
            "req -new -newkey {kind} -nodes -keyout key.pem -subj /O=Acme/CN=pump \
             -addext subjectAltName=URI:urn:x,IP:192.0.2.1 -out request.pem"
        );
        openssl(dir.path(), &line.split_whitespace().collect::<Vec<_>>());
        let pem = std::fs::read(dir.path().join("request.pem")).unwrap();
        let request = CertificateRequest::from_pem(&pem).unwrap().verify(&AwsLc).unwrap();
        assert_eq!(request.subject().to_string(), "CN=pump,O=Acme");
        assert_eq!(request.alternative_names()[0], AlternativeName::Uri("urn:x".into()));
        for index in 0..request.der().len() {
            let mut bad = request.der().to_vec();
            bad[index] ^= 1;
            let seen = CertificateRequest::decode(&bad).and_then(|bad| bad.verify(&AwsLc));
            assert!(seen.is_err(), "{kind} octet {index}");
        }
    }
}
