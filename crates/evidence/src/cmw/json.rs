//! CMWs in JSON (RFC 9999 §3.1, §3.3).

use super::{
    COLLECTION_TYPE, Cmw, Collection, ITEM, Indicator, Kind, Label, MAX_DEPTH, Record,
    is_collection_type,
};
use crate::Error;
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64UrlUnpadded, Encoding};
use core::fmt;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

pub(super) fn decode(octets: &[u8]) -> Result<Cmw<'static>, Error> {
    let mut from = serde_json::Deserializer::from_slice(octets);
    let read = Depth(0).deserialize(&mut from).and_then(|cmw| from.end().map(|()| cmw));
    read.map_err(|error| Error::Malformed { item: ITEM, at: offset(octets, &error) })
}

/// The octet of a line and column.
fn offset(octets: &[u8], error: &serde_json::Error) -> usize {
    let lines = octets.split(|octet| *octet == b'\n').take(error.line().saturating_sub(1));
    lines.map(|line| line.len() + 1).sum::<usize>() + error.column().saturating_sub(1)
}

/// A reader that knows in how many collections it is. `serde_json::Value` would pass over a name
/// that comes twice.
struct Depth(usize);

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Cmw<'static>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Cmw<'static>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record or a collection")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let missing = |field| de::Error::invalid_length(field, &"a type and a value");
        let kind: String = fields.next_element()?.ok_or_else(|| missing(0))?;
        let value: String = fields.next_element()?.ok_or_else(|| missing(1))?;
        let indicator: Option<u64> = fields.next_element()?;
        if fields.next_element::<de::IgnoredAny>()?.is_some() {
            return Err(de::Error::invalid_length(4, &"at most three fields"));
        }
        let kind = Kind::MediaType(Cow::Owned(kind));
        if !kind.is_well_formed() {
            return Err(de::Error::custom("not a media type"));
        }
        let value = Base64UrlUnpadded::decode_vec(&value)
            .map_err(|_| de::Error::custom("not base64url without padding"))?;
        let known =
            |bits| Indicator::from_bits(bits).ok_or_else(|| de::Error::custom("not an indicator"));
        let indicator = indicator.map(known).transpose()?;
        Ok(Cmw::Record(Record { kind, value: Cow::Owned(value), indicator }))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        if self.0 >= MAX_DEPTH {
            return Err(de::Error::custom("collections stand too deep in each other"));
        }
        let mut collection = Collection::default();
        while let Some(label) = entries.next_key::<String>()? {
            if label == COLLECTION_TYPE {
                let kind = entries.next_value_seed(Text)?;
                if collection.kind.is_some() || !is_collection_type(&kind) {
                    return Err(de::Error::custom("not one type of a collection"));
                }
                collection.kind = Some(Cow::Owned(kind));
                continue;
            }
            let entry = entries.next_value_seed(Self(self.0 + 1))?;
            let added = collection.push(Label::Text(Cow::Owned(label)), entry);
            added.ok_or_else(|| de::Error::custom("a label that is reserved or there already"))?;
        }
        if collection.entries.is_empty() {
            return Err(de::Error::custom("a collection without entries"));
        }
        Ok(Cmw::Collection(collection))
    }
}

struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<String, D::Error> {
        String::deserialize(from)
    }
}

pub(super) fn encode(cmw: &Cmw<'_>) -> Option<Vec<u8>> {
    if has_form(cmw) { serde_json::to_vec(&Written(cmw)).ok() } else { None }
}

/// Whether JSON has a form for all of it.
fn has_form(cmw: &Cmw<'_>) -> bool {
    match cmw {
        Cmw::Record(record) => matches!(record.kind, Kind::MediaType(_)),
        Cmw::Collection(collection) => collection
            .entries
            .iter()
            .all(|(label, entry)| matches!(label, Label::Text(_)) && has_form(entry)),
    }
}

/// Entries in their order, which `serde_json::Map` would not keep.
struct Written<'a>(&'a Cmw<'a>);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Cmw::Record(Record { kind, value, indicator }) => {
                let mut fields = to.serialize_seq(None)?;
                if let Kind::MediaType(kind) = kind {
                    fields.serialize_element(kind)?;
                }
                fields.serialize_element(&Base64UrlUnpadded::encode_string(value))?;
                if let Some(indicator) = indicator {
                    fields.serialize_element(&indicator.bits())?;
                }
                fields.end()
            }
            Cmw::Collection(collection) => {
                let mut members = to.serialize_map(None)?;
                if let Some(kind) = &collection.kind {
                    members.serialize_entry(COLLECTION_TYPE, kind)?;
                }
                for (label, entry) in &collection.entries {
                    if let Label::Text(label) = label {
                        members.serialize_entry(label, &Written(entry))?;
                    }
                }
                members.end()
            }
        }
    }
}
