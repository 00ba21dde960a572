//! Why a configuration cannot be used, and why a session ended badly.

use std::fmt;
use touchstone_engine::{Blame, Fault};

/// Why a configuration cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Peers are to be verified and there is no root to verify them against.
    NoRoots,
    /// A root certificate does not parse.
    BadRoot,
    /// There is no certificate in the chain, or one that does not parse.
    BadChain,
    /// The private key does not parse, or its kind is not known here.
    BadKey,
    /// The private key is not that of the chain's first certificate.
    KeyMismatch,
    /// The key's algorithm signs no TLS handshake.
    UnsupportedKey,
    /// A PEM text does not parse.
    BadPem,
    /// Neither a DNS name nor an IP address.
    BadName,
    /// The crypto provider cannot do what was asked.
    Provider,
}

impl ConfigError {
    /// The stable code of this error.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoRoots => "tls.config.no-roots",
            Self::BadRoot => "tls.config.root",
            Self::BadChain => "tls.config.chain",
            Self::BadKey => "tls.config.key",
            Self::KeyMismatch => "tls.config.key-mismatch",
            Self::UnsupportedKey => "tls.config.key-unsupported",
            Self::BadPem => "tls.config.pem",
            Self::BadName => "tls.config.name",
            Self::Provider => "tls.config.provider",
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRoots => "no root certificate to verify peers against; configure one",
            Self::BadRoot => "a root certificate does not parse",
            Self::BadChain => "no certificate in the chain, or one that does not parse",
            Self::BadKey => "the private key does not parse; PKCS#8, SEC 1 and PKCS#1 are known",
            Self::KeyMismatch => "the private key does not belong to the first certificate",
            Self::UnsupportedKey => "a key of this algorithm cannot sign a TLS handshake",
            Self::BadPem => "the PEM text does not parse; is it cut off, or DER?",
            Self::BadName => "neither a DNS name nor an IP address",
            Self::Provider => "the crypto provider cannot make this configuration",
        })
    }
}

impl std::error::Error for ConfigError {}

/// Why a session ended badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The peer's certificate does not verify.
    Certificate(CertificateFault),
    /// The peer must show a certificate and showed none.
    NoCertificate,
    /// The peer ended the session with this fatal alert (RFC 8446 §6.2).
    Alert(Alert),
    /// The peer's bytes do not parse, or do not decrypt.
    Malformed,
    /// A good message at the wrong time, or one that breaks a rule.
    Unexpected,
    /// No version, suite, group or scheme that both ends know.
    Incompatible,
    /// The bytes ended without the peer having said so (RFC 8446 §6.1): some may be missing.
    Truncated,
    /// The handshake took too long.
    TimedOut,
    /// Our own key could not sign.
    SigningFailed(touchstone_crypto::Error),
    /// The time of day, the random source or something else beneath failed.
    Platform,
    /// A mistake of ours.
    Internal,
}

/// What is wrong with a peer's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateFault {
    /// It does not parse.
    Malformed,
    /// It is no longer valid, or one above it is not.
    Expired,
    /// It is not valid yet; is the clock right?
    NotYetValid,
    /// No configured root is above it.
    UnknownIssuer,
    /// It is for another name.
    WrongName,
    /// It is not for this purpose (extended key usage).
    WrongPurpose,
    /// A signature does not verify: on it, or by its key in the handshake.
    BadSignature,
    /// It is revoked.
    Revoked,
    /// A critical extension that is not understood, or another rule of RFC 5280.
    Unacceptable,
    /// Whether it still counts is not known, or it does not.
    Status(StatusFault),
}

/// Why a certificate does not count by its status (RFC 6960).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusFault {
    /// It is revoked.
    Revoked,
    /// It says that its status is always stapled (RFC 7633), or the client insists, and it is not.
    NotStapled,
    /// What is stapled holds no more, or not yet.
    Stale,
    /// What is stapled does not parse, is about another certificate, or is by nobody who may say so.
    Unbelievable,
    /// The responder does not know the certificate.
    Unknown,
}

impl StatusFault {
    const fn code(self) -> &'static str {
        match self {
            Self::Revoked => "tls.certificate.revoked",
            Self::NotStapled => "tls.status.not-stapled",
            Self::Stale => "tls.status.stale",
            Self::Unbelievable => "tls.status.unbelievable",
            Self::Unknown => "tls.status.unknown",
        }
    }
}

impl fmt::Display for StatusFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Revoked => "is revoked",
            Self::NotStapled => "has to come with its status stapled to it, and comes without",
            Self::Stale => "comes with a status that does not hold now; is the clock right?",
            Self::Unbelievable => "comes with a status that cannot be believed",
            Self::Unknown => "is not known to its issuer's responder",
        })
    }
}

impl std::error::Error for StatusFault {}

/// A fatal alert from the peer, as its number (RFC 8446 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert(pub u8);

impl Alert {
    /// The name that RFC 8446 gives it.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            22 => "record_overflow",
            40 => "handshake_failure",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            109 => "missing_extension",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            _ => "an alert without a name",
        }
    }
}

impl Fault for Error {
    fn blame(&self) -> Blame {
        match self {
            Self::Certificate(_)
            | Self::NoCertificate
            | Self::Alert(_)
            | Self::Malformed
            | Self::Unexpected
            | Self::Incompatible => Blame::Peer,
            Self::Truncated | Self::TimedOut => Blame::Network,
            Self::SigningFailed(_) => Blame::Owner,
            Self::Platform => Blame::Platform,
            Self::Internal => Blame::Us,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Certificate(fault) => fault.code(),
            Self::NoCertificate => "tls.certificate.none",
            Self::Alert(_) => "tls.alert",
            Self::Malformed => "tls.malformed",
            Self::Unexpected => "tls.unexpected",
            Self::Incompatible => "tls.incompatible",
            Self::Truncated => "tls.truncated",
            Self::TimedOut => "tls.timed-out",
            Self::SigningFailed(_) => "tls.signing-failed",
            Self::Platform => "tls.platform",
            Self::Internal => "tls.internal",
        }
    }
}

impl CertificateFault {
    const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "tls.certificate.malformed",
            Self::Expired => "tls.certificate.expired",
            Self::NotYetValid => "tls.certificate.not-yet-valid",
            Self::UnknownIssuer => "tls.certificate.unknown-issuer",
            Self::WrongName => "tls.certificate.name",
            Self::WrongPurpose => "tls.certificate.purpose",
            Self::BadSignature => "tls.certificate.signature",
            Self::Revoked => "tls.certificate.revoked",
            Self::Unacceptable => "tls.certificate.unacceptable",
            Self::Status(fault) => fault.code(),
        }
    }
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "does not parse",
            Self::Expired => "has expired",
            Self::NotYetValid => "is not valid yet; is the clock right?",
            Self::UnknownIssuer => "is by no issuer under a configured root",
            Self::WrongName => "is for another name",
            Self::WrongPurpose => "is not for this purpose",
            Self::BadSignature => "has a signature that does not verify",
            Self::Revoked => "is revoked",
            Self::Unacceptable => "has an extension or a form that is not accepted",
            Self::Status(fault) => return fault.fmt(f),
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate(fault) => return write!(f, "the peer's certificate {fault}"),
            Self::Alert(alert) => return write!(f, "the peer ended it with {}", alert.name()),
            Self::NoCertificate => "the peer showed no certificate",
            Self::Malformed => "the peer's bytes are not TLS, or were altered",
            Self::Unexpected => "the peer broke a rule of the protocol",
            Self::Incompatible => "the ends have no version or algorithm in common",
            Self::Truncated => "the connection ended before the peer said so",
            Self::TimedOut => "the handshake took too long",
            Self::SigningFailed(why) => return write!(f, "our key could not sign: {why}"),
            Self::Platform => "the time of day or the random source failed",
            Self::Internal => "a fault inside the TLS library",
        })
    }
}

impl std::error::Error for Error {}
