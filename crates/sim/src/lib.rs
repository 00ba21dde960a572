//! Simulated link, clock and key store, and the laws that every engine is held to.
#![forbid(unsafe_code)]
