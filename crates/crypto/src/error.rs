//! What can go wrong in a crypto provider.

use core::fmt;

/// Why a provider could not do as asked, or said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The signature is not by this key over this message.
    BadSignature,
    /// The public key does not parse, or is too weak for the provider.
    BadKey,
    /// The encoding of a signature is not that of its algorithm.
    BadEncoding,
    /// The provider does not offer the algorithm.
    Unsupported,
    /// The key's holder (an element, a store) could not use it.
    SignerFailed,
    /// What was encrypted does not open with this key, or was changed.
    Undecryptable,
    /// The random source failed: nothing may go on.
    NoRandom,
}

impl Error {
    /// The stable code of this error.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadSignature => "crypto.signature.bad",
            Self::BadKey => "crypto.key.bad",
            Self::BadEncoding => "crypto.signature.encoding",
            Self::Unsupported => "crypto.algorithm.unsupported",
            Self::SignerFailed => "crypto.signer.failed",
            Self::Undecryptable => "crypto.decryption.failed",
            Self::NoRandom => "crypto.random.failed",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadSignature => "the signature does not verify with this key",
            Self::BadKey => "the public key does not parse or is too weak",
            Self::BadEncoding => "the signature is not encoded as its algorithm wants",
            Self::Unsupported => "the crypto provider does not offer this algorithm",
            Self::SignerFailed => "the holder of the key could not use it",
            Self::Undecryptable => "it does not decrypt with this key",
            Self::NoRandom => "the random source failed",
        })
    }
}

impl core::error::Error for Error {}
