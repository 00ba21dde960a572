//! EST bodies and attested requests, with other implementations on the other side.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]
#![allow(clippy::disallowed_methods, reason = "openssl speaks through files")]

use proptest::prelude::*;
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{Certificate, Name};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_enroll::est::{self, Operation};
use touchstone_enroll::{AttestedRequest, Error, TpmCertify};
use touchstone_peers::{corpus, openssl};

fn entity(name: &str) -> (Certificate, SoftSigner) {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let template = Template::new(Kind::Device, Name::common_name(name).unwrap(), 0, 60);
    (template.self_sign(&AwsLc, &key).unwrap(), key)
}

#[test]
fn a_request_of_openssl_comes_through_however_its_lines_are_broken() {
    let dir = tempfile::tempdir().unwrap();
    let line = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem \
                -subj /CN=pump -outform DER -out request.der";
    openssl(dir.path(), &line.split_whitespace().collect::<Vec<_>>());
    openssl(dir.path(), &["base64", "-in", "request.der", "-out", "lines.b64"]);
    openssl(dir.path(), &["base64", "-A", "-in", "request.der", "-out", "one.b64"]);
    for body in ["lines.b64", "one.b64"] {
        let body = std::fs::read(dir.path().join(body)).unwrap();
        let request = est::decode_request("application/pkcs10", &body).unwrap();
        assert_eq!(request.verify(&AwsLc).unwrap().subject().to_string(), "CN=pump");
    }
    let der = std::fs::read(dir.path().join("request.der")).unwrap();
    let body = est::encode_request(&der);
    assert!(body.lines().all(|line| line.len() <= 76));
    std::fs::write(dir.path().join("ours.b64"), &body).unwrap();
    openssl(dir.path(), &["base64", "-d", "-in", "ours.b64", "-out", "ours.der"]);
    assert_eq!(std::fs::read(dir.path().join("ours.der")).unwrap(), der);

    let wrong = est::decode_request("application/json", body.as_bytes());
    assert_eq!(wrong, Err(Error::WrongContentType));
    assert_eq!(est::decode_request(est::REQUEST_TYPE, &der), Err(Error::NotBase64));
}

#[test]
fn openssl_reads_the_certificates_of_our_responses() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (entity("one").0, entity("two").0);
    let body = est::encode_certs(&[one.clone(), two.clone()], est::Lines::Short).unwrap();
    std::fs::write(dir.path().join("body"), &body).unwrap();
    openssl(dir.path(), &["base64", "-d", "-in", "body", "-out", "bag.der"]);
    let said = openssl(dir.path(), &["pkcs7", "-inform", "DER", "-in", "bag.der", "-print_certs"]);
    assert_eq!(Certificate::from_pem(said.as_bytes()).unwrap().len(), 2);
    let issued = est::decode_enrolled(est::ENROLLED_TYPE, body.as_bytes(), two.spki_der());
    assert_eq!(issued.unwrap(), two);
    let other = entity("three").0;
    let none = est::decode_enrolled(est::ENROLLED_TYPE, body.as_bytes(), other.spki_der());
    assert_eq!(none.unwrap_err().code(), "certs.refused.key-mismatch");
}

#[test]
fn bodies_captured_from_other_servers_are_read() {
    let Some(dir) = corpus("pki/captured/est") else { return };
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    for server in ["globalsign", "libest"] {
        for name in ["cacerts", "simpleenroll"] {
            let body = read(&format!("{server}-{name}.b64"));
            let certificates = est::decode_certs("application/pkcs7-mime", &body);
            let count = certificates.unwrap_or_else(|error| panic!("{server} {name}: {error}"));
            assert!(!count.is_empty(), "{server} {name}");
        }
    }
    for server in ["globalsign", "libest"] {
        let wanted = read(&format!("{server}-csrattrs.b64"));
        let der = est::decode_attributes(est::CSRATTRS_TYPE, &wanted).unwrap();
        let wanted = est::attributes::Attributes::decode(&der).unwrap();
        assert_eq!(wanted.encode().unwrap(), der, "{server}");
        let boundary =
            if server == "libest" { "est-server-boundary" } else { "estServerKeyGenBoundary" };
        let kind = format!("multipart/mixed; boundary={boundary}");
        let (key, certificates) =
            est::keygen::decode(&kind, &read(&format!("{server}-serverkeygen.mime"))).unwrap();
        let est::Given::Plain(pkcs8) = key else { panic!("{server}") };
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key.der"), &*pkcs8).unwrap();
        let line = "pkey -inform DER -in key.der -pubout -outform DER -out public.der";
        openssl(dir.path(), &line.split(' ').collect::<Vec<_>>());
        let public = std::fs::read(dir.path().join("public.der")).unwrap();
        assert!(certificates.iter().any(|it| it.spki_der() == public), "{server}");
    }
    for name in ["csr.b64", "libest-csr.b64"] {
        let request = est::decode_request(est::REQUEST_TYPE, &read(name)).unwrap();
        request.verify(&AwsLc).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn the_path_says_what_is_asked_for() {
    let ask = Operation::from_path;
    assert_eq!(ask("/.well-known/est/cacerts"), Some((Operation::CaCerts, None)));
    let labelled = ask("/.well-known/est/plant7/simpleenroll");
    assert_eq!(labelled, Some((Operation::SimpleEnroll, Some("plant7"))));
    for operation in Operation::ALL {
        assert_eq!(ask(&operation.path()), Some((operation, None)));
    }
    for path in [
        "/est/cacerts",
        "/.well-known/est//cacerts",
        "/.well-known/est/a/b/cacerts",
        "/.well-known/est/fullcmc/cacerts",
        "",
    ] {
        assert_eq!(ask(path), None, "{path}");
    }
}

fn certify() -> TpmCertify {
    TpmCertify { attest: vec![0xFF, 0x54, 0x43, 0x47], signature: vec![0; 72], public: vec![0; 90] }
}

fn attested() -> (Vec<u8>, Certificate, SoftSigner) {
    let (lak, _) = entity("lak");
    let (_, key) = entity("device");
    let name = Name::common_name("pump").unwrap();
    let lak_chain = std::slice::from_ref(&lak);
    let der = AttestedRequest::build(&name, &[], &certify(), lak_chain, &key).unwrap();
    (der, lak, key)
}

#[test]
fn an_attested_request_carries_what_the_tpm_said() {
    let (der, lak, key) = attested();
    let request = AttestedRequest::decode(&der).unwrap().verify(&AwsLc).unwrap();
    assert_eq!(request.certify(), &certify());
    assert_eq!(request.certificates(), [lak]);
    assert_eq!(request.request().spki_der(), key.spki_der());

    // To anybody else it is a request like others.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("request.der"), &der).unwrap();
    let line = "req -in request.der -inform DER -verify -noout -text";
    let said = openssl(dir.path(), &line.split(' ').collect::<Vec<_>>());
    assert!(said.contains("verify OK"), "{said}");
    assert!(said.contains("1.2.840.113549.1.9.16.2.59"), "{said}");
}

#[test]
fn a_request_without_a_statement_says_so() {
    let (_, key) = entity("device");
    let name = Name::common_name("pump").unwrap();
    let der = touchstone_certs::request::build(&name, &[], &[], &key).unwrap();
    assert_eq!(AttestedRequest::decode(&der), Err(Error::NoAttestation));
}

#[test]
fn the_sample_of_the_draft_is_read() {
    let Some(dir) = corpus("pki/csr-attestation/sampledata") else { return };
    let pem = std::fs::read(dir.join("tcgAttestTpmCertify.pem")).unwrap();
    let request = touchstone_certs::CertificateRequest::from_pem(&pem).unwrap();
    let attested = AttestedRequest::from_request(request).unwrap();
    assert_eq!(attested.certify().attest[..4], [0xFF, 0x54, 0x43, 0x47]);
    assert_eq!(attested.certify().signature.len(), 256);
    assert_eq!(attested.certify().public[..4], [0x00, 0x01, 0x00, 0x0B]);
    assert_eq!(attested.certificates().len(), 2);
    // Its signature is over an earlier text of the draft; openssl does not believe it either.
    assert_eq!(attested.verify(&AwsLc).unwrap_err().code(), "certs.refused.signature");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_changed_attested_request_is_never_verified(
        edits in prop::collection::vec((0..4096_usize, any::<u8>()), 1..4),
    ) {
        static GOOD: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| attested().0);
        let mut der = GOOD.clone();
        for (at, value) in edits {
            let at = at % der.len();
            der[at] = value;
        }
        prop_assume!(der != *GOOD);
        let seen = AttestedRequest::decode(&der).and_then(|seen| seen.verify(&AwsLc));
        prop_assert!(seen.is_err());
    }

    #[test]
    fn any_body_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = est::decode_request(est::REQUEST_TYPE, &body);
        let _ = est::decode_certs(est::CERTS_TYPE, &body);
    }
}
