//! `pkcs11:` URIs (RFC 7512): which token, which object on it, which module, and where the PIN is.
//! What this is not: a search. [`Token::open`](crate::Token::open) does that.

mod parse;
mod print;

use std::fmt;
use touchstone_settings::SecretReference;

/// The longest URI that is read, in octets.
pub const LONGEST: usize = 4096;

/// A `pkcs11:` URI, taken apart and decoded (RFC 7512 §2.3). An attribute that is absent matches
/// everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uri {
    /// The token's label.
    pub token: Option<String>,
    /// The token's manufacturer.
    pub manufacturer: Option<String>,
    /// The token's serial number.
    pub serial: Option<String>,
    /// The token's model.
    pub model: Option<String>,
    /// The module's manufacturer.
    pub library_manufacturer: Option<String>,
    /// The module's description.
    pub library_description: Option<String>,
    /// The module's version, major and minor.
    pub library_version: Option<(u8, u8)>,
    /// The object's label.
    pub object: Option<String>,
    /// The object's class.
    pub object_type: Option<ObjectType>,
    /// The object's `CKA_ID`.
    pub id: Option<Vec<u8>>,
    /// The slot's description.
    pub slot_description: Option<String>,
    /// The slot's manufacturer.
    pub slot_manufacturer: Option<String>,
    /// The slot's number. Few modules keep it over a restart: prefer `serial`.
    pub slot_id: Option<u64>,
    /// Where the PIN is.
    pub pin_source: Option<SecretReference>,
    /// The module's name without `lib` and `.so`: `softhsm2`.
    pub module_name: Option<String>,
    /// The module's file, or the folder that `module-name` is in.
    pub module_path: Option<String>,
}

/// The class of an object (RFC 7512 §2.3, `type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectType {
    /// A public key.
    Public,
    /// A private key.
    Private,
    /// A certificate.
    Cert,
    /// A secret key.
    SecretKey,
    /// Data.
    Data,
}

impl ObjectType {
    const ALL: [Self; 5] = [Self::Public, Self::Private, Self::Cert, Self::SecretKey, Self::Data];

    const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Cert => "cert",
            Self::SecretKey => "secret-key",
            Self::Data => "data",
        }
    }
}

/// Why a URI was not accepted, and where. Never holds a part of the URI: it may have a PIN in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UriError {
    /// Octets before the attribute that it is about.
    pub at: usize,
    /// What is wrong.
    pub fault: UriFault,
}

/// What is wrong with a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UriFault {
    /// Longer than [`LONGEST`].
    TooLong,
    /// Another scheme than `pkcs11:`.
    Scheme,
    /// An attribute without `=`.
    NoValue,
    /// An attribute that RFC 7512 does not have: a vendor's own, or a slip of the pen. It would
    /// narrow the choice in a way that we cannot follow.
    Unknown,
    /// An attribute of the other side of the `?`.
    Misplaced,
    /// An attribute that is there twice (RFC 7512 §2.3).
    Duplicate,
    /// `%` without two hexadecimal digits.
    Percent,
    /// A character that has to be percent-encoded here (RFC 7512 §2.3).
    Character,
    /// Not UTF-8.
    Text,
    /// Not a decimal number, or one too large.
    Number,
    /// Not a `type` of RFC 7512.
    Type,
    /// A PIN in the URI.
    PinValue,
    /// A PIN source other than a file or a credential.
    PinSource,
    /// A module path that is not absolute.
    ModulePath,
    /// A module name that is no file name.
    ModuleName,
}

impl UriFault {
    /// The stable code of this fault.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "pkcs11.uri.too-long",
            Self::Scheme => "pkcs11.uri.scheme",
            Self::NoValue => "pkcs11.uri.no-value",
            Self::Unknown => "pkcs11.uri.unknown",
            Self::Misplaced => "pkcs11.uri.misplaced",
            Self::Duplicate => "pkcs11.uri.duplicate",
            Self::Percent => "pkcs11.uri.percent",
            Self::Character => "pkcs11.uri.character",
            Self::Text => "pkcs11.uri.text",
            Self::Number => "pkcs11.uri.number",
            Self::Type => "pkcs11.uri.type",
            Self::PinValue => "pkcs11.uri.pin-value",
            Self::PinSource => "pkcs11.uri.pin-source",
            Self::ModulePath => "pkcs11.uri.module-path",
            Self::ModuleName => "pkcs11.uri.module-name",
        }
    }

    /// What it is and what to do.
    pub const fn words(self) -> &'static str {
        match self {
            Self::TooLong => "longer than 4096 octets; this is no PKCS#11 URI",
            Self::Scheme => "not a PKCS#11 URI; begin with `pkcs11:`",
            Self::NoValue => "an attribute without a value; write `name=value`",
            Self::Unknown => {
                "no attribute of RFC 7512; correct its name, or take it out if it is a vendor's own"
            }
            Self::Misplaced => {
                "an attribute on the wrong side of `?`; only pin-source, module-name and \
                 module-path come after it"
            }
            Self::Duplicate => "an attribute that is there twice; keep one",
            Self::Percent => "`%` without two hexadecimal digits; write `%25` for `%` itself",
            Self::Character => "a character that needs percent-encoding here",
            Self::Text => "a text that is not UTF-8",
            Self::Number => "not a decimal number in range",
            Self::Type => "no type of object; use public, private, cert, secret-key or data",
            Self::PinValue => {
                "a PIN in the URI, where others can read it; put it into a file and write \
                 `pin-source=file:/path` or `pin-source=credential:name`"
            }
            Self::PinSource => {
                "not where a PIN is; write `pin-source=file:/path` or `pin-source=credential:name`"
            }
            Self::ModulePath => "a module path that is not absolute; begin with `/`",
            Self::ModuleName => {
                "no module name; write it without `lib`, `.so` and folders: `softhsm2`"
            }
        }
    }
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at octet {}: {}", self.at, self.fault.words())
    }
}

impl std::error::Error for UriError {}

impl From<UriError> for touchstone_element::Error {
    fn from(error: UriError) -> Self {
        Self::BadInput(error.fault.words())
    }
}

#[cfg(test)]
mod tests;
