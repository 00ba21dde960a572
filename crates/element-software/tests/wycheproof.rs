//! Project Wycheproof's vectors through the element: hostile points, paddings and tags.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use aws_lc_rs::agreement::{ECDH_P256, ECDH_P384, ECDH_P521, PrivateKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use touchstone_element::{
    Agreeing, Decrypting, Element, Encryption, Importing, KeyAlgorithm, KeyUse, Macs, Secret,
};
use touchstone_element_software::{KeySource, Settings, Software};
use wycheproof::TestResult;

mod rustcrypto;

use touchstone_crypto::{Crypto, SignatureAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::Decapsulating;

struct Bench {
    element: Software,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        // In memory where there is such a place: thousands of keys are written durably.
        let memory = tempfile::tempdir_in("/dev/shm");
        let folder = memory.unwrap_or_else(|_| tempfile::tempdir().unwrap());
        let secret = KeySource::MachineSecret(folder.path().join("secret"));
        let settings = Settings::new(folder.path().join("element"), secret);
        Self { element: Software::open(settings).unwrap(), _folder: folder }
    }

    /// Takes the key, in the place of the last one.
    fn take(&mut self, key_use: KeyUse, algorithm: KeyAlgorithm, key: &[u8]) {
        self.element.delete_key("vector").unwrap();
        let key = Secret::new(key.to_vec());
        self.element.import_key("vector", key_use, algorithm, &key).unwrap();
    }
}

/// Private scalars are written with zeros in front, or too few of them.
fn scalar(private: &[u8], len: usize) -> Vec<u8> {
    let start = private.iter().position(|octet| *octet != 0).unwrap_or_default();
    let digits = &private[start..];
    [&vec![0; len - digits.len()], digits].concat()
}

#[test]
fn agreement_refuses_hostile_keys_and_has_the_right_secret() {
    use wycheproof::ecdh::{TestName, TestSet};
    for (name, curve, algorithm, len) in [
        (TestName::EcdhSecp256r1, &ECDH_P256, KeyAlgorithm::P256, 32),
        (TestName::EcdhSecp384r1, &ECDH_P384, KeyAlgorithm::P384, 48),
        (TestName::EcdhSecp521r1, &ECDH_P521, KeyAlgorithm::P521, 66),
    ] {
        let mut bench = Bench::new();
        let (mut good, mut bad) = (0, 0);
        for group in TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                let scalar = scalar(&test.private_key, len);
                let ours = PrivateKey::from_private_key(curve, &scalar).unwrap();
                let ours: Pkcs8V1Der<'_> = ours.as_der().unwrap();
                bench.take(KeyUse::Agree, algorithm, ours.as_ref());
                let agreed = bench.element.agree("vector", &test.public_key);
                let id = test.tc_id;
                match test.result {
                    TestResult::Valid => {
                        assert_eq!(agreed.unwrap().expose(), &test.shared_secret[..], "{id}");
                        good += 1;
                    }
                    // Other encodings of the right key: agreed on rightly, or refused.
                    TestResult::Acceptable => {
                        if let Ok(agreed) = agreed {
                            assert_eq!(agreed.expose(), &test.shared_secret[..], "{id}");
                        }
                    }
                    TestResult::Invalid => {
                        assert_eq!(agreed.unwrap_err().code(), "element.input.bad", "{id}");
                        bad += 1;
                    }
                }
            }
        }
        assert!(good > 150 && bad > 10, "{algorithm}: {good} good, {bad} bad");
    }
}

#[test]
fn codes_are_the_right_ones() {
    use wycheproof::mac::{TestName, TestSet};
    for (name, algorithm, len) in [
        (TestName::HmacSha256, KeyAlgorithm::HmacSha256, 32),
        (TestName::HmacSha384, KeyAlgorithm::HmacSha384, 48),
        (TestName::HmacSha512, KeyAlgorithm::HmacSha512, 64),
    ] {
        let mut bench = Bench::new();
        let mut seen = 0;
        for group in TestSet::load(name).unwrap().test_groups {
            for test in group.tests.iter().filter(|test| (len..=128).contains(&test.key.len())) {
                bench.take(KeyUse::Mac, algorithm, &test.key);
                let mac = bench.element.mac("vector", &test.msg).unwrap();
                let same = mac[..test.tag.len()] == test.tag[..];
                assert_eq!(same, test.result == TestResult::Valid, "{}", test.tc_id);
                seen += 1;
            }
        }
        assert!(seen > 60, "{algorithm}: {seen}");
    }
}

#[test]
fn gcm_opens_what_is_right_and_nothing_else() {
    use wycheproof::aead::{TestName, TestSet};
    let mut bench = Bench::new();
    let mut seen = 0;
    for group in TestSet::load(TestName::AesGcm).unwrap().test_groups {
        let algorithm = match (group.key_size, group.nonce_size, group.tag_size) {
            (128, 96, 128) => KeyAlgorithm::Aes128,
            (256, 96, 128) => KeyAlgorithm::Aes256,
            _ => continue,
        };
        for test in group.tests.iter().filter(|test| test.aad.is_empty()) {
            bench.take(KeyUse::Decrypt, algorithm, &test.key);
            let sealed = [&test.nonce[..], &test.ct[..], &test.tag[..]].concat();
            match bench.element.decrypt("vector", Encryption::AesGcm, &sealed) {
                Ok(plain) => {
                    assert_eq!(test.result, TestResult::Valid, "{}", test.tc_id);
                    assert_eq!(plain.expose(), &test.pt[..], "{}", test.tc_id);
                }
                Err(error) => {
                    assert_eq!(test.result, TestResult::Invalid, "{}", test.tc_id);
                    assert_eq!(error.code(), "element.input.bad");
                }
            }
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn oaep_opens_what_is_right_and_tells_nothing_of_what_is_not() {
    use wycheproof::rsa_oaep::{TestName, TestSet};
    let (mut good, mut bad) = (0, 0);
    for (name, algorithm, how) in [
        (TestName::Rsa2048Sha256Mgf1Sha256, KeyAlgorithm::Rsa2048, Encryption::RsaOaepSha256),
        (TestName::Rsa2048Sha384Mgf1Sha384, KeyAlgorithm::Rsa2048, Encryption::RsaOaepSha384),
        (TestName::Rsa3072Sha256Mgf1Sha256, KeyAlgorithm::Rsa3072, Encryption::RsaOaepSha256),
        (TestName::Rsa4096Sha512Mgf1Sha512, KeyAlgorithm::Rsa4096, Encryption::RsaOaepSha512),
    ] {
        let mut bench = Bench::new();
        for group in TestSet::load(name).unwrap().test_groups {
            bench.take(KeyUse::Decrypt, algorithm, &group.pkcs8);
            for test in group.tests.iter().filter(|test| test.label.is_empty()) {
                match bench.element.decrypt("vector", how, &test.ct) {
                    Ok(plain) => {
                        assert_eq!(test.result, TestResult::Valid, "{}", test.tc_id);
                        assert_eq!(plain.expose(), &test.pt[..], "{}", test.tc_id);
                        good += 1;
                    }
                    Err(error) => {
                        assert_eq!(test.result, TestResult::Invalid, "{}", test.tc_id);
                        let words = "the ciphertext was not made for this key";
                        assert_eq!(error.to_string(), words);
                        bad += 1;
                    }
                }
            }
        }
    }
    assert!(good > 30 && bad > 40, "{good} good, {bad} bad");
}

#[test]
fn decapsulation_has_the_right_secret_and_takes_no_damaged_key() {
    use wycheproof::mlkem::{TestName, TestSet};
    for (names, algorithm) in [
        ([TestName::MlKem512, TestName::MlKem512SemiExpandedDecaps], KeyAlgorithm::MlKem512),
        ([TestName::MlKem768, TestName::MlKem768SemiExpandedDecaps], KeyAlgorithm::MlKem768),
        ([TestName::MlKem1024, TestName::MlKem1024SemiExpandedDecaps], KeyAlgorithm::MlKem1024),
    ] {
        let mut bench = Bench::new();
        let (mut good, mut bad) = (0, 0);
        let groups = names.into_iter().flat_map(|name| TestSet::load(name).unwrap().test_groups);
        for test in groups.flat_map(|group| group.tests) {
            let id = format!("{algorithm} {} {}", test.tc_id, test.comment);
            let expanded = match (&test.decaps_key, &test.seed) {
                (Some(expanded), _) => expanded.to_vec(),
                (None, Some(seed)) => match <[u8; 64]>::try_from(&seed[..]) {
                    Ok(seed) => rustcrypto::decapsulation_key(algorithm, seed).0,
                    Err(_) => continue, // a seed that is none is not ours to take
                },
                (None, None) => panic!("{id}: no key"),
            };
            let pkcs8 = Secret::new(rustcrypto::ml_kem_pkcs8(algorithm, &expanded));
            bench.element.delete_key("vector").unwrap();
            let use_ = KeyUse::Decapsulate;
            let taken = bench.element.import_key("vector", use_, algorithm, &pkcs8);
            let opened = taken.and_then(|key| {
                if let Some(public) = &test.encaps_key {
                    assert!(key.spki_der.ends_with(public), "{id}");
                }
                bench.element.decapsulate("vector", test.ct.as_ref().map_or(&[][..], |ct| &ct[..]))
            });
            match test.result {
                TestResult::Valid | TestResult::Acceptable => {
                    // The vectors for keys that are given expanded say only that they work.
                    let opened = opened.unwrap_or_else(|error| panic!("{id}: {error}"));
                    if let Some(secret) = &test.shared_secret {
                        assert_eq!(opened.expose(), &secret[..], "{id}");
                    }
                    good += 1;
                }
                TestResult::Invalid => {
                    assert_eq!(opened.unwrap_err().code(), "element.input.bad", "{id}");
                    bad += 1;
                }
            }
        }
        assert!(good > 100 && bad > 10, "{algorithm}: {good} good, {bad} bad");
    }
}

#[test]
fn ml_dsa_verifies_what_is_right_and_nothing_else() {
    use wycheproof::mldsa_verify::{TestName, TestSet};
    for (name, algorithm) in [
        (TestName::MlDsa44Verify, SignatureAlgorithm::MlDsa44),
        (TestName::MlDsa65Verify, SignatureAlgorithm::MlDsa65),
        (TestName::MlDsa87Verify, SignatureAlgorithm::MlDsa87),
    ] {
        let (mut good, mut bad) = (0, 0);
        for group in TestSet::load(name).unwrap().test_groups {
            let plain = |ctx: &Option<wycheproof::ByteString>| {
                ctx.as_ref().is_none_or(wycheproof::ByteString::is_empty)
            };
            for test in group.tests.iter().filter(|test| plain(&test.ctx)) {
                let verified = AwsLc.verify(algorithm, &group.der, &test.msg, &test.sig);
                let id = format!("{algorithm:?} {} {}", test.tc_id, test.comment);
                assert_eq!(verified.is_ok(), test.result == TestResult::Valid, "{id}");
                good += u32::from(verified.is_ok());
                bad += u32::from(verified.is_err());
            }
        }
        assert!(good > 10 && bad > 10, "{algorithm:?}: {good} good, {bad} bad");
    }
}
