//! Evidence and Endorsements (RFC 9334): decode, verify, claims.
//!
//! An Attester sends a quote, the logs that explain it and its run-time claims ([`Evidence`]);
//! before that, once, what makes its attestation key believable ([`endorse`]). What verifies is a
//! [`Verified`](touchstone_crypto::Verified) value, and only from such a value come [`Claims`].
//! What this is not: an opinion. Whether the claims are acceptable is for `appraise` to say.
//!
//! ```
//! use touchstone_crypto_awslc::AwsLc;
//! use touchstone_evidence::{Challenge, binding};
//! let challenge = Challenge::standard(vec![7; 32]);
//! let again = Challenge::decode(&challenge.encode()).expect("what was encoded decodes");
//! assert_eq!(again, challenge);
//! assert_ne!(binding(&AwsLc, &[7; 32], b"runtime"), binding(&AwsLc, &[8; 32], b"runtime"));
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

extern crate alloc;
#[cfg(test)]
#[macro_use]
extern crate std;

mod cbor;
mod challenge;
pub mod claims;
pub mod cmw;
pub mod eat;
pub mod endorse;
pub mod envelope;
mod error;
mod history;
mod quoted;
mod recorded;
pub mod runtime;
pub mod token;
pub mod tpm;
pub mod tpm2_tools;

pub use challenge::{Challenge, ImaMark, MAX_NONCE, MIN_NONCE, PcrSelection};
pub use claims::{Claims, claims};
pub use error::Error;
pub use history::History;
pub use quoted::{Evidence, MAX_EVIDENCE, QuoteParts, binding};
pub use recorded::{Account, Recorded};
pub use runtime::RuntimeClaims;
