//! Which key of which element, as text that people put into a configuration.
//!
//! | reference | key |
//! |---|---|
//! | `element:tpm/<name>` | of the device's TPM |
//! | `element:software/<name>` | of the device's software element |
//! | `element:pkcs11/<name>` | of the token that the settings name |
//! | `pkcs11:<attributes>`, `element:pkcs11:<attributes>` | of the token that the URI itself names (RFC 7512) |
//!
//! A [`KeyReference`] is the same as a PEM file, with the digest of the public key. What this is not:
//! a way to the element (`touchstone-drive` opens it), nor a search by RFC 7512 attributes: here those
//! are only checked to be well-formed, and `touchstone-element-pkcs11` takes them apart.

mod file;

pub use file::{KeyReference, PEM_LABEL};

use crate::check_name;
use std::fmt;
use std::str::FromStr;
use touchstone_engine::Blame;

/// Octets of the longest reference.
pub const MAX_REFERENCE_LEN: usize = 4096;

/// A kind of element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// A TPM 2.0.
    Tpm,
    /// A PKCS#11 token.
    Pkcs11,
    /// The software element.
    Software,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Tpm, Self::Pkcs11, Self::Software];

    /// The name in references and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tpm => "tpm",
            Self::Pkcs11 => "pkcs11",
            Self::Software => "software",
        }
    }

    /// The kind of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A reference to a key. It parses from what it displays as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference(Inner);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Inner {
    Named(Kind, String),
    Uri(String),
}

impl Reference {
    /// The key `name` of the device's element of that kind.
    pub fn named(kind: Kind, name: &str) -> Result<Self, ReferenceError> {
        let at = "element:/".len() + kind.name().len();
        check_name(name).map_err(|_| fault(at, ReferenceFault::Name))?;
        Ok(Self(Inner::Named(kind, name.to_owned())))
    }

    /// What kind of element it is on.
    pub const fn kind(&self) -> Kind {
        match &self.0 {
            Inner::Named(kind, _) => *kind,
            Inner::Uri(_) => Kind::Pkcs11,
        }
    }

    /// The key's name on the element that the settings name; `None` when a URI says all of it.
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Inner::Named(_, name) => Some(name),
            Inner::Uri(_) => None,
        }
    }

    /// The `pkcs11:` URI, when there is one.
    pub fn pkcs11_uri(&self) -> Option<&str> {
        match &self.0 {
            Inner::Named(..) => None,
            Inner::Uri(uri) => Some(uri),
        }
    }

    /// Whether text is meant as a reference, good or bad: for settings that take a file's path too.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("element:") || text.starts_with("pkcs11:")
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.len() > MAX_REFERENCE_LEN {
            return Err(fault(MAX_REFERENCE_LEN, ReferenceFault::TooLong));
        }
        let uri = text.strip_prefix("element:").filter(|rest| rest.starts_with("pkcs11:"));
        if let Some(uri) = uri.or_else(|| text.starts_with("pkcs11:").then_some(text)) {
            check_uri(uri, text.len() - uri.len())?;
            return Ok(Self(Inner::Uri(uri.to_owned())));
        }
        let start = "element:".len();
        let rest = text.strip_prefix("element:").ok_or(fault(0, ReferenceFault::Scheme))?;
        let (kind, name) = rest.split_once('/').ok_or(fault(text.len(), ReferenceFault::NoName))?;
        let kind = Kind::from_name(kind).ok_or(fault(start, ReferenceFault::Kind))?;
        Self::named(kind, name)
    }
}

/// RFC 7512 §2.3, as far as it can be told without knowing the attributes.
fn check_uri(uri: &str, before: usize) -> Result<(), ReferenceError> {
    let path_at = before + "pkcs11:".len();
    let rest = uri.get("pkcs11:".len()..).unwrap_or_default();
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if path.is_empty() && query.is_empty() {
        return Err(fault(path_at, ReferenceFault::NoName));
    }
    check_attributes(path, ';', path_at)?;
    check_attributes(query, '&', path_at + path.len() + 1)
}

fn check_attributes(attributes: &str, separator: char, start: usize) -> Result<(), ReferenceError> {
    if attributes.is_empty() {
        return Ok(());
    }
    let mut at = start;
    for attribute in attributes.split(separator) {
        let (name, value) =
            attribute.split_once('=').ok_or(fault(at, ReferenceFault::Attribute))?;
        let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(fault(at, ReferenceFault::Attribute));
        }
        if name == "pin-value" {
            return Err(fault(at, ReferenceFault::PinValue));
        }
        check_value(value, separator, at + name.len() + 1)?;
        at += attribute.len() + 1;
    }
    Ok(())
}

fn check_value(value: &str, separator: char, start: usize) -> Result<(), ReferenceError> {
    let mut bytes = value.bytes().enumerate();
    while let Some((offset, byte)) = bytes.next() {
        let mut hex = || bytes.next().is_some_and(|(_, digit)| digit.is_ascii_hexdigit());
        if byte == b'%' {
            if !(hex() && hex()) {
                return Err(fault(start + offset, ReferenceFault::Percent));
            }
            continue;
        }
        let here: &[u8] = if separator == ';' { b"&" } else { b"/?|" };
        let may = byte.is_ascii_alphanumeric() || b"-._~:[]@!$'()*+,=".contains(&byte);
        if !may && !here.contains(&byte) {
            return Err(fault(start + offset, ReferenceFault::Character));
        }
    }
    Ok(())
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Named(kind, name) => write!(f, "element:{}/{name}", kind.name()),
            Inner::Uri(uri) => f.write_str(uri),
        }
    }
}

/// Why text is no reference, and where. It holds nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceError {
    /// Octets in front of what it is about.
    pub at: usize,
    /// What is wrong.
    pub fault: ReferenceFault,
}

const fn fault(at: usize, fault: ReferenceFault) -> ReferenceError {
    ReferenceError { at, fault }
}

/// What is wrong with a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReferenceFault {
    /// Longer than [`MAX_REFERENCE_LEN`].
    TooLong,
    /// It begins neither with `element:` nor with `pkcs11:`.
    Scheme,
    /// No such kind of element.
    Kind,
    /// It ends before it says which key.
    NoName,
    /// The name is not 1 to 64 of `a-z 0-9 - _`.
    Name,
    /// An attribute that is not `name=value` (RFC 7512 §2.3).
    Attribute,
    /// `%` without two hexadecimal digits.
    Percent,
    /// A character that has to be percent-encoded there.
    Character,
    /// A PIN in the URI.
    PinValue,
    /// A file that is no PEM with the label [`PEM_LABEL`].
    Pem,
    /// What is inside the PEM does not parse.
    Der,
    /// A version of the file that is not understood here.
    Version,
}

impl ReferenceError {
    /// The stable code of this error.
    pub const fn code(self) -> &'static str {
        match self.fault {
            ReferenceFault::TooLong => "element.reference.too-long",
            ReferenceFault::Scheme => "element.reference.scheme",
            ReferenceFault::Kind => "element.reference.kind",
            ReferenceFault::NoName => "element.reference.no-name",
            ReferenceFault::Name => "element.reference.name",
            ReferenceFault::Attribute => "element.reference.attribute",
            ReferenceFault::Percent => "element.reference.percent",
            ReferenceFault::Character => "element.reference.character",
            ReferenceFault::PinValue => "element.reference.pin-value",
            ReferenceFault::Pem => "element.reference.pem",
            ReferenceFault::Der => "element.reference.der",
            ReferenceFault::Version => "element.reference.version",
        }
    }

    /// Whose doing it was: whoever wrote the configuration.
    pub const fn blame(self) -> Blame {
        Blame::Owner
    }
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.fault {
            ReferenceFault::TooLong => "a reference has at most 4096 octets",
            ReferenceFault::Scheme => "a reference begins with `element:` or `pkcs11:`",
            ReferenceFault::Kind => "an element is `tpm`, `pkcs11` or `software`",
            ReferenceFault::NoName => "the name of the key is missing: `element:tpm/<name>`",
            ReferenceFault::Name => "a key's name is 1 to 64 of a-z, 0-9, '-' and '_'",
            ReferenceFault::Attribute => "an attribute is `name=value`",
            ReferenceFault::Percent => "`%` is followed by two hexadecimal digits",
            ReferenceFault::Character => "this character has to be percent-encoded",
            ReferenceFault::PinValue => {
                "a PIN does not belong into a configuration; say where it is with `pin-source`"
            }
            ReferenceFault::Pem => {
                "the file is no PEM block labelled `TOUCHSTONE KEY REFERENCE`; make it anew"
            }
            ReferenceFault::Der => "the reference inside the PEM does not parse; make it anew",
            ReferenceFault::Version => {
                "the file has a version that is not understood here; use the program that made it"
            }
        };
        write!(f, "{words} (at octet {})", self.at)
    }
}

impl std::error::Error for ReferenceError {}

#[cfg(test)]
mod tests;
