//! RATS conceptual message wrappers: CBOR collections of records
//! (draft-ietf-rats-msg-wrap §3.3).

use crate::Error;
use crate::cbor::{Reader, encode};

/// The conceptual message is Evidence: bit 2 of the indicator (draft-ietf-rats-msg-wrap §3.1).
const EVIDENCE: u32 = 1 << 2;
/// The label that holds a collection's type.
const COLLECTION_TYPE: &str = "__cmwc_t";
const ITEM: &str = "conceptual message wrapper";
const MAX_RECORDS: usize = 16;

/// A record: its label in the collection, its media type, its value.
pub(crate) struct Record<'a> {
    pub(crate) label: &'a str,
    pub(crate) media_type: &'a str,
    pub(crate) value: &'a [u8],
}

/// A collection of evidence records.
pub(crate) fn encode_collection(collection_type: &str, records: &[Record<'_>]) -> Vec<u8> {
    encode(|out| {
        out.map(records.len() as u64 + 1)?;
        out.str(COLLECTION_TYPE)?.str(collection_type)?;
        for record in records {
            out.str(record.label)?.array(3)?;
            out.str(record.media_type)?.bytes(record.value)?.u32(EVIDENCE)?;
        }
        Ok(())
    })
}

/// Reads a collection of that type; a label that comes twice is refused.
pub(crate) fn decode_collection<'a>(
    collection_type: &str,
    bytes: &'a [u8],
) -> Result<Vec<Record<'a>>, Error> {
    let mut reader = Reader::new(ITEM, bytes);
    let mut typed = false;
    let mut records: Vec<Record<'a>> = Vec::new();
    for _ in 0..reader.map(MAX_RECORDS)? {
        let label = reader.text()?;
        if label == COLLECTION_TYPE {
            if typed || reader.text()? != collection_type {
                return Err(reader.malformed());
            }
            typed = true;
            continue;
        }
        if records.iter().any(|record| record.label == label) {
            return Err(reader.malformed());
        }
        let fields = reader.array(3)?;
        if fields < 2 {
            return Err(reader.malformed());
        }
        let (media_type, value) = (reader.text()?, reader.bytes()?);
        if fields == 3 && reader.u32()? != EVIDENCE {
            return Err(reader.malformed());
        }
        records.push(Record { label, media_type, value });
    }
    reader.end()?;
    if typed { Ok(records) } else { Err(reader.malformed()) }
}
