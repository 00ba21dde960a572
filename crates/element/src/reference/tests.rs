//! References: what parses prints the same, and what does not is named.

use super::*;
use crate::{Error, KeyAlgorithm, KeyUse, PublicKey};
use proptest::prelude::*;
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

fn parsed(text: &str) -> Reference {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> (usize, ReferenceFault) {
    let error = text.parse::<Reference>().expect_err(text);
    (error.at, error.fault)
}

#[test]
fn a_reference_names_the_element_and_the_key() {
    for (text, kind, name) in [
        ("element:tpm/ldevid", Kind::Tpm, "ldevid"),
        ("element:software/lak-2", Kind::Software, "lak-2"),
        ("element:pkcs11/ldevid", Kind::Pkcs11, "ldevid"),
    ] {
        let reference = parsed(text);
        assert_eq!((reference.kind(), reference.name()), (kind, Some(name)));
        assert_eq!(reference.pkcs11_uri(), None);
        assert_eq!(reference.to_string(), text);
    }
}

#[test]
fn a_pkcs11_uri_is_kept_as_it_is_with_or_without_the_scheme_in_front() {
    // RFC 7512 §3.
    let uri = "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.\
               ;model=1.0;object=my-certificate;type=cert;id=%69%95?pin-source=file:/etc/token_pin";
    for text in [uri.to_owned(), format!("element:{uri}")] {
        let reference = parsed(&text);
        assert_eq!((reference.kind(), reference.name()), (Kind::Pkcs11, None));
        assert_eq!(reference.pkcs11_uri(), Some(uri));
        assert_eq!(reference.to_string(), uri);
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    use ReferenceFault as Fault;
    for (text, at, fault) in [
        ("", 0, Fault::Scheme),
        ("/etc/key.pem", 0, Fault::Scheme),
        ("Element:tpm/a", 0, Fault::Scheme),
        ("element:", 8, Fault::NoName),
        ("element:tpm", 11, Fault::NoName),
        ("element:tpm2/ldevid", 8, Fault::Kind),
        ("element:tpm/", 12, Fault::Name),
        ("element:tpm/LDevID", 12, Fault::Name),
        ("element:tpm/../x", 12, Fault::Name),
        ("element:software/a\n", 17, Fault::Name),
        ("pkcs11:", 7, Fault::NoName),
        ("element:pkcs11:", 15, Fault::NoName),
        ("pkcs11:token", 7, Fault::Attribute),
        ("pkcs11:token=a;=b", 15, Fault::Attribute),
        ("pkcs11:token=a;", 15, Fault::Attribute),
        ("pkcs11:token=a%2", 14, Fault::Percent),
        ("pkcs11:token=%zz", 13, Fault::Percent),
        ("pkcs11:token=a b", 14, Fault::Character),
        ("pkcs11:token=ä", 13, Fault::Character),
        ("pkcs11:token=a/b", 14, Fault::Character),
        ("pkcs11:token=a?pin-value=1234", 15, Fault::PinValue),
        ("element:pkcs11:token=a?pin-value=1234", 23, Fault::PinValue),
    ] {
        assert_eq!(refused(text), (at, fault), "{text}");
    }
    let long = format!("pkcs11:token={}", "a".repeat(MAX_REFERENCE_LEN));
    assert_eq!(refused(&long).1, Fault::TooLong);
}

#[test]
fn a_pin_is_in_no_error() {
    let error = "pkcs11:token=a?pin-value=1234".parse::<Reference>().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("1234"));
    assert_eq!(error.code(), "element.reference.pin-value");
}

fn key() -> PublicKey {
    let signer = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    PublicKey {
        key_use: KeyUse::Sign,
        algorithm: KeyAlgorithm::P256,
        spki_der: signer.spki_der().to_vec(),
        native: Vec::new(),
    }
}

#[test]
fn a_file_notices_another_key_under_the_same_name() {
    let (ours, other) = (key(), key());
    let made = KeyReference::to_key(parsed("element:tpm/ldevid"), &ours, &AwsLc);
    let pem = made.to_pem().unwrap();
    assert!(pem.starts_with("-----BEGIN TOUCHSTONE KEY REFERENCE-----\n"), "{pem}");
    let read = KeyReference::from_pem(&pem).unwrap();
    assert_eq!(read, made);
    read.check(&ours, &AwsLc).unwrap();
    match read.check(&other, &AwsLc) {
        Err(Error::AnotherKey(name)) => assert_eq!(name, "element:tpm/ldevid"),
        wrong => panic!("{wrong:?}"),
    }
    let symmetric = PublicKey { spki_der: Vec::new(), ..ours };
    assert!(read.check(&symmetric, &AwsLc).is_err());
    let made = KeyReference::to_key(parsed("element:tpm/mac"), &symmetric, &AwsLc);
    let read = KeyReference::from_pem(&made.to_pem().unwrap()).unwrap();
    read.check(&symmetric, &AwsLc).unwrap();
    assert!(read.check(&other, &AwsLc).is_err());
}

#[test]
fn a_file_that_is_none_or_of_another_version_is_refused() {
    let block = |label: &str, der: &[u8]| {
        spki::der::pem::encode_string(label, spki::der::pem::LineEnding::LF, der).unwrap()
    };
    let read = |text: &str| KeyReference::from_pem(text).unwrap_err().fault;
    let version_2 = [0x30, 0x05, 0x02, 0x01, 0x02, 0x05, 0x00];
    let no_digest = [&[0x30, 0x14, 0x02, 0x01, 0x01, 0x0c, 0x0f], &b"element:tpm/key"[..]].concat();
    assert_eq!(read(""), ReferenceFault::Pem);
    assert_eq!(read("element:tpm/key"), ReferenceFault::Pem);
    assert_eq!(read(&block("PRIVATE KEY", &version_2)), ReferenceFault::Pem);
    assert_eq!(read(&block(PEM_LABEL, &version_2)), ReferenceFault::Version);
    assert_eq!(read(&block(PEM_LABEL, &[0x30, 0x00])), ReferenceFault::Der);
    assert_eq!(read(&"x".repeat(20_000)), ReferenceFault::TooLong);
    let good = KeyReference::from_pem(&block(PEM_LABEL, &no_digest)).unwrap();
    assert_eq!(good.reference, parsed("element:tpm/key"));
    let trailing = [&no_digest[..], &[0]].concat();
    assert_eq!(read(&block(PEM_LABEL, &trailing)), ReferenceFault::Der);
    let mut short_digest = no_digest;
    short_digest[1] += 3;
    short_digest.extend([0x04, 0x01, 0x00]);
    assert_eq!(read(&block(PEM_LABEL, &short_digest)), ReferenceFault::Der);
}

proptest! {
    #[test]
    fn what_parses_prints_the_same_and_survives_a_file(
        text in "(element:(tpm|software|pkcs11)/[a-z0-9_-]{1,64})|(pkcs11:[a-z]{1,8}=[a-zA-Z0-9.%20]{0,9}(;id=(%[0-9a-f]{2}){1,8})?(\\?module-name=[a-z0-9]{1,8})?)",
        digest in proptest::option::of(any::<[u8; 32]>()),
    ) {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string(), text);
            let made = KeyReference { reference, spki_sha256: digest };
            prop_assert_eq!(KeyReference::from_pem(&made.to_pem().unwrap()), Ok(made));
        }
    }

    #[test]
    fn noise_never_panics(text in ".{0,80}", tail in "\\PC{0,60}") {
        let _ = text.parse::<Reference>();
        let _ = format!("element:{tail}").parse::<Reference>();
        let _ = format!("pkcs11:{tail}").parse::<Reference>();
        let _ = KeyReference::from_pem(&text);
    }
}
