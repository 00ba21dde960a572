//! Keys, random octets and small storage, on a software TPM.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod open;

use open::Open;
use std::sync::{Arc, Mutex};
use touchstone_crypto::{Crypto, HashAlgorithm, SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{
    Ability, Element, Error, KeyAlgorithm, KeySpec, KeyUse, PcrSelection, Registers, Storage,
};
use touchstone_element_tpm2::{Tpm, TpmSigner};
use touchstone_peers::Swtpm;

const P256: KeyAlgorithm = KeyAlgorithm::P256;
const SIGNATURE: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

#[test]
fn what_a_tpm_key_signs_verifies_under_its_public_key() {
    let swtpm = Swtpm::blank();
    let mut tpm = swtpm.open();
    let mut keys = tpm.capabilities().unwrap().keys;
    keys.retain(|(_, uses)| uses.contains(&KeyUse::Sign));
    assert!(keys.len() >= 5, "{keys:?}");
    for (kind, _) in keys {
        let name = kind.name();
        let key = tpm.create_key(name, &KeySpec::new(KeyUse::Sign, kind)).unwrap();
        assert_eq!((key.algorithm, key.key_use), (kind, KeyUse::Sign));
        let algorithm = key.signature().unwrap();
        let signature = tpm.sign(name, algorithm, b"a message").unwrap();
        AwsLc.verify(algorithm, &key.spki_der, b"a message", &signature).unwrap();
        assert!(AwsLc.verify(algorithm, &key.spki_der, b"another", &signature).is_err());
    }
}

#[test]
fn a_key_is_there_again_after_a_restart() {
    let swtpm = Swtpm::blank();
    let key = swtpm.open().create_key("ldevid", &KeySpec::new(KeyUse::Sign, P256)).unwrap();
    let mut tpm = swtpm.open();
    assert_eq!(tpm.public_key("ldevid").unwrap(), Some(key.clone()));
    let signature = tpm.sign("ldevid", SIGNATURE, b"again").unwrap();
    AwsLc.verify(SIGNATURE, &key.spki_der, b"again", &signature).unwrap();

    assert!(matches!(
        tpm.create_key("ldevid", &KeySpec::new(KeyUse::Sign, P256)),
        Err(Error::KeyExists(_))
    ));
    let next = tpm.create_key("ldevid-next", &KeySpec::new(KeyUse::Sign, P256)).unwrap();
    tpm.rename_key("ldevid-next", "ldevid").unwrap();
    assert_eq!(tpm.public_key("ldevid").unwrap(), Some(next));
    tpm.delete_key("ldevid").unwrap();
    assert_eq!(tpm.public_key("ldevid").unwrap(), None);
    assert!(matches!(tpm.sign("ldevid", SIGNATURE, b""), Err(Error::UnknownKey(_))));
}

#[test]
fn a_key_of_another_tpm_is_refused_with_the_reason() {
    let (here, there) = (Swtpm::blank(), Swtpm::blank());
    here.open().create_key("ldevid", &KeySpec::new(KeyUse::Sign, P256)).unwrap();
    let file = here.read("state/keys/ldevid.key");
    let mut tpm = there.open();
    there.write("state/keys/ldevid.key", &file);
    assert!(matches!(tpm.sign("ldevid", SIGNATURE, b""), Err(Error::Foreign)));
}

#[test]
fn an_attestation_key_signs_no_message() {
    let swtpm = Swtpm::blank();
    let mut tpm = swtpm.open();
    tpm.create_key("lak", &KeySpec::new(KeyUse::Attest, P256)).unwrap();
    assert!(matches!(tpm.sign("lak", SIGNATURE, b"message"), Err(Error::WrongKind { .. })));
    tpm.create_key("ldevid", &KeySpec::new(KeyUse::Sign, P256)).unwrap();
    assert!(tpm.sign("ldevid", SIGNATURE, b"message").is_ok());
}

#[test]
fn names_of_the_maker_and_paths_are_no_names_for_a_key() {
    let swtpm = Swtpm::blank();
    let mut tpm = swtpm.open();
    for name in ["idevid", "iak"] {
        assert!(matches!(
            tpm.create_key(name, &KeySpec::new(KeyUse::Sign, P256)),
            Err(Error::BadInput(_))
        ));
        assert!(matches!(tpm.sign(name, SIGNATURE, b""), Err(Error::UnknownKey(_))), "{name}");
        assert_eq!(tpm.public_key(name).unwrap(), None);
    }
    assert!(matches!(
        tpm.create_key("../x", &KeySpec::new(KeyUse::Sign, P256)),
        Err(Error::BadName)
    ));
}

#[test]
fn a_signer_shares_the_tpm_with_others() {
    let swtpm = Swtpm::blank();
    let mut tpm = swtpm.open();
    tpm.create_key("ldevid", &KeySpec::new(KeyUse::Sign, P256)).unwrap();
    let shared = Arc::new(Mutex::new(tpm));
    let signer = TpmSigner::new(Arc::clone(&shared), "ldevid").unwrap();
    let signature = signer.sign(b"request").unwrap();
    shared.lock().unwrap().random(&mut [0; 4]).unwrap();
    AwsLc.verify(signer.algorithm(), signer.spki_der(), b"request", &signature).unwrap();
    assert!(matches!(TpmSigner::new(shared, "missing"), Err(Error::UnknownKey(_))));
}

#[test]
fn the_tpm_says_what_it_is_and_can() {
    let swtpm = Swtpm::blank();
    let mut tpm = swtpm.open();
    let about = tpm.about().unwrap();
    assert_eq!((about.kind, about.manufacturer.as_str()), ("tpm2", "IBM"));
    assert_eq!(about.firmware.split('.').count(), 4, "{}", about.firmware);
    let can = tpm.capabilities().unwrap();
    assert!(can.storage >= 128);
    assert!(can.creates(KeyUse::Attest, P256) && can.signatures.contains(&SIGNATURE));
    let abilities = tpm.abilities();
    assert!(abilities.contains(&Ability::Attest) && !abilities.contains(&Ability::Certificates));
    assert!(can.pcr_banks.contains(&HashAlgorithm::Sha256));
}

#[test]
fn random_octets_differ() {
    let swtpm = Swtpm::blank();
    let mut tpm = swtpm.open();
    let (mut first, mut second) = ([0; 70], [0; 70]);
    tpm.random(&mut first).unwrap();
    tpm.random(&mut second).unwrap();
    assert_ne!(first, second);
    assert_ne!(first[64..], [0; 6]);
}

#[test]
fn a_stored_value_survives_a_rolled_back_disk() {
    let swtpm = Swtpm::blank();
    let mut tpm = swtpm.open();
    assert_eq!(tpm.load("updates").unwrap(), None);
    tpm.store("updates", b"7").unwrap();
    drop(tpm);
    std::fs::remove_dir_all(swtpm.dir.path().join("state")).unwrap();
    let mut tpm = swtpm.open();
    assert_eq!(tpm.load("updates").unwrap().unwrap(), b"7");
    let limit = tpm.capabilities().unwrap().storage;
    tpm.store("updates", &vec![8; limit]).unwrap();
    tpm.store("other", b"").unwrap();
    assert_eq!(tpm.load("updates").unwrap().unwrap(), vec![8; limit]);
    assert_eq!(tpm.load("other").unwrap().unwrap(), b"");
    match tpm.store("updates", &vec![9; limit + 1]) {
        Err(Error::TooLarge { limit: said }) => assert_eq!(said, limit),
        other => panic!("{other:?}"),
    }
    assert_eq!(tpm.load("updates").unwrap().unwrap(), vec![8; limit]);
    tpm.remove("updates").unwrap();
    tpm.remove("updates").unwrap();
    assert_eq!(tpm.load("updates").unwrap(), None);
    assert_eq!(tpm.load("other").unwrap().unwrap(), b"");
}

#[test]
fn a_pcr_holds_what_it_was_extended_with() {
    let swtpm = Swtpm::blank();
    let mut tpm = swtpm.open();
    let event = AwsLc.hash(HashAlgorithm::Sha256, &[b"event"]);
    tpm.extend_pcr(16, &[event]).unwrap();
    let all: Vec<u8> = (0..24).collect();
    let values = tpm.read_pcrs(&PcrSelection::new(HashAlgorithm::Sha256, &all)).unwrap();
    assert_eq!(values.len(), 24);
    assert_eq!(values[16], AwsLc.hash(HashAlgorithm::Sha256, &[&[0; 32], event.as_bytes()]));
    assert_eq!(values[15].as_bytes(), [0; 32]);
    assert_eq!(values[17].as_bytes(), [0xFF; 32]);
    assert!(matches!(tpm.extend_pcr(24, &[event]), Err(Error::BadInput(_))));
}

#[test]
fn a_tpm_that_vanishes_is_unreachable_and_not_a_panic() {
    let mut swtpm = Swtpm::blank();
    let mut tpm = swtpm.open();
    tpm.create_key("ldevid", &KeySpec::new(KeyUse::Sign, P256)).unwrap();
    swtpm.kill();
    assert!(matches!(tpm.sign("ldevid", SIGNATURE, b""), Err(Error::Unreachable { .. })));
    drop(tpm);
    let state = swtpm.dir.path().join("state");
    let error = Tpm::connect_unix(swtpm.socket(), &state).err().unwrap();
    assert_eq!(error.code(), "element.unreachable");
    assert!(error.to_string().contains("data"));
    assert!(Tpm::open_device("/dev/no-such-tpm", &state).is_err());
}
