//! X.509 certificates: read, write, path validation, requests, CRLs, OCSP (RFC 5280, RFC 2986,
//! RFC 6960).
//!
//! What this is not: a store of keys, or a judge of what a certificate's holder may do. Keys are
//! behind [`touchstone_crypto::Signer`]; what a valid chain is good for is the caller's to say, by
//! the [`Purpose`] it asks for.
//!
//! Times are Unix seconds. Object identifiers are written with dots (`1.3.6.1.5.5.7.3.2`).
//!
//! ```
//! use touchstone_certs::issue::{Issuer, Kind, Template};
//! use touchstone_certs::{Name, Purpose, TrustStore};
//! use touchstone_crypto::{SignatureAlgorithm, Signer};
//! use touchstone_crypto_awslc::{AwsLc, SoftSigner};
//!
//! let (now, year) = (1_800_000_000, 31_536_000);
//! let ca_key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
//! let ca = Template::new(Kind::Root, Name::common_name("Plant 7")?, now, now + 10 * year)
//!     .self_sign(&AwsLc, &ca_key)?;
//! let device_key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
//! let device = Template::new(Kind::Device, Name::common_name("pump-3")?, now, now + year)
//!     .issue(&AwsLc, &Issuer::new(&ca, &ca_key)?, device_key.spki_der())?;
//!
//! let trust = TrustStore::new(vec![ca]);
//! let chain = trust.validate(&AwsLc, &device, &[], now + 60, Purpose::TlsClient)?;
//! assert_eq!(chain.leaf().subject(), "CN=pump-3");
//! # Ok::<(), touchstone_certs::Error>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::print_stderr,
        reason = "tests fail loudly"
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod algorithm;
mod certificate;
pub mod crl;
mod error;
mod extensions;
pub mod issue;
mod name;
pub mod ocsp;
mod path;
mod pem;
pub mod request;
mod signing;
mod time;
mod trust;

pub use certificate::{Certificate, ExtensionInfo, oid_name};
pub use crl::Crl;
pub use error::{Error, Fault, Malformed, Refusal};
pub use name::{AlternativeName, Name};
pub use path::{Algorithms, DangerousAlgorithms};
pub use request::CertificateRequest;
pub use signing::ToBeSigned;
pub use trust::{Chain, PathInputs, Purpose, Revocation, TrustStore};

/// The time of a certificate that does not expire: `99991231235959Z` (RFC 5280 §4.1.2.5).
pub const FOREVER: u64 = 253_402_300_799;
