//! Who asks, over HTTP: Basic (RFC 7617) and Digest with SHA-256 (RFC 7616), as pure functions over
//! the values of `Authorization` and `WWW-Authenticate`.
//!
//! What this is not: a book of passwords. A server keeps of each what [`secret`] makes of it, and asks
//! for it by name. Digest with MD5 is refused on both sides: RFC 7616 §3.3 keeps it for the past alone.
//!
//! ```
//! use touchstone_crypto_awslc::AwsLc;
//! use touchstone_httpauth::{Challenge, Digest, Nonces, secret};
//!
//! let mut nonces = Nonces::new(&AwsLc)?;
//! let challenge = nonces.challenge(&AwsLc, "est", 1_000, false)?;
//! let shown = Challenge::parse(&challenge.to_string()).unwrap();
//! let header = shown.answer(&AwsLc, "pump-3", "open sesame", "POST", "/x")?;
//!
//! let digest = Digest::parse(&header)?;
//! assert_eq!(digest.user(), "pump-3");
//! nonces.check(&AwsLc, &digest, 1_001)?;
//! digest.verify(&AwsLc, "est", "POST", "/x", &secret(&AwsLc, "pump-3", "est", "open sesame"))?;
//! # Ok::<(), touchstone_httpauth::Error>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

extern crate alloc;

mod basic;
mod challenge;
mod digest;
mod error;
mod nonces;
mod parameters;

pub use basic::Basic;
pub use challenge::Challenge;
pub use digest::{Digest, secret};
pub use error::Error;
pub use nonces::Nonces;
