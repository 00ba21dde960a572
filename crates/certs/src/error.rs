//! What can be wrong with a certificate, a request or a status response.

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

/// Why a certificate, request or response is not accepted. One variant per check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Before its `notBefore` (RFC 5280 §6.1.3 (a)(2)).
    NotYetValid,
    /// After its `notAfter` (RFC 5280 §6.1.3 (a)(2)).
    Expired,
    /// No certificate of its issuer leads to a trust anchor.
    UntrustedIssuer,
    /// Its signature is not by the issuer's key (RFC 5280 §6.1.3 (a)(1)).
    BadSignature,
    /// Signed with an algorithm that is too old or not known here.
    UnsupportedAlgorithm,
    /// It issued a certificate without being a CA (RFC 5280 §6.1.4 (k)).
    NotACa,
    /// Its key may not sign certificates (RFC 5280 §6.1.4 (n)).
    MayNotSignCertificates,
    /// More CAs below it than its `pathLenConstraint` allows (RFC 5280 §6.1.4 (m)).
    PathTooLong,
    /// It carries a critical extension that is not known here (RFC 5280 §6.1.4 (o)).
    UnknownCriticalExtension,
    /// Its subject is empty and no critical subjectAltName stands in (RFC 5280 §4.1.2.6).
    Nameless,
    /// It constrains names or policies, which is not evaluated here.
    UnsupportedConstraints,
    /// Its key usage or extended key usage does not cover the purpose.
    WrongPurpose,
    /// The chain is longer, or the candidates are more, than anyone honest needs.
    TooMuchWork,
    /// The key of the signer is not the key in the certificate given for it.
    KeyMismatch,
    /// A status response is not for this certificate (RFC 6960 §3.2 (1)).
    WrongCertificate,
    /// A status response is not by the issuer or a responder of its (RFC 6960 §4.2.2.2).
    UnauthorizedResponder,
    /// A status response is too old, or not yet valid (RFC 6960 §3.2 (5), (6)).
    Stale,
    /// A status response does not answer our nonce (RFC 9654 §2.1).
    NonceMismatch,
    /// The responder answered with an error status (RFC 6960 §4.2.1).
    ResponderFailed,
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

impl Refusal {
    /// The stable code of this refusal.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotYetValid => "certs.refused.not-yet-valid",
            Self::Expired => "certs.refused.expired",
            Self::UntrustedIssuer => "certs.refused.untrusted-issuer",
            Self::BadSignature => "certs.refused.signature",
            Self::UnsupportedAlgorithm => "certs.refused.algorithm",
            Self::NotACa => "certs.refused.not-a-ca",
            Self::MayNotSignCertificates => "certs.refused.key-cert-sign",
            Self::PathTooLong => "certs.refused.path-length",
            Self::UnknownCriticalExtension => "certs.refused.critical-extension",
            Self::Nameless => "certs.refused.nameless",
            Self::UnsupportedConstraints => "certs.refused.constraints",
            Self::WrongPurpose => "certs.refused.purpose",
            Self::TooMuchWork => "certs.refused.too-much-work",
            Self::KeyMismatch => "certs.refused.key-mismatch",
            Self::WrongCertificate => "certs.ocsp.wrong-certificate",
            Self::UnauthorizedResponder => "certs.ocsp.unauthorized-responder",
            Self::Stale => "certs.ocsp.stale",
            Self::NonceMismatch => "certs.ocsp.nonce",
            Self::ResponderFailed => "certs.ocsp.responder-failed",
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

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotYetValid => "not valid yet; check the clock",
            Self::Expired => "expired; renew it, or check the clock",
            Self::UntrustedIssuer => "no configured trust anchor stands behind its issuer",
            Self::BadSignature => "the signature is not by its issuer",
            Self::UnsupportedAlgorithm => "its signature algorithm is not accepted",
            Self::NotACa => "it issued a certificate but is not a CA",
            Self::MayNotSignCertificates => "its key usage does not allow signing certificates",
            Self::PathTooLong => "more CAs below it than it allows",
            Self::UnknownCriticalExtension => "it has a critical extension that is not known here",
            Self::Nameless => "it names nobody",
            Self::UnsupportedConstraints => {
                "it constrains names or policies, which is not evaluated here"
            }
            Self::WrongPurpose => "not issued for this purpose",
            Self::TooMuchWork => "the chain is too long or has too many candidates",
            Self::KeyMismatch => "the signer's key is not the one in the certificate",
            Self::WrongCertificate => "the status response is about another certificate",
            Self::UnauthorizedResponder => "the responder may not speak for the issuer",
            Self::Stale => "the status response is not from this time",
            Self::NonceMismatch => "the status response does not answer this request",
            Self::ResponderFailed => "the status responder answered with an error",
        })
    }
}

impl core::error::Error for Error {}

impl From<touchstone_crypto::Error> for Error {
    fn from(error: touchstone_crypto::Error) -> Self {
        Self::Crypto(error)
    }
}
