//! What shim measured: whom it trusts beside db, and which generations of boot code it refuses.

use super::{Fact, Key};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_measure::tcg::{Event, Guid, SignatureDatabase};

/// The SBAT level that shim enforces (`SbatLevel`): a component below its generation is not started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SbatLevel {
    /// When it was put together: 2024010900.
    pub date: u64,
    /// The lowest generation of each component that is started.
    pub generations: BTreeMap<String, u64>,
}

impl SbatLevel {
    /// Parses `component,generation` lines, the first of which is `sbat,1,DATE`; `None` for another
    /// form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut level = Self::default();
        let text = text.trim_end_matches('\0');
        for (at, line) in text.lines().filter(|line| !line.is_empty()).enumerate() {
            let mut fields = line.split(',');
            let (component, generation) = (fields.next()?, fields.next()?.parse().ok()?);
            match (at, fields.next()) {
                (0, Some(date)) if component == "sbat" => level.date = date.parse().ok()?,
                (0, _) => return None,
                // A level that says two things about one component says nothing.
                _ => {}
            }
            if component.is_empty()
                || level.generations.insert(component.to_string(), generation).is_some()
            {
                return None;
            }
        }
        (!level.generations.is_empty()).then_some(level)
    }
}

/// One of shim's lists, or a switch of it, as it was measured into PCR 14. The event carries no content:
/// compare the digest with that of a known one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShimVariable {
    /// The event's index.
    pub event: u32,
    /// `MokList`, `MokListX`, `MokListTrusted`, ...
    pub name: String,
    /// What was measured.
    pub digest: Digest,
}

/// What shim told of one of its own variables in PCR 7.
pub(super) enum Told {
    Level(Fact<SbatLevel>),
    Verified(Key),
    /// A switch, or something that says nothing about a key.
    Nothing,
    /// Of another form than its name says.
    Malformed,
}

impl Told {
    pub(super) fn of(crypto: &dyn Crypto, event: &Event, name: &str, data: &[u8]) -> Self {
        match name {
            "SbatLevel" | "SbatLevelRT" => {
                let level = core::str::from_utf8(data).ok().and_then(SbatLevel::parse);
                let fact = |value| Fact { event: event.index, pcr: event.pcr, value };
                level.map_or(Self::Malformed, |level| Self::Level(fact(level)))
            }
            "MokListTrusted" | "MokIgnoreDB" | "MokSBState" | "MokPolicy" => Self::Nothing,
            _ => verified(crypto, event, data).map_or(Self::Malformed, Self::Verified),
        }
    }
}

/// The key that shim verified an image with. Older ones measured the certificate without its owner.
fn verified(crypto: &dyn Crypto, event: &Event, data: &[u8]) -> Option<Key> {
    const SEQUENCE: u8 = 0x30;
    if data.first() == Some(&SEQUENCE) && der_len(data) == Some(data.len()) {
        let fingerprint = crypto.hash(HashAlgorithm::Sha256, &[data]);
        return Some(Key { event: event.index, fingerprint, certificate: data.to_vec() });
    }
    let kind = if data.len() == 48 { Guid::CERT_SHA256 } else { Guid::CERT_X509 };
    super::key(crypto, event, &SignatureDatabase::decode_authority(kind, data)?)
}

/// How long a DER value of two or three octets of length says that it is.
fn der_len(data: &[u8]) -> Option<usize> {
    match *data.get(1..5)? {
        [0x82, high, low, _] => Some(4 + usize::from(u16::from_be_bytes([high, low]))),
        [0x81, len, ..] => Some(3 + usize::from(len)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_read_whole_or_not_at_all() {
        let level = SbatLevel::parse("sbat,1,2024010900\nshim,4\ngrub,3\ngrub.debian,4\n").unwrap();
        assert_eq!((level.date, level.generations.len()), (2_024_010_900, 4));
        assert_eq!(level.generations.get("grub.debian"), Some(&4));
        for bad in [
            "",
            "shim,4\n",
            "sbat,1\nshim,4\n",
            "sbat,1,2024010900\nshim\n",
            "sbat,1,2024010900\nshim,four\n",
            "sbat,1,2024010900\nshim,4\nshim,1\n",
            "sbat,1,today\n",
        ] {
            assert_eq!(SbatLevel::parse(bad), None, "{bad:?}");
        }
    }
}
