//! What can be wrong with a certificate, a request or a status response.

mod refusal;

pub use refusal::Refusal;

use alloc::string::String;
use core::fmt;

/// Why something was not read, not made, or not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The octets are not what they should be.
    Malformed(Malformed),
    /// It was read, and the answer is no.
    Refused {
        /// The reason.
        reason: Refusal,
        /// Whose certificate or request it was, as an RFC 4514 string.
        subject: String,
    },
    /// The crypto provider or the key's holder failed.
    Crypto(touchstone_crypto::Error),
}

/// The part that does not parse, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The part, in the words of its standard: "certificate", "subjectAltName".
    pub part: &'static str,
    /// The octet at which reading stopped, counted from the start of the part, when known.
    pub offset: Option<u32>,
}

impl Error {
    pub(crate) fn malformed(part: &'static str) -> Self {
        Self::Malformed(Malformed { part, offset: None })
    }

    pub(crate) fn der(part: &'static str) -> impl Fn(der::Error) -> Self {
        move |error| Self::Malformed(Malformed { part, offset: error.position().map(u32::from) })
    }

    pub(crate) fn refused(reason: Refusal, subject: &str) -> Self {
        Self::Refused { reason, subject: subject.into() }
    }

    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "certs.malformed",
            Self::Refused { reason, .. } => reason.code(),
            Self::Crypto(error) => error.code(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Refused { reason, subject } => write!(f, "`{subject}`: {reason}"),
            Self::Crypto(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} does not parse", self.part)?;
        match self.offset {
            Some(offset) => write!(f, " at octet {offset}"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for Error {}

impl From<touchstone_crypto::Error> for Error {
    fn from(error: touchstone_crypto::Error) -> Self {
        Self::Crypto(error)
    }
}
