//! TPM 2.0 down to the wire.
//!
//! Anything that carries one command and its response is a [`Transport`].
//!
//! What this is not: an element with named keys (`touchstone-element-tpm2` is), nor a judge of what
//! a TPM states.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "alloc")]
pub mod pem;
mod transport;

pub use transport::{Locality, MAX_MESSAGE, Transport, TransportError, tis};
