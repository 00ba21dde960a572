//! Registrar, CA, Verifier, updates and console of a fleet.
#![forbid(unsafe_code)]

fn main() {}
