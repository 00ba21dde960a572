//! The crypto traits on RustCrypto, in Rust alone: for microcontrollers and other places without an
//! operating system or a C compiler.
//!
//! It does SHA-1 and SHA-2, HMAC, AES-CFB, ECDH on P-256 and P-384, and verifies ECDSA on those
//! curves and Ed25519. What it does not do is [`Error::Unsupported`]: RSA, which has no stable
//! library here (so a session with such a TPM is salted with a P-256 key), and P-521.
//!
//! What is not listed is not linked: [`Soft::new`] offers everything, [`Soft::signatures`] and its
//! neighbours choose. Every hash is always there. Where flash is short, build with
//! `RUSTFLAGS='--cfg sha2_backend_soft="compact" --cfg aes_backend_soft="compact"'`.
//!
//! What this is not: a place for algorithms of our own, nor a source of randomness: whoever makes a
//! [`Soft`] says where random octets come from.
//!
//! ```
//! use touchstone_crypto::{Crypto, Error, HashAlgorithm};
//! use touchstone_crypto_soft::Soft;
//!
//! fn from_hardware(out: &mut [u8]) -> Result<(), Error> {
//!     // A register of the microcontroller goes here; this one has none.
//!     Err(Error::NoRandom)
//! }
//! static SOFT: Soft = Soft::new(from_hardware);
//!
//! assert_eq!(SOFT.hash(HashAlgorithm::Sha256, &[b"a", b"bc"]).as_bytes().len(), 32);
//! assert_eq!(SOFT.random(&mut [0; 16]), Err(Error::NoRandom));
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

extern crate alloc;

mod tpm;
mod verify;

use core::fmt;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use touchstone_crypto::{Crypto, Digest, Error, HashAlgorithm, SignatureAlgorithm};

pub use tpm::{
    AES_128, AES_256, AGREEMENTS, Agreement, CIPHERS, Cipher, HMAC_SHA1, HMAC_SHA256, HMAC_SHA384,
    HMAC_SHA512, MACS, MacAlgorithm, P256, P384,
};
pub use verify::{
    ECDSA_P256_SHA256, ECDSA_P384_SHA256, ECDSA_P384_SHA384, ED25519, SIGNATURES, Verification,
};

/// Fills its argument with random octets fit for keys, or says that it cannot.
pub type Random = fn(&mut [u8]) -> Result<(), Error>;

/// The provider.
#[derive(Clone, Copy)]
pub struct Soft {
    random: Random,
    signatures: &'static [&'static Verification],
    agreements: &'static [&'static Agreement],
    macs: &'static [&'static MacAlgorithm],
    ciphers: &'static [&'static Cipher],
}

impl Soft {
    /// A provider that takes its random octets from there: a hardware source, or a generator that
    /// one seeds.
    pub const fn new(random: Random) -> Self {
        Self {
            random,
            signatures: SIGNATURES,
            agreements: AGREEMENTS,
            macs: MACS,
            ciphers: CIPHERS,
        }
    }

    /// Verifies these signatures and no others.
    #[must_use]
    pub const fn signatures(mut self, signatures: &'static [&'static Verification]) -> Self {
        self.signatures = signatures;
        self
    }

    /// Agrees on these curves and no others.
    #[must_use]
    pub const fn agreements(mut self, agreements: &'static [&'static Agreement]) -> Self {
        self.agreements = agreements;
        self
    }

    /// Authenticates with these and no others.
    #[must_use]
    pub const fn macs(mut self, macs: &'static [&'static MacAlgorithm]) -> Self {
        self.macs = macs;
        self
    }

    /// Encrypts with these and no others.
    #[must_use]
    pub const fn ciphers(mut self, ciphers: &'static [&'static Cipher]) -> Self {
        self.ciphers = ciphers;
        self
    }
}

impl fmt::Debug for Soft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Soft")
    }
}

impl Crypto for Soft {
    fn hash(&self, algorithm: HashAlgorithm, parts: &[&[u8]]) -> Digest {
        match algorithm {
            HashAlgorithm::Sha1 => hash::<Sha1>(algorithm, parts),
            HashAlgorithm::Sha384 => hash::<Sha384>(algorithm, parts),
            HashAlgorithm::Sha512 => hash::<Sha512>(algorithm, parts),
            _ => hash::<Sha256>(algorithm, parts),
        }
    }

    fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        spki_der: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let listed = self.signatures.iter().find(|listed| listed.algorithm == algorithm);
        let verify = listed.ok_or(Error::Unsupported)?.verify;
        verify(spki_der, message, signature)
    }

    fn verify_digest(
        &self,
        algorithm: SignatureAlgorithm,
        spki_der: &[u8],
        digest: &Digest,
        signature: &[u8],
    ) -> Result<(), Error> {
        let listed = self.signatures.iter().find(|listed| listed.algorithm == algorithm);
        let over = listed.and_then(|listed| listed.verify_digest).ok_or(Error::Unsupported)?;
        if digest.algorithm() != over.hash {
            return Err(Error::BadSignature);
        }
        (over.verify)(spki_der, digest.as_bytes(), signature)
    }

    fn random(&self, out: &mut [u8]) -> Result<(), Error> {
        (self.random)(out)
    }
}

fn hash<H: sha2::Digest>(algorithm: HashAlgorithm, parts: &[&[u8]]) -> Digest {
    let mut hasher = H::new();
    for part in parts {
        hasher.update(part);
    }
    // The digest has the algorithm's length by construction.
    Digest::new(algorithm, &hasher.finalize()).unwrap_or(Digest::zero(algorithm))
}
