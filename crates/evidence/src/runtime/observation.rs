//! What the agent observed of the system, claim by claim: a typed value, or why there is none. A
//! collector that fails says so; silence would look like nothing was wrong.

use super::MAX_TEXT;
use crate::Error;
use crate::cbor::{Major, Reader};
use alloc::string::String;
use alloc::vec::Vec;
use minicbor::Encoder;
use minicbor::data::Tag;
use touchstone_crypto::Digest;

/// The most observations of a report, elements of a list, or fields of a record.
pub const MAX_OBSERVED: usize = 4096;
/// How deep values stand in each other: a list of records of lists is as deep as it gets.
const MAX_DEPTH: usize = 4;

/// RFC 8949 §3.4.2: seconds since 1970.
const EPOCH: u64 = 1;
/// A span of time in milliseconds; ours alone, from the range that is free for everybody.
const SPAN: u64 = 0x7473_0001;

/// A claim that the agent makes by looking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The claim's name in policies: `config.weak-tls`.
    pub name: String,
    /// How long before the evidence was made it was so, in milliseconds.
    pub age_ms: u64,
    /// What was found, or why nothing was.
    pub found: Result<Observed, Failure>,
}

/// Why a collector could not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The stable code.
    pub code: String,
    /// In words.
    pub words: String,
}

/// A value that was observed: what a policy can compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(String),
    /// A SHA-256 digest.
    Digest(Digest),
    /// A span of time, in milliseconds.
    Span(u64),
    /// A point in time, in Unix seconds.
    Time(i64),
    /// Values in order.
    List(Vec<Self>),
    /// Named fields.
    Record(Vec<(String, Self)>),
}

impl From<bool> for Observed {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i64> for Observed {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Observed {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<&str> for Observed {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Observed {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Digest> for Observed {
    fn from(value: Digest) -> Self {
        Self::Digest(value)
    }
}

impl Observed {
    /// A record of these fields.
    pub fn record<const N: usize>(fields: [(&str, Self); N]) -> Self {
        Self::Record(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// A list of these values.
    pub fn list(values: impl IntoIterator<Item = Self>) -> Self {
        Self::List(values.into_iter().collect())
    }
}

type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

pub(super) fn encode(out: &mut Encoder<Vec<u8>>, observations: &[Observation]) -> Written {
    out.array(observations.len() as u64)?;
    for observation in observations {
        out.array(3)?.str(&observation.name)?.u64(observation.age_ms)?;
        match &observation.found {
            Ok(value) => {
                out.array(1)?;
                write(out, value)?;
            }
            Err(failure) => {
                out.array(2)?.str(&failure.code)?.str(&failure.words)?;
            }
        }
    }
    Ok(())
}

fn write(out: &mut Encoder<Vec<u8>>, value: &Observed) -> Written {
    match value {
        Observed::Boolean(truth) => out.bool(*truth)?.ok(),
        Observed::Integer(number) => out.i64(*number)?.ok(),
        Observed::Text(text) => out.str(text)?.ok(),
        Observed::Digest(digest) => out.bytes(digest.as_bytes())?.ok(),
        Observed::Span(millis) => out.tag(Tag::new(SPAN))?.u64(*millis)?.ok(),
        Observed::Time(seconds) => out.tag(Tag::new(EPOCH))?.i64(*seconds)?.ok(),
        Observed::List(values) => {
            out.array(values.len() as u64)?;
            values.iter().try_for_each(|value| write(out, value))
        }
        Observed::Record(fields) => {
            out.map(fields.len() as u64)?;
            fields.iter().try_for_each(|(name, value)| {
                out.str(name)?;
                write(out, value)
            })
        }
    }
}

pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Vec<Observation>, Error> {
    reader.list(MAX_OBSERVED, |reader| {
        reader.tuple(3)?;
        let (name, age_ms) = (reader.string(MAX_TEXT)?, reader.u64()?);
        let found = match reader.array(2)? {
            1 => Ok(read(reader, MAX_DEPTH)?),
            2 => {
                let (code, words) = (reader.string(MAX_TEXT)?, reader.string(MAX_TEXT)?);
                Err(Failure { code, words })
            }
            _ => return Err(reader.malformed()),
        };
        Ok(Observation { name, age_ms, found })
    })
}

fn read(reader: &mut Reader<'_>, depth: usize) -> Result<Observed, Error> {
    let Some(deeper) = depth.checked_sub(1) else { return Err(reader.malformed()) };
    Ok(match reader.peek()? {
        Major::Boolean => Observed::Boolean(reader.bool()?),
        Major::Unsigned | Major::Negative => Observed::Integer(reader.i64()?),
        Major::Text => Observed::Text(reader.string(MAX_TEXT)?),
        Major::Octets => Observed::Digest(reader.sha256()?),
        Major::Tag => match reader.tag()? {
            SPAN => Observed::Span(reader.u64()?),
            EPOCH => Observed::Time(reader.i64()?),
            _ => return Err(reader.malformed()),
        },
        Major::Array => Observed::List(reader.list(MAX_OBSERVED, |reader| read(reader, deeper))?),
        Major::Map => {
            let len = reader.map(MAX_OBSERVED)?;
            let mut fields = Vec::new();
            for _ in 0..len {
                let name = reader.string(MAX_TEXT)?;
                fields.push((name, read(reader, deeper)?));
            }
            Observed::Record(fields)
        }
        Major::Other => return Err(reader.malformed()),
    })
}
