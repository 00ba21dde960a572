//! What can be wrong with a result.

use core::fmt;
use touchstone_evidence::token;

/// Why a token is not an attestation result to rely upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A part of the token does not parse.
    Malformed(&'static str),
    /// Larger than the limit.
    TooLarge,
    /// Another EAT profile.
    Profile,
    /// Signed with an algorithm that the verifier's key is not for, or that is not offered.
    Algorithm,
    /// Not signed by any of the verifier's keys.
    Signature,
    /// A key that is neither ECDSA on P-256 or P-384 nor RSA.
    Key,
    /// The signer failed.
    Signer(touchstone_crypto::Error),
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "ear.malformed",
            Self::TooLarge => "ear.too-large",
            Self::Profile => "ear.profile",
            Self::Algorithm => "ear.algorithm",
            Self::Signature => "ear.signature",
            Self::Key => "ear.key",
            Self::Signer(_) => "ear.signer",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(part) => write!(f, "the attestation result's {part} does not parse"),
            Self::TooLarge => f.write_str("the attestation result is larger than the limit"),
            Self::Profile => {
                write!(f, "the attestation result is not of profile {}", super::PROFILE)
            }
            Self::Algorithm => f.write_str("the attestation result's algorithm is not accepted"),
            Self::Signature => {
                f.write_str("the attestation result is not signed by a configured verifier")
            }
            Self::Key => f.write_str("the key is of a kind that results are not bound to"),
            Self::Signer(error) => write!(f, "the attestation result could not be signed: {error}"),
        }
    }
}

impl core::error::Error for Error {}

impl From<token::Error> for Error {
    fn from(error: token::Error) -> Self {
        match error {
            token::Error::Malformed(part) => Self::Malformed(part),
            token::Error::TooLarge => Self::TooLarge,
            token::Error::Algorithm => Self::Algorithm,
            token::Error::Key => Self::Key,
            token::Error::Signer(error) => Self::Signer(error),
            _ => Self::Signature,
        }
    }
}
