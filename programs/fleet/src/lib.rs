//! The fleet: registrar, certification authority, verifier, courier of updates, and console.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

pub mod api;
pub mod clock;
pub mod config;
mod error;
pub mod store;

pub use error::Error;
