//! ML-KEM and ML-DSA against a second implementation, and against published vectors.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod rustcrypto;

use ml_dsa::pkcs8::{DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use ml_dsa::signature::{Signer as _, Verifier};
use ml_dsa::{MlDsa44, MlDsa65, MlDsa87, Signature, SigningKey, VerifyingKey};
use rustcrypto::{decapsulation_key, ml_kem_both_pkcs8, ml_kem_pkcs8, ml_kem_seed_pkcs8, random};
use shake::digest::{ExtendableOutput, Update, XofReader};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_element::{
    Decapsulating, Element, Error, Importing, KeyAlgorithm, KeySpec, KeyUse, Secret,
};
use touchstone_element_software::{KeySource, Settings, Software};

fn element(folder: &tempfile::TempDir) -> Software {
    let secret = KeySource::MachineSecret(folder.path().join("secret"));
    Software::open(Settings::new(folder.path().join("element"), secret)).unwrap()
}

macro_rules! both_ways {
    ($test:ident, $set:ident, $algorithm:ident) => {
        #[test]
        fn $test() {
            let folder = tempfile::tempdir().unwrap();
            let mut element = element(&folder);
            let (algorithm, how) = (KeyAlgorithm::$algorithm, SignatureAlgorithm::$algorithm);

            // What the element signs, the other verifies.
            let key = element.create_key("ours", &KeySpec::new(KeyUse::Sign, algorithm)).unwrap();
            let signature = element.sign("ours", how, b"message").unwrap();
            let theirs = VerifyingKey::<$set>::from_public_key_der(&key.spki_der).unwrap();
            let signature = Signature::<$set>::try_from(signature.as_slice()).unwrap();
            theirs.verify(b"message", &signature).unwrap();
            assert!(theirs.verify(b"massage", &signature).is_err());

            // What the other signs, the provider verifies.
            let other = SigningKey::<$set>::from_seed(&random().into());
            let spki = ml_dsa::Keypair::verifying_key(&other).to_public_key_der().unwrap();
            let signature = other.sign(b"message").encode();
            AwsLc.verify(how, spki.as_bytes(), b"message", &signature).unwrap();
            assert!(AwsLc.verify(how, spki.as_bytes(), b"massage", &signature).is_err());

            // The other's key moves into the element.
            let pkcs8 = Secret::new(other.to_pkcs8_der().unwrap().as_bytes().to_vec());
            let moved = element.import_key("theirs", KeyUse::Sign, algorithm, &pkcs8).unwrap();
            assert_eq!(moved.spki_der, spki.as_bytes());
            let signature = element.sign("theirs", how, b"message").unwrap();
            let signature = Signature::<$set>::try_from(signature.as_slice()).unwrap();
            ml_dsa::Keypair::verifying_key(&other).verify(b"message", &signature).unwrap();
        }
    };
}

both_ways!(ml_dsa_44_signatures_go_both_ways, MlDsa44, MlDsa44);
both_ways!(ml_dsa_65_signatures_go_both_ways, MlDsa65, MlDsa65);
both_ways!(ml_dsa_87_signatures_go_both_ways, MlDsa87, MlDsa87);

macro_rules! accumulated {
    ($test:ident, $set:ident, $public_len:literal, $published:literal) => {
        /// The accumulated vector of C2SP's CCTV (ML-DSA/accumulated): a hundred keys from seeds
        /// drawn from SHAKE-128 of nothing, and their deterministic signatures of nothing.
        #[test]
        fn $test() {
            let how = SignatureAlgorithm::$set;
            let mut drawn = shake::Shake128::default().finalize_xof();
            let mut out = shake::Shake128::default();
            for _ in 0..100 {
                let mut seed = [0; 32];
                drawn.read(&mut seed);
                let other = SigningKey::<$set>::from_seed(&seed.into());
                let ours = other.to_pkcs8_der().unwrap();
                let ours = SoftSigner::load_pkcs8_der(how, ours.as_bytes()).unwrap();
                let spki = ours.spki_der();
                out.update(&spki[spki.len() - $public_len..]);

                let signature = other.expanded_key().sign_deterministic(b"", b"").unwrap().encode();
                AwsLc.verify(how, spki, b"", &signature).unwrap();
                out.update(&signature);
            }
            assert_eq!(digest(out), $published);
        }
    };
}

accumulated!(
    ml_dsa_44_keys_and_signatures_are_the_published_ones,
    MlDsa44,
    1312,
    "d51148e1f9f4fa1a723a6cf42e25f2a99eb5c1b378b3d2dbbd561b1203beeae4"
);
accumulated!(
    ml_dsa_65_keys_and_signatures_are_the_published_ones,
    MlDsa65,
    1952,
    "8358a1843220194417cadbc2651295cd8fc65125b5a5c1a239a16dc8b57ca199"
);
accumulated!(
    ml_dsa_87_keys_and_signatures_are_the_published_ones,
    MlDsa87,
    2592,
    "8c3ad714777622b8f21ce31bb35f71394f23bc0fcf3c78ace5d608990f3b061b"
);

/// The accumulated vector of Go's `crypto/mlkem` (after C2SP's CCTV): a hundred keys, encapsulations
/// and random ciphertexts drawn from SHAKE-128 of nothing, and one digest over all that comes out.
#[test]
fn decapsulation_gives_the_published_secrets() {
    let algorithm = KeyAlgorithm::MlKem768;
    let folder = tempfile::tempdir().unwrap();
    let mut element = element(&folder);
    let mut drawn = shake::Shake128::default().finalize_xof();
    let mut out = shake::Shake128::default();
    for form in (0..100).map(|count| count % 3) {
        let mut seed = [0; 64];
        drawn.read(&mut seed);
        let (expanded, spki) = decapsulation_key(algorithm, seed);
        let pkcs8 = Secret::new(match form {
            0 => ml_kem_pkcs8(algorithm, &expanded),
            1 => ml_kem_seed_pkcs8(algorithm, &seed),
            _ => ml_kem_both_pkcs8(algorithm, &seed, &expanded),
        });
        let public = element.import_key("key", KeyUse::Decapsulate, algorithm, &pkcs8).unwrap();
        assert_eq!(public.spki_der, spki);
        out.update(&public.spki_der[spki.len() - 1184..]);

        let mut message = [0; 32];
        drawn.read(&mut message);
        let (ciphertext, secret) = rustcrypto::encapsulate_to(algorithm, &spki, message);
        let opened = element.decapsulate("key", &ciphertext).unwrap();
        assert_eq!(opened.expose(), secret);
        out.update(&ciphertext);
        out.update(opened.expose());

        let mut noise = [0; 1088];
        drawn.read(&mut noise);
        out.update(element.decapsulate("key", &noise).unwrap().expose());
        element.delete_key("key").unwrap();
    }
    let published = "1114b1b6699ed191734fa339376afa7e285c9e6acf6ff0177d346696ce564415";
    assert_eq!(digest(out), published);
}

#[test]
fn each_set_is_taken_in_by_its_seed_and_no_seed_for_another_key() {
    for algorithm in [KeyAlgorithm::MlKem512, KeyAlgorithm::MlKem768, KeyAlgorithm::MlKem1024] {
        let folder = tempfile::tempdir().unwrap();
        let mut element = element(&folder);
        let seed = random();
        let (expanded, spki) = decapsulation_key(algorithm, seed);
        let mut import = |pkcs8: Vec<u8>| {
            element.import_key("key", KeyUse::Decapsulate, algorithm, &Secret::new(pkcs8))
        };
        let refused = |result: Result<_, Error>| match result {
            Err(Error::BadInput(words)) => words,
            other => panic!("{other:?}"),
        };
        let other = ml_kem_both_pkcs8(algorithm, &random::<64>(), &expanded);
        assert!(refused(import(other)).contains("another key"));
        for len in [0, 32, 63, 65] {
            assert!(
                refused(import(ml_kem_seed_pkcs8(algorithm, &vec![7; len]))).contains("PKCS#8")
            );
        }
        let public = import(ml_kem_seed_pkcs8(algorithm, &seed)).unwrap();
        assert_eq!(public.spki_der, spki);
        let (ciphertext, secret) = rustcrypto::encapsulate(algorithm, &spki);
        assert_eq!(element.decapsulate("key", &ciphertext).unwrap().expose(), secret);
    }
}

fn digest(out: shake::Shake128) -> String {
    let mut digest = [0; 32];
    out.finalize_xof().read(&mut digest);
    Digest::new(HashAlgorithm::Sha256, &digest).unwrap().to_hex()
}
