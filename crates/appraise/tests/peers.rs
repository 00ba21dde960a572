//! OpenSSL verifies our results, and we open what it signed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use base64ct::{Base64UrlUnpadded, Encoding};
use std::path::Path;
use std::process::{Command, Output};
use touchstone_appraise::ear::{to_cwt, to_jwt};
use touchstone_appraise::references::{Document, Error};
use touchstone_appraise::{Confirmation, DeviceFacts, Ear, References, Verifier, catalog};
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{Name, TrustStore};
use touchstone_cms::{DATA, SignedData};
use touchstone_crypto::{SignatureAlgorithm, Signer, ecdsa};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_policy::Policy;

fn openssl(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("openssl")
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("openssl: {error}; run cargo xtask test, which installs it"))
}

fn ear(signer: &SoftSigner) -> Ear {
    let policy = r#"policy p version 1 schema 1 control c {
        title "t" severity low require boot.secure-boot else configuration warning }"#;
    let verifier = Verifier::new(Policy::parse(policy, &catalog()).unwrap(), References::new());
    let device = DeviceFacts { id: "device-1".into(), ..DeviceFacts::default() };
    let error = touchstone_evidence::Error::NotFresh;
    let appraisal = verifier.appraise_unverified(&error, &device, 1_800_000_000);
    Ear::new(&appraisal, &device, 60)
        .with_nonce(&[7; 32])
        .with_confirmation(Confirmation::of(&AwsLc, signer.spki_der()).unwrap())
}

/// `openssl dgst -verify` of a signature in JOSE's and COSE's form.
fn verifies(signer: &SoftSigner, message: &[u8], fixed: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let write =
        |name: &str, octets: &[u8]| std::fs::write(folder.path().join(name), octets).unwrap();
    write("key.der", signer.spki_der());
    write("message", message);
    write("signature", &ecdsa::fixed_to_der(fixed).unwrap());
    let key = ["pkey", "-pubin", "-inform", "DER", "-in", "key.der", "-out", "key.pem"];
    assert!(openssl(folder.path(), &key).status.success());
    let hash = match signer.algorithm() {
        SignatureAlgorithm::EcdsaP384Sha384 => "-sha384",
        _ => "-sha256",
    };
    let check = ["dgst", hash, "-verify", "key.pem", "-signature", "signature", "message"];
    openssl(folder.path(), &check).status.success()
}

#[test]
fn openssl_verifies_the_signature_of_a_jwt() {
    for algorithm in [SignatureAlgorithm::EcdsaP256Sha256, SignatureAlgorithm::EcdsaP384Sha384] {
        let signer = SoftSigner::generate(algorithm).unwrap();
        let token = to_jwt(&ear(&signer), &signer).unwrap();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = Base64UrlUnpadded::decode_vec(signature).unwrap();
        assert!(verifies(&signer, input.as_bytes(), &signature));
        assert!(!verifies(&signer, &input.as_bytes()[1..], &signature));
    }
}

#[test]
fn openssl_verifies_the_signature_of_a_cwt() {
    let signer = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let token = to_cwt(&ear(&signer), &signer).unwrap();
    // COSE_Sign1 (RFC 9052 §4.2), tag 18, taken apart by hand.
    assert_eq!(token[..2], [0xD2, 0x84]);
    assert_eq!(token[2..6], [0x43, 0xA1, 0x01, 0x26], "protected: alg ES256");
    assert_eq!(token[6], 0xA0, "unprotected: empty");
    assert_eq!(token[7], 0x59, "payload: its length in two octets");
    let len = usize::from(u16::from_be_bytes([token[8], token[9]]));
    let payload = &token[10..10 + len];
    assert_eq!(token[10 + len..12 + len], [0x58, 64], "signature");
    let signature = &token[12 + len..];
    // Sig_structure (RFC 9052 §4.4): ["Signature1", protected, h'', payload].
    let mut input = vec![0x84, 0x6A];
    input.extend(b"Signature1");
    input.extend([0x43, 0xA1, 0x01, 0x26, 0x40]);
    input.extend(&token[7..10 + len]);
    assert!(verifies(&signer, &input, signature));
    assert!(payload.len() > 100);
    input[12] ^= 1;
    assert!(!verifies(&signer, &input, signature));
}

fn publisher(now: u64) -> (touchstone_certs::Certificate, SoftSigner) {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let name = Name::common_name("Publisher").unwrap();
    let certificate =
        Template::new(Kind::CodeSigner, name, now, now + 3600).self_sign(&AwsLc, &key).unwrap();
    (certificate, key)
}

#[test]
fn reference_values_count_only_with_a_trusted_publishers_signature() {
    let now = 1_800_000_000;
    let (certificate, key) = publisher(now);
    let (stranger, strangers_key) = publisher(now);
    let trust = TrustStore::new(vec![certificate.clone()]);
    let mut document = Document::new("acme", "gateway-os", 7);
    document.command_line("quiet").file(&AwsLc, "/data/app/run", b"#!/bin/sh").unwrap();
    let json = document.to_json();
    let sign = |signers: &[(&touchstone_certs::Certificate, &dyn Signer)]| {
        SignedData::sign(&AwsLc, &json, DATA, signers, now).unwrap()
    };

    let envelope = sign(&[(&certificate, &key)]);
    let opened = Document::open(&AwsLc, &envelope, &trust, now + 1).unwrap();
    assert_eq!(*opened, document);
    let mut references = References::new();
    references.merge(&AwsLc, &opened).unwrap();
    assert_eq!(references.newest("gateway-os"), Some(7));

    let refused = |envelope: &[u8], at: u64| -> Error {
        Document::open(&AwsLc, envelope, &trust, at).unwrap_err()
    };
    assert!(matches!(refused(&sign(&[(&stranger, &strangers_key)]), now), Error::Publisher(_)));
    let both = sign(&[(&certificate, &key), (&stranger, &strangers_key)]);
    assert!(matches!(refused(&both, now), Error::Publisher(_)));
    assert!(matches!(refused(&envelope, now + 3601), Error::Publisher(_)));
    let mut flipped = envelope.clone();
    let at = envelope.windows(5).position(|window| window == b"quiet").unwrap();
    flipped[at] ^= 1;
    assert!(matches!(refused(&flipped, now), Error::Envelope(_)));
    assert!(matches!(refused(&json, now), Error::Envelope(_)));

    let mut others = Document::new("globex", "gateway-os", 8);
    others.command_line("quiet");
    let envelope = SignedData::sign(&AwsLc, &others.to_json(), DATA, &[(&certificate, &key)], now);
    let opened = Document::open(&AwsLc, &envelope.unwrap(), &trust, now).unwrap();
    assert_eq!(references.merge(&AwsLc, &opened), Err(Error::Tenant("globex".into())));
}

#[test]
fn a_document_with_a_mistake_says_where() {
    let error =
        Document::from_json(b"{\n \"schema\": \"touchstone.references/1\",\n \"tenat\": 1}")
            .unwrap_err();
    assert_eq!(error.code(), "references.malformed");
    assert!(error.to_string().contains("unknown field `tenat`"), "{error}");
    assert!(error.to_string().contains("line 3"), "{error}");
    let mut other = Document::new("acme", "os", 1);
    other.schema = "touchstone.references/9".into();
    assert!(matches!(Document::from_json(&other.to_json()), Err(Error::Schema(_))));
    let bad = br#"{"schema":"touchstone.references/1","tenant":"a","component":"b","version":1,
        "values":[{"kind":"boot-image","name":"x","digest":"sha256:00"}]}"#;
    let error = Document::from_json(bad).unwrap_err();
    assert!(error.to_string().contains("hexadecimal digits"), "{error}");
}

#[test]
fn openssl_signs_reference_values_that_we_open() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = openssl(folder.path(), arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let mut document = Document::new("acme", "gateway-os", 7);
    document.command_line("quiet");
    std::fs::write(folder.path().join("values.json"), document.to_json()).unwrap();
    run(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "key.pem",
        "-out",
        "publisher.pem",
        "-subj",
        "/CN=Publisher",
        "-addext",
        "extendedKeyUsage=codeSigning",
        "-addext",
        "keyUsage=critical,digitalSignature",
    ]);
    run(&[
        "cms",
        "-sign",
        "-binary",
        "-nodetach",
        "-in",
        "values.json",
        "-signer",
        "publisher.pem",
        "-inkey",
        "key.pem",
        "-outform",
        "DER",
        "-out",
        "values.cms",
        "-md",
        "sha256",
    ]);
    let trust = std::fs::read(folder.path().join("publisher.pem")).unwrap();
    let trust = TrustStore::from_pem(&trust).unwrap();
    let now = trust.certificates()[0].not_before() + 60;
    let envelope = std::fs::read(folder.path().join("values.cms")).unwrap();
    assert_eq!(*Document::open(&AwsLc, &envelope, &trust, now).unwrap(), document);
}
