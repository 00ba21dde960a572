//! A simulated link, clock and owner, and the laws that every engine is held to.
//! Time is a number here and chance has a seed, so a failure happens again.
//! What this is not: shipped.
#![forbid(unsafe_code)]
#![allow(
    clippy::missing_panics_doc,
    reason = "a broken law panics: that is what this crate is for"
)]

pub mod laws;
mod link;
mod world;

pub use link::{Chance, Link, Weather};
pub use world::{Ending, Endings, Owner, Side, World};
