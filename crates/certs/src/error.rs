//! What can be wrong with a certificate, a request or a status response.

mod refusal;

pub use refusal::Refusal;

use alloc::string::String;
use core::fmt;
use der::ErrorKind;

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
    /// In what it is wrong.
    pub fault: Fault,
}

/// In what something is not as it is to be encoded. One variant per check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// What stands there is not what belongs there.
    Content,
    /// BER that is not DER: a length without an end, an order that is not the one (X.690 §10, §11).
    NotDer,
    /// A length in it is longer than it need be (X.690 §10.1), or not that of its kind.
    Length,
    /// Octets follow its end.
    Trailing,
    /// It says that it is longer than it is.
    CutShort,
    /// There are more of them than anybody honest sends.
    TooMany,
    /// A number or a length is outside what its standard allows.
    OutOfRange,
}

impl Fault {
    fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::TrailingData { .. } => Self::Trailing,
            ErrorKind::Length { .. } | ErrorKind::Overlength => Self::Length,
            ErrorKind::Incomplete { .. } | ErrorKind::Overflow => Self::CutShort,
            ErrorKind::IndefiniteLength
            | ErrorKind::Noncanonical { .. }
            | ErrorKind::SetOrdering => Self::NotDer,
            _ => Self::Content,
        }
    }
}

impl Error {
    pub(crate) fn malformed(part: &'static str) -> Self {
        Self::faulty(part, Fault::Content)
    }

    pub(crate) fn faulty(part: &'static str, fault: Fault) -> Self {
        Self::Malformed(Malformed { part, offset: None, fault })
    }

    pub(crate) fn der(part: &'static str) -> impl Fn(der::Error) -> Self {
        move |error| {
            let (offset, fault) = (error.position().map(u32::from), Fault::of(error.kind()));
            Self::Malformed(Malformed { part, offset, fault })
        }
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
        if let Some(offset) = self.offset {
            write!(f, " at octet {offset}")?;
        }
        f.write_str(match self.fault {
            Fault::Content => "",
            Fault::NotDer => ": it is BER, and not DER",
            Fault::Length => ": a length in it is not as DER has it",
            Fault::Trailing => ": octets follow its end",
            Fault::CutShort => ": it says that it is longer than it is",
            Fault::TooMany => ": there are more of them than anybody honest sends",
            Fault::OutOfRange => ": it is outside what its standard allows",
        })
    }
}

impl core::error::Error for Error {}

impl From<touchstone_crypto::Error> for Error {
    fn from(error: touchstone_crypto::Error) -> Self {
        Self::Crypto(error)
    }
}
