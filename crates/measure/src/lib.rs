//! Measurements and the logs that explain them: the TCG event log and the IMA list. Parse one,
//! replay it, describe its events; and tell before a boot what it will measure.
//!
//! What this is not: a judge. Whether a replayed value is the quoted one is for `evidence` to
//! check, and whether what was measured is acceptable is for `appraise` to say.
//!
//! ```
//! use touchstone_crypto::HashAlgorithm;
//! use touchstone_measure::Pcrs;
//! let pcrs = Pcrs::reset(HashAlgorithm::Sha256);
//! assert!(pcrs.value(7).is_some());
//! assert!(pcrs.value(24).is_none());
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

extern crate alloc;

pub mod authenticode;
mod error;
pub mod ima;
mod pcrs;
pub mod predict;
pub mod tcg;

pub use error::{Error, Problem};
pub use pcrs::{PCR_COUNT, Pcrs};
