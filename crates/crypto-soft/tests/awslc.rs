//! The same answers as the other provider gives, on anything.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use proptest::collection::vec;
use proptest::prelude::*;
use std::process::Command;
use touchstone_crypto::{
    Crypto, Curve, Direction, Error, HashAlgorithm, SignatureAlgorithm, Signer, TpmCrypto,
};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_crypto_soft::Soft;

static SOFT: Soft = Soft::new(|out| SystemRandom::new().fill(out).map_err(|_| Error::NoRandom));

const SIGNATURES: [SignatureAlgorithm; 3] = [
    SignatureAlgorithm::EcdsaP256Sha256,
    SignatureAlgorithm::EcdsaP384Sha384,
    SignatureAlgorithm::Ed25519,
];

proptest! {
    #[test]
    fn both_hash_alike(parts in vec(vec(any::<u8>(), 0..200), 0..4)) {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        for algorithm in HashAlgorithm::ALL {
            prop_assert_eq!(SOFT.hash(algorithm, &parts), AwsLc.hash(algorithm, &parts));
        }
    }

    #[test]
    fn both_mac_alike(
        key in vec(any::<u8>(), 0..200),
        parts in vec(vec(any::<u8>(), 0..200), 0..4),
    ) {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        for algorithm in HashAlgorithm::ALL {
            prop_assert_eq!(
                SOFT.hmac(algorithm, &key, &parts),
                AwsLc.hmac(algorithm, &key, &parts)
            );
        }
    }

    #[test]
    fn both_encrypt_alike(
        key in prop_oneof![vec(any::<u8>(), 16), vec(any::<u8>(), 32), vec(any::<u8>(), 0..40)],
        iv in any::<[u8; 16]>(),
        data in vec(any::<u8>(), 0..200),
    ) {
        for direction in [Direction::Encrypt, Direction::Decrypt] {
            let (mut one, mut two) = (data.clone(), data.clone());
            prop_assert_eq!(
                SOFT.aes_cfb(&key, &iv, &mut one, direction),
                AwsLc.aes_cfb(&key, &iv, &mut two, direction)
            );
            prop_assert_eq!(one, two);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn both_accept_and_refuse_the_same_signatures(
        message in vec(any::<u8>(), 0..100),
        spoil in proptest::option::of((any::<prop::sample::Index>(), 1u8..)),
        which in 0u8..3,
    ) {
        for algorithm in SIGNATURES {
            let key = SoftSigner::generate(algorithm).unwrap();
            let mut spki = key.spki_der().to_vec();
            let mut signature = key.sign(&message).unwrap();
            let mut message = message.clone();
            let spoilt = [&mut spki, &mut signature, &mut message].into_iter();
            if let (Some((index, bits)), Some(octets)) = (spoil, spoilt.into_iter().nth(which.into()))
                && !octets.is_empty()
            {
                let at = index.index(octets.len());
                octets[at] ^= bits;
            }
            let soft = SOFT.verify(algorithm, &spki, &message, &signature);
            let awslc = AwsLc.verify(algorithm, &spki, &message, &signature);
            prop_assert_eq!(soft.is_ok(), awslc.is_ok(), "{:?}: {:?}, {:?}", algorithm, soft, awslc);
        }
    }

    #[test]
    fn no_input_is_a_panic(
        spki in vec(any::<u8>(), 0..130),
        signature in vec(any::<u8>(), 0..110),
    ) {
        for algorithm in SignatureAlgorithm::ALL {
            prop_assert!(SOFT.verify(algorithm, &spki, b"message", &signature).is_err());
        }
    }
}

#[test]
fn both_agree_with_each_other() {
    for (curve, algorithm) in
        [(Curve::P256, &agreement::ECDH_P256), (Curve::P384, &agreement::ECDH_P384)]
    {
        for _ in 0..8 {
            let theirs = PrivateKey::generate(algorithm).unwrap();
            let public = theirs.compute_public_key().unwrap();
            let (x, y) = public.as_ref()[1..].split_at(curve.len());
            let soft = SOFT.agree(curve, x, y).unwrap();
            let ours = UnparsedPublicKey::new(algorithm, [&[4], &soft.x[..], &soft.y].concat());
            agreement::agree(&theirs, ours, (), |z| {
                assert_eq!(*soft.z, z);
                Ok(())
            })
            .unwrap();
        }
    }
}

#[test]
fn p384_with_sha256_verifies_what_openssl_signs() {
    let dir = tempfile::tempdir().unwrap();
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        let output = command.current_dir(dir.path()).args(arguments.split(' ')).output();
        let output = output.unwrap_or_else(|error| {
            panic!("openssl: {error}; run cargo xtask test, which installs it")
        });
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    std::fs::write(dir.path().join("message"), b"message").unwrap();
    openssl("ecparam -name secp384r1 -genkey -noout -out key");
    let spki = openssl("pkey -in key -pubout -outform DER");
    let signature = openssl("dgst -sha256 -sign key message");
    let algorithm = SignatureAlgorithm::EcdsaP384Sha256;
    let verify = |message: &[u8]| SOFT.verify(algorithm, &spki, message, &signature);
    assert_eq!(verify(b"message"), Ok(()));
    assert_eq!(verify(b"massage"), Err(Error::BadSignature));
    assert_eq!(AwsLc.verify(algorithm, &spki, b"message", &signature), Ok(()));
}
