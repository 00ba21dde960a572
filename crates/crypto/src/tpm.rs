//! What talking to a TPM takes beyond hashing and verifying (TPM 2.0 Part 1 §11.4, Annex B and C):
//! sessions, parameter encryption, credentials, duplication.

use crate::{Crypto, Digest, Error, HashAlgorithm};
use alloc::vec::Vec;
use core::fmt;
use zeroize::Zeroizing;

/// A provider that can hold a conversation with a TPM.
///
/// What a provider does not offer it answers with [`Error::Unsupported`].
pub trait TpmCrypto: Crypto {
    /// HMAC (FIPS 198-1) of the parts, one after another.
    fn hmac(&self, algorithm: HashAlgorithm, key: &[u8], parts: &[&[u8]]) -> Result<Digest, Error>;

    /// AES in CFB mode with full feedback (SP 800-38A §6.3), in place. The key is 16 or 32 octets;
    /// the data may have any length.
    fn aes_cfb(
        &self,
        key: &[u8],
        iv: &[u8; 16],
        data: &mut [u8],
        direction: Direction,
    ) -> Result<(), Error>;

    /// ECDH (SP 800-56A §5.7.1.2) between a fresh key pair and the point `(x, y)`, each
    /// [`Curve::len`] octets. A point off the curve is [`Error::BadKey`].
    fn agree(&self, curve: Curve, x: &[u8], y: &[u8]) -> Result<Agreed, Error>;

    /// RSAES-OAEP (RFC 8017 §7.1.1), the hash being the mask generation's too. `modulus` has its
    /// most significant octet first; `label` is hashed as it is.
    fn rsa_oaep(
        &self,
        modulus: &[u8],
        exponent: u32,
        hash: HashAlgorithm,
        label: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error>;
}

/// Which way a cipher goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Plain to secret.
    Encrypt,
    /// Secret to plain.
    Decrypt,
}

/// A NIST prime curve (FIPS 186-4 Annex D).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Curve {
    /// secp256r1.
    P256,
    /// secp384r1.
    P384,
    /// secp521r1.
    P521,
}

impl Curve {
    /// Every curve, smallest first.
    pub const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// The name in logs and configuration: `p256`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::P521 => "p521",
        }
    }

    /// Octets in a coordinate.
    #[expect(clippy::len_without_is_empty, reason = "no coordinate is empty")]
    pub const fn len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// `TPM_ECC_CURVE` (TCG Algorithm Registry §6.5).
    pub const fn tpm_id(self) -> u16 {
        match self {
            Self::P256 => 0x0003,
            Self::P384 => 0x0004,
            Self::P521 => 0x0005,
        }
    }

    /// The curve of that `TPM_ECC_CURVE`.
    pub fn from_tpm_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.tpm_id() == id)
    }
}

/// A fresh public point, and what its key agreed on; coordinates are [`Curve::len`] octets.
pub struct Agreed {
    /// The fresh point's x.
    pub x: Vec<u8>,
    /// The fresh point's y.
    pub y: Vec<u8>,
    /// The shared secret: the x of the common point.
    pub z: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agreed").field("x", &self.x).field("y", &self.y).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec};

    #[test]
    fn a_curve_is_found_by_its_number() {
        for curve in Curve::ALL {
            assert_eq!(Curve::from_tpm_id(curve.tpm_id()), Some(curve));
        }
        assert_eq!(Curve::from_tpm_id(0x10), None);
    }

    #[test]
    fn a_shared_secret_never_shows_in_debug() {
        let agreed = Agreed { x: vec![1], y: vec![2], z: Zeroizing::new(vec![77]) };
        assert_eq!(format!("{agreed:?}"), "Agreed { x: [1], y: [2], .. }");
    }
}
