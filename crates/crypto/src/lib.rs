//! Names of algorithms and the traits of a crypto provider.
//!
//! A provider is a value that is passed to whoever needs it: there are no globals.
//! What this is not: an implementation. `touchstone-crypto-awslc` is one.
//!
//! Public keys are `SubjectPublicKeyInfo` in DER (RFC 5280 §4.1.2.7) everywhere, and ECDSA
//! signatures are the DER form of RFC 3279 §2.2.3; [`ecdsa`] converts to and from the fixed form
//! that JOSE and COSE use.
//!
//! ```
//! use touchstone_crypto::HashAlgorithm;
//! assert_eq!(HashAlgorithm::from_name("sha256"), Some(HashAlgorithm::Sha256));
//! assert_eq!(HashAlgorithm::Sha384.len(), 48);
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail loudly"))]

extern crate alloc;

mod digest;
pub mod ecdsa;
mod envelope;
mod error;
mod provider;
mod tpm;
mod verified;

pub use digest::{Digest, HashAlgorithm, ParseDigestError};
pub use envelope::{Decrypter, EnvelopeCrypto, Hasher, Hashing, Opening, RsaPadding, Shared};
pub use error::Error;
pub use provider::{Crypto, SignatureAlgorithm, Signer};
pub use tpm::{Agreed, Curve, Direction, TpmCrypto};
pub use verified::Verified;
