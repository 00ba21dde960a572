//! The Attester: what the daemon on the device is made of.
//!
//! `collect` measures, `respond` acts, the rest carries. What this is not: a judge. Whether the
//! device is trustworthy is for the fleet's Verifier to say; the agent obeys its signed result.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

pub mod agent;
pub mod attest;
pub mod collect;
pub mod config;
pub mod enrolment;
pub mod fleet;
pub mod keys;
pub mod offloop;
pub mod respond;
pub mod run;
pub mod state;
pub mod status;
pub mod tunnel;
pub mod update;

#[cfg(test)]
mod tests;
