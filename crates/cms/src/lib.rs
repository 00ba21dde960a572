//! CMS: envelopes with several signers (RFC 5652 §5), encrypted envelopes (RFC 5652 §6, RFC 5083), and
//! bags of certificates.
//!
//! What this is not: a judge of who may sign. [`SignedData::verify`] proves that each signer named
//! in the envelope holds the key of its certificate and signed this content; whether such a
//! certificate counts is for [`touchstone_certs::TrustStore`] and the caller.
//!
//! Stricter than the standard where that protects: signed attributes have to be there and in DER, or
//! content could pass for somebody's attributes; nobody signs twice; no digest and no signature of
//! MD5 or SHA-1; who was named by another signer has to be there.
//!
//! ```
//! use touchstone_certs::Name;
//! use touchstone_certs::issue::{Kind, Template};
//! use touchstone_cms::{DATA, SignedData};
//! use touchstone_crypto::SignatureAlgorithm;
//! use touchstone_crypto_awslc::{AwsLc, SoftSigner};
//!
//! let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
//! let now = 1_800_000_000;
//! let publisher = Template::new(Kind::CodeSigner, Name::common_name("Publisher")?, now, now + 60)
//!     .self_sign(&AwsLc, &key)?;
//!
//! let der = SignedData::sign(&AwsLc, b"content", DATA, &[(&publisher, &key)], now)?;
//! let signed = SignedData::decode(&der)?.verify(&AwsLc)?;
//! assert_eq!(signed.content(), b"content");
//! assert_eq!(signed.signers()[0].certificate, publisher);
//! # Ok::<(), Box<dyn std::error::Error>>(())
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

mod ber;
mod encode;
mod enveloped;
mod error;
mod kind;
mod oids;
mod signed;
mod timestamp;

pub use enveloped::{Accept, ContentCipher, Enveloped, Recipient, ToOpen};
pub use error::{Error, Refusal, Why};
pub use kind::Kind;
pub use signed::{
    Claims, Detached, Signed, SignedBy, SignedData, SignedReader, SignedWriter, Signers, ToSign,
    Unverified, certs_only, crls_only, read_certs_only,
};
pub use timestamp::{Timestamp, TimestampRequest, TimestampToken};

/// `id-data` (RFC 5652 §4): octets of any kind.
pub const DATA: &str = "1.2.840.113549.1.7.1";

/// As much as an envelope in memory may hold.
pub const MOST_OCTETS: usize = 256 * 1024 * 1024;
const MOST_SIGNERS: usize = 16;
const MOST_CERTIFICATES: usize = 64;
