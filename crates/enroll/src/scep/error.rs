//! What can be wrong with a SCEP message.

use core::fmt;

/// Why a message was not read, not made, or not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// It was read, and a check failed.
    Refused(Refusal),
    /// An envelope is wrong.
    Cms(touchstone_cms::Error),
    /// A certificate or a request for one is wrong.
    Certificate(touchstone_certs::Error),
}

/// Why a message is not accepted. One variant per check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A message is longer than any honest one.
    TooLong,
    /// An attribute that this message has to have is missing or does not parse (RFC 8894 §3.2.1).
    BadAttributes,
    /// A message of another type than is expected here (RFC 8894 §3.2.1.2).
    WrongType,
    /// Not signed by exactly one.
    NotOneSigner,
    /// The signer of a reply is not among the certificates that the CA showed.
    NotTheCa,
    /// A reply to another transaction (RFC 8894 §3.2.1.1).
    WrongTransaction,
    /// A reply to another request: its recipient nonce is not the one that was sent (RFC 8894
    /// §3.2.1.5).
    WrongNonce,
    /// What is inside does not parse as what it has to be.
    BadContent,
    /// A request is signed by another key than the one it is for (RFC 8894 §2.3).
    AnotherKey,
    /// A reply that says it succeeded holds no certificate for the key.
    NoCertificate,
    /// A reply holds two certificates for the key.
    TwoCertificates,
    /// No certificate of the CA can be encrypted to.
    NoEncryptionKey,
    /// The CA does not say that it can do AES and SHA-256 (RFC 8894 §3.5.2).
    WeakCa,
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Cms(error) => error.code(),
            Self::Certificate(error) => error.code(),
        }
    }
}

impl Refusal {
    /// The stable code of this refusal.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "scep.refused.too-long",
            Self::BadAttributes => "scep.refused.attributes",
            Self::WrongType => "scep.refused.message-type",
            Self::NotOneSigner => "scep.refused.not-one-signer",
            Self::NotTheCa => "scep.refused.not-the-ca",
            Self::WrongTransaction => "scep.refused.transaction",
            Self::WrongNonce => "scep.refused.nonce",
            Self::BadContent => "scep.refused.content",
            Self::AnotherKey => "scep.refused.another-key",
            Self::NoCertificate => "scep.refused.no-certificate",
            Self::TwoCertificates => "scep.refused.two-certificates",
            Self::NoEncryptionKey => "scep.refused.no-encryption-key",
            Self::WeakCa => "scep.refused.weak-ca",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Cms(error) => error.fmt(f),
            Self::Certificate(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the message is too long",
            Self::BadAttributes => "an attribute of the message is missing or wrong",
            Self::WrongType => "the message is of another type than belongs here",
            Self::NotOneSigner => "the message is not signed by exactly one",
            Self::NotTheCa => "the reply is not signed by the CA",
            Self::WrongTransaction => "the reply belongs to another transaction",
            Self::WrongNonce => "the reply answers another request",
            Self::BadContent => "what is inside the message is not what it should be",
            Self::AnotherKey => "the request is signed by another key than it is for",
            Self::NoCertificate => "the reply holds no certificate for this key",
            Self::TwoCertificates => "the reply holds two certificates for this key",
            Self::NoEncryptionKey => "the CA has no certificate that can be encrypted to",
            Self::WeakCa => "the CA does not offer AES and SHA-256",
        })
    }
}

impl core::error::Error for Error {}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<touchstone_cms::Error> for Error {
    fn from(error: touchstone_cms::Error) -> Self {
        Self::Cms(error)
    }
}

impl From<touchstone_certs::Error> for Error {
    fn from(error: touchstone_certs::Error) -> Self {
        Self::Certificate(error)
    }
}

impl From<touchstone_crypto::Error> for Error {
    fn from(error: touchstone_crypto::Error) -> Self {
        Self::Cms(error.into())
    }
}
