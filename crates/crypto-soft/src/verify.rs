//! Verifying signatures by keys in `SubjectPublicKeyInfo`.

use sha2::{Digest as _, Sha256, Sha384};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};
use touchstone_crypto::{Error, HashAlgorithm, SignatureAlgorithm};

/// `id-ecPublicKey` (RFC 5480 §2.1.1).
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// `secp256r1` (RFC 5480 §2.1.1.1).
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// `secp384r1`.
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// `id-Ed25519` (RFC 8410 §3).
const ID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Verifies by the key (`SubjectPublicKeyInfo`), over the message, the signature.
type Verify = fn(&[u8], &[u8], &[u8]) -> Result<(), Error>;

/// A signature scheme that can be verified.
pub struct Verification {
    pub(crate) algorithm: SignatureAlgorithm,
    pub(crate) verify: Verify,
    pub(crate) verify_digest: Option<OverDigest>,
}

/// Verifies as [`Verify`] does, over the digest instead of the message.
#[derive(Clone, Copy)]
pub(crate) struct OverDigest {
    pub(crate) hash: HashAlgorithm,
    pub(crate) verify: Verify,
}

const fn over(hash: HashAlgorithm, verify: Verify) -> OverDigest {
    OverDigest { hash, verify }
}

/// ECDSA on P-256 with SHA-256.
pub static ECDSA_P256_SHA256: Verification = Verification {
    algorithm: SignatureAlgorithm::EcdsaP256Sha256,
    verify: |spki, message, signature| {
        p256(point(spki, SECP256R1)?, &Sha256::digest(message), signature)
    },
    verify_digest: Some(over(HashAlgorithm::Sha256, |spki, digest, signature| {
        p256(point(spki, SECP256R1)?, digest, signature)
    })),
};

/// ECDSA on P-384 with SHA-384.
pub static ECDSA_P384_SHA384: Verification = Verification {
    algorithm: SignatureAlgorithm::EcdsaP384Sha384,
    verify: |spki, message, signature| {
        p384(point(spki, SECP384R1)?, &Sha384::digest(message), signature)
    },
    verify_digest: Some(over(HashAlgorithm::Sha384, |spki, digest, signature| {
        p384(point(spki, SECP384R1)?, digest, signature)
    })),
};

/// ECDSA on P-384 with SHA-256.
pub static ECDSA_P384_SHA256: Verification = Verification {
    algorithm: SignatureAlgorithm::EcdsaP384Sha256,
    verify: |spki, message, signature| {
        p384(point(spki, SECP384R1)?, &Sha256::digest(message), signature)
    },
    verify_digest: Some(over(HashAlgorithm::Sha256, |spki, digest, signature| {
        p384(point(spki, SECP384R1)?, digest, signature)
    })),
};

/// Ed25519.
pub static ED25519: Verification =
    Verification { algorithm: SignatureAlgorithm::Ed25519, verify: ed25519, verify_digest: None };

/// Everything here.
pub static SIGNATURES: &[&Verification] =
    &[&ECDSA_P256_SHA256, &ECDSA_P384_SHA384, &ECDSA_P384_SHA256, &ED25519];

fn p256(point: &[u8], digest: &[u8], signature: &[u8]) -> Result<(), Error> {
    use p256::ecdsa::signature::hazmat::PrehashVerifier;
    use p256::ecdsa::{DerSignature, VerifyingKey};
    let key = VerifyingKey::from_sec1_bytes(point).map_err(|_| Error::BadKey)?;
    let signature = DerSignature::try_from(signature).map_err(|_| Error::BadSignature)?;
    key.verify_prehash(digest, &signature).map_err(|_| Error::BadSignature)
}

fn p384(point: &[u8], digest: &[u8], signature: &[u8]) -> Result<(), Error> {
    use p384::ecdsa::signature::hazmat::PrehashVerifier;
    use p384::ecdsa::{DerSignature, VerifyingKey};
    let key = VerifyingKey::from_sec1_bytes(point).map_err(|_| Error::BadKey)?;
    let signature = DerSignature::try_from(signature).map_err(|_| Error::BadSignature)?;
    key.verify_prehash(digest, &signature).map_err(|_| Error::BadSignature)
}

fn ed25519(spki_der: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Error> {
    use ed25519_dalek::{Signature, VerifyingKey};
    let spki = parse(spki_der)?;
    if spki.algorithm.oid != ID_ED25519 || spki.algorithm.parameters.is_some() {
        return Err(Error::BadKey);
    }
    let key = spki.subject_public_key.raw_bytes().try_into().map_err(|_| Error::BadKey)?;
    let key = VerifyingKey::from_bytes(key).map_err(|_| Error::BadKey)?;
    let signature = Signature::from_slice(signature).map_err(|_| Error::BadSignature)?;
    // RFC 8032 §8.4 leaves small-order keys to the verifier: a key like that vouches for nothing.
    key.verify_strict(message, &signature).map_err(|_| Error::BadSignature)
}

/// The SEC1 point of a key on that curve.
fn point(spki_der: &[u8], curve: ObjectIdentifier) -> Result<&[u8], Error> {
    let spki = parse(spki_der)?;
    let parameters = spki.algorithm.parameters_oid().map_err(|_| Error::BadKey)?;
    if spki.algorithm.oid != EC || parameters != curve {
        return Err(Error::BadKey);
    }
    let point = spki.subject_public_key.raw_bytes();
    // Uncompressed, as RFC 5480 §2.2 wants every verifier to know it and nearly nobody else does.
    if point.first() == Some(&4) { Ok(point) } else { Err(Error::BadKey) }
}

fn parse(spki_der: &[u8]) -> Result<SubjectPublicKeyInfoRef<'_>, Error> {
    let spki = SubjectPublicKeyInfoRef::try_from(spki_der).map_err(|_| Error::BadKey)?;
    // No bits to spare: every key here is whole octets.
    if spki.subject_public_key.unused_bits() == 0 { Ok(spki) } else { Err(Error::BadKey) }
}
