//! Signed tokens: JWS in compact serialization (RFC 7515 §3.1), which a JWT is, and COSE_Sign1
//! (RFC 9052 §4.2), which a CWT is. Whoever verifies one says which keys may have signed it; a key
//! says which algorithm it is for, and the header only has to agree (RFC 8725 §3.1).
//!
//! What this is not: a reader of claims. [`eat`](crate::eat) is one.

pub mod cose;
pub mod jws;
mod key;

pub use key::TokenKey;

use core::fmt;

/// Why a token is not what its keys signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A part of the token does not parse.
    Malformed(&'static str),
    /// Larger than the limit.
    TooLarge,
    /// Signed with an algorithm that no given key is for, or that is not offered.
    Algorithm,
    /// Not signed by any of the keys.
    Signature,
    /// A key that is neither ECDSA on P-256 nor on P-384.
    Key,
    /// The signer failed.
    Signer(touchstone_crypto::Error),
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "evidence.token.malformed",
            Self::TooLarge => "evidence.token.too-large",
            Self::Algorithm => "evidence.token.algorithm",
            Self::Signature => "evidence.token.signature",
            Self::Key => "evidence.token.key",
            Self::Signer(_) => "evidence.token.signer",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(part) => write!(f, "the token's {part} does not parse"),
            Self::TooLarge => f.write_str("the token is larger than the limit"),
            Self::Algorithm => f.write_str("the token's algorithm is not that of a known key"),
            Self::Signature => f.write_str("the token is not signed by a known key"),
            Self::Key => f.write_str("the key is of a kind that tokens are not signed with here"),
            Self::Signer(error) => write!(f, "the token could not be signed: {error}"),
        }
    }
}

impl core::error::Error for Error {}
