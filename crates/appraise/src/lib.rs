//! The Verifier core (RFC 9334): Evidence + Endorsements + Reference Values + Policy ->
//! Attestation Result.
//!
//! [`Verifier::appraise`] takes verified evidence and nothing less, makes the claims of
//! [`catalog()`] from it and from the signed [`References`], lets the policy judge them, and gives
//! an [`Appraisal`] that says per control why. [`ear`] signs it as an EAT Attestation Result, and
//! [`admission`] is where a Relying Party decides by one. What this is not: a reader of sockets,
//! files or clocks; the time is handed in.
//!
//! ```
//! use touchstone_policy::Policy;
//! let policy = r#"policy p version 1 schema 1
//! control secure-boot {
//!   title    "Images must be signed"
//!   severity high
//!   require  boot.secure-boot
//!   else     configuration contraindicated
//! }"#;
//! assert!(Policy::parse(policy, &touchstone_appraise::catalog()).is_ok());
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

#[macro_use]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod admission;
mod appraisal;
mod catalog;
pub mod claims;
pub mod ear;
mod evaluated;
pub mod extension;
mod facts;
mod judged;
pub mod references;
mod verifier;

pub use admission::{Admitted, Gate, Refusal};
pub use appraisal::{Appraisal, ControlResult, EventRef, LogName, NotEvaluated, TrustVector};
pub use catalog::{SCHEMA, catalog};
pub use ear::{Confirmation, Ear, VerifierId, VerifierKey};
pub use facts::rests_on;
pub use judged::Judged;
pub use references::{Document, References};
pub use touchstone_policy::Status;
pub use touchstone_policy::ar4si::{Dimension, Tier};
pub use verifier::{DeviceFacts, Judgement, Verifier, reason};
