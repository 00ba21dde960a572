//! What can be wrong with an envelope.

use core::fmt;

/// Why an envelope was not read, not made, or not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The octets are not a CMS structure.
    Malformed {
        /// The part, in the words of RFC 5652.
        part: &'static str,
        /// The octet at which reading stopped, counted from the start of the part, when known.
        offset: Option<u32>,
        /// What is to be done about it differs by this.
        why: Why,
    },
    /// It was read, and a check failed.
    Refused(Refusal),
    /// A certificate in it is wrong.
    Certificate(touchstone_certs::Error),
    /// The crypto provider or a key's holder failed.
    Crypto(touchstone_crypto::Error),
}

/// In which way octets are no CMS structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// They end too early: have them sent again.
    CutOff,
    /// More follows: two things stand in one file, or something was appended.
    Trailing,
    /// They are something else, or an envelope of another kind than is read here.
    OtherType,
    /// More, or larger, than any honest one has.
    TooLarge,
    /// They contradict the standard: whoever made them is wrong, or they were changed.
    Form,
}

/// Why an envelope is not believed. One variant per check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody signed.
    NoSigner,
    /// A signer's certificate is not in the envelope.
    NoCertificate,
    /// The same signer is there twice.
    SignedTwice,
    /// The content is not inside, and was not given.
    NoContent,
    /// A signer signed the bare content, without attributes.
    NoSignedAttributes,
    /// A signed attribute that must be there once is missing, or there more than once (RFC 5652
    /// §11.1 to §11.3).
    BadSignedAttributes,
    /// A signer signed another type of content (RFC 5652 §11.1).
    ContentTypeMismatch,
    /// A signer signed other content (RFC 5652 §11.2).
    DigestMismatch,
    /// A signature is not by the key of its certificate.
    BadSignature,
    /// A hash or signature algorithm is too old or not known here, or the two do not go together.
    UnsupportedAlgorithm,
    /// A signer's digest is not among those announced before the content (RFC 5652 §5.1).
    DigestNotAnnounced,
    /// Somebody who signed is not there any more: another signer names them (RFC 5752), or a digest
    /// was announced for them.
    SignerMissing,
    /// The algorithms of a signature are not those that were signed with it (RFC 6211).
    AlgorithmMismatch,
    /// It is not encrypted to this certificate.
    NotARecipient,
    /// It does not open: for another key, or changed. What failed is not told, since whoever sends
    /// could learn from it.
    Undecryptable,
    /// It is encrypted as only old peers still do, which has to be asked for by name.
    Legacy,
    /// The key in a recipient's certificate is for nothing that can be encrypted to.
    UnsuitableKey,
    /// The time stamping authority did not grant a timestamp (RFC 3161 §2.4.2).
    TimestampRejected,
    /// A timestamp is about something else, or does not answer this request.
    TimestampMismatch,
    /// A timestamp is not by an authority for timestamps (RFC 3161 §2.3, RFC 5816 §2.2.1).
    NotATimestamper,
    /// The content is inside, though it was to be beside the envelope.
    ContentInside,
    /// The key of a signer is not the one in the certificate given for it.
    KeyMismatch,
}

impl Error {
    pub(crate) fn der(part: &'static str) -> impl Fn(der::Error) -> Self {
        let why = Why::Form;
        move |error| Self::Malformed { part, offset: error.position().map(u32::from), why }
    }

    pub(crate) const fn malformed(part: &'static str) -> Self {
        Self::Malformed { part, offset: None, why: Why::Form }
    }

    pub(crate) const fn too_large(part: &'static str) -> Self {
        Self::Malformed { part, offset: None, why: Why::TooLarge }
    }

    pub(crate) const fn other_type(part: &'static str) -> Self {
        Self::Malformed { part, offset: None, why: Why::OtherType }
    }

    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed { why, .. } => why.code(),
            Self::Refused(refusal) => refusal.code(),
            Self::Certificate(error) => error.code(),
            Self::Crypto(error) => error.code(),
        }
    }
}

impl Why {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::CutOff => "cms.malformed.cut-off",
            Self::Trailing => "cms.malformed.trailing",
            Self::OtherType => "cms.malformed.other-type",
            Self::TooLarge => "cms.malformed.too-large",
            Self::Form => "cms.malformed",
        }
    }
}

impl Refusal {
    /// The stable code of this refusal.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoSigner => "cms.refused.no-signer",
            Self::NoCertificate => "cms.refused.no-certificate",
            Self::SignedTwice => "cms.refused.signed-twice",
            Self::NoContent => "cms.refused.no-content",
            Self::NoSignedAttributes => "cms.refused.no-signed-attributes",
            Self::BadSignedAttributes => "cms.refused.signed-attributes",
            Self::ContentTypeMismatch => "cms.refused.content-type",
            Self::DigestMismatch => "cms.refused.digest",
            Self::BadSignature => "cms.refused.signature",
            Self::UnsupportedAlgorithm => "cms.refused.algorithm",
            Self::DigestNotAnnounced => "cms.refused.digest-not-announced",
            Self::SignerMissing => "cms.refused.signer-missing",
            Self::AlgorithmMismatch => "cms.refused.algorithm-mismatch",
            Self::NotARecipient => "cms.refused.not-a-recipient",
            Self::Undecryptable => "cms.refused.undecryptable",
            Self::Legacy => "cms.refused.legacy",
            Self::UnsuitableKey => "cms.refused.unsuitable-key",
            Self::TimestampRejected => "cms.refused.timestamp-rejected",
            Self::TimestampMismatch => "cms.refused.timestamp-mismatch",
            Self::NotATimestamper => "cms.refused.not-a-timestamper",
            Self::ContentInside => "cms.refused.content-inside",
            Self::KeyMismatch => "cms.refused.key-mismatch",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { part, offset, why } => {
                match why {
                    Why::CutOff => f.write_str("the CMS envelope is cut off")?,
                    Why::Trailing => f.write_str("octets follow the CMS envelope")?,
                    Why::OtherType => write!(f, "it is no CMS envelope of this kind ({part})")?,
                    Why::TooLarge => {
                        write!(f, "the {part} of the CMS envelope is larger than any honest one")?;
                    }
                    Why::Form => write!(f, "the {part} of the CMS envelope does not parse")?,
                }
                offset.map_or(Ok(()), |offset| write!(f, " at octet {offset}"))
            }
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Certificate(error) => error.fmt(f),
            Self::Crypto(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSigner => "nobody has signed it",
            Self::NoCertificate => "a signer's certificate is not in the envelope",
            Self::SignedTwice => "the same signer is there twice",
            Self::NoContent => "the content is not in the envelope; give it beside it",
            Self::NoSignedAttributes => "a signature without signed attributes",
            Self::BadSignedAttributes => "a signed attribute is missing or there twice",
            Self::ContentTypeMismatch => "a signer signed another type of content",
            Self::DigestMismatch => "the content is not the one that was signed",
            Self::BadSignature => "a signature is not by the key of its certificate",
            Self::UnsupportedAlgorithm => "one of its algorithms is not accepted",
            Self::DigestNotAnnounced => "a signer's digest was not announced before the content",
            Self::SignerMissing => "a signature was taken out of it",
            Self::AlgorithmMismatch => "a signature's algorithms are not those that were signed",
            Self::NotARecipient => "it is not encrypted to this certificate",
            Self::Undecryptable => "it does not decrypt with this key, or was changed",
            Self::Legacy => "it is encrypted in a way that only old peers still use",
            Self::UnsuitableKey => "a recipient's key is for nothing that can be encrypted to",
            Self::TimestampRejected => "the time stamping authority refused",
            Self::TimestampMismatch => "the timestamp is about something else",
            Self::NotATimestamper => "the timestamp is not by an authority for timestamps",
            Self::ContentInside => "the content is in the envelope, not beside it",
            Self::KeyMismatch => "the signer's key is not the one in its certificate",
        })
    }
}

impl core::error::Error for Error {}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<touchstone_certs::Error> for Error {
    fn from(error: touchstone_certs::Error) -> Self {
        match error {
            touchstone_certs::Error::Crypto(error) => Self::Crypto(error),
            error => Self::Certificate(error),
        }
    }
}

impl From<touchstone_crypto::Error> for Error {
    fn from(error: touchstone_crypto::Error) -> Self {
        Self::Crypto(error)
    }
}
