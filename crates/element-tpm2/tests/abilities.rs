//! The laws that every element is held to, and what a TPM does beyond signing.
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
    Ability, Attesting, Decrypting, Element, Error, Importing, KeyAlgorithm, KeySpec, KeyUse,
    PcrSelection, Registers, SealPcrs, SealTo, Sealing, Secret, laws,
};
use touchstone_peers::{Swtpm, tool};
use touchstone_tpm2::transport::Stream;
use touchstone_tpm2::{self as tpm2, Auth, Hierarchy, NewObject, Public, template};

const SIGNATURE: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

/// A key pair that OpenSSL made: PKCS#8 and `SubjectPublicKeyInfo`.
fn generate(swtpm: &Swtpm, algorithm: KeyAlgorithm) -> (Vec<u8>, Vec<u8>) {
    let option = match algorithm {
        KeyAlgorithm::Rsa2048 => "rsa_keygen_bits:2048",
        KeyAlgorithm::Rsa3072 => "rsa_keygen_bits:3072",
        KeyAlgorithm::Rsa4096 => "rsa_keygen_bits:4096",
        KeyAlgorithm::P256 => "ec_paramgen_curve:P-256",
        KeyAlgorithm::P384 => "ec_paramgen_curve:P-384",
        KeyAlgorithm::P521 => "ec_paramgen_curve:P-521",
        other => panic!("{other}"),
    };
    let kind = if option.starts_with("rsa") { "RSA" } else { "EC" };
    let openssl = |arguments: &[&str]| tool("openssl", swtpm.dir.path(), arguments);
    openssl(&["genpkey", "-quiet", "-algorithm", kind, "-pkeyopt", option, "-out", "key.pem"]);
    let as_pkcs8 = ["pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "DER"];
    let as_spki = ["pkey", "-in", "key.pem", "-pubout", "-outform", "DER"];
    (openssl(&as_pkcs8), openssl(&as_spki))
}

#[test]
fn a_tpm_keeps_every_law() {
    let swtpm = Swtpm::blank();
    let generate = |algorithm| generate(&swtpm, algorithm);
    let other = laws::Other::new(&AwsLc).generating(&generate);
    let mut open = || -> Box<dyn Element> { Box::new(swtpm.open()) };
    laws::all(&mut open, &other);
}

#[test]
fn a_tpm_has_the_abilities_that_it_claims() {
    let swtpm = Swtpm::blank();
    let mut tpm = swtpm.open();
    let can = tpm.capabilities().unwrap();
    for (key_use, algorithm) in [
        (KeyUse::Sign, KeyAlgorithm::Rsa3072),
        (KeyUse::Attest, KeyAlgorithm::P521),
        (KeyUse::Decrypt, KeyAlgorithm::Rsa2048),
        (KeyUse::Decrypt, KeyAlgorithm::Aes256),
        (KeyUse::Agree, KeyAlgorithm::P384),
        (KeyUse::Mac, KeyAlgorithm::HmacSha512),
    ] {
        assert!(can.creates(key_use, algorithm), "{algorithm} to {key_use}");
    }
    assert_eq!(can.seal, 128);
    let abilities = tpm.abilities();
    for ability in [Ability::Import, Ability::Decrypt, Ability::Agree, Ability::Mac, Ability::Seal]
    {
        assert!(abilities.contains(&ability), "{ability}");
    }
}

fn debug_register() -> PcrSelection {
    PcrSelection::new(HashAlgorithm::Sha256, &[16])
}

#[test]
fn keys_of_every_use_that_are_bound_to_a_register_stop_when_it_moves() {
    let swtpm = Swtpm::blank();
    let mut tpm = swtpm.open();
    let bound = |key_use, algorithm| KeySpec::new(key_use, algorithm).bound_to(debug_register());
    tpm.create_key("mac", &bound(KeyUse::Mac, KeyAlgorithm::HmacSha256)).unwrap();
    tpm.create_key("aes", &bound(KeyUse::Decrypt, KeyAlgorithm::Aes128)).unwrap();
    tpm.create_key("lak", &bound(KeyUse::Attest, KeyAlgorithm::P256)).unwrap();
    tpm.create_key("free", &KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256)).unwrap();
    let mac = tpm.macs().unwrap().mac("mac", &[1; 3000]).unwrap();
    let aes = touchstone_element::Encryption::AesCfb;
    let sent = tpm.encrypt("aes", aes, &[7; 3000]).unwrap();
    assert_eq!(tpm.decrypt("aes", aes, &sent).unwrap().expose(), [7; 3000]);
    let quoted = tpm.quote("lak", &debug_register(), b"nonce").unwrap();
    assert!(tpm.certify("free", "lak", b"nonce").is_ok());
    assert!(!quoted.signature.is_empty() && mac.len() == 32);

    tpm.extend_pcr(16, &[AwsLc.hash(HashAlgorithm::Sha256, &[b"event"])]).unwrap();
    let moved = |code: &str| assert_eq!(code, "element.state.moved");
    moved(tpm.macs().unwrap().mac("mac", &[1; 3000]).unwrap_err().code());
    moved(tpm.decrypt("aes", aes, &sent).unwrap_err().code());
    moved(tpm.quote("lak", &debug_register(), b"nonce").unwrap_err().code());
    moved(tpm.certify("free", "lak", b"nonce").unwrap_err().code());
}

#[test]
fn a_secret_can_be_sealed_to_a_state_that_is_yet_to_come() {
    let swtpm = Swtpm::blank();
    let mut tpm = swtpm.open();
    let event = AwsLc.hash(HashAlgorithm::Sha256, &[b"the next kernel"]);
    let now = tpm.read_pcrs(&debug_register()).unwrap()[0];
    let then = AwsLc.hash(HashAlgorithm::Sha256, &[now.as_bytes(), event.as_bytes()]);
    let pcrs = SealPcrs { selection: debug_register(), values: Some(vec![then]) };
    let password = Secret::new(b"pin".to_vec());
    let to = SealTo { pcrs: Some(pcrs), password: Some(password.clone()) };
    let sealed = tpm.seal(b"the disk's key", &to).unwrap();
    assert!(matches!(tpm.unseal(&sealed, Some(&password)), Err(Error::StateMoved)));
    tpm.extend_pcr(16, &[event]).unwrap();
    assert_eq!(tpm.unseal(&sealed, Some(&password)).unwrap().expose(), b"the disk's key");
    let wrong = Secret::new(b"nip".to_vec());
    assert!(matches!(
        tpm.unseal(&sealed, Some(&wrong)),
        Err(Error::WrongAuthorization { tries_left: Some(_) })
    ));
}

#[test]
fn wrong_passwords_are_counted_down_to_a_lockout_that_says_how_long_it_lasts() {
    let swtpm = Swtpm::blank();
    let mut tpm = swtpm.open();
    let password = Secret::new(b"pin".to_vec());
    let to = SealTo { pcrs: None, password: Some(password.clone()) };
    let sealed = tpm.seal(b"secret", &to).unwrap();
    let no = tpm.unseal(&sealed, None).unwrap_err();
    assert!(matches!(no, Error::WrongAuthorization { tries_left: None }), "it was tried");
    let wrong = Secret::new(b"nip".to_vec());
    let mut before = None;
    loop {
        match tpm.unseal(&sealed, Some(&wrong)) {
            Err(Error::WrongAuthorization { tries_left: Some(left) }) => {
                assert!(before.is_none_or(|before| left + 1 == before), "{before:?} to {left}");
                before = Some(left);
            }
            Err(Error::LockedOut { recovery: Some(seconds) }) => {
                assert!(seconds > 0);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(before, Some(0));
    assert!(matches!(tpm.unseal(&sealed, Some(&password)), Err(Error::LockedOut { .. })));
}

#[test]
fn what_another_tpm_sealed_is_foreign() {
    let (here, elsewhere) = (Swtpm::blank(), Swtpm::blank());
    let sealed = elsewhere.open().seal(b"secret", &SealTo::default()).unwrap();
    assert!(matches!(here.open().unseal(&sealed, None), Err(Error::Foreign)));
    assert!(matches!(here.open().unseal(b"noise", None), Err(Error::BadInput(_))));
}

#[test]
fn a_key_whose_halves_do_not_belong_together_is_not_imported() {
    let swtpm = Swtpm::blank();
    let (one, _) = generate(&swtpm, KeyAlgorithm::P256);
    let (other, _) = generate(&swtpm, KeyAlgorithm::P256);
    // RFC 5915: the public point is at the end.
    let mixed = [&one[..one.len() - 65], &other[other.len() - 65..]].concat();
    let mut tpm = swtpm.open();
    let taken = tpm.import_key("x", KeyUse::Sign, KeyAlgorithm::P256, &Secret::new(mixed));
    assert!(matches!(taken, Err(Error::BadInput(_))), "{taken:?}");
    let attest = tpm.import_key("x", KeyUse::Attest, KeyAlgorithm::P256, &Secret::new(one));
    assert!(matches!(attest, Err(Error::Unsupported(_))));
}

fn talk(swtpm: &Swtpm) -> tpm2::Tpm {
    let stream = Stream::tcp(swtpm.address()).unwrap();
    let mut tpm = tpm2::Tpm::new(Box::new(stream), &AwsLc);
    tpm.recover().unwrap();
    tpm
}

#[test]
fn a_key_file_of_the_first_format_still_works() {
    let swtpm = Swtpm::blank_tcp();
    let mut raw = talk(&swtpm);
    let new = NewObject::new(template::srk());
    let (srk, _) = raw.create_primary(Hierarchy::Owner, Auth::empty(), &new).unwrap();
    let new = NewObject::new(template::signing_for(SIGNATURE, false).unwrap());
    let created = raw.create(&srk, Auth::empty(), &new).unwrap();
    drop(raw);
    drop(swtpm.open());
    let sized =
        |octets: &[u8]| [&u16::try_from(octets.len()).unwrap().to_be_bytes(), octets].concat();
    let old = [b"TSTPMK\x00\x01".to_vec(), sized(&created.private), sized(&created.native)];
    swtpm.write("state/keys/ldevid.key", &old.concat());
    let mut tpm = swtpm.open();
    let signed = tpm.sign("ldevid", SIGNATURE, b"message").unwrap();
    let spki = Public::decode(&created.native).unwrap().spki_der().unwrap();
    AwsLc.verify(SIGNATURE, &spki, b"message", &signed).unwrap();
    tpm.create_key("lak", &KeySpec::new(KeyUse::Attest, KeyAlgorithm::P256)).unwrap();
    assert!(tpm.certify("ldevid", "lak", b"nonce").is_ok());
    // Renewed, it is a file of today.
    tpm.create_key("next", &KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256)).unwrap();
    tpm.rename_key("next", "ldevid").unwrap();
    assert!(swtpm.read("state/keys/ldevid.key").starts_with(b"-----BEGIN TSS2 PRIVATE KEY"));
}

#[test]
fn a_key_of_the_store_is_used_by_the_tools_and_theirs_by_the_store() {
    let swtpm = Swtpm::blank_tcp();
    swtpm.write("message", b"message");
    let mut tpm = swtpm.open();
    let ours = tpm.create_key("ldevid", &KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256)).unwrap();
    drop(tpm);
    let sign = ["dgst", "-sha256", "-sign", "state/keys/ldevid.key", "-out", "signed"];
    let providers = ["-provider", "tpm2", "-provider", "default", "-propquery", "?provider=tpm2"];
    let openssl = |arguments: &[&str]| {
        let done = std::process::Command::new("openssl")
            .current_dir(swtpm.dir.path())
            .env("TPM2OPENSSL_TCTI", swtpm.tcti())
            .args(arguments)
            .output()
            .expect("openssl is missing; run cargo xtask test, which installs it");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{said} (if the provider is missing, run cargo xtask test)");
    };
    openssl(&[&sign[..], &providers, &["message"]].concat());
    AwsLc.verify(SIGNATURE, &ours.spki_der, b"message", &swtpm.read("signed")).unwrap();

    let make = ["genpkey", "-provider", "tpm2", "-algorithm", "RSA", "-pkeyopt", "bits:2048"];
    openssl(&[&make[..], &["-out", "state/keys/theirs.key"]].concat());
    let mut tpm = swtpm.open();
    let theirs = tpm.public_key("theirs").unwrap().unwrap();
    assert_eq!((theirs.algorithm, theirs.key_use), (KeyAlgorithm::Rsa2048, KeyUse::Sign));
    let algorithm = SignatureAlgorithm::RsaPssSha256;
    let signed = tpm.sign("theirs", algorithm, b"message").unwrap();
    AwsLc.verify(algorithm, &theirs.spki_der, b"message", &signed).unwrap();
}
