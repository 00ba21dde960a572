//! The keys that sign tokens, and their algorithms in JOSE and COSE.

use super::Error;
use crate::tpm::KeyKind;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, SignatureAlgorithm, ecdsa};

/// A public key that tokens are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey {
    spki_der: Vec<u8>,
    scheme: &'static Scheme,
}

/// A signature algorithm in its three spellings.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scheme {
    algorithm: SignatureAlgorithm,
    /// RFC 7518 §3.1.
    pub(super) jose: &'static str,
    /// RFC 9053 §2.1.
    pub(super) cose: coset::iana::Algorithm,
    /// Octets of each number in a signature.
    len: usize,
}

static SCHEMES: [Scheme; 2] = [
    Scheme {
        algorithm: SignatureAlgorithm::EcdsaP256Sha256,
        jose: "ES256",
        cose: coset::iana::Algorithm::ES256,
        len: 32,
    },
    Scheme {
        algorithm: SignatureAlgorithm::EcdsaP384Sha384,
        jose: "ES384",
        cose: coset::iana::Algorithm::ES384,
        len: 48,
    },
];

impl Scheme {
    pub(super) fn of(algorithm: SignatureAlgorithm) -> Result<&'static Self, Error> {
        SCHEMES.iter().find(|scheme| scheme.algorithm == algorithm).ok_or(Error::Algorithm)
    }

    /// From the form of X.509 to that of JOSE and COSE.
    pub(super) fn fixed(&self, der: &[u8]) -> Result<Vec<u8>, Error> {
        ecdsa::der_to_fixed(der, self.len).map_err(Error::Signer)
    }
}

impl TokenKey {
    /// The key `spki_der` that signs with `algorithm`: ECDSA on P-256 or P-384 with the curve's
    /// own hash.
    pub fn new(spki_der: &[u8], algorithm: SignatureAlgorithm) -> Result<Self, Error> {
        Ok(Self { spki_der: spki_der.to_vec(), scheme: Scheme::of(algorithm)? })
    }

    /// The key `spki_der`, whose curve tells its algorithm.
    pub fn from_spki(spki_der: &[u8]) -> Result<Self, Error> {
        let algorithm = match KeyKind::of(spki_der) {
            Ok(KeyKind::P256) => SignatureAlgorithm::EcdsaP256Sha256,
            Ok(KeyKind::P384) => SignatureAlgorithm::EcdsaP384Sha384,
            _ => return Err(Error::Key),
        };
        Self::new(spki_der, algorithm)
    }

    /// `SubjectPublicKeyInfo` in DER.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    pub(super) const fn scheme(&self) -> &'static Scheme {
        self.scheme
    }

    /// Checks a signature in the fixed form.
    pub(super) fn verify(
        &self,
        crypto: &dyn Crypto,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        if signature.len() != 2 * self.scheme.len {
            return Err(Error::Signature);
        }
        let der = ecdsa::fixed_to_der(signature).map_err(|_| Error::Signature)?;
        crypto
            .verify(self.scheme.algorithm, &self.spki_der, message, &der)
            .map_err(|_| Error::Signature)
    }
}
