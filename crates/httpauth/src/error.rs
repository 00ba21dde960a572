//! Why a client is not believed to be who it says.

use core::fmt;

/// Why a client is not believed to be who it says. One variant per check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The header is of another scheme than was looked for.
    OtherScheme,
    /// The header does not parse.
    Malformed,
    /// A parameter that has to be there is missing or there twice (RFC 7616 §3.4).
    Parameters,
    /// Another algorithm than SHA-256, or no protection of quality `auth`.
    Unsupported,
    /// The realm is another.
    WrongRealm,
    /// The header is about another request (RFC 7616 §3.4.6).
    WrongTarget,
    /// The nonce is not one of ours.
    ForeignNonce,
    /// The nonce is too old: ask again with the new one (`stale`).
    StaleNonce,
    /// The same count for the same nonce was seen before (RFC 7616 §5.5).
    Replayed,
    /// The password is another.
    WrongPassword,
    /// The crypto provider failed.
    Crypto(touchstone_crypto::Error),
}

impl Error {
    /// The stable code of this error.
    pub const fn code(self) -> &'static str {
        match self {
            Self::OtherScheme => "httpauth.scheme",
            Self::Malformed => "httpauth.malformed",
            Self::Parameters => "httpauth.parameters",
            Self::Unsupported => "httpauth.unsupported",
            Self::WrongRealm => "httpauth.realm",
            Self::WrongTarget => "httpauth.target",
            Self::ForeignNonce => "httpauth.nonce.foreign",
            Self::StaleNonce => "httpauth.nonce.stale",
            Self::Replayed => "httpauth.replayed",
            Self::WrongPassword => "httpauth.password",
            Self::Crypto(error) => error.code(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherScheme => "the client authenticates in another way",
            Self::Malformed => "the authentication header does not parse",
            Self::Parameters => "a parameter of the authentication header is missing or doubled",
            Self::Unsupported => "only Digest with SHA-256 and `qop=auth` is taken",
            Self::WrongRealm => "the authentication header is for another realm",
            Self::WrongTarget => "the authentication header is for another request",
            Self::ForeignNonce => "the nonce was not given out here",
            Self::StaleNonce => "the nonce is too old",
            Self::Replayed => "this authentication was seen before",
            Self::WrongPassword => "user and password do not fit",
            Self::Crypto(error) => return error.fmt(f),
        })
    }
}

impl core::error::Error for Error {}

impl From<touchstone_crypto::Error> for Error {
    fn from(error: touchstone_crypto::Error) -> Self {
        Self::Crypto(error)
    }
}
