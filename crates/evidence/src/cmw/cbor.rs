//! CMWs in CBOR (RFC 9999 §3.1, §3.2, §3.3).

use super::{
    COLLECTION_TYPE, Cmw, Collection, ITEM, Indicator, Kind, Label, MAX_DEPTH, MAX_ENTRIES,
    MAX_TEXT, Record, is_collection_type,
};
use crate::Error;
use crate::cbor::{Major, Reader, encode};
use alloc::borrow::Cow;
use alloc::vec::Vec;
use minicbor::Encoder;
use minicbor::data::Tag;

type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

/// The tags of Content-Formats (RFC 9277 §4.3): 255 of each 256 numbers from here.
const FIRST_TAG: u64 = 0x6374_0101;

/// The tag of a Content-Format.
fn tag_of(format: u16) -> u64 {
    let format = u64::from(format);
    FIRST_TAG + format / 255 * 256 + format % 255
}

/// The Content-Format of a tag.
fn format_of(tag: u64) -> Option<u16> {
    let at = tag.checked_sub(FIRST_TAG)?;
    if at % 256 == 255 {
        return None;
    }
    // 65025 and above have no tag.
    u16::try_from(at / 256 * 255 + at % 256).ok().filter(|format| *format < 65_025)
}

pub(super) fn decode(octets: &[u8]) -> Result<Cmw<'_>, Error> {
    let mut reader = Reader::new(ITEM, octets);
    let cmw = read(&mut reader, 0)?;
    reader.end()?;
    Ok(cmw)
}

fn read<'a>(reader: &mut Reader<'a>, depth: usize) -> Result<Cmw<'a>, Error> {
    match reader.peek()? {
        Major::Array => record(reader).map(Cmw::Record),
        Major::Map => collection(reader, depth).map(Cmw::Collection),
        Major::Tag => tagged(reader).map(Cmw::Record),
        _ => Err(reader.malformed()),
    }
}

fn record<'a>(reader: &mut Reader<'a>) -> Result<Record<'a>, Error> {
    let start = reader.malformed();
    let fields = reader.array(3)?;
    if fields < 2 {
        return Err(start);
    }
    let kind = match reader.peek()? {
        Major::Unsigned => {
            let format = u16::try_from(reader.u64()?).map_err(|_| start.clone())?;
            Kind::ContentFormat(format)
        }
        _ => Kind::MediaType(Cow::Borrowed(reader.text()?)),
    };
    if !kind.is_well_formed() {
        return Err(start);
    }
    let value = Cow::Borrowed(reader.bytes()?);
    let indicator = match fields {
        3 => Some(Indicator::from_bits(reader.u64()?).ok_or(start)?),
        _ => None,
    };
    Ok(Record { kind, value, indicator })
}

fn tagged<'a>(reader: &mut Reader<'a>) -> Result<Record<'a>, Error> {
    let start = reader.malformed();
    let format = format_of(reader.tag()?).ok_or(start)?;
    let value = Cow::Borrowed(reader.bytes()?);
    Ok(Record { kind: Kind::ContentFormat(format), value, indicator: None })
}

fn collection<'a>(reader: &mut Reader<'a>, depth: usize) -> Result<Collection<'a>, Error> {
    let start = reader.malformed();
    if depth >= MAX_DEPTH {
        return Err(Error::TooLarge { item: "nesting of collections", limit: MAX_DEPTH });
    }
    let mut collection = Collection::default();
    for _ in 0..reader.map(MAX_ENTRIES + 1)? {
        let here = reader.malformed();
        let label = match reader.peek()? {
            Major::Text => Label::Text(Cow::Borrowed(reader.text()?)),
            _ => Label::Number(reader.i64()?),
        };
        if label == Label::Text(Cow::Borrowed(COLLECTION_TYPE)) {
            let kind = reader.text()?;
            if collection.kind.is_some() || kind.len() > MAX_TEXT || !is_collection_type(kind) {
                return Err(here);
            }
            collection.kind = Some(Cow::Borrowed(kind));
            continue;
        }
        let entry = read(reader, depth + 1)?;
        collection.push(label, entry).ok_or(here)?;
    }
    if collection.entries.is_empty() { Err(start) } else { Ok(collection) }
}

pub(super) fn encode_cmw(cmw: &Cmw<'_>) -> Vec<u8> {
    encode(|out| write(out, cmw))
}

pub(super) fn encode_tagged(format: u16, value: &[u8]) -> Vec<u8> {
    encode(|out| out.tag(Tag::new(tag_of(format)))?.bytes(value).map(drop))
}

fn write(out: &mut Encoder<Vec<u8>>, cmw: &Cmw<'_>) -> Written {
    match cmw {
        Cmw::Record(Record { kind, value, indicator }) => {
            out.array(2 + u64::from(indicator.is_some()))?;
            match kind {
                Kind::MediaType(text) => out.str(text)?,
                Kind::ContentFormat(format) => out.u16(*format)?,
            };
            out.bytes(value)?;
            if let Some(indicator) = indicator {
                out.u8(indicator.bits())?;
            }
        }
        Cmw::Collection(collection) => {
            let typed = usize::from(collection.kind.is_some());
            out.map((collection.entries.len() + typed) as u64)?;
            if let Some(kind) = &collection.kind {
                out.str(COLLECTION_TYPE)?.str(kind)?;
            }
            for (label, entry) in &collection.entries {
                match label {
                    Label::Text(text) => out.str(text)?,
                    Label::Number(number) => out.i64(*number)?,
                };
                write(out, entry)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9277 §4.3 and its table of examples.
    #[test]
    fn content_formats_have_their_tags() {
        for (format, tag) in [(0, 1_668_546_817), (254, 1_668_547_071), (255, 1_668_547_073)] {
            assert_eq!((tag_of(format), format_of(tag)), (tag, Some(format)));
        }
        assert_eq!(tag_of(65_024), 1_668_612_095);
        for tag in [FIRST_TAG - 1, FIRST_TAG + 255, 1_668_612_096, 1_668_612_097, u64::MAX] {
            assert_eq!(format_of(tag), None, "{tag}");
        }
    }
}
