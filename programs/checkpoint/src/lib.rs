//! The Relying Party at the network edge: carries a flow only while the fleet's Verifier vouches
//! for the device behind it.
//!
//! A device connects with mutual TLS (its LDevID), asks for a route by HTTP `CONNECT`, and shows
//! its attestation result. What flows is end-to-end TLS of others: the checkpoint never sees
//! plaintext. The fleet's feed of results keeps a flow open, or cuts it within a second.
//!
//! What this is not: a Verifier. It reads signed results and judges no evidence; the decision
//! itself is `appraise::Gate`'s.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

pub mod book;
pub mod config;
pub mod edge;
pub mod event;
pub mod feed;
pub mod listen;
pub mod refusal;
pub mod run;
pub mod staple;
pub mod trail;

#[cfg(test)]
mod tests;
