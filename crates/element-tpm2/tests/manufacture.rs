//! The maker's keys: made, certified, found again, and used.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod open;

use open::Open;
use touchstone_crypto::{Crypto, HashAlgorithm, SignatureAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{
    Attested, Attesting, Credential, Element, Error, KeyAlgorithm, KeySpec, KeyUse, PcrSelection,
    PublicKey,
};
use touchstone_element_tpm2::{MakersCertificates, Tpm, manufacture};
use touchstone_peers::{Swtpm, tool};
use touchstone_tpm2::{credential, name_of, signature};

const P256: KeyAlgorithm = KeyAlgorithm::P256;

fn make_ca(swtpm: &Swtpm) {
    let request =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let names = ["-subj", "/CN=Maker", "-keyout", "ca.key", "-out", "ca.pem", "-days", "30"];
    tool("openssl", swtpm.dir.path(), &[&request[..], &names].concat());
}

/// The maker's CA at work.
fn certify(swtpm: &Swtpm, key: &PublicKey) -> Vec<u8> {
    certify_spki(swtpm, &key.spki_der)
}

fn certify_spki(swtpm: &Swtpm, spki_der: &[u8]) -> Vec<u8> {
    let spki = swtpm.write("spki.der", spki_der);
    let folder = swtpm.dir.path();
    tool(
        "openssl",
        folder,
        &["pkey", "-pubin", "-inform", "DER", "-in", &spki, "-out", "spki.pem"],
    );
    let issue =
        ["x509", "-new", "-subj", "/CN=device 1", "-force_pubkey", "spki.pem", "-days", "30"];
    let by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-outform", "DER", "-out", "device.der"];
    tool("openssl", folder, &[&issue[..], &by].concat());
    swtpm.read("device.der")
}

fn manufactured(swtpm: &Swtpm) -> Tpm {
    make_ca(swtpm);
    let mut tpm = swtpm.open_as("maker");
    manufacture::idevid(&mut tpm, |key| Ok::<_, Error>(certify(swtpm, key))).unwrap();
    manufacture::iak(&mut tpm, |key| Ok::<_, Error>(certify(swtpm, key))).unwrap();
    drop(tpm);
    swtpm.open()
}

fn verify(attested: &Attested, by: &PublicKey) {
    let signature = signature::to_x509(&attested.signature, by.signature().unwrap()).unwrap();
    AwsLc.verify(by.signature().unwrap(), &by.spki_der, &attested.attest, &signature).unwrap();
}

#[test]
fn a_device_finds_the_identity_its_maker_put_in() {
    let swtpm = Swtpm::blank_tcp();
    assert_eq!(swtpm.open().device_identity().unwrap(), None);
    let mut tpm = manufactured(&swtpm);
    let identity = tpm.device_identity().unwrap().unwrap();
    assert_eq!(identity.certificates.len(), 1);
    assert_eq!(tpm.public_key("idevid").unwrap(), Some(identity.public.clone()));
    swtpm.write("found.der", &identity.certificates[0]);
    tool("openssl", swtpm.dir.path(), &["verify", "-CAfile", "ca.pem", "found.der"]);

    let signature = tpm.sign("idevid", SignatureAlgorithm::EcdsaP256Sha256, b"hello").unwrap();
    AwsLc
        .verify(
            SignatureAlgorithm::EcdsaP256Sha256,
            &identity.public.spki_der,
            b"hello",
            &signature,
        )
        .unwrap();
    let iak = tpm.initial_attestation().unwrap().unwrap();
    assert_ne!(iak.public, identity.public);
    assert!(matches!(
        tpm.sign("iak", SignatureAlgorithm::EcdsaP256Sha256, b"hello"),
        Err(Error::WrongKind { .. })
    ));
    drop(tpm);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn the_identity_survives_a_cleared_tpm() {
    let swtpm = Swtpm::blank_tcp();
    let before = manufactured(&swtpm).device_identity().unwrap().unwrap();
    swtpm.tool(&["tpm2_clear", "-c", "p"]);
    assert_eq!(swtpm.open().device_identity().unwrap().unwrap(), before);
}

#[test]
fn the_keys_of_maker_and_owner_certify_each_other() {
    let swtpm = Swtpm::blank_tcp();
    let mut tpm = manufactured(&swtpm);
    let lak = tpm.create_key("lak", &KeySpec::new(KeyUse::Attest, P256)).unwrap();
    tpm.create_key("ldevid", &KeySpec::new(KeyUse::Sign, P256)).unwrap();
    let iak = tpm.initial_attestation().unwrap().unwrap().public;
    // The maker's keys are administered by their policy alone: PolicySecret, PolicyCommandCode,
    // PolicyOR.
    verify(&tpm.certify("idevid", "lak", b"nonce").unwrap(), &lak);
    verify(&tpm.certify("lak", "iak", b"nonce").unwrap(), &iak);
    verify(&tpm.certify("ldevid", "iak", b"nonce").unwrap(), &iak);
    verify(&tpm.certify("iak", "lak", b"nonce").unwrap(), &lak);
    let pcrs = PcrSelection::new(HashAlgorithm::Sha256, &[0]);
    verify(&tpm.quote("iak", &pcrs, b"nonce").unwrap(), &iak);
    drop(tpm);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn a_credential_for_the_iak_opens() {
    let swtpm = Swtpm::blank_tcp();
    let mut tpm = manufactured(&swtpm);
    let iak = tpm.initial_attestation().unwrap().unwrap().public;
    let ek = tpm.endorsement().unwrap().native_public;
    let name = name_of(&AwsLc, &iak.native).unwrap();
    let made = credential::make(&ek, &name, b"secret", &AwsLc).unwrap();
    let credential = Credential { blob: made.blob, secret: made.secret };
    assert_eq!(tpm.activate("iak", &credential).unwrap().expose(), b"secret");
    drop(tpm);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn a_maker_without_a_certificate_makes_nothing() {
    let swtpm = Swtpm::blank_tcp();
    let mut tpm = swtpm.open();
    for bad in [&b""[..], b"noise", &[0x30, 0x82, 0x10, 0]] {
        let made = manufacture::idevid(&mut tpm, |_| Ok::<_, Error>(bad.to_vec()));
        assert!(made.is_err(), "{bad:?}");
    }
    let long = [&[0x30, 0x82, 0x10, 0][..], &[0; 4096]].concat();
    let made = manufacture::idevid(&mut tpm, |_| Ok::<_, Error>(long));
    assert!(matches!(made, Err(Error::TooLarge { .. })));
    assert_eq!(tpm.device_identity().unwrap(), None);
}

/// tpm2-tools make other keys than the TCG's templates do: two of them differ by their attributes alone.
const IAK: (&str, &str) = ("0x81020001", "|restricted");
const IDEVID: (&str, &str) = ("0x81020000", "");

#[test]
fn keys_that_tpm2_tools_made_are_found_by_their_certificates() {
    let swtpm = Swtpm::blank_tcp();
    make_ca(&swtpm);
    for ((handle, more), index) in [(IDEVID, "0x1C90000"), (IAK, "0x1C90008")] {
        let spki = swtpm.makers_key(handle, more);
        swtpm.keep_certificate(index, &certify_spki(&swtpm, &spki));
    }
    let mut tpm = swtpm.open();
    let lak = tpm.create_key("lak", &KeySpec::new(KeyUse::Attest, P256)).unwrap();
    let iak = tpm.initial_attestation().unwrap().unwrap().public;
    let identity = tpm.device_identity().unwrap().unwrap().public;
    assert_eq!((iak.key_use, identity.key_use), (KeyUse::Attest, KeyUse::Sign));
    verify(&tpm.certify("lak", "iak", b"nonce").unwrap(), &iak);
    verify(&tpm.certify("idevid", "lak", b"nonce").unwrap(), &lak);
    let signature = tpm.sign("idevid", SignatureAlgorithm::EcdsaP256Sha256, b"hello").unwrap();
    let by = identity.signature().unwrap();
    AwsLc.verify(by, &identity.spki_der, b"hello", &signature).unwrap();
    drop(tpm);
    swtpm.assert_nothing_is_loaded();
    let kept = String::from_utf8(swtpm.tool(&["tpm2_getcap", "handles-persistent"])).unwrap();
    assert_eq!(kept.matches("0x8102000").count(), 2, "{kept}");
}

#[test]
fn certificates_may_stand_in_files_and_take_the_place_of_those_in_the_tpm() {
    let swtpm = Swtpm::blank_tcp();
    make_ca(&swtpm);
    let spki = swtpm.makers_key(IAK.0, IAK.1);
    let iak = vec![certify_spki(&swtpm, &spki)];
    assert_eq!(swtpm.open().initial_attestation().unwrap(), None);
    let given = MakersCertificates { iak: iak.clone(), ..MakersCertificates::default() };
    let mut tpm = swtpm.open().with_makers_certificates(given);
    let found = tpm.initial_attestation().unwrap().unwrap();
    assert_eq!((found.public.spki_der, found.certificates), (spki, iak));
    assert_eq!(tpm.device_identity().unwrap(), None);
}

#[test]
fn a_certificate_for_a_key_that_is_not_here_is_no_identity() {
    let swtpm = Swtpm::blank_tcp();
    make_ca(&swtpm);
    // Of a device whose key has gone, or of another one.
    let spki = swtpm.makers_key(IAK.0, IAK.1);
    swtpm.keep_certificate("0x1C90008", &certify_spki(&swtpm, &spki));
    swtpm.tool(&["tpm2_evictcontrol", "-Q", "-C", "o", "-c", IAK.0]);
    let error = swtpm.open().initial_attestation().unwrap_err();
    assert_eq!(error.code(), "element.certificate.another");
    assert!(error.to_string().contains("certificate of the `iak`"), "{error}");
    swtpm.keep_certificate("0x1C90008", &[0x30, 0x03, 2, 1, 1]);
    assert_eq!(swtpm.open().initial_attestation().unwrap_err().code(), "element.answer.malformed");
}
