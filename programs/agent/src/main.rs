//! The Attester: a daemon on the device.
#![forbid(unsafe_code)]

fn main() {}
