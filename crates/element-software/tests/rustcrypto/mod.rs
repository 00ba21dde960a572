//! The second implementation of ML-KEM and ML-DSA: RustCrypto's.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(deprecated, reason = "what is imported is the expanded key")]

use ml_kem::pkcs8::{DecodePublicKey, EncodePublicKey};
use ml_kem::{B32, ExpandedKeyEncoding, MlKem512, MlKem768, MlKem1024, Seed};
use touchstone_crypto::{Crypto, SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, RsaBits, SoftSigner};
use touchstone_element::KeyAlgorithm;

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    AwsLc.random(&mut out).unwrap();
    out
}

macro_rules! each_set {
    ($algorithm:expr, $set:ident => $then:expr) => {
        match $algorithm {
            KeyAlgorithm::MlKem512 => {
                type $set = MlKem512;
                $then
            }
            KeyAlgorithm::MlKem768 => {
                type $set = MlKem768;
                $then
            }
            KeyAlgorithm::MlKem1024 => {
                type $set = MlKem1024;
                $then
            }
            other => panic!("{other} does not encapsulate"),
        }
    };
}

/// Encapsulates to a key: the ciphertext, and the secret inside.
pub(crate) fn encapsulate(algorithm: KeyAlgorithm, spki_der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    encapsulate_to(algorithm, spki_der, random())
}

/// Encapsulates with that message as the randomness (FIPS 203 §6.2).
pub(crate) fn encapsulate_to(
    algorithm: KeyAlgorithm,
    spki_der: &[u8],
    message: [u8; 32],
) -> (Vec<u8>, Vec<u8>) {
    let message = B32::from(message);
    each_set!(algorithm, Set => {
        let key = ml_kem::EncapsulationKey::<Set>::from_public_key_der(spki_der).unwrap();
        let (ciphertext, secret) = key.encapsulate_deterministic(&message);
        (ciphertext.to_vec(), secret.to_vec())
    })
}

/// The decapsulation key of a seed, expanded, and its `SubjectPublicKeyInfo`.
pub(crate) fn decapsulation_key(algorithm: KeyAlgorithm, seed: [u8; 64]) -> (Vec<u8>, Vec<u8>) {
    each_set!(algorithm, Set => {
        let key = ml_kem::DecapsulationKey::<Set>::from_seed(Seed::from(seed));
        let spki = key.encapsulation_key().to_public_key_der().unwrap();
        (key.to_expanded_bytes().to_vec(), spki.as_bytes().to_vec())
    })
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap();
    let header = match len.to_be_bytes() {
        [0, len @ 0..0x80] => vec![tag, len],
        [0, len] => vec![tag, 0x81, len],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [header, content.to_vec()].concat()
}

/// RFC 5958 around RFC 9935's choice `expandedKey`.
pub(crate) fn ml_kem_pkcs8(algorithm: KeyAlgorithm, expanded: &[u8]) -> Vec<u8> {
    pkcs8_around(algorithm, &tlv(0x04, expanded))
}

/// RFC 9935's choice `seed`.
pub(crate) fn ml_kem_seed_pkcs8(algorithm: KeyAlgorithm, seed: &[u8]) -> Vec<u8> {
    pkcs8_around(algorithm, &tlv(0x80, seed))
}

/// RFC 9935's choice `both`.
pub(crate) fn ml_kem_both_pkcs8(algorithm: KeyAlgorithm, seed: &[u8], expanded: &[u8]) -> Vec<u8> {
    let both = [tlv(0x04, seed), tlv(0x04, expanded)].concat();
    pkcs8_around(algorithm, &tlv(0x30, &both))
}

fn pkcs8_around(algorithm: KeyAlgorithm, private: &[u8]) -> Vec<u8> {
    let set = match algorithm {
        KeyAlgorithm::MlKem512 => 1,
        KeyAlgorithm::MlKem768 => 2,
        _ => 3,
    };
    let oid = [0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x04, set];
    tlv(0x30, &[&[0x02, 0x01, 0x00], &oid[..], &tlv(0x04, private)].concat())
}

/// A fresh private key, PKCS#8 in DER, with its `SubjectPublicKeyInfo`.
pub(crate) fn generate(algorithm: KeyAlgorithm) -> (Vec<u8>, Vec<u8>) {
    let rsa = |bits| SoftSigner::generate_rsa(bits, SignatureAlgorithm::RsaPkcs1Sha256);
    let signer = match algorithm {
        KeyAlgorithm::MlKem512 | KeyAlgorithm::MlKem768 | KeyAlgorithm::MlKem1024 => {
            let (expanded, spki) = decapsulation_key(algorithm, random());
            return (ml_kem_pkcs8(algorithm, &expanded), spki);
        }
        KeyAlgorithm::Rsa2048 => rsa(RsaBits::B2048),
        KeyAlgorithm::Rsa3072 => rsa(RsaBits::B3072),
        KeyAlgorithm::Rsa4096 => rsa(RsaBits::B4096),
        _ => SoftSigner::generate(algorithm.signatures()[0]),
    }
    .unwrap();
    (signer.pkcs8_der().to_vec(), signer.spki_der().to_vec())
}
