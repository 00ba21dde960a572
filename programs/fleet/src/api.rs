//! The HTTP interfaces: devices, operators, certificate status.

pub mod types;
