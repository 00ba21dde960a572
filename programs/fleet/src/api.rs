//! The HTTP interfaces: devices, operators, enrolment, certificate status.

pub mod auth;
pub mod crl;
pub(crate) mod detail;
pub mod device;
pub mod est;
pub mod ocsp;
pub mod openapi;
pub mod operator;
pub mod problem;
pub mod scep;
pub(crate) mod stream;
pub mod types;
