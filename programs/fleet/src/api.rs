//! The HTTP interfaces: devices, operators, certificate status.

pub mod auth;
pub mod crl;
pub(crate) mod detail;
pub mod device;
pub mod est;
pub mod ocsp;
pub mod openapi;
pub mod operator;
pub mod problem;
pub(crate) mod stream;
pub mod types;
