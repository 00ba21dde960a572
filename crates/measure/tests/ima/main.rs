//! IMA lists: what our own rig's device and other people's machines measured, what a list may look
//! like, and what it may not.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail loudly"
)]

mod ascii;
mod checkpoint;
mod corpus;
mod hostile;
mod made;
mod replay;
mod signature;
mod subject;

use touchstone_crypto::HashAlgorithm;

pub(crate) const SHA1: HashAlgorithm = HashAlgorithm::Sha1;
pub(crate) const SHA256: HashAlgorithm = HashAlgorithm::Sha256;
