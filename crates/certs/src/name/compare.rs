//! How distinguished names are compared (RFC 5280 §7.1): without regard to case, to runs of spaces,
//! and to the kind of string that they are written in. Vendors rely on it.

use crate::Error;
use alloc::string::String;
use alloc::vec::Vec;
use der::asn1::Any;
use der::{Decode, Encode, Tag, Tagged};
use x509_cert::name as x509;

/// A distinguished name in the form in which equal ones are equal: one entry for each relative name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Folded(Vec<Vec<u8>>);

impl Folded {
    pub(crate) fn decode(der: &[u8]) -> Result<Self, Error> {
        Self::of(&x509::Name::from_der(der).map_err(Error::der("name"))?)
    }

    pub(crate) fn of(name: &x509::Name) -> Result<Self, Error> {
        name.iter_rdn().map(relative).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is `base` or beneath it (RFC 5280 §4.2.1.10).
    pub(crate) fn is_within(&self, base: &Self) -> bool {
        self.0.starts_with(&base.0)
    }

    /// The name one step beneath (`nameRelativeToCRLIssuer`, RFC 5280 §4.2.1.13).
    pub(crate) fn join(&self, step: &x509::RelativeDistinguishedName) -> Result<Self, Error> {
        let mut joined = self.clone();
        joined.0.push(relative(step)?);
        Ok(joined)
    }
}

fn relative(name: &x509::RelativeDistinguishedName) -> Result<Vec<u8>, Error> {
    let mut parts = Vec::with_capacity(name.len());
    for part in name.iter() {
        let mut octets = part.oid.to_der().map_err(Error::der("name"))?;
        match text(&part.value) {
            Some(text) => {
                octets.push(0);
                octets.extend(folded(&text).bytes());
            }
            None => octets.extend(part.value.to_der().map_err(Error::der("name"))?),
        }
        parts.push(octets);
    }
    parts.sort_unstable();
    let mut joined = Vec::new();
    for part in parts {
        // Lengths keep two parts from reading as one.
        joined.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        joined.extend(part);
    }
    Ok(joined)
}

/// The characters of a string of any kind.
pub(crate) fn text(value: &Any) -> Option<String> {
    let octets = value.value();
    match value.tag() {
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::Ia5String
        | Tag::NumericString
        | Tag::VisibleString => core::str::from_utf8(octets).ok().map(String::from),
        // Written by everybody as Latin 1.
        Tag::TeletexString => Some(octets.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let units = octets.chunks(2).map(|pair| match pair {
                [high, low] => Some(u16::from_be_bytes([*high, *low])),
                _ => None,
            });
            String::from_utf16(&units.collect::<Option<Vec<_>>>()?).ok()
        }
        _ => None,
    }
}

fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.extend(word.chars().flat_map(char::to_lowercase));
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::str::FromStr;

    fn fold(text: &str) -> Folded {
        Folded::of(&x509::Name::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn case_spaces_and_the_kind_of_string_do_not_matter() {
        assert_eq!(fold("CN=Plant  7 ,O=ACME"), fold("CN=plant 7,O=acme"));
        // C is a PrintableString; a foreign CA wrote it as UTF8String.
        let printable = [0x30, 0x0D, 0x31, 0x0B, 0x30, 9, 6, 3, 0x55, 4, 3, 0x13, 2, b'A', b'b'];
        let mut utf8 = printable;
        utf8[11] = 0x0C;
        utf8[13] = b'a';
        assert_eq!(Folded::decode(&printable), Folded::decode(&utf8));
    }

    #[test]
    fn order_and_grouping_do() {
        assert_ne!(fold("CN=a,O=b"), fold("O=b,CN=a"));
        assert_ne!(fold("CN=a+O=b"), fold("CN=a,O=b"));
        assert_eq!(fold("CN=a+O=b"), fold("O=b+CN=a"));
    }

    #[test]
    fn a_name_is_beneath_itself_and_its_ancestors_alone() {
        // RFC 4514 writes the last step first.
        assert!(fold("CN=a,O=b").is_within(&fold("O=B")));
        assert!(fold("O=b").is_within(&fold("O=b")));
        assert!(!fold("O=b").is_within(&fold("CN=a,O=b")));
        assert!(!fold("CN=a,O=bc").is_within(&fold("O=b")));
    }
}
