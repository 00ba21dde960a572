//! Text to [`Uri`].

use super::{LONGEST, ObjectType, Uri, UriError, UriFault};
use std::str::FromStr;
use touchstone_settings::SecretReference;

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        if text.len() > LONGEST {
            return Err(UriError { at: LONGEST, fault: UriFault::TooLong });
        }
        // RFC 3986 §3.1: a scheme is the same in capitals.
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("pkcs11") || scheme.len() == text.len() {
            return Err(UriError { at: 0, fault: UriFault::Scheme });
        }
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let start = scheme.len() + 1;
        let mut uri = Self::default();
        uri.attributes(Side::Path, path, start)?;
        uri.attributes(Side::Query, query.unwrap_or_default(), start + path.len() + 1)?;
        Ok(uri)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Path,
    Query,
}

impl Side {
    const fn separator(self) -> char {
        match self {
            Self::Path => ';',
            Self::Query => '&',
        }
    }

    /// What may stand for itself in a value (RFC 7512 §2.3, `pk11-pchar` and `pk11-qchar`).
    fn allows(self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric()
            || b"-._~:[]@!$'()*+,=".contains(&byte)
            || match self {
                Self::Path => byte == b'&',
                Self::Query => b"/?|".contains(&byte),
            }
    }
}

impl Uri {
    fn attributes(&mut self, side: Side, text: &str, start: usize) -> Result<(), UriError> {
        if text.is_empty() {
            return Ok(());
        }
        let mut at = start;
        for attribute in text.split(side.separator()) {
            self.attribute(side, attribute).map_err(|fault| UriError { at, fault })?;
            at += attribute.len() + 1;
        }
        Ok(())
    }

    fn attribute(&mut self, side: Side, attribute: &str) -> Result<(), UriFault> {
        let (name, value) = attribute.split_once('=').ok_or(UriFault::NoValue)?;
        if name == "pin-value" {
            return Err(UriFault::PinValue);
        }
        let belongs = match name {
            "pin-source" | "module-name" | "module-path" => Side::Query,
            _ => Side::Path,
        };
        if !self.knows(name) {
            return Err(UriFault::Unknown);
        }
        if belongs != side {
            return Err(UriFault::Misplaced);
        }
        let value = decode(side, value)?;
        match name {
            "id" => once(&mut self.id, value),
            "slot-id" => once(&mut self.slot_id, number(&text(value)?)?),
            "type" => once(&mut self.object_type, object_type(&text(value)?)?),
            "library-version" => once(&mut self.library_version, version(&text(value)?)?),
            "pin-source" => once(&mut self.pin_source, pin_source(&text(value)?)?),
            "module-name" => once(&mut self.module_name, module_name(text(value)?)?),
            "module-path" => once(&mut self.module_path, module_path(text(value)?)?),
            _ => match self.text_mut(name) {
                Some(place) => once(place, text(value)?),
                None => Err(UriFault::Unknown),
            },
        }
    }

    fn knows(&mut self, name: &str) -> bool {
        let other = [
            "id",
            "slot-id",
            "type",
            "library-version",
            "pin-source",
            "module-name",
            "module-path",
        ];
        other.contains(&name) || self.text_mut(name).is_some()
    }

    fn text_mut(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "token" => &mut self.token,
            "manufacturer" => &mut self.manufacturer,
            "serial" => &mut self.serial,
            "model" => &mut self.model,
            "library-manufacturer" => &mut self.library_manufacturer,
            "library-description" => &mut self.library_description,
            "object" => &mut self.object,
            "slot-description" => &mut self.slot_description,
            "slot-manufacturer" => &mut self.slot_manufacturer,
            _ => return None,
        })
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), UriFault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(UriFault::Duplicate),
    }
}

fn decode(side: Side, value: &str) -> Result<Vec<u8>, UriFault> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => 16 * digit(bytes.next())? + digit(bytes.next())?,
            plain if side.allows(plain) => plain,
            _ => return Err(UriFault::Character),
        });
    }
    Ok(out)
}

fn digit(byte: Option<u8>) -> Result<u8, UriFault> {
    let digit = byte.and_then(|byte| char::from(byte).to_digit(16));
    digit.and_then(|digit| u8::try_from(digit).ok()).ok_or(UriFault::Percent)
}

/// A text without NUL: neither a label nor a path can hold one.
fn text(value: Vec<u8>) -> Result<String, UriFault> {
    let text = String::from_utf8(value).map_err(|_| UriFault::Text)?;
    if text.contains('\0') { Err(UriFault::Text) } else { Ok(text) }
}

fn number<T: FromStr>(text: &str) -> Result<T, UriFault> {
    // `parse` alone would take a sign.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(UriFault::Number)
}

fn version(text: &str) -> Result<(u8, u8), UriFault> {
    match text.split_once('.') {
        Some((major, minor)) => Ok((number(major)?, number(minor)?)),
        None => Ok((number(text)?, 0)),
    }
}

fn object_type(text: &str) -> Result<ObjectType, UriFault> {
    ObjectType::ALL.into_iter().find(|known| known.name() == text).ok_or(UriFault::Type)
}

fn module_name(name: String) -> Result<String, UriFault> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    let fits = !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain);
    if fits { Ok(name) } else { Err(UriFault::ModuleName) }
}

fn module_path(path: String) -> Result<String, UriFault> {
    if path.starts_with('/') { Ok(path) } else { Err(UriFault::ModulePath) }
}

/// A file by its absolute path, here (RFC 8089 §2: `file:/path` or `file:///path`), or a credential.
fn pin_source(reference: &str) -> Result<SecretReference, UriFault> {
    let elsewhere = reference.strip_prefix("file:").is_some_and(|path| {
        !path.starts_with('/') || (path.starts_with("//") && !path.starts_with("///"))
    });
    if elsewhere {
        return Err(UriFault::PinSource);
    }
    reference.parse().map_err(|_| UriFault::PinSource)
}
