//! The provider's trait, and the signer's.

use crate::{Digest, Error, HashAlgorithm};
use alloc::vec::Vec;

/// A signature scheme with its parameters fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384Sha384,
    /// ECDSA on P-384 with SHA-256: what some TPMs and CAs sign with.
    EcdsaP384Sha256,
    /// ECDSA on P-521 with SHA-384: the roots of some TPM vendors.
    EcdsaP521Sha384,
    /// ECDSA on P-521 with SHA-512: the roots of other TPM vendors.
    EcdsaP521Sha512,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2).
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RsaPkcs1Sha512,
    /// RSASSA-PSS with SHA-256 (RFC 8017 §8.1).
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384.
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512.
    RsaPssSha512,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ML-DSA-44 (FIPS 204), pure, with an empty context.
    MlDsa44,
    /// ML-DSA-65.
    MlDsa65,
    /// ML-DSA-87.
    MlDsa87,
    /// ECDSA on P-256 with SHA-384: verified only.
    EcdsaP256Sha384,
    /// ECDSA on P-256 with SHA-512: verified only.
    EcdsaP256Sha512,
    /// ECDSA on P-384 with SHA-512: verified only.
    EcdsaP384Sha512,
    /// ECDSA on P-521 with SHA-256: verified only.
    EcdsaP521Sha256,
    /// ECDSA on P-256 with SHA-1: verified only, and weak.
    EcdsaP256Sha1,
    /// RSASSA-PKCS1-v1_5 with SHA-1: verified only, and weak.
    RsaPkcs1Sha1,
}

impl SignatureAlgorithm {
    /// Every algorithm that is relied upon.
    pub const ALL: [Self; 15] = [
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::EcdsaP384Sha256,
        Self::EcdsaP521Sha384,
        Self::EcdsaP521Sha512,
        Self::RsaPkcs1Sha256,
        Self::RsaPkcs1Sha384,
        Self::RsaPkcs1Sha512,
        Self::RsaPssSha256,
        Self::RsaPssSha384,
        Self::RsaPssSha512,
        Self::Ed25519,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
    ];

    /// What TPMs and old certificates are signed with beside these: no key of ours signs so.
    pub const VERIFIED_ONLY: [Self; 6] = [
        Self::EcdsaP256Sha384,
        Self::EcdsaP256Sha512,
        Self::EcdsaP384Sha512,
        Self::EcdsaP521Sha256,
        Self::EcdsaP256Sha1,
        Self::RsaPkcs1Sha1,
    ];

    /// Whether it stands on SHA-1, for which collisions are made (RFC 9155 §1).
    pub const fn is_weak(self) -> bool {
        matches!(self, Self::EcdsaP256Sha1 | Self::RsaPkcs1Sha1)
    }

    /// The name in logs and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::EcdsaP384Sha384 => "ecdsa-p384-sha384",
            Self::EcdsaP384Sha256 => "ecdsa-p384-sha256",
            Self::EcdsaP521Sha384 => "ecdsa-p521-sha384",
            Self::EcdsaP521Sha512 => "ecdsa-p521-sha512",
            Self::RsaPkcs1Sha256 => "rsa-pkcs1-sha256",
            Self::RsaPkcs1Sha384 => "rsa-pkcs1-sha384",
            Self::RsaPkcs1Sha512 => "rsa-pkcs1-sha512",
            Self::RsaPssSha256 => "rsa-pss-sha256",
            Self::RsaPssSha384 => "rsa-pss-sha384",
            Self::RsaPssSha512 => "rsa-pss-sha512",
            Self::Ed25519 => "ed25519",
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
            Self::MlDsa87 => "ml-dsa-87",
            Self::EcdsaP256Sha384 => "ecdsa-p256-sha384",
            Self::EcdsaP256Sha512 => "ecdsa-p256-sha512",
            Self::EcdsaP384Sha512 => "ecdsa-p384-sha512",
            Self::EcdsaP521Sha256 => "ecdsa-p521-sha256",
            Self::EcdsaP256Sha1 => "ecdsa-p256-sha1",
            Self::RsaPkcs1Sha1 => "rsa-pkcs1-sha1",
        }
    }

    /// The relied-upon algorithm of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// A crypto provider: hash, verify, random. Keys that sign are [`Signer`]s.
pub trait Crypto: Send + Sync {
    /// The digest of the parts, one after another.
    fn hash(&self, algorithm: HashAlgorithm, parts: &[&[u8]]) -> Digest;

    /// Checks a signature over `message` by the key `spki_der`.
    fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        spki_der: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error>;

    /// Checks a signature over a message of which only the digest is known, of the hash that
    /// `algorithm` names. What signs no digest (Ed25519, ML-DSA) is [`Error::Unsupported`].
    fn verify_digest(
        &self,
        algorithm: SignatureAlgorithm,
        spki_der: &[u8],
        digest: &Digest,
        signature: &[u8],
    ) -> Result<(), Error> {
        let _ = (algorithm, spki_der, digest, signature);
        Err(Error::Unsupported)
    }

    /// Fills `out` with random octets fit for keys and nonces.
    fn random(&self, out: &mut [u8]) -> Result<(), Error>;
}

/// A key that signs, wherever it lives: a TPM, a token, a file.
pub trait Signer: Send + Sync {
    /// How it signs.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// Its public key, `SubjectPublicKeyInfo` in DER.
    fn spki_der(&self) -> &[u8];

    /// A signature over `message`, in the form that X.509 uses. May take as long as the key's
    /// holder needs.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error>;
}
