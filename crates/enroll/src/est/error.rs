//! Why a client's way to a certificate ended without one.

use core::fmt;
use touchstone_engine::{Blame, Fault};

/// Why a conversation ended badly. One variant per check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No end was reached before the deadline.
    TimedOut,
    /// The server said no, or could not; the event before says what it said.
    Refused {
        /// Its status (RFC 9110 §15).
        status: u16,
    },
    /// The server wants to know who asks, and what was shown is not enough (RFC 7030 §3.2.3).
    Unauthorized,
    /// The server has no such operation, or no such label.
    NotOffered,
    /// It sent us to another host: nobody said that that one may be trusted as much (RFC 7030 §3.2.1).
    CrossHostRedirect,
    /// It sent us on too often.
    TooManyRedirects,
    /// It put us off as often as we came back (202, RFC 7030 §4.2.3).
    StillPending,
    /// A reply has another media type than belongs to it.
    WrongContentType,
    /// A reply is not base64 of what belongs into it.
    Malformed {
        /// The stable code of what is wrong.
        code: &'static str,
    },
    /// The reply's certificate is for another key than the request was.
    AnotherKey,
    /// The reply holds no certificate.
    NoCertificate,
    /// The reply holds two certificates for the key.
    TwoCertificates,
    /// The certificate does not lead to a trust anchor.
    NoChain {
        /// The stable code of why not.
        code: &'static str,
    },
    /// None of the CA's certificates is the one that was expected (RFC 7030 §4.1.1).
    NotTheCa,
    /// The key in the reply is not the one of the certificate beside it.
    KeyMismatch,
    /// The key was to come encrypted, and came in the clear (RFC 7030 §4.4.2).
    KeyInTheClear,
    /// What a request has to contain does not parse.
    BadAttributes,
    /// This side's owner refused to go on.
    OwnerRefused,
    /// This side's owner could not.
    OwnerFailed,
}

impl Error {
    pub(crate) fn from_body(error: &crate::Error) -> Self {
        match error {
            crate::Error::WrongContentType => Self::WrongContentType,
            other => Self::Malformed { code: other.code() },
        }
    }
}

impl Fault for Error {
    fn blame(&self) -> Blame {
        match self {
            Self::TimedOut => Blame::Network,
            Self::OwnerRefused | Self::OwnerFailed => Blame::Owner,
            _ => Blame::Peer,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::TimedOut => "est.timed_out",
            Self::Refused { .. } => "est.refused",
            Self::Unauthorized => "est.refused.unauthorized",
            Self::NotOffered => "est.refused.not-offered",
            Self::CrossHostRedirect => "est.refused.cross-host-redirect",
            Self::TooManyRedirects => "est.refused.redirects",
            Self::StillPending => "est.pending",
            Self::WrongContentType => "est.malformed.content-type",
            Self::Malformed { .. } => "est.malformed",
            Self::AnotherKey => "est.refused.another-key",
            Self::NoCertificate => "est.refused.no-certificate",
            Self::TwoCertificates => "est.refused.two-certificates",
            Self::NoChain { .. } => "est.refused.no-chain",
            Self::NotTheCa => "est.refused.not-the-ca",
            Self::KeyMismatch => "est.refused.key-mismatch",
            Self::KeyInTheClear => "est.refused.key-in-the-clear",
            Self::BadAttributes => "est.malformed.attributes",
            Self::OwnerRefused => "est.owner.refused",
            Self::OwnerFailed => "est.owner.failed",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { status } => write!(f, "the server answered {status}"),
            Self::Malformed { code } => write!(f, "the reply does not parse ({code})"),
            Self::NoChain { code } => {
                write!(f, "the certificate does not lead to a trust anchor ({code})")
            }
            other => f.write_str(match other {
                Self::TimedOut => "no end was reached before the deadline",
                Self::Unauthorized => "the server does not know who asks",
                Self::NotOffered => "the server has no such operation, or no such label",
                Self::CrossHostRedirect => "the server sent us to another host, and we did not go",
                Self::TooManyRedirects => "the server sent us on too often",
                Self::StillPending => "nobody has decided yet; ask again later with the same key",
                Self::WrongContentType => "the reply has another content type than EST says",
                Self::AnotherKey => "the certificate that came is for another key",
                Self::NoCertificate => "the reply holds no certificate",
                Self::TwoCertificates => "the reply holds two certificates for the key",
                Self::NotTheCa => "none of the CA's certificates is the expected one",
                Self::KeyMismatch => "the key that came is not that of the certificate",
                Self::KeyInTheClear => "the key was to come encrypted, and came in the clear",
                Self::BadAttributes => "what a request has to contain does not parse",
                Self::OwnerRefused => "this side refused to go on",
                _ => "this side could not go on",
            }),
        }
    }
}

impl core::error::Error for Error {}
