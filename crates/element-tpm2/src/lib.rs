//! TPM 2.0 as a secure element.
//!
//! Keys are made by the TPM under its storage root key and kept as TSS2 key files, which only this
//! TPM can use and which tpm2-tools and OpenSSL's TPM provider understand. Endorsement and device identity keys come from their TCG templates. What is secret or must
//! not be tampered with on the way (credentials, random octets, stored values) travels in an HMAC
//! session salted to the storage root key.
//!
//! What this is not: commands and sessions (`touchstone-tpm2` has them), nor a verifier.
//!
//! ```no_run
//! use touchstone_crypto::HashAlgorithm;
//! use touchstone_element::{Attesting, Element, Error, KeyAlgorithm, KeySpec, KeyUse, PcrSelection};
//! use touchstone_element_tpm2::Tpm;
//!
//! let mut tpm = Tpm::open_device("/dev/tpmrm0", "/var/lib/touchstone")?;
//! if tpm.public_key("lak")?.is_none() {
//!     tpm.create_key("lak", &KeySpec::new(KeyUse::Attest, KeyAlgorithm::P256))?;
//! }
//! let boot = PcrSelection::new(HashAlgorithm::Sha256, &[0, 1, 2, 3, 4, 5, 6, 7]);
//! let quote = tpm.quote("lak", &boot, b"the verifier's nonce")?;
//! # Ok::<(), Error>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

mod attesting;
mod bound;
mod counters;
mod element;
mod endorsement;
#[doc(hidden)]
pub mod hostile;
mod key_files;
mod kinds;
mod makers;
pub mod manufacture;
mod sealing;
mod storage;
mod told;
mod tpm;
mod uses;

pub use makers::MakersCertificates;
pub use tpm::Tpm;

/// A key of a shared TPM as a [`Signer`](touchstone_crypto::Signer): TLS client authentication,
/// certificate requests.
pub type TpmSigner = touchstone_element::ElementSigner<Tpm>;
