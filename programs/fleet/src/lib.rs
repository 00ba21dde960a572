//! The fleet: registrar, certification authority, verifier, courier of updates, and console.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

pub mod api;
pub mod authority;
pub mod check;
pub mod clock;
pub mod commands;
pub mod config;
pub mod console;
pub mod device_log;
mod error;
pub mod fleet;
pub mod judge;
pub mod policy;
pub mod registration;
pub mod run;
pub mod secure;
pub mod serve;
pub mod sessions;
pub mod ship;
pub mod state;
pub mod store;
mod throttle;
pub mod trail;
pub mod trust;

pub use error::Error;
