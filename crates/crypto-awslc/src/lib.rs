//! The crypto traits on aws-lc-rs, for gateways and servers.
//!
//! What this is not: a place for algorithms of our own. It maps names to the library's.
//!
//! ```
//! use touchstone_crypto::{Crypto, SignatureAlgorithm, Signer};
//! use touchstone_crypto_awslc::{AwsLc, SoftSigner};
//!
//! let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
//! let signature = key.sign(b"evidence")?;
//! AwsLc.verify(key.algorithm(), key.spki_der(), b"evidence", &signature)?;
//! # Ok::<(), touchstone_crypto::Error>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail loudly"))]

mod decrypter;
mod envelope;
mod kem;
mod soft;
mod tpm;

pub use decrypter::SoftDecrypter;
pub use soft::{RsaBits, SoftSigner};

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use aws_lc_rs::{digest, rand};
use touchstone_crypto::{Crypto, Digest, Error, HashAlgorithm, SignatureAlgorithm};

/// The provider.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc;

impl Crypto for AwsLc {
    fn hash(&self, algorithm: HashAlgorithm, parts: &[&[u8]]) -> Digest {
        let by = digest_algorithm(algorithm);
        let mut together = [0; TOGETHER];
        // A context costs as much as hashing a register: what is at hand in one piece needs none.
        let digest = match (parts, joined(parts, &mut together)) {
            ([whole], _) => digest::digest(by, whole),
            (_, Some(whole)) => digest::digest(by, whole),
            (parts, None) => {
                let mut context = digest::Context::new(by);
                for part in parts {
                    context.update(part);
                }
                context.finish()
            }
        };
        // The library's digest has the algorithm's length by construction.
        Digest::new(algorithm, digest.as_ref()).unwrap_or(Digest::zero(algorithm))
    }

    fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        spki_der: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let key = UnparsedPublicKey::new(verification(algorithm)?, spki_der);
        key.verify(message, signature).map_err(|_| Error::BadSignature)
    }

    fn verify_digest(
        &self,
        algorithm: SignatureAlgorithm,
        spki_der: &[u8],
        digest: &Digest,
        signature: &[u8],
    ) -> Result<(), Error> {
        if matches!(
            algorithm,
            SignatureAlgorithm::Ed25519
                | SignatureAlgorithm::MlDsa44
                | SignatureAlgorithm::MlDsa65
                | SignatureAlgorithm::MlDsa87
        ) {
            return Err(Error::Unsupported);
        }
        verify_digest(verification(algorithm)?, spki_der, digest, signature)
    }

    fn random(&self, out: &mut [u8]) -> Result<(), Error> {
        rand::fill(out).map_err(|_| Error::NoRandom)
    }
}

fn verify_digest(
    algorithm: &'static dyn VerificationAlgorithm,
    spki_der: &[u8],
    digest: &Digest,
    signature: &[u8],
) -> Result<(), Error> {
    let name = digest_algorithm(digest.algorithm());
    // "Less safe" because a digest may be chosen; that is what was asked for.
    let digest = digest::Digest::import_less_safe(digest.as_bytes(), name)
        .map_err(|_| Error::BadSignature)?;
    let key = UnparsedPublicKey::new(algorithm, spki_der);
    key.verify_digest(&digest, signature).map_err(|_| Error::BadSignature)
}

/// The provider, and beyond it signatures by RSA keys of 1024 to 2047 bits over digests. Nothing can
/// be relied on that verifies only here: it is for looking at old logs.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLcLegacy;

impl Crypto for AwsLcLegacy {
    fn hash(&self, algorithm: HashAlgorithm, parts: &[&[u8]]) -> Digest {
        AwsLc.hash(algorithm, parts)
    }

    fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        spki_der: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        AwsLc.verify(algorithm, spki_der, message, signature)
    }

    fn verify_digest(
        &self,
        algorithm: SignatureAlgorithm,
        spki_der: &[u8],
        digest: &Digest,
        signature: &[u8],
    ) -> Result<(), Error> {
        let short: &'static dyn VerificationAlgorithm = match algorithm {
            SignatureAlgorithm::RsaPkcs1Sha256 => {
                &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY
            }
            SignatureAlgorithm::RsaPkcs1Sha512 => {
                &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY
            }
            _ => return AwsLc.verify_digest(algorithm, spki_der, digest, signature),
        };
        verify_digest(short, spki_der, digest, signature)
    }

    fn random(&self, out: &mut [u8]) -> Result<(), Error> {
        AwsLc.random(out)
    }
}

fn digest_algorithm(algorithm: HashAlgorithm) -> &'static digest::Algorithm {
    match algorithm {
        HashAlgorithm::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        HashAlgorithm::Sha384 => &digest::SHA384,
        HashAlgorithm::Sha512 => &digest::SHA512,
        _ => &digest::SHA256,
    }
}

fn verification(
    algorithm: SignatureAlgorithm,
) -> Result<&'static dyn VerificationAlgorithm, Error> {
    Ok(match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
        SignatureAlgorithm::EcdsaP384Sha384 => &signature::ECDSA_P384_SHA384_ASN1,
        SignatureAlgorithm::EcdsaP384Sha256 => &signature::ECDSA_P384_SHA256_ASN1,
        SignatureAlgorithm::EcdsaP521Sha384 => &signature::ECDSA_P521_SHA384_ASN1,
        SignatureAlgorithm::EcdsaP521Sha512 => &signature::ECDSA_P521_SHA512_ASN1,
        SignatureAlgorithm::RsaPkcs1Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        SignatureAlgorithm::RsaPkcs1Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        SignatureAlgorithm::RsaPkcs1Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        SignatureAlgorithm::RsaPssSha256 => &signature::RSA_PSS_2048_8192_SHA256,
        SignatureAlgorithm::RsaPssSha384 => &signature::RSA_PSS_2048_8192_SHA384,
        SignatureAlgorithm::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
        SignatureAlgorithm::Ed25519 => &signature::ED25519,
        SignatureAlgorithm::MlDsa44 => &signature::ML_DSA_44,
        SignatureAlgorithm::MlDsa65 => &signature::ML_DSA_65,
        SignatureAlgorithm::MlDsa87 => &signature::ML_DSA_87,
        SignatureAlgorithm::EcdsaP256Sha384 => &signature::ECDSA_P256_SHA384_ASN1,
        SignatureAlgorithm::EcdsaP256Sha512 => &signature::ECDSA_P256_SHA512_ASN1,
        SignatureAlgorithm::EcdsaP384Sha512 => &signature::ECDSA_P384_SHA512_ASN1,
        SignatureAlgorithm::EcdsaP521Sha256 => &signature::ECDSA_P521_SHA256_ASN1,
        SignatureAlgorithm::EcdsaP256Sha1 => &signature::ECDSA_P256_SHA1_ASN1,
        SignatureAlgorithm::RsaPkcs1Sha1 => {
            &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY
        }
        _ => return Err(Error::Unsupported),
    })
}

/// As many octets as two digests have: a register and what extends it.
const TOGETHER: usize = 128;

/// The parts one behind another, if there is room for them.
fn joined<'a>(parts: &[&[u8]], room: &'a mut [u8; TOGETHER]) -> Option<&'a [u8]> {
    let mut len = 0;
    for part in parts {
        let end = len + part.len();
        room.get_mut(len..end)?.copy_from_slice(part);
        len = end;
    }
    room.get(..len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_hashed_as_one_however_they_are_cut() {
        let octets: Vec<u8> = (0..300u16).map(|n| n.to_le_bytes()[0]).collect();
        for len in [0, 1, 64, 127, 128, 129, 300] {
            let whole = octets.get(..len).unwrap();
            for algorithm in HashAlgorithm::ALL {
                let together = AwsLc.hash(algorithm, &[whole]);
                for cut in [0, len / 2, len] {
                    let (head, tail) = whole.split_at(cut);
                    assert_eq!(AwsLc.hash(algorithm, &[head, tail]), together, "{len} at {cut}");
                }
            }
        }
    }
    use touchstone_crypto::Signer;

    #[test]
    fn sha256_of_abc_is_the_one_of_fips_180() {
        let digest = AwsLc.hash(HashAlgorithm::Sha256, &[b"a", b"bc"]);
        assert_eq!(
            digest.to_hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn what_a_soft_key_signs_verifies_and_nothing_else_does() {
        for algorithm in SignatureAlgorithm::ALL {
            if algorithm == SignatureAlgorithm::EcdsaP384Sha256 {
                assert_eq!(SoftSigner::generate(algorithm).unwrap_err(), Error::Unsupported);
                continue;
            }
            let key = SoftSigner::generate(algorithm).unwrap();
            let signature = key.sign(b"message").unwrap();
            let verify = |key: &[u8], message: &[u8], signature: &[u8]| {
                AwsLc.verify(algorithm, key, message, signature)
            };
            assert_eq!(verify(key.spki_der(), b"message", &signature), Ok(()), "{algorithm:?}");
            assert_eq!(verify(key.spki_der(), b"massage", &signature), Err(Error::BadSignature));
            let other = SoftSigner::generate(algorithm).unwrap();
            assert_eq!(verify(other.spki_der(), b"message", &signature), Err(Error::BadSignature));

            let again = SoftSigner::load_pkcs8_der(algorithm, key.pkcs8_der()).unwrap();
            assert_eq!(again.spki_der(), key.spki_der());
        }
    }

    #[test]
    fn a_signature_verifies_over_the_digest_as_over_the_message() {
        for algorithm in SignatureAlgorithm::ALL {
            let Ok(key) = SoftSigner::generate(algorithm) else { continue };
            let signature = key.sign(b"message").unwrap();
            let name = algorithm.name();
            let hash = match name.rsplit('-').next().unwrap() {
                "sha384" => HashAlgorithm::Sha384,
                "sha512" => HashAlgorithm::Sha512,
                _ => HashAlgorithm::Sha256,
            };
            let verify = |message: &[u8]| {
                let digest = AwsLc.hash(hash, &[message]);
                AwsLc.verify_digest(algorithm, key.spki_der(), &digest, &signature)
            };
            if name.starts_with("ed25519") || name.starts_with("ml-dsa") {
                assert_eq!(verify(b"message"), Err(Error::Unsupported), "{name}");
                continue;
            }
            assert_eq!(verify(b"message"), Ok(()), "{name}");
            assert_eq!(verify(b"massage"), Err(Error::BadSignature), "{name}");
            let short = AwsLc.hash(HashAlgorithm::Sha1, &[b"message"]);
            let other = AwsLc.verify_digest(algorithm, key.spki_der(), &short, &signature);
            assert_eq!(other, Err(Error::BadSignature), "{name}");
        }
    }

    #[test]
    fn a_key_from_pem_is_the_same_key_and_signs_the_usual_way() {
        for algorithm in [
            SignatureAlgorithm::EcdsaP256Sha256,
            SignatureAlgorithm::EcdsaP384Sha384,
            SignatureAlgorithm::EcdsaP521Sha512,
            SignatureAlgorithm::Ed25519,
            SignatureAlgorithm::RsaPkcs1Sha256,
            SignatureAlgorithm::MlDsa44,
            SignatureAlgorithm::MlDsa65,
            SignatureAlgorithm::MlDsa87,
        ] {
            let key = SoftSigner::generate(algorithm).unwrap();
            let again = SoftSigner::from_pkcs8_pem(&key.to_pkcs8_pem()).unwrap();
            assert_eq!(again.spki_der(), key.spki_der());
            assert_eq!(again.algorithm(), algorithm);
        }
    }

    #[test]
    fn long_rsa_keys_sign_too() {
        for (bits, octets) in [(RsaBits::B3072, 384), (RsaBits::B4096, 512)] {
            let key = SoftSigner::generate_rsa(bits, SignatureAlgorithm::RsaPssSha512).unwrap();
            let signature = key.sign(b"message").unwrap();
            assert_eq!(signature.len(), octets);
            let verified = AwsLc.verify(key.algorithm(), key.spki_der(), b"message", &signature);
            assert_eq!(verified, Ok(()));
        }
        let odd = SoftSigner::generate_rsa(RsaBits::B2048, SignatureAlgorithm::Ed25519);
        assert_eq!(odd.unwrap_err(), Error::Unsupported);
    }

    #[test]
    fn a_private_key_never_shows_in_debug() {
        let key = SoftSigner::generate(SignatureAlgorithm::Ed25519).unwrap();
        assert_eq!(format!("{key:?}"), "SoftSigner { algorithm: Ed25519, .. }");
    }
}
