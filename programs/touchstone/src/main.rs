//! The command line of Touchstone.
#![forbid(unsafe_code)]

fn main() {}
