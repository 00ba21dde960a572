//! The Relying Party at the network edge: admits or cuts a flow.
#![forbid(unsafe_code)]

fn main() {}
