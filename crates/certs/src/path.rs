//! Path validation (RFC 5280 §6) for device PKI: strict, bounded, on the crypto provider it is given.
//!
//! A path is searched from the leaf up (RFC 4158), what a certificate says of itself being judged on
//! the way; then it is walked from the anchor down, for names and policies (§6.1) and revocation
//! (§6.3). A path that fails is given up for the next.
//!
//! Why not a library: `certval` was tried; it brings sixty crates with it, among them a second
//! implementation of the elliptic curves next to the provider that was chosen (and certified) for
//! them. `rustls-webpki` knows TLS names and purposes only, and refuses critical extensions that EK
//! certificates carry.

mod algorithms;
pub(crate) mod policy;
mod purpose;
mod revocation;
mod search;
mod walk;

pub(crate) use algorithms::rsa_bits;
pub use algorithms::{Algorithms, DangerousAlgorithms};
pub(crate) use revocation::SKEW;

use crate::trust::{Chain, PathInputs};
use crate::{Certificate, Error};
use search::Search;
use touchstone_crypto::Crypto;

/// CAs between leaf and anchor, the anchor included.
pub(crate) const MOST_ISSUERS: usize = 12;

pub(crate) fn validate(
    crypto: &dyn Crypto,
    anchors: &[Certificate],
    leaf: &Certificate,
    intermediates: &[Certificate],
    inputs: &PathInputs<'_>,
) -> Result<Chain, Error> {
    let mut search = Search::new(crypto, anchors, intermediates, inputs);
    search.find(leaf)
}
