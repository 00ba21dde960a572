//! Conceptual message wrappers (CMW, RFC 9999): how evidence, endorsements, reference values,
//! attestation results and policies travel, with a word about what they are.
//!
//! A CMW is one record or a labelled collection of CMWs, in CBOR or in JSON; a record may also be a
//! tagged byte string of CBOR (RFC 9999 §3, RFC 9277 §4.3). Reading is strict: a label that comes
//! twice, an indicator bit that nobody defined, or anything behind the end is refused. What this is
//! not: a statement that the contents are what the wrapper says.

mod cbor;
mod json;

use crate::Error;
use alloc::borrow::Cow;
use alloc::vec::Vec;

/// The largest CMW that is read, in octets.
pub const MAX_CMW: usize = crate::MAX_EVIDENCE;
/// The most entries of one collection.
pub const MAX_ENTRIES: usize = 64;
/// How deep collections may stand in each other.
pub const MAX_DEPTH: usize = 4;

const ITEM: &str = "conceptual message wrapper";
/// The label that holds a collection's type.
const COLLECTION_TYPE: &str = "__cmwc_t";
/// The Content-Formats of EATs (RFC 9782 §6.3).
const EAT_FORMATS: core::ops::RangeInclusive<u16> = 263..=268;
/// The longest media type, label or collection type, in octets.
const MAX_TEXT: usize = 512;

/// A conceptual message wrapper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cmw<'a> {
    /// One message.
    Record(Record<'a>),
    /// Several, each with its label.
    Collection(Collection<'a>),
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What the value is.
    pub kind: Kind<'a>,
    /// The message.
    pub value: Cow<'a, [u8]>,
    /// Which conceptual messages it holds, if it says so.
    pub indicator: Option<Indicator>,
}

/// A media type, or the number that CoAP has for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// `application/eat+cwt`
    MediaType(Cow<'a, str>),
    /// A CoAP Content-Format (RFC 7252 §12.3).
    ContentFormat(u16),
}

/// Several messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection<'a> {
    /// What the collection is: a URI or an object identifier.
    pub kind: Option<Cow<'a, str>>,
    /// The entries in their order, no label twice.
    pub entries: Vec<(Label<'a>, Cmw<'a>)>,
}

/// The label of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// A number; CBOR only.
    Number(i64),
}

/// Which conceptual messages a record holds (RFC 9999 §9.4: the CMW Indicators registry).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indicator(u8);

impl Indicator {
    /// Reference values.
    pub const REFERENCE_VALUES: Self = Self(1);
    /// Endorsements.
    pub const ENDORSEMENTS: Self = Self(1 << 1);
    /// Evidence.
    pub const EVIDENCE: Self = Self(1 << 2);
    /// Attestation results.
    pub const ATTESTATION_RESULTS: Self = Self(1 << 3);
    /// A policy by which something is appraised.
    pub const APPRAISAL_POLICY: Self = Self(1 << 4);

    const ALL: u8 = 0x1F;

    /// The indicator of these bits; `None` if one of them is not assigned.
    pub fn from_bits(bits: u64) -> Option<Self> {
        u8::try_from(bits).ok().filter(|bits| bits & !Self::ALL == 0).map(Self)
    }

    /// Its bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all messages of the other are among these.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl<'a> Cmw<'a> {
    /// Reads a CMW in CBOR or JSON; the first octet tells which (RFC 9999 §4).
    pub fn decode(octets: &'a [u8]) -> Result<Self, Error> {
        match octets.trim_ascii_start().first() {
            Some(b'[' | b'{') => Self::from_json(octets),
            _ => Self::from_cbor(octets),
        }
    }

    /// Reads a CMW in CBOR: a record, a collection, or a tagged record.
    pub fn from_cbor(octets: &'a [u8]) -> Result<Self, Error> {
        bounded(octets).and_then(cbor::decode)
    }

    /// Reads a CMW in JSON: a record or a collection.
    pub fn from_json(octets: &[u8]) -> Result<Cmw<'static>, Error> {
        bounded(octets).and_then(json::decode)
    }

    /// The same, with everything in it copied.
    #[must_use]
    pub fn into_owned(self) -> Cmw<'static> {
        match self {
            Self::Record(record) => Cmw::Record(record.into_owned()),
            Self::Collection(Collection { kind, entries }) => {
                let owned =
                    |(label, entry): (Label<'a>, Self)| (label.into_owned(), entry.into_owned());
                let entries = entries.into_iter().map(owned).collect();
                Cmw::Collection(Collection { kind: kind.map(owned_text), entries })
            }
        }
    }

    /// CBOR.
    pub fn to_cbor(&self) -> Vec<u8> {
        cbor::encode_cmw(self)
    }

    /// JSON; `None` if a label is a number or a kind is a Content-Format, which JSON has no form
    /// for.
    pub fn to_json(&self) -> Option<Vec<u8>> {
        json::encode(self)
    }
}

fn owned_text(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

impl Label<'_> {
    fn into_owned(self) -> Label<'static> {
        match self {
            Self::Text(text) => Label::Text(owned_text(text)),
            Self::Number(number) => Label::Number(number),
        }
    }
}

impl<'a> Record<'a> {
    fn into_owned(self) -> Record<'static> {
        let kind = match self.kind {
            Kind::MediaType(text) => Kind::MediaType(owned_text(text)),
            Kind::ContentFormat(format) => Kind::ContentFormat(format),
        };
        let value = Cow::Owned(self.value.into_owned());
        Record { kind, value, indicator: self.indicator }
    }

    /// A message of a media type; `None` if that is no media type.
    pub fn new(
        media_type: impl Into<Cow<'a, str>>,
        value: impl Into<Cow<'a, [u8]>>,
    ) -> Option<Self> {
        let media_type = media_type.into();
        let value = value.into();
        let kind = Kind::MediaType(media_type);
        kind.is_well_formed().then_some(Self { kind, value, indicator: None })
    }

    /// And what it holds.
    #[must_use]
    pub const fn indicating(mut self, indicator: Indicator) -> Self {
        self.indicator = Some(indicator);
        self
    }

    /// The message as a tagged byte string (RFC 9277 §4.3); `None` if its kind is not a
    /// Content-Format, or if it has an indicator, which that form cannot carry.
    pub fn to_tagged_cbor(&self) -> Option<Vec<u8>> {
        match (&self.kind, self.indicator) {
            (Kind::ContentFormat(format), None) => Some(cbor::encode_tagged(*format, &self.value)),
            _ => None,
        }
    }
}

impl<'a> Collection<'a> {
    /// An empty collection of a type; `None` if the type is neither a URI nor an object identifier.
    pub fn new(kind: impl Into<Cow<'a, str>>) -> Option<Self> {
        let kind = kind.into();
        is_collection_type(&kind).then(|| Self { kind: Some(kind), entries: Vec::new() })
    }

    /// Adds an entry; false, and nothing is added, if the label is there or is reserved.
    pub fn add(&mut self, label: impl Into<Cow<'a, str>>, entry: Cmw<'a>) -> bool {
        self.push(Label::Text(label.into()), entry).is_some()
    }

    fn push(&mut self, label: Label<'a>, entry: Cmw<'a>) -> Option<()> {
        let reserved = matches!(&label, Label::Text(text)
            if text == COLLECTION_TYPE || text.is_empty() || text.len() > MAX_TEXT);
        let known = self.entries.iter().any(|(other, _)| *other == label);
        if reserved || known || self.entries.len() >= MAX_ENTRIES {
            return None;
        }
        self.entries.push((label, entry));
        Some(())
    }

    /// The entry of that label.
    pub fn entry(&self, label: &str) -> Option<&Cmw<'a>> {
        let is = |(known, _): &&(Label<'a>, Cmw<'a>)| match known {
            Label::Text(text) => text == label,
            Label::Number(_) => false,
        };
        self.entries.iter().find(is).map(|(_, entry)| entry)
    }

    /// The record of that label and media type.
    pub fn record(&self, label: &str, media_type: &str) -> Option<&Record<'a>> {
        match self.entry(label)? {
            Cmw::Record(record) if record.is(media_type) => Some(record),
            _ => None,
        }
    }
}

impl Record<'_> {
    /// Whether it is of that media type.
    pub fn is(&self, media_type: &str) -> bool {
        matches!(&self.kind, Kind::MediaType(known) if known == media_type)
    }

    /// Whether it is an entity attestation token, or a bundle of such (RFC 9782 §6).
    pub(crate) fn is_token(&self) -> bool {
        match &self.kind {
            Kind::MediaType(known) => known.starts_with("application/eat"),
            Kind::ContentFormat(format) => EAT_FORMATS.contains(format),
        }
    }
}

impl Kind<'_> {
    /// `type/subtype`, and parameters behind a semicolon (RFC 9110 §8.3.1).
    fn is_well_formed(&self) -> bool {
        let Self::MediaType(text) = self else { return true };
        let token = |text: &str| {
            let fits = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
            !text.is_empty() && text.bytes().all(fits)
        };
        let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
        let names = kind.trim_end().split_once('/');
        text.len() <= MAX_TEXT
            && names.is_some_and(|(kind, subtype)| token(kind) && token(subtype))
            && parameters.bytes().all(|c| c == b' ' || c.is_ascii_graphic())
    }
}

/// A URI with a scheme (RFC 3986 §3), or an object identifier in dots.
fn is_collection_type(text: &str) -> bool {
    let is_uri = text.split_once(':').is_some_and(|(scheme, rest)| {
        let fits = |c: u8| c.is_ascii_alphanumeric() || b"+-.".contains(&c);
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(fits)
            && !rest.is_empty()
            && rest.bytes().all(|c| c.is_ascii_graphic())
    });
    let number = |part: &str| {
        part == "0"
            || (!part.starts_with('0')
                && !part.is_empty()
                && part.bytes().all(|c| c.is_ascii_digit()))
    };
    let is_oid = text.starts_with(['0', '1', '2']) && text.split('.').all(number);
    text.len() <= MAX_TEXT && (is_uri || is_oid)
}

fn bounded(octets: &[u8]) -> Result<&[u8], Error> {
    if octets.len() > MAX_CMW {
        return Err(Error::TooLarge { item: ITEM, limit: MAX_CMW });
    }
    Ok(octets)
}

#[cfg(test)]
mod tests;
