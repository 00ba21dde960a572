//! What can be wrong with a message of an enrolment.

use core::fmt;

/// Why a message was not read or not made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The body is longer than any honest one.
    TooLong,
    /// The body is not base64 (RFC 8951 §2.1).
    NotBase64,
    /// The body is of another media type.
    WrongContentType,
    /// What a request has to contain does not parse (RFC 7030 §4.5.2).
    BadAttributes,
    /// A body of several parts, or one of its parts, does not parse (RFC 7030 §4.4.2).
    BadMultipart,
    /// The package with a private key does not parse, or holds more than one (RFC 5958 §2).
    BadKeyPackage,
    /// A CMC message does not parse (RFC 5272 §3.2).
    BadCmc,
    /// A CMC message asks for too much at once.
    TooManyRequests,
    /// The reply to a CMC message belongs to another one (RFC 5272 §6.6).
    CmcMismatch,
    /// The request carries no statement about its key.
    NoAttestation,
    /// The statement about the key does not parse.
    Attestation {
        /// The octet at which reading stopped, when known.
        offset: Option<u32>,
    },
    /// No statement is of a kind known here (TCG `tcg-attest-tpm-certify`).
    UnknownAttestation,
    /// The request or a certificate is wrong.
    Certificate(touchstone_certs::Error),
    /// The bag of certificates is wrong.
    Cms(touchstone_cms::Error),
}

impl Error {
    pub(crate) fn attestation(error: der::Error) -> Self {
        Self::Attestation { offset: error.position().map(u32::from) }
    }

    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "enroll.too-long",
            Self::NotBase64 => "enroll.base64",
            Self::WrongContentType => "enroll.content-type",
            Self::BadAttributes => "enroll.attributes",
            Self::BadMultipart => "enroll.multipart",
            Self::BadKeyPackage => "enroll.key-package",
            Self::BadCmc => "enroll.cmc.malformed",
            Self::TooManyRequests => "enroll.cmc.too-many",
            Self::CmcMismatch => "enroll.cmc.mismatch",
            Self::NoAttestation => "enroll.attestation.none",
            Self::Attestation { .. } => "enroll.attestation.malformed",
            Self::UnknownAttestation => "enroll.attestation.unknown",
            Self::Certificate(error) => error.code(),
            Self::Cms(error) => error.code(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the body is too long"),
            Self::NotBase64 => f.write_str("the body is not base64 of DER"),
            Self::WrongContentType => {
                f.write_str("the body has another content type than EST says")
            }
            Self::BadAttributes => f.write_str("what a request has to contain does not parse"),
            Self::BadMultipart => f.write_str("the body is not of the parts that it should have"),
            Self::BadKeyPackage => f.write_str("the package of a private key does not parse"),
            Self::BadCmc => f.write_str("the CMC message does not parse"),
            Self::TooManyRequests => f.write_str("the CMC message asks for too much at once"),
            Self::CmcMismatch => f.write_str("the CMC reply answers another message"),
            Self::NoAttestation => {
                f.write_str("the request carries no statement about where its key lives")
            }
            Self::Attestation { offset: Some(offset) } => {
                write!(f, "the statement about the key does not parse at octet {offset}")
            }
            Self::Attestation { offset: None } => {
                f.write_str("the statement about the key does not parse")
            }
            Self::UnknownAttestation => {
                f.write_str("no statement about the key is of the kind `tcg-attest-tpm-certify`")
            }
            Self::Certificate(error) => error.fmt(f),
            Self::Cms(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

impl From<touchstone_certs::Error> for Error {
    fn from(error: touchstone_certs::Error) -> Self {
        Self::Certificate(error)
    }
}

impl From<touchstone_cms::Error> for Error {
    fn from(error: touchstone_cms::Error) -> Self {
        Self::Cms(error)
    }
}
