//! Why a signature counts for nothing, or a key is none.

use super::{KeyId, Kind};
use crate::ima::KernelHash;
use core::fmt;

/// Why no publisher's signature was found on an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureFault {
    /// It carries none.
    Absent,
    /// It is a violation, so nothing that it says is proven.
    Unproven,
    /// The signature does not parse; at that octet of it.
    Malformed(u32),
    /// It is of a version that is not understood here; kernels know 2 and 3.
    Version(u8),
    /// It is of that kind, which belongs somewhere else.
    WrongKind(Kind),
    /// No publisher has a key of this id.
    UnknownKey(KeyId),
    /// It names its signer by issuer and serial number, or by a key identifier, that no publisher
    /// has.
    UnknownSigner,
    /// It is over a digest that is too weak to sign.
    WeakHash(KernelHash),
    /// It is over a digest of an algorithm that is not known here.
    UnsupportedHash(KernelHash),
    /// The publisher's key is too short; so many bits.
    WeakKey(u16),
    /// The key cannot make signatures over such a digest, or the provider cannot check them.
    UnsupportedKey,
    /// It is not a signature by that key over this digest.
    Wrong,
    /// The entry has no digest that could have been signed.
    NoDigest,
    /// It is over another digest than the entry has: of another algorithm, or fs-verity's.
    OtherDigest,
    /// It covers metadata that this template does not carry; measure with
    /// `ima_template=evm-sig`.
    NoMetadata,
    /// The metadata does not belong together, or holds no `security.ima`.
    Metadata,
    /// The `security.ima` that it covers is that of another content.
    OtherContent,
}

impl SignatureFault {
    /// The stable code of this fault.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Absent => "measure.ima.signature.absent",
            Self::Unproven => "measure.ima.signature.unproven",
            Self::Malformed(_) => "measure.ima.signature.malformed",
            Self::Version(_) => "measure.ima.signature.version",
            Self::WrongKind(_) => "measure.ima.signature.kind",
            Self::UnknownKey(_) => "measure.ima.signature.unknown-key",
            Self::UnknownSigner => "measure.ima.signature.unknown-signer",
            Self::WeakHash(_) => "measure.ima.signature.weak-hash",
            Self::UnsupportedHash(_) => "measure.ima.signature.unsupported-hash",
            Self::WeakKey(_) => "measure.ima.signature.weak-key",
            Self::UnsupportedKey => "measure.ima.signature.unsupported-key",
            Self::Wrong => "measure.ima.signature.wrong",
            Self::NoDigest => "measure.ima.signature.no-digest",
            Self::OtherDigest => "measure.ima.signature.other-digest",
            Self::NoMetadata => "measure.ima.signature.no-metadata",
            Self::Metadata => "measure.ima.signature.metadata",
            Self::OtherContent => "measure.ima.signature.other-content",
        }
    }
}

impl fmt::Display for SignatureFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("not signed"),
            Self::Unproven => f.write_str("a violation proves nothing, its signature neither"),
            Self::Malformed(at) => write!(f, "the signature does not parse at octet {at}"),
            Self::Version(version) => {
                write!(f, "signature version {version} is not understood; sign anew with evmctl")
            }
            Self::WrongKind(kind) => write!(f, "a signature of kind {kind} does not belong here"),
            Self::UnknownKey(id) => {
                write!(f, "no publisher has key {id}; add its certificate to the publishers")
            }
            Self::UnknownSigner => {
                f.write_str("no publisher is its signer; add the certificate to the publishers")
            }
            Self::WeakHash(hash) => {
                write!(f, "signed over {hash}, which is too weak; sign anew over sha256")
            }
            Self::UnsupportedHash(hash) => write!(f, "signed over {hash}, which is not known here"),
            Self::WeakKey(bits) => {
                write!(f, "the publisher's key of {bits} bits is too short; 2048 are needed")
            }
            Self::UnsupportedKey => f.write_str("this key's signatures are not understood here"),
            Self::Wrong => f.write_str("the signature is not the publisher's over this file"),
            Self::NoDigest => f.write_str("the entry has no digest that could have been signed"),
            Self::OtherDigest => {
                f.write_str("the signature is over another digest than was measured")
            }
            Self::NoMetadata => f.write_str(
                "the portable signature covers metadata; measure with ima_template=evm-sig",
            ),
            Self::Metadata => f.write_str("the signed metadata does not belong together"),
            Self::OtherContent => {
                f.write_str("the portable signature is for other content than was measured")
            }
        }
    }
}

impl core::error::Error for SignatureFault {}

/// Why a key or certificate is none of a publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublisherFault {
    /// The certificate does not parse.
    Certificate(touchstone_certs::Error),
    /// The public key does not parse.
    Key,
    /// The key is neither RSA nor ECDSA on P-256, P-384 or P-521.
    UnsupportedKey,
}

impl PublisherFault {
    /// The stable code of this fault.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Certificate(error) => error.code(),
            Self::Key => "measure.ima.publisher.key",
            Self::UnsupportedKey => "measure.ima.publisher.unsupported-key",
        }
    }
}

impl fmt::Display for PublisherFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(error) => error.fmt(f),
            Self::Key => f.write_str("not a SubjectPublicKeyInfo in DER"),
            Self::UnsupportedKey => {
                f.write_str("a publisher's key is RSA, or ECDSA on P-256, P-384 or P-521")
            }
        }
    }
}

impl core::error::Error for PublisherFault {}
