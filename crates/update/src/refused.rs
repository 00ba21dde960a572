//! Why an update is not applied.

use crate::Fault;
use core::fmt;

/// Why an update was refused. One variant per reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The content of the envelope is not a well-formed update.
    Malformed(Fault),
    /// The envelope does not parse, or one of its signatures is not good.
    Envelope(touchstone_cms::Error),
    /// Somebody signed who has no role here.
    UnknownSigner {
        /// Who, as an RFC 4514 string.
        subject: String,
        /// Why no role accepts that certificate.
        why: Option<touchstone_certs::Error>,
    },
    /// Nobody signed in a role that must sign.
    MissingRole {
        /// The role.
        role: String,
    },
    /// It is for another component.
    WrongComponent {
        /// The component that it is for.
        found: String,
        /// The component that was asked for.
        expected: String,
    },
    /// Its version is not above the last one applied.
    VersionNotAbove {
        /// The version offered.
        offered: u64,
        /// The last one applied.
        last: u64,
    },
    /// The payload is not the one that the manifest describes.
    DigestMismatch,
    /// It was not to be applied after a time that is past.
    Expired {
        /// That time.
        at: u64,
    },
}

impl Refused {
    /// The stable code of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "update.malformed",
            Self::Envelope(touchstone_cms::Error::Malformed { .. }) => "update.envelope.malformed",
            Self::Envelope(_) => "update.envelope.signature",
            Self::UnknownSigner { .. } => "update.signer.unknown",
            Self::MissingRole { .. } => "update.role.missing",
            Self::WrongComponent { .. } => "update.component.wrong",
            Self::VersionNotAbove { .. } => "update.version.not-above",
            Self::DigestMismatch => "update.payload.digest",
            Self::Expired { .. } => "update.expired",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(fault) => fault.fmt(f),
            Self::Envelope(error) => error.fmt(f),
            Self::UnknownSigner { subject, why: Some(why) } => {
                write!(f, "signed by `{subject}`, who has no role here: {why}")
            }
            Self::UnknownSigner { subject, why: None } => {
                write!(f, "signed by `{subject}`, who has no role here")
            }
            Self::MissingRole { role } => {
                write!(f, "the {role} has not signed; have the {role} countersign it")
            }
            Self::WrongComponent { found, expected } => {
                write!(f, "it is for `{found}`, not for `{expected}`")
            }
            Self::VersionNotAbove { offered, last } => {
                write!(f, "its version {offered} is not above {last}, the last one applied")
            }
            Self::DigestMismatch => f.write_str("the payload is not the one that was described"),
            Self::Expired { at } => write!(f, "it was to be applied before {at} (Unix seconds)"),
        }
    }
}

impl core::error::Error for Refused {}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Malformed(fault)
    }
}

impl From<touchstone_cms::Error> for Refused {
    fn from(error: touchstone_cms::Error) -> Self {
        Self::Envelope(error)
    }
}
