//! The private part of an object outside a TPM, `TPMT_SENSITIVE` (TPM 2.0 Part 2 §12.3.2.4): of a
//! software key on its way in.

use crate::Error;
use crate::auth::AuthValue;
use crate::kdf::Octets;
use crate::marshal::{Reader, Writer};
use crate::public::{ALG_ECC, ALG_KEYEDHASH, ALG_RSA, ALG_SYMCIPHER};
use core::fmt;
use zeroize::Zeroizing;

/// A private part that is ours to read. Wiped when dropped, silent in `Debug`.
#[derive(Clone)]
pub struct Sensitive {
    pub(crate) kind: u16,
    pub(crate) auth: AuthValue,
    /// What obfuscates the unique field of symmetric objects, and protects what is kept under storage
    /// keys; empty for other asymmetric keys.
    pub(crate) seed: Octets,
    pub(crate) value: Octets,
}

impl Sensitive {
    /// Of an RSA key: one of its primes, most significant octet first.
    pub fn rsa(prime: &[u8]) -> Self {
        Self::new(ALG_RSA, &[], prime)
    }

    /// Of a key on an elliptic curve: its scalar, as long as the curve's field.
    pub fn ecc(scalar: &[u8]) -> Self {
        Self::new(ALG_ECC, &[], scalar)
    }

    /// Of an HMAC key or sealed data; `seed` is random, a digest long.
    pub fn keyed_hash(seed: &[u8], value: &[u8]) -> Self {
        Self::new(ALG_KEYEDHASH, seed, value)
    }

    /// Of a cipher's key; `seed` is random, a digest long.
    pub fn cipher(seed: &[u8], key: &[u8]) -> Self {
        Self::new(ALG_SYMCIPHER, seed, key)
    }

    fn new(kind: u16, seed: &[u8], value: &[u8]) -> Self {
        Self {
            kind,
            auth: AuthValue::default(),
            seed: Zeroizing::new(seed.to_vec()),
            value: Zeroizing::new(value.to_vec()),
        }
    }

    /// With the authorization value that the object is to have.
    #[must_use]
    pub fn with_auth(mut self, auth: AuthValue) -> Self {
        self.auth = auth;
        self
    }

    /// Of an asymmetric key that others are kept under: random octets, a digest long.
    #[must_use]
    pub fn with_seed(mut self, seed: &[u8]) -> Self {
        self.seed = Zeroizing::new(seed.to_vec());
        self
    }

    /// The secret itself: a prime, a scalar, a key or data.
    pub fn expose(&self) -> &[u8] {
        &self.value
    }

    /// Reads a `TPMT_SENSITIVE`, all of it.
    pub(crate) fn decode(octets: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(octets);
        let kind = reader.u16()?;
        if ![ALG_RSA, ALG_ECC, ALG_KEYEDHASH, ALG_SYMCIPHER].contains(&kind) {
            return Err(Error::Malformed("its private part is of no known kind"));
        }
        let auth = AuthValue::new(reader.sized()?);
        let mut read = Self::new(kind, reader.sized()?, reader.sized()?);
        reader.end()?;
        read.auth = auth;
        Ok(read)
    }

    /// Writes the `TPMT_SENSITIVE`.
    pub(crate) fn encode(&self) -> Result<Octets, Error> {
        let writer = Writer::default()
            .u16(self.kind)
            .sized(self.auth.expose())?
            .sized(&self.seed)?
            .sized(&self.value)?;
        Ok(Zeroizing::new(writer.done()))
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sensitive").field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_private_part_never_shows_in_debug() {
        let secret = Sensitive::ecc(&[77; 32]).with_auth(AuthValue::new(&[77; 4]));
        assert!(!format!("{secret:?}").contains("77"));
    }
}
