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
use touchstone_element_tpm2::{Tpm, manufacture};
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
    let spki = swtpm.write("spki.der", &key.spki_der);
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
