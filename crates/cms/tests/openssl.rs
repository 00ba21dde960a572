//! Envelopes with the `openssl cms` command on the other side, and those that others have made.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::path::Path;
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{Certificate, Name};
use touchstone_cms::{DATA, Error, Refusal, SignedData, certs_only, read_certs_only};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_peers::{corpus, openssl};

const NOW: u64 = 1_800_000_000;
const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;
/// Without Ed25519, which the openssl of Debian 12 does not know in CMS.
const KINDS: [SignatureAlgorithm; 3] =
    [P256, SignatureAlgorithm::EcdsaP384Sha384, SignatureAlgorithm::RsaPkcs1Sha256];

fn signer(kind: SignatureAlgorithm, name: &str) -> (Certificate, SoftSigner) {
    let key = SoftSigner::generate(kind).unwrap();
    let name = Name::parse(&format!("CN={name},O=Acme")).unwrap();
    let template = Template::new(Kind::CodeSigner, name, NOW - 1_000_000_000, NOW + 86_400);
    (template.self_sign(&AwsLc, &key).unwrap(), key)
}

fn write(dir: &Path, name: &str, content: &[u8]) {
    std::fs::write(dir.join(name), content).unwrap();
}

#[test]
fn openssl_believes_two_signers_of_ours_and_gives_the_content() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for kind in KINDS {
        let (publisher, publisher_key) = signer(P256, "Publisher");
        let (operator, operator_key) = signer(kind, "Operator");
        let first = [(&publisher, &publisher_key as &dyn Signer)];
        let der = SignedData::sign(&AwsLc, b"content", DATA, &first, NOW).unwrap();
        let der = SignedData::add_signer(&AwsLc, &der, (&operator, &operator_key), NOW).unwrap();
        write(dir, "envelope.der", &der);
        let roots = [publisher.to_pem().unwrap(), operator.to_pem().unwrap()].concat();
        write(dir, "roots.pem", roots.as_bytes());
        let line = "cms -verify -binary -inform DER -in envelope.der -CAfile roots.pem -purpose any \
                    -partial_chain -no_check_time -out content -signer signers.pem";
        let said = openssl(dir, &line.split_whitespace().collect::<Vec<_>>());
        assert!(said.to_lowercase().contains("verification successful"), "{said}");
        assert_eq!(std::fs::read(dir.join("content")).unwrap(), b"content");
        let signers = Certificate::from_pem(&std::fs::read(dir.join("signers.pem")).unwrap());
        assert_eq!(signers.unwrap().len(), 2);

        let signed = SignedData::decode(&der).unwrap().verify(&AwsLc).unwrap();
        assert_eq!((signed.content(), signed.content_type()), (&b"content"[..], DATA));
        let by: Vec<_> = signed.signers().iter().map(|by| by.certificate.subject()).collect();
        assert!(by.contains(&"CN=Publisher,O=Acme") && by.contains(&"CN=Operator,O=Acme"));
        assert!(signed.signers().iter().all(|by| by.signing_time == Some(NOW)));
    }
}

#[test]
fn we_believe_two_signers_of_openssl_until_a_bit_flips() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "content", b"content");
    for (n, kind) in KINDS.into_iter().enumerate() {
        let (certificate, key) = signer(kind, &format!("s{n}"));
        write(dir, &format!("{n}.pem"), certificate.to_pem().unwrap().as_bytes());
        write(dir, &format!("{n}.key"), key.to_pkcs8_pem().as_bytes());
    }
    for (second, extra) in
        [(1, ""), (2, "-keyid"), (2, "-keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:32")]
    {
        let line = format!(
            "cms -sign -binary -nodetach -outform DER -in content -out envelope.der \
             -signer 0.pem -inkey 0.key -signer {second}.pem -inkey {second}.key {extra}"
        );
        openssl(dir, &line.split_whitespace().collect::<Vec<_>>());
        let der = std::fs::read(dir.join("envelope.der")).unwrap();
        let verified = SignedData::decode(&der).unwrap().verify(&AwsLc);
        let signed = verified.unwrap_or_else(|error| panic!("{extra}: {error}"));
        assert_eq!(signed.content(), b"content");
        assert_eq!(signed.signers().len(), 2);
        for index in 0..der.len() {
            let mut bad = der.clone();
            bad[index] ^= 1;
            let Ok(seen) = SignedData::decode(&bad).and_then(|seen| seen.verify(&AwsLc)) else {
                continue;
            };
            // What nobody signs (a version number, an unused list) may change. What was signed may
            // not; and a changed certificate no longer has its issuer's signature.
            assert_eq!(seen.content(), signed.content(), "octet {index}");
            assert_eq!(seen.signers().len(), 2);
            for by in seen.signers() {
                let known = signed.signers().iter().any(|known| known == by);
                let broken = by.certificate.verify_signature(&AwsLc, by.certificate.spki_der());
                assert!(known || broken.is_err(), "octet {index}");
            }
        }
    }
}

#[test]
fn detached_content_is_given_beside_the_envelope() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (certificate, key) = signer(P256, "s");
    write(dir, "content", b"content");
    write(dir, "s.pem", certificate.to_pem().unwrap().as_bytes());
    write(dir, "s.key", key.to_pkcs8_pem().as_bytes());
    let line =
        "cms -sign -binary -outform DER -in content -out envelope.der -signer s.pem -inkey s.key";
    openssl(dir, &line.split(' ').collect::<Vec<_>>());
    let der = std::fs::read(dir.join("envelope.der")).unwrap();
    let decoded = SignedData::decode(&der).unwrap();
    assert_eq!(decoded.unverified_content(), None);
    assert_eq!(refusal(decoded.clone().verify(&AwsLc)), Refusal::NoContent);
    assert!(decoded.clone().verify_detached(&AwsLc, b"content".to_vec()).is_ok());
    let other = decoded.verify_detached(&AwsLc, b"other".to_vec());
    assert_eq!(refusal(other), Refusal::DigestMismatch);
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> Refusal {
    match result.unwrap_err() {
        Error::Refused(refusal) => refusal,
        other => panic!("{other}"),
    }
}

#[test]
fn an_ed25519_signer_digests_with_sha512() {
    let (certificate, key) = signer(SignatureAlgorithm::Ed25519, "s");
    let der = SignedData::sign(&AwsLc, b"x", DATA, &[(&certificate, &key)], NOW).unwrap();
    let signed = SignedData::decode(&der).unwrap().verify(&AwsLc).unwrap();
    assert_eq!(signed.signers()[0].certificate, certificate);
    // RFC 8419 §3.1; id-sha512 without parameters.
    let sha512 = [0x30, 0x0B, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];
    assert!(der.windows(sha512.len()).any(|window| window == sha512));
}

#[test]
fn nobody_signs_twice_or_with_another_key() {
    let (certificate, key) = signer(P256, "s");
    let (_, other) = signer(P256, "s");
    let der = SignedData::sign(&AwsLc, b"x", DATA, &[(&certificate, &key)], NOW).unwrap();
    let twice = SignedData::add_signer(&AwsLc, &der, (&certificate, &key), NOW);
    assert_eq!(refusal(twice), Refusal::SignedTwice);
    let wrong = SignedData::sign(&AwsLc, b"x", DATA, &[(&certificate, &other)], NOW);
    assert_eq!(refusal(wrong), Refusal::KeyMismatch);
    let nobody = SignedData::sign(&AwsLc, b"x", DATA, &[], NOW).unwrap();
    assert_eq!(refusal(SignedData::decode(&nobody).unwrap().verify(&AwsLc)), Refusal::NoSigner);
    let bag = certs_only(&[certificate]).unwrap();
    assert_eq!(refusal(SignedData::decode(&bag).unwrap().verify(&AwsLc)), Refusal::NoContent);
}

#[test]
fn a_bag_of_certificates_goes_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let certificates: Vec<_> = KINDS.into_iter().map(|kind| signer(kind, "s").0).collect();
    write(dir, "bag.der", &certs_only(&certificates).unwrap());
    let said = openssl(dir, &["pkcs7", "-inform", "DER", "-in", "bag.der", "-print_certs"]);
    assert_eq!(Certificate::from_pem(said.as_bytes()).unwrap().len(), 3);

    write(dir, "all.pem", said.as_bytes());
    let line = "crl2pkcs7 -nocrl -certfile all.pem -outform DER -out theirs.der";
    openssl(dir, &line.split(' ').collect::<Vec<_>>());
    let read = read_certs_only(&std::fs::read(dir.join("theirs.der")).unwrap()).unwrap();
    assert_eq!(read.len(), 3);
    assert!(certificates.iter().all(|certificate| read.contains(certificate)));
}

#[test]
fn envelopes_captured_elsewhere_are_believed_or_refused_with_the_reason() {
    let Some(dir) = corpus("pki/captured/cms") else { return };
    let content = std::fs::read(dir.join("content.bin")).unwrap();
    let ask = |name: &str| {
        let decoded = SignedData::decode(&std::fs::read(dir.join(name)).unwrap())?;
        match decoded.unverified_content() {
            Some(_) => decoded.verify(&AwsLc),
            None => decoded.verify_detached(&AwsLc, content.clone()),
        }
    };
    for (name, wanted) in [
        ("ossl36-2signers-detached.der", "accepted"),
        ("ossl36-attached-ber-indef.der", "accepted"),
        ("ossl36-ed25519.der", "accepted"),
        ("ossl36-rsapss.der", "accepted"),
        // A P-256 key with SHA-384.
        ("ossl36-skid-sha384.der", "cms.refused.algorithm"),
        ("ossl36-noattr.der", "cms.refused.no-signed-attributes"),
        ("ossl36-authenveloped-gcm.der", "cms.malformed.other-type"),
        ("ossl36-pwri.der", "cms.malformed.other-type"),
        ("bc186-Ed25519-countersigned.der", "accepted"),
        ("bc186-ML-DSA-44-countersigned.der", "accepted"),
        ("bc186-ML-DSA-65-countersigned.der", "accepted"),
        ("bc186-ML-DSA-87-countersigned.der", "accepted"),
        // Signature algorithms that are not accepted.
        ("bc186-LMS-countersigned.der", "cms.refused.algorithm"),
        ("bc186-SLH-DSA-SHA2-128S-countersigned.der", "cms.refused.algorithm"),
    ] {
        let said = ask(name);
        let code = said.as_ref().err().map_or("accepted", Error::code);
        assert_eq!(code, wanted, "{name}");
        if let Ok(signed) = said {
            let counter = signed.signers().iter().all(|by| by.countersigned.len() == 1);
            assert_eq!(counter, name.starts_with("bc186"), "{name}");
        }
    }
}
