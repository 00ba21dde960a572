//! A publisher's key: which kind, how long, and how the kernel names it.

use super::{PublisherFault, SignatureFault};
use alloc::vec::Vec;
use core::fmt;
use der::asn1::UintRef;
use der::{Decode, Sequence};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, SignatureAlgorithm};

/// The last four octets of a key's identifier: its certificate's subjectKeyIdentifier, or the SHA-1
/// of the key itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

impl KeyId {
    /// From an identifier; `None` if it is shorter than that.
    pub fn of(identifier: &[u8]) -> Option<Self> {
        identifier.last_chunk().copied().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// The fewest bits of an RSA modulus that counts.
const LEAST_RSA: u16 = 2048;

/// What a key can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Rsa { bits: u16 },
    P256,
    P384,
    P521,
}

/// RFC 8017 §A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl Scheme {
    /// The scheme of a `SubjectPublicKeyInfo`, and the key's octets, whose SHA-1 names it.
    pub(super) fn of(spki_der: &[u8]) -> Result<(Self, Vec<u8>), PublisherFault> {
        let failed = |_| PublisherFault::Key;
        let spki = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(failed)?;
        let key = spki.subject_public_key.as_bytes().ok_or(PublisherFault::Key)?;
        let scheme = match spki.algorithm.oid {
            RSA => {
                let key = RsaPublicKey::from_der(key).map_err(failed)?;
                let modulus = key.modulus.as_bytes();
                let zeros = modulus.first().map_or(0, |octet| octet.leading_zeros());
                let bits = u32::try_from(modulus.len() * 8).unwrap_or(u32::MAX) - zeros;
                Self::Rsa { bits: u16::try_from(bits).map_err(|_| PublisherFault::UnsupportedKey)? }
            }
            EC => match spki.algorithm.parameters_oid().map_err(|_| PublisherFault::Key)? {
                P256 => Self::P256,
                P384 => Self::P384,
                P521 => Self::P521,
                _ => return Err(PublisherFault::UnsupportedKey),
            },
            _ => return Err(PublisherFault::UnsupportedKey),
        };
        Ok((scheme, key.to_vec()))
    }

    /// Whether its signatures can be relied on.
    pub(super) const fn weak(self) -> Option<u16> {
        match self {
            Self::Rsa { bits } if bits < LEAST_RSA => Some(bits),
            _ => None,
        }
    }

    /// The algorithm of its signatures over messages that are hashed so.
    pub(super) const fn over(self, hash: HashAlgorithm) -> Option<SignatureAlgorithm> {
        Some(match (self, hash) {
            (Self::Rsa { .. }, HashAlgorithm::Sha256) => SignatureAlgorithm::RsaPkcs1Sha256,
            (Self::Rsa { .. }, HashAlgorithm::Sha384) => SignatureAlgorithm::RsaPkcs1Sha384,
            (Self::Rsa { .. }, HashAlgorithm::Sha512) => SignatureAlgorithm::RsaPkcs1Sha512,
            (Self::P256, HashAlgorithm::Sha256) => SignatureAlgorithm::EcdsaP256Sha256,
            (Self::P384, HashAlgorithm::Sha256) => SignatureAlgorithm::EcdsaP384Sha256,
            (Self::P384, HashAlgorithm::Sha384) => SignatureAlgorithm::EcdsaP384Sha384,
            (Self::P521, HashAlgorithm::Sha384) => SignatureAlgorithm::EcdsaP521Sha384,
            (Self::P521, HashAlgorithm::Sha512) => SignatureAlgorithm::EcdsaP521Sha512,
            _ => return None,
        })
    }

    /// Checks a signature over a digest.
    pub(super) fn verify(
        self,
        crypto: &dyn Crypto,
        spki_der: &[u8],
        digest: &Digest,
        signature: &[u8],
    ) -> Result<(), SignatureFault> {
        let digest = self.shortened(*digest);
        let algorithm = self.over(digest.algorithm()).ok_or(SignatureFault::UnsupportedKey)?;
        crypto.verify_digest(algorithm, spki_der, &digest, signature).map_err(fault)
    }

    /// FIPS 186-5 §6.4.1: of a digest longer than the curve's order, ECDSA takes the first bits. So
    /// a long digest is verified as the short one that it begins with.
    fn shortened(self, digest: Digest) -> Digest {
        let fitting = match (self, digest.algorithm()) {
            (Self::P256, HashAlgorithm::Sha384 | HashAlgorithm::Sha512) => HashAlgorithm::Sha256,
            (Self::P384, HashAlgorithm::Sha512) => HashAlgorithm::Sha384,
            _ => return digest,
        };
        let first = digest.as_bytes().get(..fitting.len()).unwrap_or(&[]);
        Digest::new(fitting, first).unwrap_or(digest)
    }
}

/// What a provider's refusal means here.
pub(super) fn fault(error: touchstone_crypto::Error) -> SignatureFault {
    match error {
        touchstone_crypto::Error::Unsupported => SignatureFault::UnsupportedKey,
        _ => SignatureFault::Wrong,
    }
}
