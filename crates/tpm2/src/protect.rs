//! The outer wrapping of what only one TPM shall read: credentials and duplicated objects (TPM 2.0
//! Part 1 §23.3, §24). The seed, and how it gets to that TPM, is
//! [`secret_for`](crate::session::secret_for).

use crate::Error;
use crate::kdf::{Octets, kdfa};
use crate::marshal::Writer;
use crate::public::attributes::{DECRYPT, RESTRICTED};
use crate::public::{Public, Symmetric};
use alloc::vec::Vec;
use touchstone_crypto::{Direction, HashAlgorithm, TpmCrypto};

/// A wrapping under a seed: the cipher and the hash are those of the key that the seed is for.
pub(crate) struct Wrapping<'a> {
    crypto: &'a dyn TpmCrypto,
    hash: HashAlgorithm,
    cipher_key: Octets,
    integrity_key: Octets,
    name: &'a [u8],
}

impl<'a> Wrapping<'a> {
    /// For the restricted decryption key `key`, about the object of that name.
    pub(crate) fn new(
        key: &Public,
        seed: &[u8],
        name: &'a [u8],
        crypto: &'a dyn TpmCrypto,
    ) -> Result<Self, Error> {
        if key.attributes & (DECRYPT | RESTRICTED) != DECRYPT | RESTRICTED {
            return Err(Error::BadInput("the key is not a restricted decryption key"));
        }
        let Symmetric::AesCfb { bits } = key.symmetric else {
            return Err(Error::BadInput("the key has no cipher to protect with"));
        };
        let hash = key.name_algorithm;
        let cipher_key = kdfa(crypto, hash, seed, b"STORAGE", name, &[], usize::from(bits) / 8)?;
        let integrity_key = kdfa(crypto, hash, seed, b"INTEGRITY", &[], &[], hash.len())?;
        Ok(Self { crypto, hash, cipher_key, integrity_key, name })
    }

    /// Encrypts, and puts the integrity value in front.
    pub(crate) fn seal(&self, mut plain: Octets) -> Result<Vec<u8>, Error> {
        // Part 1 §24.4: the key serves once, so the initial vector is zero.
        self.crypto.aes_cfb(&self.cipher_key, &[0; 16], &mut plain, Direction::Encrypt)?;
        let integrity = self.crypto.hmac(self.hash, &self.integrity_key, &[&plain, self.name])?;
        Ok(Writer::default().sized(integrity.as_bytes())?.octets(&plain).done())
    }
}
