//! TPM 2.0 as a secure element: commands, sessions, transports.
//!
//! Keys are made by the TPM under its storage root key and kept as files that only this TPM can
//! use. Endorsement and device identity keys come from their TCG templates. What is secret or must
//! not be tampered with on the way (credentials, random octets, stored values) travels in an HMAC
//! session salted to the storage root key.
//!
//! What this is not: a TPM software stack, nor a verifier. [`credential::make`] and [`public`] are
//! the two parts that also serve those who have no TPM.
//!
//! ```no_run
//! use touchstone_crypto::{HashAlgorithm, SignatureAlgorithm};
//! use touchstone_element::{Attesting, Element, Error, KeyUse, PcrSelection};
//! use touchstone_element_tpm2::Tpm;
//!
//! let mut tpm = Tpm::open_device("/dev/tpmrm0", "/var/lib/touchstone")?;
//! if tpm.public_key("lak")?.is_none() {
//!     tpm.create_key("lak", KeyUse::Attest, SignatureAlgorithm::EcdsaP256Sha256)?;
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

mod command;
mod context;
pub mod credential;
mod endorsement;
#[doc(hidden)]
pub mod hostile;
mod kdf;
mod key_files;
pub mod manufacture;
mod marshal;
mod nv;
mod pcr;
mod policy;
pub mod public;
pub mod response;
mod response_code;
mod session;
pub mod signature;
mod template;
mod tpm;
mod transport;

pub use public::name_of;
pub use tpm::Tpm;
pub use transport::Transport;

/// A key of a shared TPM as a [`Signer`](touchstone_crypto::Signer): TLS client authentication,
/// certificate requests.
pub type TpmSigner = touchstone_element::ElementSigner<Tpm>;
