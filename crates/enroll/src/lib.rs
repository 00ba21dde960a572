//! EST messages (RFC 7030), SCEP messages (RFC 8894), and requests that carry proof of where their key
//! lives.
//!
//! What this is not: HTTP, or a CA. [`est`] and [`scep`] are clients and servers as engines, on
//! [`exchange`]; [`AttestedRequest`] carries a TPM's statement about the key beside the request for it, and hands
//! the statement's parts to whoever can judge them.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::print_stderr,
        reason = "tests fail loudly"
    )
)]

mod activation;
mod attested;
mod der_out;
mod error;
pub mod est;
pub mod exchange;
pub mod scep;

pub use activation::Activation;
pub use attested::{AttestedRequest, TpmCertify};
pub use error::Error;
