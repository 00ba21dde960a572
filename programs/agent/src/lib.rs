//! The Attester: what the daemon on the device is made of.
//!
//! Two processes, one program: the `keeper` holds the keys and every privilege, the `network` half
//! speaks with strangers and holds neither; `link` is the line between them. `collect` measures and
//! `respond` acts for the keeper. What this is not: a judge. Whether the device is trustworthy is for
//! the fleet's Verifier to say; the agent obeys its signed result.
#![deny(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

pub mod collect;
pub mod config;
pub mod keeper;
pub mod keys;
pub mod ldevid;
pub mod link;
pub mod network;
pub mod offloop;
pub mod respond;
pub mod run;
pub mod state;
pub mod status;
pub mod trail;
pub mod update;

#[cfg(test)]
mod tests;
